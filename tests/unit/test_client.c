/*
 * The daemon here is a forked child that answers by script: honestly, to see
 * that what is asked arrives and what is answered comes out, or as no signetd
 * would, to see that the library believes nothing.
 */
#include "client/signet.h"
#include "proto/cleanup.h"
#include "proto/frame.h"
#include "tests/support/script.h"
#include "tests/support/unit.h"

/* A1 is a row's beginning; what a row says after it is meant to win. */
#pragma GCC diagnostic ignored "-Woverride-init"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* --- an honest daemon ------------------------------------------------------ */

static void answer_sign(const Signet__V1__SignRequest *q, Signet__V1__SignReply *r, char *text, size_t size)
{
    int n = snprintf(text, size, "%s|%s|%u|%lld|%s|", q->profile, q->subject, q->ttl_s, (long long)q->not_before, q->jti);
    for (size_t i = 0; i < q->n_audiences; i++)
        n += snprintf(text + n, size - (size_t)n, "%s,", q->audiences[i]);
    if (q->content_case == SIGNET__V1__SIGN_REQUEST__CONTENT_CLAIMS)
        snprintf(text + n, size - (size_t)n, "|claims %.*s", (int)q->claims.len, (char *)q->claims.data);
    else if (q->content_case == SIGNET__V1__SIGN_REQUEST__CONTENT_PAYLOAD)
        snprintf(text + n, size - (size_t)n, "|payload %zu", q->payload.len);
    /* What arrived comes back as the kid. */
    static char tokens[2 * SIGNET_MAX_BATCH][512];
    static unsigned n_made;
    char payload[200], *token = tokens[n_made++ % ARRAY_LEN(tokens)];
    snprintf(payload, sizeof payload, "{\"sub\":\"%s\"}", q->subject);
    script_token(token, q->content_case == SIGNET__V1__SIGN_REQUEST__CONTENT_PAYLOAD ? "" : payload);
    signet__v1__sign_reply__init(r);
    r->token = token;
    r->kid = text;
    r->jti = *q->jti ? q->jti : "a-jti";
    r->expires_at = 1700000000;
}

static bool answer_batch(int fd, const Signet__V1__Request *rq, Signet__V1__Reply *reply)
{
    static Signet__V1__SignBatchItem items[SIGNET_MAX_BATCH], *each[SIGNET_MAX_BATCH];
    static Signet__V1__SignReply signs[SIGNET_MAX_BATCH];
    static char texts[SIGNET_MAX_BATCH][200];
    Signet__V1__SignBatchReply r = SIGNET__V1__SIGN_BATCH_REPLY__INIT;
    Signet__V1__Error refused = SIGNET__V1__ERROR__INIT;

    refused.code = 7;
    refused.reason = "TTL_TOO_LONG";
    refused.text = "too long";
    r.n_items = rq->sign_batch->n_items;
    r.items = each;
    for (size_t i = 0; i < r.n_items; i++) {
        signet__v1__sign_batch_item__init(each[i] = &items[i]);
        if (rq->sign_batch->items[i]->ttl_s == 99) {
            items[i].result_case = SIGNET__V1__SIGN_BATCH_ITEM__RESULT_ERROR;
            items[i].error = &refused;
        } else if (rq->sign_batch->items[i]->ttl_s != 98) {
            answer_sign(rq->sign_batch->items[i], &signs[i], texts[i], sizeof texts[i]);
            items[i].result_case = SIGNET__V1__SIGN_BATCH_ITEM__RESULT_SIGN;
            items[i].sign = &signs[i];
        }
    }
    reply->result_case = SIGNET__V1__REPLY__RESULT_SIGN_BATCH;
    reply->sign_batch = &r;
    return script_put_reply(fd, reply);
}

static bool answer_verify(int fd, const Signet__V1__Request *rq, Signet__V1__Reply *reply)
{
    Signet__V1__VerifyReply r = SIGNET__V1__VERIFY_REPLY__INIT;
    Signet__V1__Error e = SIGNET__V1__ERROR__INIT;

    if (rq->verify->token.len == 3) {
        e.code = 3;
        e.reason = "BAD_SIGNATURE";
        e.text = "no";
        reply->result_case = SIGNET__V1__REPLY__RESULT_ERROR;
        reply->error = &e;
    } else {
        r.payload = (ProtobufCBinaryData){ 5, (uint8_t *)(uintptr_t)"a\0b.c" };
        if (rq->verify->token.len == 7)
            r.payload.len = 0;
        r.profile = *rq->verify->profile ? rq->verify->profile : "found";
        r.kid = *rq->verify->audience ? rq->verify->audience : "any";
        r.expires_at = rq->deadline_ms;
        reply->result_case = SIGNET__V1__REPLY__RESULT_VERIFY;
        reply->verify = &r;
    }
    return script_put_reply(fd, reply);
}

static bool answer_status(int fd, Signet__V1__Reply *reply)
{
    Signet__V1__GetStatusReply r = SIGNET__V1__GET_STATUS_REPLY__INIT;
    Signet__V1__TokenStatus token = SIGNET__V1__TOKEN_STATUS__INIT;
    Signet__V1__MechanismStatus mechanism = SIGNET__V1__MECHANISM_STATUS__INIT, *mechanisms[] = { &mechanism };
    Signet__V1__RingStatus ring = SIGNET__V1__RING_STATUS__INIT, *rings[] = { &ring };
    Signet__V1__SignerStatus signer = SIGNET__V1__SIGNER_STATUS__INIT, *signers[] = { &signer };
    Signet__V1__CounterStatus counter = SIGNET__V1__COUNTER_STATUS__INIT, *counters[] = { &counter };
    Signet__V1__Error trouble = SIGNET__V1__ERROR__INIT;

    mechanism.alg = "ES256";
    mechanism.mechanism = "CKM_ECDSA";
    mechanism.proved = true;
    token.label = "a token";
    token.mechanisms = mechanisms;
    token.n_mechanisms = 1;
    trouble.code = 9;
    trouble.reason = "NO_ACTIVE_KEY";
    ring.name = "web";
    ring.trouble = &trouble;
    signer.state = "ready";
    signer.signatures = 1ull << 40;
    counter.name = "signed";
    counter.value = 42;
    r.version = "1.2.3";
    r.token = &token;
    r.rings = rings;
    r.signers = signers;
    r.counters = counters;
    r.n_rings = r.n_signers = r.n_counters = 1;
    reply->result_case = SIGNET__V1__REPLY__RESULT_GET_STATUS;
    reply->get_status = &r;
    return script_put_reply(fd, reply);
}

