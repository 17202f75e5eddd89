#include "daemon/broker/ops/ops.h"

#include "daemon/base/clock.h"
#include "daemon/base/sandbox.h"
#include "daemon/broker/work.h"

#include <string.h>

#define MAX_RINGS 256u               /* as the configuration allows */
#define MAX_NOTICES 100u             /* more is read by nobody */
#define MAX_RESULTS (STATS_MAX_RESULTS + STATS_MAX_OPS * N_ERR_REASONS)
#define N_STAGES (STATS_N_KINDS * STATS_N_STAGES)
#define MAX_SIGNERS (CONFIG_MAX_TOKENS * POOL_MAX_PEERS)

struct token_status {
    Signet__V1__TokenStatus status;
    Signet__V1__Error trouble;
    struct err why;
    Signet__V1__MechanismStatus mechanisms[POOL_MAX_ALGS], *each_mechanism[POOL_MAX_ALGS];
};

struct status {
    Signet__V1__GetStatusReply reply;
    struct token_status tokens[CONFIG_MAX_TOKENS];
    Signet__V1__TokenStatus *more_tokens[CONFIG_MAX_TOKENS];
    Signet__V1__Error trouble;
    struct err why;
    Signet__V1__RingStatus rings[MAX_RINGS], *each_ring[MAX_RINGS];
    struct ring_troubles troubles[MAX_RINGS];
    char *notices[MAX_NOTICES];
    size_t n_notices;
    const char *speaking;            /* the name of the token that the next notices are of */
    Signet__V1__SignerStatus signers[MAX_SIGNERS], *each_signer[MAX_SIGNERS];
    Signet__V1__CounterStatus counters[24], *each_counter[24];
    Signet__V1__ResultStatus results[MAX_RESULTS], *each_result[MAX_RESULTS];
    Signet__V1__StageStatus stages[N_STAGES], *each_stage[N_STAGES];
    Signet__V1__RefusalInfo refusals[STATS_MAX_REFUSALS], *each_refusal[STATS_MAX_REFUSALS];
};

