"""rig: a real signetd on a SoftHSM token of its own, in a directory that is gone afterwards.

Whatever a test starts here is waited for by the daemon's own word (sd_notify) or by an end that must come, each
with a limit; nothing sleeps. What ASan, UBSan or LSan wrote into a daemon's log fails the test that stops it.
"""
import contextlib
import fcntl
import glob
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SIGNET_BUILD", "build"))
BUILD_PATIENCE = 600         # seconds: a busy machine
SIGNETD = str(BUILD / "daemon/signetd")
SIGNET = str(BUILD / "client/cli/signet")
PATIENCE = 60                # seconds; sanitizers on a busy machine
STRANGER = 65533             # a uid that no user has
OTHER = 65532
SO_PIN, PIN = "12345678", "correct horse"

PRINTED_SECRET = b"your-256-bit-secret"
PRINTED_PAYLOAD = b'{"sub":"1234567890","name":"John Doe","iat":1516239022}'
PRINTED_TOKEN = ("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
                 ".eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ"
                 ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c")

HMAC = ["HS256", "HS384", "HS512"]
PUBLIC = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
# As long as the hash, known to the libraries on the other side.
HMAC_SECRET = {"HS256": b"s" * 32, "HS384": b"t" * 48, "HS512": b"u" * 64}

SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|UndefinedBehaviorSanitizer")
ONLY_LEAKS = re.compile(r"(?s)\s*=+\n==\d+==ERROR: LeakSanitizer: ((?!==ERROR|runtime error:).)*")


def softhsm_module():
    found = glob.glob("/usr/lib/softhsm/libsofthsm2.so") + glob.glob("/usr/lib/*/softhsm/libsofthsm2.so")
    assert found, "libsofthsm2.so is not installed"
    return found[0]


def build_options():
    return {o["name"]: o["value"] for o in json.loads(run(["meson", "introspect", "--buildoptions", str(BUILD)]))}


def plain_build(*targets):
    """Where these are built without sanitizers, with the test hooks: what ships, as far as can be tried."""
    options, plain = build_options(), BUILD
    assert options["testing"], "tests need -Dtesting=true"
    if options["b_sanitize"] != "none":
        plain = BUILD / "plain"
    with open(BUILD / "plain.lock", "w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not (plain / "build.ninja").exists():
            run(["meson", "setup", str(plain), str(TOP), "-Dtesting=true"], timeout=BUILD_PATIENCE)
        run(["ninja", "-C", str(plain), "build.ninja", *targets], timeout=BUILD_PATIENCE)
    return plain


class Place:
    """A directory that other users may enter, with a SoftHSM token in it that they may not read."""
    daemon_settings = token_settings = ""

    def __init__(self, label="signet"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="signet-"))
        self.dir.chmod(0o755)
        self.tokens = self.dir / "tokens"
        self.tokens.mkdir(mode=0o700)
        self.module = softhsm_module()
        conf = self.dir / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.env = {**os.environ, "SOFTHSM2_CONF": str(conf), "LC_ALL": "C.UTF-8"}
        self.pin = self.dir / "pin"
        self.write_pin(PIN)
        run(["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", PIN],
            env=self.env)

    def write_pin(self, pin):
        self.pin.touch(mode=0o600)
        self.pin.write_text(pin + "\n")

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class TpmPlace(Place):
    """The same with a simulated TPM: swtpm, its resource manager, tpm2-pkcs11 and its store. What of them does not
    start fails the test."""
    # Four processes take part in a signature: on a busy machine they take longer than a token of silicon.
    daemon_settings, token_settings = "  deadline: 4500ms\n", "  token_timeout: 1500ms\n"

    def __init__(self, label="signet"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="signet-tpm-"))
        self.dir.chmod(0o755)
        self.tokens = self.dir / "store"
        self.pin = self.dir / "pin"
        self.write_pin(PIN)
        self.processes, self.manager = [], None
        for private in (self.tokens, self.dir / "state"):
            private.mkdir(mode=0o700)
        self.env = {**os.environ, "LC_ALL": "C.UTF-8", "TPM2_PKCS11_STORE": str(self.tokens), "TSS2_LOG": "all+NONE"}
        self.module = run(["pkg-config", "--variable=p11_module_path", "p11-kit-1"]).decode().strip() + "/libtpm2_pkcs11.so"
        try:
            self.start_tpm()
            self.make_token(label)
        except BaseException:
            self.remove()
            raise

    def start_tpm(self):
        tpm = self.dir / "tpm"
        self.spawn("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.dir}/state", "--server",
                   f"type=unixio,path={tpm}", "--ctrl", f"type=unixio,path={tpm}.ctrl", "--flags", "startup-clear,not-need-init")
        until("swtpm listens", tpm.exists)
        bus = self.dir / "bus"
        self.spawn("dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address=unix:path={bus}")
        until("the bus listens", lambda: listens(bus))
        self.env["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={bus}"
        tcti = "tabrmd:bus_type=session,bus_name=com.intel.tss2.Tabrmd"
        self.env["TPM2_PKCS11_TCTI"] = self.env["TPM2TOOLS_TCTI"] = tcti
        until("the TPM answers", lambda: self.answers(tpm))

    def answers(self, tpm):
        """tpm2-abrmd ends where it finds its TPM or the bus a moment too early: then it is started again."""
        if self.manager is None or self.manager.poll() is not None:
            self.manager = self.spawn("tpm2-abrmd", "--session", "--allow-root", "--flush-all", f"--tcti=swtpm:path={tpm}")
        return subprocess.run(["tpm2_getcap", "properties-fixed"], env=self.env, capture_output=True,
                              timeout=PATIENCE).returncode == 0

    def make_token(self, label):
        tool = ["pkcs11-tool", "--module", self.module]
        run([*tool, "--slot-index", "0", "--init-token", "--label", label, "--so-pin", SO_PIN], env=self.env)
        run([*tool, "--token-label", label, "--login", "--login-type", "so", "--so-pin", SO_PIN, "--init-pin", "--pin", PIN],
            env=self.env)

    def spawn(self, *argv):
        self.processes.append(subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                               stderr=subprocess.DEVNULL, start_new_session=True))
        return self.processes[-1]

    def remove(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait(PATIENCE)
        super().remove()


def listens(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        return s.connect_ex(str(path)) == 0


def run(argv, stdin=b"", env=None, timeout=PATIENCE, **kw):
    """Runs to its end; raises if that is not 0."""
    done = subprocess.run(argv, input=stdin, capture_output=True, env=env, timeout=timeout, **kw)
    if done.returncode != 0:
        raise AssertionError(f"{argv} ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
                             f"{done.stdout[-20000:].decode(errors='replace')}")
    return done.stdout


def npm_packages(source):
    """The folder in the build directory where the packages of source/package-lock.json are installed."""
    folder = BUILD.resolve() / "npm" / json.loads((source / "package.json").read_text())["name"]
    lock, stamp = (source / "package-lock.json").read_bytes(), folder / "installed"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as one_at_a_time:            # tests run side by side
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_bytes() == lock:
            return folder
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder / name)
        run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, timeout=300,
            env={**os.environ, "npm_config_update_notifier": "false"})
        stamp.write_bytes(lock)
    return folder


