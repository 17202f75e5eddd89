#include "daemon/broker/publish.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/broker/ops/ops.h"
#include "daemon/broker/tokens.h"

#include <sys/socket.h>

#define EVERY_MS 1000
#define GIVE_UP_MS 10000             /* it reads nothing for so long: another is to come in its place */
#define IN_KERNEL 16384              /* bytes that may wait unread there: with more, one that hangs would be found late */
#define MAX_SET (1024u * 1024)       /* bytes of one ring's set, over its tokens */

typedef Signet__Role__Message Message;

/* --- whom -------------------------------------------------------------------------------------- */

void publish_end(struct broker *b)
{
    struct publishing *p = &b->publishing;

    if (p->on_read)
        event_free(TAKE(p->on_read));
    if (p->on_write)
        event_free(TAKE(p->on_write));
    channel_free(TAKE(p->channel));
}

/* Who serves strangers and hangs is not found by them. */
static void give_up(struct broker *b, const char *why)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Hung hung = SIGNET__ROLE__HUNG__INIT;

    hung.peer = SIGNET__ROLE__PEER__PEER_PUBLISHER;
    hung.text = (char *)(uintptr_t)why;
    m.of_case = SIGNET__ROLE__MESSAGE__OF_HUNG;
    m.hung = &hung;
    broker_tell(b, &m);
    publish_end(b);
}

/* Its end, or what it has no business to say, which is read by nobody. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct broker *b = arg;
    char bytes[256];
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (n > 0)
        give_up(b, "it says something, and has nothing to say");
    else if (n == 0)
        publish_end(b);
}

static void flush(struct broker *b)
{
    struct publishing *p = &b->publishing;

    switch (channel_flush(p->channel)) {
    case CHANNEL_MORE: event_add(p->on_write, NULL); break;
    case CHANNEL_GONE: publish_end(b); break;
    case CHANNEL_IDLE: p->unread_ms = 0; break;
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    flush(arg);
}

bool publish_to(struct broker *b, int fd, struct err *e)
{
    struct publishing *p = &b->publishing;
    const int in_kernel = IN_KERNEL;

    publish_end(b);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &in_kernel, sizeof in_kernel);
    *p = (struct publishing){ .channel = channel_new(fd) };
    if (p->channel) {
        p->on_read = event_new(b->base, fd, EV_READ | EV_PERSIST, on_readable, b);
        p->on_write = event_new(b->base, fd, EV_WRITE, on_writable, b);
    }
    if (p->on_read && p->on_write && event_add(p->on_read, NULL) == 0)
        return true;
    err_set(e, ERR_NO_MEMORY, "no memory for its channel");
    give_up(b, e->text);                 /* it would wait for ever: another is to come */
    return false;
}

/* --- what -------------------------------------------------------------------------------------- */

struct ring_sets {
    Signet__Role__RingSet *each, **list;
    Signet__Role__Why *whys;
    struct err *errs;
    struct buf *texts;
    size_t n;
};

static void sets_clear(struct ring_sets *s)
{
    for (size_t i = 0; i < s->n; i++)
        buf_clear(&s->texts[i]);
    free(s->each);
    free(s->list);
    free(s->whys);
    free(s->errs);
    free(s->texts);
}

static bool sets_init(struct ring_sets *s, size_t n)
{
    *s = (struct ring_sets){
        .each = calloc(n + 1, sizeof *s->each), .list = calloc(n + 1, sizeof *s->list), .whys = calloc(n + 1, sizeof *s->whys),
        .errs = calloc(n + 1, sizeof *s->errs), .texts = calloc(n + 1, sizeof *s->texts),
    };
    return s->each && s->list && s->whys && s->errs && s->texts;
}

/* An HMAC ring has public keys only while its algorithm changes over, which nobody knows before its tokens are listed. */
static void add_set(struct ring_sets *s, struct broker *b, const struct ring_config *r, int64_t now)
{
    Signet__Role__RingSet *set = s->list[s->n] = &s->each[s->n];
    struct buf *text = &s->texts[s->n];
    struct err *e = &s->errs[s->n];
    Signet__Role__Why *why = &s->whys[s->n++];
    struct keys_ring_set known;

    buf_init(text, MAX_SET);
    signet__role__ring_set__init(set);
    set->ring = (char *)(uintptr_t)r->settings.name;
    if (tokens_ring_set(b, r, now, text, &known, e)) {
        if (text->len == 0 && r->alg->family == ALG_HMAC)
            s->n--;                          /* it has none to publish */
        set->jwks = (ProtobufCBinaryData){ text->len, text->data };
        set->max_age_s = known.max_age_s;
        set->changes_in_s = known.changes_in_s;
        return;
    }
    signet__role__why__init(why);
    why->reason = e->reason;
    why->text = e->text;
    why->retry_after_ms = e->retry_after_ms;
    set->why = why;
}

static bool send_snapshot(struct broker *b, struct err *e)
{
    const struct config *c = b->conf->config;
    CLEANUP(buf_clear) struct buf status, keys;
    CLEANUP(sets_clear) struct ring_sets sets;
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Snapshot snapshot = SIGNET__ROLE__SNAPSHOT__INIT;

    buf_init(&status, CHANNEL_MAX_MESSAGE);
    buf_init(&keys, CHANNEL_MAX_MESSAGE);
    if (!sets_init(&sets, c->n_rings))
        return err_set(e, ERR_NO_MEMORY, "no memory for the key sets");
    for (size_t i = 0; i < c->n_rings; i++)
        if (config_publishes(c, &c->rings[i]))
            add_set(&sets, b, &c->rings[i], clock_now());
    if (!op_pack_status(b, &status, e) || !op_pack_keys(b, &keys, e))
        return false;
    snapshot.status = (ProtobufCBinaryData){ status.len, status.data };
    snapshot.keys = (ProtobufCBinaryData){ keys.len, keys.data };
    snapshot.sets = sets.list;
    snapshot.n_sets = sets.n;
    m.of_case = SIGNET__ROLE__MESSAGE__OF_SNAPSHOT;
    m.snapshot = &snapshot;
    return channel_send(b->publishing.channel, &m, -1, e);
}

/* --- when -------------------------------------------------------------------------------------- */

/* Since the last one it may have become known, or another. */
static bool has_changed(struct broker *b)
{
    struct publishing *p = &b->publishing;
    struct keys_set set;
    struct err e;
    bool is_whole = tokens_set(b, clock_now(), &set, &e);
    bool changed = is_whole != p->is_whole || (is_whole && set.version != p->version);

    p->is_whole = is_whole;
    p->version = is_whole ? set.version : p->version;
    return changed;
}

void publish_tick(struct broker *b)
{
    struct publishing *p = &b->publishing;
    int64_t now_ms = clock_mono_ms();
    struct err e;

    if (!p->channel || !b->conf)
        return;
    if (p->unread_ms) {
        if (now_ms - p->unread_ms > GIVE_UP_MS)
            give_up(b, "it has not read what it is told for too long");
        return;                      /* one is skipped; the next says all */
    }
    bool is_due = p->told_ms == 0 || now_ms - p->told_ms >= EVERY_MS;
    if (!has_changed(b) && !is_due)
        return;
    p->told_ms = p->unread_ms = now_ms;
    if (!send_snapshot(b, &e)) {
        log_error("the publisher is not told how things are: %s", e.text);
        p->unread_ms = 0;
    } else {
        flush(b);
    }
}
