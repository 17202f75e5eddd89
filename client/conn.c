/*
 * One deadline covers connecting, sending and waiting. After any failure the
 * connection is closed: a late reply must never be taken for the next one's.
 *
 * A daemon that was restarted since the last call shows as a closed
 * connection before any byte of the reply; the call is then made once more on
 * a new one, but for those that make something.
 */
#include "client/conn.h"

#include "client/error.h"
#include "proto/buf.h"
#include "proto/frame.h"
#include "proto/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#define TIMEOUT_MS 5000u             /* past the daemon's own default deadline of 2 s */
#define MAKE_KEY_TIMEOUT_MS 120000u  /* an RSA key of 4096 bits on a TPM takes a minute */
#define REQUEST_MAX (16u * 1024 * 1024)  /* bytes: far past any listener's limit, which the daemon knows */
#define REPLY_MAX_FIELDS 100000u     /* a list of 4000 keys has some 80000 */
#define READ_CHUNK 16384u            /* bytes */

struct signet {
    struct sockaddr_un address;
    int fd;                          /* -1: not connected */
    uint32_t timeout_ms;             /* 0: the defaults */
    uint64_t last_id;
};

static struct signet *open_at(const char *path, const char *variable, const char *standard, struct signet_error *e)
{
    const char *from_env = secure_getenv(variable);

    if (!path)
        path = from_env && *from_env ? from_env : standard;
    struct signet *s = calloc(1, sizeof *s);
    if (!s) {
        error_no_memory(e);
        return NULL;
    }
    s->fd = -1;
    s->address.sun_family = AF_UNIX;
    if (!*path || strlen(path) >= sizeof s->address.sun_path) {
        error_set(e, ERR_BAD_REQUEST, "the socket's path '%s' is %s", path,
                  *path ? "longer than a socket's path may be (107 bytes)" : "empty");
        free(s);
        return NULL;
    }
    strcpy(s->address.sun_path, path);
    return s;
}

struct signet *signet_open(const char *path, struct signet_error *e)
{
    return open_at(path, "SIGNET_SOCKET", "/run/signet/signet.sock", e);
}

struct signet *signet_open_admin(const char *path, struct signet_error *e)
{
    return open_at(path, "SIGNET_ADMIN_SOCKET", "/run/signet/admin.sock", e);
}

