/* A page that the kernel empties in a forked child. */
#include "client/process.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

typedef _Atomic uint64_t id_page;

static id_page *map_page(void)
{
    static _Atomic(id_page *) known;
    id_page *page = known, *none = NULL;

    if (page)
        return page;
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (madvise(page, sizeof *page, MADV_WIPEONFORK) == 0 && atomic_compare_exchange_strong(&known, &none, page))
        return page;
    munmap(page, sizeof *page);
    return none;
}

static uint64_t fresh_id(void)
{
    struct timespec t;
    uint64_t id;

    if (getrandom(&id, sizeof id, GRND_NONBLOCK) != sizeof id) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        id = (uint64_t)getpid() << 40 ^ (uint64_t)t.tv_sec << 30 ^ (uint64_t)t.tv_nsec;
    }
    return (id & ((UINT64_C(1) << 62) - 1)) | 1;
}

uint64_t process_id(void)
{
    id_page *page = map_page();

    if (!page)
        return (uint64_t)getpid();           /* no memory: then by the number */
    uint64_t id = *page, fresh;
    if (id)
        return id;
    fresh = fresh_id();
    return atomic_compare_exchange_strong(page, &id, fresh) ? fresh : id;
}
