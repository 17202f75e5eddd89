/* Facts: CKO_DATA objects whose label is all that they say. */
#include "daemon/token/token_private.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_TRIAL 48u

/* Of no ring, and of this process alone: daemons that try beside it must not take it away. */
static bool name_trial(char out[MAX_TRIAL], struct err *e)
{
    uint64_t dice;

    if (RAND_bytes((uint8_t *)&dice, sizeof dice) != 1)
        return err_set(e, ERR_INTERNAL, "OpenSSL has no random bytes");
    snprintf(out, MAX_TRIAL, "%s%016llx", TOKEN_TRIAL, (unsigned long long)dice);
    return true;
}

void token_settle(const struct token *t)
{
    if (t->info.software)
        sync();
}

static CK_RV create(struct token *t, const char *label)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_BBOOL yes = CK_TRUE;
    CK_OBJECT_HANDLE made;
    CK_ATTRIBUTE template[] = {
        { CKA_CLASS, &class, sizeof class }, { CKA_TOKEN, &yes, sizeof yes }, { CKA_PRIVATE, &yes, sizeof yes },
        { CKA_LABEL, (void *)(uintptr_t)label, strlen(label) }, { CKA_APPLICATION, "signet", 6 },
        { CKA_VALUE, "1", 1 },                   /* tpm2-pkcs11 wants it not empty */
    };

    return t->f->C_CreateObject(t->anchor, template, ARRAY_LEN(template), &made);
}

static bool is_private(struct token *t, CK_OBJECT_HANDLE o)
{
    CK_BBOOL private = CK_FALSE;
    CK_ATTRIBUTE a = { CKA_PRIVATE, &private, sizeof private };

    return t->f->C_GetAttributeValue(t->anchor, o, &a, 1) == CKR_OK && a.ulValueLen == sizeof private && private;
}

/* Anyone may have made a public one of the same label: that is no fact. */
static bool find_facts(struct token *t, const char *label, CK_OBJECT_HANDLE **out, size_t *out_n, struct err *e)
{
    size_t n = 0;

    if (!find_handles(t, CKO_DATA, label, out, out_n, e))
        return false;
    for (size_t i = 0; i < *out_n; i++)
        if (is_private(t, (*out)[i]))
            (*out)[n++] = (*out)[i];
    *out_n = n;
    return true;
}

bool token_write_fact(struct token *t, const char *label, struct err *e)
{
    CLEANUP(freep) CK_OBJECT_HANDLE *there = NULL;
    size_t n = 0;

    if (!token_relist(t, e) || !find_facts(t, label, &there, &n, e))
        return false;
    CK_RV rv = n ? CKR_OK : create(t, label);
    if (rv != CKR_OK)
        return token_refused(t, e, rv, "C_CreateObject of a fact");
    token_settle(t);
    return true;
}

static CK_RV destroy_all(struct token *t, const CK_OBJECT_HANDLE *o, size_t n)
{
    CK_RV worst = CKR_OK;

    for (size_t i = 0; i < n; i++) {
        CK_RV rv = t->f->C_DestroyObject(t->anchor, o[i]);
        if (rv != CKR_OK && rv != CKR_OBJECT_HANDLE_INVALID)     /* another daemon was first */
            worst = rv;
    }
    return worst;
}

bool token_forget_fact(struct token *t, const char *label, struct err *e)
{
    CLEANUP(freep) CK_OBJECT_HANDLE *there = NULL;
    size_t n = 0;

    if (!find_facts(t, label, &there, &n, e))
        return false;
    CK_RV rv = destroy_all(t, there, n);
    if (rv != CKR_OK)
        return token_refused(t, e, rv, "C_DestroyObject of a fact");
    return n == 0 || (login_after_destroying(t, e) && token_relist(t, e));
}

bool token_try_powers(struct token *t, struct token_powers *out, struct err *why, struct err *e)
{
    CLEANUP(freep) CK_OBJECT_HANDLE *there = NULL;
    char trial[MAX_TRIAL];
    size_t n = 0;

    if (!name_trial(trial, e))
        return false;
    CK_RV rv = create(t, trial);
    if (rv != CKR_OK)
        token_refused(t, why, rv, "C_CreateObject of a fact");
    if (rv != CKR_OK && err_code(why->reason) == CODE_UNAVAILABLE) {
        *e = *why;
        return false;
    }
    if (!find_facts(t, trial, &there, &n, e))
        return false;
    *out = (struct token_powers){ .keeps_facts = rv == CKR_OK && n > 0, .destroys = true };
    if (rv == CKR_OK && n == 0)
        err_set(why, ERR_TOKEN_FAILED, "the token takes a fact and does not list it");
    rv = destroy_all(t, there, n);
    if (rv == CKR_OK)
        return n == 0 || (login_after_destroying(t, e) && token_relist(t, e));
    out->destroys = false;
    return !token_refused(t, why, rv, "C_DestroyObject of a fact");
}
