#include "daemon/policy/policy.h"

#include "proto/cleanup.h"
#include "proto/jose/claims.h"
#include "proto/jose/json.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CLAIMS 128u         /* members of a caller's claims: what a token in a header can sensibly hold */
#define MAX_TEXT 1024u          /* bytes of a subject or an audience */
#define MAX_JTI 128u            /* bytes */

/* Names of what must not be shown to everybody; anyone can read a payload. */
static const char *const secret_names[] = {
    "password", "passwd", "passphrase", "passcode", "pwd", "secret", "client_secret", "pin", "private_key", "privatekey",
    "api_key", "apikey", "credential", "credentials", "cvv",
};

/* --- who ------------------------------------------------------------------------ */

static bool has_id(const uint32_t *ids, size_t n, uint32_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static bool has_group(const struct allow *a, gid_t gid)
{
    return gid != POLICY_OVERFLOW_ID && has_id(a->gids, a->n_gids, gid);
}

bool allow_has(const struct allow *a, const struct caller *c)
{
    if (c->uid == POLICY_OVERFLOW_ID || c->uid == (uid_t)-1)
        return false;
    if (a->any || has_id(a->uids, a->n_uids, c->uid) || has_group(a, c->gid))
        return true;
    for (size_t i = 0; i < c->n_groups; i++)
        if (has_group(a, c->groups[i]))
            return true;
    return false;
}

static bool refuse_caller(const struct profile *p, const struct caller *c, const char *what, struct err *e)
{
    return err_set(e, ERR_CALLER_NOT_ALLOWED,
                   "profile '%s' does not let user '%s' (uid %u, gid %u) %s: add the user or a group to the profile's '%s'",
                   p->name, c->name ? c->name : "?", (unsigned)c->uid, (unsigned)c->gid, what, what);
}

bool policy_may_sign(const struct profile *p, const struct caller *c, struct err *e)
{
    return allow_has(&p->sign, c) || refuse_caller(p, c, "sign", e);
}

bool policy_may_verify(const struct profile *p, const struct caller *c, struct err *e)
{
    return allow_has(&p->verify, c) || refuse_caller(p, c, "verify", e);
}

/* --- the caller's claims -------------------------------------------------------- */

static bool listed(char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* For what is refused: a reader may take a name that differs in case for the one that is meant. */
static bool listed_in_any_case(char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (claims_same_name(names[i], name))
            return true;
    return false;
}

static bool is_secret_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(secret_names); i++)
        if (claims_same_name(secret_names[i], name))
            return true;
    return false;
}

/* The first name like a secret's inside a value, at any depth; NULL: none. Depth is bounded by the reader. */
static const char *secret_inside(json_t *v)
{
    const char *name, *found;
    json_t *inner;
    size_t i;

    json_object_foreach(v, name, inner) {
        if (is_secret_name(name))
            return name;
        if ((found = secret_inside(inner)))
            return found;
    }
    json_array_foreach(v, i, inner)
        if ((found = secret_inside(inner)))
            return found;
    return NULL;
}

static bool is_fixed(const struct profile *p, const char *name)
{
    for (size_t i = 0; i < p->n_fixed; i++)
        if (claims_same_name(p->fixed[i].name, name))
            return true;
    return false;
}

static bool claim_ok(const struct profile *p, const struct json_member *m, struct err *e)
{
    const char *ours = claims_registered(m->name), *secret;

    if (ours && strcmp(ours, m->name) == 0)
        return err_set(e, ERR_CLAIM_RESERVED, "profile '%s': claim '%s' is the daemon's to set", p->name, m->name);
    if (ours)
        return err_set(e, ERR_CLAIM_RESERVED, "profile '%s': claim '%s' differs from '%s', which is the daemon's to set,"
                       " in letter case only", p->name, m->name, ours);
    if (is_fixed(p, m->name))
        return err_set(e, ERR_CLAIM_RESERVED, "profile '%s': claim '%s' is fixed by the profile", p->name, m->name);
    if (listed_in_any_case(p->forbidden, p->n_forbidden, m->name))
        return err_set(e, ERR_CLAIM_NOT_ALLOWED, "profile '%s' forbids claim '%s'", p->name, m->name);
    bool allowed = listed(p->allowed, p->n_allowed, m->name);
    secret = !allowed && is_secret_name(m->name) ? m->name : NULL;
    /* Before the advice to allow it. */
    if (!secret && !allowed && !p->any_claim)
        return err_set(e, ERR_CLAIM_NOT_ALLOWED, "profile '%s' does not allow claim '%s': add it to the profile's"
                       " 'claims: {allowed: …}'", p->name, m->name);
    if (secret || (secret = secret_inside(m->value)))
        return err_set(e, ERR_CLAIM_SECRET, "profile '%s': '%s' is named like a secret, and anyone can read a token's"
                       " payload: leave it out", p->name, secret);
    return true;
}

