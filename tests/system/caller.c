/*
 * caller: an app server of a fleet of daemons. It signs without pause, each
 * time by the next daemon, and has what it signed verified for as long as it
 * lives: by the daemons too, or here, with libsignet's local verifier.
 *
 *     caller daemon|local PROFILE REVOKED SOCKET...
 *
 * REVOKED is a file of kids, a line each: tokens of these may be rejected. A
 * line on stdin is answered with the counts so far, as JSON. At the end of
 * stdin it says the last. In builds with -Dtesting=true it lives in the time
 * of $SIGNET_TEST_TIME, as the daemons do.
 */
#include "client/signet.h"
#include "daemon/base/clock.h"

#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_DAEMONS 16
#define MAX_KEPT 1024            /* a token for each second of the longest life that a test has */
#define KID_ROOM 129
#define TOO_LONG_S 86400         /* longer than any profile here allows */
#define REFUSED_EVERY 50         /* turns: one call in so many must be refused */
#define TRIES 20                 /* round the daemons: one that was killed is back before */
#define TIMEOUT_MS 20000         /* real ones, of a machine that is busy with all of this test */

struct kept { char *text; char kid[KID_ROOM]; int64_t exp; };

static struct signet *daemons[MAX_DAEMONS];
static unsigned n_daemons, turn;
static struct signet_local *here;            /* NULL: the daemons verify */
static const char *profile, *revoked_path;
static struct kept kept[MAX_KEPT];           /* oldest first, from `oldest` on */
static unsigned oldest, n_kept;
static char last[700];                       /* what went wrong, the first of it */
static struct {
    unsigned long long tokens, accepted;
    unsigned long long refused;              /* on purpose */
    unsigned long long again;                /* asked of the next daemon, because this one was dead or began */
    unsigned long long revoked, ended;       /* rejected, and rightly: their key was revoked, they ended meanwhile */
    unsigned long long wrong;                /* rejected, and wrongly */
    unsigned long long failed;               /* calls that no daemon answered as it should */
} count;

static void note(const char *what, const char *kid, const struct signet_error *e)
{
    if (!*last)
        snprintf(last, sizeof last, "%s, key '%s': %s: %s", what, kid, e->reason, e->text);
}

static bool may_be_asked_again(const struct signet_error *e)
{
    static const char *const reasons[] = { "DAEMON_UNREACHABLE", "STARTING", "DRAINING" };

    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (strcmp(e->reason, reasons[i]) == 0)
            return true;
    return false;
}

static struct signet *next_daemon(void)
{
    return daemons[turn++ % n_daemons];
}

/* By the next daemon that lives. NULL: by none, or refused with e. */
static struct signet_token *sign(uint32_t ttl_s, struct signet_error *e)
{
    const struct signet_sign_request ask = { .profile = profile, .subject = "caller", .ttl_s = ttl_s };

    for (unsigned i = 0; i < TRIES * n_daemons; i++) {
        struct signet_token *t = signet_sign(next_daemon(), &ask, e);
        if (t || !may_be_asked_again(e))
            return t;
        count.again++;
    }
    return NULL;
}

static struct signet_verified *verify(const struct kept *k, struct signet_error *e)
{
    size_t len = strlen(k->text);

    for (unsigned i = 0; i < TRIES * n_daemons; i++) {
        struct signet_verified *v = here ? signet_local_verify(here, k->text, len, profile, NULL, e)
                                         : signet_verify(next_daemon(), k->text, len, profile, NULL, e);
        if (v || !may_be_asked_again(e))
            return v;
        count.again++;
    }
    return NULL;
}

static bool is_revoked(const char *kid)
{
    FILE *f = fopen(revoked_path, "re");
    char line[KID_ROOM + 1];
    bool found = false;

    while (f && !found && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        found = strcmp(line, kid) == 0;
    }
    if (f)
        fclose(f);
    return found;
}

