/*
 * http: a connection's bytes, one request after the other, each answered by a
 * site that knows its keys. What is refused says why and ends it; what is
 * answered is one reply, whose body is as long as it says.
 */
#include "tests/fuzz/fuzz.h"

#include "daemon/publisher/site.h"
#include "tests/unit/snapshot.h"

#define NOW 1800000000
#define STEADY 5000000

static struct site *site;
static struct shown shown;

static void begin(void)
{
    static const char text[] =
        "token: {module: m, uri: 'pkcs11:token=t'}\nrings: {web: {alg: ES256}, b: {alg: EdDSA}}\n"
        "http: {listen: 127.0.0.1:80, cors: ['https://o.example']}\nprofiles:\n"
        "  x: {ring: web, issuer: 'https://i.example', audiences: [x]}\n"
        "  y: {ring: b, issuer: 'https://j.example', audiences: [y]}\n";
    struct snapshot s;
    struct buf mistakes;
    struct err e;

    buf_init(&mistakes, 4096);
    site = site_new(config_parse(text, sizeof text - 1, "f", NULL, &mistakes));
    snapshot_full(&s, NOW);
    snapshot_set(&s, "web", "{\"keys\":[{\"kid\":\"1\"}]}", 900, 500);
    snapshot_set(&s, "b", "{\"keys\":[{\"kid\":\"2\"}]}", 900, 500);
    MUST(site && shown_take(&shown, snapshot_message(&s), STEADY, &e));
}

/* One reply: a head that ends, no line of ours in it that a request wrote, and after it as much as it says. */
static void check(const struct buf *out, const struct http_request *rq)
{
    const uint8_t *end = memmem(out->data, out->len, "\r\n\r\n", 4);

    MUST(end && memcmp(out->data, "HTTP/1.1 ", 9) == 0);
    size_t head = (size_t)(end - out->data) + 4, fields = 0;
    for (size_t i = 0; i + 1 < head; i++) {
        MUST(out->data[i] != '\0' && (out->data[i] != '\n' || out->data[i - 1] == '\r'));
        fields += out->data[i] == '\n';
    }
    MUST(fields <= 20);
    const char *length = memmem(out->data, head, "Content-Length: ", 16);
    size_t want = length && !rq->is_head ? strtoul(length + 16, NULL, 10) : 0;
    MUST(out->len - head == want);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    enum http_read got = HTTP_READY;

    if (!site)
        begin();
    while (got == HTTP_READY) {
        struct http_request rq;
        struct http_reply r;
        struct buf out;
        size_t used = 0;
        int status = 0;
        const char *why = NULL;

        got = http_read(in, len, &rq, &used, &status, &why);
        if (got == HTTP_MORE)
            break;
        http_reply_init(&r);
        buf_init(&out, 16 << 20);
        if (got == HTTP_BAD) {
            MUST(rq.closes && status >= 400 && status < 600 && why && *why);
            http_reply_say(&r, status, "%s", why);
        } else {
            MUST(used > 0 && used <= len && used <= HTTP_MAX_HEAD && rq.path[0] == '/');
            site_answer(site, &shown, &rq, NOW, STEADY, &r);
            in += used;
            len -= used;
        }
        MUST(http_write(&out, &rq, &r, NOW));
        check(&out, &rq);
        buf_clear(&out);
        http_reply_clear(&r);
    }
    return 0;
}
