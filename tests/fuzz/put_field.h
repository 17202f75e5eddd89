/* put_field: a message in protobuf's bytes, where what is in it may be any. */
#ifndef SIGNET_TESTS_PUT_FIELD_H
#define SIGNET_TESTS_PUT_FIELD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline size_t put_varint(uint8_t *out, uint64_t v)
{
    size_t n = 0;

    for (; v > 0x7F; v >>= 7)
        out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    return n;
}

/* A field of a message that holds another one; out has room for 16 bytes more. */
static inline size_t put_field(uint8_t *out, unsigned field, const uint8_t *packed, size_t len)
{
    size_t n = put_varint(out, (uint64_t)field << 3 | 2);

    n += put_varint(out + n, len);
    if (len)
        memcpy(out + n, packed, len);
    return n + len;
}

#endif
