/* sign and sign_batch: each item succeeds or fails by itself. */
#include "daemon/broker/ops/ops.h"
#include "daemon/broker/signing.h"

#include <stdlib.h>

#define MAX_BATCH 256u

struct sign_state {
    size_t n, n_open;
    struct signing items[];
};

static uint32_t deadline_of(const struct request *rq, const char *profile)
{
    const struct profile *p = config_profile(rq->conf->config, profile);

    return p ? p->deadline_ms : op_usual_deadline(rq);
}

static struct sign_state *state_new(struct request *rq, size_t n, struct err *e)
{
    struct sign_state *st = calloc(1, sizeof *st + n * sizeof *st->items);

    if (!st)
        err_set(e, ERR_NO_MEMORY, "no memory for another request");
    else
        st->n = n;
    rq->state = st;
    return st;
}

static void leave(struct request *rq)
{
    struct sign_state *st = rq->state;

    for (size_t i = 0; st && i < st->n; i++)
        signing_leave(&st->items[i]);
}

static void state_free(struct request *rq)
{
    struct sign_state *st = rq->state;

    for (size_t i = 0; i < st->n; i++)
        signing_clear(&st->items[i]);
    free(st);
}

/* --- one ---------------------------------------------------------------------------------- */

static uint32_t sign_deadline(const struct request *rq)
{
    return deadline_of(rq, rq->msg->sign->profile);
}

static void sign_done(struct signing *s)
{
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__SignReply sign;

    if (s->state != SG_WHOLE) {
        request_refuse(s->rq, &s->err);
        return;
    }
    signing_reply(s, &sign);
    r.result_case = SIGNET__V1__REPLY__RESULT_SIGN;
    r.sign = &sign;
    request_reply(s->rq, &r);
}

static bool sign_begin(struct request *rq, struct err *e)
{
    struct sign_state *st = state_new(rq, 1, e);

    return st && signing_begin(&st->items[0], rq, rq->msg->sign, sign_done, e);
}

/* --- many ---------------------------------------------------------------------------------- */

static uint32_t batch_deadline(const struct request *rq)
{
    const Signet__V1__SignBatchRequest *b = rq->msg->sign_batch;

    return b->n_items ? deadline_of(rq, b->items[0]->profile) : op_usual_deadline(rq);
}

static void batch_reply(struct request *rq, struct sign_state *st)
{
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__SignBatchReply batch = SIGNET__V1__SIGN_BATCH_REPLY__INIT;
    Signet__V1__SignBatchItem items[MAX_BATCH], *each[MAX_BATCH];
    Signet__V1__SignReply signs[MAX_BATCH];
    Signet__V1__Error errors[MAX_BATCH];

    for (size_t i = 0; i < st->n; i++) {
        const struct signing *s = &st->items[i];
        signet__v1__sign_batch_item__init(&items[i]);
        each[i] = &items[i];
        if (s->state == SG_WHOLE) {
            signing_reply(s, &signs[i]);
            items[i].result_case = SIGNET__V1__SIGN_BATCH_ITEM__RESULT_SIGN;
            items[i].sign = &signs[i];
            request_count_item(rq, s->profile->name, NULL);
        } else {
            request_error(&errors[i], &s->err);
            items[i].result_case = SIGNET__V1__SIGN_BATCH_ITEM__RESULT_ERROR;
            items[i].error = &errors[i];
            request_count_item(rq, s->profile ? s->profile->name : "", &s->err);
        }
    }
    batch.items = each;
    batch.n_items = st->n;
    r.result_case = SIGNET__V1__REPLY__RESULT_SIGN_BATCH;
    r.sign_batch = &batch;
    request_reply(rq, &r);
}

static void item_done(struct signing *s)
{
    struct sign_state *st = s->rq->state;

    if (--st->n_open == 0)
        batch_reply(s->rq, st);
}

static bool batch_begin(struct request *rq, struct err *e)
{
    const Signet__V1__SignBatchRequest *b = rq->msg->sign_batch;

    if (b->n_items == 0 || b->n_items > MAX_BATCH)
        return err_set(e, ERR_BATCH_TOO_LARGE, "a batch has 1 to %u items, this one has %zu", MAX_BATCH, b->n_items);
    struct sign_state *st = state_new(rq, b->n_items, e);
    if (!st)
        return false;
    for (size_t i = 0; i < st->n; i++) {
        struct err why;
        if (signing_begin(&st->items[i], rq, b->items[i], item_done, &why))
            st->n_open++;
        else
            st->items[i].err = why;
    }
    if (st->n_open == 0)
        batch_reply(rq, st);
    return true;
}

const struct op op_sign = {
    SIGNET__V1__REQUEST__OP_SIGN, "sign", false, sign_deadline, sign_begin, leave, state_free,
};
const struct op op_sign_batch = {
    SIGNET__V1__REQUEST__OP_SIGN_BATCH, "sign_batch", false, batch_deadline, batch_begin, leave, state_free,
};
