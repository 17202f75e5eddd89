/*
 * revoke_key: the panic button. From its first moment this daemon neither
 * signs with the key nor publishes it; then the token is told (for the other
 * daemons, and whatever a backup brings back), another key takes over, and the
 * bad one is destroyed: each step one that the ring asks for by itself, so that
 * a daemon killed anywhere in between goes on from the facts.
 */
#include "daemon/broker/ops/ops.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <stdio.h>
#include <string.h>

#define MAX_STEPS 8u                 /* promote or generate, destroy; more is a ring that does not come to rest */

struct revocation {
    char ring[RING_MAX_NAME + 1], kid[RING_MAX_KID + 1];
    uint64_t key;
    uint64_t next;                   /* the ring's next key when the button was pressed; 0: none */
    Signet__V1__KeyInfo *was;
    bool was_active, recorded;
    int64_t tokens_until;
    struct err trouble;              /* what could not be done; ERR_NONE: nothing */
    unsigned n_steps;
};

static void step(struct request *rq);

/* --- the report --------------------------------------------------------------------------------------- */

static int64_t known_at(const struct keys *keys, const char *name, int64_t now)
{
    struct err e;
    const struct ring *ring = keys_ring(keys, name, &e);
    const struct ring_key *signer = ring ? ring_signer(ring, now, &e) : NULL;

    return signer ? ring_known_at(ring, signer, now) : 0;
}

static void answer(struct request *rq)
{
    const struct revocation *rv = rq->state;
    struct keys *keys = rq->token->keys;
    int64_t now = clock_now();
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__RevokeKeyReply revoke = SIGNET__V1__REVOKE_KEY_REPLY__INIT;
    Signet__V1__Error trouble;
    Signet__V1__KeyInfo successor;
    struct err why = { 0 };
    const struct ring_config *c = config_ring(rq->conf->config, rv->ring);
    struct broker_token *on = rq->token;             /* of several the one that signs now */
    const struct held *held = tokens_signer(rq->broker, c, now, &on, &why), *bad = keys_by_id(keys, rv->key);

    revoke.key = rv->was;
    if (held) {
        key_info(&successor, on, held, now);
        revoke.successor = &successor;
        revoke.known_at = known_at(on->keys, rv->ring, now);
    }
    revoke.promoted = held && on == rq->token && held->id == rv->next;
    revoke.tokens_until = rv->tokens_until;
    revoke.destroyed = !bad || bad->n_missing || bad->gone;
    revoke.recorded = rv->recorded;
    if (rv->trouble.reason != ERR_NONE || !held) {
        request_error(&trouble, rv->trouble.reason != ERR_NONE ? &rv->trouble : &why);
        revoke.trouble = &trouble;
    }
    r.result_case = SIGNET__V1__REPLY__RESULT_REVOKE_KEY;
    r.revoke_key = &revoke;
    request_reply(rq, &r);
    if (held)
        key_info_clear(&successor);
}

/* --- step by step ----------------------------------------------------------------------------------------- */

static void stepped(void *owner, uint64_t id, const struct err *e)
{
    struct request *rq = owner;
    struct revocation *rv = rq->state;

    if (e) {
        rv->trouble = *e;
        answer(rq);                  /* the ring tries it again by itself */
        return;
    }
    step(rq);
}

/* First another key that signs, which the ring asks for; then the bad one's end. */
static bool next_step(const struct request *rq, struct keys_change *out)
{
    const struct revocation *rv = rq->state;
    struct err e;
    int64_t now = clock_now();
    const struct ring *ring = keys_ring(rq->token->keys, rv->ring, &e);
    const struct held *bad = keys_by_id(rq->token->keys, rv->key);
    struct ring_next next = ring ? ring_next(ring, now) : (struct ring_next){ .at = INT64_MAX };

    if (ring && rv->was_active && next.at <= now && (next.action == RING_PROMOTE || next.action == RING_GENERATE)) {
        *out = (struct keys_change){ .kind = CHANGE_DUE };
        return true;
    }
    *out = (struct keys_change){ .kind = CHANGE_DESTROY, .key = rv->key };
    return ring && bad && bad->n_missing == 0 && !bad->gone && !bad->let_go &&
           (!rv->was_active || ring_signer(ring, now, &e));
}

static void step(struct request *rq)
{
    struct revocation *rv = rq->state;
    struct keys_change want;
    bool more = next_step(rq, &want) && rv->n_steps++ < MAX_STEPS;

    if (!more || !keys_change(rq->token->keys, rv->ring, &want, stepped, rq, &rv->trouble))
        answer(rq);
}

