/*
 * http: as much of HTTP/1.1 (RFC 9112) as a reader of fixed resources needs:
 * the head of a GET or HEAD request from bytes, a reply to bytes. Pure.
 *
 * Strict, since a proxy may stand in front: whatever two parsers could read
 * differently is refused (a bare CR or LF, NUL, folded or repeated fields, a
 * body), and a refused connection says nothing more. The path is compared as
 * it was sent: nothing is decoded, so that nothing has two names.
 */
#ifndef SIGNET_PUBLISHER_HTTP_H
#define SIGNET_PUBLISHER_HTTP_H

#include "proto/buf.h"

#define HTTP_MAX_HEAD 8192u      /* bytes */
#define HTTP_MAX_FIELDS 64u
#define HTTP_MAX_PATH 1100u      /* bytes: an issuer's path and .well-known behind it */
#define HTTP_MAX_VALUE 512u      /* bytes of a field that we look at; a longer Host is refused, others count as absent */

struct http_request {
    bool is_head;
    bool closes;                         /* no other request follows on this connection */
    bool is_passed_on;                   /* a proxy says that it asks for someone else */
    char path[HTTP_MAX_PATH + 1];        /* without the query; of an absolute URL too */
    char host[HTTP_MAX_VALUE + 1];       /* empty: none was said (HTTP/1.0) */
    char if_none_match[HTTP_MAX_VALUE + 1], accept[HTTP_MAX_VALUE + 1], origin[HTTP_MAX_VALUE + 1];    /* empty: absent */
};

/*
 * The first request in `bytes`. READY: it has *out_used of them. MORE: not
 * whole yet. BAD: out->closes, *out_status and *out_why, borrowed for good,
 * are what to say.
 */
enum http_read { HTTP_MORE, HTTP_READY, HTTP_BAD };
enum http_read http_read(const uint8_t *bytes, size_t len, struct http_request *out, size_t *out_used, int *out_status,
                         const char **out_why);

struct http_reply {
    int status;                          /* one of those in http.c's table */
    const char *type;                    /* Content-Type */
    struct buf body;
    char cache[64];                      /* Cache-Control */
    char etag[40];                       /* with its quotes; empty: none */
    const char *allow_origin;            /* borrowed; NULL: nobody's scripts but our own */
    bool vary_origin;                    /* though this one has none */
    bool vary_accept, vary_host;
    uint32_t retry_after_s;              /* 0: not said */
    const char *more;                    /* further fields, each with its CRLF; NULL: none */
};
void http_reply_init(struct http_reply *r);
void http_reply_clear(struct http_reply *r);
/* A sentence as the whole reply, never kept by caches: "no such page\n". */
void http_reply_say(struct http_reply *r, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same as {"error":"REASON","text":"…"}. */
void http_reply_error(struct http_reply *r, int status, const char *reason, const char *text);

/* The client has it: 304 (RFC 9110 section 13.1.2). */
bool http_has(const struct http_request *rq, const struct http_reply *r);
/* Appends the reply. `now` is Unix seconds. False: the buffer's bound, or memory. */
bool http_write(struct buf *out, const struct http_request *rq, const struct http_reply *r, int64_t now);

/* Whether Accept names that media type with a weight above 0, as "text/html". */
bool http_accepts(const char *accept, const char *type);

#endif
