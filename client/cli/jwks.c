#include "client/cli/cli.h"

#include <string.h>

static int print(const struct signet_keys *k, bool as_json)
{
    if (!as_json)
        return cli_put_line(k->jwks) ? EXIT_DONE : EXIT_REFUSED;
    json_t *profiles = json_array();
    for (size_t i = 0; i < k->n_profiles; i++) {
        json_t *profile = cli_profile_json(&k->profiles[i]);
        json_object_set_new(profile, "has_secret_keys", json_boolean(k->profiles[i].has_secret_keys));
        json_array_append_new(profiles, profile);
    }
    char version[20];
    snprintf(version, sizeof version, "%016llx", (unsigned long long)k->version);    /* past what a JSON number holds */
    return cli_put_json(json_pack("{s:o, s:s, s:I, s:I, s:o}", "jwks", json_loads(k->jwks, 0, NULL), "version", version,
                                  "max_age_s", (json_int_t)k->max_age_s, "changes_in_s", (json_int_t)k->changes_in_s,
                                  "profiles", profiles));
}

int cmd_jwks(int argc, char **argv)
{
    struct common c = { 0 };
    struct signet_error e;

    cli_parse_common(argc, argv, "Prints the key set that verifiers need (RFC 7517). With --json also its version, how long a"
                     " copy may be used, in how many seconds the set may change (0: no change is foreseen), and the"
                     " profiles.", &c);
    struct signet *s = cli_open(&c);
    struct signet_keys *k = s ? signet_get_keys(s, &e) : NULL;
    int status = k ? print(k, c.json) : s ? cli_failed(&e) : EXIT_USAGE;
    signet_keys_free(k);
    signet_close(s);
    return status;
}
