#include "client/cli/plan.h"

#include "client/cli/ring.h"

#include <string.h>

const char *plan_name(char out[PLAN_NAME], const struct signet_ring_plan *p, size_t key)
{
    unsigned nth = 0;

    for (size_t i = 0; i <= key; i++)
        nth += p->keys[i].to_come;
    if (p->keys[key].to_come)
        snprintf(out, PLAN_NAME, "new key %u", nth);
    else
        snprintf(out, PLAN_NAME, "%.128s", *p->keys[key].kid ? p->keys[key].kid : "a key of no kid");
    return out;
}

/* "12h1m": every unit that has a part in it. Returns out. */
static const char *spell(char out[16], uint32_t s)
{
    static const struct { uint32_t s; char name; } units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
    size_t len = 0;

    for (size_t i = 0; i < ARRAY_LEN(units); s %= units[i++].s)
        if (s / units[i].s)
            len += (size_t)snprintf(out + len, 16 - len, "%u%c", (unsigned)(s / units[i].s), units[i].name);
    return len ? out : strcpy(out, "0s");
}

/* One that is there already needs no time to be made. */
uint32_t plan_needs_s(const struct signet_ring_plan *p, size_t key)
{
    const struct signet_planned_key *k = &p->keys[key];

    return k->longest_max_age_s + p->ring->refresh_s + p->ring->skew_s + (k->to_come ? p->ring->generation_s : 0);
}

const char *plan_sum(char out[PLAN_SUM], const struct signet_ring_plan *p, size_t key)
{
    const struct signet_planned_key *k = &p->keys[key];
    char age[16], refresh[16], skew[16], make[16], all[16];

    snprintf(out, PLAN_SUM, "jwks_max_age %s + refresh %s + skew %s%s%s = %s", spell(age, k->longest_max_age_s),
             spell(refresh, p->ring->refresh_s), spell(skew, p->ring->skew_s), k->to_come ? " + making it " : "",
             k->to_come ? spell(make, p->ring->generation_s) : "", spell(all, plan_needs_s(p, key)));
    return out;
}

/* --- in words ---------------------------------------------------------------------------------- */

/* In the order in which those of one moment are told. */
enum what { ENDS, GOES, PRIVATE_GOES, MADE, SIGNS };
struct event { int64_t at; enum what what; size_t key; };

static int by_time(const void *a, const void *b)
{
    const struct event *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->what != y->what ? (int)x->what - (int)y->what : x->key < y->key ? -1 : x->key > y->key;
}

static bool is(const struct signet_planned_key *k, const char *state)
{
    return strcmp(k->state, state) == 0;
}

bool plan_is_dead(const struct signet_planned_key *k)
{
    return is(k, "revoked") || is(k, "orphan") || is(k, "gone");
}

/* A revoked key that never signed holds no place. */
static bool has_turn(const struct signet_planned_key *k)
{
    return k->activates_at && (!k->destroyed_at || k->destroyed_at > k->activates_at);
}

/* Whose turn ends with this key's; NULL: nobody's. Its name in `name`. */
static const struct signet_planned_key *key_before(const struct signet_ring_plan *p, size_t key, char name[PLAN_NAME])
{
    while (key > 0 && !has_turn(&p->keys[key - 1]))
        key--;
    if (key == 0)
        return NULL;
    plan_name(name, p, key - 1);
    return &p->keys[key - 1];
}

static const char *fate(const struct signet_planned_key *dead)
{
    return is(dead, "revoked") ? "revoked" : is(dead, "gone") ? "gone from the token" : "not proved";
}

static size_t collect(const struct signet_ring_plan *p, struct event *out)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n; i++) {
        const struct signet_planned_key *k = &p->keys[i];
        const struct event all[] = {
            { k->to_come ? k->published_at : 0, MADE, i }, { has_turn(k) ? k->activates_at : 0, SIGNS, i },
            { plan_is_dead(k) ? 0 : k->ends_at, ENDS, i }, { k->private_destroyed_at, PRIVATE_GOES, i },
            { k->destroyed_at, GOES, i },
        };
        for (size_t e = 0; e < ARRAY_LEN(all); e++)
            if (all[e].at && all[e].at <= p->until)
                out[n++] = all[e];
    }
    qsort(out, n, sizeof *out, by_time);
    return n;
}

static void put_why(const char *text)
{
    printf("    %s%s%s\n", paint(PAINT_DIM), text, paint_off());
}

/* At its own turn; of those whose time has come one that nothing keeps from it. */
static bool can_sign(const struct signet_ring_plan *p, const struct signet_planned_key *k)
{
    return k->activates_at > p->now ? !plan_is_dead(k) : strcmp(k->kid, p->ring->status.active_kid) == 0;
}

