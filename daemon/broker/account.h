/*
 * account: one for each uid that holds something here: what a caller makes
 * the broker hold is charged to it.
 */
#ifndef SIGNET_BROKER_ACCOUNT_H
#define SIGNET_BROKER_ACCOUNT_H

#include "daemon/broker/pace.h"
#include "daemon/broker/queue.h"
#include "daemon/config/config.h"

#include <stdint.h>
#include <sys/types.h>

/*
 * Beside what its queue may hold in short requests, a uid has room for long
 * ones: 50 of the longest with the default limits.
 */
#define ACCOUNT_MAX_BYTES (16u * 1024 * 1024)
#define ACCOUNT_RETRY_MS 50u               /* who holds too much may ask again then */
/* A request's bytes are held so often while it is under way: as they came, and a third longer as token, job, reply. */
#define ACCOUNT_COPIES 5u
#define ACCOUNT_ITEM_BYTES 4096u           /* that an item holds beside its own bytes: its state, its signature */

enum account_lane { LANE_VERIFIERS, LANE_SIGNERS /* of the first token; the others' follow */,
                    N_LANES = LANE_SIGNERS + CONFIG_MAX_TOKENS };

struct account {
    struct accounts *all;                  /* NULL: nobody's, and not counted with them */
    uid_t uid;
    struct lane lanes[N_LANES];
    struct pace paces[N_LANES];            /* of the lanes */
    struct lane turns;                     /* its connections that have frames to be taken */
    size_t n_connections, n_requests;      /* alive */
    size_t n_jobs;                         /* waiting or with a peer */
    size_t n_bytes;                        /* of requests, all that is made for them, and replies: account_hold's */
    int64_t seen_ms;                       /* monotonic: its last request */
    struct rate *rates;                    /* one a profile of the configuration `rates_of` */
    uint32_t rates_of;
    struct rate told;                      /* refusals logged */
    uint64_t untold;                       /* refusals not logged since */
    struct account *next;
};

struct accounts {
    struct account *buckets[256];
    size_t n_bytes;                        /* of all */
    size_t n_holding;                      /* accounts that hold something */
};

/* NULL: no memory. */
struct account *account_of(struct accounts *a, uid_t uid);
/* Frees those that hold nothing and have asked nothing for long enough that their rates are full again. */
void accounts_sweep(struct accounts *a, int64_t now_ms);
void accounts_clear(struct accounts *a);

/* It makes us hold so many bytes; it does no more. */
void account_hold(struct account *a, size_t n);
void account_let_go(struct account *a, size_t n);
/* Of max bytes that all may hold what each may in any case: as many parts as hold something, and one for who comes. */
size_t account_share(const struct accounts *a, size_t max);
/*
 * Whether it may hold what it does: no more than one uid may, and of what all
 * may no more than its share, or than what is left. So all may hold more than
 * they may, and then somebody holds more than his share: he is to lose it at
 * once.
 */
bool account_has_room(const struct account *a, const struct daemon_config *d);
/* The same, and why not. Its code is RESOURCE_EXHAUSTED. */
bool account_may_hold(const struct account *a, const struct daemon_config *d, struct err *e);

/* The bucket of profile `index` of configuration `generation`; NULL: no memory. */
struct rate *account_rate(struct account *a, uint32_t generation, size_t n_profiles, size_t index);

#endif
