#include "proto/err.h"

#include "proto/cleanup.h"
#include "proto/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    enum err_code code;
} reasons[N_ERR_REASONS] = {
    [ERR_NONE] = { "NONE", CODE_OK },
#define X(reason, status) [ERR_##reason] = { #reason, CODE_##status },
    ERR_REASONS(X)
#undef X
};

/* A text cut to fit must not end inside a UTF-8 character. */
static void end_at_character(char *text, size_t size)
{
    size_t len = strlen(text);
    if (len + 1 < size)
        return;
    size_t start = len;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (len - (start - 1) < want)
        text[start - 1] = '\0';
}

/* What a precision cut, or what never was UTF-8. */
static void replace_strays(char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len;) {
        unsigned char lead = (unsigned char)text[i];
        size_t n = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
        if (n <= len - i && wire_utf8((const uint8_t *)text + i, n))
            i += n;
        else
            text[i++] = '?';
    }
}

void err_mend_text(char *text, size_t size)
{
    end_at_character(text, size);
    replace_strays(text);
}

bool err_set(struct err *e, enum err_reason reason, const char *fmt, ...)
{
    char text[sizeof e->text];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err_mend_text(text, sizeof text);
    e->reason = reason;
    e->retry_after_ms = 0;
    memcpy(e->text, text, sizeof text);
    return false;
}

bool err_sys(struct err *e, const char *fmt, ...)
{
    int saved = errno;
    char text[sizeof e->text];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err_set(e, ERR_SYSTEM, "%s: %s", text, strerror(saved));
    errno = saved;
    return false;
}

bool err_wrap(struct err *e, const char *fmt, ...)
{
    char whose[sizeof e->text], text[sizeof e->text];
    uint32_t retry_after_ms = e->retry_after_ms;
    va_list args;

    va_start(args, fmt);
    vsnprintf(whose, sizeof whose, fmt, args);
    va_end(args);
    memcpy(text, e->text, sizeof text);
    err_set(e, e->reason, "%s: %s", whose, text);
    e->retry_after_ms = retry_after_ms;
    return false;
}

const char *err_reason_name(enum err_reason reason)
{
    return (unsigned)reason < N_ERR_REASONS ? reasons[reason].name : reasons[ERR_INTERNAL].name;
}

enum err_reason err_reason_by_name(const char *name)
{
    for (unsigned i = 0; i < N_ERR_REASONS; i++)
        if (strcmp(reasons[i].name, name) == 0)
            return (enum err_reason)i;
    return ERR_INTERNAL;
}

enum err_code err_code(enum err_reason reason)
{
    return (unsigned)reason < N_ERR_REASONS ? reasons[reason].code : CODE_INTERNAL;
}

const char *err_code_name(enum err_code code)
{
    switch (code) {
    case CODE_OK: return "OK";
    case CODE_CANCELLED: return "CANCELLED";
    case CODE_INVALID_ARGUMENT: return "INVALID_ARGUMENT";
    case CODE_DEADLINE_EXCEEDED: return "DEADLINE_EXCEEDED";
    case CODE_NOT_FOUND: return "NOT_FOUND";
    case CODE_PERMISSION_DENIED: return "PERMISSION_DENIED";
    case CODE_RESOURCE_EXHAUSTED: return "RESOURCE_EXHAUSTED";
    case CODE_FAILED_PRECONDITION: return "FAILED_PRECONDITION";
    case CODE_UNIMPLEMENTED: return "UNIMPLEMENTED";
    case CODE_INTERNAL: return "INTERNAL";
    case CODE_UNAVAILABLE: return "UNAVAILABLE";
    }
    return "UNKNOWN";
}

bool err_is_verdict(enum err_reason reason)
{
    return reason >= ERR_TOO_LARGE && reason <= ERR_WRONG_TYPE;
}
