"""The benchmarks run, and the pages show what they wrote. No test judges a time."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

from mxconv.algorithms import ALGORITHMS, NAMES, unsupported
from mxconv.selection.rules.avx512 import predict

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
FIGURE = re.compile(r"^\d+\.\d\d ± \d+\.\d\d$")


@pytest.fixture
def of_benchmarks(monkeypatch):
    """Imports a module of the folder by its plain name, as the scripts there do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def rows(text, first):
    """The lines of the Markdown table with this first title, as dicts {title: cell}."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    (begin,) = (i for i, line in enumerate(lines) if line[0] == first)
    titles, body = lines[begin], lines[begin + 2 :]
    return [dict(zip(titles, line)) for line in body if len(line) == len(titles)]


def measured_convolutions(*options):
    """What convolutions.py prints, after the shortest measurement there is."""
    command = [sys.executable, str(BENCHMARKS / "convolutions.py"), "--seconds", "0.001", *options]
    done = subprocess.run(
        command,
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_convolutions_and_networks_are_measured():
    groups = ("--groups", "the chapter", "LeNet")
    algorithms = ("--algorithms", "auto", "depth_to_space")
    printed = measured_convolutions("--n", "1", "2", "--networks", "LeNet", *groups, *algorithms)
    measured = rows(printed, "group")[:20]
    assert [row["algorithm"] for row in measured] == ["native", "depth_to_space"] * 10
    assert {row["n"] for row in measured} == {"1", "2"}
    for row in measured:
        assert all(FIGURE.match(row[mode]) for mode in ("inference", "read", "training"))
        assert (row["errors"] == "–") == (row["algorithm"] == "native")
    networks = rows(printed, "whole network")[:2]
    assert [row["n"] for row in networks] == ["1", "2"]


@pytest.mark.slow
def test_candidates_are_the_algorithms_that_their_records_call_worth_timing(of_benchmarks):
    """As `make rule` measures them."""
    cases = of_benchmarks("cases")
    options = ("--n", "1", "--networks", "--groups", "the chapter", "stems")
    printed = measured_convolutions(*options, "--algorithms", "candidates")
    expected = [
        (cases.short(geometry, size), name)
        for _, geometry, size in cases.cases(["the chapter", "stems"])
        for name, record in ALGORITHMS.items()
        if not record.unsupported(geometry)
        and record.worth_timing(geometry, (1, geometry.in_channels, *size), np.float32)
    ]
    assert {name for _, name in expected} >= {"pad_channels", "kn2row", "train_layout"}
    measured = rows(printed, "group")[: len(expected)]
    marked = [(row["convolution"], row["algorithm"].partition(" (auto)")[0]) for row in measured]
    assert marked == expected


def test_every_convolution_of_the_networks_is_there_once(of_benchmarks):
    cases = of_benchmarks("cases")
    found = list(cases.cases(["ResNet-50", "VGG-16"]))
    assert len(found) == len(set(found)) == 20 + 9  # as counted from the papers' tables
    for case in cases.cases(["filters", "heads"]):
        assert unsupported("depth_to_space", case.geometry) is None


@pytest.mark.parametrize("page", ["benchmarks/rule.md", "docs/benchmarks.md"])
def test_the_tables_name_algorithms_that_exist(page):
    measured = rows((ROOT / page).read_text(encoding="utf-8"), "group")
    assert {row["algorithm"].partition(" (auto)")[0] for row in measured} <= set(NAMES)


def test_the_rules_table_has_its_cases_and_marks_what_the_rule_takes(of_benchmarks):
    cases, table = of_benchmarks("cases"), (BENCHMARKS / "rule.md").read_text(encoding="utf-8")
    marked = {}
    for row in rows(table, "group"):
        key = row["convolution"], int(row["n"])
        name, auto, _ = row["algorithm"].partition(" (auto)")
        marked.setdefault(key, []).extend([name] if auto else [])
    for case in cases.cases(["the rule"]):
        for n in (1, 16):
            shape = (n, case.geometry.in_channels, *case.size)
            name = predict(case.geometry, shape)
            measured = marked.pop((cases.short(case.geometry, case.size), n))
            assert measured == ([] if name == "native" else [name]), (case, n)
    assert not any(marked.values())


def test_the_summary_is_of_the_rows_and_the_readme_quotes_it():
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    measured, summary = rows(page, "group"), rows(page, "convolutions")
    summary = {row["convolutions"]: row for row in summary}
    assert int(summary["all"]["rows"]) == len(measured)
    for mode in ("inference", "read", "training"):
        least = min(float(row[mode].split()[0]) for row in measured)
        assert summary["all"][mode].endswith(f"({least:.2f})")

    means = {name: float(row["inference"].split()[0]) for name, row in summary.items()}
    (network,) = (
        row["inference"].split()[0]
        for row in rows(page, "whole network")
        if (row["whole network"], row["n"]) == ("MobileNet-v2", "1")
    )
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{means['filters']:.0f} times for large kernels on few channels" in readme
    assert f"{means['heads']:.0f} times for heads with few output channels" in readme
    assert f"with a batch of 1, runs at {network} of the speed" in readme


def test_only_the_marked_part_of_a_page_is_replaced(of_benchmarks, tmp_path):
    report = of_benchmarks("report")
    path = tmp_path / "page.md"
    path.write_text("a\n<!-- x -->\n<!-- end -->\nb\n<!-- y -->\nold\n<!-- end -->\n")
    report.put_between_markers(path, "x", "1")
    report.put_between_markers(path, "y", r"\2")
    assert path.read_text() == (
        "a\n<!-- x -->\n\n1\n\n<!-- end -->\nb\n<!-- y -->\n\n\\2\n\n<!-- end -->\n"
    )
    with pytest.raises(ValueError, match="expected one <!-- z -->.*found 0"):
        report.put_between_markers(path, "z", "")
