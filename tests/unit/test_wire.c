#include "proto/wire.h"
#include "signet.pb-c.h"
#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

#define CASE(name, bytes, want) { name, (const uint8_t *)(bytes), sizeof(bytes) - 1, want }

/* Request: 1 request_id, 10 sign {1 profile, 3 audiences, 7 claims}. */
static const struct {
    const char *name;
    const uint8_t *bytes;
    size_t len;
    bool want;
} wire_case[] = {
    CASE("empty", "", true),
    CASE("an id", "\x08\x01", true),
    CASE("a profile", "\x52\x05\x0a\x03web", true),
    CASE("NUL in a string", "\x52\x05\x0a\x03w\0b", false),
    CASE("NUL in bytes", "\x52\x05\x3a\x03w\0b", true),
    CASE("bad UTF-8 in a string", "\x52\x04\x0a\x02\xc0\x80", false),
    CASE("a surrogate", "\x52\x05\x0a\x03\xed\xa0\x80", false),
    CASE("an unknown field", "\xfa\x3f\x01x", true),
    CASE("a tag of field 0", "\x02\x01x", false),
    CASE("a group", "\x0b", false),
    CASE("cut in a varint", "\x08\x80", false),
    CASE("a varint of 11 bytes", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", false),
    CASE("longer than what is there", "\x52\x7f\x0a", false),
    CASE("inner longer than outer", "\x52\x02\x0a\x05" "abcde", false),
    CASE("a length of 2^64-1", "\x52\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", false),
};

static void table(void)
{
    for (size_t i = 0; i < sizeof wire_case / sizeof *wire_case; i++) {
        struct err e = { 0 };
        bool got = wire_check(&signet__v1__request__descriptor, wire_case[i].bytes, wire_case[i].len, &e);
        unit_same_int(wire_case[i].name, got, wire_case[i].want);
        CU_ASSERT(got == (e.reason == ERR_NONE));
    }
}

static void what_passes_unpacks_and_what_is_huge_does_not_pass(void)
{
    size_t n = WIRE_MAX_FIELDS;       /* the batch itself is one field, each empty item one */
    uint8_t *bytes = malloc(2 * n + 8);
    for (size_t items = n - 1; items <= n; items++) {
        size_t body = 2 * items, at = 0;
        struct err e = { 0 };
        bytes[at++] = 0x5a;           /* sign_batch */
        bytes[at++] = (uint8_t)(body & 0x7f) | 0x80;
        bytes[at++] = (uint8_t)(body >> 7);
        for (size_t i = 0; i < items; i++) {
            bytes[at++] = 0x0a;
            bytes[at++] = 0;
        }
        unit_same_int("fields", wire_check(&signet__v1__request__descriptor, bytes, at, &e), items < n);
    }
    free(bytes);
}

static void utf8(void)
{
    CU_ASSERT(wire_utf8((const uint8_t *)"\xF4\x8F\xBF\xBF", 4));
    CU_ASSERT_FALSE(wire_utf8((const uint8_t *)"\xF4\x90\x80\x80", 4));
    CU_ASSERT_FALSE(wire_utf8((const uint8_t *)"\xE0\x9F\xBF", 3));
    CU_ASSERT_FALSE(wire_utf8((const uint8_t *)"\xF0\x8F\xBF\xBF", 4));
    CU_ASSERT_FALSE(wire_utf8((const uint8_t *)"\xC3", 1));
    CU_ASSERT_FALSE(wire_utf8((const uint8_t *)"\x80", 1));
    CU_ASSERT(wire_utf8((const uint8_t *)"a\0b", 3));
}

static const struct unit_case cases[] = {
    { "messages: good and bad", table },
    { "the number of fields is bounded", what_passes_unpacks_and_what_is_huge_does_not_pass },
    { "UTF-8 as RFC 3629", utf8 },
};
UNIT_MAIN(cases)
