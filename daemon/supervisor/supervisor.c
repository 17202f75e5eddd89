#include "daemon/supervisor/supervisor.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/sandbox.h"
#include "daemon/supervisor/rehearse.h"
#include "daemon/supervisor/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

enum phase { PHASE_RUN, PHASE_DRAIN, PHASE_END };

struct supervisor {
    struct event_base *base;
    int exec_fd;
    struct source *source;
    struct sockets sockets;
    struct watch watch;
    struct reload reload;
    struct event *on_term, *on_int, *on_hup, *drain_timeout;
    enum phase phase;
    bool ready_told;
};

/* --- to the service manager ---------------------------------------------------------------------- */

static void tell_status(struct supervisor *s)
{
    struct watch *w = &s->watch;
    unsigned up = watch_signers_up(w);

    if (s->phase != PHASE_RUN)
        return;
    if (!s->ready_told && watch_settled(w)) {
        s->ready_told = true;
        log_info("ready: %u of %u signers have the token", up, watch_signers_planned(w));
        sd_notify(0, "READY=1");         /* who waits for it finds the line */
    }
    if (up)
        sd_notifyf(0, "STATUS=signing with %u of %u signers, configuration %u", up, watch_signers_planned(w),
                   w->generation);
    else
        sd_notifyf(0, "STATUS=does not sign: %s", watch_trouble(w)[0] ? watch_trouble(w) : "the token is being opened");
}

/* --- the end ------------------------------------------------------------------------------------------ */

static bool stop_one(void *ctx, struct child *c)
{
    child_stop(c);
    return true;
}

static void check_end(struct supervisor *s)
{
    if (s->phase == PHASE_END && watch_all_down(&s->watch))
        event_base_loopbreak(s->base);
}

static void enter_end(struct supervisor *s)
{
    if (s->phase == PHASE_END)
        return;
    s->phase = PHASE_END;
    s->watch.paused = true;
    event_del(s->drain_timeout);
    watch_each(&s->watch, stop_one, NULL);
    check_end(s);
}

static void on_drain_timeout(evutil_socket_t fd, short what, void *arg)
{
    log_warning("requests are still under way after daemon.drain_timeout; ending without their answers");
    enter_end(arg);
}

static void enter_drain(struct supervisor *s)
{
    uint32_t ms = s->source->config->daemon.drain_timeout_ms;
    Signet__Role__Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Drain drain = SIGNET__ROLE__DRAIN__INIT;

    s->phase = PHASE_DRAIN;
    s->watch.paused = true;
    sd_notify(0, "STOPPING=1");
    event_add(s->drain_timeout, &(struct timeval){ ms / 1000, ms % 1000 * 1000 });
    m.of_case = SIGNET__ROLE__MESSAGE__OF_DRAIN;
    m.drain = &drain;
    if (!s->watch.broker.switched || !child_send(&s->watch.broker, &m, -1))
        enter_end(s);
}

static bool kill_one(void *ctx, struct child *c)
{
    child_kill(c);
    return true;
}

static void on_end_signal(evutil_socket_t signal, short what, void *arg)
{
    struct supervisor *s = arg;

    if (s->phase == PHASE_RUN) {
        log_info("%s: ending", strsignal((int)signal));
        enter_drain(s);
    } else {
        log_warning("%s again: ending at once", strsignal((int)signal));
        watch_each(&s->watch, kill_one, NULL);
        enter_end(s);
    }
}

static void on_hup(evutil_socket_t signal, short what, void *arg)
{
    struct supervisor *s = arg;

    if (s->phase != PHASE_RUN)
        return;
    sd_notify(0, "RELOADING=1");
    reload_begin(&s->reload, 0);
}

/* --- what happens below ---------------------------------------------------------------------------------- */

static void reload_asked(void *ctx, uint64_t id)
{
    struct supervisor *s = ctx;

    if (s->phase != PHASE_RUN)
        return;
    sd_notify(0, "RELOADING=1");
    reload_begin(&s->reload, id);
}

static void reload_ended(void *ctx, bool done)
{
    struct supervisor *s = ctx;

    sd_notify(0, "READY=1");
    tell_status(s);
}

static void child_ready(void *ctx, struct child *c)
{
    reload_check(&((struct supervisor *)ctx)->reload);
}

static void child_refused(void *ctx, struct child *c, const char *why)
{
    reload_refused(&((struct supervisor *)ctx)->reload, c, why);
}

