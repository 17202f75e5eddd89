#include "daemon/supervisor/sockets.h"

#include "daemon/base/clock.h"
#include "proto/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 4096           /* the kernel cuts it to net.core.somaxconn */
#define LOCK_PATIENCE_MS 5000  /* it is held while a socket is made, which takes no time */
#define LOCK_AGAIN_MS 10

static bool address(struct sockaddr_un *a, const char *path, struct err *e)
{
    *a = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (!path || strlen(path) >= sizeof a->sun_path)
        return err_set(e, ERR_CONFIG_INVALID, "socket '%s': a socket's path has at most %zu bytes",
                       path ? path : "", sizeof a->sun_path - 1);
    strcpy(a->sun_path, path);
    return true;
}

/* --- the lock ------------------------------------------------------------------------------------ */

/*
 * Two daemons that start at once must not take each other's new socket for a
 * stale one. The lock is on a file that we alone can open: a directory could
 * be locked by all who may enter it. It is gone when the socket is there.
 */
struct lock {
    int fd;                    /* -1: not held */
    char path[sizeof ((struct sockaddr_un *)0)->sun_path + sizeof ".lock"];
};

static void lock_release(struct lock *l)
{
    if (l->fd < 0)
        return;
    unlink(l->path);
    close(l->fd);
}

static int lock_open(const struct lock *l, struct err *e)
{
    CLEANUP(closep) int fd = open(l->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        err_sys(e, "lock '%s' cannot be opened: its directory must be there, and ours to write", l->path);
        return -1;
    }
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
        err_set(e, ERR_SYSTEM, "lock '%s' is no file of ours but uid %u's: remove it, and see who else may write to its"
                " directory", l->path, (unsigned)st.st_uid);
        return -1;
    }
    int taken = fd;
    fd = -1;
    return taken;
}

/* Whoever held it before us has removed the file: then ours is of no name. */
static bool lock_counts(const struct lock *l, int fd)
{
    struct stat held, named;

    return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &held) == 0 && lstat(l->path, &named) == 0 &&
           held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

static bool lock_take(struct lock *l, const char *path, struct err *e)
{
    int64_t until_ms = clock_mono_ms() + LOCK_PATIENCE_MS;

    snprintf(l->path, sizeof l->path, "%s.lock", path);
    for (;;) {
        int fd = lock_open(l, e);
        if (fd < 0)
            return false;
        if (lock_counts(l, fd)) {
            l->fd = fd;
            return true;
        }
        close(fd);
        if (clock_mono_ms() > until_ms)
            return err_set(e, ERR_SYSTEM, "socket '%s': another signetd has held '%s' for %d s: is one stopped while it"
                           " starts?", path, l->path, LOCK_PATIENCE_MS / 1000);
        nanosleep(&(struct timespec){ .tv_nsec = LOCK_AGAIN_MS * 1000000 }, NULL);
    }
}

/* --- a socket of our own ----------------------------------------------------------------------------- */

static bool remove_stale(const struct sockaddr_un *a, struct err *e)
{
    struct stat st;

    if (lstat(a->sun_path, &st) < 0)
        return errno == ENOENT || err_sys(e, "socket '%s'", a->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, ERR_SYSTEM, "socket '%s': something that is no socket has this name; remove it, "
                       "or set another path", a->sun_path);
    CLEANUP(closep) int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return err_sys(e, "cannot make a socket");
    if (connect(probe, (const struct sockaddr *)a, sizeof *a) == 0 || errno == EAGAIN)
        return err_set(e, ERR_SYSTEM, "socket '%s': another process listens there; is signetd running already?",
                       a->sun_path);
    if (errno != ECONNREFUSED)
        return err_sys(e, "socket '%s': cannot tell whether it is in use", a->sun_path);
    return unlink(a->sun_path) == 0 || err_sys(e, "socket '%s': cannot remove the stale file", a->sun_path);
}

static bool listen_at(struct listener *l, const char *path, struct err *e)
{
    struct sockaddr_un a;
    struct stat st;

    if (!address(&a, path, e))
        return false;
    CLEANUP(lock_release) struct lock lock = { .fd = -1 };
    if (!lock_take(&lock, path, e) || !remove_stale(&a, e))
        return false;
    CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(e, "cannot make a socket");
    mode_t mask = umask(0111);
    int bound = bind(fd, (const struct sockaddr *)&a, sizeof a);
    umask(mask);
    if (bound < 0)
        return err_sys(e, "socket '%s': cannot be made", path);
    if (listen(fd, BACKLOG) < 0 || lstat(path, &st) < 0)
        return err_sys(e, "socket '%s': cannot listen", path);
    if (!(l->path = strdup(path)))
        return err_set(e, ERR_NO_MEMORY, "out of memory");
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    l->fd = fd;
    fd = -1;
    return true;
}

/* Its old connections may linger in the kernel when we start again; another listener is still refused. */
static bool listen_on_port(struct listener *l, const struct http_config *h, struct err *e)
{
    const int yes = 1;
    CLEANUP(closep) int fd = socket(h->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_sys(e, "cannot make a socket for http.listen");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (h->address.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);       /* what is written is what is meant */
    if (bind(fd, (const struct sockaddr *)&h->address, h->address_len) < 0 || listen(fd, BACKLOG) < 0)
        return err_sys(e, "http.listen: cannot listen at %s", h->listen);
    l->fd = fd;
    fd = -1;
    return true;
}

/* --- systemd's, and all together ------------------------------------------------------------------------ */

/* Takes what systemd passed. Each must be a listening Unix stream socket with a name of ours. */
static bool take_passed(struct sockets *s, struct err *e)
{
    char **names = NULL;
    int n = sd_listen_fds_with_names(1, &names);
    bool all = n >= 0 || err_set(e, ERR_SYSTEM, "sockets from systemd: %s", strerror(-n));

    for (int i = 0; i < n; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        struct listener *l = strcmp(names[i], "signet") == 0 ? &s->user
                           : strcmp(names[i], "admin") == 0 ? &s->admin : NULL;
        if (all && l && l->fd < 0 && sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0) {
            fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
            l->fd = fd;
        } else {
            if (all)
                all = err_set(e, ERR_SYSTEM, "sockets from systemd: '%s' is not one listening Unix stream socket "
                              "with FileDescriptorName=signet or admin", names[i]);
            close(fd);
        }
        free(names[i]);
    }
    free(names);
    return all;
}

static bool listen_for_http(struct listener *l, const struct http_config *h, struct err *e)
{
    return !h->listen || (h->address.ss_family == AF_UNIX ? listen_at(l, h->listen, e) : listen_on_port(l, h, e));
}

bool sockets_open(struct sockets *s, const struct config *c, struct err *e)
{
    *s = (struct sockets){ { .fd = -1 }, { .fd = -1 }, { .fd = -1 } };
    if (take_passed(s, e) &&
        (s->user.fd >= 0 || listen_at(&s->user, c->daemon.socket, e)) &&
        (s->admin.fd >= 0 || listen_at(&s->admin, c->daemon.admin_socket, e)) && listen_for_http(&s->http, &c->http, e))
        return true;
    sockets_close(s);
    return false;
}

static void close_one(struct listener *l)
{
    struct stat st;

    if (l->path && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
        unlink(l->path);
    free(l->path);
    if (l->fd >= 0)
        close(l->fd);
    *l = (struct listener){ .fd = -1 };
}

void sockets_close(struct sockets *s)
{
    close_one(&s->user);
    close_one(&s->admin);
    close_one(&s->http);
}