static bool answer_key(int fd, const Signet__V1__Request *rq, Signet__V1__Reply *reply)
{
    Signet__V1__GenerateKeyReply g = SIGNET__V1__GENERATE_KEY_REPLY__INIT;
    Signet__V1__ImportKeyReply i = SIGNET__V1__IMPORT_KEY_REPLY__INIT;
    Signet__V1__KeyInfo key = SIGNET__V1__KEY_INFO__INIT;
    char kid[32];

    key.kid = kid;
    key.state = "active";
    if (rq->op_case == SIGNET__V1__REQUEST__OP_GENERATE_KEY) {
        snprintf(kid, sizeof kid, "made");
        key.ring = rq->generate_key->ring;
        g.key = strcmp(key.ring, "none") ? &key : NULL;
        reply->result_case = SIGNET__V1__REPLY__RESULT_GENERATE_KEY;
        reply->generate_key = &g;
    } else {
        snprintf(kid, sizeof kid, "%zu", rq->import_key->secret.len);
        key.ring = rq->import_key->ring;
        key.imported = true;
        i.key = &key;
        reply->result_case = SIGNET__V1__REPLY__RESULT_IMPORT_KEY;
        reply->import_key = &i;
    }
    return script_put_reply(fd, reply);
}

#define MANY_KEYS 500       /* with all their fields far more than a stranger's request may have */

static bool answer_list(int fd, Signet__V1__Reply *reply)
{
    static Signet__V1__KeyInfo keys[MANY_KEYS], *each[MANY_KEYS];
    Signet__V1__ListKeysReply r = SIGNET__V1__LIST_KEYS_REPLY__INIT;

    for (size_t i = 0; i < MANY_KEYS; i++) {
        signet__v1__key_info__init(each[i] = &keys[i]);
        keys[i].kid = keys[i].ring = keys[i].alg = keys[i].state = keys[i].label = keys[i].id = keys[i].jwk = "x";
        keys[i].activates_at = keys[i].retires_at = keys[i].ends_at = (int64_t)i;
        keys[i].sensitive = keys[i].local = keys[i].proved = true;
    }
    r.keys = each;
    r.n_keys = MANY_KEYS;
    reply->result_case = SIGNET__V1__REPLY__RESULT_LIST_KEYS;
    reply->list_keys = &r;
    return script_put_reply(fd, reply);
}

static bool honest(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    Signet__V1__Reply reply = SIGNET__V1__REPLY__INIT;
    Signet__V1__SignReply sign;
    Signet__V1__ReloadReply reload = SIGNET__V1__RELOAD_REPLY__INIT;
    char text[400];

    reply.request_id = rq->request_id;
    switch (rq->op_case) {
    case SIGNET__V1__REQUEST__OP_SIGN:
        answer_sign(rq->sign, &sign, text, sizeof text);
        reply.result_case = SIGNET__V1__REPLY__RESULT_SIGN;
        reply.sign = &sign;
        return script_put_reply(fd, &reply);
    case SIGNET__V1__REQUEST__OP_SIGN_BATCH: return answer_batch(fd, rq, &reply);
    case SIGNET__V1__REQUEST__OP_VERIFY: return answer_verify(fd, rq, &reply);
    case SIGNET__V1__REQUEST__OP_GET_STATUS: return answer_status(fd, &reply);
    case SIGNET__V1__REQUEST__OP_LIST_KEYS: return answer_list(fd, &reply);
    case SIGNET__V1__REQUEST__OP_GENERATE_KEY:
    case SIGNET__V1__REQUEST__OP_IMPORT_KEY: return answer_key(fd, rq, &reply);
    case SIGNET__V1__REQUEST__OP_RELOAD:
        reload.config_generation = 7;
        reply.result_case = SIGNET__V1__REPLY__RESULT_RELOAD;
        reply.reload = &reload;
        return script_put_reply(fd, &reply);
    default: _exit(6);
    }
}

/* --- what is asked arrives, what is answered comes out ----------------------- */

static void sign_carries_all(void)
{
    struct script d = script_start(honest, NULL);
    struct signet_error e = { 0 };
    struct signet *s = signet_open(d.path, &e);
    const char *audiences[] = { "shop", "login" };
    struct signet_sign_request ask = {
        .profile = "web", .subject = "1", .audiences = audiences, .n_audiences = 2, .ttl_s = 60, .not_before = 1234,
        .jti = "j", .claims = "{\"a\":0.10}", .claims_len = 10,
    };
    struct signet_token *t = signet_sign(s, &ask, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t);
    unit_same_str("what arrived", t->kid, "web|1|60|1234|j|shop,login,|claims {\"a\":0.10}");
    unit_same_str("token", script_subject(t->token), "1");
    unit_same_str("jti", t->jti, "j");
    unit_same_int("expires_at", t->expires_at, 1700000000);
    signet_token_free(t);

    struct signet_sign_request raw = { .profile = "raw", .payload = "", .payload_len = 0 };
    t = signet_sign(s, &raw, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t);
    unit_same_str("an empty payload is one", t->kid, "raw||0|0|||payload 0");
    signet_token_free(t);
    unit_same_str("no error was set", e.reason, "");
    signet_close(s);
    script_stop(&d);
}

static void sign_refuses_nonsense_unasked(void)
{
    struct signet_error e;
    struct signet *s = signet_open("/nonexistent/socket", &e);
    struct signet_sign_request nameless = { .subject = "1" };
    struct signet_sign_request both = { .profile = "p", .claims = "{}", .claims_len = 2, .payload = "x", .payload_len = 1 };

    CU_ASSERT_PTR_NULL(signet_sign(s, &nameless, &e));
    unit_same_str("no profile", e.reason, "BAD_REQUEST");
    CU_ASSERT_PTR_NULL(signet_sign(s, &both, &e));
    unit_same_str("claims and payload", e.reason, "BAD_REQUEST");
    CU_ASSERT_PTR_NULL(signet_sign_batch(s, &both, 0, &e));
    unit_same_str("an empty batch", e.reason, "BATCH_TOO_LARGE");
    CU_ASSERT_PTR_NULL(signet_sign_batch(s, &both, SIGNET_MAX_BATCH + 1, &e));
    unit_same_str("a batch of 257", e.reason, "BATCH_TOO_LARGE");
    CU_ASSERT_PTR_NULL(signet_sign(s, &nameless, NULL));
    signet_close(s);
}

