"""Keys made outside signet and named by URI: they sign, or it is said which one does not, and why."""
import json

import jwt

from rig import Case, PIN, Place, main, profile, ring, run

LONG_AGO = "2026-01-01T00:00:00Z"
LATER = "2026-06-01T00:00:00Z"


def outside(name, *uris, settings=()):
    keys = ", ".join(f"{{uri: '{uri}', activates_at: {at}}}" for uri, at in uris)
    return ring(name, "ES256", "rotate_every: never", f"keys: [{keys}]", *settings)


RINGS = {
    "good": outside("good", ("pkcs11:token=signet;object=ceremony;type=private", LONG_AGO)),
    "missing": outside("missing", ("pkcs11:object=missing", LONG_AGO)),
    "elsewhere": outside("elsewhere", ("pkcs11:token=other;object=elsewhere", LONG_AGO)),
    "kind": outside("kind", ("pkcs11:object=p-384", LONG_AGO)),
    "exportable": outside("exportable", ("pkcs11:object=exportable", LONG_AGO)),
    "allowed": outside("allowed", ("pkcs11:object=allowed", LONG_AGO), settings=["allow_exportable: yes"]),
    "public": outside("public", ("pkcs11:object=public", LONG_AGO)),
    "twins": outside("twins", ("pkcs11:object=twins", LONG_AGO)),
    "rolled": outside("rolled", ("pkcs11:object=before", LONG_AGO), ("pkcs11:object=after", LATER)),
    "later": outside("later", ("pkcs11:object=first", LONG_AGO), ("pkcs11:object=second", "2100-01-01T00:00:00Z")),
}


class Outside(Case):
    rings = "".join(RINGS.values())
    profiles = "".join(profile(name, name, f"{name}.example", "claims: {allowed: any}") for name in RINGS)

    @staticmethod
    def make_place():
        place = Place()
        for n, (label, curve, *flags) in enumerate([
                ("ceremony", "prime256v1", "--private", "--sensitive"),
                ("elsewhere", "prime256v1", "--private", "--sensitive"),
                ("p-384", "secp384r1", "--private", "--sensitive"),
                ("exportable", "prime256v1", "--private", "--extractable"),
                ("allowed", "prime256v1", "--private", "--extractable"),
                ("public", "prime256v1", "--sensitive"),
                ("twins", "prime256v1", "--private", "--sensitive"),
                ("twins", "prime256v1", "--private", "--sensitive"),
                ("before", "prime256v1", "--private", "--sensitive"),
                ("first", "prime256v1", "--private", "--sensitive")]):
            run(["pkcs11-tool", "--module", place.module, "--token-label", "signet", "--login", "--pin", PIN, "--keypairgen",
                 "--key-type", f"EC:{curve}", "--id", f"{n:04x}", "--label", label, *flags], env=place.env)
        return place

    def troubles(self):
        status = json.loads(self.daemon.cli("status", "--json")[0])
        return {r["name"]: r["trouble"] for r in status["rings"]}

    def says(self, name, reason, *words):
        """To the caller, in status and, once, in the log; and the verifiers are told of no such key."""
        err = self.refused(reason, "sign", "--profile", name, "--subject", "s")
        trouble = self.troubles()[name]
        [line] = [l for l in self.daemon.said().splitlines() if f"ring '{name}'" in l and "does not sign" in l]
        self.assertEqual(trouble["reason"], reason)
        for word in words:
            for text in (err, trouble["text"], line):
                self.assertIn(word, text)
        self.assertNotIn("signet key generate", err)

    def signs(self, name):
        token = self.daemon.token(name, "--subject", "s")
        key = next(k for k in self.daemon.jwks()["keys"] if k["kid"] == jwt.get_unverified_header(token)["kid"])
        self.assertEqual(jwt.decode(token, jwt.PyJWK(key).key, algorithms=["ES256"], audience=f"{name}.example")["sub"], "s")
        self.assertIsNone(self.troubles()[name])
        return key["kid"]

    def test_a_key_made_outside_signs(self):
        kid = self.signs("good")
        shown = self.daemon.cli("key", "show", kid)[0].decode()
        self.assertIn("ceremony", shown)
        self.assertIn("custody       made in the token, never left it", shown)

    def test_a_uri_that_no_key_matches_is_named(self):
        self.says("missing", "NO_ACTIVE_KEY", "'pkcs11:object=missing'", "no key of the token")

    def test_a_uri_of_another_token_matches_no_key_of_this_one(self):
        self.says("elsewhere", "NO_ACTIVE_KEY", "'pkcs11:token=other;object=elsewhere'", "no key of the token")

    def test_a_key_of_another_kind_is_named(self):
        self.says("kind", "KEY_UNPROVED", "'p-384'", "it is a P-384 key, which ES256 cannot use")

    def test_a_key_that_could_be_exported_is_refused(self):
        self.says("exportable", "KEY_EXPORTABLE", "does not say allow_exportable")

    def test_unless_the_ring_allows_that(self):
        kid = self.signs("allowed")
        self.assertIn("custody       exportable", self.daemon.cli("key", "show", kid)[0].decode())

    def test_a_key_that_anyone_could_have_made_does_not_sign(self):
        self.says("public", "KEY_UNPROVED", "'public'", "it is not CKA_PRIVATE")

    def test_a_uri_that_two_keys_match_names_neither(self):
        self.says("twins", "KEY_UNPROVED", "'twins'", "2 keys", "'pkcs11:object=twins'", "id=")

    def test_a_key_that_is_not_there_when_its_time_has_come_holds_its_place(self):
        self.says("rolled", "NO_ACTIVE_KEY", "'pkcs11:object=after'")

    def test_one_whose_time_has_not_come_hurts_nobody(self):
        self.signs("later")


if __name__ == "__main__":
    main()
