/*
 * token_private: what the files of this room share. Nobody else includes it.
 */
#ifndef SIGNET_TOKEN_PRIVATE_H
#define SIGNET_TOKEN_PRIVATE_H

#include "daemon/token/ckr.h"
#include "daemon/token/token.h"

#include <p11-kit/pkcs11.h>

#define TOKEN_MAX_ALGS 32u                    /* rows of jose's table */
#define TOKEN_MAX_PARAMS 16u                  /* bytes of CKA_EC_PARAMS of a curve that we know */

/* One way to sign: a row of mechanisms.c. */
struct mechanism {
    const char *alg;                          /* jose's name; rows of one alg in order of preference */
    CK_MECHANISM_TYPE type;
    const char *name;                         /* "CKM_ECDSA" */
    bool digest;                              /* wants the digest, not the signing input */
    const uint8_t *prefix;                    /* put before the digest: PKCS#1's DigestInfo */
    size_t prefix_len;
    CK_MECHANISM_TYPE pss_hash;               /* PSS: its parameters */
    unsigned long pss_mgf;
};

struct chosen { const struct mechanism *m; bool proved; };

/* A key of the last listing, and where it stands. */
struct held {
    struct token_key k;
    CK_OBJECT_HANDLE private_half, public_half;   /* a secret key is its own private half */
    size_t modulus_len;                       /* RSA: bytes */
    uint32_t tried;                           /* a bit for each alg that was to be proved with it */
    bool worked;                              /* it has signed in this process */
    bool cannot_verify;                       /* the token said so */
};

struct token {
    CK_FUNCTION_LIST *f;
    bool initialised;
    char *module, *uri;
    const char *pin;                          /* borrowed */
    uint32_t login_patience_ms;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE anchor, signing;        /* CK_INVALID_HANDLE: not open */
    struct token_info info;
    CK_TOKEN_INFO raw;                        /* the same, as URIs are compared with it */
    uint64_t silent_since_ms;                 /* a software token: C_GetTokenInfo fails since; 0: it does not */
    enum ckr_remedy remedy;                   /* of the last refusal */
    unsigned n_signed;                        /* in these sessions */
    int64_t opened_ms;                        /* steady: when they were first tended; 0: not yet */
    unsigned n_strikes;                       /* signatures in a row that failed in two sessions */
    enum token_need need;
    struct err need_why;
    struct chosen chosen[TOKEN_MAX_ALGS];
    struct held *held;
    size_t n_held;
    uint64_t armed_key;                       /* C_SignInit is done for it with armed_alg; NULL: for none */
    const struct alg *armed_alg;
};

/* remedy.c */
/* The token refused a call: `e` says so, and what is to be done about it is kept. Returns false, as the next two do. */
bool token_refused(struct token *t, struct err *e, CK_RV rv, const char *call);
/* This process lost it, or its login, as `e` says. */
bool token_lost(struct token *t, struct err *e);
bool token_logged_out(struct token *t, struct err *e);

/* module.c */
bool module_load(struct token *t, struct err *e);
void module_unload(struct token *t);
bool module_start(struct token *t, struct err *e);         /* C_Initialize, the slot, info */
void module_stop(struct token *t);                         /* C_Finalize */
bool module_same_token(struct token *t, struct err *e);    /* the token still answers and is the same */

/* login.c */
bool login_sessions(struct token *t, struct err *e);       /* opens both, logs in */
bool login_stands(struct token *t, struct err *e);
bool login_renew(struct token *t, struct err *e);          /* out and in again: frees a TPM's slots */
bool login_after_destroying(struct token *t, struct err *e);   /* no handle of before is one after */
bool login_for_key(struct token *t, struct err *e);        /* CKA_ALWAYS_AUTHENTICATE, after C_SignInit */
bool login_reopen_signing(struct token *t, struct err *e);

/* find.c: what is there, as far as it is a key or a fact */
#define TOKEN_MAX_LABEL 255u
#define TOKEN_MAX_POINT 192u
/* One object as read; */
struct object {
    CK_OBJECT_HANDLE handle;
    CK_OBJECT_CLASS class;
    CK_KEY_TYPE type;
    char label[TOKEN_MAX_LABEL + 1];
    uint8_t id[64], params[TOKEN_MAX_PARAMS], point[TOKEN_MAX_POINT], modulus[ALG_MAX_SIGNATURE], exponent[16];
    CK_ULONG label_len, id_len, params_len, point_len, modulus_len, exponent_len, value_len;
    CK_BBOOL is_private, sensitive, extractable, always_sensitive, never_extractable, local, always_authenticate;
    bool taken;                               /* the half of a pair already */
};

struct found { struct object *o; size_t n, cap, n_foreign; };
/* All of it, in one login; *vanished: destroyed by somebody between finding and reading. f->o is the caller's. */
bool find_everything(struct token *t, struct found *f, size_t *vanished, struct err *e);
/* Handles of a class's token objects, of that label where one is given; freed by the caller in any case. */
bool find_handles(struct token *t, CK_OBJECT_CLASS class, const char *label, CK_OBJECT_HANDLE **out, size_t *out_n,
                  struct err *e);
/* list.c */
/*
 * Lists anew. Also before each write: SoftHSM takes its own write for the last
 * change of the token, and never shows this process what another wrote since it
 * looked.
 */
bool token_relist(struct token *t, struct err *e);
struct held *held_find(struct token *t, uint64_t id, struct err *e);

/* facts.c: what was written is true only when it is on the disk: SoftHSM never syncs */
void token_settle(const struct token *t);

/* mechanisms.c */
struct chosen *chosen_for(struct token *t, const struct alg *alg);
bool mechanism_for_alg(const struct mechanism *m, const struct alg *alg);
void mechanisms_ask(struct token *t);                      /* at start: what the token lists */
void mechanisms_prove(struct token *t);                    /* after a listing: by the keys that are there */
bool mechanism_prove_key(struct token *t, const struct held *h, const struct alg *alg, struct err *e);

/* sign.c: what was done ahead for the next signature is undone */
void token_disarm(struct token *t);
/* With this mechanism, nothing armed before or after */
bool sign_once(struct token *t, const struct held *h, const struct alg *alg, const struct mechanism *m,
               const void *input, size_t len, uint8_t *out, size_t *out_len, struct err *e);

/* spki.c: what CKA_EC_PARAMS and the public half's attributes mean */
struct curve { const char *kty, *crv; size_t point_len; uint8_t params[TOKEN_MAX_PARAMS]; size_t params_len; };
const struct curve *curve_of(const uint8_t *params, size_t len);
const struct curve *curve_named(const char *crv, size_t nth);   /* a curve's nth way to be written */
uint8_t *spki_of_point(const struct curve *c, const uint8_t *point, size_t len, size_t *out_len);
uint8_t *spki_of_rsa(const uint8_t *n, size_t n_len, const uint8_t *exponent, size_t exponent_len, size_t *out_len);

#endif
