/* Its working directory is the one it made; the daemon's is, too, and its SoftHSM finds the token by that. */
#include "client/cli/throwaway.h"

#include "client/cli/cli.h"
#include "client/cli/program.h"
#include "client/cli/throwaway_conf.h"
#include "client/cli/throwaway_token.h"
#include "proto/err.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define START_MS 60000               /* a slow machine under load; a fast one needs a fiftieth */
#define STOP_MS 10000                /* to answer what is under way, as daemon.drain_timeout */
#define CONFIG "signetd.conf"
#define NOTIFY "notify.sock"
#define LOG "log"

_Static_assert(sizeof NOTIFY <= sizeof THROWAWAY_SOCKET, "the longest name decides how long a directory's path may be");

/* The secret of the token that every text on JWT prints, so that the profile `example` makes it. */
static const char printed_ring[] = "printed", printed_secret[] = "your-256-bit-secret";

static const char built_in[] =
#include "throwaway.conf.inc"
;

struct keeper {
    const char *config;
    int lifeline, log;
    char dir[sizeof ((struct sockaddr_un *)0)->sun_path];      /* "": none yet */
    char *module;
    pid_t daemon;                    /* 0: none */
    int daemon_fd;                   /* its pidfd */
    int64_t deadline_ms;
    bool abandoned;                  /* nobody holds the lifeline any more: nothing is to be told */
};

struct path { char text[sizeof ((struct sockaddr_un *)0)->sun_path]; };

static struct path path_of(const struct keeper *k, const char *name)
{
    struct path p;

    /* Cannot be cut: place_in saw to it for the longest name. */
    snprintf(p.text, sizeof p.text, "%.*s/%s", (int)(sizeof p.text - sizeof THROWAWAY_SOCKET - 1), k->dir, name);
    return p;
}

static int64_t mono_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits for fd or the other (-1: none), for at most so long. False: neither came, `why`; or we are abandoned. */
static bool await(struct keeper *k, int fd, int other, int64_t ms, const char *why, struct err *e)
{
    struct pollfd p[] = { { k->lifeline, 0, 0 }, { fd, POLLIN, 0 }, { other, POLLIN, 0 } };
    int n;

    do
        n = poll(p, ARRAY_LEN(p), ms < 0 ? 0 : (int)ms);
    while (n < 0 && errno == EINTR);
    k->abandoned = n > 0 && p[0].revents;
    if (n > 0 && !k->abandoned)
        return true;
    return n < 0 ? err_sys(e, "cannot wait") : err_set(e, ERR_DEADLINE_EXCEEDED, "%s", why);
}

/* --- the place -------------------------------------------------------------------------------------- */

static bool is_text(const char *path)
{
    json_t *utf8 = json_string(path);
    bool ok = utf8 != NULL;

    json_decref(utf8);
    for (; ok && *path; path++)
        ok = !iscntrl((unsigned char)*path);
    return ok;
}

static bool place_in(struct keeper *k, const char *parent, struct err *e)
{
    static const char name[] = "/signet-XXXXXX";

    if (*parent != '/' || !is_text(parent))
        return err_set(e, ERR_SYSTEM, "temporary directory '%.60s' is no absolute path in UTF-8: set TMPDIR", parent);
    if (strlen(parent) + sizeof name - 1 + sizeof THROWAWAY_SOCKET >= sizeof k->dir)
        return err_set(e, ERR_SYSTEM, "temporary directory '%.60s...': its path is too long, a socket in it would pass"
                       " %zu bytes: set TMPDIR", parent, sizeof k->dir - 1);
    snprintf(k->dir, sizeof k->dir, "%s%s", parent, name);
    if (mkdtemp(k->dir) && chdir(k->dir) == 0)
        return true;
    err_sys(e, "no directory can be made in '%s', set TMPDIR", parent);
    rmdir(k->dir);
    k->dir[0] = '\0';
    return false;
}

