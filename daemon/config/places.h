/*
 * places: where each issuer's key set is published by HTTP. An issuer is a
 * place of its own, so that nobody who trusts one accepts another's keys. Pure.
 *
 * Under the issuer's path; at the root too, where there is only one place.
 * Issuers that differ in their host alone share a path: who asks says by Host
 * which is meant. A raw profile's ring has no issuer, and could forge any
 * token of one: where it is published it is a place of its own, /rings/NAME.
 */
#ifndef SIGNET_CONFIG_PLACES_H
#define SIGNET_CONFIG_PLACES_H

#include "daemon/config/config.h"

#include <stddef.h>

struct place {
    const char *issuer;                      /* borrowed from the configuration; NULL: a raw profile's ring */
    char *host;                              /* lower case, with its port where that is not the scheme's; NULL: it has none */
    char *path;                              /* "", or "/tenant1": no slash at its end */
    bool is_https;                           /* with no query and no fragment: what discovery is defined for */
    const struct ring_config **rings;        /* borrowed, each once, in the configuration's order */
    size_t n_rings;
};
struct places { struct place *each; size_t n; };

/* False: no memory. Profiles whose ring or issuer is missing have no place. */
bool places_find(const struct config *c, struct places *out);
void places_clear(struct places *p);

/* No request could say which of both it means. */
bool places_collide(const struct place *a, const struct place *b);

/*
 * What a Host header names, as place.host has it: lower case, the port that
 * plain HTTP or HTTPS has cut off. False: longer than `size` allows.
 */
bool places_host(const char *text, char *out, size_t size);

#endif
