"""fleet: what tests of several daemons on one token have in common: time that passes for all of them as the test says,
a token behind a network, and starting together."""
import concurrent.futures
import contextlib
import glob
import mmap
import subprocess
import threading
import time

from rig import PATIENCE, Place, listens, until


class RemotePlace(Place):
    """The same behind `p11-kit server`, as a network HSM: the daemons' module is p11-kit's client, and each of their
    signers has a process of the server's own."""

    def __init__(self, label="signet"):
        super().__init__(label)
        path = self.dir / "p11-kit"
        self.server = subprocess.Popen(["p11-kit", "server", "--foreground", "--provider", self.module, "--name", path,
                                        f"pkcs11:token={label}"], env=self.env, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        [self.module] = glob.glob("/usr/lib/*/pkcs11/p11-kit-client.so")
        self.env = {**self.env, "P11_KIT_SERVER_ADDRESS": f"unix:path={path}"}
        until("the token's server listens", lambda: listens(path))

    def remove(self):
        self.server.kill()
        self.server.wait(PATIENCE)
        super().remove()


class Time:
    """The time of all processes of a place from now on, as far as they ask daemon/base/clock (builds with
    -Dtesting=true): it passes as it does, and more where a test says so. It never goes back."""

    def __init__(self, place):
        path = place.dir / "time"
        path.write_bytes(bytes(16))              # struct clock_test_time: passed_ms, moved_ms
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 0)
        self.ms = memoryview(self.map).cast("q")
        self.lock = threading.Lock()
        place.env = {**place.env, "SIGNET_TEST_TIME": str(path)}

    def close(self):
        self.ms.release()
        self.map.close()
        self.file.close()

    def now(self):
        """As the daemons' wall clocks have it, in seconds and their fractions."""
        return time.time() + (self.ms[0] + self.ms[1]) / 1000

    def passed(self):
        """Seconds that have passed more than really have."""
        return self.ms[0] / 1000

    def pass_by(self, seconds):
        with self.lock:
            self.ms[0] += round(seconds * 1000)

    def pass_until(self, at):
        """Lets that moment come, if it has not."""
        self.pass_by(max(at - self.now(), 0))

    def move(self, seconds):
        """Sets all wall clocks wrong by so much."""
        self.ms[1] = round(seconds * 1000)

    @contextlib.contextmanager
    def running(self, rate):
        """`rate` seconds pass in one, in steps of a few hundredths of one of ours."""
        ended = threading.Event()

        def tick():
            last = time.monotonic()
            while not ended.wait(0.02):
                now = time.monotonic()
                self.pass_by((now - last) * (rate - 1))
                last = now
        ticker = threading.Thread(target=tick)
        ticker.start()
        try:
            yield
        finally:
            ended.set()
            ticker.join()


def start_together(daemons):
    with concurrent.futures.ThreadPoolExecutor(len(daemons)) as pool:
        list(pool.map(lambda d: d.start(), daemons))
