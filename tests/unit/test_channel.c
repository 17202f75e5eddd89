#include "daemon/channel/channel.h"

#include "tests/support/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

struct ends { struct channel *a, *b; };

static struct ends joined(void)
{
    int fd[2];
    struct err e;
    if (!channel_pair(fd, &e))
        abort();
    return (struct ends){ channel_new(fd[0]), channel_new(fd[1]) };
}

static void part(struct ends t)
{
    channel_free(t.a);
    channel_free(t.b);
}

static bool send_work(struct channel *c, uint64_t id, size_t input_len, struct err *e)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Work work = SIGNET__ROLE__WORK__INIT;
    uint8_t *input = calloc(1, input_len + 1);
    memset(input, (int)id, input_len);
    work.id = id;
    work.input = (ProtobufCBinaryData){ input_len, input };
    m.of_case = OF(WORK);
    m.work = &work;
    bool sent = channel_send(c, &m, -1, e);
    free(input);
    return sent;
}

static bool send_attach(struct channel *c, unsigned number, int fd, struct err *e)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Attach attach = SIGNET__ROLE__ATTACH__INIT;
    attach.number = number;
    m.of_case = OF(ATTACH);
    m.attach = &attach;
    return channel_send(c, &m, fd, e);
}

/* Both ends take turns until the next message is there. */
static Message *next(struct ends t, int *out_fd)
{
    for (unsigned turn = 0; turn < 1000; turn++) {
        bool bad;
        Message *m = channel_next(t.b, out_fd, &bad);
        if (m)
            return m;
        if (bad || channel_flush(t.a) == CHANNEL_GONE || channel_fill(t.b) == CHANNEL_GONE)
            return NULL;
    }
    return NULL;
}

static void a_thousand_works_keep_their_order(void)
{
    struct ends t = joined();
    struct err e;
    for (unsigned i = 0; i < 1000; i++)
        CU_ASSERT(send_work(t.a, i, 32 + i, &e));
    for (unsigned i = 0; i < 1000; i++) {
        int fd;
        Message *m = next(t, &fd);
        CU_ASSERT_FATAL(m != NULL);
        unit_same_int("id", (long long)m->work->id, i);
        unit_same_int("length", (long long)m->work->input.len, 32 + i);
        unit_same_int("no descriptor", fd, -1);
        channel_done(m);
    }
    unit_same_int("nothing waits", (long long)channel_waiting(t.a), 0);
    part(t);
}

