#include "daemon/publisher/http.h"

#include "proto/cleanup.h"
#include "proto/jose/json.h"
#include "proto/wire.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* A piece of the head. */
struct piece { const char *at; size_t len; };

struct reading {
    struct http_request *rq;
    int status;
    const char *why;
    bool has_host, keeps, closes, has_body;
    bool is_11;
};

static bool bad(struct reading *r, int status, const char *why)
{
    r->status = status;
    r->why = why;
    return false;
}

/* --- the request line ----------------------------------------------------------------------------- */

static bool is(struct piece p, const char *word)
{
    return p.len == strlen(word) && memcmp(p.at, word, p.len) == 0;
}

static bool is_any_case(struct piece p, const char *word)
{
    return p.len == strlen(word) && strncasecmp(p.at, word, p.len) == 0;
}

/* RFC 9110 section 5.6.2. */
static bool is_token(struct piece p)
{
    for (size_t i = 0; i < p.len; i++)
        if (!isalnum((unsigned char)p.at[i]) && (!p.at[i] || !strchr("!#$%&'*+-.^_`|~", p.at[i])))
            return false;
    return p.len > 0;
}

static bool is_visible(struct piece p)
{
    for (size_t i = 0; i < p.len; i++)
        if (p.at[i] <= ' ' || p.at[i] > '~')
            return false;
    return p.len > 0;
}

/* Up to the byte, which is cut off as well. False: it is not there. */
static bool cut(struct piece *from, char byte, struct piece *out)
{
    const char *at = memchr(from->at, byte, from->len);

    if (!at)
        return false;
    *out = (struct piece){ from->at, (size_t)(at - from->at) };
    from->at += out->len + 1;
    from->len -= out->len + 1;
    return true;
}

static void copy(char *out, struct piece p)
{
    memcpy(out, p.at, p.len);
    out[p.len] = '\0';
}

/* Host's letters are those that a name, an address and a port have. */
static bool take_host(struct reading *r, struct piece p)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:[]";

    for (size_t i = 0; i < p.len; i++)
        if (!p.at[i] || !strchr(letters, p.at[i]))
            return bad(r, 400, "Host is none");
    if (p.len > HTTP_MAX_VALUE)
        return bad(r, 400, "Host is too long");
    copy(r->rq->host, p);
    return true;
}

/* "/path?query", or the whole URL, whose host then is the one that counts (RFC 9112 section 3.2.2). */
static bool take_target(struct reading *r, struct piece p, struct piece *out_host)
{
    size_t scheme = p.len > 7 && strncasecmp(p.at, "http://", 7) == 0 ? 7
                  : p.len > 8 && strncasecmp(p.at, "https://", 8) == 0 ? 8 : 0;

    if (scheme) {
        p = (struct piece){ p.at + scheme, p.len - scheme };
        for (out_host->at = p.at; out_host->len < p.len && !strchr("/?#", p.at[out_host->len]); out_host->len++)
            ;
        p = (struct piece){ p.at + out_host->len, p.len - out_host->len };
        if (out_host->len == 0)
            return bad(r, 400, "the URL has no host");
    }
    const char *query = memchr(p.at, '?', p.len);
    if (query)
        p.len = (size_t)(query - p.at);
    if (p.len == 0 && scheme)
        p = (struct piece){ "/", 1 };
    if (p.len == 0 || p.at[0] != '/')
        return bad(r, 400, "what is asked for is no path");
    if (p.len > HTTP_MAX_PATH)
        return bad(r, 414, "the path is too long");
    copy(r->rq->path, p);
    return true;
}

static bool read_line(struct reading *r, struct piece line, struct piece *out_host)
{
    struct piece method, target;

    if (!cut(&line, ' ', &method) || !cut(&line, ' ', &target) || !is_token(method) || !is_visible(target))
        return bad(r, 400, "this is no HTTP request");
    if (line.len != 8 || memcmp(line.at, "HTTP/", 5) != 0 || !isdigit((unsigned char)line.at[5]) || line.at[6] != '.' ||
        !isdigit((unsigned char)line.at[7]))
        return bad(r, 400, "this is no HTTP request");
    if (line.at[5] != '1')
        return bad(r, 505, "this speaks HTTP/1.1");
    r->is_11 = line.at[7] != '0';
    r->keeps = r->is_11;
    r->rq->is_head = is(method, "HEAD");
    if (!is(method, "GET") && !r->rq->is_head)
        return bad(r, 405, "there is only something to read here: GET or HEAD");
    return take_target(r, target, out_host);
}

