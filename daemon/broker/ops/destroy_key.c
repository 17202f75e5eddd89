/* destroy_key: a next key is withdrawn; what living tokens need goes only for who knows that. */
#include "daemon/broker/ops/ops.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <stdlib.h>
#include <string.h>

/* When the last token of a key ends, or ended, if it signs no more from now on; 0: it has none that counts. */
int64_t op_tokens_until(const struct ring *ring, const struct held *h, int64_t now)
{
    for (size_t i = 0; i < ring_size(ring); i++) {
        const struct ring_key *key = ring_key(ring, i);
        if (key->ref != h->id)
            continue;
        int64_t lives = key->max_ttl + key->skew, ends = ring_ends_at(ring, i);
        switch (ring_state(ring, i, now)) {
        case KEY_ACTIVE:
            return now + lives;
        case KEY_RETIRED: case KEY_EXPIRED:
            return ends == INT64_MAX ? now + lives : ends;       /* a twin of the active one */
        case KEY_NEXT:
            if (key->activates_at - now <= ring_withdraw_ahead(ring))
                return key->activates_at + lives;
            break;
        default:
            break;
        }
        /* Seen active all the same: the clock was set back. */
        return h->active_at ? (h->active_at > now ? h->active_at : now) + lives : 0;
    }
    return 0;
}

static bool may_destroy(const struct request *rq, const struct held *h, struct err *e)
{
    const struct ring_config *c = config_ring(rq->conf->config, h->ring);
    const struct ring *ring = c ? keys_ring(rq->token->keys, h->ring, e) : NULL;
    int64_t now = clock_now();
    char until[CLOCK_TEXT];

    if (!c)
        return err_set(e, ERR_UNKNOWN_RING, "the configuration has no ring '%s'", h->ring);
    if (!ring)
        return false;
    int64_t needed = op_tokens_until(ring, h, now);
    if (needed <= now || rq->msg->destroy_key->i_know)
        return true;
    if (keys_view(rq->token->keys, h, now).activates_at > now && !h->active_at)
        return err_set(e, ERR_KEY_NEEDED, "key '%.64s' signs in a moment, and another daemon may do so already: its tokens would"
                       " be rejected; if you know that: --i-know", h->kid);
    return err_set(e, ERR_KEY_NEEDED, "tokens that key '%.64s' signed may live until %s and would be rejected: wait, or, if you"
                   " know that: --i-know", h->kid, clock_write(until, needed));
}

/* As it was: what is told of it is written down before it goes. */
struct farewell { Signet__V1__KeyInfo *info; uint64_t key; };

static void destroyed(void *owner, uint64_t id, const struct err *e)
{
    struct request *rq = owner;
    const struct farewell *f = rq->state;
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__DestroyKeyReply destroy = SIGNET__V1__DESTROY_KEY_REPLY__INIT;

    if (e) {
        request_refuse(rq, e);
        return;
    }
    destroy.key = f->info;
    r.result_case = SIGNET__V1__REPLY__RESULT_DESTROY_KEY;
    r.destroy_key = &destroy;
    request_reply(rq, &r);
}

Signet__V1__KeyInfo *op_key_copy(const struct broker_token *t, const struct held *h)
{
    Signet__V1__KeyInfo info, *copy = NULL;

    key_info(&info, t, h, clock_now());
    size_t len = signet__v1__key_info__get_packed_size(&info);
    CLEANUP(freep) uint8_t *bytes = malloc(len + 1);
    if (bytes)
        copy = signet__v1__key_info__unpack(NULL, signet__v1__key_info__pack(&info, bytes), bytes);
    key_info_clear(&info);
    return copy;
}

/* Judged again when it begins: its time may have come since. */
static bool still(void *owner, struct keys_change *want, struct err *e)
{
    const struct request *rq = owner;
    const struct held *h = keys_by_id(rq->token->keys, want->key);

    return !h || may_destroy(rq, h, e);
}

static bool destroy(struct request *rq, const struct held *h, struct err *e)
{
    const struct keys_change want = { .kind = CHANGE_DESTROY, .key = h->id, .still = still };

    return keys_change(rq->token->keys, h->ring, &want, destroyed, rq, e);
}

/* The place of one that signed is held: no older key comes back, after a restart either. */
static void recorded(void *owner, uint64_t id, const struct err *e)
{
    struct request *rq = owner;
    const struct farewell *f = rq->state;
    struct err why;
    const struct held *h = e ? NULL : keys_by_id(rq->token->keys, f->key);

    if (!e && !h)
        destroyed(rq, 0, NULL);
    else if (e || !destroy(rq, h, &why))
        request_refuse(rq, e ? e : &why);
}

static bool record(struct request *rq, const struct held *h, struct err *e)
{
    struct keys_change want = { .kind = CHANGE_FACT, .fact = { .kind = LABEL_REVOKED } };

    want.fact.at = keys_view(rq->token->keys, h, clock_now()).activates_at;
    memcpy(want.fact.kid, h->kid, sizeof h->kid);
    return keys_change(rq->token->keys, h->ring, &want, recorded, rq, e);
}

static bool begin(struct request *rq, struct err *e)
{
    const struct held *h = tokens_named(rq->broker, rq->msg->destroy_key->kid, &rq->token, e);
    struct farewell *f = calloc(1, sizeof *f);

    rq->state = f;
    if (!f)
        return err_set(e, ERR_NO_MEMORY, "no memory for another request");
    if (!h || !may_destroy(rq, h, e) || !op_ring_is_free(rq, h->ring, e))
        return false;
    if (!(f->info = op_key_copy(rq->token, h)))
        return err_set(e, ERR_NO_MEMORY, "no memory for another request");
    log_info("ring '%s': uid %u destroys key '%s'%s", h->ring, (unsigned)rq->caller.uid, h->kid,
             rq->msg->destroy_key->i_know ? ", and knows what follows" : "");
    f->key = h->id;
    bool is_active = strcmp(keys_view(rq->token->keys, h, clock_now()).state, key_state_name(KEY_ACTIVE)) == 0;
    return is_active && h->kid[0] && !keys_no_facts(rq->token->keys) ? record(rq, h, e) : destroy(rq, h, e);
}

static void state_free(struct request *rq)
{
    struct farewell *f = rq->state;

    signet__v1__key_info__free_unpacked(f->info, NULL);
    free(f);
}

const struct op op_destroy_key = {
    SIGNET__V1__REQUEST__OP_DESTROY_KEY, "destroy_key", true, op_change_deadline, begin, op_leave_change, state_free,
};
