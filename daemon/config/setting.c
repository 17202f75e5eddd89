#include "daemon/config/setting.h"

#include "daemon/config/value.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_LIST 256u          /* names in a list */
#define MAX_KNOWN 64u          /* rows of a table */

#define FIELD(type, record, s) (*(type *)((char *)(record) + (s)->offset))

void setting_mistake(struct reading *r, const struct setting *s, const struct tree *v, const char *fmt, ...)
{
    char text[400];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    mistake(r->m, v->line, "%s.%s: %s", r->where, s->name, text);
}

/* The text of a scalar, or NULL with the mistake told. */
static const char *scalar(struct reading *r, const struct setting *s, const struct tree *v)
{
    if (v->kind == TREE_TEXT)
        return v->text;
    setting_mistake(r, s, v, "wants one value, not a %s", v->kind == TREE_MAP ? "map" : "list");
    return NULL;
}

/* --- texts ----------------------------------------------------------------------- */

static bool text_ok(struct reading *r, const struct setting *s, const struct tree *v)
{
    size_t len = strlen(v->text);

    if (len == 0 || (s->max && len > (size_t)s->max)) {
        setting_mistake(r, s, v, len ? "has %zu bytes, more than %lld" : "is empty (%zu of %lld bytes)", len,
                        (long long)s->max);
        return false;
    }
    for (const char *at = v->text; *at; at++)
        if (iscntrl((unsigned char)*at)) {
            setting_mistake(r, s, v, "has a control character");
            return false;
        }
    return true;
}

/* A copy; without memory the file counts as wrong, never as silent. */
static char *copy(struct reading *r, const struct tree *v)
{
    char *text = strdup(v->text);

    if (!text)
        mistake(r->m, v->line, "%s: no memory to read it", r->where);
    return text;
}

void setting_text(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    if (!scalar(r, s, v) || !text_ok(r, s, v))
        return;
    free(FIELD(char *, record, s));
    FIELD(char *, record, s) = copy(r, v);
}

void setting_path(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    if (scalar(r, s, v) && v->text[0] != '/')
        setting_mistake(r, s, v, "'%.80s' is no absolute path", v->text);
    else
        setting_text(r, s, v, record);
}

void setting_list(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    char **list = v->kind == TREE_LIST && v->n <= MAX_LIST ? calloc(v->n + 1, sizeof *list) : NULL;
    size_t n = 0;

    if (!list) {
        setting_mistake(r, s, v, "wants a list, [one, two], of at most %u", MAX_LIST);
        return;
    }
    for (size_t i = 0; i < v->n; i++) {
        bool twice = false;
        if (!scalar(r, s, v->items[i]) || !text_ok(r, s, v->items[i]))
            continue;
        for (size_t k = 0; k < n; k++)
            twice |= strcmp(list[k], v->items[i]->text) == 0;
        if (twice)
            setting_mistake(r, s, v->items[i], "'%.60s' stands twice", v->items[i]->text);
        else if ((list[n] = copy(r, v->items[i])))
            n++;
    }
    FIELD(char **, record, s) = list;
    *(size_t *)((char *)record + s->n_offset) = n;
}

/* --- numbers, durations, times ------------------------------------------------------ */

/* A number in its field's unit, as a person would write it. */
static void show(char out[VALUE_MAX], int64_t n, int64_t factor, const char *unit)
{
    if (factor)
        value_duration_write(n * factor, out);
    else
        snprintf(out, VALUE_MAX, "%lld%s", (long long)n, unit);
}

static bool in_bounds(struct reading *r, const struct setting *s, const struct tree *v, int64_t n, int64_t factor,
                      const char *unit)
{
    char min[VALUE_MAX], max[VALUE_MAX];

    if (n >= s->min && n <= s->max)
        return true;
    show(min, s->min, factor, unit);
    show(max, s->max, factor, unit);
    setting_mistake(r, s, v, "'%.40s' is not between %s and %s", v->text, min, max);
    return false;
}

void setting_number(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    int64_t n;

    if (!scalar(r, s, v))
        return;
    if (!value_number(v->text, &n))
        setting_mistake(r, s, v, "'%.40s' is no number", v->text);
    else if (in_bounds(r, s, v, n, 0, ""))
        FIELD(uint32_t, record, s) = (uint32_t)n;
}

void setting_auto(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    if (v->kind == TREE_TEXT && strcmp(v->text, "auto") == 0)
        FIELD(uint32_t, record, s) = 0;
    else
        setting_number(r, s, v, record);
}

void setting_size(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    int64_t n;

    if (!scalar(r, s, v))
        return;
    if (!value_size(v->text, &n))
        setting_mistake(r, s, v, "'%.40s' is no size: write 64KiB, 1MiB or bytes", v->text);
    else if (in_bounds(r, s, v, n, 0, " bytes"))
        FIELD(uint32_t, record, s) = (uint32_t)n;
}

