#include "daemon/broker/keys/keys_private.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <stdio.h>
#include <string.h>

/* --- building ------------------------------------------------------------------------------------- */

void views_clear(struct keys *k)
{
    for (size_t i = 0; i < k->n_views; i++) {
        ring_free(k->views[i].ring);
        free(k->views[i].jwks);
    }
    free(k->views);
    k->views = NULL;
    k->n_views = 0;
    key_set_clear(k);
    k->version = 0;
}

/* One view a ring of the configuration, in its order. */
static bool make_views(struct keys *k, struct err *e)
{
    const struct config *c = k->conf->config;

    k->views = calloc(c->n_rings, sizeof *k->views);
    if (!k->views)
        return err_set(e, ERR_NO_MEMORY, "no memory for %zu rings", c->n_rings);
    k->n_views = c->n_rings;
    for (size_t i = 0; i < c->n_rings; i++) {
        k->views[i].config = &c->rings[i];
        k->views[i].is_published = config_publishes(c, &c->rings[i]);
    }
    return true;
}

bool views_build(struct keys *k, int64_t now, struct err *e)
{
    if (!k->views && !make_views(k, e))
        return false;
    for (size_t i = 0; i < k->n_views; i++) {
        struct ring *ring = ring_read(k, k->views[i].config, now, e);
        if (!ring)
            return false;
        ring_free(k->views[i].ring);
        k->views[i].ring = ring;
        k->views[i].changes_at = 0;
        k->views[i].facts_max_ms = ring_facts_max_age(ring, now) * 1000;
    }
    return true;
}

bool view_is_owed(const struct keys *k, const struct ring_view *v)
{
    for (size_t i = 0; i < ring_size(v->ring); i++) {
        const struct held *h = keys_by_id(k, ring_key(v->ring, i)->ref);
        if (h && (held_is_owed(h) || h->proof == PROOF_RUNNING))
            return true;
    }
    return false;
}

void views_listed(struct keys *k)
{
    k->listed_ms = k->asked_ms;
    for (size_t i = 0; i < k->n_views; i++)
        if (k->views[i].listed_ms == 0 || !view_is_owed(k, &k->views[i]))
            k->views[i].listed_ms = k->asked_ms;
}

struct ring_view *view_of(const struct keys *k, const char *ring)
{
    for (size_t i = 0; i < k->n_views; i++)
        if (strcmp(k->views[i].config->settings.name, ring) == 0)
            return &k->views[i];
    return NULL;
}

bool views_state(const struct keys *k, const struct held *h, int64_t now, enum key_state *out)
{
    const struct ring_view *v = h->ring[0] ? view_of(k, h->ring) : NULL;

    for (size_t i = 0; v && v->ring && i < ring_size(v->ring); i++)
        if (ring_key(v->ring, i)->ref == h->id) {
            *out = ring_state(v->ring, i, now);
            return true;
        }
    return false;
}

int64_t views_change_at(const struct keys *k)
{
    int64_t soonest = INT64_MAX;

    for (size_t i = 0; i < k->n_views; i++)
        if (k->views[i].ring && k->views[i].changes_at < soonest)
            soonest = k->views[i].changes_at;
    return soonest;
}

/* --- what counts -------------------------------------------------------------------------------------------- */

/* Too old a listing neither signs nor verifies nor is published: the machine slept, or the token cannot be listed. */
static bool facts_fresh(const struct keys *k, const struct ring_view *v, struct err *e)
{
    int64_t age_ms = clock_steady_ms() - v->listed_ms;
    char age[CLOCK_TEXT], most[CLOCK_TEXT];

    if (age_ms <= v->facts_max_ms)
        return true;
    err_set(e, ERR_TOKEN_UNREACHABLE, "the token was listed last %s ago, longer than the %s that the promises of ring '%s'"
            " allow: %s", clock_write_span(age, age_ms / 1000), clock_write_span(most, v->facts_max_ms / 1000),
            v->config->settings.name, k->trouble.reason == ERR_NONE ? "it is being listed anew" : k->trouble.text);
    e->retry_after_ms = k->trouble.reason == ERR_NONE ? 200 : 0;
    return false;
}

static void view_is_new(const char *ring, struct err *e)
{
    err_set(e, ERR_RING_BUSY, "ring '%s' is new in the configuration, and its keys are being read", ring);
    e->retry_after_ms = 200;
}

