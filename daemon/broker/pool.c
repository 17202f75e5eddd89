#include "daemon/broker/pool.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <stdio.h>
#include <string.h>

#define FULL_RETRY_MS 50u        /* a caller whose lane is full may come back then */
#define MAX_RETRY_MS 1000u       /* who is told to wait for longer waits for nothing: the token may be quick again */

void pool_init(struct pool *p, struct event_base *base, enum account_lane lane, const char *name,
               const struct pool_hooks *hooks)
{
    *p = (struct pool){ .base = base, .lane = lane, .name = name, .hooks = *hooks, .next_id = 1, .idle_since = clock_now() };
}

unsigned peer_called(const struct peer *peer)
{
    return peer->pool->others + peer->number;
}

/* --- what a request has cost ----------------------------------------------------------------- */

static bool is_condemned(const struct job *j)
{
    return j->toll && j->toll->n_lost >= TOLL_MAX;
}

static bool is_suspect(const struct job *j)
{
    return j->n_lost > 0 || (j->toll && j->toll->n_lost > 0);
}

static bool holds(const struct peer *peer, const struct toll *t)
{
    for (size_t i = 0; i < peer->n_given; i++)
        if (peer->given[i]->toll == t)
            return true;
    return false;
}

static bool holds_others(const struct peer *peer, const struct toll *t)
{
    for (size_t i = 0; i < peer->n_given; i++)
        if (peer->given[i]->toll != t)
            return true;
    return false;
}

/* It is with as many as it may lose. */
static bool is_spread(const struct toll *t)
{
    unsigned n = t->n_lost;

    for (size_t i = 0; i < TOLL_MAX; i++)
        n += t->at[i] != NULL;
    return n >= TOLL_MAX;
}

/* Another peer than this one has jobs of it, beside others'. */
static bool is_exposed_elsewhere(const struct toll *t, const struct peer *peer)
{
    for (size_t i = 0; i < TOLL_MAX; i++)
        if (t->at[i] && t->at[i] != peer && holds_others(t->at[i], t))
            return true;
    return false;
}

/* Neither j's request nor the one that has the peer for itself would be beside others' in two. */
static bool may_join(const struct peer *peer, const struct job *j)
{
    const struct toll *here = peer->n_given ? peer->given[0]->toll : NULL;

    if (j->toll && !holds(peer, j->toll) && is_spread(j->toll))
        return false;
    if (j->toll && is_exposed_elsewhere(j->toll, peer) && holds_others(peer, j->toll))
        return false;
    return !here || here == j->toll || !is_exposed_elsewhere(here, peer) || holds_others(peer, here);
}

static void enter_peer(struct peer *peer, struct job *j)
{
    struct toll *t = j->toll;

    if (t && !holds(peer, t))
        *(t->at[0] ? &t->at[1] : &t->at[0]) = peer;
    peer->given[peer->n_given++] = j;
}

/* j is not among those it was given any more. True: it was the last of its request. */
static bool leave_peer(const struct peer *peer, const struct job *j)
{
    if (!j->toll || holds(peer, j->toll))
        return false;
    for (size_t i = 0; i < TOLL_MAX; i++)
        if (j->toll->at[i] == peer)
            j->toll->at[i] = NULL;
    return true;
}

/* A suspect was answered: if it was the last, the peer that was lost was so for another's sake, or for none. */
static void clear_suspect(const struct job *j)
{
    struct toll *t = j->toll;

    if (t && j->n_lost && --t->n_suspects == 0 && t->n_lost < TOLL_MAX)
        t->n_lost = 0;
}

/* --- a job's end --------------------------------------------------------------------------- */

static void finish(struct job *j, const Signet__Role__Message *answer, const struct err *e)
{
    j->account->n_jobs--;
    if (j->owner)
        j->done(j->owner, j, answer, e);
    else
        account_let_go(j->account, j->len);
    j->free(j);
}

static void fail(struct job *j, enum err_reason reason, const char *text)
{
    struct err e;

    err_set(&e, reason, "%s", text);
    finish(j, NULL, &e);
}

/* False. */
static bool set_condemned(struct err *e)
{
    return err_set(e, ERR_INTERNAL, "two processes of signetd ended or hung on this request; it is not tried again");
}

static void condemn(struct job *j)
{
    struct err e;

    set_condemned(&e);
    finish(j, NULL, &e);
}

static void wait_again(struct pool *p, struct job *j)
{
    queue_push_first(&p->queue, &j->account->lanes[p->lane], &j->item);
    j->waits_in = p;
}