static bool place(struct keeper *k, struct err *e)
{
    const char *parents[] = { getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp" };

    for (size_t i = 0; i < ARRAY_LEN(parents); i++)
        if (parents[i] && *parents[i] && place_in(k, parents[i], e)) {
            k->log = open(LOG, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
            return k->log >= 0 || err_sys(e, "'%s/" LOG "' cannot be made", k->dir);
        }
    return false;
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
    return remove(path);
}

/* --- the configuration ----------------------------------------------------------------------------------- */

static bool write_config(struct keeper *k, const struct buf *user, struct err *e)
{
    struct path socket = path_of(k, THROWAWAY_SOCKET), admin = path_of(k, THROWAWAY_ADMIN_SOCKET);
    struct path pin = path_of(k, THROWAWAY_PIN);
    struct throwaway_places p = { socket.text, admin.text, pin.text, k->module, "pkcs11:token=" THROWAWAY_LABEL,
                                  geteuid() };
    const char *text = !k->config ? built_in : user->data ? (const char *)user->data : "";
    CLEANUP(buf_clear) struct buf out;

    buf_init(&out, 2 * CLI_MAX_FILE);
    size_t len = k->config ? user->len : sizeof built_in - 1;
    return throwaway_conf(text, len, k->config ? k->config : CONFIG, &p, &out, e) &&
           throwaway_put(CONFIG, out.data, out.len, e);
}

/* --- the daemon ------------------------------------------------------------------------------------------- */

static _Noreturn void become_daemon(const struct keeper *k, const char *program, pid_t parent)
{
    int null = open("/dev/null", O_RDONLY);
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(k->log, STDOUT_FILENO) < 0 ||
        dup2(k->log, STDERR_FILENO) < 0)
        _exit(EXIT_REFUSED);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execl(program, "signetd", "--config", CONFIG, (char *)NULL);
    dprintf(STDERR_FILENO, "'%s' cannot be started: %s\n", program, strerror(errno));
    _exit(EXIT_REFUSED);
}

static int notify_socket(const struct keeper *k, struct err *e)
{
    struct path path = path_of(k, NOTIFY);
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(a.sun_path, path.text, sizeof a.sun_path);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof a) == 0 && setenv("NOTIFY_SOCKET", path.text, 1) == 0)
        return fd;
    err_sys(e, "socket '%s' cannot be made", path.text);
    closep(&fd);
    return -1;
}

static bool start_daemon(struct keeper *k, struct err *e)
{
    char said[4096];
    pid_t us = getpid();
    CLEANUP(freep) char *program = program_signetd(e);
    CLEANUP(closep) int notify = program ? notify_socket(k, e) : -1;

    if (notify < 0)
        return false;
    k->daemon = fork();
    if (k->daemon == 0)
        become_daemon(k, program, us);
    k->daemon_fd = k->daemon > 0 ? pidfd_open(k->daemon, 0) : -1;
    if (k->daemon_fd < 0)
        return err_sys(e, "signetd cannot be started");
    for (;;) {
        if (!await(k, notify, k->daemon_fd, k->deadline_ms - mono_ms(), "signetd was not ready in a minute", e))
            return false;
        ssize_t n = recv(notify, said, sizeof said, MSG_DONTWAIT);
        if (n > 0 && memmem(said, (size_t)n, "READY=1", strlen("READY=1")))
            return true;
        if (n < 0)
            return err_set(e, ERR_DAEMON_UNREACHABLE, "signetd ended before it was ready: mend what it says");
    }
}

/* What it says of its configuration, by the name that the user knows. */
static void show_log(const struct keeper *k)
{
    FILE *f = fopen(LOG, "re");
    char *line = NULL;
    size_t room = 0;

    while (f && getline(&line, &room, f) > 0) {
        bool ours = strncmp(line, CONFIG ":", strlen(CONFIG ":")) == 0;
        fprintf(stderr, "%s%s", ours && k->config ? k->config : "", ours && k->config ? line + strlen(CONFIG) : line);
    }
    free(line);
    if (f)
        fclose(f);
}

/* All of it: the roles of a daemon that was killed come to us, a subreaper, as orphans, and still write. */
static void end_daemon(struct keeper *k)
{
    struct pollfd end = { k->daemon_fd, POLLIN, 0 };

    if (k->daemon > 0)
        kill(k->daemon, SIGTERM);
    if (k->daemon > 0 && (k->daemon_fd < 0 || poll(&end, 1, STOP_MS) <= 0))
        kill(k->daemon, SIGKILL);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
}

/* --- its keys --------------------------------------------------------------------------------------------- */

static bool no_key(const char *what, const char *name, const struct signet_error *why, struct err *e)
{
    return err_set(e, ERR_NO_ACTIVE_KEY, "%s%s: %s: %.150s", what, name, why->reason, why->text);
}

