/*
 * publisher: the role that shows what is public, and on this machine what is
 * of use to who runs it, to whoever asks by HTTP. It reads the broker's
 * snapshots and says nothing to it; it has no key, no PIN, no file.
 */
#ifndef SIGNET_PUBLISHER_H
#define SIGNET_PUBLISHER_H

/* The role's whole life (role.proto); returns the exit status. */
int publisher_main(void);

#endif
