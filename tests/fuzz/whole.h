/*
 * whole: a whole broker in this process, and who speaks with it: a signer (a
 * true desk, on a token in memory), a verifier (a true judge), the supervisor,
 * callers. Messages go through true channels and sockets; time passes only by
 * whole_step. One at a time.
 */
#ifndef SIGNET_TESTS_WHOLE_H
#define SIGNET_TESTS_WHOLE_H

#include "proto/buf.h"
#include "role.pb-c.h"
#include "signet.pb-c.h"
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>

enum whole_role { WHOLE_SUPERVISOR, WHOLE_SIGNER, WHOLE_VERIFIER, WHOLE_BROKER };

/* A broker that serves, the same each time: rings `web` (EdDSA), `turn` (it rotates), `mac` (HS256) and `printed`. */
void whole_begin(void);
/* The same, anew, and where it may come to nothing: false: it has ended itself. */
bool whole_start(void);
/* It is kept for the next whole_begin where nothing of it has changed. */
void whole_end(void);

/* 20 ms pass, and everyone does what there is to do. */
void whole_step(void);
bool whole_runs(void);               /* it has not ended itself */
void whole_destroy(void);
unsigned whole_n_lost(void);         /* how often it had a signer or verifier replaced */

/* Another caller, uid and admin as we are. The other end, not blocking. */
int whole_connect(bool admin);
/* A request, framed: the operation's packed message under the number of its field. */
void whole_ask(int fd, uint64_t id, unsigned field, const uint8_t *packed, size_t len);
/*
 * Steps until a reply to it is there, which comes in any case: whole, and one that may be sent. NULL: the connection has
 * ended instead.
 */
Signet__V1__Reply *whole_reply(int fd);

/* What this role says, written to its channel as it is: a field of signet.role.Message and its packed bytes. */
void whole_say(enum whole_role role, unsigned field, const uint8_t *packed, size_t len);

/* The supervisor attaches that; the descriptor is the caller's still. */
void whole_attach(const Signet__Role__Attach *a, int fd);

/*
 * Asked before the signer or verifier answers a message of the broker's that has an id. True: it has been answered by
 * whole_say, or is not to be. NULL: they say what is true.
 */
typedef bool whole_liar(enum whole_role role, uint64_t id);
extern whole_liar *whole_lies;

/* Called when the code of a role begins, and ends; all else is the test's. NULL: nobody asks. */
typedef void whole_watch(enum whole_role role, bool begins);
extern whole_watch *whole_watches;

/* A token as whole's own keys have it: whether it verifies. */
bool whole_verifies(const char *token);

#endif
