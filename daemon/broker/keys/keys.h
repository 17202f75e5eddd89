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

#include "daemon/broker/keys/held.h"
#include "daemon/broker/pool.h"

#define KEYS_PAGE 64u            /* keys in a page of GetKeys */
#define KEYS_MAX_LISTED 4352u    /* keys, and facts: a signer lists 4096 private objects and shows 256 public ones */

struct keys;

/* `on_serving` once: all is read and proved, and what rings were to be begun with is made. */
struct keys *keys_new(struct event_base *base, struct pool *signers, struct pool *verifiers,
                      void (*on_serving)(void *ctx), void *ctx);
/* `is_elsewhere`: another token has a key with that kid, which comes before ours: ours is not used. Asked at each listing. */
void keys_shun(struct keys *k, bool (*is_elsewhere)(void *ctx, const char *kid));
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
/* A ring's HMAC key that verifies: by kid, or (kid NULL) the `nth` for that algorithm, newest first; NULL: none. */
struct held *keys_published(struct keys *k, const char *ring, const char *kid, const struct alg *alg, size_t nth, int64_t now);
/* A signature that `id` made there was not its own, as `why` says; it was verified. */
void keys_wrong(struct keys *k, uint64_t id, unsigned signer, const struct err *why);
void keys_right(struct keys *k, uint64_t id, unsigned signer);
/* A signature of the token was found good this moment: by a verifier, or by a second signer that made the same MAC. */
void keys_found_good(struct keys *k);
/* When one was last: Unix seconds; 0: never yet. While nobody has any checked a test signature is, every 10 s. */
int64_t keys_proved_at(const struct keys *k);
/* That signer has listed the token: what its handles mean is to be proved. */
void keys_found_anew(struct keys *k, unsigned signer);

/* For GetKeys. */
struct keys_page {
    char *jwks;
    const char *rings[KEYS_PAGE];    /* of each key, in its order */
    size_t n;
};
struct keys_set { size_t n_pages; uint64_t version; uint32_t max_age_s, changes_in_s; };
/* Whether a ring has HMAC keys that verify, or makes such; and any that are in a key set. */
bool keys_has_secrets(const struct keys *k, const char *ring, int64_t now);
bool keys_has_public(const struct keys *k, const char *ring);
/* The ring's keys are not in the set, which is given out though they are not known, or they are. */
void keys_leave_out(struct keys *k, const char *ring, bool is_left_out);
/* As keys_fresh, of all rings that are in it. */
bool keys_set(struct keys *k, int64_t now, struct keys_set *out, struct err *e);
/* One ring's, borrowed until the loop's next turn: jwks NULL: it has no public key. As keys_fresh. */
struct keys_ring_set { const char *jwks; uint32_t max_age_s, changes_in_s; };
bool keys_ring_set(struct keys *k, const char *ring, int64_t now, struct keys_ring_set *out, struct err *e);
const struct keys_page *keys_pages(const struct keys *k, size_t *out_n);

/* For ListKeys and status: every key, foreign ones too. */
size_t keys_count(const struct keys *k);
const struct held *keys_at(const struct keys *k, size_t i);
const struct held *keys_by_id(const struct keys *k, uint64_t id);
struct keys_view {               /* of one key at a moment */
    const char *state;           /* "active", …; "foreign" */
    int64_t activates_at;        /* with promotions */
    int64_t retires_at, ends_at; /* 0: not known */
    bool published;
};
struct keys_view keys_view(const struct keys *k, const struct held *h, int64_t now);
/* The ring's next key, and when; NULL: none. */
const struct held *keys_next(const struct keys *k, const char *ring, int64_t now);
size_t keys_n_published(const struct keys *k, const char *ring, int64_t now);
/* A ring's arithmetic, borrowed until the loop's next turn; NULL too where it is too new to have been read. */
const struct ring *keys_ring(const struct keys *k, const char *ring, struct err *e);
/* A key by its kid, or its CKA_ID in hexadecimal; NULL with UNKNOWN_KEY. Foreign ones are not found. */
const struct held *keys_named(const struct keys *k, const char *kid, struct err *e);
/* The token is known to keep no facts. */
bool keys_no_facts(const struct keys *k);
/* Labels of data objects named like facts of rings that are not signet's. */
char *const *keys_foreign_facts(const struct keys *k, size_t *out_n);
/* Why the ring's last change failed; ERR_NONE: it did not. */
const struct err *keys_trouble(const struct keys *k, const char *ring);
/* notices.c: calls `tell` with each sentence that an operator should know of clock, token and rings. */
void keys_notices(const struct keys *k, int64_t now, void (*tell)(void *ctx, const char *text), void *ctx);
/* What the key attributes prove, in a sentence. */
const char *keys_custody(const struct keys *k, bool tpm2_pkcs11);

/* A change of the token, of one ring. */
enum change_kind {
    CHANGE_GENERATE,             /* a key that signs from `at`; 0: at once in an empty ring, else it is the ring's next */
    CHANGE_IMPORT,               /* the same of a secret */
    CHANGE_FACT,
    CHANGE_DESTROY,              /* key */
    CHANGE_DUE,                  /* what ring_next says, when it begins; nothing: that is well too */
};
struct keys_change {
    enum change_kind kind;
    int64_t at;
    struct ring_fact fact;
    uint64_t key;
    bool private_only;
    const void *secret; size_t secret_len;
    /*
     * Asked when it begins, which may be much later than it was queued: whether
     * it is still to be done, and as of that moment. NULL: it is. `want` may be
     * changed; false with e: it is not.
     */
    bool (*still)(void *owner, struct keys_change *want, struct err *e);
};
/*
 * Queues it: one is made at a time; not at all where its owner was forgotten
 * meanwhile, but for what revokes. `done` is called once, later, when it is
 * listed and proved: the `id` of the key made or destroyed (0: neither), or why
 * not. keys_forget(owner): not any more.
 */
typedef void keys_made(void *owner, uint64_t id, const struct err *e);
bool keys_change(struct keys *k, const char *ring, const struct keys_change *want, keys_made *done, void *owner,
                 struct err *e);
/* Whether one of that ring waits or is being made. */
bool keys_changing(const struct keys *k, const char *ring);
/* The key is revoked for this process from now on, whether or not the token can be told. */
bool keys_revoke(struct keys *k, const char *ring, const char *kid, int64_t holds_at, struct err *e);
/* Whether it is, though it may be destroyed already; of which ring, and the place that it holds. */
bool keys_is_revoked(const struct keys *k, const char *kid, char ring[RING_MAX_NAME + 1], int64_t *out_holds_at);
/* Calls `done` (id 0) when the next listing was read and proved. */
bool keys_wait(struct keys *k, keys_made *done, void *owner, struct err *e);
void keys_forget(struct keys *k, void *owner);

#endif
