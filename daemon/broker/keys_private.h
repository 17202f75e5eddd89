/* keys_private: what keys (listing, proof), ring_read and rings_view (who signs, what is published) and making share. */
#ifndef SIGNET_BROKER_KEYS_PRIVATE_H
#define SIGNET_BROKER_KEYS_PRIVATE_H

#include "daemon/broker/keys.h"
#include "daemon/broker/work.h"

#define KEYS_MAX_WAITERS 4096u
#define NOT_YET UINT64_MAX

struct ring_view {
    const struct ring_config *config;
    struct ring *ring;               /* NULL: not read yet */
    bool raw;                        /* serves a raw profile: unpublished unless told */
    char *jwks;                      /* as verifiers have it; NULL: nothing */
    int64_t changes_at;              /* Unix seconds */
    bool making;                     /* a key is being generated or imported, or is to be */
    struct err trouble;              /* of the last making */
    unsigned n_failed;               /* makings, in a row */
    int64_t retry_ms;                /* monotonic: not begun anew before */
    struct err told;                 /* why it does not sign, as the log has it */
};

struct waiter {
    struct waiter *next;
    keys_made *done;
    void *owner;                     /* NULL: forgotten */
    uint64_t id;                     /* a key that was made; 0: any listing will do */
    uint64_t after;                  /* listings begun before; NOT_YET: it is still being made */
};

struct keys {
    struct event_base *base;
    struct pool *signers, *verifiers;
    struct account account;          /* of our own jobs */
    struct conf *wanted;             /* the latest: what listings are asked for */
    struct conf *listed;             /* of the listing being proved */
    struct conf *conf;               /* in use: views point into it */
    struct event *timer;             /* the next listing, or the next change of a ring */
    int64_t list_at_ms, listed_ms;   /* monotonic; listed_ms 0: never */
    bool listing;
    uint64_t n_listings;             /* begun so far; the one being read and proved is the last */
    uint64_t n_settled;              /* the last of them that was read and proved */
    uint64_t made_after;             /* the listing begun last when a key was made: only a later one knows it */
    struct making *makings;          /* to be made, in order; one at a time: listings meanwhile see halves */
    bool making;
    size_t n_proving;
    struct held **held;
    size_t n_held;
    struct ring_fact *facts;
    char (*fact_rings)[RING_MAX_NAME + 1];
    size_t n_facts;
    struct ring_view *views;
    size_t n_views;
    struct waiter *waiters, *calling;
    size_t n_waiters;
    struct err trouble;              /* why the last listing failed */
    bool serving;                    /* on_serving was called */
    void (*on_serving)(void *ctx);
    void *ctx;
    /* the public set */
    struct keys_page *pages;
    size_t n_pages;
    uint64_t version;
    uint32_t max_age_s;
};

/* Who our own jobs are for. */
struct work_for keys_work(struct keys *k, uint32_t timeout_ms, job_done *done, void *owner);
void keys_schedule(struct keys *k);
/* All listed and proved: rings are made anew, waiters told, empty rings begun. */
void keys_settled(struct keys *k);

/* ring_read.c: a ring of what is held, and of what should be. */
struct ring *ring_read(const struct keys *k, const struct ring_config *config, int64_t now, struct err *e);

/* rings_view.c */
bool views_build(struct keys *k, int64_t now, struct err *e);
void views_clear(struct keys *k);
struct ring_view *view_of(const struct keys *k, const char *ring);
/* Whatever a moment changed: signers, key sets, pages. */
void views_refresh(struct keys *k, int64_t now);
int64_t views_change_at(const struct keys *k);
/* To the log, once each: the rings that do not sign, and those that do again. */
void views_tell(struct keys *k, int64_t now);

/* making.c */
void making_next(struct keys *k, int64_t now);   /* begins one if none is under way and all before are listed */
void making_clear(struct keys *k);
void waiters_call(struct keys *k, const struct err *e);

#endif
