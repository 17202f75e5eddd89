/*
 * signing: one token on its way: what goes into it, whose turn it is, the
 * signature, its check before release. Used by sign and sign_batch; preview
 * goes only as far as what would be signed.
 *
 * Life: signing_begin, then `done` once (SG_WHOLE or SG_FAILED), unless
 * signing_leave comes first. signing_clear always.
 */
#ifndef SIGNET_BROKER_SIGNING_H
#define SIGNET_BROKER_SIGNING_H

#include "daemon/broker/request.h"
#include "daemon/broker/tokens.h"

enum signing_state {
    SG_BUILD,          /* the key of this moment, header and payload */
    SG_SIGN,           /* to a signer */
    SG_SIGNING,        /* signing_signed resumes */
    SG_CHECK,          /* length always; in full where it must be */
    SG_CHECKING,       /* signing_checked resumes */
    SG_RELIST,         /* the key is not what it was: the token is listed anew */
    SG_RELISTING,      /* signing_relisted resumes */
    SG_RELEASE,
    SG_WHOLE,          /* the end: the token is there */
    SG_FAILED,         /* the end: err says why */
};

struct signing {
    enum signing_state state;
    struct request *rq;
    const Signet__V1__SignRequest *ask;
    const struct profile *profile;
    void (*done)(struct signing *s);
    struct job *job;                 /* outstanding; NULL: none */
    unsigned n_tries;
    struct broker_token *on;         /* the token that signs */
    uint64_t key;                    /* that signs: its keys know it by this */
    const struct alg *alg;
    char kid[RING_MAX_KID + 1];
    struct verdict verdict;
    struct buf token;                /* the signing input, at last the token with a NUL */
    uint8_t signature[ALG_MAX_SIGNATURE];
    size_t signature_len;
    unsigned by;                     /* the signer that made it */
    uint64_t made_as;                /* its job's id */
    struct err err;
};

/* All that is decided before a signer has work: s->token holds the signing input. False: refused with e. */
bool signing_prepare(struct signing *s, struct request *rq, const Signet__V1__SignRequest *ask, struct err *e);
/* Prepares, and gives it to a signer. False: refused with e; `done` will not be called. */
bool signing_begin(struct signing *s, struct request *rq, const Signet__V1__SignRequest *ask,
                   void (*done)(struct signing *s), struct err *e);
void signing_leave(struct signing *s);
void signing_clear(struct signing *s);
/* The reply of one that is done; of one prepared, all but the token. */
void signing_reply(const struct signing *s, Signet__V1__SignReply *out);

#endif
