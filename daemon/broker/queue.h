/*
 * queue: what waits for its turn, fairly: one lane for each caller, and the
 * one served next is the one that has used least time, so that neither a flood
 * nor costly work in one lane delays another. Who was away is owed nothing for
 * it. Pure; items are their owner's, bounds the lane's owner's.
 */
#ifndef SIGNET_BROKER_QUEUE_H
#define SIGNET_BROKER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue_item { struct queue_item *next, *prev; };
struct lane {
    struct queue_item *first, *last;
    struct lane *next;             /* of those that hold something */
    size_t n;
    int64_t used_us;               /* only differences mean anything */
};
struct queue {
    struct lane *lanes;            /* that hold something, by what they have used: the first is served next */
    struct lane *passed;           /* passed over, for now */
    size_t n;                      /* items in all lanes */
    int64_t used_us;               /* by the lane served last, before that: a lane that comes begins there */
};

void queue_push(struct queue *q, struct lane *l, struct queue_item *i);
/* Before all others of its lane: work that a dead peer left. */
void queue_push_first(struct queue *q, struct lane *l, struct queue_item *i);
/* What pop would take; NULL: empty. */
struct queue_item *queue_peek(const struct queue *q);
/* Takes it, and so much of its lane's time: 0 where nothing is done for it. */
struct queue_item *queue_pop(struct queue *q, int64_t cost_us);
/* Items of the lane that holds most. */
size_t queue_longest(const struct queue *q);
/* One that waits in that lane, wherever. */
void queue_remove(struct queue *q, struct lane *l, struct queue_item *i);
/* The lane that is served next is passed over until all that were are restored to their turns. */
void queue_pass(struct queue *q);
void queue_restore(struct queue *q);

#endif
