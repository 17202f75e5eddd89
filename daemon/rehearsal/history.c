#include "daemon/rehearsal/run.h"

#include <string.h>

static bool is_same(const struct run *r, const struct spell *p, const struct spell *q, const size_t *set)
{
    return p->serves == q->serves && p->clock == q->clock && p->signer == q->signer && p->n_set == q->n_set &&
           (q->n_set == 0 || memcmp(&r->sets[p->set], set, q->n_set * sizeof *set) == 0);
}

void history_add(struct run *r, struct sim_daemon *d, struct spell spell, const size_t *set)
{
    if (d->n_spells && is_same(r, &d->spells[d->n_spells - 1], &spell, set))
        return;
    spell.set = r->n_sets;
    for (size_t i = 0; i < spell.n_set; i++) {
        if (!run_grow(r, (void **)&r->sets, &r->sets_room, r->n_sets, sizeof *r->sets))
            return;
        r->sets[r->n_sets++] = set[i];
    }
    /* What lasted no time was seen by nobody. */
    if (d->n_spells && d->spells[d->n_spells - 1].from == spell.from)
        d->spells[d->n_spells - 1] = spell;
    else if (run_grow(r, (void **)&d->spells, &d->spells_room, d->n_spells, sizeof *d->spells))
        d->spells[d->n_spells++] = spell;
}

size_t history_at(const struct sim_daemon *d, int64_t at)
{
    size_t lo = 0, hi = d->n_spells;

    while (hi - lo > 1) {
        size_t middle = lo + (hi - lo) / 2;
        if (d->spells[middle].from <= at)
            lo = middle;
        else
            hi = middle;
    }
    return lo;
}

bool history_has(const struct run *r, const struct spell *p, size_t key)
{
    for (size_t i = 0; i < p->n_set; i++)
        if (r->sets[p->set + i] == key)
            return true;
    return false;
}

int64_t history_until(const struct run *r, const struct sim_daemon *d, size_t i)
{
    return i + 1 < d->n_spells ? d->spells[i + 1].from : r->end;
}
