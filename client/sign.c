#include "client/error.h"
#include "client/handle.h"
#include "client/op.h"
#include "proto/jose/b64url.h"
#include "proto/jose/json.h"

#include <string.h>

#define MAX_AUDIENCES 1024u      /* past what any profile lists: a count beyond it is no count */

/* A public struct and the reply that its strings live in. */
struct owned_token {
    struct signet_token token;
    Signet__V1__Reply *reply;
};

struct owned_preview {
    struct signet_preview preview;
    Signet__V1__Reply *reply;
};

struct owned_batch {
    struct signet_batch batch;
    struct signet_batch_item *items;
    struct signet_token *tokens;
    Signet__V1__Reply *reply;
};

static char *words(const char *s)
{
    return (char *)(uintptr_t)(s ? s : "");      /* protobuf-c's fields are not const; it does not write */
}

bool op_bytes_ok(const char *what, const void *bytes, size_t len, struct signet_error *e)
{
    if (!bytes && len)
        return error_set(e, ERR_BAD_REQUEST, "%s: %zu bytes at NULL", what, len);
    return len <= CONN_MAX_REQUEST ||
           error_set(e, ERR_REQUEST_TOO_LARGE, "%s: %zu bytes are more than any signetd takes", what, len);
}

bool op_ring_ok(const char *ring, struct signet_error *e)
{
    return ring || error_set(e, ERR_BAD_REQUEST, "no ring named: it is NULL");
}

static bool audiences_ok(const struct signet_sign_request *ask, struct signet_error *e)
{
    if (ask->n_audiences > MAX_AUDIENCES || (ask->n_audiences && !ask->audiences))
        return error_set(e, ERR_BAD_REQUEST, "%zu audiences%s: at most %u can be asked for", ask->n_audiences,
                         ask->audiences ? "" : " at NULL", MAX_AUDIENCES);
    for (size_t i = 0; i < ask->n_audiences; i++)
        if (!ask->audiences[i])
            return error_set(e, ERR_BAD_REQUEST, "audience %zu is NULL", i);
    return true;
}

static bool fill(Signet__V1__SignRequest *m, const struct signet_sign_request *ask, struct signet_error *e)
{
    signet__v1__sign_request__init(m);
    if (!ask || !ask->profile || !*ask->profile)
        return error_set(e, ERR_BAD_REQUEST, ask ? "no profile named to sign with" : "nothing asked: the request is NULL");
    if (ask->claims && ask->payload)
        return error_set(e, ERR_BAD_REQUEST, "claims and a raw payload exclude each other");
    if (!audiences_ok(ask, e) || !op_bytes_ok("claims", ask->claims, ask->claims_len, e) ||
        !op_bytes_ok("payload", ask->payload, ask->payload_len, e))
        return false;
    m->profile = words(ask->profile);
    m->subject = words(ask->subject);
    m->audiences = (char **)(uintptr_t)ask->audiences;
    m->n_audiences = ask->n_audiences;
    m->ttl_s = ask->ttl_s;
    m->not_before = ask->not_before;
    m->jti = words(ask->jti);
    if (ask->payload) {
        m->content_case = SIGNET__V1__SIGN_REQUEST__CONTENT_PAYLOAD;
        m->payload = (ProtobufCBinaryData){ ask->payload_len, (uint8_t *)(uintptr_t)ask->payload };
    } else if (ask->claims) {
        m->content_case = SIGNET__V1__SIGN_REQUEST__CONTENT_CLAIMS;
        m->claims = (ProtobufCBinaryData){ ask->claims_len, (uint8_t *)(uintptr_t)ask->claims };
    }
    return true;
}

static struct signet_token token_of(const Signet__V1__SignReply *r)
{
    return (struct signet_token){ r->token, r->kid, r->jti, r->expires_at };
}

bool op_sign(Signet__V1__Request *op, Signet__V1__SignRequest *m, const struct signet_sign_request *ask,
             struct signet_error *e)
{
    signet__v1__request__init(op);
    op->op_case = SIGNET__V1__REQUEST__OP_SIGN;
    op->sign = m;
    return fill(m, ask, e);
}

bool op_payload(const char *token, size_t len, struct buf *out)
{
    const char *from = memchr(token, '.', len), *to;

    buf_init(out, len);
    if (!from || from == token)
        return false;
    len -= (size_t)(++from - token);
    to = memchr(from, '.', len);
    return to && to + 1 < from + len && !memchr(to + 1, '.', len - (size_t)(to + 1 - from)) &&
           b64url_decode(out, from, (size_t)(to - from));
}

