/*
 * throwaway_token: a new SoftHSM token in the working directory, its PINs
 * random. SOFTHSM2_CONF of this process, and of those it starts, leads there.
 */
#ifndef SIGNET_CLI_THROWAWAY_TOKEN_H
#define SIGNET_CLI_THROWAWAY_TOKEN_H

#include "proto/err.h"

#include <stddef.h>

#define THROWAWAY_LABEL "signet-dev"
#define THROWAWAY_PIN "pin"          /* the PIN's file */

/* The module's path, to be freed. NULL: `log`, a descriptor, may say more than `e`; it is emptied otherwise. */
char *throwaway_token(int log, struct err *e);

/* A new file in the working directory, for this user alone. */
bool throwaway_put(const char *name, const void *bytes, size_t len, struct err *e);

#endif
