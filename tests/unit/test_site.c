#include "daemon/publisher/site.h"
#include "tests/unit/snapshot.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1800000000
#define STEADY 5000000

static struct config *config_of(const char *http, const char *profiles)
{
    char text[4096], told[2048];
    struct buf mistakes;

    int len = snprintf(text, sizeof text, "token: {module: m, uri: 'pkcs11:token=t'}\n"
                       "rings: {a: {alg: ES256}, b: {alg: EdDSA}, s: {alg: HS256}, r: {alg: ES256, publish: yes}}\n"
                       "http: {%s}\nprofiles:\n%s", http, profiles);
    buf_init(&mistakes, 64 * 1024);
    struct config *c = config_parse(text, (size_t)len, "f", NULL, &mistakes);
    snprintf(told, sizeof told, "%.*s", (int)mistakes.len, mistakes.data ? (const char *)mistakes.data : "");
    unit_same_str("mistakes", told, "");
    buf_clear(&mistakes);
    return c;
}

/* What one asks for, in a few words: "200 BODY", with what `field` shows of it. */
struct ask {
    struct site *site;
    struct shown shown;
    int64_t steady_ms;
    struct http_request rq;
    struct http_reply r;
};

static void ask_init(struct ask *a, const char *http, const char *profiles)
{
    *a = (struct ask){ .steady_ms = STEADY };
    a->site = site_new(config_of(http, profiles));
    http_reply_init(&a->r);
    CU_ASSERT_FATAL(a->site != NULL);
}

static void ask_clear(struct ask *a)
{
    site_free(a->site);
    shown_clear(&a->shown);
    http_reply_clear(&a->r);
}

static void tell(struct ask *a, struct snapshot *s)
{
    struct err e = { 0 };

    CU_ASSERT(shown_take(&a->shown, snapshot_message(s), STEADY, &e));
    unit_same_str("taken", e.text, "");
}

static const char *get(struct ask *a, const char *host, const char *path)
{
    static char out[4096];

    http_reply_clear(&a->r);
    http_reply_init(&a->r);
    snprintf(a->rq.host, sizeof a->rq.host, "%s", host);
    snprintf(a->rq.path, sizeof a->rq.path, "%s", path);
    site_answer(a->site, &a->shown, &a->rq, NOW, a->steady_ms, &a->r);
    snprintf(out, sizeof out, "%d %.*s", a->r.status, (int)a->r.body.len, a->r.body.data ? (char *)a->r.body.data : "");
    return out;
}

static void same(struct ask *a, const char *host, const char *path, const char *want)
{
    char what[300];

    snprintf(what, sizeof what, "%s%s", host, path);
    unit_same_str(what, get(a, host, path), want);
}

static void begins(struct ask *a, const char *host, const char *path, const char *want)
{
    const char *got = get(a, host, path);

    if (strncmp(got, want, strlen(want)) != 0)
        printf("     %s%s: got '%s', want '%s'\n", host, path, got, want);
    CU_ASSERT(strncmp(got, want, strlen(want)) == 0);
}

#define LOCAL "listen: 127.0.0.1:80"
#define JWKS "/.well-known/jwks.json"
#define ONE "  x: {ring: a, issuer: 'https://i.example/t', audiences: [x]}\n  y: {ring: b, issuer: 'https://i.example/t', audiences: [y]}\n"

static void one_issuer(void)
{
    struct ask a;
    struct snapshot s;

    ask_init(&a, LOCAL, ONE);
    begins(&a, "h", JWKS, "503 {\"error\":\"STARTING\"");
    unit_same_int("retry", a.r.retry_after_s, 1);
    snapshot_init(&s, NOW);
    snapshot_set(&s, "a", "{\"keys\":[{\"kid\":\"1\"}]}", 900, 500);
    snapshot_set(&s, "b", "{\"keys\":[{\"kid\":\"2\"},{\"kid\":\"3\"}]}", 600, 10000);
    tell(&a, &s);
    static const char both[] = "200 {\"keys\":[{\"kid\":\"1\"},{\"kid\":\"2\"},{\"kid\":\"3\"}]}";
    same(&a, "h", JWKS, both);
    unit_same_str("its type", a.r.type, "application/jwk-set+json");
    unit_same_str("not past the next change", a.r.cache, "public, max-age=500");
    char etag[40];
    snprintf(etag, sizeof etag, "%s", a.r.etag);
    unit_same_int("an etag", (long long)strlen(etag), 34);
    same(&a, "h", "/t" JWKS, both);
    unit_same_str("the same etag", a.r.etag, etag);
    begins(&a, "h", "/T" JWKS, "404 ");
    begins(&a, "h", "/t/" JWKS, "404 ");
    begins(&a, "h", JWKS "/", "404 ");
    begins(&a, "h", "/.well-known/%6awks.json", "404 ");
    a.steady_ms = STEADY + 450500;
    same(&a, "h", JWKS, both);
    unit_same_str("its age counts, up to the next whole second", a.r.cache, "public, max-age=49");
    a.steady_ms = STEADY + 550000;
    same(&a, "h", JWKS, both);
    unit_same_str("past the change nobody told of: soon again", a.r.cache, "public, max-age=1");
    a.steady_ms = STEADY + 599001;
    begins(&a, "h", JWKS, "503 {\"error\":\"STARTING\"");
    ask_clear(&a);
}

