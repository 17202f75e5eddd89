/* The simulated token, and what chance brings. */
#include "daemon/rehearsal/run.h"

#include <stdio.h>

/* splitmix64: small, whole in its 64 bits, the same everywhere. */
static uint64_t next(struct run *r)
{
    uint64_t z = r->random += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int64_t roll(struct run *r, int64_t lo, int64_t hi)
{
    return hi <= lo ? lo : lo + (int64_t)(next(r) % (uint64_t)(hi - lo + 1));
}

int64_t roll_hard(struct run *r, int64_t lo, int64_t hi)
{
    return chance(r, 4) ? hi : chance(r, 8) ? lo : roll(r, lo, hi);
}

bool chance(struct run *r, unsigned n)
{
    return next(r) % n == 0;
}

bool run_grow(struct run *r, void **list, size_t *room, size_t n, size_t size)
{
    if (n < *room)
        return true;
    size_t more = *room ? 2 * *room : 64;
    void *grown = reallocarray(*list, more, size);
    if (!grown) {
        r->no_memory = true;
        return false;
    }
    *list = grown;
    *room = more;
    return true;
}

size_t token_add(struct run *r, int64_t activates_at)
{
    if (!run_grow(r, (void **)&r->keys, &r->keys_room, r->n_keys, sizeof *r->keys) ||
        !run_grow(r, (void **)&r->live, &r->live_room, r->n_live, sizeof *r->live))
        return NO_KEY;
    struct token_key *k = &r->keys[r->n_keys];
    bool public_first = chance(r, 2);
    *k = (struct token_key){ .activates_at = activates_at, .has_public = public_first, .has_private = !public_first,
                             .promoted_at = NEVER, .revoked_at = NEVER, .hurried_at = NEVER, .first_at = NEVER, .last_expires_at = INT64_MIN, .destroyed_at = NEVER };
    snprintf(k->kid, sizeof k->kid, "%016llx", (unsigned long long)next(r));
    r->live[r->n_live++] = r->n_keys;
    return r->n_keys++;
}

int64_t token_signs_from(const struct token_key *k)
{
    return k->promoted_at < k->activates_at ? k->promoted_at : k->activates_at;
}

bool token_has_fact(const struct token_key *k)
{
    return k->promoted_at != NEVER || k->revoked_at != NEVER;
}

void token_put(struct run *r, size_t key, enum stage stage)
{
    r->version += r->keys[key].stage != STAGE_NOTHING || stage != STAGE_GONE;
    r->keys[key].stage = stage;
    if (stage != STAGE_GONE || token_has_fact(&r->keys[key]))
        return;
    for (size_t i = 0; i < r->n_live; i++)
        if (r->live[i] == key) {
            r->live[i] = r->live[--r->n_live];
            return;
        }
}
