/*
 * The loop: callers, signers, verifiers and the supervisor are read as they
 * come; what callers asked is begun, what that made due handed out and written
 * once at the end of each turn, so that a busy loop writes in batches.
 */
#include "daemon/broker/broker.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/role.h"
#include "daemon/broker/broker_private.h"
#include "daemon/broker/connection.h"
#include "daemon/broker/ops/ops.h"
#include "daemon/broker/publish.h"
#include "daemon/broker/request.h"
#include "daemon/broker/tokens.h"
#include "daemon/broker/work.h"

#include <stdio.h>
#include <string.h>

#define TICK_MS 20                       /* how exact deadlines are */
#define SWEEP_TICKS 50                   /* accounts are looked through each second */

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

/* --- to the supervisor ------------------------------------------------------------------------- */

static void stop(struct broker *b, int status)
{
    b->stop = true;
    b->exit_status = status;
}

static void flush_supervisor(struct broker *b)
{
    switch (channel_flush(b->supervisor)) {
    case CHANNEL_MORE: event_add(b->on_write, NULL); break;
    case CHANNEL_GONE: stop(b, 0); break;
    case CHANNEL_IDLE: break;
    }
}

/* One that could not be queued: there is no going on. */
static void told(struct broker *b, bool queued, const struct err *e)
{
    if (queued) {
        flush_supervisor(b);
        return;
    }
    log_error("the supervisor cannot be told: %s", e->text);
    stop(b, 1);
}

void broker_tell(struct broker *b, const Message *m)
{
    struct err e;

    told(b, channel_send(b->supervisor, m, -1, &e), &e);
}

/* --- what signers say by themselves ----------------------------------------------------------------- */

static void take_mechanisms(struct peer *p, const Signet__Role__SignerState *s)
{
    memset(p->mechanisms, 0, sizeof p->mechanisms);
    for (size_t i = 0; i < s->n_mechanisms; i++) {
        const Signet__Role__Mechanism *m = s->mechanisms[i];
        if (m->alg >= POOL_MAX_ALGS || !alg_at(m->alg))
            continue;
        struct mechanism *to = &p->mechanisms[m->alg];
        snprintf(to->name, sizeof to->name, "%s", m->name);
        to->digest = m->digest && alg_signs_digest(alg_at(m->alg));
        to->proved = m->proved;
    }
}

static void take_token(struct broker_token *t, const Signet__Role__SignerState *s)
{
    t->info.software = s->software;
    t->info.tpm2_pkcs11 = s->tpm2_pkcs11;
    snprintf(t->info.label, sizeof t->info.label, "%s", s->token_label);
    snprintf(t->info.manufacturer, sizeof t->info.manufacturer, "%s", s->manufacturer);
    snprintf(t->info.model, sizeof t->info.model, "%s", s->model);
    snprintf(t->info.serial, sizeof t->info.serial, "%s", s->serial);
}

static void on_signer_says(void *ctx, struct peer *p, const Message *m)
{
    struct broker *b = ctx;
    const Signet__Role__SignerState *s = m->signer_state;
    struct broker_token *t = tokens_of_pool(b, p->pool);
    struct err why = { 0 };

    if (m->of_case != OF(SIGNER_STATE)) {
        log_warning("signer %u says something that is not its to say (%d)", peer_called(p), (int)m->of_case);
        return;
    }
    if (s->why)
        channel_why(s->why, &why);
    if (s->state == SIGNET__ROLE__SIGNER_STATE__STATE__READY) {
        bool first = pool_any(&t->signers) == NULL;
        take_mechanisms(p, s);
        take_token(t, s);
        peer_ready(p);
        keys_found_anew(t->keys, p->number);
        if (first)
            keys_refresh(t->keys);
    } else if (s->state == SIGNET__ROLE__SIGNER_STATE__STATE__BUSY_LOGIN) {
        peer_busy(p, &why);
    } else if (s->state == SIGNET__ROLE__SIGNER_STATE__STATE__FAILED) {
        if (!s->why)
            err_set(&why, ERR_TOKEN_FAILED, "the signer does not say why it has no token");
        peer_failed(p, &why);
        broker_serving(b);
    }
}

