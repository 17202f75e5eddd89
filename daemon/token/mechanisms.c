#include "daemon/token/token_private.h"

#include "proto/jose/jwk.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#define KEYS_TRIED 8u                         /* for each alg at one listing: a token full of odd keys costs no more */

/* RFC 8017 section 9.2, note 1: DigestInfo up to the digest. */
static const uint8_t info_sha256[] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                       0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 };
static const uint8_t info_sha384[] = { 0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                       0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30 };
static const uint8_t info_sha512[] = { 0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                       0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40 };

#define WHOLE(alg, m) { alg, m, #m, false, NULL, 0, 0, 0 }
#define DIGEST(alg, m) { alg, m, #m, true, NULL, 0, 0, 0 }
#define PKCS1(alg, info) { alg, CKM_RSA_PKCS, "CKM_RSA_PKCS", true, info, sizeof info, 0, 0 }
#define PSS(alg, m, digest, hash) { alg, m, #m, digest, NULL, 0, CKM_##hash, CKG_MGF1_##hash }

/* Preferred first: the digest on the host with the raw mechanism, else the combined one (which SoftHSM lacks for EC). */
static const struct mechanism table[] = {
    WHOLE("HS256", CKM_SHA256_HMAC),
    WHOLE("HS384", CKM_SHA384_HMAC),
    WHOLE("HS512", CKM_SHA512_HMAC),
    PKCS1("RS256", info_sha256), WHOLE("RS256", CKM_SHA256_RSA_PKCS),
    PKCS1("RS384", info_sha384), WHOLE("RS384", CKM_SHA384_RSA_PKCS),
    PKCS1("RS512", info_sha512), WHOLE("RS512", CKM_SHA512_RSA_PKCS),
    PSS("PS256", CKM_RSA_PKCS_PSS, true, SHA256), PSS("PS256", CKM_SHA256_RSA_PKCS_PSS, false, SHA256),
    PSS("PS384", CKM_RSA_PKCS_PSS, true, SHA384), PSS("PS384", CKM_SHA384_RSA_PKCS_PSS, false, SHA384),
    PSS("PS512", CKM_RSA_PKCS_PSS, true, SHA512), PSS("PS512", CKM_SHA512_RSA_PKCS_PSS, false, SHA512),
    DIGEST("ES256", CKM_ECDSA), WHOLE("ES256", CKM_ECDSA_SHA256),
    DIGEST("ES384", CKM_ECDSA), WHOLE("ES384", CKM_ECDSA_SHA384),
    DIGEST("ES512", CKM_ECDSA), WHOLE("ES512", CKM_ECDSA_SHA512),
    WHOLE("EdDSA", CKM_EDDSA),
};

static const char proof_text[] = "signet: a test signature over fixed bytes, no token";
#define PROOF_LEN (sizeof proof_text - 1)

static size_t alg_row(const struct alg *alg)
{
    size_t i = 0;

    while (alg_at(i) && alg_at(i) != alg)
        i++;
    return i;
}

bool mechanism_for_alg(const struct mechanism *m, const struct alg *alg)
{
    const struct alg *of = alg_by_name(m->alg, strlen(m->alg));
    return of && alg_same(of, alg);
}

struct chosen *chosen_for(struct token *t, const struct alg *alg)
{
    size_t row = alg_row(alg);
    return row < TOKEN_MAX_ALGS ? &t->chosen[row] : NULL;
}

static bool listed(const struct token *t, const struct mechanism *m)
{
    CK_MECHANISM_INFO info;
    /* tpm2-pkcs11 does PSS without listing it. */
    CK_MECHANISM_TYPE type = t->info.tpm2_pkcs11 && m->pss_hash ? CKM_RSA_PKCS : m->type;

    return t->f->C_GetMechanismInfo(t->slot, type, &info) == CKR_OK && (info.flags & CKF_SIGN);
}

/* An HMAC key of known value that lives as long as the session. A TPM has none: unproved. */
static void prove_hmac(struct token *t, const struct alg *alg, struct chosen *c)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    uint8_t value[ALG_MAX_DIGEST], want[EVP_MAX_MD_SIZE], got[ALG_MAX_SIGNATURE];
    unsigned want_len = 0;
    size_t got_len = 0;
    struct held h = { .k = { .kty = "oct" } };
    struct err why;

    memset(value, 'k', sizeof value);
    CK_ATTRIBUTE template[] = {
        { CKA_CLASS, &class, sizeof class }, { CKA_KEY_TYPE, &type, sizeof type },
        { CKA_TOKEN, &no, sizeof no }, { CKA_PRIVATE, &yes, sizeof yes }, { CKA_SIGN, &yes, sizeof yes },
        { CKA_VALUE, value, alg->hash_len },
    };
    if (t->f->C_CreateObject(t->signing, template, ARRAY_LEN(template), &h.private_half) != CKR_OK)
        return;
    c->proved = sign_once(t, &h, alg, c->m, proof_text, PROOF_LEN, got, &got_len, &why) &&
                HMAC(EVP_get_digestbyname(alg->hash), value, (int)alg->hash_len, (const uint8_t *)proof_text,
                     PROOF_LEN, want, &want_len) &&
                got_len == want_len && CRYPTO_memcmp(got, want, want_len) == 0;
    t->f->C_DestroyObject(t->signing, h.private_half);
}

