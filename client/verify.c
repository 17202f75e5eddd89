/*
 * Two doors to one kind of result: the daemon's verdict, and our own against
 * a key set. The payload is copied, with a NUL after it, for those who would
 * print it.
 */
#include "client/clock.h"
#include "client/error.h"
#include "client/handle.h"
#include "client/op.h"
#include "proto/jose/verify.h"

#include <string.h>

#define MAX_JWKS (64u * 1024 * 1024)   /* bytes: a thousand keys of 16384 bits, and no length that cannot be */
#define MAX_NAMES 1024u          /* a count beyond it is no count */

struct signet_verifier {
    struct jwk_set *set;
};

struct signet_verified *op_verified(const void *payload, size_t len, const char *profile, const char *kid,
                                    int64_t expires_at, struct signet_error *e)
{
    /* One block: the struct, the payload, the names. */
    size_t profile_len = strlen(profile), kid_len = kid ? strlen(kid) : 0;
    struct signet_verified *v = malloc(sizeof *v + len + 1 + profile_len + 1 + kid_len + 1);

    if (!v) {
        error_no_memory(e);
        return NULL;
    }
    char *bytes = (char *)(v + 1), *profile_copy = bytes + len + 1, *kid_copy = profile_copy + profile_len + 1;
    if (len)
        memcpy(bytes, payload, len);
    bytes[len] = '\0';
    memcpy(profile_copy, profile, profile_len + 1);
    memcpy(kid_copy, kid ? kid : "", kid_len + 1);
    *v = (struct signet_verified){ bytes, len, profile_copy, kid_copy, expires_at };
    return v;
}

void signet_verified_free(struct signet_verified *v)
{
    free(v);
}

bool op_verify(Signet__V1__Request *op, Signet__V1__VerifyRequest *m, const void *token, size_t len,
               const char *profile, const char *audience, struct signet_error *e)
{
    signet__v1__request__init(op);
    signet__v1__verify_request__init(m);
    if (!op_bytes_ok("token", token, len, e))
        return false;
    m->token = (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)token };
    if (profile)
        m->profile = (char *)(uintptr_t)profile;
    if (audience)
        m->audience = (char *)(uintptr_t)audience;
    op->op_case = SIGNET__V1__REQUEST__OP_VERIFY;
    op->verify = m;
    return true;
}

struct signet_verified *op_verified_of(const Signet__V1__Request *asked, Signet__V1__Reply *taken,
                                       struct signet_error *e)
{
    CLEANUP(reply_freep) Signet__V1__Reply *reply = taken;
    CLEANUP(buf_clear) struct buf payload;
    const Signet__V1__VerifyRequest *ask = asked->verify;
    const Signet__V1__VerifyReply *r = reply->verify;
    bool ok = op_payload((const char *)ask->token.data, ask->token.len, &payload);

    if (!ok || payload.len != r->payload.len || (payload.len && memcmp(payload.data, r->payload.data, payload.len) != 0) ||
        (*ask->profile && strcmp(ask->profile, r->profile) != 0)) {
        error_set(e, ERR_PROTOCOL_BROKEN, "what was answered is not the payload of the token, or of another profile");
        return NULL;
    }

    return op_verified(r->payload.data, r->payload.len, r->profile, r->kid, r->expires_at, e);
}

struct signet_verified *signet_verify(struct signet *s, const void *token, size_t len,
                                      const char *profile, const char *audience, struct signet_error *e)
{
    Signet__V1__Request op;
    Signet__V1__VerifyRequest m;
    Signet__V1__Reply *reply = op_verify(&op, &m, token, len, profile, audience, e) ? handle_call(s, &op, e) : NULL;

    return reply ? op_verified_of(&op, reply, e) : NULL;
}

struct signet_verifier *signet_verifier_new(const char *jwks, size_t len, struct signet_error *e)
{
    struct err why;