static void batch_fails_item_by_item(void)
{
    struct script d = script_start(honest, NULL);
    struct signet_error e;
    struct signet *s = signet_open(d.path, &e);
    struct signet_sign_request ask[SIGNET_MAX_BATCH];

    for (size_t i = 0; i < SIGNET_MAX_BATCH; i++)
        ask[i] = (struct signet_sign_request){ .profile = "p", .ttl_s = i == 1 ? 99 : i == 2 ? 98 : 5 };
    struct signet_batch *b = signet_sign_batch(s, ask, SIGNET_MAX_BATCH, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    unit_same_int("items", (long long)b->n, SIGNET_MAX_BATCH);
    unit_same_str("the first", b->items[0].token->kid, "p||5|0||");
    CU_ASSERT_PTR_NULL(b->items[1].token);
    unit_same_str("the second", b->items[1].error.reason, "TTL_TOO_LONG");
    CU_ASSERT_PTR_NULL(b->items[2].token);
    unit_same_str("neither token nor error", b->items[2].error.reason, "PROTOCOL_BROKEN");
    unit_same_str("the last", b->items[255].token->kid, "p||5|0||");
    signet_batch_free(b);
    signet_close(s);
    script_stop(&d);
}

static void verify_by_the_daemon(void)
{
    struct script d = script_start(honest, NULL);
    struct signet_error e;
    struct signet *s = signet_open(d.path, &e);
    struct signet_verified *v = signet_verify(s, "e30.YQBiLmM.AA", 14, NULL, NULL, &e);

    CU_ASSERT_PTR_NOT_NULL_FATAL(v);
    unit_same_mem("payload", v->payload, v->payload_len, "a\0b.c", 5);
    unit_same_int("a NUL follows", ((const char *)v->payload)[5], 0);
    unit_same_str("profile", v->profile, "found");
    unit_same_str("no audience", v->kid, "any");
    unit_same_int("no deadline given", v->expires_at, 0);
    signet_verified_free(v);
    signet_set_timeout(s, 4321);
    v = signet_verify(s, "e30..AA", 7, "p", "shop", &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(v);
    unit_same_int("empty payload", (long long)v->payload_len, 0);
    unit_same_str("named profile", v->profile, "p");
    unit_same_str("audience", v->kid, "shop");
    unit_same_int("the deadline is the timeout", v->expires_at, 4321);
    signet_verified_free(v);
    CU_ASSERT_PTR_NULL(signet_verify(s, "bad", 3, NULL, NULL, &e));
    unit_same_str("refused", e.reason, "BAD_SIGNATURE");
    CU_ASSERT_TRUE(signet_error_is_verdict(&e));
    signet_close(s);
    script_stop(&d);
}

/* Answers in form, of something else. */
static bool foreign(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    Signet__V1__Reply reply = SIGNET__V1__REPLY__INIT;
    Signet__V1__VerifyReply verify = SIGNET__V1__VERIFY_REPLY__INIT;

    if (rq->op_case == SIGNET__V1__REQUEST__OP_SIGN) {
        script_say_token(fd, rq->request_id, "mallory");
        return true;
    }
    verify.payload = (ProtobufCBinaryData){ 2, (uint8_t *)(uintptr_t)"{}" };
    verify.profile = "elsewhere";
    reply.request_id = rq->request_id;
    reply.result_case = SIGNET__V1__REPLY__RESULT_VERIFY;
    reply.verify = &verify;
    return script_put_reply(fd, &reply);
}

static void what_was_not_asked_for_is_not_taken(void)
{
    struct script d = script_start(foreign, NULL);
    struct signet *s = signet_open(d.path, NULL);
    const struct signet_sign_request wrong[] = {
        { .profile = "p", .subject = "alice" }, { .profile = "p", .subject = "mallory", .jti = "mine" },
        { .profile = "p", .payload = "bytes", .payload_len = 5 },
    };
    struct signet_sign_request right = { .profile = "p", .subject = "mallory" };
    struct { const char *token, *profile, *reason; } v[] = {
        { "e30.e30.AA", NULL, "" }, { "e30.e30.AA", "web", "PROTOCOL_BROKEN" }, { "e30.e31.AA", NULL, "PROTOCOL_BROKEN" },
        { "e30", NULL, "PROTOCOL_BROKEN" }, { "", NULL, "PROTOCOL_BROKEN" },
    };

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct signet_error e = { 0 };
        CU_ASSERT_PTR_NULL(signet_sign(s, &wrong[i], &e));
        unit_same_str("a foreign token", e.reason, "PROTOCOL_BROKEN");
    }
    struct signet_token *t = signet_sign(s, &right, NULL);
    CU_ASSERT_PTR_NOT_NULL(t);
    signet_token_free(t);
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        struct signet_error e = { 0 };
        signet_verified_free(signet_verify(s, v[i].token, strlen(v[i].token), v[i].profile, NULL, &e));
        unit_same_str(v[i].token, e.reason, v[i].reason);
    }
    signet_close(s);
    script_stop(&d);
}

static void status_comes_whole(void)
{
    struct script d = script_start(honest, NULL);
    struct signet_error e;
    struct signet *s = signet_open(d.path, &e);
    struct signet_status *st = signet_get_status(s, &e);

    CU_ASSERT_PTR_NOT_NULL_FATAL(st);
    unit_same_str("version", st->version, "1.2.3");
    unit_same_str("trouble", st->trouble.reason, "");
    unit_same_str("token", st->token_label, "a token");
    unit_same_str("mechanism", st->mechanisms[0].mechanism, "CKM_ECDSA");
    unit_same_str("ring", st->rings[0].name, "web");
    unit_same_str("a ring's trouble", st->rings[0].trouble.reason, "NO_ACTIVE_KEY");
    unit_same_int("signatures", (long long)st->signers[0].signatures, 1ll << 40);
    unit_same_int("counter", (long long)st->counters[0].value, 42);
    signet_status_free(st);
    signet_close(s);
    script_stop(&d);
}

