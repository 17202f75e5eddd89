#include "daemon/supervisor/watch.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define START_MS 10000           /* to say Ready; a sanitized build on a busy machine needs 1 s */
#define LOGIN_MS 60000           /* to reach the token: colliding logins are tried for seconds, an HSM may be far */
#define LATE_MS 5000             /* a software token's login and listing take a tenth; colliding ones a second or two */
#define PIN_POLL_MS 1000

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

static unsigned cpus(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static struct watch_token *token_of(struct watch *w, const struct child *signer)
{
    return &w->tokens[signer->number / ROLE_APART];
}

static const struct token_config *config_of(const struct watch *w, const struct watch_token *t)
{
    return &w->source->config->tokens[t - w->tokens];
}

/* ---- what is said ---- */

void watch_send_config(struct child *c, const struct source *s, uint32_t generation)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Config config = s->message;      /* the lists are borrowed */

    config.generation = generation;
    m.of_case = OF(CONFIG);
    m.config = &config;
    child_send(c, &m, -1);
}

static void send_switch(struct child *c, uint32_t generation)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Switch to = SIGNET__ROLE__SWITCH__INIT;

    to.generation = generation;
    m.of_case = OF(SWITCH);
    m.switch_ = &to;
    if (child_send(c, &m, -1))
        c->switched = generation;
}

static bool send_attach(struct child *to, Signet__Role__Peer peer, const struct child *of, int fd)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Attach attach = SIGNET__ROLE__ATTACH__INIT;

    attach.peer = peer;
    if (of) {
        attach.number = of->number;
        attach.pid = (uint32_t)of->pid;
        attach.restarts = of->restarts;
    }
    m.of_case = OF(ATTACH);
    m.attach = &attach;
    return child_send(to, &m, fd);
}

static Signet__Role__Peer peer_of(const struct child *c)
{
    return c->kind == ROLE_SIGNER ? SIGNET__ROLE__PEER__PEER_SIGNER :
           c->kind == ROLE_VERIFIER ? SIGNET__ROLE__PEER__PEER_VERIFIER : SIGNET__ROLE__PEER__PEER_PUBLISHER;
}

/* A channel between the broker and another, once both are there. */
static void join(struct watch *w, struct child *c)
{
    int pair[2];
    struct err e;

    if (!w->broker.switched || !c->switched || !w->broker.channel || !c->channel)
        return;
    if (!channel_pair(pair, &e)) {
        log_error("%s; restarting the broker", e.text);
        child_kill(&w->broker);
        return;
    }
    if (send_attach(&w->broker, peer_of(c), c, pair[0]))
        send_attach(c, SIGNET__ROLE__PEER__PEER_BROKER, &w->broker, pair[1]);
    close(pair[0]);
    close(pair[1]);
}

static void send_pin(struct watch *w, struct child *c)
{
    const char *path = token_of(w, c)->pin.path;

    if (!path)
        return;
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        log_error("PIN file '%s' cannot be opened: %s", path, strerror(errno));
    send_attach(c, SIGNET__ROLE__PEER__PEER_PIN, NULL, fd);
}

static bool join_peer(void *ctx, struct child *c)
{
    struct watch *w = ctx;

    if (c != &w->broker)
        join(w, c);
    return true;
}

/* A role said Ready for the first time: it begins its work. */
static void begin(struct watch *w, struct child *c)
{
    if (c->kind == ROLE_SIGNER)
        send_pin(w, c);
    send_switch(c, w->generation);
    if (c->kind != ROLE_SIGNER) {
        child_enter(c, CHILD_UP);
        evtimer_del(c->timer);
    }
    if (c == &w->publisher)
        send_attach(c, SIGNET__ROLE__PEER__PEER_HTTP_SOCKET, NULL, w->sockets->http.fd);
    if (c != &w->broker) {
        join(w, c);
        return;
    }
    send_attach(c, SIGNET__ROLE__PEER__PEER_SOCKET, NULL, w->sockets->user.fd);
    send_attach(c, SIGNET__ROLE__PEER__PEER_ADMIN_SOCKET, NULL, w->sockets->admin.fd);
    watch_each(w, join_peer, w);
}

