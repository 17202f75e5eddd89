/*
 * Every allocation of the broker, a signer's desk and a verifier's judge, and
 * every write of the broker, fails once in turn, in all that they do for
 * callers: each request is answered by what it asked for or an error, no wrong signature leaves, nothing leaks, and
 * afterwards it goes on; or the broker has given up, and another begins.
 *
 * SIGNET_FULL=1: all of them; else some of each, the same each time. SIGNET_SEED=N: others.
 */
#include "daemon/channel/channel.h"
#include "tests/fuzz/usual.h"
#include "tests/nth/nth.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SOME 25u                     /* of a scenario, in the default run */

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static bool all;
static enum nth_kind kind;
static enum whole_role meant;
static uint64_t next_at;             /* that fails; 0: none */
static uint64_t n_seen;
static bool was_done;

/* --- only in the code of the one that is meant ------------------------------------------------------ */

static void watch(enum whole_role role, bool begins)
{
    bool done;

    if (role != meant)
        return;
    if (begins) {
        nth_arm(kind, next_at > n_seen ? next_at - n_seen : 0);
    } else {
        n_seen += nth_disarm(&done);
        was_done = was_done || done;
    }
}

static void arm(enum whole_role role, uint64_t at)
{
    meant = role;
    next_at = at;
    n_seen = 0;
    was_done = false;
    whole_watches = watch;
}

static void disarm(void)
{
    whole_watches = NULL;
}

/* --- what must hold ----------------------------------------------------------------------------------- */

static const char *const kind_name[] = { [NTH_ALLOC] = "allocation", [NTH_WRITE] = "write" };

static bool holds(const char *scenario, const char *role, uint64_t at, const char *what, bool ok)
{
    if (!ok)
        printf("     %s, %s %llu of the %s: %s\n", scenario, kind_name[kind], (unsigned long long)at, role, what);
    return ok;
}

/* No wrong token leaves; a good one that could not be judged is not called bad. */
static void check_verdict(const Signet__V1__Reply *r)
{
    if (r->result_case == SIGNET__V1__REPLY__RESULT_SIGN)
        CU_ASSERT_TRUE(whole_verifies(r->sign->token));
    for (enum err_reason reason = 0; r->result_case == SIGNET__V1__REPLY__RESULT_ERROR && reason < N_ERR_REASONS; reason++)
        if (err_is_verdict(reason) && strcmp(err_reason_name(reason), r->error->reason) == 0)
            unit_same_str("where there was no memory it says", r->error->reason, "that it could not be judged");
}

static bool verifies(int fd, const char *token)
{
    size_t len = strlen(token);
    uint8_t ask[1024] = { 2 << 3 | 2, (uint8_t)(len | 0x80), (uint8_t)(len >> 7) };

    CU_ASSERT_FATAL(len > 0x7F && len < sizeof ask - 3);
    memcpy(ask + 3, token, len);
    whole_ask(fd, 4, 12, ask, len + 3);
    Signet__V1__Reply *r = whole_reply(fd);
    bool good = r && r->result_case == SIGNET__V1__REPLY__RESULT_VERIFY;
    if (r)
        signet__v1__reply__free_unpacked(r, NULL);
    return good;
}

/* It has given up, or signs and verifies again by itself. */
static bool goes_on(void)
{
    static const uint8_t web[] = "\012\003web";

    for (unsigned i = 0; i < 500 && whole_runs(); i++) {
        int fd = whole_connect(true);
        whole_ask(fd, 3, 10, web, sizeof web - 1);
        Signet__V1__Reply *r = whole_reply(fd);
        bool well = r && r->result_case == SIGNET__V1__REPLY__RESULT_SIGN && verifies(fd, r->sign->token);
        if (r)
            signet__v1__reply__free_unpacked(r, NULL);
        close(fd);
        if (well)
            return true;
        for (unsigned n = 0; n < 5; n++)
            whole_step();
    }
    return !whole_runs();
}

/* --- scenarios ------------------------------------------------------------------------------------------- */

/* False: there is no such request. */
static bool ask(size_t nth, enum whole_role role, uint64_t at, const char **out_name)
{
    struct usual ask;

    whole_begin();
    int fd = whole_connect(true);
    if (!usual_make(nth, fd, &ask)) {
        close(fd);
        return false;
    }
    *out_name = ask.name;
    arm(role, at);
    whole_ask(fd, 2, ask.field, ask.packed, ask.len);
    Signet__V1__Reply *r = whole_reply(fd);
    disarm();
    if (r) {
        CU_ASSERT_TRUE(r->result_case == ask.field || r->result_case == SIGNET__V1__REPLY__RESULT_ERROR);
        CU_ASSERT_TRUE(r->request_id == 2 || (at && r->request_id == 0));
        check_verdict(r);
        signet__v1__reply__free_unpacked(r, NULL);
    }
    close(fd);
    return true;
}

static bool one_too_many(size_t nth, enum whole_role role, uint64_t at, const char **out_name)
{
    int fd[4];

    *out_name = "a connection too many";
    if (nth > 0)
        return false;
    whole_begin();
    for (size_t i = 0; i < 4; i++)
        fd[i] = whole_connect(true);
    arm(role, at);
    int more = whole_connect(true);
    Signet__V1__Reply *r = whole_reply(more);
    disarm();
    CU_ASSERT_TRUE(!r || r->result_case == SIGNET__V1__REPLY__RESULT_ERROR);
    if (r)
        signet__v1__reply__free_unpacked(r, NULL);
    close(more);
    for (size_t i = 0; i < 4; i++)
        close(fd[i]);
    for (size_t i = 0; i < 3; i++)
        whole_step();
    return true;
}

