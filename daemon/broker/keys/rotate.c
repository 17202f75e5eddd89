/*
 * Rings turn by themselves: what ring_next says is due is done, by one daemon
 * of a fleet mostly: each waits a random part of a refresh first, lists the
 * token again, and asks again whether it is still to be done.
 */
#include "daemon/broker/keys/keys_private.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* A key's making still begins within the refresh that its plan leaves for it. */
#define TURN_PART 3 / 4
#define LIST_AGAIN_MS 500            /* between listings for what is due, where it stays due */

static int64_t some_of(int64_t ms)
{
    uint32_t dice = 0;

    if (getrandom(&dice, sizeof dice, GRND_NONBLOCK) != sizeof dice)
        dice = (uint32_t)clock_mono_us();
    return (int64_t)(dice % (uint64_t)(ms > 0 ? ms : 1));
}

/* The first key of an empty ring and the step that has a ring sign again wait for nobody. */
static int64_t wait_ms(const struct ring_view *v, const struct ring_next *next)
{
    if (next->action == RING_PROMOTE || ring_size(v->ring) == 0)
        return 0;
    return some_of(v->config->settings.refresh * 1000 * TURN_PART);
}

/* What failed is not begun anew before its time; what else is due is. */
static bool must_wait(const struct ring_view *v, const struct ring_next *next)
{
    return v->retry_action == next->action && clock_steady_ms() < v->retry_ms;
}

/* When the ring's next step is done, and which that is. */
static struct ring_next look_ahead(struct ring_view *v, int64_t now)
{
    struct ring_next next = ring_next(v->ring, now);

    v->next_at = next.at;
    if (next.at > now)
        v->due_ms = 0;
    else if (v->due_ms == 0 || v->due_action != next.action)
        v->due_ms = clock_steady_ms() + wait_ms(v, &next);
    v->due_action = next.action;
    return next;
}

static void begin_due(struct keys *k, struct ring_view *v, int64_t now)
{
    const char *name = v->config->settings.name;
    struct ring_next next = look_ahead(v, now);

    if (next.at > now || clock_steady_ms() < v->due_ms || must_wait(v, &next))
        return;
    if (ring_size(v->ring) == 0)
        log_info("ring '%s' has no key on %s and says create: one is generated", name, k->token);
    v->due_ms = 0;
    change_add(k, name, &(struct keys_change){ .kind = CHANGE_DUE }, NULL);
}

/* What is revoked and not on the token any more is said there again. */
static void write_again(struct keys *k, struct ring_view *v)
{
    const struct fact *f = facts_lost(k, v->config->settings.name);

    if (f && !keys_no_facts(k) && (v->retry_action != RING_NOTHING || clock_steady_ms() >= v->retry_ms))
        change_add(k, v->config->settings.name, &(struct keys_change){ .kind = CHANGE_FACT, .fact = f->f }, NULL);
}

/* --- what the token lets us do ------------------------------------------------------------------- */

static void powers_told(void *owner, struct job *j, const Signet__Role__Message *m, const struct err *e)
{
    struct keys *k = owner;
    const Signet__Role__Powers *p = m && m->of_case == SIGNET__ROLE__MESSAGE__OF_POWERS ? m->powers : NULL;

    k->powers.trying = false;
    if (!p || p->why)
        return;                      /* asked again after the next listing */
    k->powers.known = true;
    k->powers.keeps_facts = p->keeps_facts;
    k->powers.destroys = p->destroys;
    snprintf(k->powers.lacks, sizeof k->powers.lacks, "%s", p->lacks);
    if (!p->keeps_facts)
        log_warning("%s keeps no data objects (%s): a revoked key can only be destroyed, and whoever restores a"
                    " backup of it brings it back; no next key can be brought forward", k->token, k->powers.lacks);
    if (!p->destroys)
        log_warning("%s does not let signetd destroy objects (%s): expired and revoked keys stay on it until a"
                    " person removes them", k->token, k->powers.lacks);
}

bool keys_no_facts(const struct keys *k)
{
    return k->powers.known && !k->powers.keeps_facts;
}

static void ask_powers(struct keys *k)
{
    struct work_for f = keys_work(k, k->conf->config->tokens[0].generate_timeout_ms, powers_told, k);
    struct job *j = k->powers.known || k->powers.trying ? NULL : work_try_powers(&f);
    struct err e;

    if (j && pool_submit(k->signers, j, &e))
        k->powers.trying = true;
}

/* --- its moments ------------------------------------------------------------------------------------ */

void rotate_settled(struct keys *k, int64_t now)
{
    ask_powers(k);
    for (size_t i = 0; i < k->n_views; i++) {
        struct ring_view *v = &k->views[i];
        if (keys_changing(k, v->config->settings.name) || view_is_owed(k, v))
            continue;
        write_again(k, v);
        begin_due(k, v, now);
    }
}

void rotate_tick(struct keys *k, int64_t now)
{
    int64_t steady_ms = clock_steady_ms();

    for (size_t i = 0; i < k->n_views && !k->listing && k->n_proving == 0; i++) {
        struct ring_view *v = &k->views[i];
        if (!v->ring || v->next_at > now || keys_changing(k, v->config->settings.name))
            continue;
        struct ring_next next = look_ahead(v, now);
        if (must_wait(v, &next))
            continue;
        if (v->due_ms && steady_ms >= v->due_ms && steady_ms - k->due_listed_ms >= LIST_AGAIN_MS) {
            k->due_listed_ms = steady_ms;
            keys_refresh(k);         /* rotate_settled begins it */
        }
    }
}
