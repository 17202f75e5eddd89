/* frame: two bytes of limit, then the stream. */
#include "tests/fuzz/fuzz.h"

#include "proto/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    if (len < 2)
        return 0;
    size_t max = (size_t)in[0] << 8 | in[1], body = 0, again = 0;
    in += 2;
    len -= 2;

    enum frame_result got = frame_next(in, len, max, &body);
    if (got == FRAME_READY) {
        MUST(body > 0 && body <= max && body + FRAME_HEADER_LEN <= len);
        /* The verdict does not depend on what follows, and comes with the last byte, not sooner. */
        MUST(frame_next(in, FRAME_HEADER_LEN + body, max, &again) == FRAME_READY && again == body);
        MUST(frame_next(in, FRAME_HEADER_LEN + body - 1, max, &again) == FRAME_MORE);
        uint8_t head[FRAME_HEADER_LEN];
        frame_header(head, body);
        MUST(memcmp(head, in, sizeof head) == 0);
    }
    if (len < FRAME_HEADER_LEN)
        MUST(got == FRAME_MORE);
    return 0;
}
