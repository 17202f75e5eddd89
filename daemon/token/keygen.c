#include "daemon/token/token_private.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

#define ID_LEN 16u                            /* bytes of CKA_ID: random, pairs the halves */
#define MAX_TEMPLATE 20u

/* A template that says what a key of ours is: private, sensitive, never to leave, only to sign (a secret: and to verify). */
struct template { CK_ATTRIBUTE a[MAX_TEMPLATE]; CK_ULONG n; };

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static void put(struct template *t, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    t->a[t->n++] = (CK_ATTRIBUTE){ type, (void *)value, len };
}

static void put_bool(struct template *t, CK_ATTRIBUTE_TYPE type, bool value)
{
    put(t, type, value ? &yes : &no, sizeof yes);
}

static void put_name(struct template *t, const char *label, const uint8_t id[ID_LEN])
{
    put_bool(t, CKA_TOKEN, true);
    put_bool(t, CKA_PRIVATE, true);
    put(t, CKA_LABEL, label, strlen(label));
    put(t, CKA_ID, id, ID_LEN);
}

static void put_custody(struct template *t)
{
    put_bool(t, CKA_SENSITIVE, true);
    put_bool(t, CKA_EXTRACTABLE, false);
    put_bool(t, CKA_SIGN, true);
}

/* Uses other than signing taken away: SoftHSM gives private keys DECRYPT and UNWRAP by itself; a TPM refuses these. */
static void put_no_other_use(struct template *public, struct template *private)
{
    put_bool(private, CKA_DECRYPT, false);
    put_bool(private, CKA_UNWRAP, false);
    put_bool(private, CKA_SIGN_RECOVER, false);
    put_bool(private, CKA_DERIVE, false);
    put_bool(public, CKA_ENCRYPT, false);
    put_bool(public, CKA_WRAP, false);
    put_bool(public, CKA_VERIFY_RECOVER, false);
}

static struct held *held_by_cka_id(struct token *t, const uint8_t id[ID_LEN])
{
    for (size_t i = 0; i < t->n_held; i++)
        if (t->held[i].k.cka_id_len == ID_LEN && memcmp(t->held[i].k.cka_id, id, ID_LEN) == 0)
            return &t->held[i];
    return NULL;
}

static bool destroy(struct token *t, const struct held *h, bool private_only, struct err *e)
{
    if (private_only && !h->k.has_public)
        return err_set(e, ERR_BAD_REQUEST, "key '%.64s' has no public half that would be left to verify with", h->k.label);
    /* A TPM's slots leak with each object destroyed, unless nobody was logged in since it was used. */
    if (t->info.tpm2_pkcs11 && !login_renew(t, e))
        return false;
    if (t->armed_alg && !login_reopen_signing(t, e))
        return false;
    CK_RV rv = h->k.has_private ? t->f->C_DestroyObject(t->anchor, h->private_half) : CKR_OK;
    /* Another daemon may be at the same. */
    if ((rv == CKR_OK || rv == CKR_OBJECT_HANDLE_INVALID) && h->k.has_public && !private_only)
        rv = t->f->C_DestroyObject(t->anchor, h->public_half);
    token_settle(t);
    if (rv != CKR_OK && rv != CKR_OBJECT_HANDLE_INVALID)
        return token_refused(t, e, rv, "C_DestroyObject");
    return login_after_destroying(t, e);
}

