/*
 * label: what a key's CKA_LABEL and a fact's say (design: rings), read and
 * written:
 *
 *     signet:<ring>:<ALG>:<activates_at>:<max_ttl>:<skew>:<max_age>
 *     signet:<ring>:revoked:<kid>:<activates_at>
 *     signet:<ring>:promote:<kid>:<at>
 *
 * Pure. Numbers are canonical decimals (no sign, no leading zero), at most
 * LABEL_MAX_TIME. A label that does not parse is foreign: never used.
 */
#ifndef SIGNET_RING_LABEL_H
#define SIGNET_RING_LABEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LABEL_MAX 256                    /* bytes with NUL */
#define LABEL_MAX_TIME 253402300799ll    /* the end of year 9999 */
#define RING_MAX_NAME 32                 /* [a-z0-9-] */
#define RING_MAX_KID 128                 /* bytes: a thumbprint has 43, an HMAC key's CKA_ID of 64 bytes 86 */

enum label_kind { LABEL_KEY, LABEL_REVOKED, LABEL_PROMOTE };

struct label {
    enum label_kind kind;
    char ring[RING_MAX_NAME + 1];
    char alg[16];                        /* LABEL_KEY: as written; whether it is one of ours is jose's to say */
    char kid[RING_MAX_KID + 1];          /* the facts */
    int64_t at;                          /* activates_at, or the promotion's at: Unix seconds */
    int64_t max_ttl, skew, max_age;      /* LABEL_KEY: the promises, seconds */
};

bool label_parse(struct label *l, const char *text, size_t len);
bool label_write(const struct label *l, char out[LABEL_MAX]);
bool ring_name_ok(const char *name, size_t len);

#endif
