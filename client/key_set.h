/*
 * key_set: signetd's key set as it was fetched, taken apart by ring: a profile
 * accepts its own ring's keys alone. Never changed once it is there; it lives
 * as long as somebody holds a reference.
 */
#ifndef SIGNET_CLIENT_KEY_SET_H
#define SIGNET_CLIENT_KEY_SET_H

#include "client/signet.h"
#include "proto/cleanup.h"
#include "proto/jose/jwk.h"

#include <stdatomic.h>

struct ring_keys {
    const char *ring;            /* of the set's keys */
    struct jwk_set *set;
    bool partial;                /* not all of them could be read: a newer daemon's, or broken */
};

struct key_set {
    _Atomic unsigned n_refs;
    struct signet_keys *keys;
    struct ring_keys *rings;
    size_t n_rings;
    /* clock_steady_ns: */
    int64_t asked_ns;
    int64_t renew_ns;            /* when to ask for another: half-way to its end, or when it is said to change */
    int64_t until_ns;            /* its max-age */
};

/* One reference. Takes the keys, whatever it returns. */
struct key_set *key_set_new(struct signet_keys *taken, int64_t asked_ns, struct signet_error *e);
struct key_set *key_set_ref(struct key_set *s);
void key_set_unref(struct key_set *s);
DEFINE_CLEANUP(struct key_set, key_set_unref)

/* NULL: the set has no key of this ring, or none that is one. */
const struct ring_keys *key_set_ring(const struct key_set *s, const char *ring);

#endif
