#include "daemon/supervisor/child.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define STOP_GRACE_MS 2000     /* for C_Finalize and the like, after the channel was closed */

extern char **environ;

const char *child_name(const struct child *c, char out[ROLE_MAX_NAME])
{
    char title[ROLE_MAX_NAME];

    role_title(title, c->kind, c->number);
    snprintf(out, ROLE_MAX_NAME, "%s", title + strlen("signetd: "));
    return out;
}

void child_enter(struct child *c, enum child_state state)
{
    c->state = state;
    c->began_ms = clock_mono_ms();
    if (state == CHILD_UP)
        c->up_ms = c->began_ms;
}

void child_wake(struct child *c, int64_t in_ms)
{
    if (in_ms < 0)
        in_ms = 0;
    event_add(c->timer, &(struct timeval){ in_ms / 1000, in_ms % 1000 * 1000 });
}

static void close_channel(struct child *c)
{
    if (c->on_read)
        event_free(TAKE(c->on_read));
    if (c->on_write)
        event_free(TAKE(c->on_write));
    channel_free(TAKE(c->channel));
}

void child_stop(struct child *c)
{
    if (c->state == CHILD_DOWN || c->state == CHILD_STOPPING)
        return;
    close_channel(c);
    child_enter(c, CHILD_STOPPING);
    child_wake(c, STOP_GRACE_MS);
}

void child_kill(struct child *c)
{
    if (c->state == CHILD_DOWN)
        return;
    child_stop(c);
    c->killed = true;
    pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
}

static void take_messages(struct child *c)
{
    Signet__Role__Message *m;
    int fd;
    bool bad = false;

    while (c->channel && (m = channel_next(c->channel, &fd, &bad)) != NULL) {
        if (fd >= 0)
            close(fd);                       /* roles send none */
        c->handler->message(c->handler->ctx, c, m);
        channel_done(m);
    }
    if (c->channel && bad) {
        char name[ROLE_MAX_NAME];
        log_error("%s (pid %d) sent something malformed: it is killed", child_name(c, name), c->pid);
        child_kill(c);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct child *c = arg;
    enum channel_io io = channel_fill(c->channel);

    take_messages(c);
    if (c->channel && io == CHANNEL_GONE)
        child_stop(c);                       /* it is about to end; if it is not, it is killed */
}

static void flush(struct child *c)
{
    if (channel_flush(c->channel) == CHANNEL_MORE)
        event_add(c->on_write, NULL);        /* GONE: reading says so, too, after what it still had to say */
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    flush(arg);
}

bool child_send(struct child *c, const Signet__Role__Message *m, int fd)
{
    struct err e;

    if (!c->channel)
        return false;
    if (!channel_send(c->channel, m, fd, &e)) {
        char name[ROLE_MAX_NAME];
        log_error("%s (pid %d) is killed: %s", child_name(c, name), c->pid, e.text);
        child_kill(c);
        return false;
    }
    flush(c);
    return true;
}

static void describe_end(const siginfo_t *info, char *out, size_t size)
{
    if (info->si_code == CLD_EXITED)
        snprintf(out, size, "exited with %d", info->si_status);
    else
        snprintf(out, size, "was ended by signal %d (%s)", info->si_status, strsignal(info->si_status));
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
    struct child *c = arg;
    siginfo_t info = { 0 };
    char how[96];

    if (waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
        return;
    if (c->channel) {                        /* its last words */
        while (c->channel && channel_fill(c->channel) == CHANNEL_MORE)
            take_messages(c);
        take_messages(c);
    }
    close_channel(c);
    event_free(TAKE(c->on_end));
    close(c->pidfd);
    c->pidfd = -1;
    evtimer_del(c->timer);
    child_enter(c, CHILD_DOWN);
    describe_end(&info, how, sizeof how);
    c->handler->ended(c->handler->ctx, c, how);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct child *c = arg;

    if (c->state == CHILD_STOPPING)
        child_kill(c);
    else
        c->handler->due(c->handler->ctx, c);
}

/* What is for the supervisor alone, or names descriptors that a role does not have. */
static bool for_supervisor(const char *variable)
{
    static const char *const ours[] = { "NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_", "MAINPID=" };

    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (strncmp(variable, ours[i], strlen(ours[i])) == 0)
            return true;
    return false;
}

static _Noreturn void become(const struct child *c, int channel, pid_t parent, char **env)
{
    char title[ROLE_MAX_NAME], *argv[] = { title, NULL };
    static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (channel == ROLE_CHANNEL_FD ? fcntl(channel, F_SETFD, 0) < 0 : dup2(channel, ROLE_CHANNEL_FD) < 0)
        _exit(127);
    role_title(title, c->kind, c->number);
    fexecve(c->handler->exec_fd, argv, env);
    _exit(127);
}

/* All signals wait: one that comes between fork and exec would be told to our loop by the child. */
static pid_t fork_role(const struct child *c, int channel, char **env)
{
    sigset_t all, before;
    pid_t parent = getpid();

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        become(c, channel, parent, env);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

static char **environment(void)
{
    size_t n = 0, kept = 0;

    while (environ[n])
        n++;
    char **env = calloc(n + 1, sizeof *env);
    for (size_t i = 0; env && i < n; i++)
        if (!for_supervisor(environ[i]))
            env[kept++] = environ[i];
    return env;
}

bool child_start(struct child *c, struct err *e)
{
    int pair[2];
    CLEANUP(freep) char **env = environment();

    if (!env)
        return err_set(e, ERR_NO_MEMORY, "out of memory");
    if (!channel_pair(pair, e))
        return false;
    pid_t pid = fork_role(c, pair[1], env);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return err_sys(e, "cannot start a process");
    }
    c->pid = pid;
    c->pidfd = pidfd_open(pid, 0);
    c->channel = channel_new(pair[0]);
    if (c->pidfd >= 0 && c->channel) {
        c->on_read = event_new(c->handler->base, pair[0], EV_READ | EV_PERSIST, on_readable, c);
        c->on_write = event_new(c->handler->base, pair[0], EV_WRITE, on_writable, c);
        c->on_end = event_new(c->handler->base, c->pidfd, EV_READ | EV_PERSIST, on_ended, c);
    }
    if (!c->on_read || !c->on_write || !c->on_end ||
        event_add(c->on_read, NULL) < 0 || event_add(c->on_end, NULL) < 0) {
        err_set(e, ERR_SYSTEM, "cannot watch a process: %s", strerror(errno));
        close_channel(c);
        if (c->on_end)
            event_free(TAKE(c->on_end));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        if (c->pidfd >= 0)
            close(c->pidfd);
        c->pidfd = -1;
        return false;
    }
    c->ready = c->switched = 0;
    c->killed = c->serving = false;
    c->up_ms = 0;
    child_enter(c, CHILD_STARTING);
    return true;
}

bool child_init(struct child *c, const struct child_handler *h, enum role_kind kind, unsigned number)
{
    *c = (struct child){ .handler = h, .kind = kind, .number = number, .pidfd = -1 };
    c->timer = evtimer_new(h->base, on_timer, c);
    return c->timer != NULL;
}

void child_clear(struct child *c)
{
    if (c->timer)
        event_free(TAKE(c->timer));
}
