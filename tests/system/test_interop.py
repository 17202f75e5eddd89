"""Round trips both ways with libraries that nobody here wrote: python's jwt and jwcrypto, Debian's jose tool, node's
jose and jsonwebtoken, for the algorithms that each has."""
import base64
import json
import pathlib
import shutil
import subprocess
import time

import jwt
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jwt as jwcrypto_jwt

from rig import Case, HMAC, HMAC_SECRET, PUBLIC, as_user, main, npm_packages, profile, ring, run

APP = 1                      # Debian's user `daemon`: the application
ISSUER = "https://login.example"
HERE = pathlib.Path(__file__).resolve().parent
ALL = HMAC + PUBLIC
NO_EDDSA = [a for a in ALL if a != "EdDSA"]


def b64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class PythonJwt:
    algs = ALL

    def sign(self, alg, key, claims):
        return jwt.encode(claims, jwt.PyJWK(key, alg).key, algorithm=alg)

    def verify(self, alg, key, token, aud):
        return jwt.decode(token, jwt.PyJWK(key, alg).key, algorithms=[alg], audience=aud, issuer=ISSUER)


class Jwcrypto:
    algs = ALL

    def sign(self, alg, key, claims):
        token = jwcrypto_jwt.JWT(header={"alg": alg, "typ": "JWT"}, claims=claims, algs=[alg])
        token.make_signed_token(jwcrypto_jwk.JWK(**key))
        return token.serialize()

    def verify(self, alg, key, token, aud):
        checked = jwcrypto_jwt.JWT(jwt=token, key=jwcrypto_jwk.JWK(**key), algs=[alg],
                                   check_claims={"iss": ISSUER, "aud": aud, "exp": None})
        return json.loads(checked.claims)


class JoseTool:
    algs = NO_EDDSA

    def __init__(self, place):
        self.key = place.dir / "jose.jwk"

    def sign(self, alg, key, claims):
        self.key.write_text(json.dumps({**key, "alg": alg}))
        template = json.dumps({"protected": {"alg": alg, "typ": "JWT"}})
        return run(["jose", "jws", "sig", "-I-", "-k", str(self.key), "-s", template, "-c", "-o-"],
                   stdin=json.dumps(claims).encode()).decode().strip()

    def verify(self, alg, key, token, aud):
        self.key.write_text(json.dumps(key))
        return json.loads(run(["jose", "jws", "ver", "-i-", "-k", str(self.key), "-O-"], stdin=token.encode()))


class Node:
    """Both of node's, through one process."""
    process = None

    def __init__(self, lib, algs):
        self.lib, self.algs = lib, algs

    @classmethod
    def start(cls):
        folder = npm_packages(HERE / "node")
        shutil.copy(HERE / "node/interop.mjs", folder)
        cls.process = subprocess.Popen(["node", "interop.mjs"], cwd=folder, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)

    @classmethod
    def end(cls):
        if cls.process:
            cls.process.communicate(timeout=30)

    def ask(self, **request):
        Node.process.stdin.write(json.dumps({"lib": self.lib, **request}) + "\n")
        Node.process.stdin.flush()
        answer = json.loads(Node.process.stdout.readline())
        assert answer["ok"], f"{self.lib}: {answer['value']}"
        return answer["value"]

    def sign(self, alg, key, claims):
        return self.ask(op="sign", alg=alg, key=key, claims=claims)

    def verify(self, alg, key, token, aud):
        return self.ask(op="verify", alg=alg, key=key, token=token, iss=ISSUER, aud=aud)


def secret_key(alg):
    return {"kty": "oct", "k": b64url(HMAC_SECRET[alg])}


def key_pair(alg):
    """A key of the other side's own making, as (private JWK, public JWK)."""
    if alg in HMAC:
        return secret_key(alg), secret_key(alg)
    kind = {"ES256": dict(kty="EC", crv="P-256"), "ES384": dict(kty="EC", crv="P-384"),
            "ES512": dict(kty="EC", crv="P-521"), "EdDSA": dict(kty="OKP", crv="Ed25519")}
    key = jwcrypto_jwk.JWK.generate(**kind.get(alg, dict(kty="RSA", size=2048)))
    return json.loads(key.export_private()), json.loads(key.export_public())


def claims_for(audience):
    now = int(time.time())
    return {"iss": ISSUER, "sub": "x", "aud": audience, "iat": now, "exp": now + 600}


