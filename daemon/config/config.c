#include "daemon/config/config.h"

#include "daemon/config/checks.h"
#include "daemon/config/promises.h"
#include "daemon/config/setting.h"
#include "daemon/config/value.h"
#include "proto/jose/claims.h"
#include "proto/jose/jwk.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define MAX_RINGS 256u
#define MAX_PROFILES 1024u
#define MAX_OUTSIDE 64u            /* keys of a ring made outside */
#define MAX_PROFILE_NAME 64u
#define DAY 86400
#define YEAR (366 * DAY)
#define MAX_ID 1024                /* bytes of an issuer, audience */
#define MAX_CLAIM_NAME 128         /* bytes */
#define MAX_ORIGIN 255             /* bytes */
#define MAX_PATH_LEN 4096          /* bytes */
#define DESCRIPTORS_BESIDE 256u    /* of a broker: channels to 64 signers and 16 verifiers, administrators' connections */

/* --- the tables ------------------------------------------------------------------------- */

#define D(field) offsetof(struct daemon_config, field)
static const struct setting daemon_settings[] = {
    { "socket", setting_path, D(socket), .max = MAX_PATH_LEN, .unset = "/run/signet/signet.sock", .flags = SETTING_RESTART },
    { "admin_socket", setting_path, D(admin_socket), .max = MAX_PATH_LEN, .unset = "/run/signet/admin.sock",
      .flags = SETTING_RESTART },
    { "admin", setting_allow, .offset = D(admin) },
    { "max_request", setting_size, D(max_request), .min = 4096, .max = 1 << 20, .unset = "64KiB" },
    { "max_connections", setting_number, D(max_connections), .min = 1, .max = 65536, .unset = "1024" },
    { "max_connections_per_uid", setting_number, D(max_connections_per_uid), .min = 1, .max = 65536, .unset = "256" },
    { "max_in_flight", setting_number, D(max_in_flight), .min = 1, .max = 65536, .unset = "512" },
    { "max_queue", setting_number, D(max_queue_per_uid), .min = 1, .max = 1 << 20, .unset = "4096" },
    { "max_memory", setting_size, D(max_memory), .min = 16 << 20, .max = 2047ll << 20, .unset = "256MiB" },
    { "verifiers", setting_auto, D(n_verifiers), .min = 1, .max = 16, .unset = "auto" },
    { "deadline", setting_ms, D(deadline_ms), .min = 10, .max = 60000, .unset = "2s" },
    { "drain_timeout", setting_ms, D(drain_timeout_ms), .min = 100, .max = 600000, .unset = "10s" },
    { "frame_timeout", setting_ms, D(frame_timeout_ms), .min = 100, .max = 600000, .unset = "5s" },
};
#undef D

static setting_reader read_listen, read_cors;

#define H(field) offsetof(struct http_config, field)
static const struct setting http_settings[] = {
    { "listen", read_listen, .max = MAX_PATH_LEN, .flags = SETTING_REQUIRED },
    { "public", setting_bool, H(is_public), .unset = "no" },
    { "cors", read_cors, H(origins), H(n_origins), .max = MAX_ORIGIN },
};
#undef H

#define T(field) offsetof(struct token_config, field)
static const struct setting token_settings[] = {
    { "module", setting_text, T(module), .max = MAX_PATH_LEN, .flags = SETTING_REQUIRED | SETTING_RESTART },
    { "uri", setting_text, T(uri), .max = MAX_ID, .flags = SETTING_REQUIRED | SETTING_RESTART },
    { "pin_file", setting_path, T(pin_file), .max = MAX_PATH_LEN, .flags = SETTING_RESTART },
    { "pin_credential", setting_text, T(pin_credential), .max = 255, .flags = SETTING_RESTART },
    { "signers", setting_auto, T(n_signers), .min = 1, .max = 64, .unset = "auto", .flags = SETTING_RESTART },
    { "token_timeout", setting_ms, T(timeout_ms), .min = 10, .max = 60000, .unset = "500ms" },
    { "generate_timeout", setting_ms, T(generate_timeout_ms), .min = 1000, .max = 600000, .unset = "60s" },
    { "max_memory", setting_size, T(max_memory), .min = 16 << 20, .max = 2047ll << 20, .unset = "1024MiB" },
};
#undef T

