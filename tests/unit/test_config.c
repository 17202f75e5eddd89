#include "daemon/config/config.h"
#include "daemon/config/value.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char whole[] =
    "daemon:\n"
    "  socket: /run/signet/signet.sock\n"
    "  admin: {groups: [signet-admin]}\n"
    "token:\n"
    "  module: /usr/lib/softhsm/libsofthsm2.so\n"
    "  uri: pkcs11:token=signet\n"
    "  pin_file: /etc/signet/pin\n"
    "  signers: auto\n"
    "  token_timeout: 500ms\n"
    "rings:\n"
    "  web:\n"
    "    alg: ES256\n"
    "    create: yes\n"
    "    rotate_every: 30d\n"
    "    publish_ahead: 2d\n"
    "    max_ttl: 12h\n"
    "  printed:\n"
    "    alg: HS256\n"
    "    rotate_every: never\n"
    "    allow_weak_secret: yes\n"
    "  old:\n"
    "    alg: RS256\n"
    "    keys: [{uri: 'pkcs11:object=ceremony', activates_at: 2026-01-01T00:00:00Z, max_ttl: 1h}]\n"
    "profiles:\n"
    "  web-session:\n"
    "    ring: web\n"
    "    issuer: https://login.example\n"
    "    audiences: [shop, login]\n"
    "    ttl: 15m\n"
    "    max_ttl: 8h\n"
    "    subject: caller\n"
    "    claims: {allowed: [name, role], required: [name, sub], fixed: {tenant: blue, level: 3, rate: 0.1, on: true,"
    " word: 'true', list: [1, two]}, forbidden: [debug]}\n"
    "    sign: {users: [app, 1000], groups: [web]}\n"
    "    verify: {users: any}\n"
    "    rate: 2000/s\n"
    "  example: {ring: printed, raw: yes, kid: no, sign: {users: any}, verify: {users: any}}\n";

static struct name_id users[] = { { "app", 7 }, { "nobody", 65534 } };
static struct name_id groups[] = { { "web", 33 }, { "signet-admin", 44 }, { "nogroup", 65534 } };
static const struct names known = { users, ARRAY_LEN(users), groups, ARRAY_LEN(groups) };

static struct config *parse(const char *text, char *told, size_t size)
{
    struct buf mistakes;

    buf_init(&mistakes, 256 * 1024);
    struct config *c = config_parse(text, strlen(text), "signetd.conf", &known, &mistakes);
    snprintf(told, size, "%.*s", (int)mistakes.len, mistakes.data ? (const char *)mistakes.data : "");
    buf_clear(&mistakes);
    return c;
}

static void the_whole_example_is_read(void)
{
    char told[4096];
    CLEANUP(config_freep) struct config *c = parse(whole, told, sizeof told);

    unit_same_str("mistakes", told, "");
    if (!c)
        return;
    unit_same_str("socket", c->daemon.socket, "/run/signet/signet.sock");
    unit_same_str("admin socket", c->daemon.admin_socket, "/run/signet/admin.sock");
    unit_same_int("admin group", c->daemon.admin.gids[0], 44);
    unit_same_int("no admin but those named", (long long)c->daemon.admin.n_uids, 0);
    unit_same_int("signers", c->tokens[0].n_signers, 0);
    unit_same_int("token_timeout", c->tokens[0].timeout_ms, 500);
    const struct ring_config *web = config_ring(c, "web"), *old = config_ring(c, "old");
    unit_same_str("alg", web->alg->name, "ES256");
    unit_same_int("rotate_every", web->settings.rotate_every, 30 * 86400);
    unit_same_int("create", web->settings.create, true);
    unit_same_int("skew is 1m unless set", web->settings.skew, 60);
    unit_same_int("generation time", web->settings.generation_time, 60);
    unit_same_int("never", config_ring(c, "printed")->settings.rotate_every, 0);
    unit_same_int("activates_at", old->outside[0].activates_at, 1767225600);
    unit_same_int("its own max_ttl", old->outside[0].max_ttl, 3600);
    unit_same_int("the ring's skew", old->outside[0].skew, 60);
    const struct profile *p = config_profile(c, "web-session"), *raw = config_profile(c, "example");
    unit_same_int("ttl", p->ttl_s, 900);
    unit_same_int("max_ttl", p->max_ttl_s, 8 * 3600);
    unit_same_int("subject", p->subject_is_caller, true);
    unit_same_int("uids", (long long)p->sign.n_uids, 2);
    unit_same_int("app", p->sign.uids[0], 7);
    unit_same_int("1000", p->sign.uids[1], 1000);
    unit_same_int("web", p->sign.gids[0], 33);
    unit_same_int("rate", p->rate_per_s, 2000);
    unit_same_int("deadline", p->deadline_ms, 2000);
    static const char *const fixed[] = { "\"blue\"", "3", "0.1", "true", "\"true\"", "[1,\"two\"]" };
    for (size_t i = 0; i < ARRAY_LEN(fixed) && i < p->n_fixed; i++)
        unit_same_str(p->fixed[i].name, p->fixed[i].json, fixed[i]);
    unit_same_int("raw", raw->raw, true);
    unit_same_int("no kid", raw->kid, false);
    unit_same_str("typ", raw->typ, "JWT");
}

