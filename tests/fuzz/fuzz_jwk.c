/* jwk: a key set. A public key that was understood is written and read back as the same key. */
#include "tests/fuzz/fuzz.h"

#include "proto/jose/jwk.h"

static void read_back(const struct jwk *k)
{
    char name[JWK_THUMBPRINT_LEN + 1], again_name[JWK_THUMBPRINT_LEN + 1];
    struct buf text;
    struct err e = { 0 };
    buf_init(&text, 64u * 1024);
    if (jwk_write(k, &text)) {
        CLEANUP(jwk_set_freep) struct jwk_set *again = jwk_set_read(text.data, text.len, &e);
        MUST(again && jwk_set_size(again) == 1);
        MUST(jwk_thumbprint(k, name) && jwk_thumbprint(jwk_set_at(again, 0), again_name));
        MUST(strcmp(name, again_name) == 0 && strlen(name) == JWK_THUMBPRINT_LEN);
    }
    buf_clear(&text);
}

static void try_every_alg(const struct jwk *k, const uint8_t *in, size_t len)
{
    for (size_t a = 0; alg_at(a); a++) {
        struct err e = { 0 };
        bool strong = jwk_fits(k, alg_at(a), false, &e), weak = jwk_fits(k, alg_at(a), true, &e);
        MUST(weak || !strong);
        if (weak)
            MUST(jwk_is_kind(k, alg_at(a)));
        size_t signature_len = alg_at(a)->signature_len ? alg_at(a)->signature_len : 256;
        if (weak && len >= signature_len)
            (void)jwk_verifies(k, alg_at(a), in, len, in, signature_len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    struct err e = { 0 };
    CLEANUP(jwk_set_freep) struct jwk_set *set = jwk_set_read(in, len, &e);
    if (!set) {
        MUST(e.reason == ERR_KEY_UNUSABLE || e.reason == ERR_NO_MEMORY);
        return 0;
    }
    for (size_t i = 0; i < jwk_set_size(set); i++) {
        read_back(jwk_set_at(set, i));
        try_every_alg(jwk_set_at(set, i), in, len);
    }
    return 0;
}
