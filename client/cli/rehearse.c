/* signet ring rehearse: signetd's own --rehearse, since it knows what a ring does and we do not. */
#include "client/cli/program.h"
#include "client/cli/ring.h"

#include <errno.h>
#include <string.h>

struct args { const char *config, *years, *seed; bool json; };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;

    switch (key) {
    case 'c': a->config = arg; return 0;
    case 'y': a->years = arg; return 0;
    case 'S': a->seed = arg; return 0;
    case 'j': a->json = true; return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is one argument too many", arg);
        return 0;
    case ARGP_KEY_END:
        if (!a->config)
            argp_error(state, "--config FILE is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    { "config", 'c', "FILE", 0, "The configuration; one that signetd would refuse shows what would follow", 0 },
    { "years", 'y', "N", 0, "How many to live through, 1 to 100; without: 10", 0 },
    { "seed", 'S', "N", 0, "The same run again", 0 },
    { "json", 'j', NULL, 0, "Print JSON", 0 },
    { 0 },
};
static const struct argp argp = {
    options, parse, NULL, "Lives through years of a configuration's rings on a virtual clock, with daemons that restart and"
    " crash and verifiers of many habits, and says whether a living token was ever without its published key, by how much"
    " it never was, and which setting to change. Asks no daemon. Exits 0 when nothing was found, 1 when something was or"
    " signetd would refuse the file, 78 when the file cannot be read.", NULL, NULL, NULL,
};

int ring_rehearse(int argc, char **argv)
{
    struct args a = { 0 };
    const char *with[10] = { "signetd", "--rehearse" };
    size_t n = 2;
    struct err e;

    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a);
    const char *const pairs[][2] = { { "--config", a.config }, { "--years", a.years }, { "--seed", a.seed } };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        if (pairs[i][1]) {
            with[n++] = pairs[i][0];
            with[n++] = pairs[i][1];
        }
    if (a.json)
        with[n++] = "--json";
    CLEANUP(freep) char *program = program_signetd(&e);
    if (program) {
        execv(program, (char **)(uintptr_t)with);
        err_sys(&e, "'%.120s' cannot be run", program);
    }
    fprintf(stderr, "signet: %s: %s\n", err_reason_name(e.reason), e.text);
    return EXIT_REFUSED;
}
