#include "daemon/publisher/server.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "proto/cleanup.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HEAD_MS 5000                     /* for a request's head, from its first byte; for the first one, from the connection */
#define IDLE_MS 60000                    /* between two requests */
#define READ_MS 30000                    /* for a reply to be read, from its first byte */
#define LINGER_MS 2000                   /* after the last reply: a close while the client still sends would take it away */
#define TICK_MS 250
#define MAX_WAITING (32u * 1024 * 1024)  /* bytes that clients have not read, over all */
#define MAX_OUT (16u * 1024 * 1024)      /* bytes of one reply */
#define ACCEPTS_A_PASS 64                /* then those already here have their turn */
#define ANSWERS_A_PASS 8                 /* to one that asks for many at once */
#define PAUSE_S 1                        /* out of descriptors: others must close theirs first */

enum state {
    ASKING,          /* a request is awaited, or half there */
    ANSWERED,        /* the reply is being written; nothing is read */
    LEAVING,         /* all is written and said; what still comes is thrown away */
};

struct connection {
    struct server *server;
    struct connection *next, *prev;
    int fd;
    enum state state;
    bool closes;                         /* after the reply */
    struct event *on_read, *on_write;
    struct buf in, out;
    size_t out_at;
    int64_t since_ms, until_ms;          /* monotonic: of the state; when it is closed for it */
    int64_t owing_ms;                    /* since when it has one reply after the other to read; 0: it has none */
};

struct server {
    struct event_base *base;
    int fd;
    struct event *on_ready, *again, *tick;
    server_answer *answer;
    void *ctx;
    struct connection *connections;
    size_t n, waiting;
};

/* --- its life ----------------------------------------------------------------------------------- */

static void enter(struct connection *c, enum state state, int64_t for_ms)
{
    c->state = state;
    c->since_ms = clock_mono_ms();
    c->until_ms = c->since_ms + for_ms;
}

static size_t unread(const struct connection *c)
{
    return c->out.len - c->out_at;
}

static void drop(struct connection *c)
{
    struct server *s = c->server;

    if (c->prev)
        c->prev->next = c->next;
    else
        s->connections = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->n--;
    s->waiting -= unread(c);
    if (c->on_read)
        event_free(c->on_read);
    if (c->on_write)
        event_free(c->on_write);
    close(c->fd);
    buf_clear(&c->in);
    buf_clear(&c->out);
    free(c);
}

/* Who has asked for nothing, or read nothing to its end, for longest: who comes has done neither. */
static struct connection *idlest(const struct server *s)
{
    struct connection *worst = s->connections;

    for (struct connection *c = s->connections; c; c = c->next)
        if (c->since_ms <= worst->since_ms)          /* of one millisecond the last: they stand newest first */
            worst = c;
    return worst;
}

/* The most bytes that one client has not read. */
static struct connection *laziest(const struct server *s)
{
    struct connection *worst = s->connections;

    for (struct connection *c = s->connections; c; c = c->next)
        if (unread(c) > unread(worst))
            worst = c;
    return worst;
}

/* --- replies -------------------------------------------------------------------------------------- */

/* False: dropped. */
static bool leave(struct connection *c)
{
    if (shutdown(c->fd, SHUT_WR) < 0) {
        drop(c);
        return false;
    }
    buf_clear(&c->in);
    enter(c, LEAVING, LINGER_MS);
    event_add(c->on_read, NULL);
    return true;
}

/* All that fits. False: dropped. */
static bool flush(struct connection *c)
{
    while (c->out_at < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            event_add(c->on_write, NULL);
            return true;
        }
        if (n < 0) {
            drop(c);
            return false;
        }
        c->out_at += (size_t)n;
        c->server->waiting -= (size_t)n;
    }
    buf_clear(&c->out);
    c->out_at = 0;
    event_del(c->on_write);
    if (c->closes)
        return leave(c);
    enter(c, ASKING, c->in.len ? HEAD_MS : IDLE_MS);
    event_add(c->on_read, NULL);
    return true;
}

/* There is a reply: it has so long to read all that it has asked for at once. */
static void owe(struct connection *c)
{
    event_del(c->on_read);
    enter(c, ANSWERED, READ_MS);
    if (c->owing_ms) {
        c->since_ms = c->owing_ms;
        c->until_ms = c->owing_ms + READ_MS;
    }
    c->owing_ms = c->since_ms;
}

