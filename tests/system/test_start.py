"""Where module, token and PIN come from; and what is missing is named, with what to do, while the daemon stays up."""
import json
import os
import subprocess

from rig import EachCase, PIN, SIGNETD, main, profile, ring, until

RINGS = ring("web", "ES256", "create: yes")
PROFILES = profile("web", "web", "shop", "claims: {allowed: any}")


class Starting(EachCase):
    rings, profiles = RINGS, PROFILES

    def change(self, was, now):
        text = self.daemon.config.read_text()
        self.assertIn(was, text)
        self.daemon.config.write_text(text.replace(was, now))

    def works(self, env=None):
        self.daemon.start(env)
        self.daemon.token("web", "--subject", "s")
        self.assertEqual(self.daemon.stop(), 0)

    def says(self, *words):
        """It is up, says why it does not sign, and does again when that is mended."""
        self.daemon.start()
        out = until("it has tried", lambda: self.tried(self.daemon.cli("status", want=3)[0]))
        _, err = self.daemon.cli("sign", "--profile", "web", want=3)
        for word in words:
            self.assertIn(word, out.decode())
            self.assertIn(word, err)

    def signetd(self, *args):
        return subprocess.run([SIGNETD, "--config", str(self.daemon.config), *args], env=self.place.env,
                              capture_output=True, text=True, timeout=60)

    def tried(self, status):
        return b"STARTING" not in status and status

    def stops(self, *words):
        done = self.signetd()
        self.assertEqual(done.returncode, 78, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)


