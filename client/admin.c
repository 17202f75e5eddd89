#include "client/error.h"
#include "client/handle.h"
#include "client/op.h"

#include <string.h>

struct owned_list {
    struct signet_key_list list;
    Signet__V1__Reply *reply;            /* every string lives in it */
    struct signet_key keys[];
};

static struct signet_key key_of(const Signet__V1__KeyInfo *k)
{
    return (struct signet_key){
        .kid = k->kid, .ring = k->ring, .alg = k->alg, .state = k->state, .label = k->label, .id = k->id,
        .activates_at = k->activates_at, .retires_at = k->retires_at, .ends_at = k->ends_at,
        .published = k->published, .imported = k->imported, .proved = k->proved,
        .sensitive = k->sensitive, .extractable = k->extractable, .always_sensitive = k->always_sensitive,
        .never_extractable = k->never_extractable, .local = k->local, .jwk = k->jwk, .trouble = k->trouble,
        .custody = k->custody,
    };
}

/* Takes the reply, whose keys they are. */
static struct signet_key_list *list_of(Signet__V1__Reply *taken, Signet__V1__KeyInfo *const *keys, size_t n,
                                       struct signet_error *e)
{
    CLEANUP(reply_freep) Signet__V1__Reply *reply = taken;
    struct owned_list *l = calloc(1, sizeof *l + n * sizeof *l->keys);

    if (!l) {
        error_no_memory(e);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        l->keys[i] = key_of(keys[i]);
    l->list = (struct signet_key_list){ .keys = l->keys, .n = n };
    l->reply = TAKE(reply);
    return &l->list;
}

/* The one key that was made; a reply without it is none. */
static struct signet_key_list *list_of_one(Signet__V1__Reply *reply, Signet__V1__KeyInfo *key, struct signet_error *e)
{
    if (key)
        return list_of(reply, &key, 1, e);
    signet__v1__reply__free_unpacked(reply, NULL);
    error_set(e, ERR_PROTOCOL_BROKEN, "signetd answered without the key that it made");
    return NULL;
}

void signet_key_list_free(struct signet_key_list *list)
{
    struct owned_list *l = (struct owned_list *)list;

    if (!l)
        return;
    signet__v1__reply__free_unpacked(l->reply, NULL);
    free(l);
}

struct signet_key_list *signet_list_keys(struct signet *admin, struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__ListKeysRequest m = SIGNET__V1__LIST_KEYS_REQUEST__INIT;

    op.op_case = SIGNET__V1__REQUEST__OP_LIST_KEYS;
    op.list_keys = &m;
    Signet__V1__Reply *r = handle_call(admin, &op, e);
    return r ? list_of(r, r->list_keys->keys, r->list_keys->n_keys, e) : NULL;
}

static bool ring_ok(const char *ring, struct signet_error *e)
{
    return ring || error_set(e, ERR_BAD_REQUEST, "no ring named: it is NULL");
}

struct signet_key_list *signet_generate_key(struct signet *admin, const char *ring, struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__GenerateKeyRequest m = SIGNET__V1__GENERATE_KEY_REQUEST__INIT;

    if (!ring_ok(ring, e))
        return NULL;
    m.ring = (char *)(uintptr_t)ring;
    op.op_case = SIGNET__V1__REQUEST__OP_GENERATE_KEY;
    op.generate_key = &m;
    Signet__V1__Reply *r = handle_call(admin, &op, e);
    return r ? list_of_one(r, r->generate_key->key, e) : NULL;
}

struct signet_key_list *signet_import_key(struct signet *admin, const char *ring, const void *secret, size_t len,
                                          struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__ImportKeyRequest m = SIGNET__V1__IMPORT_KEY_REQUEST__INIT;

    if (!ring_ok(ring, e) || !op_bytes_ok("secret", secret, len, e))
        return NULL;
    m.ring = (char *)(uintptr_t)ring;
    m.secret = (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)secret };
    op.op_case = SIGNET__V1__REQUEST__OP_IMPORT_KEY;
    op.import_key = &m;
    Signet__V1__Reply *r = handle_call(admin, &op, e);
    return r ? list_of_one(r, r->import_key->key, e) : NULL;
}

bool signet_reload(struct signet *admin, uint32_t *out_generation, struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__ReloadRequest m = SIGNET__V1__RELOAD_REQUEST__INIT;

    op.op_case = SIGNET__V1__REQUEST__OP_RELOAD;
    op.reload = &m;
    CLEANUP(reply_freep) Signet__V1__Reply *r = handle_call(admin, &op, e);
    if (!r)
        return false;
    if (out_generation)
        *out_generation = r->reload->config_generation;
    return true;
}
