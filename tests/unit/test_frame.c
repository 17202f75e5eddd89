#include "proto/frame.h"
#include "tests/support/unit.h"

static const struct {
    const char *name;
    const char *in;
    size_t len;
    enum frame_result want;
} frame_case[] = {
    { "nothing yet", "", 0, FRAME_MORE },
    { "half a header", "\0\0", 2, FRAME_MORE },
    { "header only", "\0\0\0\2", 4, FRAME_MORE },
    { "half a body", "\0\0\0\2a", 5, FRAME_MORE },
    { "whole", "\0\0\0\2ab", 6, FRAME_READY },
    { "whole and more", "\0\0\0\2abcd", 8, FRAME_READY },
    { "empty", "\0\0\0\0", 4, FRAME_BAD },
    { "exactly the limit, not there yet", "\0\0\0\x10", 4, FRAME_MORE },
    { "one more than the limit", "\0\0\0\x11", 4, FRAME_BAD },
    { "the largest length", "\xff\xff\xff\xff", 4, FRAME_BAD },
    { "HTTP/2", "PRI * HTTP/2.0", 14, FRAME_IS_HTTP2 },
};

static void lengths(void)
{
    for (size_t i = 0; i < sizeof frame_case / sizeof *frame_case; i++) {
        size_t body = 99;
        enum frame_result got = frame_next((const uint8_t *)frame_case[i].in, frame_case[i].len, 16, &body);
        unit_same_int(frame_case[i].name, got, frame_case[i].want);
        unit_same_int(frame_case[i].name, (long long)body, got == FRAME_READY ? 2 : 99);
    }
}

static void a_written_header_reads_back(void)
{
    static const size_t size[] = { 1, 255, 256, 65536, 1048576 };
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        uint8_t head[FRAME_HEADER_LEN];
        size_t none;
        frame_header(head, size[i]);
        unit_same_int("fits", frame_next(head, 4, size[i], &none), FRAME_MORE);
        unit_same_int("too long", frame_next(head, 4, size[i] - 1, &none), FRAME_BAD);
    }
}

static const struct unit_case cases[] = {
    { "lengths: more, ready, bad", lengths },
    { "a written header reads back", a_written_header_reads_back },
};
UNIT_MAIN(cases)
