"""scene: what tests/system/test_crash kills the daemon in: a ring with all that was signed with it, and an operation on its
token that begins, as often as asked, from the same state at the same time."""
import collections
import json
import re
import shutil
import subprocess
import threading
import time

import jwt

import faults
import fleet
from rig import PIN, Daemon, Place, profile, ring, run, until

AHEAD, TTL, SKEW, REFRESH, GENERATING, DESTROY_AFTER, EVERY = 60, 120, 1, 2, 10, 10, 600
PROMISES = [f"publish_ahead: {AHEAD}s", f"max_ttl: {TTL}s", f"skew: {SKEW}s", "jwks_max_age: 20s", f"refresh: {REFRESH}s",
            f"destroy_after: {DESTROY_AFTER}s", "create: yes"]
ROTATING, BY_HAND = [*PROMISES, f"rotate_every: {EVERY}s"], [*PROMISES, "rotate_every: never"]
# Whoever a token here has another clock than its maker.
SIGNATURE_ALONE = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}


class Scene:
    """A ring 'web' with all that was signed with it."""

    def __init__(self, settings, alg="ES256", signers=1, ttl=TTL):
        self.alg = alg
        self.place = Place()
        self.time = fleet.Time(self.place)
        self.softhsm = self.place.module
        self.control = faults.wrap(self.place)
        self.daemon = Daemon(self.place, ring("web", alg, *settings),
                             profile("web", "web", "shop", f"ttl: {ttl}s", "leeway: 0s"),
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

    def facts(self):
        """The labels of the token's data objects."""
        said = run(["pkcs11-tool", "--module", self.softhsm, "--token-label", "signet", "--login", "--pin", PIN, "--list-objects",
                    "--type", "data"], env=self.place.env).decode()
        return re.findall(r"label: +'(.+)'", said)

    def damage(self):
        empty = [str(name) for name, data in self.objects().items() if not data]
        return f"of SoftHSM's files these are empty: {empty}" if empty else "none of SoftHSM's files is empty"


class Operation(Scene):
    """Something done to a token, from a state that can be gone back to."""
    settings, alg, ttl = BY_HAND, "ES256", TTL

    def __init__(self):
        super().__init__(self.settings, self.alg, ttl=self.ttl)
        self.kills = collections.Counter()
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
        self.control.arm(kind, at, faults.CHANGES if changes else faults.ALL)
        self.perform()
        if self.control.disarm():
            self.kills[self.control.calls()[-1]] += 1
            self.daemon.is_gone()
            return True
        return False

    def killed_after(self, seconds):
        """So long after its first call; it may have been done by then."""
        self.resume()
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
