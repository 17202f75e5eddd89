/*
 * signer: what the broker says to a signer, message after message, each chosen by a byte: every one that wants an answer
 * has one, of its id; all others none.
 */
#include "tests/fuzz/asked.h"
#include "tests/fuzz/heard.h"
#include "tests/fuzz/parts.h"

#include "daemon/signer/desk.h"
#include "tests/support/fake_token.h"

#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

/* As role.proto has them: what the broker asks a signer for, and (Arm) tells it. */
#define FIRST OF(WORK)
#define LAST 29

static void hear(struct desk *d, struct heard *h, Signet__Role__Message *m)
{
    bool mine = m->of_case >= FIRST && (int)m->of_case <= LAST, due = mine && m->of_case != OF(ARM);
    uint64_t id = due ? asked_id(m) : 0;

    MUST(desk_hear(d, m, heard_answer, h) == mine);
    MUST(h->n == due && h->id == id);
    channel_done(m);
    desk_rest(d);
}

/* Keys that are there whatever comes, for work to name. */
static void prepare(struct token *t)
{
    uint64_t id;
    struct err e;

    MUST(token_generate(t, alg_by_name("EdDSA", 5), 0, "signet:web:EdDSA:1:1:1:1", &id, &e));
    MUST(token_generate(t, alg_by_name("HS256", 5), 0, "signet:mac:HS256:1:1:1:1", &id, &e));
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    struct parts parts = { in, len };
    struct part p;
    Signet__Role__Message *m;
    struct heard h;
    struct config nothing = { 0 };
    struct desk d = { .token = fake_token_new(), .config = &nothing, .generation = 1 };

    prepare(d.token);
    heard_begin(&h);
    while (parts_next(&parts, &p) && (m = heard_say(&h, p.choice % 64, p.bytes, p.len)))
        hear(&d, &h, m);
    heard_end(&h);
    token_free(d.token);
    return 0;
}
