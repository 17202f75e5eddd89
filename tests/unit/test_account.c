#include "daemon/broker/account.h"
#include "tests/support/unit.h"

#define KIB 1024u
#define MIB (1024u * KIB)

/* Where all may hold 16 MiB: what uids 1, 2, ... hold, and whether one that comes, or the first, may hold so much. */
static const struct { const char *name; size_t held[5], n; bool first, want; } room_case[] = {
    { "alone, half", { 0 }, 8 * MIB, false, true },
    { "alone, more than half", { 0 }, 8 * MIB + 1, false, false },
    { "of three a share, which is left", { 5 * MIB, 5 * MIB }, 4 * MIB, false, true },
    { "more than a share, and no more than what is left", { 1, 1, 1 }, 7 * MIB, false, true },
    { "more than both", { 1, 1, 1 }, 9 * MIB, false, false },
    { "the others hold all: a share", { 8 * MIB, 8 * MIB }, 4 * MIB, false, true },
    { "the others hold all: more than a share", { 8 * MIB, 8 * MIB }, 4 * MIB + 1, false, false },
    { "the others hold more than all: next to nothing", { 30 * MIB, 20 * MIB, 10 * MIB, 5 * MIB, 5 * MIB }, 5 * KIB, false, true },
    { "of those who hold all one more byte", { 8 * MIB, 8 * MIB }, 1, true, false },
};

static void each_has_its_share_whatever_the_others_hold_and_more_where_more_is_left(void)
{
    for (size_t i = 0; i < sizeof room_case / sizeof *room_case; i++) {
        const struct daemon_config d = { .max_memory = 16 * MIB, .max_queue_per_uid = 4096 };
        struct accounts all = { 0 };
        struct err e = { 0 };
        for (uid_t uid = 1; uid <= ARRAY_LEN(room_case[i].held); uid++)
            account_hold(account_of(&all, uid), room_case[i].held[uid - 1]);
        struct account *a = account_of(&all, room_case[i].first ? 1 : 99);
        account_hold(a, room_case[i].n);
        unit_same_int(room_case[i].name, account_may_hold(a, &d, &e), room_case[i].want);
        unit_same_int("the same", account_has_room(a, &d), room_case[i].want);
        unit_same_int("why", e.reason, room_case[i].want ? ERR_NONE : ERR_QUEUE_FULL);
        accounts_clear(&all);
    }
}

static void one_uid_may_hold_so_much_however_much_is_left(void)
{
    const struct daemon_config d = { .max_memory = 2047u * MIB, .max_queue_per_uid = 10 };
    struct accounts all = { 0 };
    struct account *a = account_of(&all, 1);
    struct err e;

    account_hold(a, ACCOUNT_MAX_BYTES + 10 * ACCOUNT_ITEM_BYTES);
    CU_ASSERT_TRUE(account_may_hold(a, &d, &e));
    account_hold(a, 1);
    CU_ASSERT_FALSE(account_may_hold(a, &d, &e));
    accounts_clear(&all);
}

static void who_holds_nothing_any_more_takes_no_share(void)
{
    struct accounts all = { 0 };

    for (uid_t uid = 1; uid <= 3; uid++)
        account_hold(account_of(&all, uid), 100);
    unit_same_int("three and one who comes", (long long)account_share(&all, 1000), 250);
    account_hold(account_of(&all, 1), 50);
    account_let_go(account_of(&all, 1), 150);
    account_let_go(account_of(&all, 2), 99);
    unit_same_int("two and one who comes", (long long)account_share(&all, 1000), 333);
    unit_same_int("the sum", (long long)all.n_bytes, 101);
    accounts_clear(&all);
}

static const struct unit_case cases[] = {
    { "each has its share, whatever the others hold, and more where more is left",
      each_has_its_share_whatever_the_others_hold_and_more_where_more_is_left },
    { "one uid may hold so much, however much is left", one_uid_may_hold_so_much_however_much_is_left },
    { "who holds nothing any more takes no share", who_holds_nothing_any_more_takes_no_share },
};
UNIT_MAIN(cases)
