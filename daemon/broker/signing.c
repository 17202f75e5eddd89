#include "daemon/broker/signing.h"

#include "daemon/base/clock.h"
#include "daemon/broker/work.h"
#include "proto/jose/jws.h"

#include <string.h>
#include <sys/random.h>

#define MAX_TRIES 5u                 /* a key that changed or a token that failed: looked up anew, done by another; of two
                                        signers whose module is used up each fails twice before it is replaced */
#define FRAME_OVERHEAD 128u          /* bytes of a VerifyRequest beside token and profile name */
#define SOFTWARE_VERIFY_EVERY 64u    /* verifying costs there what signing does */

static void advance(struct signing *s);

/* --- building ---------------------------------------------------------------------------------- */

static struct wish wish_of(const Signet__V1__SignRequest *ask)
{
    struct wish w = { .subject = ask->subject, .audiences = (const char *const *)ask->audiences,
                      .n_audiences = ask->n_audiences, .ttl_s = ask->ttl_s, .not_before = ask->not_before,
                      .jti = ask->jti };

    if (ask->content_case == SIGNET__V1__SIGN_REQUEST__CONTENT_CLAIMS) {
        w.claims = ask->claims.data;
        w.claims_len = ask->claims.len;
    }
    return w;
}

static bool raw_ok(const struct profile *p, const Signet__V1__SignRequest *ask, struct err *e)
{
    bool payload = ask->content_case == SIGNET__V1__SIGN_REQUEST__CONTENT_PAYLOAD;

    if (p->raw != payload)
        return err_set(e, ERR_PAYLOAD_NOT_ALLOWED, p->raw
                       ? "profile '%s' is raw: it signs a payload as it is, and wants one in place of claims"
                       : "profile '%s' builds the payload itself: send subject and claims; only a raw one takes a payload",
                       p->name);
    if (p->raw && (*ask->subject || ask->n_audiences || ask->ttl_s || ask->not_before || *ask->jti))
        return err_set(e, ERR_PAYLOAD_NOT_ALLOWED, "profile '%s' is raw: subject, audience, ttl, not-before and jti have no"
                       " meaning beside a payload", p->name);
    return true;
}

/* 128 bits for a jti; asked of the kernel by the page: a call for each token costs more than making its payload. */
static bool draw(uint8_t out[16])
{
    static uint8_t pool[1024];
    static size_t used = sizeof pool;

    if (used == sizeof pool) {
        if (getrandom(pool, sizeof pool, 0) != sizeof pool)
            return false;
        used = 0;
    }
    memcpy(out, pool + used, 16);
    used += 16;
    return true;
}

static bool payload_of(struct signing *s, const struct held *key, int64_t now, struct buf *out, struct err *e)
{
    struct wish w = wish_of(s->ask);
    uint8_t random[16];

    if (s->profile->raw)
        return buf_append(out, s->ask->payload.data, s->ask->payload.len) ||
               err_set(e, ERR_NO_MEMORY, "no memory for the payload");
    if (!draw(random))
        return err_sys(e, "no random bytes");
    return policy_payload(s->profile, &s->rq->caller, &w, now, key->max_ttl, random, out, &s->verdict, e);
}

static size_t signature_letters(const struct held *key)
{
    size_t len = key->alg->signature_len ? key->alg->signature_len : ALG_MAX_SIGNATURE;

    return 1 + (len * 4 + 2) / 3;
}

static const struct ring_config *ring_of(const struct signing *s)
{
    return config_ring(s->rq->conf->config, s->profile->ring);
}

