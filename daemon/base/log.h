/*
 * log: one line per fact to stderr, each written by one write(2). Under
 * systemd (JOURNAL_STREAM) with its "<N>" priorities, else with the role's
 * name before it.
 *
 * Never waits: lines that nobody reads are dropped, and their number is said
 * when somebody reads again.
 *
 * Only roles log; library code reports. Characters that could end or reorder a
 * line become '?' whatever they came from; what a peer wrote goes through
 * log_quote, so that it cannot look like something of ours.
 */
#ifndef SIGNET_BASE_LOG_H
#define SIGNET_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#define LOG_MAX_LINE 2048    /* bytes; longer is cut */

enum log_level {             /* syslog's numbers */
    LEVEL_ERROR = 3,         /* needs a person */
    LEVEL_WARNING = 4,       /* degraded, and we went on */
    LEVEL_INFO = 6,          /* what an operator would want at night */
    LEVEL_DEBUG = 7,
};

/* `role`, borrowed for good, names the process: "signer 1". Lines below `max` in weight are dropped. */
void log_open(const char *role, enum log_level max);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_line(LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LEVEL_DEBUG, __VA_ARGS__)

/*
 * For a role that logs thousands of lines a second: lines are collected and
 * written together by log_flush, which it calls at each turn of its loop, or
 * when a pipe's worth has gathered. Errors and warnings never wait.
 */
void log_hold(bool on);
void log_flush(void);

/*
 * A peer's bytes between double quotes: printable ASCII and whole UTF-8
 * characters as they are, the rest, " and \ as \xNN; cut with "..." when `out`
 * is full. Returns out.
 */
const char *log_quote(char *out, size_t size, const void *bytes, size_t len);

#endif
