/* What everyone may have: each ring's key set as verifiers hold it, and the pages of all public ones for GetKeys. */
#include "daemon/broker/keys/keys_private.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#include <openssl/evp.h>
#include <string.h>

#define MAX_JWKS (512u * 1024)          /* bytes of one ring's set or one page: 64 keys of 16384 bits have 190 KiB */

void key_set_clear(struct keys *k)
{
    for (size_t i = 0; i < k->n_pages; i++)
        free(k->pages[i].jwks);
    free(k->pages);
    k->pages = NULL;
    k->n_pages = 0;
}

const struct held *view_published(const struct keys *k, const struct ring_view *v, size_t i, int64_t now)
{
    return ring_published(v->ring, i, now) ? keys_by_id(k, ring_key(v->ring, i)->ref) : NULL;
}

static bool append_key(struct buf *out, const struct held *h)
{
    bool first = out->len == 0;

    return buf_append_str(out, first ? "{\"keys\":[" : ",") && jwk_write(h->jwk, out);
}

/* The text, finished; NULL: empty or no memory. */
static char *finish(struct buf *out)
{
    char *text = NULL;

    if (out->len && buf_append(out, "]}", 3))
        text = strdup((const char *)out->data);
    buf_clear(out);
    return text;
}

/* NULL: it has no public keys. False: its text could not be written. */
static bool jwks_of(const struct keys *k, const struct ring_view *v, int64_t now, char **text)
{
    struct buf out;
    bool ok = true;

    buf_init(&out, MAX_JWKS);
    for (size_t i = 0; ok && i < ring_size(v->ring); i++) {
        const struct held *h = view_published(k, v, i, now);
        if (h && h->jwk)
            ok = append_key(&out, h);
    }
    bool empty = out.len == 0;
    *text = ok ? finish(&out) : NULL;
    buf_clear(&out);
    return ok && (empty || *text);
}

const struct keys_page *keys_pages(const struct keys *k, size_t *out_n)
{
    *out_n = k->n_pages;
    return k->pages;
}

static void tell(const struct keys *k, struct peer *verifier, const struct ring_view *v)
{
    Signet__Role__Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__KeySet set = SIGNET__ROLE__KEY_SET__INIT;
    char name[CONF_SET_NAME];

    conf_set_name(&k->conf->config->tokens[0], v->config->settings.name, name);
    set.ring = name;
    if (v->jwks)
        set.jwks = (ProtobufCBinaryData){ strlen(v->jwks), (uint8_t *)v->jwks };
    m.of_case = SIGNET__ROLE__MESSAGE__OF_KEY_SET;
    m.key_set = &set;
    peer_tell(verifier, &m);
}

void keys_tell(struct keys *k, struct peer *verifier)
{
    for (size_t i = 0; i < k->n_views; i++)
        tell(k, verifier, &k->views[i]);
}

static bool is_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* False: nothing changed in what is published. */
static bool refresh_view(struct keys *k, struct ring_view *v, int64_t now)
{
    char *jwks;

    /* The one of before is better than half of one. */
    if (!jwks_of(k, v, now, &jwks)) {
        log_error("ring '%s': its key set could not be written: no memory, or longer than %u bytes",
                  v->config->settings.name, MAX_JWKS);
        return false;
    }
    v->changes_at = ring_changes_at(v->ring, now);
    if (is_same(jwks, v->jwks)) {
        free(jwks);
        return false;
    }
    free(v->jwks);
    v->jwks = jwks;
    for (size_t i = 0; i < k->verifiers->n_peers; i++)
        tell(k, &k->verifiers->peers[i], v);
    return true;
}

/* Its public keys are for everyone; while its algorithm changes over it may have secret ones beside them. */
bool view_is_public(const struct ring_view *v)
{
    return v->is_published && !v->left_out && (v->config->alg->family != ALG_HMAC || v->jwks);
}

/* The page that the next key goes into. */
static struct keys_page *page_with_room(struct keys *k)
{
    if (k->n_pages && k->pages[k->n_pages - 1].n < KEYS_PAGE)
        return &k->pages[k->n_pages - 1];
    struct keys_page *more = reallocarray(k->pages, k->n_pages + 1, sizeof *more);
    if (!more)
        return NULL;
    k->pages = more;
    more[k->n_pages] = (struct keys_page){ 0 };
    return &more[k->n_pages++];
}