static void administration(void)
{
    struct script d = script_start(honest, NULL);
    struct signet_error e;
    struct signet *s = signet_open_admin(d.path, &e);
    struct signet_key_list *l = signet_list_keys(s, &e);
    uint32_t generation = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(l);
    unit_same_int("every key of a long list", (long long)l->n, MANY_KEYS);
    unit_same_int("the last", l->keys[MANY_KEYS - 1].ends_at, MANY_KEYS - 1);
    signet_key_list_free(l);
    l = signet_generate_key(s, "web", &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(l);
    unit_same_str("generated", l->keys[0].kid, "made");
    unit_same_str("in ring", l->keys[0].ring, "web");
    signet_key_list_free(l);
    CU_ASSERT_PTR_NULL(signet_generate_key(s, "none", &e));
    unit_same_str("answered without the key", e.reason, "PROTOCOL_BROKEN");
    l = signet_import_key(s, "hmac", "a\0secret", 8, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(l);
    unit_same_str("eight bytes arrived", l->keys[0].kid, "8");
    CU_ASSERT_TRUE(l->keys[0].imported);
    signet_key_list_free(l);
    CU_ASSERT_TRUE(signet_reload(s, &generation, &e));
    unit_same_int("generation", generation, 7);
    CU_ASSERT_TRUE(signet_reload(s, NULL, &e));
    signet_close(s);
    script_stop(&d);
}

/* --- a daemon that goes ------------------------------------------------------- */

/* One answer a connection, as a daemon that is restarted between calls. */
static bool restarting(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    if (rq->op_case == SIGNET__V1__REQUEST__OP_RELOAD)
        script_say_reload(fd, rq->request_id, nth);
    else
        honest(fd, rq, nth, NULL);
    return false;
}

static void restart_goes_unnoticed(void)
{
    struct script d = script_start(restarting, NULL);
    struct signet_error e;
    struct signet *s = signet_open(d.path, &e);
    uint32_t generation = 0;

    for (uint32_t i = 0; i < 5; i++) {
        CU_ASSERT_TRUE(signet_reload(s, &generation, &e));
        unit_same_int("asked once each", generation, i);
    }
    signet_close(s);
    script_stop(&d);
}

static bool gone_after_first(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    if (nth == 0) {
        script_say_reload(fd, rq->request_id, 1);
        return true;                 /* the next request is read, and then left without an answer */
    }
    if (nth == 1)
        return false;
    return honest(fd, rq, nth, NULL);
}

static void keys_are_not_made_twice(void)
{
    struct script d = script_start(gone_after_first, NULL);
    struct signet_error e;
    struct signet *s = signet_open_admin(d.path, &e);

    CU_ASSERT_TRUE(signet_reload(s, NULL, &e));
    CU_ASSERT_PTR_NULL(signet_generate_key(s, "web", &e));
    unit_same_str("whether it was made is not known", e.reason, "DAEMON_UNREACHABLE");
    unit_same_int("may be asked again", e.code, SIGNET_UNAVAILABLE);
    struct signet_key_list *l = signet_generate_key(s, "web", &e);
    CU_ASSERT_PTR_NOT_NULL(l);
    signet_key_list_free(l);
    signet_close(s);
    script_stop(&d);
}

/* The first request is never answered; the second on its connection would get the first's answer. */
static bool late_answer(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    static uint64_t first;
    char byte;

    if (nth == 0) {
        first = rq->request_id;
        while (recv(fd, &byte, 1, MSG_PEEK) < 0 && errno == EINTR)
            continue;                /* until the client has gone, or asks again */
        script_say_reload(fd, first, 111);
        return true;
    }
    script_say_reload(fd, rq->request_id, 222);
    return true;
}

static void late_answer_is_nobodys(void)
{
    struct script d = script_start(late_answer, NULL);
    struct signet_error e;
    struct signet *s = signet_open(d.path, &e);
    uint32_t generation = 0;

    signet_set_timeout(s, 50);
    CU_ASSERT_FALSE(signet_reload(s, &generation, &e));
    unit_same_str("too late", e.reason, "DEADLINE_EXCEEDED");
    CU_ASSERT_FALSE(signet_error_is_verdict(&e));
    signet_set_timeout(s, 0);
    CU_ASSERT_TRUE(signet_reload(s, &generation, &e));
    unit_same_int("its own answer", generation, 222);
    signet_close(s);
    script_stop(&d);
}

static void no_daemon(void)
{
    char dir[] = "/tmp/signet-client-XXXXXX", path[64], longest[200];
    struct signet_error e;

    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/none", dir);
    struct signet *s = signet_open(path, &e);
    CU_ASSERT_FALSE(signet_reload(s, NULL, &e));
    unit_same_str("reason", e.reason, "DAEMON_UNREACHABLE");
    unit_same_int("code", e.code, SIGNET_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, path));
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "is signetd running?"));
    signet_close(s);
    rmdir(dir);

    memset(longest, 'x', sizeof longest);
    longest[108] = '\0';
    CU_ASSERT_PTR_NULL(signet_open(longest, &e));
    unit_same_str("a path of 108 bytes", e.reason, "BAD_REQUEST");
    longest[107] = '\0';
    s = signet_open(longest, &e);
    CU_ASSERT_PTR_NOT_NULL(s);
    signet_close(s);
    CU_ASSERT_PTR_NULL(signet_open("", &e));
    signet_close(NULL);
}

static void environment_names_the_sockets(void)
{
    struct script d = script_start(honest, NULL);
    struct signet_error e;

    setenv("SIGNET_SOCKET", d.path, 1);
    setenv("SIGNET_ADMIN_SOCKET", "/nonexistent/admin", 1);
    struct signet *s = signet_open(NULL, &e), *admin = signet_open_admin(NULL, &e);
    CU_ASSERT_TRUE(signet_reload(s, NULL, &e));
    CU_ASSERT_FALSE(signet_reload(admin, NULL, &e));
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "/nonexistent/admin"));
    signet_close(s);
    signet_close(admin);
    unsetenv("SIGNET_SOCKET");
    unsetenv("SIGNET_ADMIN_SOCKET");
    script_stop(&d);
}

/* --- answers that no signetd gives ---------------------------------------------- */

struct lie {
    const char *name;
    void (*tell)(int fd, uint64_t id);
    const char *reason;
};

static void lie_length_zero(int fd, uint64_t id) { script_put(fd, "\0\0\0\0rest", 8); }
static void lie_length_huge(int fd, uint64_t id) { script_put(fd, "\xff\xff\xff\xff....", 8); }
static void lie_one_past_limit(int fd, uint64_t id) { script_put(fd, "\x00\x10\x00\x01....", 8); }
static void lie_http(int fd, uint64_t id) { script_put(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28); }
static void lie_http2(int fd, uint64_t id) { script_put(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24); }
static void lie_no_protobuf(int fd, uint64_t id) { script_put_frame(fd, "\xff\xff\xff\xff\xff\xff", 6); }
static void lie_no_result(int fd, uint64_t id) { uint8_t m[] = { 8, (uint8_t)id }; script_put_frame(fd, m, 2); }
static void lie_other_id(int fd, uint64_t id) { script_say_reload(fd, id + 1, 1); }
static void lie_no_id(int fd, uint64_t id) { script_say_reload(fd, 0, 1); }
static void lie_half_header(int fd, uint64_t id) { script_put(fd, "\0\0", 2); }
static void lie_half_message(int fd, uint64_t id) { script_put(fd, "\0\0\0\x09" "1234", 8); }
static void lie_nothing(int fd, uint64_t id) { }

static void lie_other_result(int fd, uint64_t id)
{
    Signet__V1__Reply reply = SIGNET__V1__REPLY__INIT;
    Signet__V1__SignReply sign = SIGNET__V1__SIGN_REPLY__INIT;
    reply.request_id = id;
    reply.result_case = SIGNET__V1__REPLY__RESULT_SIGN;
    reply.sign = &sign;
    script_put_reply(fd, &reply);
}

