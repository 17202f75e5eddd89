/*
 * verify: asymmetric tokens are judged by a verifier process. HMAC keys have
 * no public half: a signer has the token verify the MAC; the rest is
 * proto/jose's code, the same as the verifiers'.
 */
#include "daemon/broker/ops/ops.h"

#include "daemon/base/clock.h"
#include "daemon/broker/work.h"
#include "proto/jose/verify.h"

#include <string.h>

struct verify_state {
    struct request *rq;
    const struct profile *profile;
    const struct ring_config *ring;  /* the profile's */
    struct job *job;                 /* outstanding; NULL: none */
    /* HMAC */
    struct jws jws;
    const struct alg *alg;           /* of the key that is tried */
    char kid[RING_MAX_KID + 1];
    size_t nth;                      /* which published key is tried, where the token names none */
    unsigned by;                     /* the signer that said no: a second one must say the same. 0: nobody was asked yet */
};

static struct claims_rules rules_of(const struct profile *p)
{
    return (struct claims_rules){ .issuer = p->issuer, .audiences = (const char *const *)p->audiences,
                                  .n_audiences = p->n_audiences, .typ = p->typ, .leeway_s = p->leeway_s };
}

/* --- whose is it --------------------------------------------------------------------------- */

static bool has(char *const *list, size_t n, const char *one)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], one) == 0)
            return true;
    return false;
}

static const struct profile *find_profile(const struct config *c, const struct claims *claims, const char *typ,
                                          struct err *e)
{
    enum claims_fit farthest = CLAIMS_FIT_NONE;

    for (size_t i = 0; i < c->n_profiles; i++) {
        const struct profile *p = &c->profiles[i];
        struct claims_rules rules = rules_of(p);
        enum claims_fit f = p->raw ? CLAIMS_FIT_NONE : claims_fit(claims, typ, &rules);
        if (f == CLAIMS_FIT_ALL)
            return p;
        farthest = f > farthest ? f : farthest;
    }
    claims_misfit(farthest, e);
    return NULL;
}

/* Who may verify by no profile at all has no token read. */
static bool may_verify_some(const struct request *rq, struct err *e)
{
    const struct config *c = rq->conf->config;

    for (size_t i = 0; i < c->n_profiles; i++)
        if (policy_may_verify(&c->profiles[i], &rq->caller, e))
            return true;
    return err_set(e, ERR_CALLER_NOT_ALLOWED, "no profile allows uid %u to verify", (unsigned)rq->caller.uid);
}

/* By what the token says of itself; nothing of that is believed, the profile judges it. */
static const struct profile *profile_of_token(const struct request *rq, const struct jws *j, struct err *e)
{
    struct claims claims = { 0 };
    const struct profile *p = NULL;

    if (claims_peek(j->payload.data, j->payload.len, &claims, e))
        p = find_profile(rq->conf->config, &claims, j->typ, e);
    claims_clear(&claims);
    return p;
}

/* --- the answer ------------------------------------------------------------------------------- */

static void accept_token(struct verify_state *v, const void *payload, size_t len, const char *kid, int64_t expires_at)
{
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__VerifyReply verify = SIGNET__V1__VERIFY_REPLY__INIT;

    verify.payload = (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)payload };
    verify.profile = v->profile->name;
    verify.kid = (char *)(uintptr_t)kid;
    verify.expires_at = expires_at;
    r.result_case = SIGNET__V1__REPLY__RESULT_VERIFY;
    r.verify = &verify;
    v->rq->broker->counters.verified_tokens++;
    request_reply(v->rq, &r);
}

static void verified(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct verify_state *v = owner;
    struct err why;

    v->job = NULL;
    if (m)
        request_count_job(v->rq, STATS_VERIFY, j);
    if (!m || m->of_case != SIGNET__ROLE__MESSAGE__OF_VERIFIED) {
        if (m)
            err_set(&why, ERR_INTERNAL, "a verifier answered with something else than a verdict");
        request_refuse(v->rq, m ? &why : e);
    } else if (m->verified->why) {
        channel_why(m->verified->why, &why);
        /* It may be one that another daemon made since. */
        if (why.reason == ERR_KEY_UNKNOWN)
            tokens_miss_one(v->rq->broker, v->ring, &why);
        request_refuse(v->rq, &why);
    } else {
        accept_token(v, m->verified->payload.data, m->verified->payload.len, m->verified->kid, m->verified->expires_at);
    }
}

