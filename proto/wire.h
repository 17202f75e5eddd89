/*
 * wire: what protobuf-c leaves unchecked, checked before it unpacks: strings
 * are UTF-8 without NUL, nesting and the number of fields are bounded (60 kB
 * of empty messages would become 5 MB), lengths stay inside.
 *
 * Unknown fields are allowed: a newer peer may send them.
 */
#ifndef SIGNET_PROTO_WIRE_H
#define SIGNET_PROTO_WIRE_H

#include "proto/err.h"

#include <protobuf-c/protobuf-c.h>

#define WIRE_MAX_DEPTH 8u
#define WIRE_MAX_FIELDS 4096u

bool wire_check(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len, struct err *e);

/* The same with another bound on the number of fields: for messages longer than a stranger may send. */
bool wire_check_max(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len,
                    size_t max_fields, struct err *e);

/* UTF-8 as RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF. NUL is a character. */
bool wire_utf8(const uint8_t *bytes, size_t len);

#endif
