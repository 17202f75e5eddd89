#include "daemon/config/sum.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sum_row *row(struct sum *s, const char *name, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

static struct sum_row *row(struct sum *s, const char *name, const char *fmt, va_list args)
{
    struct sum_row *r = &s->rows[s->n++];

    assert(s->n <= SUM_MAX_ROWS);
    r->name = name;
    vsnprintf(r->why, sizeof r->why, fmt, args);
    return r;
}

void sum_span(struct sum *s, const char *name, int64_t seconds, const char *fmt, ...)
{
    char *value;
    va_list args;

    va_start(args, fmt);
    value = row(s, name, fmt, args)->value;
    va_end(args);
    value_duration_write(llabs(seconds) * 1000, value);
    if (seconds < 0) {
        memmove(value + 1, value, VALUE_MAX - 1);
        value[0] = '-';
    }
}

void sum_count(struct sum *s, const char *name, int64_t n, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    snprintf(row(s, name, fmt, args)->value, VALUE_MAX, "%lld", (long long)n);
    va_end(args);
}

void sum_write(const struct sum *s, struct buf *out)
{
    static const char dashes[] = "----------------------------------------------------------------------------------------";
    int name = 0, value = 0;

    for (size_t i = 0; i < s->n; i++) {
        int name_len = (int)strlen(s->rows[i].name), value_len = (int)strlen(s->rows[i].value);
        name = name_len > name ? name_len : name;
        value = value_len > value ? value_len : value;
    }
    for (size_t i = 0; i < s->n; i++) {
        const struct sum_row *r = &s->rows[i];
        if (i + 1 == s->n)
            buf_printf(out, "\n    %.*s", name + 2 + value, dashes);
        buf_printf(out, "\n    %-*s  %*s    %s", name, r->name, value, r->value, r->why);
    }
}