/* ---- who should run ---- */

static void start(struct watch *w, struct child *c)
{
    struct err e;
    char name[ROLE_MAX_NAME];

    c->late = false;
    if (c->kind == ROLE_SIGNER)
        token_of(w, c)->pin.tried = pin_mark(token_of(w, c)->pin.path);
    if (!child_start(c, &e)) {
        c->failures++;
        c->due_ms = clock_mono_ms() + plan_backoff_ms(c->failures);
        child_wake(c, plan_backoff_ms(c->failures));
        log_error("%s does not start: %s", child_name(c, name), e.text);
        return;
    }
    log_debug("%s started (pid %d)", child_name(c, name), c->pid);
    child_wake(c, c->kind == ROLE_SIGNER ? LOGIN_MS : START_MS);
    watch_send_config(c, w->source, w->generation);
}

/* True: now. Else it is woken then. */
static bool due(struct child *c)
{
    int64_t left = c->due_ms - clock_mono_ms();

    if (left <= 0)
        return true;
    child_wake(c, left);
    return false;
}

static void advance_signers(struct watch *w, struct watch_token *t)
{
    for (unsigned i = 0; i < t->n_signers; i++)
        if ((t->signers[i].state == CHILD_STARTING && !t->signers[i].late) || t->signers[i].state == CHILD_STOPPING)
            return;                          /* one login at a time; a TPM's module has one process */
    for (unsigned i = 0; i < t->n_signers && !t->pin.blocked; i++) {
        struct child *c = &t->signers[i];
        if (c->state == CHILD_FAILED && due(c)) {
            c->retried = true;
            child_stop(c);
            return;
        }
        if (c->state == CHILD_DOWN && due(c)) {
            start(w, c);
            if (c->state == CHILD_STARTING)
                return;
        }
    }
}

static void advance_verifiers(struct watch *w)
{
    for (unsigned i = 0; i < PLAN_MAX_VERIFIERS; i++) {
        struct child *c = &w->verifiers[i];
        if (i < w->n_verifiers && c->state == CHILD_DOWN && due(c))
            start(w, c);
        else if (i >= w->n_verifiers && c->channel)
            child_stop(c);
    }
}

void watch_advance(struct watch *w)
{
    if (w->paused)
        return;
    if (w->broker.state == CHILD_DOWN && due(&w->broker))
        start(w, &w->broker);
    if (w->source->config->http.listen && w->publisher.state == CHILD_DOWN && due(&w->publisher))
        start(w, &w->publisher);
    advance_verifiers(w);
    for (size_t i = 0; i < w->n_tokens; i++)
        advance_signers(w, &w->tokens[i]);
}

/* True: it still waits for that. */
static bool poll_pin(struct watch_token *t)
{
    struct pin_mark now = pin_mark(t->pin.path);

    if (!t->pin.blocked || pin_mark_same(&now, &t->pin.tried))
        return t->pin.blocked;
    t->pin.blocked = false;
    log_info("the PIN's source%s%s%s has changed: signers try again", t->pin.path ? " '" : "",
             t->pin.path ? t->pin.path : "", t->pin.path ? "'" : "");
    for (unsigned i = 0; i < t->n_signers; i++)
        t->signers[i].due_ms = 0;
    return false;
}

static void poll_pins(evutil_socket_t fd, short what, void *arg)
{
    struct watch *w = arg;
    bool blocked = false;

    for (size_t i = 0; i < w->n_tokens; i++)
        blocked |= poll_pin(&w->tokens[i]);
    if (!blocked)
        evtimer_del(w->poll_pins);
    watch_advance(w);
}

static void block_pin(struct watch *w, struct watch_token *t)
{
    if (t->pin.blocked)
        return;
    t->pin.blocked = true;
    event_add(w->poll_pins, &(struct timeval){ PIN_POLL_MS / 1000, PIN_POLL_MS % 1000 * 1000 });
    log_error("no signer tries this PIN again before its source%s%s%s changes (touch it to try the same one)",
              t->pin.path ? " '" : "", t->pin.path ? t->pin.path : "", t->pin.path ? "'" : "");
}

