/*
 * Logins of several processes to one SoftHSM token collide: each rewrites the
 * token's file, and who looks meanwhile sees no token, no PIN, or a general
 * error; never a wrong PIN (token facts). Those are tried again with jitter.
 * A wrong PIN is tried once.
 */
#include "daemon/token/token_private.h"

#include <openssl/rand.h>
#include <string.h>
#include <time.h>

#define RETRY_MS 20u                          /* plus up to as much again */
#define COLLISION_MS 300u                     /* less than a caller's work may take */
#define SESSION_SIGNATURES 16384u             /* tpm2-pkcs11 fails for good at 65536 while any session is older */
#define SESSION_AGE_MS (60 * 60 * 1000)
#define SILENT_MS 5000u                       /* a software token that cannot be read for so long is lost */
#define MISSING_PATIENCE_MS 1000u             /* a token that is truly missing is reported after it */

static CK_RV open_session(struct token *t, CK_FLAGS flags, CK_SESSION_HANDLE *out)
{
    CK_RV rv = t->f->C_OpenSession(t->slot, CKF_SERIAL_SESSION | flags, NULL, NULL, out);

    if (rv != CKR_OK)
        *out = CK_INVALID_HANDLE;
    return rv;
}

static CK_RV login(struct token *t, CK_SESSION_HANDLE session, CK_USER_TYPE user)
{
    return t->f->C_Login(session, user, (CK_UTF8CHAR *)t->pin, (CK_ULONG)strlen(t->pin));
}

/* A token that may not be written still signs. */
static CK_RV open_anchor(struct token *t, CK_SESSION_HANDLE *out)
{
    CK_RV rv = open_session(t, CKF_RW_SESSION, out);

    return rv == CKR_TOKEN_WRITE_PROTECTED ? open_session(t, 0, out) : rv;
}

bool login_sessions(struct token *t, struct err *e)
{
    CK_RV rv = open_anchor(t, &t->anchor);

    t->n_signed = 0;
    t->opened_ms = 0;
    if (rv != CKR_OK)
        return token_refused(t, e, rv, "C_OpenSession");
    if (t->pin && (rv = login(t, t->anchor, CKU_USER)) != CKR_OK)
        return token_refused(t, e, rv, "C_Login");
    if ((rv = open_session(t, 0, &t->signing)) != CKR_OK)
        return token_refused(t, e, rv, "C_OpenSession");
    return true;
}

bool login_renew(struct token *t, struct err *e)
{
    if (!t->pin)
        return true;
    t->f->C_Logout(t->anchor);
    CK_RV rv = login(t, t->anchor, CKU_USER);
    return rv == CKR_OK || token_refused(t, e, rv, "C_Login");
}

/*
 * tpm2-pkcs11 gives a new object the handle of another once an object before
 * them was destroyed: only one that reads its store anew numbers them right.
 */
bool login_after_destroying(struct token *t, struct err *e)
{
    if (!t->info.tpm2_pkcs11)
        return true;
    module_stop(t);
    return (module_start(t, e) && login_sessions(t, e)) || token_lost(t, e);
}

bool login_for_key(struct token *t, struct err *e)
{
    if (!t->pin)
        return err_set(e, ERR_PIN_MISSING, "the key wants the PIN at each signature, and none is configured");
    CK_RV rv = login(t, t->signing, CKU_CONTEXT_SPECIFIC);
    return rv == CKR_OK || token_refused(t, e, rv, "C_Login for the key");
}

bool login_reopen_signing(struct token *t, struct err *e)
{
    if (t->signing != CK_INVALID_HANDLE)
        t->f->C_CloseSession(t->signing);
    t->armed_alg = NULL;
    CK_RV rv = open_session(t, 0, &t->signing);
    return rv == CKR_OK || token_refused(t, e, rv, "C_OpenSession");
}

