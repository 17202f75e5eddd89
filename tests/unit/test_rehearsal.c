#include "daemon/rehearsal/rehearsal.h"

#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>

#define DAY 86400
#define YEAR (365 * DAY)
#define N_SEEDS 5u

static const struct ring_settings usual = {
    .name = "web", .rotate_every = 30 * DAY, .publish_ahead = 2 * DAY, .max_ttl = DAY / 2, .skew = 60, .max_age = 900,
    .refresh = 30, .destroy_after = 7 * DAY, .generation_time = 60,
};

static struct rehearsal_report live(const struct ring_settings *s, uint64_t seed, enum rehearsal_breakage broken)
{
    const struct rehearsal_options o = { .seed = seed, .span = 3 * YEAR, .n_tokens = 4000, .broken = broken };
    struct rehearsal_report r;
    struct err e;

    CU_ASSERT_TRUE_FATAL(rehearse(s, &o, &r, &e));
    return r;
}

static const char *said(struct buf *b)
{
    CU_ASSERT_TRUE_FATAL(buf_append_char(b, '\0'));
    return (const char *)b->data;
}

static void same_found(const char *what, const struct ring_settings *s, const struct rehearsal_report *r, const char *want)
{
    CLEANUP(buf_clear) struct buf text;

    buf_init(&text, 4096);
    rehearsal_say_found(s, &r->found, &text);
    unit_same_str(what, want ? rehearsal_kind_name(r->found.kind) : said(&text),
                  want ? want : "no living token was ever without its published key");
}

/* --- a ring that is right ------------------------------------------------------------------------- */

static void the_usual_ring_keeps_its_promises(void)
{
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        struct rehearsal_report r = live(&usual, seed, BROKEN_NOT);
        same_found("found", &usual, &r, NULL);
        unit_same_int("lived", r.lived, 3 * YEAR);
        CU_ASSERT_TRUE(r.n_rotations >= 35);
        CU_ASSERT_TRUE(r.n_daemons >= 2 && r.n_daemons <= REHEARSAL_MAX_DAEMONS);
        CU_ASSERT_TRUE(r.n_restarts > 10 && r.n_crashes > 3 && r.n_blind > 10 && r.n_spare > 3);
        for (int m = 0; m < N_REHEARSAL_MARGINS; m++)
            CU_ASSERT_TRUE(r.margins[m].met && r.margins[m].seconds >= 0);
        CU_ASSERT_TRUE(r.margins[MARGIN_KEPT].seconds >= usual.destroy_after);
        CU_ASSERT_TRUE(r.n_left <= 8);           /* it sweeps behind itself */
        unit_same_int("no daemon was up and could not sign", r.silent.seconds, 0);
        unit_same_int("no key was made in need", r.n_urgent, 0);
        CU_ASSERT_TRUE(r.n_tokens > 1000 && r.n_checks > 10 * r.n_tokens);
    }
}

static void a_seed_is_a_life(void)
{
    struct rehearsal_report a = live(&usual, 7, BROKEN_NOT), b = live(&usual, 7, BROKEN_NOT), c = live(&usual, 8, BROKEN_NOT);

    CU_ASSERT_TRUE(a.n_restarts == b.n_restarts && a.n_blind == b.n_blind && a.n_checks == b.n_checks);
    for (int m = 0; m < N_REHEARSAL_MARGINS; m++)
        CU_ASSERT_TRUE(a.margins[m].at == b.margins[m].at && a.margins[m].seconds == b.margins[m].seconds);
    unit_same_mem("rejected", a.n_rejected, sizeof a.n_rejected, b.n_rejected, sizeof b.n_rejected);
    CU_ASSERT_FALSE(a.n_restarts == c.n_restarts && a.n_blind == c.n_blind && a.n_checks == c.n_checks);
}

static void the_tightest_margin_is_the_least_that_was_met(void)
{
    struct rehearsal_report r = { .margins = { [MARGIN_KNOWN] = { .met = true, .seconds = 5 },
                                               [MARGIN_PUBLISHED] = { .met = true, .seconds = 3 },
                                               [MARGIN_KEPT] = { .seconds = 1 } } };

    CU_ASSERT_PTR_EQUAL(rehearsal_tightest(&r), &r.margins[MARGIN_PUBLISHED]);
    r.margins[MARGIN_PUBLISHED].met = r.margins[MARGIN_KNOWN].met = false;
    CU_ASSERT_PTR_NULL(rehearsal_tightest(&r));
}