static bool build(struct signing *s, struct err *e)
{
    struct request *rq = s->rq;
    int64_t now = clock_now();
    size_t max = rq->conf->config->daemon.max_request;
    struct held *key = tokens_signer(rq->broker, ring_of(s), now, &s->on, e);
    struct buf payload;

    if (!key)
        return false;
    s->key = key->id;
    s->alg = key->alg;
    memcpy(s->kid, key->kid, sizeof s->kid);
    buf_init(&payload, max);
    s->token.len = 0;
    bool ok = payload_of(s, key, now, &payload, e);
    if (ok && !jws_signing_input(&s->token, key->alg, s->profile->typ, s->profile->kid ? key->kid : NULL, payload.data,
                                 payload.len))
        ok = err_set(e, ERR_TOKEN_TOO_LARGE, "the token would be longer than a request may be (%zu bytes)", max);
    buf_clear(&payload);
    size_t whole = s->token.len + signature_letters(key) + strlen(s->profile->name) + FRAME_OVERHEAD;
    if (ok && whole > max)
        ok = err_set(e, ERR_TOKEN_TOO_LARGE, "the token would have some %zu bytes, and could not be sent back to verify in"
                     " a request of at most %zu: send fewer or shorter claims", whole, max);
    return ok;
}

/* --- signing -------------------------------------------------------------------------------------- */

static struct work_for work_for(struct signing *s, job_done *done)
{
    return (struct work_for){ s->rq->account, s->rq->deadline_ms, s->rq->conf->config->tokens[s->on->index].timeout_ms, done,
                              s, &s->rq->toll };
}

static void fail(struct signing *s, const struct err *e)
{
    s->err = *e;
    s->state = SG_FAILED;
}

static void relist_or_fail(struct signing *s, const struct err *e)
{
    if (++s->n_tries < MAX_TRIES)
        s->state = SG_RELIST;
    else
        fail(s, e);
}

/* Another signer, or the same a moment later, may do it. */
static void again_or_fail(struct signing *s, const struct err *e)
{
    if (e->reason == ERR_KEY_HANDLE_INVALID || e->reason == ERR_TOKEN_UNREACHABLE || e->reason == ERR_TOKEN_FAILED ||
        e->reason == ERR_NO_MEMORY)
        relist_or_fail(s, e);
    else
        fail(s, e);
}

/* A ring that gets another key, or its first, does so within the next listings: the deadline is the end of waiting. */
static void wait_or_fail(struct signing *s, const struct err *e)
{
    if (e->reason == ERR_RING_BUSY)
        s->state = SG_RELIST;
    else
        fail(s, e);
}

/* Its signature is not its key's, or is none: `e`. Nobody gets it; another try is made. */
static void wrong(struct signing *s, const struct err *e)
{
    struct peer *signer = &s->on->signers.peers[s->by - 1];

    s->rq->broker->counters.wrong_signatures++;
    if (s->made_as >= signer->wrong_before) {
        keys_wrong(s->on->keys, s->key, s->by, e);
        signer->wrong_before = signer->pool->next_id;
        /* Whatever it finds anew: its module is not what it was. */
        if (++signer->n_wrong >= HELD_MAX_WRONG && signer->ready)
            peer_hangs(signer, "it gives signatures that are not its keys'");
    }
    relist_or_fail(s, e);
}

static void not_its_own(struct signing *s)
{
    struct err e;

    err_set(&e, ERR_SIGNATURE_WRONG, "the token gave a signature that is not its key's ('%s')", s->kid);
    wrong(s, &e);
}

static void signed_now(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct signing *s = owner;
    struct err why;

    s->job = NULL;
    s->by = j->peer;
    s->made_as = j->id;
    if (m)
        request_count_job(s->rq, STATS_SIGN, j);
    if (!m || m->of_case != SIGNET__ROLE__MESSAGE__OF_WORK_DONE) {
        if (m)
            err_set(&why, ERR_INTERNAL, "a signer answered with something else than a signature");
        fail(s, m ? &why : e);
    } else if (m->work_done->why) {
        channel_why(m->work_done->why, &why);
        if (why.reason == ERR_SIGNATURE_WRONG)
            wrong(s, &why);
        else
            again_or_fail(s, &why);
    } else {
        s->signature_len = m->work_done->signature.len;
        if (s->signature_len && s->signature_len <= sizeof s->signature)
            memcpy(s->signature, m->work_done->signature.data, s->signature_len);
        s->state = SG_CHECK;
    }
    advance(s);
}

