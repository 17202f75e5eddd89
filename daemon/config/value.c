#include "daemon/config/value.h"

#include "proto/cleanup.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct unit { const char *name; int64_t factor; };

static const struct unit durations[] = {
    { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }, { "w", 604800000 },
};
static const struct unit sizes[] = { { "", 1 }, { "KiB", 1024 }, { "MiB", 1024 * 1024 } };

/* Digits at *text, moved past them: 12 of them at most. */
static bool digits(const char **text, int64_t *out)
{
    const char *at = *text;
    int64_t n = 0;

    while (*at >= '0' && *at <= '9' && at - *text < 12)
        n = n * 10 + (*at++ - '0');
    if (at == *text || (*text[0] == '0' && at - *text > 1))
        return false;
    *text = at;
    *out = n;
    return true;
}

static bool with_unit(const char *text, const struct unit *units, size_t n_units, int64_t *out)
{
    int64_t n;

    if (!digits(&text, &n))
        return false;
    for (size_t i = 0; i < n_units; i++)
        if (strcmp(text, units[i].name) == 0)
            return !__builtin_mul_overflow(n, units[i].factor, out);
    return false;
}

bool value_number(const char *text, int64_t *out)
{
    return with_unit(text, sizes, 1, out);
}

/* The unit that the letters at *text name, moved past them; NULL: none. */
static const struct unit *unit_at(const char **text)
{
    size_t len = strspn(*text, "abcdefghijklmnopqrstuvwxyz");

    for (size_t i = 0; i < ARRAY_LEN(durations); i++)
        if (strlen(durations[i].name) == len && strncmp(durations[i].name, *text, len) == 0) {
            *text += len;
            return &durations[i];
        }
    return NULL;
}

bool value_duration(const char *text, int64_t *out_ms)
{
    int64_t total = 0, smaller_than = INT64_MAX, n;

    if (strcmp(text, "0") == 0) {
        *out_ms = 0;
        return true;
    }
    do {
        const struct unit *u = digits(&text, &n) ? unit_at(&text) : NULL;
        if (!u || u->factor >= smaller_than || __builtin_mul_overflow(n, u->factor, &n) ||
            __builtin_add_overflow(total, n, &total))
            return false;
        smaller_than = u->factor;
    } while (*text);
    *out_ms = total;
    return true;
}

void value_duration_write(int64_t ms, char out[VALUE_MAX])
{
    static const struct unit units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };
    size_t len = 0;

    snprintf(out, VALUE_MAX, "0s");
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (ms / units[i].factor)
            len += (size_t)snprintf(out + len, VALUE_MAX - len, "%lld%s", (long long)(ms / units[i].factor), units[i].name);
        ms %= units[i].factor;
    }
}

bool value_size(const char *text, int64_t *out_bytes)
{
    return with_unit(text, sizes, ARRAY_LEN(sizes), out_bytes);
}

bool value_rate(const char *text, int64_t *out_per_s)
{
    static const struct unit per_second[] = { { "/s", 1 } };
    return with_unit(text, per_second, 1, out_per_s);
}

bool value_bool(const char *text, bool *out)
{
    static const struct { const char *word; bool value; } words[] = {
        { "yes", true }, { "no", false }, { "true", true }, { "false", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(text, words[i].word) == 0) {
            *out = words[i].value;
            return true;
        }
    return false;
}

bool value_time(const char *text, int64_t *out_s)
{
    struct tm tm = { 0 };
    char again[32];

    if (value_number(text, out_s))
        return true;
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end)
        return false;
    time_t t = timegm(&tm);
    /* strptime takes the 31st of February; the way back shows it. */
    if (t < 0 || strftime(again, sizeof again, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0 || strcmp(again, text) != 0)
        return false;
    *out_s = t;
    return true;
}

void value_time_write(int64_t t, char out[VALUE_MAX])
{
    struct tm tm;
    time_t when = t;

    if (!gmtime_r(&when, &tm) || strftime(out, VALUE_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, VALUE_MAX, "%lld", (long long)t);
}
