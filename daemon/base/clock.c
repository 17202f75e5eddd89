#include "daemon/base/clock.h"

#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#ifdef SIGNET_TESTING
static struct { bool known; int64_t seconds; } moved;

void clock_test_move(int64_t seconds)
{
    moved.known = true;
    moved.seconds = seconds;
}

static int64_t offset(void)
{
    if (!moved.known) {
        const char *text = getenv("SIGNET_TEST_CLOCK");
        clock_test_move(text ? strtoll(text, NULL, 10) : 0);
    }
    return moved.seconds;
}
#else
static int64_t offset(void) { return 0; }
#endif

int64_t clock_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec + offset();
}

int64_t clock_mono_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}
