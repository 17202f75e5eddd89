/*
 * policy: may this caller have this token, and what goes into it. Pure: `now`
 * is an argument; no protobuf, no key, no socket. Everything not allowed is
 * refused, each refusal with its own reason.
 */
#ifndef SIGNET_POLICY_H
#define SIGNET_POLICY_H

#include "proto/buf.h"
#include "proto/err.h"

#include <sys/types.h>

#define POLICY_OVERFLOW_ID 65534u  /* what the kernel shows for an id that has no place in this user namespace */

/* Who asks: the kernel's word at connect(). */
struct caller {
    uid_t uid;
    gid_t gid;
    pid_t pid;
    const gid_t *groups;           /* supplementary */
    size_t n_groups;
    const char *name;              /* uid's user name in the supervisor's snapshot; NULL: none */
};

/* Who may: config fills it. */
struct allow {
    bool any;                      /* but never the overflow uid */
    uid_t *uids; size_t n_uids;
    gid_t *gids; size_t n_gids;
};
void allow_clear(struct allow *a);
bool allow_has(const struct allow *a, const struct caller *c);

struct profile_claim { char *name; char *json; };   /* fixed: value as compact JSON */
struct profile {
    char *name, *ring, *issuer, *typ;      /* issuer NULL only for raw */
    char **audiences; size_t n_audiences;
    uint32_t ttl_s, max_ttl_s, leeway_s;
    bool raw, kid;                         /* kid: write it into the header */
    bool subject_is_caller;
    bool any_claim;                        /* allowed: any */
    char **allowed; size_t n_allowed;
    char **required; size_t n_required;
    char **forbidden; size_t n_forbidden;
    struct profile_claim *fixed; size_t n_fixed;
    struct allow sign, verify;
    uint32_t rate_per_s;                   /* 0: unlimited */
    uint32_t deadline_ms;                  /* default 2000 */
};

/* What the caller wants in the token. Borrowed. */
struct wish {
    const char *subject;                   /* NULL or "": none */
    const char *const *audiences; size_t n_audiences;
    uint32_t ttl_s;                        /* 0: the profile's */
    int64_t not_before;                    /* 0: none */
    const char *jti;                       /* NULL or "": ours */
    const uint8_t *claims; size_t claims_len;   /* one JSON object; none: 0 */
};
struct verdict { int64_t expires_at; char jti[129]; };

bool policy_may_sign(const struct profile *p, const struct caller *c, struct err *e);
bool policy_may_verify(const struct profile *p, const struct caller *c, struct err *e);

/*
 * The payload of a JWT, compact JSON appended to `out`: iss, sub, aud (a
 * string for one, an array for more), iat, exp, nbf, jti, fixed claims, then
 * the caller's, byte for byte. `key_max_ttl`: the signing key's promise, which
 * caps a longer ttl. `random`: 16 bytes for the jti.
 */
bool policy_payload(const struct profile *p, const struct caller *c, const struct wish *w, int64_t now,
                    int64_t key_max_ttl, const uint8_t random[16], struct buf *out,
                    struct verdict *v, struct err *e);

/* A token bucket of one profile and uid. Times in monotonic ms. Zero-initialised is full. */
struct rate { int64_t at_ms; double tokens; bool started; };
/* Takes one, or ERR_RATE_LIMITED with retry_after_ms. Burst: one second's worth, at least 1. */
bool rate_take(struct rate *r, uint32_t rate_per_s, int64_t now_ms, struct err *e);

void profile_clear(struct profile *p);

#endif
