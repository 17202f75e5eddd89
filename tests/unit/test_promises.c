#include "daemon/config/config.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>

static const char file[] =
    "token: {module: m, uri: 'pkcs11:token=t'}\n"
    "rings:\n"
    "  web:\n"
    "    alg: ES256\n"
    "    rotate_every: 30d\n"
    "    publish_ahead: 2d\n"
    "    max_ttl: 12h\n"
    "  still: {alg: HS256, rotate_every: never}\n"
    "  old:\n"
    "    alg: RS256\n"
    "    keys: [{uri: 'pkcs11:object=ceremony', activates_at: 2026-01-01T00:00:00Z, max_ttl: 1h}]\n"
    "profiles:\n"
    "  web-session:\n"
    "    ring: web\n"
    "    issuer: https://login.example\n"
    "    audiences: [shop, login]\n"
    "    ttl: 15m\n"
    "    max_ttl: 8h\n";

static struct config *parse(const char *text, char *told, size_t size)
{
    struct buf mistakes;

    buf_init(&mistakes, 64 * 1024);
    struct config *c = config_parse(text, strlen(text), "f", NULL, &mistakes);
    snprintf(told, size, "%.*s", (int)mistakes.len, mistakes.data ? (const char *)mistakes.data : "");
    buf_clear(&mistakes);
    return c;
}

static void edit(char *out, size_t size, const char *from, const char *to)
{
    const char *at = strstr(file, from);

    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    snprintf(out, size, "%.*s%s%s", (int)(at - file), file, to, at + strlen(from));
}

/* The first `from` made `to`, and all that is then told: the sentence and the sum under it. */
static const struct { const char *name, *from, *to, *want; } sum_case[] = {
    { "published too late", "publish_ahead: 2d", "publish_ahead: 10m",
      "f:6: rings.web: publish_ahead is 10m and must be at least 17m30s, or verifiers meet tokens whose key they"
      " cannot know\n"
      "    jwks_max_age         15m    a copy of the key set may be this old\n"
      "    refresh              30s    until every daemon has listed a new key\n"
      "    skew                  1m    clocks differ\n"
      "    generate_timeout      1m    making the key\n"
      "    ------------------------\n"
      "    publish_ahead     17m30s    at least; it is 10m\n" },
    { "a second too late", "publish_ahead: 2d", "publish_ahead: 17m29s",
      "f:6: rings.web: publish_ahead is 17m29s and must be at least 17m30s, or verifiers meet tokens whose key"
      " they cannot know\n"
      "    jwks_max_age         15m    a copy of the key set may be this old\n"
      "    refresh              30s    until every daemon has listed a new key\n"
      "    skew                  1m    clocks differ\n"
      "    generate_timeout      1m    making the key\n"
      "    ------------------------\n"
      "    publish_ahead     17m30s    at least; it is 17m29s\n" },
    { "at the limit", "publish_ahead: 2d", "publish_ahead: 17m30s", "" },
    { "rotated too soon", "rotate_every: 30d", "rotate_every: 3d",
      "f:5: rings.web: rotate_every is 3d and must be at least 4d, or nobody has time to mend what keeps a next"
      " key from being made\n"
      "    publish_ahead  2d    the next key is known before it signs\n"
      "    publish_ahead  2d    as long before that, should it not be made at once\n"
      "    -----------------\n"
      "    rotate_every   4d    at least; it is 3d\n" },
    { "as soon as may be", "rotate_every: 30d", "rotate_every: 4d", "" },
    { "tokens that outlive a turn", "max_ttl: 12h", "max_ttl: 31d",
      "f:7: rings.web: max_ttl is 31d and must be at most 30d, or retired keys pile up\n"
      "    rotate_every  30d    until the key after it retires, too\n"
      "    -----------------\n"
      "    max_ttl       30d    at most; it is 31d\n" },
    { "tokens that live for a turn", "max_ttl: 12h", "max_ttl: 30d", "" },
    { "a standby that would never sign", "rotate_every: never", "rotate_every: never, standby: yes",
      "f:8: rings.still: standby needs rotate_every: a key that is always next must have a time\n" },
    { "a key made elsewhere whose copies last longer", "max_ttl: 1h}]", "max_ttl: 1h, max_age: 2d, skew: 2m}]",
      "f:9: rings.old: publish_ahead is 2d and must be at least 2d3m30s, or verifiers meet tokens whose key they"
      " cannot know\n"
      "    keys: max_age          2d    a copy of the key set may be this old\n"
      "    refresh               30s    until every daemon has listed a new key\n"
      "    keys: skew             2m    clocks differ\n"
      "    generate_timeout       1m    making the key\n"
      "    -------------------------\n"
      "    publish_ahead     2d3m30s    at least; it is 2d\n" },
    { "a ring whose key made elsewhere gives less, and others more", "ring: web\n", "ring: old\n", "" },
    { "a ttl that is longer than its ring's", "max_ttl: 12h", "max_ttl: 14m",
      "f:17: profiles.web-session.ttl: is 15m and must be at most 14m, or tokens would end sooner than it says\n"
      "    max_ttl  14m    of ring 'web': no key lets a token live longer\n"
      "    ------------\n"
      "    ttl      14m    at most; it is 15m\n"
      "f:18: profiles.web-session.max_ttl: is 8h and must be at most 14m, or tokens would end sooner than it says\n"
      "    max_ttl  14m    of ring 'web': no key lets a token live longer\n"
      "    ------------\n"
      "    max_ttl  14m    at most; it is 8h\n" },
    { "a ring's, and exactly as long", "max_ttl: 12h", "max_ttl: 8h", "" },
    { "a second longer", "max_ttl: 12h", "max_ttl: 7h59m59s",
      "f:18: profiles.web-session.max_ttl: is 8h and must be at most 7h59m59s, or tokens would end sooner than it says\n"
      "    max_ttl  7h59m59s    of ring 'web': no key lets a token live longer\n"
      "    -----------------\n"
      "    max_ttl  7h59m59s    at most; it is 8h\n" },
    { "what could not be read is not added up", "publish_ahead: 2d", "publish_ahead: 1x",
      "f:6: rings.web.publish_ahead: '1x' is no duration: write 500ms, 30s, 15m, 12h or 30d\n" },
    { "nor what it takes from the token", "pkcs11:token=t'", "pkcs11:token=t', generate_timeout: 1x",
      "f:1: token.generate_timeout: '1x' is no duration: write 500ms, 30s, 15m, 12h or 30d\n" },
    { "two outside keys of one time", "max_ttl: 1h}]", "max_ttl: 1h}, {uri: 'pkcs11:object=b', activates_at: 1767225600}]",
      "f:11: rings.old.keys: 'pkcs11:object=ceremony' and 'pkcs11:object=b' would both sign from"
      " 2026-01-01T00:00:00Z on, and only one key can: give each a time of its own\n" },
    { "a second between them", "max_ttl: 1h}]", "max_ttl: 1h}, {uri: 'pkcs11:object=b', activates_at: 1767225601}]", "" },
    { "an outside key of two rings", "  old:\n",
      "  older: {alg: RS256, keys: [{uri: 'pkcs11:object=ceremony', activates_at: 5}]}\n  old:\n",
      "f:12: rings.old.keys: 'pkcs11:object=ceremony' is a key of ring 'older' already: a key is of"
      " one ring\n" },
};

