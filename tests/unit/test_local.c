/*
 * The local verifier against a daemon that answers by script. Which of the two judged shows in the answer: this
 * daemon's own verdicts have the kid "by the daemon".
 */
#include "client/signet.h"
#include "proto/buf.h"
#include "proto/cleanup.h"
#include "proto/jose/b64url.h"
#include "proto/jose/jwk.h"
#include "proto/jose/jws.h"
#include "tests/support/script.h"
#include "tests/support/unit.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { A, B, STRANGER, N_KEYS };        /* of ring web, of ring other, of none */

static struct { EVP_PKEY *pkey; struct jwk *jwk; } key[N_KEYS];

/* What the daemon serves; shared with its processes. */
static struct shared {
    unsigned n_fetches;
    unsigned n_keys;                    /* the first so many */
    uint32_t max_age_s;
    uint32_t changes_in_s;
    bool broken, no_ring, odd, secret;  /* secret: ring web has HMAC keys besides */
    unsigned hold_from;                 /* fetches from this number on are answered when `released` */
    bool released;
} *now;

#ifdef SIGNET_TESTING
static struct { _Atomic int64_t passed_ms, moved_ms; } *test_time;      /* SIGNET_TEST_TIME */

static int64_t wall(void)
{
    return (int64_t)time(NULL) + test_time->passed_ms / 1000;
}

static void own_the_time(void)
{
    int fd = memfd_create("time", 0);
    char path[64];

    if (fd < 0 || ftruncate(fd, sizeof *test_time) < 0)
        abort();
    test_time = mmap(NULL, sizeof *test_time, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    setenv("SIGNET_TEST_TIME", path, 1);
}
#else
static int64_t wall(void) { return time(NULL); }
static void own_the_time(void) { }
#endif

/* --- tokens ------------------------------------------------------------------------ */

static void make_keys(void)
{
    for (int i = 0; i < N_KEYS; i++) {
        struct err e;
        uint8_t *der = NULL;
        key[i].pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        int len = i2d_PUBKEY(key[i].pkey, &der);
        key[i].jwk = jwk_from_spki(der, (size_t)len, alg_by_name("ES256", 5), &e);
        OPENSSL_free(der);
    }
}

static void free_keys(void)
{
    for (int i = 0; i < N_KEYS; i++) {
        EVP_PKEY_free(key[i].pkey);
        jwk_free(key[i].jwk);
    }
}

static void sign_raw(EVP_PKEY *pkey, const struct buf *input, uint8_t out[64])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t der[80];
    size_t len = sizeof der;
    const uint8_t *at = der;

    CU_ASSERT_EQUAL_FATAL(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, pkey), 1);
    CU_ASSERT_EQUAL_FATAL(EVP_DigestSign(md, der, &len, input->data, input->len), 1);
    EVP_MD_CTX_free(md);
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32);
    ECDSA_SIG_free(sig);
}

/* A token of key k; freed by the caller. */
static char *token_with(int k, const char *kid, const char *typ, const char *payload)
{
    CLEANUP(buf_clear) struct buf out;
    uint8_t signature[64];

    buf_init(&out, 4096);
    CU_ASSERT_TRUE_FATAL(jws_signing_input(&out, alg_by_name("ES256", 5), typ, kid, payload, strlen(payload)));
    sign_raw(key[k].pkey, &out, signature);
    CU_ASSERT_TRUE_FATAL(jws_append_signature(&out, signature, sizeof signature) && buf_append(&out, "", 1));
    return strdup((const char *)out.data);
}

static char *token(int k, const char *typ, const char *payload)
{
    return token_with(k, jwk_kid(key[k].jwk), typ, payload);
}

static const char *payload_for(const char *aud, int64_t ttl)
{
    static char payload[200];

    snprintf(payload, sizeof payload, "{\"iss\":\"https://login\",\"aud\":\"%s\",\"exp\":%lld}", aud, (long long)(wall() + ttl));
    return payload;
}

static char *session(int k, const char *aud, int64_t ttl)
{
    return token(k, "JWT", payload_for(aud, ttl));
}

