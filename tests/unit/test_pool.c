#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/broker/pool.h"
#include "tests/support/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name
#define FAR INT64_MAX

enum { QUICK = 1, SLOW };        /* kinds of jobs: of small letters, and of capitals */

/* A pool of two peers, sometimes three, whose other ends the test holds; what became of each job stands in `said`. */
static struct {
    struct event_base *base;
    struct pool pool;
    struct account one, two;
    struct channel *peer[3];
    unsigned n_hung;
    char said[256];
} t;

struct test_job { struct job job; char name; };

static void job_done_(void *owner, struct job *j, const Signet__Role__Message *answer, const struct err *e)
{
    size_t len = strlen(t.said);

    snprintf(t.said + len, sizeof t.said - len, "%c%s ", ((struct test_job *)j)->name,
             answer ? "" : err_reason_name(e->reason));
}

static bool job_send(struct job *j, const struct peer *p, struct channel *to, struct err *e)
{
    Signet__Role__Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Work w = SIGNET__ROLE__WORK__INIT;

    w.id = j->id;
    w.key = (uint64_t)((struct test_job *)j)->name;
    w.input = (ProtobufCBinaryData){ j->len, calloc(1, j->len + 1) };
    m.of_case = OF(WORK);
    m.work = &w;
    bool sent = channel_send(to, &m, -1, e);
    free(w.input.data);
    return sent;
}

static void job_free(struct job *j)
{
    free(j);
}

static bool submit_for(struct account *a, struct toll *toll, char name, int64_t deadline_ms, size_t len, struct err *e)
{
    struct test_job *j = calloc(1, sizeof *j);

    j->name = name;
    j->job = (struct job){ .account = a, .toll = toll, .deadline_ms = deadline_ms, .timeout_ms = 100, .done = job_done_, .owner = &t,
                           .kind = name >= 'A' && name <= 'Z' ? SLOW : QUICK, .len = len,
                           .send = job_send, .free = job_free };
    return pool_submit(&t.pool, &j->job, e);
}

static bool submit_long(struct account *a, char name, int64_t deadline_ms, size_t len, struct err *e)
{
    return submit_for(a, NULL, name, deadline_ms, len, e);
}

/* Jobs of one request. */
static void submit_all(struct account *a, struct toll *toll, const char *names)
{
    struct err e;

    for (; *names; names++)
        CU_ASSERT_TRUE(submit_for(a, toll, *names, FAR, 0, &e));
}

static bool submit(struct account *a, char name, int64_t deadline_ms, struct err *e)
{
    return submit_long(a, name, deadline_ms, 0, e);
}

static void on_message(void *ctx, struct peer *p, const Signet__Role__Message *m) { }
static void on_hung(void *ctx, struct peer *p, const char *what) { t.n_hung++; }

static void attach(unsigned number)
{
    int pair[2];
    struct err e;

    CU_ASSERT_TRUE_FATAL(channel_pair(pair, &e));
    CU_ASSERT_TRUE_FATAL(pool_attach(&t.pool, number, 1, 0, pair[0], &e));
    channel_free(t.peer[number - 1]);
    t.peer[number - 1] = channel_new(pair[1]);
    peer_ready(&t.pool.peers[number - 1]);
}

static void begin(void)
{
    const struct pool_hooks hooks = { NULL, on_message, on_hung };

    memset(&t, 0, sizeof t);
    t.base = event_base_new();
    pool_init(&t.pool, t.base, LANE_SIGNERS, "signer", &hooks);
    attach(1);
    attach(2);
}

static void finish(void)
{
    pool_clear(&t.pool);
    channel_free(t.peer[0]);
    channel_free(t.peer[1]);
    channel_free(t.peer[2]);
    event_base_free(t.base);
}

