/* watch_page: one look at the daemon, drawn on screen.h's page of whatever size. */
#ifndef SIGNET_CLI_WATCH_PAGE_H
#define SIGNET_CLI_WATCH_PAGE_H

#include "client/cli/cli.h"

struct look {
    const struct signet_status *now, *before;    /* NULL: none yet */
    double apart_s;                              /* of these two; 0: before is not of this run */
    const struct signet_key_list *keys;          /* NULL: not known */
    int64_t at;                                  /* Unix seconds: of `now` */
    struct signet_error lost;                    /* why there is no later one; reason "": there is */
    int64_t lost_at;                             /* since when */
    uint32_t interval_s;
};

void watch_page(const struct look *l);

#endif
