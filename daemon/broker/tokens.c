#include "daemon/broker/tokens.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/role.h"

#include <string.h>

#define LOOK_MS 200                  /* between looks at who can sign */

/* Whose turn it is to sign for a ring of several tokens. */
struct shift {
    char ring[RING_MAX_NAME + 1];
    size_t tokens[CONFIG_MAX_TOKENS]; size_t n;
    size_t at;                       /* in the ring's tokens: signs, if it can */
    struct {
        bool can, known;             /* sign; by verifiers, the key that it signs with, or did last */
        int64_t since_ms;            /* steady: of `can` */
        int64_t failing_ms;          /* steady: since when it cannot, or could not for long; 0: all is well */
        struct err why;
    } of[CONFIG_MAX_TOKENS];         /* in the ring's order */
};

/* --- their life -------------------------------------------------------------------------------- */

static void on_serving(void *ctx)
{
    struct broker_token *t = ctx;

    t->serving = true;
    broker_serving(t->broker);
}

/* On one that comes before it in the configuration. */
static bool is_elsewhere(void *ctx, const char *kid)
{
    const struct broker_token *t = ctx;

    for (size_t i = 0; i < t->index; i++) {
        const struct keys *k = t->broker->tokens[i]->keys;
        for (size_t n = 0; n < keys_count(k); n++)
            if (keys_at(k, n)->ring[0] && strcmp(keys_at(k, n)->kid, kid) == 0)
                return true;
    }
    return false;
}

static struct broker_token *token_new(struct broker *b, size_t index, const struct pool_hooks *signers)
{
    struct broker_token *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->broker = b;
    t->index = index;
    pool_init(&t->signers, b->base, LANE_SIGNERS + index, "signer", signers);
    t->signers.others = (unsigned)index * ROLE_APART;
    if (!(t->keys = keys_new(b->base, &t->signers, &b->verifiers, on_serving, t))) {
        free(t);
        return NULL;
    }
    if (index > 0)
        keys_shun(t->keys, is_elsewhere);
    return t;
}

static struct shift *shift_of(struct broker *b, const struct ring_config *r)
{
    for (size_t i = 0; i < b->n_shifts; i++)
        if (strcmp(b->shifts[i].ring, r->settings.name) == 0)
            return &b->shifts[i];
    return NULL;
}

/* Whose turn it was it stays, and what is known of each, where the tokens are in another order too. */
static void keep_shift(const struct shift *old, struct shift *to)
{
    for (size_t i = 0; i < to->n; i++)
        for (size_t k = 0; k < old->n; k++)
            if (old->tokens[k] == to->tokens[i]) {
                to->of[i] = old->of[k];
                if (old->at == k)
                    to->at = i;
            }
}

static bool use_shifts(struct broker *b)
{
    const struct config *c = b->conf->config;
    struct shift *shifts = calloc(c->n_rings + 1, sizeof *shifts);

    if (!shifts)
        return false;
    for (size_t i = 0; i < c->n_rings; i++) {
        const struct ring_config *r = &c->rings[i];
        const struct shift *old = shift_of(b, r);
        memcpy(shifts[i].ring, r->settings.name, sizeof shifts[i].ring);
        memcpy(shifts[i].tokens, r->tokens, sizeof shifts[i].tokens);
        shifts[i].n = r->n_tokens;
        if (old)
            keep_shift(old, &shifts[i]);
    }
    free(b->shifts);
    b->shifts = shifts;
    b->n_shifts = c->n_rings;
    return true;
}

bool tokens_use(struct broker *b, const struct pool_hooks *signers)
{
    const struct daemon_config *d = &b->conf->config->daemon;

    while (b->n_tokens < b->conf->config->n_tokens) {
        if (!(b->tokens[b->n_tokens] = token_new(b, b->n_tokens, signers)))
            return false;
        b->n_tokens++;
    }
    for (size_t i = 0; i < b->n_tokens; i++) {
        b->tokens[i]->signers.max_queue = d->max_queue_per_uid;
        keys_use(b->tokens[i]->keys, conf_of_token(b->conf, i));
    }
    return use_shifts(b);
}

