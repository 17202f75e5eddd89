/* plan: what becomes of a ring's keys, drawn. */
#ifndef SIGNET_CLI_PLAN_H
#define SIGNET_CLI_PLAN_H

#include "client/cli/cli.h"

/* A timeline in words: what happens when, and why that moment is safe. */
void plan_put(const struct signet_ring_plan *p);
/* The same as bars: a key a row, published, signing and retired. */
void plan_svg(const struct signet_ring_plan *p, FILE *out);
json_t *plan_json(const struct signet_ring_plan *p);

/* A key's name for a person: its kid, or "new key 2". Returns out. */
#define PLAN_NAME 160                /* bytes with NUL: a kid has at most 128 */
const char *plan_name(char out[PLAN_NAME], const struct signet_ring_plan *p, size_t key);
/* How long before its activation every verifier must have been able to learn of a key, and of what that is the sum. */
uint32_t plan_needs_s(const struct signet_ring_plan *p, size_t key);
/* Revoked, or never proved: it neither signs nor verifies. */
bool plan_is_dead(const struct signet_planned_key *k);
/* By how much the next key signs later than rotate_every says; 0: it does not. */
uint32_t plan_late_s(const struct signet_ring_plan *p);
#define PLAN_SUM 128
const char *plan_sum(char out[PLAN_SUM], const struct signet_ring_plan *p, size_t key);

#endif
