#include "client/cli/ring.h"

#include <string.h>

bool ring_changes_alg(const struct signet_ring_status *r)
{
    return *r->active_alg && strcmp(r->active_alg, r->alg) != 0;
}

void ring_put_state(const struct signet_ring_status *r, const char *before)
{
    unsigned long long n = r->signed_old_alg;
    const char *s = n == 1 ? "" : "s";

    if (ring_changes_alg(r))
        printf("%schanges from %s to %s; still signs with %s, %llu token%s since the start\n", before, r->active_alg, r->alg,
               r->active_alg, n, s);
    else if (n)
        printf("%schanged to %s; %llu token%s since the start with the algorithm before\n", before, r->alg, n, s);
    if (*r->rotation_trouble.reason)
        printf("%s%sits next key could not be made%s: %s: %s\n", before, paint(PAINT_BAD), paint_off(),
               r->rotation_trouble.reason, r->rotation_trouble.text);
}

void ring_put_token(const struct signet_ring_status *r)
{
    if (*r->token)
        printf(" on %s%s%s", r->n_tokens && strcmp(r->token, r->tokens[0]) == 0 ? "" : paint(PAINT_WARN), r->token, paint_off());
}

void ring_add_json(json_t *out, const struct signet_ring_status *r)
{
    json_t *tokens = json_array();

    for (size_t i = 0; i < r->n_tokens; i++)
        json_array_append_new(tokens, json_string(r->tokens[i]));
    json_object_set_new(out, "tokens", tokens);
    json_object_set_new(out, "token", json_string(r->token));
    json_object_set_new(out, "active_alg", json_string(r->active_alg));
    json_object_set_new(out, "signed_old_alg", json_integer((json_int_t)r->signed_old_alg));
    json_object_set_new(out, "rotation_trouble", cli_error_json(&r->rotation_trouble));
}
