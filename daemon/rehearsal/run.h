/*
 * run: one rehearsal's inside. token, fleet, knows, gives and acts live it;
 * promises looks on; history keeps what was published and signed, by whom, from
 * when; judge and habits read that.
 *
 * Inside, moments are Unix seconds by the true clock; a daemon's own is that
 * plus its `clock`. Daemons and keys count from 0.
 */
#ifndef SIGNET_REHEARSAL_RUN_H
#define SIGNET_REHEARSAL_RUN_H

#include "daemon/rehearsal/rehearsal.h"

#define NO_KEY SIZE_MAX
#define NEVER INT64_MAX

/* What the token holds of a key. */
enum stage { STAGE_NOTHING, STAGE_HALF, STAGE_WHOLE, STAGE_GONE };

struct token_key {
    char kid[24];
    int64_t activates_at;
    enum stage stage;
    enum key_origin origin;
    bool in_making;
    bool urgent;                 /* signs at once, before verifiers can know it: nothing else could, or a person wants it */
    int64_t whole_at;            /* since when it is published */
    /* the facts beside it; NEVER: not so */
    int64_t promoted_at;         /* it signs from then on, not from activates_at on */
    int64_t revoked_at, place;   /* by the true clock; which place in the ring it holds, 0: none */
    int64_t hurried_at;          /* its successor was made to sign at once: no token of later is promised anything */
    bool has_public;             /* of a half: which one; without it there is no kid */
    bool has_private;
    /* its tokens, for the judge; first_at NEVER: none */
    int64_t first_at, first_expires_at, last_at, last_expires_at, destroyed_at;
    unsigned first_by, last_by, destroyed_by;
};

/* What one daemon knows of a key. */
struct known {
    size_t key;
    int64_t activates_at;        /* by the facts that it knows */
    bool revoked, promoted;
    int64_t seen_since, retired_since;       /* retired_since NEVER: it is not */
    unsigned n_missing;          /* listings in a row */
    bool has_public, has_private, proved;    /* as listed last */
    bool was_proved;
    bool gone;
    bool missed_next;            /* it was a next key when it may have gone */
    bool let_go;                 /* destroyed by this daemon itself */
};

/* What a daemon gives out and signs with, from a moment to the next spell's. */
struct spell {
    int64_t from, clock;
    bool serves;                 /* else it answers nothing */
    size_t signer;               /* NO_KEY: none */
    size_t set, n_set;           /* its key set, in run.sets, in the order of activation */
};

enum event {
    EVENT_START,                 /* it is started */
    EVENT_LIST,                  /* the first listing of which anything is to be expected */
    EVENT_LOOK,                  /* time alone changes the ring */
    EVENT_HALF, EVENT_MADE,      /* the key it generates is there by half; is whole */
    EVENT_BLIND, EVENT_STALE, EVENT_SEES,    /* it cannot list the token; what it knows is too old; it can again */
    EVENT_ASKED,                 /* a person asks it for a change of the ring */
    EVENT_END,                   /* it is stopped, or crashes */
    N_EVENTS
};

struct sim_daemon {
    int64_t clock;               /* its error */
    int64_t at[N_EVENTS];        /* NEVER: not */
    bool up, blind, stale;
    bool was_blind;              /* since its last listing */
    size_t making;               /* NO_KEY: none */
    struct known *known;
    size_t n_known, known_room;
    uint64_t listed_version;     /* the token's, as it knows it */
    int64_t listed_at;
    int64_t acts_at;             /* on what is due, after a wait of its own */
    int64_t watched_at;          /* when it has seen a retired key for long enough */
    struct ring *ring;           /* of what it knows; NULL: nothing yet */
    struct spell *spells;
    size_t n_spells, spells_room;
};

