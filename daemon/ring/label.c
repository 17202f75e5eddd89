#include "daemon/ring/label.h"

#include <stdio.h>
#include <string.h>

static const char prefix[] = "signet:";

bool ring_name_ok(const char *name, size_t len)
{
    if (len == 0 || len > RING_MAX_NAME)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') || name[i] == '-'))
            return false;
    return true;
}

/* The field up to the next colon, or the rest; *text moves past it. */
static const char *field(const char **text, const char *end, size_t *out_len)
{
    const char *at = *text, *colon = at <= end ? memchr(at, ':', (size_t)(end - at)) : NULL;

    if (at > end)
        return NULL;
    *out_len = (size_t)((colon ? colon : end) - at);
    *text = colon ? colon + 1 : end + 1;
    return at;
}

static bool number(const char **text, const char *end, int64_t *out)
{
    size_t len = 0;
    const char *digits = field(text, end, &len);
    int64_t n = 0;

    if (!digits || len == 0 || len > 12 || (len > 1 && digits[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        n = n * 10 + (digits[i] - '0');
    }
    if (n > LABEL_MAX_TIME)
        return false;
    *out = n;
    return true;
}

static bool word(const char **text, const char *end, char *out, size_t size)
{
    size_t len = 0;
    const char *w = field(text, end, &len);

    if (!w || len == 0 || len >= size)
        return false;
    for (size_t i = 0; i < len; i++)
        if (w[i] < '!' || w[i] > '~')
            return false;
    memcpy(out, w, len);
    out[len] = '\0';
    return true;
}

bool label_parse(struct label *l, const char *text, size_t len)
{
    const char *at = text + sizeof prefix - 1, *end = text + len;
    struct label got = { .kind = LABEL_KEY };
    char kind[16];

    if (len >= LABEL_MAX || len < sizeof prefix - 1 || memcmp(text, prefix, sizeof prefix - 1) != 0 ||
        !word(&at, end, got.ring, sizeof got.ring) || !ring_name_ok(got.ring, strlen(got.ring)) ||
        !word(&at, end, kind, sizeof kind))
        return false;
    if (strcmp(kind, "revoked") == 0 || strcmp(kind, "promote") == 0) {
        got.kind = kind[0] == 'r' ? LABEL_REVOKED : LABEL_PROMOTE;
        if (!word(&at, end, got.kid, sizeof got.kid) || !number(&at, end, &got.at))
            return false;
    } else {
        strcpy(got.alg, kind);
        if (!number(&at, end, &got.at) || !number(&at, end, &got.max_ttl) || !number(&at, end, &got.skew) ||
            !number(&at, end, &got.max_age))
            return false;
    }
    if (at <= end)          /* something follows */
        return false;
    *l = got;
    return true;
}

bool label_write(const struct label *l, char out[LABEL_MAX])
{
    struct label back;
    int n;

    if (l->kind == LABEL_KEY)
        n = snprintf(out, LABEL_MAX, "%s%s:%s:%lld:%lld:%lld:%lld", prefix, l->ring, l->alg, (long long)l->at,
                     (long long)l->max_ttl, (long long)l->skew, (long long)l->max_age);
    else
        n = snprintf(out, LABEL_MAX, "%s%s:%s:%s:%lld", prefix, l->ring,
                     l->kind == LABEL_REVOKED ? "revoked" : "promote", l->kid, (long long)l->at);
    /* What cannot be read back must never reach a token. */
    return n > 0 && n < LABEL_MAX && label_parse(&back, out, (size_t)n);
}
