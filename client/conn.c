/* Calls and their ends, and a connection's life; stream.c has its socket. */
#include "client/conn_private.h"

#include "client/error.h"
#include "proto/frame.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#define MAX_READS 16                 /* chunks a turn: others of the same loop want theirs */

int64_t conn_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- lists ----------------------------------------------------------------------------------- */

static struct call **last_of(struct conn *c, struct call **list)
{
    return list == &c->to_send ? &c->to_send_last : list == &c->ended ? &c->ended_last : NULL;
}

static void list_remove(struct conn *c, struct call *k)
{
    struct call **last = last_of(c, k->list);

    if (k->prev)
        k->prev->next = k->next;
    else
        *k->list = k->next;
    if (k->next)
        k->next->prev = k->prev;
    if (last && *last == k)
        *last = k->prev;
    k->next = k->prev = NULL;
    k->list = NULL;
}

static void list_push(struct call **list, struct call *k)
{
    k->list = list;
    k->prev = NULL;
    k->next = *list;
    if (k->next)
        k->next->prev = k;
    *list = k;
}

static void list_append(struct conn *c, struct call **list, struct call *k)
{
    struct call **last = last_of(c, list), *tail = *last;

    *last = k;
    k->list = list;
    k->prev = tail;
    k->next = NULL;
    if (tail)
        tail->next = k;
    else
        *list = k;
}

struct call **call_find(struct conn *c, uint64_t id)
{
    struct call **at = &c->buckets[id % N_BUCKETS];

    while (*at && (*at)->id != id)
        at = &(*at)->chain;
    return at;
}

static void call_unlink(struct conn *c, struct call *k)
{
    struct call **at = call_find(c, k->id);

    *at = k->chain;
    list_remove(c, k);
    c->n_calls--;
    c->n_bytes -= k->len;
}

static void call_destroy(struct call *k)
{
    reply_freep(&k->reply);
    explicit_bzero(k->frame, k->len);      /* claims, or an HMAC secret */
    free(k);
}

static void call_free(struct conn *c, struct call *k)
{
    call_unlink(c, k);
    call_destroy(k);
}

/* --- its life -------------------------------------------------------------------------------- */

struct conn *conn_new(const struct sockaddr_un *address)
{
    struct conn *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->address = *address;
    c->fd = -1;
    c->earliest_ms = INT64_MAX;
    buf_init_secret(&c->in, FRAME_MAX_REPLY + FRAME_HEADER_LEN + STREAM_CHUNK);
    buf_init_secret(&c->rest, CONN_MAX_REQUEST + FRAME_HEADER_LEN);
    return c;
}

void conn_abandon(struct conn *c)
{
    int fd = atomic_exchange(&c->fd, -1);

    if (fd >= 0)
        close(fd);
}

void conn_on_close(struct conn *c, void (*closing)(void *ctx, int fd), void *ctx)
{
    c->closing = closing;
    c->ctx = ctx;
}

void conn_cancel_all(struct conn *c)
{
    while (c->to_send)
        call_free(c, c->to_send);
    while (c->sent)
        call_free(c, c->sent);
    while (c->ended)
        call_free(c, c->ended);
}

void conn_free(struct conn *c)
{
    if (!c)
        return;
    conn_abandon(c);
    conn_cancel_all(c);
    buf_clear(&c->in);
    buf_clear(&c->rest);
    free(c);
}

/* --- how calls end ---------------------------------------------------------------------------- */

void call_is_sent(struct conn *c, struct call *k)
{
    list_remove(c, k);
    list_push(&c->sent, k);
}

void call_end(struct conn *c, struct call *k, Signet__V1__Reply *taken)
{
    list_remove(c, k);
    k->reply = taken;
    list_append(c, &c->ended, k);
}

void call_end_with(struct conn *c, struct call *k, const struct signet_error *why)
{
    k->why = *why;
    call_end(c, k, NULL);
}

