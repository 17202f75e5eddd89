#include "daemon/token/ckr.h"

#include "proto/cleanup.h"
#include "tests/support/unit.h"

#include <string.h>

static void every_row_speaks(void)
{
    for (size_t i = 0; ckr_at(i); i++) {
        const struct ckr *row = ckr_at(i);
        struct err e = { 0 };
        CU_ASSERT_FALSE(ckr_err(&e, row->rv, "C_GenerateKeyPair"));
        unit_same_int(row->name, e.reason, row->reason);
        CU_ASSERT(e.reason != ERR_NONE);
        CU_ASSERT_PTR_NOT_NULL(strstr(e.text, row->name));
        /* Whole: the advice is what a person acts on. */
        size_t len = strlen(e.text), tail = strlen(row->advice);
        unit_same_str(row->name, len >= tail ? e.text + len - tail : e.text, row->advice);
        CU_ASSERT(row->advice[tail - 1] != '.');
    }
}

static void rows_are_in_order_and_once(void)
{
    for (size_t i = 1; ckr_at(i); i++)
        if (ckr_at(i)->rv <= ckr_at(i - 1)->rv)
            unit_same_str("order of", ckr_at(i)->name, "a larger number");
}

static const struct { CK_RV rv; enum err_reason want; const char *in_text; } reason_case[] = {
    { CKR_PIN_INCORRECT, ERR_PIN_WRONG, "CKR_PIN_INCORRECT (0xa0)" },
    { CKR_PIN_LOCKED, ERR_PIN_LOCKED, "tpm2_dictionarylockout" },
    { CKR_KEY_TYPE_INCONSISTENT, ERR_KEY_HANDLE_INVALID, "anew" },
    { CKR_OBJECT_HANDLE_INVALID, ERR_KEY_HANDLE_INVALID, "C_Sign: " },
    { CKR_DEVICE_ERROR, ERR_TOKEN_UNREACHABLE, "network" },
    { CKR_SESSION_HANDLE_INVALID, ERR_TOKEN_UNREACHABLE, "anew" },
    { CKR_USER_NOT_LOGGED_IN, ERR_TOKEN_UNREACHABLE, "login" },
    { CKR_MECHANISM_INVALID, ERR_MECHANISM_MISSING, "algorithm" },
    { CKR_VENDOR_DEFINED | 7, ERR_TOKEN_FAILED, "a vendor's error (0x80000007)" },
    { 0x5555, ERR_TOKEN_FAILED, "an unknown error (0x5555)" },
};

static void callers_can_tell_what_to_do(void)
{
    for (size_t i = 0; i < sizeof reason_case / sizeof *reason_case; i++) {
        struct err e = { 0 };
        ckr_err(&e, reason_case[i].rv, "C_Sign");
        unit_same_int(reason_case[i].in_text, e.reason, reason_case[i].want);
        if (!strstr(e.text, reason_case[i].in_text))
            unit_same_str("the sentence", e.text, reason_case[i].in_text);
    }
}

/* What another process mends is nobody's fault and may be asked again; a PIN is nothing to try again. */
static void each_value_has_one_remedy_of_four(void)
{
    size_t n[REMEDY_PROCESS + 1] = { 0 };

    for (size_t i = 0; ckr_at(i); i++) {
        const struct ckr *row = ckr_at(i);
        n[row->remedy]++;
        bool lost = row->remedy == REMEDY_PROCESS || row->remedy == REMEDY_LOGIN;
        if (lost && row->reason != ERR_TOKEN_UNREACHABLE && row->reason != ERR_NO_MEMORY && row->reason != ERR_MODULE_MISSING &&
            row->reason != ERR_TOKEN_FAILED)
            unit_same_str(row->name, err_reason_name(row->reason), "that of a token that is lost");
        if (row->reason == ERR_PIN_WRONG || row->reason == ERR_PIN_LOCKED || row->reason == ERR_MECHANISM_MISSING ||
            row->reason == ERR_KEY_UNUSABLE || row->reason == ERR_KEY_HANDLE_INVALID)
            unit_same_int(row->name, (int)row->remedy, REMEDY_SAY);
        if (row->reason == ERR_TOKEN_UNREACHABLE)
            CU_ASSERT(row->remedy != REMEDY_SAY);
    }
    for (size_t i = 0; i < ARRAY_LEN(n); i++)
        CU_ASSERT(n[i] > 0);
    unit_same_int("a vendor's", (int)ckr_find(CKR_VENDOR_DEFINED | 7)->remedy, REMEDY_SESSION);
}

static const struct unit_case cases[] = {
    { "every row has a reason, its name and its advice whole in the sentence", every_row_speaks },
    { "rows are ordered by number, none twice", rows_are_in_order_and_once },
    { "each value leads to what its caller would do", callers_can_tell_what_to_do },
    { "each value has one remedy of four", each_value_has_one_remedy_of_four },
};
UNIT_MAIN(cases)
