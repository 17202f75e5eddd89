"""Keys that rotate themselves on one daemon: what falls due is done when it is, what an operator asks for is done at once,
and what goes wrong on the way is said and costs no living token its key. Time passes as the tests say."""
import json
import random
import shutil
import struct
import subprocess
import time

import jwt

import faults
import wire
from fleet import Asking, Fleet, Time
from rig import HMAC_SECRET, PIN, Daemon, EachCase, Place, main, profile, ring, run, until

MINUTE, HOUR, DAY = 60, 3600, 86400
EVERY, AHEAD, TTL, SKEW, MAX_AGE, REFRESH, AFTER = HOUR, 20 * MINUTE, 10 * MINUTE, MINUTE, 5 * MINUTE, 10, 5 * MINUTE
TIMES = [f"rotate_every: {EVERY}s", f"publish_ahead: {AHEAD}s", f"max_ttl: {TTL}s", f"skew: {SKEW}s",
         f"jwks_max_age: {MAX_AGE}s", f"refresh: {REFRESH}s", f"destroy_after: {AFTER}s"]
STEP = 40                    # seconds, of a passing hour: less than any of these, but for a refresh
CKA_CLASS, CKA_VALUE, CKA_LOCAL, CKA_EC_PARAMS, CKO_PRIVATE_KEY = 0x0, 0x11, 0x163, 0x180, 3
WORLD = 300                  # patience, in seconds of the tests' time


def softhsm_unfinished(path):
    """Makes of a private half what SoftHSM leaves where it is killed before its last write: its file is the attributes
    in a row, each with its type and its kind; 1 is a boolean, 2 a number, 3 bytes."""
    data, at, attributes = path.read_bytes(), 8, {}
    while at < len(data):
        of, kind = struct.unpack_from(">QQ", data, at)
        n = {1: 1, 2: 8}.get(kind) or 8 + struct.unpack_from(">Q", data, at + 16)[0]
        attributes[of] = (kind, data[at + 16:at + 16 + n])
        at += 16 + n
    if attributes[CKA_CLASS][1] != struct.pack(">Q", CKO_PRIVATE_KEY):
        return
    attributes.update({CKA_LOCAL: (1, b"\0"), CKA_VALUE: (3, bytes(8)), CKA_EC_PARAMS: (3, bytes(8))})
    path.write_bytes(data[:8] + b"".join(struct.pack(">QQ", of, kind) + value for of, (kind, value) in attributes.items()))


class Rotating(EachCase):
    settings = ["create: yes", *TIMES]
    alg = "ES256"
    longest = TTL

    def setUp(self):
        super().setUp()
        self.time = Time(self.place)
        self.addCleanup(self.time.close)
        self.daemon = self.new_daemon(self.place)
        self.addCleanup(self.daemon.kill)

    def new_daemon(self, place):
        return Daemon(place, *self.conf(), module_leaks=self.module_leaks)

    def conf(self, *settings, alg=None):
        return (ring("web", alg or self.alg, *(settings or self.settings)),
                profile("web", "web", "shop", f"ttl: {TTL}s", f"max_ttl: {self.longest}s", "leeway: 0s"))

    def reload(self, *settings, **kw):
        self.daemon.write(*self.conf(*settings, **kw))
        self.daemon.cli("reload")

    def tearDown(self):
        self.daemon.stop()

    # --- what it says

    def json(self, *args, **kw):
        return json.loads(self.daemon.cli(*args, "--json", **kw)[0])

    def keys(self, *states):
        return [k for k in self.json("key", "list") if not states or k["state"] in states]

    def states(self):
        return {k["kid"]: k["state"] for k in self.keys()}

    def active(self):
        [key] = self.keys("active")
        return key["kid"]

    def published(self):
        return [k["kid"] for k in self.daemon.jwks()["keys"]]

    def notices(self):
        return "\n".join(self.json("status", "--admin", want=None)["notices"])

    def ring(self):
        return next(r for r in self.json("ring", "list") if r["name"] == "web")

    def token(self):
        return self.daemon.token("web", "--subject", "s")

    def signs_with(self, token):
        return jwt.get_unverified_header(token)["kid"]

    def signs(self):
        """With which key; empty: with none."""
        token = self.daemon.cli("sign", "--profile", "web", "--subject", "s", want=None)[0]
        return token and self.signs_with(token.decode().strip())

    def refused(self, reason, *args):
        _, err = self.daemon.cli(*args, want=1)
        self.assertIn(reason, err)
        return err

    # --- what passes

    def come(self, what, holds):
        """Lets time pass, a refresh at a time, until that holds."""
        return until(what, lambda: holds() or self.time.pass_by(REFRESH / 2))

    def pass_by(self, seconds):
        """All at once, as for a machine that slept; and the token has been listed since."""
        self.time.pass_by(seconds)
        until("it is listed anew", lambda: self.daemon.cli("jwks", want=None)[0])

    def pass_until(self, at):
        self.pass_by(max(at - self.time.now(), 0))

    def an_hour(self, look):
        """Looks at it in every few seconds of a rotation."""
        end = self.time.now() + EVERY
        while self.time.now() < end:
            self.time.pass_by(STEP)
            look()

    def next_key(self):
        """A next key, made when it was due."""
        plan = self.json("ring", "plan", "web")
        due = next((k["published_at"] for k in plan["keys"] if k["to_come"]), None)
        self.pass_until(due)
        [key] = self.come("the next key", lambda: self.keys("next"))
        return key


