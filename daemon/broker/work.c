#include "daemon/broker/work.h"

#include <stdlib.h>
#include <string.h>

#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name
#define MAX_BYTES (2u * 1024 * 1024)     /* of one input: a request has at most 1 MiB */

/* What jobs take differs by algorithm and size: an RSA key of 4096 bits is 256 bytes longer than one of 2048, and many
   times slower. */
#define SIZES 4u
#define SPKI_STEP 160u                   /* bytes */
#define TOKEN_STEP 2048u
#define KIND_VERIFY (1 + POOL_MAX_ALGS * SIZES)      /* its algorithm is the token's word yet */

struct work {
    struct job job;                      /* first */
    uint64_t key, anew_for;              /* signers that find the key anew first: a bit each */
    const struct alg *alg;
    uint32_t rsa_bits;
    struct buf input, second;            /* signing input, token or secret; signature */
    uint8_t *spki; size_t spki_len;
    char *text;                          /* label or audience */
    char **labels; size_t n_labels;      /* of facts */
    bool private_only;
    uint64_t *others; size_t n_others;   /* keys */
    struct conf *conf;
    const struct profile *profile;
    int64_t now;
};

typedef Signet__Role__Message Message;

uint32_t work_alg_row(const struct alg *a)
{
    uint32_t row = 0;

    while (alg_at(row) && alg_at(row) != a)
        row++;
    return row;
}

_Static_assert(KIND_VERIFY + SIZES <= POOL_KINDS, "each kind of job has its place");

static unsigned size_of(size_t len, size_t step)
{
    return len / step < SIZES ? (unsigned)(len / step) : SIZES - 1;
}

static unsigned kind_of(const struct alg *a, size_t spki_len)
{
    return 1 + work_alg_row(a) % POOL_MAX_ALGS * SIZES + size_of(spki_len, SPKI_STEP);
}

static void work_free(struct job *j)
{
    struct work *w = (struct work *)j;

    buf_clear(&w->input);
    buf_clear(&w->second);
    free(w->spki);
    free(w->text);
    free(w->others);
    for (size_t i = 0; i < w->n_labels; i++)
        free(w->labels[i]);
    free(w->labels);
    conf_unref(w->conf);
    free(w);
}

static struct work *work_new(const struct work_for *f, const void *input, size_t len,
                             bool (*send)(struct job *, const struct peer *, struct channel *, struct err *))
{
    struct work *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    w->job = (struct job){ .account = f->account, .deadline_ms = f->deadline_ms, .timeout_ms = f->timeout_ms,
                           .done = f->done, .owner = f->owner, .toll = f->toll, .len = len, .send = send, .free = work_free };
    buf_init_secret(&w->input, MAX_BYTES);
    buf_init(&w->second, ALG_MAX_SIGNATURE);
    if (len && !buf_append(&w->input, input, len)) {
        work_free(&w->job);
        return NULL;
    }
    return w;
}

/* The job, or NULL and w freed. */
static struct job *if_whole(struct work *w, bool whole)
{
    if (w && whole)
        return &w->job;
    if (w)
        work_free(&w->job);
    return NULL;
}

static ProtobufCBinaryData bytes(const struct buf *b)
{
    return (ProtobufCBinaryData){ b->len, b->data };
}

/* --- signers --------------------------------------------------------------------------- */

static bool send_sign(struct job *j, const struct peer *p, struct channel *to, struct err *e)
{
    struct work *w = (struct work *)j;
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Work work = SIGNET__ROLE__WORK__INIT;
    uint8_t digest[ALG_MAX_DIGEST];
    uint32_t row = work_alg_row(w->alg);

    if (!p->mechanisms[row].name[0])
        return err_set(e, ERR_MECHANISM_MISSING, "the token has no mechanism for %s", w->alg->name);
    work.id = j->id;
    work.key = w->key;
    work.alg = row;
    work.anew = w->anew_for >> (p->number - 1) & 1;
    work.input = bytes(&w->input);
    if (p->mechanisms[row].digest) {
        if (!alg_digest(w->alg, w->input.data, w->input.len, digest))
            return err_set(e, ERR_INTERNAL, "no digest for %s", w->alg->name);
        work.input = (ProtobufCBinaryData){ w->alg->hash_len, digest };
    }
    m.of_case = OF(WORK);
    m.work = &work;
    return channel_send(to, &m, -1, e);
}

struct job *work_sign(const struct work_for *f, uint64_t key, const struct alg *alg, size_t spki_len, const void *input,
                      size_t len)
{
    struct work *w = work_new(f, input, len, send_sign);

    if (w) {
        w->job.kind = kind_of(alg, spki_len);
        w->key = key;
        w->alg = alg;
    }
    return if_whole(w, true);
}

