#include "client/status.h"

#include "client/error.h"
#include "client/handle.h"

#include <string.h>

struct owned_status {
    struct signet_status status;
    struct signet_mechanism_status *mechanisms;
    struct signet_token_status *tokens;
    struct signet_ring_status *rings;
    struct signet_signer_status *signers;
    struct signet_counter *counters;
    struct signet_result_count *results;
    struct signet_stage *stages;
    struct signet_refusal *refusals;
    Signet__V1__Reply *reply;            /* every string lives in it */
};

static bool room(struct owned_status *o, const Signet__V1__GetStatusReply *r)
{
    size_t n_mechanisms = r->token ? r->token->n_mechanisms : 0;

    o->mechanisms = calloc(n_mechanisms + 1, sizeof *o->mechanisms);
    o->tokens = calloc(r->n_more_tokens + 1, sizeof *o->tokens);
    o->rings = calloc(r->n_rings + 1, sizeof *o->rings);
    o->signers = calloc(r->n_signers + 1, sizeof *o->signers);
    o->counters = calloc(r->n_counters + 1, sizeof *o->counters);
    o->results = calloc(r->n_results + 1, sizeof *o->results);
    o->stages = calloc(r->n_stages + 1, sizeof *o->stages);
    o->refusals = calloc(r->n_refusals + 1, sizeof *o->refusals);
    return o->mechanisms && o->tokens && o->rings && o->signers && o->counters && o->results && o->stages && o->refusals;
}

static void take_token(struct owned_status *o, const Signet__V1__TokenStatus *t)
{
    struct signet_status *st = &o->status;

    st->token_label = t ? t->label : "";
    st->token_manufacturer = t ? t->manufacturer : "";
    st->token_model = t ? t->model : "";
    st->token_serial = t ? t->serial : "";
    st->custody = t ? t->custody : "";
    if (!t)
        return;
    st->token_software = t->software;
    for (size_t i = 0; i < t->n_mechanisms; i++)
        o->mechanisms[i] = (struct signet_mechanism_status){
            t->mechanisms[i]->alg, t->mechanisms[i]->mechanism, t->mechanisms[i]->proved
        };
    st->n_mechanisms = t->n_mechanisms;
}

static struct signet_token_status token_from_wire(const Signet__V1__TokenStatus *t)
{
    struct signet_token_status out = {
        .name = t->name, .label = t->label, .manufacturer = t->manufacturer, .model = t->model, .serial = t->serial,
        .software = t->software, .custody = t->custody,
    };

    if (t->trouble)
        error_from_wire(&out.trouble, t->trouble);
    return out;
}

static void take_tokens(struct owned_status *o, const Signet__V1__GetStatusReply *r)
{
    take_token(o, r->token);
    if (r->token)
        o->tokens[o->status.n_tokens++] = token_from_wire(r->token);
    for (size_t i = 0; r->token && i < r->n_more_tokens; i++)
        o->tokens[o->status.n_tokens++] = token_from_wire(r->more_tokens[i]);
}

struct signet_ring_status ring_status_from_wire(const Signet__V1__RingStatus *m)
{
    struct signet_ring_status out = {
        .name = m->name, .alg = m->alg, .active_kid = m->active_kid, .next_kid = m->next_kid,
        .next_activates_at = m->next_activates_at, .n_published = m->n_published,
        .active_alg = m->active_alg, .signed_old_alg = m->signed_old_alg,
        .tokens = (const char *const *)m->tokens, .n_tokens = m->n_tokens, .token = m->token,
    };

    if (m->trouble)
        error_from_wire(&out.trouble, m->trouble);
    if (m->rotation_trouble)
        error_from_wire(&out.rotation_trouble, m->rotation_trouble);
    return out;
}

static void take_rings(struct owned_status *o, const Signet__V1__GetStatusReply *r)
{
    for (size_t i = 0; i < r->n_rings; i++)
        o->rings[i] = ring_status_from_wire(r->rings[i]);
    o->status.n_rings = r->n_rings;
}

