#include "daemon/broker/tokens.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/role.h"

#include <string.h>

#define LOOK_MS 200                  /* between looks at who can sign */

/* Whose turn it is to sign for a ring of several tokens. */
struct shift {
    char ring[RING_MAX_NAME + 1];
    size_t tokens[CONFIG_MAX_TOKENS];
    size_t at;                       /* in the ring's tokens: signs, if it can */
    struct {
        bool can;
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

static struct broker_token *token_new(struct broker *b, size_t index, const struct pool_hooks *signers)
{
    struct broker_token *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->broker = b;
    t->index = index;
    pool_init(&t->signers, b->base, LANE_SIGNERS + index, "signer", signers);
    t->signers.others = (unsigned)index * ROLE_APART;
    if ((t->keys = keys_new(b->base, &t->signers, &b->verifiers, on_serving, t)))
        return t;
    free(t);
    return NULL;
}

/* Whose turn it was it stays, while the ring's tokens are the same. */
static void keep_shift(const struct shift *old, size_t n, struct shift *to)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(old[i].ring, to->ring) == 0 && memcmp(old[i].tokens, to->tokens, sizeof to->tokens) == 0)
            *to = old[i];
}

static bool use_shifts(struct broker *b)
{
    const struct config *c = b->conf->config;
    struct shift *shifts = calloc(c->n_rings + 1, sizeof *shifts);

    if (!shifts)
        return false;
    for (size_t i = 0; i < c->n_rings; i++) {
        memcpy(shifts[i].ring, c->rings[i].settings.name, sizeof shifts[i].ring);
        memcpy(shifts[i].tokens, c->rings[i].tokens, sizeof shifts[i].tokens);
        keep_shift(b->shifts, b->n_shifts, &shifts[i]);
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
        keys_use(b->tokens[i]->keys, b->conf->of_token[i]);
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

static struct shift *shift_of(struct broker *b, const struct ring_config *r)
{
    for (size_t i = 0; i < b->n_shifts; i++)
        if (strcmp(b->shifts[i].ring, r->settings.name) == 0)
            return &b->shifts[i];
    return NULL;
}

static struct held *signer_at(struct broker *b, const struct ring_config *r, size_t i, int64_t now, struct err *e)
{
    struct broker_token *t = token_at(b, r, i);

    return pool_serves(&t->signers, e) ? keys_signer(t->keys, r->settings.name, now, e) : NULL;
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
    if (!can) {
        shift->of[i].why = why;
        if (shift->of[i].failing_ms == 0)
            shift->of[i].failing_ms = steady_ms;
    } else if (steady_ms - shift->of[i].since_ms >= r->failover_after_ms) {
        shift->of[i].failing_ms = 0;
    }
}

static void change_over(struct broker *b, const struct ring_config *r, struct shift *shift, size_t to)
{
    const char *ring = r->settings.name, *was = token_name(token_at(b, r, shift->at)), *is = token_name(token_at(b, r, to));

    if (to < shift->at)
        log_info("ring '%s' is signed for by token '%s' again", ring, is);
    else
        log_warning("ring '%s' is signed for by token '%s': '%s' cannot: %s: %s", ring, is, was,
                    err_reason_name(shift->of[shift->at].why.reason), shift->of[shift->at].why.text);
    shift->at = to;
}

static void look(struct broker *b, const struct ring_config *r, struct shift *shift, int64_t now)
{
    int64_t steady_ms = clock_steady_ms();

    for (size_t i = 0; i < r->n_tokens; i++)
        look_at(b, r, shift, i, now);
    bool stays = shift->of[shift->at].can || steady_ms - shift->of[shift->at].failing_ms < r->failover_after_ms;
    for (size_t i = 0; i < r->n_tokens; i++) {
        bool well = shift->of[i].can && shift->of[i].failing_ms == 0;
        if (i < shift->at ? well : !stays && shift->of[i].can) {
            if (i != shift->at)
                change_over(b, r, shift, i);
            return;
        }
    }
}

void tokens_tick(struct broker *b)
{
    int64_t steady_ms = clock_steady_ms();
    const struct config *c = b->conf ? b->conf->config : NULL;

    if (!c || c->n_tokens < 2 || steady_ms - b->looked_ms < LOOK_MS)
        return;
    b->looked_ms = steady_ms;
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

    if (shift && !signer_at(b, r, shift->at, now, e))
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
    if (!tokens_ready(b, e))
        return NULL;
    for (size_t i = 0; i < b->n_tokens; i++) {
        const struct held *h = keys_named(b->tokens[i]->keys, kid, e);
        *out_token = b->tokens[i];
        if (h)
            return h;
    }
    return NULL;
}

/* --- what is published --------------------------------------------------------------------------------- */

/* Each of its rings has another token that is there. */
static bool is_spared(struct broker *b, size_t token)
{
    const struct config *c = b->conf->config;

    for (size_t i = 0; i < c->n_rings; i++) {
        const struct ring_config *r = &c->rings[i];
        bool on_it = false, on_another = false;
        struct err e;
        for (size_t k = 0; k < r->n_tokens; k++) {
            on_it |= r->tokens[k] == token;
            on_another |= r->tokens[k] != token && keys_fresh(token_at(b, r, k)->keys, r->settings.name, &e);
        }
        if (on_it && !on_another)
            return false;
    }
    return true;
}

static void set_add(struct keys_set *all, const struct keys_set *one, bool first)
{
    all->version = first ? one->version : (all->version << 7 | all->version >> 57) ^ one->version;
    all->n_pages += one->n_pages;
    if (first || one->max_age_s < all->max_age_s)
        all->max_age_s = one->max_age_s;
    if (first || all->changes_in_s == 0 || (one->changes_in_s && one->changes_in_s < all->changes_in_s))
        all->changes_in_s = one->changes_in_s;
}

bool tokens_set(struct broker *b, int64_t now, struct keys_set *out, struct err *e)
{
    bool first = true;

    *out = (struct keys_set){ 0 };
    for (size_t i = 0; i < b->n_tokens; i++) {
        struct keys_set one;
        struct err why;
        bool known = keys_set(b->tokens[i]->keys, now, false, &one, &why);
        if (!known && !is_spared(b, i)) {
            *e = why;
            return false;
        }
        /* One that was never listed has nothing to give: its keys are known when it is back. */
        if (!known && !keys_set(b->tokens[i]->keys, now, true, &one, &why))
            continue;
        set_add(out, &one, first);
        first = false;
    }
    return !first || err_set(e, ERR_STARTING, "signetd is starting");
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