static void descriptors_stay_with_their_messages(void)
{
    struct ends t = joined();
    struct err e;
    int pipes[20][2];
    for (unsigned i = 0; i < 20; i++) {
        if (pipe(pipes[i]) < 0)
            abort();
        CU_ASSERT(send_work(t.a, i, 10000, &e));
        CU_ASSERT(send_attach(t.a, i, i % 3 ? pipes[i][0] : -1, &e));
    }
    for (unsigned i = 0; i < 20; i++) {
        int fd;
        struct stat want, got;
        Message *m = next(t, &fd);
        CU_ASSERT_FATAL(m && m->of_case == OF(WORK) && fd == -1);
        channel_done(m);
        m = next(t, &fd);
        CU_ASSERT_FATAL(m && m->of_case == OF(ATTACH));
        unit_same_int("number", m->attach->number, i);
        channel_done(m);
        unit_same_int("has one", fd >= 0, i % 3 != 0);
        if (fd >= 0) {
            CU_ASSERT(fstat(fd, &got) == 0 && fstat(pipes[i][0], &want) == 0 && got.st_ino == want.st_ino);
            unit_same_int("CLOEXEC", fcntl(fd, F_GETFD), FD_CLOEXEC);
            close(fd);
        }
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
    part(t);
}

static void descriptors_not_taken_are_closed(void)
{
    struct ends t = joined();
    struct err e;
    int before = dup(0), pipe_fd[2];
    if (pipe(pipe_fd) < 0)
        abort();
    for (unsigned i = 0; i < 8; i++)
        CU_ASSERT(send_attach(t.a, i, pipe_fd[1], &e));
    channel_flush(t.a);
    channel_fill(t.b);
    CU_ASSERT(send_attach(t.a, 9, pipe_fd[1], &e));     /* never flushed */
    part(t);
    close(pipe_fd[1]);
    char byte;
    unit_same_int("no writer of the pipe is left", read(pipe_fd[0], &byte, 1), 0);
    close(pipe_fd[0]);
    close(before);
}

static void a_full_channel_refuses_and_loses_nothing(void)
{
    struct ends t = joined();
    struct err e;
    unsigned sent = 0, got = 0;
    while (send_work(t.a, sent, 1024 * 1024, &e))
        sent++;
    unit_same_int("reason", e.reason, ERR_QUEUE_FULL);
    unit_same_int("sent before it was full", sent, 7);
    unit_same_int("the kernel's buffer is full", channel_flush(t.a), CHANNEL_MORE);
    for (int fd; got < sent; got++) {
        Message *m = next(t, &fd);
        CU_ASSERT_FATAL(m != NULL);
        unit_same_int("id", (long long)m->work->id, got);
        channel_done(m);
    }
    CU_ASSERT(send_work(t.a, sent, 1024 * 1024, &e));
    part(t);
}

static void too_many_descriptors_are_refused(void)
{
    struct ends t = joined();
    struct err e;
    for (unsigned i = 0; i < 64; i++)
        CU_ASSERT(send_attach(t.a, i, 0, &e));
    CU_ASSERT(!send_attach(t.a, 64, 0, &e));
    unit_same_int("reason", e.reason, ERR_QUEUE_FULL);
    part(t);
}

static void the_largest_message_and_one_more(void)
{
    struct ends t = joined();
    struct err e;
    int fd;
    size_t most = CHANNEL_MAX_MESSAGE - 13;      /* tags, lengths and the id */
    CU_ASSERT(send_work(t.a, 1, most, &e));
    CU_ASSERT(!send_work(t.a, 1, most + 2, &e));
    unit_same_int("reason", e.reason, ERR_INTERNAL);
    Message *m = next(t, &fd);
    CU_ASSERT_FATAL(m != NULL);
    unit_same_int("length", (long long)m->work->input.len, (long long)most);
    channel_done(m);
    part(t);
}

static const struct {
    const char *name, *bytes;
    size_t len;
} bad_case[] = {
    { "an empty frame", "\0\0\0\0", 4 },
    { "a frame too long", "\0\x40\0\1", 4 },
    { "the largest length", "\xff\xff\xff\xff", 4 },
    { "no protobuf", "\0\0\0\2\xff\xff", 6 },
    { "no message in it", "\0\0\0\2\x78\1", 6 },
    { "an unknown message", "\0\0\0\3\xa2\x1f\0", 7 },
    { "a string that is not UTF-8", "\0\0\0\5\x62\3\x12\1\xff", 9 },
    { "a descriptor announced that is not there", "\x80\0\0\2\x1a\0", 6 },
};

static void a_malformed_message_breaks_the_channel_for_good(void)
{
    for (size_t i = 0; i < sizeof bad_case / sizeof *bad_case; i++) {
        int pair[2], fd;
        bool bad;
        struct err e;
        if (!channel_pair(pair, &e))
            abort();
        struct channel *c = channel_new(pair[1]);
        if (write(pair[0], bad_case[i].bytes, bad_case[i].len) < 0 ||
            write(pair[0], "\0\0\0\2\x2a\0", 6) < 0)         /* a good one behind it */
            abort();
        channel_fill(c);
        CU_ASSERT(channel_next(c, &fd, &bad) == NULL);
        unit_same_int(bad_case[i].name, bad, true);
        channel_fill(c);
        CU_ASSERT(channel_next(c, &fd, &bad) == NULL);
        unit_same_int(bad_case[i].name, bad, true);
        channel_free(c);
        close(pair[0]);
    }
}

/* More than one descriptor in a packet, as no channel of ours sends it. */
static void a_bunch_of_descriptors_breaks_the_channel(void)
{
    int pair[2], fd, fds[8] = { 0 };
    bool bad;
    struct err e;
    if (!channel_pair(pair, &e))
        abort();
    struct channel *c = channel_new(pair[1]);
    union { struct cmsghdr head; char room[CMSG_SPACE(sizeof fds)]; } control = { 0 };
    struct iovec piece = { (char[]){ "\0\0\0\2\x2a" }, 6 };
    struct msghdr msg = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control,
                          .msg_controllen = sizeof control.room };
    control.head = (struct cmsghdr){ CMSG_LEN(sizeof fds), SOL_SOCKET, SCM_RIGHTS };
    memcpy(CMSG_DATA(&control.head), fds, sizeof fds);
    CU_ASSERT(sendmsg(pair[0], &msg, 0) == 6);
    channel_fill(c);
    CU_ASSERT(channel_next(c, &fd, &bad) == NULL && bad);
    channel_free(c);
    close(pair[0]);
}

