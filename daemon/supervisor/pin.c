#include "daemon/supervisor/pin.h"

#include "daemon/token/token.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char *from_credential(const char *name, struct err *e)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    char *path = NULL;

    if (!directory || !*directory)
        err_set(e, ERR_PIN_MISSING, "credential '%s': systemd passed none; set LoadCredential=%s:PATH in the unit",
                name, name);
    else if (asprintf(&path, "%s/%s", directory, name) < 0)
        err_set(e, ERR_NO_MEMORY, "out of memory");
    return path;
}

char *pin_path(const struct token_config *t, bool *out_none, struct err *e)
{
    *out_none = false;
    if (t->pin_credential)
        return from_credential(t->pin_credential, e);
    char *path = t->pin_file ? strdup(t->pin_file) : token_uri_pin_file(t->uri);
    if (!path && t->pin_file)
        err_set(e, ERR_NO_MEMORY, "out of memory");
    *out_none = !path && !t->pin_file;
    return path;
}

struct pin_mark pin_mark(const char *path)
{
    struct stat st;

    if (!path || stat(path, &st) < 0)
        return (struct pin_mark){ 0 };
    return (struct pin_mark){ true, st.st_dev, st.st_ino, st.st_mtim, st.st_size };
}

bool pin_mark_same(const struct pin_mark *a, const struct pin_mark *b)
{
    return a->there == b->there && a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}
