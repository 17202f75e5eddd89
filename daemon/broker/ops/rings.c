/* list_rings, plan_ring: how the rings are and what they are told to do; what will become of one. */
#include "daemon/broker/ops/ops.h"

#include "daemon/base/clock.h"

#include <stdio.h>
#include <string.h>

/* Room for `n` rings; profiles of them all in one list, each ring's together. */
struct infos {
    Signet__V1__RingInfo *each, **list;
    Signet__V1__RingStatus *statuses;
    struct ring_troubles *troubles;
    char **profiles;
    size_t n, n_profiles;
};

static void infos_clear(struct infos *in)
{
    free(in->each);
    free(in->list);
    free(in->statuses);
    free(in->troubles);
    free(in->profiles);
}

static bool infos_init(struct infos *in, size_t n, size_t n_profiles, struct err *e)
{
    *in = (struct infos){
        .each = calloc(n + 1, sizeof *in->each), .list = calloc(n + 1, sizeof *in->list),
        .statuses = calloc(n + 1, sizeof *in->statuses), .troubles = calloc(n + 1, sizeof *in->troubles),
        .profiles = calloc(n_profiles + 1, sizeof *in->profiles),
    };
    return (in->each && in->list && in->statuses && in->troubles && in->profiles) ||
           err_set(e, ERR_NO_MEMORY, "no memory for %zu rings", n);
}

static void infos_add(struct infos *in, const struct request *rq, const struct ring_config *ring, int64_t now)
{
    const struct config *c = rq->conf->config;
    const struct ring_settings *s = &ring->settings;
    Signet__V1__RingInfo *out = in->list[in->n] = &in->each[in->n];

    signet__v1__ring_info__init(out);
    ring_status(&in->statuses[in->n], &in->troubles[in->n], rq->broker, ring, now);
    out->status = &in->statuses[in->n];
    out->profiles = in->profiles + in->n_profiles;
    for (size_t i = 0; i < c->n_profiles; i++)
        if (strcmp(c->profiles[i].ring, s->name) == 0)
            out->profiles[out->n_profiles++] = c->profiles[i].name;
    in->n_profiles += out->n_profiles;
    in->n++;
    out->rotate_every_s = (uint32_t)s->rotate_every;
    out->publish_ahead_s = (uint32_t)s->publish_ahead;
    out->max_ttl_s = (uint32_t)s->max_ttl;
    out->skew_s = (uint32_t)s->skew;
    out->max_age_s = (uint32_t)s->max_age;
    out->refresh_s = (uint32_t)s->refresh;
    out->generation_s = (uint32_t)s->generation_time;
    out->destroy_after_s = (uint32_t)s->destroy_after;
    out->standby = s->standby;
}

static bool list_begin(struct request *rq, struct err *e)
{
    const struct config *c = rq->conf->config;
    int64_t now = clock_now();
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__ListRingsReply list = SIGNET__V1__LIST_RINGS_REPLY__INIT;
    CLEANUP(infos_clear) struct infos in;

    if (!infos_init(&in, c->n_rings, c->n_profiles, e))
        return false;
    for (size_t i = 0; i < c->n_rings; i++)
        infos_add(&in, rq, &c->rings[i], now);
    list.rings = in.list;
    list.n_rings = in.n;
    r.result_case = SIGNET__V1__REPLY__RESULT_LIST_RINGS;
    r.list_rings = &list;
    request_reply(rq, &r);
    return true;
}

/* --- the plan -------------------------------------------------------------------------------- */

#define MORE ", …"

void op_add_name(char *names, size_t size, const char *name)
{
    size_t len = strlen(names);

    if (len >= strlen(MORE) && strcmp(names + len - strlen(MORE), MORE) == 0)
        return;
    bool fits = len + strlen(", ") + strlen(name) + sizeof MORE <= size;
    snprintf(names + len, size - len, "%s%s", !fits ? MORE : len ? ", " : "", fits ? name : "");
}

static const struct ring_config *find_ring(const struct config *c, const char *name, struct err *e)
{
    char names[160] = "";

    for (size_t i = 0; i < c->n_rings; i++) {
        const char *there = c->rings[i].settings.name;
        if (strcmp(there, name) == 0)
            return &c->rings[i];
        op_add_name(names, sizeof names, there);
    }
    err_set(e, ERR_UNKNOWN_RING, "the configuration has no ring '%.32s'; it has %s", name, names);
    return NULL;
}

static const struct ring_config *say_tokens(const struct config *c, const struct ring_config *r, const char *token,
                                            struct err *e)
{
    const char *ring = r->settings.name, *first = c->tokens[r->tokens[0]].name;
    char names[CONFIG_MAX_TOKENS * (CONFIG_MAX_TOKEN_NAME + 2) + 1] = "";

