"""The local verifier beside a real daemon: the same verdict as the daemon's, the daemon or no daemon."""
from locally import Local
from rig import Case, HMAC_SECRET, main, profile, ring

ALGS = ["RS256", "PS384", "ES256", "ES512", "EdDSA"]
WEB = ring("web", "ES256", "create: yes") + "".join(
    ring(a.lower(), a, "create: yes", *(["bits: 2048"] if a[1] == "S" and a[0] != "E" else [])) for a in ALGS)
PROFILES = (profile("web", "web", "shop, login") + profile("other", "web", "elsewhere", "typ: at+jwt") +
            "".join(profile(a.lower(), a.lower(), a.lower()) for a in ALGS) +
            profile("hmac", "hmac", "hmac"))


class Locally(Case):
    rings = WEB + ring("hmac", "HS256", "rotate_every: never")
    profiles = PROFILES
    module_leaks = True

    @classmethod
    def prepare(cls):
        cls.daemon.cli("key", "import", "hmac", stdin=HMAC_SECRET["HS256"])

    def setUp(self):
        self.local = Local(self.daemon)

    def tearDown(self):
        self.local.finish()

    def by_daemon(self, token, profile=None, audience=None):
        out, err = self.daemon.cli("verify", "--json", *(["--profile", profile] if profile else []),
                                   *(["--audience", audience] if audience else []), token, want=None)
        return "ok" if out else err.split(": ")[1]

    def same(self, token, profile=None, audience=None):
        here = self.local.verify(token, profile or "-", audience or "-").split()[0]
        self.assertEqual(here, self.by_daemon(token, profile, audience), (token, profile, audience))
        return here

    def test_every_algorithm_s_token_is_accepted_and_any_change_refused(self):
        for name in ["web", "other", "hmac"] + [a.lower() for a in ALGS]:
            with self.subTest(name):
                token = self.daemon.token(name, "--subject", "1")
                kid = "" if name == "hmac" else self.local.verify(token).split()[2]
                self.assertTrue(name == "hmac" or kid in [k["kid"] for k in self.daemon.jwks()["keys"]])
                self.assertEqual(self.same(token), "ok")
                self.assertEqual(self.same(token, name), "ok")
                head, payload, signature = token.split(".")
                self.assertEqual(self.same(f"{head}.{payload}.{'A' * len(signature)}"), "BAD_SIGNATURE")
                self.assertEqual(self.same(f"{head}.{payload}."), "MALFORMED")

    def test_every_profile_refuses_every_other_s_token_as_the_daemon_does(self):
        names = ["web", "other", "hmac", "es512", "rs256"]
        for signer in names:
            token = self.daemon.token(signer)
            for judge in names:
                with self.subTest(f"{signer}'s token, {judge}"):
                    self.assertEqual(self.same(token, judge) == "ok", signer == judge)

    def test_audiences_and_unknown_profiles(self):
        token = self.daemon.token("web", "--audience", "login")
        for want in ("login", "shop", "elsewhere"):
            self.same(token, "web", want)
        self.same(token, None, "login")
        self.same(token, "none")

    def test_without_the_daemon_public_keys_go_on_and_hmac_waits(self):
        public, secret = self.daemon.token("web"), self.daemon.token("hmac")
        self.assertTrue(self.local.verify(public).startswith("ok web"))
        self.daemon.stop()
        try:
            self.assertTrue(self.local.verify(public).startswith("ok web"))
            self.assertEqual(self.local.verify(secret), "DAEMON_UNREACHABLE")
            fresh = Local(self.daemon)
            self.assertEqual(fresh.verify(public), "KEYS_UNAVAILABLE")
            self.daemon.start()
            self.assertTrue(self.local.verify(secret).startswith("ok hmac"))
            fresh.finish()
        finally:
            if self.daemon.process.poll() is not None:
                self.daemon.start()

    def test_a_profile_and_key_that_come_by_reload_are_found_at_their_first_token(self):
        self.assertTrue(self.local.verify(self.daemon.token("web")).startswith("ok web"))
        rings = self.rings + ring("new", "ES384", "create: yes")
        self.daemon.write(rings, self.profiles + profile("new", "new", "new"))
        try:
            self.daemon.cli("reload")
            self.assertTrue(self.local.verify(self.daemon.token("new")).startswith("ok new"))
        finally:
            self.daemon.write(rings, self.profiles)
            self.daemon.cli("reload")


if __name__ == "__main__":
    main()
