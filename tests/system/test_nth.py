"""Every allocation, every write and every PKCS#11 call of the daemon's processes fails once in turn, in a start, in all
that callers, operators and readers of the publisher's pages ask for, and in its end: no process crashes of it, every request is answered by what it asked
for or by an error that says why, nothing leaks, and it goes on; a role that gives up is replaced. And every allocation and
write of libsignet's calls, in a client of a daemon that is well (tests/nth/client.c).

SIGNET_FULL=1: each of them; else some, the same each time. SIGNET_SEED=N: others.
"""
import contextlib
import http.client
import os
import random
import re
import signal
import socket
import time
import unittest

import faults
import wire
from nth import Control, NthDaemon
from rig import BUILD, PATIENCE, Daemon, Place, main, profile, ring, run, until

FULL = bool(os.environ.get("SIGNET_FULL"))
SEED = int(os.environ.get("SIGNET_SEED", time.time_ns() % 2 ** 32 if FULL else 1))
SOME = 1                             # of each operation's calls, in the default run
ROLES = ["", "broker", "signer 1", "verifier 1", "publisher"]
CKR_DEVICE_ERROR = 0x30
GENERATE_KEY, RELOAD, ROTATE_RING, REVOKE_KEY = 31, 33, 36, 37
RINGS = ring("web", "ES256", "create: yes", "verify_every: 1", "rotate_every: never") + ring("mac", "HS256", "create: yes")
PROFILES = profile("web", "web", "shop", "claims: {allowed: any}") + profile("mac", "mac", "mac", "claims: {allowed: any}")
JWKS = "/.well-known/jwks.json"
# {name: (path, fields, status)} of the publisher
PAGES = {
    "key set": (JWKS, {}, 200), "its head": (JWKS, {"Method": "HEAD"}, 200), "unchanged": (JWKS, {"If-None-Match": "*"}, 304),
    "discovery": ("/.well-known/openid-configuration", {}, 200), "page": ("/", {}, 200), "metrics": ("/metrics", {}, 200),
    "open metrics": ("/metrics", {"Accept": "application/openmetrics-text"}, 200), "readiness": ("/readyz", {}, 200),
    "nothing": ("/nothing", {}, 404), "a mistake": ("/", {"Content-Length": "5"}, 413),
}
# Of a process that was not told to end so; 9 is how the supervisor ends one that it gave up.
CRASHED = re.compile(r"was ended by signal (?!9 )\d+ .*")


def some_of(n, rng):
    """Numbers of calls, from 1."""
    return range(1, n + 1) if FULL or n <= SOME else sorted(rng.sample(range(1, n + 1), SOME))


