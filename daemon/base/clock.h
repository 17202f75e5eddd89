/*
 * clock: the only place that asks what time it is. Three clocks: the wall's,
 * for what stands in tokens and labels; one that never jumps and goes on while
 * the machine is suspended, for the age of what was seen; and one that never
 * jumps, for deadlines.
 *
 * In a build with -Dtesting=true the environment moves the first two; a
 * release has none of it. SIGNET_TEST_CLOCK=SECONDS: the wall's error, from the
 * start. SIGNET_TEST_TIME=FILE: struct clock_test_time, which all processes map,
 * so that a test lets time pass for all of them at once.
 */
#ifndef SIGNET_BASE_CLOCK_H
#define SIGNET_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_now(void);         /* Unix seconds */
int64_t clock_wall_ms(void);     /* the same in milliseconds */
int64_t clock_steady_ms(void);   /* milliseconds since some moment; only differences mean anything */
int64_t clock_mono_ms(void);     /* the same, but stands still with the machine */
int64_t clock_mono_us(void);
int64_t clock_cpu_us(void);      /* that this process has had of a CPU: what others take from it is nobody's to pay here */

/* For people: "2026-11-28T03:46:04Z"; "3d2h", two units at most. Return out. */
#define CLOCK_TEXT 48
const char *clock_write(char out[CLOCK_TEXT], int64_t unix_s);
const char *clock_write_span(char out[CLOCK_TEXT], int64_t s);

#ifdef SIGNET_TESTING
#include <stdatomic.h>
struct clock_test_time {
    _Atomic int64_t passed_ms;   /* more than really has: wall and steady */
    _Atomic int64_t moved_ms;    /* the wall's error, of all who map it */
};
void clock_test_move(int64_t seconds);   /* this process's wall, from the true time */
#endif

#endif
