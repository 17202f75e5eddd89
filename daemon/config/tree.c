#include "daemon/config/tree.h"

#include "daemon/config/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#define MAX_DEPTH 16u
#define MAX_NODES 20000u

struct reader {
    yaml_parser_t parser;
    struct mistakes *m;
    size_t n_nodes;
};

void mistake(struct mistakes *m, size_t line, const char *fmt, ...)
{
    char text[512];
    va_list args;

    if (++m->n > CONFIG_MAX_MISTAKES)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    buf_printf(m->out, "%s:%zu: %s\n", m->file, line, text);
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

static bool next(struct reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event))
        return true;
    mistake(r->m, r->parser.problem_mark.line + 1, "no YAML at column %zu: %s", r->parser.problem_mark.column + 1,
            r->parser.problem ? r->parser.problem : "unreadable");
    return false;
}

static struct tree *node_new(struct reader *r, enum tree_kind kind, size_t line)
{
    if (++r->n_nodes > MAX_NODES) {
        mistake(r->m, line, "more than %u values: too long for a configuration", MAX_NODES);
        return NULL;
    }
    struct tree *y = calloc(1, sizeof *y);
    if (!y)
        return NULL;
    y->kind = kind;
    y->line = line;
    return y;
}

static struct tree *scalar(struct reader *r, const yaml_event_t *event, size_t line)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;

    if (strlen(text) != len) {
        mistake(r->m, line, "a NUL inside a value");
        return NULL;
    }
    struct tree *y = node_new(r, TREE_TEXT, line);
    if (y && !(y->text = strdup(text))) {
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

/* Reads the children of a map or a list up to its end. */
static bool children(struct reader *r, struct tree *y, unsigned depth)
{
    for (;;) {
        yaml_event_t event;
        struct tree *key = NULL;
        if (!next(r, &event))
            return false;
        bool end = event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
        struct tree *item = end ? NULL : node(r, &event, depth + 1);
        yaml_event_delete(&event);
        if (end)
            return true;
        if (item && y->kind == TREE_MAP) {
            key = item;
            item = NULL;
            if (key->kind != TREE_TEXT)
                mistake(r->m, key->line, "a name must be a plain word");
            else if (tree_get(y, key->text))
                mistake(r->m, key->line, "'%.60s' stands twice; it stood already in line %zu", key->text,
                        tree_get(y, key->text)->line);
            else if (next(r, &event)) {
                item = node(r, &event, depth + 1);
                yaml_event_delete(&event);
            }
        }
        if (!item || !grow(y)) {
            tree_free(key);
            tree_free(item);
            return false;
        }
        if (key)
            y->keys[y->n] = key;
        y->items[y->n++] = item;
    }
}

static struct tree *node(struct reader *r, const yaml_event_t *event, unsigned depth)
{
    size_t line = event->start_mark.line + 1;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    bool map = event->type == YAML_MAPPING_START_EVENT;

    if (depth > MAX_DEPTH) {
        mistake(r->m, line, "nested more than %u deep", MAX_DEPTH);
        return NULL;
    }
    if (event->type == YAML_ALIAS_EVENT) {
        mistake(r->m, line, "an alias ('*%.40s'): write the value out", event->data.alias.anchor);
        return NULL;
    }
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (map) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    } else {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    }
    if (anchor || tag) {
        mistake(r->m, line, "%s ('%.40s'): leave it out", anchor ? "an anchor" : "a tag", anchor ? anchor : tag);
        return NULL;
    }
    if (event->type == YAML_SCALAR_EVENT)
        return scalar(r, event, line);
    CLEANUP(tree_freep) struct tree *y = node_new(r, map ? TREE_MAP : TREE_LIST, line);
    return y && children(r, y, depth) ? TAKE(y) : NULL;
}

/* Skips to the document's root event; false where there is none. */
static bool root_event(struct reader *r, yaml_event_t *event)
{
    for (;;) {
        if (!next(r, event))
            return false;
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
}

/* After the root nothing may follow. */
static bool at_end(struct reader *r)
{
    for (;;) {
        yaml_event_t event;
        if (!next(r, &event))
            return false;
        yaml_event_type_t type = event.type;
        size_t line = event.start_mark.line + 1;
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT)
            return true;
        if (type != YAML_DOCUMENT_END_EVENT) {
            mistake(r->m, line, "a second document: a configuration is one");
            return false;
        }
    }
}

struct tree *tree_read(const char *text, size_t len, struct mistakes *m)
{
    struct reader r = { .m = m };
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
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    if (root_event(&r, &event)) {
        root = node(&r, &event, 0);
        yaml_event_delete(&event);
    }
    bool whole = root && at_end(&r);
    yaml_parser_delete(&r.parser);
    if (whole && root->kind != TREE_MAP)
        mistake(m, root->line, "a configuration is a map: daemon, token, rings, profiles");
    if (!whole && m->n == before)
        mistake(m, 1, "no memory to read it");
    return whole && root->kind == TREE_MAP ? TAKE(root) : NULL;
}
