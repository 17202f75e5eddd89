/*
 * The plan as a picture: a key a row, time from left to right. It has a light ground of its own and names every
 * colour, so that it reads the same on a dark page; what a colour says stands in the bar too, where it is wide enough.
 */
#include "client/cli/plan.h"

#include <string.h>
#include <time.h>

#define WIDTH 960
#define MARGIN 20
#define AXIS 95                  /* the dates' base line */
#define HEAD 122                 /* the first key's */
#define ROW 42
#define BAR 14
#define MAX_TICKS 8              /* dates that stand beside each other */
#define ROOM 58                  /* that a word in a bar, or half a date, takes */
#define DAY 86400

static const char style[] =
    "text{fill:#212529} .dim,.dim text{fill:#6c757d} .head{font-size:15px;font-weight:bold} .name{font-weight:bold}"
    " g text{paint-order:stroke;stroke:#fff;stroke-width:3px} g .in{stroke:none} g rect{fill-opacity:.86}"
    " .published{fill:#74c0fc} .signs{fill:#2f9e44} .retired{fill:#ced4da} .revoked{fill:#e03131}"
    " .unproved{fill:#fff;stroke:#e03131;stroke-dasharray:3 2} .in{font-size:9px} .signs+.in,.revoked+.in{fill:#fff}"
    " .grid{stroke:#e9ecef} .kept{stroke:#adb5bd;stroke-dasharray:2 3} .gone{stroke:#495057;stroke-width:1.6;fill:none}"
    " .half{stroke:#495057;fill:#fff} .now{stroke:#d9480f;stroke-width:1.4} .nowtext{fill:#d9480f} .bad{fill:#c92a2a}";

/* The times that the page's width stands for. */
struct scale { int64_t from, to; };

static double x_of(const struct scale *s, int64_t at)
{
    at = at < s->from ? s->from : at > s->to ? s->to : at;
    return MARGIN + (double)(at - s->from) / (double)(s->to - s->from) * (WIDTH - 2 * MARGIN);
}

/* No more of the past than is shown of the time to come, if any is. */
static struct scale scale_of(const struct signet_ring_plan *p)
{
    struct scale s = { p->now, p->until };

    for (size_t i = 0; i < p->n; i++) {
        const struct signet_planned_key *k = &p->keys[i];
        s.from = k->activates_at < s.from ? k->activates_at : s.from;
        s.to = k->activates_at > s.to ? k->activates_at : s.to;
    }
    if (s.to > p->now && s.from < p->now - (s.to - p->now))
        s.from = p->now - (s.to - p->now);
    if (s.to == p->now)
        s.to += s.from < p->now ? (p->now - s.from) / 4 : 3600;
    s.to += 60 + (s.to - s.from) / 20;       /* what goes on at the end is seen to go on */
    return s;
}

/* --- words --------------------------------------------------------------------------------------- */

