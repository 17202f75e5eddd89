/* list_profiles: what this caller may have signed and verified. A profile that is nothing to it is not there. */
#include "daemon/broker/ops/ops.h"

/*
 * Of profiles in a page, or one alone that has more. By config's own limits (lists of 256 names, 64 fixed claims of
 * 8 KiB) none has so much that a reply could not hold it.
 */
#define PAGE_BYTES (256u * 1024)

/* Room for all profiles; those of the page so far are the first `n`. */
struct listing {
    Signet__V1__ProfileRules *rules, **each;
    Signet__V1__ProfileInfo *infos;
    Signet__V1__FixedClaim *fixed, **each_fixed;
    size_t n, n_fixed;
};

static void listing_clear(struct listing *l)
{
    free(l->rules);
    free(l->each);
    free(l->infos);
    free(l->fixed);
    free(l->each_fixed);
}

static bool listing_init(struct listing *l, const struct config *c, struct err *e)
{
    size_t n_fixed = 1;

    for (size_t i = 0; i < c->n_profiles; i++)
        n_fixed += c->profiles[i].n_fixed;
    *l = (struct listing){ 0 };
    l->rules = calloc(c->n_profiles, sizeof *l->rules);
    l->each = calloc(c->n_profiles, sizeof *l->each);
    l->infos = calloc(c->n_profiles, sizeof *l->infos);
    l->fixed = calloc(n_fixed, sizeof *l->fixed);
    l->each_fixed = calloc(n_fixed, sizeof *l->each_fixed);
    return (l->rules && l->each && l->infos && l->fixed && l->each_fixed) ||
           err_set(e, ERR_NO_MEMORY, "no memory for the profiles");
}

static void fill_claims(struct listing *l, Signet__V1__ProfileRules *out, const struct profile *p)
{
    out->subject = (char *)(uintptr_t)(p->subject_is_caller ? "caller" : "any");
    out->any_claim = p->any_claim;
    out->allowed = p->allowed;
    out->n_allowed = p->n_allowed;
    out->required = p->required;
    out->n_required = p->n_required;
    out->forbidden = p->forbidden;
    out->n_forbidden = p->n_forbidden;
    out->fixed = l->each_fixed + l->n_fixed;
    out->n_fixed = p->n_fixed;
    for (size_t i = 0; i < p->n_fixed; i++) {
        Signet__V1__FixedClaim *claim = out->fixed[i] = &l->fixed[l->n_fixed + i];
        signet__v1__fixed_claim__init(claim);
        claim->name = p->fixed[i].name;
        claim->json = p->fixed[i].json;
    }
}

/* As the page's next, if it is kept. NULL: nothing to this caller. */
static const Signet__V1__ProfileRules *fill(struct listing *l, const struct request *rq, const struct profile *p)
{
    Signet__V1__ProfileRules *out = l->each[l->n] = &l->rules[l->n];

    signet__v1__profile_rules__init(out);
    out->may_sign = allow_has(&p->sign, &rq->caller);
    out->may_verify = allow_has(&p->verify, &rq->caller);
    if (!out->may_sign && !out->may_verify)
        return NULL;
    out->profile = &l->infos[l->n];
    profile_info(out->profile, rq->conf->config, p);
    if (!out->may_sign)
        return out;
    out->rate_per_s = p->rate_per_s;
    if (!p->raw)
        fill_claims(l, out, p);
    return out;
}

/* Fills the page; returns how many there are. */
static uint32_t fill_page(struct listing *l, const struct request *rq, uint32_t page)
{
    const struct config *c = rq->conf->config;
    uint32_t at = 0;
    size_t bytes = 0;

    for (size_t i = 0; i < c->n_profiles; i++) {
        const Signet__V1__ProfileRules *rules = fill(l, rq, &c->profiles[i]);
        if (!rules)
            continue;
        size_t len = signet__v1__profile_rules__get_packed_size(rules);
        if (bytes > 0 && bytes + len > PAGE_BYTES) {
            at++;
            bytes = 0;
        }
        bytes += len;
        if (at == page) {
            l->n++;
            l->n_fixed += rules->n_fixed;
        }
    }
    return at + 1;
}

static bool begin(struct request *rq, struct err *e)
{
    uint32_t page = rq->msg->list_profiles->page;
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__ListProfilesReply list = SIGNET__V1__LIST_PROFILES_REPLY__INIT;
    CLEANUP(listing_clear) struct listing l;

    if (!listing_init(&l, rq->conf->config, e))
        return false;
    list.n_pages = fill_page(&l, rq, page);
    if (page >= list.n_pages)
        return err_set(e, ERR_BAD_REQUEST, "your profiles have %u pages, and page %u was asked for", list.n_pages, page);
    list.profiles = l.each;
    list.n_profiles = l.n;
    list.version = rq->conf->generation;
    r.result_case = SIGNET__V1__REPLY__RESULT_LIST_PROFILES;
    r.list_profiles = &list;
    request_reply(rq, &r);
    return true;
}

const struct op op_list_profiles = {
    SIGNET__V1__REQUEST__OP_LIST_PROFILES, "list_profiles", false, op_usual_deadline, begin, op_nothing, op_nothing,
};