class Daemon:
    """signetd on a place; socket and token are the rig's. `module_leaks`: what a signer has not freed at its end is
    the module's; leaks of the other roles and every other finding fail the test as ever. Where a place has several,
    each has a `name`; `env` is what this one alone is told."""
    program = [SIGNETD]
    may_be_refused = False       # by its sandbox: a role that asks for what it may not do has a fault

    def __init__(self, place, rings, profiles, daemon="", token="", module_leaks=False, name="", env=None):
        self.place, self.process, self.module_leaks, self.name = place, None, module_leaks, name
        self.env = env or {}
        prefix = f"{name}-" if name else ""
        self.socket, self.admin = place.dir / f"{prefix}s.sock", place.dir / f"{prefix}a.sock"
        self.config = place.dir / f"{prefix}signetd.conf"
        self.log = place.dir / f"{prefix}log"
        self.notify = place.dir / f"{prefix}notify"
        self.sanitizer_log = place.dir / f"{prefix}sanitizer"
        self.write(rings, profiles, daemon, token)

    def write(self, rings, profiles, daemon="", token=""):
        self.config.write_text(
            f"daemon:\n  socket: {self.socket}\n  admin_socket: {self.admin}\n"
            f"  admin: {{users: [root]}}\n{daemon}{self.place.daemon_settings}"
            f"token:\n  module: {self.place.module}\n  uri: pkcs11:token=signet\n"
            f"  pin_file: {self.place.pin}\n{token}{self.place.token_settings}"
            f"rings:\n{rings}profiles:\n{profiles}")

    def start(self, env=None):
        """Starts it and waits until it says that it is ready."""
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.unlink(missing_ok=True)
        notify.bind(str(self.notify))
        notify.settimeout(0.1)
        log = open(self.log, "ab")
        self.process = subprocess.Popen([*self.program, "--config", str(self.config)], stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, start_new_session=True,
                                        env={**self.place.env, **self.sanitizer(), **self.env, **(env or {}),
                                             "NOTIFY_SOCKET": str(self.notify)})
        log.close()
        try:
            with notify:
                until("signetd is ready", lambda: self.is_ready(notify))
        except AssertionError as e:
            self.kill()
            raise AssertionError(f"{e}: {self.said()}") from None
        return self

    def is_ready(self, notify):
        assert self.process.poll() is None, "signetd ended before it was ready"
        try:
            return b"READY=1" in notify.recv(4096)
        except socket.timeout:
            return False

    def sanitizer(self):
        """A file for each process that has something to report, sanitizer.PID, instead of the common log."""
        return {"ASAN_OPTIONS": f"exitcode=0:log_path={self.sanitizer_log}"} if self.module_leaks else {}

    def reports(self, signers):
        """What the sanitizers found, less the leaks of these signers. Each report is told once."""
        files = list(self.place.dir.glob(f"{self.sanitizer_log.name}.*"))
        found = {int(p.suffix[1:]): p.read_text(errors="replace") for p in files}
        for p in files:
            p.unlink()
        return [text for pid, text in found.items() if pid not in signers or not ONLY_LEAKS.fullmatch(text)]

    def said(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self):
        """Drains and ends it; what a sanitizer found is a failure."""
        signers = []
        if self.process and self.process.poll() is None:
            signers = self.roles().get("signer", [])
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"signetd did not end in {PATIENCE} s: {self.said()}") from None
        assert not SANITIZER.search(self.said()), self.said()
        assert self.may_be_refused or "was refused (ausyscall" not in self.said(), self.said()
        assert not (reports := self.reports(signers)), "\n".join(reports)
        return self.process.returncode if self.process else None

    def kill(self):
        """All of it is gone when this returns: its roles die with the supervisor, a moment later."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.is_gone()

    def kill_at_once(self):
        """The whole process group, as a machine's end would: the caller sees to it that nobody is inside C_Login."""
        if self.process.poll() is None:          # else its number may be another's
            os.killpg(self.process.pid, signal.SIGKILL)
        self.is_gone()

    def is_gone(self):
        """Waits for the end of what was killed, every process of it."""
        self.process.wait(PATIENCE)
        until("its process group is gone", lambda: not group_lives(self.process.pid))

    def cli(self, *args, stdin=b"", uid=None, groups=(), want=0):
        """`signet ARGS`, as another uid where one is named. Asserts the exit status; returns (stdout, stderr)."""
        with self.begin_cli(*args, uid=uid, groups=groups) as process:
            try:
                out, err = process.communicate(stdin, timeout=PATIENCE)
            finally:
                process.kill()
        err = err.decode(errors="replace")
        assert not SANITIZER.search(err), err
        assert want is None or process.returncode == want, f"{args}: {process.returncode}, not {want}: {err}{out}"
        return out, err

    def begin_cli(self, *args, uid=None, groups=()):
        argv = [SIGNET, *map(str, args)]
        if uid is not None:
            argv = [*as_user(uid, groups), *argv]
        env = {**self.place.env, "SIGNET_SOCKET": str(self.socket), "SIGNET_ADMIN_SOCKET": str(self.admin)}
        return subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def token(self, profile, *args, **kw):
        return self.cli("sign", "--profile", profile, *args, **kw)[0].decode().strip()

    def jwks(self):
        return json.loads(self.cli("jwks")[0])

    def roles(self):
        """{role: [pid]} of the processes below the supervisor, by the names that `ps` shows."""
        found = {}
        for pid in descendants(self.process.pid):
            name = cmdline(pid)
            role = re.match(r"signetd: ([a-z]+)", name)
            if role:
                found.setdefault(role[1], []).append(pid)
        return found


