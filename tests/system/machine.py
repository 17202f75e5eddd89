"""machine: systemd itself, as the first process of namespaces of its own, on this machine's files with a layer above
that takes what it writes. What is missing for that (root, namespaces, overlayfs) fails the test."""
import os
import pathlib
import shlex
import subprocess
import tempfile

from rig import PATIENCE, descendants, run, until

# Of the machine itself it can change nothing: its devices, its kernel's settings and its cgroups are its own or cannot
# be written.
BOOT = """set -e
mount --make-rprivate /
mount -t cgroup2 cgroup2 "$1"
mkdir "$1/$2"
echo 0 >"$1/$2/cgroup.procs"
umount "$1"
exec unshare --cgroup sh -c "$3" sh "$1"
"""
ROOT = """set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/above" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/above,workdir=$1/work" overlay "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in full null random tty urandom zero; do
    touch dev/$device
    mount --bind /dev/$device dev/$device
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
tar -xC .
mount --make-rshared .
exec chroot . env -i container=signet-test PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \\
    /lib/systemd/systemd --system --unit=idle.target --log-target=console --show-status=no
"""
# Where it was in the hierarchy of cgroups.
SWEEP = """mount -t cgroup2 cgroup2 "$1" && find "$1/$2" -depth -type d -exec rmdir {} +"""


class Machine:
    """`files`: {path: (text or bytes or pathlib.Path, mode)} of what it boots with"""

    def __init__(self, files):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="signet-machine-"))
        self.log = self.dir / "log"
        (self.dir / "mnt").mkdir()
        tree = self.dir / "tree"
        idle = {"/etc/systemd/system/idle.target": ("[Unit]\nDefaultDependencies=no\n", 0o644),
                "/etc/machine-id": ("0123456789abcdef0123456789abcdef\n", 0o444)}
        for path, (content, mode) in {**idle, **files}.items():
            at = tree / path.lstrip("/")
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(content.encode() if isinstance(content, str) else
                           content if isinstance(content, bytes) else content.read_bytes())
            at.chmod(mode)
        packed = run(["tar", "-C", str(tree), "--owner=0", "--group=0", "--no-overwrite-dir", "-c", *os.listdir(tree)])
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork",
                                             "--kill-child", "--uts", "--ipc", "sh", "-c", BOOT, "sh",
                                             str(self.dir / "mnt"), self.dir.name, ROOT],
                                            stdin=subprocess.PIPE, stdout=log, stderr=log)
        self.process.stdin.write(packed)
        self.process.stdin.close()
        until("systemd answers", self.answers)

    def answers(self):
        assert self.process.poll() is None, self.said()
        self.init = max(descendants(self.process.pid)[1:2], default=None)
        return self.init and self.call("systemctl", "show", "--property=Version").returncode == 0

    def enter(self, *argv):
        return ["nsenter", "--target", str(self.init), "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--root", "--wd",
                *map(str, argv)]

    def call(self, *argv, stdin=b""):
        return subprocess.run(self.enter(*argv), input=stdin, capture_output=True, timeout=PATIENCE)

    def run(self, *argv, stdin=b""):
        """What it printed; raises if it does not end with 0."""
        done = self.call(*argv, stdin=stdin)
        assert done.returncode == 0, f"{shlex.join(map(str, argv))}: {done.stdout + done.stderr}: {self.said()}"
        return done.stdout.decode()

    def said(self):
        return self.log.read_text(errors="replace")

    def end(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        sweep = ["unshare", "--mount", "sh", "-c", SWEEP, "sh", str(self.dir / "mnt"), self.dir.name]
        until("its processes are gone", lambda: subprocess.run(sweep, capture_output=True, timeout=PATIENCE).returncode == 0)
        run(["rm", "-rf", "--one-file-system", str(self.dir)])
