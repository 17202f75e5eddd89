/*
 * throwaway_conf: a configuration made for another machine, its places and
 * people changed to a throwaway daemon's. Pure: text in, text out.
 *
 * The text stays the user's, line for line, so that what signetd says of it
 * names the user's lines; only values are replaced.
 */
#ifndef SIGNET_CLI_THROWAWAY_CONF_H
#define SIGNET_CLI_THROWAWAY_CONF_H

#include "proto/buf.h"
#include "proto/err.h"

struct throwaway_places {
    const char *socket, *admin_socket, *pin_file;     /* paths */
    const char *module, *uri;                         /* the token's */
    unsigned uid;                                     /* the administrator */
};

/*
 * Where daemon and token are: `p`'s. Who may sign and verify: any, where the
 * file names someone. Keys: none are named, none made by the daemon by itself. All else,
 * limits and times too, as it was. False: the text is no YAML, or not laid out
 * so that it can be changed; `file` is how the user calls it.
 */
bool throwaway_conf(const char *text, size_t len, const char *file, const struct throwaway_places *p, struct buf *out,
                    struct err *e);

#endif
