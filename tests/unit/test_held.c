#include "daemon/broker/keys/held.h"

#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>

/* sensitive, extractable, never extractable, local */
#define HELD(s, x, never, l) { .ring = "web", .sensitive = s, .always_sensitive = s && l, .extractable = x, \
                               .never_extractable = never, .local = l, .has_private = true, .has_public = true }
static const struct { const char *name; struct held h; bool tpm2_pkcs11; const char *want; } custody_case[] = {
    { "made in the token", HELD(true, false, true, true), false, "made in the token, never left it" },
    { "on a TPM its attributes prove nothing", HELD(true, false, true, true), true, "rests on the TPM" },
    { "extractable", HELD(true, true, false, true), false, "exportable" },
    { "not sensitive", HELD(false, false, true, true), false, "exportable" },
    { "exportable on a TPM too", HELD(true, true, false, true), true, "exportable" },
    { "not made there", HELD(true, false, false, false), false, "imported" },
    { "its private half was destroyed", { .ring = "web", .has_public = true, .local = true }, false,
      "no private half: it only verifies" },
    { "made by half", { .ring = "web", .sensitive = true, .always_sensitive = true, .has_private = true }, false,
      "made by half" },
    { "was extractable once", HELD(true, false, false, true), false, "not proved" },
};

static void custody_is_what_the_attributes_prove(void)
{
    for (size_t i = 0; i < sizeof custody_case / sizeof *custody_case; i++) {
        struct held h = custody_case[i].h;
        h.alg = alg_by_name("ES256", 5);
        unit_same_str(custody_case[i].name, held_custody(&h, custody_case[i].tpm2_pkcs11), custody_case[i].want);
    }
}

static struct held outside(size_t number, bool is_private)
{
    return (struct held){ .ring = "web", .origin = KEY_OUTSIDE, .outside = number, .is_private = is_private };
}

static void a_uri_of_two_keys_names_neither(void)
{
    struct outside_key uris[] = { { .uri = "pkcs11:object=a" }, { .uri = "pkcs11:object=b" } };
    struct ring_config ring = { .outside = uris, .n_outside = 2 };
    struct config c = { .rings = &ring, .n_rings = 1 };
    struct held a = outside(0, true), foreign = outside(0, false), b = outside(1, true), twin = outside(1, true);
    struct held *all[] = { &a, &foreign, &b, &twin };
    struct err e;

    held_compare(all, 4, &c);
    unit_same_int("beside a foreign one it is the only one", a.trouble.reason, ERR_NONE);
    unit_same_str("two are ambiguous", b.trouble.text,
                  "2 keys of the token match 'pkcs11:object=b': add id=%XX%XX to it");
    unit_same_str("both of them", twin.trouble.text, b.trouble.text);
    b.trouble.reason = ERR_KEY_UNUSABLE;
    snprintf(b.label, sizeof b.label, "b");
    held_why(&b, &e);
    unit_same_str("no verdict on a caller's token", err_reason_name(e.reason), "KEY_UNPROVED");
    unit_same_int("it is named", strncmp(e.text, "key 'b': ", 9), 0);
}

static void two_keys_of_one_kid_do_not_count(void)
{
    struct held a = { .ring = "web", .kid = "k" }, b = a, exportable = a;
    struct held *all[] = { &exportable, &a, &b };
    struct config c = { 0 };

    err_set(&exportable.trouble, ERR_KEY_EXPORTABLE, "it could be exported");
    held_compare(all, 2, &c);
    unit_same_int("beside a copy that is refused", a.trouble.reason, ERR_NONE);
    held_compare(all, 3, &c);
    unit_same_int("one", a.trouble.reason, ERR_KEY_UNUSABLE);
    unit_same_int("the other", b.trouble.reason, ERR_KEY_UNUSABLE);
}

static const struct alg es256 = { .family = ALG_ECDSA }, hs256 = { .family = ALG_HMAC };

/* The attributes are those that SoftHSM leaves when it is killed at each of its writes. */
#define BOTH .has_private = true, .has_public = true, .spki = &point
#define PRIVATE .has_private = true
static uint8_t point;
static const struct { const char *name; struct held h; const struct alg *alg; bool want; } half_case[] = {
    { "a public half without its point", { .has_public = true }, &es256, true },
    { "a public half alone, finished", { .has_public = true, .local = true, .spki = &point }, &es256, true },
    { "a public half that somebody brought", { .has_public = true, .spki = &point }, &es256, false },
    { "a private half that is empty", { BOTH, .always_sensitive = true, .proof = PROOF_FAILED }, &es256, true },
    { "the same, while it is tried", { BOTH, .always_sensitive = true, .proof = PROOF_RUNNING }, &es256, false },
    { "the same, which nobody could try", { BOTH, .always_sensitive = true }, &es256, false },
    { "one that proves itself", { BOTH, .always_sensitive = true, .proof = PROOF_DONE }, &es256, false },
    { "made whole, and does not sign", { BOTH, .always_sensitive = true, .local = true, .proof = PROOF_FAILED }, &es256, true },
    { "the same, on a token that signs with no key", { BOTH, .local = true, .proof = PROOF_FAILED, .doubted = true }, &es256,
      false },
    { "imported, and does not sign", { BOTH, .proof = PROOF_FAILED }, &es256, false },
    { "a private half that somebody brought first", { PRIVATE }, &es256, false },
    { "a private half alone that is the token's own", { PRIVATE, .local = true }, &es256, true },
    { "a secret that is empty", { PRIVATE, .always_sensitive = true, .proof = PROOF_FAILED }, &hs256, true },
    { "a secret that signs", { PRIVATE, .always_sensitive = true, .proof = PROOF_DONE }, &hs256, false },
    { "a secret that was imported, and is too weak", { PRIVATE, .trouble.reason = ERR_KEY_TOO_WEAK }, &hs256, false },
    { "a secret made, and exportable", { PRIVATE, .local = true, .trouble.reason = ERR_KEY_EXPORTABLE }, &hs256, false },
};

