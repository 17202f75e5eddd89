/*
 * rehearse: signetd --rehearse: the rings of a configuration lived through on
 * a virtual clock, and what came of it in words or as JSON.
 */
#ifndef SIGNET_SUPERVISOR_REHEARSE_H
#define SIGNET_SUPERVISOR_REHEARSE_H

#include "daemon/config/config.h"
#include "daemon/rehearsal/rehearsal.h"

struct rehearse_args {
    uint64_t seed;
    bool seed_said;              /* else one is made up */
    uint32_t years;
    bool json;
};

/* signetd's exit status: 0 nothing found, 1 found or refused, SUPERVISOR_BAD_CONFIG. */
int rehearse_file(const char *file, const struct rehearse_args *args);

/* --- between its files ------------------------------------------------------------------------ */

struct rehearsed {
    const struct ring_config *ring;
    bool is_unpublished;         /* its keys are in no key set */
    bool is_refused;             /* by its own arithmetic */
    int64_t asked;               /* to live through, seconds */
    struct rehearsal_report report;
};

/* One line of JSON to stdout; `refused` empty: a daemon would run on the file. False: it could not be written. */
bool rehearse_put_json(const struct rehearse_args *args, const struct rehearsed *rings, size_t n, const struct buf *refused);

#endif
