#include "client/cli/plan.h"

#include <string.h>

#define WIDTH 960
#define MARGIN 20
#define HEAD 70
#define ROW 46
#define BAR 16

/* The times that the page's width stands for. */
struct scale { int64_t from, to; };

static double x_of(const struct scale *s, int64_t at)
{
    at = at < s->from ? s->from : at > s->to ? s->to : at;
    return MARGIN + (double)(at - s->from) / (double)(s->to - s->from) * (WIDTH - 2 * MARGIN);
}

static struct scale scale_of(const struct signet_ring_plan *p)
{
    struct scale s = { p->now, p->until };

    for (size_t i = 0; i < p->n; i++) {
        const struct signet_planned_key *k = &p->keys[i];
        s.from = k->activates_at < s.from ? k->activates_at : s.from;
        s.to = k->activates_at > s.to ? k->activates_at : s.to;
    }
    s.to += 1 + (s.to - s.from) / 20;     /* what goes on at the end is seen to go on */
    return s;
}

static void put_text(FILE *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '&': fputs("&amp;", out); break;
        default:  fputc(*text, out);
        }
}

/* `to` 0: nothing foreseen ends it. */
static void put_bar(FILE *out, const struct scale *s, const char *class, double y, int64_t from, int64_t to, int64_t now)
{
    double left = x_of(s, from), right = to ? x_of(s, to) : WIDTH - MARGIN;
    char begin[80], end[80];

    if (to && to <= from)
        return;
    fprintf(out, "    <rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"><title>%s: %s to %s</title>"
            "</rect>\n", class, left, y, right - left < 1 ? 1 : right - left, BAR, class, cli_when(begin, from, now),
            to ? cli_when(end, to, now) : "no end foreseen");
}

static void put_key(FILE *out, const struct signet_ring_plan *p, const struct scale *s, size_t i)
{
    const struct signet_planned_key *k = &p->keys[i];
    double y = HEAD + (double)i * ROW;
    bool dead = strcmp(k->state, "revoked") == 0 || strcmp(k->state, "orphan") == 0;
    char name[PLAN_NAME], when[80], sum[PLAN_SUM];

    fputs("  <g class=\"key\">\n", out);
    fprintf(out, "    <text x=\"%d\" y=\"%.1f\">", MARGIN, y);
    put_text(out, plan_name(name, p, i));
    fprintf(out, "%s%s%s, signs from %s", k->to_come ? "" : " (", k->to_come ? "" : k->state, k->to_come ? "" : ")",
            cli_when(when, k->activates_at, p->now));
    if (k->to_come)
        fprintf(out, ", to be made by %s, needs %s", cli_when(when, k->published_at, p->now), plan_sum(sum, p, i));
    fputs("</text>\n", out);
    if (k->published_at)
        put_bar(out, s, "published", y + 6, k->published_at, k->activates_at, p->now);
    put_bar(out, s, dead ? "dead" : "signs", y + 6, k->activates_at, k->retires_at, p->now);
    if (!dead && k->retires_at)
        put_bar(out, s, "retired", y + 6, k->retires_at, k->ends_at, p->now);
    fputs("  </g>\n", out);
}

void plan_svg(const struct signet_ring_plan *p, FILE *out)
{
    struct scale s = scale_of(p);
    double height = HEAD + (double)p->n * ROW + MARGIN, now = x_of(&s, p->now);
    char when[80];

    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" font-family=\"sans-serif\""
            " font-size=\"11\">\n", WIDTH, height);
    fputs("  <style>.published{fill:#9ecae1} .signs{fill:#2b8a3e} .retired{fill:#c9c9c9} .dead{fill:#c92a2a}"
          " .now{stroke:#d9480f}</style>\n  <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n", out);
    fprintf(out, "  <text x=\"%d\" y=\"20\" font-size=\"15\">ring %s (%s)</text>\n", MARGIN, p->ring->status.name,
            p->ring->status.alg);
    fprintf(out, "  <text x=\"%d\" y=\"38\">blue: published and not signing yet; green: signs; grey: retired, verifies;"
            " red: neither</text>\n", MARGIN);
    for (size_t i = 0; i < p->n; i++)
        put_key(out, p, &s, i);
    fprintf(out, "  <line class=\"now\" x1=\"%.1f\" y1=\"46\" x2=\"%.1f\" y2=\"%.0f\"><title>now: %s</title></line>\n",
            now, now, height - MARGIN / 2, cli_when(when, p->now, p->now));
    fputs("</svg>\n", out);
}
