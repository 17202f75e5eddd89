"""What a reload refuses though a start would take it: what would strand tokens that live."""
import signal
import struct
import subprocess

from rig import Case, EachCase, SIGNETD, main, profile, ring, until

RINGS = ring("web", "ES256", "create: yes") + ring("new", "ES256", "create: yes")
SESSION = profile("session", "web", "shop", "ttl: 15m")
OTHER = profile("other", "new", "bank")
HOUR = 3600


class Reload(Case):
    rings, profiles = RINGS, SESSION + OTHER

    def reload(self, rings, profiles, want=0):
        self.daemon.write(rings, profiles)
        self.addCleanup(lambda: (self.daemon.write(self.rings, self.profiles), self.daemon.cli("reload")))
        before = len(self.daemon.said())
        _, err = self.daemon.cli("reload", want=want)
        return err, self.daemon.said()[before:]

    def refuses(self, rings, profiles, reason="KEY_NEEDED"):
        """It says so, goes on as it was, and has all of it in the log, each line a line of the log."""
        token = self.daemon.token("session")
        err, log = self.reload(rings, profiles, want=1)
        self.assertRegex(err, rf"^signet: (?:.*: )?{reason}: ")
        self.assertLessEqual(len(err.split(f"{reason}: ")[1].strip()), 240)
        for line in log.splitlines():
            self.assertRegex(line, "^signetd: ")
        self.daemon.cli("verify", token)
        return err, log

    def test_a_ring_is_not_taken_away_from_under_its_tokens(self):
        err, log = self.refuses(ring("new", "ES256", "create: yes"), OTHER)
        self.assertRegex(err, r"rings\.web: is taken away, and tokens of profile 'session' may live until \d{4}-\S+Z: .*the log\)$")
        for row in ("    max_ttl        12h    a token may live so long", "    skew            1m    clocks differ",
                    "    ------------------", "    tokens live  12h1m    at most, from now"):
            self.assertIn(f"signetd: supervisor: {row}\n", log)
        self.assertRegex(log, r"the configuration stays as it was \(number \d+\): KEY_NEEDED: rings\.web: ")

    def test_a_profile_does_not_go_on_with_another_ring(self):
        err, log = self.refuses(self.rings, SESSION.replace("ring: web", "ring: new") + OTHER)
        self.assertIn("profiles.session: ring 'new' would sign in place of 'web'", err)
        self.assertIn("tokens live  12h1m", log)

    def test_what_is_said_to_be_unwanted_is_warned_of(self):
        token = self.daemon.token("session")
        err, log = self.reload(self.rings, SESSION.replace("[shop]", "[bazaar]") + OTHER)
        self.assertEqual(err, "")
        self.assertRegex(log, r"profiles\.session: audience 'shop' is none of it any more: tokens of before, which may live until"
                         r" \S+, are rejected from now on\n.*max_ttl        12h")
        _, err = self.daemon.cli("verify", token, want=1)
        self.assertIn("WRONG_AUDIENCE", err)

    def test_sums_of_the_file_are_in_the_log_and_the_first_line_is_answered(self):
        err, log = self.refuses(ring("web", "ES256", "publish_ahead: 17m29s", "rotate_every: 1h", "max_ttl: 1h")
                                + ring("new", "ES256"), SESSION + OTHER, "CONFIG_INVALID")
        self.assertRegex(err, r"signetd\.conf:\d+: rings\.web: publish_ahead is 17m29s and must be at least 17m30s, .*the log\)$")
        for row in ("    jwks_max_age         15m    a copy of the key set may be this old",
                    "    refresh              30s    until every daemon has listed a new key",
                    "    skew                  1m    clocks differ", "    generate_timeout      1m    making the key",
                    "    ------------------------", "    publish_ahead     17m30s    at least; it is 17m29s"):
            self.assertIn(f"signetd: supervisor: {row}\n", log)

    def test_a_signal_asks_the_same(self):
        self.addCleanup(self.daemon.write, self.rings, self.profiles)
        self.daemon.write(ring("new", "ES256", "create: yes"), OTHER)
        before = len(self.daemon.said())
        self.daemon.process.send_signal(signal.SIGHUP)
        until("it is refused", lambda: "stays as it was" in self.daemon.said()[before:])
        self.assertIn("rings.web: is taken away", self.daemon.said()[before:])
        self.daemon.token("session")


class Later(EachCase):
    rings, profiles = RINGS, SESSION + OTHER
    quiet = SESSION.replace("    sign: {users: any}\n", "")

    def setUp(self):
        super().setUp()
        self.time = self.place.dir / "time"
        self.time.write_bytes(struct.pack("qq", 0, 0))

    def let_pass(self, seconds):
        with open(self.time, "r+b") as f:
            f.write(struct.pack("q", 1000 * seconds))

    def goes(self, want):
        self.daemon.write(ring("new", "ES256", "create: yes"), OTHER)
        return self.daemon.cli("reload", want=want)[1]

    def test_what_nobody_may_sign_with_can_go_when_its_tokens_have_ended(self):
        self.daemon.start({"SIGNET_TEST_TIME": str(self.time)})
        token = self.daemon.token("session", "--ttl", "15m")
        self.assertIn("KEY_NEEDED", self.goes(want=1))
        self.daemon.write(RINGS, self.quiet + OTHER)
        self.daemon.cli("reload")
        self.daemon.cli("verify", token)
        self.assertIn("KEY_NEEDED", self.goes(want=1))
        self.let_pass(12 * HOUR)
        self.assertIn("KEY_NEEDED", self.goes(want=1))
        # What else is reloaded meanwhile does not begin it anew.
        self.daemon.write(RINGS, self.quiet + OTHER.replace("[bank]", "[bank, vault]"))
        self.daemon.cli("reload")
        self.let_pass(12 * HOUR + 60)
        self.goes(want=0)
        self.assertNotIn("web", self.daemon.cli("ring", "list")[0].decode())
        self.assertEqual(self.daemon.stop(), 0)

    def test_a_restart_asks_nobody(self):
        self.daemon.start()
        self.goes(want=1)
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.start()
        self.daemon.token("other")
        self.assertEqual(self.daemon.stop(), 0)

    def test_a_sum_that_does_not_come_out_stops_the_start_and_the_check(self):
        self.daemon.write(ring("web", "ES256", "rotate_every: 3d"), SESSION)
        line = self.daemon.config.read_text().splitlines().index("    rotate_every: 3d") + 1
        want = (f"{self.daemon.config}:{line}: rings.web: rotate_every is 3d and must be at least 4d, or nobody has time to mend"
                " what keeps a next key from being made\n"
                "    publish_ahead  2d    the next key is known before it signs\n"
                "    publish_ahead  2d    as long before that, should it not be made at once\n"
                "    -----------------\n"
                "    rotate_every   4d    at least; it is 3d\n")
        for more in ([], ["--check"]):
            done = subprocess.run([SIGNETD, "--config", str(self.daemon.config), *more], env=self.place.env,
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (78, want))


if __name__ == "__main__":
    main()
