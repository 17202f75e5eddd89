/*
 * clock: what time it is, for what stands in tokens and for how old a key set
 * is. Deadlines have a clock of their own (conn_now_ms).
 *
 * In a build with -Dtesting=true SIGNET_TEST_TIME=FILE moves both, as it does
 * signetd's: the file has two int64, the milliseconds that more have passed
 * than really did, and by how many the wall is wrong besides. A release has
 * none of it.
 */
#ifndef SIGNET_CLIENT_CLOCK_H
#define SIGNET_CLIENT_CLOCK_H

#include <stdint.h>

int64_t clock_wall_s(void);      /* Unix seconds */
/*
 * Nanoseconds since some moment: which of a token's arrival and a fetch came
 * first must be plain. It never jumps, and goes on while the machine is
 * suspended: sets grow old then too.
 */
int64_t clock_steady_ns(void);

#endif
