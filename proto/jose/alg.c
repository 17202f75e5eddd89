#include "proto/jose/alg.h"

#include "proto/cleanup.h"

#include <openssl/evp.h>
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

bool alg_signs_digest(const struct alg *a)
{
    return a->family != ALG_HMAC && a->family != ALG_EDDSA;
}

bool alg_digest(const struct alg *a, const void *input, size_t len, uint8_t *out)
{
    size_t n = 0;
    return a->hash && EVP_Q_digest(NULL, a->hash, NULL, input, len, out, &n) == 1 && n == a->hash_len;
}
