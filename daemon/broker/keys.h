/*
 * keys: what the token holds, proved; each ring's signing key and published
 * set at a moment; new keys. Asks the signers and verifiers; knows no caller.
 *
 * A listing is asked for at the start, when a signer says so, and every
 * `refresh`. Only what a listing said twice is gone; until the first one has
 * been read and proved nothing is served.
 */
#ifndef SIGNET_BROKER_KEYS_H
#define SIGNET_BROKER_KEYS_H

#include "daemon/broker/held.h"
#include "daemon/broker/pool.h"

#define KEYS_PAGE 64u            /* keys in a page of GetKeys */
#define KEYS_MAX_LISTED 4352u    /* keys, and facts: a signer lists 4096 private objects and shows 256 public ones */

struct keys;

/* `on_serving` once: all is read and proved, and what rings were to be begun with is made. */
struct keys *keys_new(struct event_base *base, struct pool *signers, struct pool *verifiers,
                      void (*on_serving)(void *ctx), void *ctx);
void keys_free(struct keys *k);

/* The configuration from now on; what is served stays as it was until a listing for it was read. */
void keys_use(struct keys *k, struct conf *conf);
/* Lists anew, soon. */
void keys_refresh(struct keys *k);
/* A verifier has come: all key sets are sent to it. */
void keys_tell(struct keys *k, struct peer *verifier);

/* ERR_STARTING, or why nothing could be listed. */
bool keys_ready(const struct keys *k, struct err *e);
/* Ready, and what was listed is young enough to judge a ring's tokens by: else ERR_TOKEN_UNREACHABLE. */
bool keys_fresh(struct keys *k, const char *ring, struct err *e);

/* The key that signs for a ring at `now`, borrowed until the loop's next turn; NULL and why not. */
struct held *keys_signer(struct keys *k, const char *ring, int64_t now, struct err *e);
/* A published key of an HMAC ring: by kid, or (kid NULL) the `nth`, newest first; NULL: none. */
struct held *keys_published(struct keys *k, const char *ring, const char *kid, size_t nth, int64_t now);
/* A signature that `id` made was not its own. */
void keys_wrong(struct keys *k, uint64_t id);

/* For GetKeys. */
struct keys_page {
    char *jwks;
    const char *rings[KEYS_PAGE];    /* of each key, in its order */
    size_t n;
};
struct keys_set { const struct keys_page *pages; size_t n_pages; uint64_t version; uint32_t max_age_s; };
/* As keys_fresh, of all rings that are in it. */
bool keys_set(struct keys *k, int64_t now, struct keys_set *out, struct err *e);

/* For ListKeys and status: every key, foreign ones too. */
size_t keys_count(const struct keys *k);
const struct held *keys_at(const struct keys *k, size_t i);
const struct held *keys_by_id(const struct keys *k, uint64_t id);
struct keys_view {               /* of one key at a moment */
    const char *state;           /* "active", …; "foreign" */
    int64_t retires_at, ends_at; /* 0: not known */
    bool published;
};
struct keys_view keys_view(const struct keys *k, const struct held *h, int64_t now);
/* The ring's next key, and when; NULL: none. */
const struct held *keys_next(const struct keys *k, const char *ring, int64_t now);
size_t keys_n_published(const struct keys *k, const char *ring, int64_t now);
/* ring_foresee of that ring; NULL too where it is too new to have been read. Freed by the caller. */
struct ring_life *keys_foresee(const struct keys *k, const char *ring, int64_t now, int64_t *until, size_t *out_n,
                               struct err *e);
/* What the key attributes prove, in a sentence. */
const char *keys_custody(const struct keys *k, bool tpm2_pkcs11);

/*
 * A new key for a ring, active at once in an empty one, else its next; an
 * imported secret where `secret` is not NULL. `done` is called once, later:
 * `id` of the key, or why not. keys_forget(owner): not any more.
 */
typedef void keys_made(void *owner, uint64_t id, const struct err *e);
bool keys_make(struct keys *k, const char *ring, const void *secret, size_t len, keys_made *done, void *owner,
               struct err *e);
/* Calls `done` (id 0) when the next listing was read and proved. */
bool keys_wait(struct keys *k, keys_made *done, void *owner, struct err *e);
void keys_forget(struct keys *k, void *owner);

#endif
