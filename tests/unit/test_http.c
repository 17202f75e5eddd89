#include "daemon/publisher/http.h"
#include "proto/cleanup.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>

#define GET "GET / HTTP/1.1\r\nHost: h\r\n"

/* What comes of a head, in a few words: "READY /path host close", "BAD 400", "MORE". */
static void describe(const char *bytes, size_t len, char *out, size_t size)
{
    struct http_request rq;
    size_t used = 0;
    int status = 0;
    const char *why = "";

    switch (http_read((const uint8_t *)bytes, len, &rq, &used, &status, &why)) {
    case HTTP_MORE: snprintf(out, size, "MORE"); break;
    case HTTP_BAD:  snprintf(out, size, "BAD %d%s", status, rq.closes ? "" : " goes on"); break;
    case HTTP_READY:
        snprintf(out, size, "READY %s%s %s%s%s%s", rq.is_head ? "HEAD " : "", rq.path, rq.host[0] ? rq.host : "-",
                 rq.closes ? " close" : "", rq.is_passed_on ? " passed on" : "", used == len ? "" : " and more");
    }
}

static const struct { const char *name, *head, *want; } head_case[] = {
    { "the usual", "GET /a HTTP/1.1\r\nHost: h:1\r\n\r\n", "READY /a h:1" },
    { "HEAD", "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n", "READY HEAD /a h" },
    { "not whole", "GET /a HTTP/1.1\r\nHost: h\r\n", "MORE" },
    { "nothing", "", "MORE" },
    { "two at once", GET "\r\nGET /b", "READY / h and more" },
    { "a query is cut off", "GET /a?b=/c HTTP/1.1\r\nHost: h\r\n\r\n", "READY /a h" },
    { "HTTP/1.0 closes, and needs no Host", "GET /a HTTP/1.0\r\n\r\n", "READY /a - close" },
    { "unless it says otherwise", "GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "READY /a -" },
    { "HTTP/1.1 that closes", GET "Connection: x, close\r\n\r\n", "READY / h close" },
    { "close counts, in whichever order", GET "Connection: close\r\nConnection: keep-alive\r\n\r\n", "READY / h close" },
    { "so it does in HTTP/1.0", "GET /a HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", "READY /a - close" },
    { "a proxy that says so", GET "fORWARDED: for=1.2.3.4\r\n\r\n", "READY / h passed on" },
    { "so say most", GET "X-Forwarded-For: 1.2.3.4\r\n\r\n", "READY / h passed on" },
    { "or by which name it was asked", GET "X-Forwarded-Host: h\r\n\r\n", "READY / h passed on" },
    { "or how", GET "X-Forwarded-Proto: https\r\n\r\n", "READY / h passed on" },
    { "or by whom", GET "X-Real-IP: 1.2.3.4\r\n\r\n", "READY / h passed on" },
    { "and so HTTP does", GET "Via:\r\n\r\n", "READY / h passed on" },
    { "spaces around a value", "GET / HTTP/1.1\r\nHOST: \t h \t\r\n\r\n", "READY / h" },
    { "a whole URL", "GET http://a.example:8/p?q HTTP/1.1\r\nHost: A.example:8\r\n\r\n", "READY /p a.example:8" },
    { "a whole URL without a path", "GET https://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", "READY / a.example" },
    { "a whole URL in HTTP/1.0", "GET http://a.example/p HTTP/1.0\r\n\r\n", "READY /p a.example close" },
    { "a whole URL, and another Host", "GET http://a.example/p HTTP/1.1\r\nHost: b\r\n\r\n", "BAD 400" },
    { "a whole URL without a host", "GET http:///p HTTP/1.1\r\nHost: b\r\n\r\n", "BAD 400" },
    { "a whole URL with a user", "GET http://u@a/p HTTP/1.1\r\nHost: b\r\n\r\n", "BAD 400" },
    { "another scheme", "GET ftp://a/p HTTP/1.1\r\nHost: b\r\n\r\n", "BAD 400" },
    { "escapes stay as they are", "GET /%2e%2e/%00;x HTTP/1.1\r\nHost: h\r\n\r\n", "READY /%2e%2e/%00;x h" },
    { "two slashes are two", "GET //a//b HTTP/1.1\r\nHost: h\r\n\r\n", "READY //a//b h" },
    { "dots are dots", "GET /../a/./b HTTP/1.1\r\nHost: h\r\n\r\n", "READY /../a/./b h" },
    { "an asterisk", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", "BAD 400" },
    { "no slash", "GET a HTTP/1.1\r\nHost: h\r\n\r\n", "BAD 400" },
    { "two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "BAD 400" },
    { "a tab", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", "BAD 400" },
    { "a space behind", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "BAD 400" },
    { "no version", "GET /\r\nHost: h\r\n\r\n", "BAD 400" },
    { "HTTP/2", "PRI * HTTP/2.0\r\n\r\n", "BAD 505" },
    { "a version that is none", "GET / HTTP/1.x\r\nHost: h\r\n\r\n", "BAD 400" },
    { "TLS", "\x16\x03\x01", "BAD 400" },
    { "an empty line first", "\r\n" GET "\r\n", "BAD 400" },
    { "POST", "POST / HTTP/1.1\r\nHost: h\r\n\r\n", "BAD 405" },
    { "OPTIONS", "OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n", "BAD 405" },
    { "a small get", "Get / HTTP/1.1\r\nHost: h\r\n\r\n", "BAD 405" },
    { "no Host", "GET / HTTP/1.1\r\n\r\n", "BAD 400" },
    { "an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "READY / -" },
    { "two Hosts", GET "Host: h\r\n\r\n", "BAD 400" },
    { "Host with a path", "GET / HTTP/1.1\r\nHost: h/a\r\n\r\n", "BAD 400" },
    { "Host that would be markup", "GET / HTTP/1.1\r\nHost: <b>\r\n\r\n", "BAD 400" },
    { "a body", GET "Content-Length: 5\r\n\r\nGET /", "BAD 413" },
    { "an empty body", GET "Content-Length: 0\r\n\r\n", "READY / h" },
    { "a body's length twice", GET "Content-Length: 0\r\nContent-Length: 0, 5\r\n\r\n", "BAD 413" },
    { "a body with a plus", GET "Content-Length: +0\r\n\r\n", "BAD 413" },
    { "chunks", GET "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "BAD 413" },
    { "a space before the colon", GET "Content-Length : 5\r\n\r\n", "BAD 400" },
    { "a folded field", GET "X: a\r\n b\r\n\r\n", "BAD 400" },
    { "a field without a name", GET ": a\r\n\r\n", "BAD 400" },
    { "a field without a colon", GET "X\r\n\r\n", "BAD 400" },
    { "a bare line feed", GET "X: a\nHost: i\r\n\r\n", "BAD 400" },
    { "a bare carriage return", GET "X: a\rHost: i\r\n\r\n", "BAD 400" },
    { "only line feeds", "GET / HTTP/1.1\nHost: h\n\n", "MORE" },
    { "an escape in a field", GET "X: \x1b\r\n\r\n", "BAD 400" },
    { "letters past ASCII in a field", GET "X: \xc3\xa4\r\n\r\n", "READY / h" },
    { "letters past ASCII in the path", "GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n", "BAD 400" },
};

static void heads(void)
{
    char got[2048];

    for (size_t i = 0; i < ARRAY_LEN(head_case); i++) {
        describe(head_case[i].head, strlen(head_case[i].head), got, sizeof got);
        unit_same_str(head_case[i].name, got, head_case[i].want);
    }
}

static void a_nul_ends_nothing(void)
{
    static const char in_path[] = "GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n", in_field[] = GET "X: a\0b\r\n\r\n",
                      in_host[] = "GET / HTTP/1.1\r\nHost: h\0i\r\n\r\n";
    char got[2048];

    describe(in_path, sizeof in_path - 1, got, sizeof got);
    unit_same_str("path", got, "BAD 400");
    describe(in_field, sizeof in_field - 1, got, sizeof got);
    unit_same_str("field", got, "BAD 400");
    describe(in_host, sizeof in_host - 1, got, sizeof got);
    unit_same_str("host", got, "BAD 400");
}

/* A request whose path, one field, or number of fields is so long. */
static void sized(size_t path, size_t field, size_t n, char *got, size_t size)
{
    CLEANUP(buf_clear) struct buf b;

    buf_init(&b, 65536);
    buf_append_str(&b, "GET /");
    for (size_t i = 1; i < path; i++)
        buf_append_char(&b, 'p');
    buf_append_str(&b, " HTTP/1.1\r\nHost: h\r\n");
    for (size_t i = 0; i < n; i++) {
        buf_append_str(&b, "X: ");
        for (size_t k = 0; k < field; k++)
            buf_append_char(&b, 'x');
        buf_append_str(&b, "\r\n");
    }
    buf_append_str(&b, "\r\n");
    describe((char *)b.data, b.len, got, size);
    if (strncmp(got, "READY", 5) == 0)
        got[5] = '\0';
}

static void limits(void)
{
    static const struct { const char *name; size_t path, field, n; const char *want; } limit[] = {
        { "the longest path", HTTP_MAX_PATH, 0, 0, "READY" }, { "one longer", HTTP_MAX_PATH + 1, 0, 0, "BAD 414" },
        { "the most fields", 1, 1, HTTP_MAX_FIELDS - 1, "READY" }, { "one more", 1, 1, HTTP_MAX_FIELDS, "BAD 431" },
        { "the longest head", 1, HTTP_MAX_HEAD - 16 - 9 - 7, 1, "READY" },
        { "one byte longer", 1, HTTP_MAX_HEAD - 16 - 9 - 7 + 1, 1, "BAD 431" },
    };
    char got[2048];

    for (size_t i = 0; i < ARRAY_LEN(limit); i++) {
        sized(limit[i].path, limit[i].field, limit[i].n, got, sizeof got);
        unit_same_str(limit[i].name, got, limit[i].want);
    }
}

/* Byte by byte: MORE until the last. */
static void a_head_may_come_in_pieces(void)
{
    static const char head[] = "GET /a HTTP/1.1\r\nHost: h\r\nAccept: x\r\n\r\n";
    char got[2048];

    for (size_t i = 1; i < sizeof head - 1; i++) {
        describe(head, i, got, sizeof got);
        unit_same_str("a piece", got, "MORE");
    }
    describe(head, sizeof head - 1, got, sizeof got);
    unit_same_str("all of it", got, "READY /a h");
}

static const struct { const char *said; bool has; } match_case[] = {
    { "\"abc\"", true }, { "W/\"abc\"", true }, { "*", true }, { "\"x\", \"abc\"", true }, { "\"x\",W/\"abc\" ", true },
    { "", false }, { "abc", false }, { "\"abcd\"", false }, { "\"ab\"", false }, { "\"abc", false }, { "\"abc\"x", false },
    { "w/\"abc\"", false }, { ",", false }, { "\"x\"", false },
};

static void who_has_it_is_told_so(void)
{
    struct http_request rq = { .path = "/" };
    struct http_reply r = { .status = 200, .etag = "\"abc\"" };

    for (size_t i = 0; i < ARRAY_LEN(match_case); i++) {
        snprintf(rq.if_none_match, sizeof rq.if_none_match, "%s", match_case[i].said);
        unit_same_int(match_case[i].said, http_has(&rq, &r), match_case[i].has);
    }
    snprintf(rq.if_none_match, sizeof rq.if_none_match, "*");
    r.status = 503;
    unit_same_int("of an error nobody has a copy", http_has(&rq, &r), 0);
}

static const struct { const char *accept; bool takes; } accept_case[] = {
    { "application/openmetrics-text", true }, { "text/plain, application/openmetrics-text;version=1.0.0;q=0.5", true },
    { "application/OpenMetrics-Text ; q=1", true }, { "application/openmetrics-text;q=0.001", true },
    { "application/openmetrics-text;q=0", false }, { "application/openmetrics-text;q=0.000", false },
    { "*/*", false }, { "", false }, { "application/openmetrics-textual", false }, { "xapplication/openmetrics-text", false },
};

static void what_is_accepted(void)
{
    for (size_t i = 0; i < ARRAY_LEN(accept_case); i++)
        unit_same_int(accept_case[i].accept, http_accepts(accept_case[i].accept, "application/openmetrics-text"),
                      accept_case[i].takes);
}

static void written(const struct http_request *rq, const struct http_reply *r, char *out, size_t size)
{
    CLEANUP(buf_clear) struct buf b;

    buf_init(&b, 65536);
    CU_ASSERT(http_write(&b, rq, r, 0));
    snprintf(out, size, "%.*s", (int)b.len, (char *)b.data);
}

static void replies(void)
{
    struct http_request rq = { .path = "/" };
    struct http_reply r;
    char got[2048];

    http_reply_init(&r);
    r.type = "text/x";
    r.allow_origin = "https://o";
    r.vary_origin = true;
    snprintf(r.cache, sizeof r.cache, "public, max-age=7");
    snprintf(r.etag, sizeof r.etag, "\"e\"");
    buf_append_str(&r.body, "body");
    static const char same[] = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nCache-Control: public, max-age=7\r\n",
                      kind[] = "Content-Type: text/x\r\nContent-Length: 4\r\nX-Content-Type-Options: nosniff\r\n",
                      rest[] = "ETag: \"e\"\r\nAccess-Control-Allow-Origin: https://o\r\nVary: Origin\r\n";
    char want[2048];
    snprintf(want, sizeof want, "HTTP/1.1 200 OK\r\n%s%s%sConnection: keep-alive\r\n\r\nbody", same, kind, rest);
    written(&rq, &r, got, sizeof got);
    unit_same_str("a reply", got, want);
    r.vary_accept = r.vary_host = true;
    snprintf(want, sizeof want, "HTTP/1.1 200 OK\r\n%s%s%sVary: Accept\r\nVary: Host\r\nConnection: keep-alive\r\n\r\nbody",
             same, kind, rest);
    written(&rq, &r, got, sizeof got);
    unit_same_str("one that varies by three fields", got, want);
    r.vary_accept = r.vary_host = false;
    rq.is_head = rq.closes = true;
    snprintf(want, sizeof want, "HTTP/1.1 200 OK\r\n%s%s%sConnection: close\r\n\r\n", same, kind, rest);
    written(&rq, &r, got, sizeof got);
    unit_same_str("of HEAD the same without its body", got, want);
    rq.is_head = rq.closes = false;
    snprintf(rq.if_none_match, sizeof rq.if_none_match, "\"e\"");
    snprintf(want, sizeof want, "HTTP/1.1 304 Not Modified\r\n%s%sConnection: keep-alive\r\n\r\n", same, rest);
    written(&rq, &r, got, sizeof got);
    unit_same_str("unchanged", got, want);
    http_reply_error(&r, 503, "STARTING", "a \"b\"\n");
    unit_same_mem("an error", r.body.data, r.body.len, "{\"error\":\"STARTING\",\"text\":\"a \\\"b\\\"\\n\"}\n", 40);
    http_reply_clear(&r);
}

static const struct unit_case cases[] = {
    { "a head is read strictly", heads },
    { "a NUL ends nothing", a_nul_ends_nothing },
    { "a head has limits", limits },
    { "a head may come in pieces", a_head_may_come_in_pieces },
    { "who has the reply already is told so", who_has_it_is_told_so },
    { "Accept names what is taken", what_is_accepted },
    { "replies are written", replies },
};

UNIT_MAIN(cases)
