/*
 * promises: what settings that are right each by themselves come to together:
 * whether living tokens keep their keys. Each mistake is a sentence and the
 * arithmetic under it.
 */
#ifndef SIGNET_CONFIG_PROMISES_H
#define SIGNET_CONFIG_PROMISES_H

#include "daemon/config/config.h"
#include "daemon/config/tree.h"
#include "daemon/ring/check.h"

/* Adds a mistake for each promise that could not be kept, at the line of the setting to change. */
void promises_run(const struct config *c, const struct tree *root, struct mistakes *m);

/* The longest promises of the ring's keys that are made elsewhere: those of others stand in their labels only. */
struct ring_promise promises_of(const struct ring_config *r);

/* The longest that any key of the ring lets a token live, in seconds. */
int64_t promises_max_ttl(const struct ring_config *r);

#endif
