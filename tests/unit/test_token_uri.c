#include "daemon/token/token.h"

#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>

static const struct { const char *uri; bool object, want; const char *says; } uri_case[] = {
    { "pkcs11:token=signet", false, true, NULL },
    { "pkcs11:token=my%20token;serial=12?pin-source=/etc/signet/pin", false, true, NULL },
    { "pkcs11:token=signet;object=web;type=private", true, true, NULL },
    { "pkcs11:id=%01%02", true, true, NULL },
    { "pkcs11:object=web", false, false, "only a token" },
    { "pkcs11:token=signet", true, false, "names no key" },
    { "pkcs11:", false, false, "names no token" },
    { "token=signet", false, false, "pkcs11:" },
    { "", false, false, "pkcs11:" },
    { "pkcs11:token=a;token=b", false, false, "twice" },
    { "pkcs11:token=a b", false, false, "%20" },
    { "pkcs11:token=a%zz", false, false, "%XX" },
    { "pkcs11:token=a;type=nonsense", true, false, "type" },
    { "pkcs11:token=a;", false, false, "ends in" },
    { "pkcs11:token=a;;serial=1", false, false, "'='" },
    { "pkcs11:token", false, false, "'='" },
    { "pkcs11:tokne=a", false, false, "unknown part 'tokne'" },
    { "pkcs11:token=a?pin-sauce=x", false, false, "unknown part 'pin-sauce'" },
    { "pkcs11:slot-id=3", false, false, "slot numbers change" },
    { "pkcs11:token=a?pin-value=1234", false, false, "does not belong" },
    { "pkcs11:token=a?module-path=/x.so", false, false, "setting 'module'" },
};

static void only_whole_uris_pass(void)
{
    for (size_t i = 0; i < ARRAY_LEN(uri_case); i++) {
        struct err e = { 0 };
        bool ok = token_uri_ok(uri_case[i].uri, uri_case[i].object, &e);
        unit_same_int(uri_case[i].uri, ok, uri_case[i].want);
        if (!ok && uri_case[i].says && !strstr(e.text, uri_case[i].says))
            unit_same_str(uri_case[i].uri, e.text, uri_case[i].says);
        if (!ok && strstr(e.text, "1234"))
            unit_same_str("a PIN in a message", e.text, "none");
    }
}

static void lengths_are_bounded(void)
{
    char uri[1100] = "pkcs11:token=";
    struct err e = { 0 };
    memset(uri + 13, 'a', 1024 - 13);
    uri[1024] = '\0';
    CU_ASSERT_FALSE(token_uri_ok(uri, false, &e));       /* p11-kit: a label has 32 bytes */
    CU_ASSERT_PTR_NULL(strstr(e.text, "longer"));
    uri[1024] = 'a', uri[1025] = '\0';
    CU_ASSERT_FALSE(token_uri_ok(uri, false, &e));
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "longer than 1024"));
}

static const struct { const char *uri, *kty; bool private_half, public_half, want; } match_case[] = {
    { "pkcs11:object=web", "EC", true, true, true },
    { "pkcs11:object=web;id=%01%02", "EC", true, true, true },
    { "pkcs11:object=other", "EC", true, true, false },
    { "pkcs11:object=we", "EC", true, true, false },
    { "pkcs11:object=web;id=%01%03", "EC", true, true, false },
    { "pkcs11:id=%01%02;type=private", "EC", true, true, true },
    { "pkcs11:id=%01%02;type=private", "EC", false, true, false },
    { "pkcs11:id=%01%02;type=public", "EC", false, true, true },
    { "pkcs11:id=%01%02;type=secret-key", "oct", true, false, true },
    { "pkcs11:id=%01%02;type=private", "oct", true, false, false },
    { "pkcs11:id=%01%02;type=secret-key", "EC", true, true, false },
    { "no uri", "EC", true, true, false },
};

static void keys_match_by_label_id_and_type(void)
{
    for (size_t i = 0; i < ARRAY_LEN(match_case); i++) {
        struct token_key k = { .label = "web", .cka_id = { 1, 2 }, .cka_id_len = 2, .kty = match_case[i].kty,
                               .has_private = match_case[i].private_half, .has_public = match_case[i].public_half };
        unit_same_int(match_case[i].uri, token_uri_matches(match_case[i].uri, &k), match_case[i].want);
    }
}

static const struct { const char *uri, *want; } pin_case[] = {
    { "pkcs11:token=a?pin-source=/etc/pin", "/etc/pin" },
    { "pkcs11:token=a?pin-source=file:/etc/pin", "/etc/pin" },
    { "pkcs11:token=a?pin-source=file:///etc/pin", "/etc/pin" },
    { "pkcs11:token=a?pin-source=file%3A%2Fetc%2Fpin", "/etc/pin" },
    { "pkcs11:token=a?pin-source=%7Ccommand", NULL },
    { "pkcs11:token=a?pin-source=relative", NULL },
    { "pkcs11:token=a?pin-source=file:", NULL },
    { "pkcs11:token=a?pin-source=file://host", NULL },
    { "pkcs11:token=a", NULL },
};

static void pin_sources_are_files(void)
{
    for (size_t i = 0; i < ARRAY_LEN(pin_case); i++) {
        char *path = token_uri_pin_file(pin_case[i].uri);
        unit_same_str(pin_case[i].uri, path ? path : "none", pin_case[i].want ? pin_case[i].want : "none");
        free(path);
    }
}

static const struct unit_case cases[] = {
    { "what p11-kit would drop in silence is refused in words", only_whole_uris_pass },
    { "1024 bytes are read, one more is not", lengths_are_bounded },
    { "a key matches by label, id and type", keys_match_by_label_id_and_type },
    { "a pin-source is a file, never a command", pin_sources_are_files },
};
UNIT_MAIN(cases)
