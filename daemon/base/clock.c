#include "daemon/base/clock.h"

#include <stdlib.h>
#include <time.h>

#ifdef SIGNET_TESTING
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

static struct { bool known; int64_t moved_ms; const struct clock_test_time *shared; } test;

static const struct clock_test_time *map(const char *path)
{
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *test.shared, PROT_READ, MAP_SHARED, fd, 0);

    if (fd >= 0)
        close(fd);
    return at == MAP_FAILED ? NULL : at;
}

static void look(void)
{
    const char *error = getenv("SIGNET_TEST_CLOCK");

    if (test.known)
        return;
    test.known = true;
    test.moved_ms = error ? strtoll(error, NULL, 10) * 1000 : 0;
    test.shared = map(getenv("SIGNET_TEST_TIME"));
}

void clock_test_move(int64_t seconds)
{
    look();
    test.moved_ms = seconds * 1000;
}

static int64_t passed_ms(void)
{
    look();
    return test.shared ? test.shared->passed_ms : 0;
}

static int64_t moved_ms(void)
{
    look();
    return test.moved_ms + (test.shared ? test.shared->moved_ms : 0);
}
#else
static int64_t passed_ms(void) { return 0; }
static int64_t moved_ms(void) { return 0; }
#endif

static int64_t read_us(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000 + passed_ms() + moved_ms();
}

int64_t clock_now(void)
{
    return clock_wall_ms() / 1000;
}

int64_t clock_steady_ms(void)
{
    return read_us(CLOCK_BOOTTIME) / 1000 + passed_ms();
}

int64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

int64_t clock_cpu_us(void)
{
    return read_us(CLOCK_PROCESS_CPUTIME_ID);
}
