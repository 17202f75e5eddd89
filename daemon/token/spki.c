#include "daemon/token/token_private.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <string.h>

#define MAX_SPKI 4096u                        /* bytes: RSA of 16384 bits has some 2100 */

/* The first row of a curve is how we ask for it. */
static const struct curve curves[] = {
    { "EC", "P-256", 65, { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 }, 10 },
    { "EC", "P-384", 97, { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 }, 7 },
    { "EC", "P-521", 133, { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23 }, 7 },
    { "OKP", "Ed25519", 32, { 0x06, 0x03, 0x2b, 0x65, 0x70 }, 5 },
    { "OKP", "Ed25519", 32, { 0x13, 0x0c, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9' }, 14 },
    { "OKP", "Ed25519", 32, { 0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01 }, 11 },
};
static const uint8_t oid_ec[] = { 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01 };
static const uint8_t oid_ed25519[] = { 0x06, 0x03, 0x2b, 0x65, 0x70 };
static const uint8_t rsa_algorithm[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00 };

const struct curve *curve_of(const uint8_t *params, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(curves); i++)
        if (curves[i].params_len == len && memcmp(curves[i].params, params, len) == 0)
            return &curves[i];
    return NULL;
}

const struct curve *curve_named(const char *crv, size_t nth)
{
    for (size_t i = 0; i < ARRAY_LEN(curves); i++)
        if (strcmp(curves[i].crv, crv) == 0 && nth-- == 0)
            return &curves[i];
    return NULL;
}

/* Appends tag, length, content. */
static bool der(struct buf *out, uint8_t tag, const void *content, size_t len)
{
    uint8_t head[4] = { tag };
    size_t n = 1;

    if (len >= 0x100) {
        head[n++] = 0x82;
        head[n++] = (uint8_t)(len >> 8);
    } else if (len >= 0x80) {
        head[n++] = 0x81;
    }
    head[n++] = (uint8_t)len;
    return buf_append(out, head, n) && buf_append(out, content, len);
}

static bool der_integer(struct buf *out, const uint8_t *bytes, size_t len)
{
    uint8_t positive[ALG_MAX_SIGNATURE + 1] = { 0 };

    while (len > 0 && *bytes == 0)
        bytes++, len--;
    if (len == 0 || len > ALG_MAX_SIGNATURE)
        return false;
    memcpy(positive + 1, bytes, len);
    return bytes[0] & 0x80 ? der(out, 0x02, positive, len + 1) : der(out, 0x02, bytes, len);
}

/* SEQUENCE { SEQUENCE { algorithm }, BIT STRING { key } } */
static uint8_t *spki(const uint8_t *algorithm, size_t algorithm_len, const struct buf *key, size_t *out_len)
{
    struct buf inner, bits, whole;
    uint8_t *made = NULL;

    buf_init(&inner, MAX_SPKI);
    buf_init(&bits, MAX_SPKI);
    buf_init(&whole, MAX_SPKI);
    if (buf_append_char(&bits, 0) && buf_append(&bits, key->data, key->len) &&
        der(&inner, 0x30, algorithm, algorithm_len) && der(&inner, 0x03, bits.data, bits.len) &&
        der(&whole, 0x30, inner.data, inner.len)) {
        *out_len = whole.len;
        made = TAKE(whole.data);
        buf_init(&whole, MAX_SPKI);
    }
    buf_clear(&inner);
    buf_clear(&bits);
    buf_clear(&whole);
    return made;
}

/*
 * CKA_EC_POINT is a DER OCTET STRING; some modules give its content bare. An
 * uncompressed point begins with the OCTET STRING's tag, so length decides.
 */
static bool point_bare(const struct curve *c, const uint8_t *point, size_t len, struct buf *out)
{
    const unsigned char *at = point;
    ASN1_OCTET_STRING *s = len == c->point_len ? NULL : d2i_ASN1_OCTET_STRING(NULL, &at, (long)len);
    bool ok;

    if (s)
        ok = at == point + len && (size_t)ASN1_STRING_length(s) == c->point_len &&
             buf_append(out, ASN1_STRING_get0_data(s), c->point_len);
    else
        ok = len == c->point_len && buf_append(out, point, len);
    ASN1_OCTET_STRING_free(s);
    ERR_clear_error();
    return ok;
}

uint8_t *spki_of_point(const struct curve *c, const uint8_t *point, size_t len, size_t *out_len)
{
    struct buf key, algorithm;
    uint8_t *made = NULL;

    buf_init(&key, 256);
    buf_init(&algorithm, 64);
    bool edwards = strcmp(c->kty, "OKP") == 0;
    bool named = edwards ? buf_append(&algorithm, oid_ed25519, sizeof oid_ed25519)
                         : buf_append(&algorithm, oid_ec, sizeof oid_ec) &&
                               buf_append(&algorithm, c->params, c->params_len);
    if (named && point_bare(c, point, len, &key))
        made = spki(algorithm.data, algorithm.len, &key, out_len);
    buf_clear(&key);
    buf_clear(&algorithm);
    return made;
}

uint8_t *spki_of_rsa(const uint8_t *n, size_t n_len, const uint8_t *exponent, size_t exponent_len, size_t *out_len)
{
    struct buf numbers, key;
    uint8_t *made = NULL;

    buf_init(&numbers, MAX_SPKI);
    buf_init(&key, MAX_SPKI);
    if (der_integer(&numbers, n, n_len) && der_integer(&numbers, exponent, exponent_len) &&
        der(&key, 0x30, numbers.data, numbers.len))
        made = spki(rsa_algorithm, sizeof rsa_algorithm, &key, out_len);
    buf_clear(&numbers);
    buf_clear(&key);
    return made;
}