static bool send_check_mac(struct job *j, const struct peer *p, struct channel *to, struct err *e)
{
    struct work *w = (struct work *)j;
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__CheckMac check = SIGNET__ROLE__CHECK_MAC__INIT;

    check.id = j->id;
    check.key = w->key;
    check.alg = work_alg_row(w->alg);
    check.input = bytes(&w->input);
    check.mac = bytes(&w->second);
    check.anew = w->anew_for >> (p->number - 1) & 1;
    m.of_case = OF(CHECK_MAC);
    m.check_mac = &check;
    return channel_send(to, &m, -1, e);
}

struct job *work_check_mac(const struct work_for *f, uint64_t key, const struct alg *alg, const void *input, size_t len,
                           const void *mac, size_t mac_len)
{
    struct work *w = work_new(f, input, len, send_check_mac);

    if (w) {
        w->job.kind = kind_of(alg, 0);
        w->key = key;
        w->alg = alg;
    }
    return if_whole(w, w && buf_append(&w->second, mac, mac_len));
}

void work_find_anew(struct job *j, uint64_t signers)
{
    ((struct work *)j)->anew_for = signers;
}

static bool send_list(struct job *j, const struct peer *p, struct channel *to, struct err *e)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__List list = SIGNET__ROLE__LIST__INIT;

    list.id = j->id;
    m.of_case = OF(LIST);
    m.list = &list;
    return channel_send(to, &m, -1, e);
}

struct job *work_list(const struct work_for *f)
{
    return if_whole(work_new(f, NULL, 0, send_list), true);
}

static bool send_generate(struct job *j, const struct peer *p, struct channel *to, struct err *e)
{
    struct work *w = (struct work *)j;
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Generate generate = SIGNET__ROLE__GENERATE__INIT;

    generate.id = j->id;
    generate.alg = work_alg_row(w->alg);
    generate.rsa_bits = w->rsa_bits;
    generate.label = w->text;
    m.of_case = OF(GENERATE);
    m.generate = &generate;
    return channel_send(to, &m, -1, e);
}

struct job *work_generate(const struct work_for *f, const struct alg *alg, uint32_t rsa_bits, const char *label)
{
    struct work *w = work_new(f, NULL, 0, send_generate);

    if (w) {
        w->alg = alg;
        w->rsa_bits = rsa_bits;
        w->text = strdup(label);
    }
    return if_whole(w, w && w->text);
}

static bool send_import(struct job *j, const struct peer *p, struct channel *to, struct err *e)
{
    struct work *w = (struct work *)j;
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Import import = SIGNET__ROLE__IMPORT__INIT;

    import.id = j->id;
    import.alg = work_alg_row(w->alg);
    import.label = w->text;
    import.secret = bytes(&w->input);
    import.others = w->others;
    import.n_others = w->n_others;
    m.of_case = OF(IMPORT);
    m.import = &import;
    return channel_send(to, &m, -1, e);
}

struct job *work_import(const struct work_for *f, const struct alg *alg, const char *label,
                        const void *secret, size_t len, const uint64_t *others, size_t n_others)
{
    struct work *w = work_new(f, secret, len, send_import);

    if (w) {
        w->alg = alg;
        w->text = strdup(label);
        w->others = calloc(n_others + 1, sizeof *w->others);
    }
    for (size_t i = 0; w && w->others && i < n_others; i++)
        w->others[w->n_others++] = others[i];
    return if_whole(w, w && w->text && w->others);
}

static bool send_destroy(struct job *j, const struct peer *p, struct channel *to, struct err *e)
{
    struct work *w = (struct work *)j;
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Destroy destroy = SIGNET__ROLE__DESTROY__INIT;

    destroy.id = j->id;
    destroy.key = w->key;
    destroy.private_only = w->private_only;
    destroy.facts = w->labels;
    destroy.n_facts = w->n_labels;
    m.of_case = OF(DESTROY);
    m.destroy = &destroy;
    return channel_send(to, &m, -1, e);
}

struct job *work_destroy(const struct work_for *f, uint64_t key, bool private_only, char *const *facts, size_t n_facts)
{
    struct work *w = work_new(f, NULL, 0, send_destroy);

    if (!w)
        return NULL;
    w->key = key;
    w->private_only = private_only;
    w->labels = calloc(n_facts + 1, sizeof *w->labels);
    bool whole = w->labels != NULL;
    while (whole && w->n_labels < n_facts) {
        w->labels[w->n_labels] = strdup(facts[w->n_labels]);
        whole = w->labels[w->n_labels++] != NULL;
    }
    return if_whole(w, whole);
}

static bool send_write_fact(struct job *j, const struct peer *p, struct channel *to, struct err *e)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__WriteFact fact = SIGNET__ROLE__WRITE_FACT__INIT;

    fact.id = j->id;
    fact.label = ((struct work *)j)->text;
    m.of_case = OF(WRITE_FACT);
    m.write_fact = &fact;
    return channel_send(to, &m, -1, e);
}

