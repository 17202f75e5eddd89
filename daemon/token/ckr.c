#include "daemon/token/ckr.h"

#include "proto/cleanup.h"

#define GONE "the token no longer answers as it did; it is opened anew"
#define LOGIN_GONE "the login is lost; it is opened anew"
#define OUR_FAULT "signet asked for something that this token cannot do; please report it with the token's model"
#define OTHER "the token's own log says more; if it lasts, restart the token's service, then signetd"

/* Rows by number, as PKCS#11 lists them. */
static const struct ckr table[] = {
#define R(value, reason, remedy, advice) { value, #value, ERR_##reason, REMEDY_##remedy, advice }
    R(CKR_CANCEL, TOKEN_FAILED, SESSION, "the token cancelled the call; try again"),
    R(CKR_HOST_MEMORY, NO_MEMORY, PROCESS,
      "the module has no memory left; give the machine or the service's limit more"),
    R(CKR_SLOT_ID_INVALID, TOKEN_UNREACHABLE, PROCESS, "the token's slot is gone; plug it in or start its service"),
    R(CKR_GENERAL_ERROR, TOKEN_FAILED, SESSION, OTHER),
    R(CKR_FUNCTION_FAILED, TOKEN_FAILED, SESSION, OTHER),
    R(CKR_ARGUMENTS_BAD, TOKEN_FAILED, SAY, OUR_FAULT),
    R(CKR_NEED_TO_CREATE_THREADS, TOKEN_FAILED, SAY,
      "the module wants threads of its own, which signet does not give it"),
    R(CKR_CANT_LOCK, TOKEN_FAILED, SAY, "the module cannot lock; use another build of it"),
    R(CKR_ATTRIBUTE_READ_ONLY, TOKEN_FAILED, SAY, "the token forbids changing this attribute"),
    R(CKR_ATTRIBUTE_SENSITIVE, TOKEN_FAILED, SAY, "the token keeps this value to itself"),
    R(CKR_ATTRIBUTE_TYPE_INVALID, TOKEN_FAILED, SAY, "the token does not know an attribute that is needed"),
    R(CKR_ATTRIBUTE_VALUE_INVALID, TOKEN_FAILED, SAY, "the token does not accept an attribute's value"),
    R(CKR_ACTION_PROHIBITED, TOKEN_FAILED, SAY, "the token's policy forbids it; ask whoever runs the token"),
    R(CKR_DATA_INVALID, TOKEN_FAILED, SAY, OUR_FAULT),
    R(CKR_DATA_LEN_RANGE, TOKEN_FAILED, SAY, OUR_FAULT),
    R(CKR_DEVICE_ERROR, TOKEN_UNREACHABLE, PROCESS, "the device or the network to it failed; check both"),
    R(CKR_DEVICE_MEMORY, TOKEN_FAILED, SESSION, "the token is full; destroy keys that are no longer needed"),
    R(CKR_DEVICE_REMOVED, TOKEN_UNREACHABLE, PROCESS, "the token was removed; plug it in again"),
    R(CKR_FUNCTION_CANCELED, TOKEN_FAILED, SESSION, "the token cancelled the call; try again"),
    R(CKR_FUNCTION_NOT_SUPPORTED, MECHANISM_MISSING, SAY,
      "the module lacks this call; use another module or algorithm"),
    R(CKR_KEY_HANDLE_INVALID, KEY_HANDLE_INVALID, SAY, "the key is gone from the token, or was replaced"),
    R(CKR_KEY_SIZE_RANGE, KEY_UNUSABLE, SAY,
      "the token does not use keys of this size; take another size or algorithm"),
    /* No key of another type than its algorithm's is ever asked for: the handle means another key than when it was found. */
    R(CKR_KEY_TYPE_INCONSISTENT, KEY_HANDLE_INVALID, SAY, "the key is another now, of another type; it is found anew"),
    R(CKR_KEY_FUNCTION_NOT_PERMITTED, KEY_UNUSABLE, SAY, "the key may not sign (CKA_SIGN is false); make one that may"),
    R(CKR_KEY_UNEXTRACTABLE, TOKEN_FAILED, SAY, "the key cannot leave the token"),
    R(CKR_MECHANISM_INVALID, MECHANISM_MISSING, SAY, "the token cannot do this algorithm; take another for the ring"),
    R(CKR_MECHANISM_PARAM_INVALID, MECHANISM_MISSING, SAY, "the token cannot do this variant; take another algorithm"),
    R(CKR_OBJECT_HANDLE_INVALID, KEY_HANDLE_INVALID, SAY, "the key is gone from the token, or was replaced"),
    R(CKR_OPERATION_ACTIVE, TOKEN_FAILED, SESSION, "a call before has not ended; the session is opened anew"),
    R(CKR_OPERATION_NOT_INITIALIZED, TOKEN_FAILED, SESSION,
      "the token forgot what was begun; the session is opened anew"),
    R(CKR_PIN_INCORRECT, PIN_WRONG, SAY,
      "the PIN is wrong; it is not tried again until its source changes: correct it there"),
    R(CKR_PIN_INVALID, PIN_WRONG, SAY, "the PIN has letters that the token refuses; correct it at its source"),
    R(CKR_PIN_LEN_RANGE, PIN_WRONG, SAY, "the PIN is too short or too long for the token; correct it at its source"),
    R(CKR_PIN_EXPIRED, PIN_WRONG, SAY, "the PIN has expired; set a new one with the token's tool"),
    R(CKR_PIN_LOCKED, PIN_LOCKED, SAY, "the token locked itself after wrong PINs; unlock it with its own tool "
      "(on a TPM: tpm2_dictionarylockout --clear-lockout)"),
    R(CKR_SESSION_CLOSED, TOKEN_UNREACHABLE, SESSION, GONE),
    R(CKR_SESSION_COUNT, TOKEN_UNREACHABLE, PROCESS, "the token has no session left; close other programs that use it"),
    R(CKR_SESSION_HANDLE_INVALID, TOKEN_UNREACHABLE, SESSION, GONE),
    R(CKR_SESSION_PARALLEL_NOT_SUPPORTED, TOKEN_FAILED, SAY, OUR_FAULT),
    R(CKR_SESSION_READ_ONLY, TOKEN_FAILED, SAY, OUR_FAULT),
    R(CKR_SESSION_EXISTS, TOKEN_FAILED, SAY, OUR_FAULT),
    R(CKR_SESSION_READ_ONLY_EXISTS, TOKEN_FAILED, SAY, OUR_FAULT),
    R(CKR_SESSION_READ_WRITE_SO_EXISTS, TOKEN_FAILED, SAY, "the security officer is logged in; end that session"),
    R(CKR_SIGNATURE_INVALID, SIGNATURE_WRONG, SAY,
      "the token says that a signature of its own is wrong; do not trust it"),
    R(CKR_SIGNATURE_LEN_RANGE, SIGNATURE_WRONG, SAY, "the token made a signature of a wrong length; do not trust it"),
    R(CKR_TEMPLATE_INCOMPLETE, TOKEN_FAILED, SAY, OUR_FAULT),
    R(CKR_TEMPLATE_INCONSISTENT, TOKEN_FAILED, SAY, OUR_FAULT),
    R(CKR_TOKEN_NOT_PRESENT, TOKEN_UNREACHABLE, PROCESS, "the token is not there; plug it in or start its service"),
    R(CKR_TOKEN_NOT_RECOGNIZED, TOKEN_UNREACHABLE, PROCESS,
      "the module does not know this token; check which module it needs"),
    R(CKR_TOKEN_WRITE_PROTECTED, TOKEN_FAILED, SAY,
      "the token is read-only; make keys with its own tool and name them by uri"),
    R(CKR_USER_ALREADY_LOGGED_IN, TOKEN_FAILED, SAY, "somebody is logged in already in this process"),
    R(CKR_USER_NOT_LOGGED_IN, TOKEN_UNREACHABLE, LOGIN, LOGIN_GONE),
    R(CKR_USER_PIN_NOT_INITIALIZED, PIN_MISSING, SAY, "the token has no user PIN yet; set one with its own tool"),
    R(CKR_USER_TYPE_INVALID, TOKEN_FAILED, SAY, OUR_FAULT),
    R(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, TOKEN_FAILED, SAY, "another user is logged in; end that session"),
    R(CKR_USER_TOO_MANY_TYPES, TOKEN_FAILED, SAY, "too many users are logged in; end other sessions"),
    R(CKR_RANDOM_NO_RNG, TOKEN_FAILED, SAY, "the token has no source of randomness and cannot make keys"),
    R(CKR_DOMAIN_PARAMS_INVALID, MECHANISM_MISSING, SAY, "the token does not have this curve; take another algorithm"),
    R(CKR_CURVE_NOT_SUPPORTED, MECHANISM_MISSING, SAY, "the token does not have this curve; take another algorithm"),
    R(CKR_BUFFER_TOO_SMALL, TOKEN_FAILED, SAY, "the token's answer is longer than any that is valid"),
    R(CKR_CRYPTOKI_NOT_INITIALIZED, TOKEN_UNREACHABLE, PROCESS, GONE),
    R(CKR_CRYPTOKI_ALREADY_INITIALIZED, TOKEN_FAILED, SAY, "the module was initialised twice"),
    R(CKR_MUTEX_BAD, TOKEN_FAILED, PROCESS, OTHER),
    R(CKR_MUTEX_NOT_LOCKED, TOKEN_FAILED, PROCESS, OTHER),
    R(CKR_FIPS_SELF_TEST_FAILED, TOKEN_FAILED, SAY, "the token's self-test failed: it is broken; replace it"),
    R(CKR_LIBRARY_LOAD_FAILED, MODULE_MISSING, PROCESS, "the module could not load a library it needs; install that"),
    R(CKR_PUBLIC_KEY_INVALID, KEY_UNUSABLE, SAY, "the token holds the public key to be broken"),
    R(CKR_FUNCTION_REJECTED, TOKEN_FAILED, SAY, "the token's policy refused the call; ask whoever runs the token"),
#undef R
};
static const struct ckr unknown = { ~0ul, NULL, ERR_TOKEN_FAILED, REMEDY_SESSION, OTHER };

const struct ckr *ckr_at(size_t i)
{
    return i < ARRAY_LEN(table) ? &table[i] : NULL;
}

const struct ckr *ckr_find(CK_RV rv)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].rv == rv)
            return &table[i];
    return &unknown;
}

bool ckr_err(struct err *e, CK_RV rv, const char *call)
{
    const struct ckr *row = ckr_find(rv);

    return err_set(e, row->reason, "%s: %s (0x%lx): %s", call,
                   row->name ? row->name : rv >= CKR_VENDOR_DEFINED ? "a vendor's error" : "an unknown error",
                   rv, row->advice);
}