/* Of a key that is in no set. */
static char *hmac_token(const char *kid)
{
    CLEANUP(buf_clear) struct buf out;
    const char *payload = payload_for("shop", 60);

    buf_init(&out, 4096);
    CU_ASSERT_TRUE_FATAL(jws_signing_input(&out, alg_by_name("HS256", 5), "JWT", kid, payload, strlen(payload)));
    CU_ASSERT_TRUE_FATAL(jws_append_signature(&out, (const uint8_t *)"32 bytes of any kind, as a MAC is", 32) && buf_append(&out, "", 1));
    return strdup((const char *)out.data);
}

/* --- the daemon ---------------------------------------------------------------------- */

static void say_keys(int fd, const Signet__V1__Request *rq)
{
    static char *shop[] = { "shop" }, *other[] = { "other" }, *hmac[] = { "hmac" };
    Signet__V1__Reply reply = SIGNET__V1__REPLY__INIT;
    Signet__V1__GetKeysReply r = SIGNET__V1__GET_KEYS_REPLY__INIT;
    Signet__V1__ProfileInfo p[4], *each[4] = { &p[0], &p[1], &p[2], &p[3] };
    char *rings[] = { "web", "other", "web" };
    CLEANUP(buf_clear) struct buf jwks;

    buf_init(&jwks, 1 << 16);
    buf_append_str(&jwks, "{\"keys\":[");
    for (unsigned i = 0; i < now->n_keys; i++) {
        buf_append_str(&jwks, i ? "," : "");
        jwk_write(key[i].jwk, &jwks);
    }
    if (now->odd)
        buf_append_str(&jwks, ",{\"kty\":\"AKP\",\"alg\":\"ML-DSA-44\",\"kid\":\"odd\",\"pub\":\"AA\"}");
    buf_append(&jwks, now->broken ? "" : "]}", now->broken ? 1 : 3);
    for (int i = 0; i < 4; i++) {
        signet__v1__profile_info__init(&p[i]);
        p[i].issuer = "https://login";
        p[i].typ = "JWT";
        p[i].alg = "ES256";
        p[i].n_audiences = 1;
        p[i].leeway_s = 5;
    }
    p[0].name = "web", p[0].ring = "web", p[0].audiences = shop;
    p[0].has_secret_keys = now->secret;
    p[1].name = "other", p[1].ring = "other", p[1].audiences = other;
    p[2].name = "hmac", p[2].ring = "hmac", p[2].audiences = hmac, p[2].alg = "HS256";
    p[3].name = "raw", p[3].ring = "web", p[3].n_audiences = 0, p[3].raw = true, p[3].issuer = "", p[3].typ = "";
    r.jwks = (char *)jwks.data;
    r.version = now->n_keys;
    r.max_age_s = now->max_age_s;
    r.changes_in_s = now->changes_in_s;
    r.n_pages = 1;
    r.profiles = each;
    r.n_profiles = 4;
    r.rings = rings;
    if (now->odd)
        rings[now->n_keys] = "web";
    r.n_rings = now->no_ring ? 0 : now->n_keys + now->odd;
    reply.request_id = rq->request_id;
    reply.result_case = SIGNET__V1__REPLY__RESULT_GET_KEYS;
    reply.get_keys = &r;
    script_put_reply(fd, &reply);
}

static bool daemon_answer(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    Signet__V1__Reply reply = SIGNET__V1__REPLY__INIT;
    Signet__V1__VerifyReply verify = SIGNET__V1__VERIFY_REPLY__INIT;

    if (rq->op_case == SIGNET__V1__REQUEST__OP_GET_KEYS) {
        unsigned n = __atomic_add_fetch(&now->n_fetches, 1, __ATOMIC_SEQ_CST);
        while (now->hold_from && n >= now->hold_from && !__atomic_load_n(&now->released, __ATOMIC_SEQ_CST))
            sched_yield();
        say_keys(fd, rq);
        return true;
    }
    /* Its own word shows in the kid: the profile is the one that was asked. */
    const char *dot = memchr(rq->verify->token.data, '.', rq->verify->token.len);
    const char *end = strchr(dot + 1, '.');
    struct buf payload;
    buf_init(&payload, 4096);
    b64url_decode(&payload, dot + 1, (size_t)(end - dot - 1));
    verify.payload = (ProtobufCBinaryData){ payload.len, payload.data };
    verify.profile = rq->verify->profile;
    verify.kid = "by the daemon";
    reply.request_id = rq->request_id;
    reply.result_case = SIGNET__V1__REPLY__RESULT_VERIFY;
    reply.verify = &verify;
    bool ok = script_put_reply(fd, &reply);
    buf_clear(&payload);
    return ok;
}

