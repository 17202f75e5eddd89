#include "daemon/broker/tokens.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/role.h"

#include <stdio.h>
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
        int64_t served_until_ms;     /* steady: by the copies that they have of its keys verifiers may be; 0: not looked at yet */
        bool left_out;               /* of the key set: its keys are not known, and nobody is served by waiting */
        int64_t all_have_ms;         /* steady: when every copy of the key set has its keys again; 0: all always had */
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

/* A key that was made a moment ago is in no verifier's copy of the key set yet. */
static bool is_known(struct broker *b, const struct ring_config *r, const struct shift *shift, size_t i, int64_t now)
{
    struct err e;
    const struct ring *ring = keys_ring(token_at(b, r, i)->keys, r->settings.name, &e);
    const struct ring_key *signer = ring ? ring_signer(ring, now, &e) : NULL;

    return signer && ring_is_known(ring, signer, now) && clock_steady_ms() >= shift->of[i].all_have_ms;
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
        shift->of[i].known = is_known(b, r, shift, i, now);
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

/* For as long as a copy of the key set may be used. */
static int64_t copies_ms(const struct ring_config *r)
{
    return (r->settings.max_age + r->settings.skew) * 1000;
}

static int64_t tokens_ms(const struct ring_config *r)
{
    return (r->settings.max_ttl + r->settings.skew) * 1000;
}

/* How long verifiers may be served by what they have: by their copies, while tokens live. */
static int64_t served_ms(const struct ring_config *r)
{
    return tokens_ms(r) < copies_ms(r) ? tokens_ms(r) : copies_ms(r);
}

static bool is_known_beside(struct broker *b, const struct ring_config *r, size_t i)
{
    struct err e;

    for (size_t k = 0; k < r->n_tokens; k++)
        if (k != i && keys_fresh(token_at(b, r, k)->keys, r->settings.name, &e))
            return true;
    return false;
}

/*
 * How much longer it is waited for. INT64_MAX / 2: for ever, since all tokens
 * of the ring would be a stranger's to who has the set. Those of an HMAC ring
 * are in no set's care but for those of before it was one, and these die.
 */
static int64_t further_ms(struct broker *b, const struct ring_config *r, size_t i)
{
    return is_known_beside(b, r, i) ? 0 : r->alg->family == ALG_HMAC ? tokens_ms(r) : INT64_MAX / 2;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void say_left_out(struct broker *b, const struct ring_config *r, const struct shift *shift, size_t i, const struct err *e)
{
    const char *token = token_name(token_at(b, r, i));

    if (shift->of[i].left_out)
        log_warning("ring '%s': its key set is given out without its keys on token '%s', which are not known for too long: %s: %s",
                    r->settings.name, token, err_reason_name(e->reason), e->text);
    else
        log_info("ring '%s': its keys on token '%s' are in the key set again", r->settings.name, token);
}

static void look_what_is_known(struct broker *b, const struct ring_config *r, struct shift *shift, size_t i)
{
    int64_t steady_ms = clock_steady_ms(), *until_ms = &shift->of[i].served_until_ms;
    struct keys *k = token_at(b, r, i)->keys;
    bool was_left_out = shift->of[i].left_out;
    struct err e = { 0 };
    bool known = keys_fresh(k, r->settings.name, &e);

    if (known || *until_ms == 0)
        *until_ms = later(*until_ms, steady_ms + served_ms(r));
    shift->of[i].left_out = !known && steady_ms > *until_ms + further_ms(b, r, i);
    if (shift->of[i].left_out)
        shift->of[i].all_have_ms = later(shift->of[i].all_have_ms, steady_ms + copies_ms(r));
    if (shift->of[i].left_out != was_left_out)
        say_left_out(b, r, shift, i, &e);
    keys_leave_out(k, r->settings.name, shift->of[i].left_out);
}

void tokens_notices(struct broker *b, void (*tell)(void *ctx, const char *text), void *ctx)
{
    const struct config *c = b->conf->config;
    char text[400], in[CLOCK_TEXT];

    for (size_t n = 0; n < c->n_rings; n++)
        for (size_t i = 0; i < b->shifts[n].n; i++) {
            const char *ring = b->shifts[n].ring, *token = token_name(token_at(b, &c->rings[n], i));
            int64_t wait_ms = b->shifts[n].of[i].all_have_ms - clock_steady_ms();
            if (wait_ms <= 0)
                continue;
            if (b->shifts[n].of[i].left_out)
                snprintf(text, sizeof text, "ring '%s': its key set is given out without its keys on token '%s', which are not"
                         " known: what they signed is rejected", ring, token);
            else
                snprintf(text, sizeof text, "ring '%s': its keys on token '%s' are in the key set again, and sign in %s: there are"
                         " copies without them", ring, token, clock_write_span(in, wait_ms / 1000 + 1));
            tell(ctx, text);
        }
}

void tokens_tick(struct broker *b)
{
    int64_t steady_ms = clock_steady_ms();
    const struct config *c = b->conf ? b->conf->config : NULL;

    if (!c || c->n_tokens < 2 || steady_ms - b->looked_ms < LOOK_MS)
        return;
    b->looked_ms = steady_ms;
    for (size_t i = 0; i < c->n_rings; i++) {
        for (size_t n = 0; n < c->rings[i].n_tokens; n++)
            look_what_is_known(b, &c->rings[i], &b->shifts[i], n);
        if (c->rings[i].n_tokens > 1)
            look(b, &c->rings[i], &b->shifts[i], clock_now());
    }
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

    if (h && is_known(b, r, shift, shift->at, now)) {
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
static void not_all(struct broker *b, const struct ring_config *r, size_t i, struct err *e)
{
    const char *ring = r->settings.name, *token = token_name(token_at(b, r, i));
    int64_t in_ms = shift_of(b, r)->of[i].served_until_ms + further_ms(b, r, i) - clock_steady_ms();
    char in[CLOCK_TEXT];

    if (in_ms < INT64_MAX / 4)
        err_wrap(e, "the key set is not whole without token '%s'; ring '%s' is given out without its keys in %s", token, ring,
                 clock_write_span(in, in_ms > 0 ? in_ms / 1000 + 1 : 1));
    else
        err_wrap(e, "the key set is not whole without token '%s', and ring '%s' has keys on no other that is known", token, ring);
}

/* It has keys of a ring that is published, which are neither known nor left out. */
static bool is_missed(struct broker *b, size_t token, struct err *e)
{
    const struct config *c = b->conf->config;

    for (size_t n = 0; n < c->n_rings; n++)
        for (size_t i = 0; i < b->shifts[n].n; i++) {
            const struct ring_config *r = &c->rings[n];
            if (r->tokens[i] != token || b->shifts[n].of[i].left_out || !config_publishes(c, r) ||
                keys_fresh(b->tokens[token]->keys, r->settings.name, e))
                continue;
            not_all(b, r, i, e);
            return true;
        }
    return false;
}

bool tokens_set(struct broker *b, int64_t now, struct keys_set *out, struct err *e)
{
    bool first = true;

    *out = (struct keys_set){ 0 };
    for (size_t i = 0; i < b->n_tokens; i++) {
        struct keys_set one;
        if (keys_set(b->tokens[i]->keys, now, &one, e)) {
            set_add(out, &one, first);
            first = false;
        } else if (b->n_tokens == 1 || is_missed(b, i, e)) {
            return false;
        }
    }
    return !first;
}

static uint32_t sooner(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

bool tokens_ring_set(struct broker *b, const struct ring_config *r, int64_t now, struct buf *jwks, struct keys_ring_set *out,
                     struct err *e)
{
    const struct shift *shift = shift_of(b, r);

    *out = (struct keys_ring_set){ NULL, UINT32_MAX, UINT32_MAX };
    for (size_t i = 0; i < r->n_tokens; i++) {
        struct keys_ring_set one;
        if (shift->of[i].left_out)
            continue;
        if (!keys_ring_set(token_at(b, r, i)->keys, r->settings.name, now, &one, e)) {
            if (r->n_tokens > 1)
                not_all(b, r, i, e);
            return false;
        }
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
