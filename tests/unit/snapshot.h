/* snapshot: made-up messages of a broker, for who shows them. */
#ifndef SIGNET_TESTS_SNAPSHOT_H
#define SIGNET_TESTS_SNAPSHOT_H

#include "daemon/channel/channel.h"
#include "signet.pb-c.h"

#include <stdlib.h>
#include <string.h>

#define SNAPSHOT_MAX 16

/* Filled in as the test likes: texts are borrowed. */
struct snapshot {
    Signet__V1__GetStatusReply status;
    Signet__V1__TokenStatus token;
    Signet__V1__ListKeysReply keys;
    Signet__Role__RingSet sets[SNAPSHOT_MAX], *each[SNAPSHOT_MAX];
    Signet__Role__Why whys[SNAPSHOT_MAX];
    size_t n;
    /* snapshot_full's */
    Signet__V1__Error trouble;
    Signet__V1__SignerStatus signers[2], *each_signer[2];
    Signet__V1__CounterStatus counters[6], *each_counter[6];
    Signet__V1__ResultStatus results[4], *each_result[4];
    Signet__V1__StageStatus stages[3], *each_stage[3];
    Signet__V1__RefusalInfo refusals[2], *each_refusal[2];
    Signet__V1__RingStatus rings[2], *each_ring[2];
    Signet__V1__KeyInfo infos[5], *each_key[5];
    uint32_t bounds[6];
    uint64_t counts[7];
    char *notices[1];
};

/* Ready, proved now, with nothing else. */
static inline void snapshot_init(struct snapshot *s, int64_t now)
{
    *s = (struct snapshot){ .status = SIGNET__V1__GET_STATUS_REPLY__INIT, .token = SIGNET__V1__TOKEN_STATUS__INIT,
                            .keys = SIGNET__V1__LIST_KEYS_REPLY__INIT };
    s->status.version = "1.2.3";
    s->status.ready = true;
    s->status.proved_at = now;
    s->status.started_at = now - 3600;
    s->status.token = &s->token;
}

static inline void snapshot_set(struct snapshot *s, const char *ring, const char *jwks, uint32_t max_age_s, uint32_t changes_in_s)
{
    Signet__Role__RingSet *set = s->each[s->n] = &s->sets[s->n];

    s->n++;
    signet__role__ring_set__init(set);
    set->ring = (char *)(uintptr_t)ring;
    set->jwks = (ProtobufCBinaryData){ strlen(jwks), (uint8_t *)(uintptr_t)jwks };
    set->max_age_s = max_age_s;
    set->changes_in_s = changes_in_s;
}

static inline void snapshot_lack(struct snapshot *s, const char *ring, enum err_reason reason, const char *text, uint32_t retry_ms)
{
    Signet__Role__Why *why = &s->whys[s->n];

    snapshot_set(s, ring, "", 0, 0);
    signet__role__why__init(why);
    why->reason = reason;
    why->text = (char *)(uintptr_t)text;
    why->retry_after_ms = retry_ms;
    s->sets[s->n - 1].why = why;
}

/* What a stranger would like to say on a page, in a label, and on a terminal. */
#define SNAPSHOT_EVIL "<script>x</script>\"'&\\\n\x1b[2J"

static inline void snapshot_key(struct snapshot *s, size_t i, const char *kid, const char *ring, const char *state, int64_t activates,
                                int64_t retires, int64_t ends)
{
    Signet__V1__KeyInfo *k = s->each_key[i] = &s->infos[i];

    signet__v1__key_info__init(k);
    k->kid = (char *)(uintptr_t)kid;
    k->ring = (char *)(uintptr_t)ring;
    k->state = (char *)(uintptr_t)state;
    k->alg = "ES256";
    k->activates_at = activates;
    k->retires_at = retires;
    k->ends_at = ends;
    k->published = k->sensitive = true;
    k->signatures = 1234567 / (i + 1);
}

