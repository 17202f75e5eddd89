/* reload: the supervisor reads the file; every role must be ready before the broker's switch commits. */
#include "daemon/broker/ops/ops.h"

#define DEADLINE_MS 30000u

struct reload_state { uint64_t id; };

static uint32_t deadline(const struct request *rq)
{
    return DEADLINE_MS;
}

static bool begin(struct request *rq, struct err *e)
{
    Signet__Role__Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__ReloadAsked asked = SIGNET__ROLE__RELOAD_ASKED__INIT;
    struct reload_state *st = calloc(1, sizeof *st);

    if (!st)
        return err_set(e, ERR_NO_MEMORY, "no memory for another request");
    st->id = ++rq->broker->next_reload;
    rq->state = st;
    asked.id = st->id;
    m.of_case = SIGNET__ROLE__MESSAGE__OF_RELOAD_ASKED;
    m.reload_asked = &asked;
    broker_tell(rq->broker, &m);
    return true;
}

void reload_ended(struct broker *b, const Signet__Role__ReloadDone *m)
{
    struct request *rq = b->requests;
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__ReloadReply reload = SIGNET__V1__RELOAD_REPLY__INIT;
    struct err e;

    while (rq && !(rq->op == &op_reload && ((struct reload_state *)rq->state)->id == m->id))
        rq = rq->next;
    if (!rq)
        return;
    if (m->why) {
        channel_why(m->why, &e);
        request_refuse(rq, &e);
        return;
    }
    reload.config_generation = m->generation;
    r.result_case = SIGNET__V1__REPLY__RESULT_RELOAD;
    r.reload = &reload;
    request_reply(rq, &r);
}

static void state_free(struct request *rq)
{
    free(rq->state);
}

const struct op op_reload = {
    SIGNET__V1__REQUEST__OP_RELOAD, "reload", true, deadline, begin, op_nothing, state_free,
};
