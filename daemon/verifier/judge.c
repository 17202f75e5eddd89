#include "daemon/verifier/judge.h"

#include "proto/jose/verify.h"

#include <stdlib.h>
#include <string.h>

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

struct ring_keys { char *ring; struct jwk_set *set; };
struct known_key {
    uint8_t *spki;
    size_t spki_len;
    const struct alg *alg;
    struct jwk *key;
    uint64_t used;                 /* the turn of its last use; the least is given up */
};

struct judge {
    struct ring_keys *rings;
    size_t n_rings;
    struct known_key known[JUDGE_MAX_SPKIS];
    uint64_t turn;
};

struct judge *judge_new(void)
{
    return calloc(1, sizeof(struct judge));
}

static void known_clear(struct known_key *k)
{
    free(k->spki);
    jwk_free(k->key);
    *k = (struct known_key){ 0 };
}

void judge_free(struct judge *j)
{
    if (!j)
        return;
    for (size_t i = 0; i < j->n_rings; i++) {
        free(j->rings[i].ring);
        jwk_set_free(j->rings[i].set);
    }
    free(j->rings);
    for (size_t i = 0; i < JUDGE_MAX_SPKIS; i++)
        known_clear(&j->known[i]);
    free(j);
}

/* ---- key sets ---- */

static struct ring_keys *find_ring(struct judge *j, const char *ring)
{
    for (size_t i = 0; i < j->n_rings; i++)
        if (strcmp(j->rings[i].ring, ring) == 0)
            return &j->rings[i];
    return NULL;
}

static void forget_ring(struct judge *j, struct ring_keys *r)
{
    if (!r)
        return;
    free(r->ring);
    jwk_set_free(r->set);
    *r = j->rings[--j->n_rings];
}

static bool add_ring(struct judge *j, const char *ring, struct jwk_set **set, struct err *e)
{
    if (j->n_rings == JUDGE_MAX_RINGS)
        return err_set(e, ERR_INTERNAL, "key set of ring '%s': a verifier holds at most %u", ring, JUDGE_MAX_RINGS);
    struct ring_keys *rings = realloc(j->rings, (j->n_rings + 1) * sizeof *rings);
    if (rings)
        j->rings = rings;
    CLEANUP(freep) char *name = strdup(ring);
    if (!rings || !name)
        return err_set(e, ERR_NO_MEMORY, "key set of ring '%s': no memory", ring);
    rings[j->n_rings++] = (struct ring_keys){ TAKE(name), TAKE(*set) };
    return true;
}

static bool hear_key_set(struct judge *j, const Message *m, judge_reply *reply, void *ctx, struct err *e)
{
    const Signet__Role__KeySet *k = m->key_set;

    /* Whatever comes instead, the old keys are no longer the ring's. */
    forget_ring(j, find_ring(j, k->ring));
    if (k->jwks.len == 0)
        return true;
    CLEANUP(jwk_set_freep) struct jwk_set *set = jwk_set_read(k->jwks.data, k->jwks.len, e);
    if (!set)
        return err_wrap(e, "key set of ring '%s'", k->ring);
    return add_ring(j, k->ring, &set, e);
}

/* ---- tokens ---- */

/* Of reasons that another ring may still overrule, the later one says more. 0: final. */
static unsigned rank(enum err_reason reason)
{
    static const enum err_reason order[] = { ERR_KEY_UNKNOWN, ERR_KEY_UNUSABLE, ERR_BAD_SIGNATURE };

    for (unsigned i = 0; i < ARRAY_LEN(order); i++)
        if (order[i] == reason)
            return i + 1;
    return 0;
}

/* Against one ring. */
static bool try_ring(struct judge *j, const Signet__Role__VerifyToken *v, const char *ring,
                     const struct verify_rules *rules, Signet__Role__Verified *out, struct jws *jws,
                     struct claims *claims, struct err *e)
{
    const struct ring_keys *r = find_ring(j, ring);
    const struct jwk *key = NULL;

    if (!r)
        return err_set(e, ERR_STARTING, "the keys of ring '%s' are not known yet: try again", ring);
    if (!verify_token(jws, v->token.data, v->token.len, r->set, rules, &key, claims, e)) {
        jws_clear(jws);
        return false;
    }
    out->payload = (ProtobufCBinaryData){ jws->payload.len, jws->payload.data };
    if (jwk_kid(key))
        out->kid = (char *)jwk_kid(key);
    out->expires_at = claims->expires_at;
    return true;
}

/* Against each, until one has the last word; the best reason where none has. */
static bool try_rings(struct judge *j, const Signet__Role__VerifyToken *v, const struct verify_rules *rules,
                      Signet__Role__Verified *out, struct jws *jws, struct claims *claims, struct err *e)
{
    struct err why = { 0 };
    bool unknown_ring = false;

    err_set(e, ERR_INTERNAL, "no ring to hold the token against");
    for (size_t i = 0; i < v->n_rings; i++) {
        if (try_ring(j, v, v->rings[i], rules, out, jws, claims, &why))
            return true;
        if (err_is_verdict(why.reason) && rank(why.reason) == 0) {
            *e = why;
            return false;
        }
        if (!err_is_verdict(why.reason)) {
            unknown_ring = true;             /* its key may be there: no other ring's refusal is the last word */
            *e = why;
        } else if (!unknown_ring && rank(why.reason) > rank(e->reason)) {
            *e = why;
        }
    }
    return false;
}

