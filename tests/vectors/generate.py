"""generate [SEED] [--now T --step S --alg ALG --kid KID --secret HEX]: hostile and valid tokens, one JSON object a line: what `signet verify --batch` reads, and "want":
true, or the reasons that a right verifier may give. After the ideas of project Wycheproof (what implementations got
wrong), with keys made here; nothing of its files.

All tokens are judged with --at 2000000000 --issuer https://i.example --audience a --leeway 0. For a verifier that goes
by the clock --now is the time, --step how far from it is near; --alg, --kid and --secret are an HMAC key that it has.
"""
import argparse
import base64
import hashlib
import hmac
import json
import random

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

NOW, STEP = 2000000000, 1        # seconds
CLAIMS = {"iss": "https://i.example", "aud": "a", "sub": "s", "iat": NOW - 10, "exp": NOW + 600}
KIDS = {}                        # by algorithm, where it is not the usual one
HASH = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVE = {"ES256": (ec.SECP256R1(), "P-256", 32), "ES384": (ec.SECP384R1(), "P-384", 48), "ES512": (ec.SECP521R1(), "P-521", 66)}
ORDER = {"ES256": 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551,
         "ES384": int("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16),
         "ES512": int("01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709"
                      "a5d03bb5c9b8899c47aebb6fb71e91386409", 16)}
L25519 = 2 ** 252 + 27742317777372353535851937790883648493
ALGS = ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
BAD = ["BAD_SIGNATURE"]


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def num(n, length=None):
    return b64(n.to_bytes(length or (n.bit_length() + 7) // 8, "big"))


def text(obj):
    return json.dumps(obj, separators=(",", ":")).encode()


class Key:
    """A key of one algorithm: its JWK, and how it signs."""

    def __init__(self, alg, bits=2048, e=65537):
        self.alg = alg
        if alg in CURVE:
            curve, crv, n = CURVE[alg]
            self.private = ec.generate_private_key(curve)
            p = self.private.public_key().public_numbers()
            self.jwk = {"kty": "EC", "crv": crv, "x": num(p.x, n), "y": num(p.y, n)}
        elif alg == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
            raw = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
        elif alg.startswith("HS"):
            self.private = random.randbytes(64)
            self.jwk = {"kty": "oct", "k": b64(self.private)}
        else:
            self.private = rsa.generate_private_key(e, bits)
            p = self.private.public_key().public_numbers()
            self.jwk = {"kty": "RSA", "n": num(p.n), "e": num(p.e)}
        self.jwk |= {"alg": alg, "kid": KIDS.get(alg, "k-" + alg), "use": "sig"}

    def sign(self, data, alg=None, salt=None, digest=None):
        alg = alg or self.alg
        digest = digest or HASH.get(alg[2:])
        if alg in CURVE:
            r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(digest)))
            n = CURVE[self.alg][2]
            return r.to_bytes(n, "big") + s.to_bytes(n, "big")
        if alg == "EdDSA":
            return self.private.sign(data)
        if alg.startswith("HS"):
            return hmac.new(self.private, data, {"256": "sha256", "384": "sha384", "512": "sha512"}[alg[2:]]).digest()
        if alg.startswith("PS"):
            return self.private.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size if salt is None else salt), digest)
        return self.private.sign(data, padding.PKCS1v15(), digest)


class Lines:
    def __init__(self):
        self.n = 0

    def put(self, name, token, jwk, want, algs=None):
        self.n += 1
        line = {"id": f"{self.n} {name}", "jwks": {"keys": jwk if isinstance(jwk, list) else [jwk]}, "want": want}
        if isinstance(token, bytes):
            line["token_b64"] = base64.b64encode(token).decode()
        else:
            line["token"] = token
        if algs is not None:
            line["algs"] = algs
        print(json.dumps(line))


def header_of(key, **more):
    return {"alg": key.alg, "typ": "JWT", "kid": key.jwk["kid"], **more}


