#include "daemon/broker/request.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/broker/ops/ops.h"
#include "proto/wire.h"

#include <openssl/crypto.h>
#include <string.h>

#define MAX_DEADLINE_MS 600000u          /* what a caller may ask for */
#define TOLD_PER_S 10u                   /* refusals of one uid in the log, a second; the rest are counted */

/* --- its end --------------------------------------------------------------------------------- */

void request_error(Signet__V1__Error *out, const struct err *e)
{
    signet__v1__error__init(out);
    out->code = err_code(e->reason);
    out->reason = (char *)(uintptr_t)err_reason_name(e->reason);
    out->text = (char *)(uintptr_t)e->text;
    out->retry_after_ms = e->retry_after_ms;
}

static void end(struct request *rq)
{
    struct broker *b = rq->broker;

    rq->answered = true;
    if (rq->op)
        rq->op->leave(rq);
    if (rq->prev)
        rq->prev->next = rq->next;
    else
        b->requests = rq->next;
    if (rq->next)
        rq->next->prev = rq->prev;
    rq->next = b->ended;
    b->ended = rq;
    b->n_requests--;
    rq->account->n_requests--;
    account_let_go(rq->account, rq->n_bytes);
    if (rq->conn)
        connection_done(rq->conn, rq->n_items);
    rq->conn = NULL;
}

/* --- what became of it ------------------------------------------------------------------------ */

static void count_refused(struct broker *b, uid_t uid, unsigned op, const char *profile, const struct err *e)
{
    stats_count(&b->stats, op, profile, e->reason);
    if (!err_is_verdict(e->reason))      /* a verdict is an answer */
        stats_refused(&b->stats, clock_now(), uid, op, profile, e);
}

static void count_time(struct request *rq, const struct op *op, uint64_t n)
{
    if (op == &op_sign || op == &op_verify)
        stats_took(&rq->broker->stats, op == &op_sign ? STATS_SIGN : STATS_VERIFY, STATS_TOTAL,
                   clock_mono_us() - rq->began_us, n);
}

static void count_one(struct request *rq, const struct op *op, const char *profile, const struct err *e)
{
    /* What was refused at once says nothing of how long an answer takes; who waited in vain does. */
    if (!e || err_is_verdict(e->reason) || e->reason == ERR_DEADLINE_EXCEEDED)
        count_time(rq, op, 1);
    if (e)
        count_refused(rq->broker, rq->account->uid, op_number(op), profile, e);
    else
        stats_count(&rq->broker->stats, op_number(op), profile, ERR_NONE);
}

void request_count_item(struct request *rq, const char *profile, const struct err *why)
{
    count_one(rq, &op_sign, profile, why);
}

void request_count_job(struct request *rq, enum stats_kind kind, const struct job *j)
{
    struct stats *s = &rq->broker->stats;

    stats_took(s, kind, STATS_QUEUE, j->given_us - j->queued_us, 1);
    stats_took(s, kind, STATS_TOKEN, j->answered_us - j->given_us, 1);
}

/* A batch that was begun has no more items than it may, and each is refused; else it is one. */
static void count_request(struct request *rq, const struct err *e)
{
    const Signet__V1__SignBatchRequest *batch = rq->op == &op_sign_batch ? rq->msg->sign_batch : NULL;

    for (size_t i = 0; batch && rq->state && i < batch->n_items; i++)
        count_one(rq, &op_sign, batch->items[i]->profile, e);
    if (!batch || !rq->state)
        count_one(rq, batch ? &op_sign : rq->op, rq->profile ? rq->profile->name : "", e);
}

void request_reply(struct request *rq, Signet__V1__Reply *r)
{
    if (rq->answered)
        return;
    if (r->result_case != SIGNET__V1__REPLY__RESULT_ERROR && rq->op != &op_sign_batch)
        count_request(rq, NULL);
    r->request_id = rq->msg->request_id;
    if (rq->conn)
        connection_reply(rq->conn, r);
    end(rq);
}

static void count(struct broker *b, const struct err *e)
{
    struct counters *c = &b->counters;

    if (err_is_verdict(e->reason))
        c->rejected_tokens++;
    else if (e->reason == ERR_DEADLINE_EXCEEDED)
        c->late_requests++;
    else if (err_code(e->reason) == CODE_UNAVAILABLE || err_code(e->reason) == CODE_INTERNAL)
        c->unavailable_requests++;
    else
        c->refused_requests++;
}

