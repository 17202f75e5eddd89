/*
 * The key set is read by many threads and changes now and then: each call
 * takes a counted reference to the set of the moment. What is being fetched
 * is one process's; a forked child begins with the parent's set, and with a
 * follower of its own, so that no lock of the parent's can stand in its way.
 */
#include "client/follower.h"

#include "client/clock.h"
#include "client/conn.h"
#include "client/error.h"
#include "client/handle.h"
#include "client/keys.h"
#include "client/process.h"

#include <poll.h>
#include <pthread.h>

#define REFETCH_NS 1000000000    /* between two fetches that begin: unknown kids may come by the thousand */
#define UNKNOWN_WAIT_MS 500      /* for a fetch that a stranger's kid asks for: it must not hold threads up for longer */
#define SOON_MS 50               /* when to try again, where a call may not wait */

/* Each cause has a rate of its own: a stranger's kids must not keep a set from being renewed, nor the reverse. */
enum cause { AGE, UNKNOWN_KEY };

/* Of one process. */
struct follower {
    struct sockaddr_un address;
    uint64_t process;            /* process_id */
    pthread_mutex_t lock;
    pthread_cond_t ended;        /* a fetch has, or the one who waited for it has left */
    bool held;                   /* the lock is: seen so in a child, all this may be half-way through anything */
    struct key_set *_Atomic set; /* NULL: none yet */
    struct conn *conn;
    struct keys_fetch *fetch;    /* under way; NULL: none */
    int64_t began_ms;            /* the last one: conn_now_ms, and... */
    int64_t asked_ns;            /* ...clock_steady_ns */
    int64_t next_ns[2];          /* by enum cause, when one may begin: clock_steady_ns */
    uint64_t n_ended;
    bool polled;                 /* a thread waits on the connection, outside the lock: nobody else touches it */
    struct signet_error why;     /* why the last fetch failed; reason "": it did not */
    struct follower *inherited;  /* a parent's, that had to be left as it was */
};

/* --- fetching: with the lock held ------------------------------------------------------------- */

static void lock(struct follower *f)
{
    pthread_mutex_lock(&f->lock);
    f->held = true;
}

static void unlock(struct follower *f)
{
    f->held = false;
    pthread_mutex_unlock(&f->lock);
}

static void fetch_ended(struct follower *f, const struct signet_error *why)
{
    keys_fetch_free(f->fetch);
    f->fetch = NULL;
    f->why = why ? *why : (struct signet_error){ 0 };
    f->n_ended++;
}

static void on_page(const struct conn_call *call, Signet__V1__Reply *reply, const struct signet_error *e);

static void ask_page(struct follower *f)
{
    Signet__V1__Request op;
    Signet__V1__GetKeysRequest m;
    struct signet_error why;
    struct conn_call call = { .done = on_page, .ctx = f };

    keys_fetch_ask(f->fetch, &op, &m);
    if (!conn_begin(f->conn, &op, f->began_ms + HANDLE_TIMEOUT_MS, call, &why))
        fetch_ended(f, &why);
}

static void on_page(const struct conn_call *call, Signet__V1__Reply *reply, const struct signet_error *e)
{
    struct follower *f = call->ctx;
    struct signet_keys *keys = NULL;
    struct signet_error why;

    if (!reply) {
        fetch_ended(f, e);
        return;
    }
    enum keys_fetched got = keys_fetch_take(f->fetch, reply, &keys, &why);
    if (got == KEYS_MORE) {
        ask_page(f);
        conn_send(f->conn);
        return;
    }
    struct key_set *set = got == KEYS_DONE ? key_set_new(keys, f->asked_ns, &why) : NULL;
    if (set)
        key_set_unref(atomic_exchange(&f->set, set));
    fetch_ended(f, set ? NULL : &why);
}

static bool may_begin(const struct follower *f, enum cause cause)
{
    return !f->fetch && clock_steady_ns() >= f->next_ns[cause];
}

static void begin_fetch(struct follower *f, enum cause cause)
{
    f->began_ms = conn_now_ms();
    f->asked_ns = clock_steady_ns();
    f->next_ns[cause] = f->asked_ns + REFETCH_NS;
    f->fetch = keys_fetch_new();
    if (f->fetch) {
        ask_page(f);
    } else {
        struct signet_error why;
        error_no_memory(&why);
        fetch_ended(f, &why);
    }
}

static void go_on(struct follower *f)
{
    if (f->fetch)
        conn_process(f->conn);
    if (!f->fetch)
        pthread_cond_broadcast(&f->ended);
}

/* What a call does on its way, waiting for nothing. */
static void keep_fresh(struct follower *f)
{
    const struct key_set *s = f->set;

    if (f->polled)
        return;
    if (may_begin(f, AGE) && (!s || clock_steady_ns() >= s->renew_ns))
        begin_fetch(f, AGE);
    go_on(f);
}

