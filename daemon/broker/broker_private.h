/* broker_private: the broker's rooms seen together: what listeners, connections, requests and ops share. */
#ifndef SIGNET_BROKER_PRIVATE_H
#define SIGNET_BROKER_PRIVATE_H

#include "daemon/broker/account.h"
#include "daemon/broker/conf.h"
#include "daemon/broker/keys/keys.h"
#include "daemon/broker/pool.h"
#include "daemon/broker/stats.h"

#include <event2/event.h>

/* Counted since the start, shown by status. */
#define COUNTERS(X) \
    X(signed_tokens)        /* released */ \
    X(verified_tokens)      /* accepted */ \
    X(rejected_tokens)      /* judged, and not to be trusted */ \
    X(refused_requests)     /* by policy, limits or for what they are */ \
    X(late_requests)        /* ended by their deadline */ \
    X(unavailable_requests) /* not the caller's fault */ \
    X(wrong_signatures)     /* by the token, not released */ \
    X(accepted_connections) \
    X(refused_connections) \
    X(broken_connections)   /* closed for what they sent, for sending half of it, or idle for another uid's */

struct counters {
#define X(name) uint64_t name;
    COUNTERS(X)
#undef X
};

struct listener {
    struct broker *broker;
    int fd;                      /* -1: none */
    struct event *on_ready, *again;
    bool admin;
};

/* The role that shows what we know: publish.c. */
struct publishing {
    struct channel *channel;     /* NULL: there is none */
    struct event *on_read, *on_write;
    int64_t told_ms;             /* steady: the last snapshot */
    int64_t unread_ms;           /* steady: since when it has not read all of one; 0: it has */
    uint64_t version;            /* of the key set in it */
    bool is_whole;               /* which was known */
};

struct connection;
struct request;
struct broker_token;
struct shift;

struct broker {
    struct event_base *base;
    struct channel *supervisor;
    struct event *on_read, *on_write, *tick;
    struct conf *conf;           /* in force; NULL before the first Switch */
    struct conf *pending;        /* said Ready to, not switched to yet */
    struct pool verifiers;
    struct publishing publishing;
    struct broker_token *tokens[CONFIG_MAX_TOKENS]; size_t n_tokens;
    struct shift *shifts; size_t n_shifts;       /* of each ring of conf */
    int64_t looked_ms;           /* steady: at who can sign */
    struct accounts accounts;
    struct listener listeners[2];        /* signet.sock, admin.sock */
    struct connection *connections;
    size_t n_connections;
    struct queue turns;          /* of connections, to have a frame taken */
    bool more;                   /* connections have something to take still: the loop does not wait */
    struct request *requests;    /* unanswered */
    struct request *ended;       /* to be freed at the end of this turn */
    size_t n_requests;
    struct counters counters;
    struct stats stats;          /* of what callers asked; our own work is not in it */
    int64_t started_at;
    uint64_t n_signatures;       /* for verify_every */
    uint64_t next_reload;
    bool serving_told;
    bool draining, stop;
    int exit_status;
};

/* listener.c */
bool listener_open(struct listener *l, struct broker *b, int fd, bool admin, struct err *e);    /* takes fd */
void listener_close(struct listener *l);

/*
 * broker.c: all of it but its process, for who drives it step by step: takes the channel to the supervisor; after each pass
 * of the event loop a turn, until b->stop.
 */
bool broker_init(struct broker *b, int supervisor, struct err *e);
void broker_turn(struct broker *b);
void broker_clear(struct broker *b);
/* A message to the supervisor; one that cannot be sent ends the broker. */
void broker_tell(struct broker *b, const Signet__Role__Message *m);
/* Tells the supervisor, once, when every token is served, or known to be gone. */
void broker_serving(struct broker *b);

#endif
