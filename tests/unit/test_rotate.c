/* What administrators ask of keys and rings, and what is said of them, against a daemon that answers by script. */
#include "client/handle.h"
#include "client/signet.h"
#include "proto/cleanup.h"
#include "tests/support/script.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>

/* --- an honest daemon, but for the kids and rings that ask for another --------------------------------------- */

static Signet__V1__KeyUse use[3] = { SIGNET__V1__KEY_USE__INIT, SIGNET__V1__KEY_USE__INIT, SIGNET__V1__KEY_USE__INIT };
static Signet__V1__KeyUse *uses[] = { &use[0], &use[1], &use[2] };

/* Two profiles signed with the first, one with the second. */
static Signet__V1__KeyInfo key_of(char *kid, size_t nth)
{
    Signet__V1__KeyInfo k = SIGNET__V1__KEY_INFO__INIT;

    use[0].profile = "web", use[0].signatures = 1ull << 40;
    use[1].profile = "api", use[1].signatures = 2;
    use[2].profile = "new", use[2].signatures = 7;
    k.kid = kid;
    k.ring = "web";
    k.id = "00ff";
    k.uses = uses + 2 * nth;
    k.n_uses = 2 - nth;
    k.signatures = nth ? 7 : (1ull << 40) + 2;
    return k;
}

static void say_rotation(int fd, const Signet__V1__RotateRingRequest *m, Signet__V1__Reply *reply)
{
    Signet__V1__RotateRingReply r = SIGNET__V1__ROTATE_RING_REPLY__INIT;
    Signet__V1__KeyInfo key = key_of("next", 0);

    r.key = m->dry_run || strcmp(m->ring, "none") == 0 ? NULL : &key;
    r.made = strcmp(m->ring, "lazy") != 0;
    r.activates_at = m->at_once ? 1000 : 2000;
    r.before = 3000;
    r.known_at = 1900;
    reply->result_case = SIGNET__V1__REPLY__RESULT_ROTATE_RING;
    reply->rotate_ring = &r;
    script_put_reply(fd, reply);
}

static void say_revocation(int fd, const Signet__V1__RevokeKeyRequest *m, Signet__V1__Reply *reply)
{
    Signet__V1__RevokeKeyReply r = SIGNET__V1__REVOKE_KEY_REPLY__INIT;
    Signet__V1__KeyInfo key = key_of(m->kid, 0), successor = key_of("successor", 1);
    Signet__V1__Error trouble = SIGNET__V1__ERROR__INIT;

    trouble.code = 13;
    trouble.reason = "TOKEN_FAILED";
    r.key = &key;
    r.recorded = r.promoted = true;
    r.known_at = 10;
    r.tokens_until = 20;
    if (strcmp(m->kid, "lonely") == 0)
        r.trouble = &trouble;
    else
        r.successor = &successor, r.destroyed = true;
    if (strcmp(m->kid, "absent") == 0)
        r.key = NULL;
    if (strcmp(m->kid, "swapped") == 0)
        key.kid = "another";
    reply->result_case = SIGNET__V1__REPLY__RESULT_REVOKE_KEY;
    reply->revoke_key = &r;
    script_put_reply(fd, reply);
}

static void say_destroyed(int fd, const Signet__V1__DestroyKeyRequest *m, Signet__V1__Reply *reply)
{
    Signet__V1__DestroyKeyReply r = SIGNET__V1__DESTROY_KEY_REPLY__INIT;
    bool by_id = strcasecmp(m->kid, "00ff") == 0;
    Signet__V1__KeyInfo key = key_of(by_id ? "" : m->kid, 0);

    key.state = m->i_know ? "active" : "next";
    if (strcmp(m->kid, "swapped") == 0)
        key.kid = "another";
    r.key = &key;
    reply->result_case = SIGNET__V1__REPLY__RESULT_DESTROY_KEY;
    reply->destroy_key = &r;
    script_put_reply(fd, reply);
}

static void say_keys(int fd, Signet__V1__Reply *reply)
{
    Signet__V1__ListKeysReply r = SIGNET__V1__LIST_KEYS_REPLY__INIT;
    Signet__V1__KeyInfo key[] = { key_of("a", 0), key_of("b", 1) }, *keys[] = { &key[0], &key[1] };
    char *facts[] = { "signet:web:revoked:x:1", "signet:web:promote:y:2" };

    r.keys = keys;
    r.foreign_facts = facts;
    r.n_keys = r.n_foreign_facts = 2;
    reply->result_case = SIGNET__V1__REPLY__RESULT_LIST_KEYS;
    reply->list_keys = &r;
    script_put_reply(fd, reply);
}

