#include "daemon/publisher/publisher.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/role.h"
#include "daemon/channel/channel.h"
#include "daemon/publisher/server.h"
#include "daemon/publisher/site.h"

#include <string.h>

#define DESCRIPTORS_BESIDE 64u       /* channels, the loop's own */

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

struct publisher {
    struct event_base *base;
    struct channel *supervisor, *broker;         /* broker NULL: none for now */
    struct event *on_supervisor, *to_supervisor, *on_broker;
    struct site *site, *pending;                 /* in force; said Ready to. NULL: none yet */
    uint32_t pending_generation;
    struct server *server;
    struct shown shown;
    int status;
    bool stop;
};

static void stop(struct publisher *p, int status)
{
    p->stop = true;
    p->status = status;
    event_base_loopbreak(p->base);
}

/* --- to the supervisor ----------------------------------------------------------------------------- */

static void flush(struct publisher *p)
{
    switch (channel_flush(p->supervisor)) {
    case CHANNEL_MORE: event_add(p->to_supervisor, NULL); break;
    case CHANNEL_GONE: stop(p, 0); break;
    case CHANNEL_IDLE: break;
    }
}

/* --- the broker -------------------------------------------------------------------------------------- */

static void lose_broker(struct publisher *p)
{
    if (p->on_broker)
        event_free(TAKE(p->on_broker));
    channel_free(TAKE(p->broker));
}

static void on_broker(evutil_socket_t sock, short what, void *arg)
{
    struct publisher *p = arg;
    enum channel_io io = channel_fill(p->broker);
    bool bad = false;
    Message *m;
    struct err e;
    int fd;

    while ((m = channel_next(p->broker, &fd, &bad)) != NULL) {
        closep(&fd);
        if (m->of_case != OF(SNAPSHOT)) {
            log_warning("the broker says what a publisher does not know (%d)", (int)m->of_case);
            channel_done(m);
        } else if (!shown_take(&p->shown, m, clock_steady_ms(), &e)) {
            log_error("what the broker tells cannot be shown: %s", e.text);
        }
    }
    if (bad) {
        log_error("the broker sent something malformed, or there is no memory to read it");
        stop(p, 1);                      /* who comes in our place is told anew */
    } else if (io == CHANNEL_GONE) {
        lose_broker(p);                  /* another comes */
    }
}

/* What the one before said is shown until it is too old. */
static bool meet_broker(struct publisher *p, int fd)
{
    lose_broker(p);
    p->broker = channel_new(fd);
    p->on_broker = p->broker ? event_new(p->base, fd, EV_READ | EV_PERSIST, on_broker, p) : NULL;
    return p->on_broker && event_add(p->on_broker, NULL) == 0;
}

/* --- who asks ---------------------------------------------------------------------------------------- */

static void answer(void *ctx, const struct http_request *rq, struct buf *out)
{
    struct publisher *p = ctx;
    struct http_reply r;
    int64_t now = clock_now();

    http_reply_init(&r);
    site_answer(p->site, &p->shown, rq, now, clock_steady_ms(), &r);
    http_write(out, rq, &r, now);
    http_reply_clear(&r);
}

/* --- what the supervisor says -------------------------------------------------------------------------- */

static void take_config(struct publisher *p, const Signet__Role__Config *m)
{
    CLEANUP(buf_clear) struct buf mistakes;
    struct err e;

    buf_init(&mistakes, 64 * 1024);
    site_free(TAKE(p->pending));
    /* Who may sign is none of our business: users and groups are not looked up. */
    struct config *c = config_parse((const char *)m->text.data, m->text.len, m->file, NULL, &mistakes);
    if (c && !(p->pending = site_new(c)))
        buf_printf(&mistakes, "%s: no memory to read it\n", m->file);
    p->pending_generation = m->generation;
    if (channel_say_verdict(p->supervisor, m->generation, p->pending ? NULL : &mistakes, &e)) {
        flush(p);
    } else {
        log_error("the supervisor cannot be told: %s", e.text);
        stop(p, 1);
    }
}

