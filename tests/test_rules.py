import itertools
import os
import re
from dataclasses import replace
from pathlib import Path

from helpers import EVERY_MODE, fill, hybridize, integers, run
from mxconv import (
    ConvGeometry,
    MultiChannelConv2D,
    _cpuinfo,
    choose_algorithms,
    count_cost,
    set_algorithm,
)
from mxconv.algorithms import unsupported
from mxconv.dtypes import BFLOAT16
from mxconv.selection import rules
from mxconv.selection.rules import avx2, avx512, questions

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd
from mxnet.gluon import nn

pytestmark = pytest.mark.kernels

NEEDS_RULE = pytest.mark.skipif(
    rules.rule_here() is None, reason="there is no rule for this CPU, so 'auto' is 'native'"
)
ROOT = Path(__file__).resolve().parent.parent
CHOICES = ROOT / "tests" / "data" / "choices_by_rule.txt"
RULES = {"AVX-512": avx512, "AVX2": avx2}
EVERY_RULE = pytest.mark.parametrize("cpu", RULES)
HEAD = dict(channels=2, kernel_size=3, padding=1)
CONVOLUTIONS = [  # channels, kernel, in_channels, size, the rest
    (1, 7, 1, 256, {}),
    (2, 15, 1, 64, {}),
    (6, 11, 1, 64, {}),
    (1, 7, 1, 24, {}),
    (1, 3, 1, 128, {}),
    (4, 7, 1, 64, {}),
    (8, 15, 1, 64, {}),
    (1, 5, 3, 128, {}),
    (1, 5, 3, 32, {}),
    (3, 5, 3, 64, {}),
    (3, 7, 3, 64, {}),
    (3, 9, 64, 64, {}),
    (3, 5, 64, 64, {}),
    (4, 3, 64, 64, {}),
    (4, 3, 64, 16, {}),
    (4, 3, 64, 8, {}),
    (4, 3, 8, 64, {}),
    (1, 3, 8, 64, {}),
    (4, 3, 64, 64, dict(padding=3)),
    (8, 3, 64, 64, {}),
    (12, 3, 64, 64, {}),
    (12, 3, 64, 8, {}),
    (12, 3, 128, 64, {}),
    (12, 3, 100, 28, {}),
    (12, 3, 50, 64, {}),
    (12, 3, 20, 64, {}),
    (12, 3, 20, 28, {}),
    (12, 3, 16, 56, {}),
    (12, 3, 16, 28, {}),
    (20, 3, 8, 112, {}),
    (24, 3, 36, 56, {}),
    (32, 3, 36, 56, {}),
    (60, 3, 36, 56, {}),
    (18, 3, 18, 56, {}),
    (9, 3, 8, 40, {}),
    (12, 1, 512, 64, {}),
    (6, 7, 64, 64, {}),
    (16, 3, 64, 64, {}),
    (21, 3, 512, 38, {}),
    (84, 3, 512, 38, {}),
    (84, 3, 512, 14, {}),
    (72, 3, 512, 64, {}),
    (100, 3, 512, 64, {}),
    (126, 3, 1024, 19, {}),
    (126, 3, 512, 10, {}),
    (64, 3, 3, 224, {}),
    (64, 7, 3, 224, dict(strides=2)),
    (64, 1, 256, 56, {}),
    (32, 1, 192, 28, {}),
    (192, 1, 32, 28, {}),
    (144, 1, 24, 56, {}),
    (128, 1, 512, 28, {}),
    (32, 3, 32, 112, dict(groups=32)),
    (64, 3, 16, 56, {}),
    (33, 3, 33, 56, dict(groups=33)),
    (58, 5, 58, 28, dict(groups=58, strides=2)),
    (58, 5, 58, 56, dict(groups=58, strides=2)),
    (40, 3, 40, 56, dict(groups=40)),
    (15, 3, 15, 56, dict(groups=15)),
    (16, 5, 6, 14, {}),
    (36, 3, 36, 56, {}),
    (36, 3, 36, 28, {}),
    (2, 3, 64, 64, dict(strides=2)),
    (1, 7, 1, 256, dict(dilation=2)),
    (2, 3, 64, 64, dict(dilation=2)),
    (2, 3, 64, 64, dict(dilation=8)),
    (8, 3, 64, 64, dict(dilation=2)),
    (21, 3, 512, 41, dict(dilation=6)),
    (84, 3, 64, 64, dict(dilation=2)),
    (12, 3, 24, 56, dict(dilation=2)),
    (32, 1, 32, 112, dict(dilation=2)),
    (33, 3, 33, 56, dict(dilation=2, groups=33)),
    (2, 3, 64, 64, dict(groups=2)),
    (4, 3, 64, 64, dict(groups=4)),
    (12, 3, 64, 64, dict(groups=2)),
    (128, 3, 128, 28, dict(groups=32)),
    (12, 3, 64, 64, dict(strides=2)),
    (2, 5, 64, 64, dict(strides=2)),
    (1, 9, 1, 64, {}),
    (1, 63, 1, 256, {}),
    (4, 15, 1, 64, {}),
    (1, 7, 2, 128, {}),
    (2, 9, 3, 96, {}),
    (3, 11, 3, 128, {}),
    (3, 15, 3, 128, {}),
    (3, 7, 3, 128, {}),
    (21, 3, 64, 32, {}),
    (10, 5, 48, 24, {}),
    (30, 3, 100, 28, {}),
    (30, 3, 30, 56, {}),
    (84, 3, 256, 38, {}),
    (21, 3, 2048, 41, dict(dilation=12)),
]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """The rules choose less where MXNet has several threads."""
    monkeypatch.setattr(_cpuinfo, "threads", lambda: 1)


