#include "daemon/publisher/page_private.h"

#include "daemon/base/clock.h"
#include "proto/cleanup.h"
#include "proto/wire.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATELY_MS 60000
#define MAX_REASONS 12u              /* shown of those that errors have */

/* --- writing ------------------------------------------------------------------------------------------ */

void page_put(struct page *p, const char *html)
{
    p->ok = p->ok && buf_append_str(p->out, html);
}

void page_printf(struct page *p, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    p->ok = p->ok && buf_vprintf(p->out, fmt, args);
    va_end(args);
}

void page_text(struct page *p, const char *text)
{
    static const struct { char letter; const char *as; } escapes[] = {
        { '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" }, { '"', "&quot;" }, { '\'', "&#39;" },
    };

    if (!wire_utf8((const uint8_t *)text, strlen(text)))
        text = "?";
    for (; *text && p->ok; text++) {
        const char *as = NULL;
        for (size_t i = 0; i < ARRAY_LEN(escapes); i++)
            as = escapes[i].letter == *text ? escapes[i].as : as;
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            as = "?";
        p->ok = as ? buf_append_str(p->out, as) : buf_append_char(p->out, *text);
    }
}

void page_count(struct page *p, uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);

    for (int i = 0; i < len; i++)
        page_printf(p, "%s%c", i && (len - i) % 3 == 0 ? "\u202f" : "", digits[i]);
}

/* --- the head ------------------------------------------------------------------------------------------- */

static void put_head(struct page *p, bool fresh)
{
    const Signet__V1__GetStatusReply *s = p->shown->status;
    char span[CLOCK_TEXT];
    const char *state = !s ? "Starting" : !fresh ? "Silent" : s->ready ? "Ready" : "Not ready";

    page_printf(p, "<header><h1>signet</h1><span class=\"state %s\">%s</span>", fresh && s->ready ? "good" : "bad", state);
    if (s) {
        page_put(p, "<span class=\"soft small\">");
        page_text(p, s->version);
        page_printf(p, " · up %s · configuration %u · sandbox ", clock_write_span(span, p->now - s->started_at),
                    s->config_generation);
        page_text(p, s->sandbox);
        page_put(p, "</span>");
    }
    page_put(p, "</header>");
}

static void say(struct page *p, const char *kind, const char *text)
{
    page_printf(p, "<div class=\"card say %s any\">", kind);
    page_text(p, text);
    page_put(p, "</div>");
}

/* --- numbers ---------------------------------------------------------------------------------------------- */

static double per_second(uint64_t from, uint64_t to, int64_t ms)
{
    return to < from || ms <= 0 ? 0 : 1000.0 * (double)(to - from) / (double)ms;
}

static uint64_t done_at(const struct shown_point *p)
{
    return p->n_signed + p->n_verified;
}

static void put_rate(struct page *p, double rate)
{
    if (rate >= 100)
        page_count(p, (uint64_t)(rate + 0.5));
    else
        page_printf(p, "%.1f", rate);
}

/* Tokens a second, over the points: a line, and what is under it. */
static void put_spark(struct page *p)
{
    const struct shown *s = p->shown;
    double most = 1, rates[SHOWN_POINTS];

    for (size_t i = 1; i < s->n_points; i++) {
        rates[i] = per_second(done_at(&s->points[i - 1]), done_at(&s->points[i]), s->points[i].told_ms - s->points[i - 1].told_ms);
        most = rates[i] > most ? rates[i] : most;
    }
    if (s->n_points < 3)
        return;
    size_t first = SHOWN_POINTS - s->n_points + 1;
    page_put(p, "<svg height=\"44\" viewBox=\"0 0 120 44\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Tokens a second in"
             " the last two minutes\">");
    for (int line = 0; line < 2; line++) {
        page_printf(p, "<path class=\"%s\" vector-effect=\"non-scaling-stroke\" d=\"", line ? "line" : "area");
        for (size_t i = 1; i < s->n_points; i++)
            page_printf(p, "%c%zu %.1f", i == 1 ? 'M' : 'L', first + i - 1, 42 - 40 * rates[i] / most);
        page_printf(p, line ? "\"/>" : "L120 44L%zu 44Z\"/>", first);
    }
    page_put(p, "</svg>");
}

