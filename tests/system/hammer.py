"""hammer: hammer.c from Python: an app server that never stops asking."""
import json
import subprocess

from rig import BUILD, PATIENCE, as_user, until


class Hammer:
    def __init__(self, daemon, in_flight, timeout_ms=0, tokens=None, uid=None):
        """`tokens`: a file that gets them all."""
        self.process = subprocess.Popen([*(as_user(uid) if uid is not None else []),
                                         BUILD / "tests/system/hammer", daemon.socket, "web", str(in_flight), str(timeout_ms),
                                         *([tokens] if tokens else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def counts(self):
        self.process.stdin.write(b"?\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def more_tokens(self, n, patience=PATIENCE):
        enough = self.counts()["tokens"] + n
        until("tokens are made", lambda: self.counts()["tokens"] >= enough, patience)

    def finish(self):
        self.process.stdin.close()
        last = json.loads(self.process.stdout.readline())
        assert self.process.wait(60) == 0
        self.process.stdout.close()
        return last
