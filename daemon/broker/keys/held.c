#include "daemon/broker/keys/held.h"

#include "proto/jose/b64url.h"

#include <stdio.h>
#include <string.h>

#define HALF_DOUBT_MS 10000          /* SoftHSM has been seen to list a key by half for a second, while others log in */
#define UNREAD_TRIES 3u              /* of a public half: then it is broken */

static void read_halves(struct held *h, const Signet__Role__Key *k)
{
    h->has_private = k->has_private;
    h->has_public = k->has_public;
    h->is_private = k->is_private;
    h->sensitive = k->sensitive;
    h->extractable = k->extractable;
    h->always_sensitive = k->always_sensitive;
    h->never_extractable = k->never_extractable;
    h->local = k->local;
}

struct held *held_new(const Signet__Role__Key *k, int64_t steady_ms)
{
    struct held *h = calloc(1, sizeof *h);

    if (!h || (k->spki.len && !(h->spki = malloc(k->spki.len)))) {
        free(h);
        return NULL;
    }
    h->id = k->id;
    snprintf(h->label, sizeof h->label, "%s", k->label);
    h->cka_id_len = k->cka_id.len < sizeof h->cka_id ? k->cka_id.len : sizeof h->cka_id;
    if (h->cka_id_len)
        memcpy(h->cka_id, k->cka_id.data, h->cka_id_len);
    snprintf(h->kty, sizeof h->kty, "%s", k->kty);
    snprintf(h->crv, sizeof h->crv, "%s", k->crv);
    if (k->spki.len)
        memcpy(h->spki, k->spki.data, h->spki_len = k->spki.len);
    h->secret_len = k->secret_len;
    h->seen_ms = steady_ms;
    h->listed = true;
    return h;
}

void held_free(struct held *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->n_uses; i++)
        free(h->uses[i].profile);
    free(h->uses);
    jwk_free(h->jwk);
    free(h->spki);
    free(h);
}

void held_listed(struct held *h)
{
    if (h->n_missing || h->gone)
        h->proved_by = 0;
    h->listed = true;
    h->gone = false;
}

/* The configuration's outside key that this is, and its ring; NULL: none. */
static const struct outside_key *outside_of(const Signet__Role__Key *k, const struct config *c,
                                            const struct ring_config **out_ring, size_t *out_number)
{
    for (size_t n = 0; n < k->n_outside; n++) {
        size_t at = *out_number = k->outside[n];
        for (size_t i = 0; i < c->n_rings; at -= c->rings[i++].n_outside)
            if (at < c->rings[i].n_outside) {
                *out_ring = &c->rings[i];
                return &c->rings[i].outside[at];
            }
    }
    return NULL;
}

static bool fits(const struct held *h, const struct alg *alg)
{
    return strcmp(h->kty, alg->kty) == 0 && (!alg->crv || strcmp(h->crv, alg->crv) == 0);
}

/* By its label, or by name in the configuration. */
static const struct ring_config *claim(struct held *h, const Signet__Role__Key *k, const struct config *c)
{
    const struct ring_config *ring = NULL;
    const struct outside_key *outside = outside_of(k, c, &ring, &h->outside);
    struct label l;

    if (outside) {
        h->origin = KEY_OUTSIDE;
        h->alg = ring->alg;
        h->activates_at = outside->activates_at;
        h->max_ttl = outside->max_ttl;
        h->skew = outside->skew;
        h->max_age = outside->max_age;
        return ring;
    }
    if (!label_parse(&l, h->label, strlen(h->label)) || l.kind != LABEL_KEY)
        return NULL;
    h->alg = alg_by_name(l.alg, strlen(l.alg));
    ring = config_ring(c, l.ring);
    h->origin = h->local ? KEY_GENERATED : KEY_IMPORTED;
    h->activates_at = l.at;
    h->max_ttl = l.max_ttl;
    h->skew = l.skew;
    h->max_age = l.max_age;
    return h->alg ? ring : NULL;
}

static void name_it(struct held *h)
{
    struct buf kid;

    if (h->alg->family != ALG_HMAC) {
        if (h->jwk || (h->spki && (h->jwk = jwk_from_spki(h->spki, h->spki_len, h->alg, &h->trouble))))
            snprintf(h->kid, sizeof h->kid, "%s", jwk_kid(h->jwk));
        h->n_unread = h->jwk ? 0 : h->n_unread + 1;
        return;
    }
    buf_init(&kid, sizeof h->kid);
    if (b64url_encode(&kid, h->cka_id, h->cka_id_len) && buf_append_char(&kid, '\0'))
        memcpy(h->kid, kid.data, kid.len);
    buf_clear(&kid);
    if (!h->kid[0])
        err_set(&h->trouble, ERR_KEY_UNUSABLE, "it has no CKA_ID, and an HMAC key's kid is made of that");
}

