"""The daemon is killed, all of it at once, before and after the PKCS#11 calls of what it does to a token, and at random
moments inside: started again the ring is valid, no key that ever signed is lost, and what was begun is finished from
the facts or is an orphan, which is reported and swept.

Never inside C_Login, which SoftHSM's token file does not survive. Everything else that SoftHSM may lose fails the
test, which then says what became of its files. SIGNET_FULL=1: at every call. SIGNET_SEED=N: the moments of that run.
"""
import collections
import json
import os
import random
import shutil
import subprocess
import threading
import time
import unittest

import jwt

import faults
import fleet
from rig import Daemon, Place, main, profile, ring, until

FULL = bool(os.environ.get("SIGNET_FULL"))
SEED = int(os.environ.get("SIGNET_SEED", time.time_ns() % 2 ** 32))
N_READING, N_RANDOM, N_ROTATIONS = (None, 40, 50) if FULL else (2, 3, 4)

AHEAD, TTL, SKEW, REFRESH, GENERATING, DESTROY_AFTER, EVERY = 60, 120, 1, 2, 10, 10, 600
PROMISES = [f"publish_ahead: {AHEAD}s", f"max_ttl: {TTL}s", f"skew: {SKEW}s", "jwks_max_age: 20s", f"refresh: {REFRESH}s",
            f"destroy_after: {DESTROY_AFTER}s", "create: yes"]
ROTATING, BY_HAND = [*PROMISES, f"rotate_every: {EVERY}s"], [*PROMISES, "rotate_every: never"]
# Whoever reads a token here has another clock than its maker.
SIGNATURE_ALONE = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}


class Scene:
    """A ring 'web' with all that was signed with it."""

    def __init__(self, settings, alg="ES256", signers=1):
        self.alg = alg
        self.place = Place()
        self.time = fleet.Time(self.place)
        self.control = faults.wrap(self.place)
        self.daemon = Daemon(self.place, ring("web", alg, *settings),
                             profile("web", "web", "shop", f"ttl: {TTL}s", "leeway: 0s"),
                             token=f"  signers: {signers}\n  generate_timeout: {GENERATING}s\n")
        self.caller = fleet.Caller(self.daemon)
        self.answer = ""
        self.signed = {}                 # kid: the last token that was signed with it
        self.given_up = set()            # kids that were revoked, or past their end

    def close(self):
        self.daemon.kill()
        self.control.close()
        self.time.close()
        self.place.remove()

    def ask(self, *words):
        """(exit status, stdout, stderr). A daemon that dies meanwhile is not waited for, as the command would: exit 3."""
        with self.daemon.begin_cli(*words) as process:
            while True:
                try:
                    out, err = process.communicate(timeout=0.02)
                    return process.returncode, out, err.decode(errors="replace")
                except subprocess.TimeoutExpired:
                    if self.is_dead():
                        process.kill()
                        return 3, b"", "the daemon is dead"

    def command(self, *words):
        """As a script does it: again, where it is told to try again. What was said last is in `answer`."""
        def answered():
            status, _, self.answer = self.ask(*words)
            return self.is_dead() or status != 3
        until(f"{words} is answered", answered)

    def is_dead(self):
        return self.daemon.process.poll() is not None

    def keys(self, *states):
        _, out, _ = self.ask("key", "list", "--json")
        return [k for k in json.loads(out or "[]") if k["state"] in states or not states]

    def states(self):
        return sorted(k["state"] for k in self.keys())

    def next(self):
        return ([*self.keys("next")] or [None])[0]

    def activates_at(self, kid):
        """By the ring's arithmetic, a promotion counted."""
        _, out, _ = self.ask("ring", "plan", "web", "--json")
        return [k["activates_at"] for k in json.loads(out)["keys"] if k["kid"] == kid] if out else [None]

    def sign(self):
        token = until("it signs", lambda: self.caller.sign("web")[0])
        kid = fleet.part(token, 0)["kid"]
        self.signed[kid] = token
        return kid

    def published(self):
        """{kid: key} of the key set."""
        keys = until("it has a key set", lambda: self.caller.key_set()[0])
        return {k["kid"]: k for k in json.loads(keys["jwks"])["keys"]}

    def signs_with(self, kid):
        until(f"it signs with '{kid}'", lambda: self.sign() == kid)

    def lives(self, token):
        return fleet.part(token, 1)["exp"] > self.time.now() + SKEW

    def sound(self):
        """The ring is valid: it signs, what lives verifies and its key is published, and no key is lost."""
        self.sign()
        listed = {k["kid"]: k for k in self.keys()}
        published = self.published()
        for kid, token in self.signed.items():
            if kid in self.given_up:
                continue
            assert kid in listed and "gone" not in listed[kid]["trouble"], f"key '{kid}' is lost; {self.damage()}"
            if not self.lives(token):
                continue
            assert self.caller.verify(token)[0], f"{self.caller.verify(token)}, key '{kid}'; {self.damage()}"
            if self.alg == "ES256":
                assert kid in published, f"key '{kid}' is published no more; {listed[kid]}"
                jwt.decode(token, jwt.PyJWK(published[kid]).key, algorithms=[self.alg], options=SIGNATURE_ALONE)
        for k in listed.values():        # of one whose time is over the public half is all that anybody needs
            assert k["proved"] or not k["published"] or k["state"] == "retired", f"half a key counts: {k}"

    def swept(self, *states):
        """What was half made goes, when it has been seen for longer than making a key may take; this is left."""
        try:
            with self.time.running(100):
                until(f"the ring's keys are {states}", lambda: self.states() == sorted(states))
        except AssertionError as e:
            raise AssertionError(f"{e}; they are {self.keys()}; {self.daemon.said()[-2000:]}") from None

    def objects(self):
        return {p.relative_to(self.place.tokens): p.read_bytes() for p in self.place.tokens.rglob("*.object")}

    def damage(self):
        empty = [str(name) for name, data in self.objects().items() if not data]
        return f"of SoftHSM's files these are empty: {empty}" if empty else "none of SoftHSM's files is empty"