def group_lives(group):
    """Whether any process of it still does something; who is dead and not yet waited for does not."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False


def as_user(uid, groups=()):
    """What a command begins with to run as that uid, in these supplementary groups alone."""
    supplementary = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), *supplementary]


def cmdline(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def memory(pid):
    """Bytes of it that are in RAM."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS"))


def descendants(pid):
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid] + [d for c in children for d in descendants(int(c))]


def until(what, holds, patience=PATIENCE):
    """Asks again and again, giving way in between, until it holds."""
    end = time.monotonic() + patience
    while not (got := holds()):
        assert time.monotonic() < end, f"not within {patience} s: {what}"
        select.select([], [], [], 0.02)
    return got


def drip(slow, byte, every_s):
    """A slow client's pace: in a while, one more byte to each of the sockets; those that were closed are taken out."""
    select.select([], [], [], every_s)
    for s in slow[:]:
        try:
            s.sendall(byte)
            if select.select([s], [], [], 0)[0] and not s.recv(4096):
                slow.remove(s)
        except OSError:
            slow.remove(s)


def ring(name, alg, *settings):
    return f"  {name}:\n    alg: {alg}\n" + "".join(f"    {s}\n" for s in settings)


def profile(name, ring_name, audience, *settings, sign="{users: any}", verify="{users: any}"):
    return (f"  {name}:\n    ring: {ring_name}\n    issuer: https://login.example\n    audiences: [{audience}]\n"
            f"    sign: {sign}\n    verify: {verify}\n" + "".join(f"    {s}\n" for s in settings))


