"""What the process design promises, asserted on the running daemon."""
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import unittest

from rig import (Case, Daemon, EXAMPLE_PROFILE, EXAMPLE_RING, PIN, PRINTED_PAYLOAD, PRINTED_SECRET, PRINTED_TOKEN,
                 Place, SIGNETD, cmdline, descendants, main, profile, ring, until)

RINGS = ring("web", "ES256", "create: yes") + EXAMPLE_RING
PROFILES = profile("web", "web", "shop", "claims: {allowed: any}") + EXAMPLE_PROFILE


def proc(pid, name):
    return pathlib.Path(f"/proc/{pid}/{name}").read_bytes()


class Running(Case):
    rings, profiles = RINGS, PROFILES
    token_settings = "  signers: 2\n"

    @classmethod
    def prepare(cls):
        cls.daemon.cli("key", "import", "printed", stdin=PRINTED_SECRET)

    def test_each_role_is_its_own_process_named_by_it(self):
        roles = self.daemon.roles()
        self.assertEqual(len(roles["broker"]), 1)
        self.assertEqual(len(roles["signer"]), 2)
        self.assertGreaterEqual(len(roles["verifier"]), 1)

    def test_no_role_has_a_second_thread(self):
        for pid in descendants(self.daemon.process.pid):
            self.assertEqual(len(os.listdir(f"/proc/{pid}/task")), 1, cmdline(pid))

    def test_the_module_is_mapped_in_signers_only(self):
        roles = self.daemon.roles()
        for role, pids in roles.items():
            for pid in pids:
                self.assertEqual(b"softhsm" in proc(pid, "maps"), role == "signer", cmdline(pid))
        self.assertNotIn(b"softhsm", proc(self.daemon.process.pid, "maps"))

    def test_the_pin_is_in_no_environment_and_no_argument(self):
        for pid in descendants(self.daemon.process.pid):
            for name in ("environ", "cmdline"):
                self.assertNotIn(PIN.encode(), proc(pid, name), f"{cmdline(pid)}: {name}")

    def test_the_log_has_neither_pin_nor_secret_nor_claims(self):
        self.daemon.token("web", "--subject", "unmistakable-subject", "--claim", "name=unmistakable-name")
        log = self.daemon.said()
        for secret in (PIN, PRINTED_SECRET.decode(), "unmistakable-name"):
            self.assertNotIn(secret, log)

    def test_no_file_of_the_token_is_open_in_broker_or_verifier(self):
        roles = self.daemon.roles()
        for pid in roles["broker"] + roles["verifier"]:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                self.assertNotIn(str(self.place.tokens), os.readlink(f"/proc/{pid}/fd/{fd}"))

    def test_a_terminal_s_signals_reach_all_and_end_none_but_through_the_supervisor(self):
        roles = self.daemon.roles()
        for pid in sum(roles.values(), []):
            for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(pid, sig)
        self.daemon.token("web", "--subject", "s")
        self.assertEqual(self.daemon.roles(), roles)

    def test_signers_killed_under_load_lose_nothing(self):
        before = set(self.daemon.roles()["signer"])
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(self.daemon.token, "web", "--subject", str(i)) for i in range(60)]
            for i, pid in enumerate(before):
                asked[20 * i + 5].result()
                os.kill(pid, signal.SIGKILL)
                until("a killed signer is replaced",
                      lambda: len(set(self.daemon.roles().get("signer", [])) - {pid}) == 2)
            tokens = [a.result() for a in asked]
        self.assertEqual(len(set(tokens)), 60)
        for token in tokens[::10]:
            self.daemon.cli("verify", token)
        self.assertFalse(before & set(self.daemon.roles()["signer"]))

    def test_a_verifier_killed_is_replaced(self):
        token = self.daemon.token("web", "--subject", "s")
        old = self.daemon.roles()["verifier"]
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        until("verifiers are replaced", lambda: set(self.daemon.roles().get("verifier", [])).isdisjoint(old)
              and len(self.daemon.roles().get("verifier", [])) == len(old))
        self.daemon.cli("verify", token)

    def test_a_broker_killed_is_replaced_and_signers_stay(self):
        roles = self.daemon.roles()
        os.kill(roles["broker"][0], signal.SIGKILL)
        until("the broker is replaced",
              lambda: self.daemon.roles().get("broker", roles["broker"]) not in ([], roles["broker"]))
        until("it answers", lambda: not self.daemon.cli("sign", "--profile", "web", "--subject", "s", want=None)[1])
        self.assertEqual(sorted(self.daemon.roles()["signer"]), sorted(roles["signer"]))

    def test_reload_takes_what_is_right_and_refuses_what_is_not(self):
        was = self.daemon.config.read_text()
        self.addCleanup(lambda: (self.daemon.config.write_text(was), self.daemon.cli("reload")))
        self.daemon.config.write_text(was + profile("second", "web", "second.example", "claims: {allowed: any}"))
        self.daemon.cli("reload")
        self.daemon.token("second", "--subject", "s")
        self.daemon.config.write_text(was + "  third: {ring: no-such, colour: red}\n")
        err = self.refused("CONFIG_INVALID", "reload")
        self.assertRegex(err, r"signetd\.conf:\d+")
        broker = self.daemon.roles()["broker"]
        self.daemon.config.write_text(was + ("  a" + "é" * 40 + ": {}\n") * 2)    # cut within a character
        self.assertIn("stands twice", self.refused("CONFIG_INVALID", "reload"))
        self.assertEqual(self.daemon.roles()["broker"], broker)
        self.daemon.token("second", "--subject", "s")
        self.daemon.token("web", "--subject", "s")


