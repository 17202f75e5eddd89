/*
 * source: the configuration as roles get it: the file's text, the users and
 * groups it names, and a snapshot of the password file, since a broker has no
 * name service. Immutable once in force.
 */
#ifndef SIGNET_SUPERVISOR_SOURCE_H
#define SIGNET_SUPERVISOR_SOURCE_H

#include "daemon/channel/channel.h"
#include "daemon/config/config.h"

struct source {
    char *file;
    struct buf text;
    struct config *config;
    Signet__Role__Config message;    /* its generation is the sender's to set */
    int64_t *quiet_ms;               /* of each profile: since when nobody may sign; INT64_MAX: somebody may */
};

/* Reads and checks. NULL: `mistakes` has a line for each. */
struct source *source_load(const char *file, struct buf *mistakes);
/*
 * To be rehearsed, not run: user and group names are not looked up. NULL: it
 * cannot be read, `why` says all that is wrong. Else `why` says for which
 * promises to verifiers no daemon would run on it, or nothing.
 */
struct config *source_read(const char *file, struct buf *why);
/* A line for each file that the configuration names and that we cannot read, whatever else is wrong with it. */
void source_missing_files(const char *file, struct buf *out);
/* Comes into force after `was` (NULL: the first), at a moment of the clock that never jumps. */
void source_begin(struct source *s, const struct source *was, int64_t steady_ms);
void source_free(struct source *s);
DEFINE_CLEANUP(struct source, source_free)

#endif
