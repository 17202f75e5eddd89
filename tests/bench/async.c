/*
 * async: what load does, through libsignet's non-blocking calls: one thread,
 * so many Sign requests in flight, for a time.
 *
 *     async SOCKET PROFILE IN_FLIGHT SECONDS
 *
 * Prints "TOKENS_PER_S". Any error ends it with 1.
 */
#include "client/signet.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct signet_async *a;
static struct signet_sign_request ask = {
    .subject = "1234567890", .claims = "{\"name\":\"John Doe\",\"role\":\"user\"}", .claims_len = 33,
};
static unsigned long long n_done;

static long long now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void signed_(void *ctx, struct signet_token *t, const struct signet_error *e);

static void begin(void)
{
    struct signet_error e;

    if (!signet_async_sign(a, &ask, signed_, NULL, &e)) {
        fprintf(stderr, "async: %s\n", e.text);
        exit(1);
    }
}

static void signed_(void *ctx, struct signet_token *t, const struct signet_error *e)
{
    if (!t) {
        fprintf(stderr, "async: %s\n", e->text);
        exit(1);
    }
    signet_token_free(t);
    n_done++;
    begin();
}

int main(int argc, char **argv)
{
    struct signet_error e;

    if (argc != 5)
        return 2;
    ask.profile = argv[2];
    a = signet_async_open(argv[1], &e);
    if (!a)
        return 1;
    long long from = now_ns(), end = from + atoll(argv[4]) * 1000000000ll, now = from;
    for (int i = atoi(argv[3]); i > 0; i--)
        begin();
    while (now < end) {
        struct pollfd p = { .fd = signet_async_fd(a), .events = POLLIN };
        poll(&p, 1, -1);
        signet_async_process(a);
        now = now_ns();
    }
    printf("%.1f\n", (double)n_done * 1e9 / (double)(now - from));
    signet_async_close(a);
    return 0;
}
