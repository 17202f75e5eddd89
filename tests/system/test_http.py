"""The publisher of a real daemon: what verifiers, Prometheus and a browser get from it, and what strangers cannot do to it."""
import base64
import contextlib
import ctypes
import hashlib
import http.client
import json
import os
import pathlib
import re
import resource
import signal
import socket
import struct
import urllib.request

from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jwt as jwcrypto_jwt
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as text_metrics

from rig import Case, Daemon, EachCase, PATIENCE, PIN, drip, main, npm_packages, profile, ring, run, until

HERE = pathlib.Path(__file__).resolve().parent
JWKS, OIDC, OAUTH = ("/.well-known/" + name for name in ("jwks.json", "openid-configuration", "oauth-authorization-server"))
RINGS = ring("web", "ES256", "create: yes") + ring("late", "RS256", "create: yes", "bits: 2048", "jwks_max_age: 5m")
PROFILES = profile("web", "web", "shop") + profile("late", "late", "bank")
MANY = 2000
LIBC, SYS_PIDFD_GETFD = ctypes.CDLL(None), 438
MAX_CONNECTIONS = 512        # server.h


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Published:
    """A daemon with an `http` section, at a port of 127.0.0.1."""
    http = ""

    @classmethod
    def new_daemon(cls, place):
        cls.port = free_port()
        return Daemon(place, cls.rings, cls.profiles + cls.section(), module_leaks=True)

    @classmethod
    def section(cls, more=None):
        return f"http: {{listen: '127.0.0.1:{cls.port}'{cls.http if more is None else more}}}\n"

    def dial(self):
        s = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.addCleanup(s.close)
        return s

    def get(self, path, method="GET", **fields):
        """(status, fields in lower case, body)"""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(client):
            client.request(method, path, headers={name.replace("_", "-"): value for name, value in fields.items()})
            reply = client.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()

    def raw(self, request):
        """What a connection says to these bytes until it closes, or has said one whole reply."""
        with self.dial() as s:
            s.sendall(request)
            reply = http.client.HTTPResponse(s)
            reply.begin()
            return reply.status, reply.read()

    def publisher(self):
        return self.daemon.roles()["publisher"][0]

    def max_age(self, path=JWKS):
        return int(re.fullmatch(r"public, max-age=(\d+)", self.get(path)[1]["cache-control"])[1])