def on(cpu, monkeypatch):
    """Let this machine be one that a rule is for."""
    monkeypatch.setattr(rules, "RULES", (RULES[cpu].RULE._replace(is_here=lambda: True),))
    monkeypatch.setattr(_cpuinfo, "has_avx512", lambda: cpu == "AVX-512")


def convolution(channels, kernel, in_channels, size, rest):
    rest = {"padding": rest.get("dilation", 1) * (kernel // 2), **rest}
    geometry = ConvGeometry(channels, kernel, in_channels=in_channels, **rest)
    return geometry, (1, in_channels, size, size)


def predicted(geometry, shape, dtype=np.float32, context=None, **mode):
    return rules.predict(geometry, shape, dtype, context or mx.cpu(), **mode)


def choices(cpu, monkeypatch):
    """A line for each convolution: what a rule chooses for inference and for training."""
    on(cpu, monkeypatch)
    for arguments in CONVOLUTIONS:
        geometry, shape = convolution(*arguments)
        modes = []
        for threads in (1, 2):
            monkeypatch.setattr(_cpuinfo, "threads", lambda threads=threads: threads)
            monkeypatch.setattr(_cpuinfo, "cores", lambda: 4)
            found = [predicted(geometry, shape, training=training) for training in (False, True)]
            assert all(unsupported(name, geometry) is None for name in found)
            modes.append(" / ".join(dict.fromkeys(found)))
        channels, kernel, in_channels, size, rest = arguments
        extra = "".join(f" {name}={value}" for name, value in rest.items())
        text = f"{in_channels}>{channels} {kernel}x{kernel} @{size}{extra}"
        yield f"{cpu}: {text}: {modes[0]}" + f"; two threads: {modes[1]}" * (modes[0] != modes[1])


def test_choices(monkeypatch):
    """Accept a change with UPDATE_TABLES=1 in the environment, and review the difference."""
    text = "".join(f"{line}\n" for cpu in RULES for line in choices(cpu, monkeypatch))
    if os.environ.get("UPDATE_TABLES"):
        CHOICES.write_text(text, encoding="utf-8")
        pytest.fail(f"wrote {CHOICES}: review it, and run the test without UPDATE_TABLES")
    assert text == CHOICES.read_text("utf-8")


CHOSEN = [
    (2, 3, 64, 64, {}),
    (1, 9, 1, 64, {}),
    (12, 3, 64, 64, {}),
    (33, 3, 33, 56, dict(groups=33)),
]


@EVERY_RULE
@pytest.mark.parametrize("arguments", CHOSEN, ids=str)
def test_a_rule_is_for_float32_on_its_cpu(arguments, cpu, monkeypatch):
    on(cpu, monkeypatch)
    geometry, shape = convolution(*arguments)
    assert predicted(geometry, shape) != "native"
    for dtype, context, reason in (
        (np.float64, mx.cpu(), "no rule for float64"),
        (BFLOAT16, mx.cpu(), "no rule for bfloat16"),
        (np.float32, mx.gpu(), "no rule for GPUs"),
    ):
        assert predicted(geometry, shape, dtype, context) == "native"
        assert rules.obstacle(dtype, context) == reason
    monkeypatch.setattr(rules, "RULES", (RULES[cpu].RULE._replace(is_here=lambda: False),))
    assert predicted(geometry, shape) == "native"
    assert rules.obstacle(np.float32, mx.cpu()) == "no rule for this CPU"


@EVERY_RULE
def test_what_may_gain_in_a_graph(cpu, monkeypatch):
    """No choice is missed because a trace needn't know the shape."""
    on(cpu, monkeypatch)
    for arguments in CONVOLUTIONS:
        geometry, _ = convolution(*arguments)
        for size, training in itertools.product((16, 64, 256), (False, True)):
            shape = (4, geometry.in_channels, size, size)
            found = predicted(geometry, shape, training=training, in_graph=True)
            assert found != "train_layout"
            if found != "native":
                assert rules.may_gain(geometry, np.float32, mx.cpu())
                unknown = replace(geometry, in_channels=0)
                assert rules.may_gain(unknown, np.float32, mx.cpu())
    for c_i, c_o in itertools.product((1, 2, 7, 16, 64, 100), (1, 3, 12, 16, 21, 100)):
        pointwise = ConvGeometry(c_o, 1, in_channels=c_i)
        for size in (1, 16, 512):
            assert predicted(pointwise, (16, c_i, size, size), in_graph=True) == "native"


@EVERY_RULE
def test_a_missing_fast_kernel_is_known_from_the_memory_of_im2col(cpu, monkeypatch):
    """OneDNN's limit grows with the threads; measured: 1>1 7x7 is slow with one, not with two."""
    for threads, arguments, slow in (
        (1, (1, 7, 1, 64, {}), True),
        (2, (1, 7, 1, 64, {}), False),
        (2, (1, 9, 1, 64, {}), True),
        (1, (3, 7, 1, 64, {}), False),
        (1, (2, 7, 2, 32, {}), True),
        (1, (1, 7, 2, 64, {}), False),
    ):
        monkeypatch.setattr(_cpuinfo, "threads", lambda threads=threads: threads)
        geometry, shape = convolution(*arguments)
        assert questions.falls_back(geometry, questions.Work.of(geometry, shape, False)) == slow


CONVOLUTION = r"\d+>\d+ \d+x\d+ @\d+(?: [sdg]\d+)*"
CITATION = re.compile(rf"({CONVOLUTION})(?:, \d+(?:\.\d+)?(?:e\d)?)?: (\d+\.\d\d) / (\d+\.\d\d)")
EVIDENCE = {"AVX-512": "benchmarks/rule.md", "AVX2": "benchmarks/rule-avx2.md"}


@EVERY_RULE
def test_the_figures_that_a_rule_cites_were_measured(cpu):
    """In inference and in training, in the table that the benchmarks wrote."""
    measured = set()
    for line in (ROOT / EVIDENCE[cpu]).read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) > 6 and re.fullmatch(CONVOLUTION, cells[1]):
            measured.add((cells[1], cells[4].split()[0], cells[6].split()[0]))
    text = Path(RULES[cpu].__file__).read_text("utf-8").replace("\n    # ", " ")
    cited = CITATION.findall(text)
    assert len(cited) >= 25
    assert [figure for figure in cited if figure not in measured] == []


@NEEDS_RULE
@EVERY_MODE
def test_the_chosen_algorithm_runs_and_shows(mode):
    layer = MultiChannelConv2D(**HEAD)
    stock = nn.Conv2D(in_channels=64, **HEAD)
    for block in (layer, stock):
        block.initialize()
    hybridize(layer, mode)
    assert layer.chosen_algorithm == "native"
    assert "algorithm" not in repr(layer) and layer.chosen_because == "no input yet"
    x = integers((1, 64, 48, 45))
    layer(x)
    assert layer.algorithm == "auto" and layer.chosen_algorithm == "kn2row"
    reason = f"faster by the rule for {rules.rule_here().cpu}"
    assert repr(layer).endswith(f", algorithm=kn2row (auto: {reason}))")
    assert count_cost(layer, x.shape).algorithm == "kn2row"
    fill(stock)
    for ours, theirs in zip(layer.collect_params().values(), stock.collect_params().values()):
        ours.set_data(theirs.data())
    for ours, theirs in zip(run(layer, x), run(stock, x)):
        assert np.array_equal(ours, theirs)


@NEEDS_RULE
def test_the_algorithm_is_decided_once_for_a_dtype():
    layer = MultiChannelConv2D(**HEAD)
    layer.initialize()
    small, large = integers((1, 64, 8, 8)), integers((1, 64, 48, 48))
    for x in (small, large):
        layer(x)
        assert layer.chosen_algorithm == "native"
    layer.algorithm = "auto"  # which it has: the choice stays
    layer(large)
    assert layer.chosen_algorithm == "native"
    layer.algorithm = "im2col"
    layer.algorithm = "auto"  # asked anew
    layer(large)
    assert layer.chosen_algorithm == "kn2row"
    layer(small)
    assert layer.chosen_algorithm == "kn2row"
    layer.cast("float64")
    layer(large.astype("float64"))
    assert layer.chosen_algorithm == "native"


@NEEDS_RULE
@pytest.mark.parametrize("called_before", [True, False])
def test_inside_a_hybridized_network(called_before):
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(64, 1), MultiChannelConv2D(**HEAD, padding_mode="reflect"))
    net.initialize()
    x = integers((1, 3, 48, 48))
    y = net(x) if called_before else None
    net.hybridize()
    hybridized = net(x)
    assert net[1].chosen_algorithm == "kn2row"
    assert "Deconvolution" in net._cached_graph[1].tojson()
    if called_before:
        np.testing.assert_allclose(hybridized.asnumpy(), y.asnumpy(), rtol=1e-4, atol=1e-4)
    set_algorithm(net, "native")
    np.testing.assert_allclose(net(x).asnumpy(), hybridized.asnumpy(), rtol=1e-4, atol=1e-4)


