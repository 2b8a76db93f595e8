"""The benchmarks run, and the pages show what they wrote. No test judges a time."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import geometric_mean

from mxconv import _cpuinfo
from mxconv.algorithms import ALGORITHMS, NAMES, unsupported
from mxconv.selection import rules

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import nn

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
RESULTS = sorted((BENCHMARKS / "results").glob("*.json"))
RULES = {"rule.md": "AVX-512", "rule-avx2.md": "AVX2"}  # evidence, and the rule's name
QUOTED = {  # what the README says after a number of times: part of the summary of AVX-512, one core
    "times for filters of one to three channels": "filters of 1 to 3 channels",
    "times for heads with few output channels": "heads",
}
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


def names(row):
    """The algorithms that a line of a table names: in inference and, if it is another, training."""
    return row["algorithm"].split(" / ")


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
        assert (row["errors"] == "–") == (row["algorithm"] == "native" or row["n"] == "2")
    networks = rows(printed, "whole network")[:4]
    assert [(row["n"], row["hybridized"]) for row in networks] == [
        (n, kind) for n in ("1", "2") for kind in ("after a call", "at once")
    ]
    assert {row["chosen"] for row in networks} == {"0 of 2"}


@pytest.mark.slow
def test_every_setting_is_measured(of_benchmarks):
    """With several threads, convolutions take the first number of images only."""
    settings = ("--kernels", "avx512", "avx2", "--threads", "one", "all", "--networks")
    printed = measured_convolutions("--groups", "LeNet", "--n", "1", "2", *settings)
    found = re.findall(r"kernels, (?:one core|all \d+ cores)", printed)
    cores = _cpuinfo.cores()
    assert found[-2:] == ["kernels, one core", f"kernels, all {cores} cores"]
    assert "AVX2 kernels, one core" in printed
    measured = [line for line in printed.splitlines() if line.startswith("| LeNet | ")]
    tables = len(found)  # of two convolutions each, and a line in the summary
    assert len(measured) == tables // 2 * (2 + 4 + 2)


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
    assert [(row["convolution"], *names(row)) for row in measured] == expected


def test_what_infers_and_what_trains_are_separate_blocks(of_benchmarks, monkeypatch):
    """So no layer that is timed in inference has been recorded before."""
    measure, cases, seen = of_benchmarks("measure"), of_benchmarks("cases"), {}

    def in_turn(blocks, x, mode, seconds):
        seen[mode] = blocks
        return {name: [1.0, 2.0] for name in blocks}

    monkeypatch.setattr(measure, "in_turn", in_turn)
    (case,) = list(cases.cases(["LeNet"]))[:1]
    list(measure.measure(case, 1, ["auto"], 0, 1, None))
    assert seen["inference"] is seen["read"]
    assert not set(seen["inference"].values()) & set(seen["training"].values())
    list(measure.measure_network("LeNet", 1, 0))
    assert seen["inference"] is seen["read"]
    assert set(seen["inference"]) == {"nn.Conv2D", "after a call", "at once"}
    assert not set(seen["inference"].values()) & set(seen["training"].values())


def test_both_sides_have_the_same_parameters(of_benchmarks):
    blocks = [nn.Dense(3, in_units=2) for _ in range(3)]
    for block in blocks:
        block.initialize()
    of_benchmarks("measure").share_parameters(blocks)
    first, *others = (block.weight.data().asnumpy() for block in blocks)
    assert all((first == other).all() for other in others)


@pytest.mark.parametrize(("long", "rounds"), [(60, 7), (0, 3)])
def test_a_median_is_of_several_rounds(of_benchmarks, monkeypatch, long, rounds):
    """Of fewer if they take long."""
    timing = of_benchmarks("timing")
    monkeypatch.setattr(timing, "LONG", long)
    blocks = {"one": nn.Dense(1), "other": nn.Dense(1)}
    for block in blocks.values():
        block.initialize()
    times = timing.in_turn(blocks, nd.ones((1, 2)), "inference", 0)
    assert [len(times[name]) for name in blocks] == [rounds] * 2


def test_large_batches_are_left_out(of_benchmarks):
    measure, cases = of_benchmarks("measure"), of_benchmarks("cases")
    filters = list(cases.cases([cases.ONE_CHANNEL, "VGG-16"]))
    assert all(measure.is_affordable(case, 1) for case in filters)
    assert [case for case in filters if measure.is_affordable(case, 16)] == [
        case for case in filters if cases.short(*case[1:]) == "3>64 3x3 @224"
    ]


def test_every_convolution_of_the_networks_is_there_once(of_benchmarks):
    cases = of_benchmarks("cases")
    found = list(cases.cases(["ResNet-50", "VGG-16"]))
    assert len(found) == len(set(found)) == 20 + 9  # as counted from the papers' tables
    for case in cases.cases([cases.ONE_CHANNEL, cases.FEW_CHANNELS, "heads"]):
        assert unsupported("depth_to_space", case.geometry) is None


def row(group, convolution, algorithm, ratio, training=None):
    """A row as measure.py yields it; all its ratios are the same."""
    figures = {mode: [ratio, 0.1] for mode in ("inference", "read", "training")}
    return {
        "group": group,
        "convolution": convolution,
        "n": 1,
        "algorithm": algorithm,
        "in training": training or algorithm,
        **figures,
        "peak": 0.5,
        "errors": [],
        "torch": {"inference": 2 * ratio, "training": ratio},
    }


@pytest.fixture
def setting(of_benchmarks):
    """A setting with a few rows, of AVX2 and one core."""
    machine = {
        "cpu": "a CPU",
        "kernels": "avx2",
        "threads": "one",
        "cores": 1,
        "mxnet": "1.9.1",
        "torch": "2.13.0",
        "date": "2026-01-02",
        "peak": 5e10,
    }
    convolutions = [
        row("filters of 1 channel", "1>1 3x3 @128", "native", 0.9),
        row("filters of 1 channel", "1>1 15x15 @64", "depth_to_space", 8.0),
        row("filters of 1 channel", "1>4 7x7 @64", "depth_to_space", 2.0, "native"),
        row("odd channels", "64>12 3x3 @64", "pad_channels", 3.0),
        row("odd channels", "64>8 3x3 @64", "native", 1.0),
    ]
    network = {
        "network": "LeNet",
        "n": 1,
        "hybridized": "at once",
        **{mode: [1.5, 0.1] for mode in ("inference", "read", "training")},
        "choices": {"inference": ["native", "kn2row"], "training": ["native", "native"]},
        "same": False,
    }
    return of_benchmarks("report").Setting(machine, convolutions, [network])


def test_the_summary_has_means_and_minima_of_groups_and_parts(setting):
    found = {line["convolutions"]: line for line in rows(setting.summary(), "convolutions")}
    assert {name: (line["rows"], line["inference"]) for name, line in found.items()} == {
        "filters of 1 channel": ("3", "2.43 (0.90)"),
        "odd channels": ("2", "1.73 (1.00)"),
        "filters of 1 channel, 7×7 and more": ("2", "4.00 (2.00)"),
        "filters of 1 to 3 channels": ("3", "2.43 (0.90)"),
        "odd channels, chosen": ("1", "3.00 (3.00)"),
        "all chosen": ("3 / 2", "3.63 (2.00)"),
        "all": ("5", "2.12 (0.90)"),
    }
    assert found["all chosen"]["training"] == "4.90 (3.00)"
    assert found["all chosen"]["torch, inference"] == "7.27 (4.00)"
    assert found["all"]["chosen"] == "3 / 2"


def test_a_setting_says_where_it_was_measured_and_what_was_chosen(setting):
    text = " ".join(str(setting).split())
    assert "on a CPU, AVX2 kernels, one core, MXNet 1.9.1, float32, on 2026-01-02." in text
    assert "PyTorch is 2.13.0. MXNet's fastest matrix product reaches 100 GFLOP/s." in text
    (network,) = rows(setting.whole(), "whole network")
    assert (network["chosen"], network["same"]) == ("1 of 2 / 0 of 2", "no")
    algorithms = [line["algorithm"] for line in rows(setting.table(), "group")]
    assert algorithms[1:3] == ["depth_to_space", "depth_to_space / native"]
    assert "noise: 0.90 to 2.00" in text  # the last one in training only


def test_results_are_kept_a_row_per_line(setting, tmp_path):
    setting.save(tmp_path)
    path = tmp_path / "avx2-one.json"
    assert type(setting).load(path) == setting
    lines = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[3].rstrip(",")) == setting.convolutions[0]
    assert str(setting) in (tmp_path / "avx2-one.md").read_text(encoding="utf-8")


def test_a_part_of_the_results_is_renewed(setting, tmp_path):
    setting.save(tmp_path)
    new = {**setting.convolutions[0], "peak": 0.75}
    part = type(setting)(setting.machine, [new], [])
    whole = part.completed(tmp_path)
    groups = [row["group"] for row in setting.convolutions if row["group"] != new["group"]]
    assert new in whole.convolutions and whole.networks == setting.networks
    assert [r["group"] for r in whole.convolutions if r["group"] != new["group"]] == groups
    assert [r for r in whole.convolutions if r["group"] == new["group"]] == [new]
    assert part.completed(tmp_path / "empty") is part


def test_the_page_has_the_settings_that_were_measured(of_benchmarks, setting, tmp_path):
    pytest.importorskip("matplotlib")
    setting.save(tmp_path)
    setting.machine.update(kernels="avx512", threads="all", cores=8)
    setting.save(tmp_path)
    (tmp_path / "figures").mkdir()
    of_benchmarks("report").write(tmp_path, tmp_path)
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert re.findall("^## (.*)", page, re.MULTILINE) == ["AVX-512, all cores", "AVX2, one core"]
    assert page.count(setting.summary()) == page.count(setting.whole()) == 2
    assert "all 8 cores" in page
    assert (tmp_path / "figures" / "benchmarks.png").stat().st_size > 1000


def test_the_pages_show_the_results(of_benchmarks):
    report, settings = of_benchmarks("report"), []
    for path in RESULTS:
        settings.append(report.Setting.load(path))
        assert settings[-1].name == path.stem
        assert str(settings[-1]) in path.with_suffix(".md").read_text(encoding="utf-8")
    settings.sort(key=lambda setting: report.ORDER.index(setting.name))
    assert (ROOT / "docs" / "benchmarks.md").read_text("utf-8") == report.page(settings)


@pytest.mark.parametrize(
    "page",
    [*BENCHMARKS.glob("rule*.md"), *(path.with_suffix(".md") for path in RESULTS)],
    ids=lambda page: page.stem,
)
def test_the_tables_name_algorithms_that_exist(page):
    measured = rows(page.read_text(encoding="utf-8"), "group")
    assert {name for row in measured for name in names(row)} <= set(NAMES)


@pytest.mark.parametrize("page", RULES)
def test_a_rule_follows_its_evidence(page, of_benchmarks, monkeypatch):
    """What it takes was faster, but for the noise of a row; and it was measured."""
    rule = next(rule for rule in rules.RULES if rule.cpu == RULES[page])
    monkeypatch.setattr(rules, "RULES", (rule._replace(is_here=lambda: True),))
    monkeypatch.setattr(_cpuinfo, "has_avx512", lambda: rule.cpu == "AVX-512")
    monkeypatch.setattr(_cpuinfo, "threads", lambda: 1)
    cases, measure = of_benchmarks("cases"), of_benchmarks("measure")
    measured = {}
    for row in rows((BENCHMARKS / page).read_text(encoding="utf-8"), "group"):
        for mode in ("inference", "training"):
            key = row["convolution"], int(row["n"]), mode, names(row)[0]
            measured[key] = float(row[mode].split()[0])
    taken = {}
    for case in cases.cases(["the rule"]):
        for n in (n for n in (1, 16) if measure.is_affordable(case, n)):
            shape = (n, case.geometry.in_channels, *case.size)
            for mode in ("inference", "training"):
                training = mode == "training"
                name = rules.predict(case.geometry, shape, np.float32, mx.cpu(), training)
                key = cases.short(case.geometry, case.size), n, mode, name
                if key in measured:  # layouts of small images aren't
                    taken[key] = measured[key]
                else:
                    assert name in ("native", "train_layout")
    assert min(taken.values()) > 0.85, {key for key, gain in taken.items() if gain <= 0.85}
    assert sum(gain < 0.95 for gain in taken.values()) < len(taken) / 20
    assert geometric_mean(taken.values()) > 1.7


def test_the_readme_quotes_the_summary(of_benchmarks):
    report = of_benchmarks("report")
    setting = report.Setting.load(BENCHMARKS / "results" / "avx512-one.json")
    summary = {row["convolutions"]: row for row in rows(setting.summary(), "convolutions")}
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for phrase, part in QUOTED.items():
        mean = float(summary[part]["inference"].split()[0])
        assert f"{mean:.0f} {phrase}" in readme


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
