#include "daemon/ring/ring.h"

#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>

#define DAY 86400

static const struct { const char *text; bool ok; } label_case[] = {
    { "signet:web:ES256:1700000000:28800:60:900", true },
    { "signet:w-1:EdDSA:0:0:0:0", true },
    { "signet:web:revoked:43-letters-of-a-thumbprint:1700000000", true },
    { "signet:web:promote:43-letters-of-a-thumbprint:1700000000", true },
    { "signet:web:ES256:253402300799:1:1:1", true },
    { "signet:web:ES256:253402300800:1:1:1", false },
    { "signet:web:ES256:01:1:1:1", false },
    { "signet:web:ES256:+1:1:1:1", false },
    { "signet:web:ES256:-1:1:1:1", false },
    { "signet:web:ES256:1:1:1", false },
    { "signet:web:ES256:1:1:1:1:1", false },
    { "signet:web:ES256:1:1:1:1:", false },
    { "signet:web:ES256:1:1:1:", false },
    { "signet:web::1:1:1:1", false },
    { "signet::ES256:1:1:1:1", false },
    { "signet:Web:ES256:1:1:1:1", false },
    { "signet:web:ES 256:1:1:1:1", false },
    { "signet:abcdefghijabcdefghijabcdefghij12:ES256:1:1:1:1", true },
    { "signet:abcdefghijabcdefghijabcdefghij123:ES256:1:1:1:1", false },
    { "signet:web:ES256:99999999999999999999999:1:1:1", false },
    { "signet:web:revoked::1", false },
    { "signet:web:revoked:k", false },
    { "signet:web", false }, { "signet:", false }, { "signet", false }, { "", false }, { "Signet:web:ES256:1:1:1:1", false },
};

static void labels_have_one_spelling(void)
{
    for (size_t i = 0; i < sizeof label_case / sizeof *label_case; i++) {
        struct label l;
        char out[LABEL_MAX];
        bool ok = label_parse(&l, label_case[i].text, strlen(label_case[i].text));
        unit_same_int(label_case[i].text, ok, label_case[i].ok);
        if (ok && label_write(&l, out))
            unit_same_str("written again", out, label_case[i].text);
    }
    CU_ASSERT_FALSE(label_parse(&(struct label){ 0 }, "signet:web:ES256:1:1:1:1\0x", 26));
    struct label bad = { .kind = LABEL_KEY, .ring = "web", .alg = "ES:256", .at = 1 };
    char out[LABEL_MAX];
    CU_ASSERT_FALSE(label_write(&bad, out));
}

static const struct ring_settings plain = {
    .name = "web", .rotate_every = 100, .publish_ahead = 30, .max_ttl = 20, .skew = 2, .max_age = 10, .refresh = 5,
    .destroy_after = 50, .generation_time = 3,
};

static struct ring_key key(const char *kid, int64_t at)
{
    struct ring_key k = { .activates_at = at, .max_ttl = 20, .skew = 2, .max_age = 10, .proved = true, .has_private = true,
                          .verifies = true, .watched_s = 1000000 };
    snprintf(k.kid, sizeof k.kid, "%s", kid);
    return k;
}

static struct ring_fact fact(enum label_kind kind, const char *kid, int64_t at)
{
    struct ring_fact f = { .kind = kind, .at = at };
    snprintf(f.kid, sizeof f.kid, "%s", kid);
    return f;
}

static struct ring *ring_of(const struct ring_settings *s, const struct ring_key *k, size_t n, const struct ring_fact *f,
                            size_t n_f)
{
    struct err e;
    struct ring *r = ring_new(s, k, n, f, n_f, &e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    return r;
}

static size_t index_of(const struct ring *r, const char *kid)
{
    for (size_t i = 0; i < ring_size(r); i++)
        if (strcmp(ring_key(r, i)->kid, kid) == 0)
            return i;
    CU_FAIL_FATAL("no such key");
    return 0;
}

/* "a" activates at 100, "b" at 200; both promise 20 s of life and 2 s of skew. */
static const struct { const char *name, *kid; int64_t now; enum key_state want; bool published; } state_case[] = {
    { "a second before activation", "a", 99, KEY_NEXT, true },
    { "the second of activation", "a", 100, KEY_ACTIVE, true },
    { "the last second before its successor", "a", 199, KEY_ACTIVE, true },
    { "its successor's first second", "a", 200, KEY_RETIRED, true },
    { "the last second that a token of it may live", "a", 221, KEY_RETIRED, true },
    { "past that", "a", 222, KEY_EXPIRED, false },
    { "the successor, before", "b", 199, KEY_NEXT, true },
    { "the successor, in its first second", "b", 200, KEY_ACTIVE, true },
    { "the last key stays active", "b", 100000, KEY_ACTIVE, true },
};

static void states_follow_from_dates_and_now(void)
{
    struct ring_key k[] = { key("b", 200), key("a", 100) };
    struct ring *r = ring_of(&plain, k, 2, NULL, 0);

    for (size_t i = 0; i < sizeof state_case / sizeof *state_case; i++) {
        size_t at = index_of(r, state_case[i].kid);
        unit_same_str(state_case[i].name, key_state_name(ring_state(r, at, state_case[i].now)),
                      key_state_name(state_case[i].want));
        unit_same_int(state_case[i].name, ring_published(r, at, state_case[i].now), state_case[i].published);
    }
    unit_same_int("changes", ring_changes_at(r, 0), 100);
    unit_same_int("changes", ring_changes_at(r, 100), 200);
    unit_same_int("changes", ring_changes_at(r, 200), 222);
    unit_same_int("changes", ring_changes_at(r, 222), INT64_MAX);
    ring_free(r);
}

static void the_last_activated_signs_or_nothing_does(void)
{
    struct err e;
    struct ring_key k[] = { key("a", 100), key("b", 200), key("c", 200), key("d", 300) };
    k[3].proved = false;
    struct ring *r = ring_of(&plain, k, 4, NULL, 0);

    CU_ASSERT_PTR_NULL(ring_signer(r, 99, &e));
    unit_same_str("before", err_reason_name(e.reason), "NO_ACTIVE_KEY");
    unit_same_str("first", ring_signer(r, 199, &e)->kid, "a");
    unit_same_str("a tie goes to the smaller kid", ring_signer(r, 200, &e)->kid, "b");
    unit_same_str("its twin", key_state_name(ring_state(r, index_of(r, "c"), 200)), "retired");
    CU_ASSERT_PTR_NULL(ring_signer(r, 300, &e));
    unit_same_str("a half key holds its place", err_reason_name(e.reason), "KEY_UNPROVED");
    unit_same_str("and retires the one before", key_state_name(ring_state(r, index_of(r, "b"), 300)), "retired");
    unit_same_str("before its time it is an orphan", key_state_name(ring_state(r, index_of(r, "d"), 250)), "orphan");
    ring_free(r);

    struct ring_key gone[] = { key("a", 100), key("b", 200) };
    gone[1].gone = true;
    r = ring_of(&plain, gone, 2, NULL, 0);
    CU_ASSERT_PTR_NULL(ring_signer(r, 200, &e));
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "gone"));
    ring_free(r);
}

