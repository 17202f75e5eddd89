/*
 * b64url: base64url without padding (RFC 7515 section 2, appendix C), one
 * spelling for each byte string: padding, other letters and stray trailing
 * bits are refused.
 */
#ifndef SIGNET_JOSE_B64URL_H
#define SIGNET_JOSE_B64URL_H

#include "proto/buf.h"

/* Appends the encoding of `len` bytes. False: the buffer's bound or memory. */
bool b64url_encode(struct buf *out, const void *bytes, size_t len);

/* Appends what `len` letters stand for; nothing at all unless they are canonical. */
bool b64url_decode(struct buf *out, const char *letters, size_t len);

#endif