bool token_has_secret(struct token *t, uint64_t id, const struct alg *alg, const uint8_t *secret, size_t len)
{
    uint8_t want[EVP_MAX_MD_SIZE], got[ALG_MAX_SIGNATURE];
    unsigned want_len = 0;
    size_t got_len = 0;
    struct err unknown;

    return token_sign(t, id, alg, proof_text, PROOF_LEN, got, &got_len, &unknown) &&
           HMAC(EVP_get_digestbyname(alg->hash), secret, (int)len, (const uint8_t *)proof_text, PROOF_LEN, want,
                &want_len) && got_len == want_len && CRYPTO_memcmp(got, want, want_len) == 0;
}

void mechanisms_ask(struct token *t)
{
    for (size_t i = 0; alg_at(i) && i < TOKEN_MAX_ALGS; i++) {
        struct chosen *c = &t->chosen[i];
        *c = (struct chosen){ NULL, false };
        for (size_t m = 0; m < ARRAY_LEN(table) && !c->m; m++)
            if (mechanism_for_alg(&table[m], alg_at(i)) && listed(t, &table[m]))
                c->m = &table[m];
        if (c->m && alg_at(i)->family == ALG_HMAC && !t->info.tpm2_pkcs11)
            prove_hmac(t, alg_at(i), c);
    }
}

static bool proves(struct token *t, const struct held *h, const struct alg *alg, const struct mechanism *m,
                   const struct jwk *jwk, struct err *e)
{
    uint8_t digest[ALG_MAX_DIGEST], signature[ALG_MAX_SIGNATURE];
    size_t len = 0;

    if (m->digest && !alg_digest(alg, proof_text, PROOF_LEN, digest))
        return err_set(e, ERR_INTERNAL, "OpenSSL lacks %s", alg->hash);
    if (!sign_once(t, h, alg, m, m->digest ? (const void *)digest : proof_text, m->digest ? alg->hash_len : PROOF_LEN,
                   signature, &len, e))
        return false;
    if (!jwk_verifies(jwk, alg, proof_text, PROOF_LEN, signature, len))
        return err_set(e, ERR_KEY_UNPROVED, "%s made a signature that does not verify: the key is broken, or the token "
                       "does %s wrongly", m->name, alg->name);
    return true;
}

/* Whether the key signs by `alg`; the mechanism that serves becomes the chosen one where none was proved before. */
bool mechanism_prove_key(struct token *t, const struct held *h, const struct alg *alg, struct err *e)
{
    struct chosen *c = chosen_for(t, alg);
    CLEANUP(jwk_freep) struct jwk *jwk = jwk_from_spki(h->k.spki, h->k.spki_len, alg, e);

    if (!jwk)
        return false;
    if (!c || !c->m)
        return err_set(e, ERR_MECHANISM_MISSING, "token '%s' has no mechanism for %s", t->info.label, alg->name);
    bool settled = c->proved;
    if (proves(t, h, alg, c->m, jwk, e)) {
        c->proved = true;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(table) && !settled; i++) {
        struct err why;
        if (&table[i] == c->m || !mechanism_for_alg(&table[i], alg) || !listed(t, &table[i]) ||
            !proves(t, h, alg, &table[i], jwk, &why))
            continue;
        *c = (struct chosen){ &table[i], true };
        return true;
    }
    return false;
}

static bool may_prove(const struct held *h, const struct alg *alg)
{
    return strcmp(h->k.kty, alg->kty) == 0 && (!alg->crv || (h->k.crv && strcmp(h->k.crv, alg->crv) == 0)) &&
           h->k.has_private && h->k.spki && h->k.is_private && !h->k.always_authenticate;
}

void mechanisms_prove(struct token *t)
{
    for (size_t row = 0; alg_at(row) && row < TOKEN_MAX_ALGS; row++) {
        const struct alg *alg = alg_at(row);
        unsigned tried = 0;
        for (size_t i = 0; i < t->n_held && tried < KEYS_TRIED && !t->chosen[row].proved; i++) {
            struct held *h = &t->held[i];
            struct err why;
            if (alg->family == ALG_HMAC || (h->tried & 1u << row) || !t->chosen[row].m || !may_prove(h, alg))
                continue;
            h->tried |= 1u << row;
            tried++;
            mechanism_prove_key(t, h, alg, &why);
        }
    }
}

const char *token_mechanism(const struct token *t, const struct alg *alg, bool *out_proved)
{
    size_t row = alg_row(alg);

    if (row >= TOKEN_MAX_ALGS || !t->chosen[row].m)
        return NULL;
    *out_proved = t->chosen[row].proved;
    return t->chosen[row].m->name;
}

bool token_wants_digest(const struct token *t, const struct alg *alg)
{
    size_t row = alg_row(alg);
    return row < TOKEN_MAX_ALGS && t->chosen[row].m && t->chosen[row].m->digest;
}
