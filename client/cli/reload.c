#include "client/cli/cli.h"

struct args { struct common common; };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;

    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &a->common; return 0;
    case ARGP_KEY_ARG:  argp_error(state, "'%s' is no option", arg); return 0;
    default:            return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 }, { 0 } };
static const struct argp argp = {
    NULL, parse, "", "Has the daemon read its configuration again: all of it counts, or none. Asks the admin socket.",
    children, NULL, NULL,
};

int cmd_reload(int argc, char **argv)
{
    struct args a = { 0 };
    struct signet_error e;
    uint32_t generation = 0;
    int status = EXIT_USAGE;

    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a);
    struct signet *s = cli_open_admin(&a.common);
    if (s && !signet_reload(s, &generation, &e))
        status = cli_failed(&e);
    else if (s && a.common.json)
        status = cli_put_json(json_pack("{s:i}", "config_generation", (int)generation));
    else if (s)
        status = printf("configuration %u is in force\n", (unsigned)generation) > 0 ? EXIT_DONE : EXIT_REFUSED;
    signet_close(s);
    return status;
}
