#include "proto/jose/jws.h"

#include "proto/cleanup.h"
#include "proto/jose/b64url.h"
#include "proto/jose/json.h"
#include "proto/jose/jwk.h"

#include <string.h>

/* Finds the two dots. Any byte outside the alphabet is refused before anything is decoded. */
static bool split(const char *token, size_t len, size_t dot[2], struct err *e)
{
    size_t n_dots = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)token[i];
        if (c == '.') {
            if (n_dots < 2)
                dot[n_dots] = i;
            n_dots++;
        } else if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')) {
            return err_set(e, ERR_MALFORMED, "byte 0x%02x at offset %zu is none of base64url", c, i);
        }
    }
    if (len == 0)
        return err_set(e, ERR_MALFORMED, "the token is empty");
    if (n_dots != 2)
        return err_set(e, ERR_MALFORMED, "%zu part%s where a JWS has three%s", n_dots + 1, n_dots ? "s" : "",
                       n_dots == 4 ? " (five are an encrypted token, which signet does not read)" : "");
    if (dot[0] == 0 || dot[1] + 1 == len)
        return err_set(e, ERR_MALFORMED, "the %s is empty", dot[0] == 0 ? "header" : "signature");
    return true;
}

static bool decode(struct buf *out, const char *part, size_t len, const char *what, struct err *e)
{
    if (!buf_reserve(out, len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0)))
        return err_set(e, ERR_NO_MEMORY, "no memory for the %s", what);
    return b64url_decode(out, part, len) ||
           err_set(e, ERR_MALFORMED, "the %s is not canonical base64url without padding", what);
}

/* A copy of a string member in *out; NULL where it is absent. */
static bool string_member(json_t *header, const char *name, char **out, struct err *e)
{
    json_t *v = json_object_get(header, name);

    if (!v)
        return true;
    if (!json_is_string(v))
        return err_set(e, ERR_BAD_HEADER, "'%s' in the header is not a string", name);
    if (strlen(json_string_value(v)) != json_string_length(v))
        return err_set(e, ERR_BAD_HEADER, "'%s' in the header holds a NUL", name);
    *out = strdup(json_string_value(v));
    return *out || err_set(e, ERR_NO_MEMORY, "no memory for a header");
}

static bool header_read(struct jws *j, const struct buf *text, struct err *e)
{
    CLEANUP(json_decrefp) json_t *h = json_object_read(text->data, text->len, ERR_BAD_HEADER, e);

    if (!h)
        return err_wrap(e, "the header");
    if (json_object_get(h, "crit"))
        return err_set(e, ERR_CRIT_UNSUPPORTED, "the header has 'crit': signet understands no critical extension");
    json_t *b64 = json_object_get(h, "b64");
    if (b64 && !json_is_true(b64))
        return err_set(e, ERR_BAD_HEADER, "'b64' in the header is not true (RFC 7797 is not supported)");
    if (!json_object_get(h, "alg"))
        return err_set(e, ERR_BAD_HEADER, "the header has no 'alg'");
    if (!string_member(h, "alg", &j->alg_name, e) || !string_member(h, "kid", &j->kid, e) ||
        !string_member(h, "typ", &j->typ, e) || !string_member(h, "cty", &j->cty, e))
        return false;
    if (j->kid && strlen(j->kid) > JWK_MAX_KID)
        return err_set(e, ERR_BAD_HEADER, "'kid' is longer than %d bytes", JWK_MAX_KID);
    j->alg = alg_by_name(j->alg_name, strlen(j->alg_name));
    return true;
}

bool jws_parse(struct jws *j, const void *token, size_t len, size_t max, struct err *e)
{
    const char *text = token;
    size_t dot[2] = { 0, 0 };
    CLEANUP(buf_clear) struct buf header;

    memset(j, 0, sizeof *j);
    buf_init(&j->payload, max);
    buf_init(&j->signature, max);
    buf_init(&header, JWS_MAX_HEADER);
    if (len > max)
        return err_set(e, ERR_TOO_LARGE, "the token has %zu bytes, more than %zu", len, max);
    if (!split(text, len, dot, e))
        return false;
    if (dot[0] > JWS_MAX_HEADER / 3 * 4 + 2)
        return err_set(e, ERR_TOO_LARGE, "the header has more than %u bytes", JWS_MAX_HEADER);
    if (!decode(&header, text, dot[0], "header", e) ||
        !decode(&j->payload, text + dot[0] + 1, dot[1] - dot[0] - 1, "payload", e) ||
        !decode(&j->signature, text + dot[1] + 1, len - dot[1] - 1, "signature", e))
        return false;
    j->signing_input = text;
    j->signing_input_len = dot[1];
    return header_read(j, &header, e);
}

void jws_clear(struct jws *j)
{
    buf_clear(&j->payload);
    buf_clear(&j->signature);
    free(j->alg_name);
    free(j->kid);
    free(j->typ);
    free(j->cty);
    memset(j, 0, sizeof *j);
}

/* The header's strings are ours or checked at load, still they are written as JSON says. */
static bool append_member(struct buf *out, const char *name, const char *value)
{
    return buf_append_char(out, ',') && json_append_string(out, name) && buf_append_char(out, ':') &&
           json_append_string(out, value);
}

bool jws_signing_input(struct buf *out, const struct alg *alg, const char *typ, const char *kid,
                       const void *payload, size_t payload_len)
{
    CLEANUP(buf_clear) struct buf header;
    size_t before = out->len;

    buf_init(&header, JWS_MAX_HEADER);
    if (buf_append_str(&header, "{\"alg\":") && json_append_string(&header, alg->name) &&
        (!typ || append_member(&header, "typ", typ)) && (!kid || append_member(&header, "kid", kid)) &&
        buf_append_char(&header, '}') && b64url_encode(out, header.data, header.len) &&
        buf_append_char(out, '.') && b64url_encode(out, payload, payload_len))
        return true;
    out->len = before;
    return false;
}

bool jws_append_signature(struct buf *out, const uint8_t *signature, size_t len)
{
    size_t before = out->len;

    if (buf_append_char(out, '.') && b64url_encode(out, signature, len))
        return true;
    out->len = before;
    return false;
}
