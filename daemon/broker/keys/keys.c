#include "daemon/broker/keys/keys_private.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <stdio.h>
#include <string.h>

#define LISTINGS 2                     /* in a refresh: one may be late */
#define LIST_RETRY_MS 500              /* after a listing that failed, or one for another configuration */
#define LIST_GRACE_MS 20000            /* a listing of a slow token; waiting jobs have the same */
#define TICK_MS 20                     /* how late what becomes due at a moment may be seen */
#define CLOCK_LOOK_MS 200              /* for two clocks to be read beside each other */
#define CLOCK_SET_MS 2000              /* more than this at once is no slewing */

static void list_done(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e);

/* --- when ------------------------------------------------------------------------------------ */

static int64_t list_every_ms(const struct keys *k)
{
    const struct config *c = k->wanted->config;
    int64_t least = 3600;

    for (size_t i = 0; i < c->n_rings; i++)
        if (c->rings[i].settings.refresh < least)
            least = c->rings[i].settings.refresh;
    return least * 1000 / LISTINGS;
}

static void list_in(struct keys *k, int64_t in_ms)
{
    k->list_at_ms = clock_steady_ms() + in_ms;
}

struct work_for keys_work(struct keys *k, uint32_t timeout_ms, job_done *done, void *owner)
{
    return (struct work_for){ &k->account, clock_mono_ms() + LIST_GRACE_MS + timeout_ms, timeout_ms, done, owner, NULL };
}

static const struct token_config *token_config(const struct keys *k)
{
    return &k->wanted->config->tokens[0];
}

static void list_failed(struct keys *k, const struct err *e)
{
    if (k->trouble.reason != e->reason && e->reason != ERR_STARTING)
        log_warning("%s could not be listed: %s: %s", k->token, err_reason_name(e->reason), e->text);
    if (k->trouble.reason == ERR_NONE)
        k->trouble_since = clock_now();
    k->trouble = *e;
    waiters_call(k, e);
    list_in(k, LIST_RETRY_MS);
}

static void start_listing(struct keys *k)
{
    struct err e;
    struct work_for f = keys_work(k, token_config(k)->generate_timeout_ms, list_done, k);
    struct job *j = work_list(&f);

    if (!j)
        err_set(&e, ERR_NO_MEMORY, "no memory to list the token");
    if (!j || !pool_submit(k->signers, j, &e)) {
        list_failed(k, &e);
        return;
    }
    k->listing = true;
    k->asked_ms = clock_steady_ms();
    k->n_listings++;
    list_in(k, list_every_ms(k));       /* the end of this one is what the next waits for */
}

/*
 * Somebody set the wall's clock: what follows from the time is reckoned anew.
 * Slewing is slower than this from one look to the next.
 */
static void watch_clock(struct keys *k, int64_t now)
{
    int64_t before_ms = clock_steady_ms(), wall_ms = clock_wall_ms(), steady_ms = clock_steady_ms();
    int64_t by_ms = wall_ms - steady_ms - k->clock.ahead_ms;
    char by[CLOCK_TEXT];

    if (steady_ms - before_ms > CLOCK_LOOK_MS)       /* we were held up in between: look again */
        return;
    k->clock.ahead_ms += by_ms;
    if (k->clock.known && (by_ms > CLOCK_SET_MS || by_ms < -CLOCK_SET_MS)) {
        log_warning("the clock was set %s by %s: what every ring does is reckoned anew", by_ms > 0 ? "forward" : "back",
                    clock_write_span(by, by_ms / 1000));
        k->clock.set_ms = steady_ms;
        k->clock.by_ms = by_ms;
        if (k->listed_ms)
            views_refresh_all(k, now);
        keys_refresh(k);
    }
    k->clock.known = true;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct keys *k = arg;
    int64_t now = clock_now();

    if (!k->wanted)
        return;
    watch_clock(k, now);
    if (k->listed_ms)
        rotate_tick(k, now);
    /* While a key is made a listing shows it by half: only those that are due by themselves are taken then. */
    bool wanted = k->list_at_ms <= clock_steady_ms() &&
                  (!k->changing || clock_steady_ms() - k->asked_ms >= list_every_ms(k));
    if (wanted && !k->listing && k->n_proving == 0)
        start_listing(k);
    if (k->listed_ms && views_change_at(k) <= now)
        views_refresh(k, now);
    if (k->listed_ms)
        pulse_tick(k, now);
}

void keys_refresh(struct keys *k)
{
    k->list_at_ms = clock_steady_ms();
    event_active(k->tick, EV_TIMEOUT, 0);
}

