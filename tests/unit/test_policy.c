#include "daemon/policy/policy.h"

#include "proto/cleanup.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>

#define N(list) (list), sizeof(list) / sizeof *(list)

static char *audiences[] = { "shop", "login" };
static char *allowed[] = { "name", "role", "pin" };
static char *required[] = { "name" };
static char *forbidden[] = { "role" };
static struct profile_claim fixed[] = { { "tenant", "{\"id\":1}" } };
static uint32_t uids[] = { 1000, 65534 }, gids[] = { 2000, 65534 };
static const uint8_t zeros[16];

static const struct profile session = {
    .name = "web-session", .ring = "web", .issuer = "https://login.example", .typ = "JWT",
    .audiences = N(audiences), .ttl_s = 900, .max_ttl_s = 3600, .allowed = N(allowed), .required = N(required),
    .fixed = N(fixed), .sign = { .uids = N(uids), .gids = N(gids) }, .verify = { .any = true },
};

static const struct caller app = { .uid = 1000, .gid = 1000, .name = "app" };

static enum err_reason built(const struct profile *p, const struct caller *c, struct wish w, const char *claims,
                             char *out, size_t size)
{
    struct buf b;
    struct verdict v;
    struct err e = { 0 };

    if (claims) {
        w.claims = (const uint8_t *)claims;
        w.claims_len = strlen(claims);
    }
    buf_init(&b, 4096);
    bool ok = policy_payload(p, c, &w, 1000000, 1800, zeros, &b, &v, &e);
    CU_ASSERT_EQUAL(ok, e.reason == ERR_NONE);
    CU_ASSERT_TRUE(ok || b.len == 0);
    if (out) {
        memcpy(out, b.data ? (char *)b.data : "", b.len < size ? b.len : size - 1);
        out[b.len < size ? b.len : size - 1] = '\0';
    }
    buf_clear(&b);
    return e.reason;
}

static void a_payload_is_built_byte_for_byte(void)
{
    static const char *const both[] = { "login", "shop" };
    char got[1000];

    built(&session, &app, (struct wish){ .subject = "1234567890" }, "{\"name\":\"John Doe\"}", got, sizeof got);
    unit_same_str("the default", got,
                  "{\"iss\":\"https://login.example\",\"sub\":\"1234567890\",\"aud\":\"shop\",\"iat\":1000000,"
                  "\"exp\":1000900,\"jti\":\"00000000000000000000000000000000\",\"tenant\":{\"id\":1},\"name\":\"John Doe\"}");
    built(&session, &app, (struct wish){ .audiences = both, .n_audiences = 2, .ttl_s = 60, .not_before = 1000010, .jti = "x1" },
          " {\"role\" : [0.10, 1e2,\"\\u0041\"] , \"name\":\"\xc3\xa9\"}", got, sizeof got);
    unit_same_str("values as written", got,
                  "{\"iss\":\"https://login.example\",\"aud\":[\"login\",\"shop\"],\"iat\":1000000,\"exp\":1000060,"
                  "\"nbf\":1000010,\"jti\":\"x1\",\"tenant\":{\"id\":1},\"role\":[0.10, 1e2,\"\\u0041\"],\"name\":\"\xc3\xa9\"}");
    built(&session, &app, (struct wish){ .ttl_s = 3600 }, "{\"name\":\"a\"}", got, sizeof got);
    CU_ASSERT_PTR_NOT_NULL(strstr(got, "\"exp\":1001800"));     /* the key's promise caps it */
    built(&session, &app, (struct wish){ .subject = "a\"b\\\n" }, "{\"name\":\"a\"}", got, sizeof got);
    CU_ASSERT_PTR_NOT_NULL(strstr(got, "\"sub\":\"a\\\"b\\\\\\n\""));
}

