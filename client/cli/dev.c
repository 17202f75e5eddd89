/*
 * signet dev: a command with a signetd of its own around it.
 *
 *     signet dev --+-- keeper (a session of its own) -- signetd
 *                  +-- COMMAND
 *
 * The keeper holds one end of a pipe whose other end only we have: however we
 * end, it sees that, ends the daemon and removes all. We wait for it, so that
 * nothing is left when we return. Our own parent's end is ours, too; it is
 * seen by its pidfd and not by PR_SET_PDEATHSIG, which tells of the end of
 * the thread that started us.
 */
#include "client/cli/cli.h"
#include "client/cli/throwaway.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

/* As env(1), timeout(1) and the shell have it. */
enum { EXIT_DEV_FAILED = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127, EXIT_BY_SIGNAL = 128 };

struct args { const char *config; char **command; };

struct dev {
    int signals, parent;             /* descriptors; parent -1: of another namespace, or ended */
    sigset_t before;                 /* the mask that we were started with */
    pid_t keeper;
    int lifeline[2], ready[2];       /* pipes, to the keeper and from it */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;

    switch (key) {
    case 'c': a->config = arg; return 0;
    case ARGP_KEY_ARG:
        a->command = state->argv + state->next - 1;
        state->next = state->argc;           /* its options are its own */
        return 0;
    case ARGP_KEY_END:
        if (!a->command)
            argp_error(state, "COMMAND is missing: signet dev -- COMMAND ARGUMENT...");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    { "config", 'c', "FILE", 0, "With the rings and profiles of this signetd.conf. Without: the quickstart's", 0 },
    { 0 },
};
static const struct argp argp = {
    options, parse, "[--] COMMAND [ARGUMENT...]",
    "Runs a command with a signetd of its own, on a throwaway SoftHSM token, and exits with its status. SIGNET_SOCKET"
    " and SIGNET_ADMIN_SOCKET lead the command there; both are gone when it ends.", NULL, NULL, NULL,
};

static int failed(const char *what)
{
    fprintf(stderr, "signet dev: %s: %s\n", what, strerror(errno));
    return EXIT_DEV_FAILED;
}

/*
 * Waits for fd. Returns 0, or the signal that came first; the parent's end is
 * one. *out_sent: a process sent it, to us alone; a terminal sends to the whole
 * group, the command too.
 */
static int await(struct dev *d, int fd, bool *out_sent)
{
    for (;;) {
        struct pollfd p[] = { { fd, POLLIN, 0 }, { d->signals, POLLIN, 0 }, { d->parent, POLLIN, 0 } };
        struct signalfd_siginfo info;
        if (poll(p, ARRAY_LEN(p), -1) < 0)
            continue;
        *out_sent = true;
        if (p[1].revents && read(d->signals, &info, sizeof info) == sizeof info) {
            *out_sent = info.ssi_code <= 0;
            return (int)info.ssi_signo;
        }
        if (p[2].revents) {
            closep(&d->parent);
            d->parent = -1;
            return SIGTERM;
        }
        if (p[0].revents)
            return 0;
    }
}

static bool begin(struct dev *d)
{
    sigset_t mine;

    signal(SIGCHLD, SIG_DFL);        /* ignored, as a caller may leave it, statuses would be lost */
    sigemptyset(&mine);
    sigaddset(&mine, SIGINT);
    sigaddset(&mine, SIGQUIT);
    sigaddset(&mine, SIGTERM);
    sigaddset(&mine, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &mine, &d->before) < 0)
        return false;
    d->signals = signalfd(-1, &mine, SFD_CLOEXEC);
    d->parent = pidfd_open(getppid(), 0);
    return d->signals >= 0 && pipe2(d->lifeline, O_CLOEXEC) == 0 && pipe2(d->ready, O_CLOEXEC) == 0;
}

static _Noreturn void become(const struct dev *d, char **command, const char *dir, pid_t parent)
{
    char socket[PATH_MAX], admin[PATH_MAX];

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(EXIT_DEV_FAILED);
    snprintf(socket, sizeof socket, "%s/" THROWAWAY_SOCKET, dir);
    snprintf(admin, sizeof admin, "%s/" THROWAWAY_ADMIN_SOCKET, dir);
    setenv("SIGNET_SOCKET", socket, 1);
    setenv("SIGNET_ADMIN_SOCKET", admin, 1);
    sigprocmask(SIG_SETMASK, &d->before, NULL);
    execvp(command[0], command);
    int why = errno;
    fprintf(stderr, "signet dev: '%s' cannot be run: %s\n", command[0], strerror(why));
    _exit(why == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

/* The terminal tells the command of INT and QUIT itself; what a process sends is handed on. */
static int run(struct dev *d, char **command, const char *dir)
{
    pid_t us = getpid(), pid = fork();
    int status = 0, came;
    bool sent;

    if (pid == 0)
        become(d, command, dir, us);
    if (pid < 0)
        return failed("the command cannot be started");
    CLEANUP(closep) int end = pidfd_open(pid, 0);
    if (end < 0) {
        int why = failed("the command cannot be watched, and is ended");
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return why;
    }
    while ((came = await(d, end, &sent)) != 0)
        if (sent || came == SIGTERM || came == SIGHUP)
            kill(pid, came);
    if (waitpid(pid, &status, 0) < 0)
        return failed("the command's status is lost");
    return WIFSIGNALED(status) ? EXIT_BY_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run_when_ready(struct dev *d, char **command)
{
    char dir[PATH_MAX / 2] = "";
    bool sent;
    int came = await(d, d->ready[0], &sent);

    if (came)
        return EXIT_BY_SIGNAL + came;
    return read(d->ready[0], dir, sizeof dir - 1) > 0 ? run(d, command, dir) : EXIT_DEV_FAILED;
}

int cmd_dev(int argc, char **argv)
{
    struct args a = { 0 };
    struct dev d = { .signals = -1, .parent = -1 };

    argp_err_exit_status = EXIT_DEV_FAILED;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a);
    if (!begin(&d))
        return failed("cannot begin");
    d.keeper = fork();
    if (d.keeper < 0)
        return failed("cannot begin");
    if (d.keeper == 0) {
        close(d.lifeline[1]);
        close(d.ready[0]);
        return throwaway_keep(a.config, d.lifeline[0], d.ready[1]);
    }
    close(d.lifeline[0]);
    close(d.ready[1]);
    int status = run_when_ready(&d, a.command);
    close(d.lifeline[1]);
    waitpid(d.keeper, NULL, 0);
    return status;
}
