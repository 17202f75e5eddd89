/*
 * nth: the Nth allocation, or the Nth write, of one process fails; and how much
 * each holds. Linked into a program it stands before the C library's malloc,
 * calloc, realloc, reallocarray, strdup, strndup, free, write, send and
 * sendmsg, for the program and for every library in it.
 *
 * In a test program: nth_arm, nth_disarm. In signetd's roles (tests/nth/signetd):
 * by a file of the layout below that all map ($SIGNET_NTH_CONTROL);
 * tests/system/nth.py reads the names of this file.
 */
#ifndef SIGNET_TESTS_NTH_H
#define SIGNET_TESTS_NTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum nth_kind {
    NTH_DISARMED,
    NTH_ALLOC,           /* ENOMEM */
    NTH_WRITE,           /* ENOBUFS */
};

#define NTH_PROCESSES 4096u

/* In a file alone: bytes that were allocated and are not freed, less what was before main. */
struct nth_held {
    _Atomic uint32_t pid;        /* 0: no process yet */
    _Atomic int64_t bytes;
};

struct nth_control {
    _Atomic uint32_t kind;
    _Atomic uint32_t pid;        /* of the process that is meant; 0: the first of `role` to come by is */
    char role[32];               /* "broker", "signer 1"; empty: the supervisor */
    _Atomic uint64_t at;         /* the number of the call that fails, counted from 1; 0: none */
    _Atomic uint64_t n_calls;
    _Atomic uint64_t n_done;
    struct nth_held held[NTH_PROCESSES];     /* each that began, in order */
};

void nth_arm(enum nth_kind kind, uint64_t at);
/* How many calls there were; *out_done: the one that was meant to fail did. */
uint64_t nth_disarm(bool *out_done);

#endif