static void a_key_that_cannot_sign_says_why(void)
{
    struct err e;
    struct ring_key k[] = { key("", 100), key("", 200) };

    for (size_t i = 0; i < 2; i++) {
        k[i].proved = false;
        err_set(&k[i].trouble, ERR_KEY_EXPORTABLE, "key '%s': it could be exported", i ? "second" : "first");
    }
    k[1].origin = KEY_OUTSIDE;
    struct ring *r = ring_of(&plain, k, 2, NULL, 0);
    unit_same_int("keys of no kid are two all the same", (long long)ring_size(r), 2);
    CU_ASSERT_PTR_NULL(ring_signer(r, 100, &e));
    unit_same_str("its own reason", err_reason_name(e.reason), "KEY_EXPORTABLE");
    unit_same_str("one of ours", e.text, "ring 'web': key 'first': it could be exported; change to another (signet ring"
                  " rotate --now), or restore its backup");
    CU_ASSERT_PTR_NULL(ring_signer(r, 200, &e));
    unit_same_str("one made outside", e.text, "ring 'web': key 'second': it could be exported");
    ring_free(r);
}

static void a_revoked_key_is_dead_and_holds_its_place(void)
{
    struct err e;
    struct ring_key k[] = { key("a", 100), key("b", 200) };
    struct ring_fact f[] = { fact(LABEL_REVOKED, "b", 200) };

    for (size_t with = 1; with <= 2; with++) {      /* the key destroyed, and brought back by a backup */
        struct ring *r = ring_of(&plain, k, with, f, 1);
        unit_same_str("state", key_state_name(ring_state(r, index_of(r, "b"), 250)), "revoked");
        CU_ASSERT_FALSE(ring_published(r, index_of(r, "b"), 250));
        CU_ASSERT_PTR_NULL(ring_signer(r, 250, &e));
        unit_same_str("no older key steps in", err_reason_name(e.reason), "NO_ACTIVE_KEY");
        struct ring_next next = ring_next(r, 250);
        unit_same_int("the panic button's work goes on", next.action, RING_GENERATE);
        unit_same_int("at once", next.activates_at, 250);
        ring_free(r);
    }
}

static void a_promotion_counts_once_and_the_earliest(void)
{
    struct err e;
    struct ring_key k[] = { key("a", 100), key("b", 200) };
    struct ring_fact f[] = { fact(LABEL_PROMOTE, "b", 170), fact(LABEL_PROMOTE, "b", 150), fact(LABEL_PROMOTE, "x", 1),
                             fact(LABEL_PROMOTE, "b", 900) };
    struct ring *r = ring_of(&plain, k, 2, f, 4);

    unit_same_str("before", ring_signer(r, 149, &e)->kid, "a");
    unit_same_str("from then on", ring_signer(r, 150, &e)->kid, "b");
    unit_same_int("places", (long long)ring_size(r), 2);
    ring_free(r);
}

static void a_key_of_a_wrong_clock_does_not_count(void)
{
    struct ring_key k[] = { key("a", 100), key("b", 100 + 100 + 30 + 5 + 2 + 1) };
    struct ring *r = ring_of(&plain, k, 2, NULL, 0);

    CU_ASSERT_TRUE(ring_too_far(r, 1, 150));
    CU_ASSERT_FALSE(ring_published(r, 1, 150));
    unit_same_int("a key is made though", ring_next(r, 170).action, RING_GENERATE);
    CU_ASSERT_FALSE(ring_too_far(r, 1, 201));
    k[1].origin = KEY_OUTSIDE;
    ring_free(r);
    r = ring_of(&plain, k, 2, NULL, 0);
    CU_ASSERT_FALSE(ring_too_far(r, 1, 150));
    ring_free(r);
}

static void check_next(const char *what, struct ring_next got, enum ring_action action, int64_t at, int64_t activates_at,
                       const char *kid)
{
    unit_same_int(what, got.action, action);
    unit_same_int(what, got.at, at);
    unit_same_int(what, got.activates_at, activates_at);
    unit_same_str(what, got.key ? got.key->kid : "", kid);
}

