/*
 * Every allocation of reading a configuration fails once in turn: it is read
 * as it stands, or refused with a reason; never is it another one, and never
 * is what must be refused taken for want of memory.
 */
#include "daemon/config/config.h"
#include "daemon/config/strands.h"
#include "tests/nth/nth.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>

static const char good[] =
    "daemon:\n"
    "  socket: /s\n"
    "  admin_socket: /a\n"
    "  admin: {users: [me, 7], groups: [us]}\n"
    "token: {module: m, uri: 'pkcs11:token=t', pin_file: /p}\n"
    "rings:\n"
    "  web: {alg: ES256, create: yes}\n"
    "  made: {alg: RS256, rotate_every: never, max_ttl: 1h, jwks_max_age: 5m, keys: [\n"
    "    {uri: 'pkcs11:object=first', activates_at: 1799900000},\n"
    "    {uri: 'pkcs11:object=second', activates_at: 1799990000}]}\n"
    "profiles:\n"
    "  web: {ring: web, issuer: i, audiences: [shop, login], typ: x+jwt, claims: {allowed: [a, b], required: [a, sub],\n"
    "    forbidden: [c], fixed: {tenant: {id: 7, of: [x, \"y\", true]}}}, sign: {users: [me]}, verify: {groups: [us]}}\n"
    "  made: {ring: made, issuer: j, audiences: [made], sign: {users: any}, verify: {users: any}}\n";
/* The same without the ring that living tokens need, and with mistakes of every kind. */
static const char another[] =
    "token: {module: m, uri: 'pkcs11:token=t', pin_file: /p}\n"
    "rings:\n"
    "  web: {alg: ES256, create: yes}\n"
    "profiles:\n"
    "  web: {ring: web, issuer: i, audiences: [shop, login], sign: {users: [7]}}\n"
    "  made: {ring: web, issuer: j, audiences: [made], sign: {users: [7]}}\n";
static const char bad[] =
    "daemon: {admin: {users: [nobody-here]}}\n"
    "token: {module: m, uri: 'pkcs11:token=t&x', pin_file: /p}\n"
    "rings:\n"
    "  web: {alg: ES256, colour: red, publish_ahead: 1s}\n"
    "  web: {alg: ES257}\n"
    "profiles:\n"
    "  p: {ring: wob, audiences: [a], claims: {allowed: [exp]}}\n";

static struct config *read_it(const char *text, struct buf *mistakes)
{
    const struct names names = { .users = &(struct name_id){ (char *)(uintptr_t)"me", 1 }, .n_users = 1,
                                 .groups = &(struct name_id){ (char *)(uintptr_t)"us", 2 }, .n_groups = 1 };

    buf_init(mistakes, 64 * 1024);
    return config_parse(text, strlen(text), "f", &names, mistakes);
}