static char *words(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void fill_token(struct token_status *ts, const struct broker_token *t)
{
    const struct peer *signer = pool_any(&t->signers);
    Signet__V1__TokenStatus *s = &ts->status;

    signet__v1__token_status__init(s);
    s->name = words(token_name(t));
    s->label = words(t->info.label);
    s->manufacturer = words(t->info.manufacturer);
    s->model = words(t->info.model);
    s->serial = words(t->info.serial);
    s->software = t->info.software;
    s->custody = words(keys_custody(t->keys, t->info.tpm2_pkcs11));
    for (size_t i = 0; signer && i < POOL_MAX_ALGS && alg_at(i); i++) {
        Signet__V1__MechanismStatus *m = &ts->mechanisms[i];
        signet__v1__mechanism_status__init(m);
        m->alg = words(alg_at(i)->name);
        m->mechanism = words(signer->mechanisms[i].name);
        m->proved = signer->mechanisms[i].proved;
        ts->each_mechanism[i] = m;
        s->n_mechanisms = i + 1;
    }
    s->mechanisms = ts->each_mechanism;
    if (!pool_serves(&t->signers, &ts->why) || !keys_ready(t->keys, &ts->why)) {
        request_error(&ts->trouble, &ts->why);
        s->trouble = &ts->trouble;
    }
}

static void fill_tokens(struct status *st, const struct broker *b)
{
    for (size_t i = 0; i < b->n_tokens; i++) {
        fill_token(&st->tokens[i], b->tokens[i]);
        if (i > 0)
            st->more_tokens[i - 1] = &st->tokens[i].status;
    }
    st->reply.token = &st->tokens[0].status;
    st->reply.more_tokens = st->more_tokens;
    st->reply.n_more_tokens = b->n_tokens - 1;
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

/* Of all its tokens together. */
static void count_keys(Signet__V1__RingStatus *out, const struct broker *b, const struct ring_config *c, int64_t now)
{
    for (size_t i = 0; i < c->n_tokens; i++) {
        const struct keys *k = b->tokens[c->tokens[i]]->keys;
        out->n_published += (uint32_t)keys_n_published(k, c->settings.name, now);
        out->signed_old_alg += signed_otherwise(k, c);
    }
}

/* What is done soonest, on whichever of its tokens. */
static void tell_due(Signet__V1__RingStatus *out, const struct broker *b, const struct ring_config *c, int64_t now)
{
    static const char *const names[] = {
        [RING_GENERATE] = "generate", [RING_PROMOTE] = "promote", [RING_DESTROY] = "destroy",
        [RING_DESTROY_PRIVATE] = "destroy_private",
    };

    for (size_t i = 0; i < c->n_tokens; i++) {
        struct err unknown;
        const struct ring *ring = keys_ring(b->tokens[c->tokens[i]]->keys, c->settings.name, &unknown);
        struct ring_next next = ring ? ring_next(ring, now) : (struct ring_next){ .action = RING_NOTHING };
        int64_t at = next.at ? next.at : now;    /* 0: at once */
        if (next.action == RING_NOTHING || (out->due_at && out->due_at <= at))
            continue;
        out->due = words(names[next.action]);
        out->due_at = at;
    }
}

void ring_status(Signet__V1__RingStatus *out, struct ring_troubles *t, struct broker *b, const struct ring_config *c,
                 int64_t now)
{
    const char *name = c->settings.name;
    struct broker_token *on;
    const struct held *signer = tokens_signer(b, c, now, &on, &t->why), *next = keys_next(on->keys, name, now);
    const struct err *rotation = keys_trouble(on->keys, name);

    signet__v1__ring_status__init(out);
    out->name = words(name);
    out->alg = words(c->alg->name);
    out->tokens = c->token_names;
    out->n_tokens = c->n_token_names;
    count_keys(out, b, c, now);
    tell_due(out, b, c, now);
    if (next) {
        out->next_kid = words(next->kid);
        out->next_activates_at = keys_view(on->keys, next, now).activates_at;
    }
    if (rotation->reason != ERR_NONE) {
        request_error(&t->rotation, rotation);
        out->rotation_trouble = &t->rotation;
    }
    if (signer) {
        out->token = words(token_name(on));
        out->active_kid = words(signer->kid);
        out->active_alg = words(signer->alg->name);
        return;
    }
    request_error(&t->trouble, &t->why);
    out->trouble = &t->trouble;
}

static void fill_ring(struct status *st, size_t i, struct broker *b, const struct ring_config *c, int64_t now)
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

static void fill_signers(struct status *st, const struct pool *p)
{
    for (size_t i = 0; i < p->n_peers; i++) {
        const struct peer *peer = &p->peers[i];
        Signet__V1__SignerStatus *s = st->each_signer[st->reply.n_signers] = &st->signers[st->reply.n_signers];
        st->reply.n_signers++;
        signet__v1__signer_status__init(s);
        s->number = p->others + (uint32_t)i + 1;
        s->pid = (uint32_t)peer->pid;
        s->state = words(state_of(peer));
        s->why = words(peer->why.text);
        s->signatures = peer->n_done;
        s->restarts = peer->restarts;
    }
    st->reply.signers = st->each_signer;
}

/* Jobs of the uid that has most of them waiting, as daemon.max_queue counts. */
static size_t longest_queue(const struct broker *b)
{
    size_t longest = queue_longest(&b->verifiers.queue);

    for (size_t i = 0; i < b->n_tokens; i++) {
        size_t n = queue_longest(&b->tokens[i]->signers.queue);
        longest = n > longest ? n : longest;
    }
    return longest;
}

static void fill_counters(struct status *st, const struct broker *b, const struct daemon_config *may)
{
    const struct { const char *name; uint64_t value; } all[] = {
#define X(name) { #name, b->counters.name },
        COUNTERS(X)
#undef X
        { "connections", b->n_connections },
        { "requests_in_flight", b->n_requests },
        { "waiting_for_signers", tokens_waiting(b) },
        { "longest_queue", longest_queue(b) },
        { "held_bytes", b->accounts.n_bytes },
        { "max_connections", may->max_connections },
        { "max_queue", may->max_queue_per_uid },
        { "max_held_bytes", may->max_memory },
    };

    _Static_assert(ARRAY_LEN(all) <= ARRAY_LEN(st->counters), "room for all");
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        signet__v1__counter_status__init(&st->counters[i]);
        st->counters[i].name = words(all[i].name);
        st->counters[i].value = all[i].value;
        st->each_counter[i] = &st->counters[i];
    }
    st->reply.counters = st->each_counter;
    st->reply.n_counters = ARRAY_LEN(all);
}

static void add_result(void *ctx, unsigned op, const char *profile, enum err_reason result, uint64_t n)
{
    struct status *st = ctx;
    size_t i = st->reply.n_results++;
    Signet__V1__ResultStatus *r = st->each_result[i] = &st->results[i];

    signet__v1__result_status__init(r);
    r->op = words(op_name(op));
    r->profile = words(profile);
    r->result = words(result == ERR_NONE ? "OK" : err_reason_name(result));
    r->n = n;
}

static void fill_stage(Signet__V1__StageStatus *out, const struct op *op, const char *stage, const struct stats_times *t)
{
    signet__v1__stage_status__init(out);
    out->op = words(op->name);
    out->stage = words(stage);
    out->bounds_us = (uint32_t *)(uintptr_t)stats_bounds_us;
    out->n_bounds_us = STATS_N_BOUNDS;
    out->counts = (uint64_t *)(uintptr_t)t->counts;
    out->n_counts = STATS_N_BOUNDS + 1;
    out->sum_us = t->sum_us;
}

static void fill_stages(struct status *st, const struct stats *s)
{
    static const char *const stages[] = { [STATS_QUEUE] = "queue", [STATS_TOKEN] = "token", [STATS_TOTAL] = "total" };
    const struct op *const ops[] = { [STATS_SIGN] = &op_sign, [STATS_VERIFY] = &op_verify };

    for (size_t k = 0; k < STATS_N_KINDS; k++)
        for (size_t g = 0; g < STATS_N_STAGES; g++) {
            size_t i = st->reply.n_stages++;
            st->each_stage[i] = &st->stages[i];
            fill_stage(&st->stages[i], ops[k], stages[g], &s->times[k][g]);
        }
    st->reply.stages = st->each_stage;
}

static void fill_refusals(struct status *st, const struct stats *s)
{
    const struct stats_refusal *r;

    for (size_t i = 0; (r = stats_refusal(s, i)); i++) {
        Signet__V1__RefusalInfo *out = st->each_refusal[i] = &st->refusals[i];
        signet__v1__refusal_info__init(out);
        out->at = r->at;
        out->uid = r->uid;
        out->op = words(op_name(r->op));
        out->profile = words(r->profile);
        out->reason = words(err_reason_name(r->why.reason));
        out->text = words(r->why.text);
        st->reply.n_refusals = i + 1;
    }
    st->reply.refusals = st->each_refusal;
}

static void fill_stats(struct status *st, const struct broker *b)
{
    stats_each(&b->stats, st, add_result);
    st->reply.results = st->each_result;
    fill_stages(st, &b->stats);
    fill_refusals(st, &b->stats);
}

/* Of any token: with one that signs the daemon does. */
static int64_t proved_at(const struct broker *b)
{
    int64_t last = 0;

    for (size_t i = 0; i < b->n_tokens; i++)
        if (keys_proved_at(b->tokens[i]->keys) > last)
            last = keys_proved_at(b->tokens[i]->keys);
    return last;
}

/* What is said of all tokens, as of the clock, is said once. */
static bool is_said(const struct status *st, const char *text)
{
    for (size_t i = 0; i < st->n_notices; i++) {
        size_t len = strlen(st->notices[i]), end = strlen(text);
        if (len >= end && strcmp(st->notices[i] + len - end, text) == 0)
            return true;
    }
    return false;
}

static void add_notice(void *ctx, const char *text)
{
    struct status *st = ctx;
    const char *name = st->speaking;
    char *notice = NULL;

    if (st->n_notices < MAX_NOTICES && !is_said(st, text) &&
        asprintf(&notice, name[0] ? "token '%s': %s" : "%s%s", name, text) >= 0)
        st->notices[st->n_notices++] = notice;
}

static void status_free(struct status *st)
{
    for (size_t i = 0; st && i < st->n_notices; i++)
        free(st->notices[i]);
    free(st);
}
DEFINE_CLEANUP(struct status, status_free)

/* With one token at least. */
static bool is_ready(const struct broker *b, struct err *e)
{
    struct err later;
    bool any = false;

    for (size_t i = 0; !any && i < b->n_tokens; i++)
        any = pool_serves(&b->tokens[i]->signers, i ? &later : e) && keys_ready(b->tokens[i]->keys, i ? &later : e);
    return any && pool_serves(&b->verifiers, e);
}

/* NULL: no memory. */
static struct status *status_new(struct broker *b, const struct conf *conf, bool admin, struct err *e)
{
    const struct config *c = conf->config;
    int64_t now = clock_now();
    struct status *st = calloc(1, sizeof *st);

    if (!st) {
        err_set(e, ERR_NO_MEMORY, "no memory for the status");
        return NULL;
    }
    signet__v1__get_status_reply__init(&st->reply);
    st->reply.version = words(SIGNET_VERSION);
    st->reply.started_at = b->started_at;
    st->reply.ready = is_ready(b, &st->why);
    if (!st->reply.ready) {
        request_error(&st->trouble, &st->why);
        st->reply.trouble = &st->trouble;
    }
    fill_tokens(st, b);
    for (size_t i = 0; i < c->n_rings && i < MAX_RINGS; i++)
        fill_ring(st, i, b, &c->rings[i], now);
    st->reply.rings = st->each_ring;
    st->reply.n_rings = c->n_rings;
    if (admin) {
        for (size_t i = 0; i < b->n_tokens; i++)
            fill_signers(st, &b->tokens[i]->signers);
        fill_counters(st, b, &c->daemon);
        fill_stats(st, b);
        st->reply.proved_at = proved_at(b);
        st->reply.config_generation = conf->generation;
        st->reply.pid = (uint32_t)getpid();
        for (size_t i = 0; i < b->n_tokens; i++) {
            st->speaking = token_name(b->tokens[i]);
            keys_notices(b->tokens[i]->keys, now, add_notice, st);
        }
        st->speaking = "";
        tokens_notices(b, add_notice, st);
        if (sandbox_lack())
            add_notice(st, sandbox_lack());
        st->reply.sandbox = words(sandbox_state());
        st->reply.notices = st->notices;
        st->reply.n_notices = st->n_notices;
    }
    return st;
}

bool op_pack_status(struct broker *b, struct buf *out, struct err *e)
{
    CLEANUP(status_freep) struct status *st = status_new(b, b->conf, true, e);

    if (!st)
        return false;
    size_t len = signet__v1__get_status_reply__get_packed_size(&st->reply);
    if (!buf_reserve(out, len))
        return err_set(e, ERR_NO_MEMORY, "no memory for the status, or it has more than %zu bytes", out->max);
    out->len += signet__v1__get_status_reply__pack(&st->reply, out->data + out->len);
    return true;
}

static bool begin(struct request *rq, struct err *e)
{
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    CLEANUP(status_freep) struct status *st = status_new(rq->broker, rq->conf, rq->conn->admin, e);

    if (!st)
        return false;
    r.result_case = SIGNET__V1__REPLY__RESULT_GET_STATUS;
    r.get_status = &st->reply;
    request_reply(rq, &r);
    return true;
}

const struct op op_get_status = {
    SIGNET__V1__REQUEST__OP_GET_STATUS, "get_status", false, op_usual_deadline, begin, op_nothing, op_nothing,
};
