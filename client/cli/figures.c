#include "client/cli/figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool figures_same_run(const struct signet_status *a, const struct signet_status *b)
{
    return a && b && a->pid == b->pid && a->started_at == b->started_at;
}

/* --- how many ------------------------------------------------------------------------------ */

static bool fits(const char *wanted, const char *is)
{
    return !wanted || strcmp(wanted, is) == 0;
}

static uint64_t sum(const struct signet_status *st, const char *op, const char *result)
{
    uint64_t n = 0;

    for (size_t i = 0; i < st->n_results; i++)
        if (fits(op, st->results[i].op) && fits(result, st->results[i].result))
            n += st->results[i].n;
    return n;
}

/* A profile that a reload took out took its counts along. */
static uint64_t difference(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

uint64_t figures_count(const struct signet_status *now, const struct signet_status *before, const char *op, const char *result)
{
    return difference(sum(now, op, result), figures_same_run(now, before) ? sum(before, op, result) : 0);
}

static int by_number(const void *a, const void *b)
{
    const struct figures_reason *x = a, *y = b;

    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    if (x->n_all != y->n_all)
        return x->n_all > y->n_all ? -1 : 1;
    return strcmp(x->reason, y->reason);
}

static bool is_among(const struct figures_reason *all, size_t n, const char *reason)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i].reason, reason) == 0)
            return true;
    return false;
}

size_t figures_reasons(const struct signet_status *now, const struct signet_status *before,
                       struct figures_reason out[FIGURES_MAX_REASONS])
{
    size_t n = 0;

    for (size_t i = 0; i < now->n_results && n < FIGURES_MAX_REASONS; i++) {
        const char *reason = now->results[i].result;
        if (strcmp(reason, "OK") != 0 && !is_among(out, n, reason))
            out[n++] = (struct figures_reason){ reason, figures_count(now, before, NULL, reason), sum(now, NULL, reason) };
    }
    qsort(out, n, sizeof *out, by_number);
    return n;
}

/* --- how long ------------------------------------------------------------------------------- */

static const struct signet_stage *stage_of(const struct signet_status *st, const char *op, const char *stage)
{
    for (size_t i = 0; i < st->n_stages; i++)
        if (strcmp(st->stages[i].op, op) == 0 && strcmp(st->stages[i].stage, stage) == 0)
            return &st->stages[i];
    return NULL;
}

static uint64_t in_bucket(const struct signet_stage *now, const struct signet_stage *before, size_t i)
{
    return difference(now->counts[i], before ? before->counts[i] : 0);
}

static double within(const struct signet_stage *now, const struct signet_stage *before, double part)
{
    double n = 0, below = 0;

    for (size_t i = 0; i <= now->n_bounds; i++)
        n += (double)in_bucket(now, before, i);
    if (n == 0)
        return -1;
    for (size_t i = 0; i < now->n_bounds; i++) {
        double here = (double)in_bucket(now, before, i), least = i ? now->bounds_us[i - 1] : 0;
        if (here > 0 && below + here >= part * n)
            return least + (now->bounds_us[i] - least) * (part * n - below) / here;
        below += here;
    }
    return INFINITY;
}

double figures_quantile(const struct signet_status *now, const struct signet_status *before, const char *op,
                        const char *stage, double part)
{
    const struct signet_stage *s = stage_of(now, op, stage);
    const struct signet_stage *past = figures_same_run(now, before) ? stage_of(before, op, stage) : NULL;

    return s ? within(s, past && past->n_bounds == s->n_bounds ? past : NULL, part) : -1;
}

const char *figures_write_us(char out[16], double us)
{
    if (us < 0)
        snprintf(out, 16, "-");
    else if (isinf(us))
        snprintf(out, 16, ">10 s");
    else if (us < 9950)
        snprintf(out, 16, us < 995 ? "%.2f ms" : "%.1f ms", us / 1000);
    else if (us < 999500)
        snprintf(out, 16, "%.0f ms", us / 1000);
    else
        snprintf(out, 16, "%.1f s", us / 1e6);
    return out;
}

/* --- JSON -------------------------------------------------------------------------------------- */

json_t *figures_results_json(const struct signet_status *st)
{
    json_t *all = json_array();

    for (size_t i = 0; i < st->n_results; i++)
        json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:I}", "op", st->results[i].op, "profile",
                                             st->results[i].profile, "result", st->results[i].result, "n",
                                             (json_int_t)st->results[i].n));
    return all;
}

json_t *figures_stages_json(const struct signet_status *st)
{
    json_t *all = json_array();

    for (size_t i = 0; i < st->n_stages; i++) {
        const struct signet_stage *s = &st->stages[i];
        json_t *bounds = json_array(), *counts = json_array();
        for (size_t b = 0; b < s->n_bounds; b++)
            json_array_append_new(bounds, json_integer(s->bounds_us[b]));
        for (size_t c = 0; c <= s->n_bounds; c++)
            json_array_append_new(counts, json_integer((json_int_t)s->counts[c]));
        json_array_append_new(all, json_pack("{s:s, s:s, s:o, s:o, s:I}", "op", s->op, "stage", s->stage, "bounds_us", bounds,
                                             "counts", counts, "sum_us", (json_int_t)s->sum_us));
    }
    return all;
}

json_t *figures_refusals_json(const struct signet_status *st)
{
    json_t *all = json_array();

    for (size_t i = 0; i < st->n_refusals; i++) {
        const struct signet_refusal *r = &st->refusals[i];
        json_array_append_new(all, json_pack("{s:I, s:I, s:s, s:s, s:s, s:s}", "at", (json_int_t)r->at, "uid",
                                             (json_int_t)r->uid, "op", r->op, "profile", r->profile, "reason", r->reason,
                                             "text", r->text));
    }
    return all;
}
