#include "daemon/ring/check.h"

static void add(struct ring_sum *sum, const char *setting, int64_t value, const char *why)
{
    sum->terms[sum->n_terms++] = (struct ring_term){ setting, value, why };
    sum->sum += value;
}

/* A setting, or the promise of a key where that is longer: it was given, and no setting takes it back. */
static void add_promise(struct ring_sum *sum, const char *setting, int64_t value, const char *kept_setting, int64_t kept,
                        const char *why)
{
    add(sum, kept > value ? kept_setting : setting, kept > value ? kept : value, why);
}

struct ring_sum ring_known(const struct ring_settings *s, const struct ring_promise *kept)
{
    struct ring_sum sum = { .setting = "publish_ahead", .is = s->publish_ahead,
                            .otherwise = "or verifiers meet tokens whose key they cannot know" };

    add_promise(&sum, "jwks_max_age", s->max_age, "keys: max_age", kept->max_age, "a copy of the key set may be this old");
    add(&sum, "refresh", s->refresh, "until every daemon has listed a new key");
    add_promise(&sum, "skew", s->skew, "keys: skew", kept->skew, "clocks differ");
    return sum;
}

/* Of a key that is yet to be made. */
static struct ring_sum known_when_made(const struct ring_settings *s, const struct ring_promise *kept)
{
    struct ring_sum sum = ring_known(s, kept);

    add(&sum, "generate_timeout", s->generation_time, "making the key");
    return sum;
}

static struct ring_sum spaced(const struct ring_settings *s)
{
    struct ring_sum sum = { .setting = "rotate_every", .is = s->rotate_every,
                            .otherwise = "or nobody has time to mend what keeps a next key from being made" };

    add(&sum, "publish_ahead", s->publish_ahead, "the next key is known before it signs");
    add(&sum, "publish_ahead", s->publish_ahead, "as long before that, should it not be made at once");
    return sum;
}

static struct ring_sum drained(const struct ring_settings *s)
{
    struct ring_sum sum = { .setting = "max_ttl", .is = s->max_ttl, .at_most = true,
                            .otherwise = "or retired keys pile up" };

    add(&sum, "rotate_every", s->rotate_every, "until the key after it retires, too");
    return sum;
}

size_t ring_check(const struct ring_settings *s, const struct ring_promise *kept, struct ring_sum out[RING_MAX_SUMS])
{
    const struct ring_sum rules[] = { known_when_made(s, kept), spaced(s), drained(s) };
    size_t n = 0;

    if (s->rotate_every == 0) {
        if (s->standby)
            out[n++] = (struct ring_sum){ .setting = "standby",
                .otherwise = "standby needs rotate_every: a key that is always next must have a time" };
        return n;
    }
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].at_most ? rules[i].is > rules[i].sum : rules[i].is < rules[i].sum)
            out[n++] = rules[i];
    return n;
}

/* The active key and the next, a standby being one; and those that retired within the time that a token may live. */
int64_t ring_most_published(const struct ring_settings *s, size_t n_outside)
{
    int64_t outside = (int64_t)n_outside;

    if (s->rotate_every == 0)
        return outside ? outside : 1;
    return 2 + outside + (s->max_ttl + s->skew + s->rotate_every - 1) / s->rotate_every;
}
