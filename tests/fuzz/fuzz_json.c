/* json: a stranger's object, and where its members' values stand: each must parse to the value it is said to be. */
#include "tests/fuzz/fuzz.h"

#include "proto/cleanup.h"
#include "proto/jose/json.h"

/* A number past int64 anywhere makes every number of its object a real one: `flags`. */
static bool reads_as(const struct json_member *m, size_t flags)
{
    flags |= JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    CLEANUP(json_decrefp) json_t *again = json_loadb(m->text, m->text_len, flags, NULL);
    return again && json_equal(again, m->value);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    struct err e = { 0 };
    CLEANUP(json_decrefp) json_t *object = json_object_read(in, len, ERR_CLAIMS_MALFORMED, &e);
    if (!object) {
        MUST(e.reason == ERR_CLAIMS_MALFORMED && e.text[0]);
        return 0;
    }
    MUST(json_is_object(object));
    CLEANUP(freep) struct json_member *member = NULL;
    size_t n = 0;
    MUST(json_members(object, in, len, &member, &n, &e));
    MUST(n == json_object_size(object));
    const uint8_t *after = in;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *text = (const uint8_t *)member[i].text;
        MUST(text > after && text + member[i].text_len < in + len);
        after = text + member[i].text_len;
        MUST(json_object_get(object, member[i].name) == member[i].value);
        MUST(reads_as(&member[i], 0) || reads_as(&member[i], JSON_DECODE_INT_AS_REAL));
    }
    return 0;
}
