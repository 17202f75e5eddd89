/*
 * verify --batch: a line in, a line out, in order, flushed. A line has a bound;
 * what is longer is read past and answered like any other line that is none.
 */
#include "client/cli/cli.h"
#include "client/cli/verify.h"

#include "proto/jose/b64url.h"

#include <openssl/evp.h>
#include <string.h>

#define MAX_LINE (8u * 1024 * 1024)      /* bytes: a token of 1 MiB in base64, and its key set */
#define MAX_ALGS 64

struct batch {
    const struct signet_verify_rules *rules;
    char *jwks;                          /* the last key set, and its verifier: lines often share one */
    struct signet_verifier *verifier;
    struct signet_error why;             /* verifier NULL: why it is no key set */
};

/* --- lines ------------------------------------------------------------------------------------ */

enum line { LINE_READ, LINE_TOO_LONG, LINE_END };

static enum line read_line(struct buf *line)
{
    bool fits = true;
    int c;

    line->len = 0;
    while ((c = getc_unlocked(stdin)) != EOF && c != '\n')
        fits = fits && buf_append_char(line, (char)c);
    if (!fits)
        return LINE_TOO_LONG;
    return c == EOF && line->len == 0 ? LINE_END : LINE_READ;
}

static bool put(json_t *id, json_t *rest)
{
    json_t *out = json_object();
    bool ok = out && rest && json_object_set_new(out, "id", id) == 0 && json_object_update(out, rest) == 0 &&
              json_dumpf(out, stdout, JSON_COMPACT) == 0 && putchar('\n') != EOF && fflush(stdout) == 0;

    json_decref(rest);
    json_decref(out);
    return ok;
}

static bool put_refusal(json_t *id, const char *reason, const char *text)
{
    return put(id, json_pack("{s:b, s:o}", "ok", 0, "error", json_sprintf("%s: %s", reason, text)));
}

static bool put_bad_line(const char *text)
{
    return put_refusal(json_null(), "BAD_LINE", text);
}

static bool put_payload(json_t *id, const struct signet_verified *v)
{
    CLEANUP(buf_clear) struct buf text;

    buf_init(&text, 2 * MAX_LINE);
    if (!b64url_encode(&text, v->payload, v->payload_len))
        return false;
    return put(id, json_pack("{s:b, s:s%}", "ok", 1, "payload", text.data ? (const char *)text.data : "", text.len));
}

/* --- what a line asks ----------------------------------------------------------------------------- */

/* Standard base64, canonical: what it decodes to spells it again. */
static bool decode_base64(const char *text, size_t len, struct buf *out)
{
    size_t padding = len >= 2 ? (text[len - 1] == '=') + (text[len - 2] == '=') : 0;
    CLEANUP(freep) char *again = malloc(len + 5);

    if (len % 4 || !again || !buf_reserve(out, len + 4))
        return false;
    int n = len ? EVP_DecodeBlock(out->data, (const unsigned char *)text, (int)len) : 0;
    if (n < 0 || (size_t)n < padding)
        return false;
    out->len = (size_t)n - padding;
    EVP_EncodeBlock((unsigned char *)again, out->data, (int)out->len);
    return strlen(again) == len && memcmp(again, text, len) == 0;
}

static const char *token_of(json_t *line, struct buf *out)
{
    json_t *token = json_object_get(line, "token"), *b64 = json_object_get(line, "token_b64");

    if (!token == !b64)
        return "wants one of token and token_b64";
    if (!json_is_string(token ? token : b64))
        return "the token must be a string";
    if (token)
        return buf_append(out, json_string_value(token), json_string_length(token)) || !json_string_length(token)
                   ? NULL : "no memory";
    return decode_base64(json_string_value(b64), json_string_length(b64), out) ? NULL : "token_b64 is no base64";
}

static const char *algs_of(json_t *line, const char *out[MAX_ALGS], size_t *out_n)
{
    json_t *algs = json_object_get(line, "algs"), *alg;
    size_t i;

    if (algs && !json_is_array(algs))
        return "algs must be an array of strings";
    if (json_array_size(algs) > MAX_ALGS)
        return "more than 64 algs";
    json_array_foreach(algs, i, alg) {
        if (!json_is_string(alg))
            return "algs must be an array of strings";
        /* A name with a NUL in it is no algorithm's, whatever stands before it. */
        out[i] = strlen(json_string_value(alg)) == json_string_length(alg) ? json_string_value(alg) : "";
    }
    *out_n = json_array_size(algs);
    return NULL;
}

static bool use_jwks(struct batch *b, json_t *jwks)
{
    char *text = json_dumps(jwks, JSON_COMPACT);

    if (!text)
        return false;
    if (b->jwks && strcmp(b->jwks, text) == 0) {
        free(text);
        return true;
    }
    free(b->jwks);
    b->jwks = text;
    signet_verifier_free(b->verifier);
    b->verifier = signet_verifier_new(text, strlen(text), &b->why);
    return true;
}

static bool judge(struct batch *b, json_t *id, const struct buf *token, const struct signet_verify_rules *rules)
{
    struct signet_error e;

    if (!b->verifier)
        return put_refusal(id, b->why.reason, b->why.text);
    struct signet_verified *v = signet_verifier_check(b->verifier, token->data, token->len, rules, &e);
    bool ok = v ? put_payload(id, v) : put_refusal(id, e.reason, e.text);
    signet_verified_free(v);
    return ok;
}

static bool answer(struct batch *b, json_t *line)
{
    CLEANUP(buf_clear) struct buf token;
    struct signet_verify_rules rules = *b->rules;
    const char *algs[MAX_ALGS], *why;
    json_t *id = json_object_get(line, "id"), *jwks = json_object_get(line, "jwks");

    buf_init(&token, MAX_LINE);
    if (!id)
        return put_bad_line("id is missing");
    if (!json_is_object(jwks))
        return put_bad_line("jwks must be the key set itself, an object");
    if ((why = token_of(line, &token)) || (why = algs_of(line, algs, &rules.n_algs)))
        return put_bad_line(why);
    rules.algs = algs;
    if (!use_jwks(b, jwks))
        return put_refusal(json_incref(id), "NO_MEMORY", "no memory for the key set");
    return judge(b, json_incref(id), &token, &rules);
}

static bool take_line(struct batch *b, const struct buf *text)
{
    json_error_t e;
    /* A NUL inside a token is the verifier's to refuse, with the line's id. */
    json_t *line = json_loadb(text->len ? (const char *)text->data : "", text->len,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    bool ok;

    if (json_is_object(line))
        ok = answer(b, line);
    else
        ok = put_bad_line(line ? "not a JSON object" : e.text);
    json_decref(line);
    return ok;
}

int batch_run(const struct signet_verify_rules *rules)
{
    CLEANUP(buf_clear) struct buf line;
    struct batch b = { .rules = rules };
    bool ok = true;
    enum line got;

    buf_init(&line, MAX_LINE);
    while (ok && (got = read_line(&line)) != LINE_END)
        ok = got == LINE_READ ? take_line(&b, &line) : put_bad_line("longer than 8 MiB");
    signet_verifier_free(b.verifier);
    free(b.jwks);
    if (ok && !ferror(stdin))
        return EXIT_DONE;
    cli_usage(ok ? "stdin cannot be read" : "an answer could not be written");
    return EXIT_REFUSED;
}
