#include "daemon/config/strands.h"

#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1800000000             /* 2027-01-15T08:00:00Z */

static const char file[] =
    "token: {module: m, uri: 'pkcs11:token=t'}\n"
    "rings:\n"
    "  web: {alg: ES256}\n"
    "  new: {alg: ES256}\n"
    "  blob: {alg: ES256, max_ttl: 1h, publish: yes}\n"
    "  made: {alg: RS256, rotate_every: never, max_ttl: 1h, jwks_max_age: 5m, keys: [\n"
    "    {uri: 'pkcs11:object=first', activates_at: 1799900000},\n"
    "    {uri: 'pkcs11:object=second', activates_at: 1799990000},\n"
    "    {uri: 'pkcs11:object=third', activates_at: 1800086400}]}\n"
    "  spare: {alg: RS256, max_ttl: 1h, keys: [{uri: 'pkcs11:object=begun', activates_at: 1797000000}]}\n"
    "profiles:\n"
    "  session: {ring: web, issuer: i, audiences: [shop, login], sign: {users: any}}\n"
    "  other: {typ: bank+jwt, ring: web, issuer: i, audiences: [bank], sign: {groups: [1]}}\n"
    "  raw: {ring: blob, raw: yes, sign: {users: any}}\n"
    "  made: {ring: made, issuer: i, audiences: [made], sign: {users: [5]}}\n"
    "  spare: {ring: spare, issuer: i, audiences: [spare], sign: {users: [5]}}\n";

enum { SESSION, OTHER, RAW, MADE, SPARE, N_PROFILES };

static struct config *parse(const char *text)
{
    struct buf mistakes;