static void drained(void *ctx)
{
    struct supervisor *s = ctx;

    if (s->phase == PHASE_DRAIN)
        enter_end(s);
}

static void changed(void *ctx)
{
    struct supervisor *s = ctx;

    reload_check(&s->reload);
    if (s->phase == PHASE_DRAIN && !s->watch.broker.channel)
        enter_end(s);
    check_end(s);
    tell_status(s);
}

/* --- the beginning ------------------------------------------------------------------------------------------- */

static bool watch_signals(struct supervisor *s)
{
    s->on_term = evsignal_new(s->base, SIGTERM, on_end_signal, s);
    s->on_int = evsignal_new(s->base, SIGINT, on_end_signal, s);
    s->on_hup = evsignal_new(s->base, SIGHUP, on_hup, s);
    s->drain_timeout = evtimer_new(s->base, on_drain_timeout, s);
    signal(SIGPIPE, SIG_IGN);
    return s->on_term && s->on_int && s->on_hup && s->drain_timeout && event_add(s->on_term, NULL) == 0 &&
           event_add(s->on_int, NULL) == 0 && event_add(s->on_hup, NULL) == 0;
}

static bool begin(struct supervisor *s, const char *file, struct err *e)
{
    const struct watch_events events = { s, reload_asked, child_ready, child_refused, drained, changed };

    /* Opened once: an upgrade on disk never mixes versions. */
    CLEANUP(closep) int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    /* Above the channel's number, which a child puts its channel at before it executes this. */
    s->exec_fd = exe < 0 ? -1 : fcntl(exe, F_DUPFD_CLOEXEC, ROLE_CHANNEL_FD + 1);
    if (s->exec_fd < 0)
        return err_sys(e, "our own program cannot be opened");
    role_harden();
    if (!role_descriptors(config_descriptors(s->source->config), e))
        return false;
    s->base = event_base_new();
    if (!s->base || !watch_init(&s->watch, s->base, s->exec_fd, &events, e) || !watch_signals(s))
        return err_set(e, ERR_NO_MEMORY, "out of memory");
    s->reload = (struct reload){ .watch = &s->watch, .source = &s->source, .file = file, .generation = 1,
                                 .ended = reload_ended, .ctx = s };
    if (!reload_init(&s->reload, s->base, e) || !sockets_open(&s->sockets, s->source->config, e))
        return false;
    s->watch.sockets = &s->sockets;
    source_begin(s->source, NULL, clock_steady_ms());
    watch_use(&s->watch, s->source, 1);
    sandbox_enter(ROLE_SUPERVISOR);
    if (sandbox_lack())
        log_warning("the sandbox has less than it could: %s", sandbox_lack());
    log_info("sandbox: %s", sandbox_state());
    watch_advance(&s->watch);
    return true;
}

static void clear(struct supervisor *s)
{
    struct event *events[] = { s->on_term, s->on_int, s->on_hup, s->drain_timeout };

    sockets_close(&s->sockets);
    reload_clear(&s->reload);
    watch_clear(&s->watch);
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        if (events[i])
            event_free(events[i]);
    if (s->base)
        event_base_free(s->base);
    if (s->exec_fd >= 0)
        close(s->exec_fd);
    source_free(s->source);
}

static struct source *load(const char *file)
{
    struct buf mistakes;

    buf_init(&mistakes, 256 * 1024);
    struct source *source = source_load(file, &mistakes);
    if (!source)
        fprintf(stderr, "%.*s", (int)mistakes.len, mistakes.data ? (const char *)mistakes.data : "");
    buf_clear(&mistakes);
    return source;
}

static int run(const char *file)
{
    struct supervisor s = { .exec_fd = -1, .sockets = { { .fd = -1 }, { .fd = -1 }, { .fd = -1 } } };
    struct err e;
    int status = 1;

    log_open("supervisor", LEVEL_INFO);
    s.source = load(file);
    if (!s.source)
        return SUPERVISOR_BAD_CONFIG;
    if (begin(&s, file, &e)) {
        event_base_dispatch(s.base);
        status = 0;
    } else {
        log_error("signetd cannot start: %s", e.text);
    }
    clear(&s);
    return status;
}