#define O(field) offsetof(struct outside_key, field)
static const struct setting outside_settings[] = {
    { "uri", setting_text, O(uri), .max = MAX_ID, .flags = SETTING_REQUIRED },
    { "activates_at", setting_time, O(activates_at), .flags = SETTING_REQUIRED },
    { "max_ttl", setting_span, O(max_ttl), .min = 1, .max = 10ll * YEAR },
    { "skew", setting_span, O(skew), .min = 0, .max = 3600 },
    { "max_age", setting_span, O(max_age), .min = 1, .max = 30 * DAY },
    { "token", setting_text, O(token_name), .max = CONFIG_MAX_TOKEN_NAME },
};
#undef O

static setting_reader read_outside, read_claims, read_allowed, read_fixed, read_subject;

#define R(field) offsetof(struct ring_config, field)
static const struct setting ring_table[] = {
    { "alg", setting_alg, R(alg), .flags = SETTING_REQUIRED },
    { "bits", setting_number, R(rsa_bits), .min = JWK_MIN_RSA_BITS, .max = JWK_MAX_RSA_BITS, .unset = "3072" },
    { "create", setting_bool, R(settings.create), .unset = "no" },
    { "rotate_every", setting_span_or_never, R(settings.rotate_every), .min = 10, .max = 10ll * YEAR, .unset = "30d" },
    { "publish_ahead", setting_span, R(settings.publish_ahead), .min = 1, .max = YEAR, .unset = "2d" },
    { "max_ttl", setting_span, R(settings.max_ttl), .min = 1, .max = 10ll * YEAR, .unset = "12h" },
    { "skew", setting_span, R(settings.skew), .min = 0, .max = 3600, .unset = "1m" },
    { "jwks_max_age", setting_span, R(settings.max_age), .min = 1, .max = 30 * DAY, .unset = "15m" },
    { "refresh", setting_span, R(settings.refresh), .min = 1, .max = DAY, .unset = "30s" },
    { "destroy_after", setting_span, R(settings.destroy_after), .min = 0, .max = 10ll * YEAR, .unset = "7d" },
    { "standby", setting_bool, R(settings.standby), .unset = "no" },
    { "destroy_retired_private", setting_bool, R(settings.destroy_retired_private), .unset = "no" },
    { "allow_exportable", setting_bool, R(allow_exportable), .unset = "no" },
    { "allow_weak_secret", setting_bool, R(allow_weak_secret), .unset = "no" },
    { "publish", setting_bool, R(publish), .unset = "no" },
    { "verify_every", setting_auto, R(verify_every), .min = 1, .max = 1000000, .unset = "auto" },
    { "keys", read_outside, .offset = R(outside) },
    { "tokens", setting_list, R(token_names), R(n_token_names), .max = CONFIG_MAX_TOKEN_NAME },
    { "failover_after", setting_ms, R(failover_after_ms), .min = 0, .max = 600000, .unset = "5s" },
};
#undef R

#define P(field) offsetof(struct profile, field)
static const struct setting profile_table[] = {
    { "ring", setting_text, P(ring), .max = RING_MAX_NAME, .flags = SETTING_REQUIRED },
    { "raw", setting_bool, P(raw), .unset = "no" },
    { "kid", setting_bool, P(kid), .unset = "yes" },
    { "issuer", setting_text, P(issuer), .max = MAX_ID },
    { "audiences", setting_list, P(audiences), P(n_audiences), .max = MAX_ID },
    { "ttl", setting_s, P(ttl_s), .min = 1, .max = YEAR, .unset = "15m" },
    { "max_ttl", setting_s, P(max_ttl_s), .min = 1, .max = YEAR },
    { "leeway", setting_s, P(leeway_s), .min = 0, .max = CLAIMS_MAX_LEEWAY, .unset = "30s" },
    { "typ", setting_text, P(typ), .max = 64, .unset = "JWT" },
    { "subject", read_subject, P(subject_is_caller), .unset = "any" },
    { "claims", .read = read_claims },
    { "sign", setting_allow, .offset = P(sign) },
    { "verify", setting_allow, .offset = P(verify) },
    { "rate", setting_rate, P(rate_per_s), .min = 1, .max = 10000000 },
    { "deadline", setting_ms, P(deadline_ms), .min = 10, .max = 60000 },
};

