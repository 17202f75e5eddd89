"""Whoever asks much, in bytes or in work, is served as far as it goes and costs the others nothing but their share."""
import os
import signal
import threading

import wire
from rig import Case, PATIENCE, main, profile, ring, until


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


if __name__ == "__main__":
    main()
