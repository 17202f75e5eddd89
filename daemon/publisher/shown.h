/*
 * shown: what is known and may be shown: the broker's last snapshot, since
 * when, and what came before as far as a page draws it. Pure: no clock.
 */
#ifndef SIGNET_PUBLISHER_SHOWN_H
#define SIGNET_PUBLISHER_SHOWN_H

#include "proto/err.h"
#include "role.pb-c.h"
#include "signet.pb-c.h"

#include <stddef.h>

#define SHOWN_STALE_MS 5000          /* a broker that lives tells each second */
#define SHOWN_POINTS 121u            /* two minutes of it */
#define SHOWN_STAGES 8u
#define SHOWN_BOUNDS 40u

/* What has been counted when a snapshot was told. */
struct shown_point {
    int64_t told_ms;                             /* steady */
    uint64_t n_signed, n_verified, n_failed;     /* failed: answered with an error */
    uint64_t counts[SHOWN_STAGES][SHOWN_BOUNDS]; /* of status->stages, in its order */
};

struct shown {
    Signet__Role__Message *message;              /* owns the sets; NULL: nothing was told yet */
    Signet__V1__GetStatusReply *status;          /* these two are NULL together: there is none that can be shown */
    Signet__V1__ListKeysReply *keys;
    int64_t told_ms;                             /* steady */
    uint64_t number;                             /* of the snapshot: what follows from it alone is made once */
    struct shown_point points[SHOWN_POINTS];     /* of one broker's life, the last one newest */
    size_t n_points;
};

void shown_clear(struct shown *s);
/*
 * Takes m, a Snapshot. False: its status or keys are malformed, or there is no
 * memory for them: both are unknown then; verifiers have the sets all the same.
 */
bool shown_take(struct shown *s, Signet__Role__Message *m, int64_t steady_ms, struct err *e);

/* Of that ring; NULL: it was not told of. */
const Signet__Role__RingSet *shown_set(const struct shown *s, const char *ring);
/* The earliest point of the last `ms` before the newest; NULL: there are no two. */
const struct shown_point *shown_before(const struct shown *s, int64_t ms);
/* The broker has said lately how it is. */
bool shown_is_fresh(const struct shown *s, int64_t steady_ms);

#endif
