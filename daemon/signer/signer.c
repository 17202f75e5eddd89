/*
 * Answers are gathered while work waits, for a little: a write and a wake-up
 * of the broker for each would cost more than some signatures do.
 */
#include "daemon/signer/signer.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/role.h"
#include "daemon/signer/desk.h"

#include <errno.h>
#include <linux/capability.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define MAX_PIN 256u               /* bytes */
#define ANSWERS_A_WRITE 24u
#define ANSWER_WAITS_US 8000       /* it is written before the next act, if that may take longer: as long as the last one */
#define LOGIN_PATIENCE_MS 10000u   /* colliding logins of other daemons on a software token */

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

struct secret_pin { bool wanted, there; char text[MAX_PIN + 1]; };

struct signer {
    size_t which;                            /* of the configuration's tokens */
    struct channel *supervisor, *broker;     /* broker NULL: none for now */
    struct config *config, *pending;
    uint32_t pending_generation;
    struct secret_pin *pin;                  /* in locked memory */
    struct desk desk;
    bool begun;                              /* the token was opened, or could not be */
    bool failed_told;
    bool useless;                            /* the broker has no more of us: another is to come in our place */
    unsigned n_gathered;                     /* answers not written yet */
    int64_t gathered_since_us;
    int64_t last_us;                         /* that the last act took */
};

/*
 * The module makes copies of the PIN, and a software token's keys are in its memory: none of it is swapped out where
 * any amount may be locked. Under a limit it would be an allocation that fails, one day.
 */
static void keep_from_swap(void)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3] = { 0 };
    struct rlimit limit;

    if ((syscall(SYS_capget, &header, has) == 0 && has[0].effective & 1u << CAP_IPC_LOCK) ||
        (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY))
        mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

/* --- the PIN ---------------------------------------------------------------------------------- */

static struct secret_pin *pin_new(void)
{
    struct secret_pin *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    /* Refused where RLIMIT_MEMLOCK is 0; it is then kept out of core files still. */
    mlock(p, sizeof *p);
    madvise(p, sizeof *p, MADV_DONTDUMP);
    return p;
}

static void pin_free(struct secret_pin *p)
{
    if (!p)
        return;
    OPENSSL_cleanse(p, sizeof *p);
    munmap(p, sizeof *p);
}

