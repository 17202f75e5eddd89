/* Calls that do not block, against a daemon that answers by script. Nothing here waits but by poll on the one descriptor. */
#include "client/signet.h"
#include "proto/cleanup.h"
#include "proto/frame.h"
#include "tests/support/script.h"
#include "tests/support/unit.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 60000

/* How a call ended. */
struct got {
    unsigned n;              /* times that it was called back */
    char token[64], reason[48];
    int code;
};

static void keep(void *ctx, struct signet_token *t, const struct signet_error *e)
{
    struct got *g = ctx;

    g->n++;
    snprintf(g->token, sizeof g->token, "%s", t ? script_subject(t->token) : "");
    snprintf(g->reason, sizeof g->reason, "%s", e ? e->reason : "");
    g->code = e ? e->code : 0;
    signet_token_free(t);
}

static uint64_t ask(struct signet_async *a, const char *subject, struct got *g)
{
    struct signet_error e;
    uint64_t id = signet_async_sign(a, &(struct signet_sign_request){ .profile = "p", .subject = subject }, keep, g, &e);

    CU_ASSERT_NOT_EQUAL_FATAL(id, 0);
    return id;
}

static void run(struct signet_async *a)
{
    while (signet_async_n_waiting(a)) {
        struct pollfd p = { .fd = signet_async_fd(a), .events = POLLIN };
        if (poll(&p, 1, PATIENCE_MS) != 1) {
            CU_FAIL_FATAL("nothing happened for a minute");
        }
        signet_async_process(a);
    }
}

static struct signet_async *opened(const struct script *d)
{
    struct signet_async *a = signet_async_open(d->path, NULL);

    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    return a;
}

static void same_answer(const struct got *g, const char *token, const char *reason)
{
    unit_same_int("times called back", g->n, 1);
    unit_same_str("token", g->token, token);
    unit_same_str("reason", g->reason, reason);
}

/* --- answers ---------------------------------------------------------------------- */

#define MANY 300

/* Nothing until all are there; then the last first. */
static bool backwards(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    static uint64_t ids[MANY];
    static char subjects[MANY][16];

    ids[nth] = rq->request_id;
    snprintf(subjects[nth], sizeof subjects[nth], "%s", rq->sign->subject);
    for (unsigned i = MANY; nth == MANY - 1 && i-- > 0;)
        script_say_token(fd, ids[i], subjects[i]);
    return true;
}

static void each_gets_its_own_answer(void)
{
    struct script d = script_start(backwards, NULL);
    struct signet_async *a = opened(&d);
    static struct got got[MANY];
    char subject[MANY][16];

    memset(got, 0, sizeof got);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(subject[i], sizeof subject[i], "%u", i);
        ask(a, subject[i], &got[i]);
    }
    unit_same_int("waiting", (long long)signet_async_n_waiting(a), MANY);
    run(a);
    for (unsigned i = 0; i < MANY; i++)
        same_answer(&got[i], subject[i], "");
    signet_async_close(a);
    script_stop(&d);
}

static bool echo(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    script_say_token(fd, rq->request_id, rq->sign->subject);
    return true;
}

struct chain {
    struct signet_async *a;
    unsigned left;
    uint64_t victim;
    struct got of_victim;
    bool close;
};

static void next(void *ctx, struct signet_token *t, const struct signet_error *e)
{
    struct chain *c = ctx;

    CU_ASSERT_PTR_NOT_NULL(t);
    signet_token_free(t);
    if (c->close) {
        signet_async_close(c->a);
    } else if (c->left-- > 0) {
        struct signet_sign_request rq = { .profile = "p", .subject = "again" };
        CU_ASSERT_NOT_EQUAL(signet_async_sign(c->a, &rq, next, c, NULL), 0);
        CU_ASSERT_EQUAL(signet_async_process(c->a), 0);          /* no turn within a turn */
    } else {
        CU_ASSERT_TRUE(signet_async_cancel(c->a, c->victim));
        CU_ASSERT_FALSE(signet_async_cancel(c->a, c->victim));
    }
}