static void say_status(int fd, Signet__V1__Reply *reply)
{
    Signet__V1__GetStatusReply r = SIGNET__V1__GET_STATUS_REPLY__INIT;
    Signet__V1__RingStatus ring = SIGNET__V1__RING_STATUS__INIT, *rings[] = { &ring };
    Signet__V1__Error trouble = SIGNET__V1__ERROR__INIT;
    char *notices[] = { "the clock is wrong", "the token is full" };

    trouble.code = 14;
    trouble.reason = "TOKEN_UNREACHABLE";
    trouble.text = "gone";
    ring.alg = "EdDSA";
    ring.active_alg = "ES256";
    ring.signed_old_alg = 1ull << 33;
    ring.rotation_trouble = &trouble;
    r.ready = true;
    r.rings = rings;
    r.n_rings = 1;
    r.notices = notices;
    r.n_notices = 2;
    r.sandbox = "seccomp";
    reply->result_case = SIGNET__V1__REPLY__RESULT_GET_STATUS;
    reply->get_status = &r;
    script_put_reply(fd, reply);
}

static void say_key_set(int fd, Signet__V1__Reply *reply)
{
    Signet__V1__GetKeysReply r = SIGNET__V1__GET_KEYS_REPLY__INIT;
    Signet__V1__ProfileInfo p = SIGNET__V1__PROFILE_INFO__INIT, *profiles[] = { &p };

    p.has_secret_keys = true;
    r.jwks = "{\"keys\":[]}";
    r.changes_in_s = 77;
    r.profiles = profiles;
    r.n_profiles = 1;
    reply->result_case = SIGNET__V1__REPLY__RESULT_GET_KEYS;
    reply->get_keys = &r;
    script_put_reply(fd, reply);
}

static bool answer(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    Signet__V1__Reply reply = SIGNET__V1__REPLY__INIT;
    Signet__V1__GenerateKeyReply generated = SIGNET__V1__GENERATE_KEY_REPLY__INIT;
    Signet__V1__ImportKeyReply imported = SIGNET__V1__IMPORT_KEY_REPLY__INIT;
    Signet__V1__KeyInfo key = key_of("made", 0);

    reply.request_id = rq->request_id;
    generated.key = imported.key = &key;
    switch (rq->op_case) {
    case SIGNET__V1__REQUEST__OP_ROTATE_RING: say_rotation(fd, rq->rotate_ring, &reply); break;
    case SIGNET__V1__REQUEST__OP_REVOKE_KEY:  say_revocation(fd, rq->revoke_key, &reply); break;
    case SIGNET__V1__REQUEST__OP_DESTROY_KEY: say_destroyed(fd, rq->destroy_key, &reply); break;
    case SIGNET__V1__REQUEST__OP_LIST_KEYS:   say_keys(fd, &reply); break;
    case SIGNET__V1__REQUEST__OP_GET_STATUS:  say_status(fd, &reply); break;
    case SIGNET__V1__REQUEST__OP_GET_KEYS:    say_key_set(fd, &reply); break;
    case SIGNET__V1__REQUEST__OP_GENERATE_KEY:
        reply.result_case = SIGNET__V1__REPLY__RESULT_GENERATE_KEY;
        reply.generate_key = &generated;
        script_put_reply(fd, &reply);
        break;
    case SIGNET__V1__REQUEST__OP_IMPORT_KEY:
        reply.result_case = SIGNET__V1__REPLY__RESULT_IMPORT_KEY;
        reply.import_key = &imported;
        script_put_reply(fd, &reply);
        break;
    default:
        script_say_reload(fd, rq->request_id, 1);
    }
    return true;
}

struct world { struct script d; struct signet *s; };

static struct world begin(script_answer *by)
{
    struct world w = { .d = script_start(by, NULL) };

    w.s = signet_open_admin(w.d.path, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w.s);
    return w;
}

static void finish(struct world *w)
{
    signet_close(w->s);
    script_stop(&w->d);
}

/* --- what is asked arrives, what is answered comes out -------------------------------------------------------- */

static void same_uses(const struct signet_key *k, size_t n, unsigned long long first)
{
    unit_same_int("profiles that signed with it", (long long)k->n_uses, (long long)n);
    unit_same_str("the first", k->uses[0].profile, n == 2 ? "web" : "new");
    unit_same_int("so often", (long long)k->uses[0].signatures, (long long)first);
    unit_same_int("in all", (long long)k->signatures, (long long)(n == 2 ? first + 2 : first));
}