static void take_processes(struct owned_status *o, const Signet__V1__GetStatusReply *r)
{
    for (size_t i = 0; i < r->n_signers; i++) {
        const Signet__V1__SignerStatus *m = r->signers[i];
        o->signers[i] = (struct signet_signer_status){
            .number = m->number, .pid = m->pid, .restarts = m->restarts, .signatures = m->signatures,
            .state = m->state, .why = m->why,
        };
    }
    for (size_t i = 0; i < r->n_counters; i++)
        o->counters[i] = (struct signet_counter){ r->counters[i]->name, r->counters[i]->value };
    o->status.n_signers = r->n_signers;
    o->status.n_counters = r->n_counters;
}

/* A histogram whose counts are not one more than its bounds is none of ours: it is left out. */
static void take_stages(struct owned_status *o, const Signet__V1__GetStatusReply *r)
{
    for (size_t i = 0; i < r->n_stages; i++) {
        const Signet__V1__StageStatus *m = r->stages[i];
        if (m->n_counts == m->n_bounds_us + 1)
            o->stages[o->status.n_stages++] = (struct signet_stage){ m->op, m->stage, m->bounds_us, m->counts,
                                                                     m->n_bounds_us, m->sum_us };
    }
}

static void take_requests(struct owned_status *o, const Signet__V1__GetStatusReply *r)
{
    for (size_t i = 0; i < r->n_results; i++)
        o->results[i] = (struct signet_result_count){ r->results[i]->op, r->results[i]->profile, r->results[i]->result,
                                                      r->results[i]->n };
    for (size_t i = 0; i < r->n_refusals; i++) {
        const Signet__V1__RefusalInfo *m = r->refusals[i];
        o->refusals[i] = (struct signet_refusal){ m->at, m->uid, m->op, m->profile, m->reason, m->text };
    }
    o->status.n_results = r->n_results;
    o->status.n_refusals = r->n_refusals;
    take_stages(o, r);
}

struct signet_status *signet_get_status(struct signet *s, struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__GetStatusRequest m = SIGNET__V1__GET_STATUS_REQUEST__INIT;

    op.op_case = SIGNET__V1__REQUEST__OP_GET_STATUS;
    op.get_status = &m;
    CLEANUP(reply_freep) Signet__V1__Reply *reply = handle_call(s, &op, e);
    if (!reply)
        return NULL;
    const Signet__V1__GetStatusReply *r = reply->get_status;
    struct owned_status *o = calloc(1, sizeof *o);
    if (!o || !room(o, r)) {
        signet_status_free(o ? &o->status : NULL);
        error_no_memory(e);
        return NULL;
    }
    o->status = (struct signet_status){
        .version = r->version, .started_at = r->started_at, .ready = r->ready,
        .mechanisms = o->mechanisms, .tokens = o->tokens, .rings = o->rings, .signers = o->signers, .counters = o->counters,
        .config_generation = r->config_generation, .pid = r->pid,
        .notices = (const char *const *)r->notices, .n_notices = r->n_notices,
        .sandbox = r->sandbox, .proved_at = r->proved_at,
        .results = o->results, .stages = o->stages, .refusals = o->refusals,
    };
    if (r->trouble)
        error_from_wire(&o->status.trouble, r->trouble);
    take_tokens(o, r);
    take_rings(o, r);
    take_processes(o, r);
    take_requests(o, r);
    o->reply = TAKE(reply);
    return &o->status;
}

void signet_status_free(struct signet_status *status)
{
    struct owned_status *o = (struct owned_status *)status;

    if (!o)
        return;
    if (o->reply)
        signet__v1__reply__free_unpacked(o->reply, NULL);
    free(o->mechanisms);
    free(o->tokens);
    free(o->rings);
    free(o->signers);
    free(o->counters);
    free(o->results);
    free(o->stages);
    free(o->refusals);
    free(o);
}
