/*
 * watch: what the supervisor hears: each part is a message of one role, chosen by a byte, or what else may happen then: a
 * process ends, time passes, a PIN's file changes, the configuration is read again. A role harms nobody but itself, the
 * broker those alone that it names; a PIN goes to its token's signers and nowhere else, and one that was refused to nobody.
 */
#include "daemon/supervisor/watch.h"

#include "daemon/base/log.h"
#include "proto/frame.h"
#include "proto/wire.h"
#include "tests/fuzz/children.h"
#include "tests/fuzz/parts.h"
#include "tests/fuzz/put_field.h"
#include "tests/support/fake_clock.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

#define N_TOKENS 2u
#define N_SIGNERS 3u                 /* of each */
#define N_ROLES (3u + N_TOKENS * N_SIGNERS)
#define PIN_FD 900                   /* and the next one's */
#define MAX_LEN 4096u
#define MAX_SETTLING 1000

static const char config_text[] =
    "daemon: {verifiers: 2}\n"
    "tokens:\n"
    "  main: {module: none, uri: 'pkcs11:token=a', signers: 3, pin_file: /proc/self/fd/900}\n"
    "  spare: {module: none, uri: 'pkcs11:token=b', signers: 3, pin_file: /proc/self/fd/901}\n"
    "rings: {web: {alg: ES256, tokens: [main, spare]}}\n"
    "profiles: {p: {ring: web, issuer: i, audiences: [a]}}\n";

static struct source source;
static struct sockets sockets;
static struct event_base *base;
static struct watch w;
static struct {
    uint32_t config[CHILDREN_MAX], said[CHILDREN_MAX];   /* by process: the generation it heard last, and was Ready for */
    bool has_pin[CHILDREN_MAX];
    bool touched[N_TOKENS];          /* the PIN's file has changed since a signer last began */
    bool refused[N_TOKENS];          /* the PIN was, and its file has not changed */
} known;

static struct child *role(size_t n)
{
    return n == 0 ? &w.broker : n < 3 ? &w.verifiers[n - 1] : &w.tokens[(n - 3) / N_SIGNERS].signers[(n - 3) % N_SIGNERS];
}

static size_t index_of(const struct process *p)
{
    size_t i = 0;

    while (children.of[i] != p)
        i++;
    return i;
}

/* --- what the roles are told ------------------------------------------------------------------------- */

