/* What a file mentions, whatever else is wrong with it: users and groups to be resolved, files to be looked at. */
#include "daemon/config/config.h"

#include "daemon/config/tree.h"
#include "daemon/config/value.h"
#include "daemon/token/token.h"

#include <stdio.h>
#include <string.h>

/* --- names -------------------------------------------------------------------------------------------- */

void names_clear(struct names *n)
{
    for (size_t i = 0; i < n->n_users; i++)
        free(n->users[i].name);
    for (size_t i = 0; i < n->n_groups; i++)
        free(n->groups[i].name);
    free(n->users);
    free(n->groups);
    *n = (struct names){ 0 };
}

static void name_add(struct name_id **list, size_t *n, const char *name)
{
    int64_t number;

    if (value_number(name, &number))
        return;
    for (size_t i = 0; i < *n; i++)
        if (strcmp((*list)[i].name, name) == 0)
            return;
    struct name_id *more = reallocarray(*list, *n + 1, sizeof **list);
    if (!more)
        return;
    *list = more;
    if ((more[*n].name = strdup(name)))
        more[(*n)++].id = 0;
}

static void names_of(const struct tree *allow, struct names *out)
{
    const struct tree *users = allow ? tree_get(allow, "users") : NULL;
    const struct tree *groups = allow ? tree_get(allow, "groups") : NULL;

    for (size_t i = 0; users && users->kind == TREE_LIST && i < users->n; i++)
        if (users->items[i]->kind == TREE_TEXT)
            name_add(&out->users, &out->n_users, users->items[i]->text);
    for (size_t i = 0; groups && groups->kind == TREE_LIST && i < groups->n; i++)
        if (groups->items[i]->kind == TREE_TEXT)
            name_add(&out->groups, &out->n_groups, groups->items[i]->text);
}

void config_names(const char *text, size_t len, struct names *out)
{
    CLEANUP(mistakes_clear) struct mistakes unread = { 0 };      /* config_parse tells what is wrong */
    CLEANUP(tree_freep) struct tree *root = tree_read(text, len, &unread);
    const struct tree *daemon = root ? tree_get(root, "daemon") : NULL;
    const struct tree *profiles = root ? tree_get(root, "profiles") : NULL;
    if (daemon)
        names_of(tree_get(daemon, "admin"), out);
    for (size_t i = 0; profiles && profiles->kind == TREE_MAP && i < profiles->n; i++) {
        names_of(tree_get(profiles->items[i], "sign"), out);
        names_of(tree_get(profiles->items[i], "verify"), out);
    }
}

/* --- files --------------------------------------------------------------------------------------------- */

static size_t files_of(const struct tree *token, const char *where, struct config_file *out)
{
    static const char *const settings[] = { "module", "pin_file", "uri" };
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        const struct tree *v = tree_get(token, settings[i]);
        if (!v || v->kind != TREE_TEXT)
            continue;
        char *path = strcmp(settings[i], "uri") == 0 ? token_uri_pin_file(v->text)
                     : v->text[0] == '/'             ? strdup(v->text) : NULL;
        if (!path)
            continue;
        out[n] = (struct config_file){ .setting = settings[i], .path = path, .line = v->line };
        snprintf(out[n++].token, sizeof out->token, "%s", where);
    }
    return n;
}

size_t config_files(const char *text, size_t len, struct config_file out[CONFIG_MAX_FILES])
{
    CLEANUP(mistakes_clear) struct mistakes unread = { 0 };      /* config_parse tells what is wrong */
    CLEANUP(tree_freep) struct tree *root = tree_read(text, len, &unread);
    const struct tree *token = root ? tree_get(root, "token") : NULL, *tokens = root ? tree_get(root, "tokens") : NULL;
    size_t n = token ? files_of(token, "token", out) : 0;

    for (size_t i = 0; !token && tokens && tokens->kind == TREE_MAP && i < tokens->n && i < CONFIG_MAX_TOKENS; i++) {
        char where[CONFIG_TOKEN_WHERE];
        snprintf(where, sizeof where, "tokens.%.*s", (int)CONFIG_MAX_TOKEN_NAME, tokens->keys[i]->text);
        n += files_of(tokens->items[i], where, out + n);
    }
    return n;
}