/* Ready means that the token is open; when it has been listed, too, the daemon knows which rings are empty. */
static struct signet_status *settled(struct keeper *k, struct signet *s, struct err *e)
{
    struct signet_error why;

    for (;;) {
        struct signet_status *st = signet_get_status(s, &why);
        if (st && st->ready)
            return st;
        if (st)
            why = st->trouble;
        signet_status_free(st);
        no_key("signetd", "", &why, e);
        int64_t left = k->deadline_ms - mono_ms(), wait = why.retry_after_ms;
        if (why.code != SIGNET_UNAVAILABLE || !wait || left <= 0)
            return NULL;
        struct err late;
        if (await(k, k->daemon_fd, -1, wait < left ? wait : left, "", &late) || k->abandoned)
            return NULL;
    }
}

static bool fill_ring(struct keeper *k, struct signet *s, const char *ring, struct err *e)
{
    bool import = !k->config && strcmp(ring, printed_ring) == 0;
    int64_t left = k->deadline_ms - mono_ms();
    struct signet_error why;

    signet_set_timeout(s, left > 1 ? (uint32_t)left : 1);
    struct signet_key_list *made = import ? signet_import_key(s, ring, printed_secret, strlen(printed_secret), &why)
                                          : signet_generate_key(s, ring, &why);
    bool ok = made || no_key("no key could be made for ring ", ring, &why, e);
    struct err none;

    signet_key_list_free(made);
    await(k, -1, -1, 0, "", &none);          /* a large key took its time: is anyone still there? */
    return ok && !k->abandoned;
}

static bool fill_rings(struct keeper *k, struct err *e)
{
    struct path admin = path_of(k, THROWAWAY_ADMIN_SOCKET);
    struct signet_error why;
    struct signet *s = signet_open_admin(admin.text, &why);
    struct signet_status *st = s ? settled(k, s, e) : NULL;
    bool ok = st || (!s && no_key("signetd", "", &why, e));

    for (size_t i = 0; ok && i < st->n_rings; i++)
        ok = *st->rings[i].active_kid || fill_ring(k, s, st->rings[i].name, e);
    signet_status_free(st);
    signet_close(s);
    return ok;
}

/* --- the keeper ----------------------------------------------------------------------------------------------- */

/* To the end of the lifeline. The daemon's own end is told at once: the command would only see that nobody answers. */
static void stand_by(struct keeper *k)
{
    struct err e;

    if (!await(k, k->daemon_fd, -1, INT32_MAX, "", &e))
        return;
    fprintf(stderr, "signet dev: signetd has ended; what it said:\n");
    show_log(k);
    while (!k->abandoned)
        await(k, -1, -1, INT32_MAX, "", &e);
}

static bool begin(struct keeper *k, struct err *e)
{
    CLEANUP(buf_clear) struct buf user;

    buf_init(&user, 0);
    if (k->config && !cli_read(k->config, &user, CLI_MAX_FILE))
        return err_set(e, ERR_CONFIG_INVALID, "there is no configuration");
    return place(k, e) && (k->module = throwaway_token(k->log, e)) && write_config(k, &user, e) &&
           start_daemon(k, e) && fill_rings(k, e);
}

static bool clear(struct keeper *k)
{
    end_daemon(k);
    free(k->module);
    closep(&k->daemon_fd);
    closep(&k->log);
    if (!*k->dir)
        return true;
    if (chdir("/") == 0 && nftw(k->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0)
        return true;
    fprintf(stderr, "signet dev: '%s' cannot be removed: %s\n", k->dir, strerror(errno));
    return false;
}

int throwaway_keep(const char *config, int lifeline, int ready)
{
    struct keeper k = { .config = config, .lifeline = lifeline, .log = -1, .daemon_fd = -1,
                        .deadline_ms = mono_ms() + START_MS };
    struct err e;

    setsid();                                /* Ctrl-C is for the command */
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    bool ok = begin(&k, &e) && write(ready, k.dir, strlen(k.dir)) == (ssize_t)strlen(k.dir);
    if (!ok && !k.abandoned) {
        fprintf(stderr, "signet dev: %s\n", e.text);
        if (k.log >= 0)
            show_log(&k);
    }
    close(ready);
    if (ok)
        stand_by(&k);
    return clear(&k) && ok ? EXIT_DONE : EXIT_REFUSED;
}
