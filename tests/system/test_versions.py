"""A library one version older or newer than the daemon, as an upgrade of either makes it: a man in the middle gives the
messages of one side what a later version of it would say, or takes what an earlier one would not have said."""
import contextlib
import json
import os
import socket
import struct
import subprocess
import tempfile
import threading

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FieldDescriptor

import wire
from rig import BUILD, Case, PATIENCE, SANITIZER, TOP, main, profile, ring, run

LATER_OP = 60                # of nobody, yet
LATER = wire.field(1000, 7), wire.field(1001, b"\xff later"), wire.varint(1002 << 3 | 5) + b"\0" * 4, \
    wire.varint(1003 << 3 | 1) + b"\0" * 8


def schema():
    with tempfile.NamedTemporaryFile() as out:
        run(["protoc", f"-I{TOP}/proto", f"--descriptor_set_out={out.name}", "signet.proto"])
        found = descriptor_pb2.FileDescriptorSet.FromString(out.read())
    pool = descriptor_pool.DescriptorPool()
    for file in found.file:
        pool.Add(file)
    return pool


POOL = schema()
REQUEST, REPLY = (POOL.FindMessageTypeByName(f"signet.v1.{n}") for n in ("Request", "Reply"))


def each(raw, kind, change):
    """The message with `change` made to it and to all within it: change(kind, fields) -> bytes before and after, fields"""
    known = []
    for number, value in wire.fields(raw):
        of = kind.fields_by_number[number]
        if of.type == FieldDescriptor.TYPE_MESSAGE:
            value = each(value, of.message_type, change)
        known.append((number, value))
    before, known, after = change(kind, known)
    return before + b"".join(wire.field(n, v) for n, v in known) + after


def later(kind, known):
    """Each has four fields more, of each form that there is."""
    return LATER[0], known, b"".join(LATER[1:])


def earlier(kind, known):
    """Each is without its newest field, but for those that one of must be there."""
    plain = [n for n, f in kind.fields_by_number.items() if f.containing_oneof is None]
    newest = max(plain, default=0) if len(plain) > 1 else 0
    return b"", [(n, v) for n, v in known if n != newest], b""


def later_operation(kind, known):
    return b"", [(LATER_OP if kind is REQUEST and n > 2 else n, v) for n, v in known], b""


def later_error(kind, known):
    return b"", [{1: (1, 99), 2: (2, b"SOMETHING_LATER")}.get(n, (n, v)) if kind.name == "Error" else (n, v)
                 for n, v in known], b""


class Middle:
    """Listens at `path` for callers of the daemon at `of`."""

    def __init__(self, path, of, ask=None, answer=None):
        self.path, self.of, self.changes = path, of, (ask, answer)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self.listener.accept()
                daemon = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                daemon.connect(str(self.of))
                for pair in ((caller, daemon, REQUEST, self.changes[0]), (daemon, caller, REPLY, self.changes[1])):
                    threading.Thread(target=self.carry, args=pair, daemon=True).start()

    @staticmethod
    def carry(source, to, kind, change):
        with contextlib.suppress(OSError), source.makefile("rb") as read:
            while len(head := read.read(4)) == 4:
                message = read.read(struct.unpack(">I", head)[0])
                to.sendall(wire.frame(each(message, kind, change) if change else message))
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)


