"""Every invalid argument and input of benchmarks/bad_input.py is rejected at the call."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import bad_input  # noqa: E402
from wrong_values import GROUPS, Case, can_run, cases  # noqa: E402

OURS = ("MultiChannelConv2D", "mxconv")  # what is tested here, and not nn.Conv2D
EVERY = [
    pytest.param(
        group,
        case.id,
        id=case.id,
        marks=pytest.mark.skipif(
            not can_run(group),
            reason="export_onnx needs the extra mxconv[onnx]; with it, its cases are tried",
        ),
    )
    for group in GROUPS
    for case in cases(group)
]


@pytest.fixture(scope="module")
def found():
    """The outcome and text of each case by group and id, each group from its own process."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    tested = [word for name in OURS for word in ("--tested", name)]
    command = [sys.executable, bad_input.__file__, "--json", *tested]
    runs = [
        subprocess.Popen([*command, "--group", group], env=environment, stdout=subprocess.PIPE)
        for group in GROUPS
    ]
    answers = [run.communicate(timeout=600)[0] for run in runs]
    assert not any(run.returncode for run in runs)
    tables = [table for answer in answers for table in json.loads(answer.decode())]
    return {group: outcomes for _, group, outcomes in tables}


@pytest.mark.parametrize("group, case", EVERY)
def test_an_invalid_value_is_rejected_at_the_call(found, group, case):
    outcome, text = found[group][case]
    assert outcome == "clear error", text


def test_no_case_is_there_twice():
    for group in GROUPS:
        names = [case.id for case in cases(group)]
        assert len(set(names)) == len(names)


def test_the_page_has_the_figures(found):
    text = (ROOT / "docs" / "bad-input.md").read_text(encoding="utf-8")
    table = text.split("<!-- bad input -->")[1].split("<!-- end -->")[0].splitlines()
    for group in set(found) - {"export_onnx"}:  # not everyone can run it
        (tested,) = set(GROUPS[group][0]) & set(OURS)
        outcomes = [outcome for outcome, _ in found[group].values()]
        assert bad_input.line(tested, group, outcomes) in table


def judged(template, argument, value):
    """The outcome of a case that runs after one that dies and before a valid one."""
    before = Case("", "os._exit({})", "", "0")
    after = Case("", "len({})", "", "'x'")
    case = Case("", template, argument, value)
    outcomes = [outcome for outcome, _ in bad_input.run([before, case, after], "nn.Conv2D")]
    assert (outcomes[0], outcomes[2:]) == ("death", ["accepted"])
    return outcomes[1]


@pytest.mark.parametrize(
    "outcome, template, argument, value",
    [
        ("clear error", "int({})", "literal", "'x'"),  # "invalid literal for int() ...: 'x'"
        ("other error", "int({})", "number", "'x'"),
        ("other error", "[0][{}]", "list", "1"),  # an IndexError
        ("late error", "Layer(4, 3, in_channels=4, activation={})", "activation", "'swish'"),
        ("accepted", "Layer(4, 3, in_channels=4, padding={})", "padding", "1"),
        ("death", "os.kill(os.getpid(), {})", "signal", "9"),
        ("death", "os._exit({})", "status", "3"),
    ],
)
def test_outcomes_are_distinguished(outcome, template, argument, value):
    assert judged(template, argument, value) == outcome


def test_a_hang_is_found(monkeypatch):
    monkeypatch.setattr(bad_input, "SECONDS", 0.5)
    assert judged("__import__('select').select([], [], [], {})", "timeout", "600") == "hang"


def test_a_case_that_can_not_be_evaluated_is_an_error():
    with pytest.raises(RuntimeError, match="the table is wrong.*NameError"):
        judged("print({})", "value", "nonsense")
