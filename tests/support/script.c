#include "tests/support/script.h"

#include "proto/buf.h"
#include "proto/frame.h"
#include "proto/jose/b64url.h"

#include <CUnit/CUnit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

bool script_put(int fd, const void *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = send(fd, (const char *)bytes + at, len - at, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

static bool get(int fd, void *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = recv(fd, (char *)bytes + at, len - at, 0);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

bool script_put_frame(int fd, const void *message, size_t len)
{
    uint8_t header[FRAME_HEADER_LEN];

    frame_header(header, len);
    return script_put(fd, header, sizeof header) && script_put(fd, message, len);
}

bool script_put_reply(int fd, const Signet__V1__Reply *r)
{
    static uint8_t bytes[FRAME_MAX_REPLY];

    if (signet__v1__reply__get_packed_size(r) > sizeof bytes)
        _exit(3);
    return script_put_frame(fd, bytes, signet__v1__reply__pack(r, bytes));
}

void script_say_reload(int fd, uint64_t id, uint32_t generation)
{
    Signet__V1__Reply reply = SIGNET__V1__REPLY__INIT;
    Signet__V1__ReloadReply reload = SIGNET__V1__RELOAD_REPLY__INIT;

    reload.config_generation = generation;
    reply.request_id = id;
    reply.result_case = SIGNET__V1__REPLY__RESULT_RELOAD;
    reply.reload = &reload;
    script_put_reply(fd, &reply);
}

void script_say_error(int fd, uint64_t id, uint32_t code, const char *reason, const char *text)
{
    Signet__V1__Reply reply = SIGNET__V1__REPLY__INIT;
    Signet__V1__Error e = SIGNET__V1__ERROR__INIT;

    e.code = code;
    e.reason = (char *)(uintptr_t)reason;
    e.text = (char *)(uintptr_t)text;
    e.retry_after_ms = 12;
    reply.request_id = id;
    reply.result_case = SIGNET__V1__REPLY__RESULT_ERROR;
    reply.error = &e;
    script_put_reply(fd, &reply);
}

void script_token(char out[512], const char *payload)
{
    struct buf b;

    buf_init(&b, 511);
    if (!buf_append_str(&b, "e30.") || !b64url_encode(&b, payload, strlen(payload)) || !buf_append(&b, ".AA", 4))
        _exit(8);
    memcpy(out, b.data, b.len);
    buf_clear(&b);
}

const char *script_subject(const char *token)
{
    static _Thread_local char subject[256];
    const char *dot = strchr(token, '.'), *end = dot ? strchr(dot + 1, '.') : NULL;
    struct buf b;

    buf_init(&b, 512);
    subject[0] = '\0';
    if (end && b64url_decode(&b, dot + 1, (size_t)(end - dot - 1)) && b.len > 10)
        snprintf(subject, sizeof subject, "%.*s", (int)b.len - 10, (const char *)b.data + 8);       /* {"sub":" … "} */
    buf_clear(&b);
    return subject;
}

void script_say_token(int fd, uint64_t id, const char *subject)
{
    Signet__V1__Reply reply = SIGNET__V1__REPLY__INIT;
    Signet__V1__SignReply sign = SIGNET__V1__SIGN_REPLY__INIT;
    char payload[300], token[512];

    snprintf(payload, sizeof payload, "{\"sub\":\"%s\"}", subject);
    script_token(token, payload);
    sign.token = token;
    reply.request_id = id;
    reply.result_case = SIGNET__V1__REPLY__RESULT_SIGN;
    reply.sign = &sign;
    script_put_reply(fd, &reply);
}

/* --- its life ------------------------------------------------------------------------------------ */

static void serve_one(int fd, const struct script *s, unsigned *nth)
{
    static uint8_t bytes[256 * 1024];
    uint8_t header[FRAME_HEADER_LEN];
    bool more = true;

    while (more && get(fd, header, sizeof header)) {
        size_t len = (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3];
        if (len > sizeof bytes || !get(fd, bytes, len))
            return;
        Signet__V1__Request *rq = signet__v1__request__unpack(NULL, len, bytes);
        if (!rq)
            _exit(4);
        more = s->answer(fd, rq, (*nth)++, s->arg);
        signet__v1__request__free_unpacked(rq, NULL);
    }
}

static _Noreturn void serve(int listener, const struct script *s, bool many)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    for (unsigned nth = 0;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            _exit(5);
        if (!many || fork() == 0) {
            if (many) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                close(listener);
            }
            serve_one(fd, s, &nth);
            if (many)
                _exit(0);
        }
        close(fd);
    }
}

static void listen_as(struct script *s, bool many)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };

    memcpy(a.sun_path, s->path, strlen(s->path) + 1);
    unlink(s->path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(bind(listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(listener, 64) == 0);
    s->pid = fork();
    if (s->pid == 0)
        serve(listener, s, many);
    close(listener);
}

struct script script_prepare(script_answer *answer, const void *arg)
{
    struct script s = { .dir = "/tmp/signet-script-XXXXXX", .answer = answer, .arg = arg };

    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(s.dir));
    snprintf(s.path, sizeof s.path, "%s/socket", s.dir);
    return s;
}

void script_listen(struct script *s)
{
    listen_as(s, false);
}

struct script script_start(script_answer *answer, const void *arg)
{
    struct script s = script_prepare(answer, arg);

    listen_as(&s, false);
    return s;
}

struct script script_start_many(script_answer *answer, const void *arg)
{
    struct script s = script_prepare(answer, arg);

    listen_as(&s, true);
    return s;
}

void script_kill(struct script *s)
{
    int status = 0;

    if (s->pid <= 0)
        return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, &status, 0);
    CU_ASSERT_TRUE(WIFSIGNALED(status));        /* the script itself never failed */
    s->pid = 0;
}

void script_stop(struct script *s)
{
    script_kill(s);
    unlink(s->path);
    rmdir(s->dir);
}