    for (size_t i = 0; i < r->n_tokens; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", c->tokens[r->tokens[i]].name);
    if (token && *first)
        err_set(e, ERR_BAD_REQUEST, "ring '%s' has no token '%.32s'; it has %s", ring, token, names);
    else if (token)
        err_set(e, ERR_BAD_REQUEST, "there is one token, and it has no name: say '%s' without '@%.32s'", ring, token);
    else
        err_set(e, ERR_BAD_REQUEST, "ring '%s' has keys of its own on each of %s: say which are meant, as in '%s@%s'", ring,
                names, ring, first);
    return NULL;
}

const struct ring_config *op_take_ring(struct request *rq, const char *name, bool any, struct err *e)
{
    const struct config *c = rq->conf->config;
    const char *at = strchr(name, '@');
    char ring[RING_MAX_NAME + 2];        /* one more byte than a name has: a longer one is none's */

    snprintf(ring, sizeof ring, "%.*s", at ? (int)(at - name) : -1, name);
    const struct ring_config *r = find_ring(c, ring, e);
    if (!r)
        return NULL;
    if (!at && !any && r->n_tokens > 1)
        return say_tokens(c, r, NULL, e);
    rq->token = tokens_turn(rq->broker, r);
    if (!at)
        return r;
    const struct token_config *t = at[1] ? config_ring_token(c, r, at + 1) : NULL;
    if (!t)
        return say_tokens(c, r, at + 1, e);
    rq->token = rq->broker->tokens[t - c->tokens];
    return r;
}

static int64_t known(int64_t at)
{
    return at == INT64_MAX ? 0 : at;
}

static void fill_life(Signet__V1__PlannedKey *out, const struct ring_life *l)
{
    signet__v1__planned_key__init(out);
    out->kid = (char *)(uintptr_t)l->key.kid;
    out->state = (char *)(uintptr_t)(l->key.gone && l->state != KEY_REVOKED ? "gone" : key_state_name(l->state));
    out->to_come = l->to_come;
    out->published_at = l->published_at;
    out->longest_max_age_s = (uint32_t)l->longest_max_age;
    out->activates_at = l->key.activates_at;
    out->retires_at = known(l->retires_at);
    out->ends_at = known(l->ends_at);
    out->private_destroyed_at = known(l->private_destroyed_at);
    out->destroyed_at = known(l->destroyed_at);
}

static bool answer_plan(struct request *rq, Signet__V1__PlanRingReply *plan, const struct ring_life *lives, size_t n,
                        struct err *e)
{
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    CLEANUP(freep) Signet__V1__PlannedKey *keys = calloc(n + 1, sizeof *keys);
    CLEANUP(freep) Signet__V1__PlannedKey **each = calloc(n + 1, sizeof *each);

    if (!keys || !each)
        return err_set(e, ERR_NO_MEMORY, "no memory for a plan of %zu keys", n);
    for (size_t i = 0; i < n; i++) {
        fill_life(&keys[i], &lives[i]);
        each[i] = &keys[i];
    }
    plan->keys = each;
    plan->n_keys = n;
    r.result_case = SIGNET__V1__REPLY__RESULT_PLAN_RING;
    r.plan_ring = plan;
    request_reply(rq, &r);
    return true;
}

static bool plan_begin(struct request *rq, struct err *e)
{
    const struct config *c = rq->conf->config;
    const Signet__V1__PlanRingRequest *m = rq->msg->plan_ring;
    const struct ring_config *ring = op_take_ring(rq, m->ring, true, e);
    int64_t now = clock_now(), until = m->until;
    Signet__V1__PlanRingReply plan = SIGNET__V1__PLAN_RING_REPLY__INIT;
    CLEANUP(infos_clear) struct infos in = { 0 };
    size_t n = 0;

    if (!ring)
        return false;
    if (until && (until < now || until > LABEL_MAX_TIME))
        return err_set(e, ERR_BAD_REQUEST, "a plan goes from now to the end of year 9999, and %lld was asked for",
                       (long long)until);
    const struct ring *there = keys_ring(rq->token->keys, ring->settings.name, e);
    CLEANUP(freep) struct ring_life *lives = there ? ring_foresee(there, now, &until, &n, e) : NULL;
    if (!lives || !infos_init(&in, 1, c->n_profiles, e))
        return false;
    infos_add(&in, rq, ring, now);
    plan.ring = in.each;
    plan.now = now;
    plan.until = until;
    return answer_plan(rq, &plan, lives, n, e);
}

const struct op op_list_rings = {
    SIGNET__V1__REQUEST__OP_LIST_RINGS, "list_rings", true, op_usual_deadline, list_begin, op_nothing, op_nothing,
};
const struct op op_plan_ring = {
    SIGNET__V1__REQUEST__OP_PLAN_RING, "plan_ring", true, op_usual_deadline, plan_begin, op_nothing, op_nothing,
};
