#include "client/error.h"
#include "client/handle.h"
#include "client/key_list.h"
#include "client/op.h"

struct signet_key_list *signet_list_keys(struct signet *admin, struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__ListKeysRequest m = SIGNET__V1__LIST_KEYS_REQUEST__INIT;

    op.op_case = SIGNET__V1__REQUEST__OP_LIST_KEYS;
    op.list_keys = &m;
    Signet__V1__Reply *r = handle_call(admin, &op, e);
    const Signet__V1__ListKeysReply *all = r ? r->list_keys : NULL;
    struct signet_key_list *l = r ? key_list_of(r, all->keys, all->n_keys, e) : NULL;
    if (l) {
        l->foreign_facts = (const char *const *)all->foreign_facts;
        l->n_foreign_facts = all->n_foreign_facts;
    }
    return l;
}

struct signet_key_list *signet_generate_key(struct signet *admin, const char *ring, struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__GenerateKeyRequest m = SIGNET__V1__GENERATE_KEY_REQUEST__INIT;

    if (!op_ring_ok(ring, e))
        return NULL;
    m.ring = (char *)(uintptr_t)ring;
    op.op_case = SIGNET__V1__REQUEST__OP_GENERATE_KEY;
    op.generate_key = &m;
    Signet__V1__Reply *r = handle_call(admin, &op, e);
    return r ? key_list_of_one(r, r->generate_key->key, e) : NULL;
}

struct signet_key_list *signet_import_key(struct signet *admin, const char *ring, const void *secret, size_t len,
                                          struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__ImportKeyRequest m = SIGNET__V1__IMPORT_KEY_REQUEST__INIT;

    if (!op_ring_ok(ring, e) || !op_bytes_ok("secret", secret, len, e))
        return NULL;
    m.ring = (char *)(uintptr_t)ring;
    m.secret = (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)secret };
    op.op_case = SIGNET__V1__REQUEST__OP_IMPORT_KEY;
    op.import_key = &m;
    Signet__V1__Reply *r = handle_call(admin, &op, e);
    return r ? key_list_of_one(r, r->import_key->key, e) : NULL;
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
