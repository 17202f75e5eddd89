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

/* Digits at *text, moved past them. 12 of them at most: no sum below overflows. */
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
        if (strcmp(text, units[i].name) == 0) {
            *out = n * units[i].factor;
            return true;
        }
    return false;
}

bool value_number(const char *text, int64_t *out)
{
    return with_unit(text, sizes, 1, out);
}

bool value_duration(const char *text, int64_t *out_ms)
{
    if (strcmp(text, "0") == 0) {
        *out_ms = 0;
        return true;
    }
    return with_unit(text, durations, ARRAY_LEN(durations), out_ms);
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
