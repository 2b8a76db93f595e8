"""The benchmarks run, and the README shows what they have written. No time is judged here."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

from mxconv.algorithms import unsupported
from mxconv.algorithms.rule import choose

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
FIGURE = re.compile(r"^\d+\.\d\d ± \d+\.\d\d$")


@pytest.fixture
def of_benchmarks(monkeypatch):
    """Modules of the folder, which are imported by their plain names there."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def rows(text, first):
    """The cells of a Markdown table's lines, by title, of the table whose first title is given."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    (begin,) = (i for i, line in enumerate(lines) if line[0] == first)
    titles, body = lines[begin], lines[begin + 2 :]
    return [dict(zip(titles, line)) for line in body if len(line) == len(titles)]


def test_convolutions_and_networks_are_measured():
    options = ["--n", "1", "2", "--seconds", "0.001", "--networks", "LeNet"]
    options += ["--groups", "the chapter", "LeNet", "--algorithms", "auto", "tile"]
    command = [sys.executable, str(BENCHMARKS / "convolutions.py"), *options]
    done = subprocess.run(
        command,
        timeout=300,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    assert done.returncode == 0, done.stderr
    measured = rows(done.stdout, "group")[:20]
    assert [row["algorithm"] for row in measured] == ["direct", "tile"] * 10
    assert {row["n"] for row in measured} == {"1", "2"}
    for row in measured:
        assert all(FIGURE.match(row[mode]) for mode in ("inference", "read", "training"))
        assert (row["errors"] == "–") == (row["algorithm"] == "direct")
    networks = rows(done.stdout, "whole network")[:2]
    assert [row["n"] for row in networks] == ["1", "2"]


def test_every_convolution_of_the_networks_is_there_once(of_benchmarks):
    cases = of_benchmarks("cases")
    found = list(cases.cases(["ResNet-50", "VGG-16"]))
    assert len(found) == len(set(found)) == 20 + 9  # as counted from the papers' tables
    for case in cases.cases(["filters", "heads"]):
        assert unsupported("tile", case.geometry) is None


def test_the_rules_table_is_of_its_cases_and_marks_what_it_takes(of_benchmarks):
    cases, table = of_benchmarks("cases"), (BENCHMARKS / "rule.md").read_text(encoding="utf-8")
    marked = {}
    for row in rows(table, "group"):
        key = row["convolution"], int(row["n"])
        name, auto, _ = row["algorithm"].partition(" (auto)")
        marked.setdefault(key, []).extend([name] if auto else [])
    for case in cases.cases(["the rule"]):
        for n in (1, 16):
            shape = (n, case.geometry.in_channels, *case.size)
            name = choose(case.geometry, shape, np.float32, avx512=True)
            measured = marked.pop((cases.short(case.geometry, case.size), n))
            assert measured == ([] if name == "direct" else [name]), (case, n)
    assert not any(marked.values())


def test_the_readme_shows_the_summary_of_the_measurements():
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- benchmarks -->\n\n(.+?)\n\n<!-- end -->", readme, re.DOTALL)[1]
    assert shown in page
    measured = rows(page, "group")
    total = rows(shown, "convolutions")[-1]
    assert total["convolutions"] == "all" and int(total["rows"]) == len(measured)
    for mode in ("inference", "read", "training"):
        least = min(float(row[mode].split()[0]) for row in measured)
        assert total[mode].endswith(f"({least:.2f})")


def test_only_the_marked_part_of_the_readme_is_replaced(of_benchmarks, monkeypatch, tmp_path):
    report = of_benchmarks("report")
    monkeypatch.setattr(report, "ROOT", tmp_path)
    path = tmp_path / "README.md"
    path.write_text("a\n<!-- x -->\n<!-- end -->\nb\n<!-- y -->\nold\n<!-- end -->\n")
    report.put_into_readme("x", "1")
    report.put_into_readme("y", r"\2")
    assert path.read_text() == (
        "a\n<!-- x -->\n\n1\n\n<!-- end -->\nb\n<!-- y -->\n\n\\2\n\n<!-- end -->\n"
    )
    with pytest.raises(ValueError, match="expected one <!-- z -->.*found 0"):
        report.put_into_readme("z", "")
