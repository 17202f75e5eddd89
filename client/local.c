/*
 * The key set is read by many threads and changes now and then: each call
 * takes a counted reference to the set of the moment. What is being fetched
 * is one process's; a forked child begins with the parent's set, and with a
 * state of its own, so that no lock of the parent's can stand in its way.
 *
 * Fetching does not hold up who can do without: half-way to its end a set is
 * asked for anew, and each call lets that go on without waiting for it. Only
 * who has no other way waits: no set yet, one past its promise, a key that it
 * does not have.
 */
#include "client/address.h"
#include "client/clock.h"
#include "client/error.h"
#include "client/handle.h"
#include "client/keys.h"
#include "client/op.h"
#include "client/process.h"
#include "proto/jose/json.h"
#include "proto/jose/verify.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define REFETCH_NS 1000000000    /* between two fetches that begin: unknown kids may come by the thousand */
#define MAX_RINGS 1024u          /* with public keys: what a hostile answer may make us compare */
#define UNKNOWN_WAIT_MS 500      /* for a fetch that a stranger's kid asks for: it must not hold threads up for longer */
#define SOON_MS 50               /* when to try again, where a call may not wait */

struct ring_keys {
    const char *ring;            /* of the set's keys */
    struct jwk_set *set;
    bool partial;                /* not all of them could be read: a newer daemon's, or broken */
};

/* A key set and what it judges by. Never changed once it is there. */
struct key_set {
    _Atomic unsigned n_refs;
    struct signet_keys *keys;
    struct ring_keys *rings;
    size_t n_rings;
    int64_t asked_ns, until_ns;  /* clock_steady_ns */
};

/* Each cause has a rate of its own: a stranger's kids must not keep a set from being renewed, nor the reverse. */
enum cause { AGE, UNKNOWN_KEY };

/* Of one process. */
struct state {
    uint64_t process;            /* process_id */
    pthread_mutex_t lock;
    pthread_cond_t ended;        /* a fetch has, or the one who waited for it has left */
    bool held;                   /* the lock is: seen so in a child, all this may be half-way through anything */
    struct key_set *_Atomic set; /* NULL: none yet */
    struct conn *conn;
    struct keys_fetch *fetch;    /* under way; NULL: none */
    int64_t began_ms;            /* the last one: conn_now_ms, and... */
    int64_t asked_ns;            /* ...clock_steady_ns */
    int64_t next_ns[2];          /* by enum cause, when one may begin: clock_steady_ns */
    uint64_t n_ended;
    bool polled;                 /* a thread waits on the connection, outside the lock: nobody else touches it */
    struct signet_error why;     /* why the last fetch failed; reason "": it did not */
    struct state *inherited;     /* a parent's, that had to be left as it was */
};

struct signet_local {
    struct sockaddr_un address;
    struct signet *daemon;       /* for what only the daemon can judge */
    _Atomic uint32_t wait_ms;
    struct state *_Atomic state;
};

/* --- key sets --------------------------------------------------------------------------------- */

static void set_unref(struct key_set *s)
{
    if (!s || atomic_fetch_sub(&s->n_refs, 1) > 1)
        return;
    for (size_t i = 0; i < s->n_rings; i++)
        jwk_set_free(s->rings[i].set);
    free(s->rings);
    signet_keys_free(s->keys);
    free(s);
}
DEFINE_CLEANUP(struct key_set, set_unref)

static const struct ring_keys *ring_of(const struct key_set *s, const char *name)
{
    for (size_t i = 0; i < s->n_rings; i++)
        if (strcmp(s->rings[i].ring, name) == 0 && s->rings[i].set)
            return &s->rings[i];
    return NULL;
}

