#include "client/address.h"
#include "client/clock.h"
#include "client/error.h"
#include "client/follower.h"
#include "client/handle.h"
#include "client/op.h"
#include "proto/jose/verify.h"

#include <pthread.h>
#include <string.h>

struct signet_local {
    struct signet *daemon;       /* for what only the daemon can judge */
    _Atomic uint32_t wait_ms;
    struct follower *_Atomic follower;
};

struct signet_local *signet_local_open(const char *path, struct signet_error *e)
{
    struct signet_local *l = calloc(1, sizeof *l);
    struct sockaddr_un address;

    if (!l) {
        error_no_memory(e);
        return NULL;
    }
    l->wait_ms = HANDLE_TIMEOUT_MS;
    if (!address_of(DOOR_CALLERS, path, &address, e) || !(l->daemon = signet_open(address.sun_path, e))) {
        free(l);
        return NULL;
    }
    struct follower *f = follower_new(&address);
    l->follower = f;
    if (f)
        return l;
    error_no_memory(e);
    signet_close(l->daemon);
    free(l);
    return NULL;
}

void signet_local_close(struct signet_local *l)
{
    if (!l)
        return;
    follower_free(l->follower);
    signet_close(l->daemon);
    free(l);
}

void signet_local_set_wait(struct signet_local *l, uint32_t wait_ms)
{
    if (l)
        l->wait_ms = wait_ms;
}

/* --- judging ------------------------------------------------------------------------------------ */

/* A call, from its beginning to its verdict. */
struct judging {
    struct jws jws;
    const char *profile, *audience;      /* as asked; NULL: none */
    int64_t began_ns;                    /* clock_steady_ns */
    const char *daemon_profile;          /* out: what it takes is not in the set, but in the daemon's hands, by this one */
};

static struct claims_rules rules_of(const struct signet_profile *p)
{
    return (struct claims_rules){ .issuer = p->issuer, .audiences = p->audiences, .n_audiences = p->n_audiences,
                                  .typ = p->typ, .leeway_s = p->leeway_s, .now = clock_wall_s() };
}

static const struct signet_profile *named(const struct signet_keys *k, const char *name, struct err *e)
{
    for (size_t i = 0; i < k->n_profiles; i++)
        if (strcmp(k->profiles[i].name, name) == 0)
            return &k->profiles[i];
    err_set(e, ERR_UNKNOWN_PROFILE, "there is no profile '%.64s'", name);
    return NULL;
}

static const struct signet_profile *fitting(const struct signet_keys *k, const struct jws *j, struct err *e)
{
    CLEANUP(claims_clear) struct claims c = { 0 };
    enum claims_fit farthest = CLAIMS_FIT_NONE;

    if (!claims_peek(j->payload.data, j->payload.len, &c, e))
        return NULL;
    for (size_t i = 0; i < k->n_profiles; i++) {
        struct claims_rules rules = rules_of(&k->profiles[i]);
        enum claims_fit f = k->profiles[i].raw ? CLAIMS_FIT_NONE : claims_fit(&c, j->typ, &rules);
        if (f == CLAIMS_FIT_ALL)
            return &k->profiles[i];
        farthest = f > farthest ? f : farthest;
    }
    claims_misfit(farthest, e);
    return NULL;
}

static bool audience_ok(const struct signet_profile *p, const char *audience, struct err *e)
{
    for (size_t i = 0; audience && !p->raw && i < p->n_audiences; i++)
        if (strcmp(p->audiences[i], audience) == 0)
            return true;
    return !audience || err_set(e, ERR_AUDIENCE_NOT_ALLOWED, "profile '%s' has no audience '%.64s'", p->name, audience);
}

static bool is_hmac(const struct alg *alg)
{
    return alg && alg->family == ALG_HMAC;
}

/* A ring has HMAC keys besides public ones while its algorithm changes over. */
static bool is_secret(const struct signet_profile *p, const struct jws *j)
{
    return is_hmac(alg_by_name(p->alg, strlen(p->alg))) || (p->has_secret_keys && is_hmac(j->alg));
}

/* No newer set would have an HMAC key: that is no reason to fetch one. */
static struct signet_verified *leave_to_daemon(struct judging *g, const struct signet_profile *p, struct err *e)
{
    g->daemon_profile = p->name;
    err_set(e, is_secret(p, &g->jws) ? ERR_KEY_UNUSABLE : ERR_KEY_UNKNOWN, "the key set has no key of profile '%s' for this"
            " token", p->name);
    return NULL;
}

static struct signet_verified *judge(struct judging *g, const struct key_set *s, struct err *e)
{
    CLEANUP(claims_clear) struct claims claims = { 0 };
    g->daemon_profile = NULL;
    const struct signet_profile *p = g->profile ? named(s->keys, g->profile, e) : fitting(s->keys, &g->jws, e);

