#include "daemon/broker/queue.h"
#include "tests/support/unit.h"

#include <string.h>

struct item { struct queue_item link; char name; };

/* Letters are lanes: "aab" pushes two items for lane a, then one for b. What comes out, in order. */
static void drain(struct queue *q, char *out)
{
    struct queue_item *i;

    while ((i = queue_pop(q, 1)))
        *out++ = ((struct item *)i)->name;
    *out = '\0';
}

static const struct { const char *name, *in, *out; } fair_case[] = {
    { "nothing", "", "" },
    { "one caller: first come, first served", "aaa", "aaa" },
    { "a flood delays no other", "aaaaaab", "baaaaaa" },
    { "three in turn", "aaabbbccc", "cbacbacba" },
    { "a late lane is the first of its round", "aabbc", "cbaba" },
};

static void lanes_are_served_in_turn(void)
{
    for (size_t i = 0; i < sizeof fair_case / sizeof *fair_case; i++) {
        struct queue q = { 0 };
        struct lane lanes[3] = { 0 };
        struct item items[16];
        char out[17];
        size_t n = 0;
        for (const char *at = fair_case[i].in; *at; at++, n++) {
            items[n].name = *at;
            queue_push(&q, &lanes[*at - 'a'], &items[n].link);
        }
        unit_same_int("items", (long long)q.n, (long long)n);
        drain(&q, out);
        unit_same_str(fair_case[i].name, out, fair_case[i].out);
        unit_same_int("left", (long long)q.n, 0);
    }
}

static void work_that_comes_back_is_first_of_its_lane(void)
{
    struct queue q = { 0 };
    struct lane a = { 0 }, b = { 0 };
    struct item items[] = { { .name = '1' }, { .name = '2' }, { .name = 'b' }, { .name = '0' } };
    char out[8];

    queue_push(&q, &a, &items[0].link);
    queue_push(&q, &a, &items[1].link);
    queue_push(&q, &b, &items[2].link);
    queue_push_first(&q, &a, &items[3].link);
    CU_ASSERT_PTR_EQUAL(queue_peek(&q), &items[2].link);
    drain(&q, out);
    unit_same_str("order", out, "b012");
    queue_push_first(&q, &a, &items[0].link);
    drain(&q, out);
    unit_same_str("into an empty lane", out, "1");
}

static void a_lane_that_empties_may_fill_again(void)
{
    struct queue q = { 0 };
    struct lane a = { 0 }, b = { 0 };
    struct item items[] = { { .name = 'a' }, { .name = 'b' }, { .name = 'c' } };
    char out[8];

    queue_push(&q, &b, &items[1].link);
    queue_push(&q, &a, &items[0].link);
    CU_ASSERT_PTR_EQUAL(queue_pop(&q, 1), &items[0].link);
    queue_push(&q, &a, &items[2].link);
    drain(&q, out);
    unit_same_str("order", out, "bc");
}

static const struct { const char *name; const char *gone, *out; } gone_case[] = {
    { "the first", "1", "b234" },
    { "one in between", "2", "b134" },
    { "the last", "3", "b124" },
    { "all but one", "13", "b24" },
    { "all of a lane", "123", "4b" },
    { "another lane's only one", "b", "1234" },
};

static void what_is_removed_is_never_served_and_the_order_stays(void)
{
    for (size_t i = 0; i < sizeof gone_case / sizeof *gone_case; i++) {
        struct queue q = { 0 };
        struct lane a = { 0 }, b = { 0 };
        struct item items[] = { { .name = '1' }, { .name = '2' }, { .name = '3' }, { .name = 'b' }, { .name = '4' } };
        char out[8];
        for (int k = 0; k < 4; k++)
            queue_push(&q, k < 3 ? &a : &b, &items[k].link);
        for (const char *at = gone_case[i].gone; *at; at++)
            queue_remove(&q, *at == 'b' ? &b : &a, &items[*at == 'b' ? 3 : *at - '1'].link);
        unit_same_int("left", (long long)q.n, (long long)(4 - strlen(gone_case[i].gone)));
        queue_push(&q, &a, &items[4].link);
        drain(&q, out);
        unit_same_str(gone_case[i].name, out, gone_case[i].out);
    }
}

/* How many of `n` pops were each lane's, where lanes never empty and each has its own cost. */
static void count(struct queue *q, struct lane *lanes, struct item *items, const int64_t *cost_us, int n, int *out)
{
    for (int i = 0; i < n; i++) {
        struct item *one = (struct item *)queue_peek(q);
        int lane = one->name - 'a';
        CU_ASSERT_PTR_EQUAL(queue_pop(q, cost_us[lane]), &one->link);
        out[lane]++;
        queue_push(q, &lanes[lane], &items[lane].link);
    }
}

static void a_lane_of_costly_work_has_no_more_time_than_another(void)
{
    const int64_t cost_us[3] = { 10000, 100, 1000 };
    struct queue q = { 0 };
    struct lane lanes[3] = { 0 };
    struct item items[3] = { { .name = 'a' }, { .name = 'b' }, { .name = 'c' } };
    int n[3] = { 0 };

    for (int i = 0; i < 3; i++)
        queue_push(&q, &lanes[i], &items[i].link);
    count(&q, lanes, items, cost_us, 1110, n);
    unit_same_int("of 10 ms", n[0], 10);
    unit_same_int("of 0.1 ms", n[1], 1000);
    unit_same_int("of 1 ms", n[2], 100);
}