/* --- the fields ------------------------------------------------------------------------------------- */

static bool take_once(struct reading *r, struct piece value, char *out)
{
    if (*out)
        return bad(r, 400, "a field stands twice");
    if (value.len <= HTTP_MAX_VALUE)
        copy(out, value);
    return true;
}

static bool take_host_field(struct reading *r, struct piece value)
{
    if (r->has_host)
        return bad(r, 400, "Host stands twice");
    r->has_host = true;
    return value.len > 0 ? take_host(r, value) : true;
}

/* Of a list, whichever way it is written. */
static bool has_word(struct piece list, const char *word)
{
    struct piece one;

    while (list.len) {
        if (!cut(&list, ',', &one)) {
            one = list;
            list.len = 0;
        }
        while (one.len && (*one.at == ' ' || *one.at == '\t'))
            one = (struct piece){ one.at + 1, one.len - 1 };
        while (one.len && (one.at[one.len - 1] == ' ' || one.at[one.len - 1] == '\t'))
            one.len--;
        if (is_any_case(one, word))
            return true;
    }
    return false;
}

static bool take_connection(struct reading *r, struct piece value)
{
    r->closes |= has_word(value, "close");
    r->keeps = !r->closes && (r->keeps || has_word(value, "keep-alive"));
    return true;
}

static bool take_length(struct reading *r, struct piece value)
{
    return is(value, "0") || bad(r, 413, "a request has no body here");
}

static bool take_encoding(struct reading *r, struct piece value)
{
    return bad(r, 413, "a request has no body here");
}

static bool take_proxy(struct reading *r, struct piece value)
{
    r->rq->is_passed_on = true;
    return true;
}

static bool take_if_none_match(struct reading *r, struct piece value) { return take_once(r, value, r->rq->if_none_match); }
static bool take_accept(struct reading *r, struct piece value) { return take_once(r, value, r->rq->accept); }
static bool take_origin(struct reading *r, struct piece value) { return take_once(r, value, r->rq->origin); }

static const struct {
    const char *name;
    bool (*take)(struct reading *r, struct piece value);
} fields[] = {
    { "Host", take_host_field }, { "Connection", take_connection }, { "Content-Length", take_length },
    { "Transfer-Encoding", take_encoding }, { "If-None-Match", take_if_none_match }, { "Accept", take_accept },
    { "Origin", take_origin }, { "Forwarded", take_proxy }, { "Via", take_proxy }, { "X-Forwarded-For", take_proxy },
    { "X-Forwarded-Host", take_proxy }, { "X-Forwarded-Proto", take_proxy }, { "X-Real-IP", take_proxy },
};

static bool read_field(struct reading *r, struct piece line)
{
    struct piece name;

    if (!cut(&line, ':', &name) || !is_token(name))
        return bad(r, 400, "a field of the head is none");
    while (line.len && (*line.at == ' ' || *line.at == '\t'))
        line = (struct piece){ line.at + 1, line.len - 1 };
    while (line.len && (line.at[line.len - 1] == ' ' || line.at[line.len - 1] == '\t'))
        line.len--;
    for (size_t i = 0; i < line.len; i++)
        if (iscntrl((unsigned char)line.at[i]) && line.at[i] != '\t')
            return bad(r, 400, "a field of the head has a control character");
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (is_any_case(name, fields[i].name))
            return fields[i].take(r, line);
    return true;
}

/* --- all of it -------------------------------------------------------------------------------------- */

