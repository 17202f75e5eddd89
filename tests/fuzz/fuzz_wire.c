/* wire: one byte chooses Request or Reply, the rest is the message. */
#include "tests/fuzz/fuzz.h"

#include "proto/wire.h"
#include "signet.pb-c.h"

#define MAX_UNPACKED (8u * 1024 * 1024)   /* bytes; what a request of 64 KiB may at most become */

struct meter { size_t taken; };

static void *meter_alloc(void *of, size_t size)
{
    struct meter *m = of;
    m->taken += size;
    MUST(m->taken <= MAX_UNPACKED);
    return malloc(size);
}

static void meter_free(void *of, void *p) { free(p); }

static void strings_are_whole(const ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        const uint8_t *at = (const uint8_t *)m + f->offset;
        if (f->type != PROTOBUF_C_TYPE_STRING || f->label == PROTOBUF_C_LABEL_REPEATED)
            continue;
        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            continue;
        const char *s = *(const char *const *)(const void *)at;
        MUST(!s || wire_utf8((const uint8_t *)s, strlen(s)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    if (len < 1 || len > 64u * 1024)
        return 0;
    const ProtobufCMessageDescriptor *type = in[0] & 1 ? &signet__v1__reply__descriptor
                                                       : &signet__v1__request__descriptor;
    struct err e = { 0 };
    if (!wire_check(type, in + 1, len - 1, &e)) {
        MUST(e.reason != ERR_NONE && e.text[0]);
        return 0;
    }
    struct meter meter = { 0 };
    ProtobufCAllocator allocator = { meter_alloc, meter_free, &meter };
    ProtobufCMessage *m = protobuf_c_message_unpack(type, &allocator, len - 1, in + 1);
    if (!m)
        return 0;
    strings_are_whole(m);
    protobuf_c_message_free_unpacked(m, &allocator);
    return 0;
}
