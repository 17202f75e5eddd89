/* Against a true SoftHSM token; signatures are checked by OpenSSL, through proto/jose. */
#include "daemon/token/token.h"

#include "proto/jose/b64url.h"
#include "proto/jose/jwk.h"
#include "tests/support/softhsm.h"
#include "tests/support/unit.h"

#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static const char text[] = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwi"
                           "aWF0IjoxNTE2MjM5MDIyfQ";
#define TEXT_LEN (sizeof text - 1)

static struct token *opened(void)
{
    struct token_options o = { .module = SOFTHSM_MODULE, .uri = "pkcs11:token=signet", .pin = SOFTHSM_PIN,
                               .login_patience_ms = 3000 };
    struct err e = { 0 };
    struct token *t = token_open(&o, &e);

    if (!t) {
        printf("     %s: %s\n", err_reason_name(e.reason), e.text);
        abort();
    }
    return t;
}

static const struct alg *alg(const char *name)
{
    return alg_by_name(name, strlen(name));
}

static bool sign_text(struct token *t, uint64_t id, const struct alg *a, uint8_t *out, size_t *out_len, struct err *e)
{
    uint8_t digest[ALG_MAX_DIGEST];

    if (!token_wants_digest(t, a))
        return token_sign(t, id, a, text, TEXT_LEN, out, out_len, e);
    return alg_digest(a, text, TEXT_LEN, digest) && token_sign(t, id, a, digest, a->hash_len, out, out_len, e);
}

static const struct token_key *key_in(const struct token_listing *l, uint64_t id)
{
    for (size_t i = 0; i < l->n_keys; i++)
        if (l->keys[i].id == id)
            return &l->keys[i];
    return NULL;
}

static void listed_well(const struct token_key *k, const struct alg *a, const char *label)
{
    unit_same_str("label", k->label, label);
    unit_same_str("kty", k->kty, a->kty);
    unit_same_str("crv", k->crv ? k->crv : "none", a->crv ? a->crv : "none");
    unit_same_int("bytes of CKA_ID", (long long)k->cka_id_len, 16);
    bool secret = a->family == ALG_HMAC;
    unit_same_int("public half", k->has_public, !secret);
    unit_same_int("public key", k->spki != NULL, !secret);
    unit_same_int("secret's bytes", (long long)k->secret_len, secret ? (long long)a->hash_len : 0);
    CU_ASSERT(k->has_private && k->is_private);
    CU_ASSERT(k->sensitive && !k->extractable && k->always_sensitive && k->never_extractable && k->local);
    CU_ASSERT(!k->always_authenticate);
}

static void verifies(const struct token_key *k, const struct alg *a, const uint8_t *signature, size_t len)
{
    struct err e = { 0 };
    CLEANUP(jwk_freep) struct jwk *jwk = jwk_from_spki(k->spki, k->spki_len, a, &e);

    if (!jwk || !jwk_verifies(jwk, a, text, TEXT_LEN, signature, len)) {
        printf("     %s: %s\n", a->name, jwk ? "the signature is wrong" : e.text);
        CU_FAIL("not verified");
    }
}

/* Generated, listed, signed with: twice plain, once armed, once armed for another. */
static void round_trip(struct token *t, const struct alg *a)
{
    struct token_listing l = { 0 };
    struct err e = { 0 };
    uint8_t signature[ALG_MAX_SIGNATURE];
    size_t len = 0;
    uint64_t id = 0;
    char label[64];
    bool proved = false;

    snprintf(label, sizeof label, "signet:test:%s:0:3600:60:900", a->name);
    bool made = token_generate(t, a, 2048, label, &id, &e) && token_list(t, &l, &e);
    const struct token_key *k = made ? key_in(&l, id) : NULL;
    if (!k) {
        printf("     %s: %s\n", a->name, e.text);
        CU_FAIL("not generated");
        return;
    }
    listed_well(k, a, label);
    unit_same_int(a->name, token_mechanism(t, a, &proved) && proved, true);
    for (unsigned round = 0; round < 4; round++) {
        if (round == 2)
            token_arm(t, id, a);
        if (round == 3)
            token_arm(t, l.keys[0].id, alg_by_name("ES256", 5));
        e = (struct err){ 0 };
        if (!sign_text(t, id, a, signature, &len, &e)) {
            unit_same_str(a->name, e.text, "");
            CU_FAIL("not signed");
        } else if (a->family != ALG_HMAC) {
            verifies(k, a, signature, len);
        }
    }
    token_listing_clear(&l);
}

