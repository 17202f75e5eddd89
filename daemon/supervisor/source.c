#include "daemon/supervisor/source.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILE (1024u * 1024)              /* bytes; a thousand profiles have some 300 KiB */
#define MAX_CALLERS 65536u                   /* entries of the password file that we keep */
#define MAX_CALLER_NAMES (1536u * 1024)      /* bytes of their names: all must fit into a channel's message */

static bool read_file(const char *file, struct buf *text, struct buf *mistakes)
{
    CLEANUP(closep) int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        buf_printf(mistakes, "%s: cannot be read: %s\n", file, strerror(errno));
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        buf_printf(mistakes, "%s: is not a file\n", file);
        return false;
    }
    for (;;) {
        if (!buf_reserve(text, 4096)) {
            buf_printf(mistakes, "%s: longer than %u KiB\n", file, MAX_FILE / 1024);
            return false;
        }
        ssize_t n = read(fd, text->data + text->len, 4096);
        if (n < 0 && errno != EINTR) {
            buf_printf(mistakes, "%s: cannot be read: %s\n", file, strerror(errno));
            return false;
        }
        if (n == 0)
            return true;
        text->len += n > 0 ? (size_t)n : 0;
    }
}

/* The id of a user's or group's name; errno 0: there is none. */
typedef bool look_up(const char *name, uint32_t *out_id);

static bool user_id(const char *name, uint32_t *out_id)
{
    errno = 0;
    const struct passwd *p = getpwnam(name);
    if (p)
        *out_id = p->pw_uid;
    return p != NULL;
}

static bool group_id(const char *name, uint32_t *out_id)
{
    errno = 0;
    const struct group *g = getgrnam(name);
    if (g)
        *out_id = g->gr_gid;
    return g != NULL;
}

/* Drops the names that do not exist: config_parse says where they stand. */
static void resolve(struct name_id *names, size_t *n, look_up *find, const char *what, struct buf *mistakes)
{
    size_t kept = 0;

    for (size_t i = 0; i < *n; i++) {
        if (find(names[i].name, &names[i].id)) {
            names[kept++] = names[i];
            continue;
        }
        /* Some name services say ENOENT, ESRCH or EPERM for "no such name" (getpwnam(3)). */
        if (errno == EIO || errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EAGAIN)
            buf_printf(mistakes, "%s '%s' cannot be looked up: %s\n", what, names[i].name, strerror(errno));
        free(names[i].name);
    }
    *n = kept;
}

static Signet__Role__NameId *name_id_new(const char *name, uint32_t id)
{
    Signet__Role__NameId *n = malloc(sizeof *n);

    if (!n)
        return NULL;
    signet__role__name_id__init(n);
    n->id = id;
    if (!(n->name = strdup(name))) {
        free(n);
        return NULL;
    }
    return n;
}

static bool fill_names(Signet__Role__NameId ***list, size_t *n_list, const struct name_id *names, size_t n)
{
    *list = calloc(n ? n : 1, sizeof **list);
    if (!*list)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!((*list)[i] = name_id_new(names[i].name, names[i].id)))
            return false;
        *n_list = i + 1;
    }
    return true;
}

static bool fill_callers(Signet__Role__Config *m)
{
    size_t room = 0, names_len = 0;
    const struct passwd *p;

    setpwent();
    while (m->n_callers < MAX_CALLERS && (p = getpwent()) != NULL) {
        names_len += strlen(p->pw_name);
        if (names_len > MAX_CALLER_NAMES)
            break;
        if (m->n_callers == room) {
            size_t more = room ? room * 2 : 64;
            Signet__Role__NameId **callers = realloc(m->callers, more * sizeof *callers);
            if (!callers)
                break;
            m->callers = callers;
            room = more;
        }
        if (!(m->callers[m->n_callers] = name_id_new(p->pw_name, p->pw_uid)))
            break;
        m->n_callers++;
    }
    endpwent();
    return m->callers != NULL;
}