void tokens_clear(struct broker *b)
{
    for (size_t i = 0; i < b->n_tokens; i++)
        pool_clear(&b->tokens[i]->signers);
    for (size_t i = 0; i < b->n_tokens; i++) {
        keys_free(b->tokens[i]->keys);
        free(b->tokens[i]);
    }
    free(b->shifts);
}

struct broker_token *tokens_of_signer(struct broker *b, uint32_t number)
{
    return number / ROLE_APART < b->n_tokens ? b->tokens[number / ROLE_APART] : NULL;
}

struct broker_token *tokens_of_pool(struct broker *b, const struct pool *p)
{
    for (size_t i = 0; i < b->n_tokens; i++)
        if (&b->tokens[i]->signers == p)
            return b->tokens[i];
    return NULL;
}

const char *token_name(const struct broker_token *t)
{
    return t->broker->conf->config->tokens[t->index].name;
}

/* --- whose turn it is ----------------------------------------------------------------------------- */

static struct broker_token *token_at(struct broker *b, const struct ring_config *r, size_t i)
{
    return b->tokens[r->tokens[i]];
}

static struct held *signer_at(struct broker *b, const struct ring_config *r, size_t i, int64_t now, struct err *e)
{
    struct broker_token *t = token_at(b, r, i);

    return pool_serves(&t->signers, e) ? keys_signer(t->keys, r->settings.name, now, e) : NULL;
}

/* For as long as copies of the key set may be in use. */
static int64_t copies_ms(const struct ring_config *r)
{
    return (r->settings.max_age + r->settings.skew) * 1000;
}

/* Where it was left out lately, some do not. */
static bool all_copies_have(const struct ring_config *r, const struct broker_token *t)
{
    return t->left_out_ms == 0 || clock_steady_ms() - t->left_out_ms > copies_ms(r);
}

/* A key that was made a moment ago is in no verifier's copy of the key set yet. */
static bool is_known(struct broker *b, const struct ring_config *r, size_t i, int64_t now)
{
    struct err e;
    const struct ring *ring = keys_ring(token_at(b, r, i)->keys, r->settings.name, &e);
    const struct ring_key *signer = ring ? ring_signer(ring, now, &e) : NULL;

    return signer && ring_is_known(ring, signer, now) && all_copies_have(r, token_at(b, r, i));
}

/* One that comes back for a moment, again and again, is not back. */
static void look_at(struct broker *b, const struct ring_config *r, struct shift *shift, size_t i, int64_t now)
{
    int64_t steady_ms = clock_steady_ms();
    struct err why = { 0 };
    bool can = signer_at(b, r, i, now, &why) != NULL;

    if (shift->of[i].since_ms == 0 || can != shift->of[i].can)
        shift->of[i].since_ms = steady_ms;
    shift->of[i].can = can;
    if (can) {
        shift->of[i].known = is_known(b, r, i, now);
        if (steady_ms - shift->of[i].since_ms >= r->failover_after_ms)
            shift->of[i].failing_ms = 0;
        return;
    }
    shift->of[i].why = why;
    if (shift->of[i].failing_ms == 0)
        shift->of[i].failing_ms = steady_ms;
}

static void change_over(struct broker *b, const struct ring_config *r, struct shift *shift, size_t to)
{
    const char *ring = r->settings.name, *was = token_name(token_at(b, r, shift->at)), *is = token_name(token_at(b, r, to));

    if (to < shift->at)
        log_info("ring '%s' is signed for by token '%s' again", ring, is);
    else if (shift->of[shift->at].can)
        log_warning("ring '%s' is signed for by token '%s': verifiers may not know the new key on '%s' yet", ring, is, was);
    else
        log_warning("ring '%s' is signed for by token '%s': '%s' cannot: %s: %s", ring, is, was,
                    err_reason_name(shift->of[shift->at].why.reason), shift->of[shift->at].why.text);
    shift->at = to;
}

