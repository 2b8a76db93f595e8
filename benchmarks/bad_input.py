"""What becomes of wrong arguments and wrong arrays: of `nn.Conv2D`, the layer, and the functions.

Cases run in child processes, with a bound on memory and time. After a case that doesn't end in a
clear error the next ones get a process of their own, so that nothing it leaves behind, be it dead,
hanging or alive, disturbs them.

An error is clear if it is a ValueError or a TypeError, is raised by the line with the mistake,
names the argument or says what was expected, and gives the value: its repr or that of a wrong item,
its type, or of an array the shape, dtype or context. Any other error of that line is an "other
error". It is a "late error" if a line after that raises it: `initialize()`, a call with a right
input, or reading the result.
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

import mxconv
import wrong_values
from wrong_values import GROUPS, LAYERS, can_run, cases, ones, start

import numpy as np
from mxnet import nd
from mxnet.gluon import Block
from tqdm import tqdm

CLEAR = "clear error"
OUTCOMES = (CLEAR, "other error", "late error", "accepted", "death", "hang")
SECONDS = 30  # until a case counts as hanging
MEMORY = 8 * 2**30  # bytes of address space, so that no case takes the machine's
LEGEND = """\
A case is a wrong value in an otherwise right call. A clear error is a ValueError or TypeError of
that call with the value and what was expected; a late error comes only after it."""


def attempt(case, layer):
    """A case run to its end: the outcome, and the error's or the result's text."""
    names = dict(vars(wrong_values), Layer=LAYERS[layer], X=ones(1, 4, 9, 9), Y=ones(1, 9, 9, 4))
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
    """Whether a message names the argument, or what was expected, and gives the value."""
    if argument == "argument":  # one too many, too few or unknown, which Python reports by itself
        return "argument" in message
    named = any(word in message for word in (argument, "expected", "received"))
    texts = (re.escape(text) for text in shown(value))
    return named and any(re.search(rf"(?<!\w){text}(?!\w)", message) for text in texts)


def shown(value):
    """Texts of which a message that gives the value holds one."""
    texts = [type(value).__name__, repr(value)]
    if isinstance(value, (nd.NDArray, np.ndarray)):
        texts += [str(value.shape), mxconv.dtypes.name_of(value.dtype)]
        texts += [str(value.context)] if isinstance(value, nd.NDArray) else []
        return texts
    if isinstance(value, (tuple, list, set, dict)):
        texts += [text for item in value for text in shown(item)]
    return texts


def use(result):
    """Do with a result what comes next: initialize and call a layer, read an array."""
    if isinstance(result, Block):
        start(result)
        result = result(ones(1, 4, 9, 9))
    for array in result if isinstance(result, (tuple, list)) else [result]:
        if isinstance(array, nd.NDArray):
            array.asnumpy()
    nd.waitall()


def run(cases, layer):
    """Yield the outcome and the text of each case, from as many processes as that takes."""
    with tempfile.TemporaryDirectory() as directory:
        while cases:
            ends = in_a_child(cases, layer, directory)
            yield from ends
            cases = cases[len(ends) :]


def in_a_child(cases, layer, directory):
    """The outcomes and texts of cases in one process, up to the first without a clear error."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        confine(directory)
        for case in cases:
            try:
                outcome, text = attempt(case, layer)
            except BaseException as error:
                outcome, text = "void", f"{case.id}: {error!r}"
            os.write(into, json.dumps([outcome, text[:2000]]).encode() + b"\n")
            if outcome != CLEAR:
                break
        os._exit(0)
    os.close(into)
    answers, hangs = b"", False
    while answers.count(b"\n") < len(cases):
        hangs = not select.select([out], [], [], SECONDS)[0]
        answer = b"" if hangs else os.read(out, 65536)
        if not answer:
            break
        answers += answer
    if hangs:
        os.kill(child, signal.SIGKILL)
    os.close(out)
    status = os.waitpid(child, 0)[1]
    ends = [tuple(json.loads(line)) for line in answers.splitlines()]
    for outcome, text in ends:
        if outcome == "void":
            raise RuntimeError(f"the table is wrong, {text}")
    if hangs:
        ends.append(("hang", f"no end after {SECONDS} seconds"))
    elif len(ends) < len(cases) and (not ends or ends[-1][0] == CLEAR):
        killed = os.WIFSIGNALED(status)
        name = signal.Signals(os.WTERMSIG(status)).name if killed else f"exit status {status >> 8}"
        ends.append(("death", name))
    return ends


def confine(directory):
    """Bound the process's memory, have it work in a directory, and drop what MXNet writes."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1), os.dup2(null, 2)
    os.chdir(directory)


def results(group, layer):
    """The outcome and the text of each case of a group, by its id."""
    names = [case.id for case in cases(group)]
    ends = tqdm(run(cases(group), layer), f"{layer}, {group}", len(names), disable=None)
    return dict(zip(names, ends))


def line(layer, group, outcomes):
    """The row of the table for the outcomes of a group's cases."""
    counts = Counter(outcomes)
    cells = [f"`{layer}`", group, len(outcomes), *(counts[name] for name in OUTCOMES)]
    return "| " + " | ".join(map(str, cells)) + " |"


def table(found):
    """The table for the outcomes and texts of each layer and group."""
    lines = [f"| | | cases | {' | '.join(OUTCOMES)} |", "|---|---|" + "---:|" * (1 + len(OUTCOMES))]
    for (layer, group), ends in found.items():
        lines.append(line(layer, group, [outcome for outcome, _ in ends.values()]))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layer", choices=LAYERS, action="append", help="one only (all)")
    parser.add_argument("--group", choices=GROUPS, action="append", help="one only (all)")
    parser.add_argument("--json", action="store_true", help="every outcome, in place of the table")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md too")
    options = parser.parse_args()
    found = {
        (layer, group): results(group, layer)
        for group in options.group or GROUPS
        for layer in GROUPS[group][0]
        if layer in (options.layer or LAYERS) and can_run(group)
    }
    if options.json:
        print(json.dumps([[*key, ends] for key, ends in found.items()]))
        return
    print(table(found))
    if options.readme:
        from report import put_into_readme

        put_into_readme("bad input", f"{table(found)}\n\n{LEGEND}")


if __name__ == "__main__":
    main()
