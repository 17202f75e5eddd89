/*
 * shop: shop.js's greeting, in C: who comes is who the token in the cookie
 * says, verified here, with signet's public keys. No secret, no store of
 * sessions.
 *
 *     cc shop.c $(pkg-config --cflags --libs signet libevent_core libevent_extra jansson)
 *     ./a.out PORT LOGIN-ORIGIN STYLE-SHEET
 */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <fcntl.h>
#include <jansson.h>
#include <signet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COOKIES 8192             /* bytes */
#define MAX_HEADERS 16384
#define READ_WITHIN_S 10
#define MAX_WAIT_MS 500              /* for a new key set, while nobody else is served */
#define COOKIE "session="
#define COOKIE_HTTPS "__Host-session="

struct shop { struct signet_local *local; const char *login, *cookie, *style; };

/* Text of others' making into the page. */
static void add_escaped(struct evbuffer *out, const char *text)
{
    char *safe = evhttp_htmlescape(text);

    evbuffer_add_printf(out, "%s", safe ? safe : "");
    free(safe);
}

static void answer(struct evhttp_request *rq, int status, const char *title, const char *text, const struct shop *shop,
                   const char *link)
{
    struct evkeyvalq *h = evhttp_request_get_output_headers(rq);
    struct evbuffer *out = evhttp_request_get_output_buffer(rq);

    evhttp_add_header(h, "Content-Type", "text/html; charset=utf-8");
    evhttp_add_header(h, "Content-Security-Policy",
                      "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'");
    evhttp_add_header(h, "X-Content-Type-Options", "nosniff");
    evhttp_add_header(h, "Referrer-Policy", "strict-origin");
    evhttp_add_header(h, "Cache-Control", "no-store");
    evbuffer_add_printf(out, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
                        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                        "<meta name=\"color-scheme\" content=\"light dark\"><title>Shop in C</title>"
                        "<link rel=\"stylesheet\" href=\"/public/style.css\">"
                        "<main><section class=\"card narrow\"><h1>");
    add_escaped(out, title);
    evbuffer_add_printf(out, "</h1><p>");
    add_escaped(out, text);
    evbuffer_add_printf(out, "</p><p><a class=\"button\" href=\"%s\">%s</a></p></section></main></html>\n", shop->login,
                        link);
    evhttp_send_reply(rq, status, NULL, NULL);
}

/* The session's token, to be freed; NULL: there is none, or (*n > 1) more than one. */
static char *token_of(const char *cookies, const char *name, int *n)
{
    char *found = NULL;

    *n = 0;
    for (const char *c = cookies; c && *c; c += strcspn(c, ";")) {
        c += strspn(c, "; ");
        if (strncmp(c, name, strlen(name)) == 0 && (*n)++ == 0)
            found = strndup(c + strlen(name), strcspn(c, ";") - strlen(name));
    }
    if (*n != 1) {
        free(found);
        found = NULL;
    }
    return found;
}

static void greet(struct evhttp_request *rq, const struct shop *shop, const struct signet_verified *v)
{
    const char *name = "", *role = "";
    char title[600], text[600];
    json_t *claims = json_loadb(v->payload, v->payload_len, 0, NULL);

    if (claims)
        json_unpack(claims, "{s?s, s?s}", "name", &name, "role", &role);
    snprintf(title, sizeof title, "Hello, %s", name);
    snprintf(text, sizeof text, "You are here as %s. This shop is one small file of C. It has never seen your password; "
             "it checked your token by itself, with signet's public key %s.",
             role, v->kid);
    answer(rq, HTTP_OK, title, text, shop, "To the login page");
    json_decref(claims);
}

