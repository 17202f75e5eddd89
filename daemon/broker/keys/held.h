/*
 * held: one key that the token holds, or held: its facts, read from a listing,
 * and what this daemon found out about it. Pure but for logging nothing.
 */
#ifndef SIGNET_BROKER_HELD_H
#define SIGNET_BROKER_HELD_H

#include "daemon/broker/conf.h"
#include "daemon/ring/ring.h"
#include "proto/jose/jwk.h"

#define HELD_MAX_WRONG 3u

enum proof { PROOF_NONE, PROOF_RUNNING, PROOF_DONE, PROOF_FAILED };

struct held_use { char *profile; uint64_t n; };

struct held {
    /* facts */
    uint64_t id;
    char label[LABEL_MAX];
    uint8_t cka_id[64]; size_t cka_id_len;
    char kty[8], crv[16];
    uint8_t *spki; size_t spki_len;
    uint32_t secret_len;             /* bytes; HMAC; 0: the token does not say */
    bool has_private, has_public, is_private;
    bool sensitive, extractable, always_sensitive, never_extractable, local;
    /* whose it is, by label or by the configuration's outside keys */
    char ring[RING_MAX_NAME + 1];    /* empty: foreign */
    const struct alg *alg;
    char kid[RING_MAX_KID + 1];      /* empty: not known */
    struct jwk *jwk;                 /* NULL for HMAC */
    enum key_origin origin;
    size_t outside;                  /* KEY_OUTSIDE: which of the configuration's, counted over all rings */
    int64_t activates_at, max_ttl, skew, max_age;
    struct err trouble;              /* why it is not used; ERR_NONE: nothing is wrong */
    /* found out */
    int64_t seen_ms;                 /* steady: since when, or since it is proved and so published */
    int64_t retired_ms;              /* steady: since when it was seen retired or past that; 0: it is not */
    int64_t stays_ms;                /* steady: until when its destruction is not tried again; 0: it is */
    bool was_proved;                 /* what it lacks now it has lost */
    int64_t active_at;               /* Unix seconds: it was seen active, or signed, last; 0: never. A clock may be set back */
    bool revoked;                    /* since it was asked for: what it signed meanwhile is not released */
    bool let_go;                     /* we destroyed it: that it is missing says nothing */
    struct held_use *uses; size_t n_uses;    /* signatures released, by profile */
    uint64_t n_signed;
    enum proof proof;
    bool doubted;                    /* its proof failed, and so did another key's signature: it may be the token's fault */
    unsigned n_unread;               /* how often in a row its public half could not be read */
    bool listed;                     /* in the listing that is being read, or was last */
    unsigned n_missing;              /* listings in a row without it */
    unsigned n_lacking;              /* without one of its halves */
    int64_t lacks_ms;                /* steady: since when; 0: it does not */
    bool is_doubted_half;            /* for so short a time that it may be there again */
    bool missed_next;                /* it was a next key when it may have gone */
    bool gone;                       /* missing from two */
    /* a bit for each signer, by number from 1 */
    uint64_t proved_by;              /* it has found it, and then made a signature of it that was verified */
    uint64_t doubted_by;             /* its last one was not the key's: it finds it anew before the next */
    bool has_lied;                   /* every signature is checked from then on, whatever verify_every says */
    unsigned n_wrong;                /* in a row; from HELD_MAX_WRONG on it signs for nobody until a test signature is right */
};

/* NULL: no memory. */
struct held *held_new(const Signet__Role__Key *k, int64_t steady_ms);
void held_free(struct held *h);
/* The same key in a later listing. */
void held_listed(struct held *h);
/* What a listing says of it, and whose it is under this configuration: ring, alg, kid, promises, trouble. */
void held_classify(struct held *h, const Signet__Role__Key *k, const struct config *c, int64_t steady_ms);
/* Its private half was destroyed by us: that it is missing is no news. */
void held_lost_half(struct held *h);

/* What only all together show: two of one kid, two for one URI. */
void held_compare(struct held *const *all, size_t n, const struct config *c);
/* Its trouble for a caller, named by its kid, or its label where that is not known. */
void held_why(const struct held *h, struct err *e);

/* Where it has been, as far as PKCS#11 proves it; in a few words. */
const char *held_custody(const struct held *h, bool tpm2_pkcs11);

/* A signature that was not its own; one that was verified. */
void held_wrong(struct held *h, unsigned signer);
void held_right(struct held *h, unsigned signer);
/* Nobody gets a signature of it, and it is tried at each listing. */
bool held_is_distrusted(const struct held *h);
/* That signer has found its keys anew: what it proved was of a handle of before. */
void held_found_anew(struct held *h, unsigned signer);
/* Whether its next signature by that signer must be checked. */
bool held_must_check(const struct held *h, unsigned signer);

/* One that was released. */
void held_signed(struct held *h, const char *profile, int64_t now);

bool held_lacks_half(const struct held *h);
/*
 * Cut off in its making, as far as can be told: it lacks a half, or was asked and does not sign; nobody brought it to the
 * token, and this process has never seen it sign.
 */
bool held_is_half(const struct held *h);
/* Ours, whole and in good custody: worth a proof. */
bool held_usable(const struct held *h);
/* The same, and nobody could say yet whether it signs; or a half of it is missing for the first time. */
bool held_is_owed(const struct held *h);
/* Whether that is its kid, or, of one without, its CKA_ID in hexadecimal. */
bool held_is_named(const struct held *h, const char *name);

#endif