/* --- listing --------------------------------------------------------------------------------------- */

static bool add(struct keys *k, const Signet__Role__Key *key, struct err *e)
{
    struct held *h = held_by_id(k, key->id);

    if (h) {
        held_listed(h);
    } else {
        struct held **more = reallocarray(k->held, k->n_held + 1, sizeof *more);
        if (more)
            k->held = more;
        if (!more || !(h = held_new(key, clock_steady_ms())))
            return err_set(e, ERR_NO_MEMORY, "no memory for the keys of the token");
        k->held[k->n_held++] = h;
    }
    held_classify(h, key, k->listed->config, clock_steady_ms());
    return true;
}

/* How old the listing before this one is. */
static int64_t out_of_touch_s(const struct keys *k)
{
    return (clock_steady_ms() - k->listed_ms) / 1000;
}

/*
 * Whether the missed key was a next one when it may have been withdrawn: by
 * the listing that had it last, which after a time without any is long ago.
 */
static bool was_next(const struct keys *k, const struct held *h, int64_t now)
{
    const struct ring_settings *s = &view_of(k, h->ring)->config->settings;
    int64_t gone_by = now - out_of_touch_s(k) + s->refresh + s->skew;
    enum key_state state;

    return views_state(k, h, gone_by < now ? gone_by : now, &state) && state == KEY_NEXT;
}

/*
 * One that was not listed. Once says little: it may be gone for a moment. One
 * that held no place when it was missed first, or whose tokens are all dead, is
 * forgotten; one that signed holds its place and is missed.
 */
static bool is_forgotten(const struct keys *k, struct held *h, int64_t now)
{
    enum key_state state;

    if (h->let_go || !views_state(k, h, now, &state))
        return true;
    /* A retired one may verify without its private half; an active one holds its place whatever is known of it. */
    if (h->proof != PROOF_DONE && state != KEY_RETIRED && state != KEY_ACTIVE)
        return true;
    if (h->n_missing == 1)
        h->missed_next = was_next(k, h, now);
    /* After a time without listings a next key has been gone for long, maybe, and its turn may be near, or past. */
    if (h->n_missing < 2 && !(h->missed_next && out_of_touch_s(k) > view_of(k, h->ring)->config->settings.refresh))
        return false;
    if (h->missed_next || (state != KEY_ACTIVE && state != KEY_RETIRED)) {
        log_info("ring '%s': key '%s' (%s) was destroyed by another", h->ring, h->kid, key_state_name(state));
        return true;
    }
    if (!h->gone)
        log_error("key '%s' of ring '%s' is gone from the token", h->kid, h->ring);
    h->gone = true;
    return false;
}

static void miss(struct keys *k, int64_t now)
{
    size_t n = 0;

    for (size_t i = 0; i < k->n_held; i++) {
        struct held *h = k->held[i];
        if (h->n_missing && is_forgotten(k, h, now))
            held_free(h);
        else
            k->held[n++] = h;
    }
    k->n_held = n;
}

/* Published twice and revoked once it would be trusted still: a copy is no key of its own. */
static void shun_copies(struct keys *k)
{
    for (size_t i = 0; k->is_elsewhere && i < k->n_held; i++) {
        struct held *h = k->held[i];
        if (!h->ring[0] || !h->kid[0] || !k->is_elsewhere(k->ctx, h->kid))
            continue;
        h->proof = PROOF_NONE;
        err_set(&h->trouble, ERR_KEY_UNUSABLE, "it is on another of the configuration's tokens as well: tokens that hold the same"
                " keys are one token to signetd, so name one of them");
    }
}

static bool take_listing(struct keys *k, const Signet__Role__Keys *listing, struct err *e)
{
    int64_t now = clock_now();

    /* What is done with them is quadratic: a signer that lists without end is not one of ours. */
    if (listing->n_keys > KEYS_MAX_LISTED || listing->n_data > KEYS_MAX_LISTED)
        return err_set(e, ERR_TOKEN_FAILED, "a signer lists %zu keys and %zu facts, more than the %u that it may",
                       listing->n_keys, listing->n_data, KEYS_MAX_LISTED);
    conf_unref(k->listed);
    k->listed = conf_ref(k->wanted);
    for (size_t i = 0; i < k->n_held; i++)
        k->held[i]->listed = false;
    for (size_t i = 0; i < listing->n_keys; i++)
        if (!add(k, listing->keys[i], e))
            return false;
    for (size_t i = 0; i < k->n_held; i++)
        k->held[i]->n_missing = k->held[i]->listed ? 0 : k->held[i]->n_missing + 1;
    miss(k, now);
    held_compare(k->held, k->n_held, k->listed->config);
    shun_copies(k);
    return facts_take(k, listing, e);
}