static void what_is_not_known_well(void)
{
    struct ask a;
    struct snapshot s;

    ask_init(&a, LOCAL, ONE);
    snapshot_init(&s, NOW);
    snapshot_set(&s, "a", "{\"keys\":[{\"kid\":\"1\"}]}", 900, 500);
    tell(&a, &s);
    begins(&a, "h", JWKS, "503 {\"error\":\"STARTING\",\"text\":\"the keys of ring 'b' are not known");
    snapshot_init(&s, NOW);
    snapshot_set(&s, "a", "{\"keys\":[{\"kid\":\"1\"}]}", 900, 500);
    snapshot_lack(&s, "b", ERR_TOKEN_UNREACHABLE, "it is away", 2500);
    tell(&a, &s);
    same(&a, "h", JWKS, "503 {\"error\":\"TOKEN_UNREACHABLE\",\"text\":\"it is away\"}\n");
    unit_same_int("retry", a.r.retry_after_s, 3);
    snapshot_init(&s, NOW);
    snapshot_set(&s, "a", "", 900, 500);
    snapshot_set(&s, "b", "", 900, 500);
    tell(&a, &s);
    begins(&a, "h", JWKS, "503 {\"error\":\"NO_ACTIVE_KEY\"");
    snapshot_init(&s, NOW);
    snapshot_set(&s, "a", "{\"keys\": []}", 900, 500);
    snapshot_set(&s, "b", "nonsense", 900, 500);
    tell(&a, &s);
    begins(&a, "h", JWKS, "503 ");
    ask_clear(&a);
}

#define SEVERAL "  x: {ring: a, issuer: 'https://i.example/t1', audiences: [x]}\n" \
                "  y: {ring: b, issuer: 'https://i.example/t2', audiences: [y]}\n" \
                "  z: {ring: s, issuer: 'https://i.example/t3', audiences: [y]}\n" \
                "  w: {ring: r, raw: yes}\n"

static void several_issuers(void)
{
    struct ask a;
    struct snapshot s;

    ask_init(&a, LOCAL, SEVERAL);
    begins(&a, "h", "/t3" JWKS, "503 {\"error\":\"STARTING\"");
    snapshot_init(&s, NOW);
    snapshot_set(&s, "a", "{\"keys\":[{\"kid\":\"1\"}]}", 900, 500);
    snapshot_set(&s, "b", "{\"keys\":[{\"kid\":\"2\"}]}", 900, 500);
    snapshot_set(&s, "r", "{\"keys\":[{\"kid\":\"3\"}]}", 900, 500);
    tell(&a, &s);
    same(&a, "h", "/t1" JWKS, "200 {\"keys\":[{\"kid\":\"1\"}]}");
    same(&a, "h", "/t2" JWKS, "200 {\"keys\":[{\"kid\":\"2\"}]}");
    begins(&a, "h", "/t3" JWKS, "404 {\"error\":\"UNKNOWN_RING\"");
    same(&a, "h", "/rings/r" JWKS, "200 {\"keys\":[{\"kid\":\"3\"}]}");
    same(&a, "h", JWKS, "404 Several issuers are here, and none has this place; the key sets are at:\n"
         "/t1/.well-known/jwks.json of https://i.example/t1, by its host\n"
         "/t2/.well-known/jwks.json of https://i.example/t2, by its host\n"
         "/t3/.well-known/jwks.json of https://i.example/t3, by its host\n/rings/r/.well-known/jwks.json\n");
    ask_clear(&a);
}