static void use_token(struct watch_token *t, const struct token_config *config)
{
    bool none;
    struct err e;

    if (t->n_signers == 0) {                 /* more when the first one has said what token it is */
        t->n_signers = 1;
        t->n_planned = plan_signers(config->n_signers, false, false, cpus());
    }
    free(t->pin.path);
    t->pin.path = pin_path(config, &none, &e);
    if (!t->pin.path && !none)
        log_error("%s", e.text);
    for (unsigned i = 0; i < t->n_signers; i++)
        if (t->signers[i].state == CHILD_FAILED || t->signers[i].state == CHILD_DOWN)
            t->signers[i].due_ms = 0;
}

void watch_use(struct watch *w, const struct source *s, uint32_t generation)
{
    w->source = s;
    w->generation = generation;
    w->n_verifiers = plan_verifiers(s->config->daemon.n_verifiers, cpus());
    w->n_tokens = s->config->n_tokens;
    for (size_t i = 0; i < w->n_tokens; i++)
        use_token(&w->tokens[i], &s->config->tokens[i]);
}

/* ---- what is heard ---- */

static void plan_for(const struct watch *w, struct watch_token *t, const Signet__Role__SignerState *s)
{
    t->n_planned = plan_signers(config_of(w, t)->n_signers, s->software, s->tpm2_pkcs11, cpus());
}

/* Before each login: the first, and one again where it was lost. */
static void signer_found(struct watch *w, struct child *c, const Signet__Role__SignerState *s)
{
    char name[ROLE_MAX_NAME], quoted[256];

    plan_for(w, token_of(w, c), s);
    if (c->state == CHILD_UP) {
        const char *why = s->why ? s->why->text : "";
        log_warning("%s (pid %d) logs in again: %s", child_name(c, name), c->pid,
                    log_quote(quoted, sizeof quoted, why, strlen(why)));
        child_enter(c, CHILD_STARTING);
        c->late = false;
        child_wake(c, LOGIN_MS);
    }
    if (c->state == CHILD_STARTING && !c->late && s->software)
        child_wake(c, LATE_MS);
}

/* Logs in, or lists, for longer than it should; it may come to its end still. */
static void signer_late(struct watch *w, struct child *c)
{
    char name[ROLE_MAX_NAME];

    c->late = true;
    token_of(w, c)->n_signers = token_of(w, c)->n_planned;
    log_warning("%s (pid %d) has not reached the token after %lld ms: the next one begins", child_name(c, name), c->pid,
                (long long)(clock_mono_ms() - c->began_ms));
}

static void signer_ready(struct watch *w, struct child *c, const Signet__Role__SignerState *s)
{
    struct watch_token *t = token_of(w, c);
    uint32_t configured = config_of(w, t)->n_signers;
    char where[CONFIG_TOKEN_WHERE];
    char name[ROLE_MAX_NAME], label[80], model[80];

    if (c->state == CHILD_UP)
        return;
    child_enter(c, CHILD_UP);
    evtimer_del(c->timer);
    t->trouble[0] = '\0';
    log_info("%s (pid %d) has token %s (%s)", child_name(c, name), c->pid,
             log_quote(label, sizeof label, s->token_label, strlen(s->token_label)),
             log_quote(model, sizeof model, s->model, strlen(s->model)));
    if (s->tpm2_pkcs11 && configured > 1 && t->n_signers < 2)
        log_warning("%s.signers is %u: a TPM has one", config_token_where(config_of(w, t), where), configured);
    plan_for(w, t, s);
    if (t->n_signers < t->n_planned)
        t->n_signers = t->n_planned;
}

/* One that was of use for long enough begins to count anew. */
static unsigned failures_in_a_row(const struct child *c)
{
    return c->up_ms && clock_mono_ms() - c->up_ms >= PLAN_STEADY_MS ? 0 : c->failures;
}

