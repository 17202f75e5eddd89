#include "daemon/broker/ops/ops.h"
#include "daemon/broker/signing.h"
#include "proto/jose/b64url.h"

#include <string.h>

/* Out of the signing input itself, so that nothing can be shown that would not be signed. */
static bool take_apart(const struct buf *signing_input, struct buf *header, struct buf *payload)
{
    const char *at = (const char *)signing_input->data, *dot = memchr(at, '.', signing_input->len);
    size_t header_len = (size_t)(dot - at);

    return b64url_decode(header, at, header_len) && buf_append_char(header, '\0') &&
           b64url_decode(payload, dot + 1, signing_input->len - header_len - 1);
}

static void reply(struct request *rq, const struct signing *s, const struct buf *header, const struct buf *payload)
{
    Signet__V1__Reply r = SIGNET__V1__REPLY__INIT;
    Signet__V1__PreviewReply preview = SIGNET__V1__PREVIEW_REPLY__INIT;
    Signet__V1__SignReply sign;

    signing_reply(s, &sign);
    preview.header = (char *)header->data;
    preview.payload = (ProtobufCBinaryData){ payload->len, payload->data };
    preview.kid = sign.kid;
    preview.expires_at = sign.expires_at;
    r.result_case = SIGNET__V1__REPLY__RESULT_PREVIEW;
    r.preview = &preview;
    request_reply(rq, &r);
}

static bool begin(struct request *rq, struct err *e)
{
    const Signet__V1__SignRequest *ask = rq->msg->preview->sign;

    if (!ask)
        return err_set(e, ERR_BAD_REQUEST, "the preview names nothing to be signed: 'sign' is missing");
    CLEANUP(signing_clear) struct signing s;
    CLEANUP(buf_clear) struct buf header, payload;
    size_t max = rq->conf->config->daemon.max_request;
    buf_init(&header, max);
    buf_init(&payload, max);
    if (!signing_prepare(&s, rq, ask, e))
        return false;
    if (!take_apart(&s.token, &header, &payload))
        return err_set(e, ERR_NO_MEMORY, "no memory for the preview");
    reply(rq, &s, &header, &payload);
    return true;
}

const struct op op_preview = {
    SIGNET__V1__REQUEST__OP_PREVIEW, "preview", false, op_usual_deadline, begin, op_nothing, op_nothing,
};
