#include "proto/jose/b64url.h"

static const char letters_of[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* A letter's value, -1 for what is none. */
static int value_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool b64url_encode(struct buf *out, const void *bytes, size_t len)
{
    const uint8_t *in = bytes;

    if (len > SIZE_MAX / 2 || !buf_reserve(out, len / 3 * 4 + (len % 3 ? len % 3 + 1 : 0)))
        return false;
    uint8_t *to = out->data + out->len;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)in[i] << 16 | (n > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (n > 2 ? in[i + 2] : 0);
        for (size_t k = 0; k <= n; k++)
            *to++ = (uint8_t)letters_of[bits >> (18 - 6 * k) & 63];
    }
    if (len)
        out->len = (size_t)(to - out->data);
    return true;
}

bool b64url_decode(struct buf *out, const char *letters, size_t len)
{
    if (len % 4 == 1)
        return false;
    size_t n_bytes = len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0), before = out->len;
    if (!buf_reserve(out, n_bytes))
        return false;
    uint32_t bits = 0;
    unsigned n_bits = 0;
    for (size_t i = 0; i < len; i++) {
        int v = value_of((unsigned char)letters[i]);
        if (v < 0) {
            out->len = before;
            return false;
        }
        bits = bits << 6 | (uint32_t)v;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out->data[out->len++] = (uint8_t)(bits >> n_bits);
            bits &= (1u << n_bits) - 1;
        }
    }
    if (bits != 0) {          /* spare bits: a second spelling of the same bytes */
        out->len = before;
        return false;
    }
    return true;
}
