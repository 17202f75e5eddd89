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
    const char *const *audiences;        /* the token's aud must hold one of them; none: aud is not looked at */
    size_t n_audiences;
    const char *typ;                     /* NULL: any. "application/x" equals "x"; case counts not */
    uint32_t leeway_s;
    int64_t now;
};

/* What a verified payload says; strings freed by claims_clear. */
struct claims {
    char *issuer, *subject, *jti;        /* NULL: absent */
    int64_t expires_at;                  /* 0: no exp */
};
void claims_clear(struct claims *c);

/*
 * The payload a strict object (ERR_BAD_PAYLOAD), then exp, nbf, iat
 * (EXPIRED, NOT_YET_VALID, ISSUED_IN_FUTURE), iss, aud, typ (WRONG_…), in
 * that order. exp is required: without it BAD_PAYLOAD. `out` may be NULL.
 */
bool claims_check(const void *payload, size_t len, const char *typ, const struct claims_rules *rules,
                  struct claims *out, struct err *e);

/* iss, aud and typ as they stand, unverified: to find the profile that must judge. False: malformed. */
bool claims_peek(const void *payload, size_t len, char **out_issuer, char ***out_audiences, struct err *e);

/*
 * A registered name (iss sub aud exp nbf iat jti), in any letter case: the
 * canonical spelling, else NULL.
 */
const char *claims_registered(const char *name);

#endif
