#include "client/error.h"
#include "client/handle.h"
#include "client/key_list.h"
#include "client/op.h"
#include "client/status.h"

struct owned_list {
    struct signet_ring_list list;
    Signet__V1__Reply *reply;            /* every string lives in it */
    struct signet_ring rings[];
};

struct owned_plan {
    struct signet_ring_plan plan;
    struct signet_ring ring;
    Signet__V1__Reply *reply;
    struct signet_planned_key keys[];
};

struct owned_rotation {
    struct signet_rotation rotation;
    Signet__V1__Reply *reply;
    struct signet_key key;
    struct signet_key_use uses[];
};

/* False: a ring that is not said to be any. */
static bool take_ring(struct signet_ring *out, const Signet__V1__RingInfo *m, struct signet_error *e)
{
    if (!m || !m->status)
        return error_set(e, ERR_PROTOCOL_BROKEN, "signetd answered with a ring without a name");
    *out = (struct signet_ring){
        .status = ring_status_from_wire(m->status), .profiles = (const char *const *)m->profiles,
        .n_profiles = m->n_profiles, .rotate_every_s = m->rotate_every_s, .publish_ahead_s = m->publish_ahead_s,
        .max_ttl_s = m->max_ttl_s, .skew_s = m->skew_s, .max_age_s = m->max_age_s, .refresh_s = m->refresh_s,
        .generation_s = m->generation_s, .destroy_after_s = m->destroy_after_s, .standby = m->standby,
    };
    return true;
}

struct signet_ring_list *signet_list_rings(struct signet *admin, struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__ListRingsRequest m = SIGNET__V1__LIST_RINGS_REQUEST__INIT;

    op.op_case = SIGNET__V1__REQUEST__OP_LIST_RINGS;
    op.list_rings = &m;
    CLEANUP(reply_freep) Signet__V1__Reply *reply = handle_call(admin, &op, e);
    if (!reply)
        return NULL;
    const Signet__V1__ListRingsReply *r = reply->list_rings;
    CLEANUP(freep) struct owned_list *l = calloc(1, sizeof *l + r->n_rings * sizeof *l->rings);
    if (!l) {
        error_no_memory(e);
        return NULL;
    }
    for (size_t i = 0; i < r->n_rings; i++)
        if (!take_ring(&l->rings[i], r->rings[i], e))
            return NULL;
    l->list = (struct signet_ring_list){ l->rings, r->n_rings };
    l->reply = TAKE(reply);
    return &TAKE(l)->list;
}

void signet_ring_list_free(struct signet_ring_list *list)
{
    struct owned_list *l = (struct owned_list *)list;

    if (!l)
        return;
    signet__v1__reply__free_unpacked(l->reply, NULL);
    free(l);
}

static struct signet_planned_key planned(const Signet__V1__PlannedKey *k)
{
    return (struct signet_planned_key){
        .kid = k->kid, .state = k->state, .to_come = k->to_come, .published_at = k->published_at,
        .longest_max_age_s = k->longest_max_age_s, .activates_at = k->activates_at, .retires_at = k->retires_at,
        .ends_at = k->ends_at, .private_destroyed_at = k->private_destroyed_at, .destroyed_at = k->destroyed_at,
    };
}

struct signet_ring_plan *signet_plan_ring(struct signet *admin, const char *ring, int64_t until, struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__PlanRingRequest m = SIGNET__V1__PLAN_RING_REQUEST__INIT;

    if (!op_ring_ok(ring, e))
        return NULL;
    m.ring = (char *)(uintptr_t)ring;
    m.until = until;
    op.op_case = SIGNET__V1__REQUEST__OP_PLAN_RING;
    op.plan_ring = &m;
    CLEANUP(reply_freep) Signet__V1__Reply *reply = handle_call(admin, &op, e);
    if (!reply)
        return NULL;
    const Signet__V1__PlanRingReply *r = reply->plan_ring;
    CLEANUP(freep) struct owned_plan *p = calloc(1, sizeof *p + r->n_keys * sizeof *p->keys);
    if (!p) {
        error_no_memory(e);
        return NULL;
    }
    if (!take_ring(&p->ring, r->ring, e))
        return NULL;
    for (size_t i = 0; i < r->n_keys; i++)
        p->keys[i] = planned(r->keys[i]);
    p->plan = (struct signet_ring_plan){ &p->ring, r->now, r->until, p->keys, r->n_keys };
    p->reply = TAKE(reply);
    return &TAKE(p)->plan;
}

void signet_ring_plan_free(struct signet_ring_plan *plan)
{
    struct owned_plan *p = (struct owned_plan *)plan;

    if (!p)
        return;
    signet__v1__reply__free_unpacked(p->reply, NULL);
    free(p);
}

static struct signet_rotation *rotation_of(Signet__V1__Reply *taken, struct signet_error *e)
{
    CLEANUP(reply_freep) Signet__V1__Reply *reply = taken;
    const Signet__V1__RotateRingReply *r = reply->rotate_ring;
    struct owned_rotation *o = calloc(1, sizeof *o + (r->key ? r->key->n_uses : 0) * sizeof *o->uses);

    if (!o) {
        error_no_memory(e);
        return NULL;
    }
    struct signet_key_use *uses = o->uses;
    o->rotation = (struct signet_rotation){ .made = r->made, .activates_at = r->activates_at, .before = r->before,
                                            .known_at = r->known_at };
    if (r->key) {
        o->key = key_from_wire(r->key, &uses);
        o->rotation.key = &o->key;
    }
    o->reply = TAKE(reply);
    return &o->rotation;
}

struct signet_rotation *signet_rotate_ring(struct signet *admin, const char *ring, bool at_once, bool dry_run,
                                           struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__RotateRingRequest m = SIGNET__V1__ROTATE_RING_REQUEST__INIT;

    if (!op_ring_ok(ring, e))
        return NULL;
    m.ring = (char *)(uintptr_t)ring;
    m.at_once = at_once;
    m.dry_run = dry_run;
    op.op_case = SIGNET__V1__REQUEST__OP_ROTATE_RING;
    op.rotate_ring = &m;
    CLEANUP(reply_freep) Signet__V1__Reply *reply = handle_call(admin, &op, e);
    if (!reply)
        return NULL;
    if (!reply->rotate_ring->key && !(dry_run && reply->rotate_ring->made)) {
        error_set(e, ERR_PROTOCOL_BROKEN, "signetd answered without the key that is to sign");
        return NULL;
    }
    return rotation_of(TAKE(reply), e);
}

void signet_rotation_free(struct signet_rotation *rotation)
{
    struct owned_rotation *o = (struct owned_rotation *)rotation;

    if (!o)
        return;
    signet__v1__reply__free_unpacked(o->reply, NULL);
    free(o);
}
