"""What a caller may have signed, and what would be signed, told before anything is."""
import base64
import json
import os
import pathlib
import pty
import subprocess
import tempfile

import wire
from rig import (BUILD, Case, EXAMPLE_PROFILE, EXAMPLE_RING, OTHER, PATIENCE, PRINTED_PAYLOAD, PRINTED_SECRET, SIGNET,
                 STRANGER, main, profile, ring)

TOP = pathlib.Path(__file__).resolve().parents[2]
NAMED = 1                    # Debian's user `daemon`, named by a profile
OWN_EACH_TIME = ("iat", "exp", "jti")


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def on_a_terminal(daemon, *args):
    """What `signet ARGS` writes where a person would read it; less than a terminal holds unread."""
    terminal, end = pty.openpty()
    try:
        done = subprocess.run([SIGNET, *args], stdin=subprocess.DEVNULL, stdout=end, stderr=subprocess.PIPE,
                              timeout=PATIENCE, env={**daemon.place.env, "SIGNET_SOCKET": str(daemon.socket), "NO_COLOR": "1"})
        assert done.returncode == 0, done.stderr
        return os.read(terminal, 65536).decode().replace("\r\n", "\n")
    finally:
        os.close(end)
        os.close(terminal)


class DryRun(Case):
    rings = ring("web", "ES256", "create: yes", "max_ttl: 12h") + ring("empty", "ES256") + EXAMPLE_RING
    profiles = (profile("web-session", "web", "shop, login", "ttl: 15m", "max_ttl: 8h",
                        "claims: {allowed: [name, role], required: [sub, name], fixed: {tenant: blue},"
                        " forbidden: [colour]}",
                        sign="{users: [root, daemon]}")
                + profile("own", "web", "own.example", "subject: caller", "claims: {allowed: any}")
                + profile("no-key", "empty", "nobody")
                + profile("slow", "web", "slow.example", "rate: 1/s")
                + EXAMPLE_PROFILE)
    daemon_settings = "  max_request: 16KiB\n"
    SESSION = ["--profile", "web-session", "--subject", "s", "--claim", "name=x"]
    OWN = ["--profile", "own"]

    @classmethod
    def prepare(cls):
        cls.daemon.cli("key", "import", "printed", stdin=PRINTED_SECRET)

    def dry(self, *args, **kw):
        """(header, payload) as they would be signed."""
        return self.daemon.cli("sign", "--dry-run", *args, **kw)[0].split(b"\n", 1)

    def signatures(self):
        status = json.loads(self.daemon.cli("status", "--admin", "--json")[0])
        return sum(s["signatures"] for s in status["signers"]), status["counters"]["signed_tokens"]

    def test_what_is_shown_is_what_is_signed_but_for_times_and_jti(self):
        claims = b'{"name": "J\\u006fhn", "role": [0.1, 1e2, 9007199254740993]}'
        for args, stdin in [
                (self.SESSION, b""),
                ([*self.SESSION, "--claim", "role:={\"a\":[1e40,\"\\u00e9\"]}"], b""),
                ([*self.SESSION, "--audience", "login", "--audience", "shop", "--ttl", "2h", "--not-before", "1"], b""),
                (["--profile", "web-session", "--subject", "s", "--claims", "-"], claims),
                ([*self.OWN, "--claim", "colour=red"], b"")]:
            with self.subTest(args=args):
                header, payload = self.dry(*args, stdin=stdin)
                token = self.daemon.token(args[1], *args[2:], stdin=stdin).split(".")
                self.assertEqual(header, decoded(token[0]))
                shown, signed = (dict(json.loads(p, parse_float=str, object_pairs_hook=list))
                                 for p in (payload, decoded(token[1])))
                self.assertEqual(list(shown), list(signed))
                self.assertEqual(shown["exp"] - shown["iat"], signed["exp"] - signed["iat"])
                self.assertNotEqual(shown["jti"], signed["jti"])
                for name in OWN_EACH_TIME:
                    del shown[name], signed[name]
                self.assertEqual(shown, signed)

    def test_a_claim_is_shown_as_it_was_written_and_a_jti_as_it_was_asked(self):
        _, payload = self.dry("--profile", "web-session", "--subject", "s", "--jti", "mine", "--claims", "-",
                              stdin=b'{"name": "J\\u006fhn", "role": [0.1, 1e2]}')
        self.assertIn(b'"jti":"mine"', payload)
        self.assertIn(b'"name":"J\\u006fhn","role":[0.1, 1e2]', payload)

    def test_a_raw_payload_is_shown_to_the_byte(self):
        for raw in (PRINTED_PAYLOAD, b"", b"\0\xff\n.no JSON", b"x" * 8000):
            header, payload = self.dry("--profile", "example", "--payload", "-", stdin=raw)
            token = self.daemon.token("example", "--payload", "-", stdin=raw).split(".")
            self.assertEqual((header, payload), (decoded(token[0]), raw + b"\n"))
            self.assertEqual(decoded(token[1]), raw)

    def test_json_is_one_object(self):
        said = json.loads(self.daemon.cli("sign", "--dry-run", "--json", *self.SESSION)[0])
        self.assertEqual(set(said), {"header", "payload", "kid", "expires_at"})
        self.assertEqual(said["header"]["kid"], said["kid"])
        self.assertEqual(said["payload"]["exp"], said["expires_at"])
        raw = json.loads(self.daemon.cli("sign", "--dry-run", "--json", "--profile", "example", "--payload", "-",
                                         stdin=b"plain words")[0])
        self.assertEqual((raw["payload"], raw["kid"], raw["expires_at"]), ("plain words", "", 0))
        self.assertEqual(json.loads(self.daemon.cli("sign", "--dry-run", "--json", "--profile", "example", "--payload", "-",
                                                    stdin=b"\xff")[0])["payload"], {"base64url": "_w"})

    def test_on_a_terminal_it_reads_as_inspect_does(self):
        token = self.daemon.token("own", "--jti", "mine", "--claim", "colour=\x1b[31mred")
        shown = on_a_terminal(self.daemon, "sign", "--dry-run", "--profile", "own", "--jti", "mine", "--claim",
                              "colour=\x1b[31mred")
        inspected = on_a_terminal(self.daemon, "inspect", token)
        self.assertEqual([line.split()[0] for line in shown.splitlines()],
                         [line.split()[0] for line in inspected.splitlines()[:-2]])
        self.assertIn('"colour": "\\u001B[31mred"\n', shown)
        self.assertNotIn("\x1b", shown)

    def test_every_refusal_is_the_one_that_signing_gets(self):
        session, own = self.SESSION, self.OWN
        bare = ["--profile", "web-session"]
        raw = ["--profile", "example"]
        for reason, args, kw in [
                ("UNKNOWN_PROFILE", ["--profile", "no-such"], {}),
                ("CALLER_NOT_ALLOWED", session, {"uid": STRANGER}),
                ("CALLER_UNNAMED", own, {"uid": STRANGER}),
                ("SUBJECT_NOT_ALLOWED", [*own, "--subject", "another"], {}),
                ("SUBJECT_NOT_ALLOWED", [*bare, "--subject", "s" * 1025, "--claim", "name=x"], {}),
                ("SUBJECT_REQUIRED", [*bare, "--claim", "name=x"], {}),
                ("AUDIENCE_NOT_ALLOWED", [*session, "--audience", "bank"], {}),
                ("AUDIENCE_NOT_ALLOWED", [*session, "--audience", "shop", "--audience", "shop"], {}),
                ("TTL_TOO_LONG", [*session, "--ttl", "9h"], {}),
                ("NOT_BEFORE_INVALID", [*session, "--not-before", "9999999999"], {}),
                ("JTI_INVALID", [*session, "--jti", "a b"], {}),
                ("CLAIM_NOT_ALLOWED", [*session, "--claim", "shape=round"], {}),
                ("CLAIM_NOT_ALLOWED", [*session, "--claim", "colour=red"], {}),
                ("CLAIM_REQUIRED", [*bare, "--subject", "s"], {}),
                ("CLAIM_RESERVED", [*session, "--claim", "exp:=99"], {}),
                ("CLAIM_RESERVED", [*session, "--claim", "Iss=x"], {}),
                ("CLAIM_RESERVED", [*session, "--claim", "tenant=red"], {}),
                ("CLAIM_SECRET", [*own, "--claim", "password=x"], {}),
                ("CLAIM_SECRET", [*own, "--claim", 'deep:={"pin":1}'], {}),
                ("CLAIMS_MALFORMED", [*own, "--claim", "a=1", "--claim", "a=2"], {}),
                ("PAYLOAD_NOT_ALLOWED", [*bare, "--payload", "-"], {"stdin": b"{}"}),
                ("PAYLOAD_NOT_ALLOWED", raw, {}),
                ("PAYLOAD_NOT_ALLOWED", [*raw, "--claim", "a=b"], {}),
                ("TOKEN_TOO_LARGE", [*own, "--claim", "big=" + "x" * 12000], {}),
                ("TOKEN_TOO_LARGE", [*raw, "--payload", "-"], {"stdin": b"x" * 12200}),
                ("REQUEST_TOO_LARGE", [*raw, "--payload", "-"], {"stdin": b"x" * 17000}),
                ("NO_ACTIVE_KEY", ["--profile", "no-key"], {})]:
            with self.subTest(reason=reason, args=[a[:80] for a in args]):
                dry = self.daemon.cli("sign", "--dry-run", *args, want=None, **kw)
                real = self.daemon.cli("sign", *args, want=1, **kw)
                self.assertEqual(dry, real)
                self.assertIn(f"signet: {reason}: ", dry[1])

    def test_wrong_usage_is_2_and_nobody_there_is_3(self):
        self.daemon.cli("sign", "--dry-run", want=2)
        self.daemon.cli("sign", "--dry-run", *self.SESSION, "--ttl", "soon", want=2)
        self.daemon.cli("sign", "--dry-run", *self.SESSION, "--socket", self.place.dir / "nobody.sock", want=3)

    def test_it_costs_the_token_nothing(self):
        before = self.signatures()
        for _ in range(20):
            self.dry(*self.SESSION)
            self.dry("--profile", "example", "--payload", "-", stdin=b"{}")
        self.assertEqual(self.signatures(), before)
        self.daemon.token("web-session", *self.SESSION[2:])
        self.assertNotEqual(self.signatures(), before)

    def test_it_counts_for_the_profile_s_rate(self):
        ask = wire.field(1, "slow") + wire.field(2, "s")
        with wire.Connection(self.daemon.socket) as c:
            c.send(b"".join(wire.request(wire.PREVIEW, wire.field(1, ask), request_id=i + 1) for i in range(20))
                   + wire.sign("slow", request_id=21))
            replies = {r[1]: r for r in (c.reply() for _ in range(21))}
        self.assertIn(wire.PREVIEW, replies[1])
        error = dict(wire.fields(replies[21][wire.ERROR]))
        self.assertEqual(error[2], b"RATE_LIMITED")
        self.assertGreater(error[4], 0)
        self.daemon.cli("sign", "--dry-run", "--profile", "slow", uid=STRANGER)

    def test_a_preview_of_nothing_of_nonsense_or_of_a_batch_breaks_nothing(self):
        item = wire.field(1, wire.field(1, "own") + wire.field(4, 60))
        with wire.Connection(self.daemon.socket) as c:
            for body, reason in [
                    (b"", "BAD_REQUEST"),
                    (wire.field(1, b""), "UNKNOWN_PROFILE"),
                    (wire.field(1, wire.field(1, "x" * 300)), "UNKNOWN_PROFILE"),
                    (wire.field(1, b"\xff"), "BAD_REQUEST"),
                    (wire.field(1, wire.field(1, b"own\0")), "BAD_REQUEST"),
                    (wire.field(1, wire.field(1, b"\xc3(")), "BAD_REQUEST")]:
                c.send(wire.request(wire.PREVIEW, body))
                self.assertEqual(c.reason(), reason, body)
            # One field given again and again is one message to protobuf, or none where a version cannot merge them;
            # never more previews than requests.
            c.send(wire.request(wire.PREVIEW, item * 257, request_id=7) + wire.request(wire.PREVIEW, item, request_id=8))
            many, one = c.reply(), c.reply()
            self.assertEqual((many[1], one[1]), (7, 8))
            self.assertTrue(wire.PREVIEW in many or dict(wire.fields(many[wire.ERROR]))[2] == b"BAD_REQUEST", many)
            preview = dict(wire.fields(one[wire.PREVIEW]))
            payload = json.loads(preview[2])
            self.assertEqual((payload["exp"] - payload["iat"], preview[4]), (60, payload["exp"]))


