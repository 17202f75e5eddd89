/*
 * Whether the token signs now, though nobody has asked for a while: a test
 * signature with a key that signs for a ring, checked by a verifier. Where only
 * HMAC keys sign, the token verifies the MAC, by another signer if there is one:
 * that it agrees shows that the token computes, not what.
 */
#include "daemon/broker/keys/keys_private.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#define PULSE_MS 10000                 /* without a signature that was found good; and between two tries */
#define CHECK_MS 20000                 /* for a verifier to answer, as with proofs */

static const char pulse_text[] = "signet asks whether this token signs";      /* no JWT: it has no dot */

void keys_found_good(struct keys *k)
{
    if (k->pulse.failed)
        log_info("%s signs again", k->token);
    k->pulse.failed = false;
    k->pulse.good_at = clock_now();
    k->pulse.good_ms = clock_steady_ms();
}

int64_t keys_proved_at(const struct keys *k)
{
    return k->pulse.good_at;
}

static void came_to_nothing(struct keys *k, const struct err *why)
{
    k->pulse.running = false;
    if (!k->pulse.failed)
        log_warning("%s made no test signature that is good: %s: %s", k->token, err_reason_name(why->reason), why->text);
    k->pulse.failed = true;
}

static void is_wrong(struct keys *k)
{
    struct err e;

    err_set(&e, ERR_SIGNATURE_WRONG, "a test signature is not its key's");
    keys_wrong(k, k->pulse.key, k->pulse.by, &e);
    came_to_nothing(k, &e);
}

static void is_good(struct keys *k)
{
    k->pulse.running = false;
    keys_found_good(k);
}

static void submit(struct keys *k, struct pool *p, struct job *j)
{
    struct err e;

    if (!j)
        err_set(&e, ERR_NO_MEMORY, "no memory for a test signature");
    if (!j || !pool_submit(p, j, &e))
        came_to_nothing(k, &e);
}

/* The WorkDone, or NULL and came_to_nothing. */
static const Signet__Role__WorkDone *done(struct keys *k, const Signet__Role__Message *m, const struct err *e)
{
    struct err why;

    if (m && m->of_case == SIGNET__ROLE__MESSAGE__OF_WORK_DONE && !m->work_done->why)
        return m->work_done;
    if (m && m->of_case == SIGNET__ROLE__MESSAGE__OF_WORK_DONE)
        channel_why(m->work_done->why, &why);
    else if (m)
        err_set(&why, ERR_INTERNAL, "a signer answered with something else than a signature");
    came_to_nothing(k, m ? &why : e);
    return NULL;
}

static void pulse_checked(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct err why;

    if (!m) {
        came_to_nothing(owner, e);
    } else if (m->of_case == SIGNET__ROLE__MESSAGE__OF_CHECKED && m->checked->why) {
        channel_why(m->checked->why, &why);
        came_to_nothing(owner, &why);
    } else if (m->of_case == SIGNET__ROLE__MESSAGE__OF_CHECKED && m->checked->good) {
        is_good(owner);
    } else {
        is_wrong(owner);
    }
}

static void check_mac(struct keys *k, const struct held *h, const Signet__Role__WorkDone *d)
{
    struct work_for f = keys_work(k, k->wanted->config->tokens[0].timeout_ms, pulse_checked, k);

    if (d->signature.len != h->alg->hash_len) {
        is_wrong(k);
        return;
    }
    struct job *j = work_check_mac(&f, h->id, h->alg, pulse_text, sizeof pulse_text - 1, d->signature.data, d->signature.len);
    if (j)
        j->not_peer = k->pulse.by;
    submit(k, k->signers, j);
}

static void pulse_signed(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct keys *k = owner;
    const Signet__Role__WorkDone *d = done(k, m, e);
    const struct held *h = held_by_id(k, k->pulse.key);

    if (!d)
        return;
    k->pulse.by = j->peer;
    if (!h) {                                     /* it went meanwhile: nothing is known */
        k->pulse.running = false;
        return;
    }
    if (h->alg->family == ALG_HMAC) {
        check_mac(k, h, d);
        return;
    }
    struct work_for f = keys_work(k, CHECK_MS, pulse_checked, k);
    submit(k, k->verifiers, work_check(&f, h->alg, h->spki, h->spki_len, pulse_text, sizeof pulse_text - 1,
                                       d->signature.data, d->signature.len));
}

/* One with a public half says more. */
static const struct held *any_signer(struct keys *k, int64_t now)
{
    const struct held *found = NULL;
    struct err e;

    for (size_t i = 0; i < k->n_views; i++) {
        const struct held *h = keys_signer(k, k->views[i].config->settings.name, now, &e);
        if (h && h->alg->family != ALG_HMAC)
            return h;
        found = found ? found : h;
    }
    return found;
}

void pulse_tick(struct keys *k, int64_t now)
{
    int64_t steady_ms = clock_steady_ms();
    bool lately = k->pulse.good_ms && steady_ms - k->pulse.good_ms < PULSE_MS;
    bool tried = k->pulse.tried_ms && steady_ms - k->pulse.tried_ms < PULSE_MS;

    if (k->pulse.running || lately || tried || !pool_any(k->signers) || !pool_any(k->verifiers))
        return;
    const struct held *h = any_signer(k, now);
    k->pulse.tried_ms = steady_ms;
    if (!h)
        return;
    k->pulse.running = true;
    k->pulse.key = h->id;
    struct work_for f = keys_work(k, k->wanted->config->tokens[0].timeout_ms, pulse_signed, k);
    struct job *j = work_sign(&f, h->id, h->alg, h->spki_len, pulse_text, sizeof pulse_text - 1);
    if (j)
        work_find_anew(j, h->doubted_by);
    submit(k, k->signers, j);
}
