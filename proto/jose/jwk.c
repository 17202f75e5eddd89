/*
 * A key keeps its members as they stand in a JWK (base64url), since that is
 * what thumbprint and key set are written from, and beside them what OpenSSL
 * verifies with.
 */
#include "proto/jose/jwk.h"

#include "proto/jose/b64url.h"
#include "proto/jose/json.h"
#include "proto/jose/jwk_private.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <string.h>

#define MAX_MEMBER (JWK_MAX_RSA_BITS / 8)    /* bytes of a member decoded: RSA's modulus */
#define MAX_SECRET 4096                      /* bytes of an HMAC secret */
#define MAX_KEY_OPS 16                       /* of a key: the registry has eight */
#define MAX_KEYS 1000                        /* of a set: a bound of work, ten times what verifiers read */

/* What a kty's public members are, in the order of RFC 7638. The last column is a secret's. */
static const struct kty {
    const char *name;
    const char *members[2];
} ktys[] = {
    { "EC", { "x", "y" } },
    { "OKP", { "x", NULL } },
    { "RSA", { "e", "n" } },
    { "oct", { "k", NULL } },
};

static const struct curve {
    const char *crv, *group;
    size_t coordinate_len;       /* bytes */
} curves[] = {
    { "P-256", "prime256v1", 32 },
    { "P-384", "secp384r1", 48 },
    { "P-521", "secp521r1", 66 },
    { "Ed25519", NULL, 32 },
};

struct jwk_set {
    struct jwk **keys;
    size_t n;
};

static const struct kty *kty_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(ktys); i++)
        if (strcmp(ktys[i].name, name) == 0)
            return &ktys[i];
    return NULL;
}

static const struct curve *curve_by_name(const char *crv)
{
    for (size_t i = 0; crv && i < ARRAY_LEN(curves); i++)
        if (strcmp(curves[i].crv, crv) == 0)
            return &curves[i];
    return NULL;
}

void jwk_free(struct jwk *k)
{
    if (!k)
        return;
    EVP_MD_CTX_free(k->ready);
    EVP_PKEY_free(k->pkey);
    if (k->secret)
        OPENSSL_cleanse(k->secret, k->secret_len);
    free(k->secret);
    for (size_t i = 0; i < ARRAY_LEN(k->members); i++) {
        if (k->members[i] && k->secret)
            OPENSSL_cleanse(k->members[i], strlen(k->members[i]));
        free(k->members[i]);
    }
    free(k->kid);
    free(k);
}

const char *jwk_kid(const struct jwk *k)
{
    return k->kid;
}

const struct alg *jwk_alg(const struct jwk *k)
{
    return k->alg;
}

/* --- what OpenSSL verifies with, from the members ------------------------------- */

static EVP_PKEY *pkey_from(const char *type, OSSL_PARAM_BLD *params)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *p = OSSL_PARAM_BLD_to_param(params);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);

    if (p && ctx && EVP_PKEY_fromdata_init(ctx) == 1)
        if (EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, p) != 1)
            pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(p);
    return pkey;
}

/* A point that is not on its curve does not become a key: OpenSSL looks. */
static EVP_PKEY *pkey_ec(const struct curve *c, const struct buf *x, const struct buf *y)
{
    uint8_t point[1 + 2 * 66] = { 4 };

    if (x->len != c->coordinate_len || y->len != c->coordinate_len)
        return NULL;
    memcpy(point + 1, x->data, x->len);
    memcpy(point + 1 + x->len, y->data, y->len);
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;
    if (b && OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, c->group, 0) &&
        OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + x->len + y->len))
        pkey = pkey_from("EC", b);
    OSSL_PARAM_BLD_free(b);
    return pkey;
}

static EVP_PKEY *pkey_rsa(const struct buf *e, const struct buf *n)
{
    /* RFC 7518 section 6.3.1: the least number of octets. */
    if (e->len == 0 || n->len == 0 || e->data[0] == 0 || n->data[0] == 0)
        return NULL;
    BIGNUM *bn_e = BN_bin2bn(e->data, (int)e->len, NULL), *bn_n = BN_bin2bn(n->data, (int)n->len, NULL);
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;
    int bits = bn_n ? BN_num_bits(bn_n) : 0;

    /* e of 64 bits at most: what OpenSSL itself demands past 3072 bits of n, and all that is used. */
    if (bn_e && b && bits >= JWK_MIN_RSA_BITS && bits <= JWK_MAX_RSA_BITS && BN_is_odd(bn_n) &&
        BN_is_odd(bn_e) && !BN_is_one(bn_e) && BN_num_bits(bn_e) <= 64 &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, bn_e) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, bn_n))
        pkey = pkey_from("RSA", b);
    OSSL_PARAM_BLD_free(b);
    BN_free(bn_e);
    BN_free(bn_n);
    return pkey;
}

