"""signet dev: an app's tests with a signetd of their own, which is there before them and gone after them."""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

from rig import (BUILD, HMAC, PATIENCE, PRINTED_PAYLOAD, PRINTED_TOKEN, PUBLIC, SANITIZER,
                 STRANGER, descendants, main, profile, ring, run)

TOP = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = str((BUILD / "client/cli/signet").resolve())
SMALL = "rings:\n" + ring("web", "ES256") + "profiles:\n" + profile("web-session", "web", "shop", "claims: {allowed: any}")
ROUND = "t=$(signet sign --profile web-session --subject 1 --claim name=x) && signet verify $t"
# Says that it runs, and ends with 7 where one of these signals comes, or a line.
WAITS = """import signal, sys
for name in sys.argv[1:]: signal.signal(getattr(signal, name), lambda *a: sys.exit(7))
print("runs", flush=True)
sys.exit(7 if sys.stdin.readline() else 9)"""


class Dev(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="signet-"))
        self.addCleanup(shutil.rmtree, self.home)
        self.home.chmod(0o755)
        self.tmp = self.home / "tmp"
        self.tmp.mkdir()
        self.tmp.chmod(0o1777)
        self.env = {k: v for k, v in os.environ.items() if k != "XDG_RUNTIME_DIR"}
        self.env |= {"TMPDIR": str(self.tmp), "LC_ALL": "C.UTF-8", "PATH": f"{pathlib.Path(PROGRAM).parent}:{os.environ['PATH']}"}

    def tearDown(self):
        self.assertEqual(os.listdir(self.tmp), [])

    def config(self, text=SMALL):
        path = self.home / "prod.conf"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return ["--config", str(path)]

    def dev(self, *args, want=0, prefix=(), program=PROGRAM, **env):
        done = subprocess.run([*prefix, program, "dev", *args], capture_output=True, env={**self.env, **env},
                              stdin=subprocess.DEVNULL, timeout=2 * PATIENCE)
        err = done.stderr.decode(errors="replace")
        self.assertIsNone(SANITIZER.search(err), err)
        self.assertEqual(done.returncode, want, err)
        return done.stdout.decode(), err

    def begin(self, *args):
        """In a session of its own, as far as the command's first line. The whole group is killed at the end."""
        process = subprocess.Popen([PROGRAM, "dev", *self.config(), "--", *args], env=self.env, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, bufsize=0, start_new_session=True)
        self.addCleanup(self.give_up, process)
        self.assertEqual(self.line(process), b"runs\n")
        return process

    def line(self, process):
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        self.assertTrue(ready, "nothing was said")
        return process.stdout.readline()         # not buffered: select sees what is left

    @staticmethod
    def give_up(process):
        process.stdin.close()
        process.stdout.close()
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)

    def all_gone_after(self, pid, act):
        """All below pid have ended, some time after act."""
        fds = [os.pidfd_open(p) for p in descendants(pid)]
        self.assertGreater(len(fds), 5)          # signet dev, keeper, command, signetd and its roles
        act()
        for fd in fds:
            ended, _, _ = select.select([fd], [], [], PATIENCE)
            os.close(fd)
            self.assertTrue(ended)

    # --- exit statuses ---

    def test_the_status_is_the_command_s(self):
        for want, command in ((0, ["true"]), (7, ["sh", "-c", "exit 7"]), (128 + 15, ["sh", "-c", "kill -TERM $$"]),
                              (128 + 9, ["sh", "-c", "kill -KILL $$"]), (2, ["sh", "-c", "exit 2"])):
            with self.subTest(command=command):
                self.dev(*self.config(), "--", *command, want=want)

    def test_a_command_that_cannot_be_run_is_127_or_126(self):
        self.assertIn("'no-such-command'", self.dev(*self.config(), "no-such-command", want=127)[1])
        plain = self.home / "plain"
        plain.write_text("no program")
        self.assertIn(str(plain), self.dev(*self.config(), str(plain), want=126)[1])

    def test_its_own_failures_are_125_and_say_what_to_do(self):
        self.assertIn("COMMAND is missing", self.dev(want=125)[1])
        self.assertIn("--no-such-option", self.dev("--no-such-option", "true", want=125)[1])
        self.assertIn("'/no/such/file' cannot be read", self.dev("--config", "/no/such/file", "true", want=125)[1])
        self.assertIn("apt-get install softhsm2", self.dev(*self.config(), "true", want=125, PATH="/nonexistent")[1])
        alone = shutil.copy(PROGRAM, self.home / "signet")
        self.assertIn("signetd is neither beside", self.dev(*self.config(), "true", want=125, program=alone)[1])

    def test_the_command_s_options_are_its_own(self):
        for words in (["echo", "--config", "-c"], ["--", "echo", "--config", "-c"]):
            self.assertEqual(self.dev(*self.config(), *words)[0], "--config -c\n")

    # --- what is there ---

    def test_without_a_configuration_every_algorithm_and_the_printed_token_are_there_at_once(self):
        names = ["web-session"] + [a.lower() for a in HMAC + PUBLIC]
        (self.home / "payload").write_bytes(PRINTED_PAYLOAD)
        script = f"""set -e
            for p in {' '.join(names)}; do
                t=$(signet sign --profile $p --subject 1 --claim name=x); signet verify --profile $p $t; echo; done
            signet sign --profile example --payload {self.home}/payload; signet verify --profile example {PRINTED_TOKEN}; echo
            signet jwks | grep -o '"kid"' | wc -l"""
        lines = self.dev("sh", "-c", script)[0].splitlines()
        self.assertEqual([json.loads(x)["name"] for x in lines[:len(names)]], ["x"] * len(names))
        one_each = str(1 + len(PUBLIC))
        self.assertEqual(lines[len(names):], [PRINTED_TOKEN, PRINTED_PAYLOAD.decode(), one_each])

    def test_another_user_has_one_without_root(self):
        as_stranger = ["setpriv", "--reuid", str(STRANGER), "--regid", str(STRANGER), "--clear-groups"]
        out, _ = self.dev(*self.config(), "--", "sh", "-c", f"id -u; stat -c %a $TMPDIR/*; {ROUND} && signet key list",
                          prefix=as_stranger, HOME="/nonexistent")
        self.assertEqual(out.splitlines()[:2], [str(STRANGER), "700"])
        self.assertIn("active", out)

    def test_the_command_s_own_softhsm_is_not_touched(self):
        out, _ = self.dev(*self.config(), "--", "sh", "-c", 'echo "$SOFTHSM2_CONF,${NOTIFY_SOCKET-none}"', SOFTHSM2_CONF="mine")
        self.assertEqual(out, "mine,none\n")

    def test_two_side_by_side_never_meet(self):
        show = "echo runs; echo $(signet sign --profile web-session --subject 1); echo $SIGNET_SOCKET; echo $(signet jwks); {}"
        judge = "read t; signet verify --profile web-session $t; echo $?; read end"
        one, two = (self.begin("sh", "-c", show.format(judge)) for _ in range(2))
        said = [[self.line(p) for _ in range(3)] for p in (one, two)]
        for a, b in zip(*said):
            self.assertNotEqual(a, b)
        for p, (token, _, _) in zip((one, two), reversed(said)):
            p.stdin.write(token)
            self.assertEqual(self.line(p), b"1\n")
            p.stdin.close()
            p.wait(PATIENCE)

    def test_places(self):
        spaces, long = self.tmp / "a b#c 'd' \"é", self.tmp / ("x" * 90)
        for place in (spaces, long):
            place.mkdir()
        where = ["--", "sh", "-c", f"echo $SIGNET_SOCKET; {ROUND} >&2"]
        self.assertTrue(self.dev(*self.config(), *where, TMPDIR=str(spaces))[0].startswith(str(spaces)))
        self.assertTrue(self.dev(*self.config(), *where, XDG_RUNTIME_DIR=str(spaces))[0].startswith(str(spaces)))
        for unfit in (str(long), "/nonexistent", "relative", "/dev/null"):
            self.assertTrue(self.dev(*self.config(), *where, XDG_RUNTIME_DIR=unfit)[0].startswith(str(self.tmp)), unfit)
        self.assertTrue(self.dev(*self.config(), *where, TMPDIR=str(long))[0].startswith("/tmp/signet-"))
        for place in (spaces, long):
            place.rmdir()                      # nothing is in them

    # --- the end ---

    def test_ctrl_c_is_the_command_s_and_the_daemon_outlives_it(self):
        process = self.begin("sh", "-c", f"trap '{ROUND} && exit 7' INT; echo runs; read line")
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), 7)

    def test_ctrl_c_ends_a_command_that_does_not_care(self):
        process = self.begin("sh", "-c", "echo runs; read line")
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), 128 + signal.SIGINT)

    def test_what_a_process_sends_is_handed_on(self):
        for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"):
            process = self.begin("python3", "-c", WAITS, name)
            process.send_signal(getattr(signal, name))
            self.assertEqual(process.wait(PATIENCE), 7)

    def test_a_signal_while_it_starts_ends_it(self):
        # The token's tool has been started and does not come back: the command does not run yet.
        fifos = [str(self.home / name) for name in ("out", "in")]
        for fifo in fifos:
            os.mkfifo(fifo)
        started, go_on = (os.open(fifo, os.O_RDWR) for fifo in fifos)
        tool = self.home / "softhsm2-util"
        tool.write_text(f"#!/bin/sh\necho started >{fifos[0]}\nread line <{fifos[1]}\nexit 1\n")
        tool.chmod(0o755)
        process = subprocess.Popen([PROGRAM, "dev", *self.config(), "true"], stderr=subprocess.DEVNULL,
                                   env={**self.env, "PATH": f"{self.home}:{self.env['PATH']}"})
        ready, _, _ = select.select([started], [], [], PATIENCE)
        process.send_signal(signal.SIGINT)
        os.write(go_on, b"go on\n")
        status = process.wait(PATIENCE)
        os.close(started)
        os.close(go_on)
        self.assertTrue(ready)
        self.assertEqual(status, 128 + signal.SIGINT)

    def test_when_it_is_killed_nothing_is_left(self):
        process = self.begin("python3", "-c", WAITS)
        self.all_gone_after(process.pid, process.kill)

    def test_when_its_parent_is_killed_nothing_is_left(self):
        parent = subprocess.Popen(["sh", "-c", '"$@"; :', "sh", PROGRAM, "dev", *self.config(), "--", "python3", "-c", WAITS],
                                  env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.addCleanup(self.give_up, parent)
        self.assertEqual(self.line(parent), b"runs\n")
        self.all_gone_after(parent.pid, parent.kill)

    def test_the_end_of_the_thread_that_started_it_is_not_its_end(self):
        found = []
        thread = threading.Thread(target=lambda: found.append(self.begin("python3", "-c", WAITS)))
        thread.start()
        thread.join()
        found[0].stdin.write(b"end\n")
        self.assertEqual(found[0].wait(PATIENCE), 7)

    def test_a_daemon_that_ends_is_told(self):
        done = self.dev(*self.config(), "--", "sh", "-c", "kill -KILL $(ps -o ppid= -p $(signet status --admin --json |"
                        " grep -o '\"pid\":[0-9]*}' | tr -dc 0-9)); while signet status; do :; done; signet status;"
                        " [ $? = 3 ]")
        self.assertIn("signetd has ended", done[1])

    # --- a configuration of one's own ---

    PRODUCTION = ("# Größe: a comment whose bytes are not its characters — ünïcödé\n"
                  "daemon:\n"
                  "  # where it is\n"
                  "  socket: /run/signet/signet.sock   # open to all\n"
                  "  max_request: 4KiB\n"
                  "  admin:\n"
                  "    groups: [no-such-group]\n"
                  "\n"
                  "token:\n"
                  "  module: /opt/hsm/lib.so\n"
                  "  token_timeout: 100ms\n"
                  "  uri: pkcs11:token=production\n"
                  "  pin_credential: pin\n"
                  "  signers: 16\n"
                  "rings:\n"
                  "  web:\n"
                  "    alg: ES256\n"
                  "    create: yes\n"
                  "    keys:\n"
                  "    - uri: pkcs11:object=ceremony\n"
                  "      activates_at: 2026-01-01T00:00:00Z\n"
                  "  mac: {alg: HS256, create: no}\n"
                  "profiles:\n"
                  "  web-session:\n"
                  "    ring: web\n"
                  "    deadline: 600ms   # three times token_timeout is allowed\n"
                  "    issuer: https://login.example\n"
                  "    audiences: [shop]\n"
                  "    sign:\n"
                  "      users:\n"
                  "      - no-such-user\n"
                  "      - größer\n"
                  "    # between\n"
                  "    verify: {users: any, groups: [no-such-group]}\n"
                  "    claims: {allowed: any}\n"
                  "  mac: {ring: mac, issuer: 'https://login.example', audiences: [mac],\n"
                  "        sign: {users: [no-such-user]}, verify: {users: any}}\n")

    def test_a_production_file_works_where_its_users_token_and_keys_are_not(self):
        out, _ = self.dev(*self.config(self.PRODUCTION), "--", "sh", "-c", f"""{ROUND} && echo &&
            signet verify $(signet sign --profile mac --subject 1) && echo && signet jwks | grep -o '"kid"' | wc -l
            signet sign --profile web-session --subject 1 --claim big={'x' * 5000}; echo $?""")
        lines = out.splitlines()
        self.assertEqual([json.loads(x)["sub"] for x in lines[:2]], ["1", "1"])
        self.assertEqual(lines[2:], ["1", "1"])      # one key is published; the limit is the file's

    def test_its_layout_does_not_matter(self):
        text = SMALL.replace("{users: any}", "\n      users: [no-such-user]")
        for name, laid_out in (("CRLF", text.replace("\n", "\r\n")), ("no newline at its end", text.rstrip("\n")),
                               ("a byte order mark", "\ufeff" + text), ("indented", "  " + text.rstrip().replace("\n", "\n  ")),
                               ("documents' marks", "%YAML 1.1\n---\n" + text + "...\n"),
                               ("empty sections", "daemon:\ntoken: {}\n" + text),
                               ("flow sections", "daemon: {deadline: 3s, socket: /x, max_queue: 10}\n" + text)):
            with self.subTest(name):
                self.dev(*self.config(laid_out), "--", "sh", "-c", ROUND)

    def test_a_mistake_is_told_with_the_user_s_line(self):
        wrong = self.PRODUCTION.replace("mac: {alg: HS256", "mac: {alg: HS999")
        line = wrong[:wrong.index("HS999")].count("\n") + 1
        for text, said in ((wrong, f"prod.conf:{line}: "), (self.PRODUCTION.replace("100ms", "100 years"), "prod.conf:11: "),
                           (self.PRODUCTION.replace("4KiB", "0"), "prod.conf:5: "),
                           (self.PRODUCTION + "nobody: knows\n", f"prod.conf:{self.PRODUCTION.count(chr(10)) + 1}: "),
                           ("rings: [\n", "prod.conf:2: no YAML"), ("", "prod.conf:1: the file is empty"),
                           ("{rings: {}}", "prod.conf:1: the whole file stands in braces"), ("- a", "prod.conf:1: a configuration is a map"),
                           (SMALL.encode("utf-16"), "prod.conf:1: no YAML"), (b"rings: \xff\n", "prod.conf:1: no YAML"),
                           ("a" * (5 << 20), "has more than")):
            with self.subTest(said):
                self.assertIn(said, self.dev(*self.config(text), "--", "touch", f"{self.home}/ran", want=125)[1])
        self.assertFalse((self.home / "ran").exists())

    # --- the example ---

    def test_the_ci_job_s_command_line_works(self):
        job = (TOP / "contrib/examples/ci/github-actions.yml").read_text()
        command, = re.findall(r"- run: (signet dev .*)", job)
        out = run(["sh", "-c", command], env=self.env, cwd=TOP / "contrib/examples/ci", timeout=2 * PATIENCE).decode()
        self.assertEqual((out.count("ok   "), out.count("FAIL")), (2, 0), out)


if __name__ == "__main__":
    main()
