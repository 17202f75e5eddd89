/* Changes of the token, and those who wait for it to be listed again. */
#include "daemon/broker/keys/keys_private.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <stdio.h>
#include <string.h>

#define MAX_SECRET 4096u             /* bytes */
#define LIST_WAITED_MS 100           /* between listings that are waited for: nobody keeps a signer busy with them */
#define RETRY_FIRST_MS 500           /* the next try, twice as late each time, at most a refresh */
#define RETRY_HARD_MS 600000         /* what the token or the configuration cannot do now it rarely can a moment later */

struct change {
    struct change *next;
    struct keys *keys;
    char ring[RING_MAX_NAME + 1];
    struct keys_change want;         /* without the secret */
    struct buf secret;
    char what[200];                  /* for the log: "a key was made" */
    enum ring_action due;            /* what ring_next asked for; RING_NOTHING: somebody else did */
    int64_t latest;                  /* to be there by then, Unix seconds, or it is known too late; 0: any time */
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
    int64_t at_ms = k->asked_ms + LIST_WAITED_MS;

    if (!waiter_add(k, done, owner, e))
        return false;
    if (at_ms < k->list_at_ms)
        k->list_at_ms = at_ms;
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

/* --- the end of one ------------------------------------------------------------------------- */

static void change_free(struct change *c)
{
    buf_clear(&c->secret);
    free(c);
}

static int64_t retry_in_ms(struct ring_view *v, const struct err *e)
{
    int64_t in_ms = RETRY_FIRST_MS << (v->n_failed < 16 ? v->n_failed : 16), most = v->config->settings.refresh * 1000;

    v->n_failed++;
    if (err_code(e->reason) == CODE_FAILED_PRECONDITION || err_code(e->reason) == CODE_INVALID_ARGUMENT)
        return RETRY_HARD_MS;
    return in_ms < most ? in_ms : most;
}

static void note(struct change *c, struct ring_view *v, const struct err *e)
{
    int64_t in_ms = e ? retry_in_ms(v, e) : 0;
    char span[CLOCK_TEXT];

    if (!e) {
        v->trouble = (struct err){ 0 };
        v->n_failed = 0;
        v->retry_action = RING_NOTHING;
        v->retry_ms = 0;
        log_info("ring '%s': %s", c->ring, c->what);
        return;
    }
    if (c->waiter) {                 /* the one who asked for it is told */
        log_error("ring '%s': not done: %s: %s: %s", c->ring, c->what, err_reason_name(e->reason), e->text);
        return;
    }
    /* The same again and again is told once. */
    if (strcmp(e->text, v->trouble.text) != 0)
        log_error("ring '%s': not done: %s: %s: %s; tried again in %s, and later if that fails as well", c->ring, c->what,
                  err_reason_name(e->reason), e->text, clock_write_span(span, (in_ms + 999) / 1000));
    v->trouble = *e;
    v->retry_action = c->due;
    v->retry_ms = clock_steady_ms() + in_ms;
}

/* What we destroyed ourselves is missed by nobody; only who may still have to hold its place stays, as gone. */
static void destroyed(struct keys *k, const struct change *c, const struct err *e)
{
    struct held *h = (struct held *)keys_by_id(k, c->want.key);
    enum key_state state;

    if (h && e)
        h->stays_ms = clock_steady_ms() + RETRY_HARD_MS;     /* others that may go must not wait for it */
    if (h && !e && c->want.private_only)
        held_lost_half(h);
    if (!h || e || c->want.private_only)
        return;
    if (views_state(k, h, clock_now(), &state) && state == KEY_ACTIVE)
        h->gone = true;
    else
        h->let_go = true;
}

/* It took so long to make that not every verifier could have it in time: it has signed nothing, and goes again. */
static void withdraw(struct keys *k, const struct change *c, uint64_t id)
{
    log_warning("ring '%s': the new key was there too late to sign from its time on: it is withdrawn, and another made", c->ring);
    change_add(k, c->ring, &(struct keys_change){ .kind = CHANGE_DESTROY, .key = id }, NULL);
}

static void ended(struct change *c, uint64_t id, const struct err *e)
{
    struct keys *k = c->keys;
    struct ring_view *v = view_of(k, c->ring);
    struct waiter *w = c->waiter;

    if (v)
        note(c, v, e);
    if (c->want.kind == CHANGE_DESTROY)
        destroyed(k, c, e);
    if (!e && c->latest && clock_now() > c->latest)
        withdraw(k, c, id);
    if (w && e && w->owner) {
        w->done(w->owner, 0, e);
        w->owner = NULL;
    }
    if (w) {
        w->id = id;
        w->after = k->n_listings;
    }
    k->made_after = k->n_listings;
    change_free(c);
    keys_refresh(k);
}

static void answered(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct change *c = owner;
    struct err why;

    c->keys->changing = NULL;
    if (m && m->of_case == SIGNET__ROLE__MESSAGE__OF_CHANGED && m->changed->why) {
        channel_why(m->changed->why, &why);
        e = &why;
    } else if (m && m->of_case != SIGNET__ROLE__MESSAGE__OF_CHANGED) {
        err_set(&why, ERR_INTERNAL, "a signer answered with something else than how the change ended");
        e = &why;
    }
    ended(c, e ? 0 : m->changed->key, e);
}

/* --- the beginning of one ---------------------------------------------------------------------- */

static bool is_made(const struct keys_change *want)
{
    return want->kind == CHANGE_GENERATE || want->kind == CHANGE_IMPORT;
}

static bool may_make(struct keys *k, const struct ring_view *v, const struct keys_change *w, int64_t now, struct err *e)
{
    const struct ring_config *c = v->config;
    const char *name = c->settings.name;
    const struct held *next = keys_next(k, name, now);
    bool import = w->kind == CHANGE_IMPORT;

    if (import && c->alg->family != ALG_HMAC)
        return err_set(e, ERR_BAD_REQUEST, "ring '%s' is %s: only an HMAC ring takes a secret", name, c->alg->name);
    if (import && w->secret_len < c->alg->hash_len && !c->allow_weak_secret)
        return err_set(e, ERR_KEY_TOO_WEAK, "%s wants a secret of at least %zu bytes, this one has %zu: take a longer one,"
                       " or say allow_weak_secret for ring '%s'", c->alg->name, c->alg->hash_len, w->secret_len, name);
    if (next && w->at == 0)
        return err_set(e, ERR_KEY_EXISTS, "ring '%s' has its next key already, '%s'", name, next->kid);
    return true;
}

static struct job *import_job(const struct keys *k, const struct work_for *f, const struct ring_view *v,
                              const struct change *c, const char *label)
{
    CLEANUP(freep) uint64_t *others = calloc(k->n_held + 1, sizeof *others);
    size_t n = 0;

    for (size_t i = 0; others && i < k->n_held; i++)
        if (strcmp(k->held[i]->ring, c->ring) == 0 && !k->held[i]->gone)
            others[n++] = k->held[i]->id;
    return others ? work_import(f, v->config->alg, label, c->secret.data, c->secret.len, others, n) : NULL;
}

static struct job *make_job(const struct keys *k, const struct work_for *f, const struct ring_view *v, struct change *c,
                            int64_t now)
{
    const struct ring_settings *s = &v->config->settings;
    struct label l = { .kind = LABEL_KEY, .at = c->want.at ? c->want.at : ring_turn(v->ring, now), .max_ttl = s->max_ttl,
                       .skew = s->skew, .max_age = s->max_age };
    char label[LABEL_MAX], at[CLOCK_TEXT];

    if (l.at > now && c->want.kind == CHANGE_GENERATE)       /* a secret that is imported is never destroyed by itself */
        c->latest = l.at - (ring_ahead(v->ring, now) - s->generation_time);
    memcpy(l.ring, s->name, sizeof l.ring);
    snprintf(l.alg, sizeof l.alg, "%s", v->config->alg->name);
    snprintf(c->what, sizeof c->what, "a key is %s (%s), to sign from %s",
             c->want.kind == CHANGE_IMPORT ? "imported" : "made", l.alg, clock_write(at, l.at));
    if (!label_write(&l, label))
        return NULL;
    return c->want.kind == CHANGE_IMPORT ? import_job(k, f, v, c, label)
                                         : work_generate(f, v->config->alg, v->config->rsa_bits, label);
}

static struct job *fact_job(const struct work_for *f, struct change *c)
{
    struct label l = { .kind = c->want.fact.kind, .at = c->want.fact.at };
    char label[LABEL_MAX], at[CLOCK_TEXT];

