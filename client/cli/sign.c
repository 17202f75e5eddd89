#include "client/cli/cli.h"
#include "client/cli/inspect.h"
#include "proto/jose/b64url.h"
#include "proto/jose/json.h"

#include <string.h>

#define MAX_AUDIENCES 64
#define MAX_CLAIMS 128

struct args {
    struct common common;
    const char *profile, *subject, *jti, *claims_file, *payload_file, *ttl, *not_before;
    const char *audiences[MAX_AUDIENCES];
    size_t n_audiences;
    const char *claims[MAX_CLAIMS];
    size_t n_claims;
    bool dry_run;
};

enum { KEY_CLAIMS = 256, KEY_PAYLOAD, KEY_JTI, KEY_NOT_BEFORE, KEY_DRY_RUN };

static const struct argp_option options[] = {
    { "profile", 'p', "NAME", 0, "The profile to sign with", 0 },
    { "subject", 'S', "SUBJECT", 0, "Who the token is about (sub)", 0 },
    { "audience", 'a', "AUDIENCE", 0, "For whom (aud); may be repeated. Without: the profile's first", 0 },
    { "ttl", 't', "TIME", 0, "How long it lives: 10m, 2h. Without: the profile's", 0 },
    { "claim", 'c', "NAME=TEXT", 0, "A claim; NAME:=JSON for a value that is no text. May be repeated", 0 },
    { "claims", KEY_CLAIMS, "FILE", 0, "Claims: a JSON object, - for stdin", 0 },
    { "jti", KEY_JTI, "ID", 0, "The token's id. Without: 128 random bits", 0 },
    { "not-before", KEY_NOT_BEFORE, "TIME", 0, "Valid from then on: Unix seconds or 2026-11-24T10:00:00Z", 0 },
    { "payload", KEY_PAYLOAD, "FILE", 0, "With a raw profile: these bytes as they are, - for stdin", 0 },
    { "dry-run", KEY_DRY_RUN, NULL, 0, "Sign nothing: print the header and payload that would be signed, or the refusal", 0 },
    { 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;

    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &a->common; return 0;
    case 'p':           a->profile = arg; return 0;
    case 'S':           a->subject = arg; return 0;
    case 't':           a->ttl = arg; return 0;
    case KEY_CLAIMS:    a->claims_file = arg; return 0;
    case KEY_PAYLOAD:   a->payload_file = arg; return 0;
    case KEY_JTI:       a->jti = arg; return 0;
    case KEY_NOT_BEFORE: a->not_before = arg; return 0;
    case KEY_DRY_RUN:   a->dry_run = true; return 0;
    case 'a':
        if (a->n_audiences == MAX_AUDIENCES)
            argp_error(state, "more than %d audiences", MAX_AUDIENCES);
        a->audiences[a->n_audiences++] = arg;
        return 0;
    case 'c':
        if (a->n_claims == MAX_CLAIMS)
            argp_error(state, "more than %d claims", MAX_CLAIMS);
        a->claims[a->n_claims++] = arg;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is no option", arg);
        return 0;
    case ARGP_KEY_END:
        if (!a->profile)
            argp_error(state, "--profile is missing");
        if (a->payload_file && (a->subject || a->n_audiences || a->ttl || a->n_claims || a->claims_file || a->jti || a->not_before))
            argp_error(state, "--payload is the whole payload: no subject, audience, ttl or claim goes beside it");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 }, { 0 } };
static const struct argp argp = { options, parse, "", "Has a token signed and prints it.", children, NULL, NULL };

/* "name":value appended, after a comma where it is not the first. */
static bool append_member(struct buf *out, const char *name, const char *value, size_t len)
{
    return (out->len <= 1 || buf_append_char(out, ',')) && json_append_string(out, name) &&
           buf_append_char(out, ':') && buf_append(out, value, len);
}

static bool append_claim(struct buf *out, const char *claim)
{
    const char *eq = strchr(claim, '=');
    bool is_json = eq && eq > claim && eq[-1] == ':';
    CLEANUP(freep) char *name = eq ? strndup(claim, (size_t)(eq - claim - is_json)) : NULL;

    if (!name || !*name) {
        cli_usage("--claim '%s': write NAME=TEXT or NAME:=JSON", claim);
        return false;
    }
    json_t *v = is_json ? json_loads(eq + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL) : json_string(eq + 1);
    CLEANUP(freep) char *text = v && !is_json ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
    bool ok = v && append_member(out, name, is_json ? eq + 1 : text, strlen(is_json ? eq + 1 : text));
    json_decref(v);
    if (!ok)
        cli_usage(is_json ? "--claim '%s': what stands behind := is no JSON (a text needs quotes there)"
                          : "--claim '%s': is no UTF-8, or too long", claim);
    return ok;
}

