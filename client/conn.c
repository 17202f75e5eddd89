/*
 * A call is in one list: to send, sent, or ended (its `done` not yet called).
 * It keeps its frame, so that it can be asked again on another connection.
 */
#include "client/conn.h"

#include "client/error.h"
#include "proto/buf.h"
#include "proto/frame.h"
#include "proto/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#define RECONNECT_MS 10              /* between tries to reach one that is restarting, or has a full backlog */
#define STARTING_MS 30               /* before one that has come back is asked again */
#define MAX_WAIT_MS 1000u            /* whatever the daemon says of when it may have room */
/*
 * Of one call. More than twice: one that ends leaves connections behind that nobody will ever accept. Not without end:
 * the request may be what kills it.
 */
#define MAX_SENDS 4u
#define REPLY_MAX_FIELDS 100000u     /* a list of 4000 keys has some 80000 */
#define READ_CHUNK (64u * 1024)      /* bytes */
#define MAX_READS 16                 /* chunks a turn: others of the same loop want theirs */
#define MAX_IOV 64
#define N_BUCKETS 256u

struct call {
    struct call *next, *prev, **list;    /* the list it is in */
    struct call *chain;                  /* of its bucket */
    struct conn_call owner;
    uint64_t id;
    Signet__V1__Request__OpCase op_case;
    int64_t until_ms;
    unsigned n_sends;
    Signet__V1__Reply *reply;            /* ended: with this, or where NULL, with `why` */
    struct signet_error why;
    size_t len;
    uint8_t frame[];
};

struct conn {
    struct sockaddr_un address;
    _Atomic int fd;                      /* -1: not connected; never names a closed descriptor: see conn_abandon */
    unsigned generation;
    struct call *to_send, *to_send_last, *sent, *ended, *ended_last;
    struct call *buckets[N_BUCKETS];
    size_t n_calls, n_bytes;
    uint64_t last_id;
    int64_t earliest_ms;                 /* no deadline of a waiting call is sooner */
    int64_t hold_ms;                     /* nothing is sent, nor connected, before; 0: no hold */
    int64_t patience_ms;                 /* it went away: believed to be restarting until then; 0: it is at work */
    struct signet_error turned_away;     /* it takes no more connections, for now; reason "": it did not say so */
    bool blocked;                        /* the socket takes no more for now */
    bool deaf;                           /* it takes nothing any more; why may stand unread */
    bool leaving;                        /* it said that it is ending: nothing more for this connection */
    bool away;                           /* it wants none of this connection */
    void (*closing)(void *ctx, int fd);
    void *ctx;
    struct buf in, rest;                 /* read, not yet a whole reply; of a request whose beginning is out */
};

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

static struct call **bucket(struct conn *c, uint64_t id)
{
    struct call **at = &c->buckets[id % N_BUCKETS];

    while (*at && (*at)->id != id)
        at = &(*at)->chain;
    return at;
}