static bool all_but_never(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    if (strcmp(rq->sign->subject, "never") != 0)
        script_say_token(fd, rq->request_id, rq->sign->subject);
    return true;
}

static void callbacks_begin_cancel_and_close(void)
{
    struct script d = script_start(all_but_never, NULL);
    struct chain c = { .a = opened(&d), .left = 5 };
    struct signet_sign_request rq = { .profile = "p", .subject = "first" };

    c.victim = ask(c.a, "never", &c.of_victim);
    CU_ASSERT_NOT_EQUAL(signet_async_sign(c.a, &rq, next, &c, NULL), 0);
    run(c.a);                                                    /* the cancelled one does not wait any more */
    unit_same_int("the cancelled call", c.of_victim.n, 0);
    c.victim = ask(c.a, "never", &c.of_victim);
    c.close = true;
    CU_ASSERT_NOT_EQUAL(signet_async_sign(c.a, &rq, next, &c, NULL), 0);
    struct pollfd p = { .fd = signet_async_fd(c.a), .events = POLLIN };
    poll(&p, 1, PATIENCE_MS);
    signet_async_process(c.a);                                   /* and frees it */
    unit_same_int("a call that waits at close", c.of_victim.n, 0);
    script_stop(&d);
}

static void batch_kept(void *ctx, struct signet_batch *b, const struct signet_error *e)
{
    *(int *)ctx = b ? (int)b->n : -1;
    signet_batch_free(b);
}

static void verified_kept(void *ctx, struct signet_verified *v, const struct signet_error *e)
{
    snprintf(ctx, 64, "%s|%s|%s", v ? v->profile : "", v ? v->kid : "", v ? (const char *)v->payload : "");
    signet_verified_free(v);
}

static bool others(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    Signet__V1__Reply reply = SIGNET__V1__REPLY__INIT;
    Signet__V1__SignBatchReply batch = SIGNET__V1__SIGN_BATCH_REPLY__INIT;
    Signet__V1__SignBatchItem items[4], *each[4] = { &items[0], &items[1], &items[2], &items[3] };
    Signet__V1__SignReply sign = SIGNET__V1__SIGN_REPLY__INIT;
    Signet__V1__VerifyReply verify = SIGNET__V1__VERIFY_REPLY__INIT;

    sign.token = (char *)(uintptr_t)"e30.e30.AA";
    reply.request_id = rq->request_id;
    if (rq->op_case == SIGNET__V1__REQUEST__OP_SIGN_BATCH) {
        batch.items = each;
        batch.n_items = rq->sign_batch->n_items == 3 ? 4 : rq->sign_batch->n_items;       /* three asked, four answered */
        for (size_t i = 0; i < batch.n_items; i++) {
            signet__v1__sign_batch_item__init(&items[i]);
            items[i].result_case = SIGNET__V1__SIGN_BATCH_ITEM__RESULT_SIGN;
            items[i].sign = &sign;
        }
        reply.result_case = SIGNET__V1__REPLY__RESULT_SIGN_BATCH;
        reply.sign_batch = &batch;
    } else {
        verify.payload = (ProtobufCBinaryData){ 3, (uint8_t *)(uintptr_t)"tok" };
        verify.profile = rq->verify->profile;
        verify.kid = rq->verify->audience;
        reply.result_case = SIGNET__V1__REPLY__RESULT_VERIFY;
        reply.verify = &verify;
    }
    return script_put_reply(fd, &reply);
}

