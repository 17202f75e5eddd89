/* What an operator should know, in sentences: said by status as long as it holds. */
#include "daemon/broker/keys/keys_private.h"

#include "daemon/base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CLOCK_TOLD_MS (24ll * 3600 * 1000)       /* for how long that the clock was set is worth a word */
#define LATE_S 60                                /* a step that is due so long is late */

struct notices {
    void (*tell)(void *ctx, const char *text);
    void *ctx;
};

static void say(struct notices *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct notices *n, const char *fmt, ...)
{
    char text[400];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err_mend_text(text, sizeof text);
    n->tell(n->ctx, text);
}

static void of_clock(struct notices *n, const struct keys *k)
{
    int64_t ago_ms = clock_steady_ms() - k->clock.set_ms;

    char by[CLOCK_TEXT], ago[CLOCK_TEXT];

    if (k->clock.by_ms && ago_ms < CLOCK_TOLD_MS)
        say(n, "the clock was set %s by %s, %s ago: tokens of before may seem to be of another time",
            k->clock.by_ms > 0 ? "forward" : "back", clock_write_span(by, k->clock.by_ms / 1000),
            clock_write_span(ago, ago_ms / 1000));
}

static void of_token(struct notices *n, const struct keys *k)
{
    if (keys_no_facts(k))
        say(n, "the token keeps no data objects (%s): a revoked key can only be destroyed, and whoever restores a backup of"
            " it brings it back; no next key can be brought forward", k->powers.lacks);
    if (k->powers.known && !k->powers.destroys)
        say(n, "the token does not let signetd destroy objects (%s): expired and revoked keys stay on it until a person"
            " removes them", k->powers.lacks);
    if (k->n_foreign_facts)
        say(n, "%zu data objects are named like facts of signet and are not: they are ignored (signet key list)",
            k->n_foreign_facts);
}

/* One key is enough: those behind it are behind the same. */
static void of_gap(struct notices *n, const struct ring_view *v, int64_t now)
{
    for (size_t i = ring_size(v->ring); i-- > 0;) {
        const struct ring_key *key = ring_key(v->ring, i);
        if (key->gone || ring_state(v->ring, i, now) != KEY_EXPIRED || !ring_behind_gap(v->ring, i, now))
            continue;
        say(n, "ring '%s': after key '%s' no other took over for much longer than rotate_every: signetd was off, or a clock is"
            " wrong; it and older ones stay on the token until a person destroys them (signet key destroy)",
            v->config->settings.name, key->kid);
        return;
    }
}

static void of_keys(struct notices *n, const struct ring_view *v, int64_t now)
{
    const char *name = v->config->settings.name;
    char at[CLOCK_TEXT];

    for (size_t i = 0; i < ring_size(v->ring); i++) {
        const struct ring_key *key = ring_key(v->ring, i);
        enum key_state state = ring_state(v->ring, i, now);
        if (state == KEY_NEXT && ring_too_far(v->ring, i, now))
            say(n, "ring '%s': key '%s' is to sign from %s, which is too far away: it was made by a clock that was wrong and"
                " does not count; to be rid of it: signet key destroy %s", name, key->kid, clock_write(at, key->activates_at),
                key->kid);
        if (state == KEY_ORPHAN && !key->gone && (key->half || key->origin == KEY_GENERATED))
            say(n, "ring '%s': key '%s' was made by halves, or is being made: if it stays so it is destroyed", name,
                key->kid[0] ? key->kid : "(no kid)");
        else if (state == KEY_ORPHAN && !key->gone && key->trouble.reason != ERR_NONE)
            say(n, "ring '%s': what was to sign from %s cannot: %s; it is not destroyed by itself, as it was not made here",
                name, clock_write(at, key->activates_at), key->trouble.text);
    }
}

static void of_ring(struct notices *n, const struct keys *k, const struct ring_view *v, int64_t now)
{
    const struct ring_settings *s = &v->config->settings;
    struct ring_next next = ring_next(v->ring, now);
    int64_t ahead = ring_ahead(v->ring, now);
    char span[CLOCK_TEXT];

    if (v->trouble.reason != ERR_NONE)
        say(n, "ring '%s': what is due could not be done: %s: %s", s->name, err_reason_name(v->trouble.reason), v->trouble.text);
    else if (next.action == RING_GENERATE && now - next.at > LATE_S + s->refresh && !keys_changing(k, s->name))
        say(n, "ring '%s': its next key is late, due %s ago", s->name, clock_write_span(span, now - next.at));
    if (s->rotate_every && ahead > s->publish_ahead)
        say(n, "ring '%s': keys are made %s ahead, longer than publish_ahead: older keys promised a longer jwks_max_age or"
            " skew, and copies of them are out still", s->name, clock_write_span(span, ahead));
    of_keys(n, v, now);
    of_gap(n, v, now);
}

void keys_notices(const struct keys *k, int64_t now, void (*tell)(void *ctx, const char *text), void *ctx)
{
    struct notices n = { tell, ctx };

    of_clock(&n, k);
    of_token(&n, k);
    for (size_t i = 0; i < k->n_views; i++)
        if (k->views[i].ring)
            of_ring(&n, k, &k->views[i], now);
}
