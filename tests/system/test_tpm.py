"""The same daemon on a simulated TPM, for the algorithms that it has."""
import json
import os
import signal

import jwt

from rig import Case, STRANGER, TpmPlace, main, profile, ring, until

ALGS = ["ES256", "ES384", "RS256", "PS256"]


class Tpm(Case):
    make_place = TpmPlace
    rings = "".join(ring(a.lower(), a, "create: yes", *(["bits: 2048"] if a[0] in "RP" else [])) for a in ALGS)
    profiles = "".join(profile(a.lower(), a.lower(), f"{a.lower()}.example", "claims: {allowed: any}") for a in ALGS)
    # tpm2-pkcs11 is loaded by signers alone, and its libraries leak at exit.
    env = {"ASAN_OPTIONS": "detect_leaks=0"}

    def session(self, alg, **kw):
        return self.daemon.token(alg.lower(), "--subject", "1234567890", "--claim", "name=John Doe", **kw)

    def accept(self, alg, token):
        key = next(k for k in self.daemon.jwks()["keys"] if k["alg"] == alg)
        claims = jwt.decode(token, jwt.PyJWK(key).key, algorithms=[alg], audience=f"{alg.lower()}.example",
                            issuer="https://login.example")
        self.assertEqual((claims["sub"], claims["name"]), ("1234567890", "John Doe"))

    def test_each_algorithm_signs_and_verifies(self):
        for alg in ALGS:
            with self.subTest(alg):
                token = self.session(alg)
                self.accept(alg, token)
                self.daemon.cli("verify", "--profile", alg.lower(), token)
                self.refused("BAD_SIGNATURE", "verify", "--profile", alg.lower(), token[:-6] + "AAAAAA")

    def test_a_caller_of_another_uid_is_served(self):
        self.accept("ES256", self.session("ES256", uid=STRANGER))

    def test_a_tpm_has_one_signer_and_custody_rests_on_it(self):
        self.assertEqual(len(self.daemon.roles()["signer"]), 1)
        status = json.loads(self.daemon.cli("status", "--json")[0])
        self.assertIn("rests on the TPM", status["token"]["custody"])
        self.assertFalse(status["token"]["software"])

    def test_a_hundred_tokens_in_a_row(self):
        tokens = {self.session("ES256") for _ in range(100)}
        self.assertEqual(len(tokens), 100)

    def test_a_signer_killed_is_replaced(self):
        [pid] = self.daemon.roles()["signer"]
        os.kill(pid, signal.SIGKILL)
        until("the signer is replaced", lambda: self.daemon.roles().get("signer", [pid]) not in ([], [pid]))
        until("it signs again", lambda: not self.daemon.cli("sign", "--profile", "es256", "--subject", "s", want=None)[1])

    def test_hmac_import_says_which_tool_can(self):
        self.daemon.cli("status", "--admin")
        _, err = self.daemon.cli("key", "import", "es256", stdin=b"x" * 32, want=1)
        self.assertIn("only an HMAC ring takes a secret", err)

    def test_the_keys_are_the_same_after_a_restart(self):
        before = self.daemon.jwks()
        token = self.session("ES256")
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.start(self.env)
        self.assertEqual(self.daemon.jwks(), before)
        self.daemon.cli("verify", token)


if __name__ == "__main__":
    main()
