"""Fifty rotations on a simulated TPM: keys are made, sign, retire and are destroyed, and its few slots do not run out."""
import json

import jwt

from fleet import Time
from rig import EachCase, PATIENCE, TpmPlace, main, profile, ring, until

ROTATIONS = 50
EVERY, AHEAD, TTL, REFRESH = 600, 240, 60, 10


class Tpm(EachCase):
    make_place, module_leaks = TpmPlace, True
    rings = ring("web", "ES256", "create: yes", f"rotate_every: {EVERY}s", f"publish_ahead: {AHEAD}s", f"max_ttl: {TTL}s",
                 "skew: 5s", "jwks_max_age: 60s", f"refresh: {REFRESH}s", "destroy_after: 0s")
    profiles = profile("web", "web", "shop", f"ttl: {TTL}s")

    def setUp(self):
        super().setUp()
        self.time = Time(self.place)
        self.addCleanup(self.time.close)

    def keys(self, state):
        return [k for k in json.loads(self.daemon.cli("key", "list", "--json")[0]) if k["state"] == state]

    def come(self, what, holds):
        return until(what, lambda: holds() or self.time.pass_by(REFRESH / 4), 2 * PATIENCE)

    def token(self):
        """Signed, once a listing is no older than the promises allow: time comes in leaps here."""
        return until("it signs", lambda: self.daemon.cli("sign", "--profile", "web", want=None)[0].decode().strip(), 2 * PATIENCE)

    def test_fifty_rotations(self):
        self.daemon.start()
        seen, before = [jwt.get_unverified_header(self.token())["kid"]], None
        for n in range(ROTATIONS):
            with self.subTest(rotation=n):
                [key] = self.come("the next key", lambda: self.keys("next") or self.leap())
                self.assertNotIn(key["kid"], seen)
                self.time.pass_until(key["activates_at"] - 2)
                before = self.token()
                self.time.pass_until(key["activates_at"] + 1)
                token = self.token()
                self.assertEqual(jwt.get_unverified_header(token)["kid"], key["kid"])
                for t in (before, token):
                    self.daemon.cli("verify", t)
                seen.append(key["kid"])
                self.come("what nobody needs is destroyed", lambda: len(self.keys("expired")) <= 1)
        self.come("they are destroyed behind it", lambda: not self.keys("expired"))
        self.assertEqual(len(seen), ROTATIONS + 1)
        said = self.daemon.said()
        self.assertGreaterEqual(said.count("is destroyed"), ROTATIONS - 2)
        self.assertNotIn("not done", said)
        self.daemon.stop()

    def leap(self):
        """To when the next key is due, once."""
        plan = json.loads(self.daemon.cli("ring", "plan", "web", "--json")[0])
        self.time.pass_until(next((k["published_at"] for k in plan["keys"] if k["to_come"]), 0))


if __name__ == "__main__":
    main()
