#include "daemon/config/promises.h"

#include "daemon/config/sum.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_TEXT 3072u             /* bytes of a sentence and its table */
#define MAX_SHOWN 8u               /* rings of a key set that is too large; the others are summed up */

struct promising {
    const struct config *c;
    const struct tree *root;
    struct mistakes *m;
};

/* A sentence, and the sum that shows it. */
static void break_promise(const struct promising *p, size_t line, const struct sum *sum, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void break_promise(const struct promising *p, size_t line, const struct sum *sum, const char *fmt, ...)
{
    CLEANUP(buf_clear) struct buf table;
    char sentence[512];
    va_list args;

    buf_init(&table, MAX_TEXT);
    va_start(args, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    sum_write(sum, &table);
    mistake(p->m, line, "%s%.*s", sentence, (int)table.len, table.data ? (const char *)table.data : "");
}

/* --- a ring ----------------------------------------------------------------------------------- */

struct ring_promise promises_of(const struct ring_config *r)
{
    struct ring_promise longest = { 0, 0 };

    for (size_t i = 0; i < r->n_outside; i++) {
        const struct outside_key *k = &r->outside[i];
        longest.max_age = k->max_age > longest.max_age ? k->max_age : longest.max_age;
        longest.skew = k->skew > longest.skew ? k->skew : longest.skew;
    }
    return longest;
}

int64_t promises_max_ttl(const struct ring_config *r)
{
    int64_t longest = r->settings.max_ttl;

    for (size_t i = 0; i < r->n_outside; i++)
        longest = r->outside[i].max_ttl > longest ? r->outside[i].max_ttl : longest;
    return longest;
}

static void tell_ring(const struct promising *p, const char *ring, const struct ring_sum *broken)
{
    const char *bound = broken->at_most ? "at most" : "at least";
    size_t line = tree_line_of(p->root, "rings", ring, broken->setting);
    char is[VALUE_MAX], must[VALUE_MAX];
    struct sum sum = { 0 };

    if (broken->n_terms == 0) {
        mistake(p->m, line, "rings.%s: %s", ring, broken->otherwise);
        return;
    }
    for (size_t i = 0; i < broken->n_terms; i++)
        sum_span(&sum, broken->terms[i].setting, broken->terms[i].value, "%s", broken->terms[i].why);
    value_duration_write(broken->is * 1000, is);
    value_duration_write(broken->sum * 1000, must);
    sum_span(&sum, broken->setting, broken->sum, "%s; it is %s", bound, is);
    break_promise(p, line, &sum, "rings.%s: %s is %s and must be %s %s, %s", ring, broken->setting, is, bound, must,
                  broken->otherwise);
}

static void check_ring(const struct promising *p, const struct ring_config *r)
{
    const struct ring_promise kept = promises_of(r);
    struct ring_sum broken[RING_MAX_SUMS];
    size_t n = ring_check(&r->settings, &kept, broken);

    for (size_t i = 0; i < n; i++)
        tell_ring(p, r->settings.name, &broken[i]);
}

/* --- a profile ---------------------------------------------------------------------------------- */

static void check_ttl(const struct promising *p, const struct profile *of, const char *setting, int64_t is)
{
    const struct ring_config *r = config_ring(p->c, of->ring);
    int64_t longest = promises_max_ttl(r);
    char said[VALUE_MAX], must[VALUE_MAX];
    struct sum sum = { 0 };

    if (is <= longest || !tree_has(p->root, "profiles", of->name, setting))
        return;
    value_duration_write(is * 1000, said);
    value_duration_write(longest * 1000, must);
    sum_span(&sum, longest > r->settings.max_ttl ? "keys: max_ttl" : "max_ttl", longest, "of ring '%s': no key lets a token"
             " live longer", of->ring);
    sum_span(&sum, setting, longest, "at most; it is %s", said);
    break_promise(p, tree_line_of(p->root, "profiles", of->name, setting), &sum, "profiles.%.64s.%s: is %s and must be at"
                  " most %s, or tokens would end sooner than it says", of->name, setting, said, must);
}

static bool is_read(const struct promising *p, const char *ring)
{
    return ring && config_ring(p->c, ring) && tree_whole(p->root, "rings", ring);
}

static void check_profile(const struct promising *p, const struct profile *of)
{
    if (of->raw || !tree_whole(p->root, "profiles", of->name) || !is_read(p, of->ring))
        return;
    check_ttl(p, of, "ttl", of->ttl_s);
    check_ttl(p, of, "max_ttl", of->max_ttl_s);
}

/* --- a key set ------------------------------------------------------------------------------------ */

struct crowd { const struct ring_config *ring; int64_t n; };

/* Whether the profile's keys are, as far as it can say, in that issuer's key set. */
static bool is_beside(const struct profile *p, const char *issuer)
{
    /* A raw profile has no issuer: its ring, where it is published, is beside anyone's. */
    return p->ring && (p->raw || (issuer && p->issuer && strcmp(p->issuer, issuer) == 0));
}

static bool is_public(const struct profile *p, const struct ring_config *r)
{
    return r && r->alg && r->alg->family != ALG_HMAC && (!p->raw || r->publish);
}

static int by_number(const void *a, const void *b)
{
    const struct crowd *x = a, *y = b;

    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return strcmp(x->ring->settings.name, y->ring->settings.name);
}

/* On each of its tokens the ring has keys of its own. */
static int64_t most_published(const struct ring_config *r)
{
    int64_t more = r->n_tokens > 1 ? (int64_t)r->n_tokens - 1 : 0;

    return ring_most_published(&r->settings, r->n_outside) + more * ring_most_published(&r->settings, 0);
}

/* The rings of an issuer's key set, the largest first; how many. */
static size_t crowd_of(const struct config *c, const char *issuer, struct crowd *out)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_profiles; i++) {
        const struct profile *p = &c->profiles[i];
        const struct ring_config *r = is_beside(p, issuer) ? config_ring(c, p->ring) : NULL;
        bool there = !is_public(p, r);
        for (size_t k = 0; !there && k < n; k++)
            there = out[k].ring == r;
        if (!there)
            out[n++] = (struct crowd){ r, most_published(r) };
    }
    qsort(out, n, sizeof *out, by_number);
    return n;
}

