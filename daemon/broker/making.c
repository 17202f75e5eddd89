/* New keys, and those who wait for the token to be listed again. */
#include "daemon/broker/keys_private.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <stdio.h>
#include <string.h>

struct making {
    struct keys *keys;
    char ring[RING_MAX_NAME + 1];
    struct waiter *waiter;           /* whose owner may be forgotten meanwhile */
};

/* --- waiting ----------------------------------------------------------------------------- */

static struct waiter *waiter_add(struct keys *k, keys_made *done, void *owner, struct err *e)
{
    struct waiter *w = k->n_waiters < KEYS_MAX_WAITERS ? calloc(1, sizeof *w) : NULL;

    if (!w) {
        err_set(e, ERR_QUEUE_FULL, "too many wait for the token to be listed");
        return NULL;
    }
    *w = (struct waiter){ k->waiters, done, owner, 0, k->n_listings };
    k->waiters = w;
    k->n_waiters++;
    return w;
}

bool keys_wait(struct keys *k, keys_made *done, void *owner, struct err *e)
{
    if (!waiter_add(k, done, owner, e))
        return false;
    keys_refresh(k);
    return true;
}

void keys_forget(struct keys *k, void *owner)
{
    for (struct waiter *w = k->waiters; w; w = w->next)
        if (w->owner == owner)
            w->owner = NULL;
}

/* A listing begun before something was made says nothing of it. */
void waiters_call(struct keys *k, const struct err *e)
{
    struct waiter *all = k->waiters;

    k->waiters = NULL;
    while (all) {
        struct waiter *w = all;
        all = w->next;
        if (w->after == NOT_YET || (!e && w->after >= k->n_listings)) {
            w->next = k->waiters;
            k->waiters = w;
            continue;
        }
        if (w->owner)
            w->done(w->owner, w->id, e);
        k->n_waiters--;
        free(w);
    }
}

/* --- making -------------------------------------------------------------------------------- */

static void made(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct making *mk = owner;
    struct keys *k = mk->keys;
    struct ring_view *v = view_of(k, mk->ring);
    struct err why;

    if (m && m->of_case == SIGNET__ROLE__MESSAGE__OF_CHANGED && m->changed->why) {
        err_set(&why, (enum err_reason)m->changed->why->reason, "%s", m->changed->why->text);
        e = &why;
    } else if (m && m->of_case != SIGNET__ROLE__MESSAGE__OF_CHANGED) {
        err_set(&why, ERR_INTERNAL, "a signer answered with something else than the key");
        e = &why;
    }
    k->n_making--;
    if (v) {
        v->making = false;
        v->made_after = k->n_listings;
        v->trouble = e ? *e : (struct err){ 0 };
    }
    if (e) {
        log_error("ring '%s': no key could be made: %s: %s", mk->ring, err_reason_name(e->reason), e->text);
        if (mk->waiter)
            mk->waiter->after = 0;
        if (mk->waiter && mk->waiter->owner) {
            mk->waiter->done(mk->waiter->owner, 0, e);
            mk->waiter->owner = NULL;
        }
    } else {
        log_info("ring '%s': a key was made", mk->ring);
        if (mk->waiter) {
            mk->waiter->id = m->changed->key;
            mk->waiter->after = k->n_listings;
        }
    }
    keys_refresh(k);
    free(mk);
}

/* A first key signs at once; a later one when every verifier must know it, on a moment that all daemons choose alike. */
static int64_t activation(const struct ring_view *v, int64_t now)
{
    const struct ring_settings *s = &v->config->settings;
    int64_t ahead = s->max_age + s->refresh + s->skew + s->generation_time, at = now;

    if (ring_size(v->ring) == 0)
        return now;
    if (s->publish_ahead > ahead)
        ahead = s->publish_ahead;
    for (size_t i = 0; i < ring_size(v->ring); i++)
        if (ring_state(v->ring, i, now) == KEY_ACTIVE && s->rotate_every)
            at = ring_key(v->ring, i)->activates_at + s->rotate_every;
    if (at < now + ahead)
        at = now + ahead;
    return (at + s->refresh - 1) / s->refresh * s->refresh;
}

