#include "daemon/config/value.h"

#include "proto/cleanup.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
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

/* --- addresses -------------------------------------------------------------------------- */

static bool path_address(const char *text, struct sockaddr_storage *out, socklen_t *out_len)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };

    if (strlen(text) >= sizeof a.sun_path)
        return false;
    strcpy(a.sun_path, text);
    memcpy(out, &a, sizeof a);
    *out_len = sizeof a;
    return true;
}

static bool port(const char *text, in_port_t *out)
{
    int64_t n;

    if (!value_number(text, &n) || n < 1 || n > UINT16_MAX)
        return false;
    *out = htons((uint16_t)n);
    return true;
}

bool value_address(const char *text, struct sockaddr_storage *out, socklen_t *out_len)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    bool bracket = text[0] == '[';
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN];

    *out = (struct sockaddr_storage){ 0 };
    if (text[0] == '/')
        return path_address(text, out, out_len);
    size_t len = colon ? (size_t)(colon - text) : 0;
    if (bracket && (len < 2 || colon[-1] != ']'))
        return false;
    len -= bracket ? 2 : 0;
    if (len == 0 || len >= sizeof host)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)len, text + bracket);
    if (bracket) {
        if (inet_pton(AF_INET6, host, &in6.sin6_addr) != 1 || !port(colon + 1, &in6.sin6_port))
            return false;
        memcpy(out, &in6, *out_len = sizeof in6);
        return true;
    }
    if (inet_pton(AF_INET, host, &in.sin_addr) != 1 || !port(colon + 1, &in.sin_port))
        return false;
    memcpy(out, &in, *out_len = sizeof in);
    return true;
}

bool value_address_is_local(const struct sockaddr_storage *a)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    memcpy(&in, a, sizeof in);
    memcpy(&in6, a, sizeof in6);
    if (a->ss_family == AF_INET)
        return ntohl(in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return a->ss_family == AF_UNIX || IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}
