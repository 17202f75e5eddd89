#include "daemon/verifier/verifier.h"

#include "daemon/base/role.h"
#include "daemon/channel/channel.h"
#include "daemon/verifier/judge.h"
#include "proto/jose/jwk.h"
#include "proto/jose/jws.h"
#include "tests/support/unit.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name
#define NOW 1700000000

/* ---- keys and tokens of our own, made by OpenSSL ---- */

struct pair { EVP_PKEY *key; uint8_t *spki; size_t spki_len; struct buf jwks; char kid[JWK_THUMBPRINT_LEN + 1]; };

static struct pair pair_new(void)
{
    struct pair p = { .key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") };
    const struct alg *eddsa = alg_by_name("EdDSA", 5);
    struct err e;

    p.spki_len = (size_t)i2d_PUBKEY(p.key, &p.spki);
    CLEANUP(jwk_freep) struct jwk *jwk = jwk_from_spki(p.spki, p.spki_len, eddsa, &e);
    buf_init(&p.jwks, 4096);
    buf_append_str(&p.jwks, "{\"keys\":[");
    if (!jwk || !jwk_write(jwk, &p.jwks) || !buf_append_str(&p.jwks, "]}"))
        abort();
    strcpy(p.kid, jwk_kid(jwk));
    return p;
}

static void pair_clear(struct pair *p)
{
    EVP_PKEY_free(p->key);
    OPENSSL_free(p->spki);
    buf_clear(&p->jwks);
}

static size_t sign(const struct pair *p, const void *input, size_t len, uint8_t out[64])
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    size_t n = 64;

    if (EVP_DigestSignInit(c, NULL, NULL, NULL, p->key) != 1 || EVP_DigestSign(c, out, &n, input, len) != 1)
        abort();
    EVP_MD_CTX_free(c);
    return n;
}

/* Freed by the caller. */
static char *token(const struct pair *p, const char *kid, const char *payload)
{
    struct buf t;
    uint8_t signature[64];

    buf_init(&t, 8192);
    if (!jws_signing_input(&t, alg_by_name("EdDSA", 5), "JWT", kid, payload, strlen(payload)))
        abort();
    size_t n = sign(p, t.data, t.len, signature);
    if (!jws_append_signature(&t, signature, n) || !buf_append_char(&t, '\0'))
        abort();
    return (char *)t.data;
}

/* ---- what is said and heard ---- */

struct heard { unsigned n; bool good; uint64_t id; char reason[40], payload[256], kid[64]; int64_t expires_at; };

static void hear(void *ctx, const Message *m)
{
    struct heard *h = ctx;

    h->n++;
    if (m->of_case == OF(CHECKED)) {
        h->id = m->checked->id;
        h->good = m->checked->good;
        return;
    }
    const Signet__Role__Verified *v = m->verified;
    h->id = v->id;
    snprintf(h->reason, sizeof h->reason, "%s", err_reason_name(v->why ? v->why->reason : ERR_NONE));
    snprintf(h->payload, sizeof h->payload, "%.*s", (int)v->payload.len, (const char *)v->payload.data);
    snprintf(h->kid, sizeof h->kid, "%s", v->kid);
    h->expires_at = v->expires_at;
}

static bool key_set(struct judge *j, const char *ring, const void *jwks, size_t len, struct err *e)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__KeySet k = SIGNET__ROLE__KEY_SET__INIT;
    struct heard none = { 0 };

    k.ring = (char *)ring;
    k.jwks = (ProtobufCBinaryData){ len, (uint8_t *)jwks };
    m.of_case = OF(KEY_SET);
    m.key_set = &k;
    bool ok = judge_hear(j, &m, hear, &none, e);
    CU_ASSERT_EQUAL(none.n, 0);
    return ok;
}

