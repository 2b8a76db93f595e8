"""The benchmarks run, and the pages show what they wrote. No test judges a time."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import geometric_mean

import mxconv
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
NETWORK_RESULTS = sorted((BENCHMARKS / "results").glob("networks-*.json"))
RESULTS = sorted(set((BENCHMARKS / "results").glob("*.json")).difference(NETWORK_RESULTS))
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


def printed_by(script, *options):
    """What a script of the folder prints, after the shortest measurement there is."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), "--seconds", "0.001", *options],
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def measured_convolutions(*options):
    return printed_by("convolutions.py", *options)


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
    report = of_benchmarks("report")
    found = {report.Setting: RESULTS, report.NetworkResults: NETWORK_RESULTS}
    for kind, paths in found.items():
        results = kind.load_all()
        assert sorted(result.name for result in results) == [path.stem for path in paths]
        for result in results:
            page = BENCHMARKS / "results" / f"{result.name}.md"
            assert str(result) in page.read_text(encoding="utf-8")
    expected = report.page(*(kind.load_all() for kind in found))
    assert (ROOT / "docs" / "benchmarks.md").read_text("utf-8") == expected


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


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.cpu)
def test_a_rule_for_constant_weights_follows_its_evidence(rule, of_benchmarks, monkeypatch):
    monkeypatch.setattr(rules, "RULES", (rule._replace(is_here=lambda: True),))
    monkeypatch.setattr(_cpuinfo, "has_avx512", lambda: rule.cpu == "AVX-512")
    monkeypatch.setattr(_cpuinfo, "threads", lambda: 1)
    cases = of_benchmarks("cases")
    page = (BENCHMARKS / "constant.md").read_text(encoding="utf-8")
    (part,) = (text for text in page.split("\n## ") if text.startswith(f"{rule.cpu},"))
    measured = {row["convolution"]: row for row in rows(part, "convolution")}
    gains = []
    for case in cases.cases(list(cases.CHOSEN)):
        shape = (1, case.geometry.in_channels, *case.size)
        about = dict(dtype=np.float32, context=mx.cpu(), in_graph=True, constant=True)
        name = rules.predict(case.geometry, shape, **about)
        cell = measured[cases.short(case.geometry, case.size)].get(name, "–")
        if cell != "–":  # in inference, and with the output read
            gains.append(min(float(gain) for gain in cell.split(" / ")))
        else:
            assert name == "native"
    assert min(gains) > 0.85 and geometric_mean(gains) > 1.7 and len(gains) > 100


def test_the_readme_quotes_the_summary(of_benchmarks):
    report = of_benchmarks("report")
    setting = report.Setting.load(BENCHMARKS / "results" / "avx512-one.json")
    summary = {row["convolutions"]: row for row in rows(setting.summary(), "convolutions")}
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for phrase, part in QUOTED.items():
        mean = float(summary[part]["inference"].split()[0])
        assert f"{mean:.0f} {phrase}" in readme


def test_the_readme_quotes_the_mean_over_networks(of_benchmarks):
    report = of_benchmarks("networks_report")
    path = BENCHMARKS / "results" / "networks-avx512-one.json"
    rows_of_one = [r for r in report.NetworkResults.load(path).networks if r["n"] == 1]
    mean = geometric_mean(row["static"][0] for row in rows_of_one)
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"makes them {mean:.1f} times as fast as MXNet's static graphs on average" in readme


@pytest.mark.slow
def test_whole_networks_are_measured():
    printed = printed_by("networks.py", "--networks", "LeNet", "--sizes", "1", "2")
    table = rows(printed, "network")
    assert [(row["network"], row["n"]) for row in table] == [("LeNet", "1"), ("LeNet", "2")]
    for row in table:
        assert all(re.match(r"\d+\.\d\d ± \d+\.\d\d \(", row[side]) for side in ("static", "fused"))
        assert (row["torch"], row["in"]) == ("–", "–")
        assert float(row["difference"]) < 1e-5
    assert [row["networks"] for row in rows(printed, "n")] == ["1", "1"]
    assert "## LeNet, n = 2\n\n```\n" in printed