class Turns(Rotating):
    def test_a_ring_turns_by_itself_and_sweeps_behind_itself(self):
        self.daemon.start()
        first = self.active()
        seen, living, versions = [first], [], {}
        published_since = {first: self.time.now() - EVERY}

        def look():
            keys, now = self.json("jwks"), self.time.now()
            kids = [k["kid"] for k in keys["jwks"]["keys"]]
            versions.setdefault(keys["version"], set()).add(tuple(kids))
            for kid in kids:
                published_since.setdefault(kid, now)
            token = self.token()
            kid = self.signs_with(token)
            if kid != seen[-1]:
                seen.append(kid)
                self.assertGreaterEqual(now - published_since[kid], MAX_AGE + REFRESH + SKEW, "verifiers could not know it")
            living.append((jwt.decode(token, options={"verify_signature": False})["exp"], kid))
            living[:] = [(exp, k) for exp, k in living if exp > now]
            self.assertLessEqual({k for _, k in living}, set(kids), "a living token without its published key")
            self.assertLessEqual(len(self.keys()), 4)
        self.an_hour(look)
        self.an_hour(look)
        self.an_hour(look)
        self.assertGreaterEqual(len(seen), 3)
        self.assertEqual(len(seen), len(set(seen)), "a key came back")
        self.assertTrue(all(len(sets) == 1 for sets in versions.values()), "a version of two sets")
        self.come("the first is gone", lambda: first not in self.states())
        said = self.daemon.said()
        self.assertIn(f"key '{first}' is destroyed", said)

    def test_the_key_set_says_when_it_may_change(self):
        self.daemon.start()
        for _ in range(3):
            keys = self.json("jwks")
            plan = self.json("ring", "plan", "web")
            due = [k["published_at"] for k in plan["keys"] if k["to_come"]] + [k["ends_at"] for k in plan["keys"] if k["ends_at"]]
            self.assertAlmostEqual(keys["changes_in_s"], min(at for at in due if at > plan["now"]) - plan["now"], delta=2)
            self.pass_by(keys["changes_in_s"] - 5)
            self.assertEqual(self.json("jwks")["version"], keys["version"])
            self.come("it changes", lambda: self.json("jwks")["version"] != keys["version"])

    def test_a_restart_makes_no_key_and_a_rotation_that_was_slept_through_is_made_up_for(self):
        self.daemon.start()
        first = self.active()
        self.daemon.stop()
        self.daemon.start()
        self.assertEqual(self.states(), {first: "active"})
        self.daemon.stop()
        self.time.pass_by(2 * EVERY)
        self.daemon.start()
        self.assertEqual(self.signs_with(self.token()), first)
        [late] = self.come("the next key", lambda: self.keys("next"))
        self.assertGreaterEqual(late["activates_at"], self.time.now() + AHEAD - 3 * REFRESH)
        self.assertEqual(self.signs_with(self.token()), first)
        self.pass_until(late["activates_at"] + 1)
        self.assertEqual(self.signs_with(self.token()), late["kid"])