/*
 * The first of the ring's tokens whose key verifiers know, else the first. The
 * one whose turn it is may fail for failover_after before it loses it; any other
 * is to be well, unless there is none.
 */
static size_t whose(const struct ring_config *r, const struct shift *shift)
{
    size_t at = shift->at, first = r->n_tokens;
    bool stays = shift->of[at].can || clock_steady_ms() - shift->of[at].failing_ms < r->failover_after_ms;

    for (size_t i = 0; i < r->n_tokens; i++) {
        bool well = shift->of[i].can && (shift->of[i].failing_ms == 0 || !stays);
        if (i == at ? !stays : !well)
            continue;
        if (shift->of[i].known)
            return i;
        if (first == r->n_tokens)
            first = i;
    }
    return first < r->n_tokens ? first : at;
}

static void look(struct broker *b, const struct ring_config *r, struct shift *shift, int64_t now)
{
    for (size_t i = 0; i < r->n_tokens; i++)
        look_at(b, r, shift, i, now);
    size_t to = whose(r, shift);
    if (to != shift->at)
        change_over(b, r, shift, to);
}

/* --- what is left out of the key set ---------------------------------------------------------------- */

static bool is_on(const struct ring_config *r, size_t token)
{
    for (size_t i = 0; i < r->n_tokens; i++)
        if (r->tokens[i] == token)
            return true;
    return false;
}

/* The ring's keys are known of a token beside that one. */
static bool is_known_beside(struct broker *b, const struct ring_config *r, size_t token)
{
    struct err e;

    for (size_t i = 0; i < r->n_tokens; i++)
        if (r->tokens[i] != token && keys_fresh(token_at(b, r, i)->keys, r->settings.name, &e))
            return true;
    return false;
}

/*
 * How long verifiers may be served by what they have of a token: by their
 * copies, while tokens that it signed live. INT64_MAX: a ring is known of no
 * other, and a set without that ring would call its tokens a stranger's.
 */
static int64_t is_missed_ms(struct broker *b, const struct broker_token *t)
{
    const struct config *c = b->conf->config;
    int64_t longest = 0;

    for (size_t i = 0; i < c->n_rings; i++) {
        const struct ring_config *r = &c->rings[i];
        int64_t tokens_ms = (r->settings.max_ttl + r->settings.skew) * 1000;
        int64_t ms = tokens_ms < copies_ms(r) ? tokens_ms : copies_ms(r);
        if (r->alg->family == ALG_HMAC || !is_on(r, t->index))
            continue;
        if (!is_known_beside(b, r, t->index))
            return INT64_MAX;
        longest = ms > longest ? ms : longest;
    }
    return longest;
}

static void look_what_is_known(struct broker *b, struct broker_token *t)
{
    int64_t steady_ms = clock_steady_ms();
    bool was_left_out = t->left_out;
    struct keys_set set;
    struct err e;

    if (keys_set(t->keys, clock_now(), &set, &e))
        t->unknown_ms = 0;
    else if (t->unknown_ms == 0)
        t->unknown_ms = steady_ms;
    t->left_out = t->unknown_ms && steady_ms - t->unknown_ms > is_missed_ms(b, t);
    if (t->left_out)
        t->left_out_ms = steady_ms;
    if (t->left_out && !was_left_out)
        log_warning("the key set is given out without the keys of token '%s', which are not known for too long: %s: %s",
                    token_name(t), err_reason_name(e.reason), e.text);
    else if (was_left_out && !t->left_out)
        log_info("token '%s' is %s", token_name(t), t->unknown_ms ? "missed in the key set" : "in the key set again");
}

void tokens_tick(struct broker *b)
{
    int64_t steady_ms = clock_steady_ms();
    const struct config *c = b->conf ? b->conf->config : NULL;

    if (!c || c->n_tokens < 2 || steady_ms - b->looked_ms < LOOK_MS)
        return;
    b->looked_ms = steady_ms;
    for (size_t i = 0; i < b->n_tokens; i++)
        look_what_is_known(b, b->tokens[i]);
    for (size_t i = 0; i < c->n_rings; i++)
        if (c->rings[i].n_tokens > 1)
            look(b, &c->rings[i], &b->shifts[i], clock_now());
}

