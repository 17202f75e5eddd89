"""signetd --rehearse and signet ring rehearse: what they say of a configuration, and with which status."""
import json
import pathlib
import re
import subprocess
import tempfile
import unittest

from rig import PATIENCE, SANITIZER, SIGNET, SIGNETD, main, profile, ring

DAY = 86400
WEB = ring("web", "ES256", "rotate_every: 30d", "publish_ahead: 2d")
SHORT = ring("web", "ES256", "rotate_every: 30d", "publish_ahead: 10m")            # less than verifiers need
PILED = ring("web", "ES256", "rotate_every: 1d", "publish_ahead: 1h", "max_ttl: 150d")
SECRET = ring("web", "HS256", "rotate_every: 30d")
SESSION = profile("session", "web", "shop", sign="{users: [a-user-of-another-machine]}")


class Rehearse(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="signet-")))

    def write(self, rings, profiles=SESSION, more=""):
        file = self.dir / "signetd.conf"
        file.write_text("daemon:\n  socket: /nowhere/s.sock\ntoken:\n  module: /nowhere/module.so\n  uri: pkcs11:token=none\n"
                        f"  pin_file: /nowhere/pin\nrings:\n{rings}profiles:\n{profiles}{more}")
        return file

    def run_it(self, argv, want):
        """No token, no socket, no environment is asked for."""
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, env={}, timeout=PATIENCE)
        self.assertNotRegex(done.stderr, SANITIZER)
        self.assertEqual(done.returncode, want, done.stderr + done.stdout)
        return done.stdout, done.stderr

    def signetd(self, file, *args, want=0):
        return self.run_it([SIGNETD, "--rehearse", "--config", file, *args], want)

    def signet(self, file, *args, want=0):
        return self.run_it([SIGNET, "ring", "rehearse", "--config", file, *args], want)

    def json(self, file, *args, want=0):
        return json.loads(self.signetd(file, "--json", *args, want=want)[0])

    def rows(self, out):
        return re.findall(r"^  ([a-z]+) +(.*)$", out, re.M)

    def test_a_good_file_s_rings_are_said_to_keep_their_promises(self):
        out, err = self.signetd(self.write(WEB + ring("other", "RS256") + ring("still", "ES256", "rotate_every: never")),
                                "--seed", "1")
        self.assertEqual(err, "")
        self.assertEqual(re.findall(r"^ring (.*)$", out, re.M), ["web: ES256", "other: RS256", "still: ES256"])
        self.assertEqual([text for what, text in self.rows(out) if what == "verdict"],
                         ["no living token was ever without its published key"] * 3)
        first = dict(self.rows(out.split("ring other")[0]))
        self.assertRegex(first["settings"], "^rotate_every 30d, publish_ahead 2d, max_ttl 12h, skew 1m, jwks_max_age 15m, ")
        self.assertRegex(first["lived"], r"^3650d: 1[12]\d rotations; [2-5] daemons, \d+ restarts, ")
        self.assertRegex(first["margin"], r"^\d+\w* between .* key \d+.*, on day \d+, \d\d:\d\d:\d\d$")
        self.assertNotIn("change", first)
        self.assertEqual(len(re.findall("^  besides ", out.split("ring other")[0], re.M)), 3)
        self.assertTrue(out.endswith("seed 1: --seed 1 lives the same again\n"))

    def test_signet_says_the_same(self):
        file = self.write(WEB)
        self.assertEqual(self.signet(file, "--seed", "5", "--years", "2"), self.signetd(file, "--seed", "5", "--years", "2"))
        self.assertEqual(self.signet(file, "--seed", "5", "--json"), self.signetd(file, "--seed", "5", "--json"))

    def test_without_a_seed_one_is_made_up_and_printed(self):
        file = self.write(WEB)
        outs = [self.signetd(file, "--years", "1")[0] for _ in range(3)]
        seeds = [re.search(r"^seed (\d+): --seed \1 ", out, re.M)[1] for out in outs]
        self.assertEqual(len(set(seeds)), 3)
        self.assertEqual(self.signetd(file, "--years", "1", "--seed", seeds[0])[0], outs[0])

    def test_json_has_all_of_it(self):
        said = self.json(self.write(WEB), "--seed", "9", "--years", "3")
        web, = said["rings"]
        self.assertEqual((said["seed"], said["refused"]), (9, None))
        self.assertEqual((web["name"], web["verdict"], web["found"]), ("web", "kept", None))
        self.assertEqual((web["lived_s"], web["settings"]["rotate_every_s"]), (3 * 365 * DAY, 30 * DAY))
        self.assertGreater(web["rotations"], 30)
        self.assertEqual(set(web["margins"]), {"known", "published", "kept"})
        for margin in web["margins"].values():
            self.assertGreaterEqual(margin["seconds"], 0)
        habits = {h["name"]: h for h in web["habits"]}
        self.assertEqual([h["rejected"] for h in web["habits"] if h["promised"]], [0] * 4)
        self.assertGreater(min(habits[name]["rejected"] for name in ("newest", "week")), 0)
        self.assertEqual(habits["newest"]["served_by"], [])
        self.assertEqual(habits["week"]["served_by"][0], {"setting": "jwks_max_age", "was_s": 900, "is_s": 7 * DAY})

    def test_what_serves_a_week_s_cache_serves_it(self):
        ahead, = (c["is_s"] for h in self.json(self.write(WEB))["rings"][0]["habits"] if h["name"] == "week"
                  for c in h["served_by"] if c["setting"] == "publish_ahead")
        web = ring("web", "ES256", "rotate_every: 30d", f"publish_ahead: {ahead}s", "jwks_max_age: 7d")
        rejected = {h["name"]: h["rejected"] for h in self.json(self.write(web))["rings"][0]["habits"]}
        self.assertEqual((rejected["week"], rejected["offline"]), (0, 0))
        self.assertGreater(rejected["newest"], 0)

    def test_a_file_that_would_be_refused_is_lived_through_and_is_1(self):
        file = self.write(SHORT)
        refusal = self.run_it([SIGNETD, "--check", file], 78)[1].splitlines()
        out, err = self.signetd(file, "--seed", "1", want=1)
        self.assertEqual(err, "")
        ring, refused = out.split(f"signetd refuses {file}:\n")
        self.assertIn("publish_ahead is 10m and must be at least 17m30s", refused)
        self.assertEqual(refused.splitlines()[:-1], refusal[:7])
        self.assertLessEqual({"lived", "tokens", "verdict"}, set(dict(self.rows(ring))))
        said = self.json(file, want=1)
        self.assertEqual((said["rings"][0]["verdict"], said["rings"][0]["found"]["kind"]), ("found", "rejected"))
        self.assertEqual(said["rings"][0]["changes"], [{"setting": "publish_ahead", "was_s": 600, "is_s": 1050}])
        self.assertIn("publish_ahead", said["refused"])

    def test_keys_that_pile_up_are_found_with_the_setting_to_change(self):
        file = self.write(PILED)
        web = self.json(file, "--seed", "1", want=1)["rings"][0]
        self.assertEqual((web["verdict"], web["found"]["kind"]), ("found", "too-many"))
        self.assertEqual(web["changes"], [{"setting": "max_ttl", "was_s": 150 * DAY, "is_s": DAY}])
        rows = dict(self.rows(self.signet(file, "--seed", "1", want=1)[0]))
        self.assertRegex(rows["verdict"], r"^day \d+, [\d:]+: daemon \d publishes 101 keys, ")
        self.assertEqual(rows["change"], "max_ttl: 1d (now 150d); the same run then finds nothing")

    def test_a_run_that_is_cut_short_claims_no_more_than_it_lived(self):
        quick = self.write(ring("web", "ES256", "rotate_every: 2h", "publish_ahead: 1h", "max_ttl: 1h"))
        web = self.json(quick, "--seed", "1")["rings"][0]
        self.assertEqual((web["verdict"], web["asked_s"]), ("kept-so-far", 3650 * DAY))
        self.assertLess(web["lived_s"], 365 * DAY)
        verdict = dict(self.rows(self.signetd(quick, "--seed", "1")[0]))["verdict"]
        self.assertRegex(verdict, r"^no living token was ever without its published key in the first [\dd]+\w* of the 3650d asked"
                         " for, and no more was lived through")
        self.assertEqual(self.json(self.write(WEB), "--seed", "1", "--years", "1")["rings"][0]["verdict"], "kept")

    def test_a_ring_of_secrets_is_asked_for_and_never_copied(self):
        out = self.signetd(self.write(SECRET), "--seed", "1")[0]
        self.assertNotIn("besides", out)
        self.assertRegex(dict(self.rows(out))["tokens"], "^in no key set, so that verifiers ask a daemon each time")

    def test_a_file_that_cannot_be_read_is_78(self):
        for rings, wrong in [
                ("  web: {alg: ES256\n", r"signetd\.conf:\d+: "),
                (WEB + "    publish_ahed: 3d\n", "did you mean 'publish_ahead'"),
                (ring("other", "ES256"), "there is no ring 'web'"),
                (None, "cannot be read: No such file")]:
            with self.subTest(wrong):
                file = self.dir / "none" if rings is None else self.write(rings)
                for command in (self.signetd, self.signet):
                    out, err = command(file, want=78)
                    self.assertEqual(out, "")
                    self.assertRegex(err, wrong)

    def test_wrong_usage_is_2(self):
        file = self.write(WEB)
        for args, wrong in [
                (["--rehearse", "--check", "--config", file], "two things"),
                (["--config", file, "--years", "3"], "are of --rehearse"),
                (["--config", file, "--json"], "are of --rehearse"),
                (["--rehearse"], "--config FILE is missing"),
                (["--rehearse", "--config", file, "more"], "one argument too many"),
                *((["--rehearse", "--config", file, "--years", n], "not between 1 and 100")
                  for n in ("0", "101", "x", "-1", "")),
                *((["--rehearse", "--config", file, "--seed", n], "no number") for n in ("-1", "1x", "", str(2**63)))]:
            with self.subTest(args[-2:]):
                self.assertIn(wrong, self.run_it([SIGNETD, *args], 2)[1])
        self.assertIn("--config FILE is missing", self.run_it([SIGNET, "ring", "rehearse"], 2)[1])
        self.assertIn("one argument too many", self.run_it([SIGNET, "ring", "rehearse", "--config", file, "more"], 2)[1])
        self.assertIn("not between 1 and 100", self.signet(file, "--years", "0", want=2)[1])

    def test_a_pipeline_stops_where_something_is_found(self):
        script = f'set -e; {SIGNET} ring rehearse --config "$1" --years 1 >"$2"; echo deployed'
        for rings, status, out in [(WEB, 0, "deployed\n"), (PILED, 1, ""), (SHORT, 1, "")]:
            argv = ["/bin/sh", "-c", script, "sh", self.write(rings), self.dir / "report"]
            self.assertEqual(self.run_it(argv, status)[0], out)
            self.assertIn("ring web: ES256", (self.dir / "report").read_text())

    def test_a_report_that_cannot_be_written_is_1(self):
        with open("/dev/full", "w") as full:
            for args in ([], ["--json"]):
                done = subprocess.run([SIGNETD, "--rehearse", "--config", self.write(WEB), "--years", "1", *args], stdout=full,
                                      stderr=subprocess.PIPE, timeout=PATIENCE)
                self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    main()