static void submit(struct signing *s, struct pool *p, struct job *j, enum signing_state then)
{
    struct err e;

    if (!j)
        err_set(&e, ERR_NO_MEMORY, "no memory for another signature");
    if (!j || !pool_submit(p, j, &e)) {
        fail(s, &e);
        return;
    }
    s->job = j;
    s->state = then;
}

static void sign(struct signing *s)
{
    const struct held *key = keys_by_id(s->on->keys, s->key);
    struct work_for f = work_for(s, signed_now);
    struct job *j = work_sign(&f, s->key, s->alg, key ? key->spki_len : 0, s->token.data, s->token.len);

    if (j && key)
        work_find_anew(j, key->doubted_by);
    submit(s, &s->on->signers, j, SG_SIGNING);
}

/* --- before release ----------------------------------------------------------------------------------- */

static void good(struct signing *s)
{
    keys_right(s->on->keys, s->key, s->by);
    keys_found_good(s->on->keys);
    s->on->signers.peers[s->by - 1].n_wrong = 0;
    s->state = SG_RELEASE;
}

static void checked(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct signing *s = owner;
    struct err why;

    s->job = NULL;
    if (!m || m->of_case != SIGNET__ROLE__MESSAGE__OF_CHECKED) {
        if (m)
            err_set(&why, ERR_INTERNAL, "a signature was to be checked, and was answered with something else than a verdict");
        fail(s, m ? &why : e);
    } else if (m->checked->why) {
        channel_why(m->checked->why, &why);
        again_or_fail(s, &why);
    } else if (m->checked->good) {
        good(s);
    } else {
        not_its_own(s);
    }
    advance(s);
}

static bool must_check(const struct signing *s, const struct held *key)
{
    struct broker *b = s->rq->broker;
    const struct ring_config *ring = ring_of(s);
    uint32_t every = ring ? ring->verify_every : 1;

    if (every == 0)
        every = s->on->info.software ? SOFTWARE_VERIFY_EVERY : 1;
    /* A faulty RSA signature can give the key away. */
    if (held_must_check(key, s->by) || s->alg->family == ALG_RSA_PKCS1 || s->alg->family == ALG_RSA_PSS)
        return true;
    return b->n_signatures++ % every == 0;
}

static bool length_ok(const struct signing *s, const struct held *key)
{
    if (s->alg->signature_len)
        return s->signature_len == s->alg->signature_len;
    return s->signature_len >= JWK_MIN_RSA_BITS / 8 && s->signature_len <= sizeof s->signature;
}

static void check(struct signing *s)
{
    const struct held *key = keys_by_id(s->on->keys, s->key);
    struct err e;

    if (!key) {
        err_set(&e, ERR_KEY_HANDLE_INVALID, "key '%s' went away while it signed", s->kid);
        relist_or_fail(s, &e);
    } else if (!length_ok(s, key)) {
        not_its_own(s);
    } else if (!must_check(s, key)) {
        s->state = SG_RELEASE;
    } else if (s->alg->family == ALG_HMAC) {
        /* There is no public half to check with: another signer's module is asked, where there is one. */
        struct work_for f = work_for(s, checked);
        struct job *j = work_check_mac(&f, s->key, s->alg, s->token.data, s->token.len, s->signature, s->signature_len);
        if (j) {
            j->not_peer = s->by;
            work_find_anew(j, key->doubted_by);
        }
        submit(s, &s->on->signers, j, SG_CHECKING);
    } else {
        struct work_for f = work_for(s, checked);
        f.toll = NULL;               /* no module of a token has a part in it */
        submit(s, &s->rq->broker->verifiers, work_check(&f, s->alg, key->spki, key->spki_len, s->token.data,
               s->token.len, s->signature, s->signature_len), SG_CHECKING);
    }
}

