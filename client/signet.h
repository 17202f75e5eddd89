/*
 * libsignet: sign and verify JSON Web Tokens without holding the key.
 *
 * signetd signs with a key in a PKCS#11 token; this library asks it, over a
 * Unix socket. It also verifies offline, against a JWK set, with no daemon.
 *
 *     struct signet_error why;
 *     struct signet *s = signet_open(NULL, &why);
 *     struct signet_sign_request ask = { .profile = "web-session", .subject = "1234567890" };
 *     struct signet_token *t = s ? signet_sign(s, &ask, &why) : NULL;
 *     if (!t)
 *         fprintf(stderr, "%s: %s\n", why.reason, why.text);
 *     else
 *         puts(t->token);
 *     signet_token_free(t);
 *     signet_close(s);
 *
 * Calls of a struct signet block, for at most the timeout, and may be made
 * from many threads at once; those of a struct signet_async return at once and
 * are called back, for event loops. Handles survive a fork: the child's calls
 * have connections of their own. No signal is raised (no SIGPIPE), no thread
 * started, nothing printed, no lock held across a call.
 *
 * A daemon that restarts is waited for (2 s, within the timeout), and what it
 * had not answered is asked again, but for what makes or destroys keys (a key
 * is revoked again, all the same). Where it was not there in the first place
 * the answer is DAEMON_UNREACHABLE at once.
 *
 * Functions that return a pointer or bool say NULL or false on failure and
 * fill `e`, which may be NULL; success leaves `e` alone. Requests are zeroed
 * structs with what is asked filled in; they and all they point at are
 * borrowed for the call. Results belong to the caller, are freed by the
 * function of their name (which takes NULL) and are never changed by it.
 * Strings are UTF-8; a string of a result is never NULL unless it says so.
 * Times are Unix seconds. A struct here grows only with a new soname.
 */
#ifndef SIGNET_H
#define SIGNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined __GNUC__
#define SIGNET_API __attribute__((visibility("default")))
#else
#define SIGNET_API
#endif

/* Errors ---------------------------------------------------------------- */

/* Canonical gRPC status codes: what a program should do next. */
enum signet_code {
    SIGNET_INVALID_ARGUMENT = 3,
    SIGNET_DEADLINE_EXCEEDED = 4,       /* may be asked again */
    SIGNET_NOT_FOUND = 5,
    SIGNET_PERMISSION_DENIED = 7,
    SIGNET_RESOURCE_EXHAUSTED = 8,      /* may be asked again, after retry_after_ms */
    SIGNET_FAILED_PRECONDITION = 9,
    SIGNET_UNIMPLEMENTED = 12,
    SIGNET_INTERNAL = 13,
    SIGNET_UNAVAILABLE = 14             /* may be asked again */
};

struct signet_error {
    int code;                    /* enum signet_code; a newer daemon may have others */
    uint32_t retry_after_ms;     /* where waiting helps; else 0 */
    char reason[48];             /* stable, for programs: "TTL_TOO_LONG" */
    char text[400];              /* one sentence for a person, no full stop */
};

/*
 * True: the token was judged and is not to be trusted. False: it could not be
 * judged (no daemon, no time, no right to ask), which says nothing about it.
 */
SIGNET_API bool signet_error_is_verdict(const struct signet_error *e);

/* The connection --------------------------------------------------------- */

struct signet;

/*
 * A handle on signet.sock at `path` (NULL: $SIGNET_SOCKET, else
 * /run/signet/signet.sock), or on admin.sock (NULL: $SIGNET_ADMIN_SOCKET, else
 * /run/signet/admin.sock). Connects at the first call, and again by itself.
 * Any number of threads may call through one; each call has a connection to
 * itself while it lasts, and idle ones (at most 8) are kept. Close it when no
 * call is under way.
 */
SIGNET_API struct signet *signet_open(const char *path, struct signet_error *e);
SIGNET_API struct signet *signet_open_admin(const char *path, struct signet_error *e);
SIGNET_API void signet_close(struct signet *s);

/*
 * How long a call may take in all. 0: as at the start: 5 s, two minutes for
 * what makes or destroys keys, and the daemon's own deadline (2 s unless its profile says
 * otherwise). One given here is also the deadline that the daemon keeps.
 */
SIGNET_API void signet_set_timeout(struct signet *s, uint32_t timeout_ms);

