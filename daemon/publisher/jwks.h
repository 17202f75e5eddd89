/*
 * jwks: a place's key set: the public keys of its rings, those that hold well
 * alone. Pure.
 */
#ifndef SIGNET_PUBLISHER_JWKS_H
#define SIGNET_PUBLISHER_JWKS_H

#include "daemon/config/places.h"
#include "daemon/publisher/shown.h"
#include "proto/buf.h"

/*
 * Appends {"keys":[…]} in the order of rings, and says for how long a copy may
 * be kept: as long as each ring promises, less the snapshot's age, and not past
 * the next change that is foreseen, so that a verifier sees it soon. False:
 * not known well enough (503, whatever the reason), with ERR_UNKNOWN_RING: it
 * never has public keys (404). Never an empty set: verifiers would take every
 * token for a stranger's.
 */
bool jwks_write(const struct place *p, const struct shown *s, int64_t steady_ms, struct buf *out, uint32_t *out_max_age_s,
                struct err *e);

/* A strong validator of these bytes, in quotes: a SHA-256 cut to 128 bits. Empty: it could not be made. */
void jwks_etag(const struct buf *body, char out[40]);

#endif
