#include "daemon/config/strands.h"

#include "daemon/config/promises.h"
#include "daemon/config/sum.h"
#include "proto/jose/claims.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_TOLD (64u * 1024)      /* bytes; what is told first decides */

struct comparing {
    const struct config *was, *is;
    const int64_t *quiet_s;
    int64_t now;
    struct strands *out;
};

void strands_init(struct strands *s)
{
    *s = (struct strands){ 0 };
    buf_init(&s->refused, MAX_TOLD);
    buf_init(&s->warned, MAX_TOLD);
}

void strands_clear(struct strands *s)
{
    buf_clear(&s->refused);
    buf_clear(&s->warned);
}

enum told { WARNED, REFUSED };

static void tell(struct strands *out, enum told how, const struct sum *sum, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void tell(struct strands *out, enum told how, const struct sum *sum, const char *fmt, ...)
{
    struct buf *to = how == REFUSED ? &out->refused : &out->warned;
    char sentence[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    out->is_refused |= how == REFUSED;
    buf_append_str(to, sentence);
    sum_write(sum, to);
    buf_append_char(to, '\n');
}

/* --- how long tokens live ------------------------------------------------------------------------ */

/* The key of the ring that lets tokens live longest, by what the file says. */
static struct outside_key longest_lived(const struct ring_config *r)
{
    struct outside_key longest = { .max_ttl = r->settings.max_ttl, .skew = r->settings.skew };

    for (size_t i = 0; i < r->n_outside; i++)
        if (r->outside[i].max_ttl + r->outside[i].skew > longest.max_ttl + longest.skew)
            longest = r->outside[i];
    return longest;
}

/* For how long at most tokens of a profile of `was` still live; 0: all have ended. */
static int64_t life_left(const struct comparing *c, size_t profile)
{
    struct outside_key key = longest_lived(config_ring(c->was, c->was->profiles[profile].ring));
    int64_t left = key.max_ttl + key.skew - c->quiet_s[profile];

    return left > 0 ? left : 0;
}

/* The profile of that ring whose tokens live longest; -1: none has any. */
static ptrdiff_t last_user(const struct comparing *c, const char *ring)
{
    ptrdiff_t last = -1;

    for (size_t i = 0; i < c->was->n_profiles; i++)
        if (strcmp(c->was->profiles[i].ring, ring) == 0 && life_left(c, i) > 0 &&
            (last < 0 || life_left(c, i) > life_left(c, (size_t)last)))
            last = (ptrdiff_t)i;
    return last;
}

static struct sum life_sum(const struct comparing *c, size_t profile)
{
    struct outside_key key = longest_lived(config_ring(c->was, c->was->profiles[profile].ring));
    struct sum sum = { 0 };

    sum_span(&sum, "max_ttl", key.max_ttl, "a token may live so long");
    sum_span(&sum, "skew", key.skew, "clocks differ");
    if (c->quiet_s[profile])
        sum_span(&sum, "no 'sign'", -c->quiet_s[profile], "nobody has been allowed to sign");
    sum_span(&sum, "tokens live", life_left(c, profile), "at most, from now");
    return sum;
}

static void write_end(const struct comparing *c, size_t profile, char out[VALUE_MAX])
{
    value_time_write(c->now + life_left(c, profile), out);
}

/* --- rings ------------------------------------------------------------------------------------------- */

/* Whether others find the ring's keys in a key set: all but a raw profile's, which says so. */
static bool is_published(const struct config *c, const struct ring_config *r)
{
    for (size_t i = 0; i < c->n_profiles; i++)
        if (c->profiles[i].raw && strcmp(c->profiles[i].ring, r->settings.name) == 0)
            return r->publish;
    return true;
}

/* The first of its tokens that it is taken from; NULL: none. */
static const char *token_gone(const struct comparing *c, const struct ring_config *was, const struct ring_config *is)
{
    for (size_t i = 0; i < was->n_tokens; i++)
        if (!config_ring_token(c->is, is, c->was->tokens[was->tokens[i]].name))
            return c->was->tokens[was->tokens[i]].name;
    return NULL;
}

static void compare_ring(const struct comparing *c, const struct ring_config *was, const struct ring_config *is)
{
    const char *name = was->settings.name;
    ptrdiff_t user = last_user(c, name);
    char end[VALUE_MAX];

    if (user < 0)
        return;
    struct sum sum = life_sum(c, (size_t)user);
    write_end(c, (size_t)user, end);
    if (!is)
        tell(c->out, REFUSED, &sum, "rings.%s: is taken away, and tokens of profile '%s' may live until %s: nobody could"
             " verify them; keep it and its profile, without 'sign', until then, or restart", name,
             c->was->profiles[user].name, end);
    else if (token_gone(c, was, is))
        tell(c->out, REFUSED, &sum, "rings.%s.tokens: '%s' is taken away, and tokens of profile '%s' that its keys signed may"
             " live until %s: nobody could verify them; keep it as the last of them until then, or restart", name,
             token_gone(c, was, is), c->was->profiles[user].name, end);
    else if (was->alg->family != ALG_HMAC && is_published(c->was, was) && !is_published(c->is, is))
        tell(c->out, REFUSED, &sum, "rings.%s: is no longer published, and tokens of profile '%s' may live until %s: others"
             " could not verify them; keep it published ('publish: yes') until then, or restart", name,
             c->was->profiles[user].name, end);
}

/* --- profiles ------------------------------------------------------------------------------------------ */

static bool has(const struct profile *p, const char *audience)
{
    for (size_t i = 0; i < p->n_audiences; i++)
        if (strcmp(p->audiences[i], audience) == 0)
            return true;
    return false;
}

static bool takes(const struct profile *p, const struct profile *was, const char *audience)
{
    return !p->raw && strcmp(p->issuer, was->issuer) == 0 && claims_typ_same(p->typ, was->typ) && has(p, audience);
}

/* Who takes tokens of a profile now: `ring` is another than theirs where somebody looks for their key in vain. */
struct taken { const char *audience; const char *ring; };

/* The first audience whose tokens nobody takes with their own ring's keys; none: all are taken. */
static struct taken not_taken(const struct comparing *c, const struct profile *was)
{
    struct taken t = { NULL, NULL };

    for (size_t i = 0; i < was->n_audiences; i++) {
        bool taken = false;
        const char *other = NULL;
        for (size_t k = 0; k < c->is->n_profiles && !taken; k++) {
            const struct profile *p = &c->is->profiles[k];
            if (!takes(p, was, was->audiences[i]))
                continue;
            taken = strcmp(p->ring, was->ring) == 0;
            other = p->ring;
        }
        if (!taken && (!t.audience || (other && !t.ring)))
            t = (struct taken){ was->audiences[i], other };
    }
    return t;
}

/* What is different in how tokens are judged. */
static void difference(const struct profile *was, const struct profile *is, const char *audience, char out[320])
{
    if (!is)
        snprintf(out, 320, "is gone");
    else if (is->raw != was->raw)
        snprintf(out, 320, was->raw ? "is no longer raw" : "is raw");
    else if (strcmp(was->issuer, is->issuer) != 0)
        snprintf(out, 320, "its issuer was '%.100s' and is '%.100s'", was->issuer, is->issuer);
    else if (!claims_typ_same(was->typ, is->typ))
        snprintf(out, 320, "its typ was '%.64s' and is '%.64s'", was->typ, is->typ);
    else
        snprintf(out, 320, "audience '%.100s' is none of it any more", audience);
}

static void compare_profile(const struct comparing *c, size_t i)
{
    const struct profile *was = &c->was->profiles[i], *is = config_profile(c->is, was->name);
    struct taken t = was->raw ? (struct taken){ NULL, NULL } : not_taken(c, was);
    bool same = was->raw ? is && is->raw && strcmp(is->ring, was->ring) == 0 : !t.audience;
    char end[VALUE_MAX], what[320];

    /* A ring that goes is told already. */
    if (same || life_left(c, i) == 0 || !config_ring(c->is, was->ring))
        return;
    if (!t.ring && is && strcmp(is->ring, was->ring) != 0)
        t.ring = is->ring;
    struct sum sum = life_sum(c, i);
    write_end(c, i, end);
    if (t.ring) {
        tell(c->out, REFUSED, &sum, "profiles.%s: ring '%s' would sign in place of '%s', whose tokens may live until %s and"
             " would be rejected; change ring '%s' itself, or give '%s' a profile and an audience of its own, or restart",
             was->name, t.ring, was->ring, end, was->ring, t.ring);
        return;
    }
    difference(was, is, t.audience, what);
    tell(c->out, WARNED, &sum, "profiles.%s: %s: tokens of before, which may live until %s, are rejected from now on",
         was->name, what, end);
}

/* --- keys made elsewhere ------------------------------------------------------------------------------------ */

/* A ring of both configurations. */
struct keeping {
    const struct comparing *c;
    const struct ring_config *was, *is;
};

static const struct outside_key *find(const struct ring_config *r, const char *uri)
{
    for (size_t i = 0; i < r->n_outside; i++)
        if (strcmp(r->outside[i].uri, uri) == 0)
            return &r->outside[i];
    return NULL;
}

/*
 * When the last token of it has ended, INT64_MAX: nothing says. Certain is it
 * where another key of the file follows; else the ring rotates from it, if it can.
 */
static int64_t ends_at(const struct ring_config *r, const struct outside_key *k, bool *out_certain)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < r->n_outside; i++)
        if (r->outside[i].activates_at > k->activates_at && r->outside[i].activates_at < next)
            next = r->outside[i].activates_at;
    *out_certain = next != INT64_MAX;
    if (!*out_certain && r->settings.rotate_every)
        next = k->activates_at + r->settings.rotate_every;
    return next == INT64_MAX ? next : next + k->max_ttl + k->skew;
}