/* The names of what a peer was given, in order; answered where asked. The broker does not look yet. */
static void work_off(unsigned number, char *names, bool answer)
{
    Signet__Role__Message *m;
    int fd;
    bool bad = false;
    struct err e;

    channel_fill(t.peer[number - 1]);
    while ((m = channel_next(t.peer[number - 1], &fd, &bad))) {
        *names++ = (char)m->work->key;
        if (answer) {
            Signet__Role__Message reply = SIGNET__ROLE__MESSAGE__INIT;
            Signet__Role__WorkDone done = SIGNET__ROLE__WORK_DONE__INIT;
            done.id = m->work->id;
            reply.of_case = OF(WORK_DONE);
            reply.work_done = &done;
            channel_send(t.peer[number - 1], &reply, -1, &e);
        }
        channel_done(m);
    }
    *names = '\0';
    channel_flush(t.peer[number - 1]);
}

static void serve(unsigned number, char *names, bool answer)
{
    work_off(number, names, answer);
    event_base_loop(t.base, EVLOOP_NONBLOCK);
}

static void work_goes_to_the_least_busy_and_is_answered_once(void)
{
    struct err e;
    char first[8], second[8];

    begin();
    for (const char *c = "abcd"; *c; c++)
        CU_ASSERT_TRUE(submit(&t.one, *c, FAR, &e));
    unit_same_str("never from submit", t.said, "");
    pool_flush(&t.pool, 0);
    serve(1, first, true);
    serve(2, second, true);
    unit_same_str("one", first, "ac");
    unit_same_str("the other", second, "bd");
    unit_same_str("answered", t.said, "a c b d ");
    unit_same_int("charged", (long long)t.one.n_jobs, 0);
    finish();
}

static void what_a_dead_peer_had_goes_alone_and_a_second_death_is_the_end(void)
{
    struct err e;
    char got[8];

    begin();
    for (const char *c = "abcd"; *c; c++)
        submit(&t.one, *c, FAR, &e);
    pool_flush(&t.pool, 0);
    serve(2, got, true);
    t.said[0] = '\0';
    pool_detach(&t.pool, 1, "was killed");      /* it had a and c */
    pool_flush(&t.pool, 0);
    serve(2, got, false);
    unit_same_str("alone", got, "a");
    pool_detach(&t.pool, 2, "was killed");
    unit_same_str("a has killed two", t.said, "aINTERNAL ");
    attach(1);
    pool_flush(&t.pool, 0);
    serve(1, got, true);
    unit_same_str("c goes on", got, "c");
    unit_same_str("and is answered", t.said, "aINTERNAL c ");
    finish();
}

static void a_request_of_many_jobs_is_at_an_end_with_the_second_peer_that_it_took(void)
{
    struct toll toll = { 0 };
    struct err e;
    char got[16];

    begin();
    attach(3);
    submit_all(&t.one, &toll, "abcdefghijklm");
    pool_flush(&t.pool, 0);
    serve(1, got, false);
    unit_same_str("the first has some", got, "aceg");
    submit(&t.two, 'x', FAR, &e);
    submit(&t.two, 'y', FAR, &e);
    pool_flush(&t.pool, 0);
    serve(3, got, false);
    unit_same_str("the third is others'", got, "xy");
    pool_detach(&t.pool, 1, "was killed");
    attach(1);
    pool_flush(&t.pool, 0);
    serve(1, got, false);
    unit_same_str("none while the second has some", got, "");
    unit_same_str("nothing said yet", t.said, "");
    pool_detach(&t.pool, 2, "was killed");
    attach(2);
    CU_ASSERT_FALSE(submit_for(&t.one, &toll, 'n', FAR, 0, &e));
    unit_same_int("nor one that comes back", e.reason, ERR_INTERNAL);
    pool_flush(&t.pool, 0);
    CU_ASSERT_EQUAL(toll.n_lost, 2);
    unit_same_int("none waits", (long long)t.one.n_jobs, 0);
    for (const char *c = "abcdefghijklm"; *c; c++) {
        char each[16];
        snprintf(each, sizeof each, "%cINTERNAL ", *c);
        CU_ASSERT_PTR_NOT_NULL(strstr(t.said, each));
    }
    CU_ASSERT_PTR_NULL(strchr(t.said, 'x'));
    finish();
}