static void rotation_is_planned_ahead(void)
{
    struct ring_settings s = plain;
    struct ring_key k[] = { key("a", 100), key("b", 200), key("c", 300) };
    struct ring *r = ring_of(&s, k, 1, NULL, 0);

    check_next("not yet", ring_next(r, 100), RING_GENERATE, 165, 200, "");
    check_next("due", ring_next(r, 165), RING_GENERATE, 165, 200, "");
    check_next("who takes a refresh for it chooses the same second", ring_next(r, 170), RING_GENERATE, 165, 200, "");
    check_next("late: never sooner than publish_ahead", ring_next(r, 191), RING_GENERATE, 165, 225, "");
    ring_free(r);
    r = ring_of(&s, k, 2, NULL, 0);
    check_next("done: nothing until the turn", ring_next(r, 180), RING_NOTHING, INT64_MAX, 0, "");
    unit_same_int("the turn after that is planned first", ring_next(r, 200).at, 265);
    ring_free(r);
    s.rotate_every = 0;
    r = ring_of(&s, k, 2, NULL, 0);
    check_next("then the old one's end", ring_next(r, 200), RING_DESTROY, 200 + 22 + 50, 0, "a");
    s.rotate_every = plain.rotate_every;
    ring_free(r);
    s.destroy_retired_private = true;
    r = ring_of(&s, k, 2, NULL, 0);
    check_next("the private half when the next was sure to be there", ring_next(r, 201), RING_DESTROY_PRIVATE, 237, 0, "a");
    ring_free(r);
    s.rotate_every = 0;
    r = ring_of(&s, k, 1, NULL, 0);
    check_next("never", ring_next(r, 100000), RING_NOTHING, INT64_MAX, 0, "");
    ring_free(r);
    s = plain;
    k[0].max_age = 60;      /* an older, longer promise */
    r = ring_of(&s, k, 1, NULL, 0);
    check_next("a published key's promise counts", ring_next(r, 100), RING_GENERATE, 200 - 70 - 5, 200, "");
    ring_free(r);
}

static void a_restart_makes_no_key_but_create_begins_a_ring(void)
{
    struct ring_settings s = plain;
    struct ring *r = ring_of(&s, NULL, 0, NULL, 0);
    check_next("an empty ring", ring_next(r, 50), RING_NOTHING, INT64_MAX, 0, "");
    ring_free(r);
    s.create = true;
    r = ring_of(&s, NULL, 0, NULL, 0);
    check_next("create", ring_next(r, 50), RING_GENERATE, 50, 50, "");
    ring_free(r);
}

/* A kill half-way through the making of a key that was to sign at once. */
static void a_key_cut_off_in_the_making_is_made_again(void)
{
    struct ring_settings s = plain;
    struct ring_key k[] = { key("a", 100), key("half", 150) };
    struct ring_fact f[] = { fact(LABEL_REVOKED, "a", 100) };

    k[1].proved = false;
    k[1].half = true;
    k[1].origin = KEY_IMPORTED;              /* that a token made it itself is what it writes last */
    struct ring *r = ring_of(&s, k, 2, f, 1);
    check_next("in place of a revoked one", ring_next(r, 160), RING_GENERATE, 160, 160, "");
    ring_free(r);
    r = ring_of(&s, k, 2, NULL, 0);
    CU_ASSERT_NOT_EQUAL(ring_next(r, 160).at, 160);          /* the one before may have signed: a person looks at it */
    ring_free(r);
    r = ring_of(&s, k + 1, 1, NULL, 0);
    CU_ASSERT_NOT_EQUAL(ring_next(r, 160).at, 160);
    ring_free(r);
    s.create = true;
    r = ring_of(&s, k + 1, 1, NULL, 0);
    check_next("a ring's first", ring_next(r, 160), RING_GENERATE, 160, 160, "");
    ring_free(r);
    k[1].half = false;
    r = ring_of(&s, k + 1, 1, NULL, 0);
    CU_ASSERT_NOT_EQUAL(ring_next(r, 160).at, 160);          /* it is whole, for all that is known */
    ring_free(r);
}

static void a_standby_steps_in(void)
{
    struct ring_settings s = plain;
    struct ring_key k[] = { key("a", 100), key("b", 200) };
    struct ring_fact f[] = { fact(LABEL_REVOKED, "a", 100) };

    s.standby = true;
    struct ring *r = ring_of(&s, k, 1, NULL, 0);
    check_next("always one to come", ring_next(r, 110), RING_GENERATE, 110, 200, "");
    ring_free(r);
    k[0].gone = true;
    r = ring_of(&s, k, 2, NULL, 0);
    check_next("for a key that is gone", ring_next(r, 150), RING_PROMOTE, 150, 150, "b");
    ring_free(r);
    k[0].gone = false;
    r = ring_of(&plain, k, 2, f, 1);
    check_next("for a revoked key any next one", ring_next(r, 150), RING_PROMOTE, 150, 150, "b");
    check_next("in the second of its beginning", ring_next(r, 100), RING_PROMOTE, 100, 100, "b");
    ring_free(r);
    struct ring_fact soon[] = { f[0], fact(LABEL_PROMOTE, "b", 100) };
    r = ring_of(&plain, k, 2, soon, 2);
    struct err e;
    unit_same_str("a tie goes to who can sign", ring_signer(r, 100, &e) ? ring_signer(r, 100, &e)->kid : "", "b");
    ring_free(r);
    struct ring_fact done[] = { f[0], fact(LABEL_PROMOTE, "b", 150) };
    r = ring_of(&plain, k, 2, done, 2);
    check_next("then the bad key goes", ring_next(r, 150), RING_DESTROY, 0, 0, "a");
    ring_free(r);
}

