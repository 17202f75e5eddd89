/*
 * page: what is known, for a person in a browser: one page that needs nothing
 * else and says all as it stands; its script only fetches it again and takes
 * over what has changed. Pure.
 *
 * Everything that is not ours (names, texts of refusals) is escaped, and the
 * page's policy lets nothing run or load but its own style and script, each
 * by its hash.
 */
#ifndef SIGNET_PUBLISHER_PAGE_H
#define SIGNET_PUBLISHER_PAGE_H

#include "daemon/publisher/shown.h"
#include "proto/buf.h"

/* False: the buffer's bound, or memory. `now`: Unix seconds. */
bool page_write(const struct shown *s, int64_t now, int64_t steady_ms, struct buf *out);
/* The fields that go with it, each with its CRLF. NULL: no SHA-256. */
const char *page_fields(void);

#endif