/* Where the head ends: past its empty line; 0: not yet. */
static size_t head_len(const uint8_t *bytes, size_t len)
{
    const uint8_t *end = memmem(bytes, len, "\r\n\r\n", 4);

    return end ? (size_t)(end - bytes) + 4 : 0;
}

/* Up to its CRLF; a bare CR or LF in it is a control character to who reads the line. */
static struct piece next_line(struct piece *head)
{
    const char *end = memmem(head->at, head->len, "\r\n", 2);
    struct piece line = { head->at, (size_t)(end - head->at) };

    head->at += line.len + 2;
    head->len -= line.len + 2;
    return line;
}

/* RFC 9112 section 3.2: both are the same. A cache that looked at the other one would keep this host's document as its. */
static bool take_target_host(struct reading *r, struct piece host)
{
    char named[HTTP_MAX_VALUE + 1];

    strcpy(named, r->rq->host);
    return take_host(r, host) && (!*named || strcasecmp(named, r->rq->host) == 0 ||
                                  bad(r, 400, "Host is another than that of the URL"));
}

static bool read_head(struct reading *r, struct piece head)
{
    struct piece host = { NULL, 0 };

    if (!read_line(r, next_line(&head), &host))
        return false;
    for (size_t n = 0; head.len > 2; n++) {
        if (n == HTTP_MAX_FIELDS)
            return bad(r, 431, "the head has too many fields");
        if (!read_field(r, next_line(&head)))
            return false;
    }
    if (r->is_11 && !r->has_host)
        return bad(r, 400, "Host is missing");
    return !host.at || take_target_host(r, host);
}

/* What is no request is told so at its first line, not at an end that never comes. */
static bool has_no_line(const uint8_t *bytes, size_t len)
{
    return len > 0 && (bytes[0] < 'A' || bytes[0] > 'Z');
}

enum http_read http_read(const uint8_t *bytes, size_t len, struct http_request *out, size_t *out_used, int *out_status,
                         const char **out_why)
{
    size_t head = head_len(bytes, len < HTTP_MAX_HEAD ? len : HTTP_MAX_HEAD);
    struct reading r = { .rq = out };

    *out = (struct http_request){ 0 };
    bool ok = has_no_line(bytes, len) ? bad(&r, 400, "this is no HTTP request")
            : head == 0 && len >= HTTP_MAX_HEAD ? bad(&r, 431, "the head is too long") : true;
    if (ok && head == 0)
        return HTTP_MORE;
    ok = ok && read_head(&r, (struct piece){ (const char *)bytes, head });
    out->closes = !ok || !r.keeps;
    if (ok) {
        *out_used = head;
        return HTTP_READY;
    }
    *out_status = r.status;
    *out_why = r.why;
    return HTTP_BAD;
}

/* --- replies ---------------------------------------------------------------------------------------- */

static const struct { int status; const char *words; } statuses[] = {
    { 200, "OK" }, { 304, "Not Modified" }, { 400, "Bad Request" }, { 403, "Forbidden" }, { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 413, "Content Too Large" }, { 414, "URI Too Long" }, { 421, "Misdirected Request" },
    { 431, "Request Header Fields Too Large" }, { 503, "Service Unavailable" }, { 505, "HTTP Version Not Supported" },
};

static const char *words_of(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i].status == status)
            return statuses[i].words;
    return "";
}

#define MAX_BODY (8u * 1024 * 1024)      /* bytes */

void http_reply_init(struct http_reply *r)
{
    *r = (struct http_reply){ .status = 200 };
    buf_init(&r->body, MAX_BODY);
}

void http_reply_clear(struct http_reply *r)
{
    buf_clear(&r->body);
}

void http_reply_say(struct http_reply *r, int status, const char *fmt, ...)
{
    va_list args;

    r->status = status;
    r->type = "text/plain; charset=utf-8";
    snprintf(r->cache, sizeof r->cache, "no-store");
    r->body.len = 0;
    va_start(args, fmt);
    buf_vprintf(&r->body, fmt, args);
    va_end(args);
    buf_append_char(&r->body, '\n');
}