static struct ring_view *fresh_view(struct keys *k, const char *ring, int64_t now, struct err *e)
{
    if (!keys_ready(k, e))
        return NULL;
    struct ring_view *v = view_of(k, ring);
    if (!v || !v->ring) {
        view_is_new(ring, e);
        return NULL;
    }
    if (!facts_fresh(k, v, e))
        return NULL;
    if (v->changes_at <= now)
        views_refresh(k, now);
    return v;
}

bool keys_fresh(struct keys *k, const char *ring, struct err *e)
{
    return fresh_view(k, ring, clock_now(), e) != NULL;
}

bool keys_set(struct keys *k, int64_t now, struct keys_set *out, struct err *e)
{
    if (!keys_ready(k, e))
        return false;
    /* All or none: of a set without one ring's keys a verifier would call that ring's tokens a stranger's. */
    for (size_t i = 0; i < k->n_views; i++)
        if (view_is_public(&k->views[i]) && !facts_fresh(k, &k->views[i], e))
            return false;
    if (views_change_at(k) <= now)
        views_refresh(k, now);
    *out = (struct keys_set){ k->n_pages, k->version, k->max_age_s, key_set_changes_in(k, now) };
    return true;
}

bool keys_ring_set(struct keys *k, const char *ring, int64_t now, struct keys_ring_set *out, struct err *e)
{
    const struct ring_view *v = fresh_view(k, ring, now, e);

    if (!v)
        return false;
    int64_t in_s = view_set_changes_at(v, now) - now;
    *out = (struct keys_ring_set){ v->jwks, (uint32_t)ring_copy_max_age(v->ring, now), in_s > UINT32_MAX ? UINT32_MAX : (uint32_t)in_s };
    return true;
}

/* --- who signs ---------------------------------------------------------------------------------------------- */

/* The key whose turn it is was not even asked for a proof: a signer or verifier was not there for it. */
static void say_starting(const struct keys *k, const struct ring_view *v, int64_t now, struct err *e)
{
    for (size_t i = 0; i < ring_size(v->ring); i++) {
        const struct held *h = ring_state(v->ring, i, now) == KEY_ACTIVE ? keys_by_id(k, ring_key(v->ring, i)->ref) : NULL;
        bool answered = h && (h->trouble.reason != ERR_NONE || h->proof == PROOF_FAILED || h->proof == PROOF_DONE);
        if (!h || (answered && !h->is_doubted_half))
            continue;
        err_set(e, ERR_STARTING, "ring '%s': its key '%s' has yet to prove that it signs", v->config->settings.name, h->kid);
        e->retry_after_ms = 500;
    }
}

/* By itself, and nothing has kept it from that: whoever waits for the next listings gets a key that signs. */
static bool heals(const struct ring_view *v, int64_t now)
{
    struct ring_next next = ring_next(v->ring, now);

    return v->n_failed == 0 && next.at <= now && next.activates_at <= now &&
           (next.action == RING_GENERATE || next.action == RING_PROMOTE);
}

struct held *keys_signer(struct keys *k, const char *ring, int64_t now, struct err *e)
{
    struct ring_view *v = fresh_view(k, ring, now, e);
    const struct ring_key *key = v ? ring_signer(v->ring, now, e) : NULL;

    if (!key) {
        bool empty = v && ring_size(v->ring) == 0, unlisted = k->made_after >= k->n_settled;
        if (v && (heals(v, now) || keys_changing(k, ring) || (empty && unlisted))) {
            err_set(e, ERR_RING_BUSY, empty ? "ring '%s' has no key yet: its first one is being made"
                                            : "ring '%s' gets another key this moment", ring);
            e->retry_after_ms = 500;
        } else if (empty && v->trouble.reason != ERR_NONE) {
            *e = v->trouble;
        } else if (v && e->reason == ERR_KEY_UNPROVED) {
            say_starting(k, v, now, e);
        }
        return NULL;
    }
    struct held *h = (struct held *)keys_by_id(k, key->ref);
    if (h && h->trouble.reason == ERR_NONE)
        return h;
    if (h)
        held_why(h, e);
    else
        err_set(e, ERR_INTERNAL, "its key is not held");
    err_wrap(e, "ring '%s'", ring);
    return NULL;
}

void views_tell(struct keys *k, int64_t now)
{
    for (size_t i = 0; i < k->n_views; i++) {
        struct ring_view *v = &k->views[i];
        struct err e = { 0 };
        if (keys_signer(k, v->config->settings.name, now, &e))
            e = (struct err){ 0 };
        if (e.reason == ERR_STARTING || e.reason == ERR_RING_BUSY || strcmp(e.text, v->told.text) == 0)
            continue;
        if (e.reason != ERR_NONE)
            log_warning("a ring does not sign: %s: %s", err_reason_name(e.reason), e.text);
        else
            log_info("ring '%s' signs again", v->config->settings.name);
        v->told = e;
    }
}