/* One request has jobs beside those of a poisonous one, in as many peers as that: it loses one of them to it. */
static void a_request_of_many_jobs_loses_no_two_peers_to_one_other(void)
{
    struct toll good = { 0 }, bad = { 0 };
    char got[16];

    begin();
    submit_all(&t.one, &good, "ab");
    pool_flush(&t.pool, 0);
    submit_all(&t.two, &bad, "xyz");
    pool_flush(&t.pool, 0);
    serve(1, got, false);
    unit_same_str("beside each other in one", got, "axyz");
    pool_detach(&t.pool, 1, "was killed");
    attach(1);
    pool_flush(&t.pool, 0);
    serve(1, got, false);
    unit_same_str("alone, one after another", got, "x");
    pool_detach(&t.pool, 1, "was killed");
    attach(1);
    pool_flush(&t.pool, 0);
    unit_same_str("it was x", t.said, "xINTERNAL yINTERNAL zINTERNAL ");
    serve(2, got, true);
    pool_flush(&t.pool, 0);
    serve(1, got, true);
    unit_same_str("the others are only late", t.said, "xINTERNAL yINTERNAL zINTERNAL b a ");
    finish();
}

static void a_request_is_beside_others_in_one_peer_alone_whoever_comes_first(void)
{
    struct toll toll = { 0 };
    char got[16];

    begin();
    submit_all(&t.two, NULL, "xy");
    pool_flush(&t.pool, 0);
    submit_all(&t.one, &toll, "ab");
    pool_flush(&t.pool, 0);
    serve(1, got, false);
    unit_same_str("it comes", got, "xab");
    finish();
    begin();
    toll = (struct toll){ 0 };
    submit_all(&t.one, &toll, "ab");
    pool_flush(&t.pool, 0);
    submit_all(&t.two, NULL, "xy");
    pool_flush(&t.pool, 0);
    serve(1, got, false);
    unit_same_str("they come", got, "axy");
    finish();
}

/* A peer died with three jobs of it, which others do. */
static void a_request_whose_suspects_were_answered_is_cleared(void)
{
    struct toll toll = { 0 };
    char got[16];

    begin();
    pool_detach(&t.pool, 2, "is not needed here");
    submit_all(&t.one, &toll, "abcde");
    pool_flush(&t.pool, 0);
    pool_detach(&t.pool, 1, "was killed");
    for (const char *each = "abcd"; *each; each++) {
        unit_same_int("lost", toll.n_lost, 1);
        attach(1);
        pool_flush(&t.pool, clock_mono_ms());
        serve(1, got, true);
        CU_ASSERT_EQUAL(got[0], *each);
        unit_same_str("alone", got + 1, "");
    }
    unit_same_int("cleared", toll.n_lost, 0);
    submit_all(&t.one, &toll, "f");
    pool_flush(&t.pool, clock_mono_ms());
    serve(1, got, false);
    unit_same_str("together again", got, "ef");
    pool_detach(&t.pool, 1, "was killed");
    unit_same_str("said", t.said, "a b c d ");
    finish();
}

static void what_was_abandoned_leaves_no_trace_of_its_request(void)
{
    struct toll *toll = calloc(1, sizeof *toll);
    struct err e;
    char got[16];

    begin();
    submit_all(&t.one, toll, "ab");
    pool_flush(&t.pool, 0);
    for (int i = 0; i < 2; i++)
        job_leave(t.pool.peers[i].given[0]);
    free(toll);
    submit(&t.two, 'c', FAR, &e);
    pool_flush(&t.pool, 0);
    pool_detach(&t.pool, 1, "was killed");
    serve(2, got, true);
    pool_flush(&t.pool, 0);
    serve(2, got, true);
    unit_same_str("nobody is told but who asks still", t.said, "c ");
    finish();
}

static void a_peer_that_hangs_is_told_of_once_and_its_work_given_on(void)
{
    struct err e;
    char got[8];

    begin();
    submit(&t.one, 'a', FAR, &e);
    pool_flush(&t.pool, 1000);
    pool_tick(&t.pool, 1100);
    unit_same_int("in time still", t.n_hung, 0);
    pool_tick(&t.pool, 1101);
    pool_tick(&t.pool, 5000);
    unit_same_int("told", t.n_hung, 1);
    pool_flush(&t.pool, 1102);
    serve(2, got, true);
    unit_same_str("given on", got, "a");
    unit_same_str("answered", t.said, "a ");
    finish();
}