static void who_was_away_is_owed_nothing_and_who_went_owes_still(void)
{
    const int64_t cost_us[3] = { 100, 100, 100 };
    struct queue q = { 0 };
    struct lane lanes[3] = { 0 };
    struct item items[4] = { { .name = 'a' }, { .name = 'b' }, { .name = 'c' }, { .name = 'c' } };
    int n[3] = { 0 };
    char out[8];

    queue_push(&q, &lanes[2], &items[2].link);
    queue_pop(&q, 5000);                         /* one costly one, and nothing more for now */
    queue_push(&q, &lanes[0], &items[0].link);
    count(&q, lanes, items, cost_us, 10, n);
    queue_push(&q, &lanes[1], &items[1].link);
    count(&q, lanes, items, cost_us, 10, n);
    CU_ASSERT(n[1] == 5 || n[1] == 6);           /* half, from then on */
    queue_push(&q, &lanes[2], &items[2].link);
    count(&q, lanes, items, cost_us, 10, n);
    unit_same_int("c has had its time for now", n[2], 0);
    count(&q, lanes, items, cost_us, 200, n);
    CU_ASSERT_TRUE(n[2] > 30);
    drain(&q, out);
}

/* One alone goes on and on; then many begin where it is, and one of them has not waited for them all. */
static void who_comes_late_to_many_that_have_used_as_much_is_next(void)
{
    struct queue q = { 0 };
    struct lane lanes[8] = { 0 };
    struct item items[10] = { { .name = 'x' }, { .name = 'x' } };

    for (int i = 0; i < 2; i++) {
        queue_push(&q, &lanes[7], &items[i].link);
        queue_pop(&q, 1000);
    }
    for (int i = 0; i < 6; i++)
        queue_push(&q, &lanes[i], &items[2 + i].link);
    for (int i = 0; i < 2; i++)
        queue_pop(&q, 1000);
    queue_push(&q, &lanes[6], &items[9].link);
    CU_ASSERT_PTR_EQUAL(queue_pop(&q, 1000), &items[9].link);
}

static void what_is_not_done_costs_its_lane_nothing(void)
{
    struct queue q = { 0 };
    struct lane a = { 0 }, b = { 0 };
    struct item items[] = { { .name = '1' }, { .name = '2' }, { .name = '3' }, { .name = 'b' } };
    char out[8];

    queue_push(&q, &b, &items[3].link);
    for (int i = 0; i < 3; i++)
        queue_push(&q, &a, &items[i].link);
    CU_ASSERT_PTR_EQUAL(queue_pop(&q, 0), &items[0].link);
    queue_pop(&q, 1);
    drain(&q, out);
    unit_same_str("the rest", out, "23");
    unit_same_int("used", a.used_us, 2);
}

static void the_longest_lane_is_known(void)
{
    struct queue q = { 0 };
    struct lane a = { 0 }, b = { 0 };
    struct item items[] = { { .name = '1' }, { .name = '2' }, { .name = '3' }, { .name = 'b' } };

    unit_same_int("none", (long long)queue_longest(&q), 0);
    for (int i = 0; i < 3; i++)
        queue_push(&q, &a, &items[i].link);
    queue_push(&q, &b, &items[3].link);
    unit_same_int("the first's", (long long)queue_longest(&q), 3);
    for (int i = 0; i < 4; i++)
        queue_pop(&q, a.n > 0);
    unit_same_int("none again", (long long)queue_longest(&q), 0);
}

/* The one that is next now, after those before it were passed over, and all as if nothing was. */
static void a_lane_that_is_passed_over_keeps_its_turn(void)
{
    struct queue q = { 0 };
    struct lane lanes[3] = { 0 };
    struct item items[] = { { .name = 'a' }, { .name = 'b' }, { .name = 'c' } };
    char out[8];

    for (int i = 2; i >= 0; i--)
        queue_push(&q, &lanes[i], &items[i].link);
    queue_pass(&q);
    queue_pass(&q);
    CU_ASSERT_PTR_EQUAL(queue_peek(&q), &items[2].link);
    queue_pass(&q);
    CU_ASSERT_PTR_NULL(queue_peek(&q));
    queue_restore(&q);
    drain(&q, out);
    unit_same_str("in order", out, "abc");
}

static void what_was_passed_over_can_be_removed(void)
{
    struct queue q = { 0 };
    struct lane lanes[3] = { 0 };
    struct item items[] = { { .name = 'a' }, { .name = 'b' }, { .name = 'c' } };
    char out[8];

    for (int i = 2; i >= 0; i--)
        queue_push(&q, &lanes[i], &items[i].link);
    queue_pass(&q);
    queue_pass(&q);
    queue_remove(&q, &lanes[0], &items[0].link);
    queue_remove(&q, &lanes[2], &items[2].link);
    CU_ASSERT_PTR_NULL(queue_peek(&q));
    queue_restore(&q);
    drain(&q, out);
    unit_same_str("what is left", out, "b");
}

static const struct unit_case cases[] = {
    { "the longest lane is known", the_longest_lane_is_known },
    { "what is removed is never served, and the order stays", what_is_removed_is_never_served_and_the_order_stays },
    { "a lane that is passed over keeps its turn", a_lane_that_is_passed_over_keeps_its_turn },
    { "what was passed over can be removed", what_was_passed_over_can_be_removed },
    { "a lane of costly work has no more time than another", a_lane_of_costly_work_has_no_more_time_than_another },
    { "who was away is owed nothing, and who went owes still", who_was_away_is_owed_nothing_and_who_went_owes_still },
    { "who comes late to many that have used as much is next", who_comes_late_to_many_that_have_used_as_much_is_next },
    { "what is not done costs its lane nothing", what_is_not_done_costs_its_lane_nothing },
    { "lanes are served in turn", lanes_are_served_in_turn },
    { "work that comes back is first of its lane", work_that_comes_back_is_first_of_its_lane },
    { "a lane that empties may fill again", a_lane_that_empties_may_fill_again },
};
UNIT_MAIN(cases)
