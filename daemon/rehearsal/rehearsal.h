/*
 * rehearsal: years of a ring lived through in a moment: a token, daemons on
 * it whose clocks differ, that restart, crash in the middle of a step and
 * lose sight of the token; tokens signed all the while; verifiers of declared
 * habits. Says whether a living token was ever without its published key, by
 * how much it never was, and which setting to change.
 *
 * What each daemon does is ring's arithmetic; what it should have done is
 * worked out here a second time, from the labels. Pure: no clock, no I/O. The
 * same settings and options give the same report. Times are seconds since
 * the beginning.
 */
#ifndef SIGNET_REHEARSAL_H
#define SIGNET_REHEARSAL_H

#include "daemon/ring/ring.h"
#include "proto/buf.h"

#define REHEARSAL_MAX_DAEMONS 5u
#define REHEARSAL_MAX_KEYS 1000u         /* made; the run ends there: a ring of minutes shows in them what it can show */
#define REHEARSAL_TOKENS 10000u          /* enough to see each habit at every turn of ten years */

/* What one of the daemons does wrong, to see that it is found. For tests. */
enum rehearsal_breakage {
    BROKEN_NOT,
    BROKEN_SIGNS_EARLY,          /* its next key, a second before its time */
    BROKEN_WITHDRAWS_EARLY,      /* a retired key, a second before its end */
    BROKEN_DESTROYS_EARLY,       /* a retired key, before its end */
    BROKEN_PUBLISHES_LATE,       /* a key only when it signs */
    BROKEN_SIGNS_UNPUBLISHED,    /* with a key that it leaves out of its key set */
    BROKEN_GOES_ON_BLIND,        /* by what it knows of the token, however old that is */
};

struct rehearsal_options {
    uint64_t seed;
    int64_t span;                /* to live through */
    size_t n_tokens;             /* at most, shown to verifiers of each habit */
    bool by_hand;                /* people change it, too: rotate, withdraw and revoke keys, and bring some made outside */
    bool is_unpublished;         /* no verifier has a copy: each asks a daemon */
    enum rehearsal_breakage broken;
};

/* Of two at one moment the first here is told. */
enum rehearsal_kind {
    FOUND_NOTHING,
    FOUND_SIGNED_EARLY,          /* `daemon`, with a key whose time had not come */
    FOUND_SIGNED_UNPUBLISHED,    /* `daemon`, with a key that is not in its own key set */
    FOUND_DESTROYED_EARLY,       /* by `daemon`: its tokens might have lived */
    FOUND_DESTROYED_IN_MAKING,   /* by `daemon`, while another was making it */
    FOUND_WITHDRAWN_EARLY,       /* by `daemon`, from its key set */
    FOUND_PUBLISHED_LATE,        /* by `daemon`, which knows it */
    FOUND_REJECTED,              /* a living token, for lack of its key */
    FOUND_REVOKED_USED,          /* signed with or published by `daemon`, which knows that it is revoked */
    FOUND_TOO_MANY,              /* keys published, more than verifiers read */
};
const char *rehearsal_kind_name(enum rehearsal_kind k);        /* "signed-early" */

struct rehearsal_finding {
    enum rehearsal_kind kind;
    int64_t at;
    size_t key;                  /* numbered as they were made, from 1 */
    unsigned daemon;             /* from 1; FOUND_REJECTED: which signed */
    /* FOUND_REJECTED: whose copy of the key set it was, how old it could be, and the token's life by the true clock */
    unsigned server;
    int64_t copied_at, signed_at, expires_at;
    size_t n_published;          /* FOUND_TOO_MANY */
};

enum rehearsal_margin_of {
    MARGIN_KNOWN,                /* from the last use of a copy without a key to the key's first signature */
    MARGIN_PUBLISHED,            /* from the death of a key's last token to the first key set without it */
    MARGIN_KEPT,                 /* from the same death to the key's destruction */
    N_REHEARSAL_MARGINS
};
struct rehearsal_margin {
    bool met;                    /* the run had such a moment */
    int64_t seconds, at;
    size_t key;
    unsigned daemon, server;     /* who signed, and whose key set it was (MARGIN_KEPT: who destroyed) */
};

/* What verifiers do. The promised ones are served by all settings that are not refused. */
enum rehearsal_habit_of {
    HABIT_MAX_AGE, HABIT_WAITS, HABIT_REFETCHES, HABIT_SKEWED, HABIT_NEWEST, HABIT_WEEK, HABIT_OFFLINE, N_REHEARSAL_HABITS
};
struct rehearsal_habit {
    const char *name, *what;     /* "week"; what such verifiers do */
    bool is_promised;
    int64_t keeps;               /* a copy for so long; 0: for max-age */
    bool refetches, is_skewed, newest_only;
};
extern const struct rehearsal_habit rehearsal_habits[N_REHEARSAL_HABITS];

/* A setting, and what the arithmetic asks it to be. */
struct rehearsal_change { const char *setting; int64_t was, is; };
#define REHEARSAL_MAX_CHANGES 4u

struct rehearsal_report {
    int64_t lived;                   /* shorter than the span: it made or kept too many keys to go on */
    unsigned n_daemons, n_rotations, n_restarts;
    unsigned n_crashes;              /* in the middle of a step: restarts, too */
    unsigned n_blind;                /* spells in which a daemon could not list the token */
    unsigned n_spare;                /* keys that never signed: made twice, or by halves */
    unsigned n_urgent;               /* keys made when nothing could sign: they did at once, unknown to verifiers */
    size_t most_published, n_left;   /* keys: in one key set; on the token at the end */
    size_t n_tokens, n_checks;
    size_t n_rejected[N_REHEARSAL_HABITS];          /* of the tokens */
    struct rehearsal_margin margins[N_REHEARSAL_MARGINS];
    struct rehearsal_finding found;                 /* the first; FOUND_NOTHING */
    struct rehearsal_change changes[REHEARSAL_MAX_CHANGES];     /* with which the same run finds nothing */
    size_t n_changes;                               /* 0 with something found: no setting does it */
    /* The longest that a daemon was up and had no key to sign with: no promise to verifiers is broken by that. */
    struct { int64_t seconds, at; unsigned daemon; } silent;
};

/* False: no memory. */
bool rehearse(const struct ring_settings *s, const struct rehearsal_options *o, struct rehearsal_report *out, struct err *e);

/* The tightest margin; NULL: none was met. */
const struct rehearsal_margin *rehearsal_tightest(const struct rehearsal_report *r);
/* What would serve verifiers that keep a copy for so long; how many changes, 0: it does so already. */
size_t rehearsal_serve(const struct ring_settings *s, int64_t keeps, struct rehearsal_change out[REHEARSAL_MAX_CHANGES]);

/* In a sentence, without a full stop. */
void rehearsal_say_found(const struct ring_settings *s, const struct rehearsal_finding *f, struct buf *out);
void rehearsal_say_margin(const struct rehearsal_report *r, const struct rehearsal_margin *m, struct buf *out);
/* "publish_ahead: 20m (now 10m)", with commas between them. */
void rehearsal_say_changes(const struct rehearsal_change *c, size_t n, struct buf *out);
/* "2d", "1h30m"; and "day 27, 23:59:30". */
void rehearsal_say_span(int64_t s, struct buf *out);
void rehearsal_say_moment(int64_t at, struct buf *out);

#endif
