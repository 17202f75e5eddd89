"""Lines of the RFCs' checklists (RFC 8725; 7515, 7518, 7519) that show on a running daemon, each by its name."""
import base64
import json
import pathlib
import re

import jwt
from jwcrypto import jwk as jwcrypto_jwk
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from rig import Case, main, profile

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def bytes_of(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def header_of(token):
    return json.loads(bytes_of(token.split(".")[0]), object_pairs_hook=list)


class Checklist(Case):
    algs = ["ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256", "PS384", "PS512"]
    profiles = (profile("access", "es256", "api", "typ: at+jwt", "claims: {allowed: any}") +
                profile("logout", "es256", "api", "typ: logout+jwt", "claims: {allowed: any}") +
                profile("plain", "es256", "web", "claims: {allowed: any}"))
    module_leaks = True          # SoftHSM 2.6.1 loses the name of the curve at each use of an Ed25519 key

    @classmethod
    def prepare(cls):
        cls.tokens = {a: cls.daemon.token(a.lower(), "--subject", "s", "--claim", "name=x") for a in cls.algs}
        cls.keys = {k["alg"]: k for k in cls.daemon.jwks()["keys"]}

    def test_wire_6_1_3_2_ecdsa_no_nonce_is_used_twice(self):
        tokens = [self.daemon.token("es256", "--subject", "s") for _ in range(40)]
        self.assertEqual(len({bytes_of(t.split(".")[2])[:32] for t in tokens}), 40)

    def test_wire_6_1_3_5_keys_are_made_in_the_token_and_jti_is_128_random_bits(self):
        for key in json.loads(self.daemon.cli("key", "list", "--json")[0]):
            self.assertTrue(key["local"] and key["always_sensitive"] and key["never_extractable"], key)
            self.assertFalse(key["extractable"], key)
        ids = {jwt.decode(self.daemon.token("es256", "--subject", "s"), options={"verify_signature": False})["jti"]
               for _ in range(20)}
        self.assertEqual(len(ids), 20)
        for one in ids:
            self.assertRegex(one, r"^[0-9a-f]{32}$")

    def test_wire_6_1_3_12_no_token_of_one_profile_passes_as_another_s(self):
        names = [a.lower() for a in self.algs] + ["access", "logout", "plain"]
        tokens = {n: self.daemon.token(n, "--subject", "s") for n in names}
        for made in names:
            for judge in names:
                with self.subTest(made=made, judge=judge):
                    want = 0 if made == judge else 1
                    self.daemon.cli("verify", "--profile", judge, tokens[made], want=want)
            self.assertEqual(json.loads(self.daemon.cli("verify", "--json", tokens[made])[0])["profile"], made)

    def test_wire_6_2_1_a_token_is_three_parts_of_base64url(self):
        for token in self.tokens.values():
            self.assertRegex(token, r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$")

    def test_wire_6_2_3_header_names_are_few_and_unique(self):
        for alg, token in self.tokens.items():
            self.assertEqual([n for n, _ in header_of(token)], ["alg", "typ", "kid"])
            self.assertEqual(dict(header_of(token)), {"alg": alg, "typ": "JWT", "kid": self.keys[alg]["kid"]})

    def test_wire_6_2_4_crit_and_b64_are_never_written(self):
        for token in self.tokens.values():
            self.assertFalse({"crit", "b64"} & {n for n, _ in header_of(token)})

    def test_wire_6_2_6_a_pss_salt_is_as_long_as_the_hash(self):
        for alg, digest in (("PS256", hashes.SHA256()), ("PS384", hashes.SHA384()), ("PS512", hashes.SHA512())):
            signing_input, _, signature = self.tokens[alg].rpartition(".")
            jwt.PyJWK(self.keys[alg]).key.verify(
                bytes_of(signature), signing_input.encode(),
                padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size), digest)

    def test_wire_6_2_12_the_key_set_is_public_and_always_the_same(self):
        first, again = (self.daemon.cli("jwks")[0] for _ in range(2))
        self.assertEqual(first, again)
        keys = json.loads(first)["keys"]
        self.assertEqual(len(keys), len(self.algs))
        for key in keys:
            self.assertEqual((key["use"], key["kid"]), ("sig", jwcrypto_jwk.JWK(**key).thumbprint()))
            self.assertIn(key["alg"], self.algs)
            self.assertFalse(set(key) & {"d", "k", "p", "q", "dp", "dq", "qi", "oth"})

    def test_wire_6_2_19_an_unknown_kid_is_refused_and_no_other_key_tried(self):
        header = base64.urlsafe_b64encode(b'{"alg":"ES256","typ":"JWT","kid":"nobody"}').rstrip(b"=").decode()
        self.refused("KEY_UNKNOWN", "verify", "--profile", "es256", header + self.tokens["ES256"][self.tokens["ES256"].index("."):])

    def test_wire_6_2_23_a_verdict_is_told_apart_from_no_answer(self):
        said = json.loads(self.daemon.cli("verify", "--json", self.tokens["ES256"])[0])
        self.assertEqual(set(said), {"profile", "kid", "expires_at", "payload"})
        self.assertEqual((said["profile"], said["kid"]), ("es256", self.keys["ES256"]["kid"]))
        self.refused("BAD_SIGNATURE", "verify", self.tokens["ES256"][:-8] + "AAAAAAAA")
        self.daemon.cli("verify", "--socket", "/nonexistent/socket", self.tokens["ES256"], want=3)

    def test_wire_6_2_25_macs_are_compared_in_constant_time(self):
        for path in ("daemon/token/sign.c", "proto/jose/jwk_verify.c"):      # or by the token itself, as C_Verify does
            self.assertIn("CRYPTO_memcmp(", (SOURCE / path).read_text(), path)
        for path in ("daemon/token/sign.c", "daemon/broker/ops/verify.c", "daemon/broker/signing.c", "proto/jose/jwk_verify.c"):
            self.assertIsNone(re.search(r"(?<!CRYPTO_)memcmp\([^;]*(signature|mac)", (SOURCE / path).read_text()), path)


if __name__ == "__main__":
    main()
