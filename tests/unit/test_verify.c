#include "proto/jose/verify.h"

#include "proto/jose/b64url.h"
#include "tests/support/unit.h"

#include <jansson.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define MAX 65536
#define SECRET_JWK "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"eW91ci0yNTYtYml0LXNlY3JldA\"}]}"

static const char printed[] =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5"
    "MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";

/* One verification by name of the reason; "NONE" when accepted. */
static const char *verdict(const char *token, size_t len, const char *jwks, const char *alg, bool weak,
                           const struct claims_rules *claims)
{
    struct err e = { 0 };
    const struct alg *algs[1] = { alg ? alg_by_name(alg, strlen(alg)) : NULL };
    struct verify_rules rules = { algs, alg ? 1 : 0, MAX, weak, claims };
    const struct jwk *key = NULL;
    struct jws j;
    CLEANUP(jwk_set_freep) struct jwk_set *set = jwk_set_read(jwks, strlen(jwks), &e);

    if (!set)
        return err_reason_name(e.reason);
    bool ok = verify_token(&j, token, len, set, &rules, &key, NULL, &e);
    jws_clear(&j);
    CU_ASSERT_EQUAL(ok, e.reason == ERR_NONE);
    CU_ASSERT_EQUAL(ok, key != NULL);
    CU_ASSERT_TRUE(ok || err_is_verdict(e.reason));
    return err_reason_name(e.reason);
}

static json_t *rfc_vectors(void)
{
    json_error_t at;
    json_t *list = json_load_file(TESTS_DIR "/vectors/rfc.json", 0, &at);
    CU_ASSERT_PTR_NOT_NULL_FATAL(list);
    return list;
}

static void rfc_signatures_verify(void)
{
    json_t *list = rfc_vectors(), *v;
    size_t i, n = 0;

    json_array_foreach(list, i, v) {
        const char *token = json_string_value(json_object_get(v, "token"));
        if (!token)
            continue;
        char *jwk = json_dumps(json_object_get(v, "jwk"), 0), *bad = strdup(token);
        const char *name = json_string_value(json_object_get(v, "name"));
        const char *alg = json_string_value(json_object_get(v, "alg"));
        unit_same_str(name, verdict(token, strlen(token), jwk, alg, false, NULL), "NONE");
        char *at = strrchr(bad, '.') + 5;
        *at = *at == 'A' ? 'B' : 'A';
        unit_same_str(name, verdict(bad, strlen(bad), jwk, alg, false, NULL), "BAD_SIGNATURE");
        free(bad);
        free(jwk);
        n++;
    }
    unit_same_int("vectors", (long long)n, 9);
    json_decref(list);
}

static void rfc_thumbprints_match(void)
{
    json_t *list = rfc_vectors(), *v;
    size_t i, n = 0;

    json_array_foreach(list, i, v) {
        const char *want = json_string_value(json_object_get(v, "thumbprint"));
        struct err e;
        char got[JWK_THUMBPRINT_LEN + 1];
        if (!want)
            continue;
        char *jwk = json_dumps(json_object_get(v, "jwk"), 0);
        struct jwk_set *set = jwk_set_read(jwk, strlen(jwk), &e);
        CU_ASSERT_TRUE_FATAL(set && jwk_set_size(set) == 1 && jwk_thumbprint(jwk_set_at(set, 0), got));
        unit_same_str(json_string_value(json_object_get(v, "name")), got, want);
        jwk_set_free(set);
        free(jwk);
        n++;
    }
    unit_same_int("thumbprints", (long long)n, 2);
    json_decref(list);
}

static void every_flipped_bit_of_the_printed_token_is_refused(void)
{
    size_t len = strlen(printed);
    char token[sizeof printed];

    unit_same_str("as printed", verdict(printed, len, SECRET_JWK, "HS256", true, NULL), "NONE");
    unit_same_str("its secret is weak", verdict(printed, len, SECRET_JWK, "HS256", false, NULL), "KEY_UNUSABLE");
    for (size_t bit = 0; bit < 8 * len; bit++) {
        memcpy(token, printed, sizeof printed);
        token[bit / 8] ^= (char)(1 << bit % 8);
        if (strcmp(verdict(token, len, SECRET_JWK, "HS256", true, NULL), "NONE") == 0)
            unit_same_int("accepted with this bit flipped", (long long)bit, -1);
    }
}

