#include "proto/buf.h"
#include "tests/support/unit.h"

static void it_grows_to_its_bound_and_no_further(void)
{
    struct buf b;
    buf_init(&b, 1000);
    for (int i = 0; i < 1000; i++)
        CU_ASSERT(buf_append_char(&b, 'a'));
    CU_ASSERT_FALSE(buf_append_char(&b, 'b'));
    CU_ASSERT_FALSE(buf_append(&b, "x", (size_t)-1));
    unit_same_int("len", (long long)b.len, 1000);
    CU_ASSERT(b.cap <= 1000);
    buf_clear(&b);
    CU_ASSERT(buf_append_str(&b, "again"));
    buf_clear(&b);
}

static void consuming_keeps_the_rest(void)
{
    struct buf b;
    buf_init_secret(&b, 64);
    CU_ASSERT(buf_printf(&b, "%s-%d", "secret", 7));
    buf_consume(&b, 7);
    unit_same_mem("rest", b.data, b.len, "7", 1);
    unit_same_mem("wiped", b.data + 1, 7, "\0\0\0\0\0\0\0", 7);
    buf_consume(&b, 99);
    unit_same_int("len", (long long)b.len, 0);
    buf_clear(&b);
}

static void printing_past_the_bound_changes_nothing(void)
{
    struct buf b;
    buf_init(&b, 4);
    CU_ASSERT(buf_printf(&b, "%s", "1234"));
    CU_ASSERT_FALSE(buf_printf(&b, "%d", 5));
    unit_same_mem("kept", b.data, b.len, "1234", 4);
    buf_clear(&b);
}

static const struct unit_case cases[] = {
    { "it grows to its bound and no further", it_grows_to_its_bound_and_no_further },
    { "consuming keeps the rest and wipes a secret", consuming_keeps_the_rest },
    { "printing past the bound changes nothing", printing_past_the_bound_changes_nothing },
};
UNIT_MAIN(cases)
