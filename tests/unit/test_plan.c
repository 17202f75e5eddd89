#include "daemon/supervisor/plan.h"

#include "tests/support/unit.h"

static const struct {
    const char *name;
    unsigned configured;
    bool software, tpm;
    unsigned cpus, want;
} signers_case[] = {
    { "auto, software, one CPU: one may die or hang", 0, true, false, 1, 2 },
    { "auto, software, four CPUs", 0, true, false, 4, 4 },
    { "auto, network HSM, one CPU", 0, false, false, 1, 1 },
    { "auto, more CPUs than signers", 0, true, false, 256, PLAN_MAX_SIGNERS },
    { "auto, no CPU known", 0, false, false, 0, 1 },
    { "configured", 3, true, false, 8, 3 },
    { "configured as one, software", 1, true, false, 8, 1 },
    { "configured past the limit", 1000, true, false, 8, PLAN_MAX_SIGNERS },
    { "a TPM", 0, false, true, 8, 1 },
    { "a TPM, whatever is configured", 5, false, true, 8, 1 },
    { "a TPM that calls itself software", 0, true, true, 8, 1 },
};

static void a_token_gets_the_signers_of_its_kind(void)
{
    for (size_t i = 0; i < sizeof signers_case / sizeof *signers_case; i++)
        unit_same_int(signers_case[i].name,
                      plan_signers(signers_case[i].configured, signers_case[i].software, signers_case[i].tpm,
                                   signers_case[i].cpus), signers_case[i].want);
}

static void verifiers_leave_the_cpus_to_signers(void)
{
    unit_same_int("auto, one CPU", plan_verifiers(0, 1), 1);
    unit_same_int("auto, two CPUs", plan_verifiers(0, 2), 2);
    unit_same_int("auto, many CPUs", plan_verifiers(0, 64), 2);
    unit_same_int("auto, no CPU known", plan_verifiers(0, 0), 1);
    unit_same_int("configured", plan_verifiers(7, 2), 7);
    unit_same_int("configured past the limit", plan_verifiers(70, 2), PLAN_MAX_VERIFIERS);
}

static void back_off_grows_to_half_a_minute_and_no_further(void)
{
    unit_same_int("none", plan_backoff_ms(0), 0);
    unit_same_int("first", plan_backoff_ms(1), 100);
    unit_same_int("second", plan_backoff_ms(2), 200);
    for (unsigned n = 1; n < 100; n++) {
        CU_ASSERT_TRUE(plan_backoff_ms(n) >= plan_backoff_ms(n - 1));
        CU_ASSERT_TRUE(plan_backoff_ms(n) <= 30000);
    }
    unit_same_int("at last", plan_backoff_ms(4000000000u), 30000);
}

static const struct unit_case cases[] = {
    { "a token gets the signers of its kind", a_token_gets_the_signers_of_its_kind },
    { "verifiers leave the CPUs to signers", verifiers_leave_the_cpus_to_signers },
    { "back-off grows to half a minute and no further", back_off_grows_to_half_a_minute_and_no_further },
};
UNIT_MAIN(cases)