/* The file's bytes but for the newline at its end. */
static void pin_read(struct secret_pin *p, int fd)
{
    char bytes[MAX_PIN + 2];
    size_t len = 0;
    ssize_t n = 1;

    while (n > 0 && len < sizeof bytes) {
        n = read(fd, bytes + len, sizeof bytes - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (len && bytes[len - 1] == '\n')
        len--;
    p->there = n >= 0 && len > 0 && len <= MAX_PIN && !memchr(bytes, '\0', len);
    if (p->there) {
        memcpy(p->text, bytes, len);
        p->text[len] = '\0';
    }
    OPENSSL_cleanse(bytes, sizeof bytes);
}

static void take_pin(struct signer *s, int fd)
{
    s->pin->wanted = true;
    if (fd >= 0)
        pin_read(s->pin, fd);
}

/* --- what is said ------------------------------------------------------------------------------- */

static void said(struct signer *s, bool queued, const struct err *e)
{
    if (!queued) {
        log_error("an answer is lost: %s", e->text);
        s->useless = true;
    }
}

static void say(struct signer *s, struct channel *to, const Message *m)
{
    struct err e;

    if (to)
        said(s, channel_send(to, m, -1, &e), &e);
}

static void to_broker(void *ctx, const Message *m)
{
    struct signer *s = ctx;

    if (s->n_gathered++ == 0)
        s->gathered_since_us = clock_mono_us();
    say(s, s->broker, m);
}

static enum channel_io flush_broker(struct signer *s)
{
    s->n_gathered = 0;
    return channel_flush(s->broker);
}

static bool is_time_to_write(const struct signer *s)
{
    return s->n_gathered >= ANSWERS_A_WRITE ||
           (s->n_gathered && clock_mono_us() + s->last_us - s->gathered_since_us >= ANSWER_WAITS_US);
}

static void to_both(void *ctx, const Message *m)
{
    struct signer *s = ctx;

    say(s, s->supervisor, m);
    say(s, s->broker, m);
}

/* --- what the supervisor says ---------------------------------------------------------------------- */

/* Now, and written at once: what comes next may hang. */
static void say_found(void *ctx, const struct token_info *info)
{
    struct signer *s = ctx;
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__SignerState state = SIGNET__ROLE__SIGNER_STATE__INIT;

    state.state = SIGNET__ROLE__SIGNER_STATE__STATE__BUSY_LOGIN;
    state.software = info->software;
    state.tpm2_pkcs11 = info->tpm2_pkcs11;
    m.of_case = OF(SIGNER_STATE);
    m.signer_state = &state;
    say(s, s->supervisor, &m);
    channel_flush(s->supervisor);
}

static void open_token(struct signer *s)
{
    const struct token_config *t = &s->config->tokens[0];
    const struct token_options o = { .module = t->module, .uri = t->uri, .pin = s->pin->there ? s->pin->text : NULL,
                                     .login_patience_ms = LOGIN_PATIENCE_MS, .found = say_found, .ctx = s };

    char where[CONFIG_TOKEN_WHERE];

    s->begun = true;
    if (s->pin->wanted && !s->pin->there)
        err_set(&s->desk.why, ERR_PIN_MISSING, "the PIN's source is not there, empty, or longer than %u bytes: see"
                " %s.pin_file, pin_credential or the URI's pin-source", MAX_PIN, config_token_where(t, where));
    else
        s->desk.token = token_open(&o, &s->desk.why);
    desk_open(&s->desk);
    desk_state(&s->desk, to_both, s);
}

static void take_config(struct signer *s, const Signet__Role__Config *c)
{
    struct buf mistakes;
    struct err e;

    buf_init(&mistakes, 64 * 1024);
    config_free(TAKE(s->pending));
    /* Names were resolved for the broker; here they decide nothing. */
    s->pending = config_parse((const char *)c->text.data, c->text.len, c->file, NULL, &mistakes);
    s->pending_generation = c->generation;
    if (s->pending && s->which >= s->pending->n_tokens) {
        buf_printf(&mistakes, "%s: has no token %zu for this signer\n", c->file, s->which + 1);
        config_free(TAKE(s->pending));
    }
    if (s->pending)
        config_keep_token(s->pending, s->which);
    said(s, channel_say_verdict(s->supervisor, c->generation, s->pending ? NULL : &mistakes, &e), &e);
    buf_clear(&mistakes);
}

static bool take_switch(struct signer *s, const Signet__Role__Switch *sw)
{
    if (!s->pending || s->pending_generation != sw->generation)
        return false;
    config_free(s->config);
    s->config = TAKE(s->pending);
    s->desk.config = s->config;
    s->desk.generation = sw->generation;
    if (!s->begun) {
        open_token(s);
        s->failed_told = !s->desk.token;
    }
    return true;
}

static bool take_attach(struct signer *s, const Signet__Role__Attach *a, int *fd)
{
    if (a->peer == SIGNET__ROLE__PEER__PEER_PIN) {
        take_pin(s, *fd);
        return true;
    }
    if (a->peer != SIGNET__ROLE__PEER__PEER_BROKER || *fd < 0)
        return false;
    channel_free(s->broker);
    s->broker = channel_new(*fd);
    *fd = -1;
    if (s->broker)
        desk_state(&s->desk, to_broker, s);
    return s->broker;
}

/* False: this process is of no use any more. */
static bool obey(struct signer *s, const Message *m, int *fd)
{
    switch (m->of_case) {
    case OF(CONFIG): take_config(s, m->config); return true;
    case OF(SWITCH): return take_switch(s, m->switch_);
    case OF(ATTACH): return take_attach(s, m->attach, fd);
    default:         return false;
    }
}

/* IDLE: go on. */
static enum channel_io hear_supervisor(struct signer *s, int *out_status)
{
    enum channel_io io = channel_fill(s->supervisor);
    bool bad = false, obeyed = true;
    Message *m;
    int fd;

    while (obeyed && (m = channel_next(s->supervisor, &fd, &bad)) != NULL) {
        obeyed = obey(s, m, &fd);
        if (!obeyed)
            log_error("cannot do what the supervisor says (message %d)", (int)m->of_case);
        closep(&fd);
        channel_done(m);
    }
    *out_status = bad || !obeyed;
    return *out_status || io == CHANNEL_GONE ? CHANNEL_GONE : CHANNEL_IDLE;
}

/* --- what the broker wants ----------------------------------------------------------------------------- */

static void lose_broker(struct signer *s)
{
    channel_free(TAKE(s->broker));
}

/* Said before, to both and at once: nothing more is to be given to us, and nobody is to take a login for a hang. */
static void log_in_again(struct signer *s)
{
    desk_state(&s->desk, to_both, s);
    channel_flush(s->supervisor);
    if (s->broker && flush_broker(s) == CHANNEL_GONE)
        lose_broker(s);
    desk_login(&s->desk);
    s->failed_told = !s->desk.token;
    desk_state(&s->desk, to_both, s);
    if (s->broker && flush_broker(s) == CHANNEL_GONE)
        lose_broker(s);
}

/* A module that takes memory and never gives it back would take the machine's in the end: a new process has none of it. */
static void watch_memory(struct signer *s)
{
    struct rusage most;
    struct err why;
    uint64_t max = s->config ? s->config->tokens[0].max_memory : UINT64_MAX;

    if (!s->desk.token || getrusage(RUSAGE_SELF, &most) < 0 || (uint64_t)most.ru_maxrss * 1024 <= max)
        return;
    err_set(&why, ERR_NO_MEMORY, "this signer holds %ld MiB, more than token.max_memory (%llu MiB): its module does not give"
            " memory back, and is opened anew", most.ru_maxrss >> 10, (unsigned long long)max >> 20);
    desk_retire(&s->desk, &why);
}

static void hear_broker(struct signer *s)
{
    enum channel_io io = channel_fill(s->broker);
    bool bad = false;
    Message *m;
    int fd;

    while (s->broker && (m = channel_next(s->broker, &fd, &bad)) != NULL) {
        closep(&fd);
        if (is_time_to_write(s) && flush_broker(s) == CHANNEL_GONE)
            io = CHANNEL_GONE;
        int64_t began_us = clock_mono_us();
        if (!desk_hear(&s->desk, m, to_broker, s))
            log_error("the broker says what a signer does not know (%d)", (int)m->of_case);
        s->last_us = clock_mono_us() - began_us;
        channel_done(m);
    }
    if (bad) {
        log_error("the broker sent something malformed, or there is no memory to read it");
        s->useless = true;
    }
    if (bad || io == CHANNEL_GONE || flush_broker(s) == CHANNEL_GONE)
        lose_broker(s);
    if (s->desk.logged_out)
        log_in_again(s);
    watch_memory(s);
    if (s->begun && !s->desk.token && !s->failed_told) {
        s->failed_told = true;
        desk_state(&s->desk, to_both, s);
    }
}

/* --- its life ----------------------------------------------------------------------------------------------- */

static short wish(const struct channel *c)
{
    return POLLIN | (channel_waiting(c) ? POLLOUT : 0);
}

static bool is_idle(struct pollfd *on)
{
    return poll(on, 2, 0) == 0;
}

static int serve(struct signer *s)
{
    int status;

    for (;;) {
        struct pollfd on[2] = {
            { .fd = channel_fd(s->supervisor), .events = wish(s->supervisor) },
            { .fd = s->broker ? channel_fd(s->broker) : -1, .events = s->broker ? wish(s->broker) : 0 },
        };
        if (is_idle(on)) {
            desk_rest(&s->desk);
            if (poll(on, 2, -1) < 0 && errno != EINTR) {
                log_error("poll: %s", strerror(errno));
                return 1;
            }
        }
        if (s->broker && on[1].revents & POLLOUT && channel_flush(s->broker) == CHANNEL_GONE)
            lose_broker(s);
        if (s->broker && on[1].revents & ~POLLOUT)
            hear_broker(s);
        if (s->useless)
            return 1;
        if (on[0].revents & ~POLLOUT && hear_supervisor(s, &status) == CHANNEL_GONE)
            return status;
        if (channel_waiting(s->supervisor) && channel_flush(s->supervisor) == CHANNEL_GONE)
            return 0;
        if (s->broker && channel_waiting(s->broker) && channel_flush(s->broker) == CHANNEL_GONE)
            lose_broker(s);
    }
}

int signer_main(unsigned number)
{
    struct signer s = { .which = number / ROLE_APART };
    struct err e;

    if (!role_begin(ROLE_SIGNER, number, &e)) {
        log_error("%s", e.text);
        return 2;
    }
    keep_from_swap();
    s.supervisor = channel_new(ROLE_CHANNEL_FD);
    s.pin = pin_new();
    int status = s.supervisor && s.pin ? serve(&s) : 1;
    lose_broker(&s);
    channel_free(s.supervisor);
    token_free(s.desk.token);
    pin_free(s.pin);
    config_free(s.config);
    config_free(s.pending);
    return status;
}
