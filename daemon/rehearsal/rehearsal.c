#include "daemon/rehearsal/run.h"

#include "daemon/ring/check.h"

#include <string.h>

#define EPOCH 1700000000ll       /* where the true clock begins, but for a part of a refresh */

void run_found(struct run *r, struct rehearsal_finding f)
{
    struct rehearsal_finding *first = &r->report->found;

    f.at -= r->began;
    f.copied_at -= r->began;
    f.signed_at -= r->began;
    f.expires_at -= r->began;
    f.key++;
    f.daemon++;
    f.server++;
    if (first->kind == FOUND_NOTHING || f.at < first->at || (f.at == first->at && f.kind < first->kind))
        *first = f;
}

static void clear(struct run *r)
{
    for (unsigned i = 0; i < REHEARSAL_MAX_DAEMONS; i++) {
        knows_clear(&r->daemons[i]);
        free(r->daemons[i].known);
        free(r->daemons[i].spells);
    }
    free(r->keys);
    free(r->live);
    free(r->sets);
}

static bool live_through(const struct ring_settings *s, const struct rehearsal_options *o, struct rehearsal_report *out,
                         struct err *e)
{
    CLEANUP(clear) struct run r = { .s = s, .o = o, .random = o->seed, .report = out };

    *out = (struct rehearsal_report){ 0 };
    r.began = r.now = EPOCH + roll(&r, 0, s->refresh);
    r.end = r.began + o->span;
    out->n_daemons = (unsigned)roll(&r, 2, REHEARSAL_MAX_DAEMONS);
    fleet_live(&r);
    judge(&r);
    habits_try(&r);
    out->lived = r.end - r.began;
    out->n_left = r.n_live;
    return !r.no_memory || err_set(e, ERR_NO_MEMORY, "no memory to rehearse ring '%s'", s->name);
}

/* --- which setting ------------------------------------------------------------------------------- */

static int64_t *setting_of(struct ring_settings *s, const char *name)
{
    const struct { const char *name; int64_t *value; } settings[] = {
        { "publish_ahead", &s->publish_ahead }, { "rotate_every", &s->rotate_every }, { "max_ttl", &s->max_ttl },
    };

    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (strcmp(settings[i].name, name) == 0)
            return settings[i].value;
    return NULL;
}

/* Changes what breaks the arithmetic, one setting after the other, as one follows from another; how many by now. */
static size_t correct(struct ring_settings *s, struct rehearsal_change out[REHEARSAL_MAX_CHANGES], size_t n)
{
    const struct ring_promise none = { 0, 0 };
    struct ring_sum broken[RING_MAX_SUMS];

    while (n < REHEARSAL_MAX_CHANGES && ring_check(s, &none, broken) > 0) {
        int64_t *value = setting_of(s, broken[0].setting);
        if (!value)
            return n;
        out[n++] = (struct rehearsal_change){ broken[0].setting, *value, broken[0].sum };
        *value = broken[0].sum;
    }
    return n;
}

static bool advise(const struct ring_settings *s, const struct rehearsal_options *o, struct rehearsal_report *out,
                   struct err *e)
{
    struct ring_settings other = *s;
    struct rehearsal_change changes[REHEARSAL_MAX_CHANGES];
    struct rehearsal_report again;
    size_t n = correct(&other, changes, 0);

    if (n == 0)
        return true;
    if (!live_through(&other, o, &again, e))
        return false;
    if (again.found.kind == FOUND_NOTHING) {
        memcpy(out->changes, changes, sizeof changes);
        out->n_changes = n;
    }
    return true;
}

bool rehearse(const struct ring_settings *s, const struct rehearsal_options *o, struct rehearsal_report *out, struct err *e)
{
    return live_through(s, o, out, e) && (out->found.kind == FOUND_NOTHING || advise(s, o, out, e));
}

const struct rehearsal_margin *rehearsal_tightest(const struct rehearsal_report *r)
{
    const struct rehearsal_margin *least = NULL;

    for (size_t i = 0; i < N_REHEARSAL_MARGINS; i++)
        if (r->margins[i].met && (!least || r->margins[i].seconds < least->seconds))
            least = &r->margins[i];
    return least;
}

size_t rehearsal_serve(const struct ring_settings *s, int64_t keeps, struct rehearsal_change out[REHEARSAL_MAX_CHANGES])
{
    struct ring_settings other = *s;

    if (keeps <= s->max_age)
        return 0;
    other.max_age = keeps;
    out[0] = (struct rehearsal_change){ "jwks_max_age", s->max_age, keeps };
    return correct(&other, out, 1);
}