static bool prove_new(struct token *t, const uint8_t id[ID_LEN], const struct alg *alg, uint64_t *out_id,
                      struct err *e)
{
    if (!token_relist(t, e))
        return false;
    struct held *h = held_by_cka_id(t, id);
    if (!h)
        return err_set(e, ERR_KEY_UNPROVED, "the token made a key and does not list it");
    uint64_t made = h->k.id;
    struct err why = { 0 }, ignored;
    uint8_t mac[ALG_MAX_SIGNATURE];
    size_t mac_len;
    bool proved = alg->family == ALG_HMAC ? token_sign(t, made, alg, "", 0, mac, &mac_len, &why)
                                          : h->k.has_private && h->k.spki && mechanism_prove_key(t, h, alg, &why);
    if (!proved) {
        const char *text = why.reason        ? why.text
                           : !h->k.has_public  ? "it has no public half"
                           : !h->k.has_private ? "it has no private half"
                                               : "its public half cannot be read";
        /* Halves that do not fit are two entries. */
        for (int i = 0; i < 2 && (h = held_by_cka_id(t, id)) && destroy(t, h, false, &ignored); i++)
            token_relist(t, &ignored);
        if (err_code(why.reason) == CODE_UNAVAILABLE) {
            *e = why;
            return err_wrap(e, "the new key could not be tried, and was destroyed again");
        }
        return err_set(e, ERR_KEY_UNPROVED, "this token does not sign with %s (%s): the new key was"
                       " destroyed again: %.120s", alg->name, alg->crv ? alg->crv : alg->kty, text);
    }
    OPENSSL_cleanse(mac, sizeof mac);
    *out_id = made;
    return true;
}

static bool new_id(uint8_t id[ID_LEN], const char *label, struct err *e)
{
    if (strlen(label) > 255)
        return err_set(e, ERR_INTERNAL, "a label of %zu bytes: at most 255 are possible", strlen(label));
    return RAND_bytes(id, ID_LEN) == 1 || err_set(e, ERR_INTERNAL, "OpenSSL has no random bytes");
}

/* With all that narrows the key's use; where the token does not take that, without. */
static CK_RV generate_pair(struct token *t, CK_MECHANISM_TYPE type, const struct template *public,
                           const struct template *private)
{
    CK_MECHANISM mechanism = { type, NULL, 0 };
    CK_OBJECT_HANDLE made[2];
    struct template narrow_public = *public, narrow_private = *private;
    CK_RV rv = CKR_TEMPLATE_INCONSISTENT;

    if (!t->info.tpm2_pkcs11) {
        put_no_other_use(&narrow_public, &narrow_private);
        rv = t->f->C_GenerateKeyPair(t->anchor, &mechanism, narrow_public.a, narrow_public.n, narrow_private.a,
                                     narrow_private.n, &made[0], &made[1]);
    }
    if (rv == CKR_TEMPLATE_INCONSISTENT || rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_VALUE_INVALID)
        rv = t->f->C_GenerateKeyPair(t->anchor, &mechanism, (CK_ATTRIBUTE *)public->a, public->n,
                                     (CK_ATTRIBUTE *)private->a, private->n, &made[0], &made[1]);
    return rv;
}

static CK_RV generate_curve(struct token *t, const struct alg *alg, const struct template *public,
                            const struct template *private)
{
    CK_RV rv = CKR_CURVE_NOT_SUPPORTED;
    const struct curve *c;

    for (size_t nth = 0; rv != CKR_OK && (c = curve_named(alg->crv, nth)); nth++) {
        struct template with = *public;
        put(&with, CKA_EC_PARAMS, c->params, c->params_len);
        rv = generate_pair(t, alg->family == ALG_EDDSA ? CKM_EC_EDWARDS_KEY_PAIR_GEN : CKM_EC_KEY_PAIR_GEN, &with, private);
    }
    return rv;
}

static CK_RV generate_rsa(struct token *t, unsigned bits, const struct template *public, const struct template *private)
{
    static const uint8_t f4[] = { 0x01, 0x00, 0x01 };
    CK_ULONG modulus_bits = bits;
    struct template with = *public;

    put(&with, CKA_MODULUS_BITS, &modulus_bits, sizeof modulus_bits);
    put(&with, CKA_PUBLIC_EXPONENT, f4, sizeof f4);
    return generate_pair(t, CKM_RSA_PKCS_KEY_PAIR_GEN, &with, private);
}

static CK_RV generate_secret(struct token *t, const struct alg *alg, const struct template *private)
{
    CK_MECHANISM mechanism = { CKM_GENERIC_SECRET_KEY_GEN, NULL, 0 };
    CK_ULONG len = alg->hash_len;
    CK_OBJECT_HANDLE made;
    struct template with = *private;

    put_bool(&with, CKA_VERIFY, true);
    put(&with, CKA_VALUE_LEN, &len, sizeof len);
    return t->f->C_GenerateKey(t->anchor, &mechanism, with.a, with.n, &made);
}

