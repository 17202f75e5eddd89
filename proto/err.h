/*
 * err: why something was not done: one reason for each thing a caller would
 * do differently, and one sentence for a person.
 *
 * A function that can fail returns false or NULL and has then set `e`; success
 * leaves `e` alone. `e` is the last argument and never NULL. The sentence
 * says what happened, to which thing, what to do: subject in quotes, no full
 * stop, never a claim's value, a token or a PIN.
 */
#ifndef SIGNET_PROTO_ERR_H
#define SIGNET_PROTO_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Canonical gRPC status codes, with their numbers. */
enum err_code {
    CODE_OK = 0,
    CODE_CANCELLED = 1,
    CODE_INVALID_ARGUMENT = 3,
    CODE_DEADLINE_EXCEEDED = 4,
    CODE_NOT_FOUND = 5,
    CODE_PERMISSION_DENIED = 7,
    CODE_RESOURCE_EXHAUSTED = 8,
    CODE_FAILED_PRECONDITION = 9,
    CODE_UNIMPLEMENTED = 12,
    CODE_INTERNAL = 13,
    CODE_UNAVAILABLE = 14,
};

/*
 * The one table: reason (its wire name is the same word), status code. The
 * names are an interface: rows may be added, none renamed.
 */
#define ERR_REASONS(X) \
    /* the request */ \
    X(BAD_REQUEST,        INVALID_ARGUMENT)     /* no such message, field out of range, bad UTF-8 */ \
    X(REQUEST_TOO_LARGE,  INVALID_ARGUMENT) \
    X(BATCH_TOO_LARGE,    INVALID_ARGUMENT) \
    X(TOKEN_TOO_LARGE,    INVALID_ARGUMENT)     /* could not be sent back to Verify */ \
    X(UNKNOWN_OPERATION,  UNIMPLEMENTED) \
    X(UNKNOWN_PROFILE,    NOT_FOUND) \
    X(UNKNOWN_RING,       NOT_FOUND) \
    X(UNKNOWN_KEY,        NOT_FOUND) \
    /* policy */ \
    X(CALLER_NOT_ALLOWED, PERMISSION_DENIED) \
    X(CALLER_UNNAMED,     PERMISSION_DENIED)    /* `subject: caller` and the uid has no name */ \
    X(SUBJECT_NOT_ALLOWED, PERMISSION_DENIED) \
    X(SUBJECT_REQUIRED,   INVALID_ARGUMENT) \
    X(AUDIENCE_NOT_ALLOWED, PERMISSION_DENIED) \
    X(TTL_TOO_LONG,       PERMISSION_DENIED) \
    X(NOT_BEFORE_INVALID, INVALID_ARGUMENT) \
    X(JTI_INVALID,        INVALID_ARGUMENT) \
    X(CLAIM_NOT_ALLOWED,  PERMISSION_DENIED) \
    X(CLAIM_REQUIRED,     INVALID_ARGUMENT) \
    X(CLAIM_RESERVED,     INVALID_ARGUMENT)     /* the daemon sets it, or it differs from one in case only */ \
    X(CLAIM_SECRET,       PERMISSION_DENIED)    /* named like a secret: anyone can read a payload */ \
    X(CLAIMS_MALFORMED,   INVALID_ARGUMENT) \
    X(PAYLOAD_NOT_ALLOWED, INVALID_ARGUMENT)    /* a payload for a profile that is not raw, or the reverse */ \
    X(RATE_LIMITED,       RESOURCE_EXHAUSTED) \
    X(QUEUE_FULL,         RESOURCE_EXHAUSTED) \
    X(TOO_MANY_CONNECTIONS, RESOURCE_EXHAUSTED) \
    X(TOO_MANY_IN_FLIGHT, RESOURCE_EXHAUSTED) \
    X(DEADLINE_EXCEEDED,  DEADLINE_EXCEEDED) \
    /* keys and token */ \
    X(NO_ACTIVE_KEY,      FAILED_PRECONDITION) \
    X(KEY_EXISTS,         FAILED_PRECONDITION) \
    X(KEY_NEEDED,         FAILED_PRECONDITION)  /* living tokens would be rejected without it */ \
    X(RING_BUSY,          UNAVAILABLE)          /* another change of it is under way */ \
    X(KEY_EXPORTABLE,     FAILED_PRECONDITION) \
    X(KEY_TOO_WEAK,       FAILED_PRECONDITION) \
    X(KEY_UNPROVED,       FAILED_PRECONDITION) \
    X(MECHANISM_MISSING,  FAILED_PRECONDITION) \
    X(PIN_WRONG,          UNAVAILABLE) \
    X(PIN_LOCKED,         UNAVAILABLE) \
    X(PIN_MISSING,        UNAVAILABLE) \
    X(MODULE_MISSING,     UNAVAILABLE) \
    X(TOKEN_MISSING,      UNAVAILABLE) \
    X(TOKEN_UNREACHABLE,  UNAVAILABLE)          /* was there, no longer answers */ \
    X(TOKEN_FAILED,       INTERNAL)             /* answered with an error that is nobody's business to retry */ \
    X(KEY_HANDLE_INVALID, UNAVAILABLE)          /* list anew */ \
    X(SIGNATURE_WRONG,    INTERNAL)             /* verify before release said no */ \
    X(STARTING,           UNAVAILABLE) \
    X(DRAINING,           UNAVAILABLE) \
    /* configuration */ \
    X(CONFIG_INVALID,     FAILED_PRECONDITION) \
    X(RESTART_NEEDED,     FAILED_PRECONDITION) \
    /* verification: the token's fault */ \
    X(TOO_LARGE,          INVALID_ARGUMENT) \
    X(MALFORMED,          INVALID_ARGUMENT) \
    X(BAD_HEADER,         INVALID_ARGUMENT) \
    X(CRIT_UNSUPPORTED,   INVALID_ARGUMENT) \
    X(ALG_NOT_ALLOWED,    INVALID_ARGUMENT) \
    X(KEY_UNKNOWN,        INVALID_ARGUMENT) \
    X(KEY_UNUSABLE,       INVALID_ARGUMENT) \
    X(BAD_SIGNATURE,      INVALID_ARGUMENT) \
    X(BAD_PAYLOAD,        INVALID_ARGUMENT) \
    X(EXPIRED,            INVALID_ARGUMENT) \
    X(NOT_YET_VALID,      INVALID_ARGUMENT) \
    X(ISSUED_IN_FUTURE,   INVALID_ARGUMENT) \
    X(WRONG_ISSUER,       INVALID_ARGUMENT) \
    X(WRONG_AUDIENCE,     INVALID_ARGUMENT) \
    X(WRONG_TYPE,         INVALID_ARGUMENT) \
    /* the connection, as libsignet sees it */ \
    X(DAEMON_UNREACHABLE, UNAVAILABLE) \
    X(PROTOCOL_BROKEN,    UNAVAILABLE)          /* the peer is no signet */ \
    X(KEYS_UNAVAILABLE,   UNAVAILABLE)          /* no key set that may still be judged by */ \
    /* us */ \
    X(NO_MEMORY,          RESOURCE_EXHAUSTED) \
    X(NO_DESCRIPTORS,     RESOURCE_EXHAUSTED) \
    X(SYSTEM,             INTERNAL)             /* a system call failed; the text says which */ \
    X(INTERNAL,           INTERNAL)

