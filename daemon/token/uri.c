/*
 * p11_kit_uri_parse takes the last of two equal parts, drops blanks, keeps
 * unknown path parts as a flag and forgets unknown query parts: so names are
 * read here first, against a table.
 */
#include "daemon/token/token.h"

#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>
#include <string.h>

#define MAX_URI 1024u                        /* bytes */

static const char scheme[] = "pkcs11:";

static const struct part {
    const char *name;
    bool query;
    const char *refused;                     /* why; NULL: taken */
} parts[] = {
    { "token", false, NULL }, { "manufacturer", false, NULL }, { "serial", false, NULL }, { "model", false, NULL },
    { "library-manufacturer", false, NULL }, { "library-description", false, NULL },
    { "library-version", false, NULL }, { "object", false, NULL }, { "type", false, NULL }, { "id", false, NULL },
    { "slot-manufacturer", false, NULL }, { "slot-description", false, NULL },
    { "slot-id", false, "slot numbers change: name the token by its label or serial" },
    { "pin-source", true, NULL },
    { "pin-value", true, "a PIN does not belong in a configuration: use pin_file, pin_credential or pin-source" },
    { "module-name", true, "name the module by the setting 'module'" },
    { "module-path", true, "name the module by the setting 'module'" },
};

static const struct part *part_find(const char *name, size_t len, bool query)
{
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (parts[i].query == query && strlen(parts[i].name) == len && memcmp(parts[i].name, name, len) == 0)
            return &parts[i];
    return NULL;
}

/* Every part known, wanted and there once; *out_seen gets a bit for each row of the table. */
static bool parts_ok(const char *uri, unsigned *out_seen, struct err *e)
{
    bool query = false;

    *out_seen = 0;
    for (const char *at = uri + sizeof scheme - 1; *at;) {
        size_t len = strcspn(at, query ? "&" : ";?");
        size_t name_len = strcspn(at, "=");
        if (name_len >= len)
            return err_set(e, ERR_CONFIG_INVALID, "'%.*s' has no '='; a part is written NAME=VALUE", (int)len, at);
        const struct part *p = part_find(at, name_len, query);
        if (!p)
            return err_set(e, ERR_CONFIG_INVALID, "unknown part '%.*s' %s '?'", (int)name_len, at,
                           query ? "after" : "before");
        if (p->refused)
            return err_set(e, ERR_CONFIG_INVALID, "'%s': %s", p->name, p->refused);
        if (*out_seen & 1u << (p - parts))
            return err_set(e, ERR_CONFIG_INVALID, "'%s' is there twice", p->name);
        *out_seen |= 1u << (p - parts);
        at += len;
        if (*at == '?')
            query = true;
        if (*at && !*++at)
            return err_set(e, ERR_CONFIG_INVALID, "it ends in '%c'", at[-1]);
    }
    return true;
}

static bool seen_part(unsigned seen, const char *name)
{
    const struct part *p = part_find(name, strlen(name), false);
    return seen & 1u << (p - parts);
}

static P11KitUri *parse(const char *uri)
{
    P11KitUri *u = p11_kit_uri_new();

    if (u && p11_kit_uri_parse(uri, P11_KIT_URI_FOR_ANY, u) == P11_KIT_URI_OK)
        return u;
    p11_kit_uri_free(u);
    return NULL;
}

static bool check(const char *uri, bool wants_object, struct err *e)
{
    unsigned seen;

    if (strlen(uri) > MAX_URI)
        return err_set(e, ERR_CONFIG_INVALID, "longer than %u bytes", MAX_URI);
    if (strncmp(uri, scheme, sizeof scheme - 1) != 0)
        return err_set(e, ERR_CONFIG_INVALID, "must begin with '%s'", scheme);
    for (const char *c = uri; *c; c++)
        if (*c <= ' ' || *c >= 0x7f)
            return err_set(e, ERR_CONFIG_INVALID, "blanks and letters outside ASCII are written %%XX (a blank: %%20)");
    if (!parts_ok(uri, &seen, e))
        return false;
    P11KitUri *u = parse(uri);
    bool understood = u && !p11_kit_uri_any_unrecognized(u);
    p11_kit_uri_free(u);
    if (!understood)
        return err_set(e, ERR_CONFIG_INVALID, "a value cannot be read (RFC 7512): check its %%XX, 'type' and lengths");
    if (wants_object && !seen_part(seen, "object") && !seen_part(seen, "id"))
        return err_set(e, ERR_CONFIG_INVALID, "names no key: add object=LABEL or id=%%XX%%XX");
    if (!wants_object && (seen_part(seen, "object") || seen_part(seen, "id") || seen_part(seen, "type")))
        return err_set(e, ERR_CONFIG_INVALID, "names a key; here only a token is wanted");
    if (!wants_object && !seen)
        return err_set(e, ERR_CONFIG_INVALID, "names no token: add token=LABEL");
    return true;
}

bool token_uri_ok(const char *uri, bool wants_object, struct err *e)
{
    /* The URI itself may be long or hold a PIN: it is not repeated whole. */
    if (check(uri, wants_object, e))
        return true;
    return err_wrap(e, "token uri");
}

bool token_uri_matches(const char *uri, const struct token_key *k)
{
    static const CK_OBJECT_CLASS classes[] = { CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY };
    bool secret = strcmp(k->kty, "oct") == 0;
    const bool there[] = { !secret && k->has_private, k->has_public, secret };
    P11KitUri *u = parse(uri);
    bool matches = false;

    for (size_t i = 0; u && i < ARRAY_LEN(classes); i++) {
        CK_OBJECT_CLASS class = classes[i];
        CK_ATTRIBUTE attrs[] = {
            { CKA_CLASS, &class, sizeof class },
            { CKA_LABEL, (void *)k->label, strlen(k->label) },
            { CKA_ID, (void *)k->cka_id, k->cka_id_len },
        };
        matches |= there[i] && p11_kit_uri_match_attributes(u, attrs, ARRAY_LEN(attrs));
    }
    p11_kit_uri_free(u);
    return matches;
}

char *token_uri_pin_file(const char *uri)
{
    P11KitUri *u = parse(uri);
    const char *source = u ? p11_kit_uri_get_pin_source(u) : NULL;

    if (source && strncmp(source, "file:", 5) == 0) {
        source += 5;
        if (strncmp(source, "//", 2) == 0)       /* file://HOST/path: the host is us */
            source = strchr(source + 2, '/');
    }
    char *path = source && *source == '/' ? strdup(source) : NULL;
    p11_kit_uri_free(u);
    return path;
}