struct broker_token *tokens_turn(struct broker *b, const struct ring_config *r)
{
    const struct shift *shift = r->n_tokens > 1 ? shift_of(b, r) : NULL;

    return token_at(b, r, shift && shift->at < r->n_tokens ? shift->at : 0);
}

struct held *tokens_signer(struct broker *b, const struct ring_config *r, int64_t now, struct broker_token **out_token,
                           struct err *e)
{
    struct shift *shift = r->n_tokens > 1 ? shift_of(b, r) : NULL;
    struct held *h = shift ? signer_at(b, r, shift->at, now, e) : NULL;

    if (h && is_known(b, r, shift->at, now)) {
        *out_token = token_at(b, r, shift->at);
        return h;
    }
    if (shift)
        look(b, r, shift, now);
    *out_token = tokens_turn(b, r);
    return keys_signer((*out_token)->keys, r->settings.name, now, e);
}

/* --- what is known ----------------------------------------------------------------------------------- */

bool tokens_fresh(struct broker *b, const struct ring_config *r, struct err *e)
{
    struct err later;

    for (size_t i = 0; i < r->n_tokens; i++)
        if (keys_fresh(token_at(b, r, i)->keys, r->settings.name, i ? &later : e))
            return true;
    return false;
}

bool tokens_miss_one(struct broker *b, const struct ring_config *r, struct err *e)
{
    for (size_t i = 0; i < r->n_tokens; i++)
        if (!keys_fresh(token_at(b, r, i)->keys, r->settings.name, e))
            return true;
    return false;
}

/* Without a kid: the `nth` of all tokens' together. */
static struct held *published_at(struct keys *k, const char *ring, const char *kid, const struct alg *alg,
                                 size_t *nth, int64_t now)
{
    struct held *h;

    if (kid)
        return keys_published(k, ring, kid, alg, 0, now);
    for (size_t i = 0; (h = keys_published(k, ring, NULL, alg, i, now)); i++)
        if ((*nth)-- == 0)
            return h;
    return NULL;
}

struct held *tokens_published(struct broker *b, const struct ring_config *r, const char *kid, const struct alg *alg,
                              size_t nth, int64_t now, struct broker_token **out_token)
{
    for (size_t i = 0; i < r->n_tokens; i++) {
        struct held *h = published_at((*out_token = token_at(b, r, i))->keys, r->settings.name, kid, alg, &nth, now);
        if (h)
            return h;
    }
    return NULL;
}

bool tokens_have_secrets(struct broker *b, const struct ring_config *r, int64_t now)
{
    bool any = false;

    for (size_t i = 0; i < r->n_tokens; i++)
        any |= keys_has_secrets(token_at(b, r, i)->keys, r->settings.name, now);
    return any;
}

bool tokens_have_public(struct broker *b, const struct ring_config *r)
{
    bool any = false;

    for (size_t i = 0; i < r->n_tokens; i++)
        any |= keys_has_public(token_at(b, r, i)->keys, r->settings.name);
    return any;
}

bool tokens_ready(struct broker *b, struct err *e)
{
    struct err later;

    for (size_t i = 0; i < b->n_tokens; i++)
        if (keys_ready(b->tokens[i]->keys, i ? &later : e))
            return true;
    return b->n_tokens > 0 ? false : err_set(e, ERR_STARTING, "signetd is starting");
}

