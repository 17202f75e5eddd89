#include "client/error.h"

#include <stdio.h>
#include <string.h>

/* What a peer says may be longer than our room: cut between characters, not inside one. */
static void copy(char *to, size_t size, const char *from)
{
    size_t len = strlen(from);

    if (len >= size) {
        len = size - 1;
        while (len > 0 && ((unsigned char)from[len] & 0xC0) == 0x80)
            len--;
    }
    memcpy(to, from, len);
    to[len] = '\0';
}

static bool fill(struct signet_error *out, int code, const char *reason, const char *text, uint32_t retry_after_ms)
{
    if (!out)
        return false;
    memset(out, 0, sizeof *out);
    out->code = code;
    out->retry_after_ms = retry_after_ms;
    copy(out->reason, sizeof out->reason, reason);
    copy(out->text, sizeof out->text, text);
    return false;
}

bool error_set(struct signet_error *out, enum err_reason reason, const char *fmt, ...)
{
    char text[sizeof out->text];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return fill(out, (int)err_code(reason), err_reason_name(reason), text, 0);
}

bool error_from(struct signet_error *out, const struct err *e)
{
    return fill(out, (int)err_code(e->reason), err_reason_name(e->reason), e->text, e->retry_after_ms);
}

bool error_from_wire(struct signet_error *out, const Signet__V1__Error *e)
{
    /* An error without a code or name would read as success. */
    return fill(out, e->code ? (int)e->code : CODE_INTERNAL,
                *e->reason ? e->reason : err_reason_name(ERR_INTERNAL), e->text, e->retry_after_ms);
}

bool error_no_memory(struct signet_error *out)
{
    return error_set(out, ERR_NO_MEMORY, "no memory");
}

bool signet_error_is_verdict(const struct signet_error *e)
{
    if (!e)
        return false;
    /* by_name answers INTERNAL, no verdict, for a name that is not ours. */
    return err_is_verdict(err_reason_by_name(e->reason));
}
