#include "daemon/base/role.h"

#include "daemon/base/clock.h"
#include "tests/support/unit.h"

static const struct {
    const char *argv0;
    enum role_kind want;
    unsigned number;
} name_case[] = {
    { "signetd", ROLE_SUPERVISOR, 0 },
    { "/usr/sbin/signetd", ROLE_SUPERVISOR, 0 },
    { "signetd: broker", ROLE_BROKER, 0 },
    { "signetd: broker 1", ROLE_SUPERVISOR, 0 },
    { "signetd: signer 1", ROLE_SIGNER, 1 },
    { "signetd: signer 12", ROLE_SIGNER, 12 },
    { "signetd: signer", ROLE_SUPERVISOR, 0 },
    { "signetd: signer 0", ROLE_SUPERVISOR, 0 },
    { "signetd: signer -1", ROLE_SUPERVISOR, 0 },
    { "signetd: signer 1x", ROLE_SUPERVISOR, 0 },
    { "signetd: signer 10000", ROLE_SUPERVISOR, 0 },
    { "signetd: verifier 2", ROLE_VERIFIER, 2 },
    { "signetd: publisher", ROLE_PUBLISHER, 0 },
    { "signetd: publisher 1", ROLE_SUPERVISOR, 0 },
    { "", ROLE_SUPERVISOR, 0 },
    { NULL, ROLE_SUPERVISOR, 0 },
};

static void names(void)
{
    for (size_t i = 0; i < sizeof name_case / sizeof *name_case; i++) {
        unsigned number;
        const char *name = name_case[i].argv0 ? name_case[i].argv0 : "none";
        unit_same_int(name, role_of(name_case[i].argv0, &number), name_case[i].want);
        unit_same_int(name, number, name_case[i].number);
    }
}

static void titles_read_back(void)
{
    for (enum role_kind kind = ROLE_BROKER; kind <= ROLE_PUBLISHER; kind++) {
        char title[ROLE_MAX_NAME];
        unsigned number;
        role_title(title, kind, 7);
        unit_same_int(title, role_of(title, &number), kind);
    }
}

static void the_clocks_run(void)
{
    int64_t wall = clock_now(), ms = clock_mono_ms();
    CU_ASSERT(wall > 1700000000);
    CU_ASSERT(clock_mono_ms() >= ms);
#ifdef SIGNET_TESTING
    clock_test_move(86400);
    CU_ASSERT(clock_now() >= wall + 86400);
    clock_test_move(0);
#endif
}

static const struct unit_case cases[] = {
    { "argv[0] names the role, and nothing else does", names },
    { "a title reads back", titles_read_back },
    { "the clocks run", the_clocks_run },
};
UNIT_MAIN(cases)