static void every_algorithm_generates_lists_proves_signs(void)
{
    CLEANUP(token_freep) struct token *t = opened();
    unsigned n = 0;

    for (size_t i = 0; alg_at(i); i++, n++)
        round_trip(t, alg_at(i));
    unit_same_int("algorithms and names of them", n, 14);
}

static void a_new_process_proves_what_is_there(void)
{
    CLEANUP(token_freep) struct token *t = opened();
    struct token_listing l = { 0 };
    struct err e;
    bool proved;

    CU_ASSERT(token_info(t)->software && !token_info(t)->tpm2_pkcs11);
    unit_same_str("label", token_info(t)->label, "signet");
    unit_same_str("ES256", token_mechanism(t, alg("ES256"), &proved), "CKM_ECDSA");
    CU_ASSERT(!proved);
    CU_ASSERT_FATAL(token_list(t, &l, &e));
    for (size_t i = 0; alg_at(i); i++) {
        const char *name = token_mechanism(t, alg_at(i), &proved);
        unit_same_int(alg_at(i)->name, name && proved, true);
    }
    token_listing_clear(&l);
}

static void the_printed_token_comes_out(void)
{
    static const char mac[] = "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c", secret[] = "your-256-bit-secret";
    CLEANUP(token_freep) struct token *t = opened();
    struct token_listing l = { 0 };
    struct buf out;
    struct err e = { 0 };
    uint8_t signature[ALG_MAX_SIGNATURE];
    size_t len = 0;
    uint64_t id = 0;

    bool ok = token_import_hmac(t, alg("HS256"), "signet:printed:HS256:0:3600:60:900", (const uint8_t *)secret,
                                strlen(secret), &id, &e) &&
              sign_text(t, id, alg("HS256"), signature, &len, &e) && token_list(t, &l, &e);
    if (!ok)
        unit_same_str("import", e.text, "");
    buf_init(&out, 100);
    b64url_encode(&out, signature, len);
    unit_same_mem("MAC", out.data, out.len, mac, strlen(mac));
    const struct token_key *k = key_in(&l, id);
    CU_ASSERT_FATAL(k != NULL);
    CU_ASSERT(k->sensitive && !k->extractable && k->is_private);
    CU_ASSERT(!k->local && !k->never_extractable && !k->always_sensitive);      /* imported shows as imported */
    unit_same_int("its length says that it was padded", (long long)k->secret_len, 63);
    buf_clear(&out);
    token_listing_clear(&l);
}

/* A secret's length on the token tells a weak one from the others; its MACs are those of the secret as it came. */
static void a_padded_secret_is_told_from_a_whole_one(void)
{
    static const uint8_t secret[128] = { [0 ... 127] = 's' };
    static const struct { const char *alg; size_t len, want; } of[] = {
        { "HS256", 1, 63 }, { "HS256", 31, 63 }, { "HS256", 32, 32 }, { "HS256", 63, 64 }, { "HS256", 64, 64 },
        { "HS256", 65, 65 }, { "HS384", 47, 127 }, { "HS384", 63, 63 }, { "HS384", 127, 128 }, { "HS512", 63, 127 },
        { "HS512", 64, 64 }, { "HS512", 128, 128 }, { "HS512", 0, 64 },
    };
    CLEANUP(token_freep) struct token *t = opened();
    struct err e = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(of); i++) {
        const struct alg *a = alg(of[i].alg);
        struct token_listing l = { 0 };
        uint8_t got[ALG_MAX_SIGNATURE], want[EVP_MAX_MD_SIZE];
        size_t len = 0;
        unsigned want_len = 0;
        uint64_t id = 0;
        bool made = of[i].len ? token_import_hmac(t, a, "signet:mac:HS256:0:1:1:1", secret, of[i].len, &id, &e)
                              : token_generate(t, a, 0, "signet:mac:HS256:0:1:1:1", &id, &e);
        if (!made || !token_list(t, &l, &e) || !token_sign(t, id, a, "abc", 3, got, &len, &e))
            unit_same_str(of[i].alg, e.text, "");
        const struct token_key *k = key_in(&l, id);
        CU_ASSERT_FATAL(k != NULL);
        unit_same_int(of[i].alg, (long long)k->secret_len, (long long)of[i].want);
        if (of[i].len) {
            HMAC(EVP_get_digestbyname(a->hash), secret, (int)of[i].len, (const uint8_t *)"abc", 3, want, &want_len);
            unit_same_mem(of[i].alg, got, len, want, want_len);
        }
        token_listing_clear(&l);
    }
}

