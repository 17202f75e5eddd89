/* What a daemon gives out: the key set, and the key that it signs with. */
#include "daemon/rehearsal/run.h"

static size_t signer_of(const struct run *r, const struct sim_daemon *d, int64_t now)
{
    struct err e;
    const struct ring_key *k = ring_signer(d->ring, now + d->clock + is_broken(r, d, BROKEN_SIGNS_EARLY), &e);

    /* One that is not there any more signs nothing, whoever believes in it. */
    return k && r->keys[k->ref].stage != STAGE_GONE && r->keys[k->ref].has_private ? k->ref : NO_KEY;
}

static bool leaves_out(const struct run *r, const struct sim_daemon *d, size_t i, int64_t now, size_t signer)
{
    int64_t clock = now + d->clock;

    return (is_broken(r, d, BROKEN_WITHDRAWS_EARLY) && ring_state(d->ring, i, clock + 1) == KEY_EXPIRED) ||
           (is_broken(r, d, BROKEN_PUBLISHES_LATE) && ring_state(d->ring, i, clock) == KEY_NEXT) ||
           (is_broken(r, d, BROKEN_SIGNS_UNPUBLISHED) && ring_key(d->ring, i)->ref == signer);
}

static void give(struct run *r, struct sim_daemon *d, int64_t now)
{
    size_t n = 0, n_ring = ring_size(d->ring), signer = signer_of(r, d, now);
    CLEANUP(freep) size_t *set = calloc(n_ring + 1, sizeof *set);

    if (!set) {
        r->no_memory = true;
        return;
    }
    for (size_t i = 0; i < n_ring; i++)
        if (ring_published(d->ring, i, now + d->clock) && !leaves_out(r, d, i, now, signer))
            set[n++] = ring_key(d->ring, i)->ref;
    promises_hold(r, d, now, signer, set, n);
    history_add(r, d, (struct spell){ now, d->clock, true, signer, 0, n }, set);
    r->report->most_published = n > r->report->most_published ? n : r->report->most_published;
}

/* When time alone changes it; a daemon that is broken by a second, a second before. */
static int64_t changes_at(const struct run *r, const struct sim_daemon *d, int64_t now)
{
    int64_t at = ring_changes_at(d->ring, now + d->clock);
    int64_t early = r->o->broken ? ring_changes_at(d->ring, now + d->clock + 1) : NEVER;

    if (early != NEVER && early - 1 < at)
        at = early - 1;
    return at == NEVER ? NEVER : at - d->clock;
}

int64_t gives_now(struct run *r, struct sim_daemon *d, int64_t now)
{
    if (!d->ring)
        return NEVER;
    give(r, d, now);
    return changes_at(r, d, now);
}

void gives_nothing(struct run *r, struct sim_daemon *d, int64_t now)
{
    history_add(r, d, (struct spell){ .from = now, .clock = d->clock, .signer = NO_KEY }, NULL);
}
