/* usual: a request of each kind, as callers of the whole broker make them. */
#ifndef SIGNET_TESTS_USUAL_H
#define SIGNET_TESTS_USUAL_H

#include "tests/fuzz/whole.h"

#define USUAL_MAX 1024u

struct usual { const char *name; unsigned field; size_t len; uint8_t packed[USUAL_MAX]; };

/* The nth of them; what it needs of a token is asked for before. False: there are no more. */
bool usual_make(size_t nth, int fd, struct usual *out);
/* Asks, and hears the answer, which must come; freed by protobuf's function. */
Signet__V1__Reply *usual_ask(int fd, uint64_t id, unsigned field, const uint8_t *packed, size_t len);

#endif
