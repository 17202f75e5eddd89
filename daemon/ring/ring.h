/*
 * ring: keys over time: which one signs, which are published, what comes
 * next. Pure: no clock, no I/O. Times are Unix seconds, spans seconds.
 * Nothing is stored: everything follows from (facts, now), so that daemons
 * that see the same facts agree without talking.
 */
#ifndef SIGNET_RING_H
#define SIGNET_RING_H

#include "daemon/ring/label.h"
#include "proto/cleanup.h"
#include "proto/err.h"

#define RING_MAX_PUBLISHED 100     /* verifiers have been seen to read no more */

/* A ring's settings; config fills it. */
struct ring_settings {
    char name[RING_MAX_NAME + 1];
    int64_t rotate_every;          /* 0: never */
    int64_t publish_ahead, max_ttl, skew, max_age, refresh, destroy_after;
    int64_t generation_time;       /* how long making a key may take */
    bool standby, create, destroy_retired_private;
    bool as_written;               /* to see what becomes of settings that are refused: nothing makes up for them */
    bool no_facts;                 /* the token keeps none: nothing can be promoted, what is revoked is only destroyed */
};

enum key_origin { KEY_GENERATED, KEY_IMPORTED, KEY_OUTSIDE };

/* One key's facts, as the token tells them and as proof established. */
struct ring_key {
    char kid[RING_MAX_KID + 1];        /* empty: not known */
    int64_t activates_at;
    int64_t max_ttl, skew, max_age;    /* its promises, whatever the settings say now */
    int64_t seen_since;                /* when this daemon first saw it, by a clock that never jumps */
    enum key_origin origin;
    bool proved;                       /* both halves, and a test signature verified */
    bool has_private;
    bool verifies;                     /* its public half can be read, or was */
    int64_t watched_s;                 /* for how long this process has seen it retired; as seen_since: see ring_watch */
    bool lacks_half;                   /* one of the two, which may have been there: it verifies still, if it ever signed */
    bool half;                         /* cut off in its making, maybe: nobody brought it, it cannot sign, and never proved that it could */
    bool stays;                        /* not to be destroyed for now: the token did not let it be, or signs with no key at all */
    bool gone;                         /* was there, is not any more: holds its place still */
    struct err trouble;                /* why it cannot sign, naming it; ERR_NONE: not known */
    uint64_t ref;                      /* the caller's name for it */
};

/* An exception on the token: LABEL_REVOKED (at: the place it holds; 0: it never signed) or LABEL_PROMOTE. */
struct ring_fact {
    enum label_kind kind;
    char kid[RING_MAX_KID + 1];
    int64_t at;
};

enum key_state {
    KEY_NEXT,        /* proved, its time not come: published, never signs */
    KEY_ACTIVE,      /* the last activated: half, bad and gone ones too hold this place */
    KEY_RETIRED,     /* a later one became active; its tokens may still live */
    KEY_EXPIRED,     /* past that: out of the key set */
    KEY_REVOKED,     /* never published or used again */
    KEY_ORPHAN,      /* unproved, its time not come */
};
const char *key_state_name(enum key_state s);

struct ring;
struct ring *ring_new(const struct ring_settings *s, const struct ring_key *keys, size_t n_keys,
                      const struct ring_fact *facts, size_t n_facts, struct err *e);
void ring_free(struct ring *r);
DEFINE_CLEANUP(struct ring, ring_free)

/* The keys in the order of their activation, the facts applied; borrowed until ring_free. */
size_t ring_size(const struct ring *r);
const struct ring_key *ring_key(const struct ring *r, size_t i);
enum key_state ring_state(const struct ring *r, size_t i, int64_t now);
bool ring_published(const struct ring *r, size_t i, int64_t now);

/* When its successor activates; after which no token of it lives. INT64_MAX: no successor yet. */
int64_t ring_retires_at(const struct ring *r, size_t i);
int64_t ring_ends_at(const struct ring *r, size_t i);

/* Made by a clock that was wrong: its time is too far away to count. To be reported. */
bool ring_too_far(const struct ring *r, size_t i, int64_t now);

/* The key that signs at `now`, borrowed; NULL with its trouble, or NO_ACTIVE_KEY, KEY_UNPROVED and what to do. */
const struct ring_key *ring_signer(const struct ring *r, int64_t now, struct err *e);

