/*
 * rotate_ring: a ring's next key, at the soonest that is safe, or at once. A
 * key that signs at once is made as a next key and then brought forward: made
 * with a time that has come, it would hold the active key's place unproved.
 * Where nothing can be brought forward it is made for when it must be there.
 */
#include "daemon/broker/ops/ops.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <string.h>

struct rotation {
    const struct ring_config *ring;
    bool at_once, made;
    int64_t at, before, known_at;    /* activates_at; before 0: there was no next key */
    char kid[RING_MAX_KID + 1];      /* of the key; empty: to be made */
};

static void answer(struct request *rq, const struct held *h)
{
    const struct rotation *ro = rq->state;
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__RotateRingReply rotate = SIGNET__V1__ROTATE_RING_REPLY__INIT;
    Signet__V1__KeyInfo info;

    if (h) {
        key_info(&info, rq->token, h, clock_now());
        rotate.key = &info;
    }
    rotate.made = ro->made;
    rotate.activates_at = ro->at;
    rotate.before = ro->before;
    rotate.known_at = ro->known_at;
    r.result_case = SIGNET__V1__REPLY__RESULT_ROTATE_RING;
    r.rotate_ring = &rotate;
    request_reply(rq, &r);
    if (h)
        key_info_clear(&info);
}

/* --- on its way ------------------------------------------------------------------------------------ */

static void promoted(void *owner, uint64_t id, const struct err *e)
{
    struct request *rq = owner;
    const struct rotation *ro = rq->state;
    struct err why;
    const struct held *h = e ? NULL : keys_named(rq->token->keys, ro->kid, &why);

    if (h)
        answer(rq, h);
    else
        request_refuse(rq, e ? e : &why);
}

/* The moment is reckoned when it begins: what was safe when it was asked for is too soon later. */
static bool still(void *owner, struct keys_change *want, struct err *e)
{
    struct request *rq = owner;
    struct rotation *ro = rq->state;
    const struct ring *ring = keys_ring(rq->token->keys, ro->ring->settings.name, e);
    int64_t now = clock_now();

    if (!ring)
        return false;
    const struct ring_key *next = want->kind == CHANGE_FACT ? ring_coming_key(ring, now) : NULL;
    if (want->kind == CHANGE_FACT && (!next || strcmp(next->kid, want->fact.kid) != 0))
        return err_set(e, ERR_RING_BUSY, "ring '%s' changed meanwhile: try again", ro->ring->settings.name);
    bool at_once = ring_is_silent(ring, now) || (ro->at_once && want->kind == CHANGE_FACT);
    int64_t at = at_once ? ring_at_once(ring, now) : ring_soonest(ring, next, now);
    if (ro->at_once && want->kind == CHANGE_GENERATE && !at_once && keys_no_facts(rq->token->keys))
        at = now + ro->ring->settings.generation_time;
    if (want->kind == CHANGE_FACT)
        want->fact.at = at;
    else
        want->at = at;
    ro->at = at;
    return true;
}

static bool promote(struct request *rq, struct err *e)
{
    struct rotation *ro = rq->state;
    struct keys_change want = { .kind = CHANGE_FACT, .fact = { .kind = LABEL_PROMOTE, .at = ro->at }, .still = still };

    memcpy(want.fact.kid, ro->kid, sizeof ro->kid);
    return keys_change(rq->token->keys, ro->ring->settings.name, &want, promoted, rq, e);
}

static void made(void *owner, uint64_t id, const struct err *e)
{
    struct request *rq = owner;
    struct rotation *ro = rq->state;
    const struct held *h = e ? NULL : keys_by_id(rq->token->keys, id);
    struct err why;

    if (!h && !e)
        err_set(&why, ERR_TOKEN_FAILED, "the key was made, and the token does not list it");
    if (!h) {
        request_refuse(rq, e ? e : &why);
        return;
    }
    memcpy(ro->kid, h->kid, sizeof ro->kid);
    if (ro->at_once && h->proof != PROOF_DONE) {
        err_set(&why, ERR_KEY_UNPROVED, "the new key '%.64s' could not be tried yet: it signs when its time comes; to have it"
                " sign now, ask again", h->kid);
        request_refuse(rq, &why);
        return;
    }
    if (!ro->at_once || h->activates_at <= clock_now()) {
        ro->at = h->activates_at;
        answer(rq, h);
        return;
    }
    if (!promote(rq, &why))
        request_refuse(rq, &why);
}

static bool make(struct request *rq, struct err *e)
{
    const struct rotation *ro = rq->state;
    const struct keys_change want = { .kind = CHANGE_GENERATE, .at = ro->at, .still = still };

    return keys_change(rq->token->keys, ro->ring->settings.name, &want, made, rq, e);
}

/* --- what there is to do ------------------------------------------------------------------------------ */

/* False: the next key is as soon already. */
static bool reckon(struct rotation *ro, const struct ring *ring, int64_t now)
{
    const struct ring_key *next = ring_coming_key(ring, now);

    ro->made = !next;
    ro->before = next ? next->activates_at : 0;
    ro->known_at = ring_known_at(ring, next, now);
    ro->at = ro->at_once || ring_is_silent(ring, now) ? ring_at_once(ring, now) : ring_soonest(ring, next, now);
    if (!next)
        return true;
    memcpy(ro->kid, next->kid, sizeof ro->kid);
    if (next->activates_at > ro->at)
        return true;
    ro->at = next->activates_at;
    return false;
}

static bool begin(struct request *rq, struct err *e)
{
    const Signet__V1__RotateRingRequest *ask = rq->msg->rotate_ring;
    int64_t now = clock_now();
    struct rotation *ro = calloc(1, sizeof *ro);
    char at[CLOCK_TEXT];

    rq->state = ro;
    if (!ro)
        return err_set(e, ERR_NO_MEMORY, "no memory for another request");
    if (!(ro->ring = op_take_ring(rq, ask->ring, false, e)))
        return false;
    struct keys *keys = rq->token->keys;
    const char *name = ro->ring->settings.name;
    const struct ring *ring = keys_ring(keys, name, e);
    if (!ring || !op_ring_is_free(rq, name, e))
        return false;
    ro->at_once = ask->at_once;
    bool todo = reckon(ro, ring, now);
    if (!todo || ask->dry_run) {
        answer(rq, ro->made ? NULL : keys_named(keys, ro->kid, e));
        return true;
    }
    if (!ro->made && keys_no_facts(keys))
        return err_set(e, ERR_MECHANISM_MISSING, "the token keeps no data objects, so the next key '%s' cannot be brought"
                       " forward: signet key destroy it, then rotate again", ro->kid);
    log_info("ring '%s': uid %u rotates it, to sign with another key from %s", name, (unsigned)rq->caller.uid,
             clock_write(at, ro->at));
    return ro->made ? make(rq, e) : promote(rq, e);
}

static void state_free(struct request *rq)
{
    free(rq->state);
}

const struct op op_rotate_ring = {
    SIGNET__V1__REQUEST__OP_ROTATE_RING, "rotate_ring", true, op_change_deadline, begin, op_leave_change, state_free,
};
