/*
 * handle: what a struct signet is: blocking calls, from any thread, in any
 * process that came by it by fork.
 */
#ifndef SIGNET_CLIENT_HANDLE_H
#define SIGNET_CLIENT_HANDLE_H

#include "client/conn.h"

#define HANDLE_TIMEOUT_MS 5000u      /* past the daemon's own default deadline of 2 s */

/*
 * Sends `op` and waits for its reply, which has the result of that op: owned
 * by the caller. NULL with `e`: no handle, no daemon, no answer in time, a
 * peer that is none of ours, or the error that it answered with.
 */
Signet__V1__Reply *handle_call(struct signet *s, Signet__V1__Request *op, struct signet_error *e);

/* For what takes several: how long, from now, a call may take (monotonic), and calls that end then. */
int64_t handle_until_ms(const struct signet *s, const Signet__V1__Request *op);
Signet__V1__Reply *handle_call_until(struct signet *s, Signet__V1__Request *op, int64_t until_ms, struct signet_error *e);

#endif