enum err_reason {
    ERR_NONE = 0,
#define X(reason, code) ERR_##reason,
    ERR_REASONS(X)
#undef X
    N_ERR_REASONS
};

struct err {
    enum err_reason reason;
    uint32_t retry_after_ms;   /* where waiting helps; else 0 */
    char text[320];            /* UTF-8, NUL-terminated, cut between characters if longer */
};

/* Sets `e`, returns false, so that `return err_set(e, …);` reads as what it does. */
bool err_set(struct err *e, enum err_reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with strerror(errno) after the text, as ERR_SYSTEM. Keeps errno. */
bool err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts "<whose>: " before the text that is there: whose mistake it was. */
bool err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Makes UTF-8 of a text that was printed into `size` bytes, cut anywhere or
 * not: no message may carry anything else, and one such text would end a channel.
 */
void err_mend_text(char *text, size_t size);

const char *err_reason_name(enum err_reason reason);            /* "TTL_TOO_LONG"; "NONE" */
enum err_reason err_reason_by_name(const char *name);           /* ERR_INTERNAL for one that is not ours */
enum err_code err_code(enum err_reason reason);
const char *err_code_name(enum err_code code);                  /* "PERMISSION_DENIED" */

/* A verdict on a token ("invalid"), as against "could not check". */
bool err_is_verdict(enum err_reason reason);

#endif
