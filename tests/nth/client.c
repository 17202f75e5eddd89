/*
 * client SOCKET ADMIN_SOCKET: every allocation and every write of libsignet's
 * calls fails once in turn, against the daemon there: each call ends once, with
 * a right answer or an error that says why, a token is never called bad for it,
 * nothing leaks, and the same handle goes on.
 *
 * SIGNET_FULL=1: all of them; else some of each call, the same each time.
 */
#include "client/signet.h"
#include "proto/cleanup.h"
#include "proto/err.h"
#include "tests/nth/nth.h"
#include "tests/support/unit.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOME 12u                     /* of a call, in the default run */
#define PATIENCE_MS 60000u
#define PAUSE_MS 50u
#define N_BATCH 3u

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static const char *path, *admin_path;
static char token[1024], bad_token[1024];
static struct signet_verifier *verifier;
static const struct signet_sign_request asks[N_BATCH] = {
    { .profile = "web", .subject = "0" }, { .profile = "web", .subject = "1", .claims = "{\"a\":1}", .claims_len = 7 },
    { .profile = "web", .subject = "2", .audiences = &(const char *){ "shop" }, .n_audiences = 1 },
};

/* What calls are made on; one of them is open. */
struct handle {
    struct signet *s;
    struct signet_async *a;
    struct signet_local *l;
    unsigned n_ends;                 /* of an async call */
    bool ok;
    struct { const char *subject; char token[1024]; } got[N_BATCH];      /* to be judged when nothing fails */
    unsigned n_got;
    struct signet_error why;
};

/* --- answers ------------------------------------------------------------------------------------- */

static void keep(struct handle *h, const struct signet_token *t, const char *subject)
{
    CU_ASSERT_FATAL(h->n_got < N_BATCH && strlen(t->token) < sizeof h->got[0].token);
    strcpy(h->got[h->n_got].token, t->token);
    h->got[h->n_got++].subject = subject;
}

static void judge(struct handle *h)
{
    for (; h->n_got > 0; h->n_got--) {
        const char *got = h->got[h->n_got - 1].token;
        struct signet_error e = { .text = "" };
        struct signet_verified *v = signet_verifier_check(verifier, got, strlen(got), NULL, &e);
        char want[32];
        snprintf(want, sizeof want, "\"sub\":\"%s\"", h->got[h->n_got - 1].subject);
        unit_same_str("it is good", e.text, "");
        CU_ASSERT(v && strstr(v->payload, want));
        signet_verified_free(v);
    }
}

static bool take_token(struct handle *h, struct signet_token *t)
{
    if (t)
        keep(h, t, "0");
    signet_token_free(t);
    return t;
}

/* Each item: a token, or why there is none. */
static bool take_batch(struct handle *h, struct signet_batch *b)
{
    bool all = b && b->n == N_BATCH;

    CU_ASSERT(!b || all);
    for (size_t i = 0; b && i < N_BATCH; i++) {
        if (b->items[i].token)
            keep(h, b->items[i].token, asks[i].subject);
        else
            h->why = b->items[i].error;
        all = all && b->items[i].token;
    }
    signet_batch_free(b);
    return all;
}

static bool right_verified(struct signet_verified *v)
{
    CU_ASSERT(!v || strstr(v->payload, "\"sub\":\"0\""));
    signet_verified_free(v);
    return v;
}

/* --- calls: true: answered, and rightly ------------------------------------------------------------ */

static bool sign(struct handle *h)
{
    return take_token(h, signet_sign(h->s, &asks[0], &h->why));
}

static bool sign_batch(struct handle *h)
{
    return take_batch(h, signet_sign_batch(h->s, asks, N_BATCH, &h->why));
}

static bool preview(struct handle *h)
{
    struct signet_preview *p = signet_preview(h->s, &asks[0], &h->why);

    CU_ASSERT(!p || memmem(p->payload, p->payload_len, "\"sub\":\"0\"", 9));
    signet_preview_free(p);
    return p;
}

static bool verify(struct handle *h)
{
    return right_verified(signet_verify(h->s, token, strlen(token), NULL, NULL, &h->why));
}

static bool verify_bad(struct handle *h)
{
    struct signet_verified *v = signet_verify(h->s, bad_token, strlen(bad_token), NULL, NULL, &h->why);

    CU_ASSERT_PTR_NULL(v);
    signet_verified_free(v);
    return strcmp(h->why.reason, "BAD_SIGNATURE") == 0;
}

static bool get_keys(struct handle *h)
{
    struct signet_keys *k = signet_get_keys(h->s, &h->why);

    CU_ASSERT(!k || (strstr(k->jwks, "\"keys\"") && k->n_profiles == 2));
    signet_keys_free(k);
    return k;
}

