"""More than can be served: who asks too much is told at once, everyone else is served as before, and what is late costs the
token nothing. A signature takes as long as the test says, so that no machine is too quick or too slow for it."""
import collections
import json
import os
import resource
import select
import selectors
import signal
import threading
import unittest

import faults
import wire
from flood import Flood, connect, outcome
from rig import Case, Daemon, EachCase, PATIENCE, Place, STRANGER, cmdline, main, memory, profile, ring, until

RINGS = ring("web", "ES256", "create: yes", "verify_every: 1000000")
PROFILES = profile("web", "web", "shop", "claims: {allowed: any}")
MIB = 1 << 20
READ_CHUNK, OUT_HIGH = 64 << 10, 256 << 10       # of daemon/broker/connection.c: what a connection may hold beside a request
ON_ITS_WAY_IN = (64 << 10) + READ_CHUNK          # max_request is the first
# A freed byte is memory of the process still while the sanitizer keeps it.
ENV = {"ASAN_OPTIONS": "quarantine_size_mb=1"}


class Slow(unittest.TestCase):
    """A token that makes so many signatures a second and no more: two signers, each so long at one."""
    daemon_settings = ""

    def start(self, delay_ms):
        place = Place()
        self.addCleanup(place.remove)
        self.control = faults.wrap(place)
        self.addCleanup(self.control.close)
        self.daemon = Daemon(place, RINGS, PROFILES, self.daemon_settings, "  signers: 2\n")
        self.addCleanup(self.daemon.kill)
        self.daemon.start()
        self.roles = self.daemon.roles()
        self.control.set("C_Sign", "delay", value=delay_ms)
        c = self.connect()
        for _ in range(16):                            # what it takes is known by now
            c.send(wire.sign("web"))
            self.assertEqual(outcome(c.reply()), "signed")

    def tearDown(self):
        self.assertEqual(self.daemon.roles(), self.roles, "a role was replaced")
        self.control.set("C_Sign", "none")
        self.daemon.stop()

    def connect(self, uid=0):
        c = connect(self.daemon.socket, uid)
        self.addCleanup(c.socket.close)
        return c

    def test_one_who_asks_ten_times_what_the_token_does_is_told_early_and_the_others_are_served(self):
        self.start(delay_ms=10)                        # 200 a second
        flood = Flood([self.connect() for _ in range(4)], 500)
        victim = self.connect(STRANGER)
        flood.start()
        try:
            until("ten times as much is asked", lambda: flood.seen.total() >= 10 * max(flood.seen["signed"], 100) or
                  not flood.is_alive(), 2 * PATIENCE)
            for i in range(1, 51):
                victim.send(wire.sign("web", request_id=i))
                self.assertEqual(outcome(victim.reply()), "signed", i)
        finally:
            flood.stop.set()
            flood.join(PATIENCE)
        self.assertFalse(flood.is_alive())
        self.assertLessEqual(set(flood.seen), {"signed", "QUEUE_FULL", "DEADLINE_EXCEEDED"})
        self.assertGreater(flood.early, 0, flood.seen)
        self.assertGreater(flood.seen["QUEUE_FULL"], 4 * flood.seen["DEADLINE_EXCEEDED"], flood.seen)

    def test_what_is_late_is_told_so_and_reaches_no_signer(self):
        self.start(delay_ms=50)                        # 40 a second
        c, n = self.connect(), 200
        calls = self.control["C_Sign"]["calls"]
        c.send(b"".join(wire.sign("web", request_id=i + 1, deadline_ms=500) for i in range(n)))
        replies = [c.reply() for _ in range(n)]
        self.assertEqual(sorted(r[1] for r in replies), list(range(1, n + 1)))
        seen = collections.Counter(map(outcome, replies))
        self.assertLessEqual(set(seen), {"signed", "DEADLINE_EXCEEDED"})
        self.assertGreater(seen["DEADLINE_EXCEEDED"], n // 2, seen)
        for i in range(8):                             # behind what the signers had when it was late
            c.send(wire.sign("web"))
            self.assertEqual(outcome(c.reply()), "signed")
        # Each signer had one in its hands and one ahead; a few are asked for by nobody.
        self.assertLess(self.control["C_Sign"]["calls"] - calls, seen["signed"] + 8 + n // 10, seen)


class Costly(Case):
    """A signature of RSA-4096 takes a token some fifty times as long as one of ES256."""
    rings = RINGS + ring("slow", "RS256", "create: yes", "bits: 4096")
    profiles = PROFILES + profile("slow", "slow", "slow")
    daemon_settings = "  deadline: 45s\n"
    token_settings = "  signers: 2\n  token_timeout: 15s\n"

    def test_one_who_asks_for_slow_signatures_has_no_more_of_the_token_than_another(self):
        flood = Flood([connect(self.daemon.socket) for _ in range(2)], 64, profile="slow")
        victim, n = connect(self.daemon.socket, STRANGER), 400
        for c in (*flood.connections, victim):
            self.addCleanup(c.socket.close)
        victim.send(wire.sign("web"))
        self.assertEqual(outcome(victim.reply()), "signed")
        flood.start()
        try:
            until("it is known what theirs takes", lambda: flood.seen["signed"] >= 8 or not flood.is_alive(), PATIENCE)
            before = flood.seen["signed"]
            victim.send(b"".join(wire.sign("web", request_id=i + 1) for i in range(n)))
            ends = collections.Counter(outcome(victim.reply()) for _ in range(n))
            beside = flood.seen["signed"] - before
        finally:
            flood.stop.set()
            flood.join(PATIENCE)
        self.assertFalse(flood.is_alive())
        self.assertEqual(ends, {"signed": n})
        self.assertLess(beside, n // 3, "in turn it would be as many")


class Answer(EachCase):
    rings, profiles = RINGS, PROFILES
    daemon_settings, token_settings = "  deadline: 45s\n", "  signers: 1\n  token_timeout: 5s\n"

    def test_a_signature_that_is_made_does_not_wait_for_the_next(self):
        control = faults.wrap(self.place)
        self.addCleanup(control.close)
        daemon = self.new_daemon(self.place).start()
        self.addCleanup(daemon.kill)
        signers = daemon.roles()["signer"]
        c = connect(daemon.socket)
        self.addCleanup(c.socket.close)

        def ask_two():
            c.send(wire.sign("web", request_id=1) + wire.sign("web", request_id=2))
        for _ in range(4):
            control.arm()
            ask_two()
            self.assertEqual([outcome(c.reply()) for _ in range(2)], ["signed"] * 2)
        calls = control.calls()
        second = [i for i, name in enumerate(calls, 1) if name == "C_Sign"][1]
        control.set("C_Sign", "delay", value=30)       # the signer was quick: it is given both at once
        control.arm("hang", second)
        ask_two()
        reply = c.reply()
        self.assertEqual((reply[1], outcome(reply)), (1, "signed"))
        self.assertEqual(daemon.roles()["signer"], signers, "it came when the next one had hung for too long")
        self.assertEqual(c.reply()[1], 2)
        self.assertTrue(control.disarm())
        self.assertEqual(daemon.stop(), 0)


def write_only(connections, raw, stop):
    """Asks the same again and again on all of them, and reads nothing; one that is closed is left alone."""
    left = {c.socket: raw for c in connections}
    with selectors.DefaultSelector() as ready:
        for s in left:
            s.setblocking(False)
            ready.register(s, selectors.EVENT_WRITE)
        while not stop.is_set():
            for key, _ in ready.select(0.1):
                s = key.fileobj
                try:
                    left[s] = left[s][s.send(left[s]):] or raw
                except (BrokenPipeError, ConnectionResetError):
                    ready.unregister(s)


class Memory(EachCase):
    rings, profiles = RINGS, PROFILES
    n_connections, max_queue = 60, 64
    daemon_settings = f"  deadline: 45s\n  max_queue: {max_queue}\n  max_connections_per_uid: {n_connections + 4}\n"
    token_settings = "  token_timeout: 15s\n"

    def test_long_tokens_that_are_never_read_are_bounded_by_uid_and_not_by_connection(self):
        self.daemon.start(ENV)
        roles = self.daemon.roles()
        [broker], each, asked = roles["broker"], 60, 0
        ask = wire.request(wire.SIGN, wire.field(1, "web") + wire.field(2, "s")
                           + wire.field(7, b'{"x":"' + b"y" * 44000 + b'"}'), deadline_ms=600000)

        def ended():
            c = json.loads(self.daemon.cli("status", "--admin", "--json")[0])["counters"]
            return c["signed_tokens"] + c["refused_requests"] - first
        first = 0
        first, before = ended(), memory(broker)
        for _ in range(self.n_connections // 5):
            held = [connect(self.daemon.socket, STRANGER) for _ in range(5)]
            for signer in roles["signer"]:             # nothing is in anyone's way out while it is asked
                os.kill(signer, signal.SIGSTOP)
            try:
                for c in held:
                    self.addCleanup(c.socket.close)
                    c.send(ask * each)
                    asked += each
            finally:
                for signer in roles["signer"]:
                    os.kill(signer, signal.SIGCONT)
            until("all are signed or refused", lambda: ended() >= asked)
        self.assertIn("QUEUE_FULL", self.daemon.said())
        # 16 MiB and 4 KiB for each that may wait, as the manual has it.
        most = 2 * (16 * MIB + self.max_queue * 4096) + self.n_connections * ON_ITS_WAY_IN * 5 // 4
        self.assertLess(memory(broker) - before, most, cmdline(broker))
        self.daemon.token("web", "--subject", "s")
        self.assertEqual(self.daemon.roles(), roles)
        self.assertEqual(self.daemon.stop(), 0)

    def hold_all(self, n_uids, each, mib):
        """So many uids, with `each` connections, ask for long tokens and read none: all hold what they may, another is served."""
        ask = wire.request(wire.SIGN, wire.field(1, "web") + wire.field(2, "s")
                           + wire.field(7, b'{"x":"' + b"y" * 44000 + b'"}'), deadline_ms=60000)
        self.daemon.write(RINGS, PROFILES, f"  max_memory: {mib}MiB\n")
        self.daemon.start(ENV)
        [broker] = self.daemon.roles()["broker"]
        held = [connect(self.daemon.socket, 60000 + i % n_uids) for i in range(n_uids * each)]
        victim, stop, before = connect(self.daemon.socket, STRANGER), threading.Event(), memory(broker)
        for c in (victim, *held):
            self.addCleanup(c.socket.close)
        # The sanitizer's blocks are up to a quarter larger, and what is freed is not given back at once.
        most = 2 * mib * MIB + len(held) * ON_ITS_WAY_IN * 5 // 4
        thread = threading.Thread(target=write_only, args=(held, ask, stop))
        thread.start()
        try:
            until("there is no more", lambda: "(daemon.max_memory), those of uid 60" in self.daemon.said())
            for i in range(1, 401):
                victim.send(wire.sign("web", request_id=i))
                self.assertEqual(outcome(victim.reply()), "signed", i)
                self.assertLess(memory(broker) - before, most, i)
        finally:
            stop.set()
            thread.join(PATIENCE)
        self.daemon.token("web", "--subject", "s")
        self.assertEqual(self.daemon.stop(), 0)

    def test_many_uids_that_read_nothing_hold_no_more_than_all_may_and_keep_nobody_out(self):
        self.hold_all(n_uids=8, each=20, mib=16)

    def test_so_do_more_of_them_that_come_one_after_another(self):
        self.hold_all(n_uids=16, each=40, mib=64)


class Many(EachCase):
    """10,000 connections."""
    rings, profiles = RINGS, PROFILES
    N = 10000

    def setUp(self):
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.N + 3000, max(limits[1], self.N + 3000)))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        super().setUp()

    def test_those_past_the_limit_are_told_and_others_served(self):
        self.daemon.start()
        seen, held = collections.Counter(), []
        for i in range(self.N):
            c = connect(self.daemon.socket)
            held.append(c)
            self.addCleanup(c.socket.close)
            if i % 1000 == 999:
                self.daemon.token("web", "--subject", "s", uid=STRANGER)
        for c in held[256:]:
            seen[c.reason()] += 1
            self.assertIsNone(c.reply())
        self.assertEqual(seen, {"TOO_MANY_CONNECTIONS": self.N - 256})
        for c in held[:256]:
            c.send(wire.sign("web"))
            self.assertEqual(outcome(c.reply()), "signed")
        self.assertEqual(self.daemon.stop(), 0)

    def test_all_are_served_where_the_configuration_has_room_for_them(self):
        self.daemon.write(RINGS, PROFILES, f"  max_connections: {self.N + 100}\n  max_connections_per_uid: {self.N}\n")
        self.daemon.start(ENV)
        [broker] = self.daemon.roles()["broker"]
        held, before = [], memory(broker)
        for _ in range(self.N):
            c = connect(self.daemon.socket)
            held.append(c)
            self.addCleanup(c.socket.close)
        for n in range(0, self.N, 100):
            for c in held[n:n + 100]:
                c.send(wire.request(wire.GET_STATUS) if n % 1000 else wire.sign("web"))
            for c in held[n:n + 100]:
                self.assertNotIn(wire.ERROR, c.reply())
            if n % 1000 == 0:
                self.daemon.token("web", "--subject", "s", uid=STRANGER)
        self.assertLess(memory(broker) - before, self.N * (READ_CHUNK + OUT_HIGH))
        self.assertEqual(self.daemon.stop(), 0)


class Descriptors(Case):
    rings, profiles = RINGS, PROFILES

    def test_without_descriptors_it_accepts_nobody_for_a_while_and_goes_on_serving(self):
        [broker] = self.daemon.roles()["broker"]
        held, limits = connect(self.daemon.socket), resource.prlimit(broker, resource.RLIMIT_NOFILE)
        self.addCleanup(held.socket.close)
        held.send(wire.sign("web"))
        self.assertEqual(outcome(held.reply()), "signed")
        # The next number it would get is past the limit: it has all below, or others that it keeps.
        used = {int(n) for n in os.listdir(f"/proc/{broker}/fd")}
        resource.prlimit(broker, resource.RLIMIT_NOFILE, (min(set(range(max(used) + 2)) - used), limits[1]))
        try:
            late = connect(self.daemon.socket)         # the kernel's queue has room
            self.addCleanup(late.socket.close)
            late.send(wire.sign("web"))
            until("it is noticed", lambda: "no connection can be accepted" in self.daemon.said())
            for i in range(1, 301):
                held.send(wire.sign("web", request_id=i))
                self.assertEqual(held.reply()[1], i)
            # One that does not pause tries at each turn of its loop.
            self.assertLess(self.daemon.said().count("no connection can be accepted"), 100)
            self.assertEqual(select.select([late.socket], [], [], 0)[0], [])
        finally:
            resource.prlimit(broker, resource.RLIMIT_NOFILE, limits)
        self.assertEqual(outcome(late.reply()), "signed")
        self.daemon.token("web", "--subject", "s", uid=STRANGER)
        self.assertEqual(self.daemon.roles()["broker"], [broker])


if __name__ == "__main__":
    main()
