/*
 * setting: a map of the file read by a table: each row a name, how its value
 * becomes a field, its bounds, and what stands where the file is silent.
 * Unknown names get a suggestion; every mistake is told, none stops the rest.
 */
#ifndef SIGNET_CONFIG_SETTING_H
#define SIGNET_CONFIG_SETTING_H

#include "daemon/config/config.h"
#include "daemon/config/tree.h"

#define SETTING_MAX_WHERE 128

struct reading {
    struct mistakes *m;
    const struct names *names;         /* NULL: every name exists */
    bool partial;                      /* the file was: a section that is not there may have been */
    char where[SETTING_MAX_WHERE];     /* the map being read: "rings.web" */
};

struct setting;
/* Reads v into the record; the field's place is in the row. */
typedef void setting_reader(struct reading *r, const struct setting *s, const struct tree *v, void *record);

enum { SETTING_REQUIRED = 1, SETTING_RESTART = 2 };

struct setting {
    const char *name;
    setting_reader *read;
    size_t offset;                     /* of the field */
    size_t n_offset;                   /* of a list's length */
    int64_t min, max;                  /* a number's bounds in its field's unit; a text's in bytes */
    const char *unset;                 /* read as if it stood there; NULL: the field stays zero */
    unsigned flags;
};

setting_reader setting_text,           /* char * */
    setting_path,                      /* char *, absolute */
    setting_list,                      /* char **, with n_offset: each once */
    setting_bool,
    setting_number,                    /* uint32_t */
    setting_auto,                      /* uint32_t; `auto` is 0 */
    setting_size,                      /* uint32_t, bytes */
    setting_rate,                      /* uint32_t, per second */
    setting_ms, setting_s,             /* uint32_t of a duration: milliseconds, seconds */
    setting_span,                      /* int64_t of a duration: seconds */
    setting_span_or_never,             /* `never` is 0 */
    setting_time,                      /* int64_t, Unix seconds */
    setting_allow,                     /* struct allow */
    setting_alg;                       /* const struct alg * */

/* All of a map by its table. v NULL: the file is silent; what is required, and was not cut off, is asked for at `line`. */
void setting_map(struct reading *r, const char *where, size_t line, const struct tree *v, const struct setting *table,
                 size_t n, void *record);

/* "file:line: where.name: …" */
void setting_mistake(struct reading *r, const struct setting *s, const struct tree *v, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* `name` is none of these: says so, and which one may be meant. */
void setting_unknown(struct reading *r, size_t line, const char *name, const char *const *known, size_t n);

/* Whether the field of a text or uint32_t row is the same in both records. */
bool setting_same(const struct setting *s, const void *a, const void *b);

#endif
