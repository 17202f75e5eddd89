#include "daemon/broker/account.h"

#include "proto/cleanup.h"

#define RATE_FULL_MS 1000      /* a bucket holds one second's worth */

static struct account **bucket(struct accounts *a, uid_t uid)
{
    return &a->buckets[(uid * 2654435761u) >> 24];
}

struct account *account_of(struct accounts *a, uid_t uid)
{
    struct account **at = bucket(a, uid), *one;

    for (one = *at; one; one = one->next)
        if (one->uid == uid)
            return one;
    one = calloc(1, sizeof *one);
    if (one) {
        one->all = a;
        one->uid = uid;
        one->next = *at;
        *at = one;
    }
    return one;
}

static void account_free(struct account *one)
{
    free(one->rates);
    free(one);
}

void accounts_sweep(struct accounts *a, int64_t now_ms)
{
    for (size_t i = 0; i < ARRAY_LEN(a->buckets); i++)
        for (struct account **at = &a->buckets[i]; *at;) {
            struct account *one = *at;
            if (one->n_connections || one->n_requests || one->n_jobs || now_ms - one->seen_ms < RATE_FULL_MS) {
                at = &one->next;
            } else {
                *at = one->next;
                account_free(one);
            }
        }
}

void accounts_clear(struct accounts *a)
{
    for (size_t i = 0; i < ARRAY_LEN(a->buckets); i++)
        while (a->buckets[i]) {
            struct account *one = a->buckets[i];
            a->buckets[i] = one->next;
            account_free(one);
        }
}

static void now_holds(struct account *a, size_t n)
{
    struct accounts *all = a->all;

    if (all) {
        all->n_bytes += n - a->n_bytes;
        all->n_holding += (n > 0) - (a->n_bytes > 0);
    }
    a->n_bytes = n;
}

void account_hold(struct account *a, size_t n)
{
    now_holds(a, a->n_bytes + n);
}

void account_let_go(struct account *a, size_t n)
{
    now_holds(a, a->n_bytes - n);
}

static size_t own_max(const struct daemon_config *d)
{
    return ACCOUNT_MAX_BYTES + (size_t)d->max_queue_per_uid * ACCOUNT_ITEM_BYTES;
}

size_t account_share(const struct accounts *a, size_t max)
{
    return max / (a->n_holding + 1);
}

bool account_has_room(const struct account *a, const struct daemon_config *d)
{
    size_t all = a->all->n_bytes, max = d->max_memory;

    if (a->n_bytes > own_max(d))
        return false;
    return a->n_bytes <= account_share(a->all, max) || (all <= max && a->n_bytes <= max - all);
}

bool account_may_hold(const struct account *a, const struct daemon_config *d, struct err *e)
{
    if (account_has_room(a, d))
        return true;
    if (a->n_bytes > own_max(d))
        err_set(e, ERR_QUEUE_FULL, "the requests of uid %u, and replies that it has not taken, would hold %zu bytes, it may"
                " have at most %zu: fewer at once, or shorter ones", (unsigned)a->uid, a->n_bytes, own_max(d));
    else
        err_set(e, ERR_QUEUE_FULL, "requests and replies of all callers would hold %zu of at most %zu bytes"
                " (daemon.max_memory), those of uid %u %zu, more than its share: fewer at once, or shorter ones",
                a->all->n_bytes, (size_t)d->max_memory, (unsigned)a->uid, a->n_bytes);
    e->retry_after_ms = ACCOUNT_RETRY_MS;
    return false;
}

struct rate *account_rate(struct account *a, uint32_t generation, size_t n_profiles, size_t index)
{
    if (!a->rates || a->rates_of != generation) {
        free(a->rates);
        a->rates = calloc(n_profiles, sizeof *a->rates);
        a->rates_of = generation;
    }
    return a->rates ? &a->rates[index] : NULL;
}
