#include "tests/fuzz/whole.h"

#include "daemon/base/log.h"
#include "daemon/broker/broker_private.h"
#include "daemon/broker/connection.h"
#include "daemon/broker/keys/keys_private.h"
#include "daemon/broker/tokens.h"
#include "daemon/signer/desk.h"
#include "daemon/verifier/judge.h"
#include "proto/frame.h"
#include "proto/jose/jws.h"
#include "proto/wire.h"
#include "tests/fuzz/asked.h"
#include "tests/fuzz/put_field.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_token.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#define STEP_MS 20
#define LONGEST_MS 700000            /* past the longest deadline that a caller may name */
#define PACKED_MAX (128u * 1024)
#define BEGAN_MS INT64_C(1800000000000)
#define KEPT_MS 60000                /* long before `turn` rotates */

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

static const char config_text[] =
    "daemon:\n"
    "  socket: /s\n"
    "  admin_socket: /a\n"
    "  admin: {users: [me]}\n"
    "  max_connections_per_uid: 4\n"
    "token: {module: fake, uri: 'pkcs11:token=fake', pin_file: /p, generate_timeout: 10s}\n"
    "rings:\n"
    "  web: {alg: EdDSA, create: yes, rotate_every: never, verify_every: 1}\n"
    "  turn: {alg: EdDSA, create: yes, rotate_every: 600s, publish_ahead: 60s, max_ttl: 120s, skew: 1s, jwks_max_age: 20s,"
    " refresh: 2s, destroy_after: 10s, standby: yes, verify_every: 1}\n"
    "  mac: {alg: HS256, create: yes, rotate_every: never, verify_every: 1}\n"
    "  printed: {alg: HS256, rotate_every: never, allow_weak_secret: yes}\n"
    "profiles:\n"
    "  web: {ring: web, issuer: 'https://i', audiences: [shop, login], claims: {allowed: any},"
    " sign: {users: any}, verify: {users: any}}\n"
    "  turn: {ring: turn, issuer: 'https://i', audiences: [turn], ttl: 60s, claims: {allowed: [name, role],"
    " required: [name]}, sign: {users: any}, verify: {users: any}}\n"
    "  mac: {ring: mac, issuer: 'https://i', audiences: [mac], claims: {allowed: any}, rate: 100/s,"
    " sign: {users: any}, verify: {users: any}}\n"
    "  raw: {ring: printed, raw: yes, kid: no, sign: {users: any}, verify: {users: any}}\n";

whole_liar *whole_lies;
whole_watch *whole_watches;

static struct {
    bool there;
    struct broker broker;
    struct channel *end[3];              /* by role: the other ends of the broker's channels */
    struct desk desk;
    struct config *config;
    struct judge *judge;
    bool serving;
    size_t n_held;
    unsigned n_lost, changes_before;
    enum whole_role speaks;
} w;

static void watch(enum whole_role role, bool begins)
{
    if (whole_watches)
        whole_watches(role, begins);
}

/* --- messages ------------------------------------------------------------------------------------ */

static void put(int fd, const uint8_t *bytes, size_t len)
{
    uint8_t head[FRAME_HEADER_LEN];
    struct iovec parts[] = { { head, sizeof head }, { (void *)(uintptr_t)bytes, len } };

    frame_header(head, len);
    /* Room for it there is: whoever has ended reads nothing any more. */
    struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };
    ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    MUST(n == (ssize_t)(len + sizeof head) || (n < 0 && (errno == EPIPE || errno == EAGAIN || errno == ECONNRESET)));
}

static void send_message(enum whole_role role, const Message *m, int fd)
{
    struct err e;

    MUST(channel_send(w.end[role], m, fd, &e));
    channel_flush(w.end[role]);
}

void whole_say(enum whole_role role, unsigned field, const uint8_t *packed, size_t len)
{
    static uint8_t bytes[PACKED_MAX + 16];

    MUST(len <= PACKED_MAX);
    /* After what it said by its channel, all of which has been written. */
    if (w.end[role] && channel_waiting(w.end[role]) == 0)
        put(channel_fd(w.end[role]), bytes, put_field(bytes, field, packed, len));
}

void whole_attach(const Signet__Role__Attach *a, int fd)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;

    m.of_case = OF(ATTACH);
    m.attach = (Signet__Role__Attach *)(uintptr_t)a;
    if (w.end[WHOLE_SUPERVISOR])
        send_message(WHOLE_SUPERVISOR, &m, fd);
}

/* --- the supervisor ---------------------------------------------------------------------------------- */