/* The whole example with the first `from` made `to`, and what must then be told. */
static const struct { const char *name, *from, *to, *want; } mistake_case[] = {
    { "an unknown setting, with a suggestion", "    create: yes", "    creat: yes",
      "signetd.conf:13: rings.web: unknown 'creat'; did you mean 'create'?\n" },
    { "an unknown section", "daemon:", "demon:", "signetd.conf:1: the file: unknown 'demon'; did you mean 'daemon'?\n" },
    { "an unknown word far from all", "  signers: auto", "  colour: red",
      "signetd.conf:8: token: unknown 'colour'; signetd.conf(5) lists what there is\n" },
    { "an algorithm that is none", "alg: ES256", "alg: ES265",
      "signetd.conf:12: rings.web: unknown 'ES265'; did you mean 'ES256'?\n" },
    { "a group that is not there", "[signet-admin]", "[nobody-knows]",
      "signetd.conf:3: daemon.admin: group 'nobody-knows' does not exist on this machine\n" },
    { "the overflow uid by its number", "users: [app, 1000]", "users: [app, 65534]",
      "signetd.conf:33: profiles.web-session.sign: user '65534' is the overflow uid 65534" },
    { "the overflow uid by a name", "users: [app, 1000]", "users: [app, nobody]",
      "signetd.conf:33: profiles.web-session.sign: user 'nobody' is the overflow uid 65534, which the kernel shows for"
      " every uid that it cannot: it is never allowed; give the application a user of its own\n" },
    { "the overflow gid among the admins", "[signet-admin]", "[nogroup]",
      "signetd.conf:3: daemon.admin: group 'nogroup' is the overflow gid 65534, which the kernel shows for every gid that"
      " it cannot: it is never allowed; give the application a group of its own\n" },
    { "units", "sign: {users: [app, 1000], groups: [web]}", "sign: {units: [a.service]}",
      "signetd.conf:33: profiles.web-session.sign: 'units' are not served by this version: name the unit's user\n" },
    { "a duration in no unit", "ttl: 15m", "ttl: 15x",
      "signetd.conf:29: profiles.web-session.ttl: '15x' is no duration: write 500ms, 30s, 15m, 12h or 30d\n" },
    { "a number out of bounds", "signers: auto", "signers: 65",
      "signetd.conf:8: token.signers: '65' is not between 1 and 64\n" },
    { "a duration out of bounds", "token_timeout: 500ms", "token_timeout: 5ms",
      "signetd.conf:9: token.token_timeout: '5ms' is not between 10ms and 1m\n" },
    { "a deadline that no second try could keep", "token_timeout: 500ms", "token_timeout: 1s",
      "signetd.conf:1: daemon.deadline: 2000 ms is less than 3 x token.token_timeout = 3 x 1000 ms = 3000 ms: work that a"
      " hung signer had could not be given on in time\n" },
    { "no module", "  module: /usr/lib/softhsm/libsofthsm2.so\n", "", "signetd.conf:4: token: 'module' is missing\n" },
    { "a PIN in the URI", "pkcs11:token=signet", "'pkcs11:token=signet?pin-value=1234'",
      "signetd.conf:6: token.uri: " },
    { "a relative socket", "socket: /run/signet/signet.sock", "socket: signet.sock",
      "signetd.conf:2: daemon.socket: 'signet.sock' is no absolute path\n" },
    { "bits of a curve", "    create: yes", "    bits: 2048",
      "signetd.conf:13: rings.web.bits: only RSA keys have a number of bits to choose\n" },
    { "no such ring", "ring: web\n", "ring: wob\n",
      "signetd.conf:26: profiles.web-session.ring: there is no ring 'wob' under 'rings'\n" },
    { "a raw profile's ring that serves another", "{ring: printed", "{ring: web",
      "signetd.conf:36: profiles.example.ring: shares ring 'web' with profile 'web-session', and a raw profile could"
      " forge any token of it\n" },
    { "a raw profile with an issuer", "{ring: printed", "{issuer: a, ring: printed",
      "signetd.conf:36: profiles.example.issuer: a raw profile signs any payload as it is: leave this out\n" },
    { "no issuer", "    issuer: https://login.example\n", "",
      "signetd.conf:25: profiles.web-session: 'issuer' is missing: who says so? (a raw profile has none)\n" },
    { "no audience", "    audiences: [shop, login]\n", "",
      "signetd.conf:25: profiles.web-session: 'audiences' is missing: for whom are its tokens? (a raw profile has none)\n" },
    { "a ttl beyond the greatest", "max_ttl: 8h", "max_ttl: 8m",
      "signetd.conf:29: profiles.web-session.ttl: is longer than max_ttl\n" },
    { "a registered claim", "allowed: [name, role]", "allowed: [name, EXP]",
      "signetd.conf:32: profiles.web-session.claims: 'EXP' in 'allowed' is the daemon's to set\n" },
    { "required but not allowed", "required: [name, sub]", "required: [colour]",
      "signetd.conf:32: profiles.web-session.claims: 'colour' is required but not allowed\n" },
    { "allowed and forbidden", "forbidden: [debug]", "forbidden: [role]",
      "signetd.conf:32: profiles.web-session.claims: 'role' is both allowed and forbidden\n" },
    { "allowed and forbidden in another case", "forbidden: [debug]", "forbidden: [ROLE]",
      "signetd.conf:32: profiles.web-session.claims: 'ROLE' is both allowed and forbidden\n" },
    { "a registered claim to a reader that folds", "allowed: [name, role]", "allowed: [name, i\xc5\xbfs]",
      "signetd.conf:32: profiles.web-session.claims: 'i\xc5\xbfs' in 'allowed' is the daemon's to set\n" },
    { "an audience twice", "[shop, login]", "[shop, shop]",
      "signetd.conf:28: profiles.web-session.audiences: 'shop' stands twice\n" },
    { "a rate without its unit", "rate: 2000/s", "rate: 2000",
      "signetd.conf:35: profiles.web-session.rate: '2000' is no rate: write 2000/s\n" },
    { "a word for yes that is none", "kid: no", "kid: maybe",
      "signetd.conf:36: profiles.example.kid: 'maybe' is neither yes nor no\n" },
    { "two sources of the PIN", "pin_file: /etc/signet/pin", "pin_file: /etc/signet/pin\n  pin_credential: pin",
      "signetd.conf:8: token: both pin_file and pin_credential are there: the PIN has one source\n" },
    { "a name twice", "    create: yes", "    alg: ES256",
      "signetd.conf:13: rings.web.alg: stands twice; it stood already in line 12: one of them must go\n" },
    { "two rings of one name", "  printed:\n", "  web:\n",
      "signetd.conf:17: rings.web: stands twice; it stood already in line 11: one of them must go\n" },
    { "a section twice", "profiles:\n", "rings:\n",
      "signetd.conf:24: rings: stands twice; it stood already in line 10: one of them must go\n" },
    { "a name twice in a list's item", "max_ttl: 1h}]", "uri: 'pkcs11:object=b'}]",
      "signetd.conf:23: rings.old.keys.uri: stands twice; it stood already in line 23: one of them must go\n" },
    { "a name twice in a name", "    create: yes", "    ? {a: 1, a: 2}",
      "signetd.conf:13: rings.web.a: stands twice; it stood already in line 13: one of them must go\n" },
    { "an alias", "audiences: [shop, login]", "audiences: *a", "signetd.conf:28: an alias ('*a'): write the value out\n" },
    { "half written", "profiles:", "profiles: [", "signetd.conf:" },
};

