/*
 * A listing is built beside the one that holds and replaces it only when every
 * call succeeded and the login stood before and after: after a lost login
 * C_FindObjects says CKR_OK and gives the public objects only.
 */
#include "daemon/token/token_private.h"

#include "proto/wire.h"

#include <openssl/evp.h>
#include <string.h>

#define FIND_BATCH 256u
#define MAX_OBJECTS 65536u                    /* anybody may put public objects on a SoftHSM token: read, not kept */
#define MAX_KEPT 4096u                        /* private objects: ours */
#define MAX_FOREIGN 256u                      /* public ones: enough to show */
#define MAX_LABEL 255u
#define MAX_POINT 192u

/* One object as read; `vanished`: destroyed by somebody between finding and reading. */
struct object {
    CK_OBJECT_HANDLE handle;
    CK_OBJECT_CLASS class;
    CK_KEY_TYPE type;
    char label[MAX_LABEL + 1];
    uint8_t id[64], params[TOKEN_MAX_PARAMS], point[MAX_POINT], modulus[ALG_MAX_SIGNATURE], exponent[16];
    CK_ULONG label_len, id_len, params_len, point_len, modulus_len, exponent_len, value_len;
    CK_BBOOL is_private, sensitive, extractable, always_sensitive, never_extractable, local, always_authenticate;
    bool taken;                               /* the half of a pair already */
};

struct found { struct object *o; size_t n, cap, n_foreign; };

#define NONE ((CK_ULONG)-1)

/* Reads what there is of `attrs`; a missing one gets the length 0. CKR_OK, or what went wrong with the object. */
static CK_RV read_attributes(struct token *t, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *attrs, CK_ULONG n)
{
    CK_ULONG room[16];

    for (CK_ULONG i = 0; i < n; i++)
        room[i] = attrs[i].ulValueLen;
    CK_RV all = t->f->C_GetAttributeValue(t->anchor, o, attrs, n);
    for (CK_ULONG i = 0; i < n; i++) {
        CK_RV rv = all;
        if (all != CKR_OK) {             /* one is missing: some modules then fill none */
            attrs[i].ulValueLen = room[i];
            rv = t->f->C_GetAttributeValue(t->anchor, o, &attrs[i], 1);
        }
        if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_BUFFER_TOO_SMALL)
            attrs[i].ulValueLen = 0;
        else if (rv != CKR_OK)
            return rv;
        if (attrs[i].ulValueLen == NONE || attrs[i].ulValueLen > room[i])
            attrs[i].ulValueLen = 0;
    }
    return CKR_OK;
}

static CK_RV read_common(struct token *t, struct object *o)
{
    CK_ATTRIBUTE attrs[] = {
        { CKA_LABEL, o->label, MAX_LABEL }, { CKA_PRIVATE, &o->is_private, sizeof o->is_private },
        { CKA_ID, o->id, sizeof o->id }, { CKA_KEY_TYPE, &o->type, sizeof o->type },
    };
    bool key = o->class != CKO_DATA;
    CK_RV rv = read_attributes(t, o->handle, attrs, key ? ARRAY_LEN(attrs) : 2);

    if (rv != CKR_OK)
        return rv;
    o->label_len = attrs[0].ulValueLen;
    o->label[o->label_len] = '\0';
    if (strlen(o->label) != o->label_len || !wire_utf8((const uint8_t *)o->label, o->label_len))
        o->label[o->label_len = 0] = '\0';
    if (attrs[1].ulValueLen != sizeof o->is_private)
        o->is_private = CK_FALSE;
    if (key) {
        o->id_len = attrs[2].ulValueLen;
        if (attrs[3].ulValueLen != sizeof o->type)
            o->type = NONE;
    }
    return CKR_OK;
}

static CK_RV read_public_parts(struct token *t, struct object *o)
{
    CK_ATTRIBUTE curve[] = { { CKA_EC_PARAMS, o->params, sizeof o->params }, { CKA_EC_POINT, o->point, sizeof o->point } };
    CK_ATTRIBUTE rsa[] = { { CKA_MODULUS, o->modulus, sizeof o->modulus },
                           { CKA_PUBLIC_EXPONENT, o->exponent, sizeof o->exponent } };
    bool is_rsa = o->type == CKK_RSA;
    CK_RV rv = CKR_OK;

    if (is_rsa || o->type == CKK_EC || o->type == CKK_EC_EDWARDS)
        /* A private half has no point to give. */
        rv = read_attributes(t, o->handle, is_rsa ? rsa : curve, !is_rsa && o->class == CKO_PRIVATE_KEY ? 1 : 2);
    else
        return CKR_OK;
    if (is_rsa) {
        o->modulus_len = rsa[0].ulValueLen;
        o->exponent_len = rsa[1].ulValueLen;
    } else {
        o->params_len = curve[0].ulValueLen;
        o->point_len = o->class == CKO_PRIVATE_KEY ? 0 : curve[1].ulValueLen;
    }
    return rv;
}

