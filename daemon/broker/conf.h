/*
 * conf: the configuration that a request began with, and stays with to its
 * end whatever is reloaded meanwhile: counted, with the users' names that came
 * along, since a broker has no name service.
 */
#ifndef SIGNET_BROKER_CONF_H
#define SIGNET_BROKER_CONF_H

#include "daemon/channel/channel.h"
#include "daemon/config/config.h"

struct conf {
    struct config *config;
    uint32_t generation;
    struct name_id *callers;       /* by uid */
    size_t n_callers;
    struct conf *of_token[CONFIG_MAX_TOKENS];  /* conf_of_token's, where there are several */
    unsigned refs;
};

/* NULL: `mistakes` has a line for each. One reference, the caller's. */
struct conf *conf_new(const Signet__Role__Config *m, struct buf *mistakes);
struct conf *conf_ref(struct conf *c);
void conf_unref(struct conf *c);   /* takes NULL */
DEFINE_CLEANUP(struct conf, conf_unref)

/* What verifiers call the key set of a ring on that token. */
#define CONF_SET_NAME (CONFIG_MAX_TOKEN_NAME + RING_MAX_NAME + 2)
void conf_set_name(const struct token_config *token, const char *ring, char out[CONF_SET_NAME]);

/* As those who serve that token see it; borrowed from c. */
struct conf *conf_of_token(struct conf *c, size_t token);
/* The user name of a uid, borrowed; NULL: none. */
const char *conf_user(const struct conf *c, uint32_t uid);

#endif
