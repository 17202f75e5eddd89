/*
 * server: HTTP connections on a listening socket, in a libevent loop. Knows
 * how to be asked and to answer, not what: that is the site's.
 *
 * Nobody can hold it: connections are bounded in number, and where all are
 * taken whoever has asked for nothing for longest makes room; a request's head
 * has a time to be whole, a reply one to be read, counted from their first
 * byte and not from the last; what waits to be read is bounded over all.
 *
 * libevent's own evhttp is not used: it has neither of these bounds, nor a
 * place to add them, since it tells nobody of a connection before its first
 * request, and it takes a HEAD's body for the next request.
 */
#ifndef SIGNET_PUBLISHER_SERVER_H
#define SIGNET_PUBLISHER_SERVER_H

#include "daemon/publisher/http.h"
#include "proto/err.h"

#include <event2/event.h>

#define SERVER_MAX_CONNECTIONS 512u

/* Appends the reply to a request, or nothing: then its connection is closed. */
typedef void server_answer(void *ctx, const struct http_request *rq, struct buf *out);

struct server;
/* Takes fd, also where it fails: NULL, no memory. */
struct server *server_new(struct event_base *base, int fd, server_answer *answer, void *ctx);
void server_free(struct server *s);

#endif