static struct timespec monotonic(int64_t ms)
{
    return (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
}

/* One thread at a time polls; the others wait for it. */
static void poll_or_wait(struct follower *f, int64_t until_ms)
{
    int64_t next = conn_next_ms(f->conn), now = conn_now_ms(), at = next < until_ms ? next : until_ms;
    struct pollfd fd = { .fd = conn_fd(f->conn), .events = conn_events(f->conn) };
    struct timespec end = monotonic(until_ms);

    if (f->polled) {
        f->held = false;
        pthread_cond_clockwait(&f->ended, &f->lock, CLOCK_MONOTONIC, &end);
        f->held = true;
        return;
    }
    f->polled = true;
    unlock(f);
    poll(&fd, 1, at > now ? (int)(at - now) : 0);
    lock(f);
    f->polled = false;
    go_on(f);
    pthread_cond_broadcast(&f->ended);
}

/* The fetch that is under way, or may begin now, to its end or until then. */
static void wait_for_fetch(struct follower *f, enum cause cause, int64_t until_ms)
{
    uint64_t before = f->n_ended;

    if (may_begin(f, cause) && !f->polled)
        begin_fetch(f, cause);
    if (!f->polled)
        go_on(f);
    while (f->fetch && f->n_ended == before && conn_now_ms() < until_ms)
        poll_or_wait(f, until_ms);
}

/* --- one a process ------------------------------------------------------------------------------ */

struct follower *follower_new(const struct sockaddr_un *address)
{
    struct follower *f = calloc(1, sizeof *f);

    if (!f || !(f->conn = conn_new(address))) {
        free(f);
        return NULL;
    }
    f->address = *address;
    f->process = process_id();
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->ended, NULL);
    return f;
}

void follower_free(struct follower *f)
{
    if (!f)
        return;
    follower_free(f->inherited);
    if (f->process != process_id() && f->held) {         /* half-way: its memory is left, the descriptor is not */
        conn_abandon(f->conn);
        return;
    }
    conn_free(f->conn);
    keys_fetch_free(f->fetch);
    key_set_unref(f->set);
    if (f->process == process_id()) {
        pthread_cond_destroy(&f->ended);
        pthread_mutex_destroy(&f->lock);
    }
    free(f);
}

/* The parent's set holds in the child too; its connection is closed. */
struct follower *follower_here(struct follower *_Atomic *at)
{
    struct follower *f = *at;

    if (f->process == process_id())
        return f;
    struct follower *mine = follower_new(&f->address);
    if (!mine)
        return NULL;
    mine->set = key_set_ref(f->set);
    mine->inherited = f;
    if (atomic_compare_exchange_strong(at, &f, mine)) {
        conn_abandon(mine->inherited->conn);
        return mine;
    }
    mine->inherited = NULL;
    follower_free(mine);
    return f;
}

/* --- the set ------------------------------------------------------------------------------------ */

static bool unavailable(const struct follower *f, const char *what, struct signet_error *e)
{
    const char *why = f->fetch ? "it is being fetched: try again" : *f->why.text ? f->why.text : "not fetched yet: try again";

    error_set(e, ERR_KEYS_UNAVAILABLE, "%s, and signetd at '%s' gives no newer set: %s", what, f->address.sun_path, why);
    if (e)
        e->retry_after_ms = SOON_MS;
    return false;
}

static bool may_judge(const struct key_set *s, int64_t began_ns)
{
    return s && (clock_steady_ns() < s->until_ns || s->asked_ns >= began_ns);
}

struct key_set *follower_set(struct follower *f, int64_t began_ns, int64_t until_ms, struct signet_error *e)
{
    struct key_set *s = NULL;

    lock(f);
    keep_fresh(f);
    if (!may_judge(f->set, began_ns))
        wait_for_fetch(f, AGE, until_ms);
    if (may_judge(f->set, began_ns))
        s = key_set_ref(f->set);
    else
        unavailable(f, f->set ? "the key set is older than it may become" : "there is no key set", e);
    unlock(f);
    return s;
}

bool follower_newer(struct follower *f, const struct key_set *s, int64_t began_ns, int64_t until_ms, struct key_set **out,
                    struct signet_error *e)
{
    bool known = true;
    int64_t now = conn_now_ms();

    if (until_ms > now + UNKNOWN_WAIT_MS)
        until_ms = now + UNKNOWN_WAIT_MS;
    lock(f);
    if (f->fetch && now - f->began_ms > UNKNOWN_WAIT_MS)
        until_ms = now;                  /* it hangs: nobody waits for it in turn */
    /* A fetch under way may have been answered before: then another, where the rate allows. */
    for (int i = 0; i < 2 && f->set->asked_ns < began_ns && (f->fetch || may_begin(f, UNKNOWN_KEY)); i++) {
        wait_for_fetch(f, UNKNOWN_KEY, until_ms);
        if (conn_now_ms() >= until_ms)
            break;
    }
    if (f->set != s)
        *out = key_set_ref(f->set);
    else if (f->fetch || *f->why.reason)
        known = unavailable(f, "the token's key is not in the key set", e);
    unlock(f);
    return known;
}
