/*
 * ring: keys over time: which one signs, which are published, what comes
 * next. Pure: no clock, no I/O. Times are Unix seconds, spans seconds. Facts
 * in, states out: nothing is stored, everything follows from (facts, now).
 */
#ifndef SIGNET_RING_H
#define SIGNET_RING_H

#include "daemon/ring/label.h"
#include "proto/err.h"

/* A ring's settings; filled by config. 0 rotate_every: never. */
struct ring_settings {
    char name[RING_MAX_NAME + 1];
    int64_t rotate_every, publish_ahead, max_ttl, skew, max_age, refresh, destroy_after;
    bool standby, create;
    bool destroy_retired_private;
};

enum key_origin { KEY_GENERATED, KEY_IMPORTED, KEY_OUTSIDE };
enum key_state { KEY_NEXT, KEY_ACTIVE, KEY_RETIRED, KEY_EXPIRED, KEY_REVOKED, KEY_ORPHAN };

/* One key's facts, as the token tells them and as proof established. */
struct ring_key {
    char kid[RING_MAX_KID + 1];
    int64_t activates_at, max_ttl, skew, max_age;
    enum key_origin origin;
    bool proved;             /* both halves, and a test signature verified */
    uint64_t ref;            /* the broker's name for it: the key id all signers share */
};
struct ring_fact { enum label_kind kind; char kid[RING_MAX_KID + 1]; int64_t at; };

struct ring;                 /* the keys of one ring, sorted; facts applied */
struct ring *ring_new(const struct ring_settings *s, const struct ring_key *keys, size_t n_keys,
                      const struct ring_fact *facts, size_t n_facts, struct err *e);
void ring_free(struct ring *r);

size_t ring_size(const struct ring *r);
const struct ring_key *ring_key(const struct ring *r, size_t i);
enum key_state ring_state(const struct ring *r, size_t i, int64_t now);
const char *key_state_name(enum key_state s);
/* When its successor activates; when the last token of it has died. 0: not known yet. */
int64_t ring_retires_at(const struct ring *r, size_t i, int64_t now);
int64_t ring_ends_at(const struct ring *r, size_t i, int64_t now);
bool ring_published(const struct ring *r, size_t i, int64_t now);

/* The key that signs at `now`, borrowed; NULL with ERR_NO_ACTIVE_KEY and what to do. */
const struct ring_key *ring_signer(const struct ring *r, int64_t now, struct err *e);
/* The earliest moment after `now` at which any of the above changes; INT64_MAX: none. */
int64_t ring_changes_at(const struct ring *r, int64_t now);

enum ring_action { RING_NOTHING, RING_GENERATE, RING_DESTROY, RING_DESTROY_PRIVATE, RING_PROMOTE };
/* What is to be done next and when; for RING_GENERATE also when the new key shall activate. */
struct ring_next { enum ring_action action; int64_t at; int64_t activates_at; const struct ring_key *key; };
struct ring_next ring_next(const struct ring *r, int64_t now);

/* The settings' own arithmetic, each refusal with the numbers shown (ERR_CONFIG_INVALID). `what`: 0.. until false w/o error. */
bool ring_settings_check(const struct ring_settings *s, int64_t generation_time, struct err *e);

#endif
