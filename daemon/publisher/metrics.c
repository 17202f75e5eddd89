#include "daemon/publisher/metrics.h"

#include "proto/cleanup.h"
#include "proto/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char metrics_text_type[] = "text/plain; version=0.0.4; charset=utf-8";
const char metrics_open_type[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";

typedef Signet__V1__GetStatusReply Status;

struct writing {
    struct buf *out;
    bool open, ok;                   /* open: OpenMetrics */
    const Status *status;
    const Signet__V1__ListKeysReply *keys;
    int64_t now;
    const char *name, *type;         /* of the family being written */
};

/* --- samples ----------------------------------------------------------------------------------------- */

static void put(struct writing *w, const char *text)
{
    w->ok = w->ok && buf_append_str(w->out, text);
}

/* HELP and TYPE. A counter's samples end in _total, which OpenMetrics does not count as part of its name. */
static void family(struct writing *w, const char *name, const char *type, const char *unit, const char *help)
{
    const char *total = strcmp(type, "counter") == 0 && !w->open ? "_total" : "";

    w->name = name;
    w->type = type;
    w->ok = w->ok && buf_printf(w->out, "# HELP signet_%s%s %s\n# TYPE signet_%s%s %s\n", name, total, help, name, total, type);
    if (w->open && unit)
        w->ok = w->ok && buf_printf(w->out, "# UNIT signet_%s %s\n", name, unit);
}

struct label { const char *name, *value; };

/* In quotes: \, " and line ends have escapes, what is no UTF-8 is none of ours to show. */
static void put_value(struct writing *w, const char *value)
{
    if (!wire_utf8((const uint8_t *)value, strlen(value)))
        value = "?";
    for (; *value && w->ok; value++)
        w->ok = *value == '\n' ? buf_append_str(w->out, "\\n")
              : *value == '\\' || *value == '"' ? buf_append_char(w->out, '\\') && buf_append_char(w->out, *value)
              : buf_append_char(w->out, *value);
}

static void put_labels(struct writing *w, const struct label *labels, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        w->ok = w->ok && buf_printf(w->out, "%s%s=\"", i ? "," : "{", labels[i].name);
        put_value(w, labels[i].value);
        put(w, "\"");
    }
    if (n)
        put(w, "}");
}

/* As everyone's float is written: the fewest digits that say it, with a fraction. */
static void number(double value, char out[40])
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, 40, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    if (value >= 1 && value < 1e15 && value == (double)(int64_t)value)
        snprintf(out, 40, "%lld.0", (long long)value);
    else if (value == 0)
        snprintf(out, 40, "0.0");
}

static void sample(struct writing *w, const char *suffix, const struct label *labels, size_t n, const char *value)
{
    w->ok = w->ok && buf_printf(w->out, "signet_%s%s", w->name, suffix);
    put_labels(w, labels, n);
    w->ok = w->ok && buf_printf(w->out, " %s\n", value);
}

static void whole(struct writing *w, const struct label *labels, size_t n, uint64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    sample(w, strcmp(w->type, "counter") == 0 ? "_total" : "", labels, n, text);
}

static void seconds(struct writing *w, const struct label *labels, size_t n, int64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", (long long)value);
    sample(w, "", labels, n, text);
}

static void alone(struct writing *w, const char *name, const char *unit, const char *help, int64_t value)
{
    family(w, name, "gauge", unit, help);
    seconds(w, NULL, 0, value);
}

/* --- the daemon ----------------------------------------------------------------------------------------- */

static void put_daemon(struct writing *w)
{
    const Status *s = w->status;

    family(w, "build_info", "gauge", NULL, "What runs; always 1.");
    whole(w, (struct label[]){ { "version", s->version } }, 1, 1);
    alone(w, "ready", NULL, "1 where it signs and verifies.", s->ready);
    alone(w, "start_time_seconds", "seconds", "When the broker began, in Unix time; counters count from then.", s->started_at);
    alone(w, "proved_time_seconds", "seconds", "When a signature of the token was last found good, in Unix time; 0: not yet.",
          s->proved_at);
    alone(w, "config_generation", NULL, "Number of the configuration in force: reloads add one.", s->config_generation);
    alone(w, "notices", NULL, "Things that an operator should know; signet status --admin says them.", (int64_t)s->n_notices);
}

