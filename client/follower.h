/*
 * follower: the copy of signetd's key set that a process verifies with, kept
 * fresh by those who ask for it: no thread does.
 *
 * A set is asked for anew half-way to its end, or when it is said to change,
 * while calls go on with the old one. Only who has no other way waits: no set yet, one past its max-age, a
 * key that it does not have. For any number of threads. Waits end at until_ms,
 * by conn_now_ms.
 */
#ifndef SIGNET_CLIENT_FOLLOWER_H
#define SIGNET_CLIENT_FOLLOWER_H

#include "client/key_set.h"

#include <stdatomic.h>
#include <sys/un.h>

struct follower;
struct follower *follower_new(const struct sockaddr_un *address);
void follower_free(struct follower *f);

/*
 * This process's: a forked child's *f is its parent's, and becomes one of its
 * own that begins with the parent's set. NULL: no memory.
 */
struct follower *follower_here(struct follower *_Atomic *f);

/*
 * A reference to a set that may be judged by: within its max-age; or, however
 * short that is, asked for since began_ns (clock_steady_ns). NULL with e.
 */
struct key_set *follower_set(struct follower *f, int64_t began_ns, int64_t until_ms, struct signet_error *e);

/*
 * What a key that `s` does not have asks for: a reference to a newer set, at
 * best one asked for since began_ns: *out. False with e: nobody knows whether
 * there is one. True without *out: `s` was asked for so shortly ago that its
 * word counts.
 */
bool follower_newer(struct follower *f, const struct key_set *s, int64_t began_ns, int64_t until_ms, struct key_set **out,
                    struct signet_error *e);

#endif