static void edit(char *out, size_t size, const char *from, const char *to)
{
    const char *at = strstr(whole, from);

    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    snprintf(out, size, "%.*s%s%s", (int)(at - whole), whole, to, at + strlen(from));
}

static void each_mistake_is_told_with_its_line(void)
{
    for (size_t i = 0; i < ARRAY_LEN(mistake_case); i++) {
        char text[4096], told[4096], start[4096];
        edit(text, sizeof text, mistake_case[i].from, mistake_case[i].to);
        CLEANUP(config_freep) struct config *c = parse(text, told, sizeof told);
        CU_ASSERT_PTR_NULL(c);
        snprintf(start, sizeof start, "%.*s", (int)strlen(mistake_case[i].want), told);
        unit_same_str(mistake_case[i].name, start, mistake_case[i].want);
    }
}

static void all_mistakes_are_told_at_once(void)
{
    char told[8192];
    CLEANUP(config_freep) struct config *c = parse("daemon: {deadlin: 1s}\ntoken: {module: x}\nrings: {A: {alg: none}}\n"
                                                   "profiles: {p: {ring: q, typ: ''}}\n", told, sizeof told);
    CU_ASSERT_PTR_NULL(c);
    static const char *const want[] = {
        "signetd.conf:1: daemon: unknown 'deadlin'; did you mean 'deadline'?\n",
        "signetd.conf:2: token: 'uri' is missing\n",
        "signetd.conf:3: rings: 'A' is no ring's name",
        "signetd.conf:3: rings.A: unknown 'none'",
        "signetd.conf:4: profiles.p.typ: is empty",
        "signetd.conf:4: profiles.p.ring: there is no ring 'q'",
        "signetd.conf:4: profiles.p: 'issuer' is missing",
    };
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        unit_same_int(want[i], strstr(told, want[i]) != NULL, true);
}

