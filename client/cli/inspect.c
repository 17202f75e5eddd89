#include "client/cli/inspect.h"

#include "client/cli/cli.h"
#include "client/clock.h"
#include "proto/jose/b64url.h"

#include <string.h>

struct args { struct common common; const char *token; };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;

    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &a->common; return 0;
    case ARGP_KEY_ARG:
        if (a->token)
            argp_error(state, "one token at a time");
        a->token = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 }, { 0 } };
static const struct argp argp = {
    NULL, parse, "[TOKEN|-]", "Shows a token's header and payload. Nothing is verified.", children, NULL, NULL,
};

struct part { const char *name; struct buf bytes; json_t *json; };

static void part_clear(struct part *p)
{
    buf_clear(&p->bytes);
    json_decref(p->json);
}

/* False: told. */
static bool decode(struct part *p, const char *letters, size_t len)
{
    if (b64url_decode(&p->bytes, letters, len)) {
        p->json = json_loadb(p->bytes.data ? (const char *)p->bytes.data : "", p->bytes.len, JSON_REJECT_DUPLICATES, NULL);
        return true;
    }
    fprintf(stderr, "signet: MALFORMED: the %s is no base64url without padding\n", p->name);
    return false;
}

static bool split(const struct buf *token, struct part parts[3])
{
    const char *at = (const char *)token->data, *end = at + token->len;

    for (int i = 0; i < 3; i++) {
        const char *dot = at ? memchr(at, '.', (size_t)(end - at)) : NULL;
        const char *stop = dot ? dot : end;
        if (!at || (i < 2) != (dot != NULL)) {
            fputs("signet: MALFORMED: a token has three parts with a '.' between them\n", stderr);
            return false;
        }
        if (!decode(&parts[i], at, (size_t)(stop - at)))
            return false;
        at = stop + 1;
    }
    return true;
}

void inspect_times(const json_t *payload)
{
    static const struct { const char *claim, *words; } times[] = {
        { "iat", "issued" }, { "nbf", "valid from" }, { "exp", "expires" }, { "auth_time", "logged in" },
    };
    int64_t now = clock_wall_s();
    char when[80];

    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        const json_t *t = json_object_get(payload, times[i].claim);
        if (json_is_number(t))
            printf("%s%-11s%s %s\n", paint(PAINT_DIM), times[i].words, paint_off(),
                   cli_when(when, (int64_t)json_number_value(t), now));
    }
}

void inspect_part(const char *name, const json_t *json, size_t len)
{
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;

    printf("%s%s%s\n", paint(PAINT_DIM), name, paint_off());
    if (text)
        puts(text);
    else
        printf("%zu bytes that are no JSON object\n", len);
    free(text);
}

static int print(struct part parts[3], bool as_json)
{
    if (as_json)
        return cli_put_json(json_pack("{s:b, s:O?, s:O?, s:I}", "verified", 0, "header", parts[0].json, "payload",
                                      parts[1].json, "signature_bytes", (json_int_t)parts[2].bytes.len));
    for (size_t i = 0; i < 2; i++)
        inspect_part(parts[i].name, parts[i].json, parts[i].bytes.len);
    inspect_times(parts[1].json);
    printf("%ssignature%s\n%zu bytes\n", paint(PAINT_DIM), paint_off(), parts[2].bytes.len);
    fflush(stdout);
    fprintf(stderr, "Nothing was verified: anyone could have written this. signet verify checks it.\n");
    return EXIT_DONE;
}

int cmd_inspect(int argc, char **argv)
{
    struct args a = { 0 };
    struct part parts[3] = { { .name = "header" }, { .name = "payload" }, { .name = "signature" } };
    CLEANUP(buf_clear) struct buf token;

    buf_init(&token, 0);
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a);
    if (!cli_token(a.token, &token, CLI_MAX_TOKEN))
        return EXIT_USAGE;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        buf_init(&parts[i].bytes, CLI_MAX_TOKEN);
    int status = split(&token, parts) ? print(parts, a.common.json) : EXIT_REFUSED;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        part_clear(&parts[i]);
    return status;
}