static void signer_failed(struct watch *w, struct child *c, const Signet__Role__SignerState *s)
{
    enum err_reason reason = s->why ? (enum err_reason)s->why->reason : ERR_INTERNAL;
    const char *text = s->why && s->why->text ? s->why->text : "";
    char name[ROLE_MAX_NAME], quoted[256];
    struct watch_token *t = token_of(w, c);

    if (c->state == CHILD_FAILED)
        return;
    c->failures = failures_in_a_row(c) + 1;
    child_enter(c, CHILD_FAILED);
    c->due_ms = c->began_ms + plan_backoff_ms(c->failures);
    child_wake(c, plan_backoff_ms(c->failures));
    log_quote(quoted, sizeof quoted, text, strlen(text));
    snprintf(t->trouble, sizeof t->trouble, "%s: %s", err_reason_name(reason), quoted);
    log_error("%s (pid %d) has no token: %s %s", child_name(c, name), c->pid, err_reason_name(reason), quoted);
    if (reason == ERR_PIN_WRONG || reason == ERR_PIN_LOCKED)
        block_pin(w, t);
}

static bool hear_ready(struct watch *w, struct child *c, const Message *m)
{
    c->ready = m->ready->generation;
    if (c->ready == w->generation && !c->switched && !w->paused)
        begin(w, c);
    w->events.ready(w->events.ctx, c);
    return true;
}

static bool hear_refused(struct watch *w, struct child *c, const Message *m)
{
    char name[ROLE_MAX_NAME], quoted[512];
    const char *text = m->refused->text;

    if (!c->switched) {
        log_error("%s refuses the configuration: %s", child_name(c, name),
                  log_quote(quoted, sizeof quoted, text, strlen(text)));
        child_kill(c);
    }
    w->events.refused(w->events.ctx, c, text);
    return true;
}

static struct child *signer_numbered(struct watch *w, uint32_t number)
{
    size_t token = number / ROLE_APART, i = number % ROLE_APART;

    return token < w->n_tokens && i >= 1 && i <= PLAN_MAX_SIGNERS ? &w->tokens[token].signers[i - 1] : NULL;
}

static struct child *verifier_numbered(struct watch *w, uint32_t number)
{
    return number >= 1 && number <= PLAN_MAX_VERIFIERS ? &w->verifiers[number - 1] : NULL;
}

static struct child *named(struct watch *w, Signet__Role__Peer peer, uint32_t number)
{
    switch (peer) {
    case SIGNET__ROLE__PEER__PEER_VERIFIER:  return verifier_numbered(w, number);
    case SIGNET__ROLE__PEER__PEER_PUBLISHER: return &w->publisher;
    default:                                 return signer_numbered(w, number);
    }
}

static bool hear_hung(struct watch *w, struct child *c, const Message *m)
{
    struct child *hung = c == &w->broker ? named(w, m->hung->peer, m->hung->signer) : NULL;
    char quoted[256], name[ROLE_MAX_NAME];

    if (!hung)
        return false;
    if (!hung->channel)
        return true;                         /* it is gone already */
    log_error("%s (pid %d) is given up and killed: %s", child_name(hung, name), hung->pid,
              log_quote(quoted, sizeof quoted, m->hung->text, strlen(m->hung->text)));
    child_kill(hung);
    return true;
}

static bool hear_reload(struct watch *w, struct child *c, const Message *m)
{
    if (c != &w->broker)
        return false;
    w->events.reload_asked(w->events.ctx, m->reload_asked->id);
    return true;
}

static bool hear_drained(struct watch *w, struct child *c, const Message *m)
{
    if (c == &w->broker)
        w->events.drained(w->events.ctx);
    return true;
}

static bool hear_serving(struct watch *w, struct child *c, const Message *m)
{
    c->serving = c == &w->broker;
    return c->serving;
}

static bool hear_signer(struct watch *w, struct child *c, const Message *m)
{
    if (c->kind != ROLE_SIGNER)
        return false;
    if (m->signer_state->state == SIGNET__ROLE__SIGNER_STATE__STATE__BUSY_LOGIN)
        signer_found(w, c, m->signer_state);
    else if (m->signer_state->state == SIGNET__ROLE__SIGNER_STATE__STATE__READY)
        signer_ready(w, c, m->signer_state);
    else if (m->signer_state->state == SIGNET__ROLE__SIGNER_STATE__STATE__FAILED)
        signer_failed(w, c, m->signer_state);
    return true;
}

