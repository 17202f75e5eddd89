#include "proto/jose/jwk_private.h"

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <string.h>

bool jwk_is_kind(const struct jwk *k, const struct alg *alg)
{
    return strcmp(k->kty, alg->kty) == 0 && (!alg->crv || strcmp(k->crv, alg->crv) == 0);
}

bool jwk_fits(const struct jwk *k, const struct alg *alg, bool allow_weak_secret, struct err *e)
{
    if (!jwk_is_kind(k, alg))
        return err_set(e, ERR_KEY_UNUSABLE, "the key is of kind %s%s%s, which %s cannot use", k->kty,
                       k->crv ? " " : "", k->crv ? k->crv : "", alg->name);
    if (k->has_alg && !(k->alg && alg_same(k->alg, alg)))
        return err_set(e, ERR_ALG_NOT_ALLOWED, "the key is for %s, not for %s",
                       k->alg ? k->alg->name : "another algorithm", alg->name);
    if (!k->may_verify)
        return err_set(e, ERR_KEY_UNUSABLE, "the key's 'use' or 'key_ops' does not allow verifying");
    if (k->secret && k->secret_len < alg->hash_len && !allow_weak_secret)
        return err_set(e, ERR_KEY_UNUSABLE, "the secret has %zu bytes, %s needs at least %zu (RFC 7518 section 3.2)",
                       k->secret_len, alg->name, alg->hash_len);
    return true;
}

static bool hmac_ok(const struct jwk *k, const struct alg *alg, const void *input, size_t len,
                    const uint8_t *signature, size_t signature_len)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    const EVP_MD *md = EVP_get_digestbyname(alg->hash);
    bool ok = md && HMAC(md, k->secret, (int)k->secret_len, input, len, mac, &mac_len) &&
              mac_len == signature_len && CRYPTO_memcmp(mac, signature, mac_len) == 0;

    OPENSSL_cleanse(mac, sizeof mac);
    return ok;
}

/* r||s (RFC 7518 section 3.4) as the DER that OpenSSL reads. *out freed by OPENSSL_free. */
static int der_of(const uint8_t *signature, size_t len, uint8_t **out)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, (int)(len / 2), NULL);
    BIGNUM *s = BN_bin2bn(signature + len / 2, (int)(len / 2), NULL);
    int n = -1;

    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
        n = i2d_ECDSA_SIG(sig, out);
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    return n;
}

static bool padding_set(EVP_PKEY_CTX *ctx, const struct alg *alg)
{
    if (alg->family == ALG_RSA_PKCS1)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    if (alg->family == ALG_RSA_PSS)       /* RFC 7518 section 3.5: the salt is as long as the hash */
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    return true;
}

static EVP_MD_CTX *context(const struct jwk *k, const struct alg *alg)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx = NULL;

    if (md && alg == k->alg && k->ready && EVP_MD_CTX_copy_ex(md, k->ready) == 1)
        return md;
    if (md && EVP_DigestVerifyInit_ex(md, &ctx, alg->hash, NULL, NULL, k->pkey, NULL) == 1 && padding_set(ctx, alg))
        return md;
    EVP_MD_CTX_free(md);
    return NULL;
}

void jwk_make_ready(struct jwk *k)
{
    struct err e;

    if (k->pkey && k->alg && jwk_fits(k, k->alg, false, &e))
        k->ready = context(k, k->alg);
}

bool jwk_verifies(const struct jwk *k, const struct alg *alg, const void *input, size_t input_len,
                  const uint8_t *signature, size_t signature_len)
{
    size_t want = alg->signature_len;

    if (k->secret)
        return alg->family == ALG_HMAC && hmac_ok(k, alg, input, input_len, signature, signature_len);
    if (!k->pkey || alg->family == ALG_HMAC)
        return false;
    if (want == 0)
        want = (size_t)EVP_PKEY_get_size(k->pkey);
    if (signature_len != want)
        return false;
    uint8_t *der = NULL;
    int der_len = 0;
    if (alg->family == ALG_ECDSA && (der_len = der_of(signature, signature_len, &der)) <= 0)
        return false;
    EVP_MD_CTX *md = context(k, alg);
    bool ok = md && EVP_DigestVerify(md, der ? der : signature, der ? (size_t)der_len : signature_len, input,
                                     input_len) == 1;
    EVP_MD_CTX_free(md);
    OPENSSL_free(der);
    ERR_clear_error();      /* OpenSSL queues why not; nobody reads it */
    return ok;
}
