"""Thousands of valid and hostile tokens, made anew by tests/vectors/generate.py, through `signet verify --batch`."""
import json
import os
import pathlib
import random
import sys
import unittest

from rig import SIGNET, main, run

GENERATE = pathlib.Path(__file__).resolve().parents[1] / "vectors/generate.py"
FLAGS = ["--at", "2000000000", "--issuer", "https://i.example", "--audience", "a", "--leeway", "0"]


class Vectors(unittest.TestCase):
    def test_every_token_gets_its_verdict(self):
        seed = os.environ.get("SIGNET_SEED") or str(random.SystemRandom().randrange(2 ** 32))
        print("SIGNET_SEED=" + seed)
        lines = [json.loads(l) for l in run([sys.executable, GENERATE, seed]).splitlines()]
        self.assertGreater(len(lines), 2000)
        said = run([SIGNET, "verify", "--batch", *FLAGS], stdin="".join(json.dumps(l) + "\n" for l in lines).encode(), timeout=600)
        answers = [json.loads(l) for l in said.splitlines()]
        self.assertEqual([a["id"] for a in answers], [l["id"] for l in lines])
        wrong = []
        for line, answer in zip(lines, answers):
            want = line["want"]
            ok = answer["ok"] if want is True else not answer["ok"] and answer["error"].split(":")[0] in want
            if not ok:
                wrong.append(f"{line['id']}: want {want}, got {answer}")
        self.assertEqual(wrong, [], "\n".join(wrong[:40]))
        self.assertGreater(sum(l["want"] is True for l in lines), 100)


if __name__ == "__main__":
    main()
