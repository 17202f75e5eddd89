"""The units as they are installed, run by systemd itself: activation, the PIN as an encrypted credential, reload, an
upgrade under load, the end; and how much of the machine the service is shut out from."""
import json
import re
import subprocess
import time
import unittest

from machine import Machine
from rig import PATIENCE, PIN, SO_PIN, TOP, main, plain_build, profile, ring, softhsm_module, until

UNITS = TOP / "contrib/systemd"
LOG = "/run/signet-test.log"
# A GET by somebody: of a path, at a Unix socket or a port of 127.0.0.1.
GET = """import http.client, socket, sys
where, path = sys.argv[1:]
client = http.client.HTTPConnection("localhost")
client.sock = socket.socket(socket.AF_UNIX if where[0] == "/" else socket.AF_INET)
client.sock.connect(where if where[0] == "/" else ("127.0.0.1", int(where)))
client.request("GET", path)
reply = client.getresponse()
print(reply.status, reply.read().decode())
"""
CONFIG = f"""daemon:
  admin: {{groups: [signet-admin], users: [root]}}
token:
  module: {softhsm_module()}
  uri: pkcs11:token=signet
  pin_credential: signet-pin
rings:
{ring("web", "ES256", "create: yes")}profiles:
{profile("web", "web", "shop")}"""


def setUpModule():
    global machine
    plain = plain_build("daemon/signetd", "client/cli/signet", "tests/system/hammer")
    units = plain / "contrib/systemd"
    [sbin] = re.findall(r"(?m)^ExecStart=(.*)/signetd ", (units / "signetd.service").read_text())
    machine = Machine({
        f"{sbin}/signetd": (plain / "daemon/signetd", 0o755),
        "/usr/local/bin/signet": (plain / "client/cli/signet", 0o755),
        "/usr/local/bin/hammer": (plain / "tests/system/hammer", 0o755),
        "/etc/systemd/system/signetd.service": (units / "signetd.service", 0o644),
        "/etc/systemd/system/signetd.socket": (UNITS / "signetd.socket", 0o644),
        "/etc/systemd/system/signetd-admin.socket": (UNITS / "signetd-admin.socket", 0o644),
        "/usr/lib/sysusers.d/signet.conf": (UNITS / "sysusers.conf", 0o644),
        "/usr/lib/tmpfiles.d/signet.conf": (UNITS / "tmpfiles.conf", 0o644),
        # There is no journal: the log is a file. Each test starts it again, more often than a machine should.
        "/etc/systemd/system/signetd.service.d/test.conf":
            (f"[Unit]\nStartLimitIntervalSec=0\n[Service]\nStandardError=append:{LOG}\n", 0o644),
    })
    unittest.addModuleCleanup(machine.end)
    machine.signetd = f"{sbin}/signetd"
    machine.run("systemd-sysusers", "signet.conf")
    machine.run("systemd-tmpfiles", "--create", "signet.conf")
    write("/etc/signet/softhsm2.conf", "directories.tokendir = /var/lib/signet\nobjectstore.backend = file\n")
    write("/etc/signet/signetd.conf", CONFIG)
    machine.run("runuser", "-u", "signet", "--", "env", "SOFTHSM2_CONF=/etc/signet/softhsm2.conf", "softhsm2-util",
                "--init-token", "--free", "--label", "signet", "--so-pin", SO_PIN, "--pin", PIN)
    machine.run("mkdir", "-p", "-m", "0700", "/etc/credstore.encrypted")
    machine.run("systemd-creds", "encrypt", "--with-key=host", "--name=signet-pin", "-",
                "/etc/credstore.encrypted/signet-pin", stdin=PIN.encode())
    machine.run("systemctl", "start", "signetd.socket", "signetd-admin.socket")


def write(path, text):
    machine.run("install", "-m", "640", "-g", "signet", "/dev/stdin", path, stdin=text.encode())


def shown(unit, *names):
    out = machine.run("systemctl", "show", f"--property={','.join(names)}", unit)
    got = dict(line.split("=", 1) for line in out.splitlines())
    return tuple(got[n] for n in names)


def said():
    return machine.run("cat", LOG)


def signs():
    """By nobody in particular."""
    return machine.call("setpriv", "--reuid=65533", "--clear-groups", "signet", "sign", "--profile", "web").stdout


