#include "daemon/base/log.h"

#include "proto/wire.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
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
    unsigned long n_lost;        /* lines that nobody took, and nobody was told of yet */
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

/* A descriptor that others write to as well cannot be made non-blocking: it is asked each time. */
static bool would_take(void)
{
    struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

/* A log that cannot be written, or that nobody reads, is no reason to stop signing. */
static bool put(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = would_take() ? write(STDERR_FILENO, bytes, len) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static size_t head(char *line, size_t size, enum log_level level)
{
    return (size_t)(self.systemd ? snprintf(line, size, "<%d>", (int)level)
                                 : snprintf(line, size, "signetd: %.64s: ", self.role));
}

static void tell_lost(void)
{
    char line[192];
    size_t len = head(line, sizeof line, LEVEL_WARNING);

    len += (size_t)snprintf(line + len, sizeof line - len, "%lu lines of this log are lost: nobody read it\n",
                            self.n_lost);
    if (put(line, len))
        self.n_lost = 0;
}

void log_flush(void)
{
    if (self.n_lost)
        tell_lost();
    if (!put(self.held, self.n_held))
        for (size_t i = 0; i < self.n_held; i++)
            self.n_lost += self.held[i] == '\n';
    self.n_held = 0;
}

void log_hold(bool on)
{
    log_flush();
    self.hold = on;
}

/* Of more than one byte: C1 controls, what breaks lines (U+2028/9), reorders them (the bidi marks) or is not seen. */
static bool is_odd(const uint8_t *s)
{
    return (s[0] == 0xC2 && s[1] < 0xA0) || (s[0] == 0xD8 && s[1] == 0x9C) ||
           (s[0] == 0xE2 && s[1] == 0x80 && ((s[2] >= 0x8B && s[2] <= 0x8F) || (s[2] >= 0xA8 && s[2] <= 0xAE))) ||
           (s[0] == 0xE2 && s[1] == 0x81 && s[2] >= 0xA0) || (s[0] == 0xEF && s[1] == 0xBB && s[2] == 0xBF);
}

/* Bytes of the character at s that may stand in a line; 0: it could end it, reorder it or move a terminal's cursor. */
static size_t plain(const uint8_t *s, size_t len)
{
    if (*s < 0x80)
        return *s >= 0x20 && *s != 0x7F;
    size_t n = *s >= 0xF0 ? 4 : *s >= 0xE0 ? 3 : 2;
    return n <= len && wire_utf8(s, n) && !is_odd(s) ? n : 0;
}

/* In place: what may not stand there becomes '?'. */
static void tame(char *line, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = plain((uint8_t *)line + i, len - i);
        if (n == 0)
            line[i] = '?';
        i += n ? n : 1;
    }
}

void log_line(enum log_level level, const char *fmt, ...)
{
    char line[LOG_MAX_LINE];
    va_list args;

    if (level > self.max)
        return;
    int saved = errno;
    size_t len = head(line, sizeof line, level);
    va_start(args, fmt);
    int body = vsnprintf(line + len, sizeof line - len, fmt, args);
    va_end(args);
    len += body < 0 ? 0 : (size_t)body;
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
        size_t n = s[i] == '"' || s[i] == '\\' ? 0 : plain(s + i, len - i);
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
