#include "client/cli/cli.h"

#include <string.h>

struct args { struct common common; const char *name; };

/* --- JSON ------------------------------------------------------------------------------------------ */

static json_t *names_json(const char *const *names, size_t n)
{
    json_t *all = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, json_string(names[i]));
    return all;
}

json_t *cli_profile_json(const struct signet_profile *p)
{
    return json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:b, s:i, s:i, s:i}", "name", p->name, "issuer", p->issuer,
                     "audiences", names_json(p->audiences, p->n_audiences), "typ", p->typ, "alg", p->alg,
                     "ring", p->ring, "raw", p->raw, "leeway_s", (int)p->leeway_s, "ttl_s", (int)p->ttl_s,
                     "max_ttl_s", (int)p->max_ttl_s);
}

static json_t *claims_json(const struct signet_profile_rules *r)
{
    json_t *fixed = json_object();

    for (size_t i = 0; i < r->n_fixed; i++)
        json_object_set_new(fixed, r->fixed[i].name, json_loads(r->fixed[i].json, JSON_DECODE_ANY, NULL));
    return json_pack("{s:o, s:o, s:o, s:o}", "allowed",
                     r->any_claim ? json_string("any") : names_json(r->allowed, r->n_allowed), "required",
                     names_json(r->required, r->n_required), "forbidden", names_json(r->forbidden, r->n_forbidden),
                     "fixed", fixed);
}

static json_t *rules_json(const struct signet_profile_rules *r)
{
    json_t *out = cli_profile_json(&r->profile);

    json_object_set_new(out, "may_sign", json_boolean(r->may_sign));
    json_object_set_new(out, "may_verify", json_boolean(r->may_verify));
    if (r->may_sign)
        json_object_set_new(out, "rate_per_s", json_integer(r->rate_per_s));
    if (r->may_sign && !r->profile.raw) {
        json_object_set_new(out, "subject", json_string(r->subject));
        json_object_set_new(out, "claims", claims_json(r));
    }
    return out;
}

/* --- words ------------------------------------------------------------------------------------------- */

static const char *lives(char out[48], const struct signet_profile *p)
{
    char usual[16], most[16];

    if (p->raw)
        return strcpy(out, "-");
    if (p->ttl_s == p->max_ttl_s)
        snprintf(out, 48, "%s", cli_span(usual, p->ttl_s));
    else
        snprintf(out, 48, "%s, at most %s", cli_span(usual, p->ttl_s), cli_span(most, p->max_ttl_s));
    return out;
}

static const char *may(const struct signet_profile_rules *r)
{
    return !r->may_sign ? "verify" : !r->may_verify ? "sign" : "sign, verify";
}

static void put_names(const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cli_put_text(i ? ", " : "");
        cli_put_text(names[i]);
    }
}

static void put_line(const struct signet_profile_rules *r, int width)
{
    const struct signet_profile *p = &r->profile;
    char time[48];

    printf("%-*s  %-7s %-13s %-20s ", width, p->name, p->alg, may(r), lives(time, p));
    put_names(p->audiences, p->n_audiences);
    puts(p->raw ? "any payload as it is" : "");
}

static void put_row(const char *what, const char *text)
{
    printf("  %-13s ", what);
    cli_put_text(text);
    putchar('\n');
}

static void put_list(const char *what, const char *const *names, size_t n)
{
    printf("  %-13s ", what);
    put_names(names, n);
    putchar('\n');
}