class Start(Starting):
    def test_the_pin_may_be_a_systemd_credential(self):
        credentials = self.place.dir / "credentials"
        credentials.mkdir(mode=0o700)
        (credentials / "token-pin").write_text(PIN)
        self.change(f"pin_file: {self.place.pin}", "pin_credential: token-pin")
        self.works({"CREDENTIALS_DIRECTORY": str(credentials)})

    def test_the_pin_may_be_the_uri_s_pin_source(self):
        self.change(f"  pin_file: {self.place.pin}\n", "")
        self.change("pkcs11:token=signet", f"'pkcs11:token=signet?pin-source=file:{self.place.pin}'")
        self.works()

    def test_a_missing_module_is_named(self):
        self.change(self.place.module, "/usr/lib/no-such-module.so")
        self.says("MODULE_MISSING", "/usr/lib/no-such-module.so")

    def test_a_module_that_p11_kit_does_not_know_is_named(self):
        self.change(self.place.module, "no-such-name")
        self.says("MODULE_MISSING", "no-such-name")

    def test_a_missing_token_is_named_and_those_that_are_there(self):
        self.change("pkcs11:token=signet", "pkcs11:token=other")
        self.says("TOKEN_MISSING", "pkcs11:token=other", "'signet'")

    def test_a_missing_pin_file_is_said_and_taken_up_when_it_comes(self):
        pin = self.place.dir / "later"
        self.change(f"pin_file: {self.place.pin}", f"pin_file: {pin}")
        self.says("PIN_MISSING")
        pin.write_text(PIN + "\n")
        until("it signs", lambda: self.daemon.cli("sign", "--profile", "web", want=None)[0])
        self.assertEqual(self.daemon.stop(), 0)

    def test_a_ring_without_a_key_says_how_to_make_one(self):
        self.daemon.write(ring("web", "ES256"), PROFILES)
        self.daemon.start()
        _, err = self.daemon.cli("sign", "--profile", "web", want=1)
        self.assertIn("NO_ACTIVE_KEY", err)
        self.assertIn("signet key generate web", err)
        self.assertIn("ES256   by CKM_ECDSA, no key yet\n", self.daemon.cli("status")[0].decode())
        self.daemon.cli("key", "generate", "web")
        self.assertIn("ES256   by CKM_ECDSA\n", self.daemon.cli("status")[0].decode())
        self.daemon.token("web", "--subject", "s")
        _, err = self.daemon.cli("key", "generate", "nothing", want=1)
        self.assertIn("UNKNOWN_RING", err)
        self.assertEqual(self.daemon.stop(), 0)

    def test_a_missing_group_and_user_are_named_with_their_line(self):
        self.daemon.write(RINGS, profile("web", "web", "shop", sign="{users: [no-such-user], groups: [no-such-group]}"))
        self.stops("signetd.conf:", "user 'no-such-user' does not exist", "group 'no-such-group' does not exist")

    def test_a_missing_file_and_one_that_is_none_are_named(self):
        self.daemon.config.unlink()
        self.stops("signetd.conf: cannot be read: No such file or directory")
        self.daemon.config.mkdir()
        self.stops("signetd.conf: is not a file")

    def test_check_tells_of_files_that_are_not_there_yet(self):
        done = self.signetd("--check")
        self.assertEqual(done.stderr, "")
        self.assertTrue(done.stdout.endswith(": nothing is wrong: 1 ring, 1 profile\n"), done.stdout)
        self.change(self.place.module, "/usr/lib/no-such-module.so")
        self.change(str(self.place.pin), "/no/such/pin")
        done = self.signetd("--check")
        self.assertEqual(done.returncode, 0, "the configuration itself is right")
        lines = self.daemon.config.read_text().splitlines()
        for setting, path in [("module", "/usr/lib/no-such-module.so"), ("pin_file", "/no/such/pin")]:
            line = lines.index(f"  {setting}: {path}") + 1
            self.assertIn(f"signetd.conf:{line}: token.{setting}: '{path}' cannot be read: No such file", done.stderr)
        self.change("audiences: [shop]", "audiences: [shop")
        done = self.signetd("--check")
        self.assertEqual(done.returncode, 78)
        for word in ("no YAML", "/usr/lib/no-such-module.so", "/no/such/pin"):
            self.assertIn(word, done.stderr)

    def test_nobody_is_no_caller_and_is_refused_at_load(self):
        self.daemon.write(RINGS, profile("web", "web", "shop", sign="{users: [nobody], groups: [nogroup]}"))
        self.stops("profiles.web.sign: user 'nobody' is the overflow uid 65534", "group 'nogroup' is the overflow gid 65534")

    def test_a_directory_that_is_not_there_is_named(self):
        self.change(str(self.daemon.socket), "/no/such/directory/s.sock")
        done = self.signetd()
        self.assertEqual(done.returncode, 1)
        self.assertIn("/no/such/directory", done.stderr)


