"""Run the chapter's cells, compared with the book, its problems, its figures, and applications.

Each script runs in its own process. The exit status is 0 only if every cell prints what is in
``expected/`` and every other script, which checks its own results, succeeds.
"""

import argparse
import ast
import difflib
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CELLS = [f"cell_{n}" for n in range(1, 8)]
OTHERS = [f"problem_{n}" for n in range(1, 7)] + [
    "figures",
    "animations",
    "page",
    "edges",
    "digits",
    "choose_algorithms",
    "for_inference",
]
OUTPUT = HERE / "output"
LIMIT = 300  # seconds that one script may take


def title(name):
    """The first line of a script's docstring."""
    source = (HERE / f"{name}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)).splitlines()[0]


def run(name, stdout=None):
    """Run one script: ``(problem, output)``, where the problem is None if there is none.

    Its standard error always goes to the terminal. So does its output, unless `stdout` is a pipe;
    then the output is returned.
    """
    command = [sys.executable, "-u", str(HERE / f"{name}.py")]
    try:
        done = subprocess.run(command, stdout=stdout, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"took more than {LIMIT} s", ""
    problem = f"exit status {done.returncode}" if done.returncode else None
    return problem, done.stdout


def run_cell(name):
    """Run a cell, show its output, and compare it with the book's: the problem, or None."""
    problem, output = run(name, subprocess.PIPE)
    output = output.strip("\n")
    print(output or "(prints nothing)")
    expected = (HERE / "expected" / f"{name}.txt").read_text().strip("\n")
    if problem is None and output != expected:
        problem = "differs from the book"
        print(
            *difflib.unified_diff(
                expected.splitlines(), output.splitlines(), "the book", f"{name}.py", lineterm=""
            ),
            sep="\n",
        )
    return problem


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        choices=CELLS + OTHERS,
        help="run only these: %(choices)s",
    )
    names = parser.parse_args().only or CELLS + OTHERS

    results, seconds, begin = {}, {}, time.time()
    for name in names:
        print(f"== {name}: {title(name)}", flush=True)
        start = time.time()
        problem = run_cell(name) if name in CELLS else run(name)[0]
        results[name], seconds[name] = problem or "ok", time.time() - start
        print(flush=True)

    longest, widest = max(map(len, names)), max(map(len, results.values()))
    for name, result in results.items():
        print(f"{name:{longest}}  {result:{widest}}  {seconds[name]:6.1f} s  {title(name)}")
    files = [path.name for path in sorted(OUTPUT.glob("*")) if path.stat().st_mtime >= begin]
    if files:
        print(f"wrote into {OUTPUT}: {', '.join(files)}")
    for what, some, done in (
        ("problems, figures and applications", OTHERS, "checked"),
        ("book", CELLS, "reproduced"),
    ):
        ends = [results[name] for name in results if name in some]
        if ends:
            print(f"{what}: {ends.count('ok')} of {len(ends)} {done}")
    return set(results.values()) != {"ok"}


if __name__ == "__main__":
    sys.exit(main())