static void disconnect(struct signet *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

void signet_close(struct signet *s)
{
    if (!s)
        return;
    disconnect(s);
    free(s);
}

void signet_set_timeout(struct signet *s, uint32_t timeout_ms)
{
    s->timeout_ms = timeout_ms;
}

static int64_t monotonic_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool late(const struct signet *s, struct signet_error *e)
{
    return error_set(e, ERR_DEADLINE_EXCEEDED, "no answer from '%s' in time", s->address.sun_path);
}

/* Until the socket is ready for `events`, or `until` (ms, monotonic). */
static bool wait_for(struct signet *s, short events, int64_t until, struct signet_error *e)
{
    for (;;) {
        int64_t left = until - monotonic_ms();
        struct pollfd p = { .fd = s->fd, .events = events };
        if (left <= 0)
            return late(s, e);
        int n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return error_set(e, ERR_SYSTEM, "poll of '%s': %s", s->address.sun_path, strerror(errno));
    }
}

static bool unreachable(const struct signet *s, int why, struct signet_error *e)
{
    const char *hint = why == ENOENT || why == ECONNREFUSED ? "; is signetd running?"
                     : why == EACCES ? "; this user may not open the socket" : "";
    return error_set(e, ERR_DAEMON_UNREACHABLE, "cannot reach signetd at '%s': %s%s",
                     s->address.sun_path, strerror(why), hint);
}

static bool connect_by(struct signet *s, int64_t until, struct signet_error *e)
{
    /* A full backlog makes connect(2) wait, and on a Unix socket SO_SNDTIMEO bounds that wait; poll cannot. */
    int64_t left = until - monotonic_ms();
    struct timeval wait = { .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 };

    if (left <= 0)
        return late(s, e);
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return error_set(e, ERR_SYSTEM, "no socket: %s", strerror(errno));
    setsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    int status;
    do
        status = connect(s->fd, (const struct sockaddr *)&s->address, sizeof s->address);
    while (status < 0 && errno == EINTR && monotonic_ms() < until);
    if (status == 0)
        return true;
    int why = errno;
    disconnect(s);
    return why == EAGAIN || why == EINTR ? late(s, e) : unreachable(s, why, e);
}

/* A peer that has closed is no error yet: why it did may stand unread. */
static bool send_all(struct signet *s, const struct buf *out, int64_t until, struct signet_error *e)
{
    for (size_t sent = 0; sent < out->len;) {
        ssize_t n = send(s->fd, out->data + sent, out->len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            sent += (size_t)n;
        } else if (errno == EAGAIN) {
            if (!wait_for(s, POLLOUT, until, e))
                return false;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            return true;
        } else if (errno != EINTR) {
            return error_set(e, ERR_SYSTEM, "sending to '%s': %s", s->address.sun_path, strerror(errno));
        }
    }
    return true;
}

/* One reply's message into `in`, after its frame header. *out_closed: the peer closed before a first byte. */
static bool receive(struct signet *s, struct buf *in, size_t *out_len, int64_t until,
                    bool *out_closed, struct signet_error *e)
{
    for (;;) {
        enum frame_result r = frame_next(in->data, in->len, FRAME_MAX_REPLY, out_len);
        if (r == FRAME_READY)
            return true;
        if (r != FRAME_MORE)
            return error_set(e, ERR_PROTOCOL_BROKEN, "what answers at '%s' is no signetd", s->address.sun_path);
        if (!wait_for(s, POLLIN, until, e))
            return false;
        if (!buf_reserve(in, READ_CHUNK))
            return error_no_memory(e);
        ssize_t n = recv(s->fd, in->data + in->len, READ_CHUNK, MSG_DONTWAIT);
        if (n > 0) {
            in->len += (size_t)n;
        } else if (n == 0 || errno == ECONNRESET) {
            *out_closed = in->len == 0;
            return error_set(e, ERR_DAEMON_UNREACHABLE, "signetd at '%s' closed the connection%s",
                             s->address.sun_path, in->len ? " in the middle of its answer" : "");
        } else if (errno != EAGAIN && errno != EINTR) {
            return error_set(e, ERR_SYSTEM, "reading from '%s': %s", s->address.sun_path, strerror(errno));
        }
    }
}

/* The numbers of an op and of its result are the same by the schema. */
static Signet__V1__Reply *unpack(struct signet *s, const uint8_t *bytes, size_t len,
                                 const Signet__V1__Request *op, struct signet_error *e)
{
    struct err why;
    CLEANUP(reply_freep) Signet__V1__Reply *reply = NULL;

    if (wire_check_max(&signet__v1__reply__descriptor, bytes, len, REPLY_MAX_FIELDS, &why))
        reply = signet__v1__reply__unpack(NULL, len, bytes);
    bool is_error = reply && reply->result_case == SIGNET__V1__REPLY__RESULT_ERROR;
    /* A request that could not be read is answered with no id. */
    if (!reply || (reply->request_id != op->request_id && !(is_error && reply->request_id == 0)) ||
        (!is_error && (int)reply->result_case != (int)op->op_case)) {
        error_set(e, ERR_PROTOCOL_BROKEN, "the answer from '%s' is not to what was asked: "
                  "signetd and this program may be of different versions", s->address.sun_path);
        return NULL;
    }
    if (is_error) {
        error_from_wire(e, reply->error);
        return NULL;
    }
    return TAKE(reply);
}

static bool makes_something(const Signet__V1__Request *op)
{
    return op->op_case == SIGNET__V1__REQUEST__OP_GENERATE_KEY || op->op_case == SIGNET__V1__REQUEST__OP_IMPORT_KEY;
}

/* *out_stale: nothing was answered because the connection was gone. */
static bool exchange(struct signet *s, const struct buf *out, struct buf *in, size_t *out_len, int64_t until,
                     bool *out_stale, struct signet_error *e)
{
    bool closed = false;

    if (s->fd < 0 && !connect_by(s, until, e))
        return false;
    if (!send_all(s, out, until, e))
        return false;
    if (receive(s, in, out_len, until, &closed, e))
        return true;
    *out_stale = closed;
    return false;
}

static bool pack(Signet__V1__Request *op, struct buf *out, struct signet_error *e)
{
    size_t len = signet__v1__request__get_packed_size(op);
    uint8_t header[FRAME_HEADER_LEN];

    if (len > REQUEST_MAX)
        return error_set(e, ERR_REQUEST_TOO_LARGE, "the request has %zu bytes, more than any signetd takes", len);
    frame_header(header, len);
    if (!buf_append(out, header, sizeof header) || !buf_reserve(out, len))
        return error_no_memory(e);
    out->len += signet__v1__request__pack(op, out->data + out->len);
    return true;
}

Signet__V1__Reply *conn_call(struct signet *s, Signet__V1__Request *op, struct signet_error *e)
{
    CLEANUP(buf_clear) struct buf out, in;
    uint32_t timeout_ms = s->timeout_ms ? s->timeout_ms : makes_something(op) ? MAKE_KEY_TIMEOUT_MS : TIMEOUT_MS;
    int64_t until = monotonic_ms() + timeout_ms;
    bool reused = s->fd >= 0, stale = false;
    size_t len = 0;

    buf_init_secret(&out, REQUEST_MAX + FRAME_HEADER_LEN);     /* it may be an HMAC key */
    buf_init(&in, FRAME_MAX_REPLY + FRAME_HEADER_LEN + READ_CHUNK);
    op->request_id = ++s->last_id;
    op->deadline_ms = s->timeout_ms;
    if (!pack(op, &out, e))
        return NULL;
    struct signet_error first;           /* success leaves `e` alone, also at the second try */
    bool answered = exchange(s, &out, &in, &len, until, &stale, &first);
    if (!answered && stale && reused && !makes_something(op)) {
        disconnect(s);
        answered = exchange(s, &out, &in, &len, until, &stale, &first);
    }
    if (!answered && e)
        *e = first;
    Signet__V1__Reply *reply = answered ? unpack(s, in.data + FRAME_HEADER_LEN, len, op, e) : NULL;
    /* Bytes past the one reply belong to nothing that was asked. */
    if (!answered || in.len != FRAME_HEADER_LEN + len)
        disconnect(s);
    return reply;
}
