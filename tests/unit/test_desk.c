#include "daemon/signer/desk.h"
#include "tests/support/unit.h"

#include <string.h>

#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

/* What the last answer said. */
struct heard { unsigned n; Signet__Role__Message__OfCase of; uint64_t id; enum err_reason reason; };

static void hear(void *ctx, const Signet__Role__Message *m)
{
    struct heard *h = ctx;
    const Signet__Role__Why *why = NULL;

    h->n++;
    h->of = m->of_case;
    switch (m->of_case) {
    case OF(WORK_DONE):    h->id = m->work_done->id; why = m->work_done->why; break;
    case OF(KEYS):         h->id = m->keys->id; why = m->keys->why; break;
    case OF(CHANGED):      h->id = m->changed->id; why = m->changed->why; break;
    case OF(SIGNER_STATE): why = m->signer_state->why; break;
    default:               break;
    }
    h->reason = why ? (enum err_reason)why->reason : ERR_NONE;
}

static struct heard ask(struct desk *d, Signet__Role__Message *m)
{
    struct heard h = { 0 };

    CU_ASSERT_TRUE(desk_hear(d, m, hear, &h));
    return h;
}

static struct heard work(struct desk *d, uint32_t alg)
{
    Signet__Role__Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Work w = SIGNET__ROLE__WORK__INIT;

    w.id = 7;
    w.alg = alg;
    m.of_case = OF(WORK);
    m.work = &w;
    return ask(d, &m);
}

static void everything_is_answered_without_a_token(void)
{
    static const struct { enum err_reason why, want; } cases[] = {
        { ERR_NONE, ERR_STARTING }, { ERR_PIN_WRONG, ERR_PIN_WRONG }, { ERR_TOKEN_MISSING, ERR_TOKEN_MISSING },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct desk d = { .why = { .reason = cases[i].why } };
        struct heard h = work(&d, 9);
        unit_same_int("answers", h.n, 1);
        unit_same_int("id", (long long)h.id, 7);
        unit_same_int("reason", h.reason, cases[i].want);
    }
}

static void an_algorithm_that_is_none_is_refused(void)
{
    static const uint32_t rows[] = { 14, 31, 32, 1000, UINT32_MAX };
    struct desk d = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        unit_same_int("reason", work(&d, rows[i]).reason, ERR_BAD_REQUEST);
}

static void a_secret_is_wiped_whatever_becomes_of_it(void)
{
    Signet__Role__Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Import import = SIGNET__ROLE__IMPORT__INIT;
    uint8_t secret[19], zeros[sizeof secret] = { 0 };
    struct desk d = { 0 };

    memcpy(secret, "your-256-bit-secret", sizeof secret);
    import.id = 3;
    import.secret = (ProtobufCBinaryData){ sizeof secret, secret };
    m.of_case = OF(IMPORT);
    m.import = &import;
    struct heard h = ask(&d, &m);
    unit_same_int("answer", h.of, OF(CHANGED));
    unit_same_int("reason", h.reason, ERR_STARTING);
    unit_same_mem("secret", secret, sizeof secret, zeros, sizeof zeros);
}

static void a_listing_without_a_token_says_so_and_of_which_configuration(void)
{
    Signet__Role__Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__List list = SIGNET__ROLE__LIST__INIT;
    struct desk d = { .generation = 4 };

    list.id = 5;
    m.of_case = OF(LIST);
    m.list = &list;
    struct heard h = ask(&d, &m);
    unit_same_int("its state, then the answer", h.n, 2);
    unit_same_int("answer", h.of, OF(KEYS));
    unit_same_int("id", (long long)h.id, 5);
    unit_same_int("reason", h.reason, ERR_STARTING);
}

static void what_is_not_a_signer_s_is_not_taken(void)
{
    static const Signet__Role__Message__OfCase others[] = { SIGNET__ROLE__MESSAGE__OF__NOT_SET, OF(DRAIN), OF(KEY_SET), OF(VERIFY_TOKEN), OF(WORK_DONE) };
    Signet__Role__Message m = SIGNET__ROLE__MESSAGE__INIT;
    struct desk d = { 0 };
    struct heard h = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        m.of_case = others[i];
        CU_ASSERT_FALSE(desk_hear(&d, &m, hear, &h));
    }
    unit_same_int("answers", h.n, 0);
}

static const struct unit_case cases[] = {
    { "everything is answered without a token, with the reason", everything_is_answered_without_a_token },
    { "an algorithm that is none is refused", an_algorithm_that_is_none_is_refused },
    { "a secret is wiped whatever becomes of it", a_secret_is_wiped_whatever_becomes_of_it },
    { "a listing without a token says so, and of which configuration",
      a_listing_without_a_token_says_so_and_of_which_configuration },
    { "what is not a signer's is not taken", what_is_not_a_signer_s_is_not_taken },
};
UNIT_MAIN(cases)
