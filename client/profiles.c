#include "client/profiles.h"

#include "client/handle.h"
#include "client/error.h"

#define MAX_PAGES 100u      /* a configuration has 1 MiB, a page a good part of it */

struct owned_list {
    struct signet_profile_list list;
    struct signet_profile_rules *rules;
    struct signet_fixed_claim *fixed;           /* of all profiles, one after the other */
    Signet__V1__Reply *pages[MAX_PAGES];        /* every string lives in them */
    size_t n_pages;
};

struct signet_profile profile_from_wire(const Signet__V1__ProfileInfo *p)
{
    return (struct signet_profile){
        .name = p->name, .issuer = p->issuer, .typ = p->typ, .alg = p->alg, .ring = p->ring,
        .audiences = (const char *const *)p->audiences, .n_audiences = p->n_audiences,
        .leeway_s = p->leeway_s, .ttl_s = p->ttl_s, .max_ttl_s = p->max_ttl_s, .raw = p->raw,
        .has_secret_keys = p->has_secret_keys,
    };
}

static Signet__V1__Reply *page(struct signet *s, uint32_t number, int64_t until_ms, struct signet_error *e)
{
    Signet__V1__Request op = SIGNET__V1__REQUEST__INIT;
    Signet__V1__ListProfilesRequest m = SIGNET__V1__LIST_PROFILES_REQUEST__INIT;

    m.page = number;
    op.op_case = SIGNET__V1__REQUEST__OP_LIST_PROFILES;
    op.list_profiles = &m;
    return handle_call_until(s, &op, until_ms, e);
}

static bool fetch(struct signet *s, struct owned_list *o, struct signet_error *e)
{
    int64_t until_ms = handle_until_ms(s, NULL);
    uint32_t n_pages = 1;

    for (uint32_t i = 0; i < n_pages; i++) {
        if (!(o->pages[i] = page(s, i, until_ms, e)))
            return false;
        o->n_pages = i + 1;
        const Signet__V1__ListProfilesReply *r = o->pages[i]->list_profiles;
        if (i == 0)
            n_pages = r->n_pages;
        if (n_pages > MAX_PAGES)
            return error_set(e, ERR_PROTOCOL_BROKEN, "signetd answered with %u pages of profiles", n_pages);
        if (r->version != o->pages[0]->list_profiles->version)
            return error_set(e, ERR_PROTOCOL_BROKEN,
                             "the configuration changed while its profiles were listed; try again");
    }
    return true;
}

static bool room(struct owned_list *o, struct signet_error *e)
{
    size_t n = 0, n_fixed = 0;

    for (size_t i = 0; i < o->n_pages; i++) {
        const Signet__V1__ListProfilesReply *r = o->pages[i]->list_profiles;
        n += r->n_profiles;
        for (size_t k = 0; k < r->n_profiles; k++)
            n_fixed += r->profiles[k]->n_fixed;
    }
    o->rules = calloc(n + 1, sizeof *o->rules);
    o->fixed = calloc(n_fixed + 1, sizeof *o->fixed);
    return (o->rules && o->fixed) || error_no_memory(e);
}

/* *fixed: where the next fixed claim goes. */
static struct signet_profile_rules take(const Signet__V1__ProfileRules *r, struct signet_fixed_claim **fixed)
{
    const struct signet_fixed_claim *first = *fixed;

    for (size_t i = 0; i < r->n_fixed; i++)
        *(*fixed)++ = (struct signet_fixed_claim){ r->fixed[i]->name, r->fixed[i]->json };
    return (struct signet_profile_rules){
        .profile = profile_from_wire(r->profile), .may_sign = r->may_sign, .may_verify = r->may_verify,
        .subject = r->subject, .any_claim = r->any_claim,
        .allowed = (const char *const *)r->allowed, .n_allowed = r->n_allowed,
        .required = (const char *const *)r->required, .n_required = r->n_required,
        .forbidden = (const char *const *)r->forbidden, .n_forbidden = r->n_forbidden,
        .fixed = first, .n_fixed = r->n_fixed, .rate_per_s = r->rate_per_s,
    };
}

static bool take_all(struct owned_list *o, struct signet_error *e)
{
    struct signet_fixed_claim *fixed = o->fixed;

    for (size_t i = 0; i < o->n_pages; i++) {
        const Signet__V1__ListProfilesReply *r = o->pages[i]->list_profiles;
        for (size_t k = 0; k < r->n_profiles; k++) {
            if (!r->profiles[k]->profile)
                return error_set(e, ERR_PROTOCOL_BROKEN, "signetd answered with the rules of no profile");
            o->rules[o->list.n++] = take(r->profiles[k], &fixed);
        }
    }
    o->list.profiles = o->rules;
    return true;
}

struct signet_profile_list *signet_list_profiles(struct signet *s, struct signet_error *e)
{
    struct owned_list *o = calloc(1, sizeof *o);

    if (!o) {
        error_no_memory(e);
        return NULL;
    }
    if (fetch(s, o, e) && room(o, e) && take_all(o, e))
        return &o->list;
    signet_profile_list_free(&o->list);
    return NULL;
}

void signet_profile_list_free(struct signet_profile_list *l)
{
    struct owned_list *o = (struct owned_list *)l;

    if (!o)
        return;
    for (size_t i = 0; i < o->n_pages; i++)
        signet__v1__reply__free_unpacked(o->pages[i], NULL);
    free(o->rules);
    free(o->fixed);
    free(o);
}
