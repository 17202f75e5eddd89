/* signet key revoke: the panic button, and the report of what it did and what follows. */
#include "client/cli/key.h"

#include "client/clock.h"

#include <string.h>

static json_t *report_json(const struct signet_revocation *r)
{
    return json_pack("{s:o, s:o, s:b, s:I, s:I, s:b, s:b, s:o}", "key", key_json(&r->key), "successor",
                     r->successor ? key_json(r->successor) : json_null(), "promoted", r->promoted, "known_at",
                     (json_int_t)r->known_at, "tokens_until", (json_int_t)r->tokens_until, "destroyed", r->destroyed,
                     "recorded", r->recorded, "trouble", cli_error_json(&r->trouble));
}

static void put_item(const char *what)
{
    printf("  %-14s", what);
}

static bool is(const struct signet_key *k, const char *state)
{
    return strcmp(k->state, state) == 0;
}

/* No place is kept for one that was revoked before its time came. */
static bool began(const struct signet_key *k, int64_t now)
{
    return k->activates_at <= now && (k->activates_at || !is(k, "revoked"));
}

/* Of one that is gone a signetd knows nothing but that, and since when it signed. */
static bool is_known(const struct signet_key *k)
{
    return *k->custody;
}

static void put_past(const struct signet_key *k, const struct signet_ring *ring, int64_t now)
{
    char when[80];

    put_item("ring");
    printf("%s%s%s%s, where it was %s\n", k->ring, is_known(k) ? " (" : "", is_known(k) ? k->alg : "", is_known(k) ? ")" : "",
           is(k, "revoked") ? "revoked before" : k->state);
    put_item("signed since");
    if (k->activates_at > now)
        printf("never: it was to sign from %s\n", cli_when(when, k->activates_at, now));
    else if (!began(k, now))
        puts("never: it was revoked before its time came");
    else
        puts(cli_when(when, k->activates_at, now));
    put_item("profiles");
    for (size_t i = 0; ring && i < ring->n_profiles; i++)
        printf("%s%s", i ? ", " : "", ring->profiles[i]);
    puts(ring && ring->n_profiles ? "" : "none that the configuration has now");
    if (!is_known(k))
        return;
    put_item("signed");
    key_put_uses(k);
    puts(", by this signetd since its start");
}

/* Who has a copy of the key set believes the key until the copy's time is over. */
static void put_tokens(const struct signet_revocation *r, const struct signet_ring *ring, int64_t now)
{
    char when[80], span[16];

    put_item("its tokens");
    if (!r->tokens_until) {
        puts(!began(&r->key, now) ? "none: it never signed" : is(&r->key, "revoked") ?
             "rejected since it was revoked; how long they would have lived is not known any more" : "none that is known");
        return;
    }
    cli_when(when, r->tokens_until, now);
    if (r->tokens_until <= now) {
        printf("none that lives: the last ended by %s\n", when);
        return;
    }
    printf("would have lived until %s at the latest; they are rejected from now on", when);
    if (ring && *r->key.jwk)
        printf(", by verifiers with a copy of the key set when they fetch it anew: within jwks_max_age, %s",
               cli_span(span, ring->max_age_s));
    putchar('\n');
}

static void put_successor(const struct signet_revocation *r, int64_t now)
{
    char when[80];

    put_item("signs now");
    if (!r->successor) {
        printf("%snothing%s: see below\n", paint(PAINT_BAD), paint_off());
        return;
    }
    bool took_over = strcmp(r->key.state, "active") == 0;
    if (strcmp(r->successor->token, r->key.token) != 0)
        printf("%s, of token %s\n", r->successor->kid, r->successor->token);
    else
        printf("%s, %s\n", r->successor->kid, r->promoted ? "which was the next key, published before" :
           took_over ? "which was made now" : "as before");
    if (!*r->successor->jwk)
        return;                          /* HMAC: signetd verifies */
    put_item("known");
    if (r->known_at <= now)
        printf("every verifier that honours jwks_max_age has had it since %s\n", cli_when(when, r->known_at, now));
    else
        printf("every verifier that honours jwks_max_age has it by %s; until then those that do not fetch the key set for"
               " a kid that they do not know reject its tokens\n", cli_when(when, r->known_at, now));
}

