#include "daemon/broker/broker_private.h"
#include "daemon/broker/connection.h"
#include "daemon/broker/request.h"
#include "daemon/broker/tokens.h"
#include "daemon/base/clock.h"
#include "proto/frame.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name
#define N_SIGNERS 2
#define TURNS 100000
#define N_UIDS 8
#define N_EACH 5                         /* connections of a uid */

static const char config[] =
    "daemon:\n  socket: /s\n  admin_socket: /a\n  admin: {users: any}\n"
    "token:\n  module: /m.so\n  uri: pkcs11:token=t\n  pin_file: /p\n"
    "rings:\n  h: {alg: HS256, rotate_every: never}\n"
    "profiles:\n  p:\n    ring: h\n    issuer: https://login.example\n    audiences: [shop]\n"
    "    claims: {allowed: any}\n    sign: {users: any}\n    verify: {users: any}\n";

/* How a signer answers the work of a request. */
enum answer { RIGHT, WRONG, WHY_NONE, WHY_UNKNOWN, WHY_UNREACHABLE, OTHER_MESSAGE, LATER };

/* A broker without its loop: one caller, whose replies stay in its buffer, and two signers, which are the test. */
static struct {
    struct broker b;
    struct connection c;
    struct channel *signers[N_SIGNERS];
    enum answer answers[N_SIGNERS];      /* to the first work, to the second */
    unsigned n_works, n_anew;            /* of those: before which the key is to be found anew */
    uint64_t later;                      /* the work that is answered LATER, and whose */
    unsigned later_signer;
    size_t n_listed;                     /* keys of the token; all but one say nothing new */
} t;

static void say(unsigned i, Message *m, Signet__Role__Message__OfCase of)
{
    struct err e;

    m->of_case = of;
    CU_ASSERT_TRUE_FATAL(channel_send(t.signers[i], m, -1, &e));
}

static void list(unsigned i, uint64_t id)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Keys keys = SIGNET__ROLE__KEYS__INIT;
    Signet__Role__Key key = SIGNET__ROLE__KEY__INIT, **all = calloc(t.n_listed, sizeof *all);
    uint8_t cka_id[16] = "0123456789abcde";

    key.id = 5;
    key.label = "signet:h:HS256:1:86400:60:900";
    key.cka_id = (ProtobufCBinaryData){ sizeof cka_id, cka_id };
    key.kty = "oct";
    key.secret_len = 32;
    key.has_private = key.is_private = key.sensitive = key.always_sensitive = key.never_extractable = key.local = true;
    keys.id = id;
    keys.generation = t.b.conf->generation;
    for (size_t n = 0; n < t.n_listed; n++)
        all[n] = &key;
    keys.keys = all;
    keys.n_keys = t.n_listed;
    m.keys = &keys;
    say(i, &m, OF(KEYS));
    free(all);
}

static void work(unsigned i, uint64_t id, enum answer how, bool check)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__WorkDone done = SIGNET__ROLE__WORK_DONE__INIT;
    Signet__Role__Checked checked = SIGNET__ROLE__CHECKED__INIT;
    Signet__Role__Changed changed = SIGNET__ROLE__CHANGED__INIT;
    Signet__Role__Why why = SIGNET__ROLE__WHY__INIT;
    uint8_t mac[32] = "mac";

    if (how == LATER) {
        t.later = id;
        t.later_signer = i;
        return;
    }
    done.id = checked.id = changed.id = id;
    done.signature = (ProtobufCBinaryData){ sizeof mac, mac };
    checked.good = how == RIGHT;
    why.reason = how == WHY_UNKNOWN ? 9999 : how == WHY_UNREACHABLE ? ERR_TOKEN_UNREACHABLE : 0;
    if (how == WHY_NONE || how == WHY_UNKNOWN || how == WHY_UNREACHABLE)
        done.why = checked.why = &why;
    if (how == OTHER_MESSAGE)
        m.changed = &changed;
    else if (check)
        m.checked = &checked;
    else
        m.work_done = &done;
    say(i, &m, how == OTHER_MESSAGE ? OF(CHANGED) : check ? OF(CHECKED) : OF(WORK_DONE));
}

