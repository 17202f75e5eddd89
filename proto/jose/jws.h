/*
 * jws: the compact serialization (RFC 7515 section 7.1): taken apart, put
 * together. Knows no key.
 */
#ifndef SIGNET_JOSE_JWS_H
#define SIGNET_JOSE_JWS_H

#include "proto/buf.h"
#include "proto/err.h"
#include "proto/jose/alg.h"

#define JWS_MAX_HEADER (16u * 1024)     /* bytes decoded */

struct jws {
    const char *signing_input;          /* borrowed from the token: header "." payload */
    size_t signing_input_len;
    struct buf payload, signature;      /* decoded */
    char *alg_name, *kid, *typ, *cty;   /* of the header; NULL where absent */
    const struct alg *alg;              /* NULL: none that we know */
};

/*
 * Exactly three parts, strict header, no crit, no b64 other than true. `max`
 * bounds the token (bytes). ERR_TOO_LARGE, MALFORMED, BAD_HEADER,
 * CRIT_UNSUPPORTED. An unknown alg is no error here. jws_clear always allowed
 * after it, whatever it returned.
 */
bool jws_parse(struct jws *j, const void *token, size_t len, size_t max, struct err *e);
void jws_clear(struct jws *j);

/*
 * Appends base64url(header) "." base64url(payload): the signing input. The
 * header is {"alg":…,"typ":…,"kid":…} in that order; typ and kid NULL: absent.
 */
bool jws_signing_input(struct buf *out, const struct alg *alg, const char *typ, const char *kid,
                       const void *payload, size_t payload_len);
/* Appends "." base64url(signature): the token is whole. */
bool jws_append_signature(struct buf *out, const uint8_t *signature, size_t len);

#endif
