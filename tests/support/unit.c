#include "tests/support/unit.h"

#include <CUnit/TestRun.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say_failures(const char *name, const CU_pFailureRecord first)
{
    printf("FAIL %s\n", name);
    for (CU_pFailureRecord f = first; f; f = f->pNext)
        printf("     %s:%u: %s\n", f->strFileName, f->uiLineNumber, f->strCondition);
}

static void test_done(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord failures)
{
    if (failures)
        say_failures(test->pName, failures);
    else
        printf("ok   %s\n", test->pName);
    fflush(stdout);
}

void unit_same_str(const char *what, const char *got, const char *want)
{
    if (got && want && strcmp(got, want) == 0)
        return;
    printf("     %s: got '%s', want '%s'\n", what, got ? got : "(none)", want ? want : "(none)");
    CU_FAIL("strings differ");
}

void unit_same_int(const char *what, long long got, long long want)
{
    if (got == want)
        return;
    printf("     %s: got %lld, want %lld\n", what, got, want);
    CU_FAIL("numbers differ");
}

void unit_same_mem(const char *what, const void *got, size_t got_len, const void *want, size_t want_len)
{
    if (got_len == want_len && (want_len == 0 || memcmp(got, want, want_len) == 0))
        return;
    printf("     %s: got %zu bytes '%.*s', want %zu bytes '%.*s'\n", what,
           got_len, (int)(got_len > 200 ? 200 : got_len), (const char *)got,
           want_len, (int)(want_len > 200 ? 200 : want_len), (const char *)want);
    CU_FAIL("bytes differ");
}

void unit_capture(struct unit_captured *c)
{
    c->kept = dup(STDERR_FILENO);
    if (pipe2(c->pipe, O_NONBLOCK) < 0 || c->kept < 0)
        abort();
    dup2(c->pipe[1], STDERR_FILENO);
}

void unit_captured(struct unit_captured *c, char *out, size_t size)
{
    dup2(c->kept, STDERR_FILENO);
    ssize_t n = read(c->pipe[0], out, size - 1);
    out[n < 0 ? 0 : n] = '\0';
    close(c->pipe[0]);
    close(c->pipe[1]);
    close(c->kept);
}

int unit_run(const struct unit_case *cases, size_t n)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 100;
    CU_pSuite suite = CU_add_suite("unit", NULL, NULL);
    if (!suite)
        return 100;
    for (size_t i = 0; i < n; i++)
        if (!CU_add_test(suite, cases[i].name, cases[i].run))
            return 100;
    CU_set_test_complete_handler(test_done);
    if (CU_run_all_tests() != CUE_SUCCESS)
        return 100;
    unsigned ran = CU_get_number_of_tests_run(), failed = CU_get_number_of_tests_failed();
    printf("%u passed, %u failed\n", ran - failed, failed);
    CU_cleanup_registry();
    if (ran != n)
        return 100;
    return failed > 99 ? 99 : (int)failed;
}
