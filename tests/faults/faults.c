#include "tests/faults/faults.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct faults *control;
static int control_fd = -1;              /* for its lock */
static CK_FUNCTION_LIST *real, ours;
static uint8_t last_signature[4096];
static CK_ULONG last_len;
static uint32_t absences_seen;
static bool turned;                      /* handles found before mean others */
/* session 0: none; opened_at: C_Sign's count then */
static struct { CK_SESSION_HANDLE session; CK_SLOT_ID slot; uint64_t opened_at; } open_sessions[16];

static void sleep_ms(uint64_t ms)
{
    nanosleep(&(struct timespec){ (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 }, NULL);
}

/* Nothing of the daemon runs on: not the supervisor, which would replace us, nor another that knows what we did. */
static _Noreturn void kill_all(void)
{
    flock(control_fd, LOCK_EX);          /* nobody is inside C_Login */
    kill(0, SIGKILL);
    for (;;)
        pause();
}

static uint64_t dice(void)
{
    uint64_t n = 0;

    return getrandom(&n, sizeof n, 0) == sizeof n ? n : 0;
}

/* What the sequence of all calls has at this one; it has its number from here. */
static enum fault_kind due_in_sequence(enum fault_function f)
{
    struct fault_sequence *s = &control->sequence;
    uint32_t armed = s->armed;

    if (armed == FAULT_DISARMED || (armed != FAULT_LOGIN_TOO && f == FAULT_OF_C_Login) ||
        (armed == FAULT_CHANGES && (unsigned)f < (unsigned)N_FAULT_READING))
        return FAULT_NONE;
    uint64_t n = atomic_fetch_add(&s->n_calls, 1) + 1;
    s->called[n % FAULT_REMEMBERED] = f;
    if (n != s->at)
        return FAULT_NONE;
    s->n_done++;
    return (enum fault_kind)s->kind;
}

/* What is wrong with this call, of an input of so many bytes; FAULT_NONE mostly. */
static enum fault_kind due_for(enum fault_function f, uint64_t len)
{
    struct fault *c = &control->of[f];
    enum fault_kind in_sequence = due_in_sequence(f);
    uint64_t n = atomic_fetch_add(&c->n_calls, 1) + 1;
    uint32_t kind = c->kind, every = c->every;

    if (in_sequence != FAULT_NONE)
        return in_sequence;
    if (kind == FAULT_NONE || kind == FAULT_USED_UP || len < c->shortest || (every > 1 && n % every != 0) ||
        (kind == FAULT_AT_RANDOM && dice() % c->value != 0))
        return FAULT_NONE;
    for (uint64_t left = c->left; left > 0;)
        if (atomic_compare_exchange_weak(&c->left, &left, left - 1)) {
            c->n_done++;
            return (enum fault_kind)kind;
        }
    return FAULT_NONE;
}

static enum fault_kind due(enum fault_function f)
{
    return due_for(f, UINT64_MAX);
}

/* --- sessions ----------------------------------------------------------------------------- */

static uint64_t oldest_opened_at(void)
{
    uint64_t oldest = control->of[FAULT_OF_C_Sign].n_calls;

    for (size_t i = 0; i < sizeof open_sessions / sizeof *open_sessions; i++)
        if (open_sessions[i].session && open_sessions[i].opened_at < oldest)
            oldest = open_sessions[i].opened_at;
    return oldest;
}

static void remember_session(CK_SESSION_HANDLE s, CK_SLOT_ID slot)
{
    for (size_t i = 0; i < sizeof open_sessions / sizeof *open_sessions; i++)
        if (open_sessions[i].session == 0) {
            open_sessions[i].session = s;
            open_sessions[i].slot = slot;
            open_sessions[i].opened_at = control->of[FAULT_OF_C_Sign].n_calls;
            break;
        }
    control->oldest_session = oldest_opened_at();
}

static void forget_sessions(CK_SESSION_HANDLE s, bool all)
{
    for (size_t i = 0; i < sizeof open_sessions / sizeof *open_sessions; i++)
        if (all || open_sessions[i].session == s)
            open_sessions[i].session = 0;
    control->oldest_session = oldest_opened_at();
}

static void drop_sessions(void)
{
    for (size_t i = 0; i < sizeof open_sessions / sizeof *open_sessions; i++)
        if (open_sessions[i].session)
            real->C_CloseAllSessions(open_sessions[i].slot);
    forget_sessions(0, true);
}

static void log_out(void)
{
    for (size_t i = 0; i < sizeof open_sessions / sizeof *open_sessions; i++)
        if (open_sessions[i].session)
            real->C_Logout(open_sessions[i].session);
}

static bool is_used_up(void)
{
    const struct fault *c = &control->of[FAULT_OF_C_Sign];

    if (c->kind != FAULT_USED_UP || c->n_calls - oldest_opened_at() <= c->value)
        return false;
    control->of[FAULT_OF_C_Sign].n_done++;
    return true;
}

/* True: *out_rv is what it says of itself. */
static bool is_absent(enum fault_function f, CK_RV *out_rv)
{
    if (absences_seen != control->n_absences) {
        absences_seen = control->n_absences;
        drop_sessions();
    }
    if (!control->absent || f <= FAULT_OF_C_GetInfo)
        return false;
    *out_rv = f == FAULT_OF_C_GetTokenInfo || f == FAULT_OF_C_OpenSession ? CKR_TOKEN_NOT_PRESENT : CKR_DEVICE_REMOVED;
    return true;
}

/* Written, so that it is there. */
static void leak(uint64_t bytes)
{
    uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p != MAP_FAILED)
        memset(p, 1, bytes);
}

