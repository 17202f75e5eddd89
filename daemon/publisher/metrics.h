/*
 * metrics: what is known, for Prometheus: its text format 0.0.4, or
 * OpenMetrics 1.0. Pure. Names begin with signet_ and end in their unit.
 *
 * Without a snapshot, or with an old one, only signet_up 0 is told: numbers
 * that stand still would look like quiet.
 */
#ifndef SIGNET_PUBLISHER_METRICS_H
#define SIGNET_PUBLISHER_METRICS_H

#include "daemon/publisher/shown.h"
#include "proto/buf.h"

extern const char metrics_text_type[], metrics_open_type[];      /* Content-Type */

/* False: the buffer's bound, or memory. `now`: Unix seconds. */
bool metrics_write(const struct shown *s, bool open, int64_t now, int64_t steady_ms, struct buf *out);

#endif
