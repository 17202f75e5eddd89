/*
 * The signing session is in one of three states: idle, armed (C_SignInit done
 * for armed_key with armed_alg), or in the middle of a call of this file. A
 * second C_SignInit is refused (CKR_OPERATION_ACTIVE), so an armed session
 * that is wanted for another key or to verify, or one on which a call failed,
 * is closed and opened again.
 */
#include "daemon/token/token_private.h"

#include <openssl/crypto.h>
#include <string.h>

#define MAX_PREFIX 32u                        /* bytes of DigestInfo before the digest */
#define MAX_STRIKES 2u                        /* signatures in a row that fail in one session and another */

static CK_RV sign_init(struct token *t, const struct held *h, const struct alg *alg, const struct mechanism *m)
{
    CK_RSA_PKCS_PSS_PARAMS pss = { m->pss_hash, m->pss_mgf, alg->hash_len };
    CK_MECHANISM mechanism = { m->type, m->pss_hash ? &pss : NULL, m->pss_hash ? sizeof pss : 0 };

    return t->f->C_SignInit(t->signing, &mechanism, h->private_half);
}

/* Whether a TPM may have run out of slots for loaded keys: it says so with a general error. */
static bool maybe_full(const struct token *t, CK_RV rv)
{
    return t->info.tpm2_pkcs11 && t->pin &&
           (rv == CKR_GENERAL_ERROR || rv == CKR_DEVICE_MEMORY || rv == CKR_FUNCTION_FAILED);
}

static bool begin(struct token *t, const struct held *h, const struct alg *alg, const struct mechanism *m,
                  struct err *e)
{
    CK_RV rv = sign_init(t, h, alg, m);

    if (rv == CKR_OPERATION_ACTIVE) {
        if (!login_reopen_signing(t, e))
            return false;
        rv = sign_init(t, h, alg, m);
    } else if (maybe_full(t, rv)) {
        if (!login_renew(t, e))
            return false;
        rv = sign_init(t, h, alg, m);
    }
    if (rv != CKR_OK)
        return token_refused(t, e, rv, "C_SignInit");
    return !h->k.always_authenticate || login_for_key(t, e);
}

static bool finish(struct token *t, const struct held *h, const struct alg *alg, const struct mechanism *m,
                   const void *input, size_t len, uint8_t *out, size_t *out_len, struct err *e)
{
    uint8_t prefixed[MAX_PREFIX + ALG_MAX_DIGEST], signature[ALG_MAX_SIGNATURE];
    CK_ULONG got = sizeof signature;
    size_t want = alg->signature_len ? alg->signature_len : h->modulus_len;

    if (m->prefix) {
        memcpy(prefixed, m->prefix, m->prefix_len);
        memcpy(prefixed + m->prefix_len, input, len);
        input = prefixed;
        len += m->prefix_len;
    }
    CK_RV rv = t->f->C_Sign(t->signing, (CK_BYTE *)input, len, signature, &got);
    if (rv != CKR_OK)
        return token_refused(t, e, rv, "C_Sign");
    if (got != want)
        return err_set(e, ERR_SIGNATURE_WRONG, "the token's %s signature has %lu bytes, not %zu", alg->name, got, want);
    memcpy(out, signature, got);
    *out_len = got;
    return true;
}

static bool input_ok(const struct alg *alg, const struct mechanism *m, size_t len, struct err *e)
{
    /* SoftHSM signs raw ECDSA input of any length, even none. */
    if (m->digest && len != alg->hash_len)
        return err_set(e, ERR_BAD_REQUEST, "%s wants a digest of %zu bytes, not %zu", alg->name, alg->hash_len, len);
    return true;
}

/* After a failure the session's state is anybody's guess. The failure is what counts. */
static bool failed(struct token *t)
{
    enum ckr_remedy remedy = t->remedy;
    struct err ignored;

    login_reopen_signing(t, &ignored);
    t->remedy = remedy;
    return false;
}

bool sign_once(struct token *t, const struct held *h, const struct alg *alg, const struct mechanism *m,
               const void *input, size_t len, uint8_t *out, size_t *out_len, struct err *e)
{
    if (!input_ok(alg, m, len, e))
        return false;
    if ((t->armed_alg || t->signing == CK_INVALID_HANDLE) && !login_reopen_signing(t, e))
        return false;
    return (begin(t, h, alg, m, e) && finish(t, h, alg, m, input, len, out, out_len, e)) || failed(t);
}

static bool usable(struct token *t, uint64_t id, const struct alg *alg, struct held **out_held,
                   const struct mechanism **out_m, struct err *e)
{
    struct held *h = held_find(t, id, e);
    struct chosen *c = chosen_for(t, alg);

    if (!h)
        return false;
    /* Listed while another process was making it: a listing of now has the rest. */
    if (!h->k.has_private)
        return err_set(e, ERR_KEY_HANDLE_INVALID, "key '%.64s' had no private half when token '%s' was listed last",
                       h->k.label, t->info.label);
    if (strcmp(h->k.kty, alg->kty) != 0 || (alg->crv && (!h->k.crv || strcmp(h->k.crv, alg->crv) != 0)))
        return err_set(e, ERR_KEY_UNUSABLE, "key '%.64s' is of kind %s%s%s, which %s cannot use", h->k.label, h->k.kty,
                       h->k.crv ? " " : "", h->k.crv ? h->k.crv : "", alg->name);
    if (!c || !c->m)
        return err_set(e, ERR_MECHANISM_MISSING, "token '%s' has no mechanism for %s", t->info.label, alg->name);
    *out_held = h;
    *out_m = c->m;
    return true;
}

