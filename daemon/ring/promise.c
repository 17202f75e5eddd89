/* What keys promised, and what follows for the others: how far ahead, how old, how soon. */
#include "daemon/ring/ring_private.h"

/* Daemons that act apart then choose the same second. */
static int64_t rounded_up(int64_t t, int64_t step)
{
    return step > 0 ? (t + step - 1) / step * step : t;
}

/* Whether copies of a key set with this key in it may still be in use; a key to come is in none yet, or will be soon. */
static bool is_promise_out(const struct ring *r, size_t i, int64_t now)
{
    const struct ring_place *p = &r->places[i];
    int64_t ends = ring_ends_at(r, i);

    return (p->key.proved || p->key.verifies) && !p->revoked && (ends == INT64_MAX || ends + p->key.max_age > now);
}

int64_t ring_longest_max_age(const struct ring *r, int64_t now)
{
    int64_t longest = r->s.max_age;

    for (size_t i = 0; i < r->n; i++)
        if (is_promise_out(r, i, now))
            longest = ring_most(longest, r->places[i].key.max_age);
    return longest;
}

static int64_t longest_skew(const struct ring *r, int64_t now)
{
    int64_t longest = r->s.skew;

    for (size_t i = 0; i < r->n; i++)
        if (is_promise_out(r, i, now))
            longest = ring_most(longest, r->places[i].key.skew);
    return longest;
}

int64_t ring_ahead(const struct ring *r, int64_t now)
{
    const struct ring_settings *s = &r->s;

    if (s->as_written)
        return s->publish_ahead;
    return ring_most(s->publish_ahead, ring_longest_max_age(r, now) + s->refresh + longest_skew(r, now) + s->generation_time);
}

/* A key is there when it is made, which may take its time: so much later than it was begun. */
static int64_t harmless_age(const struct ring *r, int64_t now)
{
    int64_t most = ring_ahead(r, now) - ring_longest_max_age(r, now) - longest_skew(r, now) - r->s.generation_time;

    return ring_most(most, r->s.refresh);
}

/*
 * A turn that is to come may be called off: a person withdraws the next key, a
 * daemon sweeps one that is not whole. The key before it then signs on, and
 * who has not heard of that must not take it out of the key set.
 */
int64_t ring_facts_max_age(const struct ring *r, int64_t now)
{
    ptrdiff_t active = ring_active(r, now);
    int64_t most = harmless_age(r, now), ends = active < 0 ? INT64_MAX : ring_ends_at(r, (size_t)active);

    return ring_most(ends - now < most ? ends - now : most, r->s.refresh);
}

int64_t ring_copy_max_age(const struct ring *r, int64_t now)
{
    int64_t promised = 0;

    for (size_t i = 0; i < r->n; i++)
        if (ring_published(r, i, now))
            promised = ring_most(promised, r->places[i].key.max_age);
    return promised && promised < r->s.max_age ? promised : r->s.max_age;
}

/* --- when a key may sign ------------------------------------------------------------------------- */

bool ring_is_silent(const struct ring *r, int64_t now)
{
    ptrdiff_t active = ring_active(r, now);

    if (active < 0)
        return ring_coming(r, now) < 0;
    return r->places[active].revoked || r->places[active].key.gone;
}

int64_t ring_at_once(const struct ring *r, int64_t now)
{
    ptrdiff_t active = ring_active(r, now);
    struct err e;

    if (active < 0)
        return now;
    /* Of two of one second one that signs holds its place before one that cannot, else the kids decide. */
    return ring_most(now, r->places[active].key.activates_at + (ring_signer(r, now, &e) ? 1 : 0));
}

int64_t ring_own_turn(const struct ring *r, int64_t now)
{
    ptrdiff_t active = ring_active(r, now);
    int64_t at = now + ring_ahead(r, now);

    if (active >= 0 && r->s.rotate_every)
        at = ring_most(at, r->places[active].key.activates_at + r->s.rotate_every);
    at = rounded_up(at, r->s.refresh);
    /* After every place that is held already by one that cannot sign. */
    for (size_t i = (size_t)(active + 1); i < r->n; i++)
        if (r->places[i].revoked && r->places[i].key.activates_at >= at)
            at = rounded_up(r->places[i].key.activates_at + 1, r->s.refresh);
    return at;
}

int64_t ring_turn(const struct ring *r, int64_t now)
{
    return ring_is_silent(r, now) ? ring_at_once(r, now) : ring_own_turn(r, now);
}

/* Since when all that see it publish it: by a slow clock a key after the next is too far, until the active one's turn. */
static int64_t published_since(const struct ring *r, const struct ring_key *next, int64_t now)
{
    ptrdiff_t active = ring_active(r, now);

    return active < 0 || next->activates_at <= now ? next->seen_since : ring_most(next->seen_since, r->places[active].key.activates_at);
}

/*
 * Daemons that could not list the token go on with what they have for as long
 * as facts may be old: until then one may sign with the key before, or give out
 * a set without the next.
 */
int64_t ring_soonest(const struct ring *r, const struct ring_key *next, int64_t now)
{
    int64_t spread = now + harmless_age(r, now) + longest_skew(r, now);

    return rounded_up(next ? ring_most(spread, published_since(r, next, now) + ring_ahead(r, now)) : now + ring_ahead(r, now),
                      r->s.refresh);
}

int64_t ring_known_at(const struct ring *r, const struct ring_key *next, int64_t now)
{
    return (next ? published_since(r, next, now) : now) + ring_longest_max_age(r, now) + r->s.refresh + longest_skew(r, now) +
           (next ? 0 : r->s.generation_time);
}

int64_t ring_withdraw_ahead(const struct ring *r)
{
    return 3 * r->s.refresh + r->s.skew;
}

bool ring_is_known(const struct ring *r, const struct ring_key *signer, int64_t now)
{
    struct ring_key made = *signer;

    /* After a restart it was seen late; but none signs before it was made. */
    if (made.activates_at < made.seen_since)
        made.seen_since = made.activates_at;
    return ring_known_at(r, &made, now) <= now;
}

/* --- against wrong clocks ---------------------------------------------------------------------------- */

/* A whole turn and more: by then another key has taken over by any clock, and the tokens of this one are dead. */
int64_t ring_watch(const struct ring *r, size_t i, int64_t now)
{
    const struct ring_key *k = &r->places[i].key;

    return r->s.rotate_every + ring_ahead(r, now) + r->s.refresh + k->max_ttl + k->skew;
}

bool ring_behind_gap(const struct ring *r, size_t i, int64_t now)
{
    ptrdiff_t active = ring_active(r, now);
    int64_t most = r->s.rotate_every + ring_ahead(r, now) + r->s.refresh;

    if (active < 0 || r->s.rotate_every == 0)
        return false;
    for (size_t k = i; (ptrdiff_t)k < active; k++)
        if (r->places[k + 1].key.activates_at - r->places[k].key.activates_at > most)
            return true;
    return now - r->places[active].key.activates_at > most;
}
