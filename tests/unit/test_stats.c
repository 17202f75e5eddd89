#include "daemon/broker/stats.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIGN 1u
#define VERIFY 2u

static struct profile named(const char *name)
{
    return (struct profile){ .name = (char *)(uintptr_t)name };
}

struct sought { unsigned op; const char *profile; enum err_reason result; uint64_t n; size_t n_seen; };

static void look(void *ctx, unsigned op, const char *profile, enum err_reason result, uint64_t n)
{
    struct sought *s = ctx;

    s->n_seen++;
    if (op == s->op && strcmp(profile, s->profile) == 0 && result == s->result)
        s->n = n;
}

static long long count_of(const struct stats *s, unsigned op, const char *profile, enum err_reason result)
{
    struct sought what = { op, profile, result, 0, 0 };

    stats_each(s, &what, look);
    return (long long)what.n;
}

static long long n_results(const struct stats *s)
{
    struct sought none = { 0, "", ERR_NONE, 0, 0 };

    stats_each(s, &none, look);
    return (long long)none.n_seen;
}

static void outcomes_count_by_operation_profile_and_result(void)
{
    struct stats s = { 0 };
    const struct profile two[] = { named("web"), named("api") };

    stats_count(&s, SIGN, "web", ERR_NONE);
    stats_use(&s, two, 2);
    stats_count(&s, SIGN, "web", ERR_NONE);
    stats_count(&s, SIGN, "web", ERR_NONE);
    stats_count(&s, VERIFY, "web", ERR_NONE);
    stats_count(&s, SIGN, "api", ERR_TTL_TOO_LONG);
    stats_count(&s, SIGN, "no such", ERR_UNKNOWN_PROFILE);
    stats_count(&s, SIGN, "", ERR_BAD_REQUEST);
    unit_same_int("web, signed", count_of(&s, SIGN, "web", ERR_NONE), 2);
    unit_same_int("web, verified", count_of(&s, VERIFY, "web", ERR_NONE), 1);
    unit_same_int("api, refused", count_of(&s, SIGN, "api", ERR_TTL_TOO_LONG), 1);
    unit_same_int("before there was a configuration", count_of(&s, SIGN, "", ERR_NONE), 1);
    unit_same_int("of a name that is not known", count_of(&s, SIGN, "", ERR_UNKNOWN_PROFILE), 1);
    unit_same_int("of none", count_of(&s, SIGN, "", ERR_BAD_REQUEST), 1);
    unit_same_int("and no other", n_results(&s), 6);
    stats_clear(&s);
    unit_same_int("empty", n_results(&s), 0);
}

static void counts_outlive_a_reload_by_name_and_go_with_their_profile(void)
{
    struct stats s = { 0 };
    const struct profile before[] = { named("web"), named("api"), named("old") };
    const struct profile after[] = { named("new"), named("api"), named("web") };

    stats_use(&s, before, 3);
    stats_count(&s, SIGN, "web", ERR_NONE);
    stats_count(&s, SIGN, "old", ERR_NONE);
    stats_use(&s, after, 3);
    stats_count(&s, SIGN, "web", ERR_NONE);
    stats_count(&s, SIGN, "old", ERR_NONE);
    stats_count(&s, SIGN, "new", ERR_NONE);
    unit_same_int("kept", count_of(&s, SIGN, "web", ERR_NONE), 2);
    unit_same_int("gone", count_of(&s, SIGN, "old", ERR_NONE), 0);
    unit_same_int("is none now", count_of(&s, SIGN, "", ERR_NONE), 1);
    unit_same_int("new", count_of(&s, SIGN, "new", ERR_NONE), 1);
    unit_same_int("room of the one that is gone", (long long)s.n_results, 2);
    stats_clear(&s);
}

