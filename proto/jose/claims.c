#include "proto/jose/claims.h"

#include "proto/cleanup.h"
#include "proto/jose/json.h"

#include <string.h>
#include <strings.h>

static const char *const registered[] = { "iss", "sub", "aud", "exp", "nbf", "iat", "jti" };

/*
 * The only characters outside ASCII whose upper or lower case is a letter of
 * ASCII: readers that look names up without regard to case take them for it.
 */
static const struct { char utf8[4]; char letter; } folded[] = {
    { "\u017F", 's' },           /* long s: Go's encoding/json */
    { "\u212A", 'k' },           /* the Kelvin sign: the same */
    { "\u0130", 'i' },           /* I with a dot: readers that lower */
    { "\u0131", 'i' },           /* i without one: readers that raise, Java's equalsIgnoreCase */
};

/* One character in lower case, and past it; what is not ASCII goes byte by byte. */
static unsigned char next_folded(const char **at)
{
    for (size_t i = 0; i < ARRAY_LEN(folded); i++) {
        size_t len = strlen(folded[i].utf8);
        if (strncmp(*at, folded[i].utf8, len) == 0) {
            *at += len;
            return (unsigned char)folded[i].letter;
        }
    }
    unsigned char c = (unsigned char)*(*at)++;
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : c;
}

bool claims_same_name(const char *a, const char *b)
{
    while (*a && *b)
        if (next_folded(&a) != next_folded(&b))
            return false;
    return *a == *b;
}

const char *claims_registered(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(registered); i++)
        if (claims_same_name(registered[i], name))
            return registered[i];
    return NULL;
}

/* RFC 7515 section 4.1.9: "application/" is left out where no other "/" stands. */
static const char *subtype(const char *typ)
{
    static const char prefix[] = "application/";
    size_t n = sizeof prefix - 1;

    return strncasecmp(typ, prefix, n) == 0 && !strchr(typ + n, '/') ? typ + n : typ;
}

bool claims_typ_same(const char *a, const char *b)
{
    return a && b && strcasecmp(subtype(a), subtype(b)) == 0;
}

void claims_clear(struct claims *c)
{
    free(c->issuer);
    free(c->subject);
    free(c->jti);
    for (size_t i = 0; i < c->n_audiences; i++)
        free(c->audiences[i]);
    free(c->audiences);
    memset(c, 0, sizeof *c);
}

/* A JSON string's text, NULL for what is no string or holds a NUL (which no name of ours does). */
static const char *text_of(json_t *v)
{
    const char *s = json_string_value(v);
    return s && strlen(s) == json_string_length(v) ? s : NULL;
}

static bool types_ok(json_t *o, struct err *e)
{
    static const char *const times[] = { "exp", "nbf", "iat" }, *const texts[] = { "iss", "sub", "jti" };
    json_t *aud = json_object_get(o, "aud"), *one;
    size_t i;

    for (i = 0; i < ARRAY_LEN(times); i++) {
        json_t *v = json_object_get(o, times[i]);
        if (v && !json_is_number(v))
            return err_set(e, ERR_BAD_PAYLOAD, "'%s' is not a number", times[i]);
    }
    for (i = 0; i < ARRAY_LEN(texts); i++) {
        json_t *v = json_object_get(o, texts[i]);
        if (v && !json_is_string(v))
            return err_set(e, ERR_BAD_PAYLOAD, "'%s' is not a string", texts[i]);
    }
    if (aud && !json_is_string(aud) && !json_is_array(aud))
        return err_set(e, ERR_BAD_PAYLOAD, "'aud' is neither a string nor an array");
    json_array_foreach(aud, i, one)
        if (!json_is_string(one))
            return err_set(e, ERR_BAD_PAYLOAD, "'aud' holds something that is not a string");
    return true;
}

static bool copy(char **to, json_t *v)
{
    const char *s = text_of(v);
    return !s || (*to = strdup(s));
}

static bool copy_audiences(struct claims *c, json_t *aud)
{
    size_t n = json_is_array(aud) ? json_array_size(aud) : aud ? 1 : 0;

    if (n && !(c->audiences = calloc(n, sizeof *c->audiences)))
        return false;
    for (size_t i = 0; i < n; i++) {
        const char *s = text_of(json_is_array(aud) ? json_array_get(aud, i) : aud);
        if (s && !(c->audiences[c->n_audiences] = strdup(s)))
            return false;
        c->n_audiences += s != NULL;
    }
    return true;
}

static json_t *object_of(const void *payload, size_t len, struct err *e)
{
    json_t *o = json_object_read(payload, len, ERR_BAD_PAYLOAD, e);

    if (!o) {
        err_wrap(e, "the payload");
    } else if (!types_ok(o, e)) {
        json_decref(o);
        o = NULL;
    }
    return o;
}

