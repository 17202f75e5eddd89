#include "daemon/ring/ring.h"

#define S(t) ((long long)(t))

bool ring_settings_check(const struct ring_settings *s, struct err *e)
{
    int64_t need = s->max_age + s->refresh + s->skew + s->generation_time;

    if (s->standby && s->rotate_every == 0)
        return err_set(e, ERR_CONFIG_INVALID, "standby needs rotate_every: a key that is always next must have a time");
    if (s->rotate_every == 0)
        return true;
    if (s->publish_ahead < need)
        return err_set(e, ERR_CONFIG_INVALID,
                       "publish_ahead is %llds, but verifiers learn of a key only after jwks_max_age %llds + refresh %llds"
                       " + skew %llds + generating it %llds = %llds: make it at least that", S(s->publish_ahead),
                       S(s->max_age), S(s->refresh), S(s->skew), S(s->generation_time), S(need));
    if (s->rotate_every < 2 * s->publish_ahead)
        return err_set(e, ERR_CONFIG_INVALID, "rotate_every is %llds, less than twice publish_ahead %llds = %llds",
                       S(s->rotate_every), S(s->publish_ahead), S(2 * s->publish_ahead));
    if (s->max_ttl > s->rotate_every)
        return err_set(e, ERR_CONFIG_INVALID, "max_ttl is %llds, longer than rotate_every %llds: keys would pile up",
                       S(s->max_ttl), S(s->rotate_every));
    return true;
}
