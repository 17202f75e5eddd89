#include "daemon/publisher/jwks.h"

#include "daemon/channel/channel.h"
#include "proto/cleanup.h"
#include "proto/jose/jwk.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define RETRY_MS 1000u               /* the next snapshot */
#define MOST_S (30 * 86400)          /* as jwks_max_age: whatever a broker says, a wrong set leaves the caches some day */

static bool not_known(struct err *e, const char *ring, const char *why)
{
    err_set(e, ERR_STARTING, "the keys of ring '%s' are not known: %s", ring, why);
    e->retry_after_ms = RETRY_MS;
    return false;
}

/* Its set, for how long a copy may be kept (`left`) and should be (`fresh`). */
static bool add_ring(const struct ring_config *r, const struct shown *s, int64_t age_s, struct buf *out, int64_t *left,
                     int64_t *fresh, struct err *e)
{
    const Signet__Role__RingSet *set = shown_set(s, r->settings.name);

    if (!set)
        return not_known(e, r->settings.name, "signetd is starting, or the ring is new");
    if (set->why) {
        channel_why(set->why, e);
        return false;
    }
    *left = set->max_age_s - age_s < *left ? set->max_age_s - age_s : *left;
    *fresh = set->changes_in_s - age_s < *fresh ? set->changes_in_s - age_s : *fresh;
    if (*left <= 0)
        return not_known(e, r->settings.name, "what was known of them is older than they may be kept for");
    return set->jwks.len == 0 || jwk_set_append(out, set->jwks.data, set->jwks.len) ||
           err_set(e, ERR_NO_MEMORY, "the keys of ring '%s' cannot be written", r->settings.name);
}

bool jwks_write(const struct place *p, const struct shown *s, int64_t steady_ms, struct buf *out, uint32_t *out_max_age_s,
                struct err *e)
{
    int64_t age_s = (steady_ms - s->told_ms + 999) / 1000, left = MOST_S, fresh = MOST_S;
    size_t n_public = 0, before = out->len;

    for (size_t i = 0; i < p->n_rings; i++) {
        const struct ring_config *r = p->rings[i];
        if (r->alg->family == ALG_HMAC && s->message && !shown_set(s, r->settings.name))
            continue;
        n_public++;
        if (!add_ring(r, s, age_s, out, &left, &fresh, e)) {
            out->len = before;
            return false;
        }
    }
    if (n_public == 0)
        return err_set(e, ERR_UNKNOWN_RING, "its tokens are signed with secrets: there is no key to publish, ask signetd to"
                       " verify them");
    if (out->len == before)
        return err_set(e, ERR_NO_ACTIVE_KEY, "there is no key yet");
    *out_max_age_s = (uint32_t)(fresh >= left ? left : fresh > 0 ? fresh : 1);
    return true;
}

void jwks_etag(const struct buf *body, char out[40])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t len = 0;

    out[0] = '\0';
    if (EVP_Digest(body->data, body->len, digest, NULL, EVP_sha256(), NULL) != 1)
        return;
    for (size_t i = 0; i < 16; i++)
        len += (size_t)snprintf(out + 1 + len, 39 - len, "%02x", digest[i]);
    out[0] = '"';
    out[1 + len] = '"';
    out[2 + len] = '\0';
}
