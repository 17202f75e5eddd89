/*
 * pin: where the PIN comes from, and whether that has changed since a PIN
 * from there was refused: nobody tries it again before. Never reads it: a
 * signer does, through a descriptor.
 */
#ifndef SIGNET_SUPERVISOR_PIN_H
#define SIGNET_SUPERVISOR_PIN_H

#include "daemon/config/config.h"

#include <time.h>

/* The state of the source at a moment. */
struct pin_mark { bool there; dev_t dev; ino_t ino; struct timespec mtime; off_t size; };

/*
 * The source's path: pin_file, the systemd credential, or the URI's
 * pin-source (RFC 7512: file: or a bare path). NULL and `e` unset: the token
 * needs no login; NULL and `e` set otherwise. Freed by the caller.
 */
char *pin_path(const struct token_config *t, bool *out_none, struct err *e);

struct pin_mark pin_mark(const char *path);
bool pin_mark_same(const struct pin_mark *a, const struct pin_mark *b);

#endif