/* Fills k->pkey or k->secret from its members. */
static bool materialise(struct jwk *k)
{
    CLEANUP(buf_clear) struct buf first, second;
    const struct curve *c = curve_by_name(k->crv);

    buf_init_secret(&first, strcmp(k->kty, "oct") == 0 ? MAX_SECRET : MAX_MEMBER);
    buf_init(&second, MAX_MEMBER);
    if (!b64url_decode(&first, k->members[0], strlen(k->members[0])) ||
        (k->members[1] && !b64url_decode(&second, k->members[1], strlen(k->members[1]))))
        return false;
    if (strcmp(k->kty, "EC") == 0) {
        k->pkey = c && c->group ? pkey_ec(c, &first, &second) : NULL;
    } else if (strcmp(k->kty, "RSA") == 0) {
        k->pkey = pkey_rsa(&first, &second);
    } else if (strcmp(k->kty, "OKP") == 0) {
        if (c && !c->group && first.len == c->coordinate_len)
            k->pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, first.data, first.len);
    } else {
        if (first.len == 0)
            return false;
        k->secret = malloc(first.len);
        if (!k->secret)
            return false;
        memcpy(k->secret, first.data, first.len);
        k->secret_len = first.len;
        return true;
    }
    return k->pkey != NULL;
}

/* --- of a JWK ------------------------------------------------------------------- */

/* A string member: NULL where absent; *broken where it is there but no plain string. */
static const char *string_of(json_t *o, const char *name, bool *broken)
{
    json_t *v = json_object_get(o, name);

    if (!v)
        return NULL;
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v)) {
        *broken = true;
        return NULL;
    }
    return json_string_value(v);
}

/* RFC 7517 section 4.3: an array without duplicates. */
static bool key_ops_ok(json_t *ops)
{
    size_t n = json_array_size(ops);

    if (!json_is_array(ops) || n > MAX_KEY_OPS)
        return false;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_array_get(ops, i), json_array_get(ops, k)))
                return false;
    return true;
}

/* use, where given, is "sig"; key_ops, where given, holds "verify" ("sign" too will do for a secret). */
static bool purpose_ok(json_t *o, bool *broken)
{
    const char *use = string_of(o, "use", broken);
    json_t *ops = json_object_get(o, "key_ops"), *op;
    size_t i;

    if (use && strcmp(use, "sig") != 0)
        return false;
    if (!ops)
        return true;
    if (!key_ops_ok(ops)) {
        *broken = true;
        return false;
    }
    json_array_foreach(ops, i, op)
        if (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0)
            return true;
    return false;
}

/* NULL: not understood or broken. */
static struct jwk *jwk_read(json_t *o)
{
    bool broken = false;
    CLEANUP(jwk_freep) struct jwk *k = calloc(1, sizeof *k);
    const char *kty = string_of(o, "kty", &broken), *crv = string_of(o, "crv", &broken);
    const char *alg = string_of(o, "alg", &broken), *kid = string_of(o, "kid", &broken);
    const struct kty *type = kty ? kty_by_name(kty) : NULL;

    if (!k || !type)
        return NULL;
    k->kty = type->name;
    if (strcmp(type->name, "EC") == 0 || strcmp(type->name, "OKP") == 0) {
        const struct curve *c = curve_by_name(crv);
        if (!c)
            return NULL;
        k->crv = c->crv;
    }
    k->has_alg = alg != NULL;
    k->alg = alg ? alg_by_name(alg, strlen(alg)) : NULL;
    k->may_verify = purpose_ok(o, &broken);
    if (kid) {
        if (strlen(kid) > JWK_MAX_KID || !(k->kid = strdup(kid)))
            return NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(type->members) && type->members[i]; i++) {
        const char *value = string_of(o, type->members[i], &broken);
        if (!value || !(k->members[i] = strdup(value)))
            return NULL;
    }
    if (broken || !materialise(k))
        return NULL;
    return TAKE(k);
}

struct jwk_set *jwk_set_read(const void *json, size_t len, struct err *e)
{
    CLEANUP(json_decrefp) json_t *doc = json_object_read(json, len, ERR_KEY_UNUSABLE, e);

