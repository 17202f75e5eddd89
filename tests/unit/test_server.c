#include "daemon/publisher/server.h"
#include "proto/cleanup.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MIB (1024u * 1024)
#define MANY 200                         /* requests in one head's room */

struct stage {
    struct event_base *base;
    struct server *server;
    struct sockaddr_un at;
    socklen_t at_len;
    char order[2 * MANY + 2];            /* the first letter of each path, as they were answered */
    size_t n;
};

/* "/a": two bytes; "/a7": 7 MiB. */
static void answer(void *ctx, const struct http_request *rq, struct buf *out)
{
    struct stage *s = ctx;
    size_t len = rq->path[2] ? (size_t)atoi(rq->path + 2) * MIB : 2;

    if (s->n < sizeof s->order)
        s->order[s->n++] = rq->path[1];
    CU_ASSERT_FATAL(buf_reserve(out, len));
    memset(out->data, rq->path[1], len);
    out->len = len;
}

static void stage_init(struct stage *s)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *s = (struct stage){ .base = event_base_new(), .at.sun_family = AF_UNIX, .at_len = sizeof s->at };
    /* A name that the kernel chooses. */
    CU_ASSERT_FATAL(bind(fd, (struct sockaddr *)&s->at, sizeof s->at.sun_family) == 0 && listen(fd, 100) == 0);
    CU_ASSERT_FATAL(getsockname(fd, (struct sockaddr *)&s->at, &s->at_len) == 0);
    s->server = server_new(s->base, fd, answer, s);
    CU_ASSERT_FATAL(s->server != NULL);
}

static void stage_clear(struct stage *s)
{
    server_free(s->server);
    event_base_free(s->base);
}

static void pass(struct stage *s)
{
    event_base_loop(s->base, EVLOOP_NONBLOCK);
}

static int dial(struct stage *s)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CU_ASSERT_FATAL(fd >= 0 && connect(fd, (struct sockaddr *)&s->at, s->at_len) == 0);
    pass(s);
    return fd;
}

static void ask(int fd, const char *path, int n)
{
    CLEANUP(buf_clear) struct buf b;

    buf_init(&b, HTTP_MAX_HEAD);
    for (int i = 0; i < n; i++)
        buf_printf(&b, "GET %s HTTP/1.1\r\nHost:\r\n\r\n", path);
    unit_same_int("asked", send(fd, b.data, b.len, MSG_NOSIGNAL), (long long)b.len);
}

/* As many of `want` bytes as come before it is closed, or before nothing comes any more. */
static size_t get(struct stage *s, int fd, size_t want, bool *out_closed)
{
    static uint8_t bytes[MIB];
    size_t got = 0;

    *out_closed = false;
    for (int idle = 0; got < want && idle < 10; idle++) {
        ssize_t n = recv(fd, bytes, want - got < sizeof bytes ? want - got : sizeof bytes, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            *out_closed = true;
            break;
        }
        if (n > 0) {
            got += (size_t)n;
            idle = 0;
        }
        pass(s);
    }
    return got;
}

static bool is_closed(struct stage *s, int fd)
{
    bool closed;

    get(s, fd, SIZE_MAX, &closed);
    return closed;
}

static bool is_served(struct stage *s, int fd)
{
    bool closed;

    ask(fd, "/z", 1);
    return get(s, fd, 2, &closed) == 2;
}

static void who_asks_for_much_at_once_lets_others_have_their_turn(void)
{
    struct stage s;
    bool closed;

    stage_init(&s);
    /* Whichever of them the loop sees first, there is one before `b`. */
    int a = dial(&s), b = dial(&s), c = dial(&s);
    ask(a, "/a", MANY);
    ask(b, "/b", 1);
    ask(c, "/c", MANY);
    unit_same_int("it has all", (long long)get(&s, a, 2 * MANY, &closed), 2 * MANY);
    unit_same_int("so has the other", (long long)get(&s, c, 2 * MANY, &closed), 2 * MANY);
    unit_same_int("all are answered", (long long)s.n, 2 * MANY + 1);
    char *at = memchr(s.order, 'b', s.n);
    CU_ASSERT(at && at - s.order < MANY / 4);
    unit_same_int("and go on", is_served(&s, a), 1);
    close(a);
    close(b);
    close(c);
    stage_clear(&s);
}

/* It has had replies to read since before anyone else came, and reads as little as it likes of them. */
static void who_does_not_read_makes_room_before_who_asks_for_nothing(void)
{
    struct rlimit was, more;
    int others[SERVER_MAX_CONNECTIONS - 1];
    struct stage s;
    bool closed;

    CU_ASSERT_FATAL(getrlimit(RLIMIT_NOFILE, &was) == 0);
    more = was;
    if (more.rlim_cur < 4 * SERVER_MAX_CONNECTIONS)
        more.rlim_cur = 4 * SERVER_MAX_CONNECTIONS;
    CU_ASSERT_FATAL(setrlimit(RLIMIT_NOFILE, &more) == 0);
    stage_init(&s);
    int hog = dial(&s);
    ask(hog, "/h1", MANY);
    pass(&s);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        others[i] = dial(&s);
    unit_same_int("it reads a little", (long long)get(&s, hog, 3 * MIB / 2, &closed), 3 * MIB / 2);
    int newcomer = dial(&s);
    unit_same_int("who comes is served", is_served(&s, newcomer), 1);
    unit_same_int("it has made room", is_closed(&s, hog), 1);
    unit_same_int("the first of the others has not", is_served(&s, others[0]), 1);
    int another = dial(&s);
    unit_same_int("then who has been idle longest does", is_closed(&s, others[1]), 1);
    unit_same_int("and not who has just asked", is_served(&s, others[0]), 1);
    close(another);
    close(newcomer);
    close(hog);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        close(others[i]);
    stage_clear(&s);
    setrlimit(RLIMIT_NOFILE, &was);
}

static void where_too_much_waits_who_has_most_of_it_is_dropped(void)
{
    struct stage s;
    bool closed;

    stage_init(&s);
    int most = dial(&s), less = dial(&s), same = dial(&s), newcomer = dial(&s);
    ask(most, "/m12", 1);
    pass(&s);
    ask(less, "/l7", 1);
    ask(same, "/s7", 1);
    pass(&s);
    ask(newcomer, "/n8", 1);
    pass(&s);
    unit_same_int("who has most", is_closed(&s, most), 1);
    unit_same_int("not who has less", (long long)get(&s, less, 7 * MIB, &closed), 7 * MIB);
    unit_same_int("nor another", (long long)get(&s, same, 7 * MIB, &closed), 7 * MIB);
    unit_same_int("nor who came last", (long long)get(&s, newcomer, 8 * MIB, &closed), 8 * MIB);
    close(most);
    close(less);
    close(same);
    close(newcomer);
    stage_clear(&s);
}

static const struct unit_case cases[] = {
    { "who asks for much at once lets others have their turn", who_asks_for_much_at_once_lets_others_have_their_turn },
    { "who does not read makes room before who asks for nothing", who_does_not_read_makes_room_before_who_asks_for_nothing },
    { "where too much waits, who has most of it is dropped", where_too_much_waits_who_has_most_of_it_is_dropped },
};

UNIT_MAIN(cases)
