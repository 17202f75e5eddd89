/*
 * Each call has a connection to itself while it lasts; those that are idle are
 * kept for the next ones. So threads never wait for each other, and what one
 * does with its call is nothing to another.
 *
 * No lock is held, ever: a fork may come at any instruction, and the child's
 * copy of a lock might never be opened again. A slot's word says whose it is;
 * in a child the slots still name the parent: it closes its descriptors of
 * those, which does nothing to the parent's, and makes its own.
 */
#include "client/handle.h"

#include "client/address.h"
#include "client/error.h"
#include "client/process.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define SLOW_TIMEOUT_MS 120000u      /* an RSA key of 4096 bits on a TPM takes a minute */
#define N_SLOTS 64                   /* connections known; more threads at a time make some that are not */
#define N_IDLE 8                     /* kept when nobody calls: others of the same uid want theirs */

enum { FREE = 0, IDLE = 1, BUSY = 2 };       /* in a slot's word, below process_id */

struct slot {
    _Atomic uint64_t word;
    struct conn *_Atomic conn;
};

struct signet {
    struct sockaddr_un address;
    _Atomic uint32_t timeout_ms;     /* 0: the defaults */
    struct slot slots[N_SLOTS];
};

static uint64_t word_of(int state)
{
    return process_id() << 2 | (unsigned)state;
}

static bool is_foreign(uint64_t word)
{
    return word != FREE && word >> 2 != process_id();
}

/* --- life ------------------------------------------------------------------------------------- */

static struct signet *open_at(enum door door, const char *path, struct signet_error *e)
{
    struct sockaddr_un address;

    if (!address_of(door, path, &address, e))
        return NULL;
    struct signet *s = calloc(1, sizeof *s);
    if (!s) {
        error_no_memory(e);
        return NULL;
    }
    s->address = address;
    return s;
}

struct signet *signet_open(const char *path, struct signet_error *e)
{
    return open_at(DOOR_CALLERS, path, e);
}

struct signet *signet_open_admin(const char *path, struct signet_error *e)
{
    return open_at(DOOR_ADMIN, path, e);
}

/* Of a parent's: one that a thread was at work on may be half-way through anything, the memory is left. */
static void let_go(uint64_t word, struct conn *c)
{
    if (!c)
        return;
    if (is_foreign(word) && (word & BUSY))
        conn_abandon(c);
    else
        conn_free(c);
}

void signet_close(struct signet *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < N_SLOTS; i++)
        let_go(s->slots[i].word, s->slots[i].conn);
    free(s);
}

void signet_set_timeout(struct signet *s, uint32_t timeout_ms)
{
    if (s)
        s->timeout_ms = timeout_ms;
}

/* --- connections ------------------------------------------------------------------------------ */

static bool take_idle(struct slot *slot)
{
    uint64_t word = word_of(IDLE);

    return atomic_compare_exchange_strong(&slot->word, &word, word_of(BUSY));
}

/* One that holds nothing, or what was a parent's. */
static bool take_empty(struct slot *slot)
{
    uint64_t word = slot->word;

    if (word != FREE && !is_foreign(word))
        return false;
    if (!atomic_compare_exchange_strong(&slot->word, &word, word_of(BUSY)))
        return false;
    let_go(word, atomic_exchange(&slot->conn, NULL));
    return true;
}

/* *out_slot: where it goes back to; NULL: nowhere. */
static struct conn *take_conn(struct signet *s, struct slot **out_slot, struct signet_error *e)
{
    *out_slot = NULL;
    for (size_t i = 0; i < N_SLOTS; i++)
        if (take_idle(&s->slots[i])) {
            *out_slot = &s->slots[i];
            return s->slots[i].conn;
        }
    for (size_t i = 0; i < N_SLOTS && !*out_slot; i++)
        if (take_empty(&s->slots[i]))
            *out_slot = &s->slots[i];
    struct conn *c = conn_new(&s->address);
    if (!c)
        error_no_memory(e);
    if (*out_slot)
        (*out_slot)->conn = c;
    return c;
}

static bool has_idle(struct signet *s)
{
    uint64_t idle = word_of(IDLE);
    size_t n = 0;

    for (size_t i = 0; i < N_SLOTS; i++)
        n += s->slots[i].word == idle;
    return n >= N_IDLE;
}

static void give_back(struct slot *slot, struct conn *c, bool keep)
{
    if (slot && !keep)
        slot->conn = NULL;           /* before it is freed: a child must not find it */
    if (!slot || !keep)
        conn_free(c);
    if (slot)
        slot->word = keep ? word_of(IDLE) : FREE;
}

/* --- calls ------------------------------------------------------------------------------------ */

struct waiting {
    bool done;
    Signet__V1__Reply *reply;
    struct signet_error *e;
};

static void done(const struct conn_call *call, Signet__V1__Reply *reply, const struct signet_error *e)
{
    struct waiting *w = call->ctx;

    w->done = true;
    w->reply = reply;
    if (!reply && w->e)
        *w->e = *e;
}

static bool wait_for(struct conn *c, struct signet_error *e)
{
    int64_t now = conn_now_ms(), next = conn_next_ms(c), left = next > now ? next - now : 0;
    struct pollfd p = { .fd = conn_fd(c), .events = conn_events(c) };

    if (poll(&p, 1, left > 60000 ? 60000 : (int)left) >= 0 || errno == EINTR)
        return true;
    return error_set(e, ERR_SYSTEM, "waiting for signetd's answer: %s", strerror(errno));
}

static Signet__V1__Reply *call_on(struct conn *c, Signet__V1__Request *op, int64_t until_ms, struct signet_error *e)
{
    struct waiting w = { .e = e };
    uint64_t id = conn_begin(c, op, until_ms, (struct conn_call){ .done = done, .ctx = &w }, e);

    while (id && !w.done) {
        conn_process(c);
        if (!w.done && !wait_for(c, e)) {
            conn_cancel(c, id);
            break;
        }
    }
    return w.reply;
}

int64_t handle_until_ms(const struct signet *s, const Signet__V1__Request *op)
{
    uint32_t asked_ms = s ? s->timeout_ms : 0;
    uint32_t usual_ms = op && conn_is_slow(op->op_case) ? SLOW_TIMEOUT_MS : HANDLE_TIMEOUT_MS;

    return conn_now_ms() + (asked_ms ? asked_ms : usual_ms);
}

Signet__V1__Reply *handle_call_until(struct signet *s, Signet__V1__Request *op, int64_t until_ms, struct signet_error *e)
{
    struct slot *slot;

    if (!s) {
        error_set(e, ERR_BAD_REQUEST, "no handle to call through: did signet_open fail?");
        return NULL;
    }
    struct conn *c = take_conn(s, &slot, e);
    if (!c) {
        give_back(slot, NULL, false);
        return NULL;
    }
    op->deadline_ms = s->timeout_ms;
    /* A thread that is cancelled in the middle would take its connection along. */
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    Signet__V1__Reply *reply = call_on(c, op, until_ms, e);
    /* One whose answer nobody waits for any more is closed: the daemon then drops what was asked. */
    give_back(slot, c, conn_fd(c) >= 0 && conn_n_calls(c) == 0 && (reply || conn_now_ms() < until_ms) && !has_idle(s));
    pthread_setcancelstate(cancel, NULL);
    return reply;
}

Signet__V1__Reply *handle_call(struct signet *s, Signet__V1__Request *op, struct signet_error *e)
{
    return handle_call_until(s, op, handle_until_ms(s, op), e);
}
