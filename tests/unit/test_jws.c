#include "proto/jose/jws.h"

#include "proto/jose/b64url.h"
#include "proto/jose/json.h"
#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

#define MAX 65536

static const char printed[] =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5"
    "MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";

/* RFC 4648 section 10, and what is no canonical spelling. */
static const struct { const char *bytes, *letters; } b64_case[] = {
    { "", "" }, { "f", "Zg" }, { "fo", "Zm8" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg" }, { "\xfb\xff", "-_8" },
};
static const char *const b64_bad[] = { "Z", "Zg==", "Zh", "Zm9", "Zm+v", "Zm/v", "Zm 9v", "Zm9v\n", "Zm9vY", "=", "Z\xc3" };

static void b64url_has_one_spelling(void)
{
    for (size_t i = 0; i < sizeof b64_case / sizeof *b64_case; i++) {
        struct buf out;
        buf_init(&out, 100);
        CU_ASSERT_TRUE(b64url_encode(&out, b64_case[i].bytes, strlen(b64_case[i].bytes)));
        unit_same_mem("encoded", out.data, out.len, b64_case[i].letters, strlen(b64_case[i].letters));
        buf_clear(&out);
        CU_ASSERT_TRUE(b64url_decode(&out, b64_case[i].letters, strlen(b64_case[i].letters)));
        unit_same_mem("decoded", out.data, out.len, b64_case[i].bytes, strlen(b64_case[i].bytes));
        buf_clear(&out);
    }
    for (size_t i = 0; i < sizeof b64_bad / sizeof *b64_bad; i++) {
        struct buf out;
        buf_init(&out, 100);
        if (b64url_decode(&out, b64_bad[i], strlen(b64_bad[i])) || out.len)
            unit_same_str("decoded though not canonical", b64_bad[i], "");
        buf_clear(&out);
    }
}

static void b64url_round_trips_at_every_length(void)
{
    uint8_t bytes[70];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + 200);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        struct buf letters, back;
        buf_init(&letters, 200);
        buf_init(&back, 200);
        CU_ASSERT_TRUE(b64url_encode(&letters, bytes, n));
        CU_ASSERT_TRUE(b64url_decode(&back, (char *)letters.data, letters.len));
        unit_same_mem("round trip", back.data, back.len, bytes, n);
        buf_clear(&letters);
        buf_clear(&back);
    }
}

static const struct { const char *name, *text; bool ok; } json_case[] = {
    { "an empty object", "{}", true },
    { "an escaped NUL in a value", "{\"a\":\"\\u0000\"}", true },
    { "an integer past 64 bits", "{\"a\":123456789012345678901234567890}", true },
    { "a surrogate pair", "{\"a\":\"\\ud83d\\ude00\"}", true },
    { "a byte order mark", "\xef\xbb\xbf{}", false },
    { "an array", "[]", false },
    { "a name twice", "{\"a\":1,\"a\":2}", false },
    { "a name twice, once escaped", "{\"a\":1,\"\\u0061\":2}", false },
    { "a name twice deep inside", "{\"x\":[{\"a\":1,\"a\":2}]}", false },
    { "a lone surrogate", "{\"a\":\"\\ud83d\"}", false },
    { "bytes that are no UTF-8", "{\"a\":\"\xff\"}", false },
    { "an overlong UTF-8 form", "{\"a\":\"\xc0\xaf\"}", false },
    { "a second value", "{}{}", false },
    { "a trailing comma", "{\"a\":1,}", false },
    { "a comment", "{/**/}", false },
    { "single quotes", "{'a':1}", false },
    { "NaN", "{\"a\":NaN}", false },
    { "a leading zero", "{\"a\":01}", false },
    { "a raw newline in a string", "{\"a\":\"\n\"}", false },
    { "nothing", "", false },
    { "an open string", "{\"a\":\"", false },
};

static void json_is_strict(void)
{
    for (size_t i = 0; i < sizeof json_case / sizeof *json_case; i++) {
        struct err e = { 0 };
        json_t *o = json_object_read(json_case[i].text, strlen(json_case[i].text), ERR_BAD_HEADER, &e);
        unit_same_int(json_case[i].name, o != NULL, json_case[i].ok);
        unit_same_int(json_case[i].name, e.reason, json_case[i].ok ? ERR_NONE : ERR_BAD_HEADER);
        json_decref(o);
    }
}

static void json_is_at_most_32_deep(void)
{
    for (unsigned depth = JSON_MAX_DEPTH; depth <= JSON_MAX_DEPTH + 1; depth++) {
        struct err e;
        char text[200] = "{\"a\":";
        for (unsigned i = 1; i < depth; i++)
            strcat(text, "[");
        for (unsigned i = 1; i < depth; i++)
            strcat(text, "]");
        strcat(text, "}");
        json_t *o = json_object_read(text, strlen(text), ERR_BAD_PAYLOAD, &e);
        unit_same_int("depth", o != NULL, depth <= JSON_MAX_DEPTH);
        json_decref(o);
    }
}

