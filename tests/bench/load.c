/*
 * load: a raw-socket client: so many Sign requests in flight on one
 * connection, for a time or a number.
 *
 *     load SOCKET PROFILE IN_FLIGHT SECONDS [REQUESTS]
 *
 * Prints "TOKENS_PER_S MEDIAN_NS": the median is of one request's round trip.
 * Any error reply ends it with 1.
 */
#include "proto/frame.h"
#include "signet.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_IN_FLIGHT 1024u
#define MAX_SAMPLES 4000000u
#define BUFFER (1024u * 1024)

static long long sent_at[MAX_IN_FLIGHT];
static unsigned *samples;
static uint64_t n_sent, n_done;

static long long now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return x < y ? -1 : x > y;
}

static size_t put_request(uint8_t *out, char *profile)
{
    static const char claims[] = "{\"name\":\"John Doe\",\"role\":\"user\"}";
    Signet__V1__Request r = SIGNET__V1__REQUEST__INIT;
    Signet__V1__SignRequest s;

    signet__v1__sign_request__init(&s);
    s.profile = profile;
    s.subject = "1234567890";
    s.content_case = SIGNET__V1__SIGN_REQUEST__CONTENT_CLAIMS;
    s.claims = (ProtobufCBinaryData){ sizeof claims - 1, (uint8_t *)(uintptr_t)claims };
    r.request_id = n_sent + 1;
    r.op_case = SIGNET__V1__REQUEST__OP_SIGN;
    r.sign = &s;
    size_t len = signet__v1__request__pack(&r, out + FRAME_HEADER_LEN);
    frame_header(out, len);
    sent_at[n_sent++ % MAX_IN_FLIGHT] = now_ns();
    return FRAME_HEADER_LEN + len;
}

static void send_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            exit(1);
        bytes += n;
        len -= (size_t)n;
    }
}

/* request_id is the first field: one byte of tag, then a varint. Only a token's reply is long. */
static void take_reply(const uint8_t *m, size_t len, long long now)
{
    uint64_t id = 0;
    size_t i = 1;

    for (unsigned shift = 0; i < len; shift += 7) {
        id |= (uint64_t)(m[i] & 0x7F) << shift;
        if (!(m[i++] & 0x80))
            break;
    }
    if (i >= len || m[i] != (10 << 3 | 2)) {
        Signet__V1__Reply *r = signet__v1__reply__unpack(NULL, len, m);
        fprintf(stderr, "load: %s\n", r && r->error ? r->error->text : "an odd reply");
        exit(1);
    }
    if (n_done < MAX_SAMPLES)
        samples[n_done] = (unsigned)(now - sent_at[(id - 1) % MAX_IN_FLIGHT]);
    n_done++;
}

int main(int argc, char **argv)
{
    static uint8_t in[BUFFER], out[BUFFER];
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    size_t have = 0;

    if (argc < 5 || strlen(argv[1]) >= sizeof a.sun_path)
        return 2;
    uint64_t in_flight = strtoull(argv[3], NULL, 10), most = argc > 5 ? strtoull(argv[5], NULL, 10) : UINT64_MAX;
    strcpy(a.sun_path, argv[1]);
    samples = malloc(MAX_SAMPLES * sizeof *samples);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (!samples || in_flight > MAX_IN_FLIGHT || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        return 1;
    long long begin = now_ns(), end = begin + atoll(argv[4]) * 1000000000ll, now = begin;
    while (now < end && n_done < most) {
        size_t len = 0;
        while (n_sent - n_done < in_flight && n_sent < most && len < BUFFER / 2)
            len += put_request(out + len, argv[2]);
        send_all(fd, out, len);
        ssize_t n = recv(fd, in + have, BUFFER - have, 0);
        if (n <= 0)
            return 1;
        have += (size_t)n;
        now = now_ns();
        size_t at = 0, message;
        while (frame_next(in + at, have - at, FRAME_MAX_REPLY, &message) == FRAME_READY) {
            take_reply(in + at + FRAME_HEADER_LEN, message, now);
            at += FRAME_HEADER_LEN + message;
        }
        memmove(in, in + at, have -= at);
    }
    size_t n_samples = n_done < MAX_SAMPLES ? n_done : MAX_SAMPLES;
    qsort(samples, n_samples, sizeof *samples, by_value);
    printf("%.1f %u\n", (double)n_done * 1e9 / (double)(now - begin), n_samples ? samples[n_samples / 2] : 0);
    return 0;
}
