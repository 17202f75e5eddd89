/* The command line taken apart: which command, its options, its argument. */
#include "client/cli/cli.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void print_help(FILE *to, const char *name, const char *doc, const struct command *table)
{
    fprintf(to, "Usage: %s COMMAND [OPTION...]\n%s\n\n", name, doc);
    for (const struct command *c = table; c->name; c++)
        fprintf(to, "  %-10s %s\n", c->name, c->help);
    fprintf(to, "\nMore on each: %s COMMAND --help, and signet(1).\n", name);
}

int command_run(const char *name, const char *doc, const struct command *table, int argc, char **argv)
{
    static char title[64];
    const char *asked = argc > 1 ? argv[1] : NULL;

    if (asked && (strcmp(asked, "--help") == 0 || strcmp(asked, "-h") == 0 || strcmp(asked, "help") == 0)) {
        print_help(stdout, name, doc, table);
        return EXIT_DONE;
    }
    if (asked && strcmp(asked, "--version") == 0) {
        puts("signet " SIGNET_VERSION);
        return EXIT_DONE;
    }
    for (const struct command *c = table; asked && c->name; c++)
        if (strcmp(c->name, asked) == 0) {
            char whole[64];
            snprintf(whole, sizeof whole, "%s %s", name, asked);
            snprintf(title, sizeof title, "%s", whole);
            argv[1] = title;
            return c->run(argc - 1, argv + 1);
        }
    if (asked && *asked == '-')
        return cli_usage("options stand after the command: %s COMMAND %s …", name, asked);
    if (asked)
        fprintf(stderr, "%s: there is no command '%s'\n\n", name, asked);
    print_help(stderr, name, doc, table);
    return EXIT_USAGE;
}

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
    struct common *c = state->input;

    switch (key) {
    case 's': c->socket = arg; return 0;
    case 'j': c->json = true; return 0;
    default:  return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option common_options[] = {
    { "socket", 's', "PATH", 0, "The daemon's socket", 100 },
    { "json", 'j', NULL, 0, "Answer in JSON", 100 },
    { 0 },
};
const struct argp common_argp = { common_options, parse_common, NULL, NULL, NULL, NULL, NULL };

static error_t parse_nothing_else(int key, char *arg, struct argp_state *state)
{
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = state->input; return 0;
    case ARGP_KEY_ARG:  argp_error(state, "'%s' is no option", arg); return 0;
    default:            return ARGP_ERR_UNKNOWN;
    }
}

void cli_parse_common(int argc, char **argv, const char *doc, struct common *out)
{
    static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 }, { 0 } };
    const struct argp argp = { NULL, parse_nothing_else, "", doc, children, NULL, NULL };

    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, out);
}

struct one { struct common *common; const char *name, *arg; const struct cli_flag *flags; };

#define FLAG_KEY 256                 /* of the first flag: past every letter */

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
    struct one *one = state->input;

    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = one->common; return 0;
    case ARGP_KEY_ARG:
        if (one->arg)
            argp_error(state, "'%s' is one argument too many", arg);
        one->arg = arg;
        return 0;
    case ARGP_KEY_END:
        if (!one->arg)
            argp_error(state, "%s is missing", one->name);
        return 0;
    default:
        if (key < FLAG_KEY || key >= FLAG_KEY + CLI_MAX_FLAGS)
            return ARGP_ERR_UNKNOWN;
        *one->flags[key - FLAG_KEY].set = true;
        return 0;
    }
}

/*
 * One kid in 64 begins with '-', and the panic button must not stumble over
 * it: what is longer than any option is put where no option is looked for.
 */
#define LONGER_THAN_OPTIONS 20u

static char **kids_last(int *argc, char **argv)
{
    char **out = calloc((size_t)*argc + 2, sizeof *out);
    int n = 0, kid = 0;

    for (int i = 1; i < *argc && kid == 0 && strcmp(argv[i], "--") != 0; i++)
        if (argv[i][0] == '-' && strlen(argv[i]) >= LONGER_THAN_OPTIONS && !strchr(argv[i], '='))
            kid = i;
    if (!out || kid == 0) {
        free(out);
        return argv;
    }
    for (int i = 0; i < *argc; i++)
        if (i != kid)
            out[n++] = argv[i];
    out[n++] = (char *)(uintptr_t)"--";
    out[n++] = argv[kid];
    *argc = n;
    return out;
}

const char *cli_parse_flags(int argc, char **argv, const char *name, const char *doc, const struct cli_flag *flags,
                            struct common *out)
{
    static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 }, { 0 } };
    struct argp_option options[CLI_MAX_FLAGS + 1] = { 0 };
    const struct argp argp = { flags[0].name ? options : NULL, parse_one, name, doc, children, NULL, NULL };
    struct one one = { out, name, NULL, flags };

    for (int i = 0; flags[i].name; i++)
        options[i] = (struct argp_option){ flags[i].name, FLAG_KEY + i, NULL, 0, flags[i].help, 0 };

    char **args = kids_last(&argc, argv);
    argp_parse(&argp, argc, args, ARGP_IN_ORDER, NULL, &one);
    if (args != argv)
        free(args);                      /* what it named is argv's still */
    return one.arg;
}

const char *cli_parse_one(int argc, char **argv, const char *name, const char *doc, struct common *out)
{
    return cli_parse_flags(argc, argv, name, doc, (const struct cli_flag[]){ { 0 } }, out);
}