/* A fresh key of each alg, signed by OpenSSL, as the daemon's token would. */
struct signer { EVP_PKEY *pkey; const struct alg *alg; };

static EVP_PKEY *pkey_for(const struct alg *a)
{
    if (a->family == ALG_EDDSA)
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return a->family == ALG_ECDSA ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", a->crv)
                                  : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
}

static void sign(const struct signer *s, struct buf *token)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx;
    uint8_t sig[1024], raw[132];
    size_t n = sizeof sig;

    CU_ASSERT_FATAL(EVP_DigestSignInit_ex(md, &ctx, s->alg->hash, NULL, NULL, s->pkey, NULL) == 1);
    if (s->alg->family == ALG_RSA_PSS) {
        EVP_PKEY_CTX_set_rsa_padding(ctx, 6);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, -1);
    }
    CU_ASSERT_FATAL(EVP_DigestSign(md, sig, &n, token->data, token->len) == 1);
    EVP_MD_CTX_free(md);
    if (s->alg->family == ALG_ECDSA) {
        const uint8_t *p = sig;
        ECDSA_SIG *parts = d2i_ECDSA_SIG(NULL, &p, (long)n);
        n = s->alg->signature_len;
        BN_bn2binpad(ECDSA_SIG_get0_r(parts), raw, (int)n / 2);
        BN_bn2binpad(ECDSA_SIG_get0_s(parts), raw + n / 2, (int)n / 2);
        memcpy(sig, raw, n);
        ECDSA_SIG_free(parts);
    }
    CU_ASSERT_TRUE(jws_append_signature(token, sig, n));
}

static struct jwk *public_half(const struct signer *s, const struct alg *alg, struct err *e)
{
    uint8_t *der = NULL;
    int n = i2d_PUBKEY(s->pkey, &der);
    struct jwk *k = jwk_from_spki(der, (size_t)n, alg, e);
    OPENSSL_free(der);
    return k;
}

static void each_algorithm_verifies_by_its_published_key(void)
{
    const struct alg *a;
    for (size_t i = 0; (a = alg_at(i)); i++) {
        if (a->family == ALG_HMAC)
            continue;
        struct err e = { 0 };
        struct signer s = { pkey_for(a), a };
        struct jwk *k = public_half(&s, a, &e);
        struct buf jwks, token;
        buf_init(&jwks, MAX);
        buf_init(&token, MAX);
        CU_ASSERT_PTR_NOT_NULL_FATAL(k);
        CU_ASSERT_TRUE(buf_append_str(&jwks, "{\"keys\":[{\"kty\":\"new\"},7,") && jwk_write(k, &jwks) &&
                       buf_append_str(&jwks, "]}") && buf_append_char(&jwks, '\0'));
        CU_ASSERT_TRUE(jws_signing_input(&token, a, "JWT", jwk_kid(k), "{}", 2));
        sign(&s, &token);
        const char *set = (char *)jwks.data, *text = (char *)token.data;
        unit_same_str(a->name, verdict(text, token.len, set, a->name, false, NULL), "NONE");
        unit_same_str(a->name, verdict(text, token.len, set, NULL, false, NULL), "NONE");
        unit_same_str(a->name, verdict(text, token.len, set, a->family == ALG_RSA_PSS ? "RS256" : "PS256", false, NULL),
                      "ALG_NOT_ALLOWED");
        unit_same_str(a->name, verdict(text, token.len, "{\"keys\":[]}", a->name, false, NULL), "KEY_UNKNOWN");
        CU_ASSERT_PTR_NULL(strstr(set, "\"d\""));
        jwk_free(k);
        EVP_PKEY_free(s.pkey);
        buf_clear(&jwks);
        buf_clear(&token);
    }
}

