#include "client/cli/key.h"

#include "client/clock.h"

#include <string.h>
#include <strings.h>

/* --- which one ----------------------------------------------------------------------------------- */

const char *key_name(const struct signet_key *k)
{
    return *k->kid ? k->kid : k->id;
}

const char *key_dashes(const char *kid)
{
    return *kid == '-' ? "-- " : "";
}

static bool is_named(const struct signet_key *k, const char *name, bool whole)
{
    size_t len = strlen(name);

    if (whole && strlen(key_name(k)) != len)
        return false;
    return *k->kid ? strncmp(k->kid, name, len) == 0 : strncasecmp(k->id, name, len) == 0;
}

/* Of those with one name ours comes before a stranger's copy. */
static const struct signet_key *match(const struct signet_key_list *l, const char *name, bool whole, bool *several)
{
    const struct signet_key *found = NULL;

    for (size_t i = 0; i < l->n; i++) {
        const struct signet_key *k = &l->keys[i];
        if (!is_named(k, name, whole))
            continue;
        if (found && strcmp(key_name(found), key_name(k)) != 0)
            *several = true;
        if (!found || !*found->ring)
            found = k;
    }
    return *several ? NULL : found;
}

const struct signet_key *key_find(const struct signet_key_list *l, const char *name, bool *several)
{
    *several = false;
    const struct signet_key *found = match(l, name, true, several);
    return found || *several ? found : match(l, name, false, several);
}

int key_unfound(const char *name, bool several)
{
    fprintf(stderr, "signet: UNKNOWN_KEY: %s key has a kid that begins with '%s': signet key list\n",
            several ? "more than one" : "no", name);
    return EXIT_REFUSED;
}

int key_do(const struct common *c, const struct key_asked *a, key_act *act)
{
    struct signet_error e;
    struct signet *s = cli_open_admin(c);
    struct signet_key_list *l = s ? signet_list_keys(s, &e) : NULL;
    int status = l ? act(s, l, a) : s ? cli_failed(&e) : EXIT_USAGE;

    signet_key_list_free(l);
    signet_close(s);
    return status;
}

const struct signet_ring *key_ring(const struct signet_ring_list *rings, const struct signet_key *k)
{
    for (size_t i = 0; rings && i < rings->n; i++)
        if (strcmp(rings->rings[i].status.name, k->ring) == 0)
            return &rings->rings[i];
    return NULL;
}

/* --- JSON ---------------------------------------------------------------------------------------- */

json_t *key_json(const struct signet_key *k)
{
    json_t *jwk = *k->jwk ? json_loads(k->jwk, 0, NULL) : NULL, *uses = json_object();

    for (size_t i = 0; i < k->n_uses; i++)
        json_object_set_new(uses, k->uses[i].profile, json_integer((json_int_t)k->uses[i].signatures));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:o?, s:s, s:s,"
                     " s:I, s:o, s:s}",
                     "kid", k->kid, "ring", k->ring, "alg", k->alg, "state", k->state, "label", k->label, "id", k->id,
                     "activates_at", (json_int_t)k->activates_at, "retires_at", (json_int_t)k->retires_at, "ends_at",
                     (json_int_t)k->ends_at, "published", k->published, "imported", k->imported, "proved", k->proved,
                     "sensitive", k->sensitive, "extractable", k->extractable, "always_sensitive", k->always_sensitive,
                     "never_extractable", k->never_extractable, "local", k->local, "jwk", jwk, "trouble", k->trouble,
                     "custody", k->custody, "signatures", (json_int_t)k->signatures, "uses", uses, "token", k->token);
}

/* --- words --------------------------------------------------------------------------------------- */

void key_put_uses(const struct signet_key *k)
{
    printf("%llu token%s", (unsigned long long)k->signatures, k->signatures == 1 ? "" : "s");
    for (size_t i = 0; i < k->n_uses; i++)
        printf("%s%s %llu", i ? ", " : ": ", k->uses[i].profile, (unsigned long long)k->uses[i].signatures);
}

/* What is nothing of ours, or not yet, is dim as a whole. */
static const struct style { const char *state, *line, *word; } styles[] = {
    { "active", "", PAINT_GOOD }, { "revoked", "", PAINT_BAD }, { "orphan", PAINT_DIM, "" }, { "foreign", PAINT_DIM, "" },
};

static struct style style_of(const char *state)
{
    for (size_t i = 0; i < ARRAY_LEN(styles); i++)
        if (strcmp(state, styles[i].state) == 0)
            return styles[i];
    return (struct style){ state, "", "" };
}

void key_put_line(const struct signet_key *k)
{
    struct style style = style_of(k->state);

    bool has_kid = *k->kid;

    printf("%s%-16s %-7s %s%-8s%s%s %-44s %s%s%llu signed, %s%s%s%s%s%s\n", paint(style.line), *k->ring ? k->ring : "-", k->alg,
           paint(style.word), k->state, paint_off(), paint(style.line), *key_name(k) ? key_name(k) : "-",
           k->token, *k->token ? ", " : "", (unsigned long long)k->signatures, k->custody, has_kid ? "" : "; its CKA_ID, labelled ", has_kid ? "" : k->label,
           *k->trouble ? "; " : "", k->trouble, paint_off());
}

static void put_time(const char *what, int64_t at)
{
    char when[80];

    if (at)
        printf("  %-13s %s\n", what, cli_when(when, at, clock_wall_s()));
}

void key_put(const struct signet_key *k)
{
    bool revoked = strcmp(k->state, "revoked") == 0;

    printf("%s\n  ring          %s\n  algorithm     %s\n  state         %s%s\n", *k->kid ? k->kid : "(no kid)",
           *k->ring ? k->ring : "none: not signet's, never used", k->alg, k->state,
           revoked ? ": never published or used again" : k->published ? ", published" : "");
    if (*k->token)
        printf("  token         %s\n", k->token);
    /* What others may say of its turn says nothing of it any more. */
    if (revoked) {
        put_time("signed from", k->activates_at);
    } else {
        put_time(strcmp(k->state, "next") == 0 ? "signs from" : "activates", k->activates_at);
        put_time("retires", k->retires_at);
        put_time("ends", k->ends_at);
    }
    fputs("  signed        ", stdout);
    key_put_uses(k);
    printf(", since signetd's start\n  custody       %s\n  proved        %s\n  label         %s\n  CKA_ID        %s\n",
           k->custody, k->proved ? "by a test signature" : "no", k->label, k->id);
    if (*k->trouble)
        printf("  trouble       %s\n", k->trouble);
    if (*k->jwk)
        printf("  JWK           %s\n", k->jwk);
}
