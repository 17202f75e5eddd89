/* What the arithmetic of a ring is told: the keys that are held, and those that the configuration names. */
#include "daemon/broker/keys/keys_private.h"

#include "daemon/base/clock.h"

#include <string.h>

/* What was proved has both halves: one may be gone since, where a daemon was killed while it destroyed the key. */
static bool is_proved(const struct held *h)
{
    return h->proof == PROOF_DONE && !held_lacks_half(h);
}

static struct ring_key key_of(const struct held *h, int64_t now)
{
    struct ring_key key = {
        .activates_at = h->activates_at, .max_ttl = h->max_ttl, .skew = h->skew, .max_age = h->max_age,
        .seen_since = now - (clock_steady_ms() - h->seen_ms) / 1000, .origin = h->origin, .proved = is_proved(h),
        .has_private = h->has_private, .verifies = h->jwk != NULL, .lacks_half = held_lacks_half(h), .gone = h->gone,
        .watched_s = h->retired_ms ? (clock_steady_ms() - h->retired_ms) / 1000 : 0, .half = held_is_half(h),
        .stays = clock_steady_ms() < h->stays_ms || h->doubted, .ref = h->id,
    };

    memcpy(key.kid, h->kid, sizeof h->kid);
    if (h->trouble.reason != ERR_NONE)
        held_why(h, &key.trouble);
    return key;
}

/* The key that is held for the configuration's `outside`th; one in good custody, where there are more. */
static const struct held *held_for(const struct keys *k, size_t outside)
{
    const struct held *found = NULL;

    for (size_t i = 0; i < k->n_held; i++) {
        const struct held *h = k->held[i];
        if (h->ring[0] && h->origin == KEY_OUTSIDE && h->outside == outside && (!found || h->is_private))
            found = h;
    }
    return found;
}

/*
 * A key that is named and not there, its time come, holds its place: an older
 * one has retired for all who know better, and must not come back here.
 */
static bool is_absent(const struct keys *k, const struct outside_key *o, size_t outside, int64_t now,
                      struct ring_key *out)
{
    const struct held *h = held_for(k, outside);

    if (o->activates_at > now || (h && h->is_private))
        return false;
    *out = (struct ring_key){ .activates_at = o->activates_at, .max_ttl = o->max_ttl, .skew = o->skew,
                              .max_age = o->max_age, .origin = KEY_OUTSIDE, .gone = true };
    if (h)
        held_why(h, &out->trouble);
    else
        err_set(&out->trouble, ERR_NO_ACTIVE_KEY, "no key of the token matches '%.100s': correct the URI under the"
                " ring's 'keys', or put the key there", o->uri);
    return true;
}

/* The number of a ring's first outside key, counted over all rings. */
static size_t first_outside(const struct config *c, const struct ring_config *ring)
{
    size_t n = 0;

    for (size_t i = 0; &c->rings[i] != ring; i++)
        n += c->rings[i].n_outside;
    return n;
}

struct ring *ring_read(const struct keys *k, const struct ring_config *config, int64_t now, struct err *e)
{
    const char *name = config->settings.name;
    struct ring_settings settings = config->settings;
    size_t n = 0, n_facts = 0, outside = first_outside(k->conf->config, config);
    CLEANUP(freep) struct ring_key *keys = calloc(k->n_held + config->n_outside + 1, sizeof *keys);
    CLEANUP(freep) struct ring_fact *facts = calloc(k->n_facts + 1, sizeof *facts);

    if (!keys || !facts) {
        err_set(e, ERR_NO_MEMORY, "no memory for ring '%s'", name);
        return NULL;
    }
    for (size_t i = 0; i < k->n_held; i++)
        if (strcmp(k->held[i]->ring, name) == 0 && k->held[i]->is_private)
            keys[n++] = key_of(k->held[i], now);
    for (size_t i = 0; i < config->n_outside; i++)
        n += is_absent(k, &config->outside[i], outside + i, now, &keys[n]);
    for (size_t i = 0; i < k->n_facts; i++)
        if (strcmp(k->facts[i].ring, name) == 0)
            facts[n_facts++] = k->facts[i].f;
    settings.no_facts = keys_no_facts(k);
    return ring_new(&settings, keys, n, facts, n_facts, e);
}