/* What was asked, in `in`, one after the other, a few at a time. False: dropped. */
static bool serve(struct connection *c)
{
    for (int n = 0; c->state == ASKING; n++) {
        struct http_request rq;
        const char *why = "";
        size_t used = 0;
        int status = 0;
        enum http_read got = http_read(c->in.data, c->in.len, &rq, &used, &status, &why);

        if (got == HTTP_MORE) {
            c->owing_ms = 0;
            return true;
        }
        if (n == ANSWERS_A_PASS) {           /* others, and the channels, have their turn first */
            event_add(c->on_write, NULL);
            return true;
        }
        if (got == HTTP_READY) {
            c->server->answer(c->server->ctx, &rq, &c->out);
            buf_consume(&c->in, used);
        } else {
            struct http_reply r;
            http_reply_init(&r);
            http_reply_say(&r, status, "%s", why);
            http_write(&c->out, &rq, &r, clock_now());
            http_reply_clear(&r);
        }
        c->closes = rq.closes;
        c->server->waiting += c->out.len;
        struct connection *lazy = c->server->waiting > MAX_WAITING ? laziest(c->server) : NULL;
        if (c->out.len == 0 || lazy == c) {
            drop(c);
            return false;
        }
        if (lazy)
            drop(lazy);
        owe(c);
        if (!flush(c))
            return false;
    }
    return true;
}

/* --- requests --------------------------------------------------------------------------------------- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    uint8_t rest[4096];
    bool leaving = c->state == LEAVING;

    if (!leaving && !buf_reserve(&c->in, HTTP_MAX_HEAD - c->in.len)) {
        drop(c);
        return;
    }
    ssize_t n = leaving ? recv(fd, rest, sizeof rest, 0) : recv(fd, c->in.data + c->in.len, HTTP_MAX_HEAD - c->in.len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    if (leaving)
        return;
    if (c->in.len == 0)
        enter(c, ASKING, HEAD_MS);
    c->in.len += (size_t)n;
    serve(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;

    if (flush(c))
        serve(c);                        /* what was asked behind it, and read with it */
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct server *s = arg;
    int64_t now_ms = clock_mono_ms();

    for (struct connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        if (now_ms >= c->until_ms)
            drop(c);
    }
}

/* --- callers come ----------------------------------------------------------------------------------- */

static void greet(struct server *s, int fd)
{
    const int yes = 1;
    struct connection *c = calloc(1, sizeof *c);

    if (!c) {
        close(fd);
        return;
    }
    if (s->n >= SERVER_MAX_CONNECTIONS)
        drop(idlest(s));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);      /* a Unix socket has none */
    c->server = s;
    c->fd = fd;
    buf_init(&c->in, HTTP_MAX_HEAD);
    buf_init(&c->out, MAX_OUT);
    c->next = s->connections;
    if (c->next)
        c->next->prev = c;
    s->connections = c;
    s->n++;
    enter(c, ASKING, HEAD_MS);
    c->on_read = event_new(s->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->on_write = event_new(s->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    if (!c->on_read || !c->on_write || event_add(c->on_read, NULL) < 0)
        drop(c);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct server *s = arg;

    for (int i = 0; i < ACCEPTS_A_PASS; i++) {
        int one = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (one >= 0) {
            greet(s, one);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_warning("no connection can be accepted: %s; trying again in %d s", strerror(errno), PAUSE_S);
            event_del(s->on_ready);
            event_add(s->again, &(struct timeval){ PAUSE_S, 0 });
            return;
        }                                /* else that client has left already */
    }
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    event_add(((struct server *)arg)->on_ready, NULL);
}

struct server *server_new(struct event_base *base, int fd, server_answer *answer, void *ctx)
{
    struct server *s = calloc(1, sizeof *s);

    if (!s) {
        close(fd);
        return NULL;
    }
    *s = (struct server){ .base = base, .fd = fd, .answer = answer, .ctx = ctx };
    evutil_make_socket_nonblocking(fd);
    s->on_ready = event_new(base, fd, EV_READ | EV_PERSIST, on_ready, s);
    s->again = evtimer_new(base, on_again, s);
    s->tick = event_new(base, -1, EV_PERSIST, on_tick, s);
    if (s->on_ready && s->again && s->tick && event_add(s->on_ready, NULL) == 0 &&
        event_add(s->tick, &(struct timeval){ 0, TICK_MS * 1000 }) == 0)
        return s;
    server_free(s);
    return NULL;
}

void server_free(struct server *s)
{
    if (!s)
        return;
    while (s->connections)
        drop(s->connections);
    struct event *events[] = { s->on_ready, s->again, s->tick };
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        if (events[i])
            event_free(events[i]);
    close(s->fd);
    free(s);
}