static void wide(int fd)
{
    int room = 1 << 20;

    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
}

static void pair(int out[2])
{
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, out) == 0);
    wide(out[0]);
    wide(out[1]);
}

static void tell_config(void)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Config c = SIGNET__ROLE__CONFIG__INIT;
    Signet__Role__NameId me = SIGNET__ROLE__NAME_ID__INIT, *users = &me;
    Signet__Role__Switch to = SIGNET__ROLE__SWITCH__INIT;

    me.name = (char *)(uintptr_t)"me";
    me.id = getuid();
    c.generation = to.generation = 1;
    c.file = (char *)(uintptr_t)"f";
    c.text = (ProtobufCBinaryData){ sizeof config_text - 1, (uint8_t *)(uintptr_t)config_text };
    c.users = c.callers = &users;
    c.n_users = c.n_callers = 1;
    m.of_case = OF(CONFIG);
    m.config = &c;
    send_message(WHOLE_SUPERVISOR, &m, -1);
    m.of_case = OF(SWITCH);
    m.switch_ = &to;
    send_message(WHOLE_SUPERVISOR, &m, -1);
}

static Signet__Role__Peer peer_of(enum whole_role role)
{
    return role == WHOLE_SIGNER ? SIGNET__ROLE__PEER__PEER_SIGNER : SIGNET__ROLE__PEER__PEER_VERIFIER;
}

static void answer(void *ctx, const Message *m)
{
    struct err e;

    watch(w.speaks, false);
    MUST(channel_send(w.end[w.speaks], m, -1, &e));
    watch(w.speaks, true);
}

/* A new one, with a channel to the broker. */
static void attach(enum whole_role role)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Attach a = SIGNET__ROLE__ATTACH__INIT;
    int ends[2];

    pair(ends);
    channel_free(w.end[role]);
    w.end[role] = channel_new(ends[1]);
    MUST(w.end[role]);
    a.peer = peer_of(role);
    a.number = a.pid = 1;
    m.of_case = OF(ATTACH);
    m.attach = &a;
    send_message(WHOLE_SUPERVISOR, &m, ends[0]);
    close(ends[0]);
    if (role == WHOLE_SIGNER) {
        w.speaks = role;
        watch(role, true);
        desk_state(&w.desk, answer, NULL);
        watch(role, false);
        channel_flush(w.end[role]);
    } else {
        judge_free(w.judge);
        w.judge = judge_new();
    }
}

static void replace(enum whole_role role)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Detach d = SIGNET__ROLE__DETACH__INIT;

    w.n_lost++;
    d.peer = peer_of(role);
    d.number = 1;
    d.why = (char *)(uintptr_t)"was killed";
    m.of_case = OF(DETACH);
    m.detach = &d;
    send_message(WHOLE_SUPERVISOR, &m, -1);
    attach(role);
}

static void reloaded(uint64_t id)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__ReloadDone d = SIGNET__ROLE__RELOAD_DONE__INIT;

    d.id = id;
    d.generation = 1;
    m.of_case = OF(RELOAD_DONE);
    m.reload_done = &d;
    send_message(WHOLE_SUPERVISOR, &m, -1);
}

static void hear_as_supervisor(const Message *m)
{
    switch (m->of_case) {
    case OF(HUNG):
        replace(m->hung->peer == SIGNET__ROLE__PEER__PEER_SIGNER ? WHOLE_SIGNER : WHOLE_VERIFIER);
        break;
    case OF(RELOAD_ASKED): reloaded(m->reload_asked->id); break;
    case OF(SERVING):      w.serving = true; break;
    default:               break;
    }
}

/* --- the others ---------------------------------------------------------------------------------------- */

/* Of what is answered with the same; 0: it is not. */
static void hear_as(enum whole_role role, Message *m)
{
    uint64_t id = asked_id(m);
    struct err e;

    if (id && whole_lies && whole_lies(role, id))
        return;
    w.speaks = role;
    watch(role, true);
    bool heard = role == WHOLE_SIGNER ? desk_hear(&w.desk, m, answer, NULL) : judge_hear(w.judge, m, answer, NULL, &e);
    watch(role, false);
    if (!heard) {
        MUST(m->of_case == OF(KEY_SET) && e.reason == ERR_NO_MEMORY);
        replace(role);                   /* as it would end itself */
        return;
    }
    channel_flush(w.end[role]);
}