static bool same_file(int a, int b)
{
    struct stat x, y;

    MUST(fstat(a, &x) == 0 && fstat(b, &y) == 0);
    return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void check_attach(const struct child *c, struct process *p, const Signet__Role__Attach *a, int fd)
{
    bool broker = c->kind == ROLE_BROKER;

    MUST(fd >= 0);
    switch (a->peer) {
    case SIGNET__ROLE__PEER__PEER_PIN:
        MUST(c->kind == ROLE_SIGNER && same_file(fd, PIN_FD + (int)(c->number / ROLE_APART)));
        MUST(!known.has_pin[index_of(p)]);
        known.has_pin[index_of(p)] = true;
        break;
    case SIGNET__ROLE__PEER__PEER_SOCKET:       MUST(broker && same_file(fd, sockets.user.fd)); break;
    case SIGNET__ROLE__PEER__PEER_ADMIN_SOCKET: MUST(broker && same_file(fd, sockets.admin.fd)); break;
    case SIGNET__ROLE__PEER__PEER_BROKER:       MUST(!broker); break;
    default:                                    MUST(broker); break;
    }
}

static void check_told(const struct child *c, struct process *p, const Message *m, int fd)
{
    size_t i = index_of(p);

    MUST((m->of_case == OF(ATTACH)) == (fd >= 0));
    switch (m->of_case) {
    case OF(CONFIG):
        known.config[i] = m->config->generation;
        MUST(m->config->text.len == sizeof config_text - 1);
        break;
    case OF(SWITCH): MUST(m->switch_->generation == w.generation && known.said[i] > 0); break;
    case OF(ATTACH): check_attach(c, p, m->attach, fd); break;
    case OF(DETACH): MUST(c->kind == ROLE_BROKER && *m->detach->why); break;
    default:         MUST(!"a message that a role is told");
    }
}

/* True: it heard something, or ended: who is killed does, and who has no channel any more. */
static bool listen_as(const struct child *c)
{
    struct process *p = children_process(c);
    bool bad = false, heard = false;
    Message *m;
    int fd;

    if (!p || !p->lives)
        return false;
    enum channel_io io = channel_fill(p->channel);
    while ((m = channel_next(p->channel, &fd, &bad))) {
        check_told(c, p, m, fd);
        closep(&fd);
        channel_done(m);
        heard = true;
    }
    MUST(!bad);
    if (p->killed || io == CHANNEL_GONE)
        children_exit(p);
    return heard || !p->lives;
}

/* --- what must hold ---------------------------------------------------------------------------------------- */

static void check_token(const struct watch_token *t)
{
    MUST(t->n_signers >= 1 && t->n_signers <= N_SIGNERS && t->n_planned >= 1 && t->n_planned <= N_SIGNERS);
    for (unsigned i = N_SIGNERS; i < PLAN_MAX_SIGNERS; i++)
        MUST(t->signers[i].state == CHILD_DOWN);
    for (const char *at = t->trouble; *at; at++)
        MUST((unsigned char)*at >= ' ' && *at != 0x7F);
}

static void check(void)
{
    for (size_t i = 0; i < N_ROLES; i++) {
        const struct child *c = role(i);
        MUST((c->state == CHILD_DOWN) == !children_process(c));
        MUST((c->channel != NULL) == (c->state != CHILD_DOWN && c->state != CHILD_STOPPING));
    }
    for (size_t i = 0; i < N_TOKENS; i++)
        check_token(&w.tokens[i]);
    watch_settled(&w);
}

/* Of each token's signers one begins after the other, and none with a PIN that was refused. */
static void check_begun(size_t n_before)
{
    for (size_t t = 0; t < N_TOKENS; t++) {
        unsigned n_new = 0;
        for (size_t i = 0; i < N_SIGNERS; i++) {
            const struct process *p = children_process(&w.tokens[t].signers[i]);
            n_new += p && index_of(p) >= n_before;
        }
        MUST(n_new == 0 || (n_new == 1 && !known.refused[t]));
        if (n_new)
            known.touched[t] = false;
    }
}

static void settle(void)
{
    size_t n_before = children.n;
    bool busy = true;

    for (unsigned i = 0; busy; i++) {
        MUST(i < MAX_SETTLING);
        busy = false;
        for (size_t r = 0; r < N_ROLES; r++)
            children_fire(role(r));
        event_base_loop(base, EVLOOP_NONBLOCK);
        for (size_t r = 0; r < N_ROLES; r++)
            busy |= listen_as(role(r));
    }
    check_begun(n_before);
    check();
}

/* --- what a role says ---------------------------------------------------------------------------------------- */

static bool may_say(const struct child *c, const Message *m)
{
    const Signet__Role__Hung *hung = m->hung;
    bool broker = c->kind == ROLE_BROKER;

    switch (m->of_case) {
    case OF(READY): case OF(REFUSED): case OF(DRAINED): return true;
    case OF(RELOAD_ASKED): case OF(SERVING):            return broker;
    case OF(SIGNER_STATE):                              return c->kind == ROLE_SIGNER;
    case OF(HUNG):
        if (hung->peer == SIGNET__ROLE__PEER__PEER_VERIFIER)
            return broker && hung->signer >= 1 && hung->signer <= PLAN_MAX_VERIFIERS;
        return broker && hung->signer / ROLE_APART < N_TOKENS && hung->signer % ROLE_APART >= 1 &&
               hung->signer % ROLE_APART <= PLAN_MAX_SIGNERS;
    default:                                            return false;
    }
}

static bool is_pin_refused(const Message *m)
{
    const Signet__Role__SignerState *s = m->of_case == OF(SIGNER_STATE) ? m->signer_state : NULL;

    return s && s->state == SIGNET__ROLE__SIGNER_STATE__STATE__FAILED && s->why &&
           (s->why->reason == ERR_PIN_WRONG || s->why->reason == ERR_PIN_LOCKED);
}

static bool names(const Message *m, const struct child *c)
{
    bool verifier = m->of_case == OF(HUNG) && m->hung->peer == SIGNET__ROLE__PEER__PEER_VERIFIER;

    return m->of_case == OF(HUNG) && c->kind == (verifier ? ROLE_VERIFIER : ROLE_SIGNER) && c->number == m->hung->signer;
}

/* `m`: what was said; NULL: no message. */
static void check_said(const struct child *c, size_t speaker, const Message *m, bool was_failed)
{
    bool right = m && may_say(c, m);

    for (size_t i = 0; i < N_ROLES; i++) {
        const struct process *p = children_process(role(i));
        MUST(!p || !p->killed || role(i) == c || (right && names(m, role(i))));
    }
    MUST(right || children.of[speaker]->killed);
    if (right && m->of_case == OF(READY))
        known.said[speaker] = m->ready->generation;
    if (right && !was_failed && is_pin_refused(m))
        known.refused[c->number / ROLE_APART] = !known.touched[c->number / ROLE_APART];
}

/* NULL: it is none. */
static Message *unpack(const uint8_t *bytes, size_t len)
{
    struct err e;
    Message *m = wire_check_max(&signet__role__message__descriptor, bytes, len, len, &e)
                     ? signet__role__message__unpack(NULL, len, bytes) : NULL;

    if (m && m->of_case != OF(_NOT_SET))
        return m;
    channel_done(m);
    return NULL;
}

static void say(struct child *c, unsigned field, const uint8_t *packed, size_t len)
{
    static uint8_t bytes[FRAME_HEADER_LEN + MAX_LEN + 16];
    struct process *p = children_process(c);

    if (!p || !p->lives || !c->channel)
        return;
    size_t n = put_field(bytes + FRAME_HEADER_LEN, field, packed, len), speaker = index_of(p);
    frame_header(bytes, n);
    n += FRAME_HEADER_LEN;
    MUST(send(channel_fd(p->channel), bytes, n, MSG_DONTWAIT) == (ssize_t)n);
    bool was_failed = c->state == CHILD_FAILED;
    Message *m = unpack(bytes + FRAME_HEADER_LEN, n - FRAME_HEADER_LEN);
    event_base_loop(base, EVLOOP_NONBLOCK);
    check_said(c, speaker, m, was_failed);
    channel_done(m);
}

/* Every one that was sent a configuration and has not answered, as it should. */
static void all_ready(void)
{
    for (size_t i = 0; i < N_ROLES; i++) {
        struct child *c = role(i);
        struct process *p = children_process(c);
        uint8_t ready[8] = { 1 << 3 };
        if (p && known.said[index_of(p)] != known.config[index_of(p)])
            say(c, OF(READY), ready, 1 + put_varint(ready + 1, known.config[index_of(p)]));
    }
}

/* --- what else may happen ----------------------------------------------------------------------------------- */

static void end_one(struct child *c)
{
    struct process *p = children_process(c);

    if (p && p->lives)
        children_exit(p);
}

static void pass_by(int64_t ms)
{
    fake_clock_ms += ms;
    if (ms >= 1000 && evtimer_pending(w.poll_pins, NULL))
        event_active(w.poll_pins, EV_TIMEOUT, 0);
}

static void touch(size_t token)
{
    MUST(write(PIN_FD + (int)token, "x", 1) == 1);
    known.touched[token] = true;
    known.refused[token] = false;
}

static bool offer(void *ctx, struct child *c)
{
    watch_send_config(c, &source, w.generation + 1);
    return true;
}

static void begin_reload(void)
{
    w.paused = true;
    watch_each(&w, offer, NULL);
}

static void end_reload(bool in_force)
{
    if (in_force)
        watch_use(&w, &source, w.generation + 1);
    watch_resume(&w);
}

enum { ENDS = N_ROLES, TIME, TOUCH, RELOAD, RELOADED, ALL_READY, N_CHOICES };

static void step(const struct part *p)
{
    uint8_t choice = p->choice % N_CHOICES, more = p->len ? p->bytes[0] : 0;

    switch (choice) {
    case ENDS:      end_one(role(more % N_ROLES)); break;
    case TIME:      pass_by(INT64_C(1) << more % 18); break;
    case TOUCH:     touch(more % N_TOKENS); break;
    case RELOAD:    begin_reload(); break;
    case RELOADED:  end_reload(more % 2); break;
    case ALL_READY: all_ready(); break;
    default:
        if (p->len)
            say(role(choice), more % 64, p->bytes + 1, p->len - 1);
    }
    settle();
}

/* --- its life -------------------------------------------------------------------------------------------------- */

static void ignore_reload(void *ctx, uint64_t id) {}
static void ignore_ready(void *ctx, struct child *c) {}
static void ignore_refused(void *ctx, struct child *c, const char *why) {}
static void ignore(void *ctx) {}
static const struct watch_events events = { NULL, ignore_reload, ignore_ready, ignore_refused, ignore, ignore };

static int memory_file(int at)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    MUST(fd >= 0);
    if (at < 0)
        return fd;
    MUST(dup3(fd, at, O_CLOEXEC) == at);
    close(fd);
    return at;
}