static void call_unlink(struct conn *c, struct call *k)
{
    struct call **at = bucket(c, k->id);

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
    buf_init_secret(&c->in, FRAME_MAX_REPLY + FRAME_HEADER_LEN + READ_CHUNK);
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

static void end(struct conn *c, struct call *k, Signet__V1__Reply *taken)
{
    list_remove(c, k);
    k->reply = taken;
    list_append(c, &c->ended, k);
}

static void end_with(struct conn *c, struct call *k, const struct signet_error *why)
{
    k->why = *why;
    end(c, k, NULL);
}

static void end_all(struct conn *c, const struct signet_error *why)
{
    while (c->sent)
        end_with(c, c->sent, why);
    while (c->to_send)
        end_with(c, c->to_send, why);
}

static bool makes_something(const struct call *k)
{
    return k->op_case == SIGNET__V1__REQUEST__OP_GENERATE_KEY || k->op_case == SIGNET__V1__REQUEST__OP_IMPORT_KEY;
}

/* Back to those that are to be sent, before those that never were. */
static void again(struct conn *c, struct call *k)
{
    list_remove(c, k);
    list_push(&c->to_send, k);
    if (!c->to_send_last)
        c->to_send_last = k;
}

static void disconnect(struct conn *c)
{
    if (c->closing && c->fd >= 0)
        c->closing(c->ctx, c->fd);
    conn_abandon(c);
    buf_clear(&c->in);
    buf_clear(&c->rest);
    c->blocked = c->deaf = c->leaving = c->away = false;
}

static void give_up(struct conn *c, const struct signet_error *why)
{
    c->patience_ms = 0;
    end_all(c, why);
}

static bool is_restarting(const struct conn *c, int64_t now)
{
    return c->patience_ms && now < c->patience_ms;
}

/* The connection is gone: what was asked on it and may be asked twice waits for the next one. */
static void lost(struct conn *c, const char *how, int64_t now)
{
    struct signet_error why;

    disconnect(c);
    c->hold_ms = c->patience_ms ? now + RECONNECT_MS : 0;        /* the first time it may be back at once */
    error_set(&why, ERR_DAEMON_UNREACHABLE, "signetd at '%s' %s", c->address.sun_path, how);
    for (struct call *k = c->sent, *next; k; k = next) {
        next = k->next;
        if (makes_something(k) || k->n_sends >= MAX_SENDS)
            end_with(c, k, &why);
        else
            again(c, k);
    }
    if (!c->patience_ms)
        c->patience_ms = now + CONN_RESTART_MS;
    else if (!is_restarting(c, now))
        give_up(c, &why);
}

/* What answers is no signetd, or no longer makes sense: nothing of it is believed, nobody asks it again. */
static void distrust(struct conn *c, const struct signet_error *why)
{
    disconnect(c);
    give_up(c, why);
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
        end_with(c, k, *c->turned_away.reason ? &c->turned_away : &why);
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

/* --- out -------------------------------------------------------------------------------------- */

static void unreachable(struct conn *c, int why, int64_t now)
{
    struct signet_error e;
    const char *hint = why == ENOENT || why == ECONNREFUSED ? "; is signetd running?"
                     : why == EACCES ? "; this user may not open the socket" : "";

    /* A full backlog empties; one that restarts comes back. Until then the deadlines bound the wait. */
    if (why == EAGAIN || ((why == ENOENT || why == ECONNREFUSED) && is_restarting(c, now))) {
        c->hold_ms = now + RECONNECT_MS;
        return;
    }
    error_set(&e, ERR_DAEMON_UNREACHABLE, "cannot reach signetd at '%s': %s%s", c->address.sun_path, strerror(why), hint);
    give_up(c, &e);
}

static bool connected(struct conn *c, int64_t now)
{
    struct signet_error e;

    if (c->fd >= 0)
        return true;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        error_set(&e, errno == EMFILE || errno == ENFILE ? ERR_NO_DESCRIPTORS : ERR_SYSTEM,
                  "no socket for a connection to signetd: %s", strerror(errno));
        end_all(c, &e);
        return false;
    }
    if (connect(fd, (const struct sockaddr *)&c->address, sizeof c->address) < 0) {
        int why = errno;
        close(fd);
        unreachable(c, why, now);
        return false;
    }
    c->fd = fd;
    c->generation++;
    return true;
}

/* What was sent of the first calls leaves the list; the rest of one that is half out is kept apart. */
static bool take_sent(struct conn *c, size_t n)
{
    while (n > 0) {
        struct call *k = c->to_send;
        if (n < k->len && !buf_append(&c->rest, k->frame + n, k->len - n))
            return false;
        n -= n < k->len ? n : k->len;
        k->n_sends++;
        list_remove(c, k);
        list_push(&c->sent, k);
    }
    return true;
}

/* False: nothing more can be sent for now. */
static bool send_some(struct conn *c)
{
    struct iovec iov[MAX_IOV];
    struct msghdr m = { .msg_iov = iov };
    size_t all = 0;

    if (c->rest.len > 0)
        iov[m.msg_iovlen++] = (struct iovec){ c->rest.data, c->rest.len };
    for (struct call *k = c->to_send; k && !c->rest.len && m.msg_iovlen < MAX_IOV; k = k->next)
        iov[m.msg_iovlen++] = (struct iovec){ k->frame, k->len };
    for (size_t i = 0; i < m.msg_iovlen; i++)
        all += iov[i].iov_len;
    if (all == 0)
        return false;
    ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
        c->blocked = errno == EAGAIN;
        c->deaf = errno != EAGAIN && errno != EINTR;     /* what it said before it closed is read first */
        return errno == EINTR;
    }
    c->blocked = (size_t)n < all;
    if (c->rest.len > 0)
        buf_consume(&c->rest, (size_t)n);
    else if (!take_sent(c, (size_t)n))
        c->deaf = true;                                  /* no memory: the stream is broken in the middle of a frame */
    return (size_t)n == all;
}