static void promises_that_cannot_be_kept_are_shown_as_sums(void)
{
    for (size_t i = 0; i < ARRAY_LEN(sum_case); i++) {
        char text[4096], told[4096];
        edit(text, sizeof text, sum_case[i].from, sum_case[i].to);
        CLEANUP(config_freep) struct config *c = parse(text, told, sizeof told);
        unit_same_str(sum_case[i].name, told, sum_case[i].want);
        unit_same_int(sum_case[i].name, c != NULL, !*sum_case[i].want);
    }
}

#define TOKEN "token: {module: m, uri: 'pkcs11:token=t'}\n"

/* n rings of three keys each, with a profile each; then `rings`, `profiles`. */
static void crowd(char *out, size_t size, size_t n, const char *issuer, const char *rings, const char *profiles)
{
    size_t len = (size_t)snprintf(out, size, TOKEN "rings:\n");

    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(out + len, size - len, "  r%02zu: {alg: ES256}\n", i);
    len += (size_t)snprintf(out + len, size - len, "%sprofiles:\n", rings);
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(out + len, size - len, "  p%02zu: {ring: r%02zu, issuer: %s, audiences: [a%02zu]}\n", i, i,
                                issuer, i);
    snprintf(out + len, size - len, "%s", profiles);
}

static const struct { const char *name; size_t n; const char *rings, *profiles; int64_t total; } crowd_case[] = {
    { "99 keys", 33, "", "", 0 },
    { "102 keys", 34, "", "", 102 },
    { "a hundredth that never rotates", 33, "  a: {alg: ES256, rotate_every: never}\n",
      "  a: {ring: a, issuer: i, audiences: [a]}\n", 0 },
    { "a ring that rotates in its place", 33, "  a: {alg: ES256}\n", "  a: {ring: a, issuer: i, audiences: [a]}\n", 102 },
    { "a ring of two profiles counts once", 33, "  a: {alg: ES256, rotate_every: never}\n",
      "  a: {ring: a, issuer: i, audiences: [a]}\n  b: {ring: a, issuer: i, audiences: [b]}\n", 0 },
    { "of another issuer", 33, "  a: {alg: ES256}\n", "  a: {ring: a, issuer: j, audiences: [a]}\n", 0 },
    { "secrets are in no key set", 33, "  a: {alg: HS256}\n", "  a: {ring: a, issuer: i, audiences: [a]}\n", 0 },
    { "nor is what nobody signs with", 33, "  a: {alg: ES256}\n", "", 0 },
    { "nor a raw profile's", 33, "  a: {alg: ES256}\n", "  a: {ring: a, raw: yes}\n", 0 },
    { "but where it is published", 33, "  a: {alg: ES256, publish: yes}\n", "  a: {ring: a, raw: yes}\n", 102 },
    { "tokens that live longer than a turn by their skew", 33,
      "  a: {alg: ES256, rotate_every: 5d, max_ttl: 5d}\n", "  a: {ring: a, issuer: i, audiences: [a]}\n", 103 },
};

