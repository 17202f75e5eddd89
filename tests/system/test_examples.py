"""contrib/examples: each client signs and verifies against a real daemon, and says what was wrong with one that is
none; and the bytes that signet-protocol(7) prints are what both sides send."""
import concurrent.futures
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

import wire
from rig import (BUILD, Case, EXAMPLE_PROFILE, EXAMPLE_RING, PATIENCE, PRINTED_PAYLOAD, PRINTED_SECRET, PRINTED_TOKEN,
                 main, npm_packages, profile, ring, run)

TOP = pathlib.Path(__file__).resolve().parents[2]
PYTHON = TOP / "contrib/examples/python/signet_client.py"
NODE = TOP / "contrib/examples/node/signet_client.js"
GENERATED = BUILD.resolve() / "examples-python"
MANY = 300

GENERATED.mkdir(exist_ok=True)
run(["protoc", f"--python_out={GENERATED}", f"-I{TOP / 'proto'}", "signet.proto"])
sys.path += [str(GENERATED), str(PYTHON.parent)]
import signet_client                                                    # noqa: E402
import signet_pb2                                                       # noqa: E402


class Python:
    """Calls of one list on a connection each: the client makes one at a time."""
    command = ["/usr/bin/python3", str(PYTHON)]
    env = {"PYTHONPATH": str(GENERATED)}

    def __init__(self, path, timeout_ms=PATIENCE * 1000):
        self.clients = [signet_client.Client(str(path), timeout_ms / 1000) for _ in range(8)]

    def one(self, client, method, args):
        try:
            got = getattr(client, method)(*args)
        except signet_client.SignetError as e:
            return {"error": {k: getattr(e, k) for k in ("code", "reason", "text", "retry_after_ms")}}
        return {"value": {f.name: v.decode() if isinstance(v, bytes) else v for f, v in got.ListFields()}}

    def ask(self, *calls):
        with concurrent.futures.ThreadPoolExecutor(len(self.clients)) as threads:
            lanes = [threads.submit(lambda c=c, i=i: [self.one(c, *call) for call in calls[i::len(self.clients)]])
                     for i, c in enumerate(self.clients)]
            answers = [None] * len(calls)
            for i, lane in enumerate(lanes):
                answers[i::len(self.clients)] = lane.result(PATIENCE)
        return answers

    def close(self):
        for client in self.clients:
            client.close()


