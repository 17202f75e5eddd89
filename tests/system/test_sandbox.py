"""What each role can no longer do: read from the kernel's own account of the running role, and tried inside it.

Sanitizers need more than signetd does, so that a sanitized build's filters are wider. What ships is proved here on one
without, which is built where the build under test is another; with its test hooks.
"""
import json
import os
import pathlib
import re
import signal
import subprocess

from rig import Case, Daemon, EachCase, STRANGER, as_user, build_options, main, plain_build, profile, ring, until

RINGS, PROFILES = ring("web", "ES256", "create: yes"), profile("web", "web", "shop", "claims: {allowed: any}")
LOOKS_AND_CHANGES = {"trace a process": "EPERM", "read another's memory": "EPERM", "enter a namespace": "EPERM",
                     "make a namespace": "EPERM", "use a keyring": "EPERM"}
USES_FILES = {"read a file": "done", "list a directory": "done", "make a file": "done", "execute a program": "ENOEXEC"}
DOES_WORK = {"start a process": "done", "map new code": "done", "open a socket to the network": "done",
             "open a local socket": "done", "send its parent a signal": "done"}
EVERYTHING = {**USES_FILES, **DOES_WORK, **LOOKS_AND_CHANGES}
NOTHING = dict.fromkeys(EVERYTHING, "EPERM")
# What is let through fails otherwise.
OPEN = {**USES_FILES, **DOES_WORK, "trace a process": "ESRCH", "read another's memory": "ESRCH",
        "enter a namespace": "EBADF", "make a namespace": "done", "use a keyring": "EOPNOTSUPP"}
NO_FILES = dict.fromkeys(USES_FILES, "EACCES")
# chown, dac_override, dac_read_search, fowner; ipc_lock
FILE_CAPABILITIES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 14


def setUpModule():
    global signetd
    signetd = str(plain_build("daemon/signetd") / "daemon/signetd")


class Plain(Daemon):
    may_be_refused = True
    before = ()

    @property
    def program(self):
        return [*self.before, signetd]


