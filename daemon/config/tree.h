/*
 * tree: the file as a tree that knows its lines, by libyaml's events: one
 * document of maps, lists and scalars; no aliases, anchors, tags, duplicate
 * names or NUL, bounded in depth and size. And the list of mistakes that
 * everyone who reads the tree adds to.
 *
 * What cannot be read is told and left out, and the maps and lists around it
 * are `partial`: nothing can be said of what is not in them.
 */
#ifndef SIGNET_CONFIG_TREE_H
#define SIGNET_CONFIG_TREE_H

#include "daemon/config/config.h"

enum tree_kind { TREE_TEXT, TREE_MAP, TREE_LIST };

struct tree {
    enum tree_kind kind;
    size_t line;                 /* from 1 */
    char *text;                  /* TREE_TEXT: UTF-8, NUL-terminated */
    bool quoted;
    bool partial;                /* something of it, or in it, could not be read */
    struct tree **keys;          /* TREE_MAP: TREE_TEXT each */
    struct tree **items;         /* values of a map, items of a list */
    size_t n;
};

/* The first CONFIG_MAX_MISTAKES by line; n counts all. A text may have more lines, indented. */
struct mistakes { size_t n; struct { size_t line; char *text; } first[CONFIG_MAX_MISTAKES]; };

void mistake(struct mistakes *m, size_t line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* In the order of their lines, each "file:line: …". */
void mistakes_tell(const struct mistakes *m, const char *file, struct buf *out);
void mistakes_clear(struct mistakes *m);

/* The root map, up to where it can be read, or NULL; what is wrong is told. */
struct tree *tree_read(const char *text, size_t len, struct mistakes *m);
void tree_free(struct tree *y);
DEFINE_CLEANUP(struct tree, tree_free)

/* A map's value, or NULL. */
const struct tree *tree_get(const struct tree *map, const char *name);
/* Where that name stands; the map's own line where it does not. */
size_t tree_line(const struct tree *map, const char *name);

/* By the path root.section.entry.setting, which NULL ends. */
/* The line of it, or of the nearest that stands there. */
size_t tree_line_of(const struct tree *root, const char *section, const char *entry, const char *setting);
/* Whether it stands there. */
bool tree_has(const struct tree *root, const char *section, const char *entry, const char *setting);
/* All of root.section, or of its entry, could be read: what is not there was not wanted. */
bool tree_whole(const struct tree *root, const char *section, const char *entry);

#endif
