/* ring_private: a ring's inside, shared by ring (what is) and plan (what is to be done). */
#ifndef SIGNET_RING_PRIVATE_H
#define SIGNET_RING_PRIVATE_H

#include "daemon/ring/ring.h"

/*
 * A place in the order of activation, so that the last whose time has come is
 * the one that signs: by activates_at; a tie goes to who can sign, then to the
 * smaller kid. A revoked key holds its place though it is gone.
 */
struct ring_place {
    struct ring_key key;        /* activates_at with the promotion applied */
    bool revoked;
    bool on_token;              /* an object is there; else only the revoked fact */
};

struct ring {
    struct ring_settings s;
    struct ring_place *places;
    size_t n;
};

/* Puts the places in their order; to be called when one was added or has another time. */
void ring_sort(struct ring *r);

/* When the first place, from the `i`th on, that comes after that moment has its turn; INT64_MAX: none has. */
int64_t ring_turn_after(const struct ring *r, size_t i, int64_t at);
/* The index of the last place whose time has come; -1: none. */
ptrdiff_t ring_active(const struct ring *r, int64_t now);
int64_t ring_most(int64_t a, int64_t b);
/* How long a copy of the key set that is out may be used, by the longest of what keys and settings promise. */
int64_t ring_longest_max_age(const struct ring *r, int64_t now);
/* As ring_turn, and known to every verifier before, though nothing signs meanwhile: by itself no key does at once. */
int64_t ring_own_turn(const struct ring *r, int64_t now);
/* The index of the first proved key to come that counts; -1: none. */
ptrdiff_t ring_coming(const struct ring *r, int64_t now);

#endif
