#include "client/cli/plan.h"
#include "client/cli/ring.h"
#include "client/clock.h"

#include <errno.h>
#include <string.h>

/* --- a ring in words ----------------------------------------------------------------------------- */

static json_t *ring_json(const struct signet_ring *r)
{
    json_t *profiles = json_array();

    for (size_t i = 0; i < r->n_profiles; i++)
        json_array_append_new(profiles, json_string(r->profiles[i]));
    json_t *out = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "name",
                     r->status.name, "alg", r->status.alg, "active_kid", r->status.active_kid, "next_kid", r->status.next_kid,
                     "next_activates_at", (json_int_t)r->status.next_activates_at, "published",
                     (json_int_t)r->status.n_published, "reason", r->status.trouble.reason, "trouble",
                     r->status.trouble.text, "profiles", profiles, "rotate_every_s", (json_int_t)r->rotate_every_s,
                     "publish_ahead_s", (json_int_t)r->publish_ahead_s, "max_ttl_s", (json_int_t)r->max_ttl_s, "skew_s",
                     (json_int_t)r->skew_s, "jwks_max_age_s", (json_int_t)r->max_age_s, "refresh_s",
                     (json_int_t)r->refresh_s, "destroy_after_s", (json_int_t)r->destroy_after_s, "standby", r->standby);
    ring_add_json(out, &r->status);
    return out;
}

static const char *every(char out[32], const struct signet_ring *r)
{
    char span[16];

    snprintf(out, 32, "%s", r->rotate_every_s ? cli_span(span, r->rotate_every_s) : "never");
    return out;
}

static void put_line(const struct signet_ring *r)
{
    char span[32], when[80];

    printf("%-16s %-7s rotates %-6s ", r->status.name, r->status.alg, every(span, r));
    if (*r->status.active_kid)
        printf("%ssigns%s with %s", paint(PAINT_GOOD), paint_off(), r->status.active_kid);
    else
        printf("%sdoes not sign%s: %s", paint(PAINT_BAD), paint_off(), r->status.trouble.reason);
    if (*r->status.next_kid)
        printf(", next %s", cli_when(when, r->status.next_activates_at, clock_wall_s()));
    putchar('\n');
    ring_put_state(&r->status, "                 ");
}

static void put_span(const char *what, uint32_t s)
{
    char span[16];

    printf("  %-14s %s\n", what, cli_span(span, s));
}

static void put_keys(const struct signet_ring *r, const struct signet_key_list *keys)
{
    char when[80];

    for (size_t i = 0; i < keys->n; i++)
        if (strcmp(keys->keys[i].ring, r->status.name) == 0)
            printf("  %-14s %-8s %s%s%s, %s %s\n", "key", keys->keys[i].state, keys->keys[i].kid,
                   *keys->keys[i].token ? " on " : "", keys->keys[i].token, strcmp(keys->keys[i].state, "next") == 0 ? "signs from" : "activated",
                   cli_when(when, keys->keys[i].activates_at, clock_wall_s()));
}

static void put_whole(const struct signet_ring *r, const struct signet_key_list *keys)
{
    char span[32];

    printf("%s\n  algorithm      %s\n", r->status.name, r->status.alg);
    if (*r->status.active_kid) {
        printf("  signs with     %s", r->status.active_kid);
        ring_put_token(&r->status);
        putchar('\n');
    } else {
        printf("  does not sign  %s: %s\n", r->status.trouble.reason, r->status.trouble.text);
    }
    ring_put_state(&r->status, "  ");
    printf("  profiles       ");
    for (size_t i = 0; i < r->n_profiles; i++)
        printf("%s%s", i ? ", " : "", r->profiles[i]);
    printf("%s\n  published      %u\n  rotate_every   %s\n", r->n_profiles ? "" : "none", (unsigned)r->status.n_published,
           every(span, r));
    put_span("publish_ahead", r->publish_ahead_s);
    put_span("max_ttl", r->max_ttl_s);
    put_span("skew", r->skew_s);
    put_span("jwks_max_age", r->max_age_s);
    put_span("refresh", r->refresh_s);
    put_span("destroy_after", r->destroy_after_s);
    printf("  %-14s %s\n", "standby", r->standby ? "yes" : "no");
    put_keys(r, keys);
}

/* --- the commands ---------------------------------------------------------------------------------- */

static int put_all(const struct signet_ring_list *l, bool as_json)
{
    json_t *all = as_json ? json_array() : NULL;

    for (size_t i = 0; i < l->n; i++) {
        if (as_json)
            json_array_append_new(all, ring_json(&l->rings[i]));
        else
            put_line(&l->rings[i]);
    }
    return as_json ? cli_put_json(all) : cli_flushed();
}

static int list(int argc, char **argv)
{
    struct common c = { 0 };
    struct signet_error e;

    cli_parse_common(argc, argv, "Lists the rings: algorithm, how often each rotates, the key that signs, and when the next"
                     " takes over. Asks the admin socket.", &c);
    struct signet *s = cli_open_admin(&c);
    struct signet_ring_list *l = s ? signet_list_rings(s, &e) : NULL;
    int status = l ? put_all(l, c.json) : s ? cli_failed(&e) : EXIT_USAGE;
    signet_ring_list_free(l);
    signet_close(s);
    return status;
}

