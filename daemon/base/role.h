/*
 * role: what the processes of signetd have in common. A role is the binary
 * executed anew with its whole name as argv[0] ("signetd: signer 1"; ps shows
 * that and nothing else) and its channel to the supervisor on descriptor
 * ROLE_CHANNEL_FD.
 */
#ifndef SIGNET_BASE_ROLE_H
#define SIGNET_BASE_ROLE_H

#include "proto/err.h"

#include <stddef.h>

#define ROLE_CHANNEL_FD 3
#define ROLE_MAX_NAME 32
#define ROLE_APART 100u          /* the first token's signers are numbered from 1, the second's from 101, … */

enum role_kind { ROLE_SUPERVISOR, ROLE_BROKER, ROLE_SIGNER, ROLE_VERIFIER, ROLE_PUBLISHER };

const char *role_kind_name(enum role_kind kind);              /* "broker" */
/* "signetd: broker", "signetd: signer 1" */
void role_title(char out[ROLE_MAX_NAME], enum role_kind kind, unsigned number);
/* What argv[0] says; anything that is no role's name is the supervisor. */
enum role_kind role_of(const char *argv0, unsigned *out_number);

/* No core file, no ptrace by others of our uid, no new privileges. */
void role_harden(void);

/* Lets us, and those we start, have n descriptors open at once. False: the system's own limit is lower. */
bool role_descriptors(size_t n, struct err *e);

/*
 * A role's first act: role_harden; TERM, INT, HUP and PIPE ignored (a service
 * manager and a terminal signal all of us; roles obey their channel); dies
 * with the supervisor; every descriptor but 0-2 and the channel closed; the
 * log opened; its sandbox. False: started by hand, without a channel.
 */
bool role_begin(enum role_kind kind, unsigned number, struct err *e);

#endif