static void a_key_set_has_a_hundred_keys_at_most(void)
{
    static char text[16384], told[8192];
    char start[256];

    for (size_t i = 0; i < ARRAY_LEN(crowd_case); i++) {
        crowd(text, sizeof text, crowd_case[i].n, "i", crowd_case[i].rings, crowd_case[i].profiles);
        CLEANUP(config_freep) struct config *c = parse(text, told, sizeof told);
        unit_same_int(crowd_case[i].name, c != NULL, crowd_case[i].total == 0);
        if (crowd_case[i].total == 0) {
            unit_same_str(crowd_case[i].name, told, "");
            continue;
        }
        snprintf(start, sizeof start, ": profiles.p00: the key set of issuer 'i' may come to %lld keys, and",
                 (long long)crowd_case[i].total);
        unit_same_int(crowd_case[i].name, strstr(told, start) != NULL, true);
    }
    crowd(text, sizeof text, 34, "https://login.example",
          "  k: {alg: ES256, rotate_every: never, keys: [{uri: 'pkcs11:object=a', activates_at: 1},"
          " {uri: 'pkcs11:object=b', activates_at: 2}, {uri: 'pkcs11:object=c', activates_at: 3},"
          " {uri: 'pkcs11:object=d', activates_at: 4}]}\n"
          "  l: {alg: ES256, keys: [{uri: 'pkcs11:object=e', activates_at: 1}]}\n",
          "  k: {ring: k, issuer: 'https://login.example', audiences: [k]}\n"
          "  l: {ring: l, issuer: 'https://login.example', audiences: [l]}\n");
    config_free(parse(text, told, sizeof told));
    unit_same_str("the largest rings", told,
                  "f:40: profiles.p00: the key set of issuer 'https://login.example' may come to 110 keys, and there"
                  " are verifiers that read no more than 100: let its profiles share rings\n"
                  "    k         4    all of its keys\n"
                  "    l         4    active, next, 1 retired, 1 of keys\n"
                  "    r00       3    active, next, 1 retired\n"
                  "    r01       3    active, next, 1 retired\n"
                  "    r02       3    active, next, 1 retired\n"
                  "    r03       3    active, next, 1 retired\n"
                  "    r04       3    active, next, 1 retired\n"
                  "    r05       3    active, next, 1 retired\n"
                  "    others   84    of 28 rings more\n"
                  "    -----------\n"
                  "    keys    110    at once, at most; it may be 100\n");
}

static const struct { const char *name, *ring, *profile; int64_t ttl, max_ttl; } ttl_case[] = {
    { "the usual one", "max_ttl: 12h", "", 900, 900 },
    { "a ring's that is shorter", "max_ttl: 10m", "", 600, 600 },
    { "a key's that is longer than its ring's", "max_ttl: 10m, keys: [{uri: 'pkcs11:object=a', activates_at: 1, max_ttl: 12m}]",
      "", 720, 720 },
    { "one that is written", "max_ttl: 10m", ", ttl: 5m", 300, 300 },
    { "a greatest that is written", "max_ttl: 10m", ", max_ttl: 10m", 600, 600 },
};

static void a_ttl_that_nobody_wrote_is_none_that_keys_cut_short(void)
{
    for (size_t i = 0; i < ARRAY_LEN(ttl_case); i++) {
        char text[1024], told[1024];
        snprintf(text, sizeof text, TOKEN "rings: {r: {alg: ES256, %s}}\n"
                 "profiles: {p: {ring: r, issuer: i, audiences: [a]%s}}\n", ttl_case[i].ring, ttl_case[i].profile);
        CLEANUP(config_freep) struct config *c = parse(text, told, sizeof told);
        unit_same_str(ttl_case[i].name, told, "");
        if (!c)
            continue;
        unit_same_int(ttl_case[i].name, c->profiles[0].ttl_s, ttl_case[i].ttl);
        unit_same_int(ttl_case[i].name, c->profiles[0].max_ttl_s, ttl_case[i].max_ttl);
    }
}

