/*
 * supervisor_says: what the supervisor tells the broker while a caller asks: the first byte chooses what is asked, each part
 * after it is a message. The broker ends itself, or the caller has one answer, and no wrong signature.
 */
#include "proto/cleanup.h"
#include "tests/fuzz/parts.h"
#include "tests/fuzz/usual.h"
#include "tests/fuzz/whole.h"

#include <sys/socket.h>
#include <unistd.h>

#define WITH_FD 0x80                 /* of a choice: a descriptor comes along with an Attach */
#define LEAVES 0x40                  /* and whoever has its other end has gone */
#define ATTACH 3
#define MAX_LEN 65536u
#define MAX_HELD 64u
#define GET_STATUS 14

static const uint8_t fields[] = { 1, 2, ATTACH, 4, 5, 15, 12 };

/* The other ends of what the broker was given. */
struct held { int fd[MAX_HELD]; size_t n; };

static bool attach(const struct part *p, struct held *held)
{
    Signet__Role__Attach *a = signet__role__attach__unpack(NULL, p->len, p->bytes);
    int ends[2];

    if (!a)
        return false;
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    whole_attach(a, ends[0]);
    close(ends[0]);
    if (p->choice & LEAVES || held->n == MAX_HELD)
        close(ends[1]);
    else
        held->fd[held->n++] = ends[1];
    signet__role__attach__free_unpacked(a, NULL);
    return true;
}

static void tell(const struct part *p, struct held *held)
{
    uint8_t field = fields[(p->choice & 0x3F) % sizeof fields];

    if (field != ATTACH || !(p->choice & WITH_FD) || !attach(p, held))
        whole_say(WHOLE_SUPERVISOR, field, p->bytes, p->len);
    whole_step();
}

static void check(const Signet__V1__Reply *r)
{
    MUST(r || !whole_runs());
    if (r && r->result_case == SIGNET__V1__REPLY__RESULT_SIGN)
        MUST(whole_verifies(r->sign->token));
}

static void ask_status(int fd)
{
    whole_ask(fd, 3, GET_STATUS, NULL, 0);
    Signet__V1__Reply *r = whole_reply(fd);
    if (r)
        signet__v1__reply__free_unpacked(r, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    struct held held = { .n = 0 };
    struct usual ask;
    struct part p;

    if (len < 1 || len > MAX_LEN)
        return 0;
    struct parts parts = { in + 1, len - 1 };
    whole_begin();
    int fd = whole_connect(true);
    if (!usual_make(in[0], fd, &ask))
        usual_make(0, fd, &ask);
    whole_ask(fd, 2, ask.field, ask.packed, ask.len);
    while (whole_runs() && parts_next(&parts, &p))
        tell(&p, &held);
    Signet__V1__Reply *r = whole_reply(fd);
    check(r);
    if (r)
        signet__v1__reply__free_unpacked(r, NULL);
    if (whole_runs())
        ask_status(fd);
    close(fd);
    for (size_t i = 0; i < held.n; i++)
        close(held.fd[i]);
    whole_destroy();                 /* it may have another configuration now */
    return 0;
}
