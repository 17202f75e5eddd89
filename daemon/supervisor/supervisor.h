/*
 * supervisor: the parent: opens the sockets, starts, connects, watches and
 * replaces the roles; signals, reload, drain. Reads no stranger's byte but the
 * configuration file's.
 */
#ifndef SIGNET_SUPERVISOR_H
#define SIGNET_SUPERVISOR_H

#define SUPERVISOR_BAD_CONFIG 78     /* sysexits' EX_CONFIG */

/* signetd's whole life, or --check, --rehearse, --help, --version; its exit status. */
int supervisor_main(int argc, char **argv);

#endif