/* A token that cannot be told: what it can do is done, and the report says what follows. */
static void recorded(void *owner, uint64_t id, const struct err *e)
{
    struct request *rq = owner;
    struct revocation *rv = rq->state;

    rv->recorded = !e;
    if (e) {
        log_error("ring '%s': that key '%s' is revoked could not be recorded on the token: %s: %s: other daemons do not know"
                  " it, and a restored backup brings the key back", rv->ring, rv->kid, err_reason_name(e->reason), e->text);
        rv->trouble = *e;
    }
    step(rq);
}

/* --- the beginning ------------------------------------------------------------------------------------------ */

/* On whatever token. */
static bool is_revoked(struct request *rq, struct revocation *rv, int64_t *out_holds_at)
{
    struct broker *b = rq->broker;

    for (size_t i = 0; i < b->n_tokens; i++)
        if (keys_is_revoked((rq->token = b->tokens[i])->keys, rv->kid, rv->ring, out_holds_at))
            return true;
    return false;
}

/* The button pressed once more: what was not done the first time is done now. Of the key only its place is known. */
static bool find_again(struct request *rq, struct revocation *rv, int64_t *out_holds_at, struct err *e)
{
    Signet__V1__KeyInfo *was = calloc(1, sizeof *was);

    if (!was)
        return err_set(e, ERR_NO_MEMORY, "no memory for another request");
    signet__v1__key_info__init(was);
    rv->was = was;
    snprintf(rv->kid, sizeof rv->kid, "%s", rq->msg->revoke_key->kid);
    was->kid = strdup(rv->kid);
    was->state = strdup(key_state_name(KEY_REVOKED));
    if (!was->kid || !was->state || !is_revoked(rq, rv, out_holds_at) || !(was->ring = strdup(rv->ring)))
        return false;                /* e is of the first search */
    was->activates_at = *out_holds_at;
    rv->was_active = true;
    return true;
}

static bool find(struct request *rq, struct revocation *rv, int64_t *out_holds_at, struct err *e)
{
    const struct held *h = tokens_named(rq->broker, rq->msg->revoke_key->kid, &rq->token, e);
    const struct ring_config *c = h ? config_ring(rq->conf->config, h->ring) : NULL;
    const struct ring *ring = c ? keys_ring(rq->token->keys, h->ring, e) : NULL;
    int64_t now = clock_now();

    if (!h && e->reason == ERR_UNKNOWN_KEY)
        return find_again(rq, rv, out_holds_at, e);
    if (!h || !ring)
        return h && !c ? err_set(e, ERR_UNKNOWN_RING, "the configuration has no ring '%s'", h->ring) : false;
    if (!h->kid[0])
        return err_set(e, ERR_UNKNOWN_KEY, "a key without a kid signed nothing: signet key destroy it");
    struct keys_view view = keys_view(rq->token->keys, h, now);
    memcpy(rv->ring, h->ring, sizeof rv->ring);
    memcpy(rv->kid, h->kid, sizeof rv->kid);
    rv->key = h->id;
    rv->was_active = strcmp(view.state, key_state_name(KEY_ACTIVE)) == 0;
    rv->tokens_until = op_tokens_until(ring, h, now);
    /* One whose time never came holds nobody up; a clock that was set back does not count. */
    *out_holds_at = view.activates_at > now && !h->active_at ? 0 : view.activates_at;
    return (rv->was = op_key_copy(rq->token, h)) || err_set(e, ERR_NO_MEMORY, "no memory for another request");
}

static bool begin(struct request *rq, struct err *e)
{
    struct revocation *rv = calloc(1, sizeof *rv);
    int64_t holds_at = 0;

    rq->state = rv;
    if (!rv)
        return err_set(e, ERR_NO_MEMORY, "no memory for another request");
    if (!find(rq, rv, &holds_at, e))
        return false;
    const struct held *next = keys_next(rq->token->keys, rv->ring, clock_now());
    rv->next = next ? next->id : 0;
    if (!keys_revoke(rq->token->keys, rv->ring, rv->kid, holds_at, e))
        return false;
    log_warning("ring '%s': uid %u revokes key '%s': it is not used or published from now on", rv->ring,
                (unsigned)rq->caller.uid, rv->kid);
    struct keys_change want = { .kind = CHANGE_FACT, .fact = { .kind = LABEL_REVOKED, .at = holds_at } };
    memcpy(want.fact.kid, rv->kid, sizeof rv->kid);
    return keys_change(rq->token->keys, rv->ring, &want, recorded, rq, e);
}

static void state_free(struct request *rq)
{
    struct revocation *rv = rq->state;

    signet__v1__key_info__free_unpacked(rv->was, NULL);
    free(rv);
}

const struct op op_revoke_key = {
    SIGNET__V1__REQUEST__OP_REVOKE_KEY, "revoke_key", true, op_change_deadline, begin, op_leave_change, state_free,
};
