/*
 * keys: the key set, page by page: what to ask next, and what comes of the
 * answers. The pages of one version belong together: where it changes in
 * between, all is asked again.
 */
#ifndef SIGNET_CLIENT_KEYS_H
#define SIGNET_CLIENT_KEYS_H

#include "client/conn.h"

struct keys_fetch;
struct keys_fetch *keys_fetch_new(void);
void keys_fetch_free(struct keys_fetch *f);
DEFINE_CLEANUP(struct keys_fetch, keys_fetch_free)

/* The next page to ask for. */
void keys_fetch_ask(const struct keys_fetch *f, Signet__V1__Request *op, Signet__V1__GetKeysRequest *m);

enum keys_fetched { KEYS_MORE, KEYS_DONE, KEYS_FAILED };
/* Its answer. KEYS_DONE: *out is the whole set. KEYS_FAILED: e says why. */
enum keys_fetched keys_fetch_take(struct keys_fetch *f, Signet__V1__Reply *taken, struct signet_keys **out,
                                  struct signet_error *e);

/* The ring of the nth key of k->jwks. NULL: it has no such key. */
const char *keys_ring(const struct signet_keys *k, size_t nth);

#endif