struct world { struct script d; struct signet_local *l; };

static struct world begin(unsigned n_keys, uint32_t max_age_s)
{
    *now = (struct shared){ .n_keys = n_keys, .max_age_s = max_age_s };
    struct world w = { .d = script_start_many(daemon_answer, NULL) };
    w.l = signet_local_open(w.d.path, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w.l);
    return w;
}

static void finish(struct world *w)
{
    signet_local_close(w->l);
    script_stop(&w->d);
}

/* "profile" of who judged, or the reason why nobody accepted. Takes the token. */
static const char *verdict(struct signet_local *l, char *taken, const char *profile, const char *audience)
{
    static char said[64];
    struct signet_error e = { 0 };
    struct signet_verified *v = signet_local_verify(l, taken, strlen(taken), profile, audience, &e);

    snprintf(said, sizeof said, "%s", v && strcmp(v->kid, "by the daemon") == 0 ? v->kid : v ? v->profile : e.reason);
    CU_ASSERT_EQUAL(v == NULL, e.code != 0);
    signet_verified_free(v);
    free(taken);
    return said;
}

/* --- what it judges -------------------------------------------------------------------- */

static void judges_as_the_daemon_would(void)
{
    struct world w = begin(2, 900);

    unit_same_str("its profile is found", verdict(w.l, session(A, "shop", 60), NULL, NULL), "web");
    unit_same_str("or named", verdict(w.l, session(A, "shop", 60), "web", NULL), "web");
    unit_same_str("another ring's", verdict(w.l, session(B, "other", 60), NULL, NULL), "other");
    unit_same_str("no profile and no audience named", verdict(w.l, session(A, "shop", 60), "", ""), "web");
    unit_same_str("its audience", verdict(w.l, session(A, "shop", 60), NULL, "shop"), "web");
    unit_same_str("an audience that the profile has not", verdict(w.l, session(A, "shop", 60), NULL, "other"),
                  "AUDIENCE_NOT_ALLOWED");
    unit_same_str("past its end", verdict(w.l, session(A, "shop", -60), NULL, NULL), "EXPIRED");
    unit_same_str("within the profile's leeway", verdict(w.l, session(A, "shop", -2), NULL, NULL), "web");
    unit_same_str("one ring's key never judges another profile's token", verdict(w.l, session(B, "shop", 60), NULL, NULL),
                  "KEY_UNKNOWN");
    unit_same_str("no such profile", verdict(w.l, session(A, "shop", 60), "none", NULL), "UNKNOWN_PROFILE");
    unit_same_str("nobody's audience", verdict(w.l, session(A, "elsewhere", 60), NULL, NULL), "WRONG_AUDIENCE");
    unit_same_str("no token", verdict(w.l, strdup("x"), NULL, NULL), "MALFORMED");
    unit_same_str("bytes, of a raw profile", verdict(w.l, token(A, NULL, "any bytes"), "raw", NULL), "raw");
    unit_same_str("HMAC is the daemon's", verdict(w.l, session(A, "hmac", 60), NULL, NULL), "by the daemon");
    unit_same_str("and named too", verdict(w.l, session(A, "shop", 60), "hmac", NULL), "by the daemon");
    finish(&w);
}

static void a_key_that_cannot_be_read_is_the_daemon_s(void)
{
    struct world w = begin(1, 900);

    now->odd = true;
    unit_same_str("its token", verdict(w.l, token_with(A, "odd", "JWT", payload_for("shop", 60)), NULL, NULL), "by the daemon");
    unit_same_str("another's", verdict(w.l, session(A, "shop", 60), NULL, NULL), "web");
    finish(&w);
}

