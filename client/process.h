/*
 * process: which process this is, told apart from its parent and children
 * whatever numbers they have: in a pid namespace of its own a child may have
 * its parent's.
 */
#ifndef SIGNET_CLIENT_PROCESS_H
#define SIGNET_CLIENT_PROCESS_H

#include <stdint.h>

/* Not 0, below 2^62; another in every process that came by fork. */
uint64_t process_id(void);

#endif
