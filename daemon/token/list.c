/*
 * A listing is built beside the one that holds and replaces it only when every
 * call succeeded and the login stood before and after: after a lost login
 * C_FindObjects says CKR_OK and gives the public objects only.
 */
#include "daemon/token/token_private.h"

#include <openssl/evp.h>
#include <string.h>

/* SoftHSM gives the halves of one Ed25519 key differently: an OID the public one, a name the private one. */
static bool same_curve(const struct object *a, const struct object *b)
{
    const struct curve *x = curve_of(a->params, a->params_len), *y = curve_of(b->params, b->params_len);

    if (x && y)
        return strcmp(x->crv, y->crv) == 0;
    return a->params_len == 0 || b->params_len == 0 ||
           (a->params_len == b->params_len && memcmp(a->params, b->params, a->params_len) == 0);
}

/* Of the public objects that could be its other half, the one most like it: somebody may have put a false one there. */
static struct object *other_half(struct found *f, const struct object *o)
{
    struct object *best = NULL;
    int best_score = -1;

    for (size_t i = 0; i < f->n; i++) {
        struct object *p = &f->o[i];
        if (p->class != CKO_PUBLIC_KEY || p->taken || p->type != o->type || p->id_len != o->id_len ||
            memcmp(p->id, o->id, o->id_len) != 0)
            continue;
        if (!same_curve(o, p))
            continue;
        if (o->modulus_len && !(o->modulus_len == p->modulus_len && !memcmp(o->modulus, p->modulus, o->modulus_len)))
            continue;
        int score = 2 * (p->is_private == o->is_private) + (strcmp(p->label, o->label) == 0);
        if (score > best_score) {
            best = p;
            best_score = score;
        }
    }
    return best;
}

static const char *kty_of(CK_KEY_TYPE type)
{
    switch (type) {
    case CKK_EC: return "EC";
    case CKK_EC_EDWARDS: return "OKP";
    case CKK_RSA: return "RSA";
    case CKK_GENERIC_SECRET: case CKK_SHA256_HMAC: case CKK_SHA384_HMAC: case CKK_SHA512_HMAC: return "oct";
    default: return NULL;
    }
}

static void hash_part(EVP_MD_CTX *md, const void *bytes, size_t len)
{
    uint8_t head[4] = { (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len };

    EVP_DigestUpdate(md, head, sizeof head);
    EVP_DigestUpdate(md, bytes, len);
}

static uint64_t key_id(const struct token_key *k)
{
    uint8_t digest[EVP_MAX_MD_SIZE] = { 0 };
    uint64_t id = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    if (md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1) {
        hash_part(md, k->label, strlen(k->label));
        hash_part(md, k->cka_id, k->cka_id_len);
        hash_part(md, k->kty, strlen(k->kty));
        hash_part(md, k->spki, k->spki_len);
        hash_part(md, &k->is_private, sizeof k->is_private);     /* anyone may make a public one of the same name */
        EVP_DigestFinal_ex(md, digest, NULL);
    }
    EVP_MD_CTX_free(md);
    for (size_t i = 0; i < sizeof id; i++)
        id = id << 8 | digest[i];
    return id;
}

static void fill_public(struct held *h, const struct object *p)
{
    const struct curve *c = curve_of(p->params, p->params_len);

    h->public_half = p->handle;
    h->k.has_public = true;
    h->k.local = p->local;
    h->modulus_len = p->modulus_len;
    if (c && strcmp(c->kty, h->k.kty) == 0) {
        h->k.crv = c->crv;
        h->k.spki = spki_of_point(c, p->point, p->point_len, &h->k.spki_len);
    } else if (p->type == CKK_RSA) {
        h->k.spki = spki_of_rsa(p->modulus, p->modulus_len, p->exponent, p->exponent_len, &h->k.spki_len);
    }
}

static void fill_private(struct held *h, const struct object *o)
{
    const struct curve *c = curve_of(o->params, o->params_len);

    h->private_half = o->handle;
    h->k.has_private = true;
    h->k.secret_len = o->value_len;
    h->k.sensitive = o->sensitive;
    h->k.extractable = o->extractable;
    h->k.always_sensitive = o->always_sensitive;
    h->k.never_extractable = o->never_extractable;
    h->k.local = o->local;
    h->k.always_authenticate = o->always_authenticate;
    if (!h->k.has_public) {
        h->modulus_len = o->modulus_len;
        h->k.crv = c && strcmp(c->kty, h->k.kty) == 0 ? c->crv : NULL;
    }
}

/* A key of one object, or of both halves; `mine` names it. */
static void fill(struct held *h, const struct object *mine, const struct object *public)
{
    *h = (struct held){ .k.kty = kty_of(mine->type), .k.is_private = mine->is_private && (!public || public->is_private) };
    memcpy(h->k.label, mine->label, sizeof mine->label);
    memcpy(h->k.cka_id, mine->id, mine->id_len);
    h->k.cka_id_len = mine->id_len;
    if (public)
        fill_public(h, public);
    if (mine->class != CKO_PUBLIC_KEY)
        fill_private(h, mine);
    h->k.id = key_id(&h->k);
}

static size_t pair_up(struct found *f, struct held *held)
{
    size_t n = 0;

    /* Private objects choose first, so that a public one cannot take a half away. */
    for (int private = 1; private >= 0; private--)
        for (size_t i = 0; i < f->n; i++) {
            struct object *o = &f->o[i];
            if (o->is_private != private || !kty_of(o->type) ||
                (o->class != CKO_PRIVATE_KEY && o->class != CKO_SECRET_KEY))
                continue;
            struct object *public = o->class == CKO_PRIVATE_KEY ? other_half(f, o) : NULL;
            if (public)
                public->taken = true;
            fill(&held[n++], o, public);
        }
    for (size_t i = 0; i < f->n; i++)
        if (f->o[i].class == CKO_PUBLIC_KEY && !f->o[i].taken && kty_of(f->o[i].type))
            fill(&held[n++], &f->o[i], &f->o[i]);
    return n;
}

/* What was tried with a key stays tried, and what it has shown shown. */
static void carry_over(const struct token *t, struct held *held, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < t->n_held; j++)
            if (held[i].k.id == t->held[j].k.id) {
                held[i].tried = t->held[j].tried;
                held[i].worked = t->held[j].worked;
                held[i].cannot_verify = t->held[j].cannot_verify;
            }
}

