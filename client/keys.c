#include "client/keys.h"

#include "client/error.h"
#include "client/handle.h"
#include "client/profiles.h"
#include "proto/jose/json.h"

#include <string.h>

#define MAX_PAGES 100u      /* more keys than a ring's settings allow, at one a page */
#define MAX_KEYS 4096u      /* of all pages: what a hostile answer may make us hold */
#define MAX_BYTES (8u * 1024 * 1024)
#define MAX_TRIES 4u        /* a set changes once in days; twice within one call is not to be expected */

struct owned_keys {
    struct signet_keys keys;
    char *jwks;
    struct signet_profile *profiles;
    Signet__V1__Reply **pages;      /* strings of profiles (page 0) and rings live in them */
    size_t n_pages;
    const char **rings;             /* of each key, all pages' */
    size_t n_keys;
};

struct keys_fetch {
    Signet__V1__Reply *pages[MAX_PAGES];
    size_t n;                       /* there already */
    size_t n_keys, n_bytes;         /* in them */
    unsigned n_tries;
};

struct keys_fetch *keys_fetch_new(void)
{
    return calloc(1, sizeof(struct keys_fetch));
}

static void forget(struct keys_fetch *f)
{
    while (f->n)
        signet__v1__reply__free_unpacked(f->pages[--f->n], NULL);
    f->n_keys = f->n_bytes = 0;
}

void keys_fetch_free(struct keys_fetch *f)
{
    if (f)
        forget(f);
    free(f);
}

void keys_fetch_ask(const struct keys_fetch *f, Signet__V1__Request *op, Signet__V1__GetKeysRequest *m)
{
    signet__v1__request__init(op);
    signet__v1__get_keys_request__init(m);
    m->page = (uint32_t)f->n;
    op->op_case = SIGNET__V1__REQUEST__OP_GET_KEYS;
    op->get_keys = m;
}

static bool broken(struct signet_error *e)
{
    return error_set(e, ERR_PROTOCOL_BROKEN, "the key set that signetd answered is none");
}

/* --- the whole of the pages --------------------------------------------------------------------- */

static bool append_page(json_t *all, const Signet__V1__GetKeysReply *page, struct signet_error *e)
{
    struct err why;
    CLEANUP(json_decrefp) json_t *set = json_object_read(page->jwks, strlen(page->jwks), ERR_PROTOCOL_BROKEN, &why);
    json_t *keys = json_object_get(set, "keys");

    if (!json_is_array(keys) || json_array_size(keys) != page->n_rings)
        return broken(e);
    return json_array_extend(json_object_get(all, "keys"), keys) == 0 || error_no_memory(e);
}

/* One page, the usual case, stays to the byte as the daemon wrote it. */
static bool join(struct owned_keys *k, struct signet_error *e)
{
    CLEANUP(json_decrefp) json_t *all = json_pack("{s:[]}", "keys");

    for (size_t i = 0; i < k->n_pages; i++)
        if (!all || !append_page(all, k->pages[i]->get_keys, e))
            return all ? false : error_no_memory(e);
    k->jwks = k->n_pages > 1 ? json_dumps(all, JSON_COMPACT) : strdup(k->pages[0]->get_keys->jwks);
    k->keys.jwks = k->jwks;
    return k->jwks || error_no_memory(e);
}

static bool take_rings(struct owned_keys *k, size_t n, struct signet_error *e)
{
    k->rings = calloc(n + 1, sizeof *k->rings);
    if (!k->rings)
        return error_no_memory(e);
    for (size_t i = 0; i < k->n_pages; i++) {
        const Signet__V1__GetKeysReply *page = k->pages[i]->get_keys;
        for (size_t at = 0; at < page->n_rings; at++)
            k->rings[k->n_keys++] = page->rings[at];
    }
    return true;
}