/* Whose matter it is: of several reasons one can be told from the other without knowing them all. */
static const char *outcome(const char *result)
{
    enum err_reason reason = err_reason_by_name(result);

    if (strcmp(result, "OK") == 0)
        return "ok";
    if (err_is_verdict(reason))
        return "rejected";
    switch (err_code(reason)) {
    case CODE_INVALID_ARGUMENT: case CODE_NOT_FOUND: case CODE_PERMISSION_DENIED: case CODE_UNIMPLEMENTED: return "refused";
    case CODE_RESOURCE_EXHAUSTED: return "limited";
    default: return "failed";
    }
}

static void put_requests(struct writing *w)
{
    const Status *s = w->status;

    family(w, "requests", "counter", NULL, "Requests answered, by operation, profile, outcome and result: OK, or"
           " the reason. rejected: the token's fault; refused: the caller's; limited: too much at once; failed: neither's.");
    for (size_t i = 0; i < s->n_results; i++) {
        const Signet__V1__ResultStatus *r = s->results[i];
        whole(w, (struct label[]){ { "op", r->op }, { "profile", r->profile },
                                   { "outcome", outcome(r->result) }, { "result", r->result } }, 4, r->n);
    }
}

static void put_stage(struct writing *w, const Signet__V1__StageStatus *s)
{
    struct label labels[] = { { "op", s->op }, { "stage", s->stage }, { "le", "+Inf" } };
    uint64_t so_far = 0;
    char text[40];

    for (size_t i = 0; i < s->n_bounds_us && i + 1 < s->n_counts; i++) {
        char le[40];
        number(s->bounds_us[i] / 1e6, le);
        labels[2].value = le;
        so_far += s->counts[i];
        snprintf(text, sizeof text, "%llu", (unsigned long long)so_far);
        sample(w, "_bucket", labels, 3, text);
    }
    for (size_t i = s->n_bounds_us; i < s->n_counts; i++)
        so_far += s->counts[i];
    labels[2].value = "+Inf";
    snprintf(text, sizeof text, "%llu", (unsigned long long)so_far);
    sample(w, "_bucket", labels, 3, text);
    sample(w, "_count", labels, 2, text);
    number((double)s->sum_us / 1e6, text);
    sample(w, "_sum", labels, 2, text);
}

static void put_stages(struct writing *w)
{
    family(w, "request_duration_seconds", "histogram", "seconds", "How long requests took, by stage: queue, until a signer or"
           " verifier had it; token, there; total, from frame to reply.");
    for (size_t i = 0; i < w->status->n_stages; i++)
        put_stage(w, w->status->stages[i]);
}

static const struct { const char *name, *type, *unit, *help; } counters[] = {
    { "signed_tokens", "counter", NULL, "Tokens signed and released." },
    { "verified_tokens", "counter", NULL, "Tokens verified and accepted." },
    { "rejected_tokens", "counter", NULL, "Tokens judged, and not to be trusted." },
    { "refused_requests", "counter", NULL, "Requests refused by policy, limits or for what they are." },
    { "late_requests", "counter", NULL, "Requests ended by their deadline." },
    { "unavailable_requests", "counter", NULL, "Requests that failed through no fault of their caller." },
    { "wrong_signatures", "counter", NULL, "Signatures of the token that were wrong, and not released." },
    { "accepted_connections", "counter", NULL, "Connections accepted." },
    { "refused_connections", "counter", NULL, "Connections refused for a limit." },
    { "broken_connections", "counter", NULL, "Connections closed for what they sent, or for sending half of it." },
    { "connections", "gauge", NULL, "Connections open now." },
    { "requests_in_flight", "gauge", NULL, "Requests not answered yet." },
    { "waiting_for_signers", "gauge", NULL, "Jobs that wait for a signer." },
    { "longest_queue", "gauge", NULL, "Jobs that wait of the uid that has most of them." },
    { "held_bytes", "gauge", "bytes", "What requests and replies of all callers hold, about." },
    { "max_connections", "gauge", NULL, "Connections that may be open." },
    { "max_queue", "gauge", NULL, "Jobs of one uid that may wait." },
    { "max_held_bytes", "gauge", "bytes", "What requests and replies of all callers may hold." },
};

