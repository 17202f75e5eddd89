#include "daemon/token/token_private.h"

#include <ctype.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <stdio.h>
#include <string.h>

#define MAX_SLOTS 1024u
#define MAX_LINE 512u                         /* bytes of a p11-kit configuration's line */

/* Where p11-kit describes modules; later wins, as there. */
static const char *const config_dirs[] = { "/usr/share/p11-kit/modules", "/etc/pkcs11/modules" };

/* Reads "module: PATH" of one description. */
static char *path_in(const char *dir, const char *name)
{
    char file[MAX_LINE], line[MAX_LINE], path[MAX_LINE];
    char *found = NULL;

    snprintf(file, sizeof file, "%s/%s.module", dir, name);
    FILE *f = fopen(file, "re");
    while (f && !found && fgets(line, sizeof line, f))
        if (sscanf(line, " module : %511s", path) == 1)
            found = strdup(path);
    if (f)
        fclose(f);
    return found;
}

/* The library behind a name that p11-kit knows; loading all modules to ask it takes 35 ms and their noise. */
static char *library_of(const char *module)
{
    char *path = NULL;

    if (strchr(module, '/') || strstr(module, ".so"))
        return strdup(module);
    for (size_t i = 0; i < ARRAY_LEN(config_dirs); i++) {
        char *later = path_in(config_dirs[i], module);
        if (later) {
            free(path);
            path = later;
        }
    }
    return path;
}

bool module_load(struct token *t, struct err *e)
{
    CLEANUP(freep) char *path = library_of(t->module);

    if (!path)
        return err_set(e, ERR_MODULE_MISSING, "p11-kit knows no module '%s': name one of %s, or give the library's path",
                       t->module, config_dirs[0]);
    if (path[0] == '/' && access(path, R_OK) < 0)
        return err_set(e, ERR_MODULE_MISSING, "module '%s' cannot be read: install it, or correct token.module", path);
    /* Managed: p11-kit then initialises with locking; without, SoftHSM is not safe (token facts). */
    p11_kit_be_quiet();
    t->f = p11_kit_module_load(path, 0);
    if (!t->f)
        return err_set(e, ERR_MODULE_MISSING, "module '%s' cannot be loaded: %.100s", path,
                       p11_kit_message() ? p11_kit_message() : "it is no PKCS#11 module");
    return true;
}

void module_unload(struct token *t)
{
    if (t->f)
        p11_kit_module_release(t->f);
    t->f = NULL;
}

/* PKCS#11's blank-padded text, as one line of printable ASCII and UTF-8's upper half. */
static void text_of(char *out, const CK_UTF8CHAR *padded, size_t len)
{
    while (len > 0 && (padded[len - 1] == ' ' || padded[len - 1] == '\0'))
        len--;
    for (size_t i = 0; i < len; i++)
        out[i] = padded[i] < ' ' || padded[i] >= 0x7f ? '?' : (char)padded[i];
    out[len] = '\0';
}

static void info_of(struct token_info *info, const CK_TOKEN_INFO *raw, const CK_INFO *library)
{
    char description[33], made_by[33];

    text_of(info->label, raw->label, sizeof raw->label);
    text_of(info->manufacturer, raw->manufacturerID, sizeof raw->manufacturerID);
    text_of(info->model, raw->model, sizeof raw->model);
    text_of(info->serial, raw->serialNumber, sizeof raw->serialNumber);
    text_of(description, library->libraryDescription, sizeof library->libraryDescription);
    text_of(made_by, library->manufacturerID, sizeof library->manufacturerID);
    info->software = strstr(info->manufacturer, "SoftHSM") || strstr(made_by, "SoftHSM");
    info->tpm2_pkcs11 = strstr(made_by, "tpm2") || strstr(description, "TPM2");
}

struct search { CK_SLOT_ID slot; CK_TOKEN_INFO token; unsigned n; struct buf others; };

/* Each initialised token: counted where the URI means it, named where not. */
static void consider(struct token *t, const P11KitUri *uri, CK_SLOT_ID slot, struct search *s)
{
    CK_TOKEN_INFO info;
    CK_SLOT_INFO slot_info;
    char label[33];

    if (t->f->C_GetTokenInfo(slot, &info) != CKR_OK || !(info.flags & CKF_TOKEN_INITIALIZED))
        return;
    if (p11_kit_uri_match_token_info(uri, &info) && t->f->C_GetSlotInfo(slot, &slot_info) == CKR_OK &&
        p11_kit_uri_match_slot_info(uri, &slot_info)) {
        s->slot = slot;
        s->token = info;
        s->n++;
        return;
    }
    text_of(label, info.label, sizeof info.label);
    buf_printf(&s->others, "%s'%s'", s->others.len ? ", " : "", label);
}