static void a_ring_that_never_rotates_has_nothing_to_lose(void)
{
    struct ring_settings s = usual;

    s.rotate_every = 0;
    struct rehearsal_report r = live(&s, 1, BROKEN_NOT);
    same_found("found", &s, &r, NULL);
    unit_same_int("rotations", r.n_rotations, 0);
    unit_same_int("kept only the newest", (long long)r.n_rejected[HABIT_NEWEST], 0);
    CU_ASSERT_PTR_NULL(rehearsal_tightest(&r));
}

/* --- one that is broken ------------------------------------------------------------------------------ */

static const struct { const char *name; enum rehearsal_breakage how; const char *found; } breakages[] = {
    { "its next key signs a second before its time", BROKEN_SIGNS_EARLY, "signed-early" },
    { "a retired key leaves the key set a second before its end", BROKEN_WITHDRAWS_EARLY, "withdrawn-early" },
    { "a retired key is destroyed before its end", BROKEN_DESTROYS_EARLY, "destroyed-early" },
    { "a key is published when it signs", BROKEN_PUBLISHES_LATE, "published-late" },
    { "a key signs that is not in the key set", BROKEN_SIGNS_UNPUBLISHED, "signed-unpublished" },
};

/* What a breakage does to verifiers: the margins that it makes negative, whatever the seed. */
static const struct { const char *name; enum rehearsal_breakage how; enum rehearsal_margin_of margin; } harms[] = {
    { "destroyed early, and gone from the key sets", BROKEN_DESTROYS_EARLY, MARGIN_PUBLISHED },
    { "destroyed early", BROKEN_DESTROYS_EARLY, MARGIN_KEPT },
    { "published late", BROKEN_PUBLISHES_LATE, MARGIN_KNOWN },
    { "not published", BROKEN_SIGNS_UNPUBLISHED, MARGIN_PUBLISHED },
};

static void what_a_breakage_does_to_verifiers_is_in_the_margins(void)
{
    for (size_t i = 0; i < ARRAY_LEN(harms); i++)
        for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
            struct rehearsal_report r = live(&usual, seed, harms[i].how);
            const struct rehearsal_margin *m = &r.margins[harms[i].margin];
            unit_same_int(harms[i].name, m->met && m->seconds < 0, true);
        }
}

/* By what it knows it does all right: only what comes of it shows, and without that any token is tried. */
static void a_daemon_that_goes_on_blind_has_living_tokens_rejected(void)
{
    unsigned n_rejected = 0;

    for (uint64_t seed = 1; seed <= 4 * N_SEEDS; seed++) {
        const struct rehearsal_options o = { .seed = seed, .span = 3 * YEAR, .broken = BROKEN_GOES_ON_BLIND };
        const struct rehearsal_finding *f;
        struct rehearsal_report r;
        struct err e;
        CU_ASSERT_TRUE_FATAL(rehearse(&usual, &o, &r, &e));
        f = &r.found;
        unit_same_int("a margin that is not there", f->kind != FOUND_NOTHING, rehearsal_tightest(&r)->seconds < 0);
        if (f->kind == FOUND_NOTHING)
            continue;
        unit_same_str("found", rehearsal_kind_name(f->kind), "rejected");
        n_rejected++;
        CU_ASSERT_TRUE(f->daemon == 1 || f->server == 1);
        CU_ASSERT_TRUE(f->signed_at <= f->at && f->at < f->expires_at);
        CU_ASSERT_TRUE(f->copied_at <= f->at && f->at < f->copied_at + usual.max_age);
    }
    CU_ASSERT_TRUE(n_rejected > N_SEEDS);
}

static void each_breakage_is_found_and_named(void)
{
    for (size_t i = 0; i < ARRAY_LEN(breakages); i++)
        for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
            struct rehearsal_report r = live(&usual, seed, breakages[i].how);
            same_found(breakages[i].name, &usual, &r, breakages[i].found);
            unit_same_int(breakages[i].name, r.found.daemon, 1);
            unit_same_int("no setting mends a broken daemon", (long long)r.n_changes, 0);
        }
}

/* --- verifiers ------------------------------------------------------------------------------------------ */

static void a_key_published_late_is_met_by_those_who_wait_more_than_by_those_who_refetch(void)
{
    size_t waits = 0, max_age = 0, refetches = 0;

    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        struct rehearsal_report r = live(&usual, seed, BROKEN_PUBLISHES_LATE);
        waits += r.n_rejected[HABIT_WAITS];
        max_age += r.n_rejected[HABIT_MAX_AGE];
        refetches += r.n_rejected[HABIT_REFETCHES];
        CU_ASSERT_TRUE(r.n_rejected[HABIT_SKEWED] > 0);
    }
    CU_ASSERT_TRUE(waits > max_age);
    CU_ASSERT_TRUE(max_age > 0 && 4 * refetches < max_age);
}

