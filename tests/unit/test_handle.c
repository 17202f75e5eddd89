/* One handle, many threads, forked children: blocking calls against a daemon that answers by script. */
#include "client/process.h"
#include "client/signet.h"
#include "proto/cleanup.h"
#include "tests/support/script.h"
#include "tests/support/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define N_THREADS 24
#define N_CALLS 200

static bool echo(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    script_say_token(fd, rq->request_id, rq->sign->subject);
    return true;
}

static bool signs(struct signet *s, const char *subject)
{
    struct signet_error e;
    struct signet_token *t = signet_sign(s, &(struct signet_sign_request){ .profile = "p", .subject = subject }, &e);
    bool ok = t && strcmp(script_subject(t->token), subject) == 0;

    signet_token_free(t);
    return ok;
}

struct worker {
    pthread_t thread;
    struct signet *s;
    unsigned number, wrong;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    char subject[32];

    for (unsigned i = 0; i < N_CALLS; i++) {
        snprintf(subject, sizeof subject, "%u/%u", w->number, i);
        w->wrong += !signs(w->s, subject);
    }
    return NULL;
}

static void begin(struct worker *w, struct signet *s)
{
    for (unsigned i = 0; i < N_THREADS; i++) {
        w[i] = (struct worker){ .s = s, .number = i };
        CU_ASSERT_EQUAL_FATAL(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
}

static void finish(struct worker *w)
{
    for (unsigned i = 0; i < N_THREADS; i++) {
        pthread_join(w[i].thread, NULL);
        unit_same_int("wrong answers", w[i].wrong, 0);
    }
}

static void threads_share_a_handle(void)
{
    struct script d = script_start_many(echo, NULL);
    struct signet *s = signet_open(d.path, NULL);
    struct worker w[N_THREADS];

    begin(w, s);
    finish(w);
    signet_close(s);
    script_stop(&d);
}

/* Says that a "hold" has arrived, and answers it when it is told to. */
static bool holding(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    int told = *(const int *)arg;
    char c = 'x';

    if (strcmp(rq->sign->subject, "hold") == 0 && (send(told, &c, 1, 0) != 1 || recv(told, &c, 1, 0) != 1))
        _exit(6);
    return echo(fd, rq, nth, arg);
}

static void *hold(void *arg)
{
    struct worker *w = arg;

    w->wrong = !signs(w->s, "hold");
    return NULL;
}

static void forks_in_the_middle_of_calls(struct signet *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) {
            bool ok = true;
            for (unsigned k = 0; k < 5; k++)
                ok = signs(s, "child") && ok;
            _exit(ok ? 0 : 1);
        }
        waitpid(child, &status, 0);
        unit_same_int("a child", status, 0);
    }
}

static void a_fork_in_the_middle_of_a_call(void)
{
    int pair[2];
    char c[N_THREADS];
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct script d = script_start_many(holding, &pair[1]);
    struct signet *s = signet_open(d.path, NULL);
    struct worker w[N_THREADS];

    for (unsigned i = 0; i < N_THREADS; i++) {
        w[i] = (struct worker){ .s = s };
        CU_ASSERT_EQUAL_FATAL(pthread_create(&w[i].thread, NULL, hold, &w[i]), 0);
    }
    CU_ASSERT_EQUAL_FATAL(recv(pair[0], c, sizeof c, MSG_WAITALL), sizeof c);     /* all wait for their answers */
    forks_in_the_middle_of_calls(s, 3);
    CU_ASSERT_EQUAL(send(pair[0], c, sizeof c, 0), sizeof c);
    finish(w);
    close(pair[0]);
    close(pair[1]);
    signet_close(s);
    script_stop(&d);
}

/*
 * The same at any instruction. Not under ASan: its allocator's lock does not survive the fork of a process with
 * threads, as the C library's does.
 */
static void a_fork_comes_at_any_time(void)
{
#ifndef __SANITIZE_ADDRESS__
    struct script d = script_start_many(echo, NULL);
    struct signet *s = signet_open(d.path, NULL);
    struct worker w[N_THREADS];

    begin(w, s);
    forks_in_the_middle_of_calls(s, 40);
    finish(w);
    signet_close(s);
    script_stop(&d);
#endif
}

static int n_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void prefork(void)
{
    struct script d = script_start_many(echo, NULL);
    struct signet *s = signet_open(d.path, NULL);
    int status = -1;

    CU_ASSERT_TRUE(signs(s, "parent"));
    pid_t child = fork();
    if (child == 0) {
        int before = n_descriptors();
        bool ok = signs(s, "child") && n_descriptors() == before;       /* the parent's is closed, ours is there */
        signet_close(s);
        _exit(ok && n_descriptors() == before - 1 ? 0 : 1);
    }
    waitpid(child, &status, 0);
    unit_same_int("the child", status, 0);
    CU_ASSERT_TRUE(signs(s, "parent again"));
    signet_close(s);
    script_stop(&d);
}