/* Whole but for its end: what stood before is checked, and what the end may have had is not missed. */
static const struct { const char *name, *text, *want; } cut_case[] = {
    { "a list that is not closed", "daemon: {deadlin: 1s}\ntoken:\n  module: m\n  signers: 65\nrings:\n  web:\n"
      "    alg: ES265\n    keys: [{uri: 'pkcs11:object=a'",
      "f:1: daemon: unknown 'deadlin'; did you mean 'deadline'?\n"
      "f:2: token: 'uri' is missing\n"
      "f:4: token.signers: '65' is not between 1 and 64\n"
      "f:7: rings.web: unknown 'ES265'; did you mean 'ES256'?\n"
      "f:9: no YAML at column 1: did not find expected ',' or '}'\n" },
    { "a name without its colon", "token: {module: m, uri: 'pkcs11:token=t'}\nrings: {web: {alg: ES256}}\nprofiles:\n"
      "  a: {ring: wob}\n  b:\n    ring: web\n    rat",
      "f:4: profiles.a.ring: there is no ring 'wob' under 'rings'\n"
      "f:4: profiles.a: 'issuer' is missing: who says so? (a raw profile has none)\n"
      "f:4: profiles.a: 'audiences' is missing: for whom are its tokens? (a raw profile has none)\n"
      "f:8: no YAML at column 1: could not find expected ':'\n" },
    { "a name cut in two", "token: {module: m, uri: 'pkcs11:token=t'}\nrings: {web: {alg: ES256}}\nprofiles:\n"
      "  a: {ring: web, sign: {users: [ap", "f:5: no YAML at column 1: did not find expected ',' or ']'\n" },
    { "a ring whose promises may have been cut off", "token: {module: m, uri: 'pkcs11:token=t'}\nrings:\n  web:\n"
      "    alg: ES256\n    rotate_every: 1d\n    publish_ahea", "f:7: no YAML at column 1: could not find expected ':'\n" },
    { "a profile before the rings", "profiles:\n  a: {ring: web, issuer: i, audiences: [b]}\nrings:\n  a: {alg: ES256}\n  we",
      "f:6: no YAML at column 1: could not find expected ':'\n" },
    { "what is read in part only", "token: {module: m, uri: 'pkcs11:token=t'}\nrings: {web: {alg: *a, bits: 3}}\nprofiles:\n"
      "  a: {ring: web, issuer: i, issuer: k, audiences: [b], ttl: 1x}\n",
      "f:2: an alias ('*a'): write the value out\n"
      "f:2: rings.web.bits: '3' is not between 2048 and 16384\n"
      "f:4: profiles.a.issuer: stands twice; it stood already in line 4: one of them must go\n"
      "f:4: profiles.a.ttl: '1x' is no duration: write 500ms, 30s, 15m, 12h or 30d\n" },
};

