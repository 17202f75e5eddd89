/*
 * watch: who should run, and what they say. Starts what is missing, connects
 * roles with each other, replaces the dead, the hung and the failed.
 *
 * Signers start one after another: each login writes a software token's
 * files, and logins collide. One that takes long at it, on a software token,
 * may hang: the next does not wait for its end. A PIN refused as wrong is
 * tried by nobody again until its source changes: a token counts, and locks.
 */
#ifndef SIGNET_SUPERVISOR_WATCH_H
#define SIGNET_SUPERVISOR_WATCH_H

#include "daemon/supervisor/child.h"
#include "daemon/supervisor/pin.h"
#include "daemon/supervisor/plan.h"
#include "daemon/supervisor/sockets.h"
#include "daemon/supervisor/source.h"

struct watch_events {                        /* what others of the supervisor are told */
    void *ctx;
    void (*reload_asked)(void *ctx, uint64_t id);
    void (*ready)(void *ctx, struct child *c);                          /* to generation c->ready */
    void (*refused)(void *ctx, struct child *c, const char *why);
    void (*drained)(void *ctx);
    void (*changed)(void *ctx);                                         /* someone came, went or failed */
};

struct watch_token {                         /* one of the configuration's, and who serve it */
    struct child signers[PLAN_MAX_SIGNERS];
    unsigned n_signers;                      /* wanted now: one, until it has its token or is late */
    unsigned n_planned;                      /* in the end, as far as the kind of token is known */
    struct {
        char *path;                          /* NULL: no login, or no such file */
        struct pin_mark tried;               /* as it was when the last signer started */
        bool blocked;
    } pin;
    char trouble[320];                       /* the last reason of a signer that failed, quoted; empty: none */
};

struct watch {
    struct child_handler handler;
    struct watch_events events;
    const struct source *source;             /* the configuration in force, and its number */
    uint32_t generation;
    const struct sockets *sockets;
    struct child broker, publisher;          /* the publisher: where the configuration has http */
    struct child verifiers[PLAN_MAX_VERIFIERS];
    unsigned n_verifiers;                    /* wanted now */
    struct watch_token tokens[CONFIG_MAX_TOKENS];
    size_t n_tokens;
    bool paused;                             /* nobody is started: a reload is under way, or the end */
    struct event *poll_pins;
};

bool watch_init(struct watch *w, struct event_base *base, int exec_fd, const struct watch_events *ev, struct err *e);
void watch_clear(struct watch *w);           /* all must be down */

/* The configuration in force from now on; borrowed. */
void watch_use(struct watch *w, const struct source *s, uint32_t generation);
/* Does whatever is due. Called again by itself when something will be. */
void watch_advance(struct watch *w);

/* Each child that has a channel; false ends the walk. */
typedef bool watch_visit(void *ctx, struct child *c);
bool watch_each(struct watch *w, watch_visit *visit, void *ctx);

void watch_send_config(struct child *c, const struct source *s, uint32_t generation);
/* After a pause: everyone goes on with the configuration in force, the broker first. */
void watch_resume(struct watch *w);

bool watch_all_down(const struct watch *w);
unsigned watch_signers_up(const struct watch *w);
unsigned watch_signers_planned(const struct watch *w);
/* The last reason of a signer that failed, quoted; empty: none did. */
const char *watch_trouble(const struct watch *w);
/* Every signer has its token or failed once; the broker serves, where any has. */
bool watch_settled(const struct watch *w);

#endif