static bool claims_of(json_t *o, struct claims *c, struct err *e)
{
    json_t *exp = json_object_get(o, "exp");
    double at = json_number_value(exp);

    memset(c, 0, sizeof *c);
    if (json_is_integer(exp))
        c->expires_at = json_integer_value(exp);
    else
        c->expires_at = at >= 9e18 ? INT64_MAX : at <= -9e18 ? INT64_MIN : (int64_t)at;
    if (copy(&c->issuer, json_object_get(o, "iss")) && copy(&c->subject, json_object_get(o, "sub")) &&
        copy(&c->jti, json_object_get(o, "jti")) && copy_audiences(c, json_object_get(o, "aud")))
        return true;
    claims_clear(c);
    return err_set(e, ERR_NO_MEMORY, "no memory for the claims");
}

bool claims_peek(const void *payload, size_t len, struct claims *out, struct err *e)
{
    CLEANUP(json_decrefp) json_t *o = object_of(payload, len, e);

    return o && claims_of(o, out, e);
}

/* Seconds are compared as double: exact to 2^53, and a time past that is far enough away. */
static bool times_ok(json_t *o, const struct claims_rules *r, struct err *e)
{
    json_t *exp = json_object_get(o, "exp"), *nbf = json_object_get(o, "nbf"), *iat = json_object_get(o, "iat");
    double now = (double)r->now, leeway = r->leeway_s > CLAIMS_MAX_LEEWAY ? CLAIMS_MAX_LEEWAY : r->leeway_s;

    if (exp && json_number_value(exp) <= now - leeway)
        return err_set(e, ERR_EXPIRED, "the token expired %.0f s ago: ask its issuer for a new one",
                       now - json_number_value(exp));
    if (nbf && json_number_value(nbf) > now + leeway)
        return err_set(e, ERR_NOT_YET_VALID, "the token is valid only in %.0f s", json_number_value(nbf) - now);
    if (iat && json_number_value(iat) > now + leeway)
        return err_set(e, ERR_ISSUED_IN_FUTURE, "the token was issued %.0f s in the future: compare the clocks",
                       json_number_value(iat) - now);
    return true;
}

static bool holds(const struct claims *c, const char *audience)
{
    for (size_t i = 0; i < c->n_audiences; i++)
        if (strcmp(c->audiences[i], audience) == 0)
            return true;
    return false;
}

enum claims_fit claims_fit(const struct claims *c, const char *typ, const struct claims_rules *r)
{
    bool audience = r->n_audiences == 0;

    if (!c->issuer || !r->issuer || strcmp(c->issuer, r->issuer) != 0)
        return CLAIMS_FIT_NONE;
    for (size_t i = 0; i < r->n_audiences && !audience; i++)
        audience = holds(c, r->audiences[i]);
    if (!audience)
        return CLAIMS_FIT_ISSUER;
    return claims_typ_same(r->typ, typ) ? CLAIMS_FIT_ALL : CLAIMS_FIT_AUDIENCE;
}

bool claims_misfit(enum claims_fit farthest, struct err *e)
{
    switch (farthest) {
    case CLAIMS_FIT_NONE:
        return err_set(e, ERR_WRONG_ISSUER, "no profile has this token's issuer (name a raw token's profile)");
    case CLAIMS_FIT_ISSUER:
        return err_set(e, ERR_WRONG_AUDIENCE, "no profile of this token's issuer has its audience");
    default:
        return err_set(e, ERR_WRONG_TYPE, "no profile of this token's issuer and audience has its typ");
    }
}

static bool same(json_t *v, const char *want)
{
    const char *s = text_of(v);
    return s && strcmp(s, want) == 0;
}

static bool audience_ok(json_t *aud, const struct claims_rules *r)
{
    for (size_t i = 0; i < r->n_audiences; i++) {
        json_t *one;
        size_t k;
        if (same(aud, r->audiences[i]))
            return true;
        json_array_foreach(aud, k, one)
            if (same(one, r->audiences[i]))
                return true;
    }
    return r->n_audiences == 0;
}

bool claims_check(const void *payload, size_t len, const char *typ, const struct claims_rules *rules,
                  struct claims *out, struct err *e)
{
    CLEANUP(json_decrefp) json_t *o = object_of(payload, len, e);

    if (!o || !times_ok(o, rules, e))
        return false;
    if (rules->issuer && !same(json_object_get(o, "iss"), rules->issuer))
        return err_set(e, ERR_WRONG_ISSUER, "the token's 'iss' is not '%s'", rules->issuer);
    if (!audience_ok(json_object_get(o, "aud"), rules))
        return err_set(e, ERR_WRONG_AUDIENCE, "the token's 'aud' does not hold '%s'%s", rules->audiences[0],
                       rules->n_audiences > 1 ? " or another audience of the verifier" : "");
    if (rules->typ && !claims_typ_same(typ, rules->typ))
        return err_set(e, ERR_WRONG_TYPE, "the token's 'typ' is not '%s'", rules->typ);
    return !out || claims_of(o, out, e);
}