static void signer_turn(unsigned i)
{
    Message *m;
    int fd;
    bool bad;

    channel_fill(t.signers[i]);
    while ((m = channel_next(t.signers[i], &fd, &bad))) {
        bool check = m->of_case == OF(CHECK_MAC);
        t.n_anew += m->of_case == OF(WORK) && m->work->anew;
        if (m->of_case == OF(LIST))
            list(i, m->list->id);
        else if (m->of_case == OF(WORK) && !t.b.tokens[0]->serving)
            work(i, m->work->id, RIGHT, false);
        else if (m->of_case == OF(WORK) || check)
            work(i, check ? m->check_mac->id : m->work->id, t.n_works < N_SIGNERS ? t.answers[t.n_works++] : RIGHT, check);
        channel_done(m);
    }
    channel_flush(t.signers[i]);
}

static void turn(void)
{
    pool_flush(&t.b.tokens[0]->signers, clock_mono_ms());
    for (unsigned i = 0; i < N_SIGNERS; i++)
        signer_turn(i);
    event_base_loop(t.b.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void on_message(void *ctx, struct peer *p, const Message *m) { }
static void on_hung(void *ctx, struct peer *p, const char *what) { }

static void attach(unsigned i)
{
    int pair[2];
    struct err e;
    struct peer *p = &t.b.tokens[0]->signers.peers[i];

    CU_ASSERT_TRUE_FATAL(channel_pair(pair, &e));
    CU_ASSERT_TRUE_FATAL(pool_attach(&t.b.tokens[0]->signers, i + 1, 1, 0, pair[0], &e));
    t.signers[i] = channel_new(pair[1]);
    for (size_t row = 0; alg_at(row); row++)
        p->mechanisms[row] = (struct mechanism){ .name = "CKM", .proved = true };
    peer_ready(p);
}

static void start(size_t n_listed)
{
    const struct pool_hooks hooks = { NULL, on_message, on_hung };
    Signet__Role__Config m = SIGNET__ROLE__CONFIG__INIT;
    struct buf mistakes;

    memset(&t, 0, sizeof t);
    t.n_listed = n_listed;
    buf_init(&mistakes, 4096);
    m.file = "conf";
    m.text = (ProtobufCBinaryData){ sizeof config - 1, (uint8_t *)(uintptr_t)config };
    t.b.conf = conf_new(&m, &mistakes);
    unit_same_mem("mistakes", mistakes.data, mistakes.len, "", 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t.b.conf);
    t.b.base = event_base_new();
    pool_init(&t.b.verifiers, t.b.base, LANE_VERIFIERS, "verifier", &hooks);
    t.b.serving_told = true;             /* there is no supervisor */
    CU_ASSERT_TRUE_FATAL(tokens_use(&t.b, &hooks));
    for (unsigned i = 0; i < N_SIGNERS; i++)
        attach(i);
    t.c = (struct connection){ .broker = &t.b, .fd = -1, .account = account_of(&t.b.accounts, 7) };
    t.c.caller.uid = 7;
    buf_init(&t.c.out, 1 << 22);
}

static void begin(void)
{
    start(1);
    for (unsigned i = 0; i < TURNS && !t.b.tokens[0]->serving; i++)
        turn();
    CU_ASSERT_TRUE_FATAL(t.b.tokens[0]->serving);
}

static void finish(void)
{
    requests_leave(&t.c);
    requests_flush(&t.b);
    pool_clear(&t.b.tokens[0]->signers);
    unit_same_int("requests left", (long long)t.c.account->n_requests, 0);
    unit_same_int("charged", (long long)t.c.account->n_bytes, 0);
    tokens_clear(&t.b);
    accounts_clear(&t.b.accounts);
    stats_clear(&t.b.stats);
    conf_unref(t.b.conf);
    buf_clear(&t.c.out);
    for (unsigned i = 0; i < N_SIGNERS; i++)
        channel_free(t.signers[i]);
    event_base_free(t.b.base);
}

/* A request to sign so many letters, behind its header. */
static uint8_t *pack(size_t claims_len, size_t *out_len)
{
    Signet__V1__Request r = SIGNET__V1__REQUEST__INIT;
    Signet__V1__SignRequest sign;
    uint8_t *bytes;
    char *claims;

    if (asprintf(&claims, "{\"x\":\"%0*d\"}", (int)claims_len, 0) < 0)
        abort();
    signet__v1__sign_request__init(&sign);
    sign.profile = "p";
    sign.subject = "s";
    sign.content_case = SIGNET__V1__SIGN_REQUEST__CONTENT_CLAIMS;
    sign.claims = (ProtobufCBinaryData){ strlen(claims), (uint8_t *)claims };
    r.request_id = 1;
    r.deadline_ms = 600000;
    r.op_case = SIGNET__V1__REQUEST__OP_SIGN;
    r.sign = &sign;
    bytes = malloc(FRAME_HEADER_LEN + signet__v1__request__get_packed_size(&r));
    *out_len = signet__v1__request__pack(&r, bytes + FRAME_HEADER_LEN);
    frame_header(bytes, *out_len);
    free(claims);
    return bytes;
}

/* Bytes of the request. */
static size_t ask(size_t claims_len)
{
    size_t len;
    uint8_t *bytes = pack(claims_len, &len);

    request_new(&t.c, bytes + FRAME_HEADER_LEN, len);
    free(bytes);
    return len;
}

/* The caller has read what came: it is charged for it no more. */
static void take(void)
{
    account_let_go(t.c.account, t.c.charged);
    t.c.charged = 0;
    buf_clear(&t.c.out);
}

/* The only reply that came. */
static Signet__V1__Reply *reply(void)
{
    for (unsigned i = 0; i < TURNS && t.c.out.len == 0; i++)
        turn();
    CU_ASSERT_FATAL(t.c.out.len > 4);
    Signet__V1__Reply *r = signet__v1__reply__unpack(NULL, t.c.out.len - 4, t.c.out.data + 4);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    take();
    return r;
}

static const char *reason(const Signet__V1__Reply *r)
{
    return r->result_case == SIGNET__V1__REPLY__RESULT_ERROR ? r->error->reason : "a token";
}

static const struct {
    const char *name;
    enum answer first, second;
    const char *want;                    /* reason; NULL: a token */
} answer_case[] = {
    { "both sign", RIGHT, RIGHT, NULL },
    { "a failure without a reason", WHY_NONE, RIGHT, "INTERNAL" },
    { "a reason that nobody knows", WHY_UNKNOWN, RIGHT, "INTERNAL" },
    { "no signature at all", OTHER_MESSAGE, RIGHT, "INTERNAL" },
    { "the second: a failure without a reason", RIGHT, WHY_NONE, "INTERNAL" },
    { "the second: a failure that passes", RIGHT, WHY_UNREACHABLE, NULL },
    { "the second: no verdict at all", RIGHT, OTHER_MESSAGE, "INTERNAL" },
};

static void what_a_signer_says_instead_of_signing_is_an_error(void)
{
    for (size_t i = 0; i < sizeof answer_case / sizeof *answer_case; i++) {
        begin();
        t.answers[0] = answer_case[i].first;
        t.answers[1] = answer_case[i].second;
        ask(1);
        Signet__V1__Reply *r = reply();
        if (answer_case[i].want)
            unit_same_str(answer_case[i].name, reason(r), answer_case[i].want);
        else
            unit_same_int(answer_case[i].name, r->result_case, SIGNET__V1__REPLY__RESULT_SIGN);
        signet__v1__reply__free_unpacked(r, NULL);
        finish();
    }
}

static void a_signer_whose_signature_was_wrong_finds_the_key_anew(void)
{
    begin();
    t.answers[1] = WRONG;                /* says the one that checks */
    ask(1);
    Signet__V1__Reply *r = reply();
    unit_same_int("made again", r->result_case, SIGNET__V1__REPLY__RESULT_SIGN);
    unit_same_int("found anew before", t.n_anew, 1);
    signet__v1__reply__free_unpacked(r, NULL);
    ask(1);
    r = reply();
    unit_same_int("once it was right, no more", t.n_anew, 1);
    signet__v1__reply__free_unpacked(r, NULL);
    finish();
}

/* Nobody signs meanwhile: all of it is held. */
static void a_uid_makes_the_broker_hold_so_many_bytes_and_no_more(void)
{
    size_t most = ACCOUNT_MAX_BYTES, earlier = 0, before = 0, own = 0;

    begin();
    t.b.conf->config->daemon.max_queue_per_uid = 0;
    for (unsigned i = 0; i < 1000 && t.c.out.len == 0; i++) {
        earlier = before;
        before = t.c.account->n_bytes;
        own = ACCOUNT_COPIES * ask(40000) + ACCOUNT_ITEM_BYTES;
    }
    CU_ASSERT(earlier + own <= most);    /* the last that was begun */
    CU_ASSERT(before + own > most);      /* and the first that was not */
    unit_same_int("of the refused one the reply alone is charged", (long long)t.c.account->n_bytes,
                  (long long)(before + t.c.out.cap));
    Signet__V1__Reply *r = reply();
    unit_same_str("refused", reason(r), "QUEUE_FULL");
    signet__v1__reply__free_unpacked(r, NULL);
    finish();
}

/* Another holds more than all may, and cannot lose it: this caller has its share all the same. */
static void who_holds_less_than_his_share_is_served_however_much_the_others_hold(void)
{
    begin();
    t.b.conf->config->daemon.max_memory = 1 << 20;
    struct account *other = account_of(&t.b.accounts, 77);
    account_hold(other, 2 << 20);
    ask(40000);
    unit_same_int("begun", (long long)t.c.out.len, 0);
    ask(40000);
    Signet__V1__Reply *r = reply();
    unit_same_str("more than a third", reason(r), "QUEUE_FULL");
    signet__v1__reply__free_unpacked(r, NULL);
    account_let_go(other, 2 << 20);
    unit_same_int("the sum", (long long)t.b.accounts.n_bytes, (long long)t.c.account->n_bytes);
    finish();
}

/* A connection of a uid, and its other end. */
static struct connection *connected(uid_t uid, int *out_fd)
{
    int pair[2];

    CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    connection_new(&t.b, pair[0], false);
    struct connection *c = t.b.connections;
    CU_ASSERT_TRUE_FATAL(c && c->fd == pair[0]);
    c->account->n_connections--;
    c->account = account_of(&t.b.accounts, uid);
    c->account->n_connections++;
    *out_fd = pair[1];
    return c;
}

static void disconnect_all(void)
{
    for (struct connection *c = t.b.connections; c; c = c->next)
        connection_close(c);
    while (t.b.connections)
        connections_flush(&t.b);
}

static void whole_turn(void)
{
    turn();
    connections_flush(&t.b);
    requests_flush(&t.b);
}

/* Each of many uids asks for long tokens on many connections, as much as it gets rid of, and reads none. */
static void many_who_read_nothing_hold_no_more_than_all_may_and_keep_nobody_out(void)
{
    uint8_t *bytes;
    int fds[N_UIDS * N_EACH];
    size_t at[N_UIDS * N_EACH] = { 0 }, len, most = 0;

    begin();
    const size_t max = t.b.conf->config->daemon.max_memory = 4 << 20;
    bytes = pack(40000, &len);
    len += FRAME_HEADER_LEN;
    for (int i = 0; i < N_UIDS * N_EACH; i++)
        connected(100 + (uid_t)(i % N_UIDS), &fds[i]);
    for (int round = 0; round < 400; round++) {
        for (int i = 0; i < N_UIDS * N_EACH; i++) {
            ssize_t n = send(fds[i], bytes + at[i], len - at[i], MSG_NOSIGNAL | MSG_DONTWAIT);
            at[i] = n > 0 ? (at[i] + (size_t)n) % len : at[i];
        }
        whole_turn();
        most = t.b.accounts.n_bytes > most ? t.b.accounts.n_bytes : most;
        if (round < 300)
            continue;
        ask(100);
        for (unsigned i = 0; i < TURNS && t.c.out.len == 0; i++) {
            whole_turn();
            most = t.b.accounts.n_bytes > most ? t.b.accounts.n_bytes : most;
        }
        Signet__V1__Reply *r = reply();
        unit_same_str("who holds nothing", reason(r), "a token");
        signet__v1__reply__free_unpacked(r, NULL);
    }
    CU_ASSERT(most <= max);
    CU_ASSERT(most > max / 2);           /* else nobody was in anyone's way */
    disconnect_all();
    for (int i = 0; i < N_UIDS * N_EACH; i++)
        close(fds[i]);
    free(bytes);
    finish();
}

/* Replies that nobody takes since then. */
static struct connection *stuck(uid_t uid, size_t n_bytes, int64_t since_ms, int *out_fd)
{
    struct connection *c = connected(uid, out_fd);
    struct err e;

    CU_ASSERT_FATAL(setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &(int){ 4096 }, sizeof(int)) == 0);
    err_set(&e, ERR_BAD_REQUEST, "of some bytes");
    while (c->out.len < n_bytes)
        connection_refuse(c, 1, &e);
    c->stuck_since_ms = since_ms;
    c->dirty = false;
    return c;
}

static void who_holds_most_loses_what_it_takes_not_longest_first_and_then_what_it_asked_last(void)
{
    int fds[3];
    struct connection *later, *little;

    begin();
    uint32_t *max = &t.b.conf->config->daemon.max_memory;
    later = stuck(50, 100 << 10, 20, &fds[0]);
    stuck(50, 100 << 10, 10, &fds[1]);
    little = stuck(51, 1 << 10, 1, &fds[2]);
    ask(1000);
    struct request *first = t.b.requests;
    ask(1000);
    *max = (uint32_t)t.b.accounts.n_bytes - 1;
    connections_flush(&t.b);
    unit_same_int("connections", (long long)t.b.n_connections, 2);
    CU_ASSERT_PTR_EQUAL(t.b.connections, little);
    CU_ASSERT_PTR_EQUAL(little->next, later);
    connection_close(later);
    connections_flush(&t.b);
    unit_same_int("requests", (long long)t.b.n_requests, 2);
    *max = (uint32_t)t.b.accounts.n_bytes - 1;
    connections_flush(&t.b);
    unit_same_int("requests left", (long long)t.b.n_requests, 1);
    CU_ASSERT_PTR_EQUAL(t.b.requests, first);
    Signet__V1__Reply *r = reply();
    unit_same_str("the last", reason(r), "QUEUE_FULL");
    signet__v1__reply__free_unpacked(r, NULL);
    unit_same_int("jobs that wait", (long long)t.c.account->lanes[LANE_SIGNERS].n, 1);
    disconnect_all();
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    finish();
}

static void send_to(int fd, size_t claims_len)
{
    size_t len;
    uint8_t *bytes = pack(claims_len, &len);

    CU_ASSERT_FATAL(send(fd, bytes, FRAME_HEADER_LEN + len, MSG_NOSIGNAL) == (ssize_t)(FRAME_HEADER_LEN + len));
    free(bytes);
}

static void whose_uid_has_no_room_is_not_read_until_it_has_taken_its_replies(void)
{
    uint8_t got[4096];
    int fd;

    begin();
    t.b.conf->config->daemon.max_queue_per_uid = 0;
    struct connection *c = stuck(50, 100 << 10, 10, &fd);
    account_hold(c->account, ACCOUNT_MAX_BYTES);
    for (int i = 0; i < 3; i++)
        send_to(fd, 10);
    for (int i = 0; i < 10; i++)
        whole_turn();
    unit_same_int("refused", (long long)t.b.counters.refused_requests, 0);
    for (int i = 0; i < TURNS && t.b.counters.refused_requests < 3; i++) {
        while (recv(fd, got, sizeof got, 0) > 0) { }
        whole_turn();
    }
    unit_same_int("refused when it reads", (long long)t.b.counters.refused_requests, 3);
    account_let_go(c->account, ACCOUNT_MAX_BYTES);
    disconnect_all();
    close(fd);
    finish();
}

/* There is room in the very turn in which there was none for what it asked: nothing else wakes us for it. */
static void who_has_room_again_is_served_though_it_says_nothing_more(void)
{
    int fds[2];

    begin();
    t.b.conf->config->daemon.max_memory = 1 << 20;
    stuck(50, 1 << 20, 1, &fds[0]);
    stuck(50, 100 << 10, 10, &fds[1]);
    send_to(fds[1], 10);
    whole_turn();
    unit_same_int("the other is closed", (long long)t.b.n_connections, 1);
    for (int i = 0; i < 1000 && t.b.counters.signed_tokens == 0; i++)
        whole_turn();
    unit_same_int("signed", (long long)t.b.counters.signed_tokens, 1);
    disconnect_all();
    close(fds[0]);
    close(fds[1]);
    finish();
}

static void a_listing_longer_than_a_signer_makes_is_refused(void)
{
    struct err e = { 0 };

    start(KEYS_MAX_LISTED);
    for (unsigned i = 0; i < TURNS && !t.b.tokens[0]->serving; i++)
        turn();
    CU_ASSERT_TRUE(t.b.tokens[0]->serving);
    finish();
    start(KEYS_MAX_LISTED + 1);
    for (unsigned i = 0; i < TURNS && e.reason != ERR_TOKEN_UNREACHABLE && !t.b.tokens[0]->serving; i++) {
        turn();
        keys_ready(t.b.tokens[0]->keys, &e);
    }
    CU_ASSERT_FALSE(t.b.tokens[0]->serving);
    unit_same_int("why", e.reason, ERR_TOKEN_UNREACHABLE);
    finish();
}

static void a_signature_of_a_key_that_was_revoked_meanwhile_is_not_released(void)
{
    struct err e;

    begin();
    t.answers[0] = LATER;
    ask(1);
    for (unsigned i = 0; i < TURNS && !t.later; i++)
        turn();
    CU_ASSERT_TRUE_FATAL(t.later != 0);
    CU_ASSERT_TRUE_FATAL(keys_revoke(t.b.tokens[0]->keys, "h", keys_at(t.b.tokens[0]->keys, 0)->kid, 1, &e));
    work(t.later_signer, t.later, RIGHT, false);
    for (unsigned i = 0; i < 1000 && t.n_works < N_SIGNERS; i++)
        turn();
    unit_same_int("both signers made it", t.n_works, N_SIGNERS);
    for (unsigned i = 0; i < 10; i++)
        turn();
    unit_same_int("it waits for the key that takes over", (long long)t.c.out.len, 0);
    finish();
}

static const struct unit_case cases[] = {
    { "a signature of a key that was revoked meanwhile is not released",
      a_signature_of_a_key_that_was_revoked_meanwhile_is_not_released },
    { "who holds less than his share is served, however much the others hold",
      who_holds_less_than_his_share_is_served_however_much_the_others_hold },
    { "whose uid has no room is not read until it has taken its replies",
      whose_uid_has_no_room_is_not_read_until_it_has_taken_its_replies },
    { "who has room again is served, though it says nothing more",
      who_has_room_again_is_served_though_it_says_nothing_more },
    { "many who read nothing hold no more than all may, and keep nobody out",
      many_who_read_nothing_hold_no_more_than_all_may_and_keep_nobody_out },
    { "who holds most loses what it takes not, longest first, and then what it asked last",
      who_holds_most_loses_what_it_takes_not_longest_first_and_then_what_it_asked_last },
    { "a uid makes the broker hold so many bytes and no more", a_uid_makes_the_broker_hold_so_many_bytes_and_no_more },
    { "a listing longer than a signer makes is refused", a_listing_longer_than_a_signer_makes_is_refused },
    { "what a signer says instead of signing is an error", what_a_signer_says_instead_of_signing_is_an_error },
    { "a signer whose signature was wrong finds the key anew", a_signer_whose_signature_was_wrong_finds_the_key_anew },
};
UNIT_MAIN(cases)