static void several_hosts(void)
{
    struct ask a;
    struct snapshot s;

    ask_init(&a, LOCAL, "  x: {ring: a, issuer: 'https://i.example', audiences: [x]}\n"
             "  y: {ring: b, issuer: 'https://J.example:8443', audiences: [y]}\n");
    snapshot_init(&s, NOW);
    snapshot_set(&s, "a", "{\"keys\":[{\"kid\":\"1\"}]}", 900, 500);
    snapshot_set(&s, "b", "{\"keys\":[{\"kid\":\"2\"}]}", 900, 500);
    tell(&a, &s);
    same(&a, "I.example", JWKS, "200 {\"keys\":[{\"kid\":\"1\"}]}");
    same(&a, "i.example:443", JWKS, "200 {\"keys\":[{\"kid\":\"1\"}]}");
    same(&a, "j.example:8443", JWKS, "200 {\"keys\":[{\"kid\":\"2\"}]}");
    static const char *const others[] = { "j.example", "127.0.0.1", "", "i.example.", "xi.example" };
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        begins(&a, others[i], JWKS, "404 Several issuers are here, and Host names none of them");
    same(&a, "j.example:8443", "/.well-known/openid-configuration",
         "200 {\"issuer\":\"https://J.example:8443\",\"jwks_uri\":\"https://J.example:8443/.well-known/jwks.json\","
         "\"id_token_signing_alg_values_supported\":[\"EdDSA\"]}\n");
    ask_clear(&a);
}

static void discovery(void)
{
    struct ask a;
    struct snapshot s;

    ask_init(&a, LOCAL, "  x: {ring: a, issuer: 'https://i.example/t/', audiences: [x]}\n"
             "  y: {ring: s, issuer: 'https://i.example/t/', audiences: [y]}\n"
             "  z: {ring: b, issuer: 'http://i.example/u', audiences: [y]}\n");
    static const char want[] = "200 {\"issuer\":\"https://i.example/t/\","
        "\"jwks_uri\":\"https://i.example/t/.well-known/jwks.json\",\"id_token_signing_alg_values_supported\":[\"ES256\"]}\n";
    same(&a, "h", "/t/.well-known/openid-configuration", want);
    unit_same_str("type", a.r.type, "application/json");
    same(&a, "h", "/.well-known/oauth-authorization-server/t", want);
    begins(&a, "h", "/t/.well-known/oauth-authorization-server", "404 ");
    begins(&a, "h", "/.well-known/openid-configuration/t", "404 ");
    begins(&a, "h", "/.well-known/openid-configuration", "404 ");
    begins(&a, "h", "/u/.well-known/openid-configuration", "404 there is no such document of 'http://i.example/u'");
    snapshot_init(&s, NOW);
    snapshot_set(&s, "a", "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"EdDSA\","
                 "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}", 900, 500);
    tell(&a, &s);
    const char *got = get(&a, "h", "/t/.well-known/openid-configuration");
    CU_ASSERT(strstr(got, "[\"ES256\",\"EdDSA\"]") != NULL);
    ask_clear(&a);
}

static void cors(void)
{
    struct ask a;

    ask_init(&a, LOCAL ", cors: ['https://o.example']", ONE);
    snprintf(a.rq.origin, sizeof a.rq.origin, "https://o.example");
    get(&a, "h", JWKS);
    unit_same_str("the origin", a.r.allow_origin ? a.r.allow_origin : "-", "https://o.example");
    unit_same_int("varies", a.r.vary_origin, 1);
    snprintf(a.rq.origin, sizeof a.rq.origin, "https://p.example");
    get(&a, "h", JWKS);
    unit_same_str("another", a.r.allow_origin ? a.r.allow_origin : "-", "-");
    unit_same_int("varies", a.r.vary_origin, 1);
    snprintf(a.rq.origin, sizeof a.rq.origin, "https://o.example");
    get(&a, "h", "/healthz");
    unit_same_str("only what is public", a.r.allow_origin ? a.r.allow_origin : "-", "-");
    ask_clear(&a);
    ask_init(&a, LOCAL ", cors: any", ONE);
    get(&a, "h", JWKS);
    unit_same_str("any", a.r.allow_origin ? a.r.allow_origin : "-", "*");
    ask_clear(&a);
}

static void health(void)
{
    struct ask a;
    struct snapshot s;

    ask_init(&a, LOCAL, ONE);
    same(&a, "evil.example", "/healthz", "200 ok\n");
    same(&a, "h", "/readyz", "503 not ready: signetd is starting\n");
    snapshot_init(&s, NOW);
    tell(&a, &s);
    same(&a, "h", "/readyz", "200 ready\n");
    a.steady_ms = STEADY + SHOWN_STALE_MS + 1;
    begins(&a, "h", "/readyz", "503 not ready: the broker has said nothing for a while");
    a.steady_ms = STEADY;
    s.status.proved_at = NOW - 61;
    tell(&a, &s);
    begins(&a, "h", "/readyz", "503 not ready: no signature of the token was found good for a minute");
    s.status.proved_at = NOW;
    s.status.ready = false;
    tell(&a, &s);
    begins(&a, "h", "/readyz", "503 not ready: signetd does not say why");
    ask_clear(&a);
}

