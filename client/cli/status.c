#include "client/cli/cli.h"
#include "client/cli/figures.h"
#include "client/cli/ring.h"
#include "client/cli/watch.h"
#include "client/clock.h"

#include <string.h>

#define INTERVAL_S 2u
#define MAX_INTERVAL_S 3600u

struct args { struct common common; bool admin, watch; uint32_t interval_s; };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;

    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &a->common; return 0;
    case 'A':           a->admin = true; return 0;
    case 'w':           a->watch = true; return 0;
    case 'i':
        if (!cli_duration(arg, &a->interval_s) || a->interval_s == 0 || a->interval_s > MAX_INTERVAL_S)
            argp_error(state, "--interval wants 1s to 1h, not '%s'", arg);
        return 0;
    case ARGP_KEY_END:
        if (a->interval_s && !a->watch)
            argp_error(state, "--interval belongs to --watch");
        return 0;
    case ARGP_KEY_ARG:  argp_error(state, "'%s' is no option", arg); return 0;
    default:            return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    { "admin", 'A', NULL, 0, "Ask the admin socket: notices, sandbox, signers, counters and requests too", 0 },
    { "watch", 'w', NULL, 0, "Look again and again, on the admin socket: a page on a terminal until q is typed, else a line"
      " a look", 0 },
    { "interval", 'i', "TIME", 0, "Between two looks; without: 2s", 0 },
    { 0 },
};
static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 }, { 0 } };
static const struct argp argp = {
    options, parse, "", "Shows how the daemon, its token and its rings are. Exits with 3 when it cannot sign.", children,
    NULL, NULL,
};

/* --- JSON ----------------------------------------------------------------------------------------- */

static json_t *rings_json(const struct signet_status *st)
{
    json_t *all = json_array();

    for (size_t i = 0; i < st->n_rings; i++) {
        const struct signet_ring_status *r = &st->rings[i];
        json_t *out = json_pack("{s:s, s:s, s:s, s:s, s:I, s:i, s:o}", "name", r->name, "alg", r->alg, "active_kid",
                                r->active_kid, "next_kid", r->next_kid, "next_activates_at",
                                (json_int_t)r->next_activates_at, "published", (int)r->n_published, "trouble",
                                cli_error_json(&r->trouble));
        ring_add_json(out, r);
        json_array_append_new(all, out);
    }
    return all;
}

static json_t *mechanisms_json(const struct signet_status *st)
{
    json_t *all = json_array();

    for (size_t i = 0; i < st->n_mechanisms; i++)
        json_array_append_new(all, json_pack("{s:s, s:s, s:b}", "alg", st->mechanisms[i].alg, "mechanism",
                                             st->mechanisms[i].mechanism, "proved", st->mechanisms[i].proved));
    return all;
}

static json_t *signers_json(const struct signet_status *st)
{
    json_t *all = json_array();

    for (size_t i = 0; i < st->n_signers; i++) {
        const struct signet_signer_status *s = &st->signers[i];
        json_array_append_new(all, json_pack("{s:i, s:i, s:s, s:s, s:I, s:i}", "number", (int)s->number, "pid", (int)s->pid,
                                             "state", s->state, "why", s->why, "signatures", (json_int_t)s->signatures,
                                             "restarts", (int)s->restarts));
    }
    return all;
}

static json_t *tokens_json(const struct signet_status *st)
{
    json_t *all = json_array();

    for (size_t i = 0; i < st->n_tokens; i++) {
        const struct signet_token_status *t = &st->tokens[i];
        json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:o}", "name", t->name, "label", t->label,
                                             "manufacturer", t->manufacturer, "model", t->model, "serial", t->serial,
                                             "software", t->software, "custody", t->custody, "trouble",
                                             cli_error_json(&t->trouble)));
    }
    return all;
}

static json_t *counters_json(const struct signet_status *st)
{
    json_t *all = json_object();

    for (size_t i = 0; i < st->n_counters; i++)
        json_object_set_new(all, st->counters[i].name, json_integer((json_int_t)st->counters[i].value));
    return all;
}