static struct heard ask(struct judge *j, const char *text, char **rings, size_t n_rings, const char *audience)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__VerifyToken v = SIGNET__ROLE__VERIFY_TOKEN__INIT;
    struct heard h = { 0 };
    struct err e;

    v.id = 77;
    v.token = (ProtobufCBinaryData){ strlen(text), (uint8_t *)text };
    v.rings = rings;
    v.n_rings = n_rings;
    v.max_len = 65536;
    v.jwt = true;
    v.issuer = (char *)"us";
    v.audiences = (char **)&audience;
    v.n_audiences = audience ? 1 : 0;
    v.now = NOW;
    v.alg = (char *)"EdDSA";
    m.of_case = OF(VERIFY_TOKEN);
    m.verify_token = &v;
    CU_ASSERT_TRUE(judge_hear(j, &m, hear, &h, &e));
    unit_same_int("one answer", h.n, 1);
    unit_same_int("its id", (long long)h.id, 77);
    return h;
}

#define GOOD "{\"iss\":\"us\",\"aud\":\"shop\",\"iat\":1699999990,\"exp\":1700000100,\"n\":1}"

static void a_token_of_a_ring_comes_back_with_what_it_says(void)
{
    CLEANUP(judge_freep) struct judge *j = judge_new();
    CLEANUP(pair_clear) struct pair p = pair_new();
    CLEANUP(freep) char *t = token(&p, p.kid, GOOD);
    struct err e;
    char *rings[] = { "web" };

    CU_ASSERT_TRUE(key_set(j, "web", p.jwks.data, p.jwks.len, &e));
    struct heard h = ask(j, t, rings, 1, "shop");
    unit_same_str("verdict", h.reason, "NONE");
    unit_same_str("payload", h.payload, GOOD);
    unit_same_str("kid", h.kid, p.kid);
    unit_same_int("expires_at", h.expires_at, 1700000100);
}

static const struct { const char *name, *payload, *audience, *want; } claims_case[] = {
    { "another audience", GOOD, "login", "WRONG_AUDIENCE" },
    { "another issuer", "{\"iss\":\"them\",\"exp\":1700000100}", NULL, "WRONG_ISSUER" },
    { "its time is over", "{\"iss\":\"us\",\"exp\":1699999999}", NULL, "EXPIRED" },
    { "its time has not come", "{\"iss\":\"us\",\"exp\":1700000100,\"nbf\":1700000050}", NULL, "NOT_YET_VALID" },
    { "no JSON", "hello", NULL, "BAD_PAYLOAD" },
};

static void a_token_is_held_to_the_messages_rules(void)
{
    CLEANUP(judge_freep) struct judge *j = judge_new();
    CLEANUP(pair_clear) struct pair p = pair_new();
    struct err e;
    char *rings[] = { "web" };

    CU_ASSERT_TRUE(key_set(j, "web", p.jwks.data, p.jwks.len, &e));
    for (size_t i = 0; i < ARRAY_LEN(claims_case); i++) {
        CLEANUP(freep) char *t = token(&p, p.kid, claims_case[i].payload);
        struct heard h = ask(j, t, rings, 1, claims_case[i].audience);
        unit_same_str(claims_case[i].name, h.reason, claims_case[i].want);
        unit_same_str(claims_case[i].name, h.payload, "");
    }
}

static void of_several_rings_the_one_that_has_the_key_decides(void)
{
    CLEANUP(judge_freep) struct judge *j = judge_new();
    CLEANUP(pair_clear) struct pair a = pair_new();
    CLEANUP(pair_clear) struct pair b = pair_new();
    CLEANUP(pair_clear) struct pair c = pair_new();
    CLEANUP(freep) char *of_b = token(&b, b.kid, GOOD);
    CLEANUP(freep) char *late = token(&b, b.kid, "{\"iss\":\"us\",\"exp\":1}");
    CLEANUP(freep) char *forged = token(&c, b.kid, GOOD);
    CLEANUP(freep) char *of_c = token(&c, c.kid, GOOD);
    char *ab[] = { "a", "b" }, *ba[] = { "b", "a" };
    char *with_unknown[] = { "nowhere", "a" }, *unknown_first[] = { "nowhere", "b" };
    struct err e;

    CU_ASSERT_TRUE(key_set(j, "a", a.jwks.data, a.jwks.len, &e));
    CU_ASSERT_TRUE(key_set(j, "b", b.jwks.data, b.jwks.len, &e));
    unit_same_str("b's, b last", ask(j, of_b, ab, 2, NULL).reason, "NONE");
    unit_same_str("b's, b first", ask(j, of_b, ba, 2, NULL).reason, "NONE");
    unit_same_str("expired, b last", ask(j, late, ab, 2, NULL).reason, "EXPIRED");
    unit_same_str("expired, b first", ask(j, late, ba, 2, NULL).reason, "EXPIRED");
    unit_same_str("forged, b first", ask(j, forged, ba, 2, NULL).reason, "BAD_SIGNATURE");
    unit_same_str("forged, b last", ask(j, forged, ab, 2, NULL).reason, "BAD_SIGNATURE");
    unit_same_str("nobody's", ask(j, of_c, ab, 2, NULL).reason, "KEY_UNKNOWN");
    unit_same_str("not known whose", ask(j, of_b, with_unknown, 2, NULL).reason, "STARTING");
    unit_same_str("not in one, in the other", ask(j, of_b, unknown_first, 2, NULL).reason, "NONE");
    unit_same_str("no ring named", ask(j, of_b, NULL, 0, NULL).reason, "INTERNAL");
}

