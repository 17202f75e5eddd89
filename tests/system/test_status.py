"""What the daemon says of itself while it works: what became of requests, how long they took, whether its token signs now."""
import collections
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

import pyte

import faults
import wire
from fleet import Time
from rig import PATIENCE, SANITIZER, SIGNET, Case, Daemon, EachCase, Place, main, profile, ring, until
from test_words import DAY, GOOD, NOW, Scripted, error, key, message
from test_words import status as ring_status

TWO = (profile("web", "web", "shop", "claims: {allowed: any}", "max_ttl: 15m", "ttl: 1m", "leeway: 0s") +
       profile("api", "web", "bank", "claims: {allowed: [role]}", "ttl: 1m"))
signal.signal(signal.SIGHUP, signal.SIG_DFL)     # what nohup starts would have its children ignore it
RINGS, PROFILES = 256, 512       # about what a configuration has values for: a reply must have room for them
RESULTS = 2048                   # with a profile


def status(daemon):
    return json.loads(daemon.cli("status", "--admin", "--json", want=None)[0])


def results(st):
    return {(r["op"], r["profile"], r["result"]): r["n"] for r in st["results"]}


def stage(st, op, name):
    [found] = [s for s in st["stages"] if (s["op"], s["stage"]) == (op, name)]
    return found


class Requests(Case):
    rings = ring("web", "ES256", "create: yes", "verify_every: 1")
    profiles = TWO

    def more(self, before, after):
        """What came to the counts, but for those of this test's own looking."""
        found = collections.Counter(results(after))
        found.subtract(results(before))
        return {k: n for k, n in found.items() if n and k[0] not in ("get_status", "list_keys")}

    def test_each_counts_once_by_operation_profile_and_result(self):
        before = status(self.daemon)
        token = self.daemon.token("web")
        self.daemon.token("api")
        self.daemon.cli("sign", "--profile", "web", "--dry-run")
        self.refused("TTL_TOO_LONG", "sign", "--profile", "web", "--ttl", "1d")
        self.refused("CLAIM_NOT_ALLOWED", "sign", "--profile", "api", "--claim", "x=y")
        self.refused("UNKNOWN_PROFILE", "sign", "--profile", "none")
        self.daemon.cli("verify", token)
        self.refused("WRONG_AUDIENCE", "verify", "--profile", "api", token)
        self.daemon.cli("jwks")
        with wire.Connection(self.daemon.socket) as c:
            c.send(wire.request(29))
            c.reason()
            c.send(wire.frame(b"\xff"))
            c.reason()
        self.assertEqual(self.more(before, status(self.daemon)), {
            ("sign", "web", "OK"): 1, ("sign", "api", "OK"): 1, ("preview", "web", "OK"): 1,
            ("sign", "web", "TTL_TOO_LONG"): 1, ("sign", "api", "CLAIM_NOT_ALLOWED"): 1, ("sign", "", "UNKNOWN_PROFILE"): 1,
            ("verify", "web", "OK"): 1, ("verify", "api", "WRONG_AUDIENCE"): 1, ("get_keys", "", "OK"): 1,
            ("unknown", "", "UNKNOWN_OPERATION"): 1, ("unknown", "", "BAD_REQUEST"): 1})

    def test_a_batch_counts_by_its_items(self):
        before = status(self.daemon)
        good, unknown = wire.field(1, "web"), wire.field(1, "none")
        long = wire.field(1, "web") + wire.field(4, 86400)
        with wire.Connection(self.daemon.socket) as c:
            c.send(wire.request(wire.SIGN_BATCH, b"".join(wire.field(1, item) for item in (good, long, good, unknown))))
            c.reply()
            c.send(wire.request(wire.SIGN_BATCH, b"".join(wire.field(1, good) for _ in range(257))))
            self.assertEqual(c.reason(), "BATCH_TOO_LARGE")
        after = status(self.daemon)
        self.assertEqual(self.more(before, after), {
            ("sign", "web", "OK"): 2, ("sign", "web", "TTL_TOO_LONG"): 1, ("sign", "", "UNKNOWN_PROFILE"): 1,
            ("sign", "", "BATCH_TOO_LARGE"): 1})
        self.assertEqual(sum(stage(after, "sign", "total")["counts"]) - sum(stage(before, "sign", "total")["counts"]), 2)

    def test_each_stage_has_the_time_of_all_that_was_answered(self):
        before = status(self.daemon)
        tokens = [self.daemon.token("web") for _ in range(5)]
        self.refused("TTL_TOO_LONG", "sign", "--profile", "web", "--ttl", "1d")
        for token in tokens[:3]:
            self.daemon.cli("verify", token)
        after = status(self.daemon)
        for op, n in (("sign", 5), ("verify", 3)):
            took = {}
            for name in ("queue", "token", "total"):
                old, new = stage(before, op, name), stage(after, op, name)
                self.assertEqual(new["bounds_us"], sorted(new["bounds_us"]))
                self.assertEqual(sum(new["counts"]) - sum(old["counts"]), n, (op, name))
                took[name] = new["sum_us"] - old["sum_us"]
            self.assertGreater(took["token"], 0)
            self.assertGreaterEqual(took["total"], took["queue"] + took["token"])

    def test_the_last_refusals_are_told_newest_first(self):
        for n in range(25):
            with wire.Connection(self.daemon.socket) as c:
                c.send(wire.sign("web", "s" * (n + 1)) if n < 3 else wire.request(wire.SIGN, wire.field(1, f"p{n}\x1b[2J")))
                c.reply()
        self.refused("TTL_TOO_LONG", "sign", "--profile", "web", "--ttl", "1d", uid=12345)
        said = status(self.daemon)["refusals"]
        self.assertEqual(len(said), 20)
        self.assertEqual({k: said[0][k] for k in ("uid", "op", "profile", "reason")},
                         {"uid": 12345, "op": "sign", "profile": "web", "reason": "TTL_TOO_LONG"})
        self.assertIn("p24", said[1]["text"])
        self.assertEqual({r["profile"] for r in said[1:]}, {""})
        self.assertEqual([r["at"] for r in said], sorted((r["at"] for r in said), reverse=True))

    def test_a_verdict_on_a_token_is_no_refusal(self):
        before = status(self.daemon)["refusals"]
        self.refused("MALFORMED", "verify", "--profile", "web", "x.y.z")
        self.assertEqual(status(self.daemon)["refusals"], before)

    def test_administrators_alone_are_told(self):
        said = json.loads(self.daemon.cli("status", "--json")[0])
        self.assertEqual({"results", "stages", "refusals", "proved_at"} & set(said), set())
        with wire.Connection(self.daemon.socket) as c:
            c.send(wire.request(wire.GET_STATUS))
            self.assertEqual({14, 15, 16, 17} & {n for n, _ in wire.fields(c.reply()[wire.GET_STATUS])}, set())

    def test_people_are_told_what_became_of_requests_and_how_long_they_took(self):
        self.daemon.token("web")
        self.refused("TTL_TOO_LONG", "sign", "--profile", "web", "--ttl", "1d")
        said = self.daemon.cli("status", "--admin")[0].decode()
        self.assertRegex(said, r"\nrequests since the start\n  OK +\d+\n")
        self.assertRegex(said, r"\n  TTL_TOO_LONG +\d+\n")
        self.assertRegex(said, r"\n  sign +p50, p99: total [\d.]+ m?s, [\d.]+ m?s; queue .*; token ")


