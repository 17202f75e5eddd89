/*
 * faults: what tests tell the wrapping PKCS#11 module to do wrong, through a
 * file of this layout that both map ($SIGNET_FAULTS_CONTROL). The module that
 * is wrapped: $SIGNET_FAULTS_MODULE. All numbers native; every process that
 * has the module loaded obeys, and counts.
 *
 * tests/system/faults.py reads the names of this file, so that each stands
 * once.
 *
 * The real C_Login runs under a shared flock of the control file: who holds an
 * exclusive one knows that nobody is inside it. SoftHSM's token does not
 * survive a kill there, so none of the module's own falls there either.
 */
#ifndef SIGNET_TESTS_FAULTS_H
#define SIGNET_TESTS_FAULTS_H

#include <stdatomic.h>
#include <stdint.h>

enum fault_kind {
    FAULT_NONE,
    FAULT_DELAY,         /* value: milliseconds; then as usual */
    FAULT_RETURN,        /* value: the CK_RV, in place of the call */
    FAULT_FLIP,          /* C_Sign: the signature's last bit is another; C_Verify: the verdict is */
    FAULT_CUT,           /* C_Sign: the signature lacks its last byte */
    FAULT_STALE,         /* C_Sign: the signature of the call before; where there is none like it, FLIP */
    FAULT_DER,           /* C_Sign: an ECDSA signature as ASN.1 has it */
    FAULT_AT_RANDOM,     /* C_Sign: one of `value` is wrong, in one of these ways */
    FAULT_OTHER_KEY,     /* C_SignInit: with another private key of the token */
    FAULT_TURN,          /* C_SignInit: after a reconnect handles of before mean other keys, until they are found anew */
    FAULT_DROP,          /* every session of this process is closed before the call, and the login with it */
    FAULT_LOGOUT,        /* this process is logged out before the call, and its sessions stay */
    FAULT_LEAK,          /* value: bytes that the call takes and never gives back; then as usual */
    FAULT_USED_UP,       /* C_Sign: CKR_GENERAL_ERROR while a session of this process is older than `value` signatures of
                            all processes (tpm2-pkcs11 #843) */
    FAULT_HANG,
    FAULT_SEGV,
    FAULT_ABORT,
    FAULT_KILL_BEFORE,   /* SIGKILL for the whole process group: the daemon, where it leads its session */
    FAULT_KILL_AFTER,
};

/* In this order in the file, reading ones first; functions not named pass. */
#define FAULT_READING(X) \
    X(C_Initialize) X(C_Finalize) X(C_GetInfo) X(C_GetSlotList) X(C_GetSlotInfo) X(C_GetTokenInfo) \
    X(C_GetMechanismList) X(C_GetMechanismInfo) X(C_OpenSession) X(C_CloseSession) X(C_GetSessionInfo) X(C_Login) \
    X(C_Logout) X(C_FindObjectsInit) X(C_FindObjects) X(C_FindObjectsFinal) X(C_GetAttributeValue) X(C_SignInit) \
    X(C_Sign) X(C_VerifyInit) X(C_Verify)
#define FAULT_CHANGING(X) \
    X(C_GenerateKeyPair) X(C_GenerateKey) X(C_CreateObject) X(C_DestroyObject) X(C_SetAttributeValue)
#define FAULT_FUNCTIONS(X) FAULT_READING(X) FAULT_CHANGING(X)

/* One sequence of the calls of all processes, while it is armed: ALL but C_Login, which no kill may meet. */
enum fault_armed { FAULT_DISARMED, FAULT_ALL, FAULT_CHANGES /* only those that change the token */, FAULT_LOGIN_TOO };
#define FAULT_REMEMBERED 1024u

struct fault_sequence {
    _Atomic uint32_t armed;
    _Atomic uint32_t kind;       /* what is done at the call of the number `at`, counted from 1 */
    _Atomic uint64_t at;
    _Atomic uint64_t n_calls;
    _Atomic uint64_t n_done;
    _Atomic uint32_t called[FAULT_REMEMBERED];     /* the nth call's function, by its place above, at n % FAULT_REMEMBERED */
};

struct fault {
    _Atomic uint32_t kind;
    _Atomic uint32_t every;      /* each Nth call; 0 and 1: each */
    _Atomic uint64_t value;
    _Atomic uint64_t left;       /* how often it is still done */
    _Atomic uint64_t shortest;   /* C_Sign, C_Verify: only to inputs of so many bytes or more */
    _Atomic uint64_t n_calls;    /* of the function, in all processes */
    _Atomic uint64_t n_done;     /* the fault */
};

enum fault_function {
#define X(name) FAULT_OF_##name,
    FAULT_FUNCTIONS(X)
#undef X
    N_FAULT_FUNCTIONS
};

#define X(name) + 1
enum { N_FAULT_READING = 0 FAULT_READING(X) };
#undef X

struct faults {
    _Atomic uint32_t absent;     /* the token is: no slot has one, no session is known, not even when it is back */
    _Atomic uint32_t n_absences;
    _Atomic uint64_t oldest_session;     /* C_Sign's count when the oldest was opened that is open, in the process that last
                                            opened or closed one */
    struct fault_sequence sequence;
    struct fault of[N_FAULT_FUNCTIONS];
};

#endif
