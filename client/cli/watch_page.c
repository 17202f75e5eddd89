#include "client/cli/watch_page.h"

#include "client/cli/figures.h"
#include "client/cli/screen.h"
#include "client/clock.h"

#include <string.h>
#include <time.h>

#define WIDE 76u                         /* columns: room for all of a table */
#define TALL 24u                         /* rows: room for an empty one between the parts */
#define STALE_S 30                       /* the daemon proves each 10 s that its token signs */
#define MIN_REFUSALS 3u                  /* rows that many rings leave to them, with their heading */

/* "10:32:39", the terminal's own time zone: it is a person who looks. Returns out. */
static const char *clock_of(char out[16], int64_t at)
{
    time_t t = (time_t)at;
    struct tm tm;

    if (!localtime_r(&t, &tm) || strftime(out, 16, "%H:%M:%S", &tm) == 0)
        snprintf(out, 16, "?");
    return out;
}

/* "3d2h": two units at most. Returns out. */
static const char *span_of(char out[24], int64_t s)
{
    static const struct { int64_t s; char name; } units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
    size_t i = 0;

    if (s < 0)
        s = 0;
    while (i < ARRAY_LEN(units) - 1 && s < units[i].s)
        i++;
    int len = snprintf(out, 24, "%lld%c", (long long)(s / units[i].s), units[i].name);
    if (i + 1 < ARRAY_LEN(units) && s % units[i].s / units[i + 1].s)
        snprintf(out + len, 24 - (size_t)len, "%lld%c", (long long)(s % units[i].s / units[i + 1].s), units[i + 1].name);
    return out;
}

static void gap(unsigned rows)
{
    if (rows >= TALL)
        screen_row();
}

/* --- the daemon --------------------------------------------------------------------------------- */

static void put_state(const struct look *l)
{
    char at[16], up[24], proved[24];
    const struct signet_status *st = l->now;

    screen_put(NULL, "signetd ");
    if (st)
        screen_put(NULL, "%s ", st->version);
    if (*l->lost.reason)
        screen_put(PAINT_BAD, "does not answer, since %s", clock_of(at, l->lost_at));
    else
        screen_put(st->ready ? PAINT_GOOD : PAINT_BAD, st->ready ? "ready" : "not ready");
    if (st && !*l->lost.reason) {
        screen_put(NULL, ", up %s", span_of(up, l->at - st->started_at));
        bool stale = l->at - st->proved_at > STALE_S;
        if (st->proved_at && (stale || screen_width() >= WIDE))
            screen_put(stale ? PAINT_BAD : NULL, ", proved %s ago", span_of(proved, l->at - st->proved_at));
    }
    if (screen_width() >= WIDE) {
        screen_at(screen_width() - 19);
        screen_put(PAINT_DIM, "%s every %us", clock_of(at, clock_wall_s()), (unsigned)l->interval_s);
    }
    screen_row();
}

static void put_error(const struct signet_error *e)
{
    if (!*e->reason)
        return;
    screen_put(PAINT_BAD, "%s: %s", e->reason, e->text);
    screen_row();
}

/* --- requests ------------------------------------------------------------------------------------- */

static void put_us(unsigned column, double us)
{
    char text[16];

    screen_at(column);
    screen_put(NULL, "%8s", figures_write_us(text, us));
}

static void put_rate(const struct look *l, uint64_t n)
{
    screen_at(8);
    if (l->apart_s > 0 && !*l->lost.reason)
        screen_put(NULL, "%7.*f", (double)n / l->apart_s < 99.95 ? 1 : 0, (double)n / l->apart_s);
    else
        screen_put(NULL, "%7s", "-");
}

static void put_op(const struct look *l, const char *op)
{
    const struct signet_status *st = l->now, *before = l->before;

    screen_put(NULL, "%s", op);
    put_rate(l, figures_count(st, before, op, "OK"));
    put_us(16, figures_quantile(st, before, op, "total", 0.5));
    put_us(25, figures_quantile(st, before, op, "total", 0.99));
    if (screen_width() >= WIDE) {
        put_us(35, figures_quantile(st, before, op, "queue", 0.99));
        put_us(46, figures_quantile(st, before, op, "token", 0.99));
        screen_at(57);
        screen_put(NULL, "%11llu", (unsigned long long)figures_count(st, NULL, op, "OK"));
    }
    screen_row();
}

static void put_reasons(const struct look *l)
{
    struct figures_reason reasons[FIGURES_MAX_REASONS];
    size_t n = figures_reasons(l->now, l->before, reasons);
    uint64_t errors = 0, all = 0;

    for (size_t i = 0; i < n; i++) {
        errors += reasons[i].n;
        all += reasons[i].n_all;
    }
    screen_put(NULL, "errors");
    put_rate(l, errors);
    if (screen_width() >= WIDE) {
        screen_at(57);
        screen_put(NULL, "%11llu", (unsigned long long)all);
    }
    screen_row();
    /* As many as there is room for; what happened just now in colour. */
    for (size_t i = 0, used = 0; i < n; i++) {
        char text[80];
        int len = snprintf(text, sizeof text, "%.40s %llu", reasons[i].reason, (unsigned long long)reasons[i].n_all);
        if (used && used + 2 + (size_t)len > screen_width())
            break;
        screen_put(NULL, used ? ", " : "  ");
        screen_put(reasons[i].n && l->apart_s > 0 ? PAINT_WARN : NULL, "%s", text);
        used += 2 + (size_t)len;
    }
    if (n)
        screen_row();
}