/* Does what can be done before the call. True: *out_rv is all there is to it. */
static bool before(enum fault_function f, enum fault_kind kind, CK_RV *out_rv)
{
    if (is_absent(f, out_rv))
        return true;
    switch (kind) {
    case FAULT_DROP:   drop_sessions(); return false;
    case FAULT_LOGOUT: log_out(); return false;
    case FAULT_LEAK:   leak(control->of[f].value); return false;
    case FAULT_TURN:   turned = true; return false;
    case FAULT_DELAY:  sleep_ms(control->of[f].value); return false;
    case FAULT_RETURN: *out_rv = (CK_RV)control->of[f].value; return true;
    case FAULT_HANG:
        for (;;)
            pause();
    case FAULT_SEGV:
        raise(SIGSEGV);
        _exit(139);
    case FAULT_ABORT:  abort();
    case FAULT_KILL_BEFORE: kill_all();
    default:           return false;
    }
}

static CK_RV after(enum fault_kind kind, CK_RV rv)
{
    if (kind == FAULT_KILL_AFTER)
        kill_all();
    return rv;
}

#define WRAP(name, params, args) \
    static CK_RV name##_ params \
    { \
        enum fault_kind kind = due(FAULT_OF_##name); \
        CK_RV rv; \
        return before(FAULT_OF_##name, kind, &rv) ? rv : after(kind, real->name args); \
    }

WRAP(C_Initialize, (CK_VOID_PTR init), (init))
WRAP(C_GetInfo, (CK_INFO_PTR i), (i))
WRAP(C_GetSlotInfo, (CK_SLOT_ID s, CK_SLOT_INFO_PTR i), (s, i))
WRAP(C_GetTokenInfo, (CK_SLOT_ID s, CK_TOKEN_INFO_PTR i), (s, i))
WRAP(C_GetMechanismList, (CK_SLOT_ID s, CK_MECHANISM_TYPE_PTR m, CK_ULONG_PTR n), (s, m, n))
WRAP(C_GetMechanismInfo, (CK_SLOT_ID s, CK_MECHANISM_TYPE m, CK_MECHANISM_INFO_PTR i), (s, m, i))
WRAP(C_GetSessionInfo, (CK_SESSION_HANDLE s, CK_SESSION_INFO_PTR i), (s, i))
WRAP(C_Logout, (CK_SESSION_HANDLE s), (s))
WRAP(C_FindObjects, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE_PTR o, CK_ULONG m, CK_ULONG_PTR n), (s, o, m, n))
WRAP(C_FindObjectsFinal, (CK_SESSION_HANDLE s), (s))
WRAP(C_GetAttributeValue, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t, CK_ULONG n), (s, o, t, n))
WRAP(C_VerifyInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (s, m, k))
WRAP(C_GenerateKeyPair, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR a, CK_ULONG na, CK_ATTRIBUTE_PTR b,
                         CK_ULONG nb, CK_OBJECT_HANDLE_PTR pub, CK_OBJECT_HANDLE_PTR priv), (s, m, a, na, b, nb, pub, priv))