void calls_end(struct conn *c, const struct signet_error *why)
{
    while (c->sent)
        call_end_with(c, c->sent, why);
    while (c->to_send)
        call_end_with(c, c->to_send, why);
}

/*
 * Twice generate, import and rotate are two keys, and a destroyed key that is
 * destroyed again answers that there is none. A revoked one stays revoked: of
 * the panic button it is worse that nobody knows whether it was pressed.
 */
static const struct { Signet__V1__Request__OpCase op_case; bool only_once; } slow[] = {
    { SIGNET__V1__REQUEST__OP_GENERATE_KEY, true },
    { SIGNET__V1__REQUEST__OP_IMPORT_KEY, true },
    { SIGNET__V1__REQUEST__OP_ROTATE_RING, true },
    { SIGNET__V1__REQUEST__OP_REVOKE_KEY, false },
    { SIGNET__V1__REQUEST__OP_DESTROY_KEY, true },
};

bool conn_is_slow(Signet__V1__Request__OpCase op_case)
{
    for (size_t i = 0; i < ARRAY_LEN(slow); i++)
        if (slow[i].op_case == op_case)
            return true;
    return false;
}

bool conn_only_once(Signet__V1__Request__OpCase op_case)
{
    for (size_t i = 0; i < ARRAY_LEN(slow); i++)
        if (slow[i].op_case == op_case)
            return slow[i].only_once;
    return false;
}

void call_again(struct conn *c, struct call *k)
{
    list_remove(c, k);
    list_push(&c->to_send, k);
    if (!c->to_send_last)
        c->to_send_last = k;
}

void conn_disconnect(struct conn *c)
{
    if (c->closing && c->fd >= 0)
        c->closing(c->ctx, c->fd);
    conn_abandon(c);
    buf_clear(&c->in);
    buf_clear(&c->rest);
    c->blocked = c->deaf = c->leaving = c->away = false;
}

void conn_give_up(struct conn *c, const struct signet_error *why)
{
    c->patience_ms = 0;
    calls_end(c, why);
}

bool conn_is_restarting(const struct conn *c, int64_t now)
{
    return c->patience_ms && now < c->patience_ms;
}

void conn_lost(struct conn *c, const char *how, int64_t now)
{
    struct signet_error why;

    conn_disconnect(c);
    c->hold_ms = c->patience_ms ? now + CONN_RECONNECT_MS : 0;        /* the first time it may be back at once */
    error_set(&why, ERR_DAEMON_UNREACHABLE, "signetd at '%s' %s", c->address.sun_path, how);
    for (struct call *k = c->sent, *next; k; k = next) {
        next = k->next;
        if (conn_only_once(k->op_case) || k->n_sends >= CALL_MAX_SENDS)
            call_end_with(c, k, &why);
        else
            call_again(c, k);
    }
    if (!c->patience_ms)
        c->patience_ms = now + CONN_RESTART_MS;
    else if (!conn_is_restarting(c, now))
        conn_give_up(c, &why);
}

void conn_distrust(struct conn *c, const struct signet_error *why)
{
    conn_disconnect(c);
    conn_give_up(c, why);
}

static void expire(struct conn *c, struct call **list, int64_t now)
{
    struct signet_error why;

    for (struct call *k = *list, *next; k; k = next) {
        next = k->next;
        if (k->until_ms > now) {
            if (k->until_ms < c->earliest_ms)
                c->earliest_ms = k->until_ms;
            continue;
        }
        error_set(&why, ERR_DEADLINE_EXCEEDED, "no answer from '%s' in time", c->address.sun_path);
        call_end_with(c, k, *c->turned_away.reason ? &c->turned_away : &why);
    }
}

static void expire_all(struct conn *c, int64_t now)
{
    if (now < c->earliest_ms)
        return;
    c->earliest_ms = INT64_MAX;
    expire(c, &c->to_send, now);
    expire(c, &c->sent, now);
}

/* --- calls ------------------------------------------------------------------------------------ */