static void explain(struct sum *sum, const struct crowd *of)
{
    const struct ring_settings *s = &of->ring->settings;
    int64_t n_retired = of->n - 2 - (int64_t)of->ring->n_outside;

    if (of->ring->n_tokens > 1)
        sum_count(sum, s->name, of->n, "%lld on each of %zu tokens, %zu of keys",
                  (long long)ring_most_published(s, 0), of->ring->n_tokens, of->ring->n_outside);
    else if (s->rotate_every == 0)
        sum_count(sum, s->name, of->n, of->ring->n_outside ? "all of its keys" : "never rotates");
    else if (of->ring->n_outside)
        sum_count(sum, s->name, of->n, "active, next, %lld retired, %zu of keys", (long long)n_retired, of->ring->n_outside);
    else
        sum_count(sum, s->name, of->n, "active, next, %lld retired", (long long)n_retired);
}

static void check_key_set(const struct promising *p, const struct profile *first, struct crowd *rings)
{
    size_t n = crowd_of(p->c, first->issuer, rings);
    int64_t total = 0, others = 0;
    struct sum sum = { 0 };

    for (size_t i = 0; i < n; i++) {
        total += rings[i].n;
        if (i < MAX_SHOWN)
            explain(&sum, &rings[i]);
        else
            others += rings[i].n;
    }
    if (total <= RING_MAX_PUBLISHED)
        return;
    if (n > MAX_SHOWN)
        sum_count(&sum, "others", others, "of %zu rings more", n - MAX_SHOWN);
    sum_count(&sum, "keys", total, "at once, at most; it may be %d", RING_MAX_PUBLISHED);
    break_promise(p, tree_line_of(p->root, "profiles", first->name, "issuer"), &sum, "profiles.%.64s: the key set of issuer"
                  " '%.80s' may come to %lld keys, and there are verifiers that read no more than %d: let its profiles share"
                  " rings", first->name, first->issuer ? first->issuer : "(none)", (long long)total, RING_MAX_PUBLISHED);
}

static bool is_first_of_issuer(const struct config *c, size_t i)
{
    const char *issuer = c->profiles[i].issuer;

    for (size_t k = 0; k < i; k++) {
        const char *other = c->profiles[k].issuer;
        if (issuer == other || (issuer && other && strcmp(issuer, other) == 0))
            return false;
    }
    return true;
}

static void check_key_sets(const struct promising *p)
{
    CLEANUP(freep) struct crowd *rings = calloc(p->c->n_rings + 1, sizeof *rings);

    if (!rings)
        mistake(p->m, 1, "no memory to count keys");
    for (size_t i = 0; rings && i < p->c->n_profiles; i++)
        if (is_first_of_issuer(p->c, i))
            check_key_set(p, &p->c->profiles[i], rings);
}

void promises_run(const struct config *c, const struct tree *root, struct mistakes *m)
{
    struct promising p = { c, root, m };

    for (size_t i = 0; i < c->n_rings; i++) {
        const struct ring_settings *s = &c->rings[i].settings;
        /* No generation time: it could not be read. */
        if (tree_whole(root, "rings", s->name) && tree_whole(root, "token", NULL) && tree_whole(root, "tokens", NULL) &&
            s->generation_time > 0)
            check_ring(&p, &c->rings[i]);
    }
    for (size_t i = 0; i < c->n_profiles; i++)
        check_profile(&p, &c->profiles[i]);
    if (tree_whole(root, "rings", NULL) && tree_whole(root, "profiles", NULL))
        check_key_sets(&p);
}