static void members_keep_their_bytes(void)
{
    static const char text[] = " { \"a\" : 0.10 ,\"b\":[1, {\"}\":\"]\\\"\"} ] ,\"c\\u0064\":\"x,y}\" ,\"d\":1e2}";
    static const char *const want[][2] = {
        { "a", "0.10" }, { "b", "[1, {\"}\":\"]\\\"\"} ]" }, { "cd", "\"x,y}\"" }, { "d", "1e2" },
    };
    struct err e;
    struct json_member *m = NULL;
    size_t n = 0;
    json_t *o = json_object_read(text, strlen(text), ERR_CLAIMS_MALFORMED, &e);

    CU_ASSERT_TRUE_FATAL(o && json_members(o, text, strlen(text), &m, &n, &e));
    unit_same_int("members", (long long)n, 4);
    for (size_t i = 0; i < n; i++) {
        unit_same_str("name", m[i].name, want[i][0]);
        unit_same_mem("value", m[i].text, m[i].text_len, want[i][1], strlen(want[i][1]));
    }
    free(m);
    json_decref(o);
}

static void the_printed_token_comes_apart_and_together(void)
{
    static const char payload[] = "{\"sub\":\"1234567890\",\"name\":\"John Doe\",\"iat\":1516239022}";
    struct jws j;
    struct buf out;
    struct err e;

    CU_ASSERT_TRUE_FATAL(jws_parse(&j, printed, strlen(printed), MAX, &e));
    unit_same_str("alg", j.alg->name, "HS256");
    unit_same_str("typ", j.typ, "JWT");
    CU_ASSERT_PTR_NULL(j.kid);
    unit_same_mem("payload", j.payload.data, j.payload.len, payload, strlen(payload));
    buf_init(&out, MAX);
    CU_ASSERT_TRUE(jws_signing_input(&out, j.alg, "JWT", NULL, payload, strlen(payload)));
    unit_same_mem("signing input", out.data, out.len, j.signing_input, j.signing_input_len);
    CU_ASSERT_TRUE(jws_append_signature(&out, j.signature.data, j.signature.len));
    unit_same_mem("token", out.data, out.len, printed, strlen(printed));
    buf_clear(&out);
    jws_clear(&j);
}

/* header "." payload "." signature, the header given as JSON. */
static const struct { const char *name, *header; enum err_reason want; } header_case[] = {
    { "wire_6_2_15: an unknown member", "{\"alg\":\"ES256\",\"x\":[1]}", ERR_NONE },
    { "wire_6_1_3_6: zip, which unpacks nothing", "{\"alg\":\"ES256\",\"zip\":\"DEF\"}", ERR_NONE },
    { "wire_6_1_3_10: jku, jwk, x5u, x5c, which nobody follows",
      "{\"alg\":\"ES256\",\"jku\":\"u\",\"jwk\":{},\"x5u\":\"u\",\"x5c\":[]}", ERR_NONE },
    { "wire_6_2_17: b64 true", "{\"alg\":\"ES256\",\"b64\":true}", ERR_NONE },
    { "an alg that we do not know", "{\"alg\":\"none\"}", ERR_NONE },
    { "wire_6_2_17: b64 false", "{\"alg\":\"ES256\",\"b64\":false}", ERR_BAD_HEADER },
    { "wire_6_2_17: b64 as a string", "{\"alg\":\"ES256\",\"b64\":\"true\"}", ERR_BAD_HEADER },
    { "wire_6_2_17: b64 false with crit", "{\"alg\":\"ES256\",\"b64\":false,\"crit\":[\"b64\"]}", ERR_CRIT_UNSUPPORTED },
    { "wire_6_2_16: crit", "{\"alg\":\"ES256\",\"crit\":[\"x\"],\"x\":1}", ERR_CRIT_UNSUPPORTED },
    { "wire_6_2_16: an empty crit", "{\"alg\":\"ES256\",\"crit\":[]}", ERR_CRIT_UNSUPPORTED },
    { "wire_6_2_16: crit null", "{\"alg\":\"ES256\",\"crit\":null}", ERR_CRIT_UNSUPPORTED },
    { "wire_6_2_15: no alg", "{}", ERR_BAD_HEADER },
    { "wire_6_2_15: alg a number", "{\"alg\":256}", ERR_BAD_HEADER },
    { "alg with a NUL", "{\"alg\":\"ES256\\u0000\"}", ERR_BAD_HEADER },
    { "wire_6_2_15: alg twice", "{\"alg\":\"ES256\",\"alg\":\"ES256\"}", ERR_BAD_HEADER },
    { "wire_6_2_15: kid a number", "{\"alg\":\"ES256\",\"kid\":1}", ERR_BAD_HEADER },
    { "wire_6_2_15: typ null", "{\"alg\":\"ES256\",\"typ\":null}", ERR_BAD_HEADER },
    { "wire_6_2_15: cty an object", "{\"alg\":\"ES256\",\"cty\":{}}", ERR_BAD_HEADER },
    { "wire_6_2_15: an array", "[]", ERR_BAD_HEADER },
    { "wire_6_2_15: a string", "\"x\"", ERR_BAD_HEADER },
};