static json_t *notices_json(const struct signet_status *st)
{
    json_t *all = json_array();

    for (size_t i = 0; i < st->n_notices; i++)
        json_array_append_new(all, json_string(st->notices[i]));
    return all;
}

static json_t *status_json(const struct signet_status *st, bool admin)
{
    json_t *token = json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:o}", "label", st->token_label, "manufacturer",
                              st->token_manufacturer, "model", st->token_model, "serial", st->token_serial, "software",
                              st->token_software, "custody", st->custody, "mechanisms", mechanisms_json(st));
    json_t *out = json_pack("{s:s, s:I, s:b, s:o, s:o, s:o}", "version", st->version, "started_at",
                            (json_int_t)st->started_at, "ready", st->ready, "trouble", cli_error_json(&st->trouble), "token",
                            token, "rings", rings_json(st));

    if (out)
        json_object_set_new(out, "tokens", tokens_json(st));
    if (out && admin) {
        json_object_set_new(out, "notices", notices_json(st));
        json_object_set_new(out, "sandbox", json_string(st->sandbox));
        json_object_set_new(out, "signers", signers_json(st));
        json_object_set_new(out, "counters", counters_json(st));
        json_object_set_new(out, "proved_at", json_integer((json_int_t)st->proved_at));
        json_object_set_new(out, "results", figures_results_json(st));
        json_object_set_new(out, "stages", figures_stages_json(st));
        json_object_set_new(out, "refusals", figures_refusals_json(st));
        json_object_set_new(out, "config_generation", json_integer(st->config_generation));
        json_object_set_new(out, "pid", json_integer(st->pid));
    }
    return out;
}

/* --- words ------------------------------------------------------------------------------------------ */

static void put_ring(const struct signet_ring_status *r, int64_t now)
{
    char when[80];

    printf("  %-16s %-7s ", r->name, r->alg);
    if (*r->active_kid)
        printf("%ssigns%s with %s", paint(PAINT_GOOD), paint_off(), r->active_kid);
    else
        printf("%sdoes not sign%s: %s: %s", paint(PAINT_BAD), paint_off(), r->trouble.reason, r->trouble.text);
    ring_put_token(r);
    if (*r->next_kid)
        printf("\n%-27snext is %s, %s", "", r->next_kid, cli_when(when, r->next_activates_at, now));
    putchar('\n');
    ring_put_state(r, "                           ");
}

/* A mechanism is proved by a key: without one there is nothing wrong with it. */
static bool has_key(const struct signet_status *st, const char *alg)
{
    for (size_t i = 0; i < st->n_rings; i++)
        if (strcmp(st->rings[i].alg, alg) == 0 && *st->rings[i].active_kid)
            return true;
    return false;
}

static void put_mechanisms(const struct signet_status *st)
{
    puts("algorithms");
    for (size_t i = 0; i < st->n_mechanisms; i++) {
        const char *alg = st->mechanisms[i].alg, *name = st->mechanisms[i].mechanism;
        if (*name)
            printf("  %-7s by %s%s\n", alg, name, st->mechanisms[i].proved ? "" :
                   has_key(st, alg) ? ", not proved" : ", no key yet");
    }
}

static void put_tokens(const struct signet_status *st)
{
    for (size_t i = 0; i < st->n_tokens && st->n_tokens > 1; i++) {
        const struct signet_token_status *t = &st->tokens[i];
        printf("token %s: ", t->name);
        if (*t->trouble.reason)
            printf("%scannot be used%s: %s: %s\n", paint(PAINT_BAD), paint_off(), t->trouble.reason, t->trouble.text);
        else
            printf("%s (%s, %s)%s\n  custody: %s\n", t->label, t->manufacturer, t->model,
                   t->software ? ", software: its keys are files" : "", t->custody);
    }
}

