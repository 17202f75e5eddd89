/*
 * A frame is a 4-byte big-endian length, its highest bit set when a descriptor
 * comes along, then the packed message. The descriptor is attached to the
 * frame's first byte, so that it has arrived when the frame is whole. Linux
 * ends a read behind bytes that carried descriptors: their order is the frames'.
 */
#include "daemon/channel/channel.h"

#include "proto/frame.h"
#include "proto/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/socket.h>

#define WITH_FD 0x80u                        /* in a frame's first byte */
#define READ_CHUNK (64u * 1024)              /* bytes: some hundred works */
#define READS_A_PASS 8u                      /* then the owner's other descriptors have their turn */
#define MAX_FDS 64u                          /* waiting in one direction: a start sends some ten */
#define KEEP_CAP (512u * 1024)               /* an empty buffer larger than this gives its memory back */
#define CHANNEL_MAX_FIELDS 300000u           /* a configuration with 65536 callers has some 200000 */

struct parcel {
    size_t at;                               /* of its frame's first byte in `out` */
    int fd;
};

struct channel {
    int fd;
    bool broken;                             /* a frame was bad: nothing after it counts */
    struct buf in, out;                      /* both may hold a secret to be imported */
    size_t in_at, out_at;                    /* bytes of them that are done with */
    struct parcel sending[MAX_FDS];
    size_t n_sending;
    int received[MAX_FDS];
    size_t n_received;
};

struct channel *channel_new(int fd)
{
    struct channel *c = calloc(1, sizeof *c);
    int flags = fcntl(fd, F_GETFL);

    if (!c || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        free(c);
        close(fd);
        return NULL;
    }
    c->fd = fd;
    buf_init_secret(&c->in, CHANNEL_MAX_MESSAGE + FRAME_HEADER_LEN + READ_CHUNK);
    buf_init_secret(&c->out, CHANNEL_MAX_OUT);
    return c;
}

void channel_free(struct channel *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_sending; i++)
        close(c->sending[i].fd);
    for (size_t i = 0; i < c->n_received; i++)
        close(c->received[i]);
    buf_clear(&c->in);
    buf_clear(&c->out);
    close(c->fd);
    free(c);
}

int channel_fd(const struct channel *c)
{
    return c->fd;
}

size_t channel_waiting(const struct channel *c)
{
    return c->out.len - c->out_at;
}

/* Moves what is left to the front; an emptied large buffer is let go. */
static void compact(struct buf *b, size_t *at)
{
    buf_consume(b, *at);
    *at = 0;
    if (b->len == 0 && b->cap > KEEP_CAP)
        buf_clear(b);
}

static void compact_out(struct channel *c)
{
    for (size_t i = 0; i < c->n_sending; i++)
        c->sending[i].at -= c->out_at;
    compact(&c->out, &c->out_at);
}

bool channel_send(struct channel *c, const Signet__Role__Message *m, int fd, struct err *e)
{
    size_t len = signet__role__message__get_packed_size(m);

    if (len == 0 || len > CHANNEL_MAX_MESSAGE)
        return err_set(e, ERR_INTERNAL, "a message of %zu bytes between roles: at most %u are possible",
                       len, CHANNEL_MAX_MESSAGE);
    if (c->out_at > c->out.len / 2)
        compact_out(c);
    if (fd >= 0 && c->n_sending == MAX_FDS)
        return err_set(e, ERR_QUEUE_FULL, "another role does not read its channel: %u descriptors wait", MAX_FDS);
    if (!buf_reserve(&c->out, len + FRAME_HEADER_LEN))
        return err_set(e, ERR_QUEUE_FULL, "another role does not read its channel: %zu bytes wait",
                       channel_waiting(c));
    int copy = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (fd >= 0 && copy < 0)
        return err_sys(e, "cannot send a descriptor");

    uint8_t *at = c->out.data + c->out.len;
    frame_header(at, len);
    if (copy >= 0) {
        at[0] |= WITH_FD;
        c->sending[c->n_sending++] = (struct parcel){ c->out.len, copy };
    }
    signet__role__message__pack(m, at + FRAME_HEADER_LEN);
    c->out.len += len + FRAME_HEADER_LEN;
    return true;
}

/* One sendmsg: up to where the next descriptor must be attached. */
static ssize_t send_piece(struct channel *c)
{
    union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control = { 0 };
    struct iovec piece = { c->out.data + c->out_at, c->out.len - c->out_at };
    struct msghdr msg = { .msg_iov = &piece, .msg_iovlen = 1 };
    bool carries = c->n_sending > 0 && c->sending[0].at == c->out_at;

    if (carries) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof control.room;
        control.head = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
        memcpy(CMSG_DATA(&control.head), &c->sending[0].fd, sizeof(int));
    }
    if (c->n_sending > carries)
        piece.iov_len = c->sending[carries].at - c->out_at;
    ssize_t n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0 && carries) {
        close(c->sending[0].fd);
        memmove(c->sending, c->sending + 1, --c->n_sending * sizeof *c->sending);
    }
    return n;
}

enum channel_io channel_flush(struct channel *c)
{
    while (c->out_at < c->out.len) {
        ssize_t n = send_piece(c);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM))
            return CHANNEL_MORE;             /* of the last three the kernel has none for now: the peer is there still */
        if (n <= 0)
            return CHANNEL_GONE;
        c->out_at += (size_t)n;
    }
    compact_out(c);
    return CHANNEL_IDLE;
}