static void lie_not_utf8(int fd, uint64_t id) { script_say_error(fd, id, 3, "A", "\xc3("); }
static void lie_error_empty(int fd, uint64_t id) { script_say_error(fd, id, 0, "", ""); }
static void lie_error_of_tomorrow(int fd, uint64_t id) { script_say_error(fd, id, 99, "FROM_A_NEWER_DAEMON", "x"); }
static void lie_error_without_id(int fd, uint64_t id) { script_say_error(fd, 0, 3, "BAD_REQUEST", "cannot be read"); }

static void lie_many_fields(int fd, uint64_t id)
{
    static uint8_t m[2 * 70000];
    for (size_t i = 0; i < sizeof m; i += 2) {
        m[i] = 8;
        m[i + 1] = (uint8_t)id;
    }
    script_put_frame(fd, m, sizeof m);
}

static void lie_slowly(int fd, uint64_t id)
{
    uint8_t m[] = { 0, 0, 0, 7, 8, (uint8_t)id, 0x8a, 2, 2, 8, 9 };     /* field 33: { 1: 9 } */
    for (size_t i = 0; i < sizeof m; i++)
        script_put(fd, m + i, 1);
}

static void lie_with_more(int fd, uint64_t id)
{
    script_say_reload(fd, id, 9);
    script_put(fd, "\0\0\0\5stray", 9);
}

static const struct lie lies[] = {
    { "a length of zero",                     lie_length_zero,       "PROTOCOL_BROKEN" },
    { "a length of 4 GiB",                    lie_length_huge,       "PROTOCOL_BROKEN" },
    { "a length one past the limit",          lie_one_past_limit,    "PROTOCOL_BROKEN" },
    { "a web server",                         lie_http,              "PROTOCOL_BROKEN" },
    { "an HTTP/2 peer",                       lie_http2,             "PROTOCOL_BROKEN" },
    { "bytes that are no protobuf",           lie_no_protobuf,       "PROTOCOL_BROKEN" },
    { "a reply without a result",             lie_no_result,         "PROTOCOL_BROKEN" },
    { "the reply to another request",         lie_other_id,          "PROTOCOL_BROKEN" },
    { "a result for nobody",                  lie_no_id,             "PROTOCOL_BROKEN" },
    { "a result of another operation",        lie_other_result,      "PROTOCOL_BROKEN" },
    { "a string that is no UTF-8",            lie_not_utf8,          "PROTOCOL_BROKEN" },
    { "more fields than any reply has",       lie_many_fields,       "PROTOCOL_BROKEN" },
    { "half a header, then the end",          lie_half_header,       "DAEMON_UNREACHABLE" },
    { "half a message, then the end",         lie_half_message,      "DAEMON_UNREACHABLE" },
    { "the end at once",                      lie_nothing,           "DAEMON_UNREACHABLE" },
    { "an error that says nothing",           lie_error_empty,       "INTERNAL" },
    { "an error of a newer daemon",           lie_error_of_tomorrow, "FROM_A_NEWER_DAEMON" },
    { "an error to what could not be read",   lie_error_without_id,  "BAD_REQUEST" },
    { "an honest reply, byte by byte",        lie_slowly,            NULL },
    { "an honest reply and more",             lie_with_more,         NULL },
};

static bool lying(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    lies[*(const unsigned *)arg].tell(fd, rq->request_id);
    return false;
}

static void lies_are_not_believed(void)
{
    /* Both processes see it: an answer that broke off is asked for twice. */
    unsigned *which = mmap(NULL, sizeof *which, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct script d = script_start(lying, which);

    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        *which = (unsigned)i;
        struct signet_error e = { 0 };
        struct signet *s = signet_open(d.path, &e);
        uint32_t generation = 0;
        bool ok = signet_reload(s, &generation, &e);
        unit_same_str(lies[i].name, e.reason, lies[i].reason ? lies[i].reason : "");
        unit_same_int(lies[i].name, ok, lies[i].reason == NULL);
        if (ok)
            unit_same_int(lies[i].name, generation, 9);
        else
            CU_ASSERT_TRUE(e.code != 0 && *e.reason);
        signet_close(s);
    }
    script_stop(&d);
    munmap(which, sizeof *which);
}

static bool strays(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    /* The next request's answer stands ready before it is asked. */
    Signet__V1__Reply reply = SIGNET__V1__REPLY__INIT;
    Signet__V1__ReloadReply reload = SIGNET__V1__RELOAD_REPLY__INIT;
    uint8_t both[64];
    size_t n = 0;

    for (unsigned i = 0; i < 2; i++) {
        reload.config_generation = i == 0 ? nth : 666;
        reply.request_id = rq->request_id + i;
        reply.result_case = SIGNET__V1__REPLY__RESULT_RELOAD;
        reply.reload = &reload;
        frame_header(both + n, signet__v1__reply__get_packed_size(&reply));
        n += FRAME_HEADER_LEN;
        n += signet__v1__reply__pack(&reply, both + n);
    }
    return script_put(fd, both, n);
}

static void unasked_answers_are_dropped(void)
{
    struct script d = script_start(strays, NULL);
    struct signet_error e;
    struct signet *s = signet_open(d.path, &e);
    uint32_t generation = 0;

    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(signet_reload(s, &generation, &e));
        unit_same_int("the answer to what was asked", generation, i);
    }
    signet_close(s);
    script_stop(&d);
}

static bool long_error(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    static char text[1001], reason[201];
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);      /* é: the cut at 399 bytes falls inside one */
    memset(reason, 'R', sizeof reason - 1);
    script_say_error(fd, rq->request_id, 3, reason, text);
    return true;
}

static void long_errors_are_cut_between_characters(void)
{
    struct script d = script_start(long_error, NULL);
    struct signet_error e;
    struct signet *s = signet_open(d.path, &e);

    CU_ASSERT_FALSE(signet_reload(s, NULL, &e));
    unit_same_int("text", (long long)strlen(e.text), 398);
    unit_same_int("reason", (long long)strlen(e.reason), 47);
    unit_same_int("retry", e.retry_after_ms, 12);
    signet_close(s);
    script_stop(&d);
}

/* --- every operation's reply, with bytes changed --------------------------------- */

/* The honest reply caught in a socket pair, then changed by a generator with the request's number as its seed. */
static bool mangled(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    static uint8_t bytes[FRAME_MAX_REPLY];
    uint32_t x = (nth + 1) * 2654435761u;
    int pair[2], room = 1 << 20;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        _exit(7);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    honest(pair[0], rq, nth, NULL);
    close(pair[0]);
    ssize_t len = 0, n;
    while ((n = recv(pair[1], bytes + len, sizeof bytes - (size_t)len, 0)) > 0)
        len += n;
    close(pair[1]);
    for (unsigned i = 0; i <= nth % 3; i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        /* the header only now and then: it would only be waited for */
        bytes[nth % 50 == 0 ? x % 4 : 4 + x % (uint32_t)(len - 4)] ^= (uint8_t)(1u << (x >> 29));
    }
    script_put(fd, bytes, (size_t)len);
    return false;
}

