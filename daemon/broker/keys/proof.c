/*
 * A key is proved by a test signature that a verifier finds good: both halves
 * may be there and of one key, and still not sign (of keys whose making was
 * killed some are so).
 */
#include "daemon/broker/keys/keys_private.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <string.h>

#define CHECK_MS 20000                 /* for a verifier to answer: as long as a listing may wait */

static const char proof_text[] = "signet proves that this key signs";   /* no JWT: it has no dot */

struct proving {
    struct keys *keys;
    uint64_t id;
    unsigned signer;                   /* that was asked */
    struct err why;                    /* why it did not sign, while another is asked */
    bool doubted;
};

struct held *held_by_id(const struct keys *k, uint64_t id)
{
    for (size_t i = 0; i < k->n_held; i++)
        if (k->held[i]->id == id)
            return k->held[i];
    return NULL;
}

static void proved(struct proving *p, enum proof how, const struct err *why)
{
    struct keys *k = p->keys;
    struct held *h = held_by_id(k, p->id);

    if (h && held_is_distrusted(h)) {                /* it was proved once, and is published as before */
        if (how == PROOF_DONE) {
            held_right(h, p->signer);
            log_info("key '%s' of ring '%s' made a test signature that is right: it is used again", h->kid, h->ring);
        }
    } else if (h) {
        if (how == PROOF_DONE && h->proof != PROOF_DONE)
            h->seen_ms = clock_steady_ms();          /* from now on it is published */
        h->proof = how;
        h->was_proved |= how == PROOF_DONE;
        h->doubted = p->doubted;
        if (how == PROOF_FAILED) {
            h->trouble = *why;
            log_error("key '%s' of ring '%s' cannot prove that it signs: %s: %s", h->kid, h->ring,
                      err_reason_name(why->reason), why->text);
        }
    }
    free(p);
    if (--k->n_proving == 0)
        keys_settled(k);
}

/* What says nothing of the key: it is tried again with the next listing. */
static bool is_passing(enum err_reason r)
{
    return err_code(r) == CODE_UNAVAILABLE || err_code(r) == CODE_DEADLINE_EXCEEDED || r == ERR_INTERNAL ||
           r == ERR_NO_MEMORY;
}

static void proof_checked(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct err why;

    if (m && m->of_case == SIGNET__ROLE__MESSAGE__OF_CHECKED && m->checked->good) {
        keys_found_good(((struct proving *)owner)->keys);
        proved(owner, PROOF_DONE, NULL);
    } else if (!m) {
        proved(owner, PROOF_NONE, e);
    } else {
        err_set(&why, ERR_KEY_UNPROVED, "its test signature does not verify with its public half");
        proved(owner, PROOF_FAILED, &why);
    }
}

/* Whose fault a failure is: one that signed once, or else any that should. */
static const struct held *another(const struct keys *k, uint64_t than)
{
    const struct held *found = NULL;

    for (size_t i = 0; i < k->n_held; i++) {
        const struct held *h = k->held[i];
        if (h->id == than || !h->ring[0] || !h->is_private || !h->has_private || h->gone)
            continue;
        if (!found || h->proof == PROOF_DONE)
            found = h;
    }
    return found;
}

static void other_signed(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct proving *p = owner;

    p->doubted = !m || m->of_case != SIGNET__ROLE__MESSAGE__OF_WORK_DONE || m->work_done->why;
    proved(p, PROOF_FAILED, &p->why);
}

/* The token failed: if it fails with every key, that says nothing of this one. */
static void ask_another(struct proving *p)
{
    const struct held *other = another(p->keys, p->id);
    struct work_for f = keys_work(p->keys, p->keys->wanted->config->tokens[0].timeout_ms, other_signed, p);
    struct job *j = other ? work_sign(&f, other->id, other->alg, other->spki_len, proof_text, sizeof proof_text - 1) : NULL;
    struct err ignored;

    if (j && pool_submit(p->keys->signers, j, &ignored))
        return;
    p->doubted = other != NULL;
    proved(p, PROOF_FAILED, &p->why);
}

static void proof_signed(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct proving *p = owner;
    struct held *h = held_by_id(p->keys, p->id);
    struct err why;

    if (!m || !h || m->of_case != SIGNET__ROLE__MESSAGE__OF_WORK_DONE) {
        proved(p, PROOF_NONE, e);
        return;
    }
    const Signet__Role__WorkDone *done = m->work_done;
    p->signer = j->peer;
    if (done->why) {
        channel_why(done->why, &p->why);
        if (p->why.reason == ERR_TOKEN_FAILED)
            ask_another(p);
        else
            proved(p, is_passing(p->why.reason) ? PROOF_NONE : PROOF_FAILED, &p->why);
        return;
    }
    if (h->alg->family == ALG_HMAC) {       /* no public half to ask */
        err_set(&why, ERR_KEY_UNPROVED, "its test signature has %zu bytes", done->signature.len);
        proved(p, done->signature.len == h->alg->hash_len ? PROOF_DONE : PROOF_FAILED, &why);
        return;
    }
    struct work_for f = keys_work(p->keys, CHECK_MS, proof_checked, p);
    struct job *check = work_check(&f, h->alg, h->spki, h->spki_len, proof_text, sizeof proof_text - 1,
                                   done->signature.data, done->signature.len);
    if (!check || !pool_submit(p->keys->verifiers, check, &why))
        proved(p, PROOF_NONE, &why);
}

bool proof_begin(struct keys *k, struct held *h)
{
    struct proving *p = calloc(1, sizeof *p);
    struct work_for f = keys_work(k, k->wanted->config->tokens[0].timeout_ms, proof_signed, p);
    struct job *j = p ? work_sign(&f, h->id, h->alg, h->spki_len, proof_text, sizeof proof_text - 1) : NULL;
    struct err e;

    if (!j || !pool_submit(k->signers, j, &e)) {
        free(p);
        return false;
    }
    *p = (struct proving){ .keys = k, .id = h->id };
    if (held_is_distrusted(h))
        work_find_anew(j, h->doubted_by);
    else
        h->proof = PROOF_RUNNING;
    k->n_proving++;
    return true;
}