const struct held *tokens_named(struct broker *b, const char *kid, struct broker_token **out_token, struct err *e)
{
    struct err why;

    for (size_t i = 0; i < b->n_tokens; i++) {
        struct broker_token *t = b->tokens[i];
        const struct held *h = keys_ready(t->keys, &why) ? keys_named(t->keys, kid, e) : NULL;
        *out_token = t;
        if (h)
            return h;
    }
    for (size_t i = 0; i < b->n_tokens; i++)
        if (!keys_ready(b->tokens[i]->keys, e)) {
            if (b->n_tokens > 1)
                err_wrap(e, "key '%.64s' may be on token '%s', whose keys are not known", kid, token_name(b->tokens[i]));
            return NULL;
        }
    return NULL;
}

/* --- what is published --------------------------------------------------------------------------------- */

static void set_add(struct keys_set *all, const struct keys_set *one, bool first)
{
    all->version = first ? one->version : (all->version << 7 | all->version >> 57) ^ one->version;
    all->n_pages += one->n_pages;
    if (first || one->max_age_s < all->max_age_s)
        all->max_age_s = one->max_age_s;
    if (first || all->changes_in_s == 0 || (one->changes_in_s && one->changes_in_s < all->changes_in_s))
        all->changes_in_s = one->changes_in_s;
}

/* A set that lacks keys, or has those of long ago, would call living tokens a stranger's: not before copies of it are too old. */
static bool not_all(struct broker *b, const struct broker_token *t, struct err *e)
{
    int64_t in_ms = is_missed_ms(b, t);
    char in[CLOCK_TEXT];

    if (in_ms == INT64_MAX)
        return err_wrap(e, "the key set is not whole without token '%s', which alone has a ring's keys", token_name(t));
    in_ms -= t->unknown_ms ? clock_steady_ms() - t->unknown_ms : 0;
    return err_wrap(e, "the key set is not whole without token '%s'; without it it is given out in %s", token_name(t),
                    clock_write_span(in, in_ms > 0 ? in_ms / 1000 + 1 : 1));
}

bool tokens_set(struct broker *b, int64_t now, struct keys_set *out, struct err *e)
{
    bool first = true;

    *out = (struct keys_set){ 0 };
    for (size_t i = 0; i < b->n_tokens; i++) {
        struct keys_set one;
        if (b->tokens[i]->left_out)
            continue;
        if (!keys_set(b->tokens[i]->keys, now, &one, e))
            return b->n_tokens > 1 ? not_all(b, b->tokens[i], e) : false;
        set_add(out, &one, first);
        first = false;
    }
    return true;
}

static uint32_t sooner(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

bool tokens_ring_set(struct broker *b, const struct ring_config *r, int64_t now, struct buf *jwks, struct keys_ring_set *out,
                     struct err *e)
{
    *out = (struct keys_ring_set){ NULL, UINT32_MAX, UINT32_MAX };
    for (size_t i = 0; i < r->n_tokens; i++) {
        struct keys_ring_set one;
        if (token_at(b, r, i)->left_out)
            continue;
        if (!keys_ring_set(token_at(b, r, i)->keys, r->settings.name, now, &one, e))
            return r->n_tokens > 1 ? not_all(b, token_at(b, r, i), e) : false;
        if (one.jwks && !jwk_set_append(jwks, one.jwks, strlen(one.jwks)))
            return err_set(e, ERR_NO_MEMORY, "ring '%s': no memory for its key set", r->settings.name);
        out->max_age_s = sooner(out->max_age_s, one.max_age_s);
        out->changes_in_s = sooner(out->changes_in_s, one.changes_in_s);
    }
    return true;
}

const struct keys_page *tokens_page(const struct broker *b, size_t page)
{
    for (size_t i = 0; i < b->n_tokens; i++) {
        size_t n;
        if (b->tokens[i]->left_out)
            continue;
        const struct keys_page *pages = keys_pages(b->tokens[i]->keys, &n);
        if (page < n)
            return &pages[page];
        page -= n;
    }
    return NULL;
}

void tokens_forget(struct broker *b, void *owner)
{
    for (size_t i = 0; i < b->n_tokens; i++)
        keys_forget(b->tokens[i]->keys, owner);
}

size_t tokens_waiting(const struct broker *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n_tokens; i++)
        n += b->tokens[i]->signers.queue.n;
    return n;
}