static void one_fetch_serves_many(void)
{
    struct world w = begin(1, 900);
    struct signet_verified *v;
    char *t = session(A, "shop", 60);

    for (int i = 0; i < 1000; i++) {
        v = signet_local_verify(w.l, t, strlen(t), "web", NULL, NULL);
        if (!v)
            CU_FAIL("not accepted");
        signet_verified_free(v);
    }
    unit_same_int("fetches", now->n_fetches, 1);
    free(t);
    finish(&w);
}

static void a_changed_token_is_refused(void)
{
    struct world w = begin(1, 900);
    char *t = session(A, "shop", 60);
    size_t wrong = 0;

    for (size_t i = 0; i < strlen(t); i++) {
        char before = t[i];
        struct signet_error e = { 0 };
        t[i] = before == 'A' ? 'B' : 'A';
        struct signet_verified *v = signet_local_verify(w.l, t, strlen(t), "web", NULL, &e);
        wrong += v || !signet_error_is_verdict(&e);
        signet_verified_free(v);
        t[i] = before;
    }
    unit_same_int("changes that were not refused as such", (long long)wrong, 0);
    free(t);
    finish(&w);
}

/* While a ring changes from HMAC to a public algorithm, or back. */
static void hmac_keys_besides_public_ones_are_the_daemon_s(void)
{
    struct world w = begin(2, 900);

    now->secret = true;
    unit_same_str("a public key's", verdict(w.l, session(A, "shop", 60), NULL, NULL), "web");
    unit_same_str("an HMAC key's", verdict(w.l, hmac_token("k"), NULL, NULL), "by the daemon");
    unit_same_str("without a kid", verdict(w.l, hmac_token(NULL), NULL, NULL), "by the daemon");
    unit_same_int("and no other set is asked for", now->n_fetches, 1);
    unit_same_str("in a public key's name", verdict(w.l, hmac_token(jwk_kid(key[A].jwk)), NULL, NULL), "KEY_UNUSABLE");
    unit_same_str("a stranger's", verdict(w.l, session(STRANGER, "shop", 60), NULL, NULL), "KEY_UNKNOWN");
    unit_same_int("may be of a newer set", now->n_fetches, 2);
    finish(&w);
    w = begin(2, 900);
    unit_same_str("where there are none", verdict(w.l, hmac_token("k"), NULL, NULL), "KEY_UNKNOWN");
    finish(&w);
    w = begin(2, 900);
    unit_same_str("a set from before the first", verdict(w.l, session(A, "shop", 60), NULL, NULL), "web");
    now->secret = true;
    unit_same_str("then another is asked for", verdict(w.l, hmac_token("k"), NULL, NULL), "by the daemon");
    unit_same_int("once", now->n_fetches, 2);
    finish(&w);
}

/* --- time ------------------------------------------------------------------------------------- */

#ifdef SIGNET_TESTING
static const struct { const char *name; uint32_t max_age_s, changes_in_s; int64_t passed_s; long long renewed; } renewal[] = {
    { "before half its time",                        900, 0,          400, 0 },
    { "after it",                                    900, 0,          451, 1 },
    { "before it is said to change",                 900, 60,         30,  0 },
    { "after that",                                  900, 60,         61,  1 },
    { "said to change after half its time",          900, 800,        451, 1 },
    { "said to change after its end",                60,  1000,       31,  1 },
    { "said to change when nobody lives any more",   900, UINT32_MAX, 400, 0 },
};

/* Whether it was renewed in passing shows in the number of fetches when a stranger's kid has asked for one more: it
 * waits for one that is under way, and they are one after the other. */
static void a_set_is_renewed_in_time(void)
{
    for (size_t i = 0; i < ARRAY_LEN(renewal); i++) {
        struct world w = begin(2, renewal[i].max_age_s);
        now->changes_in_s = renewal[i].changes_in_s;
        verdict(w.l, session(A, "shop", 60), NULL, NULL);
        test_time->passed_ms += renewal[i].passed_s * 1000;
        unit_same_str(renewal[i].name, verdict(w.l, session(A, "shop", 60), NULL, NULL), "web");
        verdict(w.l, session(STRANGER, "shop", 60), NULL, NULL);
        unit_same_int(renewal[i].name, now->n_fetches - 2, renewal[i].renewed);
        finish(&w);
    }
}

