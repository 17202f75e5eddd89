#include "daemon/broker/connection.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/broker/request.h"
#include "proto/frame.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define READ_CHUNK (64u * 1024)          /* bytes at a time */
#define OUT_HIGH (256u * 1024)           /* bytes waiting: the caller is not read any more */
#define OUT_MAX (4u * 1024 * 1024)       /* bytes: what the requests in flight may still add */
#define STUCK_MS 30000                   /* output that nobody takes for so long ends the connection */
#define TURN_US 2000                     /* on beginning requests: the rest, whoever's, have their turn after what came meanwhile */
#define KEEP_CAP (128u * 1024)           /* an empty buffer larger than this gives its memory back */

/* --- its life -------------------------------------------------------------------------------- */

/* Replies that wait to be taken are their caller's to answer for, as its requests were: with all that they hold. */
static void charge_out(struct connection *c)
{
    if (!c->account)
        return;
    account_let_go(c->account, c->charged);
    c->charged = c->out.cap;
    account_hold(c->account, c->charged);
}

static void drop_out(struct connection *c)
{
    buf_clear(&c->out);
    c->out_at = 0;
    charge_out(c);
}

static void connection_free(struct connection *c)
{
    if (c->on_read)
        event_free(c->on_read);
    if (c->on_write)
        event_free(c->on_write);
    drop_out(c);
    buf_clear(&c->in);
    free(c->groups);
    close(c->fd);
    free(c);
}

static void unlink_one(struct connection *c)
{
    struct broker *b = c->broker;

    if (c->prev)
        c->prev->next = c->next;
    else
        b->connections = c->next;
    if (c->next)
        c->next->prev = c->prev;
    b->n_connections--;
    c->account->n_connections--;
}

void connection_close(struct connection *c)
{
    if (c->closed)
        return;
    c->closed = true;
    drop_out(c);
    if (c->on_read)                      /* else it never came in */
        event_del(c->on_read);
    if (c->on_write)
        event_del(c->on_write);
}

/* The peer as it was at connect(): uid, gid, pid, supplementary groups. */
static bool identify(struct connection *c, struct err *e)
{
    struct ucred cred;
    socklen_t len = sizeof cred;

    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return err_sys(e, "the caller cannot be identified");
    c->caller = (struct caller){ .uid = cred.uid, .gid = cred.gid, .pid = cred.pid };
    /* Asked with no room the kernel says how much they take, NGROUPS_MAX at most: 256 KiB, and only root gives them. */
    len = 0;
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0)
        return true;
    if (errno != ERANGE || !(c->groups = malloc(len)) || getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, c->groups, &len) < 0)
        return err_sys(e, "the groups of uid %u cannot be read", (unsigned)cred.uid);
    c->caller.groups = c->groups;
    c->caller.n_groups = len / sizeof *c->groups;
    return true;
}

