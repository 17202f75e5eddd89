#include "daemon/broker/queue.h"

/* A lane that was empty is served last in this round. */
static void join(struct queue *q, struct lane *l)
{
    if (q->turn) {
        l->next = q->turn->next;
        q->turn->next = l;
    } else {
        l->next = l;
    }
    q->turn = l;
}

void queue_push(struct queue *q, struct lane *l, struct queue_item *i)
{
    i->next = NULL;
    if (l->n == 0) {
        join(q, l);
        l->first = i;
    } else {
        l->last->next = i;
    }
    l->last = i;
    l->n++;
    q->n++;
}

void queue_push_first(struct queue *q, struct lane *l, struct queue_item *i)
{
    if (l->n == 0) {
        queue_push(q, l, i);
        return;
    }
    i->next = l->first;
    l->first = i;
    l->n++;
    q->n++;
}

struct queue_item *queue_peek(const struct queue *q)
{
    return q->turn ? q->turn->next->first : NULL;
}

struct queue_item *queue_pop(struct queue *q)
{
    if (!q->turn)
        return NULL;
    struct lane *l = q->turn->next;
    struct queue_item *i = l->first;
    l->first = i->next;
    l->n--;
    q->n--;
    if (l->n > 0) {
        q->turn = l;
    } else if (l == q->turn) {
        q->turn = NULL;
    } else {
        q->turn->next = l->next;
    }
    return i;
}