static void only_what_signet_made_is_destroyed(void)
{
    struct ring_key k[] = { key("a", 100), key("b", 200), key("c", 300), key("d", 300) };
    struct ring *r = ring_of(&plain, k, 4, NULL, 0);

    check_next("of twins the larger kid", ring_next(r, 250), RING_DESTROY, 250, 0, "d");
    CU_ASSERT_NOT_EQUAL(ring_next(r, 293).key, ring_key(r, index_of(r, "d")));
    ring_free(r);
    k[3].origin = KEY_IMPORTED;
    r = ring_of(&plain, k, 4, NULL, 0);
    CU_ASSERT_PTR_NOT_EQUAL(ring_next(r, 250).key, ring_key(r, index_of(r, "d")));
    ring_free(r);
    k[0].origin = KEY_OUTSIDE;
    struct ring_settings never = plain;
    never.rotate_every = 0;
    r = ring_of(&never, k, 3, NULL, 0);
    unit_same_str("the oldest of ours", ring_next(r, 100000).key ? ring_next(r, 100000).key->kid : "", "b");
    ring_free(r);
    struct ring_key orphan[] = { key("a", 100), key("b", 200) };
    orphan[1].proved = false;
    orphan[1].seen_since = 160;
    r = ring_of(&plain, orphan, 2, NULL, 0);
    check_next("an orphan, seen so long enough", ring_next(r, 161), RING_DESTROY, 163, 0, "b");
    unit_same_int("never once its time has come", ring_next(r, 200).action, RING_GENERATE);
    ring_free(r);
    orphan[1].seen_since = 185;
    r = ring_of(&plain, orphan, 2, NULL, 0);
    check_next("while all can hear of it before its time: refresh 5, skew 2", ring_next(r, 188), RING_DESTROY, 188, 0, "b");
    unit_same_int("and then no more", ring_next(r, 193).action == RING_DESTROY, 0);
    ring_free(r);
}

/* The next key may be withdrawn, or swept: who does not hear of it must not take the one before out of its key set. */
static void facts_do_not_outlive_what_a_turn_that_is_called_off_would_end(void)
{
    struct ring_settings s = plain;
    struct ring_key k[] = { key("a", 100), key("b", 200) };

    s.publish_ahead = 300;                                   /* 300 - 10 - 2 - 3: the limit otherwise */
    struct ring *r = ring_of(&s, k, 1, NULL, 0);
    unit_same_int("none is to come", ring_facts_max_age(r, 150), 285);
    ring_free(r);
    r = ring_of(&s, k, 2, NULL, 0);
    unit_same_int("until the active one would end", ring_facts_max_age(r, 150), 222 - 150);
    unit_same_int("once its turn has come it came", ring_facts_max_age(r, 200), 285);
    ring_free(r);
    s.max_ttl = k[0].max_ttl = 1;
    r = ring_of(&s, k, 2, NULL, 0);
    unit_same_int("a refresh at least", ring_facts_max_age(r, 199), 5);
    ring_free(r);
    k[1].proved = false;
    k[0].max_ttl = 20;
    r = ring_of(&s, k, 2, NULL, 0);
    unit_same_int("one that is not whole holds its place, too", ring_facts_max_age(r, 150), 222 - 150);
    ring_free(r);
}

static void what_was_made_by_half_goes_with_the_promoted_key_of_its_moment(void)
{
    struct ring_key k[] = { key("a", 100), key("b", 200), key("half", 200) };
    struct ring_fact f[] = { fact(LABEL_PROMOTE, "b", 150) };
    struct err e;

    k[2].proved = false;
    struct ring *r = ring_of(&plain, k, 3, f, 1);
    const struct ring_key *signer = ring_signer(r, 200, &e);
    unit_same_str("signs on, past the time of both", signer ? signer->kid : e.text, "b");
    ring_free(r);
}

/* "b", to come at 200, cannot sign, and is seen since 160; making a key takes 3. */
static const struct { const char *name; enum key_origin origin; bool half, stays, swept; } orphan_case[] = {
    { "one that signet made", KEY_GENERATED, true, false, true },
    { "one made that is whole, and is none of ours for what its custody is", KEY_GENERATED, false, false, true },
    { "cut off before the token said that it made it", KEY_IMPORTED, true, false, true },
    { "imported, and exportable, weak or not tried yet", KEY_IMPORTED, false, false, false },
    { "named by the configuration", KEY_OUTSIDE, false, false, false },
    { "made, and the token signs with no other either", KEY_GENERATED, true, true, false },
};

static void an_orphan_that_nobody_brought_is_swept(void)
{
    struct ring_settings never = plain;

    never.rotate_every = 0;
    for (size_t i = 0; i < sizeof orphan_case / sizeof *orphan_case; i++) {
        struct ring_key k[] = { key("a", 100), key("b", 200) };
        k[1].proved = false;
        k[1].seen_since = 160;
        k[1].origin = orphan_case[i].origin;
        k[1].half = orphan_case[i].half;
        k[1].stays = orphan_case[i].stays;
        struct ring *r = ring_of(&never, k, 2, NULL, 0);
        bool swept = orphan_case[i].swept;
        check_next(orphan_case[i].name, ring_next(r, 161), swept ? RING_DESTROY : RING_NOTHING, swept ? 163 : INT64_MAX, 0,
                   swept ? "b" : "");
        ring_free(r);
    }
}

