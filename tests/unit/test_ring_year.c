/*
 * A year of rotations: several daemons with clocks that differ, on one token,
 * killed at any moment. Each acts alone on the facts it sees; none may break
 * a promise: a key signs only when every verifier's cache can hold it, and
 * stays in every daemon's key set until its last token has died.
 */
#include "daemon/ring/ring.h"

#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>

#define DAY 86400
#define N_DAEMONS 3
#define MAX_KEYS 64

static const struct ring_settings settings = {
    .name = "web", .rotate_every = 10 * DAY, .publish_ahead = DAY, .max_ttl = DAY / 2, .skew = 60, .max_age = 900,
    .refresh = 30, .destroy_after = DAY, .generation_time = 10,
};

struct seen { int64_t published_by_all, last_token_dies; };    /* true time; 0: not yet */

struct world {
    struct ring_key keys[MAX_KEYS];
    struct seen seen[MAX_KEYS];
    size_t n;
    unsigned made, random;
    int64_t clock[N_DAEMONS];       /* each daemon's error */
};

/* The same year each time: Knuth's generator, no entropy in a test. */
static unsigned roll(struct world *w, unsigned n)
{
    w->random = w->random * 1664525u + 1013904223u;
    return (w->random >> 8) % n;
}

static void make(struct world *w, int64_t activates_at, int64_t now)
{
    CU_ASSERT_FATAL(w->n < MAX_KEYS);
    struct ring_key *k = &w->keys[w->n];
    *k = (struct ring_key){ .activates_at = activates_at, .max_ttl = settings.max_ttl, .skew = settings.skew,
                            .max_age = settings.max_age, .has_private = true, .verifies = true, .watched_s = 365 * DAY,
                            .seen_since = now };
    snprintf(k->kid, sizeof k->kid, "%08x-%u", roll(w, 1u << 24), w->made++);
    k->proved = roll(w, 10) != 0;           /* a kill half-way leaves a key that cannot sign */
    w->seen[w->n++] = (struct seen){ 0, 0 };
}

static void destroy(struct world *w, const char *kid)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->keys[i].kid, kid) == 0) {
            memmove(&w->keys[i], &w->keys[i + 1], (w->n - i - 1) * sizeof *w->keys);
            memmove(&w->seen[i], &w->seen[i + 1], (w->n - i - 1) * sizeof *w->seen);
            w->n--;
            return;
        }
}

static struct ring *view(struct world *w)
{
    struct err e;
    struct ring *r = ring_new(&settings, w->keys, w->n, NULL, 0, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    return r;
}

static bool published(const struct ring *r, const char *kid, int64_t now)
{
    for (size_t i = 0; i < ring_size(r); i++)
        if (strcmp(ring_key(r, i)->kid, kid) == 0)
            return ring_published(r, i, now);
    return false;
}

static void look(struct world *w, int64_t now)
{
    struct ring *r = view(w);

    for (size_t i = 0; i < w->n; i++) {
        bool all = true;
        for (int d = 0; d < N_DAEMONS; d++)
            all &= published(r, w->keys[i].kid, now + w->clock[d]);
        if (all && !w->seen[i].published_by_all)
            w->seen[i].published_by_all = now;
        if (w->seen[i].last_token_dies > now && !all)
            unit_same_str("not published though its tokens live", w->keys[i].kid, "");
    }
    ring_free(r);
}

static void sign(struct world *w, int64_t now)
{
    struct ring *r = view(w);

    for (int d = 0; d < N_DAEMONS; d++) {
        struct err e;
        const struct ring_key *k = ring_signer(r, now + w->clock[d], &e);
        if (!k) {
            unit_same_str("a daemon cannot sign", e.text, "");
            continue;
        }
        for (size_t i = 0; i < w->n; i++)
            if (strcmp(w->keys[i].kid, k->kid) == 0) {
                if (w->seen[i].published_by_all + settings.max_age > now && i > 0)
                    unit_same_str("signs before verifiers could know it", k->kid, "");
                w->seen[i].last_token_dies = now + w->clock[d] + settings.max_ttl;
            }
    }
    ring_free(r);
}

/* Each daemon does what is due by its clock, unless it is down just now. */
static void act(struct world *w, int64_t now)
{
    for (int d = 0; d < N_DAEMONS; d++) {
        if (roll(w, 3) == 0)
            continue;
        struct ring *r = view(w);
        int64_t here = now + w->clock[d];
        struct ring_next next = ring_next(r, here);
        if (next.at <= here && next.action == RING_GENERATE)
            make(w, next.activates_at, now);
        else if (next.at <= here && next.action == RING_DESTROY)
            destroy(w, next.key->kid);
        ring_free(r);
    }
}

static void a_year_of_rotations_breaks_no_promise(void)
{
    for (unsigned seed = 1; seed <= 5; seed++) {
        struct world w = { .random = seed, .clock = { 0, 25, -25 } };
        make(&w, 0, 0);
        w.keys[0].proved = true;
        w.seen[0].published_by_all = -DAY;
        for (int64_t now = 60; now < 365 * DAY; now += 1 + roll(&w, 600)) {
            act(&w, now);
            look(&w, now);
            sign(&w, now);
        }
        CU_ASSERT_TRUE(w.made >= 36);        /* it did rotate */
        CU_ASSERT_TRUE(w.n <= 4);            /* and swept behind itself */
    }
}

static const struct unit_case cases[] = {
    { "wire_6_4_1 wire_6_4_2 wire_6_4_7: a year of rotations breaks no promise", a_year_of_rotations_breaks_no_promise },
};

UNIT_MAIN(cases)
