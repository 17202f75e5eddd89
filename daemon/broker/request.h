/*
 * request: one call, from its frame to its reply: decoded, its operation
 * begun, answered exactly once: by the operation, or by its deadline. Freed at
 * the end of the loop's turn, never under those who work on it.
 */
#ifndef SIGNET_BROKER_REQUEST_H
#define SIGNET_BROKER_REQUEST_H

#include "daemon/broker/connection.h"

struct op;

struct request {
    struct broker *broker;
    struct request *next, *prev;
    struct connection *conn;         /* NULL: the caller has left; the answer goes nowhere */
    struct account *account;
    struct conf *conf;
    struct caller caller;            /* borrowed from conn: valid while the operation begins */
    Signet__V1__Request *msg;
    const struct op *op;
    struct toll toll;                /* of its jobs with signers */
    size_t n_items, n_bytes;         /* charged to the account: with what its token, its job and its reply will hold */
    int64_t began_us, deadline_ms;   /* monotonic */
    bool answered;
    const struct profile *profile;   /* that it is about, once that is known; a batch's items have their own */
    struct broker_token *token;      /* that an administrator's operation is about */
    void *state;                     /* the operation's own */
};

/* Takes the bytes of a frame; a request, or its refusal. */
void request_new(struct connection *c, const uint8_t *bytes, size_t len);

/* The answer; the request is over. r->request_id is filled in. */
void request_reply(struct request *rq, Signet__V1__Reply *r);
void request_refuse(struct request *rq, const struct err *e);

/* An item of a batch is done (`why` NULL), or refused: the batch does not count by itself. */
void request_count_item(struct request *rq, const char *profile, const struct err *why);

/* How long a signer or verifier had its work, and it before. */
void request_count_job(struct request *rq, enum stats_kind kind, const struct job *j);

/* That `what` was refused to an account, and why, in the log: a few a second of each. */
void request_tell(struct account *a, const char *what, const struct err *e);
/* Whether the caller is an administrator. */
bool request_may_administer(const struct config *c, const struct caller *caller, struct err *e);

/* The caller has left: its requests are over. */
void requests_leave(struct connection *c);
/* Of the account that holds most, and more than `share` bytes, the one begun last; NULL: there is none. */
struct request *requests_of_most(const struct broker *b, size_t share);
/* Those whose deadline has passed are answered so. */
void requests_tick(struct broker *b, int64_t now_ms);
/* Frees those that are over. */
void requests_flush(struct broker *b);

/* An error as the wire has it, borrowing from e. */
void request_error(Signet__V1__Error *out, const struct err *e);

/* The profile by name, or ERR_UNKNOWN_PROFILE with those that the caller may use. */
const struct profile *request_profile(const struct request *rq, const char *name, struct err *e);
/* One item's worth of the caller's rate for the profile. */
bool request_rate(struct request *rq, const struct profile *p, struct err *e);

#endif