/* kty, use, alg, kid, then the public members: these and no other, always in this order. */
static void a_published_key_says_all_that_is_needed_and_nothing_secret(void)
{
    static const char *const members[][3] = {
        [ALG_RSA_PKCS1] = { "e", "n" }, [ALG_RSA_PSS] = { "e", "n" }, [ALG_ECDSA] = { "crv", "x", "y" }, [ALG_EDDSA] = { "crv", "x" },
    };
    const struct alg *a;

    for (size_t i = 0; (a = alg_at(i)); i++) {
        if (a->family == ALG_HMAC)
            continue;
        struct err e = { 0 };
        struct signer s = { pkey_for(a), a };
        struct jwk *k = public_half(&s, a, &e);
        struct buf text, names, want;
        const char *name;
        json_t *v;
        buf_init(&text, MAX);
        buf_init(&names, MAX);
        buf_init(&want, MAX);
        CU_ASSERT_TRUE_FATAL(k && jwk_write(k, &text) && buf_append_str(&want, "kty use alg kid "));
        for (size_t m = 0; m < 3 && members[a->family][m]; m++)
            CU_ASSERT_TRUE(buf_printf(&want, "%s ", members[a->family][m]));
        json_t *o = json_loadb((char *)text.data, text.len, 0, NULL);
        json_object_foreach(o, name, v)
            CU_ASSERT_TRUE(buf_printf(&names, "%s ", name));
        unit_same_mem(a->name, names.data, names.len, want.data, want.len);
        unit_same_str(a->name, json_string_value(json_object_get(o, "use")), "sig");
        unit_same_str(a->name, json_string_value(json_object_get(o, "alg")), a->name);
        unit_same_str(a->name, json_string_value(json_object_get(o, "kid")), jwk_kid(k));
        json_decref(o);
        jwk_free(k);
        EVP_PKEY_free(s.pkey);
        buf_clear(&text);
        buf_clear(&names);
        buf_clear(&want);
    }
}

/* RFC 8037: an OKP key, a signature of 64 bytes. */
static void an_ed25519_signature_has_64_bytes(void)
{
    const struct alg *a = alg_by_name("EdDSA", 5);
    struct err e = { 0 };
    struct signer s = { pkey_for(a), a };
    struct jwk *k = public_half(&s, a, &e);
    struct buf token, sig;

    buf_init(&token, MAX);
    buf_init(&sig, MAX);
    CU_ASSERT_TRUE_FATAL(k && buf_append_str(&token, "x"));
    sign(&s, &token);
    CU_ASSERT_TRUE_FATAL(b64url_decode(&sig, (char *)token.data + 2, token.len - 2) && buf_append(&sig, "", 1));
    for (size_t n = 0; n <= 65; n++)
        unit_same_int("its length", jwk_verifies(k, a, "x", 1, sig.data, n), n == 64);
    EVP_PKEY_free(s.pkey);
    jwk_free(k);
    buf_clear(&token);
    buf_clear(&sig);
}

static void a_key_serves_only_what_it_is_for(void)
{
    struct err e;
    struct signer rsa = { EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024), alg_by_name("RS256", 5) };
    struct signer ec = { EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384"), alg_by_name("ES256", 5) };

    CU_ASSERT_PTR_NULL(public_half(&rsa, rsa.alg, &e));
    unit_same_str("RSA of 1024 bits", err_reason_name(e.reason), "KEY_TOO_WEAK");
    CU_ASSERT_PTR_NULL(public_half(&ec, ec.alg, &e));
    unit_same_str("P-384 for ES256", err_reason_name(e.reason), "KEY_UNUSABLE");
    CU_ASSERT_PTR_NULL(jwk_from_spki((const uint8_t *)"x", 1, ec.alg, &e));
    EVP_PKEY_free(rsa.pkey);
    EVP_PKEY_free(ec.pkey);
}

/* An HS256 token with the header and payload given, by a secret of 32 zero bytes. */
#define ZERO_K "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define ZERO_JWK(more) "{\"keys\":[{\"kty\":\"oct\",\"k\":\"" ZERO_K "\"" more "}]}"

