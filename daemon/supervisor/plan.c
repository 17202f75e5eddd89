#include "daemon/supervisor/plan.h"

#define BACKOFF_FIRST_MS 100u
#define BACKOFF_MAX_MS 30000u
#define AUTO_VERIFIERS 2u            /* a software token's signers want the CPUs more */

unsigned plan_signers(uint32_t configured, bool software, bool tpm, unsigned cpus)
{
    unsigned n = configured ? configured : cpus;

    if (tpm)
        return 1;
    if (!configured && software && n < 2)
        n = 2;
    return n < 1 ? 1 : n > PLAN_MAX_SIGNERS ? PLAN_MAX_SIGNERS : n;
}

unsigned plan_verifiers(uint32_t configured, unsigned cpus)
{
    unsigned n = configured ? configured : cpus < AUTO_VERIFIERS ? cpus : AUTO_VERIFIERS;

    return n < 1 ? 1 : n > PLAN_MAX_VERIFIERS ? PLAN_MAX_VERIFIERS : n;
}

uint32_t plan_backoff_ms(unsigned failures)
{
    if (failures == 0)
        return 0;
    if (failures > 9)
        return BACKOFF_MAX_MS;
    uint32_t ms = BACKOFF_FIRST_MS << (failures - 1);
    return ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ms;
}
