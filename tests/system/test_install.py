"""`meson install` and `meson dist`: what lies where, what programs can do with it, and that two builds of one
source are the same bytes."""
import base64
import filecmp
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from rig import main, run

TOP = pathlib.Path(__file__).resolve().parents[2]
APP = TOP / "tests/system/app.c"
STRICT = ["-pedantic", "-Wall", "-Wextra", "-Werror"]
DIALECTS = {"C99": ["gcc", "-std=c99"], "C++": ["g++", "-std=c++11", "-x", "c++"]}
PREFIX = "usr/local"
VECTOR = next(v for v in json.loads((TOP / "tests/vectors/rfc.json").read_text()) if v["name"] == "RFC 7515 A.1")
BUILD_PATIENCE = 600         # seconds: a busy machine
# Nobody's own settings of git, nor those of a hook that the tests run in.
ENV = {**{k: v for k, v in os.environ.items() if not k.startswith("GIT_")}, "LC_ALL": "C.UTF-8",
       "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


def do(*argv, env=None, **kw):
    return run([str(a) for a in argv], env={**ENV, **(env or {})}, timeout=BUILD_PATIENCE, **kw).decode()


def copy_source(to):
    """The tree as it stands, without what is ignored, in a git of its own: what `meson dist` packs."""
    to.mkdir(parents=True)
    do("git", "init", "-q", cwd=to)
    do("git", "add", "-A", env={"GIT_DIR": str(to / ".git"), "GIT_WORK_TREE": str(TOP)}, cwd=TOP)
    do("git", "-c", "user.name=tests", "-c", "user.email=tests@localhost", "commit", "-q", "-m", "as it stands", cwd=to)
    do("git", "checkout", "-q", ".", cwd=to)
    return to


def install(source, build, to):
    """Builds what is installed, and no test; with debug information, which has the most to say of paths."""
    do("meson", "setup", build, source, "--libdir", "lib")
    targets = json.loads(do("meson", "introspect", "--targets", build))
    do("ninja", "-C", build, *(os.path.relpath(f, build) for t in targets if t["installed"] for f in t["filename"]))
    do("meson", "install", "--no-rebuild", "-C", build, env={"DESTDIR": str(to)})
    return to


def files(tree):
    return sorted(str(p.relative_to(tree)) for p in tree.rglob("*") if p.is_symlink() or not p.is_dir())


def setUpModule():
    global work, source, build, tree, there
    work = pathlib.Path(tempfile.mkdtemp(prefix="signet-install-"))
    unittest.addModuleCleanup(shutil.rmtree, work, ignore_errors=True)
    source = copy_source(work / "source")
    build = source / "build"
    tree = install(source, build, work / "tree")
    there = tree / PREFIX


def project_version():
    return json.loads(do("meson", "introspect", "--projectinfo", build))["version"]


def declared():
    """The functions that signet.h marks as exported."""
    text = re.sub(r"/\*.*?\*/|^#.*?$", "", (TOP / "client/signet.h").read_text(), flags=re.S | re.M)
    return set(re.findall(r"\bSIGNET_API\b[^;(]*?\b(\w+)\(", text))


def mapped():
    return set(re.findall(r"^\s+(\w+);", (TOP / "client/libsignet.map").read_text(), re.M))


def symbols(*options):
    """The global names that a library defines; a map's version nodes (A) are none."""
    lines = [line.split() for line in do("nm", "-g", "--defined-only", *options).splitlines()]
    return {w[2].split("@")[0] for w in lines if len(w) == 3 and w[1] != "A"}


def dynamic(file, tag):
    return re.findall(rf"\({tag}\).*\[(.*)\]", do("readelf", "-d", file))


def pkg_config(*what):
    env = {"PKG_CONFIG_PATH": str(there / "lib/pkgconfig"), "PKG_CONFIG_SYSROOT_DIR": str(tree)}
    return do("pkg-config", *what, "signet", env=env).split()


class Tree(unittest.TestCase):
    def test_nothing_else_is_installed(self):
        pages = [f"share/man/man{p.name[-1]}/{p.name}" for p in (TOP / "contrib/man").iterdir()]
        want = ["bin/signet", "sbin/signetd", "include/signet.h",
                "lib/libsignet.a", "lib/libsignet.so", "lib/libsignet.so.0", f"lib/libsignet.so.{project_version()}",
                "lib/pkgconfig/signet.pc",
                "lib/systemd/system/signetd.service", "lib/systemd/system/signetd.socket",
                "lib/systemd/system/signetd-admin.socket", "lib/sysusers.d/signet.conf", "lib/tmpfiles.d/signet.conf",
                "share/bash-completion/completions/signet", "share/doc/signet/signetd.conf", "share/signet/signet.proto",
                *(f"share/doc/signet/grafana/{name}" for name in ("prometheus.yml", "signet.json", "signet.rules.yml")),
                *pages]
        self.assertEqual(files(tree), sorted(f"{PREFIX}/{f}" for f in want))

    def test_programs_say_their_version(self):
        for program in ("bin/signet", "sbin/signetd"):
            name = pathlib.Path(program).name
            self.assertEqual(do(there / program, "--version"), f"{name} {project_version()}\n")

    def test_no_program_looks_for_libraries_where_it_was_built(self):
        for file in ("bin/signet", "sbin/signetd", "lib/libsignet.so"):
            self.assertEqual(dynamic(there / file, "RPATH") + dynamic(there / file, "RUNPATH"), [], file)

    def test_the_example_configuration_has_no_mistake(self):
        """But for the group, which this machine need not have."""
        text = (there / "share/doc/signet/signetd.conf").read_text()
        self.assertIn("signet-admin", text)
        (work / "signetd.conf").write_text(text.replace("signet-admin", "root"))
        self.assertIn("nothing is wrong", do(there / "sbin/signetd", "--check", work / "signetd.conf"))


class Library(unittest.TestCase):
    def test_header_map_and_libraries_have_the_same_functions(self):
        self.assertGreater(len(declared()), 20)
        self.assertEqual(mapped(), declared())
        self.assertEqual(symbols("-D", there / "lib/libsignet.so"), declared())
        self.assertEqual(symbols(there / "lib/libsignet.a"), declared())

    def test_the_shared_library_has_its_name_and_needs_little(self):
        self.assertEqual(dynamic(there / "lib/libsignet.so", "SONAME"), ["libsignet.so.0"])
        needed = {n.split(".so")[0] for n in dynamic(there / "lib/libsignet.so", "NEEDED")}
        self.assertLessEqual(needed, {"libc", "libcrypto", "libjansson", "libprotobuf-c"})

    def test_the_header_stands_alone(self):
        for name, compiler in DIALECTS.items():
            with self.subTest(name):
                do(*compiler, *STRICT, "-fsyntax-only", *pkg_config("--cflags"), "-include", "signet.h", "/dev/null")

    def test_programs_link_and_run_against_the_installed_tree_alone(self):
        ways = {"shared": (["--libs"], []), "static": (["--static", "--libs"], ["-static"])}
        payload = VECTOR["token"].split(".")[1]
        for name, compiler in DIALECTS.items():
            for way, (libs, flags) in ways.items():
                with self.subTest(f"{name}, {way}"):
                    app = work / f"app-{way}"
                    do(*compiler, *STRICT, *flags, "-o", app, *pkg_config("--cflags"), APP, "-x", "none", *pkg_config(*libs))
                    self.assertEqual("libsignet.so.0" in dynamic(app, "NEEDED"), way == "shared")
                    said = do(app, json.dumps(VECTOR["jwk"] | {"alg": VECTOR["alg"]}), VECTOR["token"],
                              env={"LD_LIBRARY_PATH": str(there / "lib")})
                    self.assertEqual(said.encode(), base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


class Systemd(unittest.TestCase):
    def setUp(self):
        """The units, as if the tree were the machine's: their programs are looked for."""
        self.units = work / "units"
        shutil.rmtree(self.units, ignore_errors=True)
        shutil.copytree(there / "lib/systemd/system", self.units)
        service = self.units / "signetd.service"
        text = service.read_text()
        self.assertIn(f"ExecStart=/{PREFIX}/sbin/signetd ", text)
        service.write_text(text.replace(f"/{PREFIX}/sbin/", f"{there}/sbin/"))

    def test_units_have_no_mistake(self):
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", *sorted(self.units.iterdir())],
                              env=ENV | {"SYSTEMD_UNIT_PATH": f"{self.units}:"}, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_the_service_may_do_little_and_its_page_says_how_little(self):
        said = do("systemd-analyze", "security", "--offline=yes", "--no-pager", self.units / "signetd.service")
        [score] = re.findall(r"Overall exposure level for signetd\.service: (\S+)", said)
        self.assertLessEqual(float(score), 0.4)
        page = (TOP / "contrib/man/signetd.8").read_text()
        self.assertEqual(re.findall(r"rates it ([0-9.]+) of 10", page), [score])

    def test_sockets_lie_where_clients_look_and_have_the_names_that_the_daemon_knows(self):
        found = {}
        for unit in self.units.glob("*.socket"):
            settings = dict(line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line)
            found[settings["FileDescriptorName"]] = settings["ListenStream"]
        self.assertEqual(found, {"signet": "/run/signet/signet.sock", "admin": "/run/signet/admin.sock"})
        for path in found.values():
            self.assertIn(path, (TOP / "client/signet.h").read_text())

    def test_user_group_and_directories_come_with_it(self):
        root = work / "root"
        (root / "etc").mkdir(parents=True)
        do("systemd-sysusers", f"--root={root}", there / "lib/sysusers.d/signet.conf")
        do("systemd-tmpfiles", "--create", f"--root={root}", there / "lib/tmpfiles.d/signet.conf")
        uid, gid = re.search(r"^signet:x:(\d+):(\d+):", (root / "etc/passwd").read_text(), re.M).groups()
        self.assertRegex((root / "etc/group").read_text(), r"(?m)^signet-admin:x:")
        for path, want in {"etc/signet": (0o750, 0, int(gid)), "var/lib/signet": (0o700, int(uid), int(gid))}.items():
            st = (root / path).stat()
            self.assertEqual((st.st_mode & 0o7777, st.st_uid, st.st_gid), want, path)

    def test_a_package_has_its_units_where_systemd_says(self):
        package = work / "package"
        do("meson", "setup", package, source, "--prefix", "/usr")
        where = do("pkg-config", "--variable=systemdsystemunitdir", "systemd").strip()
        installed = json.loads(do("meson", "introspect", "--installed", package)).values()
        for unit in ("signetd.service", "signetd.socket", "signetd-admin.socket"):
            self.assertIn(f"{where}/{unit}", installed)


class Dist(unittest.TestCase):
    def test_two_builds_of_one_source_are_the_same_bytes(self):
        """One inside its source, the other beside it, on paths of other lengths."""
        copy = copy_source(work / "elsewhere/on-a-longer-path/signet")
        second = install(copy, work / "b", work / "second")
        self.assertEqual(files(second), files(tree))
        _, differ, unread = filecmp.cmpfiles(tree, second, files(tree), shallow=False)
        self.assertEqual((differ, unread), ([], []))

    def test_the_packed_source_builds_and_passes_without_a_network(self):
        """The suites that need no daemon; those that run one take what else is on a developer's machine."""
        do("meson", "dist", "--no-tests", "--formats", "gztar", "-C", build)
        name = f"signet-{project_version()}"
        do("tar", "-xzf", build / f"meson-dist/{name}.tar.gz", "-C", work)
        self.assertFalse((work / name / ".git").exists())
        alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
        unpacked = work / "unpacked"
        do(*alone, "meson", "setup", unpacked, work / name, "--buildtype", "release")
        do(*alone, "ninja", "-C", unpacked)
        do(*alone, "meson", "test", "-C", unpacked, "--no-rebuild", "--print-errorlogs", "--suite", "unit", "--suite", "fuzz")


if __name__ == "__main__":
    main()
