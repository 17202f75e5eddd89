/*
 * channel: how roles talk, knowing none of them: framed signet.role messages
 * on a stream socketpair, written and read in batches, descriptors beside
 * them. Non-blocking; the owner polls the descriptor (a broker by libevent, a
 * signer by poll).
 *
 * A message passes wire_check before it is handed out. The output buffer is
 * bounded: full is a refused send, never a wait.
 */
#ifndef SIGNET_CHANNEL_H
#define SIGNET_CHANNEL_H

#include "proto/buf.h"
#include "proto/cleanup.h"
#include "proto/err.h"
#include "role.pb-c.h"

#define CHANNEL_MAX_MESSAGE (4u * 1024 * 1024)   /* bytes: a configuration, a listing of 1000 keys */
#define CHANNEL_MAX_OUT (8u * 1024 * 1024)       /* bytes waiting to be written */

struct channel;

struct channel *channel_new(int fd);             /* takes fd; sets O_NONBLOCK and CLOEXEC */
void channel_free(struct channel *c);
DEFINE_CLEANUP(struct channel, channel_free)
int channel_fd(const struct channel *c);

/*
 * Appends a message to the batch; with fd >= 0 a copy of it travels along
 * (the caller keeps and closes its own). Written by channel_flush.
 */
bool channel_send(struct channel *c, const Signet__Role__Message *m, int fd, struct err *e);

enum channel_io { CHANNEL_IDLE, CHANNEL_MORE, CHANNEL_GONE };
/* Writes what fits. IDLE: all written; MORE: poll for writing; GONE: the peer has left. */
enum channel_io channel_flush(struct channel *c);
/* Reads what is there, bounded by one pass. IDLE: nothing left for now; GONE: end of stream. */
enum channel_io channel_fill(struct channel *c);

/*
 * The next message read, or NULL: none whole yet. Freed by channel_done.
 * *out_fd is the descriptor that an Attach brought, else -1; the caller owns
 * it. A malformed message sets *out_bad: the peer is not to be trusted any more.
 */
Signet__Role__Message *channel_next(struct channel *c, int *out_fd, bool *out_bad);
void channel_done(Signet__Role__Message *m);
/* A role's answer to a configuration: that it is ready for it, or, with mistakes, that it is refused for them. */
bool channel_say_verdict(struct channel *c, uint32_t generation, const struct buf *mistakes, struct err *e);
/* The id of the job that it answers; 0: it answers none. */
uint64_t channel_answers(const Signet__Role__Message *m);

/*
 * Why a peer did not do it, as our own error, its text cut to fit. A reason
 * that is none, or not one of ours, is ERR_INTERNAL: a failure stays one.
 */
void channel_why(const Signet__Role__Why *why, struct err *e);

size_t channel_waiting(const struct channel *c);  /* bytes not yet written */

/* A connected pair, CLOEXEC both. */
bool channel_pair(int out_fd[2], struct err *e);

#endif
