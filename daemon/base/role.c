#include "daemon/base/role.h"

#include "daemon/base/log.h"
#include "daemon/base/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct {
    const char *name;
    bool numbered;
} roles[] = {
    [ROLE_SUPERVISOR] = { "supervisor", false },
    [ROLE_BROKER] = { "broker", false },
    [ROLE_SIGNER] = { "signer", true },
    [ROLE_VERIFIER] = { "verifier", true },
    [ROLE_PUBLISHER] = { "publisher", false },
};
#define N_ROLES (sizeof roles / sizeof *roles)
static const char prefix[] = "signetd: ";

const char *role_kind_name(enum role_kind kind)
{
    return roles[kind].name;
}

void role_title(char out[ROLE_MAX_NAME], enum role_kind kind, unsigned number)
{
    if (roles[kind].numbered)
        snprintf(out, ROLE_MAX_NAME, "%s%s %u", prefix, roles[kind].name, number);
    else
        snprintf(out, ROLE_MAX_NAME, "%s%s", prefix, roles[kind].name);
}

enum role_kind role_of(const char *argv0, unsigned *out_number)
{
    *out_number = 0;
    if (!argv0 || strncmp(argv0, prefix, sizeof prefix - 1) != 0)
        return ROLE_SUPERVISOR;
    const char *name = argv0 + sizeof prefix - 1;
    for (unsigned kind = ROLE_BROKER; kind < N_ROLES; kind++) {
        size_t len = strlen(roles[kind].name);
        if (strncmp(name, roles[kind].name, len) != 0)
            continue;
        if (!roles[kind].numbered && name[len] == '\0')
            return kind;
        if (roles[kind].numbered && name[len] == ' ' && name[len + 1] >= '1' && name[len + 1] <= '9') {
            char *end;
            unsigned long number = strtoul(name + len + 1, &end, 10);
            if (*end == '\0' && number <= 9999) {
                *out_number = (unsigned)number;
                return kind;
            }
        }
    }
    return ROLE_SUPERVISOR;
}

void role_harden(void)
{
    static const struct rlimit no_core;

    prctl(PR_SET_NAME, "signetd");       /* executed by descriptor, we would be called by its number */
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &no_core);
}

bool role_descriptors(size_t n, struct err *e)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return err_sys(e, "the limit of open descriptors cannot be read");
    if (limit.rlim_cur >= n)
        return true;
    if (limit.rlim_max < n)
        return err_set(e, ERR_CONFIG_INVALID, "up to %zu descriptors may have to be open, and the system allows us %llu:"
                       " raise that (LimitNOFILE=, ulimit -Hn), or lower daemon.max_connections", n,
                       (unsigned long long)limit.rlim_max);
    limit.rlim_cur = n;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 || err_sys(e, "%zu open descriptors are not allowed", n);
}

bool role_begin(enum role_kind kind, unsigned number, struct err *e)
{
    static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
    static char title[ROLE_MAX_NAME];
    int type = 0;
    socklen_t len = sizeof type;
    sigset_t none;

    role_title(title, kind, number);
    log_open(title + sizeof prefix - 1, LEVEL_INFO);
    if (getsockopt(ROLE_CHANNEL_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
        return err_set(e, ERR_SYSTEM, "'%s' is started by signetd, not by hand: use signetd --config FILE", title);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    role_harden();
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (close_range(ROLE_CHANNEL_FD + 1, ~0u, 0) < 0)
        return err_sys(e, "cannot close inherited descriptors");
    sandbox_enter(kind);
    return true;
}
