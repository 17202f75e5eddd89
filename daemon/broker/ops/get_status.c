#include "daemon/broker/ops/ops.h"

#include "daemon/base/clock.h"
#include "daemon/base/sandbox.h"
#include "daemon/broker/work.h"

#include <string.h>

#define MAX_RINGS 256u               /* as the configuration allows */
#define MAX_NOTICES 100u             /* more is read by nobody */

struct status {
    Signet__V1__GetStatusReply reply;
    Signet__V1__TokenStatus token;
    Signet__V1__Error trouble;
    struct err why;
    Signet__V1__MechanismStatus mechanisms[POOL_MAX_ALGS], *each_mechanism[POOL_MAX_ALGS];
    Signet__V1__RingStatus rings[MAX_RINGS], *each_ring[MAX_RINGS];
    struct ring_troubles troubles[MAX_RINGS];
    char *notices[MAX_NOTICES];
    size_t n_notices;
    Signet__V1__SignerStatus signers[POOL_MAX_PEERS], *each_signer[POOL_MAX_PEERS];
    Signet__V1__CounterStatus counters[16], *each_counter[16];
};

static char *words(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void fill_token(struct status *st, const struct broker *b)
{
    const struct peer *signer = pool_any(&b->signers);

    signet__v1__token_status__init(&st->token);
    st->token.label = words(b->token.label);
    st->token.manufacturer = words(b->token.manufacturer);
    st->token.model = words(b->token.model);
    st->token.serial = words(b->token.serial);
    st->token.software = b->token.software;
    st->token.custody = words(keys_custody(b->keys, b->token.tpm2_pkcs11));
    for (size_t i = 0; signer && i < POOL_MAX_ALGS && alg_at(i); i++) {
        Signet__V1__MechanismStatus *m = &st->mechanisms[i];
        signet__v1__mechanism_status__init(m);
        m->alg = words(alg_at(i)->name);
        m->mechanism = words(signer->mechanisms[i].name);
        m->proved = signer->mechanisms[i].proved;
        st->each_mechanism[i] = m;
        st->token.n_mechanisms = i + 1;
    }
    st->token.mechanisms = st->each_mechanism;
    st->reply.token = &st->token;
}

/* Signed with a key of another algorithm than the ring's: it is changing over. */
static uint64_t signed_otherwise(const struct keys *k, const struct ring_config *c)
{
    uint64_t n = 0;

    for (size_t i = 0; i < keys_count(k); i++) {
        const struct held *h = keys_at(k, i);
        if (strcmp(h->ring, c->settings.name) == 0 && h->alg && h->alg != c->alg)
            n += h->n_signed;
    }
    return n;
}

void ring_status(Signet__V1__RingStatus *out, struct ring_troubles *t, const struct broker *b, const struct ring_config *c,
                 int64_t now)
{
    const char *name = c->settings.name;
    const struct held *signer = keys_signer(b->keys, name, now, &t->why), *next = keys_next(b->keys, name, now);
    const struct err *rotation = keys_trouble(b->keys, name);

    signet__v1__ring_status__init(out);
    out->name = words(name);
    out->alg = words(c->alg->name);
    out->n_published = (uint32_t)keys_n_published(b->keys, name, now);
    if (next) {
        out->next_kid = words(next->kid);
        out->next_activates_at = keys_view(b->keys, next, now).activates_at;
    }
    out->signed_old_alg = signed_otherwise(b->keys, c);
    if (rotation->reason != ERR_NONE) {
        request_error(&t->rotation, rotation);
        out->rotation_trouble = &t->rotation;
    }
    if (signer) {
        out->active_kid = words(signer->kid);
        out->active_alg = words(signer->alg->name);
        return;
    }
    request_error(&t->trouble, &t->why);
    out->trouble = &t->trouble;
}

static void fill_ring(struct status *st, size_t i, const struct broker *b, const struct ring_config *c, int64_t now)
{
    ring_status(&st->rings[i], &st->troubles[i], b, c, now);
    st->each_ring[i] = &st->rings[i];
}

static const char *state_of(const struct peer *p)
{
    if (p->hung)
        return "hung";
    if (p->ready)
        return "ready";
    return p->why.reason == ERR_NONE ? "starting" : "failed";
}

static void fill_signers(struct status *st, const struct broker *b)
{
    for (size_t i = 0; i < b->signers.n_peers; i++) {
        const struct peer *p = &b->signers.peers[i];
        Signet__V1__SignerStatus *s = &st->signers[i];
        signet__v1__signer_status__init(s);
        s->number = (uint32_t)i + 1;
        s->pid = (uint32_t)p->pid;
        s->state = words(state_of(p));
        s->why = words(p->why.text);
        s->signatures = p->n_done;
        s->restarts = p->restarts;
        st->each_signer[i] = s;
    }
    st->reply.signers = st->each_signer;
    st->reply.n_signers = b->signers.n_peers;
}

static void fill_counters(struct status *st, const struct broker *b)
{
    const struct { const char *name; uint64_t value; } all[] = {
#define X(name) { #name, b->counters.name },
        COUNTERS(X)
#undef X
        { "connections", b->n_connections },
        { "requests_in_flight", b->n_requests },
        { "waiting_for_signers", b->signers.queue.n },
    };

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        signet__v1__counter_status__init(&st->counters[i]);
        st->counters[i].name = words(all[i].name);
        st->counters[i].value = all[i].value;
        st->each_counter[i] = &st->counters[i];
    }
    st->reply.counters = st->each_counter;
    st->reply.n_counters = ARRAY_LEN(all);
}