/* Each its namespace's first process. */
static int first_of_two(void)
{
    uint64_t ours = process_id(), theirs = 0;
    int pipe_fds[2], status = -1;

    if (getpid() != 1 || ours != process_id() || pipe(pipe_fds) < 0 || unshare(CLONE_NEWPID) < 0)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        theirs = getpid() == 1 ? process_id() : 0;
        _exit(write(pipe_fds[1], &theirs, sizeof theirs) != sizeof theirs);
    }
    if (read(pipe_fds[0], &theirs, sizeof theirs) != sizeof theirs || waitpid(child, &status, 0) != child || status != 0)
        return 2;
    return theirs && theirs != ours ? 0 : 3;
}

static void two_processes_of_one_number_are_two(void)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        if (unshare(CLONE_NEWPID) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0)
            _exit(4);
        pid_t first = fork();
        if (first == 0)
            _exit(first_of_two());
        waitpid(first, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 5);
    }
    waitpid(child, &status, 0);
    unit_same_int("told apart", status, 0);
}

static void more_threads_than_connections_are_kept(void)
{
    struct script d = script_start_many(echo, NULL);
    struct signet *s = signet_open(d.path, NULL);
    struct worker w[100];

    for (unsigned i = 0; i < 100; i++) {
        w[i] = (struct worker){ .s = s, .number = i };
        CU_ASSERT_EQUAL_FATAL(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (unsigned i = 0; i < 100; i++) {
        pthread_join(w[i].thread, NULL);
        unit_same_int("wrong answers", w[i].wrong, 0);
    }
    signet_close(s);
    script_stop(&d);
}

static void no_descriptors_left(void)
{
    struct script d = script_start(echo, NULL);
    struct signet *s = signet_open(d.path, NULL);
    struct signet_sign_request ask = { .profile = "p", .subject = "1" };
    struct signet_error e = { 0 };
    struct rlimit before, none;

    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    CU_ASSERT_PTR_NULL(signet_sign(s, &ask, &e));
    unit_same_str("said", e.reason, "NO_DESCRIPTORS");
    unit_same_int("may be asked again", e.code, SIGNET_RESOURCE_EXHAUSTED);
    setrlimit(RLIMIT_NOFILE, &before);
    CU_ASSERT_TRUE(signs(s, "1"));
    signet_close(s);
    script_stop(&d);
}

static bool mute(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg)
{
    return true;
}

static void a_deadline_bounds_every_call(void)
{
    struct script d = script_start_many(mute, NULL);
    struct signet *s = signet_open(d.path, NULL);
    struct signet_sign_request ask = { .profile = "p" };
    struct signet_error e = { 0 };

    signet_set_timeout(s, 50);
    CU_ASSERT_PTR_NULL(signet_sign(s, &ask, &e));
    unit_same_str("nobody answers", e.reason, "DEADLINE_EXCEEDED");
    kill(d.pid, SIGSTOP);                        /* connections wait in the backlog */
    CU_ASSERT_PTR_NULL(signet_sign(s, &ask, &e));
    unit_same_str("nobody accepts", e.reason, "DEADLINE_EXCEEDED");
    kill(d.pid, SIGCONT);
    signet_close(s);
    script_stop(&d);
}

static void a_handle_that_is_none(void)
{
    struct signet_sign_request ask = { .profile = "p" };
    struct signet_error e = { 0 };
    uint32_t generation;

    CU_ASSERT_PTR_NULL(signet_sign(NULL, &ask, &e));
    unit_same_str("sign", e.reason, "BAD_REQUEST");
    CU_ASSERT_PTR_NULL(signet_sign(NULL, NULL, &e));
    CU_ASSERT_PTR_NULL(signet_sign_batch(NULL, &ask, 1, &e));
    CU_ASSERT_PTR_NULL(signet_verify(NULL, "a", 1, NULL, NULL, &e));
    CU_ASSERT_PTR_NULL(signet_verify(NULL, NULL, 1, NULL, NULL, &e));
    CU_ASSERT_PTR_NULL(signet_get_keys(NULL, &e));
    CU_ASSERT_PTR_NULL(signet_get_status(NULL, &e));
    CU_ASSERT_PTR_NULL(signet_list_keys(NULL, &e));
    CU_ASSERT_PTR_NULL(signet_generate_key(NULL, NULL, &e));
    CU_ASSERT_PTR_NULL(signet_import_key(NULL, "r", NULL, 8, &e));
    CU_ASSERT_FALSE(signet_reload(NULL, &generation, &e));
    CU_ASSERT_PTR_NULL(signet_verifier_new(NULL, 3, &e));
    CU_ASSERT_PTR_NULL(signet_verifier_check(NULL, "a", 1, NULL, &e));
    signet_set_timeout(NULL, 1);
    signet_close(NULL);
}

static const struct unit_case cases[] = {
    { "threads share a handle", threads_share_a_handle },
    { "a fork may come in the middle of calls", a_fork_in_the_middle_of_a_call },
    { "and at any instruction (without sanitizers)", a_fork_comes_at_any_time },
    { "a forked child has a connection of its own", prefork },
    { "two processes of one number are two", two_processes_of_one_number_are_two },
    { "more threads than connections are kept", more_threads_than_connections_are_kept },
    { "no descriptors left is an error, and passes", no_descriptors_left },
    { "a deadline bounds every call", a_deadline_bounds_every_call },
    { "a handle that is none is an error", a_handle_that_is_none },
};
UNIT_MAIN(cases)
