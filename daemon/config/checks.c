#include "daemon/config/checks.h"

#include "daemon/config/places.h"
#include "daemon/config/value.h"
#include "daemon/token/token.h"
#include "proto/jose/claims.h"

#include <stdio.h>
#include <string.h>

#define MAX_SOCKET_PATH 107u       /* sockaddr_un */

struct checking {
    const struct config *c;
    const struct tree *root;
    struct mistakes *m;
};

/* --- daemon and token -------------------------------------------------------------------- */

static void check_sockets(const struct checking *k)
{
    const struct daemon_config *d = &k->c->daemon;
    const struct { const char *name, *path; } sockets[] = { { "socket", d->socket }, { "admin_socket", d->admin_socket } };

    for (size_t i = 0; i < ARRAY_LEN(sockets); i++)
        if (sockets[i].path && strlen(sockets[i].path) > MAX_SOCKET_PATH)
            mistake(k->m, tree_line_of(k->root, "daemon", sockets[i].name, NULL), "daemon.%s: has %zu bytes, and a"
                    " socket's path has at most %u", sockets[i].name, strlen(sockets[i].path), MAX_SOCKET_PATH);
    if (d->socket && d->admin_socket && strcmp(d->socket, d->admin_socket) == 0)
        mistake(k->m, tree_line_of(k->root, "daemon", "admin_socket", NULL),
                "daemon.admin_socket: is the same as daemon.socket");
}

static void check_http(const struct checking *k)
{
    const struct http_config *h = &k->c->http;
    const struct daemon_config *d = &k->c->daemon;
    size_t line = tree_line_of(k->root, "http", "listen", NULL);

    if (!h->listen || !h->address_len)
        return;
    if (!value_address_is_local(&h->address) && !h->is_public)
        mistake(k->m, line, "http.listen: others than this machine reach %s: listen at 127.0.0.1 and let a proxy with TLS in"
                " front pass on what it should, or say 'public: yes', and only key sets, discovery and health are served",
                h->listen);
    if ((d->socket && strcmp(d->socket, h->listen) == 0) || (d->admin_socket && strcmp(d->admin_socket, h->listen) == 0))
        mistake(k->m, line, "http.listen: is a socket of daemon's");
}

static const struct profile *first_of(const struct config *c, const struct place *p)
{
    for (size_t i = 0; i < c->n_profiles; i++) {
        const struct profile *of = &c->profiles[i];
        if (p->issuer ? of->issuer && strcmp(of->issuer, p->issuer) == 0
                      : of->raw && of->ring && strcmp(of->ring, p->rings[0]->settings.name) == 0)
            return of;
    }
    return NULL;
}

/* Whoever asks for one's keys must not get another's. */
static void check_places(const struct checking *k)
{
    struct places places;

    if (!k->c->http.listen)
        return;
    if (!places_find(k->c, &places)) {
        mistake(k->m, 1, "http: no memory to read it");
        return;
    }
    for (size_t i = 0; i < places.n; i++)
        for (size_t j = 0; j < i; j++) {
            const struct place *a = &places.each[i], *b = &places.each[j];
            if (places_collide(a, b))
                mistake(k->m, tree_line_of(k->root, "profiles", first_of(k->c, a)->name, "issuer"), "http: the key sets of"
                        " '%.80s' and '%.80s' would both be at '%.80s/.well-known/jwks.json', and nobody could say which is"
                        " meant: an issuer with a path of its own (https://login.example/tenant1) has a place of its own",
                        b->issuer ? b->issuer : b->path, a->issuer ? a->issuer : a->path, a->path);
        }
    places_clear(&places);
}

/* A third: the first try hangs, a second signer's may too, and the third must still be in time. */
static void check_deadline(const struct checking *k, uint32_t deadline_ms, const char *section, const char *entry,
                           const char *setting)
{
    char where[CONFIG_TOKEN_WHERE];

    for (size_t i = 0; i < k->c->n_tokens; i++) {
        uint32_t timeout_ms = k->c->tokens[i].timeout_ms;
        if (deadline_ms && 3ull * timeout_ms > deadline_ms)
            mistake(k->m, tree_line_of(k->root, section, entry, setting), "%s%s%s.deadline: %u ms is less than 3 x"
                    " %s.token_timeout = 3 x %u ms = %llu ms: work that a hung signer had could not be given on in time",
                    section, entry ? "." : "", entry ? entry : "", deadline_ms, config_token_where(&k->c->tokens[i], where),
                    timeout_ms, 3ull * timeout_ms);
    }
}