static void a_peer_whose_answer_was_not_read_yet_does_not_hang(void)
{
    struct err e;
    char got[8];

    begin();
    submit(&t.one, 'a', FAR, &e);
    pool_flush(&t.pool, 1000);
    work_off(1, got, true);
    pool_tick(&t.pool, 5000);
    unit_same_int("told", t.n_hung, 0);
    unit_same_str("answered", t.said, "a ");
    finish();
}

static void what_is_too_late_costs_no_peer_anything(void)
{
    struct err e;
    char got[8];

    begin();
    submit(&t.one, 'a', 50, &e);
    submit(&t.one, 'b', 51, &e);
    pool_flush(&t.pool, 50);
    serve(1, got, true);
    unit_same_str("given", got, "b");
    unit_same_str("said", t.said, "aDEADLINE_EXCEEDED b ");
    finish();
}

static void an_answer_to_nothing_is_dropped(void)
{
    struct err e;
    char got[8];

    begin();
    submit(&t.one, 'a', FAR, &e);
    pool_flush(&t.pool, 0);
    Signet__Role__Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__WorkDone done = SIGNET__ROLE__WORK_DONE__INIT;
    done.id = 999;
    m.of_case = OF(WORK_DONE);
    m.work_done = &done;
    channel_send(t.peer[0], &m, -1, &e);
    channel_flush(t.peer[0]);
    event_base_loop(t.base, EVLOOP_NONBLOCK);
    unit_same_str("nothing", t.said, "");
    serve(1, got, true);
    unit_same_str("the true one", t.said, "a ");
    finish();
}

/* What is written to stderr while it answers, and is heard. */
static void log_of_answers(unsigned number, char *out, size_t size)
{
    struct unit_captured c;
    char got[8];

    unit_capture(&c);
    serve(number, got, true);
    log_flush();
    unit_captured(&c, out, size);
}

/* It lost the token: what it had was given to the other. Its answers on the way are nothing to warn of. */
static void what_a_peer_that_failed_answers_still_is_no_news(void)
{
    struct err e, why = { .reason = ERR_TOKEN_FAILED, .text = "the token is gone" };
    char got[8], said[256];

    begin();
    submit(&t.one, 'a', FAR, &e);
    pool_flush(&t.pool, 0);
    peer_failed(&t.pool.peers[0], &why);
    pool_flush(&t.pool, 0);
    serve(2, got, true);
    unit_same_str("done by the other", t.said, "a ");
    log_of_answers(1, said, sizeof said);
    unit_same_str("logged", said, "");
    finish();
}

static void nobody_there_is_said_at_once_with_the_reason(void)
{
    struct err e, why = { .reason = ERR_PIN_WRONG, .text = "wrong" };

    begin();
    pool_detach(&t.pool, 1, "was killed");
    peer_failed(&t.pool.peers[1], &why);
    t.pool.peers[0].why = why;
    CU_ASSERT_FALSE(submit(&t.one, 'a', FAR, &e));
    unit_same_int("reason", e.reason, ERR_PIN_WRONG);
    finish();
}

static const struct { enum err_reason why, want; } outage_case[] = {
    { ERR_PIN_WRONG, ERR_PIN_WRONG }, { ERR_TOKEN_MISSING, ERR_TOKEN_MISSING },
    { ERR_TOKEN_FAILED, ERR_TOKEN_UNREACHABLE }, { ERR_NO_MEMORY, ERR_TOKEN_UNREACHABLE },
};

/* Whatever a signer said: who asks may come back, and knows for how long it has been so. */
static void an_outage_is_unavailable_and_says_since_when(void)
{
    for (size_t i = 0; i < ARRAY_LEN(outage_case); i++) {
        struct err e, why = { .reason = outage_case[i].why, .text = "it says so" };
        char want[120], at[CLOCK_TEXT];

        begin();
        peer_failed(&t.pool.peers[0], &why);
        CU_ASSERT_TRUE(pool_serves(&t.pool, &e));
        t.pool.idle_since = 0;
        peer_failed(&t.pool.peers[1], &why);
        CU_ASSERT_FALSE(pool_serves(&t.pool, &e));
        unit_same_int(err_reason_name(why.reason), e.reason, outage_case[i].want);
        CU_ASSERT(t.pool.idle_since >= clock_now() - 60 && t.pool.idle_since <= clock_now());
        t.pool.idle_since = 1764314981;
        pool_detach(&t.pool, 1, "was killed");
        pool_serves(&t.pool, &e);
        snprintf(want, sizeof want, "no signer works since %s: it says so", clock_write(at, 1764314981));
        unit_same_str("words", e.text, want);
        finish();
    }
}

