/*
 * libevent: an event loop that signs, and checks what it got without waiting.
 *
 *     cc libevent.c $(pkg-config --cflags --libs signet libevent_core)
 *     ./a.out PROFILE SUBJECT...
 */
#include <event2/event.h>
#include <signet.h>
#include <stdio.h>
#include <string.h>

static struct event_base *base;
static struct signet_async *signet;
static struct signet_local *local;
static int left, failed;

static void say(const char *subject, const char *what, const struct signet_error *why)
{
    printf("%s: %s\n", subject, why ? why->text : what);
    failed |= why != NULL;
    if (--left == 0)
        event_base_loopexit(base, NULL);
}

static void verified(void *subject, struct signet_verified *v, const struct signet_error *why)
{
    say(subject, v ? v->payload : NULL, why);
    signet_verified_free(v);
}

static void signed_(void *subject, struct signet_token *t, const struct signet_error *e)
{
    struct signet_error why = e ? *e : (struct signet_error){ 0 };
    struct signet_verified *v = t ? signet_local_verify(local, t->token, strlen(t->token), NULL, NULL, &why) : NULL;

    /* Not here, for want of a key set or of a public key: then by the daemon, which calls back too. */
    if (t && !v && !signet_error_is_verdict(&why) &&
        signet_async_verify(signet, t->token, strlen(t->token), NULL, NULL, verified, subject, &why))
        signet_token_free(t);
    else {
        say(subject, v ? v->payload : NULL, v ? NULL : &why);
        signet_verified_free(v);
        signet_token_free(t);
    }
}

static void readable(evutil_socket_t fd, short what, void *arg)
{
    signet_async_process(signet);
}

int main(int argc, char **argv)
{
    struct signet_error why;

    base = event_base_new();
    signet = signet_async_open(NULL, &why);
    local = signet_local_open(NULL, &why);
    if (!base || !signet || !local || argc < 3) {
        fprintf(stderr, "%s\n", argc < 3 ? "usage: libevent PROFILE SUBJECT..." : why.text);
        return 2;
    }
    signet_local_set_wait(local, 0);
    struct event *on_read = event_new(base, signet_async_fd(signet), EV_READ | EV_PERSIST, readable, NULL);
    event_add(on_read, NULL);
    left = argc - 2;
    for (int i = 2; i < argc; i++) {
        struct signet_sign_request ask = { .profile = argv[1], .subject = argv[i] };
        if (!signet_async_sign(signet, &ask, signed_, argv[i], &why))
            say(argv[i], NULL, &why);
    }
    event_base_dispatch(base);
    event_free(on_read);
    signet_async_close(signet);
    signet_local_close(local);
    event_base_free(base);
    return failed;
}
