#include "daemon/verifier/verifier.h"

#include "daemon/base/log.h"
#include "daemon/base/role.h"
#include "daemon/channel/channel.h"
#include "daemon/verifier/judge.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

#define WRITE_AT (64u * 1024)      /* bytes of replies that wait no longer for the batch's end */
#define STOP_AT (1024u * 1024)     /* bytes of replies the broker has not read: nothing more is taken on */

struct verifier {
    struct channel *supervisor, *broker;     /* broker NULL: none for now */
    struct judge *judge;
    bool read_all;                           /* of the broker's messages nothing whole is left */
    bool useless;                            /* the broker has no more of us: another is to come in our place */
};

static void lose_broker(struct verifier *v)
{
    channel_free(TAKE(v->broker));
}

/* A new broker: it sends every key set itself. False: no memory. */
static bool meet_broker(struct verifier *v, int fd)
{
    lose_broker(v);
    judge_free(v->judge);
    v->judge = judge_new();
    v->broker = channel_new(fd);
    v->read_all = true;
    return v->judge && v->broker;
}

/* False: this process is of no use any more. */
static bool obey(struct verifier *v, const Message *m, int *fd)
{
    struct err e;

    if (m->of_case == OF(CONFIG))
        return channel_say_verdict(v->supervisor, m->config->generation, NULL, &e);
    if (m->of_case == OF(ATTACH) && m->attach->peer == SIGNET__ROLE__PEER__PEER_BROKER && *fd >= 0) {
        int taken = *fd;
        *fd = -1;
        return meet_broker(v, taken);
    }
    return m->of_case == OF(SWITCH);
}

/* What the supervisor says. IDLE: go on. */
static enum channel_io hear_supervisor(struct verifier *v, int *out_status)
{
    enum channel_io io = channel_fill(v->supervisor);
    bool bad = false, obeyed = true;
    Message *m;
    int fd;

    while (obeyed && (m = channel_next(v->supervisor, &fd, &bad)) != NULL) {
        obeyed = obey(v, m, &fd);
        if (!obeyed)
            log_error("cannot do what the supervisor says (message %d)", (int)m->of_case);
        closep(&fd);
        channel_done(m);
    }
    *out_status = bad || !obeyed;
    return *out_status || io == CHANNEL_GONE ? CHANNEL_GONE : CHANNEL_IDLE;
}

static void answer(void *ctx, const Message *m)
{
    struct verifier *v = ctx;
    struct err e;

    /* Refused only for a payload longer than a message: config bounds requests far below. */
    if (!channel_send(v->broker, m, -1, &e)) {
        log_error("an answer is lost: %s", e.text);
        v->useless = true;
    }
}

/* What the broker wants, as far as there is room for the answers. */
static void hear_broker(struct verifier *v)
{
    enum channel_io io = channel_fill(v->broker);
    bool bad = false;
    struct err e;

    v->read_all = false;
    while (!v->read_all && !v->useless && channel_waiting(v->broker) < STOP_AT) {
        int fd;
        Message *m = channel_next(v->broker, &fd, &bad);
        v->read_all = !m;
        if (m && !judge_hear(v->judge, m, answer, v, &e)) {
            log_error("%s", e.text);
            v->useless |= e.reason == ERR_NO_MEMORY;     /* the key set does not come again */
        }
        closep(&fd);
        channel_done(m);
        if (channel_waiting(v->broker) >= WRITE_AT)
            channel_flush(v->broker);
    }
    if (bad) {
        log_error("the broker sent something malformed, or there is no memory to read it");
        v->useless = true;
    }
    if (bad || io == CHANNEL_GONE || channel_flush(v->broker) == CHANNEL_GONE)
        lose_broker(v);
}

static short wish(struct channel *c, bool may_read)
{
    return (may_read ? POLLIN : 0) | (channel_waiting(c) ? POLLOUT : 0);
}

static int serve(struct verifier *v)
{
    int status;

    for (;;) {
        bool room = v->broker && channel_waiting(v->broker) < STOP_AT;
        struct pollfd on[2] = {
            { .fd = channel_fd(v->supervisor), .events = wish(v->supervisor, true) },
            { .fd = v->broker ? channel_fd(v->broker) : -1, .events = v->broker ? wish(v->broker, room) : 0 },
        };
        if (poll(on, 2, room && !v->read_all ? 0 : -1) < 0 && errno != EINTR) {
            log_error("poll: %s", strerror(errno));
            return 1;
        }
        /* First what is for the broker we have; the supervisor may name a new one. */
        if (on[1].revents & POLLOUT)
            channel_flush(v->broker);
        if (on[1].revents & ~POLLOUT || (room && !v->read_all))
            hear_broker(v);
        if (v->useless)
            return 1;
        if (on[0].revents & ~POLLOUT && hear_supervisor(v, &status) == CHANNEL_GONE)
            return status;
        if (channel_waiting(v->supervisor) && channel_flush(v->supervisor) == CHANNEL_GONE)
            return 0;
    }
}

int verifier_main(unsigned number)
{
    struct verifier v = { .read_all = true };
    struct err e;

    if (!role_begin(ROLE_VERIFIER, number, &e)) {
        log_error("%s", e.text);
        return 2;
    }
    v.supervisor = channel_new(ROLE_CHANNEL_FD);
    v.judge = judge_new();
    int status = v.supervisor && v.judge ? serve(&v) : 1;
    lose_broker(&v);
    channel_free(v.supervisor);
    judge_free(v.judge);
    return status;
}
