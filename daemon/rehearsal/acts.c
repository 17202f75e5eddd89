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
        k->whole_at = now;
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

    k->has_private = k->has_private && !k->has_public;         /* that half goes first */
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

/* --- facts ---------------------------------------------------------------------------------------------- */

static void fact_written(struct run *r, struct sim_daemon *d, int64_t now)
{
    r->version++;
    if (chance(r, 6)) {
        r->report->n_crashes++;
        d->at[EVENT_END] = now;             /* the token has it, and nothing that follows from it is done yet */
    }
    token_changed(r, now);
}

/*
 * To sign at once. A copy of a set without it may be out for as long as a key is published ahead, and skew besides; and
 * the key before signed by clocks for which that moment had gone by already.
 */
static void hurry(struct run *r, const struct sim_daemon *d, int64_t now, size_t key)
{
    if (now < r->keys[key].whole_at + ring_ahead(d->ring, now + d->clock) + r->s->skew)
        r->keys[key].urgent = true;
    for (size_t i = 0; i < r->n_live; i++) {
        struct token_key *before = &r->keys[r->live[i]];
        if (r->live[i] != key && token_signs_from(before) <= now + r->s->skew && before->hurried_at > now - r->s->skew)
            before->hurried_at = now - r->s->skew;
    }
}

static void promote(struct run *r, struct sim_daemon *d, int64_t now, size_t key, int64_t at)
{
    struct token_key *k = &r->keys[key];

    if (k->stage != STAGE_WHOLE)
        return;                             /* another has destroyed it */
    if (at <= now + d->clock)
        hurry(r, d, now, key);
    k->promoted_at = at < k->promoted_at ? at : k->promoted_at;
    fact_written(r, d, now);
}

/* --- what a person asks for ------------------------------------------------------------------------------ */

/* As the operation has it. */
static bool may_be_withdrawn(const struct sim_daemon *d, const struct ring_key *k, int64_t now)
{
    return k->activates_at - (now + d->clock) > ring_withdraw_ahead(d->ring);
}

static void ask_rotate(struct run *r, struct sim_daemon *d, int64_t now, const struct ring_key *next)
{
    int64_t clock = now + d->clock, soonest = ring_soonest(d->ring, next, clock);

    if (!next)
        generate(r, d, now, soonest);
    else if (soonest < next->activates_at)
        promote(r, d, now, next->ref, soonest);
}

static void ask_rotate_now(struct run *r, struct sim_daemon *d, int64_t now, const struct ring_key *next)
{
    if (next)
        promote(r, d, now, next->ref, now + d->clock);
}

static void ask_withdraw(struct run *r, struct sim_daemon *d, int64_t now, const struct ring_key *next)
{
    if (next && may_be_withdrawn(d, next, now))
        destroy(r, d, now, next->ref);
}

/* Made elsewhere, and named in the configuration of all when all may know it. */
static void ask_outside(struct run *r, struct sim_daemon *d, int64_t now, const struct ring_key *next)
{
    int64_t soonest = ring_soonest(d->ring, NULL, now + d->clock);
    size_t key = next ? NO_KEY : token_add(r, soonest + roll(r, 0, r->s->publish_ahead));

    if (key == NO_KEY)
        return;
    r->keys[key].origin = KEY_OUTSIDE;
    r->keys[key].has_public = r->keys[key].has_private = true;
    r->keys[key].whole_at = now;
    token_put(r, key, STAGE_WHOLE);
    token_changed(r, now);
}

/* The panic button: what follows is what the ring asks for, and at once. */
static void ask_revoke(struct run *r, struct sim_daemon *d, int64_t now, const struct ring_key *next)
{
    size_t i = (size_t)roll(r, 0, (int64_t)ring_size(d->ring) - 1);
    const struct ring_key *k = ring_key(d->ring, i);
    enum key_state state = ring_state(d->ring, i, now + d->clock);
    struct token_key *bad = &r->keys[k->ref];

    if (!k->proved || k->gone || bad->stage != STAGE_WHOLE || !(state == KEY_ACTIVE || state == KEY_RETIRED ||
        (k == next && may_be_withdrawn(d, k, now))))
        return;
    bad->revoked_at = now;
    bad->place = state == KEY_NEXT ? 0 : k->activates_at;
    d->acts_at = now;
    fact_written(r, d, now);
}

/* Of two that were made for one moment the one that is brought forward leaves the other its turn: who does that is unwise. */
static bool has_twin(const struct sim_daemon *d, const struct ring_key *next)
{
    for (size_t i = 0; next && i < ring_size(d->ring); i++)
        if (ring_key(d->ring, i) != next && ring_key(d->ring, i)->activates_at == next->activates_at)
            return true;
    return false;
}

void acts_asked(struct run *r, struct sim_daemon *d, int64_t now)
{
    static void (*const asked[])(struct run *, struct sim_daemon *, int64_t, const struct ring_key *) = {
        ask_rotate, ask_rotate_now, ask_withdraw, ask_outside, ask_revoke,
    };

    /* It judges by a new listing, one thing at a time. */
    if (!d->ring || d->blind || d->making != NO_KEY || d->listed_version != r->version)
        return;
    const struct ring_key *next = ring_coming_key(d->ring, now + d->clock);
    if (has_twin(d, next))
        return;
    asked[roll(r, 0, ARRAY_LEN(asked) - 1)](r, d, now, next);
    if (d->listed_version != r->version)
        d->at[EVENT_LIST] = now;
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
    case RING_PROMOTE:         promote(r, d, now, next.key->ref, next.activates_at); break;
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
