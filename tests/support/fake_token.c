#include "tests/support/fake_token.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#define MAX_OBJECTS 64u
#define MAX_SECRET 4096u

struct one {
    struct token_key key;
    EVP_PKEY *pair;                      /* NULL: HMAC */
    uint8_t secret[MAX_SECRET];
};

struct token {
    struct token_info info;
    struct one *keys[MAX_OBJECTS];
    char facts[MAX_OBJECTS][256];
    size_t n_keys, n_facts;
    unsigned n_made, n_changes;
};

static struct token *the_token;

struct token *fake_token_new(void)
{
    token_free(the_token);
    the_token = calloc(1, sizeof *the_token);
    if (!the_token)
        abort();
    the_token->info = (struct token_info){ .label = "fake", .manufacturer = "signet", .model = "fake", .serial = "1",
                                           .software = true };
    return the_token;
}

unsigned fake_token_changes(void)
{
    return the_token->n_changes;
}

static void one_free(struct one *o)
{
    EVP_PKEY_free(o->pair);
    free(o->key.spki);
    free(o);
}

void token_free(struct token *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_keys; i++)
        one_free(t->keys[i]);
    free(t);
    the_token = NULL;
}

struct token *token_open(const struct token_options *o, struct err *e)
{
    return fake_token_new();
}

const struct token_info *token_info(const struct token *t)
{
    return &t->info;
}

static struct one *find(const struct token *t, uint64_t id)
{
    for (size_t i = 0; i < t->n_keys; i++)
        if (t->keys[i]->key.id == id)
            return t->keys[i];
    return NULL;
}

/* --- listing --------------------------------------------------------------------------------- */

bool token_list(struct token *t, struct token_listing *out, struct err *e)
{
    *out = (struct token_listing){ .keys = calloc(t->n_keys + 1, sizeof *out->keys),
                                   .data = calloc(t->n_facts + 1, sizeof *out->data) };
    bool whole = out->keys && out->data;
    for (size_t i = 0; whole && i < t->n_keys; i++) {
        struct token_key *k = &out->keys[out->n_keys++];
        *k = t->keys[i]->key;
        if (k->spki && (k->spki = malloc(k->spki_len)))
            memcpy(k->spki, t->keys[i]->key.spki, k->spki_len);
        whole = k->spki || !t->keys[i]->pair;
    }
    if (!whole) {
        token_listing_clear(out);
        return err_set(e, ERR_NO_MEMORY, "no memory for a listing");
    }
    for (size_t i = 0; i < t->n_facts; i++) {
        memcpy(out->data[i].label, t->facts[i], sizeof out->data[i].label);
        out->data[i].is_private = true;
        out->n_data++;
    }
    return true;
}

void token_listing_clear(struct token_listing *l)
{
    for (size_t i = 0; i < l->n_keys; i++)
        free(l->keys[i].spki);
    free(l->keys);
    free(l->data);
    *l = (struct token_listing){ 0 };
}

bool token_is(const struct token *t, const char *uri)
{
    return true;
}

/* It never asks for a remedy. */
enum token_need token_needs(const struct token *t, struct err *out_why)
{
    return TOKEN_NEEDS_NOTHING;
}

void token_tend(struct token *t, int64_t now_ms) { }

bool token_login_again(struct token *t, struct err *e)
{
    return true;
}

/* --- signing ---------------------------------------------------------------------------------- */

bool token_wants_digest(const struct token *t, const struct alg *alg)
{
    return false;
}

const char *token_mechanism(const struct token *t, const struct alg *alg, bool *out_proved)
{
    *out_proved = true;
    return alg->family == ALG_HMAC ? "CKM_HMAC" : alg->family == ALG_EDDSA ? "CKM_EDDSA" : NULL;
}

void token_arm(struct token *t, uint64_t id, const struct alg *alg) { }

static bool mac(const struct one *o, const struct alg *alg, const void *input, size_t len, uint8_t *out, size_t *out_len,
                struct err *e)
{
    unsigned n = 0;
    bool ok = HMAC(EVP_get_digestbyname(alg->hash), o->secret, (int)o->key.secret_len, input, len, out, &n);

    *out_len = n;
    return ok || err_set(e, ERR_TOKEN_FAILED, "it does not sign");
}

bool token_sign(struct token *t, uint64_t id, const struct alg *alg, const void *input, size_t len,
                uint8_t *out, size_t *out_len, struct err *e)
{
    const struct one *o = find(t, id);

    if (!o || strcmp(o->key.kty, alg->kty) != 0)
        return err_set(e, ERR_KEY_HANDLE_INVALID, "the token has no such key");
    if (!o->key.has_private)
        return err_set(e, ERR_KEY_UNUSABLE, "its private half is gone");
    if (!o->pair)
        return mac(o, alg, input, len, out, out_len, e);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    *out_len = ALG_MAX_SIGNATURE;
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, o->pair) == 1 &&
              EVP_DigestSign(ctx, out, out_len, input, len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok || err_set(e, ERR_TOKEN_FAILED, "it does not sign");
}