static void add_notice(void *ctx, const char *text)
{
    struct status *st = ctx;

    if (st->n_notices < MAX_NOTICES && (st->notices[st->n_notices] = strdup(text)))
        st->n_notices++;
}

static void status_free(struct status *st)
{
    for (size_t i = 0; st && i < st->n_notices; i++)
        free(st->notices[i]);
    free(st);
}
DEFINE_CLEANUP(struct status, status_free)

static bool is_ready(const struct broker *b, struct err *e)
{
    return pool_serves(&b->signers, e) && pool_serves(&b->verifiers, e) && keys_ready(b->keys, e);
}

static bool begin(struct request *rq, struct err *e)
{
    const struct broker *b = rq->broker;
    const struct config *c = rq->conf->config;
    int64_t now = clock_now();
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    CLEANUP(status_freep) struct status *st = calloc(1, sizeof *st);

    if (!st)
        return err_set(e, ERR_NO_MEMORY, "no memory for the status");
    signet__v1__get_status_reply__init(&st->reply);
    st->reply.version = words(SIGNET_VERSION);
    st->reply.started_at = b->started_at;
    st->reply.ready = is_ready(b, &st->why);
    if (!st->reply.ready) {
        request_error(&st->trouble, &st->why);
        st->reply.trouble = &st->trouble;
    }
    fill_token(st, b);
    for (size_t i = 0; i < c->n_rings && i < MAX_RINGS; i++)
        fill_ring(st, i, b, &c->rings[i], now);
    st->reply.rings = st->each_ring;
    st->reply.n_rings = c->n_rings;
    if (rq->conn->admin) {
        fill_signers(st, b);
        fill_counters(st, b);
        st->reply.config_generation = rq->conf->generation;
        st->reply.pid = (uint32_t)getpid();
        keys_notices(b->keys, now, add_notice, st);
        if (sandbox_lack())
            add_notice(st, sandbox_lack());
        st->reply.sandbox = words(sandbox_state());
        st->reply.notices = st->notices;
        st->reply.n_notices = st->n_notices;
    }
    r.result_case = SIGNET__V1__REPLY__RESULT_GET_STATUS;
    r.get_status = &st->reply;
    request_reply(rq, &r);
    return true;
}

const struct op op_get_status = {
    SIGNET__V1__REQUEST__OP_GET_STATUS, "get_status", false, op_usual_deadline, begin, op_nothing, op_nothing,
};