static const struct { const char *name, *claims, *want; } claims_case[] = {
    { "allowed", "{\"name\":\"a\",\"role\":1}", "NONE" },
    { "allowed by name though like a secret", "{\"name\":\"a\",\"pin\":1}", "NONE" },
    { "not allowed", "{\"name\":\"a\",\"colour\":1}", "CLAIM_NOT_ALLOWED" },
    { "required and missing", "{\"role\":1}", "CLAIM_REQUIRED" },
    { "none at all", NULL, "CLAIM_REQUIRED" },
    { "wire_6_2_10: ours", "{\"name\":\"a\",\"exp\":9}", "CLAIM_RESERVED" },
    { "wire_6_2_9: ours in another case", "{\"name\":\"a\",\"Exp\":9}", "CLAIM_RESERVED" },
    { "ours to a reader that folds U+017F to s", "{\"name\":\"a\",\"i\xc5\xbfs\":9}", "CLAIM_RESERVED" },
    { "ours, written as an escape", "{\"name\":\"a\",\"\\u017fub\":9}", "CLAIM_RESERVED" },
    { "ours to one that folds U+0130 to i", "{\"name\":\"a\",\"\xc4\xb0" "at\":9}", "CLAIM_RESERVED" },
    { "ours to one that folds U+0131 to i", "{\"name\":\"a\",\"jt\xc4\xb1\":9}", "CLAIM_RESERVED" },
    { "wire_6_2_10: fixed", "{\"name\":\"a\",\"tenant\":9}", "CLAIM_RESERVED" },
    { "fixed, in another case", "{\"name\":\"a\",\"TENANT\":9}", "CLAIM_RESERVED" },
    { "a secret, before the advice to allow it", "{\"password\":\"x\"}", "CLAIM_SECRET" },
    { "a secret to a reader that folds", "{\"name\":[{\"pa\xc5\xbf\xc5\xbfword\":\"x\"}]}", "CLAIM_SECRET" },
    { "a secret inside a value", "{\"name\":[{\"Password\":\"x\"}]}", "CLAIM_SECRET" },
    { "no object", "[]", "CLAIMS_MALFORMED" },
    { "no JSON", "{\"name\":", "CLAIMS_MALFORMED" },
    { "wire_6_2_9: a name twice", "{\"name\":1,\"name\":2}", "CLAIMS_MALFORMED" },
    { "wire_6_2_9: a name twice deep inside", "{\"name\":{\"a\":1,\"a\":2}}", "CLAIMS_MALFORMED" },
    { "bytes that are no UTF-8", "{\"name\":\"\xff\"}", "CLAIMS_MALFORMED" },
};

static void claims_are_refused_each_with_its_reason(void)
{
    for (size_t i = 0; i < sizeof claims_case / sizeof *claims_case; i++)
        unit_same_str(claims_case[i].name,
                      err_reason_name(built(&session, &app, (struct wish){ 0 }, claims_case[i].claims, NULL, 0)),
                      claims_case[i].want);
    struct profile open = session;
    open.any_claim = true;
    open.n_allowed = open.n_required = 0;
    unit_same_int("any claim", built(&open, &app, (struct wish){ 0 }, "{\"colour\":1}", NULL, 0), ERR_NONE);
    unit_same_int("no claims", built(&open, &app, (struct wish){ 0 }, NULL, NULL, 0), ERR_NONE);
    unit_same_int("but no secret", built(&open, &app, (struct wish){ 0 }, "{\"PIN\":1}", NULL, 0), ERR_CLAIM_SECRET);
    open.forbidden = forbidden;
    open.n_forbidden = 1;
    unit_same_int("nor what is forbidden", built(&open, &app, (struct wish){ 0 }, "{\"role\":1}", NULL, 0),
                  ERR_CLAIM_NOT_ALLOWED);
    unit_same_int("in any case", built(&open, &app, (struct wish){ 0 }, "{\"Role\":1}", NULL, 0), ERR_CLAIM_NOT_ALLOWED);
    /* K, the Kelvin sign, folds to k. */
    static char *kelvin[] = { "tasks" };
    static struct profile_claim tasks[] = { { "tasks", "1" } };
    const char *folded = "{\"ta\xc5\xbf\xe2\x84\xaas\":1}";
    open.forbidden = kelvin;
    unit_same_int("nor what folds to it", built(&open, &app, (struct wish){ 0 }, folded, NULL, 0), ERR_CLAIM_NOT_ALLOWED);
    open.n_forbidden = 0;
    unit_same_int("no character less", built(&open, &app, (struct wish){ 0 }, "{\"task\":1,\"tasksy\":1}", NULL, 0), ERR_NONE);
    open.fixed = tasks;
    unit_same_int("fixed, folded", built(&open, &app, (struct wish){ 0 }, folded, NULL, 0), ERR_CLAIM_RESERVED);
}

