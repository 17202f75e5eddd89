#include "proto/jose/alg.h"

#include "proto/cleanup.h"

#include <openssl/evp.h>
#include <stdatomic.h>
#include <string.h>

static const struct alg algs[] = {
    { "HS256", ALG_HMAC, "oct", NULL, "SHA256", 32, 32 },
    { "HS384", ALG_HMAC, "oct", NULL, "SHA384", 48, 48 },
    { "HS512", ALG_HMAC, "oct", NULL, "SHA512", 64, 64 },
    { "RS256", ALG_RSA_PKCS1, "RSA", NULL, "SHA256", 32, 0 },
    { "RS384", ALG_RSA_PKCS1, "RSA", NULL, "SHA384", 48, 0 },
    { "RS512", ALG_RSA_PKCS1, "RSA", NULL, "SHA512", 64, 0 },
    { "PS256", ALG_RSA_PSS, "RSA", NULL, "SHA256", 32, 0 },
    { "PS384", ALG_RSA_PSS, "RSA", NULL, "SHA384", 48, 0 },
    { "PS512", ALG_RSA_PSS, "RSA", NULL, "SHA512", 64, 0 },
    { "ES256", ALG_ECDSA, "EC", "P-256", "SHA256", 32, 64 },
    { "ES384", ALG_ECDSA, "EC", "P-384", "SHA384", 48, 96 },
    { "ES512", ALG_ECDSA, "EC", "P-521", "SHA512", 64, 132 },
    { "EdDSA", ALG_EDDSA, "OKP", "Ed25519", NULL, 0, 64 },
    { "Ed25519", ALG_EDDSA, "OKP", "Ed25519", NULL, 0, 64 },
};

const struct alg *alg_at(size_t i)
{
    return i < ARRAY_LEN(algs) ? &algs[i] : NULL;
}

const struct alg *alg_by_name(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(algs); i++)
        if (strlen(algs[i].name) == len && memcmp(algs[i].name, name, len) == 0)
            return &algs[i];
    return NULL;
}

bool alg_same(const struct alg *a, const struct alg *b)
{
    return a == b || (a->family == ALG_EDDSA && b->family == ALG_EDDSA);
}

size_t alg_padded_len(const struct alg *a)
{
    return (a->hash_len <= 32 ? 64 : 128) - 1;     /* FIPS 180-4: a block's, of SHA-256 or SHA-512; less one */
}

bool alg_signs_digest(const struct alg *a)
{
    return a->family != ALG_HMAC && a->family != ALG_EDDSA;
}

/* OpenSSL's, fetched once for each hash and kept for good: fetching costs as much as hashing a token does. */
static const EVP_MD *md_of(const struct alg *a)
{
    static EVP_MD *_Atomic kept[ALG_MAX_DIGEST + 1];      /* by length: each of ours has its own */
    EVP_MD *md = kept[a->hash_len], *none = NULL;

    if (md)
        return md;
    md = EVP_MD_fetch(NULL, a->hash, NULL);
    if (!md || atomic_compare_exchange_strong(&kept[a->hash_len], &none, md))
        return md;
    EVP_MD_free(md);                                       /* another thread was first */
    return none;
}

bool alg_digest(const struct alg *a, const void *input, size_t len, uint8_t *out)
{
    const EVP_MD *md = a->hash ? md_of(a) : NULL;
    unsigned n = 0;

    return md && EVP_Digest(input, len, out, &n, md, NULL) == 1 && n == a->hash_len;
}
