/* The page and the metrics of a full snapshot. */
#include "daemon/publisher/metrics.h"
#include "daemon/publisher/page.h"
#include "tests/unit/snapshot.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1800000000
#define STEADY 5000000

/* Two minutes of a busy daemon. */
static void live(struct shown *shown)
{
    struct snapshot s;
    struct err e;

    for (int i = 0; i < 125; i++) {
        snapshot_full(&s, NOW);
        s.counters[0].value -= (uint64_t)((124 - i) * 950 + (i % 17 < 9 ? i % 17 : 17 - i % 17) * 60);
        s.counters[2].value -= (uint64_t)(124 - i) / 4;
        for (size_t k = 0; k < 7; k++)
            s.counts[k] *= (uint64_t)(i + 1);
        CU_ASSERT(shown_take(shown, snapshot_message(&s), STEADY - (124 - i) * 1000, &e));
    }
}

/* NULL-terminated text, the caller's to free. */
static char *text_of(struct buf *b)
{
    CU_ASSERT(buf_append_char(b, '\0'));
    char *text = strdup((char *)b->data);
    buf_clear(b);
    return text;
}

static char *page(const struct shown *s, int64_t steady_ms)
{
    struct buf b;

    buf_init(&b, 4 << 20);
    CU_ASSERT(page_write(s, NOW, steady_ms, &b));
    return text_of(&b);
}

static char *metrics(const struct shown *s, bool open, int64_t steady_ms)
{
    struct buf b;

    buf_init(&b, 4 << 20);
    CU_ASSERT(metrics_write(s, open, NOW, steady_ms, &b));
    return text_of(&b);
}

static void has(const char *text, const char *what)
{
    if (!strstr(text, what))
        printf("     not there: %s\n", what);
    CU_ASSERT(strstr(text, what) != NULL);
}

static void has_not(const char *text, const char *what)
{
    if (strstr(text, what))
        printf("     is there: %.120s\n", strstr(text, what));
    CU_ASSERT(strstr(text, what) == NULL);
}

static void the_page_says_all(void)
{
    struct shown s = { 0 };

    live(&s);
    CLEANUP(freep) char *text = page(&s, STEADY + 1000);
    static const char *const there[] = {
        "<title>signet: ready</title>", "1\u202f234\u202f567", "1 of 2", "bbbbbbbb signs", "aaaaaaaa published, signs next",
        "cccccccc retired, its tokens live", "next change: cccccccc leaves the key set in 10m", "QUEUE_FULL",
        "ring &#39;printed&#39; has no key: import one", "uid 1000", ">now</text>", "configuration 3",
    };
    for (size_t i = 0; i < ARRAY_LEN(there); i++)
        has(text, there[i]);
    has_not(text, "dddddddd");
    shown_clear(&s);
}

static void a_stranger_s_text_is_text(void)
{
    struct shown s = { 0 };

    live(&s);
    CLEANUP(freep) char *text = page(&s, STEADY);
    has_not(text, "<script>x");
    has_not(text, "\x1b");
    has(text, "&lt;script&gt;x&lt;/script&gt;&quot;&#39;&amp;");
    has_not(text, " style=");
    has_not(text, " onclick=");
    has_not(text, "src=");
    CLEANUP(freep) char *all = metrics(&s, true, STEADY);
    has(all, "profile=\"<script>x</script>\\\"'&\\\\\\n\x1b[2J\"");
    shown_clear(&s);
}

static void what_is_not_known_is_not_shown(void)
{
    struct shown s = { 0 };

    CLEANUP(freep) char *starting = page(&s, STEADY);
    has(starting, "signetd is starting");
    has(starting, "<title>signet: not ready</title>");
    CLEANUP(freep) char *none = metrics(&s, false, STEADY);
    has(none, "signet_up 0\n");
    live(&s);
    CLEANUP(freep) char *old = page(&s, STEADY + 61000);
    has(old, "The broker has said nothing for 1m1s");
    has(old, "<title>signet: not ready</title>");
    CLEANUP(freep) char *still = metrics(&s, false, STEADY + SHOWN_STALE_MS + 1);
    has(still, "signet_up 0\n");
    has_not(still, "signet_requests");
    shown_clear(&s);
}