static const struct setting claims_table[] = {
    { "allowed", read_allowed, P(allowed), P(n_allowed), .max = MAX_CLAIM_NAME },
    { "required", setting_list, P(required), P(n_required), .max = MAX_CLAIM_NAME },
    { "fixed", read_fixed, P(fixed), P(n_fixed), .max = MAX_CLAIM_NAME },
    { "forbidden", setting_list, P(forbidden), P(n_forbidden), .max = MAX_CLAIM_NAME },
};
#undef P

/* --- what has a shape of its own ------------------------------------------------------------ */

static void read_subject(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    struct profile *p = record;

    if (v->kind == TREE_TEXT && (strcmp(v->text, "any") == 0 || strcmp(v->text, "caller") == 0))
        p->subject_is_caller = strcmp(v->text, "caller") == 0;
    else
        setting_mistake(r, s, v, "is 'any' or 'caller' (bound to the caller's user name)");
}

static void read_allowed(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    struct profile *p = record;

    if (v->kind == TREE_TEXT && strcmp(v->text, "any") == 0)
        p->any_claim = true;
    else
        setting_list(r, s, v, record);
}

static void read_listen(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    struct http_config *h = record;
    static const struct setting text = { "listen", setting_text, offsetof(struct http_config, listen), .max = MAX_PATH_LEN };

    setting_text(r, &text, v, h);
    if (h->listen && !value_address(h->listen, &h->address, &h->address_len))
        setting_mistake(r, s, v, "'%.120s' is no address to listen at: write 127.0.0.1:8181, [::1]:8181, or a socket's"
                        " absolute path of at most 107 bytes", h->listen);
}

/* As a browser writes it: scheme, host and port, nothing after (RFC 6454 section 6.2). */
static bool is_origin(const char *text)
{
    const char *host = strncmp(text, "https://", 8) == 0 ? text + 8 : strncmp(text, "http://", 7) == 0 ? text + 7 : "";

    return *host && strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]") == strlen(host);
}

static void read_cors(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    struct http_config *h = record;

    if (v->kind == TREE_TEXT && strcmp(v->text, "any") == 0) {
        h->any_origin = true;
        return;
    }
    setting_list(r, s, v, record);
    for (size_t i = 0; i < h->n_origins; i++)
        if (!is_origin(h->origins[i]))
            setting_mistake(r, s, v, "'%.80s' is no origin: write https://app.example or https://app.example:8443, in lower"
                            " case, with nothing behind", h->origins[i]);
}

static bool append_json_text(struct buf *out, const char *text)
{
    json_t *v = json_string(text);
    char *json = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
    bool ok = json && buf_append_str(out, json);

    free(json);
    json_decref(v);
    return ok;
}

/* A plain word that JSON reads as a number or a name of its own; its text is then kept as written. False: no memory. */
static bool is_json_word(const char *text, bool *out_word)
{
    json_error_t why = { 0 };
    json_t *v = json_loads(text, JSON_DECODE_ANY, &why);
    /* Where jansson has no memory to begin with it does not say so: the error is of no kind. */
    bool known = v || (json_error_code(&why) != json_error_out_of_memory && json_error_code(&why) != json_error_unknown);

    *out_word = v && !json_is_string(v) && !json_is_object(v) && !json_is_array(v);
    json_decref(v);
    return known;
}

static bool append_json(struct buf *out, const struct tree *v)
{
    bool map = v->kind == TREE_MAP, ok, word = false;

    if (v->kind == TREE_TEXT)
        return (v->quoted || is_json_word(v->text, &word)) &&
               (word ? buf_append_str(out, v->text) : append_json_text(out, v->text));
    ok = buf_append_char(out, map ? '{' : '[');
    for (size_t i = 0; ok && i < v->n; i++)
        ok = (i == 0 || buf_append_char(out, ',')) &&
             (!map || (append_json_text(out, v->keys[i]->text) && buf_append_char(out, ':'))) &&
             append_json(out, v->items[i]);
    return ok && buf_append_char(out, map ? '}' : ']');
}

static bool read_fixed_one(struct profile_claim *claim, const struct tree *key, const struct tree *v)
{
    struct buf json;

    buf_init(&json, 8192);
    if (append_json(&json, v) && buf_append_char(&json, '\0')) {
        claim->name = strdup(key->text);
        claim->json = strdup((const char *)json.data);
    }
    buf_clear(&json);
    return claim->name && claim->json;
}

