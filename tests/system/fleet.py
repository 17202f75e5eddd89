"""fleet: what tests of several daemons on one token have in common: time that passes for all of them as the test says,
a token behind a network, and callers who never stop asking."""
import base64
import collections
import concurrent.futures
import contextlib
import glob
import json
import mmap
import random
import subprocess
import threading
import time

import faults
import wire
from rig import Daemon, PATIENCE, Place, listens, until

STEP_S = 0.02                # real seconds
LIVING = 5000                # of the last tokens some are verified again


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
    -Dtesting=true): it passes as it does, and more where a test says so."""

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

    def go_back_to(self, at):
        """Only while no process lives that has seen a later moment."""
        with self.lock:
            self.ms[0] = round((at - time.time()) * 1000) - self.ms[1]

    def move(self, seconds):
        """Sets all wall clocks wrong by so much."""
        self.ms[1] = round(seconds * 1000)

    def moved(self):
        return self.ms[1] / 1000

    @contextlib.contextmanager
    def running(self, rate, keep_up=None):
        """Up to `rate` seconds pass in one of ours, in steps of a few hundredths. `keep_up` returns before each step: on a
        machine that is too busy for it time passes more slowly, so that what a test sees is the rules' doing."""
        ended = threading.Event()

        def tick():
            last = time.monotonic()
            while not ended.wait(STEP_S):
                if keep_up:
                    keep_up()
                now = time.monotonic()
                self.pass_by(min(now - last, 2 * STEP_S) * (rate - 1))
                last = now
        ticker = threading.Thread(target=tick)
        ticker.start()
        try:
            yield
        finally:
            ended.set()
            ticker.join()


class Fleet:
    """Daemons of one configuration on one token, which live in the same time."""

    def __init__(self, n, rings, profiles, token="", make_place=Place, env={}):
        """`env`: {daemon's number: what it alone is told}."""
        self.place = make_place()
        self.time = Time(self.place)
        self.control = faults.wrap(self.place)
        self.daemons = [Daemon(self.place, rings, profiles, "  verifiers: 1\n", f"  signers: 2\n{token}", name=f"d{i}",
                               env=env.get(i), module_leaks=make_place is not Place) for i in range(n)]
        self.asked = [Caller(d) for d in self.daemons]
        self.in_service = set()                      # who is past its start, and not dead: no token is missed by these
        self.wrong = collections.Counter()           # what they said that they should not

    def close(self):
        for d in self.daemons:
            d.kill()
        self.control.close()
        self.time.close()
        self.place.remove()

    def begin(self, ring_name):
        """Its ring is begun on one, as an operator would; then all are started together."""
        self.daemons[0].start()
        self.daemons[0].cli("key", "generate", ring_name)
        self.daemons[0].stop()
        self.start(self.daemons)

    def start(self, daemons):
        """Until they sign. Logins to one SoftHSM token collide: who meets another's says for a moment that there is none."""
        def one(daemon):
            daemon.start()
            until(f"{daemon.name} signs", lambda: Caller(daemon).sign("web")[0])
            self.in_service.add(daemon)
        with concurrent.futures.ThreadPoolExecutor(len(daemons)) as pool:
            list(pool.map(one, daemons))

    def kill(self, daemon):
        self.in_service.discard(daemon)
        with self.control.nobody_logs_in():
            daemon.kill_at_once()

    def stop(self):
        for d in self.daemons:
            d.stop()

    def keep_up(self):
        """Each that is alive has signed: its signer is not behind with its listings either. Their tokens."""
        return [token for caller in self.asked if (token := self.judged(caller.daemon, "does not sign", caller.sign("web")))]

    def judged(self, daemon, what, answer):
        """The answer, if there is one; why there is none may be wrong."""
        got, why = answer
        if why and why not in MAY_BE_ASKED_AGAIN and daemon in self.in_service:
            self.wrong[f"{daemon.name} {what}: {why}"] += 1
        return got

    def key_sets(self):
        """{daemon's name: (version, kids)}"""
        sets = {}
        for d in self.daemons:
            keys, why = Caller(d).key_set()
            sets[d.name] = (keys["version"], tuple(k["kid"] for k in json.loads(keys["jwks"])["keys"])) if keys else why
        return sets

    def one_key_set(self):
        """What all have, when they have the same."""
        sets = set(self.key_sets().values())
        return sets.pop() if len(sets) == 1 and None not in sets else None


