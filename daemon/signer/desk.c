#include "daemon/signer/desk.h"

#include "daemon/base/clock.h"

#include <openssl/crypto.h>
#include <string.h>

#define MAX_ALGS 32u
#define MAX_SECRET 4096u         /* bytes */

typedef Signet__Role__Message Message;
#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

struct reply { desk_answer *answer; void *ctx; };

static Signet__Role__Why *why_of(Signet__Role__Why *out, const struct err *e)
{
    signet__role__why__init(out);
    out->reason = e->reason;
    out->text = (char *)(uintptr_t)e->text;
    out->retry_after_ms = e->retry_after_ms;
    return out;
}

/* After each act. A lost token is of no use to anyone: this process says so, and is replaced. A lost login is desk_login's. */
static void look_after(struct desk *d)
{
    if (d->token)
        token_tend(d->token, clock_steady_ms());
    enum token_need need = d->token ? token_needs(d->token, &d->why) : TOKEN_NEEDS_NOTHING;
    d->logged_out = need == TOKEN_NEEDS_LOGIN;
    if (need == TOKEN_NEEDS_PROCESS)
        token_free(TAKE(d->token));
}

static bool has_token(const struct desk *d, struct err *e)
{
    if (d->token && !d->logged_out)
        return true;
    if (d->why.reason != ERR_NONE)
        *e = d->why;
    else
        err_set(e, ERR_STARTING, "this signer has not opened its token yet");
    return false;
}

static const struct alg *alg_of(uint32_t row, struct err *e)
{
    const struct alg *a = row < MAX_ALGS ? alg_at(row) : NULL;

    if (!a)
        err_set(e, ERR_BAD_REQUEST, "there is no algorithm %u", row);
    return a;
}

/* --- signing --------------------------------------------------------------------------------- */

static bool relist(struct desk *d, struct err *e)
{
    struct token_listing l;

    if (!token_list(d->token, &l, e))
        return false;
    token_listing_clear(&l);
    return true;
}

void desk_open(struct desk *d)
{
    struct err ignored;              /* the first signature tries again */

    if (d->token)
        relist(d, &ignored);
    look_after(d);
    if (d->logged_out)               /* so soon: one login more would be lost as well */
        token_free(TAKE(d->token));
    d->logged_out = false;
}

void desk_login(struct desk *d)
{
    d->logged_out = false;
    if (token_login_again(d->token, &d->why))
        desk_open(d);
    else
        token_free(TAKE(d->token));
}

void desk_retire(struct desk *d, const struct err *why)
{
    d->why = *why;
    d->logged_out = false;
    token_free(TAKE(d->token));
}

/* The algorithm by its row, where there is a token, whose keys are found anew if that is asked; NULL. */
static const struct alg *ready_for(struct desk *d, uint32_t row, bool anew, struct err *e)
{
    const struct alg *alg = alg_of(row, e);

    return alg && has_token(d, e) && (!anew || relist(d, e)) ? alg : NULL;
}

/* Another signer may have listed or made the key that was not found: this one has yet to find it. Then *found_anew. */
static bool finds_it(struct desk *d, bool *found_anew, struct err *e)
{
    if (e->reason != ERR_KEY_HANDLE_INVALID)
        return false;
    *found_anew = true;
    return relist(d, e);
}

/* What was done with a key; its signer's state first, where the handles are other ones than before. */
static void answer_done(struct desk *d, struct reply r, const Message *m, bool found_anew)
{
    if (found_anew)
        desk_state(d, r.answer, r.ctx);
    r.answer(r.ctx, m);
    look_after(d);
}

static bool sign(struct desk *d, const Signet__Role__Work *w, uint8_t *out, size_t *out_len, bool *found_anew, struct err *e)
{
    const struct alg *alg = ready_for(d, w->alg, *found_anew, e);

    if (!alg)
        return false;
    bool ok = token_sign(d->token, w->key, alg, w->input.data, w->input.len, out, out_len, e) ||
              (finds_it(d, found_anew, e) && token_sign(d->token, w->key, alg, w->input.data, w->input.len, out, out_len, e));
    if (ok) {
        d->last_key = w->key;
        d->last_alg = alg;
    }
    return ok;
}