static void put_made(const struct signet_ring_plan *p, size_t key, const char *name)
{
    const struct signet_planned_key *k = &p->keys[key], *before;
    char name_before[PLAN_NAME], why[256];

    printf("%s is made\n", name);
    before = key_before(p, key, name_before);
    if (k->activates_at - k->published_at <= p->ring->refresh_s) {
        put_why("it signs at once, for nothing else does");
        return;
    }
    if (before && can_sign(p, before))
        snprintf(why, sizeof why, "safe: it is published and used for nothing yet; while it cannot be made, %s goes on signing",
                 name_before);
    else
        snprintf(why, sizeof why, "safe: it is published and used for nothing yet; nothing signs meanwhile");
    put_why(why);
}

static void put_turn(const struct signet_ring_plan *p, size_t key, const char *name)
{
    char name_before[PLAN_NAME];
    const struct signet_planned_key *before = key_before(p, key, name_before);

    printf("%s signs", name);
    if (before && plan_is_dead(before))
        printf("; %s is %s", name_before, fate(before));
    else if (before)
        printf("; %s retires: it signs no more and still verifies", name_before);
    putchar('\n');
}

static void put_signs(const struct signet_ring_plan *p, size_t key, const char *name)
{
    const struct signet_planned_key *k = &p->keys[key];
    int64_t ahead = k->activates_at - k->published_at;
    char sum[PLAN_SUM], span[16], when[80], why[400];

    if (plan_is_dead(k)) {
        printf("%s %s: it is %s\n", name, k->activates_at <= p->now && !is(k, "orphan") ? "began to sign, and does no more"
               : "has its turn and does not sign", fate(k));
        return;
    }
    put_turn(p, key, name);
    if (!k->published_at) {
        char before[PLAN_NAME];
        if (is(k, "active") && key_before(p, key, before))
            put_why("not known to be safe: it signed at once, or this daemon began only after that");
        return;
    }
    if (ahead >= plan_needs_s(p, key))
        snprintf(why, sizeof why, "safe: %s %s ahead; every verifier has it after %s", k->to_come ? "published" :
                 "seen here", spell(span, (uint32_t)ahead), plan_sum(sum, p, key));
    else if (k->to_come)
        snprintf(why, sizeof why, "not safe: it is published only %s ahead; every verifier has it by %s: %s",
                 spell(span, (uint32_t)ahead), cli_when(when, k->published_at + plan_needs_s(p, key), p->now),
                 plan_sum(sum, p, key));
    else if (k->activates_at <= p->now)
        snprintf(why, sizeof why, "not known to be safe: it was seen here only %s ahead; every verifier has it by %s: %s",
                 spell(span, (uint32_t)ahead), cli_when(when, k->published_at + plan_needs_s(p, key), p->now),
                 plan_sum(sum, p, key));
    else
        snprintf(why, sizeof why, "safe if it was published by %s, which this daemon, having seen it %s ahead, cannot know:"
                 " %s", cli_when(when, k->activates_at - plan_needs_s(p, key), p->now), spell(span, (uint32_t)ahead),
                 plan_sum(sum, p, key));
    put_why(why);
}

static void put_ends(const struct signet_planned_key *k, const char *name)
{
    char span[16], why[160];

    printf("%s ends: it is in the key set no more\n", name);
    snprintf(why, sizeof why, "safe: a token that it signed last, when it retired, lives at most max_ttl + skew = %s",
             spell(span, (uint32_t)(k->ends_at - k->retires_at)));
    put_why(why);
}

static void put_goes(const struct signet_planned_key *k, const char *name)
{
    char span[16], why[160];

    printf("%s is destroyed\n", name);
    if (is(k, "revoked"))
        put_why("it is revoked: nothing of it is used again");
    else if (is(k, "orphan"))
        put_why("safe: it was never whole, its time has not come, and making it would have ended by then");
    else if (!k->ends_at || k->destroyed_at < k->ends_at)
        put_why("safe: a key of the same moment signs in its place, and nobody can have used either yet");
    else {
        snprintf(why, sizeof why, "safe: its last token ended destroy_after = %s before; nothing needs it any more",
                 spell(span, (uint32_t)(k->destroyed_at - k->ends_at)));
        put_why(why);
    }
}

static void put_event(const struct signet_ring_plan *p, const struct event *e)
{
    const struct signet_planned_key *k = &p->keys[e->key];
    char name[PLAN_NAME], when[80];

    plan_name(name, p, e->key);
    printf("%s  %s", cli_when(when, e->at, p->now), e->at == p->now && e->what != SIGNS ? "due: " : "");
    switch (e->what) {
    case MADE:
        put_made(p, e->key, name);
        return;
    case SIGNS:
        put_signs(p, e->key, name);
        return;
    case ENDS:
        put_ends(k, name);
        return;
    case PRIVATE_GOES:
        printf("%s's private half is destroyed\n", name);
        put_why("safe: it signs no more; its public half verifies to its end");
        return;
    case GOES:
        put_goes(k, name);
        return;
    }
}

