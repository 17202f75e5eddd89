#include "tests/fuzz/children.h"

#include "tests/support/fake_clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#define FIRST_PID 1000000000         /* nobody's: the kernel's end at 2^22 */
#define NEVER_MS (24 * 60 * 60 * 1000)
#define MAX_PLACES 1024u

struct children children;
static int next_end = -1;            /* of the channel that was made last: the next process's */
static struct { const struct child *c; int64_t at_ms; } due[MAX_PLACES];
static size_t n_due;

bool __real_channel_pair(int out_fd[2], struct err *e);
bool __wrap_channel_pair(int out_fd[2], struct err *e);
pid_t __wrap_fork(void);
int __wrap_pidfd_open(pid_t pid, unsigned flags);
int __wrap_pidfd_send_signal(int pidfd, int signal, siginfo_t *info, unsigned flags);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
void __real_child_wake(struct child *c, int64_t in_ms);
void __wrap_child_wake(struct child *c, int64_t in_ms);

/* --- what child.c asks of the system ------------------------------------------------------------- */

bool __wrap_channel_pair(int out_fd[2], struct err *e)
{
    MUST(__real_channel_pair(out_fd, e));
    next_end = out_fd[1];
    return true;
}

pid_t __wrap_fork(void)
{
    struct process *p = calloc(1, sizeof *p);
    int ends[2];

    MUST(p && children.n < CHILDREN_MAX && pipe2(ends, O_CLOEXEC) == 0);
    *p = (struct process){ .pid = FIRST_PID + (pid_t)children.n, .life = ends[1], .pidfd = ends[0], .lives = true };
    p->channel = channel_new(fcntl(next_end, F_DUPFD_CLOEXEC, 0));
    MUST(p->channel);
    children.of[children.n++] = p;
    return p->pid;
}

int __wrap_pidfd_open(pid_t pid, unsigned flags)
{
    return children.of[pid - FIRST_PID]->pidfd;      /* the supervisor's to close */
}

static struct process *of_pidfd(int pidfd)
{
    for (size_t i = children.n; i-- > 0;)
        if (children.of[i]->pidfd == pidfd)
            return children.of[i];
    MUST(!"a process that there is");
    return NULL;
}

int __wrap_pidfd_send_signal(int pidfd, int signal, siginfo_t *info, unsigned flags)
{
    of_pidfd(pidfd)->killed = true;
    return 0;
}

int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    struct process *p = of_pidfd((int)id);

    if (p->lives)
        return 0;
    info->si_pid = p->pid;
    info->si_code = p->killed ? CLD_KILLED : CLD_EXITED;
    info->si_status = p->killed ? 9 : 0;
    p->pidfd = -1;                   /* it is closed now, and its number another's */
    return 0;
}

/* --- time ------------------------------------------------------------------------------------------ */

void __wrap_child_wake(struct child *c, int64_t in_ms)
{
    size_t i = 0;

    while (i < n_due && due[i].c != c)
        i++;
    MUST(i < MAX_PLACES);
    n_due += i == n_due;
    due[i].c = c;
    due[i].at_ms = fake_clock_ms + (in_ms > 0 ? in_ms : 0);
    __real_child_wake(c, NEVER_MS);
}

void children_fire(struct child *c)
{
    for (size_t i = 0; i < n_due; i++)
        if (due[i].c == c && due[i].at_ms <= fake_clock_ms && evtimer_pending(c->timer, NULL))
            event_active(c->timer, EV_TIMEOUT, 0);
}

/* --- their life -------------------------------------------------------------------------------------- */

struct process *children_process(const struct child *c)
{
    return c->pidfd >= 0 ? of_pidfd(c->pidfd) : NULL;
}

void children_exit(struct process *p)
{
    channel_free(TAKE(p->channel));
    close(p->life);
    p->lives = false;
}

void children_begin(void)
{
    children.n = n_due = 0;
}

void children_end(void)
{
    for (size_t i = 0; i < children.n; i++) {
        MUST(!children.of[i]->lives);
        free(children.of[i]);
    }
}
