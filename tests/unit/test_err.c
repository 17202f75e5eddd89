#include "proto/err.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <string.h>

static void every_reason_has_a_name_and_a_code(void)
{
    for (int r = 1; r < N_ERR_REASONS; r++) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(err_reason_name(r));
        unit_same_int(err_reason_name(r), err_reason_by_name(err_reason_name(r)), r);
        CU_ASSERT(err_code(r) != CODE_OK);
        CU_ASSERT(strcmp(err_code_name(err_code(r)), "UNKNOWN") != 0);
    }
}

static void an_unknown_name_is_internal(void)
{
    unit_same_int("by name", err_reason_by_name("NO_SUCH"), ERR_INTERNAL);
    unit_same_int("out of range", err_code((enum err_reason)100000), CODE_INTERNAL);
    unit_same_str("out of range", err_reason_name((enum err_reason)100000), "INTERNAL");
}

static void wrapping_keeps_reason_and_retry(void)
{
    struct err e = { 0 };
    CU_ASSERT_FALSE(err_set(&e, ERR_RATE_LIMITED, "over %d/s", 5));
    e.retry_after_ms = 40;
    err_wrap(&e, "profile '%s'", "web");
    unit_same_str("text", e.text, "profile 'web': over 5/s");
    unit_same_int("reason", e.reason, ERR_RATE_LIMITED);
    unit_same_int("retry", e.retry_after_ms, 40);
}

static void a_long_text_is_cut_between_characters(void)
{
    char wide[600];
    struct err e = { 0 };
    for (size_t i = 0; i + 2 < sizeof wide; i += 2)
        memcpy(wide + i, "\xC3\xA9", 3);
    err_set(&e, ERR_INTERNAL, "x%s", wide);
    unit_same_int("odd start", strlen(e.text), (long long)sizeof e.text - 1);
    err_set(&e, ERR_INTERNAL, "%s", wide);
    unit_same_int("even start", strlen(e.text), (long long)sizeof e.text - 2);
}

static void a_text_is_utf_8_whatever_went_into_it(void)
{
    struct err e = { 0 };

    err_set(&e, ERR_INTERNAL, "audience '%.4s' is", "a\xC3\xA9\xC3\xA9");
    unit_same_str("cut by a precision", e.text, "audience 'a\xC3\xA9?' is");
    err_set(&e, ERR_INTERNAL, "%s", "\x80.\xC0\xAF.\xED\xA0\x80.\xF0\x9F\x98\x80.\xE2\x82");
    unit_same_str("no UTF-8 before", e.text, "?.??.???.\xF0\x9F\x98\x80.??");
    err_wrap(&e, "%.1s", "\xC3\xA9");
    unit_same_str("wrapped", e.text, "?: ?.??.???.\xF0\x9F\x98\x80.??");
}

static void a_text_of_any_size_is_mended(void)
{
    char text[8] = "ab\xC3\xA9\xE2\x82";

    err_mend_text(text, 7);
    unit_same_str("cut inside the last character", text, "ab\xC3\xA9");
    strcpy(text, "ab\xC3\xA9\xE2\x82");
    err_mend_text(text, sizeof text);
    unit_same_str("not cut, and no UTF-8", text, "ab\xC3\xA9??");
}

static void a_system_error_names_errno_and_keeps_it(void)
{
    struct err e = { 0 };
    errno = ENOENT;
    err_sys(&e, "open '%s'", "/nowhere");
    unit_same_str("text", e.text, "open '/nowhere': No such file or directory");
    unit_same_int("errno", errno, ENOENT);
}

static void only_what_is_wrong_with_a_token_is_a_verdict(void)
{
    CU_ASSERT(err_is_verdict(ERR_EXPIRED));
    CU_ASSERT(err_is_verdict(ERR_TOO_LARGE));
    CU_ASSERT(err_is_verdict(ERR_WRONG_TYPE));
    CU_ASSERT_FALSE(err_is_verdict(ERR_TOKEN_UNREACHABLE));
    CU_ASSERT_FALSE(err_is_verdict(ERR_DAEMON_UNREACHABLE));
}

static const struct unit_case cases[] = {
    { "every reason has a name and a code", every_reason_has_a_name_and_a_code },
    { "an unknown name is INTERNAL", an_unknown_name_is_internal },
    { "wrapping keeps reason and retry", wrapping_keeps_reason_and_retry },
    { "a long text is cut between characters", a_long_text_is_cut_between_characters },
    { "a text is UTF-8 whatever went into it", a_text_is_utf_8_whatever_went_into_it },
    { "a text of any size is mended", a_text_of_any_size_is_mended },
    { "a system error names errno and keeps it", a_system_error_names_errno_and_keeps_it },
    { "only what is wrong with a token is a verdict", only_what_is_wrong_with_a_token_is_a_verdict },
};
UNIT_MAIN(cases)