/* Signing ------------------------------------------------------------------ */

struct signet_sign_request {
    const char *profile;
    const char *subject;             /* NULL: none */
    const char *const *audiences;    /* none: the profile's first */
    size_t n_audiences;
    uint32_t ttl_s;                  /* 0: the profile's */
    int64_t not_before;              /* 0: no nbf */
    const char *jti;                 /* NULL: 128 random bits */
    const char *claims;              /* one JSON object of private claims, signed as written; NULL: none */
    size_t claims_len;               /* bytes */
    const void *payload;             /* not NULL: these bytes as they are, with a `raw` profile */
    size_t payload_len;              /* bytes */
};

struct signet_token {
    const char *token;               /* compact JWS */
    const char *kid, *jti;           /* "" where there is none */
    int64_t expires_at;              /* 0: a raw payload. May be sooner than asked */
};

SIGNET_API struct signet_token *signet_sign(struct signet *s, const struct signet_sign_request *ask,
                                            struct signet_error *e);
SIGNET_API void signet_token_free(struct signet_token *t);

/* What signet_sign would have signed. */
struct signet_preview {
    const char *header;              /* JSON */
    const void *payload;             /* JSON, or a raw payload as it was given */
    size_t payload_len;              /* bytes */
    const char *kid;                 /* "" where there is none */
    int64_t expires_at;              /* 0: a raw payload */
};

/*
 * The refusal that signet_sign would give, or what it would sign; no key is
 * used. Counts for the profile's rate as signing does. The token itself will
 * have other times and, unless one was asked for, another jti.
 */
SIGNET_API struct signet_preview *signet_preview(struct signet *s, const struct signet_sign_request *ask,
                                                 struct signet_error *e);
SIGNET_API void signet_preview_free(struct signet_preview *p);

#define SIGNET_MAX_BATCH 256

struct signet_batch_item {
    const struct signet_token *token;    /* NULL: refused, and `error` says why. Owned by the batch */
    struct signet_error error;
};

struct signet_batch {
    const struct signet_batch_item *items;     /* in the order asked */
    size_t n;
};

/* Each item succeeds or fails by itself; NULL only where none could be asked. */
SIGNET_API struct signet_batch *signet_sign_batch(struct signet *s, const struct signet_sign_request *ask, size_t n,
                                                  struct signet_error *e);
SIGNET_API void signet_batch_free(struct signet_batch *b);

/* Verifying ---------------------------------------------------------------- */

struct signet_verified {
    const void *payload;             /* the bytes that were signed; NUL follows them */
    size_t payload_len;              /* bytes */
    const char *profile;             /* that accepted it; "" offline */
    const char *kid;                 /* of the key that made it; "" where it has none */
    int64_t expires_at;              /* 0: none */
};

/*
 * By the daemon. `profile` NULL: the one of the token's iss, aud and typ.
 * `audience` NULL: any of the profile's.
 */
SIGNET_API struct signet_verified *signet_verify(struct signet *s, const void *token, size_t len,
                                                 const char *profile, const char *audience,
                                                 struct signet_error *e);
SIGNET_API void signet_verified_free(struct signet_verified *v);

/*
 * Here, in the caller's process, with signetd's keys and profiles: no round
 * trip. By the same code as the daemon's, with the profile's iss, aud, typ and
 * leeway and its ring's keys; what has no public key that this library can read
 * (HMAC, a raw ring that is not published, a newer daemon's key) is asked of the
 * daemon.
 *
 * The key set is fetched at the first call, then when signetd said that it
 * would change, or half-way to the end of its max-age, whichever is sooner, and
 * once where a token names a key or profile that it does not have (at most once
 * a second). While the daemon is away the set goes on to its end; past that the
 * answer is KEYS_UNAVAILABLE, never a verdict.
 *
 * For any number of threads; a forked child begins with its parent's set.
 */
struct signet_local;

SIGNET_API struct signet_local *signet_local_open(const char *path, struct signet_error *e);     /* path: as signet_open */
SIGNET_API void signet_local_close(struct signet_local *l);
/*
 * How long a call may wait for signetd where it cannot judge by itself: 5 s at
 * the start. 0: not at all, for event loops: the answer is then KEYS_UNAVAILABLE,
 * and what it needs is fetched while other calls go on.
 */