class Asked(Rotating):
    def test_a_rotation_at_the_earliest_safe_moment(self):
        self.daemon.start()
        first = self.active()
        dry = self.json("ring", "rotate", "web", "--dry-run")
        self.assertEqual((dry["made"], dry["key"], self.states()), (True, None, {first: "active"}))
        now = self.time.now()
        got = self.json("ring", "rotate", "web")
        self.assertEqual(got["key"]["state"], "next")
        self.assertAlmostEqual(got["activates_at"], now + AHEAD, delta=REFRESH + 2)
        self.assertLessEqual(got["known_at"], got["activates_at"])
        again = self.json("ring", "rotate", "web")
        self.assertEqual((again["made"], again["activates_at"], again["before"]), (False, got["activates_at"], got["activates_at"]))
        self.pass_until(got["activates_at"] + 1)
        self.assertEqual(self.signs_with(self.token()), got["key"]["kid"])

    def test_a_next_key_is_brought_forward(self):
        self.settings = ["create: yes", *TIMES, "standby: yes"]
        self.daemon.write(*self.conf())
        self.daemon.start()
        [standby] = self.come("the standby", lambda: self.keys("next"))
        self.assertGreater(standby["activates_at"], self.time.now() + EVERY - 2 * MINUTE)
        got = self.json("ring", "rotate", "web")
        self.assertEqual((got["key"]["kid"], got["made"], got["before"]), (standby["kid"], False, standby["activates_at"]))
        self.assertLess(got["activates_at"], self.time.now() + AHEAD + 2 * REFRESH)
        self.assertEqual([k["activates_at"] for k in self.keys("next")], [got["activates_at"]])
        self.daemon.stop()
        self.daemon.start()                                    # the fact is on the token
        self.assertEqual([k["activates_at"] for k in self.keys("next")], [got["activates_at"]])
        self.pass_until(got["activates_at"] + 1)
        self.assertEqual(self.signs_with(self.token()), standby["kid"])
        self.come("another standby", lambda: [k for k in self.keys("next") if k["kid"] != standby["kid"]])

    def test_a_rotation_now_says_what_verifiers_will_see_and_asks(self):
        self.daemon.start()
        first, before = self.active(), self.token()
        self.assertIn("--yes", self.daemon.cli("ring", "rotate", "web", "--now", want=2)[1])
        self.assertEqual(self.states(), {first: "active"})
        out, err = self.daemon.cli("ring", "rotate", "web", "--now", "--yes")
        self.assertIn("reject", out.decode())
        self.assertEqual(err, "")
        # The key before may have begun in this very second: then it is the next.
        second = until("another signs", lambda: (now := self.active()) != first and now)
        self.assertEqual(self.signs_with(self.token()), second)
        self.assertEqual(set(self.published()), {first, second})
        self.daemon.cli("verify", before)
        plan = self.daemon.cli("ring", "plan", "web")[0].decode()
        self.assertRegex(plan, f"{second} signs; {first} retires.*\n    not known to be safe: ")
        self.assertIn(f"    retired, and published to its end: {first}\n", plan)

    def test_a_rotation_is_cancelled_by_destroying_the_next_key(self):
        self.daemon.start()
        first = self.active()
        got = self.json("ring", "rotate", "web")
        self.assertEqual(len(self.published()), 2)
        out, _ = self.daemon.cli("key", "destroy", got["key"]["kid"])
        self.assertIn("cancelled", out.decode())
        self.assertEqual(self.states(), {first: "active"})
        self.pass_until(got["activates_at"] + 2)
        self.assertEqual(self.signs_with(self.token()), first)
        self.next_key()                                        # when it is the ring's turn

    def test_what_living_tokens_need_is_destroyed_only_by_who_knows_it(self):
        self.daemon.start()
        first, token = self.active(), self.token()
        err = self.refused("KEY_NEEDED", "key", "destroy", first)
        self.assertIn("--i-know", err)
        self.assertIn(time.strftime("%Y-%m-%dT", time.gmtime(self.time.now() + TTL + SKEW)), err)
        key = self.next_key()
        self.pass_until(key["activates_at"] - REFRESH)
        self.refused("KEY_NEEDED", "key", "destroy", key["kid"])      # another daemon may sign with it already
        self.pass_until(key["activates_at"] + 1)
        self.token()
        self.refused("KEY_NEEDED", "key", "destroy", first)           # retired, not yet at its end
        self.daemon.cli("key", "destroy", first, "--i-know")
        self.assertEqual(self.states(), {key["kid"]: "active"})
        self.daemon.cli("verify", token, want=1)
        self.refused("UNKNOWN_KEY", "key", "destroy", first)
        self.refused("UNKNOWN_KEY", "key", "destroy", "nobody")

    def test_an_active_key_destroyed_by_who_knows_it_is_followed_by_none_of_before(self):
        self.daemon.start()
        first, key = self.active(), self.next_key()
        self.pass_until(key["activates_at"] + 1)
        self.daemon.cli("key", "destroy", key["kid"], "--i-know")
        for restart in (False, True):
            if restart:
                self.daemon.stop()
                self.daemon.start()
            kid = self.signs_with(self.come("another signs", lambda: self.daemon.cli("sign", "--profile", "web", want=None)[0].decode().strip()))
            self.assertNotIn(kid, (first, key["kid"]))
            self.assertIn(f"{kid} signs; {key['kid']} is revoked\n    not known to be safe: ",
                          self.daemon.cli("ring", "plan", "web")[0].decode())

    def test_a_change_that_came_to_nothing_is_not_made_later(self):
        self.control = faults.wrap(self.place)
        self.addCleanup(self.control.close)
        self.daemon.write(*self.conf())
        self.daemon.start()
        key = self.next_key()
        self.time.pass_by(REFRESH)
        self.control.set("C_FindObjectsInit", "return", value=5)
        for _ in range(2):
            with wire.Connection(self.daemon.admin) as c:
                c.send(wire.request(wire.DESTROY_KEY, wire.field(1, key["kid"]), deadline_ms=1500))
                self.assertIn(wire.ERROR, c.reply())
        self.time.pass_until(key["activates_at"] + 1)
        self.control.set("C_FindObjectsInit", "none")
        until("it signs", lambda: self.daemon.cli("sign", "--profile", "web", want=None)[0])
        self.assertEqual(self.signs_with(self.token()), key["kid"])

    def test_what_was_asked_for_is_judged_again_when_it_begins(self):
        self.control = faults.wrap(self.place)
        self.addCleanup(self.control.close)
        self.daemon.write(*(a + b for a, b in zip(self.conf(), (ring("two", "ES256", *TIMES), profile("two", "two", "bank")))))
        self.daemon.start()
        key = self.next_key()
        self.assertGreater(key["activates_at"] - self.time.now(), AHEAD / 2)
        self.daemon.cli("key", "generate", "two")                     # all that was changed is listed
        self.control.set("C_FindObjectsInit", "return", value=5)      # after a change the next waits for a listing
        with wire.Connection(self.daemon.admin) as other, wire.Connection(self.daemon.admin) as c:
            other.send(wire.request(wire.GENERATE_KEY, wire.field(1, "two"), deadline_ms=HOUR * 1000))
            until("another change came to nothing", lambda: "ring 'two': not done" in self.daemon.said())
            c.send(wire.request(wire.DESTROY_KEY, wire.field(1, key["kid"]), deadline_ms=HOUR * 1000))
            until("it is asked for", lambda: f"destroys key '{key['kid']}'" in self.daemon.said())
            self.time.pass_until(key["activates_at"] + 1)
            self.control.set("C_FindObjectsInit", "none")
            reply = c.reply()
            self.assertIn(wire.ERROR, reply, "it was destroyed")
            self.assertEqual(dict(wire.fields(reply[wire.ERROR]))[2], b"KEY_NEEDED")
        self.assertEqual(self.signs_with(self.token()), key["kid"])

    def test_a_key_that_could_not_be_tried_does_not_sign_at_once(self):
        self.control = faults.wrap(self.place)
        self.addCleanup(self.control.close)
        self.daemon.write(*self.conf())
        self.daemon.start()
        first = self.active()
        while self.control["C_Sign"]["calls"] % 2:
            self.token()
        self.control.set("C_Sign", "flip", every=2)      # the signer's own trial is right, the broker's is not
        self.refused("could not be tried yet", "ring", "rotate", "web", "--now", "--yes")
        self.control.set("C_Sign", "none")
        self.assertEqual(self.active(), first)
        self.assertEqual(self.signs_with(self.token()), first)


