#include "daemon/supervisor/rehearse.h"

#include "daemon/ring/check.h"
#include "daemon/supervisor/source.h"
#include "daemon/supervisor/supervisor.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define YEAR (365ll * 86400)
#define MAX_TEXT 4096u               /* bytes of a line */

/* --- what came of it, in words ------------------------------------------------------------------ */

static void put_line(const char *what, struct buf *text)
{
    printf("  %-9s %.*s\n", what, (int)text->len, text->data ? (const char *)text->data : "");
    text->len = 0;
}

static void say_settings(const struct ring_settings *s, struct buf *out)
{
    const struct { const char *name; int64_t value; } spans[] = {
        { "publish_ahead", s->publish_ahead }, { "max_ttl", s->max_ttl }, { "skew", s->skew }, { "jwks_max_age", s->max_age },
        { "refresh", s->refresh }, { "destroy_after", s->destroy_after }, { "generate_timeout", s->generation_time },
    };

    buf_append_str(out, "rotate_every ");
    if (s->rotate_every)
        rehearsal_say_span(s->rotate_every, out);
    else
        buf_append_str(out, "never");
    for (size_t i = 0; i < ARRAY_LEN(spans); i++) {
        buf_printf(out, ", %s ", spans[i].name);
        rehearsal_say_span(spans[i].value, out);
    }
    buf_printf(out, "%s%s", s->standby ? ", standby" : "", s->destroy_retired_private ? ", destroy_retired_private" : "");
}

/* A ring of several tokens is one on each: what is lived through is one of them. */
static void put_several(const struct ring_config *r, struct buf *text)
{
    if (r->n_tokens < 2)
        return;
    for (size_t i = 0; i < r->n_token_names; i++)
        buf_printf(text, "%s%s", i ? ", " : "", r->token_names[i]);
    buf_append_str(text, ": the ring of one is lived through, as each is for itself; changing over from one to another is not");
    put_line("on tokens", text);
}

static void say_life(const struct rehearsal_report *r, struct buf *out)
{
    rehearsal_say_span(r->lived, out);
    buf_printf(out, ": %u rotations; %u daemons, %u restarts, %u of them in the middle of a step, %u spells blind to the"
               " token; %u keys made that never signed", r->n_rotations, r->n_daemons, r->n_restarts, r->n_crashes, r->n_blind,
               r->n_spare);
}

static void say_tokens(const struct rehearsed *of, struct buf *out)
{
    if (of->is_unpublished)
        buf_append_str(out, "in no key set, so that verifiers ask a daemon each time; ");
    buf_printf(out, "%zu, signed at random and at the worst moments, and checked %zu times", of->report.n_tokens,
               of->report.n_checks);
}

static void say_verdict(const struct rehearsed *of, struct buf *out)
{
    const struct rehearsal_report *r = &of->report;

    rehearsal_say_found(&of->ring->settings, &r->found, out);
    if (r->found.kind == FOUND_NOTHING && r->lived < of->asked) {
        buf_append_str(out, " in the first ");
        rehearsal_say_span(r->lived, out);
        buf_append_str(out, " of the ");
        rehearsal_say_span(of->asked, out);
        buf_append_str(out, " asked for, and no more was lived through: that is how far the keys go that a run holds");
    }
    if (r->found.kind == FOUND_NOTHING && r->n_urgent)
        buf_append_str(out, ", but for those signed at once when nothing else could sign");
    if (r->found.kind == FOUND_NOTHING && of->is_refused)
        buf_append_str(out, "; signetd refuses these settings nevertheless: that it went well was luck");
}

static void put_change(const struct rehearsed *of, struct buf *text)
{
    const struct rehearsal_report *r = &of->report;

    if (r->found.kind == FOUND_NOTHING)
        return;
    if (r->n_changes) {
        rehearsal_say_changes(r->changes, r->n_changes, text);
        buf_append_str(text, "; the same run then finds nothing");
    } else {
        buf_append_str(text, of->is_refused ? "what signetd refuses; that alone does not mend it"
                                            : "no setting: this is a fault of signetd, please report it with this seed");
    }
    put_line("change", text);
}

static void put_mishaps(const struct rehearsal_report *r, struct buf *text)
{
    if (r->silent.seconds) {
        buf_printf(text, "daemon %u had no key to sign with for ", r->silent.daemon);
        rehearsal_say_span(r->silent.seconds, text);
        buf_append_str(text, ", from ");
        rehearsal_say_moment(r->silent.at, text);
        buf_append_str(text, " on; that was the longest");
        put_line("silent", text);
    }
    if (r->n_urgent) {
        buf_printf(text, "%u keys were made when nothing could sign, and signed before verifiers could know them",
                   r->n_urgent);
        put_line("urgent", text);
    }
}