static void misuse_is_refused_with_its_reason(void)
{
    CLEANUP(token_freep) struct token *t = opened();
    struct token_listing l = { 0 };
    struct err e = { 0 };
    uint8_t signature[ALG_MAX_SIGNATURE], input[64] = { 0 };
    size_t len;
    uint64_t ec = 0;

    CU_ASSERT_FATAL(token_list(t, &l, &e));
    for (size_t i = 0; i < l.n_keys; i++)
        if (l.keys[i].crv && strcmp(l.keys[i].crv, "P-256") == 0)
            ec = l.keys[i].id;
    static const struct { const char *alg; bool known; size_t len; enum err_reason want; } refused[] = {
        { "ES256", false, 32, ERR_KEY_HANDLE_INVALID },
        { "ES384", true, 48, ERR_KEY_UNUSABLE },
        { "RS256", true, 32, ERR_KEY_UNUSABLE },
        { "HS256", true, 32, ERR_KEY_UNUSABLE },
        { "ES256", true, 31, ERR_BAD_REQUEST },       /* SoftHSM would sign it */
        { "ES256", true, 0, ERR_BAD_REQUEST },
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        bool done = token_sign(t, refused[i].known ? ec : ec + 1, alg(refused[i].alg), input, refused[i].len, signature,
                               &len, &e);
        unit_same_str(refused[i].alg, done ? "done" : err_reason_name(e.reason), err_reason_name(refused[i].want));
    }
    CU_ASSERT(!token_import_hmac(t, alg("ES256"), "x", input, 32, &ec, &e));
    CU_ASSERT(!token_import_hmac(t, alg("HS256"), "x", input, 0, &ec, &e));
    token_listing_clear(&l);
}

static void facts_and_destroyed_keys(void)
{
    CLEANUP(token_freep) struct token *t = opened();
    struct token_listing before = { 0 }, after = { 0 };
    struct err e = { 0 };
    uint64_t id = 0;

    CU_ASSERT(token_write_fact(t, "signet:web:revoked:abc:100", &e));
    CU_ASSERT_FATAL(token_generate(t, alg("ES256"), 0, "signet:gone:ES256:0:1:1:1", &id, &e));
    CU_ASSERT_FATAL(token_list(t, &before, &e));
    unit_same_int("facts", (long long)before.n_data, 1);
    unit_same_str("fact", before.data[0].label, "signet:web:revoked:abc:100");
    CU_ASSERT(before.data[0].is_private);
    token_arm(t, id, alg("ES256"));
    CU_ASSERT(token_write_fact(t, "signet:web:revoked:abc:100", &e));
    CU_ASSERT(token_destroy(t, id, true, &e));
    CU_ASSERT_FATAL(token_list(t, &after, &e));
    unit_same_int("a fact is written once", (long long)after.n_data, 1);
    const struct token_key *half = key_in(&after, id);
    CU_ASSERT_PTR_NOT_NULL_FATAL(half);
    unit_same_int("the private half is gone", half->has_private, false);
    unit_same_int("the public one verifies", half->has_public && half->spki, true);
    unit_same_int("and is known as the token's own", half->local, true);
    token_listing_clear(&after);
    CU_ASSERT(token_destroy(t, id, false, &e));
    CU_ASSERT(token_forget_fact(t, "signet:web:revoked:abc:100", &e));
    CU_ASSERT_FATAL(token_list(t, &after, &e));
    unit_same_int("keys", (long long)after.n_keys, (long long)before.n_keys - 1);
    unit_same_int("facts", (long long)after.n_data, 0);
    CU_ASSERT(key_in(&after, id) == NULL);
    CU_ASSERT(token_destroy(t, id, false, &e));          /* another was first: it is destroyed */
    CU_ASSERT(token_forget_fact(t, "signet:web:revoked:abc:100", &e));
    token_listing_clear(&before);
    token_listing_clear(&after);
}

/* Behind signet's back, in the same process: SoftHSM's login is the process's. */
static void log_out(void)
{
    void *module = dlopen(SOFTHSM_MODULE, RTLD_NOW);
    CK_C_GetFunctionList list = module ? (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList") : NULL;
    CK_FUNCTION_LIST *f = NULL;
    CK_SLOT_ID slots[8];
    CK_ULONG n = 8;
    CK_SESSION_HANDLE session;

    CU_ASSERT_FATAL(list && list(&f) == CKR_OK && f->C_GetSlotList(CK_TRUE, slots, &n) == CKR_OK && n > 0);
    CU_ASSERT_FATAL(f->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, &session) == CKR_OK);
    CU_ASSERT(f->C_Logout(session) == CKR_OK);
    f->C_CloseSession(session);
    dlclose(module);
}

