/*
 * jwk_private: a key's inside, shared by jwk (what a key is) and jwk_verify
 * (what it proves). For those two files alone.
 */
#ifndef SIGNET_JOSE_JWK_PRIVATE_H
#define SIGNET_JOSE_JWK_PRIVATE_H

#include "proto/jose/jwk.h"

#include <openssl/evp.h>

struct jwk {
    const char *kty, *crv;      /* static; crv NULL for RSA and oct */
    char *members[2];           /* as RFC 7638 orders them: x y, x, e n, k */
    char *kid;                  /* NULL: none */
    const struct alg *alg;      /* NULL: none named, or (has_alg) one that we do not know */
    bool has_alg, may_verify;
    EVP_PKEY *pkey;             /* else a secret */
    EVP_MD_CTX *ready;          /* begun for `alg`, to be copied: a fresh one costs as much as reading the token. NULL: none */
    uint8_t *secret;
    size_t secret_len;
};

/* Makes `ready`, where the key names an algorithm that it fits. */
void jwk_make_ready(struct jwk *k);

#endif
