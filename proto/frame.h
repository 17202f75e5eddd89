/*
 * frame: a message's length on a stream: 4 bytes big-endian, then the bytes.
 * A function of bytes; no socket.
 */
#ifndef SIGNET_PROTO_FRAME_H
#define SIGNET_PROTO_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_LEN 4u                 /* bytes */
#define FRAME_MAX_REQUEST (64u * 1024)      /* bytes of message; the default of a listener */
#define FRAME_MAX_REPLY (1024u * 1024)      /* bytes of message a client accepts */
#define FRAME_HTTP2 0x50524920u             /* "PRI ": HTTP/2's preface read as a length */

enum frame_result {
    FRAME_MORE,      /* not all there yet */
    FRAME_READY,     /* *out_len bytes of message stand at in + FRAME_HEADER_LEN */
    FRAME_BAD,       /* longer than max, or empty: nothing after it can be trusted */
    FRAME_IS_HTTP2,  /* the preface of HTTP/2 */
};

enum frame_result frame_next(const uint8_t *in, size_t len, size_t max, size_t *out_len);

/* Writes the header of a message of `len` bytes. */
void frame_header(uint8_t out[FRAME_HEADER_LEN], size_t len);

#endif