static void hmac_token(struct buf *token, const char *header, const char *payload)
{
    uint8_t key[32] = { 0 }, mac[32];
    size_t n;

    buf_init(token, MAX);
    b64url_encode(token, header, strlen(header));
    buf_append_char(token, '.');
    b64url_encode(token, payload, strlen(payload));
    CU_ASSERT_PTR_NOT_NULL_FATAL(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, 32, token->data, token->len, mac,
                                           sizeof mac, &n));
    jws_append_signature(token, mac, n);
}

#define H "{\"alg\":\"HS256\"}"
#define HK "{\"alg\":\"HS256\",\"kid\":\"a\"}"
static const struct { const char *name, *header, *jwks, *alg, *want; } key_case[] = {
    { "wire_6_1_3_1: alg named by the caller", H, ZERO_JWK(""), "HS256", "NONE" },
    { "wire_6_1_3_1: alg named by the key", H, ZERO_JWK(",\"alg\":\"HS256\""), NULL, "NONE" },
    { "wire_6_1_3_1: alg named by nobody", H, ZERO_JWK(""), NULL, "ALG_NOT_ALLOWED" },
    { "wire_6_1_3_1: the key's alg is another", H, ZERO_JWK(",\"alg\":\"HS512\""), "HS256", "ALG_NOT_ALLOWED" },
    { "wire_6_1_3_1: the key's alg is unknown", H, ZERO_JWK(",\"alg\":\"XX\""), "HS256", "ALG_NOT_ALLOWED" },
    { "wire_6_1_3_2: alg none", "{\"alg\":\"none\"}", ZERO_JWK(""), NULL, "ALG_NOT_ALLOWED" },
    { "wire_6_1_3_2: alg NONE", "{\"alg\":\"NONE\"}", ZERO_JWK(""), NULL, "ALG_NOT_ALLOWED" },
    { "wire_6_1_3_1: alg in lower case", "{\"alg\":\"hs256\"}", ZERO_JWK(""), "HS256", "ALG_NOT_ALLOWED" },
    { "wire_6_1_3_1: alg with a space", "{\"alg\":\"HS256 \"}", ZERO_JWK(""), "HS256", "ALG_NOT_ALLOWED" },
    { "use is enc", H, ZERO_JWK(",\"use\":\"enc\""), "HS256", "KEY_UNUSABLE" },
    { "use is sig", H, ZERO_JWK(",\"use\":\"sig\""), "HS256", "NONE" },
    { "key_ops without verify", H, ZERO_JWK(",\"key_ops\":[\"sign\"]"), "HS256", "KEY_UNUSABLE" },
    { "key_ops with verify", H, ZERO_JWK(",\"key_ops\":[\"sign\",\"verify\"]"), "HS256", "NONE" },
    { "key_ops twice the same: a broken key", H, ZERO_JWK(",\"key_ops\":[\"verify\",\"verify\"]"), "HS256", "KEY_UNKNOWN" },
    { "key_ops twice the same before verify", H, ZERO_JWK(",\"key_ops\":[\"sign\",\"sign\",\"verify\"]"), "HS256",
      "KEY_UNKNOWN" },
    { "more key_ops than there are", H, ZERO_JWK(",\"key_ops\":[\"verify\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\","
      "\"10\",\"11\",\"12\",\"13\",\"14\",\"15\",\"16\"]"), "HS256", "KEY_UNKNOWN" },
    { "key_ops is a string: a broken key", H, ZERO_JWK(",\"key_ops\":\"verify\""), "HS256", "KEY_UNKNOWN" },
    { "the kid's key", HK, ZERO_JWK(",\"kid\":\"a\""), "HS256", "NONE" },
    { "wire_6_1_3_10: a kid that no key bears", HK, ZERO_JWK(",\"kid\":\"b\""), "HS256", "KEY_UNKNOWN" },
    { "a kid, and a key without", HK, ZERO_JWK(""), "HS256", "KEY_UNKNOWN" },
    { "wire_6_2_20: no kid, and a key with one", H, ZERO_JWK(",\"kid\":\"b\""), "HS256", "NONE" },
    { "wire_6_2_20: no kid, and the second key fits", H,
      "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"},"
      "{\"kty\":\"oct\",\"k\":\"" ZERO_K "\"}]}", "HS256", "NONE" },
    { "wire_6_2_20: no kid, and no key fits", H, "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ZERO_K "\"}]}", "HS256",
      "KEY_UNKNOWN" },
    { "wire_6_1_3_10: a key in the header is nobody's", "{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"" ZERO_K "\"}}",
      "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}", "HS256", "BAD_SIGNATURE" },
    { "no set at all", H, "{}", "HS256", "KEY_UNUSABLE" },
    { "a set that is no JSON", H, "[", "HS256", "KEY_UNUSABLE" },
    { "two keys of one kid, the second fits", HK,
      "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"},"
      "{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"" ZERO_K "\"}]}", "HS256", "NONE" },
    { "wire_6_1_3_4: an EC key's coordinates too short", "{\"alg\":\"ES256\"}",
      "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}", "ES256", "KEY_UNKNOWN" },
    { "wire_6_1_3_4: a point that is not on the curve", "{\"alg\":\"ES256\"}",
      "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" ZERO_K "\",\"y\":\"" ZERO_K "\"}]}", "ES256", "KEY_UNKNOWN" },
};