static const struct {
    Signet__Role__Message__OfCase of;
    bool (*hear)(struct watch *w, struct child *c, const Message *m);
} heard[] = {
    { OF(READY), hear_ready },
    { OF(REFUSED), hear_refused },
    { OF(HUNG), hear_hung },
    { OF(RELOAD_ASKED), hear_reload },
    { OF(DRAINED), hear_drained },
    { OF(SERVING), hear_serving },
    { OF(SIGNER_STATE), hear_signer },
};

static void on_message(void *ctx, struct child *c, const Message *m)
{
    struct watch *w = ctx;
    char name[ROLE_MAX_NAME];

    for (size_t i = 0; i < ARRAY_LEN(heard); i++) {
        if (heard[i].of == m->of_case && heard[i].hear(w, c, m)) {
            watch_advance(w);
            w->events.changed(w->events.ctx);
            return;
        }
    }
    log_error("%s (pid %d) says what it has no business to say (%d): it is killed",
              child_name(c, name), c->pid, (int)m->of_case);
    child_kill(c);
}

/* ---- who is gone ---- */

static void tell_broker(struct watch *w, struct child *c, const char *how)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Detach detach = SIGNET__ROLE__DETACH__INIT;

    detach.peer = peer_of(c);
    detach.number = c->number;
    detach.why = (char *)how;
    m.of_case = OF(DETACH);
    m.detach = &detach;
    if (w->broker.switched)
        child_send(&w->broker, &m, -1);
}

/* How it comes back: at once where it was told to go for that, else later the oftener it dies. */
static void plan_return(struct child *c, const char *how)
{
    int64_t now = clock_mono_ms();
    char name[ROLE_MAX_NAME];

    c->restarts++;
    if (c->retried) {
        c->retried = false;
        c->due_ms = 0;
        return;
    }
    c->failures = failures_in_a_row(c);
    c->due_ms = now + plan_backoff_ms(c->failures++);
    log_warning("%s (pid %d) %s%s; replaced in %lld ms", child_name(c, name), c->pid, how, c->killed ? ", by us" : "",
                (long long)(c->due_ms - now));
}

static void on_ended(void *ctx, struct child *c, const char *how)
{
    struct watch *w = ctx;
    bool wanted = !(c->kind == ROLE_VERIFIER && c->number > w->n_verifiers);

    if (c != &w->broker)
        tell_broker(w, c, how);
    c->switched = c->ready = 0;
    if (!w->paused && wanted)
        plan_return(c, how);
    w->events.changed(w->events.ctx);
    watch_advance(w);
}

static void on_due(void *ctx, struct child *c)
{
    struct watch *w = ctx;
    char name[ROLE_MAX_NAME];

    int64_t left = LOGIN_MS - (clock_mono_ms() - c->began_ms);
    if (c->state == CHILD_STARTING && c->kind == ROLE_SIGNER && !c->late && left >= LATE_MS) {
        signer_late(w, c);
        child_wake(c, left);
    } else if (c->state == CHILD_STARTING) {
        log_error("%s (pid %d) has not begun its work after %lld ms: it is killed", child_name(c, name), c->pid,
                  (long long)(clock_mono_ms() - c->began_ms));
        child_kill(c);
        return;
    }
    watch_advance(w);
}

/* ---- its life ---- */

bool watch_each(struct watch *w, watch_visit *visit, void *ctx)
{
    struct child *all[2 + PLAN_MAX_VERIFIERS + CONFIG_MAX_TOKENS * PLAN_MAX_SIGNERS];
    size_t n = 0;

    all[n++] = &w->broker;
    all[n++] = &w->publisher;
    for (unsigned i = 0; i < PLAN_MAX_VERIFIERS; i++)
        all[n++] = &w->verifiers[i];
    for (size_t t = 0; t < w->n_tokens; t++)
        for (unsigned i = 0; i < PLAN_MAX_SIGNERS; i++)
            all[n++] = &w->tokens[t].signers[i];
    for (size_t i = 0; i < n; i++)
        if (all[i]->channel && !visit(ctx, all[i]))
            return false;
    return true;
}

