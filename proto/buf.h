/*
 * buf: a bounded, growing byte buffer. One that holds a secret wipes what it
 * lets go of. A failed append (bound reached, no memory) leaves it as it was.
 *
 * Owned by whoever embeds it: buf_init … buf_clear (clear leaves it usable).
 */
#ifndef SIGNET_PROTO_BUF_H
#define SIGNET_PROTO_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data;
    size_t len, cap;     /* bytes used and allocated */
    size_t max;          /* never longer than this */
    bool secret;
};

void buf_init(struct buf *b, size_t max);
void buf_init_secret(struct buf *b, size_t max);
void buf_clear(struct buf *b);

bool buf_append(struct buf *b, const void *bytes, size_t len);
bool buf_append_str(struct buf *b, const char *s);
bool buf_append_char(struct buf *b, char c);
bool buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool buf_vprintf(struct buf *b, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));

/* Room for `len` more bytes at data + len, to be written and then claimed by b->len += n. */
bool buf_reserve(struct buf *b, size_t len);

/* Forgets the first `len` bytes. */
void buf_consume(struct buf *b, size_t len);

#endif
