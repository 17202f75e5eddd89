"""contrib/weblogin: a person logs in at one server and is known to another, which has no secret and no sessions, for as long as
the token lives, whatever is restarted and rotated meanwhile; and whoever is someone else is refused, and told why. In a real
browser, in the tests' time."""
import base64
import concurrent.futures
import contextlib
import hmac
import http.client
import http.server
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import threading
import unittest
import urllib.parse

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from fleet import Time
from rig import BUILD, PATIENCE, SANITIZER, TOP, Daemon, Place, drip, main, npm_packages, run, until

APP = TOP / "contrib/weblogin"
HERE = TOP / "tests/system/weblogin"
SHOTS = BUILD.resolve() / "weblogin-shots"
MINUTE = 60
TTL, LEEWAY, MAX_AGE = 4 * MINUTE, 5, 30                # as signetd.conf has them
STEP = 20                                               # seconds between a person's clicks
LOCKED_FOR, TRIES, TRIES_OF_ADDRESS, TRIES_OF_NAME = 5 * MINUTE, 5, 100, 20
SLOW = 30
XSS = """<img src=x onerror=alert(1)>"'&"""
USERS = {"ada": ("Ada Lovelace", "staff", "tea for two"), "bob": ("Bob Cook", "customer", "two for tea"),
         "mallory": (XSS, "customer", "x"), "eve": ("Eve", "customer", "y"), "kim": ("Kim", "customer", "z")}
TOO_WIDE = "[...document.querySelectorAll('html, .card, .part')].filter(e => e.scrollWidth > e.clientWidth).map(e => e.className)"
VIEWS = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}


