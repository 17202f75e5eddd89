#include "daemon/publisher/site.h"

#include "daemon/publisher/discovery.h"
#include "daemon/publisher/jwks.h"
#include "daemon/publisher/metrics.h"
#include "daemon/publisher/page.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define PROVED_S 60                  /* a test signature is so young, or the token may be gone */
#define MAX_MADE (4u * 1024 * 1024)  /* bytes of a page: that of 256 rings with 12 keys each has less than one */
#define DISCOVERY_MAX_AGE_S 300u     /* an algorithm changes over in days */

static const char jwks_name[] = "/.well-known/jwks.json", oidc_name[] = "/.well-known/openid-configuration",
                  oauth_name[] = "/.well-known/oauth-authorization-server";

/* Made once for a snapshot and second, however often it is asked for. */
struct made { uint64_t number; int64_t at; struct buf body; };
enum { MADE_PAGE, MADE_METRICS, MADE_OPEN_METRICS, N_MADE };

struct site {
    struct config *config;
    struct places places;
    struct made made[N_MADE];
};

/* What an answer is made of. */
struct asked {
    struct site *site;
    const struct shown *shown;
    const struct http_request *rq;
    int64_t now, steady_ms;
    struct http_reply *r;
};

struct site *site_new(struct config *c)
{
    struct site *s = calloc(1, sizeof *s);

    if (!s || !places_find(c, &s->places)) {
        config_free(c);
        free(s);
        return NULL;
    }
    s->config = c;
    for (size_t i = 0; i < N_MADE; i++)
        buf_init(&s->made[i].body, MAX_MADE);
    return s;
}

void site_free(struct site *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < N_MADE; i++)
        buf_clear(&s->made[i].body);
    places_clear(&s->places);
    config_free(s->config);
    free(s);
}

/* --- of an issuer -------------------------------------------------------------------------------- */

/* Pages of other origins may read what is public anyway, where the operator wants it. */
static void allow_origin(const struct asked *a)
{
    const struct http_config *h = &a->site->config->http;

    a->r->vary_origin = h->n_origins > 0;
    if (h->any_origin)
        a->r->allow_origin = "*";
    for (size_t i = 0; i < h->n_origins; i++)
        if (strcmp(h->origins[i], a->rq->origin) == 0)
            a->r->allow_origin = a->rq->origin;
}

static void answer_jwks(const struct asked *a, const struct place *p)
{
    struct http_reply *r = a->r;
    struct err e;
    uint32_t max_age_s;

    allow_origin(a);
    if (jwks_write(p, a->shown, a->steady_ms, &r->body, &max_age_s, &e)) {
        r->type = "application/jwk-set+json";
        snprintf(r->cache, sizeof r->cache, "public, max-age=%u", max_age_s);
        jwks_etag(&r->body, r->etag);
        return;
    }
    if (e.reason != ERR_UNKNOWN_RING)
        r->retry_after_s = e.retry_after_ms > 1000 ? (e.retry_after_ms + 999) / 1000 : 1;
    /* Strangers are not told the sentence, which names rings and tokens. */
    bool is_hidden = e.reason != ERR_UNKNOWN_RING && a->site->config->http.is_public;
    http_reply_error(r, e.reason == ERR_UNKNOWN_RING ? 404 : 503, err_reason_name(e.reason),
                     is_hidden ? "the key set is not known now" : e.text);
}

static void answer_discovery(const struct asked *a, const struct place *p)
{
    struct http_reply *r = a->r;

    allow_origin(a);
    if (!p->is_https) {
        http_reply_say(r, 404, "there is no such document of '%s': an issuer has one if it is an https URL without query and"
                       " fragment; its key set is at %s%s", p->issuer ? p->issuer : p->path, p->path, jwks_name);
        return;
    }
    if (!discovery_write(p, a->shown, &r->body)) {
        http_reply_say(r, 503, "no memory");
        return;
    }
    r->type = "application/json";
    snprintf(r->cache, sizeof r->cache, "public, max-age=%u", DISCOVERY_MAX_AGE_S);
    jwks_etag(&r->body, r->etag);
}