    if (!doc) {
        err_wrap(e, "the key set");
        return NULL;
    }
    return jwk_set_of(doc, e);
}

struct jwk_set *jwk_set_of(json_t *doc, struct err *e)
{
    CLEANUP(jwk_set_freep) struct jwk_set *s = calloc(1, sizeof *s);
    json_t *list = json_object_get(doc, "keys");
    bool single = !list && json_object_get(doc, "kty");
    size_t n = single ? 1 : json_array_size(list);

    if (!single && !json_is_array(list)) {
        err_set(e, ERR_KEY_UNUSABLE, "the key set has no array 'keys' (RFC 7517 section 5)");
        return NULL;
    }
    if (n > MAX_KEYS) {
        err_set(e, ERR_KEY_UNUSABLE, "the key set has %zu keys, more than %d", n, MAX_KEYS);
        return NULL;
    }
    if (s)
        s->keys = calloc(n ? n : 1, sizeof(struct jwk *));
    if (!s || !s->keys) {
        err_set(e, ERR_NO_MEMORY, "no memory for a key set");
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        json_t *o = single ? doc : json_array_get(list, i);
        errno = 0;
        struct jwk *k = json_is_object(o) ? jwk_read(o) : NULL;
        if (!k && errno == ENOMEM) {         /* a set without it would reject its tokens */
            err_set(e, ERR_NO_MEMORY, "no memory for a key of the set");
            return NULL;
        }
        if (!k)
            continue;
        jwk_make_ready(k);
        s->keys[s->n++] = k;
    }
    return TAKE(s);
}

void jwk_set_free(struct jwk_set *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        jwk_free(s->keys[i]);
    free(s->keys);
    free(s);
}

size_t jwk_set_size(const struct jwk_set *s)
{
    return s->n;
}

const struct jwk *jwk_set_at(const struct jwk_set *s, size_t i)
{
    return s->keys[i];
}

/* --- of a token's public key ---------------------------------------------------- */

static char *encoded(const uint8_t *bytes, size_t len)
{
    CLEANUP(buf_clear) struct buf b;

    buf_init(&b, MAX_MEMBER * 2);
    if (!b64url_encode(&b, bytes, len) || !buf_append_char(&b, '\0'))
        return NULL;
    return (char *)TAKE(b.data);
}

static char *encoded_bn(EVP_PKEY *pkey, const char *param)
{
    BIGNUM *bn = NULL;
    uint8_t bytes[MAX_MEMBER];
    char *text = NULL;

    if (EVP_PKEY_get_bn_param(pkey, param, &bn) == 1 && BN_num_bytes(bn) <= (int)sizeof bytes)
        text = encoded(bytes, (size_t)BN_bn2bin(bn, bytes));
    BN_free(bn);
    return text;
}

/* kty, crv and members of an OpenSSL key of one of our kinds. */
static bool describe(struct jwk *k, EVP_PKEY *pkey)
{
    uint8_t raw[1 + 2 * 66];
    size_t len = 0;

    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA) {
        k->kty = "RSA";
        k->members[0] = encoded_bn(pkey, OSSL_PKEY_PARAM_RSA_E);
        k->members[1] = encoded_bn(pkey, OSSL_PKEY_PARAM_RSA_N);
        return k->members[0] && k->members[1];
    }
    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_ED25519) {
        k->kty = "OKP";
        k->crv = "Ed25519";
        len = sizeof raw;
        if (EVP_PKEY_get_raw_public_key(pkey, raw, &len) == 1)
            k->members[0] = encoded(raw, len);
        return k->members[0];
    }
    char group[32];
    if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_EC ||
        EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL) != 1 ||
        EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, raw, sizeof raw, &len) != 1)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(curves); i++)
        if (curves[i].group && strcmp(curves[i].group, group) == 0 && len == 1 + 2 * curves[i].coordinate_len &&
            raw[0] == 4) {
            k->kty = "EC";
            k->crv = curves[i].crv;
            k->members[0] = encoded(raw + 1, curves[i].coordinate_len);
            k->members[1] = encoded(raw + 1 + curves[i].coordinate_len, curves[i].coordinate_len);
        }
    return k->members[0] && k->members[1];
}

