"""Keys rotate eight times, or (SIGNET_FULL=1) fifty, one is revoked, daemons die and come back, and nobody notices: five daemons on one token, and
twenty processes that sign and verify all the while, by the daemons, with libsignet's local verifier, and with PyJWT and a
key set that is cached for its max-age. Time is compressed, for daemons and callers alike; the rules are none weaker."""
import json
import os
import random
import subprocess
import sys
import time
import unittest
import pathlib

from fleet import Fleet, part
from rig import BUILD, main, profile, ring, until

N_ROTATIONS, REVOKED_AFTER = (50, 26) if os.environ.get("SIGNET_FULL") else (8, 6)
N_DAEMONS = 5
CALLERS = ["daemon"] * 7 + ["local"] * 7 + ["cached"] * 6
RATE = 24                    # at most
EVERY, AHEAD, TTL, MAX_AGE, REFRESH, SKEW, GENERATING = 96, 48, 60, 16, 8, 2, 20
RING = ring("web", "ES256", f"rotate_every: {EVERY}s", f"publish_ahead: {AHEAD}s", f"max_ttl: {TTL}s", f"skew: {SKEW}s",
            f"jwks_max_age: {MAX_AGE}s", f"refresh: {REFRESH}s", "destroy_after: 10s", "standby: yes")
PROFILE = profile("web", "web", "shop", f"ttl: {TTL}s", "leeway: 0s")
PATIENCE = 900
SEED = random.randrange(2 ** 32)


class Process:
    """A caller, which has what is left of the machine when the daemons have had theirs."""

    def __init__(self, kind, number, fleet, revoked):
        sockets = [d.socket for d in fleet.daemons]
        sockets = sockets[number % N_DAEMONS:] + sockets[:number % N_DAEMONS]
        here = pathlib.Path(__file__).parent
        command = ([sys.executable, here / "cached.py", "web", revoked, fleet.place.dir / "time"] if kind == "cached" else
                   [BUILD / "tests/system/caller", kind, "web", revoked])
        self.kind = kind
        self.process = subprocess.Popen(["nice", "-n", "19", *command, *sockets], env=fleet.place.env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def counts(self):
        self.process.stdin.write(b"?\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()

    def finish(self):
        counts = json.loads(self.process.stdout.readline())
        assert self.process.wait(60) == 0
        self.process.stdout.close()
        return counts

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Show(unittest.TestCase):
    def setUp(self):
        self.fleet = Fleet(N_DAEMONS, RING, PROFILE, f"  generate_timeout: {GENERATING}s\n")
        self.addCleanup(self.fleet.close)
        self.revoked = self.fleet.place.dir / "revoked"
        self.revoked.touch()
        self.kids = []                           # in the order in which they signed
        self.luck = random.Random(SEED)

    def keep_up(self):
        """Time goes on when each daemon that is alive has signed."""
        for token in self.fleet.keep_up():
            if (kid := part(token, 0)["kid"]) not in self.kids:
                self.kids.append(kid)

    def callers(self):
        found = []
        for number, kind in enumerate(CALLERS):
            found.append(Process(kind, number, self.fleet, self.revoked))
            self.addCleanup(found[-1].kill)
        return found

    def active(self, daemon):
        return [k for k in json.loads(daemon.cli("key", "list", "--json")[0]) if k["state"] == "active"][0]

    def revoke(self):
        """When its successor has been published for long enough: the button is pressed in no worse a moment than that."""
        daemon = self.fleet.daemons[0]

        def moment():
            key = self.active(daemon)
            return AHEAD + 8 < self.fleet.time.now() - key["activates_at"] < EVERY - 16 and key["kid"]
        kid = until("the next key is known to all", moment, PATIENCE)
        self.revoked.write_text(kid + "\n")      # whoever rejects its tokens from now on is right
        daemon.cli("key", "revoke", "--compromised", "--", kid)
        self.assertNotEqual(self.active(daemon)["kid"], kid)

    def restart_one(self):
        daemon = self.luck.choice(self.fleet.daemons[1:])
        self.fleet.kill(daemon)
        self.fleet.start([daemon])

    def rotations(self, n, callers):
        """So many have been, or somebody has something to say."""
        def have_been():
            dead = [c.kind for c in callers if c.process.poll() is not None]
            self.assertEqual(dead, [], "callers that ended")
            return len(self.kids) > n
        until(f"{n} rotations have been", have_been, PATIENCE)

    def test_rotations_a_revoke_and_deaths_and_nobody_notices(self):
        self.fleet.begin("web")
        begun, callers = time.monotonic(), self.callers()
        with self.subTest(seed=SEED), self.fleet.time.running(RATE, self.keep_up):
            for n in range(2, N_ROTATIONS + 1, 2):
                self.rotations(n, callers)
                if n == REVOKED_AFTER:
                    self.revoke()
                elif n % 4 == 0:
                    self.restart_one()
                if any((c := caller.counts())["wrong"] or c["failed"] for caller in callers[n % 4::4]):
                    break
        took = time.monotonic() - begun
        totals = {kind: {} for kind in CALLERS}
        for caller in callers:
            caller.end()
        for caller in callers:
            counts = caller.finish()
            last = counts.pop("last")
            if last:
                print(f"{caller.kind}: {last}")
            for name, n in counts.items():
                totals[caller.kind][name] = totals[caller.kind].get(name, 0) + n
        print(f"{len(self.kids) - 1} rotations in {took:.0f} s")
        for kind, counts in totals.items():
            print(f"{CALLERS.count(kind)} that verify by {kind}: {counts}", flush=True)
        for kind, counts in totals.items():
            self.assertEqual((counts["wrong"], counts["failed"]), (0, 0), kind)
            self.assertTrue(counts["tokens"] and counts["accepted"] > counts["tokens"] and counts["refused"], (kind, counts))
        self.assertFalse(self.fleet.wrong)
        self.assertGreaterEqual(len(self.kids) - 1, N_ROTATIONS)
        self.assertTrue(totals["daemon"]["revoked"], "no token of the revoked key was ever rejected")
        until("all have the same key set", self.fleet.one_key_set)
        self.fleet.stop()


if __name__ == "__main__":
    main()
