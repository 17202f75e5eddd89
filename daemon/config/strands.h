/*
 * strands: what another configuration would do, in a daemon that runs, to
 * tokens that live. Pure.
 *
 * Refused is what nobody can have meant: that tokens lose the key that others
 * verify them with (a ring that goes or is no longer published, a key made
 * elsewhere that goes, or whose time or promises change), that a profile goes
 * on with another ring, or that a key signs before it can be known. Warned of
 * is what says that tokens are no longer wanted: a profile that goes, another
 * issuer, another typ, an audience less. A restart asks for neither.
 */
#ifndef SIGNET_CONFIG_STRANDS_H
#define SIGNET_CONFIG_STRANDS_H

#include "daemon/config/config.h"

struct strands {
    bool is_refused;             /* though there may be no memory to say why */
    struct buf refused, warned;  /* a sentence a line, its arithmetic indented under it */
};
void strands_init(struct strands *s);
void strands_clear(struct strands *s);

/* `quiet_s`: of each profile of `was`, for how long nobody has been allowed to sign; 0: somebody is. Unix seconds. */
void strands_find(const struct config *was, const struct config *is, const int64_t *quiet_s, int64_t now,
                  struct strands *out);

#endif
