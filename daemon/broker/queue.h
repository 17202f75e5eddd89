/*
 * queue: what waits for a peer, fairly: one lane for each caller, served in
 * turn, so that a flood in one lane delays no other. Pure; items are their
 * owner's, bounds the lane's owner's.
 */
#ifndef SIGNET_BROKER_QUEUE_H
#define SIGNET_BROKER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct queue_item { struct queue_item *next; };
struct lane {
    struct queue_item *first, *last;
    struct lane *next;             /* in the ring of lanes that hold something */
    size_t n;
};
struct queue {
    struct lane *turn;             /* the lane served last; its next is served next */
    size_t n;                      /* items in all lanes */
};

void queue_push(struct queue *q, struct lane *l, struct queue_item *i);
/* Before all others of its lane: work that a dead peer left. */
void queue_push_first(struct queue *q, struct lane *l, struct queue_item *i);
/* What pop would take; NULL: empty. */
struct queue_item *queue_peek(const struct queue *q);
struct queue_item *queue_pop(struct queue *q);

#endif
