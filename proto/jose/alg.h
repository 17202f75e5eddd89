/*
 * alg: the table of signature algorithms (RFC 7518 section 3, 8037, 9864).
 * The algorithm belongs to the key, never to a token's header. Adding one: a
 * row here, a row in token's mechanism table, its RFC vector.
 */
#ifndef SIGNET_JOSE_ALG_H
#define SIGNET_JOSE_ALG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum alg_family { ALG_HMAC, ALG_RSA_PKCS1, ALG_RSA_PSS, ALG_ECDSA, ALG_EDDSA };

#define ALG_MAX_DIGEST 64        /* bytes: SHA-512 */
#define ALG_MAX_SIGNATURE 2048   /* bytes: RSA of 16384 bits */

struct alg {
    const char *name;            /* "ES256" */
    enum alg_family family;
    const char *kty;             /* "EC", "RSA", "OKP", "oct" */
    const char *crv;             /* "P-256", "Ed25519"; NULL for RSA and oct */
    const char *hash;            /* OpenSSL's name, "SHA256"; NULL for EdDSA */
    size_t hash_len;             /* bytes; the least length of an HMAC key. 0 for EdDSA */
    size_t signature_len;        /* bytes; 0: the modulus's length */
};

/* HS, RS, PS, ES 256/384/512, EdDSA; and Ed25519, RFC 9864's name of EdDSA. */
const struct alg *alg_by_name(const char *name, size_t len);   /* exact; NULL */
const struct alg *alg_at(size_t i);                            /* the table's rows in order; NULL past the end */

/* EdDSA and Ed25519 are one algorithm under two names. */
bool alg_same(const struct alg *a, const struct alg *b);

/*
 * HMAC: the length in bytes that a secret shorter than the hash has on a token
 * of ours. HMAC takes one with zeros behind it, up to the hash's block, for
 * the same key; no other is imported with this length, so that what was weak
 * stays told from what was not.
 */
size_t alg_padded_len(const struct alg *a);

/* Whether a token may be given the digest of the signing input (RSA, ECDSA) or needs all of it. */
bool alg_signs_digest(const struct alg *a);
/* Into out[ALG_MAX_DIGEST]: a->hash_len bytes. False only if OpenSSL has no such hash. */
bool alg_digest(const struct alg *a, const void *input, size_t len, uint8_t *out);

#endif
