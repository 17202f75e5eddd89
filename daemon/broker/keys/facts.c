/*
 * What is on the token, and what was once seen there: a revoked key stays
 * revoked in this process though a restored backup takes the fact away, and
 * the fact is written again. A promotion that is gone was taken with its key.
 */
#include "daemon/broker/keys/keys_private.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <stdio.h>
#include <string.h>

#define MAX_FACTS (2 * KEYS_MAX_LISTED)          /* seen ones and listed ones */
#define MAX_FOREIGN 64u                          /* enough to show */

static const char ours[] = "signet:", trial[] = "signet:trial:";    /* what token_try_powers writes and takes back */

static struct fact *find(const struct keys *k, const char *ring, const struct ring_fact *f)
{
    for (size_t i = 0; i < k->n_facts; i++) {
        struct fact *at = &k->facts[i];
        if (at->f.kind == f->kind && at->f.at == f->at && strcmp(at->f.kid, f->kid) == 0 && strcmp(at->ring, ring) == 0)
            return at;
    }
    return NULL;
}

bool facts_add(struct keys *k, const char *ring, const struct ring_fact *f, struct err *e)
{
    struct fact *there = find(k, ring, f), *more = NULL;

    if (there) {
        there->n_missing = 0;
        return true;
    }
    if (k->n_facts < MAX_FACTS)
        more = reallocarray(k->facts, k->n_facts + 1, sizeof *more);
    if (!more)
        return err_set(e, ERR_NO_MEMORY, "no room for the %zu facts of the token", k->n_facts + 1);
    k->facts = more;
    there = &more[k->n_facts++];
    *there = (struct fact){ .f = *f };
    snprintf(there->ring, sizeof there->ring, "%s", ring);
    return true;
}

static void foreign_clear(struct keys *k)
{
    labels_free(k->foreign_facts, k->n_foreign_facts);
    k->foreign_facts = NULL;
    k->n_foreign_facts = 0;
}

static void add_foreign(struct keys *k, const char *label)
{
    if (strncmp(label, ours, sizeof ours - 1) != 0 || k->n_foreign_facts == MAX_FOREIGN)
        return;
    char **more = reallocarray(k->foreign_facts, k->n_foreign_facts + 1, sizeof *more);
    if (!more)
        return;
    k->foreign_facts = more;
    if ((more[k->n_foreign_facts] = strdup(label)))
        k->n_foreign_facts++;
}

static void add_trial(struct keys *k, const char *label)
{
    for (size_t i = 0; i < k->n_trials; i++)
        if (strcmp(k->trials[i].label, label) == 0) {
            k->trials[i].listed = true;
            return;
        }
    if (k->n_trials == KEYS_MAX_TRIALS)
        return;
    struct trial *t = &k->trials[k->n_trials++];
    *t = (struct trial){ .seen_ms = clock_steady_ms(), .listed = true };
    snprintf(t->label, sizeof t->label, "%s", label);
}

/* Those that are gone are no more seen; the others have to be listed again. */
static void forget_trials(struct keys *k)
{
    size_t n = 0;

    for (size_t i = 0; i < k->n_trials; i++)
        if (k->trials[i].listed) {
            k->trials[n] = k->trials[i];
            k->trials[n++].listed = false;
        }
    k->n_trials = n;
}

static void trial_forgotten(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct keys *k = owner;

    k->forgetting = false;
    if (m && m->of_case == SIGNET__ROLE__MESSAGE__OF_CHANGED && !m->changed->why)
        log_info("what a start that was cut off had left on the token is removed");
}

/* Another daemon may be at its own trial; none takes longer than a signer may. What fails is tried again as late. */
static struct trial *leftover(struct keys *k, int64_t longest_ms)
{
    for (size_t i = 0; i < k->n_trials; i++)
        if (clock_steady_ms() - k->trials[i].seen_ms > longest_ms)
            return &k->trials[i];
    return NULL;
}

