/* ring: what the commands on rings, and the status, share. */
#ifndef SIGNET_CLI_RING_H
#define SIGNET_CLI_RING_H

#include "client/cli/cli.h"

/* What there is to say of a change of algorithm and of a rotation that is in trouble, a line each after `before`. */
void ring_put_state(const struct signet_ring_status *r, const char *before);
/* The same in a ring's JSON. */
/* On which of several tokens it is signed for: " on spare"; nothing where there is one. */
void ring_put_token(const struct signet_ring_status *r);
void ring_add_json(json_t *out, const struct signet_ring_status *r);
bool ring_changes_alg(const struct signet_ring_status *r);

int ring_rotate(int argc, char **argv);
int ring_rehearse(int argc, char **argv);

#endif