static void batches_and_verdicts(void)
{
    struct script d = script_start(others, NULL);
    struct signet_async *a = opened(&d);
    struct signet_sign_request three[3] = { { .profile = "p" }, { .profile = "p" }, { .profile = "p" } };
    int two = 0, broken = 0;
    char verified[64] = "";

    CU_ASSERT_NOT_EQUAL(signet_async_sign_batch(a, three, 2, batch_kept, &two, NULL), 0);
    CU_ASSERT_NOT_EQUAL(signet_async_sign_batch(a, three, 3, batch_kept, &broken, NULL), 0);
    CU_ASSERT_NOT_EQUAL(signet_async_verify(a, "e30.dG9r.AA", 11, "p", "shop", verified_kept, verified, NULL), 0);
    run(a);
    unit_same_int("a batch of two", two, 2);
    unit_same_int("one that came with another number", broken, -1);
    unit_same_str("a verdict", verified, "p|shop|tok");
    signet_async_close(a);
    script_stop(&d);
}

/* --- deadlines --------------------------------------------------------------------- */

static bool mute(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    return true;
}

static void a_stopped_daemon_keeps_nobody(void)
{
    struct script d = script_start(echo, NULL);
    struct signet_async *a = opened(&d);
    static struct got got[1000];

    memset(got, 0, sizeof got);
    kill(d.pid, SIGSTOP);
    signet_async_set_timeout(a, 100);
    for (unsigned i = 0; i < 1000; i++)
        ask(a, "1", &got[i]);
    run(a);
    for (unsigned i = 0; i < 1000; i++)
        same_answer(&got[i], "", "DEADLINE_EXCEEDED");
    kill(d.pid, SIGCONT);
    /* Its late answers are nobody's; the next call gets its own. */
    struct got after = { 0 };
    signet_async_set_timeout(a, 0);
    ask(a, "after", &after);
    run(a);
    same_answer(&after, "after", "");
    signet_async_close(a);
    script_stop(&d);
}

static void more_than_may_wait_is_said(void)
{
    struct script d = script_start(mute, NULL);
    struct signet_async *a = opened(&d);
    struct signet_sign_request rq = { .profile = "p" };
    struct signet_error e = { 0 };
    static struct got got[4096];

    for (unsigned i = 0; i < 4096; i++)
        ask(a, "1", &got[i]);
    CU_ASSERT_EQUAL(signet_async_sign(a, &rq, keep, got, &e), 0);
    unit_same_str("one more", e.reason, "TOO_MANY_IN_FLIGHT");
    unit_same_int("is nobody's fault for ever", e.code, SIGNET_RESOURCE_EXHAUSTED);
    signet_async_close(a);
    script_stop(&d);
}

/* --- a daemon that goes, and comes --------------------------------------------------- */

static bool closes_once(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    return nth > 0 && echo(fd, rq, nth, arg);
}

static bool closes(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    return false;
}

static bool ending(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    if (nth > 1)
        return echo(fd, rq, nth, arg);
    script_say_error(fd, rq->request_id, 14, nth == 0 ? "DRAINING" : "STARTING", "not now");
    return true;
}

static bool killed_and_starting(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    if (nth == 0)
        return false;
    if (nth > 3)
        return echo(fd, rq, nth, arg);
    script_say_error(fd, rq->request_id, 14, "STARTING", "not yet");
    return true;
}

static bool starting(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    script_say_error(fd, rq->request_id, 14, "STARTING", "not yet");
    return true;
}

static const struct {
    const char *name;
    script_answer *answer;
    const char *token, *reason;
} going[] = {
    { "one that closes is asked again", closes_once, "1", "" },
    { "one that closes each time is not", closes, "", "DAEMON_UNREACHABLE" },
    { "one that ends and starts is waited for", ending, "1", "" },
    { "one that was killed says for a while that it starts", killed_and_starting, "1", "" },
    { "one that had not been there says itself that it starts", starting, "", "STARTING" },
};

static void what_goes_comes_back(void)
{
    for (size_t i = 0; i < ARRAY_LEN(going); i++) {
        struct script d = script_start(going[i].answer, NULL);
        struct signet_async *a = opened(&d);
        struct got got = { 0 };
        ask(a, "1", &got);
        run(a);
        unit_same_str(going[i].name, got.token, going[i].token);
        unit_same_str(going[i].name, got.reason, going[i].reason);
        signet_async_close(a);
        script_stop(&d);
    }
}

