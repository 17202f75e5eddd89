/* signet: the command line. One file a command; this is their table. */
#include "client/cli/cli.h"

#include <string.h>

const struct command commands[] = {
    { "sign", "have a token signed", cmd_sign },
    { "verify", "check a token: by the daemon, or offline against a key set", cmd_verify },
    { "inspect", "show what a token says, without verifying it", cmd_inspect },
    { "jwks", "print the published key set", cmd_jwks },
    { "profile", "what you may have signed and verified", cmd_profile },
    { "ring", "what the rings do, and when their keys change", cmd_ring },
    { "key", "list, show, make, revoke and destroy keys", cmd_key },
    { "status", "how the daemon, its token and rings are", cmd_status },
    { "reload", "have the daemon read its configuration again", cmd_reload },
    { "dev", "run a command with a throwaway signetd around it", cmd_dev },
    { NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
    argp_err_exit_status = EXIT_USAGE;
    return command_run("signet", "Sign and verify JSON Web Tokens with keys that never leave their token.", commands,
                       argc, argv);
}