class Rules(Case):
    rings = ring("web", "ES256", "create: yes", "max_ttl: 12h") + EXAMPLE_RING
    profiles = (profile("web-session", "web", "shop, login", "ttl: 15m", "max_ttl: 8h", "leeway: 0s", "typ: at+jwt",
                        "claims: {allowed: [name, role], required: [sub, name, tenant], forbidden: [colour],"
                        " fixed: {tenant: blue-team, level: 7, deep: {a: ['1', true]}}}", "rate: 2000/s",
                        sign="{users: [root, daemon]}")
                + profile("own", "web", "own.example", "subject: caller", "claims: {allowed: any, required: [sub]}",
                          sign="{users: [daemon]}", verify="{users: [daemon]}")
                + profile("odd", "web", "odd.example", "ttl: 90s",
                          "claims: {allowed: any, required: [\"it's\", 'a b', ü],"
                          " fixed: {half: 0.5, \"\\e[31mred\": 1}}",
                          sign="{users: [root]}", verify="{users: []}")
                + profile("nobodys", "web", "nobody", sign="{users: []}", verify="{users: []}")
                + EXAMPLE_PROFILE)
    OPEN = {"ring": "web", "alg": "ES256", "raw": False, "issuer": "https://login.example"}
    SESSION = {**OPEN, "name": "web-session", "audiences": ["shop", "login"], "typ": "at+jwt", "leeway_s": 0,
               "ttl_s": 900, "max_ttl_s": 8 * 3600, "may_verify": True}
    SESSION_SIGNER = {**SESSION, "may_sign": True, "subject": "any", "rate_per_s": 2000, "claims": {
        "allowed": ["name", "role"], "required": ["sub", "name", "tenant"], "forbidden": ["colour"],
        "fixed": {"tenant": "blue-team", "level": 7, "deep": {"a": ["1", True]}}}}
    OWN = {**OPEN, "name": "own", "audiences": ["own.example"], "typ": "JWT", "leeway_s": 30, "ttl_s": 900,
           "max_ttl_s": 900, "may_sign": True, "may_verify": True, "subject": "caller", "rate_per_s": 0,
           "claims": {"allowed": "any", "required": ["sub"], "forbidden": [], "fixed": {}}}
    ODD = {**OPEN, "name": "odd", "audiences": ["odd.example"], "typ": "JWT", "leeway_s": 30, "ttl_s": 90, "max_ttl_s": 90,
           "may_sign": True, "may_verify": False, "subject": "any", "rate_per_s": 0,
           "claims": {"allowed": "any", "required": ["it's", "a b", "ü"], "forbidden": [],
                      "fixed": {"half": 0.5, "\x1b[31mred": 1}}}
    RAW = {"name": "example", "ring": "printed", "alg": "HS256", "raw": True, "issuer": "", "audiences": [], "typ": "JWT",
           "leeway_s": 30, "ttl_s": 900, "max_ttl_s": 900, "may_sign": True, "may_verify": True, "rate_per_s": 0}
    SEEN = {                                             # uid: what it sees, in the order of the configuration
        None: [SESSION_SIGNER, ODD, RAW],
        NAMED: [SESSION_SIGNER, OWN, RAW],
        STRANGER: [{**SESSION, "may_sign": False}, RAW],
    }

    @classmethod
    def prepare(cls):
        cls.daemon.cli("key", "import", "printed", stdin=PRINTED_SECRET)

    def listed(self, uid=None):
        return json.loads(self.daemon.cli("profile", "list", "--json", uid=uid)[0])

    def test_each_caller_sees_its_own_profiles_and_their_rules(self):
        self.maxDiff = None
        for uid, want in self.SEEN.items():
            with self.subTest(uid=uid):
                self.assertEqual(self.listed(uid), want)
                for one in want:
                    shown, _ = self.daemon.cli("profile", "show", one["name"], "--json", uid=uid)
                    self.assertEqual(json.loads(shown), one)

    def test_what_is_not_the_caller_s_is_not_there(self):
        for uid, want in self.SEEN.items():
            mine = [p["name"] for p in want]
            for name in ("own", "odd", "nobodys", "no-such", ""):
                if name in mine:
                    continue
                with self.subTest(uid=uid, name=name):
                    err = self.refused("UNKNOWN_PROFILE", "profile", "show", name, uid=uid)
                    self.assertIn("those that do: " + ", ".join(mine) + "\n", err)

    def test_how_a_profile_signs_is_not_sent_to_who_may_only_verify(self):
        """In the bytes of the answer, whatever the client shows."""
        ask = f"""
import sys; sys.path.insert(0, {str(pathlib.Path(wire.__file__).parent)!r}); sys.dont_write_bytecode = True
import wire
with wire.Connection({str(self.daemon.socket)!r}) as c:
    c.send(wire.request(wire.LIST_PROFILES))
    sys.stdout.buffer.write(c.reply()[wire.LIST_PROFILES])"""
        for uid, there in ((STRANGER, False), (NAMED, True)):
            with self.subTest(uid=uid):
                done = subprocess.run(["setpriv", "--reuid", str(uid), "--clear-groups", "/usr/bin/python3", "-c", ask],
                                      capture_output=True, timeout=PATIENCE)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(b"web-session", done.stdout)
                for word in (b"blue-team", b"role", b"colour", b"own.example"):
                    self.assertEqual(word in done.stdout, there, word)
                self.assertNotIn(b"nobodys", done.stdout)

    def test_a_list_is_a_line_a_profile(self):
        lines = self.daemon.cli("profile", "list")[0].decode().splitlines()
        self.assertEqual([line.split() for line in lines], [
            ["web-session", "ES256", "sign,", "verify", "15m,", "at", "most", "8h", "shop,", "login"],
            ["odd", "ES256", "sign", "90s", "odd.example"],
            ["example", "HS256", "sign,", "verify", "-", "any", "payload", "as", "it", "is"]])

    def shown(self, name, uid=None):
        """({row: words}, the command to begin with)"""
        first, _, rest = self.daemon.cli("profile", "show", name, uid=uid)[0].decode().partition("\n")
        self.assertEqual(first, name)
        rows, _, example = rest.partition("\n\n")
        return {line[2:15].strip(): line[16:] for line in rows.splitlines()}, example.strip()

    def test_a_profile_in_words_says_all_of_it(self):
        rows, _ = self.shown("web-session")
        self.assertEqual(rows, {
            "you may": "sign, verify", "ring": "web", "algorithm": "ES256", "typ": "at+jwt",
            "issuer": "https://login.example", "audiences": "shop, login", "lives": "15m, at most 8h", "leeway": "0s",
            "subject": "any, required", "allowed": "name, role", "required": "sub, name, tenant", "forbidden": "colour",
            "fixed": 'tenant = "blue-team"', "": 'deep = {"a":["1",true]}', "rate": "2000 a second"})
        rows, example = self.shown("web-session", uid=STRANGER)
        self.assertEqual(list(rows), ["you may", "ring", "algorithm", "typ", "issuer", "audiences", "lives", "leeway"])
        self.assertEqual((rows["you may"], example), ("verify", ""))
        rows, _ = self.shown("own", uid=NAMED)
        self.assertEqual((rows["subject"], rows["allowed"]), ("always the caller's user name", "any claim"))
        rows, _ = self.shown("example")
        self.assertEqual(rows["signs"], "any payload as it is")

    def test_the_command_to_begin_with_works_as_it_stands(self):
        with tempfile.TemporaryDirectory(prefix="signet-") as where:
            path = pathlib.Path(where)
            path.chmod(0o755)
            (path / "FILE").write_bytes(PRINTED_PAYLOAD)
            env = {**self.place.env, "SIGNET_SOCKET": str(self.daemon.socket),
                   "PATH": f"{(BUILD / 'client/cli').resolve()}:/usr/bin:/bin"}
            for uid, name, want in [
                    (0, "web-session", {"sub": "SUBJECT", "name": "TEXT", "tenant": "blue-team", "aud": "shop"}),
                    (0, "odd", {"it's": "TEXT", "a b": "TEXT", "ü": "TEXT"}),
                    (NAMED, "own", {"sub": "daemon"}),
                    (0, "example", json.loads(PRINTED_PAYLOAD))]:
                with self.subTest(name=name):
                    _, example = self.shown(name, uid=uid)
                    argv = ["setpriv", "--reuid", str(uid), "--clear-groups", "sh", "-c", f"{example} --dry-run"]
                    done = subprocess.run(argv, cwd=where, env=env, capture_output=True, timeout=PATIENCE)
                    self.assertEqual(done.returncode, 0, (example, done.stderr))
                    payload = json.loads(done.stdout.split(b"\n")[1])
                    self.assertLessEqual(want.items(), payload.items())

    def test_a_name_does_not_drive_the_terminal(self):
        self.assertIn("\\x1B[31mred = 1\n", on_a_terminal(self.daemon, "profile", "show", "odd"))

    def test_completion_offers_the_caller_s_profiles(self):
        script = f"""PATH={(BUILD / 'client/cli').resolve()}:$PATH; . {TOP}/contrib/completion/signet
            COMP_WORDS=(signet profile ''); COMP_CWORD=2; _signet; echo "${{COMPREPLY[*]}}"
            COMP_WORDS=(signet profile show ''); COMP_CWORD=3; _signet; echo "${{COMPREPLY[*]}}"
            COMP_WORDS=(signet profile show --j); COMP_CWORD=3; _signet; echo "${{COMPREPLY[*]}}"
            COMP_WORDS=(signet sign --profile o); COMP_CWORD=3; _signet; echo "${{COMPREPLY[*]}}" """
        env = {**self.place.env, "SIGNET_SOCKET": str(self.daemon.socket)}
        lines = subprocess.run(["bash", "-c", script], env=env, capture_output=True, timeout=PATIENCE).stdout
        self.assertEqual(lines.decode().splitlines(), ["list show", "web-session odd example", "--json", "odd"])

    def test_wrong_usage_is_2_and_nobody_there_is_3(self):
        self.daemon.cli("profile", want=2)
        self.daemon.cli("profile", "show", want=2)
        self.daemon.cli("profile", "show", "odd", "own", want=2)
        self.daemon.cli("profile", "list", "odd", want=2)
        self.daemon.cli("profile", "list", "--socket", self.place.dir / "nobody.sock", want=3)


