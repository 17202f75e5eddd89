/* asked: the id of what the broker asks a signer or a verifier for, whatever it is: no list of them that one is missing from. */
#ifndef SIGNET_TESTS_ASKED_H
#define SIGNET_TESTS_ASKED_H

#include "role.pb-c.h"

#include <string.h>

/* 0: it has none. */
static inline uint64_t asked_id(const Signet__Role__Message *m)
{
    const ProtobufCFieldDescriptor *of = protobuf_c_message_descriptor_get_field(m->base.descriptor, (unsigned)m->of_case), *id;
    const ProtobufCMessage *part;

    if (!of)
        return 0;
    memcpy(&part, (const uint8_t *)m + of->offset, sizeof part);
    id = protobuf_c_message_descriptor_get_field_by_name(part->descriptor, "id");
    return id ? *(const uint64_t *)(const void *)((const uint8_t *)part + id->offset) : 0;
}

#endif
