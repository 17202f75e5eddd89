/*
 * error: what the rest of the project and the wire call an error, as
 * libsignet's public struct. The target may be NULL everywhere.
 */
#ifndef SIGNET_CLIENT_ERROR_H
#define SIGNET_CLIENT_ERROR_H

#include "client/signet.h"
#include "proto/err.h"
#include "signet.pb-c.h"

/* Each returns false, so that `return error_…` reads as what it does. */
bool error_set(struct signet_error *out, enum err_reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool error_from(struct signet_error *out, const struct err *e);
bool error_from_wire(struct signet_error *out, const Signet__V1__Error *e);

bool error_no_memory(struct signet_error *out);

#endif