static void on_verifier_says(void *ctx, struct peer *p, const Message *m)
{
    log_warning("verifier %u says something that is not its to say (%d)", p->number, (int)m->of_case);
}

static void on_hung(void *ctx, struct peer *p, const char *what)
{
    struct broker *b = ctx;
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Hung hung = SIGNET__ROLE__HUNG__INIT;

    log_error("%s %u (pid %d): %s", p->pool->name, peer_called(p), (int)p->pid, what);
    hung.signer = peer_called(p);
    hung.peer = p->pool == &b->verifiers ? SIGNET__ROLE__PEER__PEER_VERIFIER : SIGNET__ROLE__PEER__PEER_SIGNER;
    hung.text = (char *)(uintptr_t)what;
    m.of_case = OF(HUNG);
    m.hung = &hung;
    broker_tell(b, &m);
}

/* --- what the supervisor says -------------------------------------------------------------------------- */

static void take_config(struct broker *b, const Message *m, int *fd)
{
    struct buf mistakes;
    struct err e;

    buf_init(&mistakes, 64 * 1024);
    conf_unref(TAKE(b->pending));
    b->pending = conf_new(m->config, &mistakes);
    if (b->pending && !role_descriptors(config_descriptors(b->pending->config), &e)) {
        buf_append_str(&mistakes, e.text);
        conf_unref(TAKE(b->pending));
    }
    told(b, channel_say_verdict(b->supervisor, m->config->generation, b->pending ? NULL : &mistakes, &e), &e);
    buf_clear(&mistakes);
}

static void take_switch(struct broker *b, const Message *m, int *fd)
{
    if (!b->pending || b->pending->generation != m->switch_->generation) {
        log_error("told to switch to configuration %u, which is not here", m->switch_->generation);
        stop(b, 1);
        return;
    }
    conf_unref(b->conf);
    b->conf = TAKE(b->pending);
    b->verifiers.max_queue = b->conf->config->daemon.max_queue_per_uid;
    stats_use(&b->stats, b->conf->config->profiles, b->conf->config->n_profiles);
    const struct pool_hooks signers = { b, on_signer_says, on_hung };
    if (!tokens_use(b, &signers)) {
        log_error("no memory for the tokens of configuration %u", b->conf->generation);
        stop(b, 1);
        return;
    }
    log_info("configuration %u is in force", b->conf->generation);
}

static void take_listener(struct broker *b, int *fd, bool admin)
{
    struct err e;

    if (!b->conf || !listener_open(&b->listeners[admin], b, *fd, admin, &e)) {
        log_error("the %s socket cannot be served", admin ? "admin" : "callers'");
        stop(b, 1);
    } else {
        *fd = -1;
    }
}

static void take_peer(struct broker *b, const Signet__Role__Attach *a, int *fd, struct pool *p)
{
    struct err e;
    int taken = *fd;

    *fd = -1;
    if (!p) {
        log_error("the supervisor attached %u, a signer of no token", a->number);
        close(taken);
        return;
    }
    if (!pool_attach(p, a->number - p->others, (pid_t)a->pid, a->restarts, taken, &e)) {
        log_error("%s", e.text);
        /* It would wait for us for ever: another is to come in its place. */
        if (a->number - p->others - 1 < POOL_MAX_PEERS)
            on_hung(b, &p->peers[a->number - p->others - 1], e.text);
    } else if (p == &b->verifiers) {
        struct peer *peer = &p->peers[a->number - 1];
        for (size_t i = 0; i < b->n_tokens; i++)
            keys_tell(b->tokens[i]->keys, peer);
        peer_ready(peer);
    }
}

static void take_publisher(struct broker *b, int *fd)
{
    struct err e;
    int taken = *fd;

    *fd = -1;
    if (!publish_to(b, taken, &e))
        log_error("the publisher is told nothing: %s", e.text);
}

static struct pool *signers_of(struct broker *b, uint32_t number)
{
    struct broker_token *t = tokens_of_signer(b, number);

