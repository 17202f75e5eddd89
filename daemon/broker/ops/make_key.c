/* generate_key and import_key: answered when the new key is listed and proved. */
#include "daemon/broker/ops/ops.h"

#include "daemon/base/clock.h"

#include <openssl/crypto.h>

#define MAX_SECRET 4096u             /* bytes */

/* Making may wait for a listing, takes its own time, and is listed and proved after. */
uint32_t op_change_deadline(const struct request *rq)
{
    const struct config *c = rq->conf->config;
    uint32_t longest = 0;

    for (size_t i = 0; i < c->n_tokens; i++)
        if (c->tokens[i].generate_timeout_ms > longest)
            longest = c->tokens[i].generate_timeout_ms;
    return 2 * longest;
}

static void made(void *owner, uint64_t id, const struct err *e)
{
    struct request *rq = owner;
    const struct held *h = e ? NULL : keys_by_id(rq->token->keys, id);
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__KeyInfo info;
    Signet__V1__GenerateKeyReply generated = SIGNET__V1__GENERATE_KEY_REPLY__INIT;
    Signet__V1__ImportKeyReply imported = SIGNET__V1__IMPORT_KEY_REPLY__INIT;
    struct err why;

    if (!h) {
        if (!e)
            err_set(&why, ERR_TOKEN_FAILED, "the key was made, and the token does not list it");
        request_refuse(rq, e ? e : &why);
        return;
    }
    key_info(&info, rq->token, h, clock_now());
    generated.key = imported.key = &info;
    if (rq->msg->op_case == SIGNET__V1__REQUEST__OP_GENERATE_KEY) {
        r.result_case = SIGNET__V1__REPLY__RESULT_GENERATE_KEY;
        r.generate_key = &generated;
    } else {
        r.result_case = SIGNET__V1__REPLY__RESULT_IMPORT_KEY;
        r.import_key = &imported;
    }
    request_reply(rq, &r);
    key_info_clear(&info);
}

void op_leave_change(struct request *rq)
{
    tokens_forget(rq->broker, rq);
}

bool op_ring_is_free(const struct request *rq, const char *ring, struct err *e)
{
    if (!keys_changing(rq->token->keys, ring))
        return true;
    err_set(e, ERR_RING_BUSY, "ring '%.32s' is being changed this moment: try again", ring);
    e->retry_after_ms = 500;
    return false;
}

static bool generate_begin(struct request *rq, struct err *e)
{
    const struct ring_config *ring = op_take_ring(rq, rq->msg->generate_key->ring, false, e);
    const struct keys_change want = { .kind = CHANGE_GENERATE };

    return ring && keys_change(rq->token->keys, ring->settings.name, &want, made, rq, e);
}

static bool import_begin(struct request *rq, struct err *e)
{
    const struct ring_config *ring = op_take_ring(rq, rq->msg->import_key->ring, false, e);
    ProtobufCBinaryData *secret = &rq->msg->import_key->secret;

    if (secret->len == 0 || secret->len > MAX_SECRET)
        return err_set(e, ERR_BAD_REQUEST, "a secret has 1 to %u bytes, this one has %zu", MAX_SECRET, secret->len);
    const struct keys_change want = { .kind = CHANGE_IMPORT, .secret = secret->data, .secret_len = secret->len };
    bool begun = ring && keys_change(rq->token->keys, ring->settings.name, &want, made, rq, e);
    OPENSSL_cleanse(secret->data, secret->len);      /* before the key is made, listed and proved */
    return begun;
}

const struct op op_generate_key = {
    SIGNET__V1__REQUEST__OP_GENERATE_KEY, "generate_key", true, op_change_deadline, generate_begin, op_leave_change, op_nothing,
};
const struct op op_import_key = {
    SIGNET__V1__REQUEST__OP_IMPORT_KEY, "import_key", true, op_change_deadline, import_begin, op_leave_change, op_nothing,
};
