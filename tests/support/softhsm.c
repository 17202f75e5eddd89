#include "tests/support/softhsm.h"

#include <dlfcn.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* SoftHSM 2.6.1 itself forgets an Ed25519 curve's name at each use; a whole stack is needed to see whose leak it is. */
const char *__asan_default_options(void) __attribute__((visibility("default")));
const char *__lsan_default_suppressions(void) __attribute__((visibility("default")));
const char *__asan_default_options(void) { return "fast_unwind_on_malloc=0"; }
const char *__lsan_default_suppressions(void) { return "leak:libsofthsm2"; }

static char dir[64];
static pid_t maker;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    return remove(path);
}

/* Forked children end by exit too: the token is its maker's. */
static void clean_up(void)
{
    if (getpid() == maker)
        nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void give_up(const char *what)
{
    fprintf(stderr, "cannot %s: is softhsm2 installed (contrib/packages)?\n", what);
    exit(100);
}

void softhsm_add(const char *label)
{
    char *const args[] = { "softhsm2-util", "--init-token", "--free", "--label", (char *)label,
                           "--so-pin", "12345678", "--pin", SOFTHSM_PIN, NULL };
    posix_spawn_file_actions_t quiet;
    pid_t pid;
    int status;

    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", 1, 0);
    if (posix_spawnp(&pid, args[0], &quiet, NULL, args, environ) != 0 || waitpid(pid, &status, 0) != pid || status != 0)
        give_up("make a SoftHSM token");
    posix_spawn_file_actions_destroy(&quiet);
}

void softhsm_begin(const char *label)
{
    char path[128];

    snprintf(dir, sizeof dir, "/tmp/signet-test-XXXXXX");
    if (!mkdtemp(dir))
        give_up("make a directory in /tmp");
    maker = getpid();
    atexit(clean_up);
    snprintf(path, sizeof path, "%s/tokens", dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/softhsm2.conf", dir);
    FILE *f = fopen(path, "w");
    if (!f)
        give_up("write SoftHSM's configuration");
    fprintf(f, "directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n", dir);
    fclose(f);
    setenv("SOFTHSM2_CONF", path, 1);
    softhsm_add(label);
    dlopen(SOFTHSM_MODULE, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);      /* a leak's stack is read at exit */
}

const char *softhsm_dir(void)
{
    return dir;
}
