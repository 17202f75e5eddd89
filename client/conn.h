/*
 * conn: one connection to signetd and the calls that wait on it. Never blocks;
 * one thread at a time. Its owner waits on conn_fd for conn_events, until
 * conn_next_ms, and then lets it work: conn_process.
 *
 * It connects when there is something to ask. A daemon that goes away is given
 * CONN_RESTART_MS to come back; meanwhile calls wait, within their deadlines,
 * and those it had not answered are asked again (but for some that change
 * keys: whether they have is not known). One that was not there in the
 * first place is an error at once.
 */
#ifndef SIGNET_CLIENT_CONN_H
#define SIGNET_CLIENT_CONN_H

#include "client/signet.h"
#include "proto/cleanup.h"
#include "signet.pb-c.h"

#include <sys/un.h>

#define CONN_RESTART_MS 2000
#define CONN_MAX_CALLS 4096u                    /* waiting at a time */
#define CONN_MAX_REQUEST (16u * 1024 * 1024)    /* bytes: far past any listener's limit, which the daemon knows */
#define CONN_MAX_BYTES (64u * 1024 * 1024)      /* of all requests that wait */

struct conn;

/*
 * How a call ends, exactly once, in conn_process. `reply` is taken and has the
 * result of what was asked; NULL: e says why there is none. May begin and
 * cancel other calls of the same conn, not free it.
 */
struct conn_call {
    void (*done)(const struct conn_call *call, Signet__V1__Reply *reply, const struct signet_error *e);
    void (*then)(void);          /* the owner's own: whatever `done` wants beside ctx */
    void *ctx;
    const uint8_t *request;      /* in `done`: what was asked, a signet.v1.Request, gone when that returns */
    size_t request_len;
};

struct conn *conn_new(const struct sockaddr_un *address);
/* Calls that wait are forgotten: nobody is called. */
void conn_free(struct conn *c);
DEFINE_CLEANUP(struct conn, conn_free)
/* Who polls the descriptor hears of its end before it is closed: a copy in a forked child would keep it alive. */
void conn_on_close(struct conn *c, void (*closing)(void *ctx, int fd), void *ctx);
/*
 * In a child process, of a parent's conn that a thread may have been at work
 * on: closes this process's descriptor and touches nothing else of it.
 */
void conn_abandon(struct conn *c);

/*
 * Begins a call; `op` is packed here (request_id is set). `until_ms`: monotonic
 * (conn_now_ms). Returns its id; 0: refused with e.
 */
uint64_t conn_begin(struct conn *c, Signet__V1__Request *op, int64_t until_ms, struct conn_call call,
                    struct signet_error *e);
/* It will not be called back; what it asked may still happen. False: there is no such call any more. */
bool conn_cancel(struct conn *c, uint64_t id);
void conn_cancel_all(struct conn *c);

/* Everything that can be done without waiting; ended calls are called back. Returns how many. */
size_t conn_process(struct conn *c);
/* The part of it that sends. */
void conn_send(struct conn *c);

int conn_fd(const struct conn *c);              /* -1: not connected now */
unsigned conn_generation(const struct conn *c); /* another one: another descriptor, whatever its number */
short conn_events(const struct conn *c);        /* POLLIN, POLLOUT */
int64_t conn_next_ms(const struct conn *c);     /* monotonic; INT64_MAX: nothing is due */
size_t conn_n_calls(const struct conn *c);

int64_t conn_now_ms(void);                      /* CLOCK_MONOTONIC */

/* Whether an operation makes or destroys keys: it may take its time. */
bool conn_is_slow(Signet__V1__Request__OpCase op_case);
/* Whether an operation must not be asked twice. */
bool conn_only_once(Signet__V1__Request__OpCase op_case);

static inline void reply_freep(Signet__V1__Reply **r)
{
    if (*r)
        signet__v1__reply__free_unpacked(*r, NULL);
}

#endif
