"""Thousands of valid and hostile tokens, made anew by tests/vectors/generate.py, through `signet verify --batch`, and
through the socket those of the daemon's own key."""
import base64
import json
import os
import pathlib
import random
import sys
import time
import unittest

import wire
from rig import Case, HMAC, HMAC_SECRET, SIGNET, main, profile, rings_for, run

GENERATE = pathlib.Path(__file__).resolve().parents[1] / "vectors/generate.py"
FLAGS = ["--at", "2000000000", "--issuer", "https://i.example", "--audience", "a", "--leeway", "0"]


def generated(*args):
    seed = os.environ.get("SIGNET_SEED") or str(random.SystemRandom().randrange(2 ** 32))
    print("SIGNET_SEED=" + seed)
    return [json.loads(l) for l in run([sys.executable, GENERATE, seed, *args]).splitlines()]


class Judged(unittest.TestCase):
    def judged_as_wanted(self, lines, said):
        """`said` of each line: True, or its reason."""
        wrong = [f"{line['id']}: want {line['want']}, got {got}" for line, got in zip(lines, said, strict=True)
                 if got is not True if line["want"] is True or got not in line["want"]]
        wrong += [f"{line['id']}: want {line['want']}, got it accepted" for line, got in zip(lines, said)
                  if got is True and line["want"] is not True]
        self.assertEqual(wrong, [], "\n".join(wrong[:40]))


class Vectors(Judged):
    def test_every_token_gets_its_verdict(self):
        lines = generated()
        self.assertGreater(len(lines), 2000)
        said = run([SIGNET, "verify", "--batch", *FLAGS], stdin="".join(json.dumps(l) + "\n" for l in lines).encode(), timeout=600)
        answers = [json.loads(l) for l in said.splitlines()]
        self.assertEqual([a["id"] for a in answers], [l["id"] for l in lines])
        self.judged_as_wanted(lines, [a["ok"] or a["error"].split(":")[0] for a in answers])
        self.assertGreater(sum(l["want"] is True for l in lines), 100)


def judge(alg):
    return profile("judge", alg.lower(), "a", "leeway: 0s").replace("login.example", "i.example")


class ThroughTheSocket(Case, Judged):
    rings = rings_for(HMAC)
    profiles = judge("HS256")

    def verdicts_of(self, alg):
        self.daemon.stop()                   # a reload would not move the profile to another ring
        self.daemon.write(self.rings, judge(alg))
        self.daemon.start()
        [made] = json.loads(self.daemon.cli("key", "import", alg.lower(), "--json", stdin=HMAC_SECRET[alg])[0])
        lines = generated("--now", str(int(time.time())), "--step", "300", "--alg", alg, "--kid", made["kid"],
                          "--secret", HMAC_SECRET[alg].hex())
        # Those of other keys, or of other algorithms that are allowed, are no questions for a daemon.
        lines = [l for l in lines if l["jwks"] == lines[0]["jwks"] and "algs" not in l]
        self.assertGreater(len(lines), 150)
        self.assertGreater(sum(l["want"] is True for l in lines), 5)
        with wire.Connection(self.daemon.socket) as c:
            said = c.verdicts("judge", [base64.b64decode(l["token_b64"]) if "token_b64" in l else l["token"].encode()
                                        for l in lines])
        self.judged_as_wanted(lines, said)

    def test_every_token_of_an_hs256_key_gets_its_verdict(self):
        self.verdicts_of("HS256")

    def test_every_token_of_an_hs384_key_gets_its_verdict(self):
        self.verdicts_of("HS384")

    def test_every_token_of_an_hs512_key_gets_its_verdict(self):
        self.verdicts_of("HS512")


if __name__ == "__main__":
    main()
