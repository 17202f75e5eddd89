/*
 * desk: a signer's work, without its channels: a message of the broker in, a
 * token call, the answer out. Every field is checked: a wrong one is answered
 * with BAD_REQUEST.
 */
#ifndef SIGNET_SIGNER_DESK_H
#define SIGNET_SIGNER_DESK_H

#include "daemon/channel/channel.h"
#include "daemon/config/config.h"
#include "daemon/token/token.h"

struct desk {
    struct token *token;             /* NULL: none, and `why` says why */
    struct err why;                  /* ERR_NONE and no token: not opened yet */
    bool logged_out;                 /* `why` says why: nothing is done before desk_login */
    const struct config *config;     /* borrowed; names the outside keys */
    uint32_t generation;
    uint64_t last_key;               /* that signed, for arming ahead */
    const struct alg *last_alg;      /* NULL: none yet */
};

typedef void desk_answer(void *ctx, const Signet__Role__Message *m);

/*
 * False: a message that is not for a signer. An import's secret is wiped.
 * A token that turns out to be lost is closed, and `why` set.
 */
bool desk_hear(struct desk *d, Signet__Role__Message *m, desk_answer *answer, void *ctx);
/* With a token just opened: finds its keys ahead of the first signature, and proves what mechanisms it can by them. */
void desk_open(struct desk *d);
/* Where logged_out: logs in again and finds its keys anew, or the token is closed. Blocks as any login does. */
void desk_login(struct desk *d);
/* Closes the token, for this reason: another process is to go on with it. */
void desk_retire(struct desk *d, const struct err *why);
/* Nothing waits: what can be done ahead for the next signature is done. */
void desk_rest(struct desk *d);
/* What the supervisor and the broker are told of the token. */
void desk_state(const struct desk *d, desk_answer *answer, void *ctx);

#endif
