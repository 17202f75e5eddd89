/*
 * A caller's program for test_install.py, in C and in C++: verifies TOKEN against KEYS with no daemon and prints its
 * payload. It has names of its own that libsignet has inside, too.
 */
#include <signet.h>

#include <stdio.h>
#include <string.h>

int buf_init, err_set, jwk_free, frame_next;

int main(int argc, char **argv)
{
    struct signet_verify_rules rules;
    struct signet_error why;
    struct signet_verifier *verifier;
    struct signet_verified *verified;

    if (argc != 3)
        return 2;
    memset(&rules, 0, sizeof rules);
    rules.at_given = true;
    rules.at = 1300819379;               /* a second before RFC 7515's example expires */
    rules.leeway_s = 1;
    verifier = signet_verifier_new(argv[1], strlen(argv[1]), &why);
    verified = verifier ? signet_verifier_check(verifier, argv[2], strlen(argv[2]), &rules, &why) : NULL;
    if (verified)
        printf("%s", (const char *)verified->payload);
    else
        fprintf(stderr, "%s: %s\n", why.reason, why.text);
    signet_verified_free(verified);
    signet_verifier_free(verifier);
    return verified ? 0 : 1;
}
