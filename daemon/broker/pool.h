/*
 * pool: the signers, or the verifiers: who is there, who has room, what was
 * given to whom. A job waits in its caller's lane, which pays for it with what
 * jobs of its kind take, goes to the least busy peer, and is answered exactly
 * once.
 *
 * When a peer dies or hangs, what it had not answered is under suspicion: each
 * is given on once, alone with a peer, so that a poisonous one shows itself and
 * is answered INTERNAL. The rest is only late.
 *
 * A request of many jobs takes two peers at most as well: its toll. It is with
 * as many at a time as it may still lose, and with two only where others' jobs
 * are beside it in no more than one: so the second that is lost is its own doing,
 * and no innocent request loses two to one other. Jobs under suspicion that were
 * answered after all clear it.
 */
#ifndef SIGNET_BROKER_POOL_H
#define SIGNET_BROKER_POOL_H

#include "daemon/broker/account.h"
#include "daemon/channel/channel.h"
#include "proto/jose/alg.h"

#include <event2/event.h>

#define POOL_DEPTH 32u           /* jobs with a peer at most: what it answers at once is read at once */
#define POOL_FIRST 4u            /* of a kind that has not shown yet how long it takes */
#define POOL_AHEAD_US 16000      /* work given ahead, or one job; the rest waits here, where fairness and deadlines live */
#define POOL_AHEAD_BYTES (CHANNEL_MAX_OUT / 2)   /* jobs on the way to one peer; key sets have the other half */
#define POOL_PATIENCE_MS 1000    /* after the last peer was lost: another is mostly there sooner */
#define POOL_MAX_PEERS 64u
#define POOL_MAX_ALGS 32u
#define POOL_KINDS 160u          /* of jobs, by what they take */

struct pool;
struct peer;
struct job;

#define TOLL_MAX 2u
/* What a request has cost; zeroed, its jobs share it. */
struct toll {
    unsigned n_lost;             /* peers, while they had jobs of it; TOLL_MAX: none of it is done any more */
    unsigned n_suspects;         /* jobs of it that a lost peer had, not answered yet */
    struct peer *at[TOLL_MAX];   /* that have jobs of it; NULL: none */
};

struct mechanism { char name[64]; bool digest, proved; };    /* name empty: none */

struct peer {
    struct pool *pool;
    struct channel *channel;     /* NULL: not there */
    struct event *on_read, *on_write;
    unsigned number;
    pid_t pid;
    uint32_t restarts;
    bool ready;                  /* takes work */
    bool hung;                   /* told to the supervisor: its end is near */
    bool relieved;               /* what it had was given to others: it may answer it still */
    bool dirty;                  /* something waits to be written */
    bool failed;                 /* it, or the one before it, said why it cannot serve, or hung */
    struct err why;              /* not ready: the reason; ERR_NONE: still starting */
    struct mechanism mechanisms[POOL_MAX_ALGS];    /* a signer's, by row of jose's table */
    struct job *given[POOL_DEPTH];
    size_t n_given;
    int64_t at_since_ms;         /* since when it owes given[0]: the last answer, or when that was given */
    int64_t busy_since_us;       /* the same, to learn from */
    uint64_t n_done;
    unsigned n_wrong;            /* signatures in a row that were not its keys' */
    uint64_t wrong_before;       /* jobs with a smaller id were given before the last of them was known: they add nothing */
};

/*
 * `answer` is the peer's message, or NULL and `e` says why there is none. The
 * job is the pool's again afterwards.
 */
typedef void job_done(void *owner, struct job *j, const Signet__Role__Message *answer, const struct err *e);