/* PATH/.well-known/NAME, and of RFC 8414 section 3.1 /.well-known/NAME/PATH. */
static const struct {
    const char *name;
    bool inserted;
    void (*answer)(const struct asked *a, const struct place *p);
} documents[] = {
    { jwks_name, false, answer_jwks }, { oidc_name, false, answer_discovery }, { oauth_name, true, answer_discovery },
};

static bool is_at(const char *path, const char *first, const char *then)
{
    size_t len = strlen(first);

    return strncmp(path, first, len) == 0 && strcmp(path + len, then) == 0;
}

static bool is_there(const struct place *p, size_t document, const char *path)
{
    const char *name = documents[document].name;

    return documents[document].inserted ? is_at(path, name, p->path) : is_at(path, p->path, name);
}

/* The one at that path; where several are, the one that Host names. */
static const struct place *place_at(const struct asked *a, size_t document, size_t *out_n)
{
    const struct places *places = &a->site->places;
    const struct place *found = NULL, *named = NULL;
    char host[HTTP_MAX_VALUE + 1] = "";

    *out_n = 0;
    places_host(a->rq->host, host, sizeof host);
    for (size_t i = 0; i < places->n; i++) {
        const struct place *p = &places->each[i];
        if (!is_there(p, document, a->rq->path))
            continue;
        ++*out_n;
        found = p;
        if (p->host && strcmp(p->host, host) == 0)
            named = p;
    }
    a->r->vary_host = *out_n > 1;
    if (*out_n == 0 && places->n == 1 && strcmp(a->rq->path, jwks_name) == 0)
        return &places->each[0];
    return *out_n > 1 ? named : found;
}

static void say_places(const struct asked *a, const char *what)
{
    const struct places *p = &a->site->places;
    struct http_reply *r = a->r;

    if (a->site->config->http.is_public) {          /* who else is signed for is no stranger's business */
        http_reply_say(r, 404, "%s", what);
        return;
    }
    http_reply_say(r, 404, "%s%s", what, p->n ? "; the key sets are at:" : "");
    for (size_t i = 0; i < p->n; i++)
        buf_printf(&r->body, "%s%s%s%s%s\n", p->each[i].path, jwks_name, p->each[i].issuer ? " of " : "",
                   p->each[i].issuer ? p->each[i].issuer : "", p->each[i].host ? ", by its host" : "");
}

static bool answer_document(const struct asked *a)
{
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        size_t n;
        const struct place *p = place_at(a, i, &n);
        if (p)
            documents[i].answer(a, p);
        else if (n > 1)
            say_places(a, "Several issuers are here, and Host names none of them");
        if (p || n > 1)
            return true;
    }
    if (strcmp(a->rq->path, jwks_name) != 0)
        return false;
    say_places(a, a->site->places.n ? "Several issuers are here, and none has this place" : "No profile has a key to publish");
    return true;
}

/* --- of the daemon -------------------------------------------------------------------------------- */

static void answer_health(const struct asked *a)
{
    http_reply_say(a->r, 200, "ok");
}

/* Strangers are not told why. */
static void not_ready(const struct asked *a, const char *why)
{
    a->r->retry_after_s = 1;
    if (a->site->config->http.is_public || a->rq->is_passed_on)
        http_reply_say(a->r, 503, "not ready");
    else
        http_reply_say(a->r, 503, "not ready: %s", why);
}

static void answer_ready(const struct asked *a)
{
    const Signet__V1__GetStatusReply *s = a->shown->status;

    if (!s)
        not_ready(a, a->shown->message ? "what the broker says cannot be shown" : "signetd is starting");
    else if (!shown_is_fresh(a->shown, a->steady_ms))
        not_ready(a, "the broker has said nothing for a while: it is being replaced, or hangs");
    else if (!s->ready)
        not_ready(a, s->trouble ? s->trouble->text : "signetd does not say why");
    else if (s->proved_at == 0 || a->now - s->proved_at > PROVED_S)
        not_ready(a, "no signature of the token was found good for a minute");
    else
        http_reply_say(a->r, 200, "ready");
}

