/*
 * verifier: what the broker says to a verifier, message after message, each chosen by a byte: a token and a signature
 * have one answer, of their id; all others none.
 */
#include "tests/fuzz/heard.h"
#include "tests/fuzz/parts.h"

#include "daemon/verifier/judge.h"

#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

static void hear(struct judge *j, struct heard *h, const Signet__Role__Message *m)
{
    bool token = m->of_case == OF(VERIFY_TOKEN), signature = m->of_case == OF(CHECK_SIGNATURE);
    uint64_t id = token ? m->verify_token->id : signature ? m->check_signature->id : 0;
    struct err e = { 0 };

    bool heard = judge_hear(j, m, heard_answer, h, &e);
    MUST(heard || (!token && !signature && e.text[0]));
    MUST(h->n == (token || signature) && h->id == id);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    struct parts parts = { in, len };
    struct part p;
    Signet__Role__Message *m;
    struct heard h;
    CLEANUP(judge_freep) struct judge *j = judge_new();

    heard_begin(&h);
    while (parts_next(&parts, &p) && (m = heard_say(&h, p.choice % 64, p.bytes, p.len))) {
        hear(j, &h, m);
        channel_done(m);
    }
    heard_end(&h);
    return 0;
}