static void read_fixed(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    struct profile *p = record;

    if (v->kind != TREE_MAP || v->n > 64 || !(p->fixed = calloc(v->n + 1, sizeof *p->fixed))) {
        setting_mistake(r, s, v, "wants a map {name: value} of at most 64");
        return;
    }
    for (size_t i = 0; i < v->n; i++) {
        const char *name = v->keys[i]->text;
        if (claims_registered(name) || strlen(name) > MAX_CLAIM_NAME || !*name)
            setting_mistake(r, s, v->keys[i], "'%.60s' %s", name,
                            claims_registered(name) ? "is the daemon's to set" : "is no name of at most 128 bytes");
        if (!read_fixed_one(&p->fixed[p->n_fixed++], v->keys[i], v->items[i]))
            setting_mistake(r, s, v->keys[i], "the value of '%.60s' is too long, or there is no memory for it", name);
    }
}

static void read_claims(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    struct reading inner = *r;
    char where[SETTING_MAX_WHERE];

    snprintf(where, sizeof where, "%.110s.claims", r->where);
    setting_map(&inner, where, v->line, v, claims_table, ARRAY_LEN(claims_table), record);
}

static void read_outside(struct reading *r, const struct setting *s, const struct tree *v, void *record)
{
    struct ring_config *ring = record;
    struct reading inner = *r;
    char where[SETTING_MAX_WHERE];

    if (v->kind != TREE_LIST || v->n > MAX_OUTSIDE || !(ring->outside = calloc(v->n + 1, sizeof *ring->outside))) {
        setting_mistake(r, s, v, "wants a list of at most %u, each {uri: …, activates_at: …}", MAX_OUTSIDE);
        return;
    }
    snprintf(where, sizeof where, "%.110s.keys", r->where);
    for (size_t i = 0; i < v->n; i++) {
        struct outside_key *k = &ring->outside[ring->n_outside++];
        *k = (struct outside_key){ .max_ttl = -1, .skew = -1, .max_age = -1 };
        setting_map(&inner, where, v->items[i]->line, v->items[i], outside_settings, ARRAY_LEN(outside_settings), k);
    }
}

/* --- sections --------------------------------------------------------------------------------- */

static void read_daemon(struct reading *r, size_t line, const struct tree *v, struct config *c)
{
    setting_map(r, "daemon", line, v, daemon_settings, ARRAY_LEN(daemon_settings), &c->daemon);
    /* Nobody named: root, who can do all of it anyway. */
    struct allow *admin = &c->daemon.admin;
    if (v && tree_get(v, "admin"))
        return;
    if ((admin->uids = calloc(1, sizeof *admin->uids)))
        admin->n_uids = 1;
    else
        mistake(r->m, line, "daemon: no memory to read it");
}

/* Not there: nothing is served by HTTP. */
static void read_http(struct reading *r, size_t line, const struct tree *v, struct config *c)
{
    if (v)
        setting_map(r, "http", line, v, http_settings, ARRAY_LEN(http_settings), &c->http);
}

/* The only one; `tokens` has several. */
static void read_token(struct reading *r, size_t line, const struct tree *v, struct config *c)
{
    if (!v && c->n_tokens)
        return;
    if (v && c->n_tokens) {
        mistake(r->m, v->line, "token: stands beside 'tokens': one or several, not both");
        return;
    }
    if (!(c->tokens = calloc(1, sizeof *c->tokens))) {
        mistake(r->m, line, "token: no memory to read it");
        return;
    }
    c->n_tokens = 1;
    setting_map(r, "token", line, v, token_settings, ARRAY_LEN(token_settings), &c->tokens[0]);
}

static void read_tokens(struct reading *r, size_t line, const struct tree *v, struct config *c)
{
    char where[CONFIG_TOKEN_WHERE];

    if (!v)
        return;
    bool map = v->kind == TREE_MAP && v->n > 0 && v->n <= CONFIG_MAX_TOKENS;
    c->tokens = calloc(CONFIG_MAX_TOKENS, sizeof *c->tokens);
    if (!map || !c->tokens) {
        mistake(r->m, v->line, "tokens: wants a map of 1 to %u tokens, {main: {module: …, uri: …}, …}", CONFIG_MAX_TOKENS);
        c->n_tokens = c->tokens != NULL;     /* nobody misses 'token' */
        return;
    }
    for (size_t i = 0; i < v->n; i++) {
        const char *name = v->keys[i]->text;
        struct token_config *t = &c->tokens[c->n_tokens++];
        if (!ring_name_ok(name, strlen(name)))
            mistake(r->m, v->keys[i]->line, "tokens: '%.60s' is no token's name: a-z, 0-9 and '-', at most %u", name,
                    CONFIG_MAX_TOKEN_NAME);
        snprintf(t->name, sizeof t->name, "%s", name);
        setting_map(r, config_token_where(t, where), v->keys[i]->line, v->items[i], token_settings,
                    ARRAY_LEN(token_settings), t);
    }
}

