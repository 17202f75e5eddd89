#include "client/clock.h"

#include <time.h>

#ifdef SIGNET_TESTING
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct test_time { _Atomic int64_t passed_ms, moved_ms; } *test_time, real_time;

static void look(void)
{
    const char *path = getenv("SIGNET_TEST_TIME");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *test_time, PROT_READ, MAP_SHARED, fd, 0);

    if (fd >= 0)
        close(fd);
    test_time = at == MAP_FAILED ? &real_time : at;
}

static const struct test_time *moved(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, look);
    return test_time;
}

static int64_t passed_ms(void) { return moved()->passed_ms; }
static int64_t wall_moved_ms(void) { return moved()->passed_ms + moved()->moved_ms; }
#else
static int64_t passed_ms(void) { return 0; }
static int64_t wall_moved_ms(void) { return 0; }
#endif

static int64_t read_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t clock_wall_s(void)
{
    return (read_ns(CLOCK_REALTIME) / 1000000 + wall_moved_ms()) / 1000;
}

int64_t clock_steady_ns(void)
{
    return read_ns(CLOCK_BOOTTIME) + passed_ms() * 1000000;
}
