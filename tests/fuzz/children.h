/*
 * children: the supervisor's children without processes: child.c as it is, but that fork makes none, a pidfd is a pipe, and
 * time is fake_clock's. The linker puts these in place (--wrap). What a process would have of its channel is the test's.
 */
#ifndef SIGNET_TESTS_CHILDREN_H
#define SIGNET_TESTS_CHILDREN_H

#include "daemon/supervisor/child.h"
#include "tests/fuzz/fuzz.h"

struct process {
    pid_t pid;
    struct channel *channel;         /* its end */
    int life, pidfd;                 /* a pipe: it lives while `life` is open */
    bool lives, killed;
};

/* All that have been started since children_begin, in their order; `n` grows while the event loop runs. */
#define CHILDREN_MAX 512u
struct children { struct process *of[CHILDREN_MAX]; size_t n; };
extern struct children children;

void children_begin(void);
void children_end(void);
/* Of the child, while it has one. */
struct process *children_process(const struct child *c);
/* It ends: by a signal where it was killed, else with 0. */
void children_exit(struct process *p);
/* Its timer, where it is due by fake_clock. */
void children_fire(struct child *c);

#endif