static void do_work(struct desk *d, Message *in, struct reply r)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__WorkDone done = SIGNET__ROLE__WORK_DONE__INIT;
    Signet__Role__Why why;
    uint8_t signature[ALG_MAX_SIGNATURE];
    size_t len = 0;
    bool found_anew = in->work->anew;
    struct err e;

    done.id = in->work->id;
    bool ok = sign(d, in->work, signature, &len, &found_anew, &e);
    if (ok)
        done.signature = (ProtobufCBinaryData){ len, signature };
    else
        done.why = why_of(&why, &e);
    m.of_case = OF(WORK_DONE);
    m.work_done = &done;
    answer_done(d, r, &m, ok && found_anew);
}

static bool check_mac(struct desk *d, const Signet__Role__CheckMac *c, bool *out_good, bool *found_anew, struct err *e)
{
    const struct alg *alg = ready_for(d, c->alg, *found_anew, e);

    if (!alg)
        return false;
    if (alg->family != ALG_HMAC)
        return err_set(e, ERR_BAD_REQUEST, "%s has no MAC", alg->name);
    return token_check_mac(d->token, c->key, alg, c->input.data, c->input.len, c->mac.data, c->mac.len, out_good, e) ||
           (finds_it(d, found_anew, e) &&
            token_check_mac(d->token, c->key, alg, c->input.data, c->input.len, c->mac.data, c->mac.len, out_good, e));
}

static void do_check_mac(struct desk *d, Message *in, struct reply r)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Checked checked = SIGNET__ROLE__CHECKED__INIT;
    Signet__Role__Why why;
    bool good = false, found_anew = in->check_mac->anew;
    struct err e;

    checked.id = in->check_mac->id;
    bool ok = check_mac(d, in->check_mac, &good, &found_anew, &e);
    if (ok)
        checked.good = good;
    else
        checked.why = why_of(&why, &e);
    m.of_case = OF(CHECKED);
    m.checked = &checked;
    answer_done(d, r, &m, ok && found_anew);
}

void desk_rest(struct desk *d)
{
    if (d->token && !d->logged_out && d->last_alg)
        token_arm(d->token, d->last_key, d->last_alg);
}

/* --- listing ----------------------------------------------------------------------------------- */

/* The configuration's outside keys that this one is, counted over all rings. */
static size_t outside_of(const struct desk *d, const struct token_key *k, uint32_t *out, size_t max)
{
    uint32_t at = 0;
    size_t n = 0;

    for (size_t i = 0; i < d->config->n_rings; i++)
        for (size_t j = 0; j < d->config->rings[i].n_outside; j++, at++) {
            const char *uri = d->config->rings[i].outside[j].uri;
            if (n < max && token_is(d->token, uri) && token_uri_matches(uri, k))
                out[n++] = at;
        }
    return n;
}

static void fill_key(Signet__Role__Key *out, const struct token_key *k)
{
    signet__role__key__init(out);
    out->id = k->id;
    out->label = (char *)(uintptr_t)k->label;
    out->cka_id = (ProtobufCBinaryData){ k->cka_id_len, (uint8_t *)(uintptr_t)k->cka_id };
    out->kty = (char *)(uintptr_t)k->kty;
    if (k->crv)
        out->crv = (char *)(uintptr_t)k->crv;
    out->spki = (ProtobufCBinaryData){ k->spki_len, k->spki };
    out->secret_len = (uint32_t)k->secret_len;
    out->has_private = k->has_private;
    out->has_public = k->has_public;
    out->is_private = k->is_private;
    out->sensitive = k->sensitive;
    out->extractable = k->extractable;
    out->always_sensitive = k->always_sensitive;
    out->never_extractable = k->never_extractable;
    out->local = k->local;
    out->always_authenticate = k->always_authenticate;
}

/* What a Keys message is made of. */
struct listed {
    struct token_listing l;
    Signet__Role__Key *keys, **each_key;
    Signet__Role__Data *data, **each_data;
    uint32_t (*outside)[8];
};

static void listed_clear(struct listed *l)
{
    token_listing_clear(&l->l);
    free(l->keys);
    free(l->each_key);
    free(l->data);
    free(l->each_data);
    free(l->outside);
}

