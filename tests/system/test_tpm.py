"""The same suites on a simulated TPM, for the algorithms that it has; and what only a TPM does."""
import json
import os
import signal

import test_checklist
import test_hostile
import test_interop
import test_limits
import test_process
import test_sign
import test_start
from rig import Case, EXAMPLE_PROFILE, EXAMPLE_RING, PRINTED_SECRET, TpmPlace, main, until

ALGS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384"]


def on_tpm(case, **more):
    """tpm2-pkcs11's libraries leak at their end and have threads of their own. A TPM has one signer."""
    return type(case.__name__ + "OnTpm", (case,), {"make_place": TpmPlace, "module_leaks": True, **more})


Session = on_tpm(test_sign.Session)
Interop = on_tpm(test_interop.Interop, algs=ALGS)
Checklist = on_tpm(test_checklist.Checklist, algs=ALGS)
Limits = on_tpm(test_limits.Limits, token_settings="")
Life = on_tpm(test_limits.Life)
Hostile = on_tpm(test_hostile.Hostile)
Running = on_tpm(test_process.Running, token_settings="", n_signers=1, module_threads=True)
Lifetime = on_tpm(test_process.Lifetime, many_signers="")
Start = on_tpm(test_start.Start)


class Tpm(Case):
    make_place = TpmPlace
    module_leaks = True
    algs = ALGS
    rings, profiles = EXAMPLE_RING, EXAMPLE_PROFILE

    def test_all_that_it_has_is_tested_here(self):
        status = json.loads(self.daemon.cli("status", "--json")[0])
        self.assertEqual(sorted(m["alg"] for m in status["token"]["mechanisms"] if m["proved"]), sorted(ALGS))

    def test_a_tpm_has_one_signer_and_custody_rests_on_it(self):
        self.assertEqual(len(self.daemon.roles()["signer"]), 1)
        status = json.loads(self.daemon.cli("status", "--json")[0])
        self.assertIn("rests on the TPM", status["token"]["custody"])
        self.assertFalse(status["token"]["software"])

    def test_a_hundred_tokens_in_a_row(self):
        tokens = {self.daemon.token("es256", "--subject", "s") for _ in range(100)}
        self.assertEqual(len(tokens), 100)

    def test_a_signer_killed_is_replaced(self):
        [pid] = self.daemon.roles()["signer"]
        os.kill(pid, signal.SIGKILL)
        until("the signer is replaced", lambda: self.daemon.roles().get("signer", [pid]) not in ([], [pid]))
        until("it signs again", lambda: not self.daemon.cli("sign", "--profile", "es256", "--subject", "s", want=None)[1])

    def test_hmac_import_says_which_tool_can(self):
        _, err = self.daemon.cli("key", "import", "printed", stdin=PRINTED_SECRET, want=1)
        self.assertIn("tpm2-pkcs11 takes HMAC keys only from its own tool: tpm2_ptool", err)


if __name__ == "__main__":
    main()