static bool wants_proof(const struct held *h)
{
    return held_usable(h) ? h->proof != PROOF_DONE && h->proof != PROOF_RUNNING : h->ring[0] && held_is_distrusted(h);
}

static void list_done(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct keys *k = owner;
    struct err why;

    k->listing = false;
    if (m && (m->of_case != SIGNET__ROLE__MESSAGE__OF_KEYS || m->keys->why)) {
        if (m->of_case == SIGNET__ROLE__MESSAGE__OF_KEYS)
            channel_why(m->keys->why, &why);
        else
            err_set(&why, ERR_INTERNAL, "a signer answered a listing with something else");
        e = &why;
        m = NULL;
    }
    if (m && m->keys->generation != k->wanted->generation) {
        list_in(k, LIST_RETRY_MS / 10);        /* that signer has not switched yet */
        return;
    }
    if (!m || !take_listing(k, m->keys, &why)) {
        list_failed(k, m ? &why : e);
        return;
    }
    k->trouble = (struct err){ 0 };
    k->n_proving++;                            /* ours, until all are begun */
    for (size_t i = 0; i < k->n_held; i++)
        if (wants_proof(k->held[i]))
            proof_begin(k, k->held[i]);
    if (--k->n_proving == 0)
        keys_settled(k);
}

static bool is_half_doubted(const struct keys *k)
{
    for (size_t i = 0; i < k->n_held; i++)
        if (k->held[i]->is_doubted_half && k->held[i]->ring[0] && k->held[i]->retired_ms == 0)
            return true;
    return false;
}

/* A proof that came to nothing for a reason of the moment is tried again soon. */
static bool is_proof_owed(const struct keys *k)
{
    for (size_t i = 0; i < k->n_held; i++)
        if (held_is_owed(k->held[i]))
            return true;
    return false;
}

/* Which keys this process has itself seen active, and when; and retired, for how long. */
static void watch_states(struct keys *k, int64_t now)
{
    int64_t steady_ms = clock_steady_ms();

    for (size_t i = 0; i < k->n_views; i++)
        for (size_t n = 0; n < ring_size(k->views[i].ring); n++) {
            struct held *h = held_by_id(k, ring_key(k->views[i].ring, n)->ref);
            enum key_state state = ring_state(k->views[i].ring, n, now);
            if (!h)
                continue;
            if (state != KEY_RETIRED && state != KEY_EXPIRED)
                h->retired_ms = 0;
            else if (h->retired_ms == 0)
                h->retired_ms = steady_ms;
            h->revoked = state == KEY_REVOKED;
            if (state == KEY_ACTIVE && now > h->active_at)
                h->active_at = now;
        }
}

/* An empty ring's first key is on its way. */
static bool is_begun(const struct keys *k)
{
    for (size_t i = 0; i < k->n_views; i++)
        if (ring_size(k->views[i].ring) == 0 && keys_changing(k, k->views[i].config->settings.name))
            return true;
    return false;
}

static void use_listed(struct keys *k)
{
    if (k->conf == k->listed)
        return;
    views_clear(k);                            /* they point into the old one */
    conf_unref(k->conf);
    k->conf = conf_ref(k->listed);
}

void keys_settled(struct keys *k)
{
    int64_t now = clock_now();
    struct err e;

    use_listed(k);
    if (!views_build(k, now, &e)) {
        list_failed(k, &e);
        return;
    }
    bool first = k->listed_ms == 0, owed = is_proof_owed(k);
    views_listed(k);
    views_refresh(k, now);
    watch_states(k, now);
    if (first)
        log_info("the keys of %s are read: %zu", k->token, k->n_held);
    k->n_settled = k->n_listings;
    waiters_call(k, NULL);
    rotate_settled(k, now);
    facts_sweep(k);
    change_next(k, now);
    views_tell(k, now);
    if ((owed || is_half_doubted(k)) && k->list_at_ms > clock_steady_ms() + LIST_RETRY_MS)
        list_in(k, LIST_RETRY_MS);
    if (!owed && !is_begun(k) && !k->serving) {
        k->serving = true;
        k->on_serving(k->ctx);
    }
}

/* --- its life ------------------------------------------------------------------------------------------ */