/* Whatever a broker says: at most as long as any ring may promise. */
static void a_set_is_kept_for_a_month_at_most(void)
{
    struct ask a;
    struct snapshot s;

    ask_init(&a, LOCAL, ONE);
    snapshot_init(&s, NOW);
    snapshot_set(&s, "a", "{\"keys\":[{\"kid\":\"1\"}]}", INT32_MAX, INT32_MAX);
    snapshot_set(&s, "b", "{\"keys\":[{\"kid\":\"2\"}]}", UINT32_MAX, UINT32_MAX);
    tell(&a, &s);
    begins(&a, "h", "/t" JWKS, "200 ");
    unit_same_str("thirty days", a.r.cache, "public, max-age=2592000");
    ask_clear(&a);
}

static void strangers_are_told_no_names(void)
{
    struct ask a;
    struct snapshot s;

    ask_init(&a, LOCAL ", public: yes", SEVERAL);
    snapshot_init(&s, NOW);
    snapshot_lack(&s, "a", ERR_TOKEN_UNREACHABLE, "token 'main' is away", 2500);
    tell(&a, &s);
    same(&a, "h", "/t1" JWKS, "503 {\"error\":\"TOKEN_UNREACHABLE\",\"text\":\"the key set is not known now\"}\n");
    unit_same_int("retry", a.r.retry_after_s, 3);
    same(&a, "h", JWKS, "404 Several issuers are here, and none has this place\n");
    begins(&a, "h", "/t3" JWKS, "404 {\"error\":\"UNKNOWN_RING\"");
    ask_clear(&a);
}

/* Verifiers are none the worse for a text that cannot be shown. */
static void key_sets_do_not_hang_on_what_is_shown(void)
{
    struct ask a;
    struct snapshot s;
    struct err e;
    char *notice = (char *)(uintptr_t)"cut in the middle: \xC3";

    ask_init(&a, LOCAL, ONE);
    snapshot_init(&s, NOW);
    tell(&a, &s);
    same(&a, "h", "/readyz", "200 ready\n");
    s.status.notices = &notice;
    s.status.n_notices = 1;
    snapshot_set(&s, "a", "{\"keys\":[{\"kid\":\"1\"}]}", 900, 500);
    snapshot_set(&s, "b", "{\"keys\":[{\"kid\":\"2\"}]}", 900, 500);
    CU_ASSERT_FALSE(shown_take(&a.shown, snapshot_message(&s), STEADY, &e));
    same(&a, "h", "/t" JWKS, "200 {\"keys\":[{\"kid\":\"1\"},{\"kid\":\"2\"}]}");
    same(&a, "h", "/readyz", "503 not ready: what the broker says cannot be shown\n");
    CU_ASSERT(strstr(get(&a, "localhost", "/metrics"), "signet_up 0\n") != NULL);
    get(&a, "localhost", "/");
    unit_same_int("the page says so", memmem(a.r.body.data, a.r.body.len, "cannot be shown", 15) != NULL, 1);
    s.status.n_notices = 0;
    tell(&a, &s);
    same(&a, "h", "/readyz", "200 ready\n");
    ask_clear(&a);
}

static void what_is_for_this_machine_no_proxy_gets_for_others(void)
{
    static const struct { const char *path, *want; } passed_on[] = {
        { "/", "403 " }, { "/metrics", "403 " }, { "/healthz", "200 " }, { "/t" JWKS, "503 " }, { "/readyz", "503 not ready\n" },
    };
    struct ask a;

    ask_init(&a, LOCAL, ONE);
    a.rq.is_passed_on = true;
    for (size_t i = 0; i < ARRAY_LEN(passed_on); i++)
        begins(&a, "i.example", passed_on[i].path, passed_on[i].want);
    a.rq.is_passed_on = false;
    begins(&a, "i.example", "/metrics", "200 ");
    ask_clear(&a);
    ask_init(&a, LOCAL ", public: yes", ONE);
    a.rq.is_passed_on = true;
    begins(&a, "i.example", "/metrics", "404 ");
    ask_clear(&a);
}

static const struct unit_case cases[] = {
    { "one issuer: at the root and under its path", one_issuer },
    { "what is not known well is not given out", what_is_not_known_well },
    { "a set is kept for a month at most", a_set_is_kept_for_a_month_at_most },
    { "strangers are told no names", strangers_are_told_no_names },
    { "key sets do not hang on what is shown", key_sets_do_not_hang_on_what_is_shown },
    { "what is for this machine no proxy gets for others", what_is_for_this_machine_no_proxy_gets_for_others },
    { "several issuers: none has another's keys", several_issuers },
    { "several hosts: Host says which", several_hosts },
    { "discovery says what is true", discovery },
    { "other origins' pages, where wanted", cors },
    { "health and readiness", health },
};

UNIT_MAIN(cases)
