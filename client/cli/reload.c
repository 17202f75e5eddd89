#include "client/cli/cli.h"

int cmd_reload(int argc, char **argv)
{
    struct common c = { 0 };
    struct signet_error e;
    uint32_t generation = 0;
    int status = EXIT_USAGE;

    cli_parse_common(argc, argv, "Has the daemon read its configuration again: all of it counts, or none. Asks the admin"
                     " socket.", &c);
    struct signet *s = cli_open_admin(&c);
    if (s && !signet_reload(s, &generation, &e))
        status = cli_failed(&e);
    else if (s && c.json)
        status = cli_put_json(json_pack("{s:i}", "config_generation", (int)generation));
    else if (s)
        status = printf("configuration %u is in force\n", (unsigned)generation) > 0 ? EXIT_DONE : EXIT_REFUSED;
    signet_close(s);
    return status;
}
