"""Whoever asks much, in bytes or in work, is served as far as it goes and costs the others nothing but their share."""
import base64
import os
import selectors
import signal
import threading

import wire
from flood import connect
from rig import Case, PATIENCE, STRANGER, main, profile, ring, until


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def pour(connections, raw, stop, heard=None):
    """Asks the same again and again on all of them, and reads whatever comes: heard[0] is how many bytes that was."""
    left = {c.socket: raw for c in connections}
    with selectors.DefaultSelector() as ready:
        for s in left:
            s.setblocking(False)
            ready.register(s, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while not stop.is_set():
            for key, events in ready.select(1):
                s = key.fileobj
                got = len(s.recv(1 << 16)) if events & selectors.EVENT_READ else None
                if got == 0:
                    return
                if heard and got:
                    heard[0] += got
                if events & selectors.EVENT_WRITE:
                    left[s] = left[s][s.send(left[s]):] or raw


class Flood(Case):
    rings = ring("web", "ES256", "create: yes")
    profiles = profile("web", "web", "shop", "claims: {allowed: any}")
    daemon_settings = "  deadline: 45s\n"
    token_settings = "  token_timeout: 15s\n"

    def setUp(self):
        self.roles = self.daemon.roles()

    def tearDown(self):
        self.assertEqual(self.daemon.roles(), self.roles, "a role was replaced")
        self.daemon.token("web", "--subject", "s")

    def connect(self):
        c = wire.Connection(self.daemon.socket)
        self.addCleanup(c.socket.close)
        return c

    def test_one_who_reads_gets_every_reply_however_many(self):
        """More than a connection's buffer holds, never read up to its end in between."""
        n, c = 20000, self.connect()
        writer = threading.Thread(target=c.send, args=(wire.request(wire.GET_STATUS) * n,))
        writer.start()
        self.assertEqual(sum(c.reply() is not None for _ in range(n)), n)
        writer.join(PATIENCE)
        self.assertFalse(writer.is_alive())

    def test_one_whose_long_tokens_pile_up_unread_is_closed_alone(self):
        ask = wire.request(wire.SIGN, wire.field(1, "web") + wire.field(2, "s")
                           + wire.field(7, b'{"x":"' + b"y" * 44000 + b'"}'), deadline_ms=60000)
        c = self.connect()
        for signer in self.roles["signer"]:
            os.kill(signer, signal.SIGSTOP)
        try:
            c.send(ask * 100)                          # all but a socket's worth is with the daemon then
        finally:
            for signer in self.roles["signer"]:
                os.kill(signer, signal.SIGCONT)
        until("it is closed", lambda: "reads none of its replies" in self.daemon.said())


class Work(Case):
    """What costs the daemon much to look at, and is refused only then."""
    rings = Flood.rings
    profiles = profile("web", "web", "shop", "claims: {allowed: any}", verify="{users: [root]}")

    def setUp(self):
        self.roles = self.daemon.roles()

    def stranger(self):
        os.seteuid(STRANGER)                           # the kernel says who connects
        try:
            c = wire.Connection(self.daemon.socket)
        finally:
            os.seteuid(0)
        self.addCleanup(c.socket.close)
        return c

    def test_nothing_is_read_of_the_token_of_one_who_may_verify_nothing(self):
        c = self.stranger()
        c.send(wire.request(wire.VERIFY, wire.field(2, b"no token")))
        self.assertEqual(c.reason(), "CALLER_NOT_ALLOWED")

    def verdict(self):
        """A request that is long to look at, and its reply."""
        odd = b'{"iss":"x","a":[' + b",".join([b"{}"] * 14500) + b",99999999999999999999]}"
        raw = wire.request(wire.VERIFY, wire.field(2, b64(b'{"alg":"ES256"}') + b"." + b64(odd) + b".AAAA"))
        c = wire.Connection(self.daemon.socket)
        self.addCleanup(c.socket.close)
        c.send(raw)
        reply = c.socket.recv(1 << 16)
        return raw, reply

    def test_the_floods_of_many_uids_share_what_there_is_and_one_who_asks_little_does_not_wait_for_them_all(self):
        raw, reply = self.verdict()
        n, asked, heard = 64, 20, [0]
        flooding = [connect(self.daemon.socket, 400000 + uid) for uid in range(n)]
        for c in flooding:
            self.addCleanup(c.socket.close)
        victim = self.stranger()
        stop = threading.Event()
        thread = threading.Thread(target=pour, args=(flooding, raw, stop, heard))
        thread.start()
        try:
            until("all are served", lambda: heard[0] >= 2 * n * len(reply) or not thread.is_alive())
            before = heard[0]
            for i in range(1, asked + 1):
                victim.send(wire.sign("web", request_id=i))
                self.assertIn(wire.SIGN, victim.reply(), i)
            meanwhile = (heard[0] - before) / len(reply)
        finally:
            stop.set()
            thread.join(PATIENCE)
        # In turn each of its requests waits for one of everybody's, again on the way to the signer, and back.
        self.assertLess(meanwhile, asked * n)
        self.assertEqual(self.daemon.roles(), self.roles, "a role was replaced")

    def test_one_uid_s_flood_delays_another_s_request_by_its_share_alone(self):
        raw, _ = self.verdict()
        flooding = [wire.Connection(self.daemon.socket) for _ in range(100)]
        for c in flooding:
            self.addCleanup(c.socket.close)
        victim = self.stranger()
        stop = threading.Event()
        thread = threading.Thread(target=pour, args=(flooding, raw, stop))
        thread.start()
        try:
            for i in range(1, 21):
                victim.send(wire.sign("web", request_id=i))
                self.assertIn(wire.SIGN, victim.reply(), i)
        finally:
            stop.set()
            thread.join(PATIENCE)
        for c in flooding:                             # it goes on being served, each of its connections
            c.socket.settimeout(PATIENCE)
            self.assertIsNotNone(c.reply())
        self.assertEqual(self.daemon.roles(), self.roles, "a role was replaced")


if __name__ == "__main__":
    main()
