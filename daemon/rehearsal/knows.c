/*
 * What one daemon knows of the token, as the broker does: a whole key is
 * proved when it is listed; one that is missed twice is gone where it signs or
 * its tokens live, else forgotten.
 */
#include "daemon/rehearsal/run.h"

#include <string.h>

struct known *knows_of(const struct sim_daemon *d, size_t key)
{
    for (size_t i = 0; i < d->n_known; i++)
        if (d->known[i].key == key)
            return &d->known[i];
    return NULL;
}

static struct known *learn(struct run *r, struct sim_daemon *d, size_t key, int64_t now)
{
    struct known *known = knows_of(d, key);

    if (known)
        return known;
    if (!run_grow(r, (void **)&d->known, &d->known_room, d->n_known, sizeof *d->known))
        return NULL;
    d->known[d->n_known] = (struct known){ .key = key, .seen_since = now + d->clock, .retired_since = NEVER };
    return &d->known[d->n_known++];
}

static enum key_state state_of(const struct sim_daemon *d, size_t key, int64_t now)
{
    for (size_t i = 0; d->ring && i < ring_size(d->ring); i++)
        if (ring_key(d->ring, i)->ref == key && ring_state(d->ring, i, now + d->clock) != KEY_REVOKED)
            return ring_state(d->ring, i, now + d->clock);
    return KEY_REVOKED;
}

/* By the listing that had it last. */
static bool was_next(const struct run *r, const struct sim_daemon *d, size_t key, int64_t now)
{
    int64_t listed_at = d->was_blind ? d->listed_at : now - r->s->refresh;
    int64_t gone_by = listed_at + r->s->refresh + r->s->skew;

    return state_of(d, key, gone_by < now ? gone_by : now) == KEY_NEXT;
}

static bool is_forgotten(const struct run *r, const struct sim_daemon *d, const struct known *known, int64_t now)
{
    enum key_state state = state_of(d, known->key, now);

    if (known->let_go || !known->proved)
        return true;
    if (known->n_missing < 2)
        return known->missed_next && d->was_blind && now - d->listed_at > r->s->refresh;
    return known->missed_next || (state != KEY_ACTIVE && state != KEY_RETIRED);
}

static void miss(const struct run *r, struct sim_daemon *d, int64_t now)
{
    size_t n = 0;

    for (size_t i = 0; i < d->n_known; i++) {
        struct known *known = &d->known[i];
        if (known->n_missing == 1)
            known->missed_next = was_next(r, d, known->key, now);
        bool forgotten = known->n_missing && is_forgotten(r, d, known, now);
        if (forgotten && !known->revoked && !known->promoted)
            continue;
        if (forgotten)                                  /* there is a fact of it, and nothing else */
            known->has_public = known->has_private = known->proved = false;
        known->gone = known->n_missing >= 2;
        d->known[n++] = *known;
    }
    d->n_known = n;
}

static void take_facts(struct known *known, const struct token_key *k)
{
    known->promoted = k->promoted_at != NEVER;
    known->revoked = k->revoked_at != NEVER;
    known->activates_at = known->revoked ? k->place : token_signs_from(k);
}

static void take_listing(struct run *r, struct sim_daemon *d, int64_t now)
{
    for (size_t i = 0; i < d->n_known; i++)
        d->known[i].n_missing++;
    for (size_t i = 0; i < r->n_live; i++) {
        const struct token_key *k = &r->keys[r->live[i]];
        struct known *known = k->stage == STAGE_NOTHING ? NULL : learn(r, d, r->live[i], now);
        if (!known)
            continue;
        take_facts(known, k);
        if (k->stage == STAGE_GONE)
            continue;
        known->n_missing = 0;
        known->has_public = k->has_public;
        known->has_private = k->has_private;
        known->proved = k->stage == STAGE_WHOLE && k->has_private;
        known->was_proved |= known->proved;
    }
    miss(r, d, now);
    d->was_blind = false;
}

