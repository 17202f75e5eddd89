/*
 * conn_private: a connection's inside, shared by conn (its calls and its
 * life) and stream (its socket). For those two files alone.
 *
 * A call is in one list: to send, sent, or ended (its `done` not yet called).
 * It keeps its frame, so that it can be asked again on another connection.
 */
#ifndef SIGNET_CLIENT_CONN_PRIVATE_H
#define SIGNET_CLIENT_CONN_PRIVATE_H

#include "client/conn.h"
#include "proto/buf.h"

#include <stdatomic.h>

#define CONN_RECONNECT_MS 10         /* between tries to reach one that is restarting, or has a full backlog */
#define STREAM_CHUNK (64u * 1024)    /* bytes read at a time */
/*
 * Sendings of one call. More than two: one that ends leaves connections behind that nobody will ever accept. Not without
 * end: the request may be what kills it.
 */
#define CALL_MAX_SENDS 4u
#define N_BUCKETS 256u

struct call {
    struct call *next, *prev, **list;    /* the list it is in */
    struct call *chain;                  /* of its bucket */
    struct conn_call owner;
    uint64_t id;
    Signet__V1__Request__OpCase op_case;
    int64_t until_ms;
    unsigned n_sends;
    Signet__V1__Reply *reply;            /* ended: with this, or where NULL, with `why` */
    struct signet_error why;
    size_t len;
    uint8_t frame[];
};

struct conn {
    struct sockaddr_un address;
    _Atomic int fd;                      /* -1: not connected; never names a closed descriptor: see conn_abandon */
    unsigned generation;
    struct call *to_send, *to_send_last, *sent, *ended, *ended_last;
    struct call *buckets[N_BUCKETS];
    size_t n_calls, n_bytes;
    uint64_t last_id;
    int64_t earliest_ms;                 /* no deadline of a waiting call is sooner */
    int64_t hold_ms;                     /* nothing is sent, nor connected, before; 0: no hold */
    int64_t patience_ms;                 /* it went away: believed to be restarting until then; 0: it is at work */
    struct signet_error turned_away;     /* it takes no more connections, for now; reason "": it did not say so */
    bool blocked;                        /* the socket takes no more for now */
    bool deaf;                           /* it takes nothing any more; why may stand unread */
    bool leaving;                        /* it said that it is ending: nothing more for this connection */
    bool away;                           /* it wants none of this connection */
    void (*closing)(void *ctx, int fd);
    void *ctx;
    struct buf in, rest;                 /* read, not yet a whole reply; of a request whose beginning is out */
};

/* conn.c: where the call of this number stands, or would stand, in its bucket. */
struct call **call_find(struct conn *c, uint64_t id);
void call_is_sent(struct conn *c, struct call *k);
/* Back to those that are to be sent, before those that never were. */
void call_again(struct conn *c, struct call *k);
void call_end(struct conn *c, struct call *k, Signet__V1__Reply *taken);
void call_end_with(struct conn *c, struct call *k, const struct signet_error *why);
void calls_end(struct conn *c, const struct signet_error *why);

bool conn_is_restarting(const struct conn *c, int64_t now);
void conn_disconnect(struct conn *c);
/* The connection is gone: what was asked on it and may be asked twice waits for the next one. */
void conn_lost(struct conn *c, const char *how, int64_t now);
/* What answers is no signetd, or no longer makes sense: nothing of it is believed, nobody asks it again. */
void conn_distrust(struct conn *c, const struct signet_error *why);
/* Nobody waits any longer for it to come back. */
void conn_give_up(struct conn *c, const struct signet_error *why);

/* stream.c. False: there is nothing more to read for now, or no connection any more. */
bool stream_read(struct conn *c, int64_t now);

#endif
