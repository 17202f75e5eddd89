#!/usr/bin/python3
"""signet_client: sign and verify JSON Web Tokens through signetd, as signet-protocol(7) says.

    protoc --python_out=. -I../../../proto signet.proto     # makes signet_pb2.py; Debian's protobuf-compiler
    ./signet_client.py PROFILE SUBJECT                      # needs Debian's python3-protobuf

One call at a time: each thread, and each child after a fork, makes a Client of its own.
"""
import contextlib
import json
import os
import socket
import struct
import sys
import time

from google.protobuf.message import DecodeError

import signet_pb2 as pb

DEADLINE_EXCEEDED, UNAVAILABLE = 4, 14      # of gRPC's codes, those that a client finds by itself
MAX_REPLY = 1024 * 1024                     # bytes


class SignetError(Exception):
    def __init__(self, code, reason, text, retry_after_ms=0):
        super().__init__(f"{reason}: {text}")
        self.code, self.reason, self.text, self.retry_after_ms = code, reason, text, retry_after_ms


class Client:
    def __init__(self, path=None, timeout=5.0):
        self.path = path or os.environ.get("SIGNET_SOCKET") or "/run/signet/signet.sock"
        self.timeout, self.socket, self.last_id = timeout, None, 0

    def sign(self, profile, subject="", claims=None, **more):
        """A SignReply: token, kid, jti, expires_at. `more`: the other fields of SignRequest, such as ttl_s=600."""
        claims = None if claims is None else json.dumps(claims).encode()
        return self.call("sign", pb.SignRequest(profile=profile, subject=subject, claims=claims, **more))

    def verify(self, token, **more):
        """A VerifyReply: payload, profile, kid, expires_at. `more`: profile, audience."""
        return self.call("verify", pb.VerifyRequest(token=token.encode(), **more))

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def call(self, op, ask):
        until = time.monotonic() + self.timeout
        try:
            try:
                reply = self.exchange(op, ask, until)
            except ConnectionError:     # the daemon was restarted; asking twice is harmless
                self.close()
                reply = self.exchange(op, ask, until)
        except (OSError, DecodeError) as e:
            self.close()                # a late reply must never be taken for the next one's
            code, reason = ((DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED") if isinstance(e, TimeoutError) else
                            (UNAVAILABLE, "DAEMON_UNREACHABLE" if isinstance(e, OSError) else "PROTOCOL_BROKEN"))
            raise SignetError(code, reason, f"signetd at '{self.path}': {e}") from e
        if reply.HasField("error"):
            raise SignetError(reply.error.code, reply.error.reason, reply.error.text, reply.error.retry_after_ms)
        return getattr(reply, op)

    def exchange(self, op, ask, until):
        if not self.socket:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.within(until).connect(self.path)
        self.last_id += 1
        left_ms = max(int((until - time.monotonic()) * 1000), 1)
        message = pb.Request(request_id=self.last_id, deadline_ms=left_ms, **{op: ask}).SerializeToString()
        # Where the daemon has closed, why it did may stand unread.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.within(until).sendall(struct.pack(">I", len(message)) + message)
        length, = struct.unpack(">I", self.read(4, until))
        if not 0 < length <= MAX_REPLY:
            raise DecodeError("what answers there is no signetd")
        reply = pb.Reply.FromString(self.read(length, until))
        answer = reply.request_id, reply.WhichOneof("result")
        # An error about a frame that could not be read has no id.
        if answer not in ((self.last_id, op), (self.last_id, "error"), (0, "error")):
            raise DecodeError("the answer is to something else")
        return reply

    def read(self, n, until):
        got = b""
        while len(got) < n:
            more = self.within(until).recv(n - len(got))
            if not more:
                raise ConnectionResetError("it closed the connection")
            got += more
        return got

    def within(self, until):
        self.socket.settimeout(max(until - time.monotonic(), 0.001))      # 0 would mean: do not wait at all
        return self.socket


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: signet_client.py PROFILE SUBJECT")
    client = Client()
    try:
        token = client.sign(*sys.argv[1:]).token
        print(token, client.verify(token).payload.decode(), sep="\n")
    except SignetError as e:
        sys.exit(f"signet_client: {e}")
