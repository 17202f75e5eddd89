/*
 * Each ring as a picture: a line a key, from when it signs to when its last
 * token ends, around now. Lengths are shares of the width, so that letters
 * stay letters on any screen.
 */
#include "daemon/publisher/page_private.h"

#include "daemon/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define MAX_DRAWN 12u                /* keys of a ring */
#define ROW 34                       /* pixels */
#define BAR 10
#define DAYS_FROM (2 * 86400)        /* a picture of more is marked by days */

typedef Signet__V1__KeyInfo Key;
typedef Signet__V1__RingStatus Ring;

struct drawing {
    struct page *page;
    const Ring *ring;
    const Key *keys[MAX_DRAWN];
    size_t n, n_left;                /* left: there are more than are drawn */
    int64_t from, to;
};

static bool is(const Key *k, const char *state)
{
    return strcmp(k->state, state) == 0;
}

/* What still counts, newest first. */
static void take_keys(struct drawing *d)
{
    const Signet__V1__ListKeysReply *l = d->page->shown->keys;

    for (size_t i = l->n_keys; i-- > 0;) {
        const Key *k = l->keys[i];
        if (strcmp(k->ring, d->ring->name) != 0 || !(is(k, "next") || is(k, "active") || is(k, "retired") || is(k, "revoked")))
            continue;
        if (d->n == MAX_DRAWN) {
            d->n_left++;
            continue;
        }
        size_t at = d->n++;
        for (; at > 0 && d->keys[at - 1]->activates_at < k->activates_at; at--)
            d->keys[at] = d->keys[at - 1];
        d->keys[at] = k;
    }
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* All that is to come, and as much of what has been as leaves that its room. */
static void choose_span(struct drawing *d)
{
    int64_t now = d->page->now, first = now, last = now;

    for (size_t i = 0; i < d->n; i++) {
        const Key *k = d->keys[i];
        first = k->activates_at < first ? k->activates_at : first;
        last = later(last, later(k->activates_at, later(k->retires_at, k->ends_at)));
    }
    int64_t ahead = later(last - now, later((now - first) / 4, 60));
    d->to = now + ahead + ahead / 20;
    d->from = later(first, now - 2 * ahead) - ahead / 20;
}

static double share(const struct drawing *d, int64_t at)
{
    double x = 100.0 * (double)(at - d->from) / (double)(d->to - d->from);

    return x < 0 ? 0 : x > 100 ? 100 : x;
}

static void bar(const struct drawing *d, const char *kind, int y, int64_t from, int64_t to)
{
    double x = share(d, from), width = share(d, to) - x;

    if (width <= 0)
        return;
    page_printf(d->page, "<rect class=\"b-%s\" x=\"%.2f%%\" y=\"%d\" width=\"%.2f%%\" height=\"%d\" rx=\"3\"/>", kind, x, y,
                width < 0.6 ? 0.6 : width, BAR);
}

static const char *words_of(const Key *k)
{
    return is(k, "next") ? (k->published ? "published, signs next" : "made, not published yet") : is(k, "active") ? "signs"
         : is(k, "retired") ? "retired, its tokens live" : k->state;
}

static void draw_bars(const struct drawing *d, const Key *k, int y)
{
    int64_t signs_to = k->retires_at ? k->retires_at : is(k, "retired") ? k->activates_at : d->to;
    int64_t ends = k->ends_at ? k->ends_at : is(k, "active") || is(k, "next") ? signs_to : d->to;

    if (is(k, "next") && k->published)
        bar(d, "next", y + 16, d->page->now, k->activates_at);
    bar(d, is(k, "revoked") ? "bad" : "sign", y + 16, k->activates_at, signs_to);
    bar(d, "old", y + 16, signs_to, ends);
}

static void name_key(const struct drawing *d, const Key *k, int y)
{
    char kid[9];

    snprintf(kid, sizeof kid, "%s", k->kid);
    page_printf(d->page, "<text class=\"k\" x=\"0\" y=\"%d\">", y + 11);
    page_text(d->page, kid);
    page_printf(d->page, " %s", words_of(k));
    if (k->token[0]) {
        page_put(d->page, " · ");
        page_text(d->page, k->token);
    }
    if (k->signatures) {
        page_put(d->page, " · ");
        page_count(d->page, k->signatures);
        page_put(d->page, " signed");
    }
    page_put(d->page, "</text>");
}

static void mark(const struct drawing *d, int y, const char *anchor, const char *x, int64_t at)
{
    char text[32];
    struct tm tm;
    time_t t = at;

    if (gmtime_r(&t, &tm) && strftime(text, sizeof text, d->to - d->from > DAYS_FROM ? "%e %b %Y" : "%H:%M:%S", &tm))
        page_printf(d->page, "<text x=\"%s\" y=\"%d\" text-anchor=\"%s\">%s</text>", x, y, anchor, text);
}

static void draw(struct drawing *d)
{
    int height = (int)d->n * ROW + 6;
    double now = share(d, d->page->now);

    page_printf(d->page, "<svg height=\"%d\" role=\"img\" aria-label=\"Its keys over time\">", height + 18);
    for (size_t i = 0; i < d->n; i++)
        draw_bars(d, d->keys[i], (int)i * ROW);
    page_printf(d->page, "<line class=\"now\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"14\" y2=\"%d\"/><text class=\"nowt\" x=\"%.2f%%\""
                " y=\"%d\" text-anchor=\"middle\">now</text>", now, now, height, now, height + 14);
    for (size_t i = 0; i < d->n; i++)
        name_key(d, d->keys[i], (int)i * ROW);
    mark(d, height + 14, "start", "0", d->from);
    mark(d, height + 14, "end", "100%", d->to);
    page_put(d->page, "</svg>");
}

/* --- in words ------------------------------------------------------------------------------------- */

struct change { int64_t at; const char *kid, *what; };

static void sooner(struct change *c, int64_t now, int64_t at, const Key *k, const char *what)
{
    if (at > now && (c->at == 0 || at < c->at))
        *c = (struct change){ at, k->kid, what };
}

static void say_next(const struct drawing *d)
{
    struct change next = { 0 };
    char span[CLOCK_TEXT], when[CLOCK_TEXT], kid[9];

    for (size_t i = 0; i < d->n; i++) {
        sooner(&next, d->page->now, d->keys[i]->activates_at, d->keys[i], "signs");
        sooner(&next, d->page->now, d->keys[i]->ends_at, d->keys[i], "leaves the key set");
    }
    if (!next.at) {
        page_put(d->page, "<span class=\"soft small\">no change is planned</span>");
        return;
    }
    snprintf(kid, sizeof kid, "%s", next.kid);
    page_put(d->page, "<span class=\"soft small\">next change: ");
    page_text(d->page, kid);
    page_printf(d->page, " %s in %s, %s</span>", next.what, clock_write_span(span, next.at - d->page->now),
                clock_write(when, next.at));
}

static void say_trouble(struct page *p, const Signet__V1__Error *e, const char *what)
{
    if (!e)
        return;
    page_printf(p, "<p class=\"bad small any\">%s: ", what);
    page_text(p, e->text);
    page_put(p, "</p>");
}

static void ring(struct page *p, const Ring *r)
{
    struct drawing d = { .page = p, .ring = r };

    take_keys(&d);
    choose_span(&d);
    page_put(p, "<div class=\"card\"><div class=\"ringhead\"><h3>");
    page_text(p, r->name);
    page_put(p, "</h3><span class=\"soft\">");
    page_text(p, r->alg);
    page_printf(p, "</span><span class=\"%s\">%s</span>", r->trouble ? "bad" : "good", r->trouble ? "does not sign" : "signs");
    page_printf(p, "<span class=\"soft small\">%u published</span>", r->n_published);
    say_next(&d);
    page_put(p, "</div>");
    say_trouble(p, r->trouble, "It does not sign");
    say_trouble(p, r->rotation_trouble, "Its next key could not be made");
    if (d.n)
        draw(&d);
    if (d.n_left)
        page_printf(p, "<p class=\"soft small\">and %zu more keys</p>", d.n_left);
    page_put(p, "</div>");
}

void page_rings(struct page *p)
{
    static const char *const kinds[][2] = {
        { "next", "published, does not sign yet" }, { "sign", "signs" }, { "old", "retired: published while its tokens live" },
        { "bad", "revoked" },
    };
    const Signet__V1__GetStatusReply *s = p->shown->status;

    page_put(p, "<section><h2>Rings</h2><div class=\"rings\">");
    for (size_t i = 0; i < s->n_rings; i++)
        ring(p, s->rings[i]);
    page_put(p, "</div><p class=\"legend\">");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        page_printf(p, "<span><svg aria-hidden=\"true\"><rect class=\"b-%s\" width=\"14\" height=\"10\" rx=\"3\"/></svg>%s</span>",
                    kinds[i][0], kinds[i][1]);
    page_put(p, "</p></section>");
}