static bool make(const struct asked *a, int what, struct buf *out)
{
    return what == MADE_PAGE ? page_write(a->shown, a->now, a->steady_ms, out)
                             : metrics_write(a->shown, what == MADE_OPEN_METRICS, a->now, a->steady_ms, out);
}

static void answer_made(const struct asked *a, int what, const char *type)
{
    struct made *m = &a->site->made[what];

    if (m->body.len == 0 || m->number != a->shown->number || m->at != a->now) {
        m->body.len = 0;
        m->number = a->shown->number;
        m->at = a->now;
        if (!make(a, what, &m->body))
            m->body.len = 0;
    }
    if (m->body.len == 0 || !buf_append(&a->r->body, m->body.data, m->body.len)) {
        http_reply_say(a->r, 503, "no memory");
        return;
    }
    a->r->type = type;
    snprintf(a->r->cache, sizeof a->r->cache, "no-store");
}

static void answer_metrics(const struct asked *a)
{
    bool open = http_accepts(a->rq->accept, "application/openmetrics-text");

    a->r->vary_accept = true;
    answer_made(a, open ? MADE_OPEN_METRICS : MADE_METRICS, open ? metrics_open_type : metrics_text_type);
}

static void answer_index(const struct asked *a)
{
    a->r->more = page_fields();
    if (a->r->more)
        answer_made(a, MADE_PAGE, "text/html; charset=utf-8");
    else
        http_reply_say(a->r, 503, "the page has no policy, and is not shown without one");
}

static const struct {
    const char *path;
    void (*answer)(const struct asked *a);
    bool is_private;
} pages[] = {
    { "/healthz", answer_health, false }, { "/readyz", answer_ready, false }, { "/metrics", answer_metrics, true },
    { "/", answer_index, true },
};

/* An address, localhost, or an issuer's: no name that a stranger could have made to point here. */
static bool is_ours(const struct site *s, const char *host)
{
    char name[HTTP_MAX_VALUE + 1];
    struct in6_addr address;
    size_t len;

    snprintf(name, sizeof name, "%s", host);
    char *colon = strrchr(name, ':');
    if (colon && colon[1 + strspn(colon + 1, "0123456789")] == '\0' && (name[0] != '[' || colon[-1] == ']'))
        *colon = '\0';
    len = strlen(name);
    if (len == 0 || strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &address) == 1)
        return true;
    if (name[0] == '[' && name[len - 1] == ']') {
        name[len - 1] = '\0';
        return inet_pton(AF_INET6, name + 1, &address) == 1;
    }
    for (size_t i = 0; i < s->places.n; i++) {
        const char *issuer = s->places.each[i].host;
        size_t issuer_len = issuer ? strcspn(issuer, ":") : 0;
        if (issuer && issuer_len == len && strncasecmp(issuer, name, len) == 0)
            return true;
    }
    return false;
}

static bool answer_page(const struct asked *a)
{
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (strcmp(pages[i].path, a->rq->path) != 0)
            continue;
        if (pages[i].is_private && a->site->config->http.is_public)
            return false;
        if (pages[i].is_private && a->rq->is_passed_on)
            http_reply_say(a->r, 403, "this is for who asks on this machine, and a proxy passed it on for someone else: have it"
                           " pass on /.well-known alone");
        else if (pages[i].is_private && !is_ours(a->site, a->rq->host))
            http_reply_say(a->r, 421, "this is not '%s': ask by an address, localhost or an issuer's name", a->rq->host);
        else
            pages[i].answer(a);
        return true;
    }
    return false;
}

void site_answer(struct site *s, const struct shown *shown, const struct http_request *rq, int64_t now, int64_t steady_ms,
                 struct http_reply *r)
{
    const struct asked a = { s, shown, rq, now, steady_ms, r };

    if (!answer_document(&a) && !answer_page(&a))
        http_reply_say(r, 404, "there is nothing at this path");
}
