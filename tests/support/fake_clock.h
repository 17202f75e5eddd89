/*
 * fake_clock: daemon/base/clock.h in a time that passes only as it is told:
 * all its clocks. Linked in place of daemon/base/clock.
 */
#ifndef SIGNET_TESTS_FAKE_CLOCK_H
#define SIGNET_TESTS_FAKE_CLOCK_H

#include "daemon/base/clock.h"

extern int64_t fake_clock_ms;    /* since 1970; what is less or equal to 0 no clock here ever was */

#endif
