/*
 * SoftHSM lets anyone without a PIN put public objects on the token, even a
 * key pair that signs (token facts). Such a stranger works here in a child of
 * its own; what it left must be told apart.
 */
#include "daemon/token/token.h"

#include "tests/support/softhsm.h"
#include "tests/support/unit.h"

#include <p11-kit/p11-kit.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static const char ours[] = "signet:web:ES256:100:3600:60:900";
static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

struct stranger { CK_FUNCTION_LIST *f; CK_SESSION_HANDLE s; };

static bool enter(struct stranger *w)
{
    CK_SLOT_ID slots[8];
    CK_ULONG n = ARRAY_LEN(slots);

    w->f = p11_kit_module_load(SOFTHSM_MODULE, 0);
    return w->f && p11_kit_module_initialize(w->f) == CKR_OK && w->f->C_GetSlotList(CK_TRUE, slots, &n) == CKR_OK &&
           w->f->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &w->s) == CKR_OK;
}

static bool make_pair(struct stranger *w, const uint8_t id[16])
{
    static const uint8_t p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
    CK_MECHANISM how = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
    CK_OBJECT_HANDLE made[2];
#define NAMED { CKA_TOKEN, &yes, 1 }, { CKA_PRIVATE, &no, 1 }, { CKA_LABEL, (void *)ours, strlen(ours) }, \
              { CKA_ID, (void *)id, 16 }
    CK_ATTRIBUTE public[] = { NAMED, { CKA_EC_PARAMS, (void *)p256, sizeof p256 }, { CKA_VERIFY, &yes, 1 } };
    CK_ATTRIBUTE private[] = { NAMED, { CKA_SENSITIVE, &yes, 1 }, { CKA_EXTRACTABLE, &no, 1 }, { CKA_SIGN, &yes, 1 } };

    return w->f->C_GenerateKeyPair(w->s, &how, public, ARRAY_LEN(public), private, ARRAY_LEN(private), &made[0],
                                   &made[1]) == CKR_OK;
}

static bool make_fact(struct stranger *w)
{
    static const char label[] = "signet:web:promote:abc:5";
    CK_OBJECT_CLASS data = CKO_DATA;
    CK_OBJECT_HANDLE made;
    CK_ATTRIBUTE fact[] = { { CKA_CLASS, &data, sizeof data }, { CKA_TOKEN, &yes, 1 }, { CKA_PRIVATE, &no, 1 },
                            { CKA_LABEL, (void *)label, strlen(label) }, { CKA_VALUE, "1", 1 } };

    return w->f->C_CreateObject(w->s, fact, ARRAY_LEN(fact), &made) == CKR_OK;
}

/* A secret key of that label and CKA_ID that may not verify: of HMAC keys there is no public half to tell them by. */
static const char our_mac[] = "signet:mac:HS256:100:3600:60:900";

static bool make_secret(struct stranger *w, const uint8_t *id)
{
    CK_OBJECT_CLASS secret = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_OBJECT_HANDLE made;
    CK_ATTRIBUTE t[] = { { CKA_CLASS, &secret, sizeof secret }, { CKA_KEY_TYPE, &type, sizeof type }, { CKA_TOKEN, &yes, 1 },
                         { CKA_PRIVATE, &no, 1 }, { CKA_LABEL, (void *)our_mac, strlen(our_mac) }, { CKA_ID, (void *)id, 16 },
                         { CKA_SIGN, &yes, 1 }, { CKA_VERIFY, &no, 1 }, { CKA_VALUE, (void *)"01234567890123456789012345678901", 32 } };

    return w->f->C_CreateObject(w->s, t, ARRAY_LEN(t), &made) == CKR_OK;
}

/* Runs `visit` as a stranger, in a process without a login. */
static bool visited(bool (*visit)(struct stranger *, const uint8_t *), const uint8_t *id)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct stranger w;
        _exit(!(enter(&w) && visit(&w, id)));
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static bool leave_things(struct stranger *w, const uint8_t *id)
{
    return make_pair(w, id) && make_fact(w);
}

static struct token *opened(const char *pin)
{
    struct token_options o = { .module = SOFTHSM_MODULE, .uri = "pkcs11:token=signet", .pin = pin,
                               .login_patience_ms = 3000 };
    struct err e;
    struct token *t = token_open(&o, &e);

    if (!t)
        abort();
    return t;
}

/* A key of ours with its CKA_ID, for a stranger to copy. */
static void make_ours(const char *alg, const char *label, uint64_t *out_id, uint8_t out_cka_id[64])
{
    struct token_listing l = { 0 };
    struct err e;

    CLEANUP(token_freep) struct token *t = opened(SOFTHSM_PIN);
    CU_ASSERT_FATAL(token_generate(t, alg_by_name(alg, 5), 0, label, out_id, &e));
    CU_ASSERT_FATAL(token_list(t, &l, &e));
    for (size_t i = 0; i < l.n_keys; i++)
        if (l.keys[i].id == *out_id)
            memcpy(out_cka_id, l.keys[i].cka_id, sizeof l.keys[i].cka_id);
    token_listing_clear(&l);
}

static void strangers_objects_are_told_apart(void)
{
    static const uint8_t id[16] = "0123456789abcdef";
    struct token_listing l = { 0 };
    struct err e;

    CU_ASSERT_FATAL(visited(leave_things, id));
    CLEANUP(token_freep) struct token *t = opened(SOFTHSM_PIN);
    CU_ASSERT_FATAL(token_list(t, &l, &e));
    unit_same_int("keys", (long long)l.n_keys, 1);
    unit_same_str("label", l.keys[0].label, ours);
    CU_ASSERT(l.keys[0].has_private && l.keys[0].has_public && l.keys[0].spki);
    CU_ASSERT(l.keys[0].sensitive && l.keys[0].never_extractable && l.keys[0].local);       /* it looks perfect */
    CU_ASSERT(!l.keys[0].is_private);
    unit_same_int("facts", (long long)l.n_data, 1);
    CU_ASSERT(!l.data[0].is_private);
    token_listing_clear(&l);
}