/* A key signs at a time at which copies of the key set without it, given out under the longer promise, may be in use. */
static void compare_time(const struct keeping *k, const struct outside_key *key)
{
    const struct ring_settings *was = &k->was->settings;
    struct ring_settings s = k->is->settings;
    const struct ring_promise kept = promises_of(k->was);
    char at[VALUE_MAX], soonest[VALUE_MAX];
    struct sum sum = { 0 };

    s.max_age = was->max_age > s.max_age ? was->max_age : s.max_age;
    s.skew = was->skew > s.skew ? was->skew : s.skew;
    struct ring_sum known = ring_known(&s, &kept);
    if (key->activates_at >= k->c->now + known.sum)
        return;
    for (size_t i = 0; i < known.n_terms; i++)
        sum_span(&sum, known.terms[i].setting, known.terms[i].value, "%s", known.terms[i].why);
    sum_span(&sum, "from now", known.sum, "until it may sign");
    value_time_write(key->activates_at, at);
    value_time_write(k->c->now + known.sum, soonest);
    tell(k->c->out, REFUSED, &sum, "rings.%s.keys: '%.80s' would sign from %s on, before every verifier can know it: let it"
         " begin at %s or later, or restart if the ring has no other key", s.name, key->uri, at, soonest);
}

static void tell_gone(const struct keeping *k, const struct outside_key *key, int64_t end)
{
    const char *ring = k->was->settings.name;
    char at[VALUE_MAX];
    struct sum sum = { 0 };

    sum_span(&sum, "max_ttl", key->max_ttl, "a token of it may live so long");
    sum_span(&sum, "skew", key->skew, "clocks differ");
    sum_span(&sum, "tokens live", key->max_ttl + key->skew, "at most, from when another key signs");
    value_time_write(end, at);
    if (end <= k->c->now)
        tell(k->c->out, WARNED, &sum, "rings.%s.keys: '%.80s' is gone: if the ring rotated in time, its last token ended at"
             " %s, else tokens are rejected from now on", ring, key->uri, at);
    else
        tell(k->c->out, REFUSED, &sum, "rings.%s.keys: '%.80s' is taken away while its tokens may live%s%s: keep it until"
             " they have ended, or restart", ring, key->uri, end == INT64_MAX ? "" : " until ", end == INT64_MAX ? "" : at);
}

