/*
 * unit: how a unit test begins and reports. CUnit counts; our reporter prints.
 *
 * A test program is a table of cases and UNIT_MAIN(cases); it exits with the
 * number of failed cases (at most 100), and 100 when it could not run.
 */
#ifndef SIGNET_TESTS_UNIT_H
#define SIGNET_TESTS_UNIT_H

#include <CUnit/CUnit.h>
#include <stddef.h>

struct unit_case {
    const char *name;      /* a sentence: what holds */
    void (*run)(void);
};

/* Prints got and want under a case's name, and fails it where they differ. */
void unit_same_str(const char *what, const char *got, const char *want);
void unit_same_int(const char *what, long long got, long long want);
void unit_same_mem(const char *what, const void *got, size_t got_len, const void *want, size_t want_len);

/* What is written to stderr between the two: a text, cut to fit. */
struct unit_captured { int pipe[2], kept; };
void unit_capture(struct unit_captured *c);
void unit_captured(struct unit_captured *c, char *out, size_t size);

int unit_run(const struct unit_case *cases, size_t n);

#define UNIT_MAIN(cases) \
    int main(void) { return unit_run((cases), sizeof(cases) / sizeof *(cases)); }

#endif