    buf_init(&mistakes, 64 * 1024);
    struct config *c = config_parse(text, strlen(text), "f", NULL, &mistakes);
    if (!c)
        printf("%.*s", (int)mistakes.len, mistakes.data ? (const char *)mistakes.data : "");
    buf_clear(&mistakes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(c);
    return c;
}

static char *edit(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    char *out = NULL;

    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    CU_ASSERT_FATAL(asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
    return out;
}

/* The first lines of what is told, without their sums. */
static void sentences(const struct buf *told, char out[4096])
{
    size_t n = 0;
    bool sum = false;

    for (size_t i = 0; i < told->len && n < 4095; i++) {
        bool begins = i == 0 || told->data[i - 1] == '\n';
        if (begins)
            sum = told->data[i] == ' ';
        if (!sum)
            out[n++] = (char)told->data[i];
    }
    out[n] = '\0';
}

static const char two_tokens[] =
    "tokens: {main: {module: m, uri: 'pkcs11:token=t'}, spare: {module: m, uri: 'pkcs11:token=s'}}\n"
    "rings: {web: {alg: ES256, tokens: [main, spare]}}\n"
    "profiles: {session: {ring: web, issuer: i, audiences: [shop], sign: {users: any}}}\n";

#define GONE "rings.web: is taken away, and tokens of profile 'session' may live until 2027-01-15T20:01:00Z: nobody could" \
             " verify them; keep it and its profile, without 'sign', until then, or restart\n"
#define MOVED(profile) "profiles." profile ": ring 'new' would sign in place of 'web', whose tokens may live until" \
    " 2027-01-15T20:01:00Z and would be rejected; change ring 'web' itself, or give 'new' a profile and an audience of its" \
    " own, or restart\n"
#define WEB_PROFILES "  session: {ring: web, issuer: i, audiences: [shop, login], sign: {users: any}}\n" \
    "  other: {typ: bank+jwt, ring: web, issuer: i, audiences: [bank], sign: {groups: [1]}}\n"
#define ENDED(profile, what) "profiles." profile ": " what ": tokens of before, which may live until 2027-01-15T20:01:00Z," \
    " are rejected from now on\n"
#define SESSION_LINE "  session: {ring: web, issuer: i, audiences: [shop, login]"

static const struct { const char *name, *from, *to, *refused, *warned; } change_case[] = {
    { "nothing changes", "alg", "alg", "", "" },
    { "settings of a ring", "  web: {alg: ES256}", "  web: {alg: ES384, rotate_every: 40d, max_ttl: 1h, skew: 0s}", "", "" },
    { "who may sign", "audiences: [shop, login], sign: {users: any}", "audiences: [shop, login]", "", "" },
    { "a profile more", "profiles:\n", "profiles:\n  a: {ring: web, issuer: i, audiences: [a]}\n", "", "" },
    { "a ring that nobody uses", "  new: {alg: ES256}\n", "", "", "" },
    { "an audience more", "[bank]", "[bank, vault]", "", "" },

    { "another ring for a profile", "ring: web, issuer: i, audiences: [bank]", "ring: new, issuer: i, audiences: [bank]",
      MOVED("other"), "" },
    { "another ring, and another typ", "typ: bank+jwt, ring: web", "typ: b+jwt, ring: new", MOVED("other"), "" },
    { "another ring beside a profile that takes what was", "  other: {typ: bank+jwt, ring: web, issuer: i, audiences: [bank]",
      "  old: {typ: bank+jwt, ring: web, issuer: i, audiences: [bank]}\n"
      "  other: {typ: b+jwt, ring: new, issuer: i, audiences: [bank]", "", "" },
    { "another ring by another name", "  other: {typ: bank+jwt, ring: web",
      "  another: {typ: bank+jwt, ring: new", MOVED("other"), "" },
    { "another ring for an audience", WEB_PROFILES,
      "  session: {ring: web, issuer: i, audiences: [login]}\n  shop: {ring: new, issuer: i, audiences: [shop]}\n"
      "  other: {typ: bank+jwt, ring: web, issuer: i, audiences: [bank]}\n", MOVED("session"), "" },
    { "a raw profile's other ring", "  raw: {ring: blob", "  raw: {ring: new",
      "profiles.raw: ring 'new' would sign in place of 'blob', whose tokens may live until 2027-01-15T09:01:00Z and would be"
      " rejected; change ring 'blob' itself, or give 'new' a profile and an audience of its own, or restart\n", "" },
    { "a ring that is no longer published", "max_ttl: 1h, publish: yes", "max_ttl: 1h",
      "rings.blob: is no longer published, and tokens of profile 'raw' may live until 2027-01-15T09:01:00Z: others could not"
      " verify them; keep it published ('publish: yes') until then, or restart\n", "" },
    { "a profile that becomes raw", WEB_PROFILES, "  session: {ring: web, raw: yes}\n",
      "rings.web: is no longer published, and tokens of profile 'session' may live until 2027-01-15T20:01:00Z: others could"
      " not verify them; keep it published ('publish: yes') until then, or restart\n",
      ENDED("session", "is raw") ENDED("other", "is gone") },

    { "a profile of another name that takes all", "  other: {", "  another: {", "", "" },
    { "a profile that goes", "  other: {typ: bank+jwt, ring: web, issuer: i, audiences: [bank], sign: {groups: [1]}}\n", "", "",
      ENDED("other", "is gone") },
    { "another issuer", SESSION_LINE, "  session: {ring: web, issuer: j, audiences: [shop, login]", "",
      ENDED("session", "its issuer was 'i' and is 'j'") },
    { "another typ", SESSION_LINE, SESSION_LINE ", typ: at+jwt", "",
      ENDED("session", "its typ was 'JWT' and is 'at+jwt'") },
    { "the same typ in other letters", SESSION_LINE, SESSION_LINE ", typ: application/jwt", "", "" },
    { "an audience less", "[shop, login]", "[shop]", "", ENDED("session", "audience 'login' is none of it any more") },
    { "an audience that another profile takes over", WEB_PROFILES,
      "  session: {ring: web, issuer: i, audiences: [shop]}\n"
      "  other: {typ: bank+jwt, ring: web, issuer: i, audiences: [bank]}\n"
      "  login: {ring: web, issuer: i, audiences: [login]}\n", "", "" },
    { "a raw profile that goes", "  raw: {ring: blob, raw: yes, sign: {users: any}}\n", "", "",
      "profiles.raw: is gone: tokens of before, which may live until 2027-01-15T09:01:00Z, are rejected from now on\n" },

    { "an outside key whose last token has ended",
      "    {uri: 'pkcs11:object=first', activates_at: 1799900000},\n", "", "", "" },
    { "the outside key that signs", "    {uri: 'pkcs11:object=second', activates_at: 1799990000},\n", "",
      "rings.made.keys: 'pkcs11:object=second' is taken away while its tokens may live until 2027-01-16T09:01:00Z: keep it"
      " until they have ended, or restart\n", "" },
    { "an outside key that has not signed yet", ",\n    {uri: 'pkcs11:object=third', activates_at: 1800086400}", "", "", "" },
    { "one that the ring should have rotated from", ", keys: [{uri: 'pkcs11:object=begun', activates_at: 1797000000}]", "", "",
      "rings.spare.keys: 'pkcs11:object=begun' is gone: if the ring rotated in time, its last token ended at"
      " 2027-01-10T15:41:00Z, else tokens are rejected from now on\n" },
    { "the time of one that signs", "1799990000", "1799990001",
      "rings.made.keys: 'pkcs11:object=second' has signed since 2027-01-15T05:13:20Z, and another time would move the end of"
      " the key before it: leave its time, or restart\n", "" },
    { "one that comes later", "1800086400", "1800186400", "", "" },
    { "one that comes as soon as it may", "1800086400", "1800000390", "", "" },
    { "a second too soon", "1800086400", "1800000389",
      "rings.made.keys: 'pkcs11:object=third' would sign from 2027-01-15T08:06:29Z on, before every verifier can know it: let"
      " it begin at 2027-01-15T08:06:30Z or later, or restart if the ring has no other key\n", "" },
    { "a new one, as soon as it may", "keys: [\n",
      "keys: [\n    {uri: 'pkcs11:object=new', activates_at: 1800000390},\n", "", "" },
    { "a new one, a second too soon", "keys: [\n", "keys: [\n    {uri: 'pkcs11:object=new', activates_at: 1800000389},\n",
      "rings.made.keys: 'pkcs11:object=new' would sign from 2027-01-15T08:06:29Z on, before every verifier can know it: let it"
      " begin at 2027-01-15T08:06:30Z or later, or restart if the ring has no other key\n", "" },
    { "copies of before last longer than those to come", "jwks_max_age: 5m, keys: [\n",
      "jwks_max_age: 1m, keys: [\n    {uri: 'pkcs11:object=new', activates_at: 1800000389, max_age: 5m},\n",
      "rings.made.keys: 'pkcs11:object=second' has promised max_age 5m and would promise 1m, which is less than it gave: write"
      " 'max_age: 5m' beside its uri, or restart\n"
      "rings.made.keys: 'pkcs11:object=third' has promised max_age 5m and would promise 1m, which is less than it gave: write"
      " 'max_age: 5m' beside its uri, or restart\n"
      "rings.made.keys: 'pkcs11:object=new' would sign from 2027-01-15T08:06:29Z on, before every verifier can know it: let it"
      " begin at 2027-01-15T08:06:30Z or later, or restart if the ring has no other key\n", "" },
    { "copies that the ring gave out last longer, and clocks", "  web: {alg: ES256}",
      "  web: {alg: ES256, jwks_max_age: 1m, skew: 0s, keys: [{uri: 'pkcs11:object=new', activates_at: 1800000989}]}",
      "rings.web.keys: 'pkcs11:object=new' would sign from 2027-01-15T08:16:29Z on, before every verifier can know it: let it"
      " begin at 2027-01-15T08:16:30Z or later, or restart if the ring has no other key\n", "" },
    { "as soon as it may after those", "  web: {alg: ES256}",
      "  web: {alg: ES256, jwks_max_age: 1m, skew: 0s, keys: [{uri: 'pkcs11:object=new', activates_at: 1800000990}]}", "", "" },
    { "a promise that is lowered on the key", "activates_at: 1799990000", "activates_at: 1799990000, max_ttl: 59m, skew: 59s",
      "rings.made.keys: 'pkcs11:object=second' has promised max_ttl 1h and would promise 59m, which is less than it gave: write"
      " 'max_ttl: 1h' beside its uri, or restart\n"
      "rings.made.keys: 'pkcs11:object=second' has promised skew 1m and would promise 59s, which is less than it gave: write"
      " 'skew: 1m' beside its uri, or restart\n", "" },
    { "of one whose tokens have ended", "activates_at: 1799900000", "activates_at: 1799900000, max_ttl: 59m", "", "" },
    { "a promise that is raised", "activates_at: 1799990000", "activates_at: 1799990000, max_ttl: 2h", "", "" },
};

static void compare(const char *name, const char *was_text, const char *is_text, const int64_t *quiet_s, const char *refused,
                    const char *warned)
{
    CLEANUP(config_freep) struct config *was = parse(was_text), *is = parse(is_text);
    CLEANUP(strands_clear) struct strands s;
    char told[4096];

    strands_init(&s);
    strands_find(was, is, quiet_s, NOW, &s);
    sentences(&s.refused, told);
    unit_same_str(name, told, refused);
    sentences(&s.warned, told);
    unit_same_str(name, told, warned);
}

static void each_change_is_refused_or_warned_of_or_neither(void)
{
    static const int64_t signing[N_PROFILES];

    for (size_t i = 0; i < ARRAY_LEN(change_case); i++) {
        CLEANUP(freep) char *text = edit(file, change_case[i].from, change_case[i].to);
        compare(change_case[i].name, file, text, signing, change_case[i].refused, change_case[i].warned);
    }
}

/* Ring and profiles at once: what the ring signed is told once. */
static const struct { const char *name, *ring, *profiles; } gone_case[] = {
    { "a ring that goes with its profiles", "", "" },
    { "a ring by another name", "  wob: {alg: ES256}\n",
      "  session: {ring: wob, issuer: i, audiences: [shop, login]}\n"
      "  other: {typ: bank+jwt, ring: wob, issuer: i, audiences: [bank]}\n" },
    { "a ring whose profiles go on with another", "",
      "  session: {ring: new, issuer: i, audiences: [shop, login]}\n"
      "  other: {typ: bank+jwt, ring: new, issuer: i, audiences: [bank]}\n" },
};

static void a_ring_that_goes_takes_its_tokens_along(void)
{
    static const int64_t signing[N_PROFILES];

    for (size_t i = 0; i < ARRAY_LEN(gone_case); i++) {
        CLEANUP(freep) char *once = edit(file, "  web: {alg: ES256}\n", gone_case[i].ring);
        CLEANUP(freep) char *text = edit(once, WEB_PROFILES, gone_case[i].profiles);
        compare(gone_case[i].name, file, text, signing, GONE, "");
    }
}

static void the_arithmetic_stands_under_each_sentence(void)
{
    static const struct { const char *from, *to, *want; int64_t quiet_s; } cases[] = {
        { "ring: web, issuer: i, audiences: [bank]", "ring: new, issuer: i, audiences: [bank]",
          "\n    max_ttl        12h    a token may live so long"
          "\n    skew            1m    clocks differ"
          "\n    ------------------"
          "\n    tokens live  12h1m    at most, from now\n", 0 },
        { "ring: web, issuer: i, audiences: [bank]", "ring: new, issuer: i, audiences: [bank]",
          "\n    max_ttl         12h    a token may live so long"
          "\n    skew             1m    clocks differ"
          "\n    no 'sign'    -2h30m    nobody has been allowed to sign"
          "\n    -------------------"
          "\n    tokens live   9h31m    at most, from now\n", 9000 },
        { "1800086400", "1800000001",
          "\n    jwks_max_age     5m    a copy of the key set may be this old"
          "\n    refresh         30s    until every daemon has listed a new key"
          "\n    skew             1m    clocks differ"
          "\n    -------------------"
          "\n    from now      6m30s    until it may sign\n", 0 },
        { "    {uri: 'pkcs11:object=second', activates_at: 1799990000},\n", "",
          "\n    max_ttl        1h    a token of it may live so long"
          "\n    skew           1m    clocks differ"
          "\n    -----------------"
          "\n    tokens live  1h1m    at most, from when another key signs\n", 0 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const int64_t quiet_s[N_PROFILES] = { [OTHER] = cases[i].quiet_s };
        CLEANUP(freep) char *text = edit(file, cases[i].from, cases[i].to);
        CLEANUP(config_freep) struct config *was = parse(file), *is = parse(text);
        CLEANUP(strands_clear) struct strands s;
        strands_init(&s);
        strands_find(was, is, quiet_s, NOW, &s);
        CLEANUP(freep) char *told = strndup((char *)s.refused.data, s.refused.len);
        unit_same_str(cases[i].to, strchr(told, '\n'), cases[i].want);
    }
}

/* 12h1m after the last signature there is nothing to strand. */
static const struct { const char *name; int64_t session_s, other_s; bool refused; } quiet_case[] = {
    { "both may sign", 0, 0, true },
    { "one may", 43260, 0, true },
    { "a second too soon", 43260, 43259, true },
    { "long enough", 43260, 43260, false },
    { "longer", INT64_MAX / 1000, 43260, false },
};

static void what_nobody_may_sign_with_can_go_when_its_tokens_have_ended(void)
{
    CLEANUP(freep) char *ringless = edit(file, "  web: {alg: ES256}\n", ""), *text = edit(ringless, WEB_PROFILES, "");
    CLEANUP(freep) char *moved = edit(file, "typ: bank+jwt, ring: web", "typ: bank+jwt, ring: new");
    CLEANUP(config_freep) struct config *was = parse(file), *is = parse(text);

    compare("a profile then goes on with another ring", file, moved, (int64_t[N_PROFILES]){ 43260, 43260 }, "", "");
    compare("but a second sooner", file, moved, (int64_t[N_PROFILES]){ 43260, 43259 },
            "profiles.other: ring 'new' would sign in place of 'web', whose tokens may live until 2027-01-15T08:00:01Z and"
            " would be rejected; change ring 'web' itself, or give 'new' a profile and an audience of its own, or restart\n", "");
    for (size_t i = 0; i < ARRAY_LEN(quiet_case); i++) {
        const int64_t quiet_s[N_PROFILES] = { quiet_case[i].session_s, quiet_case[i].other_s };
        CLEANUP(strands_clear) struct strands s;
        strands_init(&s);
        strands_find(was, is, quiet_s, NOW, &s);
        unit_same_int(quiet_case[i].name, s.refused.len > 0, quiet_case[i].refused);
        unit_same_int(quiet_case[i].name, (long long)s.warned.len, 0);
    }
}

static void the_longest_promise_of_a_ring_s_keys_counts(void)
{
    static const int64_t signing[N_PROFILES];
    CLEANUP(freep) char *was = edit(file, "activates_at: 1797000000", "activates_at: 1797000000, max_ttl: 2h, skew: 2m");
    CLEANUP(freep) char *is = edit(was, "ring: spare, issuer", "ring: new, issuer");

    compare("two hours of a key made elsewhere", was, is, signing, "profiles.spare: ring 'new' would sign in place of 'spare',"
            " whose tokens may live until 2027-01-15T10:02:00Z and would be rejected; change ring 'spare' itself, or give 'new'"
            " a profile and an audience of its own, or restart\n", "");
}

static void a_token_of_a_ring_keeps_its_keys(void)
{
    static const int64_t signing[1], quiet[1] = { 43260 };
    static const char taken[] = "rings.web.tokens: 'spare' is taken away, and tokens of profile 'session' that its keys signed"
                                " may live until 2027-01-15T20:01:00Z: nobody could verify them; keep it as the last of them"
                                " until then, or restart\n";
    CLEANUP(freep) char *one = edit(two_tokens, "[main, spare]", "[main]"), *turned = edit(two_tokens, "[main, spare]",
                                                                                          "[spare, main]");

    compare("taken away", two_tokens, one, signing, taken, "");
    compare("when its tokens have ended", two_tokens, one, quiet, "", "");
    compare("added", one, two_tokens, signing, "", "");
    compare("in another order", two_tokens, turned, signing, "", "");
}

static const struct unit_case cases[] = {
    { "a token of a ring keeps its keys", a_token_of_a_ring_keeps_its_keys },
    { "each change is refused, or warned of, or neither", each_change_is_refused_or_warned_of_or_neither },
    { "a ring that goes takes its tokens along", a_ring_that_goes_takes_its_tokens_along },
    { "the arithmetic stands under each sentence", the_arithmetic_stands_under_each_sentence },
    { "what nobody may sign with can go when its tokens have ended",
      what_nobody_may_sign_with_can_go_when_its_tokens_have_ended },
    { "the longest promise of a ring's keys counts", the_longest_promise_of_a_ring_s_keys_counts },
};
UNIT_MAIN(cases)