static void half_a_key_whose_time_came_goes_when_it_is_over(void)
{
    struct ring_key k[] = { key("a", 100), key("half", 200), key("c", 300) };

    k[0].origin = KEY_IMPORTED;
    k[1].origin = KEY_IMPORTED;
    k[1].proved = false;
    k[1].half = true;
    struct ring *r = ring_of(&plain, k, 3, NULL, 0);
    CU_ASSERT_NOT_EQUAL(ring_next(r, 250).action, RING_DESTROY);
    check_next("like any other", ring_next(r, 300 + 22 + 50), RING_DESTROY, 300 + 22 + 50, 0, "half");
    ring_free(r);
}

static void promises_that_are_out_hold_whatever_the_settings_say_now(void)
{
    struct ring_settings s = plain;                          /* jwks_max_age 10, skew 2, ahead 30 */
    struct ring_key k[] = { key("a", 100), key("b", 200), key("c", 300) };

    k[0].max_age = 60;
    k[0].skew = 4;
    struct ring *r = ring_of(&s, k, 2, NULL, 0);
    unit_same_int("ahead: 60 + refresh 5 + skew 4 + making 3", ring_ahead(r, 210), 72);
    unit_same_int("facts may be as old as nobody is harmed", ring_facts_max_age(r, 210), 72 - 60 - 4 - 3);
    unit_same_int("too far by the longer measure", ring_too_far(r, 1, 150), 0);
    unit_same_int("its copies are out after its end still", ring_ahead(r, 200 + 24 + 59), 72);
    unit_same_int("and then no more", ring_ahead(r, 200 + 24 + 60), 30);
    unit_same_int("a copy lives as the setting says", ring_copy_max_age(r, 210), 10);
    ring_free(r);
    s.max_age = 3000;
    r = ring_of(&s, k, 2, NULL, 0);
    unit_same_int("but never longer than a key promised", ring_copy_max_age(r, 210), 60);
    unit_same_int("the older one past its end", ring_copy_max_age(r, 230), 10);
    ring_free(r);
}

static void the_soonest_change_waits_for_whoever_did_not_hear(void)
{
    struct ring_key k[] = { key("a", 100), key("b", 200) };
    struct ring *r = ring_of(&plain, k, 1, NULL, 0);

    unit_same_int("made now", ring_soonest(r, NULL, 120), 150);
    unit_same_int("in steps of refresh", ring_soonest(r, NULL, 121), 155);
    unit_same_int("known: 10 + 5 + 2, and making it 3", ring_known_at(r, NULL, 120), 140);
    ring_free(r);
    k[1].seen_since = 119;
    r = ring_of(&plain, k, 2, NULL, 0);
    unit_same_int("there already: ahead of that", ring_soonest(r, ring_coming_key(r, 120), 120), 150);
    unit_same_int("known", ring_known_at(r, ring_coming_key(r, 120), 120), 136);
    unit_same_int("long there: until old facts are gone, 30 - 10 - 2 - 3, and skew 2", ring_soonest(r, ring_coming_key(r, 150), 150), 170);
    ring_free(r);
    k[0].activates_at = 140;
    r = ring_of(&plain, k, 2, NULL, 0);
    unit_same_int("before that a slow clock took it for too far: ahead of the active one's turn",
                  ring_soonest(r, ring_coming_key(r, 141), 141), 170);
    unit_same_int("known so much later", ring_known_at(r, ring_coming_key(r, 141), 141), 157);
    unit_same_int("once it signs as it was seen", ring_known_at(r, ring_key(r, index_of(r, "b")), 210), 136);
    ring_free(r);
    k[0].gone = true;
    r = ring_of(&plain, k, 1, NULL, 0);
    unit_same_int("where nothing signs a new key does at once", ring_turn(r, 150), 150);
    ring_free(r);
}

static void a_revoked_key_that_never_signed_holds_no_place(void)
{
    struct ring_key k[] = { key("a", 100), key("b", 200), key("c", 205) };
    struct ring_fact f[] = { fact(LABEL_REVOKED, "b", 0) };
    struct ring *r = ring_of(&plain, k, 3, f, 1);
    struct err e;

    unit_same_str("the one before goes on", ring_signer(r, 202, &e)->kid, "a");
    unit_same_str("up to the next", ring_signer(r, 205, &e)->kid, "c");
    check_next("and it goes", ring_next(r, 150), RING_DESTROY, 0, 0, "b");
    ring_free(r);
}

static void a_token_without_facts_gets_a_new_key_in_place_of_a_promoted_one(void)
{
    struct ring_settings s = plain;
    struct ring_key k[] = { key("a", 100), key("b", 200) };
    struct ring_fact f[] = { fact(LABEL_REVOKED, "a", 100) };

    s.no_facts = true;
    struct ring *r = ring_of(&s, k, 2, f, 1);
    check_next("revoked", ring_next(r, 150), RING_GENERATE, 150, 150, "");
    ring_free(r);
    s.standby = true;
    k[0].gone = true;
    r = ring_of(&s, k, 2, NULL, 0);
    check_next("gone, with a standby", ring_next(r, 150), RING_GENERATE, 150, 150, "");
    ring_free(r);
}

