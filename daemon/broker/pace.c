#include "daemon/broker/pace.h"

/* Ends the windows that are over. */
static void pass(struct pace *p, int64_t now_ms)
{
    int64_t n = p->since_ms ? (now_ms - p->since_ms) / PACE_WINDOW_MS : 0;

    p->since_ms += n * PACE_WINDOW_MS;
    for (int64_t i = 0; i < n && i <= PACE_WINDOWS; i++) {       /* all that is kept has been forgotten by then */
        p->ended[p->n_windows % PACE_WINDOWS] = p->n_served;
        p->n_windows++;
        p->n_served = 0;
    }
}

void pace_served(struct pace *p, int64_t now_ms)
{
    pass(p, now_ms);
    if (!p->since_ms)
        p->since_ms = now_ms;
    p->n_served++;
}

int64_t pace_foretell(struct pace *p, size_t n_waiting, int64_t now_ms)
{
    uint32_t best;

    pass(p, now_ms);
    best = p->n_served;
    for (unsigned i = 0; i < PACE_WINDOWS; i++)
        if (p->ended[i] > best)
            best = p->ended[i];
    if (p->n_windows < PACE_WINDOWS || best == 0)
        return 0;
    return now_ms + (int64_t)n_waiting * PACE_WINDOW_MS / best;
}
