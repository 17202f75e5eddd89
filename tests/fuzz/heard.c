#include "tests/fuzz/heard.h"

#include "proto/frame.h"
#include "tests/fuzz/put_field.h"

#include <sys/socket.h>

#define ROOM (1 << 20)
#define MAX_LEN 100000u

void heard_begin(struct heard *h)
{
    int ends[2], room = ROOM;
    struct err e;

    MUST(channel_pair(ends, &e));
    for (int i = 0; i < 2; i++)
        setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    *h = (struct heard){ .broker = channel_new(ends[0]), .role = channel_new(ends[1]) };
    MUST(h->broker && h->role);
}

void heard_end(struct heard *h)
{
    channel_free(h->broker);
    channel_free(h->role);
}

bool heard_put(int fd, unsigned field, const uint8_t *packed, size_t len)
{
    static uint8_t bytes[FRAME_HEADER_LEN + 16 + MAX_LEN];
    size_t n = FRAME_HEADER_LEN;

    MUST(len <= MAX_LEN);
    n += put_field(bytes + n, field, packed, len);
    frame_header(bytes, n - FRAME_HEADER_LEN);
    return send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n;
}

Signet__Role__Message *heard_say(struct heard *h, unsigned field, const uint8_t *packed, size_t len)
{
    bool bad = false;
    int fd;

    MUST(heard_put(channel_fd(h->broker), field, packed, len));
    MUST(channel_fill(h->role) == CHANNEL_IDLE);
    Signet__Role__Message *m = channel_next(h->role, &fd, &bad);
    MUST(fd < 0 && !m == bad);
    h->n = 0;
    h->id = 0;
    return m;
}

void heard_answer(void *ctx, const Signet__Role__Message *m)
{
    struct heard *h = ctx;
    bool bad = false;
    struct err e;
    int fd;

    MUST(channel_send(h->role, m, -1, &e) && channel_flush(h->role) == CHANNEL_IDLE);
    MUST(channel_fill(h->broker) == CHANNEL_IDLE);
    Signet__Role__Message *read = channel_next(h->broker, &fd, &bad);
    MUST(read && !bad && read->of_case == m->of_case);
    if (m->of_case != SIGNET__ROLE__MESSAGE__OF_SIGNER_STATE) {
        h->n++;
        h->id = channel_answers(read);
    }
    channel_done(read);
}
