/*
 * plan: how many, and how soon again. Pure.
 */
#ifndef SIGNET_SUPERVISOR_PLAN_H
#define SIGNET_SUPERVISOR_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define PLAN_MAX_SIGNERS 64u
#define PLAN_MAX_VERIFIERS 16u

/*
 * Signers for a token of this kind. `configured` 0 is `auto`: one for each
 * CPU, at least two for a software token, so that one may die or hang. A TPM
 * has one whatever is configured: two would not see each other's keys.
 */
unsigned plan_signers(uint32_t configured, bool software, bool tpm, unsigned cpus);
unsigned plan_verifiers(uint32_t configured, unsigned cpus);

/* Before a role that died or failed `failures` times in a row starts again: 0 for 0. */
uint32_t plan_backoff_ms(unsigned failures);
/* What lived this long has not failed "in a row". */
#define PLAN_STEADY_MS 10000

#endif