static void a_listing_after_a_lost_login_does_not_count(void)
{
    CLEANUP(token_freep) struct token *t = opened();
    struct token_listing l = { 0 };
    struct err e = { 0 };
    uint64_t id = 0;

    CU_ASSERT_FATAL(token_generate(t, alg("ES256"), 0, "signet:lost:ES256:0:1:1:1", &id, &e));
    log_out();
    CU_ASSERT(!token_list(t, &l, &e));       /* it would say CKR_OK, and show the public objects only */
    unit_same_str("why", err_reason_name(e.reason), "TOKEN_UNREACHABLE");
    token_listing_clear(&l);
    token_free(t);
    t = opened();
    CU_ASSERT(token_destroy(t, id, false, &e));
}

static void a_lost_login_is_had_again_in_the_same_process(void)
{
    CLEANUP(token_freep) struct token *t = opened();
    struct token_listing l = { 0 };
    struct err e = { 0 }, why = { 0 };
    uint8_t signature[ALG_MAX_SIGNATURE];
    size_t len = 0;
    uint64_t id = 0;

    CU_ASSERT_FATAL(token_generate(t, alg("ES256"), 0, "signet:again:ES256:0:1:1:1", &id, &e));
    unit_same_int("nothing is needed", token_needs(t, &why), TOKEN_NEEDS_NOTHING);
    log_out();
    CU_ASSERT(!sign_text(t, id, alg("ES256"), signature, &len, &e));
    CU_ASSERT(!token_list(t, &l, &e));
    unit_same_int("a login is", token_needs(t, &why), TOKEN_NEEDS_LOGIN);
    CU_ASSERT_FATAL(token_login_again(t, &e));
    unit_same_int("nothing is any more", token_needs(t, &why), TOKEN_NEEDS_NOTHING);
    CU_ASSERT_FATAL(token_list(t, &l, &e) && key_in(&l, id) && sign_text(t, id, alg("ES256"), signature, &len, &e));
    verifies(key_in(&l, id), alg("ES256"), signature, len);
    token_listing_clear(&l);
    CU_ASSERT(token_destroy(t, id, false, &e));
}

/* They are tended at moments that the test chooses; the login and the handles stay. */
static void old_sessions_are_opened_anew_and_the_login_stands(void)
{
    CLEANUP(token_freep) struct token *t = opened();
    struct err e = { 0 }, why = { 0 };
    uint8_t signature[ALG_MAX_SIGNATURE];
    size_t len = 0;
    uint64_t id = 0;

    CU_ASSERT_FATAL(token_generate(t, alg("ES256"), 0, "signet:old:ES256:0:1:1:1", &id, &e));
    for (int64_t now_ms = 1; now_ms < 10 * 3600000ll; now_ms += 1800001) {
        token_arm(t, id, alg("ES256"));
        token_tend(t, now_ms);
        if (!sign_text(t, id, alg("ES256"), signature, &len, &e))
            unit_same_str("it signs", e.text, "");
        unit_same_int("nothing is needed", token_needs(t, &why), TOKEN_NEEDS_NOTHING);
    }
    CU_ASSERT(token_destroy(t, id, false, &e));
}

static void powers_are_tried_and_leave_nothing(void)
{
    CLEANUP(token_freep) struct token *t = opened();
    struct token_listing l = { 0 };
    struct token_powers got = { 0 };
    struct err why = { 0 }, e = { 0 };

    CU_ASSERT(token_try_powers(t, &got, &why, &e));
    unit_same_int("keeps facts", got.keeps_facts, true);
    unit_same_int("destroys", got.destroys, true);
    CU_ASSERT_FATAL(token_list(t, &l, &e));
    unit_same_int("nothing is left", (long long)l.n_data, 0);
    token_listing_clear(&l);
}

/* A child that, told an id, destroys that key in a process of its own. */
static void destroyer(int from, int to)
{
    uint64_t id;
    struct token_listing l;
    struct err e;
    bool ok = false;

    if (read(from, &id, sizeof id) == sizeof id) {
        struct token *t = opened();
        ok = token_list(t, &l, &e) && token_destroy(t, id, false, &e);
        token_listing_clear(&l);
        token_free(t);
    }
    _exit(write(to, &ok, sizeof ok) != sizeof ok);
}