class Operation(Scene):
    """Something done to a token, from a state that can be gone back to."""
    settings, alg = BY_HAND, "ES256"

    def __init__(self):
        super().__init__(self.settings, self.alg)
        self.kills, self.inside = collections.Counter(), False
        try:
            self.daemon.start()
            self.prepare()
            self.daemon.stop()
            shutil.copytree(self.place.tokens, self.place.dir / "saved")
            self.at, self.signed_before = self.time.now(), dict(self.signed)
            self.measure()
        except BaseException:
            self.close()
            raise

    def prepare(self):
        """To the state before."""

    def approach(self):
        """What there is to wait for when it was started in that state."""

    def begin(self):
        """By a command, which ends when the daemon dies; or a moment comes."""

    def is_done(self):
        """As far as the facts on the token go."""

    def recover(self):
        """After the restart: it is finished from the facts, or begun anew by who began it; and that is as it should be."""

    def resume(self):
        self.daemon.kill()
        shutil.rmtree(self.place.tokens)
        shutil.copytree(self.place.dir / "saved", self.place.tokens)
        self.time.go_back_to(self.at)
        self.signed, self.given_up = dict(self.signed_before), set()
        self.start()

    def start(self):
        """And waits for its one signer to be done with what a start wants of it, the trial of what may be written too."""
        self.daemon.start()
        self.sign()
        self.approach()

    def perform(self):
        with self.time.running(10):
            self.begin()
            try:
                until("it is done, or the daemon dead", lambda: self.is_dead() or self.is_done())
            except AssertionError as e:
                raise AssertionError(f"{e}: {self.answer}{self.daemon.said()[-4000:]}") from None

    def measure(self):
        """Which calls it makes, and how long it takes from the first."""
        self.resume()
        began, ended = [], threading.Event()
        watcher = threading.Thread(target=lambda: began.append(self.first_call(ended)))
        self.control.arm()
        watcher.start()
        self.perform()
        ended.set()
        self.control.disarm()
        watcher.join()
        self.length = time.monotonic() - began[0]
        self.calls = self.control.calls()
        self.changes = [c for c in self.calls if c in faults.CHANGING]
        assert self.changes and "C_SetAttributeValue" not in self.changes, self.changes
        self.recover()

    def first_call(self, ended):
        while not ended.is_set() and self.control.n_calls() == 0:
            time.sleep(0)
        return time.monotonic()

    def killed_at(self, kind, at, changes):
        """False: it was done before that call came."""
        self.resume()
        self.inside = False
        self.control.arm(kind, at, changes)
        self.perform()
        if self.control.disarm():
            self.kills[self.control.calls()[-1]] += 1
            self.daemon.is_gone()
            return True
        return False

    def killed_after(self, seconds):
        """So long after its first call; it may have been done by then."""
        self.resume()
        self.inside = True               # SoftHSM was perhaps about to write
        ended = threading.Event()

        def kill():
            end = self.first_call(ended) + seconds
            while time.monotonic() < end:
                time.sleep(0)
            with self.control.nobody_logs_in():
                self.daemon.kill_at_once()
        killer = threading.Thread(target=kill)
        self.control.arm()
        killer.start()
        self.perform()
        ended.set()
        killer.join()
        self.control.disarm()
        self.kills["at random"] += 1

    def restart(self):
        self.daemon.start()
        self.sound()
        if self.keys("orphan"):
            self.kills["orphans"] += 1
        self.recover()
        self.sound()