static bool all_required(const struct profile *p, const struct wish *w, const struct json_member *m, size_t n,
                         struct err *e)
{
    for (size_t i = 0; i < p->n_required; i++) {
        const char *name = p->required[i];
        bool found = false;
        for (size_t k = 0; k < n; k++)
            found |= strcmp(m[k].name, name) == 0;
        if (strcmp(name, "sub") == 0) {
            if (!p->subject_is_caller && (!w->subject || !*w->subject))
                return err_set(e, ERR_SUBJECT_REQUIRED, "profile '%s' needs a subject", p->name);
        } else if (!found && !is_fixed(p, name)) {
            return err_set(e, ERR_CLAIM_REQUIRED, "profile '%s' needs claim '%s'", p->name, name);
        }
    }
    return true;
}

/* --- the payload ---------------------------------------------------------------- */

static bool full(const struct profile *p, struct err *e)
{
    return err_set(e, ERR_TOKEN_TOO_LARGE, "profile '%s': the payload would be too long: send fewer or shorter claims",
                   p->name);
}

static bool append_number(struct buf *out, int64_t n)
{
    char digits[21];
    size_t at = sizeof digits;
    uint64_t left = n < 0 ? -(uint64_t)n : (uint64_t)n;

    do
        digits[--at] = (char)('0' + left % 10);
    while (left /= 10);
    if (n < 0)
        digits[--at] = '-';
    return buf_append(out, digits + at, sizeof digits - at);
}

static bool append_named(struct buf *out, const char *name, const char *s)
{
    return buf_append_str(out, out->len && out->data[out->len - 1] != '{' ? "," : "") && json_append_string(out, name) &&
           buf_append_char(out, ':') && (!s || json_append_string(out, s));
}

static bool subject_of(const struct profile *p, const struct caller *c, const struct wish *w, const char **out,
                       struct err *e)
{
    bool given = w->subject && *w->subject;

    if (given && strlen(w->subject) > MAX_TEXT)
        return err_set(e, ERR_SUBJECT_NOT_ALLOWED, "profile '%s': a subject has at most %u bytes", p->name, MAX_TEXT);
    *out = given ? w->subject : NULL;
    if (!p->subject_is_caller)
        return true;
    if (!c->name)
        return err_set(e, ERR_CALLER_UNNAMED, "profile '%s' binds the subject to the caller, and uid %u has no user name"
                       " (signet reload, if the user is new)", p->name, (unsigned)c->uid);
    if (given && strcmp(w->subject, c->name) != 0)
        return err_set(e, ERR_SUBJECT_NOT_ALLOWED, "profile '%s' binds the subject to the caller: only '%s' is allowed",
                       p->name, c->name);
    *out = c->name;
    return true;
}

static bool append_audience(const struct profile *p, const struct wish *w, struct buf *out, struct err *e)
{
    for (size_t i = 0; i < w->n_audiences; i++) {
        if (!listed(p->audiences, p->n_audiences, w->audiences[i]))
            return err_set(e, ERR_AUDIENCE_NOT_ALLOWED, "profile '%s' does not allow audience '%.64s'", p->name,
                           w->audiences[i]);
        for (size_t k = 0; k < i; k++)
            if (strcmp(w->audiences[i], w->audiences[k]) == 0)
                return err_set(e, ERR_AUDIENCE_NOT_ALLOWED, "audience '%.64s' is asked for twice", w->audiences[i]);
    }
    if (w->n_audiences == 0 && p->n_audiences == 0)
        return true;
    if (w->n_audiences <= 1)
        return append_named(out, "aud", w->n_audiences ? w->audiences[0] : p->audiences[0]) || full(p, e);
    if (!append_named(out, "aud", NULL))
        return full(p, e);
    for (size_t i = 0; i < w->n_audiences; i++)
        if (!buf_append_char(out, i ? ',' : '[') || !json_append_string(out, w->audiences[i]))
            return full(p, e);
    return buf_append_char(out, ']') || full(p, e);
}

/* iat, exp, nbf; the key's promise caps what the profile would give, never what is refused. */
static bool append_times(const struct profile *p, const struct wish *w, int64_t now, int64_t key_max_ttl,
                         struct buf *out, struct verdict *v, struct err *e)
{
    int64_t ttl = w->ttl_s ? w->ttl_s : p->ttl_s;

    if (w->ttl_s > p->max_ttl_s)
        return err_set(e, ERR_TTL_TOO_LONG, "profile '%s': %u s asked, at most %u s are allowed", p->name, w->ttl_s,
                       p->max_ttl_s);
    if (ttl > key_max_ttl)
        ttl = key_max_ttl;
    v->expires_at = now + ttl;
    if (w->not_before && (w->not_before < 0 || w->not_before >= v->expires_at))
        return err_set(e, ERR_NOT_BEFORE_INVALID, "profile '%s': not-before must lie before the token's end in %lld s",
                       p->name, (long long)ttl);
    if (!append_named(out, "iat", NULL) || !append_number(out, now) || !append_named(out, "exp", NULL) ||
        !append_number(out, v->expires_at))
        return full(p, e);
    if (w->not_before && (!append_named(out, "nbf", NULL) || !append_number(out, w->not_before)))
        return full(p, e);
    return true;
}

