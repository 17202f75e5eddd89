#include "daemon/supervisor/reload.h"

#include "daemon/base/log.h"

#include <string.h>

#define PATIENCE_S 20

typedef Signet__Role__Message Message;

/* --- the end ----------------------------------------------------------------------------------- */

static void tell_asker(struct reload *r, uint64_t id, const struct err *why)
{
    Message m = SIGNET__ROLE__MESSAGE__INIT;
    Signet__Role__ReloadDone done = SIGNET__ROLE__RELOAD_DONE__INIT;
    Signet__Role__Why w = SIGNET__ROLE__WHY__INIT;

    done.id = id;
    done.generation = r->watch->generation;
    if (why) {
        w.reason = why->reason;
        w.text = (char *)(uintptr_t)why->text;
        done.why = &w;
    }
    m.of_case = SIGNET__ROLE__MESSAGE__OF_RELOAD_DONE;
    m.reload_done = &done;
    child_send(&r->watch->broker, &m, -1);
}

static void end(struct reload *r, const struct err *why)
{
    bool again = r->again;

    event_del(r->timeout);
    for (size_t i = 0; i < r->n_asked; i++)
        tell_asker(r, r->asked[i], why);
    r->n_asked = 0;
    r->again = false;
    if (why)
        log_error("the configuration stays as it was (number %u): %s: %s", r->watch->generation,
                  err_reason_name(why->reason), why->text);
    else
        log_info("configuration %u is in force in every role", r->watch->generation);
    r->ended(r->ctx, !why);
    if (again)
        reload_begin(r, 0);
}

/* The offer is withdrawn; those that know no other go on with what is in force. */
static void give_up(struct reload *r, const struct err *why)
{
    source_free(TAKE(r->next));
    watch_resume(r->watch);
    end(r, why);
}

static void commit(struct reload *r)
{
    struct source *was = *r->source;

    *r->source = TAKE(r->next);
    watch_use(r->watch, *r->source, r->generation);
    watch_resume(r->watch);
    source_free(was);
    end(r, NULL);
}

/* --- on the way ---------------------------------------------------------------------------------- */

static bool is_ready(void *ctx, struct child *c)
{
    return c->ready == ((struct reload *)ctx)->generation;
}

void reload_check(struct reload *r)
{
    if (r->next && watch_each(r->watch, is_ready, r))
        commit(r);
}

void reload_refused(struct reload *r, const struct child *c, const char *why)
{
    char name[ROLE_MAX_NAME];
    struct err e;

    if (!r->next)
        return;
    err_set(&e, ERR_CONFIG_INVALID, "%s refuses it: %s", child_name(c, name), why);
    give_up(r, &e);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct reload *r = arg;
    struct err e;

    err_set(&e, ERR_INTERNAL, "not every process answered within %d s", PATIENCE_S);
    give_up(r, &e);
}

static bool offer(void *ctx, struct child *c)
{
    struct reload *r = ctx;

    watch_send_config(c, r->next, r->generation);
    return true;
}

/* --- the beginning --------------------------------------------------------------------------------- */

static void log_lines(const struct buf *mistakes)
{
    const char *at = (const char *)mistakes->data, *end = at + mistakes->len;

    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        log_error("%.*s", (int)(stop - at), at);
        at = stop + 1;
    }
}

static struct source *load(struct reload *r, struct err *e)
{
    struct buf mistakes;

    buf_init(&mistakes, 64 * 1024);
    struct source *s = source_load(r->file, &mistakes);
    if (!s) {
        const char *first = mistakes.data ? (const char *)mistakes.data : "it cannot be read";
        const char *stop = memchr(first, '\n', mistakes.len);
        log_lines(&mistakes);
        err_set(e, ERR_CONFIG_INVALID, "%.*s%s", stop ? (int)(stop - first) : 17, first,
                stop && stop + 1 < first + mistakes.len ? " (and more: signetd --check, or the log)" : "");
    }
    buf_clear(&mistakes);
    const char *fixed = s ? config_needs_restart((*r->source)->config, s->config) : NULL;
    if (fixed) {
        err_set(e, ERR_RESTART_NEEDED, "%s has changed, which only a restart of signetd can take up", fixed);
        source_free(TAKE(s));
    }
    return s;
}

void reload_begin(struct reload *r, uint64_t id)
{
    struct err e;

    if (id && r->n_asked < RELOAD_MAX_ASKED)
        r->asked[r->n_asked++] = id;
    if (r->next) {
        r->again = r->again || id == 0;      /* an administrator's question is answered by the one under way */
        return;
    }
    r->next = load(r, &e);
    if (!r->next) {
        end(r, &e);
        return;
    }
    r->generation++;
    r->watch->paused = true;
    event_add(r->timeout, &(struct timeval){ PATIENCE_S, 0 });
    watch_each(r->watch, offer, r);
    reload_check(r);
}

bool reload_init(struct reload *r, struct event_base *base, struct err *e)
{
    r->timeout = evtimer_new(base, on_timeout, r);
    return r->timeout || err_set(e, ERR_NO_MEMORY, "out of memory");
}

void reload_clear(struct reload *r)
{
    if (r->timeout)
        event_free(TAKE(r->timeout));
    source_free(TAKE(r->next));
}