class Start(Operation):
    """signetd starts, and tries what the token lets it write"""

    def prepare(self):
        self.sign()
        self.n_objects = len(self.objects())

    def start(self):
        """That is the operation."""

    def begin(self):
        try:
            self.daemon.start()
        except AssertionError:
            assert self.is_dead()

    def is_done(self):
        return self.caller.sign("web")[0]        # by its one signer, when it is done with the trial

    def recover(self):
        assert self.states() == ["active"]
        left = len(self.objects()) - self.n_objects
        assert not left or self.inside, "something is left of the trial"
        self.kills["objects that nobody finds"] += left


class Generate(Operation):
    """signet key generate"""

    def prepare(self):
        self.sign()

    def begin(self):
        self.command("key", "generate", "web")

    def is_done(self):
        return self.next()

    def recover(self):
        if not self.next():
            self.daemon.cli("key", "generate", "web")
        self.swept("active", "next")
        coming = self.next()
        self.time.pass_until(coming["activates_at"])
        self.signs_with(coming["kid"])


class GenerateSecret(Generate):
    """The same for HMAC, whose keys are made by another call."""
    alg = "HS256"


class GenerateByItself(Operation):
    """A rotation is due."""
    settings = ROTATING

    def prepare(self):
        self.due = self.keys("active")[0]["activates_at"] + EVERY - AHEAD
        self.time.pass_until(self.due - 30)
        self.sign()

    def begin(self):
        self.time.pass_until(self.due)

    def is_done(self):
        return self.next()

    def recover(self):
        with self.time.running(10):
            coming = until("it is made by itself", self.next)
        [active] = self.keys("active")
        assert 0 <= coming["activates_at"] - active["activates_at"] - EVERY <= AHEAD, (active, coming)
        self.swept("active", "next")
        self.time.pass_until(coming["activates_at"])
        self.signs_with(coming["kid"])


class Promote(Operation):
    """signet ring rotate, where a next key is there"""
    settings = [*ROTATING, "standby: yes"]

    def prepare(self):
        self.coming = until("it has its standby", self.next)["kid"]
        [self.before] = self.activates_at(self.coming)
        self.time.pass_by(AHEAD)
        self.sign()

    def approach(self):
        until("it knows its next key", self.next)

    def begin(self):
        self.command("ring", "rotate", "web")

    def is_done(self):
        at = self.activates_at(self.coming)[0]
        return at and at < self.before

    def recover(self):
        if not self.is_done():
            self.daemon.cli("ring", "rotate", "web")
        [at] = self.activates_at(self.coming)
        assert at < self.before, (at, self.before)
        self.time.pass_until(at)
        self.signs_with(self.coming)
        with self.time.running(10):
            until("it has a standby again", self.next)


class Revoke(Operation):
    """signet key revoke, where a next key is there: the panic button"""
    settings = [*ROTATING, "standby: yes"]

    def prepare(self):
        self.coming = until("it has its standby", self.next)["kid"]
        self.time.pass_by(AHEAD)
        self.bad = self.sign()

    def approach(self):
        until("it knows its next key", self.next)

    def begin(self):
        self.command("key", "revoke", "--compromised", "--", self.bad)

    def is_revoked(self):
        return self.bad not in [k["kid"] for k in self.keys("active", "retired")]

    def is_done(self):
        return self.keys("active") and self.bad not in [k["kid"] for k in self.keys()] and self.has_next()

    def has_next(self):
        return self.next()

    def successor(self, kid):
        return kid == self.coming

    def sound(self):
        if self.keys() and self.is_revoked():
            self.given_up.add(self.bad)
            with self.time.running(10):          # what was begun is gone on with
                until("another signs", lambda: [k for k in self.keys("active") if k["proved"]])
        super().sound()

    def recover(self):
        if not self.is_revoked():
            self.daemon.cli("key", "revoke", "--compromised", "--", self.bad)
        with self.time.running(10):
            until("it is done", self.is_done)
        self.given_up.add(self.bad)
        assert self.successor(self.sign())
        assert self.bad not in self.published()
        assert self.caller.verify(self.signed[self.bad]) == (None, "KEY_UNKNOWN")
        self.swept("active", *["next"] * bool(self.has_next()))


class RevokeWithoutNext(Revoke):
    """The same where none is: one is made."""
    settings = BY_HAND

    def prepare(self):
        self.bad = self.sign()

    def approach(self):
        pass

    def has_next(self):
        return True

    def successor(self, kid):
        return kid != self.bad

    def swept(self, *states):
        super().swept("active")


