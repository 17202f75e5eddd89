/*
 * judge: tokens against the rings' key sets, signatures against a key. Role
 * messages in, replies out: no socket, no clock, no setting: what a token is
 * held to comes with it.
 *
 * Holds public keys only. Rings and remembered keys are bounded.
 */
#ifndef SIGNET_VERIFIER_JUDGE_H
#define SIGNET_VERIFIER_JUDGE_H

#include "proto/cleanup.h"
#include "proto/err.h"
#include "role.pb-c.h"

#define JUDGE_MAX_RINGS 4096u
#define JUDGE_MAX_SPKIS 32u        /* keys of CheckSignature kept parsed: those that sign now, and some that did */

struct judge;
struct judge *judge_new(void);
void judge_free(struct judge *j);
DEFINE_CLEANUP(struct judge, judge_free)

/* The reply, borrowed for the call. */
typedef void judge_reply(void *ctx, const Signet__Role__Message *m);

/*
 * A message of the broker's. KeySet is only remembered; VerifyToken and
 * CheckSignature are answered by exactly one reply, before the return. False:
 * nothing was answered, the text says why (a message that is none of these
 * three; a key set that is none: its ring is then forgotten).
 *
 * A token is held against each named ring until one has its key. Where none
 * has: BAD_SIGNATURE before KEY_UNUSABLE before KEY_UNKNOWN, whichever ring
 * said it. A ring without a key set is "could not check", never "invalid".
 */
bool judge_hear(struct judge *j, const Signet__Role__Message *m, judge_reply *reply, void *ctx, struct err *e);

#endif