static struct job *pop(struct pool *p, int64_t cost_us)
{
    struct job *j = (struct job *)queue_pop(&p->queue, cost_us);

    if (j)
        j->waits_in = NULL;
    return j;
}

void job_leave(struct job *j)
{
    struct pool *p = j->waits_in;

    j->owner = NULL;
    j->toll = NULL;
    account_hold(j->account, j->len);
    if (!p)
        return;
    queue_remove(&p->queue, &j->account->lanes[p->lane], &j->item);
    finish(j, NULL, NULL);
}

/* --- peers come and go ------------------------------------------------------------------------ */

static void not_ready(struct peer *peer)
{
    struct pool *p = peer->pool;

    peer->ready = false;
    if (p->idle_since == 0 && !pool_any(p)) {
        p->idle_since = clock_now();
        p->idle_ms = clock_mono_ms();
    }
}

static void close_peer(struct peer *peer)
{
    if (peer->on_read)
        event_free(TAKE(peer->on_read));
    if (peer->on_write)
        event_free(TAKE(peer->on_write));
    channel_free(TAKE(peer->channel));
    not_ready(peer);
}

/* What it had is given to others; last first, so that the order stays. */
static void give_on(struct pool *p, struct peer *peer, bool suspect)
{
    size_t n = peer->n_given;

    peer->relieved |= n > 0;
    while (peer->n_given > 0) {
        struct job *j = peer->given[--peer->n_given];
        bool last = leave_peer(peer, j);
        if (!suspect)
            continue;
        if (j->toll) {
            j->toll->n_lost += last;
            j->toll->n_suspects += j->n_lost == 0;
        }
        j->n_lost++;
    }
    while (n-- > 0) {
        struct job *j = peer->given[n];
        if (!j->owner)
            finish(j, NULL, NULL);
        else if (j->n_lost > 1 || is_condemned(j))
            condemn(j);
        else
            wait_again(p, j);
    }
}

static void lose(struct peer *peer, const char *why)
{
    if (!peer->channel)
        return;
    close_peer(peer);
    if (!peer->failed)                   /* else it is known what is wrong: this is what came of it */
        err_set(&peer->why, ERR_TOKEN_UNREACHABLE, "%s %u %s", peer->pool->name, peer_called(peer), why);
    give_on(peer->pool, peer, true);
}

void pool_detach(struct pool *p, unsigned number, const char *why)
{
    if (number >= 1 && number <= p->n_peers)
        lose(&p->peers[number - 1], why);
}

void pool_clear(struct pool *p)
{
    struct job *j;

    for (size_t k = 0; k < p->n_peers; k++)
        lose(&p->peers[k], "is not needed any more");
    while ((j = pop(p, 0)))
        fail(j, ERR_DRAINING, "signetd is ending");
}

void peer_ready(struct peer *peer)
{
    peer->ready = true;
    peer->pool->idle_since = peer->pool->idle_ms = 0;
    peer->failed = false;
    peer->at_since_ms = clock_mono_ms();
    peer->why = (struct err){ 0 };
}

void peer_failed(struct peer *peer, const struct err *why)
{
    not_ready(peer);
    peer->failed = true;
    peer->why = *why;
    give_on(peer->pool, peer, false);
}

void peer_busy(struct peer *peer, const struct err *why)
{
    not_ready(peer);
    peer->why = *why;
    give_on(peer->pool, peer, false);
}

static void hang(struct peer *peer, const char *what, bool suspect)
{
    struct pool *p = peer->pool;

    peer->hung = peer->failed = true;
    not_ready(peer);
    err_set(&peer->why, ERR_TOKEN_UNREACHABLE, "%s %u is given up: %s", p->name, peer_called(peer), what);
    p->hooks.hung(p->hooks.ctx, peer, what);
    give_on(p, peer, suspect);
}

void peer_hangs(struct peer *peer, const char *what)
{
    hang(peer, what, false);
}

void peer_tell(struct peer *peer, const Signet__Role__Message *m)
{
    struct err e;

    if (!peer->channel)
        return;
    if (channel_send(peer->channel, m, -1, &e)) {
        peer->dirty = true;
        return;
    }
    log_error("%s %u (pid %d): %s", peer->pool->name, peer_called(peer), (int)peer->pid, e.text);
    peer->pool->hooks.hung(peer->pool->hooks.ctx, peer, e.text);
    lose(peer, "does not read");
}