def make(key, header=None, payload=None, **kw):
    """Header and payload as bytes or objects; signed."""
    header = header_of(key) if header is None else header
    payload = CLAIMS if payload is None else payload
    parts = [b64(p if isinstance(p, bytes) else text(p)) for p in (header, payload)]
    data = ".".join(parts).encode()
    return ".".join([*parts, b64(key.sign(data, **kw))])


def with_signature(token, signature):
    return token.rsplit(".", 1)[0] + "." + (b64(signature) if isinstance(signature, bytes) else signature)


def signature_of(token):
    part = token.rsplit(".", 1)[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


# --- for every key ---------------------------------------------------------------------------------------------------

def compact(out, key):
    token = make(key)
    h, p, s = token.split(".")
    put = lambda name, t, want: out.put(f"{key.alg} {name}", t, key.jwk, want)
    put("valid", token, True)
    put("valid, another kid beside it", make(key), True)
    for name, bad in (("two parts", f"{h}.{p}"), ("four parts", token + "."), ("five parts", f"{h}.{p}.{s}.{s}.{s}"),
                      ("empty", ""), ("two dots", ".."), ("no header", f".{p}.{s}"), ("padded", token + "="),
                      ("space behind", token + " "), ("newline behind", token + "\n"), ("space before", " " + token),
                      ("newline inside", f"{h}.\n{p}.{s}"), ("tab inside", f"{h}\t.{p}.{s}"), ("plus", f"{h}.{p}.+{s[1:]}"),
                      ("slash", f"{h}.{p}.{s[:-1]}/"), ("percent", f"{h}.{p}.%41{s}"), ("NUL behind", token.encode() + b"\0"),
                      ("no UTF-8", token.encode() + b"\xff"), ("a BOM before", "\ufeff" + token),
                      ("JSON serialization", json.dumps({"protected": h, "payload": p, "signature": s})),
                      ("Bearer before", "Bearer " + token)):
        put(name, bad, ["MALFORMED", "BAD_HEADER", "BAD_SIGNATURE"])
    put("no signature", f"{h}.{p}.", ["MALFORMED", *BAD])
    put("no payload", make(key, payload=b""), ["BAD_PAYLOAD", "MALFORMED"])
    put("signature cut", with_signature(token, signature_of(token)[:-1]), BAD)
    put("signature longer", with_signature(token, signature_of(token) + b"\0"), BAD)
    put("signature longer in front", with_signature(token, b"\0" + signature_of(token)), BAD)
    put("signature of zeros", with_signature(token, bytes(len(signature_of(token)))), BAD)
    put("signature of ones", with_signature(token, b"\xff" * len(signature_of(token))), BAD)
    put("signature reversed", with_signature(token, signature_of(token)[::-1]), BAD)
    put("signature of another token", with_signature(token, signature_of(make(key, payload={**CLAIMS, "sub": "t"}))), BAD)
    put("another payload", f"{h}.{b64(text({**CLAIMS, 'sub': 'admin'}))}.{s}", BAD)
    put("another key's", with_signature(token, signature_of(make(Key(key.alg)))), BAD)
    for _ in range(24):
        raw = bytearray(signature_of(token))
        raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
        put("a flipped bit of the signature", with_signature(token, bytes(raw)), BAD)
        at = random.randrange(len(p))
        letter = random.choice([c for c in "ABCDabcd0123-_" if c != p[at]])
        put("another letter of the payload", f"{h}.{p[:at]}{letter}{p[at + 1:]}.{s}", ["MALFORMED", *BAD])


def headers(out, key):
    put = lambda name, header, want, **kw: out.put(f"{key.alg} {name}", make(key, header=header), kw.pop("jwk", key.jwk), want, **kw)
    good = header_of(key)
    wrong = ["ALG_NOT_ALLOWED", "BAD_HEADER"]
    for alg in ("none", "None", "NONE", "nOnE", "", " ", key.alg.lower() if key.alg.lower() != key.alg else key.alg.upper(),
                key.alg + " ", " " + key.alg, key.alg + "\0", "HS1", "ES256K", "RSA-OAEP", "dir", "A128GCM", "PBES2-HS256+A128KW"):
        put(f"alg {alg!r}", {**good, "alg": alg}, wrong)
    for name, header in (("alg missing", {k: v for k, v in good.items() if k != "alg"}), ("alg null", {**good, "alg": None}),
                         ("alg a number", {**good, "alg": 256}), ("alg a list", {**good, "alg": [key.alg]}),
                         ("an array", [good]), ("a string", "header"), ("null", None), ("kid a number", {**good, "kid": 1}),
                         ("kid a list", {**good, "kid": [good["kid"]]}), ("kid too long", {**good, "kid": "k" * 257}),
                         ("typ a number", {**good, "typ": 1})):
        put(name, header if header is not None else b"null", ["BAD_HEADER", "MALFORMED", "KEY_UNKNOWN", "ALG_NOT_ALLOWED"])
    for name, raw in (("no JSON", b"{"), ("a BOM", b"\xef\xbb\xbf" + text(good)), ("no UTF-8", b'{"alg":"\xff"}'),
                      ("alg twice", b'{"alg":"none",' + text(good)[1:]), ("typ twice", text(good)[:-1] + b',"typ":"JWT"}'),
                      ("behind the object", text(good) + b"{}"), ("a comment", b"/**/" + text(good)),
                      ("single quotes", text(good).replace(b'"', b"'")), ("a trailing comma", text(good)[:-1] + b",}"),
                      ("40 deep", text({**good, "x": None})[:-5] + b"[" * 40 + b"]" * 40 + b"}")):
        put("header: " + name, raw, ["BAD_HEADER"])
    put("too long a header", {**good, "x": "x" * 17000}, ["BAD_HEADER", "TOO_LARGE"])
    for crit in (["exp"], [], ["b64"], "exp", ["alg"], ["x", "x"], [1], None):
        put(f"crit {crit}", {**good, "crit": crit, "x": 1, "exp": 1, **({"b64": True} if crit == ["b64"] else {})},
            ["CRIT_UNSUPPORTED", "BAD_HEADER"])
    put("b64 false", {**good, "b64": False, "crit": ["b64"]}, ["CRIT_UNSUPPORTED", "BAD_HEADER"])
    put("b64 false, not critical", {**good, "b64": False}, ["CRIT_UNSUPPORTED", "BAD_HEADER"])
    put("unknown names are ignored", {**good, "zip": "DEF", "x5t": "t", "cty": "text", "extra": {"a": [1]}}, True)
    put("kid unknown", {**good, "kid": "nobody"}, ["KEY_UNKNOWN"])
    put("kid with a path", {**good, "kid": "../../../dev/null"}, ["KEY_UNKNOWN"])
    put("kid with SQL", {**good, "kid": "' OR 1=1 --"}, ["KEY_UNKNOWN"])
    put("kid missing", {k: v for k, v in good.items() if k != "kid"}, True)
    other = Key(key.alg)
    for name, more in (("jwk", {"jwk": other.jwk}), ("jku", {"jku": "https://evil.example/jwks"}), ("x5u", {"x5u": "https://evil.example"})):
        out.put(f"{key.alg} {name} of a stranger", make(other, header={**header_of(key), **more}), key.jwk, BAD)


def payloads(out, key):
    put = lambda name, payload, want: out.put(f"{key.alg} {name}", make(key, payload=payload), key.jwk, want)
    for name, raw in (("an array", b"[]"), ("a string", b'"x"'), ("a number", b"1"), ("null", b"null"), ("no JSON", b"hello"),
                      ("sub twice", text(CLAIMS)[:-1] + b',"sub":"t"}'), ("no UTF-8", b'{"iss":"\xff"}'),
                      ("a BOM", b"\xef\xbb\xbf" + text(CLAIMS)), ("behind the object", text(CLAIMS) + b"x"),
                      ("a lone surrogate", text(CLAIMS)[:-1] + b',"x":"\\ud800"}'),
                      ("twice inside", text(CLAIMS)[:-1] + b',"x":{"a":1,"a":2}}'), ("NaN", text(CLAIMS)[:-1] + b',"x":NaN}'),
                      ("40 deep", text(CLAIMS)[:-1] + b',"x":' + b"[" * 40 + b"]" * 40 + b"}")):
        put("payload: " + name, raw, ["BAD_PAYLOAD"])
    for name, more, want in (
            ("expired", {"exp": NOW - 1}, ["EXPIRED"]), ("expires now", {"exp": NOW}, ["EXPIRED"]), ("exp in a second", {"exp": NOW + STEP}, True),
            ("exp a string", {"exp": str(NOW + 600)}, ["BAD_PAYLOAD"]), ("exp null", {"exp": None}, ["BAD_PAYLOAD"]),
            ("exp true", {"exp": True}, ["BAD_PAYLOAD"]), ("exp a fraction", {"exp": NOW + STEP - 0.5}, True), ("exp huge", {"exp": 10 ** 18}, True),
            ("exp negative", {"exp": -1}, ["EXPIRED"]), ("not yet", {"nbf": NOW + STEP}, ["NOT_YET_VALID"]), ("nbf now", {"nbf": NOW}, True),
            ("nbf a string", {"nbf": "now"}, ["BAD_PAYLOAD"]), ("iat to come", {"iat": NOW + STEP}, ["ISSUED_IN_FUTURE"]),
            ("iat a string", {"iat": "0"}, ["BAD_PAYLOAD"]), ("another issuer", {"iss": "https://i.example/"}, ["WRONG_ISSUER"]),
            ("issuer in other letters", {"iss": "https://I.example"}, ["WRONG_ISSUER"]), ("iss a list", {"iss": ["https://i.example"]}, ["BAD_PAYLOAD"]),
            ("another audience", {"aud": "b"}, ["WRONG_AUDIENCE"]), ("an audience that begins alike", {"aud": "ab"}, ["WRONG_AUDIENCE"]),
            ("audience in a list", {"aud": ["b", "a"]}, True), ("an empty list", {"aud": []}, ["WRONG_AUDIENCE"]),
            ("aud a number", {"aud": 1}, ["BAD_PAYLOAD"]), ("aud of numbers", {"aud": ["a", 1]}, ["BAD_PAYLOAD"]),
            ("sub a number", {"sub": 5}, ["BAD_PAYLOAD"]), ("sub null", {"sub": None}, ["BAD_PAYLOAD"]),
            ("sub a list", {"sub": ["s"]}, ["BAD_PAYLOAD"]), ("jti a number", {"jti": 5}, ["BAD_PAYLOAD"]),
            ("jti a string", {"jti": "5"}, True), ("aud with a NUL", {"aud": "a\0b"}, ["WRONG_AUDIENCE", "BAD_PAYLOAD"]), ("a big number", {"x": 2 ** 53 + 1}, True)):
        put(name, {**CLAIMS, **more}, want)
    for gone, want in (("iss", ["WRONG_ISSUER"]), ("aud", ["WRONG_AUDIENCE"]), ("sub", True), ("exp", True), ("iat", True)):
        put(f"{gone} missing", {k: v for k, v in CLAIMS.items() if k != gone}, want)
    put("exp as 2e9", text(CLAIMS).replace(str(NOW + 600).encode(), f"{(NOW + 600) / 1e9!r}e9".encode()), True)
    put("exp beyond every number", text(CLAIMS).replace(str(NOW + 600).encode(), b"1e400"), ["BAD_PAYLOAD"])


def keys(out, key):
    token = make(key)
    put = lambda name, jwk, want, **kw: out.put(f"{key.alg} key: {name}", token, jwk, want, **kw)
    other = {"HS": "HS512", "RS": "RS384", "PS": "PS384", "ES": "ES384", "Ed": "ES256"}[key.alg[:2]]
    other = other if other != key.alg else other[:2] + "256"
    put("for another alg", {**key.jwk, "alg": other}, ["ALG_NOT_ALLOWED", "KEY_UNUSABLE"])
    put("for encryption", {**key.jwk, "use": "enc"}, ["KEY_UNUSABLE", "KEY_UNKNOWN"])
    put("key_ops without verify", {**key.jwk, "key_ops": ["sign"]}, ["KEY_UNUSABLE", "KEY_UNKNOWN"])
    put("key_ops with verify", {**{k: v for k, v in key.jwk.items() if k != "use"}, "key_ops": ["verify"]}, True)
    put("key_ops twice the same", {**{k: v for k, v in key.jwk.items() if k != "use"}, "key_ops": ["verify", "verify"]},
        ["KEY_UNUSABLE", "KEY_UNKNOWN"])
    put("of no kty", {k: v for k, v in key.jwk.items() if k != "kty"}, ["KEY_UNKNOWN", "KEY_UNUSABLE"])
    put("of an unknown kty", {**key.jwk, "kty": "AKP"}, ["KEY_UNKNOWN", "KEY_UNUSABLE"])
    put("under another kid", {**key.jwk, "kid": "other"}, ["KEY_UNKNOWN"])
    put("none", [], ["KEY_UNKNOWN"])
    put("a broken one beside", [{"kty": "EC", "crv": "P-256", "x": "!"}, key.jwk], True)
    put("algs allow it", key.jwk, True, algs=[key.alg])
    put("algs do not", key.jwk, ["ALG_NOT_ALLOWED"], algs=[other])
    put("algs are nonsense", key.jwk, ["ALG_NOT_ALLOWED"], algs=["nonsense"])
    strange = Key("HS256") if not key.alg.startswith("HS") else Key("ES256")
    put("of another family under its kid", {**strange.jwk, "kid": key.jwk["kid"]}, ["ALG_NOT_ALLOWED", "KEY_UNUSABLE"])


# --- by family ----------------------------------------------------------------------------------------------------------

def ecdsa(out, key):
    n, order = CURVE[key.alg][2], ORDER[key.alg]
    token = make(key)
    raw = signature_of(token)
    r, s = int.from_bytes(raw[:n], "big"), int.from_bytes(raw[n:], "big")
    put = lambda name, a, b: out.put(f"{key.alg} {name}", with_signature(token, a.to_bytes(n, "big") + b.to_bytes(n, "big")), key.jwk, BAD)
    for name, a, b in (("r = 0", 0, s), ("s = 0", r, 0), ("both 0", 0, 0), ("r = 1", 1, s), ("s = 1", r, 1), ("r = n", order, s),
                       ("s = n", r, order), ("r = n - 1, s = n - 1", order - 1, order - 1), ("r and s changed over", s, r), ("s + 1", r, (s + 1) % order)):
        put(name, a, b)
    if r + order < 256 ** n:
        put("r + n", r + order, s)
    out.put(f"{key.alg} n - s is as good", with_signature(token, raw[:n] + (order - s).to_bytes(n, "big")), key.jwk, True)
    data = token.rsplit(".", 1)[0].encode()
    der = key.private.sign(data, ec.ECDSA(HASH[key.alg[2:]]))
    out.put(f"{key.alg} DER", with_signature(token, der), key.jwk, BAD)
    out.put(f"{key.alg} another hash", with_signature(token, key.sign(data, digest=HASH["512" if key.alg != "ES512" else "256"])), key.jwk, BAD)
    for name, jwk in (("x of the other curve side", {"x": key.jwk["y"], "y": key.jwk["x"]}), ("x = 0", {"x": num(0, n)}),
                      ("infinity", {"x": num(0, n), "y": num(0, n)}), ("x too short", {"x": key.jwk["x"][:-4]}),
                      ("x too long", {"x": b64(b"\0" + base64.urlsafe_b64decode(key.jwk["x"] + "==="))}), ("no y", {"y": None}),
                      ("another curve's name", {"crv": "P-521" if key.alg != "ES512" else "P-256"}), ("secp256k1", {"crv": "secp256k1"}),
                      ("x a number", {"x": 1}), ("x padded", {"x": key.jwk["x"] + "="})):
        out.put(f"{key.alg} key: {name}", token, {**key.jwk, **jwk}, ["KEY_UNKNOWN", "KEY_UNUSABLE"])


def rsa_family(out, key):
    token = make(key)
    data = token.rsplit(".", 1)[0].encode()
    p = key.private.private_numbers()
    size = (p.public_numbers.n.bit_length() + 7) // 8
    raw = lambda em: pow(int.from_bytes(em, "big"), p.d, p.public_numbers.n).to_bytes(size, "big")
    put = lambda name, sig: out.put(f"{key.alg} {name}", with_signature(token, sig), key.jwk, BAD)
    other = ("PS" if key.alg[0] == "R" else "RS") + key.alg[2:]
    put(f"signed as {other}", key.sign(data, alg=other))
    out.put(f"{key.alg} alg {other} with this key", make(key, header={**header_of(key), "alg": other}, alg=other), key.jwk, ["ALG_NOT_ALLOWED"])
    put("another hash", key.sign(data, digest=HASH["512" if key.alg[2:] != "512" else "256"]))
    value = int.from_bytes(signature_of(token), "big")
    if value + p.public_numbers.n < 256 ** size:
        put("s + n", (value + p.public_numbers.n).to_bytes(size, "big"))
    put("the message itself", hashlib.sha256(data).digest().rjust(size, b"\0"))
    if key.alg[0] == "R":
        digest = hashlib.new("sha" + key.alg[2:], data).digest()
        oid = {"256": b"\x01", "384": b"\x02", "512": b"\x03"}[key.alg[2:]]
        algorithm = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02" + oid
        def info(algorithm):
            inner = b"\x30" + bytes([len(algorithm)]) + algorithm + b"\x04" + bytes([len(digest)]) + digest
            return b"\x30" + bytes([len(inner)]) + inner
        whole = info(algorithm + b"\x05\x00")
        good = b"\x00\x01" + b"\xff" * (size - len(whole) - 3) + b"\x00" + whole
        assert raw(good) == signature_of(token)
        put("no NULL in DigestInfo", raw(b"\x00\x01" + b"\xff" * (size - len(info(algorithm)) - 3) + b"\x00" + info(algorithm)))
        put("no DigestInfo", raw(b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest))
        put("short padding and garbage behind", raw((b"\x00\x01" + b"\xff" * 8 + b"\x00" + whole).ljust(size, b"\0")))
        put("padding of zeros", raw(b"\x00\x01" + b"\x00" * (size - len(whole) - 2) + whole))
        put("block type 2", raw(b"\x00\x02" + good[2:]))
        put("a byte of the padding wrong", raw(good[:20] + b"\xfe" + good[21:]))
    else:
        for salt in (0, 1, HASH[key.alg[2:]].digest_size - 1, HASH[key.alg[2:]].digest_size + 1, size - HASH[key.alg[2:]].digest_size - 2):
            put(f"a salt of {salt}", key.sign(data, salt=salt))
    for name, jwk in (("e = 1", {"e": "AQ"}), ("e even", {"e": "AgAA"}), ("e = 0", {"e": "AA"}), ("no e", {"e": None}), ("n = 0", {"n": "AA"}),
                      ("n even", {"n": num(p.public_numbers.n - 1)}), ("n padded", {"n": key.jwk["n"] + "="})):
        out.put(f"{key.alg} key: {name}", token, {**key.jwk, **jwk}, ["KEY_UNKNOWN", "KEY_UNUSABLE", *BAD])
    weak = Key(key.alg, bits=1536)
    out.put(f"{key.alg} key: 1536 bits", make(weak), weak.jwk, ["KEY_UNUSABLE", "KEY_UNKNOWN"])
    public = key.private.public_key()
    for name, secret in (("PEM", public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)),
                         ("DER", public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)),
                         ("modulus", base64.urlsafe_b64decode(key.jwk["n"] + "==="))):
        forger = Key("HS256")
        forger.private = secret
        out.put(f"{key.alg} HS256 with its public key as the secret, {name}", make(forger, header={**header_of(key), "alg": "HS256"}), key.jwk,
                ["ALG_NOT_ALLOWED", "KEY_UNUSABLE"])
        bare = {k: v for k, v in key.jwk.items() if k != "alg"}
        out.put(f"{key.alg} the same, alg left to the caller, {name}", make(forger, header={**header_of(key), "alg": "HS256"}), bare,
                ["ALG_NOT_ALLOWED", "KEY_UNUSABLE", "KEY_UNKNOWN"], algs=["HS256", key.alg])