static bool start(size_t nth, enum whole_role role, uint64_t at, const char **out_name)
{
    *out_name = "start";
    if (nth > 0)
        return false;
    arm(role, at);
    whole_start();
    disarm();
    return true;
}

/* --- all of it ---------------------------------------------------------------------------------------------- */

static const char *const role_name[] = { [WHOLE_SIGNER] = "signer", [WHOLE_VERIFIER] = "verifier", [WHOLE_BROKER] = "broker" };

static void end(void)
{
    if (whole_runs())
        whole_end();
    else
        whole_destroy();
}

/* Each, or some of them: as far apart as they must be. */
static void fail_each(size_t nth, enum whole_role role, bool (*run)(size_t, enum whole_role, uint64_t, const char **))
{
    const char *name = "";
    unsigned n_done = 0, n_ended = 0;

    run(nth, role, 0, &name);
    uint64_t n = n_seen, step = all || n <= SOME ? 1 : n / SOME;
    end();
    for (uint64_t at = 1 + (step > 1 ? (uint64_t)rand() % step : 0); at <= n; at += step) {
        run(nth, role, at, &name);
        n_done += was_done;
        CU_ASSERT_TRUE(holds(name, role_name[role], at, "it does not go on", goes_on()));
        n_ended += !whole_runs();
        end();
    }
    bool leaks = __lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check();
    CU_ASSERT_TRUE(holds(name, role_name[role], 0, "leaks", !leaks));
    if (n)
        printf("     %s: %u of %llu %ss of the %s failed, %u times it gave up\n", name, n_done, (unsigned long long)n,
               kind_name[kind], role_name[role], n_ended);
    fflush(stdout);
}

static void each_request(enum nth_kind which, enum whole_role first)
{
    const char *name;

    kind = which;
    for (size_t nth = 0; ask(nth, WHOLE_SUPERVISOR, 0, &name); nth++) {
        end();
        for (enum whole_role role = first; role <= WHOLE_BROKER; role++)
            fail_each(nth, role, ask);
    }
    end();
}

static void each_request_is_answered_whatever_allocation_fails(void)
{
    each_request(NTH_ALLOC, WHOLE_SIGNER);
}

static void each_request_is_answered_whatever_write_fails(void)
{
    each_request(NTH_WRITE, WHOLE_BROKER);
}

static void a_start_ends_or_serves(void)
{
    kind = NTH_ALLOC;
    for (enum whole_role role = WHOLE_SIGNER; role <= WHOLE_BROKER; role++)
        fail_each(0, role, start);
    kind = NTH_WRITE;
    fail_each(0, WHOLE_BROKER, start);
}

static void who_is_one_too_many_is_told_or_not(void)
{
    kind = NTH_ALLOC;
    fail_each(0, WHOLE_BROKER, one_too_many);
}

static void what_could_not_be_written_for_a_moment_is_written_later(void)
{
    Signet__Role__Message m = SIGNET__ROLE__MESSAGE__INIT, *got;
    Signet__Role__Drain drain = SIGNET__ROLE__DRAIN__INIT;
    int ends[2], fd;
    bool bad, done;
    struct err e;

    CU_ASSERT_TRUE_FATAL(channel_pair(ends, &e));
    struct channel *from = channel_new(ends[0]), *to = channel_new(ends[1]);
    m.of_case = SIGNET__ROLE__MESSAGE__OF_DRAIN;
    m.drain = &drain;
    CU_ASSERT_TRUE(channel_send(from, &m, -1, &e));
    nth_arm(NTH_WRITE, 1);
    unit_same_int("first", channel_flush(from), CHANNEL_MORE);
    nth_disarm(&done);
    unit_same_int("failed", done, true);
    unit_same_int("then", channel_flush(from), CHANNEL_IDLE);
    channel_fill(to);
    got = channel_next(to, &fd, &bad);
    CU_ASSERT_PTR_NOT_NULL(got);
    channel_done(got);
    channel_free(from);
    channel_free(to);
}

static const struct unit_case cases[] = {
    { "what could not be written for a moment is written later", what_could_not_be_written_for_a_moment_is_written_later },
    { "who is one too many is told so, or not, whatever allocation fails", who_is_one_too_many_is_told_or_not },
    { "each request is answered whatever write fails, and it goes on", each_request_is_answered_whatever_write_fails },
    { "each request is answered whatever allocation fails, and it goes on",
      each_request_is_answered_whatever_allocation_fails },
    { "a start serves, or ends, whatever fails", a_start_ends_or_serves },
};

int main(void)
{
    unsigned seed = 1;

    all = getenv("SIGNET_FULL") != NULL;
    if (getenv("SIGNET_SEED"))
        seed = (unsigned)strtoul(getenv("SIGNET_SEED"), NULL, 10);
    srand(seed);
    printf("SIGNET_SEED=%u\n", seed);
    int failed = unit_run(cases, sizeof cases / sizeof *cases);
    whole_destroy();
    return failed;
}