static uint64_t counter(const struct signet_status *st, const char *name)
{
    for (size_t i = 0; i < st->n_counters; i++)
        if (strcmp(st->counters[i].name, name) == 0)
            return st->counters[i].value;
    return 0;
}

static void put_requests(const struct look *l)
{
    screen_put(PAINT_DIM, "         per s       p50      p99");
    if (screen_width() >= WIDE)
        screen_put(PAINT_DIM, "  queue p99  token p99  since start");
    screen_row();
    put_op(l, "sign");
    put_op(l, "verify");
    put_reasons(l);
    screen_put(NULL, "now %llu in flight, %llu waiting, %llu %s", (unsigned long long)counter(l->now, "requests_in_flight"),
               (unsigned long long)counter(l->now, "waiting_for_signers"), (unsigned long long)counter(l->now, "connections"),
               screen_width() >= WIDE ? "connections" : "conns");
    screen_row();
}

/* --- tokens and signers ------------------------------------------------------------------------------ */

static void put_token(const struct signet_token_status *t)
{
    screen_put(NULL, "token %s%s", t->name, *t->name ? " " : "");
    if (*t->trouble.reason)
        screen_put(PAINT_BAD, "%s: %s", t->trouble.reason, t->trouble.text);
    else
        screen_put(NULL, "%s (%s%s%s)%s", t->label, t->manufacturer, *t->model ? ", " : "", t->model,
                   t->software ? ", software" : "");
    screen_row();
}

static const char *colour_of(const struct signet_signer_status *s)
{
    return strcmp(s->state, "ready") == 0 ? PAINT_GOOD : strcmp(s->state, "starting") == 0 ? PAINT_WARN : PAINT_BAD;
}

static void put_signers(const struct signet_status *st)
{
    const struct signet_signer_status *ill = NULL;

    screen_put(NULL, "signers");
    for (size_t i = 0; i < st->n_signers; i++) {
        const struct signet_signer_status *s = &st->signers[i];
        screen_put(NULL, " %u ", (unsigned)s->number);
        screen_put(colour_of(s), "%s", s->state);
        if (s->restarts)
            screen_put(NULL, " (%u restarts)", (unsigned)s->restarts);
        if (*s->why && !ill)
            ill = s;
    }
    screen_row();
    if (!ill)
        return;
    screen_put(PAINT_WARN, "  %u: %s", (unsigned)ill->number, ill->why);
    screen_row();
}

/* --- rings ------------------------------------------------------------------------------------------------ */

static bool is(const struct signet_key *k, const char *state)
{
    return strcmp(k->state, state) == 0;
}

/* Whether it has, or had, its turn in that ring. */
static bool has_turn(const struct signet_key *k, const struct signet_ring_status *r)
{
    return strcmp(k->ring, r->name) == 0 && strcmp(k->token, r->token) == 0 &&
           (is(k, "active") || is(k, "next") || is(k, "retired") || is(k, "expired"));
}

static const struct signet_key *signer_at(const struct look *l, const struct signet_ring_status *r, int64_t at)
{
    const struct signet_key *found = NULL;

    for (size_t i = 0; i < l->keys->n; i++) {
        const struct signet_key *k = &l->keys->keys[i];
        if (has_turn(k, r) && k->activates_at <= at && (!found || k->activates_at >= found->activates_at))
            found = k;
    }
    return found;
}

/* As far back as the key has signed and as far ahead as the next change, whichever is farther. */
static int64_t reach_of(const struct look *l, const struct signet_ring_status *r)
{
    const struct signet_key *k = signer_at(l, r, l->at);
    int64_t back = k ? l->at - k->activates_at : 0, ahead = r->next_activates_at ? r->next_activates_at - l->at : 0;
    int64_t reach = back > ahead ? back : ahead;

    return reach < 60 ? 60 : reach + reach / 4;
}

static void put_cell(const struct signet_key *k)
{
    static const struct { const char *state, *utf8, *ascii, *colour; } cells[] = {
        { "active", "█", "=", PAINT_GOOD }, { "next", "░", "+", PAINT_WARN }, { "retired", "▒", "-", PAINT_WARN },
    };

    for (size_t i = 0; k && i < ARRAY_LEN(cells); i++)
        if (is(k, cells[i].state)) {
            screen_put(cells[i].colour, "%s", screen_has_utf8() ? cells[i].utf8 : cells[i].ascii);
            return;
        }
    screen_put(PAINT_DIM, "%s", screen_has_utf8() ? "·" : ".");
}

