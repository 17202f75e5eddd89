/*
 * signer: what the broker says to a signer, message after message, each chosen by a byte: every one that wants an answer
 * has one, of its id; all others none.
 */
#include "tests/fuzz/heard.h"
#include "tests/fuzz/parts.h"

#include "daemon/signer/desk.h"
#include "tests/support/fake_token.h"

#define OF(name) SIGNET__ROLE__MESSAGE__OF_##name

/* 0: no answer is due. */
static bool wants(const Signet__Role__Message *m, uint64_t *id)
{
    switch (m->of_case) {
    case OF(WORK):       *id = m->work->id; return true;
    case OF(LIST):       *id = m->list->id; return true;
    case OF(GENERATE):   *id = m->generate->id; return true;
    case OF(IMPORT):     *id = m->import->id; return true;
    case OF(DESTROY):    *id = m->destroy->id; return true;
    case OF(WRITE_FACT): *id = m->write_fact->id; return true;
    case OF(TRY_POWERS): *id = m->try_powers->id; return true;
    default:             *id = 0; return false;
    }
}

static void hear(struct desk *d, struct heard *h, Signet__Role__Message *m)
{
    uint64_t id;
    bool due = wants(m, &id), mine = due || m->of_case == OF(ARM);

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