static bool take_profiles(struct owned_keys *k, struct signet_error *e)
{
    const Signet__V1__GetKeysReply *r = k->pages[0]->get_keys;

    k->profiles = calloc(r->n_profiles + 1, sizeof *k->profiles);
    if (!k->profiles)
        return error_no_memory(e);
    for (size_t i = 0; i < r->n_profiles; i++)
        k->profiles[i] = profile_from_wire(r->profiles[i]);
    k->keys.profiles = k->profiles;
    k->keys.n_profiles = r->n_profiles;
    return true;
}

static enum keys_fetched whole(struct keys_fetch *f, struct signet_keys **out, struct signet_error *e)
{
    struct owned_keys *k = calloc(1, sizeof *k);

    if (k)
        k->pages = malloc(f->n * sizeof *k->pages);
    if (!k || !k->pages) {
        free(k);
        error_no_memory(e);
        return KEYS_FAILED;
    }
    memcpy(k->pages, f->pages, f->n * sizeof *k->pages);
    k->n_pages = f->n;
    f->n = 0;
    k->keys.version = k->pages[0]->get_keys->version;
    k->keys.max_age_s = k->pages[0]->get_keys->max_age_s;
    k->keys.changes_in_s = k->pages[0]->get_keys->changes_in_s;
    if (!join(k, e) || !take_rings(k, f->n_keys, e) || !take_profiles(k, e)) {
        signet_keys_free(&k->keys);
        return KEYS_FAILED;
    }
    *out = &k->keys;
    return KEYS_DONE;
}

enum keys_fetched keys_fetch_take(struct keys_fetch *f, Signet__V1__Reply *taken, struct signet_keys **out,
                                  struct signet_error *e)
{
    const Signet__V1__GetKeysReply *page = taken->get_keys;

    if (f->n > 0 && page->version != f->pages[0]->get_keys->version) {
        signet__v1__reply__free_unpacked(taken, NULL);
        forget(f);
        if (++f->n_tries < MAX_TRIES)
            return KEYS_MORE;
        error_set(e, ERR_PROTOCOL_BROKEN, "the key set changed with every page asked; try again");
        return KEYS_FAILED;
    }
    f->pages[f->n++] = taken;
    f->n_keys += page->n_rings;
    f->n_bytes += strlen(page->jwks);
    const Signet__V1__GetKeysReply *first = f->pages[0]->get_keys;
    if (first->n_pages > MAX_PAGES || f->n_keys > MAX_KEYS || f->n_bytes > MAX_BYTES) {
        broken(e);
        return KEYS_FAILED;
    }
    return f->n < first->n_pages ? KEYS_MORE : whole(f, out, e);
}

/* --- the public calls ---------------------------------------------------------------------------- */

const char *keys_ring(const struct signet_keys *keys, size_t nth)
{
    const struct owned_keys *k = (const struct owned_keys *)keys;

    return nth < k->n_keys ? k->rings[nth] : NULL;
}

struct signet_keys *signet_get_keys(struct signet *s, struct signet_error *e)
{
    CLEANUP(keys_fetch_freep) struct keys_fetch *f = keys_fetch_new();
    struct signet_keys *keys = NULL;
    enum keys_fetched got = KEYS_MORE;
    int64_t until_ms = handle_until_ms(s, NULL);

    if (!f) {
        error_no_memory(e);
        return NULL;
    }
    while (got == KEYS_MORE) {
        Signet__V1__Request op;
        Signet__V1__GetKeysRequest m;
        keys_fetch_ask(f, &op, &m);
        Signet__V1__Reply *reply = handle_call_until(s, &op, until_ms, e);
        got = reply ? keys_fetch_take(f, reply, &keys, e) : KEYS_FAILED;
    }
    return keys;
}

void signet_keys_free(struct signet_keys *keys)
{
    struct owned_keys *k = (struct owned_keys *)keys;

    if (!k)
        return;
    for (size_t i = 0; i < k->n_pages; i++)
        signet__v1__reply__free_unpacked(k->pages[i], NULL);
    free(k->pages);
    free(k->rings);
    free(k->jwks);
    free(k->profiles);
    free(k);
}
