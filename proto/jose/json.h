/*
 * json: strict JSON objects (RFC 8259) of strangers: no duplicate names at any
 * depth, valid UTF-8, depth at most JSON_MAX_DEPTH, nothing after the object.
 * jansson reads; a scanner of our own finds where each member's value stands,
 * so that it can be signed byte for byte as written.
 */
#ifndef SIGNET_JOSE_JSON_H
#define SIGNET_JOSE_JSON_H

#include "proto/buf.h"
#include "proto/err.h"

#include <jansson.h>

#define JSON_MAX_DEPTH 32u

/*
 * Want of memory is told from bad JSON by reading everything twice: jansson may
 * leave out a letter and say nothing. In a process that is ours alone, before
 * its first JSON and without threads: how jansson's own allocations went is
 * seen, and once is enough. Not for a library, whose process has other users of jansson.
 */
void json_own_memory(void);

/* A strict object, owned by the caller (json_decref), or NULL with `reason` and where the fault is. */
json_t *json_object_read(const void *bytes, size_t len, enum err_reason reason, struct err *e);

/* Appends s as a JSON string. False: no UTF-8, the buffer's bound, or memory. */
bool json_append_string(struct buf *out, const char *s);

/* A member of an object: its name decoded, its value as it stands in the text. */
struct json_member {
    const char *name;        /* UTF-8, NUL-terminated (strict names hold no NUL); owned by the json_t */
    json_t *value;           /* borrowed from the json_t */
    const char *text;        /* the value's bytes in the text read */
    size_t text_len;
};

/*
 * The members of the object that json_object_read made of the same bytes, in
 * the order written. *out is freed by the caller. False: no memory.
 */
bool json_members(json_t *object, const void *bytes, size_t len,
                  struct json_member **out, size_t *out_n, struct err *e);

#endif
