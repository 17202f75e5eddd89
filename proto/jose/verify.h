/*
 * verify: a token against a key set: one code with two doors, JWS and JWT,
 * for the daemon's verifiers and for libsignet's offline verifier. A refusal
 * of the token has one of the verdict reasons (err_is_verdict); anything else
 * means "could not check".
 */
#ifndef SIGNET_JOSE_VERIFY_H
#define SIGNET_JOSE_VERIFY_H

#include "proto/jose/claims.h"
#include "proto/jose/jwk.h"
#include "proto/jose/jws.h"

#define VERIFY_MAX_OFFLINE (1024u * 1024)    /* bytes of token, offline */

struct verify_rules {
    const struct alg *const *algs;     /* those allowed; none: the key's own alg, else its curve, must settle it */
    size_t n_algs;
    size_t max_len;                    /* bytes of token */
    bool allow_weak_secret;
    const struct claims_rules *claims; /* NULL: the JWS door, the payload may be any bytes */
};

/*
 * On success j holds the token's parts (payload as signed) and *out_key the
 * key that verified it, borrowed from the set. `out_claims` may be NULL; it is
 * set only through the JWT door. jws_clear(j) always.
 */
bool verify_token(struct jws *j, const void *token, size_t len, const struct jwk_set *set,
                  const struct verify_rules *rules, const struct jwk **out_key,
                  struct claims *out_claims, struct err *e);

/* The same for a token that is taken apart already; j stays the caller's. */
bool verify_jws(const struct jws *j, const struct jwk_set *set, const struct verify_rules *rules,
                const struct jwk **out_key, struct claims *out_claims, struct err *e);

/* Whether the header's alg is one we know and the rules allow, or ERR_ALG_NOT_ALLOWED. Before any key is looked at. */
bool verify_alg_allowed(const struct jws *j, const struct verify_rules *rules, struct err *e);

#endif