class Running(unittest.TestCase):
    def setUp(self):
        machine.run("systemctl", "start", "signetd.service")
        self.assertTrue(signs())

    def test_a_call_starts_it_and_the_pin_is_an_encrypted_credential(self):
        machine.run("systemctl", "stop", "signetd.service")
        self.assertEqual(shown("signetd.service", "ActiveState", "Result"), ("inactive", "success"))
        token = until("it signs", signs)
        self.assertRegex(token.decode(), r"^ey[\w-]+\.[\w-]+\.[\w-]+\n$")
        until("it is ready", lambda: shown("signetd.service", "ActiveState") == ("active",))
        machine.run("test", "!", "-e", "/etc/signet/pin")
        stored = machine.call("cat", "/etc/credstore.encrypted/signet-pin").stdout
        self.assertNotIn(PIN.encode(), stored)

    def test_without_the_credential_the_pin_may_be_in_a_file(self):
        stored = "/etc/credstore.encrypted/signet-pin"
        machine.run("mv", stored, f"{stored}.away")
        write("/etc/signet/pin", PIN)
        write("/etc/signet/signetd.conf", CONFIG.replace("pin_credential: signet-pin", "pin_file: /etc/signet/pin"))
        try:
            machine.run("systemctl", "restart", "signetd.service")
            self.assertTrue(signs())
        finally:
            machine.run("mv", f"{stored}.away", stored)
            machine.run("rm", "/etc/signet/pin")
            write("/etc/signet/signetd.conf", CONFIG)
            machine.run("systemctl", "restart", "signetd.service")

    def test_the_unit_takes_nothing_that_the_roles_need_for_their_own_sandboxes(self):
        status = json.loads(machine.run("signet", "status", "--admin", "--json"))
        self.assertRegex(status["sandbox"], r"^Landlock ABI \d+, seccomp$")
        self.assertEqual(status["notices"], [])
        self.assertNotIn("was refused", said())

    def test_no_memory_of_a_signer_is_swapped_out_as_far_as_systemd_may_allow_it(self):
        """The limit that the unit asks for cannot be given where systemd itself has not CAP_SYS_RESOURCE."""
        self.assertEqual(shown("signetd.service", "LimitMEMLOCK"), ("infinity",))
        for pid in machine.run("pgrep", "-f", "^signetd: signer").split():
            status, limits = (machine.run("cat", f"/proc/{pid}/{name}") for name in ("status", "limits"))
            locked, resident = (int(re.search(rf"{n}:\s+(\d+)", status)[1]) for n in ("VmLck", "VmRSS"))
            all_of_it = re.search(r"Max locked memory +unlimited", limits)
            self.assertGreater(locked, resident if all_of_it else 0)

    def test_what_the_service_may_write_it_may_not_execute(self):
        main_pid, = shown("signetd.service", "MainPID")
        inside = ["nsenter", "--target", main_pid, "--mount", "--root"]
        for directory in ("/var/lib/signet", "/tmp", "/var/tmp", "/run/signet-http"):
            program = f"{directory}/program"
            machine.run(*inside, "install", "-m", "755", "/usr/bin/true", program)
            self.assertIn(b"Permission denied", machine.call(*inside, program).stderr, program)
            machine.run(*inside, "rm", program)
        for path in ("/", "/etc/signet", "/home", "/run", "/run/lock", "/run/signet", "/usr", "/var"):
            self.assertIn(b"Read-only", machine.call(*inside, "touch", f"{path}/file").stderr, path)

    def test_reload_takes_what_is_right_and_fails_on_what_is_not(self):
        self.addCleanup(write, "/etc/signet/signetd.conf", CONFIG)
        write("/etc/signet/signetd.conf", CONFIG + profile("second", "web", "second.example"))
        machine.run("systemctl", "reload", "signetd.service")
        until("it is in force", lambda: machine.call("signet", "sign", "--profile", "second").returncode == 0)
        write("/etc/signet/signetd.conf", CONFIG + "  third: {colour: red}\n")
        self.assertNotEqual(machine.call("systemctl", "reload", "signetd.service").returncode, 0)
        self.assertEqual(shown("signetd.service", "ActiveState"), ("active",))
        self.assertTrue(signs())

    def put_back(self):
        write("/etc/signet/signetd.conf", CONFIG)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "signetd.service")

    def listens(self, where, address):
        """Key sets are had by anybody there."""
        write("/etc/signet/signetd.conf", f"{CONFIG}http: {{listen: '{address}'}}\n")
        machine.run("systemctl", "restart", "signetd.service")
        get = ("setpriv", "--reuid=65533", "--clear-groups", "/usr/bin/python3", "-c", GET, where, "/.well-known/jwks.json")
        until("it serves", lambda: machine.call(*get).stdout.startswith(b'200 {"keys":['))

    def test_its_one_place_for_a_socket_is_where_http_listens(self):
        self.addCleanup(self.put_back)
        self.listens("/run/signet-http/http.sock", "/run/signet-http/http.sock")
        self.assertNotIn("was refused", said())

    def test_at_a_port_it_listens_with_the_drop_in_of_its_page(self):
        drop_in = "/etc/systemd/system/signetd.service.d/http.conf"
        [text] = re.findall(r"(?s)\.Bd -literal\n(\[Service\]\nPrivateNetwork=no\n.*?)\.Ed\n",
                            (TOP / "contrib/man/signetd.8").read_text())
        self.addCleanup(self.put_back)
        write("/etc/signet/signetd.conf", f"{CONFIG}http: {{listen: '127.0.0.1:8181'}}\n")
        self.assertNotEqual(machine.call("systemctl", "restart", "signetd.service").returncode, 0)
        self.assertRegex(said(), "http.listen: cannot|http.listen: .*: Address family not supported|cannot make a socket for http")
        self.addCleanup(machine.run, "rm", drop_in)
        machine.run("install", "-m", "644", "/dev/stdin", drop_in, stdin=text.encode())
        machine.run("systemctl", "daemon-reload")
        self.listens("8181", "127.0.0.1:8181")
        self.assertNotIn("was refused", said())

    def test_an_upgrade_under_load_loses_no_call(self):
        """The program is replaced by another file, as packages do, and restarted."""
        hammer = subprocess.Popen(machine.enter("hammer", "/run/signet/signet.sock", "web", "64", "0"),
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(hammer.stdout.close)
        self.addCleanup(hammer.kill)

        def counts():
            hammer.stdin.write(b"?\n")
            hammer.stdin.flush()
            return json.loads(hammer.stdout.readline())

        def more_tokens():
            enough = counts()["tokens"] + 20
            until("tokens are made", lambda: counts()["tokens"] >= enough)

        longest = 0
        for _ in range(3):
            more_tokens()
            old, = shown("signetd.service", "MainPID")
            machine.run("cp", "--preserve", machine.signetd, f"{machine.signetd}.new")
            machine.run("mv", f"{machine.signetd}.new", machine.signetd)
            begun = time.monotonic()
            machine.run("systemctl", "restart", "signetd.service")
            longest = max(longest, time.monotonic() - begun)
            new, = shown("signetd.service", "MainPID")
            self.assertNotEqual(new, old)
            self.assertEqual(machine.run("stat", "-L", "--format=%i", f"/proc/{new}/exe"),
                             machine.run("stat", "--format=%i", machine.signetd))
        more_tokens()
        hammer.stdin.close()
        got = json.loads(hammer.stdout.readline())
        self.assertEqual(hammer.wait(PATIENCE), 0)
        self.assertEqual((got["wrong"], got["twice"], got["other"], got["late"]), (0, 0, 0, 0), got)
        self.assertEqual(got["asked"], got["tokens"] + got["unavailable"], got)
        # libsignet waits for two seconds: on a machine that needs longer for a restart callers are told.
        self.assertTrue(got["unavailable"] == 0 or longest > 1.5, (got, longest))

    def test_a_stop_leaves_nobody_behind(self):
        pids = machine.run("pgrep", "-f", "^signetd: ").split()
        self.assertGreaterEqual(len(pids), 3)
        machine.run("systemctl", "stop", "signetd.service")
        self.assertEqual(shown("signetd.service", "Result", "ExecMainStatus"), ("success", "0"))
        self.assertEqual(machine.call("pgrep", "-f", "^signetd: ").stdout, b"")
        self.assertNotIn("killed", said().splitlines()[-1])

    def test_a_signer_that_hangs_is_gone_with_its_supervisor_and_nobody_has_the_token_twice(self):
        """The kernel ends it with its parent; KillMode=mixed, which asks the supervisor alone to end, is for whoever that misses."""
        self.assertEqual(shown("signetd.service", "KillMode"), ("mixed",))
        [main_pid] = shown("signetd.service", "MainPID")
        signer = machine.run("pgrep", "-f", "^signetd: signer").split()[0]
        machine.run("kill", "-STOP", signer)       # it does not notice that it is alone
        machine.run("kill", "-KILL", main_pid)
        until("it was started again", lambda: shown("signetd.service", "ActiveState")[0] == "active" and
              shown("signetd.service", "MainPID") != (main_pid,))
        self.assertNotIn(signer, machine.run("pgrep", "-f", "^signetd: signer").split())
        self.assertTrue(until("it signs", signs))


if __name__ == "__main__":
    main()