def test_a_network_that_fails_is_named_and_the_others_are_kept(
    of_benchmarks, monkeypatch, network_results, capsys
):
    networks, settings = of_benchmarks("networks"), of_benchmarks("settings")

    def measured(script, kernels, threads, network, **job):
        result = {"machine": network_results.machine, "networks": network_results.networks[:1]}
        return result if network == "LeNet" else None

    monkeypatch.setattr(settings, "measured", measured)
    monkeypatch.setattr(sys, "argv", ["networks.py", "--networks", "LeNet", "SRCNN"])
    with pytest.raises(SystemExit, match="has failed: SRCNN$"):
        networks.main()
    assert [row["network"] for row in rows(capsys.readouterr().out, "network")] == ["LeNet"]


class TorchWith:
    """Answers as torch_networks.py does, from MXNet's own outputs and a relative error."""

    def __init__(self, net, error):
        self.net, self.error = net, error

    def ask(self, folder=None, seconds=None):
        if folder is None:
            return {"NCHW, frozen": [2.0, 4.0], "channels_last, frozen": [1.0, 8.0]}
        y = self.net(nd.array(np.load(f"{folder}/x.npy"))).asnumpy()
        np.savez(f"{folder}/NCHW, frozen.npz", y)
        np.savez(f"{folder}/channels_last, frozen.npz", y + self.error * abs(y).max())
        return None


@pytest.mark.parametrize("error", [5e-5, 2e-4])
def test_pytorch_is_compared_if_it_computes_the_same(of_benchmarks, monkeypatch, error):
    """And all of MXNet's sides compute the same, since they have the same parameters."""
    measure_networks, zoo = of_benchmarks("measure_networks"), of_benchmarks("zoo")
    ys = {}

    def for_inference(net, x):
        ours = nn.HybridSequential()
        ours.add(net)
        ours.report = "nothing done"
        return ours

    def in_turn(blocks, x, mode, seconds):
        ys.update({side: block(x).asnumpy() for side, block in blocks.items()})
        return {"static": [3.0, 6.0], "fused": [2.0, 2.0], "for_inference": [1.0, 2.0]}

    monkeypatch.setattr(mxconv, "for_inference", for_inference, raising=False)
    monkeypatch.setattr(mxconv, "export_onnx", lambda *arguments, **options: None)
    monkeypatch.setattr(measure_networks, "in_turn", in_turn)
    peer = TorchWith(zoo.initialized("LeNet", 2)[0], error)
    row = measure_networks.measure("LeNet", 2, 0, peer)
    for y in ys.values():
        np.testing.assert_allclose(y, ys["static"], rtol=1e-5)
    assert row["static"][::2] == [3.0, 3.0] and row["fused"][::2] == [1.333, 2.0]
    assert row["difference"] < 1e-6 and row["report"] == "nothing done"
    assert row["torch difference"] == pytest.approx(error, rel=0.01)
    if error < 1e-4:
        assert row["torch"] == {"NCHW, frozen": [2.0, 2.0], "channels_last, frozen": [3.0, 1.0]}
        assert row["without torch"] is None
    else:
        assert row["torch"] == {} and row["without torch"] == "its outputs differ by 2.0e-04"


def test_other_outputs_are_never_taken_for_the_same(of_benchmarks):
    difference = of_benchmarks("measure_networks").largest_difference
    y = np.array([1.0, -4.0])
    assert difference([y, 2 * y], [y, 2 * y + 0.5]) == 0.5 / 7.5
    assert difference([y], [y, y]) == difference([y[:1]], [y]) == np.inf
    assert np.isnan(difference([y, y * np.nan], [y, y]))


def test_the_networks_are_the_same_in_each_process(of_benchmarks):
    """With statistics that no BatchNorm ignores, and outputs that depend on the image."""
    zoo = of_benchmarks("zoo")
    nets, xs = zip(*(zoo.initialized("segmentation head on ResNet-18", 2) for _ in range(2)))
    for one, other in zip(*(net.collect_params().values() for net in nets)):
        assert (one.data() == other.data()).asnumpy().all()
    assert (xs[0] == xs[1]).asnumpy().all()
    for name, parameter in nets[0].collect_params().items():
        if name.endswith(("gamma", "beta", "running_mean", "running_var")):
            assert parameter.data().asnumpy().std() > 0.05
    first, second = nets[0](xs[0]).asnumpy()
    assert np.isfinite(first).all() and abs(first - second).max() > 1e-3 * abs(first).max()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # when GluonCV is imported