class Revoked(Rotating):
    def test_without_a_next_key_one_is_made_that_signs_at_once(self):
        self.daemon.start()
        first, token = self.active(), self.token()
        report = self.json("key", "revoke", first, "--compromised")
        self.assertEqual((report["key"]["kid"], report["key"]["signatures"], report["promoted"]), (first, 1, False))
        self.assertEqual(report["key"]["uses"], {"web": 1})
        self.assertTrue(report["recorded"] and report["destroyed"])
        self.assertAlmostEqual(report["tokens_until"], self.time.now() + TTL + SKEW, delta=5)
        self.assertEqual(self.signs_with(self.token()), report["successor"]["kid"])
        self.assertNotIn(first, self.published())
        self.daemon.cli("verify", token, want=1)
        self.refused("", "key", "revoke", "nobody", "--compromised")
        self.daemon.cli("key", "revoke", first, want=2)
        again = self.json("key", "revoke", first, "--compromised")
        self.assertEqual({at: again["key"][at] for at in ("kid", "ring", "state", "activates_at")},
                         {"kid": first, "ring": "web", "state": "revoked", "activates_at": report["key"]["activates_at"]})
        self.assertEqual((again["tokens_until"], again["destroyed"], again["recorded"]), (0, True, True))
        self.assertEqual(self.signs_with(self.token()), report["successor"]["kid"])

    def test_of_one_past_its_end_the_report_says_when_its_last_token_ended(self):
        self.daemon.start()
        first, _ = self.active(), self.token()
        key = self.next_key()
        self.pass_until(key["activates_at"] + TTL + SKEW + 1)
        [expired] = self.come("its end", lambda: self.keys("expired"))
        report = self.json("key", "revoke", first, "--compromised")
        self.assertEqual((report["key"]["state"], report["key"]["signatures"]), ("expired", 1))
        self.assertEqual(report["tokens_until"], expired["ends_at"])

    def test_a_next_key_takes_over_and_the_ring_goes_on(self):
        self.settings = ["create: yes", *TIMES, "standby: yes"]
        self.daemon.write(*self.conf())
        self.daemon.start()
        first = self.active()
        [standby] = self.come("the standby", lambda: self.keys("next"))
        self.pass_by(AHEAD)
        report = self.json("key", "revoke", first, "--compromised")
        self.assertEqual((report["successor"]["kid"], report["promoted"], report["destroyed"]), (standby["kid"], True, True))
        self.assertLessEqual(report["known_at"], self.time.now())
        self.come("another standby", lambda: [k for k in self.keys("next") if k["kid"] != standby["kid"]])
        self.daemon.stop()
        self.daemon.start()
        self.assertEqual(self.signs_with(self.token()), standby["kid"])

    def test_a_next_and_a_retired_key_can_be_revoked_too(self):
        self.daemon.start()
        first, key = self.active(), self.next_key()
        self.json("key", "revoke", key["kid"], "--compromised")
        self.assertEqual(self.active(), first)
        self.assertNotIn(key["kid"], self.published())
        other = self.come("another next key", lambda: [k for k in self.keys("next") if k["kid"] != key["kid"]])[0]
        self.pass_until(max(key["activates_at"], other["activates_at"] - 1))
        self.token()                                           # its place is held by nobody
        self.pass_until(other["activates_at"] + 1)
        self.assertEqual(self.signs_with(self.token()), other["kid"])
        self.json("key", "revoke", first, "--compromised")
        self.assertEqual(self.published(), [other["kid"]])

    def test_while_another_takes_over_callers_wait_and_none_is_refused(self):
        for standby in (True, False):
            with self.subTest(standby=standby):
                self.take_over("standby: yes" if standby else "standby: no")

    def take_over(self, standby):
        """Two daemons on one token; on the second the revoked fact is seen before what follows it."""
        self.fleet = Fleet(2, *self.conf(*TIMES, standby), "  generate_timeout: 30s\n")
        self.addCleanup(self.fleet.close)
        self.fleet.begin("web")
        one, other = self.fleet.daemons

        def keys(daemon, state):
            return [k["kid"] for k in json.loads(daemon.cli("key", "list", "--json")[0]) if k["state"] == state]
        n_next = int("yes" in standby)
        until("its standby is known to both", lambda: [len(keys(d, "next")) for d in (one, other)] == [n_next] * 2 or
              self.fleet.time.pass_by(1))
        [bad] = keys(one, "active")
        for function in ("C_CreateObject", "C_GenerateKeyPair"):
            self.fleet.control.set(function, "delay", value=300)
        with Asking(self.fleet) as asking:
            asking.given_up.add(bad)
            until("both sign", lambda: {t.daemon for t in asking.tokens} == {one.name, other.name})
            one.cli("key", "revoke", "--compromised", "--", bad)
            until("both sign with another", lambda: {t.daemon for t in asking.tokens if t.kid != bad} ==
                  {one.name, other.name} or self.fleet.time.pass_by(0.2))
        # A key that signs at once is verified by the others when they have listed it.
        self.assertEqual([w for w in self.fleet.wrong if "yes" in standby or "refuses" not in w], [])
        self.fleet.stop()

    def test_a_restored_backup_does_not_bring_it_back(self):
        self.daemon.start()
        first, token = self.active(), self.token()
        [store] = self.place.tokens.iterdir()
        backup = {p.name: p.read_bytes() for p in store.iterdir() if p.name.endswith(".object")}
        was = self.keys("active")[0]
        second = self.json("key", "revoke", first, "--compromised")["successor"]["kid"]
        fact = next(f"signet:web:revoked:{first}:{k['activates_at']}" for k in [was])
        for restart in (False, True):
            if restart:
                self.daemon.stop()
            for name, content in backup.items():
                (store / name).write_bytes(content)
            if restart:
                self.daemon.start()
            self.come("it is listed, and destroyed again", lambda: first not in self.states())
            self.assertEqual(self.signs_with(self.token()), second)
            self.assertEqual(self.published(), [second])
            self.daemon.cli("verify", token, want=1)
        # The whole token as it was: this process knows better, and says so there again.
        run(["pkcs11-tool", "--module", self.place.module, "--token-label", "signet", "--login", "--pin", PIN, "--delete-object",
             "--type", "data", "--label", fact], env=self.place.env)
        for name, content in backup.items():
            (store / name).write_bytes(content)
        self.come("it is known all the same", lambda: "it stays so" in self.daemon.said())
        self.come("it is said again", lambda: self.daemon.said().count("is recorded as revoked") > 1)
        self.assertEqual(self.signs_with(self.token()), second)


