"""What each fault costs callers who never stop asking: nothing is lost, nothing is signed wrongly, and the daemon comes back
by itself. The end is a table: how many requests were in flight, lost, wrongly signed, told to ask again; for how long
nobody got a token, and what the slowest waited."""
import os
import signal
import unittest

import jwt

import faults
from hammer import Hammer
from rig import Daemon, Place, main, profile, ring, until

GENERAL_ERROR, DEVICE_ERROR, DEVICE_REMOVED = 0x5, 0x30, 0x32
IN_FLIGHT = 64
BEFORE, AFTER = 100, 300             # tokens
HEADS = ["fault", "in flight", "lost", "wrongly signed", "told to ask again", "longest interruption", "slowest request"]
rows = {}


def once(function, kind, **fault):
    """One call does wrong, whichever signer makes it."""
    def inject(case):
        case.control.set(function, kind, left=1, **fault)
        until("it is done", lambda: case.control[function]["done"])
    return inject


def kill(role):
    def inject(case):
        pids = case.daemon.roles()[role]
        with case.control.nobody_logs_in():
            os.kill(pids[0], signal.SIGKILL)
        until("it is replaced", lambda: len(now := case.daemon.roles().get(role, [])) == len(pids) and pids[0] not in now)
    return inject


def hang_at_login(case):
    case.control.set("C_Login", "hang", left=1)
    once("C_Sign", "drop")(case)
    until("it hangs", lambda: case.control["C_Login"]["done"])


def pull_out(case):
    case.control.take_away()
    until("it is missed", lambda: "no signer works since" in case.daemon.cli("sign", "--profile", "web", want=None)[1])
    case.control.put_back()


def use_up(case):
    case.control.set("C_Sign", "used_up", value=50)
    until("both are replaced", lambda: not case.signers & set(case.daemon.roles().get("signer", case.signers)))
    case.control.set("C_Sign", "none")


def leak(case):
    case.control.set("C_Sign", "leak", value=4 << 20)
    until("one is replaced", lambda: case.signers - set(case.daemon.roles().get("signer", [])))
    case.control.set("C_Sign", "none")


# (what, how, whether callers may be told to ask again)
FAULTS = {
    "hang": ("a signature hangs for ever", once("C_Sign", "hang"), False),
    "list": ("a listing hangs for ever", once("C_FindObjects", "hang"), False),
    "segv": ("the module crashes", once("C_Sign", "segv"), False),
    "abort": ("the module aborts", once("C_Sign", "abort"), False),
    "kill": ("a signer is killed", kill("signer"), False),
    "verifier": ("a verifier is killed", kill("verifier"), False),
    "broker": ("the broker is killed", kill("broker"), True),
    "slow": ("a signature takes 300 ms", once("C_Sign", "delay", value=300), False),
    "general": ("CKR_GENERAL_ERROR once", once("C_Sign", "return", value=GENERAL_ERROR), False),
    "device": ("CKR_DEVICE_ERROR once", once("C_Sign", "return", value=DEVICE_ERROR), False),
    "removed": ("CKR_DEVICE_REMOVED at C_SignInit", once("C_SignInit", "return", value=DEVICE_REMOVED), False),
    "drop": ("all sessions are dropped", once("C_Sign", "drop"), False),
    "login": ("the login after that hangs for ever", hang_at_login, False),
    "flip": ("a wrong signature", once("C_Sign", "flip"), False),
    "cut": ("a truncated signature", once("C_Sign", "cut"), False),
    "der": ("a signature in ASN.1", once("C_Sign", "der"), False),
    "turn": ("handles mean other keys", once("C_SignInit", "turn"), False),
    "used_up": ("both signers' modules are used up", use_up, False),
    "leak": ("the module leaks 4 MiB a signature", leak, False),
    "pulled": ("the token is pulled out, and put back", pull_out, True),
}


class Recover(unittest.TestCase):
    def recovers(self, fault):
        what, inject, may_tell = FAULTS[fault]
        place = Place()
        self.addCleanup(place.remove)
        self.control = faults.wrap(place)
        self.addCleanup(self.control.close)
        self.daemon = Daemon(place, ring("web", "ES256", "create: yes", "verify_every: 1", "refresh: 1s") +
                             ring("two", "ES256", "create: yes"),
                             profile("web", "web", "shop") + profile("two", "two", "two.example"),
                             token="  signers: 2\n  max_memory: 512MiB\n")
        self.addCleanup(self.daemon.kill)
        self.daemon.start({"ASAN_OPTIONS": "handle_segv=0:handle_abort=0"})
        self.signers = set(self.daemon.roles()["signer"])
        tokens = place.dir / "tokens.txt"
        hammer = Hammer(self.daemon, IN_FLIGHT, tokens=tokens)
        hammer.more_tokens(BEFORE)
        inject(self)
        hammer.more_tokens(AFTER)
        got = hammer.finish()
        told = got["unavailable"] + got["late"]
        lost = got["asked"] - got["tokens"] - told - got["other"]
        wrong = got["wrong"] + self.n_wrong(tokens.read_text().split())
        rows[fault] = [what, IN_FLIGHT, lost, wrong, told, f"{got['longest_ms']} ms", f"{got['slowest_ms']} ms"]
        self.assertEqual((lost, wrong, got["twice"], got["other"]), (0, 0, 0, 0), got)
        self.assertTrue(told == 0 or may_tell, got)
        until("all signers are back", lambda: len(self.daemon.roles().get("signer", [])) == 2)
        self.daemon.stop()

    def n_wrong(self, tokens):
        """As PyJWT finds them, with the key set that the daemon publishes."""
        keys = {k["kid"]: jwt.PyJWK(k).key for k in self.daemon.jwks()["keys"]}
        wrong = 0
        for token in tokens:
            try:
                jwt.decode(token, keys[jwt.get_unverified_header(token)["kid"]], algorithms=["ES256"], audience="shop")
            except (jwt.InvalidTokenError, KeyError):
                wrong += 1
        return wrong

    @classmethod
    def tearDownClass(cls):
        lines = [HEADS, ["---"] * len(HEADS), *(rows[fault] for fault in FAULTS if fault in rows)]
        print("\n" + "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines), flush=True)


def add(fault):
    setattr(Recover, "test_" + fault, lambda self: self.recovers(fault))


for each in FAULTS:
    add(each)

if __name__ == "__main__":
    main()
