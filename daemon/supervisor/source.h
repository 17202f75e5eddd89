/*
 * source: the configuration as roles get it: the file's text, the users and
 * groups it names, and a snapshot of the password file, since a broker has no
 * name service. Immutable once loaded.
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
};

/* Reads and checks. NULL: `mistakes` has a line for each. */
struct source *source_load(const char *file, struct buf *mistakes);
/* A line for each file that the configuration names and that we cannot read, whatever else is wrong with it. */
void source_missing_files(const char *file, struct buf *out);
void source_free(struct source *s);
DEFINE_CLEANUP(struct source, source_free)

#endif
