#include "daemon/supervisor/reload.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/config/strands.h"

#include <stdlib.h>
#include <string.h>

#define PATIENCE_S 20

typedef Signet__Role__Message Message;

/* --- words ------------------------------------------------------------------------------------- */

static void log_lines(enum log_level level, const struct buf *lines)
{
    for (size_t at = 0, len; at < lines->len; at += len + 1) {
        const char *line = (const char *)lines->data + at, *stop = memchr(line, '\n', lines->len - at);
        len = stop ? (size_t)(stop - line) : lines->len - at;
        log_line(level, "%.*s", (int)len, line);
    }
}

/* The first line, for who asked; where that is not all, `more` says where the rest is. */
static void say_first(const struct buf *lines, enum err_reason reason, const char *more, struct err *e)
{
    const char *first = (const char *)lines->data, *stop = memchr(first, '\n', lines->len);
    size_t len = stop ? (size_t)(stop - first) : lines->len, room = sizeof e->text - 1;
    bool all = len + 1 >= lines->len && len <= room;

    if (!all)
        room -= strlen(more) + 3;
    err_set(e, reason, "%.*s%s%s", (int)(len < room ? len : room), first, len > room ? "..." : "", all ? "" : more);
}

/* What the next one would do to tokens that live; to be cleared. */
static void find_strands(const struct source *was, const struct source *next, struct strands *out)
{
    size_t n = was->config->n_profiles;
    CLEANUP(freep) int64_t *quiet_s = calloc(n, sizeof *quiet_s);

    strands_init(out);
    for (size_t i = 0; quiet_s && i < n; i++)
        if (was->quiet_ms[i] != INT64_MAX)
            quiet_s[i] = (clock_steady_ms() - was->quiet_ms[i]) / 1000;
    if (quiet_s)
        strands_find(was->config, next->config, quiet_s, clock_now(), out);
    else
        out->is_refused = true;
}

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
    CLEANUP(strands_clear) struct strands strands;
    struct source *was = *r->source;

    find_strands(was, r->next, &strands);
    log_lines(LEVEL_WARNING, &strands.warned);
    *r->source = TAKE(r->next);
    source_begin(*r->source, was, clock_steady_ms());
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

/* Reads and checks it by itself. */
static struct source *load(struct reload *r, struct err *e)
{
    CLEANUP(buf_clear) struct buf mistakes;

    buf_init(&mistakes, 256 * 1024);
    struct source *s = source_load(r->file, &mistakes);
    if (s)
        return s;
    if (!mistakes.len) {
        err_set(e, ERR_CONFIG_INVALID, "it cannot be read");
        return NULL;
    }
    log_lines(LEVEL_ERROR, &mistakes);
    say_first(&mistakes, ERR_CONFIG_INVALID, " (and more: signetd --check, or the log)", e);
    return NULL;
}

/* Whether a daemon that runs can take it up. */
static bool may_follow(const struct source *was, const struct source *next, struct err *e)
{
    CLEANUP(strands_clear) struct strands strands;
    const char *fixed = config_needs_restart(was->config, next->config);

    find_strands(was, next, &strands);
    if (fixed)
        return err_set(e, ERR_RESTART_NEEDED, "%s has changed, which only a restart of signetd can take up", fixed);
    if (!strands.is_refused)
        return true;
    if (!strands.refused.len)
        return err_set(e, ERR_NO_MEMORY, "no memory to see what it would do to tokens that live");
    log_lines(LEVEL_ERROR, &strands.refused);
    say_first(&strands.refused, ERR_KEY_NEEDED, " (and more: the log)", e);
    return false;
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
    if (r->next && !may_follow(*r->source, r->next, &e))
        source_free(TAKE(r->next));
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