#define DATE 24                  /* bytes with NUL */
static const char *minute(char out[DATE], int64_t at)
{
    time_t t = (time_t)at;
    struct tm tm;

    if (!gmtime_r(&t, &tm) || strftime(out, DATE, "%Y-%m-%d %H:%M", &tm) == 0)
        snprintf(out, DATE, "%lld", (long long)at);
    return out;
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

static void put_legend(FILE *out)
{
    static const struct { const char *class, *text; } bars[] = {
        { "published", "published, does not sign yet" }, { "signs", "signs" }, { "retired", "retired: verifies" },
        { "revoked", "revoked: neither" }, { "unproved", "not proved: neither" },
    };
    static const int widths[] = { 196, 66, 126, 128, 152 };
    int x = MARGIN, y = 60;

    fputs("  <g class=\"dim\">\n", out);
    for (size_t i = 0; i < ARRAY_LEN(bars); x += widths[i++])
        fprintf(out, "    <rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"12\" height=\"9\"/><text x=\"%d\" y=\"%d\">%s</text>\n",
                bars[i].class, x, y - 8, x + 16, y, bars[i].text);
    fprintf(out, "    <circle class=\"half\" cx=\"%d\" cy=\"%d\" r=\"3.2\"/><text x=\"%d\" y=\"%d\">private half destroyed</text>\n",
            x + 4, y - 4, x + 12, y);
    x += 164;
    fprintf(out, "    <path class=\"gone\" d=\"M%d %dl7 7m0 -7l-7 7\"/><text x=\"%d\" y=\"%d\">destroyed</text>\n  </g>\n", x, y - 8,
            x + 12, y);
}

/* --- the axis ------------------------------------------------------------------------------------ */

/* Of "2026-11-24 10:00" what a tick shows. */
enum part { CLOCK, DAY_OF_YEAR, MONTH };
static const struct { int from, len; } parts[] = { [CLOCK] = { 5, 11 }, [DAY_OF_YEAR] = { 0, 10 }, [MONTH] = { 0, 7 } };

static void put_tick(FILE *out, const struct scale *s, int64_t at, enum part part, double bottom)
{
    double x = x_of(s, at);
    const char *anchor = x < MARGIN + ROOM / 2 ? "start" : x > WIDTH - MARGIN - ROOM / 2 ? "end" : "middle";
    char text[DATE];

    fprintf(out, "    <line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.0f\"/><text x=\"%.1f\" y=\"%d\""
            " text-anchor=\"%s\">%.*s</text>\n", x, AXIS + 5, x, bottom, x, AXIS, anchor, parts[part].len,
            minute(text, at) + parts[part].from);
}

/* The first of a month that is a multiple of `step` months, at or after `at`. */
static int64_t month_at(int64_t at, int step)
{
    time_t t = (time_t)at;
    struct tm tm;

    if (!gmtime_r(&t, &tm))
        return INT64_MAX;
    int month = tm.tm_year * 12 + tm.tm_mon;
    bool is_first = tm.tm_mday == 1 && at % DAY == 0 && month % step == 0;
    month += is_first ? 0 : step - month % step;
    struct tm first = { .tm_year = month / 12, .tm_mon = month % 12, .tm_mday = 1 };
    return timegm(&first);
}

static void put_axis(FILE *out, const struct scale *s, double bottom)
{
    static const int64_t steps[] = { 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600, DAY, 2 * DAY, 7 * DAY, 14 * DAY };
    static const int months[] = { 1, 2, 3, 6, 12, 60, 120, 1200, 12000 };
    int64_t span = s->to - s->from;
    size_t i = 0, m = 0;

    fputs("  <g class=\"dim\">\n", out);
    while (i < ARRAY_LEN(steps) && span / steps[i] > MAX_TICKS)
        i++;
    while (m < ARRAY_LEN(months) - 1 && span / (months[m] * 30 * (int64_t)DAY) > MAX_TICKS)
        m++;
    if (i < ARRAY_LEN(steps)) {
        int64_t monday = steps[i] >= 7 * DAY ? 4 * DAY : 0;      /* the first was 1970-01-05 */
        int64_t first = (s->from - monday + steps[i] - 1) / steps[i] * steps[i] + monday;
        for (int64_t at = first; at <= s->to; at += steps[i])
            put_tick(out, s, at, steps[i] < DAY ? CLOCK : DAY_OF_YEAR, bottom);
    } else {
        for (int64_t at = month_at(s->from, months[m]); at <= s->to; at = month_at(at + 1, months[m]))
            put_tick(out, s, at, MONTH, bottom);
    }
    fputs("  </g>\n", out);
}

/* --- keys ---------------------------------------------------------------------------------------- */

/* `to` 0: nothing foreseen ends it. */
static void put_bar(FILE *out, const struct scale *s, const char *class, double y, int64_t from, int64_t to,
                    const char *more)
{
    double left = x_of(s, from), right = to ? x_of(s, to) : WIDTH - MARGIN;
    char begin[DATE], end[DATE];

    if ((to && to <= from) || (to && to <= s->from))
        return;
    fprintf(out, "    <rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"><title>%s from %s to %s%s%s</title>"
            "</rect>\n", class, left, y, right - left < 1 ? 1 : right - left, BAR, class, minute(begin, from),
            to ? minute(end, to) : "no end foreseen", *more ? "; needs " : "", more);
    if (right - left > ROOM)
        fprintf(out, "    <text class=\"in\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", left + 5, y + BAR - 4, class);
}

static void put_end(FILE *out, const struct scale *s, const struct signet_planned_key *k, double y)
{
    char when[DATE];

    if (k->private_destroyed_at > s->from && k->private_destroyed_at < s->to)
        fprintf(out, "    <circle class=\"half\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.2\"><title>its private half is destroyed %s</title>"
                "</circle>\n", x_of(s, k->private_destroyed_at), y + BAR / 2.0, minute(when, k->private_destroyed_at));
    if (k->destroyed_at <= s->from)
        return;
    double end = x_of(s, k->ends_at && k->ends_at < k->destroyed_at ? k->ends_at : k->destroyed_at);
    double gone = x_of(s, k->destroyed_at);
    fprintf(out, "    <line class=\"kept\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", end, y + BAR / 2.0, gone,
            y + BAR / 2.0);
    if (k->destroyed_at < s->to)
        fprintf(out, "    <path class=\"gone\" d=\"M%.1f %.1fl7 7m0 -7l-7 7\"><title>destroyed %s</title></path>\n", gone - 3.5,
                y + BAR / 2.0 - 3.5, minute(when, k->destroyed_at));
}

/* What stands beside its name. */
static void put_state(FILE *out, const struct signet_ring_plan *p, const struct signet_planned_key *k)
{
    char from[DATE], made[DATE], to[DATE];

    minute(from, k->activates_at);
    if (k->to_come)
        fprintf(out, "is made %s, signs from %s", minute(made, k->published_at), from);
    else
        fprintf(out, "%s, %s %s", k->state, !plan_is_dead(k) ? "signs from" : k->activates_at <= p->now &&
                strcmp(k->state, "revoked") == 0 ? "signed from" : "its turn was to be from", from);
    if (k->retires_at && !plan_is_dead(k))
        fprintf(out, ", retires %s", minute(to, k->retires_at));
}

static void put_key(FILE *out, const struct signet_ring_plan *p, const struct scale *s, size_t i)
{
    const struct signet_planned_key *k = &p->keys[i];
    double y = HEAD + (double)i * ROW;
    int64_t end = k->destroyed_at && (!k->retires_at || k->destroyed_at < k->retires_at) ? k->destroyed_at : k->retires_at;
    const char *turn = strcmp(k->state, "revoked") == 0 ? "revoked" : strcmp(k->state, "orphan") == 0 ? "unproved" : "signs";
    char name[PLAN_NAME], sum[PLAN_SUM];

    fprintf(out, "  <g class=\"key\">\n    <text class=\"name\" x=\"%d\" y=\"%.1f\">", MARGIN, y);
    put_text(out, plan_name(name, p, i));
    fputs("<tspan class=\"dim\" font-weight=\"normal\" dx=\"8\">", out);
    put_state(out, p, k);
    fputs("</tspan></text>\n", out);
    if (k->published_at)
        put_bar(out, s, "published", y + 6, k->published_at, k->activates_at, plan_sum(sum, p, i));
    put_bar(out, s, turn, y + 6, k->activates_at, end, "");
    if (!plan_is_dead(k) && k->retires_at)
        put_bar(out, s, "retired", y + 6, k->retires_at, k->ends_at, "");
    put_end(out, s, k, y + 6);
    fputs("  </g>\n", out);
}

static void put_head(FILE *out, const struct signet_ring_plan *p)
{
    const struct signet_ring *r = p->ring;
    const struct signet_error *trouble = *r->status.trouble.reason ? &r->status.trouble : &r->status.rotation_trouble;
    char every[16], ahead[16], ttl[16];

    fprintf(out, "  <text class=\"head\" x=\"%d\" y=\"26\">ring %s (%s)<tspan class=\"dim\" font-size=\"11\""
            " font-weight=\"normal\" dx=\"10\">%s%s, keys are published %s ahead, tokens live at most %s</tspan></text>\n",
            MARGIN, r->status.name, r->status.alg, r->rotate_every_s ? "a key signs for " : "rotates by command only",
            r->rotate_every_s ? cli_span(every, r->rotate_every_s) : "", cli_span(ahead, r->publish_ahead_s),
            cli_span(ttl, r->max_ttl_s));
    if (*trouble->reason)
        fprintf(out, "  <text class=\"bad\" x=\"%d\" y=\"41\">%s: %s</text>\n", MARGIN,
                trouble == &r->status.trouble ? "does not sign" : "its next key could not be made", trouble->reason);
    else if (plan_late_s(p))
        fprintf(out, "  <text class=\"bad\" x=\"%d\" y=\"41\">late: the next change comes later than rotate_every says"
                "</text>\n", MARGIN);
}

static void put_now(FILE *out, const struct signet_ring_plan *p, const struct scale *s, double bottom)
{
    double x = x_of(s, p->now);
    char when[DATE];

    fprintf(out, "  <line class=\"now\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.0f\"/>\n", x, AXIS - 14, x, bottom);
    fprintf(out, "  <text class=\"nowtext\" x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">now: %s UTC</text>\n",
            x > WIDTH / 2 ? x + 2 : x - 2, AXIS - 17, x > WIDTH / 2 ? "end" : "start", minute(when, p->now));
}

void plan_svg(const struct signet_ring_plan *p, FILE *out)
{
    struct scale s = scale_of(p);
    double height = HEAD + (double)p->n * ROW + MARGIN / 2.0;

    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" font-family=\"system-ui, sans-serif\""
            " font-size=\"11\">\n  <style>%s</style>\n  <rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n", WIDTH, height,
            style);
    put_head(out, p);
    put_legend(out);
    put_now(out, p, &s, height - MARGIN / 2.0);
    put_axis(out, &s, height - MARGIN / 2.0);
    for (size_t i = 0; i < p->n; i++)
        put_key(out, p, &s, i);
    fputs("</svg>\n", out);
}
