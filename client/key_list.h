/* key_list: keys of a reply as public structs, whose strings live in the reply. */
#ifndef SIGNET_CLIENT_KEY_LIST_H
#define SIGNET_CLIENT_KEY_LIST_H

#include "client/conn.h"

/* What a key signed for is in `uses`, from *uses on, which goes on behind it. */
struct signet_key key_from_wire(const Signet__V1__KeyInfo *k, struct signet_key_use **uses);

/* Takes the reply, whose keys they are. */
struct signet_key_list *key_list_of(Signet__V1__Reply *taken, Signet__V1__KeyInfo *const *keys, size_t n,
                                    struct signet_error *e);
/* The same of one; NULL in its place: the reply is none. */
struct signet_key_list *key_list_of_one(Signet__V1__Reply *taken, Signet__V1__KeyInfo *key, struct signet_error *e);

#endif