/* What the configuration names and is not there is no mistake of it: another machine may have it, or a later hour. */
static int check(const char *file)
{
    CLEANUP(buf_clear) struct buf missing;
    CLEANUP(source_freep) struct source *s = load(file);

    buf_init(&missing, 16 * 1024);
    source_missing_files(file, &missing);
    fprintf(stderr, "%.*s", (int)missing.len, missing.data ? (const char *)missing.data : "");
    if (!s)
        return SUPERVISOR_BAD_CONFIG;
    size_t rings = s->config->n_rings, profiles = s->config->n_profiles;
    printf("%s: nothing is wrong: %zu ring%s, %zu profile%s\n", file, rings, rings == 1 ? "" : "s", profiles,
           profiles == 1 ? "" : "s");
    return 0;
}

static int help(FILE *to, int status)
{
    fputs("Usage: signetd --config FILE [--check | --rehearse [--years N] [--seed N] [--json]]\n"
          "Signs and verifies JSON Web Tokens with keys that never leave their PKCS#11 token.\n\n"
          "  -c, --config FILE   the configuration, see signetd.conf(5)\n"
          "      --check         say all that is wrong with it and exit: 0, or 78\n"
          "      --rehearse      live through years of its rings on a virtual clock, say whether a\n"
          "                      living token was ever without its published key, and exit: 0, 1 it\n"
          "                      was or the file would be refused, or 78\n"
          "      --years N       how many, 1 to 100; without: 10\n"
          "      --seed N        the same run again\n"
          "      --json          its outcome as JSON\n"
          "      --version       say which version this is\n"
          "      --help          this\n\n"
          "TERM and INT end it when what is under way is answered, HUP reads the configuration again.\n", to);
    return status;
}

enum { OPT_CHECK = 256, OPT_HELP, OPT_JSON, OPT_REHEARSE, OPT_SEED, OPT_VERSION, OPT_YEARS };

struct command_line {
    const char *file;
    bool check, rehearse, rehearse_said;     /* rehearse_said: an option that only --rehearse has */
    struct rehearse_args args;
};

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && !*end && errno == 0 && *out >= min && *out <= max;
}

static bool rehearse_option(struct command_line *l, int o)
{
    uint64_t years;

    l->rehearse_said = true;
    switch (o) {
    case OPT_JSON:
        l->args.json = true;
        return true;
    case OPT_SEED:
        l->args.seed_said = true;
        return number(optarg, 0, INT64_MAX, &l->args.seed) ||
               (fprintf(stderr, "signetd: --seed '%s' is no number below 2^63\n", optarg), false);
    default:
        if (!number(optarg, 1, 100, &years))
            return fprintf(stderr, "signetd: --years '%s' is not between 1 and 100\n", optarg), false;
        l->args.years = (uint32_t)years;
        return true;
    }
}

/* What does not go together; NULL: all does. */
static const char *contradiction(const struct command_line *l, bool more)
{
    return !l->file                               ? "--config FILE is missing"
           : more                                 ? "one argument too many"
           : l->check && l->rehearse              ? "--check and --rehearse are two things"
           : l->rehearse_said && !l->rehearse     ? "--years, --seed and --json are of --rehearse" : NULL;
}

int supervisor_main(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' }, { "check", optional_argument, NULL, OPT_CHECK },
        { "help", no_argument, NULL, OPT_HELP }, { "json", no_argument, NULL, OPT_JSON },
        { "rehearse", no_argument, NULL, OPT_REHEARSE }, { "seed", required_argument, NULL, OPT_SEED },
        { "version", no_argument, NULL, OPT_VERSION }, { "years", required_argument, NULL, OPT_YEARS }, { 0 },
    };
    struct command_line l = { .args = { .years = 10 } };
    int o;

    while ((o = getopt_long(argc, argv, "c:", options, NULL)) != -1)
        switch (o) {
        case 'c':          l.file = optarg; break;
        case OPT_CHECK:    l.check = true; l.file = optarg ? optarg : l.file; break;
        case OPT_REHEARSE: l.rehearse = true; break;
        case OPT_HELP:     return help(stdout, 0);
        case OPT_VERSION:  puts("signetd " SIGNET_VERSION); return 0;
        case OPT_JSON: case OPT_SEED: case OPT_YEARS:
            if (rehearse_option(&l, o))
                break;
            return help(stderr, 2);
        default:           return help(stderr, 2);
        }
    if (l.check && !l.file && optind < argc)        /* signetd --check FILE */
        l.file = argv[optind++];
    const char *why = contradiction(&l, optind < argc);
    if (why) {
        fprintf(stderr, "signetd: %s\n", why);
        return help(stderr, 2);
    }
    return l.rehearse ? rehearse_file(l.file, &l.args) : l.check ? check(l.file) : run(l.file);
}
