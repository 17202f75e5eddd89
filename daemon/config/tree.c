#include "daemon/config/tree.h"

#include "daemon/config/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#define MAX_DEPTH 16u
#define MAX_NODES 20000u
#define MAX_NAME 256             /* bytes of a setting's whole name in a message */
#define MAX_MISTAKE 4096u        /* bytes: a sentence and the longest table */

struct reader {
    yaml_parser_t parser;
    struct mistakes *m;
    size_t len;                  /* bytes of the text */
    size_t n_nodes;
    size_t scalar_end;           /* where the last scalar ended */
    bool stopped;                /* nothing after this can be read */
    const char *path[MAX_DEPTH + 2];     /* the names that lead to the map being read, by depth; NULL: a list's item */
};

void mistake(struct mistakes *m, size_t line, const char *fmt, ...)
{
    size_t n = m->n++ < CONFIG_MAX_MISTAKES ? m->n - 1 : CONFIG_MAX_MISTAKES, at = n;
    char text[MAX_MISTAKE];
    va_list args;

    while (at > 0 && m->first[at - 1].line > line)
        at--;
    if (at == CONFIG_MAX_MISTAKES)
        return;
    if (n == CONFIG_MAX_MISTAKES)
        free(m->first[--n].text);
    memmove(&m->first[at + 1], &m->first[at], (n - at) * sizeof *m->first);
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    m->first[at].line = line;
    m->first[at].text = strdup(text);
}

void mistakes_tell(const struct mistakes *m, const char *file, struct buf *out)
{
    for (size_t i = 0; i < m->n && i < CONFIG_MAX_MISTAKES; i++)
        buf_printf(out, "%s:%zu: %s\n", file, m->first[i].line,
                   m->first[i].text ? m->first[i].text : "no memory to say what is wrong");
    if (m->n > CONFIG_MAX_MISTAKES)
        buf_printf(out, "%s: and %zu more\n", file, m->n - CONFIG_MAX_MISTAKES);
}

void mistakes_clear(struct mistakes *m)
{
    for (size_t i = 0; i < m->n && i < CONFIG_MAX_MISTAKES; i++)
        free(m->first[i].text);
    *m = (struct mistakes){ 0 };
}

void tree_free(struct tree *y)
{
    if (!y)
        return;
    for (size_t i = 0; i < y->n; i++) {
        if (y->keys)
            tree_free(y->keys[i]);
        tree_free(y->items[i]);
    }
    free(y->keys);
    free(y->items);
    free(y->text);
    free(y);
}

const struct tree *tree_get(const struct tree *map, const char *name)
{
    for (size_t i = 0; map->kind == TREE_MAP && i < map->n; i++)
        if (strcmp(map->keys[i]->text, name) == 0)
            return map->items[i];
    return NULL;
}

size_t tree_line(const struct tree *map, const char *name)
{
    for (size_t i = 0; map->kind == TREE_MAP && i < map->n; i++)
        if (strcmp(map->keys[i]->text, name) == 0)
            return map->keys[i]->line;
    return map->line;
}

size_t tree_line_of(const struct tree *root, const char *section, const char *entry, const char *setting)
{
    const char *path[] = { section, entry, setting };
    const struct tree *at = root;
    size_t line = at->line;

    for (size_t i = 0; i < ARRAY_LEN(path) && path[i] && at && tree_get(at, path[i]); i++) {
        line = tree_line(at, path[i]);
        at = tree_get(at, path[i]);
    }
    return line;
}

bool tree_has(const struct tree *root, const char *section, const char *entry, const char *setting)
{
    const struct tree *of = tree_get(root, section);

    of = of ? tree_get(of, entry) : NULL;
    return of && tree_get(of, setting);
}

bool tree_whole(const struct tree *root, const char *section, const char *entry)
{
    const struct tree *of = tree_get(root, section);

    if (of && entry)
        of = tree_get(of, entry);
    return of ? !of->partial : !root->partial;
}