static bool fill_message(struct source *s, const struct names *names)
{
    Signet__Role__Config *m = &s->message;

    m->file = s->file;
    m->text = (ProtobufCBinaryData){ s->text.len, s->text.data };
    return fill_names(&m->users, &m->n_users, names->users, names->n_users) &&
           fill_names(&m->groups, &m->n_groups, names->groups, names->n_groups) && fill_callers(m);
}

struct source *source_load(const char *file, struct buf *mistakes)
{
    CLEANUP(source_freep) struct source *s = calloc(1, sizeof *s);
    CLEANUP(names_clear) struct names names = { 0 };

    if (!s || !(s->file = strdup(file))) {
        buf_printf(mistakes, "%s: out of memory\n", file);
        return NULL;
    }
    buf_init(&s->text, MAX_FILE);
    signet__role__config__init(&s->message);
    if (!read_file(file, &s->text, mistakes))
        return NULL;
    const char *text = s->text.data ? (const char *)s->text.data : "";
    /* A text that is no YAML names nobody; config_parse says what is wrong with it. */
    config_names(text, s->text.len, &names);
    resolve(names.users, &names.n_users, user_id, "user", mistakes);
    resolve(names.groups, &names.n_groups, group_id, "group", mistakes);
    s->config = config_parse(text, s->text.len, file, &names, mistakes);
    if (!s->config || mistakes->len)
        return NULL;
    s->quiet_ms = calloc(s->config->n_profiles, sizeof *s->quiet_ms);
    if (!s->quiet_ms || !fill_message(s, &names)) {
        buf_printf(mistakes, "%s: the password file cannot be read, or out of memory\n", file);
        return NULL;
    }
    return TAKE(s);
}

static const int64_t *quiet_of(const struct source *s, const char *profile)
{
    const struct profile *p = config_profile(s->config, profile);

    return p ? &s->quiet_ms[p - s->config->profiles] : NULL;
}

void source_begin(struct source *s, const struct source *was, int64_t steady_ms)
{
    for (size_t i = 0; i < s->config->n_profiles; i++) {
        const struct profile *p = &s->config->profiles[i];
        const int64_t *before = was ? quiet_of(was, p->name) : NULL;
        if (p->sign.any || p->sign.n_uids || p->sign.n_gids)
            s->quiet_ms[i] = INT64_MAX;
        else
            s->quiet_ms[i] = before && *before < steady_ms ? *before : steady_ms;
    }
}

struct config *source_read(const char *file, struct buf *why)
{
    CLEANUP(buf_clear) struct buf text, told;

    buf_init(&text, MAX_FILE);
    buf_init(&told, 0);                      /* `why` has it already */
    if (!read_file(file, &text, why))
        return NULL;
    const char *bytes = text.data ? (const char *)text.data : "";
    struct config *c = config_parse(bytes, text.len, file, NULL, why);
    return c ? c : config_parse_unpromised(bytes, text.len, file, NULL, &told);
}

void source_missing_files(const char *file, struct buf *out)
{
    CLEANUP(buf_clear) struct buf text, unread;
    struct config_file files[CONFIG_MAX_FILES];

    buf_init(&text, MAX_FILE);
    buf_init(&unread, 4096);                 /* source_load tells that */
    size_t n = read_file(file, &text, &unread) && text.len ? config_files((char *)text.data, text.len, files) : 0;
    for (size_t i = 0; i < n; i++) {
        if (access(files[i].path, R_OK) < 0)
            buf_printf(out, "%s:%zu: %s.%s: '%s' cannot be read: %s; signetd signs nothing with it until it can\n", file,
                       files[i].line, files[i].token, files[i].setting, files[i].path, strerror(errno));
        free(files[i].path);
    }
}

static void free_names(Signet__Role__NameId **list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(list[i]->name);
        free(list[i]);
    }
    free(list);
}

void source_free(struct source *s)
{
    if (!s)
        return;
    free_names(s->message.users, s->message.n_users);
    free_names(s->message.groups, s->message.n_groups);
    free_names(s->message.callers, s->message.n_callers);
    config_free(s->config);
    free(s->quiet_ms);
    buf_clear(&s->text);
    free(s->file);
    free(s);
}
