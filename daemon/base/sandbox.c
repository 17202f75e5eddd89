#include "daemon/base/sandbox.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "proto/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <openssl/crypto.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define MAX_SAID 20                /* refused calls that a process logs: one that is broken into would fill the disk */

static struct { char state[64]; char lack[240]; } self;

/* What this kernel has, or less, where a test says so. */
static int at_most(int has, const char *variable)
{
#ifdef SIGNET_TESTING
    const char *less = getenv(variable);
    if (less && atoi(less) < has)
        return errno = ENOSYS, atoi(less);
#endif
    return has;
}

/* All but those who start processes and hold modules: a new role is one of these until it says what it needs. */
static bool is_strict(enum role_kind kind)
{
    return kind != ROLE_SUPERVISOR && kind != ROLE_SIGNER;
}

static void lack(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void lack(const char *fmt, ...)
{
    size_t len = strlen(self.lack);
    va_list args;

    if (len) {
        snprintf(self.lack + len, sizeof self.lack - len, "; ");
        len = strlen(self.lack);                     /* where it was cut, too */
    }
    va_start(args, fmt);
    vsnprintf(self.lack + len, sizeof self.lack - len, fmt, args);
    va_end(args);
}

/* --- Landlock ------------------------------------------------------------------------------------ */

/* The kernel's, of its newest ABI known here; our headers may know less. Those of an older one end in zeros. */
struct landlock_rules { uint64_t fs, net, scoped; };
#define NET_ALL 3u                 /* ABI 4: bind and connect */
#define SCOPE_ALL 3u               /* ABI 6: others' abstract sockets, and signals */
#define SCOPE_SIGNAL 2u
#define NEWEST_ABI 7

static int landlock_abi(void)
{
    int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    abi = at_most(abi, "SIGNET_TEST_LANDLOCK");
    return abi > 0 ? abi : 0;
}

/* All that this ABI can forbid: it has a bit for each right on files. */
static struct landlock_rules everything(int abi)
{
    static const unsigned fs_bits[] = { 0, 13, 14, 15, 15, 16, 16, 16 };
    unsigned known = fs_bits[abi < NEWEST_ABI ? abi : NEWEST_ABI];

    return (struct landlock_rules){ (1ull << known) - 1, abi >= 4 ? NET_ALL : 0, abi >= 6 ? SCOPE_ALL : 0 };
}

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#include <sys/ioctl.h>

/* LeakSanitizer reads all of /proc, a report's symbols are in programs and libraries. Its file is stderr. */
static void allow_sanitizers_files(int ruleset)
{
    static const char *const paths[] = { "/proc", "/proc/self/exe", "/usr" };

    __sanitizer_set_report_fd((void *)STDERR_FILENO);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        CLEANUP(closep) int fd = open(paths[i], O_PATH | O_CLOEXEC);
        struct landlock_path_beneath_attr beneath = { .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE, .parent_fd = fd };
        if (i != 1)
            beneath.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
        syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
    }
}
#else
static void allow_sanitizers_files(int ruleset) { }
#endif

static bool restrict_self(const struct landlock_rules *r)
{
    CLEANUP(closep) int ruleset = (int)syscall(SYS_landlock_create_ruleset, r, sizeof *r, 0);

    if (ruleset < 0)
        return false;
    if (r->fs)
        allow_sanitizers_files(ruleset);
    return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
}

static void enter_landlock(enum role_kind kind)
{
    int abi = landlock_abi();
    struct landlock_rules rules = everything(abi);

    if (abi == 0)
        lack("this kernel has no Landlock (%s): seccomp alone keeps broker, verifiers and publisher from files", strerror(errno));
    if (kind == ROLE_SIGNER)
        rules = (struct landlock_rules){ .scoped = rules.scoped & SCOPE_SIGNAL };
    /* The supervisor's would be its signers' as well, and so make no difference between them. */
    if (kind != ROLE_SUPERVISOR && (rules.fs || rules.scoped) && !restrict_self(&rules)) {
        lack("Landlock does not take our rules (%s)", strerror(errno));
        abi = 0;
    }
    if (abi)
        snprintf(self.state, sizeof self.state, "Landlock ABI %d", abi);
}

/* --- seccomp: broker, verifier, publisher ------------------------------------------------------------ */

