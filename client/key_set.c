#include "client/key_set.h"

#include "client/error.h"
#include "client/keys.h"
#include "proto/jose/json.h"

#include <string.h>

#define MAX_RINGS 1024u          /* with public keys: what a hostile answer may make us compare */
#define CHANGED_S 1              /* after the moment of a change, which is told in whole seconds and a little later than asked */
#define NS INT64_C(1000000000)

void key_set_unref(struct key_set *s)
{
    if (!s || atomic_fetch_sub(&s->n_refs, 1) > 1)
        return;
    for (size_t i = 0; i < s->n_rings; i++)
        jwk_set_free(s->rings[i].set);
    free(s->rings);
    signet_keys_free(s->keys);
    free(s);
}

struct key_set *key_set_ref(struct key_set *s)
{
    if (s)
        atomic_fetch_add(&s->n_refs, 1);
    return s;
}

const struct ring_keys *key_set_ring(const struct key_set *s, const char *name)
{
    for (size_t i = 0; i < s->n_rings; i++)
        if (strcmp(s->rings[i].ring, name) == 0 && s->rings[i].set)
            return &s->rings[i];
    return NULL;
}

/* The keys of each ring as a set of their own, in `sets`, which are JSON yet: where the ring's stands. NULL: no room. */
static json_t *keys_of_ring(struct key_set *s, json_t *sets[MAX_RINGS], const char *ring)
{
    size_t i = 0;

    while (i < s->n_rings && strcmp(s->rings[i].ring, ring) != 0)
        i++;
    if (i == MAX_RINGS)
        return NULL;
    if (i == s->n_rings) {
        sets[i] = json_pack("{s:[]}", "keys");
        if (!sets[i])
            return NULL;
        s->rings[s->n_rings++] = (struct ring_keys){ .ring = ring };
    }
    return json_object_get(sets[i], "keys");
}

/* A ring whose keys are no set is left out: the daemon judges its tokens. */
static bool add_rings(struct key_set *s, json_t *keys, struct signet_error *e)
{
    CLEANUP(freep) json_t **sets = calloc(MAX_RINGS, sizeof *sets);
    struct err why;
    bool ok = sets != NULL;

    s->rings = calloc(MAX_RINGS, sizeof *s->rings);
    for (size_t i = 0; ok && s->rings && i < json_array_size(keys); i++) {
        json_t *own = keys_of_ring(s, sets, keys_ring(s->keys, i));
        ok = own && json_array_append(own, json_array_get(keys, i)) == 0;
    }
    for (size_t i = 0; sets && i < s->n_rings; i++) {
        s->rings[i].set = ok ? jwk_set_of(sets[i], &why) : NULL;
        s->rings[i].partial = s->rings[i].set &&
                              jwk_set_size(s->rings[i].set) < json_array_size(json_object_get(sets[i], "keys"));
        json_decref(sets[i]);
    }
    return (ok && s->rings) || error_set(e, ERR_PROTOCOL_BROKEN, "a key set of more than %u rings, or no memory for it",
                                         MAX_RINGS);
}

struct key_set *key_set_new(struct signet_keys *taken, int64_t asked_ns, struct signet_error *e)
{
    CLEANUP(key_set_unrefp) struct key_set *s = calloc(1, sizeof *s);
    struct err why;
    CLEANUP(json_decrefp) json_t *doc = json_object_read(taken->jwks, strlen(taken->jwks), ERR_PROTOCOL_BROKEN, &why);

    if (!s) {
        signet_keys_free(taken);
        error_no_memory(e);
        return NULL;
    }
    s->n_refs = 1;
    s->keys = taken;
    s->asked_ns = asked_ns;
    s->until_ns = asked_ns + (int64_t)taken->max_age_s * NS;
    s->renew_ns = asked_ns + (s->until_ns - asked_ns) / 2;
    int64_t changed_ns = asked_ns + ((int64_t)taken->changes_in_s + CHANGED_S) * NS;
    if (taken->changes_in_s && changed_ns < s->renew_ns)
        s->renew_ns = changed_ns;
    return add_rings(s, json_object_get(doc, "keys"), e) ? TAKE(s) : NULL;
}
