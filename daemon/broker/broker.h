/*
 * broker: the role that speaks with callers: who asks, what they may, what
 * goes into a token, whose turn it is. Has no PIN, no module, opens no file
 * and asks no name service: the supervisor sends what it needs.
 */
#ifndef SIGNET_BROKER_H
#define SIGNET_BROKER_H

/* The process's whole life; its exit status. Begins with role_begin. */
int broker_main(void);

#endif
