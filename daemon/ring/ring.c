#include "daemon/ring/ring_private.h"

#include <string.h>

const char *key_state_name(enum key_state s)
{
    static const char *const names[] = { "next", "active", "retired", "expired", "revoked", "orphan" };
    return names[s];
}

static bool can_sign(const struct ring_place *p)
{
    return p->key.proved && !p->key.gone && !p->revoked;
}

static int by_activation(const void *a, const void *b)
{
    const struct ring_place *p = a, *q = b;

    if (p->key.activates_at != q->key.activates_at)
        return p->key.activates_at < q->key.activates_at ? -1 : 1;
    if (can_sign(p) != can_sign(q))
        return can_sign(p) ? 1 : -1;
    return -strcmp(p->key.kid, q->key.kid);
}

void ring_sort(struct ring *r)
{
    qsort(r->places, r->n, sizeof *r->places, by_activation);
}

int64_t ring_most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static struct ring_place *place_of(struct ring *r, const char *kid)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->places[i].key.kid, kid) == 0)
            return &r->places[i];
    return NULL;
}

/* And what was made by half for the same moment: it would have that for itself, and nothing would sign from then on. */
static void promote(struct ring *r, struct ring_place *p, int64_t at)
{
    int64_t before = p->key.activates_at;

    for (size_t i = 0; i < r->n; i++)
        if (r->places[i].key.activates_at == before && !r->places[i].key.proved && !r->places[i].revoked)
            r->places[i].key.activates_at = at;
    p->key.activates_at = at;
}

static void apply(struct ring *r, const struct ring_fact *f)
{
    struct ring_place *p = place_of(r, f->kid);

    if (f->kind == LABEL_PROMOTE) {
        if (p && f->at < p->key.activates_at)
            promote(r, p, f->at);
        return;
    }
    if (!p) {
        p = &r->places[r->n++];
        *p = (struct ring_place){ 0 };
        strcpy(p->key.kid, f->kid);
    }
    /* One that never signed holds nobody up; of what two daemons say the place that was held counts. */
    p->key.activates_at = p->revoked ? ring_most(p->key.activates_at, f->at) : f->at;
    p->revoked = true;
}

struct ring *ring_new(const struct ring_settings *s, const struct ring_key *keys, size_t n_keys,
                      const struct ring_fact *facts, size_t n_facts, struct err *e)
{
    CLEANUP(ring_freep) struct ring *r = calloc(1, sizeof *r);

    if (!r || !(r->places = calloc(n_keys + n_facts + 1, sizeof *r->places))) {
        err_set(e, ERR_NO_MEMORY, "no memory for ring '%s'", s->name);
        return NULL;
    }
    r->s = *s;
    for (size_t i = 0; i < n_keys; i++)
        if (!*keys[i].kid || !place_of(r, keys[i].kid))
            r->places[r->n++] = (struct ring_place){ .key = keys[i], .on_token = !keys[i].gone };
    /* Revocations first: a promotion of a revoked ghost then finds its place too. */
    for (size_t i = 0; i < n_facts; i++)
        if (facts[i].kind == LABEL_REVOKED)
            apply(r, &facts[i]);
    for (size_t i = 0; i < n_facts; i++)
        if (facts[i].kind == LABEL_PROMOTE)
            apply(r, &facts[i]);
    ring_sort(r);
    return TAKE(r);
}

void ring_free(struct ring *r)
{
    if (!r)
        return;
    free(r->places);
    free(r);
}

size_t ring_size(const struct ring *r)
{
    return r->n;
}

const struct ring_key *ring_key(const struct ring *r, size_t i)
{
    return &r->places[i].key;
}

ptrdiff_t ring_active(const struct ring *r, int64_t now)
{
    ptrdiff_t i = (ptrdiff_t)r->n - 1;

    while (i >= 0 && r->places[i].key.activates_at > now)
        i--;
    return i;
}

bool ring_too_far(const struct ring *r, size_t i, int64_t now)
{
    const struct ring_settings *s = &r->s;
    ptrdiff_t active = ring_active(r, now);
    int64_t base = now;

    if (r->places[i].key.origin != KEY_GENERATED || s->rotate_every == 0 || active < 0)
        return false;
    /* A rotation that is late begins from its own now: that is no wrong clock. */
    if (r->places[active].key.activates_at + s->rotate_every > base)
        base = r->places[active].key.activates_at + s->rotate_every;
    return r->places[i].key.activates_at > base + ring_ahead(r, now) + s->refresh + s->skew;
}

