/* verify: what the offline doors of `signet verify` share. */
#ifndef SIGNET_CLI_VERIFY_H
#define SIGNET_CLI_VERIFY_H

#include "client/signet.h"

/* JSON lines in, JSON lines out (signet(1)), each answered before the next is read. Returns the exit status. */
int batch_run(const struct signet_verify_rules *rules);

#endif
