"""The daemon is killed, all of it at once, before and after the PKCS#11 calls of what it does to a token, and at random
moments inside: started again the ring is valid, no key that ever signed is lost, and what was begun is finished from
the facts or is an orphan, which is reported and swept.

Never inside C_Login, which SoftHSM's token file does not survive. Everything else that SoftHSM may lose fails the
test, which then says what became of its files. SIGNET_FULL=1: at every call. SIGNET_SEED=N: the moments of that run.
"""
import os
import random
import time
import unittest

import faults
from rig import main, until
from scene import AHEAD, BY_HAND, DESTROY_AFTER, EVERY, Operation, PROMISES, REFRESH, ROTATING, SKEW, Scene, TTL

FULL = bool(os.environ.get("SIGNET_FULL"))
SEED = int(os.environ.get("SIGNET_SEED", time.time_ns() % 2 ** 32))
LONG_TTL = 1800                  # of tokens that outlive their key's private half, a restart included
N_READING, N_RANDOM, N_ROTATIONS = (None, 40, 50) if FULL else (2, 3, 4)


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
        if self.facts():
            self.kills["left of a trial"] += 1
            with self.time.running(20):
                until("it is removed", lambda: not self.facts())
        # Killed inside the call SoftHSM leaves an object without a name, or a file without anything: nobody's.
        assert len(self.objects()) - self.n_objects <= (self.kills["at random"] > 0), "more is left than that"


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


class DestroyPrivate(Operation):
    """The private half of a retired key is destroyed, while its tokens live."""
    ttl = LONG_TTL
    settings = [*[p for p in BY_HAND if "max_ttl" not in p], f"max_ttl: {LONG_TTL}s", "destroy_retired_private: yes"]

    def prepare(self):
        self.daemon.cli("key", "generate", "web")
        coming = self.next()
        self.time.pass_until(coming["activates_at"] - 5)
        self.old = self.sign()
        self.time.pass_until(coming["activates_at"])
        self.signs_with(coming["kid"])

    def approach(self):
        until("it knows that the key retired", lambda: self.keys("retired"))
        self.time.pass_by(AHEAD + REFRESH + SKEW - 20)

    def begin(self):
        self.time.pass_by(30)

    def is_done(self):
        [old] = [k for k in self.keys("retired") if k["kid"] == self.old] or [{"custody": ""}]
        return "no private half" in old["custody"]

    def recover(self):
        assert self.states() == ["active", "retired"]
        with self.time.running(20):
            until("it is gone", self.is_done)
        assert self.lives(self.signed[self.old])         # that it verifies is looked at with everything else


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


class KilledInDestroyPrivate(Killed, unittest.TestCase):
    operation = DestroyPrivate


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