static void a_half_written_file_hides_nothing(void)
{
    for (size_t i = 0; i < ARRAY_LEN(cut_case); i++) {
        struct buf mistakes;
        char told[4096];
        buf_init(&mistakes, 256 * 1024);
        CU_ASSERT_PTR_NULL(config_parse(cut_case[i].text, strlen(cut_case[i].text), "f", &known, &mistakes));
        snprintf(told, sizeof told, "%.*s", (int)mistakes.len, mistakes.data ? (const char *)mistakes.data : "");
        buf_clear(&mistakes);
        unit_same_str(cut_case[i].name, told, cut_case[i].want);
    }
}

/* Nothing is wrong with it but that it breaks off: where that shows, it is all that is told. */
static void every_beginning_of_a_right_file_is_only_cut(void)
{
    size_t n_cut = 0;

    for (size_t len = 1; len < sizeof whole; len++) {
        char text[sizeof whole], told[4096];
        snprintf(text, sizeof text, "%.*s", (int)len, whole);
        config_free(parse(text, told, sizeof told));
        const char *syntax = strstr(told, ": no YAML at column ");
        if (!syntax)
            continue;
        n_cut++;
        if (strchr(told, '\n') != strrchr(told, '\n')) {
            printf("     cut after %.40s: %s\n", text + (len > 40 ? len - 40 : 0), told);
            CU_FAIL("more was told");
        }
    }
    unit_same_int("often", n_cut > 300, true);
}

static void mistakes_stand_in_the_order_of_their_lines(void)
{
    char told[8192];
    CLEANUP(config_freep) struct config *c = parse("profiles: {p: {ring: q, typ: ''}}\nrings: {A: {alg: none}}\n"
                                                   "token: {module: x}\ndaemon: {deadlin: 1s}\n", told, sizeof told);
    unsigned long last = 0;

    CU_ASSERT_PTR_NULL(c);
    for (const char *at = told; *at; at = strchr(at, '\n') + 1) {
        unsigned long line = strtoul(strchr(at, ':') + 1, NULL, 10);
        unit_same_int("not before the line of the one above", line >= last, true);
        last = line;
    }
    unit_same_int("the last line", (long long)last, 4);
}

#define TWO "tokens:\n  main: {module: m, uri: 'pkcs11:token=t', pin_file: /p}\n  spare: {module: m, uri: 'pkcs11:token=s'}\n"
#define SESSION "profiles: {a: {ring: web, issuer: i, audiences: [b]}}\n"