static void compare_promises(const struct keeping *k, const struct outside_key *was, const struct outside_key *is)
{
    const struct { const char *name; int64_t was, is; } promises[] = {
        { "max_ttl", was->max_ttl, is->max_ttl }, { "skew", was->skew, is->skew }, { "max_age", was->max_age, is->max_age },
    };
    char before[VALUE_MAX], after[VALUE_MAX];

    for (size_t i = 0; i < ARRAY_LEN(promises); i++) {
        if (promises[i].is >= promises[i].was)
            continue;
        value_duration_write(promises[i].was * 1000, before);
        value_duration_write(promises[i].is * 1000, after);
        tell(k->c->out, REFUSED, &(struct sum){ 0 }, "rings.%s.keys: '%.80s' has promised %s %s and would promise %s, which"
             " is less than it gave: write '%s: %s' beside its uri, or restart", k->was->settings.name, was->uri,
             promises[i].name, before, after, promises[i].name, before);
    }
}

static void compare_key(const struct keeping *k, const struct outside_key *was)
{
    const struct outside_key *is = find(k->is, was->uri);
    bool certain, signs = was->activates_at <= k->c->now;
    int64_t end = ends_at(k->was, was, &certain);
    char at[VALUE_MAX];

    if (certain && end <= k->c->now)
        return;
    if (is)
        compare_promises(k, was, is);
    else if (signs)
        tell_gone(k, was, end);
    if (!is || is->activates_at == was->activates_at)
        return;
    value_time_write(was->activates_at, at);
    if (signs)
        tell(k->c->out, REFUSED, &(struct sum){ 0 }, "rings.%s.keys: '%.80s' has signed since %s, and another time would"
             " move the end of the key before it: leave its time, or restart", k->was->settings.name, was->uri, at);
    else
        compare_time(k, is);
}

static void compare_keys(const struct keeping *k)
{
    if (last_user(k->c, k->was->settings.name) < 0)
        return;
    for (size_t i = 0; i < k->was->n_outside; i++)
        compare_key(k, &k->was->outside[i]);
    for (size_t i = 0; i < k->is->n_outside; i++)
        if (!find(k->was, k->is->outside[i].uri))
            compare_time(k, &k->is->outside[i]);
}

void strands_find(const struct config *was, const struct config *is, const int64_t *quiet_s, int64_t now,
                  struct strands *out)
{
    const struct comparing c = { was, is, quiet_s, now, out };

    for (size_t i = 0; i < was->n_rings; i++) {
        const struct keeping k = { &c, &was->rings[i], config_ring(is, was->rings[i].settings.name) };
        compare_ring(&c, k.was, k.is);
        if (k.is)
            compare_keys(&k);
    }
    for (size_t i = 0; i < was->n_profiles; i++)
        compare_profile(&c, i);
}