static void distrust(struct held *h)
{
    if (held_is_distrusted(h) && h->trouble.reason == ERR_NONE)
        err_set(&h->trouble, ERR_SIGNATURE_WRONG, "the token gave %u signatures in a row that were not this key's: look at"
                " the token and its module; it signs again when a test signature is right", h->n_wrong);
}

static uint64_t bit_of(unsigned signer)
{
    return signer >= 1 && signer <= 64 ? UINT64_C(1) << (signer - 1) : 0;
}

void held_found_anew(struct held *h, unsigned signer)
{
    h->proved_by &= ~bit_of(signer);
}

void held_wrong(struct held *h, unsigned signer)
{
    held_found_anew(h, signer);
    h->doubted_by |= bit_of(signer);
    h->has_lied = true;
    h->n_wrong++;
    distrust(h);
}

void held_right(struct held *h, unsigned signer)
{
    h->proved_by |= bit_of(signer);
    h->doubted_by &= ~bit_of(signer);
    if (held_is_distrusted(h) && h->trouble.reason == ERR_SIGNATURE_WRONG)      /* not what else is wrong with it */
        h->trouble = (struct err){ 0 };
    h->n_wrong = 0;
}

bool held_is_distrusted(const struct held *h)
{
    return h->n_wrong >= HELD_MAX_WRONG;
}

bool held_must_check(const struct held *h, unsigned signer)
{
    return h->has_lied || !(h->proved_by & bit_of(signer));
}

void held_signed(struct held *h, const char *profile, int64_t now)
{
    struct held_use *more;
    size_t i = 0;

    h->n_signed++;
    h->active_at = now > h->active_at ? now : h->active_at;
    while (i < h->n_uses && strcmp(h->uses[i].profile, profile) != 0)
        i++;
    if (i < h->n_uses) {
        h->uses[i].n++;
        return;
    }
    /* Where there is no memory, n_signed counts it still. */
    if (!(more = reallocarray(h->uses, i + 1, sizeof *more)))
        return;
    h->uses = more;
    if ((more[i].profile = strdup(profile))) {
        more[i].n = 1;
        h->n_uses++;
    }
}

/* RFC 7518 section 3.2. What was made elsewhere has the length that it has. */
static bool is_weak(const struct held *h)
{
    return h->alg->family == ALG_HMAC &&
           (h->secret_len < h->alg->hash_len ||
            (h->origin == KEY_IMPORTED && h->secret_len == alg_padded_len(h->alg)));
}

static bool is_exportable(const struct held *h)
{
    return h->extractable || !h->sensitive;
}

bool held_lacks_half(const struct held *h)
{
    return !h->has_private || (h->alg->family != ALG_HMAC && !h->has_public);
}

static void judge(struct held *h, const struct ring_config *ring)
{
    if (!h->is_private)
        err_set(&h->trouble, ERR_KEY_UNPROVED, "it is not CKA_PRIVATE: anyone without a PIN could have made it");
    else if (!fits(h, h->alg))
        err_set(&h->trouble, ERR_KEY_UNPROVED, "it is %s %s key, which %s cannot use", h->crv[0] == 'P' ? "a" : "an",
                h->crv[0] ? h->crv : h->kty, h->alg->name);
    else
        name_it(h);
    if (h->trouble.reason == ERR_NONE && held_lacks_half(h))
        err_set(&h->trouble, ERR_KEY_UNPROVED, "its %s half is not there", h->has_private ? "public" : "private");
    if (h->trouble.reason == ERR_NONE && is_exportable(h) && !ring->allow_exportable)
        err_set(&h->trouble, ERR_KEY_EXPORTABLE, "it could be exported (CKA_EXTRACTABLE or not CKA_SENSITIVE), and ring"
                " '%s' does not say allow_exportable", ring->settings.name);
    if (h->trouble.reason == ERR_NONE && is_weak(h) && !ring->allow_weak_secret)
        err_set(&h->trouble, ERR_KEY_TOO_WEAK, "its secret %s the %zu bytes that %s wants, and ring '%s' does not say"
                " allow_weak_secret", h->secret_len ? "has less than" : "is not known to have", h->alg->hash_len,
                h->alg->name, ring->settings.name);
}

/* What was whole stays so while it is doubted. */
static void take_halves(struct held *h, const Signet__Role__Key *k, int64_t steady_ms)
{
    bool lacks = !k->has_private || (strcmp(h->kty, "oct") != 0 && !k->has_public);

    h->n_lacking = lacks ? h->n_lacking + 1 : 0;
    h->lacks_ms = lacks ? h->lacks_ms ? h->lacks_ms : steady_ms : 0;
    h->is_doubted_half = lacks && steady_ms - h->lacks_ms < HALF_DOUBT_MS;
    if (!h->is_doubted_half || !h->was_proved)
        read_halves(h, k);
}

void held_lost_half(struct held *h)
{
    h->n_lacking = 1;
    h->lacks_ms = 1;
}

