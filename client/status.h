/* status: a ring's status from its message, whose strings it borrows. */
#ifndef SIGNET_CLIENT_STATUS_H
#define SIGNET_CLIENT_STATUS_H

#include "client/conn.h"

struct signet_ring_status ring_status_from_wire(const Signet__V1__RingStatus *m);

#endif