static bool list_profiles(struct handle *h)
{
    struct signet_profile_list *l = signet_list_profiles(h->s, &h->why);

    CU_ASSERT(!l || (l->n == 2 && l->profiles[0].may_sign));
    signet_profile_list_free(l);
    return l;
}

static bool get_status(struct handle *h)
{
    struct signet_status *st = signet_get_status(h->s, &h->why);

    CU_ASSERT(!st || (st->n_rings == 2 && st->n_tokens == 1));
    signet_status_free(st);
    return st;
}

static bool list_keys(struct handle *h)
{
    struct signet_key_list *l = signet_list_keys(h->s, &h->why);

    CU_ASSERT(!l || l->n >= 2);
    signet_key_list_free(l);
    return l;
}

static bool list_rings(struct handle *h)
{
    struct signet_ring_list *l = signet_list_rings(h->s, &h->why);

    CU_ASSERT(!l || l->n == 2);
    signet_ring_list_free(l);
    return l;
}

static bool plan_ring(struct handle *h)
{
    struct signet_ring_plan *p = signet_plan_ring(h->s, "web", 0, &h->why);

    CU_ASSERT(!p || (p->n >= 1 && strcmp(p->ring->status.name, "web") == 0));
    signet_ring_plan_free(p);
    return p;
}

static bool rotate(struct handle *h)
{
    struct signet_rotation *r = signet_rotate_ring(h->s, "web", false, true, &h->why);

    CU_ASSERT(!r || r->activates_at > 0);
    signet_rotation_free(r);
    return r;
}

static bool reload(struct handle *h)
{
    uint32_t generation = 0;
    bool ok = signet_reload(h->s, &generation, &h->why);

    CU_ASSERT(!ok || generation > 0);
    return ok;
}

static bool verify_here(struct handle *h)
{
    return right_verified(signet_local_verify(h->l, token, strlen(token), NULL, NULL, &h->why));
}

static void ends(struct handle *h, bool ok, const struct signet_error *e)
{
    h->n_ends++;
    h->ok = ok;
    if (e)
        h->why = *e;
}

static void token_ends(void *ctx, struct signet_token *t, const struct signet_error *e)
{
    ends(ctx, take_token(ctx, t), e);
}

static void batch_ends(void *ctx, struct signet_batch *b, const struct signet_error *e)
{
    ends(ctx, take_batch(ctx, b), e);
}

static void verified_ends(void *ctx, struct signet_verified *v, const struct signet_error *e)
{
    ends(ctx, right_verified(v), e);
}

/* It was begun as call `id`, or not. */
static bool run(struct handle *h, uint64_t id)
{
    while (signet_async_n_waiting(h->a)) {
        struct pollfd p = { .fd = signet_async_fd(h->a), .events = POLLIN };
        if (poll(&p, 1, (int)PATIENCE_MS) != 1) {
            CU_FAIL_FATAL("nothing happened for a minute");
        }
        signet_async_process(h->a);
    }
    unit_same_int("times called back", h->n_ends, id != 0);
    return id && h->ok;
}

static bool async_sign(struct handle *h)
{
    return run(h, signet_async_sign(h->a, &asks[0], token_ends, h, &h->why));
}

static bool async_batch(struct handle *h)
{
    return run(h, signet_async_sign_batch(h->a, asks, N_BATCH, batch_ends, h, &h->why));
}

static bool async_verify(struct handle *h)
{
    return run(h, signet_async_verify(h->a, token, strlen(token), NULL, NULL, verified_ends, h, &h->why));
}

/* --- handles ------------------------------------------------------------------------------------------ */

enum kind { CALLERS, ADMIN, ASYNC, LOCAL };

/* False: it did not open; h->why says why. */
static bool open_handle(enum kind kind, struct handle *h)
{
    *h = (struct handle){ .ok = false };
    switch (kind) {
    case CALLERS: h->s = signet_open(path, &h->why); break;
    case ADMIN:   h->s = signet_open_admin(admin_path, &h->why); break;
    case ASYNC:   h->a = signet_async_open(path, &h->why); break;
    case LOCAL:   h->l = signet_local_open(path, &h->why); break;
    }
    return h->s || h->a || h->l;
}

static void close_handle(struct handle *h)
{
    signet_close(h->s);
    signet_async_close(h->a);
    signet_local_close(h->l);
}

static unsigned n_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

/* --- all of it --------------------------------------------------------------------------------------------- */

struct call {
    const char *name;
    enum kind on;
    bool (*make)(struct handle *h);
};

