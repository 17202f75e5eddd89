/*
 * roles: a whole signer, verifier or publisher, as the first byte says: each part after it is what the supervisor tells
 * it, or a broker that was attached. It ends by itself, or with its supervisor, and with nobody else; each
 * configuration has its verdict; of the descriptors that it was given none is left open.
 */
#include "daemon/base/log.h"
#include "daemon/base/role.h"
#include "daemon/publisher/publisher.h"
#include "daemon/signer/signer.h"
#include "daemon/verifier/verifier.h"
#include "tests/fuzz/heard.h"
#include "tests/fuzz/parts.h"

#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

#define BROKER 0x80                  /* of a choice: who was attached last says it, whoever that is */
#define WITH_FD 0x40                 /* a descriptor comes along with an Attach */
#define A_PIN 0x20                   /* from which a PIN can be read, and its end */
#define MAX_LEN 65536u
#define MAX_GIVEN 32u
#define NOBODYS 10                   /* descriptors from here on */
#define END_TURNS 10                 /* of the loop, until it has seen that there is no supervisor any more */

static const uint8_t fields[] = { OF(CONFIG), OF(SWITCH), OF(ATTACH), OF(DETACH), OF(DRAIN), OF(RELOAD_DONE),
                                  OF(SNAPSHOT) };

static int run_signer(void) { return signer_main(1); }
static int run_second_token(void) { return signer_main(ROLE_APART + 1); }
static int run_verifier(void) { return verifier_main(1); }
static int (*const role[])(void) = { run_signer, run_second_token, run_verifier, publisher_main };

static struct {
    struct parts parts;
    struct channel *supervisor;          /* its end; NULL: it has gone */
    struct channel *given[MAX_GIVEN];    /* the other ends of what the role was given */
    size_t n_given;
    bool signs, publishes;
    bool due;                            /* a verdict, on the configuration of this generation */
    uint32_t generation;
} t;

bool __wrap_role_begin(enum role_kind kind, unsigned number, struct err *e);
bool __wrap_role_descriptors(size_t n, struct err *e);
int __real_poll(struct pollfd *on, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *on, nfds_t n, int timeout);
int __wrap_event_base_dispatch(struct event_base *base);

/* --- what it says ------------------------------------------------------------------------------------ */

static void hear_verdict(uint32_t generation)
{
    MUST(t.due && generation == t.generation);
    t.due = false;
}

static void hear_as_supervisor(const Message *m)
{
    switch (m->of_case) {
    case OF(READY):        hear_verdict(m->ready->generation); break;
    case OF(REFUSED):      hear_verdict(m->refused->generation); MUST(*m->refused->text); break;
    case OF(SIGNER_STATE): MUST(t.signs); break;
    default:               MUST(!"a message for a supervisor");
    }
}

static void hear(struct channel *c)
{
    bool bad = false;
    Message *m;
    int fd;

    channel_fill(c);
    while ((m = channel_next(c, &fd, &bad))) {
        MUST(fd < 0);
        if (c == t.supervisor)
            hear_as_supervisor(m);
        else
            MUST(!t.publishes);
        channel_done(m);
    }
    MUST(!bad);
}

static void hear_all(void)
{
    hear(t.supervisor);
    for (size_t i = 0; i < t.n_given; i++)
        hear(t.given[i]);
}

/* --- what it is told --------------------------------------------------------------------------------- */

static bool attach(const struct part *p)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    struct err e;
    int ends[2];

    m.of_case = OF(ATTACH);
    m.attach = t.n_given < MAX_GIVEN ? signet__role__attach__unpack(NULL, p->len, p->bytes) : NULL;
    if (!m.attach)
        return false;
    MUST(channel_pair(ends, &e));
    MUST(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);      /* a file to read a PIN from never waits */
    MUST(channel_send(t.supervisor, &m, ends[1], &e) && channel_flush(t.supervisor) == CHANNEL_IDLE);
    close(ends[1]);
    if (p->choice & A_PIN)
        MUST(send(ends[0], "1234\n", 5, 0) == 5 && shutdown(ends[0], SHUT_WR) == 0);
    t.given[t.n_given] = channel_new(ends[0]);
    MUST(t.given[t.n_given++]);
    signet__role__attach__free_unpacked(m.attach, NULL);
    return true;
}

