"""tally LOG...: meson's test logs added up to one last line, "N passed, N failed".

A test program that counts its own cases says so in its last line, in the same words; any other counts as one.
Whatever it said, a program that did not end well has at least one failure: a crash after its last line, a
timeout, a skip. A log that is not there is a run that did not happen.
"""
import json
import re
import sys

LAST_LINE = re.compile(r"^(\d+) passed, (\d+) failed$", re.M)


def cases(result):
    said = LAST_LINE.findall(result.get("stdout") or "")
    passed, failed = (int(n) for n in said[-1]) if said else (0, 0)
    if result["result"] == "OK":
        return max(passed, 1 if not failed else 0), failed
    return passed, max(failed, 1)


def main(logs):
    passed = failed = 0
    for log in logs:
        try:
            with open(log, encoding="utf-8") as lines:
                results = [json.loads(line) for line in lines]
        except OSError as e:
            print(f"tally: {e}: no test ran", file=sys.stderr)
            results = [{"name": log, "result": "NOT RUN"}]
        for result in results:
            p, f = cases(result)
            passed, failed = passed + p, failed + f
            if f:
                print(f"FAILED {result['name']} ({result['result']})")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