static bool commit_one(void *ctx, struct child *c)
{
    struct watch *w = ctx;

    if (c->switched == w->generation)
        return true;                         /* a reload came to nothing: what was offered is forgotten */
    if (c->switched)
        send_switch(c, w->generation);
    else if (c->ready == w->generation)
        begin(w, c);
    else
        watch_send_config(c, w->source, w->generation);      /* it started meanwhile, or a reload came to nothing */
    return true;
}

void watch_resume(struct watch *w)
{
    w->paused = false;
    watch_each(w, commit_one, w);
    watch_advance(w);
}

bool watch_all_down(const struct watch *w)
{
    bool up = w->broker.state != CHILD_DOWN || w->publisher.state != CHILD_DOWN;

    for (unsigned i = 0; i < PLAN_MAX_VERIFIERS; i++)
        up |= w->verifiers[i].state != CHILD_DOWN;
    for (size_t t = 0; t < w->n_tokens; t++)
        for (unsigned i = 0; i < PLAN_MAX_SIGNERS; i++)
            up |= w->tokens[t].signers[i].state != CHILD_DOWN;
    return !up;
}

unsigned watch_signers_up(const struct watch *w)
{
    unsigned n = 0;

    for (size_t t = 0; t < w->n_tokens; t++)
        for (unsigned i = 0; i < PLAN_MAX_SIGNERS; i++)
            n += w->tokens[t].signers[i].state == CHILD_UP;
    return n;
}

unsigned watch_signers_planned(const struct watch *w)
{
    unsigned n = 0;

    for (size_t t = 0; t < w->n_tokens; t++)
        n += w->tokens[t].n_planned;
    return n;
}

const char *watch_trouble(const struct watch *w)
{
    for (size_t t = 0; t < w->n_tokens; t++)
        if (w->tokens[t].trouble[0])
            return w->tokens[t].trouble;
    return "";
}

bool watch_settled(const struct watch *w)
{
    bool publishes = !w->source->config->http.listen || w->publisher.state == CHILD_UP || w->publisher.failures > 0;
    bool all = w->broker.state == CHILD_UP && w->verifiers[0].state == CHILD_UP && publishes;

    for (size_t t = 0; t < w->n_tokens; t++)
        for (unsigned i = 0; i < w->tokens[t].n_signers; i++) {
            const struct child *c = &w->tokens[t].signers[i];
            all = all && (c->state == CHILD_UP || c->failures > 0 || c->late);
        }
    return all && (w->broker.serving || watch_signers_up(w) == 0);
}

bool watch_init(struct watch *w, struct event_base *base, int exec_fd, const struct watch_events *ev, struct err *e)
{
    bool ok = true;

    *w = (struct watch){ .handler = { base, exec_fd, w, on_message, on_ended, on_due }, .events = *ev };
    ok = child_init(&w->broker, &w->handler, ROLE_BROKER, 0) && child_init(&w->publisher, &w->handler, ROLE_PUBLISHER, 0);
    for (unsigned i = 0; i < PLAN_MAX_VERIFIERS; i++)
        ok = child_init(&w->verifiers[i], &w->handler, ROLE_VERIFIER, i + 1) && ok;
    for (unsigned t = 0; t < CONFIG_MAX_TOKENS; t++)
        for (unsigned i = 0; i < PLAN_MAX_SIGNERS; i++)
            ok = child_init(&w->tokens[t].signers[i], &w->handler, ROLE_SIGNER, t * ROLE_APART + i + 1) && ok;
    w->poll_pins = event_new(base, -1, EV_PERSIST, poll_pins, w);
    return (ok && w->poll_pins) || err_set(e, ERR_NO_MEMORY, "out of memory");
}

void watch_clear(struct watch *w)
{
    child_clear(&w->broker);
    child_clear(&w->publisher);
    for (unsigned i = 0; i < PLAN_MAX_VERIFIERS; i++)
        child_clear(&w->verifiers[i]);
    for (size_t t = 0; t < CONFIG_MAX_TOKENS; t++) {
        for (unsigned i = 0; i < PLAN_MAX_SIGNERS; i++)
            child_clear(&w->tokens[t].signers[i]);
        free(w->tokens[t].pin.path);
    }
    if (w->poll_pins)
        event_free(TAKE(w->poll_pins));
}