def heads(in_channels=0):
    """A layer, and three of it that are heads: two alike but for their padding, one by name."""
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(64, 1, in_channels=in_channels))
    for arguments in (dict(padding=1), dict(padding=((2, 0), (1, 1)), padding_mode="reflect")):
        net.add(MultiChannelConv2D(2, 3, **arguments), nn.Conv2D(64, 1))
    net.add(MultiChannelConv2D(2, 3, algorithm="im2col"), nn.Dense(3))
    return net


@NEEDS_RULE
@pytest.mark.parametrize("in_channels", [0, 4])
@pytest.mark.parametrize("initialized", [True, False])
def test_a_network_that_is_hybridized_at_once(initialized, in_channels):
    """With channels that are known, or that it learns; with parameters, or before them."""
    net, x = heads(in_channels), integers((1, 4, 40, 36))
    net.hybridize()
    if initialized:
        net.initialize(mx.init.Normal(0.1))
    choices = choose_algorithms(net, x.shape)
    assert [row.layer for row in choices.rows] == ["0", "1", "3", "5"]
    ours = [layer for layer in net if isinstance(layer, MultiChannelConv2D)]
    assert [layer.chosen_algorithm for layer in ours] == ["native", "kn2row", "kn2row", "im2col"]
    if not initialized:
        net.initialize(mx.init.Normal(0.1))
    with autograd.record():
        y = net(x)
    y.backward()
    graph = net._cached_graph[1].tojson()
    assert graph.count('"op": "Deconvolution"') == 2
    gradients = [p.grad().copy() for p in net.collect_params().values()]
    set_algorithm(net, "native")
    with autograd.record():
        expected = net(x)
    expected.backward()
    np.testing.assert_allclose(y.asnumpy(), expected.asnumpy(), rtol=1e-3, atol=1e-3)
    for ours, parameter in zip(gradients, net.collect_params().values()):
        theirs = parameter.grad().asnumpy()
        np.testing.assert_allclose(ours.asnumpy(), theirs, rtol=1e-3, atol=1e-3 * abs(theirs).max())


