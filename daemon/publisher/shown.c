#include "daemon/publisher/shown.h"

#include "daemon/channel/channel.h"
#include "proto/cleanup.h"
#include "proto/wire.h"

#include <string.h>

#define MAX_FIELDS 262144u           /* of a status, or of all keys: the broker bounds them lower */

struct parts {
    Signet__Role__Message *message;
    Signet__V1__GetStatusReply *status;
    Signet__V1__ListKeysReply *keys;
};

static void parts_clear(struct parts *p)
{
    channel_done(p->message);
    signet__v1__get_status_reply__free_unpacked(p->status, NULL);
    signet__v1__list_keys_reply__free_unpacked(p->keys, NULL);
}

void shown_clear(struct shown *s)
{
    parts_clear(&(struct parts){ s->message, s->status, s->keys });
    s->message = NULL;
    s->status = NULL;
    s->keys = NULL;
}

static uint64_t counter(const Signet__V1__GetStatusReply *s, const char *name)
{
    for (size_t i = 0; i < s->n_counters; i++)
        if (strcmp(s->counters[i]->name, name) == 0)
            return s->counters[i]->value;
    return 0;
}

static void add_point(struct shown *s)
{
    const Signet__V1__GetStatusReply *status = s->status;

    if (s->n_points == SHOWN_POINTS)
        memmove(s->points, s->points + 1, --s->n_points * sizeof *s->points);
    struct shown_point *p = &s->points[s->n_points++];
    *p = (struct shown_point){
        .told_ms = s->told_ms, .n_signed = counter(status, "signed_tokens"), .n_verified = counter(status, "verified_tokens"),
        .n_failed = counter(status, "refused_requests") + counter(status, "late_requests") +
                    counter(status, "unavailable_requests"),
    };
    for (size_t i = 0; i < status->n_stages && i < SHOWN_STAGES; i++)
        for (size_t k = 0; k < status->stages[i]->n_counts && k < SHOWN_BOUNDS; k++)
            p->counts[i][k] = status->stages[i]->counts[k];
}

const struct shown_point *shown_before(const struct shown *s, int64_t ms)
{
    for (size_t i = 0; i + 1 < s->n_points; i++)
        if (s->points[s->n_points - 1].told_ms - s->points[i].told_ms <= ms)
            return &s->points[i];
    return NULL;
}

/* Who tells it reads strangers' bytes. */
static bool unpack(struct parts *out, struct err *e)
{
    const Signet__Role__Snapshot *m = out->message->snapshot;

    if (!wire_check_max(&signet__v1__get_status_reply__descriptor, m->status.data, m->status.len, MAX_FIELDS, e) ||
        !wire_check_max(&signet__v1__list_keys_reply__descriptor, m->keys.data, m->keys.len, MAX_FIELDS, e))
        return false;
    out->status = signet__v1__get_status_reply__unpack(NULL, m->status.len, m->status.data);
    out->keys = signet__v1__list_keys_reply__unpack(NULL, m->keys.len, m->keys.data);
    if (out->status && out->keys)
        return true;
    parts_clear(&(struct parts){ NULL, TAKE(out->status), TAKE(out->keys) });
    return err_set(e, ERR_NO_MEMORY, "a status is malformed, or there is no memory for it");
}

bool shown_take(struct shown *s, Signet__Role__Message *m, int64_t steady_ms, struct err *e)
{
    struct parts next = { .message = m };
    bool ok = unpack(&next, e);

    /* Another broker counts anew; so may who comes after one of whom nothing is known. */
    if (!ok || (s->status && (s->status->pid != next.status->pid || s->status->started_at != next.status->started_at)))
        s->n_points = 0;
    shown_clear(s);
    s->message = next.message;
    s->status = next.status;
    s->keys = next.keys;
    s->told_ms = steady_ms;
    s->number++;
    if (ok)
        add_point(s);
    return ok;
}

const Signet__Role__RingSet *shown_set(const struct shown *s, const char *ring)
{
    const Signet__Role__Snapshot *m = s->message ? s->message->snapshot : NULL;

    for (size_t i = 0; m && i < m->n_sets; i++)
        if (strcmp(m->sets[i]->ring, ring) == 0)
            return m->sets[i];
    return NULL;
}

bool shown_is_fresh(const struct shown *s, int64_t steady_ms)
{
    return s->status && steady_ms - s->told_ms <= SHOWN_STALE_MS;
}