static void changed_bytes_break_nothing(void)
{
    struct script d = script_start(mangled, NULL);
    struct signet_sign_request ask = { .profile = "p", .claims = "{}", .claims_len = 2 }, two[2] = { ask, ask };

    for (unsigned i = 0; i < 1200; i++) {
        struct signet_error e = { 0 };
        struct signet *s = signet_open(d.path, &e);
        bool ok = false;
        void *got = NULL;
        switch (i % 6) {
        case 0: signet_token_free(got = signet_sign(s, &ask, &e)); break;
        case 1: signet_batch_free(got = signet_sign_batch(s, two, 2, &e)); break;
        case 2: signet_verified_free(got = signet_verify(s, "token", 5, NULL, NULL, &e)); break;
        case 3: signet_status_free(got = signet_get_status(s, &e)); break;
        case 4: signet_key_list_free(got = signet_import_key(s, "r", "s", 1, &e)); break;
        case 5: ok = signet_reload(s, NULL, &e); break;
        }
        if ((got || ok) == (e.code != 0))
            CU_FAIL("neither a result nor an error, or both");
        signet_close(s);
    }
    script_stop(&d);
}

/* --- the key set in pages ------------------------------------------------------------ */

struct book {
    const char *pages[3];
    unsigned n_keys[3];
    uint32_t n_pages;
    unsigned changes;        /* the version changes with each of the first so many requests */
};

static bool reading(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    const struct book *b = arg;
    Signet__V1__Reply reply = SIGNET__V1__REPLY__INIT;
    Signet__V1__GetKeysReply r = SIGNET__V1__GET_KEYS_REPLY__INIT;
    Signet__V1__ProfileInfo p = SIGNET__V1__PROFILE_INFO__INIT, *profiles[] = { &p };
    char *audiences[] = { "shop", "login" };

    p.name = "web";
    p.issuer = "https://login.example";
    p.audiences = audiences;
    p.n_audiences = 2;
    r.jwks = (char *)(uintptr_t)b->pages[rq->get_keys->page % 3];
    r.version = nth < b->changes ? nth : b->changes;
    r.max_age_s = 900;
    r.n_pages = b->n_pages;
    if (rq->get_keys->page == 0) {
        r.profiles = profiles;
        r.n_profiles = 1;
    }
    char *rings[] = { "web", "web", "web" };
    r.rings = rings;
    r.n_rings = b->n_keys[rq->get_keys->page % 3];
    reply.request_id = rq->request_id;
    reply.result_case = SIGNET__V1__REPLY__RESULT_GET_KEYS;
    reply.get_keys = &r;
    return script_put_reply(fd, &reply);
}

static const struct {
    const char *name;
    struct book book;
    const char *jwks, *reason;
} keys_case[] = {
    { "one page stays as written", { { "{ \"keys\" : [] }" }, { 0 }, 1, 0 }, "{ \"keys\" : [] }", "" },
    { "no page count is one page", { { "{\"keys\":[]}" }, { 0 }, 0, 0 }, "{\"keys\":[]}", "" },
    { "three pages are one set",
      { { "{\"keys\":[{\"kid\":\"a\"}]}", "{\"keys\":[]}", "{\"keys\":[{\"kid\":\"b\"},1]}" }, { 1, 0, 2 }, 3, 0 },
      "{\"keys\":[{\"kid\":\"a\"},{\"kid\":\"b\"},1]}", "" },
    { "a set that changed meanwhile is asked for again", { { "{\"keys\":[1]}", "{\"keys\":[2]}" }, { 1, 1 }, 2, 2 },
      "{\"keys\":[1,2]}", "" },
    { "one that never stands still is given up", { { "{\"keys\":[]}", "{\"keys\":[]}" }, { 0 }, 2, 99 }, NULL,
      "PROTOCOL_BROKEN" },
    { "a page that is no set", { { "{\"keys\":[]}", "nonsense" }, { 0 }, 2, 0 }, NULL, "PROTOCOL_BROKEN" },
    { "a page without keys", { { "{\"keys\":[]}", "{\"keys\":{}}" }, { 0 }, 2, 0 }, NULL, "PROTOCOL_BROKEN" },
    { "a key that is no ring's", { { "{\"keys\":[1]}" }, { 0 }, 1, 0 }, NULL, "PROTOCOL_BROKEN" },
    { "a ring without its key", { { "{\"keys\":[1]}" }, { 2 }, 1, 0 }, NULL, "PROTOCOL_BROKEN" },
    { "a million pages", { { "{\"keys\":[]}" }, { 0 }, 1000000, 0 }, NULL, "PROTOCOL_BROKEN" },
};

static void keys_in_pages(void)
{
    for (size_t i = 0; i < ARRAY_LEN(keys_case); i++) {
        struct script d = script_start(reading, &keys_case[i].book);
        struct signet_error e = { 0 };
        struct signet *s = signet_open(d.path, &e);
        struct signet_keys *k = signet_get_keys(s, &e);
        unit_same_str(keys_case[i].name, e.reason, keys_case[i].reason);
        if (k && keys_case[i].jwks) {
            unit_same_str(keys_case[i].name, k->jwks, keys_case[i].jwks);
            unit_same_int("max-age", k->max_age_s, 900);
            unit_same_str("profile", k->profiles[0].name, "web");
            unit_same_str("its second audience", k->profiles[0].audiences[1], "login");
        } else {
            CU_ASSERT_TRUE(!k && !keys_case[i].jwks);
        }
        signet_keys_free(k);
        signet_close(s);
        script_stop(&d);
    }
}

/* --- before it is signed -------------------------------------------------------------- */

static bool previewing(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    Signet__V1__Reply reply = SIGNET__V1__REPLY__INIT;
    Signet__V1__PreviewReply r = SIGNET__V1__PREVIEW_REPLY__INIT;
    Signet__V1__SignReply sign;
    char text[400];

    if (rq->op_case != SIGNET__V1__REQUEST__OP_PREVIEW || !rq->preview->sign)
        _exit(8);
    answer_sign(rq->preview->sign, &sign, text, sizeof text);
    r.header = text;
    r.payload = rq->preview->sign->payload;
    r.kid = sign.kid;
    r.expires_at = sign.expires_at;
    reply.request_id = rq->request_id;
    reply.result_case = SIGNET__V1__REPLY__RESULT_PREVIEW;
    reply.preview = &r;
    return script_put_reply(fd, &reply);
}

