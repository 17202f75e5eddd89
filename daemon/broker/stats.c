#include "daemon/broker/stats.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Finer where a token in software signs: there half and twice is what an operator wants to see. */
const uint32_t stats_bounds_us[STATS_N_BOUNDS] = {
    50, 100, 150, 200, 300, 500, 1000, 2000, 3000, 5000, 10000, 20000, 50000, 100000, 200000, 500000, 1000000, 2000000,
    5000000, 10000000,
};

/* --- profiles ---------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct stats_profile *)a)->name, ((const struct stats_profile *)b)->name);
}

static int is_named(const void *name, const void *p)
{
    return strcmp(name, ((const struct stats_profile *)p)->name);
}

static struct stats_profile *find(const struct stats *s, const char *name)
{
    return s->n_profiles ? bsearch(name, s->profiles, s->n_profiles, sizeof *s->profiles, is_named) : NULL;
}

static void forget(struct stats *s, struct stats_profile *p)
{
    for (size_t op = 0; op < STATS_MAX_OPS; op++) {
        for (size_t r = 0; p->ops[op] && p != &s->none && r < N_ERR_REASONS; r++)
            s->n_results -= p->ops[op][r] != 0;
        free(p->ops[op]);
        p->ops[op] = NULL;
    }
}

void stats_use(struct stats *s, const struct profile *profiles, size_t n)
{
    struct stats_profile *all = calloc(n + 1, sizeof *all);

    if (!all)
        return;
    for (size_t i = 0; i < n; i++) {
        struct stats_profile *old = find(s, profiles[i].name);
        snprintf(all[i].name, sizeof all[i].name, "%s", profiles[i].name);
        if (!old)
            continue;
        memcpy(all[i].ops, old->ops, sizeof all[i].ops);
        memset(old->ops, 0, sizeof old->ops);
    }
    qsort(all, n, sizeof *all, by_name);
    for (size_t i = 0; i < s->n_profiles; i++)
        forget(s, &s->profiles[i]);
    free(s->profiles);
    s->profiles = all;
    s->n_profiles = n;
}

void stats_clear(struct stats *s)
{
    for (size_t i = 0; i < s->n_profiles; i++)
        forget(s, &s->profiles[i]);
    forget(s, &s->none);
    free(s->profiles);
    *s = (struct stats){ 0 };
}

/* --- outcomes ------------------------------------------------------------------------------ */

/* The place of a count; NULL: there is none to be had. */
static uint64_t *place(struct stats_profile *p, unsigned op, enum err_reason result)
{
    if (!p->ops[op])
        p->ops[op] = calloc(N_ERR_REASONS, sizeof *p->ops[op]);
    return p->ops[op] ? &p->ops[op][result] : NULL;
}

void stats_count(struct stats *s, unsigned op, const char *profile, enum err_reason result)
{
    struct stats_profile *p = find(s, profile);

    assert(op < STATS_MAX_OPS && result < N_ERR_REASONS);
    uint64_t *n = p ? place(p, op, result) : NULL;
    if (n && *n == 0 && s->n_results == STATS_MAX_RESULTS)
        n = NULL;
    if (n)
        s->n_results += *n == 0;
    else
        n = place(&s->none, op, result);
    if (n)
        ++*n;
}

static void tell_profile(const struct stats_profile *p, void *ctx,
                         void (*tell)(void *ctx, unsigned op, const char *profile, enum err_reason result, uint64_t n))
{
    for (unsigned op = 0; op < STATS_MAX_OPS; op++)
        for (unsigned r = 0; p->ops[op] && r < N_ERR_REASONS; r++)
            if (p->ops[op][r])
                tell(ctx, op, p->name, r, p->ops[op][r]);
}

void stats_each(const struct stats *s, void *ctx,
                void (*tell)(void *ctx, unsigned op, const char *profile, enum err_reason result, uint64_t n))
{
    tell_profile(&s->none, ctx, tell);
    for (size_t i = 0; i < s->n_profiles; i++)
        tell_profile(&s->profiles[i], ctx, tell);
}

/* --- refusals ------------------------------------------------------------------------------- */

void stats_refused(struct stats *s, int64_t now, uint32_t uid, unsigned op, const char *profile, const struct err *why)
{
    struct stats_refusal *r = &s->refusals[s->n_refusals++ % STATS_MAX_REFUSALS];

    *r = (struct stats_refusal){ .at = now, .uid = uid, .op = op, .why = *why };
    if (find(s, profile))
        snprintf(r->profile, sizeof r->profile, "%s", profile);
}

const struct stats_refusal *stats_refusal(const struct stats *s, size_t i)
{
    if (i >= s->n_refusals || i >= STATS_MAX_REFUSALS)
        return NULL;
    return &s->refusals[(s->n_refusals - 1 - i) % STATS_MAX_REFUSALS];
}

/* --- times ------------------------------------------------------------------------------------ */

void stats_took(struct stats *s, enum stats_kind kind, enum stats_stage stage, int64_t us, uint64_t n)
{
    struct stats_times *t = &s->times[kind][stage];
    uint64_t took_us = us > 0 ? (uint64_t)us : 0;
    size_t i = 0;

    while (i < STATS_N_BOUNDS && took_us > stats_bounds_us[i])
        i++;
    t->counts[i] += n;
    t->sum_us += took_us * n;
}
