/*
 * sandbox: what a process of signetd gives up for good before its work begins.
 *
 * broker, verifier, publisher: every file (Landlock), every system call that they have no
 * use for (seccomp: no open, exec, process, socket, signal, ptrace, no new
 * code in memory), every capability. They read strangers' bytes.
 *
 * supervisor: what looks into other processes or changes the system (seccomp),
 * and root's capabilities but for those on files and locked memory. Its
 * signers inherit that and no more than that: a signer holds a foreign module,
 * which may need any file, socket, thread or process of its own. What they
 * give up besides is to send signals to others (Landlock, from ABI 6 on).
 *
 * A refused call fails with EPERM and nobody is killed: what we forgot to allow
 * must not end the service. Those three log it, the kernel does for
 * the others (audit). What the kernel lacks is gone without, and said.
 *
 * In a build with -Dtesting=true the environment makes the kernel an older
 * one: SIGNET_TEST_LANDLOCK=ABI (0: none), SIGNET_TEST_SECCOMP=0. At SIGUSR2 a
 * process tries what it should not be able to do, and logs what came of it.
 *
 * A sanitized build allows what its sanitizers do at a report and at the end:
 * what ships is narrower.
 */
#ifndef SIGNET_BASE_SANDBOX_H
#define SIGNET_BASE_SANDBOX_H

#include "daemon/base/role.h"

/* Takes no file back: what is to be read later must be open. */
void sandbox_enter(enum role_kind kind);

/* What the kernel has of it, for people: "Landlock ABI 7, seccomp"; borrowed for good. */
const char *sandbox_state(void);
/* What it has not, and what that leaves open; NULL: it has all. */
const char *sandbox_lack(void);

#ifdef SIGNET_TESTING
void sandbox_try_at_signal(void);      /* sandbox_try.c */
#endif

#endif
