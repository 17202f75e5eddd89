/*
 * check: whether a ring's settings can keep its promises. Each rule is a sum of
 * settings, so that who refuses them can show the arithmetic. Pure; spans in
 * seconds, of which the caller's bounds leave room to add a few.
 */
#ifndef SIGNET_RING_CHECK_H
#define SIGNET_RING_CHECK_H

#include "daemon/ring/ring.h"

struct ring_term { const char *setting; int64_t value; const char *why; };

/* A rule that the settings break. */
struct ring_sum {
    const char *setting;               /* the one to change */
    int64_t is;                        /* what it says */
    bool at_most;                      /* the sum is the most that it may say; else the least */
    int64_t sum;                       /* of the terms */
    struct ring_term terms[4];
    size_t n_terms;                    /* 0: nothing to add up, `otherwise` is the whole sentence */
    const char *otherwise;             /* what would happen */
};
#define RING_MAX_SUMS 4u

/* The longest promises that keys keep which are known beside the settings; 0: none are. */
struct ring_promise { int64_t max_age, skew; };

/* How long a key that is there must be so before it signs: whoever honours max-age then knows it. */
struct ring_sum ring_known(const struct ring_settings *s, const struct ring_promise *kept);

/* All rules that they break; how many. */
size_t ring_check(const struct ring_settings *s, const struct ring_promise *kept, struct ring_sum out[RING_MAX_SUMS]);

/* How many keys of the ring may be published at once, where `n_outside` of them are made elsewhere. */
int64_t ring_most_published(const struct ring_settings *s, size_t n_outside);

#endif