bool token_check_mac(struct token *t, uint64_t id, const struct alg *alg, const void *input, size_t len,
                     const void *said, size_t said_len, bool *out_good, struct err *e)
{
    uint8_t again[ALG_MAX_SIGNATURE];
    size_t again_len;

    if (!token_sign(t, id, alg, input, len, again, &again_len, e))
        return false;
    *out_good = again_len == said_len && memcmp(again, said, said_len) == 0;
    return true;
}

/* --- changes ------------------------------------------------------------------------------------ */

static struct one *add(struct token *t, const struct alg *alg, const char *label, struct err *e)
{
    if (t->n_keys == MAX_OBJECTS || strlen(label) >= sizeof t->keys[0]->key.label) {
        err_set(e, ERR_TOKEN_FAILED, "the token is full");
        return NULL;
    }
    struct one *o = calloc(1, sizeof *o);
    if (!o) {
        err_set(e, ERR_NO_MEMORY, "no memory for a key");
        return NULL;
    }
    uint8_t digest[SHA256_DIGEST_LENGTH], seed[] = { 's', (uint8_t)t->n_made++ };
    SHA256(seed, sizeof seed, digest);
    o->key = (struct token_key){ .cka_id_len = 16, .kty = alg->kty, .crv = alg->crv, .has_private = true, .is_private = true,
                                 .sensitive = true, .always_sensitive = true, .never_extractable = true, .local = true,
                                 .has_public = alg->family != ALG_HMAC };
    memcpy(&o->key.id, digest, sizeof o->key.id);
    memcpy(o->key.cka_id, digest + 8, 16);
    strcpy(o->key.label, label);
    memcpy(o->secret, digest, sizeof digest);
    memcpy(o->secret + sizeof digest, digest, sizeof digest);
    t->keys[t->n_keys++] = o;
    t->n_changes++;
    return o;
}

bool token_generate(struct token *t, const struct alg *alg, unsigned rsa_bits, const char *label,
                    uint64_t *out_id, struct err *e)
{
    if (alg->family != ALG_HMAC && alg->family != ALG_EDDSA)
        return err_set(e, ERR_MECHANISM_MISSING, "the token makes no %s key", alg->name);
    struct one *o = add(t, alg, label, e);
    if (!o)
        return false;
    *out_id = o->key.id;
    if (alg->family == ALG_HMAC) {
        o->key.secret_len = alg->hash_len;
        return true;
    }
    o->pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, o->secret, 32);
    int len = o->pair ? i2d_PUBKEY(o->pair, &o->key.spki) : 0;
    o->key.spki_len = len > 0 ? (size_t)len : 0;
    if (len > 0)
        return true;
    t->n_keys--;
    one_free(o);
    return err_set(e, ERR_NO_MEMORY, "no memory for a key pair");
}

bool token_import_hmac(struct token *t, const struct alg *alg, const char *label,
                       const uint8_t *secret, size_t len, uint64_t *out_id, struct err *e)
{
    struct one *o = alg->family == ALG_HMAC && len <= MAX_SECRET ? add(t, alg, label, e) : NULL;

    if (!o)
        return err_set(e, ERR_TOKEN_FAILED, "this cannot be imported");
    *out_id = o->key.id;
    memset(o->secret, 0, sizeof o->secret);
    memcpy(o->secret, secret, len);
    o->key.secret_len = len < alg->hash_len ? alg_padded_len(alg) : len;
    o->key.local = o->key.always_sensitive = o->key.never_extractable = false;
    return true;
}

bool token_has_secret(struct token *t, uint64_t id, const struct alg *alg, const uint8_t *secret, size_t len)
{
    const struct one *o = find(t, id);

    return o && !o->pair && o->key.secret_len == len && memcmp(o->secret, secret, len) == 0;
}

bool token_destroy(struct token *t, uint64_t id, bool private_only, struct err *e)
{
    struct one *o = find(t, id);

    if (!o)
        return true;
    t->n_changes++;
    if (private_only && o->pair) {
        o->key.has_private = false;
        return true;
    }
    for (size_t i = 0; i < t->n_keys; i++)
        if (t->keys[i] == o)
            t->keys[i] = t->keys[--t->n_keys];
    one_free(o);
    return true;
}

bool token_write_fact(struct token *t, const char *label, struct err *e)
{
    if (t->n_facts == MAX_OBJECTS || strlen(label) >= sizeof t->facts[0])
        return err_set(e, ERR_TOKEN_FAILED, "the token is full");
    for (size_t i = 0; i < t->n_facts; i++)
        if (strcmp(t->facts[i], label) == 0)
            return true;
    strcpy(t->facts[t->n_facts++], label);
    t->n_changes++;
    return true;
}

bool token_forget_fact(struct token *t, const char *label, struct err *e)
{
    for (size_t i = 0; i < t->n_facts; i++)
        if (strcmp(t->facts[i], label) == 0) {
            t->n_changes++;
            memmove(t->facts[i], t->facts[--t->n_facts], sizeof t->facts[0]);
        }
    return true;
}

bool token_try_powers(struct token *t, struct token_powers *out, struct err *why, struct err *e)
{
    *out = (struct token_powers){ true, true };
    return true;
}
