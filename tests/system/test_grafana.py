"""contrib/grafana: every query of the dashboard against a real Prometheus that scrapes real daemons, with right values; every
alert that a real fault can cause, caused; and none of them in health."""
import collections
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import types
import unittest
import urllib.parse

import yaml
from prometheus_client.parser import text_string_to_metric_families as text_metrics

import faults
import wire
from fleet import Time
from flood import Flood
from rig import PATIENCE, PIN, SIGNET, SO_PIN, TOP, Daemon, Place, main, profile, ring, run, until
from test_http import free_port
from test_outside import LONG_AGO, outside
from test_tokens import DEVICE_REMOVED, GONE, TwoTokens

GRAFANA = TOP / "contrib/grafana"
DASHBOARD = json.loads((GRAFANA / "signet.json").read_text())
PANELS = [p for p in DASHBOARD["panels"] if p["type"] != "row"]
RULES = yaml.safe_load((GRAFANA / "signet.rules.yml").read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in RULES for rule in group["rules"] if "alert" in rule}
RATE = 20                    # tokens a second that the load asks for
WINDOW_S = 20                # of rates
QUEUE, CONNECTIONS = 8, 40   # that one uid may have
# Within minutes, so that a turn is near: publish_ahead is the least that adds up.
TIMES = ["rotate_every: 30m", "publish_ahead: 3m", "max_ttl: 10m", "jwks_max_age: 60s", "skew: 2s", "refresh: 5s"]
ON_BOTH = ["create: yes", "tokens: [main, spare]", "failover_after: 500ms", "verify_every: 1"]
RINGS = ring("web", "ES256", *ON_BOTH, *TIMES) + ring("solo", "ES256", "create: yes", "tokens: [main]", "rotate_every: never")
PROFILES = (profile("web", "web", "shop", "ttl: 5m", "claims: {allowed: any}") + profile("picky", "web", "bank", "ttl: 5m") +
            profile("solo", "solo", "club", "ttl: 5m"))
DAEMON = f"  max_queue: {QUEUE}\n  max_connections_per_uid: {CONNECTIONS}\n"
# What no fault that can be made here does: promtool alone.
NOT_MADE = {"SignetUnproved"}


