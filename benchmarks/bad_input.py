"""How `nn.Conv2D`, the layer, and the functions respond to invalid arguments and arrays.

Cases run in child processes with limited memory and time. A case that doesn't end in a clear error
is the last one in its process, since it may leave that process dead, hanging, or in a bad state.

A clear error is a ValueError or a TypeError raised by the invalid call itself. It names the
argument or says what was expected, and it gives the value: its repr, that of an invalid item, its
type, or the shape, dtype or context of an array. Any other error raised by that call is an "other
error". A "late error" is raised by a later line: `initialize()`, a call with a valid input, or
reading the result.
"""

import argparse
import json
import os
import re
import resource
import select
import signal
import tempfile
from collections import Counter

from mxconv import dtypes
from wrong_values import GROUPS, can_run, cases, namespace, ones, start

import numpy as np
from mxnet import nd
from mxnet.gluon import Block
from tqdm import tqdm

CLEAR = "clear error"
OUTCOMES = (CLEAR, "other error", "late error", "accepted", "death", "hang")
VOID = "void"  # no outcome: the case itself can't be evaluated
SECONDS = 30  # until a case counts as hanging
MEMORY = 8 * 2**30  # bytes of address space, so that no case exhausts the machine's memory
LEGEND = """\
A case is one invalid value in an otherwise valid call. A clear error is a ValueError or TypeError
that the call itself raises, with the value and what was expected; a late error comes after the
call."""


def attempt(case, tested):
    """Run a case: its outcome, and the text of its error or result."""
    names = namespace(tested)
    names["bad"] = bad = eval(case.value, names)
    try:
        result = eval(case.template.format("bad"), names)
    except Exception as error:
        clear = type(error) in (ValueError, TypeError) and says(str(error), case.argument, bad)
        return CLEAR if clear else "other error", f"{type(error).__name__}: {error}"
    try:
        use(result)
    except Exception as error:
        return "late error", f"{type(error).__name__}: {error}"
    return "accepted", repr(result)


def says(message, argument, value):
    """Whether a message gives the value and names the argument or says what was expected."""
    if argument == "argument":  # one too many, too few or unknown: Python's own error
        return "argument" in message
    named = any(word in message for word in (argument, "expected", "received"))
    texts = (re.escape(text) for text in shown(value))
    return named and any(re.search(rf"(?<!\w){text}(?!\w)", message) for text in texts)


def shown(value):
    """Texts for a value, one of which has to be in a message."""
    texts = [type(value).__name__, repr(value)]
    if isinstance(value, (nd.NDArray, np.ndarray)):
        texts += [str(value.shape), dtypes.name_of(value.dtype)]
        texts += [str(value.context)] if isinstance(value, nd.NDArray) else []
        return texts
    if isinstance(value, (tuple, list, set, dict)):
        texts += [text for item in value for text in shown(item)]
    return texts


def use(result):
    """Use a result as a program would: initialize and call a layer, read an array."""
    if isinstance(result, Block):
        start(result)
        result = result(ones(1, 4, 9, 9))
    for array in result if isinstance(result, (tuple, list)) else [result]:
        if isinstance(array, nd.NDArray):
            array.asnumpy()
    nd.waitall()


def run(cases, tested):
    """Yield the outcome and text of each case, starting as many processes as needed."""
    with tempfile.TemporaryDirectory() as directory:
        while cases:
            outcomes = run_in_child(cases, tested, directory)
            yield from outcomes
            cases = cases[len(outcomes) :]


def run_in_child(cases, tested, directory):
    """The outcomes and texts of cases in one process, up to the first without a clear error."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        confine(directory)
        attempt_all(cases, tested, into)
        os._exit(0)
    os.close(into)
    lines, hangs = read_lines(out, len(cases))
    if hangs:
        os.kill(child, signal.SIGKILL)
    os.close(out)
    status = os.waitpid(child, 0)[1]
    outcomes = [tuple(json.loads(line)) for line in lines]
    for outcome, text in outcomes:
        if outcome == VOID:
            raise RuntimeError(f"the table is wrong, {text}")
    if hangs:
        outcomes.append(("hang", f"not finished after {SECONDS} seconds"))
    elif len(outcomes) < len(cases) and (not outcomes or outcomes[-1][0] == CLEAR):
        killed = os.WIFSIGNALED(status)
        name = signal.Signals(os.WTERMSIG(status)).name if killed else f"exit status {status >> 8}"
        outcomes.append(("death", name))
    return outcomes


def attempt_all(cases, tested, into):
    """Write a line of JSON for each case, up to the first without a clear error."""
    for case in cases:
        try:
            outcome, text = attempt(case, tested)
        except BaseException as error:
            outcome, text = VOID, f"{case.id}: {error!r}"
        os.write(into, json.dumps([outcome, text[:2000]]).encode() + b"\n")
        if outcome != CLEAR:
            break


def read_lines(out, number):
    """Up to so many lines from a pipe, and whether its writer hangs."""
    text = b""
    while text.count(b"\n") < number:
        if not select.select([out], [], [], SECONDS)[0]:
            return text.splitlines(), True
        part = os.read(out, 65536)
        if not part:
            break
        text += part
    return text.splitlines(), False


def confine(directory):
    """Limit the memory of this process, move it to a directory, and discard MXNet's output."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1), os.dup2(null, 2)
    os.chdir(directory)


def results(group, tested):
    """The outcome and text of each case of a group, by its id."""
    names = [case.id for case in cases(group)]
    outcomes = tqdm(run(cases(group), tested), f"{tested}, {group}", len(names), disable=None)
    return dict(zip(names, outcomes))


def line(tested, group, outcomes):
    """The table's row for the outcomes of the cases of a group."""
    counts = Counter(outcomes)
    cells = [f"`{tested}`", group, len(outcomes), *(counts[name] for name in OUTCOMES)]
    return "| " + " | ".join(map(str, cells)) + " |"


def table(found):
    """The table for the outcomes and texts of each group, by what was tested."""
    titles = ("tested", "group", "cases", *OUTCOMES)
    lines = [f"| {' | '.join(titles)} |", "|---|---|" + "---:|" * (1 + len(OUTCOMES))]
    for (tested, group), outcomes in found.items():
        lines.append(line(tested, group, [outcome for outcome, _ in outcomes.values()]))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tested = list(dict.fromkeys(name for names, _ in GROUPS.values() for name in names))
    only = dict(action="append", help="only this one; can be repeated (all)")
    parser.add_argument("--tested", choices=tested, **only)
    parser.add_argument("--group", choices=GROUPS, **only)
    parser.add_argument(
        "--json", action="store_true", help="print every outcome instead of the table"
    )
    parser.add_argument(
        "--docs", action="store_true", help="also write the table into docs/bad-input.md"
    )
    options = parser.parse_args()
    found = {
        (name, group): results(group, name)
        for group in options.group or GROUPS
        for name in GROUPS[group][0]
        if name in (options.tested or tested) and can_run(group)
    }
    if options.json:
        print(json.dumps([[*key, outcomes] for key, outcomes in found.items()]))
        return
    print(table(found))
    if options.docs:
        from pages import ROOT, put_between_markers

        text = f"{table(found)}\n\n{LEGEND}"
        put_between_markers(ROOT / "docs" / "bad-input.md", "bad input", text)


if __name__ == "__main__":
    main()
