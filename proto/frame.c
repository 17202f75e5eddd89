#include "proto/frame.h"

enum frame_result frame_next(const uint8_t *in, size_t len, size_t max, size_t *out_len)
{
    if (len < FRAME_HEADER_LEN)
        return FRAME_MORE;
    uint32_t body = (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
    if (body == FRAME_HTTP2)
        return FRAME_IS_HTTP2;
    if (body == 0 || body > max)
        return FRAME_BAD;
    if (len - FRAME_HEADER_LEN < body)
        return FRAME_MORE;
    *out_len = body;
    return FRAME_READY;
}

void frame_header(uint8_t out[FRAME_HEADER_LEN], size_t len)
{
    out[0] = (uint8_t)(len >> 24);
    out[1] = (uint8_t)(len >> 16);
    out[2] = (uint8_t)(len >> 8);
    out[3] = (uint8_t)len;
}
