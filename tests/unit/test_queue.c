#include "daemon/broker/queue.h"
#include "tests/support/unit.h"

struct item { struct queue_item link; char name; };

/* Letters are lanes: "aab" pushes two items for lane a, then one for b. What comes out, in order. */
static void drain(struct queue *q, char *out)
{
    struct queue_item *i;

    while ((i = queue_pop(q)))
        *out++ = ((struct item *)i)->name;
    *out = '\0';
}

static const struct { const char *name, *in, *out; } fair_case[] = {
    { "nothing", "", "" },
    { "one caller: first come, first served", "aaa", "aaa" },
    { "a flood delays no other", "aaaaaab", "abaaaaa" },
    { "three in turn", "aaabbbccc", "abcabcabc" },
    { "a late lane waits one round at most", "aabbc", "abcab" },
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
    CU_ASSERT_PTR_EQUAL(queue_peek(&q), &items[3].link);
    drain(&q, out);
    unit_same_str("order", out, "0b12");
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

    queue_push(&q, &a, &items[0].link);
    queue_push(&q, &b, &items[1].link);
    CU_ASSERT_PTR_EQUAL(queue_pop(&q), &items[0].link);
    queue_push(&q, &a, &items[2].link);
    drain(&q, out);
    unit_same_str("order", out, "bc");
}

static const struct unit_case cases[] = {
    { "lanes are served in turn", lanes_are_served_in_turn },
    { "work that comes back is first of its lane", work_that_comes_back_is_first_of_its_lane },
    { "a lane that empties may fill again", a_lane_that_empties_may_fill_again },
};
UNIT_MAIN(cases)