struct keys *keys_new(struct event_base *base, struct pool *signers, struct pool *verifiers,
                      void (*on_serving)(void *ctx), void *ctx)
{
    struct keys *k = calloc(1, sizeof *k);

    if (!k)
        return NULL;
    *k = (struct keys){ .base = base, .signers = signers, .verifiers = verifiers, .account = { .uid = (uid_t)-1 },
                        .on_serving = on_serving, .ctx = ctx };
    k->tick = event_new(base, -1, EV_PERSIST, on_tick, k);
    if (!k->tick || event_add(k->tick, &(struct timeval){ 0, TICK_MS * 1000 }) < 0) {
        keys_free(k);
        return NULL;
    }
    return k;
}

void keys_shun(struct keys *k, bool (*is_elsewhere)(void *ctx, const char *kid))
{
    k->is_elsewhere = is_elsewhere;
}

void keys_free(struct keys *k)
{
    if (!k)
        return;
    views_clear(k);
    changes_clear(k);
    facts_clear(k);
    for (size_t i = 0; i < k->n_held; i++)
        held_free(k->held[i]);
    while (k->waiters) {
        struct waiter *w = k->waiters;
        k->waiters = w->next;
        free(w);
    }
    free(k->held);
    if (k->tick)
        event_free(k->tick);
    conf_unref(k->conf);
    conf_unref(k->listed);
    conf_unref(k->wanted);
    free(k);
}

void keys_use(struct keys *k, struct conf *conf)
{
    conf_unref(k->wanted);
    k->wanted = conf_ref(conf);
    if (*token_config(k)->name)
        snprintf(k->token, sizeof k->token, "token '%s'", token_config(k)->name);
    else
        strcpy(k->token, "the token");
    keys_refresh(k);
}

bool keys_ready(const struct keys *k, struct err *e)
{
    if (k->listed_ms && k->views)
        return true;
    if (!pool_serves(k->signers, e))
        return false;
    if (k->trouble.reason != ERR_NONE)
        pool_outage(e, "the token's keys cannot be read", k->trouble_since, &k->trouble);
    else
        err_set(e, ERR_STARTING, "signetd is starting: the token's keys are being read");
    e->retry_after_ms = 200;
    return false;
}

void keys_wrong(struct keys *k, uint64_t id, unsigned signer, const struct err *why)
{
    struct held *h = held_by_id(k, id);

    if (!h)
        return;
    held_wrong(h, signer);
    log_error("signer %u, key '%s' of ring '%s': %s; it was not released; number %u in a row%s", signer, h->kid, h->ring,
              why->text, h->n_wrong, held_is_distrusted(h) ? ": the key is not used until a test signature is right" : "");
    keys_refresh(k);
}

void keys_right(struct keys *k, uint64_t id, unsigned signer)
{
    struct held *h = held_by_id(k, id);

    if (h)
        held_right(h, signer);
}

void keys_found_anew(struct keys *k, unsigned signer)
{
    for (size_t i = 0; i < k->n_held; i++)
        held_found_anew(k->held[i], signer);
}

const struct held *keys_named(const struct keys *k, const char *kid, struct err *e)
{
    for (size_t i = 0; i < k->n_held; i++)
        if (k->held[i]->ring[0] && held_is_named(k->held[i], kid))
            return k->held[i];
    err_set(e, ERR_UNKNOWN_KEY, "no ring has a key '%.128s': signet key list", kid);
    return NULL;
}

size_t keys_count(const struct keys *k)
{
    return k->n_held;
}

const struct held *keys_at(const struct keys *k, size_t i)
{
    return k->held[i];
}

const struct held *keys_by_id(const struct keys *k, uint64_t id)
{
    return held_by_id(k, id);
}

const char *keys_custody(const struct keys *k, bool tpm2_pkcs11)
{
    size_t n_ours = 0, n_exportable = 0, n_imported = 0;

    for (size_t i = 0; i < k->n_held; i++) {
        const struct held *h = k->held[i];
        if (!h->ring[0] || h->gone || !h->has_private)       /* what only verifies anyone may have */
            continue;
        n_ours++;
        n_exportable += h->extractable || !h->sensitive;
        n_imported += !h->local || !h->always_sensitive || !h->never_extractable;
    }
    if (n_ours == 0)
        return "no keys yet";
    if (tpm2_pkcs11)
        return "rests on the TPM: tpm2-pkcs11 repeats what it was told, so PKCS#11's attributes prove nothing";
    if (n_exportable)
        return "some keys could be exported: see key list";
    if (n_imported)
        return "no key can be exported; some were imported, so copies may exist elsewhere: see key list";
    return "every key was made in the token and never could leave it, as its PKCS#11 attributes say";
}
