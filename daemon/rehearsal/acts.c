/* What a daemon does to the token: what ring_next says, when it is due, after a wait of its own. */
#include "daemon/rehearsal/run.h"

/* What the token holds has changed: each will list it, and some did so just before. */
static void token_changed(struct run *r, int64_t now)
{
    for (unsigned i = 0; i < r->report->n_daemons; i++) {
        struct sim_daemon *d = &r->daemons[i];
        int64_t at = now + roll_hard(r, 0, r->s->refresh);
        if (d->up && !d->blind && at < d->at[EVENT_LIST])
            d->at[EVENT_LIST] = at;
    }
}

/* --- generating ------------------------------------------------------------------------------------ */

/* Another loses sight of the token now, before it could see what is made. */
static void blind_another(struct run *r, const struct sim_daemon *d, int64_t now)
{
    struct sim_daemon *other = &r->daemons[roll(r, 0, r->report->n_daemons - 1)];

    if (other != d && other->up && !other->blind)
        other->at[EVENT_BLIND] = now;
}

static void generate(struct run *r, struct sim_daemon *d, int64_t now, int64_t activates_at)
{
    int64_t most = r->s->generation_time, takes = chance(r, 2) ? roll(r, 0, most < 2 ? most : 2) : roll_hard(r, 0, most);

    d->making = token_add(r, activates_at);
    if (d->making == NO_KEY)
        return;
    r->keys[d->making].in_making = true;
    r->keys[d->making].urgent = activates_at <= now + d->clock;
    d->at[EVENT_HALF] = now + roll(r, 0, takes);
    d->at[EVENT_MADE] = now + takes;
    if (chance(r, 6))
        d->at[EVENT_END] = now + roll_hard(r, 0, takes);
    if (chance(r, 4))
        blind_another(r, d, now);
}

void acts_half(struct run *r, struct sim_daemon *d, int64_t now)
{
    token_put(r, d->making, STAGE_HALF);
    token_changed(r, now);
}

void acts_made(struct run *r, struct sim_daemon *d, int64_t now)
{
    struct token_key *k = &r->keys[d->making];

    d->at[EVENT_HALF] = NEVER;
    k->in_making = false;
    if (k->stage != STAGE_GONE) {
        k->has_public = k->has_private = true;
        token_put(r, d->making, STAGE_WHOLE);
    }
    d->making = NO_KEY;
    token_changed(r, now);
    if (!d->blind)
        d->at[EVENT_LIST] = now;
}

/* What was there stays; nobody finishes it. */
void acts_abandon(struct run *r, struct sim_daemon *d)
{
    if (d->making == NO_KEY)
        return;
    r->report->n_crashes++;
    r->keys[d->making].in_making = false;
    if (r->keys[d->making].stage == STAGE_NOTHING)
        token_put(r, d->making, STAGE_GONE);
    d->making = NO_KEY;
}

/* --- destroying -------------------------------------------------------------------------------------- */

static void destroy_half(struct run *r, struct sim_daemon *d, int64_t now, size_t key)
{
    struct token_key *k = &r->keys[key];

    k->has_private = k->has_private && chance(r, 2);
    k->has_public = k->has_public && !k->has_private;
    token_put(r, key, STAGE_HALF);
    r->report->n_crashes++;
    d->at[EVENT_END] = now;
}

static void destroy(struct run *r, struct sim_daemon *d, int64_t now, size_t key)
{
    struct token_key *k = &r->keys[key];

    if (k->stage == STAGE_GONE)
        return;                             /* another was first */
    promises_let_destroy(r, d, now, key);
    if (chance(r, 8)) {
        destroy_half(r, d, now, key);
    } else {
        k->destroyed_at = now;
        k->destroyed_by = (unsigned)(d - r->daemons);
        token_put(r, key, STAGE_GONE);
        knows_let_go(d, key);
    }
    token_changed(r, now);
}

static void destroy_private(struct run *r, int64_t now, size_t key)
{
    r->keys[key].has_private = false;
    token_put(r, key, r->keys[key].stage);
    token_changed(r, now);
}

static void destroy_early(struct run *r, struct sim_daemon *d, int64_t now)
{
    for (size_t i = 0; i < ring_size(d->ring); i++)
        if (ring_state(d->ring, i, now + d->clock) == KEY_RETIRED && !ring_key(d->ring, i)->gone) {
            destroy(r, d, now, ring_key(d->ring, i)->ref);
            return;
        }
}

/* --- what is due --------------------------------------------------------------------------------------- */

void acts_now(struct run *r, struct sim_daemon *d, int64_t now)
{
    struct ring_next next = ring_next(d->ring, now + d->clock);

    if (is_broken(r, d, BROKEN_DESTROYS_EARLY))
        destroy_early(r, d, now);
    if (d->making != NO_KEY || next.at > now + d->clock || now < d->acts_at || d->listed_version != r->version)
        return;
    d->acts_at = NEVER;
    switch (next.action) {
    case RING_GENERATE:        generate(r, d, now, next.activates_at); break;
    case RING_DESTROY:         destroy(r, d, now, next.key->ref); break;
    case RING_DESTROY_PRIVATE: destroy_private(r, now, next.key->ref); break;
    case RING_PROMOTE:                      /* nobody revokes here, and no token loses a key */
    case RING_NOTHING:         break;
    }
}

void acts_plan(struct run *r, struct sim_daemon *d, int64_t now)
{
    struct ring_next next = ring_next(d->ring, now + d->clock);
    int64_t due = next.at - d->clock;

    if (next.action == RING_NOTHING || next.at == NEVER || d->making != NO_KEY)
        d->acts_at = NEVER;
    else if (due > now || d->acts_at == NEVER)
        d->acts_at = (due > now ? due : now + 1) + roll_hard(r, 0, r->s->refresh);
}
