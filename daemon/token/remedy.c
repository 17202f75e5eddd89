/* What the failures so far ask for: the worst of them counts until it is done. */
#include "daemon/token/token_private.h"

static bool needs(struct token *t, enum token_need need, const struct err *why)
{
    if (t->need < need) {
        t->need = need;
        t->need_why = *why;
    }
    return false;
}

bool token_lost(struct token *t, struct err *e)
{
    if (err_code(e->reason) != CODE_UNAVAILABLE)
        e->reason = ERR_TOKEN_UNREACHABLE;
    return needs(t, TOKEN_NEEDS_PROCESS, e);
}

bool token_logged_out(struct token *t, struct err *e)
{
    return needs(t, TOKEN_NEEDS_LOGIN, e);
}

bool token_refused(struct token *t, struct err *e, CK_RV rv, const char *call)
{
    const struct ckr *row = ckr_find(rv);

    ckr_err(e, rv, call);
    t->remedy = row->remedy;
    if (row->remedy == REMEDY_PROCESS || row->reason == ERR_PIN_WRONG || row->reason == ERR_PIN_LOCKED)
        return needs(t, TOKEN_NEEDS_PROCESS, e);
    return row->remedy == REMEDY_LOGIN ? needs(t, TOKEN_NEEDS_LOGIN, e) : false;
}

enum token_need token_needs(const struct token *t, struct err *out_why)
{
    if (t->need != TOKEN_NEEDS_NOTHING)
        *out_why = t->need_why;
    return t->need;
}