static const struct { const char *name, *text, *want; } tokens_case[] = {
    { "a ring of both", TWO "rings: {web: {alg: ES256, tokens: [spare, main], failover_after: 1s}}\n" SESSION, "" },
    { "a ring that does not say", TWO "rings: {web: {alg: ES256}}\n" SESSION,
      "signetd.conf:4: rings.web: there are several tokens: say which hold its keys, the one that signs first ('tokens: [main,"
      " spare]')\n" },
    { "one that is not there", TWO "rings: {web: {alg: ES256, tokens: [main, spar], failover_after: 1s}}\n" SESSION,
      "signetd.conf:4: rings.web.tokens: there is no token 'spar' under 'tokens', which has: main, spare\n" },
    { "one only, and none to change over to", TWO "rings: {web: {alg: ES256, tokens: [main], failover_after: 1s}}\n" SESSION,
      "signetd.conf:4: rings.web.failover_after: its keys are on one token: there is none to change over to\n" },
    { "both sections", TWO "token: {module: m, uri: 'pkcs11:token=x'}\nrings: {web: {alg: ES256, tokens: [main]}}\n" SESSION,
      "signetd.conf:4: token: stands beside 'tokens': one or several, not both\n" },
    { "the same token twice", "tokens:\n  a: {module: m, uri: 'pkcs11:token=t'}\n  b: {module: m, uri: 'pkcs11:token=t'}\n"
      "rings: {web: {alg: ES256, tokens: [a, b]}}\n" SESSION, "signetd.conf:3: tokens.b: is the token that tokens.a is\n" },
    { "a name that is none", "tokens: {Main: {module: m, uri: 'pkcs11:token=t'}}\nrings: {web: {alg: ES256}}\n" SESSION,
      "signetd.conf:1: tokens: 'Main' is no token's name: a-z, 0-9 and '-', at most 32\n" },
    { "what one of them lacks", "tokens: {main: {module: m}}\nrings: {web: {alg: ES256}}\n" SESSION,
      "signetd.conf:1: tokens.main: 'uri' is missing\n" },
    { "no map", "tokens: [main, spare]\nrings: {web: {alg: ES256}}\n" SESSION,
      "signetd.conf:1: tokens: wants a map of 1 to 4 tokens, {main: {module: …, uri: …}, …}\n" },
    { "a deadline that the slower of them does not keep", "daemon: {deadline: 2s}\ntokens:\n"
      "  main: {module: m, uri: 'pkcs11:token=t'}\n  spare: {module: m, uri: 'pkcs11:token=s', token_timeout: 1s}\n"
      "rings: {web: {alg: ES256, tokens: [main, spare]}}\n" SESSION,
      "signetd.conf:1: daemon.deadline: 2000 ms is less than 3 x tokens.spare.token_timeout = 3 x 1000 ms = 3000 ms: work that a"
      " hung signer had could not be given on in time\n" },
    { "a key elsewhere than its ring", TWO "rings: {web: {alg: ES256, tokens: [main], keys: [{uri: 'pkcs11:object=k',"
      " activates_at: 1, token: spare}]}}\n" SESSION,
      "signetd.conf:4: rings.web.keys: 'pkcs11:object=k' is on token 'spare', which is none of the ring's\n" },
};

static void several_tokens_are_told_apart(void)
{
    for (size_t i = 0; i < ARRAY_LEN(tokens_case); i++) {
        char told[4096];
        config_free(parse(tokens_case[i].text, told, sizeof told));
        unit_same_str(tokens_case[i].name, told, tokens_case[i].want);
    }
}

static void who_serves_one_token_sees_its_rings_alone(void)
{
    static const char text[] =
        TWO "rings:\n  web: {alg: ES256, tokens: [spare, main], keys: [\n"
        "    {uri: 'pkcs11:object=a', activates_at: 1, token: main},\n    {uri: 'pkcs11:object=b', activates_at: 2}]}\n"
        "  api: {alg: ES256, tokens: [main]}\n" SESSION;
    char told[4096];

    for (size_t token = 0; token < 2; token++) {
        CLEANUP(config_freep) struct config *c = parse(text, told, sizeof told);
        unit_same_str("mistakes", told, "");
        config_keep_token(c, token);
        unit_same_int("one", (long long)c->n_tokens, 1);
        unit_same_str("which", c->tokens[0].name, token ? "spare" : "main");
        unit_same_int("rings", (long long)c->n_rings, token ? 1 : 2);
        const struct ring_config *web = config_ring(c, "web");
        unit_same_int("on it", (long long)web->tokens[0], 0);
        unit_same_int("outside keys", (long long)web->n_outside, 1);
        unit_same_str("that are on it", web->outside[0].uri, token ? "pkcs11:object=b" : "pkcs11:object=a");
    }
}