static bool tpm_has_no_secrets(const struct token *t, const char *how, struct err *e)
{
    if (!t->info.tpm2_pkcs11)
        return true;
    return err_set(e, ERR_MECHANISM_MISSING, "tpm2-pkcs11 takes HMAC keys only from its own tool: tpm2_ptool %s", how);
}

static bool has_mechanism(struct token *t, const struct alg *alg, struct err *e)
{
    const struct chosen *c = chosen_for(t, alg);

    return (c && c->m) || err_set(e, ERR_MECHANISM_MISSING, "token '%s' has no mechanism for %s: take another algorithm"
                                  " for the ring", t->info.label, alg->name);
}

bool token_generate(struct token *t, const struct alg *alg, unsigned rsa_bits, const char *label,
                    uint64_t *out_id, struct err *e)
{
    struct template public = { 0 }, private = { 0 };
    uint8_t id[ID_LEN];
    bool secret = alg->family == ALG_HMAC, rsa = strcmp(alg->kty, "RSA") == 0;
    CK_RV rv;

    if (!new_id(id, label, e) || (secret && !tpm_has_no_secrets(t, "addkey --algorithm=hmac:sha256", e)) ||
        !has_mechanism(t, alg, e) || !token_relist(t, e))
        return false;
    put_name(&public, label, id);
    put_bool(&public, CKA_VERIFY, true);
    put_name(&private, label, id);
    put_custody(&private);
    if (secret)
        rv = generate_secret(t, alg, &private);
    else
        rv = rsa ? generate_rsa(t, rsa_bits, &public, &private) : generate_curve(t, alg, &public, &private);
    if (rv != CKR_OK)
        return token_refused(t, e, rv, secret ? "C_GenerateKey" : "C_GenerateKeyPair");
    token_settle(t);
    return prove_new(t, id, alg, out_id, e);
}

bool token_import_hmac(struct token *t, const struct alg *alg, const char *label, const uint8_t *secret, size_t len,
                       uint64_t *out_id, struct err *e)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    struct template template = { 0 };
    CK_OBJECT_HANDLE made;
    uint8_t id[ID_LEN];

    if (alg->family != ALG_HMAC || len == 0)
        return err_set(e, ERR_BAD_REQUEST, "only HMAC secrets of at least one byte are imported");
    if (!new_id(id, label, e) || !tpm_has_no_secrets(t, "import --algorithm=hmac", e) || !token_relist(t, e))
        return false;
    struct buf value;
    /* HMAC itself pads keys with zeros up to the block: the same key, long enough for SoftHSM, and told from others. */
    size_t padded = alg_padded_len(alg), want = len < alg->hash_len ? padded : len == padded ? padded + 1 : len;
    buf_init_secret(&value, want);
    bool whole = buf_append(&value, secret, len);
    while (whole && value.len < want)
        whole = buf_append_char(&value, 0);
    put(&template, CKA_CLASS, &class, sizeof class);
    put(&template, CKA_KEY_TYPE, &type, sizeof type);
    put_name(&template, label, id);
    put_custody(&template);
    put_bool(&template, CKA_VERIFY, true);
    put(&template, CKA_VALUE, value.data, value.len);
    CK_RV rv = whole ? t->f->C_CreateObject(t->anchor, template.a, template.n, &made) : CKR_HOST_MEMORY;
    buf_clear(&value);
    if (rv != CKR_OK)
        return token_refused(t, e, rv, "C_CreateObject");
    token_settle(t);
    return prove_new(t, id, alg, out_id, e);
}

bool token_destroy(struct token *t, uint64_t id, bool private_only, struct err *e)
{
    if (!token_relist(t, e))
        return false;
    struct held *h = held_find(t, id, e);
    if (!h)
        return e->reason == ERR_KEY_HANDLE_INVALID;      /* gone already */
    return destroy(t, h, private_only, e) && token_relist(t, e);
}
