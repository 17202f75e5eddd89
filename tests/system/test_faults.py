"""A token that misbehaves: nothing wrong leaves the daemon, nobody waits for ever, and it comes back by itself."""
import collections
import concurrent.futures
import json
import os
import re
import signal
import unittest

import jwt

import faults
import wire
from fleet import Time
from hammer import Hammer
from rig import STRANGER, Daemon, Place, main, profile, ring, until

# What calls each function here; those that are not named are called as it goes on, by signing and listing.
LOGGING_IN = ["C_Login"]
STARTING = ["C_Initialize", "C_GetInfo", "C_GetSlotList", "C_GetSlotInfo", "C_GetMechanismInfo",
            "C_CreateObject", "C_DestroyObject"]
GENERATING = {"C_GenerateKeyPair": "web", "C_GenerateKey": "mac"}
VERIFYING = ["C_VerifyInit", "C_Verify"]                 # of MACs alone
NEVER = ["C_GetMechanismList", "C_SetAttributeValue",    # of no token
         "C_Logout"]                                     # of no token in software
UNHEARD = ["C_Finalize"]                                 # what it says changes nothing: what it is of is given up
FULL = bool(os.environ.get("SIGNET_FULL"))

CKR = {"CKR_HOST_MEMORY": 0x2, "CKR_GENERAL_ERROR": 0x5, "CKR_FUNCTION_FAILED": 0x6, "CKR_DEVICE_ERROR": 0x30,
       "CKR_DEVICE_MEMORY": 0x31, "CKR_DEVICE_REMOVED": 0x32, "CKR_KEY_HANDLE_INVALID": 0x60,
       "CKR_OBJECT_HANDLE_INVALID": 0x82, "CKR_OPERATION_NOT_INITIALIZED": 0x91, "CKR_SESSION_CLOSED": 0xb0,
       "CKR_SESSION_HANDLE_INVALID": 0xb3, "CKR_TOKEN_NOT_PRESENT": 0xe0, "CKR_USER_NOT_LOGGED_IN": 0x101,
       "CKR_CRYPTOKI_NOT_INITIALIZED": 0x190, "CKR_VENDOR_DEFINED": 0x80000001}
CKR_MECHANISM_INVALID = 0x70
CKR_PIN_INCORRECT = 0xa0


