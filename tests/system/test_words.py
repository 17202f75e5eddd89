"""What `signet` makes of a daemon's answers that a real one gives seldom: the daemon here answers by script."""
import json
import os
import pathlib
import pty
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest
import xml.etree.ElementTree

from rig import BUILD, PATIENCE, SANITIZER, SIGNET, main
from wire import ERROR, GET_KEYS, GET_STATUS, LIST_KEYS, LIST_RINGS, PLAN_RING, field, fields, frame

ROTATE, REVOKE, DESTROY = 36, 37, 38
SVG = "{http://www.w3.org/2000/svg}"
NOW = int(time.time())
HOUR, DAY = 3600, 86400
SOON, FAR = 5400, 130000            # "1 hour", "1 day", however long the test takes
BAD, GOOD, NEXT = "badbadbad-1", "good-2", "next-3"      # kids
RSA_JWK = '{"kty":"RSA"}'


def message(*pairs):
    return b"".join(field(number, value) for number, value in pairs if value not in (0, "", b"", None, False))


def key(kid, state, ring="web", alg="ES256", uses=(), at=NOW - FAR, retires=0, ends=0, jwk=RSA_JWK, id_="00aa", published=True,
        custody="made in the token", token=""):
    return message((1, kid), (2, ring), (3, alg), (4, state), (5, f"signet:{ring}"), (6, id_), (7, at), (8, retires), (9, ends),
                   (10, int(published)), (18, jwk), (20, custody), (21, sum(n for _, n in uses)),
                   *((22, message((1, profile), (2, n))) for profile, n in uses), (23, token))


def error(code, reason, text="why"):
    return message((1, code), (2, reason), (3, text))


def status(name="web", alg="ES256", active=GOOD, *more):
    return message((1, name), (2, alg), (3, active), (6, 1), *more)


def ring(name="web", rotate_every=30 * DAY, ring_status=None, profiles=("session", "api")):
    return message((1, ring_status or status(name)), *((2, p) for p in profiles), (3, rotate_every), (4, 2 * DAY),
                   (5, 12 * HOUR), (6, 60), (7, 900), (8, 30), (9, 600), (10, 7 * DAY))


KEYS = message((1, key(BAD, "foreign", ring="", id_="00bb")), (1, key(BAD, "active", uses=[("session", 40), ("api", 2)])),
               (1, key(GOOD, "next")), (1, key("", "orphan", id_="c0ffee")))      # the first: a stranger's copy
RINGS = message((1, ring()), (1, ring("still", 0)))


