"""planted [--places | [--seconds N] [HARNESS...]]: that the fuzzers find what is wrong. In a copy of the tree a bug is planted
for each harness, in the code that it is for, which no file of its corpus shows; within ten minutes it must be found, and in
as many from the same number on nothing may be where none is planted: a harness that is wrong itself finds any bug. The bugs
stand here alone: nothing that is built from the tree itself has them. Where a place is not there any more, plant anew.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time

TREE = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 600                    # of a machine that is busy with other things
COPY = TREE / "build/planted"

# harness: (file, what stands there once, what is put in its place)
PLANTED = {
    # A caller that is thrown out leaves its requests behind.
    "connection": ("daemon/broker/connection.c", "            requests_leave(c);\n", ""),
    # Everyone is an administrator.
    "request": ("daemon/broker/request.c", "if (op->admin && !rq->conn->admin)", "if (op->admin && rq->answered)"),
    # What says nothing is not answered.
    "signer": ("daemon/signer/desk.c", "    bool ok = has_token(d, &e) && token_write_fact(",
               "    if (!*in->write_fact->label)\n        return;\n    bool ok = has_token(d, &e) && token_write_fact("),
    "verifier": ("daemon/verifier/judge.c", "    verified.id = v->id;\n", "    if (!v->token.len)\n        return true;\n"
                 "    verified.id = v->id;\n"),
    # A failure without a reason is none.
    "signer_says": ("daemon/channel/channel.c", "why->reason > ERR_NONE && why->reason", "why->reason"),
    "verifier_says": ("daemon/channel/channel.c", "why->reason > ERR_NONE && why->reason", "why->reason"),
    # A configuration that was never offered is in force.
    "supervisor_says": ("daemon/broker/broker.c", "if (!b->pending || b->pending->generation",
                        "if (b->pending && b->pending->generation"),
    # A descriptor that is for nobody stays open.
    "roles": ("daemon/publisher/publisher.c", "    *fd = taken;\n    return false;", "    return false;"),
    # Anyone may have another killed.
    "watch": ("daemon/supervisor/watch.c",
              "struct child *hung = c == &w->broker ? named(w, m->hung->peer, m->hung->signer) : NULL;",
              "struct child *hung = named(w, m->hung->peer, m->hung->signer);"),
}


def places():
    """Whether what is to be replaced stands there still, and once."""
    failed = 0
    for harness, (name, there, _) in PLANTED.items():
        n = (TREE / name).read_text().count(there)
        failed += n != 1
        if n != 1:
            print(f"{harness}: {name} has this {n} times, and not once, plant anew: {there.strip()}")
    print(f"{len(PLANTED) - failed} passed, {failed} failed")
    return failed


def copy_tree():
    """As it is here; what has not changed keeps its time, so that it is not compiled again."""
    names = [p.relative_to(TREE) for top in TREE.iterdir() if not top.name.startswith((".", "build"))
             for p in (top.rglob("*") if top.is_dir() else [top])]
    for name in names:
        source, target = TREE / name, COPY / "tree" / name
        if source.is_file() and not (target.exists() and target.read_bytes() == source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def build(harness):
    if not (COPY / "build/build.ninja").exists():
        subprocess.run(["meson", "setup", COPY / "build", COPY / "tree", "-Dfuzz=true", "-Db_lundef=false",
                        "-Db_sanitize=address,undefined"], check=True, env={**os.environ, "CC": "clang"},
                       stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", COPY / "build", f"tests/fuzz/fuzz_{harness}"], check=True, stdout=subprocess.DEVNULL)
    return COPY / f"build/tests/fuzz/fuzz_{harness}"


def run(program, *args):
    env = {**os.environ, "UBSAN_OPTIONS": "halt_on_error=1"}
    return subprocess.run([program, *args], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def finds(harness, program, seconds):
    """After how many seconds; None: nothing."""
    found = COPY / f"found-{harness}"
    shutil.rmtree(found, ignore_errors=True)
    found.mkdir()
    began = time.monotonic()
    status = run(program, "-seed=1", f"-max_total_time={seconds}", "-timeout=20", "-max_len=4096",
                 f"-artifact_prefix={found}/", found, TREE / "tests/fuzz/corpus" / harness)
    return time.monotonic() - began if status else None


def build_planted(harness):
    name, there, planted = PLANTED[harness]
    path = COPY / "tree" / name
    whole = path.read_text()
    path.write_text(whole.replace(there, planted))
    try:
        return build(harness)
    finally:
        path.write_text(whole)


def judge(harness, seconds):
    """What is wrong with it, or how quick it is; a corpus that shows the bug proves nothing."""
    sound = finds(harness, build(harness), seconds)
    if sound is not None:
        return False, f"found something after {sound:.0f} s though NOTHING IS PLANTED"
    program = build_planted(harness)
    if run(program, *sorted((TREE / "tests/fuzz/corpus" / harness).iterdir())) != 0:
        return False, f"A FILE OF corpus/{harness} SHOWS IT already"
    after = finds(harness, program, seconds)
    return after is not None, f"found in {after:.0f} s" if after is not None else "NOT FOUND"


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=int, default=SECONDS)
    options.add_argument("--places", action="store_true", help="only whether there is a place for each")
    options.add_argument("harness", nargs="*")
    o = options.parse_args()
    failed = places()
    if failed or o.places:
        return failed
    copy_tree()
    harnesses = o.harness or list(PLANTED)
    for harness in harnesses:
        ok, words = judge(harness, o.seconds)
        failed += not ok
        print(f"{harness}: {words}", flush=True)
    print(f"{len(harnesses) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
