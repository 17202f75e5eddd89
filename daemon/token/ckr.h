/*
 * ckr: PKCS#11's return values in words: a reason for the caller, a name for
 * whoever searches, what to do for a person, and what this process does about
 * it. One table.
 */
#ifndef SIGNET_TOKEN_CKR_H
#define SIGNET_TOKEN_CKR_H

#include "proto/err.h"

#include <p11-kit/pkcs11.h>
#include <stddef.h>

enum ckr_remedy {
    REMEDY_SAY,                    /* none: nothing that we could do changes it. A refused PIN: never tried again */
    REMEDY_SESSION,                /* another session; where that goes on failing, another process */
    REMEDY_LOGIN,                  /* log in again */
    REMEDY_PROCESS,                /* this one is of no use any more: the module is opened by another */
};

struct ckr {
    CK_RV rv;
    const char *name;              /* "CKR_PIN_INCORRECT" */
    enum err_reason reason;
    enum ckr_remedy remedy;
    const char *advice;            /* what it means and what to do */
};

/* Never NULL: a value that the table lacks gets the row of all others, without a name. */
const struct ckr *ckr_find(CK_RV rv);
const struct ckr *ckr_at(size_t i);          /* the table's rows in order; NULL past the end */

/* Sets `e`: "C_Sign: CKR_DEVICE_ERROR (0x30): …". Returns false. */
bool ckr_err(struct err *e, CK_RV rv, const char *call);

#endif
