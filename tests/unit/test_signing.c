#include "daemon/broker/broker_private.h"
#include "daemon/broker/connection.h"
#include "daemon/broker/request.h"
#include "daemon/broker/tokens.h"
#include "daemon/base/clock.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name
#define N_SIGNERS 2
#define TURNS 100000

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
    event_base_loop(t.b.base, EVLOOP_NONBLOCK);
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

/* Bytes of the request. */
static size_t ask(size_t claims_len)
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
    bytes = malloc(signet__v1__request__get_packed_size(&r));
    size_t len = signet__v1__request__pack(&r, bytes);
    request_new(&t.c, bytes, len);
    free(bytes);
    free(claims);
    return len;
}

/* The caller has read what came: it is charged for it no more. */
static void take(void)
{
    account_let_go(t.c.account, t.c.out.len);
    t.c.out.len = 0;
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
        own = ask(40000) + ACCOUNT_ITEM_BYTES;
    }
    CU_ASSERT(earlier + own <= most);    /* the last that was begun */
    CU_ASSERT(before + own > most);      /* and the first that was not */
    unit_same_int("of the refused one the reply alone is charged", (long long)t.c.account->n_bytes,
                  (long long)(before + t.c.out.len));
    Signet__V1__Reply *r = reply();
    unit_same_str("refused", reason(r), "QUEUE_FULL");
    signet__v1__reply__free_unpacked(r, NULL);
    finish();
}

/* All together may hold so much: another holds most of it, and has what is left for whoever holds less than that. */
static void who_holds_more_than_is_left_for_all_is_refused_and_who_holds_less_is_not(void)
{
    const size_t most = 1 << 20;
    struct err e;

    begin();
    t.b.conf->config->daemon.max_memory = most;
    struct account *other = account_of(&t.b.accounts, 77);
    account_hold(other, 900 * 1024);
    CU_ASSERT_FALSE(account_has_room(other, most, &e));
    ask(40000);
    unit_same_int("begun", (long long)t.c.out.len, 0);
    ask(40000);
    Signet__V1__Reply *r = reply();
    unit_same_str("no more than what is left", reason(r), "QUEUE_FULL");
    signet__v1__reply__free_unpacked(r, NULL);
    struct account *small = account_of(&t.b.accounts, 78);
    account_hold(small, 1000);
    CU_ASSERT_TRUE(account_has_room(small, most, &e));
    account_let_go(small, 1000);
    account_let_go(other, 900 * 1024);
    unit_same_int("the sum", (long long)t.b.accounts.n_bytes, (long long)t.c.account->n_bytes);
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
    { "who holds more than is left for all is refused, and who holds less is not",
      who_holds_more_than_is_left_for_all_is_refused_and_who_holds_less_is_not },
    { "a uid makes the broker hold so many bytes and no more", a_uid_makes_the_broker_hold_so_many_bytes_and_no_more },
    { "a listing longer than a signer makes is refused", a_listing_longer_than_a_signer_makes_is_refused },
    { "what a signer says instead of signing is an error", what_a_signer_says_instead_of_signing_is_an_error },
    { "a signer whose signature was wrong finds the key anew", a_signer_whose_signature_was_wrong_finds_the_key_anew },
};
UNIT_MAIN(cases)