static void byte_by_byte(void)
{
    static const char drain_and_switch[] = "\0\0\0\2\x2a\0" "\0\0\0\4\x12\2\x08\7";
    int pair[2], fd;
    unsigned n = 0;
    bool bad;
    struct err e;
    if (!channel_pair(pair, &e))
        abort();
    struct channel *c = channel_new(pair[1]);
    for (size_t i = 0; i < sizeof drain_and_switch - 1; i++) {
        if (write(pair[0], drain_and_switch + i, 1) != 1)
            abort();
        channel_fill(c);
        Message *m = channel_next(c, &fd, &bad);
        CU_ASSERT(!bad);
        if (m) {
            unit_same_int("at its last byte", (long long)i, n == 0 ? 5 : 13);
            unit_same_int("what", m->of_case, n == 0 ? OF(DRAIN) : OF(SWITCH));
            n++;
        }
        channel_done(m);
    }
    unit_same_int("both came", n, 2);
    close(pair[0]);
    unit_same_int("end of stream", channel_fill(c), CHANNEL_GONE);
    channel_free(c);
}

static void what_was_sent_before_the_end_is_read(void)
{
    struct ends t = joined();
    struct err e;
    int fd;
    bool bad;
    CU_ASSERT(send_work(t.a, 5, 10, &e));
    unit_same_int("flushed", channel_flush(t.a), CHANNEL_IDLE);
    channel_free(TAKE(t.a));
    unit_same_int("gone", channel_fill(t.b), CHANNEL_GONE);
    Message *m = channel_next(t.b, &fd, &bad);
    CU_ASSERT(m && m->work->id == 5);
    channel_done(m);
    CU_ASSERT(send_work(t.b, 6, 10, &e));
    unit_same_int("writing to nobody", channel_flush(t.b), CHANNEL_GONE);
    part(t);
}

static const struct unit_case cases[] = {
    { "a thousand works keep their order", a_thousand_works_keep_their_order },
    { "descriptors stay with their messages", descriptors_stay_with_their_messages },
    { "descriptors that nobody took are closed", descriptors_not_taken_are_closed },
    { "a full channel refuses and loses nothing", a_full_channel_refuses_and_loses_nothing },
    { "too many waiting descriptors are refused", too_many_descriptors_are_refused },
    { "the largest message, and one byte more", the_largest_message_and_one_more },
    { "a malformed message breaks the channel for good", a_malformed_message_breaks_the_channel_for_good },
    { "a bunch of descriptors breaks the channel", a_bunch_of_descriptors_breaks_the_channel },
    { "byte by byte", byte_by_byte },
    { "what was sent before the end is read", what_was_sent_before_the_end_is_read },
};
UNIT_MAIN(cases)
