/* heard: what the broker says to a role, through a true channel, and the role's answers, which must be for a channel too. */
#ifndef SIGNET_TESTS_HEARD_H
#define SIGNET_TESTS_HEARD_H

#include "daemon/channel/channel.h"
#include "tests/fuzz/fuzz.h"

struct heard { struct channel *broker, *role; unsigned n; uint64_t id; };

void heard_begin(struct heard *h);
void heard_end(struct heard *h);
/* Written to that channel's end as it is, framed. False: there is no room for it, or nobody to read it. */
bool heard_put(int fd, unsigned field, const uint8_t *packed, size_t len);
/* A message of this field and packed bytes; NULL: it is none, and the channel is of no use any more. */
Signet__Role__Message *heard_say(struct heard *h, unsigned field, const uint8_t *packed, size_t len);
/* The role's answer: counted, and read as the broker would. */
void heard_answer(void *h, const Signet__Role__Message *m);

#endif