static void hear(enum whole_role role)
{
    struct channel *c = w.end[role];
    enum channel_io io = channel_fill(c);
    bool bad = false;
    Message *m;
    int fd;

    while (c == w.end[role] && (m = channel_next(c, &fd, &bad))) {
        closep(&fd);
        if (role == WHOLE_SUPERVISOR)
            hear_as_supervisor(m);
        else
            hear_as(role, m);
        channel_done(m);
    }
    MUST(!bad);
    if (c == w.end[role] && io == CHANNEL_GONE && role != WHOLE_SUPERVISOR && !w.broker.stop)
        replace(role);
    else if (c == w.end[role])
        channel_flush(c);
}

/* NULL before the first configuration. */
static struct keys *keys_of_token(void)
{
    return w.broker.n_tokens ? w.broker.tokens[0]->keys : NULL;
}

void whole_step(void)
{
    fake_clock_ms += STEP_MS;
    event_active(w.broker.tick, EV_TIMEOUT, 0);
    if (keys_of_token())
        event_active(keys_of_token()->tick, EV_TIMEOUT, 0);
    for (enum whole_role role = 0; role <= WHOLE_VERIFIER && !w.broker.stop; role++) {
        watch(WHOLE_BROKER, true);
        event_base_loop(w.broker.base, EVLOOP_NONBLOCK);
        broker_turn(&w.broker);
        watch(WHOLE_BROKER, false);
        hear(role);
    }
}

bool whole_runs(void)
{
    return !w.broker.stop;
}

unsigned whole_n_lost(void)
{
    return w.n_lost;
}

/* --- its life ---------------------------------------------------------------------------------------------- */

void whole_destroy(void)
{
    if (!w.there)
        return;
    broker_clear(&w.broker);
    for (size_t i = 0; i < ARRAY_LEN(w.end); i++)
        channel_free(TAKE(w.end[i]));
    judge_free(TAKE(w.judge));
    config_free(TAKE(w.config));
    token_free(TAKE(w.desk.token));
    w.there = false;
}

#define START_STEPS 5000             /* what fails is tried again, later each time */
#define QUIET 10                     /* steps: then it does nothing by itself until its next listing */

static bool is_quiet(void)
{
    const struct keys *k = keys_of_token();

    return w.serving && k && k->powers.known && !k->listing && k->n_proving == 0 && !k->changing && !k->changes && !k->waiters;
}

bool whole_start(void)
{
    struct names names = { .users = &(struct name_id){ (char *)(uintptr_t)"me", getuid() }, .n_users = 1 };
    struct buf mistakes;
    struct err e;
    int ends[2];

    whole_destroy();
    log_open("broker", (enum log_level)0);
    fake_clock_ms = BEGAN_MS;
    memset(&w, 0, sizeof w);
    buf_init(&mistakes, 64 * 1024);
    w.config = config_parse(config_text, sizeof config_text - 1, "f", &names, &mistakes);
    if (!w.config)
        fprintf(stderr, "%.*s", (int)mistakes.len, (const char *)mistakes.data);
    MUST(w.config);
    w.desk = (struct desk){ .token = fake_token_new(), .config = w.config, .generation = 1 };
    pair(ends);
    w.end[WHOLE_SUPERVISOR] = channel_new(ends[1]);
    MUST(w.end[WHOLE_SUPERVISOR]);
    w.there = true;
    watch(WHOLE_BROKER, true);
    bool begun = broker_init(&w.broker, ends[0], &e);
    watch(WHOLE_BROKER, false);
    if (!begun) {
        w.broker.stop = true;            /* as broker_main ends */
        return false;
    }
    tell_config();
    attach(WHOLE_VERIFIER);
    attach(WHOLE_SIGNER);
    for (int i = 0, quiet = 0; quiet < QUIET && !w.broker.stop; i++) {
        MUST(i < START_STEPS);
        whole_step();
        quiet = is_quiet() ? quiet + 1 : 0;
    }
    w.changes_before = fake_token_changes();
    w.n_held = keys_of_token() ? keys_of_token()->n_held : 0;
    return !w.broker.stop;
}

void whole_begin(void)
{
    whole_lies = NULL;
    if (!w.there)
        MUST(whole_start());
}

/* As it began, but for its counters: no lie is remembered. */
static bool is_unchanged(void)
{
    const struct keys *k = keys_of_token();
    bool same = k && !w.broker.stop && w.n_lost == 0 && fake_token_changes() == w.changes_before && is_quiet() &&
                w.broker.n_requests == 0 && w.broker.n_connections == 0 && k->n_held == w.n_held && k->n_facts == 0;

    for (size_t i = 0; same && i < k->n_held; i++)
        same = k->held[i]->proof == PROOF_DONE && k->held[i]->n_wrong == 0 && k->held[i]->n_missing == 0;
    return same && fake_clock_ms < BEGAN_MS + KEPT_MS;
}

