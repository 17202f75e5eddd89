#include "daemon/broker/pace.h"
#include "tests/support/unit.h"

#define BEGIN_MS 1000000
#define KNOWN_MS (PACE_WINDOW_MS * (int64_t)PACE_WINDOWS)

/* `every_ms` from `from_ms` on to before `to_ms`, counted from the beginning. */
static void serve(struct pace *p, int64_t from_ms, int64_t to_ms, int64_t every_ms)
{
    for (int64_t at = from_ms; at < to_ms; at += every_ms)
        pace_served(p, BEGIN_MS + at);
}

/* How long one behind n_waiting waits; -1: not known. */
static long long wait_of(struct pace *p, size_t n_waiting, int64_t at)
{
    int64_t until = pace_foretell(p, n_waiting, BEGIN_MS + at);

    return until ? until - BEGIN_MS - at : -1;
}

static const struct {
    const char *name;
    int64_t every_ms, pause_from, pause_to, at;
    size_t n_waiting;
    long long wait_ms;
} wait_case[] = {
    { "nobody waits", 10, 0, 0, 4000, 0, 0 },
    { "a hundred a second", 10, 0, 0, 4000, 300, 3000 },
    { "two a second", 500, 0, 0, 4000, 4, 2000 },
    { "one for whom it could be known, a moment before", 10, 0, 0, KNOWN_MS - 1, 300, -1 },
    { "and at that moment", 10, 0, 0, KNOWN_MS, 300, 3000 },
    { "a pause that has just ended", 10, 2000, 3400, 3500, 300, 3000 },
    { "a pause longer than all windows: not known how it goes on", 10, 2000, 9000, 9000, 300, -1 },
};

static void a_wait_follows_from_how_many_were_served_of_late(void)
{
    for (size_t i = 0; i < sizeof wait_case / sizeof *wait_case; i++) {
        struct pace p = { 0 };
        if (wait_case[i].pause_to) {
            serve(&p, 0, wait_case[i].pause_from, wait_case[i].every_ms);
            serve(&p, wait_case[i].pause_to, wait_case[i].at, wait_case[i].every_ms);
        } else {
            serve(&p, 0, wait_case[i].at, wait_case[i].every_ms);
        }
        unit_same_int(wait_case[i].name, wait_of(&p, wait_case[i].n_waiting, wait_case[i].at), wait_case[i].wait_ms);
    }
}

static void one_that_grows_slower_is_known_as_slow_when_its_quick_windows_are_past(void)
{
    struct pace p = { 0 };

    serve(&p, 0, 4000, 5);
    serve(&p, 4000, 4000 + KNOWN_MS - PACE_WINDOW_MS, 50);
    unit_same_int("its quick time counts", wait_of(&p, 100, 4000 + KNOWN_MS - PACE_WINDOW_MS), 500);
    serve(&p, 4000 + KNOWN_MS - PACE_WINDOW_MS, 4000 + KNOWN_MS, 50);
    unit_same_int("no more", wait_of(&p, 100, 4000 + KNOWN_MS), 5000);
}

static void one_that_grows_quicker_is_known_as_quick_at_once(void)
{
    struct pace p = { 0 };

    serve(&p, 0, 4000, 50);
    serve(&p, 4000, 4400, 5);
    unit_same_int("before the window's end", wait_of(&p, 160, 4400), 1000);
}

static const struct unit_case cases[] = {
    { "a wait follows from how many were served of late", a_wait_follows_from_how_many_were_served_of_late },
    { "one that grows slower is known as slow when its quick windows are past",
      one_that_grows_slower_is_known_as_slow_when_its_quick_windows_are_past },
    { "one that grows quicker is known as quick at once", one_that_grows_quicker_is_known_as_quick_at_once },
};
UNIT_MAIN(cases)
