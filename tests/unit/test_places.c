#include "daemon/config/places.h"
#include "daemon/config/value.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char begin[] =
    "token: {module: m, uri: 'pkcs11:token=t'}\n"
    "rings:\n  a: {alg: ES256}\n  b: {alg: EdDSA}\n  s: {alg: HS256}\n  r: {alg: ES256, publish: yes}\n  q: {alg: ES256}\n"
    "http: {listen: 127.0.0.1:8181}\n"
    "profiles:\n";

static struct config *parse(const char *profiles, char *told, size_t size)
{
    char text[4096];
    struct buf mistakes;

    int len = snprintf(text, sizeof text, "%s%s", begin, profiles);
    buf_init(&mistakes, 64 * 1024);
    struct config *c = config_parse(text, (size_t)len, "f", NULL, &mistakes);
    snprintf(told, size, "%.*s", (int)mistakes.len, mistakes.data ? (const char *)mistakes.data : "");
    buf_clear(&mistakes);
    return c;
}

/* "issuer host path https rings;" of each. */
static void describe(const char *profiles, char *out, size_t size)
{
    CLEANUP(config_freep) struct config *c = parse(profiles, out, size);
    struct places p;

    if (!c || !places_find(c, &p))
        return;
    size_t len = 0;
    for (size_t i = 0; i < p.n; i++) {
        const struct place *at = &p.each[i];
        len += (size_t)snprintf(out + len, size - len, "%s|%s|%s|%s|", at->issuer ? at->issuer : "-", at->host ? at->host : "-",
                                at->path, at->is_https ? "https" : "-");
        for (size_t r = 0; r < at->n_rings; r++)
            len += (size_t)snprintf(out + len, size - len, "%s%s", r ? "," : "", at->rings[r]->settings.name);
        len += (size_t)snprintf(out + len, size - len, ";");
    }
    places_clear(&p);
}

static const struct { const char *name, *profiles, *want; } place_case[] = {
    { "one issuer, its rings each once, in the order of rings",
      "  x: {ring: b, issuer: 'https://i.example', audiences: [x]}\n"
      "  y: {ring: a, issuer: 'https://i.example', audiences: [y]}\n"
      "  z: {ring: b, issuer: 'https://i.example', audiences: [z]}\n",
      "https://i.example|i.example||https|a,b;" },
    { "a path loses the slash at its end, a host its case and the usual port",
      "  x: {ring: a, issuer: 'HTTPS://I.Example:443/Tenant/', audiences: [x]}\n",
      "HTTPS://I.Example:443/Tenant/|i.example|/Tenant|https|a;" },
    { "another port is kept",
      "  x: {ring: a, issuer: 'https://i.example:8443/t', audiences: [x]}\n",
      "https://i.example:8443/t|i.example:8443|/t|https|a;" },
    { "what is no https URL has no discovery",
      "  x: {ring: a, issuer: 'http://i.example/t', audiences: [x]}\n"
      "  y: {ring: a, issuer: 'https://i.example/u?q', audiences: [x]}\n"
      "  z: {ring: a, issuer: login, audiences: [x]}\n",
      "http://i.example/t|i.example|/t|-|a;https://i.example/u?q|i.example|/u|-|a;login|-||-|a;" },
    { "a URL with a user's name is none",
      "  x: {ring: a, issuer: 'https://i@j.example/t', audiences: [x]}\n",
      "https://i@j.example/t|-||-|a;" },
    { "a raw profile's ring is apart, where it is published",
      "  x: {ring: a, issuer: 'https://i.example', audiences: [x]}\n"
      "  y: {ring: r, raw: yes}\n  z: {ring: q, raw: yes}\n",
      "https://i.example|i.example||https|a;-|-|/rings/r|-|r;" },
    { "two hosts share a path",
      "  x: {ring: a, issuer: 'https://i.example', audiences: [x]}\n"
      "  y: {ring: b, issuer: 'https://j.example', audiences: [x]}\n",
      "https://i.example|i.example||https|a;https://j.example|j.example||https|b;" },
};

static void where_each_is(void)
{
    char got[1024];

    for (size_t i = 0; i < ARRAY_LEN(place_case); i++) {
        describe(place_case[i].profiles, got, sizeof got);
        unit_same_str(place_case[i].name, got, place_case[i].want);
    }
}

static const struct { const char *name, *profiles, *want; } refused_case[] = {
    { "two that are no URL", "  x: {ring: a, issuer: one, audiences: [x]}\n  y: {ring: b, issuer: two, audiences: [x]}\n",
      "'one' and 'two' would both be at '/.well-known/jwks.json'" },
    { "one that is none beside one without a path",
      "  x: {ring: a, issuer: 'https://i.example', audiences: [x]}\n  y: {ring: b, issuer: two, audiences: [x]}\n",
      "'https://i.example' and 'two' would both be at" },
    { "one with the slash and one without",
      "  x: {ring: a, issuer: 'https://i.example/t', audiences: [x]}\n"
      "  y: {ring: b, issuer: 'https://I.example/t/', audiences: [x]}\n", "would both be at '/t/.well-known/jwks.json'" },
    { "one that has a ring's place",
      "  x: {ring: a, issuer: 'https://i.example/rings/r', audiences: [x]}\n  y: {ring: r, raw: yes}\n",
      "'https://i.example/rings/r' and '/rings/r' would both" },
};