/* The earliest moment after `now` at which any state changes; INT64_MAX: none. */
int64_t ring_changes_at(const struct ring *r, int64_t now);

/* The same of the key set, as far as is foreseen: a key is made, brought forward or ends. */
int64_t ring_set_changes_at(const struct ring *r, int64_t now);

/*
 * How long before its activation a key is published: publish_ahead, or longer
 * where keys were made under longer promises that are still out.
 */
int64_t ring_ahead(const struct ring *r, int64_t now);
/* How old facts of `now` may become, a refresh at least: older ones neither sign nor are served. */
int64_t ring_facts_max_age(const struct ring *r, int64_t now);
/* For how long a copy of the key set may be used: never longer than its keys promise. */
int64_t ring_copy_max_age(const struct ring *r, int64_t now);

/* The key that signs next, borrowed; NULL: none that counts. */
const struct ring_key *ring_coming_key(const struct ring *r, int64_t now);
/* Nothing signs, and every daemon of the token knows that: no key, or the active one is revoked or gone. */
bool ring_is_silent(const struct ring *r, int64_t now);
/* The first second in which a key whose time it becomes now is sure to be the one that signs. */
int64_t ring_at_once(const struct ring *r, int64_t now);
/* When a key that is made now signs: at once in a silent ring, else at the ring's turn, or when all can have it. */
int64_t ring_turn(const struct ring *r, int64_t now);
/* The soonest safe activation of the next key, or (NULL) of one that is made now. */
int64_t ring_soonest(const struct ring *r, const struct ring_key *next, int64_t now);
/* When every verifier that honours max-age has that key, or (NULL) one that is made now. */
int64_t ring_known_at(const struct ring *r, const struct ring_key *next, int64_t now);
/* How long before its turn a next key may yet be withdrawn: all others miss it, twice, before it signs by any clock. */
int64_t ring_withdraw_ahead(const struct ring *r);
/* Whether every verifier that honours max-age has the key that signs: it was published, or made, so long ago. */
bool ring_is_known(const struct ring *r, const struct ring_key *signer, int64_t now);
/* For how long a process has seen a key retired, on its own clock that never jumps, when it needs no other word for it. */
int64_t ring_watch(const struct ring *r, size_t i, int64_t now);
/* A turn after it came so late that a clock may have been wrong: the key stays until a person destroys it. */
bool ring_behind_gap(const struct ring *r, size_t i, int64_t now);

enum ring_action {
    RING_NOTHING,
    RING_GENERATE,           /* a key with activates_at */
    RING_PROMOTE,            /* write the promote fact for key: it is to sign from activates_at */
    RING_DESTROY,            /* key, with both halves */
    RING_DESTROY_PRIVATE,    /* key's private half */
};
/* What is to be done, and when. One thing at a time: do it, list anew, ask again. */
struct ring_next {
    enum ring_action action;
    int64_t at;                      /* not before this; INT64_MAX with RING_NOTHING */
    int64_t activates_at;            /* RING_GENERATE, RING_PROMOTE */
    const struct ring_key *key;      /* the others; borrowed */
};
struct ring_next ring_next(const struct ring *r, int64_t now);

/* A key's life, known and to come. */
struct ring_life {
    struct ring_key key;             /* to_come: no kid */
    enum key_state state;            /* at `now`; to_come: KEY_NEXT */
    bool to_come;                    /* not made yet */
    int64_t published_at;            /* to_come: when it is due; else since when this daemon has seen it, where that was
                                        before its turn; else 0 */
    int64_t longest_max_age;         /* the same two: how long a key set without it may be in use; else 0 */
    int64_t retires_at, ends_at;     /* INT64_MAX: nothing foreseen ends it */
    int64_t private_destroyed_at, destroyed_at;     /* INT64_MAX: not foreseen */
};
#define RING_MAX_TO_COME 400u        /* a year of daily rotations; more is read by nobody */

/*
 * The lives of all keys in the order of activation, if each ring_next is done
 * when it is due: to *until, or (0) to the second activation to come. *until
 * becomes the moment at which the view ends, sooner than asked where more keys
 * would come. Freed by the caller; NULL: no memory.
 */
struct ring_life *ring_foresee(const struct ring *r, int64_t now, int64_t *until, size_t *out_n, struct err *e);

#endif