/* In microseconds: so many of a hundred took at most that; -1: none were. Lately, or since the start. */
static double quantile(const struct shown *s, size_t stage, double of, bool lately, bool *out_more)
{
    const struct shown_point *then = lately ? shown_before(s, LATELY_MS) : NULL;
    const struct shown_point *is = s->n_points ? &s->points[s->n_points - 1] : NULL;
    const Signet__V1__StageStatus *st = s->status->stages[stage];
    uint64_t each[SHOWN_BOUNDS], all = 0, below = 0;
    size_t n = st->n_counts < SHOWN_BOUNDS ? st->n_counts : SHOWN_BOUNDS;

    if (!is || stage >= SHOWN_STAGES)
        return -1;
    for (size_t i = 0; i < n; i++)
        all += each[i] = is->counts[stage][i] - (then ? then->counts[stage][i] : 0);
    *out_more = false;
    for (size_t i = 0; i < n && all; i++) {
        if ((double)(below + each[i]) >= of * (double)all && each[i]) {
            *out_more = i >= st->n_bounds_us;
            double from = i && i - 1 < st->n_bounds_us ? st->bounds_us[i - 1] : 0;
            double to = i < st->n_bounds_us ? st->bounds_us[i] : from;
            return from + (to - from) * (of * (double)all - (double)below) / (double)each[i];
        }
        below += each[i];
    }
    return -1;
}

static void put_time(struct page *p, double us, bool more)
{
    if (us < 0)
        page_put(p, "–");
    else if (us < 1000)
        page_printf(p, "%s%.0f µs", more ? "&gt; " : "", us);
    else
        page_printf(p, us < 1e6 ? "%s%.*f ms" : "%s%.*f s", more ? "&gt; " : "", us < 10000 || us >= 1e6 ? 1 : 0,
                    us < 1e6 ? us / 1000 : us / 1e6);
}

static void put_quantile(struct page *p, size_t stage, double of, bool lately)
{
    bool more = false;
    double us = quantile(p->shown, stage, of, lately, &more);

    put_time(p, us, more);
}

static const Signet__V1__StageStatus *stage_named(const struct page *p, const char *op, const char *stage, size_t *out_i)
{
    const Signet__V1__GetStatusReply *s = p->shown->status;

    for (size_t i = 0; i < s->n_stages; i++)
        if (strcmp(s->stages[i]->op, op) == 0 && strcmp(s->stages[i]->stage, stage) == 0) {
            *out_i = i;
            return s->stages[i];
        }
    return NULL;
}

static void put_tiles(struct page *p)
{
    const struct shown *s = p->shown;
    const Signet__V1__GetStatusReply *st = s->status;
    const struct shown_point *then = shown_before(s, LATELY_MS), *is = s->n_points ? &s->points[s->n_points - 1] : NULL;
    int64_t ms = then ? is->told_ms - then->told_ms : 0;
    size_t total, ready = 0;

    page_put(p, "<div class=\"tiles\"><div class=\"wide\"><span>Tokens a second, signed and verified</span><b>");
    put_rate(p, then ? per_second(done_at(then), done_at(is), ms) : 0);
    page_put(p, "</b>");
    put_spark(p);
    page_put(p, "</div><div><span>Signed</span><b>");
    page_count(p, is ? is->n_signed : 0);
    page_put(p, "</b><span>");
    put_rate(p, then ? per_second(then->n_signed, is->n_signed, ms) : 0);
    page_put(p, " a second</span></div><div><span>A signature takes</span><b>");
    if (stage_named(p, "sign", "total", &total)) {
        put_quantile(p, total, 0.5, true);
        page_put(p, "</b><span>99 of 100 at most ");
        put_quantile(p, total, 0.99, true);
        page_put(p, "</span></div>");
    } else {
        page_put(p, "–</b><span>in the last minute</span></div>");
    }
    page_printf(p, "<div><span>Errors</span><b%s>", then && is->n_failed > then->n_failed ? " class=\"warn\"" : "");
    put_rate(p, then ? per_second(then->n_failed, is->n_failed, ms) : 0);
    page_put(p, "</b><span>a second, ");
    page_count(p, is ? is->n_failed : 0);
    page_put(p, " in all</span></div>");
    for (size_t i = 0; i < st->n_signers; i++)
        ready += strcmp(st->signers[i]->state, "ready") == 0;
    page_printf(p, "<div><span>Signers ready</span><b%s>%zu of %zu</b><span>", ready < st->n_signers ? " class=\"bad\"" : "", ready,
                st->n_signers);
    if (st->proved_at) {
        char span[CLOCK_TEXT];
        page_printf(p, "a signature was good %s ago", clock_write_span(span, p->now > st->proved_at ? p->now - st->proved_at : 0));
    } else {
        page_put(p, "no signature was checked yet");
    }
    page_put(p, "</span></div></div>");
}

/* --- tables -------------------------------------------------------------------------------------------------- */

static void put_bar(struct page *p, const char *kind, double of_hundred)
{
    page_printf(p, "<td class=\"bar\"><svg height=\"10\"><rect class=\"b-track\" width=\"100%%\" height=\"10\" rx=\"3\"/>"
                "<rect class=\"b-%s\" width=\"%.1f%%\" height=\"10\" rx=\"3\"/></svg></td>", kind, of_hundred < 1 ? 1 : of_hundred);
}

