#include "daemon/supervisor/rehearse.h"

#include <jansson.h>
#include <stdio.h>

#define MAX_TEXT 4096u               /* bytes of a sentence */

static json_t *text_of(const struct buf *b)
{
    return json_stringn(b->data ? (const char *)b->data : "", b->len);
}

static json_t *settings_of(const struct ring_settings *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b}", "rotate_every_s", (json_int_t)s->rotate_every,
                     "publish_ahead_s", (json_int_t)s->publish_ahead, "max_ttl_s", (json_int_t)s->max_ttl, "skew_s",
                     (json_int_t)s->skew, "jwks_max_age_s", (json_int_t)s->max_age, "refresh_s", (json_int_t)s->refresh,
                     "destroy_after_s", (json_int_t)s->destroy_after, "generate_timeout_s", (json_int_t)s->generation_time,
                     "standby", s->standby, "destroy_retired_private", s->destroy_retired_private);
}

static json_t *changes_of(const struct rehearsal_change *c, size_t n)
{
    json_t *all = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, json_pack("{s:s, s:I, s:I}", "setting", c[i].setting, "was_s", (json_int_t)c[i].was,
                                             "is_s", (json_int_t)c[i].is));
    return all;
}

static json_t *found_of(const struct rehearsed *of)
{
    const struct rehearsal_finding *f = &of->report.found;
    CLEANUP(buf_clear) struct buf text;

    buf_init(&text, MAX_TEXT);
    if (f->kind == FOUND_NOTHING)
        return json_null();
    rehearsal_say_found(&of->ring->settings, f, &text);
    json_t *found = json_pack("{s:s, s:I, s:I, s:I, s:o}", "kind", rehearsal_kind_name(f->kind), "at_s", (json_int_t)f->at,
                              "key", (json_int_t)f->key, "daemon", (json_int_t)f->daemon, "text", text_of(&text));
    if (f->kind == FOUND_REJECTED)
        json_object_update_new(found, json_pack("{s:I, s:I, s:I, s:I}", "server", (json_int_t)f->server, "copied_at_s",
                                                (json_int_t)f->copied_at, "signed_at_s", (json_int_t)f->signed_at,
                                                "expires_at_s", (json_int_t)f->expires_at));
    return found;
}

static json_t *margins_of(const struct rehearsal_report *r)
{
    static const char *const names[N_REHEARSAL_MARGINS] = {
        [MARGIN_KNOWN] = "known", [MARGIN_PUBLISHED] = "published", [MARGIN_KEPT] = "kept",
    };
    json_t *all = json_object();

    for (size_t i = 0; i < N_REHEARSAL_MARGINS; i++) {
        const struct rehearsal_margin *m = &r->margins[i];
        CLEANUP(buf_clear) struct buf text;
        buf_init(&text, MAX_TEXT);
        if (!m->met)
            continue;
        rehearsal_say_margin(r, m, &text);
        json_object_set_new(all, names[i], json_pack("{s:I, s:I, s:I, s:o}", "seconds", (json_int_t)m->seconds, "at_s",
                                                     (json_int_t)m->at, "key", (json_int_t)m->key, "text", text_of(&text)));
    }
    return all;
}

static json_t *habits_of(const struct rehearsed *of)
{
    struct rehearsal_change changes[REHEARSAL_MAX_CHANGES];
    json_t *all = json_array();

    for (size_t i = 0; i < N_REHEARSAL_HABITS; i++) {
        const struct rehearsal_habit *h = &rehearsal_habits[i];
        if (of->is_unpublished && !h->is_promised)
            continue;
        size_t n = h->is_promised || h->newest_only ? 0 : rehearsal_serve(&of->ring->settings, h->keeps, changes);
        json_array_append_new(all, json_pack("{s:s, s:s, s:b, s:I, s:o}", "name", h->name, "verifiers_that", h->what,
                                             "promised", h->is_promised, "rejected", (json_int_t)of->report.n_rejected[i],
                                             "served_by", changes_of(changes, n)));
    }
    return all;
}

static json_t *ring_of(const struct rehearsed *of)
{
    const struct rehearsal_report *r = &of->report;
    const char *verdict = r->found.kind != FOUND_NOTHING ? "found" : of->is_refused ? "refused" :
                          r->lived < of->asked ? "kept-so-far" : "kept";

    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                     "name", of->ring->settings.name, "alg", of->ring->alg->name, "verdict", verdict,
                     "settings", settings_of(&of->ring->settings), "found", found_of(of),
                     "changes", changes_of(r->changes, r->n_changes), "margins", margins_of(r), "habits", habits_of(of),
                     "asked_s", (json_int_t)of->asked, "lived_s", (json_int_t)r->lived, "rotations", (json_int_t)r->n_rotations,
                     "daemons", (json_int_t)r->n_daemons, "restarts", (json_int_t)r->n_restarts,
                     "crashes", (json_int_t)r->n_crashes, "blind", (json_int_t)r->n_blind, "tokens", (json_int_t)r->n_tokens,
                     "checks", (json_int_t)r->n_checks, "most_published", (json_int_t)r->most_published,
                     "left", (json_int_t)r->n_left, "urgent", (json_int_t)r->n_urgent, "silent_s", (json_int_t)r->silent.seconds,
                     "on_tokens", (json_int_t)of->ring->n_tokens);
}

bool rehearse_put_json(const struct rehearse_args *args, const struct rehearsed *rings, size_t n, const struct buf *refused)
{
    json_t *all = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, ring_of(&rings[i]));
    json_t *out = json_pack("{s:I, s:o, s:o}", "seed", (json_int_t)args->seed, "rings", all, "refused",
                            refused->len ? text_of(refused) : json_null());
    bool put = out && json_dumpf(out, stdout, JSON_COMPACT) == 0 && putchar('\n') != EOF && fflush(stdout) == 0;
    json_decref(out);
    return put;
}