    if (!jwks || len > MAX_JWKS) {
        error_set(e, ERR_BAD_REQUEST, jwks ? "a key set of %zu bytes: at most %u are read" : "no key set: it is NULL", len,
                  MAX_JWKS);
        return NULL;
    }
    struct signet_verifier *v = calloc(1, sizeof *v);
    if (!v) {
        error_no_memory(e);
        return NULL;
    }
    v->set = jwk_set_read(jwks, len, &why);
    if (!v->set) {
        error_from(e, &why);
        free(v);
        return NULL;
    }
    return v;
}

void signet_verifier_free(struct signet_verifier *v)
{
    if (!v)
        return;
    jwk_set_free(v->set);
    free(v);
}

/* Stands for a name that is no algorithm: a list of such names must allow nothing, not everything. */
static const struct alg unknown_alg = { .name = "", .family = ALG_HMAC, .kty = "" };

static bool names_ok(const char *what, const char *const *names, size_t n, struct signet_error *e)
{
    bool ok = n <= MAX_NAMES && (names || n == 0);

    for (size_t i = 0; ok && i < n; i++)
        ok = names[i];
    return ok || error_set(e, ERR_BAD_REQUEST, "%s: %zu, at most %u are allowed and none may be NULL", what, n, MAX_NAMES);
}

static bool rules_ok(const struct signet_verify_rules *r, struct signet_error *e)
{
    if (r->leeway_s > CLAIMS_MAX_LEEWAY)
        return error_set(e, ERR_BAD_REQUEST, "a leeway of %u s is more than the %u s allowed", (unsigned)r->leeway_s,
                         CLAIMS_MAX_LEEWAY);
    return names_ok("algs", r->algs, r->n_algs, e) && names_ok("audiences", r->audiences, r->n_audiences, e);
}

static const struct alg **algs_of(const struct signet_verify_rules *rules)
{
    const struct alg **algs = calloc(rules->n_algs ? rules->n_algs : 1, sizeof *algs);

    for (size_t i = 0; algs && i < rules->n_algs; i++) {
        algs[i] = alg_by_name(rules->algs[i], strlen(rules->algs[i]));
        if (!algs[i])
            algs[i] = &unknown_alg;
    }
    return algs;
}

struct signet_verified *signet_verifier_check(const struct signet_verifier *v, const void *token, size_t len,
                                              const struct signet_verify_rules *rules, struct signet_error *e)
{
    static const struct signet_verify_rules none;
    rules = rules ? rules : &none;
    if (!v || (!token && len)) {
        error_set(e, ERR_BAD_REQUEST, v ? "the token is NULL" : "the verifier is NULL: did signet_verifier_new fail?");
        return NULL;
    }
    if (!rules_ok(rules, e))
        return NULL;
    CLEANUP(freep) const struct alg **algs = algs_of(rules);
    struct claims_rules want = {
        .issuer = rules->issuer, .audiences = rules->audiences, .n_audiences = rules->n_audiences,
        .typ = rules->typ, .leeway_s = rules->leeway_s, .now = rules->at_given ? rules->at : clock_wall_s(),
    };
    struct verify_rules how = {
        .algs = algs, .n_algs = rules->n_algs, .max_len = VERIFY_MAX_OFFLINE,
        .allow_weak_secret = rules->allow_weak_secret, .claims = rules->no_claims ? NULL : &want,
    };
    const struct jwk *key = NULL;
    struct signet_verified *out = NULL;
    struct claims claims = { 0 };
    struct jws j;
    struct err why;

    if (!algs) {
        error_no_memory(e);
        return NULL;
    }
    if (verify_token(&j, token, len, v->set, &how, &key, &claims, &why))
        out = op_verified(j.payload.data, j.payload.len, "", jwk_kid(key), claims.expires_at, e);
    else
        error_from(e, &why);
    claims_clear(&claims);
    jws_clear(&j);
    return out;
}