static bool take_switch(struct publisher *p, uint32_t generation)
{
    if (!p->pending || p->pending_generation != generation) {
        log_error("told to switch to configuration %u, which is not here", generation);
        return false;
    }
    site_free(p->site);
    p->site = TAKE(p->pending);
    return true;
}

static bool take_attach(struct publisher *p, Signet__Role__Peer peer, int *fd)
{
    int taken = *fd;

    *fd = -1;
    if (taken >= 0 && peer == SIGNET__ROLE__PEER__PEER_BROKER)
        return meet_broker(p, taken);
    if (taken >= 0 && peer == SIGNET__ROLE__PEER__PEER_HTTP_SOCKET && p->site) {
        server_free(TAKE(p->server));
        return (p->server = server_new(p->base, taken, answer, p));
    }
    *fd = taken;
    return false;
}

/* False: this process is of no use any more. */
static bool obey(struct publisher *p, const Message *m, int *fd)
{
    switch (m->of_case) {
    case OF(CONFIG): take_config(p, m->config); return true;
    case OF(SWITCH): return take_switch(p, m->switch_->generation);
    case OF(ATTACH): return take_attach(p, m->attach->peer, fd);
    default:         return false;
    }
}

static void on_supervisor(evutil_socket_t sock, short what, void *arg)
{
    struct publisher *p = arg;
    enum channel_io io = channel_fill(p->supervisor);
    bool bad = false;
    Message *m;
    int fd;

    while (!p->stop && (m = channel_next(p->supervisor, &fd, &bad)) != NULL) {
        if (!obey(p, m, &fd)) {
            log_error("cannot do what the supervisor says (message %d)", (int)m->of_case);
            stop(p, 1);
        }
        closep(&fd);
        channel_done(m);
    }
    if (bad)
        stop(p, 1);
    else if (io == CHANNEL_GONE)
        stop(p, 0);
}

static void on_supervisor_writable(evutil_socket_t sock, short what, void *arg)
{
    flush(arg);
}

/* --- its life ---------------------------------------------------------------------------------------------- */

static bool begin(struct publisher *p, struct err *e)
{
    if (!role_begin(ROLE_PUBLISHER, 0, e) || !role_descriptors(SERVER_MAX_CONNECTIONS + DESCRIPTORS_BESIDE, e))
        return false;
    p->base = event_base_new();
    p->supervisor = channel_new(ROLE_CHANNEL_FD);
    if (!p->base || !p->supervisor)
        return err_set(e, ERR_NO_MEMORY, "no memory to begin");
    p->on_supervisor = event_new(p->base, ROLE_CHANNEL_FD, EV_READ | EV_PERSIST, on_supervisor, p);
    p->to_supervisor = event_new(p->base, ROLE_CHANNEL_FD, EV_WRITE, on_supervisor_writable, p);
    return (p->on_supervisor && p->to_supervisor && event_add(p->on_supervisor, NULL) == 0) ||
           err_set(e, ERR_NO_MEMORY, "no memory to begin");
}

static void clear(struct publisher *p)
{
    struct event *events[] = { p->on_supervisor, p->to_supervisor };

    server_free(p->server);
    lose_broker(p);
    site_free(p->site);
    site_free(p->pending);
    shown_clear(&p->shown);
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        if (events[i])
            event_free(events[i]);
    channel_free(p->supervisor);
    if (p->base)
        event_base_free(p->base);
}

int publisher_main(void)
{
    struct publisher p = { .status = 1 };
    struct err e;

    if (!begin(&p, &e)) {
        log_error("%s", e.text);
        clear(&p);
        return 2;
    }
    if (event_base_dispatch(p.base) < 0)
        log_error("the loop has ended");
    clear(&p);
    return p.status;
}
