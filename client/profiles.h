/* profiles: what the wire says of a profile, as libsignet's public struct. */
#ifndef SIGNET_CLIENT_PROFILES_H
#define SIGNET_CLIENT_PROFILES_H

#include "client/signet.h"
#include "signet.pb-c.h"

/* Borrows from p. */
struct signet_profile profile_from_wire(const Signet__V1__ProfileInfo *p);

#endif