struct held *keys_published(struct keys *k, const char *ring, const char *kid, const struct alg *alg, size_t nth, int64_t now)
{
    const struct ring_view *v = view_of(k, ring);

    for (size_t i = v && v->ring ? ring_size(v->ring) : 0; i-- > 0;) {
        const struct held *h = view_published(k, v, i, now);
        if (!h || h->alg->family != ALG_HMAC)
            continue;
        if (kid ? strcmp(h->kid, kid) == 0 : h->alg == alg && nth-- == 0)
            return (struct held *)h;
    }
    return NULL;
}

bool keys_has_secrets(const struct keys *k, const char *ring, int64_t now)
{
    const struct ring_view *v = view_of(k, ring);

    if (v && v->config->alg->family == ALG_HMAC)
        return true;
    for (size_t i = 0; v && v->ring && i < ring_size(v->ring); i++) {
        const struct held *h = view_published(k, v, i, now);
        if (h && h->alg->family == ALG_HMAC)
            return true;
    }
    return false;
}

bool keys_has_public(const struct keys *k, const char *ring)
{
    const struct ring_view *v = view_of(k, ring);

    return v && v->jwks;
}

/* --- for people ------------------------------------------------------------------------------------------------ */

struct keys_view keys_view(const struct keys *k, const struct held *h, int64_t now)
{
    struct keys_view out = { .state = "foreign", .activates_at = h->activates_at };
    const struct ring_view *v = h->ring[0] ? view_of(k, h->ring) : NULL;

    for (size_t i = 0; v && v->ring && i < ring_size(v->ring); i++) {
        if (ring_key(v->ring, i)->ref != h->id)
            continue;
        int64_t retires = ring_retires_at(v->ring, i), ends = ring_ends_at(v->ring, i);
        out.state = key_state_name(ring_state(v->ring, i, now));
        out.activates_at = ring_key(v->ring, i)->activates_at;
        out.retires_at = retires == INT64_MAX ? 0 : retires;
        out.ends_at = ends == INT64_MAX ? 0 : ends;
        out.published = h->jwk && view_is_public(v) && ring_published(v->ring, i, now);
    }
    return out;
}

const struct held *keys_next(const struct keys *k, const char *ring, int64_t now)
{
    const struct ring_view *v = view_of(k, ring);
    const struct ring_key *next = v && v->ring ? ring_coming_key(v->ring, now) : NULL;

    return next ? keys_by_id(k, next->ref) : NULL;
}

size_t keys_n_published(const struct keys *k, const char *ring, int64_t now)
{
    const struct ring_view *v = view_of(k, ring);
    size_t n = 0;

    for (size_t i = 0; v && v->ring && view_is_public(v) && i < ring_size(v->ring); i++) {
        const struct held *h = view_published(k, v, i, now);
        n += h && h->jwk;
    }
    return n;
}

const struct ring *keys_ring(const struct keys *k, const char *ring, struct err *e)
{
    const struct ring_view *v = view_of(k, ring);

    if (!keys_ready(k, e))
        return NULL;
    if (v && v->ring)
        return v->ring;
    view_is_new(ring, e);
    return NULL;
}

char *const *keys_foreign_facts(const struct keys *k, size_t *out_n)
{
    *out_n = k->n_foreign_facts;
    return k->foreign_facts;
}

const struct err *keys_trouble(const struct keys *k, const char *ring)
{
    static const struct err none;
    const struct ring_view *v = view_of(k, ring);

    return v ? &v->trouble : &none;
}

bool keys_revoke(struct keys *k, const char *ring, const char *kid, int64_t holds_at, struct err *e)
{
    struct ring_fact f = { .kind = LABEL_REVOKED, .at = holds_at };
    int64_t now = clock_now();

    snprintf(f.kid, sizeof f.kid, "%s", kid);
    if (!facts_add(k, ring, &f, e) || !views_build(k, now, e))
        return false;
    for (size_t i = 0; i < k->n_held; i++)
        k->held[i]->revoked |= strcmp(k->held[i]->kid, kid) == 0 && strcmp(k->held[i]->ring, ring) == 0;
    views_refresh(k, now);
    return true;
}
