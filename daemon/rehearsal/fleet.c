/*
 * The daemons' lives, from event to event. Chance is no friend: who can be
 * late is often as late as allowed, a daemon is often struck just before what
 * it should have seen, and clocks are often as far apart as skew lets them.
 *
 * A daemon lists the token every refresh; only those listings happen here
 * of which something is to be expected.
 */
#include "daemon/rehearsal/run.h"

#define MAX_EVENTS 1000000u      /* a rule that asked for the same for ever would otherwise never end */
#define MAX_WORK 30000000u       /* less than a second; a ring that keeps hundreds of keys reaches it */

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The pace of everything: what chance brings comes some times in it. */
static int64_t turn(const struct run *r)
{
    return r->s->rotate_every ? r->s->rotate_every : (r->end - r->began) / 8 + 1;
}

static void on_start(struct run *r, struct sim_daemon *d, int64_t now)
{
    d->up = true;
    d->clock = roll_hard(r, -(r->s->skew / 2), r->s->skew - r->s->skew / 2);      /* two differ by skew at most */
    d->at[EVENT_END] = now + roll(r, 1, 4 * turn(r));
    d->at[EVENT_BLIND] = now + roll(r, 1, 4 * turn(r));
    d->at[EVENT_LIST] = now;
    d->at[EVENT_ASKED] = r->o->by_hand ? now + roll(r, 1, 4 * turn(r)) : NEVER;
}

/* What it missed once may have been gone for a moment. */
static bool owes_listing(const struct sim_daemon *d)
{
    for (size_t i = 0; i < d->n_known; i++)
        if (d->known[i].n_missing && !d->known[i].gone)
            return true;
    return false;
}

static int64_t next_listing(struct run *r, struct sim_daemon *d, int64_t now)
{
    int64_t at = d->acts_at;

    if (d->listed_version != r->version)
        return now;                         /* one thing at a time, each on a new listing */
    if (owes_listing(d))
        at = sooner(at, now + roll_hard(r, 1, r->s->refresh));
    return d->watched_at == NEVER ? at : sooner(at, d->watched_at + roll_hard(r, 0, r->s->refresh));
}

static void on_list(struct run *r, struct sim_daemon *d, int64_t now)
{
    knows_list(r, d, now);
    d->at[EVENT_LOOK] = gives_now(r, d, now);
    if (!d->ring)
        return;
    acts_now(r, d, now);
    acts_plan(r, d, now);
    d->at[EVENT_LIST] = next_listing(r, d, now);
}

static void on_look(struct run *r, struct sim_daemon *d, int64_t now)
{
    if (d->stale)
        return;
    d->at[EVENT_LOOK] = gives_now(r, d, now);
    if (!d->blind)
        d->at[EVENT_LIST] = sooner(d->at[EVENT_LIST], now + roll_hard(r, 0, r->s->refresh));
}

/* Of a fleet one is mostly up and sees the token; seldom nobody is for long. */
static bool is_needed(struct run *r, const struct sim_daemon *d)
{
    for (unsigned i = 0; i < r->report->n_daemons; i++)
        if (&r->daemons[i] != d && r->daemons[i].up && !r->daemons[i].blind)
            return false;
    return !chance(r, 8);
}

/* Its last listing was at most a refresh ago, and before what it does not know yet. */
static void on_blind(struct run *r, struct sim_daemon *d, int64_t now)
{
    int64_t refresh = r->s->refresh, listed_at = now - roll_hard(r, 0, refresh - 1);

    if (d->listed_version != r->version && d->at[EVENT_LIST] != NEVER)
        listed_at = d->at[EVENT_LIST] - refresh;
    d->listed_at = listed_at > d->listed_at ? listed_at : d->listed_at;
    int64_t most = d->ring ? ring_facts_max_age(d->ring, d->listed_at + d->clock) : 0;
    d->blind = d->was_blind = true;
    d->at[EVENT_LIST] = NEVER;
    d->at[EVENT_STALE] = d->listed_at + most > now ? d->listed_at + most : now;
    d->at[EVENT_SEES] = now + roll(r, 1, chance(r, 2) || is_needed(r, d) ? 4 * refresh : 2 * most + refresh);
    r->report->n_blind++;
}

