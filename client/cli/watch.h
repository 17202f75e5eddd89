/* watch: the status looked at again and again: a page on a terminal, else a line a look. */
#ifndef SIGNET_CLI_WATCH_H
#define SIGNET_CLI_WATCH_H

#include "client/cli/cli.h"

/* Until it is ended; a daemon that does not answer is waited for. Returns the exit status. */
int watch_run(const struct common *c, uint32_t interval_s);

#endif