class Served(Published, Case):
    rings, profiles = RINGS, PROFILES

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def test_jwcrypto_verifies_a_token_by_the_key_set(self):
        for name, audience in (("web", "shop"), ("late", "bank")):
            with urllib.request.urlopen(self.url(JWKS), timeout=PATIENCE) as reply:
                self.assertEqual(reply.headers["Content-Type"], "application/jwk-set+json")
                keys = jwcrypto_jwk.JWKSet.from_json(reply.read())
            checked = jwcrypto_jwt.JWT(jwt=self.daemon.token(name, "--subject", "alice"), key=keys, algs=["ES256", "RS256"],
                                       check_claims={"iss": "https://login.example", "aud": audience})
            self.assertEqual(json.loads(checked.claims)["sub"], "alice")

    def test_node_s_jose_fetches_it_and_verifies(self):
        folder = npm_packages(HERE / "node")
        script = folder / "remote.mjs"
        script.write_bytes((HERE / "node/remote.mjs").read_bytes())
        said = run(["node", str(script), self.daemon.token("web", "--subject", "bob"), self.url(JWKS), "https://login.example",
                    "shop"])
        self.assertEqual(json.loads(said)["sub"], "bob")

    def test_it_is_the_daemon_s_own_set(self):
        served = json.loads(self.get(JWKS)[2])["keys"]
        self.assertEqual({key["kid"] for key in served}, {key["kid"] for key in self.daemon.jwks()["keys"]})
        for key in served:
            self.assertLessEqual(set(key), {"kty", "use", "alg", "kid", "crv", "x", "y", "n", "e"})
        self.assertLessEqual(self.max_age(), 300)

    def test_who_has_it_is_told_so(self):
        status, fields, body = self.get(JWKS)
        self.assertEqual((status, self.get(JWKS)[2]), (200, body))
        for said in (fields["etag"], "W/" + fields["etag"], '"x", ' + fields["etag"], "*"):
            status, again, rest = self.get(JWKS, If_None_Match=said)
            self.assertEqual((status, again["etag"], rest), (304, fields["etag"], b""))
            self.assertNotIn("content-length", again)
            self.assertIn("max-age", again["cache-control"])
        self.assertEqual(self.get(JWKS, If_None_Match='"x"')[0], 200)

    def test_head_is_get_without_its_body(self):
        for path in (JWKS, OIDC, "/healthz", "/", "/metrics", "/nothing"):
            got, asked = self.get(path), self.get(path, "HEAD")
            self.assertEqual((asked[0], asked[2]), (got[0], b""))
            self.assertEqual(set(asked[1]), set(got[1]))
            if path not in ("/", "/metrics"):
                self.assertEqual(asked[1]["content-length"], str(len(got[2])))
        with self.dial() as s:
            s.sendall(b"HEAD " + JWKS.encode() + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            said = b"".join(iter(lambda: s.recv(65536), b""))
        self.assertTrue(said.endswith(b"\r\n\r\n") and said.count(b"\r\n\r\n") == 1, said)

    def test_discovery_says_what_is_true(self):
        want = {"issuer": "https://login.example", "jwks_uri": "https://login.example/.well-known/jwks.json",
                "id_token_signing_alg_values_supported": ["ES256", "RS256"]}
        for path in (OIDC, OAUTH):
            status, fields, body = self.get(path)
            self.assertEqual((status, fields["content-type"], json.loads(body)), (200, "application/json", want))

    def test_a_path_has_one_name(self):
        for path in ("/.well-known/%6awks.json", "/.well-known%2fjwks.json", "/x/../.well-known/jwks.json", "/./.well-known/jwks.json",
                     "//.well-known/jwks.json", "/.well-known//jwks.json", "/.well-known/jwks.json/", "/.well-known/jwks.json;x",
                     "/.well-known/jwks.json%00", "/.WELL-KNOWN/jwks.json", "/%2e%2e/%2e%2e/etc/passwd", "/metrics/", "/rings/web" + JWKS,
                     "/" + "a" * 1000):
            self.assertEqual(self.get(path)[0], 404, path)
        self.assertEqual(self.get(JWKS + "?x=/../y")[0], 200)

    def test_what_two_could_read_differently_is_refused(self):
        head, end = b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"\r\n\r\n"
        for status, request in (
                (400, b"GET /\0 HTTP/1.1\r\nHost: h" + end), (400, head + b"X: a\0b" + end), (400, b"GET / HTTP/1.1" + end),
                (400, head + b"Host: other" + end), (400, head + b"X: a\n Y: b" + end), (400, b"\x16\x03\x01\x00\xee"),
                (400, b"GET /a b HTTP/1.1\r\nHost: h" + end), (413, head + b"Content-Length: 4\r\n\r\nevil"),
                (413, head + b"Transfer-Encoding: chunked\r\n\r\n0" + end), (405, b"POST / HTTP/1.1\r\nHost: h" + end),
                (405, b"OPTIONS / HTTP/1.1\r\nHost: h" + end), (414, b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\nHost: h" + end),
                (431, head + b"X: " + b"x" * 9000 + end), (431, head + b"X: y\r\n" * 70 + end), (505, b"PRI * HTTP/2.0" + end),
                (200, b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost" + end),
                (400, b"GET http://localhost/healthz HTTP/1.1\r\nHost: evil.example" + end),
                (421, b"GET http://evil.example/metrics HTTP/1.1\r\nHost: evil.example" + end),
                (200, b"GET /healthz HTTP/1.0" + end)):
            self.assertEqual(self.raw(request)[0], status, request[:80])

    def test_after_a_refusal_nothing_more_is_read(self):
        with self.dial() as s:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 39\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n" * 2)
            said = b"".join(iter(lambda: s.recv(65536), b""))
        self.assertEqual(said.count(b"HTTP/1.1 "), 1)
        self.assertTrue(said.startswith(b"HTTP/1.1 413 "))

    def test_requests_may_come_together_and_in_pieces(self):
        one = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
        with self.dial() as s:
            s.sendall(one * 20 + one[:7])
            s.sendall(one[7:-4] + b"\r\nConnection: close\r\n\r\n")
            said = b"".join(iter(lambda: s.recv(65536), b""))
        self.assertEqual(said.count(b"HTTP/1.1 200 OK"), 21)

    def test_no_page_of_another_name_reads_what_is_for_this_machine(self):
        for path in ("/", "/metrics"):
            for host, status in (("localhost", 200), (f"127.0.0.1:{self.port}", 200), ("[::1]:1", 200), ("LOGIN.example:8443", 200),
                                 ("evil.example", 421), ("127.0.0.1.evil.example", 421), ("login.example.evil.example", 421),
                                 ("localhost.", 421), ("xlogin.example", 421), ("logim.example", 421)):
                self.assertEqual(self.get(path, Host=host)[0], status, host)
        for path in (JWKS, OIDC, "/healthz"):
            self.assertEqual(self.get(path, Host="evil.example")[0], 200)
        self.assertNotIn("access-control-allow-origin", self.get(JWKS, Origin="https://evil.example")[1])

    def test_a_proxy_that_passes_on_too_much_shows_strangers_nothing(self):
        for fields in ({"Forwarded": "for=192.0.2.1"}, {"X_Forwarded_For": "192.0.2.1"}, {"Via": "1.1 proxy"}):
            for path, status in (("/", 403), ("/metrics", 403), (JWKS, 200), (OIDC, 200), ("/healthz", 200)):
                self.assertEqual(self.get(path, Host="login.example", **fields)[0], status, (path, fields))
        self.assertIn(b"have it pass on /.well-known alone", self.get("/metrics", Via="1.1 proxy")[2])

    def test_the_page_lets_nothing_run_but_its_own(self):
        self.daemon.cli("sign", "--profile", "<script>alert(1)</script>", want=1)
        status, fields, body = self.get("/")
        self.assertEqual((status, fields["content-type"], fields["cache-control"]), (200, "text/html; charset=utf-8", "no-store"))
        page, policy = body.decode(), fields["content-security-policy"]
        for tag in ("style", "script"):
            found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
            self.assertEqual(len(found), 1)
            digest = base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()
            self.assertIn(f"{tag}-src 'sha256-{digest}'", policy)
        self.assertIn("default-src 'none'", policy)
        self.assertFalse(re.search(r"<[^>]*\s(on\w+|style|src|href)=", page))
        self.assertIn("<h3>web</h3>", page)
        kid = [key["kid"] for key in self.daemon.jwks()["keys"] if key["alg"] == "ES256"][0]
        self.assertIn(f"{kid[:8]} signs", page)

    def test_prometheus_reads_the_metrics(self):
        self.daemon.token("web")
        until("the next snapshot", lambda: b"signet_signed_tokens_total 0" not in self.get("/metrics")[2])
        status, fields, body = self.get("/metrics")
        self.assertEqual((status, fields["content-type"], fields["vary"]), (200, "text/plain; version=0.0.4; charset=utf-8", "Accept"))
        self.assertEqual(run(["promtool", "check", "metrics"], stdin=body), b"")
        names = {family.name for family in text_metrics(body.decode())}
        status, fields, body = self.get("/metrics", Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
        self.assertEqual(fields["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8")
        families = {family.name: family for family in open_metrics(body.decode())}
        self.assertEqual(set(families), names)
        self.assertEqual(families["signet_up"].samples[0].value, 1)
        self.assertEqual(len({sample.labels["kid"] for sample in families["signet_key_age_seconds"].samples}), 2)

    def test_slow_heads_hold_nothing(self):
        """A byte a second for each: their connections end, whatever they go on sending; another is answered meanwhile."""
        slow = [self.dial() for _ in range(50)]
        head = b"GET / HTTP/1.1\r\nX: " + b"x" * 4000
        sent = 0

        def all_closed():
            nonlocal sent
            sent += 1
            self.assertEqual(self.get("/healthz")[0], 200)
            drip(slow, head[sent - 1:sent], 1)
            return not slow
        until("they are closed", all_closed)
        self.assertLess(sent, len(head))

    def test_a_crowd_keeps_nobody_out(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MANY + 500)), hard))
        crowd = []
        try:
            for _ in range(MANY):
                crowd.append(socket.create_connection(("127.0.0.1", self.port), PATIENCE))
                if len(crowd) % 200 == 0:
                    self.assertEqual(self.get(JWKS)[0], 200)
            self.assertLessEqual(len(os.listdir(f"/proc/{self.publisher()}/fd")), MAX_CONNECTIONS + 64)
            crowd[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
            self.assertTrue(crowd[-1].recv(100).startswith(b"HTTP/1.1 200"))
        finally:
            for s in crowd:
                s.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(self.get("/healthz")[0], 200)

    def test_replies_that_nobody_reads_cost_a_bound(self):
        rude = [self.dial() for _ in range(100)]
        for s in rude:
            s.setblocking(False)
            with contextlib.suppress(OSError):
                for _ in range(200):
                    s.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        self.assertEqual(self.get(JWKS)[0], 200)
        with open(f"/proc/{self.publisher()}/statm", encoding="ascii") as statm:
            held = int(statm.read().split()[1]) * resource.getpagesize()
        self.assertLess(held, 400 << 20)         # a sanitized build's own is a good part of it


class Lives(Published, EachCase):
    rings, profiles = RINGS, PROFILES

    def tearDown(self):
        if self.daemon.process and self.daemon.process.poll() is None:
            self.assertEqual(self.daemon.stop(), 0)

    def test_a_publisher_that_dies_is_replaced_on_its_socket(self):
        self.daemon.start()
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self.addCleanup(client.close)
        client.request("GET", "/healthz")
        client.getresponse().read()
        old = self.publisher()
        os.kill(old, signal.SIGKILL)
        until("it is gone", lambda: old not in self.daemon.roles().get("publisher", []))
        with contextlib.suppress(OSError, http.client.HTTPException):     # the connection went with it
            client.request("GET", "/healthz")
            client.getresponse().read()
        client.close()
        self.assertEqual(self.get("/healthz")[0], 200)           # nobody is turned away meanwhile
        until("it knows the keys", lambda: self.get(JWKS)[0] == 200)
        self.assertNotEqual(self.publisher(), old)
        self.assertTrue(self.daemon.token("web"))

    def test_a_publisher_that_hangs_is_replaced(self):
        self.daemon.start()
        old = self.publisher()
        os.kill(old, signal.SIGSTOP)
        until("it is replaced", lambda: self.daemon.roles().get("publisher", [old]) != [old])
        until("it knows the keys", lambda: self.get(JWKS)[0] == 200)
        self.assertIn("publisher (pid %d) is given up and killed" % old, self.daemon.said())

    def test_a_publisher_that_speaks_to_the_broker_is_replaced(self):
        """It has nothing to say: somebody is inside. Here we are."""
        self.daemon.start()
        old = self.publisher()
        other_than = {0, 1, 2, 3}                                # role.h: 3 is to the supervisor
        [channel] = [int(fd.name) for fd in pathlib.Path(f"/proc/{old}/fd").iterdir() if int(fd.name) not in other_than
                     and self.is_unix_socket(os.readlink(fd))]
        pidfd = os.pidfd_open(old)
        stolen = socket.socket(fileno=LIBC.syscall(SYS_PIDFD_GETFD, pidfd, channel, 0))
        with stolen:
            stolen.send(b"hello")
        os.close(pidfd)
        until("it is replaced", lambda: self.daemon.roles().get("publisher", [old]) != [old])
        until("it knows the keys", lambda: self.get(JWKS)[0] == 200)
        self.assertIn("it says something, and has nothing to say", self.daemon.said())

    def is_unix_socket(self, link):
        inode = re.fullmatch(r"socket:\[(\d+)\]", link)
        return inode and any(line.split()[6] == inode[1] for line in open("/proc/net/unix", encoding="ascii"))

    def test_a_broker_that_is_replaced_is_not_missed(self):
        self.daemon.start()
        before = self.get(JWKS)
        old = self.daemon.roles()["broker"]
        os.kill(old[0], signal.SIGKILL)
        self.assertEqual(self.get(JWKS)[2], before[2])
        until("it is replaced", lambda: self.daemon.roles().get("broker", old) != old)
        until("it answers", lambda: not self.daemon.cli("sign", "--profile", "web", want=None)[1])
        self.assertEqual((self.get(JWKS)[0], self.get(JWKS)[1]["etag"]), (200, before[1]["etag"]))

    def test_while_no_broker_speaks_the_set_is_served_as_long_as_was_promised(self):
        clock = self.place.dir / "time"
        clock.write_bytes(bytes(16))

        def let_pass(seconds):
            with open(clock, "r+b") as f:            # they have it mapped
                f.write(struct.pack("q", 1000 * seconds))
        self.daemon.start({"SIGNET_TEST_TIME": str(clock)})
        broker = self.daemon.roles()["broker"][0]
        first = self.max_age()
        os.kill(broker, signal.SIGSTOP)
        try:
            for passed in (60, first - 10):
                let_pass(passed)
                until("the time has passed", lambda: self.max_age() <= max(first - passed, 1))
            let_pass(400)
            until("it is too old", lambda: self.get(JWKS)[0] == 503)
            status, fields, body = self.get(JWKS)
            self.assertIn("retry-after", fields)
            self.assertEqual(json.loads(body)["error"], "STARTING")
            self.assertEqual(self.get("/readyz")[0], 503)
            self.assertIn(b"signet_up 0\n", self.get("/metrics")[2])
            self.assertIn(b"The broker has said nothing for", self.get("/")[2])
            self.assertEqual(self.get("/healthz")[0], 200)
        finally:
            os.kill(broker, signal.SIGCONT)
        until("it is known again", lambda: self.get(JWKS)[0] == 200)

    def test_without_its_token_it_has_no_set(self):
        self.place.write_pin("wrong")
        self.daemon.start()
        status, fields, body = self.get(JWKS)
        self.assertEqual((status, fields["retry-after"], fields["content-type"]), (503, "1", "application/json"))
        self.assertEqual(set(json.loads(body)), {"error", "text"})
        self.assertNotIn(b"keys\":[", body)
        self.assertEqual(self.get(OIDC)[0], 200)
        status, _, body = self.get("/readyz")
        self.assertEqual(status, 503)
        self.assertTrue(body.startswith(b"not ready: "))
        self.assertEqual(self.get("/healthz")[0], 200)

    def test_before_its_token_is_listed_nobody_says_that_an_issuer_has_no_public_keys(self):
        """A ring that changes over to HMAC still has some."""
        mac = ring("mac", "HS256", "create: yes"), profile("mac", "mac", "shop")
        self.daemon.write(mac[0], mac[1] + self.section())
        self.place.write_pin("wrong")
        self.daemon.start()

        def told():
            status, _, body = self.get(JWKS)
            return status, json.loads(body)["error"]
        until("it is known why", lambda: self.assertEqual(told()[0], 503) or told()[1] == "PIN_WRONG")
        self.place.write_pin(PIN)
        until("it is known that there are none", lambda: told() == (404, "UNKNOWN_RING"))

    def test_issuers_and_origins_change_by_reload_where_it_listens_does_not(self):
        self.daemon.start()
        self.assertNotIn("access-control-allow-origin", self.get(JWKS, Origin="https://app.example")[1])
        profiles = self.profiles.replace("https://login.example", "https://login.example/new")
        self.daemon.write(self.rings, profiles + self.section(", cors: ['https://app.example']"))
        self.daemon.cli("reload")
        until("it switched", lambda: self.get("/new" + JWKS)[0] == 200)
        fields = self.get(JWKS, Origin="https://app.example")[1]
        self.assertEqual((fields["access-control-allow-origin"], fields["vary"]), ("https://app.example", "Origin"))
        self.assertEqual(json.loads(self.get("/new" + OIDC)[2])["issuer"], "https://login.example/new")
        self.assertEqual(self.get(OIDC)[0], 404)
        self.daemon.write(self.rings, profiles + f"http: {{listen: '127.0.0.1:{free_port()}'}}\n")
        _, err = self.daemon.cli("reload", want=1)
        self.assertIn("RESTART_NEEDED: http.listen has changed", err)
        self.daemon.write(self.rings, profiles)
        _, err = self.daemon.cli("reload", want=1)
        self.assertIn("RESTART_NEEDED: http.listen has changed", err)
        self.assertEqual(self.get("/new" + JWKS)[0], 200)

    def test_strangers_get_key_sets_and_health_alone(self):
        self.daemon.write(self.rings, self.profiles + self.section(", public: yes"))
        self.daemon.start()
        for path, status in (("/", 404), ("/metrics", 404), (JWKS, 200), (OIDC, 200), ("/healthz", 200)):
            self.assertEqual(self.get(path)[0], status, path)
        self.assertIn(self.get("/readyz")[2], (b"ready\n", b"not ready\n"))

    def test_a_unix_socket_serves_as_well_and_goes_with_it(self):
        path = self.place.dir / "h.sock"
        self.daemon.write(self.rings, self.profiles + f"http: {{listen: {path}}}\n")
        self.daemon.start()
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(path))
            s.sendall(b"GET " + JWKS.encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            reply = http.client.HTTPResponse(s)
            reply.begin()
            self.assertEqual(len(json.loads(reply.read())["keys"]), 2)
        self.assertEqual(self.daemon.stop(), 0)
        self.assertFalse(path.exists())

    def test_two_daemons_do_not_share_a_port(self):
        self.daemon.start()
        other = Daemon(self.place, self.rings, self.profiles + self.section(), name="other")
        self.addCleanup(other.kill)
        with self.assertRaisesRegex(AssertionError, rf"http\.listen: cannot listen at 127\.0\.0\.1:{self.port}"):
            other.start()


class Issuers(Published, Case):
    """Several: none has another's keys."""
    rings = RINGS + ring("third", "ES256", "create: yes") + ring("raw", "ES256", "create: yes", "publish: yes")
    profiles = (profile("web", "web", "shop").replace("login.example", "a.example/one")
                + profile("late", "late", "bank").replace("login.example", "a.example/two")
                + profile("third", "third", "club").replace("login.example", "b.example/two")
                + "  raw: {ring: raw, raw: yes, sign: {users: any}, verify: {users: any}}\n")

    def kids(self, path, host="localhost"):
        status, _, body = self.get(path, Host=host)
        return {key["kid"] for key in json.loads(body)["keys"]} if status == 200 else status

    def test_each_has_the_keys_that_sign_for_it(self):
        for name, path, host in (("web", "/one", "localhost"), ("late", "/two", "A.example:443"), ("third", "/two", "b.example"),
                                 ("raw", "/rings/raw", "localhost")):
            args = ["--payload", "-"] if name == "raw" else []
            token = self.daemon.token(name, *args, stdin=b"any bytes")
            header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
            self.assertEqual(self.kids(path + JWKS, host), {header["kid"]}, name)

    def test_where_nobody_can_say_which_is_meant_it_says_what_there_is(self):
        for path, host in ((JWKS, "localhost"), ("/two" + JWKS, "localhost"), ("/two" + JWKS, "c.example")):
            status, _, body = self.get(path, Host=host)
            self.assertEqual(status, 404)
            self.assertIn(b"/one/.well-known/jwks.json of https://a.example/one", body)
        self.assertEqual(self.get("/two" + JWKS, Host="b.example")[1]["vary"], "Host")

    def test_discovery_of_each(self):
        for path, host, issuer in (("/one" + OIDC, "h", "https://a.example/one"), (OAUTH + "/one", "h", "https://a.example/one"),
                                   ("/two" + OIDC, "a.example", "https://a.example/two"),
                                   (OAUTH + "/two", "b.example", "https://b.example/two")):
            got = json.loads(self.get(path, Host=host)[2])
            self.assertEqual((got["issuer"], got["jwks_uri"]), (issuer, issuer + JWKS))


if __name__ == "__main__":
    main()