def eddsa(out, key):
    token = make(key)
    raw = signature_of(token)
    s = int.from_bytes(raw[32:], "little")
    out.put("EdDSA S + L", with_signature(token, raw[:32] + (s + L25519).to_bytes(32, "little")), key.jwk, BAD)
    out.put("EdDSA S = 0", with_signature(token, raw[:32] + bytes(32)), key.jwk, BAD)
    out.put("EdDSA R = 0", with_signature(token, bytes(32) + raw[32:]), key.jwk, BAD)
    out.put("EdDSA under its other name", make(key, header={**header_of(key), "alg": "Ed25519"}), key.jwk, True)
    montgomery = x25519.X25519PrivateKey.generate().public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    for name, jwk in (("X25519", {"crv": "X25519", "x": b64(montgomery)}), ("Ed448", {"crv": "Ed448"}), ("31 bytes", {"x": b64(bytes(31))}),
                      ("33 bytes", {"x": b64(bytes(33))}), ("no crv", {"crv": None})):
        out.put(f"EdDSA key: {name}", token, {**key.jwk, **jwk}, ["KEY_UNKNOWN", "KEY_UNUSABLE", "ALG_NOT_ALLOWED"])


def hmac_family(out, key):
    token = make(key)
    data = token.rsplit(".", 1)[0].encode()
    size = HASH[key.alg[2:]].digest_size
    out.put(f"{key.alg} half the MAC", with_signature(token, signature_of(token)[:size // 2]), key.jwk, BAD)
    out.put(f"{key.alg} MAC in hexadecimal", with_signature(token, signature_of(token).hex().encode()), key.jwk, BAD)
    out.put(f"{key.alg} a bare hash", with_signature(token, hashlib.new("sha" + key.alg[2:], data).digest()), key.jwk, BAD)
    for secret, name in ((b"", "empty"), (b"x" * (size - 1), "a byte short")):
        weak = Key(key.alg)
        weak.private = secret
        weak.jwk["k"] = b64(secret)
        out.put(f"{key.alg} key: {name}", make(weak), weak.jwk, ["KEY_UNUSABLE", "KEY_UNKNOWN"])
    out.put(f"{key.alg} key: k padded", token, {**key.jwk, "k": key.jwk["k"] + "="}, ["KEY_UNKNOWN", "KEY_UNUSABLE"])
    out.put(f"{key.alg} no alg anywhere", token, {k: v for k, v in key.jwk.items() if k != "alg"}, ["ALG_NOT_ALLOWED"])


def main(args):
    global NOW, STEP
    random.seed(args.seed)
    NOW, STEP = args.now, args.step
    CLAIMS.update(iat=NOW - 10, exp=NOW + 600)
    if args.kid:
        KIDS[args.alg] = args.kid
    out = Lines()
    for alg in [args.alg] if args.alg else ALGS:
        key = Key(alg)
        if args.secret:
            key.private = bytes.fromhex(args.secret)
            key.jwk["k"] = b64(key.private)
        for part in (compact, headers, payloads, keys):
            part(out, key)
        {"HS": hmac_family, "RS": rsa_family, "PS": rsa_family, "ES": ecdsa, "Ed": eddsa}[alg[:2]](out, key)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("seed", type=int, nargs="?", default=random.SystemRandom().randrange(2 ** 32))
    parser.add_argument("--now", type=int, default=NOW)
    parser.add_argument("--step", type=int, default=STEP)
    for name in ("alg", "kid", "secret"):
        parser.add_argument("--" + name)
    main(parser.parse_args())
