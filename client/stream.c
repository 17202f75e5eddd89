/* The socket's side of a conn: connecting, frames out, replies in. */
#include "client/conn_private.h"

#include "client/error.h"
#include "proto/frame.h"
#include "proto/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define STARTING_MS 30               /* before one that has come back is asked again */
#define MAX_WAIT_MS 1000u            /* whatever the daemon says of when it may have room */
#define REPLY_MAX_FIELDS 100000u     /* a list of 4000 keys has some 80000 */
#define MAX_IOV 64

/* --- out -------------------------------------------------------------------------------------- */

static void unreachable(struct conn *c, int why, int64_t now)
{
    struct signet_error e;
    const char *hint = why == ENOENT || why == ECONNREFUSED ? "; is signetd running?"
                     : why == EACCES ? "; this user may not open the socket" : "";

    /* A full backlog empties; one that restarts comes back. Until then the deadlines bound the wait. */
    if (why == EAGAIN || ((why == ENOENT || why == ECONNREFUSED) && conn_is_restarting(c, now))) {
        c->hold_ms = now + CONN_RECONNECT_MS;
        return;
    }
    error_set(&e, ERR_DAEMON_UNREACHABLE, "cannot reach signetd at '%s': %s%s", c->address.sun_path, strerror(why), hint);
    conn_give_up(c, &e);
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
        calls_end(c, &e);
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
        call_is_sent(c, k);
    }
    return true;
}

/* There is room later; of the last two the kernel has none for now, and signetd is there still. */
static bool is_blocked(int error)
{
    return error == EAGAIN || error == ENOBUFS || error == ENOMEM;
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
        c->blocked = is_blocked(errno);
        c->deaf = !c->blocked && errno != EINTR;         /* what it said before it closed is read first */
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
    if (conn_only_once(k->op_case))
        return false;
    if (strcmp(reason, err_reason_name(ERR_DRAINING)) == 0) {
        c->leaving = true;
        if (!c->patience_ms)
            c->patience_ms = now + CONN_RESTART_MS;
        return conn_is_restarting(c, now);
    }
    return strcmp(reason, err_reason_name(ERR_STARTING)) == 0 && conn_is_restarting(c, now);
}

/* Nothing that was asked here was read: it waits for another connection. */
static bool turned_away(struct conn *c, const struct signet_error *e, int64_t now)
{
    uint32_t wait_ms = e->retry_after_ms;

    c->away = true;
    c->turned_away = *e;
    c->hold_ms = now + (wait_ms < CONN_RECONNECT_MS ? CONN_RECONNECT_MS : wait_ms > MAX_WAIT_MS ? MAX_WAIT_MS : wait_ms);
    for (struct call *k = c->sent, *next; k; k = next) {
        next = k->next;
        k->n_sends--;
        call_again(c, k);
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
        call_end_with(c, longest, &e);
    } else {
        calls_end(c, &e);
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
        call_again(c, k);
    } else {
        c->patience_ms = 0;                              /* it is there and at work */
        call_end_with(c, k, &e);
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
    struct call *k = *call_find(c, r->request_id);
    if (!k || k->list != &c->sent)
        return true;                                     /* too late, or given up: nobody's any more */
    if (is_error)
        return take_error(c, k, r->error, now);
    if ((int)r->result_case != (int)k->op_case)
        return not_asked(c, e);
    c->patience_ms = 0;
    call_end(c, k, TAKE(r));
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

bool stream_read(struct conn *c, int64_t now)
{
    struct signet_error e;

    if (!buf_reserve(&c->in, STREAM_CHUNK)) {
        error_no_memory(&e);
        conn_distrust(c, &e);
        return false;
    }
    ssize_t n = recv(c->fd, c->in.data + c->in.len, STREAM_CHUNK, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno == EAGAIN) {
        if (c->deaf)
            conn_lost(c, "takes no more requests", now);
        return false;
    }
    if (n <= 0) {
        conn_lost(c, c->in.len ? "closed the connection in the middle of an answer" : "closed the connection", now);
        return false;
    }
    c->in.len += (size_t)n;
    if (!take_replies(c, now, &e)) {
        conn_distrust(c, &e);
        return false;
    }
    if (c->away)
        conn_disconnect(c);
    return n == STREAM_CHUNK && c->fd >= 0;
}
