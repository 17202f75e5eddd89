"""What is bounded is bounded at its number, says so, and costs nobody else anything."""
import collections
import fcntl
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import threading

import wire
from flood import connect, outcome
from rig import Case, EachCase, PATIENCE, SIGNETD, STRANGER, main, profile, ring, until

RINGS = ring("web", "ES256", "create: yes")
PROFILES = profile("web", "web", "shop", "claims: {allowed: any}")


class Limits(Case):
    rings = RINGS
    profiles = PROFILES + profile("slow", "web", "slow.example", "rate: 5/s")
    daemon_settings = ("  max_connections: 12\n  max_connections_per_uid: 8\n  max_queue: 16\n  max_in_flight: 400\n")
    token_settings = "  signers: 2\n"

    def connect(self, n):
        found = [wire.Connection(self.daemon.socket) for _ in range(n)]
        for c in found:
            self.addCleanup(c.socket.close)
        return found

    def test_a_uid_has_so_many_connections_and_others_still_theirs(self):
        until("those of other tests are gone", lambda: json.loads(
            self.daemon.cli("status", "--admin", "--json")[0])["counters"]["connections"] == 1)
        held = self.connect(8)
        for c in held:                                 # each is served
            c.send(wire.sign("web"))
            self.assertIn(wire.SIGN, c.reply())
        [more] = self.connect(1)
        self.assertEqual(more.reason(), "TOO_MANY_CONNECTIONS")
        self.assertIsNone(more.reply())
        self.daemon.token("web", "--subject", "s", uid=STRANGER)
        for c in held:
            c.socket.close()
        until("there is room again", lambda: self.daemon.cli("sign", "--profile", "web", want=None)[0])

    def connections(self):
        return json.loads(self.daemon.cli("status", "--admin", "--json")[0])["counters"]["connections"] - 1

    def full_house(self):
        """The connections of each of three uids, of which the first has most."""
        until("those of other tests are gone", lambda: self.connections() == 0)
        house = [self.connected(uid, n) for uid, n in ((400000, 8), (400001, 2), (400002, 2))]
        until("all are in", lambda: self.connections() == 12)
        return house

    def connected(self, uid, n):
        found = [connect(self.daemon.socket, uid) for _ in range(n)]
        for c in found:
            self.addCleanup(c.socket.close)
        return found

    def test_in_a_full_house_the_longest_idle_one_of_who_has_most_goes_for_one_who_has_less(self):
        most, *others = self.full_house()
        most[0].send(b"\0\0\0")                       # half a frame: it is at something
        for c in most[2:]:
            c.send(wire.sign("web"))
            self.assertIn(wire.SIGN, c.reply())
        self.daemon.token("web", "--subject", "s", uid=STRANGER)
        self.assertIsNone(most[1].reply())
        late = self.connected(STRANGER, 1)
        until("it is full again", lambda: self.connections() == 12)
        self.assertEqual(self.connected(400000, 1)[0].reason(), "TOO_MANY_CONNECTIONS", "it has most itself")
        for c in most[2:] + sum(others, []) + late:
            c.send(wire.sign("web"))
            self.assertIn(wire.SIGN, c.reply())

    def test_in_a_full_house_half_a_frame_keeps_no_place_from_one_who_has_less(self):
        most, *others = self.full_house()
        ask = wire.sign("web")
        for c in most + sum(others, []):
            c.send(ask[:3])
        self.assertEqual(self.connections(), 12)       # and so it has read them
        late = []
        for _ in range(3):
            late += self.connected(STRANGER, 1)
            late[-1].send(ask)
            self.assertEqual(outcome(late[-1].reply()), "signed")
        gone = [c for c in most if select.select([c.socket], [], [], 0)[0]]
        self.assertEqual([c.reply() for c in gone], [None] * 3)
        for c in set(most + sum(others, [])) - set(gone):
            c.send(ask[3:])
            self.assertEqual(outcome(c.reply()), "signed")

    def test_strangers_at_the_admin_socket_are_told_and_take_no_room(self):
        ask = """
import socket, sys
held = []
for _ in range(20):
    held.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    held[-1].settimeout(float(sys.argv[2]))
    held[-1].connect(sys.argv[1])
for one in held:
    said = b""
    while more := one.recv(4096):
        said += more
    print(b"CALLER_NOT_ALLOWED" in said and b"daemon.admin" in said)
"""
        done = subprocess.run(["setpriv", "--reuid", str(STRANGER), "--regid", str(STRANGER), "--clear-groups",
                               "/usr/bin/python3", "-c", ask, str(self.daemon.admin), str(PATIENCE / 3)], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.stdout.split(), ["True"] * 20, done.stderr)
        _, err = self.daemon.cli("key", "list", uid=STRANGER, want=1)
        self.assertIn("CALLER_NOT_ALLOWED", err)
        self.assertIn(f"uid {STRANGER}: connect: CALLER_NOT_ALLOWED", self.daemon.said())
        self.daemon.cli("key", "list")

    def test_a_full_queue_says_so_at_once_and_empties(self):
        [c] = self.connect(1)
        c.send(b"".join(wire.sign("web", request_id=i + 1) for i in range(400)))
        replies = [c.reply() for _ in range(400)]
        self.assertEqual(sorted(r[1] for r in replies), list(range(1, 401)))
        reasons = collections.Counter(dict(wire.fields(r[wire.ERROR]))[2].decode() if wire.ERROR in r else "signed"
                                      for r in replies)
        self.assertEqual(set(reasons), {"signed", "QUEUE_FULL"})
        self.assertGreaterEqual(reasons["signed"], 16)
        self.daemon.token("web", "--subject", "s")

    def test_a_flood_of_one_uid_leaves_the_others_served(self):
        [c] = self.connect(1)
        stop = threading.Event()

        def flood():
            while not stop.is_set():
                c.send(b"".join(wire.sign("web", request_id=i + 1) for i in range(200)))
                for _ in range(200):
                    c.reply()
        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for i in range(10):
                self.daemon.token("web", "--subject", str(i), uid=STRANGER)
        finally:
            stop.set()
            thread.join(PATIENCE)
        self.assertFalse(thread.is_alive())

    def test_a_rate_is_kept_for_each_caller(self):
        [c] = self.connect(1)
        c.send(b"".join(wire.sign("slow", request_id=i + 1) for i in range(20)))
        replies = [c.reply() for _ in range(20)]
        errors = [dict(wire.fields(r[wire.ERROR])) for r in replies if wire.ERROR in r]
        self.assertLessEqual(len(replies) - len(errors), 7)      # five, and what a second's part brings
        self.assertGreaterEqual(len(replies) - len(errors), 5)
        for e in errors:
            self.assertEqual(e[2], b"RATE_LIMITED")
            self.assertGreater(e[4], 0)
        self.daemon.token("slow", "--subject", "s", uid=STRANGER)

    def test_a_deadline_that_is_over_is_said(self):
        [c] = self.connect(1)
        c.send(b"".join(wire.request(wire.SIGN, wire.field(1, "web") + wire.field(2, "s"), request_id=i + 1, deadline_ms=1)
                        for i in range(60)))
        reasons = {dict(wire.fields(r[wire.ERROR]))[2] if wire.ERROR in r else b"" for r in (c.reply() for _ in range(60))}
        self.assertLessEqual(reasons, {b"", b"DEADLINE_EXCEEDED", b"QUEUE_FULL"})