static size_t token_line(const struct checking *k, const struct token_config *t, const char *setting)
{
    return t->name[0] ? tree_line_of(k->root, "tokens", t->name, setting) : tree_line_of(k->root, "token", setting, NULL);
}

static void check_token(const struct checking *k, const struct token_config *t)
{
    char where[CONFIG_TOKEN_WHERE];
    struct err e;

    config_token_where(t, where);
    if (t->pin_file && t->pin_credential)
        mistake(k->m, token_line(k, t, "pin_credential"), "%s: both pin_file and pin_credential are there: the PIN has one"
                " source", where);
    if (!t->uri)
        return;
    if (!token_uri_ok(t->uri, false, &e)) {
        mistake(k->m, token_line(k, t, "uri"), "%s.uri: %s", where, e.text);
        return;
    }
    CLEANUP(freep) char *source = token_uri_pin_file(t->uri);
    if (source && (t->pin_file || t->pin_credential))
        mistake(k->m, token_line(k, t, "uri"), "%s.uri: names a pin-source beside %s: the PIN has one source", where,
                t->pin_file ? "pin_file" : "pin_credential");
}

/* The same twice would hold each key twice, and fail with the first. */
static void check_tokens(const struct checking *k)
{
    for (size_t i = 0; i < k->c->n_tokens; i++) {
        const struct token_config *t = &k->c->tokens[i];
        check_token(k, t);
        for (size_t j = 0; j < i; j++) {
            const struct token_config *o = &k->c->tokens[j];
            if (t->uri && o->uri && t->module && o->module && strcmp(t->uri, o->uri) == 0 &&
                strcmp(t->module, o->module) == 0)
                mistake(k->m, token_line(k, t, "uri"), "tokens.%s: is the token that tokens.%s is", t->name, o->name);
        }
    }
}

/* --- rings --------------------------------------------------------------------------------- */

/* A pair of a ring's outside keys. */
static void check_outside_pair(const struct checking *k, const char *ring, const struct outside_key *a,
                               const struct outside_key *b)
{
    size_t line = tree_line_of(k->root, "rings", ring, "keys");
    char at[VALUE_MAX];

    if (!a->uri || !b->uri)
        return;
    value_time_write(a->activates_at, at);
    if (strcmp(a->uri, b->uri) == 0)
        mistake(k->m, line, "rings.%s.keys: '%.80s' stands twice", ring, a->uri);
    else if (a->activates_at == b->activates_at && tree_whole(k->root, "rings", ring))
        mistake(k->m, line, "rings.%s.keys: '%.80s' and '%.80s' would both sign from %s on, and only one key can: give each"
                " a time of its own", ring, b->uri, a->uri, at);
}

static void check_outside(const struct checking *k, const struct ring_config *r)
{
    size_t line = tree_line_of(k->root, "rings", r->settings.name, "keys");
    struct err e;

    for (size_t i = 0; i < r->n_outside; i++) {
        if (r->outside[i].uri && !token_uri_ok(r->outside[i].uri, true, &e))
            mistake(k->m, line, "rings.%s.keys: %s", r->settings.name, e.text);
        for (size_t j = 0; j < i; j++)
            check_outside_pair(k, r->settings.name, &r->outside[i], &r->outside[j]);
    }
}

/* A key is of one ring: the first would have it, and the second would wait for it and sign with nothing. */
static void check_outside_of_two(const struct checking *k, const struct ring_config *a, const struct ring_config *b)
{
    for (size_t i = 0; i < a->n_outside; i++)
        for (size_t j = 0; j < b->n_outside; j++)
            if (a->outside[i].uri && b->outside[j].uri && strcmp(a->outside[i].uri, b->outside[j].uri) == 0)
                mistake(k->m, tree_line_of(k->root, "rings", a->settings.name, "keys"), "rings.%s.keys: '%.80s' is a key"
                        " of ring '%s' already: a key is of one ring", a->settings.name, a->outside[i].uri,
                        b->settings.name);
}