    memcpy(l.ring, c->ring, sizeof l.ring);
    memcpy(l.kid, c->want.fact.kid, sizeof l.kid);
    if (l.kind == LABEL_REVOKED)
        snprintf(c->what, sizeof c->what, "key '%.128s' is recorded as revoked", l.kid);
    else
        snprintf(c->what, sizeof c->what, "key '%.128s' is brought forward to %s", l.kid, clock_write(at, l.at));
    return label_write(&l, label) ? work_write_fact(f, label) : NULL;
}

static struct job *destroy_job(const struct keys *k, const struct work_for *f, struct change *c)
{
    const struct held *h = keys_by_id(k, c->want.key);
    size_t n = 0;
    char **facts = h && h->kid[0] && !c->want.private_only ? facts_of_key(k, c->ring, h->kid, &n) : NULL;
    struct job *j = work_destroy(f, c->want.key, c->want.private_only, facts, n);

    labels_free(facts, n);
    snprintf(c->what, sizeof c->what, "%skey '%.128s' is destroyed", c->want.private_only ? "the private half of " : "",
             !h ? "" : h->kid[0] ? h->kid : h->label);
    return j;
}

/* What is due becomes the change itself. False: nothing is, any more. */
static bool resolve(struct change *c, const struct ring_view *v, int64_t now)
{
    struct ring_next next = ring_next(v->ring, now);

    if (next.at > now)
        return false;
    c->due = next.action;
    switch (next.action) {
    case RING_NOTHING:
        return false;
    case RING_GENERATE:
        c->want = (struct keys_change){ .kind = CHANGE_GENERATE, .at = next.activates_at };
        return true;
    case RING_PROMOTE:
        c->want = (struct keys_change){ .kind = CHANGE_FACT, .fact = { .kind = LABEL_PROMOTE, .at = next.activates_at } };
        memcpy(c->want.fact.kid, next.key->kid, sizeof next.key->kid);
        return true;
    case RING_DESTROY:
    case RING_DESTROY_PRIVATE:
        c->want = (struct keys_change){ .kind = CHANGE_DESTROY, .key = next.key->ref,
                                        .private_only = next.action == RING_DESTROY_PRIVATE };
        return true;
    }
    return false;
}

static bool begin(struct keys *k, struct change *c, const struct ring_view *v, int64_t now, struct err *e)
{
    struct work_for f = keys_work(k, k->conf->config->tokens[0].generate_timeout_ms, answered, c);

    if (is_made(&c->want) && !may_make(k, v, &c->want, now, e))
        return false;
    struct job *j = is_made(&c->want) ? make_job(k, &f, v, c, now) : c->want.kind == CHANGE_FACT ? fact_job(&f, c) : destroy_job(k, &f, c);
    if (!j)
        return err_set(e, ERR_NO_MEMORY, "no memory for a change of the token");
    return pool_submit(k->signers, j, e);
}

bool change_add(struct keys *k, const char *ring, const struct keys_change *want, struct waiter *w)
{
    struct change *c = calloc(1, sizeof *c), **at = &k->changes;

    if (!c)
        return false;
    *c = (struct change){ .keys = k, .want = *want, .waiter = w };
    c->want.secret = NULL;
    snprintf(c->ring, sizeof c->ring, "%s", ring);
    snprintf(c->what, sizeof c->what, "what is due");
    buf_init_secret(&c->secret, MAX_SECRET);
    if (want->secret && !buf_append(&c->secret, want->secret, want->secret_len)) {
        change_free(c);
        return false;
    }
    while (*at)
        at = &(*at)->next;
    *at = c;
    return true;
}

bool keys_changing(const struct keys *k, const char *ring)
{
    bool pending = k->changing && strcmp(k->changing->ring, ring) == 0;

    for (const struct change *c = k->changes; c; c = c->next)
        pending |= strcmp(c->ring, ring) == 0;
    return pending;
}

/* Nothing is left to do: whoever waits for it is told at the next listing, as of what was done. */
static void skip(struct change *c)
{
    if (c->waiter)
        c->waiter->after = c->keys->n_listings > 0 ? c->keys->n_listings - 1 : 0;
    keys_refresh(c->keys);
    change_free(c);
}

/* Who asked for it was told that it is not done, or has left. What revokes is done all the same. */
static bool is_dropped(const struct change *c)
{
    return c->waiter && !c->waiter->owner && !(c->want.kind == CHANGE_FACT && c->want.fact.kind == LABEL_REVOKED);
}

static void drop(struct change *c)
{
    c->waiter->after = 0;                /* waiters_call frees it */
    change_free(c);
}

void change_next(struct keys *k, int64_t now)
{
    struct err e;

    while (k->changes && !k->changing && k->n_settled > k->made_after) {
        struct change *c = k->changes;
        struct ring_view *v = view_of(k, c->ring);
        k->changes = c->next;
        if (is_dropped(c)) {
            drop(c);
        } else if (!v || !v->ring) {
            err_set(&e, ERR_UNKNOWN_RING, "the configuration has no ring '%s' any more", c->ring);
            ended(c, 0, &e);
        } else if (c->want.kind == CHANGE_DUE && !resolve(c, v, now)) {
            skip(c);
        } else if (c->want.still && !c->want.still(c->waiter->owner, &c->want, &e)) {
            ended(c, 0, &e);
        } else if (begin(k, c, v, now, &e)) {
            k->changing = c;
        } else {
            ended(c, 0, &e);
        }
    }
}

void changes_clear(struct keys *k)
{
    while (k->changes) {
        struct change *c = k->changes;
        k->changes = c->next;
        change_free(c);
    }
}

/* --- what operators ask for ------------------------------------------------------------------------ */

bool keys_change(struct keys *k, const char *ring, const struct keys_change *want, keys_made *done, void *owner,
                 struct err *e)
{
    int64_t now = clock_now();

    if (!keys_ready(k, e))
        return false;
    struct ring_view *v = view_of(k, ring);
    if (!v)
        return err_set(e, ERR_UNKNOWN_RING, "the configuration has no ring '%.32s'", ring);
    if (is_made(want) && !may_make(k, v, want, now, e))
        return false;
    struct waiter *w = waiter_add(k, done, owner, e);
    if (!w)
        return false;
    if (!change_add(k, ring, want, w)) {
        w->owner = NULL;
        return err_set(e, ERR_NO_MEMORY, "no memory for a change of the token");
    }
    w->after = NOT_YET;
    change_next(k, now);
    return true;
}
