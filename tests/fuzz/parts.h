/* parts: inputs that are sequences: a byte that chooses, two of length, and so many bytes, or as many as there are. */
#ifndef SIGNET_TESTS_PARTS_H
#define SIGNET_TESTS_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct part { uint8_t choice; const uint8_t *bytes; size_t len; };
struct parts { const uint8_t *at; size_t left; };

static inline bool parts_next(struct parts *p, struct part *out)
{
    if (p->left < 3)
        return false;
    *out = (struct part){ .choice = p->at[0], .bytes = p->at + 3, .len = (size_t)p->at[1] << 8 | p->at[2] };
    p->left -= 3;
    if (out->len > p->left)
        out->len = p->left;
    p->at += 3 + out->len;
    p->left -= out->len;
    return true;
}

#endif