/* The last one has died: what it had, and what is asked now, is done by the next, if that is there soon. */
static void work_waits_for_the_successor_of_the_last_but_not_for_long(void)
{
    struct err e;
    char got[8];

    begin();
    pool_detach(&t.pool, 2, "is not needed here");
    submit(&t.one, 'a', FAR, &e);
    pool_flush(&t.pool, clock_mono_ms());
    pool_detach(&t.pool, 1, "was killed");
    CU_ASSERT_TRUE(submit(&t.one, 'b', FAR, &e));
    pool_flush(&t.pool, t.pool.idle_ms + POOL_PATIENCE_MS - 1);
    unit_same_str("they wait", t.said, "");
    attach(1);
    pool_flush(&t.pool, clock_mono_ms());
    serve(1, got, true);
    pool_flush(&t.pool, clock_mono_ms());        /* a goes alone */
    serve(1, got, true);
    unit_same_str("done", t.said, "a b ");
    submit(&t.one, 'c', FAR, &e);
    pool_detach(&t.pool, 1, "was killed");
    pool_flush(&t.pool, t.pool.idle_ms + POOL_PATIENCE_MS);
    unit_same_str("nobody came", t.said, "a b cTOKEN_UNREACHABLE ");
    t.pool.idle_ms -= POOL_PATIENCE_MS;
    CU_ASSERT_FALSE(submit(&t.one, 'd', FAR, &e));
    unit_same_int("at once", e.reason, ERR_TOKEN_UNREACHABLE);
    finish();
}

/* What it had is done by others; what it answers to it later is dropped. Its silence is the supervisor's to judge. */
static void a_peer_that_logs_in_takes_nothing_and_does_not_hang(void)
{
    struct err e, why = { .reason = ERR_TOKEN_UNREACHABLE, .text = "the login is lost" };
    char got[8];

    begin();
    submit(&t.one, 'a', FAR, &e);
    pool_flush(&t.pool, 1000);
    peer_busy(&t.pool.peers[0], &why);
    pool_tick(&t.pool, 9000);
    unit_same_int("told", t.n_hung, 0);
    submit(&t.one, 'b', FAR, &e);
    pool_flush(&t.pool, 9000);
    serve(2, got, true);
    unit_same_str("the other takes all", got, "ab");
    serve(1, got, true);
    unit_same_str("each is answered once", t.said, "a b ");
    peer_ready(&t.pool.peers[0]);
    submit(&t.one, 'c', FAR, &e);
    pool_flush(&t.pool, clock_mono_ms());
    serve(1, got, true);
    unit_same_str("it takes work again", got, "c");
    finish();
}

static void a_full_lane_is_its_own_caller_s(void)
{
    struct err e;

    begin();
    t.pool.max_queue = 2;
    CU_ASSERT_TRUE(submit(&t.one, 'a', FAR, &e));
    CU_ASSERT_TRUE(submit(&t.one, 'b', FAR, &e));
    CU_ASSERT_FALSE(submit(&t.one, 'c', FAR, &e));
    unit_same_int("reason", e.reason, ERR_QUEUE_FULL);
    CU_ASSERT_TRUE(submit(&t.two, 'd', FAR, &e));
    finish();
    unit_same_int("one", (long long)t.one.n_jobs, 0);
    unit_same_int("two", (long long)t.two.n_jobs, 0);
}

