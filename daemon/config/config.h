/*
 * config: the one YAML file, parsed to the settings structs of the rooms.
 * Pure: text and resolved names in; settings, or all mistakes at once, out
 * ("file:line: …", one a line). The supervisor reads the file and resolves
 * names; every role parses the same text.
 *
 * A setting is a row in settings.c's tables and a field in the room it
 * belongs to.
 */
#ifndef SIGNET_CONFIG_H
#define SIGNET_CONFIG_H

#include "daemon/policy/policy.h"
#include "daemon/ring/ring.h"
#include "proto/buf.h"
#include "proto/cleanup.h"
#include "proto/jose/alg.h"

#include <sys/socket.h>

#define CONFIG_MAX_TEXT (1024u * 1024)     /* bytes of a file */
#define CONFIG_MAX_MISTAKES 50u            /* told at once; more are counted */

/* User and group names as the supervisor resolved them; one that is not there does not exist. */
struct name_id { char *name; uint32_t id; };
struct names { struct name_id *users; size_t n_users; struct name_id *groups; size_t n_groups; };
void names_clear(struct names *n);

#define CONFIG_MAX_TOKENS 4u
#define CONFIG_MAX_TOKEN_NAME 32u          /* bytes */

struct outside_key {                       /* made outside signet, named by URI */
    char *uri;                             /* RFC 7512, well formed, names an object or id */
    char *token_name; size_t token;        /* that it is on, one of the ring's */
    int64_t activates_at, max_ttl, skew, max_age;
};
struct ring_config {
    struct ring_settings settings;         /* ring's own */
    const struct alg *alg;
    uint32_t rsa_bits;
    bool allow_exportable, allow_weak_secret;
    bool publish;                          /* a raw profile's ring in the key set */
    uint32_t verify_every;                 /* 0: by the token's kind */
    char **token_names; size_t n_token_names;
    size_t tokens[CONFIG_MAX_TOKENS]; size_t n_tokens;     /* that hold its keys, each keys of its own; the first signs, if it can */
    uint32_t failover_after_ms;            /* for how long it cannot before the next one signs, and can before it does again */
    struct outside_key *outside; size_t n_outside;
};
struct token_config {
    char name[CONFIG_MAX_TOKEN_NAME + 1];  /* of `tokens`; empty: the only one, `token` */
    char *module;                          /* path, or a name that p11-kit knows */
    char *uri;
    char *pin_file, *pin_credential;       /* at most one; neither: the uri's pin-source */
    uint32_t n_signers;                    /* 0: auto */
    uint32_t timeout_ms, generate_timeout_ms;
    uint32_t max_memory;                   /* bytes that a signer may hold: modules leak */
};
struct daemon_config {
    char *socket, *admin_socket;
    struct allow admin;
    uint32_t max_request;                  /* bytes */
    uint32_t max_connections, max_connections_per_uid, max_in_flight, max_queue_per_uid;
    uint32_t max_memory;                   /* bytes that requests and replies of all callers may hold */
    uint32_t n_verifiers;                  /* 0: auto */
    uint32_t deadline_ms, drain_timeout_ms, frame_timeout_ms;
};
struct http_config {                       /* what the publisher serves; listen NULL: there is none */
    char *listen;                          /* address:port, [address]:port, or a socket's path */
    struct sockaddr_storage address; socklen_t address_len;      /* the same */
    bool is_public;                        /* strangers reach it: keys and health alone */
    bool any_origin; char **origins; size_t n_origins;           /* of pages that may read the key sets */
};
struct config {
    struct daemon_config daemon;
    struct http_config http;
    struct token_config *tokens; size_t n_tokens;
    struct ring_config *rings; size_t n_rings;
    struct profile *profiles; size_t n_profiles;
};

/* NULL: `mistakes` holds every one. names NULL: user and group names are taken as existing (--check on another machine). */
struct config *config_parse(const char *text, size_t len, const char *file, const struct names *names,
                            struct buf *mistakes);
/* The same, whether living tokens keep their keys by it or not: to see what would become of them. No role may run on it. */
struct config *config_parse_unpromised(const char *text, size_t len, const char *file, const struct names *names,
                                       struct buf *mistakes);
void config_free(struct config *c);

/*
 * As those who serve one token see it: tokens[0] is that one, and only its
 * rings are left, with those of their outside keys that are on it. `token` is
 * one of c's.
 */
void config_keep_token(struct config *c, size_t token);
/* "token", or "tokens.spare"; for sentences. */
#define CONFIG_TOKEN_WHERE (sizeof "tokens." + CONFIG_MAX_TOKEN_NAME)
const char *config_token_where(const struct token_config *t, char out[CONFIG_TOKEN_WHERE]);
/* The token of that name among a ring's; NULL: none of them is called so. */
const struct token_config *config_ring_token(const struct config *c, const struct ring_config *r, const char *name);
DEFINE_CLEANUP(struct config, config_free)

/* The user and group names that the text mentions, each once, ids unset: for the supervisor to resolve. */
void config_names(const char *text, size_t len, struct names *out);

/* The files that the text names, whatever else is wrong with it; the paths are the caller's to free. */
#define CONFIG_MAX_FILES (3u * CONFIG_MAX_TOKENS)
struct config_file { char token[CONFIG_TOKEN_WHERE]; const char *setting; char *path; size_t line; };    /* "token", "pin_file" */
size_t config_files(const char *text, size_t len, struct config_file out[CONFIG_MAX_FILES]);

const struct ring_config *config_ring(const struct config *c, const char *name);
/* Its public keys are for everyone: none of its profiles is raw, or it says publish. */
bool config_publishes(const struct config *c, const struct ring_config *r);
const struct profile *config_profile(const struct config *c, const char *name);
/* How many a broker may have open at once. */
uint32_t config_descriptors(const struct config *c);
/* What differs that only a restart can change ("token.module"), or NULL. */
const char *config_needs_restart(const struct config *was, const struct config *is);

#endif
