#include "tests/fuzz/usual.h"

#include "proto/cleanup.h"

enum fill { NOTHING, TOKEN, KID };   /* what of a true token goes behind the bytes, which end with its field's number */

static const struct { const char *name; uint8_t field; const char *bytes, *of; enum fill fill; } usual[] = {
    { "sign", 10, "\012\003web", NULL, NOTHING },
    { "sign HMAC", 10, "\012\003mac", NULL, NOTHING },
    { "sign with claims", 10, "\012\004turn:\012{\"name\":1}", NULL, NOTHING },
    { "sign a batch", 11, "\012\005\012\003web\012\005\012\003mac\012\005\012\003web", NULL, NOTHING },
    { "verify", 12, "\012\003web\022", "web", TOKEN },
    { "verify HMAC", 12, "\022", "mac", TOKEN },
    { "generate", 31, "\012\003web", NULL, NOTHING },
    { "import", 32, "\012\007printed\022\010secrets!", NULL, NOTHING },
    { "rotate", 36, "\012\004turn", NULL, NOTHING },
    { "rotate at once", 36, "\012\003web\020\001", NULL, NOTHING },
    { "revoke, the next one is there", 37, "\012", "turn", KID },
    { "revoke", 37, "\012", "web", KID },
    { "destroy", 38, "\020\001\012", "web", KID },
    { "reload", 33, "", NULL, NOTHING },
    { "get keys", 13, "", NULL, NOTHING },
    { "status", 14, "", NULL, NOTHING },
    { "preview", 15, "\012\005\012\003web", NULL, NOTHING },
    { "list profiles", 16, "", NULL, NOTHING },
    { "list keys", 30, "", NULL, NOTHING },
    { "list rings", 34, "", NULL, NOTHING },
    { "plan", 35, "\012\004turn", NULL, NOTHING },
};

Signet__V1__Reply *usual_ask(int fd, uint64_t id, unsigned field, const uint8_t *packed, size_t len)
{
    whole_ask(fd, id, field, packed, len);
    Signet__V1__Reply *r = whole_reply(fd);
    MUST(r && r->request_id == id);
    return r;
}

static size_t fill_in(int fd, enum fill fill, const char *of, uint8_t *out)
{
    uint8_t ask[64];
    int n = snprintf((char *)ask, sizeof ask, "\012%c%s:\012{\"name\":1}", (int)strlen(of), of);
    Signet__V1__Reply *r = usual_ask(fd, 1, 10, ask, (size_t)n);
    MUST(r->result_case == SIGNET__V1__REPLY__RESULT_SIGN);
    const char *what = fill == TOKEN ? r->sign->token : r->sign->kid;
    size_t len = strlen(what), at = 0;

    MUST(len < USUAL_MAX - 64);
    if (len > 0x7F)
        out[at++] = (uint8_t)(len | 0x80);
    out[at++] = (uint8_t)(len > 0x7F ? len >> 7 : len);
    memcpy(out + at, what, len);
    signet__v1__reply__free_unpacked(r, NULL);
    return at + len;
}

bool usual_make(size_t nth, int fd, struct usual *out)
{
    if (nth >= ARRAY_LEN(usual))
        return false;
    out->name = usual[nth].name;
    out->field = usual[nth].field;
    out->len = strlen(usual[nth].bytes);
    memcpy(out->packed, usual[nth].bytes, out->len);
    if (usual[nth].fill != NOTHING)
        out->len += fill_in(fd, usual[nth].fill, usual[nth].of, out->packed + out->len);
    return true;
}