static void no_set_is_used_past_its_end(void)
{
    struct world w = begin(1, 60);

    now->changes_in_s = 1000;
    unit_same_str("before", verdict(w.l, session(A, "shop", 60), NULL, NULL), "web");
    script_kill(&w.d);
    test_time->passed_ms += 20 * 1000;
    unit_same_str("within it", verdict(w.l, session(A, "shop", 60), NULL, NULL), "web");
    test_time->passed_ms += 41 * 1000;
    unit_same_str("past it", verdict(w.l, session(A, "shop", 60), NULL, NULL), "KEYS_UNAVAILABLE");
    finish(&w);
}

static void tokens_grow_old(void)
{
    struct world w = begin(1, 900);
    char *t = session(A, "shop", 60);

    unit_same_str("before", verdict(w.l, strdup(t), NULL, NULL), "web");
    test_time->passed_ms += 66 * 1000;
    unit_same_str("after", verdict(w.l, strdup(t), NULL, NULL), "EXPIRED");
    free(t);
    finish(&w);
}
#endif

/* --- keys that come ---------------------------------------------------------------------- */

static void a_new_key_is_fetched_at_its_first_token(void)
{
    struct world w = begin(1, 900);

    unit_same_str("before", verdict(w.l, session(A, "shop", 60), NULL, NULL), "web");
    now->n_keys = 2;
    unit_same_str("its first token", verdict(w.l, session(B, "other", 60), NULL, NULL), "other");
    unit_same_int("fetches", now->n_fetches, 2);
    finish(&w);
}

static void without_a_kid_too(void)
{
    struct world w = begin(1, 900);

    unit_same_str("before", verdict(w.l, token_with(A, NULL, "JWT", payload_for("shop", 60)), NULL, NULL), "web");
    now->n_keys = 3;                     /* the third is ring web's, too */
    unit_same_str("a new key's", verdict(w.l, token_with(STRANGER, NULL, "JWT", payload_for("shop", 60)), NULL, NULL), "web");
    unit_same_int("fetches", now->n_fetches, 2);
    finish(&w);
}

static void strangers_kids_cost_one_fetch_a_second(void)
{
    struct world w = begin(2, 900);
    time_t begun = time(NULL);

    for (int i = 0; i < 500; i++)
        if (strcmp(verdict(w.l, session(STRANGER, "shop", 60), NULL, NULL), "KEY_UNKNOWN") != 0)
            CU_FAIL("a stranger's token");
    /* one at the start, and one for each second that began since */
    if (now->n_fetches > 1 + 2 + (unsigned)(time(NULL) - begun))
        unit_same_int("fetches", now->n_fetches, 2);
    finish(&w);
}

/* --- a daemon that is away ------------------------------------------------------------------ */

static void a_promise_outlasts_the_daemon(void)
{
    struct world w = begin(1, 900);

    unit_same_str("before", verdict(w.l, session(A, "shop", 60), NULL, NULL), "web");
    script_kill(&w.d);
    unit_same_str("with the set that it has", verdict(w.l, session(A, "shop", 60), NULL, NULL), "web");
    unit_same_str("a verdict stays one", verdict(w.l, session(A, "shop", -60), NULL, NULL), "EXPIRED");
    unit_same_str("a key that might be new is no verdict", verdict(w.l, session(B, "other", 60), NULL, NULL),
                  "KEYS_UNAVAILABLE");
    finish(&w);
}

static void past_it_nothing_is_judged(void)
{
    struct world w = begin(1, 0);            /* a set that serves the call it was fetched for, and no other */

    unit_same_str("fetched for it", verdict(w.l, session(A, "shop", 60), NULL, NULL), "web");
    script_kill(&w.d);
    unit_same_str("not judged", verdict(w.l, session(A, "shop", 60), NULL, NULL), "KEYS_UNAVAILABLE");
    unit_same_str("nor is one that is no good", verdict(w.l, session(A, "shop", -60), NULL, NULL), "KEYS_UNAVAILABLE");
    unit_same_str("but what is no token is none", verdict(w.l, strdup("a.b"), NULL, NULL), "MALFORMED");
    finish(&w);
}