static void a_ring_has_its_last_key_set_alone(void)
{
    CLEANUP(judge_freep) struct judge *j = judge_new();
    CLEANUP(pair_clear) struct pair a = pair_new();
    CLEANUP(pair_clear) struct pair b = pair_new();
    CLEANUP(freep) char *of_a = token(&a, a.kid, GOOD);
    char *rings[] = { "web" };
    struct err e;

    CU_ASSERT_TRUE(key_set(j, "web", a.jwks.data, a.jwks.len, &e));
    unit_same_str("its key", ask(j, of_a, rings, 1, NULL).reason, "NONE");
    CU_ASSERT_TRUE(key_set(j, "web", b.jwks.data, b.jwks.len, &e));
    unit_same_str("replaced", ask(j, of_a, rings, 1, NULL).reason, "KEY_UNKNOWN");
    CU_ASSERT_TRUE(key_set(j, "web", a.jwks.data, a.jwks.len, &e));
    CU_ASSERT_FALSE(key_set(j, "web", "[1", 2, &e));
    unit_same_str("after a set that is none", ask(j, of_a, rings, 1, NULL).reason, "STARTING");
    CU_ASSERT_TRUE(key_set(j, "web", a.jwks.data, a.jwks.len, &e));
    CU_ASSERT_TRUE(key_set(j, "web", NULL, 0, &e));
    unit_same_str("forgotten", ask(j, of_a, rings, 1, NULL).reason, "STARTING");
}

static bool check(struct judge *j, const struct pair *p, unsigned alg, const char *input, const uint8_t *signature,
                  size_t len)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__CheckSignature c = SIGNET__ROLE__CHECK_SIGNATURE__INIT;
    struct heard h = { 0 };
    struct err e;

    c.id = 5;
    c.spki = (ProtobufCBinaryData){ p->spki_len, p->spki };
    c.alg = alg;
    c.input = (ProtobufCBinaryData){ strlen(input), (uint8_t *)input };
    c.signature = (ProtobufCBinaryData){ len, (uint8_t *)signature };
    m.of_case = OF(CHECK_SIGNATURE);
    m.check_signature = &c;
    CU_ASSERT_TRUE(judge_hear(j, &m, hear, &h, &e));
    unit_same_int("one answer", h.n, 1);
    unit_same_int("its id", (long long)h.id, 5);
    return h.good;
}

static unsigned row(const char *name)
{
    unsigned i = 0;

    while (strcmp(alg_at(i)->name, name) != 0)
        i++;
    return i;
}