static bool same_str(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_list(char *const *a, size_t n, char *const *b, size_t m)
{
    bool same = n == m;

    for (size_t i = 0; same && i < n; i++)
        same = same_str(a[i], b[i]);
    return same;
}

static bool same_allow(const struct allow *a, const struct allow *b)
{
    return a->any == b->any && a->n_uids == b->n_uids && a->n_gids == b->n_gids &&
           (!a->n_uids || memcmp(a->uids, b->uids, a->n_uids * sizeof *a->uids) == 0) &&
           (!a->n_gids || memcmp(a->gids, b->gids, a->n_gids * sizeof *a->gids) == 0);
}

static bool same_profile(const struct profile *a, const struct profile *b)
{
    bool same = same_str(a->name, b->name) && same_str(a->ring, b->ring) && same_str(a->issuer, b->issuer) &&
                same_str(a->typ, b->typ) && same_list(a->audiences, a->n_audiences, b->audiences, b->n_audiences) &&
                same_list(a->allowed, a->n_allowed, b->allowed, b->n_allowed) &&
                same_list(a->required, a->n_required, b->required, b->n_required) &&
                same_list(a->forbidden, a->n_forbidden, b->forbidden, b->n_forbidden) && a->n_fixed == b->n_fixed &&
                same_allow(&a->sign, &b->sign) && same_allow(&a->verify, &b->verify) && a->ttl_s == b->ttl_s;

    for (size_t i = 0; same && i < a->n_fixed; i++)
        same = same_str(a->fixed[i].name, b->fixed[i].name) && same_str(a->fixed[i].json, b->fixed[i].json);
    return same;
}

static bool same(const struct config *a, const struct config *b)
{
    bool same = !config_needs_restart(a, b) && same_allow(&a->daemon.admin, &b->daemon.admin) && a->n_rings == b->n_rings &&
                a->n_profiles == b->n_profiles && same_str(a->tokens[0].pin_file, b->tokens[0].pin_file);

    for (size_t i = 0; same && i < a->n_profiles; i++)
        same = same_profile(&a->profiles[i], &b->profiles[i]);
    for (size_t i = 0; same && i < a->n_rings; i++) {
        const struct ring_config *r = &a->rings[i], *s = &b->rings[i];
        same = same_str(r->settings.name, s->settings.name) && r->alg == s->alg && r->n_outside == s->n_outside;
        for (size_t k = 0; same && k < r->n_outside; k++)
            same = same_str(r->outside[k].uri, s->outside[k].uri);
    }
    return same;
}

static void it_is_read_as_it_stands_or_refused(void)
{
    struct buf mistakes;
    CLEANUP(config_freep) struct config *whole = read_it(good, &mistakes);
    bool done = true;
    uint64_t at;

    CU_ASSERT_PTR_NOT_NULL_FATAL(whole);
    for (at = 1; done; at++) {
        nth_arm(NTH_ALLOC, at);
        CLEANUP(config_freep) struct config *c = read_it(good, &mistakes);
        nth_disarm(&done);
        bool ok = c ? same(c, whole) : true;
        if (!ok)
            printf("     allocation %llu: another configuration\n", (unsigned long long)at);
        CU_ASSERT_TRUE(ok);
        buf_clear(&mistakes);
    }
    printf("     %llu allocations failed\n", (unsigned long long)at - 2);
}

static void what_is_wrong_is_refused_whatever_memory_there_is(void)
{
    struct buf mistakes;
    bool done = true;

    for (uint64_t at = 1; done; at++) {
        nth_arm(NTH_ALLOC, at);
        struct config *c = read_it(bad, &mistakes);
        nth_disarm(&done);
        CU_ASSERT_PTR_NULL(c);
        config_free(c);
        buf_clear(&mistakes);
    }
}

static void what_would_reject_living_tokens_is_refused_whatever_memory_there_is(void)
{
    static const int64_t quiet_s[2];
    struct buf mistakes;
    CLEANUP(config_freep) struct config *was = read_it(good, &mistakes);
    CLEANUP(config_freep) struct config *is = read_it(another, &mistakes);
    bool done = true;

    printf("%.*s", (int)mistakes.len, mistakes.data ? (const char *)mistakes.data : "");
    CU_ASSERT_FATAL(was && is);
    for (uint64_t at = 1; done; at++) {
        struct strands s;
        strands_init(&s);
        nth_arm(NTH_ALLOC, at);
        strands_find(was, is, quiet_s, 1800000000, &s);
        nth_disarm(&done);
        CU_ASSERT_TRUE(s.is_refused);
        strands_clear(&s);
    }
}

static const struct unit_case cases[] = {
    { "a configuration is read as it stands, or refused, whatever allocation fails", it_is_read_as_it_stands_or_refused },
    { "what is wrong is refused, whatever allocation fails", what_is_wrong_is_refused_whatever_memory_there_is },
    { "what would reject living tokens is refused, whatever allocation fails",
      what_would_reject_living_tokens_is_refused_whatever_memory_there_is },
};
UNIT_MAIN(cases)