static void files_that_the_text_names_are_told_with_their_lines(void)
{
    static const char text[] = "token:\n  module: /a/module.so\n  pin_file: /a/pin\n  uri: 'pkcs11:token=t?pin-source=file:/b'\n";
    static const struct { const char *setting, *path; long long line; } want[] = {
        { "module", "/a/module.so", 2 }, { "pin_file", "/a/pin", 3 }, { "uri", "/b", 4 },
    };
    struct config_file files[CONFIG_MAX_FILES];
    size_t n = config_files(text, strlen(text), files);

    unit_same_int("files", (long long)n, ARRAY_LEN(want));
    for (size_t i = 0; i < n && i < ARRAY_LEN(want); i++) {
        unit_same_str("setting", files[i].setting, want[i].setting);
        unit_same_str("path", files[i].path, want[i].path);
        unit_same_int("line", (long long)files[i].line, want[i].line);
        free(files[i].path);
    }
    unit_same_int("a name that p11-kit knows is no file", (long long)config_files("token: {module: softhsm2}", 25, files), 0);
}

static void mistakes_are_bounded(void)
{
    static char text[65536], told[256 * 1024];
    size_t len = (size_t)sprintf(text, "daemon:\n");

    for (int i = 0; i < 1000; i++)
        len += (size_t)sprintf(text + len, "  unknown%d: 1\n", i);
    CLEANUP(config_freep) struct config *c = parse(text, told, sizeof told);
    CU_ASSERT_PTR_NULL(c);
    CU_ASSERT_PTR_NOT_NULL(strstr(told, "signetd.conf: and 95"));
}

/* Two profiles of one issuer: what keeps their tokens apart. */
static const struct { const char *name, *first, *second; bool apart; } pair_case[] = {
    { "an audience in common, no typ", "audiences: [a, b]", "audiences: [b]", false },
    { "audiences of their own", "audiences: [a]", "audiences: [b]", true },
    { "typs of their own", "audiences: [a], typ: a+jwt", "audiences: [a], typ: b+jwt", true },
    { "JWT is no typ of its own", "audiences: [a], typ: a+jwt", "audiences: [a]", false },
    { "the same typ in other letters", "audiences: [a], typ: a+jwt", "audiences: [a], typ: application/A+JWT", false },
};

static void profiles_of_one_issuer_are_kept_apart(void)
{
    for (size_t i = 0; i < ARRAY_LEN(pair_case); i++) {
        char text[4096], told[4096];
        snprintf(text, sizeof text, "token: {module: m, uri: 'pkcs11:token=t'}\nrings: {r: {alg: ES256}}\nprofiles:\n"
                 "  p: {ring: r, issuer: i, %s}\n  q: {ring: r, issuer: i, %s}\n", pair_case[i].first, pair_case[i].second);
        CLEANUP(config_freep) struct config *c = parse(text, told, sizeof told);
        unit_same_int(pair_case[i].name, c != NULL, pair_case[i].apart);
    }
}

static void what_needs_a_restart_is_named(void)
{
    static const struct { const char *from, *to, *want; } cases[] = {
        { "signet.sock", "other.sock", "daemon.socket" },
        { "token=signet", "token=other", "token.uri" },
        { "signers: auto", "signers: 3", "token.signers" },
        { "pin_file: /etc/signet/pin\n", "pin_credential: pin\n", "token.pin_file" },
        { "ttl: 15m", "ttl: 14m", NULL },
        { "token_timeout: 500ms", "token_timeout: 400ms", NULL },
    };
    char told[4096], text[4096];
    CLEANUP(config_freep) struct config *was = parse(whole, told, sizeof told);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        edit(text, sizeof text, cases[i].from, cases[i].to);
        CLEANUP(config_freep) struct config *is = parse(text, told, sizeof told);
        unit_same_str("mistakes", told, "");
        const char *name = is ? config_needs_restart(was, is) : "unread";
        unit_same_str(cases[i].to, name ? name : "none", cases[i].want ? cases[i].want : "none");
    }
}