ptrdiff_t ring_coming(const struct ring *r, int64_t now)
{
    for (size_t i = (size_t)(ring_active(r, now) + 1); i < r->n; i++) {
        const struct ring_place *p = &r->places[i];
        if (!can_sign(p) || ring_too_far(r, i, now))
            continue;
        /* Of twins the one that will stay. */
        while (i + 1 < r->n && r->places[i + 1].key.activates_at == p->key.activates_at)
            i++;
        return (ptrdiff_t)i;
    }
    return -1;
}

const struct ring_key *ring_coming_key(const struct ring *r, int64_t now)
{
    ptrdiff_t i = ring_coming(r, now);

    return i < 0 ? NULL : &r->places[i].key;
}

int64_t ring_turn_after(const struct ring *r, size_t i, int64_t at)
{
    while (i < r->n && r->places[i].key.activates_at <= at)
        i++;
    return i < r->n ? r->places[i].key.activates_at : INT64_MAX;
}

/* Twins retire together: which of them signed is not for ever to be seen. */
int64_t ring_retires_at(const struct ring *r, size_t i)
{
    return ring_turn_after(r, i, r->places[i].key.activates_at);
}

int64_t ring_ends_at(const struct ring *r, size_t i)
{
    const struct ring_key *k = &r->places[i].key;
    int64_t at = ring_retires_at(r, i);

    return at == INT64_MAX ? at : at + k->max_ttl + k->skew;
}

enum key_state ring_state(const struct ring *r, size_t i, int64_t now)
{
    const struct ring_place *p = &r->places[i];

    if (p->revoked)
        return KEY_REVOKED;
    if (p->key.activates_at > now)
        return p->key.proved && !p->key.gone ? KEY_NEXT : KEY_ORPHAN;
    if ((ptrdiff_t)i == ring_active(r, now))
        return KEY_ACTIVE;
    return ring_ends_at(r, i) > now ? KEY_RETIRED : KEY_EXPIRED;
}

bool ring_published(const struct ring *r, size_t i, int64_t now)
{
    const struct ring_place *p = &r->places[i];
    enum key_state state = ring_state(r, i, now);

    if (p->key.gone)
        return false;
    /* Verifying needs only the public half: the other may have been destroyed, or lost. */
    if ((state == KEY_RETIRED || state == KEY_ACTIVE) && p->key.verifies && p->key.lacks_half)
        return true;
    return p->key.proved && (state == KEY_ACTIVE || state == KEY_RETIRED ||
                             (state == KEY_NEXT && !ring_too_far(r, i, now)));
}

static void explain(const struct ring *r, const struct ring_key *k, const char *heal, struct err *e)
{
    *e = k->trouble;
    err_wrap(e, "ring '%s'", r->s.name);
    if (k->origin != KEY_OUTSIDE) {
        struct err why = *e;
        err_set(e, why.reason, "%s; %s", why.text, heal);
    }
}

const struct ring_key *ring_signer(const struct ring *r, int64_t now, struct err *e)
{
    ptrdiff_t i = ring_active(r, now);
    const struct ring_place *p = i < 0 ? NULL : &r->places[i];
    const char *heal = p && p->key.origin == KEY_OUTSIDE ? "restore its backup"
                       : p && p->key.gone ? "generate a new one (signet key generate), or restore its backup"
                                          : "change to another (signet ring rotate --now), or restore its backup";
    const char *instead = ring_coming(r, now) < 0 ? "generate a new one (signet key generate)"
                                                  : "its next key takes over as soon as the token can be told";

    if (p && can_sign(p))
        return &p->key;
    if (!p)
        err_set(e, ERR_NO_ACTIVE_KEY, r->n ? "ring '%s' has no key whose time has come: wait, or look at the clock"
                                           : "ring '%s' has no key: signet key generate %s", r->s.name, r->s.name);
    else if (p->revoked)
        err_set(e, ERR_NO_ACTIVE_KEY, "ring '%s': its active key '%s' is revoked: %s", r->s.name, p->key.kid, instead);
    else if (p->key.trouble.reason != ERR_NONE)
        explain(r, &p->key, heal, e);
    else if (p->key.gone)
        err_set(e, ERR_NO_ACTIVE_KEY, "ring '%s': its active key '%s' is gone from the token: %s", r->s.name,
                p->key.kid, heal);
    else
        err_set(e, ERR_KEY_UNPROVED, "ring '%s': its active key '%s' could not prove that it signs: %s", r->s.name,
                p->key.kid, heal);
    return NULL;
}

static int64_t sooner(int64_t best, int64_t at, int64_t now)
{
    return at > now && at < best ? at : best;
}

int64_t ring_changes_at(const struct ring *r, int64_t now)
{
    int64_t best = INT64_MAX;

    for (size_t i = 0; i < r->n; i++) {
        best = sooner(best, r->places[i].key.activates_at, now);
        best = sooner(best, ring_ends_at(r, i), now);
    }
    return best;
}