/* "a" was active until 200 and may go at 200 + 22 + 50; two turns later, where nobody watched it that long. */
static void a_wrong_clock_destroys_nothing_early(void)
{
    struct ring_settings s = plain;
    struct ring_key k[] = { key("a", 100), key("b", 200), key("c", 300), key("late", 900) };
    static const struct { const char *name; int64_t watched_s, now, at; } watch_case[] = {
        { "not watched at all", 0, 350, INT64_MAX },
        { "watched a second less than its tokens live", 21, 350, INT64_MAX },
        { "watched until they were dead, two turns later", 22, 299, 300 },
        { "watched for a turn and more: 100 + 30 + 5 + 22", 157, 280, 272 },
    };

    for (size_t i = 0; i < sizeof watch_case / sizeof *watch_case; i++) {
        s.rotate_every = 100;
        k[0].watched_s = watch_case[i].watched_s;
        k[1].watched_s = 0;
        struct ring *r = ring_of(&s, k, 3, NULL, 0);
        unit_same_int("a turn and more", ring_watch(r, 0, 299), 157);
        struct ring_next next = ring_next(r, watch_case[i].now);
        if (next.action == RING_GENERATE)        /* the next one is due as well: that is more urgent */
            next.at = INT64_MAX;
        unit_same_int(watch_case[i].name, next.at, watch_case[i].at);
        ring_free(r);
    }
    k[1] = k[3];
    k[0].watched_s = 156;
    struct ring *r = ring_of(&plain, k, 2, NULL, 0);
    CU_ASSERT_TRUE(ring_behind_gap(r, 0, 1000));
    CU_ASSERT_PTR_NOT_EQUAL(ring_next(r, 1000).key, ring_key(r, 0));
    CU_ASSERT_FALSE(ring_behind_gap(r, 0, 100 + 100 + 30 + 5));
    CU_ASSERT_TRUE(ring_behind_gap(r, 0, 100 + 100 + 30 + 5 + 1));
    ring_free(r);
}

static void what_cannot_be_destroyed_keeps_nothing_else(void)
{
    struct ring_settings never = plain;
    struct ring_key k[] = { key("a", 100), key("b", 200), key("bad", 300), key("c", 400) };
    struct ring_fact f[] = { fact(LABEL_REVOKED, "bad", 300) };

    never.rotate_every = 0;
    struct ring *r = ring_of(&never, k, 4, f, 1);
    unit_same_str("the revoked one first", ring_next(r, 1000).key->kid, "bad");
    ring_free(r);
    k[2].stays = true;
    r = ring_of(&never, k, 4, f, 1);
    unit_same_str("where it stays, the oldest", ring_next(r, 1000).key->kid, "a");
    ring_free(r);
    k[0].stays = true;
    r = ring_of(&never, k, 4, f, 1);
    unit_same_str("then the next", ring_next(r, 1000).key->kid, "b");
    ring_free(r);
}

static void a_secret_has_no_half_to_lose(void)
{
    struct ring_settings s = plain;
    struct ring_key k[] = { key("a", 100), key("b", 200) };

    s.destroy_retired_private = true;
    s.rotate_every = 0;
    k[0].verifies = false;
    struct ring *r = ring_of(&s, k, 2, NULL, 0);
    check_next("only when nothing needs it", ring_next(r, 240), RING_DESTROY, 272, 0, "a");
    ring_free(r);
}

static void of_two_places_of_a_revoked_key_the_later_counts(void)
{
    struct ring_key k[] = { key("a", 100), key("b", 200) };
    struct ring_fact f[] = { fact(LABEL_REVOKED, "b", 200), fact(LABEL_REVOKED, "b", 0) };
    struct err e;

    for (int turned = 0; turned < 2; turned++) {
        struct ring *r = ring_of(&plain, k, 2, f, 2);
        CU_ASSERT_PTR_NULL(ring_signer(r, 250, &e));         /* "a" retired when it began */
        ring_free(r);
        struct ring_fact first = f[0];
        f[0] = f[1];
        f[1] = first;
    }
}

static void of_twins_the_one_that_stays_is_next(void)
{
    struct ring_key k[] = { key("a", 100), key("b", 200), key("c", 200) };
    struct ring *r = ring_of(&plain, k, 3, NULL, 0);

    unit_same_str("the smaller kid", ring_coming_key(r, 120)->kid, "b");
    ring_free(r);
}

/* The larger kid of two that became active together, and nobody is to come. */
static void twins_retire_together(void)
{
    struct ring_settings s = plain;
    struct ring_key k[] = { key("a", 100), key("b", 200), key("c", 200), key("d", 300) };

    s.destroy_retired_private = true;
    k[0].has_private = false;
    struct ring *r = ring_of(&s, k, 3, NULL, 0);
    unit_same_int("one signs", ring_state(r, index_of(r, "b"), 250), KEY_ACTIVE);
    unit_same_int("the other does not", ring_state(r, index_of(r, "c"), 250), KEY_RETIRED);
    unit_same_int("and has no end yet", ring_ends_at(r, index_of(r, "c")), INT64_MAX);
    check_next("nor is it destroyed", ring_next(r, 250), RING_GENERATE, 265, 300, "");
    ring_free(r);
    r = ring_of(&s, k, 4, NULL, 0);
    unit_same_int("both end with the next", ring_ends_at(r, index_of(r, "b")), 322);
    unit_same_int("both end with the next", ring_ends_at(r, index_of(r, "c")), 322);
    ring_free(r);
}

static void only_what_all_daemons_know_lets_a_key_sign_at_once(void)
{
    struct ring_key k[] = { key("a", 100) };

    k[0].proved = false;                     /* here, perhaps: another daemon may well sign with it */
    struct ring *r = ring_of(&plain, k, 1, NULL, 0);
    unit_same_int("a key that is not proved", ring_turn(r, 150), 200);
    unit_same_int("when its turn comes", ring_next(r, 165).activates_at, 200);
    ring_free(r);
}