static bool list(struct desk *d, struct listed *l, struct err *e)
{
    if (!has_token(d, e) || !token_list(d->token, &l->l, e))
        return false;
    size_t n = l->l.n_keys + 1, n_data = l->l.n_data + 1;
    l->keys = calloc(n, sizeof *l->keys);
    l->each_key = calloc(n, sizeof *l->each_key);
    l->outside = calloc(n, sizeof *l->outside);
    l->data = calloc(n_data, sizeof *l->data);
    l->each_data = calloc(n_data, sizeof *l->each_data);
    if (!l->keys || !l->each_key || !l->outside || !l->data || !l->each_data)
        return err_set(e, ERR_NO_MEMORY, "no memory for a listing");
    for (size_t i = 0; i < l->l.n_keys; i++) {
        fill_key(&l->keys[i], &l->l.keys[i]);
        l->keys[i].n_outside = outside_of(d, &l->l.keys[i], l->outside[i], ARRAY_LEN(l->outside[i]));
        l->keys[i].outside = l->outside[i];
        l->each_key[i] = &l->keys[i];
    }
    for (size_t i = 0; i < l->l.n_data; i++) {
        signet__role__data__init(&l->data[i]);
        l->data[i].label = l->l.data[i].label;
        l->data[i].is_private = l->l.data[i].is_private;
        l->each_data[i] = &l->data[i];
    }
    return true;
}

static void do_list(struct desk *d, Message *in, struct reply r)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Keys keys = SIGNET__ROLE__KEYS__INIT;
    Signet__Role__Why why;
    CLEANUP(listed_clear) struct listed l = { 0 };
    struct err e = { 0 };

    keys.id = in->list->id;
    keys.generation = d->generation;
    if (list(d, &l, &e)) {
        keys.keys = l.each_key;
        keys.n_keys = l.l.n_keys;
        keys.data = l.each_data;
        keys.n_data = l.l.n_data;
    } else {
        keys.why = why_of(&why, &e);
    }
    m.of_case = OF(KEYS);
    m.keys = &keys;
    desk_state(d, r.answer, r.ctx);      /* a listing may have proved a mechanism */
    r.answer(r.ctx, &m);
    look_after(d);
}

/* --- making and destroying ------------------------------------------------------------------------- */

static void changed(struct desk *d, uint64_t id, uint64_t key, bool ok, const struct err *e, struct reply r)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Changed c = SIGNET__ROLE__CHANGED__INIT;
    Signet__Role__Why why;

    c.id = id;
    if (ok)
        c.key = key;
    else
        c.why = why_of(&why, e);
    m.of_case = OF(CHANGED);
    m.changed = &c;
    r.answer(r.ctx, &m);
    look_after(d);
}

static void do_generate(struct desk *d, Message *in, struct reply r)
{
    const Signet__Role__Generate *g = in->generate;
    struct err e;
    uint64_t key = 0;
    const struct alg *alg = alg_of(g->alg, &e);
    bool ok = alg && has_token(d, &e) && token_generate(d->token, alg, g->rsa_bits, g->label, &key, &e);

    changed(d, g->id, key, ok, &e, r);
}

/* The same secret again is no new key: whoever has the old one has it. */
static bool is_new(struct desk *d, const struct alg *alg, const Signet__Role__Import *i, struct err *e)
{
    if (i->n_others && !relist(d, e))
        return false;
    for (size_t n = 0; n < i->n_others; n++)
        if (token_has_secret(d->token, i->others[n], alg, i->secret.data, i->secret.len))
            return err_set(e, ERR_KEY_EXISTS, "the ring holds this secret already: nothing was imported");
    return true;
}

static void do_import(struct desk *d, Message *in, struct reply r)
{
    const Signet__Role__Import *i = in->import;
    struct err e;
    uint64_t key = 0;
    const struct alg *alg = alg_of(i->alg, &e);
    bool ok = alg && has_token(d, &e);

    if (ok && (i->secret.len == 0 || i->secret.len > MAX_SECRET))
        ok = err_set(&e, ERR_BAD_REQUEST, "a secret has 1 to %u bytes", MAX_SECRET);
    ok = ok && is_new(d, alg, i, &e) && token_import_hmac(d->token, alg, i->label, i->secret.data, i->secret.len, &key, &e);
    if (i->secret.len)
        OPENSSL_cleanse(i->secret.data, i->secret.len);
    changed(d, i->id, key, ok, &e, r);
}

static void do_destroy(struct desk *d, Message *in, struct reply r)
{
    const Signet__Role__Destroy *m = in->destroy;
    struct err e;
    bool ok = has_token(d, &e) && token_destroy(d->token, m->key, m->private_only, &e);

    for (size_t i = 0; ok && i < m->n_facts; i++)
        ok = token_forget_fact(d->token, m->facts[i], &e);
    changed(d, m->id, m->key, ok, &e, r);
}

static void do_write_fact(struct desk *d, Message *in, struct reply r)
{
    struct err e;
    bool ok = has_token(d, &e) && token_write_fact(d->token, in->write_fact->label, &e);

    changed(d, in->write_fact->id, 0, ok, &e, r);
}