static struct work_for work_for(struct verify_state *v, job_done *done)
{
    uint32_t timeout_ms = v->rq->conf->config->tokens[v->ring->tokens[0]].timeout_ms;

    return (struct work_for){ v->rq->account, v->rq->deadline_ms, timeout_ms, done, v, NULL };
}

static bool submit(struct verify_state *v, struct pool *p, struct job *j, struct err *e)
{
    if (!j)
        return err_set(e, ERR_NO_MEMORY, "no memory for another request");
    if (!pool_submit(p, j, e))
        return false;
    v->job = j;
    return true;
}

/* --- HMAC ----------------------------------------------------------------------------------------- */

static bool try_key(struct verify_state *v, struct err *e);

static void judge_claims(struct verify_state *v)
{
    const struct profile *p = v->profile;
    const Signet__V1__VerifyRequest *ask = v->rq->msg->verify;
    const char *audience = ask->audience;
    struct claims_rules rules = rules_of(p);
    struct claims claims = { 0 };
    struct err e;

    rules.now = clock_now();
    if (*audience) {
        rules.audiences = &audience;
        rules.n_audiences = 1;
    }
    if (p->raw || claims_check(v->jws.payload.data, v->jws.payload.len, v->jws.typ, &rules, &claims, &e))
        accept_token(v, v->jws.payload.data, v->jws.payload.len, v->kid, p->raw ? 0 : claims.expires_at);
    else
        request_refuse(v->rq, &e);
    claims_clear(&claims);
}

/* Of a good token a module that errs must not say that it is bad: the first word against one is not the last. */
static void mac_differs(struct verify_state *v, unsigned by)
{
    struct err e;

    if (v->by == 0) {
        v->by = by;
        if (!try_key(v, &e))
            request_refuse(v->rq, &e);
        return;
    }
    v->by = 0;
    if (v->jws.kid)
        err_set(&e, ERR_BAD_SIGNATURE, "the signature is not that of key '%s'", v->kid);
    else
        v->nth++;
    if (v->jws.kid || !try_key(v, &e))
        request_refuse(v->rq, &e);
}

static void mac_checked(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct verify_state *v = owner;
    struct err why;

    v->job = NULL;
    if (m)
        request_count_job(v->rq, STATS_VERIFY, j);
    if (!m || m->of_case != SIGNET__ROLE__MESSAGE__OF_CHECKED) {
        if (m)
            err_set(&why, ERR_INTERNAL, "a signer answered with something else than a verdict");
        request_refuse(v->rq, m ? &why : e);
    } else if (m->checked->why) {
        channel_why(m->checked->why, &why);
        request_refuse(v->rq, &why);
    } else if (m->checked->good) {
        judge_claims(v);
    } else {
        mac_differs(v, j->peer);
    }
}

/* The key that the token names, or the next one. */
static bool try_key(struct verify_state *v, struct err *e)
{
    struct broker *b = v->rq->broker;
    const char *kid = v->jws.kid;
    struct broker_token *on;
    struct held *key = kid && strlen(kid) > RING_MAX_KID
                           ? NULL : tokens_published(b, v->ring, kid, v->jws.alg, v->nth, clock_now(), &on);

    if (!key && tokens_miss_one(b, v->ring, e))
        return false;
    if (!key && v->nth > 0)
        return err_set(e, ERR_BAD_SIGNATURE, "the signature is that of no key of the profile");
    if (!key)
        return err_set(e, ERR_KEY_UNKNOWN, kid ? "the profile's ring has no key with this token's kid"
                                               : "the profile's ring has no key");
    if (key->trouble.reason != ERR_NONE) {
        *e = key->trouble;
        return err_wrap(e, "ring '%s', key '%s'", v->profile->ring, key->kid);
    }
    if (v->jws.alg != key->alg)
        return err_set(e, ERR_ALG_NOT_ALLOWED, "the token says %.20s, the key is for %s", v->jws.alg_name, key->alg->name);
    if (v->jws.signature.len != key->alg->hash_len)
        return err_set(e, ERR_BAD_SIGNATURE, "a signature of %zu bytes; %s has %zu", v->jws.signature.len, key->alg->name,
                       key->alg->hash_len);
    v->alg = key->alg;
    memcpy(v->kid, key->kid, sizeof v->kid);
    struct work_for f = work_for(v, mac_checked);
    f.toll = &v->rq->toll;
    struct job *j = work_check_mac(&f, key->id, key->alg, v->jws.signing_input, v->jws.signing_input_len, v->jws.signature.data,
                                   v->jws.signature.len);
    if (j) {
        j->not_peer = v->by;
        work_find_anew(j, key->doubted_by);
    }
    return submit(v, &on->signers, j, e);
}