static void look_at_token(struct evhttp_request *rq, const struct shop *shop, const char *cookies)
{
    struct signet_error why;
    char text[600];
    int n;
    char *token = token_of(cookies, shop->cookie, &n);
    struct signet_verified *v = token ? signet_local_verify(shop->local, token, strlen(token), "web-session", "shop", &why)
                                      : NULL;

    snprintf(text, sizeof text, "Refused: %s: %s.", token ? why.reason : "MALFORMED",
             token ? why.text : "the browser sent two sessions at once");
    if (v)
        greet(rq, shop, v);
    else if (n == 0)
        answer(rq, 401, "Please log in", "The shop knows you by the token that you get when you log in.", shop, "Log in");
    else if (!token || signet_error_is_verdict(&why))
        answer(rq, 401, "Please log in again", text, shop, "Log in");
    else                                       /* it could not be judged, which says nothing about it */
        answer(rq, HTTP_SERVUNAVAIL, "Not now", text, shop, "To the login page");
    signet_verified_free(v);
    free(token);
}

/* evhttp would take a HEAD's body for the next request: behind a proxy that is somebody else's. A GET's is 413 by itself. */
static bool has_body(struct evhttp_request *rq)
{
    struct evkeyvalq *asked = evhttp_request_get_input_headers(rq);

    if (!evhttp_find_header(asked, "Content-Length") && !evhttp_find_header(asked, "Transfer-Encoding"))
        return false;
    evhttp_add_header(evhttp_request_get_output_headers(rq), "Connection", "close");
    evhttp_send_error(rq, HTTP_BADREQUEST, "a request has no body here");
    return true;
}

static void front(struct evhttp_request *rq, void *arg)
{
    const struct shop *shop = arg;
    const char *cookies = evhttp_find_header(evhttp_request_get_input_headers(rq), "Cookie");

    if (has_body(rq))
        return;
    if (cookies && strlen(cookies) > MAX_COOKIES)
        answer(rq, 431, "Too many cookies", "Your browser sent more than 8192 bytes of them. Delete this site's cookies.",
               shop, "To the login page");
    else if (evhttp_uri_get_query(evhttp_request_get_evhttp_uri(rq)))
        answer(rq, HTTP_BADREQUEST, "A token in the address", "This page takes nothing in its address, where a token would "
               "be logged and passed on: what stands there is refused, good or not.", shop, "To the login page");
    else
        look_at_token(rq, shop, cookies);
}

static void style(struct evhttp_request *rq, void *arg)
{
    const struct shop *shop = arg;

    if (has_body(rq))
        return;
    evhttp_add_header(evhttp_request_get_output_headers(rq), "Content-Type", "text/css; charset=utf-8");
    evhttp_add_header(evhttp_request_get_output_headers(rq), "Cache-Control", "max-age=300");
    if (evbuffer_add_file(evhttp_request_get_output_buffer(rq), open(shop->style, O_RDONLY | O_CLOEXEC), 0, -1) == 0)
        evhttp_send_reply(rq, HTTP_OK, NULL, NULL);
    else
        evhttp_send_error(rq, HTTP_INTERNAL, NULL);
}

int main(int argc, char **argv)
{
    struct signet_error why = { .text = "usage: shop PORT LOGIN-ORIGIN STYLE-SHEET" };
    struct event_base *base = event_base_new();
    struct evhttp *http = base ? evhttp_new(base) : NULL;
    struct shop shop = { .local = argc == 4 ? signet_local_open(NULL, &why) : NULL };

    if (!http || !shop.local) {
        fprintf(stderr, "shop: %s\n", why.text);
        return 2;
    }
    signet_local_set_wait(shop.local, MAX_WAIT_MS);
    shop.login = argv[2];
    shop.cookie = strncmp(shop.login, "https:", 6) == 0 ? COOKIE_HTTPS : COOKIE;
    shop.style = argv[3];
    evhttp_set_max_headers_size(http, MAX_HEADERS);
    evhttp_set_max_body_size(http, 0);
    evhttp_set_timeout(http, READ_WITHIN_S);
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_cb(http, "/", front, &shop);
    evhttp_set_cb(http, "/public/style.css", style, &shop);
    if (evhttp_bind_socket(http, "127.0.0.1", atoi(argv[1])) < 0) {
        fprintf(stderr, "shop: port %s of 127.0.0.1 cannot be had\n", argv[1]);
        return 1;
    }
    printf("cshop: http://localhost:%s/\n", argv[1]);
    fflush(stdout);
    event_base_dispatch(base);
    return 0;
}