static enum err_reason parsed(const char *token, size_t len, size_t max)
{
    struct err e = { 0 };
    struct jws j;
    bool ok = jws_parse(&j, token, len, max, &e);

    jws_clear(&j);
    CU_ASSERT_EQUAL(ok, e.reason == ERR_NONE);
    return e.reason;
}

static void headers_are_strict(void)
{
    for (size_t i = 0; i < sizeof header_case / sizeof *header_case; i++) {
        struct buf token;
        buf_init(&token, MAX);
        b64url_encode(&token, header_case[i].header, strlen(header_case[i].header));
        buf_append_str(&token, ".e30.AA");
        unit_same_str(header_case[i].name, err_reason_name(parsed((char *)token.data, token.len, MAX)),
                      err_reason_name(header_case[i].want));
        buf_clear(&token);
    }
}

static const struct { const char *name, *token; } malformed_case[] = {
    { "wire_6_2_13: nothing", "" },
    { "wire_6_2_13: one part", "eyJhbGciOiJFUzI1NiJ9" },
    { "wire_6_2_13: two parts", "eyJhbGciOiJFUzI1NiJ9.e30" },
    { "wire_6_2_13: four parts", "eyJhbGciOiJFUzI1NiJ9.e30.AA.AA" },
    { "wire_6_1_3_13: five parts, as of a JWE", "eyJhbGciOiJFUzI1NiJ9.e30.AA.AA.AA" },
    { "wire_6_2_13: an empty header", ".e30.AA" },
    { "wire_6_2_13: an empty signature", "eyJhbGciOiJFUzI1NiJ9.e30." },
    { "wire_6_2_14: padding", "eyJhbGciOiJFUzI1NiJ9.e30=.AA" },
    { "wire_6_1_3_14: a line break", "eyJhbGciOiJFUzI1NiJ9.e30.AA\n" },
    { "wire_6_1_3_14: a space", "eyJhbGciOiJFUzI1NiJ9. e30.AA" },
    { "wire_6_2_14: stray bits", "eyJhbGciOiJFUzI1NiJ9.e31.AB" },
    { "wire_6_1_3_14: standard base64", "eyJhbGciOiJFUzI1NiJ9.e30.+/" },
    { "wire_6_2_24: JSON serialization", "{\"payload\":\"e30\"}" },
};

static void what_is_not_compact_is_malformed(void)
{
    for (size_t i = 0; i < sizeof malformed_case / sizeof *malformed_case; i++)
        unit_same_str(malformed_case[i].name,
                      err_reason_name(parsed(malformed_case[i].token, strlen(malformed_case[i].token), MAX)), "MALFORMED");
    unit_same_str("a NUL", err_reason_name(parsed("eyJhbGciOiJFUzI1NiJ9.e30.A\0", 27, MAX)), "MALFORMED");
}

static void limits_hold_exactly(void)
{
    unit_same_int("exactly the token's limit", parsed(printed, strlen(printed), strlen(printed)), ERR_NONE);
    unit_same_int("one byte more", parsed(printed, strlen(printed), strlen(printed) - 1), ERR_TOO_LARGE);
    for (size_t len = JWS_MAX_HEADER; len <= JWS_MAX_HEADER + 1; len++) {
        struct buf header, token;
        buf_init(&header, MAX);
        buf_init(&token, MAX);
        buf_append_str(&header, "{\"alg\":\"ES256\",\"x\":\"");
        while (header.len < len - 2)
            buf_append_char(&header, 'a');
        buf_append_str(&header, "\"}");
        b64url_encode(&token, header.data, header.len);
        buf_append_str(&token, "..AA");
        unit_same_int("header of 16 KiB", parsed((char *)token.data, token.len, MAX),
                      len <= JWS_MAX_HEADER ? ERR_NONE : ERR_TOO_LARGE);
        buf_clear(&header);
        buf_clear(&token);
    }
}

static const struct unit_case cases[] = {
    { "wire_6_2_14: base64url has one spelling", b64url_has_one_spelling },
    { "base64url round trips at every length", b64url_round_trips_at_every_length },
    { "wire_6_1_3_7: JSON is strict, UTF-8 and without a byte order mark", json_is_strict },
    { "JSON is at most 32 deep", json_is_at_most_32_deep },
    { "an object's members keep their bytes", members_keep_their_bytes },
    { "wire_6_2_2: the printed token comes apart and together", the_printed_token_comes_apart_and_together },
    { "headers are strict", headers_are_strict },
    { "what is not compact is malformed", what_is_not_compact_is_malformed },
    { "limits hold exactly", limits_hold_exactly },
};

UNIT_MAIN(cases)