static const int allowed[] = {
    SCMP_SYS(accept4), SCMP_SYS(brk), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(close),
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_wait), SCMP_SYS(exit),
    SCMP_SYS(exit_group), SCMP_SYS(futex), SCMP_SYS(getegid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getpid),
    SCMP_SYS(getrandom), SCMP_SYS(getrlimit), SCMP_SYS(getsockname), SCMP_SYS(getsockopt), SCMP_SYS(gettid),
    SCMP_SYS(gettimeofday), SCMP_SYS(getuid), SCMP_SYS(lseek), SCMP_SYS(madvise), SCMP_SYS(mremap), SCMP_SYS(munmap),
    SCMP_SYS(nanosleep), SCMP_SYS(pipe2), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(read), SCMP_SYS(readv),
    SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(sched_yield), SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(setrlimit),
    SCMP_SYS(setsockopt), SCMP_SYS(shutdown), SCMP_SYS(sysinfo), SCMP_SYS(time), SCMP_SYS(write), SCMP_SYS(writev),
};
/* F_SETOWN would send signals. */
static const int allowed_fcntl[] = { F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL };

/* Takes f; errno says why not. */
static bool loaded(scmp_filter_ctx f, bool is_whole)
{
    int result = is_whole ? seccomp_load(f) : -ENOMEM;

    seccomp_release(f);
    errno = -result;
    return result == 0;
}

static bool allow_all(scmp_filter_ctx f, const int *calls, size_t n)
{
    bool ok = true;

    for (size_t i = 0; i < n; i++)
        ok = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0) == 0 && ok;
    return ok;
}

/* Only where its argument of that number, but for what is masked out, has the value. */
static bool allow_if(scmp_filter_ctx f, int call, unsigned argument, uint64_t mask, uint64_t value)
{
    const struct scmp_arg_cmp same = { .arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value };

    return seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 1, same) == 0;
}
#define WHOLE UINT32_MAX            /* of an int: the kernel does not look at the rest */

#ifdef __SANITIZE_ADDRESS__
/* A report reads symbols; a search for leaks attaches a process of our own memory to us, which reads /proc. */
static bool allow_sanitizers(scmp_filter_ctx f)
{
    static const int calls[] = {
        SCMP_SYS(getdents), SCMP_SYS(getdents64), SCMP_SYS(getppid), SCMP_SYS(mincore), SCMP_SYS(newfstatat),
        SCMP_SYS(fstat), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(pipe), SCMP_SYS(prctl), SCMP_SYS(pread64),
        SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(sigaltstack), SCMP_SYS(stat), SCMP_SYS(uname),
        SCMP_SYS(wait4),
    };
    return allow_all(f, calls, ARRAY_LEN(calls)) && allow_if(f, SCMP_SYS(ioctl), 1, WHOLE, TCGETS) &&
           allow_if(f, SCMP_SYS(clone), 0, WHOLE, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_UNTRACED) &&
           allow_if(f, SCMP_SYS(ptrace), 1, WHOLE, (uint64_t)getpid());
}
#else
static bool allow_sanitizers(scmp_filter_ctx f) { return true; }
#endif

/* Of those that depend on what they are asked. */
static bool allow_some(scmp_filter_ctx f)
{
    bool ok = allow_if(f, SCMP_SYS(mmap), 2, PROT_EXEC, 0) && allow_if(f, SCMP_SYS(mprotect), 2, PROT_EXEC, 0) &&
              allow_if(f, SCMP_SYS(prlimit64), 0, WHOLE, 0) &&
              allow_if(f, SCMP_SYS(tgkill), 0, WHOLE, (uint64_t)getpid());       /* abort() */

    for (size_t i = 0; i < ARRAY_LEN(allowed_fcntl); i++)
        ok = ok && allow_if(f, SCMP_SYS(fcntl), 1, WHOLE, (uint64_t)allowed_fcntl[i]);
    return ok;
}

/* SIGSYS in place of the call: we say what it was, and it fails. */
#if defined __x86_64__
#define CAN_ANSWER true
#define ANSWER(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined __aarch64__
#define CAN_ANSWER true
#define ANSWER(context) ((context)->uc_mcontext.regs[0])
#else
#define CAN_ANSWER false
static long no_answer;
#define ANSWER(context) (no_answer)
#endif

static void on_refused(int signal, siginfo_t *info, void *context)
{
    static unsigned n_said;
    int before = errno;

    ANSWER((ucontext_t *)context) = -EPERM;
    if (n_said++ < MAX_SAID)
        log_error("system call %d is none of this role's: it was refused (ausyscall %d names it; report it, for either"
                  " signetd has a fault or somebody is inside)", info->si_syscall, info->si_syscall);
    errno = before;
}

static bool load_only_allowed(void)
{
    struct sigaction say = { .sa_sigaction = on_refused, .sa_flags = SA_SIGINFO };
    uint32_t action = CAN_ANSWER && sigaction(SIGSYS, &say, NULL) == 0 ? SCMP_ACT_TRAP : SCMP_ACT_ERRNO(EPERM);
    scmp_filter_ctx f = seccomp_init(action);

    return loaded(f, f && allow_all(f, allowed, ARRAY_LEN(allowed)) && allow_some(f) && allow_sanitizers(f));
}