static void put_counters(struct writing *w)
{
    for (size_t i = 0; i < w->status->n_counters; i++)
        for (size_t k = 0; k < ARRAY_LEN(counters); k++) {
            const Signet__V1__CounterStatus *c = w->status->counters[i];
            if (strcmp(c->name, counters[k].name) != 0)
                continue;
            family(w, counters[k].name, counters[k].type, counters[k].unit, counters[k].help);
            whole(w, NULL, 0, c->value);
        }
}

/* --- tokens and signers ----------------------------------------------------------------------------------- */

static const Signet__V1__TokenStatus *token_at(const Status *s, size_t i)
{
    return i == 0 ? s->token : i <= s->n_more_tokens ? s->more_tokens[i - 1] : NULL;
}

static void put_tokens(struct writing *w)
{
    const Signet__V1__TokenStatus *t;

    family(w, "token_up", "gauge", NULL, "1 where the token can be used.");
    for (size_t i = 0; (t = token_at(w->status, i)); i++)
        whole(w, (struct label[]){ { "token", t->name } }, 1, !t->trouble);
    family(w, "token_info", "gauge", NULL, "Which token it is; always 1.");
    for (size_t i = 0; (t = token_at(w->status, i)); i++)
        whole(w, (struct label[]){ { "token", t->name }, { "label", t->label }, { "manufacturer", t->manufacturer },
                                   { "model", t->model }, { "serial", t->serial } }, 5, 1);
}

static void put_signers(struct writing *w)
{
    static const char *const states[] = { "starting", "ready", "failed", "hung" };
    const Status *s = w->status;
    char numbers[16];

    family(w, "signers", "gauge", NULL, "Signers, by state.");
    for (size_t k = 0; k < ARRAY_LEN(states); k++) {
        size_t n = 0;
        for (size_t i = 0; i < s->n_signers; i++)
            n += strcmp(s->signers[i]->state, states[k]) == 0;
        whole(w, (struct label[]){ { "state", states[k] } }, 1, n);
    }
    family(w, "signer_restarts", "counter", NULL, "Times that a signer was replaced.");
    for (size_t i = 0; i < s->n_signers; i++) {
        snprintf(numbers, sizeof numbers, "%u", s->signers[i]->number);
        whole(w, (struct label[]){ { "signer", numbers } }, 1, s->signers[i]->restarts);
    }
    family(w, "signer_signatures", "counter", NULL, "Signatures that a signer made.");
    for (size_t i = 0; i < s->n_signers; i++) {
        snprintf(numbers, sizeof numbers, "%u", s->signers[i]->number);
        whole(w, (struct label[]){ { "signer", numbers } }, 1, s->signers[i]->signatures);
    }
}

/* --- rings and keys ------------------------------------------------------------------------------------------ */

static void put_rings(struct writing *w)
{
    const Status *s = w->status;

    family(w, "ring_up", "gauge", NULL, "1 where a ring has a key that signs.");
    for (size_t i = 0; i < s->n_rings; i++)
        whole(w, (struct label[]){ { "ring", s->rings[i]->name }, { "alg", s->rings[i]->alg } }, 2, !s->rings[i]->trouble);
    family(w, "ring_published_keys", "gauge", NULL, "Keys of the ring that are in the key set.");
    for (size_t i = 0; i < s->n_rings; i++)
        whole(w, (struct label[]){ { "ring", s->rings[i]->name } }, 1, s->rings[i]->n_published);
    family(w, "ring_rotation_failing", "gauge", NULL, "1 where a ring's next key could not be made.");
    for (size_t i = 0; i < s->n_rings; i++)
        whole(w, (struct label[]){ { "ring", s->rings[i]->name } }, 1, s->rings[i]->rotation_trouble != NULL);
    family(w, "ring_next_key_seconds", "gauge", "seconds", "Seconds until a ring's next key signs; none where none is made yet.");
    for (size_t i = 0; i < s->n_rings; i++)
        if (s->rings[i]->next_activates_at)
            seconds(w, (struct label[]){ { "ring", s->rings[i]->name } }, 1, s->rings[i]->next_activates_at - w->now);
    family(w, "ring_due_seconds", "gauge", "seconds", "Seconds until signetd is to do the next thing with a ring's keys: to"
           " generate, promote or destroy one; below 0: since when it was to.");
    for (size_t i = 0; i < s->n_rings; i++)
        if (s->rings[i]->due_at)
            seconds(w, (struct label[]){ { "ring", s->rings[i]->name }, { "action", s->rings[i]->due } }, 2,
                    s->rings[i]->due_at - w->now);
}