class Reload(EachCase):
    rings = ring("web", "ES256", "create: yes")
    profiles = TWO

    def test_profiles_keep_their_counts_and_those_that_go_take_theirs_along(self):
        self.daemon.start()
        self.daemon.token("web")
        self.daemon.token("api")
        self.daemon.write(self.rings, profile("new", "web", "new") + profile("web", "web", "shop"))
        self.daemon.cli("reload")
        self.daemon.token("web")
        self.daemon.token("new")
        said = results(status(self.daemon))
        self.assertEqual(said["sign", "web", "OK"], 2)
        self.assertEqual(said["sign", "new", "OK"], 1)
        self.assertNotIn(("sign", "api", "OK"), said)
        self.daemon.stop()

    def test_a_reply_has_room_for_all_that_a_configuration_may_have(self):
        names = [f"{i:04}".ljust(64, "x") for i in range(PROFILES)]
        # HMAC rings have no key unless somebody makes one: of each the trouble is told.
        self.daemon.write(self.rings + "".join(ring(f"{i:03}".ljust(32, "r"), "HS256") for i in range(RINGS - 1)),
                          "".join(profile(name, "web", name, "max_ttl: 15m", "claims: {allowed: [r], required: [r]}")
                                  for name in names))
        self.daemon.start()
        wanted = [b"", wire.field(4, 86400), wire.field(3, "other"), wire.field(7, "{"), wire.field(8, "x")]
        with wire.Connection(self.daemon.socket) as c:
            for name in names:
                c.send(b"".join(wire.request(wire.SIGN, wire.field(1, name) + more) for more in wanted))
                reasons = {c.reason() for _ in wanted}
        self.assertEqual(len(reasons), len(wanted))
        said = status(self.daemon)
        self.assertEqual(len(said["rings"]), RINGS)
        self.assertEqual(len([r for r in said["results"] if r["profile"]]), RESULTS)
        self.assertEqual(sum(n for (op, _, _), n in results(said).items() if op == "sign"), PROFILES * len(wanted))
        self.daemon.stop()