SIGNET_API void signet_local_set_wait(struct signet_local *l, uint32_t wait_ms);
/* As signet_verify; tokens of up to 1 MiB, where the daemon takes what its max_request leaves. */
SIGNET_API struct signet_verified *signet_local_verify(struct signet_local *l, const void *token, size_t len,
                                                       const char *profile, const char *audience,
                                                       struct signet_error *e);

/*
 * Offline, by the same code as the daemon's, against a JWK set (RFC 7517) or
 * one JWK. Never touches the network. A verifier may be used by several
 * threads at once.
 */
struct signet_verifier;

SIGNET_API struct signet_verifier *signet_verifier_new(const char *jwks, size_t len, struct signet_error *e);
SIGNET_API void signet_verifier_free(struct signet_verifier *v);

struct signet_verify_rules {
    const char *const *algs;         /* allowed ones, such as "ES256"; none: each key's own must settle it */
    size_t n_algs;                   /* (a name that is not known allows nothing) */
    bool no_claims;                  /* the payload may be any bytes; nothing below is looked at */
    const char *issuer;              /* NULL: any */
    const char *const *audiences;    /* the token's must hold one of them; none: not looked at */
    size_t n_audiences;
    const char *typ;                 /* NULL: any */
    uint32_t leeway_s;               /* of exp, nbf and iat; at most 600 */
    bool at_given;                   /* judge as of `at` in place of the clock */
    int64_t at;
    bool allow_weak_secret;          /* HMAC keys shorter than the hash: test keys, old secrets */
};

/* Tokens of up to 1 MiB. `rules` NULL: as all zero. */
SIGNET_API struct signet_verified *signet_verifier_check(const struct signet_verifier *v,
                                                         const void *token, size_t len,
                                                         const struct signet_verify_rules *rules,
                                                         struct signet_error *e);

/* Without waiting ------------------------------------------------------------- */

/*
 * For event loops. Poll the descriptor for reading (it is an epoll's: any loop
 * takes it) and call signet_async_process when it is readable:
 *
 *     struct pollfd p = { .fd = signet_async_fd(a), .events = POLLIN };
 *     while (signet_async_n_waiting(a) && poll(&p, 1, -1) >= 0)
 *         signet_async_process(a);
 *
 * Hundreds of calls may wait at a time (4096 at most; more is
 * TOO_MANY_IN_FLIGHT), on one connection. Each ends with exactly one callback,
 * in signet_async_process and nowhere else, at its deadline at the latest.
 *
 * For one thread at a time. After a fork the child asks for the descriptor
 * anew; what waited is the parent's, and in the child it is forgotten. Do not
 * fork within a callback.
 */
struct signet_async;

SIGNET_API struct signet_async *signet_async_open(const char *path, struct signet_error *e);    /* path: as signet_open */
/* What waits is forgotten: nobody is called back. May be called within a callback. */
SIGNET_API void signet_async_close(struct signet_async *a);
/* The same descriptor for as long as the process has the handle; -1: none (no descriptors left). */
SIGNET_API int signet_async_fd(struct signet_async *a);
/* Sends, reads, calls back; never waits. Returns how many calls ended. */
SIGNET_API size_t signet_async_process(struct signet_async *a);
SIGNET_API size_t signet_async_n_waiting(const struct signet_async *a);
/* For the calls begun from now on, as signet_set_timeout. */
SIGNET_API void signet_async_set_timeout(struct signet_async *a, uint32_t timeout_ms);
/* The call is not called back; its token may be made all the same. False: there is no such call any more. */
SIGNET_API bool signet_async_cancel(struct signet_async *a, uint64_t call);

/*
 * How a call ends: a result, which is the callback's to free, or NULL and why.
 * Callbacks may begin and cancel calls.
 */
typedef void signet_token_fn(void *ctx, struct signet_token *t, const struct signet_error *e);
typedef void signet_batch_fn(void *ctx, struct signet_batch *b, const struct signet_error *e);
typedef void signet_verified_fn(void *ctx, struct signet_verified *v, const struct signet_error *e);

/*
 * Begin a call: arguments as those of the blocking ones, borrowed until the
 * return. The call's number, for signet_async_cancel; 0: it could not begin, e
 * says why, and nobody will be called back.
 */