static void the_longest_spans_of_all_add_up(void)
{
    static const char text[] =
        "token: {module: m, uri: 'pkcs11:token=t', generate_timeout: 10m}\n"
        "rings: {r: {alg: ES256, rotate_every: 3660d, publish_ahead: 366d, max_ttl: 3660d, skew: 1h, jwks_max_age: 30d,"
        " refresh: 1d, destroy_after: 3660d, keys: [{uri: 'pkcs11:object=a', activates_at: 253402300799, max_ttl: 3660d,"
        " skew: 1h, max_age: 30d}]}}\nprofiles: {p: {ring: r, issuer: i, audiences: [a], ttl: 366d, max_ttl: 366d}}\n";
    char told[2048];
    CLEANUP(config_freep) struct config *c = parse(text, told, sizeof told);

    unit_same_str("mistakes", told, "");
    CU_ASSERT_PTR_NOT_NULL(c);
    config_free(parse("token: {module: m, uri: 'pkcs11:token=t', generate_timeout: 10m}\n"
                      "rings: {r: {alg: ES256, rotate_every: 10s, publish_ahead: 366d, max_ttl: 3660d, skew: 1h,"
                      " jwks_max_age: 30d, refresh: 1d}}\nprofiles: {p: {ring: r, issuer: i, audiences: [a]}}\n",
                      told, sizeof told));
    CU_ASSERT_PTR_NOT_NULL(strstr(told, "rotate_every is 10s and must be at least 732d"));
    CU_ASSERT_PTR_NOT_NULL(strstr(told, "max_ttl is 3660d and must be at most 10s"));
    CU_ASSERT_PTR_NOT_NULL(strstr(told, "may come to 31622762 keys"));
}

static void a_test_may_rotate_every_ten_seconds(void)
{
    char text[1024], told[1024];
    static const struct { const char *span, *want; } cases[] = {
        { "10s", "" }, { "9s", "f:2: rings.r.rotate_every: '9s' is not between 10s and 3660d\n" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(text, sizeof text, "token: {module: m, uri: 'pkcs11:token=t', generate_timeout: 1s}\nrings: {r: {alg: ES256,"
                 " rotate_every: %s, publish_ahead: 3s, max_ttl: 5s, skew: 0s, jwks_max_age: 1s, refresh: 1s}}\n"
                 "profiles: {p: {ring: r, issuer: i, audiences: [a]}}\n", cases[i].span);
        config_free(parse(text, told, sizeof told));
        unit_same_str(cases[i].span, told, cases[i].want);
    }
}

static const struct { const char *name, *from, *to; bool read; } unpromised_case[] = {
    { "as it is", "publish_ahead: 2d", "publish_ahead: 2d", true },
    { "published too late", "publish_ahead: 2d", "publish_ahead: 10m", true },
    { "a ttl that keys cut short", "max_ttl: 8h", "max_ttl: 13h", true },
    { "no such setting", "publish_ahead: 2d", "publish_ahed: 2d", false },
    { "no such ring", "ring: web", "ring: wib", false },
};

static void what_only_promises_refuse_can_be_read(void)
{
    for (size_t i = 0; i < ARRAY_LEN(unpromised_case); i++) {
        char text[2 * sizeof file];
        CLEANUP(buf_clear) struct buf told;
        buf_init(&told, 64 * 1024);
        edit(text, sizeof text, unpromised_case[i].from, unpromised_case[i].to);
        CLEANUP(config_freep) struct config *c = config_parse_unpromised(text, strlen(text), "f", NULL, &told);
        unit_same_int(unpromised_case[i].name, c != NULL, unpromised_case[i].read);
        unit_same_int("nothing is told of what was read", told.len == 0, unpromised_case[i].read);
    }
}

static const struct unit_case cases[] = {
    { "promises that cannot be kept are shown as sums", promises_that_cannot_be_kept_are_shown_as_sums },
    { "a key set has a hundred keys at most", a_key_set_has_a_hundred_keys_at_most },
    { "a ttl that nobody wrote is none that keys cut short", a_ttl_that_nobody_wrote_is_none_that_keys_cut_short },
    { "the longest spans of all add up", the_longest_spans_of_all_add_up },
    { "what only promises refuse can be read", what_only_promises_refuse_can_be_read },
    { "a test may rotate every ten seconds", a_test_may_rotate_every_ten_seconds },
};
UNIT_MAIN(cases)
