/*
 * connection: one caller's socket: who it is by the kernel's word, frames in,
 * frames out. Past its in-flight or output limit it is not read, and where all
 * hold too much the ones that hold most and read nothing are closed; half a frame
 * times out; a frame that cannot be one ends it, and it alone. What beginning
 * requests takes is shared between uids as the token's time is, however many
 * connections each has and whatever they send.
 *
 * Closing only marks: connections_flush frees, at the end of the loop's turn.
 */
#ifndef SIGNET_BROKER_CONNECTION_H
#define SIGNET_BROKER_CONNECTION_H

#include "daemon/broker/broker_private.h"
#include "proto/buf.h"
#include "signet.pb-c.h"

struct connection {
    struct queue_item item;          /* first: the queue's handle is the connection */
    struct broker *broker;
    struct connection *next, *prev;
    int fd;
    bool admin;
    struct caller caller;            /* its name is looked up in each request's configuration */
    gid_t *groups;
    struct account *account;
    struct event *on_read, *on_write;
    struct buf in, out;
    size_t in_at, out_at;            /* bytes done with */
    size_t charged;                  /* to the account, for `out` */
    size_t n_in_flight;              /* requests, each item of a batch being one */
    size_t n_requests;               /* alive */
    int64_t served_ms;               /* monotonic: something was read or written last */
    int64_t half_since_ms;           /* a frame is incomplete since then; 0: none is */
    int64_t stuck_since_ms;          /* output waits since then; 0: none does */
    bool paused;                     /* not read for now */
    bool left;                       /* whole frames may stand in `in` */
    bool waits;                      /* for its turn to have one taken: it is the queue's, closed or not */
    bool eof;                        /* the caller writes no more, but may still read */
    bool ending;                     /* closed when its output is written */
    bool closed;
    bool dirty;
};

/* Takes fd: a connection, or its end. Where there are as many as may be, the longest idle one of a uid that has more goes. */
void connection_new(struct broker *b, int fd, bool admin);
/* Queues a reply, whole or not at all: one too long becomes an error. */
void connection_reply(struct connection *c, const Signet__V1__Reply *r);
/* An error about no request that could be told apart. */
void connection_refuse(struct connection *c, uint64_t request_id, const struct err *e);
/* A request of n items has ended. */
void connection_done(struct connection *c, size_t n);
void connection_close(struct connection *c);

/*
 * Takes what was read as far as there is room and time in this turn, writes
 * what waits, frees the closed. Once a turn; b->more: the next one is due at
 * once.
 */
void connections_flush(struct broker *b);
void connections_tick(struct broker *b, int64_t now_ms);
bool connections_idle(const struct broker *b);      /* nothing waits to be written */

#endif