class Faults(unittest.TestCase):
    def start(self, *settings, signers=2, rings="", profiles="", pin=None, token="", first={}, timed=False):
        """`first`: {function: fault}, from the daemon's first call on."""
        place = Place()
        self.addCleanup(place.remove)
        if timed:
            self.time = Time(place)
            self.addCleanup(self.time.close)
        if pin:
            place.write_pin(pin)
        self.control = faults.wrap(place)
        self.addCleanup(self.control.close)
        for function, fault in first.items():
            self.control.set(function, **fault)
        self.daemon = Daemon(place, ring("web", "ES256", "create: yes", *settings) + rings,
                             profile("web", "web", "shop", "claims: {allowed: any}") + profiles,
                             token=f"  signers: {signers}\n{token}")
        self.addCleanup(self.daemon.kill)
        # A crash that was asked for is no finding.
        self.daemon.start({"ASAN_OPTIONS": "handle_segv=0:handle_abort=0"})
        self.signers = set(self.daemon.roles().get("signer", []))

    def tearDown(self):
        for function in faults.FUNCTIONS:
            self.control.set(function, "none")
        self.daemon.stop()

    def signs(self):
        return self.daemon.cli("sign", "--profile", "web", "--subject", "s", want=None)

    def heals(self):
        """Without a restart, by itself, it signs again."""
        until("it signs again", lambda: self.signs()[0])
        until("all signers are back", lambda: len(self.daemon.roles().get("signer", [])) == len(self.signers))

    def kill_broker(self):
        [broker] = self.daemon.roles()["broker"]
        os.kill(broker, signal.SIGKILL)
        until("a new broker", lambda: self.daemon.roles().get("broker", [broker]) != [broker])

    def all_of(self, n, **kw):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda i: self.daemon.token("web", "--subject", str(i), **kw), range(n)))

    def check(self, tokens):
        keys = {k["kid"]: jwt.PyJWK(k).key for k in self.daemon.jwks()["keys"]}
        for token in tokens:
            jwt.decode(token, keys[jwt.get_unverified_header(token)["kid"]], algorithms=["ES256"], audience="shop")

    def lost_nothing(self, kind):
        self.start("verify_every: 1")
        self.control.set("C_Sign", kind, left=1)
        tokens = self.all_of(40)
        self.assertEqual(self.control["C_Sign"]["done"], 1)
        self.assertEqual(len(set(tokens)), 40)
        self.check(tokens)
        until("the signer is replaced", lambda: len(set(self.daemon.roles().get("signer", [])) - self.signers) == 1)
        self.heals()

    def test_a_signature_that_hangs_is_given_to_another_signer(self):
        self.lost_nothing("hang")

    def test_a_signature_that_crashes_the_module_is_given_to_another_signer(self):
        self.lost_nothing("segv")

    def test_a_module_that_aborts_too(self):
        self.lost_nothing("abort")

    def takes_two_signers(self, kind):
        """Not more: a signer that is started meanwhile signs to try its token, and would hang as well."""
        self.start(signers=3)
        self.control.set("C_Sign", kind, left=2)
        out, err = self.signs()
        self.assertIn("INTERNAL", err)
        self.assertEqual(self.control["C_Sign"]["done"], 2)
        self.heals()

    def test_a_request_that_crashes_the_module_takes_two_signers_and_is_then_answered(self):
        self.takes_two_signers("segv")

    def test_one_that_hangs_it_too(self):
        self.takes_two_signers("hang")

    def batch_takes_two_signers(self, kind, n_bad, n_good):
        """Others lose nothing by a batch with inputs that the module does not survive, of a length that nobody else's have."""
        self.start(signers=3, rings=ring("long", "HS256", "create: yes"),
                   profiles=profile("long", "long", "long.example", "claims: {allowed: any}"))
        hammer = Hammer(self.daemon, 64, uid=STRANGER)
        hammer.more_tokens(200)
        self.control.set("C_Sign", kind, shortest=2000)
        bad = self.item("long", "s", json.dumps({"x": 2000 * "x"}))
        items = [self.item("web", str(i)) for i in range(n_good)] + [bad] * n_bad
        with wire.Connection(self.daemon.socket) as c:
            ends = self.batch(c, items)
        hammer.more_tokens(200)
        got = hammer.finish()
        self.assertEqual(got["tokens"], got["asked"], got)
        self.assertEqual(self.control["C_Sign"]["done"], 2)
        self.assertEqual(ends[n_good:], ["INTERNAL"] * n_bad)
        self.assertTrue(all("." in end or end == "INTERNAL" for end in ends), ends)
        self.heals()
        self.assertEqual(len(self.signers - set(self.daemon.roles()["signer"])), 2)
        return [end for end in ends if "." in end]

    def test_a_batch_that_hangs_the_module_takes_two_signers_whatever_its_size(self):
        self.batch_takes_two_signers("hang", 20, 0)

    def test_one_that_crashes_it_too(self):
        self.batch_takes_two_signers("segv", 20, 0)

    def test_one_item_that_crashes_it_leaves_what_is_signed_of_its_batch(self):
        self.assertTrue(self.batch_takes_two_signers("segv", 1, 100))

    def test_a_token_that_hangs_for_good_fails_fast_and_comes_back(self):
        """Fast: none that asks while nobody signs waits for its deadline. The reason is that of the hang, whatever came of it."""
        self.start()
        self.control.set("C_Sign", "hang")
        self.assertIn("INTERNAL", self.signs()[1])
        until("both are given up", lambda: "no signer works" in self.signs()[1])
        given_up = re.search(r"since (\S+): ", self.signs()[1])[1]
        until("both are replaced", lambda: len(set(self.daemon.roles().get("signer", [])) - self.signers) == 2)
        for command in (["sign", "--profile", "web"], ["status"]) * 3:
            out, err = self.daemon.cli(*command, want=3)
            self.assertRegex(err + out.decode(), rf"TOKEN_UNREACHABLE.* no signer works since {given_up}: "
                                                 r"signer \d is given up: no answer for \d+ ms, more than 500")
        self.control.set("C_Sign", "none")
        self.heals()

    def wrong(self, function, kind):
        self.start("verify_every: 1", rings=ring("two", "ES256", "create: yes"),
                   profiles=profile("two", "two", "two.example", "claims: {allowed: any}"))
        self.control.set(function, kind, left=1)
        tokens = self.all_of(20)
        self.assertEqual(self.control[function]["done"], 1)
        self.check(tokens)
        # A session armed wrongly shows when its signer is next asked: some ask the other one first.
        # On a machine so busy that the signer was taken as hung, its session went with it.
        until("it was noticed", lambda: "it was not released" in self.daemon.said() or "; replaced in" in self.daemon.said()
              or self.check(self.all_of(8)))

    def test_wire_6_1_3_3_a_flipped_bit_is_not_released_and_made_again(self):
        self.wrong("C_Sign", "flip")

    def test_a_stale_signature_is_not_released_and_made_again(self):
        self.wrong("C_Sign", "stale")

    def test_another_key_s_signature_is_not_released_and_made_again(self):
        self.wrong("C_SignInit", "other_key")

    def test_handles_that_mean_other_keys_after_a_reconnect_are_found_anew(self):
        self.wrong("C_SignInit", "turn")
        until("it is over", lambda: not self.control["C_SignInit"]["left"])
        before = self.daemon.said().count("it was not released")
        self.check(self.all_of(20))
        self.assertEqual(self.daemon.said().count("it was not released"), before, "handles of before are used still")

    def test_a_mac_that_is_wrong_rejects_no_good_token(self):
        for signers in (2, 1):
            with self.subTest(signers=signers):
                self.start(signers=signers, rings=ring("mac", "HS256", "create: yes"), profiles=profile("mac", "mac", "bank"))
                token = self.daemon.token("mac")
                self.control.set("C_Verify", "flip", left=1)
                self.daemon.cli("verify", stdin=token.encode())
                self.assertEqual(self.control["C_Verify"]["left"], 0)
                head, payload, mac = token.split(".")
                bad = f"{head}.{payload}.{'A' if mac[0] != 'A' else 'B'}{mac[1:]}"
                self.assertIn("BAD_SIGNATURE", self.daemon.cli("verify", stdin=bad.encode(), want=1)[1])
                self.daemon.stop()

    def test_handles_that_mean_keys_of_another_kind_are_found_anew_at_once(self):
        self.start(rings=ring("two", "RS256", "create: yes", "bits: 2048") + ring("mac", "HS256", "create: yes"),
                   profiles=profile("two", "two", "two.example", "claims: {allowed: any}") + profile("mac", "mac", "mac.example"))
        mac = self.daemon.token("mac", "--subject", "s")
        for ask in (lambda: self.check(self.all_of(8)), lambda: self.daemon.token("mac"), lambda: self.daemon.cli("verify", mac)):
            self.control.set("C_SignInit", "other_key", left=1)
            ask()                                      # nobody is told anything
            until("it was met", lambda: not self.control["C_SignInit"]["left"] or ask())

    def test_what_a_new_signer_signs_first_is_checked_though_few_are(self):
        """A handle that a signer has just found is proved by its first signature, whatever verify_every says."""
        self.start("verify_every: 1000000", signers=1, rings=ring("two", "ES256", "create: yes"),
                   profiles=profile("two", "two", "two.example", "claims: {allowed: any}"))
        self.check(self.all_of(3))                     # what is due at random is behind us
        [signer] = self.signers
        os.kill(signer, signal.SIGKILL)
        until("a new one", lambda: set(self.daemon.roles().get("signer", [])) - self.signers)
        until("it signs", lambda: self.daemon.cli("sign", "--profile", "two", want=None)[0])
        self.control.set("C_SignInit", "other_key", left=1)
        self.check(self.all_of(3))
        self.assertEqual(self.control["C_SignInit"]["done"], 1)
        self.assertIn("it was not released", self.daemon.said())

    def test_a_key_that_goes_on_lying_is_used_no_more_until_it_is_right(self):
        self.start("verify_every: 1")
        self.control.set("C_Sign", "flip")
        reasons = [self.signs() for _ in range(4)]
        self.assertEqual([out for out, _ in reasons], [b""] * 4)
        for _, err in reasons:
            self.assertIn("SIGNATURE_WRONG", err)
        self.assertIn("signs again when a test signature is right", self.signs()[1])
        kids = [k["kid"] for k in self.daemon.jwks()["keys"]]
        self.control.set("C_Sign", "none")
        self.daemon.cli("reload")
        self.heals()
        self.assertEqual([k["kid"] for k in self.daemon.jwks()["keys"]], kids)
        self.check(self.all_of(3))

    def has_another_length(self, kind, length):
        self.start("verify_every: 1")
        self.control.set("C_Sign", kind)
        out, err = self.signs()
        self.assertFalse(out)
        self.assertIn("SIGNATURE_WRONG", err)
        self.assertRegex(self.daemon.said(), length)
        self.control.set("C_Sign", "none")
        self.heals()

    def test_a_cut_signature_is_refused_in_words(self):
        self.has_another_length("cut", "63 bytes")

    def test_one_in_asn_1_is_refused_in_words(self):
        self.has_another_length("der", "(69|7[0-2]) bytes")

    def test_any_ck_rv_of_one_signature_costs_nobody_anything(self):
        for name, rv in CKR.items():
            with self.subTest(name):
                self.start("verify_every: 1")
                self.control.set("C_Sign", "return", left=1, value=rv)
                out, err = self.signs()
                self.assertTrue(out, err)
                self.check([out.decode().strip()])
                self.assertEqual(self.control["C_Sign"]["done"], 1)
                self.daemon.stop()

    def item(self, profile, subject, claims="{}"):
        return wire.field(1, profile) + wire.field(2, subject) + wire.field(7, claims)

    def batch(self, connection, items):
        """What became of each: its token, or the reason why there is none."""
        connection.send(wire.request(wire.SIGN_BATCH, b"".join(wire.field(1, i) for i in items), deadline_ms=60000))
        reply = connection.reply()
        if wire.ERROR in reply:
            return [dict(wire.fields(reply[wire.ERROR]))[2].decode()] * len(items)
        ends = [dict(wire.fields(item)) for _, item in wire.fields(reply[wire.SIGN_BATCH])]
        return [dict(wire.fields(end[1] if 1 in end else end[2]))[2 if 1 in end else 1].decode() for end in ends]

    def wrong_at_random(self, profile, alg, audience, keys, one_in):
        """4,000 tries; SIGNET_FULL=1: 100,000. Several callers; what they get is judged by a library that nobody here wrote."""
        n, callers, each = 100000 if FULL else 4000, 4, 100
        self.control.set("C_Sign", "at_random", value=one_in)
        calls = self.control["C_Sign"]["calls"]
        reasons = collections.Counter()

        def ask(caller):
            got, asked = 0, 0
            with wire.Connection(self.daemon.socket, timeout=120) as c:
                while asked < n // callers:
                    subjects = [f"{caller}.{asked + i}" for i in range(each)]
                    for subject, end in zip(subjects, self.batch(c, [self.item(profile, s) for s in subjects])):
                        if "." not in end:
                            reasons[end] += 1
                            continue
                        claims = jwt.decode(end, keys[jwt.get_unverified_header(end)["kid"]], algorithms=[alg],
                                            audience=audience)
                        self.assertEqual(claims["sub"], subject)
                        got += 1
                    asked += each
            return got

        with concurrent.futures.ThreadPoolExecutor(callers) as pool:
            tokens = sum(pool.map(ask, range(callers)))
        wrong = self.control["C_Sign"]["done"]
        print(f"{n} asked, {tokens} tokens, all right; {wrong} wrong signatures; {dict(reasons)}", end=" ", flush=True)
        self.assertGreater(wrong, n // 50)
        self.assertGreater(tokens, n // 2)
        self.assertGreater(self.control["C_Sign"]["calls"] - calls, tokens)
        self.assertLessEqual(set(reasons), {"SIGNATURE_WRONG", "TOKEN_UNREACHABLE", "STARTING", "DEADLINE_EXCEEDED"})
        self.control.set("C_Sign", "none")
        self.heals()

    def test_of_many_signatures_that_are_wrong_at_random_none_is_released(self):
        self.start("verify_every: 1")
        self.wrong_at_random("web", "ES256", "shop", {k["kid"]: jwt.PyJWK(k).key for k in self.daemon.jwks()["keys"]}, 20)

    def test_of_many_macs_that_are_wrong_at_random_none_is_released(self):
        """So many that two signers are often wrong alike."""
        self.start(rings=ring("mac", "HS256", "verify_every: 1", "rotate_every: never"), profiles=profile("mac", "mac", "bank"))
        secret = os.urandom(32)
        self.daemon.cli("key", "import", "mac", stdin=secret)
        kid = jwt.get_unverified_header(self.daemon.token("mac"))["kid"]
        self.wrong_at_random("mac", "HS256", "bank", {kid: secret}, 5)

    def test_a_ck_rv_that_stays_is_said_in_words(self):
        for name, rv in CKR.items():
            with self.subTest(name):
                self.start()
                self.control.set("C_Sign", "return", value=rv)
                self.assertFalse(self.signs()[0])
                # A signer that looks for its token anew may meet another's login first, and says that.
                until("it is said", lambda: name.replace("CKR_VENDOR_DEFINED", "0x80000001") in self.signs()[1])
                self.daemon.stop()

    def test_a_token_each_third_signature_of_which_is_wrong_fails_nobody(self):
        self.start("verify_every: 1")
        self.control.set("C_Sign", "flip", every=3)
        tokens = self.all_of(40)
        self.assertGreater(self.control["C_Sign"]["done"], 10)
        self.assertEqual(len(set(tokens)), 40)
        self.check(tokens)
        self.control.set("C_Sign", "none")
        self.heals()

    def kill_signer(self):
        with self.control.nobody_logs_in():
            os.kill(min(self.daemon.roles()["signer"]), signal.SIGKILL)     # in turn: one that ends often is started later

    def generate(self, ring_name):
        for key in json.loads(self.daemon.cli("key", "list", "--json")[0]):
            if key["ring"] == ring_name and key["state"] == "next":
                self.daemon.cli("key", "destroy", "--", key["kid"])
        self.daemon.cli("key", "generate", ring_name, want=None)

    def provoke(self, function):
        if function in LOGGING_IN:
            self.control.set("C_Sign", "drop", left=1)
        elif function in STARTING:
            self.kill_signer()
        elif function in GENERATING:
            self.generate(GENERATING[function])
        elif function in VERIFYING:
            until("a MAC is signed", lambda: self.daemon.cli("sign", "--profile", "mac", want=None)[0])
        self.signs()

    def test_any_function_that_fails_for_a_moment_costs_no_restart(self):
        self.start("verify_every: 1", "refresh: 1s", signers=4, rings=ring("mac", "HS256", "create: yes", "verify_every: 1"),
                   profiles=profile("mac", "mac", "bank"))
        called = [f for f in faults.FUNCTIONS if f not in NEVER + UNHEARD]
        names = ["CKR_GENERAL_ERROR", "CKR_DEVICE_ERROR", "CKR_SESSION_HANDLE_INVALID"]
        for i, function in enumerate(called):
            for name in names if FULL else names[i % len(names):][:1]:
                with self.subTest(f"{name} of {function}"):
                    done = self.control[function]["done"]
                    self.control.set(function, "return", left=2, value=CKR[name])
                    self.provoke(function)
                    until("it has failed", lambda: self.control[function]["done"] > done)
                    until("it signs", lambda: self.signs()[0])
                    self.control.set(function, "none")
        for function in NEVER:
            self.assertEqual(self.control[function]["calls"], 0, function)
        self.heals()
        self.check(self.all_of(8))

    def test_a_module_that_crashes_at_each_start_is_started_later_each_time(self):
        self.start(signers=1)
        self.control.set("C_FindObjects", "segv")
        until("it has crashed often", lambda: "replaced in 800 ms" in self.daemon.said())
        waits = [int(ms) for ms in re.findall(r"signer 1 .*; replaced in (\d+) ms", self.daemon.said())]
        self.assertEqual(waits[:5], [0, 100, 200, 400, 800])
        self.control.set("C_FindObjects", "none")
        self.heals()

    def test_a_token_that_is_gone_is_said_and_found_again(self):
        self.start()
        self.control.set("C_Sign", "return", value=CKR["CKR_DEVICE_REMOVED"])
        self.control.set("C_OpenSession", "return", value=CKR["CKR_TOKEN_NOT_PRESENT"])
        until("it says so", lambda: "TOKEN_" in self.signs()[1])
        self.daemon.cli("sign", "--profile", "web", "--subject", "s", want=3)
        self.control.set("C_Sign", "none")
        self.control.set("C_OpenSession", "none")
        self.heals()

    def is_unavailable(self, *words):
        """Whoever asks is told to come back, why, and since when; status too."""
        for command in (["sign", "--profile", "web"], ["jwks"], ["status"]):
            out, err = self.daemon.cli(*command, want=3)
            for word in words:
                self.assertIn(word, err + out.decode())
            self.assertRegex(err + out.decode(), r"since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ: ")

    def test_a_module_that_cannot_begin_is_no_empty_key_set(self):
        self.start(first={"C_Initialize": {"kind": "return", "value": CKR["CKR_GENERAL_ERROR"]}})
        self.is_unavailable("TOKEN_UNREACHABLE", "no signer works", "CKR_GENERAL_ERROR")
        self.signers = {1, 2}
        self.control.set("C_Initialize", "none")
        self.heals()

    def test_a_token_that_is_not_there_neither(self):
        self.start(first={"C_GetTokenInfo": {"kind": "return", "value": CKR["CKR_TOKEN_NOT_PRESENT"]}})
        self.is_unavailable("TOKEN_MISSING", "no signer works", "pkcs11:token=signet")
        self.signers = {1, 2}
        self.control.set("C_GetTokenInfo", "none")
        self.heals()

    def test_a_token_that_cannot_be_listed_neither(self):
        self.start()
        self.control.set("C_FindObjects", "return", value=CKR["CKR_FUNCTION_FAILED"])
        self.kill_broker()
        until("it is known", lambda: "CKR_FUNCTION_FAILED" in self.daemon.cli("jwks", want=None)[1])
        self.is_unavailable("TOKEN_UNREACHABLE", "keys cannot be read", "CKR_FUNCTION_FAILED")
        self.control.set("C_FindObjects", "none")
        self.heals()

    def test_a_proof_that_could_not_be_made_yet_is_no_verdict_on_the_key(self):
        self.start()
        self.control.set("C_Sign", "return", value=CKR["CKR_DEVICE_ERROR"])
        self.kill_broker()
        until("it has tried", lambda: self.control["C_Sign"]["done"])
        for _ in range(30):
            _, err = self.daemon.cli("sign", "--profile", "web", "--subject", "s", want=3)
            self.assertNotIn("KEY_UNPROVED", err)
        self.control.set("C_Sign", "none")
        self.heals()

    def one_hangs_at_the_start(self, function):
        """READY comes before the one that hangs is killed, which is later than any test waits."""
        self.start(first={function: {"kind": "hang", "left": 1}})
        self.assertTrue(self.signs()[0])
        self.assertEqual(self.control[function]["done"], 1)
        self.assertIn("the next one begins", self.daemon.said())
        self.assertIn("ready: 1 of 2 signers have the token", self.daemon.said())

    def test_a_login_that_hangs_at_the_start_does_not_stop_the_next_signer(self):
        self.one_hangs_at_the_start("C_Login")

    def test_a_listing_that_hangs_at_the_start_neither(self):
        self.one_hangs_at_the_start("C_FindObjects")

    def test_a_slow_token_keeps_deadlines(self):
        self.start()
        self.control.set("C_Sign", "delay", value=150)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            ends = list(pool.map(lambda _: self.signs(), range(48)))
        self.assertTrue(any(out for out, _ in ends))
        for out, err in ends:
            self.assertTrue(out or "DEADLINE_EXCEEDED" in err or "QUEUE_FULL" in err, err)

    def test_a_wrong_pin_is_tried_once_whatever_the_number_of_signers(self):
        self.start(signers=4, pin="wrong")
        self.assertIn("ready: 0 of 4 signers", self.daemon.said())
        self.assertEqual(self.control["C_Login"]["calls"], 1)
        until("callers are told", lambda: "PIN_WRONG" in self.signs()[1])
        self.assertIn("PIN_WRONG", self.daemon.cli("status", want=3)[0].decode())
        self.assertEqual(self.control["C_Login"]["calls"], 1)
        for _ in range(3):                             # a reload says nothing of the PIN
            self.daemon.cli("reload")
        self.assertIn("PIN_WRONG", self.signs()[1])
        self.daemon.place.write_pin("correct horse")
        self.signers = {1, 2, 3, 4}
        self.heals()
        until("all have their token", lambda: [s["state"] for s in json.loads(
            self.daemon.cli("status", "--admin", "--json")[0])["signers"]] == ["ready"] * 4)
        self.assertGreaterEqual(self.control["C_Login"]["calls"], 1 + 4)      # those that met another's are tried again

    def test_sessions_that_are_dropped_cost_a_login_and_nothing_else(self):
        self.start("verify_every: 1")
        logins = self.control["C_Login"]["calls"]
        self.control.set("C_Sign", "drop", left=2)
        tokens = self.all_of(40)
        self.assertEqual(len(set(tokens)), 40)
        self.check(tokens)
        self.assertEqual(self.control["C_Sign"]["done"], 2)
        self.heals()
        self.assertEqual(set(self.daemon.roles()["signer"]), self.signers)
        self.assertGreater(self.control["C_Login"]["calls"], logins)
        self.assertIn("logs in again: ", self.daemon.said())

    def test_a_pin_that_is_refused_when_it_logs_in_again_is_not_tried_twice(self):
        self.start(signers=1)
        logins = self.control["C_Login"]["calls"]
        self.control.set("C_Login", "return", value=CKR_PIN_INCORRECT)
        self.control.set("C_Sign", "drop", left=1)
        until("callers are told", lambda: "PIN_WRONG" in self.signs()[1])
        for _ in range(3):
            self.daemon.cli("reload")
        self.assertIn("PIN_WRONG", self.signs()[1])
        self.assertEqual(self.control["C_Login"]["calls"], logins + 1)
        self.control.set("C_Login", "none")
        self.daemon.place.write_pin("correct horse")
        self.heals()

    def test_a_module_that_is_used_up_is_opened_anew(self):
        """tpm2-pkcs11 #843: all signatures fail while a session lives that is older than so many."""
        self.start("verify_every: 1")
        self.control.set("C_Sign", "used_up", value=100)
        tokens = self.all_of(160)
        self.assertEqual(len(set(tokens)), 160)
        self.check(tokens)
        self.assertTrue(self.control["C_Sign"]["done"])
        self.assertTrue(set(self.daemon.roles()["signer"]) - self.signers)

    def test_sessions_are_opened_anew_before_that(self):
        """By default before 17000 signatures; SIGNET_FULL=1: the 65,000 of #843."""
        n = 65000 if FULL else 17000
        self.start("verify_every: 100000", signers=1)
        self.control.set("C_Sign", "used_up", value=n)
        hammer = Hammer(self.daemon, 64)
        hammer.more_tokens(n + 1000, patience=600)
        got = hammer.finish()
        self.assertEqual(got["tokens"], got["asked"], got)
        self.assertEqual(self.control["C_Sign"]["done"], 0)
        self.assertEqual(set(self.daemon.roles()["signer"]), self.signers)

    def test_old_sessions_are_opened_anew(self):
        """All of them, when the hour is over, and not long before."""
        self.start(signers=1, timed=True)
        self.assertTrue(self.signs()[0])
        signed, logins = (self.control[f]["calls"] for f in ("C_Sign", "C_Login"))
        self.time.pass_by(3500)
        self.daemon.cli("reload")
        self.assertTrue(self.signs()[0])
        self.assertLess(self.control.oldest_session(), signed, "none is old: nothing would be shown")
        self.time.pass_by(101)
        self.daemon.cli("reload")
        until("none of before is open", lambda: self.signs()[0] and self.control.oldest_session() >= signed)
        self.assertEqual(self.control["C_Login"]["calls"], logins)
        self.assertEqual(set(self.daemon.roles()["signer"]), self.signers)

    def test_a_module_that_takes_memory_and_never_gives_it_back_is_opened_anew(self):
        self.start("verify_every: 1", token="  max_memory: 512MiB\n")
        self.control.set("C_Sign", "leak", value=8 << 20)
        tokens = self.all_of(160)
        self.assertEqual(len(set(tokens)), 160)
        self.check(tokens)
        until("it is replaced", lambda: self.signers - set(self.daemon.roles()["signer"]))
        self.assertIn("more than token.max_memory (512 MiB)", self.daemon.said())

    def test_a_token_that_is_pulled_out_is_missed_and_found_again(self):
        self.start()
        for _ in range(2):
            self.control.take_away()
            until("it is missed", lambda: "TOKEN_" in self.signs()[1])
            until("nobody waits for it", lambda: "no signer works since" in self.signs()[1])
            self.daemon.cli("sign", "--profile", "web", "--subject", "s", want=3)
            self.control.put_back()
            self.heals()

    def test_a_generation_that_fails_is_said_and_tried_again(self):
        self.start()
        self.control.set("C_GenerateKeyPair", "return", left=1, value=CKR["CKR_DEVICE_MEMORY"])
        _, err = self.daemon.cli("key", "generate", "web", want=None)
        self.assertIn("CKR_DEVICE_MEMORY", err)
        self.daemon.cli("key", "generate", "web")

    # "refresh: 10m": the next listing of its own comes later than any test waits.

    def test_a_ring_whose_first_key_failed_for_a_moment_has_it_soon(self):
        self.start("rotate_every: never", "refresh: 10m",
                   first={"C_GenerateKeyPair": {"kind": "return", "left": 2, "value": CKR["CKR_DEVICE_ERROR"]}})
        until("it signs", lambda: self.signs()[0])
        self.assertEqual(self.control["C_GenerateKeyPair"]["done"], 2)

    def test_a_first_key_that_could_not_be_proved_for_a_moment_too(self):
        # A signer tries three HMACs when it opens the token; a key is given two tries.
        self.start("rotate_every: never", "refresh: 10m", signers=1,
                   first={"C_Sign": {"kind": "return", "left": 5, "value": CKR["CKR_SESSION_HANDLE_INVALID"]}})
        until("it signs", lambda: self.signs()[0])
        self.assertEqual(self.control["C_GenerateKeyPair"]["calls"], 2)

    def is_made_once(self, reason, first):
        """What can never be is tried once, not at every listing; a reload tries again."""
        self.start("rotate_every: never", "refresh: 1s", first=first)
        for n in (1, 2):
            until("it was tried", lambda: self.control["C_GenerateKeyPair"]["calls"] >= n)
            listings = self.control["C_FindObjectsInit"]["calls"]
            until("it was listed often", lambda: self.control["C_FindObjectsInit"]["calls"] > listings + 16)
            self.assertEqual(self.control["C_GenerateKeyPair"]["calls"], n)
            self.assertIn(reason, self.signs()[1])
            self.assertIn("tried again in 10m", self.daemon.said())
            self.daemon.cli("reload")

    def test_a_key_that_the_token_cannot_make_is_tried_once(self):
        self.is_made_once("MECHANISM_MISSING", {"C_GenerateKeyPair": {"kind": "return", "value": CKR_MECHANISM_INVALID}})

    def test_a_key_that_does_not_sign_is_made_once(self):
        self.is_made_once("KEY_UNPROVED: this token does not sign with ES256", {"C_Sign": {"kind": "flip"}})

    def test_a_listing_that_fails_half_way_does_not_count(self):
        self.start()
        kids = [k["kid"] for k in self.daemon.jwks()["keys"]]
        self.control.set("C_FindObjects", "return", value=CKR["CKR_FUNCTION_FAILED"])
        self.daemon.cli("reload")
        self.assertTrue(self.signs()[0])
        self.assertEqual([k["kid"] for k in self.daemon.jwks()["keys"]], kids)

    def test_a_token_that_cannot_be_looked_at_for_a_while_is_not_lost(self):
        """SoftHSM says so while others log in: no reason to give up the only signer's login."""
        self.start(signers=1)
        self.control.set("C_GetTokenInfo", "return", value=CKR["CKR_GENERAL_ERROR"])
        self.daemon.cli("reload")
        until("a listing has failed", lambda: "the token could not be listed" in self.daemon.said())
        for _ in range(3):
            self.assertTrue(self.signs()[0])
        self.assertEqual(set(self.daemon.roles()["signer"]), self.signers)
        self.control.set("C_GetTokenInfo", "none")
        self.daemon.cli("reload")
        self.assertEqual(set(self.daemon.roles()["signer"]), self.signers)

    def test_one_that_cannot_be_looked_at_for_long_is_looked_for_anew(self):
        self.start(signers=1)
        self.control.set("C_GetTokenInfo", "return", value=CKR["CKR_GENERAL_ERROR"])
        self.daemon.cli("reload")
        until("its signer is replaced", lambda: set(self.daemon.roles().get("signer", [])) - self.signers)
        self.control.set("C_GetTokenInfo", "none")
        self.heals()

    def test_what_was_listed_too_long_ago_neither_signs_nor_verifies_nor_is_published(self):
        short = ["jwks_max_age: 1s", "refresh: 1s", "skew: 0s", "publish_ahead: 3s", "rotate_every: never"]
        self.start(*short, rings=ring("mac", "HS256", "create: yes", *short),
                   profiles=profile("mac", "mac", "mac.example", "claims: {allowed: any}"), token="  generate_timeout: 1s\n")
        tokens = [self.daemon.token(p, "--subject", "s") for p in ("web", "mac")]
        self.control.set("C_FindObjects", "return", value=CKR["CKR_FUNCTION_FAILED"])
        until("it is too long ago to sign", lambda: "TOKEN_UNREACHABLE" in self.signs()[1])
        for command in [["verify", t] for t in tokens] + [["jwks"]]:
            with self.subTest(command[0]):
                _, err = self.daemon.cli(*command, want=3)
                self.assertIn("TOKEN_UNREACHABLE", err)
                self.assertIn("CKR_FUNCTION_FAILED", err)
        self.control.set("C_FindObjects", "none")
        self.heals()
        for token in tokens:
            self.daemon.cli("verify", token)
        self.assertEqual(len(self.daemon.jwks()["keys"]), 1)


if __name__ == "__main__":
    main()