static void what_is_promised_is_kept_and_the_other_habits_are_not_served(void)
{
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        struct rehearsal_report r = live(&usual, seed, BROKEN_NOT);
        for (int h = 0; h < N_REHEARSAL_HABITS; h++)
            if (rehearsal_habits[h].is_promised)
                unit_same_int(rehearsal_habits[h].name, (long long)r.n_rejected[h], 0);
        CU_ASSERT_TRUE(r.n_rejected[HABIT_NEWEST] > r.n_tokens / 10);
        CU_ASSERT_TRUE(r.n_rejected[HABIT_WEEK] > r.n_tokens / 10);
    }
}

static void apply(struct ring_settings *s, const struct rehearsal_change *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int64_t *to = strcmp(c[i].setting, "jwks_max_age") == 0    ? &s->max_age
                      : strcmp(c[i].setting, "publish_ahead") == 0 ? &s->publish_ahead
                      : strcmp(c[i].setting, "rotate_every") == 0  ? &s->rotate_every : &s->max_ttl;
        unit_same_int(c[i].setting, *to, c[i].was);
        *to = c[i].is;
    }
}

static const struct {
    const char *name;
    int64_t rotate_every;
    enum rehearsal_habit_of habit;
    const char *changes;
} serving[] = {
    { "a 7-day cache", 30 * DAY, HABIT_WEEK, "jwks_max_age: 7d (now 15m), publish_ahead: 7d2m30s (now 2d)" },
    { "a 7-day cache of a weekly ring", 7 * DAY, HABIT_WEEK,
      "jwks_max_age: 7d (now 15m), publish_ahead: 7d2m30s (now 2d), rotate_every: 14d5m (now 7d)" },
    { "a day offline", 30 * DAY, HABIT_OFFLINE, "jwks_max_age: 1d (now 15m)" },
};

static void what_serves_a_habit_does_serve_it(void)
{
    struct rehearsal_change c[REHEARSAL_MAX_CHANGES];

    for (size_t i = 0; i < ARRAY_LEN(serving); i++) {
        CLEANUP(buf_clear) struct buf text;
        struct ring_settings s = usual;
        s.rotate_every = serving[i].rotate_every;
        size_t n = rehearsal_serve(&s, rehearsal_habits[serving[i].habit].keeps, c);
        buf_init(&text, 4096);
        rehearsal_say_changes(c, n, &text);
        unit_same_str(serving[i].name, said(&text), serving[i].changes);
        apply(&s, c, n);
        for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
            struct rehearsal_report r = live(&s, seed, BROKEN_NOT);
            unit_same_int(serving[i].name, (long long)r.n_rejected[serving[i].habit], 0);
            CU_ASSERT_TRUE(r.n_rejected[HABIT_NEWEST] > 0);
        }
        unit_same_int("it does so already", (long long)rehearsal_serve(&s, rehearsal_habits[serving[i].habit].keeps, c), 0);
    }
}

static void verifiers_that_ask_a_daemon_have_no_copies(void)
{
    const struct rehearsal_options o = { .seed = 3, .span = 3 * YEAR, .n_tokens = 4000, .is_unpublished = true };
    struct rehearsal_report r, copied = live(&usual, 3, BROKEN_NOT);
    struct err e;

    CU_ASSERT_TRUE_FATAL(rehearse(&usual, &o, &r, &e));
    same_found("found", &usual, &r, NULL);
    unit_same_int("nobody keeps only the newest", (long long)r.n_rejected[HABIT_NEWEST], 0);
    unit_same_int("in the same life a key is known sooner by max-age",
                  r.margins[MARGIN_KNOWN].seconds - copied.margins[MARGIN_KNOWN].seconds, usual.max_age);
}

/* --- settings that no daemon would run on --------------------------------------------------------------- */

static void keys_that_pile_up_are_too_many_for_some_verifiers(void)
{
    struct ring_settings s = usual;

    s.max_ttl = 200 * DAY;
    s.rotate_every = 5 * DAY;
    struct rehearsal_report r = live(&s, 1, BROKEN_NOT);
    same_found("40 keys are read by all", &s, &r, NULL);
    CU_ASSERT_TRUE(r.most_published > 40);
    s.max_ttl = 600 * DAY;
    r = live(&s, 1, BROKEN_NOT);
    same_found("120 are not", &s, &r, "too-many");
    unit_same_int("one more than may be", (long long)r.found.n_published, RING_MAX_PUBLISHED + 1);
    unit_same_int("one setting mends it", (long long)r.n_changes, 1);
    unit_same_str("this one", r.changes[0].setting, "max_ttl");
    unit_same_int("so", r.changes[0].is, s.rotate_every);
}