class Prometheus:
    """One that scrapes each second, by contrib/grafana's own configuration, and by its rules without their `for`."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="signet-prometheus-"))
        self.port, self.began = free_port(), time.time()
        for group in RULES:
            for rule in group["rules"]:
                rule.pop("for", None)
        (self.dir / "signet.rules.yml").write_text(yaml.safe_dump({"groups": RULES}))
        self.configure([])
        self.log = open(self.dir / "log", "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={self.dir}/prometheus.yml", f"--storage.tsdb.path={self.dir}/data",
             f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-lifecycle"],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        until("Prometheus is ready", self.is_ready)

    def configure(self, targets):
        config = yaml.safe_load((GRAFANA / "prometheus.yml").read_text())
        config["global"] = {"evaluation_interval": "1s"}
        [job] = config["scrape_configs"]
        job["scrape_interval"] = job["scrape_timeout"] = "1s"
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in targets]}]
        (self.dir / "prometheus.yml").write_text(yaml.safe_dump(config))

    def watch(self, targets):
        self.configure(targets)
        self.ask("/-/reload", "POST")

    def is_ready(self):
        assert self.process.poll() is None, self.said()
        with contextlib.suppress(OSError):
            return self.ask("/-/ready")
        return False

    def said(self):
        return (self.dir / "log").read_text(errors="replace")

    def ask(self, path, method="GET"):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(client):
            client.request(method, path)
            reply = client.getresponse()
            body = reply.read()
        if not path.startswith("/api"):
            return reply.status == 200
        said = json.loads(body)
        assert said["status"] == "success", f"{urllib.parse.unquote(path)}: {said}"
        assert not said.get("warnings"), said
        return said["data"]

    def query(self, expr, in_range=False):
        """[(labels, value)]: the last value of each series."""
        args = {"query": expr}
        if in_range:
            args |= {"start": self.began, "end": time.time(), "step": max((time.time() - self.began) / 1000, 1)}
        got = self.ask(f"/api/v1/query{'_range' if in_range else ''}?" + urllib.parse.urlencode(args))["result"]
        return [(s["metric"], float(s["values"][-1][1] if in_range else s["value"][1])) for s in got]

    def value(self, expr):
        got = self.query(expr)
        return got[0][1] if len(got) == 1 else None

    def firing(self):
        return [alert["labels"] for alert in self.ask("/api/v1/alerts")["alerts"] if alert["state"] == "firing"]

    def label_values(self, metric, label):
        return self.ask(f"/api/v1/label/{label}/values?" + urllib.parse.urlencode({"match[]": metric}))

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Load(threading.Thread):
    """An app that signs so often, verifies each tenth token, and as often brings what is none and asks for what it may not have."""

    def __init__(self, daemon):
        super().__init__()
        self.asks, self.ended, self.seen, self.signed_at = daemon, threading.Event(), collections.Counter(), []

    def run(self):
        began = time.monotonic()
        with wire.Connection(self.asks.socket, PATIENCE) as c:
            for n in range(1 << 30):
                if self.ended.wait(max(began + n / RATE - time.monotonic(), 0)):
                    return
                token = self.ask(c, "sign", wire.SIGN, wire.field(1, "web") + wire.field(2, "s"))[1].decode()
                self.signed_at.append(time.monotonic())
                if n % 10 == 0:
                    self.ask(c, "verify", wire.VERIFY, wire.field(1, "web") + wire.field(2, token))
                    self.ask(c, "verify", wire.VERIFY, wire.field(1, "web") + wire.field(2, "x.y.z"))
                    self.ask(c, "sign", wire.SIGN, wire.field(1, "web") + wire.field(2, "s") + wire.field(4, 86400))

    def ask(self, c, op, number, body):
        c.send(wire.request(number, body))
        reply = c.reply()
        self.seen[op, dict(wire.fields(reply[wire.ERROR]))[2].decode() if wire.ERROR in reply else "OK"] += 1
        return dict(wire.fields(reply[number])) if number in reply else None

    def rate(self, window_s):
        """Tokens a second of the last so many."""
        now = time.monotonic()
        return sum(at > now - window_s for at in self.signed_at) / window_s

    def stop(self):
        self.ended.set()
        self.join(PATIENCE)


def forged(token):
    head, _, signature = token.rpartition(".")
    return f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


class Watched(TwoTokens):
    """At a port of its own."""

    def __init__(self, place, name, **kw):
        self.port = free_port()
        super().__init__(place, RINGS, PROFILES + f"http: {{listen: '127.0.0.1:{self.port}'}}\n", DAEMON, name=name, **kw)

    def instance(self):
        return f"127.0.0.1:{self.port}"

    def json(self, *args, **kw):
        return json.loads(self.cli(*args, "--json", **kw)[0])

    def keys(self, state):
        """Of ring web, on the token that signs."""
        return [k for k in self.json("key", "list") if (k["ring"], k["state"], k["token"]) == ("web", state, "main")]

    def wait_until_due(self):
        """Lets time pass to when the next key is to be made."""
        due = min(k["published_at"] for k in self.json("ring", "plan", "web")["keys"] if k["to_come"])
        pass_by(max(due - clock.now() + 1, 0))

    def metrics(self):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(client):
            client.request("GET", "/metrics")
            return client.getresponse().read()


def setUpModule():
    global place, control, clock, other_clock, a, b, prometheus
    promised = unittest.addModuleCleanup
    place = Place()
    promised(place.remove)
    run(["softhsm2-util", "--init-token", "--free", "--label", "spare", "--so-pin", SO_PIN, "--pin", PIN], env=place.env)
    place.own_module = place.module
    control = faults.wrap(place)
    promised(control.close)
    clock = Time(place)
    promised(clock.close)
    (place.dir / "other").mkdir()
    elsewhere = types.SimpleNamespace(dir=place.dir / "other", env={})
    other_clock = Time(elsewhere)                # b's own
    promised(other_clock.close)
    a, b = Watched(place, "a"), Watched(place, "b", env=elsewhere.env)
    prometheus = Prometheus()
    promised(prometheus.stop)
    for daemon in (a, b):
        promised(daemon.kill)
        daemon.start()
        until("main signs", lambda: [r["token"] for r in daemon.json("status")["rings"] if r["name"] == "web"] == ["main"])


def tearDownModule():
    for daemon in (a, b):
        daemon.stop()


def watched():
    """Both daemons are scraped."""
    prometheus.watch([a.port, b.port])
    until("both are scraped", lambda: prometheus.value("count(up == 1)") == 2)


def pass_by(seconds):
    clock.pass_by(seconds)
    other_clock.pass_by(seconds)


def metric_names(expr):
    """Those of signet's own that an expression reads."""
    return set(re.findall(r"\bsignet_\w+", re.sub(r'"[^"]*"', "", expr))) - {"signet_service_errors"}