/* --- seccomp: the supervisor, and so all below it ------------------------------------------------------- */

static const int refused[] = {
    /* to look into other processes */
#ifndef __SANITIZE_ADDRESS__
    SCMP_SYS(ptrace),
#endif
    SCMP_SYS(kcmp), SCMP_SYS(perf_event_open), SCMP_SYS(pidfd_getfd), SCMP_SYS(process_madvise),
    SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(userfaultfd),
    /* to see another file system */
    SCMP_SYS(chroot), SCMP_SYS(fsconfig), SCMP_SYS(fsmount), SCMP_SYS(fsopen), SCMP_SYS(fspick), SCMP_SYS(mount),
    SCMP_SYS(mount_setattr), SCMP_SYS(move_mount), SCMP_SYS(open_by_handle_at), SCMP_SYS(open_tree),
    SCMP_SYS(pivot_root), SCMP_SYS(setns), SCMP_SYS(umount), SCMP_SYS(umount2), SCMP_SYS(unshare),
    /* to change the machine */
    SCMP_SYS(acct), SCMP_SYS(adjtimex), SCMP_SYS(clock_adjtime), SCMP_SYS(clock_settime), SCMP_SYS(delete_module),
    SCMP_SYS(finit_module), SCMP_SYS(init_module), SCMP_SYS(ioperm), SCMP_SYS(iopl), SCMP_SYS(kexec_file_load),
    SCMP_SYS(kexec_load), SCMP_SYS(quotactl), SCMP_SYS(reboot), SCMP_SYS(settimeofday), SCMP_SYS(stime),
    SCMP_SYS(swapoff), SCMP_SYS(swapon), SCMP_SYS(syslog), SCMP_SYS(vhangup),
    /* of which much has been broken, and which no module needs */
    SCMP_SYS(add_key), SCMP_SYS(bpf), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(io_uring_setup),
    SCMP_SYS(keyctl), SCMP_SYS(request_key),
};
static const unsigned long namespaces[] = {
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS,
};

static bool load_but_refused(void)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    bool ok = f != NULL;

    for (size_t i = 0; ok && i < ARRAY_LEN(refused); i++)
        ok = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), refused[i], 0) == 0;
    if (ok)
        seccomp_attr_set(f, SCMP_FLTATR_CTL_LOG, 1);         /* not every kernel has it */
    return loaded(f, ok);
}

/* A filter of its own, for it is not to be logged: whoever starts a thread tries clone3 first. */
static bool load_no_namespaces(void)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    /* Its flags cannot be looked at: libraries then take clone. */
    bool ok = f && seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;

    for (size_t i = 0; ok && i < ARRAY_LEN(namespaces); i++)
        ok = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i])) == 0;
    return loaded(f, ok);
}

static bool load_filters(enum role_kind kind)
{
    switch (kind) {
    case ROLE_SUPERVISOR: return load_no_namespaces() && load_but_refused();
    case ROLE_SIGNER:     return true;
    default:              return load_only_allowed();
    }
}

static void enter_seccomp(enum role_kind kind)
{
    size_t len = strlen(self.state);

    if (at_most(1, "SIGNET_TEST_SECCOMP") && load_filters(kind))
        snprintf(self.state + len, sizeof self.state - len, "%sseccomp", len ? ", " : "");
    else
        lack("seccomp is not to be had (%s): no system call is refused", strerror(errno));
}

/* --- all of it ---------------------------------------------------------------------------------------------- */

/* Root's, where we are root. A token and a PIN may be another user's; what exec gives back no_new_privs forbids. */
static void drop_capabilities(enum role_kind kind)
{
    const uint32_t files = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER |
                           1u << CAP_IPC_LOCK;
    const uint32_t keep = is_strict(kind) ? 0 : files;
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &header, has) < 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(has); i++) {
        has[i].permitted &= i == 0 ? keep : 0;
        has[i].effective &= has[i].permitted;
        has[i].inheritable = 0;
    }
    syscall(SYS_capset, &header, has);
}

/* What libraries read when they are first asked: the time zone, jansson's random seed, OpenSSL's configuration. */
static void read_what_is_read_once(void)
{
    tzset();
    json_object_seed(0);               /* a guessed one makes its tables slow */
    OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
    clock_now();                       /* a test's time */
}

void sandbox_enter(enum role_kind kind)
{
    if (is_strict(kind))
        read_what_is_read_once();
#ifdef SIGNET_TESTING
    sandbox_try_at_signal();
#endif
    drop_capabilities(kind);
    enter_landlock(kind);
    enter_seccomp(kind);               /* it allows no more of the above */
}

const char *sandbox_state(void)
{
    return *self.state ? self.state : "none";
}

const char *sandbox_lack(void)
{
    return *self.lack ? self.lack : NULL;
}
