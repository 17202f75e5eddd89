/*
 * ops: the operations, one file each; this is their table. Adding one: a
 * message in signet.proto, a file here with its row, a call in libsignet, a
 * command, a paragraph in signet(1).
 */
#ifndef SIGNET_BROKER_OPS_H
#define SIGNET_BROKER_OPS_H

#include "daemon/broker/request.h"
#include "daemon/broker/tokens.h"

struct op {
    Signet__V1__Request__OpCase op_case;
    const char *name;
    bool admin;                                          /* on the admin socket only */
    uint32_t (*deadline_ms)(const struct request *rq);   /* where the caller named none */
    /*
     * Answers at once, or begins and answers later; false: refused with e.
     * Whatever it needs later lies in rq->state.
     */
    bool (*begin)(struct request *rq, struct err *e);
    /* The request is over: nobody may call back any more. */
    void (*leave)(struct request *rq);
    void (*free)(struct request *rq);                    /* rq->state, not NULL */
};

const struct op *op_find(Signet__V1__Request__OpCase c);
/* Its number for the statistics, and its name there by that; 0 is an operation that we do not know. */
unsigned op_number(const struct op *op);
const char *op_name(unsigned number);

extern const struct op op_sign, op_sign_batch, op_verify, op_get_keys, op_get_status, op_list_keys, op_generate_key,
    op_import_key, op_reload, op_preview, op_list_profiles, op_list_rings, op_plan_ring, op_rotate_ring,
    op_revoke_key, op_destroy_key;

/* For those who answer at once. */
uint32_t op_usual_deadline(const struct request *rq);
void op_nothing(struct request *rq);

/* reload.c: the supervisor says how a reload ended. */
void reload_ended(struct broker *b, const Signet__Role__ReloadDone *m);

/* get_keys.c: what anyone may know of a profile, borrowed from the configuration. */
void profile_info(Signet__V1__ProfileInfo *out, const struct config *c, const struct profile *p);

/* get_status.c: how a ring is; what it points at lies in `t`. */
/* get_status.c: a GetStatusReply, as administrators have it. */
bool op_pack_status(struct broker *b, struct buf *out, struct err *e);
struct ring_troubles { struct err why; Signet__V1__Error trouble, rotation; };
void ring_status(Signet__V1__RingStatus *out, struct ring_troubles *t, struct broker *b, const struct ring_config *c,
                 int64_t now);

/*
 * rings.c: what RING or RING@TOKEN names; rq->token becomes that token. Without
 * a token: the ring's only one, or with `any` the one that signs. NULL: not said.
 */
const struct ring_config *op_take_ring(struct request *rq, const char *name, bool any, struct err *e);
/* rings.c: one more of the names in a sentence, with commas; what does not fit is told to be there. */
void op_add_name(char *names, size_t size, const char *name);

/* make_key.c: how long a change of the token may take, with the listings before and after. */
uint32_t op_change_deadline(const struct request *rq);
/* Who waits for a change of the token has left. */
void op_leave_change(struct request *rq);

/* make_key.c: no other change of the ring is under way; else RING_BUSY. */
bool op_ring_is_free(const struct request *rq, const char *ring, struct err *e);

/* destroy_key.c: when the last token of a key ends, or ended, if it signs no more; 0: none that counts. */
int64_t op_tokens_until(const struct ring *ring, const struct held *h, int64_t now);
/* What is told of a key, whatever becomes of it; freed by protobuf's function. NULL: no memory. */
Signet__V1__KeyInfo *op_key_copy(const struct broker_token *t, const struct held *h);

/* list_keys.c */
/* A ListKeysReply of the keys that are in rings, at most OPS_MAX_SHOWN of them, without what nobody looks at; empty while none is known. */
#define OPS_MAX_SHOWN 1024u
bool op_pack_keys(struct broker *b, struct buf *out, struct err *e);
void key_info(Signet__V1__KeyInfo *out, const struct broker_token *t, const struct held *h, int64_t now);
void key_info_clear(Signet__V1__KeyInfo *i);

#endif
