"""Many daemons on one token and no coordinator: from the facts on it alone they change to the same key in the same second,
settle what two of them made at once, and hear of what another did within their refresh. Time passes as the tests say."""
import json
import random
import unittest

from fleet import Asking, Fleet, RemotePlace
from rig import main, profile, ring, until

DAY = 86400
RATE = 30                    # seconds in one of ours, at most
EVERY, AHEAD, TTL, MAX_AGE, REFRESH, SKEW, GENERATING = 240, 110, 100, 30, 15, 5, 30
RING = ring("web", "ES256", f"rotate_every: {EVERY}s", f"publish_ahead: {AHEAD}s", f"max_ttl: {TTL}s", f"skew: {SKEW}s",
            f"jwks_max_age: {MAX_AGE}s", f"refresh: {REFRESH}s", "destroy_after: 30s")
PROFILE = profile("web", "web", "shop", f"ttl: {TTL}s", "leeway: 0s")
PATIENCE = 300
SEED = random.randrange(2 ** 32)


class Fleets(unittest.TestCase):
    def start(self, n, rings=RING, token=f"  generate_timeout: {GENERATING}s\n", **kw):
        fleet = Fleet(n, rings, PROFILE, token, **kw)
        self.addCleanup(fleet.close)
        fleet.begin("web")
        return fleet

    def keys(self, daemon, *states):
        return [k for k in json.loads(daemon.cli("key", "list", "--json")[0]) if not states or k["state"] in states]

    def active(self, daemon):
        return self.keys(daemon, "active")[0]["kid"]

    def rotations(self, asking, n):
        until(f"{n} rotations have been", lambda: len(asking.kids()) > n or asking.fleet.wrong, PATIENCE)

    def check(self, asking):
        """One key a second, all daemons together, each key in one stretch; and nothing else that is wrong."""
        # Of one whose clock is wrong others' keys sign before they are whole: nobody asks it.
        names = {d.name for d in asking.daemons}
        self.assertEqual([w for w in asking.fleet.wrong if w.split()[0] in names], [],
                         {d.name: d.said()[-3000:] for d in asking.daemons})
        self.assertEqual({second: kids for second, kids in asking.by_second().items() if len(kids) > 1}, {})
        turns = [kids for _, kids in sorted(asking.by_second().items())]
        changes = sum(a != b for a, b in zip(turns, turns[1:]))
        self.assertEqual(changes, len(asking.kids()) - 1, "a key came back")

    def agree(self, fleet):
        return until("all have the same key set of the same version", fleet.one_key_set)

    def test_five_change_over_in_the_same_second_though_some_are_killed(self):
        fleet, luck = self.start(5), random.Random(SEED)
        with self.subTest(seed=SEED), Asking(fleet) as asking, fleet.time.running(RATE, fleet.keep_up):
            for n in range(1, 4):
                self.rotations(asking, n)
                daemon = luck.choice(fleet.daemons)
                fleet.kill(daemon)
                fleet.start([daemon])
        self.check(asking)
        _, kids = self.agree(fleet)
        self.assertEqual({t.daemon for t in asking.tokens}, {d.name for d in fleet.daemons})
        for d in fleet.daemons:
            self.assertEqual(self.active(d), asking.kids()[-1])
            self.assertIn(self.active(d), kids)
        fleet.stop()

    def test_started_together_none_is_mistaken_about_the_token(self):
        """Each tries what the token lets it write, and none takes another's trial for its own."""
        fleet = self.start(5)
        for d in fleet.daemons:
            fleet.kill(d)
        fleet.control.set("C_FindObjectsInit", "delay", value=50)
        fleet.start(fleet.daemons)
        fleet.control.set("C_FindObjectsInit", "none")
        for d in fleet.daemons:
            self.assertNotIn("keeps no data objects", d.said())
        self.agree(fleet)
        fleet.stop()

    def test_what_several_made_for_one_moment_is_settled(self):
        fleet = self.start(5)
        fleet.control.set("C_GenerateKeyPair", "delay", value=1500)    # longer than a refresh: none sees another's in time
        seen = set()

        def made():
            seen.update(k["kid"] for d in fleet.daemons for k in self.keys(d, "next"))
            return len(seen) > 1
        with fleet.time.running(RATE / 2, fleet.keep_up):
            until("several have made a next key", made, PATIENCE)
        fleet.control.set("C_GenerateKeyPair", "none")
        self.assertGreater(fleet.control["C_GenerateKeyPair"]["done"], 1)

        def settled():
            fleet.time.pass_by(0.1)
            made()
            left = [[k["kid"] for k in self.keys(d, "next")] for d in fleet.daemons]
            return left[0] if len(left[0]) == 1 and left == left[:1] * len(left) else None
        [left] = until("one is left for all", settled, PATIENCE)
        self.assertEqual(left, min(seen), f"of {seen}")
        self.agree(fleet)
        self.assertTrue(all(self.keys(d, "next") for d in fleet.daemons), "settled too late")
        with Asking(fleet) as asking, fleet.time.running(RATE, fleet.keep_up):
            until("it signs", lambda: left in asking.kids() or fleet.wrong, PATIENCE)
        self.check(asking)
        fleet.stop()

    def test_what_one_makes_and_revokes_the_others_know_a_refresh_later(self):
        """A refresh that is longer than any test waits."""
        slow = ring("web", "ES256", "rotate_every: 30d", "publish_ahead: 1d", "refresh: 1h", "jwks_max_age: 1h",
                    "max_ttl: 1h", "standby: yes")
        fleet = self.start(3, rings=slow)
        one, *others = fleet.daemons
        first = self.active(one)
        fleet.time.pass_by(3600)
        until("all have their standby, and the same", lambda: all(len(self.keys(d, "next")) == 1 for d in fleet.daemons)
              or fleet.time.pass_by(600), PATIENCE)
        self.agree(fleet)
        one.cli("key", "revoke", "--compromised", "--", first)
        second = self.active(one)
        self.assertNotEqual(second, first)
        self.assertEqual(one.cli("sign", "--profile", "web", want=0)[1], "")
        fleet.time.pass_by(3600)
        until("the others sign with it too", lambda: [self.active(d) for d in others] == [second] * len(others))
        version, kids = self.agree(fleet)
        self.assertNotIn(first, kids)
        for d in fleet.daemons:
            self.assertNotIn(first, [k["kid"] for k in self.keys(d, "active", "next", "retired")])
        fleet.stop()

    def test_the_clock_of_one_is_a_year_ahead(self):
        fleet = self.start(5, env={4: {"SIGNET_TEST_CLOCK": str(365 * DAY)}})
        right, wrong = fleet.daemons[:4], fleet.daemons[4]
        with Asking(fleet, right) as asking, fleet.time.running(RATE, fleet.keep_up):
            self.rotations(asking, 3)
            self.rotations(asking, 3)
        self.check(asking)

        def far_on(daemon):
            return [k for k in self.keys(daemon) if k["activates_at"] > fleet.time.now() + 300 * DAY]
        # Whose last it is: by its own clock it turns, and destroys what it made itself.
        until("the fifth's keys are known to all", lambda: far_on(right[0]) and
              len({json.dumps(sorted(k["kid"] for k in far_on(d))) for d in right}) == 1 or fleet.time.pass_by(1))
        far = far_on(right[0])
        self.assertTrue({t.kid for t in asking.tokens}.isdisjoint(k["kid"] for k in far))
        for d in right:
            reported = json.dumps(self.keys(d)), d.cli("status", "--admin")[0].decode()
            for key in far:
                [seen] = [k for k in self.keys(d) if k["kid"] == key["kid"]]
                self.assertFalse(seen["published"], seen)
                self.assertTrue(seen["trouble"] or key["kid"] in reported[1], f"{d.name} does not report it: {reported}")
        fleet.kill(wrong)
        fleet.daemons.remove(wrong)
        self.agree(fleet)
        fleet.stop()

    def test_behind_p11_kit_s_server_as_a_network_hsm(self):
        fleet = self.start(5, make_place=RemotePlace)
        with Asking(fleet) as asking, fleet.time.running(RATE, fleet.keep_up):
            self.rotations(asking, 1)
            fleet.kill(fleet.daemons[0])
            fleet.start(fleet.daemons[:1])
            self.rotations(asking, 2)
        self.check(asking)
        self.agree(fleet)
        fleet.stop()


if __name__ == "__main__":
    main()
