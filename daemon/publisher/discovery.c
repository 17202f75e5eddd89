#include "daemon/publisher/discovery.h"

#include "proto/cleanup.h"
#include "proto/jose/json.h"
#include "proto/jose/jwk.h"

#include <string.h>

#define MAX_ALGS 32u

struct algs { const struct alg *each[MAX_ALGS]; size_t n; };

static void add(struct algs *a, const struct alg *alg)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->each[i] == alg)
            return;
    if (alg && alg->family != ALG_HMAC && a->n < MAX_ALGS)
        a->each[a->n++] = alg;
}

/* While a ring changes over its keys have two. */
static void add_published(struct algs *a, const Signet__Role__RingSet *set)
{
    struct err e;
    CLEANUP(jwk_set_freep) struct jwk_set *keys = jwk_set_read(set->jwks.data, set->jwks.len, &e);

    for (size_t i = 0; keys && i < jwk_set_size(keys); i++)
        add(a, jwk_alg(jwk_set_at(keys, i)));
}

/* The issuer less a slash at its end, and what follows it. */
static bool append_url(struct buf *out, const char *issuer, const char *rest)
{
    CLEANUP(buf_clear) struct buf url;
    size_t len = strlen(issuer);

    buf_init(&url, 4096);
    return buf_append(&url, issuer, len && issuer[len - 1] == '/' ? len - 1 : len) && buf_append_str(&url, rest) &&
           buf_append_char(&url, '\0') && json_append_string(out, (const char *)url.data);
}

bool discovery_write(const struct place *p, const struct shown *s, struct buf *out)
{
    struct algs algs = { .n = 0 };

    for (size_t i = 0; i < p->n_rings; i++) {
        const Signet__Role__RingSet *set = shown_set(s, p->rings[i]->settings.name);
        add(&algs, p->rings[i]->alg);
        if (set && set->jwks.len)
            add_published(&algs, set);
    }
    bool ok = buf_append_str(out, "{\"issuer\":") && json_append_string(out, p->issuer) &&
              buf_append_str(out, ",\"jwks_uri\":") && append_url(out, p->issuer, "/.well-known/jwks.json") &&
              buf_append_str(out, ",\"id_token_signing_alg_values_supported\":[");
    for (size_t i = 0; ok && i < algs.n; i++)
        ok = (i == 0 || buf_append_char(out, ',')) && json_append_string(out, algs.each[i]->name);
    return ok && buf_append_str(out, "]}\n");
}