/* --- what peers say ------------------------------------------------------------------------------ */

/* What came at once: each took its part of the time, by what was expected. */
struct heard { int64_t now_us; size_t n; int64_t cost_us[POOL_DEPTH]; unsigned kinds[POOL_DEPTH]; };

static void take_answer(struct peer *peer, const Signet__Role__Message *m, uint64_t id, struct heard *h)
{
    for (size_t i = 0; i < peer->n_given; i++) {
        struct job *j = peer->given[i];
        if (j->id != id)
            continue;
        memmove(&peer->given[i], &peer->given[i + 1], (--peer->n_given - i) * sizeof *peer->given);
        leave_peer(peer, j);
        clear_suspect(j);
        peer->n_done++;
        h->kinds[h->n] = j->kind;
        h->cost_us[h->n++] = j->cost_us;
        j->peer = peer->number;
        j->answered_us = h->now_us;
        finish(j, m, NULL);
        return;
    }
    if (!peer->relieved)
        log_warning("%s %u (pid %d) answered work that it does not have", peer->pool->name, peer_called(peer),
                    (int)peer->pid);
}

static void learn(struct peer *peer, const struct heard *h)
{
    int64_t now_us = clock_mono_us(), took_us = now_us - peer->busy_since_us, expected_us = 0;
    bool priced = true;

    if (h->n == 0)
        return;
    peer->busy_since_us = now_us;
    peer->at_since_ms = now_us / 1000;
    for (size_t i = 0; i < h->n; i++) {
        expected_us += h->cost_us[i];
        priced &= h->kinds[i] != 0;
    }
    for (size_t i = 0; priced && i < h->n; i++) {
        int64_t *cost = &peer->pool->cost_us[h->kinds[i]], its = h->cost_us[i] * took_us / expected_us;
        *cost = *cost ? *cost + (its - *cost) / 4 : its;
        if (*cost < 1)
            *cost = 1;
    }
}