static void expect_verdict(const struct part *p)
{
    Signet__Role__Config *c = signet__role__config__unpack(NULL, p->len, p->bytes);

    t.due = c;
    t.generation = c ? c->generation : 0;
    if (c)
        signet__role__config__free_unpacked(c, NULL);
}

static void tell(const struct part *p)
{
    uint8_t field = fields[(p->choice & 0x1F) % sizeof fields];

    if (p->choice & BROKER) {
        if (t.n_given)
            heard_put(channel_fd(t.given[t.n_given - 1]), p->choice % 64, p->bytes, p->len);
        return;
    }
    if (field == OF(CONFIG))
        expect_verdict(p);
    if (field != OF(ATTACH) || !(p->choice & WITH_FD) || !attach(p))
        MUST(heard_put(channel_fd(t.supervisor), field, p->bytes, p->len));
}

/* It has done all that there was to do. */
static void go_on(void)
{
    struct part p;

    hear_all();
    MUST(!t.due);
    if (parts_next(&t.parts, &p))
        tell(&p);
    else
        channel_free(TAKE(t.supervisor));
}

/* --- what a role asks of the system ------------------------------------------------------------------ */

bool __wrap_role_begin(enum role_kind kind, unsigned number, struct err *e)
{
    log_open("role", (enum log_level)0);
    return true;
}

bool __wrap_role_descriptors(size_t n, struct err *e)
{
    return true;
}

int __wrap_poll(struct pollfd *on, nfds_t n, int timeout)
{
    int ready;

    while ((ready = __real_poll(on, n, 0)) == 0 && timeout != 0) {
        MUST(t.supervisor);
        go_on();
    }
    return ready;
}

int __wrap_event_base_dispatch(struct event_base *base)
{
    int left = END_TURNS;

    do {
        if (t.supervisor)
            go_on();
        else
            MUST(left-- > 0);
        MUST(event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK) >= 0);
    } while (!event_base_got_break(base));
    return 0;
}

/* --- its life ---------------------------------------------------------------------------------------- */

/* With the channel where a role expects it. Who had that descriptor has it again. */
static int run(int (*main_of)(void))
{
    int ends[2], kept;
    struct err e;

    MUST(fcntl(ROLE_CHANNEL_FD, F_GETFD) >= 0 || dup2(STDERR_FILENO, ROLE_CHANNEL_FD) >= 0);
    kept = fcntl(ROLE_CHANNEL_FD, F_DUPFD_CLOEXEC, NOBODYS);
    MUST(kept >= 0 && channel_pair(ends, &e));
    t.supervisor = channel_new(ends[0]);
    MUST(t.supervisor && dup2(ends[1], ROLE_CHANNEL_FD) >= 0);
    close(ends[1]);
    int status = main_of();
    MUST(fcntl(ROLE_CHANNEL_FD, F_GETFD) < 0);
    MUST(dup2(kept, ROLE_CHANNEL_FD) >= 0);
    close(kept);
    return status;
}

static void check_closed(struct channel *c)
{
    enum channel_io io;

    while ((io = channel_fill(c)) == CHANNEL_MORE)
        ;
    MUST(io == CHANNEL_GONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    if (len < 1 || len > MAX_LEN)
        return 0;
    size_t which = in[0] % ARRAY_LEN(role);
    memset(&t, 0, sizeof t);
    t.parts = (struct parts){ in + 1, len - 1 };
    t.signs = which < 2;
    t.publishes = which == 3;
    int status = run(role[which]);
    MUST(status == (t.supervisor ? 1 : 0));
    channel_free(t.supervisor);
    for (size_t i = 0; i < t.n_given; i++) {
        check_closed(t.given[i]);
        channel_free(t.given[i]);
    }
    return 0;
}