class Faulty(unittest.TestCase):
    """A token that does what it is told, and time that passes as it is told."""

    def start(self, alg="ES256", signers=2):
        place = Place()
        self.addCleanup(place.remove)
        self.time = Time(place)
        self.addCleanup(self.time.close)
        self.control = faults.wrap(place)
        self.addCleanup(self.control.close)
        self.daemon = Daemon(place, ring("web", alg, "create: yes"), profile("web", "web", "shop"), token=f"  signers: {signers}\n")
        self.addCleanup(self.daemon.kill)
        self.daemon.start()


class Late(Faulty):
    def test_a_batch_that_is_too_late_counts_by_its_items_too(self):
        self.start()
        self.control.set("C_Sign", "delay", value=500)
        with wire.Connection(self.daemon.socket) as c:
            c.send(wire.request(wire.SIGN_BATCH, b"".join(wire.field(1, wire.field(1, "web")) for _ in range(30)), deadline_ms=50))
            self.assertEqual(c.reason(), "DEADLINE_EXCEEDED")
        self.control.set("C_Sign", "none")
        said = status(self.daemon)
        self.assertEqual({k: n for k, n in results(said).items() if k[0] == "sign"}, {("sign", "web", "DEADLINE_EXCEEDED"): 30})
        self.assertEqual(sum(stage(said, "sign", "total")["counts"]), 30)      # who waited in vain waited
        self.daemon.stop()


class Proved(Faulty):
    """That the token signs now is known without anybody asking for a signature."""

    def proved_at(self):
        return status(self.daemon)["proved_at"]

    def passes(self, seconds):
        self.time.pass_by(seconds)
        return self.time.now()

    def goes_on(self):
        until("it was proved at the start", self.proved_at)
        for _ in range(3):
            now = int(self.passes(60))
            until("it is proved again", lambda: self.proved_at() >= now)

    def test_while_nobody_asks_and_it_counts_for_nobody(self):
        self.start()
        before = status(self.daemon)
        self.goes_on()
        after = status(self.daemon)
        self.assertFalse([r for r in after["results"] if r["op"] in ("sign", "verify")])
        self.assertFalse(any(sum(s["counts"]) for s in after["stages"]))
        self.assertEqual({k: n for k, n in after["counters"].items() if "token" in k or "refused" in k},
                         {k: n for k, n in before["counters"].items() if "token" in k or "refused" in k})
        self.daemon.stop()

    def test_of_secrets_two_macs_that_agree_are_enough(self):
        for signers in 1, 2:
            with self.subTest(signers=signers):
                self.start("HS256", signers)
                self.goes_on()
                self.daemon.stop()

    def test_not_more_often_than_every_ten_seconds(self):
        self.start()
        until("it was proved at the start", self.proved_at)
        began = self.proved_at()
        self.passes(4)
        before = self.control["C_Sign"]["calls"]
        for _ in range(20):
            self.daemon.cli("status", "--admin")
        if self.time.now() < began + 9:                # else the machine is too slow to say
            self.assertEqual(self.control["C_Sign"]["calls"], before)
        self.daemon.stop()

    def test_a_token_that_signs_wrongly_is_proved_no_more_and_told(self):
        for alg in "ES256", "HS256":
            with self.subTest(alg):
                self.start(alg)
                until("it was proved at the start", self.proved_at)
                self.control.set("C_Sign", "flip")
                now = int(self.passes(60))
                until("it was tried", lambda: "the token made no test signature that is good: SIGNATURE_WRONG" in self.daemon.said())
                self.assertLess(self.proved_at(), now)
                self.control.set("C_Sign", "none")
                now = int(self.passes(60))
                until("it is proved again", lambda: self.proved_at() >= now)
                self.assertIn("the token signs again", self.daemon.said())
                self.daemon.stop()

    def test_a_token_that_is_known_gone_is_not_asked(self):
        self.start()
        until("it was proved at the start", self.proved_at)
        self.control.take_away()
        until("it is known", lambda: not status(self.daemon)["ready"])
        self.passes(60)
        before = self.control["C_Sign"]["calls"]
        until("a look later", lambda: not status(self.daemon)["ready"])
        self.assertEqual(self.control["C_Sign"]["calls"], before)
        self.control.put_back()
        now = int(self.time.now())
        until("it is proved again", lambda: self.proved_at() >= now)
        self.daemon.stop()