static void a_restart_is_waited_for(void)
{
    struct script d = script_start(echo, NULL);
    struct signet_async *a = opened(&d);
    struct got first = { 0 }, second = { 0 }, never = { 0 };

    ask(a, "first", &first);
    run(a);
    script_kill(&d);
    ask(a, "second", &second);
    signet_async_process(a);                 /* it has seen that nobody is there */
    unit_same_int("waits", second.n, 0);
    script_listen(&d);
    run(a);
    same_answer(&first, "first", "");
    same_answer(&second, "second", "");
    script_kill(&d);
    ask(a, "never", &never);
    run(a);                                  /* for as long as a restart may take, no longer */
    same_answer(&never, "", "DAEMON_UNREACHABLE");
    unit_same_int("may be asked again", never.code, SIGNET_UNAVAILABLE);
    signet_async_close(a);
    script_stop(&d);
}

static void nobody_there_is_said_at_once(void)
{
    struct script d = script_prepare(echo, NULL);
    struct signet_async *a = opened(&d);
    struct got got = { 0 };

    ask(a, "1", &got);
    unit_same_int("not within the call", got.n, 0);
    unit_same_int("but in the next turn", (long long)signet_async_process(a), 1);
    same_answer(&got, "", "DAEMON_UNREACHABLE");
    signet_async_close(a);
    script_stop(&d);
}

/* Says to the first that it is ending, and reads no more. */
static bool ending_and_deaf(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    script_say_error(fd, rq->request_id, 14, "DRAINING", "not now");
    for (;;)
        pause();
    return true;
}

static void a_daemon_that_ends_is_not_polled_for_room(void)
{
    struct script d = script_start(ending_and_deaf, NULL);
    struct signet_async *a = opened(&d);
    struct pollfd p = { .fd = signet_async_fd(a), .events = POLLIN };
    static char long_subject[1000];
    static struct got got[3000];
    int turns = 0;

    memset(long_subject, 's', sizeof long_subject - 1);
    for (unsigned i = 0; i < ARRAY_LEN(got); i++)
        ask(a, long_subject, &got[i]);           /* more than the socket takes */
    CU_ASSERT_EQUAL(poll(&p, 1, PATIENCE_MS), 1);
    for (; turns < 1000 && poll(&p, 1, 0) == 1; turns++)
        signet_async_process(a);
    CU_ASSERT_TRUE(turns < 1000);                /* nothing more to be woken for, but deadlines */
    signet_async_close(a);
    script_stop(&d);
}

/* --- answers that no signetd gives ----------------------------------------------------- */

/* The third request's arrival is what it answers to. */
static bool lies(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    if (nth < 2)
        return true;
    if (nth > 2)
        return echo(fd, rq, nth, arg);
    switch (*(const int *)arg) {
    case 0: script_say_token(fd, 99, "foreign"); break;
    case 1: script_say_reload(fd, rq->request_id, 1); break;
    case 2: script_put(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28); break;
    case 3: script_say_error(fd, 0, 8, "TOO_MANY_CONNECTIONS", "enough"); return false;
    case 4: script_say_error(fd, 0, 13, "INTERNAL", "no"); return false;
    case 5: script_say_error(fd, 0, 3, "REQUEST_TOO_LARGE", "too long"); return false;
    }
    return true;
}

static const struct {
    const char *name, *longest, *others;
} lie[] = {
    { "an answer to what was never asked", "PROTOCOL_BROKEN", "PROTOCOL_BROKEN" },
    { "an answer of another operation", "PROTOCOL_BROKEN", "PROTOCOL_BROKEN" },
    { "a web server", "PROTOCOL_BROKEN", "PROTOCOL_BROKEN" },
    { "no room for a connection means a moment", "", "" },
    { "an error to everybody", "INTERNAL", "INTERNAL" },
    { "a frame too long is one call's fault", "REQUEST_TOO_LARGE", "" },
};

