"""The man pages name what there is, and nothing else; they and the completion are well-formed."""
import pathlib
import re
import subprocess
import unittest

from rig import BUILD, HMAC, PUBLIC, SIGNET, main, run

TOP = pathlib.Path(__file__).resolve().parents[2]
MAN = TOP / "contrib/man"
COMMANDS = ["sign", "verify", "inspect", "jwks", "profile", "ring", "key", "status", "reload", "dev"]
GROUPS = ["profile", "ring", "key"]


class Docs(unittest.TestCase):
    def test_pages_are_well_formed(self):
        for page in sorted(MAN.iterdir()):
            done = subprocess.run(["groff", "-ww", "-Tutf8", "-mdoc", str(page)], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""), page.name)

    def test_every_setting_is_in_signetd_conf(self):
        text = (MAN / "signetd.conf.5").read_text()
        tables = re.findall(r'^    \{ "([a-z_]+)", \.?(?:read = )?(?:setting|read)_', (TOP / "daemon/config/config.c").read_text(), re.M)
        self.assertGreater(len(tables), 50)
        for name in tables:
            self.assertRegex(text, rf"\b{name}\b")

    def test_every_option_is_in_signet_1_and_no_other(self):
        text = (MAN / "signet.1").read_text().replace("\\-", "-")
        there = set(re.findall(r"Fl -([a-z-]+)", text))
        have = {"help", "version"}
        for command in COMMANDS:
            help_of = [run([SIGNET, command, "--help"]).decode()]
            if command in GROUPS:
                verbs = re.findall(r"^  ([a-z]+) ", help_of[0], re.M)
                self.assertGreater(len(verbs), 1)
                help_of = [run([SIGNET, command, verb, "--help"]).decode() for verb in verbs]
            for said in help_of:
                have |= set(re.findall(r"--([a-z-]+)", said))
            self.assertIn(f".Ss signet {command}", text)
        self.assertEqual(there - have, set())
        self.assertEqual(have - there - {"usage"}, set())

    def test_signet_protocol_has_every_field_of_the_schema_s_open_operations(self):
        text = (MAN / "signet-protocol.7").read_text()
        schema = (TOP / "proto/signet.proto").read_text()
        ops = re.findall(r"^    (\w+)Request (\w+) = \d+;", schema.split("// On admin.sock only:")[0], re.M)
        self.assertEqual(len(ops), 7)
        for name, op in ops:
            there = set(re.findall(r"\w+", re.search(rf"^\.Ss {op}\n(.*?)^\.S[sh] ", text, re.M | re.S)[1]))
            for message in (f"{name}Request", f"{name}Reply"):
                body = re.search(rf"^message {message} {{([^\n]*}}|.*?^}})", schema, re.M | re.S)[1]
                fields = set(re.findall(r"(\w+) = \d+;", body.split("// On admin.sock only:")[0]))
                self.assertEqual(fields - there, set(), message)

    def test_signet_protocol_has_every_message_with_its_numbers(self):
        schema = re.sub(r"//[^\n]*", "", (TOP / "proto/signet.proto").read_text())
        want = []
        for name, body in re.findall(r"message (\w+) \{((?:[^{}]|\{[^{}]*\})*)\}", schema):
            want += [name] + [f"{number} {field} {kind}" for kind, field, number in
                              re.findall(r"((?:repeated )?\w+) (\w+) = (\d+);", body)]
        text = (MAN / "signet-protocol.7").read_text()
        got = re.search(r"^\.Sh MESSAGES\n.*?^\.Bd -literal\n(.*?)^\.Ed", text, re.M | re.S)[1]
        self.assertEqual([" ".join(line.split()) for line in got.splitlines()], want)

    def test_signet_protocol_has_the_limits_and_reasons_of_the_code(self):
        text = (MAN / "signet-protocol.7").read_text()
        settings = set(re.findall(r"^\.Pq Sy (\w+)", text, re.M))
        self.assertEqual(len(settings), 7)
        for name in settings:
            default = re.search(rf'"{name}",.*\.unset = "(\d+)', (TOP / "daemon/config/config.c").read_text())[1]
            self.assertRegex(text, rf"\b{default} [^\n]*\n\.Pq Sy {name}\b")
        header = (TOP / "proto/err.h").read_text()
        reasons = re.findall(r"^    X\((\w+), ", header, re.M)
        codes = re.findall(r"^    CODE_(\w+) = (\d+),", header, re.M)
        named = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", text)) - {"SO_PEERCRED", "SIGNET_SOCKET", "SIGNET_ADMIN_SOCKET"}
        self.assertEqual(named - set(reasons) - {name for name, _ in codes}, set())
        for number, name in re.findall(r"^\.It (\d+) ([A-Z_]+)$", text, re.M):
            self.assertIn((name, number), codes)
        verdicts = re.search(r"is a verdict.*?:\n(.*?)\.\n", text, re.S)[1].split()
        first, last = reasons.index("TOO_LARGE"), reasons.index("WRONG_TYPE")
        self.assertEqual([v.strip(",") for v in verdicts], reasons[first:last + 1])

    def test_libsignet_3_has_every_function_and_reason(self):
        text = (MAN / "libsignet.3").read_text()
        exported = set(re.findall(r"signet_\w+", (TOP / "client/libsignet.map").read_text()))
        self.assertEqual(set(re.findall(r"^\.Fn (signet_\w+)", text, re.M)), exported)
        reasons = set(re.findall(r"^    X\((\w+), ", (TOP / "proto/err.h").read_text(), re.M))
        codes = set(re.findall(r"^    (SIGNET_\w+) = ", (TOP / "client/signet.h").read_text(), re.M))
        named = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", text)) - {"SIGNET_SOCKET", "SIGNET_ADMIN_SOCKET", "EV_READ", "EV_PERSIST"}
        self.assertEqual(named - reasons - codes, set())
        self.assertEqual(codes - named, set())

    def test_completion_offers_what_the_program_has(self):
        script = f"""PATH={(BUILD / 'client/cli').resolve()}:$PATH; . {TOP}/contrib/completion/signet
            COMP_WORDS=(signet ''); COMP_CWORD=1; _signet; echo "${{COMPREPLY[*]}}"
            COMP_WORDS=(signet verify --ju); COMP_WORDS[2]=--j; COMP_CWORD=2; _signet; echo "${{COMPREPLY[*]}}"
            COMP_WORDS=(signet verify --alg ''); COMP_CWORD=3; _signet; echo "${{COMPREPLY[*]}}" """
        first, second, algs = run(["bash", "-c", script]).decode().splitlines()
        self.assertEqual(first.split(), COMMANDS)
        self.assertEqual(sorted(second.split()), ["--json", "--jwks"])
        self.assertEqual(algs.split(), HMAC + PUBLIC)


if __name__ == "__main__":
    main()
