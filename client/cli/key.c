#include "client/cli/cli.h"
#include "client/clock.h"

#include <openssl/crypto.h>
#include <string.h>

#define MAX_SECRET 4096u             /* bytes, as the daemon takes */

/* --- one key in words ---------------------------------------------------------------------------- */

static json_t *key_json(const struct signet_key *k)
{
    json_t *jwk = *k->jwk ? json_loads(k->jwk, 0, NULL) : NULL;

    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:o?, s:s, s:s}",
                     "kid", k->kid, "ring", k->ring, "alg", k->alg, "state", k->state, "label", k->label, "id", k->id,
                     "activates_at", (json_int_t)k->activates_at, "retires_at", (json_int_t)k->retires_at, "ends_at",
                     (json_int_t)k->ends_at, "published", k->published, "imported", k->imported, "proved", k->proved,
                     "sensitive", k->sensitive, "extractable", k->extractable, "always_sensitive", k->always_sensitive,
                     "never_extractable", k->never_extractable, "local", k->local, "jwk", jwk, "trouble", k->trouble,
                     "custody", k->custody);
}

static void put_line(const struct signet_key *k)
{
    const char *color = strcmp(k->state, "active") == 0 ? PAINT_GOOD : strcmp(k->state, "foreign") == 0 ? PAINT_DIM : "";

    printf("%-16s %-7s %s%-8s%s %-44s %s%s%s\n", *k->ring ? k->ring : "-", k->alg, paint(color), k->state, paint_off(),
           *k->kid ? k->kid : *k->label ? k->label : "-", k->custody, *k->trouble ? "; " : "", k->trouble);
}

static void put_time(const char *what, int64_t at)
{
    char when[80];

    if (at)
        printf("  %-13s %s\n", what, cli_when(when, at, clock_wall_s()));
}

static void put_whole(const struct signet_key *k)
{
    printf("%s\n  ring          %s\n  algorithm     %s\n  state         %s%s\n", *k->kid ? k->kid : "(no kid)",
           *k->ring ? k->ring : "none: not signet's, never used", k->alg, k->state, k->published ? ", published" : "");
    put_time(strcmp(k->state, "next") == 0 ? "signs from" : "activates", k->activates_at);
    put_time("retires", k->retires_at);
    put_time("ends", k->ends_at);
    printf("  custody       %s\n  proved        %s\n  label         %s\n  CKA_ID        %s\n", k->custody,
           k->proved ? "by a test signature" : "no", k->label, k->id);
    if (*k->trouble)
        printf("  trouble       %s\n", k->trouble);
    if (*k->jwk)
        printf("  JWK           %s\n", k->jwk);
}

static int print(const struct signet_key_list *l, bool as_json, void (*put)(const struct signet_key *))
{
    if (as_json) {
        json_t *all = json_array();
        for (size_t i = 0; i < l->n; i++)
            json_array_append_new(all, key_json(&l->keys[i]));
        return cli_put_json(all);
    }
    for (size_t i = 0; i < l->n; i++)
        put(&l->keys[i]);
    if (l->n == 0)
        fprintf(stderr, "The token holds no key.\n");
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_REFUSED;
}

/* --- the commands ------------------------------------------------------------------------------------ */

/* A key's ring; NULL: it has no ring, or the configuration no such one. */
static const struct signet_ring *ring_of(const struct signet_ring_list *rings, const struct signet_key *k)
{
    for (size_t i = 0; i < rings->n; i++)
        if (strcmp(rings->rings[i].status.name, k->ring) == 0)
            return &rings->rings[i];
    return NULL;
}

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
    put_whole(k);
    printf("  %-13s ", strcmp(k->state, "active") == 0 ? "signs for" : strcmp(k->state, "next") == 0 ? "will sign for" :
           "profiles");
    for (size_t i = 0; i < n; i++)
        printf("%s%s", i ? ", " : "", r->profiles[i]);
    puts(n ? "" : "none");
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_REFUSED;
}

static const struct signet_key *find_one(const struct signet_key_list *l, const char *kid)
{
    const struct signet_key *found = NULL;
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++) {
        if (strcmp(l->keys[i].kid, kid) == 0)
            return &l->keys[i];
        if (strncmp(l->keys[i].kid, kid, strlen(kid)) == 0) {
            found = &l->keys[i];
            n++;
        }
    }
    if (n == 1)
        return found;
    fprintf(stderr, "signet: UNKNOWN_KEY: %s key has a kid that begins with '%s'\n", n ? "more than one" : "no", kid);
    return NULL;
}

static int list(int argc, char **argv)
{
    struct common c = { 0 };
    struct signet_error e;

    cli_parse_common(argc, argv, "Lists every key of the token, foreign ones too. Asks the admin socket.", &c);
    struct signet *s = cli_open_admin(&c);
    struct signet_key_list *l = s ? signet_list_keys(s, &e) : NULL;
    int status = l ? print(l, c.json, put_line) : s ? cli_failed(&e) : EXIT_USAGE;
    signet_key_list_free(l);
    signet_close(s);
    return status;
}

static int show(int argc, char **argv)
{
    struct common c = { 0 };
    struct signet_error e;

    const char *kid = cli_parse_one(argc, argv, "KID", "Shows a key, by its kid or the beginning of it: custody, state,"
                                    " times, and the profiles that it signs for. Asks the admin socket.", &c);
    struct signet *s = cli_open_admin(&c);
    struct signet_key_list *l = s ? signet_list_keys(s, &e) : NULL;
    struct signet_ring_list *rings = l ? signet_list_rings(s, &e) : NULL;
    const struct signet_key *k = rings ? find_one(l, kid) : NULL;
    int status = k ? put_one(k, ring_of(rings, k), c.json) : rings ? EXIT_REFUSED : s ? cli_failed(&e) : EXIT_USAGE;
    signet_ring_list_free(rings);
    signet_key_list_free(l);
    signet_close(s);
    return status;
}

static int made(struct signet *s, struct signet_key_list *l, const struct signet_error *e, bool as_json)
{
    int status = l ? print(l, as_json, put_whole) : s ? cli_failed(e) : EXIT_USAGE;

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
    { NULL, NULL, NULL },
};

int cmd_key(int argc, char **argv)
{
    return command_run("signet key", "The token's keys.", key_commands, argc, argv);
}