static const char *const foreign[] = { "shop/" }, *const twice[] = { "shop", "shop" };
static const char long_jti[130] = { [0 ... 128] = 'a' };
static const struct { const char *name; struct wish wish; const char *want; } wish_case[] = {
    { "the longest ttl", { .ttl_s = 3600 }, "NONE" },
    { "a second more", { .ttl_s = 3601 }, "TTL_TOO_LONG" },
    { "a foreign audience", { .audiences = foreign, .n_audiences = 1 }, "AUDIENCE_NOT_ALLOWED" },
    { "an audience twice", { .audiences = twice, .n_audiences = 2 }, "AUDIENCE_NOT_ALLOWED" },
    { "not before its end", { .not_before = 1000900 }, "NOT_BEFORE_INVALID" },
    { "not before 1970", { .not_before = -1 }, "NOT_BEFORE_INVALID" },
    { "a jti with a space", { .jti = "a b" }, "JTI_INVALID" },
    { "a jti too long", { .jti = long_jti }, "JTI_INVALID" },
    { "the longest jti", { .jti = long_jti + 1 }, "NONE" },
};

static void wishes_are_refused_each_with_its_reason(void)
{
    for (size_t i = 0; i < sizeof wish_case / sizeof *wish_case; i++)
        unit_same_str(wish_case[i].name,
                      err_reason_name(built(&session, &app, wish_case[i].wish, "{\"name\":1}", NULL, 0)), wish_case[i].want);
}

static void a_subject_can_be_bound_to_the_caller(void)
{
    static char *sub[] = { "sub" };
    struct profile bound = session;
    struct caller nameless = app;
    char got[1000];

    nameless.name = NULL;
    bound.subject_is_caller = true;
    built(&bound, &app, (struct wish){ 0 }, "{\"name\":1}", got, sizeof got);
    CU_ASSERT_PTR_NOT_NULL(strstr(got, "\"sub\":\"app\""));
    unit_same_int("its own name", built(&bound, &app, (struct wish){ .subject = "app" }, "{\"name\":1}", NULL, 0), ERR_NONE);
    unit_same_int("another's", built(&bound, &app, (struct wish){ .subject = "root" }, "{\"name\":1}", NULL, 0),
                  ERR_SUBJECT_NOT_ALLOWED);
    unit_same_int("no name", built(&bound, &nameless, (struct wish){ 0 }, "{\"name\":1}", NULL, 0), ERR_CALLER_UNNAMED);
    struct profile needs = session;
    needs.required = sub;
    unit_same_int("required", built(&needs, &app, (struct wish){ 0 }, NULL, NULL, 0), ERR_SUBJECT_REQUIRED);
    unit_same_int("given", built(&needs, &app, (struct wish){ .subject = "s" }, NULL, NULL, 0), ERR_NONE);
}

/* A payload of exactly so many bytes; built() has room for 4096. */
static enum err_reason payload_of(size_t bytes)
{
    static char claims[5000];
    char rest[1000];

    built(&session, &app, (struct wish){ 0 }, "{\"name\":\"\"}", rest, sizeof rest);
    snprintf(claims, sizeof claims, "{\"name\":\"%0*d\"}", (int)(bytes - strlen(rest)), 0);
    return built(&session, &app, (struct wish){ 0 }, claims, NULL, 0);
}

/* {"name":1,"c2":0,…}: n members, the last nested so deep. */
static enum err_reason claims_of(unsigned n, unsigned depth)
{
    struct profile open = session;
    CLEANUP(buf_clear) struct buf b;

    open.any_claim = true;
    buf_init(&b, 4096);
    buf_append_str(&b, "{\"name\":1");
    for (unsigned i = 2; i <= n; i++)
        buf_printf(&b, ",\"c%u\":%s", i, i < n ? "0" : "");
    for (unsigned i = 2; i <= depth; i++)
        buf_append_char(&b, '[');
    buf_append_str(&b, depth > 1 ? "" : "0");
    for (unsigned i = 2; i <= depth; i++)
        buf_append_char(&b, ']');
    buf_append_str(&b, "}");
    buf_append_char(&b, '\0');
    return built(&open, &app, (struct wish){ 0 }, (char *)b.data, NULL, 0);
}

