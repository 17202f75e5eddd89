/*
 * poll: many tokens at once, from a plain poll loop.
 *
 *     cc poll.c $(pkg-config --cflags --libs signet)
 *     ./a.out PROFILE SUBJECT...
 *
 * In a server the descriptor stands beside its sockets; here it stands alone.
 */
#include <poll.h>
#include <signet.h>
#include <stdio.h>

static int failed;

static void signed_(void *subject, struct signet_token *t, const struct signet_error *why)
{
    if (t)
        printf("%s %s\n", (const char *)subject, t->token);
    else
        fprintf(stderr, "%s: %s: %s\n", (const char *)subject, why->reason, why->text);
    failed |= !t;
    signet_token_free(t);
}

int main(int argc, char **argv)
{
    struct signet_error why;
    struct signet_async *signet = signet_async_open(NULL, &why);

    if (!signet || argc < 2) {
        fprintf(stderr, "%s\n", signet ? "usage: poll PROFILE SUBJECT..." : why.text);
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        struct signet_sign_request ask = { .profile = argv[1], .subject = argv[i] };
        if (!signet_async_sign(signet, &ask, signed_, argv[i], &why))
            signed_(argv[i], NULL, &why);
    }
    while (signet_async_n_waiting(signet)) {
        struct pollfd p = { .fd = signet_async_fd(signet), .events = POLLIN };
        poll(&p, 1, -1);            /* each call has a deadline: this ends */
        signet_async_process(signet);
    }
    signet_async_close(signet);
    return failed;
}