static void put_times(const struct signet_status *st, const char *op)
{
    static const char *const stages[] = { "total", "queue", "token" };
    char p50[16], p99[16];

    if (figures_quantile(st, NULL, op, "total", 0.5) < 0)
        return;
    printf("  %-22s", op);
    for (size_t i = 0; i < ARRAY_LEN(stages); i++)
        printf("%s %s %s, %s", i ? ";" : " p50, p99:", stages[i],
               figures_write_us(p50, figures_quantile(st, NULL, op, stages[i], 0.5)),
               figures_write_us(p99, figures_quantile(st, NULL, op, stages[i], 0.99)));
    putchar('\n');
}

/* Of all profiles together: --json has each. */
static void put_requests(const struct signet_status *st)
{
    struct figures_reason reasons[FIGURES_MAX_REASONS];
    size_t n = figures_reasons(st, NULL, reasons);

    puts("requests since the start");
    printf("  %-22s %llu\n", "OK", (unsigned long long)figures_count(st, NULL, NULL, "OK"));
    for (size_t i = 0; i < n; i++) {
        fputs("  ", stdout);
        cli_put_text(reasons[i].reason);
        printf("%*s %llu\n", (int)strlen(reasons[i].reason) < 22 ? 22 - (int)strlen(reasons[i].reason) : 0, "",
               (unsigned long long)reasons[i].n_all);
    }
    put_times(st, "sign");
    put_times(st, "verify");
}

static void put_words(const struct signet_status *st, bool admin)
{
    int64_t now = clock_wall_s();
    char when[80];

    printf("signetd %s, started %s: %s%s%s\n", st->version, cli_when(when, st->started_at, now),
           paint(st->ready ? PAINT_GOOD : PAINT_BAD), st->ready ? "ready" : "not ready", paint_off());
    if (!st->ready)
        printf("  %s: %s\n", st->trouble.reason, st->trouble.text);
    for (size_t i = 0; i < st->n_notices; i++)
        printf("  %s%s%s\n", paint(PAINT_WARN), st->notices[i], paint_off());
    put_tokens(st);
    if (*st->token_label && st->n_tokens < 2)
        printf("token %s (%s, %s)%s\n  custody: %s\n", st->token_label, st->token_manufacturer, st->token_model,
               st->token_software ? ", software: its keys are files" : "", st->custody);
    if (*st->token_label)
        put_mechanisms(st);
    puts("rings");
    for (size_t i = 0; i < st->n_rings; i++)
        put_ring(&st->rings[i], now);
    if (!admin)
        return;
    printf("sandbox %s\n", st->sandbox);
    puts("signers");
    for (size_t i = 0; i < st->n_signers; i++) {
        const struct signet_signer_status *s = &st->signers[i];
        printf("  %u %s, process %u, %llu done, %u restarts%s%s\n", (unsigned)s->number, s->state, (unsigned)s->pid,
               (unsigned long long)s->signatures, (unsigned)s->restarts, *s->why ? ": " : "", s->why);
    }
    puts("counters");
    for (size_t i = 0; i < st->n_counters; i++)
        printf("  %-22s %llu\n", st->counters[i].name, (unsigned long long)st->counters[i].value);
    put_requests(st);
}

int cmd_status(int argc, char **argv)
{
    struct args a = { 0 };
    struct signet_error e;
    int status = EXIT_USAGE;

    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a);
    if (a.watch)
        return watch_run(&a.common, a.interval_s ? a.interval_s : INTERVAL_S);
    struct signet *s = a.admin ? cli_open_admin(&a.common) : cli_open(&a.common);
    struct signet_status *st = s ? signet_get_status(s, &e) : NULL;
    if (st) {
        status = st->ready ? EXIT_DONE : EXIT_LATER;
        if (a.common.json)
            cli_put_json(status_json(st, a.admin));
        else
            put_words(st, a.admin);
        fflush(stdout);
    } else if (s) {
        status = cli_failed(&e);
    }
    signet_status_free(st);
    signet_close(s);
    return status;
}
