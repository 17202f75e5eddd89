/*
 * sum: arithmetic as a person reads it: an indented table of what is added up,
 * a rule, and what it comes to.
 */
#ifndef SIGNET_CONFIG_SUM_H
#define SIGNET_CONFIG_SUM_H

#include "daemon/config/value.h"
#include "proto/buf.h"

#define SUM_MAX_ROWS 12u

struct sum_row { const char *name; char value[VALUE_MAX]; char why[100]; };
struct sum { struct sum_row rows[SUM_MAX_ROWS]; size_t n; };

/* A row; the name is borrowed. The last one is the sum; what is less than 0 is taken away. */
void sum_span(struct sum *s, const char *name, int64_t seconds, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void sum_count(struct sum *s, const char *name, int64_t n, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* As lines after one that has not ended: each begins with the newline. */
void sum_write(const struct sum *s, struct buf *out);

#endif