WRAP(C_GenerateKey, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR o),
     (s, m, t, n, o))
WRAP(C_CreateObject, (CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR o), (s, t, n, o))
WRAP(C_DestroyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o), (s, o))
WRAP(C_SetAttributeValue, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t, CK_ULONG n), (s, o, t, n))

static CK_RV C_Finalize_(CK_VOID_PTR reserved)
{
    enum fault_kind kind = due(FAULT_OF_C_Finalize);
    CK_RV rv;

    if (before(FAULT_OF_C_Finalize, kind, &rv))
        return rv;
    forget_sessions(0, true);
    return after(kind, real->C_Finalize(reserved));
}

static CK_RV C_GetSlotList_(CK_BBOOL present, CK_SLOT_ID_PTR s, CK_ULONG_PTR n)
{
    enum fault_kind kind = due(FAULT_OF_C_GetSlotList);
    CK_RV rv;

    if (before(FAULT_OF_C_GetSlotList, kind, &rv)) {
        *n = 0;
        return control->absent ? CKR_OK : rv;
    }
    return after(kind, real->C_GetSlotList(present, s, n));
}

static CK_RV C_OpenSession_(CK_SLOT_ID slot, CK_FLAGS f, CK_VOID_PTR a, CK_NOTIFY n, CK_SESSION_HANDLE_PTR h)
{
    enum fault_kind kind = due(FAULT_OF_C_OpenSession);
    CK_RV rv;

    if (before(FAULT_OF_C_OpenSession, kind, &rv))
        return rv;
    rv = real->C_OpenSession(slot, f, a, n, h);
    if (rv == CKR_OK)
        remember_session(*h, slot);
    return after(kind, rv);
}

static CK_RV C_CloseSession_(CK_SESSION_HANDLE s)
{
    enum fault_kind kind = due(FAULT_OF_C_CloseSession);
    CK_RV rv;

    if (before(FAULT_OF_C_CloseSession, kind, &rv))
        return rv;
    forget_sessions(s, false);
    return after(kind, real->C_CloseSession(s));
}

static CK_RV C_FindObjectsInit_(CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR t, CK_ULONG n)
{
    enum fault_kind kind = due(FAULT_OF_C_FindObjectsInit);
    CK_RV rv;

    if (before(FAULT_OF_C_FindObjectsInit, kind, &rv))
        return rv;
    turned = false;
    return after(kind, real->C_FindObjectsInit(s, t, n));
}

static CK_RV C_Login_(CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG len)
{
    enum fault_kind kind = due(FAULT_OF_C_Login);
    CK_RV rv;

    if (kind == FAULT_KILL_BEFORE || kind == FAULT_KILL_AFTER)
        kind = FAULT_NONE;
    if (before(FAULT_OF_C_Login, kind, &rv))
        return rv;
    flock(control_fd, LOCK_SH);
    rv = real->C_Login(s, user, pin, len);
    flock(control_fd, LOCK_UN);
    return rv;
}

/* A private key of the token that is not this one. */
static CK_OBJECT_HANDLE another(CK_SESSION_HANDLE near, CK_OBJECT_HANDLE key)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_KEY_TYPE type = CKK_EC;
    CK_ATTRIBUTE t[] = { { CKA_CLASS, &class, sizeof class }, { CKA_KEY_TYPE, &type, sizeof type } };
    CK_OBJECT_HANDLE found[16];
    CK_SESSION_INFO info;
    CK_SESSION_HANDLE s;
    CK_ULONG n = 0;

    if (real->C_GetSessionInfo(near, &info) != CKR_OK ||
        real->C_OpenSession(info.slotID, CKF_SERIAL_SESSION, NULL, NULL, &s) != CKR_OK)
        return key;
    if (real->C_FindObjectsInit(s, t, 2) == CKR_OK)
        real->C_FindObjects(s, found, 16, &n);
    real->C_CloseSession(s);
    for (CK_ULONG i = 0; i < n; i++)
        if (found[i] != key)
            return found[i];
    return key;
}