static void keys_are_chosen_by_the_rules(void)
{
    for (size_t i = 0; i < sizeof key_case / sizeof *key_case; i++) {
        struct buf token;
        hmac_token(&token, key_case[i].header, "x");
        unit_same_str(key_case[i].name,
                      verdict((char *)token.data, token.len, key_case[i].jwks, key_case[i].alg, false, NULL),
                      key_case[i].want);
        buf_clear(&token);
    }
}

/* At now = 1000, leeway 10, issuer "i", audiences "a" and "b", typ "JWT". */
static const struct { const char *name, *header, *payload, *want; } claims_case[] = {
#define T "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define P(more) "{\"iss\":\"i\",\"aud\":\"a\"" more "}"
    { "all well", T, P(",\"exp\":1001,\"nbf\":999,\"iat\":999"), "NONE" },
    { "no times at all", T, P(""), "NONE" },
    { "wire_6_2_21: exp within the leeway", T, P(",\"exp\":991"), "NONE" },
    { "wire_6_2_21: exp at the leeway's end", T, P(",\"exp\":990"), "EXPIRED" },
    { "wire_6_2_21: exp a fraction", T, P(",\"exp\":990.5"), "NONE" },
    { "wire_6_2_21: exp a string", T, P(",\"exp\":\"2000\""), "BAD_PAYLOAD" },
    { "wire_6_2_21: exp null", T, P(",\"exp\":null"), "BAD_PAYLOAD" },
    { "wire_6_2_21: exp past every number", T, P(",\"exp\":1e999"), "BAD_PAYLOAD" },
    { "wire_6_2_21: exp far away", T, P(",\"exp\":99999999999999999999"), "NONE" },
    { "wire_6_2_21: exp negative", T, P(",\"exp\":-1"), "EXPIRED" },
    { "wire_6_2_21: nbf within the leeway", T, P(",\"nbf\":1010"), "NONE" },
    { "wire_6_2_21: nbf past it", T, P(",\"nbf\":1011"), "NOT_YET_VALID" },
    { "wire_6_2_21: iat past it", T, P(",\"iat\":1011"), "ISSUED_IN_FUTURE" },
    { "exp is looked at before iss", T, "{\"iss\":\"x\",\"exp\":1}", "EXPIRED" },
    { "wire_6_1_3_8: another issuer", T, "{\"iss\":\"I\",\"aud\":\"a\"}", "WRONG_ISSUER" },
    { "wire_6_1_3_8: no issuer", T, "{\"aud\":\"a\"}", "WRONG_ISSUER" },
    { "wire_6_1_3_8: iss a number", T, "{\"iss\":1,\"aud\":\"a\"}", "BAD_PAYLOAD" },
    { "wire_6_1_3_8: sub a number", T, P(",\"sub\":5"), "BAD_PAYLOAD" },
    { "wire_6_1_3_8: sub null", T, P(",\"sub\":null"), "BAD_PAYLOAD" },
    { "wire_6_2_22: sub a list", T, P(",\"sub\":[\"s\"]"), "BAD_PAYLOAD" },
    { "wire_6_2_22: sub a string", T, P(",\"sub\":\"s\""), "NONE" },
    { "jti a number", T, P(",\"jti\":5"), "BAD_PAYLOAD" },
    { "jti an object", T, P(",\"jti\":{}"), "BAD_PAYLOAD" },
    { "wire_6_2_22: iss with a NUL after", T, "{\"iss\":\"i\\u0000\",\"aud\":\"a\"}", "WRONG_ISSUER" },
    { "wire_6_2_22: the second audience in an array", T, "{\"iss\":\"i\",\"aud\":[\"x\",\"b\"]}", "NONE" },
    { "wire_6_1_3_9: another audience", T, "{\"iss\":\"i\",\"aud\":\"a/\"}", "WRONG_AUDIENCE" },
    { "wire_6_1_3_9: no audience", T, "{\"iss\":\"i\"}", "WRONG_AUDIENCE" },
    { "wire_6_1_3_9: aud empty", T, "{\"iss\":\"i\",\"aud\":[]}", "WRONG_AUDIENCE" },
    { "wire_6_2_22: aud an object", T, "{\"iss\":\"i\",\"aud\":{}}", "BAD_PAYLOAD" },
    { "wire_6_2_22: aud with a number", T, "{\"iss\":\"i\",\"aud\":[\"a\",1]}", "BAD_PAYLOAD" },
    { "wire_6_1_3_11: no typ", "{\"alg\":\"HS256\"}", P(""), "WRONG_TYPE" },
    { "wire_6_1_3_11: another typ", "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}", P(""), "WRONG_TYPE" },
    { "wire_6_1_3_11: typ with application/", "{\"alg\":\"HS256\",\"typ\":\"application/JWT\"}", P(""), "NONE" },
    { "a name twice", T, P(",\"iss\":\"i\""), "BAD_PAYLOAD" },
    { "an empty payload", T, "", "BAD_PAYLOAD" },
    { "an array", T, "[]", "BAD_PAYLOAD" },
};