static void a_lie_ends_what_it_touches(void)
{
    for (int i = 0; i < (int)ARRAY_LEN(lie); i++) {
        struct script d = script_start(lies, &i);
        struct signet_async *a = opened(&d);
        struct got got[3] = { 0 };
        ask(a, "short", &got[0]);
        ask(a, "the longest of the three", &got[1]);
        ask(a, "short", &got[2]);
        run(a);
        unit_same_str(lie[i].name, got[0].reason, lie[i].others);
        unit_same_str(lie[i].name, got[1].reason, lie[i].longest);
        unit_same_str(lie[i].name, got[2].reason, lie[i].others);
        for (unsigned k = 0; k < 3; k++)
            unit_same_int(lie[i].name, got[k].n, 1);
        signet_async_close(a);
        script_stop(&d);
    }
}

static bool twice(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    script_say_token(fd, rq->request_id, rq->sign->subject);
    script_say_token(fd, rq->request_id, rq->sign->subject);
    return true;
}

static void an_answer_twice_is_one(void)
{
    struct script d = script_start(twice, NULL);
    struct signet_async *a = opened(&d);
    struct got got[3] = { 0 };

    for (unsigned i = 0; i < 3; i++)
        ask(a, "once", &got[i]);
    run(a);
    for (unsigned i = 0; i < 3; i++)
        same_answer(&got[i], "once", "");
    signet_async_close(a);
    script_stop(&d);
}

/* --- fork, descriptors, nonsense --------------------------------------------------------- */

static bool silent_for_parent(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    int *asked = *(int *const *)arg;         /* shared with the test */

    if (strcmp(rq->sign->subject, "parent") == 0)
        return __atomic_add_fetch(asked, 1, __ATOMIC_SEQ_CST) > 0;
    return echo(fd, rq, nth, arg);
}

