/*
 * script: a daemon for libsignet's tests: forked children that answer by
 * script, honestly or as no signetd would.
 */
#ifndef SIGNET_TESTS_SCRIPT_H
#define SIGNET_TESTS_SCRIPT_H

#include "signet.pb-c.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Answers a request on fd; false closes the connection. nth: from 0, over all
 * connections (with script_start_many: of this one).
 */
typedef bool script_answer(int fd, const Signet__V1__Request *rq, unsigned nth, const void *arg);

struct script {
    char dir[32], path[48];
    pid_t pid;
    script_answer *answer;
    const void *arg;
};

/* One connection at a time. */
struct script script_start(script_answer *answer, const void *arg);
/* Each connection has a process of its own. */
struct script script_start_many(script_answer *answer, const void *arg);
/* A path where nobody listens, until script_listen: one connection at a time, as the others'. */
struct script script_prepare(script_answer *answer, const void *arg);
void script_listen(struct script *s);
/* Kills it; the socket's file stays, as a killed daemon's does. */
void script_kill(struct script *s);
void script_stop(struct script *s);

bool script_put(int fd, const void *bytes, size_t len);
bool script_put_frame(int fd, const void *message, size_t len);
bool script_put_reply(int fd, const Signet__V1__Reply *r);
void script_say_reload(int fd, uint64_t id, uint32_t generation);
void script_say_error(int fd, uint64_t id, uint32_t code, const char *reason, const char *text);
/* A SignReply with a token of this subject: a payload that says so between two other parts. */
void script_say_token(int fd, uint64_t id, const char *subject);
void script_token(char out[512], const char *payload);
/* Of such a token. */
const char *script_subject(const char *token);

#endif