uint32_t plan_late_s(const struct signet_ring_plan *p)
{
    const struct signet_ring *r = p->ring;
    const struct signet_planned_key *active = NULL;

    for (size_t i = 0; i < p->n; i++) {
        const struct signet_planned_key *k = &p->keys[i];
        if (k->activates_at <= p->now) {
            active = k;
        } else if (active && r->rotate_every_s && !plan_is_dead(k)) {
            int64_t late = k->activates_at - active->activates_at - r->rotate_every_s;
            return late > r->refresh_s ? (uint32_t)late : 0;         /* times are rounded up to refresh */
        }
    }
    return 0;
}

static void put_head(const struct signet_ring_plan *p)
{
    const struct signet_ring *r = p->ring;
    uint32_t late_s = plan_late_s(p);
    char every[16], ttl[16], ahead[16], late[16];

    printf("ring %s (%s): ", r->status.name, r->status.alg);
    if (!r->rotate_every_s)
        printf("never rotates by itself, only by signet ring rotate %s; tokens live at most %s\n", r->status.name,
               spell(ttl, r->max_ttl_s));
    else
        printf("a key signs for %s, tokens live at most %s, keys are published %s ahead; signetd does by itself what is"
               " due\n", spell(every, r->rotate_every_s), spell(ttl, r->max_ttl_s), spell(ahead, r->publish_ahead_s));
    if (*r->status.trouble.reason)
        printf("%sdoes not sign%s: %s: %s\n", paint(PAINT_BAD), paint_off(), r->status.trouble.reason,
               r->status.trouble.text);
    if (late_s)
        printf("%slate%s: the next change comes %s later than rotate_every says, for a key must be published before it"
               " signs\n", paint(PAINT_WARN), paint_off(), spell(late, late_s));
    ring_put_state(&r->status, "");
}

/* What is published beside the key that signs. */
static void put_others(const struct signet_ring_plan *p, const char *state, const char *what)
{
    char name[PLAN_NAME];
    size_t n = 0;

    for (size_t i = 0; i < p->n; i++)
        if (!p->keys[i].to_come && is(&p->keys[i], state))
            printf("%s%s", n++ ? ", " : what, plan_name(name, p, i));
    if (n)
        putchar('\n');
}

void plan_put(const struct signet_ring_plan *p)
{
    CLEANUP(freep) struct event *events = calloc(5 * p->n + 1, sizeof *events);
    size_t n = events ? collect(p, events) : 0, i = 0;
    char now[80];

    put_head(p);
    /* A key that began to sign this second signs; what else is due this second is yet to be done. */
    for (; i < n && (events[i].at < p->now || (events[i].at == p->now && events[i].what == SIGNS)); i++)
        put_event(p, &events[i]);
    printf("%s%s%s  ", paint(PAINT_GOOD), cli_when(now, p->now, p->now), paint_off());
    if (*p->ring->status.active_kid)
        printf("now: %s signs\n", p->ring->status.active_kid);
    else
        puts("now: nothing signs");
    put_others(p, "next", "    published, and signs later: ");
    put_others(p, "retired", "    retired, and published to its end: ");
    for (; i < n; i++)
        put_event(p, &events[i]);
}

json_t *plan_json(const struct signet_ring_plan *p)
{
    json_t *keys = json_array();

    for (size_t i = 0; i < p->n; i++) {
        const struct signet_planned_key *k = &p->keys[i];
        json_array_append_new(keys, json_pack(
            "{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "kid", k->kid, "state", k->state, "to_come", k->to_come,
            "published_at", (json_int_t)k->published_at, "needs_s",
            (json_int_t)(k->published_at ? plan_needs_s(p, i) : 0), "activates_at", (json_int_t)k->activates_at,
            "retires_at", (json_int_t)k->retires_at, "ends_at", (json_int_t)k->ends_at, "private_destroyed_at",
            (json_int_t)k->private_destroyed_at, "destroyed_at", (json_int_t)k->destroyed_at));
    }
    json_t *out = json_pack("{s:s, s:I, s:I, s:I, s:o}", "ring", p->ring->status.name, "now", (json_int_t)p->now, "until",
                            (json_int_t)p->until, "late_s", (json_int_t)plan_late_s(p), "keys", keys);
    ring_add_json(out, &p->ring->status);
    return out;
}
