/* The roles that watch starts here are this program: signers that are refused the token, and lie about why. */
#include "daemon/supervisor/watch.h"

#include "tests/support/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

/* --- a role ----------------------------------------------------------------------------------- */

static void say_ready(struct channel *c, uint32_t generation)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Ready ready = SIGNET__ROLE__READY__INIT;
    struct err e;

    ready.generation = generation;
    m.of_case = OF(READY);
    m.ready = &ready;
    channel_send(c, &m, -1, &e);
}

static void say_failed(struct channel *c)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__SignerState s = SIGNET__ROLE__SIGNER_STATE__INIT;
    Signet__Role__Why why = SIGNET__ROLE__WHY__INIT;
    struct err e;

    why.reason = ERR_PIN_WRONG;
    why.text = "no\nMAINPID=1\nSTATUS=signing with 2 of 2 signers\x1b[2J";
    s.state = SIGNET__ROLE__SIGNER_STATE__STATE__FAILED;
    s.why = &why;
    m.of_case = OF(SIGNER_STATE);
    m.signer_state = &s;
    channel_send(c, &m, -1, &e);
}

static void answer(struct channel *c, const Message *m)
{
    if (m->of_case == OF(CONFIG))
        say_ready(c, m->config->generation);
    if (m->of_case == OF(SWITCH))
        say_failed(c);
}

static _Noreturn void be_role(enum role_kind kind)
{
    struct channel *c = channel_new(ROLE_CHANNEL_FD);
    struct pollfd p = { .fd = ROLE_CHANNEL_FD, .events = POLLIN };
    bool bad = false;
    int fd;

    while (poll(&p, 1, -1) > 0 && channel_fill(c) != CHANNEL_GONE && !bad) {
        for (Message *m; (m = channel_next(c, &fd, &bad)); channel_done(m))
            if (kind == ROLE_SIGNER)
                answer(c, m);
        channel_flush(c);
    }
    _exit(0);
}

/* --- who watches ---------------------------------------------------------------------------------- */

static char directory[] = "/tmp/signet-watch-XXXXXX", conf[64], pin[64];

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fputs(text, f);
    fclose(f);
}

static struct source *load(void)
{
    struct buf mistakes;
    char text[1000];

    snprintf(text, sizeof text, "daemon: {verifiers: 1}\ntoken: {module: none, uri: 'pkcs11:token=t', signers: 1, pin_file: %s}\n"
             "rings: {web: {alg: ES256}}\nprofiles: {p: {ring: web, issuer: i, audiences: [a]}}\n", pin);
    write_file(conf, text);
    buf_init(&mistakes, 4096);
    struct source *s = source_load(conf, &mistakes);
    if (!s)
        unit_same_str("the configuration", (char *)mistakes.data, "");
    buf_clear(&mistakes);
    return s;
}

static void ignore_reload(void *ctx, uint64_t id) {}
static void ignore_ready(void *ctx, struct child *c) {}
static void ignore_refused(void *ctx, struct child *c, const char *why) {}
static void ignore(void *ctx) {}
static const struct watch_events events = { NULL, ignore_reload, ignore_ready, ignore_refused, ignore, ignore };

struct watched { struct watch w; struct event_base *base; struct source *source; int exec_fd; };

static void begin(struct watched *t)
{
    struct err e;

    write_file(pin, "1234\n");
    t->base = event_base_new();
    t->exec_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    t->source = load();
    CU_ASSERT_FATAL(t->source && t->exec_fd > ROLE_CHANNEL_FD && watch_init(&t->w, t->base, t->exec_fd, &events, &e));
    watch_use(&t->w, t->source, 1);
    watch_advance(&t->w);
}

static void turn(struct watched *t)
{
    event_base_loop(t->base, EVLOOP_ONCE);
}

static bool stop_one(void *ctx, struct child *c)
{
    child_stop(c);
    return true;
}

static void end(struct watched *t)
{
    t->w.paused = true;
    watch_each(&t->w, stop_one, NULL);
    while (!watch_all_down(&t->w))
        turn(t);
    watch_clear(&t->w);
    event_base_free(t->base);
    close(t->exec_fd);
    source_free(t->source);
}

static void a_signer_adds_no_line_to_the_status(void)
{
    struct watched t;

    begin(&t);
    while (t.w.tokens[0].signers[0].state != CHILD_FAILED)
        turn(&t);
    CU_ASSERT_PTR_NOT_NULL(strstr(watch_trouble(&t.w), "PIN_WRONG"));
    CU_ASSERT_PTR_NOT_NULL(strstr(watch_trouble(&t.w), "MAINPID"));
    for (const char *at = watch_trouble(&t.w); *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7F)
            unit_same_int("a character", *at, ' ');
    end(&t);
}

static void a_refused_pin_is_not_tried_again_before_its_source_changes(void)
{
    struct watched t;

    begin(&t);
    while (t.w.tokens[0].signers[0].state != CHILD_FAILED)
        turn(&t);
    pid_t first = t.w.tokens[0].signers[0].pid;
    for (uint32_t generation = 2; generation < 5; generation++) {
        watch_use(&t.w, t.source, generation);
        watch_resume(&t.w);
        unit_same_int("still the one that was refused", t.w.tokens[0].signers[0].state, CHILD_FAILED);
    }
    write_file(pin, "another\n");
    while (t.w.tokens[0].signers[0].state != CHILD_FAILED || t.w.tokens[0].signers[0].pid == first)
        turn(&t);
    end(&t);
}

static void one_that_was_of_use_for_long_has_not_failed_in_a_row(void)
{
    static const struct { const char *name; int64_t up_for_ms; unsigned want; } cases[] = {
        { "it had just come up", 0, 8 }, { "it was of use for long", PLAN_STEADY_MS, 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct watched t;
        struct child *c = &t.w.tokens[0].signers[0];

        begin(&t);
        while (c->state != CHILD_FAILED)
            turn(&t);
        c->failures = 7;
        child_enter(c, CHILD_UP);
        c->up_ms -= cases[i].up_for_ms;
        watch_use(&t.w, t.source, 2);        /* it says again that it failed */
        watch_send_config(c, t.source, 2);
        while (c->ready != 2)
            turn(&t);
        watch_resume(&t.w);
        while (c->state != CHILD_FAILED)
            turn(&t);
        unit_same_int(cases[i].name, c->failures, cases[i].want);
        end(&t);
    }
}

static const struct unit_case cases[] = {
    { "a signer adds no line to what the service manager is told", a_signer_adds_no_line_to_the_status },
    { "a refused PIN is not tried again before its source changes", a_refused_pin_is_not_tried_again_before_its_source_changes },
    { "one that was of use for long has not failed in a row", one_that_was_of_use_for_long_has_not_failed_in_a_row },
};

int main(int argc, char **argv)
{
    unsigned number;
    enum role_kind kind = role_of(argv[0], &number);

    if (kind != ROLE_SUPERVISOR)
        be_role(kind);
    if (!mkdtemp(directory))
        return 100;
    snprintf(conf, sizeof conf, "%s/conf", directory);
    snprintf(pin, sizeof pin, "%s/pin", directory);
    int status = unit_run(cases, ARRAY_LEN(cases));
    unlink(conf);
    unlink(pin);
    rmdir(directory);
    return status;
}