void whole_end(void)
{
    whole_lies = NULL;
    for (int i = 0; i < 3 && !w.broker.stop; i++)
        whole_step();                    /* callers leave */
    if (!is_unchanged())
        whole_destroy();
}

/* --- callers --------------------------------------------------------------------------------------------------- */

int whole_connect(bool admin)
{
    int ends[2];

    pair(ends);
    watch(WHOLE_BROKER, true);
    connection_new(&w.broker, ends[0], admin);
    watch(WHOLE_BROKER, false);
    return ends[1];
}

void whole_ask(int fd, uint64_t id, unsigned field, const uint8_t *packed, size_t len)
{
    static uint8_t bytes[PACKED_MAX + 32];
    size_t n = 1;

    MUST(len <= PACKED_MAX);
    bytes[0] = 1 << 3;                   /* request_id */
    n += put_varint(bytes + n, id);
    n += put_field(bytes + n, field, packed, len);
    put(fd, bytes, n);
}

/* What a caller is told makes sense to one who reads it. */
static void check_reply(const Signet__V1__Reply *r)
{
    MUST(r->result_case != SIGNET__V1__REPLY__RESULT__NOT_SET);
    if (r->result_case != SIGNET__V1__REPLY__RESULT_ERROR)
        return;
    MUST(r->error->code > 0 && r->error->code <= 16 && r->error->reason[0] && r->error->text[0]);
}

static Signet__V1__Reply *read_reply(const uint8_t *bytes, size_t len)
{
    struct err e;

    MUST(len > FRAME_HEADER_LEN);
    MUST(wire_check_max(&signet__v1__reply__descriptor, bytes + FRAME_HEADER_LEN, len - FRAME_HEADER_LEN, 100000, &e));
    Signet__V1__Reply *r = signet__v1__reply__unpack(NULL, len - FRAME_HEADER_LEN, bytes + FRAME_HEADER_LEN);
    MUST(r);
    check_reply(r);
    return r;
}

/* So many bytes, or what there is of them. */
static size_t take(int fd, uint8_t *out, size_t want, bool *out_ended)
{
    size_t have = 0;
    int64_t end = fake_clock_ms + LONGEST_MS;

    *out_ended = false;
    while (have < want && !*out_ended) {
        ssize_t n = recv(fd, out + have, want - have, MSG_DONTWAIT);
        if (n > 0) {
            have += (size_t)n;
        } else if (n == 0 || errno != EAGAIN || w.broker.stop) {
            *out_ended = true;
        } else {
            MUST(fake_clock_ms < end);   /* a caller waits for ever */
            whole_step();
        }
    }
    return have;
}

Signet__V1__Reply *whole_reply(int fd)
{
    static uint8_t bytes[FRAME_HEADER_LEN + FRAME_MAX_REPLY];
    bool ended;

    size_t n = take(fd, bytes, FRAME_HEADER_LEN, &ended);
    if (ended) {
        MUST(n == 0);                    /* never half a reply */
        return NULL;
    }
    size_t len = (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
    MUST(len > 0 && len <= FRAME_MAX_REPLY);
    MUST(take(fd, bytes + FRAME_HEADER_LEN, len, &ended) == len);
    return read_reply(bytes, FRAME_HEADER_LEN + len);
}

/* --- tokens ----------------------------------------------------------------------------------------------------- */

bool whole_verifies(const char *token)
{
    struct token_listing l;
    struct jws j;
    struct err e;
    bool good = false;

    MUST(token_list(w.desk.token, &l, &e));
    MUST(jws_parse(&j, token, strlen(token), 1 << 20, &e) && j.alg);
    for (size_t i = 0; i < l.n_keys && !good; i++) {
        const struct token_key *k = &l.keys[i];
        if (k->spki) {
            CLEANUP(jwk_freep) struct jwk *key = jwk_from_spki(k->spki, k->spki_len, j.alg, &e);
            good = key && jwk_verifies(key, j.alg, j.signing_input, j.signing_input_len, j.signature.data, j.signature.len);
        } else if (j.alg->family == ALG_HMAC) {
            uint8_t mac[ALG_MAX_SIGNATURE];
            size_t len = 0;
            good = token_sign(w.desk.token, k->id, j.alg, j.signing_input, j.signing_input_len, mac, &len, &e) &&
                   len == j.signature.len && memcmp(mac, j.signature.data, len) == 0;
        }
    }
    token_listing_clear(&l);
    jws_clear(&j);
    return good;
}
