"""Signing and verifying through the socket, by callers of several uids."""
import base64
import json
import time

import wire
from rig import (Case, EXAMPLE_PROFILE, EXAMPLE_RING, OTHER, PRINTED_PAYLOAD, PRINTED_SECRET, PRINTED_TOKEN,
                 STRANGER, main, profile, ring)

ALLOWED = 1                  # Debian's user `daemon`, named by the profile


def decoded(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def flipped(token):
    """The token with each of its bits flipped, one at a time."""
    for bit in range(8 * len(token)):
        changed = bytearray(token.encode())
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def refuses_every_flipped_bit(case, profile_name, token):
    with wire.Connection(case.daemon.socket) as c:
        case.assertEqual(c.verdicts(profile_name, [token.encode()]), [True])
        said = c.verdicts(profile_name, list(flipped(token)))
    case.assertEqual(len(said), 8 * len(token))
    case.assertEqual([(bit, s) for bit, s in enumerate(said) if s not in wire.VERDICTS], [])


class Session(Case):
    rings = ring("web", "ES256", "create: yes", "max_ttl: 12h")
    profiles = (profile("web-session", "web", "shop, login", "ttl: 15m", "max_ttl: 8h",
                        "claims: {allowed: [name, role], required: [name], fixed: {tenant: blue}}",
                        sign="{users: [root, daemon]}")
                + profile("members", "web", "members.example", sign="{groups: [daemon]}"))

    def session(self, *args, **kw):
        return self.daemon.token("web-session", "--subject", "1234567890", "--claim", "name=John Doe", *args, **kw)

    def test_a_session_token_says_what_was_asked(self):
        now = int(time.time())
        header, payload, _ = self.session("--ttl", "10m").split(".")
        header, payload = decoded(header), decoded(payload)
        self.assertEqual(list(header), ["alg", "typ", "kid"])
        self.assertEqual((header["alg"], header["typ"]), ("ES256", "JWT"))
        self.assertEqual(header["kid"], self.daemon.jwks()["keys"][0]["kid"])
        self.assertEqual(payload["iss"], "https://login.example")
        self.assertEqual((payload["sub"], payload["name"], payload["tenant"]), ("1234567890", "John Doe", "blue"))
        self.assertEqual(payload["aud"], "shop")
        self.assertEqual(payload["exp"] - payload["iat"], 600)
        self.assertLessEqual(abs(payload["iat"] - now), 60)
        self.assertGreaterEqual(len(payload["jti"]), 22)

    def test_no_two_tokens_share_a_jti(self):
        ids = {decoded(self.session().split(".")[1])["jti"] for _ in range(20)}
        self.assertEqual(len(ids), 20)

    def test_a_claim_s_value_is_signed_as_it_was_written(self):
        claims = b'{"name": "J\\u006fhn", "role": [0.1, 1e2, 9007199254740993]}'
        token = self.daemon.token("web-session", "--subject", "s", "--claims", "-", stdin=claims)
        payload = base64.urlsafe_b64decode(token.split(".")[1] + "==")
        self.assertIn(b'"name":"J\\u006fhn"', payload)
        self.assertIn(b'"role":[0.1, 1e2, 9007199254740993]', payload)

    def test_verify_finds_the_profile_itself(self):
        out, _ = self.daemon.cli("verify", self.session())
        self.assertEqual(json.loads(out)["sub"], "1234567890")

    def test_a_caller_of_another_uid_is_served(self):
        token = self.session(uid=ALLOWED)
        self.assertEqual(json.loads(self.daemon.cli("verify", token, uid=STRANGER)[0])["name"], "John Doe")

    def test_a_caller_who_is_not_named_is_refused_with_the_profile_and_what_it_asked_as(self):
        err = self.refused("CALLER_NOT_ALLOWED", "sign", "--profile", "web-session", "--subject", "s",
                           "--claim", "name=x", uid=STRANGER)
        self.assertIn("web-session", err)
        self.assertIn(str(STRANGER), err)

    def test_a_supplementary_group_counts_wherever_it_stands(self):
        self.refused("CALLER_NOT_ALLOWED", "sign", "--profile", "members", uid=STRANGER, groups=[OTHER])
        for groups in ([ALLOWED], [OTHER, ALLOWED], [ALLOWED, *range(70000, 72000)]):
            with self.subTest(len(groups)):
                self.daemon.token("members", uid=STRANGER, groups=groups)

    def test_a_stranger_is_no_admin(self):
        _, err = self.daemon.cli("key", "list", uid=STRANGER, want=None)
        self.assertNotEqual(err, "")

    def test_each_refusal_has_its_own_reason(self):
        sign = ["sign", "--profile", "web-session", "--subject", "s", "--claim", "name=x"]
        for reason, args in [
                ("TTL_TOO_LONG", [*sign, "--ttl", "9h"]),
                ("AUDIENCE_NOT_ALLOWED", [*sign, "--audience", "bank"]),
                ("CLAIM_NOT_ALLOWED", [*sign, "--claim", "colour=red"]),
                ("CLAIM_REQUIRED", ["sign", "--profile", "web-session", "--subject", "s"]),
                ("CLAIM_RESERVED", [*sign, "--claim", "exp:=99"]),
                ("CLAIM_RESERVED", [*sign, "--claim", "Iss=x"]),
                ("UNKNOWN_PROFILE", ["sign", "--profile", "no-such", "--subject", "s"])]:
            with self.subTest(reason=reason):
                self.refused(reason, *args)

    def test_who_asks_for_no_profile_is_told_which_there_are_for_it(self):
        err = self.refused("UNKNOWN_PROFILE", "sign", "--profile", "no-such", "--subject", "s")
        self.assertRegex(err, "no profile 'no-such'; you may use .*web-session")

    def test_a_payload_is_for_raw_profiles_only_and_claims_are_not(self):
        self.refused("PAYLOAD_NOT_ALLOWED", "sign", "--profile", "web-session", "--payload", "-", stdin=b"{}")

    def test_every_flipped_bit_of_a_session_token_is_refused(self):
        refuses_every_flipped_bit(self, "web-session", self.session())

    def test_wrong_usage_is_2_and_nobody_there_is_3(self):
        self.daemon.cli("sign", want=2)
        self.daemon.cli("no-such-command", want=2)
        _, err = self.daemon.cli("--json", "status", want=2)
        self.assertIn("options stand after the command: signet COMMAND --json", err)
        _, err = self.daemon.cli("verify", "-", want=1)
        self.assertIn("MALFORMED: the token is empty", err)
        self.daemon.cli("status", "--socket", self.place.dir / "nobody.sock", want=3)


class Printed(Case):
    rings, profiles = EXAMPLE_RING, EXAMPLE_PROFILE

    @classmethod
    def prepare(cls):
        cls.daemon.cli("key", "import", "printed", stdin=PRINTED_SECRET)

    def test_the_printed_token_is_made_to_the_byte(self):
        self.assertEqual(self.daemon.token("example", "--payload", "-", stdin=PRINTED_PAYLOAD), PRINTED_TOKEN)

    def test_a_caller_of_another_uid_is_served(self):
        self.assertEqual(self.daemon.token("example", "--payload", "-", stdin=PRINTED_PAYLOAD, uid=OTHER), PRINTED_TOKEN)

    def test_the_printed_token_is_accepted_and_its_payload_is_what_was_signed(self):
        self.assertEqual(self.daemon.cli("verify", "--profile", "example", PRINTED_TOKEN)[0], PRINTED_PAYLOAD)

    def test_a_token_is_a_line_wherever_it_is_written(self):
        out, _ = self.daemon.cli("sign", "--profile", "example", "--payload", "-", stdin=PRINTED_PAYLOAD)
        self.assertEqual(out, PRINTED_TOKEN.encode() + b"\n")

    def test_a_token_on_stdin_is_the_same(self):
        out, _ = self.daemon.cli("verify", "--profile", "example", "-", stdin=PRINTED_TOKEN.encode())
        self.assertEqual(out, PRINTED_PAYLOAD)

    def test_another_secret_s_signature_is_refused(self):
        header, payload, signature = PRINTED_TOKEN.split(".")
        self.refused("BAD_SIGNATURE", "verify", "--profile", "example", f"{header}.{payload}.{signature[::-1][1:]}A")

    def test_every_flipped_bit_of_the_printed_token_is_refused(self):
        refuses_every_flipped_bit(self, "example", PRINTED_TOKEN)

    def test_every_flipped_bit_of_the_printed_token_is_refused_offline(self):
        """As the flipped byte reaches the verifier, one line of a batch each."""
        key = base64.urlsafe_b64encode(PRINTED_SECRET).rstrip(b"=").decode()
        jwks = {"keys": [{"kty": "oct", "k": key, "alg": "HS256"}]}
        tokens = [PRINTED_TOKEN.encode(), *flipped(PRINTED_TOKEN)]
        lines = "".join(json.dumps({"id": str(i), "token_b64": base64.b64encode(t).decode(), "jwks": jwks,
                                    "algs": ["HS256"]}) + "\n" for i, t in enumerate(tokens))
        out, _ = self.daemon.cli("verify", "--batch", "--no-claims", "--allow-weak-secret", stdin=lines.encode())
        answers = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([a["id"] for a in answers], [str(i) for i in range(len(tokens))])
        self.assertTrue(answers[0]["ok"], answers[0])
        self.assertEqual([a["id"] for a in answers[1:] if a["ok"]], [])


if __name__ == "__main__":
    main()
