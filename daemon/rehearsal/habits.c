/*
 * Tokens signed at random and at the worst moments, each shown to verifiers of
 * every habit at random and at the worst moments of its life. A verifier is
 * its copy of the key set: whose it is, and how old.
 */
#include "daemon/rehearsal/run.h"

#define DAY 86400
#define TOKENS_OF_SPELL 4u         /* two of them at its ends */

const struct rehearsal_habit rehearsal_habits[N_REHEARSAL_HABITS] = {
    [HABIT_MAX_AGE] = { "max-age", "use a copy for max-age", true, .keeps = 0 },
    [HABIT_WAITS] = { "waits", "wait for the end of max-age whatever kid they see", true, .keeps = 0 },
    [HABIT_REFETCHES] = { "refetches", "fetch anew for a kid that they do not know", true, .refetches = true },
    [HABIT_SKEWED] = { "skewed", "have a clock that is wrong by up to skew", true, .is_skewed = true },
    [HABIT_NEWEST] = { "newest", "keep only the newest key", false, .newest_only = true },
    [HABIT_WEEK] = { "week", "use a copy for 7 days, whatever max-age says", false, .keeps = 7 * DAY },
    [HABIT_OFFLINE] = { "offline", "use their copy through a day without network", false, .keeps = DAY },
};

struct sim_token { size_t key; unsigned signer; int64_t signed_at, expires_at; };

/* What a daemon gives out at `at`, one that does; NULL: none does. */
static const struct spell *fetch(struct run *r, int64_t at, unsigned *out_server)
{
    unsigned n = r->report->n_daemons, first = (unsigned)roll(r, 0, n - 1);

    for (unsigned i = 0; i < n; i++) {
        const struct sim_daemon *d = &r->daemons[(first + i) % n];
        const struct spell *p = &d->spells[history_at(d, at)];
        if (p->serves && p->from <= at) {
            *out_server = (first + i) % n;
            return p;
        }
    }
    return NULL;
}

static bool finds(const struct run *r, const struct rehearsal_habit *h, const struct spell *copy, size_t key)
{
    return h->newest_only ? copy->n_set && r->sets[copy->set + copy->n_set - 1] == key : history_has(r, copy, key);
}

static int64_t copied_at(struct run *r, enum rehearsal_habit_of of, int64_t at)
{
    int64_t keeps = rehearsal_habits[of].keeps ? rehearsal_habits[of].keeps : run_max_age(r);
    int64_t age = of == HABIT_WAITS || chance(r, 4) ? keeps - 1 : roll(r, 0, keeps - 1);

    age = age < 0 ? 0 : age;
    return at - age > r->began ? at - age : r->began;
}

/* False: rejected for lack of its key. */
static bool is_accepted(struct run *r, enum rehearsal_habit_of of, const struct sim_token *t, int64_t at)
{
    const struct rehearsal_habit *h = &rehearsal_habits[of];
    int64_t skew = r->s->skew, clock = h->is_skewed ? roll(r, -(skew / 2), skew - skew / 2) : 0;
    int64_t copied = copied_at(r, of, at);
    unsigned server = 0, again;
    const struct spell *copy = fetch(r, copied, &server);

    if (!copy || at + clock >= t->expires_at + roll(r, 0, skew))
        return true;                         /* it has nothing to judge by; or says that the token has expired */
    r->report->n_checks++;
    if (finds(r, h, copy, t->key))
        return true;
    if (h->refetches && (copy = fetch(r, at, &again)) && finds(r, h, copy, t->key))
        return true;
    if (h->is_promised)
        run_found(r, (struct rehearsal_finding){ .kind = FOUND_REJECTED, .at = at, .key = t->key, .daemon = t->signer,
                                                 .server = server, .copied_at = copied, .signed_at = t->signed_at,
                                                 .expires_at = t->expires_at });
    return false;
}

static void show(struct run *r, const struct sim_token *t)
{
    const struct token_key *k = &r->keys[t->key];
    int64_t last = t->expires_at < r->end ? t->expires_at - 1 : r->end - 1;

    last = last < k->revoked_at ? last : k->revoked_at - 1;
    /* No verifier was promised to know an urgent key; and a signer's clock may be behind by more than a token may live. */
    if (k->urgent || t->signed_at >= run_cut_at(k) || last < t->signed_at)
        return;
    r->report->n_tokens++;
    for (int h = 0; h < N_REHEARSAL_HABITS; h++) {
        const int64_t moments[] = { t->signed_at, roll(r, t->signed_at, last), last };
        bool accepted = true;
        if (r->o->is_unpublished && !rehearsal_habits[h].is_promised)
            continue;
        for (size_t i = 0; i < ARRAY_LEN(moments); i++)
            accepted &= is_accepted(r, (enum rehearsal_habit_of)h, t, moments[i]);
        r->report->n_rejected[h] += !accepted;
    }
}

static void show_of_spell(struct run *r, unsigned daemon, size_t n)
{
    const struct spell *p = &r->daemons[daemon].spells[n];
    int64_t last = history_until(r, &r->daemons[daemon], n) - 1;
    const int64_t moments[TOKENS_OF_SPELL] = { p->from, roll(r, p->from, last), roll(r, p->from, last), last };

    for (size_t i = 0; i < TOKENS_OF_SPELL; i++) {
        int64_t ttl = chance(r, 2) ? r->s->max_ttl : roll(r, 1, r->s->max_ttl);
        show(r, &(struct sim_token){ p->signer, daemon, moments[i], moments[i] + p->clock + ttl });
    }
}

void habits_try(struct run *r)
{
    size_t n_spells = 0, n_most = r->o->n_tokens / TOKENS_OF_SPELL;

    for (unsigned i = 0; i < r->report->n_daemons; i++)
        n_spells += r->daemons[i].n_spells;
    for (unsigned i = 0; i < r->report->n_daemons; i++)
        for (size_t n = 0; n < r->daemons[i].n_spells; n++)
            if (r->daemons[i].spells[n].signer != NO_KEY && (size_t)roll(r, 1, (int64_t)n_spells) <= n_most)
                show_of_spell(r, i, n);
}
