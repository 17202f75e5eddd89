#include "daemon/broker/queue.h"

/* After those that have used as much: they take turns. */
static void join(struct queue *q, struct lane *l)
{
    struct lane **at = &q->lanes;

    if (l->used_us < q->used_us)
        l->used_us = q->used_us;
    while (*at && (*at)->used_us <= l->used_us)
        at = &(*at)->next;
    l->next = *at;
    *at = l;
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
    return q->lanes ? q->lanes->first : NULL;
}

struct queue_item *queue_pop(struct queue *q, int64_t cost_us)
{
    struct lane *l = q->lanes;

    if (!l)
        return NULL;
    struct queue_item *i = l->first;
    q->lanes = l->next;
    q->used_us = l->used_us;
    l->used_us += cost_us;
    l->first = i->next;
    l->n--;
    q->n--;
    if (l->n > 0)
        join(q, l);
    return i;
}