EXAMPLE_RING = ring("printed", "HS256", "rotate_every: never", "allow_weak_secret: yes")
EXAMPLE_PROFILE = "  example: {ring: printed, raw: yes, kid: no, sign: {users: any}, verify: {users: any}}\n"


def rings_for(algs):
    """A ring for each, of its name in lower case; a secret is for the test to import."""
    return "".join(ring(a.lower(), a, "rotate_every: never") if a in HMAC else
                   ring(a.lower(), a, "create: yes", *(["bits: 2048"] if a[0] in "RP" else [])) for a in algs)


def profiles_for(algs):
    return "".join(profile(a.lower(), a.lower(), f"{a.lower()}.example", "claims: {allowed: any}", "ttl: 15m")
                   for a in algs)


class OnToken(unittest.TestCase):
    """What a test class says of its daemon; a subclass with another `make_place` runs the same tests on another token."""
    make_place = Place
    algs, rings, profiles, daemon_settings, token_settings = (), "", "", "", ""
    module_leaks = False

    @classmethod
    def new_daemon(cls, place):
        return Daemon(place, rings_for(cls.algs) + cls.rings, profiles_for(cls.algs) + cls.profiles, cls.daemon_settings,
                      cls.token_settings, cls.module_leaks)


class Case(OnToken):
    """One daemon for all tests of the class."""

    @classmethod
    def setUpClass(cls):
        cls.place = cls.make_place()
        cls.addClassCleanup(cls.place.remove)
        cls.daemon = cls.new_daemon(cls.place)
        cls.addClassCleanup(cls.daemon.kill)
        cls.daemon.start()
        cls.prepare()

    @classmethod
    def prepare(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def refused(self, reason, *args, **kw):
        _, err = self.daemon.cli(*args, want=1, **kw)
        self.assertIn(reason, err)
        return err


class EachCase(OnToken):
    """A token and a daemon, not yet started, for each test."""

    def setUp(self):
        self.place = self.make_place()
        self.addCleanup(self.place.remove)
        self.daemon = self.new_daemon(self.place)
        self.addCleanup(self.daemon.kill)


class Counter(unittest.TextTestResult):
    """A skipped test could not run: it failed."""

    def addSkip(self, test, reason):
        self.addFailure(test, (AssertionError, AssertionError(f"could not run: {reason}"), None))


def main():
    """Every test of the file, or those that are named: Class.test_name."""
    load, module = unittest.defaultTestLoader, sys.modules["__main__"]
    suite = load.loadTestsFromNames(sys.argv[1:], module) if sys.argv[1:] else load.loadTestsFromModule(module)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Counter).run(suite)
    failed = len(result.failures) + len(result.errors)
    passed = max(result.testsRun - failed, 0)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)
