#include "tests/nth/nth.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* AddressSanitizer's, where it is there: what it frees must be its own. Before that the C library's. */
#define REAL(type, name, params) \
    extern type __interceptor_##name params __attribute__((weak)); \
    extern type __libc_##name params
REAL(void *, malloc, (size_t));
REAL(void *, calloc, (size_t, size_t));
REAL(void *, realloc, (void *, size_t));
REAL(void, free, (void *));

static struct nth_control own, *control = &own;
static char me[sizeof own.role];     /* this process's role */
static uint32_t my_pid;
static struct nth_held *mine;        /* NULL: nobody asks what we hold */

static void maps(const char *path)
{
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    struct stat st;
    void *at = MAP_FAILED;

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size == sizeof own)
        at = mmap(NULL, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (at != MAP_FAILED)
        control = at;
}

static struct nth_held *a_place(void)
{
    for (size_t i = 0; control != &own && i < NTH_PROCESSES; i++) {
        uint32_t none = 0;
        if (atomic_compare_exchange_strong(&control->held[i].pid, &none, my_pid))
            return &control->held[i];
    }
    return NULL;
}

/* The C library hands over main's arguments. */
__attribute__((constructor)) static void begin(int argc, char **argv)
{
    static const char prefix[] = "signetd: ";

    if (argc > 0 && strncmp(argv[0], prefix, sizeof prefix - 1) == 0)
        strncpy(me, argv[0] + sizeof prefix - 1, sizeof me - 1);
    my_pid = (uint32_t)getpid();
    maps(getenv("SIGNET_NTH_CONTROL"));
    mine = a_place();
}

/* Of several processes of the role, one after the other, the first to come by is meant. */
static bool is_ours(void)
{
    uint32_t none = 0;

    if (control == &own)
        return true;
    return strcmp(control->role, me) == 0 &&
           (control->pid == my_pid || atomic_compare_exchange_strong(&control->pid, &none, my_pid));
}

static bool due(void)
{
    if (atomic_fetch_add(&control->n_calls, 1) + 1 != control->at)
        return false;
    control->n_done++;
    return true;
}

/* p11-kit 0.24 looks at no allocation of its own, and there is no other: what it would crash of is not ours to mend. */
static bool is_hopeless(const void *caller)
{
    Dl_info info;

    return dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, "/libp11-kit.");
}

static bool fails(enum nth_kind kind, const void *caller, int error)
{
    if (control->kind != kind || !is_ours() || (kind == NTH_ALLOC && is_hopeless(caller)) || !due())
        return false;
    errno = error;
    return true;
}

void nth_arm(enum nth_kind kind, uint64_t at)
{
    control->n_calls = control->n_done = 0;
    control->at = at;
    control->kind = kind;
}

uint64_t nth_disarm(bool *out_done)
{
    control->kind = NTH_DISARMED;
    *out_done = control->n_done > 0;
    return control->n_calls;
}

/* --- allocations ------------------------------------------------------------------------------- */

#define PUBLIC __attribute__((visibility("default")))

#define CALLER __builtin_return_address(0)

/* OpenSSL 3.0 forgets a name that it has no memory to enter among those of its algorithms. */
PUBLIC const char *__lsan_default_suppressions(void);
PUBLIC const char *__lsan_default_suppressions(void)
{
    return "leak:EVP_RAND_fetch";
}

static int64_t size_of(void *block)
{
    return mine && block ? (int64_t)malloc_usable_size(block) : 0;
}

static void *count(void *block)
{
    if (mine && block)
        mine->bytes += size_of(block);
    return block;
}

static void *allocate(void *was, size_t n, const void *caller)
{
    int64_t before = size_of(was);

    if (fails(NTH_ALLOC, caller, ENOMEM))
        return NULL;
    if (!was)
        return count(__interceptor_malloc ? __interceptor_malloc(n) : __libc_malloc(n));
    void *is = __interceptor_realloc ? __interceptor_realloc(was, n) : __libc_realloc(was, n);
    if (mine && (is || n == 0))
        mine->bytes -= before;
    return count(is);
}

static char *copy(const char *s, size_t n, const void *caller)
{
    char *copy = allocate(NULL, n + 1, caller);

    if (copy) {
        memcpy(copy, s, n);
        copy[n] = '\0';
    }
    return copy;
}

PUBLIC void *malloc(size_t n)
{
    return allocate(NULL, n, CALLER);
}

PUBLIC void *calloc(size_t n, size_t size)
{
    if (fails(NTH_ALLOC, CALLER, ENOMEM))
        return NULL;
    return count(__interceptor_calloc ? __interceptor_calloc(n, size) : __libc_calloc(n, size));
}

PUBLIC void free(void *block)
{
    if (mine)
        mine->bytes -= size_of(block);
    if (__interceptor_free)
        __interceptor_free(block);
    else
        __libc_free(block);
}

PUBLIC void *realloc(void *was, size_t n)
{
    return allocate(was, n, CALLER);
}

PUBLIC void *reallocarray(void *was, size_t n, size_t size)
{
    size_t all;

    if (__builtin_mul_overflow(n, size, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    return allocate(was, all, CALLER);
}

PUBLIC char *strdup(const char *s)
{
    return copy(s, strlen(s), CALLER);
}

PUBLIC char *strndup(const char *s, size_t max)
{
    return copy(s, strnlen(s, max), CALLER);
}

/* --- writes ------------------------------------------------------------------------------------- */

/* No allocation is counted that finds them. */
#define FIND(type, name, params) \
    static type (*real_##name) params; \
    if (!real_##name) \
        real_##name = (type (*) params)dlsym(RTLD_NEXT, #name)

PUBLIC ssize_t write(int fd, const void *bytes, size_t n)
{
    FIND(ssize_t, write, (int, const void *, size_t));
    return fails(NTH_WRITE, NULL, ENOBUFS) ? -1 : real_write(fd, bytes, n);
}

PUBLIC ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
    FIND(ssize_t, send, (int, const void *, size_t, int));
    return fails(NTH_WRITE, NULL, ENOBUFS) ? -1 : real_send(fd, bytes, n, flags);
}

PUBLIC ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    FIND(ssize_t, sendmsg, (int, const struct msghdr *, int));
    return fails(NTH_WRITE, NULL, ENOBUFS) ? -1 : real_sendmsg(fd, m, flags);
}