static bool has(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static const char *subject(const struct signet_profile_rules *r)
{
    if (strcmp(r->subject, "caller") == 0)
        return "always the caller's user name";
    return has(r->required, r->n_required, "sub") ? "any, required" : "any, or none";
}

static void put_claims(const struct signet_profile_rules *r)
{
    if (r->any_claim)
        put_row("allowed", "any claim");
    else if (r->n_allowed)
        put_list("allowed", r->allowed, r->n_allowed);
    else
        put_row("allowed", "no claim");
    if (r->n_required)
        put_list("required", r->required, r->n_required);
    if (r->n_forbidden)
        put_list("forbidden", r->forbidden, r->n_forbidden);
    for (size_t i = 0; i < r->n_fixed; i++) {
        printf("  %-13s ", i ? "" : "fixed");
        cli_put_text(r->fixed[i].name);
        cli_put_text(" = ");
        cli_put_text(r->fixed[i].json);
        putchar('\n');
    }
}

/* "name=TEXT" as one word of a shell's line. */
static void put_claim_word(const char *name)
{
    const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:";
    bool quoted = name[strspn(name, plain)];

    cli_put_text(quoted ? "'" : "");
    for (const char *at = name; *at; at++)
        cli_put_text(*at == '\'' ? "'\\''" : (char[]){ *at, '\0' });
    cli_put_text(quoted ? "=TEXT'" : "=TEXT");
}

static bool is_given(const struct signet_profile_rules *r, const char *claim)
{
    for (size_t i = 0; i < r->n_fixed; i++)
        if (strcmp(r->fixed[i].name, claim) == 0)
            return false;
    return strcmp(claim, "sub") != 0;
}

/* With what it must have, to be copied. */
static void put_example(const struct signet_profile_rules *r)
{
    printf("\n  signet sign --profile %s", r->profile.name);
    if (r->profile.raw)
        fputs(" --payload FILE", stdout);
    else if (strcmp(r->subject, "any") == 0 && has(r->required, r->n_required, "sub"))
        fputs(" --subject SUBJECT", stdout);
    for (size_t i = 0; i < r->n_required; i++)
        if (is_given(r, r->required[i])) {
            fputs(" --claim ", stdout);
            put_claim_word(r->required[i]);
        }
    putchar('\n');
}

static void put_jwt(const struct signet_profile_rules *r)
{
    const struct signet_profile *p = &r->profile;
    char text[48];

    put_row("issuer", p->issuer);
    put_list("audiences", p->audiences, p->n_audiences);
    put_row("lives", lives(text, p));
    put_row("leeway", cli_span(text, p->leeway_s));
    if (!r->may_sign)
        return;
    put_row("subject", subject(r));
    put_claims(r);
}

static void put_whole(const struct signet_profile_rules *r)
{
    const struct signet_profile *p = &r->profile;

    puts(p->name);
    put_row("you may", may(r));
    put_row("ring", p->ring);
    put_row("algorithm", p->alg);
    put_row("typ", p->typ);
    if (p->raw)
        put_row("signs", "any payload as it is");
    else
        put_jwt(r);
    if (!r->may_sign)
        return;
    if (r->rate_per_s)
        printf("  %-13s %u a second\n", "rate", (unsigned)r->rate_per_s);
    else
        put_row("rate", "unlimited");
    put_example(r);
}

/* --- the commands -------------------------------------------------------------------------------------- */

static int flushed(void)
{
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_REFUSED;
}

static int show_all(const struct signet_profile_list *l, const struct args *a)
{
    int width = 0;

    if (a->common.json) {
        json_t *all = json_array();
        for (size_t i = 0; i < l->n; i++)
            json_array_append_new(all, rules_json(&l->profiles[i]));
        return cli_put_json(all);
    }
    for (size_t i = 0; i < l->n; i++) {
        int len = (int)strlen(l->profiles[i].profile.name);
        width = len > width ? len : width;
    }
    for (size_t i = 0; i < l->n; i++)
        put_line(&l->profiles[i], width);
    if (l->n == 0)
        fputs("No profile lets you sign or verify.\n", stderr);
    return flushed();
}

static int show_one(const struct signet_profile_list *l, const struct args *a)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->profiles[i].profile.name, a->name) == 0) {
            if (a->common.json)
                return cli_put_json(rules_json(&l->profiles[i]));
            put_whole(&l->profiles[i]);
            return flushed();
        }
    fprintf(stderr, "signet: UNKNOWN_PROFILE: no profile '%s' lets you sign or verify; %s", a->name,
            l->n ? "those that do: " : "no other does");
    for (size_t i = 0; i < l->n; i++)
        fprintf(stderr, "%s%s", i ? ", " : "", l->profiles[i].profile.name);
    fputc('\n', stderr);
    return EXIT_REFUSED;
}

/* Asks for the list and hands it on. */
static int with_list(const struct args *a, int (*then)(const struct signet_profile_list *l, const struct args *a))
{
    struct signet_error e;
    struct signet *s = cli_open(&a->common);
    struct signet_profile_list *l = s ? signet_list_profiles(s, &e) : NULL;
    int status = l ? then(l, a) : s ? cli_failed(&e) : EXIT_USAGE;

    signet_profile_list_free(l);
    signet_close(s);
    return status;
}

static int list(int argc, char **argv)
{
    struct args a = { 0 };

    cli_parse_common(argc, argv, "Lists the profiles that let you sign or verify: algorithm, what you may, for how long a"
                     " token lives, for whom it is.", &a.common);
    return with_list(&a, show_all);
}

static int show(int argc, char **argv)
{
    struct args a = { 0 };

    a.name = cli_parse_one(argc, argv, "NAME", "Shows a profile that lets you sign or verify: its claims, times and"
                           " limits, and a command to begin with.", &a.common);
    return with_list(&a, show_one);
}

static const struct command profile_commands[] = {
    { "list", "every profile that lets you sign or verify", list },
    { "show", "one profile: which claims, for how long, for whom", show },
    { NULL, NULL, NULL },
};

int cmd_profile(int argc, char **argv)
{
    return command_run("signet profile", "What you may have signed and verified.", profile_commands, argc, argv);
}