/* The keys of each ring as a set of their own, in `sets`, which are JSON yet: where the ring's stands. NULL: no room. */
static json_t *keys_of_ring(struct key_set *s, json_t *sets[MAX_RINGS], const char *ring)
{
    size_t i = 0;

    while (i < s->n_rings && strcmp(s->rings[i].ring, ring) != 0)
        i++;
    if (i == MAX_RINGS)
        return NULL;
    if (i == s->n_rings) {
        sets[i] = json_pack("{s:[]}", "keys");
        if (!sets[i])
            return NULL;
        s->rings[s->n_rings++] = (struct ring_keys){ .ring = ring };
    }
    return json_object_get(sets[i], "keys");
}

/* A ring whose keys are no set is left out: the daemon judges its tokens. */
static bool add_rings(struct key_set *s, json_t *keys, struct signet_error *e)
{
    CLEANUP(freep) json_t **sets = calloc(MAX_RINGS, sizeof *sets);
    struct err why;
    bool ok = sets != NULL;

    s->rings = calloc(MAX_RINGS, sizeof *s->rings);
    for (size_t i = 0; ok && s->rings && i < json_array_size(keys); i++) {
        json_t *own = keys_of_ring(s, sets, keys_ring(s->keys, i));
        ok = own && json_array_append(own, json_array_get(keys, i)) == 0;
    }
    for (size_t i = 0; sets && i < s->n_rings; i++) {
        s->rings[i].set = ok ? jwk_set_of(sets[i], &why) : NULL;
        s->rings[i].partial = s->rings[i].set &&
                              jwk_set_size(s->rings[i].set) < json_array_size(json_object_get(sets[i], "keys"));
        json_decref(sets[i]);
    }
    return (ok && s->rings) || error_set(e, ERR_PROTOCOL_BROKEN, "a key set of more than %u rings, or no memory for it",
                                         MAX_RINGS);
}

/* Takes the keys. */
static struct key_set *set_new(struct signet_keys *taken, int64_t asked_ns, struct signet_error *e)
{
    CLEANUP(set_unrefp) struct key_set *s = calloc(1, sizeof *s);
    struct err why;
    CLEANUP(json_decrefp) json_t *doc = json_object_read(taken->jwks, strlen(taken->jwks), ERR_PROTOCOL_BROKEN, &why);

    if (!s) {
        signet_keys_free(taken);
        error_no_memory(e);
        return NULL;
    }
    s->n_refs = 1;
    s->keys = taken;
    s->asked_ns = asked_ns;
    s->until_ns = asked_ns + (int64_t)taken->max_age_s * 1000000000;
    return add_rings(s, json_object_get(doc, "keys"), e) ? TAKE(s) : NULL;
}

/* --- fetching: with the lock held ------------------------------------------------------------- */

static void lock(struct state *p)
{
    pthread_mutex_lock(&p->lock);
    p->held = true;
}

static void unlock(struct state *p)
{
    p->held = false;
    pthread_mutex_unlock(&p->lock);
}

static void fetch_ended(struct state *p, const struct signet_error *why)
{
    keys_fetch_free(p->fetch);
    p->fetch = NULL;
    p->why = why ? *why : (struct signet_error){ 0 };
    p->n_ended++;
}

static void on_page(const struct conn_call *call, Signet__V1__Reply *reply, const struct signet_error *e);

static void ask_page(struct state *p)
{
    Signet__V1__Request op;
    Signet__V1__GetKeysRequest m;
    struct signet_error why;
    struct conn_call call = { .done = on_page, .ctx = p };

    keys_fetch_ask(p->fetch, &op, &m);
    if (!conn_begin(p->conn, &op, p->began_ms + HANDLE_TIMEOUT_MS, call, &why))
        fetch_ended(p, &why);
}

