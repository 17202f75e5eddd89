/*
 * reload: a new configuration for all roles or for none: the file is read and
 * checked, every role says ready, then the broker's switch is the commit.
 */
#ifndef SIGNET_SUPERVISOR_RELOAD_H
#define SIGNET_SUPERVISOR_RELOAD_H

#include "daemon/supervisor/watch.h"

#define RELOAD_MAX_ASKED 16u

struct reload {
    struct watch *watch;
    struct source **source;                  /* the one in force; replaced by a commit */
    const char *file;
    struct source *next;                     /* being offered; NULL: none is under way */
    uint32_t generation;                     /* the highest ever offered */
    struct event *timeout;
    uint64_t asked[RELOAD_MAX_ASKED];        /* administrators' requests that wait for the answer */
    size_t n_asked;
    bool again;                              /* asked for while one was under way */
    void (*ended)(void *ctx, bool done);
    void *ctx;
};

bool reload_init(struct reload *r, struct event_base *base, struct err *e);
void reload_clear(struct reload *r);

/* `id` 0: by signal. */
void reload_begin(struct reload *r, uint64_t id);
/* A role answered, or is gone. */
void reload_check(struct reload *r);
void reload_refused(struct reload *r, const struct child *c, const char *why);

#endif
