/*
 * What is on the token, and what was once seen there: a revoked key stays
 * revoked in this process though a restored backup takes the fact away, and
 * the fact is written again. A promotion that is gone was taken with its key.
 */
#include "daemon/broker/keys/keys_private.h"

#include "daemon/base/log.h"

#include <stdio.h>
#include <string.h>

#define MAX_FACTS (2 * KEYS_MAX_LISTED)          /* seen ones and listed ones */
#define MAX_FOREIGN 64u                          /* enough to show */

static const char ours[] = "signet:", trial[] = "signet:trial";    /* what token_try_powers writes and takes back */

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
    if (strncmp(label, ours, sizeof ours - 1) != 0 || strcmp(label, trial) == 0 || k->n_foreign_facts == MAX_FOREIGN)
        return;
    char **more = reallocarray(k->foreign_facts, k->n_foreign_facts + 1, sizeof *more);
    if (!more)
        return;
    k->foreign_facts = more;
    if ((more[k->n_foreign_facts] = strdup(label)))
        k->n_foreign_facts++;
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
        if (!d->is_private || !label_parse(&l, d->label, strlen(d->label)) || l.kind == LABEL_KEY) {
            add_foreign(k, d->label);
            continue;
        }
        struct ring_fact f = { .kind = l.kind, .at = l.at };
        memcpy(f.kid, l.kid, sizeof f.kid);
        if (!facts_add(k, l.ring, &f, e))
            return false;
    }
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
    for (size_t i = 0; i < k->n_facts; i++)
        if (k->facts[i].n_missing >= 2 && k->facts[i].f.kind == LABEL_REVOKED && strcmp(k->facts[i].ring, ring) == 0)
            return &k->facts[i];
    return NULL;
}

bool keys_is_revoked(const struct keys *k, const char *kid, char ring[RING_MAX_NAME + 1], int64_t *out_holds_at)
{
    for (size_t i = 0; i < k->n_facts; i++) {
        const struct fact *f = &k->facts[i];
        if (f->f.kind != LABEL_REVOKED || strcmp(f->f.kid, kid) != 0)
            continue;
        memcpy(ring, f->ring, sizeof f->ring);
        *out_holds_at = f->f.at;
        return true;
    }
    return false;
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
