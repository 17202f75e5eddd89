/* program: where the signetd is that belongs to this signet. */
#ifndef SIGNET_CLI_PROGRAM_H
#define SIGNET_CLI_PROGRAM_H

#include "proto/err.h"

/* The path of the one of the same build or installation, to be freed; NULL: there is none. */
char *program_signetd(struct err *e);

#endif