static void a_signature_is_checked_by_the_key_that_comes_with_it(void)
{
    CLEANUP(judge_freep) struct judge *j = judge_new();
    CLEANUP(pair_clear) struct pair a = pair_new();
    CLEANUP(pair_clear) struct pair b = pair_new();
    uint8_t s[64];
    size_t n = sign(&a, "input", 5, s);
    struct pair empty = { 0 };

    CU_ASSERT_TRUE(check(j, &a, row("EdDSA"), "input", s, n));
    CU_ASSERT_TRUE(check(j, &a, row("Ed25519"), "input", s, n));
    CU_ASSERT_FALSE(check(j, &a, row("EdDSA"), "Input", s, n));
    CU_ASSERT_FALSE(check(j, &b, row("EdDSA"), "input", s, n));
    CU_ASSERT_FALSE(check(j, &a, row("ES256"), "input", s, n));
    CU_ASSERT_FALSE(check(j, &a, row("HS256"), "input", s, n));
    CU_ASSERT_FALSE(check(j, &a, 1000, "input", s, n));
    CU_ASSERT_FALSE(check(j, &a, row("EdDSA"), "input", s, n - 1));
    CU_ASSERT_FALSE(check(j, &a, row("EdDSA"), "input", NULL, 0));
    CU_ASSERT_FALSE(check(j, &empty, row("EdDSA"), "input", s, n));
    s[3] ^= 1;
    CU_ASSERT_FALSE(check(j, &a, row("EdDSA"), "input", s, n));
}

static void more_keys_than_are_remembered_are_still_right(void)
{
    CLEANUP(judge_freep) struct judge *j = judge_new();
    struct pair p[JUDGE_MAX_SPKIS + 2];
    uint8_t s[ARRAY_LEN(p)][64];

    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        p[i] = pair_new();
        sign(&p[i], "input", 5, s[i]);
    }
    for (unsigned round = 0; round < 2; round++)
        for (size_t i = 0; i < ARRAY_LEN(p); i++) {
            CU_ASSERT_TRUE(check(j, &p[i], row("EdDSA"), "input", s[i], 64));
            CU_ASSERT_FALSE(check(j, &p[i], row("EdDSA"), "input", s[(i + 1) % ARRAY_LEN(p)], 64));
        }
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        pair_clear(&p[i]);
}

static void what_is_not_for_a_verifier_is_said_to_be_so(void)
{
    CLEANUP(judge_freep) struct judge *j = judge_new();
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Drain drain = SIGNET__ROLE__DRAIN__INIT;
    struct heard h = { 0 };
    struct err e;

    m.of_case = OF(DRAIN);
    m.drain = &drain;
    CU_ASSERT_FALSE(judge_hear(j, &m, hear, &h, &e));
    unit_same_int("answers", h.n, 0);
}

/* ---- the role, a process ---- */

struct process { pid_t pid; struct channel *channel; };

static struct process process_new(void)
{
    int fd[2];
    struct err e;

    if (!channel_pair(fd, &e))
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        if (fd[1] != ROLE_CHANNEL_FD)
            dup2(fd[1], ROLE_CHANNEL_FD);
        _exit(verifier_main(1));
    }
    close(fd[1]);
    return (struct process){ pid, channel_new(fd[0]) };
}

static int process_end(struct process *p)
{
    int status;

    channel_free(p->channel);
    waitpid(p->pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* The next message, waiting for it. */
static Message *next(struct channel *c)
{
    for (unsigned turn = 0; turn < 100; turn++) {
        int fd;
        bool bad;
        Message *m = channel_next(c, &fd, &bad);
        if (m || bad)
            return m;
        struct pollfd p = { channel_fd(c), POLLIN | (channel_waiting(c) ? POLLOUT : 0), 0 };
        poll(&p, 1, 10000);
        if (channel_flush(c) == CHANNEL_GONE || channel_fill(c) == CHANNEL_GONE)
            return channel_next(c, &fd, &bad);
    }
    return NULL;
}

static void tell_config(struct process *p, uint32_t generation)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Config c = SIGNET__ROLE__CONFIG__INIT;
    struct err e;

    c.generation = generation;
    m.of_case = OF(CONFIG);
    m.config = &c;
    CU_ASSERT_TRUE(channel_send(p->channel, &m, -1, &e));
    CU_ASSERT_EQUAL(channel_flush(p->channel), CHANNEL_IDLE);
    Message *answer = next(p->channel);
    CU_ASSERT_TRUE_FATAL(answer && answer->of_case == OF(READY));
    unit_same_int("ready to", answer->ready->generation, generation);
    channel_done(answer);
}

static struct channel *attach_broker(struct process *p)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Attach a = SIGNET__ROLE__ATTACH__INIT;
    struct err e;
    int fd[2];

    CU_ASSERT_TRUE_FATAL(channel_pair(fd, &e));
    a.peer = SIGNET__ROLE__PEER__PEER_BROKER;
    m.of_case = OF(ATTACH);
    m.attach = &a;
    CU_ASSERT_TRUE(channel_send(p->channel, &m, fd[1], &e));
    CU_ASSERT_EQUAL(channel_flush(p->channel), CHANNEL_IDLE);
    close(fd[1]);
    return channel_new(fd[0]);
}

