/*
 * site: what is at which path, for whom. A configuration, what is known and a
 * request in, a reply out: no socket, no clock.
 *
 * /.well-known/jwks.json, /.well-known/openid-configuration and
 * /.well-known/oauth-authorization-server of each issuer (config/places);
 * /healthz, /readyz. Where the address is not public, also /metrics and /:
 * those say who asks for what, so they are for this machine, and answer
 * nobody who came by a name that is none of ours (a page in a browser that has
 * its own name resolve to 127.0.0.1) or whom a proxy asks for.
 */
#ifndef SIGNET_PUBLISHER_SITE_H
#define SIGNET_PUBLISHER_SITE_H

#include "daemon/config/places.h"
#include "daemon/publisher/http.h"
#include "daemon/publisher/shown.h"

struct site;
/* Takes c, also where it fails: NULL: no memory. */
struct site *site_new(struct config *c);
void site_free(struct site *s);

/* r is initialised; what it points at lives as long as the site and the request. Times: Unix seconds, steady milliseconds. */
void site_answer(struct site *s, const struct shown *shown, const struct http_request *rq, int64_t now, int64_t steady_ms,
                 struct http_reply *r);

#endif