static void a_false_secret_takes_no_place(void)
{
    struct token_listing l = { 0 };
    struct err e;
    uint64_t id = 0;
    uint8_t cka_id[64] = { 0 }, mac[ALG_MAX_SIGNATURE];
    size_t mac_len = 0;
    unsigned n_ours = 0, n_all = 0;

    make_ours("HS256", our_mac, &id, cka_id);
    CU_ASSERT_FATAL(visited(make_secret, cka_id));
    CLEANUP(token_freep) struct token *t = opened(SOFTHSM_PIN);
    CU_ASSERT_FATAL(token_list(t, &l, &e));
    for (size_t i = 0; i < l.n_keys; i++) {
        n_all += strcmp(l.keys[i].kty, "oct") == 0;
        n_ours += l.keys[i].id == id && l.keys[i].is_private;
    }
    unit_same_int("two of one name", n_all, 2);
    unit_same_int("one of them ours", n_ours, 1);
    CU_ASSERT(token_sign(t, id, alg_by_name("HS256", 5), "x", 1, mac, &mac_len, &e));
    token_listing_clear(&l);
}

static bool is_mac(struct token *t, uint64_t id, const char *input, const uint8_t *mac, size_t len)
{
    struct err e = { 0 };
    bool good = false;

    CU_ASSERT(token_check_mac(t, id, alg_by_name("HS256", 5), input, strlen(input), mac, len, &good, &e));
    unit_same_str("trouble", e.text, "");
    return good;
}

/* The token verifies the MACs of a key of ours; those of one that may not verify are made again. */
static void a_mac_is_checked_whether_its_key_may_verify_or_not(void)
{
    struct token_listing l = { 0 };
    struct err e;
    uint64_t id = 0;
    uint8_t cka_id[64] = { 0 };
    unsigned n = 0;

    make_ours("HS256", our_mac, &id, cka_id);
    CU_ASSERT_FATAL(visited(make_secret, cka_id));
    CLEANUP(token_freep) struct token *t = opened(SOFTHSM_PIN);
    CU_ASSERT_FATAL(token_list(t, &l, &e));
    for (size_t i = 0; i < l.n_keys; i++) {
        uint8_t mac[ALG_MAX_SIGNATURE];
        size_t len = 0;
        uint64_t key = l.keys[i].id;
        if (strcmp(l.keys[i].kty, "oct") != 0)
            continue;
        n++;
        CU_ASSERT(token_sign(t, key, alg_by_name("HS256", 5), "x", 1, mac, &len, &e));
        token_arm(t, key, alg_by_name("HS256", 5));
        for (int twice = 0; twice < 2; twice++) {
            CU_ASSERT(is_mac(t, key, "x", mac, len));
            CU_ASSERT_FALSE(is_mac(t, key, "y", mac, len));
            CU_ASSERT_FALSE(is_mac(t, key, "x", mac, len - 1));
        }
        mac[0] ^= 1;
        CU_ASSERT_FALSE(is_mac(t, key, "x", mac, len));
        CU_ASSERT(token_sign(t, key, alg_by_name("HS256", 5), "x", 1, mac, &len, &e));
    }
    CU_ASSERT(n >= 2);
    token_listing_clear(&l);
}

/* The stranger knows a label and CKA_ID of ours (a backup, a guess) and lays its own pair beside. */
static void a_false_public_half_takes_no_place(void)
{
    struct token_listing l = { 0 };
    struct err e;
    uint64_t id = 0;
    uint8_t cka_id[64] = { 0 };
    unsigned n_ours = 0;

    make_ours("ES256", ours, &id, cka_id);
    CU_ASSERT_FATAL(visited(leave_things, cka_id));
    CLEANUP(token_freep) struct token *t = opened(SOFTHSM_PIN);
    CU_ASSERT_FATAL(token_list(t, &l, &e));
    unit_same_int("keys", (long long)l.n_keys, 3);
    for (size_t i = 0; i < l.n_keys; i++)
        if (l.keys[i].is_private) {
            n_ours++;
            CU_ASSERT(l.keys[i].id == id);          /* with its own public half: the id is made of it */
        }
    unit_same_int("private", n_ours, 1);
    token_listing_clear(&l);
}

static void without_a_login_nothing_private_shows(void)
{
    CLEANUP(token_freep) struct token *t = opened(NULL);
    struct token_listing l = { 0 };
    struct err e = { 0 };
    uint64_t id;

    CU_ASSERT_FATAL(token_list(t, &l, &e));
    for (size_t i = 0; i < l.n_keys; i++)
        CU_ASSERT(!l.keys[i].is_private);
    token_listing_clear(&l);
    CU_ASSERT(!token_generate(t, alg_by_name("ES256", 5), 0, ours, &id, &e));
    unit_same_str("generate", err_reason_name(e.reason), "TOKEN_UNREACHABLE");
}

static const struct unit_case cases[] = {
    { "strangers' objects are told apart", strangers_objects_are_told_apart },
    { "a false public half takes no place", a_false_public_half_takes_no_place },
    { "without a login nothing private shows", without_a_login_nothing_private_shows },
    { "a false secret takes no place", a_false_secret_takes_no_place },
    { "a MAC is checked whether its key may verify or not", a_mac_is_checked_whether_its_key_may_verify_or_not },
};

int main(void)
{
    softhsm_begin("signet");
    return unit_run(cases, ARRAY_LEN(cases));
}
