#include "client/cli/program.h"

#include "proto/cleanup.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static char *runnable(const char *dir, const char *name)
{
    char *path;

    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return NULL;
    if (access(path, X_OK) == 0)
        return path;
    free(path);
    return NULL;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

char *program_signetd(struct err *e)
{
    static const char *const beside[] = { "signetd", "../sbin/signetd" };
    char self[PATH_MAX] = "", *path = NULL;

    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) {
        err_sys(e, "our own program cannot be found");
        return NULL;
    }
    *strrchr(self, '/') = '\0';
    if (ends_with(self, "/client/cli"))
        path = runnable(self, "../../daemon/signetd");
    for (size_t i = 0; !path && i < ARRAY_LEN(beside); i++)
        path = runnable(self, beside[i]);
    if (!path && access(SIGNETD_PATH, X_OK) == 0)
        path = strdup(SIGNETD_PATH);
    if (!path)
        err_set(e, ERR_SYSTEM, "signetd is neither beside '%.80s' nor '" SIGNETD_PATH "': install it there", self);
    return path;
}
