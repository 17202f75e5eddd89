/* signet ring rotate: when the next key signs, or what it means that it signs now. */
#include "client/cli/key.h"
#include "client/cli/ring.h"
#include "client/clock.h"

#include <string.h>

struct asked { const char *ring; bool now, yes, dry_run, json, is_silent; };

static json_t *rotation_json(const struct asked *a, const struct signet_rotation *r)
{
    return json_pack("{s:s, s:b, s:o, s:b, s:I, s:I, s:I}", "ring", a->ring, "dry_run", a->dry_run, "key",
                     r->key ? key_json(r->key) : json_null(), "made", r->made, "activates_at", (json_int_t)r->activates_at,
                     "before", (json_int_t)r->before, "known_at", (json_int_t)r->known_at);
}

/* Of verifiers that honour jwks_max_age; others are served by no moment. */
static void put_known(FILE *to, const struct asked *a, const struct signet_rotation *r, int64_t now)
{
    char when[80];

    cli_when(when, r->known_at, now);
    if (r->known_at <= r->activates_at)
        fprintf(to, "  safe: every verifier that honours jwks_max_age has it by %s, before it signs\n", when);
    else
        fprintf(to, "  not safe: until %s there may be verifiers with a key set without it; those that do not fetch the set"
                " for a kid that they do not know reject what it signs until then%s\n", when, a->is_silent ? "" :
                "; and a signetd that cannot list the token meanwhile goes on with the key before");
}

static void put_key(FILE *to, const struct asked *a, const struct signet_rotation *r, const char *verb)
{
    const char *comma = r->key ? ", " : "";

    fprintf(to, "ring %s: %s key%s%s%s%s", a->ring, r->made ? "a new" : "the next", comma, r->key ? r->key->kid : "",
            *comma ? ", " : " ", verb);
}

static void put_rotation(const struct asked *a, const struct signet_rotation *r)
{
    int64_t now = clock_wall_s();
    char when[80];

    put_key(stdout, a, r, a->dry_run ? "would sign" : "signs");
    printf(" from %s", r->activates_at <= now ? "now on" : cli_when(when, r->activates_at, now));
    if (!r->made && r->before > r->activates_at)
        printf("; it was to from %s", cli_when(when, r->before, now));
    else if (!r->made)
        fputs(", as it was to: no sooner moment is safe", stdout);
    putchar('\n');
    put_known(stdout, a, r, now);
    if (!a->dry_run && r->activates_at > now)
        printf("  until then signet key destroy %s%s cancels it\n", key_dashes(r->key->kid), r->key->kid);
}

static int put(const struct asked *a, const struct signet_rotation *r)
{
    if (a->json)
        return cli_put_json(rotation_json(a, r));
    put_rotation(a, r);
    return cli_flushed();
}

static bool says_yes(void)
{
    char line[16];

    fputs("Change the key now? yes or no: ", stderr);
    return fgets(line, sizeof line, stdin) && strcmp(line, "yes\n") == 0;
}

/* What verifiers will see, and whether it is meant. On stderr: stdout has the result. */
static bool is_meant(const struct asked *a, const struct signet_rotation *r)
{
    put_key(stderr, a, r, "signs from now on\n");
    put_known(stderr, a, r, clock_wall_s());
    if (says_yes())
        return true;
    fprintf(stderr, "signet: nothing was changed; without --now the change is at the earliest moment that is safe\n");
    return false;
}

/* No key signs for it before this one. Where that cannot be asked, one may. */
static bool is_silent(struct signet *s, const char *ring)
{
    struct signet_ring_list *l = signet_list_rings(s, NULL);
    size_t len = strcspn(ring, "@");
    bool silent = false;

    for (size_t i = 0; l && i < l->n; i++) {
        const struct signet_ring_status *r = &l->rings[i].status;
        silent |= strlen(r->name) == len && strncmp(r->name, ring, len) == 0 && !*r->active_kid;
    }
    signet_ring_list_free(l);
    return silent;
}

static int rotate(struct signet *s, const struct asked *a)
{
    struct signet_error e;
    bool ask = a->now && !a->dry_run && !a->yes, meant = true;         /* the result says it all once more */
    struct signet_rotation *r = ask ? signet_rotate_ring(s, a->ring, true, true, &e) : NULL;

    if (ask && !r)
        return cli_failed(&e);
    if (ask)
        meant = is_meant(a, r);
    signet_rotation_free(r);
    if (!meant)
        return EXIT_REFUSED;
    r = signet_rotate_ring(s, a->ring, a->now, a->dry_run, &e);
    int status = r ? put(a, r) : cli_failed(&e);
    signet_rotation_free(r);
    return status;
}

int ring_rotate(int argc, char **argv)
{
    struct common c = { 0 };
    struct asked a = { 0 };
    const struct cli_flag flags[] = {
        { "now", "At once, whatever verifiers have: says what they will see, and asks", &a.now },
        { "yes", "Does not ask", &a.yes },
        { "dry-run", "Only says what would be done", &a.dry_run },
        { NULL, NULL, NULL },
    };
    a.ring = cli_parse_flags(argc, argv, "RING", "Changes to another key at the earliest moment at which every verifier that"
                             " honours jwks_max_age has it: the next key is brought forward, or one is made. Prints which key,"
                             " when, and why that is safe. Asks the admin socket.", flags, &c);
    a.json = c.json;
    if (a.now && !a.yes && !a.dry_run && !isatty(STDIN_FILENO))
        return cli_usage("--now asks on the terminal, and stdin is none: --yes does not ask, --dry-run only says what would be"
                         " done");
    struct signet *s = cli_open_admin(&c);
    a.is_silent = s && is_silent(s, a.ring);
    int status = s ? rotate(s, &a) : EXIT_USAGE;
    signet_close(s);
    return status;
}