/* --- a key that is not what it was ------------------------------------------------------------------------ */

static void relisted(void *owner, uint64_t id, const struct err *e)
{
    struct signing *s = owner;

    /* One that failed says little of the key: what was listed before may do, with another signer. */
    if (e && ++s->n_tries >= MAX_TRIES)
        fail(s, e);
    else
        s->state = SG_BUILD;
    advance(s);
}

static void relist(struct signing *s)
{
    struct err e;

    if (keys_wait(s->on->keys, relisted, s, &e))
        s->state = SG_RELISTING;
    else
        fail(s, &e);
}

/* --- in the order life runs ----------------------------------------------------------------------------------- */

static void finish(struct signing *s)
{
    struct held *key = (struct held *)keys_by_id(s->on->keys, s->key);
    struct err e;

    if (!key || key->revoked) {      /* while it signed */
        err_set(&e, ERR_NO_ACTIVE_KEY, "key '%s' was %s while it signed", s->kid, key ? "revoked" : "destroyed");
        relist_or_fail(s, &e);
        return;
    }
    if (!jws_append_signature(&s->token, s->signature, s->signature_len) || !buf_append_char(&s->token, '\0')) {
        err_set(&e, ERR_NO_MEMORY, "no memory for the token");
        fail(s, &e);
        return;
    }
    s->rq->broker->counters.signed_tokens++;
    held_signed(key, s->profile->name, clock_now());
    s->state = SG_WHOLE;
}

static void advance(struct signing *s)
{
    struct err e;

    for (;;)
        switch (s->state) {
        case SG_BUILD:
            if (build(s, &e))
                s->state = SG_SIGN;
            else
                wait_or_fail(s, &e);
            break;
        case SG_SIGN:       sign(s); break;
        case SG_SIGNING:    return;
        case SG_CHECK:      check(s); break;
        case SG_CHECKING:   return;
        case SG_RELIST:     relist(s); break;
        case SG_RELISTING:  return;
        case SG_RELEASE:    finish(s); break;
        case SG_WHOLE:
        case SG_FAILED:     s->done(s); return;
        }
}

bool signing_prepare(struct signing *s, struct request *rq, const Signet__V1__SignRequest *ask, struct err *e)
{
    *s = (struct signing){ .rq = rq, .ask = ask };
    buf_init(&s->token, rq->conf->config->daemon.max_request + 1);
    s->profile = rq->profile = request_profile(rq, ask->profile, e);
    return s->profile && policy_may_sign(s->profile, &rq->caller, e) && raw_ok(s->profile, ask, e) &&
           request_rate(rq, s->profile, e) && build(s, e);
}

bool signing_begin(struct signing *s, struct request *rq, const Signet__V1__SignRequest *ask,
                   void (*done)(struct signing *s), struct err *e)
{
    bool prepared = signing_prepare(s, rq, ask, e);

    if (!prepared && e->reason != ERR_RING_BUSY)
        return false;
    s->done = done;
    s->state = prepared ? SG_SIGN : SG_RELIST;
    if (prepared)
        sign(s);
    else
        relist(s);
    if (s->state != SG_FAILED)
        return true;
    *e = s->err;                     /* nobody could take it */
    return false;
}

void signing_leave(struct signing *s)
{
    if (s->job)
        job_leave(TAKE(s->job));
    if (s->state == SG_RELISTING)
        keys_forget(s->on->keys, s);
}

void signing_clear(struct signing *s)
{
    buf_clear(&s->token);
}

void signing_reply(const struct signing *s, Signet__V1__SignReply *out)
{
    signet__v1__sign_reply__init(out);
    out->token = (char *)s->token.data;
    out->kid = s->profile->kid ? (char *)(uintptr_t)s->kid : out->kid;
    out->jti = (char *)(uintptr_t)s->verdict.jti;
    out->expires_at = s->verdict.expires_at;
}