static void half_a_key_is_told_from_one_that_was_brought(void)
{
    for (size_t i = 0; i < sizeof half_case / sizeof *half_case; i++) {
        struct held h = half_case[i].h;
        h.alg = half_case[i].alg;
        CU_ASSERT_FALSE(held_is_half(&h));               /* foreign: no ring's */
        strcpy(h.ring, "web");
        h.origin = h.local ? KEY_GENERATED : KEY_IMPORTED;
        unit_same_int(half_case[i].name, held_is_half(&h), half_case[i].want);
        h.origin = KEY_OUTSIDE;
        CU_ASSERT_FALSE(held_is_half(&h));
    }
}

static void each_signer_proves_its_own_handle(void)
{
    struct held h = { .ring = "web" };

    unit_same_int("nobody has", held_must_check(&h, 1), true);
    held_right(&h, 1);
    unit_same_int("one has", held_must_check(&h, 1), false);
    unit_same_int("not another", held_must_check(&h, 64), true);
    held_right(&h, 64);
    unit_same_int("the last there can be", held_must_check(&h, 64), false);
    held_wrong(&h, 1);
    held_right(&h, 1);
    unit_same_int("one that lied is checked by everyone", held_must_check(&h, 64), true);
}

static void wrong_signatures_in_a_row_put_a_key_out_of_use_and_a_right_one_brings_it_back(void)
{
    struct held h = { .ring = "web" };

    for (unsigned n = 1; n < HELD_MAX_WRONG; n++)
        held_wrong(&h, 1);
    unit_same_int("not yet", held_is_distrusted(&h), false);
    held_right(&h, 2);
    held_wrong(&h, 1);
    unit_same_int("they were not in a row", held_is_distrusted(&h), false);
    unit_same_int("who is doubted", (long long)h.doubted_by, 1);
    for (unsigned n = 1; n < HELD_MAX_WRONG; n++)
        held_wrong(&h, 2);
    unit_same_int("now", held_is_distrusted(&h), true);
    unit_same_str("why", err_reason_name(h.trouble.reason), "SIGNATURE_WRONG");
    held_right(&h, 2);
    unit_same_int("used again", held_usable(&h), true);
    unit_same_int("the other is doubted still", (long long)h.doubted_by, 1);
    err_set(&h.trouble, ERR_KEY_EXPORTABLE, "it could be exported");
    for (unsigned n = 0; n < HELD_MAX_WRONG; n++)
        held_wrong(&h, 1);
    held_right(&h, 1);
    unit_same_str("what else is wrong stays", err_reason_name(h.trouble.reason), "KEY_EXPORTABLE");
}

static bool has_private_after(struct held *h, Signet__Role__Key *k, bool listed, int64_t steady_ms)
{
    struct ring_config ring = { .settings.name = "web", .alg = &es256 };
    struct config c = { .rings = &ring, .n_rings = 1 };

    k->has_private = k->sensitive = k->never_extractable = listed;
    held_classify(h, k, &c, steady_ms);
    return h->has_private && h->sensitive;
}

static void a_half_is_lost_when_it_has_been_missing_for_some_time(void)
{
    Signet__Role__Key k = SIGNET__ROLE__KEY__INIT;

    k.label = "signet:web:ES256:1:1:1:1";
    k.kty = "EC";
    k.crv = "P-256";
    k.has_public = true;
    k.is_private = true;
    struct held *h = held_new(&k, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(h);
    CU_ASSERT_FALSE(has_private_after(h, &k, false, 1000));
    CU_ASSERT_TRUE(h->is_doubted_half);      /* it is listed again before anybody believes it */
    CU_ASSERT_FALSE(has_private_after(h, &k, false, 12000));
    CU_ASSERT_FALSE(h->is_doubted_half);
    CU_ASSERT_TRUE(has_private_after(h, &k, true, 13000));
    h->was_proved = true;
    CU_ASSERT_TRUE(has_private_after(h, &k, false, 20000));
    CU_ASSERT_TRUE(has_private_after(h, &k, false, 29000));
    CU_ASSERT_TRUE(has_private_after(h, &k, true, 31000));
    CU_ASSERT_TRUE(has_private_after(h, &k, false, 40000));
    CU_ASSERT_FALSE(has_private_after(h, &k, false, 50000));
    CU_ASSERT_FALSE(held_is_half(h));        /* it lost it */
    CU_ASSERT_TRUE(has_private_after(h, &k, true, 51000));
    held_lost_half(h);                       /* destroyed by us */
    CU_ASSERT_FALSE(has_private_after(h, &k, false, 52000));
    held_free(h);
}

static const struct unit_case cases[] = {
    { "a half is lost when it has been missing for some time", a_half_is_lost_when_it_has_been_missing_for_some_time },
    { "half a key is told from one that was brought", half_a_key_is_told_from_one_that_was_brought },
    { "custody is what the attributes prove", custody_is_what_the_attributes_prove },
    { "a URI of two keys names neither", a_uri_of_two_keys_names_neither },
    { "two keys of one kid do not count", two_keys_of_one_kid_do_not_count },
    { "each signer proves its own handle", each_signer_proves_its_own_handle },
    { "wrong signatures in a row put a key out of use, and a right one brings it back",
      wrong_signatures_in_a_row_put_a_key_out_of_use_and_a_right_one_brings_it_back },
};
UNIT_MAIN(cases)
