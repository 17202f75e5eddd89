/*
 * jwk: public keys and secrets as JWK (RFC 7517, 7518 section 6, 8037), sets
 * of them, thumbprints (RFC 7638). Writes public members only.
 */
#ifndef SIGNET_JOSE_JWK_H
#define SIGNET_JOSE_JWK_H

#include "proto/buf.h"
#include "proto/cleanup.h"
#include "proto/err.h"
#include "proto/jose/alg.h"

#include <jansson.h>

#define JWK_THUMBPRINT_LEN 43    /* letters of base64url(SHA-256) */
#define JWK_MAX_KID 256          /* bytes */
#define JWK_MIN_RSA_BITS 2048
#define JWK_MAX_RSA_BITS 16384

struct jwk;
struct jwk_set;

/*
 * Of a public key in DER (SubjectPublicKeyInfo), bound to `alg`. Checked:
 * point on its curve, RSA 2048..16384 bits, fits the alg. kid becomes the
 * thumbprint. NULL with ERR_KEY_UNUSABLE or ERR_KEY_TOO_WEAK.
 */
struct jwk *jwk_from_spki(const uint8_t *der, size_t len, const struct alg *alg, struct err *e);
void jwk_free(struct jwk *k);
DEFINE_CLEANUP(struct jwk, jwk_free)

const char *jwk_kid(const struct jwk *k);           /* NULL: none */
const struct alg *jwk_alg(const struct jwk *k);     /* NULL: none named */
/* RFC 7638, SHA-256: JWK_THUMBPRINT_LEN letters and a NUL. */
bool jwk_thumbprint(const struct jwk *k, char out[JWK_THUMBPRINT_LEN + 1]);
/* Appends {"kty":…,"use":"sig","alg":…,"kid":…, public members}. False for a secret: it has no public half. */
bool jwk_write(const struct jwk *k, struct buf *json);

/*
 * A set {"keys":[…]}, or a single JWK. Keys not understood or broken are
 * skipped (RFC 7517 section 5). NULL with ERR_KEY_UNUSABLE only where the text
 * is no set at all.
 */
struct jwk_set *jwk_set_read(const void *json, size_t len, struct err *e);
void jwk_set_free(struct jwk_set *s);
DEFINE_CLEANUP(struct jwk_set, jwk_set_free)
/* The same of a document already read. */
struct jwk_set *jwk_set_of(json_t *doc, struct err *e);
/*
 * Adds the keys of a set to another, which may be empty: texts as jwk_write and
 * {"keys":[…]} without a space make them. False: it is none such, the buffer's
 * bound, or memory; `all` may then be of no use.
 */
bool jwk_set_append(struct buf *all, const void *set, size_t len);
size_t jwk_set_size(const struct jwk_set *s);
const struct jwk *jwk_set_at(const struct jwk_set *s, size_t i);

/* Whether kty and crv are the alg's. */
bool jwk_is_kind(const struct jwk *k, const struct alg *alg);

/*
 * Whether the key may be used to verify `alg`: kty and crv, strength (an HMAC
 * secret at least as long as the hash, unless allowed weak), its own use,
 * key_ops. ERR_KEY_UNUSABLE, ERR_ALG_NOT_ALLOWED where its own alg is another.
 */
bool jwk_fits(const struct jwk *k, const struct alg *alg, bool allow_weak_secret, struct err *e);

/* Whether `signature` over `input` is k's by `alg`; nothing is said of why not. k must fit alg. */
bool jwk_verifies(const struct jwk *k, const struct alg *alg, const void *input, size_t input_len,
                  const uint8_t *signature, size_t signature_len);

#endif