SIGNET_API uint64_t signet_async_sign(struct signet_async *a, const struct signet_sign_request *ask,
                                      signet_token_fn *done, void *ctx, struct signet_error *e);
SIGNET_API uint64_t signet_async_sign_batch(struct signet_async *a, const struct signet_sign_request *ask, size_t n,
                                            signet_batch_fn *done, void *ctx, struct signet_error *e);
SIGNET_API uint64_t signet_async_verify(struct signet_async *a, const void *token, size_t len, const char *profile,
                                        const char *audience, signet_verified_fn *done, void *ctx,
                                        struct signet_error *e);

/* Keys and profiles ---------------------------------------------------------- */

struct signet_profile {
    const char *name, *issuer, *typ, *alg, *ring;
    const char *const *audiences;
    size_t n_audiences;
    uint32_t leeway_s, ttl_s, max_ttl_s;
    bool raw;                        /* signs a payload as it is */
    bool has_secret_keys;            /* also, or only, HMAC keys, which are in no key set: the daemon verifies */
};

/* What a verifier needs: open to every caller of the socket. */
struct signet_keys {
    const char *jwks;                /* {"keys":[…]}, RFC 7517 */
    uint64_t version;                /* changes only when the set does */
    uint32_t max_age_s;              /* how long a copy may be used */
    uint32_t changes_in_s;           /* until the set may change, as far as is foreseen; 0: no change is */
    const struct signet_profile *profiles;
    size_t n_profiles;
};

SIGNET_API struct signet_keys *signet_get_keys(struct signet *s, struct signet_error *e);
SIGNET_API void signet_keys_free(struct signet_keys *k);

/* What one caller may have of a profile. */
struct signet_fixed_claim {
    const char *name;
    const char *json;                /* its value */
};

struct signet_profile_rules {
    struct signet_profile profile;
    bool may_sign, may_verify;
    /* Only where the caller may sign; of a raw profile the rate alone: */
    const char *subject;             /* "any"; "caller": always the caller's user name */
    bool any_claim;                  /* any that is not forbidden may be given */
    const char *const *allowed;
    size_t n_allowed;
    const char *const *required;     /* "sub": a subject */
    size_t n_required;
    const char *const *forbidden;
    size_t n_forbidden;
    const struct signet_fixed_claim *fixed;     /* written by the daemon, not to be given */
    size_t n_fixed;
    uint32_t rate_per_s;             /* of each caller; 0: unlimited */
};

struct signet_profile_list {
    const struct signet_profile_rules *profiles;
    size_t n;
};

/* The profiles that the caller may sign or verify with, and no other. */
SIGNET_API struct signet_profile_list *signet_list_profiles(struct signet *s, struct signet_error *e);
SIGNET_API void signet_profile_list_free(struct signet_profile_list *l);

/* Status ----------------------------------------------------------------------- */

struct signet_mechanism_status {
    const char *alg, *mechanism;     /* "ES256", "CKM_ECDSA"; mechanism "": the token has none */
    bool proved;                     /* by a test signature verified in software */
};

struct signet_token_status {
    const char *name;                /* in signetd's configuration; "": the only one */
    const char *label, *manufacturer, *model, *serial;
    bool software;                   /* its keys are files */
    const char *custody;             /* what the key attributes prove, in a sentence */
    struct signet_error trouble;     /* why it cannot be used for now; reason "": nothing is wrong */
};

struct signet_ring_status {
    const char *name, *alg, *active_kid, *next_kid;
    int64_t next_activates_at;
    uint32_t n_published;
    struct signet_error trouble;     /* why it does not sign; reason "": it does */
    const char *active_alg;          /* of the key that signs; another than alg while the ring changes over */
    uint64_t signed_old_alg;         /* tokens signed since the daemon's start with another algorithm than alg */
    struct signet_error rotation_trouble;     /* why its next key could not be made; reason "": nothing is wrong */
    const char *const *tokens;       /* that hold keys of it, where there are several: the first signs if it can */
    size_t n_tokens;
    const char *token;               /* the one of them that signs; "": none, or there is only one */
};

struct signet_signer_status {
    uint32_t number, pid, restarts;
    uint64_t signatures;
    const char *state, *why;         /* starting, ready, failed, hung */
};

struct signet_counter {
    const char *name;
    uint64_t value;
};

