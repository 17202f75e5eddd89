"""planted [HARNESS...]: that the fuzzers find what is wrong. In a copy of the tree a bug is planted for each harness, in the
code that it is for, which no file of its corpus shows; within ten minutes it must be found. The bugs stand here alone:
nothing that is built from the tree itself has them. Where a place is not there any more, plant anew.
"""
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
}


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


def finds(harness):
    """Seconds until it was found; None: it was not. A corpus that shows it proves nothing."""
    name, there, planted = PLANTED[harness]
    path, corpus, found = COPY / "tree" / name, TREE / "tests/fuzz/corpus" / harness, COPY / f"found-{harness}"
    whole = path.read_text()
    assert whole.count(there) == 1, f"{name} does not have this once: {there}"
    path.write_text(whole.replace(there, planted))
    try:
        program = build(harness)
    finally:
        path.write_text(whole)
    shutil.rmtree(found, ignore_errors=True)
    found.mkdir()
    assert run(program, *sorted(corpus.iterdir())) == 0, f"a file of corpus/{harness} shows it already"
    began = time.monotonic()
    status = run(program, f"-max_total_time={SECONDS}", "-timeout=20", "-max_len=4096", f"-artifact_prefix={found}/", found, corpus)
    return time.monotonic() - began if status else None


def main():
    failed = 0
    copy_tree()
    harnesses = sys.argv[1:] or list(PLANTED)
    for harness in harnesses:
        seconds = finds(harness)
        failed += seconds is None
        print(f"{harness}: {f'found in {seconds:.0f} s' if seconds is not None else 'NOT FOUND'}", flush=True)
    print(f"{len(harnesses) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