/* What is missing, and what somebody has to do about it. */
static void put_trouble(const struct signet_revocation *r, const struct signet_ring *now)
{
    const char *kid = r->key.kid, *ring = r->key.ring;

    printf("%s%s%s: %s\n", paint(PAINT_BAD), r->trouble.reason, paint_off(), r->trouble.text);
    if (!r->recorded && !r->destroyed)
        printf("  The key is still there and nothing on the token says that it is revoked: another signetd goes on using it."
               " Repeat this command until it is destroyed.\n");
    else if (!r->destroyed)
        printf("  The key is revoked and still on the token: signet key destroy %s%s\n", key_dashes(kid), kid);
    else if (!r->recorded)
        printf("  The key is gone, but nothing on the token says that it is revoked: a backup that is restored brings it"
               " back. Destroy it in every backup.\n");
    if (!r->successor && now && *now->status.next_kid)
        printf("  No token of ring '%s' is signed until its next key, %s, takes over: signetd does that as soon as the token"
               " lets it.\n", ring, now->status.next_kid);
    else if (!r->successor)
        printf("  No token of ring '%s' is signed until it has another key: signet key generate %s%s%s\n", ring, ring,
               *r->key.token ? "@" : "", r->key.token);
}

static void put_report(const struct signet_revocation *r, const struct signet_ring *ring)
{
    int64_t now = clock_wall_s();

    if (r->recorded || r->destroyed)
        printf("%s is %srevoked%s: never published or used again\n", r->key.kid, paint(PAINT_GOOD), paint_off());
    else
        printf("%s is %snot revoked%s as it should be: see below\n", r->key.kid, paint(PAINT_BAD), paint_off());
    put_past(&r->key, ring, now);
    put_tokens(r, ring, now);
    put_successor(r, now);
    put_item("destroyed");
    puts(r->destroyed ? "yes: it is gone from the token" : "no");
    put_item("recorded");
    puts(r->recorded ? "on the token: a backup that is restored does not bring it back"
                     : "no: a backup that is restored brings it back");
    if (*r->trouble.reason)
        put_trouble(r, ring);
}

static int put(const struct signet_revocation *r, const struct signet_ring *ring, bool as_json)
{
    int status;

    if (as_json) {
        status = cli_put_json(report_json(r));
    } else {
        put_report(r, ring);
        status = cli_flushed();
    }
    return *r->trouble.reason ? EXIT_REFUSED : status;
}

/* One that is in no list may have been destroyed by a first try, and is not recorded yet: the daemon knows. */
static int revoke_one(struct signet *s, const struct signet_key_list *l, const struct key_asked *a)
{
    struct signet_error e;
    bool several;
    const struct signet_key *k = key_find(l, a->kid, &several);

    if (several)
        return key_unfound(a->kid, true);
    if (k && !*k->kid) {
        fprintf(stderr, "signet: UNKNOWN_KEY: key '%s' has no kid, so there is nothing to revoke: signet key destroy\n", a->kid);
        return EXIT_REFUSED;
    }
    struct signet_revocation *r = signet_revoke_key(s, k ? k->kid : a->kid, &e);
    if (!r)
        return !k && strcmp(e.reason, "UNKNOWN_KEY") == 0 ? key_unfound(a->kid, false) : cli_failed(&e);
    struct signet_ring_list *rings = signet_list_rings(s, NULL);         /* the report does without */
    int status = put(r, key_ring(rings, &r->key), a->json);

    signet_revocation_free(r);
    signet_ring_list_free(rings);
    return status;
}

int key_revoke(int argc, char **argv)
{
    struct common c = { 0 };
    bool compromised = false;
    const struct cli_flag flags[] = {
        { "compromised", "Somebody else has the key, or may: required", &compromised }, { NULL, NULL, NULL },
    };
    const char *kid = cli_parse_flags(argc, argv, "KID", "The panic button, for a key that somebody else has: it is never"
                                      " published or used again, the ring's next key signs in its place, or one that is made"
                                      " now, and the key is destroyed. Its living tokens are rejected. KID may be the beginning"
                                      " of one. Prints what is affected. Asks the admin socket.", flags, &c);
    if (!*kid)
        return cli_usage(KEY_NO_KID);
    if (!compromised)
        return cli_usage("this rejects every living token of the key and destroys it, for good: say --compromised if somebody"
                         " else has it; to change keys in good order: signet ring rotate RING");
    const struct key_asked a = { kid, c.json, false };
    return key_do(&c, &a, revoke_one);
}