class Sandboxed:
    rings, profiles, token_settings = RINGS, PROFILES, "  signers: 2\n"
    kernel = {}
    before = ()

    @classmethod
    def new_daemon(cls, place):
        program = place.dir / "no-program"
        program.write_bytes(b"this is none\n")
        program.chmod(0o755)
        http = f"http: {{listen: {place.dir}/h.sock}}\n"
        daemon = Plain(place, cls.rings, cls.profiles, http, cls.token_settings,
                       env={"SIGNET_TEST_PROGRAM": str(program), **cls.kernel})
        daemon.before = cls.before
        return daemon

    def each(self):
        """(role, pid) of every process"""
        return [("supervisor", self.daemon.process.pid)] + [(role, pid) for role, pids in self.daemon.roles().items()
                                                            for pid in pids]

    def one(self, role):
        return next(pid for name, pid in self.each() if name == role)

    def status_of(self, pid):
        return dict(re.findall(r"(?m)^(\w+):\t(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text()))

    def tried(self, role):
        """What came of each act in that running role."""
        before = len(self.daemon.said())
        os.kill(self.one(role), signal.SIGUSR2)
        said = until("it has tried", lambda: "tried all" in (new := self.daemon.said()[before:]) and new)
        return dict(re.findall(r"tried to (.*): (\w+)\n", said)), said

    def works(self):
        self.daemon.cli("verify", self.daemon.token("web", "--subject", "s"))

    def told(self):
        """(what status says of the sandbox, the notices)"""
        got = json.loads(self.daemon.cli("status", "--admin", "--json")[0])
        return got["sandbox"], " ".join(got["notices"])


class Whole(Sandboxed, Case):
    def test_the_kernel_says_so_of_each_role(self):
        # each has the supervisor's as well
        filters = {"supervisor": 2, "signer": 2, "broker": 3, "verifier": 3, "publisher": 3}
        roles = self.each()
        self.assertEqual({role for role, _ in roles}, set(filters))
        for role, pid in roles:
            got = self.status_of(pid)
            self.assertEqual((got["Seccomp"], got["NoNewPrivs"]), ("2", "1"), role)
            self.assertEqual(int(got["Seccomp_filters"]), filters[role], role)

    def test_root_s_capabilities_are_gone(self):
        for role, pid in self.each():
            got = self.status_of(pid)
            may = FILE_CAPABILITIES if role in ("supervisor", "signer") else 0
            for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
                self.assertEqual(int(got[kind], 16) & ~may, 0, f"{role}: {kind}")

    def test_who_reads_strangers_bytes_can_do_nothing_else(self):
        for role in ("broker", "verifier", "publisher"):
            self.assertEqual(self.tried(role)[0], NOTHING, role)
        self.works()

    def test_what_is_refused_is_logged_and_ends_nothing(self):
        roles = self.daemon.roles()
        _, said = self.tried("broker")
        self.assertRegex(said, r"broker: system call \d+ is none of this role's: it was refused")
        for _ in range(3):
            _, said = self.tried("broker")
        self.assertNotIn("it was refused", said, "one that is broken into could fill the disk")
        self.works()
        self.assertEqual(self.daemon.roles(), roles)

    def test_a_signer_may_what_a_module_may_need_and_signals_nobody(self):
        self.assertEqual(self.tried("signer")[0], {**EVERYTHING, "send its parent a signal": "EPERM"})
        self.works()

    def test_the_supervisor_looks_into_nobody_and_changes_nothing(self):
        self.assertEqual(self.tried("supervisor")[0], EVERYTHING)

    def test_log_and_status_say_what_there_is(self):
        self.assertRegex(self.daemon.said(), r"supervisor: sandbox: Landlock ABI \d+, seccomp\n")
        state, notices = self.told()
        self.assertRegex(state, r"^Landlock ABI \d+, seccomp$")
        self.assertNotIn("Landlock", notices)
        self.assertIn(f"sandbox {state}\n", self.daemon.cli("status", "--admin")[0].decode())

    def test_replaced_roles_are_held_like_the_first(self):
        for role in ("broker", "verifier", "publisher"):
            old = self.daemon.roles()[role]
            for pid in old:
                os.kill(pid, signal.SIGKILL)
            until(f"the {role} is replaced", lambda: set(self.daemon.roles().get(role, old)).isdisjoint(old))
        until("it answers", lambda: not self.daemon.cli("sign", "--profile", "web", want=None)[1])
        self.assertEqual(self.tried("broker")[0], NOTHING)

    def test_no_memory_of_a_signer_is_swapped_out_where_all_may_be_locked(self):
        """Root may. A sanitized build locks nothing."""
        got = self.status_of(self.one("signer"))
        self.assertGreater(*(int(got[name].split()[0]) for name in ("VmLck", "VmRSS")))

    def test_reload_needs_nothing_that_was_given_up(self):
        was = self.daemon.config.read_text()
        self.addCleanup(lambda: (self.daemon.config.write_text(was), self.daemon.cli("reload")))
        self.daemon.config.write_text(was + profile("second", "web", "second.example"))
        self.daemon.cli("reload")
        self.daemon.token("second", "--subject", "s")


class WithoutLandlock(Sandboxed, Case):
    kernel = {"SIGNET_TEST_LANDLOCK": "0"}

    def test_seccomp_alone_keeps_files_from_them(self):
        for role in ("broker", "verifier", "publisher"):
            self.assertEqual(self.tried(role)[0], NOTHING, role)
        self.assertEqual(self.tried("signer")[0], EVERYTHING)
        self.works()

    def test_log_and_status_say_so(self):
        want = ("this kernel has no Landlock (Function not implemented): "
                "seccomp alone keeps broker, verifiers and publisher from files")
        self.assertIn(f"supervisor: the sandbox has less than it could: {want}\n", self.daemon.said())
        state, notices = self.told()
        self.assertEqual((state, notices), ("seccomp", want))
        self.assertIn(want, self.daemon.cli("status", "--admin")[0].decode())


class WithoutSeccomp(Sandboxed, Case):
    kernel = {"SIGNET_TEST_SECCOMP": "0"}

    def test_landlock_alone_keeps_files_from_them(self):
        for role in ("broker", "verifier", "publisher"):
            self.assertEqual(self.tried(role)[0], {**OPEN, **NO_FILES, "send its parent a signal": "EPERM"}, role)
            self.assertEqual(self.status_of(self.one(role))["Seccomp"], "0")
        self.works()

    def test_log_and_status_say_so(self):
        want = "seccomp is not to be had (Function not implemented): no system call is refused"
        self.assertIn(want, self.daemon.said())
        state, notices = self.told()
        self.assertRegex(state, r"^Landlock ABI \d+$")
        self.assertIn(want, notices)


class WithoutBoth(Sandboxed, Case):
    """That the acts would succeed but for the sandbox."""
    kernel = {"SIGNET_TEST_SECCOMP": "0", "SIGNET_TEST_LANDLOCK": "0"}

    def test_everything_is_open(self):
        for role in ("supervisor", "broker", "signer", "verifier", "publisher"):
            self.assertEqual(self.tried(role)[0], OPEN, role)
        self.works()
        self.assertEqual(self.told()[0], "none")


class OlderLandlock(Sandboxed, EachCase):
    def test_each_gives_what_it_has(self):
        for abi in range(1, 7):
            with self.subTest(abi=abi):
                self.daemon.env |= {"SIGNET_TEST_LANDLOCK": str(abi), "SIGNET_TEST_SECCOMP": "0"}
                self.daemon.start()
                signals = {"send its parent a signal": "EPERM" if abi >= 6 else "done"}
                self.assertEqual(self.tried("broker")[0], {**OPEN, **NO_FILES, **signals})
                self.works()
                self.assertEqual(self.told()[0], f"Landlock ABI {abi}")
                self.assertEqual(self.daemon.stop(), 0)


class AsUser(Sandboxed, EachCase):
    before = as_user(STRANGER)

    def setUp(self):
        super().setUp()
        for path in (self.place.dir, *self.place.dir.rglob("*")):
            os.chown(path, STRANGER, STRANGER)
        self.addCleanup(os.umask, os.umask(0))           # the daemon tells the rig that it is ready
        self.daemon.start()

    def tearDown(self):
        self.works()
        self.assertEqual(self.daemon.stop(), 0)

    def test_no_process_of_the_same_user_looks_into_any_of_it(self):
        """Not even one without a sandbox of its own."""
        for role, pid in self.each():
            for name in ("mem", "environ", "maps"):
                done = subprocess.run([*as_user(STRANGER), "dd", f"if=/proc/{pid}/{name}", "of=/dev/null", "count=1"],
                                      capture_output=True, text=True, timeout=60)
                self.assertIn("Permission denied", done.stderr, f"{role}: {name}")

    def test_under_a_limit_the_pin_is_kept_out_of_swap(self):
        for role, pid in self.each():
            self.assertEqual(self.status_of(pid)["VmLck"] != "       0 kB", role == "signer", role)


if "address" in build_options()["b_sanitize"]:
    class Leaks(EachCase):
        """They were not, and nothing said so, while one system call of the search for them was refused."""
        rings, profiles = RINGS, PROFILES

        def test_they_are_found_in_each_role(self):
            for role in ("broker", "verifier", "signer", "supervisor"):
                with self.subTest(role):
                    self.daemon.may_be_refused = True
                    self.daemon.start()
                    pids = {"supervisor": [self.daemon.process.pid], **self.daemon.roles()}[role]
                    os.kill(pids[0], signal.SIGUSR2)
                    until("it has tried", lambda: "tried all" in self.daemon.said())
                    with self.assertRaisesRegex(AssertionError, rf"=={pids[0]}==ERROR: LeakSanitizer"):
                        self.daemon.stop()
                    self.daemon.log.unlink()


if __name__ == "__main__":
    main()