void setting_rate(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    int64_t n;

    if (!scalar(r, s, v))
        return;
    if (!value_rate(v->text, &n))
        setting_mistake(r, s, v, "'%.40s' is no rate: write 2000/s", v->text);
    else if (in_bounds(r, s, v, n, 0, "/s"))
        FIELD(uint32_t, record, s) = (uint32_t)n;
}

/* A duration in units of unit_ms; false with the mistake told. */
static bool duration(struct reading *r, const struct setting *s, const struct tree *v, int64_t unit_ms, int64_t *out)
{
    int64_t ms;

    if (!scalar(r, s, v))
        return false;
    if (!value_duration(v->text, &ms)) {
        setting_mistake(r, s, v, "'%.40s' is no duration: write 500ms, 30s, 15m, 12h or 30d", v->text);
        return false;
    }
    if (ms % unit_ms) {
        setting_mistake(r, s, v, "'%.40s' is no whole number of seconds", v->text);
        return false;
    }
    *out = ms / unit_ms;
    return in_bounds(r, s, v, *out, unit_ms, "");
}

void setting_ms(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    int64_t n;

    if (duration(r, s, v, 1, &n))
        FIELD(uint32_t, record, s) = (uint32_t)n;
}

void setting_s(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    int64_t n;

    if (duration(r, s, v, 1000, &n))
        FIELD(uint32_t, record, s) = (uint32_t)n;
}

void setting_span(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    int64_t n;

    if (duration(r, s, v, 1000, &n))
        FIELD(int64_t, record, s) = n;
}

void setting_span_or_never(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    if (v->kind == TREE_TEXT && strcmp(v->text, "never") == 0)
        FIELD(int64_t, record, s) = 0;
    else
        setting_span(r, s, v, record);
}

void setting_time(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    int64_t t;

    if (!scalar(r, s, v))
        return;
    if (!value_time(v->text, &t) || t > LABEL_MAX_TIME)
        setting_mistake(r, s, v, "'%.40s' is no time: write 2026-11-24T10:00:00Z or Unix seconds", v->text);
    else
        FIELD(int64_t, record, s) = t;
}

void setting_bool(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    if (scalar(r, s, v) && !value_bool(v->text, &FIELD(bool, record, s)))
        setting_mistake(r, s, v, "'%.40s' is neither yes nor no", v->text);
}

void setting_alg(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    const char *known[MAX_KNOWN];
    size_t n = 0;

    if (!scalar(r, s, v))
        return;
    FIELD(const struct alg *, record, s) = alg_by_name(v->text, strlen(v->text));
    if (FIELD(const struct alg *, record, s))
        return;
    for (; n < MAX_KNOWN && alg_at(n); n++)
        known[n] = alg_at(n)->name;
    setting_unknown(r, v->line, v->text, known, n);
}

/* --- who may ------------------------------------------------------------------------- */