static void on_page(const struct conn_call *call, Signet__V1__Reply *reply, const struct signet_error *e)
{
    struct state *p = call->ctx;
    struct signet_keys *keys = NULL;
    struct signet_error why;

    if (!reply) {
        fetch_ended(p, e);
        return;
    }
    enum keys_fetched got = keys_fetch_take(p->fetch, reply, &keys, &why);
    if (got == KEYS_MORE) {
        ask_page(p);
        conn_send(p->conn);
        return;
    }
    struct key_set *set = got == KEYS_DONE ? set_new(keys, p->asked_ns, &why) : NULL;
    if (set)
        set_unref(atomic_exchange(&p->set, set));
    fetch_ended(p, set ? NULL : &why);
}

static bool may_begin(const struct state *p, enum cause cause)
{
    return !p->fetch && clock_steady_ns() >= p->next_ns[cause];
}

static void begin_fetch(struct state *p, enum cause cause)
{
    p->began_ms = conn_now_ms();
    p->asked_ns = clock_steady_ns();
    p->next_ns[cause] = p->asked_ns + REFETCH_NS;
    p->fetch = keys_fetch_new();
    if (p->fetch) {
        ask_page(p);
    } else {
        struct signet_error why;
        error_no_memory(&why);
        fetch_ended(p, &why);
    }
}

static void go_on(struct state *p)
{
    if (p->fetch)
        conn_process(p->conn);
    if (!p->fetch)
        pthread_cond_broadcast(&p->ended);
}

/* What a call does on its way, waiting for nothing. */
static void keep_fresh(struct state *p)
{
    const struct key_set *s = p->set;

    if (p->polled)
        return;
    if (may_begin(p, AGE) && (!s || clock_steady_ns() >= s->asked_ns + (s->until_ns - s->asked_ns) / 2))
        begin_fetch(p, AGE);
    go_on(p);
}

static struct timespec monotonic(int64_t ms)
{
    return (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
}

/* One thread at a time polls; the others wait for it. */
static void poll_or_wait(struct state *p, int64_t until_ms)
{
    int64_t next = conn_next_ms(p->conn), now = conn_now_ms(), at = next < until_ms ? next : until_ms;
    struct pollfd fd = { .fd = conn_fd(p->conn), .events = conn_events(p->conn) };
    struct timespec end = monotonic(until_ms);

    if (p->polled) {
        p->held = false;
        pthread_cond_clockwait(&p->ended, &p->lock, CLOCK_MONOTONIC, &end);
        p->held = true;
        return;
    }
    p->polled = true;
    unlock(p);
    poll(&fd, 1, at > now ? (int)(at - now) : 0);
    lock(p);
    p->polled = false;
    go_on(p);
    pthread_cond_broadcast(&p->ended);
}

/* The fetch that is under way, or may begin now, to its end or until then. */
static void wait_for_fetch(struct state *p, enum cause cause, int64_t until_ms)
{
    uint64_t before = p->n_ended;

    if (may_begin(p, cause) && !p->polled)
        begin_fetch(p, cause);
    if (!p->polled)
        go_on(p);
    while (p->fetch && p->n_ended == before && conn_now_ms() < until_ms)
        poll_or_wait(p, until_ms);
}

/* --- one state a process ------------------------------------------------------------------------ */

static struct state *state_new(const struct sockaddr_un *address)
{
    struct state *p = calloc(1, sizeof *p);

    if (!p || !(p->conn = conn_new(address))) {
        free(p);
        return NULL;
    }
    p->process = process_id();
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->ended, NULL);
    return p;
}

static void state_free(struct state *p)
{
    if (!p)
        return;
    state_free(p->inherited);
    if (p->process != process_id() && p->held) {         /* half-way: its memory is left, the descriptor is not */
        conn_abandon(p->conn);
        return;
    }
    conn_free(p->conn);
    keys_fetch_free(p->fetch);
    set_unref(p->set);
    if (p->process == process_id()) {
        pthread_cond_destroy(&p->ended);
        pthread_mutex_destroy(&p->lock);
    }
    free(p);
}

/* The parent's set holds in the child too; its connection is closed. */
static struct state *state_of(struct signet_local *l)
{
    struct state *p = l->state;