def rule_exprs():
    return [rule["expr"] for group in RULES for rule in group["rules"]]


def panel_exprs():
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


class Files(unittest.TestCase):
    def test_panels_do_not_overlap_and_leave_no_hole(self):
        taken = {}
        for panel in DASHBOARD["panels"]:
            at = panel["gridPos"]
            self.assertTrue(0 <= at["x"] and at["x"] + at["w"] <= 24 and at["w"] > 0 and at["h"] > 0, panel["title"])
            for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
                self.assertIsNone(taken.setdefault(cell, None), f"{panel['title']} and another at {cell}")
                taken[cell] = panel["title"]
        height = max(y for _, y in taken) + 1
        self.assertEqual(len(taken), 24 * height)
        ids = [panel["id"] for panel in DASHBOARD["panels"]]
        self.assertEqual(len(set(ids)), len(ids))
        self.assertNotIn("id", DASHBOARD)                # its number is the server's that imports it
        self.assertRegex(DASHBOARD["uid"], r"^[a-z0-9-]{1,40}$")

    def test_each_panel_says_what_it_shows_and_what_to_do(self):
        titles = [panel["title"] for panel in PANELS]
        self.assertEqual(len(set(titles)), len(titles))
        for panel in PANELS:
            self.assertGreater(len(panel["description"]), 60, panel["title"])
            self.assertTrue(panel["fieldConfig"]["defaults"]["unit"], panel["title"])
            self.assertTrue(panel["targets"], panel["title"])
            for asked in (panel, *panel["targets"]):
                self.assertEqual(asked["datasource"], {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}, panel["title"])
            for target in panel["targets"]:
                if metric_names(target["expr"]):
                    self.assertIn('instance=~"$instance"', target["expr"], panel["title"])
        names = {v["name"] for v in DASHBOARD["templating"]["list"]}
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval", "__range", "__all"}
        self.assertEqual(used, names)

    def test_commands_that_they_name_are_there(self):
        text = (GRAFANA / "signet.rules.yml").read_text() + (GRAFANA / "signet.json").read_text()
        commands = set(re.findall(r"`signet ((?:ring |key |profile )?[a-z]+)", " ".join(text.split())))
        self.assertGreater(len(commands), 8)
        for command in commands:
            run([SIGNET, *command.split(), "--help"])

    def test_each_alert_says_whose_it_is_and_what_to_do(self):
        for name, rule in ALERTS.items():
            self.assertIn(rule["labels"]["severity"], ("critical", "warning"), name)
            self.assertEqual(set(rule["annotations"]), {"summary", "description"}, name)
            self.assertIn("`" if name != "SignetAbsent" else "signetd.conf", rule["annotations"]["description"], name)
            if name not in ("SignetAbsent", "SignetDaemonsDisagree"):
                self.assertIn("$labels.instance", rule["annotations"]["summary"], name)

    def test_promtool_finds_nothing_and_the_rules_tests_pass(self):
        for args in ("check rules signet.rules.yml", "check config prometheus.yml", "test rules signet.rules.test.yml"):
            run(["promtool", *args.split()], cwd=GRAFANA)
        text = (GRAFANA / "signet.rules.yml").read_text()
        self.assertEqual(len(re.findall(r"^ +for: ", text, re.M)), len(ALERTS))

    def test_every_alert_is_made_to_fire_here_but_for_what_no_fault_does(self):
        here = set(re.findall(r'fires\("(\w+)"', pathlib.Path(__file__).read_text()))
        self.assertEqual(set(ALERTS) - here, NOT_MADE)

    def test_every_alert_has_a_test_that_makes_it_fire_and_one_that_does_not(self):
        tests = yaml.safe_load((GRAFANA / "signet.rules.test.yml").read_text())["tests"]
        cases = [case for test in tests for case in test["alert_rule_test"]]
        self.assertEqual({case["alertname"] for case in cases if case.get("exp_alerts")}, set(ALERTS))
        self.assertEqual({case["alertname"] for case in tests[0]["alert_rule_test"]}, set(ALERTS))


