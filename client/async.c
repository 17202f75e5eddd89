/*
 * A conn, and one epoll for its owner to poll: the socket is in it, and a
 * timer for deadlines and for what has ended already (callbacks wait for
 * signet_async_process). Calls begun within a callback are sent together, at
 * the end of that turn; others at once.
 */
#include "client/address.h"
#include "client/error.h"
#include "client/handle.h"
#include "client/op.h"
#include "client/process.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

struct signet_async {
    struct sockaddr_un address;
    uint64_t process;            /* process_id: whose the rest is */
    struct conn *conn;
    int epoll, timer;
    unsigned generation;         /* of the connection whose descriptor is in epoll, with... */
    short events;                /* these; 0: it is not */
    int64_t armed_ms;            /* when the timer rings; INT64_MAX: not set */
    uint32_t timeout_ms;         /* 0: the defaults */
    bool inside;                 /* in signet_async_process */
    _Atomic bool busy;           /* in any call of ours: seen so in a child, the rest may be half-way through anything */
    bool closed;                 /* within a callback: freed at its end */
};

/* --- the descriptor --------------------------------------------------------------------------- */

static void closing(void *ctx, int fd)
{
    struct signet_async *a = ctx;

    if (a->events)
        epoll_ctl(a->epoll, EPOLL_CTL_DEL, fd, NULL);
    a->events = 0;
}

static void close_all(struct signet_async *a)
{
    if (a->epoll >= 0)
        close(a->epoll);
    if (a->timer >= 0)
        close(a->timer);
    a->epoll = a->timer = -1;
}

static bool make_all(struct signet_async *a, struct signet_error *e)
{
    struct epoll_event timer = { .events = EPOLLIN };

    a->process = process_id();
    a->events = 0;
    a->armed_ms = INT64_MAX;
    a->conn = conn_new(&a->address);
    a->epoll = epoll_create1(EPOLL_CLOEXEC);
    a->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int why = errno;
    if (!a->conn)
        return error_no_memory(e);
    conn_on_close(a->conn, closing, a);
    if (a->epoll >= 0 && a->timer >= 0 && epoll_ctl(a->epoll, EPOLL_CTL_ADD, a->timer, &timer) == 0)
        return true;
    close_all(a);
    return error_set(e, why == EMFILE || why == ENFILE ? ERR_NO_DESCRIPTORS : ERR_SYSTEM, "nothing to poll: %s", strerror(why));
}

/* In a child what the parent waits for is not ours; where another thread was at work on it, its memory is left. */
static void let_go(struct signet_async *a)
{
    if (a->conn && a->busy && a->process != process_id())
        conn_abandon(a->conn);
    else
        conn_free(a->conn);
    a->conn = NULL;
    close_all(a);
    a->busy = a->inside = false;
}

static bool own(struct signet_async *a, struct signet_error *e)
{
    if (!a)
        return error_set(e, ERR_BAD_REQUEST, "no handle to call through: did signet_async_open fail?");
    if (a->process == process_id() && a->conn && a->epoll >= 0)
        return true;
    let_go(a);
    return make_all(a, e);
}

static void watch_socket(struct signet_async *a)
{
    struct epoll_event want = { 0 };
    int fd = conn_fd(a->conn);
    short events = conn_events(a->conn);

    if (fd < 0 || (a->events == events && a->generation == conn_generation(a->conn)))
        return;
    want.events = (uint32_t)(events & POLLIN ? EPOLLIN : 0) | (uint32_t)(events & POLLOUT ? EPOLLOUT : 0);
    if (epoll_ctl(a->epoll, a->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &want) == 0) {
        a->events = events;
        a->generation = conn_generation(a->conn);
    }
}

/* A timer that rings too soon costs a turn, so it is only ever set to something sooner. */
static void set_timer(struct signet_async *a)
{
    int64_t next = conn_next_ms(a->conn);
    struct itimerspec at = { .it_value = { .tv_sec = next / 1000, .tv_nsec = next % 1000 * 1000000 } };

    if (next >= a->armed_ms)
        return;
    if (next <= 0)
        at.it_value = (struct timespec){ .tv_nsec = 1 };         /* long past: it rings at once */
    if (timerfd_settime(a->timer, TFD_TIMER_ABSTIME, &at, NULL) == 0)
        a->armed_ms = next;
}

static void clear_timer(struct signet_async *a)
{
    uint64_t n;

    if (a->armed_ms == INT64_MAX || a->armed_ms > conn_now_ms())
        return;
    if (read(a->timer, &n, sizeof n) == sizeof n)
        a->armed_ms = INT64_MAX;
}

static void watch(struct signet_async *a)
{
    watch_socket(a);
    set_timer(a);
}

/* --- life ------------------------------------------------------------------------------------- */

struct signet_async *signet_async_open(const char *path, struct signet_error *e)
{
    struct sockaddr_un address;

    if (!address_of(DOOR_CALLERS, path, &address, e))
        return NULL;
    struct signet_async *a = calloc(1, sizeof *a);
    if (!a) {
        error_no_memory(e);
        return NULL;
    }
    a->address = address;
    if (make_all(a, e))
        return a;
    signet_async_close(a);
    return NULL;
}

void signet_async_close(struct signet_async *a)
{
    if (!a)
        return;
    if (a->inside && a->process == process_id()) {
        conn_cancel_all(a->conn);
        a->closed = true;
        return;
    }
    let_go(a);
    free(a);
}