/* False: more descriptors than we have room for, or than the kernel could give us. */
static bool take_fds(struct channel *c, struct msghdr *msg)
{
    bool all = !(msg->msg_flags & MSG_CTRUNC);

    for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
            if (c->n_received < MAX_FDS) {
                c->received[c->n_received++] = fd;
            } else {
                close(fd);
                all = false;
            }
        }
    }
    return all;
}

enum channel_io channel_fill(struct channel *c)
{
    compact(&c->in, &c->in_at);
    for (unsigned pass = 0; pass < READS_A_PASS; pass++) {
        /* Full: whole messages stand there, to be taken before more is read. */
        if (c->broken || !buf_reserve(&c->in, READ_CHUNK))
            return CHANNEL_MORE;
        union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control;
        struct iovec piece = { c->in.data + c->in.len, READ_CHUNK };
        struct msghdr msg = { .msg_iov = &piece, .msg_iovlen = 1,
                              .msg_control = &control, .msg_controllen = sizeof control.room };
        ssize_t n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return CHANNEL_IDLE;
        if (n <= 0)
            return CHANNEL_GONE;
        c->in.len += (size_t)n;
        if (!take_fds(c, &msg))
            c->broken = true;
    }
    return CHANNEL_MORE;
}

static int take_received(struct channel *c)
{
    int fd = c->received[0];

    memmove(c->received, c->received + 1, --c->n_received * sizeof *c->received);
    return fd;
}

/* The frame at in_at: READY gives its body, and whether a descriptor comes along. */
static enum frame_result next_frame(struct channel *c, const uint8_t **out_body, size_t *out_len, bool *out_with_fd)
{
    const uint8_t *at = c->in.data + c->in_at;
    size_t have = c->in.len - c->in_at;

    if (have < FRAME_HEADER_LEN)
        return FRAME_MORE;
    *out_with_fd = at[0] & WITH_FD;
    *out_len = (size_t)(at[0] & ~WITH_FD) << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
    *out_body = at + FRAME_HEADER_LEN;
    if (*out_len == 0 || *out_len > CHANNEL_MAX_MESSAGE)
        return FRAME_BAD;
    return have - FRAME_HEADER_LEN < *out_len ? FRAME_MORE : FRAME_READY;
}

Signet__Role__Message *channel_next(struct channel *c, int *out_fd, bool *out_bad)
{
    const uint8_t *body = NULL;
    size_t len = 0;
    bool with_fd = false;
    struct err e;

    *out_fd = -1;
    *out_bad = false;
    enum frame_result r = c->broken ? FRAME_BAD : next_frame(c, &body, &len, &with_fd);
    if (r == FRAME_MORE)
        return NULL;
    if (r == FRAME_READY && !(with_fd && c->n_received == 0) &&
        wire_check_max(&signet__role__message__descriptor, body, len, CHANNEL_MAX_FIELDS, &e)) {
        Signet__Role__Message *m = signet__role__message__unpack(NULL, len, body);
        if (m && m->of_case != SIGNET__ROLE__MESSAGE__OF__NOT_SET) {
            c->in_at += len + FRAME_HEADER_LEN;
            if (with_fd)
                *out_fd = take_received(c);
            return m;
        }
        channel_done(m);
    }
    c->broken = true;
    *out_bad = true;
    return NULL;
}

void channel_done(Signet__Role__Message *m)
{
    if (m && m->of_case == SIGNET__ROLE__MESSAGE__OF_IMPORT && m->import->secret.data)
        OPENSSL_cleanse(m->import->secret.data, m->import->secret.len);
    if (m)
        signet__role__message__free_unpacked(m, NULL);
}

bool channel_say_verdict(struct channel *c, uint32_t generation, const struct buf *mistakes, struct err *e)
{
    Signet__Role__Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Ready ready = SIGNET__ROLE__READY__INIT;
    Signet__Role__Refused refused = SIGNET__ROLE__REFUSED__INIT;
    CLEANUP(freep) char *text = mistakes && mistakes->len ? strndup((const char *)mistakes->data, mistakes->len) : NULL;

    if (mistakes) {
        refused.generation = generation;
        refused.text = text ? text : refused.text;
        m.of_case = SIGNET__ROLE__MESSAGE__OF_REFUSED;
        m.refused = &refused;
    } else {
        ready.generation = generation;
        m.of_case = SIGNET__ROLE__MESSAGE__OF_READY;
        m.ready = &ready;
    }
    return channel_send(c, &m, -1, e);
}

uint64_t channel_answers(const Signet__Role__Message *m)
{
    switch (m->of_case) {
    case SIGNET__ROLE__MESSAGE__OF_WORK_DONE: return m->work_done->id;
    case SIGNET__ROLE__MESSAGE__OF_KEYS:      return m->keys->id;
    case SIGNET__ROLE__MESSAGE__OF_CHANGED:   return m->changed->id;
    case SIGNET__ROLE__MESSAGE__OF_POWERS:    return m->powers->id;
    case SIGNET__ROLE__MESSAGE__OF_VERIFIED:  return m->verified->id;
    case SIGNET__ROLE__MESSAGE__OF_CHECKED:   return m->checked->id;
    default:                                  return 0;
    }
}

void channel_why(const Signet__Role__Why *why, struct err *e)
{
    bool ours = why->reason > ERR_NONE && why->reason < N_ERR_REASONS;

    err_set(e, ours ? (enum err_reason)why->reason : ERR_INTERNAL, "%s",
            *why->text ? why->text : "a process of signetd did not do it and does not say why");
    e->retry_after_ms = why->retry_after_ms;
}

bool channel_pair(int out_fd[2], struct err *e)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out_fd) < 0)
        return err_sys(e, "cannot make a socketpair");
    return true;
}