static void claims_hold_by_the_rules(void)
{
    static const char *const audiences[] = { "a", "b" };
    struct claims_rules rules = { "i", audiences, 2, "JWT", 10, 1000 };

    for (size_t i = 0; i < sizeof claims_case / sizeof *claims_case; i++) {
        struct buf token;
        hmac_token(&token, claims_case[i].header, claims_case[i].payload);
        unit_same_str(claims_case[i].name,
                      verdict((char *)token.data, token.len, ZERO_JWK(""), "HS256", false, &rules), claims_case[i].want);
        buf_clear(&token);
    }
}

static void the_leeway_is_capped(void)
{
    struct claims_rules rules = { .leeway_s = 100000, .now = 1000 };
    struct err e;
    CU_ASSERT_FALSE(claims_check("{\"exp\":400}", 11, NULL, &rules, NULL, &e));
    CU_ASSERT_TRUE(claims_check("{\"exp\":401}", 11, NULL, &rules, NULL, &e));
}

static void what_a_payload_says_is_read(void)
{
    static const char text[] = "{\"iss\":\"i\",\"sub\":\"s\",\"aud\":[\"a\",\"b\"],\"exp\":5}";
    struct claims c;
    struct err e;

    CU_ASSERT_TRUE_FATAL(claims_peek(text, strlen(text), &c, &e));
    unit_same_str("iss", c.issuer, "i");
    unit_same_str("sub", c.subject, "s");
    unit_same_int("audiences", (long long)c.n_audiences, 2);
    unit_same_str("aud", c.audiences[1], "b");
    unit_same_int("exp", c.expires_at, 5);
    CU_ASSERT_PTR_NULL(c.jti);
    claims_clear(&c);
    unit_same_str("a registered name in another case", claims_registered("EXP"), "exp");
    CU_ASSERT_PTR_NULL(claims_registered("name"));
}

