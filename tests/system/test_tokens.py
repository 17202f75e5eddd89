"""A ring whose keys are on two tokens: each has keys of its own, all are published, and when the first token is gone the
second's active key signs; no token that lives is rejected. The first token is behind the module that does wrong."""
import http.client
import json
import socket
import threading
import time
import unittest

import jwt

import faults
from fleet import Time
from rig import Daemon, EachCase, PIN, SO_PIN, main, profile, ring, run, until

DEVICE_REMOVED = 0x32
GONE = ["C_Initialize", "C_GetTokenInfo", "C_OpenSession", "C_GetSessionInfo", "C_FindObjectsInit", "C_SignInit", "C_Sign"]
RING = ring("web", "ES256", "create: yes", "tokens: [main, spare]", "failover_after: 500ms")
SECRETS = ring("secret", "HS256", "create: yes", "tokens: [main, spare]", "failover_after: 500ms")
PROFILES = profile("web", "web", "shop") + profile("secret", "secret", "bank")
# Every verifier knows a key two minutes after it was made.
WAITED = ring("web", "ES256", "create: yes", "tokens: [main, spare]", "failover_after: 500ms", "jwks_max_age: 60s", "skew: 2s",
              "refresh: 5s") + SECRETS.replace("failover_after", "jwks_max_age: 60s\n    skew: 2s\n    failover_after")
FOR_NOW = {"TOKEN_UNREACHABLE", "TOKEN_FAILED", "STARTING", "RING_BUSY", "DEADLINE_EXCEEDED"}


class TwoTokens(Daemon):
    def write(self, rings, profiles, daemon="", token=""):
        super().write(rings, profiles, daemon, token)
        head, rest = self.config.read_text().split("token:\n", 1)
        _, rings = rest.split("rings:\n", 1)
        tokens = "".join(f"  {name}:\n    module: {module}\n    uri: pkcs11:token={label}\n    pin_file: {self.place.pin}\n"
                         for name, module, label in (("main", faults.MODULE, "signet"),
                                                     ("spare", self.place.own_module, "spare")))
        self.config.write_text(f"{head}tokens:\n{tokens}rings:\n{rings}")


