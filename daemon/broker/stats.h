/*
 * stats: what became of requests since the start, how long they took, and the
 * last ones that were refused. Pure. All 0 is empty.
 *
 * What a caller can make it hold is bounded: it knows the configuration's
 * profiles, our reasons and a number of operations, and no allocation is made
 * for a request but the first of its profile and operation. Counts only grow;
 * those of a profile that a reload takes out are forgotten with it.
 */
#ifndef SIGNET_BROKER_STATS_H
#define SIGNET_BROKER_STATS_H

#include "daemon/policy/policy.h"
#include "proto/err.h"

#define STATS_MAX_OPS 32u
#define STATS_MAX_RESULTS 2048u      /* with a profile: a reply has room for them all; more are counted as of none */
#define STATS_MAX_PROFILE 64u        /* bytes of its name, as the configuration has it */
#define STATS_MAX_REFUSALS 20u
#define STATS_N_BOUNDS 20u

enum stats_kind { STATS_SIGN, STATS_VERIFY, STATS_N_KINDS };
enum stats_stage {
    STATS_QUEUE,                     /* of a job: until a signer or verifier had it */
    STATS_TOKEN,                     /* of a job: from then until its answer */
    STATS_TOTAL,                     /* of a request: from its frame to its reply */
    STATS_N_STAGES
};

/* counts[i]: that took at most stats_bounds_us[i], and longer than the bound before; the last one: the rest. */
struct stats_times { uint64_t counts[STATS_N_BOUNDS + 1], sum_us; };
extern const uint32_t stats_bounds_us[STATS_N_BOUNDS];

struct stats_refusal {
    int64_t at;                      /* Unix seconds */
    uint32_t uid;
    unsigned op;
    char profile[STATS_MAX_PROFILE + 1];
    struct err why;
};

struct stats_profile {
    char name[STATS_MAX_PROFILE + 1];
    uint64_t *ops[STATS_MAX_OPS];    /* by err_reason; NULL: nothing yet */
};

struct stats {
    struct stats_profile none;       /* requests of no profile that the configuration has */
    struct stats_profile *profiles;  /* by name */
    size_t n_profiles;
    size_t n_results;                /* of these that are not 0 */
    struct stats_times times[STATS_N_KINDS][STATS_N_STAGES];
    struct stats_refusal refusals[STATS_MAX_REFUSALS];
    uint64_t n_refusals;             /* that there were */
};

/* The configuration's profiles from now on; those without memory for it are counted as of none. */
void stats_use(struct stats *s, const struct profile *profiles, size_t n);
void stats_clear(struct stats *s);

/* The outcome of one; ERR_NONE: done. `op` is the caller's number; a profile that is not known counts as none. */
void stats_count(struct stats *s, unsigned op, const char *profile, enum err_reason result);
/* One that was refused, to be shown; it is counted besides. */
void stats_refused(struct stats *s, int64_t now, uint32_t uid, unsigned op, const char *profile, const struct err *why);
/* n of them took so long. */
void stats_took(struct stats *s, enum stats_kind kind, enum stats_stage stage, int64_t us, uint64_t n);

/* All outcomes that there were. `profile` is "" for none. */
void stats_each(const struct stats *s, void *ctx,
                void (*tell)(void *ctx, unsigned op, const char *profile, enum err_reason result, uint64_t n));
/* The last but i, or NULL. */
const struct stats_refusal *stats_refusal(const struct stats *s, size_t i);

#endif