struct job {
    struct queue_item item;      /* first: the queue's handle is the job */
    uint64_t id;
    struct account *account;
    struct pool *waits_in;       /* NULL: it is with a peer */
    struct toll *toll;           /* of its request; NULL: it is a matter of its own */
    int64_t deadline_ms;         /* monotonic: not given to a peer after it */
    uint32_t timeout_ms;         /* a peer that is at it for longer is hung */
    unsigned n_lost;             /* peers that ended while they had it; more than 0: it goes alone */
    unsigned peer;               /* that answered */
    int64_t queued_us, given_us, answered_us;    /* monotonic; `given` to the peer that answered */
    unsigned kind;               /* below POOL_KINDS: jobs of one take about as long; 0: not measured, and for nothing */
    int64_t cost_us;             /* what it was expected to take when it was given */
    size_t len;                  /* bytes of its message, about: they wait here where they are too many for the way */
    unsigned not_peer;           /* preferably another than this number; 0: any */
    job_done *done;
    void *owner;                 /* who pays for it; NULL: job_leave was called */
    bool (*send)(struct job *j, const struct peer *p, struct channel *to, struct err *e);
    void (*free)(struct job *j);
};

struct pool_hooks {
    void *ctx;
    void (*message)(void *ctx, struct peer *p, const Signet__Role__Message *m);   /* that answers no job */
    void (*hung)(void *ctx, struct peer *p, const char *what);
};

struct pool {
    struct event_base *base;
    enum account_lane lane;
    const char *name;            /* "signer" */
    struct pool_hooks hooks;
    struct queue queue;
    int64_t idle_since;          /* Unix seconds: nobody takes work since; 0: somebody does */
    int64_t idle_ms;             /* the same, monotonic; 0 too while nobody ever did */
    uint32_t max_queue;          /* jobs of one account that may wait */
    unsigned others;             /* that the supervisor numbers below its peers */
    uint64_t next_id;
    int64_t cost_us[POOL_KINDS]; /* what a job of each kind takes, on average of late; 0: not known */
    struct peer peers[POOL_MAX_PEERS];
    size_t n_peers;              /* places used: one past the highest number */
};

void pool_init(struct pool *p, struct event_base *base, enum account_lane lane, const char *name,
               const struct pool_hooks *hooks);
void pool_clear(struct pool *p);

/* Takes fd, a channel to peer `number` (from 1), replacing what was there. */
bool pool_attach(struct pool *p, unsigned number, pid_t pid, uint32_t restarts, int fd, struct err *e);
void pool_detach(struct pool *p, unsigned number, const char *why);
/* Its number as the supervisor and people have it. */
unsigned peer_called(const struct peer *peer);
void peer_ready(struct peer *peer);
void peer_failed(struct peer *peer, const struct err *why);
/*
 * It logs in again, for this reason: until it is ready, or has failed, it takes
 * nothing, and others have what it had. The supervisor watches it.
 */
void peer_busy(struct peer *peer, const struct err *why);

/* It is of no use: told to the supervisor, and its work given on. */
void peer_hangs(struct peer *peer, const char *what);

/* A message that is no job; a peer that cannot take it is lost. */
void peer_tell(struct peer *peer, const Signet__Role__Message *m);

/* Whether anyone takes work, or why not and since when: a failed peer's reason, else STARTING. Its code is UNAVAILABLE. */
bool pool_serves(const struct pool *p, struct err *e);
/* Nobody takes work, and somebody said why. */
bool pool_gave_up(const struct pool *p);
/* What nobody can have for now, and since when, in words; `why` as a reason whose code is UNAVAILABLE. Returns false. */
bool pool_outage(struct err *e, const char *what, int64_t since, const struct err *why);
/* A ready peer, or NULL. */
const struct peer *pool_any(const struct pool *p);

/*
 * Takes j, and calls its `done` once, later (never from here), unless false:
 * ERR_QUEUE_FULL, or nobody serves and none is expected soon; then j is freed.
 */
bool pool_submit(struct pool *p, struct job *j, struct err *e);
/*
 * Its owner and toll go away, and nobody wants its answer any more: it is over if it waits; else what it holds until its
 * peer has answered is charged to its account. Its `done` is not called.
 */
void job_leave(struct job *j);

/* Hands waiting jobs to peers with room, and writes. Once a turn of the loop. */
void pool_flush(struct pool *p, int64_t now_ms);
/* Deadlines of waiting jobs are met when they are next to go; this looks for hung peers. */
void pool_tick(struct pool *p, int64_t now_ms);

#endif
