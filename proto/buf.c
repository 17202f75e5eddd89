#include "proto/buf.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 256u

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){ .max = max };
}

void buf_init_secret(struct buf *b, size_t max)
{
    *b = (struct buf){ .max = max, .secret = true };
}

static void let_go(struct buf *b)
{
    if (b->secret && b->data)
        OPENSSL_cleanse(b->data, b->cap);
    free(b->data);
}

void buf_clear(struct buf *b)
{
    let_go(b);
    b->data = NULL;
    b->len = b->cap = 0;
}

bool buf_reserve(struct buf *b, size_t len)
{
    if (len > b->max || b->len > b->max - len)
        return false;
    if (b->len + len <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap : FIRST_CAP;
    while (cap < b->len + len)
        cap = cap > b->max / 2 ? b->max : cap * 2;
    if (cap > b->max)
        cap = b->max;
    /* not realloc: it may leave a copy of a secret behind */
    uint8_t *data = malloc(cap);
    if (!data)
        return false;
    if (b->len)
        memcpy(data, b->data, b->len);
    let_go(b);
    b->data = data;
    b->cap = cap;
    return true;
}

bool buf_append(struct buf *b, const void *bytes, size_t len)
{
    if (!buf_reserve(b, len))
        return false;
    if (len)
        memcpy(b->data + b->len, bytes, len);
    b->len += len;
    return true;
}

bool buf_append_str(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

bool buf_append_char(struct buf *b, char c)
{
    return buf_append(b, &c, 1);
}

bool buf_vprintf(struct buf *b, const char *fmt, va_list args)
{
    va_list again;

    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    bool fits = len >= 0 && (size_t)len <= b->max && b->len <= b->max - (size_t)len;
    if (fits) {
        char *text = malloc((size_t)len + 1);
        fits = text != NULL;
        if (fits) {
            vsnprintf(text, (size_t)len + 1, fmt, again);
            fits = buf_append(b, text, (size_t)len);
            if (b->secret)
                OPENSSL_cleanse(text, (size_t)len);
        }
        free(text);
    }
    va_end(again);
    return fits;
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    bool fits = buf_vprintf(b, fmt, args);
    va_end(args);
    return fits;
}

void buf_consume(struct buf *b, size_t len)
{
    if (len > b->len)
        len = b->len;
    if (len == 0)
        return;
    memmove(b->data, b->data + len, b->len - len);
    if (b->secret)
        OPENSSL_cleanse(b->data + (b->len - len), len);
    b->len -= len;
}
