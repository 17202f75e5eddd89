#include "proto/wire.h"

#include <string.h>

struct walk {
    size_t n_fields, max_fields;
    struct err *e;
};

struct cursor {
    const uint8_t *at, *end;
};

static bool varint(struct cursor *c, uint64_t *out)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 70 && c->at < c->end; shift += 7) {
        uint8_t byte = *c->at++;
        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) {
            *out = value;
            return true;
        }
    }
    return false;
}

bool wire_utf8(const uint8_t *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint8_t lead = s[i];
        size_t n = lead < 0x80 ? 1 : lead >= 0xC2 && lead <= 0xDF ? 2
                 : (lead & 0xF0) == 0xE0 ? 3 : lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
        if (n == 0 || n > len - i)
            return false;
        for (size_t k = 1; k < n; k++)
            if ((s[i + k] & 0xC0) != 0x80)
                return false;
        if ((lead == 0xE0 && s[i + 1] < 0xA0) || (lead == 0xED && s[i + 1] > 0x9F) ||
            (lead == 0xF0 && s[i + 1] < 0x90) || (lead == 0xF4 && s[i + 1] > 0x8F))
            return false;
        i += n;
    }
    return true;
}

static bool message(struct walk *w, const ProtobufCMessageDescriptor *type, struct cursor c, unsigned depth);

/* One length-delimited field that our schema knows. */
static bool delimited(struct walk *w, const ProtobufCFieldDescriptor *field, struct cursor c, unsigned depth)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        if (memchr(c.at, 0, (size_t)(c.end - c.at)) || !wire_utf8(c.at, (size_t)(c.end - c.at)))
            return err_set(w->e, ERR_BAD_REQUEST, "field '%s' is not UTF-8 without NUL", field->name);
        return true;
    case PROTOBUF_C_TYPE_MESSAGE:
        if (depth + 1 > WIRE_MAX_DEPTH)
            return err_set(w->e, ERR_BAD_REQUEST, "field '%s' is nested deeper than %u", field->name, WIRE_MAX_DEPTH);
        return message(w, field->descriptor, c, depth + 1);
    default:
        return true;
    }
}

static bool message(struct walk *w, const ProtobufCMessageDescriptor *type, struct cursor c, unsigned depth)
{
    while (c.at < c.end) {
        uint64_t tag, len = 0;
        if (++w->n_fields > w->max_fields)
            return err_set(w->e, ERR_BAD_REQUEST, "more than %zu fields in one message", w->max_fields);
        if (!varint(&c, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF)
            return err_set(w->e, ERR_BAD_REQUEST, "'%s' is no protobuf message: bad field tag", type->name);
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
        switch (tag & 7) {
        case 0:
            if (!varint(&c, &len))
                goto cut;
            break;
        case 1:
        case 5:
            len = (tag & 7) == 1 ? 8 : 4;
            if (len > (size_t)(c.end - c.at))
                goto cut;
            c.at += len;
            break;
        case 2:
            if (!varint(&c, &len) || len > (size_t)(c.end - c.at))
                goto cut;
            if (field && !delimited(w, field, (struct cursor){ c.at, c.at + len }, depth))
                return false;
            c.at += len;
            break;
        default:
            return err_set(w->e, ERR_BAD_REQUEST, "'%s' has a field of wire type %u, which is not in use",
                           type->name, (unsigned)(tag & 7));
        }
    }
    return true;
cut:
    return err_set(w->e, ERR_BAD_REQUEST, "'%s' ends inside a field", type->name);
}

bool wire_check(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len, struct err *e)
{
    return wire_check_max(type, bytes, len, WIRE_MAX_FIELDS, e);
}

bool wire_check_max(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len,
                    size_t max_fields, struct err *e)
{
    struct walk w = { .max_fields = max_fields, .e = e };
    static const uint8_t none[1];

    if (len == 0)
        bytes = none;
    return message(&w, type, (struct cursor){ bytes, bytes + len }, 1);
}