ENTER, LEAVE = b"\x1b[?1049h\x1b[?25l\x1b[?7l", b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
OURS = re.compile(rb"\x1b\[(\?(1049|25|7)[hl]|[HKJ]|\d+m)")
EVIL = "\x1b[2J\x1b]0;t\x07\x9b31m\u202e\r\n\tend"
BOUNDS = [50, 100, 200, 1000, 10000]


class Terminal:
    """`signet status --watch` on a terminal of its own, and what that shows."""

    def __init__(self, env, columns, rows, *args, term="xterm-256color"):
        self.ours, theirs = pty.openpty()
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.said = b""
        self.size(columns, rows)
        self.before = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            [SIGNET, "status", "--watch", "--interval", "1", *args], stdin=theirs, stdout=theirs, stderr=theirs,
            env={**env, "LC_ALL": "C.UTF-8", "TERM": term}, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.theirs = theirs                     # kept open: what was set on it can be asked afterwards

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.theirs)
        os.close(self.ours)
        assert not SANITIZER.search(self.said.decode(errors="replace")), self.said

    def size(self, columns, rows):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def read(self):
        while select.select([self.ours], [], [], 0)[0]:
            more = os.read(self.ours, 65536)
            self.said += more
            self.stream.feed(more)

    def rows(self):
        self.read()
        return [row.rstrip() for row in self.screen.display]

    def shows(self, pattern):
        """Waits until it does; returns the rows."""
        until(f"{pattern!r} is shown", lambda: re.search(pattern, "\n".join(self.rows())))
        return self.rows()

    def type(self, keys):
        os.write(self.ours, keys)

    def ends(self):
        status = self.process.wait(PATIENCE)
        self.read()
        return status


