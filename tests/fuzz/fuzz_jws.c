/* jws: the compact serialization. What is accepted has one spelling: written again it is the same bytes. */
#include "tests/fuzz/fuzz.h"

#include "proto/jose/b64url.h"
#include "proto/jose/jws.h"

#define MAX_TOKEN (1024u * 1024)

static void same_letters(const char *letters, size_t n, const struct buf *bytes)
{
    struct buf again;
    buf_init(&again, 2 * MAX_TOKEN);
    MUST(b64url_encode(&again, bytes->data, bytes->len));
    MUST(again.len == n && (n == 0 || memcmp(again.data, letters, n) == 0));
    buf_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    struct jws j;
    struct err e = { 0 };
    const char *token = (const char *)in;
    if (jws_parse(&j, token, len, MAX_TOKEN, &e)) {
        MUST(j.signing_input == token && j.signing_input_len < len && token[j.signing_input_len] == '.');
        const char *payload = memchr(token, '.', j.signing_input_len);
        MUST(payload != NULL);
        payload++;
        same_letters(payload, (size_t)(token + j.signing_input_len - payload), &j.payload);
        same_letters(token + j.signing_input_len + 1, len - j.signing_input_len - 1, &j.signature);
        MUST(j.signature.len > 0 && j.alg_name);
        MUST(!j.alg || strcmp(j.alg->name, j.alg_name) == 0);
    } else {
        MUST(err_is_verdict(e.reason) || e.reason == ERR_NO_MEMORY);
    }
    jws_clear(&j);
    return 0;
}