/* Who signed and who will: now is in the middle. */
static void put_timeline(const struct look *l, const struct signet_ring_status *r, unsigned cells)
{
    int64_t reach = reach_of(l, r);
    unsigned half = cells / 2;

    for (unsigned i = 0; i < half; i++)
        put_cell(signer_at(l, r, l->at - reach * (half - i) / half));
    screen_put(NULL, "%s", screen_has_utf8() ? "┃" : "|");
    for (unsigned i = 1; i <= half; i++)
        put_cell(signer_at(l, r, l->at + reach * i / half));
}

static void put_ring(const struct look *l, const struct signet_ring_status *r)
{
    bool wide = screen_width() >= WIDE;
    unsigned names = wide ? 20 : 11, column = names + (wide ? 8 : 7), cells = wide ? 24 : 10;
    char in[24];

    screen_put(NULL, "%-*.*s %-6.6s ", (int)names, (int)names, r->name, r->alg);
    if (!*r->active_kid) {
        screen_put(PAINT_BAD, "%s: %s", r->trouble.reason, r->trouble.text);
        screen_row();
        return;
    }
    if (l->keys) {
        put_timeline(l, r, cells);
        column += cells + 2;
    }
    screen_at(column);
    if (*r->rotation_trouble.reason)
        screen_put(PAINT_BAD, "%s: %s", r->rotation_trouble.reason, r->rotation_trouble.text);
    else if (r->next_activates_at)
        screen_put(NULL, wide ? "changes in %s" : "in %s", span_of(in, r->next_activates_at - l->at));
    else
        screen_put(PAINT_DIM, wide ? "no change to come" : "-");
    if (wide && *r->token)
        screen_put(NULL, " on %s", r->token);
    screen_row();
}

/* Who is in trouble first, then whose change is nearest. */
static int by_need(const void *a, const void *b)
{
    const struct signet_ring_status *x = *(const struct signet_ring_status *const *)a;
    const struct signet_ring_status *y = *(const struct signet_ring_status *const *)b;
    int ill_x = !*x->active_kid || *x->rotation_trouble.reason, ill_y = !*y->active_kid || *y->rotation_trouble.reason;

    if (ill_x != ill_y)
        return ill_y - ill_x;
    if (x->next_activates_at != y->next_activates_at)
        return y->next_activates_at == 0 || (x->next_activates_at && x->next_activates_at < y->next_activates_at) ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void put_rings(const struct look *l, unsigned rows)
{
    const struct signet_status *st = l->now;
    CLEANUP(freep) const struct signet_ring_status **rings = calloc(st->n_rings + 1, sizeof *rings);
    size_t n = st->n_rings <= rows ? st->n_rings : rows ? rows - 1 : 0;

    if (!rings)
        return;
    for (size_t i = 0; i < st->n_rings; i++)
        rings[i] = &st->rings[i];
    qsort(rings, st->n_rings, sizeof *rings, by_need);
    for (size_t i = 0; i < n; i++)
        put_ring(l, rings[i]);
    if (n < st->n_rings && rows) {
        screen_put(PAINT_DIM, "and %zu more: signet ring list", st->n_rings - n);
        screen_row();
    }
}

/* --- refusals ------------------------------------------------------------------------------------------------ */

static void put_refusal(const struct signet_refusal *r)
{
    char at[16];

    screen_put(PAINT_DIM, "%s ", clock_of(at, r->at));
    if (screen_width() >= WIDE)
        screen_put(NULL, "uid %u %s%s%s: ", (unsigned)r->uid, r->op, *r->profile ? " " : "", r->profile);
    screen_put(PAINT_WARN, "%s", r->reason);
    screen_put(NULL, ": %s", r->text);
    screen_row();
}

static void put_refusals(const struct signet_status *st)
{
    screen_put(PAINT_DIM, st->n_refusals ? "last refusals" : "nothing was refused");
    screen_row();
    for (size_t i = 0; i < st->n_refusals && screen_left(); i++)
        put_refusal(&st->refusals[i]);
}

void watch_page(const struct look *l)
{
    const struct signet_status *st = l->now;
    unsigned rows = screen_left();

    put_state(l);
    put_error(&l->lost);
    if (!st)
        return;
    if (!*l->lost.reason)
        put_error(&st->trouble);
    for (size_t i = 0; i < st->n_notices && i < (rows >= TALL ? 2 : 1); i++) {
        screen_put(PAINT_WARN, "%s", st->notices[i]);
        screen_row();
    }
    gap(rows);
    put_requests(l);
    gap(rows);
    for (size_t i = 0; i < st->n_tokens && i < (rows >= TALL ? 4 : 2); i++)
        put_token(&st->tokens[i]);
    put_signers(st);
    gap(rows);
    unsigned left = screen_left(), refusals = st->n_refusals + 1 < MIN_REFUSALS ? (unsigned)st->n_refusals + 1 : MIN_REFUSALS;
    put_rings(l, left > refusals ? left - refusals : 0);
    if (rows >= TALL && screen_left() > refusals)
        screen_row();
    put_refusals(st);
}