class Node:
    """Calls of one list at once on one connection."""
    command = ["node", str(NODE)]
    env = {}

    def __init__(self, path, timeout_ms=PATIENCE * 1000):
        self.process = subprocess.Popen(
            ["node", str(TOP / "tests/system/node/examples.js"), str(NODE), str(path), str(timeout_ms)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **self.env})

    @classmethod
    def install(cls):
        cls.env = {"NODE_PATH": str(npm_packages(NODE.parent) / "node_modules")}

    def ask(self, *calls):
        self.process.stdin.write(json.dumps([{"method": m, "args": a} for m, a in calls]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.communicate(timeout=PATIENCE)


def each_client(test):
    """The test for each of the examples, a subtest of its own."""
    def both(self):
        for client in (Python, Node):
            with self.subTest(client=client.__name__):
                test(self, client)
    return both


class Examples(Case):
    rings = ring("web", "ES256", "create: yes") + EXAMPLE_RING
    profiles = profile("web", "web", "shop", "claims: {allowed: any}", "deadline: 20s") + EXAMPLE_PROFILE + profile(
        "rare", "web", "rare.example", "rate: 1/s")

    @classmethod
    def prepare(cls):
        Node.install()
        cls.daemon.cli("key", "import", "printed", stdin=PRINTED_SECRET)

    def client(self, kind, *args):
        client = kind(*(args or [self.daemon.socket]))
        self.addCleanup(client.close)
        return client

    def value(self, answer):
        self.assertNotIn("error", answer)
        return answer["value"]

    @each_client
    def test_as_a_program_it_signs_and_verifies(self, kind):
        env = {**os.environ, **kind.env, "SIGNET_SOCKET": str(self.daemon.socket)}
        token, payload = run([*kind.command, "web", "1234567890"], env=env).decode().splitlines()
        self.assertEqual(json.loads(payload)["sub"], "1234567890")
        self.assertEqual(self.daemon.cli("verify", token)[0].decode().strip(), payload)
        done = subprocess.run([*kind.command, "no-such", "x"], env=env, capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, "^signet_client: UNKNOWN_PROFILE: .*'no-such'")

    @each_client
    def test_many_at_once_come_back_to_their_own(self, kind):
        client = self.client(kind)
        subjects = [f"subject {i}" for i in range(MANY)]
        tokens = [self.value(a)["token"] for a in client.ask(*(("sign", ["web", s, {"n": s}]) for s in subjects))]
        payloads = [json.loads(self.value(a)["payload"]) for a in client.ask(*(("verify", [t]) for t in tokens))]
        self.assertEqual([(p["sub"], p["n"]) for p in payloads], [(s, s) for s in subjects])

    @each_client
    def test_an_error_has_code_reason_and_text(self, kind):
        calls = ("sign", ["no-such", "x"]), ("verify", ["a.b.c"]), ("sign", ["web", "x"])
        unknown, broken, good = self.client(kind).ask(*calls)
        self.assertEqual((unknown["error"]["code"], unknown["error"]["reason"]), (5, "UNKNOWN_PROFILE"))
        self.assertIn("'no-such'", unknown["error"]["text"])
        self.assertEqual((broken["error"]["code"], broken["error"]["reason"]), (3, "MALFORMED"))
        self.value(good)

    @each_client
    def test_a_refusal_that_passes_says_when(self, kind):
        client = self.client(kind)
        refused = [a["error"] for a in client.ask(*[("sign", ["rare", "x"])] * 16) if "error" in a]
        self.assertEqual({(e["code"], e["reason"]) for e in refused}, {(8, "RATE_LIMITED")})
        self.assertTrue(all(e["retry_after_ms"] > 0 for e in refused), refused)

    @each_client
    def test_a_request_too_long_is_refused_and_the_next_one_served(self, kind):
        client = self.client(kind)
        # The second does not fit into the socket: the daemon has answered and closed while it is being sent.
        for size in (wire.MAX_REQUEST, 64 * wire.MAX_REQUEST):
            [long] = client.ask(("sign", ["web", "x" * size]))
            self.assertEqual((long["error"]["code"], long["error"]["reason"]), (3, "REQUEST_TOO_LARGE"), long)
            self.value(client.ask(("sign", ["web", "x"]))[0])

    @each_client
    def test_a_restart_in_between_is_not_noticed_and_an_end_is_named(self, kind):
        client = self.client(kind)
        self.value(client.ask(("sign", ["web", "before"]))[0])
        self.daemon.stop()
        try:
            gone = client.ask(*[("sign", ["web", "away"])] * 3)
        finally:
            self.daemon.start()
        self.assertEqual({(a["error"]["code"], a["error"]["reason"]) for a in gone}, {(14, "DAEMON_UNREACHABLE")})
        self.assertIn(str(self.daemon.socket), gone[0]["error"]["text"])
        for answer in client.ask(*[("sign", ["web", "after"])] * 30):
            self.value(answer)
        self.daemon.stop()
        self.daemon.start()
        for answer in client.ask(*[("sign", ["web", "after the next"])] * 30):
            self.value(answer)

    def test_the_bytes_that_the_man_page_prints(self):
        page = (TOP / "contrib/man/signet-protocol.7").read_text()
        blocks = re.findall(r"^\.Bd -literal -compact\n(0000  .*?)^\.Ed", page, re.M | re.S)
        sent, answered = (bytes.fromhex("".join(re.findall(r"^[0-9a-f]{4}  ([0-9a-f ]+)$", b, re.M))) for b in blocks)
        want = signet_pb2.Request(request_id=1, deadline_ms=1000)
        want.sign.profile, want.sign.payload = "example", PRINTED_PAYLOAD
        self.assertEqual(sent[:4], struct.pack(">I", len(sent) - 4))
        self.assertEqual(signet_pb2.Request.FromString(sent[4:]), want)
        self.assertEqual(sent, wire.frame(want.SerializeToString()))
        got = signet_pb2.Reply(request_id=1)
        got.sign.token = PRINTED_TOKEN
        self.assertEqual(answered, wire.frame(got.SerializeToString()))
        with wire.Connection(self.daemon.socket) as c:
            c.send(sent)
            self.assertEqual(c.exactly(len(answered)), answered)


class Stranger:
    """What listens where a daemon should: a saying for each connection, the last for all that follow, or what makes one of
    the bytes that came. It closes, or says no more."""

    def __init__(self, path, *sayings, closes):
        self.sayings, self.closes, self.taken = sayings, closes, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(str(path))
        self.socket.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            came, saying = c.recv(65536), self.sayings[min(len(self.taken), len(self.sayings) - 1)]
            c.sendall(saying(came) if callable(saying) else saying)
            self.taken.append(c)
            if self.closes:
                c.close()

    def end(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE)
        for c in [self.socket, *self.taken]:
            c.close()


def reply(request_id=1, **result):
    return wire.frame(signet_pb2.Reply(request_id=request_id, **result).SerializeToString())


def signs(came):
    """Answers the first of the requests that came."""
    request = signet_pb2.Request.FromString(came[4:4 + struct.unpack(">I", came[:4])[0]])
    return reply(request.request_id, sign=signet_pb2.SignReply(token="x"))


class Strangers(unittest.TestCase):
    """Nothing that answers in the daemon's place is taken for it, and no call hangs."""
    says = {
        "an empty frame": (bytes(4), False, "PROTOCOL_BROKEN"),
        "a frame past the limit": (struct.pack(">I", 1024 * 1024 + 1), False, "PROTOCOL_BROKEN"),
        "another protocol": (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, "PROTOCOL_BROKEN"),
        "a frame of no message": (wire.frame(b"\xff\xff"), False, "PROTOCOL_BROKEN"),
        "the answer to another operation": (reply(get_status=signet_pb2.GetStatusReply()), False, "PROTOCOL_BROKEN"),
        "an answer of nothing": (reply(), False, "PROTOCOL_BROKEN"),
        "an error of the connection": (reply(0, error=signet_pb2.Error(
            code=8, reason="TOO_MANY_CONNECTIONS", text="full")), True, "TOO_MANY_CONNECTIONS"),
        "half a frame and the end": (reply(sign=signet_pb2.SignReply(token="x" * 99))[:50], True, "DAEMON_UNREACHABLE"),
        "the end": (b"", True, "DAEMON_UNREACHABLE"),
        "half a frame and silence": (reply(sign=signet_pb2.SignReply(token="x" * 99))[:50], False, "DEADLINE_EXCEEDED"),
        "silence": (b"", False, "DEADLINE_EXCEEDED"),
    }

    @classmethod
    def setUpClass(cls):
        Node.install()

    @each_client
    def test_each_is_named(self, kind):
        for name, (says, closes, reason) in self.says.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "s.sock"
                stranger = Stranger(path, says, closes=closes)
                # Only where it must run out is the time short.
                client = kind(path, 500 if reason == "DEADLINE_EXCEEDED" else PATIENCE * 1000)
                try:
                    [answer] = client.ask(("sign", ["web", "x"]))
                finally:
                    client.close()
                    stranger.end()
                self.assertEqual(answer.get("error", {}).get("reason"), reason, answer)
                self.assertEqual(len(stranger.taken), 2 if reason == "DAEMON_UNREACHABLE" else 1)

    @each_client
    def test_what_a_connection_left_unanswered_is_asked_again_on_another(self, kind):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "s.sock"
            stranger = Stranger(path, b"", reply(2, sign=signet_pb2.SignReply(token="x")), closes=True)
            client = kind(path)
            try:
                [answer] = client.ask(("sign", ["web", "x"]))
                self.assertEqual(answer.get("value", {}).get("token"), "x", answer)
            finally:
                client.close()
                stranger.end()

    def test_a_restart_is_waited_for(self):
        """By the client in node, as an app server's must: the other is for scripts."""
        away = [reply(i, error=signet_pb2.Error(code=14, reason=reason, text="not now", retry_after_ms=100))
                for i, reason in ((1, "DRAINING"), (2, "STARTING"))]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "s.sock"
            before = Stranger(path, *away, signs, closes=True)
            client = Node(path)
            self.addCleanup(client.close)
            try:
                [answer] = client.ask(("sign", ["web", "x"]))
                self.assertEqual(answer.get("value", {}).get("token"), "x", answer)
            finally:
                before.end()
            path.unlink()                        # nobody listens, until another does
            with concurrent.futures.ThreadPoolExecutor(1) as meanwhile:
                asked = meanwhile.submit(client.ask, ("sign", ["web", "x"]))
                after = Stranger(path, signs, closes=True)
                try:
                    [answer] = asked.result(PATIENCE)
                    self.assertEqual(answer.get("value", {}).get("token"), "x", answer)
                finally:
                    after.end()

    @each_client
    def test_no_daemon_is_named_with_its_path(self, kind):
        client = kind("/nonexistent/s.sock")
        self.addCleanup(client.close)
        [answer] = client.ask(("sign", ["web", "x"]))
        self.assertEqual((answer["error"]["code"], answer["error"]["reason"]), (14, "DAEMON_UNREACHABLE"))
        self.assertIn("/nonexistent/s.sock", answer["error"]["text"])


class C(Case):
    """The programs of contrib/examples/c, and the README's, compiled as it says."""
    rings = ring("web", "ES256", "create: yes") + EXAMPLE_RING
    profiles = (profile("web-session", "web", "shop", "claims: {allowed: [name]}") + EXAMPLE_PROFILE +
                profile("hmac", "hmac", "hmac"))
    rings += ring("hmac", "HS256", "create: yes")

    def run_example(self, *argv, want=0):
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=PATIENCE,
                              env={**self.place.env, "SIGNET_SOCKET": str(self.daemon.socket)})
        self.assertEqual(done.returncode, want, done.stderr)
        return done.stdout, done.stderr

    def test_poll(self):
        subjects = [str(n) for n in range(MANY)]
        out, _ = self.run_example(BUILD / "contrib/examples/c/example-poll", "web-session", *subjects)
        tokens = dict(line.split() for line in out.splitlines())
        self.assertEqual(set(tokens), set(subjects))
        self.assertIn('"sub":"7"', self.daemon.cli("verify", tokens["7"])[0].decode())
        _, err = self.run_example(BUILD / "contrib/examples/c/example-poll", "none", "1", want=1)
        self.assertIn("UNKNOWN_PROFILE", err)

    def test_libevent(self):
        for name in ("web-session", "hmac"):
            out, _ = self.run_example(BUILD / "contrib/examples/c/example-libevent", name, *[str(n) for n in range(50)])
            said = dict(line.split(": ", 1) for line in out.splitlines())
            self.assertEqual({n: json.loads(payload)["sub"] for n, payload in said.items()},
                             {str(n): str(n) for n in range(50)})

    def test_the_program_of_the_readme(self):
        program = re.search(r"```c\n(.*?)```", (TOP / "README.md").read_text(), re.S)[1]
        self.assertLess(len(program.splitlines()), 40)
        library = (BUILD / "client").resolve()
        sanitized = "asan" in run(["readelf", "-d", library / "libsignet.so.0"]).decode()
        with tempfile.TemporaryDirectory() as there:
            (pathlib.Path(there) / "app.c").write_text(program)
            run(["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", *(["-fsanitize=address,undefined"] if sanitized else []),
                 "-I", TOP / "client", "app.c", library / "libsignet.so.0", f"-Wl,-rpath,{library}", "-o", "app"], cwd=there)
            out, _ = self.run_example(pathlib.Path(there) / "app", "42")
        token, payload = out.split()[0], json.loads(out.split("\n", 1)[1])
        self.assertEqual((payload["sub"], payload["name"]), ("42", "John Doe"))
        self.daemon.cli("verify", token)


if __name__ == "__main__":
    main()