static bool next(struct reader *r, yaml_event_t *event)
{
    if (r->stopped)
        return false;
    if (yaml_parser_parse(&r->parser, event))
        return true;
    r->stopped = true;
    mistake(r->m, r->parser.problem_mark.line + 1, "no YAML at column %zu: %s", r->parser.problem_mark.column + 1,
            r->parser.problem ? r->parser.problem : "unreadable");
    return false;
}

/* NULL: enough was read, or there is no memory for more. */
static struct tree *node_new(struct reader *r, enum tree_kind kind, size_t line)
{
    struct tree *y = ++r->n_nodes > MAX_NODES ? NULL : calloc(1, sizeof *y);

    if (r->n_nodes > MAX_NODES)
        mistake(r->m, line, "more than %u values: too long for a configuration", MAX_NODES);
    r->stopped = !y;
    if (y)
        *y = (struct tree){ .kind = kind, .line = line };
    return y;
}

static struct tree *scalar(struct reader *r, const yaml_event_t *event, size_t line)
{
    const char *text = (const char *)event->data.scalar.value;

    r->scalar_end = event->end_mark.index;
    if (strlen(text) != event->data.scalar.length) {
        mistake(r->m, line, "a NUL inside a value");
        return NULL;
    }
    struct tree *y = node_new(r, TREE_TEXT, line);
    if (y && !(y->text = strdup(text))) {
        r->stopped = true;
        tree_free(y);
        return NULL;
    }
    if (y)
        y->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return y;
}

/* Room for one more; grows by doubling. */
static bool grow(struct tree *y)
{
    if (y->n & (y->n - 1))
        return true;
    size_t cap = y->n ? 2 * y->n : 1;
    struct tree **items = reallocarray(y->items, cap, sizeof *items);
    if (items)
        y->items = items;
    struct tree **keys = items && y->kind == TREE_MAP ? reallocarray(y->keys, cap, sizeof *keys) : NULL;
    if (keys)
        y->keys = keys;
    return items && (keys || y->kind != TREE_MAP);
}

static struct tree *node(struct reader *r, const yaml_event_t *event, unsigned depth);

/* The next value, if there is one; NULL: told. */
static struct tree *value(struct reader *r, unsigned depth)
{
    yaml_event_t event;

    if (!next(r, &event))
        return NULL;
    struct tree *y = node(r, &event, depth);
    yaml_event_delete(&event);
    return y;
}

/* "rings.web.alg": the names that lead to this one. */
static void whole_name(const struct reader *r, unsigned depth, const char *name, char out[MAX_NAME])
{
    size_t len = 0;

    for (unsigned i = 0; i < depth; i++)
        if (r->path[i] && len < MAX_NAME / 2)
            len += (size_t)snprintf(out + len, MAX_NAME - len, "%.60s.", r->path[i]);
    snprintf(out + len, MAX_NAME - len, "%.60s", name);
}

static bool name_ok(struct reader *r, const struct tree *map, const struct tree *key, unsigned depth)
{
    char name[MAX_NAME];

    if (!key)
        return false;
    if (key->kind != TREE_TEXT) {
        mistake(r->m, key->line, "a name must be a plain word");
        return false;
    }
    if (!tree_get(map, key->text))
        return true;
    whole_name(r, depth, key->text, name);
    mistake(r->m, key->line, "%s: stands twice; it stood already in line %zu: one of them must go", name,
            tree_line(map, key->text));
    return false;
}

/* Takes both; what cannot be added leaves y partial. */
static void add(struct reader *r, struct tree *y, bool named, struct tree *key, struct tree *item)
{
    bool ok = named && item && grow(y);

    y->partial |= !ok || item->partial;
    if (!ok) {
        r->stopped |= named && item;         /* no memory */
        tree_free(key);
        tree_free(item);
        return;
    }
    if (key)
        y->keys[y->n] = key;
    y->items[y->n++] = item;
}

/* Where the text itself ends in the middle, its last word, and a colon after it, may be a part of one. */
static void drop_cut_word(const struct reader *r, struct tree *y)
{
    y->partial = true;
    if (r->scalar_end + 1 < r->len || y->n == 0 || y->items[y->n - 1]->kind != TREE_TEXT)
        return;
    y->n--;
    tree_free(y->items[y->n]);
    if (y->keys)
        tree_free(y->keys[y->n]);
}