void facts_sweep(struct keys *k)
{
    uint32_t longest_ms = k->conf->config->tokens[0].generate_timeout_ms;
    struct work_for f = keys_work(k, longest_ms, trial_forgotten, k);
    struct trial *t = k->powers.destroys && !k->forgetting ? leftover(k, longest_ms) : NULL;
    struct job *j = t ? work_forget_fact(&f, t->label) : NULL;
    struct err e;

    if (!j)
        return;
    t->seen_ms = clock_steady_ms();
    k->forgetting = pool_submit(k->signers, j, &e);
}

/* Those that only memory holds: a promotion of before goes after a second look, what is revoked never. */
static void forget(struct keys *k)
{
    size_t n = 0;

    for (size_t i = 0; i < k->n_facts; i++) {
        const struct fact *f = &k->facts[i];
        if (f->n_missing < 2 || f->f.kind == LABEL_REVOKED)
            k->facts[n++] = *f;
        if (f->n_missing == 2 && f->f.kind == LABEL_REVOKED)
            log_warning("ring '%s': the token does not say any more that key '%s' is revoked; it stays so", f->ring, f->f.kid);
    }
    k->n_facts = n;
}

bool facts_take(struct keys *k, const Signet__Role__Keys *listing, struct err *e)
{
    struct label l;

    foreign_clear(k);
    for (size_t i = 0; i < k->n_facts; i++)
        k->facts[i].n_missing++;
    for (size_t i = 0; i < listing->n_data; i++) {
        const Signet__Role__Data *d = listing->data[i];
        if (d->is_private && strncmp(d->label, trial, sizeof trial - 1) == 0) {
            add_trial(k, d->label);
            continue;
        }
        if (!d->is_private || !label_parse(&l, d->label, strlen(d->label)) || l.kind == LABEL_KEY) {
            add_foreign(k, d->label);
            continue;
        }
        struct ring_fact f = { .kind = l.kind, .at = l.at };
        memcpy(f.kid, l.kid, sizeof f.kid);
        if (!facts_add(k, l.ring, &f, e))
            return false;
    }
    forget_trials(k);
    forget(k);
    return true;
}

void facts_clear(struct keys *k)
{
    foreign_clear(k);
    free(k->facts);
    k->facts = NULL;
    k->n_facts = 0;
}

const struct fact *facts_lost(const struct keys *k, const char *ring)
{
    /* Another each time: one that cannot be written must not keep the others from it. */
    for (size_t i = 0; i < k->n_facts; i++) {
        const struct fact *f = &k->facts[(i + k->n_listings) % k->n_facts];
        if (f->n_missing >= 2 && f->f.kind == LABEL_REVOKED && strcmp(f->ring, ring) == 0)
            return f;
    }
    return NULL;
}

bool keys_is_revoked(const struct keys *k, const char *kid, char ring[RING_MAX_NAME + 1], int64_t *out_holds_at)
{
    bool found = false;

    for (size_t i = 0; i < k->n_facts; i++) {
        const struct fact *f = &k->facts[i];
        if (f->f.kind != LABEL_REVOKED || strcmp(f->f.kid, kid) != 0)
            continue;
        memcpy(ring, f->ring, sizeof f->ring);
        *out_holds_at = found && *out_holds_at > f->f.at ? *out_holds_at : f->f.at;
        found = true;
    }
    return found;
}

void labels_free(char **labels, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(labels[i]);
    free(labels);
}

char **facts_of_key(const struct keys *k, const char *ring, const char *kid, size_t *out_n)
{
    char **labels = calloc(k->n_facts + 1, sizeof *labels);
    char text[LABEL_MAX];

    *out_n = 0;
    for (size_t i = 0; labels && i < k->n_facts; i++) {
        const struct fact *f = &k->facts[i];
        if (f->f.kind != LABEL_PROMOTE || strcmp(f->ring, ring) != 0 || strcmp(f->f.kid, kid) != 0)
            continue;
        struct label l = { .kind = LABEL_PROMOTE, .at = f->f.at };
        memcpy(l.ring, f->ring, sizeof l.ring);
        memcpy(l.kid, f->f.kid, sizeof l.kid);
        if (label_write(&l, text) && (labels[*out_n] = strdup(text)))
            ++*out_n;
    }
    return labels;
}
