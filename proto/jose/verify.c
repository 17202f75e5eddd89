#include "proto/jose/verify.h"

#include <errno.h>
#include <string.h>

bool verify_alg_allowed(const struct jws *j, const struct verify_rules *rules, struct err *e)
{
    if (!j->alg)
        return err_set(e, ERR_ALG_NOT_ALLOWED, "the header's 'alg' is none of the algorithms that signet knows");
    for (size_t i = 0; i < rules->n_algs; i++)
        if (alg_same(rules->algs[i], j->alg))
            return true;
    return rules->n_algs == 0 ||
           err_set(e, ERR_ALG_NOT_ALLOWED, "the token's 'alg' is %s, which is not allowed here", j->alg->name);
}

/* A key may be tried for this token. */
static bool usable(const struct jwk *k, const struct jws *j, const struct verify_rules *rules, struct err *e)
{
    if (!jwk_fits(k, j->alg, rules->allow_weak_secret, e))
        return false;
    if (rules->n_algs == 0 && !jwk_alg(k) && !j->alg->crv)
        return err_set(e, ERR_ALG_NOT_ALLOWED,
                       "nothing says that the key is for %s: name the algorithm, or give the key an 'alg'", j->alg->name);
    return true;
}

/* With a kid, those keys that bear it; without, each that fits. No key stands in for another. */
static const struct jwk *key_that_verifies(const struct jws *j, const struct jwk_set *set,
                                           const struct verify_rules *rules, struct err *e)
{
    bool tried = false, refused = false;
    struct err why;

    for (size_t i = 0; i < jwk_set_size(set); i++) {
        const struct jwk *k = jwk_set_at(set, i);
        if (j->kid && !(jwk_kid(k) && strcmp(jwk_kid(k), j->kid) == 0))
            continue;
        if (!usable(k, j, rules, &why)) {
            /* Without a kid a key of another kind was never meant. */
            if (j->kid || jwk_is_kind(k, j->alg)) {
                refused = true;
                *e = why;
            }
            continue;
        }
        tried = true;
        errno = 0;
        if (jwk_verifies(k, j->alg, j->signing_input, j->signing_input_len, j->signature.data, j->signature.len))
            return k;
        if (errno == ENOMEM) {
            err_set(e, ERR_NO_MEMORY, "no memory to verify a signature");
            return NULL;
        }
    }
    if (tried)
        err_set(e, ERR_BAD_SIGNATURE, "the signature is not the key's: the token was changed or another made it");
    else if (!refused)
        err_set(e, ERR_KEY_UNKNOWN, j->kid ? "no usable key of the set bears the token's 'kid'"
                                           : "no key of the set fits the token's algorithm");
    return NULL;
}

bool verify_jws(const struct jws *j, const struct jwk_set *set, const struct verify_rules *rules,
                const struct jwk **out_key, struct claims *out_claims, struct err *e)
{
    if (!verify_alg_allowed(j, rules, e))
        return false;
    const struct jwk *k = key_that_verifies(j, set, rules, e);
    if (!k)
        return false;
    if (rules->claims && !claims_check(j->payload.data, j->payload.len, j->typ, rules->claims, out_claims, e))
        return false;
    *out_key = k;
    return true;
}

bool verify_token(struct jws *j, const void *token, size_t len, const struct jwk_set *set,
                  const struct verify_rules *rules, const struct jwk **out_key,
                  struct claims *out_claims, struct err *e)
{
    return jws_parse(j, token, len, rules->max_len, e) && verify_jws(j, set, rules, out_key, out_claims, e);
}