    return t ? &t->signers : NULL;
}

static void take_attach(struct broker *b, const Message *m, int *fd)
{
    const Signet__Role__Attach *a = m->attach;

    if (*fd < 0) {
        log_error("the supervisor attached nothing");
        return;
    }
    switch (a->peer) {
    case SIGNET__ROLE__PEER__PEER_SOCKET:       take_listener(b, fd, false); break;
    case SIGNET__ROLE__PEER__PEER_ADMIN_SOCKET: take_listener(b, fd, true); break;
    case SIGNET__ROLE__PEER__PEER_SIGNER:       take_peer(b, a, fd, signers_of(b, a->number)); break;
    case SIGNET__ROLE__PEER__PEER_VERIFIER:     take_peer(b, a, fd, &b->verifiers); break;
    case SIGNET__ROLE__PEER__PEER_PUBLISHER:    take_publisher(b, fd); break;
    default:                                    log_error("the supervisor attached what is not known here"); break;
    }
}

static void take_detach(struct broker *b, const Message *m, int *fd)
{
    bool signer = m->detach->peer == SIGNET__ROLE__PEER__PEER_SIGNER;

    if (m->detach->peer == SIGNET__ROLE__PEER__PEER_PUBLISHER) {
        publish_end(b);
        return;
    }
    struct pool *p = signer ? signers_of(b, m->detach->number) : &b->verifiers;

    if (p)
        pool_detach(p, m->detach->number - p->others, m->detach->why);
}

static void take_drain(struct broker *b, const Message *m, int *fd)
{
    if (!b->draining)
        log_info("draining: %zu requests are under way", b->n_requests);
    b->draining = true;
    listener_close(&b->listeners[0]);
    listener_close(&b->listeners[1]);
}

static void take_reload_done(struct broker *b, const Message *m, int *fd)
{
    reload_ended(b, m->reload_done);
}

static const struct {
    Signet__Role__Message__OfCase of;
    void (*take)(struct broker *b, const Message *m, int *fd);
} said[] = {
    { OF(CONFIG), take_config }, { OF(SWITCH), take_switch }, { OF(ATTACH), take_attach },
    { OF(DETACH), take_detach }, { OF(DRAIN), take_drain }, { OF(RELOAD_DONE), take_reload_done },
};

static void obey(struct broker *b, const Message *m, int *fd)
{
    for (size_t i = 0; i < ARRAY_LEN(said); i++)
        if (said[i].of == m->of_case) {
            said[i].take(b, m, fd);
            return;
        }
    log_error("the supervisor says what a broker does not know (%d)", (int)m->of_case);
}

static void on_supervisor(evutil_socket_t sock, short what, void *arg)
{
    struct broker *b = arg;
    enum channel_io io = channel_fill(b->supervisor);
    bool bad = false;
    Message *m;
    int fd;

    while (!b->stop && (m = channel_next(b->supervisor, &fd, &bad)) != NULL) {
        obey(b, m, &fd);
        closep(&fd);
        channel_done(m);
    }
    if (bad)
        stop(b, 1);
    else if (io == CHANNEL_GONE)
        stop(b, 0);
}

static void on_supervisor_writable(evutil_socket_t sock, short what, void *arg)
{
    flush_supervisor(arg);
}

/* --- the loop -------------------------------------------------------------------------------------------- */

static void on_tick(evutil_socket_t sock, short what, void *arg)
{
    struct broker *b = arg;
    int64_t now_ms = clock_mono_ms();
    static unsigned n;

    requests_tick(b, now_ms);
    for (size_t i = 0; i < b->n_tokens; i++)
        pool_tick(&b->tokens[i]->signers, now_ms);
    pool_tick(&b->verifiers, now_ms);
    tokens_tick(b);
    publish_tick(b);
    connections_tick(b, now_ms);
    if (++n % SWEEP_TICKS == 0)
        accounts_sweep(&b->accounts, now_ms);
}