class Lifetime(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.remove)
        self.daemon = Daemon(self.place, RINGS, PROFILES)
        self.addCleanup(self.daemon.kill)

    def files(self):
        return {p for p in self.place.dir.rglob("*") if p.is_file()}

    def test_all_state_is_token_and_configuration(self):
        self.daemon.start()
        self.daemon.cli("key", "import", "printed", stdin=PRINTED_SECRET)
        keys, token = self.daemon.jwks(), self.daemon.token("web", "--subject", "s")
        self.assertEqual(self.daemon.stop(), 0)
        extra = [p for p in self.files() if self.place.tokens not in p.parents]
        self.assertEqual({p.name for p in extra} - {"softhsm2.conf", "pin", "signetd.conf", "log"}, set())
        self.daemon.start()
        self.assertEqual(self.daemon.jwks()["keys"], keys["keys"])
        self.daemon.cli("verify", token)
        self.assertEqual(self.daemon.token("example", "--payload", "-", stdin=PRINTED_PAYLOAD), PRINTED_TOKEN)
        self.assertEqual(self.daemon.stop(), 0)

    def test_everything_dies_with_the_supervisor(self):
        self.daemon.start()
        pids = descendants(self.daemon.process.pid)
        self.daemon.kill()
        until("no role outlives it", lambda: not any("signetd" in cmdline(p) for p in pids))

    def test_a_wrong_pin_is_tried_once_in_all_and_said(self):
        self.place.write_pin("wrong")
        self.daemon.write(RINGS, PROFILES, token="  signers: 4\n")
        self.daemon.start()
        out, err = self.daemon.cli("status", want=None)
        self.assertIn("PIN", out.decode() + err)
        self.daemon.cli("sign", "--profile", "web", "--subject", "s", want=3)
        tried = re.findall(r"has no token: PIN_WRONG", self.daemon.said())
        self.assertEqual(len(tried), 1, self.daemon.said())
        self.daemon.stop()

    def test_half_a_configuration_is_refused_with_every_line(self):
        self.daemon.write("  web: {alg: ES257, colour: red}\n", "  p: {ring: wob}\n")
        done = subprocess.run([SIGNETD, "--config", str(self.daemon.config), "--check"], capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, 78, done.stderr)
        for what in ("ES257", "colour", "wob"):
            self.assertRegex(done.stderr + done.stdout, rf"signetd\.conf:\d+.*{what}")


if __name__ == "__main__":
    main()