static struct ring_key key_of(const struct run *r, const struct known *known, int64_t now)
{
    const struct token_key *k = &r->keys[known->key];
    struct ring_key key = {
        .activates_at = k->activates_at, .max_ttl = r->s->max_ttl, .skew = r->s->skew, .max_age = r->s->max_age,
        .seen_since = known->seen_since, .origin = k->origin, .proved = known->proved, .has_private = known->has_private,
        .verifies = known->has_public, .lacks_half = !known->has_public || !known->has_private,
        .half = !known->proved && !known->was_proved, .gone = known->gone, .ref = known->key,
        .watched_s = known->retired_since == NEVER ? 0 : now - known->retired_since,
    };

    if (known->has_public)
        strcpy(key.kid, k->kid);
    return key;
}

/* When it has seen a retired key for as long as something follows from; that counts from the next listing on. */
static int64_t watched_at(const struct ring *ring, size_t i, int64_t since, int64_t now, int64_t clock)
{
    const struct ring_key *k = ring_key(ring, i);
    int64_t lives = since + k->max_ttl + k->skew, watched = since + ring_watch(ring, i, now + clock);

    return lives > now ? lives : watched > now ? watched : NEVER;
}

static void watch(struct sim_daemon *d, int64_t now)
{
    d->watched_at = NEVER;
    for (size_t i = 0; i < ring_size(d->ring); i++) {
        struct known *known = knows_of(d, ring_key(d->ring, i)->ref);
        enum key_state state = ring_state(d->ring, i, now + d->clock);
        if (state == KEY_REVOKED)
            continue;                       /* of some there is only the fact */
        if (state != KEY_RETIRED && state != KEY_EXPIRED)
            known->retired_since = NEVER;
        else if (known->retired_since == NEVER)
            known->retired_since = now;
        if (known->retired_since == NEVER)
            continue;
        int64_t at = watched_at(d->ring, i, known->retired_since, now, d->clock);
        d->watched_at = at < d->watched_at ? at : d->watched_at;
    }
}

static size_t facts_of(const struct run *r, const struct known *known, struct ring_fact out[2])
{
    const struct token_key *k = &r->keys[known->key];
    size_t n = 0;

    if (known->revoked)
        out[n++] = (struct ring_fact){ .kind = LABEL_REVOKED, .at = k->place };
    if (known->promoted)
        out[n++] = (struct ring_fact){ .kind = LABEL_PROMOTE, .at = k->promoted_at };
    for (size_t i = 0; i < n; i++)
        strcpy(out[i].kid, k->kid);
    return n;
}

static void read_ring(struct run *r, struct sim_daemon *d, int64_t now)
{
    struct err e;
    size_t n = 0, n_facts = 0;
    CLEANUP(freep) struct ring_key *keys = calloc(d->n_known + 1, sizeof *keys);
    CLEANUP(freep) struct ring_fact *facts = calloc(2 * d->n_known + 1, sizeof *facts);

    for (size_t i = 0; keys && facts && i < d->n_known; i++) {
        if (d->known[i].has_public || d->known[i].has_private)
            keys[n++] = key_of(r, &d->known[i], now);
        n_facts += facts_of(r, &d->known[i], &facts[n_facts]);
    }
    ring_free(d->ring);
    d->ring = keys && facts ? ring_new(r->s, keys, n, facts, n_facts, &e) : NULL;
}

void knows_list(struct run *r, struct sim_daemon *d, int64_t now)
{

    take_listing(r, d, now);
    d->listed_version = r->version;
    d->listed_at = now;
    r->work += d->n_known * d->n_known;
    read_ring(r, d, now);
    if (d->ring)
        watch(d, now);
    else
        r->no_memory = true;
}

void knows_let_go(struct sim_daemon *d, size_t key)
{
    struct known *known = knows_of(d, key);

    if (known)
        known->let_go = true;
}

void knows_clear(struct sim_daemon *d)
{
    ring_free(d->ring);
    d->ring = NULL;
    d->n_known = 0;
}
