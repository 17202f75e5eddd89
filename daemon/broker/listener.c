#include "daemon/broker/connection.h"

#include "daemon/base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define ACCEPTS_A_PASS 4             /* then those already here have their turn */
#define PAUSE_S 1                    /* out of descriptors: others must close theirs first */

static void pause_accepting(struct listener *l, int error)
{
    log_warning("no connection can be accepted: %s; trying again in %d s", strerror(error), PAUSE_S);
    event_del(l->on_ready);
    event_add(l->again, &(struct timeval){ PAUSE_S, 0 });
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;

    for (int i = 0; i < ACCEPTS_A_PASS; i++) {
        int one = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (one >= 0) {
            connection_new(l->broker, one, l->admin);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(l, errno);
            return;
        }                            /* else that caller has left already */
    }
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;

    event_add(l->on_ready, NULL);
}

bool listener_open(struct listener *l, struct broker *b, int fd, bool admin, struct err *e)
{
    listener_close(l);
    *l = (struct listener){ .broker = b, .fd = fd, .admin = admin };
    evutil_make_socket_nonblocking(fd);
    l->on_ready = event_new(b->base, fd, EV_READ | EV_PERSIST, on_ready, l);
    l->again = evtimer_new(b->base, on_again, l);
    if (l->on_ready && l->again && event_add(l->on_ready, NULL) == 0)
        return true;
    listener_close(l);
    return err_set(e, ERR_NO_MEMORY, "no memory to listen");
}

void listener_close(struct listener *l)
{
    if (l->on_ready)
        event_free(TAKE(l->on_ready));
    if (l->again)
        event_free(TAKE(l->again));
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}
