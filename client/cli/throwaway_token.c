/*
 * Relative paths: the process's working directory is the token's, and
 * softhsm2.conf has no way to quote an absolute one.
 */
#include "client/cli/throwaway_token.h"

#include "proto/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char **environ;

bool throwaway_put(const char *name, const void *bytes, size_t len, struct err *e)
{
    CLEANUP(closep) int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
        return err_sys(e, "'%s' cannot be written", name);
    return true;
}

static char *find_module(struct err *e)
{
    glob_t found = { 0 };
    char *module = NULL;

    glob("/usr/lib/softhsm/libsofthsm2.so", 0, NULL, &found);
    glob("/usr/lib*/*/softhsm/libsofthsm2.so", GLOB_APPEND, NULL, &found);
    if (found.gl_pathc)
        module = strdup(found.gl_pathv[0]);
    globfree(&found);
    if (!module)
        err_set(e, ERR_MODULE_MISSING, "there is no libsofthsm2.so: apt-get install libsofthsm2");
    return module;
}

struct pin { char text[33]; };

static bool random_pin(struct pin *out, struct err *e)
{
    uint8_t bytes[sizeof out->text / 2];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return err_sys(e, "no random bytes");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(out->text + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

static bool run_util(int log, char **argv, struct err *e)
{
    posix_spawn_file_actions_t files;
    pid_t pid;
    int status = -1;

    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, log, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, log, STDERR_FILENO);
    int why = posix_spawnp(&pid, argv[0], &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    if (why == ENOENT)
        return err_set(e, ERR_SYSTEM, "%s is not in PATH: apt-get install softhsm2", argv[0]);
    if (why)
        return err_set(e, ERR_SYSTEM, "%s cannot be started: %s", argv[0], strerror(why));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0 || err_set(e, ERR_TOKEN_FAILED, "%s could not make a token", argv[0]);
}

static bool make_token(int log, struct err *e)
{
    static const char conf[] = "directories.tokendir = tokens\nobjectstore.backend = file\nlog.level = ERROR\n";
    struct pin pin, so_pin;

    if (!random_pin(&pin, e) || !random_pin(&so_pin, e) ||
        !throwaway_put("softhsm2.conf", conf, sizeof conf - 1, e) ||
        !throwaway_put(THROWAWAY_PIN, pin.text, strlen(pin.text), e))
        return false;
    if (mkdir("tokens", 0700) < 0 || setenv("SOFTHSM2_CONF", "softhsm2.conf", 1) < 0)
        return err_sys(e, "no place for a token can be made");
    /* It knows no PIN file: a moment's argv, of a token that nobody else can reach. */
    char *argv[] = { "softhsm2-util", "--init-token", "--free", "--label", THROWAWAY_LABEL, "--so-pin", so_pin.text,
                     "--pin", pin.text, NULL };
    if (!run_util(log, argv, e))
        return false;
    return ftruncate(log, 0) == 0 || err_sys(e, "the log cannot be emptied");     /* of its chatter */
}

char *throwaway_token(int log, struct err *e)
{
    CLEANUP(freep) char *module = find_module(e);

    return module && make_token(log, e) ? TAKE(module) : NULL;
}