static CK_RV read_custody(struct token *t, struct object *o)
{
    CK_ATTRIBUTE attrs[] = {
        { CKA_SENSITIVE, &o->sensitive, 1 }, { CKA_EXTRACTABLE, &o->extractable, 1 },
        { CKA_ALWAYS_SENSITIVE, &o->always_sensitive, 1 }, { CKA_NEVER_EXTRACTABLE, &o->never_extractable, 1 },
        { CKA_LOCAL, &o->local, 1 }, { CKA_ALWAYS_AUTHENTICATE, &o->always_authenticate, 1 },
    };
    bool secret = o->class == CKO_SECRET_KEY;
    CK_RV rv = read_attributes(t, o->handle, attrs, secret ? 5 : 6);

    if (rv != CKR_OK)
        return rv;
    /* What a token does not say is taken at its worst. */
    if (attrs[1].ulValueLen != 1)
        o->extractable = CK_TRUE;
    for (size_t i = 0; i < 6; i++)
        if (i != 1 && attrs[i].ulValueLen != 1)
            *(CK_BBOOL *)attrs[i].pValue = CK_FALSE;
    if (secret) {
        CK_ATTRIBUTE length = { CKA_VALUE_LEN, &o->value_len, sizeof o->value_len };
        o->always_authenticate = CK_FALSE;
        rv = read_attributes(t, o->handle, &length, 1);
        if (length.ulValueLen != sizeof o->value_len)
            o->value_len = 0;
    }
    return rv;
}

/* Of a half that is left alone it still tells whether the token made it. */
static CK_RV read_local(struct token *t, struct object *o)
{
    CK_ATTRIBUTE local = { CKA_LOCAL, &o->local, sizeof o->local };
    CK_RV rv = read_attributes(t, o->handle, &local, 1);

    if (local.ulValueLen != sizeof o->local)
        o->local = CK_FALSE;
    return rv;
}

static CK_RV read_object(struct token *t, struct object *o)
{
    CK_RV rv = read_common(t, o);

    if (rv == CKR_OK && (o->class == CKO_PRIVATE_KEY || o->class == CKO_PUBLIC_KEY))
        rv = read_public_parts(t, o);
    if (rv == CKR_OK && (o->class == CKO_PRIVATE_KEY || o->class == CKO_SECRET_KEY))
        rv = read_custody(t, o);
    if (rv == CKR_OK && o->class == CKO_PUBLIC_KEY)
        rv = read_local(t, o);
    return rv;
}

bool find_handles(struct token *t, CK_OBJECT_CLASS class, const char *label, CK_OBJECT_HANDLE **out, size_t *out_n,
                  struct err *e)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof class }, { CKA_TOKEN, &yes, sizeof yes },
                                { CKA_LABEL, (void *)(uintptr_t)label, label ? strlen(label) : 0 } };
    CK_ULONG got = 1, n_wanted = label ? 3 : 2;
    size_t n = 0;
    CK_RV rv = t->f->C_FindObjectsInit(t->anchor, template, n_wanted);

    if (rv == CKR_OPERATION_ACTIVE) {        /* a search that was broken off */
        t->f->C_FindObjectsFinal(t->anchor);
        rv = t->f->C_FindObjectsInit(t->anchor, template, n_wanted);
    }
    if (rv != CKR_OK)
        return ckr_err(e, rv, "C_FindObjectsInit");
    while (rv == CKR_OK && got > 0 && n < MAX_OBJECTS) {
        CK_OBJECT_HANDLE *more = realloc(*out, (n + FIND_BATCH) * sizeof **out);
        if (!more) {
            rv = CKR_HOST_MEMORY;
            break;
        }
        *out = more;
        rv = t->f->C_FindObjects(t->anchor, *out + n, FIND_BATCH, &got);
        if (got > FIND_BATCH)
            rv = CKR_GENERAL_ERROR;
        if (rv == CKR_OK)
            n += got;
    }
    t->f->C_FindObjectsFinal(t->anchor);
    if (rv != CKR_OK)
        return ckr_err(e, rv, "C_FindObjects");
    if (n >= MAX_OBJECTS)
        return err_set(e, ERR_TOKEN_FAILED, "token '%s' has more than %u objects of one class: clear it up",
                       t->info.label, MAX_OBJECTS);
    *out_n = n;
    return true;
}

static bool keep(struct found *f, const struct object *o, struct err *e)
{
    if (!o->is_private && f->n_foreign >= MAX_FOREIGN)
        return true;
    if (o->is_private && f->n - f->n_foreign >= MAX_KEPT)
        return err_set(e, ERR_TOKEN_FAILED, "the token has more than %u keys and facts: destroy old ones", MAX_KEPT);
    if (f->n == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 64;
        struct object *more = realloc(f->o, cap * sizeof *more);
        if (!more)
            return err_set(e, ERR_NO_MEMORY, "no memory for %zu objects", cap);
        f->o = more;
        f->cap = cap;
    }
    f->o[f->n++] = *o;
    f->n_foreign += !o->is_private;
    return true;
}

static bool find_class(struct token *t, CK_OBJECT_CLASS class, struct found *f, size_t *vanished, struct err *e)
{
    CLEANUP(freep) CK_OBJECT_HANDLE *handles = NULL;
    size_t n = 0;

    if (!find_handles(t, class, NULL, &handles, &n, e))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct object o = { .handle = handles[i], .class = class };
        CK_RV rv = read_object(t, &o);
        if (rv == CKR_OBJECT_HANDLE_INVALID)
            ++*vanished;
        else if (rv != CKR_OK)
            return ckr_err(e, rv, "C_GetAttributeValue");
        else if (!keep(f, &o, e))
            return false;
    }
    return true;
}

static bool find_everything(struct token *t, struct found *f, size_t *vanished, struct err *e)
{
    static const CK_OBJECT_CLASS classes[] = { CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY, CKO_DATA };

    *vanished = 0;
    f->n = f->n_foreign = 0;
    if (!login_stands(t, e))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(classes); i++)
        if (!find_class(t, classes[i], f, vanished, e))
            return false;
    return login_stands(t, e);
}

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

/* What was tried with a key stays tried. */
static void carry_over(const struct token *t, struct held *held, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < t->n_held; j++)
            if (held[i].k.id == t->held[j].k.id)
                held[i].tried = t->held[j].tried;
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
                     vanished);
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