static bool has_room(const struct conn *c, size_t len, struct signet_error *e)
{
    if (len > CONN_MAX_REQUEST)
        return error_set(e, ERR_REQUEST_TOO_LARGE, "the request has %zu bytes, more than any signetd takes", len);
    if (c->n_calls >= CONN_MAX_CALLS || c->n_bytes + len > CONN_MAX_BYTES)
        return error_set(e, ERR_TOO_MANY_IN_FLIGHT, "%zu calls with %zu bytes wait already: take their answers first",
                         c->n_calls, c->n_bytes);
    return true;
}

uint64_t conn_begin(struct conn *c, Signet__V1__Request *op, int64_t until_ms, struct conn_call owner,
                    struct signet_error *e)
{
    op->request_id = c->last_id + 1;
    size_t len = signet__v1__request__get_packed_size(op);
    if (!has_room(c, len, e))
        return 0;
    struct call *k = malloc(sizeof *k + FRAME_HEADER_LEN + len);
    if (!k) {
        error_no_memory(e);
        return 0;
    }
    /* A wait that ended while nobody waited says nothing of what happens to this call. */
    if (c->n_calls == 0 && c->patience_ms && !conn_is_restarting(c, conn_now_ms()))
        c->patience_ms = 0;
    k->chain = NULL;
    k->owner = owner;
    k->id = ++c->last_id;
    k->op_case = op->op_case;
    k->until_ms = until_ms;
    k->n_sends = 0;
    k->reply = NULL;
    k->len = FRAME_HEADER_LEN + len;
    frame_header(k->frame, len);
    signet__v1__request__pack(op, k->frame + FRAME_HEADER_LEN);
    *call_find(c, k->id) = k;
    list_append(c, &c->to_send, k);
    c->n_calls++;
    c->n_bytes += k->len;
    if (until_ms < c->earliest_ms)
        c->earliest_ms = until_ms;
    return k->id;
}

bool conn_cancel(struct conn *c, uint64_t id)
{
    struct call *k = *call_find(c, id);

    if (!k)
        return false;
    call_free(c, k);
    return true;
}

/* The call is gone before its owner hears of it, who may begin and cancel others. */
static size_t call_back(struct conn *c)
{
    size_t n = 0;

    while (c->ended) {
        struct call *k = c->ended;
        Signet__V1__Reply *reply = TAKE(k->reply);
        call_unlink(c, k);
        k->owner.request = k->frame + FRAME_HEADER_LEN;
        k->owner.request_len = k->len - FRAME_HEADER_LEN;
        k->owner.done(&k->owner, reply, reply ? NULL : &k->why);
        call_destroy(k);
        n++;
    }
    return n;
}

size_t conn_process(struct conn *c)
{
    int64_t now = conn_now_ms();
    unsigned generation = c->generation;

    conn_send(c);
    for (int i = 0; i < MAX_READS && c->fd >= 0 && stream_read(c, now); i++)
        continue;
    /* All that was asked of one that is ending is answered. */
    if (c->fd >= 0 && c->leaving && !c->sent)
        conn_lost(c, "is ending", now);
    expire_all(c, now);
    if (c->fd < 0 || c->generation != generation || !c->blocked)
        conn_send(c);
    return call_back(c);
}

int conn_fd(const struct conn *c)
{
    return c->fd;
}

unsigned conn_generation(const struct conn *c)
{
    return c->generation;
}

short conn_events(const struct conn *c)
{
    bool more = c->rest.len || (c->to_send && !c->leaving);

    return (short)(POLLIN | (c->blocked && more && !c->hold_ms ? POLLOUT : 0));
}

int64_t conn_next_ms(const struct conn *c)
{
    int64_t next = c->n_calls ? c->earliest_ms : INT64_MAX;

    if (c->ended)
        return 0;
    return (c->to_send || c->rest.len) && c->hold_ms && c->hold_ms < next ? c->hold_ms : next;
}

size_t conn_n_calls(const struct conn *c)
{
    return c->n_calls;
}