/* The ring's algorithm, or while it changes over that of its keys: the key that is found says which. */
static bool begin_hmac(struct verify_state *v, struct err *e)
{
    const struct alg *algs[] = { v->ring->alg, v->jws.alg };
    struct broker_token *on;
    bool changing = v->jws.alg && v->jws.alg->family == ALG_HMAC &&
                    tokens_published(v->rq->broker, v->ring, NULL, v->jws.alg, 0, clock_now(), &on);
    const struct verify_rules rules = { .algs = algs, .n_algs = changing ? 2 : 1 };

    return verify_alg_allowed(&v->jws, &rules, e) && try_key(v, e);
}

/* A ring that changes over between secrets and public keys has both: the token's kind says which are asked. */
static bool is_for_secrets(const struct verify_state *v)
{
    struct broker *b = v->rq->broker;

    if (!tokens_have_secrets(b, v->ring, clock_now()))
        return false;
    return !tokens_have_public(b, v->ring) || (v->jws.alg && v->jws.alg->family == ALG_HMAC);
}

/* --- the operation ------------------------------------------------------------------------------------ */

static bool audience_ok(const struct profile *p, const char *audience, struct err *e)
{
    if (!*audience || (!p->raw && has(p->audiences, p->n_audiences, audience)))
        return true;
    return err_set(e, ERR_AUDIENCE_NOT_ALLOWED, "profile '%s' has no audience '%.64s'", p->name, audience);
}

static bool begin(struct request *rq, struct err *e)
{
    const Signet__V1__VerifyRequest *ask = rq->msg->verify;
    struct verify_state *v = calloc(1, sizeof *v);

    if (!v)
        return err_set(e, ERR_NO_MEMORY, "no memory for another request");
    v->rq = rq;
    rq->state = v;
    if (*ask->profile && !(v->profile = rq->profile = request_profile(rq, ask->profile, e)))
        return false;
    /* The caller is judged before the token, as far as that can be. */
    if (v->profile ? !policy_may_verify(v->profile, &rq->caller, e) : !may_verify_some(rq, e))
        return false;
    if (!jws_parse(&v->jws, ask->token.data, ask->token.len, rq->conf->config->daemon.max_request, e))
        return false;
    if (!v->profile && (!(v->profile = rq->profile = profile_of_token(rq, &v->jws, e)) ||
                        !policy_may_verify(v->profile, &rq->caller, e)))
        return false;
    v->ring = config_ring(rq->conf->config, v->profile->ring);
    if (!audience_ok(v->profile, ask->audience, e) || !tokens_fresh(rq->broker, v->ring, e))
        return false;
    if (is_for_secrets(v))
        return begin_hmac(v, e);
    struct work_for f = work_for(v, verified);
    return submit(v, &rq->broker->verifiers, work_verify(&f, rq->conf, v->profile, ask->token.data, ask->token.len,
                  *ask->audience ? ask->audience : NULL, clock_now()), e);
}

static uint32_t deadline(const struct request *rq)
{
    const struct profile *p = config_profile(rq->conf->config, rq->msg->verify->profile);

    return p ? p->deadline_ms : op_usual_deadline(rq);
}

static void leave(struct request *rq)
{
    struct verify_state *v = rq->state;

    if (v && v->job)
        job_leave(TAKE(v->job));
}

static void state_free(struct request *rq)
{
    struct verify_state *v = rq->state;

    jws_clear(&v->jws);
    free(v);
}

const struct op op_verify = {
    SIGNET__V1__REQUEST__OP_VERIFY, "verify", false, deadline, begin, leave, state_free,
};