struct reason { const char *name; uint64_t n; };

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct reason *)a)->n, y = ((const struct reason *)b)->n;

    return x > y ? -1 : x < y;
}

static void put_errors(struct page *p)
{
    const Signet__V1__GetStatusReply *s = p->shown->status;
    CLEANUP(freep) struct reason *all = calloc(s->n_results + 1, sizeof *all);
    size_t n = 0, k;

    page_put(p, "<section><h2>Errors by reason</h2><div class=\"card\">");
    for (size_t i = 0; all && i < s->n_results; i++) {
        const Signet__V1__ResultStatus *r = s->results[i];
        if (strcmp(r->result, "OK") == 0 || r->n == 0)
            continue;
        for (k = 0; k < n && strcmp(all[k].name, r->result) != 0; k++)
            ;
        all[k].name = r->result;
        all[k].n += r->n;
        n = k == n ? n + 1 : n;
    }
    if (n) {
        qsort(all, n, sizeof *all, by_number);
        page_put(p, "<table class=\"plain\"><tbody>");
        for (size_t i = 0; i < n && i < MAX_REASONS; i++) {
            page_put(p, "<tr><td class=\"small any\">");
            page_text(p, all[i].name);
            page_put(p, "</td>");
            put_bar(p, "bad", 100.0 * (double)all[i].n / (double)all[0].n);
            page_put(p, "<td class=\"n\">");
            page_count(p, all[i].n);
            page_put(p, "</td></tr>");
        }
        page_put(p, "</tbody></table>");
    } else {
        page_put(p, "<span class=\"soft\">None since the start.</span>");
    }
    page_put(p, "</div></section>");
}

static void put_latency(struct page *p)
{
    const Signet__V1__GetStatusReply *s = p->shown->status;
    bool more;

    if (s->n_stages == 0)
        return;
    page_put(p, "<section><h2>Latency</h2><div class=\"card\"><table><thead><tr><th>Stage</th><th class=\"n\">half</th>"
             "<th class=\"n\">95 %</th><th class=\"n\">99 %</th></tr></thead><tbody>");
    for (size_t i = 0; i < s->n_stages && i < SHOWN_STAGES; i++) {
        bool lately = quantile(p->shown, i, 0.5, true, &more) >= 0;
        page_put(p, "<tr><td class=\"any\">");
        page_text(p, s->stages[i]->op);
        page_put(p, " <span class=\"soft\">");
        page_text(p, s->stages[i]->stage);
        page_put(p, lately ? "</span></td>" : ", since the start</span></td>");
        for (size_t k = 0; k < 3; k++) {
            page_put(p, "<td class=\"n\">");
            put_quantile(p, i, (const double[]){ 0.5, 0.95, 0.99 }[k], lately);
            page_put(p, "</td>");
        }
        page_put(p, "</tr>");
    }
    page_put(p, "</tbody></table></div></section>");
}

static void put_token(struct page *p, const Signet__V1__TokenStatus *t)
{
    page_put(p, "<p class=\"any\"><b>");
    page_text(p, t->name[0] ? t->name : t->label[0] ? t->label : "token");
    page_printf(p, "</b> <span class=\"%s\">%s</span> <span class=\"soft\">", t->trouble ? "bad" : "good",
                t->trouble ? "cannot be used" : "in use");
    page_text(p, t->manufacturer);
    page_put(p, " ");
    page_text(p, t->model);
    page_put(p, "</span><br><span class=\"small soft\">");
    page_text(p, t->trouble ? t->trouble->text : t->custody);
    page_put(p, "</span></p>");
}

static void put_tokens(struct page *p)
{
    const Signet__V1__GetStatusReply *s = p->shown->status;

    page_put(p, "<section><h2>Token and signers</h2><div class=\"card\">");
    if (s->token)
        put_token(p, s->token);
    for (size_t i = 0; i < s->n_more_tokens; i++)
        put_token(p, s->more_tokens[i]);
    page_put(p, "<table><thead><tr><th>Signer</th><th>State</th><th class=\"n\">signed</th><th class=\"n\">restarts</th></tr>"
             "</thead><tbody>");
    for (size_t i = 0; i < s->n_signers; i++) {
        const Signet__V1__SignerStatus *g = s->signers[i];
        bool ready = strcmp(g->state, "ready") == 0;
        page_printf(p, "<tr><td>%u</td><td class=\"any\"><span class=\"%s\">", g->number, ready ? "good" : "bad");
        page_text(p, g->state);
        page_put(p, "</span>");
        if (!ready && g->why[0]) {
            page_put(p, " <span class=\"small soft\">");
            page_text(p, g->why);
            page_put(p, "</span>");
        }
        page_put(p, "</td><td class=\"n\">");
        page_count(p, g->signatures);
        page_printf(p, "</td><td class=\"n\">%u</td></tr>", g->restarts);
    }
    page_put(p, "</tbody></table></div></section>");
}

