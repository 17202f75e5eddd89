/* The token's objects, read: nothing of what they mean. */
#include "daemon/token/token_private.h"

#include "proto/wire.h"

#include <string.h>

#define FIND_BATCH 256u
#define MAX_OBJECTS 65536u                    /* anybody may put public objects on a SoftHSM token: read, not kept */
#define MAX_KEPT 4096u                        /* private objects: ours */
#define MAX_FOREIGN 256u                      /* public ones: enough to show */

#define NONE ((CK_ULONG)-1)

/*
 * Reads what there is of `attrs`; a missing one gets the length 0. CKR_OK, or what went wrong with the object. Some
 * modules (tpm2-pkcs11) take away the pointers of those that they do not have.
 */
static CK_RV read_attributes(struct token *t, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *attrs, CK_ULONG n)
{
    CK_ATTRIBUTE asked[16];

    memcpy(asked, attrs, n * sizeof *attrs);
    CK_RV all = t->f->C_GetAttributeValue(t->anchor, o, attrs, n);
    for (CK_ULONG i = 0; i < n; i++) {
        CK_RV rv = all;
        if (all != CKR_OK) {             /* one is missing: some modules then fill none */
            attrs[i] = asked[i];
            rv = t->f->C_GetAttributeValue(t->anchor, o, &attrs[i], 1);
        }
        if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_BUFFER_TOO_SMALL)
            attrs[i].ulValueLen = 0;
        else if (rv != CKR_OK)
            return rv;
        if (attrs[i].ulValueLen == NONE || attrs[i].ulValueLen > asked[i].ulValueLen)
            attrs[i].ulValueLen = 0;
        attrs[i].pValue = asked[i].pValue;
    }
    return CKR_OK;
}

static CK_RV read_common(struct token *t, struct object *o)
{
    CK_ATTRIBUTE attrs[] = {
        { CKA_LABEL, o->label, TOKEN_MAX_LABEL }, { CKA_PRIVATE, &o->is_private, sizeof o->is_private },
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
        return token_refused(t, e, rv, "C_FindObjectsInit");
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
        return token_refused(t, e, rv, "C_FindObjects");
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
            return token_refused(t, e, rv, "C_GetAttributeValue");
        else if (!keep(f, &o, e))
            return false;
    }
    return true;
}

bool find_everything(struct token *t, struct found *f, size_t *vanished, struct err *e)
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
