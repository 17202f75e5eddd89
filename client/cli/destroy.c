/* signet key destroy: a key that nobody needs any more, or a next key, whose rotation that cancels. */
#include "client/cli/key.h"

#include "client/clock.h"

#include <string.h>

static void put_consequence(const struct signet_key *k, const struct signet_ring *ring)
{
    char when[80];
    int64_t now = clock_wall_s();

    if (strcmp(k->state, "next") == 0)
        printf("The rotation to it is cancelled. %s%s\n", ring && ring->rotate_every_s ?
               "signetd makes another next key when it is due: signet ring plan " : "Another is made by signet ring rotate ",
               k->ring);
    if (strcmp(k->state, "active") == 0)
        printf("It was the key that signed. What signs now, if anything does, says: signet ring show %s\n", k->ring);
    if (k->published && k->ends_at > now)
        printf("Its tokens, which could have lived until %s, are rejected from now on.\n", cli_when(when, k->ends_at, now));
}

static int put(const struct signet_key *k, const struct signet_ring *ring, bool as_json)
{
    if (as_json)
        return cli_put_json(json_pack("[o]", key_json(k)));
    puts("destroyed, and was");
    key_put(k);
    put_consequence(k, ring);
    return cli_flushed();
}

static int refused(const struct signet_error *e)
{
    int status = cli_failed(e);

    if (strcmp(e->reason, "KEY_NEEDED") == 0)
        fputs("signet: --i-know destroys it all the same; a key that somebody else has: signet key revoke KID --compromised\n",
              stderr);
    return status;
}

static int destroy_one(struct signet *s, const struct signet_key_list *l, const struct key_asked *a)
{
    struct signet_error e;
    bool several;
    const struct signet_key *k = key_find(l, a->kid, &several);

    if (several)
        return key_unfound(a->kid, true);
    /* One that is in no list may be on a token that cannot be listed: the daemon knows. */
    struct signet_key_list *was = signet_destroy_key(s, k ? key_name(k) : a->kid, a->i_know, &e);
    if (!was && !k && strcmp(e.reason, "UNKNOWN_KEY") == 0)
        return key_unfound(a->kid, false);
    struct signet_ring_list *rings = was ? signet_list_rings(s, NULL) : NULL;       /* what is said does without */
    int status = was ? put(&was->keys[0], key_ring(rings, &was->keys[0]), a->json) : refused(&e);

    signet_key_list_free(was);
    signet_ring_list_free(rings);
    return status;
}

int key_destroy(int argc, char **argv)
{
    struct common c = { 0 };
    bool i_know = false;
    const struct cli_flag flags[] = {
        { "i-know", "Although tokens that live need it: they are rejected from then on", &i_know }, { NULL, NULL, NULL },
    };
    const char *kid = cli_parse_flags(argc, argv, "KID", "Destroys a key that nobody needs, and prints what it was. A next key"
                                      " is withdrawn: that cancels its rotation. One that living tokens need is refused, with"
                                      " the latest end of one. KID may be the beginning of one; a key that has no kid is named"
                                      " by its CKA_ID in hexadecimal. Asks the admin socket.", flags, &c);
    const struct key_asked a = { kid, c.json, i_know };
    return *kid ? key_do(&c, &a, destroy_one) : cli_usage(KEY_NO_KID);
}
