"""What administrators see of rings: how they are, and what becomes of their keys."""
import json
import re
import subprocess
import time
import xml.etree.ElementTree

import wire
from rig import BUILD, Case, EachCase, PATIENCE, STRANGER, main, profile, ring

SVG = "{http://www.w3.org/2000/svg}"
DAY = 86400
SETTINGS = ["create: yes", "rotate_every: 30d", "publish_ahead: 2d", "max_ttl: 12h", "skew: 1m", "jwks_max_age: 15m",
            "refresh: 30s", "destroy_after: 7d"]
LEAST_AHEAD = 15 * 60 + 30 + 60      # jwks_max_age + refresh + skew


class Rings(Case):
    rings = ring("web", "ES256", *SETTINGS) + ring("still", "ES256", "create: yes", "rotate_every: never") + ring("empty", "ES256")
    profiles = (profile("session", "web", "shop") + profile("other", "web", "bank") + profile("kept", "still", "vault")
                + profile("none", "empty", "nobody"))

    @classmethod
    def prepare(cls):
        cls.kid = {r["name"]: r["active_kid"] for r in cls.json("ring", "list")}

    @classmethod
    def json(cls, *args):
        return json.loads(cls.daemon.cli(*args, "--json")[0])

    def words(self, *args):
        return self.daemon.cli(*args)[0].decode()

    def test_a_list_is_a_line_a_ring(self):
        lines = [line.split() for line in self.words("ring", "list").splitlines()]
        self.assertEqual(lines, [
            ["web", "ES256", "rotates", "30d", "signs", "with", self.kid["web"]],
            ["still", "ES256", "rotates", "never", "signs", "with", self.kid["still"]],
            ["empty", "ES256", "rotates", "30d", "does", "not", "sign:", "NO_ACTIVE_KEY"]])

    def test_a_ring_is_shown_with_profiles_settings_and_keys(self):
        text = self.words("ring", "show", "web")
        rows = dict(re.findall(r"^  (\w[\w ]*?)  +(.*)$", text, re.M))
        want = {"algorithm": "ES256", "signs with": self.kid["web"], "profiles": "session, other", "published": "1",
                "rotate_every": "30d", "publish_ahead": "2d", "max_ttl": "12h", "skew": "1m", "jwks_max_age": "15m",
                "refresh": "30s", "destroy_after": "7d", "standby": "no"}
        self.assertLessEqual(want.items(), rows.items())
        self.assertIn(f"active   {self.kid['web']}, activated ", rows["key"])
        self.assertNotIn(self.kid["still"], text)
        self.assertEqual(self.json("ring", "show", "web")["profiles"], ["session", "other"])

    def test_a_key_says_for_which_profiles_it_signs(self):
        self.assertRegex(self.words("key", "show", self.kid["web"]), r"\n  signs for +session, other\n")
        self.assertEqual(self.json("key", "show", self.kid["still"])[0]["profiles"], ["kept"])

    def test_the_plan_of_a_ring_without_a_next_key_is_the_arithmetic(self):
        plan = self.json("ring", "plan", "web")
        active, first, second = plan["keys"]
        self.assertEqual([k["to_come"] for k in plan["keys"]], [False, True, True])
        self.assertEqual((active["kid"], active["state"]), (self.kid["web"], "active"))
        turn = -(-(active["activates_at"] + 30 * DAY) // 30) * 30            # in steps of refresh
        self.assertEqual(first["activates_at"], turn)
        self.assertEqual(first["published_at"], active["activates_at"] + 30 * DAY - 2 * DAY - 30)   # a refresh for all daemons
        self.assertEqual((active["retires_at"], active["ends_at"]), (turn, turn + 12 * 3600 + 60))
        self.assertEqual(active["destroyed_at"], active["ends_at"] + 7 * DAY)
        self.assertEqual(second["activates_at"], turn + 30 * DAY)
        self.assertEqual((plan["until"], second["retires_at"]), (second["activates_at"], 0))
        for k in (first, second):
            self.assertGreaterEqual(k["activates_at"] - k["published_at"], k["needs_s"])
            self.assertGreater(k["needs_s"], LEAST_AHEAD)                    # and the time to make it

    def test_the_plan_in_words_says_what_when_why_and_who(self):
        text = self.words("ring", "plan", "web")
        kid = self.kid["web"]
        moments = re.findall(r"^(\d{4}-\S+Z) \(.*?\)  (.*)$", text, re.M)
        self.assertEqual([m[0] for m in moments], sorted(m[0] for m in moments))
        self.assertEqual([m[1] for m in moments], [
            f"{kid} signs", f"now: {kid} signs", "new key 1 is made",
            f"new key 1 signs; {kid} retires: it signs no more and still verifies",
            f"{kid} ends: it is in the key set no more", f"{kid} is destroyed",
            "new key 2 is made", "new key 2 signs; new key 1 retires: it signs no more and still verifies"])
        self.assertIn("every verifier has it after jwks_max_age 15m + refresh 30s + skew 1m + making it ", text)
        self.assertIn("lives at most max_ttl + skew = 12h1m", text)
        self.assertIn("signetd does by itself what is due", text)

    def test_as_far_as_asked(self):
        for span, n in (("10d", 1), ("29d", 2), ("1y", 13)):
            with self.subTest(span=span):
                self.assertEqual(len(self.json("ring", "plan", "web", "--for", span)["keys"]), n)
        self.assertGreater(self.json("ring", "plan", "web", "--for", "100y")["until"] - time.time(), 0)
        for wrong in ("x", "0", "-1d", "1000000y", ""):
            with self.subTest(wrong=wrong):
                self.assertIn("--for", self.daemon.cli("ring", "plan", "web", "--for", wrong, want=2)[1])

    def test_what_never_rotates_and_what_has_no_key(self):
        self.assertRegex(self.words("ring", "plan", "still"), r"never rotates.*\n.*signs\n.*now: .* signs\n$")
        self.assertRegex(self.words("ring", "plan", "empty"), r"does not sign: NO_ACTIVE_KEY: .*signet key generate empty")

    def test_an_unknown_ring_is_named_with_those_there_are(self):
        for command in ("plan", "show"):
            self.assertIn("no ring 'wob'; it has web, still, empty", self.refused("UNKNOWN_RING", "ring", command, "wob"))

    def test_another_uid_and_the_open_socket_are_refused(self):
        for words in (["list"], ["show", "web"], ["plan", "web"]):
            with self.subTest(words=words):
                self.refused("CALLER_NOT_ALLOWED", "ring", *words, uid=STRANGER)
        with wire.Connection(self.daemon.socket) as c:
            for op, body in ((wire.LIST_RINGS, b""), (wire.PLAN_RING, wire.field(1, "web"))):
                c.send(wire.request(op, body))
                self.assertEqual(c.reason(), "CALLER_NOT_ALLOWED")

    def test_strange_questions_get_a_sentence(self):
        with wire.Connection(self.daemon.admin) as c:
            for body, reason in ((b"", "UNKNOWN_RING"), (wire.field(1, "x" * 9000), "UNKNOWN_RING"),
                                 (wire.field(1, "web") + wire.field(2, 1), "BAD_REQUEST"),
                                 (wire.field(1, "web") + wire.field(2, 2**63 - 1), "BAD_REQUEST"),
                                 (wire.field(1, "web") + wire.field(2, 2**64 - 1), "BAD_REQUEST")):
                with self.subTest(body=body[:20]):
                    c.send(wire.request(wire.PLAN_RING, body))
                    self.assertEqual(c.reason(), reason)

    def test_a_picture_that_cannot_be_written_is_said(self):
        self.assertIn("/nowhere/x.svg", self.daemon.cli("ring", "plan", "web", "--svg", "/nowhere/x.svg", want=2)[1])

    def test_completion_offers_the_rings(self):
        top = __file__.rsplit("/", 3)[0]
        script = f"""PATH={(BUILD / 'client/cli').resolve()}:$PATH; . {top}/contrib/completion/signet
            COMP_WORDS=(signet ring ''); COMP_CWORD=2; _signet; echo "${{COMPREPLY[*]}}"
            COMP_WORDS=(signet ring plan ''); COMP_CWORD=3; _signet; echo "${{COMPREPLY[*]}}"
            COMP_WORDS=(signet ring plan --s); COMP_CWORD=3; _signet; echo "${{COMPREPLY[*]}}" """
        env = {**self.place.env, "SIGNET_SOCKET": str(self.daemon.socket)}
        lines = subprocess.run(["bash", "-c", script], env=env, capture_output=True, timeout=PATIENCE).stdout.decode()
        self.assertEqual(lines.splitlines(), ["list show plan rotate rehearse", "web still empty", "--svg --socket"])


class Rotating(EachCase):
    """A ring whose operator made the next key, as the plan says."""
    rings = ring("web", "ES256", *SETTINGS)
    profiles = profile("session", "web", "shop")

    def test_a_next_key_takes_the_place_of_the_one_to_come(self):
        self.daemon.start()
        before = json.loads(self.daemon.cli("ring", "plan", "web", "--json")[0])["keys"]
        made = json.loads(self.daemon.cli("key", "generate", "web", "--json")[0])[0]
        plan = json.loads(self.daemon.cli("ring", "plan", "web", "--json")[0])
        active, following, to_come = plan["keys"]
        self.assertEqual((following["kid"], following["state"], following["to_come"]), (made["kid"], "next", False))
        self.assertEqual(following["activates_at"], before[1]["activates_at"])
        self.assertEqual(following["activates_at"], active["retires_at"])
        self.assertLessEqual(following["published_at"], plan["now"])
        self.assertEqual((to_come["kid"], to_come["to_come"]), ("", True))
        text = self.daemon.cli("ring", "plan", "web")[0].decode()
        self.assertIn(f"{made['kid']} signs; {active['kid']} retires", text)
        self.assertRegex(text, r"safe: seen here \w+ ahead; every verifier has it after jwks_max_age 15m \+ refresh 30s \+ skew 1m = 16m30s")
        self.assertIn(f"next {time.strftime('%Y-', time.gmtime(made['activates_at']))}", self.daemon.cli("ring", "list")[0].decode())
        self.assertRegex(self.daemon.cli("key", "show", made["kid"])[0].decode(), r"\n  will sign for +session\n")
        self.draws(plan)
        self.daemon.stop()

    def draws(self, plan):
        """Each key's bars, and one where the other ends."""
        path = self.place.dir / "plan.svg"
        self.assertEqual(self.daemon.cli("ring", "plan", "web", "--svg", path)[0], b"")
        root = xml.etree.ElementTree.parse(path).getroot()
        keys = root.findall(f"{SVG}g[@class='key']")
        bars = [{r.get("class"): (float(r.get("x")), float(r.get("width"))) for r in g.findall(f"{SVG}rect")} for g in keys]
        self.assertEqual([list(b) for b in bars], [["signs", "retired"], ["published", "signs", "retired"], ["published", "signs"]])
        for g, key in zip(keys, plan["keys"]):
            self.assertIn(key["kid"] or "new key", g.find(f"{SVG}text").text)
        for before, after in zip(bars, bars[1:]):
            self.assertAlmostEqual(sum(before["signs"]), after["signs"][0], delta=0.2)
            self.assertAlmostEqual(sum(after["published"]), after["signs"][0], delta=0.2)
        for b in bars:
            for x, width in b.values():
                self.assertTrue(0 <= x and x + width <= 960 and width >= 1, b)


if __name__ == "__main__":
    main()
