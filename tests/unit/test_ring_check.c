#include "daemon/ring/check.h"

#include "tests/support/unit.h"

#include <string.h>

/* Each at its limit: 10 + 5 + 2 + 1 = 18, 2 x 18 = 36. */
static const struct ring_settings tight = {
    .name = "web", .rotate_every = 36, .publish_ahead = 18, .max_ttl = 36, .skew = 2, .max_age = 10, .refresh = 5,
    .generation_time = 1,
};
static const struct ring_promise none = { 0, 0 };

#define S(field) offsetof(struct ring_settings, field)

/* One setting moved by one second: which rule is then broken, and what it comes to. */
static const struct {
    const char *name; size_t field; int64_t by; const char *want; int64_t is, sum; bool at_most;
} step_case[] = {
    { "published a second too late", S(publish_ahead), -1, "publish_ahead", 17, 18, false },
    { "a copy that is a second older", S(max_age), +1, "publish_ahead", 18, 19, false },
    { "listed a second later", S(refresh), +1, "publish_ahead", 18, 19, false },
    { "a clock that differs by a second more", S(skew), +1, "publish_ahead", 18, 19, false },
    { "made a second later", S(generation_time), +1, "publish_ahead", 18, 19, false },
    { "published a second earlier than a turn has room for", S(publish_ahead), +1, "rotate_every", 36, 38, false },
    { "a token that lives a second longer than a key signs", S(max_ttl), +1, "max_ttl", 37, 36, true },
    { "a copy that is a second younger", S(max_age), -1, NULL, 0, 0, false },
    { "a turn that is a second longer", S(rotate_every), +1, NULL, 0, 0, false },
    { "a token that lives a second less", S(max_ttl), -1, NULL, 0, 0, false },
};

static int64_t sum_of(const struct ring_sum *s)
{
    int64_t sum = 0;

    for (size_t i = 0; i < s->n_terms; i++)
        sum += s->terms[i].value;
    return sum;
}

static void a_second_more_or_less_than_the_limit_breaks_one_rule(void)
{
    struct ring_sum broken[RING_MAX_SUMS];

    unit_same_int("at every limit nothing is broken", (long long)ring_check(&tight, &none, broken), 0);
    for (size_t i = 0; i < sizeof step_case / sizeof *step_case; i++) {
        struct ring_settings s = tight;
        *(int64_t *)((char *)&s + step_case[i].field) += step_case[i].by;
        size_t n = ring_check(&s, &none, broken);
        unit_same_int(step_case[i].name, (long long)n, step_case[i].want != NULL);
        if (n == 0 || !step_case[i].want)
            continue;
        unit_same_str(step_case[i].name, broken[0].setting, step_case[i].want);
        unit_same_int(step_case[i].name, broken[0].is, step_case[i].is);
        unit_same_int(step_case[i].name, broken[0].sum, step_case[i].sum);
        unit_same_int(step_case[i].name, broken[0].at_most, step_case[i].at_most);
        unit_same_int("its terms add up", sum_of(&broken[0]), broken[0].sum);
    }
}

static void a_turn_that_is_a_second_too_short_breaks_two_rules(void)
{
    struct ring_sum broken[RING_MAX_SUMS];
    struct ring_settings s = tight;

    s.rotate_every--;
    unit_same_int("rules", (long long)ring_check(&s, &none, broken), 2);
    unit_same_str("the first", broken[0].setting, "rotate_every");
    unit_same_str("the second", broken[1].setting, "max_ttl");
}

static void what_keys_promised_counts_where_it_is_longer(void)
{
    static const struct { struct ring_promise kept; int64_t sum; const char *age, *skew; } cases[] = {
        { { 10, 2 }, 0, NULL, NULL },
        { { 9, 1 }, 0, NULL, NULL },
        { { 11, 0 }, 19, "keys: max_age", "skew" },
        { { 0, 3 }, 19, "jwks_max_age", "keys: skew" },
        { { 30, 30 }, 66, "keys: max_age", "keys: skew" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ring_sum broken[RING_MAX_SUMS];
        size_t n = ring_check(&tight, &cases[i].kept, broken);
        unit_same_int("broken", n > 0, cases[i].sum > 0);
        if (n == 0)
            continue;
        unit_same_int("sum", broken[0].sum, cases[i].sum);
        unit_same_str("whose age", broken[0].terms[0].setting, cases[i].age);
        unit_same_str("whose skew", broken[0].terms[2].setting, cases[i].skew);
    }
}

static void what_never_rotates_promises_nothing_but_a_standby(void)
{
    struct ring_sum broken[RING_MAX_SUMS];
    struct ring_settings s = { .max_ttl = 20 };

    unit_same_int("never", (long long)ring_check(&s, &none, broken), 0);
    s.standby = true;
    unit_same_int("a standby without a time", (long long)ring_check(&s, &none, broken), 1);
    unit_same_str("setting", broken[0].setting, "standby");
    unit_same_int("nothing to add up", (long long)broken[0].n_terms, 0);
}

static const struct { const char *name; int64_t rotate_every, max_ttl, skew; size_t n_outside; int64_t want; } most_case[] = {
    { "short-lived tokens: active, next and one retired", 100, 20, 2, 0, 3 },
    { "just less than a turn", 100, 98, 2, 0, 3 },
    { "a second more: two retired for a second", 100, 98, 3, 0, 4 },
    { "two turns", 100, 200, 0, 0, 4 },
    { "outside keys may all be there beside them", 100, 20, 2, 5, 8 },
    { "never", 0, 20, 2, 0, 1 },
    { "never, one outside", 0, 20, 2, 1, 1 },
    { "never, many outside", 0, 20, 2, 64, 64 },
};

static void the_most_keys_that_may_be_published(void)
{
    for (size_t i = 0; i < sizeof most_case / sizeof *most_case; i++) {
        struct ring_settings s = { .rotate_every = most_case[i].rotate_every, .max_ttl = most_case[i].max_ttl,
                                   .skew = most_case[i].skew };
        unit_same_int(most_case[i].name, ring_most_published(&s, most_case[i].n_outside), most_case[i].want);
    }
}

static const struct unit_case cases[] = {
    { "a second more or less than the limit breaks one rule", a_second_more_or_less_than_the_limit_breaks_one_rule },
    { "a turn that is a second too short breaks two rules", a_turn_that_is_a_second_too_short_breaks_two_rules },
    { "what keys promised counts where it is longer", what_keys_promised_counts_where_it_is_longer },
    { "what never rotates promises nothing but a standby", what_never_rotates_promises_nothing_but_a_standby },
    { "the most keys that may be published", the_most_keys_that_may_be_published },
};
UNIT_MAIN(cases)