static void a_key_destroyed_elsewhere_is_noticed(void)
{
    int there[2], back[2];
    bool done = false;
    uint64_t id = 0, other = 0;
    struct err e = { 0 };
    uint8_t signature[ALG_MAX_SIGNATURE];
    size_t len;

    CU_ASSERT_FATAL(pipe(there) == 0 && pipe(back) == 0);
    pid_t pid = fork();               /* before C_Initialize: modules do not outlive a fork */
    if (pid == 0)
        destroyer(there[0], back[1]);
    CLEANUP(token_freep) struct token *t = opened();
    CU_ASSERT_FATAL(token_generate(t, alg("ES256"), 0, "signet:elsewhere:ES256:0:1:1:1", &id, &e));
    CU_ASSERT_FATAL(token_generate(t, alg("ES256"), 0, "signet:stays:ES256:0:1:1:1", &other, &e));
    CU_ASSERT(sign_text(t, id, alg("ES256"), signature, &len, &e));
    token_arm(t, id, alg("ES256"));
    CU_ASSERT(write(there[1], &id, sizeof id) == sizeof id);
    CU_ASSERT(read(back[0], &done, sizeof done) == sizeof done && done);
    waitpid(pid, NULL, 0);
    CU_ASSERT(sign_text(t, id, alg("ES256"), signature, &len, &e));       /* an armed one still succeeds */
    CU_ASSERT(!sign_text(t, id, alg("ES256"), signature, &len, &e));
    unit_same_str("destroyed elsewhere", err_reason_name(e.reason), "KEY_HANDLE_INVALID");
    CU_ASSERT(sign_text(t, other, alg("ES256"), signature, &len, &e));
    for (size_t i = 0; i < 2; i++) {
        close(there[i]);
        close(back[i]);
    }
}

static void what_cannot_be_opened_is_named(void)
{
    static const struct { const char *name, *module, *uri, *pin, *reason, *says; } bad[] = {
        { "no such file", "/nonexistent/module.so", "pkcs11:token=signet", SOFTHSM_PIN, "MODULE_MISSING",
          "'/nonexistent/module.so'" },
        { "p11-kit does not know it", "nonexistent", "pkcs11:token=signet", SOFTHSM_PIN, "MODULE_MISSING", "'nonexistent'" },
        { "no library", "/etc/passwd", "pkcs11:token=signet", SOFTHSM_PIN, "MODULE_MISSING", "'/etc/passwd'" },
        { "no such token", SOFTHSM_MODULE, "pkcs11:token=nowhere", SOFTHSM_PIN, "TOKEN_MISSING", "has 'signet'" },
        { "two of them", SOFTHSM_MODULE, "pkcs11:manufacturer=SoftHSM%20project", SOFTHSM_PIN, "TOKEN_MISSING", "2 tokens" },
        { "wrong PIN", SOFTHSM_MODULE, "pkcs11:token=signet", "1235", "PIN_WRONG", "not tried again" },
        { "short PIN", SOFTHSM_MODULE, "pkcs11:token=signet", "1", "PIN_WRONG", "" },
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (i == 4)
            softhsm_add("second");
        struct token_options o = { .module = bad[i].module, .uri = bad[i].uri, .pin = bad[i].pin,
                                   .login_patience_ms = 100 };
        struct err e = { 0 };
        struct token *t = token_open(&o, &e);
        unit_same_str(bad[i].name, t ? "opened" : err_reason_name(e.reason), bad[i].reason);
        if (!strstr(e.text, bad[i].says))
            unit_same_str(bad[i].name, e.text, bad[i].says);
        token_free(t);
    }
}

static const struct unit_case cases[] = {
    { "every algorithm generates, is listed, proved, and signs", every_algorithm_generates_lists_proves_signs },
    { "a new process proves what is there", a_new_process_proves_what_is_there },
    { "the printed token's MAC comes out", the_printed_token_comes_out },
    { "a padded secret is told from a whole one", a_padded_secret_is_told_from_a_whole_one },
    { "misuse is refused with its reason", misuse_is_refused_with_its_reason },
    { "facts are written, keys destroyed", facts_and_destroyed_keys },
    { "a listing after a lost login does not count", a_listing_after_a_lost_login_does_not_count },
    { "a lost login is had again in the same process", a_lost_login_is_had_again_in_the_same_process },
    { "old sessions are opened anew, and the login stands", old_sessions_are_opened_anew_and_the_login_stands },
    { "powers are tried, and leave nothing", powers_are_tried_and_leave_nothing },
    { "a key destroyed elsewhere is noticed", a_key_destroyed_elsewhere_is_noticed },
    { "what cannot be opened is named", what_cannot_be_opened_is_named },
};

int main(void)
{
    softhsm_begin("signet");
    return unit_run(cases, ARRAY_LEN(cases));
}
