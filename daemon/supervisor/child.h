/*
 * child: one role's place: a process at a time, its channel, its end. Knows
 * nothing of who should run and what messages mean: that is watch's.
 *
 * A place outlives its processes. Handlers are called from the event loop;
 * they may stop or kill the child they are called on, it stays valid.
 */
#ifndef SIGNET_SUPERVISOR_CHILD_H
#define SIGNET_SUPERVISOR_CHILD_H

#include "daemon/base/role.h"
#include "daemon/channel/channel.h"

#include <event2/event.h>

enum child_state {
    CHILD_DOWN,          /* no process */
    CHILD_STARTING,      /* runs, not yet of use */
    CHILD_UP,
    CHILD_FAILED,        /* a signer without its token: lives, to be replaced */
    CHILD_STOPPING,      /* has no channel any more, not reaped yet */
};

struct child;
struct child_handler {
    struct event_base *base;
    int exec_fd;                                     /* the binary, opened once */
    void *ctx;
    void (*message)(void *ctx, struct child *c, const Signet__Role__Message *m);
    void (*ended)(void *ctx, struct child *c, const char *how);    /* reaped: state is DOWN; `how`: "exited with 3" */
    void (*due)(void *ctx, struct child *c);                       /* child_wake's time has come */
};

struct child {
    const struct child_handler *handler;
    enum role_kind kind;
    unsigned number;                   /* 1…; 0: there is only one of its kind */
    enum child_state state;
    pid_t pid;
    int pidfd;
    struct channel *channel;           /* NULL in DOWN and STOPPING */
    struct event *on_read, *on_write, *on_end, *timer;
    /* watch's */
    uint32_t ready;                    /* the generation it last said Ready to; 0: none yet */
    uint32_t switched;                 /* the generation it was told to use */
    unsigned restarts, failures;       /* in all; in a row */
    int64_t began_ms, due_ms;          /* monotonic: its state's start; not to be started or replaced before */
    int64_t up_ms;                     /* monotonic: since when it was of use; 0: it never was */
    bool late;                         /* a signer: STARTING for so long that the next need not wait for it */
    bool serving;                      /* the broker: it has read the token's keys */
    bool killed;                       /* by us: its end is no news */
    bool retried;                      /* stopped so that another may try: neither is that */
};

bool child_init(struct child *c, const struct child_handler *h, enum role_kind kind, unsigned number);
void child_clear(struct child *c);     /* must be DOWN */

bool child_start(struct child *c, struct err *e);
/* A message that cannot be queued kills the child: it does not read. False: there is no channel. */
bool child_send(struct child *c, const Signet__Role__Message *m, int fd);
/* Closes the channel, which tells the role to exit; kills it if it has not after a while. */
void child_stop(struct child *c);
void child_kill(struct child *c);
/* Calls `due` in so many ms; replaces an earlier wish. */
void child_wake(struct child *c, int64_t in_ms);
void child_enter(struct child *c, enum child_state state);
/* "signer 1" */
const char *child_name(const struct child *c, char out[ROLE_MAX_NAME]);

#endif