static void a_destroyed_key_moves_nobody_s_end(void)
{
    struct ring_key k[] = { key("mine", 100), key("b", 200), key("c", 300) };

    k[0].origin = KEY_IMPORTED;
    k[0].max_ttl = 150;
    struct ring *r = ring_of(&plain, k, 3, NULL, 0);
    unit_same_int("expired", ring_state(r, 0, 360), KEY_EXPIRED);
    /* Without "b" the imported one retires at 300, and ends at 300 + 150 + 2. */
    check_next("so it stays until then", ring_next(r, 501), RING_GENERATE, 365, 535, "");
    ring_free(r);
    struct ring_settings never = plain;
    never.rotate_every = 0;
    r = ring_of(&never, k, 3, NULL, 0);
    check_next("its own end would be sooner", ring_next(r, 330), RING_DESTROY, 452 + 50, 0, "b");
    ring_free(r);
}

static void a_key_that_signed_verifies_without_its_private_half(void)
{
    struct ring_key k[] = { key("a", 100), key("b", 200) };

    k[0].proved = k[0].has_private = false;
    k[0].lacks_half = true;
    struct ring *r = ring_of(&plain, k, 2, NULL, 0);
    unit_same_int("retired", ring_published(r, 0, 210), 1);
    unit_same_int("lost while it signed: its tokens live", ring_published(r, 0, 150), 1);
    unit_same_int("never before its time", ring_published(r, 0, 50), 0);
    ring_free(r);
}

/* What was whole is not being made: nobody waits, and nobody makes what signs at once in its place but a standby. */
static void a_key_that_lost_a_half_is_no_half_made_one(void)
{
    struct ring_settings s = plain;
    struct ring_key k[] = { key("a", 100), key("b", 200) };

    s.create = true;
    k[0].proved = k[0].has_private = false;
    k[0].lacks_half = true;
    struct ring *r = ring_of(&s, k, 1, NULL, 0);
    check_next("the next key has its own turn", ring_next(r, 120), RING_GENERATE, 165, 200, "");
    check_next("also where that is over", ring_next(r, 300), RING_GENERATE, 165, 330, "");
    ring_free(r);
    s.standby = true;
    r = ring_of(&s, k, 2, NULL, 0);
    check_next("a standby steps in", ring_next(r, 150), RING_PROMOTE, 150, 150, "b");
    ring_free(r);
    k[0].half = true;                        /* or is it made this moment? */
    k[0].seen_since = 149;
    r = ring_of(&s, k, 2, NULL, 0);
    CU_ASSERT_NOT_EQUAL(ring_next(r, 150).action, RING_PROMOTE);
    check_next("that takes so long", ring_next(r, 152), RING_PROMOTE, 152, 152, "b");
    ring_free(r);
}

/* A person may want that; the ring by itself has verifiers that do not know the key. */
static void in_a_silent_ring_no_key_signs_at_once_by_itself(void)
{
    struct ring_key k[] = { key("a", 100) };

    k[0].gone = true;
    struct ring *r = ring_of(&plain, k, 1, NULL, 0);
    check_next("gone", ring_next(r, 170), RING_GENERATE, 165, 200, "");
    check_next("for long", ring_next(r, 1001), RING_GENERATE, 165, 1035, "");
    ring_free(r);
}

static void the_set_changes_when_a_key_is_made_or_ends(void)
{
    struct ring_key k[] = { key("a", 100), key("b", 200) };
    struct ring *r = ring_of(&plain, k, 2, NULL, 0);

    unit_same_int("the end of the first", ring_set_changes_at(r, 180), 222);
    unit_same_int("and of a successor to be made", ring_set_changes_at(r, 230), 265);
    ring_free(r);
    struct ring_key twins[] = { key("a", 100), key("b", 200), key("c", 200) };
    r = ring_of(&plain, twins, 3, NULL, 0);
    unit_same_int("a spare twin goes at once", ring_set_changes_at(r, 150), 150);
    unit_same_int("and where it is too late for that, none does", ring_set_changes_at(r, 195), 222);
    ring_free(r);
}

static void what_is_to_come_is_foreseen(void)
{
    struct ring_key keys[] = { key("old", 900), key("now", 1000) };
    struct err e;
    size_t n = 0;
    int64_t until = 0;
    keys[1].seen_since = 960;
    struct ring *r = ring_new(&plain, keys, 2, NULL, 0, &e);
    struct ring_life *l = ring_foresee(r, 1010, &until, &n, &e);

    /* Due 30 + 5 before the turn, at 1100 and 1200; a token of a key lives 22 past its retirement, 50 more until it goes. */
    static const struct { bool to_come; int64_t published, activates, retires, ends, destroyed; } want[] = {
        { false, 0, 900, 1000, 1022, 1072 },
        { false, 960, 1000, 1100, 1122, 1172 },
        { true, 1065, 1100, 1200, 1222, INT64_MAX },
        { true, 1165, 1200, INT64_MAX, INT64_MAX, INT64_MAX },
    };
    unit_same_int("the second activation to come ends the view", until, 1200);
    CU_ASSERT_EQUAL_FATAL(n, sizeof want / sizeof *want);
    for (size_t i = 0; i < n; i++) {
        unit_same_int("to come", l[i].to_come, want[i].to_come);
        unit_same_int("published", l[i].published_at, want[i].published);
        unit_same_int("activates", l[i].key.activates_at, want[i].activates);
        unit_same_int("retires", l[i].retires_at, want[i].retires);
        unit_same_int("ends", l[i].ends_at, want[i].ends);
        unit_same_int("destroyed", l[i].destroyed_at, want[i].destroyed);
    }
    free(l);
    until = 1010 + 100ll * 1000;
    l = ring_foresee(r, 1010, &until, &n, &e);
    unit_same_int("as many keys as it shows", (int64_t)n, 2 + RING_MAX_TO_COME);
    CU_ASSERT(until < 1010 + 100 * 1000);
    free(l);
    ring_free(r);
}