/* Whatever else it says: the subject that was asked for, the id, or the raw payload to the byte. */
static bool is_asked_for(const Signet__V1__SignRequest *ask, const Signet__V1__SignReply *r)
{
    CLEANUP(buf_clear) struct buf payload, sub;
    bool ok = op_payload(r->token, strlen(r->token), &payload);

    buf_init(&sub, CONN_MAX_REQUEST);
    if (ok && ask->content_case == SIGNET__V1__SIGN_REQUEST__CONTENT_PAYLOAD)
        return payload.len == ask->payload.len && (payload.len == 0 || memcmp(payload.data, ask->payload.data, payload.len) == 0);
    if (ok && *ask->subject)
        ok = buf_append_str(&sub, "\"sub\":") && json_append_string(&sub, ask->subject) &&
             memmem(payload.data, payload.len, sub.data, sub.len);
    return ok && (!*ask->jti || strcmp(ask->jti, r->jti) == 0);
}

static bool not_asked_for(struct signet_error *e)
{
    return error_set(e, ERR_PROTOCOL_BROKEN, "what was answered is not the token that was asked for");
}

struct signet_token *op_token_of(const Signet__V1__Request *asked, Signet__V1__Reply *taken, struct signet_error *e)
{
    CLEANUP(reply_freep) Signet__V1__Reply *reply = taken;

    if (!is_asked_for(asked->sign, reply->sign)) {
        not_asked_for(e);
        return NULL;
    }
    struct owned_token *t = calloc(1, sizeof *t);

    if (!t) {
        error_no_memory(e);
        return NULL;
    }
    t->token = token_of(reply->sign);
    t->reply = TAKE(reply);
    return &t->token;
}

struct signet_token *signet_sign(struct signet *s, const struct signet_sign_request *ask, struct signet_error *e)
{
    Signet__V1__Request op;
    Signet__V1__SignRequest m;
    Signet__V1__Reply *reply = op_sign(&op, &m, ask, e) ? handle_call(s, &op, e) : NULL;

    return reply ? op_token_of(&op, reply, e) : NULL;
}

/* Whoever has a token is its subject. */
static void wipe(Signet__V1__SignReply *r)
{
    explicit_bzero(r->token, strlen(r->token));
}

void signet_token_free(struct signet_token *token)
{
    struct owned_token *t = (struct owned_token *)token;

    if (!t)
        return;
    wipe(t->reply->sign);
    signet__v1__reply__free_unpacked(t->reply, NULL);
    free(t);
}

struct signet_preview *signet_preview(struct signet *s, const struct signet_sign_request *ask, struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__PreviewRequest preview = SIGNET__V1__PREVIEW_REQUEST__INIT;
    Signet__V1__SignRequest m;

    if (!fill(&m, ask, e))
        return NULL;
    preview.sign = &m;
    op.op_case = SIGNET__V1__REQUEST__OP_PREVIEW;
    op.preview = &preview;
    CLEANUP(reply_freep) Signet__V1__Reply *reply = handle_call(s, &op, e);
    if (!reply)
        return NULL;
    struct owned_preview *p = calloc(1, sizeof *p);
    if (!p) {
        error_no_memory(e);
        return NULL;
    }
    const Signet__V1__PreviewReply *r = reply->preview;
    const void *payload = r->payload.len ? (const void *)r->payload.data : "";
    p->preview = (struct signet_preview){ r->header, payload, r->payload.len, r->kid, r->expires_at };
    p->reply = TAKE(reply);
    return &p->preview;
}

void signet_preview_free(struct signet_preview *preview)
{
    struct owned_preview *p = (struct owned_preview *)preview;

    if (!p)
        return;
    signet__v1__reply__free_unpacked(p->reply, NULL);
    free(p);
}