class Lost(Rotating):
    SELDOM = ["create: yes", *[t for t in TIMES if "refresh" not in t], "refresh: 2m"]       # lists once a minute

    def setUp(self):
        super().setUp()
        self.softhsm = self.place.module         # also where that of the daemon does wrong

    def destroy(self, label):
        for kind in ("privkey", "pubkey"):
            self.tool("--delete-object", "--type", kind, "--label", label)

    def test_the_active_key_destroyed_under_the_daemon(self):
        self.daemon.start()
        before, key = self.active(), self.next_key()
        self.pass_until(key["activates_at"] + 1)
        self.token()
        self.destroy(key["label"])
        err = self.come("it is missed", lambda: self.daemon.cli("sign", "--profile", "web", want=None)[1])
        self.assertIn("NO_ACTIVE_KEY", err)
        self.assertIn(key["kid"], err)
        self.assertIn("signet key generate", err)
        self.assertNotIn(before, [k["kid"] for k in self.keys("active")])

    def lose_private(self, label):
        self.tool("--delete-object", "--type", "privkey", "--label", label)

    def test_the_active_key_loses_its_private_half_and_its_tokens_are_good_still(self):
        self.daemon.start()
        token, [key] = self.token(), self.keys("active")
        self.lose_private(key["label"])
        said = lambda: self.daemon.cli("sign", "--profile", "web", want=None)[1]
        self.come("it is missed", lambda: "its private half is not there" in said())
        self.assertIn("signet ring rotate --now", said())
        for _ in range(5):
            self.time.pass_by(REFRESH)
            self.daemon.cli("verify", token)
            self.assertEqual(self.published(), [key["kid"]])         # and none is made that nobody knows
        self.daemon.stop()
        self.daemon.start()
        self.daemon.cli("verify", token)
        self.daemon.cli("ring", "rotate", "web", "--now", "--yes")
        self.come("it signs again", lambda: self.daemon.cli("sign", "--profile", "web", want=None)[0])
        self.daemon.cli("verify", token)

    def test_a_standby_takes_over_from_a_key_that_lost_its_private_half(self):
        self.daemon.write(*self.conf(*self.settings, "standby: yes"))
        self.daemon.start()
        token, [key] = self.token(), self.keys("active")
        [standby] = self.come("the standby", lambda: self.keys("next"))
        self.lose_private(key["label"])
        self.come("it takes over", lambda: self.signs() == standby["kid"])
        self.daemon.cli("verify", token)

    def test_without_its_active_key_a_ring_makes_none_by_itself_that_no_verifier_knows(self):
        self.daemon.start()
        [key] = self.keys("active")
        self.destroy(key["label"])
        self.come("it is missed", lambda: not self.signs())
        plan = self.daemon.cli("ring", "plan", "web")[0].decode()
        self.assertIn("it is gone from the token", plan)
        self.assertIn("nothing signs meanwhile", plan)
        made = self.next_key()
        self.assertGreaterEqual(made["activates_at"] - self.time.now(), AHEAD - 2 * REFRESH)

    def test_one_listing_without_it_loses_no_key(self):
        self.settings = self.SELDOM
        self.daemon.write(*self.conf())
        self.daemon.start()
        first = self.active()
        [store] = self.place.tokens.iterdir()
        files = {p: p.read_bytes() for p in store.iterdir() if p.name.endswith(".object") and p.name != "token.object"}
        for path in files:
            path.unlink()
        self.listed("first")
        for path, content in files.items():
            path.write_bytes(content)
        self.listed("second")
        self.assertNotIn("is gone from the token", self.daemon.said())
        self.assertEqual(self.signs_with(self.token()), first)

    def witness(self, name):
        """What a listing shows that was begun after it, with or without a login."""
        one, label = self.place.dir / "one", f"signet:web:revoked:{name}:1"
        one.write_bytes(b"1")
        run(["pkcs11-tool", "--module", self.softhsm, "--token-label", "signet", "--write-object", one, "--type", "data",
             "--label", label], env=self.place.env)
        return label

    def labels(self):
        return [k["label"] for k in self.keys()]

    def listed(self, name):
        """One listing after what was done, and, until time is let pass again, no more."""
        label = self.witness(name)
        self.time.pass_by(MINUTE)
        until("it is listed", lambda: label in self.labels())

    def test_a_listing_in_which_the_login_is_lost_does_not_count(self):
        self.control = faults.wrap(self.place)
        self.addCleanup(self.control.close)
        self.settings = self.SELDOM
        self.daemon.write(*self.conf())
        self.daemon.start()
        self.tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "stranger", "--id", "0102", "--private", "--sensitive",
                  "--usage-sign")
        self.listed("before")
        self.assertIn("stranger", self.labels())
        label = self.witness("after")
        self.control.set("C_FindObjectsInit", "logout", left=1)
        self.time.pass_by(MINUTE)
        listed = until("it is listed", lambda: label in (labels := self.labels()) and labels)
        self.assertEqual(self.control["C_FindObjectsInit"]["done"], 1)
        self.assertIn("stranger", listed)

    def test_with_a_standby_it_takes_over(self):
        self.settings = ["create: yes", *TIMES, "standby: yes"]
        self.daemon.write(*self.conf())
        self.daemon.start()
        first = self.keys("active")[0]
        [standby] = self.come("the standby", lambda: self.keys("next"))
        self.destroy(first["label"])
        self.come("it takes over", lambda: self.active() == standby["kid"] if self.keys("active") else False)
        self.assertEqual(self.signs_with(self.token()), standby["kid"])

    def test_a_half_made_key_is_listed_and_swept(self):
        self.daemon.start()
        label = f"signet:web:ES256:{int(self.time.now()) + HOUR}:{TTL}:{SKEW}:{MAX_AGE}"
        self.tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", label, "--id", "0102", "--private",
                  "--sensitive", "--usage-sign")
        self.tool("--delete-object", "--type", "pubkey", "--label", label)
        self.come("it is seen", lambda: self.keys("orphan"))
        self.assertIn("by halves", self.notices())
        self.assertEqual(len(self.published()), 1)
        self.come("it is swept", lambda: not self.keys("orphan"))
        self.token()

    def tool(self, *args):
        return run(["pkcs11-tool", "--module", self.softhsm, "--token-label", "signet", "--login", "--pin", PIN, *args],
                   env=self.place.env)

    def label(self):
        return f"signet:web:ES256:{int(self.time.now()) + HOUR}:{TTL}:{SKEW}:{MAX_AGE}"

    def test_half_a_key_of_which_the_token_does_not_say_yet_that_it_made_it_is_swept_too(self):
        self.daemon.start()
        self.daemon.stop()
        before = set(self.place.tokens.rglob("*.object"))
        self.tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", self.label(), "--id", "0102", "--private",
                  "--sensitive", "--usage-sign")
        for path in set(self.place.tokens.rglob("*.object")) - before:
            softhsm_unfinished(path)
        self.daemon.start()
        [half] = self.keys("orphan")
        self.assertIn("made by halves", self.notices())
        self.assertFalse(half["local"])
        self.come("it is swept", lambda: not self.keys("orphan"))
        self.token()

    def test_what_somebody_brought_stays_though_it_cannot_sign(self):
        pem, public = str(self.place.dir / "key.pem"), str(self.place.dir / "public.pem")
        run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", pem])
        run(["openssl", "pkey", "-in", pem, "-pubout", "-out", public])
        self.daemon.start()
        self.tool("--write-object", pem, "--type", "privkey", "--label", self.label(), "--id", "0102", "--private",
                  "--sensitive", "--usage-sign")
        self.come("it is seen", lambda: self.keys("orphan"))
        self.assertIn("its public half is not there", self.notices())
        self.assertIn("not destroyed by itself", self.notices())
        for _ in range(5):
            self.pass_by(MINUTE)         # making a key takes one at most
        [stays] = self.keys("orphan")
        self.tool("--write-object", public, "--type", "pubkey", "--label", stays["label"], "--id", "0102", "--private",
                  "--usage-sign")
        self.come("it is whole, and comes next", lambda: self.keys("next"))

    def gone(self, kid):
        return kid not in self.states()

    def test_a_token_that_signs_with_no_key_for_now_costs_none(self):
        self.control = faults.wrap(self.place)
        self.addCleanup(self.control.close)
        self.settings = ["create: yes", *TIMES, "standby: yes"]
        self.daemon.write(*self.conf())
        self.daemon.start()
        [standby] = self.come("the standby", lambda: self.keys("next"))
        self.daemon.stop()
        self.daemon.write(*self.conf(*self.settings[1:]))                    # which begins no ring anew
        self.control.set("C_Sign", "return", value=0x5)                      # CKR_GENERAL_ERROR, as of a TPM that is locked
        self.daemon.start()
        failed = f"key '{standby['kid']}' of ring 'web' cannot prove"
        self.come("it is tried for long", lambda: self.daemon.said().count(failed) > 40 or self.gone(standby["kid"]))
        self.assertIn(standby["kid"], [k["kid"] for k in self.keys("orphan")])
        self.control.set("C_Sign", "none")
        self.come("it signs again", lambda: self.keys("next"))
        self.token()

    def test_a_token_that_is_gone_at_the_start_gives_no_empty_set(self):
        self.place.tokens.rename(self.place.dir / "away")
        self.daemon.start()
        with wire.Connection(self.daemon.socket) as c:
            c.send(wire.request(wire.GET_KEYS))
            error = dict(wire.fields(c.reply()[wire.ERROR]))
            self.assertIn(error[1], (wire.UNAVAILABLE, wire.INTERNAL), error)
        (self.place.dir / "away").rename(self.place.tokens)
        until("it is back", lambda: self.daemon.cli("sign", "--profile", "web", want=None)[0])


