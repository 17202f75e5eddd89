/*
 * op: what a call's arguments become on the wire, and its reply as a public
 * struct: the same for calls that block and for those that do not.
 *
 * Requests borrow their arguments. op_… that fill say false for what makes no
 * sense; op_…_of take the reply, whatever they return, and hold it against
 * what was asked: a token of another subject, a payload that is not the
 * token's, are PROTOCOL_BROKEN.
 */
#ifndef SIGNET_CLIENT_OP_H
#define SIGNET_CLIENT_OP_H

#include "client/conn.h"
#include "proto/buf.h"

bool op_sign(Signet__V1__Request *op, Signet__V1__SignRequest *m, const struct signet_sign_request *ask,
             struct signet_error *e);
struct signet_token *op_token_of(const Signet__V1__Request *asked, Signet__V1__Reply *taken, struct signet_error *e);

struct op_batch {
    Signet__V1__SignBatchRequest all;
    Signet__V1__SignRequest *items, **each;
};
bool op_batch(Signet__V1__Request *op, struct op_batch *b, const struct signet_sign_request *ask, size_t n,
              struct signet_error *e);
void op_batch_clear(struct op_batch *b);         /* in any case */
struct signet_batch *op_batch_of(const Signet__V1__Request *asked, Signet__V1__Reply *taken, struct signet_error *e);

bool op_verify(Signet__V1__Request *op, Signet__V1__VerifyRequest *m, const void *token, size_t len,
               const char *profile, const char *audience, struct signet_error *e);
struct signet_verified *op_verified_of(const Signet__V1__Request *asked, Signet__V1__Reply *taken,
                                       struct signet_error *e);

/* A copy of it all. `kid` NULL: none. */
struct signet_verified *op_verified(const void *payload, size_t len, const char *profile, const char *kid,
                                    int64_t expires_at, struct signet_error *e);

/* The payload of a compact JWS, decoded; false: it is none. buf_clear in any case. */
bool op_payload(const char *token, size_t len, struct buf *out);

/* Whether bytes of a caller's are there and of a length that a request may have. */
bool op_bytes_ok(const char *what, const void *bytes, size_t len, struct signet_error *e);
/* Whether a ring is named; whether there is such a one, the daemon knows. */
bool op_ring_ok(const char *ring, struct signet_error *e);

#endif