static bool batch_fill(struct owned_batch *b, const Signet__V1__SignBatchRequest *asked, struct signet_error *e)
{
    const Signet__V1__SignBatchReply *r = b->reply->sign_batch;

    b->items = calloc(r->n_items ? r->n_items : 1, sizeof *b->items);
    b->tokens = calloc(r->n_items ? r->n_items : 1, sizeof *b->tokens);
    if (!b->items || !b->tokens)
        return error_no_memory(e);
    for (size_t i = 0; i < r->n_items; i++) {
        const Signet__V1__SignBatchItem *item = r->items[i];
        if (item->result_case == SIGNET__V1__SIGN_BATCH_ITEM__RESULT_SIGN && !is_asked_for(asked->items[i], item->sign)) {
            not_asked_for(&b->items[i].error);
        } else if (item->result_case == SIGNET__V1__SIGN_BATCH_ITEM__RESULT_SIGN) {
            b->tokens[i] = token_of(item->sign);
            b->items[i].token = &b->tokens[i];
        } else if (item->result_case == SIGNET__V1__SIGN_BATCH_ITEM__RESULT_ERROR) {
            error_from_wire(&b->items[i].error, item->error);
        } else {
            error_set(&b->items[i].error, ERR_PROTOCOL_BROKEN, "neither a token nor an error was answered");
        }
    }
    b->batch.items = b->items;
    b->batch.n = r->n_items;
    return true;
}

void signet_batch_free(struct signet_batch *batch)
{
    struct owned_batch *b = (struct owned_batch *)batch;

    if (!b)
        return;
    for (size_t i = 0; b->reply && i < b->reply->sign_batch->n_items; i++)
        if (b->reply->sign_batch->items[i]->result_case == SIGNET__V1__SIGN_BATCH_ITEM__RESULT_SIGN)
            wipe(b->reply->sign_batch->items[i]->sign);
    if (b->reply)
        signet__v1__reply__free_unpacked(b->reply, NULL);
    free(b->items);
    free(b->tokens);
    free(b);
}

static void batch_freep(struct owned_batch **b)
{
    signet_batch_free(*b ? &(*b)->batch : NULL);
}

bool op_batch(Signet__V1__Request *op, struct op_batch *b, const struct signet_sign_request *ask, size_t n,
              struct signet_error *e)
{
    *b = (struct op_batch){ 0 };
    signet__v1__request__init(op);
    signet__v1__sign_batch_request__init(&b->all);
    if (!ask)
        return error_set(e, ERR_BAD_REQUEST, "nothing asked: the batch is NULL");
    if (n == 0 || n > SIGNET_MAX_BATCH)
        return error_set(e, ERR_BATCH_TOO_LARGE, "a batch has 1 to %d items, not %zu", SIGNET_MAX_BATCH, n);
    b->items = calloc(n, sizeof *b->items);
    b->each = calloc(n, sizeof *b->each);
    if (!b->items || !b->each)
        return error_no_memory(e);
    for (size_t i = 0; i < n; i++) {
        if (!fill(&b->items[i], &ask[i], e))
            return false;
        b->each[i] = &b->items[i];
    }
    b->all.items = b->each;
    b->all.n_items = n;
    op->op_case = SIGNET__V1__REQUEST__OP_SIGN_BATCH;
    op->sign_batch = &b->all;
    return true;
}

void op_batch_clear(struct op_batch *b)
{
    free(b->items);
    free(b->each);
}

struct signet_batch *op_batch_of(const Signet__V1__Request *asked, Signet__V1__Reply *taken, struct signet_error *e)
{
    CLEANUP(reply_freep) Signet__V1__Reply *reply = taken;
    CLEANUP(batch_freep) struct owned_batch *b = calloc(1, sizeof *b);

    if (!b) {
        error_no_memory(e);
        return NULL;
    }
    b->reply = TAKE(reply);
    if (b->reply->sign_batch->n_items != asked->sign_batch->n_items) {
        error_set(e, ERR_PROTOCOL_BROKEN, "%zu items asked, %zu answered", asked->sign_batch->n_items,
                  b->reply->sign_batch->n_items);
        return NULL;
    }
    if (!batch_fill(b, asked->sign_batch, e))
        return NULL;
    return &TAKE(b)->batch;
}

struct signet_batch *signet_sign_batch(struct signet *s, const struct signet_sign_request *ask, size_t n,
                                       struct signet_error *e)
{
    Signet__V1__Request op;
    CLEANUP(op_batch_clear) struct op_batch b;
    Signet__V1__Reply *reply = op_batch(&op, &b, ask, n, e) ? handle_call(s, &op, e) : NULL;

    return reply ? op_batch_of(&op, reply, e) : NULL;
}