class Scripted:
    """Answers each operation with the bytes of its result, or as ERROR with those of an error; keeps what was asked."""

    def __init__(self, answers):
        self.answers, self.asked = {LIST_KEYS: KEYS, LIST_RINGS: RINGS, **answers}, []
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="signet-words-"))
        self.path = self.dir / "socket"
        self.env = {**os.environ, "LC_ALL": "C.UTF-8", "SIGNET_SOCKET": str(self.path), "SIGNET_ADMIN_SOCKET": str(self.path)}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE)
        self.listener.close()
        shutil.rmtree(self.dir)

    def serve(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            with connection, connection.makefile("rwb") as f:
                while len(head := f.read(4)) == 4:
                    request = dict(fields(f.read(struct.unpack(">I", head)[0])))
                    op = max(number for number in request if number > 9)
                    body = dict(fields(request[op]))
                    self.asked.append((op, body))
                    answer = self.answers[op]
                    answer = answer(body) if callable(answer) else answer
                    number, answer = answer if isinstance(answer, tuple) else (op, answer)
                    f.write(frame(field(1, request[1]) + field(number, answer)))
                    f.flush()

    def of(self, op):
        return [body for asked, body in self.asked if asked == op]

    def cli(self, *args, want=0, stdin=b""):
        done = subprocess.run([SIGNET, *args], input=stdin, capture_output=True, timeout=PATIENCE, env=self.env)
        out, err = done.stdout.decode(), done.stderr.decode()
        assert not SANITIZER.search(err), err
        assert done.returncode == want, f"{args}: {done.returncode}, not {want}: {err}{out}"
        return out, err

    def on_terminal(self, typed, *args):
        """(exit status, all it printed) with a terminal on the three."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen([SIGNET, *args], stdin=theirs, stdout=theirs, stderr=theirs, env=self.env)
        os.close(theirs)
        os.write(ours, typed)
        said = b""
        try:
            while more := os.read(ours, 65536):
                said += more
        except OSError:                  # the end, of a terminal
            pass
        os.close(ours)
        return process.wait(PATIENCE), said.decode()


class Words(unittest.TestCase):
    def has(self, text, *patterns):
        for pattern in patterns:
            self.assertRegex(text, pattern)

    def rows(self, text):
        return dict(re.findall(r"^  (\w[\w ]*?)  +(.*)$", text, re.M))


class Usage(Words):
    def test_what_destroys_wants_one_key_and_is_told_before_anything_is_asked(self):
        for command, flag in (("revoke", ["--compromised"]), ("destroy", ["--i-know"]), ("show", [])):
            for args, says in (([], "KID is missing"), ([BAD, GOOD], "one argument too many"), ([""], "KID is empty")):
                with self.subTest(command=command, args=args), Scripted({}) as d:
                    self.assertIn(says, d.cli("key", command, *args, *flag, want=2)[1])
                    self.assertEqual(d.asked, [])
        for args in ([], ["web", "still"]):
            with self.subTest(args=args), Scripted({}) as d:
                d.cli("ring", "rotate", *args, "--now", "--yes", want=2)
                self.assertEqual(d.asked, [])


class Which(Words):
    """The same of each command on a key."""
    COMMANDS = ["show"], ["destroy"], ["revoke", "--compromised"]

    def test_none_and_several_are_told_alike(self):
        keys = message((1, key("a" * 43, "active")), (1, key("ab" + "c" * 41, "retired")))
        refused = (ERROR, error(5, "UNKNOWN_KEY", "the token has no key 'x'"))
        for kid, says in (("x", "no"), ("a", "more than one")):
            with self.subTest(kid), Scripted({LIST_KEYS: keys, REVOKE: refused, DESTROY: refused}) as d:
                self.assertEqual({d.cli("key", *command, kid, want=1) for command in self.COMMANDS},
                                 {("", f"signet: UNKNOWN_KEY: {says} key has a kid that begins with '{kid}': signet key list\n")})

    def test_a_revoked_one_has_no_times_to_come(self):
        keys = message((1, key(BAD, "revoked", at=NOW - FAR, retires=NOW + SOON, ends=NOW + FAR)))
        with Scripted({LIST_KEYS: keys}) as d:
            rows = self.rows(d.cli("key", "show", BAD)[0])
        self.assertEqual(rows["state"], "revoked: never published or used again")
        self.assertIn("ago", rows["signed from"])
        self.assertTrue({"retires", "ends", "activates"}.isdisjoint(rows))


class Revoke(Words):
    @staticmethod
    def done(state="active", successor=key(GOOD, "active"), **kw):
        has = {"uses": [("session", 40), ("api", 2)], "promoted": 1, "known": NOW - SOON, "until": NOW + SOON,
               "destroyed": 1, "recorded": 1, "trouble": None, "at": NOW - FAR, **kw}
        return message((1, has.get("key") or key(BAD, state, uses=has["uses"], at=has["at"])), (2, successor), (3, has["promoted"]),
                       (4, has["known"]), (5, has["until"]), (6, has["destroyed"]), (7, has["recorded"]), (8, has["trouble"]))

    def test_only_what_is_compromised_is_revoked(self):
        with Scripted({}) as d:
            _, err = d.cli("key", "revoke", BAD, want=2)
            self.has(err, "--compromised", "signet ring rotate RING", "rejects every living token")
            self.assertEqual(d.asked, [])

    def test_the_report_says_what_is_affected(self):
        with Scripted({REVOKE: self.done()}) as d:
            out, _ = d.cli("key", "revoke", "badbad", "--compromised")
            self.assertEqual(d.of(REVOKE), [{1: BAD.encode()}])
            self.has(out, f"^{BAD} is revoked: never published or used again\n")
            rows = self.rows(out)
            self.assertEqual(rows["ring"], "web (ES256), where it was active")
            self.has(rows["signed since"], r"^20\S+Z \(1 day ago\)$")
            self.assertEqual(rows["profiles"], "session, api")
            self.assertEqual(rows["signed"], "42 tokens: session 40, api 2, by this signetd since its start")
            self.has(rows["its tokens"], r"^would have lived until 20\S+Z \(in 1 hour\) at the latest; they are rejected"
                     r" from now on, by verifiers with a copy of the key set when they fetch it anew: within jwks_max_age, 15m$")
            self.assertEqual(rows["signs now"], f"{GOOD}, which was the next key, published before")
            self.has(rows["known"], r"has had it since 20\S+Z \(1 hour ago\)$")
            self.has(rows["destroyed"], "^yes")
            self.has(rows["recorded"], "does not bring it back")

    CASES = (
        ("a successor that was made now", {"promoted": 0, "known": NOW + HOUR},
         [f"signs now +{GOOD}, which was made now\n", r"known .*has it by 20\S+Z \(in .*until then those that do not fetch .* reject"]),
        ("a retired key", {"state": "retired", "promoted": 0}, [f"signs now +{GOOD}, as before\n", r"ring +web \(ES256\), where it was retired"]),
        ("a next key", {"state": "next", "promoted": 0, "at": NOW + DAY, "until": 0, "uses": []},
         ["signed since +never: it was to sign from 20", "signed +0 tokens, by", "its tokens +none: it never signed"]),
        ("a successor that verifiers do not know of", {"successor": key(GOOD, "active", alg="HS256", jwk="")},
         [f"signs now +{GOOD}"]),
        ("tokens that have ended", {"state": "expired", "promoted": 0, "until": NOW - HOUR},
         ["signed +42 tokens", r"its tokens +none that lives: the last ended by 20\S+Z \(1 hour ago\)\n"]),
        ("one that is gone and was revoked before", {"key": key(BAD, "revoked", alg="", id_="", jwk="", custody=""), "promoted": 0, "until": 0},
         [r"ring +web, where it was revoked before\n", r"signed since +20\S+Z \(1 day ago\)\n",
          r"profiles +session, api\n  its tokens +rejected since it was revoked; how long they would have lived is not known"]),
        ("the same, which never signed", {"key": key(BAD, "revoked", alg="", id_="", jwk="", custody="", at=0), "promoted": 0, "until": 0},
         ["signed since +never: it was revoked before its time came", "its tokens +none: it never signed"]),
        ("one that was revoked before and is still there", {"state": "revoked", "promoted": 0, "until": 0},
         [r"ring +web \(ES256\), where it was revoked before\n", "signed +42 tokens", "its tokens +rejected since"]),
    )

    def test_the_report_of_other_keys(self):
        for name, of, patterns in self.CASES:
            with self.subTest(name), Scripted({REVOKE: self.done(**of)}) as d:
                self.has(d.cli("key", "revoke", BAD, "--compromised")[0], *patterns)

    TROUBLES = (
        ("not destroyed", {"destroyed": 0}, [f"is revoked", "destroyed +no\n", f"signet key destroy {BAD}"]),
        ("not recorded", {"recorded": 0}, ["is revoked", "recorded +no: a backup", "Destroy it in every backup"]),
        ("neither", {"recorded": 0, "destroyed": 0}, ["is not revoked as it should be", "Repeat this command"]),
        ("no successor", {"successor": None}, ["is revoked", "signs now +nothing: see below", "signet key generate web"]),
    )

    def test_what_could_not_be_done_is_said_with_what_to_do_and_the_exit_status(self):
        for name, of, patterns in self.TROUBLES:
            answer = self.done(trouble=error(13, "TOKEN_FAILED", "the token is full"), **of)
            with self.subTest(name), Scripted({REVOKE: answer}) as d:
                out, _ = d.cli("key", "revoke", BAD, "--compromised", want=1)
                self.has(out, "\nTOKEN_FAILED: the token is full\n", *patterns)
                said = json.loads(d.cli("key", "revoke", BAD, "--compromised", "--json", want=1)[0])
                self.assertEqual(said["trouble"]["reason"], "TOKEN_FAILED")
                self.assertEqual((said["destroyed"], said["recorded"], said["successor"] is None),
                                 (bool(of.get("destroyed", 1)), bool(of.get("recorded", 1)), "successor" in of))

    def test_json_has_it_all(self):
        with Scripted({REVOKE: self.done()}) as d:
            said = json.loads(d.cli("key", "revoke", BAD, "--compromised", "--json")[0])
            self.assertEqual(set(said), {"key", "successor", "promoted", "known_at", "tokens_until", "destroyed", "recorded", "trouble"})
            self.assertEqual((said["key"]["kid"], said["key"]["signatures"], said["key"]["uses"]), (BAD, 42, {"session": 40, "api": 2}))
            self.assertIsNone(said["trouble"])

    def test_which_key_is_meant(self):
        keys = message((1, key("abc", "active")), (1, key("abcd", "retired")), (1, key("abce", "retired")), (1, key("", "orphan", id_="abff")))
        revoked = (lambda body: message((1, key(body[1].decode(), "active")), (2, key(GOOD, "active")), (6, 1), (7, 1)))
        with Scripted({LIST_KEYS: keys, REVOKE: revoked}) as d:
            for asked, meant in (("abc", b"abc"), ("abcd", b"abcd"), ("gone", b"gone")):   # the daemon may know of one that is gone
                d.cli("key", "revoke", asked, "--compromised")
                self.assertEqual(d.of(REVOKE).pop(), {1: meant})
            n = len(d.of(REVOKE))
            for asked in ("ab", "a"):
                self.has(d.cli("key", "revoke", asked, "--compromised", want=1)[1], "UNKNOWN_KEY: more than one key")
            self.assertEqual(len(d.of(REVOKE)), n)
        with Scripted({}) as d:
            self.has(d.cli("key", "revoke", "C0FF", "--compromised", want=1)[1], "has no kid, so there is nothing to revoke")
        with Scripted({REVOKE: (ERROR, error(5, "UNKNOWN_KEY", "no such key"))}) as d:
            self.has(d.cli("key", "revoke", "gone", "--compromised", want=1)[1], "UNKNOWN_KEY: no key has a kid that begins with .gone.")

    def test_a_panic_button_does_not_depend_on_what_the_report_alone_needs(self):
        with Scripted({REVOKE: self.done(), LIST_RINGS: (ERROR, error(13, "INTERNAL"))}) as d:
            self.has(d.cli("key", "revoke", BAD, "--compromised")[0], "is revoked", "session 40")


class Destroy(Words):
    def destroyed(self, answer, *args, want=0):
        with Scripted({DESTROY: answer}) as d:
            out, err = d.cli("key", "destroy", *args, want=want)
            return out, err, d.of(DESTROY)

    def test_it_says_what_the_key_was(self):
        out, _, asked = self.destroyed(message((1, key(BAD, "retired", uses=[("api", 1)], ends=NOW - DAY))), "bad")
        self.assertEqual(asked, [{1: BAD.encode()}])
        self.has(out, f"^destroyed, and was\n{BAD}\n", r"\n  state +retired, published\n", r"\n  signed +1 token: api 1, since",
                 r"\n  custody +made in the token\n")
        self.assertNotIn("rejected", out)

    def test_a_next_key_that_is_destroyed_cancels_its_rotation(self):
        for name, says in (("web", "The rotation to it is cancelled. signetd makes another next key when it is due: signet ring plan web"),
                           ("still", "The rotation to it is cancelled. Another is made by signet ring rotate still")):
            with self.subTest(name):
                out, _, _ = self.destroyed(message((1, key(BAD, "next", ring=name, at=NOW + DAY))), BAD)
                self.assertIn(says, out)

    def test_one_that_is_needed_is_destroyed_only_by_who_knows(self):
        out, err, asked = self.destroyed((ERROR, error(9, "KEY_NEEDED", "tokens live until then")), BAD, want=1)
        self.has(err, "KEY_NEEDED: tokens live until then\n", "--i-know destroys it all the same")
        self.assertEqual((out, asked), ("", [{1: BAD.encode()}]))
        out, _, asked = self.destroyed(message((1, key(BAD, "retired", ends=NOW + SOON))), BAD, "--i-know")
        self.assertEqual(asked, [{1: BAD.encode(), 2: 1}])
        self.has(out, r"could have lived until 20\S+Z \(in 1 hour\), are rejected from now on")
        self.has(self.destroyed(message((1, key(BAD, "active"))), BAD, "--i-know")[0], "the key that signed.*signet ring show web")

    def test_one_without_a_kid_goes_by_its_id(self):
        for asked in ("c0ffee", "C0F"):
            out, _, said = self.destroyed(message((1, key("", "orphan", id_="c0ffee"))), asked)
            self.assertEqual(said, [{1: b"c0ffee"}])
            self.has(out, "^destroyed, and was\n\\(no kid\\)\n")

    def test_one_that_is_in_no_list_is_the_daemon_s_to_know(self):
        unknown = (ERROR, error(5, "UNKNOWN_KEY", "no ring has that key"))
        for asked, says in (("x", "no key has a kid that begins with 'x'"), ("00aa", "no key")):   # the id of one that has a kid
            _, err, said = self.destroyed(unknown, asked, want=1)
            self.has(err, says)
            self.assertEqual(said, [{1: asked.encode()}])
        gone = (ERROR, error(14, "TOKEN_UNREACHABLE", "key 'x' may be on token 'main', whose keys are not known"))
        self.has(self.destroyed(gone, "x", want=3)[1], "TOKEN_UNREACHABLE: key 'x' may be on token 'main'")

    def test_one_whose_kid_begins_like_an_option_stands_after_two_dashes(self):
        keys = message((1, key("-dash", "next")))
        with Scripted({LIST_KEYS: keys, DESTROY: message((1, key("-dash", "next"))),
                       ROTATE: message((1, key("-dash", "next")), (3, NOW + FAR))}) as d:
            says = d.cli("ring", "rotate", "web")[0]
            self.has(says, "signet key destroy -- -dash cancels it")
            d.cli(*re.search("signet (key destroy -- -dash)", says)[1].split())
            self.assertEqual(d.of(DESTROY), [{1: b"-dash"}])

    def test_another_change_under_way_is_for_later(self):
        self.destroyed((ERROR, error(14, "RING_BUSY")), BAD, want=3)


class Rotate(Words):
    @staticmethod
    def answer(body):
        """Made at `activates_at`, known an hour from now; only said so where it is a dry run."""
        now, dry = body.get(2), body.get(3)
        return message((1, None if dry else key(NEXT, "next")), (2, 1), (3, NOW if now else NOW + FAR), (5, NOW + SOON))

    def test_the_earliest_safe_moment_and_why(self):
        with Scripted({ROTATE: self.answer}) as d:
            out, _ = d.cli("ring", "rotate", "web")
            self.assertEqual(d.of(ROTATE), [{1: b"web"}])
            self.has(out, rf"^ring web: a new key, {NEXT}, signs from 20\S+Z \(in 1 day\)\n",
                     r"\n  safe: every verifier that honours jwks_max_age has it by 20\S+Z \(in 1 hour\), before it signs\n",
                     rf"\n  until then signet key destroy {NEXT} cancels it\n$")

    def test_a_next_key_is_brought_forward_or_left(self):
        for before, says in ((NOW + 9 * DAY, r"; it was to from 20\S+Z \(in [89] days\)\n"), (NOW + DAY, ", as it was to: no sooner moment is safe\n")):
            answer = message((1, key(NEXT, "next")), (3, NOW + DAY), (4, before), (5, NOW + HOUR))
            with self.subTest(before=before), Scripted({ROTATE: answer}) as d:
                self.has(d.cli("ring", "rotate", "web")[0], rf"^ring web: the next key, {NEXT}, signs from 20[^;,]*{says}")

    def test_a_dry_run_only_asks(self):
        with Scripted({ROTATE: self.answer}) as d:
            self.has(d.cli("ring", "rotate", "web", "--dry-run")[0], r"^ring web: a new key would sign from 20\S+Z \(in 1 day\)\n")
            self.has(d.cli("ring", "rotate", "web", "--now", "--dry-run")[0], "^ring web: a new key would sign from now on\n",
                     r"\n  not safe: until 20\S+Z \(in 1 hour\) there may be verifiers with a key set without it; .* reject")
            self.assertEqual(d.of(ROTATE), [{1: b"web", 3: 1}, {1: b"web", 2: 1, 3: 1}])
            said = json.loads(d.cli("ring", "rotate", "web", "--dry-run", "--json")[0])
            self.assertEqual(said, {"ring": "web", "dry_run": True, "key": None, "made": True, "activates_at": NOW + FAR, "before": 0,
                                    "known_at": NOW + SOON})

    def test_of_a_ring_without_a_key_none_is_said_to_go_on(self):
        goes_on = "goes on with the key before"
        for active, ring_list in ((GOOD, RINGS), ("", message((1, ring(ring_status=status(active="")))))):
            for name in ("web", "web@spare"):
                with self.subTest(active=active, name=name), Scripted({ROTATE: self.answer, LIST_RINGS: ring_list}) as d:
                    out, _ = d.cli("ring", "rotate", name, "--now", "--yes")
                    self.has(out, "\n  not safe: until 20.* reject what it signs until then")
                    self.assertEqual(goes_on in out, active == GOOD)
        with Scripted({ROTATE: self.answer, LIST_RINGS: (ERROR, error(13, "INTERNAL"))}) as d:
            self.has(d.cli("ring", "rotate", "web", "--now", "--yes")[0], goes_on)

    def test_now_without_a_terminal_wants_yes(self):
        with Scripted({ROTATE: self.answer}) as d:
            for stdin in (b"", b"yes\n"):
                self.has(d.cli("ring", "rotate", "web", "--now", want=2, stdin=stdin)[1], "asks on the terminal", "--yes", "--dry-run")
            self.assertEqual(d.asked, [])
            out, err = d.cli("ring", "rotate", "web", "--now", "--yes")
            self.assertEqual(err, "")                        # the result says it all, once
            self.has(out, f"^ring web: a new key, {NEXT}, signs from now on\n  not safe: until 20")
            self.assertEqual(d.of(ROTATE), [{1: b"web", 2: 1}])
            self.assertEqual(json.loads(d.cli("ring", "rotate", "web", "--now", "--yes", "--json")[0])["key"]["kid"], NEXT)

    def test_now_asks_on_the_terminal(self):
        for typed, done in ((b"yes\n", True), (b"no\n", False), (b"y\n", False), (b"\n", False), (b"\x04", False), (b"yes yes\n", False)):
            with self.subTest(typed=typed), Scripted({ROTATE: self.answer}) as d:
                status, said = d.on_terminal(typed, "ring", "rotate", "web", "--now")
                self.has(said, "not safe: until 20", "yes or no:")
                self.assertEqual((status, len(d.of(ROTATE))), (0, 2) if done else (1, 1), said)
                self.assertEqual("nothing was changed" in said, not done)

    def test_what_cannot_be_is_said(self):
        for code, reason, want in ((5, "UNKNOWN_RING", 1), (14, "RING_BUSY", 3)):
            with Scripted({ROTATE: (ERROR, error(code, reason))}) as d:
                for args in ([], ["--now", "--yes"]):
                    self.has(d.cli("ring", "rotate", "web", *args, want=want)[1], reason)


class Lists(Words):
    def test_foreign_facts_stand_behind_the_keys(self):
        answer = KEYS + message((2, "signet:web:revoked:x:1"), (2, "signet:web:promote:y:2"))
        with Scripted({LIST_KEYS: answer}) as d:
            lines = d.cli("key", "list")[0].splitlines()
            self.assertEqual(len(lines), 6)
            self.has(lines[1], rf"^web +ES256 +active +{BAD} +42 signed, made in the token$")
            self.has(lines[3], r"^web +ES256 +orphan +c0ffee +0 signed, .*; its CKA_ID, labelled signet:web$")
            self.has(lines[4], r"^- +- +foreign +signet:web:revoked:x:1: a data object .* not signet's: never used$")
            said = json.loads(d.cli("key", "list", "--json")[0])
            self.assertEqual([k["label"] for k in said if k.get("fact")], ["signet:web:revoked:x:1", "signet:web:promote:y:2"])
            self.assertEqual({k["state"] for k in said if k.get("fact")}, {"foreign"})
            self.assertEqual(set(said[0]), set(said[5]) - {"fact"})
            self.has(d.cli("key", "show", "bad")[0], r"\n  signed +42 tokens: session 40, api 2, since signetd's start\n")

    def test_what_is_no_key_of_ours_is_dim(self):
        with Scripted({}) as d:
            _, said = d.on_terminal(b"", "key", "list")
            dim = {line.split()[2] for line in said.splitlines() if line.startswith("\x1b[2m")}
            self.assertEqual(dim, {"foreign", "orphan"})

    def test_a_ring_on_several_tokens_says_where_each_key_is(self):
        keys = message((1, key(GOOD, "active", token="spare")), (1, key(NEXT, "next", at=NOW + FAR)))
        with Scripted({LIST_KEYS: keys}) as d:
            self.has(d.cli("ring", "show", "web")[0], rf"\n  key +active +{GOOD} on spare, activated 20",
                     rf"\n  key +next +{NEXT}, signs from 20")

    def test_a_change_of_algorithm_is_counted(self):
        changing = status("web", "EdDSA", GOOD, (8, "ES256"), (9, 7), (10, error(14, "TOKEN_UNREACHABLE", "it is gone")))
        changed = status("still", "EdDSA", GOOD, (8, "EdDSA"), (9, 1))
        says = ["changes from ES256 to EdDSA; still signs with ES256, 7 tokens since the start\n",
                "its next key could not be made: TOKEN_UNREACHABLE: it is gone\n"]
        rings = message((1, ring(ring_status=changing)), (1, ring("still", 0, changed)))
        answer = message((1, "1"), (2, NOW), (3, 1), (6, changing), (6, changed), (11, "the clock is wrong"), (11, "the token is full"))
        plan = message((1, ring(ring_status=changing)), (2, NOW), (3, NOW))
        with Scripted({LIST_RINGS: rings, GET_STATUS: answer, PLAN_RING: plan}) as d:
            for args in (["ring", "list"], ["ring", "show", "web"], ["status"], ["ring", "plan", "web"]):
                with self.subTest(args=args):
                    self.has(d.cli(*args)[0], *says)
            self.has(d.cli("ring", "show", "still")[0], "  changed to EdDSA; 1 token since the start with the algorithm before\n")
            self.has(d.cli("status")[0], "ready\n  the clock is wrong\n  the token is full\n")
            self.assertEqual(json.loads(d.cli("status", "--admin", "--json")[0])["notices"], ["the clock is wrong", "the token is full"])
            for args in (["ring", "list"], ["ring", "plan", "web"], ["status"]):
                said = json.loads(d.cli(*args, "--json")[0])
                said = said["rings"][0] if args == ["status"] else said[0] if args == ["ring", "list"] else said
                self.assertEqual((said["active_alg"], said["signed_old_alg"], said["rotation_trouble"]["reason"]),
                                 ("ES256", 7, "TOKEN_UNREACHABLE"))

    def test_completion_offers_kids_and_rings(self):
        top = pathlib.Path(__file__).resolve().parents[2]
        rings = message((1, "1"), (3, 1), (6, status("web")), (6, status("still")))
        script = f"""PATH={(BUILD / 'client/cli').resolve()}:$PATH; . {top}/contrib/completion/signet
            for words in 'key revoke' 'key destroy' 'key show' 'ring rotate'; do
            COMP_WORDS=(signet $words ''); COMP_CWORD=3; _signet; echo "${{COMPREPLY[*]}}"; done
            COMP_WORDS=(signet key revoke --c); COMP_CWORD=3; _signet; echo "${{COMPREPLY[*]}}" """
        with Scripted({GET_STATUS: rings}) as d:
            out = subprocess.run(["bash", "-c", script], env=d.env, capture_output=True, timeout=PATIENCE).stdout.decode()
        self.assertEqual(out.splitlines(), [f"{BAD} {BAD} {GOOD}"] * 3 + ["web still", "--compromised"])

    def test_jwks_says_when_it_may_change(self):
        with Scripted({GET_KEYS: message((1, '{"keys":[]}'), (2, 1), (3, 900), (4, 1), (7, 77))}) as d:
            self.assertEqual(json.loads(d.cli("jwks", "--json")[0])["changes_in_s"], 77)


def life(kid, state, at, to_come=0, published=0, retires=0, ends=0, private=0, destroyed=0):
    return message((1, kid), (2, state), (3, to_come), (4, published), (5, 900 if published else 0), (6, at), (7, retires),
                   (8, ends), (9, private), (10, destroyed))


TAIL = 12 * HOUR + 60
REVOKED = [life(BAD, "revoked", NOW - 20 * DAY, retires=NOW - HOUR, ends=NOW + 11 * HOUR),
           life(GOOD, "active", NOW - HOUR, retires=NOW + 30 * DAY, ends=NOW + 30 * DAY + TAIL, private=NOW + 30 * DAY + 60,
                destroyed=NOW + 37 * DAY + TAIL),
           life("", "next", NOW + 30 * DAY, 1, NOW + 28 * DAY)]
TWINS = [life(GOOD, "active", NOW - 20 * DAY, retires=NOW + 10 * DAY, ends=NOW + 10 * DAY + TAIL), life("", "orphan", NOW + 9 * DAY, destroyed=NOW + 60),
         life("twin", "next", NOW + 10 * DAY, 0, NOW - 60, destroyed=NOW + 90), life(NEXT, "next", NOW + 10 * DAY, 0, NOW - 60)]
LATE = [life(GOOD, "active", NOW - 35 * DAY, retires=NOW + 2 * DAY, ends=NOW + 2 * DAY + TAIL), life("", "next", NOW + 2 * DAY, 1, NOW)]
DAILY = [life(GOOD if i == 0 else "", "active" if i == 0 else "next", NOW + i * DAY, i > 0, i and NOW + i * DAY - HOUR,
              NOW + (i + 1) * DAY, NOW + (i + 1) * DAY + HOUR) for i in range(365)]


class Plan(Words):
    @staticmethod
    def plan(lives, until=NOW + 60 * DAY, of=ring()):
        return Scripted({PLAN_RING: message((1, of), (2, NOW), (3, until), *((4, k) for k in lives))})

    def moments(self, lives, *args, **kw):
        with self.plan(lives, **kw) as d:
            text = d.cli("ring", "plan", "web", *args)[0]
        return text, re.findall(r"^\d{4}-\S+Z \(.*?\)  (.*)$", text, re.M)

    def test_a_revoked_key_is_told_as_such(self):
        text, moments = self.moments(REVOKED)
        self.assertEqual(moments, [
            f"{BAD} began to sign, and does no more: it is revoked", f"{GOOD} signs; {BAD} is revoked", f"now: {GOOD} signs",
            "new key 1 is made", f"new key 1 signs; {GOOD} retires: it signs no more and still verifies",
            f"{GOOD}'s private half is destroyed", f"{GOOD} ends: it is in the key set no more", f"{GOOD} is destroyed"])
        self.has(text, "signetd does by itself what is due", f"while it cannot be made, {GOOD} goes on signing",
                 "its last token ended destroy_after = 7d before")

    def test_keys_that_go_before_their_turn_have_none(self):
        text, moments = self.moments(TWINS)
        self.assertEqual(moments[1:], [f"now: {GOOD} signs", "a key of no kid is destroyed", "twin is destroyed",
                                       f"{NEXT} signs; {GOOD} retires: it signs no more and still verifies",
                                       f"{GOOD} ends: it is in the key set no more"])
        self.has(text, "it was never whole", "a key of the same moment signs in its place")

    def test_a_late_change_is_said_and_counted(self):
        text, _ = self.moments(LATE)
        self.has(text, r"\nlate: the next change comes 7d later than rotate_every says")
        with self.plan(LATE) as d:
            self.assertEqual(json.loads(d.cli("ring", "plan", "web", "--json")[0])["late_s"], 7 * DAY)
        with self.plan(REVOKED) as d:
            self.assertEqual(json.loads(d.cli("ring", "plan", "web", "--json")[0])["late_s"], HOUR)

    def test_a_key_that_signs_too_early_is_not_called_safe(self):
        for ahead, says in ((60, "not known to be safe: it was seen here only 1m ahead; every verifier has it by 20"),
                            (DAY, "safe: seen here 1d ahead; every verifier has it after jwks_max_age 15m")):
            text, _ = self.moments([life(BAD, "retired", NOW - 20 * DAY, retires=NOW - 30, ends=NOW - 30 + TAIL),
                                    life(GOOD, "active", NOW - 30, 0, NOW - 30 - ahead)])
            self.assertIn(f"{GOOD} signs; {BAD} retires: it signs no more and still verifies\n    {says}", text)

    def test_a_key_that_signed_at_once_is_not_called_safe(self):
        before = life(BAD, "retired", NOW - 20 * DAY, retires=NOW - 30, ends=NOW - 30 + TAIL)
        text, _ = self.moments([before, life(GOOD, "active", NOW - 30)])
        self.has(text, rf"{GOOD} signs; {BAD} retires: it signs no more and still verifies\n    not known to be safe: it signed at once")
        for lives in ([life(GOOD, "active", NOW - 30)], [before]):           # a ring's first, and one of before that one
            self.assertNotIn("not known to be safe", self.moments(lives)[0])

    def test_what_is_published_now_is_said(self):
        text, _ = self.moments([life(BAD, "retired", NOW - 20 * DAY, retires=NOW - 30, ends=NOW - 30 + TAIL),
                                life(GOOD, "active", NOW - 30, 0, NOW - DAY), life(NEXT, "next", NOW + DAY, 0, NOW - 60),
                                life("", "next", NOW + 30 * DAY, 1, NOW + 28 * DAY)])
        self.has(text, rf"\(now\)  now: {GOOD} signs\n    published, and signs later: {NEXT}\n"
                 rf"    retired, and published to its end: {BAD}\n20")

    def test_a_picture_says_of_a_revoked_key_whether_it_signed(self):
        for at, says in ((NOW - 20 * DAY, "revoked, signed from 20"), (NOW + DAY, "revoked, its turn was to be from 20")):
            with self.plan([life(BAD, "revoked", at)]) as d:
                self.assertIn(says, d.cli("ring", "plan", "web", "--svg", "-")[0])

    def test_a_picture_goes_to_stdout_where_it_is_asked_to(self):
        with self.plan(REVOKED) as d:
            for args in (["--svg", "-"], ["--svg=-"]):
                out, _ = d.cli("ring", "plan", "web", *args)
                self.assertEqual(xml.etree.ElementTree.fromstring(out).tag, f"{SVG}svg")
            self.assertFalse(pathlib.Path("-").exists())
            self.has(d.cli("ring", "plan", "web", "--svg", "-", "--json", want=2)[1], "--svg - and --json both print")

    def test_what_is_due_now_is_told_as_such(self):
        text, _ = self.moments(LATE)
        self.has(text, rf"Z \(now\)  now: {GOOD} signs\n\S+Z \(now\)  due: new key 1 is made\n")

    def test_what_never_rotates_says_how_it_does(self):
        text, moments = self.moments([life(GOOD, "active", NOW - DAY)], until=NOW, of=ring("still", 0))
        self.has(text, "never rotates by itself, only by signet ring rotate still")
        self.assertEqual(moments, [f"{GOOD} signs", f"now: {GOOD} signs"])

    def test_a_picture_has_dates_a_ground_and_stays_on_its_page(self):
        for name, lives, until, classes in (
                ("revoked", REVOKED, NOW + 60 * DAY, [["revoked"], ["signs", "retired"], ["published", "signs"]]),
                ("twins", TWINS, NOW + 20 * DAY, [["signs", "retired"], [], ["published"], ["published", "signs"]]),
                ("none", [], NOW, []), ("still", [life(GOOD, "active", 1)], NOW, [["signs"]]),
                ("daily", DAILY, NOW + 365 * DAY, None)):
            with self.subTest(name), self.plan(lives, until) as d:
                path = d.dir / "plan.svg"
                d.cli("ring", "plan", "web", "--svg", str(path))
                root = xml.etree.ElementTree.parse(path).getroot()
                width, height = map(float, root.get("viewBox").split()[2:])
                ground = root.find(f"{SVG}rect")
                self.assertEqual((ground.get("width"), ground.get("fill")), ("100%", "#ffffff"))
                keys = root.findall(f"{SVG}g[@class='key']")
                bars = [[r for r in g.findall(f"{SVG}rect")] for g in keys]
                if classes is not None:
                    self.assertEqual([[r.get("class") for r in b] for b in bars], classes)
                for r in sum(bars, []):
                    x, y, wide, high = (float(r.get(a)) for a in ("x", "y", "width", "height"))
                    self.assertTrue(0 <= x and x + wide <= width and wide >= 1 and y + high <= height, r.attrib)
                ticks = [t.text for t in root.iter(f"{SVG}text") if re.fullmatch(r"[\d: -]+", t.text or "")]
                self.assertTrue(1 <= len(ticks) <= 12, ticks)
                self.assertEqual(ticks, sorted(set(ticks)))


if __name__ == "__main__":
    main()
