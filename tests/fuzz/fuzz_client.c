/*
 * What answers libsignet may be anyone: the bytes of a whole connection. The
 * first byte chooses who hears them: calls of every kind that wait, or the
 * local verifier, which takes a key set from them.
 */
#include "client/signet.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *path;
static int listener = -1;

static void forget(void)
{
    unlink(path);
}

static void listen_once(void)
{
    static char text[64];
    struct sockaddr_un a = { .sun_family = AF_UNIX };

    snprintf(text, sizeof text, "/tmp/signet-fuzz-%d", (int)getpid());
    path = text;
    strcpy(a.sun_path, path);
    unlink(path);
    atexit(forget);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    MUST(bind(listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(listener, 4) == 0);
}

/* The client has connected; it hears this, then the end. */
static void answer(const uint8_t *bytes, size_t len)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), room = 1 << 20;

    MUST(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    MUST(send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len);
    close(fd);
}

/* Who asked again hears nothing. */
static void turn_away(void)
{
    int fd;

    while ((fd = accept(listener, NULL, NULL)) >= 0)
        close(fd);
}

/* Read as whoever gets it would. */
static void see(const char *s)
{
    MUST(s && strlen(s) < SIZE_MAX);
}

static void got_token(void *ctx, struct signet_token *t, const struct signet_error *e)
{
    MUST(!t != !e);
    see(t ? t->token : e->reason);
    see(t ? t->kid : e->text);
    signet_token_free(t);
}

static void got_batch(void *ctx, struct signet_batch *b, const struct signet_error *e)
{
    for (size_t i = 0; b && i < b->n; i++)
        see(b->items[i].token ? b->items[i].token->token : b->items[i].error.reason);
    signet_batch_free(b);
}

static void got_verified(void *ctx, struct signet_verified *v, const struct signet_error *e)
{
    MUST(!v || ((const char *)v->payload)[v->payload_len] == '\0');
    signet_verified_free(v);
}

static void hear_calls(const uint8_t *bytes, size_t len)
{
    struct signet_sign_request ask[2] = { { .profile = "p" }, { .profile = "p" } };
    struct signet_async *a = signet_async_open(path, NULL);

    signet_async_sign(a, ask, got_token, NULL, NULL);
    signet_async_sign_batch(a, ask, 2, got_batch, NULL, NULL);
    signet_async_verify(a, "t", 1, NULL, NULL, got_verified, NULL, NULL);
    answer(bytes, len);
    signet_async_process(a);
    signet_async_process(a);
    signet_async_close(a);
    turn_away();
}

static void hear_keys(const uint8_t *bytes, size_t len)
{
    static const char token[] = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJpIn0.AAAA";
    struct signet_local *l = signet_local_open(path, NULL);

    signet_local_set_wait(l, 0);
    signet_verified_free(signet_local_verify(l, token, strlen(token), NULL, NULL, NULL));
    answer(bytes, len);
    signet_verified_free(signet_local_verify(l, token, strlen(token), NULL, NULL, NULL));
    signet_verified_free(signet_local_verify(l, token, strlen(token), "p", NULL, NULL));
    signet_local_close(l);
    turn_away();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (listener < 0)
        listen_once();
    if (size > 1)
        (data[0] & 1 ? hear_keys : hear_calls)(data + 1, size - 1);
    return 0;
}