static void send_check(struct channel *c, const struct pair *p, uint64_t id, const uint8_t *s)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__CheckSignature check = SIGNET__ROLE__CHECK_SIGNATURE__INIT;
    struct err e;

    check.id = id;
    check.spki = (ProtobufCBinaryData){ p->spki_len, p->spki };
    check.alg = row("EdDSA");
    check.input = (ProtobufCBinaryData){ 5, (uint8_t *)"input" };
    check.signature = (ProtobufCBinaryData){ 64, (uint8_t *)s };
    m.of_case = OF(CHECK_SIGNATURE);
    m.check_signature = &check;
    CU_ASSERT_TRUE(channel_send(c, &m, -1, &e));
}

static void the_role_serves_one_broker_after_another_and_ends_with_its_channel(void)
{
    struct process role = process_new();         /* first: what the child took along would be lost to valgrind */
    CLEANUP(pair_clear) struct pair p = pair_new();
    uint8_t s[64];

    sign(&p, "input", 5, s);
    tell_config(&role, 3);
    for (unsigned broker = 0; broker < 2; broker++) {
        CLEANUP(channel_freep) struct channel *c = attach_broker(&role);
        for (unsigned i = 0; i < 2000; i++)
            send_check(c, &p, i, s);
        for (unsigned i = 0; i < 2000; i++) {
            Message *m = next(c);
            CU_ASSERT_FATAL(m && m->of_case == OF(CHECKED));
            CU_ASSERT_TRUE(m->checked->good && m->checked->id == i);
            channel_done(m);
        }
    }
    tell_config(&role, 4);
    unit_same_int("exit status", process_end(&role), 0);
}

/* The broker has given it up, and joins none but a new one. */
static void a_brokers_nonsense_ends_the_role(void)
{
    struct process role = process_new();
    CLEANUP(channel_freep) struct channel *c = attach_broker(&role);
    static const char nonsense[] = "\xff\xff\xff\xff nonsense";
    Message config = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Config text = SIGNET__ROLE__CONFIG__INIT;
    struct err e;

    CU_ASSERT_EQUAL(write(channel_fd(c), nonsense, sizeof nonsense), (ssize_t)sizeof nonsense);
    CU_ASSERT_PTR_NULL(next(c));
    config.of_case = OF(CONFIG);
    config.config = &text;
    CU_ASSERT_TRUE(channel_send(role.channel, &config, -1, &e));
    CU_ASSERT_PTR_NULL(next(role.channel));          /* it would be ready */
    unit_same_int("exit status", process_end(&role), 1);
}

static void started_by_hand_it_says_so(void)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        close(ROLE_CHANNEL_FD);
        _exit(verifier_main(1));
    }
    waitpid(pid, &status, 0);
    unit_same_int("exit status", WEXITSTATUS(status), 2);
}

static const struct unit_case cases[] = {
    { "a token of a ring comes back with what it says", a_token_of_a_ring_comes_back_with_what_it_says },
    { "a token is held to the message's rules", a_token_is_held_to_the_messages_rules },
    { "of several rings the one that has the key decides", of_several_rings_the_one_that_has_the_key_decides },
    { "a ring has its last key set alone", a_ring_has_its_last_key_set_alone },
    { "a signature is checked by the key that comes with it", a_signature_is_checked_by_the_key_that_comes_with_it },
    { "more keys than are remembered are still right", more_keys_than_are_remembered_are_still_right },
    { "what is not for a verifier is said to be so", what_is_not_for_a_verifier_is_said_to_be_so },
    { "the role serves one broker after another and ends with its channel",
      the_role_serves_one_broker_after_another_and_ends_with_its_channel },
    { "a broker's nonsense ends the role", a_brokers_nonsense_ends_the_role },
    { "started by hand it says so", started_by_hand_it_says_so },
};
UNIT_MAIN(cases)