/* A lane of which two a second were served lately. */
static void what_would_be_too_late_is_refused_at_once_to_its_caller_alone(void)
{
    int64_t now_ms = clock_mono_ms();
    struct err e;
    char got[8];

    begin();
    CU_ASSERT_TRUE(submit(&t.one, 'a', FAR, &e));
    CU_ASSERT_TRUE(submit(&t.two, 'b', FAR, &e));
    t.one.paces[LANE_SIGNERS] = (struct pace){ .since_ms = now_ms, .n_windows = PACE_WINDOWS, .ended = { 1, 1, 1, 1 } };
    CU_ASSERT_FALSE(submit(&t.one, 'c', now_ms + PACE_WINDOW_MS, &e));
    unit_same_int("reason", e.reason, ERR_QUEUE_FULL);
    CU_ASSERT_TRUE(e.retry_after_ms > 0);
    CU_ASSERT_TRUE(submit(&t.two, 'd', now_ms + PACE_WINDOW_MS, &e));
    CU_ASSERT_TRUE(submit(&t.one, 'e', now_ms + 100 * PACE_WINDOW_MS, &e));
    pool_flush(&t.pool, now_ms);
    serve(1, got, true);
    serve(2, got, true);
    CU_ASSERT_TRUE(submit(&t.one, 'f', now_ms + PACE_WINDOW_MS, &e));       /* nobody is before it */
    finish();
}

static void slow_work_is_not_given_ahead(void)
{
    struct err e;
    char got[64];

    begin();
    for (int i = 0; i < 60; i++)
        submit(&t.one, 'x', FAR, &e);
    pool_detach(&t.pool, 2, "is not needed here");
    pool_flush(&t.pool, 0);
    serve(1, got, true);
    unit_same_int("before it has shown how quick it is", (long long)strlen(got), POOL_FIRST);
    t.pool.cost_us[QUICK] = 5 * POOL_AHEAD_US;
    pool_flush(&t.pool, 0);
    serve(1, got, false);
    unit_same_str("slow: one", got, "x");
    t.pool.cost_us[QUICK] = 1;
    pool_flush(&t.pool, 0);
    serve(1, got, false);
    unit_same_str("and none behind it, however quick", got, "");
    finish();
}

static void quick_work_is_given_by_the_dozen(void)
{
    struct err e;
    char got[64];

    begin();
    pool_detach(&t.pool, 2, "is not needed here");
    t.pool.cost_us[QUICK] = 1;
    for (int i = 0; i < 60; i++)
        submit(&t.one, 'x', FAR, &e);
    pool_flush(&t.pool, 0);
    serve(1, got, false);
    unit_same_int("given", (long long)strlen(got), POOL_DEPTH);
    finish();
}

/* However quick what it did before was. */
static void what_is_given_ahead_is_bounded_by_what_it_takes_itself(void)
{
    struct err e;
    char got[64];

    begin();
    pool_detach(&t.pool, 2, "is not needed here");
    t.pool.cost_us[QUICK] = 10;
    t.pool.cost_us[SLOW] = POOL_AHEAD_US / 2 - 20;
    for (const char *c = "abcABCDd"; *c; c++)
        submit(&t.one, *c, FAR, &e);
    pool_flush(&t.pool, 0);
    serve(1, got, false);
    unit_same_str("both", got, "abcAB");
    finish();
}

/* Of what came together each is taken to have had its part, by what was known of its kind. */
static void what_a_job_takes_is_learnt_for_its_kind_alone(void)
{
    struct err e;
    char got[8];

    begin();
    pool_detach(&t.pool, 2, "is not needed here");
    t.pool.cost_us[QUICK] = 4;
    t.pool.cost_us[SLOW] = 1000;
    for (const char *c = "abA"; *c; c++)
        submit(&t.one, *c, FAR, &e);
    pool_flush(&t.pool, 0);
    t.pool.peers[0].busy_since_us -= 1008 * 1000;            /* a thousand times as long as was expected, and a little */
    serve(1, got, true);
    unit_same_str("answered at once", t.said, "a b A ");
    int64_t quick = t.pool.cost_us[QUICK], slow = t.pool.cost_us[SLOW];
    CU_ASSERT(quick > 1000 && quick < 4000);
    CU_ASSERT(slow > 250 * 1000 && slow < 1000 * 1000);
    finish();
}