static void nobody_there(void)
{
    struct script d = script_prepare(daemon_answer, NULL);
    struct signet_local *l = signet_local_open(d.path, NULL);
    struct signet_error e = { 0 };

    *now = (struct shared){ .n_keys = 1, .max_age_s = 900 };
    unit_same_str("no set, no daemon", verdict(l, session(A, "shop", 60), NULL, NULL), "KEYS_UNAVAILABLE");
    CU_ASSERT_PTR_NULL(signet_local_verify(l, "a.b.c", 5, NULL, NULL, &e));
    signet_local_close(l);
    script_stop(&d);
}

static void who_may_not_wait_does_not(void)
{
    struct world w = begin(1, 900);
    char *t = session(A, "shop", 60);
    struct signet_verified *v = NULL;
    struct signet_error e = { 0 };

    signet_local_set_wait(w.l, 0);
    CU_ASSERT_PTR_NULL(signet_local_verify(w.l, t, strlen(t), NULL, NULL, &e));
    unit_same_str("at first", e.reason, "KEYS_UNAVAILABLE");
    CU_ASSERT_TRUE(e.retry_after_ms > 0);
    /* The fetch goes on with each call; nothing here waits but for the answer to arrive. */
    for (time_t end = time(NULL) + 60; !v && time(NULL) < end;)
        v = signet_local_verify(w.l, t, strlen(t), NULL, NULL, &e);
    CU_ASSERT_PTR_NOT_NULL(v);
    unit_same_int("fetches", now->n_fetches, 1);
    signet_verified_free(v);
    free(t);
    unit_same_str("HMAC would have to wait", verdict(w.l, session(A, "hmac", 60), NULL, NULL), "KEYS_UNAVAILABLE");
    finish(&w);
}

static void a_set_that_is_none_is_not_taken(void)
{
    struct world w = begin(1, 900);

    now->broken = true;
    unit_same_str("cut off", verdict(w.l, session(A, "shop", 60), NULL, NULL), "KEYS_UNAVAILABLE");
    finish(&w);
    w = begin(1, 900);
    now->no_ring = true;
    unit_same_str("keys without a ring", verdict(w.l, session(A, "shop", 60), NULL, NULL), "KEYS_UNAVAILABLE");
    finish(&w);
}

/* --- threads, fork, nonsense ------------------------------------------------------------------ */

struct worker { pthread_t thread; struct signet_local *l; const char *token; unsigned wrong; };

static void *work(void *arg)
{
    struct worker *w = arg;

    for (int i = 0; i < 100; i++) {
        struct signet_verified *v = signet_local_verify(w->l, w->token, strlen(w->token), NULL, NULL, NULL);
        w->wrong += !v;
        signet_verified_free(v);
    }
    return NULL;
}

