/*
 * fake_token: daemon/token/token.h without PKCS#11, in this process's memory,
 * for harnesses that must not wait for a module: EdDSA and HMAC, the same keys
 * in the same order each time. Linked in place of daemon/token.
 */
#ifndef SIGNET_TESTS_FAKE_TOKEN_H
#define SIGNET_TESTS_FAKE_TOKEN_H

#include "daemon/token/token.h"

/* Empty again, and opened; freed by token_free. */
struct token *fake_token_new(void);
/* How often it was changed since. */
unsigned fake_token_changes(void);

#endif