void held_classify(struct held *h, const Signet__Role__Key *k, const struct config *c, int64_t steady_ms)
{
    const struct alg *was = h->alg;

    h->ring[0] = h->kid[0] = '\0';
    h->trouble = (struct err){ 0 };
    h->alg = NULL;
    take_halves(h, k, steady_ms);
    const struct ring_config *ring = claim(h, k, c);
    /* Else it is read once: whose name was forgotten for want of memory would no longer be the one that was revoked. */
    if (h->alg != was)
        jwk_free(TAKE(h->jwk));
    if (!ring)
        return;
    snprintf(h->ring, sizeof h->ring, "%s", ring->settings.name);
    judge(h, ring);
    distrust(h);
    if (was && was != h->alg)
        h->proof = PROOF_NONE;
}

/* Two HMAC keys of one CKA_ID would have one kid: neither counts. */
static void refuse_same_kids(struct held *const *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            struct held *a = all[i], *b = all[j];
            if (!a->kid[0] || strcmp(a->kid, b->kid) != 0 || a->trouble.reason == ERR_KEY_EXPORTABLE ||
                b->trouble.reason == ERR_KEY_EXPORTABLE)
                continue;
            err_set(&a->trouble, ERR_KEY_UNUSABLE, "its kid '%s' is another key's as well", a->kid);
            b->trouble = a->trouble;
        }
}

/* Foreign ones do not count: anyone could make one that matches. */
static bool is_named(const struct held *h, size_t outside)
{
    return h->ring[0] && h->origin == KEY_OUTSIDE && h->outside == outside && h->is_private && h->n_missing == 0;
}

/* Nobody said which of them is meant: neither signs. */
static void refuse_ambiguous(struct held *const *all, size_t n, const char *uri, size_t outside)
{
    size_t n_named = 0;

    for (size_t i = 0; i < n; i++)
        n_named += is_named(all[i], outside);
    for (size_t i = 0; n_named > 1 && i < n; i++)
        if (is_named(all[i], outside))
            err_set(&all[i]->trouble, ERR_KEY_UNPROVED, "%zu keys of the token match '%.100s': add id=%%XX%%XX to it",
                    n_named, uri);
}

const char *held_custody(const struct held *h, bool tpm2_pkcs11)
{
    if (!h->has_private)
        return "no private half: it only verifies";
    if (held_is_half(h))
        return "made by half";
    if (is_exportable(h))
        return "exportable";
    if (h->ring[0] && !h->local)
        return "imported";
    if (tpm2_pkcs11)                 /* it repeats what it was told */
        return "rests on the TPM";
    return h->local && h->always_sensitive && h->never_extractable ? "made in the token, never left it" : "not proved";
}

void held_compare(struct held *const *all, size_t n, const struct config *c)
{
    size_t outside = 0;

    refuse_same_kids(all, n);
    for (size_t i = 0; i < c->n_rings; i++)
        for (size_t j = 0; j < c->rings[i].n_outside; j++, outside++)
            refuse_ambiguous(all, n, c->rings[i].outside[j].uri, outside);
}

void held_why(const struct held *h, struct err *e)
{
    *e = h->trouble;
    /* A verdict would say that a caller's token is bad, and no token was looked at. */
    if (err_is_verdict(e->reason))
        e->reason = ERR_KEY_UNPROVED;
    err_wrap(e, "key '%.64s'", h->kid[0] ? h->kid : h->label);
}

bool held_usable(const struct held *h)
{
    return h->ring[0] && !h->gone && h->trouble.reason == ERR_NONE;
}

/*
 * That it made the key itself (CKA_LOCAL) is among the last that a token
 * writes, after the label. A private half that was brought was not always
 * sensitive (PKCS#11: C_CreateObject, C_UnwrapKey), and a public one has its
 * point or modulus from the first.
 */
static bool was_brought(const struct held *h)
{
    return !h->local && (h->has_private ? !h->always_sensitive : h->spki != NULL);
}

bool held_is_half(const struct held *h)
{
    if (!h->ring[0] || h->origin == KEY_OUTSIDE || h->was_proved || was_brought(h))
        return false;
    return held_lacks_half(h) || (h->proof == PROOF_FAILED && !h->doubted);
}

bool held_is_owed(const struct held *h)
{
    /* OpenSSL does not say that it had no memory: what it cannot read once it may a moment later. */
    return (held_usable(h) && h->proof == PROOF_NONE) || (h->ring[0] && h->n_lacking == 1) ||
           (h->spki && h->n_unread && h->n_unread < UNREAD_TRIES);
}

bool held_is_named(const struct held *h, const char *name)
{
    char hex[2 * sizeof h->cka_id + 1] = "";

    for (size_t i = 0; i < h->cka_id_len; i++)
        snprintf(hex + 2 * i, 3, "%02x", h->cka_id[i]);
    return *name && strcmp(h->kid[0] ? h->kid : hex, name) == 0;
}
