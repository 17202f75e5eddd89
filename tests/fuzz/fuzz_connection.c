/*
 * connection: all that a caller sends, frames and what is none. The first byte chooses the socket, the second the
 * pieces it comes in. Whatever is answered is whole; the broker lives on.
 */
#include "tests/fuzz/whole.h"

#include <sys/socket.h>
#include <unistd.h>

static void send_in_pieces(int fd, const uint8_t *in, size_t len, size_t piece)
{
    for (size_t at = 0; at < len;) {
        size_t n = len - at < piece ? len - at : piece;
        ssize_t sent = send(fd, in + at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        at += sent > 0 ? (size_t)sent : len;         /* else it was broken off */
        whole_step();
    }
    shutdown(fd, SHUT_WR);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    Signet__V1__Reply *r;

    if (len < 3)
        return 0;
    whole_begin();
    int fd = whole_connect(in[0] & 1);
    send_in_pieces(fd, in + 2, len - 2, in[1] ? (size_t)in[1] * in[1] : SIZE_MAX);
    while ((r = whole_reply(fd)))
        signet__v1__reply__free_unpacked(r, NULL);
    close(fd);
    MUST(whole_runs() && whole_n_lost() == 0);
    whole_end();
    return 0;
}