class Failing(unittest.TestCase):
    """A daemon, and what fails in it: by tests/nth in one of its processes, or by tests/faults in the module."""

    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.remove)
        self.nth = Control(self.place)
        self.addCleanup(self.nth.close)
        self.module = faults.wrap(self.place)
        self.addCleanup(self.module.close)
        for function in self.module.layout.of:
            function.value = CKR_DEVICE_ERROR
        self.http = self.place.dir / "http.sock"
        self.daemon = NthDaemon(self.place, RINGS, PROFILES + f"http: {{listen: {self.http}}}\n",
                                "  verifiers: 1\n  deadline: 4s\n", "  signers: 2\n")
        self.addCleanup(self.daemon.kill)
        self.random = random.Random(f"{SEED} {self.id()}")

    def arm(self, role, kind, at):
        if kind == "pkcs11":
            self.module.arm("return", at, faults.LOGIN_TOO)
        else:
            self.nth.arm(role, kind, at)

    def disarm(self, kind):
        """(how many calls there were, whether one failed)"""
        if kind != "pkcs11":
            return self.nth.disarm()
        n = self.module.n_calls()
        return n, self.module.disarm()

    def no_crash(self):
        self.assertIsNone(CRASHED.search(self.daemon.said()), self.daemon.said()[-6000:])

    def stop(self):
        self.assertEqual(self.daemon.stop(), 0)
        self.no_crash()
        self.daemon.log.unlink()

    # --- what is asked: each leaves something to ask the next time

    def ask(self, op, body=b"", admin=False):
        """The reply: {field: value}; None: the connection was closed instead."""
        with wire.Connection(self.daemon.admin if admin else self.daemon.socket, timeout=PATIENCE) as c:
            with contextlib.suppress(BrokenPipeError):
                c.send(wire.request(op, body))
            return c.reply()

    def kid(self, state):
        listed = self.ask(wire.LIST_KEYS, admin=True)
        for number, value in wire.fields(listed[wire.LIST_KEYS]) if listed and wire.LIST_KEYS in listed else []:
            key = dict(wire.fields(value)) if number == 1 else {}
            if key.get(2) == b"web" and key.get(4) == state:
                return key[1]
        return b"none"

    def token(self, name):
        return until("it signs", lambda: self.signed(self.ask(wire.SIGN, wire.field(1, name))))

    def signed(self, reply):
        return reply and wire.SIGN in reply and dict(wire.fields(reply[wire.SIGN]))[1]

    def operations(self):
        """{name: (field, body, on the admin socket)}, of a daemon that is well."""
        return {
            "sign": lambda: (wire.SIGN, wire.field(1, "web"), False),
            "sign HMAC": lambda: (wire.SIGN, wire.field(1, "mac"), False),
            "verify": lambda: (wire.VERIFY, wire.field(2, self.token("web")), False),
            "verify HMAC": lambda: (wire.VERIFY, wire.field(2, self.token("mac")), False),
            "get keys": lambda: (wire.GET_KEYS, b"", False),
            "list": lambda: (wire.LIST_KEYS, b"", True),
            "status": lambda: (wire.GET_STATUS, b"", True),
            "generate": lambda: (GENERATE_KEY, wire.field(1, "web"), True),
            "destroy": lambda: (wire.DESTROY_KEY, wire.field(1, self.kid(b"next")), True),
            "rotate": lambda: (ROTATE_RING, wire.field(1, "web") + wire.field(2, 1), True),
            "revoke": lambda: (REVOKE_KEY, wire.field(1, self.kid(b"active")), True),
            "reload": lambda: (RELOAD, b"", True),
        }

    def is_answer(self, op, reply, role, kind):
        """By what was asked for, or an error with its reason and a sentence; a broker that fails may close instead."""
        if reply is None:
            return role == "broker"
        if op in reply:
            return True
        error = dict(wire.fields(reply[wire.ERROR]))
        return bool(error[2] and error[3])

    def fail_in(self, name, role, kind, at):
        """The operation with that call failing; at 0: with none. How many calls there were."""
        op, body, admin = self.operations()[name]()
        self.arm(role, kind, at)
        reply = self.ask(op, body, admin)
        n, done = self.disarm(kind)
        self.assertTrue(self.is_answer(op, reply, role, kind), f"{reply}; {self.daemon.said()[-3000:]}")
        if op == wire.SIGN and self.signed(reply):
            until("it verifies", lambda: wire.VERIFY in (self.ask(wire.VERIFY, wire.field(2, self.signed(reply))) or {}))
        self.no_crash()
        return n

    def heals(self):
        # SoftHSM calls a PIN wrong that it had no memory to try: nobody tries it again before its source changes.
        if "no signer tries this PIN again" in self.daemon.said():
            self.place.pin.touch()
        until("it signs", lambda: self.signed(self.ask(wire.SIGN, wire.field(1, "web"))))

    # --- what is read by HTTP

    def read(self, path, fields={}):
        """(status, body); None: the connection was closed instead."""
        fields = dict(fields)
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(str(self.http))
            client = http.client.HTTPConnection("localhost")
            client.sock = s
            try:
                client.request(fields.pop("Method", "GET"), path, headers=fields)
                reply = client.getresponse()
                return reply.status, reply.read()
            except (OSError, http.client.HTTPException):
                return None

    def fail_in_page(self, name, kind, at):
        path, fields, status = PAGES[name]
        self.arm("publisher", kind, at)
        reply = self.read(path, fields)
        n, failed = self.disarm(kind)
        if reply and reply[0] != status:
            self.assertTrue(failed)
            self.assertIn(reply[0], (503, 200) if status == 304 else (503,))     # without an ETag nobody has it already
        if reply and reply[0] in (200, 503) and "Method" not in fields:
            self.assertGreater(len(reply[1]), 0)
        if reply and reply[0] == 200 and path == JWKS and "Method" not in fields:
            self.assertEqual(reply[1], self.key_set)                     # all of it
        self.no_crash()
        return n

    def fail_in_snapshot(self, kind, at):
        """The next that is told, or the one after."""
        self.arm("publisher", kind, at)
        if at:
            until("it fails", lambda: self.nth.layout.n_done)
        else:
            until("one is told", lambda: self.nth.layout.n_calls > 0)
            n = 0
            while n != self.nth.layout.n_calls:                          # all of it
                n = self.nth.layout.n_calls
                time.sleep(0.1)
        self.no_crash()
        return self.disarm(kind)[0]

    def tells(self):
        """It knows the keys, and how things are now: the broker's next word reaches it."""
        def counted():
            reply = self.read("/metrics")
            found = reply and re.search(rb"^signet_signed_tokens_total (\d+)$", reply[1], re.M)
            return int(found[1]) if found else -1
        until("it knows how things are", lambda: counted() >= 0)
        before = counted()
        self.heals()
        until("it is told more", lambda: counted() > before)
        until("it is ready", lambda: self.read("/readyz") == (200, b"ready\n"))
        until("it knows the keys", lambda: self.read(JWKS) == (200, self.key_set))

    def each_page(self, kind):
        n_failed = 0
        self.daemon.start()
        self.key_set = until("it knows the keys", lambda: (r := self.read(JWKS)) and r[0] == 200 and r[1])
        scenes = {name: lambda at, name=name: self.fail_in_page(name, kind, at) for name in PAGES}
        if kind == "alloc":                                              # nothing is written for one
            scenes["snapshot"] = lambda at: self.fail_in_snapshot(kind, at)
        for name, fail in scenes.items():
            self.tells()
            n = fail(0)
            self.assertGreater(n, 0, name)
            # The first of a snapshot is for the message itself: without it nothing more is told.
            for at in sorted({*some_of(n, self.random), *([1] if name == "snapshot" else [])}):
                with self.subTest(f"{name}, {kind} {at} of {n} of 'publisher', seed {SEED}"):
                    fail(at)
                    n_failed += 1
                    self.tells()
        self.stop()
        print(f"{kind} of 'publisher', read by HTTP: {n_failed} failed", flush=True)

    def each_operation(self, role, kind):
        n_failed = 0
        self.daemon.start()
        for name in ["reload"] if role == "publisher" else self.operations():     # it has no part in the others
            n = self.fail_in(name, role, kind, 0)
            for at in some_of(n, self.random):
                with self.subTest(f"{name}, {kind} {at} of {n} of '{role or 'supervisor'}', seed {SEED}"):
                    self.fail_in(name, role, kind, at)
                    n_failed += 1
                    self.heals()
        self.stop()
        print(f"{kind} of '{role or 'supervisor'}': {n_failed} failed", flush=True)

    def start_or_say_why(self, role):
        """The supervisor alone may end; what it then says is for a person."""
        try:
            self.daemon.start()
        except AssertionError:
            self.assertEqual(role, "", self.daemon.said())
            self.assertGreater(self.daemon.process.wait(PATIENCE), 0)
            self.assertRegex(self.daemon.said(), r"memory|cannot")
            self.no_crash()
            self.assertNotRegex(self.daemon.said(), "AddressSanitizer|LeakSanitizer|runtime error:")
            self.daemon.log.unlink()
            return False
        return True

    def first_login(self, kind):
        """Its number among the calls that were counted, in a list: of a thousand calls chance seldom chooses one of two."""
        if kind != "pkcs11":
            return []
        calls = self.module.calls()
        return [self.module.n_calls() - len(calls) + calls.index("C_Login") + 1]

    def each_start(self, role, kind):
        self.daemon.start()
        self.stop()
        self.arm(role, kind, 0)
        self.daemon.start()
        n, _ = self.disarm(kind)
        some = sorted({*some_of(n, self.random), *self.first_login(kind)})
        self.stop()
        for at in some:
            with self.subTest(f"start, {kind} {at} of {n} of '{role or 'supervisor'}', seed {SEED}"):
                self.arm(role, kind, at)
                if self.start_or_say_why(role):
                    self.disarm(kind)
                    self.heals()
                    self.stop()
        print(f"start, {kind} of '{role or 'supervisor'}': {len(some)} of {n} failed", flush=True)

    def each_end(self, role, kind):
        self.daemon.start()
        self.arm(role, kind, 0)
        self.daemon.process.send_signal(signal.SIGTERM)
        self.daemon.process.wait(PATIENCE)
        n, _ = self.disarm(kind)
        for at in some_of(n, self.random):
            with self.subTest(f"end, {kind} {at} of {n} of '{role or 'supervisor'}', seed {SEED}"):
                self.daemon.start()
                self.arm(role, kind, at)
                self.stop()
                self.disarm(kind)


class Library(unittest.TestCase):
    def test_each_call_of_libsignet(self):
        place = Place()
        self.addCleanup(place.remove)
        daemon = Daemon(place, RINGS, PROFILES, "  deadline: 4s\n")
        self.addCleanup(daemon.kill)
        daemon.start()
        print(run([BUILD / "tests/nth/client", daemon.socket, daemon.admin], timeout=7000).decode(), flush=True)
        self.assertEqual(daemon.stop(), 0)


def add(role, kind):
    name = f"{kind}_of_the_{role.replace(' ', '_') or 'supervisor'}"
    for what in ("operation", "start", "end"):
        def test(self, what=what):
            getattr(self, f"each_{what}")(role, kind)
        setattr(Failing, f"test_each_{what}_{name}", test)


for each_role in ROLES:
    add(each_role, "alloc")
    add(each_role, "write")
add("module", "pkcs11")
for each_kind in ("alloc", "write"):
    setattr(Failing, f"test_each_page_{each_kind}", lambda self, kind=each_kind: self.each_page(kind))

if __name__ == "__main__":
    print(f"seed {SEED}")
    main()
