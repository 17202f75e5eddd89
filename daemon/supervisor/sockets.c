#include "daemon/supervisor/sockets.h"

#include "proto/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#define BACKLOG 4096           /* the kernel cuts it to net.core.somaxconn */

static bool address(struct sockaddr_un *a, const char *path, struct err *e)
{
    *a = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (!path || strlen(path) >= sizeof a->sun_path)
        return err_set(e, ERR_CONFIG_INVALID, "socket '%s': a socket's path has at most %zu bytes",
                       path ? path : "", sizeof a->sun_path - 1);
    strcpy(a->sun_path, path);
    return true;
}

/* Two daemons that start at once must not take each other's new socket for a stale one. */
static int lock_directory(const char *path, struct err *e)
{
    CLEANUP(freep) char *copy = strdup(path);
    if (!copy) {
        err_set(e, ERR_NO_MEMORY, "out of memory");
        return -1;
    }
    const char *directory = dirname(copy);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        err_sys(e, "socket '%s': cannot open its directory '%s'; create it, or set another path", path, directory);
        return -1;
    }
    if (flock(fd, LOCK_EX) < 0) {
        err_sys(e, "socket '%s': cannot lock its directory", path);
        close(fd);
        return -1;
    }
    return fd;
}

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
    CLEANUP(closep) int lock = lock_directory(path, e);
    if (lock < 0 || !remove_stale(&a, e))
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

bool sockets_open(struct sockets *s, const char *path, const char *admin_path, struct err *e)
{
    *s = (struct sockets){ { .fd = -1 }, { .fd = -1 } };
    if (take_passed(s, e) &&
        (s->user.fd >= 0 || listen_at(&s->user, path, e)) &&
        (s->admin.fd >= 0 || listen_at(&s->admin, admin_path, e)))
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
}