class Health(unittest.TestCase):
    """Two daemons of one token, in use, whose ring turns meanwhile."""

    @classmethod
    def setUpClass(cls):
        watched()
        cls.turn()
        until("a signs after the leap", lambda: a.token("web", want=None))
        cls.before = cls.counted()
        cls.load = Load(a)
        cls.load.start()
        cls.addClassCleanup(lambda: cls.load.stop())
        until("rates are known", lambda: len(cls.load.signed_at) > RATE * WINDOW_S)

    @staticmethod
    def counted():
        return collections.Counter({(r["op"], r["result"]): r["n"] for r in a.json("status", "--admin")["results"]
                                    if r["profile"] == "web" and r["op"] in ("sign", "verify")})

    @classmethod
    def turn(cls):
        """A next key is made on each token, and signs."""
        [before] = a.keys("active")
        a.wait_until_due()
        until("the next keys are scraped", lambda: prometheus.value('count(signet_key_info{state="next"})') == 4)
        [after] = a.keys("next")
        seen = 'min(count_over_time(signet_key_info{state="next"}[1m]))'
        until("Prometheus has seen them for a moment", lambda: prometheus.value(seen) >= 3)
        pass_by(after["activates_at"] - clock.now() + 3)
        until("it signs", lambda: prometheus.query(f'signet_key_info{{state="retired",kid="{before["kid"]}"}}'))

    def settled(self):
        until("nothing is due", lambda: prometheus.value("min(signet_ring_due_seconds)") > 0)

    def variables(self, expr, instance=".*"):
        for name, value in {"$__rate_interval": f"{WINDOW_S}s", "$__range": "10m", "$job": ".*", "$instance": instance,
                            "$profile": ".*", "$ring": ".*"}.items():
            expr = expr.replace(name, value)
        self.assertNotIn("$", expr)
        return expr

    def test_every_query_has_an_answer(self):
        self.settled()
        for instance in (".*", re.escape(a.instance()).replace("\\", "\\\\")):
            for panel in PANELS:
                for target in panel["targets"]:
                    expr = self.variables(target["expr"], instance)
                    got = prometheus.query(expr, target["range"])
                    if "ALERTS" in expr:                 # Trouble has some
                        continue
                    self.assertTrue(got, f"{panel['title']}: {expr}")
                    self.assertTrue(any(value == value for _, value in got), f"{panel['title']}: NaN")
                    for name in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                        # An empty label is one that is not there.
                        self.assertTrue(name in got[0][0] or name in ("token", "profile"), f"{panel['title']}: {name}")

    def test_variables_and_annotations_have_values(self):
        want = {"job": {"signet"}, "instance": {a.instance(), b.instance()}, "profile": {"web"}, "ring": {"web", "solo"}}
        for variable in DASHBOARD["templating"]["list"]:
            if variable["type"] == "query":
                query = self.variables(variable["query"]["query"])
                metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
                self.assertLessEqual(want[variable["name"]], set(prometheus.label_values(metric, label)), variable["name"])
        for annotation in DASHBOARD["annotations"]["list"]:
            self.assertTrue(prometheus.query(self.variables(annotation["expr"]), in_range=True))

    def test_no_alert_fires(self):
        self.settled()
        until("a key that was due is none any more", lambda: not prometheus.firing())
        for _ in range(3):
            seen = prometheus.value("max(timestamp(signet_up))")
            until("another scrape and evaluation", lambda: prometheus.value("max(timestamp(signet_up))") > seen + 1)
            self.assertEqual(prometheus.firing(), [])

    def test_rates_are_those_of_the_load(self):
        of_a = f'instance="{a.instance()}"'
        for counter in (f'signet_requests_total{{{of_a},op="sign",profile="web",result="OK"}}',
                        f'signet_request_duration_seconds_count{{{of_a},op="sign",stage="total"}}',
                        f'signet_key_signatures_total{{{of_a},ring="web"}}'):
            self.is_about(f"sum(rate({counter}[{WINDOW_S}s]))", lambda: self.load.rate(WINDOW_S), 0.15)

    def is_about(self, expr, want, part):
        def is_it():
            got, should = prometheus.value(expr), want()
            return got is not None and abs(got - should) <= part * should
        until(f"{expr} is {want()}", is_it)

    def test_latencies_are_those_that_the_daemon_tells(self):
        """Half of all took as long as its own histogram says."""
        said = a.json("status", "--admin")
        [stage] = [s for s in said["stages"] if (s["op"], s["stage"]) == ("sign", "total")]
        half, so_far, below = sum(stage["counts"]) / 2, 0, 0
        for bound, n in zip(stage["bounds_us"], stage["counts"]):
            if so_far + n >= half:
                break
            so_far, below = so_far + n, bound
        got = prometheus.value('histogram_quantile(0.5, sum by (le) (signet_request_duration_seconds_bucket'
                               f'{{instance="{a.instance()}",op="sign",stage="total"}}))')
        self.assertGreaterEqual(got * 1e6, below * 0.5)
        self.assertLessEqual(got * 1e6, bound * 2)

    def test_seconds_to_the_next_event_are_those_of_the_plan(self):
        self.settled()
        of_a = f'instance="{a.instance()}",ring="web"'
        due = f'signet_ring_due_seconds{{{of_a},action="generate"}}'
        ends = f'signet_key_next_event_seconds{{{of_a},token="main",event="ends"}}'
        for metric, when in ((due, lambda k, now: k["to_come"] and k["published_at"]),
                             (ends, lambda k, now: k["ends_at"] > now and k["ends_at"])):
            def is_as_planned():
                plan = a.json("ring", "plan", "web")
                planned = min(filter(None, (when(k, plan["now"]) for k in plan["keys"])))
                got = prometheus.value(f"min({metric})")
                return got is not None and abs(got - (planned - plan["now"])) <= 3
            until(f"{metric} is what signet ring plan says", is_as_planned)

    def test_every_metric_that_is_asked_for_is_there_and_promtool_finds_nothing(self):
        text = a.metrics()
        self.assertEqual(run(["promtool", "check", "metrics"], stdin=text), b"")
        there = {sample.name for family in text_metrics(text.decode()) for sample in family.samples}
        asked = set().union(*(metric_names(expr) for expr in rule_exprs() + panel_exprs()))
        self.assertGreater(len(asked), 30)
        self.assertEqual(asked - there, set())

    def test_what_is_counted_is_what_was_asked(self):
        self.load.stop()
        asked = self.load.seen
        self.assertEqual(set(asked), {("sign", "OK"), ("sign", "TTL_TOO_LONG"), ("verify", "OK"), ("verify", "MALFORMED")})
        want = self.before + asked
        self.assertEqual(self.counted(), want)

        def is_scraped():
            got = prometheus.query(f'signet_requests_total{{instance="{a.instance()}",profile="web",op=~"sign|verify"}}')
            return {(m["op"], m["result"]): n for m, n in got} == want
        until("it is counted", is_scraped)
        type(self).before = want
        type(self).load = Load(a)                        # the others' rates
        self.load.start()