struct jwk *jwk_from_spki(const uint8_t *der, size_t len, const struct alg *alg, struct err *e)
{
    CLEANUP(jwk_freep) struct jwk *k = calloc(1, sizeof *k);
    const uint8_t *p = der;
    EVP_PKEY *pkey = len <= 8192 ? d2i_PUBKEY(NULL, &p, (long)len) : NULL;
    bool described = k && pkey && p == der + len && describe(k, pkey);
    int bits = pkey ? EVP_PKEY_get_bits(pkey) : 0;

    EVP_PKEY_free(pkey);
    if (described && strcmp(k->kty, "RSA") == 0 && bits < JWK_MIN_RSA_BITS) {
        err_set(e, ERR_KEY_TOO_WEAK, "an RSA key of %d bits; at least %d are needed (RFC 7518 section 3.3)", bits,
                JWK_MIN_RSA_BITS);
        return NULL;
    }
    char kid[JWK_THUMBPRINT_LEN + 1];
    if (!described || !materialise(k)) {
        err_set(e, ERR_KEY_UNUSABLE, "the public key is broken or of a kind that no algorithm here uses");
        return NULL;
    }
    k->alg = alg;
    k->has_alg = k->may_verify = true;
    if (!jwk_fits(k, alg, false, e))
        return NULL;
    if (!jwk_thumbprint(k, kid) || !(k->kid = strdup(kid))) {
        err_set(e, ERR_NO_MEMORY, "no memory for a key");
        return NULL;
    }
    jwk_make_ready(k);
    return TAKE(k);
}

/* --- written -------------------------------------------------------------------- */

bool jwk_thumbprint(const struct jwk *k, char out[JWK_THUMBPRINT_LEN + 1])
{
    CLEANUP(buf_clear) struct buf text, print;
    uint8_t digest[32];
    bool ok;

    buf_init_secret(&text, 16384);
    buf_init(&print, 64);
    if (strcmp(k->kty, "EC") == 0)
        ok = buf_printf(&text, "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", k->crv, k->members[0],
                        k->members[1]);
    else if (strcmp(k->kty, "OKP") == 0)
        ok = buf_printf(&text, "{\"crv\":\"%s\",\"kty\":\"OKP\",\"x\":\"%s\"}", k->crv, k->members[0]);
    else if (strcmp(k->kty, "RSA") == 0)
        ok = buf_printf(&text, "{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}", k->members[0], k->members[1]);
    else
        ok = buf_printf(&text, "{\"k\":\"%s\",\"kty\":\"oct\"}", k->members[0]);
    if (!ok || EVP_Q_digest(NULL, "SHA256", NULL, text.data, text.len, digest, NULL) != 1 ||
        !b64url_encode(&print, digest, sizeof digest))
        return false;
    memcpy(out, print.data, JWK_THUMBPRINT_LEN);
    out[JWK_THUMBPRINT_LEN] = '\0';
    return true;
}

/* `before`: what stands before the name. */
static bool member_write(struct buf *json, char before, const char *name, const char *value)
{
    return buf_append_char(json, before) && json_append_string(json, name) && buf_append_char(json, ':') &&
           json_append_string(json, value);
}

/* By hand: where it has no memory jansson leaves out a part, and says nothing. */
bool jwk_write(const struct jwk *k, struct buf *json)
{
    const struct kty *type = kty_by_name(k->kty);
    size_t before = json->len;
    bool ok = !k->secret && member_write(json, '{', "kty", k->kty) && member_write(json, ',', "use", "sig") &&
              (!k->alg || member_write(json, ',', "alg", k->alg->name)) &&
              (!k->kid || member_write(json, ',', "kid", k->kid)) && (!k->crv || member_write(json, ',', "crv", k->crv));

    for (size_t i = 0; ok && i < ARRAY_LEN(type->members) && type->members[i]; i++)
        ok = member_write(json, ',', type->members[i], k->members[i]);
    ok = ok && buf_append_char(json, '}');
    if (!ok)
        json->len = before;
    return ok;
}

bool jwk_set_append(struct buf *all, const void *set, size_t len)
{
    static const char begin[] = "{\"keys\":[", end[] = "]}";
    const size_t begin_len = sizeof begin - 1, end_len = sizeof end - 1;

    if (len < begin_len + end_len || memcmp(set, begin, begin_len) != 0 ||
        memcmp((const char *)set + len - end_len, end, end_len) != 0)
        return false;
    if (all->len == 0 || len == begin_len + end_len)
        return all->len > 0 || buf_append(all, set, len);
    bool first = all->len == begin_len + end_len;
    all->len -= end_len;
    return (first || buf_append_char(all, ',')) && buf_append(all, (const char *)set + begin_len, len - begin_len);
}
