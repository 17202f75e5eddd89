#include "daemon/broker/ops/ops.h"

#include <assert.h>

static const struct op *const ops[] = {
    &op_sign, &op_sign_batch, &op_preview, &op_verify, &op_get_keys, &op_list_profiles, &op_get_status,
    &op_list_keys, &op_generate_key, &op_import_key, &op_reload, &op_list_rings,
    &op_plan_ring, &op_rotate_ring, &op_revoke_key, &op_destroy_key,
};

const struct op *op_find(Signet__V1__Request__OpCase c)
{
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (ops[i]->op_case == c)
            return ops[i];
    return NULL;
}

static_assert(ARRAY_LEN(ops) < STATS_MAX_OPS, "the statistics have no room for another operation");

unsigned op_number(const struct op *op)
{
    for (unsigned i = 0; i < ARRAY_LEN(ops); i++)
        if (ops[i] == op)
            return i + 1;
    return 0;
}

const char *op_name(unsigned number)
{
    return number ? ops[number - 1]->name : "unknown";
}

uint32_t op_usual_deadline(const struct request *rq)
{
    return rq->conf->config->daemon.deadline_ms;
}

void op_nothing(struct request *rq)
{
}