static bool find_slot(struct token *t, const P11KitUri *uri, struct search *s, struct err *e)
{
    CK_SLOT_ID slots[MAX_SLOTS];
    CK_ULONG n = 0;
    CK_RV rv = t->f->C_GetSlotList(CK_TRUE, NULL, &n);      /* asks the module to look again */

    n = MAX_SLOTS;
    if (rv == CKR_OK)
        rv = t->f->C_GetSlotList(CK_TRUE, slots, &n);
    if (rv != CKR_OK)
        return token_refused(t, e, rv, "C_GetSlotList");
    for (CK_ULONG i = 0; i < n && i < MAX_SLOTS; i++)
        consider(t, uri, slots[i], s);
    if (s->n == 1)
        return true;
    if (s->n > 1)
        return err_set(e, ERR_TOKEN_MISSING, "%u tokens match '%.80s': add ';serial=…' to token.uri", s->n, t->uri);
    return err_set(e, ERR_TOKEN_MISSING, "no token matches '%.80s'; this module has %.*s: correct token.uri, or "
                   "make the token", t->uri, s->others.len ? (int)s->others.len : 4,
                   s->others.len ? (const char *)s->others.data : "none");
}

bool module_start(struct token *t, struct err *e)
{
    CK_INFO library;
    struct search s = { 0 };
    CK_RV rv = p11_kit_module_initialize(t->f);

    if (rv != CKR_OK)
        return token_refused(t, e, rv, "C_Initialize");
    t->initialised = true;
    if ((rv = t->f->C_GetInfo(&library)) != CKR_OK)
        return token_refused(t, e, rv, "C_GetInfo");
    P11KitUri *uri = p11_kit_uri_new();
    bool ok = uri && p11_kit_uri_parse(t->uri, P11_KIT_URI_FOR_ANY, uri) == P11_KIT_URI_OK;
    buf_init(&s.others, 80);
    if (!ok)
        err_set(e, ERR_CONFIG_INVALID, "token.uri '%.80s' cannot be read (RFC 7512)", t->uri);
    else if ((ok = find_slot(t, uri, &s, e))) {
        t->slot = s.slot;
        info_of(&t->info, &s.token, &library);
        t->raw = s.token;
    } else {
        /* Who logs in this moment rewrites SoftHSM's token: it may be back at once. */
        char made_by[33];
        text_of(made_by, library.manufacturerID, sizeof library.manufacturerID);
        t->info.software = strstr(made_by, "SoftHSM");
    }
    p11_kit_uri_free(uri);
    buf_clear(&s.others);
    return ok;
}

void module_stop(struct token *t)
{
    if (t->initialised)
        p11_kit_module_finalize(t->f);
    t->initialised = false;
    t->anchor = t->signing = CK_INVALID_HANDLE;
    t->armed_alg = NULL;
}

bool module_same_token(struct token *t, struct err *e)
{
    CK_TOKEN_INFO info;
    char serial[17], label[33];
    CK_RV rv = t->f->C_GetTokenInfo(t->slot, &info);

    if (rv != CKR_OK)
        return token_refused(t, e, rv, "C_GetTokenInfo");
    text_of(serial, info.serialNumber, sizeof info.serialNumber);
    text_of(label, info.label, sizeof info.label);
    if (strcmp(serial, t->info.serial) != 0 || strcmp(label, t->info.label) != 0)
        return err_set(e, ERR_TOKEN_UNREACHABLE, "another token, '%s', stands where '%s' was", label, t->info.label) ||
               token_lost(t, e);
    return true;
}

bool token_is(const struct token *t, const char *uri)
{
    P11KitUri *u = p11_kit_uri_new();
    CK_TOKEN_INFO raw = t->raw;
    bool is = u && p11_kit_uri_parse(uri, P11_KIT_URI_FOR_ANY, u) == P11_KIT_URI_OK &&
              p11_kit_uri_match_token_info(u, &raw);

    p11_kit_uri_free(u);
    return is;
}

const struct token_info *token_info(const struct token *t)
{
    return &t->info;
}