class Versions(Case):
    rings = ring("web", "ES256", "create: yes") + ring("mac", "HS256", "rotate_every: never")
    profiles = profile("web", "web", "shop", "claims: {allowed: any}") + profile("mac", "mac", "mac.example")
    asked = [["jwks"], ["profile", "list", "--json"], ["profile", "show", "web", "--json"],
             ["sign", "--profile", "web", "--dry-run", "--subject", "s", "--json"]]
    asked_of_admin = [["key", "list", "--json"], ["ring", "list", "--json"], ["ring", "plan", "web", "--json"],
                      ["ring", "show", "web", "--json"]]

    @classmethod
    def prepare(cls):
        cls.daemon.cli("key", "import", "mac", stdin=b"s" * 32)

    @contextlib.contextmanager
    def between(self, **changes):
        """The rig's `signet` speaks with the daemon through them."""
        direct = self.daemon.socket, self.daemon.admin
        through = [Middle(self.place.dir / f"middle{i}", path, **changes) for i, path in enumerate(direct)]
        self.daemon.socket, self.daemon.admin = (m.path for m in through)
        try:
            yield
        finally:
            self.daemon.socket, self.daemon.admin = direct
            for m in through:
                m.close()

    def answers(self):
        """Of all that can be asked without changing anything; what depends on the moment is left out."""
        return [self.told(*ask) for ask in self.asked + self.asked_of_admin]

    def told(self, *ask):
        text = self.daemon.cli(*ask)[0]
        at_this_moment = {"expires_at", "iat", "exp", "jti", "now", "payload", "signatures"}

        def steady(v):
            return {k: steady(x) for k, x in v.items() if k not in at_this_moment} if isinstance(v, dict) else \
                [steady(x) for x in v] if isinstance(v, list) else v
        return steady(json.loads(text))

    def works(self):
        for name in ("web", "mac"):
            token = self.daemon.token(name, "--subject", "s")
            self.assertIn(b'"sub":"s"', self.daemon.cli("verify", token)[0])
        self.refused("CLAIM_NOT_ALLOWED", "sign", "--profile", "mac", "--claim", "x=y")
        self.assertTrue(json.loads(self.daemon.cli("status", "--admin", "--json")[0])["ready"])
        self.daemon.cli("reload")

    def hammered(self):
        """libsignet's calls that do not block, many at once"""
        hammer = subprocess.Popen([BUILD / "tests/system/hammer", self.daemon.socket, "web", "32", "0"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        counts = {"tokens": 0}
        while counts["tokens"] < 200:
            hammer.stdin.write(b"?\n")
            hammer.stdin.flush()
            counts = json.loads(hammer.stdout.readline())
            self.assertEqual((counts["wrong"], counts["twice"], counts["other"]), (0, 0, 0), counts)
        hammer.communicate(timeout=PATIENCE)
        self.assertEqual(hammer.returncode, 0)

    def test_an_older_library_reads_past_what_a_newer_daemon_says(self):
        direct = self.answers()
        with self.between(answer=later):
            self.assertEqual(self.answers(), direct)
            self.works()
            self.hammered()

    def test_an_older_daemon_reads_past_what_a_newer_library_asks(self):
        direct = self.answers()
        with self.between(ask=later):
            self.assertEqual(self.answers(), direct)
            self.works()
            self.hammered()

    def test_a_newer_library_does_without_what_an_older_daemon_does_not_say(self):
        with self.between(answer=earlier):
            for ask in [*self.asked, *self.asked_of_admin, ["status", "--admin", "--json"], ["status", "--admin"]]:
                with self.subTest(ask):
                    _, err = self.daemon.cli(*ask, want=None)
                    self.assertNotRegex(err, SANITIZER)
                    self.assertNotIn("PROTOCOL_BROKEN", err)
            self.hammered()

    def test_an_operation_that_the_daemon_does_not_know_is_refused_and_the_connection_goes_on(self):
        with self.between(ask=later_operation):
            err = self.refused("UNKNOWN_OPERATION", "sign", "--profile", "web")
            self.assertIn("is it older than the caller?", err)
        with wire.Connection(self.daemon.socket) as c:
            c.send(wire.request(LATER_OP, b"what it brings"))
            self.assertEqual(c.reason(), "UNKNOWN_OPERATION")
            c.send(wire.sign("web"))
            self.assertIn(wire.SIGN, c.reply())

    def test_a_reason_and_a_code_that_the_library_does_not_know_are_told_as_they_are(self):
        with self.between(answer=later_error):
            self.refused("SOMETHING_LATER", "sign", "--profile", "no-such-profile")


if __name__ == "__main__":
    main()