def changed(signature):
    """Another byte in the middle, as canonical as before."""
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[len(raw) // 2] ^= 1
    return b64url(bytes(raw))


class Interop(Case):
    algs = ALL
    module_leaks = True          # SoftHSM 2.6.1 loses the name of the curve at each use of an Ed25519 key

    @classmethod
    def prepare(cls):
        for alg in (a for a in cls.algs if a in HMAC):
            cls.daemon.cli("key", "import", alg.lower(), stdin=HMAC_SECRET[alg])
        Node.start()
        cls.addClassCleanup(Node.end)
        cls.peers = {"python jwt": PythonJwt(), "jwcrypto": Jwcrypto(), "jose tool": JoseTool(cls.place),
                     "node jose": Node("jose", ALL), "node jsonwebtoken": Node("jsonwebtoken", NO_EDDSA)}
        cls.published = {k["alg"]: k for k in cls.daemon.jwks()["keys"]}

    def each(self, what):
        """what(peer, alg) for every pair, each a subtest of its own."""
        for name, peer in self.peers.items():
            for alg in (a for a in peer.algs if a in self.algs):
                with self.subTest(peer=name, alg=alg):
                    what(peer, alg)

    def test_no_secret_is_in_the_key_set(self):
        self.assertEqual(sorted(self.published), sorted(a for a in self.algs if a in PUBLIC))
        for key in self.published.values():
            self.assertEqual(set(key) & {"d", "k", "p", "q", "dp", "dq", "qi"}, set())
            thumbprint = jwcrypto_jwk.JWK(**key).thumbprint()
            self.assertEqual(key["kid"], thumbprint)

    def test_others_accept_what_signet_signs(self):
        def accepts(peer, alg):
            token = self.daemon.token(alg.lower(), "--subject", "1234567890", "--claim", "name=John Doe")
            key = secret_key(alg) if alg in HMAC else {k: v for k, v in self.published[alg].items() if k != "kid"}
            claims = peer.verify(alg, key, token, f"{alg.lower()}.example")
            self.assertEqual((claims["sub"], claims["name"]), ("1234567890", "John Doe"))
        self.each(accepts)

    def test_signet_accepts_what_others_sign_offline(self):
        jwks = self.place.dir / "other.jwks"

        def accepted(peer, alg):
            private, public = key_pair(alg)
            token = peer.sign(alg, private, claims_for("shop"))
            jwks.write_text(json.dumps({"keys": [public]}))
            flags = ["verify", "--jwks", jwks, "--alg", alg, "--issuer", ISSUER, "--audience", "shop"]
            self.assertEqual(json.loads(self.daemon.cli(*flags, token)[0])["sub"], "x")
            header, payload, signature = token.split(".")
            self.refused("BAD_SIGNATURE", *flags, f"{header}.{payload}.{changed(signature)}")
        self.each(accepted)

    def test_the_daemon_accepts_what_others_sign_with_a_shared_secret(self):
        def accepted(peer, alg):
            if alg in HMAC:
                token = peer.sign(alg, secret_key(alg), claims_for(f"{alg.lower()}.example"))
                self.assertEqual(json.loads(self.daemon.cli("verify", "--profile", alg.lower(), token)[0])["sub"], "x")
        self.each(accepted)


class SessionToken(Case):
    """What it is all for: an application has a token signed by a key that it cannot reach, and others accept it."""
    rings = ring("web", "ES256", "create: yes", "max_ttl: 12h")
    profiles = profile("web-session", "web", "shop, login", "ttl: 15m", "max_ttl: 8h",
                       "claims: {allowed: [name], required: [name]}", sign="{users: [daemon]}")

    @classmethod
    def prepare(cls):
        Node.start()
        cls.addClassCleanup(Node.end)

    def test_one_who_cannot_read_the_key_has_a_token_that_others_accept(self):
        for look in (["ls", self.place.tokens], ["cat", self.place.pin]):
            denied = subprocess.run([*as_user(APP), *look], env=self.place.env, capture_output=True)
            self.assertIn(b"Permission denied", denied.stderr)
            self.assertNotEqual(denied.returncode, 0)
        begun = int(time.time())
        token = self.daemon.token("web-session", "--subject", "1234567890", "--claim", "name=John Doe", uid=APP)
        ended = int(time.time())
        [key] = self.daemon.jwks()["keys"]
        self.assertEqual(key["kid"], jwcrypto_jwk.JWK(**key).thumbprint())
        self.assertEqual(jwt.get_unverified_header(token), {"alg": "ES256", "typ": "JWT", "kid": key["kid"]})
        for name, peer in (("python jwt", PythonJwt()), ("node jose", Node("jose", ALL))):
            with self.subTest(name):
                claims = peer.verify("ES256", key, token, "shop")
                self.assertEqual({n: claims[n] for n in ("iss", "aud", "sub", "name")},
                                 {"iss": ISSUER, "aud": "shop", "sub": "1234567890", "name": "John Doe"})
                self.assertEqual(set(claims), {"iss", "aud", "sub", "name", "iat", "exp", "jti"})
                self.assertEqual(claims["exp"] - claims["iat"], 15 * 60)
                self.assertTrue(begun <= claims["iat"] <= ended)
                self.assertRegex(claims["jti"], r"^[0-9a-f]{32}$")
                for bad in (token[:-8] + "AAAAAAAA", self.daemon.token("web-session", "--claim", "name=x", "--audience", "login",
                                                                       uid=APP)):
                    with self.assertRaises((AssertionError, jwt.InvalidTokenError)):
                        peer.verify("ES256", key, bad, "shop")


if __name__ == "__main__":
    main()
