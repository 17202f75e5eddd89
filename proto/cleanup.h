/*
 * cleanup: owners that let go by themselves at the end of their scope.
 *
 *     CLEANUP(ring_freep) struct ring *r = ring_new(e);
 *     ...
 *     return TAKE(r);         // the move shows where it happens
 */
#ifndef SIGNET_PROTO_CLEANUP_H
#define SIGNET_PROTO_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define TAKE(p)     ({ __typeof__(p) took_ = (p); (p) = NULL; took_; })
#define DEFINE_CLEANUP(type, fn) static inline void fn##p(type **p) { fn(*p); }

#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))

static inline void freep(void *p) { free(*(void **)p); }
static inline void closep(int *fd) { if (*fd >= 0) close(*fd); }

#endif