static void do_forget_fact(struct desk *d, Message *in, struct reply r)
{
    struct err e;
    bool ok = has_token(d, &e) && token_forget_fact(d->token, in->forget_fact->label, &e);

    changed(d, in->forget_fact->id, 0, ok, &e, r);
}

static void do_try_powers(struct desk *d, Message *in, struct reply r)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Powers powers = SIGNET__ROLE__POWERS__INIT;
    Signet__Role__Why why;
    struct token_powers got = { 0 };
    struct err e = { 0 }, lacks = { 0 };

    powers.id = in->try_powers->id;
    if (has_token(d, &e) && token_try_powers(d->token, &got, &lacks, &e)) {
        powers.keeps_facts = got.keeps_facts;
        powers.destroys = got.destroys;
        powers.lacks = lacks.text;
    } else {
        powers.why = why_of(&why, &e);
    }
    m.of_case = OF(POWERS);
    m.powers = &powers;
    r.answer(r.ctx, &m);
    look_after(d);
}

static void do_arm(struct desk *d, Message *in, struct reply r)
{
    struct err e;
    const struct alg *alg = alg_of(in->arm->alg, &e);

    if (alg && d->token)
        token_arm(d->token, in->arm->key, alg);
}

/* --- all of it ----------------------------------------------------------------------------------------- */

static const struct {
    Signet__Role__Message__OfCase of;
    void (*act)(struct desk *d, Message *m, struct reply r);
} acts[] = {
    { OF(WORK), do_work }, { OF(LIST), do_list }, { OF(GENERATE), do_generate }, { OF(IMPORT), do_import },
    { OF(DESTROY), do_destroy }, { OF(ARM), do_arm }, { OF(WRITE_FACT), do_write_fact },
    { OF(FORGET_FACT), do_forget_fact }, { OF(TRY_POWERS), do_try_powers }, { OF(CHECK_MAC), do_check_mac },
};

bool desk_hear(struct desk *d, Message *m, desk_answer *answer, void *ctx)
{
    for (size_t i = 0; i < ARRAY_LEN(acts); i++)
        if (acts[i].of == m->of_case) {
            acts[i].act(d, m, (struct reply){ answer, ctx });
            return true;
        }
    return false;
}

static size_t fill_mechanisms(const struct desk *d, Signet__Role__Mechanism *m, Signet__Role__Mechanism **each)
{
    size_t n = 0;

    for (uint32_t row = 0; row < MAX_ALGS && alg_at(row); row++) {
        bool proved = false;
        const char *name = token_mechanism(d->token, alg_at(row), &proved);
        if (!name)
            continue;
        signet__role__mechanism__init(&m[n]);
        m[n].alg = row;
        m[n].name = (char *)(uintptr_t)name;
        m[n].digest = token_wants_digest(d->token, alg_at(row));
        m[n].proved = proved;
        each[n] = &m[n];
        n++;
    }
    return n;
}

void desk_state(const struct desk *d, desk_answer *answer, void *ctx)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__SignerState s = SIGNET__ROLE__SIGNER_STATE__INIT;
    Signet__Role__Mechanism mechanisms[MAX_ALGS], *each[MAX_ALGS];
    Signet__Role__Why why;

    if (d->token && !d->logged_out) {
        const struct token_info *info = token_info(d->token);
        s.state = SIGNET__ROLE__SIGNER_STATE__STATE__READY;
        s.token_label = (char *)(uintptr_t)info->label;
        s.manufacturer = (char *)(uintptr_t)info->manufacturer;
        s.model = (char *)(uintptr_t)info->model;
        s.serial = (char *)(uintptr_t)info->serial;
        s.software = info->software;
        s.tpm2_pkcs11 = info->tpm2_pkcs11;
        s.mechanisms = each;
        s.n_mechanisms = fill_mechanisms(d, mechanisms, each);
    } else if (d->logged_out) {
        s.state = SIGNET__ROLE__SIGNER_STATE__STATE__BUSY_LOGIN;
        s.software = token_info(d->token)->software;
        s.tpm2_pkcs11 = token_info(d->token)->tpm2_pkcs11;
        s.why = why_of(&why, &d->why);
    } else if (d->why.reason != ERR_NONE) {
        s.state = SIGNET__ROLE__SIGNER_STATE__STATE__FAILED;
        s.why = why_of(&why, &d->why);
    }
    m.of_case = OF(SIGNER_STATE);
    m.signer_state = &s;
    answer(ctx, &m);
}
