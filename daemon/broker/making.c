/* New keys, and those who wait for the token to be listed again. */
#include "daemon/broker/keys_private.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <stdio.h>
#include <string.h>

#define MAX_SECRET 4096u             /* bytes */
#define RETRY_FIRST_MS 500           /* an empty ring's next try, twice as late each time, at most its refresh */
#define RETRY_NEVER INT64_MAX        /* until a reload makes the view anew */

struct making {
    struct making *next;
    struct keys *keys;
    char ring[RING_MAX_NAME + 1];
    bool import;
    struct buf secret;
    struct waiter *waiter;           /* whose owner may be forgotten meanwhile; NULL: begun by ourselves */
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
    for (struct waiter *w = k->calling; w; w = w->next)
        if (w->owner == owner)
            w->owner = NULL;
}

/* A listing begun before something was made says nothing of it. */
void waiters_call(struct keys *k, const struct err *e)
{
    struct waiter *w;

    /* One that is called may end the requests of others: keys_forget must still find them. */
    k->calling = k->waiters;
    k->waiters = NULL;
    while ((w = k->calling)) {
        k->calling = w->next;
        if (w->after == NOT_YET || (!e && w->after >= k->n_settled)) {
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

static void making_free(struct making *mk)
{
    buf_clear(&mk->secret);
    free(mk);
}

/* What may pass is tried again soon; what the token or the configuration cannot do is not done at the next try either. */
static int64_t retry_ms(struct ring_view *v, const struct err *e)
{
    int64_t in_ms = RETRY_FIRST_MS << (v->n_failed < 16 ? v->n_failed : 16), most = v->config->settings.refresh * 1000;

    v->n_failed++;
    if (err_code(e->reason) == CODE_FAILED_PRECONDITION || err_code(e->reason) == CODE_INVALID_ARGUMENT)
        return RETRY_NEVER;
    return clock_mono_ms() + (in_ms < most ? in_ms : most);
}

static void made(struct making *mk, uint64_t id, const struct err *e)
{
    struct keys *k = mk->keys;
    struct ring_view *v = view_of(k, mk->ring);
    struct waiter *w = mk->waiter;

    if (v) {
        v->making = false;
        v->trouble = e ? *e : (struct err){ 0 };
        v->retry_ms = e ? retry_ms(v, e) : 0;
    }
    if (e)
        log_error("ring '%s': no key could be made: %s: %s%s", mk->ring, err_reason_name(e->reason), e->text,
                  v && !w && v->retry_ms == RETRY_NEVER ? "; not tried again before a reload" : "");
    else
        log_info("ring '%s': a key was made", mk->ring);
    if (w && e && w->owner) {
        w->done(w->owner, 0, e);
        w->owner = NULL;
    }
    if (w) {
        w->id = id;
        w->after = k->n_listings;
    }
    k->made_after = k->n_listings;
    making_free(mk);
    keys_refresh(k);
}

static void answered(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct making *mk = owner;
    struct err why;

    mk->keys->making = false;
    if (m && m->of_case == SIGNET__ROLE__MESSAGE__OF_CHANGED && m->changed->why) {
        channel_why(m->changed->why, &why);
        e = &why;
    } else if (m && m->of_case != SIGNET__ROLE__MESSAGE__OF_CHANGED) {
        err_set(&why, ERR_INTERNAL, "a signer answered with something else than the key");
        e = &why;
    }
    made(mk, e ? 0 : m->changed->key, e);
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

static bool may_make(struct keys *k, const struct ring_view *v, bool import, size_t secret_len, int64_t now,
                     struct err *e)
{
    const struct ring_config *c = v->config;
    const char *name = c->settings.name;
    const struct held *next = keys_next(k, name, now);

    if (import && c->alg->family != ALG_HMAC)
        return err_set(e, ERR_BAD_REQUEST, "ring '%s' is %s: only an HMAC ring takes a secret", name, c->alg->name);
    if (import && secret_len < c->alg->hash_len && !c->allow_weak_secret)
        return err_set(e, ERR_KEY_TOO_WEAK, "%s wants a secret of at least %zu bytes, this one has %zu: take a longer one,"
                       " or say allow_weak_secret for ring '%s'", c->alg->name, c->alg->hash_len, secret_len, name);
    if (next)
        return err_set(e, ERR_KEY_EXISTS, "ring '%s' has its next key already, '%s'", name, next->kid);
    return true;
}

static struct job *import_job(const struct keys *k, const struct work_for *f, const struct ring_view *v,
                              const struct making *mk, const char *label)
{
    CLEANUP(freep) uint64_t *others = calloc(k->n_held + 1, sizeof *others);
    size_t n = 0;

    for (size_t i = 0; others && i < k->n_held; i++)
        if (strcmp(k->held[i]->ring, mk->ring) == 0 && !k->held[i]->gone)
            others[n++] = k->held[i]->id;
    return others ? work_import(f, v->config->alg, label, mk->secret.data, mk->secret.len, others, n) : NULL;
}

static bool begin(struct keys *k, struct making *mk, int64_t now, struct err *e)
{
    struct work_for f = keys_work(k, k->conf->config->token.generate_timeout_ms, answered, mk);
    struct ring_view *v = view_of(k, mk->ring);
    char label[LABEL_MAX];
    struct job *j = NULL;

    if (!v)
        return err_set(e, ERR_UNKNOWN_RING, "the configuration has no ring '%s' any more", mk->ring);
    if (!may_make(k, v, mk->import, mk->secret.len, now, e))
        return false;
    if (label_for(v, now, label))
        j = mk->import ? import_job(k, &f, v, mk, label)
                       : work_generate(&f, v->config->alg, v->config->rsa_bits, label);
    if (!j)
        return err_set(e, ERR_NO_MEMORY, "no memory to make a key");
    return pool_submit(k->signers, j, e);
}

/* secret NULL: to be generated. False: no memory. */
static bool enqueue(struct keys *k, struct ring_view *v, const void *secret, size_t len, struct waiter *w)
{
    struct making *mk = calloc(1, sizeof *mk), **at = &k->makings;

    if (!mk)
        return false;
    *mk = (struct making){ .keys = k, .import = secret != NULL, .waiter = w };
    memcpy(mk->ring, v->config->settings.name, sizeof mk->ring);
    buf_init_secret(&mk->secret, MAX_SECRET);
    if (secret && !buf_append(&mk->secret, secret, len)) {
        making_free(mk);
        return false;
    }
    while (*at)
        at = &(*at)->next;
    *at = mk;
    v->making = true;
    return true;
}

/* Rings that say create and have no key at all. */
static void find_empty(struct keys *k)
{
    for (size_t i = 0; i < k->n_views; i++) {
        struct ring_view *v = &k->views[i];
        if (!v->config->settings.create || v->making || ring_size(v->ring) > 0)
            continue;
        if (clock_mono_ms() < v->retry_ms) {
            k->list_at_ms = v->retry_ms < k->list_at_ms ? v->retry_ms : k->list_at_ms;
            continue;
        }
        log_info("ring '%s' has no key and says create: one is generated", v->config->settings.name);
        enqueue(k, v, NULL, 0, NULL);
    }
}

void making_next(struct keys *k, int64_t now)
{
    struct err e;

    if (k->making || k->n_settled <= k->made_after)
        return;
    find_empty(k);
    while (k->makings && !k->making) {
        struct making *mk = k->makings;
        k->makings = mk->next;
        if (begin(k, mk, now, &e))
            k->making = true;
        else
            made(mk, 0, &e);
    }
}

void making_clear(struct keys *k)
{
    while (k->makings) {
        struct making *mk = k->makings;
        k->makings = mk->next;
        making_free(mk);
    }
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
    if (!may_make(k, v, secret != NULL, len, now, e))
        return false;
    struct waiter *w = waiter_add(k, done, owner, e);
    if (!w)
        return false;
    if (!enqueue(k, v, secret, len, w)) {
        w->owner = NULL;
        return err_set(e, ERR_NO_MEMORY, "no memory to make a key");
    }
    w->after = NOT_YET;
    making_next(k, now);
    return true;
}