class Strangers(Rotating):
    def test_what_is_named_like_a_fact_and_was_made_without_a_pin_is_listed_and_ignored(self):
        self.daemon.start()
        first = self.active()
        fact = f"signet:web:revoked:{first}:{self.keys()[0]['activates_at']}"
        empty = self.place.dir / "empty"
        empty.write_bytes(b"1")
        run(["pkcs11-tool", "--module", self.place.module, "--token-label", "signet", "--write-object", empty, "--type", "data",
             "--label", fact], env=self.place.env)
        self.come("it is seen", lambda: fact in self.daemon.cli("key", "list")[0].decode())
        self.assertIn("are ignored", self.notices())
        self.assertEqual(self.signs_with(self.token()), first)


class Leftovers(Rotating):
    def test_what_a_start_that_was_cut_off_left_of_its_trial_goes_when_nobody_can_be_at_it(self):
        tool = ["pkcs11-tool", "--module", self.place.module, "--token-label", "signet"]
        login, empty = ["--login", "--pin", PIN], str(self.place.dir / "one")
        (self.place.dir / "one").write_bytes(b"1")
        for label, private in (("signet:trial:0123456789abcdef", ["--private", *login]), ("signet:trial:stranger", []),
                               ("trial", ["--private", *login])):
            run([*tool, "--write-object", empty, "--type", "data", "--label", label, *private], env=self.place.env)
        self.daemon.start()
        self.token()

        def left():
            said = run([*tool, "-O", "--type", "data", *login], env=self.place.env).decode()
            return sorted(line.split("'")[1] for line in said.splitlines() if "label:" in line)
        self.pass_by(30)                 # half of what a signer may take
        self.assertEqual(left(), ["signet:trial:0123456789abcdef", "signet:trial:stranger", "trial"])
        self.come("it is removed", lambda: "had left on the token is removed" in self.daemon.said())
        self.assertEqual(left(), ["signet:trial:stranger", "trial"])


