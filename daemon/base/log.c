#include "daemon/base/log.h"

#include "proto/wire.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *role;
    enum log_level max;
    bool systemd, hold;
    size_t n_held;
    char held[PIPE_BUF];         /* up to this length one write is not cut into by another process's */
} self = { .role = "signetd", .max = LEVEL_INFO };

void log_open(const char *role, enum log_level max)
{
    const char *stream = getenv("JOURNAL_STREAM");

    self.role = role;
    self.max = max;
    self.systemd = stream && *stream;
}

/* A log that cannot be written is no reason to stop signing. */
static void put(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        bytes += n;
        len -= (size_t)n;
    }
}

void log_flush(void)
{
    put(self.held, self.n_held);
    self.n_held = 0;
}

void log_hold(bool on)
{
    log_flush();
    self.hold = on;
}

/* In place: what could end the line, or move a terminal's cursor, becomes '?'. */
static void tame(char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F)
            line[i] = '?';
}

void log_line(enum log_level level, const char *fmt, ...)
{
    char line[LOG_MAX_LINE];
    va_list args;

    if (level > self.max)
        return;
    int saved = errno;
    int head = self.systemd ? snprintf(line, sizeof line, "<%d>", (int)level)
                            : snprintf(line, sizeof line, "signetd: %.64s: ", self.role);
    va_start(args, fmt);
    int body = vsnprintf(line + head, sizeof line - (size_t)head, fmt, args);
    va_end(args);
    size_t len = (size_t)head + (body < 0 ? 0 : (size_t)body);
    if (len > sizeof line - 1)
        len = sizeof line - 1;
    tame(line, len);
    line[len++] = '\n';

    if (self.n_held + len > sizeof self.held)
        log_flush();
    memcpy(self.held + self.n_held, line, len);
    self.n_held += len;
    if (!self.hold || level <= LEVEL_WARNING)
        log_flush();
    errno = saved;
}

/* Bytes of the character at s that may stand as they are, 0: to be escaped. */
static size_t plain(const uint8_t *s, size_t len)
{
    if (*s < 0x80)
        return *s >= 0x20 && *s != 0x7F && *s != '"' && *s != '\\';
    size_t n = *s >= 0xF0 ? 4 : *s >= 0xE0 ? 3 : 2;
    /* U+0080-009F are control characters, U+2028/9 and the bidi marks reorder or break lines */
    if (n > len || !wire_utf8(s, n) || (s[0] == 0xC2 && s[1] < 0xA0) || (s[0] == 0xE2 && s[1] == 0x80) ||
        (s[0] == 0xE2 && s[1] == 0x81))
        return 0;
    return n;
}

const char *log_quote(char *out, size_t size, const void *bytes, size_t len)
{
    static const char end[] = "...\"";
    const uint8_t *s = bytes;
    size_t at = 0;

    if (size < sizeof end + 5) {
        if (size)
            *out = '\0';
        return out;
    }
    out[at++] = '"';
    for (size_t i = 0; i < len;) {
        size_t n = plain(s + i, len - i);
        if (at + 4 + sizeof end > size) {
            memcpy(out + at, end, sizeof end);
            return out;
        }
        if (n) {
            memcpy(out + at, s + i, n);
            at += n;
            i += n;
        } else {
            at += (size_t)snprintf(out + at, 5, "\\x%02x", s[i++]);
        }
    }
    memcpy(out + at, "\"", 2);
    return out;
}