/* One line a refusal, a few a second and caller: a flood of them must not become one of log lines. */
void request_tell(struct account *a, const char *what, const struct err *e)
{
    struct err full;

    if (!rate_take(&a->told, TOLD_PER_S, clock_mono_ms(), &full)) {
        a->untold++;
        return;
    }
    log_info("uid %u: %s: %s: %s", (unsigned)a->uid, what, err_reason_name(e->reason), e->text);
    if (a->untold)
        log_info("uid %u: %llu more refusals were not logged", (unsigned)a->uid, (unsigned long long)a->untold);
    a->untold = 0;
}

void request_refuse(struct request *rq, const struct err *e)
{
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__Error error;

    if (rq->answered)
        return;
    count(rq->broker, e);
    count_request(rq, e);
    if (!err_is_verdict(e->reason))
        request_tell(rq->account, rq->op ? rq->op->name : "?", e);
    request_error(&error, e);
    r.result_case = SIGNET__V1__REPLY__RESULT_ERROR;
    r.error = &error;
    request_reply(rq, &r);
}

/* One that brought a secret may be refused before anybody wiped it. */
static void message_free(Signet__V1__Request *msg)
{
    if (msg && msg->op_case == SIGNET__V1__REQUEST__OP_IMPORT_KEY && msg->import_key->secret.data)
        OPENSSL_cleanse(msg->import_key->secret.data, msg->import_key->secret.len);
    signet__v1__request__free_unpacked(msg, NULL);
}

static void request_free(struct request *rq)
{
    if (rq->op && rq->state)
        rq->op->free(rq);
    message_free(rq->msg);
    conf_unref(rq->conf);
    free(rq);
}

void requests_flush(struct broker *b)
{
    while (b->ended) {
        struct request *rq = b->ended;
        b->ended = rq->next;
        request_free(rq);
    }
}

void requests_leave(struct connection *c)
{
    struct request *next;

    for (struct request *rq = c->n_requests ? c->broker->requests : NULL; rq; rq = next) {
        next = rq->next;
        if (rq->conn == c)
            end(rq);
    }
}

struct request *requests_of_most(const struct broker *b, size_t share)
{
    struct request *found = NULL;

    for (struct request *rq = b->requests; rq; rq = rq->next)
        if (rq->account->n_bytes > (found ? found->account->n_bytes : share))
            found = rq;
    return found;
}

void requests_tick(struct broker *b, int64_t now_ms)
{
    struct request *next;
    struct err e;

    for (struct request *rq = b->requests; rq; rq = next) {
        next = rq->next;
        if (now_ms < rq->deadline_ms)
            continue;
        err_set(&e, ERR_DEADLINE_EXCEEDED, "no answer within the deadline; the token may be slow or overloaded");
        request_refuse(rq, &e);
    }
}

/* --- its beginning ------------------------------------------------------------------------------ */

/* What can be read of a message that is none: its request_id stands first. */
static uint64_t peek_id(const uint8_t *bytes, size_t len)
{
    uint64_t id = 0;

    if (len < 2 || bytes[0] != 0x08)
        return 0;
    for (size_t i = 1; i < len && i <= 10; i++) {
        id |= (uint64_t)(bytes[i] & 0x7F) << (7 * (i - 1));
        if (!(bytes[i] & 0x80))
            return id;
    }
    return 0;
}

static Signet__V1__Request *decode(const uint8_t *bytes, size_t len, struct err *e)
{
    if (!wire_check(&signet__v1__request__descriptor, bytes, len, e))
        return NULL;
    Signet__V1__Request *msg = signet__v1__request__unpack(NULL, len, bytes);
    if (!msg)
        err_set(e, ERR_BAD_REQUEST, "not a signet.v1.Request");
    return msg;
}

bool request_may_administer(const struct config *c, const struct caller *caller, struct err *e)
{
    return allow_has(&c->daemon.admin, caller) ||
           err_set(e, ERR_CALLER_NOT_ALLOWED, "uid %u is no administrator: add its user or group to daemon.admin",
                   (unsigned)caller->uid);
}