    if (!p || !audience_ok(p, g->audience, e))
        return NULL;
    const struct alg *alg = alg_by_name(p->alg, strlen(p->alg));
    const struct ring_keys *keys = key_set_ring(s, p->ring);
    /* Rings of HMAC alone or not published, an algorithm of a newer daemon. */
    if (!keys || !alg)
        return leave_to_daemon(g, p, e);
    struct claims_rules rules = rules_of(p);
    if (g->audience) {
        rules.audiences = &g->audience;
        rules.n_audiences = 1;
    }
    /* No list of algorithms: each key of the ring names its own, and a ring may be on its way from one to another. */
    const struct verify_rules how = { .claims = p->raw ? NULL : &rules };
    const struct jwk *key = NULL;
    struct signet_error no_memory;
    if (!verify_jws(&g->jws, keys->set, &how, &key, &claims, e)) {
        /* It may be one of those that we cannot read. */
        bool is_daemons = e->reason == ERR_KEY_UNKNOWN && (keys->partial || is_secret(p, &g->jws));
        return is_daemons ? leave_to_daemon(g, p, e) : NULL;
    }
    struct signet_verified *v = op_verified(g->jws.payload.data, g->jws.payload.len, p->name, jwk_kid(key),
                                            claims.expires_at, &no_memory);
    if (!v)
        err_set(e, ERR_NO_MEMORY, "no memory");
    return v;
}

/* What a newer set might say otherwise: a key, a profile or an audience of one that this one does not have. */
static bool may_be_new(const struct jws *j, enum err_reason why)
{
    static const enum err_reason absent[] = { ERR_KEY_UNKNOWN, ERR_UNKNOWN_PROFILE, ERR_WRONG_ISSUER, ERR_WRONG_AUDIENCE,
                                              ERR_WRONG_TYPE, ERR_AUDIENCE_NOT_ALLOWED };

    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        if (absent[i] == why)
            return true;
    return why == ERR_BAD_SIGNATURE && !j->kid;      /* each key was tried, but for those that are not there */
}

static struct signet_verified *by_daemon(struct signet_local *l, const struct judging *g, const void *token, size_t len,
                                         int64_t until_ms, struct signet_error *e)
{
    Signet__V1__Request op;
    Signet__V1__VerifyRequest m;

    if (l->wait_ms > 0) {
        Signet__V1__Reply *reply = op_verify(&op, &m, token, len, g->daemon_profile, g->audience, e)
                                       ? handle_call_until(l->daemon, &op, until_ms, e) : NULL;
        return reply ? op_verified_of(&op, reply, e) : NULL;
    }
    error_set(e, ERR_KEYS_UNAVAILABLE, "profile '%s': the key set has no key for this token, only signetd can judge it, and this"
              " call may not wait (signet_async_verify)", g->daemon_profile);
    return NULL;
}

static struct signet_verified *verify(struct signet_local *l, struct follower *f, struct judging *g, const void *token,
                                      size_t len, struct signet_error *e)
{
    int64_t until_ms = conn_now_ms() + l->wait_ms;
    CLEANUP(key_set_unrefp) struct key_set *s = follower_set(f, g->began_ns, until_ms, e), *newer = NULL;
    struct err why;

    if (!s)
        return NULL;
    struct signet_verified *v = judge(g, s, &why);
    if (!v && may_be_new(&g->jws, why.reason)) {
        if (!follower_newer(f, s, g->began_ns, until_ms, &newer, e))
            return NULL;
        if (newer)
            v = judge(g, newer, &why);
    }
    if (!v && g->daemon_profile)
        return by_daemon(l, g, token, len, until_ms, e);
    if (!v)
        error_from(e, &why);
    return v;
}

struct signet_verified *signet_local_verify(struct signet_local *l, const void *token, size_t len,
                                            const char *profile, const char *audience, struct signet_error *e)
{
    struct judging g = { .profile = profile && *profile ? profile : NULL,
                         .audience = audience && *audience ? audience : NULL, .began_ns = clock_steady_ns() };
    struct signet_verified *v = NULL;
    struct follower *f;
    struct err why;
    int cancel;

    if (!l || (!token && len)) {
        error_set(e, ERR_BAD_REQUEST, l ? "the token is NULL" : "no handle to call through: did signet_local_open fail?");
        return NULL;
    }
    /* A thread that is cancelled in the middle would leave the others waiting for it. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    if (!(f = follower_here(&l->follower)))
        error_no_memory(e);
    else if (jws_parse(&g.jws, token, len, VERIFY_MAX_OFFLINE, &why))
        v = verify(l, f, &g, token, len, e);
    else
        error_from(e, &why);
    jws_clear(&g.jws);
    pthread_setcancelstate(cancel, NULL);
    return v;
}
