/*
 * work: the jobs that the broker gives to signers and verifiers, each whole in
 * itself: any peer can do it, and twice is harmless. All inputs are copied;
 * NULL: no memory. The answer's message is named beside each.
 */
#ifndef SIGNET_BROKER_WORK_H
#define SIGNET_BROKER_WORK_H

#include "daemon/broker/conf.h"
#include "daemon/broker/pool.h"

/* Who asks and what it may take. */
struct work_for {
    struct account *account;
    int64_t deadline_ms;         /* monotonic */
    uint32_t timeout_ms;         /* after which the peer counts as hung */
    job_done *done;
    void *owner;
    struct toll *toll;           /* of the request that it is for; NULL: of none */
};

/*
 * A signature over the signing input by the token's key: WorkDone. spki_len: bytes of its public half, 0 where it has none;
 * by that and alg it is known how long it takes.
 */
struct job *work_sign(const struct work_for *f, uint64_t key, const struct alg *alg, size_t spki_len, const void *input,
                      size_t len);
/* Whether that is the input's MAC by the token's key: Checked. */
struct job *work_check_mac(const struct work_for *f, uint64_t key, const struct alg *alg, const void *input, size_t len,
                           const void *mac, size_t mac_len);
/* Those signers (a bit each, by number from 1) find the key anew before they sign or check. */
void work_find_anew(struct job *j, uint64_t signers);
/* Whether that signature is good, outside the signer: Checked. */
struct job *work_check(const struct work_for *f, const struct alg *alg, const uint8_t *spki, size_t spki_len,
                       const void *input, size_t len, const uint8_t *signature, size_t signature_len);
/* A token judged by a profile's rules and its ring's published keys: Verified. `audience` NULL: any of the profile's. */
struct job *work_verify(const struct work_for *f, struct conf *conf, const struct profile *profile,
                        const void *token, size_t len, const char *audience, int64_t now);
/* What the token holds: Keys. */
struct job *work_list(const struct work_for *f);
/* A new key; an imported secret (wiped here when the job ends) that no key of `others` may hold: Changed. */
struct job *work_generate(const struct work_for *f, const struct alg *alg, uint32_t rsa_bits, const char *label);
struct job *work_import(const struct work_for *f, const struct alg *alg, const char *label,
                        const void *secret, size_t len, const uint64_t *others, size_t n_others);
/* A key's end, and that of the facts with these labels, which meant it alone: Changed. */
struct job *work_destroy(const struct work_for *f, uint64_t key, bool private_only, char *const *facts, size_t n_facts);
/* A fact: Changed. */
struct job *work_write_fact(const struct work_for *f, const char *label);
/* No fact of that label any more: Changed. */
struct job *work_forget_fact(const struct work_for *f, const char *label);
/* What the token lets us write: Powers. */
struct job *work_try_powers(const struct work_for *f);

/* The row of an algorithm in jose's table, as role messages name it. */
uint32_t work_alg_row(const struct alg *a);

#endif
