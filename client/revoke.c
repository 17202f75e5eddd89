#include "client/error.h"
#include "client/handle.h"
#include "client/key_list.h"

#include <string.h>
#include <strings.h>

struct owned_revocation {
    struct signet_revocation revocation;
    Signet__V1__Reply *reply;            /* every string lives in it */
    struct signet_key successor;
    struct signet_key_use uses[];
};

static bool kid_ok(const char *kid, struct signet_error *e)
{
    return (kid && *kid) || error_set(e, ERR_BAD_REQUEST, "no key named: its kid is %s", kid ? "empty" : "NULL");
}

static bool is_that(const Signet__V1__KeyInfo *k, const char *kid)
{
    return k && (strcmp(k->kid, kid) == 0 || (!*k->kid && strcasecmp(k->id, kid) == 0));
}

static void another(struct signet_error *e)
{
    error_set(e, ERR_PROTOCOL_BROKEN, "what was answered is not about the key that was asked for");
}

static struct signet_revocation *revocation_of(Signet__V1__Reply *taken, struct signet_error *e)
{
    CLEANUP(reply_freep) Signet__V1__Reply *reply = taken;
    const Signet__V1__RevokeKeyReply *r = reply->revoke_key;
    size_t n_uses = r->key->n_uses + (r->successor ? r->successor->n_uses : 0);
    struct owned_revocation *o = calloc(1, sizeof *o + n_uses * sizeof *o->uses);

    if (!o) {
        error_no_memory(e);
        return NULL;
    }
    struct signet_key_use *uses = o->uses;
    o->revocation = (struct signet_revocation){
        .key = key_from_wire(r->key, &uses), .promoted = r->promoted, .known_at = r->known_at,
        .tokens_until = r->tokens_until, .destroyed = r->destroyed, .recorded = r->recorded,
    };
    if (r->successor) {
        o->successor = key_from_wire(r->successor, &uses);
        o->revocation.successor = &o->successor;
    }
    if (r->trouble)
        error_from_wire(&o->revocation.trouble, r->trouble);
    o->reply = TAKE(reply);
    return &o->revocation;
}

struct signet_revocation *signet_revoke_key(struct signet *admin, const char *kid, struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__RevokeKeyRequest m = SIGNET__V1__REVOKE_KEY_REQUEST__INIT;

    if (!kid_ok(kid, e))
        return NULL;
    m.kid = (char *)(uintptr_t)kid;
    op.op_case = SIGNET__V1__REQUEST__OP_REVOKE_KEY;
    op.revoke_key = &m;
    CLEANUP(reply_freep) Signet__V1__Reply *reply = handle_call(admin, &op, e);
    if (reply && is_that(reply->revoke_key->key, kid))
        return revocation_of(TAKE(reply), e);
    if (reply)
        another(e);
    return NULL;
}

void signet_revocation_free(struct signet_revocation *revocation)
{
    struct owned_revocation *o = (struct owned_revocation *)revocation;

    if (!o)
        return;
    signet__v1__reply__free_unpacked(o->reply, NULL);
    free(o);
}

struct signet_key_list *signet_destroy_key(struct signet *admin, const char *kid, bool i_know, struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__DestroyKeyRequest m = SIGNET__V1__DESTROY_KEY_REQUEST__INIT;

    if (!kid_ok(kid, e))
        return NULL;
    m.kid = (char *)(uintptr_t)kid;
    m.i_know = i_know;
    op.op_case = SIGNET__V1__REQUEST__OP_DESTROY_KEY;
    op.destroy_key = &m;
    CLEANUP(reply_freep) Signet__V1__Reply *reply = handle_call(admin, &op, e);
    Signet__V1__KeyInfo *key = reply ? reply->destroy_key->key : NULL;
    if (reply && is_that(key, kid))
        return key_list_of_one(TAKE(reply), key, e);
    if (reply)
        another(e);
    return NULL;
}
