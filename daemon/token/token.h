/*
 * token: PKCS#11 and nothing of JWT. One module, one token, one process, two
 * sessions: the anchor holds the login and finds, generates, imports and
 * destroys; the other only signs. Blocking: it lives in a signer process.
 *
 * Every CK_RV is turned into a reason and a sentence here; none leaves. What
 * the module answers is a stranger's word: lengths and types are checked.
 */
#ifndef SIGNET_TOKEN_H
#define SIGNET_TOKEN_H

#include "proto/buf.h"
#include "proto/cleanup.h"
#include "proto/err.h"
#include "proto/jose/alg.h"

struct token;

struct token_info {
    char label[33], manufacturer[33], model[17], serial[17];   /* escaped to printable UTF-8, trimmed */
    bool software;                 /* SoftHSM: keys are files */
    bool tpm2_pkcs11;              /* repeats what it was told of custody; sees other processes' keys only at start */
};

struct token_options {
    const char *module;            /* path, or the name of a module p11-kit knows */
    const char *uri;               /* RFC 7512: which token */
    const char *pin;               /* borrowed; NULL: no login */
    uint32_t login_patience_ms;    /* how long colliding logins are tried again (software tokens) */
    void (*found)(void *ctx, const struct token_info *info);   /* before each login, which may hang; NULL: nobody asks */
    void *ctx;
};

/* ERR_MODULE_MISSING, TOKEN_MISSING, PIN_WRONG, PIN_LOCKED, TOKEN_UNREACHABLE, … */
struct token *token_open(const struct token_options *o, struct err *e);
void token_free(struct token *t);
DEFINE_CLEANUP(struct token, token_free)
const struct token_info *token_info(const struct token *t);

/*
 * What the failures so far ask for: TOKEN_NEEDS_LOGIN: token_login_again;
 * TOKEN_NEEDS_PROCESS: this one is of no use any more, and free it. Then *out_why
 * says why. A refused PIN ends a process: it must not be tried again.
 */
enum token_need { TOKEN_NEEDS_NOTHING, TOKEN_NEEDS_LOGIN, TOKEN_NEEDS_PROCESS };
enum token_need token_needs(const struct token *t, struct err *out_why);
/*
 * Between two calls, often: sessions that are old or have signed much are opened
 * anew, before a module is used up (tpm2-pkcs11 #843); where that takes a login,
 * it is needed from then on. `now_ms` never jumps.
 */
void token_tend(struct token *t, int64_t now_ms);
/* Both sessions anew, as token_open made them; its keys are to be listed. False: free it. */
bool token_login_again(struct token *t, struct err *e);

/* What a listing says of a key: facts only. Halves are paired by CKA_ID and type. */
struct token_key {
    uint64_t id;                   /* the same in every process: SHA-256(label, CKA_ID, type, SPKI, CKA_PRIVATE), first 8 bytes */
    char label[256];               /* CKA_LABEL; empty when longer or not UTF-8 */
    uint8_t cka_id[64]; size_t cka_id_len;
    const char *kty;               /* "EC", "RSA", "OKP", "oct" */
    const char *crv;               /* or NULL */
    uint8_t *spki; size_t spki_len;      /* DER SubjectPublicKeyInfo of the public half; NULL: none */
    size_t secret_len;             /* oct: CKA_VALUE_LEN, bytes; 0: the token does not say */
    bool has_private, has_public;
    bool is_private;               /* CKA_PRIVATE on every half that is there: else foreign */
    bool sensitive, extractable, always_sensitive, never_extractable, local, always_authenticate;
};
struct token_data { char label[256]; bool is_private; };   /* a CKO_DATA object: a fact */
struct token_listing { struct token_key *keys; size_t n_keys; struct token_data *data; size_t n_data; };

/* All keys and data objects; counts only if every call succeeded and the login stood before and after. */
bool token_list(struct token *t, struct token_listing *out, struct err *e);
void token_listing_clear(struct token_listing *l);

/*
 * RFC 7512. A URI that names a token, or with `wants_object` a key on it (by
 * object or id), without what p11-kit would drop in silence: a part twice or
 * unknown, blanks. Slot numbers (they change) and a PIN in it are refused.
 */
bool token_uri_ok(const char *uri, bool wants_object, struct err *e);
/* Whether the token is one that a URI means: all that do not say which do. */
bool token_is(const struct token *t, const char *uri);
/* Whether a key matches a URI's object, id and type. */
bool token_uri_matches(const char *uri, const struct token_key *k);
/* The file its pin-source names, as a path; NULL: it names none. Freed by the caller. */
char *token_uri_pin_file(const char *uri);

/*
 * Signs with key `id` of the last listing. `input` is the digest where
 * alg_signs_digest and a raw mechanism serve, else the signing input:
 * token_wants_digest says which. Signature in JOSE's form (r||s), its length
 * checked against the alg and key. ERR_KEY_HANDLE_INVALID: list anew.
 */
bool token_sign(struct token *t, uint64_t id, const struct alg *alg, const void *input, size_t len,
                uint8_t *out, size_t *out_len, struct err *e);
/*
 * Whether that is the input's MAC by HMAC key `id`: the token verifies it. Where
 * it cannot, or the key may not (CKA_VERIFY), it makes the MAC again and compares.
 */
bool token_check_mac(struct token *t, uint64_t id, const struct alg *alg, const void *input, size_t len,
                     const void *mac, size_t mac_len, bool *out_good, struct err *e);
bool token_wants_digest(const struct token *t, const struct alg *alg);
/* C_SignInit ahead for the next token_sign of this key and alg; may do nothing. */
void token_arm(struct token *t, uint64_t id, const struct alg *alg);

/* The PKCS#11 mechanism that serves an alg ("CKM_ECDSA"), NULL: none; proved by a test signature. */
const char *token_mechanism(const struct token *t, const struct alg *alg, bool *out_proved);

/* A key pair, or an HMAC key, with this label and 16 random bytes of CKA_ID; listed anew; *out_id its id. */
bool token_generate(struct token *t, const struct alg *alg, unsigned rsa_bits, const char *label,
                    uint64_t *out_id, struct err *e);
/* The secret, zero-padded where alg_padded_len says so; non-extractable. */
bool token_import_hmac(struct token *t, const struct alg *alg, const char *label,
                       const uint8_t *secret, size_t len, uint64_t *out_id, struct err *e);
/* Whether key `id` is known to hold this very secret: it makes the same HMAC. */
bool token_has_secret(struct token *t, uint64_t id, const struct alg *alg, const uint8_t *secret, size_t len);
/* With both halves, or the private one alone; synced. One that is not there any more is destroyed. */
bool token_destroy(struct token *t, uint64_t id, bool private_only, struct err *e);
/* A private CKO_DATA object: a fact, synced. One that is there already is not written twice. */
bool token_write_fact(struct token *t, const char *label, struct err *e);
/* Those of this label; none is no mistake. */
bool token_forget_fact(struct token *t, const char *label, struct err *e);

/* What a token lets us write, tried with a fact that means nothing and is named so. */
#define TOKEN_TRIAL "signet:trial:"
struct token_powers { bool keeps_facts, destroys; };
/* False: a failure that says nothing of the token's powers. `why`: what it said to what it cannot. */
bool token_try_powers(struct token *t, struct token_powers *out, struct err *why, struct err *e);

#endif
