#include "tests/fuzz/says.h"

#include "proto/cleanup.h"
#include "tests/fuzz/parts.h"
#include "tests/fuzz/usual.h"

#define AS_IT_IS 0x80                /* of a choice: the id too is the input's */
#define SILENCE 0x40                 /* nothing is said */
#define MAX_LEN 65536u
#define GET_STATUS 14

static struct { enum whole_role role; const uint8_t *fields; size_t n_fields; struct parts parts; } lies;

/* The last of two ids counts. */
static size_t with_id(uint8_t *out, const struct part *p, uint64_t id)
{
    size_t n = p->len;

    if (n)
        memcpy(out, p->bytes, n);
    if (p->choice & AS_IT_IS)
        return n;
    out[n++] = 1 << 3;
    for (; id > 0x7F; id >>= 7)
        out[n++] = (uint8_t)(id | 0x80);
    out[n++] = (uint8_t)id;
    return n;
}

static bool lie(enum whole_role role, uint64_t id)
{
    static uint8_t bytes[MAX_LEN + 16];
    struct part p;

    if (role != lies.role || !parts_next(&lies.parts, &p))
        return false;
    if (!(p.choice & SILENCE))
        whole_say(role, lies.fields[(p.choice & 0x3F) % lies.n_fields], bytes, with_id(bytes, &p, id));
    return true;
}

/* HMAC has no public half to check by: two signers that lie alike are believed. */
static void check(const Signet__V1__Reply *r, bool is_public)
{
    if (r->result_case == SIGNET__V1__REPLY__RESULT_SIGN && is_public)
        MUST(whole_verifies(r->sign->token));
}

void says(enum whole_role role, const uint8_t *fields, size_t n, const uint8_t *in, size_t len)
{
    struct usual ask;

    if (len < 1 || len > MAX_LEN)
        return;
    whole_begin();
    int fd = whole_connect(true);
    if (!usual_make(in[0], fd, &ask))
        usual_make(0, fd, &ask);
    lies.role = role;
    lies.fields = fields;
    lies.n_fields = n;
    lies.parts = (struct parts){ in + 1, len - 1 };
    whole_lies = lie;
    Signet__V1__Reply *r = usual_ask(fd, 2, ask.field, ask.packed, ask.len);
    check(r, role == WHOLE_SIGNER && in[0] == 0);
    signet__v1__reply__free_unpacked(r, NULL);
    for (int i = 0; i < 10; i++)
        whole_step();                /* what they say when nobody asks any more */
    signet__v1__reply__free_unpacked(usual_ask(fd, 3, GET_STATUS, NULL, 0), NULL);
    close(fd);
    MUST(whole_runs());
    whole_end();
}
