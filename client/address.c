#include "client/address.h"

#include "client/error.h"

#include <stdlib.h>
#include <string.h>

static const struct { const char *variable, *standard; } doors[] = {
    [DOOR_CALLERS] = { "SIGNET_SOCKET", "/run/signet/signet.sock" },
    [DOOR_ADMIN] = { "SIGNET_ADMIN_SOCKET", "/run/signet/admin.sock" },
};

bool address_of(enum door door, const char *path, struct sockaddr_un *out, struct signet_error *e)
{
    const char *from_env = secure_getenv(doors[door].variable);

    if (!path)
        path = from_env && *from_env ? from_env : doors[door].standard;
    if (!*path || strlen(path) >= sizeof out->sun_path)
        return error_set(e, ERR_BAD_REQUEST, "the socket's path '%s' is %s", path,
                         *path ? "longer than a socket's path may be (107 bytes)" : "empty");
    *out = (struct sockaddr_un){ .sun_family = AF_UNIX };
    strcpy(out->sun_path, path);
    return true;
}
