/*
 * jansson is strict in all that counts (duplicates, UTF-8, surrogates), but
 * limits depth at 2048 and refuses integers past 64 bits, which a stranger's
 * token may hold in a claim that nobody reads: those are read as reals. Hence
 * our own look at the depth, before any recursion, and JSON_DECODE_INT_AS_REAL
 * only as a second try.
 */
#include "proto/jose/json.h"

#include "proto/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Past a string that opens at `at`: the offset after its closing quote, or len. */
static size_t string_end(const char *text, size_t len, size_t at)
{
    for (at++; at < len; at++) {
        if (text[at] == '\\')
            at++;
        else if (text[at] == '"')
            return at + 1;
    }
    return len;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool depth_ok(const char *text, size_t len)
{
    unsigned depth = 0;
    for (size_t i = 0; i < len;) {
        if (text[i] == '"') {
            i = string_end(text, len, i);
            continue;
        }
        if (text[i] == '{' || text[i] == '[') {
            if (++depth > JSON_MAX_DEPTH)
                return false;
        } else if ((text[i] == '}' || text[i] == ']') && depth > 0) {
            depth--;
        }
        i++;
    }
    return true;
}

static bool owns_memory, had_none;

static void *seen_malloc(size_t n)
{
    void *p = malloc(n);

    had_none |= !p;
    return p;
}

void json_own_memory(void)
{
    json_set_alloc_funcs(seen_malloc, free);
    owns_memory = true;
}

static json_t *load_once(const void *bytes, size_t len, size_t flags, json_error_t *why)
{
    had_none = false;
    json_t *v = json_loadb(bytes, len, flags, why);
    errno = had_none ? ENOMEM : 0;
    if (!had_none)
        return v;
    json_decref(v);
    return NULL;
}

/*
 * Where jansson has no memory it may take that for bad syntax, or leave out a
 * letter or a digit and say nothing; errno is lost with the next number.
 */
static json_t *load_twice(const void *bytes, size_t len, size_t flags, json_error_t *why)
{
    json_t *v = json_loadb(bytes, len, flags, why);
    json_error_t other;
    CLEANUP(json_decrefp) json_t *again = json_loadb(bytes, len, flags, &other);
    bool same = v && again ? json_equal(v, again)
                           : !v && !again && json_error_code(why) == json_error_code(&other) && why->position == other.position;

    errno = same ? 0 : ENOMEM;
    if (same)
        return v;
    json_decref(v);
    return NULL;
}

static json_t *load(const void *bytes, size_t len, size_t flags, json_error_t *why)
{
    return (owns_memory ? load_once : load_twice)(bytes, len, flags, why);
}

json_t *json_object_read(const void *bytes, size_t len, enum err_reason reason, struct err *e)
{
    json_error_t at;
    size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;

    if (len == 0) {
        err_set(e, reason, "empty where a JSON object must stand");
        return NULL;
    }
    if (!depth_ok(bytes, len)) {
        err_set(e, reason, "JSON nested more than %u deep", JSON_MAX_DEPTH);
        return NULL;
    }
    json_t *object = load(bytes, len, flags, &at);
    if (!object && errno != ENOMEM && json_error_code(&at) == json_error_numeric_overflow)
        object = load(bytes, len, flags | JSON_DECODE_INT_AS_REAL, &at);
    if (!object) {
        if (errno == ENOMEM) {
            err_set(e, ERR_NO_MEMORY, "no memory to read %zu bytes of JSON", len);
            return NULL;
        }
        /* jansson's own text may quote the input: only what kind of fault, and where. */
        const char *what = json_error_code(&at) == json_error_duplicate_key ? "a name stands twice"
                         : json_error_code(&at) == json_error_invalid_utf8 ? "bytes that are no UTF-8"
                         : json_error_code(&at) == json_error_numeric_overflow ? "a number too large"
                         : "no JSON";
        err_set(e, reason, "%s at line %d, column %d", what, at.line, at.column);
        return NULL;
    }
    if (!json_is_object(object)) {
        json_decref(object);
        err_set(e, reason, "JSON, but not an object");
        return NULL;
    }
    return object;
}

/* Past a value that begins at `at`, in text known to be well formed. */
static size_t value_end(const char *text, size_t len, size_t at)
{
    if (text[at] == '"')
        return string_end(text, len, at);
    if (text[at] != '{' && text[at] != '[') {
        while (at < len && !is_space(text[at]) && text[at] != ',' && text[at] != '}' && text[at] != ']')
            at++;
        return at;
    }
    unsigned depth = 0;
    while (at < len) {
        if (text[at] == '"') {
            at = string_end(text, len, at);
            continue;
        }
        if (text[at] == '{' || text[at] == '[')
            depth++;
        else if ((text[at] == '}' || text[at] == ']') && --depth == 0)
            return at + 1;
        at++;
    }
    return len;
}

static size_t skip(const char *text, size_t len, size_t at, const char *letters)
{
    while (at < len && (is_space(text[at]) || strchr(letters, text[at])))
        at++;
    return at;
}

/* Printable ASCII but quote and backslash stands for itself. */
static size_t plain_len(const char *s)
{
    size_t n = 0;

    while (s[n] >= ' ' && s[n] <= '~' && s[n] != '"' && s[n] != '\\')
        n++;
    return n;
}

bool json_append_string(struct buf *out, const char *s)
{
    size_t len = plain_len(s), before = out->len;

    if (s[len] != '\0') {
        CLEANUP(json_decrefp) json_t *v = json_string(s);
        CLEANUP(freep) char *text = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
        return text && buf_append_str(out, text);
    }
    if (buf_append_char(out, '"') && buf_append(out, s, len) && buf_append_char(out, '"'))
        return true;
    out->len = before;
    return false;
}

bool json_members(json_t *object, const void *bytes, size_t len,
                  struct json_member **out, size_t *out_n, struct err *e)
{
    const char *text = bytes;
    size_t n = json_object_size(object), i = 0;
    CLEANUP(freep) struct json_member *members = calloc(n ? n : 1, sizeof *members);
    const char *name;
    json_t *value;

    if (!members)
        return err_set(e, ERR_NO_MEMORY, "no memory for %zu JSON members", n);
    size_t at = skip(text, len, 0, "{");
    /* jansson keeps the order written, so that both walks go side by side. */
    json_object_foreach(object, name, value) {
        if (at >= len || text[at] != '"')
            return err_set(e, ERR_INTERNAL, "JSON member %zu is not where it should be", i);
        at = skip(text, len, string_end(text, len, at), ":");
        if (at >= len)
            return err_set(e, ERR_INTERNAL, "JSON member %zu has no value", i);
        size_t end = value_end(text, len, at);
        members[i++] = (struct json_member){ name, value, text + at, end - at };
        at = skip(text, len, end, ",");
    }
    *out = TAKE(members);
    *out_n = i;
    return true;
}