static void a_request_s_claims_are_bounded(void)
{
    unit_same_int("wire_6_2_11: 128 claims", claims_of(128, 1), ERR_NONE);
    unit_same_int("wire_6_2_11: one claim more", claims_of(129, 1), ERR_CLAIMS_MALFORMED);
    unit_same_int("wire_6_2_11: 32 deep", claims_of(2, 32), ERR_NONE);
    unit_same_int("wire_6_2_11: 33 deep", claims_of(2, 33), ERR_CLAIMS_MALFORMED);
    unit_same_int("wire_6_2_11: the longest payload", payload_of(4096), ERR_NONE);
    unit_same_int("wire_6_2_11: a byte more", payload_of(4097), ERR_TOKEN_TOO_LARGE);
}

static const gid_t member[] = { 5, 2000 }, nogroup[] = { 65534 };
static const struct { const char *name; struct caller caller; bool may; } caller_case[] = {
    { "its uid", { .uid = 1000, .gid = 1 }, true },
    { "its primary group", { .uid = 7, .gid = 2000 }, true },
    { "a supplementary group", { .uid = 7, .gid = 1, .groups = member, .n_groups = 2 }, true },
    { "neither", { .uid = 7, .gid = 1, .groups = member, .n_groups = 1 }, false },
    { "root, not named", { .uid = 0, .gid = 0 }, false },
    { "the overflow uid, though named", { .uid = 65534, .gid = 2000 }, false },
    { "no uid at all", { .uid = (uid_t)-1, .gid = 2000 }, false },
    { "the overflow group, though named", { .uid = 7, .gid = 65534, .groups = nogroup, .n_groups = 1 }, false },
};

static void callers_are_known_by_uid_and_groups(void)
{
    struct err e;
    for (size_t i = 0; i < sizeof caller_case / sizeof *caller_case; i++)
        unit_same_int(caller_case[i].name, policy_may_sign(&session, &caller_case[i].caller, &e), caller_case[i].may);
    unit_same_int("a refusal", policy_may_sign(&session, &caller_case[3].caller, &e) ? 0 : (int)e.reason,
                  ERR_CALLER_NOT_ALLOWED);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "web-session"));
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "uid 7"));
    CU_ASSERT_TRUE(policy_may_verify(&session, &caller_case[4].caller, &e));
    CU_ASSERT_FALSE(policy_may_verify(&session, &caller_case[5].caller, &e));
}

static void a_rate_is_kept_and_says_when_to_come_again(void)
{
    struct rate r = { 0 };
    struct err e;

    for (int i = 0; i < 5; i++)
        CU_ASSERT_TRUE(rate_take(&r, 5, 1000, &e));
    CU_ASSERT_FALSE(rate_take(&r, 5, 1000, &e));
    unit_same_int("reason", e.reason, ERR_RATE_LIMITED);
    CU_ASSERT_TRUE(e.retry_after_ms > 190 && e.retry_after_ms < 210);
    CU_ASSERT_FALSE(rate_take(&r, 5, 1000 + 190, &e));
    CU_ASSERT_TRUE(rate_take(&r, 5, 1000 + 201, &e));
    CU_ASSERT_FALSE(rate_take(&r, 5, 900, &e));                 /* a clock that goes back gives nothing */
    for (int i = 0; i < 5; i++)
        CU_ASSERT_TRUE(rate_take(&r, 5, 100000, &e));           /* never more than a second's worth */
    CU_ASSERT_FALSE(rate_take(&r, 5, 100000, &e));
    CU_ASSERT_TRUE(rate_take(&r, 0, 0, &e));
}

static const struct unit_case cases[] = {
    { "wire_6_2_8: a payload is built byte for byte", a_payload_is_built_byte_for_byte },
    { "claims are refused, each with its reason", claims_are_refused_each_with_its_reason },
    { "wishes are refused, each with its reason", wishes_are_refused_each_with_its_reason },
    { "a subject can be bound to the caller", a_subject_can_be_bound_to_the_caller },
    { "a request's claims are bounded", a_request_s_claims_are_bounded },
    { "callers are known by uid and groups", callers_are_known_by_uid_and_groups },
    { "a rate is kept and says when to come again", a_rate_is_kept_and_says_when_to_come_again },
};

UNIT_MAIN(cases)
