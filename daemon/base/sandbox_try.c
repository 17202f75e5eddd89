/* What no role should be able to do, tried in the running role: for tests alone. */
#include "daemon/base/sandbox.h"

#ifdef SIGNET_TESTING
#include "daemon/base/log.h"
#include "proto/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int opened(int fd)
{
    if (fd >= 0)
        close(fd);
    return fd;
}

static int read_file(void)   { return opened(open("/etc/passwd", O_RDONLY | O_CLOEXEC)); }
static int list_files(void)  { return opened(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }
static int write_file(void)  { return opened(open("/dev/shm", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600)); }
static int inet_socket(void) { return opened(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }
static int unix_socket(void) { return opened(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }
static int signal_up(void)   { return kill(getppid(), 0); }

/* Those that are let through fail otherwise than by EPERM: there is no such file, process, descriptor. */
static int exec_file(void)
{
    const char *file = getenv("SIGNET_TEST_PROGRAM");        /* no program: not executed even where that may be */

    return file ? execl(file, file, (char *)NULL) : (errno = ENOENT, -1);
}
static int trace(void)       { return (int)ptrace(PTRACE_ATTACH, 0, NULL, NULL); }
static int look_into(void)
{
    char byte;
    struct iovec here = { &byte, 1 }, there = here;

    return (int)process_vm_readv(0, &here, 1, &there, 1, 0);
}
static int move_away(void)   { return (int)syscall(SYS_setns, -1, 0); }
static int use_keyring(void) { return (int)syscall(SYS_keyctl, -1, 0, 0, 0, 0); }

static int new_code(void)
{
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? -1 : munmap(at, 4096);
}

static int cloned(unsigned long flags)
{
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD | flags, NULL, NULL, NULL, 0ul);

    if (pid == 0)
        _exit(0);
    return pid < 0 ? -1 : waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

static int new_process(void)   { return cloned(0); }
static int new_namespace(void) { return cloned(CLONE_NEWUSER); }

/* That it is found at the end, whatever was given up. */
static void lose_memory(void)
{
#ifdef __SANITIZE_ADDRESS__
    for (int i = 0; i < 10; i++) {         /* one may still be in a register */
        void *volatile lost = malloc(100);
        (void)lost;
    }
#endif
}

static const struct { const char *name; int (*try)(void); } acts[] = {
    { "read a file", read_file }, { "list a directory", list_files }, { "make a file", write_file },
    { "execute a program", exec_file }, { "start a process", new_process }, { "map new code", new_code },
    { "open a socket to the network", inet_socket }, { "open a local socket", unix_socket },
    { "send its parent a signal", signal_up }, { "trace a process", trace }, { "read another's memory", look_into },
    { "enter a namespace", move_away }, { "make a namespace", new_namespace }, { "use a keyring", use_keyring },
};

static void try_all(int signal_number)
{
    int before = errno;

    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        const char *came = acts[i].try() >= 0 ? "done" : strerrorname_np(errno);
        log_info("tried to %s: %s", acts[i].name, came);
    }
    lose_memory();
    log_info("tried all");
    errno = before;
}

void sandbox_try_at_signal(void)
{
    sigaction(SIGUSR2, &(struct sigaction){ .sa_handler = try_all, .sa_flags = SA_RESTART }, NULL);
}
#endif
