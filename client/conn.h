/*
 * conn: one request, one reply, over a Unix socket. What every call stands on.
 */
#ifndef SIGNET_CLIENT_CONN_H
#define SIGNET_CLIENT_CONN_H

#include "client/signet.h"
#include "proto/cleanup.h"
#include "signet.pb-c.h"

/*
 * Sends `op` (its request_id is set here) and waits for its reply, which has
 * the result of that op: owned by the caller, signet__v1__reply__free_unpacked
 * with NULL. NULL with `e`: no daemon, no answer in time, a peer that is none
 * of ours, or the error it answered with.
 */
Signet__V1__Reply *conn_call(struct signet *s, Signet__V1__Request *op, struct signet_error *e);

static inline void reply_freep(Signet__V1__Reply **r)
{
    if (*r)
        signet__v1__reply__free_unpacked(*r, NULL);
}

#endif
