"""wire_lines TESTS_DIR: every name of vectors/wire-lines.txt is some test's name.

A test is named so where a C function or a row of a C table, or a Python method, begins with the name; more words
may follow (wire_6_2_14_padding). A mention in a comment is no test. A test that claims a line that is not on the
list is a slip of the pen and fails too, as does one that claims several: a failure would not say which.
"""
import pathlib
import re
import sys

NAMED = re.compile(r'(?:\bvoid |"|\bdef (?:test_)?)(wire_6_[12]_\w+)( wire_6_)?')


def line_of(name, lines):
    """The longest listed name that `name` is or continues with a word (not a number: 3_1 is not 3_14)."""
    fits = [l for l in lines if name == l or re.match(re.escape(l) + r"_[a-z]", name)]
    return max(fits, key=len, default=None)


def names_in(tests):
    for path in sorted(tests.rglob("*")):
        if path.suffix in (".c", ".py"):
            for name, another in NAMED.findall(path.read_text(encoding="utf-8")):
                yield name, another, path.relative_to(tests)


def main(tests):
    listed = (tests / "vectors/wire-lines.txt").read_text(encoding="utf-8").splitlines()
    lines = [l for l in listed if l and not l.startswith("#")]
    covered, stray = set(), []
    for name, another, path in names_in(tests):
        line = line_of(name, lines)
        if another:
            stray.append(f"{path}: '{name}' and another line are one test's")
        elif line:
            covered.add(line)
        else:
            stray.append(f"{path}: '{name}' is no line of the list")
    missing = [f"no test is named '{l}'" for l in lines if l not in covered]
    print("\n".join(stray + missing))
    print(f"{len(covered)} passed, {len(missing) + len(stray)} failed")
    return 1 if missing or stray or not lines else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
