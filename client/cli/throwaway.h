/*
 * throwaway: a SoftHSM token and a signetd on it, in a directory of their own
 * that only this user may enter, for as long as the other end of a pipe is
 * held. Nothing of them is left after that.
 *
 * Runs as a process of its own, the keeper, because its owner may be killed.
 */
#ifndef SIGNET_CLI_THROWAWAY_H
#define SIGNET_CLI_THROWAWAY_H

/* The sockets' names in the directory. */
#define THROWAWAY_SOCKET "signet.sock"
#define THROWAWAY_ADMIN_SOCKET "admin.sock"

/*
 * The keeper's whole life: returns its exit status. When every ring signs, the
 * directory's path is written to `ready` and that is closed; closed without, it
 * could not be, and stderr says why. `config` NULL: the one that is built in.
 * INT, QUIT, TERM and HUP are blocked: it ends at the end of `lifeline` alone.
 */
int throwaway_keep(const char *config, int lifeline, int ready);

#endif
