/*
 * Time walks over a copy of the ring, from change to change, and what plan.c
 * asks for is done in the second it is due. A place whose key is destroyed
 * stays while its time counts for its neighbours', as on the token.
 */
#include "daemon/ring/ring_private.h"

#include <string.h>

#define LONG_WATCH (INT64_MAX / 2)          /* what is foreseen is foreseen of a daemon that runs all the time */

struct walk {
    struct ring ring;                /* key.ref: which life a place's is */
    struct ring_life *lives;
    size_t n, n_to_come;
    int64_t began, at, until;
};

static bool walk_begin(struct walk *w, const struct ring *r, struct err *e)
{
    w->ring = *r;
    w->ring.places = calloc(r->n + RING_MAX_TO_COME, sizeof *r->places);
    w->lives = calloc(r->n + RING_MAX_TO_COME, sizeof *w->lives);
    if (!w->ring.places || !w->lives)
        return err_set(e, ERR_NO_MEMORY, "no memory for what is to come of ring '%s'", r->s.name);
    for (size_t i = 0; i < r->n; i++) {
        struct ring_life *l = &w->lives[w->n++];
        *l = (struct ring_life){ .key = r->places[i].key, .state = ring_state(r, i, w->at), .retires_at = INT64_MAX,
                                 .ends_at = INT64_MAX, .private_destroyed_at = INT64_MAX, .destroyed_at = INT64_MAX };
        if (l->state == KEY_NEXT || (l->state == KEY_ACTIVE && l->key.seen_since < l->key.activates_at)) {
            l->published_at = l->key.seen_since;
            l->longest_max_age = ring_longest_max_age(r, w->at);
        }
        w->ring.places[i] = r->places[i];
        w->ring.places[i].key.ref = i;
        w->ring.places[i].key.watched_s = LONG_WATCH;
    }
    return true;
}

static void walk_clear(struct walk *w)
{
    free(w->ring.places);
    free(w->lives);
}

static void generate(struct walk *w, int64_t activates_at)
{
    const struct ring_settings *s = &w->ring.s;
    struct ring_key key = {
        .activates_at = activates_at, .max_ttl = s->max_ttl, .skew = s->skew, .max_age = s->max_age, .seen_since = w->at,
        .origin = KEY_GENERATED, .proved = true, .has_private = true, .verifies = true,
        .watched_s = LONG_WATCH,
    };

    w->lives[w->n] = (struct ring_life){
        .key = key, .state = KEY_NEXT, .to_come = true, .published_at = w->at,
        .longest_max_age = ring_longest_max_age(&w->ring, w->at), .retires_at = INT64_MAX, .ends_at = INT64_MAX,
        .private_destroyed_at = INT64_MAX, .destroyed_at = INT64_MAX,
    };
    key.ref = w->n++;
    w->n_to_come++;
    w->ring.places[w->ring.n++] = (struct ring_place){ .key = key, .on_token = true };
    ring_sort(&w->ring);
}

static void destroy(struct walk *w, struct ring_place *p)
{
    w->lives[p->key.ref].destroyed_at = w->at;
    p->on_token = false;
    if (p->revoked || p->key.activates_at <= w->at)
        return;
    size_t after = (size_t)(w->ring.places + w->ring.n - (p + 1));
    memmove(p, p + 1, after * sizeof *p);
    w->ring.n--;
}

static void act(struct walk *w, const struct ring_next *next)
{
    struct ring_place *p = w->ring.places;

    while (next->key && &p->key != next->key)
        p++;
    switch (next->action) {
    case RING_NOTHING:
        return;
    case RING_GENERATE:
        generate(w, next->activates_at);
        return;
    case RING_PROMOTE:
        w->lives[p->key.ref].key.activates_at = p->key.activates_at = next->activates_at;
        ring_sort(&w->ring);
        return;
    case RING_DESTROY:
        destroy(w, p);
        return;
    case RING_DESTROY_PRIVATE:
        w->lives[p->key.ref].private_destroyed_at = w->at;
        p->key.has_private = false;
        p->key.lacks_half = true;
        return;
    }
}

/* Where the walk ends, as far as it is known by now. */
static int64_t horizon(const struct walk *w)
{
    size_t n = 0;

    if (w->until)
        return w->until;
    for (size_t i = 0; i < w->ring.n; i++)
        if (w->ring.places[i].key.activates_at > w->began && ++n == 2)
            return w->ring.places[i].key.activates_at;
    return INT64_MAX;
}

/* Returns when it ended. */
static int64_t walk(struct walk *w)
{
    /* A key is made, promoted, has its turn, ends, loses its private half, goes: less than this. A rule that asked for
     * the same for ever would otherwise hang whoever looks ahead. */
    for (size_t steps = 8 * (w->ring.n + RING_MAX_TO_COME); steps > 0; steps--) {
        struct ring_next next = ring_next(&w->ring, w->at);
        if (next.at <= w->at) {
            if (next.action == RING_GENERATE && w->n_to_come == RING_MAX_TO_COME)
                return w->at;
            act(w, &next);
            continue;
        }
        int64_t change = ring_changes_at(&w->ring, w->at), end = horizon(w);
        int64_t at = next.at < change ? next.at : change;
        if (at > end || at == INT64_MAX)
            return end == INT64_MAX ? w->at : end;
        w->at = at;
    }
    return w->at;
}

static int by_activation(const void *a, const void *b)
{
    const struct ring_life *l = a, *m = b;

    if (l->key.activates_at != m->key.activates_at)
        return l->key.activates_at < m->key.activates_at ? -1 : 1;
    return -strcmp(l->key.kid, m->key.kid);
}

struct ring_life *ring_foresee(const struct ring *r, int64_t now, int64_t *until, size_t *out_n, struct err *e)
{
    CLEANUP(walk_clear) struct walk w = { .began = now, .at = now, .until = *until };

    if (!walk_begin(&w, r, e))
        return NULL;
    *until = walk(&w);
    for (size_t i = 0; i < w.ring.n; i++) {
        struct ring_life *l = &w.lives[w.ring.places[i].key.ref];
        l->retires_at = ring_retires_at(&w.ring, i);
        l->ends_at = ring_ends_at(&w.ring, i);
    }
    qsort(w.lives, w.n, sizeof *w.lives, by_activation);
    *out_n = w.n;
    return TAKE(w.lives);
}
