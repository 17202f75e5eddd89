/*
 * discovery: what an issuer's metadata may truly say. signet has no login and
 * no token endpoint, so the documents (OpenID Connect Discovery 1.0 section 3,
 * RFC 8414 section 2) have only what a verifier needs of them: issuer,
 * jwks_uri, and the algorithms that its tokens are signed with. What they
 * require besides, endpoints and what these can, would be untrue. Pure.
 */
#ifndef SIGNET_PUBLISHER_DISCOVERY_H
#define SIGNET_PUBLISHER_DISCOVERY_H

#include "daemon/config/places.h"
#include "daemon/publisher/shown.h"
#include "proto/buf.h"

/* False: no memory, or a text that is no UTF-8. p->issuer is an https URL. */
bool discovery_write(const struct place *p, const struct shown *s, struct buf *out);

#endif
