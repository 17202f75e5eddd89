/*
 * tokens: the configuration's tokens, each with its signers and what it holds,
 * and which of a ring's signs. A ring's keys on one token are keys of their
 * own, published beside those on the others: when the first token is gone the
 * next one's active key signs, and no verifier notices.
 */
#ifndef SIGNET_BROKER_TOKENS_H
#define SIGNET_BROKER_TOKENS_H

#include "daemon/broker/broker_private.h"

struct broker_token {
    struct broker *broker;
    size_t index;                    /* of the configuration's */
    struct pool signers;
    struct keys *keys;               /* its rings, as if there were no other token */
    bool serving;                    /* its keys are read, and those that were to be made are made */
    struct { bool software, tpm2_pkcs11; char label[80], manufacturer[80], model[40], serial[40]; } info;
};

/* The broker's configuration from now on; the first one says how many tokens there are, for good. False: no memory. */
bool tokens_use(struct broker *b, const struct pool_hooks *signers);
void tokens_clear(struct broker *b);
/* Of a signer's number, as the supervisor counts them; NULL: there is none. */
struct broker_token *tokens_of_signer(struct broker *b, uint32_t number);
struct broker_token *tokens_of_pool(struct broker *b, const struct pool *p);
/* Which tokens have signed for how long, looked at every so often. */
void tokens_tick(struct broker *b);

/* The configuration's name of it, empty where there is only one. */
const char *token_name(const struct broker_token *t);

/*
 * The key that signs for a ring, borrowed until the loop's next turn, and the
 * token that has it: one whose key every verifier knows, where any can sign.
 * NULL and why not: of the first token, or of the one that signed last, for
 * failover_after.
 */
struct held *tokens_signer(struct broker *b, const struct ring_config *r, int64_t now, struct broker_token **out_token,
                           struct err *e);
/* The token that signs for a ring, if it can, without looking whether it can this moment. */
struct broker_token *tokens_turn(struct broker *b, const struct ring_config *r);
/* What a ring's tokens are judged by is young enough, on one of its tokens at least. */
bool tokens_fresh(struct broker *b, const struct ring_config *r, struct err *e);
/* The ring's keys on some token are not known well: a key that nobody knows may be there. */
bool tokens_miss_one(struct broker *b, const struct ring_config *r, struct err *e);
/* As keys_published, over all tokens of the ring. */
struct held *tokens_published(struct broker *b, const struct ring_config *r, const char *kid, const struct alg *alg,
                              size_t nth, int64_t now, struct broker_token **out_token);
bool tokens_have_secrets(struct broker *b, const struct ring_config *r, int64_t now);
bool tokens_have_public(struct broker *b, const struct ring_config *r);

/* Any of them is ready, or why none is. */
bool tokens_ready(struct broker *b, struct err *e);
/* A key by its kid, or its CKA_ID in hexadecimal, on whatever token. NULL: UNKNOWN_KEY; not ready where it may be on one that is not. */
const struct held *tokens_named(struct broker *b, const char *kid, struct broker_token **out_token, struct err *e);
/*
 * The public keys of all, or of none: as keys_set of each. A token that is gone
 * has those that were known of it last, for as long as that may be served. A
 * ring's that are not known are waited for while verifiers may have them, and
 * then left out where the ring is known of another token; they sign again when
 * verifiers have them again.
 */
bool tokens_set(struct broker *b, int64_t now, struct keys_set *out, struct err *e);
/* One ring's over all its tokens: the text is appended to `jwks`, nothing where it has no public key; out->jwks is not set. */
bool tokens_ring_set(struct broker *b, const struct ring_config *r, int64_t now, struct buf *jwks, struct keys_ring_set *out,
                     struct err *e);
const struct keys_page *tokens_page(const struct broker *b, size_t page);
/* Who waits for a change or a listing of any does so no more. */
void tokens_forget(struct broker *b, void *owner);
/* Calls `tell` with each sentence that an operator should know of what is left out. */
void tokens_notices(struct broker *b, void (*tell)(void *ctx, const char *text), void *ctx);
/* Jobs that wait for signers. */
size_t tokens_waiting(const struct broker *b);

#endif
