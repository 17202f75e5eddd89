/* The report in sentences. */
#include "daemon/rehearsal/rehearsal.h"

#include <string.h>

static const char *const kind_names[] = {
    [FOUND_NOTHING] = "nothing", [FOUND_SIGNED_EARLY] = "signed-early", [FOUND_SIGNED_UNPUBLISHED] = "signed-unpublished",
    [FOUND_DESTROYED_EARLY] = "destroyed-early", [FOUND_DESTROYED_IN_MAKING] = "destroyed-in-making",
    [FOUND_WITHDRAWN_EARLY] = "withdrawn-early", [FOUND_PUBLISHED_LATE] = "published-late", [FOUND_REJECTED] = "rejected",
    [FOUND_REVOKED_USED] = "revoked-used", [FOUND_TOO_MANY] = "too-many",
};

const char *rehearsal_kind_name(enum rehearsal_kind k)
{
    return kind_names[k];
}

void rehearsal_say_span(int64_t s, struct buf *out)
{
    static const struct { int64_t s; const char *name; } units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "m" }, { 1, "s" } };
    const char *sign = s < 0 ? "-" : "";
    uint64_t left = s < 0 ? -(uint64_t)s : (uint64_t)s;

    if (left == 0)
        buf_append_str(out, "0s");
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        uint64_t n = left / (uint64_t)units[i].s;
        if (n == 0)
            continue;
        buf_printf(out, "%s%llu%s", sign, (unsigned long long)n, units[i].name);
        left -= n * (uint64_t)units[i].s;
        sign = "";
    }
}

void rehearsal_say_moment(int64_t at, struct buf *out)
{
    buf_printf(out, "day %lld, %02d:%02d:%02d", (long long)(at / 86400), (int)(at % 86400 / 3600), (int)(at % 3600 / 60),
               (int)(at % 60));
}

/* %k the key, %d the daemon, %n its keys, %s the server, %c when the copy was taken, %i and %e a token's life, %m max-age. */
static const char *const sentences[] = {
    [FOUND_SIGNED_EARLY] = "daemon %d signs with key %k before its time",
    [FOUND_SIGNED_UNPUBLISHED] = "daemon %d signs with key %k, which is not in its own key set",
    [FOUND_DESTROYED_EARLY] = "daemon %d destroys key %k while its tokens may live",
    [FOUND_DESTROYED_IN_MAKING] = "daemon %d destroys key %k, which another is making",
    [FOUND_WITHDRAWN_EARLY] = "daemon %d takes key %k out of its key set before its end",
    [FOUND_PUBLISHED_LATE] = "daemon %d knows key %k and does not publish it",
    [FOUND_REJECTED] = "a living token is rejected: daemon %d signed it with key %k on %i, until %e; a verifier's copy of"
                       " the key set, from daemon %s on %c and good for %m, has no such key",
    [FOUND_REVOKED_USED] = "daemon %d uses key %k, which it knows to be revoked",
    [FOUND_TOO_MANY] = "daemon %d publishes %n keys, and some verifiers read no more than 100",
};

static void say_one(char what, const struct ring_settings *s, const struct rehearsal_finding *f, struct buf *out)
{
    switch (what) {
    case 'k': buf_printf(out, "%zu", f->key); break;
    case 'd': buf_printf(out, "%u", f->daemon); break;
    case 's': buf_printf(out, "%u", f->server); break;
    case 'n': buf_printf(out, "%zu", f->n_published); break;
    case 'c': rehearsal_say_moment(f->copied_at, out); break;
    case 'i': rehearsal_say_moment(f->signed_at, out); break;
    case 'e': rehearsal_say_moment(f->expires_at, out); break;
    case 'm': rehearsal_say_span(s->max_age, out); break;
    }
}

void rehearsal_say_found(const struct ring_settings *s, const struct rehearsal_finding *f, struct buf *out)
{
    if (f->kind == FOUND_NOTHING) {
        buf_append_str(out, "no living token was ever without its published key");
        return;
    }
    rehearsal_say_moment(f->at, out);
    buf_append_str(out, ": ");
    for (const char *at = sentences[f->kind]; *at; at++)
        if (*at == '%')
            say_one(*++at, s, f, out);
        else
            buf_append_char(out, *at);
}

void rehearsal_say_margin(const struct rehearsal_report *r, const struct rehearsal_margin *m, struct buf *out)
{
    static const char *const of[N_REHEARSAL_MARGINS] = {
        [MARGIN_KNOWN] = "between the last use of a copy without key %zu, from daemon %u, and its first signature, by"
                         " daemon %u",
        [MARGIN_PUBLISHED] = "between the death of key %zu's last token and the first key set without it, daemon %u's;"
                             " daemon %u had signed it",
        [MARGIN_KEPT] = "between the death of key %zu's last token and its destruction, by daemon %u; daemon %u had"
                        " signed it",
    };

    rehearsal_say_span(m->seconds, out);
    buf_append_char(out, ' ');
    /* The words are a table's; each has these three. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    buf_printf(out, of[m - r->margins], m->key, m->server, m->daemon);
#pragma GCC diagnostic pop
    buf_append_str(out, ", on ");
    rehearsal_say_moment(m->at, out);
}

void rehearsal_say_changes(const struct rehearsal_change *c, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "%s%s: ", i ? ", " : "", c[i].setting);
        rehearsal_say_span(c[i].is, out);
        buf_append_str(out, " (now ");
        rehearsal_say_span(c[i].was, out);
        buf_append_char(out, ')');
    }
}