/* One uid asks for what takes a hundred times as long as another's. */
static void a_peer_s_time_is_shared_and_not_its_jobs(void)
{
    size_t n_slow = 0, n_quick = 0;
    struct err e;
    char got[64];

    begin();
    pool_detach(&t.pool, 2, "is not needed here");
    for (int i = 0; i < 400; i++) {
        submit(&t.one, 'A', FAR, &e);
        submit(&t.two, 'a', FAR, &e);
    }
    for (int i = 0; i < 1000 && n_quick < 300; i++) {
        t.pool.cost_us[QUICK] = 100;
        t.pool.cost_us[SLOW] = 10000;
        pool_flush(&t.pool, 0);
        serve(1, got, true);
        t.said[0] = '\0';
        for (const char *c = got; *c; c++)
            *(*c == 'A' ? &n_slow : &n_quick) += 1;
    }
    CU_ASSERT(n_quick >= 300);
    CU_ASSERT(n_slow >= 2 && n_slow <= 5);
    finish();
}

/* A listing costs nobody's lane anything, nor does what is too late. */
static void what_is_not_measured_is_for_nothing(void)
{
    struct err e;
    char got[8];

    begin();
    submit(&t.one, 'l', FAR, &e);
    ((struct job *)t.pool.queue.lanes->first)->kind = 0;
    submit(&t.two, 'a', 50, &e);
    pool_flush(&t.pool, 50);
    serve(1, got, true);
    unit_same_str("said", t.said, "aDEADLINE_EXCEEDED l ");
    unit_same_int("of it", t.one.lanes[LANE_SIGNERS].used_us, 1);
    unit_same_int("of the other", t.two.lanes[LANE_SIGNERS].used_us, 0);
    unit_same_int("learnt", t.pool.cost_us[0], 0);
    finish();
}

static void nothing_waits_behind_what_may_take_longer(void)
{
    struct err e;
    char got[8];

    begin();
    submit(&t.one, 'l', FAR, &e);                /* a listing */
    ((struct job *)t.pool.queue.lanes->first)->timeout_ms = 60000;
    pool_flush(&t.pool, 0);
    for (const char *c = "abc"; *c; c++)
        submit(&t.one, *c, FAR, &e);
    pool_flush(&t.pool, 0);
    serve(1, got, false);
    unit_same_str("it is at the long one", got, "l");
    serve(2, got, true);
    unit_same_str("the other has the rest", got, "abc");
    pool_detach(&t.pool, 2, "is not needed here");
    submit(&t.one, 'd', FAR, &e);
    pool_flush(&t.pool, 0);
    serve(1, got, false);
    unit_same_str("alone it lets it wait in the queue", got, "");
    unit_same_int("where it is", (long long)t.pool.queue.n, 1);
    finish();
}

static void long_work_waits_for_its_turn_and_not_on_the_way(void)
{
    struct err e;
    char got[64], *end = got;

    begin();
    pool_detach(&t.pool, 2, "is not needed here");
    for (const char *c = "abcdefghijkl"; *c; c++)
        CU_ASSERT_TRUE(submit_long(&t.one, *c, FAR, 1 << 20, &e));
    pool_flush(&t.pool, 0);
    unit_same_str("none is refused", t.said, "");
    CU_ASSERT_TRUE(channel_waiting(t.pool.peers[0].channel) <= POOL_AHEAD_BYTES);
    for (int i = 0; i < 1000 && end < got + 12; i++) {
        serve(1, end, true);
        end += strlen(end);
        pool_flush(&t.pool, 0);
    }
    unit_same_str("each is done", got, "abcdefghijkl");
    serve(1, end, true);
    finish();
}