static void on_stale(struct run *r, struct sim_daemon *d, int64_t now)
{
    if (is_broken(r, d, BROKEN_GOES_ON_BLIND))
        return;
    d->stale = true;
    gives_nothing(r, d, now);
}

static void on_sees(struct run *r, struct sim_daemon *d, int64_t now)
{
    d->blind = d->stale = false;
    d->at[EVENT_STALE] = NEVER;
    d->at[EVENT_LIST] = now;
    d->at[EVENT_BLIND] = now + roll(r, 1, 4 * turn(r));
}

static void on_asked(struct run *r, struct sim_daemon *d, int64_t now)
{
    d->at[EVENT_ASKED] = now + roll(r, 1, 4 * turn(r));
    acts_asked(r, d, now);
}

static void put_down(struct sim_daemon *d)
{
    d->up = d->blind = d->was_blind = d->stale = false;
    d->acts_at = NEVER;
    for (int e = 0; e < N_EVENTS; e++)
        d->at[e] = NEVER;
}

static void on_end(struct run *r, struct sim_daemon *d, int64_t now)
{
    const int64_t downs[] = { 1, 10, r->s->refresh, r->s->publish_ahead, turn(r) / 2 };
    int64_t n = is_needed(r, d) ? 3 : (int64_t)ARRAY_LEN(downs);

    r->report->n_restarts++;
    acts_abandon(r, d);
    knows_clear(d);
    put_down(d);
    d->at[EVENT_START] = now + roll(r, 0, downs[roll(r, 0, n - 1)]);
    gives_nothing(r, d, now);
}

static void (*const handlers[N_EVENTS])(struct run *r, struct sim_daemon *d, int64_t now) = {
    [EVENT_START] = on_start, [EVENT_LIST] = on_list, [EVENT_LOOK] = on_look, [EVENT_HALF] = acts_half,
    [EVENT_MADE] = acts_made, [EVENT_BLIND] = on_blind, [EVENT_STALE] = on_stale, [EVENT_SEES] = on_sees,
    [EVENT_ASKED] = on_asked, [EVENT_END] = on_end,
};

/*
 * Of several at one moment any may be first. But what is being made is
 * finished before: within the second it takes no more time than it may.
 */
static bool goes_before(struct run *r, int event, int other)
{
    return event == EVENT_MADE || (other != EVENT_MADE && chance(r, 2));
}

static bool step(struct run *r)
{
    struct sim_daemon *first = NULL;
    int event = 0;

    for (unsigned i = 0; i < r->report->n_daemons; i++)
        for (int e = 0; e < N_EVENTS; e++) {
            struct sim_daemon *d = &r->daemons[i];
            if (d->at[e] >= r->end || (first && d->at[e] > first->at[event]) ||
                (first && d->at[e] == first->at[event] && !goes_before(r, e, event)))
                continue;
            first = d;
            event = e;
        }
    if (!first)
        return false;
    r->now = first->at[event];
    first->at[event] = NEVER;
    handlers[event](r, first, r->now);
    return true;
}

void fleet_live(struct run *r)
{
    size_t key = token_add(r, r->began - r->s->skew);        /* active for every clock */

    if (key == NO_KEY)
        return;
    r->keys[key].has_public = r->keys[key].has_private = true;
    r->keys[key].whole_at = r->began;
    token_put(r, key, STAGE_WHOLE);
    for (unsigned i = 0; i < r->report->n_daemons; i++) {
        put_down(&r->daemons[i]);
        r->daemons[i].making = NO_KEY;
        r->daemons[i].at[EVENT_START] = r->began;
    }
    for (unsigned n = 0; !r->no_memory && step(r); n++)
        if (n == MAX_EVENTS || r->work > MAX_WORK || r->n_keys >= REHEARSAL_MAX_KEYS)
            r->end = r->now + 1;
}
