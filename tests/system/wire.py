"""wire: signet.v1 as bytes, by hand and without the project's own code: what a stranger's client would send."""
import socket
import struct

SIGN, SIGN_BATCH, VERIFY, GET_KEYS, GET_STATUS, PREVIEW, LIST_PROFILES, LIST_KEYS, IMPORT_KEY = 10, 11, 12, 13, 14, 15, 16, 30, 32
GENERATE_KEY, LIST_RINGS, PLAN_RING, DESTROY_KEY = 31, 34, 35, 38
ERROR = 2
INTERNAL, UNAVAILABLE = 13, 14
# What may be said of a token; any other reason says that it could not be judged.
VERDICTS = {"TOO_LARGE", "MALFORMED", "BAD_HEADER", "CRIT_UNSUPPORTED", "ALG_NOT_ALLOWED", "KEY_UNKNOWN", "KEY_UNUSABLE",
            "BAD_SIGNATURE", "BAD_PAYLOAD", "EXPIRED", "NOT_YET_VALID", "ISSUED_IN_FUTURE", "WRONG_ISSUER", "WRONG_AUDIENCE",
            "WRONG_TYPE"}
WINDOW = 32                  # requests in flight: less than any queue holds
MAX_REQUEST = 64 * 1024


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(raw):
    """[(number, value)], values int or bytes; of what the daemon sends, so anything odd is its mistake."""
    found, at = [], 0

    def number():
        nonlocal at
        n = shift = 0
        while True:
            byte = raw[at]
            at += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n
    while at < len(raw):
        tag = number()
        if tag & 7 == 0:
            found.append((tag >> 3, number()))
        else:
            assert tag & 7 == 2, f"wire type {tag & 7}"
            n = number()
            assert at + n <= len(raw), "a length past the end"
            found.append((tag >> 3, raw[at:at + n]))
            at += n
    return found


def frame(message):
    return struct.pack(">I", len(message)) + message


def request(op, body=b"", request_id=1, deadline_ms=0):
    head = field(1, request_id) + (field(2, deadline_ms) if deadline_ms else b"")
    return frame(head + field(op, body))


def sign(profile, subject="s", **kw):
    return request(SIGN, field(1, profile) + field(2, subject), **kw)


class Connection:
    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, raw):
        self.socket.sendall(raw)

    def exactly(self, n):
        """n bytes, or None where the other side has closed instead."""
        got = b""
        while len(got) < n:
            try:
                more = self.socket.recv(n - len(got))
            except ConnectionResetError:
                return None
            if not more:
                return None
            got += more
        return got

    def reply(self):
        """{field: value} of the next reply, or None where the connection was closed."""
        head = self.exactly(4)
        if head is None:
            return None
        return dict(fields(self.exactly(struct.unpack(">I", head)[0])))

    def verdicts(self, profile, tokens):
        """Of each token, in order: True where it is accepted, else the reason."""
        said = []
        for at in range(0, len(tokens), WINDOW):
            asked = tokens[at:at + WINDOW]
            self.send(b"".join(request(VERIFY, field(1, profile) + field(2, token), request_id=i + 1, deadline_ms=30000)
                               for i, token in enumerate(asked)))
            replies = {r[1]: r for r in (self.reply() for _ in asked)}
            said += [dict(fields(replies[i + 1][ERROR]))[2].decode() if ERROR in replies[i + 1] else VERIFY in replies[i + 1]
                     for i in range(len(asked))]
        return said

    def reason(self):
        reply = self.reply()
        return reply and dict(fields(reply[ERROR]))[2].decode()