static bool label_for(const struct ring_view *v, int64_t now, char out[LABEL_MAX])
{
    const struct ring_settings *s = &v->config->settings;
    struct label l = { .kind = LABEL_KEY, .at = activation(v, now), .max_ttl = s->max_ttl, .skew = s->skew,
                       .max_age = s->max_age };

    memcpy(l.ring, s->name, sizeof l.ring);
    snprintf(l.alg, sizeof l.alg, "%s", v->config->alg->name);
    return label_write(&l, out);
}

static bool begin(struct keys *k, struct ring_view *v, const void *secret, size_t len, struct waiter *waiter,
                  int64_t now, struct err *e)
{
    struct making *mk = calloc(1, sizeof *mk);
    struct work_for f = keys_work(k, k->conf->config->token.generate_timeout_ms, made, mk);
    char label[LABEL_MAX];
    struct job *j = NULL;

    if (mk && label_for(v, now, label))
        j = secret ? work_import(&f, v->config->alg, label, secret, len)
                   : work_generate(&f, v->config->alg, v->config->rsa_bits, label);
    if (!j)
        err_set(e, ERR_NO_MEMORY, "no memory to make a key");
    if (!j || !pool_submit(k->signers, j, e)) {
        free(mk);
        return false;
    }
    *mk = (struct making){ .keys = k, .waiter = waiter };
    memcpy(mk->ring, v->config->settings.name, sizeof mk->ring);
    v->making = true;
    k->n_making++;
    return true;
}

void making_begin_empty(struct keys *k, int64_t now)
{
    for (size_t i = 0; i < k->n_views; i++) {
        struct ring_view *v = &k->views[i];
        if (!v->config->settings.create || v->making || ring_size(v->ring) > 0 || v->made_after >= k->n_listings)
            continue;
        if (k->n_making > 0)
            return;                  /* its turn comes with the listing after that */
        log_info("ring '%s' has no key and says create: one is generated", v->config->settings.name);
        if (!begin(k, v, NULL, 0, NULL, now, &v->trouble))
            log_error("ring '%s': no key could be made: %s", v->config->settings.name, v->trouble.text);
    }
}

static bool may_make(struct keys *k, const struct ring_view *v, const void *secret, size_t len, int64_t now,
                     struct err *e)
{
    const struct ring_config *c = v->config;
    const char *name = c->settings.name;
    bool hmac = c->alg->family == ALG_HMAC;

    if (secret && !hmac)
        return err_set(e, ERR_BAD_REQUEST, "ring '%s' is %s: only an HMAC ring takes a secret", name, c->alg->name);
    if (secret && len < c->alg->hash_len && !c->allow_weak_secret)
        return err_set(e, ERR_KEY_TOO_WEAK, "%s wants a secret of at least %zu bytes, this one has %zu: take a longer one,"
                       " or say allow_weak_secret for ring '%s'", c->alg->name, c->alg->hash_len, len, name);
    if (v->making || k->n_making) {
        err_set(e, ERR_STARTING, "a key is being made; one at a time: try again");
        e->retry_after_ms = 500;
        return false;
    }
    const struct held *next = keys_next(k, name, now);
    if (next)
        return err_set(e, ERR_KEY_EXISTS, "ring '%s' has its next key already, '%s'", name, next->kid);
    return true;
}

bool keys_make(struct keys *k, const char *ring, const void *secret, size_t len, keys_made *done, void *owner,
               struct err *e)
{
    int64_t now = clock_now();

    if (!keys_ready(k, e))
        return false;
    struct ring_view *v = view_of(k, ring);
    if (!v)
        return err_set(e, ERR_UNKNOWN_RING, "the configuration has no ring '%.32s'", ring);
    if (!may_make(k, v, secret, len, now, e))
        return false;
    struct waiter *w = waiter_add(k, done, owner, e);
    if (!w)
        return false;
    w->after = NOT_YET;
    if (begin(k, v, secret, len, w, now, e))
        return true;
    w->owner = NULL;
    w->after = 0;
    return false;
}
