/*
 * signer: the role that has the key's token: work in, one PKCS#11 call after
 * another, results out. It sees what the broker built (key, algorithm, digest
 * or signing input) and no caller. Blocking is its trade; a hang costs this
 * process alone.
 */
#ifndef SIGNET_SIGNER_H
#define SIGNET_SIGNER_H

/* The process's whole life; its exit status. Begins with role_begin. */
int signer_main(unsigned number);

#endif
