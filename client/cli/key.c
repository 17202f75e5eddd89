#include "client/cli/key.h"

#include <string.h>

#define MAX_SECRET 4096u             /* bytes, as the daemon takes */
#define FOREIGN_FACT "a data object that is named like a fact of a ring and not signet's: never used"

static json_t *list_json(const struct signet_key_list *l)
{
    json_t *all = json_array();

    for (size_t i = 0; i < l->n; i++)
        json_array_append_new(all, key_json(&l->keys[i]));
    return all;
}

static int print(const struct signet_key_list *l, bool as_json, void (*put)(const struct signet_key *))
{
    if (as_json)
        return cli_put_json(list_json(l));
    for (size_t i = 0; i < l->n; i++)
        put(&l->keys[i]);
    return cli_flushed();
}

/* Data objects named like facts of rings: in the shape of a key, so that who reads the list needs no other. */
static json_t *all_json(const struct signet_key_list *l)
{
    json_t *all = list_json(l);

    for (size_t i = 0; i < l->n_foreign_facts; i++) {
        const struct signet_key fact = { .kid = "", .ring = "", .alg = "", .state = "foreign", .label = l->foreign_facts[i],
                                         .id = "", .jwk = "", .trouble = FOREIGN_FACT, .custody = "",
                                         .token = "" };
        json_t *out = key_json(&fact);
        json_object_set_new(out, "fact", json_true());
        json_array_append_new(all, out);
    }
    return all;
}

static int put_all(const struct signet_key_list *l, bool as_json)
{
    if (as_json)
        return cli_put_json(all_json(l));
    if (l->n == 0)
        fprintf(stderr, "The token holds no key.\n");
    print(l, false, key_put_line);
    for (size_t i = 0; i < l->n_foreign_facts; i++) {
        printf("%s%-16s %-7s %-8s ", paint(PAINT_DIM), "-", "-", "foreign");
        cli_put_text(l->foreign_facts[i]);
        printf(": %s%s\n", FOREIGN_FACT, paint_off());
    }
    return cli_flushed();
}

/* --- the commands ------------------------------------------------------------------------------------ */

static int put_one(const struct signet_key *k, const struct signet_ring *r, bool as_json)
{
    size_t n = r ? r->n_profiles : 0;

    if (as_json) {
        json_t *out = key_json(k), *profiles = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(profiles, json_string(r->profiles[i]));
        json_object_set_new(out, "profiles", profiles);
        json_t *all = json_array();
        json_array_append_new(all, out);
        return cli_put_json(all);
    }
    key_put(k);
    printf("  %-13s ", strcmp(k->state, "active") == 0 ? "signs for" : strcmp(k->state, "next") == 0 ? "will sign for" :
           "profiles");
    for (size_t i = 0; i < n; i++)
        printf("%s%s", i ? ", " : "", r->profiles[i]);
    puts(n ? "" : "none");
    return cli_flushed();
}

static int list(int argc, char **argv)
{
    struct common c = { 0 };
    struct signet_error e;

    cli_parse_common(argc, argv, "Lists every key of the token, foreign ones too, and how many tokens each signed since"
                     " signetd's start. Asks the admin socket.", &c);
    struct signet *s = cli_open_admin(&c);
    struct signet_key_list *l = s ? signet_list_keys(s, &e) : NULL;
    int status = l ? put_all(l, c.json) : s ? cli_failed(&e) : EXIT_USAGE;
    signet_key_list_free(l);
    signet_close(s);
    return status;
}

static int show_one(struct signet *s, const struct signet_key_list *l, const struct key_asked *a)
{
    struct signet_error e;
    bool several;
    const struct signet_key *k = key_find(l, a->kid, &several);
    struct signet_ring_list *rings = k ? signet_list_rings(s, &e) : NULL;
    int status = rings ? put_one(k, key_ring(rings, k), a->json) : k ? cli_failed(&e) : key_unfound(a->kid, several);

    signet_ring_list_free(rings);
    return status;
}

static int show(int argc, char **argv)
{
    struct common c = { 0 };
    const char *kid = cli_parse_one(argc, argv, "KID", "Shows a key, by its kid (where it has none, its CKA_ID) or the"
                                    " beginning of it: custody, state, times, and the profiles that it signs for, with how"
                                    " often since signetd's start. Asks the admin socket.", &c);
    const struct key_asked a = { kid, c.json, false };
    return *kid ? key_do(&c, &a, show_one) : cli_usage(KEY_NO_KID);
}

static int made(struct signet *s, struct signet_key_list *l, const struct signet_error *e, bool as_json)
{
    int status = l ? print(l, as_json, key_put) : s ? cli_failed(e) : EXIT_USAGE;

    signet_key_list_free(l);
    signet_close(s);
    return status;
}

static int generate(int argc, char **argv)
{
    struct common c = { 0 };
    struct signet_error e;

    const char *ring = cli_parse_one(argc, argv, "RING", "Generates a key in the token: an empty ring's first, which signs"
                                     " at once, else the ring's next. Asks the admin socket.", &c);
    struct signet *s = cli_open_admin(&c);
    return made(s, s ? signet_generate_key(s, ring, &e) : NULL, &e, c.json);
}

static int import(int argc, char **argv)
{
    struct common c = { 0 };
    CLEANUP(buf_clear) struct buf secret;
    struct signet_error e;

    buf_init_secret(&secret, 0);
    const char *ring = cli_parse_one(argc, argv, "RING", "Imports an HMAC secret from stdin, every byte of it counts, a"
                                     " newline too (printf %s SECRET | …). It stays not extractable. Asks the admin"
                                     " socket.", &c);
    if (isatty(STDIN_FILENO))
        return cli_usage("the secret comes on stdin, and not from a terminal, which would show it");
    if (!cli_read("-", &secret, MAX_SECRET))
        return EXIT_USAGE;
    if (secret.len && secret.data[secret.len - 1] == '\n')
        fputs("signet: the secret ends with a newline, which is imported as a part of it; to leave it out: printf %s"
              " SECRET | signet key import RING\n", stderr);
    struct signet *s = cli_open_admin(&c);
    return made(s, s ? signet_import_key(s, ring, secret.data, secret.len, &e) : NULL, &e, c.json);
}

static const struct command key_commands[] = {
    { "list", "every key of the token", list },
    { "show", "one key", show },
    { "generate", "a new key for a ring", generate },
    { "import", "an HMAC secret, on stdin", import },
    { "revoke", "the panic button: a key that somebody else has", key_revoke },
    { "destroy", "a key that nobody needs, or a next key", key_destroy },
    { NULL, NULL, NULL },
};

int cmd_key(int argc, char **argv)
{
    return command_run("signet key", "The token's keys.", key_commands, argc, argv);
}
