/* checks: what no table can say: settings that contradict each other, whatever the arithmetic of rings. */
#ifndef SIGNET_CONFIG_CHECKS_H
#define SIGNET_CONFIG_CHECKS_H

#include "daemon/config/config.h"
#include "daemon/config/tree.h"

/* Adds a mistake for each, at the line of the setting concerned. */
void checks_run(const struct config *c, const struct tree *root, struct mistakes *m);

#endif