/* r or s out of range, DER, and wrong lengths, under a real key. */
static void bad_ecdsa_signatures_are_refused(void)
{
    struct err e;
    struct signer s = { EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), alg_by_name("ES256", 5) };
    struct jwk *k = public_half(&s, s.alg, &e);
    uint8_t sig[72] = { 0 };

    CU_ASSERT_FALSE(jwk_verifies(k, s.alg, "x", 1, sig, 64));
    memset(sig, 0xff, 64);
    CU_ASSERT_FALSE(jwk_verifies(k, s.alg, "x", 1, sig, 64));
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    size_t n = sizeof sig;
    CU_ASSERT_FATAL(EVP_DigestSignInit_ex(md, NULL, "SHA256", NULL, NULL, s.pkey, NULL) == 1 &&
                    EVP_DigestSign(md, sig, &n, (const uint8_t *)"x", 1) == 1);
    CU_ASSERT_FALSE(jwk_verifies(k, s.alg, "x", 1, sig, n));
    for (n = 0; n <= sizeof sig; n++)
        CU_ASSERT_FALSE(jwk_verifies(k, s.alg, "x", 1, sig, n));
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(s.pkey);
    jwk_free(k);
}

/* Leading zeros of r or s are part of the form: tried until one has them. */
static void signatures_with_leading_zeros_verify(void)
{
    struct err e;
    struct signer s = { EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), alg_by_name("ES256", 5) };
    struct jwk *k = public_half(&s, s.alg, &e);
    bool seen = false;

    for (int i = 0; i < 20000 && !seen; i++) {
        struct buf token, sig;
        buf_init(&token, 200);
        buf_init(&sig, 200);
        buf_printf(&token, "%d", i);
        size_t len = token.len;
        sign(&s, &token);
        CU_ASSERT_TRUE(b64url_decode(&sig, (char *)token.data + len + 1, token.len - len - 1));
        seen = sig.data[0] == 0 || sig.data[32] == 0;
        CU_ASSERT_TRUE(!seen || jwk_verifies(k, s.alg, token.data, len, sig.data, sig.len));
        buf_clear(&token);
        buf_clear(&sig);
    }
    CU_ASSERT_TRUE(seen);
    EVP_PKEY_free(s.pkey);
    jwk_free(k);
}

static const struct unit_case cases[] = {
    { "RFC 7515 A.1-A.4, RFC 7520 4.1-4.4, RFC 8037 A.4: signatures verify", rfc_signatures_verify },
    { "RFC 7638 3.1, RFC 8037 A.3: thumbprints match", rfc_thumbprints_match },
    { "every flipped bit of the printed token is refused", every_flipped_bit_of_the_printed_token_is_refused },
    { "each algorithm verifies by its published key", each_algorithm_verifies_by_its_published_key },
    { "wire_6_2_12: a published key says all that is needed and nothing secret",
      a_published_key_says_all_that_is_needed_and_nothing_secret },
    { "wire_6_2_7: an Ed25519 signature has 64 bytes", an_ed25519_signature_has_64_bytes },
    { "a key serves only what it is for", a_key_serves_only_what_it_is_for },
    { "keys are chosen by the rules", keys_are_chosen_by_the_rules },
    { "claims hold by the rules", claims_hold_by_the_rules },
    { "the leeway is capped", the_leeway_is_capped },
    { "what a payload says is read", what_a_payload_says_is_read },
    { "wire_6_2_18: bad ECDSA signatures are refused", bad_ecdsa_signatures_are_refused },
    { "wire_6_2_5: signatures with leading zeros verify", signatures_with_leading_zeros_verify },
};

UNIT_MAIN(cases)