void conn_send(struct conn *c)
{
    int64_t now = c->hold_ms || c->fd < 0 ? conn_now_ms() : 0;

    if (!c->to_send && !c->rest.len)
        return;
    if (c->hold_ms && now < c->hold_ms)
        return;
    c->hold_ms = 0;
    if (!connected(c, now) || c->deaf || (c->leaving && !c->rest.len))
        return;
    while (send_some(c))
        continue;
}

/* --- in --------------------------------------------------------------------------------------- */

static bool not_ours(struct conn *c, struct signet_error *e)
{
    return error_set(e, ERR_PROTOCOL_BROKEN, "what answers at '%s' is no signetd", c->address.sun_path);
}

static bool not_asked(struct conn *c, struct signet_error *e)
{
    return error_set(e, ERR_PROTOCOL_BROKEN, "the answer from '%s' is not to what was asked: "
                     "signetd and this program may be of different versions", c->address.sun_path);
}

/* One that is ending, or has just begun, means another moment of it. */
static bool is_passing(struct conn *c, const struct call *k, const char *reason, int64_t now)
{
    if (makes_something(k))
        return false;
    if (strcmp(reason, err_reason_name(ERR_DRAINING)) == 0) {
        c->leaving = true;
        if (!c->patience_ms)
            c->patience_ms = now + CONN_RESTART_MS;
        return is_restarting(c, now);
    }
    return strcmp(reason, err_reason_name(ERR_STARTING)) == 0 && is_restarting(c, now);
}

/* Nothing that was asked here was read: it waits for another connection. */
static bool turned_away(struct conn *c, const struct signet_error *e, int64_t now)
{
    uint32_t wait_ms = e->retry_after_ms;

    c->away = true;
    c->turned_away = *e;
    c->hold_ms = now + (wait_ms < RECONNECT_MS ? RECONNECT_MS : wait_ms > MAX_WAIT_MS ? MAX_WAIT_MS : wait_ms);
    for (struct call *k = c->sent, *next; k; k = next) {
        next = k->next;
        k->n_sends--;
        again(c, k);
    }
    return true;
}

/*
 * An error without a request_id: signetd read no further on this connection
 * and closes it. A frame that was too long was the longest; what else it may
 * say is everybody's.
 */
static bool refused_all(struct conn *c, const Signet__V1__Error *said, int64_t now)
{
    struct signet_error e;
    struct call *longest = c->sent;

    error_from_wire(&e, said);
    if (strcmp(e.reason, err_reason_name(ERR_TOO_MANY_CONNECTIONS)) == 0)
        return turned_away(c, &e, now);
    if (strcmp(e.reason, err_reason_name(ERR_REQUEST_TOO_LARGE)) == 0 && longest) {
        for (struct call *k = longest->next; k; k = k->next)
            longest = k->len > longest->len ? k : longest;
        end_with(c, longest, &e);
    } else {
        end_all(c, &e);
    }
    c->deaf = true;
    return true;
}