static void what_never_rotates_has_nothing_to_come(void)
{
    struct ring_settings s = plain;
    struct ring_key k = key("now", 1000);
    struct err e;
    size_t n = 0;
    int64_t until = 0;

    s.rotate_every = 0;
    struct ring *r = ring_new(&s, &k, 1, NULL, 0, &e);
    struct ring_life *l = ring_foresee(r, 1010, &until, &n, &e);
    unit_same_int("keys", (int64_t)n, 1);
    unit_same_int("until", until, 1010);
    unit_same_int("state", l[0].state, KEY_ACTIVE);
    unit_same_int("retires", l[0].retires_at == INT64_MAX, 1);
    free(l);
    ring_free(r);
}

static void a_standby_that_steps_in_is_foreseen(void)
{
    struct ring_settings s = plain;
    struct ring_key keys[] = { key("dead", 1000), key("standby", 1100) };
    struct err e;
    size_t n = 0;
    int64_t until = 1050;

    s.standby = true;
    keys[0].gone = true;
    struct ring *r = ring_new(&s, keys, 2, NULL, 0, &e);
    struct ring_life *l = ring_foresee(r, 1010, &until, &n, &e);
    unit_same_int("keys: a new standby too", (int64_t)n, 3);
    unit_same_str("in its place", l[1].key.kid, "standby");
    unit_same_int("at once", l[1].key.activates_at, 1010);
    free(l);
    ring_free(r);
}

static void a_key_brought_forward_is_sure_to_sign(void)
{
    struct ring_key keys[] = { key("first", 1000), key("small", 1100) };
    struct err e;
    struct ring *r = ring_new(&plain, keys, 2, NULL, 0, &e);

    unit_same_int("not in the second in which another began", ring_at_once(r, 1000), 1001);
    unit_same_int("later at once", ring_at_once(r, 1010), 1010);
    ring_free(r);
    keys[0].gone = true;
    r = ring_new(&plain, keys, 2, NULL, 0, &e);
    unit_same_int("before one that cannot sign in the same", ring_at_once(r, 1000), 1000);
    unit_same_int("where none has begun", ring_at_once(r, 900), 900);
    ring_free(r);
}

static const struct unit_case cases[] = {
    { "a key brought forward is sure to sign", a_key_brought_forward_is_sure_to_sign },
    { "what is to come is foreseen", what_is_to_come_is_foreseen },
    { "what never rotates has nothing to come", what_never_rotates_has_nothing_to_come },
    { "a standby that steps in is foreseen", a_standby_that_steps_in_is_foreseen },
    { "labels have one spelling", labels_have_one_spelling },
    { "states follow from dates and now", states_follow_from_dates_and_now },
    { "the last activated signs, or nothing does", the_last_activated_signs_or_nothing_does },
    { "a key that cannot sign says why", a_key_that_cannot_sign_says_why },
    { "a revoked key is dead and holds its place", a_revoked_key_is_dead_and_holds_its_place },
    { "a promotion counts once, the earliest", a_promotion_counts_once_and_the_earliest },
    { "a key of a wrong clock does not count", a_key_of_a_wrong_clock_does_not_count },
    { "rotation is planned ahead", rotation_is_planned_ahead },
    { "a restart makes no key, but create begins a ring", a_restart_makes_no_key_but_create_begins_a_ring },
    { "a key cut off in the making is made again", a_key_cut_off_in_the_making_is_made_again },
    { "a standby steps in", a_standby_steps_in },
    { "only what signet made is destroyed", only_what_signet_made_is_destroyed },
    { "an orphan that nobody brought is swept", an_orphan_that_nobody_brought_is_swept },
    { "half a key whose time came goes when it is over", half_a_key_whose_time_came_goes_when_it_is_over },
    { "promises that are out hold, whatever the settings say now", promises_that_are_out_hold_whatever_the_settings_say_now },
    { "the soonest change waits for whoever did not hear", the_soonest_change_waits_for_whoever_did_not_hear },
    { "a revoked key that never signed holds no place", a_revoked_key_that_never_signed_holds_no_place },
    { "a token without facts gets a new key in place of a promoted one",
      a_token_without_facts_gets_a_new_key_in_place_of_a_promoted_one },
    { "a wrong clock destroys nothing early", a_wrong_clock_destroys_nothing_early },
    { "what cannot be destroyed keeps nothing else", what_cannot_be_destroyed_keeps_nothing_else },
    { "facts do not outlive what a turn that is called off would end",
      facts_do_not_outlive_what_a_turn_that_is_called_off_would_end },
    { "what was made by half goes with the promoted key of its moment",
      what_was_made_by_half_goes_with_the_promoted_key_of_its_moment },
    { "a secret has no half to lose", a_secret_has_no_half_to_lose },
    { "of two places of a revoked key the later counts", of_two_places_of_a_revoked_key_the_later_counts },
    { "of twins the one that stays is next", of_twins_the_one_that_stays_is_next },
    { "twins retire together", twins_retire_together },
    { "only what all daemons know lets a key sign at once", only_what_all_daemons_know_lets_a_key_sign_at_once },
    { "a destroyed key moves nobody's end", a_destroyed_key_moves_nobody_s_end },
    { "a key that signed verifies without its private half", a_key_that_signed_verifies_without_its_private_half },
    { "a key that lost a half is no half-made one", a_key_that_lost_a_half_is_no_half_made_one },
    { "in a silent ring no key signs at once by itself", in_a_silent_ring_no_key_signs_at_once_by_itself },
    { "the set changes when a key is made or ends", the_set_changes_when_a_key_is_made_or_ends },
};

UNIT_MAIN(cases)
