"""From a container: which uid arrives is the kernel's translation, and what is mounted is the socket's directory."""
import os
import re
import shlex
import subprocess
import unittest

from rig import Case, Daemon, PATIENCE, Place, SIGNET, SIGNETD, main, profile, ring, run

APP, OTHER_APP = 5000, 5001          # uids of the host
BASE, RANGE, INNER = 100000, 65536, 1000      # as container runtimes map: 0 and up inside is BASE and up outside
RINGS = ring("web", "ES256", "create: yes")
PROFILES = (profile("app", "web", "app.example", sign=f"{{users: [{APP}]}}") +
            profile("ranged", "web", "ranged.example", sign=f"{{users: [{BASE + INNER}]}}") +
            profile("open", "web", "open.example"))

AWAIT_MAP = 'echo here; read -r go; exec "$@"'
MOUNT = 'while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit; shift 2; done; shift; exec "$@"'


def become(uid):
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"]


class Container:
    """A shell in a user and mount namespace: `inside` is its uid there, where 0 is `outside` and so on for `count`."""

    def __init__(self, inside, outside, count, mounts=(), env=None):
        self.process = subprocess.Popen(
            ["unshare", "--user", "--mount", "--keep-caps", "sh", "-c", AWAIT_MAP, "sh",
             *become(0), "sh", "-c", MOUNT, "sh", *map(str, mounts), "--", *become(inside), "sh"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1, env=env)
        assert self.process.stdout.readline() == "here\n"
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{self.process.pid}/{name}", "w", encoding="ascii") as f:
                f.write(f"0 {outside} {count}")
        self.process.stdin.write("go\n")

    def run(self, *argv):
        """(exit status, what it printed and said)"""
        self.process.stdin.write(f"{shlex.join(map(str, argv))}; printf '\\nended %s\\n' $?\n")
        said = ""
        while not (end := re.fullmatch(r"ended (\d+)\n", line := self.process.stdout.readline())):
            assert line, f"the container has ended: {said}"
            said += line
        return int(end[1]), said

    def sign(self, profile_name):
        return self.run(SIGNET, "sign", "--profile", profile_name)

    def end(self):
        self.process.communicate(timeout=PATIENCE)


class Users(Case):
    rings, profiles = RINGS, PROFILES

    def container(self, *args):
        one = Container(*args, env={**os.environ, "SIGNET_SOCKET": str(self.daemon.socket)})
        self.addCleanup(one.end)
        return one

    def signs(self, one, profile_name):
        status, said = one.sign(profile_name)
        self.assertEqual(status, 0, said)
        self.assertRegex(said, r"^ey[\w.-]+\n")

    def refused_as(self, uid, one, profile_name):
        status, said = one.sign(profile_name)
        self.assertEqual(status, 1, said)
        self.assertRegex(said, rf"CALLER_NOT_ALLOWED: .*'{profile_name}'.*\(uid {uid}, gid {uid}\)")

    def test_root_inside_arrives_as_the_uid_that_it_is_mapped_to(self):
        one = self.container(0, APP, 1)
        self.assertEqual(one.run("id", "-u")[1].strip(), "0")
        self.signs(one, "app")

    def test_one_of_another_mapping_is_refused_by_the_uid_that_arrived(self):
        self.refused_as(OTHER_APP, self.container(0, OTHER_APP, 1), "app")
        self.refused_as(APP, self.container(0, APP, 1), "ranged")

    def test_a_user_inside_that_is_named_like_an_allowed_one_is_not_that_one(self):
        self.refused_as(BASE + APP, self.container(APP, BASE, RANGE), "app")

    def test_of_a_range_each_uid_arrives_as_its_own(self):
        self.signs(self.container(INNER, BASE, RANGE), "ranged")
        self.refused_as(BASE, self.container(0, BASE, RANGE), "ranged")

    def test_one_without_a_mapping_of_its_own_arrives_as_who_it_is_on_the_host(self):
        argv = [*become(APP), "unshare", "--user"]
        env = {**os.environ, "SIGNET_SOCKET": str(self.daemon.socket)}
        self.assertEqual(run([*argv, "id", "-u"]).strip(), b"65534")
        self.assertTrue(run([*argv, SIGNET, "sign", "--profile", "app"], env=env).startswith(b"ey"))


class Inner(Daemon):
    program = ["unshare", "--user", "--map-root-user", SIGNETD]


class DaemonInside(unittest.TestCase):
    def test_one_who_has_no_place_in_the_daemon_s_namespace_is_nobody_and_never_allowed(self):
        place = Place()
        self.addCleanup(place.remove)
        daemon = Inner(place, RINGS, PROFILES).start()
        self.addCleanup(daemon.kill)
        daemon.token("open")
        for name in ("open", "app"):
            _, err = daemon.cli("sign", "--profile", name, uid=APP, want=1)
            self.assertRegex(err, rf"CALLER_NOT_ALLOWED: .*'{name}'.*\(uid 65534, gid 65534\)")
        daemon.stop()


class Mounts(unittest.TestCase):
    def test_a_restart_is_seen_through_the_directory_and_not_through_the_socket_s_file(self):
        place = Place()
        self.addCleanup(place.remove)
        daemon = Daemon(place, RINGS, PROFILES).start()
        self.addCleanup(daemon.kill)
        outer, inner, file = place.dir, place.dir / "inner", place.dir / "file.sock"
        inner.mkdir()
        file.touch()
        by_directory, by_file = (Container(0, APP, 1, mounts, env={**os.environ, "SIGNET_SOCKET": str(path)})
                                 for path, mounts in ((inner / daemon.socket.name, [outer, inner]),
                                                      (file, [daemon.socket, file])))
        self.addCleanup(by_directory.end)
        self.addCleanup(by_file.end)
        self.assertEqual([c.sign("app")[0] for c in (by_directory, by_file)], [0, 0])
        daemon.stop()
        self.assertIn("DAEMON_UNREACHABLE", by_directory.sign("app")[1])
        daemon.start()
        status, said = by_directory.sign("app")
        self.assertEqual(status, 0, said)
        status, said = by_file.sign("app")
        self.assertEqual(status, 3, said)
        self.assertIn("DAEMON_UNREACHABLE", said)
        daemon.stop()


if __name__ == "__main__":
    main()
