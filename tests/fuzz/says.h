/*
 * says: a caller asks, and one role answers the broker as the input has it: the first byte chooses what is asked, each
 * part after it is an answer in place of the true one; when there are none left, what is true is said.
 */
#ifndef SIGNET_TESTS_SAYS_H
#define SIGNET_TESTS_SAYS_H

#include "tests/fuzz/whole.h"

/* `fields`, n of them: what the role may say, chosen by a part's choice. */
void says(enum whole_role role, const uint8_t *fields, size_t n, const uint8_t *in, size_t len);

#endif
