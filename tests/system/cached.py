"""cached: an app server of a fleet of daemons that verifies with PyJWT and a key set of its own. It keeps the rules: a copy
of the set is used for its max-age and no longer; and it does no more than they ask: an unknown kid is no reason to fetch.

    cached.py PROFILE REVOKED TIME SOCKET...

As caller.c; TIME: the file of $SIGNET_TEST_TIME.
"""
import json
import mmap
import random
import select
import sys
import time

import jwt

from fleet import Caller, MAY_BE_ASKED_AGAIN, part

TOO_LONG_S = 86400
REFUSED_EVERY = 50
TRIES = 20
# The clock of PyJWT is the real one: times are looked at here.
SIGNATURE_ALONE = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}


class NotAnswered(Exception):
    pass


class Door:
    """What Caller wants to know of a daemon."""

    def __init__(self, path):
        self.socket = path


class Cached:
    def __init__(self, profile, revoked, time_file, *sockets):
        self.profile, self.revoked = profile, revoked
        with open(time_file, "rb") as f:
            self.ms = memoryview(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)).cast("q")
        self.callers = [Caller(Door(s)) for s in sockets]
        self.turn = 0
        self.keys, self.until = {}, 0
        self.living = []                         # (token, kid, exp), oldest first, one for each second
        self.count = dict.fromkeys(("tokens", "accepted", "refused", "again", "revoked", "ended", "wrong", "failed"), 0)
        self.last = ""

    def now(self):
        return time.time() + (self.ms[0] + self.ms[1]) / 1000

    def note(self, text):
        self.last = self.last or text

    def of_any(self, ask):
        """What the next daemon that lives says: (answer, reason)."""
        for _ in range(TRIES * len(self.callers)):
            self.turn += 1
            answer, why = ask(self.callers[self.turn % len(self.callers)])
            if answer is not None or (why and why not in MAY_BE_ASKED_AGAIN):
                return answer, why
            self.count["again"] += 1
            time.sleep(0.01)                     # all may be dead for a moment
        raise NotAnswered("no daemon answers")

    def fetch(self):
        asked = self.now()
        keys, why = self.of_any(lambda caller: caller.key_set())
        if keys is None:
            raise NotAnswered(why)
        self.keys = {k["kid"]: jwt.PyJWK(k).key for k in json.loads(keys["jwks"])["keys"]}
        self.until = asked + keys["max_age_s"]

    def judge(self, token, kid, exp):
        """Why it is rejected; None: it is not."""
        if self.now() >= self.until:
            self.fetch()
        if kid not in self.keys:
            return "its key is not in the set"
        try:
            payload = jwt.decode(token, self.keys[kid], algorithms=["ES256"], audience="shop",
                                 issuer="https://login.example", options=SIGNATURE_ALONE)
        except jwt.InvalidTokenError as e:
            return str(e)
        return "it has ended" if payload["exp"] <= self.now() else None

    def verify(self, token, kid, exp):
        try:
            why = self.judge(token, kid, exp)
        except NotAnswered as e:
            self.count["failed"] += 1
            self.note(f"no key set: {e}")
            return
        if why is None:
            self.count["accepted"] += 1
        elif exp <= self.now():
            self.count["ended"] += 1
        elif kid in open(self.revoked).read().split():
            self.count["revoked"] += 1
        else:
            self.count["wrong"] += 1
            self.note(f"a token was rejected, key '{kid}': {why}")

    def sign(self, ttl_s=0):
        try:
            return self.of_any(lambda caller: caller.sign(self.profile, ttl_s))
        except NotAnswered as e:
            return None, str(e)

    def go(self, n):
        token, why = self.sign()
        if token:
            self.count["tokens"] += 1
            kid, exp = part(token, 0)["kid"], part(token, 1)["exp"]
            self.verify(token, kid, exp)
            if not self.living or self.living[-1][2] < exp:
                self.living.append((token, kid, exp))
        else:
            self.count["failed"] += 1
            self.note(f"no token: {why}")
        while self.living and self.living[0][2] <= self.now():
            self.living.pop(0)
        if self.living:
            self.verify(*self.living[0])
            self.verify(*random.choice(self.living))
        if n % REFUSED_EVERY == 0:
            _, why = self.sign(TOO_LONG_S)
            self.count["refused" if why == "TTL_TOO_LONG" else "failed"] += 1

    def say(self):
        print(json.dumps({**self.count, "last": self.last}), flush=True)

    def run(self):
        n = 0
        while True:
            if select.select([sys.stdin], [], [], 0)[0]:
                if not sys.stdin.buffer.raw.read(64):
                    break
                self.say()
            n += 1
            self.go(n)
        self.say()


if __name__ == "__main__":
    Cached(*sys.argv[1:]).run()
