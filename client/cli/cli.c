#include "client/cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

/* --- errors ------------------------------------------------------------------------------------- */

int cli_failed(const struct signet_error *e)
{
    fprintf(stderr, "signet: %s: %s\n", e->reason, e->text);
    switch (e->code) {
    case SIGNET_UNAVAILABLE:
    case SIGNET_RESOURCE_EXHAUSTED:
    case SIGNET_DEADLINE_EXCEEDED:
        return EXIT_LATER;
    default:
        return EXIT_REFUSED;
    }
}

json_t *cli_error_json(const struct signet_error *e)
{
    return *e->reason ? json_pack("{s:i, s:s, s:s}", "code", e->code, "reason", e->reason, "text", e->text) : json_null();
}

int cli_usage(const char *fmt, ...)
{
    va_list args;

    fputs("signet: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

static struct signet *opened(struct signet *s, const struct signet_error *e)
{
    if (!s)
        cli_failed(e);
    return s;
}

struct signet *cli_open(const struct common *c)
{
    struct signet_error e;

    return opened(signet_open(c->socket, &e), &e);
}

struct signet *cli_open_admin(const struct common *c)
{
    struct signet_error e;

    return opened(signet_open_admin(c->socket, &e), &e);
}

/* --- in ---------------------------------------------------------------------------------------------- */

/* Up to max bytes, and one more to see whether there is more. */
static bool read_all(FILE *f, struct buf *out, size_t max)
{
    size_t n = 1;

    while (n && out->len <= max) {
        size_t room = max + 1 - out->len < 4096 ? max + 1 - out->len : 4096;
        if (!buf_reserve(out, room))
            return false;
        n = fread(out->data + out->len, 1, room, f);
        out->len += n;
    }
    return !ferror(f);
}

bool cli_read(const char *path, struct buf *out, size_t max)
{
    bool from_stdin = strcmp(path, "-") == 0;
    FILE *f = from_stdin ? stdin : fopen(path, "re");

    buf_init_secret(out, max + 1);
    bool ok = f && read_all(f, out, max);
    int why = errno;
    if (f && !from_stdin)
        fclose(f);
    if (!ok)
        cli_usage("%s%s%s cannot be read: %s", from_stdin ? "" : "'", from_stdin ? "stdin" : path, from_stdin ? "" : "'",
                  strerror(why));
    else if (out->len > max)
        cli_usage("'%s' has more than %zu bytes", path, max);
    return ok && out->len <= max;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool cli_token(const char *arg, struct buf *out, size_t max)
{
    if (arg && strcmp(arg, "-") != 0) {
        buf_init_secret(out, max);
        if (buf_append_str(out, arg))
            return true;
        cli_usage("a token has at most %zu bytes", max);
        return false;
    }
    if (!arg && isatty(STDIN_FILENO)) {
        buf_init_secret(out, max);
        cli_usage("no token: give it as an argument, or on stdin");
        return false;
    }
    if (!cli_read("-", out, max + 4096))
        return false;
    while (out->len && is_blank(out->data[out->len - 1]))
        out->len--;
    size_t before = 0;
    while (before < out->len && is_blank(out->data[before]))
        before++;
    buf_consume(out, before);
    return true;
}

/* --- out ----------------------------------------------------------------------------------------------- */

/* What is shown is its maker's: it must not drive our terminal. */
static void put_bytes(const uint8_t *at, size_t len)
{
    bool tty = isatty(STDOUT_FILENO);

    for (size_t i = 0; i < len; i++)
        if (tty && iscntrl(at[i]) && at[i] != '\n' && at[i] != '\t')
            printf("\\x%02X", at[i]);
        else
            putchar(at[i]);
}

void cli_put_text(const char *text)
{
    put_bytes((const uint8_t *)text, strlen(text));
}

static bool put(const void *bytes, size_t len, bool line)
{
    put_bytes(bytes, len);
    if (line || isatty(STDOUT_FILENO))
        putchar('\n');
    if (fflush(stdout) == 0)
        return true;
    cli_usage("stdout cannot be written: %s", strerror(errno));
    return false;
}

bool cli_put(const void *bytes, size_t len)
{
    return put(bytes, len, false);
}

bool cli_put_line(const char *text)
{
    return put(text, strlen(text), true);
}

json_t *cli_payload_json(const void *bytes, size_t len)
{
    json_t *object = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, NULL);

    return object ? object : json_stringn(bytes, len);
}

int cli_put_json(json_t *v)
{
    bool ok = v && json_dumpf(v, stdout, JSON_COMPACT) == 0;

    json_decref(v);
    if (!ok || putchar('\n') == EOF || fflush(stdout) != 0)
        return cli_usage("the answer could not be written");
    return EXIT_DONE;
}

int cli_flushed(void)
{
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_REFUSED;
}

const char *paint(const char *sequence)
{
    return isatty(STDOUT_FILENO) && !getenv("NO_COLOR") ? sequence : "";
}

const char *paint_off(void)
{
    return paint("\033[0m");
}

/* --- times ----------------------------------------------------------------------------------------------- */

static bool digits(const char **at, int64_t *out)
{
    const char *begin = *at;

    *out = 0;
    while (isdigit((unsigned char)**at) && *at - begin < 12)
        *out = *out * 10 + (*(*at)++ - '0');
    return *at > begin && !isdigit((unsigned char)**at);
}

bool cli_duration(const char *text, uint32_t *out_s)
{
    static const struct { const char *name; int64_t s; } units[] = {
        { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 }, { "y", 365 * 86400 },
    };
    int64_t n;

    if (!digits(&text, &n))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (strcmp(text, units[i].name) == 0 && n * units[i].s <= UINT32_MAX) {
            *out_s = (uint32_t)(n * units[i].s);
            return true;
        }
    return false;
}

bool cli_time(const char *text, int64_t *out)
{
    struct tm tm = { 0 };
    const char *at = text + (*text == '-');

    if (digits(&at, out) && !*at) {
        *out = *text == '-' ? -*out : *out;
        return true;
    }
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end)
        return false;
    *out = timegm(&tm);
    return true;
}

const char *cli_when(char out[80], int64_t at, int64_t now)
{
    static const struct { int64_t s; const char *name; } units[] = {
        { 365 * 86400, "year" }, { 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" },
    };
    int64_t far = at > now ? at - now : now - at, n = 0;
    size_t i = 0;
    struct tm tm;
    time_t t = (time_t)at;
    char date[32];

    while (i < ARRAY_LEN(units) - 1 && far < units[i].s)
        i++;
    n = far / units[i].s;
    if (!gmtime_r(&t, &tm) || strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(date, sizeof date, "%lld", (long long)at);
    if (far == 0)
        snprintf(out, 80, "%s (now)", date);
    else
        snprintf(out, 80, "%s (%s%lld %s%s%s)", date, at > now ? "in " : "", (long long)n, units[i].name, n == 1 ? "" : "s",
                 at > now ? "" : " ago");
    return out;
}

const char *cli_span(char out[16], uint32_t s)
{
    static const struct { uint32_t s; char name; } units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
    size_t i = 0;

    while (units[i].s > 1 && (s == 0 || s % units[i].s))
        i++;
    snprintf(out, 16, "%u%c", (unsigned)(s / units[i].s), units[i].name);
    return out;
}