void http_reply_error(struct http_reply *r, int status, const char *reason, const char *text)
{
    bool utf8 = wire_utf8((const uint8_t *)text, strlen(text));

    r->status = status;
    r->type = "application/json";
    snprintf(r->cache, sizeof r->cache, "no-store");
    r->body.len = 0;
    bool ok = buf_append_str(&r->body, "{\"error\":") && json_append_string(&r->body, reason) &&
              buf_append_str(&r->body, ",\"text\":") && json_append_string(&r->body, utf8 ? text : "") &&
              buf_append_str(&r->body, "}\n");
    if (!ok)
        r->body.len = 0;
}

bool http_has(const struct http_request *rq, const struct http_reply *r)
{
    const char *at = rq->if_none_match;
    size_t len = strlen(r->etag);

    if (r->status != 200 || len == 0)
        return false;
    if (strcmp(at, "*") == 0)
        return true;
    /* Weakly compared: a cache on the way may have made it weak. Our own has no comma in it. */
    for (const char *end; *at; at = *end ? end + 1 : end) {
        end = at + strcspn(at, ",");
        at += strspn(at, " \t");
        if (strncmp(at, "W/", 2) == 0)
            at += 2;
        if (strncmp(at, r->etag, len) == 0 && at[len + strspn(at + len, " \t")] == *end)
            return true;
    }
    return false;
}

bool http_accepts(const char *accept, const char *type)
{
    size_t len = strlen(type);

    for (const char *at = accept, *end; *at; at = *end ? end + 1 : end) {
        end = at + strcspn(at, ",");
        at += strspn(at, " \t");
        if (strncasecmp(at, type, len) != 0 || !strchr(" \t;,", at[len]))
            continue;
        const char *q = memmem(at, (size_t)(end - at), "q=0", 3);
        if (!q || (q[3] == '.' && q[4 + strspn(q + 4, "0")] >= '1' && q[4 + strspn(q + 4, "0")] <= '9'))
            return true;
    }
    return false;
}

static bool write_date(struct buf *out, int64_t now)
{
    char text[40];
    time_t t = now;
    struct tm tm;

    return gmtime_r(&t, &tm) && strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0 &&
           buf_printf(out, "Date: %s\r\n", text);
}

static bool write_fields(struct buf *out, const struct http_reply *r, bool unchanged)
{
    bool ok = buf_printf(out, "Cache-Control: %s\r\n", r->cache);

    if (!unchanged)
        ok = ok && buf_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\nX-Content-Type-Options: nosniff\r\n",
                              r->type, r->body.len);
    if (r->etag[0])
        ok = ok && buf_printf(out, "ETag: %s\r\n", r->etag);
    if (r->allow_origin)
        ok = ok && buf_printf(out, "Access-Control-Allow-Origin: %s\r\n", r->allow_origin);
    if (r->vary_origin)
        ok = ok && buf_append_str(out, "Vary: Origin\r\n");
    if (r->vary_accept)
        ok = ok && buf_append_str(out, "Vary: Accept\r\n");
    if (r->vary_host)                    /* caches that take the path alone for their key */
        ok = ok && buf_append_str(out, "Vary: Host\r\n");
    if (r->retry_after_s)
        ok = ok && buf_printf(out, "Retry-After: %u\r\n", r->retry_after_s);
    if (r->status == 405)
        ok = ok && buf_append_str(out, "Allow: GET, HEAD\r\n");
    return ok && (!r->more || buf_append_str(out, r->more));
}

bool http_write(struct buf *out, const struct http_request *rq, const struct http_reply *r, int64_t now)
{
    size_t before = out->len;
    bool unchanged = http_has(rq, r);
    int status = unchanged ? 304 : r->status;
    bool ok = buf_printf(out, "HTTP/1.1 %d %s\r\n", status, words_of(status)) && write_date(out, now) &&
              write_fields(out, r, unchanged) &&
              buf_printf(out, "Connection: %s\r\n\r\n", rq->closes ? "close" : "keep-alive") &&
              (unchanged || rq->is_head || buf_append(out, r->body.data, r->body.len));

    if (!ok)
        out->len = before;
    return ok;
}
