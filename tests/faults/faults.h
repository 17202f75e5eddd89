/*
 * faults: what tests tell the wrapping PKCS#11 module to do wrong, through a
 * file of this layout that both map ($SIGNET_FAULTS_CONTROL). The module that
 * is wrapped: $SIGNET_FAULTS_MODULE. All numbers native; every process that
 * has the module loaded obeys, and counts.
 */
#ifndef SIGNET_TESTS_FAULTS_H
#define SIGNET_TESTS_FAULTS_H

#include <stdatomic.h>
#include <stdint.h>

enum fault_kind {
    FAULT_NONE,
    FAULT_DELAY,         /* value: milliseconds; then as usual */
    FAULT_RETURN,        /* value: the CK_RV, in place of the call */
    FAULT_FLIP,          /* C_Sign: the signature's last bit is another */
    FAULT_CUT,           /* C_Sign: the signature lacks its last byte */
    FAULT_STALE,         /* C_Sign: the signature of the call before; where there is none like it, FLIP */
    FAULT_OTHER_KEY,     /* C_SignInit: with another private key of the token */
    FAULT_HANG,
    FAULT_SEGV,
    FAULT_ABORT,
};

/* In this order in the file; functions not named pass. */
#define FAULT_FUNCTIONS(X) \
    X(C_Initialize) X(C_GetTokenInfo) X(C_OpenSession) X(C_Login) X(C_FindObjectsInit) X(C_FindObjects) \
    X(C_GetAttributeValue) X(C_SignInit) X(C_Sign) X(C_GenerateKeyPair) X(C_CreateObject) X(C_DestroyObject)

struct fault {
    _Atomic uint32_t kind;
    _Atomic uint32_t every;      /* each Nth call; 0 and 1: each */
    _Atomic uint64_t value;
    _Atomic uint64_t left;       /* how often it is still done */
    _Atomic uint64_t n_calls;    /* of the function, in all processes */
    _Atomic uint64_t n_done;     /* the fault */
};

#endif
