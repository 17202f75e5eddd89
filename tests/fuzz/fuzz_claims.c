/* claims: a payload against one profile's rules; what they accept really says so. */
#include "tests/fuzz/fuzz.h"

#include "proto/cleanup.h"
#include "proto/jose/claims.h"

#include <jansson.h>

static void accepted(const uint8_t *in, size_t len, const struct claims_rules *rules)
{
    json_t *o = json_loadb((const char *)in, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    MUST(o);
    const char *issuer = json_string_value(json_object_get(o, "iss"));
    MUST(issuer && strcmp(issuer, rules->issuer) == 0);
    json_t *exp = json_object_get(o, "exp");
    if (exp)
        MUST(json_is_number(exp) && json_number_value(exp) + rules->leeway_s > (double)rules->now);
    json_t *aud = json_object_get(o, "aud");
    MUST(json_is_string(aud) || json_is_array(aud));
    json_decref(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    static const char *const audience[] = { "shop" };
    const struct claims_rules rules = { .issuer = "https://login.example", .audiences = audience,
                                        .n_audiences = 1, .leeway_s = 60, .now = 1700000000 };
    struct claims c = { 0 }, peeked = { 0 };
    struct err e = { 0 };
    bool readable = claims_peek(in, len, &peeked, &e);
    claims_clear(&peeked);
    if (claims_check(in, len, NULL, &rules, &c, &e)) {
        MUST(readable);
        accepted(in, len, &rules);
        claims_clear(&c);
    } else {
        MUST(err_is_verdict(e.reason) || e.reason == ERR_NO_MEMORY);
    }
    return 0;
}