class Caller:
    """One who asks a daemon by its socket, and asks again by a new connection where that has died."""

    def __init__(self, daemon):
        self.daemon, self.connection = daemon, None

    def ask(self, raw):
        """The reply; None: the daemon is dead, or dies."""
        try:
            if not self.connection:
                self.connection = wire.Connection(self.daemon.socket)
            self.connection.send(raw)
            reply = self.connection.reply()
        except OSError:
            reply = None
        if reply is None and self.connection:
            self.connection.socket.close()
            self.connection = None
        return reply

    def sign(self, profile, ttl_s=0):
        """(token, None), (None, reason), or (None, None) by the dead."""
        body = wire.field(1, profile) + wire.field(2, "s") + (wire.field(4, ttl_s) if ttl_s else b"")
        return self.answer(wire.SIGN, body, lambda r: r[1].decode())

    def verify(self, token):
        """(True, None), (None, reason), or (None, None) by the dead."""
        return self.answer(wire.VERIFY, wire.field(2, token), lambda r: True)

    def key_set(self):
        """({"jwks", "version", "max_age_s"}, None), (None, reason), or (None, None) by the dead."""
        return self.answer(wire.GET_KEYS, b"", lambda r: {"jwks": r[1], "version": r[2], "max_age_s": r[3]})

    def answer(self, op, body, read):
        reply = self.ask(wire.request(op, body))
        if reply is None:
            return None, None
        if wire.ERROR in reply:
            return None, dict(wire.fields(reply[wire.ERROR]))[2].decode()
        return read(dict(wire.fields(reply[op]))), None


def part(token, i):
    """A token's header (0) or payload (1)."""
    text = token.split(".")[i]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


Token = collections.namedtuple("Token", "text kid iat exp daemon")
MAY_BE_ASKED_AGAIN = {"STARTING", "DRAINING"}        # by one that was just started, or ends


class Asking:
    """Someone at each daemon who signs without pause, and has what was signed verified by the others for as long as it
    lives. What went wrong is in the fleet's `wrong`."""

    def __init__(self, fleet, daemons=None):
        self.fleet, self.tokens = fleet, []
        self.given_up = set()                        # kids that were revoked
        self.daemons = daemons or fleet.daemons
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.go_on, args=(d,)) for d in self.daemons]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for t in self.threads:
            t.join()

    def go_on(self, daemon):
        mine, judges, luck = Caller(daemon), [Caller(d) for d in self.daemons], random.Random(daemon.name)
        while not self.ended.is_set():
            text = self.fleet.judged(daemon, "does not sign", mine.sign("web"))
            if text:
                payload = part(text, 1)
                token = Token(text, part(text, 0)["kid"], payload["iat"], payload["exp"], daemon.name)
                self.tokens.append(token)
                self.judge(luck.choice(judges), token)
                self.judge(luck.choice(judges), luck.choice(self.tokens[-LIVING:]))
            else:
                self.ended.wait(STEP_S)              # it is dead, or begins

    def judge(self, judge, token):
        answer = judge.verify(token.text)
        if token.exp > self.fleet.time.now() and token.kid not in self.given_up:
            self.fleet.judged(judge.daemon, f"refuses a token that {token.daemon} made with {token.kid}", answer)

    def kids(self):
        """In the order of their first tokens."""
        first = {}
        for t in list(self.tokens):
            first[t.kid] = min(first.get(t.kid, t.iat), t.iat)
        return sorted(first, key=first.get)

    def by_second(self):
        """{second: the kids that signed in it}"""
        found = collections.defaultdict(set)
        for t in self.tokens:
            found[t.iat].add(t.kid)
        return found
