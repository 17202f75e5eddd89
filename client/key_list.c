#include "client/key_list.h"

#include "client/error.h"

struct owned_list {
    struct signet_key_list list;
    Signet__V1__Reply *reply;            /* every string lives in it */
    struct signet_key_use *uses;         /* of all keys, one after the other */
    struct signet_key keys[];
};

struct signet_key key_from_wire(const Signet__V1__KeyInfo *k, struct signet_key_use **uses)
{
    const struct signet_key_use *first = *uses;

    for (size_t i = 0; i < k->n_uses; i++)
        *(*uses)++ = (struct signet_key_use){ k->uses[i]->profile, k->uses[i]->signatures };
    return (struct signet_key){
        .kid = k->kid, .ring = k->ring, .alg = k->alg, .state = k->state, .label = k->label, .id = k->id,
        .activates_at = k->activates_at, .retires_at = k->retires_at, .ends_at = k->ends_at,
        .published = k->published, .imported = k->imported, .proved = k->proved,
        .sensitive = k->sensitive, .extractable = k->extractable, .always_sensitive = k->always_sensitive,
        .never_extractable = k->never_extractable, .local = k->local, .jwk = k->jwk, .trouble = k->trouble,
        .custody = k->custody, .signatures = k->signatures, .uses = first, .n_uses = k->n_uses,
        .token = k->token,
    };
}

struct signet_key_list *key_list_of(Signet__V1__Reply *taken, Signet__V1__KeyInfo *const *keys, size_t n,
                                    struct signet_error *e)
{
    CLEANUP(reply_freep) Signet__V1__Reply *reply = taken;
    CLEANUP(freep) struct owned_list *l = calloc(1, sizeof *l + n * sizeof *l->keys);
    size_t n_uses = 0;

    for (size_t i = 0; i < n; i++)
        n_uses += keys[i]->n_uses;
    struct signet_key_use *uses = calloc(n_uses + 1, sizeof *uses);
    if (!l || !uses) {
        free(uses);
        error_no_memory(e);
        return NULL;
    }
    l->uses = uses;
    for (size_t i = 0; i < n; i++)
        l->keys[i] = key_from_wire(keys[i], &uses);
    l->list = (struct signet_key_list){ .keys = l->keys, .n = n };
    l->reply = TAKE(reply);
    return &TAKE(l)->list;
}

struct signet_key_list *key_list_of_one(Signet__V1__Reply *taken, Signet__V1__KeyInfo *key, struct signet_error *e)
{
    if (key)
        return key_list_of(taken, &key, 1, e);
    signet__v1__reply__free_unpacked(taken, NULL);
    error_set(e, ERR_PROTOCOL_BROKEN, "signetd answered without the key that it made");
    return NULL;
}

void signet_key_list_free(struct signet_key_list *list)
{
    struct owned_list *l = (struct owned_list *)list;

    if (!l)
        return;
    signet__v1__reply__free_unpacked(l->reply, NULL);
    free(l->uses);
    free(l);
}