/* By name, in their order; those that are not there are told of by checks. */
static void find_tokens(struct ring_config *ring, const struct config *c)
{
    for (size_t i = 0; i < ring->n_token_names && ring->n_tokens < CONFIG_MAX_TOKENS; i++)
        for (size_t k = 0; k < c->n_tokens; k++)
            if (strcmp(c->tokens[k].name, ring->token_names[i]) == 0)
                ring->tokens[ring->n_tokens++] = k;
    if (ring->n_token_names == 0 && c->n_tokens == 1)
        ring->n_tokens = 1;
}

static uint32_t longest_generation_ms(const struct ring_config *ring, const struct config *c)
{
    uint32_t longest = 0;

    for (size_t i = 0; i < ring->n_tokens; i++)
        if (c->tokens[ring->tokens[i]].generate_timeout_ms > longest)
            longest = c->tokens[ring->tokens[i]].generate_timeout_ms;
    return longest;
}

/* What a key's own row leaves out is the ring's. */
static void finish_ring(struct ring_config *ring, const struct config *c)
{
    struct ring_settings *s = &ring->settings;

    find_tokens(ring, c);
    s->generation_time = (longest_generation_ms(ring, c) + 999) / 1000;
    for (size_t i = 0; i < ring->n_outside; i++) {
        struct outside_key *k = &ring->outside[i];
        const struct token_config *t = k->token_name ? config_ring_token(c, ring, k->token_name) : NULL;
        k->token = t ? (size_t)(t - c->tokens) : ring->tokens[0];
        k->max_ttl = k->max_ttl < 0 ? s->max_ttl : k->max_ttl;
        k->skew = k->skew < 0 ? s->skew : k->skew;
        k->max_age = k->max_age < 0 ? s->max_age : k->max_age;
    }
}

static void read_rings(struct reading *r, size_t line, const struct tree *v, struct config *c)
{
    char where[SETTING_MAX_WHERE];

    if (v ? v->kind == TREE_MAP && v->n == 0 && v->partial : r->partial)
        return;
    if (!v || v->kind != TREE_MAP || v->n == 0 || v->n > MAX_RINGS || !(c->rings = calloc(v->n, sizeof *c->rings))) {
        mistake(r->m, v ? v->line : line, "rings: wants a map of 1 to %u rings", MAX_RINGS);
        return;
    }
    for (size_t i = 0; i < v->n; i++) {
        const char *name = v->keys[i]->text;
        struct ring_config *ring = &c->rings[c->n_rings++];
        if (!ring_name_ok(name, strlen(name)))
            mistake(r->m, v->keys[i]->line, "rings: '%.60s' is no ring's name: a-z, 0-9 and '-', at most %d", name,
                    RING_MAX_NAME);
        snprintf(ring->settings.name, sizeof ring->settings.name, "%s", name);
        snprintf(where, sizeof where, "rings.%.100s", name);
        size_t before = r->m->n;
        setting_map(r, where, v->keys[i]->line, v->items[i], ring_table, ARRAY_LEN(ring_table), ring);
        finish_ring(ring, c);
        v->items[i]->partial |= r->m->n > before;      /* its arithmetic would be of zeros */
    }
}

