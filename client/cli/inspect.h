/* inspect: the parts of a token in words: what `signet inspect` and `signet sign --dry-run` share. */
#ifndef SIGNET_CLI_INSPECT_H
#define SIGNET_CLI_INSPECT_H

#include <jansson.h>

/* Under its name: `json` indented, or (NULL) that its `len` bytes are none. */
void inspect_part(const char *name, const json_t *json, size_t len);
/* The times of a payload as a person reads them. */
void inspect_times(const json_t *payload);

#endif
