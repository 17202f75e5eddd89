/*
 * keys_private: what the files behind keys.h share. keys lists; proof tries; pulse tries again;
 * facts remembers; ring_read makes rings of it; rings_view says who signs, key_set
 * what is published; change changes the token; rotate does what becomes due;
 * notices says what a person should know.
 */
#ifndef SIGNET_BROKER_KEYS_PRIVATE_H
#define SIGNET_BROKER_KEYS_PRIVATE_H

#include "daemon/broker/keys/keys.h"
#include "daemon/broker/work.h"

#define KEYS_MAX_WAITERS 4096u
#define NOT_YET UINT64_MAX

struct ring_view {
    const struct ring_config *config;
    struct ring *ring;               /* NULL: not read yet */
    bool is_published;               /* as the configuration has it */
    bool left_out;                   /* keys_leave_out */
    char *jwks;                      /* as verifiers have it; NULL: nothing */
    int64_t changes_at;              /* Unix seconds */
    int64_t listed_ms;               /* steady: what is known of it is as old as this */
    int64_t facts_max_ms;            /* and may be so old */
    /* what becomes due */
    int64_t next_at;                 /* Unix seconds; INT64_MAX: nothing is foreseen */
    int64_t due_ms;                  /* steady: since it is due, when it is done, other daemons permitting; 0: not due */
    struct err trouble;              /* of the last change */
    unsigned n_failed;               /* changes, in a row */
    enum ring_action due_action;     /* what due_ms is of */
    enum ring_action retry_action;   /* what failed last; RING_NOTHING: nothing that was due */
    int64_t retry_ms;                /* steady: that is not begun anew before */
    struct err told;                 /* why it does not sign, as the log has it */
};

struct waiter {
    struct waiter *next;
    keys_made *done;
    void *owner;                     /* NULL: forgotten */
    uint64_t id;                     /* a key that was made; 0: any listing will do */
    uint64_t after;                  /* listings begun before; NOT_YET: it is still being made */
};

struct fact {
    struct ring_fact f;
    char ring[RING_MAX_NAME + 1];
    unsigned n_missing;              /* listings in a row without it */
};

/* What is left of a start that was cut off while it tried the token, or is of one that is at it. */
struct trial {
    char label[LABEL_MAX];
    int64_t seen_ms;                 /* steady */
    bool listed;
};
#define KEYS_MAX_TRIALS 16u          /* others are taken up when these are gone */

struct keys {
    struct event_base *base;
    char token[CONFIG_MAX_TOKEN_NAME + 10];    /* "the token"; of several: "token 'main'" */
    struct pool *signers, *verifiers;
    struct account account;          /* of our own jobs */
    struct conf *wanted;             /* the latest: what listings are asked for */
    struct conf *listed;             /* of the listing being proved */
    struct conf *conf;               /* in use: views point into it */
    struct event *tick;
    int64_t list_at_ms, listed_ms;   /* steady; listed_ms 0: never */
    int64_t asked_ms;                /* steady: when the last listing was asked for: what it says may be as old */
    bool listing;
    int64_t due_listed_ms;           /* steady: when one was last asked for because something is due */
    uint64_t n_listings;             /* begun so far; the one being read and proved is the last */
    uint64_t n_settled;              /* the last of them that was read and proved */
    uint64_t made_after;             /* the listing begun last when a change was made: only a later one knows it */
    struct change *changes;          /* to be made, in order; one at a time: listings meanwhile see halves */
    struct change *changing;
    size_t n_proving;
    struct held **held;
    size_t n_held;
    struct fact *facts;
    size_t n_facts;
    struct trial trials[KEYS_MAX_TRIALS];
    size_t n_trials;
    bool forgetting;                 /* one of them, this moment */
    char **foreign_facts;
    size_t n_foreign_facts;
    struct ring_view *views;
    size_t n_views;
    struct waiter *waiters, *calling;
    size_t n_waiters;
    struct err trouble;              /* why the last listing failed */
    int64_t trouble_since;           /* Unix seconds */
    bool serving;                    /* on_serving was called */
    void (*on_serving)(void *ctx);
    bool (*is_elsewhere)(void *ctx, const char *kid);    /* NULL: there is no other token */
    void *ctx;
    struct { bool known, trying, keeps_facts, destroys; char lacks[200]; } powers;    /* the token's */
    struct { bool known; int64_t ahead_ms, set_ms, by_ms; } clock;   /* wall less steady; when (steady) it was set, and by how much */
    struct {
        int64_t good_at;             /* Unix seconds: when a signature was last found good; 0: never */
        int64_t good_ms, tried_ms;   /* steady: the same; when a test signature was last begun */
        bool running, failed;        /* one is on its way; the last one came to nothing, and the log has it */
        uint64_t key;                /* that makes it, by signer `by` */
        unsigned by;
    } pulse;
    /* the public set */
    struct keys_page *pages;
    size_t n_pages;
    uint64_t version;
    uint32_t max_age_s;
};