    if (p->process == process_id())
        return p;
    struct state *mine = state_new(&l->address);
    if (!mine)
        return NULL;
    struct key_set *set = p->set;
    if (set)
        atomic_fetch_add(&set->n_refs, 1);
    mine->set = set;
    mine->inherited = p;
    if (atomic_compare_exchange_strong(&l->state, &p, mine)) {
        conn_abandon(mine->inherited->conn);
        return mine;
    }
    mine->inherited = NULL;
    state_free(mine);
    return p;
}

struct signet_local *signet_local_open(const char *path, struct signet_error *e)
{
    struct signet_local *l = calloc(1, sizeof *l);

    if (!l) {
        error_no_memory(e);
        return NULL;
    }
    l->wait_ms = HANDLE_TIMEOUT_MS;
    if (!address_of(DOOR_CALLERS, path, &l->address, e) || !(l->daemon = signet_open(l->address.sun_path, e))) {
        free(l);
        return NULL;
    }
    struct state *p = state_new(&l->address);
    l->state = p;
    if (p)
        return l;
    error_no_memory(e);
    signet_close(l->daemon);
    free(l);
    return NULL;
}

void signet_local_close(struct signet_local *l)
{
    if (!l)
        return;
    state_free(l->state);
    signet_close(l->daemon);
    free(l);
}

void signet_local_set_wait(struct signet_local *l, uint32_t wait_ms)
{
    if (l)
        l->wait_ms = wait_ms;
}

/* --- judging ------------------------------------------------------------------------------------ */

/* A call, from its beginning to its verdict. */
struct judging {
    struct jws jws;
    const char *profile, *audience;      /* as asked; NULL: none */
    int64_t began_ns;                    /* clock_steady_ns */
    const char *daemon_profile;          /* out: what it takes is not in the set, but in the daemon's hands, by this one */
};

static struct claims_rules rules_of(const struct signet_profile *p)
{
    return (struct claims_rules){ .issuer = p->issuer, .audiences = p->audiences, .n_audiences = p->n_audiences,
                                  .typ = p->typ, .leeway_s = p->leeway_s, .now = clock_wall_s() };
}

static const struct signet_profile *named(const struct signet_keys *k, const char *name, struct err *e)
{
    for (size_t i = 0; i < k->n_profiles; i++)
        if (strcmp(k->profiles[i].name, name) == 0)
            return &k->profiles[i];
    err_set(e, ERR_UNKNOWN_PROFILE, "there is no profile '%.64s'", name);
    return NULL;
}

static const struct signet_profile *fitting(const struct signet_keys *k, const struct jws *j, struct err *e)
{
    CLEANUP(claims_clear) struct claims c = { 0 };
    enum claims_fit farthest = CLAIMS_FIT_NONE;

    if (!claims_peek(j->payload.data, j->payload.len, &c, e))
        return NULL;
    for (size_t i = 0; i < k->n_profiles; i++) {
        struct claims_rules rules = rules_of(&k->profiles[i]);
        enum claims_fit f = k->profiles[i].raw ? CLAIMS_FIT_NONE : claims_fit(&c, j->typ, &rules);
        if (f == CLAIMS_FIT_ALL)
            return &k->profiles[i];
        farthest = f > farthest ? f : farthest;
    }
    claims_misfit(farthest, e);
    return NULL;
}

static bool audience_ok(const struct signet_profile *p, const char *audience, struct err *e)
{
    for (size_t i = 0; audience && !p->raw && i < p->n_audiences; i++)
        if (strcmp(p->audiences[i], audience) == 0)
            return true;
    return !audience || err_set(e, ERR_AUDIENCE_NOT_ALLOWED, "profile '%s' has no audience '%.64s'", p->name, audience);
}

static struct signet_verified *judge(struct judging *g, const struct key_set *s, struct err *e)
{
    CLEANUP(claims_clear) struct claims claims = { 0 };
    g->daemon_profile = NULL;
    const struct signet_profile *p = g->profile ? named(s->keys, g->profile, e) : fitting(s->keys, &g->jws, e);