class Starts(EachCase):
    rings, profiles = RINGS, PROFILES

    def limited(self, n_soft, n_hard, *settings):
        """signetd with so many descriptors, and these settings."""
        self.daemon.write(RINGS, PROFILES, daemon="".join(f"  {s}\n" for s in settings))
        return ["prlimit", f"--nofile={n_soft}:{n_hard}", SIGNETD, "--config", str(self.daemon.config)]



class Life(Starts):
    def test_what_is_under_way_at_sigterm_is_answered(self):
        self.daemon.start()
        with wire.Connection(self.daemon.socket) as c:
            c.send(b"".join(wire.sign("web", request_id=i + 1, deadline_ms=30000) for i in range(200)))
            first = c.reply()
            self.daemon.process.send_signal(signal.SIGTERM)
            replies = [first] + [c.reply() for _ in range(199)]
        for r in replies:                              # those that it had not read yet are told that it ends
            self.assertTrue(wire.SIGN in r or dict(wire.fields(r[wire.ERROR]))[2] == b"DRAINING", r)
        self.assertEqual(self.daemon.stop(), 0)
        self.assertFalse(self.daemon.socket.exists())
        self.assertFalse(self.daemon.admin.exists())

    def test_sockets_from_systemd_are_taken_and_left(self):
        """LISTEN_FDS as systemd passes them: the daemon makes and removes none of its own."""
        paths = [self.place.dir / "passed.sock", self.place.dir / "passed-admin.sock"]
        listeners = []
        for path in paths:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.addCleanup(s.close)
            s.bind(str(path))
            s.listen(16)
            listeners.append(s)

        def pass_on():
            for n, s in enumerate(listeners):          # above first: 3 and 4 may be either's own number
                os.dup2(s.fileno(), 30 + n)
            for n in range(2):
                os.dup2(30 + n, 3 + n, inheritable=True)
        process = subprocess.Popen(
            ["sh", "-c", f"LISTEN_PID=$$ exec {SIGNETD} --config {self.daemon.config}"], preexec_fn=pass_on, close_fds=False,
            stdin=subprocess.DEVNULL, stderr=open(self.daemon.log, "ab"),
            env={**self.place.env, **self.daemon.sanitizer(), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "signet:admin"})
        self.daemon.process = process
        self.daemon.socket, self.daemon.admin = paths
        until("it signs", lambda: self.daemon.cli("sign", "--profile", "web", want=None)[0])
        self.daemon.cli("key", "list")
        self.assertFalse((self.place.dir / "s.sock").exists())
        self.assertEqual(self.daemon.stop(), 0)
        self.assertTrue(paths[0].exists())

    def test_a_second_daemon_is_told_that_one_listens(self):
        self.daemon.start()
        second = subprocess.run([SIGNETD, "--config", str(self.daemon.config)], env=self.place.env, capture_output=True,
                                text=True, timeout=PATIENCE)
        self.assertEqual(second.returncode, 1)
        self.assertIn("is signetd running already?", second.stderr)
        self.daemon.token("web", "--subject", "s")
        self.assertEqual(self.daemon.stop(), 0)

    def test_a_stranger_s_lock_on_the_directory_stops_no_start(self):
        """Whoever may enter a directory may open and lock it."""
        with subprocess.Popen(["setpriv", "--reuid", str(STRANGER), "--regid", str(STRANGER), "--clear-groups", "flock",
                               str(self.place.dir), "sh", "-c", "echo locked && exec cat"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as stranger:
            self.assertEqual(stranger.stdout.readline(), b"locked\n")
            self.daemon.start()
            stranger.stdin.close()
        self.daemon.token("web", "--subject", "s")
        self.assertEqual(self.daemon.stop(), 0)

    def test_more_connections_than_descriptors_allow_are_refused_at_the_start(self):
        self.fails_to_start("LimitNOFILE", "max_connections", argv=self.limited(64, 128))

    def fails_to_start(self, *words, argv=None):
        done = subprocess.run(argv or [SIGNETD, "--config", str(self.daemon.config)], env=self.place.env, capture_output=True,
                              text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_a_lock_that_is_held_or_not_ours_is_named(self):
        lock = pathlib.Path(f"{self.daemon.socket}.lock")
        lock.touch(mode=0o600)
        with open(lock, "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.fails_to_start(str(lock), "another signetd")
        os.chown(lock, STRANGER, STRANGER)
        self.fails_to_start(str(lock), f"uid {STRANGER}", "remove it")
        lock.unlink()
        lock.symlink_to(self.place.pin)
        self.fails_to_start(str(lock))
        lock.unlink()
        lock.mkdir()
        self.fails_to_start(str(lock))
        lock.rmdir()

    def test_a_lock_that_a_crash_left_is_in_nobody_s_way_and_gone_afterwards(self):
        locks = [pathlib.Path(f"{s}.lock") for s in (self.daemon.socket, self.daemon.admin)]
        for lock in locks:
            lock.touch(mode=0o600)
        self.daemon.start()
        self.assertFalse(any(lock.exists() for lock in locks))
        self.assertEqual(self.daemon.stop(), 0)

    def test_a_stale_socket_is_replaced(self):
        stale = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stale.bind(str(self.daemon.socket))
        stale.close()
        self.daemon.start()
        self.daemon.token("web", "--subject", "s")
        self.assertEqual(self.daemon.stop(), 0)


class Resources(Starts):
    """What a start takes and finds, whatever the token."""

    def test_descriptors_are_enough_for_all_connections(self):
        argv = self.limited(64, 600, "max_connections: 300", "max_connections_per_uid: 300")
        self.daemon.process = subprocess.Popen(argv, env=self.place.env, stdin=subprocess.DEVNULL,
                                               stderr=open(self.daemon.log, "ab"))
        until("it signs", lambda: self.daemon.cli("sign", "--profile", "web", want=None)[0])
        held = [wire.Connection(self.daemon.socket) for _ in range(299)]
        for c in held:
            self.addCleanup(c.socket.close)
            c.send(wire.sign("web"))
            self.assertIn(wire.SIGN, c.reply())
        self.limited(64, 600, "max_connections: 3000")
        broker = self.daemon.roles()["broker"]
        _, err = self.daemon.cli("reload", want=1)
        for word in ("3256", "600", "max_connections"):
            self.assertIn(word, err)
        held[0].send(wire.sign("web"))
        self.assertIn(wire.SIGN, held[0].reply())
        self.assertEqual(self.daemon.roles()["broker"], broker)
        self.limited(64, 600, "max_connections: 340")
        self.daemon.cli("reload")
        self.assertEqual(self.daemon.stop(), 0)

    def test_of_daemons_started_at_once_one_serves(self):
        many = [subprocess.Popen([SIGNETD, "--config", str(self.daemon.config)], env=self.place.env,
                                 stdin=subprocess.DEVNULL, stderr=open(self.daemon.log, "ab")) for _ in range(5)]
        until("all but one have ended", lambda: sum(p.poll() is None for p in many) == 1)
        [self.daemon.process] = [p for p in many if p.poll() is None]
        self.assertEqual([p.wait() for p in many if p is not self.daemon.process], [1] * 4)
        until("it signs", lambda: self.daemon.cli("sign", "--profile", "web", want=None)[0])
        self.assertEqual(self.daemon.stop(), 0)


if __name__ == "__main__":
    main()
