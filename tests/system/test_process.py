"""What the process design promises, asserted on the running daemon."""
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess

from rig import (BUILD, Case, EXAMPLE_PROFILE, EXAMPLE_RING, EachCase, PIN, PRINTED_PAYLOAD, PRINTED_SECRET, PRINTED_TOKEN,
                 SIGNETD, cmdline, descendants, main, profile, ring, run, until)

RINGS = ring("web", "ES256", "create: yes")
COMPLETION = pathlib.Path(__file__).resolve().parents[2] / "contrib/completion/signet"
PROFILES = profile("web", "web", "shop", "claims: {allowed: any}")


def proc(pid, name):
    return pathlib.Path(f"/proc/{pid}/{name}").read_bytes()


class Running(Case):
    rings, profiles = RINGS, PROFILES
    token_settings, n_signers, module_threads = "  signers: 2\n", 2, False

    def test_each_role_is_its_own_process_named_by_it(self):
        roles = self.daemon.roles()
        self.assertEqual(len(roles["broker"]), 1)
        self.assertEqual(len(roles["signer"]), self.n_signers)
        self.assertGreaterEqual(len(roles["verifier"]), 1)

    def test_no_role_has_a_second_thread(self):
        signers = self.daemon.roles()["signer"] if self.module_threads else []
        for pid in set(descendants(self.daemon.process.pid)) - set(signers):
            self.assertEqual(len(os.listdir(f"/proc/{pid}/task")), 1, cmdline(pid))

    def test_the_module_is_mapped_in_signers_only(self):
        roles, module = self.daemon.roles(), os.path.basename(self.place.module).encode()
        for role, pids in roles.items():
            for pid in pids:
                self.assertEqual(module in proc(pid, "maps"), role == "signer", cmdline(pid))
        self.assertNotIn(module, proc(self.daemon.process.pid, "maps"))

    def test_the_pin_is_in_no_environment_and_no_argument(self):
        for pid in descendants(self.daemon.process.pid):
            for name in ("environ", "cmdline"):
                self.assertNotIn(PIN.encode(), proc(pid, name), f"{cmdline(pid)}: {name}")

    def test_the_log_has_neither_pin_nor_claims(self):
        self.daemon.token("web", "--subject", "unmistakable-subject", "--claim", "name=unmistakable-name")
        log = self.daemon.said()
        for secret in (PIN, "unmistakable-name"):
            self.assertNotIn(secret, log)

    def test_no_file_of_the_token_is_open_in_broker_or_verifier(self):
        roles = self.daemon.roles()
        for pid in roles["broker"] + roles["verifier"]:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                self.assertNotIn(str(self.place.tokens), os.readlink(f"/proc/{pid}/fd/{fd}"))

    def test_completion_offers_the_daemon_s_profiles_and_rings(self):
        script = f"""PATH={(BUILD / 'client/cli').resolve()}:$PATH; . {COMPLETION}
            COMP_WORDS=(signet sign --profile ''); COMP_CWORD=3; _signet; echo "${{COMPREPLY[*]}}"
            COMP_WORDS=(signet key generate ''); COMP_CWORD=3; _signet; echo "${{COMPREPLY[*]}}"
            COMP_WORDS=(signet key import w); COMP_CWORD=3; _signet; echo "${{COMPREPLY[*]}}" """
        env = {**self.place.env, "SIGNET_SOCKET": str(self.daemon.socket)}
        profiles, rings, one = run(["bash", "-c", script], env=env).decode().splitlines()
        self.assertEqual((profiles, rings, one), ("web", "web", "web"))

    def test_a_terminal_s_signals_reach_all_and_end_none_but_through_the_supervisor(self):
        roles = self.daemon.roles()
        for pid in sum(roles.values(), []):
            for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(pid, sig)
        self.daemon.token("web", "--subject", "s")
        self.assertEqual(self.daemon.roles(), roles)

    def signed(self, subject):
        """Where there is but one signer, callers are told to try again while there is none."""
        ask = ["sign", "--profile", "web", "--subject", subject]

        def answer():
            out, err = self.daemon.cli(*ask, want=None)
            self.assertTrue(out or self.n_signers == 1 and re.search("TOKEN_UNREACHABLE|STARTING", err), err)
            return out
        return until("it is signed", answer).decode().strip()

    def test_signers_killed_under_load_lose_nothing(self):
        before = set(self.daemon.roles()["signer"])
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(self.signed, str(i)) for i in range(60)]
            for i, pid in enumerate(before):
                asked[20 * i + 5].result()
                os.kill(pid, signal.SIGKILL)
                until("a killed signer is replaced",
                      lambda: len(set(self.daemon.roles().get("signer", [])) - {pid}) == self.n_signers)
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
        until("one has joined the broker", lambda: self.daemon.cli("verify", token, want=None)[0])

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
        self.assertIn("ééé", self.refused("CONFIG_INVALID", "reload"))
        self.assertEqual(self.daemon.roles()["broker"], broker)
        self.daemon.token("second", "--subject", "s")
        self.daemon.token("web", "--subject", "s")


