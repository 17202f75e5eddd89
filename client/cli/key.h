/* key: what the commands on keys share: which one is meant, and what is said of it. */
#ifndef SIGNET_CLI_KEY_H
#define SIGNET_CLI_KEY_H

#include "client/cli/cli.h"

/*
 * The key of this kid, or the only one whose kid begins so; of one that has no
 * kid its CKA_ID in hexadecimal counts. NULL: there is none; *several: more
 * than one. A stranger's copy of a key does not stand in its way.
 */
const struct signet_key *key_find(const struct signet_key_list *l, const char *name, bool *several);
/* That there is none, or more than one; an exit status. */
int key_unfound(const char *name, bool several);

#define KEY_NO_KID "KID is empty, and every kid begins so"

/* What is done to the key that a command was asked for. */
struct key_asked {
    const char *kid;                 /* as it was asked for */
    bool json, i_know;
};
typedef int key_act(struct signet *admin, const struct signet_key_list *all, const struct key_asked *a);
/* Does it with the list of all keys, from the admin socket; an exit status. */
int key_do(const struct common *c, const struct key_asked *a, key_act *act);

/* By which it is found, and asked for: its kid; where it has none, its CKA_ID. */
const char *key_name(const struct signet_key *k);

/* How to write it as an argument: one of 64 kids begins like an option. "-- " or "". */
const char *key_dashes(const char *kid);

/* Its ring; NULL: it has none, or the configuration no such one, or `rings` is NULL. */
const struct signet_ring *key_ring(const struct signet_ring_list *rings, const struct signet_key *k);

json_t *key_json(const struct signet_key *k);
/* All that is known of it, a line each. */
void key_put(const struct signet_key *k);
void key_put_line(const struct signet_key *k);
/* "12 tokens: session 10, other 2". */
void key_put_uses(const struct signet_key *k);

int key_revoke(int argc, char **argv);
int key_destroy(int argc, char **argv);

#endif
