/*
 * cli: what the commands of `signet` share: exit statuses, the options that
 * every one has, input and output. Commands return their exit status.
 */
#ifndef SIGNET_CLI_H
#define SIGNET_CLI_H

#include "client/signet.h"
#include "proto/buf.h"
#include "proto/cleanup.h"

#include <argp.h>
#include <jansson.h>
#include <stdio.h>

enum { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_LATER = 3 };

#define CLI_MAX_TOKEN (1024u * 1024)     /* bytes, as offline verification takes */
#define CLI_MAX_FILE (4u * 1024 * 1024)  /* bytes of a key set, claims, payload */

struct command {
    const char *name;                    /* "sign" */
    const char *help;                    /* one line */
    int (*run)(int argc, char **argv);   /* argv[0] is "signet sign" */
};
/* In the order of `signet --help`; the last has no name. */
extern const struct command commands[];
int cmd_sign(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_jwks(int argc, char **argv);
int cmd_profile(int argc, char **argv);
int cmd_ring(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_dev(int argc, char **argv);

/* Looks `argv[1]` up and runs it with the rest; `name` is what stands before it. */
int command_run(const char *name, const char *doc, const struct command *table, int argc, char **argv);

/* --socket and --json: a child parser whose input is this. */
struct common { const char *socket; bool json; };
extern const struct argp common_argp;

/* For commands with these options alone; `doc` as argp wants it. */
void cli_parse_common(int argc, char **argv, const char *doc, struct common *out);
/* For those that take one argument more, called `name`, and must have it: returned. */
const char *cli_parse_one(int argc, char **argv, const char *name, const char *doc, struct common *out);
/* The same with flags of the command's own, of which the last has no name. */
struct cli_flag { const char *name, *help; bool *set; };
#define CLI_MAX_FLAGS 8
const char *cli_parse_flags(int argc, char **argv, const char *name, const char *doc, const struct cli_flag *flags,
                            struct common *out);

/* Handles, or NULL with the reason told. */
struct signet *cli_open(const struct common *c);
struct signet *cli_open_admin(const struct common *c);

/* "signet: REASON: sentence" on stderr; the exit status that belongs to it. */
int cli_failed(const struct signet_error *e);
/* {code, reason, text}; null where the reason is "". */
json_t *cli_error_json(const struct signet_error *e);
/* The same for what the user wrote: EXIT_USAGE. */
int cli_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A file whole, or stdin for "-". False: told. The buffer is made here; buf_clear it in any case. */
bool cli_read(const char *path, struct buf *out, size_t max);
/* A token from the argument, or stdin for "-" or none; white space around it cut. */
bool cli_token(const char *arg, struct buf *out, size_t max);

/* Text as it is; on a terminal with control characters escaped. */
void cli_put_text(const char *text);
/* Bytes as they are; on a terminal with control characters escaped and a newline after them. */
bool cli_put(const void *bytes, size_t len);
/* A text with the same care, and a newline after it wherever it goes. */
bool cli_put_line(const char *text);
/* What everyone may know of a profile. */
json_t *cli_profile_json(const struct signet_profile *p);
/* A payload as JSON: the object, else its text; NULL where it is neither. */
json_t *cli_payload_json(const void *bytes, size_t len);
/* JSON on one line. Takes v. */
int cli_put_json(json_t *v);
/* That what was printed has gone where it goes. */
int cli_flushed(void);

bool cli_duration(const char *text, uint32_t *out_s);     /* 90, 30s, 15m, 12h, 7d, 1y */
bool cli_time(const char *text, int64_t *out);            /* Unix seconds or 2026-11-24T10:00:00Z */
/* "2026-11-24T10:00:00Z (in 15 minutes)". Returns out. */
const char *cli_when(char out[80], int64_t at, int64_t now);

/* "15m": in the largest unit that leaves no rest. Returns out. */
const char *cli_span(char out[16], uint32_t s);

#define PAINT_GOOD "\033[32m"
#define PAINT_BAD  "\033[31m"
#define PAINT_WARN "\033[33m"
#define PAINT_DIM  "\033[2m"
/* The escape sequence, or "" where stdout is no terminal or NO_COLOR is set. */
const char *paint(const char *sequence);
const char *paint_off(void);

#endif
