/*
 * verifier: the role that checks signatures by public keys, so that neither
 * the broker's loop nor a signer's module pays for it. Has no PIN, no file,
 * no setting: it answers Ready to any configuration.
 */
#ifndef SIGNET_VERIFIER_H
#define SIGNET_VERIFIER_H

/* The role's whole life (role.proto); returns the exit status. */
int verifier_main(unsigned number);

#endif