static void a_rotation_comes_whole(void)
{
    struct world w = begin(answer);
    struct signet_error e = { 0 };
    struct signet_rotation *r = signet_rotate_ring(w.s, "web", false, false, &e);

    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    unit_same_str("the key", r->key->kid, "next");
    same_uses(r->key, 2, 1ull << 40);
    CU_ASSERT_TRUE(r->made);
    unit_same_int("activates_at", r->activates_at, 2000);
    unit_same_int("before", r->before, 3000);
    unit_same_int("known_at", r->known_at, 1900);
    signet_rotation_free(r);
    r = signet_rotate_ring(w.s, "web", true, true, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    CU_ASSERT_PTR_NULL(r->key);
    unit_same_int("at once", r->activates_at, 1000);
    signet_rotation_free(r);
    CU_ASSERT_PTR_NULL(signet_rotate_ring(w.s, "none", false, false, &e));
    unit_same_str("done, and no key", e.reason, "PROTOCOL_BROKEN");
    CU_ASSERT_PTR_NULL(signet_rotate_ring(w.s, "lazy", false, true, &e));
    unit_same_str("neither a key nor one to be made", e.reason, "PROTOCOL_BROKEN");
    CU_ASSERT_PTR_NULL(signet_rotate_ring(w.s, NULL, false, false, &e));
    unit_same_str("no ring", e.reason, "BAD_REQUEST");
    signet_rotation_free(NULL);
    finish(&w);
}

static void a_revocation_comes_whole(void)
{
    struct world w = begin(answer);
    struct signet_error e = { 0 };
    struct signet_revocation *r = signet_revoke_key(w.s, "bad", &e);

    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    unit_same_str("the key", r->key.kid, "bad");
    same_uses(&r->key, 2, 1ull << 40);
    unit_same_str("its successor", r->successor->kid, "successor");
    same_uses(r->successor, 1, 7);
    CU_ASSERT_TRUE(r->promoted && r->destroyed && r->recorded);
    unit_same_int("known_at", r->known_at, 10);
    unit_same_int("tokens_until", r->tokens_until, 20);
    unit_same_str("no trouble", r->trouble.reason, "");
    signet_revocation_free(r);
    r = signet_revoke_key(w.s, "lonely", &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    CU_ASSERT_PTR_NULL(r->successor);
    CU_ASSERT_FALSE(r->destroyed);
    unit_same_str("trouble", r->trouble.reason, "TOKEN_FAILED");
    signet_revocation_free(r);
    signet_revocation_free(NULL);
    finish(&w);
}

static void a_destroyed_key_is_told_as_it_was(void)
{
    struct world w = begin(answer);
    struct signet_key_list *l = signet_destroy_key(w.s, "old", false, NULL);

    CU_ASSERT_PTR_NOT_NULL_FATAL(l);
    unit_same_int("one", (long long)l->n, 1);
    unit_same_str("by its kid", l->keys[0].kid, "old");
    unit_same_str("i_know was not said", l->keys[0].state, "next");
    same_uses(l->keys, 2, 1ull << 40);
    signet_key_list_free(l);
    l = signet_destroy_key(w.s, "00FF", true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(l);
    unit_same_str("by its id", l->keys[0].id, "00ff");
    unit_same_str("i_know was said", l->keys[0].state, "active");
    signet_key_list_free(l);
    finish(&w);
}

static const struct { const char *name, *kid, *reason; } nonsense[] = {
    { "no kid", NULL, "BAD_REQUEST" },
    { "an empty kid", "", "BAD_REQUEST" },
    { "an answer about another key", "swapped", "PROTOCOL_BROKEN" },
    { "an answer about no key", "absent", "PROTOCOL_BROKEN" },
};

static void only_that_key_is_believed(void)
{
    struct world w = begin(answer);
    struct signet_error e;

    for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
        e.reason[0] = '\0';
        CU_ASSERT_PTR_NULL(signet_revoke_key(w.s, nonsense[i].kid, &e));
        unit_same_str(nonsense[i].name, e.reason, nonsense[i].reason);
        if (nonsense[i].kid && strcmp(nonsense[i].kid, "absent") == 0)
            continue;
        e.reason[0] = '\0';
        CU_ASSERT_PTR_NULL(signet_destroy_key(w.s, nonsense[i].kid, true, &e));
        unit_same_str(nonsense[i].name, e.reason, nonsense[i].reason);
    }
    finish(&w);
}

static void a_list_has_uses_and_foreign_facts(void)
{
    struct world w = begin(answer);
    struct signet_key_list *l = signet_list_keys(w.s, NULL);

    CU_ASSERT_PTR_NOT_NULL_FATAL(l);
    same_uses(&l->keys[0], 2, 1ull << 40);
    same_uses(&l->keys[1], 1, 7);
    unit_same_int("foreign facts", (long long)l->n_foreign_facts, 2);
    unit_same_str("the second", l->foreign_facts[1], "signet:web:promote:y:2");
    signet_key_list_free(l);
    finish(&w);
}

static void a_ring_that_changes_over_is_told(void)
{
    struct world w = begin(answer);
    struct signet_status *st = signet_get_status(w.s, NULL);

    CU_ASSERT_PTR_NOT_NULL_FATAL(st);
    unit_same_str("to", st->rings[0].alg, "EdDSA");
    unit_same_str("from", st->rings[0].active_alg, "ES256");
    unit_same_int("signed with it", (long long)st->rings[0].signed_old_alg, 1ll << 33);
    unit_same_str("its rotation", st->rings[0].rotation_trouble.reason, "TOKEN_UNREACHABLE");
    unit_same_str("it signs", st->rings[0].trouble.reason, "");
    unit_same_int("notices", (long long)st->n_notices, 2);
    unit_same_str("the second", st->notices[1], "the token is full");
    unit_same_str("sandbox", st->sandbox, "seccomp");
    signet_status_free(st);
    struct signet_keys *k = signet_get_keys(w.s, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(k);
    unit_same_int("changes_in_s", k->changes_in_s, 77);
    CU_ASSERT_TRUE(k->profiles[0].has_secret_keys);
    signet_keys_free(k);
    finish(&w);
}

/* --- a daemon that goes ---------------------------------------------------------------------------------------- */

static bool rotates(struct signet *s, struct signet_error *e)
{
    struct signet_rotation *r = signet_rotate_ring(s, "web", false, false, e);
    signet_rotation_free(r);
    return r;
}

static bool revokes(struct signet *s, struct signet_error *e)
{
    struct signet_revocation *r = signet_revoke_key(s, "bad", e);
    signet_revocation_free(r);
    return r;
}

static bool one(struct signet_key_list *l)
{
    signet_key_list_free(l);
    return l;
}

static bool destroys(struct signet *s, struct signet_error *e) { return one(signet_destroy_key(s, "bad", true, e)); }
static bool generates(struct signet *s, struct signet_error *e) { return one(signet_generate_key(s, "web", e)); }
static bool imports(struct signet *s, struct signet_error *e) { return one(signet_import_key(s, "web", "x", 1, e)); }
static bool lists(struct signet *s, struct signet_error *e) { return one(signet_list_keys(s, e)); }

static const struct {
    const char *name;
    bool (*ask)(struct signet *s, struct signet_error *e);
    Signet__V1__Request__OpCase op_case;
    bool slow, again;
} nature[] = {
    { "list",     lists,     SIGNET__V1__REQUEST__OP_LIST_KEYS,    false, true },
    { "generate", generates, SIGNET__V1__REQUEST__OP_GENERATE_KEY, true,  false },
    { "import",   imports,   SIGNET__V1__REQUEST__OP_IMPORT_KEY,   true,  false },
    { "rotate",   rotates,   SIGNET__V1__REQUEST__OP_ROTATE_RING,  true,  false },
    { "revoke",   revokes,   SIGNET__V1__REQUEST__OP_REVOKE_KEY,   true,  true },
    { "destroy",  destroys,  SIGNET__V1__REQUEST__OP_DESTROY_KEY,  true,  false },
};

/* The second request is read, and then left without an answer. */
static bool gone_at_the_second(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    return nth != 1 && answer(fd, rq, nth, arg);
}

static void what_may_not_be_asked_twice_is_not(void)
{
    for (size_t i = 0; i < ARRAY_LEN(nature); i++) {
        struct world w = begin(gone_at_the_second);
        struct signet_error e = { 0 };
        CU_ASSERT_TRUE(signet_reload(w.s, NULL, NULL));
        unit_same_int(nature[i].name, nature[i].ask(w.s, &e), nature[i].again);
        unit_same_str(nature[i].name, e.reason, nature[i].again ? "" : "DAEMON_UNREACHABLE");
        finish(&w);
    }
}

static void what_changes_keys_may_take_minutes(void)
{
    for (size_t i = 0; i < ARRAY_LEN(nature); i++) {
        Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
        op.op_case = nature[i].op_case;
        int64_t ms = handle_until_ms(NULL, &op) - conn_now_ms();
        unit_same_int(nature[i].name, ms > 60000, nature[i].slow);
    }
}

static const struct unit_case cases[] = {
    { "a rotation comes whole", a_rotation_comes_whole },
    { "a revocation comes whole", a_revocation_comes_whole },
    { "a destroyed key is told as it was", a_destroyed_key_is_told_as_it_was },
    { "what is answered is about the key that was asked for", only_that_key_is_believed },
    { "a list has what keys signed for, and foreign facts", a_list_has_uses_and_foreign_facts },
    { "a ring that changes over is told, and what an operator should know", a_ring_that_changes_over_is_told },
    { "a daemon that goes is asked again, but for what must not happen twice", what_may_not_be_asked_twice_is_not },
    { "what changes keys may take minutes", what_changes_keys_may_take_minutes },
};

UNIT_MAIN(cases)
