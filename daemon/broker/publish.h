/*
 * publish: what the publisher shows is told to it: status, keys and key sets,
 * each second and at once when the public keys change. It is never waited
 * for, and nothing that it says is heard: strangers ask it.
 */
#ifndef SIGNET_BROKER_PUBLISH_H
#define SIGNET_BROKER_PUBLISH_H

#include "daemon/broker/broker_private.h"

/* Takes fd; in place of the one before. */
bool publish_to(struct broker *b, int fd, struct err *e);
void publish_end(struct broker *b);
void publish_tick(struct broker *b);

#endif