/* --- words --------------------------------------------------------------------------------------------------- */

static const struct { int64_t s; const char *want; } spans[] = {
    { 0, "0s" }, { 1, "1s" }, { 90, "1m30s" }, { 3600, "1h" }, { 2 * DAY + 5, "2d5s" }, { -61, "-1m1s" },
    { 400 * DAY, "400d" },
};

static void spans_and_moments_are_written_as_people_do(void)
{
    for (size_t i = 0; i < ARRAY_LEN(spans); i++) {
        CLEANUP(buf_clear) struct buf text;
        buf_init(&text, 64);
        rehearsal_say_span(spans[i].s, &text);
        unit_same_str("span", said(&text), spans[i].want);
    }
    CLEANUP(buf_clear) struct buf text;
    buf_init(&text, 64);
    rehearsal_say_moment(27 * DAY + 23 * 3600 + 59 * 60 + 30, &text);
    unit_same_str("moment", said(&text), "day 27, 23:59:30");
}

static const struct { enum rehearsal_kind kind; const char *want; } sentences[] = {
    { FOUND_SIGNED_EARLY, "day 1, 00:00:01: daemon 2 signs with key 3 before its time" },
    { FOUND_SIGNED_UNPUBLISHED, "day 1, 00:00:01: daemon 2 signs with key 3, which is not in its own key set" },
    { FOUND_DESTROYED_EARLY, "day 1, 00:00:01: daemon 2 destroys key 3 while its tokens may live" },
    { FOUND_DESTROYED_IN_MAKING, "day 1, 00:00:01: daemon 2 destroys key 3, which another is making" },
    { FOUND_WITHDRAWN_EARLY, "day 1, 00:00:01: daemon 2 takes key 3 out of its key set before its end" },
    { FOUND_PUBLISHED_LATE, "day 1, 00:00:01: daemon 2 knows key 3 and does not publish it" },
    { FOUND_REJECTED, "day 1, 00:00:01: a living token is rejected: daemon 2 signed it with key 3 on day 1, 00:00:00, until"
      " day 1, 12:00:00; a verifier's copy of the key set, from daemon 4 on day 0, 23:50:00 and good for 15m, has no such"
      " key" },
    { FOUND_TOO_MANY, "day 1, 00:00:01: daemon 2 publishes 101 keys, and some verifiers read no more than 100" },
};

static void a_finding_is_a_sentence(void)
{
    for (size_t i = 0; i < ARRAY_LEN(sentences); i++) {
        CLEANUP(buf_clear) struct buf text;
        const struct rehearsal_finding f = {
            .kind = sentences[i].kind, .at = DAY + 1, .key = 3, .daemon = 2, .server = 4, .copied_at = DAY - 600,
            .signed_at = DAY, .expires_at = DAY + DAY / 2, .n_published = 101,
        };
        buf_init(&text, 4096);
        rehearsal_say_found(&usual, &f, &text);
        unit_same_str(rehearsal_kind_name(f.kind), said(&text), sentences[i].want);
    }
}

static const struct unit_case cases[] = {
    { "the usual ring keeps its promises through crashes, outages and clocks that differ",
      the_usual_ring_keeps_its_promises },
    { "one seed is one life, another is another", a_seed_is_a_life },
    { "the tightest margin is the least that was met", the_tightest_margin_is_the_least_that_was_met },
    { "a ring that never rotates has nothing to lose", a_ring_that_never_rotates_has_nothing_to_lose },
    { "each breakage is found and named, with the daemon that it is of", each_breakage_is_found_and_named },
    { "what a breakage does to verifiers is in the margins", what_a_breakage_does_to_verifiers_is_in_the_margins },
    { "a daemon that goes on blind has living tokens rejected", a_daemon_that_goes_on_blind_has_living_tokens_rejected },
    { "wire_6_4_3: a key published late is missed most by verifiers that wait for max-age",
      a_key_published_late_is_met_by_those_who_wait_more_than_by_those_who_refetch },
    { "wire_6_4_4: what is promised is kept; who keeps only the newest key, or for a week, is not served",
      what_is_promised_is_kept_and_the_other_habits_are_not_served },
    { "what is said to serve a habit does serve it, but for the newest key only", what_serves_a_habit_does_serve_it },
    { "verifiers that ask a daemon have no copies", verifiers_that_ask_a_daemon_have_no_copies },
    { "wire_6_4_6: keys that pile up are found where verifiers read no more, and max_ttl named",
      keys_that_pile_up_are_too_many_for_some_verifiers },
    { "spans and moments are written as people do", spans_and_moments_are_written_as_people_do },
    { "a finding is a sentence", a_finding_is_a_sentence },
};

UNIT_MAIN(cases)