static bool may_begin(struct request *rq, struct err *e)
{
    const struct op *op = rq->op;

    if (!op)
        return err_set(e, ERR_UNKNOWN_OPERATION, "this signetd knows no such operation: is it older than the caller?");
    if (op->admin && !rq->conn->admin)
        return err_set(e, ERR_CALLER_NOT_ALLOWED, "%s is for the admin socket only", op->name);
    /* Again: a reload may have changed who is. */
    if (rq->conn->admin && !request_may_administer(rq->conf->config, &rq->caller, e))
        return false;
    if (rq->broker->draining)
        return err_set(e, ERR_DRAINING, "signetd is ending: try again, its successor may be there already");
    return account_may_hold(rq->account, &rq->conf->config->daemon, e);
}

static void enlist(struct request *rq)
{
    struct broker *b = rq->broker;

    rq->next = b->requests;
    if (rq->next)
        rq->next->prev = rq;
    b->requests = rq;
    b->n_requests++;
    rq->account->n_requests++;
    account_hold(rq->account, rq->n_bytes);
    rq->account->seen_ms = clock_mono_ms();
    rq->conn->n_in_flight += rq->n_items;
    rq->conn->n_requests++;
}

static uint32_t deadline_of(const struct request *rq)
{
    uint32_t asked = rq->msg->deadline_ms, usual = rq->op ? rq->op->deadline_ms(rq) : 0;

    if (asked == 0)
        return usual;
    return asked < MAX_DEADLINE_MS ? asked : MAX_DEADLINE_MS;
}

void request_new(struct connection *c, const uint8_t *bytes, size_t len)
{
    struct err e;
    Signet__V1__Request *msg = decode(bytes, len, &e);
    struct request *rq = msg ? calloc(1, sizeof *rq) : NULL;

    if (!rq) {
        if (msg)
            err_set(&e, ERR_NO_MEMORY, "no memory for another request");
        message_free(msg);
        c->broker->counters.refused_requests++;
        count_refused(c->broker, c->caller.uid, 0, "", &e);
        connection_refuse(c, peek_id(bytes, len), &e);
        return;
    }
    *rq = (struct request){ .broker = c->broker, .conn = c, .account = c->account, .conf = conf_ref(c->broker->conf),
                            .caller = c->caller, .msg = msg, .op = op_find(msg->op_case), .n_items = 1 };
    rq->caller.name = conf_user(rq->conf, rq->caller.uid);
    if (msg->op_case == SIGNET__V1__REQUEST__OP_SIGN_BATCH && msg->sign_batch->n_items > 1)
        rq->n_items = msg->sign_batch->n_items;
    rq->n_bytes = ACCOUNT_COPIES * len + rq->n_items * ACCOUNT_ITEM_BYTES;
    rq->began_us = clock_mono_us();
    rq->deadline_ms = rq->began_us / 1000 + deadline_of(rq);
    enlist(rq);
    if (!may_begin(rq, &e) || !rq->op->begin(rq, &e))
        request_refuse(rq, &e);
}

/* --- what operations share -------------------------------------------------------------------------- */

const struct profile *request_profile(const struct request *rq, const char *name, struct err *e)
{
    const struct config *c = rq->conf->config;
    const struct profile *p = config_profile(c, name);
    char names[120] = "";

    if (p)
        return p;
    /* Of others this caller does not hear: as list_profiles has it. */
    for (size_t i = 0; i < c->n_profiles; i++)
        if (allow_has(&c->profiles[i].sign, &rq->caller) || allow_has(&c->profiles[i].verify, &rq->caller))
            op_add_name(names, sizeof names, c->profiles[i].name);
    err_set(e, ERR_UNKNOWN_PROFILE, "the configuration has no profile '%.64s'; %s%s", name,
            *names ? "you may use " : "none lets you sign or verify", names);
    return NULL;
}

bool request_rate(struct request *rq, const struct profile *p, struct err *e)
{
    const struct config *c = rq->conf->config;
    struct rate *r;

    if (p->rate_per_s == 0)
        return true;
    r = account_rate(rq->account, rq->conf->generation, c->n_profiles, (size_t)(p - c->profiles));
    if (!r)
        return err_set(e, ERR_NO_MEMORY, "no memory for the caller's rate");
    return rate_take(r, p->rate_per_s, clock_mono_ms(), e) || err_wrap(e, "profile '%s'", p->name);
}
