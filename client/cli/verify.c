#include "client/cli/cli.h"
#include "client/cli/verify.h"

#include "proto/jose/alg.h"

#include <string.h>

#define MAX_LIST 64

struct args {
    struct common common;
    const char *profile, *jwks, *token;
    const char *audiences[MAX_LIST];
    size_t n_audiences;
    const char *algs[MAX_LIST];
    size_t n_algs;
    struct signet_verify_rules rules;
    bool batch;
    const char *offline_only;        /* an option given that has a meaning offline alone */
};

enum { KEY_JWKS = 256, KEY_ALG, KEY_ISSUER, KEY_TYP, KEY_LEEWAY, KEY_AT, KEY_NO_CLAIMS, KEY_WEAK, KEY_BATCH };

static const struct argp_option options[] = {
    { "profile", 'p', "NAME", 0, "By the daemon: the profile that judges. Without: the one of the token's iss, aud and typ", 0 },
    { "audience", 'a', "AUDIENCE", 0, "The token's aud must hold it; offline it may be repeated: one of them", 0 },
    { NULL, 0, NULL, 0, "Offline, without a daemon:", 1 },
    { "jwks", KEY_JWKS, "FILE", 0, "Against this key set or key (RFC 7517), - for stdin", 1 },
    { "alg", KEY_ALG, "ALG[,ALG]", 0, "The algorithms allowed. Without: each key's own must settle it", 1 },
    { "issuer", KEY_ISSUER, "ISSUER", 0, "The iss that it must have", 1 },
    { "typ", KEY_TYP, "TYPE", 0, "The typ that its header must have", 1 },
    { "leeway", KEY_LEEWAY, "TIME", 0, "Of exp, nbf and iat: seconds, at most 600", 1 },
    { "at", KEY_AT, "TIME", 0, "Judge as of then: Unix seconds or 2026-11-24T10:00:00Z", 1 },
    { "no-claims", KEY_NO_CLAIMS, NULL, 0, "A JWS whose payload may be any bytes: only the signature is checked", 1 },
    { "allow-weak-secret", KEY_WEAK, NULL, 0, "HMAC keys shorter than the hash", 1 },
    { "batch", KEY_BATCH, NULL, 0, "JSON lines on stdin, each with its token and key set: see signet(1)", 1 },
    { 0 },
};

