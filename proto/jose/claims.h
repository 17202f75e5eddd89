/*
 * claims: registered claims (RFC 7519 section 4.1): which names they are, and
 * whether a payload's hold at `now`. Pure; times are Unix seconds.
 */
#ifndef SIGNET_JOSE_CLAIMS_H
#define SIGNET_JOSE_CLAIMS_H

#include "proto/err.h"

#include <stddef.h>

#define CLAIMS_MAX_LEEWAY 600u   /* s */

struct claims_rules {
    const char *issuer;                  /* NULL: any */
    const char *const *audiences;        /* the token's aud must hold one of them; none: any */
    size_t n_audiences;
    const char *typ;                     /* NULL: any. "application/x" equals "x"; letter case counts not */
    uint32_t leeway_s;                   /* more than CLAIMS_MAX_LEEWAY counts as that */
    int64_t now;
};

/* What a payload says; strings freed by claims_clear. */
struct claims {
    char *issuer, *subject, *jti;        /* NULL: absent, or not a string */
    char **audiences;                    /* of aud's string or array */
    size_t n_audiences;
    int64_t expires_at;                  /* 0: no exp */
};
void claims_clear(struct claims *c);

/*
 * Reads the payload: a strict object whose exp, nbf, iat are numbers, iss a
 * string, aud a string or an array of them, each where it is there
 * (ERR_BAD_PAYLOAD); then checks exp, nbf, iat (EXPIRED, NOT_YET_VALID,
 * ISSUED_IN_FUTURE), iss, aud, typ (WRONG_…), in that order. `out` may be NULL.
 */
bool claims_check(const void *payload, size_t len, const char *typ, const struct claims_rules *rules,
                  struct claims *out, struct err *e);

/* The same reading without any check: to find the profile that must judge. Nothing of it is verified. */
bool claims_peek(const void *payload, size_t len, struct claims *out, struct err *e);

/*
 * How far a token's own words fit rules: to find those, of several, that must
 * judge it. In this order; the farthest of all is what a refusal says.
 */
enum claims_fit { CLAIMS_FIT_NONE, CLAIMS_FIT_ISSUER, CLAIMS_FIT_AUDIENCE, CLAIMS_FIT_ALL };
enum claims_fit claims_fit(const struct claims *c, const char *typ, const struct claims_rules *rules);
/* WRONG_ISSUER, WRONG_AUDIENCE or WRONG_TYPE. Returns false. */
bool claims_misfit(enum claims_fit farthest, struct err *e);

/* Whether two typ are the same media type. NULL equals nothing. */
bool claims_typ_same(const char *a, const char *b);

/*
 * Whether two claim names are one to a reader that disregards letter case, in
 * ASCII and in the four characters that fold into it. (Among others of
 * Unicode's letters case is not disregarded.)
 */
bool claims_same_name(const char *a, const char *b);

/* A registered name (iss sub aud exp nbf iat jti), as claims_same_name compares: the canonical spelling, else NULL. */
const char *claims_registered(const char *name);

#endif