/* Requests since the daemon's start; a batch's items count as sign. */
struct signet_result_count {
    const char *op, *profile;        /* sign, verify, …; profile "": of none that the configuration has */
    const char *result;              /* OK, or the error's reason */
    uint64_t n;
};

/* How long they took: counts[i] took at most bounds_us[i], and longer than the bound before; the last one: the rest. */
struct signet_stage {
    const char *op, *stage;          /* sign, verify; queue, token, total: waiting, with a signer or verifier, all of it */
    const uint32_t *bounds_us;
    const uint64_t *counts;          /* n_bounds + 1 */
    size_t n_bounds;
    uint64_t sum_us;
};

struct signet_refusal {
    int64_t at;
    uint32_t uid;
    const char *op, *profile, *reason, *text;
};

struct signet_status {
    const char *version;             /* signetd's */
    int64_t started_at;
    bool ready;                      /* signs and verifies */
    struct signet_error trouble;     /* why not; reason "": nothing is wrong */
    const char *token_label, *token_manufacturer, *token_model, *token_serial;
    bool token_software;             /* its keys are files */
    const char *custody;             /* what the key attributes prove, in a sentence */
    const struct signet_mechanism_status *mechanisms;
    size_t n_mechanisms;
    const struct signet_token_status *tokens;      /* all; the members token_… and custody are the first's */
    size_t n_tokens;
    const struct signet_ring_status *rings;
    size_t n_rings;
    /* By admin.sock only: */
    const struct signet_signer_status *signers;
    size_t n_signers;
    const struct signet_counter *counters;
    size_t n_counters;
    uint32_t config_generation;
    uint32_t pid;
    const char *const *notices;      /* what an operator should know of clock, token, rings and sandbox, a sentence each */
    size_t n_notices;
    const char *sandbox;             /* what the kernel has of it: "Landlock ABI 7, seccomp"; "none" */
    int64_t proved_at;               /* when a signature of the token was last found good; 0: never yet */
    const struct signet_result_count *results;
    size_t n_results;
    const struct signet_stage *stages;
    size_t n_stages;
    const struct signet_refusal *refusals;         /* the last ones, newest first */
    size_t n_refusals;
};

SIGNET_API struct signet_status *signet_get_status(struct signet *s, struct signet_error *e);
SIGNET_API void signet_status_free(struct signet_status *st);

/* Administration: handles of signet_open_admin --------------------------------- */

struct signet_key_use { const char *profile; uint64_t signatures; };

struct signet_key {
    const char *kid, *ring, *alg;    /* ring "": foreign, not signet's */
    const char *state;               /* next, active, retired, expired, revoked, orphan, foreign */
    const char *label, *id;          /* on the token: CKA_LABEL; CKA_ID in hexadecimal */
    int64_t activates_at;
    int64_t retires_at;              /* when its successor activates; 0: not known */
    int64_t ends_at;                 /* the last moment a token of it may live; 0: not known */
    bool published, imported, proved;
    bool sensitive, extractable, always_sensitive, never_extractable, local;     /* PKCS#11's attributes */
    const char *jwk;                 /* the public half; "" for HMAC */
    const char *trouble;             /* why it is not used; "" */
    const char *custody;             /* what is known of where it has been, in a few words */
    uint64_t signatures;             /* released since the daemon's start, and the same by profile */
    const struct signet_key_use *uses;
    size_t n_uses;
    const char *token;               /* that holds it; "": there is only one */
};

struct signet_key_list {
    const struct signet_key *keys;
    size_t n;
    const char *const *foreign_facts;     /* data objects named like facts of rings, and not signet's: never used */
    size_t n_foreign_facts;
};

SIGNET_API struct signet_key_list *signet_list_keys(struct signet *admin, struct signet_error *e);

/*
 * Where a ring's keys are on several tokens, `ring` is RING@TOKEN here and
 * below: it is one ring on each.
 */
/* A new key, made in the token: a list of one. Waits up to two minutes. */
SIGNET_API struct signet_key_list *signet_generate_key(struct signet *admin, const char *ring,
                                                       struct signet_error *e);
/* An HMAC secret into an HMAC ring: a list of one. The library wipes its own copies. */
SIGNET_API struct signet_key_list *signet_import_key(struct signet *admin, const char *ring,
                                                     const void *secret, size_t len, struct signet_error *e);
SIGNET_API void signet_key_list_free(struct signet_key_list *l);

