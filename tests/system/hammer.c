/*
 * hammer: an app server that never stops asking: so many Sign requests in
 * flight through libsignet's non-blocking calls, each for another subject.
 *
 *     hammer SOCKET PROFILE IN_FLIGHT TIMEOUT_MS [FILE]
 *
 * FILE gets every token, a line each.
 *
 * A line on stdin is answered with the counts so far, as JSON. At the end of
 * stdin it asks nothing more, waits for what is under way, and says the last.
 */
#include "client/signet.h"
#include "proto/buf.h"
#include "proto/jose/b64url.h"

#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct call {
    struct call *before;
    unsigned long long number;
    int64_t began_ms;
    unsigned n_ends;
};

static struct signet_async *a;
static struct call *all;         /* never freed: one that ended twice would be seen */
static const char *profile;
static FILE *tokens;
static bool ending;
static struct {
    unsigned long long asked, tokens, unavailable, late, other, wrong, twice;
} count;
static int64_t last_ms, longest_ms, slowest_ms;      /* without a token for anyone; for one that got one */
static char last[500];            /* a reason: of one that is neither late nor to be asked again, where there is one */

static void begin(void);

/* Whether the token says the subject that was asked for with it. */
static bool is_for(const char *token, unsigned long long number)
{
    const char *from = strchr(token, '.'), *to = from ? strchr(from + 1, '.') : NULL;
    char want[32];
    struct buf payload;

    snprintf(want, sizeof want, "%llu", number);
    buf_init(&payload, 65536);
    bool ok = to && b64url_decode(&payload, from + 1, (size_t)(to - from - 1));
    json_t *o = ok ? json_loadb((const char *)payload.data, payload.len, 0, NULL) : NULL;
    const char *sub = json_string_value(json_object_get(o, "sub"));
    ok = sub && strcmp(sub, want) == 0;
    json_decref(o);
    buf_clear(&payload);
    return ok;
}

static int64_t mono_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void got(const struct call *c, const char *token)
{
    int64_t now_ms = mono_ms();

    count.tokens++;
    if (last_ms && now_ms - last_ms > longest_ms)
        longest_ms = now_ms - last_ms;
    if (now_ms - c->began_ms > slowest_ms)
        slowest_ms = now_ms - c->began_ms;
    last_ms = now_ms;
    if (tokens)
        fprintf(tokens, "%s\n", token);
}

static void ended(void *ctx, struct signet_token *t, const struct signet_error *e)
{
    struct call *c = ctx;

    count.twice += c->n_ends++ > 0;
    if (t && is_for(t->token, c->number))
        got(c, t->token);
    else if (t)
        count.wrong++;
    else if (e->code == SIGNET_UNAVAILABLE)
        count.unavailable++;
    else if (e->code == SIGNET_DEADLINE_EXCEEDED)
        count.late++;
    else
        count.other++;
    if (!t && (count.other == 0 || (e->code != SIGNET_UNAVAILABLE && e->code != SIGNET_DEADLINE_EXCEEDED)))
        snprintf(last, sizeof last, "%s: %s", e->reason, e->text);
    signet_token_free(t);
    if (!ending)
        begin();
}

static void begin(void)
{
    struct call *c = calloc(1, sizeof *c);
    struct signet_error e;
    char subject[32];

    *c = (struct call){ .before = all, .number = ++count.asked, .began_ms = mono_ms() };
    all = c;
    snprintf(subject, sizeof subject, "%llu", c->number);
    if (!signet_async_sign(a, &(struct signet_sign_request){ .profile = profile, .subject = subject }, ended, c, &e)) {
        fprintf(stderr, "hammer: %s\n", e.text);
        exit(1);
    }
}

static void say(void)
{
    json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "asked", (json_int_t)count.asked,
                          "tokens", (json_int_t)count.tokens, "unavailable", (json_int_t)count.unavailable,
                          "late", (json_int_t)count.late, "other", (json_int_t)count.other,
                          "wrong", (json_int_t)count.wrong, "twice", (json_int_t)count.twice,
                          "longest_ms", (json_int_t)longest_ms, "slowest_ms", (json_int_t)slowest_ms, "last", last);

    json_dumpf(o, stdout, 0);
    putchar('\n');
    fflush(stdout);
    json_decref(o);
}

static void hear(void)
{
    char line[64];
    ssize_t n = read(STDIN_FILENO, line, sizeof line);

    if (n <= 0)
        ending = true;
    else
        say();
}

int main(int argc, char **argv)
{
    struct signet_error e;

    if (argc != 5 && argc != 6)
        return 2;
    if (argc == 6 && !(tokens = fopen(argv[5], "we")))
        return 1;
    profile = argv[2];
    a = signet_async_open(argv[1], &e);
    if (!a)
        return 1;
    signet_async_set_timeout(a, (uint32_t)atoi(argv[4]));
    for (int i = atoi(argv[3]); i > 0; i--)
        begin();
    while (!ending || signet_async_n_waiting(a)) {
        struct pollfd p[2] = { { .fd = signet_async_fd(a), .events = POLLIN },
                               { .fd = ending ? -1 : STDIN_FILENO, .events = POLLIN } };
        poll(p, 2, -1);
        if (p[0].revents)
            signet_async_process(a);
        if (p[1].revents)
            hear();
    }
    signet_async_close(a);
    if (tokens && fclose(tokens) != 0)
        return 1;
    say();
    return 0;
}