/* Nothing is under way on it, nor on its way in. Half a frame is nothing: who holds such would keep everyone out. */
static bool is_idle(const struct connection *c)
{
    uint8_t byte;

    return !c->admin && !c->closed && !c->ending && c->n_requests == 0 && !c->left && c->out.len == 0 &&
           recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

/* One that is idle goes: of those who have more than this uid the one of who has most, idle for longest. */
static bool make_room(struct broker *b, const struct account *a)
{
    struct connection *found = NULL;

    for (struct connection *c = b->connections; c; c = c->next) {
        size_t n = c->account->n_connections, most = found ? found->account->n_connections : a->n_connections;
        if ((n > most || (found && n == most && c->served_ms < found->served_ms)) && is_idle(c))
            found = c;
    }
    if (!found)
        return false;
    log_debug("uid %u has %zu connections: an idle one is closed for one of uid %u", (unsigned)found->caller.uid,
              found->account->n_connections, (unsigned)a->uid);
    b->counters.broken_connections++;
    connection_close(found);
    return true;
}

/* Strangers to the admin socket do not get in: they would take the administrators' room. */
static bool may_enter(struct connection *c, struct err *e)
{
    const struct daemon_config *d = &c->broker->conf->config->daemon;

    if (c->admin && !request_may_administer(c->broker->conf->config, &c->caller, e))
        return false;
    if (c->account->n_connections >= d->max_connections_per_uid)
        return err_set(e, ERR_TOO_MANY_CONNECTIONS, "uid %u has %zu connections, the most that one may have",
                       (unsigned)c->caller.uid, c->account->n_connections);
    /* The administrator gets in however many callers there are. */
    if (!c->admin && c->broker->n_connections >= d->max_connections && !make_room(c->broker, c->account))
        return err_set(e, ERR_TOO_MANY_CONNECTIONS, "signetd has %zu connections, the most that it may have",
                       c->broker->n_connections);
    return true;
}

static void refuse_new(struct connection *c, struct err *e)
{
    c->broker->counters.refused_connections++;
    if (c->account) {
        c->account->seen_ms = clock_mono_ms();       /* else what was told of it is forgotten at once */
        request_tell(c->account, "connect", e);
    }
    e->retry_after_ms = err_code(e->reason) == CODE_PERMISSION_DENIED ? 0 : 100;
    connection_refuse(c, 0, e);
    if (send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_debug("and it has left");
    connection_free(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);

void connection_new(struct broker *b, int fd, bool admin)
{
    struct connection *c = calloc(1, sizeof *c);
    struct err e = { 0 };

    if (!c) {
        close(fd);
        return;
    }
    *c = (struct connection){ .broker = b, .fd = fd, .admin = admin, .served_ms = clock_mono_ms() };
    buf_init_secret(&c->in, b->conf->config->daemon.max_request + FRAME_HEADER_LEN + READ_CHUNK);
    buf_init(&c->out, OUT_MAX);
    if (!identify(c, &e) || !(c->account = account_of(&b->accounts, c->caller.uid)) || !may_enter(c, &e)) {
        refuse_new(c, &e);
        return;
    }
    c->on_read = event_new(b->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->on_write = event_new(b->base, fd, EV_WRITE, on_writable, c);
    if (!c->on_read || !c->on_write || event_add(c->on_read, NULL) < 0) {
        err_set(&e, ERR_NO_MEMORY, "no memory for another connection");
        refuse_new(c, &e);
        return;
    }
    c->next = b->connections;
    if (c->next)
        c->next->prev = c;
    b->connections = c;
    b->n_connections++;
    c->account->n_connections++;
    b->counters.accepted_connections++;
}

/* --- out --------------------------------------------------------------------------------------- */

static bool append_reply(struct connection *c, const Signet__V1__Reply *r)
{
    size_t len = protobuf_c_message_get_packed_size(&r->base);

    if (c->out_at > c->out.len / 2) {
        buf_consume(&c->out, c->out_at);
        c->out_at = 0;
    }
    if (len > FRAME_MAX_REPLY || !buf_reserve(&c->out, FRAME_HEADER_LEN + len))
        return false;
    frame_header(c->out.data + c->out.len, len);
    protobuf_c_message_pack(&r->base, c->out.data + c->out.len + FRAME_HEADER_LEN);
    c->out.len += FRAME_HEADER_LEN + len;
    charge_out(c);
    c->dirty = true;
    return true;
}

void connection_reply(struct connection *c, const Signet__V1__Reply *r)
{
    struct err e;

    if (c->closed || append_reply(c, r))
        return;
    if (c->out.len - c->out_at > OUT_HIGH) {
        log_info("uid %u (pid %d) reads none of its replies: its connection is closed", (unsigned)c->caller.uid,
                 (int)c->caller.pid);
        c->broker->counters.broken_connections++;
        connection_close(c);
        return;
    }
    err_set(&e, ERR_TOKEN_TOO_LARGE, "the reply would be longer than %u bytes: ask for less at once", FRAME_MAX_REPLY);
    connection_refuse(c, r->request_id, &e);
}

void connection_refuse(struct connection *c, uint64_t request_id, const struct err *e)
{
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__Error error;

    request_error(&error, e);
    r.request_id = request_id;
    r.result_case = SIGNET__V1__REPLY__RESULT_ERROR;
    r.error = &error;
    if (!append_reply(c, &r))
        connection_close(c);
}

static void write_out(struct connection *c)
{
    while (c->out_at < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)) {     /* full, or the kernel is, for now */
            event_add(c->on_write, NULL);
            if (!c->stuck_since_ms)
                c->stuck_since_ms = clock_mono_ms();
            return;
        }
        if (n < 0) {
            connection_close(c);
            return;
        }
        c->out_at += (size_t)n;
        c->stuck_since_ms = 0;
    }
    drop_out(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;

    c->dirty = true;                     /* written at the end of this turn */
}

/* --- in ------------------------------------------------------------------------------------------ */

static bool is_full(const struct connection *c)
{
    const struct daemon_config *d = &c->broker->conf->config->daemon;
    size_t unread = c->out.len - c->out_at;

    /* Who has no room gets a refusal, and another when that is taken: they hold something too. */
    return c->n_in_flight >= d->max_in_flight || unread >= OUT_HIGH || (unread && !account_has_room(c->account, d));
}

/* Nothing after it can be trusted: the error is written, then the connection ends. */
static void break_off(struct connection *c, const struct err *e)
{
    c->broker->counters.broken_connections++;
    if (e)
        connection_refuse(c, 0, e);
    c->ending = true;
    c->dirty = true;
    c->in.len = c->in_at = 0;
    event_del(c->on_read);
}

static enum frame_result next_frame(const struct connection *c, size_t *len)
{
    return frame_next(c->in.data + c->in_at, c->in.len - c->in_at, c->broker->conf->config->daemon.max_request, len);
}

/* Whether there is something to be taken, and room for it. */
static bool wants_turn(struct connection *c)
{
    size_t len;

    if (c->closed || c->ending || !c->left || is_full(c))
        return false;
    if (next_frame(c, &len) != FRAME_MORE)
        return true;
    c->left = false;
    if (c->in_at == c->in.len)
        c->half_since_ms = 0;
    else if (!c->half_since_ms)
        c->half_since_ms = clock_mono_ms();
    return false;
}

static void take_frame(struct connection *c)
{
    size_t len = 0;
    struct err e;

    switch (next_frame(c, &len)) {
    case FRAME_MORE:
        break;
    case FRAME_READY:
        c->half_since_ms = 0;
        c->in_at += FRAME_HEADER_LEN + len;
        request_new(c, c->in.data + c->in_at - len, len);
        break;
    case FRAME_IS_HTTP2:
        break_off(c, NULL);
        break;
    case FRAME_BAD:
        err_set(&e, ERR_REQUEST_TOO_LARGE, "a frame must have 1 to %zu bytes: either this request is too long, or"
                " the caller does not speak signet's protocol", (size_t)c->broker->conf->config->daemon.max_request);
        break_off(c, &e);
        break;
    }
}

static void compact(struct connection *c)
{
    buf_consume(&c->in, c->in_at);
    c->in_at = 0;
    if (c->in.len == 0 && c->in.cap > KEEP_CAP)
        buf_clear(&c->in);
}

static void pause_or_go_on(struct connection *c)
{
    bool pause = c->waits || c->left || is_full(c);

    if (pause == c->paused)
        return;
    c->paused = pause;
    if (c->half_since_ms)
        c->half_since_ms = clock_mono_ms();      /* it was us who did not read the rest */
    if (pause)
        event_del(c->on_read);
    else if (!c->eof)
        event_add(c->on_read, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;

    if (c->closed || c->ending)
        return;
    c->in.max = c->broker->conf->config->daemon.max_request + FRAME_HEADER_LEN + READ_CHUNK;   /* a reload may raise it */
    if (!buf_reserve(&c->in, READ_CHUNK)) {
        connection_close(c);
        return;
    }
    ssize_t n = recv(fd, c->in.data + c->in.len, READ_CHUNK, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        connection_close(c);
        return;
    }
    if (n == 0) {
        c->eof = true;
        event_del(c->on_read);
        c->dirty = true;
        return;
    }
    c->in.len += (size_t)n;
    c->dirty = c->left = true;           /* taken at the end of this turn, when everyone's is here */
}

void connection_done(struct connection *c, size_t n)
{
    c->n_in_flight -= n;
    c->n_requests--;
    c->dirty = true;
}

/* --- where all hold more than they may ---------------------------------------------------------------- */

/* Of the account that holds most, and more than its share, the one whose replies were not taken for longest. */
static struct connection *stuck_of_most(const struct broker *b, size_t share)
{
    struct connection *found = NULL;

    for (struct connection *c = b->connections; c; c = c->next) {
        size_t n = c->account->n_bytes, most = found ? found->account->n_bytes : share;
        if (!c->closed && c->stuck_since_ms &&
            (n > most || (found && n == most && c->stuck_since_ms < found->stuck_since_ms)))
            found = c;
    }
    return found;
}

static void let_go_of(struct connection *c)
{
    struct err e;

    err_set(&e, ERR_QUEUE_FULL, "all callers hold more than daemon.max_memory, uid %u most of it: its connection (pid %d) that"
            " has taken no reply for longest is closed", (unsigned)c->account->uid, (int)c->caller.pid);
    request_tell(c->account, "memory", &e);
    c->broker->counters.broken_connections++;
    connection_close(c);
    requests_leave(c);
}

/* Who holds most loses: first what it does not take, then what it asked last. */
static void make_memory(struct broker *b)
{
    size_t max = b->conf ? b->conf->config->daemon.max_memory : 0;
    struct err e;

    while (b->accounts.n_bytes > max) {
        size_t share = account_share(&b->accounts, max);
        struct connection *c = stuck_of_most(b, share);
        struct request *rq = requests_of_most(b, share);
        if (c && (!rq || c->account->n_bytes >= rq->account->n_bytes)) {
            let_go_of(c);
        } else if (rq) {
            err_set(&e, ERR_QUEUE_FULL, "all callers hold more than daemon.max_memory, and uid %u most of it: fewer at once, or"
                    " shorter ones", (unsigned)rq->account->uid);
            e.retry_after_ms = ACCOUNT_RETRY_MS;
            request_refuse(rq, &e);
        } else {
            return;
        }
    }
}

/* --- once a turn, and now and then ------------------------------------------------------------------ */

/* Reading a request may cost milliseconds before anything is known of it: so that is shared out like the token's time. */
static void take_turns(struct broker *b)
{
    int64_t began_us = clock_cpu_us(), now_us = began_us, then_us;
    struct queue_item *i;

    while ((i = queue_peek(&b->turns)) != NULL && now_us - began_us < TURN_US) {
        struct connection *c = (struct connection *)i;
        if (wants_turn(c))               /* still: it may have ended meanwhile */
            take_frame(c);
        make_memory(b);
        c->waits = wants_turn(c);
        c->dirty = true;
        then_us = now_us;
        now_us = clock_cpu_us();
        queue_pop(&b->turns, now_us - then_us);
        if (c->waits)
            queue_push(&b->turns, &c->account->turns, i);
    }
}

static void settle(struct connection *c)
{
    c->dirty = false;
    c->served_ms = clock_mono_ms();
    if (!c->ending) {
        compact(c);
        pause_or_go_on(c);
    }
    write_out(c);
    if (c->out_at == c->out.len && (c->ending || (c->eof && c->n_requests == 0 && !c->left)))
        connection_close(c);
    /* What it had no room for has just been written: it goes on, and nothing wakes us for it. */
    c->dirty = !c->closed && !c->ending && !c->waits && c->paused && !is_full(c);
    c->broker->more = c->broker->more || c->dirty;
}

void connections_flush(struct broker *b)
{
    struct connection *next;

    for (struct connection *c = b->connections; c; c = c->next)
        if (c->dirty && !c->waits && wants_turn(c)) {
            queue_push(&b->turns, &c->account->turns, &c->item);
            c->waits = true;
        }
    make_memory(b);                      /* replies came, or there is less of it by a reload */
    take_turns(b);
    b->more = b->turns.n > 0;
    for (struct connection *c = b->connections; c; c = next) {
        next = c->next;
        if (!c->closed && c->dirty)
            settle(c);
        if (c->closed && !c->waits) {
            requests_leave(c);
            unlink_one(c);
            connection_free(c);
        }
    }
}

void connections_tick(struct broker *b, int64_t now_ms)
{
    uint32_t frame_timeout_ms = b->conf ? b->conf->config->daemon.frame_timeout_ms : 0;

    for (struct connection *c = b->connections; c; c = c->next) {
        bool half = c->half_since_ms && !c->paused && now_ms - c->half_since_ms > frame_timeout_ms;
        bool stuck = c->stuck_since_ms && now_ms - c->stuck_since_ms > STUCK_MS;
        if (c->closed || (!half && !stuck))
            continue;
        log_debug("uid %u (pid %d) %s: its connection is closed", (unsigned)c->caller.uid, (int)c->caller.pid,
                  half ? "sent half a frame" : "takes no reply");
        b->counters.broken_connections++;
        connection_close(c);
    }
}

bool connections_idle(const struct broker *b)
{
    for (const struct connection *c = b->connections; c; c = c->next)
        if (!c->closed && c->out_at < c->out.len)
            return false;
    return true;
}
