#include "client/cli/watch.h"

#include "client/cli/figures.h"
#include "client/cli/screen.h"
#include "client/cli/watch_page.h"
#include "client/clock.h"

#include <string.h>
#include <time.h>

#define ANSWER_MS 2000u                  /* who does not answer for so long is shown as lost */

struct watch {
    struct signet *daemon;
    struct signet_status *now, *before;
    struct signet_key_list *keys;
    int64_t now_ns, before_ns;           /* steady */
    struct look look;
};

/* --- looking ------------------------------------------------------------------------------- */

static void take(struct watch *w, struct signet_status *st)
{
    struct signet_error ignored;

    signet_status_free(w->before);
    w->before = w->now;
    w->before_ns = w->now_ns;
    w->now = st;
    w->now_ns = clock_steady_ns();
    signet_key_list_free(w->keys);
    w->keys = signet_list_keys(w->daemon, &ignored);
    bool same = figures_same_run(w->now, w->before);
    w->look.now = w->now;
    w->look.before = same ? w->before : NULL;
    w->look.apart_s = same ? (double)(w->now_ns - w->before_ns) / 1e9 : 0;
    w->look.keys = w->keys;
    w->look.at = clock_wall_s();
    w->look.lost = (struct signet_error){ 0 };
}

/* False with e: it is there, and will not answer us the next time either. */
static bool look(struct watch *w, struct signet_error *e)
{
    struct signet_status *st = signet_get_status(w->daemon, e);

    if (st) {
        take(w, st);
        return true;
    }
    if (e->code != SIGNET_UNAVAILABLE && e->code != SIGNET_DEADLINE_EXCEEDED && e->code != SIGNET_RESOURCE_EXHAUSTED)
        return false;
    if (!*w->look.lost.reason)
        w->look.lost_at = clock_wall_s();
    w->look.lost = *e;
    return true;
}

/* --- a line a look ---------------------------------------------------------------------------- */

static double per_s(const struct look *l, uint64_t n)
{
    return l->apart_s > 0 ? (double)n / l->apart_s : 0;
}

static uint64_t failed(const struct look *l)
{
    return figures_count(l->now, l->before, NULL, NULL) - figures_count(l->now, l->before, NULL, "OK");
}

static json_t *us_json(double us)
{
    return us < 0 || us > 1e9 ? json_null() : json_integer((json_int_t)(us + 0.5));
}

static json_t *op_json(const struct look *l, const char *op)
{
    return json_pack("{s:f, s:o, s:o}", "per_s", per_s(l, figures_count(l->now, l->before, op, "OK")), "p50_us",
                     us_json(figures_quantile(l->now, l->before, op, "total", 0.5)), "p99_us",
                     us_json(figures_quantile(l->now, l->before, op, "total", 0.99)));
}

static json_t *errors_json(const struct look *l)
{
    struct figures_reason reasons[FIGURES_MAX_REASONS];
    size_t n = figures_reasons(l->now, l->before, reasons);
    json_t *out = json_object();

    for (size_t i = 0; i < n && reasons[i].n; i++)
        json_object_set_new(out, reasons[i].reason, json_integer((json_int_t)reasons[i].n));
    return out;
}

static int put_json(const struct look *l)
{
    if (*l->lost.reason)
        return cli_put_json(json_pack("{s:I, s:b, s:o}", "at", (json_int_t)clock_wall_s(), "ready", 0, "trouble",
                                      cli_error_json(&l->lost)));
    return cli_put_json(json_pack("{s:I, s:b, s:o, s:f, s:o, s:o, s:f, s:o}", "at", (json_int_t)l->at, "ready", l->now->ready,
                                  "trouble", cli_error_json(&l->now->trouble), "since_s", l->apart_s, "sign",
                                  op_json(l, "sign"), "verify", op_json(l, "verify"), "errors_per_s", per_s(l, failed(l)),
                                  "errors", errors_json(l)));
}

static void put_op(const struct look *l, const char *op)
{
    char p50[16], p99[16];

    printf("  %s %.1f/s p50 %s p99 %s", op, per_s(l, figures_count(l->now, l->before, op, "OK")),
           figures_write_us(p50, figures_quantile(l->now, l->before, op, "total", 0.5)),
           figures_write_us(p99, figures_quantile(l->now, l->before, op, "total", 0.99)));
}

static void put_trouble(const struct signet_error *e)
{
    cli_put_text(e->reason);
    fputs(": ", stdout);
    cli_put_text(e->text);
}

static int put_words(const struct look *l)
{
    struct figures_reason reasons[FIGURES_MAX_REASONS];
    char when[32];
    time_t t = (time_t)clock_wall_s();
    struct tm tm;

    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
    printf("%s  ", when);
    if (*l->lost.reason) {
        fputs("no answer: ", stdout);
        put_trouble(&l->lost);
    } else {
        fputs(l->now->ready ? "ready" : "not ready: ", stdout);
        if (!l->now->ready)
            put_trouble(&l->now->trouble);
        put_op(l, "sign");
        put_op(l, "verify");
        printf("  errors %.1f/s", per_s(l, failed(l)));
        size_t n = figures_reasons(l->now, l->before, reasons);
        for (size_t i = 0; i < n && reasons[i].n; i++) {
            putchar(' ');
            cli_put_text(reasons[i].reason);
            printf(" %llu", (unsigned long long)reasons[i].n);
        }
    }
    putchar('\n');
    return cli_flushed();
}

/* --- the loop ------------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    return clock_steady_ns() / 1000000;
}

static void wait_until(int64_t at_ms)
{
    int64_t ms;

    while ((ms = at_ms - now_ms()) > 0)
        nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static int by_lines(struct watch *w, bool json, struct signet_error *e)
{
    int64_t next_ms = now_ms();

    for (;;) {
        if (!look(w, e))
            return -1;
        int status = json ? put_json(&w->look) : put_words(&w->look);
        if (status != EXIT_DONE)
            return status;
        next_ms += (int64_t)w->look.interval_s * 1000;
        if (next_ms < now_ms())          /* the look took longer: none is made up for */
            next_ms = now_ms();
        wait_until(next_ms);
    }
}

static int by_pages(struct watch *w, struct signet_error *e)
{
    for (;;) {
        int64_t next_ms = now_ms() + (int64_t)w->look.interval_s * 1000;
        if (!look(w, e))
            return -1;
        enum screen_event event = SCREEN_CHANGED;
        while (event == SCREEN_CHANGED) {
            screen_begin();
            watch_page(&w->look);
            if (!screen_show())
                return EXIT_DONE;
            event = screen_wait(next_ms - now_ms());
        }
        if (event == SCREEN_QUIT)
            return EXIT_DONE;
    }
}

int watch_run(const struct common *c, uint32_t interval_s)
{
    struct watch w = { .daemon = cli_open_admin(c), .look = { .interval_s = interval_s } };
    struct signet_error e;
    int status;

    if (!w.daemon)
        return EXIT_REFUSED;
    signet_set_timeout(w.daemon, ANSWER_MS);
    if (!c->json && screen_open()) {
        status = by_pages(&w, &e);
        screen_close();
    } else {
        status = by_lines(&w, c->json, &e);
    }
    if (status < 0)
        status = cli_failed(&e);
    signet_status_free(w.now);
    signet_status_free(w.before);
    signet_key_list_free(w.keys);
    signet_close(w.daemon);
    return status;
}