static bool profile_name_ok(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= MAX_PROFILE_NAME &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

/* A ttl that nobody wrote is none that the ring's keys would cut short. */
static void finish_profile(struct profile *p, const struct config *c, bool ttl_said)
{
    const struct ring_config *ring = p->ring ? config_ring(c, p->ring) : NULL;
    int64_t longest = ring ? promises_max_ttl(ring) : 0;

    if (!ttl_said && longest > 0 && longest < p->ttl_s)
        p->ttl_s = (uint32_t)longest;
    p->max_ttl_s = p->max_ttl_s ? p->max_ttl_s : p->ttl_s;
    p->deadline_ms = p->deadline_ms ? p->deadline_ms : c->daemon.deadline_ms;
}

static void read_profiles(struct reading *r, size_t line, const struct tree *v, struct config *c)
{
    char where[SETTING_MAX_WHERE];

    if (!v && r->partial)
        return;
    if (!v || v->kind != TREE_MAP || v->n > MAX_PROFILES || !(c->profiles = calloc(v->n + 1, sizeof *c->profiles))) {
        mistake(r->m, v ? v->line : line, "profiles: wants a map of 1 to %u profiles", MAX_PROFILES);
        return;
    }
    for (size_t i = 0; i < v->n; i++) {
        const char *name = v->keys[i]->text;
        struct profile *p = &c->profiles[c->n_profiles++];
        if (!profile_name_ok(name))
            mistake(r->m, v->keys[i]->line, "profiles: '%.60s' is no profile's name: letters, digits, '.', '_' and"
                    " '-', at most %u", name, MAX_PROFILE_NAME);
        if (!(p->name = strdup(name))) {
            mistake(r->m, v->keys[i]->line, "profiles: no memory to read it");
            c->n_profiles--;
            return;
        }
        snprintf(where, sizeof where, "profiles.%.100s", name);
        setting_map(r, where, v->keys[i]->line, v->items[i], profile_table, ARRAY_LEN(profile_table), p);
        finish_profile(p, c, tree_get(v->items[i], "ttl"));
    }
}

/* In this order: later ones look at earlier ones. */
static const struct {
    const char *name;
    void (*read)(struct reading *r, size_t line, const struct tree *v, struct config *c);
} sections[] = {
    { "daemon", read_daemon }, { "tokens", read_tokens }, { "token", read_token }, { "rings", read_rings },
    { "profiles", read_profiles }, { "http", read_http },
};

static void read_sections(struct reading *r, const struct tree *root, struct config *c)
{
    const char *known[ARRAY_LEN(sections)];

    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        known[i] = sections[i].name;
        sections[i].read(r, tree_line(root, sections[i].name), tree_get(root, sections[i].name), c);
    }
    snprintf(r->where, sizeof r->where, "the file");
    for (size_t i = 0; i < root->n; i++) {
        const char *name = root->keys[i]->text;
        bool ours = false;
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            ours |= strcmp(name, known[k]) == 0;
        if (!ours)
            setting_unknown(r, root->keys[i]->line, name, known, ARRAY_LEN(known));
    }
}

static struct config *parse(const char *text, size_t len, const char *file, const struct names *names, bool promised,
                            struct buf *mistakes)
{
    CLEANUP(mistakes_clear) struct mistakes m = { 0 };
    CLEANUP(tree_freep) struct tree *root = tree_read(text, len, &m);
    struct reading r = { .m = &m, .names = names, .partial = root && root->partial };
    CLEANUP(config_freep) struct config *c = root ? calloc(1, sizeof *c) : NULL;

    if (root && !c)
        mistake(&m, 1, "no memory to read it");
    if (c) {
        read_sections(&r, root, c);
        checks_run(c, root, &m);
        if (promised)
            promises_run(c, root, &m);
    }
    mistakes_tell(&m, file, mistakes);
    return m.n == 0 ? TAKE(c) : NULL;
}

struct config *config_parse(const char *text, size_t len, const char *file, const struct names *names,
                            struct buf *mistakes)
{
    return parse(text, len, file, names, true, mistakes);
}

struct config *config_parse_unpromised(const char *text, size_t len, const char *file, const struct names *names,
                                       struct buf *mistakes)
{
    return parse(text, len, file, names, false, mistakes);
}

/* --- the rest of its life ------------------------------------------------------------------------ */

static void token_clear(struct token_config *t)
{
    free(t->module);
    free(t->uri);
    free(t->pin_file);
    free(t->pin_credential);
}

static void outside_clear(struct outside_key *k)
{
    free(k->uri);
    free(k->token_name);
}

static void ring_clear(struct ring_config *r)
{
    for (size_t i = 0; i < r->n_outside; i++)
        outside_clear(&r->outside[i]);
    free(r->outside);
    for (size_t i = 0; i < r->n_token_names; i++)
        free(r->token_names[i]);
    free(r->token_names);
}

