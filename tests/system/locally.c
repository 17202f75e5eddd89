/*
 * locally: libsignet's local verifier, line by line.
 *
 *     locally SOCKET
 *
 * A line on stdin is "PROFILE AUDIENCE TOKEN" ("-": none); the answer "ok PROFILE KID" or "REASON".
 */
#include "client/signet.h"

#include <stdio.h>
#include <string.h>

static const char *given(const char *word)
{
    return word && strcmp(word, "-") != 0 ? word : NULL;
}

int main(int argc, char **argv)
{
    static char line[1 << 20];
    struct signet_error e;
    struct signet_local *l = argc == 2 ? signet_local_open(argv[1], &e) : NULL;

    if (!l)
        return 2;
    while (fgets(line, sizeof line, stdin)) {
        char *rest = NULL, *profile = strtok_r(line, " \n", &rest), *audience = strtok_r(NULL, " \n", &rest);
        char *token = strtok_r(NULL, " \n", &rest);
        struct signet_verified *v = signet_local_verify(l, token ? token : "", token ? strlen(token) : 0, given(profile),
                                                        given(audience), &e);
        if (v)
            printf("ok %s %s\n", v->profile, *v->kid ? v->kid : "-");
        else
            printf("%s\n", e.reason);
        fflush(stdout);
        signet_verified_free(v);
    }
    signet_local_close(l);
    return 0;
}