static void numbers_to_follow(void)
{
    struct shown s = { 0 };

    live(&s);
    CLEANUP(freep) char *text = metrics(&s, false, STEADY);
    CLEANUP(freep) char *open = metrics(&s, true, STEADY);
    static const char *const both[] = {
        "signet_up 1\n", "signet_requests_total{op=\"sign\",profile=\"web\",outcome=\"limited\",result=\"QUEUE_FULL\"} 40\n",
        "signet_requests_total{op=\"sign\",profile=\"web\",outcome=\"ok\",result=\"OK\"} 1234567\n",
        "signet_requests_total{op=\"verify\",profile=\"\",outcome=\"refused\",result=\"UNKNOWN_PROFILE\"} 1\n",
        "signet_request_duration_seconds_bucket{op=\"sign\",stage=\"token\",le=\"1e-05\"} 0\n",
        "signet_request_duration_seconds_bucket{op=\"sign\",stage=\"token\",le=\"0.001\"} 112500\n",
        "signet_request_duration_seconds_bucket{op=\"sign\",stage=\"token\",le=\"10.0\"} 125000\n",
        "signet_request_duration_seconds_bucket{op=\"sign\",stage=\"token\",le=\"+Inf\"} 125125\n",
        "signet_request_duration_seconds_count{op=\"sign\",stage=\"token\"} 125125\n",
        "signet_request_duration_seconds_sum{op=\"sign\",stage=\"token\"} 12.345678\n",
        "signet_key_next_event_seconds{ring=\"web\",kid=\"aaaaaaaa1111\",token=\"\",event=\"activates\"} 172800\n",
        "signet_key_age_seconds{ring=\"web\",kid=\"bbbbbbbb2222\",token=\"\"} 2419200\n",
        "signet_key_info{ring=\"web\",kid=\"cccccccc3333\",token=\"\",alg=\"ES256\",state=\"retired\",custody=\"exportable\"} 1\n",
        "signet_ring_due_seconds{ring=\"web\",action=\"generate\"} -90\n", "signet_held_bytes 4096\n",
        "# TYPE signet_held_bytes gauge\n",
        "signet_ring_up{ring=\"printed\",alg=\"HS256\"} 0\n", "signet_signers{state=\"failed\"} 1\n", "signet_connections 7\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        has(text, both[i]);
        has(open, both[i]);
    }
    has(text, "# TYPE signet_requests_total counter\n");
    has(open, "# TYPE signet_requests counter\n");
    has(open, "# UNIT signet_request_duration_seconds seconds\n");
    unit_same_str("its end", open + strlen(open) - 6, "# EOF\n");
    has_not(text, "# EOF");
    has(open, "# UNIT signet_held_bytes bytes\n");
    has_not(text, "signet_ring_due_seconds{ring=\"printed\"");
    has_not(text, "newer");
    shown_clear(&s);
}

static void another_broker_counts_anew(void)
{
    struct shown s = { 0 };
    struct snapshot next;
    struct err e;

    live(&s);
    unit_same_int("the most", (long long)s.n_points, SHOWN_POINTS);
    CU_ASSERT(shown_before(&s, 60000) != NULL);
    unit_same_int("a minute", s.points[s.n_points - 1].told_ms - shown_before(&s, 60000)->told_ms, 60000);
    snapshot_full(&next, NOW);
    next.status.pid = 78;
    CU_ASSERT(shown_take(&s, snapshot_message(&next), STEADY + 1000, &e));
    unit_same_int("one", (long long)s.n_points, 1);
    CU_ASSERT(shown_before(&s, 60000) == NULL);
    CLEANUP(freep) char *text = page(&s, STEADY + 1000);
    has(text, "<title>signet: ready</title>");
    shown_clear(&s);
}

static void the_policy_is_of_what_is_there(void)
{
    const char *fields = page_fields();

    CU_ASSERT_FATAL(fields != NULL);
    has(fields, "Content-Security-Policy: default-src 'none'; style-src 'sha256-");
    has_not(fields, "unsafe");
    unit_same_str("its end", fields + strlen(fields) - 2, "\r\n");
}

/* With KEEP_PAGES=FOLDER they are kept there: to be looked at, and for those who read metrics. */
static void keep(const char *name, char *text)
{
    const char *folder = getenv("KEEP_PAGES");
    char path[256];

    snprintf(path, sizeof path, "%s/%s", folder ? folder : "", name);
    FILE *f = folder ? fopen(path, "w") : NULL;
    CU_ASSERT((f != NULL) == (folder != NULL));
    if (f) {
        fputs(text, f);
        fclose(f);
    }
    free(text);
}

static void they_can_be_looked_at(void)
{
    struct shown s = { 0 };

    live(&s);
    keep("page.html", page(&s, STEADY));
    keep("metrics.txt", metrics(&s, false, STEADY));
    keep("metrics.open", metrics(&s, true, STEADY));
    shown_clear(&s);
}

static const struct unit_case cases[] = {
    { "the page says all that is known", the_page_says_all },
    { "a stranger's text is text", a_stranger_s_text_is_text },
    { "what is not known is not shown", what_is_not_known_is_not_shown },
    { "numbers to follow, in both formats", numbers_to_follow },
    { "another broker counts anew", another_broker_counts_anew },
    { "the policy is of what is there", the_policy_is_of_what_is_there },
    { "they can be looked at", they_can_be_looked_at },
};

UNIT_MAIN(cases)