class Lifetime(EachCase):
    rings, profiles = RINGS, PROFILES

    many_signers = "  signers: 4\n"
    there = frozenset()

    def files(self):
        return {p for p in self.place.dir.rglob("*") if p.is_file()} - self.there

    def test_all_state_is_token_and_configuration(self):
        self.there = self.files()
        self.daemon.start()
        keys, token = self.daemon.jwks(), self.daemon.token("web", "--subject", "s")
        self.assertEqual(self.daemon.stop(), 0)
        extra = [p for p in self.files() if self.place.tokens not in p.parents]
        self.assertEqual({p.name for p in extra}, {"log"})
        self.daemon.start()
        self.assertEqual(self.daemon.jwks()["keys"], keys["keys"])
        self.daemon.cli("verify", token)
        self.assertEqual(self.daemon.stop(), 0)

    def test_everything_dies_with_the_supervisor(self):
        self.daemon.start()
        pids = descendants(self.daemon.process.pid)
        self.daemon.kill()
        until("no role outlives it", lambda: not any("signetd" in cmdline(p) for p in pids))

    def test_a_wrong_pin_is_tried_once_in_all_and_said(self):
        self.place.write_pin("wrong")
        self.daemon.write(RINGS, PROFILES, token=self.many_signers)
        self.daemon.start()
        until("the broker has heard it, too", lambda: b"PIN_WRONG" in self.daemon.cli("status", want=3)[0])
        self.daemon.cli("sign", "--profile", "web", "--subject", "s", want=3)
        tried = re.findall(r"has no token: PIN_WRONG", self.daemon.said())
        self.assertEqual(len(tried), 1, self.daemon.said())
        self.place.write_pin(PIN)
        until("the right PIN is taken up", lambda: self.daemon.cli("sign", "--profile", "web", want=None)[0])
        self.daemon.stop()

    def test_a_wrong_pin_is_not_tried_again_by_any_restart_of_a_role(self):
        self.place.write_pin("wrong")
        self.daemon.start()
        for role in ("broker", "verifier"):
            old = self.daemon.roles()[role]
            for pid in old:
                os.kill(pid, signal.SIGKILL)
            until(f"the {role} is replaced", lambda: set(self.daemon.roles().get(role, old)).isdisjoint(old))
        until("it answers", lambda: "PIN" in self.daemon.cli("status", want=None)[0].decode())
        self.assertEqual(len(re.findall(r"has no token: PIN_WRONG", self.daemon.said())), 1, self.daemon.said())
        self.daemon.stop()

    def test_half_a_configuration_is_refused_with_every_line(self):
        self.daemon.write("  web: {alg: ES257, colour: red}\n", "  p: {ring: wob}\n")
        done = subprocess.run([SIGNETD, "--config", str(self.daemon.config), "--check"], capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, 78, done.stderr)
        for what in ("ES257", "colour", "wob"):
            self.assertRegex(done.stderr + done.stdout, rf"signetd\.conf:\d+.*{what}")


class Secret(EachCase):
    rings, profiles = EXAMPLE_RING, EXAMPLE_PROFILE

    def test_an_imported_secret_is_in_the_token_alone(self):
        self.daemon.start()
        self.daemon.cli("key", "import", "printed", stdin=PRINTED_SECRET)
        self.assertEqual(self.daemon.stop(), 0)
        self.assertNotIn(PRINTED_SECRET.decode(), self.daemon.said())
        self.daemon.start()
        self.assertEqual(self.daemon.token("example", "--payload", "-", stdin=PRINTED_PAYLOAD), PRINTED_TOKEN)
        self.assertEqual(self.daemon.stop(), 0)


if __name__ == "__main__":
    main()
