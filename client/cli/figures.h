/*
 * figures: what a status says of requests, and two of them of the time
 * between. Pure. `before` may be NULL, or of a daemon that has ended since: then
 * it is all since the start.
 */
#ifndef SIGNET_CLI_FIGURES_H
#define SIGNET_CLI_FIGURES_H

#include "client/signet.h"

#include <jansson.h>

/* Of the same run of the daemon, so that the difference means something. */
bool figures_same_run(const struct signet_status *a, const struct signet_status *b);
/* Requests by operation and result; NULL: any. */
uint64_t figures_count(const struct signet_status *now, const struct signet_status *before, const char *op, const char *result);

/* Why requests were not done, the most frequent in between first. Returns how many there are, at most max. */
struct figures_reason { const char *reason; uint64_t n, n_all; };
#define FIGURES_MAX_REASONS 100u
size_t figures_reasons(const struct signet_status *now, const struct signet_status *before,
                       struct figures_reason out[FIGURES_MAX_REASONS]);

/* Within how many microseconds that part of them was done, reckoned within a histogram's bounds; < 0: there were none. */
double figures_quantile(const struct signet_status *now, const struct signet_status *before, const char *op,
                        const char *stage, double part);
/* "0.24 ms"; "-" for none, ">10 s" past the last bound. Returns out. */
const char *figures_write_us(char out[16], double us);

/* All of it, for status --json. */
json_t *figures_results_json(const struct signet_status *st);
json_t *figures_stages_json(const struct signet_status *st);
json_t *figures_refusals_json(const struct signet_status *st);

#endif