static uint64_t mono_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void wait_a_little(void)
{
    uint8_t jitter = 0;

    RAND_bytes(&jitter, sizeof jitter);
    long ms = (long)RETRY_MS + jitter * (long)RETRY_MS / 255;
    nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

/*
 * While others log in, a software token cannot be read: for a moment, or for seconds where many begin together. That
 * is no loss; its sessions sign on.
 */
static bool token_answers(struct token *t, struct err *e)
{
    uint64_t began = mono_ms();

    while (!module_same_token(t, e)) {
        uint64_t now = mono_ms();
        if (t->silent_since_ms == 0)
            t->silent_since_ms = now;
        if (!t->info.software || now - t->silent_since_ms >= SILENT_MS)
            return token_lost(t, e);
        if (now - began >= COLLISION_MS)
            return false;
        wait_a_little();
    }
    t->silent_since_ms = 0;
    return true;
}

bool login_stands(struct token *t, struct err *e)
{
    CK_SESSION_INFO info;
    CK_RV rv = t->f->C_GetSessionInfo(t->anchor, &info);

    if (rv != CKR_OK) {
        token_refused(t, e, rv, "C_GetSessionInfo");
        return t->remedy == REMEDY_SESSION ? token_logged_out(t, e) : false;     /* it held the login */
    }
    if (t->pin && info.state != CKS_RW_USER_FUNCTIONS && info.state != CKS_RO_USER_FUNCTIONS) {
        err_set(e, ERR_TOKEN_UNREACHABLE, "the login to token '%s' is lost; it is opened anew", t->info.label);
        return token_logged_out(t, e);
    }
    return token_answers(t, e);
}

/* How long to go on trying after this refusal. */
static uint32_t patience_ms(const struct token *t, const struct err *why)
{
    if (!t->info.software)
        return 0;
    switch (why->reason) {
    case ERR_TOKEN_MISSING:
        return t->login_patience_ms < MISSING_PATIENCE_MS ? t->login_patience_ms : MISSING_PATIENCE_MS;
    case ERR_TOKEN_FAILED:        /* CKR_GENERAL_ERROR */
    case ERR_PIN_MISSING:         /* CKR_USER_PIN_NOT_INITIALIZED */
    case ERR_TOKEN_UNREACHABLE:   /* gone between two calls */
        return t->login_patience_ms;
    default:
        return 0;
    }
}

static bool start(struct token *t, const struct token_options *o, struct err *e)
{
    uint64_t began = mono_ms();

    for (;;) {
        struct err why = { 0 };
        bool there = module_start(t, &why);
        if (there && o->found)
            o->found(o->ctx, &t->info);
        if (there && login_sessions(t, &why)) {
            t->need = TOKEN_NEEDS_NOTHING;
            return true;
        }
        module_stop(t);
        if (mono_ms() - began >= patience_ms(t, &why)) {
            *e = why;
            return false;
        }
        wait_a_little();
    }
}

static void close_sessions(struct token *t)
{
    CK_SESSION_HANDLE *each[] = { &t->anchor, &t->signing };

    for (size_t i = 0; i < ARRAY_LEN(each); i++) {
        if (*each[i] != CK_INVALID_HANDLE)
            t->f->C_CloseSession(*each[i]);
        *each[i] = CK_INVALID_HANDLE;
    }
    t->armed_alg = NULL;
}

bool token_login_again(struct token *t, struct err *e)
{
    uint64_t began = mono_ms();
    struct err why = { 0 };

    for (;;) {
        close_sessions(t);
        t->need = TOKEN_NEEDS_NOTHING;
        if (login_sessions(t, &why))
            return true;
        if (mono_ms() - began >= patience_ms(t, &why))
            break;
        wait_a_little();
    }
    *e = why;
    return false;
}

/* The login is the process's: it outlives the old ones, as long as there is a new one before. */
static void swap_sessions(struct token *t)
{
    CK_SESSION_HANDLE old[] = { t->signing, t->anchor }, anchor, signing;

    if (open_anchor(t, &anchor) != CKR_OK)
        return;
    if (open_session(t, 0, &signing) != CKR_OK) {
        t->f->C_CloseSession(anchor);
        return;
    }
    t->anchor = anchor;
    t->signing = signing;
    t->armed_alg = NULL;
    for (size_t i = 0; i < ARRAY_LEN(old); i++)
        if (old[i] != CK_INVALID_HANDLE)
            t->f->C_CloseSession(old[i]);
}

void token_tend(struct token *t, int64_t now_ms)
{
    struct err why;

    if (t->opened_ms == 0)
        t->opened_ms = now_ms;
    if (t->n_signed < SESSION_SIGNATURES && now_ms - t->opened_ms < SESSION_AGE_MS)
        return;
    t->n_signed = 0;
    t->opened_ms = now_ms;
    if (!t->info.tpm2_pkcs11) {
        swap_sessions(t);
        return;
    }
    /* Its login has sessions of its own in the TPM. */
    err_set(&why, ERR_TOKEN_UNREACHABLE, "the sessions with token '%s' are old, or have signed much", t->info.label);
    token_logged_out(t, &why);
}

struct token *token_open(const struct token_options *o, struct err *e)
{
    CLEANUP(token_freep) struct token *t = calloc(1, sizeof *t);

    if (t) {
        t->module = strdup(o->module);
        t->uri = strdup(o->uri);
        t->pin = o->pin;
        t->login_patience_ms = o->login_patience_ms;
    }
    if (!t || !t->module || !t->uri) {
        err_set(e, ERR_NO_MEMORY, "no memory for a token");
        return NULL;
    }
    if (!module_load(t, e) || !start(t, o, e))
        return NULL;
    mechanisms_ask(t);
    return TAKE(t);
}

void token_free(struct token *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_held; i++)
        free(t->held[i].k.spki);
    free(t->held);
    module_stop(t);
    module_unload(t);
    free(t->module);
    free(t->uri);
    free(t);
}