def free_ports(n):
    with contextlib.ExitStack() as all_at_once:
        sockets = [all_at_once.enter_context(socket.socket()) for _ in range(n)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(token, i):
    text = token.split(".")[i]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def with_part(token, i, **members):
    parts = token.split(".")
    parts[i] = b64(json.dumps({**part(token, i), **members}).encode())
    return ".".join(parts)


def signed_by_ours(token):
    """The same token, signed with a key that is not signet's."""
    text = token.rpartition(".")[0]
    r, s = decode_dss_signature(ec.generate_private_key(ec.SECP256R1()).sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


class Lines:
    """A process whose lines are read as they come."""

    def __init__(self, argv, env, stdin=subprocess.DEVNULL, stderr=None):
        self.process = subprocess.Popen([str(a) for a in argv], env=env, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr,
                                        bufsize=0)

    def line(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        assert ready, f"{self.process.args} says nothing"
        return self.process.stdout.readline().decode()

    def end(self, sig=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        self.process.wait(PATIENCE)
        self.process.stdout.close()


class Browser(Lines):
    def __init__(self):
        env = {**os.environ, "NODE_PATH": str(npm_packages(HERE) / "node_modules")}
        super().__init__(["node", HERE / "browser.js"], env, stdin=subprocess.PIPE)

    def __getattr__(self, name):
        def call(*args):
            self.process.stdin.write(json.dumps({"do": name, "args": args}).encode() + b"\n")
            answer = json.loads(self.line() or '{"error": "the browser has ended"}')
            if "error" in answer:
                raise AssertionError(f"{name}{args}: {answer['error']}")
            return answer.get("value")
        return call

    def end(self):
        self.process.stdin.close()
        super().end()


class Server(Lines):
    """One of the three."""

    def __init__(self, argv, env, log):
        with open(log, "ab") as stderr:
            super().__init__(argv, env, stderr=stderr)
        said = self.line()
        assert "http" in said, f"{argv} did not start: {said}{log.read_text()}"


def setUpModule():
    Weblogin.begin()


def tearDownModule():
    Weblogin.daemon.stop()
    said = Weblogin.log.read_text()
    assert not SANITIZER.search(said), said
    # Nobody could make a server stumble, but for signetd's absence.
    assert not re.search(r"^\w*Error: (?!DAEMON_UNREACHABLE)", said, re.M), said


class Weblogin(unittest.TestCase):
    """One daemon, its servers and a browser for all tests; each begins as a stranger."""

    @classmethod
    def begin(cls):
        def at_the_end(end):
            unittest.addModuleCleanup(end)
        cls.place = Place()
        at_the_end(cls.place.remove)
        cls.time = Time(cls.place)
        at_the_end(cls.time.close)
        rings, profiles = (APP / "signetd.conf").read_text().split("rings:\n")[1].split("profiles:\n")
        cls.daemon = Daemon(cls.place, rings, profiles, token="  generate_timeout: 10s\n")
        at_the_end(cls.daemon.kill)
        cls.daemon.start()
        ports = dict(zip(("login", "shop", "cshop"), free_ports(3)))
        cls.origin = {name: f"http://localhost:{port}" for name, port in ports.items()}
        cls.env = {**cls.place.env, **{f"{name.upper()}_ORIGIN": origin for name, origin in cls.origin.items()},
                   "NODE_PATH": str(npm_packages(APP) / "node_modules"), "SIGNET_SOCKET": str(cls.daemon.socket),
                   "USERS_FILE": str(cls.place.dir / "users.db")}
        with concurrent.futures.ThreadPoolExecutor() as at_once:
            list(at_once.map(cls.put_user, USERS))
        cls.log, cls.server = cls.place.dir / "servers.log", {}
        at_the_end(lambda: [s.end() for s in cls.server.values()])
        cls.server.update({name: cls.start(name) for name in ports})
        cls.browser = Browser()
        at_the_end(cls.browser.end)
        SHOTS.mkdir(exist_ok=True)

    @classmethod
    def put_user(cls, name, **changed):
        full_name, role, password = USERS[name]
        run([APP / "put-user.js", name, full_name, changed.get("role", role)], stdin=password.encode(), env=cls.env)

    @classmethod
    def start(cls, name, **env):
        if name == "cshop":
            argv = [BUILD.resolve() / "contrib/weblogin/weblogin-shop", cls.origin[name].rpartition(":")[2],
                    cls.origin["login"] + "/", APP / "public/style.css"]
        else:
            argv = ["node", HERE / "start.js", name]
        return Server(argv, {**cls.env, **env}, cls.log)

    @classmethod
    def restart(cls, name):
        cls.server[name].end()
        cls.server[name] = cls.start(name)

    def setUp(self):
        self.browser.open()

    def tearDown(self):
        self.assertEqual(self.browser.complaints(), [])

    def pass_by(self, seconds):
        """All at once, as for a machine that slept: signetd has then listed its token anew."""
        self.time.pass_by(seconds)
        until("it is listed anew", lambda: self.daemon.cli("jwks", want=None)[0])

    # --- in the browser

    def log_in(self, user="ada", browser_is_at_login=False):
        if not browser_is_at_login:
            self.browser.go(self.origin["login"] + "/")
        self.browser.fill("Name", user)
        self.browser.fill("Password", USERS[user][2])
        return self.browser.press("Log in")

    def token(self):
        [cookie] = [c for c in self.browser.cookies() if c["name"] == "session"]
        return cookie["value"]

    def use_token(self, token):
        self.browser.setCookie({"name": "session", "value": token, "url": self.origin["shop"], "httpOnly": True,
                                "sameSite": "Lax"})

    def go(self, app, path="/"):
        return self.browser.go(self.origin[app] + path)

    def greeted(self, at, name="Ada Lovelace"):
        self.assertEqual(at["status"], 200, at)
        self.assertIn(f"Hello, {name}", at["text"])
        return at

    # --- without a browser

    def ask(self, app, path="/", method="GET", form=None, origin="own", source="127.0.0.1", session=None, **headers):
        """(status, headers, text). `origin`: that the request says it comes from; None: it says nothing."""
        url = urllib.parse.urlsplit(self.origin[app])
        if form is not None:
            method, headers["Content-Type"] = "POST", "application/x-www-form-urlencoded"
        if origin:
            headers["Origin"] = self.origin[app] if origin == "own" else origin
        if session:
            headers["Cookie"] = f"session={session}"
        connection = http.client.HTTPConnection("127.0.0.1", url.port, timeout=PATIENCE, source_address=(source, 0))
        with contextlib.closing(connection):
            body = urllib.parse.urlencode(form).encode() if isinstance(form, dict) else form
            connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()

    def try_password(self, user, password, source="127.0.0.1"):
        return self.ask("login", "/login", form={"name": user, "password": password}, source=source)

    def session_of(self, user="ada", source="127.0.0.1"):
        status, headers, text = self.try_password(user, USERS[user][2], source)
        self.assertEqual(status, 303, text)
        return re.match(r"session=([^;]+);", headers["Set-Cookie"])[1]


class Story(Weblogin):
    """The one that the project exists for."""

    def active(self):
        [key] = [k for k in self.keys() if k["state"] == "active"]
        return key["kid"]

    def keys(self):
        return json.loads(self.daemon.cli("key", "list", "--json")[0])

    def click(self, app="shop", path="/"):
        """A person who is there clicks now and then, and is known each time."""
        self.pass_by(STEP)
        at = self.go(app, path)
        self.assertEqual(at["status"], 200, at)
        self.assertIn("Ada Lovelace", at["text"])
        self.assertNotIn("log in", at["text"].lower().replace("logged in", ""))
        return at

    def test_once_logged_in_nobody_is_asked_again_while_the_token_lives(self):
        at = self.go("shop")
        self.assertEqual(at["status"], 401)
        self.assertIn("Please log in", at["text"])
        self.browser.follow("Log in")
        at = self.greeted(self.log_in(browser_is_at_login=True))
        self.assertEqual(at["url"], self.origin["shop"] + "/")
        self.greeted(self.go("cshop"))

        # What the browser has: a cookie that no script can read and no other site's request carries.
        [cookie] = self.browser.cookies()
        self.assertEqual((cookie["httpOnly"], cookie["sameSite"], cookie["secure"]), (True, "Lax", False))
        self.assertEqual(self.browser.evaluate("document.cookie"), "")
        claims = part(cookie["value"], 1)
        self.assertEqual(sorted(claims), sorted(["iss", "sub", "aud", "exp", "iat", "jti", "name", "role", "auth_time"]))
        self.assertEqual((claims["sub"], claims["name"], claims["role"]), ("ada", "Ada Lovelace", "staff"))

        self.restart("shop")
        self.greeted(self.go("shop"))
        self.restart("login")

        # The key turns twice under the user, the token is renewed on the way.
        tokens, signed_with = {self.token()}, [self.active()]
        self.assertEqual(part(self.token(), 0)["kid"], signed_with[0])
        for _ in range(2):
            self.daemon.cli("ring", "rotate", "web")
            due = self.time.now() + 10 * MINUTE
            while part(self.token(), 0)["kid"] == signed_with[-1]:
                self.assertLess(self.time.now(), due, "no token of the new key")
                self.click()
                self.greeted(self.go("cshop"))
                tokens.add(self.token())
            signed_with.append(part(self.token(), 0)["kid"])
            self.assertEqual(signed_with[-1], self.active())
        self.assertEqual(len(set(signed_with)), 3)
        self.assertGreaterEqual(len(tokens), 3)

        # The retired keys leave: not before their last tokens have ended, and soon after.
        gone = {}
        ends = {k["kid"]: k["ends_at"] for k in self.keys() if k["kid"] in signed_with[:2]}
        self.assertEqual(len(ends), 2)
        while len(gone) < 2:
            shown = self.click("shop", "/token")["text"]
            listed = [k["kid"] for k in self.daemon.jwks()["keys"]]
            for kid, end in ends.items():
                if kid in gone:
                    self.assertNotIn(kid, listed)
                elif self.time.now() < end:
                    self.assertIn(kid, listed)
                    self.assertIn(kid, shown)
                elif kid not in listed and kid not in shown:
                    gone[kid] = self.time.now()
            self.assertLess(self.time.now(), max(ends.values()) + 2 * MAX_AGE + 2 * STEP, "a retired key stays")
        self.assertIn(signed_with[2], self.click("shop", "/token")["text"])

        # Who stays away is asked, once.
        self.pass_by(TTL + LEEWAY + 1)
        for app in ("shop", "cshop"):
            at = self.go(app)
            self.assertEqual(at["status"], 401)
            self.assertIn("Please log in again", at["text"])
            self.assertIn("EXPIRED", at["text"])
        at = self.browser.follow("Log in")
        self.assertIn("EXPIRED", at["text"])
        self.greeted(self.log_in(browser_is_at_login=True))
        self.greeted(self.go("cshop"))

        at = self.browser.go(self.origin["login"] + "/")
        self.assertIn("You are logged in", at["text"])
        self.assertIn("Log in", self.browser.press("Log out")["text"])
        self.assertEqual(self.browser.cookies(), [])
        self.assertEqual(self.go("shop")["status"], 401)

    def test_it_counts_down_and_is_renewed_by_a_click(self):
        self.log_in()
        first = self.token()
        left = "document.querySelector('.left').textContent"
        shown = self.browser.evaluate(left)
        self.assertRegex(shown, r"^3 min \d+ s$|^4 min 0 s$")
        until("it has gone down", lambda: self.browser.evaluate(left) != shown)
        at = self.browser.follow("Renew it now")
        self.greeted(at)
        self.assertNotEqual(self.token(), first)
        self.assertEqual(part(self.token(), 1)["auth_time"], part(first, 1)["auth_time"])

    def test_it_works_without_scripts(self):
        self.browser.open({"scripts": False})
        self.greeted(self.log_in())
        self.assertIn('http-equiv="refresh"', self.browser.html())
        self.browser.follow("Your token")
        at = self.browser.press("Another role")
        self.assertIn("Refused: BAD_SIGNATURE", at["text"])
        self.assertIn("Log in", self.browser.press("Log out")["text"])


class Refusals(Weblogin):
    """Tokens that are not what they say, on the page and in the cookie."""
    buttons = {
        "One byte of the payload changed": "BAD_SIGNATURE", "One byte of the signature changed": "BAD_SIGNATURE",
        "Another role": "BAD_SIGNATURE", "Algorithm “none”": "ALG_NOT_ALLOWED",
        "The public key taken for a secret": "ALG_NOT_ALLOWED", "Signed by the shop’s own key": "BAD_SIGNATURE",
        "The same, and it says so": "KEY_UNKNOWN", "Your token, when its time is over": "EXPIRED",
    }

    def test_each_that_the_page_offers_has_its_reason(self):
        self.log_in("bob")
        self.go("shop", "/token")
        self.assertEqual(self.browser.text(".tries button"), list(self.buttons))
        for button, reason in self.buttons.items():
            with self.subTest(button):
                self.go("shop", "/token")
                at = self.browser.press(button)
                self.assertEqual(at["status"], 200)
                self.assertEqual([reason], re.findall(r"Refused: ([A-Z_]+)", at["text"]))
        self.greeted(self.go("shop"), "Bob Cook")

    def test_a_byte_changed_by_hand(self):
        self.log_in()
        token = self.token()
        self.go("shop", "/token")
        at = self.browser.press("Judge it")
        self.assertIn("Accepted", at["text"])
        i = token.index(".") + 9
        tried = {token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1:]: "BAD_SIGNATURE|BAD_PAYLOAD",
                 token[:-1] + chr(ord(token[-1]) + 1): "MALFORMED", token[:-1]: "BAD_SIGNATURE|MALFORMED",
                 "": "MALFORMED", token + ".x": "MALFORMED", token + "=": "MALFORMED",
                 "<script>alert(1)</script>.a.b": "MALFORMED"}
        for edited, reasons in tried.items():
            with self.subTest(edited):
                self.go("shop", "/token")
                self.browser.fill("Or change any byte yourself", edited)
                self.assertRegex(self.browser.press("Judge it")["text"], f"Refused: ({reasons})")

    def test_in_the_cookie_both_shops_refuse_the_same(self):
        token = self.session_of("bob")
        pem = json.dumps(self.daemon.jwks()["keys"][0]).encode()
        head = with_part(with_part(token, 1, role="staff"), 0, alg="HS256").rpartition(".")[0]
        with_hmac = f"{head}.{b64(hmac.digest(pem, head.encode(), 'sha256'))}"
        none = with_part(with_part(token, 1, role="staff"), 0, alg="none").rpartition(".")[0] + "."
        last = token[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[token[-1]]          # the same bytes in other letters
        cases = {
            "another role": (with_part(token, 1, role="staff"), "BAD_SIGNATURE"),
            "alg none": (none, "MALFORMED|ALG_NOT_ALLOWED"),
            "HMAC with what is public": (with_hmac, "ALG_NOT_ALLOWED|KEY_UNUSABLE"),
            "another's key": (signed_by_ours(with_part(token, 1, role="staff")), "BAD_SIGNATURE"),
            "another's key by its own name": (signed_by_ours(with_part(token, 0, kid="mine")), "KEY_UNKNOWN"),
            "an extension that must be known": (with_part(token, 0, crit=["x"], x=1), "CRIT_UNSUPPORTED"),
            "another spelling": (last, "MALFORMED"),
            "no token": ("hello", "MALFORMED"),
            "markup": ("<script>alert(1)</script>", "MALFORMED"),
            "another audience": (self.of_ours("--audience", "login"), "WRONG_AUDIENCE"),
        }
        for name, (bad, reasons) in cases.items():
            for app in ("shop", "cshop"):
                with self.subTest(name, app=app):
                    status, _, text = self.ask(app, session=bad)
                    self.assertEqual(status, 401, text)
                    self.assertRegex(text, f"Refused: ({reasons})")
                    self.assertNotIn("<script>alert", text)
        for app in ("shop", "cshop"):
            self.assertEqual(self.ask(app, session=token)[0], 200)
        self.use_token(cases["another role"][0])
        at = self.go("shop")
        self.assertIn("Refused: BAD_SIGNATURE", at["text"])
        self.assertIn("Please log in again", at["text"])

    def of_ours(self, *args):
        return self.daemon.token("web-session", "--subject", "bob", "--claim", "name=Bob", "--claim", "role=customer",
                                 "--claim", "auth_time:=1", *args)

    def test_a_password_gets_into_no_token(self):
        _, err = self.daemon.cli("sign", "--profile", "web-session", "--subject", "bob", "--claim", "name=Bob", "--claim",
                                 "role=customer", "--claim", "auth_time:=1", "--claim", "password=two for tea", want=1)
        self.assertRegex(err, "CLAIM_[A-Z_]+: .*'password'")


class BadInput(Weblogin):
    def hashed(self, act):
        """What was hashed meanwhile, as the server says."""
        got = act()
        self.ask("login", "/nothing-here")
        return got, self.said("login")

    def said(self, name):
        lines, pipe = [], self.server[name].process.stdout
        while select.select([pipe], [], [], 0)[0]:
            lines.append(pipe.readline().decode())
        return lines

    def test_unknown_user_and_wrong_password_are_one_answer_and_the_same_work(self):
        self.said("login")
        (status, headers, text), work = self.hashed(lambda: self.try_password("bob", "wrong"))
        (status_2, headers_2, text_2), work_2 = self.hashed(lambda: self.try_password("nob", "wrong"))
        self.assertEqual((status, text), (401, text_2.replace('value="nob"', 'value="bob"')))
        self.assertEqual((status, sorted(headers.keys()), headers["Content-Length"]),
                         (status_2, sorted(headers_2.keys()), headers_2["Content-Length"]))
        self.assertEqual(len(work), 1)
        self.assertEqual(work, work_2)
        self.assertNotIn("Set-Cookie", headers)

    def test_brute_force_is_locked_out_and_the_user_elsewhere_is_not(self):
        attacker, owner = "127.0.0.2", "127.0.0.3"
        with concurrent.futures.ThreadPoolExecutor(12) as at_once:        # at once, they are as many
            answers = list(at_once.map(lambda i: self.try_password("eve", f"guess {i}", attacker)[0], range(12)))
        self.assertEqual(sorted(answers), [401] * TRIES + [429] * (12 - TRIES))
        status, headers, text = self.try_password("eve", "y", attacker)
        self.assertEqual(status, 429, "the right password must not come through either")
        self.assertIn("Too many tries", text)
        self.assertTrue(0 < int(headers["Retry-After"]) <= LOCKED_FOR)
        self.session_of("eve", owner)                                     # her own address
        self.session_of("bob", attacker)                                  # another name
        self.pass_by(LOCKED_FOR)
        self.session_of("eve", attacker)

    def test_an_address_has_so_many_tries_for_all_names_together(self):
        guesser = "127.0.0.5"
        for i in range(TRIES_OF_ADDRESS):
            self.assertEqual(self.try_password("eve", "guess", guesser)[0], 401 if i < TRIES else 429)
            if i == TRIES_OF_ADDRESS - 2:                                 # what is right does not count
                self.session_of("bob", guesser)
                self.session_of("bob", guesser)
        self.assertEqual(self.try_password("bob", "two for tea", guesser)[0], 429)
        self.session_of("bob", "127.0.0.6")

    def test_many_addresses_together_guess_one_name_slowly_and_do_not_lock_its_owner_out(self):
        home, elsewhere = "127.0.0.10", "127.0.0.11"
        self.session_of("kim", home)
        guesses = [self.try_password("kim", "guess", f"127.0.1.{i // TRIES + 1}")[0] for i in range(TRIES_OF_NAME)]
        self.assertEqual(guesses, [401] * TRIES_OF_NAME)
        self.pass_by(MINUTE)
        for _ in range(TRIES + 1):
            status, headers, text = self.try_password("kim", "z", elsewhere)
            self.assertEqual(status, 429, "the right password must not come through either")
            self.assertTrue(0 < int(headers["Retry-After"]) <= LOCKED_FOR)
        self.session_of("bob", elsewhere)                                 # another name
        self.assertEqual(self.try_password("kim", "wrong", home)[0], 401)
        self.session_of("kim", home)                                      # where its owner was before
        self.pass_by(LOCKED_FOR - MINUTE)                                 # what was refused has not counted there
        self.session_of("kim", elsewhere)

    def test_a_right_password_begins_to_count_anew(self):
        for _ in range(2):
            for _ in range(TRIES - 1):
                self.assertEqual(self.try_password("ada", "wrong", "127.0.0.4")[0], 401)
            self.session_of("ada", "127.0.0.4")

    def test_markup_in_a_name_is_text(self):
        self.greeted(self.log_in("mallory"), XSS)
        self.assertEqual(self.browser.text(".who span"), [XSS])
        for app, path in (("shop", "/token"), ("login", "/"), ("cshop", "/")):
            self.assertIn(XSS, self.go(app, path)["text"])
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('img').length"), 0)
        _, _, text = self.try_password('"><script>alert(1)</script>', "x")
        self.assertNotIn("<script>alert", text)

    def test_other_pages_can_neither_log_in_nor_out(self):
        token = self.session_of("bob")
        for origin in (None, "null", "https://evil.example", "http://localhost:1", self.origin["login"] + ".evil.example"):
            for path, form in (("/login", {"name": "bob", "password": "two for tea"}), ("/logout", {})):
                with self.subTest(path, origin=origin):
                    status, headers, text = self.ask("login", path, form=form, origin=origin, session=token)
                    self.assertEqual(status, 403, text)
                    self.assertNotIn("Set-Cookie", headers)
        for path in ("/login", "/logout"):
            self.assertEqual(self.ask("login", path, session=token)[0], 404, "by GET")

    def test_a_form_on_another_site_and_on_another_port_does_nothing(self):
        self.log_in("bob")
        token = self.token()
        fields = '<input name="name" value="mallory"><input name="password" value="x">'
        page = "".join(f'<form method="post" action="{self.origin["login"]}/{act}">{fields}<button>{act}</button></form>'
                       for act in ("login", "logout")).encode()

        class Evil(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *args):
                pass
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil) as evil:
            threading.Thread(target=evil.serve_forever).start()
            try:
                for host in ("127.0.0.1", "localhost"):                   # another site; the same, on another port
                    for act in ("login", "logout"):
                        with self.subTest(act, host=host):
                            self.browser.go(f"http://{host}:{evil.server_port}/")
                            at = self.browser.press(act)
                            self.assertEqual(at["status"], 403)
                            self.assertIn("nothing was done", at["text"])
            finally:
                evil.shutdown()
        self.assertEqual(self.token(), token)
        self.greeted(self.go("shop"), "Bob Cook")

    def test_a_token_in_the_address_is_refused_with_the_reason(self):
        token = self.session_of("bob")
        for app in self.origin:
            for at in (f"?token={token}", f"?x={token}", "?session=1", f"?a=1&b={token}", f"?access_token={token}",
                       f"?x=Bearer%20{token}", f"?x=%{token}", f"?x={token.replace('.', '%2E')}", token, f"x/{token}"):
                if app == "cshop" and at[0] != "?":          # it has no such page, and takes nothing of it
                    continue
                with self.subTest(app, at=at):
                    status, _, text = self.ask(app, f"/{at}")
                    self.assertEqual(status, 400)
                    self.assertIn("A token in the address", text)

    def test_cookies_too_long_get_a_clear_answer(self):
        for app in self.origin:
            for length, want in ((8192, 200 if app == "login" else 401), (8193, 431), (8 * 1024 * 2, 431), (20_000, 431)):
                with self.subTest(app, length=length):
                    if app == "cshop" and length >= 16384:
                        want = 400
                    status, _, text = self.ask(app, Cookie="a=" + "x" * (length - 2))
                    self.assertEqual(status, want)
                    if length == 8193:
                        self.assertIn("Too many cookies", text)

    def test_two_sessions_at_once_are_none(self):
        token = self.session_of("bob")
        for app in self.origin:
            with self.subTest(app):
                _, _, text = self.ask(app, Cookie=f"session={token}; session={token}")
                self.assertIn("two sessions at once", text)
                self.assertNotIn("Bob Cook", text)

    def test_forms_that_are_none(self):
        for form, want in ((b"name=bob", 400), (b"name=a&name=b&password=x", 400), (b"", 400),
                           (b"name=bob%001&password=two+for+tea", 400), (b"name=bob%0a&password=x", 400),
                           (b"name=" + b"x" * 65 + b"&password=x", 400), (b"name=bob&password=" + b"x" * 9000, 413),
                           (b"name=%ff%fe&password=x", 401), (b"name[a]=1&password=x", 400)):
            with self.subTest(form[:40]):
                self.assertEqual(self.ask("login", "/login", form=form)[0], want)
        self.assertEqual(self.ask("shop", "/try", form=b"what=toString", session=self.session_of("bob"))[0], 200)
        for app, path in (("login", "/no"), ("shop", "/no"), ("cshop", "/no"), ("shop", "/public/../shop.js"),
                          ("cshop", "/public/../shop.c")):
            self.assertEqual(self.ask(app, path)[0], 404)

    def test_a_body_is_no_request_to_the_shop_in_c(self):
        inner = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for method, path in ((b"HEAD", b"/"), (b"HEAD", b"/public/style.css"), (b"GET", b"/")):
            for field in (b"Content-Length: %d" % len(inner), b"Transfer-Encoding: chunked"):
                with self.subTest(method + path, field=field):
                    port = urllib.parse.urlsplit(self.origin["cshop"]).port
                    with socket.create_connection(("127.0.0.1", port), PATIENCE) as s:
                        s.sendall(method + b" " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + field + b"\r\n\r\n" + inner)
                        said = b"".join(iter(lambda: s.recv(65536), b""))
                    self.assertRegex(said, b"^HTTP/1.1 (400|413) ")
                    self.assertEqual(said.count(b"HTTP/1.1 "), 1)

    def test_a_renewal_leads_nowhere_else(self):
        token = self.session_of("bob")
        for to in ("https://evil.example/", "//evil.example", "constructor", "__proto__", ""):
            status, headers, _ = self.ask("login", "/renew?" + urllib.parse.urlencode({"to": to}), session=token)
            self.assertEqual((status, headers["Location"]), (303, self.origin["login"] + "/"))
        status, headers, _ = self.ask("login", "/renew?to=shop")
        self.assertEqual((status, headers["Location"], headers["Set-Cookie"]), (303, self.origin["login"] + "/", None))

    def test_a_renewal_asks_who_the_user_is_now_and_has_an_end(self):
        token = self.session_of("bob")
        self.put_user("bob", role="staff")
        try:
            _, headers, _ = self.ask("login", "/renew?to=shop", session=token)
            self.assertIn("HttpOnly", headers["Set-Cookie"])
            self.assertEqual(part(headers["Set-Cookie"].split("=")[1].split(";")[0], 1)["role"], "staff")
        finally:
            self.put_user("bob")
        claims = ("--claim", "name=Bob", "--claim", "role=customer", "--audience", "shop", "--audience", "login", "--claim")
        for subject, since, renewed in (("bob", 12 * 3600 - 60, True), ("bob", 12 * 3600 + 1, False), ("nobody", 0, False)):
            old = self.daemon.token("web-session", "--subject", subject, *claims, f"auth_time:={int(self.time.now()) - since}")
            _, headers, _ = self.ask("login", "/renew?to=shop", session=old)
            self.assertEqual(headers["Location"], self.origin["shop" if renewed else "login"] + "/", (subject, since))
            self.assertEqual(headers["Set-Cookie"].startswith("session=;"), not renewed)

    def test_with_https_the_cookie_is_secure_and_bound_to_the_host(self):
        [port] = free_ports(1)
        server = self.start("login", PORT=str(port), LOGIN_ORIGIN="https://login.example",
                            SHOP_ORIGIN="https://login.example:444")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("POST", "/login", "name=bob&password=two+for+tea", {
                "Origin": "https://login.example", "Content-Type": "application/x-www-form-urlencoded"})
            answer = connection.getresponse()
            self.assertEqual((answer.status, answer.headers["Location"]), (303, "https://login.example:444/"))
            self.assertRegex(answer.headers["Set-Cookie"], r"^__Host-session=eyJ[^;]+; Path=/; HttpOnly; Secure; SameSite=Lax$")
            connection.close()
        finally:
            server.end()

    def test_each_answer_is_protected(self):
        for app, path in (("login", "/"), ("shop", "/"), ("cshop", "/"), ("login", "/no"), ("shop", "/?token=x")):
            _, headers, _ = self.ask(app, path)
            policy = headers["Content-Security-Policy"]
            self.assertIn("default-src 'none'", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual((headers["Cache-Control"], headers["X-Content-Type-Options"], headers["X-Powered-By"]),
                             ("no-store", "nosniff", None))


class Slow(Weblogin):
    """Clients that hold a connection and say next to nothing."""

    def dial(self, app, begun):
        s = socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(self.origin[app]).port), PATIENCE)
        self.addCleanup(s.close)
        s.sendall(begun)
        return s

    def test_they_keep_nobody_out_and_are_dropped_whatever_they_go_on_sending(self):
        head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "
        form = (f"POST /login HTTP/1.1\r\nHost: localhost\r\nOrigin: {self.origin['login']}\r\nContent-Length: 1000\r\n"
                "Content-Type: application/x-www-form-urlencoded\r\n\r\nname=bob&password=").encode()
        slow = [self.dial("login", begun) for begun in (head, form) for _ in range(SLOW)]
        slow += [self.dial("shop", head) for _ in range(SLOW)]

        def all_dropped():
            self.assertEqual(self.ask("login")[0], 200)
            self.assertEqual(self.ask("shop")[0], 401)
            drip(slow, b"x", 0.5)
            return not slow
        until("they are dropped", all_dropped)
        self.session_of("bob")

    def test_the_shop_in_c_serves_others_meanwhile(self):
        for _ in range(SLOW):
            self.dial("cshop", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        self.assertEqual(self.ask("cshop")[0], 401)


class Away(Weblogin):
    def test_while_signet_is_away_sessions_go_on_as_long_as_the_keys_may_be_used(self):
        token = self.session_of("bob")
        for app in ("shop", "cshop"):
            self.assertEqual(self.ask(app, session=token)[0], 200)
        self.daemon.stop()
        try:
            self.time.pass_by(MAX_AGE * 2 // 3)
            for app in ("shop", "cshop"):
                self.assertEqual(self.ask(app, session=token)[0], 200, app)
            status, headers, _ = self.ask("login", "/renew?to=shop", session=token)
            self.assertEqual((status, headers["Location"]), (303, self.origin["shop"] + "/?renewal=later"))
            status, _, text = self.ask("shop", "/?renewal=later", session=token)
            self.assertIn("Not renewed just now", text)
            self.time.pass_by(MAX_AGE)
            for app in ("shop", "cshop"):
                status, _, text = self.ask(app, session=token)
                self.assertEqual(status, 503, "that it could not be judged is no verdict")
                self.assertIn("Not now", text)
        finally:
            self.daemon.start()
        for app in ("shop", "cshop"):
            until(f"{app} has keys again", lambda: self.ask(app, session=token)[0] == 200)


class Parts(Weblogin):
    def test_the_rules_that_no_browser_sees(self):
        run(["node", "--test", HERE / "parts.js"], env=self.env)


class Looks(Weblogin):
    def test_pictures_of_every_page(self):
        for view, size in VIEWS.items():
            for dark in (False, True):
                with self.subTest(view, dark=dark):
                    self.browser.open({**size, "dark": dark})
                    self.pictures(f"{view}-{'dark' if dark else 'light'}")
                    self.assertEqual(self.browser.complaints(), [])

    def pictures(self, name):
        def look(page):
            self.assertEqual(self.browser.evaluate(TOO_WIDE), [], f"{page} is too wide")
            self.browser.shot(str(SHOTS / f"{page}-{name}.png"))
        self.go("login")
        look("login")
        self.log_in()
        look("shop")
        self.go("login")
        look("logged-in")
        self.go("shop", "/token")
        look("token")
        self.browser.press("Another role")
        look("refused")
        self.go("cshop")
        look("cshop")
        self.go("shop", "/?token=1")
        look("message")
        self.use_token(with_part(self.token(), 1, role="owner"))
        self.go("shop")
        look("stranger")


if __name__ == "__main__":
    main()