/* The panic button, and what it did. */
struct signet_revocation {
    struct signet_key key;           /* the revoked one, as it was */
    const struct signet_key *successor;   /* that signs now; NULL: see trouble */
    bool promoted;                   /* the successor was the next key, published before */
    int64_t known_at;                /* when all verifiers that honour max-age have the successor */
    int64_t tokens_until;            /* when its last token would have ended, or did; 0: none is known */
    bool destroyed;                  /* gone from the token */
    bool recorded;                   /* the token holds the fact: a restored backup does not bring the key back */
    struct signet_error trouble;     /* what of this could not be done; reason "": nothing */
};

/*
 * `kid` is never published or used again: its living tokens are rejected. The
 * ring's next key takes over, or one that is made now; then `kid` is destroyed.
 */
SIGNET_API struct signet_revocation *signet_revoke_key(struct signet *admin, const char *kid, struct signet_error *e);
SIGNET_API void signet_revocation_free(struct signet_revocation *r);
/*
 * Destroys a key (by its kid, or its CKA_ID in hexadecimal): a list of one, as
 * it was. One that never signed is withdrawn; KEY_NEEDED where living tokens
 * need it, unless `i_know`.
 */
SIGNET_API struct signet_key_list *signet_destroy_key(struct signet *admin, const char *kid, bool i_know,
                                                      struct signet_error *e);

struct signet_ring {
    struct signet_ring_status status;
    const char *const *profiles;     /* that sign with it */
    size_t n_profiles;
    /* Its settings: */
    uint32_t rotate_every_s;         /* 0: never */
    uint32_t publish_ahead_s, max_ttl_s, skew_s;
    uint32_t max_age_s;              /* jwks_max_age */
    uint32_t refresh_s;
    uint32_t generation_s;           /* how long making a key may take */
    uint32_t destroy_after_s;
    bool standby;
};

struct signet_ring_list {
    const struct signet_ring *rings;
    size_t n;
};

SIGNET_API struct signet_ring_list *signet_list_rings(struct signet *admin, struct signet_error *e);
SIGNET_API void signet_ring_list_free(struct signet_ring_list *l);

/* A key's life. 0 in place of a time: nothing known or foreseen. */
struct signet_planned_key {
    const char *kid;                 /* "": not known, or not made yet */
    const char *state;               /* as signet_key's, at now; to_come: next; "gone": it is on the token no more */
    bool to_come;                    /* not made yet */
    int64_t published_at;            /* to_come: due to be made; else known to this daemon since; 0: it signed then */
    uint32_t longest_max_age_s;      /* the same two: how long a key set without it may be in use */
    int64_t activates_at, retires_at, ends_at, private_destroyed_at, destroyed_at;
};

struct signet_ring_plan {
    const struct signet_ring *ring;
    int64_t now;
    int64_t until;                   /* sooner than asked where there would be too many keys */
    const struct signet_planned_key *keys;     /* in the order of activation */
    size_t n;
};

/*
 * What becomes of a ring if all that falls due is done when it is due: to
 * `until`, or (0) to the second rotation to come.
 */
SIGNET_API struct signet_ring_plan *signet_plan_ring(struct signet *admin, const char *ring, int64_t until,
                                                     struct signet_error *e);
SIGNET_API void signet_ring_plan_free(struct signet_ring_plan *p);

/* What a rotation asked for comes to. */
struct signet_rotation {
    const struct signet_key *key;    /* that will sign; NULL: a dry run that would make it */
    bool made;                       /* it is new, or would be */
    int64_t activates_at;            /* when it signs */
    int64_t before;                  /* when it would have without this; 0: there was none */
    int64_t known_at;                /* when all verifiers that honour max-age have it */
};

/*
 * The earliest change to another key at which every verifier has it, or
 * (at_once) now. dry_run: only says what would be done.
 */
SIGNET_API struct signet_rotation *signet_rotate_ring(struct signet *admin, const char *ring, bool at_once, bool dry_run,
                                                      struct signet_error *e);
SIGNET_API void signet_rotation_free(struct signet_rotation *r);

/* Reads the configuration again; all of it counts, or none. */
SIGNET_API bool signet_reload(struct signet *admin, uint32_t *out_generation, struct signet_error *e);

#ifdef __cplusplus
}
#endif
#endif
