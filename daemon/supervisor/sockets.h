/*
 * sockets: the listening sockets. They belong to the supervisor, so that a
 * broker or publisher that is replaced loses no backlog. From systemd, where it
 * passes some (FileDescriptorName=signet and admin), else made here.
 *
 * All are open to connect to (0666): who may do what is decided by profiles
 * and by the admin callers' list, on the kernel's word about the peer; what is
 * published is for everyone who gets as far as its socket.
 */
#ifndef SIGNET_SUPERVISOR_SOCKETS_H
#define SIGNET_SUPERVISOR_SOCKETS_H

#include "daemon/config/config.h"

#include <sys/stat.h>

struct listener {
    int fd;                    /* -1: not open */
    char *path;                /* ours to remove; NULL: systemd's, or none */
    dev_t dev; ino_t ino;      /* what we made there */
};
struct sockets { struct listener user, admin, http; };    /* http: where the configuration has it */

/*
 * A stale socket file is removed only after a connection to it was refused;
 * anything else in the way is an error that names it.
 */
bool sockets_open(struct sockets *s, const struct config *c, struct err *e);
/* Removes those files that are still the ones made here. */
void sockets_close(struct sockets *s);

#endif
