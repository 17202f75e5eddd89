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
        CLEANUP(jwk_set_freep) struct jwk_set *again = jwk_set_read(text.data, text.len, false, &e);
        MUST(again && jwk_set_size(again) == 1);
        MUST(jwk_thumbprint(k, name) && jwk_thumbprint(jwk_set_at(again, 0), again_name));
        MUST(strcmp(name, again_name) == 0 && strlen(name) == JWK_THUMBPRINT_LEN);
    }
    buf_clear(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    for (int weak = 0; weak <= 1; weak++) {
        struct err e = { 0 };
        CLEANUP(jwk_set_freep) struct jwk_set *set = jwk_set_read(in, len, weak, &e);
        if (!set) {
            MUST(e.reason == ERR_KEY_UNUSABLE || e.reason == ERR_NO_MEMORY);
            continue;
        }
        for (size_t i = 0; i < jwk_set_size(set); i++) {
            const struct jwk *k = jwk_set_at(set, i);
            read_back(k);
            for (size_t a = 0; alg_at(a); a++)
                (void)jwk_verifies(k, alg_at(a), in, len, in, len < 64 ? len : 64);
        }
    }
    return 0;
}
