#include "daemon/broker/ops/ops.h"

#include "daemon/base/clock.h"

#include <stdio.h>
#include <string.h>

static char *hex(const uint8_t *bytes, size_t len)
{
    char *out = malloc(2 * len + 1);

    for (size_t i = 0; out && i <= len; i++)
        snprintf(out + 2 * i, 3, i < len ? "%02x" : "%.0d", i < len ? bytes[i] : 0);
    return out;
}

static char *jwk_text(const struct held *h)
{
    struct buf b;
    char *out = NULL;

    buf_init(&b, 16384);
    if (h->jwk && jwk_write(h->jwk, &b) && buf_append_char(&b, '\0'))
        out = strdup((const char *)b.data);
    buf_clear(&b);
    return out;
}

static void fill_uses(Signet__V1__KeyInfo *out, const struct held *h)
{
    Signet__V1__KeyUse *uses = calloc(h->n_uses + 1, sizeof *uses), **each = calloc(h->n_uses + 1, sizeof *each);

    for (size_t i = 0; uses && each && i < h->n_uses; i++) {
        signet__v1__key_use__init(&uses[i]);
        uses[i].profile = h->uses[i].profile;
        uses[i].signatures = h->uses[i].n;
        each[i] = &uses[i];
        out->n_uses = i + 1;
    }
    if (!uses || !each || !out->n_uses) {
        free(uses);
        free(each);
        return;
    }
    out->uses = each;                /* the first of them begins what `uses` is */
}

void key_info(Signet__V1__KeyInfo *out, const struct broker_token *t, const struct held *h, int64_t now)
{
    struct keys_view v = keys_view(t->keys, h, now);
    char *id = hex(h->cka_id, h->cka_id_len), *jwk = jwk_text(h);

    signet__v1__key_info__init(out);
    out->kid = (char *)(uintptr_t)h->kid;
    out->ring = (char *)(uintptr_t)h->ring;
    out->alg = (char *)(uintptr_t)(h->alg ? h->alg->name : h->crv[0] ? h->crv : h->kty);
    out->state = (char *)(uintptr_t)v.state;
    out->label = (char *)(uintptr_t)h->label;
    out->id = id ? id : out->id;
    out->jwk = jwk ? jwk : out->jwk;
    out->activates_at = v.activates_at;
    out->retires_at = v.retires_at;
    out->ends_at = v.ends_at;
    out->published = v.published;
    out->sensitive = h->sensitive;
    out->extractable = h->extractable;
    out->always_sensitive = h->always_sensitive;
    out->never_extractable = h->never_extractable;
    out->local = h->local;
    out->imported = h->ring[0] && !h->local;
    out->proved = h->proof == PROOF_DONE;
    out->custody = (char *)(uintptr_t)held_custody(h, t->info.tpm2_pkcs11);
    out->trouble = (char *)(uintptr_t)(h->gone ? "it is gone from the token" : h->trouble.text);
    out->token = (char *)(uintptr_t)token_name(t);
    out->signatures = h->n_signed;
    fill_uses(out, h);
}

void key_info_clear(Signet__V1__KeyInfo *i)
{
    if (i->id != protobuf_c_empty_string)
        free(i->id);
    if (i->jwk != protobuf_c_empty_string)
        free(i->jwk);
    if (i->n_uses)
        free(i->uses[0]);
    free(i->uses);
}

/* Room for the keys of all tokens, and the names of what is foreign among their facts. */
struct listing {
    Signet__V1__KeyInfo *infos, **each;
    char **facts;
    size_t n, n_facts;
};

static void listing_clear(struct listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        key_info_clear(&l->infos[i]);
    free(l->infos);
    free(l->each);
    free(l->facts);
}

static bool listing_init(struct listing *l, const struct broker *b, struct err *e)
{
    size_t n = 0, n_facts = 0, more;

    for (size_t i = 0; i < b->n_tokens; i++) {
        n += keys_count(b->tokens[i]->keys);
        keys_foreign_facts(b->tokens[i]->keys, &more);
        n_facts += more;
    }
    l->infos = calloc(n + 1, sizeof *l->infos);
    l->each = calloc(n + 1, sizeof *l->each);
    l->facts = calloc(n_facts + 1, sizeof *l->facts);
    return (l->infos && l->each && l->facts) || err_set(e, ERR_NO_MEMORY, "no memory for %zu keys", n);
}

static void listing_add(struct listing *l, const struct broker_token *t)
{
    size_t n_facts;
    char *const *facts = keys_foreign_facts(t->keys, &n_facts);

    for (size_t i = 0; i < keys_count(t->keys); i++, l->n++) {
        key_info(&l->infos[l->n], t, keys_at(t->keys, i), clock_now());
        l->each[l->n] = &l->infos[l->n];
    }
    for (size_t i = 0; i < n_facts; i++)
        l->facts[l->n_facts++] = facts[i];
}

/* --- for the publisher ---------------------------------------------------------------------------- */

/* What is only of use to who administers stays out: it is told each second. */
static void show_key(struct listing *l, const struct broker_token *t, const struct held *h, int64_t now)
{
    Signet__V1__KeyInfo *info = &l->infos[l->n];

    key_info(info, t, h, now);
    if (info->jwk != protobuf_c_empty_string)
        free(info->jwk);
    info->jwk = (char *)(uintptr_t)protobuf_c_empty_string;
    l->each[l->n++] = info;
}

bool op_pack_keys(struct broker *b, struct buf *out, struct err *e)
{
    Signet__V1__ListKeysReply list = SIGNET__V1__LIST_KEYS_REPLY__INIT;
    CLEANUP(listing_clear) struct listing l = { 0 };
    struct err unknown;

    if (!tokens_ready(b, &unknown))
        return true;
    if (!listing_init(&l, b, e))
        return false;
    for (size_t i = 0; i < b->n_tokens; i++)
        for (size_t k = 0; k < keys_count(b->tokens[i]->keys) && l.n < OPS_MAX_SHOWN; k++)
            if (keys_at(b->tokens[i]->keys, k)->ring[0])
                show_key(&l, b->tokens[i], keys_at(b->tokens[i]->keys, k), clock_now());
    list.keys = l.each;
    list.n_keys = l.n;
    if (!buf_reserve(out, signet__v1__list_keys_reply__get_packed_size(&list)))
        return err_set(e, ERR_NO_MEMORY, "no memory for %zu keys, or they have more than %zu bytes", l.n, out->max);
    out->len += signet__v1__list_keys_reply__pack(&list, out->data + out->len);
    return true;
}

static bool begin(struct request *rq, struct err *e)
{
    struct broker *b = rq->broker;
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__ListKeysReply list = SIGNET__V1__LIST_KEYS_REPLY__INIT;
    CLEANUP(listing_clear) struct listing l = { 0 };

    if (!tokens_ready(b, e) || !listing_init(&l, b, e))
        return false;
    for (size_t i = 0; i < b->n_tokens; i++)
        listing_add(&l, b->tokens[i]);
    list.keys = l.each;
    list.n_keys = l.n;
    list.foreign_facts = l.facts;
    list.n_foreign_facts = l.n_facts;
    r.result_case = SIGNET__V1__REPLY__RESULT_LIST_KEYS;
    r.list_keys = &list;
    request_reply(rq, &r);
    return true;
}

const struct op op_list_keys = {
    SIGNET__V1__REQUEST__OP_LIST_KEYS, "list_keys", true, op_usual_deadline, begin, op_nothing, op_nothing,
};
