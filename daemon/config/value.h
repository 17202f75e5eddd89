/* value: durations, sizes, rates and times in words, read and written. Each reader says false for what is none. */
#ifndef SIGNET_CONFIG_VALUE_H
#define SIGNET_CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

bool value_number(const char *text, int64_t *out);         /* canonical decimal, not negative */
bool value_duration(const char *text, int64_t *out_ms);    /* 500ms 30s 15m 12h 30d 2w, 1h30m, 0 */
bool value_size(const char *text, int64_t *out_bytes);     /* 65536, 64KiB, 1MiB */
bool value_rate(const char *text, int64_t *out_per_s);     /* 2000/s */
bool value_bool(const char *text, bool *out);              /* yes no true false */
bool value_time(const char *text, int64_t *out_s);         /* Unix seconds, or 2026-11-24T10:00:00Z */
/* 127.0.0.1:8181, [::1]:8181 (numbers, no names; a port is not 0), or an absolute path that a socket may have. */
bool value_address(const char *text, struct sockaddr_storage *out, socklen_t *out_len);
/* Only this machine reaches it. */
bool value_address_is_local(const struct sockaddr_storage *a);

#define VALUE_MAX 32
void value_duration_write(int64_t ms, char out[VALUE_MAX]);    /* as it is read: 17m30s; not negative */
void value_time_write(int64_t t, char out[VALUE_MAX]);         /* 2026-11-24T10:00:00Z */

#endif
