/*
 * request: one operation of a caller's, chosen by the first byte, its highest bit: on the callers' socket; the rest is
 * the operation's message. It is answered once, by what it asked for or an error, and the next one is too; no signature is
 * wrong, and nothing of the admin socket's is done on the other.
 */
#include "tests/fuzz/whole.h"

#include "proto/cleanup.h"

#define MAX_LEN 60000u               /* longer is REQUEST_TOO_LARGE, whatever it is */
#define GET_STATUS 14
#define FIRST_ADMIN 30               /* operations from here on are for administrators */

static const uint8_t operations[] = { 10, 11, 12, 13, 14, 15, 16, 30, 31, 32, 33, 34, 35, 36, 37, 38 };

static void check(const Signet__V1__Reply *r)
{
    if (r->result_case == SIGNET__V1__REPLY__RESULT_SIGN)
        MUST(whole_verifies(r->sign->token));
    for (size_t i = 0; r->result_case == SIGNET__V1__REPLY__RESULT_SIGN_BATCH && i < r->sign_batch->n_items; i++)
        if (r->sign_batch->items[i]->result_case == SIGNET__V1__SIGN_BATCH_ITEM__RESULT_SIGN)
            MUST(whole_verifies(r->sign_batch->items[i]->sign->token));
}

static void ask(int fd, bool is_admin, uint64_t id, unsigned field, const uint8_t *packed, size_t len)
{
    whole_ask(fd, id, field, packed, len);
    Signet__V1__Reply *r = whole_reply(fd);
    MUST(r && r->request_id == id);
    MUST(r->result_case == field || r->result_case == SIGNET__V1__REPLY__RESULT_ERROR);
    MUST(is_admin || field < FIRST_ADMIN || r->result_case == SIGNET__V1__REPLY__RESULT_ERROR);
    check(r);
    signet__v1__reply__free_unpacked(r, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    if (len < 1 || len > MAX_LEN)
        return 0;
    whole_begin();
    bool is_admin = !(in[0] & 0x80);
    int fd = whole_connect(is_admin);
    ask(fd, is_admin, 1, operations[(in[0] & 0x7F) % ARRAY_LEN(operations)], in + 1, len - 1);
    ask(fd, is_admin, 2, GET_STATUS, NULL, 0);
    close(fd);
    MUST(whole_runs() && whole_n_lost() == 0);
    whole_end();
    return 0;
}
