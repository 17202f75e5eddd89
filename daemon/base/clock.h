/*
 * clock: the only place that asks what time it is. Two clocks: the wall's, for
 * what stands in tokens and labels, and one that never jumps, for deadlines.
 *
 * In a build with -Dtesting=true SIGNET_TEST_CLOCK=+SECONDS in the environment
 * moves the wall clock from the start, clock_test_move at any time. A release
 * has neither.
 */
#ifndef SIGNET_BASE_CLOCK_H
#define SIGNET_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_now(void);        /* Unix seconds */
int64_t clock_mono_ms(void);    /* milliseconds since some moment; only differences mean anything */
int64_t clock_mono_us(void);

#ifdef SIGNET_TESTING
void clock_test_move(int64_t seconds);   /* from the true time */
#endif

#endif