/* The members of the file's object, as written. */
static bool append_file(struct buf *out, const char *path)
{
    CLEANUP(buf_clear) struct buf file;
    struct json_member *m = NULL;
    size_t n = 0;
    struct err e;

    if (!cli_read(path, &file, CLI_MAX_FILE))
        return false;
    json_t *o = json_object_read(file.data, file.len, ERR_CLAIMS_MALFORMED, &e);
    bool ok = o && json_members(o, file.data, file.len, &m, &n, &e);
    if (!ok)
        cli_usage("--claims '%s': %s", path, e.text);
    for (size_t i = 0; ok && i < n; i++)
        ok = append_member(out, m[i].name, m[i].text, m[i].text_len);
    free(m);
    json_decref(o);
    return ok;
}

static bool collect(const struct args *a, struct buf *claims)
{
    bool ok = buf_append_char(claims, '{') && (!a->claims_file || append_file(claims, a->claims_file));

    for (size_t i = 0; ok && i < a->n_claims; i++)
        ok = append_claim(claims, a->claims[i]);
    return ok && buf_append_char(claims, '}');
}

static int print(const struct signet_token *t, const struct args *a)
{
    if (a->common.json)
        return cli_put_json(json_pack("{s:s, s:s, s:s, s:I}", "token", t->token, "kid", t->kid, "jti", t->jti,
                                      "expires_at", (json_int_t)t->expires_at));
    return cli_put_line(t->token) ? EXIT_DONE : EXIT_REFUSED;
}

/* Each on a line as it would be signed; for a person, in words. */
static void put_preview(const struct signet_preview *p)
{
    if (!isatty(STDOUT_FILENO)) {
        puts(p->header);
        fwrite(p->payload, 1, p->payload_len, stdout);
        putchar('\n');
        return;
    }
    json_t *header = json_loads(p->header, 0, NULL);
    json_t *payload = json_loadb(p->payload, p->payload_len, JSON_REJECT_DUPLICATES, NULL);
    inspect_part("header", header, strlen(p->header));
    inspect_part("payload", payload, p->payload_len);
    inspect_times(payload);
    json_decref(header);
    json_decref(payload);
}

static int print_preview(const struct signet_preview *p, bool as_json)
{
    json_t *payload = as_json ? cli_payload_json(p->payload, p->payload_len) : NULL;
    struct buf bytes;

    /* A raw payload that is no text. */
    if (as_json && !payload) {
        buf_init(&bytes, 2 * CLI_MAX_FILE);
        payload = b64url_encode(&bytes, p->payload, p->payload_len) ? json_pack("{s:s%}", "base64url", bytes.data, bytes.len)
                                                                    : NULL;
        buf_clear(&bytes);
    }
    if (as_json)
        return cli_put_json(json_pack("{s:o*, s:o*, s:s, s:I}", "header", json_loads(p->header, 0, NULL), "payload",
                                      payload, "kid", p->kid, "expires_at", (json_int_t)p->expires_at));
    put_preview(p);
    if (fflush(stdout) != 0)
        return cli_usage("the answer could not be written");
    fprintf(stderr, "Nothing was signed.%s\n", p->expires_at == 0 ? ""
            : " The token will have its own times and, unless --jti names one, its own jti.");
    return EXIT_DONE;
}

static int dry_run(const struct args *a, const struct signet_sign_request *ask)
{
    struct signet_error e;
    struct signet *s = cli_open(&a->common);
    struct signet_preview *p = s ? signet_preview(s, ask, &e) : NULL;
    int status = p ? print_preview(p, a->common.json) : s ? cli_failed(&e) : EXIT_USAGE;

    signet_preview_free(p);
    signet_close(s);
    return status;
}

static int sign(const struct args *a, const struct signet_sign_request *ask)
{
    struct signet_error e;
    struct signet *s = cli_open(&a->common);
    struct signet_token *t = s ? signet_sign(s, ask, &e) : NULL;
    int status = t ? print(t, a) : s ? cli_failed(&e) : EXIT_USAGE;

    signet_token_free(t);
    signet_close(s);
    return status;
}

int cmd_sign(int argc, char **argv)
{
    struct args a = { 0 };
    CLEANUP(buf_clear) struct buf text;

    buf_init(&text, CLI_MAX_FILE);
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a);
    struct signet_sign_request ask = { .profile = a.profile, .subject = a.subject, .audiences = a.audiences,
                                       .n_audiences = a.n_audiences, .jti = a.jti };
    if (a.ttl && (!cli_duration(a.ttl, &ask.ttl_s) || ask.ttl_s == 0))
        return cli_usage("--ttl '%s': write 90s, 10m, 2h or 1d", a.ttl);
    if (a.not_before && !cli_time(a.not_before, &ask.not_before))
        return cli_usage("--not-before '%s': write Unix seconds or 2026-11-24T10:00:00Z", a.not_before);
    if (a.payload_file) {
        if (!cli_read(a.payload_file, &text, CLI_MAX_FILE))
            return EXIT_USAGE;
        ask.payload = text.data ? (const void *)text.data : "";
        ask.payload_len = text.len;
    } else if (a.n_claims || a.claims_file) {
        if (!collect(&a, &text))
            return EXIT_USAGE;
        ask.claims = (const char *)text.data;
        ask.claims_len = text.len;
    }
    return a.dry_run ? dry_run(&a, &ask) : sign(&a, &ask);
}