static CK_RV C_SignInit_(CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
    enum fault_kind kind = due(FAULT_OF_C_SignInit);
    CK_RV rv;

    if (before(FAULT_OF_C_SignInit, kind, &rv))
        return rv;
    if (is_used_up())
        return CKR_GENERAL_ERROR;
    return after(kind, real->C_SignInit(s, m, kind == FAULT_OTHER_KEY || turned ? another(s, key) : key));
}

/* --- wrong signatures -------------------------------------------------------------------------- */

/* An ASN.1 INTEGER of these bytes; its length. */
static size_t der_integer(uint8_t *out, const uint8_t *n, size_t len)
{
    while (len > 1 && *n == 0) {
        n++;
        len--;
    }
    size_t pad = *n >> 7;
    out[0] = 2;
    out[1] = (uint8_t)(len + pad);
    out[2] = 0;
    memcpy(out + 2 + pad, n, len);
    return 2 + pad + len;
}

static void to_der(uint8_t *signature, CK_ULONG *len)
{
    uint8_t der[256] = { 0x30 };
    size_t half = *len / 2, n = 2;

    if (half > 48)                       /* its length has one byte */
        return;
    n += der_integer(der + n, signature, half);
    n += der_integer(der + n, signature + half, half);
    der[1] = (uint8_t)(n - 2);
    memcpy(signature, der, n);
    *len = n;
}

static enum fault_kind one_at_random(void)
{
    static const enum fault_kind kinds[] = { FAULT_FLIP, FAULT_CUT, FAULT_STALE, FAULT_DER };

    return kinds[dice() % (sizeof kinds / sizeof *kinds)];
}

static bool make_stale(uint8_t *out, CK_ULONG len)
{
    uint8_t now[sizeof last_signature];
    bool there = last_len == len;

    memcpy(now, out, len);
    if (there)
        memcpy(out, last_signature, len);
    memcpy(last_signature, now, len);
    last_len = len;
    return there;
}

static CK_RV C_Sign_(CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    enum fault_kind kind = due_for(FAULT_OF_C_Sign, len);
    CK_RV rv;

    if (before(FAULT_OF_C_Sign, kind, &rv))
        return rv;
    if (kind == FAULT_AT_RANDOM)
        kind = one_at_random();
    rv = is_used_up() ? CKR_GENERAL_ERROR : after(kind, real->C_Sign(s, in, len, out, out_len));
    if (rv != CKR_OK || *out_len == 0 || *out_len > sizeof last_signature)
        return rv;
    if (kind == FAULT_STALE && make_stale(out, *out_len))
        return rv;
    memcpy(last_signature, out, *out_len);
    last_len = *out_len;
    if (kind == FAULT_FLIP || kind == FAULT_STALE)
        out[*out_len - 1] ^= 1;
    if (kind == FAULT_DER)
        to_der(out, out_len);
    if (kind == FAULT_CUT)
        --*out_len;
    return rv;
}

static CK_RV C_Verify_(CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG len, CK_BYTE_PTR signature, CK_ULONG signature_len)
{
    enum fault_kind kind = due_for(FAULT_OF_C_Verify, len);
    CK_RV rv;

    if (before(FAULT_OF_C_Verify, kind, &rv))
        return rv;
    rv = after(kind, real->C_Verify(s, in, len, signature, signature_len));
    if (kind == FAULT_FLIP && (rv == CKR_OK || rv == CKR_SIGNATURE_INVALID))
        return rv == CKR_OK ? CKR_SIGNATURE_INVALID : CKR_OK;
    return rv;
}

/* False too where the file's layout is another than ours. */
static bool map_control(void)
{
    const char *path = getenv("SIGNET_FAULTS_CONTROL");
    struct stat st;

    if (control)
        return true;
    control_fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (control_fd < 0 || fstat(control_fd, &st) != 0 || st.st_size != sizeof *control)
        return false;
    void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, control_fd, 0);
    control = at == MAP_FAILED ? NULL : at;
    return control;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    const char *path = getenv("SIGNET_FAULTS_MODULE");
    void *module = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    CK_C_GetFunctionList get = module ? (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList") : NULL;

    if (!get || get(&real) != CKR_OK || !map_control())
        return CKR_GENERAL_ERROR;
    ours = *real;
#define X(name) ours.name = name##_;
    FAULT_FUNCTIONS(X)
#undef X
    *list = &ours;
    return CKR_OK;
}