/* Once for all inputs. */
static void prepare(void)
{
    struct names none = { 0 };
    struct buf mistakes;

    log_open("supervisor", (enum log_level)0);
    buf_init(&mistakes, 65536);
    source.config = config_parse(config_text, sizeof config_text - 1, "f", &none, &mistakes);
    if (!source.config)
        fprintf(stderr, "%.*s", (int)mistakes.len, (const char *)mistakes.data);
    MUST(source.config);
    signet__role__config__init(&source.message);
    source.message.text = (ProtobufCBinaryData){ sizeof config_text - 1, (uint8_t *)(uintptr_t)config_text };
    sockets.user.fd = memory_file(-1);
    sockets.admin.fd = memory_file(-1);
    for (unsigned i = 0; i < N_TOKENS; i++)
        memory_file(PIN_FD + (int)i);
}

static bool stop(void *ctx, struct child *c)
{
    child_stop(c);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    struct parts parts = { in, len };
    struct part p;
    struct err e;

    if (!source.config)
        prepare();
    memset(&known, 0, sizeof known);
    children_begin();
    base = event_base_new();
    MUST(base && watch_init(&w, base, -1, &events, &e));
    w.sockets = &sockets;
    watch_use(&w, &source, 1);
    watch_advance(&w);
    settle();
    while (children.n < CHILDREN_MAX - N_ROLES * 10 && parts_next(&parts, &p) && p.len < MAX_LEN)
        step(&p);
    w.paused = true;
    watch_each(&w, stop, NULL);
    settle();
    MUST(watch_all_down(&w));
    watch_clear(&w);
    event_base_free(base);
    children_end();
    return 0;
}