static void put_refusals(struct page *p)
{
    const Signet__V1__GetStatusReply *s = p->shown->status;
    char when[CLOCK_TEXT], ago[CLOCK_TEXT];

    page_put(p, "<section><h2>Last refusals</h2><div class=\"card\">");
    if (s->n_refusals == 0)
        page_put(p, "<span class=\"soft\">None since the start.</span>");
    else
        page_put(p, "<table class=\"stack\"><thead><tr><th>When</th><th>Who</th><th>What</th><th>Reason</th></tr></thead><tbody>");
    for (size_t i = 0; i < s->n_refusals; i++) {
        const Signet__V1__RefusalInfo *r = s->refusals[i];
        page_printf(p, "<tr><td class=\"nw small soft\" title=\"%s\">%s ago</td><td class=\"nw small\">uid %u</td>"
                    "<td class=\"small\">", clock_write(when, r->at), clock_write_span(ago, p->now > r->at ? p->now - r->at : 0),
                    r->uid);
        page_text(p, r->op);
        page_put(p, " ");
        page_text(p, r->profile);
        page_put(p, "</td><td class=\"any\">");
        page_text(p, r->reason);
        page_put(p, "<br><span class=\"small soft\">");
        page_text(p, r->text);
        page_put(p, "</span></td></tr>");
    }
    page_put(p, s->n_refusals ? "</tbody></table></div></section>" : "</div></section>");
}

static void put_notices(struct page *p)
{
    const Signet__V1__GetStatusReply *s = p->shown->status;

    if (s->n_notices == 0)
        return;
    page_put(p, "<section><h2>To know</h2><div class=\"card\"><ul>");
    for (size_t i = 0; i < s->n_notices; i++) {
        page_put(p, "<li>");
        page_text(p, s->notices[i]);
        page_put(p, "</li>");
    }
    page_put(p, "</ul></div></section>");
}

static void put_main(struct page *p, int64_t steady_ms)
{
    const struct shown *s = p->shown;
    bool fresh = shown_is_fresh(s, steady_ms);
    char span[CLOCK_TEXT], text[160];

    put_head(p, fresh);
    if (!s->status) {
        say(p, "warn", s->message ? "What the broker says cannot be shown: the log says why. Key sets are served."
                                  : "signetd is starting: the broker has not said anything yet.");
        return;
    }
    if (!fresh) {
        snprintf(text, sizeof text, "The broker has said nothing for %s: it is being replaced, or hangs. What follows is how"
                 " things were.", clock_write_span(span, (steady_ms - s->told_ms) / 1000));
        say(p, "bad", text);
    }
    if (!s->status->ready && s->status->trouble)
        say(p, "bad", s->status->trouble->text);
    put_tiles(p);
    page_rings(p);
    page_put(p, "<div class=\"two\">");
    put_errors(p);
    put_latency(p);
    put_tokens(p);
    put_notices(p);
    page_put(p, "</div>");
    put_refusals(p);
}

bool page_write(const struct shown *s, int64_t now, int64_t steady_ms, struct buf *out)
{
    struct page p = { out, true, s, now };
    bool ready = shown_is_fresh(s, steady_ms) && s->status->ready;
    char when[CLOCK_TEXT];

    page_put(&p, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,"
             "initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>");
    page_put(&p, ready ? "signet: ready" : "signet: not ready");
    page_put(&p, "</title><style>");
    page_put(&p, page_style);
    page_put(&p, "</style></head><body><div id=\"lost\" role=\"status\">signetd does not answer: this is how things were.</div><main>");
    put_main(&p, steady_ms);
    page_printf(&p, "<footer>As of %s. All times are UTC. Numbers to follow: <code>/metrics</code>.<noscript> Without scripts this"
                " stands still: load it again.</noscript></footer></main><script>", clock_write(when, now));
    page_put(&p, page_script);
    page_put(&p, "</script></body></html>\n");
    return p.ok;
}

/* --- its policy ------------------------------------------------------------------------------------------------ */

static bool hash(const char *text, char out[48])
{
    uint8_t digest[EVP_MAX_MD_SIZE];

    return EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL) == 1 &&
           EVP_EncodeBlock((unsigned char *)out, digest, 32) == 44;
}

const char *page_fields(void)
{
    static char fields[768];
    char style[48], script[48];

    if (fields[0])
        return fields;
    if (!hash(page_style, style) || !hash(page_script, script))
        return NULL;
    snprintf(fields, sizeof fields, "Content-Security-Policy: default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s';"
             " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
             "Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n"
             "Cross-Origin-Opener-Policy: same-origin\r\n", style, script);
    return fields;
}