class Clocks(Rotating):
    def test_a_clock_that_is_set_is_said_and_reckoned_by(self):
        self.daemon.start()
        first = self.active()
        for by, word in ((3 * DAY, "forward"), (-3 * DAY, "back"), (-2 * DAY, "back")):
            self.time.move(self.time.moved() + by)
            until("it is noticed", lambda: f"the clock was set {word} by " in self.notices())
            until("it is said", lambda: f"set {word}" in self.daemon.said())
            if self.time.moved() >= 0:
                self.assertEqual(self.signs_with(self.token()), first)
        self.assertIn("look at the clock", self.refused("NO_ACTIVE_KEY", "sign", "--profile", "web"))   # before its first second
        self.assertIn("NO_ACTIVE_KEY", self.daemon.cli("status", want=None)[0].decode())
        self.time.move(0)
        until("it signs again by itself", lambda: self.daemon.cli("sign", "--profile", "web", want=None)[0])
        self.assertIn(first, self.states(), "a wrong clock destroyed it")

    def set_back(self, seconds):
        self.time.move(-seconds)
        until("it is noticed", lambda: "the clock was set back" in self.notices())

    def test_set_back_a_key_that_signed_is_still_needed(self):
        self.daemon.start()
        key = self.next_key()
        self.pass_until(key["activates_at"] + 1)
        token = self.token()
        self.set_back(10 * MINUTE)
        self.refused("KEY_NEEDED", "key", "destroy", key["kid"])
        self.time.move(0)
        self.come("it is good still", lambda: self.daemon.cli("verify", token, want=None)[0])

    def test_set_back_a_key_that_signed_and_is_revoked_holds_its_place(self):
        self.daemon.start()
        first, key = self.active(), self.next_key()
        self.pass_until(key["activates_at"] + 1)
        self.assertEqual(self.signs_with(self.token()), key["kid"])
        self.set_back(10 * MINUTE)
        report = self.json("key", "revoke", key["kid"], "--compromised")
        self.assertGreater(report["tokens_until"], self.time.now())
        self.time.move(0)
        self.assertNotIn(self.come("another signs", self.signs), (first, key["kid"]))

    def test_a_clock_that_is_ahead_for_a_moment_destroys_nothing(self):
        self.daemon.write(*self.conf(*self.settings, "standby: yes", "destroy_retired_private: yes"))
        self.daemon.start()
        first = self.active()
        key = self.come("the standby", lambda: self.keys("next"))[0]
        self.pass_until(key["activates_at"] + 1)
        self.token()
        self.come("another standby", lambda: self.keys("next"))
        before = self.states()
        for ahead in (25 * MINUTE, 70 * MINUTE, 3 * HOUR):
            self.time.move(ahead)
            until("it is noticed", lambda: f"set forward" in self.notices())
            for _ in range(8):
                self.time.pass_by(REFRESH)
                self.daemon.cli("status", want=None)
            self.time.move(0)
            until("it is noticed", lambda: f"set back" in self.notices())
        self.assertLessEqual(set(before), set(self.states()))
        self.assertEqual(self.signs_with(self.token()), key["kid"])
        self.assertNotIn("is destroyed", self.daemon.said())

    def test_a_daemon_that_begins_with_a_clock_a_year_ahead_destroys_nothing(self):
        self.daemon.start()
        first = self.active()
        self.next_key()
        self.daemon.stop()
        self.daemon.env = {"SIGNET_TEST_CLOCK": str(365 * DAY)}
        self.daemon.start({"SIGNET_TEST_CLOCK": str(365 * DAY)})
        for _ in range(EVERY // MINUTE):
            self.pass_by(MINUTE)
            self.token()
        self.assertIn(first, self.states())
        self.assertIn("a clock is wrong", self.notices())
        self.assertNotIn(f"key '{first}' is destroyed", self.daemon.said())


class Promises(Rotating):
    settings = ["create: yes", *[t for t in TIMES if "max_age" not in t and "publish_ahead" not in t], "publish_ahead: 30m",
                "jwks_max_age: 20m"]

    def test_a_promise_that_is_lowered_holds_for_the_keys_that_made_it(self):
        self.daemon.start()
        self.assertEqual(self.json("jwks")["max_age_s"], 20 * MINUTE)
        self.reload("create: yes", f"rotate_every: {EVERY}s", "publish_ahead: 5m", f"max_ttl: {TTL}s", "skew: 1s",
                    "jwks_max_age: 1m", f"refresh: {REFRESH}s")
        self.come("it is in force", lambda: self.json("jwks")["max_age_s"] == MINUTE)
        key = self.keys("active")[0]
        made = self.json("ring", "rotate", "web")
        self.assertGreaterEqual(made["activates_at"] - self.time.now(), 20 * MINUTE + REFRESH + SKEW)   # as the old key promised
        self.assertIn("older keys promised a longer jwks_max_age", self.notices())
        self.pass_until(made["activates_at"] + 1)
        self.token()
        retired = next(k for k in self.keys() if k["kid"] == key["kid"])
        self.assertEqual(retired["ends_at"], made["activates_at"] + TTL + SKEW)

    def promise(self):
        """Of the key set; None: it is not known this moment, for time passes faster here than the token is listed."""
        out, _ = self.daemon.cli("jwks", "--json", want=None)
        return json.loads(out)["max_age_s"] if out else None

    def test_one_that_is_raised_counts_from_the_next_key_on(self):
        self.daemon.start()
        self.reload("create: yes", "rotate_every: 6h", "publish_ahead: 3h", f"max_ttl: {TTL}s", f"skew: {SKEW}s",
                    "jwks_max_age: 2h", f"refresh: {REFRESH}s")
        self.come("it is in force", lambda: self.ring()["jwks_max_age_s"] == 2 * HOUR)
        self.come("it is known", lambda: self.promise() == 20 * MINUTE)
        self.json("ring", "rotate", "web")
        self.come("the next key is in force", lambda: self.promise() == 2 * HOUR)


class Halves(Rotating):
    LONG = longest = 50 * MINUTE     # tokens that still live when the private half goes
    settings = ["create: yes", *[t for t in TIMES if "max_ttl" not in t], f"max_ttl: {LONG}s", "destroy_retired_private: yes"]

    def test_a_retired_key_verifies_without_its_private_half_also_after_a_restart(self):
        self.daemon.start()
        first, key = self.active(), self.next_key()
        self.pass_until(key["activates_at"] - 2)
        token = self.daemon.token("web", "--subject", "s", "--ttl", f"{self.LONG}s")
        self.assertEqual(self.signs_with(token), first)
        self.pass_until(key["activates_at"] + 1)
        self.token()
        self.pass_by(AHEAD - MINUTE)
        self.assertNotIn("the private half of key", self.daemon.said())     # a clock may be ahead
        self.come("it is destroyed", lambda: "the private half of key" in self.daemon.said())
        for restart in (False, True):
            if restart:
                self.daemon.stop()
                self.daemon.start()
            self.daemon.cli("verify", token)
            self.assertEqual(self.states()[first], "retired")
            self.assertLessEqual({first, key["kid"]}, set(self.published()))
            self.assertIn("only verifies", self.daemon.cli("key", "show", first)[0].decode())
            self.assertNotIn("could be exported", self.daemon.cli("status")[0].decode())
        self.pass_by(self.LONG)
        # After a restart it has to be watched for a whole turn: in larger steps.
        until("the other half goes too", lambda: first not in self.states() or self.time.pass_by(MINUTE))


class ChangingOver(Rotating):
    module_leaks = True          # SoftHSM's, of each Ed25519 key that it lists

    def test_a_ring_changes_its_algorithm_with_its_next_key(self):
        self.daemon.start()
        first, before = self.active(), self.token()
        self.reload(*self.settings, alg="EdDSA")
        self.come("it is in force", lambda: self.ring()["alg"] == "EdDSA")
        self.token()
        self.assertEqual((self.ring()["active_alg"], self.ring()["signed_old_alg"]), ("ES256", 2))
        self.assertIn("ES256", self.daemon.cli("status")[0].decode())
        made = self.json("ring", "rotate", "web")
        self.assertEqual(made["key"]["alg"], "EdDSA")
        self.assertEqual({k["alg"] for k in self.daemon.jwks()["keys"]}, {"ES256", "EdDSA"})
        self.pass_until(made["activates_at"] - 1)
        before = self.token()
        self.assertEqual(self.signs_with(before), first)
        self.pass_until(made["activates_at"] + 1)
        after = self.token()
        self.assertEqual(jwt.get_unverified_header(after)["alg"], "EdDSA")
        for token in (before, after):
            self.daemon.cli("verify", token)
        self.assertEqual(self.ring()["active_alg"], "EdDSA")

    def test_from_a_secret_to_a_public_key_and_back(self):
        self.daemon.write(*self.conf(*self.settings, alg="HS256"))
        self.daemon.start()
        tokens = [self.token()]
        self.assertEqual(self.published(), [])
        for alg in ("ES256", "HS256"):
            self.reload(*self.settings, alg=alg)
            self.come("it is in force", lambda: self.ring()["alg"] == alg)
            for token in tokens:
                self.daemon.cli("verify", token)
            made = self.json("ring", "rotate", "web")
            self.pass_until(made["activates_at"] - 1)
            tokens = [self.token()]
            self.pass_until(made["activates_at"] + 1)
            tokens.append(self.token())
            self.assertEqual([jwt.get_unverified_header(t)["alg"] for t in tokens], ["HS256", "ES256"] if alg == "ES256" else ["ES256", "HS256"])
            for token in tokens:
                self.daemon.cli("verify", token)
                forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
                self.assertIn("BAD_SIGNATURE", self.daemon.cli("verify", forged, want=1)[1])


class Tokens(Rotating):
    """That cannot do what rotation needs."""

    def setUp(self):
        super().setUp()
        self.control = faults.wrap(self.place)
        self.addCleanup(self.control.close)
        self.daemon.write(*self.conf())

    def test_a_full_token_goes_on_signing_with_the_key_it_has_and_says_so(self):
        self.daemon.start()
        first = self.active()
        self.control.set("C_GenerateKeyPair", "return", value=0x31)          # CKR_DEVICE_MEMORY
        self.pass_by(EVERY - AHEAD)
        self.come("it says so", lambda: (self.ring()["rotation_trouble"] or {}).get("reason"))
        self.assertIn("CKR_DEVICE_MEMORY", self.notices())
        self.assertIn("C_GenerateKeyPair", self.daemon.cli("status")[0].decode())
        self.pass_by(EVERY)
        self.assertEqual(self.signs_with(self.token()), first)
        self.control.set("C_GenerateKeyPair", "none")
        self.come("it makes up for it", lambda: self.keys("next"))
        self.assertEqual(self.ring()["rotation_trouble"], None)

    def test_a_token_without_data_objects_revokes_by_destroying_and_says_what_follows(self):
        self.control.set("C_CreateObject", "return", value=0x13)             # CKR_ATTRIBUTE_VALUE_INVALID
        self.daemon.start()
        until("it is said", lambda: "keeps no data objects" in self.daemon.said())
        self.assertIn("keeps no data objects", self.notices())
        first = self.active()
        self.next_key()                                  # nobody can be told that it comes sooner: another is made
        report = self.json("key", "revoke", first, "--compromised", want=1)
        self.assertEqual((report["recorded"], report["destroyed"], report["promoted"]), (False, True, False))
        self.assertTrue(report["trouble"]["reason"])
        self.assertEqual(self.signs_with(self.token()), report["successor"]["kid"])
        made = self.json("ring", "rotate", "web")
        self.assertIn("MECHANISM_MISSING", self.daemon.cli("ring", "rotate", "web", "--now", "--yes", want=1)[1])
        self.assertEqual(self.keys("next")[0]["kid"], made["key"]["kid"])

    def test_a_token_that_does_not_destroy_says_what_stays(self):
        self.control.set("C_DestroyObject", "return", value=0x1b)            # CKR_ACTION_PROHIBITED
        self.daemon.start()
        until("it is said", lambda: "does not let signetd destroy" in self.daemon.said())
        self.assertIn("does not let signetd destroy", self.notices())
        first = self.active()
        report = self.json("key", "revoke", first, "--compromised", want=1)
        self.assertEqual((report["recorded"], report["destroyed"]), (True, False))
        self.assertNotIn(first, self.published())
        self.assertNotEqual(self.signs_with(self.token()), first)


if __name__ == "__main__":
    main()