def test_every_network_computes_finite_values(of_benchmarks):
    zoo = of_benchmarks("zoo")
    timing = of_benchmarks("timing")
    for name in zoo.ZOO:
        if zoo.missing(name) is None:
            net, x = zoo.initialized(name, 1)
            assert all(np.isfinite(y.asnumpy()).all() for y in timing.outputs(net(x)))


def test_a_missing_package_is_named(of_benchmarks, monkeypatch):
    zoo = of_benchmarks("zoo")
    monkeypatch.setattr(zoo, "find_spec", lambda name: None)
    assert [name for name in zoo.ZOO if zoo.missing(name)] == [
        "MobileNet-v3",
        "SSD300",
        "SSD300, predictions",
    ]


def network_row(network, n, static, fused, **rest):
    """A row as measure_networks.py returns it; ratios of the fastest calls are 0.1 lower."""
    return {
        "network": network,
        "n": n,
        "ms": 1.5,
        "static": [static, 0.1, static - 0.1],
        "fused": [fused, 0.1, fused - 0.1],
        "torch": {},
        "without torch": "",
        "difference": 2e-7,
        "torch difference": None,
        "seconds": 3.0,
        "report": "a table",
        **rest,
    }


@pytest.fixture
def network_results(of_benchmarks, setting):
    ways = {"NCHW, frozen": [3.0, 2.5], "channels_last, optimized": [2.0, 1.5]}
    networks = [
        network_row("LeNet", 1, 1.0, 4.0, torch=ways, **{"torch difference": 1e-6}),
        network_row("SSD300", 1, 4.0, 1.0, **{"without torch": "of its own"}),
        network_row("LeNet", 16, 2.0, 8.0),
    ]
    machine = {name: value for name, value in setting.machine.items() if name != "peak"}
    return of_benchmarks("networks_report").NetworkResults(machine, networks)


def test_networks_are_summed_up_for_each_batch_size(network_results):
    table = rows(str(network_results), "network")
    assert table[0]["torch"] == "2.00 (1.50)" and table[0]["in"] == "channels_last, optimized"
    assert [row["static"] for row in table][1:] == ["4.00 ± 0.10 (3.90)", "2.00 ± 0.10 (1.90)"]
    assert [row["difference"] for row in table] == ["2e-07 / 1e-06", "2e-07", "2e-07"]
    means = rows(str(network_results), "n")
    titles = ("n", "networks", "over static", "over fused", "over the better", "over torch")
    assert [tuple(row[title] for title in titles) for row in means] == [
        ("1", "2", "2.00 (0.90)", "2.00 (0.90)", "1.00 (0.90)", "2.00 (1.50)"),
        ("16", "1", "2.00 (1.90)", "8.00 (7.90)", "2.00 (1.90)", "–"),
    ]
    assert "SSD300 is without PyTorch: of its own." in str(network_results)


def test_networks_have_a_section_on_the_page(of_benchmarks, setting, network_results, tmp_path):
    report = of_benchmarks("report")
    setting.save(tmp_path)
    network_results.save(tmp_path)
    report.write_page(tmp_path, tmp_path)
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    _, section = page.split("\n## Whole networks for inference\n")
    assert network_results.table() in section and network_results.means() in section
    assert "(../benchmarks/results/networks-avx2-one.md)" in section
    whole = (tmp_path / "networks-avx2-one.md").read_text(encoding="utf-8")
    assert str(network_results) in whole and "## LeNet, n = 16\n\n```\na table\n```" in whole


def test_some_networks_and_sizes_are_renewed(network_results, tmp_path):
    network_results.save(tmp_path)
    new = network_row("LeNet", 1, 5.0, 5.0)
    part = type(network_results)(network_results.machine, [new])
    assert part.completed(tmp_path).networks == [new, *network_results.networks[1:]]


def test_only_the_marked_part_of_a_page_is_replaced(of_benchmarks, tmp_path):
    pages = of_benchmarks("pages")
    path = tmp_path / "page.md"
    path.write_text("a\n<!-- x -->\n<!-- end -->\nb\n<!-- y -->\nold\n<!-- end -->\n")
    pages.put_between_markers(path, "x", "1")
    pages.put_between_markers(path, "y", r"\2")
    assert path.read_text() == (
        "a\n<!-- x -->\n\n1\n\n<!-- end -->\nb\n<!-- y -->\n\n\\2\n\n<!-- end -->\n"
    )
    with pytest.raises(ValueError, match="expected one <!-- z -->.*found 0"):
        pages.put_between_markers(path, "z", "")