static bool sign_armed(struct token *t, const struct held *h, const struct alg *alg, const struct mechanism *m,
                       const void *input, size_t len, uint8_t *out, size_t *out_len, struct err *e)
{
    t->armed_alg = NULL;
    return finish(t, h, alg, m, input, len, out, out_len, e) || failed(t);
}

/*
 * A key that has signed here fails in one session after another: the module is
 * used up (tpm2-pkcs11 #843), or has lost its token. One that never signed says
 * nothing of the module.
 */
static bool strike(struct token *t, const struct held *h, struct err *e)
{
    return h->worked && ++t->n_strikes >= MAX_STRIKES ? token_lost(t, e) : false;
}

bool token_sign(struct token *t, uint64_t id, const struct alg *alg, const void *input, size_t len,
                uint8_t *out, size_t *out_len, struct err *e)
{
    struct held *h = NULL;
    const struct mechanism *m = NULL;

    if (!usable(t, id, alg, &h, &m, e) || !input_ok(alg, m, len, e))
        return false;
    bool armed = t->armed_alg && t->armed_key == id && alg_same(t->armed_alg, alg);
    t->remedy = REMEDY_SAY;
    bool ok = armed ? sign_armed(t, h, alg, m, input, len, out, out_len, e)
                    : sign_once(t, h, alg, m, input, len, out, out_len, e);
    if (!ok && t->remedy == REMEDY_SESSION)              /* which is another by now */
        ok = sign_once(t, h, alg, m, input, len, out, out_len, e);
    if (!ok)
        return t->remedy == REMEDY_SESSION ? strike(t, h, e) : false;
    t->n_strikes = 0;
    t->n_signed++;
    h->worked = true;
    return true;
}

/* --- an HMAC key verifies too -------------------------------------------------------------- */

static bool verify(struct token *t, const struct held *h, const struct mechanism *m, const void *input, size_t len,
                   const void *mac, size_t mac_len, bool *out_good, struct err *e)
{
    CK_MECHANISM mechanism = { m->type, NULL, 0 };
    const char *call = "C_VerifyInit";

    if ((t->armed_alg || t->signing == CK_INVALID_HANDLE) && !login_reopen_signing(t, e))
        return false;
    CK_RV rv = t->f->C_VerifyInit(t->signing, &mechanism, h->private_half);
    if (maybe_full(t, rv)) {
        if (!login_renew(t, e))
            return false;
        rv = t->f->C_VerifyInit(t->signing, &mechanism, h->private_half);
    }
    if (rv == CKR_OK) {
        call = "C_Verify";
        rv = t->f->C_Verify(t->signing, (CK_BYTE *)input, len, (CK_BYTE *)mac, mac_len);
    }
    *out_good = rv == CKR_OK;
    if (rv == CKR_OK || rv == CKR_SIGNATURE_INVALID || rv == CKR_SIGNATURE_LEN_RANGE)
        return true;
    token_refused(t, e, rv, call);
    return failed(t);
}

static bool compare(struct token *t, uint64_t id, const struct alg *alg, const void *input, size_t len, const void *mac,
                    size_t mac_len, bool *out_good, struct err *e)
{
    uint8_t again[ALG_MAX_SIGNATURE];
    size_t again_len;

    if (!token_sign(t, id, alg, input, len, again, &again_len, e))
        return false;
    *out_good = again_len == mac_len && CRYPTO_memcmp(again, mac, mac_len) == 0;
    OPENSSL_cleanse(again, sizeof again);
    return true;
}

bool token_check_mac(struct token *t, uint64_t id, const struct alg *alg, const void *input, size_t len,
                     const void *mac, size_t mac_len, bool *out_good, struct err *e)
{
    struct held *h = NULL;
    const struct mechanism *m = NULL;
    struct err why;

    if (!usable(t, id, alg, &h, &m, e))
        return false;
    if (h->cannot_verify)
        return compare(t, id, alg, input, len, mac, mac_len, out_good, e);
    t->remedy = REMEDY_SAY;
    if (verify(t, h, m, input, len, mac, mac_len, out_good, &why) ||
        (t->remedy == REMEDY_SESSION && verify(t, h, m, input, len, mac, mac_len, out_good, &why)))
        return true;
    if (why.reason != ERR_KEY_UNUSABLE && why.reason != ERR_MECHANISM_MISSING) {
        *e = why;
        return t->remedy == REMEDY_SESSION ? strike(t, h, e) : false;
    }
    h->cannot_verify = true;
    return compare(t, id, alg, input, len, mac, mac_len, out_good, e);
}

void token_disarm(struct token *t)
{
    struct err ignored;

    if (t->armed_alg)
        login_reopen_signing(t, &ignored);
}

void token_arm(struct token *t, uint64_t id, const struct alg *alg)
{
    struct held *h = NULL;
    const struct mechanism *m = NULL;
    struct err why;

    if (t->info.tpm2_pkcs11 || (t->armed_alg && t->armed_key == id && alg_same(t->armed_alg, alg)))
        return;
    if (!usable(t, id, alg, &h, &m, &why) || h->k.always_authenticate)
        return;
    if ((t->armed_alg || t->signing == CK_INVALID_HANDLE) && !login_reopen_signing(t, &why))
        return;
    if (sign_init(t, h, alg, m) != CKR_OK) {
        failed(t);
        return;
    }
    t->armed_key = id;
    t->armed_alg = alg;
}
