/* Times for people: apart from the clocks, in whose place tests have their own. */
#include "daemon/base/clock.h"

#include <stdio.h>
#include <time.h>

const char *clock_write(char out[CLOCK_TEXT], int64_t unix_s)
{
    time_t t = (time_t)unix_s;
    struct tm parts;

    if (!gmtime_r(&t, &parts) || strftime(out, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(out, CLOCK_TEXT, "%lld", (long long)unix_s);
    return out;
}

const char *clock_write_span(char out[CLOCK_TEXT], int64_t s)
{
    static const struct { int64_t s; char name; } units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
    size_t i = 0;

    s = s < 0 ? -s : s;
    while (units[i].s > 1 && s < units[i].s)
        i++;
    int64_t first = s / units[i].s, rest = units[i].s > 1 ? s % units[i].s / units[i + 1].s : 0;
    if (rest)
        snprintf(out, CLOCK_TEXT, "%lld%c%lld%c", (long long)first, units[i].name, (long long)rest, units[i + 1].name);
    else
        snprintf(out, CLOCK_TEXT, "%lld%c", (long long)first, units[i].name);
    return out;
}