class Trouble(unittest.TestCase):
    """Each makes what the alert is for."""
    @classmethod
    def setUpClass(cls):
        watched()

    @staticmethod
    def which_fire(name, **labels):
        return [f for f in prometheus.firing() if f["alertname"] == name and labels.items() <= f.items()]

    def fires(self, name, act=lambda: None, patience=PATIENCE, **labels):
        """What an alert says when it does; `act` is done again and again until then."""
        def found():
            act()
            return self.which_fire(name, **labels)
        [alert, *_] = until(f"{name} fires", found, patience)
        self.assertEqual(alert["severity"], ALERTS[name]["labels"]["severity"])
        return alert

    def is_over(self, name, **labels):
        until(f"{name} is over", lambda: not self.which_fire(name, **labels))

    @staticmethod
    def ask(daemon, *requests):
        """The reasons, or None, of requests that are under way together."""
        with wire.Connection(daemon.socket, PATIENCE) as c:
            c.send(b"".join(requests))
            return [dict(wire.fields(reply[wire.ERROR]))[2].decode() if wire.ERROR in reply else None
                    for reply in (c.reply() for _ in requests)]

    def test_a_broker_that_hangs_and_one_that_ends_again_and_again(self):
        broker = a.roles()["broker"][0]
        os.kill(broker, signal.SIGSTOP)
        try:
            self.fires("SignetBrokerSilent", instance=a.instance())
        finally:
            os.kill(broker, signal.SIGCONT)
        self.is_over("SignetBrokerSilent")

        start_time = f'signet_start_time_seconds{{instance="{b.instance()}"}}'

        def end_it():
            began = prometheus.value(start_time)
            for pid in b.roles().get("broker", []):
                with control.nobody_logs_in():
                    os.kill(pid, signal.SIGKILL)
            until("another is scraped", lambda: prometheus.value(start_time) not in (began, None))
        self.fires("SignetRestarting", end_it, instance=b.instance())
        until("b signs", lambda: b.token("web", want=None))

    def test_a_token_that_is_gone(self):
        for function in GONE:
            control.set(function, "return", value=DEVICE_REMOVED)
        try:
            self.fires("SignetTokenDown", instance=a.instance(), token="main")

            def ask():
                self.assertTrue(self.ask(a, wire.sign("solo"))[0])
            self.fires("SignetErrorsFast", ask, instance=a.instance())
            self.fires("SignetErrorsSlow", ask, instance=a.instance())
        finally:
            for function in GONE:
                control.set(function, "none")
        self.is_over("SignetTokenDown")

    def test_signers_that_die_again_and_again(self):
        def end_one():
            number = {s["number"]: s for s in a.json("status", "--admin", want=None)["signers"]}
            if number[1]["state"] == "ready":
                with control.nobody_logs_in(), contextlib.suppress(ProcessLookupError):
                    os.kill(number[1]["pid"], signal.SIGKILL)
                until("it is replaced and scraped", lambda: prometheus.value(
                    f'signet_signer_restarts_total{{instance="{a.instance()}",signer="1"}}') > number[1]["restarts"])
        self.fires("SignetSignersReplaced", end_one, instance=a.instance(), signer="1")
        until("a signs", lambda: a.token("web", want=None))

    def test_a_token_that_signs_wrongly(self):
        control.set("C_Sign", "flip")
        try:
            def ask():
                self.ask(a, *[wire.sign("solo", request_id=i) for i in range(1, 5)])
            self.fires("SignetWrongSignatures", ask, instance=a.instance())
            self.fires("SignetKeyUnusable", ask, ring="solo")
        finally:
            control.set("C_Sign", "none")
        until("solo signs", lambda: a.token("solo", want=None))

    def test_callers_who_ask_too_much(self):
        control.set("C_Sign", "delay", value=200)
        connections = [wire.Connection(a.socket, PATIENCE) for _ in range(2)]
        flood = Flood(connections, 30, 100, "solo")                  # web would sign on the other token
        flood.start()
        try:
            self.fires("SignetQueueFull", instance=a.instance(), op="sign", profile="solo")
            self.fires("SignetFilling", instance=a.instance(), what="queue of one uid (max_queue)")
            self.fires("SignetSlow", instance=a.instance(), op="sign")
        finally:
            flood.stop.set()
            flood.join(PATIENCE)
            control.set("C_Sign", "none")
            for c in connections:
                c.socket.close()
        self.assertGreater(flood.seen["QUEUE_FULL"], 0)
        self.is_over("SignetFilling")

    def test_an_app_that_opens_too_many_connections(self):
        def open_many():
            with contextlib.ExitStack() as all_at_once, contextlib.suppress(OSError):
                for _ in range(CONNECTIONS + 5):
                    c = all_at_once.enter_context(wire.Connection(a.socket, PATIENCE))
                    c.send(wire.request(wire.GET_STATUS))
                    c.reply()
        self.fires("SignetConnectionsRefused", open_many, instance=a.instance())
        open_now = f'signet_connections{{instance="{a.instance()}"}}'
        until("they are closed", lambda: prometheus.value(open_now) < CONNECTIONS / 2)

    def test_an_app_that_is_refused_and_one_that_forges(self):
        too_long = wire.field(1, "picky") + wire.field(2, "s") + wire.field(4, 86400)
        refused = [wire.request(wire.SIGN, too_long, request_id=i) for i in range(1, 9)]
        self.fires("SignetMostRefused", lambda: self.ask(a, *refused), instance=a.instance(), profile="picky")
        bad = wire.field(1, "web") + wire.field(2, forged(a.token("web", "--subject", "s")))
        tried = [wire.request(wire.VERIFY, bad, request_id=i) for i in range(1, 9)]

        def forge():
            self.assertEqual(set(self.ask(a, *tried)), {"BAD_SIGNATURE"})
        self.fires("SignetForgedTokens", forge, instance=a.instance(), profile="web")

    def test_a_key_that_cannot_be_made(self):
        control.set("C_GenerateKeyPair", "return", value=5)          # CKR_GENERAL_ERROR
        try:
            a.wait_until_due()
            late = self.fires("SignetRotationLate", instance=a.instance(), ring="web")
            self.assertEqual(late["action"], "generate")
            self.fires("SignetRotationFailing", instance=a.instance(), ring="web")
        finally:
            control.set("C_GenerateKeyPair", "none")

        def mended():
            pass_by(1)                                               # it is tried again after a while
            return not self.which_fire("SignetRotationLate") and not self.which_fire("SignetRotationFailing")
        until("it is made", mended)

    def other_daemon(self, rings, profiles, pin=PIN):
        """A daemon on another machine, as it were, with keys that were made elsewhere; scraped too."""
        there = Place()
        self.addCleanup(there.remove)
        for n, label in enumerate(("allowed", "exportable")):
            run(["pkcs11-tool", "--module", there.module, "--token-label", "signet", "--login", "--pin", PIN, "--keypairgen",
                 "--key-type", "EC:prime256v1", "--id", f"{n:04x}", "--label", label, "--private", "--extractable"], env=there.env)
        there.write_pin(pin)
        port = free_port()
        daemon = Daemon(there, rings, profiles + f"http: {{listen: '127.0.0.1:{port}'}}\n")
        self.addCleanup(prometheus.watch, [a.port, b.port])
        self.addCleanup(daemon.kill)
        daemon.start()
        prometheus.watch([a.port, b.port, port])
        return daemon, f"127.0.0.1:{port}"

    def test_keys_that_may_have_left_their_token(self):
        allowed = outside("allowed", ("pkcs11:object=allowed", LONG_AGO), settings=["allow_exportable: yes"])
        refused = outside("exportable", ("pkcs11:object=exportable", LONG_AGO))
        profiles = profile("allowed", "allowed", "x") + profile("exportable", "exportable", "y")
        daemon, instance = self.other_daemon(allowed + refused, profiles)
        for name in ("allowed", "exportable"):
            alert = self.fires("SignetCustodyWrong", instance=instance, ring=name, custody="exportable", state="active")
            self.assertIn("exportable", daemon.cli("key", "show", "--", alert["kid"])[0].decode())
        self.fires("SignetNoActiveKey", instance=instance, ring="exportable")
        self.fires("SignetKeyUnusable", instance=instance, ring="exportable")
        daemon.stop()

    def test_a_daemon_that_cannot_log_in_and_one_that_is_gone(self):
        daemon, instance = self.other_daemon(ring("web", "ES256", "create: yes"), profile("web", "web", "x"), pin="wrong")
        self.fires("SignetNotReady", instance=instance)
        self.fires("SignetTokenDown", instance=instance)
        self.fires("SignetSignersMissing", instance=instance, state="failed")
        self.assertEqual(self.which_fire("SignetNoActiveKey", instance=instance), [])
        daemon.stop()
        self.fires("SignetNotScraped", instance=instance)

    def test_nothing_is_scraped(self):
        prometheus.watch([])
        self.fires("SignetAbsent", job="signet")
        [expr] = [e for e in panel_exprs() if "ALERTS" in e]
        listed = prometheus.query(expr.replace("$instance", ".*"))
        self.assertIn("SignetAbsent", {labels["alertname"] for labels, _ in listed})
        watched()
        self.is_over("SignetAbsent")

    def test_the_clock_of_one_is_ahead(self):
        if not a.keys("next"):
            a.wait_until_due()
        turn = until("there is a next key", lambda: a.keys("next"))[0]["activates_at"]
        until("b knows it", lambda: b.keys("next"))
        self.is_over("SignetDaemonsDisagree")                        # of another test's leap, which each makes at its moment
        other_clock.pass_by(turn - clock.now() + 5)
        self.fires("SignetDaemonsDisagree", ring="web")
        clock.pass_by(other_clock.passed() - clock.passed())
        self.is_over("SignetDaemonsDisagree")


if __name__ == "__main__":
    main()