class Watch(unittest.TestCase):
    def answer(self, body=None):
        """The nth look at a busy daemon: a thousand signed and one refused since the one before."""
        self.n += 1
        def stage(op, name, k):
            counts = [n * k * self.n for n in (0, 90, 9, 1, 0)] + [1]
            return message((1, op), (2, name), *((3, bound) for bound in BOUNDS)) + b"".join(wire.field(4, n) for n in counts)
        return message(
            (1, "0.1"), (2, NOW - DAY), (3, 1), (5, message((1, "main" + EVIL), (2, "ACME"), (3, "HSM"))),
            *((6, ring_status(f"ring-{i:02}", "ES256", GOOD if i != 7 else "", (5, NOW + DAY * (i + 1)), (7, b"" if i != 7 else
              error(14, "KEY_UNPROVED", EVIL)))) for i in range(self.n_rings)),
            (7, message((1, 1), (2, 11), (3, "ready"))), (7, message((1, 2), (2, 12), (3, "failed"), (4, EVIL), (6, 3))),
            (8, message((1, "requests_in_flight"), (2, 5))), (10, 99), (11, EVIL), (14, NOW),
            (15, message((1, "sign"), (2, "p"), (3, "OK"), (4, 1000 * self.n))),
            (15, message((1, "sign"), (2, "p"), (3, "TTL_TOO_LONG"), (4, 10 + self.n))),
            (15, message((1, "verify"), (2, "q"), (3, "EXPIRED"), (4, 7))),
            *((16, stage("sign", name, k)) for k, name in enumerate(("queue", "token", "total"), 1)),
            *((17, message((1, NOW - i), (2, 1000), (3, "sign"), (4, "p"), (5, "TTL_TOO_LONG"), (6, f"number {i}{EVIL}")))
              for i in range(20)))

    def scripted(self, n_rings=3):
        self.n, self.n_rings = 0, n_rings
        keys = message(*((1, key(f"k-{state}", state, ring=f"ring-{i:02}", at=at, jwk="")) for i in range(n_rings) for state, at in
                         (("retired", NOW - 20 * DAY), ("active", NOW - 5 * DAY), ("next", NOW + DAY * (i + 1)))))
        return Scripted({wire.GET_STATUS: self.answer, wire.LIST_KEYS: keys})

    def test_a_page_says_what_there_is_whatever_the_terminal_s_size(self):
        for columns, rows in ((80, 24), (40, 20), (132, 50)):
            with self.subTest(columns=columns), self.scripted(30) as d, Terminal(d.env, columns, rows) as t:
                shown = t.shows(r"sign +(9\d\d|1\d\d\d) +0\.0\d ms +0\.\d\d ms")
                text = "\n".join(shown)
                for part in (r"^signetd 0\.1 ready, up 1d", r"\nerrors +1\.\d|\nerrors +0\.9", r"TTL_TOO_LONG \d+, EXPIRED 7",
                             r"now 5 in flight", r"\ntoken main", r"signers 1 ready 2 failed \(3 restarts\)",
                             r"\nring-07 +ES256  KEY_UNPROVED", r"\nring-00 +ES256  ▒+█+┃█*░+ .*in (23h|1d)",
                             r"\nlast refusals\n.*TTL_TOO_LONG: number 0.*\n.*number 1"):
                    self.assertRegex(text, part)
                self.assertRegex(text, r"\nand \d+ more: signet ring list\n" if rows < 50 else r"\nring-29 ")
                self.assertTrue(shown[-1])           # the last row is used, and nothing has scrolled
                t.type(b"q")
                self.assertEqual(t.ends(), 0)

    def test_a_terminal_too_small_for_anything_is_no_harm(self):
        with self.scripted(30) as d, Terminal(d.env, 3, 1) as t:
            t.shows("sig")
            t.type(b"q")
            self.assertEqual(t.ends(), 0)

    def test_what_comes_from_outside_does_not_drive_the_terminal(self):
        with self.scripted(8) as d, Terminal(d.env, 200, 60) as t:
            shown = "\n".join(t.shows("number 19"))
            self.assertGreater(shown.count(r"\x1B[2J\x1B]0;t\x07\xC2\x9B31m\xE2\x80\xAE\x0D\x0A\x09end"), 20)
            t.type(b"q")
            t.ends()
            rest = OURS.sub(b"", t.said).decode()
            self.assertEqual(set(re.findall(r"[^ -~\r\n]", rest)) - set("█▒░┃·"), set())

    def test_the_terminal_is_as_before_however_it_ends(self):
        for ends, want in ((b"q", 0), (b"\x03", -signal.SIGINT), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)):
            with self.subTest(ends=ends), self.scripted() as d, Terminal(d.env, 80, 24) as t:
                t.shows("signetd 0.1 ready")
                self.assertFalse(termios.tcgetattr(t.theirs)[3] & termios.ECHO)
                t.type(ends) if isinstance(ends, bytes) else t.process.send_signal(ends)
                self.assertEqual(t.ends(), want)
                self.assertEqual((t.said.count(ENTER), t.said.count(LEAVE)), (1, 1))
                self.assertTrue(t.said.endswith(LEAVE))
                self.assertEqual(termios.tcgetattr(t.theirs), t.before)

    def test_it_can_be_left_for_a_while(self):
        with self.scripted() as d, Terminal(d.env, 80, 24) as t:
            t.shows("signetd 0.1 ready")
            t.type(b"\x1a")
            until("it has stopped", lambda: os.waitid(os.P_PID, t.process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT))
            t.read()
            self.assertTrue(t.said.endswith(LEAVE))
            self.assertEqual(termios.tcgetattr(t.theirs), t.before)
            t.process.send_signal(signal.SIGCONT)
            until("it is drawn again", lambda: t.rows() and ENTER in t.said.split(LEAVE)[-1] and b"signetd" in t.said.split(LEAVE)[-1])
            t.type(b"q")
            self.assertEqual(t.ends(), 0)

    def test_another_size_is_another_page_at_once(self):
        with self.scripted(30) as d, Terminal(d.env, 80, 24, "--interval", "1h") as t:
            t.shows("since start")
            looks = len(d.of(wire.GET_STATUS))
            t.size(40, 20)
            self.assertNotIn("since start", "\n".join(t.shows(r"p99\n.*\n.*\n.*\n.*\nnow .* conns\n")))
            self.assertEqual(len(d.of(wire.GET_STATUS)), looks)

    def test_colours_are_for_terminals_that_have_them_and_people_who_want_them(self):
        for term, env, want in (("xterm-256color", {}, True), ("xterm-256color", {"NO_COLOR": "1"}, False), ("vt220", {}, False)):
            with self.subTest(term=term, env=env), self.scripted() as d, Terminal({**d.env, **env}, 80, 24, term=term) as t:
                t.shows("signetd 0.1 ready")
                t.type(b"q")
                t.ends()
                self.assertEqual(re.search(rb"\x1b\[\d+m", t.said.replace(LEAVE, b"")) is not None, want)

    def test_a_daemon_that_goes_is_waited_for(self):
        place = Place()
        self.addCleanup(place.remove)
        daemon = Daemon(place, ring("web", "ES256", "create: yes"), profile("web", "web", "shop"))
        self.addCleanup(daemon.kill)
        daemon.start()
        with Terminal({**place.env, "SIGNET_ADMIN_SOCKET": str(daemon.admin)}, 80, 24) as t:
            t.shows(r"signetd \S+ ready")
            daemon.stop()
            self.assertRegex("\n".join(t.shows("does not answer, since")), r"\nDAEMON_UNREACHABLE: .*[\s\S]*\nweb +ES256")
            daemon.start()
            t.shows(r"signetd \S+ ready")
            t.type(b"q")
            self.assertEqual(t.ends(), 0)
        daemon.stop()

    def lines(self, d, n, *args, **kw):
        with subprocess.Popen([SIGNET, "status", "--watch", "--interval", "1", *args], env=d.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True, **kw) as process:
            try:
                return [process.stdout.readline() for _ in range(n)]
            finally:
                process.kill()                   # else the daemon would wait for it

    def test_what_is_no_terminal_gets_a_line_a_look(self):
        with self.scripted() as d:
            first, second = self.lines(d, 2)
        self.assertRegex(first, r"^[\d-]{10}T[\d:]{8}Z  ready  sign 0\.0/s p50 0\.\d\d ms ")
        self.assertRegex(second, r"ready  sign \d{3,4}\.\d/s p50 0\.0\d ms p99 0\.\d\d ms  verify 0\.0/s p50 - p99 -  errors [01]\.\d/s"
                                 r" TTL_TOO_LONG 1\n$")
        self.assertNotIn("\x1b", first + second)
        with self.scripted() as d, Terminal(d.env, 80, 24, term="dumb") as t:
            t.shows(r"\d\dZ  ready  sign")
            self.assertNotIn(b"\x1b", t.said)

    def test_and_programs_an_object(self):
        with self.scripted() as d:
            first, second = map(json.loads, self.lines(d, 2, "--json"))
        self.assertEqual(first["since_s"], 0)
        self.assertEqual(first["errors"], {"TTL_TOO_LONG": 11, "EXPIRED": 7})
        self.assertEqual((second["ready"], second["trouble"], second["errors"]), (True, None, {"TTL_TOO_LONG": 1}))
        self.assertAlmostEqual(second["sign"]["per_s"] * second["since_s"], 1000, delta=1)
        self.assertTrue(50 < second["sign"]["p50_us"] <= 100 < second["sign"]["p99_us"] <= 200)
        self.assertEqual(second["verify"], {"per_s": 0, "p50_us": None, "p99_us": None})

    def test_a_daemon_that_is_gone_is_an_object_too(self):
        with self.scripted() as d:
            pass
        [said] = map(json.loads, self.lines(d, 1, "--json"))
        self.assertEqual((said["ready"], said["trouble"]["reason"]), (False, "DAEMON_UNREACHABLE"))

    def test_who_may_not_look_is_told_once(self):
        for args in ([], ["--json"]):
            with Scripted({wire.GET_STATUS: (wire.ERROR, error(7, "CALLER_NOT_ALLOWED", "no"))}) as d:
                self.assertEqual(d.cli("status", "--watch", *args, want=1), ("", "signet: CALLER_NOT_ALLOWED: no\n"))

    def test_an_interval_is_one_that_makes_sense(self):
        for args in (["--watch", "--interval", "0"], ["--watch", "--interval", "2h"], ["--watch", "--interval", "x"], ["--interval", "2"]):
            with self.subTest(args=args), Scripted({}) as d:
                self.assertIn("--interval", d.cli("status", *args, want=2)[1])
                self.assertEqual(d.asked, [])


if __name__ == "__main__":
    main()