static void work_that_is_left_is_over_and_with_a_peer_it_is_charged_until_that_answers(void)
{
    struct err e;
    char got[64];

    begin();
    pool_detach(&t.pool, 2, "is not needed here");
    for (const char *c = "abc"; *c; c++)
        CU_ASSERT_TRUE(submit_long(&t.one, *c, FAR, 1000, &e));
    struct job *waiting = (struct job *)t.one.lanes[LANE_SIGNERS].first->next;
    job_leave(waiting);
    unit_same_int("it waits no more", (long long)t.pool.queue.n, 2);
    unit_same_int("nor is charged", (long long)t.one.n_bytes, 0);
    unit_same_int("jobs", (long long)t.one.n_jobs, 2);
    pool_flush(&t.pool, 0);
    job_leave(t.pool.peers[0].given[0]);
    unit_same_int("of the one that is given", (long long)t.one.n_bytes, 1000);
    serve(1, got, true);
    unit_same_str("never given", got, "ac");
    unit_same_str("not told", t.said, "c ");
    unit_same_int("at last", (long long)t.one.n_bytes, 0);
    unit_same_int("no jobs", (long long)t.one.n_jobs, 0);
    CU_ASSERT_TRUE(submit_long(&t.one, 'd', FAR, 1000, &e));
    pool_flush(&t.pool, 0);
    job_leave(t.pool.peers[0].given[0]);
    pool_detach(&t.pool, 1, "has ended");
    unit_same_int("nobody else is given it", (long long)t.pool.queue.n, 0);
    unit_same_int("its peer has ended", (long long)t.one.n_bytes, 0);
    finish();
}

static const struct unit_case cases[] = {
    { "work that is left is over, and with a peer it is charged until that answers",
      work_that_is_left_is_over_and_with_a_peer_it_is_charged_until_that_answers },
    { "a request of many jobs is at an end with the second peer that it took",
      a_request_of_many_jobs_is_at_an_end_with_the_second_peer_that_it_took },
    { "a request of many jobs loses no two peers to one other", a_request_of_many_jobs_loses_no_two_peers_to_one_other },
    { "a request is beside others in one peer alone, whoever comes first",
      a_request_is_beside_others_in_one_peer_alone_whoever_comes_first },
    { "a request whose suspects were answered is cleared", a_request_whose_suspects_were_answered_is_cleared },
    { "what was abandoned leaves no trace of its request", what_was_abandoned_leaves_no_trace_of_its_request },
    { "work goes to the least busy and is answered once", work_goes_to_the_least_busy_and_is_answered_once },
    { "what a dead peer had goes alone, and a second death is the end",
      what_a_dead_peer_had_goes_alone_and_a_second_death_is_the_end },
    { "a peer that hangs is told of once and its work given on", a_peer_that_hangs_is_told_of_once_and_its_work_given_on },
    { "a peer whose answer was not read yet does not hang", a_peer_whose_answer_was_not_read_yet_does_not_hang },
    { "what is too late costs no peer anything", what_is_too_late_costs_no_peer_anything },
    { "an answer to nothing is dropped", an_answer_to_nothing_is_dropped },
    { "what a peer that failed answers still is no news", what_a_peer_that_failed_answers_still_is_no_news },
    { "nobody there is said at once, with the reason", nobody_there_is_said_at_once_with_the_reason },
    { "an outage is UNAVAILABLE and says since when", an_outage_is_unavailable_and_says_since_when },
    { "work waits for the successor of the last, but not for long",
      work_waits_for_the_successor_of_the_last_but_not_for_long },
    { "a peer that logs in takes nothing and does not hang", a_peer_that_logs_in_takes_nothing_and_does_not_hang },
    { "a full lane is its own caller's", a_full_lane_is_its_own_caller_s },
    { "what would be too late is refused at once, to its caller alone",
      what_would_be_too_late_is_refused_at_once_to_its_caller_alone },
    { "slow work is not given ahead", slow_work_is_not_given_ahead },
    { "quick work is given by the dozen", quick_work_is_given_by_the_dozen },
    { "what is given ahead is bounded by what it takes itself", what_is_given_ahead_is_bounded_by_what_it_takes_itself },
    { "what a job takes is learnt for its kind alone", what_a_job_takes_is_learnt_for_its_kind_alone },
    { "a peer's time is shared, and not its jobs", a_peer_s_time_is_shared_and_not_its_jobs },
    { "what is not measured is for nothing", what_is_not_measured_is_for_nothing },
    { "nothing waits behind what may take longer", nothing_waits_behind_what_may_take_longer },
    { "long work waits for its turn, and not on the way", long_work_waits_for_its_turn_and_not_on_the_way },
};
UNIT_MAIN(cases)
