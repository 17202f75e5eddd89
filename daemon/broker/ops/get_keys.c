#include "daemon/broker/ops/ops.h"

#include "daemon/base/clock.h"

static const char no_keys[] = "{\"keys\":[]}";

void profile_info(Signet__V1__ProfileInfo *out, const struct config *c, const struct profile *p)
{
    signet__v1__profile_info__init(out);
    out->name = p->name;
    out->issuer = p->issuer ? p->issuer : out->issuer;
    out->audiences = p->audiences;
    out->n_audiences = p->n_audiences;
    out->typ = p->typ;
    out->leeway_s = p->leeway_s;
    out->alg = (char *)(uintptr_t)config_ring(c, p->ring)->alg->name;
    out->raw = p->raw;
    out->ring = p->ring;
    out->ttl_s = p->ttl_s;
    out->max_ttl_s = p->max_ttl_s;
}

/* Open to every caller: public keys, and what tokens are judged by. */
static bool begin(struct request *rq, struct err *e)
{
    const struct config *c = rq->conf->config;
    uint32_t page = rq->msg->get_keys->page;
    int64_t now = clock_now();
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__GetKeysReply keys = SIGNET__V1__GET_KEYS_REPLY__INIT;
    struct keys_set set;

    if (!tokens_set(rq->broker, now, &set, e))
        return false;
    if (page > 0 && page >= set.n_pages)
        return err_set(e, ERR_BAD_REQUEST, "the key set has %zu pages, and page %u was asked for", set.n_pages, page);
    CLEANUP(freep) Signet__V1__ProfileInfo *infos = calloc(c->n_profiles, sizeof *infos);
    CLEANUP(freep) Signet__V1__ProfileInfo **each = calloc(c->n_profiles, sizeof *each);
    if (!infos || !each)
        return err_set(e, ERR_NO_MEMORY, "no memory for the profiles");
    for (size_t i = 0; page == 0 && i < c->n_profiles; i++) {
        profile_info(&infos[i], c, &c->profiles[i]);
        infos[i].has_secret_keys = tokens_have_secrets(rq->broker, config_ring(c, c->profiles[i].ring), now);
        each[i] = &infos[i];
        keys.n_profiles = i + 1;
    }
    keys.profiles = each;
    const struct keys_page *there = tokens_page(rq->broker, page);
    keys.jwks = there ? there->jwks : (char *)(uintptr_t)no_keys;
    if (there) {
        keys.rings = (char **)(uintptr_t)there->rings;
        keys.n_rings = there->n;
    }
    keys.version = set.version;
    keys.max_age_s = set.max_age_s;
    keys.changes_in_s = set.changes_in_s;
    keys.n_pages = set.n_pages ? (uint32_t)set.n_pages : 1;
    r.result_case = SIGNET__V1__REPLY__RESULT_GET_KEYS;
    r.get_keys = &keys;
    request_reply(rq, &r);
    return true;
}

const struct op op_get_keys = {
    SIGNET__V1__REQUEST__OP_GET_KEYS, "get_keys", false, op_usual_deadline, begin, op_nothing, op_nothing,
};