static void a_child_has_its_own(void)
{
    int *asked = mmap(NULL, sizeof *asked, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct script d = script_start_many(silent_for_parent, &asked);
    struct signet_async *a = opened(&d);
    struct got of_parent = { 0 };
    int status = 0;

    ask(a, "parent", &of_parent);
    pid_t child = fork();
    if (child == 0) {
        struct got of_child = { 0 };
        bool fresh = signet_async_n_waiting(a) == 0;
        ask(a, "child", &of_child);
        run(a);
        _exit(fresh && of_child.n == 1 && strcmp(of_child.token, "child") == 0 && of_parent.n == 0 ? 0 : 1);
    }
    waitpid(child, &status, 0);
    unit_same_int("the child", status, 0);
    unit_same_int("the parent's call still waits", (long long)signet_async_n_waiting(a), 1);
    unit_same_int("and was not called back", of_parent.n, 0);
    signet_async_close(a);
    script_stop(&d);
    munmap(asked, sizeof *asked);
}

static bool one_each(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    echo(fd, rq, nth, arg);
    return false;
}

/* A child that never uses the handle keeps a copy of the socket open: its end must not ring for ever. */
static void a_child_s_copy_does_not_wake_the_parent(void)
{
    struct script d = script_start(one_each, NULL);
    struct signet_async *a = opened(&d);
    struct got got = { 0 };
    int pair[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ask(a, "1", &got);
    pid_t child = fork();
    if (child == 0) {
        char c;
        close(pair[0]);
        _exit(recv(pair[1], &c, 1, 0) < 0);
    }
    close(pair[1]);
    run(a);
    same_answer(&got, "1", "");
    script_kill(&d);
    struct pollfd p = { .fd = signet_async_fd(a), .events = POLLIN };
    for (int i = 0; i < 10 && poll(&p, 1, 0) == 1; i++)          /* the end is seen once */
        signet_async_process(a);
    unit_same_int("nothing more to be woken for", poll(&p, 1, 0), 0);
    close(pair[0]);
    waitpid(child, NULL, 0);
    signet_async_close(a);
    script_stop(&d);
}

static void no_descriptors_left(void)
{
    struct script d = script_start(echo, NULL);
    struct rlimit before, none;
    struct signet_error e = { 0 };
    struct got got = { 0 };

    struct signet_async *a = opened(&d);
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    CU_ASSERT_PTR_NULL(signet_async_open(d.path, &e));
    unit_same_str("nothing to poll", e.reason, "NO_DESCRIPTORS");
    ask(a, "1", &got);
    run(a);
    same_answer(&got, "", "NO_DESCRIPTORS");
    setrlimit(RLIMIT_NOFILE, &before);
    got = (struct got){ 0 };
    ask(a, "1", &got);
    run(a);
    same_answer(&got, "1", "");
    signet_async_close(a);
    script_stop(&d);
}

static void nonsense_is_named(void)
{
    struct signet_sign_request rq = { .profile = "p" }, nameless = { 0 }, gap = { .profile = "p", .n_audiences = 2 },
                               huge = { .profile = "p", .payload = "x", .payload_len = SIZE_MAX - 5 };
    struct signet_async *a = signet_async_open("/nonexistent/socket", NULL);
    struct { const char *name; uint64_t id; } c[] = {
        { "no handle", signet_async_sign(NULL, &rq, keep, NULL, NULL) },
        { "no request", signet_async_sign(a, NULL, keep, NULL, NULL) },
        { "no callback", signet_async_sign(a, &rq, NULL, NULL, NULL) },
        { "no profile", signet_async_sign(a, &nameless, keep, NULL, NULL) },
        { "audiences at NULL", signet_async_sign(a, &gap, keep, NULL, NULL) },
        { "a length that cannot be", signet_async_sign(a, &huge, keep, NULL, NULL) },
        { "a batch of none", signet_async_sign_batch(a, &rq, 0, batch_kept, NULL, NULL) },
        { "a batch at NULL", signet_async_sign_batch(a, NULL, 2, batch_kept, NULL, NULL) },
        { "a token at NULL", signet_async_verify(a, NULL, 3, NULL, NULL, verified_kept, NULL, NULL) },
    };

    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        unit_same_int(c[i].name, (long long)c[i].id, 0);
    unit_same_int("nothing waits", (long long)signet_async_n_waiting(a), 0);
    CU_ASSERT_FALSE(signet_async_cancel(a, 1));
    unit_same_int("a turn of nothing", (long long)signet_async_process(a), 0);
    unit_same_int("of nobody", (long long)signet_async_process(NULL), 0);
    unit_same_int("no descriptor", signet_async_fd(NULL), -1);
    signet_async_set_timeout(NULL, 1);
    signet_async_close(NULL);
    signet_async_close(a);
}

static const struct unit_case cases[] = {
    { "hundreds wait, and each gets its own answer", each_gets_its_own_answer },
    { "a callback may begin, cancel and close", callbacks_begin_cancel_and_close },
    { "batches and verdicts come the same way", batches_and_verdicts },
    { "with a stopped daemon a thousand calls end at their deadline", a_stopped_daemon_keeps_nobody },
    { "more calls than may wait are refused", more_than_may_wait_is_said },
    { "what was not answered is asked again, not for ever", what_goes_comes_back },
    { "a daemon's restart is waited for, its end is not", a_restart_is_waited_for },
    { "a daemon that ends is not polled for room", a_daemon_that_ends_is_not_polled_for_room },
    { "a daemon that is not there is said at once", nobody_there_is_said_at_once },
    { "an answer that no signetd gives ends what it touches", a_lie_ends_what_it_touches },
    { "an answer given twice is one", an_answer_twice_is_one },
    { "a forked child has a descriptor and a connection of its own", a_child_has_its_own },
    { "a child's copy of the socket does not wake the parent for ever", a_child_s_copy_does_not_wake_the_parent },
    { "no descriptors left is an error, and passes", no_descriptors_left },
    { "nonsense is refused at once", nonsense_is_named },
};
UNIT_MAIN(cases)