    if (!p || !audience_ok(p, g->audience, e))
        return NULL;
    const struct alg *alg = alg_by_name(p->alg, strlen(p->alg));
    const struct ring_keys *keys = ring_of(s, p->ring);
    /* HMAC, rings that are not published, an algorithm of a newer daemon. */
    g->daemon_profile = !keys || !alg ? p->name : NULL;
    if (g->daemon_profile) {
        err_set(e, alg && alg->family == ALG_HMAC ? ERR_KEY_UNUSABLE : ERR_KEY_UNKNOWN, "profile '%s' has no public key", p->name);
        return NULL;
    }
    struct claims_rules rules = rules_of(p);
    if (g->audience) {
        rules.audiences = &g->audience;
        rules.n_audiences = 1;
    }
    /* No list of algorithms: each key of the ring names its own, and a ring may be on its way from one to another. */
    const struct verify_rules how = { .claims = p->raw ? NULL : &rules };
    const struct jwk *key = NULL;
    struct signet_error no_memory;
    if (!verify_jws(&g->jws, keys->set, &how, &key, &claims, e)) {
        /* It may be one of those that we cannot read. */
        g->daemon_profile = keys->partial && e->reason == ERR_KEY_UNKNOWN ? p->name : NULL;
        return NULL;
    }
    struct signet_verified *v = op_verified(g->jws.payload.data, g->jws.payload.len, p->name, jwk_kid(key),
                                            claims.expires_at, &no_memory);
    if (!v)
        err_set(e, ERR_NO_MEMORY, "no memory");
    return v;
}

/* What a newer set might say otherwise: a key, a profile or an audience of one that this one does not have. */
static bool may_be_new(const struct jws *j, enum err_reason why)
{
    static const enum err_reason absent[] = { ERR_KEY_UNKNOWN, ERR_UNKNOWN_PROFILE, ERR_WRONG_ISSUER, ERR_WRONG_AUDIENCE,
                                              ERR_WRONG_TYPE, ERR_AUDIENCE_NOT_ALLOWED };

    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        if (absent[i] == why)
            return true;
    return why == ERR_BAD_SIGNATURE && !j->kid;      /* each key was tried, but for those that are not there */
}

static bool unavailable(const struct signet_local *l, const struct state *p, const char *what, struct signet_error *e)
{
    const char *why = p->fetch ? "it is being fetched: try again" : *p->why.text ? p->why.text : "not fetched yet: try again";

    error_set(e, ERR_KEYS_UNAVAILABLE, "%s, and signetd at '%s' gives no newer set: %s", what, l->address.sun_path, why);
    if (e)
        e->retry_after_ms = SOON_MS;
    return false;
}

/* Within its promise; or fetched for this very call, however short its promise. */
static bool may_judge(const struct key_set *s, const struct judging *g)
{
    return s && (clock_steady_ns() < s->until_ns || s->asked_ns >= g->began_ns);
}

/* A reference to a set that may be judged by; NULL with e. */
static struct key_set *usable_set(struct signet_local *l, struct state *p, const struct judging *g, int64_t until_ms,
                                  struct signet_error *e)
{
    struct key_set *s;

    lock(p);
    keep_fresh(p);
    if (!may_judge(p->set, g))
        wait_for_fetch(p, AGE, until_ms);
    s = may_judge(p->set, g) ? p->set : NULL;
    if (s)
        atomic_fetch_add(&s->n_refs, 1);
    else
        unavailable(l, p, p->set ? "the key set is older than it may become" : "there is no key set", e);
    unlock(p);
    return s;
}

/*
 * A set newer than `s`, at best asked for after the call began, if it may be
 * had: *out. False with e: nobody knows. True without *out: `s` was asked for
 * so shortly ago that its word counts.
 */