static bool fill_rules(const Signet__Role__VerifyToken *v, const struct alg **alg, struct claims_rules *claims,
                       struct verify_rules *rules, struct err *e)
{
    *alg = alg_by_name(v->alg, strlen(v->alg));
    if (!*alg && v->alg[0])
        return err_set(e, ERR_INTERNAL, "a ring's algorithm '%s' is none that signet knows", v->alg);
    *claims = (struct claims_rules){
        .issuer = v->issuer[0] ? v->issuer : NULL,
        .audiences = (const char *const *)v->audiences,
        .n_audiences = v->n_audiences,
        .typ = v->typ[0] ? v->typ : NULL,
        .leeway_s = v->leeway_s,
        .now = v->now,
    };
    *rules = (struct verify_rules){
        .algs = alg, .n_algs = *alg != NULL, .max_len = v->max_len, .claims = v->jwt ? claims : NULL,
    };
    return true;
}

static bool hear_token(struct judge *j, const Message *m, judge_reply *reply, void *ctx, struct err *e)
{
    const Signet__Role__VerifyToken *v = m->verify_token;
    Message out = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Verified verified = SIGNET__ROLE__VERIFIED__INIT;
    Signet__Role__Why why = SIGNET__ROLE__WHY__INIT;
    CLEANUP(claims_clear) struct claims claims = { 0 };
    CLEANUP(jws_clear) struct jws jws = { 0 };
    struct verify_rules rules;
    struct claims_rules claims_rules;
    const struct alg *alg;
    struct err refusal = { 0 };

    verified.id = v->id;
    if (!fill_rules(v, &alg, &claims_rules, &rules, &refusal) ||
        !try_rings(j, v, &rules, &verified, &jws, &claims, &refusal)) {
        why.reason = refusal.reason;
        why.text = refusal.text;
        why.retry_after_ms = refusal.retry_after_ms;
        verified.why = &why;
    }
    out.of_case = OF(VERIFIED);
    out.verified = &verified;
    reply(ctx, &out);
    return true;
}

/* ---- signatures ---- */

/* The key, parsed: remembered from before, or read now in place of the one unused for longest. NULL: it is none. */
static const struct jwk *key_of(struct judge *j, const ProtobufCBinaryData *spki, const struct alg *alg)
{
    struct known_key *oldest = &j->known[0];
    struct err e;

    for (size_t i = 0; i < JUDGE_MAX_SPKIS; i++) {
        struct known_key *k = &j->known[i];
        if (k->key && k->alg == alg && k->spki_len == spki->len && memcmp(k->spki, spki->data, spki->len) == 0) {
            k->used = ++j->turn;
            return k->key;
        }
        if (k->used < oldest->used)
            oldest = k;
    }
    CLEANUP(jwk_freep) struct jwk *key = jwk_from_spki(spki->data, spki->len, alg, &e);
    CLEANUP(freep) uint8_t *copy = malloc(spki->len ? spki->len : 1);
    if (!key || !copy)
        return NULL;
    memcpy(copy, spki->data, spki->len);
    known_clear(oldest);
    *oldest = (struct known_key){ TAKE(copy), spki->len, alg, TAKE(key), ++j->turn };
    return oldest->key;
}

static bool hear_signature(struct judge *j, const Message *m, judge_reply *reply, void *ctx, struct err *e)
{
    const Signet__Role__CheckSignature *c = m->check_signature;
    Message out = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Checked checked = SIGNET__ROLE__CHECKED__INIT;
    const struct alg *alg = alg_at(c->alg);
    const struct jwk *key = alg ? key_of(j, &c->spki, alg) : NULL;

    checked.id = c->id;
    checked.good = key && jwk_verifies(key, alg, c->input.data, c->input.len, c->signature.data, c->signature.len);
    out.of_case = OF(CHECKED);
    out.checked = &checked;
    reply(ctx, &out);
    return true;
}

static const struct {
    Signet__Role__Message__OfCase of;
    bool (*hear)(struct judge *j, const Message *m, judge_reply *reply, void *ctx, struct err *e);
} heard[] = {
    { OF(KEY_SET), hear_key_set },
    { OF(VERIFY_TOKEN), hear_token },
    { OF(CHECK_SIGNATURE), hear_signature },
};

bool judge_hear(struct judge *j, const Message *m, judge_reply *reply, void *ctx, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(heard); i++)
        if (heard[i].of == m->of_case)
            return heard[i].hear(j, m, reply, ctx, e);
    return err_set(e, ERR_INTERNAL, "a verifier was sent message %d, which is none of its own", (int)m->of_case);
}