class Tokens(EachCase):
    rings = RING + SECRETS

    def setUp(self):
        super().setUp()
        run(["softhsm2-util", "--init-token", "--free", "--label", "spare", "--so-pin", SO_PIN, "--pin", PIN],
            env=self.place.env)
        self.place.own_module = self.place.module
        self.control = faults.wrap(self.place)
        self.addCleanup(self.control.close)
        self.clock = Time(self.place)
        self.addCleanup(self.clock.close)
        self.http = self.place.dir / "h.sock"
        self.publishes = f"http: {{listen: {self.http}}}\n"
        self.daemon = TwoTokens(self.place, self.rings, PROFILES, self.publishes)
        self.addCleanup(self.daemon.kill)

    def tearDown(self):
        self.daemon.stop()

    def start(self):
        """Until the first signs: on a busy machine it may be there later than the second."""
        self.daemon.start()
        until("main signs", lambda: self.signs_on() == "main")

    def take_away(self):
        for function in GONE:
            self.control.set(function, "return", value=DEVICE_REMOVED)

    def give_back(self):
        for function in GONE:
            self.control.set(function, "none")

    # --- what it says

    def json(self, *args, **kw):
        return json.loads(self.daemon.cli(*args, "--json", **kw)[0])

    def kids(self, ring_name="web"):
        """{token: kid of the active key}"""
        return {k["token"]: k["kid"] for k in self.json("key", "list") if k["ring"] == ring_name and k["state"] == "active"}

    def published(self):
        return {k["kid"] for k in self.daemon.jwks()["keys"]}

    def published_by_http(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.http))
            s.sendall(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
            reply = http.client.HTTPResponse(s)
            reply.begin()
            return {k["kid"] for k in json.loads(reply.read()).get("keys", [])}

    def signs_on(self, ring_name="web"):
        return next(r for r in self.json("status", want=None)["rings"] if r["name"] == ring_name)["token"]

    def signed_with(self, kid):
        """A token that is signed with that key, when there is one."""
        def one():
            token = self.daemon.token("web", want=None)
            return token and jwt.get_unverified_header(token)["kid"] == kid and token
        return until(f"{kid} signs", one)

    def refusal(self, *args, **kw):
        out, err = self.daemon.cli(*args, want=None, **kw)
        self.assertFalse(out, out)
        return err

    def test_each_has_keys_of_its_own_and_all_are_published(self):
        self.start()
        kids = self.kids()
        self.assertEqual(set(kids), {"main", "spare"})
        self.assertEqual(self.published(), set(kids.values()))
        until("both are published by HTTP", lambda: self.published_by_http() == set(kids.values()))
        self.assertEqual(self.signs_on(), "main")
        self.assertEqual(jwt.get_unverified_header(self.daemon.token("web"))["kid"], kids["main"])
        words = self.daemon.cli("status")[0].decode()
        self.assertIn("token main: signet (SoftHSM project", words)
        self.assertIn("token spare: spare (SoftHSM project", words)
        self.assertIn(f"signs with {kids['main']} on main", words)
        self.assertIn("  token         spare\n", self.daemon.cli("key", "show", "--", kids["spare"])[0].decode())

    def test_what_is_asked_of_a_ring_says_of_which_token(self):
        self.start()
        for command in (("key", "generate"), ("ring", "rotate")):
            with self.subTest(command):
                self.assertIn("has keys of its own on each of main, spare: say which are meant, as in 'web@main'",
                              self.refusal(*command, "web"))
                self.assertIn("ring 'web' has no token 'other'; it has main, spare", self.refusal(*command, "web@other"))
                self.assertIn("ring 'web' has no token ''", self.refusal(*command, "web@"))
        self.daemon.cli("ring", "rotate", "web@spare")
        nexts = [k["token"] for k in self.json("key", "list") if k["state"] == "next"]
        self.assertEqual(nexts, ["spare"])
        self.assertEqual(len(self.published()), 3)
        plans = {of: {k["kid"] for k in self.json("ring", "plan", f"web{of}")["keys"]} for of in ("", "@main", "@spare")}
        self.assertEqual(plans[""], plans["@main"])
        self.assertIn(self.kids()["spare"], plans["@spare"])

    def test_a_key_of_either_is_revoked_and_destroyed_by_its_kid(self):
        self.start()
        before = self.kids()
        for token in ("spare", "main"):
            self.daemon.cli("key", "revoke", "--compromised", "--", before[token])
        after = self.kids()
        self.assertEqual(set(after), {"main", "spare"})
        self.assertTrue(set(after.values()).isdisjoint(before.values()))
        self.assertEqual(self.published(), set(after.values()))

    def test_when_the_first_is_gone_the_second_signs_and_back(self):
        self.start()
        kids, secrets = self.kids(), self.daemon.token("secret")
        self.daemon.cli("verify", stdin=secrets.encode())
        jwks = {k["kid"]: jwt.PyJWK(k) for k in self.daemon.jwks()["keys"]}      # as a verifier has it, from before
        tokens, why, ended = [], set(), threading.Event()

        def ask():
            while not ended.is_set():
                out, err = self.daemon.cli("sign", "--profile", "web", want=None)
                if out:
                    tokens.append(out.decode().strip())
                else:
                    why.add(err.split(": ")[1])
        caller = threading.Thread(target=ask)
        caller.start()
        try:
            self.take_away()
            self.signed_with(kids["spare"])
            self.assertEqual(self.signs_on(), "spare")
            self.assertEqual(self.published(), set(kids.values()), "the keys of the token that is gone are published still")
            self.daemon.cli("verify", stdin=tokens[0].encode())
            self.assertIn("token main: cannot be used", self.daemon.cli("status")[0].decode())
            # Its MAC can be made by that token alone: not rejected, but not to be known for now.
            self.assertIn(self.refusal("verify", stdin=secrets.encode()).split(": ")[1], FOR_NOW)
            self.give_back()
            self.signed_with(kids["main"])
        finally:
            ended.set()
            caller.join()
        self.assertEqual(self.signs_on(), "main")
        self.assertLessEqual(why, FOR_NOW)
        self.assertEqual({jwt.get_unverified_header(t)["kid"] for t in tokens}, set(kids.values()))
        for t in tokens:
            jwt.decode(t, jwks[jwt.get_unverified_header(t)["kid"]].key, ["ES256"], audience="shop")
            self.daemon.cli("verify", stdin=t.encode())
        until("secrets are verified again", lambda: self.daemon.cli("verify", stdin=secrets.encode(), want=None)[0])
        self.assertIn("ring 'web' is signed for by token 'spare': 'main' cannot: ", self.daemon.said())
        self.assertIn("ring 'web' is signed for by token 'main' again", self.daemon.said())

    def test_a_first_that_hangs_again_and_again_is_not_waited_for(self):
        self.start()
        kids = self.kids()
        self.control.set("C_Sign", "hang")
        self.signed_with(kids["spare"])
        for _ in range(20):                      # its signers come back, and hang
            self.assertEqual(jwt.get_unverified_header(self.daemon.token("web"))["kid"], kids["spare"])
        self.control.set("C_Sign", "none")
        self.signed_with(kids["main"])

    def test_another_signs_after_failover_after_and_the_first_again_when_it_was_well_for_as_long(self):
        kids = self.begin(WAITED.replace("failover_after: 500ms", "failover_after: 10m"))
        self.take_away()
        self.clock.pass_by(60)
        for _ in range(30):
            self.assertFalse(self.daemon.token("web", want=None))
        self.clock.pass_by(600)
        self.signed_with(kids["spare"])
        self.give_back()
        until("main is well", lambda: "token main: signet (" in self.daemon.cli("status", want=None)[0].decode())
        self.clock.pass_by(60)
        for _ in range(30):
            self.assertEqual(jwt.get_unverified_header(self.daemon.token("web"))["kid"], kids["spare"])
        self.clock.pass_by(600)
        self.signed_with(kids["main"])

    def test_at_a_start_without_the_first_the_second_signs(self):
        self.start()
        kids, token = self.kids(), self.daemon.token("web")
        self.daemon.stop()
        self.take_away()
        self.daemon.start()
        other = self.signed_with(kids["spare"])
        self.daemon.cli("verify", stdin=other.encode())
        # Half a key set would have verifiers call the tokens of the other half a stranger's.
        self.assertIn(self.refusal("jwks").split(": ")[1], FOR_NOW)
        for command in ("revoke", "destroy"):
            why = self.refusal("key", command, *(["--compromised"] if command == "revoke" else []), "--", kids["main"])
            self.assertIn("may be on token 'main'", why)
        # Nobody here knows its key: that is not to say that it is wrong.
        self.assertIn(self.refusal("verify", stdin=token.encode()).split(": ")[1], FOR_NOW)
        self.give_back()
        self.signed_with(kids["main"])
        self.daemon.cli("verify", stdin=token.encode())
        self.assertEqual(self.published(), set(kids.values()))

    def begin(self, rings, profiles=PROFILES):
        """Both tokens sign, and every verifier knows their keys; the kids of 'web'."""
        self.daemon.write(rings, profiles, self.publishes)
        self.start()
        self.clock.pass_by(120)
        return self.kids()

    def start_without_main(self):
        self.daemon.stop()
        self.take_away()
        self.daemon.start()
        until("spare signs", lambda: self.daemon.token("web", want=None))

    def given_out(self):
        return self.daemon.cli("jwks", want=None)[0] and self.published()

    def notices(self):
        return " ".join(self.json("status", "--admin", want=None)["notices"])

    def test_a_first_that_is_gone_since_the_start_is_left_out_when_no_copy_has_its_keys(self):
        kids = self.begin(WAITED)
        self.start_without_main()
        self.assertIn("is not whole without token 'main'; ring 'web' is given out without its keys in 1m", self.refusal("jwks"))
        self.clock.pass_by(55)
        self.assertIn("is not whole without token 'main'", self.refusal("jwks"))
        self.assertFalse(self.published_by_http())
        self.clock.pass_by(10)
        until("it is left out", lambda: self.given_out() == {kids["spare"]})
        until("by HTTP", lambda: self.published_by_http() == {kids["spare"]})
        self.assertIn("ring 'web': its key set is given out without its keys on token 'main'", self.daemon.log.read_text())
        self.assertIn("ring 'web': its key set is given out without its keys on token 'main'", self.notices())
        self.give_back()
        until("it is there again", lambda: self.published() == set(kids.values()))
        until("by HTTP too", lambda: self.published_by_http() == set(kids.values()))
        self.assertIn("ring 'web': its keys on token 'main' are in the key set again, and sign in 1m", self.notices())
        self.daemon.write(WAITED.replace("jwks_max_age: 60s", "jwks_max_age: 5s"), PROFILES, self.publishes)
        self.daemon.cli("reload")                        # copies of before do not become younger
        self.clock.pass_by(30)
        for _ in range(30):                              # for longer than failover_after
            self.assertEqual(jwt.get_unverified_header(self.daemon.token("web"))["kid"], kids["spare"])
        self.clock.pass_by(35)
        self.signed_with(kids["main"])

    def test_it_is_waited_for_no_longer_than_its_tokens_live(self):
        kids = self.begin(ring("web", "ES256", "create: yes", "tokens: [main, spare]", "failover_after: 500ms", "max_ttl: 30s",
                               "skew: 2s", "refresh: 5s"), profile("web", "web", "shop", "ttl: 30s"))
        self.start_without_main()
        self.clock.pass_by(25)
        self.assertIn("is not whole without token 'main'", self.refusal("jwks"))
        self.clock.pass_by(8)
        until("it is left out", lambda: self.given_out() == {kids["spare"]})

    def test_nothing_is_left_out_of_a_ring_that_is_on_no_other(self):
        self.begin(WAITED + ring("alone", "ES256", "create: yes", "tokens: [main]"))
        self.start_without_main()
        self.clock.pass_by(100000)
        until("others are waited for no more", lambda: "and ring 'alone' has keys on no other" in self.refusal("jwks"))
        self.give_back()
        until("it is whole again", lambda: self.given_out() and len(self.published()) == 3)

    def test_a_raw_ring_that_is_in_no_key_set_keeps_it_from_nobody(self):
        kids = self.begin(WAITED.replace(SECRETS, "") + ring("raw", "ES256", "create: yes", "tokens: [main]"),
                          profile("web", "web", "shop") + "  raw: {ring: raw, raw: yes, sign: {users: any}}\n")
        self.start_without_main()
        self.clock.pass_by(65)
        until("it is left out", lambda: self.given_out() == {kids["spare"]})

    def test_public_keys_of_a_ring_that_became_hmac_are_missed_while_their_tokens_live(self):
        turn = ring("turn", "ES256", "create: yes", "tokens: [main]", "max_ttl: 1h")
        self.begin(WAITED + turn, PROFILES + profile("turn", "turn", "turn", "ttl: 30m"))
        self.daemon.write(WAITED + turn.replace("ES256", "HS256"), PROFILES + profile("turn", "turn", "turn", "ttl: 30m"),
                          self.publishes)
        self.daemon.cli("reload")
        self.start_without_main()
        self.clock.pass_by(3600)
        self.assertIn("ring 'turn'", until("only this is waited for", lambda: "'turn'" in (why := self.refusal("jwks")) and why))

    def test_each_ring_is_left_out_when_its_own_keys_are_not_known_for_too_long(self):
        kids = self.begin(WAITED.replace("refresh: 5s", "refresh: 5s\n    publish_ahead: 5m") +
                          ring("slow", "ES256", "create: yes", "tokens: [main, spare]", "failover_after: 500ms"),
                          PROFILES + profile("slow", "slow", "slow"))
        slow = self.kids("slow")
        self.take_away()
        self.signed_with(kids["spare"])
        self.assertEqual(self.published(), {*kids.values(), *slow.values()})
        # What another daemon may have done there is not known any more: small steps, as it is looked at while time passes.
        until("it is not whole", lambda: self.clock.pass_by(2) or
              "is not whole without token 'main'" in self.daemon.cli("jwks", want=None)[1])
        self.clock.pass_by(65)
        until("it is left out", lambda: self.given_out() == {kids["spare"], *slow.values()})
        self.assertEqual([k["token"] for k in self.json("key", "list") if k["ring"] == "web" and k["published"]], ["spare"])

    def test_a_key_that_nobody_can_know_yet_does_not_sign_where_another_can(self):
        self.daemon.write(ring("web", "ES256", "create: yes", "tokens: [spare]") + SECRETS, PROFILES)
        self.daemon.start()
        known = jwt.get_unverified_header(self.signed_with(self.kids()["spare"]))["kid"]
        self.clock.pass_by(1200)                         # longer than jwks_max_age and the rest
        self.daemon.write(self.rings, PROFILES)          # main comes first, and has no key yet
        self.daemon.cli("reload")
        until("main has a key", lambda: "main" in self.kids())
        for _ in range(30):                              # for longer than failover_after
            self.assertEqual(jwt.get_unverified_header(self.daemon.token("web"))["kid"], known)
        self.assertEqual(self.published(), set(self.kids().values()))

    def test_nor_does_one_that_was_made_in_place_of_a_revoked_one(self):
        self.daemon.write(WAITED, PROFILES)
        self.start()
        kids = self.kids()
        self.clock.pass_by(120)
        report = self.daemon.cli("key", "revoke", "--compromised", "--", kids["main"])[0].decode()
        self.assertIn(f"{kids['spare']}, of token spare", report)
        until("main has another", lambda: self.kids().get("main", kids["main"]) != kids["main"])
        self.assertEqual(jwt.get_unverified_header(self.daemon.token("web"))["kid"], kids["spare"])
        self.clock.pass_by(120)
        self.signed_with(self.kids()["main"])

    def test_the_same_key_on_both_is_one_key(self):
        self.daemon.write(ring("web", "ES256", "tokens: [main, spare]", "failover_after: 500ms", "rotate_every: never")
                          + SECRETS, PROFILES)
        here = self.place.dir
        run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", here / "k.pem"])
        for half, flags in (("privkey", []), ("pubkey", ["-pubout"])):
            run(["openssl", "pkey", "-in", here / "k.pem", *flags, "-outform", "DER", "-out", here / half])
            for token in ("signet", "spare"):
                run(["pkcs11-tool", "--module", self.place.own_module, "--token-label", token, "--login", "--pin", PIN, "--id",
                     "00112233445566778899aabbccddeeff", "--label", f"signet:web:ES256:{int(time.time()) - 100000}:43200:60:900",
                     "--write-object", here / half, "--type", half, "--usage-sign", "--private",
                     *(["--sensitive"] if half == "privkey" else [])], env=self.place.env)
        self.start()
        until("the copy is not used", lambda: any(k["trouble"] for k in self.json("key", "list") if k["token"] == "spare"))
        [kid] = self.published()
        self.daemon.cli("key", "revoke", "--compromised", "--", kid, want=None)
        self.take_away()
        until("nothing signs", lambda: not self.daemon.token("web", want=None))
        self.give_back()
        self.assertNotIn(kid, self.published())

    def test_a_ring_is_not_taken_from_a_token_while_tokens_live(self):
        self.start()
        self.daemon.write(ring("web", "ES256", "tokens: [main]") + SECRETS, PROFILES, self.publishes)
        self.assertIn("rings.web.tokens: 'spare' is taken away", self.refusal("reload"))


if __name__ == "__main__":
    main()
