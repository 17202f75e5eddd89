/*
 * What a daemon owes by the labels that it knows and its own clock: design's
 * sentences, written down here apart from ring, which they judge.
 */
#include "daemon/rehearsal/run.h"

#include <string.h>

/* Of one moment the smaller kid signs, of those that can: it is the later. */
static bool comes_after(const struct run *r, const struct known *a, const struct known *b)
{
    if (a->activates_at != b->activates_at)
        return a->activates_at > b->activates_at;
    return a->proved != b->proved ? a->proved : strcmp(r->keys[a->key].kid, r->keys[b->key].kid) < 0;
}

/* When no token of it may live any more, for those who know what this daemon knows. */
static int64_t ends_at(const struct run *r, const struct sim_daemon *d, const struct known *known)
{
    int64_t successor = NEVER;

    for (size_t i = 0; i < d->n_known; i++) {
        int64_t at = d->known[i].activates_at;
        if (comes_after(r, &d->known[i], known) && at < successor)
            successor = at;
    }
    return successor == NEVER ? NEVER : successor + r->s->max_ttl + r->s->skew;
}

static void broke(struct run *r, const struct sim_daemon *d, int64_t now, enum rehearsal_kind kind, size_t key)
{
    run_found(r, (struct rehearsal_finding){ .kind = kind, .at = now, .key = key, .daemon = (unsigned)(d - r->daemons) });
}

static bool holds(const size_t *set, size_t n, size_t key)
{
    for (size_t i = 0; i < n; i++)
        if (set[i] == key)
            return true;
    return false;
}

/* A daemon whose clock is behind may take the one after the next place, a half key's too, for a clock's mistake; it has time. */
static bool is_first_to_come(const struct sim_daemon *d, const struct known *key, int64_t clock)
{
    for (size_t i = 0; i < d->n_known; i++) {
        const struct known *k = &d->known[i];
        if ((!k->gone || k->revoked) && k->activates_at > clock && k->activates_at < key->activates_at)
            return false;
    }
    return true;
}

void promises_hold(struct run *r, const struct sim_daemon *d, int64_t now, size_t signer, const size_t *set, size_t n)
{
    int64_t clock = now + d->clock;

    if (signer != NO_KEY && knows_of(d, signer)->activates_at > clock)
        broke(r, d, now, FOUND_SIGNED_EARLY, signer);
    if (n > RING_MAX_PUBLISHED)
        run_found(r, (struct rehearsal_finding){ .kind = FOUND_TOO_MANY, .at = now, .key = set[0],
                                                 .daemon = (unsigned)(d - r->daemons), .n_published = n });
    for (size_t i = 0; i < d->n_known; i++) {
        size_t key = d->known[i].key;
        if (d->known[i].revoked && (key == signer || holds(set, n, key)))
            broke(r, d, now, FOUND_REVOKED_USED, key);
        if (d->known[i].revoked || !d->known[i].proved || d->known[i].gone || holds(set, n, key) || clock >= ends_at(r, d, &d->known[i]))
            continue;
        if (key == signer)
            broke(r, d, now, FOUND_SIGNED_UNPUBLISHED, key);
        else if (d->known[i].activates_at <= clock)
            broke(r, d, now, FOUND_WITHDRAWN_EARLY, key);
        else if (is_first_to_come(d, &d->known[i], clock))
            broke(r, d, now, FOUND_PUBLISHED_LATE, key);
    }
}

void promises_let_destroy(struct run *r, const struct sim_daemon *d, int64_t now, size_t key)
{
    int64_t clock = now + d->clock;

    if (r->keys[key].in_making)
        broke(r, d, now, FOUND_DESTROYED_IN_MAKING, key);
    for (size_t i = 0; i < d->n_known; i++)
        if (d->known[i].key == key && r->keys[key].whole_at && !d->known[i].revoked && d->known[i].activates_at <= clock &&
            clock < ends_at(r, d, &d->known[i]))
            broke(r, d, now, FOUND_DESTROYED_EARLY, key);
}