static void drop_held(struct held *held, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(held[i].k.spki);
    free(held);
}

static bool copy_out(const struct held *held, size_t n, const struct found *f, struct token_listing *out)
{
    struct token_listing l = { .keys = calloc(n + 1, sizeof *l.keys), .data = calloc(f->n + 1, sizeof *l.data) };
    bool ok = l.keys && l.data;

    for (; ok && l.n_keys < n; l.n_keys++) {
        struct token_key *k = &l.keys[l.n_keys];
        *k = held[l.n_keys].k;
        k->spki = NULL;
        if (held[l.n_keys].k.spki) {
            ok = (k->spki = malloc(k->spki_len));
            if (ok)
                memcpy(k->spki, held[l.n_keys].k.spki, k->spki_len);
        }
    }
    for (size_t i = 0; ok && i < f->n; i++)
        if (f->o[i].class == CKO_DATA) {
            struct token_data *d = &l.data[l.n_data++];
            memcpy(d->label, f->o[i].label, sizeof f->o[i].label);
            d->is_private = f->o[i].is_private;
        }
    if (!ok) {
        token_listing_clear(&l);
        return false;
    }
    *out = l;
    return true;
}

bool token_list(struct token *t, struct token_listing *out, struct err *e)
{
    struct found f = { 0 };
    struct held *held = NULL;
    size_t n = 0, vanished = 0;
    bool ok = find_everything(t, &f, &vanished, e);

    if (ok && vanished)
        ok = find_everything(t, &f, &vanished, e);
    if (ok && vanished)              /* a SoftHSM token that is gone lists what it cannot read */
        ok = err_set(e, ERR_TOKEN_UNREACHABLE, "token '%s' lists %zu objects that it cannot read", t->info.label,
                     vanished) || token_lost(t, e);
    if (ok && !((held = calloc(f.n + 1, sizeof *held))))
        ok = err_set(e, ERR_NO_MEMORY, "no memory for %zu keys", f.n);
    if (ok) {
        n = pair_up(&f, held);
        carry_over(t, held, n);
        if (!copy_out(held, n, &f, out))
            ok = err_set(e, ERR_NO_MEMORY, "no memory for %zu keys", n);
    }
    free(f.o);
    if (!ok) {
        drop_held(held, n);
        return false;
    }
    drop_held(t->held, t->n_held);
    t->held = held;
    t->n_held = n;
    token_disarm(t);                 /* with a handle of before */
    mechanisms_prove(t);
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

bool token_relist(struct token *t, struct err *e)
{
    struct token_listing l;

    if (!token_list(t, &l, e))
        return false;
    token_listing_clear(&l);
    return true;
}

struct held *held_find(struct token *t, uint64_t id, struct err *e)
{
    struct held *h = NULL;

    for (size_t i = 0; i < t->n_held; i++) {
        if (t->held[i].k.id != id)
            continue;
        if (h) {
            err_set(e, ERR_KEY_UNUSABLE, "two keys '%.64s' with one CKA_ID are on the token: destroy one", h->k.label);
            return NULL;
        }
        h = &t->held[i];
    }
    if (!h)
        err_set(e, ERR_KEY_HANDLE_INVALID, "the key is not in the last listing of token '%s'", t->info.label);
    return h;
}
