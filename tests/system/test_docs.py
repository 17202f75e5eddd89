"""The man pages name what there is, and nothing else; they and the completion are well-formed."""
import pathlib
import re
import subprocess
import unittest

from rig import BUILD, SIGNET, main, run

TOP = pathlib.Path(__file__).resolve().parents[2]
MAN = TOP / "contrib/man"
COMMANDS = ["sign", "verify", "inspect", "jwks", "key", "status", "reload", "dev"]


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
        have = {"help"}
        for command in COMMANDS:
            words = ["key", "list"] if command == "key" else [command]
            have |= set(re.findall(r"--([a-z-]+)", run([SIGNET, *words, "--help"]).decode()))
            self.assertIn(f".Ss signet {command}", text)
        self.assertEqual(there - have, set())
        self.assertEqual(have - there - {"usage", "version"}, set())

    def test_completion_offers_what_the_program_has(self):
        script = f"""PATH={(BUILD / 'client/cli').resolve()}:$PATH; . {TOP}/contrib/completion/signet
            COMP_WORDS=(signet ''); COMP_CWORD=1; _signet; echo "${{COMPREPLY[*]}}"
            COMP_WORDS=(signet verify --ju); COMP_WORDS[2]=--j; COMP_CWORD=2; _signet; echo "${{COMPREPLY[*]}}" """
        first, second = run(["bash", "-c", script]).decode().splitlines()
        self.assertEqual(first.split(), COMMANDS)
        self.assertEqual(sorted(second.split()), ["--json", "--jwks"])


if __name__ == "__main__":
    main()
