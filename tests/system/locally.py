"""locally: locally.c from Python: libsignet's own verifier in a process of its own."""
import subprocess

from rig import BUILD, PATIENCE


class Local:
    def __init__(self, daemon):
        self.process = subprocess.Popen([BUILD / "tests/system/locally", daemon.socket], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def verify(self, token, profile="-", audience="-"):
        self.process.stdin.write(f"{profile} {audience} {token}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def finish(self):
        self.process.stdin.close()
        assert self.process.wait(PATIENCE) == 0
        self.process.stdout.close()