/* Who our own jobs are for. */
struct work_for keys_work(struct keys *k, uint32_t timeout_ms, job_done *done, void *owner);
/* All listed and proved: rings are made anew, waiters told, what is due begun. */
void keys_settled(struct keys *k);

/* proof.c */
struct held *held_by_id(const struct keys *k, uint64_t id);
/* Counts in n_proving until it is known; the last one calls keys_settled. False: nobody could take it. */
bool proof_begin(struct keys *k, struct held *h);

/* pulse.c: a test signature, where none was found good for long */
void pulse_tick(struct keys *k, int64_t now);

/* facts.c: what is revoked stays so here, whatever a later listing says */
bool facts_take(struct keys *k, const Signet__Role__Keys *listing, struct err *e);
bool facts_add(struct keys *k, const char *ring, const struct ring_fact *f, struct err *e);
void facts_clear(struct keys *k);
/* One that a ring must have on the token and has not, or NULL. */
const struct fact *facts_lost(const struct keys *k, const char *ring);
/* What a start that was cut off left of its trial is taken away, once nobody can be at it any more. */
void facts_sweep(struct keys *k);
/* The labels of the promotions of a key; freed with labels_free. */
char **facts_of_key(const struct keys *k, const char *ring, const char *kid, size_t *out_n);
void labels_free(char **labels, size_t n);

/* ring_read.c: a ring of what is held, and of what should be. */
struct ring *ring_read(const struct keys *k, const struct ring_config *config, int64_t now, struct err *e);

/* rings_view.c */
bool views_build(struct keys *k, int64_t now, struct err *e);
void views_clear(struct keys *k);
struct ring_view *view_of(const struct keys *k, const char *ring);
/* The state of a held key; false: it is in no ring. */
bool views_state(const struct keys *k, const struct held *h, int64_t now, enum key_state *out);
int64_t views_change_at(const struct keys *k);
/* What was listed and proved is known as of then; a ring with a key that nobody could try is not. */
void views_listed(struct keys *k);
/* A key of the ring has yet to be tried: what is due is not known. */
bool view_is_owed(const struct keys *k, const struct ring_view *v);
/* To the log, once each: the rings that do not sign, and those that do again. */
void views_tell(struct keys *k, int64_t now);

/* key_set.c */
/* Whatever a moment changed: signers, key sets, pages. */
void views_refresh(struct keys *k, int64_t now);
/* The same whatever was reckoned before: the clock was set, or a fact is known before it is listed. */
void views_refresh_all(struct keys *k, int64_t now);
void key_set_clear(struct keys *k);
int64_t view_set_changes_at(const struct ring_view *v, int64_t now);
uint32_t key_set_changes_in(const struct keys *k, int64_t now);
/* The ring's key in place i where it is published; NULL: it is not. Of an HMAC key that means that it verifies. */
const struct held *view_published(const struct keys *k, const struct ring_view *v, size_t i, int64_t now);
/* Its public keys are for everyone; while its algorithm changes over it may have secret ones beside them. */
bool view_is_public(const struct ring_view *v);

/* change.c: the token is changed by one thing at a time, each listed before the next begins */
/* `w` NULL: begun by ourselves. False: no memory. */
bool change_add(struct keys *k, const char *ring, const struct keys_change *want, struct waiter *w);
void change_next(struct keys *k, int64_t now);   /* begins one if none is under way and all before are listed */
void changes_clear(struct keys *k);
void waiters_call(struct keys *k, const struct err *e);

/* rotate.c: what is due is done, once other daemons had their chance */
void rotate_tick(struct keys *k, int64_t now);       /* lists anew before */
void rotate_settled(struct keys *k, int64_t now);    /* begins it */

#endif