static void tell_drained(struct broker *b)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Drained drained = SIGNET__ROLE__DRAINED__INIT;

    m.of_case = OF(DRAINED);
    m.drained = &drained;
    broker_tell(b, &m);
    b->draining = false;                 /* said once; nobody new can come */
}

static void flush_pools(struct broker *b)
{
    int64_t now_ms = clock_mono_ms();

    for (size_t i = 0; i < b->n_tokens; i++)
        pool_flush(&b->tokens[i]->signers, now_ms);
    pool_flush(&b->verifiers, now_ms);
}

void broker_turn(struct broker *b)
{
    flush_pools(b);                      /* they go on while callers are read */
    connections_flush(b);
    flush_pools(b);
    requests_flush(b);
    log_flush();
    if (b->draining && b->n_requests == 0 && connections_idle(b))
        tell_drained(b);
}

void broker_serving(struct broker *b)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Serving serving = SIGNET__ROLE__SERVING__INIT;
    bool any = false, all = true;

    for (size_t i = 0; i < b->n_tokens; i++) {
        any |= b->tokens[i]->serving;
        all &= b->tokens[i]->serving || pool_gave_up(&b->tokens[i]->signers);
    }
    if (!any || !all || b->serving_told)
        return;
    publish_tick(b);                     /* who is told that all is there finds it published */
    b->serving_told = true;
    m.of_case = OF(SERVING);
    m.serving = &serving;
    broker_tell(b, &m);
}

bool broker_init(struct broker *b, int supervisor, struct err *e)
{
    const struct pool_hooks verifiers = { b, on_verifier_says, on_hung };

    *b = (struct broker){ .started_at = clock_now(), .listeners = { { .fd = -1 }, { .fd = -1 } } };
    b->base = event_base_new();
    b->supervisor = channel_new(supervisor);
    if (!b->base || !b->supervisor)
        return err_set(e, ERR_NO_MEMORY, "no memory to begin");
    pool_init(&b->verifiers, b->base, LANE_VERIFIERS, "verifier", &verifiers);
    b->on_read = event_new(b->base, supervisor, EV_READ | EV_PERSIST, on_supervisor, b);
    b->on_write = event_new(b->base, supervisor, EV_WRITE, on_supervisor_writable, b);
    b->tick = event_new(b->base, -1, EV_PERSIST, on_tick, b);
    if (!b->on_read || !b->on_write || !b->tick || event_add(b->on_read, NULL) < 0 ||
        event_add(b->tick, &(struct timeval){ 0, TICK_MS * 1000 }) < 0)
        return err_set(e, ERR_NO_MEMORY, "no memory to begin");
    return true;
}

void broker_clear(struct broker *b)
{
    listener_close(&b->listeners[0]);
    listener_close(&b->listeners[1]);
    for (struct connection *c = b->connections; c; c = c->next)
        connection_close(c);
    while (b->connections)               /* some may wait for their turn */
        connections_flush(b);
    requests_flush(b);
    publish_end(b);
    pool_clear(&b->verifiers);           /* proofs of keys, among others */
    tokens_clear(b);
    accounts_clear(&b->accounts);
    stats_clear(&b->stats);
    conf_unref(b->pending);
    conf_unref(b->conf);
    struct event *events[] = { b->on_read, b->on_write, b->tick };
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        if (events[i])
            event_free(events[i]);
    channel_free(b->supervisor);
    if (b->base)
        event_base_free(b->base);
}

int broker_main(void)
{
    struct broker *b = calloc(1, sizeof *b);
    struct err e;

    if (!role_begin(ROLE_BROKER, 0, &e)) {
        log_error("%s", e.text);
        free(b);
        return 2;
    }
    if (!b || !broker_init(b, ROLE_CHANNEL_FD, &e)) {
        log_error("the broker cannot begin: %s", b ? e.text : "no memory");
        return 1;
    }
    while (!b->stop && event_base_loop(b->base, EVLOOP_ONCE | (b->more ? EVLOOP_NONBLOCK : 0)) == 0)
        broker_turn(b);
    int status = b->exit_status;
    broker_clear(b);
    free(b);
    return status;
}