static int put_one(const struct signet_ring_list *l, const struct signet_key_list *keys, const char *name, bool as_json)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->rings[i].status.name, name) == 0) {
            if (as_json)
                return cli_put_json(ring_json(&l->rings[i]));
            put_whole(&l->rings[i], keys);
            return cli_flushed();
        }
    fprintf(stderr, "signet: UNKNOWN_RING: the configuration has no ring '%s'; it has ", name);
    for (size_t i = 0; i < l->n; i++)
        fprintf(stderr, "%s%s", i ? ", " : "", l->rings[i].status.name);
    fputc('\n', stderr);
    return EXIT_REFUSED;
}

static int show(int argc, char **argv)
{
    struct common c = { 0 };
    struct signet_error e;

    const char *name = cli_parse_one(argc, argv, "RING", "Shows a ring: which key signs and for which profiles, its"
                                     " settings, its keys. Asks the admin socket.", &c);
    struct signet *s = cli_open_admin(&c);
    struct signet_ring_list *l = s ? signet_list_rings(s, &e) : NULL;
    struct signet_key_list *keys = l ? signet_list_keys(s, &e) : NULL;
    int status = keys ? put_one(l, keys, name, c.json) : s ? cli_failed(&e) : EXIT_USAGE;
    signet_key_list_free(keys);
    signet_ring_list_free(l);
    signet_close(s);
    return status;
}

/* --- plan ------------------------------------------------------------------------------------------- */

struct plan_args { struct common common; const char *ring, *svg; uint32_t for_s; };

static error_t parse_plan(int key, char *arg, struct argp_state *state)
{
    struct plan_args *a = state->input;

    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &a->common; return 0;
    case 'g':           a->svg = arg; return 0;
    case 'f':
        if (!cli_duration(arg, &a->for_s) || a->for_s == 0)
            argp_error(state, "--for '%s' is no duration: write 90d, or 1y", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (a->ring)
            argp_error(state, "'%s' is one argument too many", arg);
        a->ring = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->ring)
            argp_error(state, "RING is missing");
        if (a->svg && strcmp(a->svg, "-") == 0 && a->common.json)
            argp_error(state, "--svg - and --json both print: name a file for one of them");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option plan_options[] = {
    { "for", 'f', "TIME", 0, "How far to look ahead; without: to the second rotation to come", 0 },
    { "svg", 'g', "FILE", 0, "Draw it into this file; -: print the drawing", 0 },
    { 0 },
};
static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 }, { 0 } };
static const struct argp plan_argp = {
    plan_options, parse_plan, "RING", "Shows what becomes of a ring's keys: which is published, signs, is retired, when each"
    " change is due and why that moment is safe. Asks the admin socket.", children, NULL, NULL,
};

static int draw(const struct signet_ring_plan *p, const char *path)
{
    if (strcmp(path, "-") == 0) {
        plan_svg(p, stdout);
        return cli_flushed();
    }
    FILE *f = fopen(path, "we");
    bool ok = f != NULL;

    if (f) {
        plan_svg(p, f);
        ok = !ferror(f);
        ok = fclose(f) == 0 && ok;
    }
    return ok ? EXIT_DONE : cli_usage("cannot write '%s': %s", path, strerror(errno));
}

static int put_plan(const struct signet_ring_plan *p, const struct plan_args *a)
{
    int status = a->svg ? draw(p, a->svg) : EXIT_DONE;

    if (status != EXIT_DONE)
        return status;
    if (a->common.json)
        return cli_put_json(plan_json(p));
    if (!a->svg)
        plan_put(p);
    return cli_flushed();
}

static int plan(int argc, char **argv)
{
    struct plan_args a = { 0 };
    struct signet_error e;

    argp_parse(&plan_argp, argc, argv, ARGP_IN_ORDER, NULL, &a);
    struct signet *s = cli_open_admin(&a.common);
    struct signet_ring_plan *p = s ? signet_plan_ring(s, a.ring, a.for_s ? clock_wall_s() + a.for_s : 0, &e) : NULL;
    int status = p ? put_plan(p, &a) : s ? cli_failed(&e) : EXIT_USAGE;
    signet_ring_plan_free(p);
    signet_close(s);
    return status;
}

static const struct command ring_commands[] = {
    { "list", "every ring", list },
    { "show", "one ring, its settings and keys", show },
    { "plan", "what becomes of its keys, and when", plan },
    { "rotate", "change to another key as soon as is safe, or now", ring_rotate },
    { "rehearse", "years of a configuration's rings in seconds", ring_rehearse },
    { NULL, NULL, NULL },
};

int cmd_ring(int argc, char **argv)
{
    return command_run("signet ring", "The rings: keys over time.", ring_commands, argc, argv);
}
