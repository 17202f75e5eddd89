/*
 * The key set comes in pages, each a set of its own. The pages of one version
 * belong together: where it changes in between, all is asked again.
 */
#include "client/handle.h"
#include "client/error.h"
#include "proto/jose/json.h"

#include <string.h>

#define MAX_PAGES 100u      /* more keys than a ring's settings allow, at one a page */
#define MAX_TRIES 4u        /* a set changes once in days; twice within one call is not to be expected */

struct owned_keys {
    struct signet_keys keys;
    char *jwks;
    struct signet_profile *profiles;
    Signet__V1__Reply *first;       /* page 0: the profiles' strings live in it */
};

static Signet__V1__Reply *page(struct signet *s, uint32_t number, struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__GetKeysRequest m = SIGNET__V1__GET_KEYS_REQUEST__INIT;

    m.page = number;
    op.op_case = SIGNET__V1__REQUEST__OP_GET_KEYS;
    op.get_keys = &m;
    return handle_call(s, &op, e);
}

static bool broken(struct signet_error *e)
{
    return error_set(e, ERR_PROTOCOL_BROKEN, "the key set that signetd answered is none");
}

static bool append_page(json_t *all, const char *jwks, struct signet_error *e)
{
    struct err why;
    CLEANUP(json_decrefp) json_t *set = json_object_read(jwks, strlen(jwks), ERR_PROTOCOL_BROKEN, &why);
    json_t *keys = json_object_get(set, "keys");

    if (!json_is_array(keys))
        return broken(e);
    return json_array_extend(json_object_get(all, "keys"), keys) == 0 || error_no_memory(e);
}

/* *out_changed: a page was of another version. */
static bool rest_of_pages(struct signet *s, json_t *all, const Signet__V1__GetKeysReply *first,
                          bool *out_changed, struct signet_error *e)
{
    for (uint32_t i = 1; i < first->n_pages; i++) {
        CLEANUP(reply_freep) Signet__V1__Reply *next = page(s, i, e);
        if (!next)
            return false;
        if (next->get_keys->version != first->version) {
            *out_changed = true;
            return error_set(e, ERR_PROTOCOL_BROKEN, "the key set changed with every page asked; try again");
        }
        if (!append_page(all, next->get_keys->jwks, e))
            return false;
    }
    return true;
}

static bool take_profiles(struct owned_keys *k, const Signet__V1__GetKeysReply *r, struct signet_error *e)
{
    k->profiles = calloc(r->n_profiles ? r->n_profiles : 1, sizeof *k->profiles);
    if (!k->profiles)
        return error_no_memory(e);
    for (size_t i = 0; i < r->n_profiles; i++) {
        const Signet__V1__ProfileInfo *p = r->profiles[i];
        k->profiles[i] = (struct signet_profile){
            .name = p->name, .issuer = p->issuer, .typ = p->typ, .alg = p->alg, .ring = p->ring,
            .audiences = (const char *const *)p->audiences, .n_audiences = p->n_audiences,
            .leeway_s = p->leeway_s, .ttl_s = p->ttl_s, .max_ttl_s = p->max_ttl_s, .raw = p->raw,
        };
    }
    return true;
}

static bool fetch(struct signet *s, struct owned_keys *k, bool *out_changed, struct signet_error *e)
{
    k->first = page(s, 0, e);
    if (!k->first)
        return false;
    const Signet__V1__GetKeysReply *r = k->first->get_keys;
    if (r->n_pages > MAX_PAGES)
        return broken(e);
    /* One page, the usual case, stays to the byte as the daemon wrote it. */
    if (r->n_pages > 1) {
        CLEANUP(json_decrefp) json_t *all = json_pack("{s:[]}", "keys");
        if (!all || !append_page(all, r->jwks, e) || !rest_of_pages(s, all, r, out_changed, e))
            return all ? false : error_no_memory(e);
        k->jwks = json_dumps(all, JSON_COMPACT);
    } else {
        k->jwks = strdup(r->jwks);
    }
    if (!k->jwks)
        return error_no_memory(e);
    k->keys = (struct signet_keys){ .jwks = k->jwks, .version = r->version, .max_age_s = r->max_age_s };
    if (!take_profiles(k, r, e))
        return false;
    k->keys.profiles = k->profiles;
    k->keys.n_profiles = r->n_profiles;
    return true;
}

struct signet_keys *signet_get_keys(struct signet *s, struct signet_error *e)
{
    struct signet_error why = { 0 };

    for (unsigned i = 0; i < MAX_TRIES; i++) {
        bool changed = false;
        struct owned_keys *k = calloc(1, sizeof *k);
        if (!k) {
            error_no_memory(e);
            return NULL;
        }
        if (fetch(s, k, &changed, &why))
            return &k->keys;
        signet_keys_free(&k->keys);
        if (!changed)
            break;
    }
    if (e)
        *e = why;
    return NULL;
}

void signet_keys_free(struct signet_keys *keys)
{
    struct owned_keys *k = (struct owned_keys *)keys;

    if (!k)
        return;
    if (k->first)
        signet__v1__reply__free_unpacked(k->first, NULL);
    free(k->jwks);
    free(k->profiles);
    free(k);
}
