#include "daemon/base/log.h"

#include "tests/support/unit.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name, *in;
    size_t len;
    const char *want;
} quote_case[] = {
    { "nothing", "", 0, "\"\"" },
    { "plain", "web-session", 11, "\"web-session\"" },
    { "a line end", "a\nb", 3, "\"a\\x0ab\"" },
    { "a quote and a backslash", "a\"\\", 3, "\"a\\x22\\x5c\"" },
    { "NUL", "a\0b", 3, "\"a\\x00b\"" },
    { "an escape sequence", "\x1b[2J", 4, "\"\\x1b[2J\"" },
    { "UTF-8", "J\xc3\xb6rg", 5, "\"J\xc3\xb6rg\"" },
    { "half a character", "J\xc3", 2, "\"J\\xc3\"" },
    { "a C1 control", "\xc2\x9b", 2, "\"\\xc2\\x9b\"" },
    { "a line separator", "\xe2\x80\xa8", 3, "\"\\xe2\\x80\\xa8\"" },
    { "a right-to-left override", "a\xe2\x80\xae", 4, "\"a\\xe2\\x80\\xae\"" },
    { "an ellipsis", "\xe2\x80\xa6", 3, "\"\xe2\x80\xa6\"" },
    { "too long", "0123456789012345678901234567890123456789", 40, "\"01234567890123456789012...\"" },
};

static void quoting(void)
{
    for (size_t i = 0; i < sizeof quote_case / sizeof *quote_case; i++) {
        char out[32];
        unit_same_str(quote_case[i].name, log_quote(out, sizeof out, quote_case[i].in, quote_case[i].len),
                      quote_case[i].want);
    }
}

static void quoting_never_writes_past_its_buffer(void)
{
    char in[64];
    memset(in, '\n', sizeof in);
    for (size_t size = 0; size < 40; size++) {
        char *out = malloc(size ? size : 1);      /* ASan watches its end */
        log_quote(out, size, in, sizeof in);
        CU_ASSERT(size == 0 || memchr(out, 0, size) != NULL);
        free(out);
    }
}

/* What is written to stderr while `run` runs. */
static void captured(void (*run)(void), char *out, size_t size)
{
    struct unit_captured c;

    unit_capture(&c);
    run();
    unit_captured(&c, out, size);
}

static void two_lines(void)
{
    log_info("one\ntwo");
    log_debug("not heard");
    log_error("three");
}

static void a_line_is_one_line(void)
{
    char got[256];
    unsetenv("JOURNAL_STREAM");
    log_open("broker", LEVEL_INFO);
    captured(two_lines, got, sizeof got);
    unit_same_str("by hand", got, "signetd: broker: one?two\nsignetd: broker: three\n");
    setenv("JOURNAL_STREAM", "8:1", 1);
    log_open("broker", LEVEL_INFO);
    captured(two_lines, got, sizeof got);
    unit_same_str("under systemd", got, "<6>one?two\n<3>three\n");
}

static void a_stranger_s_name(void)
{
    log_info("J\xc3\xb6rg \"\\\" \xc2\x9b \xe2\x80\xae \xe2\x80\xa8 \xff");
}

static void what_could_look_like_something_else_is_no_part_of_a_line(void)
{
    char got[256];
    captured(a_stranger_s_name, got, sizeof got);
    unit_same_str("tamed", got, "<6>J\xc3\xb6rg \"\\\" ?? ??? ??? ?\n");
}

static void three_lines(void)
{
    log_info("one");
    log_info("two");
    log_error("three");
}

/* A blocking pipe, as a service manager that has stopped reading leaves it. */
static void a_log_that_nobody_reads_holds_nobody_up(void)
{
    char full[PIPE_BUF] = { 0 }, got[256];
    int fd[2], kept = dup(STDERR_FILENO);

    CU_ASSERT_FATAL(kept >= 0 && pipe2(fd, O_NONBLOCK) == 0);
    while (write(fd[1], full, sizeof full) > 0)
        ;
    fcntl(fd[1], F_SETFL, 0);
    dup2(fd[1], STDERR_FILENO);
    alarm(20);                           /* or it waits for ever */
    three_lines();
    alarm(0);
    while (read(fd[0], full, sizeof full) > 0)
        ;
    log_info("four");
    dup2(kept, STDERR_FILENO);
    ssize_t n = read(fd[0], got, sizeof got - 1);
    got[n < 0 ? 0 : n] = '\0';
    unit_same_str("told", got, "<4>3 lines of this log are lost: nobody read it\n<6>four\n");
    close(fd[0]);
    close(fd[1]);
    close(kept);
}

static void held(void)
{
    log_hold(true);
    log_info("waits");
}

static void held_then_error(void)
{
    held();
    log_error("does not");
    log_info("waits");
}

static void held_lines_wait_and_errors_do_not(void)
{
    char got[256];
    captured(held, got, sizeof got);
    unit_same_str("held", got, "");
    captured(log_flush, got, sizeof got);
    unit_same_str("flushed", got, "<6>waits\n");
    captured(held_then_error, got, sizeof got);
    unit_same_str("in order", got, "<6>waits\n<3>does not\n");
    captured(log_flush, got, sizeof got);
    log_hold(false);
}

static void a_long_line(void)
{
    char text[3 * LOG_MAX_LINE];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_info("%s", text);
}

static void a_long_line_is_cut(void)
{
    char got[4 * LOG_MAX_LINE];
    captured(a_long_line, got, sizeof got);
    unit_same_int("length", (long long)strlen(got), LOG_MAX_LINE);
    unit_same_int("ends in a line end", got[LOG_MAX_LINE - 1], '\n');
}

static const struct unit_case cases[] = {
    { "a peer's bytes are quoted", quoting },
    { "quoting never writes past its buffer", quoting_never_writes_past_its_buffer },
    { "a fact is one line", a_line_is_one_line },
    { "what could look like something else is no part of a line",
      what_could_look_like_something_else_is_no_part_of_a_line },
    { "a log that nobody reads holds nobody up", a_log_that_nobody_reads_holds_nobody_up },
    { "held lines wait, errors do not", held_lines_wait_and_errors_do_not },
    { "a long line is cut", a_long_line_is_cut },
};
UNIT_MAIN(cases)