static const struct call calls[] = {
    { "sign", CALLERS, sign },
    { "sign a batch", CALLERS, sign_batch },
    { "preview", CALLERS, preview },
    { "verify", CALLERS, verify },
    { "verify a changed one", CALLERS, verify_bad },
    { "get keys", CALLERS, get_keys },
    { "list profiles", CALLERS, list_profiles },
    { "status", ADMIN, get_status },
    { "list keys", ADMIN, list_keys },
    { "list rings", ADMIN, list_rings },
    { "plan", ADMIN, plan_ring },
    { "rotate, dry", ADMIN, rotate },
    { "reload", ADMIN, reload },
    { "verify here", LOCAL, verify_here },
    { "sign, not blocking", ASYNC, async_sign },
    { "sign a batch, not blocking", ASYNC, async_batch },
    { "verify, not blocking", ASYNC, async_verify },
};
static const char *const kind_name[] = { [NTH_ALLOC] = "allocation", [NTH_WRITE] = "write" };

static void holds(const struct call *c, enum nth_kind kind, uint64_t at, const char *what, bool ok)
{
    if (!ok)
        printf("     %s, %s %llu: %s\n", c->name, kind_name[kind], (unsigned long long)at, what);
    CU_ASSERT_TRUE(ok);
}

/* A key set is fetched again after a second. */
static void goes_on(const struct call *c, enum nth_kind kind, uint64_t at, struct handle *h)
{
    bool well = false;

    for (unsigned i = 0; !well && i < PATIENCE_MS / PAUSE_MS; i++) {
        h->n_ends = 0;
        well = c->make(h);
        if (!well && c->on != LOCAL)
            break;
        if (!well)
            poll(NULL, 0, (int)PAUSE_MS);
    }
    holds(c, kind, at, well ? "" : h->why.text, well);
    judge(h);
}

/* How many there were; *out_failed: the one that should did. */
static uint64_t once(const struct call *c, enum nth_kind kind, uint64_t at, bool *out_failed)
{
    struct handle h;

    nth_arm(kind, at);
    bool open = open_handle(c->on, &h), ok = open && c->make(&h);
    uint64_t n = nth_disarm(out_failed);
    judge(&h);
    holds(c, kind, at, "no error, and no answer", ok || (h.why.code && *h.why.reason && *h.why.text));
    if (!ok && signet_error_is_verdict(&h.why)) {
        holds(c, kind, at, "a verdict", false);
        unit_same_str("it says", h.why.text, "that it could not be judged");
    }
    /* What could not be written for a moment is written later. */
    holds(c, kind, at, h.why.text, ok || (*out_failed && kind == NTH_ALLOC));
    for (unsigned i = 0; open && i < 2; i++)
        goes_on(c, kind, at, &h);
    close_handle(&h);
    return n;
}

static void fail_each(const struct call *c, enum nth_kind kind, bool all)
{
    unsigned before = n_descriptors(), n_failed = 0;
    bool failed;
    uint64_t n = once(c, kind, 0, &failed), step = all || n <= SOME ? 1 : n / SOME;

    for (uint64_t at = 1 + (step > 1 ? (uint64_t)rand() % step : 0); at <= n; at += step) {
        once(c, kind, at, &failed);
        n_failed += failed;
    }
    holds(c, kind, 0, "descriptors are left", n_descriptors() == before);
    holds(c, kind, 0, "nothing failed", n_failed > 0);
    printf("     %s: %u of %llu %ss failed\n", c->name, n_failed, (unsigned long long)n, kind_name[kind]);
    fflush(stdout);
}

static void each_call(enum nth_kind kind)
{
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        fail_each(&calls[i], kind, getenv("SIGNET_FULL") != NULL);
    CU_ASSERT_FALSE(__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check());
}

static void each_call_ends_well_whatever_allocation_fails(void) { each_call(NTH_ALLOC); }
static void each_call_ends_well_whatever_write_fails(void) { each_call(NTH_WRITE); }

/* A token to verify, one that is bad, and keys to judge by. */
static bool prepare(void)
{
    struct signet *s = signet_open(path, NULL);
    struct signet_keys *k = s ? signet_get_keys(s, NULL) : NULL;
    struct signet_token *t = s ? signet_sign(s, &asks[0], NULL) : NULL;

    if (k && t && strlen(t->token) < sizeof token) {
        strcpy(token, t->token);
        strcpy(bad_token, token);
        char *signature = strrchr(bad_token, '.') + 1;
        *signature = *signature == 'A' ? 'B' : 'A';
        verifier = signet_verifier_new(k->jwks, strlen(k->jwks), NULL);
    }
    signet_token_free(t);
    signet_keys_free(k);
    signet_close(s);
    return verifier;
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        { "each call ends well whatever allocation fails", each_call_ends_well_whatever_allocation_fails },
        { "each call ends well whatever write fails", each_call_ends_well_whatever_write_fails },
    };
    unsigned seed = getenv("SIGNET_SEED") ? (unsigned)strtoul(getenv("SIGNET_SEED"), NULL, 10) : 1;

    if (argc != 3)
        return 2;
    path = argv[1];
    admin_path = argv[2];
    srand(seed);
    if (!prepare())
        return 100;
    int failed = unit_run(cases, ARRAY_LEN(cases));
    signet_verifier_free(verifier);
    return failed;
}