class Many(Case):
    """More than a page holds, and one profile as large as a configuration can have it."""
    rings = ring("web", "ES256", "create: yes")
    SMALL = [f"p{i:02}" for i in range(20)]
    HUGE = profile("huge", "web", ", ".join(f"h{i:03}" + "a" * 1000 for i in range(256)),
                   "claims: {fixed: {" + ", ".join(f"f{i:02}: {'x' * 8100}" for i in range(64)) + "}}",
                   sign="{users: [root]}", verify="{users: []}")
    profiles = HUGE + "".join(
        profile(name, "web", ", ".join(f"{name}-{k}" + "b" * 900 for k in range(10)),
                sign="{users: [root, daemon]}" if name < "p02" else "{users: [root]}", verify="{users: []}")
        for name in SMALL)

    def page(self, c, number):
        c.send(wire.request(wire.LIST_PROFILES, wire.field(1, number)))
        return c.reply()

    def test_all_come_whole_and_in_order(self):
        said = json.loads(self.daemon.cli("profile", "list", "--json")[0])
        self.assertEqual([p["name"] for p in said], ["huge", *self.SMALL])
        self.assertEqual(len(said[0]["audiences"]), 256)
        self.assertEqual(said[0]["claims"]["fixed"], {f"f{i:02}": "x" * 8100 for i in range(64)})

    def test_pages_are_of_one_version_and_end(self):
        with wire.Connection(self.daemon.socket) as c:
            raw = [self.page(c, n)[wire.LIST_PROFILES] for n in range(2)]
            pages = [dict(wire.fields(r)) for r in raw]
            self.assertEqual([p[2] for p in pages], [2, 2])
            self.assertEqual(pages[0][3], pages[1][3])
            self.assertEqual([sum(1 for number, _ in wire.fields(r) if number == 1) for r in raw], [1, 20])
            for past in (2, 3, 2**32 - 1):
                error = dict(wire.fields(self.page(c, past)[wire.ERROR]))
                self.assertEqual(error[2], b"BAD_REQUEST")
                self.assertIn(b"2 pages", error[3])

    def test_who_has_few_gets_few(self):
        self.assertEqual([p["name"] for p in json.loads(self.daemon.cli("profile", "list", "--json", uid=NAMED)[0])],
                         self.SMALL[:2])

    def test_who_has_none_is_told_so(self):
        out, err = self.daemon.cli("profile", "list", uid=OTHER)
        self.assertEqual((out, err), (b"", "No profile lets you sign or verify.\n"))
        self.assertEqual(self.daemon.cli("profile", "list", "--json", uid=OTHER)[0], b"[]\n")
        self.assertIn("no other does", self.refused("UNKNOWN_PROFILE", "profile", "show", "p00", uid=OTHER))


class Reloaded(Case):
    rings = ring("web", "ES256", "create: yes")
    profiles = profile("before", "web", "shop")

    def test_a_reload_is_seen_at_once(self):
        with wire.Connection(self.daemon.socket) as c:
            versions = []
            for name in ("before", "after"):
                self.daemon.write(self.rings, profile(name, "web", "shop"))
                self.daemon.cli("reload")
                c.send(wire.request(wire.LIST_PROFILES))
                reply = dict(wire.fields(c.reply()[wire.LIST_PROFILES]))
                versions.append(reply[3])
                self.assertEqual(dict(wire.fields(dict(wire.fields(reply[1]))[1]))[1], name.encode())
        self.assertNotEqual(*versions)


if __name__ == "__main__":
    main()
