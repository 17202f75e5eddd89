/*
 * address: where a daemon listens: the path given, else the environment's,
 * else the standard one.
 */
#ifndef SIGNET_CLIENT_ADDRESS_H
#define SIGNET_CLIENT_ADDRESS_H

#include "client/signet.h"

#include <sys/socket.h>
#include <sys/un.h>

enum door { DOOR_CALLERS, DOOR_ADMIN };

bool address_of(enum door door, const char *path, struct sockaddr_un *out, struct signet_error *e);

#endif
