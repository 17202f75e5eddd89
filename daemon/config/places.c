#include "daemon/config/places.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- of an issuer ------------------------------------------------------------------------------ */

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

bool places_host(const char *text, char *out, size_t size)
{
    size_t len = strlen(text);

    if (len >= size)
        return false;
    for (size_t i = 0; i <= len; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
    if (ends_with(out, ":443"))
        out[len - 4] = '\0';
    else if (ends_with(out, ":80"))
        out[len - 3] = '\0';
    return true;
}

/* Past https:// or http://, or NULL. */
static const char *after_scheme(const char *issuer, bool *out_https)
{
    *out_https = strncasecmp(issuer, "https://", 8) == 0;
    return *out_https ? issuer + 8 : strncasecmp(issuer, "http://", 7) == 0 ? issuer + 7 : NULL;
}

/* One that is no URL with a host has its place at the root. False: no memory. */
static bool take_issuer(struct place *p, const char *issuer)
{
    bool https;
    const char *host = after_scheme(issuer, &https);
    size_t host_len = host ? strcspn(host, "/?#") : 0;
    bool is_url = host_len > 0 && !memchr(host, '@', host_len);
    const char *path = is_url ? host + host_len : "";
    size_t path_len = strcspn(path, "?#");

    p->issuer = issuer;
    p->is_https = is_url && https && !path[path_len];
    if (path_len > 0 && path[path_len - 1] == '/')
        path_len--;
    p->path = strndup(path, path_len);
    if (!is_url)
        return p->path;
    CLEANUP(freep) char *as_written = strndup(host, host_len);
    p->host = malloc(host_len + 1);
    return p->path && p->host && as_written && places_host(as_written, p->host, host_len + 1);
}

/* --- all of them ------------------------------------------------------------------------------- */

static struct place *place_of(struct places *p, const char *issuer)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->each[i].issuer && strcmp(p->each[i].issuer, issuer) == 0)
            return &p->each[i];
    return NULL;
}

static bool add_ring(struct place *p, const struct ring_config *ring, size_t n_rings)
{
    if (!p->rings && !(p->rings = calloc(n_rings, sizeof *p->rings)))
        return false;
    for (size_t i = 0; i < p->n_rings; i++)
        if (p->rings[i] == ring)
            return true;
    size_t at = p->n_rings++;
    for (; at > 0 && p->rings[at - 1] > ring; at--)
        p->rings[at] = p->rings[at - 1];
    p->rings[at] = ring;
    return true;
}

static bool add_issuer(struct places *p, const struct profile *profile, const struct ring_config *ring, size_t n_rings)
{
    struct place *place = place_of(p, profile->issuer);

    if (!place && !take_issuer(place = &p->each[p->n++], profile->issuer))
        return false;
    return add_ring(place, ring, n_rings);
}

static bool add_raw(struct places *p, const struct ring_config *ring)
{
    struct place *place = &p->each[p->n++];

    return asprintf(&place->path, "/rings/%s", ring->settings.name) >= 0 && add_ring(place, ring, 1);
}

bool places_find(const struct config *c, struct places *out)
{
    bool ok = (out->each = calloc(c->n_profiles + 1, sizeof *out->each));

    out->n = 0;
    for (size_t i = 0; ok && i < c->n_profiles; i++) {
        const struct profile *p = &c->profiles[i];
        const struct ring_config *ring = p->ring ? config_ring(c, p->ring) : NULL;
        if (ring && p->issuer)
            ok = add_issuer(out, p, ring, c->n_rings);
        else if (ring && p->raw && ring->publish)
            ok = add_raw(out, ring);
    }
    if (!ok)
        places_clear(out);
    return ok;
}

void places_clear(struct places *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->each[i].host);
        free(p->each[i].path);
        free(p->each[i].rings);
    }
    free(p->each);
    *p = (struct places){ 0 };
}

bool places_collide(const struct place *a, const struct place *b)
{
    return strcmp(a->path, b->path) == 0 && (!a->host || !b->host || strcmp(a->host, b->host) == 0);
}
