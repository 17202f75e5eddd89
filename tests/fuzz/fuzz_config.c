/* config: a file's text. What is accepted is parsed again alike; what is not is said with its line. */
#include "tests/fuzz/fuzz.h"

#include "daemon/config/config.h"
#include "daemon/config/strands.h"

#define MAX_MISTAKES (256u * 1024)

/* What stays as it is takes nothing from any token. */
static void strand(const struct config *c)
{
    CLEANUP(freep) int64_t *quiet_s = calloc(c->n_profiles, sizeof *quiet_s);
    CLEANUP(strands_clear) struct strands s;

    strands_init(&s);
    if (quiet_s)
        strands_find(c, c, quiet_s, 1800000000, &s);
    MUST(s.refused.len == 0 && s.warned.len == 0);
}

static void parse(const uint8_t *in, size_t len, const struct names *names)
{
    struct buf mistakes;
    buf_init(&mistakes, MAX_MISTAKES);
    CLEANUP(config_freep) struct config *c = config_parse((const char *)in, len, "f", names, &mistakes);
    if (c) {
        MUST(mistakes.len == 0);
        for (size_t i = 0; i < c->n_profiles; i++)
            MUST(config_ring(c, c->profiles[i].ring) && config_profile(c, c->profiles[i].name) == &c->profiles[i]);
        MUST(config_needs_restart(c, c) == NULL);
        strand(c);
    } else {
        MUST(mistakes.len > 2 && memcmp(mistakes.data, "f:", 2) == 0);
    }
    buf_clear(&mistakes);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    struct names names = { 0 };
    config_names((const char *)in, len, &names);
    for (size_t i = 0; i < names.n_users; i++)
        names.users[i].id = (uint32_t)i + 1;
    for (size_t i = 0; i < names.n_groups; i++)
        names.groups[i].id = (uint32_t)i + 1;
    parse(in, len, &names);
    names_clear(&names);
    parse(in, len, NULL);
    return 0;
}