static void add_algs(struct args *a, char *list, struct argp_state *state)
{
    char *rest = NULL;

    for (char *name = strtok_r(list, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        if (!alg_by_name(name, strlen(name)))
            argp_error(state, "--alg: '%s' is no algorithm that signet knows", name);
        if (a->n_algs == MAX_LIST)
            argp_error(state, "--alg: more than %d", MAX_LIST);
        a->algs[a->n_algs++] = name;
    }
    if (a->n_algs == 0)
        argp_error(state, "--alg: none named");
}

static void check_together(const struct args *a, struct argp_state *state)
{
    bool offline = a->jwks || a->batch;

    if (a->batch && (a->jwks || a->n_algs || a->token))
        argp_error(state, "--batch: each line brings its own token, key set and algorithms");
    if (offline && a->profile)
        argp_error(state, "--profile asks the daemon, --jwks and --batch do without one");
    if (!offline && a->offline_only)
        argp_error(state, "--%s goes with --jwks: the daemon's profile says it otherwise", a->offline_only);
    if (!offline && a->n_audiences > 1)
        argp_error(state, "--audience: the daemon takes one");
    if (a->rules.no_claims && (a->rules.issuer || a->rules.typ || a->n_audiences || a->rules.at_given || a->rules.leeway_s))
        argp_error(state, "--no-claims looks at no claim: --issuer, --audience, --typ, --leeway and --at have no meaning");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;

    for (size_t i = 0; key >= KEY_ALG && key <= KEY_WEAK && i < ARRAY_LEN(options); i++)
        if (options[i].key == key)
            a->offline_only = options[i].name;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &a->common; return 0;
    case 'p':           a->profile = arg; return 0;
    case KEY_JWKS:      a->jwks = arg; return 0;
    case KEY_ALG:       add_algs(a, arg, state); return 0;
    case KEY_ISSUER:    a->rules.issuer = arg; return 0;
    case KEY_TYP:       a->rules.typ = arg; return 0;
    case KEY_NO_CLAIMS: a->rules.no_claims = true; return 0;
    case KEY_WEAK:      a->rules.allow_weak_secret = true; return 0;
    case KEY_BATCH:     a->batch = true; return 0;
    case KEY_LEEWAY:
        if (!cli_duration(arg, &a->rules.leeway_s) || a->rules.leeway_s > 600)
            argp_error(state, "--leeway '%s': seconds, at most 600", arg);
        return 0;
    case KEY_AT:
        if (!cli_time(arg, &a->rules.at))
            argp_error(state, "--at '%s': write Unix seconds or 2026-11-24T10:00:00Z", arg);
        a->rules.at_given = true;
        return 0;
    case 'a':
        if (a->n_audiences == MAX_LIST)
            argp_error(state, "more than %d audiences", MAX_LIST);
        a->audiences[a->n_audiences++] = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (a->token)
            argp_error(state, "one token at a time; --batch takes many");
        a->token = arg;
        return 0;
    case ARGP_KEY_END:
        check_together(a, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 }, { 0 } };
static const struct argp argp = {
    options, parse, "[TOKEN|-]", "Checks a token and prints its payload.", children, NULL, NULL,
};

static int print(const struct signet_verified *v, bool as_json)
{
    if (!as_json)
        return cli_put(v->payload, v->payload_len) ? EXIT_DONE : EXIT_REFUSED;
    return cli_put_json(json_pack("{s:s, s:s, s:I, s:o*}", "profile", v->profile, "kid", v->kid, "expires_at",
                                  (json_int_t)v->expires_at, "payload", cli_payload_json(v->payload, v->payload_len)));
}

static int by_daemon(const struct args *a, const struct buf *token)
{
    struct signet_error e;
    struct signet *s = cli_open(&a->common);
    struct signet_verified *v = s ? signet_verify(s, token->data, token->len, a->profile,
                                                  a->n_audiences ? a->audiences[0] : NULL, &e) : NULL;
    int status = v ? print(v, a->common.json) : s ? cli_failed(&e) : EXIT_USAGE;

    signet_verified_free(v);
    signet_close(s);
    return status;
}

static int offline(const struct args *a, const struct buf *token)
{
    CLEANUP(buf_clear) struct buf jwks;
    struct signet_error e;

    if (!cli_read(a->jwks, &jwks, CLI_MAX_FILE))
        return EXIT_USAGE;
    struct signet_verifier *verifier = signet_verifier_new((const char *)jwks.data, jwks.len, &e);
    struct signet_verified *v = verifier ? signet_verifier_check(verifier, token->data, token->len, &a->rules, &e) : NULL;
    int status = v ? print(v, a->common.json) : cli_failed(&e);
    signet_verified_free(v);
    signet_verifier_free(verifier);
    return status;
}

int cmd_verify(int argc, char **argv)
{
    struct args a = { 0 };
    CLEANUP(buf_clear) struct buf token;

    buf_init(&token, 0);
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a);
    a.rules.audiences = a.audiences;
    a.rules.n_audiences = a.n_audiences;
    a.rules.algs = a.algs;
    a.rules.n_algs = a.n_algs;
    if (a.batch)
        return batch_run(&a.rules);
    if (a.jwks && strcmp(a.jwks, "-") == 0 && (!a.token || strcmp(a.token, "-") == 0))
        return cli_usage("the token and the key set cannot both come from stdin");
    if (!cli_token(a.token, &token, CLI_MAX_TOKEN + 1))      /* one more: the verifier says that it is too long */
        return EXIT_USAGE;
    return a.jwks ? offline(&a, &token) : by_daemon(&a, &token);
}
