/* Every allocation of reading JSON fails once in turn: it is read as it stands, or there was no memory; it is never bad. */
#include "proto/cleanup.h"
#include "proto/jose/json.h"
#include "tests/nth/nth.h"
#include "tests/support/unit.h"

#include <string.h>

/* Strings and numbers longer than what jansson has room for at first. */
static const char good[] =
    "{\"iss\":\"https://login.example/a/long/way\",\"a name that is long enough to grow\":[1,{\"x\":\"\\u00e4\\n and more of it\"}],"
    "\"exp\":1795869516,\"big\":123456789012345678901234567890,\"r\":1.234567890123456789}";

static void it_is_whole_or_there_was_no_memory(void)
{
    struct err e = { 0 };
    CLEANUP(json_decrefp) json_t *whole = json_object_read(good, sizeof good - 1, ERR_BAD_PAYLOAD, &e);
    bool done = true;
    unsigned n_failed = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(whole);
    for (uint64_t at = 1; done; at++) {
        nth_arm(NTH_ALLOC, at);
        CLEANUP(json_decrefp) json_t *read = json_object_read(good, sizeof good - 1, ERR_BAD_PAYLOAD, &e);
        nth_disarm(&done);
        n_failed += !read;
        CU_ASSERT_TRUE(read ? json_equal(read, whole) : e.reason == ERR_NO_MEMORY);
    }
    CU_ASSERT_TRUE(n_failed > 0);
}

static void the_same_where_jansson_is_ours_alone(void)
{
    json_own_memory();
    it_is_whole_or_there_was_no_memory();
}

static const struct unit_case cases[] = {
    { "JSON is whole, or there was no memory, whatever allocation fails", it_is_whole_or_there_was_no_memory },
    { "the same where jansson is ours alone", the_same_where_jansson_is_ours_alone },
};
UNIT_MAIN(cases)