#define KEY_LABELS(k) { "ring", (k)->ring }, { "kid", (k)->kid }, { "token", (k)->token }

static bool is_shown(const Signet__V1__KeyInfo *k)
{
    return k->ring[0] && k->kid[0];
}

static void put_key_event(struct writing *w, const Signet__V1__KeyInfo *k, const char *event, int64_t at)
{
    if (at > w->now)
        seconds(w, (struct label[]){ KEY_LABELS(k), { "event", event } }, 4, at - w->now);
}

static void put_keys(struct writing *w)
{
    const Signet__V1__ListKeysReply *l = w->keys;

    family(w, "key_info", "gauge", NULL, "A key of a ring, its algorithm, state and custody; always 1.");
    for (size_t i = 0; i < l->n_keys; i++)
        if (is_shown(l->keys[i]))
            whole(w, (struct label[]){ KEY_LABELS(l->keys[i]), { "alg", l->keys[i]->alg }, { "state", l->keys[i]->state },
                                       { "custody", l->keys[i]->custody } }, 6, 1);
    family(w, "key_age_seconds", "gauge", "seconds", "Seconds since a key began to sign, or was to; below 0: its time is yet to"
           " come.");
    for (size_t i = 0; i < l->n_keys; i++)
        if (is_shown(l->keys[i]))
            seconds(w, (struct label[]){ KEY_LABELS(l->keys[i]) }, 3, w->now - l->keys[i]->activates_at);
    family(w, "key_next_event_seconds", "gauge", "seconds", "Seconds until what is still to come of a key: it activates, it"
           " retires, its last token ends.");
    for (size_t i = 0; i < l->n_keys; i++)
        if (is_shown(l->keys[i])) {
            put_key_event(w, l->keys[i], "activates", l->keys[i]->activates_at);
            put_key_event(w, l->keys[i], "retires", l->keys[i]->retires_at);
            put_key_event(w, l->keys[i], "ends", l->keys[i]->ends_at);
        }
    family(w, "key_signatures", "counter", NULL, "Signatures of a key that were released.");
    for (size_t i = 0; i < l->n_keys; i++)
        if (is_shown(l->keys[i]))
            whole(w, (struct label[]){ KEY_LABELS(l->keys[i]) }, 3, l->keys[i]->signatures);
    family(w, "key_published", "gauge", NULL, "1 where a key is in the key set, or verifies.");
    for (size_t i = 0; i < l->n_keys; i++)
        if (is_shown(l->keys[i]))
            whole(w, (struct label[]){ KEY_LABELS(l->keys[i]) }, 3, l->keys[i]->published);
    family(w, "key_usable", "gauge", NULL, "0 where something keeps a key from being used; signet key list says what.");
    for (size_t i = 0; i < l->n_keys; i++)
        if (is_shown(l->keys[i]))
            whole(w, (struct label[]){ KEY_LABELS(l->keys[i]) }, 3, !l->keys[i]->trouble[0]);
}

bool metrics_write(const struct shown *s, bool open, int64_t now, int64_t steady_ms, struct buf *out)
{
    struct writing w = { .out = out, .open = open, .ok = true, .status = s->status, .keys = s->keys, .now = now };
    bool fresh = shown_is_fresh(s, steady_ms);

    alone(&w, "up", NULL, "1 where the broker says how it is; without it there is nothing else here.", fresh);
    if (fresh) {
        put_daemon(&w);
        put_requests(&w);
        put_stages(&w);
        put_counters(&w);
        put_tokens(&w);
        put_signers(&w);
        put_rings(&w);
        put_keys(&w);
    }
    if (open)
        put(&w, "# EOF\n");
    return w.ok;
}