static void threads_share_it(void)
{
    struct world w = begin(2, 0);            /* each call needs a newer set than the last: they wait for each other's */
    struct worker worker[8];
    char *t = session(A, "shop", 600);

    now->max_age_s = 1;
    for (size_t i = 0; i < ARRAY_LEN(worker); i++) {
        worker[i] = (struct worker){ .l = w.l, .token = t };
        CU_ASSERT_EQUAL_FATAL(pthread_create(&worker[i].thread, NULL, work, &worker[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(worker); i++) {
        pthread_join(worker[i].thread, NULL);
        unit_same_int("wrong", worker[i].wrong, 0);
    }
    free(t);
    finish(&w);
}

static unsigned n_begun;

static void *first_token(void *arg)
{
    struct worker *w = arg;
    struct signet_error e = { 0 };

    __atomic_add_fetch(&n_begun, 1, __ATOMIC_SEQ_CST);
    struct signet_verified *v = signet_local_verify(w->l, w->token, strlen(w->token), NULL, NULL, &e);
    w->wrong = !v;
    signet_verified_free(v);
    return NULL;
}

/* One of them fetches; what it gets is everybody's, whoever came before it asked. */
static void a_new_key_s_tokens_may_come_many_at_once(void)
{
    struct world w = begin(1, 900);
    struct worker worker[6];
    char *t = session(STRANGER, "shop", 600);

    unit_same_str("before", verdict(w.l, session(A, "shop", 60), NULL, NULL), "web");
    now->n_keys = 3;
    now->hold_from = 2;
    n_begun = 0;
    for (size_t i = 0; i < ARRAY_LEN(worker); i++) {
        worker[i] = (struct worker){ .l = w.l, .token = t };
        CU_ASSERT_EQUAL_FATAL(pthread_create(&worker[i].thread, NULL, first_token, &worker[i]), 0);
    }
    while (__atomic_load_n(&n_begun, __ATOMIC_SEQ_CST) < ARRAY_LEN(worker) || __atomic_load_n(&now->n_fetches, __ATOMIC_SEQ_CST) < 2)
        sched_yield();
    __atomic_store_n(&now->released, true, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < ARRAY_LEN(worker); i++) {
        pthread_join(worker[i].thread, NULL);
        unit_same_int("wrong", worker[i].wrong, 0);
    }
    free(t);
    finish(&w);
}

static void a_child_has_its_parents_set(void)
{
    struct world w = begin(1, 900);
    int status = -1;

    unit_same_str("the parent", verdict(w.l, session(A, "shop", 60), NULL, NULL), "web");
    pid_t child = fork();
    if (child == 0) {
        bool ok = strcmp(verdict(w.l, session(A, "shop", 60), NULL, NULL), "web") == 0 && now->n_fetches == 1;
        now->n_keys = 2;
        ok = ok && strcmp(verdict(w.l, session(B, "other", 60), NULL, NULL), "other") == 0;
        signet_local_close(w.l);
        _exit(ok ? 0 : 1);
    }
    waitpid(child, &status, 0);
    unit_same_int("the child", status, 0);
    unit_same_str("the parent again", verdict(w.l, session(B, "other", 60), NULL, NULL), "other");
    finish(&w);
}

static void nonsense_is_named(void)
{
    struct signet_error e = { 0 };

    CU_ASSERT_PTR_NULL(signet_local_verify(NULL, "a", 1, NULL, NULL, &e));
    unit_same_str("no handle", e.reason, "BAD_REQUEST");
    CU_ASSERT_PTR_NULL(signet_local_open("", &e));
    struct signet_local *l = signet_local_open("/nonexistent/socket", &e);
    e.reason[0] = '\0';
    CU_ASSERT_PTR_NULL(signet_local_verify(l, NULL, 1, NULL, NULL, &e));
    unit_same_str("no token", e.reason, "BAD_REQUEST");
    signet_local_set_wait(NULL, 1);
    signet_local_close(NULL);
    signet_local_close(l);
}

static const struct unit_case cases[] = {
    { "tokens are judged by profile and ring, HMAC by the daemon", judges_as_the_daemon_would },
    { "a key that cannot be read is the daemon's", a_key_that_cannot_be_read_is_the_daemon_s },
    { "HMAC keys of a ring that has public ones too are the daemon's", hmac_keys_besides_public_ones_are_the_daemon_s },
#ifdef SIGNET_TESTING
    { "a set is renewed when it is said to change, else half-way to its end", a_set_is_renewed_in_time },
    { "no set is used past its end, whatever is said of changes", no_set_is_used_past_its_end },
    { "tokens grow old by the time that a test lets pass", tokens_grow_old },
#endif
    { "one fetch serves many calls", one_fetch_serves_many },
    { "a changed token is refused", a_changed_token_is_refused },
    { "a new key is fetched at its first token", a_new_key_is_fetched_at_its_first_token },
    { "also where its tokens have no kid", without_a_kid_too },
    { "and many tokens of it at once", a_new_key_s_tokens_may_come_many_at_once },
    { "strangers' kids cost one fetch a second", strangers_kids_cost_one_fetch_a_second },
    { "a set goes on to its end without the daemon", a_promise_outlasts_the_daemon },
    { "past it nothing is judged", past_it_nothing_is_judged },
    { "no set and no daemon is no verdict", nobody_there },
    { "who may not wait does not", who_may_not_wait_does_not },
    { "a key set that is none is not taken", a_set_that_is_none_is_not_taken },
    { "threads share it", threads_share_it },
    { "a forked child has its parent's set", a_child_has_its_parents_set },
    { "nonsense is refused at once", nonsense_is_named },
};

int main(void)
{
    now = mmap(NULL, sizeof *now, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    own_the_time();
    make_keys();
    int failed = unit_run(cases, ARRAY_LEN(cases));
    free_keys();
    return failed;
}