/* Reads the children of a map or a list up to its end, or to where nothing can be read any more. */
static void children(struct reader *r, struct tree *y, unsigned depth)
{
    yaml_event_t event;

    while (next(r, &event)) {
        bool end = event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
        r->path[depth] = NULL;
        struct tree *item = end ? NULL : node(r, &event, depth + 1), *key = NULL;
        yaml_event_delete(&event);
        if (end)
            return;
        bool named = y->kind == TREE_LIST || name_ok(r, y, item, depth);
        if (y->kind == TREE_MAP) {
            key = item;
            r->path[depth] = key && key->kind == TREE_TEXT ? key->text : NULL;
            item = value(r, depth + 1);
        }
        add(r, y, named, key, item);
    }
    drop_cut_word(r, y);
}

static void refuse_decoration(struct reader *r, const yaml_event_t *event, size_t line)
{
    const yaml_char_t *anchor, *tag;

    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    } else {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    }
    if (anchor || tag)
        mistake(r->m, line, "%s ('%.40s'): leave it out", anchor ? "an anchor" : "a tag", anchor ? anchor : tag);
}

static struct tree *node(struct reader *r, const yaml_event_t *event, unsigned depth)
{
    size_t line = event->start_mark.line + 1;

    if (depth > MAX_DEPTH) {
        mistake(r->m, line, "nested more than %u deep", MAX_DEPTH);
        r->stopped = true;
        return NULL;
    }
    if (event->type == YAML_ALIAS_EVENT) {
        mistake(r->m, line, "an alias ('*%.40s'): write the value out", event->data.alias.anchor);
        return NULL;
    }
    refuse_decoration(r, event, line);
    if (event->type == YAML_SCALAR_EVENT)
        return scalar(r, event, line);
    struct tree *y = node_new(r, event->type == YAML_MAPPING_START_EVENT ? TREE_MAP : TREE_LIST, line);
    if (y)
        children(r, y, depth);
    return y;
}

/* Skips to the document's root event; false where there is none. */
static bool root_event(struct reader *r, yaml_event_t *event)
{
    while (next(r, event)) {
        if (event->type == YAML_STREAM_START_EVENT || event->type == YAML_DOCUMENT_START_EVENT) {
            yaml_event_delete(event);
            continue;
        }
        if (event->type != YAML_STREAM_END_EVENT)
            return true;
        yaml_event_delete(event);
        mistake(r->m, 1, "the file is empty: see signetd.conf(5) for what it must say");
        return false;
    }
    return false;
}

/* After the root nothing may follow. */
static void check_end(struct reader *r)
{
    yaml_event_t event;

    while (next(r, &event)) {
        yaml_event_type_t type = event.type;
        size_t line = event.start_mark.line + 1;
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT)
            return;
        if (type != YAML_DOCUMENT_END_EVENT) {
            mistake(r->m, line, "a second document: a configuration is one");
            return;
        }
    }
}

struct tree *tree_read(const char *text, size_t len, struct mistakes *m)
{
    struct reader r = { .m = m, .len = len };
    yaml_event_t event;
    CLEANUP(tree_freep) struct tree *root = NULL;
    size_t before = m->n;

    if (len > CONFIG_MAX_TEXT) {
        mistake(m, 1, "the file has %zu bytes, more than %u", len, CONFIG_MAX_TEXT);
        return NULL;
    }
    if (!yaml_parser_initialize(&r.parser)) {
        mistake(m, 1, "no memory to read it");
        return NULL;
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(len ? text : ""), len);      /* no bytes may be NULL */
    if (root_event(&r, &event)) {
        root = node(&r, &event, 0);
        yaml_event_delete(&event);
        check_end(&r);
    }
    yaml_parser_delete(&r.parser);
    if (root && root->kind != TREE_MAP)
        mistake(m, root->line, "a configuration is a map: daemon, token, rings, profiles");
    if (r.stopped && m->n == before)
        mistake(m, 1, "no memory to read it");
    return root && root->kind == TREE_MAP ? TAKE(root) : NULL;
}
