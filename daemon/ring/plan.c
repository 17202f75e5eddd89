/*
 * What is to be done, most urgent first: a ring that cannot sign, then what may
 * go (a token may be full), then a key to come. Each rule answers with a
 * moment; the earliest of the due ones wins by this order, else the soonest.
 */
#include "daemon/ring/ring_private.h"

#include <string.h>

static const struct ring_next nothing = { RING_NOTHING, INT64_MAX, 0, NULL };

/* And has been so for longer than making it may take: another daemon may be at it. */
static bool is_half_made(const struct ring *r, const struct ring_place *p, int64_t now)
{
    return p->key.half && now - p->key.seen_since >= r->s.generation_time && !p->key.proved && !p->key.gone && !p->revoked;
}

/* A new ring's first key, or the one in place of a revoked key, was made by halves, and holds the place that it was for. */
static bool was_cut_off(const struct ring *r, ptrdiff_t active, int64_t now)
{
    ptrdiff_t i = active;

    while (i >= 0 && is_half_made(r, &r->places[i], now))
        i--;
    return i < active && (i < 0 ? r->s.create : r->places[i].revoked);
}

/* For good; a key that lacks a half may be in its making still, unless it was whole. */
static bool is_lost(const struct ring *r, const struct ring_place *p, int64_t now)
{
    return p->key.gone || (p->key.lacks_half && (!p->key.half || is_half_made(r, p, now)));
}

/* The active key cannot sign: the standby steps in, or the panic button's work goes on. */
static struct ring_next rescue(const struct ring *r, int64_t now)
{
    ptrdiff_t active = ring_active(r, now), coming = ring_coming(r, now);

    if (r->n == 0 && r->s.create)
        return (struct ring_next){ RING_GENERATE, now, now, NULL };
    if (active < 0)
        return nothing;
    const struct ring_place *p = &r->places[active];
    int64_t at = ring_at_once(r, now);
    bool panic = p->revoked || was_cut_off(r, active, now);
    if (!panic && !(is_lost(r, p, now) && r->s.standby))
        return nothing;
    if (coming < 0 || r->s.no_facts)
        return (struct ring_next){ RING_GENERATE, now, at, NULL };
    if (r->places[coming].key.activates_at <= at)
        return nothing;
    return (struct ring_next){ RING_PROMOTE, now, at, &r->places[coming].key };
}

/*
 * A refresh sooner than it must: within it each daemon takes its time at
 * random, lists again, and mostly finds that another has made the key.
 */
static struct ring_next rotate(const struct ring *r, int64_t now)
{
    const struct ring_settings *s = &r->s;
    ptrdiff_t active = ring_active(r, now);

    if (s->rotate_every == 0 || active < 0 || ring_coming(r, now) >= 0)
        return nothing;
    int64_t turn = r->places[active].key.activates_at + s->rotate_every;
    int64_t due = s->standby ? now : turn - ring_ahead(r, now) - s->refresh;
    return (struct ring_next){ RING_GENERATE, due, ring_own_turn(r, ring_most(due, now)), NULL };
}

/* Then all who list the token know of it before its turn, by whichever clock; who does not: see ring_facts_max_age. */
static bool may_be_withdrawn(const struct ring *r, const struct ring_place *p, int64_t at)
{
    return p->key.activates_at - at > r->s.refresh + r->s.skew;
}

/* Of two keys that two daemons made for one moment the larger kid goes, while nobody can have used either. */
static bool is_spare_twin(const struct ring *r, size_t i, int64_t now)
{
    const struct ring_place *p = &r->places[i];

    if (i + 1 >= r->n || !may_be_withdrawn(r, p, now))
        return false;
    const struct ring_place *q = &r->places[i + 1];
    return q->key.activates_at == p->key.activates_at && q->key.proved && !q->revoked && !q->key.gone &&
           q->key.origin == KEY_GENERATED && p->key.proved;
}

/* Gone, it would leave its place to the one after: an older key would then end later. */
static int64_t ends_for_all(const struct ring *r, size_t i)
{
    int64_t at = ring_ends_at(r, i);
    size_t k = i;

    while (k > 0 && !r->places[k - 1].on_token)
        k--;
    if (at == INT64_MAX || k == 0 || r->places[k - 1].revoked)
        return at;
    return ring_most(at, ring_retires_at(r, i) + r->places[k - 1].key.max_ttl + r->places[k - 1].key.skew);
}

/*
 * Whether its retirement is more than the word of one clock, which may be
 * ahead: this process has watched it for long enough; else two others must have
 * had their turn, none of them late, and it was watched until the tokens that
 * this daemon made with it were dead.
 */