static bool append_jti(const struct profile *p, const struct wish *w, const uint8_t random[16], struct buf *out,
                       struct verdict *v, struct err *e)
{
    if (w->jti && *w->jti) {
        size_t len = strlen(w->jti);
        bool ok = len <= MAX_JTI;
        for (size_t i = 0; ok && i < len; i++)
            ok = w->jti[i] > ' ' && w->jti[i] <= '~';
        if (!ok)
            return err_set(e, ERR_JTI_INVALID, "profile '%s': a jti has at most %u printable ASCII characters, no space",
                           p->name, MAX_JTI);
        memcpy(v->jti, w->jti, len + 1);
    } else {
        for (size_t i = 0; i < 16; i++) {
            v->jti[2 * i] = "0123456789abcdef"[random[i] >> 4];
            v->jti[2 * i + 1] = "0123456789abcdef"[random[i] & 15];
        }
        v->jti[32] = '\0';
    }
    return append_named(out, "jti", v->jti) || full(p, e);
}

static bool append_claims(const struct profile *p, const struct wish *w, struct buf *out, struct err *e)
{
    static const char none[] = "{}";
    const void *text = w->claims_len ? (const void *)w->claims : none;
    size_t len = w->claims_len ? w->claims_len : sizeof none - 1, n = 0;
    CLEANUP(freep) struct json_member *m = NULL;
    CLEANUP(json_decrefp) json_t *o = json_object_read(text, len, ERR_CLAIMS_MALFORMED, e);

    if (!o)
        return err_wrap(e, "the claims");
    if (json_object_size(o) > MAX_CLAIMS)
        return err_set(e, ERR_CLAIMS_MALFORMED, "%zu claims, more than %u", json_object_size(o), MAX_CLAIMS);
    if (!json_members(o, text, len, &m, &n, e))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!claim_ok(p, &m[i], e))
            return false;
    if (!all_required(p, w, m, n, e))
        return false;
    for (size_t i = 0; i < p->n_fixed; i++)
        if (!append_named(out, p->fixed[i].name, NULL) || !buf_append_str(out, p->fixed[i].json))
            return full(p, e);
    for (size_t i = 0; i < n; i++)
        if (!append_named(out, m[i].name, NULL) || !buf_append(out, m[i].text, m[i].text_len))
            return full(p, e);
    return true;
}

bool policy_payload(const struct profile *p, const struct caller *c, const struct wish *w, int64_t now,
                    int64_t key_max_ttl, const uint8_t random[16], struct buf *out,
                    struct verdict *v, struct err *e)
{
    const char *subject = NULL;
    struct verdict got = { 0 };
    size_t before = out->len;

    if (subject_of(p, c, w, &subject, e) &&
        ((buf_append_char(out, '{') && append_named(out, "iss", p->issuer) &&
          (!subject || append_named(out, "sub", subject))) || full(p, e)) &&
        append_audience(p, w, out, e) && append_times(p, w, now, key_max_ttl, out, &got, e) &&
        append_jti(p, w, random, out, &got, e) && append_claims(p, w, out, e) &&
        (buf_append_char(out, '}') || full(p, e))) {
        *v = got;
        return true;
    }
    out->len = before;
    return false;
}

/* --- rate ----------------------------------------------------------------------- */

bool rate_take(struct rate *r, uint32_t rate_per_s, int64_t now_ms, struct err *e)
{
    if (rate_per_s == 0)
        return true;
    if (!r->started) {
        *r = (struct rate){ .at_ms = now_ms, .tokens = rate_per_s, .started = true };
    } else if (now_ms > r->at_ms) {
        r->tokens += (double)(now_ms - r->at_ms) * rate_per_s / 1000;
        r->at_ms = now_ms;
    }
    if (r->tokens > rate_per_s)
        r->tokens = rate_per_s;
    if (r->tokens >= 1) {
        r->tokens -= 1;
        return true;
    }
    err_set(e, ERR_RATE_LIMITED, "more than %u requests a second", rate_per_s);
    e->retry_after_ms = (uint32_t)((1 - r->tokens) * 1000 / rate_per_s) + 1;
    return false;
}

/* --- life ----------------------------------------------------------------------- */

static void free_all(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

void allow_clear(struct allow *a)
{
    free(a->uids);
    free(a->gids);
    memset(a, 0, sizeof *a);
}

void profile_clear(struct profile *p)
{
    free(p->name);
    free(p->ring);
    free(p->issuer);
    free(p->typ);
    free_all(p->audiences, p->n_audiences);
    free_all(p->allowed, p->n_allowed);
    free_all(p->required, p->n_required);
    free_all(p->forbidden, p->n_forbidden);
    for (size_t i = 0; i < p->n_fixed; i++) {
        free(p->fixed[i].name);
        free(p->fixed[i].json);
    }
    free(p->fixed);
    allow_clear(&p->sign);
    allow_clear(&p->verify);
    memset(p, 0, sizeof *p);
}