/* All that there is, some of it as a stranger named it. */
static inline void snapshot_full(struct snapshot *s, int64_t now)
{
    static const struct { const char *name; uint64_t n; } counters[] = {
        { "signed_tokens", 1234567 }, { "verified_tokens", 5 }, { "refused_requests", 41 }, { "connections", 7 }, { "newer", 1 },
        { "held_bytes", 4096 },
    };
    static const struct { const char *op, *profile, *result; uint64_t n; } results[] = {
        { "sign", "web", "OK", 1234567 }, { "sign", "web", "QUEUE_FULL", 40 }, { "verify", "", "UNKNOWN_PROFILE", 1 },
        { "sign", SNAPSHOT_EVIL, "OK", 2 },
    };
    static const char *const stages[] = { "queue", "token", "total" };
    static const uint32_t bounds[] = { 10, 100, 1000, 10000, 1000000, 10000000 };
    static const uint64_t counts[] = { 0, 100, 800, 90, 10, 0, 1 };

    snapshot_init(s, now);
    s->status.sandbox = "Landlock ABI 7, seccomp";
    s->status.config_generation = 3;
    s->status.pid = 77;
    s->token.label = SNAPSHOT_EVIL;
    s->token.manufacturer = "SoftHSM project";
    s->token.model = "SoftHSM v2";
    s->token.custody = "generated here, never extractable";
    for (size_t i = 0; i < 2; i++) {
        signet__v1__signer_status__init(s->each_signer[i] = &s->signers[i]);
        s->signers[i].number = (uint32_t)i + 1;
        s->signers[i].state = i ? "failed" : "ready";
        s->signers[i].why = i ? SNAPSHOT_EVIL : "";
        s->signers[i].signatures = 600000 + i;
        s->signers[i].restarts = (uint32_t)i;
    }
    for (size_t i = 0; i < 6; i++) {
        signet__v1__counter_status__init(s->each_counter[i] = &s->counters[i]);
        s->counters[i].name = (char *)(uintptr_t)counters[i].name;
        s->counters[i].value = counters[i].n;
    }
    for (size_t i = 0; i < 4; i++) {
        signet__v1__result_status__init(s->each_result[i] = &s->results[i]);
        s->results[i].op = (char *)(uintptr_t)results[i].op;
        s->results[i].profile = (char *)(uintptr_t)results[i].profile;
        s->results[i].result = (char *)(uintptr_t)results[i].result;
        s->results[i].n = results[i].n;
    }
    memcpy(s->bounds, bounds, sizeof bounds);
    memcpy(s->counts, counts, sizeof counts);
    for (size_t i = 0; i < 3; i++) {
        signet__v1__stage_status__init(s->each_stage[i] = &s->stages[i]);
        s->stages[i].op = "sign";
        s->stages[i].stage = (char *)(uintptr_t)stages[i];
        s->stages[i].bounds_us = s->bounds;
        s->stages[i].n_bounds_us = 6;
        s->stages[i].counts = s->counts;
        s->stages[i].n_counts = 7;
        s->stages[i].sum_us = 12345678;
    }
    for (size_t i = 0; i < 2; i++) {
        signet__v1__refusal_info__init(s->each_refusal[i] = &s->refusals[i]);
        s->refusals[i].at = now - 5 - (int64_t)i;
        s->refusals[i].uid = 1000 + (uint32_t)i;
        s->refusals[i].op = "sign";
        s->refusals[i].profile = i ? SNAPSHOT_EVIL : "web";
        s->refusals[i].reason = i ? "CLAIM_SECRET" : "QUEUE_FULL";
        s->refusals[i].text = i ? "claim '" SNAPSHOT_EVIL "' is named like a secret: anyone can read a payload"
                                : "uid 1000 has 4096 requests waiting, the most that it may have";
    }
    for (size_t i = 0; i < 2; i++) {
        signet__v1__ring_status__init(s->each_ring[i] = &s->rings[i]);
        s->rings[i].name = i ? "printed" : "web";
        s->rings[i].alg = i ? "HS256" : "ES256";
        s->rings[i].n_published = i ? 0 : 4;
    }
    s->rings[0].next_activates_at = now + 2 * 86400;
    s->rings[0].due = "generate";
    s->rings[0].due_at = now - 90;
    signet__v1__error__init(&s->trouble);
    s->trouble.reason = "NO_ACTIVE_KEY";
    s->trouble.text = "ring 'printed' has no key: import one";
    s->rings[1].trouble = &s->trouble;
    snapshot_key(s, 0, "aaaaaaaa1111", "web", "next", now + 2 * 86400, 0, 0);
    snapshot_key(s, 1, "bbbbbbbb2222", "web", "active", now - 28 * 86400, now + 2 * 86400, now + 5 * 86400 / 2);
    snapshot_key(s, 2, "cccccccc3333", "web", "retired", now - 58 * 86400, now - 28 * 86400, now + 600);
    snapshot_key(s, 3, "dddddddd4444", "web", "expired", now - 90 * 86400, now - 58 * 86400, now - 57 * 86400);
    snapshot_key(s, 4, "", "web", "orphan", 0, 0, 0);
    s->infos[2].extractable = true;
    s->infos[2].custody = "exportable";
    s->notices[0] = "token: keys are files: " SNAPSHOT_EVIL;
    s->status.signers = s->each_signer;
    s->status.n_signers = 2;
    s->status.counters = s->each_counter;
    s->status.n_counters = 6;
    s->status.results = s->each_result;
    s->status.n_results = 4;
    s->status.stages = s->each_stage;
    s->status.n_stages = 3;
    s->status.refusals = s->each_refusal;
    s->status.n_refusals = 2;
    s->status.rings = s->each_ring;
    s->status.n_rings = 2;
    s->status.notices = s->notices;
    s->status.n_notices = 1;
    s->keys.keys = s->each_key;
    s->keys.n_keys = 5;
}

/* As a broker sends it; freed by who takes it. */
static inline Signet__Role__Message *snapshot_message(struct snapshot *s)
{
    Signet__Role__Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__Snapshot snapshot = SIGNET__ROLE__SNAPSHOT__INIT;
    size_t status_len = signet__v1__get_status_reply__get_packed_size(&s->status);
    size_t keys_len = signet__v1__list_keys_reply__get_packed_size(&s->keys);
    uint8_t *status = malloc(status_len + 1), *keys = malloc(keys_len + 1);

    signet__v1__get_status_reply__pack(&s->status, status);
    signet__v1__list_keys_reply__pack(&s->keys, keys);
    snapshot.status = (ProtobufCBinaryData){ status_len, status };
    snapshot.keys = (ProtobufCBinaryData){ keys_len, keys };
    snapshot.sets = s->each;
    snapshot.n_sets = s->n;
    m.of_case = SIGNET__ROLE__MESSAGE__OF_SNAPSHOT;
    m.snapshot = &snapshot;
    size_t len = signet__role__message__get_packed_size(&m);
    uint8_t *bytes = malloc(len + 1);
    signet__role__message__pack(&m, bytes);
    Signet__Role__Message *out = signet__role__message__unpack(NULL, len, bytes);
    free(bytes);
    free(status);
    free(keys);
    return out;
}

#endif
