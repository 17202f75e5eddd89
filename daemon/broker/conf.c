#include "daemon/broker/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_id(const void *a, const void *b)
{
    uint32_t x = ((const struct name_id *)a)->id, y = ((const struct name_id *)b)->id;

    return x < y ? -1 : x > y;
}

static bool copy_ids(Signet__Role__NameId *const *from, size_t n, struct name_id **out, size_t *out_n)
{
    struct name_id *list = calloc(n + 1, sizeof *list);

    *out = list;
    for (size_t i = 0; list && i < n; i++) {
        list[*out_n] = (struct name_id){ strdup(from[i]->name), from[i]->id };
        if (!list[(*out_n)++].name)
            return false;
    }
    return list;
}

static struct conf *conf_empty(void)
{
    struct conf *c = calloc(1, sizeof *c);

    if (c)
        c->refs = 1;
    return c;
}

static struct config *parse(const Signet__Role__Config *m, const struct names *names, struct buf *mistakes)
{
    return config_parse((const char *)m->text.data, m->text.len, m->file, names, mistakes);
}

static struct conf *parse_token(const Signet__Role__Config *m, const struct names *names, size_t token, struct buf *mistakes)
{
    CLEANUP(conf_unrefp) struct conf *c = conf_empty();

    if (!c || !(c->config = parse(m, names, mistakes)))
        return NULL;
    c->generation = m->generation;
    config_keep_token(c->config, token);
    return TAKE(c);
}

struct conf *conf_new(const Signet__Role__Config *m, struct buf *mistakes)
{
    CLEANUP(conf_unrefp) struct conf *c = conf_empty();
    CLEANUP(names_clear) struct names names = { 0 };
    bool ok = c && copy_ids(m->users, m->n_users, &names.users, &names.n_users) &&
              copy_ids(m->groups, m->n_groups, &names.groups, &names.n_groups) &&
              copy_ids(m->callers, m->n_callers, &c->callers, &c->n_callers);

    if (ok) {
        c->generation = m->generation;
        qsort(c->callers, c->n_callers, sizeof *c->callers, by_id);
        if (!(c->config = parse(m, &names, mistakes)))
            return NULL;
    }
    for (size_t i = 0; ok && c->config->n_tokens > 1 && i < c->config->n_tokens; i++)
        ok = (c->of_token[i] = parse_token(m, &names, i, mistakes));
    if (!ok)
        buf_printf(mistakes, "%s: no memory to read it\n", m->file);
    return ok ? TAKE(c) : NULL;
}

struct conf *conf_ref(struct conf *c)
{
    c->refs++;
    return c;
}

void conf_unref(struct conf *c)
{
    if (!c || --c->refs > 0)
        return;
    for (size_t i = 0; i < c->n_callers; i++)
        free(c->callers[i].name);
    free(c->callers);
    for (size_t i = 0; i < CONFIG_MAX_TOKENS; i++)
        conf_unref(c->of_token[i]);
    config_free(c->config);
    free(c);
}

void conf_set_name(const struct token_config *token, const char *ring, char out[CONF_SET_NAME])
{
    snprintf(out, CONF_SET_NAME, "%s%s%s", token->name, token->name[0] ? "/" : "", ring);
}

struct conf *conf_of_token(struct conf *c, size_t token)
{
    return c->of_token[token] ? c->of_token[token] : c;
}

const char *conf_user(const struct conf *c, uint32_t uid)
{
    struct name_id key = { NULL, uid };
    const struct name_id *found = bsearch(&key, c->callers, c->n_callers, sizeof *c->callers, by_id);

    return found ? found->name : NULL;
}