static bool add_key(struct keys *k, struct buf *text, const struct ring_view *v, const struct held *h)
{
    struct keys_page *page = page_with_room(k);

    if (!page || !append_key(text, h))
        return false;
    page->rings[page->n++] = v->config->settings.name;
    if (page->n == KEYS_PAGE)
        page->jwks = finish(text);
    return page->n < KEYS_PAGE || page->jwks;
}

static void make_pages(struct keys *k, int64_t now)
{
    struct keys before = { .pages = k->pages, .n_pages = k->n_pages };
    struct buf text;
    bool ok = true;

    k->pages = NULL;
    k->n_pages = 0;
    buf_init(&text, MAX_JWKS);
    for (size_t i = 0; i < k->n_views; i++) {
        const struct ring_view *v = &k->views[i];
        for (size_t at = 0; ok && view_is_public(v) && at < ring_size(v->ring); at++) {
            const struct held *h = view_published(k, v, at, now);
            ok = !h || !h->jwk || add_key(k, &text, v, h);
        }
    }
    if (ok && text.len)
        ok = (k->pages[k->n_pages - 1].jwks = finish(&text));
    buf_clear(&text);
    if (ok) {
        key_set_clear(&before);
        return;
    }
    /* One of before is better than none: an empty set would call every token a stranger's. */
    key_set_clear(k);
    k->pages = before.pages;
    k->n_pages = before.n_pages;
    log_error("the key set could not be written: no memory, or a page longer than %u bytes", MAX_JWKS);
}

/* A version that follows from the content alone: the same in every daemon and after a restart. */
static uint64_t version_of(const struct keys *k)
{
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    uint8_t digest[EVP_MAX_MD_SIZE] = { 0 };
    uint64_t version = 0;
    bool ok = sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; ok && i < k->n_pages; i++)
        ok = EVP_DigestUpdate(sha, k->pages[i].jwks, strlen(k->pages[i].jwks)) == 1;
    if (!ok || EVP_DigestFinal_ex(sha, digest, NULL) != 1)
        log_error("the key set has no version: no SHA-256");
    EVP_MD_CTX_free(sha);
    for (size_t i = 0; i < sizeof version; i++)
        version = version << 8 | digest[i];
    return version;
}

static uint32_t max_age(const struct keys *k, int64_t now)
{
    int64_t least = 30 * 86400;

    for (size_t i = 0; i < k->n_views; i++)
        if (view_is_public(&k->views[i]) && ring_copy_max_age(k->views[i].ring, now) < least)
            least = ring_copy_max_age(k->views[i].ring, now);
    return (uint32_t)least;
}

/* What is overdue may come with the next refresh: nobody should ask every second meanwhile. */
int64_t view_set_changes_at(const struct ring_view *v, int64_t now)
{
    int64_t at = ring_set_changes_at(v->ring, now);

    return at > now ? at : now + v->config->settings.refresh;
}

uint32_t key_set_changes_in(const struct keys *k, int64_t now)
{
    int64_t soonest = INT64_MAX;

    for (size_t i = 0; i < k->n_views; i++) {
        int64_t at = view_is_public(&k->views[i]) ? view_set_changes_at(&k->views[i], now) : INT64_MAX;
        soonest = at < soonest ? at : soonest;
    }
    return soonest == INT64_MAX ? 0 : soonest - now > UINT32_MAX ? UINT32_MAX : (uint32_t)(soonest - now);
}

void views_refresh(struct keys *k, int64_t now)
{
    bool changed = k->version == 0;

    for (size_t i = 0; i < k->n_views; i++)
        if (k->views[i].changes_at <= now)
            changed |= refresh_view(k, &k->views[i], now);
    if (!changed)
        return;
    make_pages(k, now);
    k->version = version_of(k);
    k->max_age_s = max_age(k, now);
}

void views_refresh_all(struct keys *k, int64_t now)
{
    for (size_t i = 0; i < k->n_views; i++)
        k->views[i].changes_at = k->views[i].next_at = 0;
    views_refresh(k, now);
}

void keys_leave_out(struct keys *k, const char *ring, bool is_left_out)
{
    struct ring_view *v = view_of(k, ring);

    if (!v || v->left_out == is_left_out)
        return;
    v->left_out = is_left_out;
    k->version = 0;                      /* the pages are made anew */
    views_refresh(k, clock_now());
}
