"""nth: tests/nth, from Python: a signetd of which one process's Nth allocation or write fails on command."""
import ctypes
import mmap
import pathlib
import re

from rig import BUILD, Daemon

HEADER = (pathlib.Path(__file__).resolve().parent.parent / "nth/nth.h").read_text()
KINDS = [kind.lower() for kind in re.findall(r"^    NTH_(\w+),", HEADER, re.M)]
PROCESSES = int(re.search(r"#define NTH_PROCESSES (\d+)u", HEADER)[1])


class Held(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint32), ("bytes", ctypes.c_int64)]


class Layout(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_uint32), ("pid", ctypes.c_uint32), ("role", ctypes.c_char * 32), ("at", ctypes.c_uint64),
                ("n_calls", ctypes.c_uint64), ("n_done", ctypes.c_uint64), ("held", Held * PROCESSES)]


class Control:
    """The file that says which call of which process fails."""

    def __init__(self, place):
        path = place.dir / "nth"
        path.write_bytes(bytes(ctypes.sizeof(Layout)))
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 0)
        self.layout = Layout.from_buffer(self.map)
        place.env = {**place.env, "SIGNET_NTH_CONTROL": str(path)}

    def close(self):
        del self.layout                          # it holds the map
        self.map.close()
        self.file.close()

    def arm(self, role, kind, at):
        """From now on the calls of the role's first process are counted; the `at`th fails, none where it is 0."""
        c = self.layout
        c.kind = KINDS.index("disarmed")
        c.role, c.pid, c.at, c.n_calls, c.n_done = role.encode(), 0, at, 0, 0
        c.kind = KINDS.index(kind)

    def disarm(self):
        """(how many there were, whether one failed)"""
        self.layout.kind = KINDS.index("disarmed")
        return self.layout.n_calls, self.layout.n_done > 0

    def held(self):
        """{pid: bytes that it has allocated and not freed}, of each process that ever began."""
        return {h.pid: h.bytes for h in self.layout.held if h.pid}


class NthDaemon(Daemon):
    program = [str(BUILD / "tests/nth/signetd")]