static void names_are_collected_once(void)
{
    CLEANUP(names_clear) struct names n = { 0 };

    config_names(whole, strlen(whole), &n);
    unit_same_int("users", (long long)n.n_users, 1);
    unit_same_int("groups", (long long)n.n_groups, 2);
    if (n.n_users)
        unit_same_str("user", n.users[0].name, "app");
}

static const struct { const char *text; int64_t want; } duration_case[] = {
    { "0", 0 }, { "500ms", 500 }, { "30s", 30000 }, { "15m", 900000 }, { "12h", 43200000 }, { "30d", 2592000000 },
    { "2w", 1209600000 }, { "1", -1 }, { "", -1 }, { "s", -1 }, { "-1s", -1 }, { "01s", -1 }, { "1 s", -1 },
    { "1S", -1 }, { "9999999999999s", -1 }, { "1.5h", -1 }, { "999999999999w", -1 }, { "1h30m", 5400000 },
    { "17m30s", 1050000 }, { "1w2d3h4m5s6ms", 788645006 }, { "30m1h", -1 }, { "1h1h", -1 }, { "1h30", -1 }, { "1h ", -1 },
};

static void durations_are_words(void)
{
    for (size_t i = 0; i < ARRAY_LEN(duration_case); i++) {
        int64_t ms = -1;
        if (!value_duration(duration_case[i].text, &ms))
            ms = -1;
        unit_same_int(duration_case[i].text, ms, duration_case[i].want);
    }
}

static const struct { int64_t ms; const char *want; } written_case[] = {
    { 0, "0s" }, { 500, "500ms" }, { 30000, "30s" }, { 1050000, "17m30s" }, { 86400000, "1d" }, { 43260000, "12h1m" },
    { 3660ll * 86400000, "3660d" }, { 1500, "1s500ms" }, { INT64_MAX, "106751991167d7h12m55s807ms" },
};

static void a_duration_is_written_as_it_is_read(void)
{
    for (size_t i = 0; i < ARRAY_LEN(written_case); i++) {
        char text[VALUE_MAX];
        int64_t again = -1;
        value_duration_write(written_case[i].ms, text);
        unit_same_str("written", text, written_case[i].want);
        unit_same_int(text, value_duration(text, &again) ? again : -1, written_case[i].ms);
    }
}

static const struct { const char *text; int64_t want; } time_case[] = {
    { "2026-11-24T10:00:00Z", 1795514400 }, { "1795514400", 1795514400 }, { "2026-02-30T00:00:00Z", -1 },
    { "2026-11-24", -1 }, { "2026-11-24T10:00:00+01:00", -1 }, { "2026-11-24T10:00:00Z ", -1 },
};

static void times_are_rfc3339_or_seconds(void)
{
    for (size_t i = 0; i < ARRAY_LEN(time_case); i++) {
        int64_t t = -1;
        if (!value_time(time_case[i].text, &t))
            t = -1;
        unit_same_int(time_case[i].text, t, time_case[i].want);
    }
}

static const struct unit_case cases[] = {
    { "several tokens are told apart", several_tokens_are_told_apart },
    { "who serves one token sees its rings alone", who_serves_one_token_sees_its_rings_alone },
    { "the whole example is read", the_whole_example_is_read },
    { "each mistake is told with its line", each_mistake_is_told_with_its_line },
    { "all mistakes are told at once", all_mistakes_are_told_at_once },
    { "a half-written file hides nothing", a_half_written_file_hides_nothing },
    { "every beginning of a right file is only cut", every_beginning_of_a_right_file_is_only_cut },
    { "mistakes stand in the order of their lines", mistakes_stand_in_the_order_of_their_lines },
    { "files that the text names are told with their lines", files_that_the_text_names_are_told_with_their_lines },
    { "a thousand mistakes are fifty and a number", mistakes_are_bounded },
    { "profiles of one issuer are kept apart", profiles_of_one_issuer_are_kept_apart },
    { "what needs a restart is named", what_needs_a_restart_is_named },
    { "names are collected once", names_are_collected_once },
    { "durations are words", durations_are_words },
    { "a duration is written as it is read", a_duration_is_written_as_it_is_read },
    { "times are RFC 3339 or seconds", times_are_rfc3339_or_seconds },
};
UNIT_MAIN(cases)