static bool take_error(struct conn *c, struct call *k, const Signet__V1__Error *said, int64_t now)
{
    struct signet_error e;

    error_from_wire(&e, said);
    if (is_passing(c, k, e.reason, now)) {
        if (!c->leaving)                                 /* STARTING */
            c->hold_ms = now + STARTING_MS;
        k->n_sends--;                                    /* it was not begun: as often as the patience lasts */
        again(c, k);
    } else {
        c->patience_ms = 0;                              /* it is there and at work */
        end_with(c, k, &e);
    }
    return true;
}

/* The numbers of an op and of its result are the same by the schema. */
static bool take_reply(struct conn *c, const uint8_t *bytes, size_t len, int64_t now, struct signet_error *e)
{
    struct err why;
    CLEANUP(reply_freep) Signet__V1__Reply *r = NULL;

    if (wire_check_max(&signet__v1__reply__descriptor, bytes, len, REPLY_MAX_FIELDS, &why))
        r = signet__v1__reply__unpack(NULL, len, bytes);
    if (!r)
        return not_asked(c, e);
    bool is_error = r->result_case == SIGNET__V1__REPLY__RESULT_ERROR;
    if (r->request_id != 0)
        c->turned_away.reason[0] = '\0';
    if (is_error && r->request_id == 0)
        return refused_all(c, r->error, now);
    if (r->request_id == 0 || r->request_id > c->last_id)
        return not_asked(c, e);
    struct call *k = *bucket(c, r->request_id);
    if (!k || k->list != &c->sent)
        return true;                                     /* too late, or given up: nobody's any more */
    if (is_error)
        return take_error(c, k, r->error, now);
    if ((int)r->result_case != (int)k->op_case)
        return not_asked(c, e);
    c->patience_ms = 0;
    end(c, k, TAKE(r));
    return true;
}

static bool take_replies(struct conn *c, int64_t now, struct signet_error *e)
{
    size_t at = 0, len;
    enum frame_result r;

    while ((r = frame_next(c->in.data + at, c->in.len - at, FRAME_MAX_REPLY, &len)) == FRAME_READY) {
        if (!take_reply(c, c->in.data + at + FRAME_HEADER_LEN, len, now, e))
            return false;
        at += FRAME_HEADER_LEN + len;
    }
    if (r != FRAME_MORE)
        return not_ours(c, e);
    if (at > 0)
        buf_consume(&c->in, at);
    return true;
}

/* False: there is nothing more to read for now, or no connection any more. */
static bool read_some(struct conn *c, int64_t now)
{
    struct signet_error e;

    if (!buf_reserve(&c->in, READ_CHUNK)) {
        error_no_memory(&e);
        distrust(c, &e);
        return false;
    }
    ssize_t n = recv(c->fd, c->in.data + c->in.len, READ_CHUNK, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno == EAGAIN) {
        if (c->deaf)
            lost(c, "takes no more requests", now);
        return false;
    }
    if (n <= 0) {
        lost(c, c->in.len ? "closed the connection in the middle of an answer" : "closed the connection", now);
        return false;
    }
    c->in.len += (size_t)n;
    if (!take_replies(c, now, &e)) {
        distrust(c, &e);
        return false;
    }
    if (c->away)
        disconnect(c);
    return n == READ_CHUNK && c->fd >= 0;
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
    if (c->n_calls == 0 && c->patience_ms && !is_restarting(c, conn_now_ms()))
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
    *bucket(c, k->id) = k;
    list_append(c, &c->to_send, k);
    c->n_calls++;
    c->n_bytes += k->len;
    if (until_ms < c->earliest_ms)
        c->earliest_ms = until_ms;
    return k->id;
}

bool conn_cancel(struct conn *c, uint64_t id)
{
    struct call *k = *bucket(c, id);

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
    for (int i = 0; i < MAX_READS && c->fd >= 0 && read_some(c, now); i++)
        continue;
    /* All that was asked of one that is ending is answered. */
    if (c->fd >= 0 && c->leaving && !c->sent)
        lost(c, "is ending", now);
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