static void hear(struct peer *peer)
{
    enum channel_io io = channel_fill(peer->channel);
    Signet__Role__Message *m;
    struct heard heard = { .now_us = clock_mono_us() };
    bool bad = false;
    int got_fd;

    while (peer->channel && (m = channel_next(peer->channel, &got_fd, &bad)) != NULL) {
        uint64_t id = channel_answers(m);
        if (got_fd >= 0)
            close(got_fd);
        if (id)
            take_answer(peer, m, id, &heard);
        else
            peer->pool->hooks.message(peer->pool->hooks.ctx, peer, m);
        channel_done(m);
    }
    learn(peer, &heard);
    if (peer->channel && bad) {
        log_error("%s %u (pid %d) sent something malformed", peer->pool->name, peer_called(peer), (int)peer->pid);
        peer->pool->hooks.hung(peer->pool->hooks.ctx, peer, "it sent something malformed");
        lose(peer, "sent something malformed");
    } else if (peer->channel && io == CHANNEL_GONE) {
        lose(peer, "has ended");
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    hear(arg);
}

static void write_out(struct peer *peer)
{
    peer->dirty = false;
    switch (channel_flush(peer->channel)) {
    case CHANNEL_MORE: event_add(peer->on_write, NULL); break;
    case CHANNEL_GONE: lose(peer, "has ended"); break;
    case CHANNEL_IDLE: break;
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    write_out(arg);
}

bool pool_attach(struct pool *p, unsigned number, pid_t pid, uint32_t restarts, int fd, struct err *e)
{
    if (number < 1 || number > POOL_MAX_PEERS) {
        close(fd);
        return err_set(e, ERR_INTERNAL, "%s %u is more than there can be", p->name, p->others + number);
    }
    struct peer *peer = &p->peers[number - 1];
    lose(peer, "was replaced");
    /* What the one before could not do this one may not either: that is told until it says otherwise. */
    struct err why = peer->failed ? peer->why : (struct err){ 0 };
    *peer = (struct peer){ .pool = p, .number = number, .pid = pid, .restarts = restarts, .n_done = peer->n_done,
                           .wrong_before = p->next_id,
                           .failed = peer->failed, .why = why };
    peer->channel = channel_new(fd);
    if (!peer->channel)
        return err_set(e, ERR_NO_MEMORY, "no memory for a channel to %s %u", p->name, p->others + number);
    peer->on_read = event_new(p->base, channel_fd(peer->channel), EV_READ | EV_PERSIST, on_readable, peer);
    peer->on_write = event_new(p->base, channel_fd(peer->channel), EV_WRITE, on_writable, peer);
    if (!peer->on_read || !peer->on_write || event_add(peer->on_read, NULL) < 0) {
        close_peer(peer);
        return err_set(e, ERR_NO_MEMORY, "no memory for a channel to %s %u", p->name, p->others + number);
    }
    if (number > p->n_peers)
        p->n_peers = number;
    return true;
}

/* --- who serves ------------------------------------------------------------------------------------- */

const struct peer *pool_any(const struct pool *p)
{
    for (size_t i = 0; i < p->n_peers; i++)
        if (p->peers[i].ready && !p->peers[i].hung)
            return &p->peers[i];
    return NULL;
}

bool pool_gave_up(const struct pool *p)
{
    bool said = false;

    for (size_t i = 0; i < p->n_peers; i++)
        said |= p->peers[i].why.reason != ERR_NONE;
    return said && !pool_any(p);
}

bool pool_outage(struct err *e, const char *what, int64_t since, const struct err *why)
{
    char at[CLOCK_TEXT];

    *e = *why;
    if (err_code(e->reason) != CODE_UNAVAILABLE)
        e->reason = ERR_TOKEN_UNREACHABLE;
    return err_wrap(e, "%s since %s", what, clock_write(at, since));
}

bool pool_serves(const struct pool *p, struct err *e)
{
    char what[40];

    if (pool_any(p))
        return true;
    for (size_t i = 0; i < p->n_peers; i++)
        if (p->peers[i].why.reason != ERR_NONE) {
            snprintf(what, sizeof what, "no %s works", p->name);
            return pool_outage(e, what, p->idle_since, &p->peers[i].why);
        }
    err_set(e, ERR_STARTING, "signetd is starting: no %s is ready yet", p->name);
    e->retry_after_ms = 200;
    return false;
}

/* A PIN that was refused is tried by nobody again. */
static bool is_hopeless(const struct pool *p)
{
    for (size_t i = 0; i < p->n_peers; i++)
        if (p->peers[i].failed && (p->peers[i].why.reason == ERR_PIN_WRONG || p->peers[i].why.reason == ERR_PIN_LOCKED))
            return true;
    return false;
}

/* Whether work may wait here: for a peer with room, or for the one that comes in place of the last. */
static bool may_wait(const struct pool *p, int64_t now_ms, struct err *e)
{
    return pool_serves(p, e) || (p->idle_ms && now_ms - p->idle_ms < POOL_PATIENCE_MS && !is_hopeless(p));
}

static int64_t cost_of(const struct pool *p, const struct job *j)
{
    if (j->kind == 0)
        return 1;
    return p->cost_us[j->kind] ? p->cost_us[j->kind] : POOL_AHEAD_US / POOL_FIRST;
}

/* Until it is done with what it has, as it was expected. */
static int64_t ahead_us(const struct peer *peer)
{
    int64_t us = 0;

    for (size_t i = 0; i < peer->n_given; i++)
        us += peer->given[i]->cost_us;
    return us;
}

/* A listing or a new key, which may take longer than j may: nothing waits behind it where nobody sees it. */
static bool is_at_something_long(const struct peer *peer, const struct job *j)
{
    for (size_t i = 0; i < peer->n_given; i++)
        if (peer->given[i]->timeout_ms > j->timeout_ms)
            return true;
    return false;
}

static bool has_room(const struct peer *peer, const struct job *j)
{
    if (!peer->ready || peer->hung || (peer->n_given && (is_suspect(j) || is_suspect(peer->given[0]))))
        return false;
    if (!may_join(peer, j) || is_at_something_long(peer, j))
        return false;
    if (peer->n_given && channel_waiting(peer->channel) + j->len > POOL_AHEAD_BYTES)
        return false;
    return peer->n_given == 0 ||
           (peer->n_given < POOL_DEPTH && ahead_us(peer) + cost_of(peer->pool, j) <= POOL_AHEAD_US);
}

/* The least busy with room; another than j->not_peer where there is one. */
static struct peer *roomy(struct pool *p, const struct job *j)
{
    struct peer *best = NULL;

    for (size_t i = 0; i < p->n_peers; i++) {
        struct peer *peer = &p->peers[i];
        if (!has_room(peer, j))
            continue;
        if (!best || (best->number == j->not_peer) > (peer->number == j->not_peer) ||
            ((best->number == j->not_peer) == (peer->number == j->not_peer) && ahead_us(peer) < ahead_us(best)))
            best = peer;
    }
    return best;
}

/* Of its own: as many wait as may, or as are done until its deadline. The last quarter of that is for being done. */
static bool lane_has_room(const struct pool *p, const struct job *j, int64_t now_ms, struct err *e)
{
    const struct lane *lane = &j->account->lanes[p->lane];
    int64_t latest = j->deadline_ms - (j->deadline_ms - now_ms) / 4;
    int64_t turn = pace_foretell(&j->account->paces[p->lane], lane->n, now_ms);

    if (p->max_queue && lane->n >= p->max_queue) {
        err_set(e, ERR_QUEUE_FULL, "uid %u has %zu requests waiting, the most that it may have",
                (unsigned)j->account->uid, lane->n);
        e->retry_after_ms = FULL_RETRY_MS;
        return false;
    }
    if (turn <= latest)
        return true;
    err_set(e, ERR_QUEUE_FULL, "uid %u has %zu requests waiting: as things go, one more would not be done within its deadline",
            (unsigned)j->account->uid, lane->n);
    e->retry_after_ms = turn - latest < MAX_RETRY_MS ? FULL_RETRY_MS + (uint32_t)(turn - latest) : MAX_RETRY_MS;
    return false;
}

bool pool_submit(struct pool *p, struct job *j, struct err *e)
{
    struct lane *lane = &j->account->lanes[p->lane];
    int64_t now_us = clock_mono_us(), now_ms = now_us / 1000;

    if (lane->n == 0)
        j->account->paces[p->lane] = (struct pace){ 0 };
    bool may = is_condemned(j) ? set_condemned(e) : lane_has_room(p, j, now_ms, e) && may_wait(p, now_ms, e);
    if (!may) {
        j->free(j);
        return false;
    }
    j->id = p->next_id++;
    j->queued_us = now_us;
    j->account->n_jobs++;
    j->waits_in = p;
    queue_push(&p->queue, lane, &j->item);
    return true;
}

static void give(struct peer *peer, struct job *j, int64_t now_ms)
{
    struct err e;

    if (!j->send(j, peer, peer->channel, &e)) {
        finish(j, NULL, &e);
        return;
    }
    if (peer->n_given == 0) {
        peer->at_since_ms = now_ms;
        peer->busy_since_us = clock_mono_us();
    }
    j->given_us = clock_mono_us();
    enter_peer(peer, j);
    peer->dirty = true;
    pace_served(&j->account->paces[peer->pool->lane], now_ms);
}

void pool_flush(struct pool *p, int64_t now_ms)
{
    struct queue_item *i;

    while ((i = queue_peek(&p->queue)) != NULL) {
        struct job *j = (struct job *)i;
        bool wanted = now_ms < j->deadline_ms && !is_condemned(j);
        struct peer *peer = wanted ? roomy(p, j) : NULL;
        struct err e;
        if (!peer && wanted && j->toll && is_spread(j->toll)) {
            queue_pass(&p->queue); /* others may find room */
            continue;
        }
        if (!peer && wanted && may_wait(p, now_ms, &e))
            break;                 /* all are busy, or about to come */
        j->cost_us = cost_of(p, j);
        pop(p, peer ? j->cost_us : 0);
        if (peer)
            give(peer, j, now_ms);
        else if (is_condemned(j))
            condemn(j);
        else if (now_ms >= j->deadline_ms)
            fail(j, ERR_DEADLINE_EXCEEDED, "its deadline passed while it waited in the queue");
        else
            finish(j, NULL, &e);
    }
    queue_restore(&p->queue);
    for (size_t k = 0; k < p->n_peers; k++)
        if (p->peers[k].dirty && p->peers[k].channel)
            write_out(&p->peers[k]);
}

static bool is_overdue(const struct peer *peer, int64_t now_ms)
{
    return peer->channel && !peer->hung && peer->n_given && now_ms - peer->at_since_ms > peer->given[0]->timeout_ms;
}

void pool_tick(struct pool *p, int64_t now_ms)
{
    for (size_t i = 0; i < p->n_peers; i++) {
        struct peer *peer = &p->peers[i];
        /* We may be the late ones: what it has answered already counts. */
        if (is_overdue(peer, now_ms))
            hear(peer);
        if (!is_overdue(peer, now_ms))
            continue;
        char text[120];
        snprintf(text, sizeof text, "no answer for %lld ms, more than %u", (long long)(now_ms - peer->at_since_ms),
                 peer->given[0]->timeout_ms);
        hang(peer, text, true);
    }
}