static void judge(const struct kept *k)
{
    struct signet_error e;
    struct signet_verified *v = verify(k, &e);

    if (v)
        count.accepted++;
    else if (!signet_error_is_verdict(&e)) {
        count.failed++;
        note("a token could not be judged", k->kid, &e);
    } else if (k->exp <= clock_now())
        count.ended++;
    else if (is_revoked(k->kid))
        count.revoked++;
    else {
        count.wrong++;
        note("a token was rejected", k->kid, &e);
    }
    signet_verified_free(v);
}

static void forget_ended(void)
{
    while (n_kept && kept[oldest % MAX_KEPT].exp <= clock_now()) {
        free(kept[oldest++ % MAX_KEPT].text);
        n_kept--;
    }
}

/* One for each second in which it ends. */
static void keep(const struct kept *k)
{
    if ((n_kept && kept[(oldest + n_kept - 1) % MAX_KEPT].exp >= k->exp) || n_kept == MAX_KEPT)
        free(k->text);
    else
        kept[(oldest + n_kept++) % MAX_KEPT] = *k;
}

static void sign_and_judge(void)
{
    struct signet_error e;
    struct signet_token *t = sign(0, &e);

    if (!t) {
        count.failed++;
        note("no token", "", &e);
        return;
    }
    struct kept k = { .text = strdup(t->token), .exp = t->expires_at };
    snprintf(k.kid, sizeof k.kid, "%s", t->kid);
    signet_token_free(t);
    count.tokens++;
    judge(&k);
    keep(&k);
}

static void ask_too_much(void)
{
    struct signet_error e;
    struct signet_token *t = sign(TOO_LONG_S, &e);

    if (!t && strcmp(e.reason, "TTL_TOO_LONG") == 0)
        count.refused++;
    else {
        count.failed++;
        note("a life too long was not refused for that", "", &e);
    }
    signet_token_free(t);
}

static void one_turn(unsigned n)
{
    sign_and_judge();
    forget_ended();
    if (n_kept) {
        judge(&kept[oldest % MAX_KEPT]);
        judge(&kept[(oldest + (unsigned)random() % n_kept) % MAX_KEPT]);
    }
    if (n % REFUSED_EVERY == 0)
        ask_too_much();
}

static void say(void)
{
    json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "tokens", (json_int_t)count.tokens,
                          "accepted", (json_int_t)count.accepted, "refused", (json_int_t)count.refused,
                          "again", (json_int_t)count.again, "revoked", (json_int_t)count.revoked,
                          "ended", (json_int_t)count.ended, "wrong", (json_int_t)count.wrong,
                          "failed", (json_int_t)count.failed, "last", last);

    json_dumpf(o, stdout, 0);
    putchar('\n');
    fflush(stdout);
    json_decref(o);
}

/* False: stdin has ended. */
static bool hear(void)
{
    struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
    char line[64];

    if (poll(&p, 1, 0) <= 0)
        return true;
    if (read(STDIN_FILENO, line, sizeof line) <= 0)
        return false;
    say();
    return true;
}

int main(int argc, char **argv)
{
    struct signet_error e;

    if (argc < 5 || argc - 4 > MAX_DAEMONS)
        return 2;
    profile = argv[2];
    revoked_path = argv[3];
    here = strcmp(argv[1], "local") == 0 ? signet_local_open(argv[4], &e) : NULL;
    for (int i = 4; i < argc; i++) {
        daemons[n_daemons] = signet_open(argv[i], &e);
        signet_set_timeout(daemons[n_daemons++], TIMEOUT_MS);
    }
    for (unsigned n = 1; hear(); n++)
        one_turn(n);
    say();
    for (unsigned i = 0; i < n_daemons; i++)
        signet_close(daemons[i]);
    signet_local_close(here);
    while (n_kept--)
        free(kept[oldest++ % MAX_KEPT].text);
    return 0;
}