static bool send_forget_fact(struct job *j, const struct peer *p, struct channel *to, struct err *e)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__ForgetFact fact = SIGNET__ROLE__FORGET_FACT__INIT;

    fact.id = j->id;
    fact.label = ((struct work *)j)->text;
    m.of_case = OF(FORGET_FACT);
    m.forget_fact = &fact;
    return channel_send(to, &m, -1, e);
}

static struct job *of_label(struct work *w, const char *label)
{
    if (w)
        w->text = strdup(label);
    return if_whole(w, w && w->text);
}

struct job *work_write_fact(const struct work_for *f, const char *label)
{
    return of_label(work_new(f, NULL, 0, send_write_fact), label);
}

struct job *work_forget_fact(const struct work_for *f, const char *label)
{
    return of_label(work_new(f, NULL, 0, send_forget_fact), label);
}

static bool send_try_powers(struct job *j, const struct peer *p, struct channel *to, struct err *e)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__TryPowers powers = SIGNET__ROLE__TRY_POWERS__INIT;

    powers.id = j->id;
    m.of_case = OF(TRY_POWERS);
    m.try_powers = &powers;
    return channel_send(to, &m, -1, e);
}

struct job *work_try_powers(const struct work_for *f)
{
    return if_whole(work_new(f, NULL, 0, send_try_powers), true);
}

/* --- verifiers --------------------------------------------------------------------------- */

static bool send_check(struct job *j, const struct peer *p, struct channel *to, struct err *e)
{
    struct work *w = (struct work *)j;
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__CheckSignature check = SIGNET__ROLE__CHECK_SIGNATURE__INIT;

    check.id = j->id;
    check.spki = (ProtobufCBinaryData){ w->spki_len, w->spki };
    check.alg = work_alg_row(w->alg);
    check.input = bytes(&w->input);
    check.signature = bytes(&w->second);
    m.of_case = OF(CHECK_SIGNATURE);
    m.check_signature = &check;
    return channel_send(to, &m, -1, e);
}

struct job *work_check(const struct work_for *f, const struct alg *alg, const uint8_t *spki, size_t spki_len,
                       const void *input, size_t len, const uint8_t *signature, size_t signature_len)
{
    struct work *w = work_new(f, input, len, send_check);
    bool whole = w && buf_append(&w->second, signature, signature_len) && (w->spki = malloc(spki_len)) != NULL;

    if (whole) {
        memcpy(w->spki, spki, spki_len);
        w->spki_len = spki_len;
        w->alg = alg;
        w->job.kind = kind_of(alg, spki_len);
    }
    return if_whole(w, whole);
}

/* The ring's keys on each of its tokens. */
static size_t set_names(const struct config *c, const struct ring_config *r, char names[][CONF_SET_NAME], char **out)
{
    for (size_t i = 0; i < r->n_tokens; i++) {
        conf_set_name(&c->tokens[r->tokens[i]], r->settings.name, names[i]);
        out[i] = names[i];
    }
    return r->n_tokens;
}

static bool send_verify(struct job *j, const struct peer *p, struct channel *to, struct err *e)
{
    struct work *w = (struct work *)j;
    const struct profile *profile = w->profile;
    char names[CONFIG_MAX_TOKENS][CONF_SET_NAME], *sets[CONFIG_MAX_TOKENS];
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__VerifyToken verify = SIGNET__ROLE__VERIFY_TOKEN__INIT;

    verify.id = j->id;
    verify.token = bytes(&w->input);
    verify.rings = sets;
    verify.n_rings = set_names(w->conf->config, config_ring(w->conf->config, profile->ring), names, sets);
    verify.max_len = w->conf->config->daemon.max_request;
    verify.jwt = !profile->raw;
    verify.now = w->now;
    if (!profile->raw) {
        verify.issuer = profile->issuer;
        verify.audiences = w->text ? &w->text : profile->audiences;
        verify.n_audiences = w->text ? 1 : profile->n_audiences;
        verify.typ = profile->typ;
        verify.leeway_s = profile->leeway_s;
    }
    m.of_case = OF(VERIFY_TOKEN);
    m.verify_token = &verify;
    return channel_send(to, &m, -1, e);
}

struct job *work_verify(const struct work_for *f, struct conf *conf, const struct profile *profile,
                        const void *token, size_t len, const char *audience, int64_t now)
{
    struct work *w = work_new(f, token, len, send_verify);

    if (w) {
        w->job.kind = KIND_VERIFY + size_of(len, TOKEN_STEP);
        w->conf = conf_ref(conf);
        w->profile = profile;
        w->now = now;
        w->text = audience ? strdup(audience) : NULL;
    }
    return if_whole(w, w && (w->text || !audience));
}
