"""faults: tests/faults, the module that does wrong on command, from Python: its names are read from faults.h."""
import contextlib
import ctypes
import fcntl
import mmap
import pathlib
import re

from rig import BUILD

HEADER = (pathlib.Path(__file__).resolve().parent.parent / "faults/faults.h").read_text()
FOREVER = 2 ** 63


def names_in(macro):
    body = re.search(rf"#define {macro}\(X\)((?:[^\n]*\\\n)*[^\n]*)", HEADER)[1]
    return re.findall(r"X\((C_\w+)\)", body)


CHANGING = names_in("FAULT_CHANGING")            # the calls that change the token
FUNCTIONS = names_in("FAULT_READING") + CHANGING
KINDS = [kind.lower() for kind in re.findall(r"^    FAULT_(\w+),", HEADER, re.M)]
DISARMED, ALL, CHANGES, LOGIN_TOO = range(4)     # enum fault_armed
REMEMBERED = int(re.search(r"#define FAULT_REMEMBERED (\d+)u", HEADER)[1])
MODULE = str((BUILD / "tests/faults/faults.so").resolve())


class Sequence(ctypes.Structure):
    _fields_ = [("armed", ctypes.c_uint32), ("kind", ctypes.c_uint32), ("at", ctypes.c_uint64), ("n_calls", ctypes.c_uint64),
                ("n_done", ctypes.c_uint64), ("called", ctypes.c_uint32 * REMEMBERED)]


class Fault(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_uint32), ("every", ctypes.c_uint32), ("value", ctypes.c_uint64), ("left", ctypes.c_uint64),
                ("shortest", ctypes.c_uint64), ("n_calls", ctypes.c_uint64), ("n_done", ctypes.c_uint64)]


class Layout(ctypes.Structure):
    _fields_ = [("absent", ctypes.c_uint32), ("n_absences", ctypes.c_uint32), ("oldest_session", ctypes.c_uint64),
                ("sequence", Sequence), ("of", Fault * len(FUNCTIONS))]


class Control:
    """The file that tells the module what to do wrong, and what it answers."""

    def __init__(self, path):
        path.write_bytes(bytes(ctypes.sizeof(Layout)))
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 0)
        self.layout = Layout.from_buffer(self.map)

    def close(self):
        del self.layout                          # it holds the map
        self.map.close()
        self.file.close()

    def __getitem__(self, function):
        f = self.layout.of[FUNCTIONS.index(function)]
        return {"kind": f.kind, "every": f.every, "value": f.value, "left": f.left, "calls": f.n_calls, "done": f.n_done}

    def set(self, function, kind, left=FOREVER, value=0, every=1, shortest=0):
        f = self.layout.of[FUNCTIONS.index(function)]
        f.kind = KINDS.index("none")             # whoever calls meanwhile meets no half of it
        f.every, f.value, f.left, f.shortest = every, value, left, shortest
        f.kind = KINDS.index(kind)

    def take_away(self):
        """The token is pulled out: no session of before is known any more, even when it is back."""
        self.layout.absent = 1
        self.layout.n_absences += 1

    def put_back(self):
        self.layout.absent = 0

    def oldest_session(self):
        """Of those that are open, by how often C_Sign had been called when it was opened, in the process that last opened
        or closed one."""
        return self.layout.oldest_session

    def arm(self, kind="none", at=0, armed=ALL):
        """Counts these calls from now on; `kind` is done at the `at`th."""
        s = self.layout.sequence
        s.armed = DISARMED
        s.kind, s.at, s.n_calls, s.n_done = KINDS.index(kind), at, 0, 0
        s.armed = armed

    def disarm(self):
        """Was it done? Then at the last of the calls."""
        self.layout.sequence.armed = DISARMED
        return self.layout.sequence.n_done > 0

    def n_calls(self):
        return self.layout.sequence.n_calls

    def calls(self):
        """The names of the calls of the sequence, in their order; the first are forgotten where there were more than
        are REMEMBERED."""
        s = self.layout.sequence
        n = s.n_calls
        return [FUNCTIONS[s.called[i % REMEMBERED]] for i in range(max(1, n - REMEMBERED + 1), n + 1)]

    @contextlib.contextmanager
    def nobody_logs_in(self):
        """A kill within it is not inside C_Login, which SoftHSM's token does not survive."""
        fcntl.flock(self.file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self.file, fcntl.LOCK_UN)


def wrap(place):
    """From now on the daemons of this place have the module that does wrong in front of their own."""
    control = Control(place.dir / "control")
    # The module kills the whole daemon from within a signer, which signals nobody else from Landlock's ABI 6 on.
    place.env = {**place.env, "SIGNET_FAULTS_MODULE": place.module, "SIGNET_FAULTS_CONTROL": str(place.dir / "control"),
                 "SIGNET_TEST_LANDLOCK": "5"}
    place.module = MODULE
    return control
