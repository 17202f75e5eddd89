/*
 * The property: whatever the settings, if no check refuses them, and in
 * whatever order things happen, by themselves or because a person wants them,
 * no living token is ever without its published key. Thousands of settings, each with a life of its own. SIGNET_SEED repeats
 * a run; its number is printed.
 */
#include "daemon/rehearsal/rehearsal.h"

#include "daemon/ring/check.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define DAY 86400
#define N_RINGS 2000u            /* some seconds, under the sanitizers, too */
#define N_BROKEN_RINGS 200u
#define N_TURNS 8

static uint64_t run_seed, state;

static uint64_t next(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    return z ^ z >> 27;
}

static int64_t between(int64_t lo, int64_t hi)
{
    return hi <= lo ? lo : lo + (int64_t)(next() % (uint64_t)(hi - lo + 1));
}

/* As often of seconds as of hours. */
static int64_t some(int64_t most)
{
    int64_t up_to = 4;

    while (up_to < most && next() % 6)
        up_to *= 4;
    return between(1, up_to < most ? up_to : most);
}

static bool chance(unsigned n)
{
    return next() % n == 0;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Half of them as tight as may be. */
static struct ring_settings any_settings(void)
{
    struct ring_settings s = {
        .name = "any", .refresh = some(DAY), .skew = chance(4) ? 0 : some(3600), .max_age = some(30 * DAY),
        .generation_time = between(1, chance(2) ? 600 : 10), .destroy_after = chance(3) ? 0 : some(30 * DAY),
        .standby = chance(4), .destroy_retired_private = chance(4),
    };
    s.publish_ahead = s.max_age + s.refresh + s.skew + s.generation_time + (chance(2) ? 0 : some(30 * DAY));
    s.rotate_every = most(60, 2 * s.publish_ahead + (chance(3) ? 0 : some(90 * DAY)));
    s.max_ttl = chance(3) ? s.rotate_every : between(1, s.rotate_every);
    return s;
}

static void tell(const struct ring_settings *s, uint64_t seed, const struct rehearsal_report *r)
{
    CLEANUP(buf_clear) struct buf text;

    buf_init(&text, 4096);
    rehearsal_say_found(s, &r->found, &text);
    printf("SIGNET_SEED=%llu, life %llu: %.*s\n  with rotate_every %lld publish_ahead %lld max_ttl %lld skew %lld max_age %lld"
           " refresh %lld destroy_after %lld generation_time %lld%s%s\n", (unsigned long long)run_seed,
           (unsigned long long)seed, (int)text.len, (const char *)text.data, (long long)s->rotate_every,
           (long long)s->publish_ahead, (long long)s->max_ttl, (long long)s->skew, (long long)s->max_age,
           (long long)s->refresh, (long long)s->destroy_after, (long long)s->generation_time, s->standby ? " standby" : "",
           s->destroy_retired_private ? " destroy_retired_private" : "");
}

static struct rehearsal_report live(const struct ring_settings *s, uint64_t seed, enum rehearsal_breakage broken)
{
    const struct rehearsal_options o = { .seed = seed, .span = N_TURNS * s->rotate_every, .n_tokens = 200, .broken = broken,
                                         .by_hand = true };
    const struct ring_promise none = { 0, 0 };
    struct ring_sum sums[RING_MAX_SUMS];
    struct rehearsal_report r;
    struct err e;

    CU_ASSERT_EQUAL_FATAL(ring_check(s, &none, sums), 0);
    CU_ASSERT_TRUE_FATAL(rehearse(s, &o, &r, &e));
    return r;
}

/* Hardly more than publish_ahead has to spare: the worst that the arithmetic counts with did happen. */
static bool is_tight(const struct ring_settings *s, const struct rehearsal_margin *m)
{
    int64_t to_spare = s->publish_ahead - s->max_age - s->refresh - s->skew - s->generation_time;

    return m->met && m->seconds <= to_spare + 2 * s->refresh;
}

static void settings_that_are_not_refused_keep_their_promises(void)
{
    size_t n_rotations = 0, n_found = 0, n_tight = 0;

    for (unsigned i = 0; i < N_RINGS; i++) {
        struct ring_settings s = any_settings();
        uint64_t seed = next();
        struct rehearsal_report r = live(&s, seed, BROKEN_NOT);
        size_t n_rejected = 0;
        for (int h = 0; h < N_REHEARSAL_HABITS; h++)
            n_rejected += rehearsal_habits[h].is_promised ? r.n_rejected[h] : 0;
        n_rotations += r.n_rotations;
        n_tight += is_tight(&s, &r.margins[MARGIN_KNOWN]);
        if (r.found.kind == FOUND_NOTHING && n_rejected == 0)
            continue;
        if (n_found++ < 3)
            tell(&s, seed, &r);
    }
    unit_same_int("rings whose promise was broken", (long long)n_found, 0);
    CU_ASSERT_TRUE(n_rotations > 3 * N_RINGS);       /* they did rotate */
    CU_ASSERT_TRUE(n_tight > N_RINGS / 4);           /* and were driven near to where it would break */
}

static const struct { const char *name; enum rehearsal_breakage how; enum rehearsal_kind found; } breakages[] = {
    { "signs early", BROKEN_SIGNS_EARLY, FOUND_SIGNED_EARLY },
    { "withdraws early", BROKEN_WITHDRAWS_EARLY, FOUND_WITHDRAWN_EARLY },
    { "destroys early", BROKEN_DESTROYS_EARLY, FOUND_DESTROYED_EARLY },
    { "publishes late", BROKEN_PUBLISHES_LATE, FOUND_PUBLISHED_LATE },
    { "signs unpublished", BROKEN_SIGNS_UNPUBLISHED, FOUND_SIGNED_UNPUBLISHED },
};

/* In eight turns a daemon may happen to be down whenever it would do wrong: not in most of them. */
static void a_broken_daemon_is_found_whatever_the_settings(void)
{
    for (size_t i = 0; i < ARRAY_LEN(breakages); i++) {
        size_t n_named = 0, n_other = 0;
        for (unsigned n = 0; n < N_BROKEN_RINGS; n++) {
            struct ring_settings s = any_settings();
            struct rehearsal_report r = live(&s, next(), breakages[i].how);
            n_named += r.found.kind == breakages[i].found && r.found.daemon == 1;
            n_other += r.found.kind != breakages[i].found && r.found.kind != FOUND_NOTHING;
        }
        printf("%s: named in %zu lives, found by what came of it in %zu, of %u\n", breakages[i].name, n_named, n_other,
               N_BROKEN_RINGS);
        CU_ASSERT_TRUE(n_named > N_BROKEN_RINGS / 2);
    }
}

static const struct unit_case cases[] = {
    { "wire_6_4_1 wire_6_4_2 wire_6_4_7: settings that are not refused keep their promises in every order of events",
      settings_that_are_not_refused_keep_their_promises },
    { "a broken daemon is found whatever the settings", a_broken_daemon_is_found_whatever_the_settings },
};

int main(void)
{
    const char *said = getenv("SIGNET_SEED");
    uint32_t dice = 1;               /* the same lives each time, so that a change is judged by itself; others with --full */

    if (!said && getenv("SIGNET_FULL") && getrandom(&dice, sizeof dice, 0) != sizeof dice)
        return 100;
    run_seed = state = said ? strtoull(said, NULL, 10) : dice;
    printf("SIGNET_SEED=%llu\n", (unsigned long long)run_seed);
    return unit_run(cases, ARRAY_LEN(cases));
}