int signet_async_fd(struct signet_async *a)
{
    return own(a, NULL) ? a->epoll : -1;
}

void signet_async_set_timeout(struct signet_async *a, uint32_t timeout_ms)
{
    if (a)
        a->timeout_ms = timeout_ms;
}

size_t signet_async_n_waiting(const struct signet_async *a)
{
    return a && a->conn && a->process == process_id() ? conn_n_calls(a->conn) : 0;
}

bool signet_async_cancel(struct signet_async *a, uint64_t call)
{
    if (!own(a, NULL))
        return false;
    bool was = a->busy;
    a->busy = true;
    bool ok = conn_cancel(a->conn, call);
    a->busy = was;
    return ok;
}

size_t signet_async_process(struct signet_async *a)
{
    if (!own(a, NULL) || a->inside)
        return 0;
    a->busy = true;
    a->inside = true;
    clear_timer(a);
    size_t n = conn_process(a->conn);
    if (!a->closed)
        conn_send(a->conn);              /* what callbacks began */
    a->inside = false;
    if (!a->closed)
        watch(a);
    a->busy = false;
    if (a->closed)
        signet_async_close(a);
    return n;
}

/* --- calls ------------------------------------------------------------------------------------ */

static uint64_t begin(struct signet_async *a, Signet__V1__Request *op, struct conn_call call, struct signet_error *e)
{
    if (!own(a, e))
        return 0;
    bool was = a->busy;
    a->busy = true;
    op->deadline_ms = a->timeout_ms;
    uint64_t id = conn_begin(a->conn, op, conn_now_ms() + (a->timeout_ms ? a->timeout_ms : HANDLE_TIMEOUT_MS), call, e);
    if (id && !a->inside) {
        conn_send(a->conn);
        watch(a);
    }
    a->busy = was;
    return id;
}

static bool has_callback(void (*done)(void), struct signet_error *e)
{
    return done || error_set(e, ERR_BAD_REQUEST, "nobody to call back: the function is NULL");
}

/* What was asked, read back from the frame that was sent. NULL: no memory; the reply, taken, is gone then. */
static Signet__V1__Request *asked(const struct conn_call *call, Signet__V1__Reply *reply, struct signet_error *e)
{
    Signet__V1__Request *r = reply ? signet__v1__request__unpack(NULL, call->request_len, call->request) : NULL;

    if (reply && !r) {
        error_no_memory(e);
        signet__v1__reply__free_unpacked(reply, NULL);
    }
    return r;
}

static void request_freep(Signet__V1__Request **r)
{
    if (*r)
        signet__v1__request__free_unpacked(*r, NULL);
}

static void token_done(const struct conn_call *call, Signet__V1__Reply *reply, const struct signet_error *e)
{
    struct signet_error why;
    CLEANUP(request_freep) Signet__V1__Request *ask = asked(call, reply, &why);
    struct signet_token *t = ask ? op_token_of(ask, reply, &why) : NULL;

    ((signet_token_fn *)call->then)(call->ctx, t, t ? NULL : reply ? &why : e);
}

uint64_t signet_async_sign(struct signet_async *a, const struct signet_sign_request *ask,
                           signet_token_fn *done, void *ctx, struct signet_error *e)
{
    Signet__V1__Request op;
    Signet__V1__SignRequest m;
    struct conn_call call = { .done = token_done, .then = (void (*)(void))done, .ctx = ctx };

    return has_callback(call.then, e) && op_sign(&op, &m, ask, e) ? begin(a, &op, call, e) : 0;
}

static void batch_done(const struct conn_call *call, Signet__V1__Reply *reply, const struct signet_error *e)
{
    struct signet_error why;
    CLEANUP(request_freep) Signet__V1__Request *ask = asked(call, reply, &why);
    struct signet_batch *b = ask ? op_batch_of(ask, reply, &why) : NULL;

    ((signet_batch_fn *)call->then)(call->ctx, b, b ? NULL : reply ? &why : e);
}

uint64_t signet_async_sign_batch(struct signet_async *a, const struct signet_sign_request *ask, size_t n,
                                 signet_batch_fn *done, void *ctx, struct signet_error *e)
{
    Signet__V1__Request op;
    CLEANUP(op_batch_clear) struct op_batch b = { 0 };
    struct conn_call call = { .done = batch_done, .then = (void (*)(void))done, .ctx = ctx };

    return has_callback(call.then, e) && op_batch(&op, &b, ask, n, e) ? begin(a, &op, call, e) : 0;
}

static void verified_done(const struct conn_call *call, Signet__V1__Reply *reply, const struct signet_error *e)
{
    struct signet_error why;
    CLEANUP(request_freep) Signet__V1__Request *ask = asked(call, reply, &why);
    struct signet_verified *v = ask ? op_verified_of(ask, reply, &why) : NULL;

    ((signet_verified_fn *)call->then)(call->ctx, v, v ? NULL : reply ? &why : e);
}

uint64_t signet_async_verify(struct signet_async *a, const void *token, size_t len, const char *profile,
                             const char *audience, signet_verified_fn *done, void *ctx, struct signet_error *e)
{
    Signet__V1__Request op;
    Signet__V1__VerifyRequest m;
    struct conn_call call = { .done = verified_done, .then = (void (*)(void))done, .ctx = ctx };

    return has_callback(call.then, e) && op_verify(&op, &m, token, len, profile, audience, e) ? begin(a, &op, call, e) : 0;
}