class Withdraw(Operation):
    """signet key destroy of a next key, which never signed"""

    def prepare(self):
        self.daemon.cli("key", "generate", "web")
        self.coming = self.next()["kid"]
        self.sign()

    def approach(self):
        until("it knows its next key", self.next)

    def begin(self):
        self.command("key", "destroy", "--", self.coming)

    def is_done(self):
        return self.states() == ["active"]

    def recover(self):
        if self.next():
            self.daemon.cli("key", "destroy", "--", self.coming)
        self.swept("active")


class Destroy(Operation):
    """An expired key is destroyed, when this daemon has seen it so for long enough."""

    def prepare(self):
        self.old = self.sign()
        self.daemon.cli("key", "generate", "web")
        coming = self.next()
        self.time.pass_until(coming["activates_at"])
        self.signs_with(coming["kid"])

    def resume(self):
        super().resume()
        self.given_up.add(self.old)

    def approach(self):
        self.time.pass_by(AHEAD + TTL + SKEW + DESTROY_AFTER - 30)
        until("it has expired", lambda: [k for k in self.keys("expired") if k["kid"] == self.old])

    def begin(self):
        self.time.pass_by(60)

    def is_done(self):
        return self.states() == ["active"]

    def recover(self):
        self.swept("active")


class Killed:
    """The tests; `operation` is what they kill."""

    @classmethod
    def setUpClass(cls):
        cls.op = cls.operation()
        cls.addClassCleanup(cls.op.close)
        cls.random = random.Random(f"{SEED} {cls.__name__}")

    @classmethod
    def tearDownClass(cls):
        print(f"{cls.__name__}: {cls.operation.__doc__.splitlines()[0]}: {len(cls.op.calls)} calls, which change the token by "
              f"{', '.join(cls.op.changes)}; killed {dict(cls.op.kills)}; {cls.op.damage()}", flush=True)

    def test_before_and_after_every_call_that_changes_the_token(self):
        for at, name in enumerate(self.op.changes, 1):
            for kind in ("kill_before", "kill_after"):
                with self.subTest(f"{kind} {name}, change {at}"):
                    self.assertTrue(self.op.killed_at(kind, at, changes=True), "the call did not come")
                    self.op.restart()

    def test_before_and_after_calls_that_read(self):
        reading = [at for at, name in enumerate(self.op.calls, 1) if name not in faults.CHANGING]
        some = reading if FULL else sorted(self.random.sample(reading, min(N_READING, len(reading))))
        for at in some:
            for kind in ("kill_before", "kill_after") if FULL else [self.random.choice(["kill_before", "kill_after"])]:
                with self.subTest(f"{kind} {self.op.calls[at - 1]}, call {at}"):
                    if self.op.killed_at(kind, at, changes=False):
                        self.op.restart()

    def test_at_random_moments(self):
        for _ in range(N_RANDOM):
            seconds = self.random.uniform(0, 1.1) * self.op.length
            with self.subTest(f"{seconds * 1000:.1f} ms after its first call, seed {SEED}"):
                self.op.killed_after(seconds)
                self.op.restart()


class KilledInStart(Killed, unittest.TestCase):
    operation = Start


class KilledInGenerate(Killed, unittest.TestCase):
    operation = Generate


class KilledInGenerateSecret(Killed, unittest.TestCase):
    operation = GenerateSecret


class KilledInGenerateByItself(Killed, unittest.TestCase):
    operation = GenerateByItself


class KilledInPromote(Killed, unittest.TestCase):
    operation = Promote


class KilledInRevoke(Killed, unittest.TestCase):
    operation = Revoke


class KilledInRevokeWithoutNext(Killed, unittest.TestCase):
    operation = RevokeWithoutNext


class KilledInWithdraw(Killed, unittest.TestCase):
    operation = Withdraw


class KilledInDestroy(Killed, unittest.TestCase):
    operation = Destroy


class Life(unittest.TestCase):
    def test_a_ring_that_rotates_under_kills_at_any_time(self):
        """One token, many kills: nothing is gone back to."""
        scene = Scene([*PROMISES, f"rotate_every: {2 * AHEAD}s"], signers=2)
        self.addCleanup(scene.close)
        moments, n_kills = random.Random(f"{SEED} Life"), 0
        scene.daemon.start()
        with self.subTest(seed=SEED), scene.time.running(20):
            while len(scene.signed) <= N_ROTATIONS:
                scene.sign()
                time.sleep(moments.uniform(0, 1.5))
                with scene.control.nobody_logs_in():
                    scene.daemon.kill_at_once()
                n_kills += 1
                scene.daemon.start()
                scene.given_up = {kid for kid, token in scene.signed.items() if not scene.lives(token)}
                scene.sound()
        scene.daemon.stop()
        print(f"Life: {len(scene.signed)} keys signed in turn, {n_kills} kills; {scene.damage()}", flush=True)


if __name__ == "__main__":
    print(f"seed {SEED}")
    main()