static bool newer_set(struct signet_local *l, struct state *p, const struct judging *g, const struct key_set *s,
                      int64_t until_ms, struct key_set **out, struct signet_error *e)
{
    bool known = true;
    int64_t now = conn_now_ms();

    if (until_ms > now + UNKNOWN_WAIT_MS)
        until_ms = now + UNKNOWN_WAIT_MS;
    lock(p);
    if (p->fetch && now - p->began_ms > UNKNOWN_WAIT_MS)
        until_ms = now;                  /* it hangs: nobody waits for it in turn */
    /* A fetch under way may have been answered before: then another, where the rate allows. */
    for (int i = 0; i < 2 && p->set->asked_ns < g->began_ns && (p->fetch || may_begin(p, UNKNOWN_KEY)); i++) {
        wait_for_fetch(p, UNKNOWN_KEY, until_ms);
        if (conn_now_ms() >= until_ms)
            break;
    }
    if (p->set != s) {
        *out = p->set;
        atomic_fetch_add(&(*out)->n_refs, 1);
    } else if (p->fetch || *p->why.reason) {
        known = unavailable(l, p, "the token's key is not in the key set", e);
    }
    unlock(p);
    return known;
}

static struct signet_verified *by_daemon(struct signet_local *l, const struct judging *g, const void *token, size_t len,
                                         int64_t until_ms, struct signet_error *e)
{
    Signet__V1__Request op;
    Signet__V1__VerifyRequest m;

    if (l->wait_ms > 0) {
        Signet__V1__Reply *reply = op_verify(&op, &m, token, len, g->daemon_profile, g->audience, e)
                                       ? handle_call_until(l->daemon, &op, until_ms, e) : NULL;
        return reply ? op_verified_of(&op, reply, e) : NULL;
    }
    error_set(e, ERR_KEYS_UNAVAILABLE, "profile '%s' has no public key: only signetd can judge its tokens, and this call may"
              " not wait (signet_async_verify)", g->daemon_profile);
    return NULL;
}

static struct signet_verified *verify(struct signet_local *l, struct state *p, struct judging *g, const void *token,
                                      size_t len, struct signet_error *e)
{
    int64_t until_ms = conn_now_ms() + l->wait_ms;
    CLEANUP(set_unrefp) struct key_set *s = usable_set(l, p, g, until_ms, e), *newer = NULL;
    struct err why;

    if (!s)
        return NULL;
    struct signet_verified *v = judge(g, s, &why);
    if (!v && may_be_new(&g->jws, why.reason)) {
        if (!newer_set(l, p, g, s, until_ms, &newer, e))
            return NULL;
        if (newer)
            v = judge(g, newer, &why);
    }
    if (!v && g->daemon_profile)
        return by_daemon(l, g, token, len, until_ms, e);
    if (!v)
        error_from(e, &why);
    return v;
}

struct signet_verified *signet_local_verify(struct signet_local *l, const void *token, size_t len,
                                            const char *profile, const char *audience, struct signet_error *e)
{
    struct judging g = { .profile = profile && *profile ? profile : NULL,
                         .audience = audience && *audience ? audience : NULL, .began_ns = clock_steady_ns() };
    struct signet_verified *v = NULL;
    struct state *p;
    struct err why;
    int cancel;

    if (!l || (!token && len)) {
        error_set(e, ERR_BAD_REQUEST, l ? "the token is NULL" : "no handle to call through: did signet_local_open fail?");
        return NULL;
    }
    /* A thread that is cancelled in the middle would leave the others waiting for it. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    if (!(p = state_of(l)))
        error_no_memory(e);
    else if (jws_parse(&g.jws, token, len, VERIFY_MAX_OFFLINE, &why))
        v = verify(l, p, &g, token, len, e);
    else
        error_from(e, &why);
    jws_clear(&g.jws);
    pthread_setcancelstate(cancel, NULL);
    return v;
}
