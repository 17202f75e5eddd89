#include "daemon/broker/queue.h"

/* Before the first that has used more than that. */
static void insert(struct queue *q, struct lane *l, int64_t than_us)
{
    struct lane **at = &q->lanes;

    while (*at && (*at)->used_us <= than_us)
        at = &(*at)->next;
    l->next = *at;
    *at = l;
}

/* Before those that have used as much: many may, where one that was alone has gone on and all others begin where it is. */
static void join(struct queue *q, struct lane *l)
{
    if (l->used_us < q->used_us)
        l->used_us = q->used_us;
    insert(q, l, l->used_us - 1);
}

void queue_push(struct queue *q, struct lane *l, struct queue_item *i)
{
    *i = (struct queue_item){ .prev = l->n ? l->last : NULL };
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
    *i = (struct queue_item){ .next = l->first };
    l->first->prev = i;
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
    if (l->n > 0) {
        l->first->prev = NULL;
        insert(q, l, l->used_us);
    }
    return i;
}

size_t queue_longest(const struct queue *q)
{
    size_t n = 0;

    for (const struct lane *l = q->lanes; l; l = l->next)
        if (l->n > n)
            n = l->n;
    return n;
}

void queue_remove(struct queue *q, struct lane *l, struct queue_item *i)
{
    struct lane **at = &q->lanes, **passed = &q->passed;

    *(i->prev ? &i->prev->next : &l->first) = i->next;
    *(i->next ? &i->next->prev : &l->last) = i->prev;
    l->n--;
    q->n--;
    if (l->n > 0)
        return;
    while (*at && *at != l)
        at = &(*at)->next;
    while (*passed && *passed != l)
        passed = &(*passed)->next;
    *(*at ? at : passed) = l->next;
}

void queue_pass(struct queue *q)
{
    struct lane *l = q->lanes;

    q->lanes = l->next;
    l->next = q->passed;
    q->passed = l;
}

void queue_restore(struct queue *q)
{
    struct lane *l;

    while ((l = q->passed) != NULL) {
        q->passed = l->next;
        insert(q, l, l->used_us - 1);
    }
}