static void who_cannot_be_told_apart_is_refused(void)
{
    char told[2048];

    for (size_t i = 0; i < ARRAY_LEN(refused_case); i++) {
        CLEANUP(config_freep) struct config *c = parse(refused_case[i].profiles, told, sizeof told);
        unit_same_int(refused_case[i].name, c == NULL && strstr(told, refused_case[i].want) != NULL, 1);
    }
}

static const struct { const char *text; bool ok, local; } address_case[] = {
    { "127.0.0.1:8181", true, true }, { "127.9.9.9:1", true, true }, { "[::1]:65535", true, true },
    { "/run/signet/http.sock", true, true }, { "0.0.0.0:80", true, false }, { "[::]:80", true, false },
    { "10.0.0.1:80", true, false }, { "[fe80::1]:80", true, false }, { "128.0.0.1:80", true, false },
    { "[::ffff:127.0.0.1]:80", true, false },
    { "127.0.0.1", false, false }, { "127.0.0.1:", false, false }, { "127.0.0.1:0", false, false }, { "127.0.0.1:65536", false, false },
    { "127.0.0.1:08181", false, false }, { ":8181", false, false }, { "localhost:8181", false, false }, { "::1:8181", false, false },
    { "[::1]", false, false }, { "[::1:80", false, false }, { "[]:80", false, false }, { "[:80", false, false }, { "[", false, false }, { "", false, false },
    { "[127.0.0.1]:80", false, false }, { "1:2:3", false, false },
};

static void addresses(void)
{
    char path[200] = "/";
    struct sockaddr_storage a;
    socklen_t len;

    for (size_t i = 0; i < ARRAY_LEN(address_case); i++) {
        unit_same_int(address_case[i].text, value_address(address_case[i].text, &a, &len), address_case[i].ok);
        if (address_case[i].ok)
            unit_same_int(address_case[i].text, value_address_is_local(&a), address_case[i].local);
    }
    memset(path + 1, 'p', 106);
    unit_same_int("the longest path", value_address(path, &a, &len), 1);
    path[107] = 'p';
    unit_same_int("one longer", value_address(path, &a, &len), 0);
}

static const struct { const char *name, *http, *want; } http_case[] = {
    { "loopback", "{listen: 127.0.0.1:80}", "" },
    { "a stranger's address", "{listen: '0.0.0.0:80'}", "f:3: http.listen: others than this machine reach 0.0.0.0:80" },
    { "a stranger's address, said so", "{listen: '0.0.0.0:80', public: yes}", "" },
    { "no address", "{listen: localhost:80}", "f:3: http.listen: 'localhost:80' is no address" },
    { "nothing", "{}", "f:3: http: 'listen' is missing" },
    { "a daemon's socket", "{listen: /run/signet/admin.sock}", "f:3: http.listen: is a socket of daemon's" },
    { "origins", "{listen: 127.0.0.1:80, cors: ['https://a.example', 'http://b.example:8080']}", "" },
    { "any origin", "{listen: 127.0.0.1:80, cors: any}", "" },
    { "an origin with a path", "{listen: 127.0.0.1:80, cors: ['https://a.example/']}", "'https://a.example/' is no origin" },
    { "an origin with a line's end", "{listen: 127.0.0.1:80, cors: [\"https://a.example\\r\\nX: y\"]}",
      "has a control character" },
    { "a name that is none", "{lisen: 127.0.0.1:80}", "f:3: http: unknown 'lisen'; did you mean 'listen'?" },
};

static void http_settings(void)
{
    char text[1024], told[2048];

    for (size_t i = 0; i < ARRAY_LEN(http_case); i++) {
        struct buf mistakes;
        int len = snprintf(text, sizeof text, "token: {module: m, uri: 'pkcs11:token=t'}\nrings: {a: {alg: ES256}}\nhttp: %s\n"
                           "profiles: {p: {ring: a, issuer: i, audiences: [x]}}\n", http_case[i].http);
        buf_init(&mistakes, 64 * 1024);
        CLEANUP(config_freep) struct config *c = config_parse(text, (size_t)len, "f", NULL, &mistakes);
        snprintf(told, sizeof told, "%.*s", (int)mistakes.len, mistakes.data ? (const char *)mistakes.data : "");
        buf_clear(&mistakes);
        bool right = http_case[i].want[0] ? !c && strstr(told, http_case[i].want) : c && !told[0];
        unit_same_int(http_case[i].name, right, 1);
        if (!right)
            printf("%s\n", told);
    }
}

static const struct unit_case cases[] = {
    { "each issuer has a place, by its path and host", where_each_is },
    { "two that nobody can tell apart are refused", who_cannot_be_told_apart_is_refused },
    { "an address is numbers and a port, or a path", addresses },
    { "where to listen, and for whom", http_settings },
};

UNIT_MAIN(cases)