static void put_habits(const struct rehearsed *of, struct buf *text)
{
    struct rehearsal_change changes[REHEARSAL_MAX_CHANGES];

    for (size_t i = 0; i < N_REHEARSAL_HABITS; i++) {
        const struct rehearsal_habit *h = &rehearsal_habits[i];
        size_t n = of->report.n_rejected[i];
        if (h->is_promised || of->is_unpublished)
            continue;
        buf_printf(text, "verifiers that %s: %zu of %zu tokens rejected", h->what, n, of->report.n_tokens);
        size_t n_changes = h->newest_only || n == 0 ? 0 : rehearsal_serve(&of->ring->settings, h->keeps, changes);
        if (n)
            buf_append_str(text, n_changes ? "; they are served by " : "; no setting serves them");
        rehearsal_say_changes(changes, n_changes, text);
        put_line("besides", text);
    }
}

static void put_ring(const struct rehearsed *of)
{
    const struct rehearsal_margin *m = rehearsal_tightest(&of->report);
    CLEANUP(buf_clear) struct buf text;

    buf_init(&text, MAX_TEXT);
    printf("ring %s: %s\n", of->ring->settings.name, of->ring->alg->name);
    say_settings(&of->ring->settings, &text);
    put_line("settings", &text);
    put_several(of->ring, &text);
    if (of->ring->n_outside) {
        buf_printf(&text, "%zu made outside are not rehearsed", of->ring->n_outside);
        put_line("keys", &text);
    }
    say_life(&of->report, &text);
    put_line("lived", &text);
    say_tokens(of, &text);
    put_line("tokens", &text);
    say_verdict(of, &text);
    put_line("verdict", &text);
    put_change(of, &text);
    if (m && of->report.found.kind == FOUND_NOTHING) {
        rehearsal_say_margin(&of->report, m, &text);
        put_line("margin", &text);
    }
    put_mishaps(&of->report, &text);
    put_habits(of, &text);
}

static bool put_all(const char *file, const struct rehearse_args *args, const struct rehearsed *rings, size_t n,
                    const struct buf *refused)
{
    for (size_t i = 0; i < n; i++)
        put_ring(&rings[i]);
    if (refused->len)
        printf("signetd refuses %s:\n%.*s", file, (int)refused->len, (const char *)refused->data);
    printf("seed %llu: --seed %llu lives the same again\n", (unsigned long long)args->seed, (unsigned long long)args->seed);
    return fflush(stdout) == 0 && !ferror(stdout);
}

/* --- the rings ------------------------------------------------------------------------------------- */

/* As the broker has it: HMAC keys have no public half, and a raw profile's ring is published only where it says so. */
static bool is_unpublished(const struct config *c, const struct ring_config *ring)
{
    for (size_t i = 0; i < c->n_profiles; i++)
        if (c->profiles[i].raw && strcmp(c->profiles[i].ring, ring->settings.name) == 0)
            return !ring->publish;
    return ring->alg->family == ALG_HMAC;
}

static bool live(const struct config *c, const struct rehearse_args *args, struct rehearsed *out, struct err *e)
{
    const struct ring_promise none = { 0, 0 };
    struct ring_sum broken[RING_MAX_SUMS];

    for (size_t i = 0; i < c->n_rings; i++) {
        struct rehearsed *of = &out[i];
        of->ring = &c->rings[i];
        of->is_unpublished = is_unpublished(c, of->ring);
        struct ring_settings settings = of->ring->settings;
        of->is_refused = settings.as_written = ring_check(&settings, &none, broken) > 0;
        of->asked = args->years * YEAR;
        const struct rehearsal_options o = { .seed = args->seed, .span = of->asked, .n_tokens = REHEARSAL_TOKENS,
                                             .is_unpublished = of->is_unpublished };
        if (!rehearse(&settings, &o, &of->report, e))
            return false;
    }
    return true;
}

static bool is_found(const struct rehearsed *rings, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (rings[i].report.found.kind != FOUND_NOTHING)
            return true;
    return false;
}

int rehearse_file(const char *file, const struct rehearse_args *said)
{
    CLEANUP(buf_clear) struct buf why;
    struct rehearse_args args = *said;
    uint32_t dice = 1;
    struct err e;

    buf_init(&why, 256 * 1024);
    CLEANUP(config_freep) struct config *c = source_read(file, &why);
    if (!c) {
        fprintf(stderr, "%.*s", (int)why.len, why.data ? (const char *)why.data : "");
        return SUPERVISOR_BAD_CONFIG;
    }
    if (!args.seed_said && getrandom(&dice, sizeof dice, 0) == sizeof dice)
        args.seed = dice;
    CLEANUP(freep) struct rehearsed *rings = calloc(c->n_rings, sizeof *rings);
    if (!rings || !live(c, &args, rings, &e)) {
        fprintf(stderr, "signetd: %s\n", rings ? e.text : "no memory to rehearse");
        return 1;
    }
    bool put = args.json ? rehearse_put_json(&args, rings, c->n_rings, &why) : put_all(file, &args, rings, c->n_rings, &why);
    return put && !why.len && !is_found(rings, c->n_rings) ? 0 : 1;
}