void config_free(struct config *c)
{
    if (!c)
        return;
    free(c->daemon.socket);
    free(c->daemon.admin_socket);
    allow_clear(&c->daemon.admin);
    free(c->http.listen);
    for (size_t i = 0; i < c->http.n_origins; i++)
        free(c->http.origins[i]);
    free(c->http.origins);
    for (size_t i = 0; i < c->n_tokens; i++)
        token_clear(&c->tokens[i]);
    free(c->tokens);
    for (size_t i = 0; i < c->n_rings; i++)
        ring_clear(&c->rings[i]);
    free(c->rings);
    for (size_t i = 0; i < c->n_profiles; i++)
        profile_clear(&c->profiles[i]);
    free(c->profiles);
    free(c);
}

/* --- one of several tokens ------------------------------------------------------------------------ */

const char *config_token_where(const struct token_config *t, char out[CONFIG_TOKEN_WHERE])
{
    snprintf(out, CONFIG_TOKEN_WHERE, t->name[0] ? "tokens.%s" : "token", t->name);
    return out;
}

const struct token_config *config_ring_token(const struct config *c, const struct ring_config *r, const char *name)
{
    for (size_t i = 0; i < r->n_tokens; i++)
        if (strcmp(c->tokens[r->tokens[i]].name, name) == 0)
            return &c->tokens[r->tokens[i]];
    return NULL;
}

/* False: the ring is not on that token. */
static bool ring_keep_token(struct ring_config *r, size_t token)
{
    size_t n = 0;
    bool there = false;

    for (size_t i = 0; i < r->n_tokens; i++)
        there |= r->tokens[i] == token;
    for (size_t i = 0; i < r->n_outside; i++)
        if (r->outside[i].token == token)
            r->outside[n++] = r->outside[i];
        else
            outside_clear(&r->outside[i]);
    r->n_outside = n;
    for (size_t i = 0; i < n; i++)
        r->outside[i].token = 0;
    r->tokens[0] = 0;
    r->n_tokens = 1;
    return there;
}

void config_keep_token(struct config *c, size_t token)
{
    const struct token_config kept = c->tokens[token];
    size_t n = 0;

    for (size_t i = 0; i < c->n_tokens; i++)
        if (i != token)
            token_clear(&c->tokens[i]);
    c->tokens[0] = kept;
    c->n_tokens = 1;
    for (size_t i = 0; i < c->n_rings; i++)
        if (ring_keep_token(&c->rings[i], token))
            c->rings[n++] = c->rings[i];
        else
            ring_clear(&c->rings[i]);
    c->n_rings = n;
}

/* --- what is asked of it ---------------------------------------------------------------------------- */

bool config_publishes(const struct config *c, const struct ring_config *r)
{
    for (size_t i = 0; i < c->n_profiles; i++)
        if (c->profiles[i].raw && c->profiles[i].ring && strcmp(c->profiles[i].ring, r->settings.name) == 0)
            return r->publish;
    return true;
}

const struct ring_config *config_ring(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_rings; i++)
        if (strcmp(c->rings[i].settings.name, name) == 0)
            return &c->rings[i];
    return NULL;
}

uint32_t config_descriptors(const struct config *c)
{
    return c->daemon.max_connections + DESCRIPTORS_BESIDE;
}

const struct profile *config_profile(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_profiles; i++)
        if (strcmp(c->profiles[i].name, name) == 0)
            return &c->profiles[i];
    return NULL;
}

static const char *differs(const char *section, const struct setting *table, size_t n, const void *a, const void *b)
{
    static char name[CONFIG_TOKEN_WHERE + 64];

    for (size_t i = 0; i < n; i++)
        if (table[i].flags & SETTING_RESTART && !setting_same(&table[i], a, b)) {
            snprintf(name, sizeof name, "%s.%s", section, table[i].name);
            return name;
        }
    return NULL;
}

const char *config_needs_restart(const struct config *was, const struct config *is)
{
    const char *name = differs("daemon", daemon_settings, ARRAY_LEN(daemon_settings), &was->daemon, &is->daemon);
    char where[CONFIG_TOKEN_WHERE];

    const char *listens = was->http.listen ? was->http.listen : "", *will_listen = is->http.listen ? is->http.listen : "";
    if (!name && strcmp(listens, will_listen) != 0)
        return "http.listen";
    if (!name && was->n_tokens != is->n_tokens)
        return "tokens";
    for (size_t i = 0; !name && i < was->n_tokens; i++)
        name = strcmp(was->tokens[i].name, is->tokens[i].name) != 0
               ? "tokens" : differs(config_token_where(&was->tokens[i], where), token_settings, ARRAY_LEN(token_settings),
                                    &was->tokens[i], &is->tokens[i]);
    return name;
}