static int64_t vouched_at(const struct ring *r, size_t i, int64_t now)
{
    const struct ring_key *k = &r->places[i].key;

    if (k->watched_s < k->max_ttl + k->skew)
        return INT64_MAX;
    if (k->watched_s >= ring_watch(r, i, now))
        return 0;
    return ring_behind_gap(r, i, now) ? INT64_MAX : ring_turn_after(r, i, ring_retires_at(r, i));
}

/* Made by signet, or begun and never finished. All others are a person's. */
static bool is_ours(const struct ring_key *k)
{
    return k->origin == KEY_GENERATED || k->half;
}

/* When a key of ours may go; INT64_MAX: never by itself, or not before `best`. */
static int64_t destroyed_at(const struct ring *r, size_t i, int64_t now, int64_t best)
{
    const struct ring_place *p = &r->places[i];
    enum key_state state = ring_state(r, i, now);

    if (!p->on_token || !is_ours(&p->key) || p->key.stays)
        return INT64_MAX;
    if (state == KEY_REVOKED) {
        /* Only when the ring signs again with another, else the bad key is all there is to look at. */
        struct err e;
        return p->key.activates_at > now || ring_signer(r, now, &e) ? 0 : INT64_MAX;
    }
    if (state == KEY_ORPHAN && !p->key.proved) {
        int64_t at = p->key.seen_since + r->s.generation_time;
        return may_be_withdrawn(r, p, ring_most(at, now)) ? at : INT64_MAX;
    }
    if (state == KEY_NEXT)
        return is_spare_twin(r, i, now) ? now : INT64_MAX;
    if (state != KEY_RETIRED && state != KEY_EXPIRED)
        return INT64_MAX;
    int64_t at = ends_for_all(r, i);
    at += at == INT64_MAX ? 0 : r->s.destroy_after;
    return at < best ? ring_most(at, vouched_at(r, i, now)) : INT64_MAX;
}

/*
 * When the private half of a key that verifies may go; INT64_MAX: never by
 * itself. A clock that is ahead by less than a key is published ahead does no
 * harm.
 */
static int64_t private_destroyed_at(const struct ring *r, size_t i, int64_t now)
{
    const struct ring_place *p = &r->places[i];
    enum key_state state = ring_state(r, i, now);

    if (!r->s.destroy_retired_private || !p->on_token || !p->key.has_private || !p->key.verifies || p->key.stays ||
        p->key.origin != KEY_GENERATED || (state != KEY_RETIRED && state != KEY_EXPIRED))
        return INT64_MAX;
    int64_t drained = ring_ahead(r, now) + r->s.refresh + r->s.skew;
    if (ring_retires_at(r, i) == INT64_MAX || p->key.watched_s < drained || ring_behind_gap(r, i, now))
        return INT64_MAX;
    return ring_retires_at(r, i) + drained;
}

static struct ring_next sweep(const struct ring *r, int64_t now)
{
    struct ring_next best = nothing;

    /* In the order of activation: the oldest first, but revoked ones before all others. */
    for (size_t i = 0; i < r->n; i++) {
        const struct ring_key *k = &r->places[i].key;
        int64_t at = destroyed_at(r, i, now, best.at), private_at = private_destroyed_at(r, i, now);
        if (at < best.at)
            best = (struct ring_next){ RING_DESTROY, at, 0, k };
        if (private_at < best.at)
            best = (struct ring_next){ RING_DESTROY_PRIVATE, private_at, 0, k };
    }
    return best;
}

struct ring_next ring_next(const struct ring *r, int64_t now)
{
    struct ring_next best = rescue(r, now), rotation = rotate(r, now), end = sweep(r, now);

    if (best.at <= now)
        return best;
    if (end.at <= now)
        return end;
    if (rotation.at <= now)
        return rotation;
    best = rotation.at <= end.at ? rotation : end;
    return best;
}

/* What is destroyed is mostly past its end; not the spare one of two keys that are to come. */
static bool changes_set(const struct ring *r, const struct ring_next *next, int64_t now)
{
    if (next->action != RING_DESTROY)
        return next->action == RING_GENERATE || next->action == RING_PROMOTE;
    for (size_t i = 0; i < r->n; i++)
        if (next->key == &r->places[i].key)
            return ring_published(r, i, now);
    return false;
}

int64_t ring_set_changes_at(const struct ring *r, int64_t now)
{
    struct ring_next next = ring_next(r, now);
    int64_t best = changes_set(r, &next, now) ? next.at : INT64_MAX;

    for (size_t i = 0; i < r->n; i++) {
        int64_t ends = ring_published(r, i, now) ? ring_ends_at(r, i) : INT64_MAX;
        best = ends < best ? ends : best;
    }
    return best;
}
