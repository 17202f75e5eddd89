/*
 * verify: a token checked by libsignet in this process, against what OpenSSL
 * alone takes to verify its signature.
 *
 *     verify SOCKET PROFILE TOKEN SECONDS
 *
 * Prints "OURS_PER_S BARE_PER_S". The two take turns, a slice each, so that
 * whatever the machine does meanwhile is done to both.
 */
#include "client/signet.h"
#include "proto/jose/alg.h"
#include "proto/jose/b64url.h"
#include "proto/jose/json.h"
#include "proto/cleanup.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SLICE_NS 20000000ll

struct bare {
    EVP_PKEY *key;
    const char *input;
    size_t input_len;
    uint8_t *signature;
    size_t signature_len;
};

static long long now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static _Noreturn void die(const char *why)
{
    fprintf(stderr, "verify: %s\n", why);
    exit(1);
}

static size_t decoded(const char *text, size_t len, uint8_t *out, size_t size)
{
    struct buf b;

    buf_init(&b, size);
    if (!b64url_decode(&b, text, len))
        die("no base64url");
    len = b.len;
    memcpy(out, b.data, len);
    buf_clear(&b);
    return len;
}

static size_t member(json_t *jwk, const char *name, uint8_t *out, size_t size)
{
    json_t *v = json_object_get(jwk, name);

    return decoded(json_string_value(v), json_string_length(v), out, size);
}

static EVP_PKEY *key_of(json_t *jwk)
{
    bool ec = strcmp(json_string_value(json_object_get(jwk, "kty")), "EC") == 0;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, ec ? "EC" : "RSA", NULL);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    uint8_t a[2048], b[2048];
    EVP_PKEY *key = NULL;

    if (ec) {
        a[0] = 4;
        member(jwk, "x", a + 1, 32);
        member(jwk, "y", a + 33, 32);
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, a, 65);
    } else {
        BIGNUM *n = BN_bin2bn(a, (int)member(jwk, "n", a, sizeof a), NULL);
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n);
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, BN_bin2bn(b, (int)member(jwk, "e", b, sizeof b), NULL));
    }
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    if (EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        die("no key");
    return key;
}

/* r||s as DER: what OpenSSL wants; made once, outside what is measured. */
static void as_der(struct bare *b)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    uint8_t *der = NULL;

    ECDSA_SIG_set0(sig, BN_bin2bn(b->signature, 32, NULL), BN_bin2bn(b->signature + 32, 32, NULL));
    b->signature_len = (size_t)i2d_ECDSA_SIG(sig, &der);
    b->signature = der;
}

static struct bare bare_of(const char *token, const char *jwks)
{
    static uint8_t signature[2048];
    const char *dot = strrchr(token, '.');
    struct bare b = { .input = token, .input_len = (size_t)(dot - token), .signature = signature };
    json_t *keys = json_object_get(json_loads(jwks, 0, NULL), "keys"), *jwk;
    size_t i;

    /* the token's kid stands in its header as the key's does */
    uint8_t header[1024];
    size_t n = decoded(token, (size_t)(strchr(token, '.') - token), header, sizeof header - 1);
    header[n] = '\0';
    json_array_foreach(keys, i, jwk)
        if (strstr((char *)header, json_string_value(json_object_get(jwk, "kid"))))
            b.key = key_of(jwk);
    if (!b.key)
        die("the token's key is not in the set");
    b.signature_len = decoded(dot + 1, strlen(dot + 1), signature, sizeof signature);
    if (EVP_PKEY_is_a(b.key, "EC"))
        as_der(&b);
    return b;
}

static bool check_bare(const struct bare *b)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, b->key) == 1 &&
              EVP_DigestVerify(md, b->signature, b->signature_len, (const uint8_t *)b->input, b->input_len) == 1;

    EVP_MD_CTX_free(md);
    return ok;
}

int main(int argc, char **argv)
{
    struct signet_error e;

    if (argc != 5)
        return 2;
    struct signet *s = signet_open(argv[1], &e);
    struct signet_keys *k = s ? signet_get_keys(s, &e) : NULL;
    struct signet_local *l = signet_local_open(argv[1], &e);
    if (!k || !l)
        die(e.text);
    struct bare b = bare_of(argv[3], k->jwks);
    size_t len = strlen(argv[3]);
    long long end = now_ns() + atoll(argv[4]) * 1000000000ll, spent[2] = { 0 }, n[2] = { 0 };
    while (now_ns() < end)
        for (int ours = 0; ours < 2; ours++) {
            long long begin = now_ns(), at = begin;
            while (at - begin < SLICE_NS) {
                for (int i = 0; i < 16; i++) {
                    struct signet_verified *v = ours ? signet_local_verify(l, argv[3], len, argv[2], NULL, &e) : NULL;
                    if (ours ? !v : !check_bare(&b))
                        die(ours ? e.text : "the bare signature");
                    signet_verified_free(v);
                }
                n[ours] += 16;
                at = now_ns();
            }
            spent[ours] += at - begin;
        }
    printf("%.1f %.1f\n", (double)n[1] * 1e9 / (double)spent[1], (double)n[0] * 1e9 / (double)spent[0]);
    return 0;
}
