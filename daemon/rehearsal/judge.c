/*
 * Not a sample: all tokens of a key that could have been signed, against every
 * copy of a key set that could be in use while one of them lives. From
 * max-age before a key's first signature to the death of its last token, no
 * daemon may give out a set without it: a verifier that honours max-age could
 * then have a copy that lacks the key of a living token, and only then.
 */
#include "daemon/rehearsal/run.h"

static void found_silent(struct run *r, unsigned daemon, int64_t from, int64_t until)
{
    if (until - from <= r->report->silent.seconds)
        return;
    r->report->silent.seconds = until - from;
    r->report->silent.at = from - r->began;
    r->report->silent.daemon = daemon + 1;
}

/* When the key's tokens were signed, by whom, and until when they live. */
static void found_signed(struct run *r, const struct spell *p, unsigned daemon, int64_t until)
{
    struct token_key *k = &r->keys[p->signer];
    int64_t last = (until < run_cut_at(k) ? until : run_cut_at(k)) - 1, expires = last + p->clock + r->s->max_ttl;

    if (last < p->from)
        return;
    if (expires > k->revoked_at)
        expires = k->revoked_at;
    if (p->from < k->first_at) {
        k->first_at = p->from;
        k->first_expires_at = p->from + p->clock + r->s->max_ttl;
        k->first_by = daemon;
    }
    if (expires > k->last_expires_at) {
        k->last_at = last;
        k->last_expires_at = expires;
        k->last_by = daemon;
    }
}

static void find_tokens(struct run *r)
{
    for (unsigned i = 0; i < r->report->n_daemons; i++)
        for (size_t n = 0; n < r->daemons[i].n_spells; n++) {
            const struct spell *p = &r->daemons[i].spells[n];
            int64_t until = history_until(r, &r->daemons[i], n);
            if (p->signer != NO_KEY)
                found_signed(r, p, i, until);
            else if (p->serves)
                found_silent(r, i, p->from, until);
        }
}

static void met(struct run *r, enum rehearsal_margin_of of, struct rehearsal_margin m)
{
    struct rehearsal_margin *least = &r->report->margins[of];

    if (least->met && least->seconds <= m.seconds)
        return;
    *least = m;
    least->met = true;
    least->at -= r->began;
    least->key++;
    least->daemon++;
    least->server++;
}

/* A copy taken at the very end of the last set without the key, used as long as it may be. */
static void judge_beginning(struct run *r, size_t key, unsigned server)
{
    const struct token_key *k = &r->keys[key];
    const struct sim_daemon *d = &r->daemons[server];

    for (size_t i = history_at(d, k->first_at) + 1; i-- > 0;) {
        if (d->spells[i].from >= k->first_at || !d->spells[i].serves || history_has(r, &d->spells[i], key))
            continue;
        int64_t until = history_until(r, d, i), margin = k->first_at - until - run_max_age(r);
        met(r, MARGIN_KNOWN, (struct rehearsal_margin){ .seconds = margin, .at = k->first_at, .key = key,
                                                        .daemon = k->first_by, .server = server });
        if (margin < 0)
            run_found(r, (struct rehearsal_finding){
                .kind = FOUND_REJECTED, .at = k->first_at, .key = key, .daemon = k->first_by, .server = server,
                .copied_at = until < k->first_at ? until : k->first_at, .signed_at = k->first_at,
                .expires_at = k->first_expires_at });
        return;
    }
}

static void judge_end(struct run *r, size_t key, unsigned server)
{
    const struct token_key *k = &r->keys[key];
    const struct sim_daemon *d = &r->daemons[server];

    for (size_t i = history_at(d, k->first_at); i < d->n_spells; i++) {
        int64_t from = d->spells[i].from, margin = from - k->last_expires_at;
        if (from < k->first_at || !d->spells[i].serves || history_has(r, &d->spells[i], key))
            continue;
        met(r, MARGIN_PUBLISHED, (struct rehearsal_margin){ .seconds = margin, .at = from, .key = key,
                                                            .daemon = k->last_by, .server = server });
        if (margin < 0) {
            bool signed_before = k->last_at <= from;
            run_found(r, (struct rehearsal_finding){
                .kind = FOUND_REJECTED, .at = from, .key = key, .daemon = signed_before ? k->last_by : k->first_by,
                .server = server, .copied_at = from, .signed_at = signed_before ? k->last_at : from,
                .expires_at = signed_before ? k->last_expires_at : from + r->s->max_ttl });
        }
        return;
    }
}

static void judge_destruction(struct run *r, size_t key)
{
    const struct token_key *k = &r->keys[key];
    int64_t margin = k->destroyed_at - k->last_expires_at;

    if (k->destroyed_at == NEVER)
        return;
    met(r, MARGIN_KEPT, (struct rehearsal_margin){ .seconds = margin, .at = k->destroyed_at, .key = key,
                                                   .daemon = k->last_by, .server = k->destroyed_by });
    if (margin < 0)
        run_found(r, (struct rehearsal_finding){ .kind = FOUND_DESTROYED_EARLY, .at = k->destroyed_at, .key = key,
                                                 .daemon = k->destroyed_by });
}

void judge(struct run *r)
{
    find_tokens(r);
    for (size_t key = 0; key < r->n_keys; key++) {
        const struct token_key *k = &r->keys[key];
        bool signs = k->first_at != NEVER;
        r->report->n_spare += !signs && k->destroyed_at != NEVER;
        r->report->n_rotations += signs && key > 0;
        r->report->n_urgent += signs && k->urgent;
        if (!signs || k->urgent)
            continue;
        for (unsigned i = 0; i < r->report->n_daemons; i++) {
            judge_beginning(r, key, i);
            judge_end(r, key, i);
        }
        judge_destruction(r, key);
    }
}