static void check_ring_tokens(const struct checking *k, const struct ring_config *r)
{
    const char *name = r->settings.name;
    char names[CONFIG_MAX_TOKENS * (CONFIG_MAX_TOKEN_NAME + 2) + 1] = "";

    for (size_t i = 0; i < k->c->n_tokens; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", k->c->tokens[i].name);
    if (!tree_whole(k->root, "tokens", NULL))
        return;
    if (r->n_token_names == 0 && k->c->n_tokens > 1)
        mistake(k->m, tree_line_of(k->root, "rings", name, "tokens"), "rings.%s: there are several tokens: say which hold its"
                " keys, the one that signs first ('tokens: [%s, %s]')", name, k->c->tokens[0].name, k->c->tokens[1].name);
    for (size_t i = 0; i < r->n_token_names; i++)
        if (!config_ring_token(k->c, r, r->token_names[i]))
            mistake(k->m, tree_line_of(k->root, "rings", name, "tokens"), "rings.%s.tokens: there is no token '%.60s' under"
                    " 'tokens', which has: %s", name, r->token_names[i], names);
    if (r->n_tokens == 1 && r->n_token_names < 2 && tree_has(k->root, "rings", name, "failover_after"))
        mistake(k->m, tree_line_of(k->root, "rings", name, "failover_after"), "rings.%s.failover_after: its keys are on one"
                " token: there is none to change over to", name);
    for (size_t i = 0; i < r->n_outside; i++)
        if (r->outside[i].token_name && !config_ring_token(k->c, r, r->outside[i].token_name))
            mistake(k->m, tree_line_of(k->root, "rings", name, "keys"), "rings.%s.keys: '%.80s' is on token '%.60s', which is"
                    " none of the ring's", name, r->outside[i].uri ? r->outside[i].uri : "", r->outside[i].token_name);
}

static void check_ring(const struct checking *k, const struct ring_config *r)
{
    const char *name = r->settings.name;
    bool hmac = r->alg && r->alg->family == ALG_HMAC, rsa = r->alg && strcmp(r->alg->kty, "RSA") == 0;
    const struct { const char *setting; bool wrong; const char *why; } rules[] = {
        { "bits", r->alg && !rsa && tree_has(k->root, "rings", name, "bits"),
          "only RSA keys have a number of bits to choose" },
        { "allow_weak_secret", r->alg && !hmac && r->allow_weak_secret, "only HMAC keys are secrets" },
        { "destroy_retired_private", hmac && r->settings.destroy_retired_private,
          "an HMAC key has one half, and verifying needs it" },
        { "publish", hmac && r->publish, "an HMAC key has no public half: who could verify with it could sign" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (rules[i].wrong)
            mistake(k->m, tree_line_of(k->root, "rings", name, rules[i].setting), "rings.%s.%s: %s", name, rules[i].setting,
                    rules[i].why);
    check_ring_tokens(k, r);
    check_outside(k, r);
}

/* --- profiles ------------------------------------------------------------------------------- */

static void about(const struct checking *k, const struct profile *p, const char *setting, const char *why)
{
    mistake(k->m, tree_line_of(k->root, "profiles", p->name, setting), "profiles.%s%s%s: %s", p->name, setting ? "." : "",
            setting ? setting : "", why);
}

static bool has(char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* As what is forbidden is compared. */
static bool has_in_any_case(char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (claims_same_name(names[i], name))
            return true;
    return false;
}

static bool is_fixed(const struct profile *p, const char *name)
{
    for (size_t i = 0; i < p->n_fixed; i++)
        if (strcmp(p->fixed[i].name, name) == 0)
            return true;
    return false;
}

/* A raw profile's payload is the caller's alone: nothing that would shape or judge claims has a meaning. */
static void check_raw(const struct checking *k, const struct profile *p)
{
    static const char *const shaping[] = { "issuer", "audiences", "ttl", "max_ttl", "leeway", "subject", "claims" };

    for (size_t i = 0; i < ARRAY_LEN(shaping); i++)
        if (tree_has(k->root, "profiles", p->name, shaping[i]))
            about(k, p, shaping[i], "a raw profile signs any payload as it is: leave this out");
}

static void check_claim_names(const struct checking *k, const struct profile *p)
{
    const struct { char *const *names; size_t n; const char *list; } lists[] = {
        { p->allowed, p->n_allowed, "allowed" }, { p->required, p->n_required, "required" },
        { p->forbidden, p->n_forbidden, "forbidden" },
    };
    char why[160];

    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (size_t j = 0; j < lists[i].n; j++) {
            const char *name = lists[i].names[j];
            bool sub = lists[i].names == p->required && strcmp(name, "sub") == 0;
            if (claims_registered(name) && !sub) {
                snprintf(why, sizeof why, "'%.60s' in '%s' is the daemon's to set", name, lists[i].list);
                about(k, p, "claims", why);
            }
        }
    for (size_t j = 0; j < p->n_required && tree_whole(k->root, "profiles", p->name); j++)
        if (!p->any_claim && strcmp(p->required[j], "sub") != 0 && !has(p->allowed, p->n_allowed, p->required[j]) &&
            !is_fixed(p, p->required[j])) {
            snprintf(why, sizeof why, "'%.60s' is required but not allowed", p->required[j]);
            about(k, p, "claims", why);
        }
    for (size_t j = 0; j < p->n_forbidden; j++)
        if (has_in_any_case(p->allowed, p->n_allowed, p->forbidden[j])) {
            snprintf(why, sizeof why, "'%.60s' is both allowed and forbidden", p->forbidden[j]);
            about(k, p, "claims", why);
        }
}

static void check_jwt(const struct checking *k, const struct profile *p)
{
    bool whole = tree_whole(k->root, "profiles", p->name);

    if (!p->issuer && whole)
        about(k, p, NULL, "'issuer' is missing: who says so? (a raw profile has none)");
    if (p->n_audiences == 0 && whole)
        about(k, p, NULL, "'audiences' is missing: for whom are its tokens? (a raw profile has none)");
    if (p->ttl_s > p->max_ttl_s && whole)
        about(k, p, "ttl", "is longer than max_ttl");
    check_claim_names(k, p);
}

static void check_profile(const struct checking *k, const struct profile *p)
{
    if (p->ring && !config_ring(k->c, p->ring) && tree_whole(k->root, "rings", NULL)) {
        char why[120];
        snprintf(why, sizeof why, "there is no ring '%.60s' under 'rings'", p->ring);
        about(k, p, "ring", why);
    }
    (p->raw ? check_raw : check_jwt)(k, p);
    if (tree_has(k->root, "profiles", p->name, "deadline"))
        check_deadline(k, p->deadline_ms, "profiles", p->name, "deadline");
}

static bool share_audience(const struct profile *a, const struct profile *b)
{
    for (size_t i = 0; i < a->n_audiences; i++)
        if (has(b->audiences, b->n_audiences, a->audiences[i]))
            return true;
    return false;
}

static bool is_explicit(const struct profile *p)
{
    return p->typ && !claims_typ_same(p->typ, "JWT");
}

/* RFC 8725 section 3.12: no token of one profile may pass as the other's. */
static void check_pair(const struct checking *k, const struct profile *a, const struct profile *b)
{
    char why[300];

    if (a->ring && b->ring && strcmp(a->ring, b->ring) == 0 && (a->raw || b->raw)) {
        snprintf(why, sizeof why, "shares ring '%s' with profile '%.60s', and a raw profile could forge any token of it",
                 a->ring, b->name);
        about(k, a, "ring", why);
    }
    if (!tree_whole(k->root, "profiles", a->name) || !tree_whole(k->root, "profiles", b->name))
        return;                              /* a typ may have been cut off */
    if (!a->issuer || !b->issuer || strcmp(a->issuer, b->issuer) != 0 || !share_audience(a, b))
        return;
    if (is_explicit(a) && is_explicit(b) && !claims_typ_same(a->typ, b->typ))
        return;
    snprintf(why, sizeof why, "its tokens could pass as those of profile '%.60s': same issuer, an audience in common,"
             " and no two different explicit typs ('JWT' is none): give each an audience or a typ of its own", b->name);
    about(k, a, NULL, why);
}

void checks_run(const struct config *c, const struct tree *root, struct mistakes *m)
{
    struct checking k = { c, root, m };

    check_sockets(&k);
    check_http(&k);
    check_places(&k);
    if (tree_whole(k.root, "daemon", NULL))
        check_deadline(&k, c->daemon.deadline_ms, "daemon", NULL, NULL);
    check_tokens(&k);
    for (size_t i = 0; i < c->n_rings; i++) {
        check_ring(&k, &c->rings[i]);
        for (size_t j = 0; j < i; j++)
            check_outside_of_two(&k, &c->rings[i], &c->rings[j]);
    }
    for (size_t i = 0; i < c->n_profiles; i++) {
        check_profile(&k, &c->profiles[i]);
        for (size_t j = 0; j < i; j++)
            check_pair(&k, &c->profiles[i], &c->profiles[j]);
    }
    if (c->n_profiles == 0 && tree_whole(k.root, "profiles", NULL))
        mistake(m, tree_line_of(k.root, "profiles", NULL, NULL), "profiles: there is none: nobody could sign or verify");
}