/* A name's id: as resolved, or a number itself. False: there is none, told. */
static bool find_id(struct reading *r, const struct tree *v, const char *what, const struct name_id *ids, size_t n,
                    uint32_t *out)
{
    int64_t number;

    if (value_number(v->text, &number)) {
        *out = (uint32_t)number;
        if (number < UINT32_MAX)
            return true;
        mistake(r->m, v->line, "%s: '%.40s' is no %s id", r->where, v->text, what);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        if (strcmp(ids[i].name, v->text) == 0) {
            *out = ids[i].id;
            return true;
        }
    if (r->names)
        mistake(r->m, v->line, "%s: %s '%.60s' does not exist on this machine", r->where, what, v->text);
    return false;
}

static bool id_of(struct reading *r, const struct tree *v, const char *what, const struct name_id *ids, size_t n,
                  uint32_t *out)
{
    if (!find_id(r, v, what, ids, n, out))
        return false;
    if (*out == POLICY_OVERFLOW_ID)
        mistake(r->m, v->line, "%s: %s '%.60s' is the overflow %cid %u, which the kernel shows for every %cid that it"
                " cannot: it is never allowed; give the application a %s of its own", r->where, what, v->text, *what,
                POLICY_OVERFLOW_ID, *what, what);
    return *out != POLICY_OVERFLOW_ID;
}

static void ids(struct reading *r, const struct tree *v, const char *what, const struct name_id *known, size_t n_known,
                uint32_t **out, size_t *out_n)
{
    if (v->kind != TREE_LIST || v->n > MAX_LIST) {
        mistake(r->m, v->line, "%s: wants a list of %ss, [one, two], of at most %u", r->where, what, MAX_LIST);
        return;
    }
    free(*out);
    *out_n = 0;
    if (!(*out = calloc(v->n + 1, sizeof **out)))
        mistake(r->m, v->line, "%s: no memory to read it", r->where);
    for (size_t i = 0; *out && i < v->n; i++) {
        if (v->items[i]->kind != TREE_TEXT)
            mistake(r->m, v->items[i]->line, "%s: a %s is one name", r->where, what);
        else if (id_of(r, v->items[i], what, known, n_known, &(*out)[*out_n]))
            ++*out_n;
    }
}

void setting_allow(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    static const char *const known[] = { "users", "groups" };
    struct allow *a = &FIELD(struct allow, record, s);
    struct reading inner = *r;
    struct names none = { 0 };
    const struct names *n = r->names ? r->names : &none;

    if (v->kind != TREE_MAP) {
        setting_mistake(r, s, v, "wants {users: [one, two], groups: [three]} or {users: any}");
        return;
    }
    if (snprintf(inner.where, sizeof inner.where, "%.80s.%s", r->where, s->name) < 0)
        return;
    for (size_t i = 0; i < v->n; i++) {
        const char *name = v->keys[i]->text;
        if (strcmp(name, "users") == 0 && v->items[i]->kind == TREE_TEXT && strcmp(v->items[i]->text, "any") == 0)
            a->any = true;
        else if (strcmp(name, "users") == 0)
            ids(&inner, v->items[i], "user", n->users, n->n_users, &a->uids, &a->n_uids);
        else if (strcmp(name, "groups") == 0)
            ids(&inner, v->items[i], "group", n->groups, n->n_groups, &a->gids, &a->n_gids);
        else if (strcmp(name, "units") == 0)
            mistake(r->m, v->keys[i]->line, "%s: 'units' are not served by this version: name the unit's user",
                    inner.where);
        else
            setting_unknown(&inner, v->keys[i]->line, name, known, ARRAY_LEN(known));
    }
}

/* --- maps ------------------------------------------------------------------------------ */

/* Edit distance of short words; longer ones are far from everything. */
static size_t distance(const char *a, const char *b)
{
    size_t row[33], a_len = strlen(a), b_len = strlen(b);

    if (a_len > 32 || b_len > 32)
        return SIZE_MAX;
    for (size_t k = 0; k <= b_len; k++)
        row[k] = k;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t k = 1; k <= b_len; k++) {
            size_t best = diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[k - 1]));
            diagonal = row[k];
            best = best < row[k] + 1 ? best : row[k] + 1;
            row[k] = best < row[k - 1] + 1 ? best : row[k - 1] + 1;
        }
    }
    return row[b_len];
}

void setting_unknown(struct reading *r, size_t line, const char *name, const char *const *known, size_t n)
{
    size_t nearest = 3;        /* more than two letters away is another word */
    const char *meant = NULL;

    for (size_t i = 0; i < n; i++) {
        size_t d = distance(name, known[i]);
        if (d < nearest) {
            nearest = d;
            meant = known[i];
        }
    }
    if (meant)
        mistake(r->m, line, "%s: unknown '%.60s'; did you mean '%s'?", r->where, name, meant);
    else
        mistake(r->m, line, "%s: unknown '%.60s'; signetd.conf(5) lists what there is", r->where, name);
}

static const struct setting *find(const struct setting *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

static void unset(struct reading *r, const struct setting *s, size_t line, bool partial, void *record)
{
    struct tree v = { .kind = TREE_TEXT, .line = line, .text = (char *)(uintptr_t)s->unset };

    if (s->flags & SETTING_REQUIRED && !partial)
        mistake(r->m, line, "%s: '%s' is missing", r->where, s->name);
    else if (s->unset)
        s->read(r, s, &v, record);
}

void setting_map(struct reading *r, const char *where, size_t line, const struct tree *v, const struct setting *table,
                 size_t n, void *record)
{
    const char *known[MAX_KNOWN];

    snprintf(r->where, sizeof r->where, "%s", where);
    if (v && v->kind != TREE_MAP) {
        mistake(r->m, v->line, "%s: wants a map of settings", where);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        known[i] = table[i].name;
        if (!v || !tree_get(v, table[i].name))
            unset(r, &table[i], line, v ? v->partial : r->partial, record);
    }
    for (size_t i = 0; v && i < v->n; i++) {
        const struct setting *s = find(table, n, v->keys[i]->text);
        if (s)
            s->read(r, s, v->items[i], record);
        else
            setting_unknown(r, v->keys[i]->line, v->keys[i]->text, known, n);
    }
}

bool setting_same(const struct setting *s, const void *a, const void *b)
{
    if (s->read != setting_text && s->read != setting_path)
        return FIELD(const uint32_t, a, s) == FIELD(const uint32_t, b, s);
    const char *x = FIELD(char *const, a, s), *y = FIELD(char *const, b, s);
    return x == y || (x && y && strcmp(x, y) == 0);
}