@NEEDS_RULE
def test_a_network_chooses_anew_for_another_size():
    net = heads()
    net.initialize()
    net(integers((1, 4, 40, 36)))
    for size, choice in ((8, "native"), (40, "kn2row")):
        choose_algorithms(net, (1, 4, size, size))
        assert net[1].chosen_algorithm == choice
    lone = MultiChannelConv2D(2, 3, layout="NHWC")
    choose_algorithms(lone, (1, 40, 40, 64))
    assert lone.chosen_algorithm == "kn2row" and lone.geometry.in_channels == 64


def test_what_cannot_be_chosen_for_changes_nothing():
    net = heads()
    for shape in ((1, 4), (1, 4, 1, 1)):
        with pytest.raises(ValueError, match=r"can't take input_shape=\(1, 4"):
            choose_algorithms(net, shape)
    assert all(layer.weight.shape[1] == 0 for layer in net if isinstance(layer, nn.Conv2D))
    with pytest.raises(ValueError, match="a network with a MultiChannelConv2D"):
        choose_algorithms(nn.Dense(2), (1, 4))
    with pytest.raises(TypeError, match="net has the wrong type"):
        choose_algorithms(None, (1, 4, 9, 9))
    with pytest.raises(
        TypeError, match="an MXNet array, or its shape as a tuple of integers, received x='big'"
    ):
        choose_algorithms(net, "big")


def test_a_lone_decision_does_not_disturb_recording():
    """The first call may come while recording, when deferred channels are fixed as well."""
    layer = MultiChannelConv2D(**HEAD)
    layer.initialize(mx.init.One())
    x = nd.ones((1, 64, 48, 48))
    with autograd.record():
        y = layer(x)
    y.backward()
    assert (layer.bias.grad().asnumpy() == 48 * 48).all()


@pytest.mark.parametrize(
    "threads, cores, price", [(1, 1, 1), (1, 64, 1), (2, 2, 18), (2, 3, 18), (2, 4, 6), (8, 16, 24)]
)
def test_threads_raise_the_price_of_each_step(threads, cores, price, monkeypatch):
    monkeypatch.setattr(_cpuinfo, "threads", lambda: threads)
    monkeypatch.setattr(_cpuinfo, "cores", lambda: cores)
    geometry, shape = convolution(2, 3, 64, 64, {})
    assert questions.Work.of(geometry, shape, training=False).price == price
