/*
 * pace: how quickly a lane of a queue is served while something waits in it,
 * and so whether one more would be served in time. Pure.
 *
 * Counted, not figured: what a signature takes, how many signers there are and
 * how many other lanes have their turn are all in it. A pause of a second or
 * so, while a signer is replaced, makes no lane look slow: the best of the last
 * windows counts, and nothing is known before there were so many.
 */
#ifndef SIGNET_BROKER_PACE_H
#define SIGNET_BROKER_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_WINDOW_MS 500
#define PACE_WINDOWS 4u

struct pace {                                  /* all 0: the lane was empty, nothing is known */
    int64_t since_ms;                          /* monotonic: of the window that is open; 0: nothing was served yet */
    unsigned n_windows;                        /* that have ended */
    uint32_t n_served, ended[PACE_WINDOWS];    /* in the open one; in the last ones */
};

void pace_served(struct pace *p, int64_t now_ms);

/*
 * Until when one that comes now, behind n_waiting others, is served: 0 where
 * that is not known.
 */
int64_t pace_foretell(struct pace *p, size_t n_waiting, int64_t now_ms);

#endif