struct run {
    const struct ring_settings *s;
    const struct rehearsal_options *o;
    uint64_t random;
    int64_t began, now, end;
    struct token_key *keys;
    size_t n_keys, keys_room, *live, n_live, live_room;      /* live: those of which the token holds anything */
    uint64_t version;            /* of what the token holds */
    struct sim_daemon daemons[REHEARSAL_MAX_DAEMONS];
    size_t *sets, n_sets, sets_room;
    struct rehearsal_report *report;
    uint64_t work;               /* a measure of it: keys compared */
    bool no_memory;
};

/* From lo to hi, both included; hard: often one of the two. */
int64_t roll(struct run *r, int64_t lo, int64_t hi);
int64_t roll_hard(struct run *r, int64_t lo, int64_t hi);
/* One time in n. */
bool chance(struct run *r, unsigned n);
/* Room for one more in a list; false: no memory, which ends the run. */
bool run_grow(struct run *r, void **list, size_t *room, size_t n, size_t size);
/* `at` by the true clock; kept where it is the first. */
void run_found(struct run *r, struct rehearsal_finding f);

/* How long a copy of the key set may be used. */
static inline int64_t run_max_age(const struct run *r)
{
    return r->o->is_unpublished ? 0 : r->s->max_age;
}

static inline bool is_broken(const struct run *r, const struct sim_daemon *d, enum rehearsal_breakage how)
{
    return r->o->broken == how && d == r->daemons;
}

/* From when on no token of a key is promised anything. */
static inline int64_t run_cut_at(const struct token_key *k)
{
    return k->revoked_at < k->hurried_at ? k->revoked_at : k->hurried_at;
}

/* token.c: a key with nothing on the token yet; NO_KEY: no memory. */
size_t token_add(struct run *r, int64_t activates_at);
void token_put(struct run *r, size_t key, enum stage stage);       /* STAGE_GONE: destroyed */
bool token_has_fact(const struct token_key *k);
int64_t token_signs_from(const struct token_key *k);               /* who knows its facts; but for a revoked one's place */

/* fleet.c: all of the daemons' lives. */
void fleet_live(struct run *r);

/* gives.c: what it gives out from now on; returns when time alone changes that. */
int64_t gives_now(struct run *r, struct sim_daemon *d, int64_t now);
void gives_nothing(struct run *r, struct sim_daemon *d, int64_t now);

/* acts.c: does what is due and waited for; then plans when to do what comes next. */
void acts_now(struct run *r, struct sim_daemon *d, int64_t now);
void acts_plan(struct run *r, struct sim_daemon *d, int64_t now);
void acts_asked(struct run *r, struct sim_daemon *d, int64_t now);
void acts_half(struct run *r, struct sim_daemon *d, int64_t now);
void acts_made(struct run *r, struct sim_daemon *d, int64_t now);
void acts_abandon(struct run *r, struct sim_daemon *d);

/* knows.c: what a daemon knows of the token, and the ring of that. */
struct known *knows_of(const struct sim_daemon *d, size_t key);
void knows_list(struct run *r, struct sim_daemon *d, int64_t now);
void knows_clear(struct sim_daemon *d);
void knows_let_go(struct sim_daemon *d, size_t key);

/* history.c: the spell from now on, joined to the last where it is the same. */
void history_add(struct run *r, struct sim_daemon *d, struct spell spell, const size_t *set);
/* The spell at `at`, or the first. */
size_t history_at(const struct sim_daemon *d, int64_t at);
bool history_has(const struct run *r, const struct spell *p, size_t key);
int64_t history_until(const struct run *r, const struct sim_daemon *d, size_t i);

/* promises.c: what a daemon owes at a moment, by the labels that it knows. */
void promises_hold(struct run *r, const struct sim_daemon *d, int64_t now, size_t signer, const size_t *set, size_t n);
void promises_let_destroy(struct run *r, const struct sim_daemon *d, int64_t now, size_t key);

/* judge.c: every token that was signed against every copy that could be in use. */
void judge(struct run *r);
/* habits.c: some of them against verifiers of each habit. */
void habits_try(struct run *r);

#endif