static void preview_asks_what_sign_asks(void)
{
    struct script d = script_start(previewing, NULL);
    struct signet_error e = { 0 };
    struct signet *s = signet_open(d.path, &e);
    struct signet_sign_request ask = { .profile = "raw", .ttl_s = 60, .payload = "a\0b", .payload_len = 3 };

    struct signet_preview *p = signet_preview(s, &ask, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    unit_same_str("header", p->header, "raw||60|0|||payload 3");
    unit_same_mem("payload", p->payload, p->payload_len, "a\0b", 3);
    unit_same_str("what arrived", p->kid, "raw||60|0|||payload 3");
    unit_same_int("expires_at", p->expires_at, 1700000000);
    signet_preview_free(p);
    unit_same_str("no error was set", e.reason, "");
    ask.payload_len = 0;
    p = signet_preview(s, &ask, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    unit_same_mem("an empty payload is there", p->payload, p->payload_len, "", 0);
    CU_ASSERT_PTR_NOT_NULL(p->payload);
    signet_preview_free(p);
    ask.claims = "{}";
    CU_ASSERT_PTR_NULL(signet_preview(s, &ask, &e));
    unit_same_str("claims and a payload", e.reason, "BAD_REQUEST");
    signet_preview_free(NULL);
    signet_close(s);
    script_stop(&d);
}

/* --- profiles in pages -------------------------------------------------------------------- */

struct listed {
    uint32_t n_pages;
    bool changes;            /* every page is of another version */
    bool nameless;           /* page 1 has rules of no profile */
};

/* Two profiles a page, named by its number; the first with a claim of every kind. */
static bool listing(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    const struct listed *l = arg;
    Signet__V1__Reply reply = SIGNET__V1__REPLY__INIT;
    Signet__V1__ListProfilesReply r = SIGNET__V1__LIST_PROFILES_REPLY__INIT;
    Signet__V1__ProfileInfo info = SIGNET__V1__PROFILE_INFO__INIT;
    Signet__V1__ProfileRules full = SIGNET__V1__PROFILE_RULES__INIT, bare = full, *rules[] = { &full, &bare };
    Signet__V1__FixedClaim one = SIGNET__V1__FIXED_CLAIM__INIT, two = one, *fixed[] = { &one, &two };
    char *names[] = { "a", "b" }, name[16];

    snprintf(name, sizeof name, "page-%u", rq->list_profiles->page);
    info.name = name;
    info.max_ttl_s = 60;
    full.profile = &info;
    full.may_sign = true;
    full.subject = "caller";
    full.allowed = full.required = full.forbidden = names;
    full.n_allowed = full.n_required = 2;
    full.n_forbidden = 1;
    one.name = "tenant";
    one.json = "\"blue\"";
    two.json = name;
    full.fixed = fixed;
    full.n_fixed = 2;
    full.rate_per_s = 5;
    bare.profile = l->nameless && rq->list_profiles->page == 1 ? NULL : &info;
    bare.may_verify = true;
    r.profiles = rules;
    r.n_profiles = 2;
    r.n_pages = l->n_pages;
    r.version = l->changes ? nth : 7;
    reply.request_id = rq->request_id;
    reply.result_case = SIGNET__V1__REPLY__RESULT_LIST_PROFILES;
    reply.list_profiles = &r;
    return script_put_reply(fd, &reply);
}

static const struct {
    const char *name;
    struct listed listed;
    size_t n;
    const char *reason;
} listed_case[] = {
    { "one page", { .n_pages = 1 }, 2, "" },
    { "no page count is one page", { .n_pages = 0 }, 2, "" },
    { "three pages are one list", { .n_pages = 3 }, 6, "" },
    { "as many pages as there may be", { .n_pages = 100 }, 200, "" },
    { "one more", { .n_pages = 101 }, 0, "PROTOCOL_BROKEN" },
    { "four thousand million pages", { .n_pages = UINT32_MAX }, 0, "PROTOCOL_BROKEN" },
    { "pages of two configurations", { .n_pages = 2, .changes = true }, 0, "PROTOCOL_BROKEN" },
    { "the rules of no profile", { .n_pages = 2, .nameless = true }, 0, "PROTOCOL_BROKEN" },
};

static void same_rules(const struct signet_profile_list *l, size_t page)
{
    const struct signet_profile_rules *full = &l->profiles[2 * page], *bare = full + 1;
    char name[32];

    snprintf(name, sizeof name, "page-%zu", page);
    unit_same_str("name", full->profile.name, name);
    unit_same_int("max_ttl_s", full->profile.max_ttl_s, 60);
    CU_ASSERT_TRUE(full->may_sign && !full->may_verify && !full->any_claim);
    unit_same_str("subject", full->subject, "caller");
    unit_same_int("allowed", (long long)full->n_allowed, 2);
    unit_same_str("allowed", full->allowed[1], "b");
    unit_same_str("required", full->required[0], "a");
    unit_same_int("forbidden", (long long)full->n_forbidden, 1);
    unit_same_int("fixed", (long long)full->n_fixed, 2);
    unit_same_str("the first fixed", full->fixed[0].json, "\"blue\"");
    unit_same_str("the second fixed", full->fixed[1].json, name);
    unit_same_int("rate", full->rate_per_s, 5);
    CU_ASSERT_TRUE(!bare->may_sign && bare->may_verify);
    unit_same_str("no subject", bare->subject, "");
    unit_same_int("nothing fixed", (long long)bare->n_fixed, 0);
}

static void profiles_in_pages(void)
{
    for (size_t i = 0; i < ARRAY_LEN(listed_case); i++) {
        struct script d = script_start(listing, &listed_case[i].listed);
        struct signet_error e = { 0 };
        struct signet *s = signet_open(d.path, &e);
        struct signet_profile_list *l = signet_list_profiles(s, &e);
        unit_same_str(listed_case[i].name, e.reason, listed_case[i].reason);
        CU_ASSERT_EQUAL(l != NULL, listed_case[i].n != 0);
        if (l)
            unit_same_int(listed_case[i].name, (long long)l->n, (long long)listed_case[i].n);
        for (size_t k = 0; l && k < l->n / 2; k++)
            same_rules(l, k);
        signet_profile_list_free(l);
        signet_close(s);
        script_stop(&d);
    }
    signet_profile_list_free(NULL);
}

/* --- offline ---------------------------------------------------------------------------- */

/* RFC 7515 appendix A.1: its key, its token, its payload. */
static const char a1_jwk[] =
    "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}";
static const char a1_token[] =
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
static const char a1_payload[] = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";

static const char *const hs256[] = { "HS256" }, *const es256[] = { "ES256" }, *const unknown[] = { "HS257" };
static const char *const shop[] = { "shop" };
#define A1 .algs = hs256, .n_algs = 1, .at_given = true, .at = 1300819379

static const struct {
    const char *name;
    struct signet_verify_rules rules;
    const char *reason;
} offline_case[] = {
    { "in its last second",                      { A1 }, "" },
    { "at exp",                                  { A1, .at = 1300819380 }, "EXPIRED" },
    { "at exp, with leeway",                     { A1, .at = 1300819380, .leeway_s = 1 }, "" },
    { "by the clock",                            { .algs = hs256, .n_algs = 1 }, "EXPIRED" },
    { "as bytes",                                { .algs = hs256, .n_algs = 1, .no_claims = true }, "" },
    { "the right issuer",                        { A1, .issuer = "joe" }, "" },
    { "another issuer",                          { A1, .issuer = "jo" }, "WRONG_ISSUER" },
    { "an audience",                             { A1, .audiences = shop, .n_audiences = 1 }, "WRONG_AUDIENCE" },
    { "the right typ",                           { A1, .typ = "application/jwt" }, "" },
    { "another typ",                             { A1, .typ = "at+jwt" }, "WRONG_TYPE" },
    { "another algorithm",                       { A1, .algs = es256 }, "ALG_NOT_ALLOWED" },
    { "an algorithm that there is not",          { A1, .algs = unknown }, "ALG_NOT_ALLOWED" },
    { "a secret that names no algorithm, nor we", { .at_given = true }, "ALG_NOT_ALLOWED" },
    { "a leeway of 600 s",                       { A1, .leeway_s = 600 }, "" },
    { "a leeway of 601 s",                       { A1, .leeway_s = 601 }, "BAD_REQUEST" },
};

static void offline_rules(void)
{
    struct signet_error e;
    struct signet_verifier *v = signet_verifier_new(a1_jwk, strlen(a1_jwk), &e);

    CU_ASSERT_PTR_NOT_NULL_FATAL(v);
    for (size_t i = 0; i < ARRAY_LEN(offline_case); i++) {
        e = (struct signet_error){ 0 };
        struct signet_verified *ok = signet_verifier_check(v, a1_token, strlen(a1_token), &offline_case[i].rules, &e);
        unit_same_str(offline_case[i].name, e.reason, offline_case[i].reason);
        CU_ASSERT_EQUAL(ok != NULL, !*offline_case[i].reason);
        if (ok) {
            unit_same_mem(offline_case[i].name, ok->payload, ok->payload_len, a1_payload, strlen(a1_payload));
            unit_same_int("expires_at", ok->expires_at, offline_case[i].rules.no_claims ? 0 : 1300819380);
            unit_same_str("kid", ok->kid, "");
        }
        signet_verified_free(ok);
    }
    CU_ASSERT_PTR_NULL(signet_verifier_check(v, a1_token, strlen(a1_token), NULL, &e));
    signet_verifier_free(v);
}

static void offline_refuses_what_is_no_set(void)
{
    static const char *const no_set[] = { "", "[]", "{}", "{\"keys\":1}", "{\"keys\":[]", "{\"keys\":[],\"keys\":[]}" };
    struct signet_error e;

    for (size_t i = 0; i < ARRAY_LEN(no_set); i++) {
        e = (struct signet_error){ 0 };
        CU_ASSERT_PTR_NULL(signet_verifier_new(no_set[i], strlen(no_set[i]), &e));
        unit_same_str(no_set[i], e.reason, "KEY_UNUSABLE");
    }
    CU_ASSERT_PTR_NULL(signet_verifier_new("{}", SIZE_MAX, &e));
    unit_same_str("a length that cannot be", e.reason, "BAD_REQUEST");
    struct signet_verifier *v = signet_verifier_new("{\"keys\":[]}", 11, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(v);
    CU_ASSERT_PTR_NULL(signet_verifier_check(v, a1_token, strlen(a1_token), NULL, &e));
    unit_same_str("an empty set", e.reason, "KEY_UNKNOWN");
    signet_verifier_free(v);
}

static void offline_takes_a_mebibyte(void)
{
    static char token[1024 * 1024 + 1];
    struct signet_error e;
    struct signet_verifier *v = signet_verifier_new(a1_jwk, strlen(a1_jwk), &e);

    CU_ASSERT_PTR_NOT_NULL_FATAL(v);
    memset(token, 'A', sizeof token);
    CU_ASSERT_PTR_NULL(signet_verifier_check(v, token, sizeof token - 1, NULL, &e));
    unit_same_str("1 MiB", e.reason, "MALFORMED");
    CU_ASSERT_PTR_NULL(signet_verifier_check(v, token, sizeof token, NULL, &e));
    unit_same_str("1 MiB and a byte", e.reason, "TOO_LARGE");
    signet_verifier_free(v);
}

static void verdicts(void)
{
    CU_ASSERT_FALSE(signet_error_is_verdict(NULL));
    static const struct { const char *reason; bool verdict; } c[] = {
        { "EXPIRED", true }, { "TOO_LARGE", true }, { "WRONG_TYPE", true }, { "DAEMON_UNREACHABLE", false },
        { "DEADLINE_EXCEEDED", false }, { "CALLER_NOT_ALLOWED", false }, { "", false }, { "OF_TOMORROW", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        struct signet_error e = { 0 };
        snprintf(e.reason, sizeof e.reason, "%s", c[i].reason);
        unit_same_int(c[i].reason, signet_error_is_verdict(&e), c[i].verdict);
    }
}

static const struct unit_case cases[] = {
    { "a sign request carries all that was asked", sign_carries_all },
    { "a request that makes no sense is refused without a daemon", sign_refuses_nonsense_unasked },
    { "a batch fails item by item", batch_fails_item_by_item },
    { "the daemon's verdict and the bytes that were signed come back", verify_by_the_daemon },
    { "what was not asked for is not taken", what_was_not_asked_for_is_not_taken },
    { "a status comes whole", status_comes_whole },
    { "keys are listed, made and imported, the configuration is read again", administration },
    { "a daemon's restart between two calls goes unnoticed", restart_goes_unnoticed },
    { "a key is never asked for twice", keys_are_not_made_twice },
    { "an answer that came too late is nobody's", late_answer_is_nobodys },
    { "no daemon: the path and what to look at", no_daemon },
    { "the environment names the sockets", environment_names_the_sockets },
    { "an answer that no signetd gives is not believed", lies_are_not_believed },
    { "answers to what was not asked yet are dropped", unasked_answers_are_dropped },
    { "errors too long are cut between characters", long_errors_are_cut_between_characters },
    { "replies with changed bytes break nothing", changed_bytes_break_nothing },
    { "the key set comes in pages of one version", keys_in_pages },
    { "a preview asks what signing asks", preview_asks_what_sign_asks },
    { "profiles come in pages of one version", profiles_in_pages },
    { "offline: each rule accepts and refuses", offline_rules },
    { "offline: what is no key set is refused", offline_refuses_what_is_no_set },
    { "offline: tokens may have a mebibyte", offline_takes_a_mebibyte },
    { "a verdict is told from 'could not check'", verdicts },
};
UNIT_MAIN(cases)