/* The profiles' names in ring_status and the reply's other parts are bounded by the configuration; these are by us. */
static void more_outcomes_than_a_reply_has_room_for_count_as_of_no_profile(void)
{
    struct stats s = { 0 };
    char names[STATS_MAX_RESULTS / 8 + 1][8];
    struct profile all[STATS_MAX_RESULTS / 8 + 1];
    size_t n = STATS_MAX_RESULTS / 8 + 1;

    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "p%zu", i);
        all[i] = named(names[i]);
    }
    stats_use(&s, all, n);
    for (size_t i = 0; i < n; i++)
        for (unsigned r = 0; r < 8; r++)
            stats_count(&s, SIGN, names[i], (enum err_reason)r);
    unit_same_int("with a profile", (long long)s.n_results, STATS_MAX_RESULTS);
    unit_same_int("and eight that have none", n_results(&s), STATS_MAX_RESULTS + 8);
    stats_count(&s, SIGN, names[0], ERR_NONE);
    unit_same_int("one that was there goes on", count_of(&s, SIGN, names[0], ERR_NONE), 2);
    stats_clear(&s);
}

static const struct { const char *name; int64_t us; size_t want; } bucket_case[] = {
    { "at once", 0, 0 }, { "a clock that went back", -5, 0 }, { "the first bound", 50, 0 }, { "past it", 51, 1 },
    { "ten seconds", 10000000, STATS_N_BOUNDS - 1 }, { "longer than any", 10000001, STATS_N_BOUNDS },
};

static void times_fall_into_the_first_bound_that_holds_them(void)
{
    struct stats s = { 0 };

    for (size_t i = 1; i < STATS_N_BOUNDS; i++)
        CU_ASSERT(stats_bounds_us[i] > stats_bounds_us[i - 1]);
    for (size_t i = 0; i < sizeof bucket_case / sizeof *bucket_case; i++) {
        uint64_t before = s.times[STATS_SIGN][STATS_TOTAL].counts[bucket_case[i].want];
        stats_took(&s, STATS_SIGN, STATS_TOTAL, bucket_case[i].us, 3);
        unit_same_int(bucket_case[i].name,
                      (long long)(s.times[STATS_SIGN][STATS_TOTAL].counts[bucket_case[i].want] - before), 3);
    }
    unit_same_int("together", (long long)s.times[STATS_SIGN][STATS_TOTAL].sum_us, 3 * (50 + 51 + 10000000 + 10000001));
    unit_same_int("another stage", (long long)s.times[STATS_SIGN][STATS_QUEUE].sum_us, 0);
}

static void the_last_refusals_are_kept_newest_first(void)
{
    struct stats s = { 0 };
    const struct profile one = named("web");
    struct err e;

    stats_use(&s, &one, 1);
    CU_ASSERT_PTR_NULL(stats_refusal(&s, 0));
    for (unsigned i = 0; i < 1000; i++) {
        err_set(&e, ERR_TTL_TOO_LONG, "number %u", i);
        stats_refused(&s, 100 + i, 1000 + i, SIGN, i % 2 ? "web" : "\033[2J", &e);
    }
    unit_same_str("the last", stats_refusal(&s, 0)->why.text, "number 999");
    unit_same_str("its profile", stats_refusal(&s, 0)->profile, "web");
    unit_same_int("its caller", stats_refusal(&s, 0)->uid, 1999);
    unit_same_int("its moment", stats_refusal(&s, 0)->at, 1099);
    unit_same_str("of a profile that is none", stats_refusal(&s, 1)->profile, "");
    unit_same_str("the first that is kept", stats_refusal(&s, STATS_MAX_REFUSALS - 1)->why.text, "number 980");
    CU_ASSERT_PTR_NULL(stats_refusal(&s, STATS_MAX_REFUSALS));
    stats_clear(&s);
}

static const struct unit_case cases[] = {
    { "outcomes count by operation, profile and result", outcomes_count_by_operation_profile_and_result },
    { "counts outlive a reload by name, and go with their profile", counts_outlive_a_reload_by_name_and_go_with_their_profile },
    { "more outcomes than a reply has room for count as of no profile",
      more_outcomes_than_a_reply_has_room_for_count_as_of_no_profile },
    { "times fall into the first bound that holds them", times_fall_into_the_first_bound_that_holds_them },
    { "the last refusals are kept, newest first", the_last_refusals_are_kept_newest_first },
};
UNIT_MAIN(cases)