class OnSoftHsm(Starting):
    def test_a_weak_secret_signs_only_while_its_ring_allows_it(self):
        """Padded on import, it is as long as any other on the token."""
        weak, mac = "allow_weak_secret: yes", profile("mac", "mac", "mac.example", "claims: {allowed: any}")
        self.daemon.write(ring("mac", "HS256", weak), mac)
        self.daemon.start()
        self.daemon.cli("key", "import", "mac", stdin=b"abc")
        token = self.daemon.token("mac", "--subject", "s")
        self.change(weak, "")
        self.daemon.cli("reload")
        until("it is refused", lambda: "KEY_TOO_WEAK" in self.daemon.cli("sign", "--profile", "mac", want=None)[1])
        _, err = self.daemon.cli("verify", token, want=1)
        self.assertIn("KEY_TOO_WEAK", err)
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.start()
        _, err = self.daemon.cli("sign", "--profile", "mac", want=1)
        for word in ("KEY_TOO_WEAK", "'mac'", "allow_weak_secret"):
            self.assertIn(word, err)
        self.daemon.cli("verify", token, want=1)
        self.assertIn("allow_weak_secret", self.daemon.cli("key", "list")[0].decode())
        self.change("alg: HS256\n", f"alg: HS256\n    {weak}\n")
        self.daemon.cli("reload")
        until("it signs again", lambda: self.daemon.cli("sign", "--profile", "mac", want=None)[0])
        self.daemon.cli("verify", token)
        self.assertEqual(self.daemon.stop(), 0)

    def test_a_weak_secret_made_elsewhere_is_refused(self):
        for n, name in ((16, "short"), (32, "whole")):
            subprocess.run(["pkcs11-tool", "--module", self.place.module, "--token-label", "signet", "--login", "--pin", PIN,
                            "--keygen", "--key-type", f"GENERIC:{n}", "--label", name, "--id", f"{n:02x}", "--sensitive",
                            "--private", "--usage-sign"], env=self.place.env, check=True, capture_output=True)
        self.daemon.write("".join(ring(name, "HS256", f"keys: [{{uri: 'pkcs11:object={name}', activates_at: 1}}]")
                                  for name in ("short", "whole")),
                          "".join(profile(name, name, f"{name}.example") for name in ("short", "whole")))
        self.daemon.start()
        self.daemon.token("whole")
        _, err = self.daemon.cli("sign", "--profile", "short", want=1)
        self.assertIn("KEY_TOO_WEAK", err)
        self.assertEqual(self.daemon.stop(), 0)

    def test_a_secret_is_imported_once_and_its_successor_says_from_when_it_signs(self):
        self.daemon.write(ring("mac", "HS256", "rotate_every: never"), PROFILES.replace("ring: web", "ring: mac"))
        self.daemon.start()
        secret = b"0123456789abcdef0123456789abcdef"
        out, err = self.daemon.cli("key", "import", "mac", stdin=secret)
        self.assertIn("state         active", out.decode())
        self.assertEqual(err, "")
        # HMAC pads a key with zeros: the same key in more bytes.
        for again in (secret, secret + b"\0"):
            _, err = self.daemon.cli("key", "import", "mac", stdin=again, want=1)
            self.assertIn("KEY_EXISTS: the ring holds this secret already", err)
        self.assertEqual(len(json.loads(self.daemon.cli("key", "list", "--json")[0])), 1)
        out, err = self.daemon.cli("key", "import", "mac", stdin=secret + b"\n")
        self.assertIn("ends with a newline", err)
        self.assertRegex(out.decode(), "state         next.*\\n.*signs from    20[0-9]{2}-")
        self.assertEqual(self.daemon.stop(), 0)

    def test_the_module_may_be_a_name_that_p11_kit_knows(self):
        self.change(self.place.module, "softhsm2")
        self.works()

    def test_a_token_may_be_named_by_its_serial(self):
        self.daemon.start()
        serial = [l.split()[-1] for l in subprocess.run(["softhsm2-util", "--show-slots"], env=self.place.env, text=True,
                                                         capture_output=True).stdout.splitlines() if "Serial number" in l][0]
        self.assertEqual(self.daemon.stop(), 0)
        self.change("pkcs11:token=signet", f"pkcs11:serial={serial}")
        self.works()

    def test_a_key_that_anyone_could_have_made_is_foreign_and_never_used(self):
        """SoftHSM lets anyone without a PIN make public keys: labels of ours on them count for nothing."""
        self.daemon.start()
        subprocess.run(["pkcs11-tool", "--module", self.place.module, "--token-label", "signet", "--login", "--pin", PIN,
                        "--keypairgen", "--key-type", "EC:prime256v1", "--id", "abcd",
                        "--label", "signet:web:ES256:1:43200:60:900"], env=self.place.env, check=True, capture_output=True)
        self.daemon.cli("key", "generate", "web")      # lists anew
        keys = self.daemon.cli("key", "list")[0].decode().splitlines()
        self.assertEqual(len(keys), 3, keys)
        strange = [k for k in keys if "CKA_PRIVATE" in k]
        self.assertEqual(len(strange), 1, keys)
        self.assertNotIn(strange[0].split()[3], {k["kid"] for k in self.daemon.jwks()["keys"]})
        self.daemon.token("web", "--subject", "s")
        self.assertEqual(self.daemon.stop(), 0)


if __name__ == "__main__":
    main()
