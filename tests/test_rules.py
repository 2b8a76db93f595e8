import re
from pathlib import Path

from helpers import EVERY_MODE, fill, hybridize, integers, labels, run
from mxconv import ConvGeometry, MultiChannelConv2D, choose_algorithms, count_cost, set_algorithm
from mxconv.algorithms import unsupported
from mxconv.cpu import has_avx512
from mxconv.dtypes import BFLOAT16
from mxconv.selection import rules
from mxconv.selection.rules import avx512

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd
from mxnet.gluon import nn

pytestmark = pytest.mark.kernels

NEEDS_AVX512 = pytest.mark.skipif(
    not has_avx512(), reason="the rule is for CPUs with AVX-512; here it always chooses 'native'"
)
HEAD = dict(channels=2, kernel_size=3, padding=1)
CHOICES = [  # channels, kernel, in_channels, size, the rest, the choice
    (1, 7, 1, 256, {}, "depth_to_space"),
    (2, 15, 1, 64, {}, "depth_to_space"),
    (6, 11, 1, 64, {}, "depth_to_space"),
    (1, 7, 1, 24, {}, "native"),
    (1, 3, 1, 128, {}, "native"),
    (4, 7, 1, 64, {}, "native"),
    (8, 15, 1, 64, {}, "native"),
    (1, 5, 3, 128, {}, "depth_to_space"),
    (1, 5, 3, 32, {}, "native"),
    (3, 5, 3, 64, {}, "native"),
    (3, 7, 3, 64, {}, "depth_to_space"),
    (3, 9, 64, 64, {}, "depth_to_space"),
    (3, 5, 64, 64, {}, "kn2row"),
    (4, 3, 64, 64, {}, "kn2row"),
    (4, 3, 64, 16, {}, "kn2row"),
    (4, 3, 64, 8, {}, "native"),
    (4, 3, 8, 64, {}, "native"),
    (1, 3, 8, 64, {}, "kn2row"),
    (4, 3, 64, 64, dict(padding=3), "native"),
    (8, 3, 64, 64, {}, "native"),
    (12, 3, 64, 64, {}, "pad_channels"),
    (12, 3, 64, 8, {}, "native"),
    (12, 3, 128, 64, {}, "kn2row"),
    (12, 3, 100, 28, {}, "kn2row"),
    (12, 3, 50, 64, {}, "pad_channels"),
    (12, 3, 20, 64, {}, "pad_channels"),
    (12, 3, 20, 28, {}, "native"),
    (12, 3, 16, 56, {}, "pad_channels"),
    (12, 3, 16, 28, {}, "native"),
    (20, 3, 8, 112, {}, "native"),
    (24, 3, 36, 56, {}, "pad_channels"),
    (32, 3, 36, 56, {}, "native"),
    (60, 3, 36, 56, {}, "native"),
    (18, 3, 18, 56, {}, "native"),
    (9, 3, 8, 40, {}, "native"),
    (12, 1, 512, 64, {}, "native"),
    (6, 7, 64, 64, {}, "pad_channels"),
    (16, 3, 64, 64, {}, "native"),
    (21, 3, 512, 38, {}, "kn2row"),
    (84, 3, 512, 38, {}, "pad_channels"),
    (84, 3, 512, 14, {}, "native"),
    (72, 3, 512, 64, {}, "native"),
    (100, 3, 512, 64, {}, "pad_channels"),
    (126, 3, 1024, 19, {}, "kn2row"),
    (126, 3, 512, 10, {}, "native"),
    (64, 3, 3, 224, {}, "train_layout"),
    (64, 7, 3, 224, dict(strides=2), "train_layout"),
    (64, 1, 256, 56, {}, "train_layout"),
    (32, 1, 192, 28, {}, "native"),
    (192, 1, 32, 28, {}, "native"),
    (144, 1, 24, 56, {}, "train_layout"),
    (128, 1, 512, 28, {}, "native"),
    (32, 3, 32, 112, dict(groups=32), "train_layout"),
    (64, 3, 16, 56, {}, "native"),
    (33, 3, 33, 56, dict(groups=33), "split_channels"),
    (58, 5, 58, 28, dict(groups=58, strides=2), "native"),
    (58, 5, 58, 56, dict(groups=58, strides=2), "split_channels"),
    (40, 3, 40, 56, dict(groups=40), "native"),
    (15, 3, 15, 56, dict(groups=15), "native"),
    (16, 5, 6, 14, {}, "native"),
    (36, 3, 36, 56, {}, "pad_channels"),
    (36, 3, 36, 28, {}, "native"),
    (2, 3, 64, 64, dict(strides=2), "native"),
    (1, 7, 1, 256, dict(dilation=2), "depth_to_space"),
    (2, 3, 64, 64, dict(dilation=2), "kn2row"),
    (2, 3, 64, 64, dict(dilation=8), "pad_channels"),
    (8, 3, 64, 64, dict(dilation=2), "native"),
    (21, 3, 512, 41, dict(dilation=6), "pad_channels"),
    (84, 3, 64, 64, dict(dilation=2), "native"),
    (12, 3, 24, 56, dict(dilation=2), "native"),
    (32, 1, 32, 112, dict(dilation=2), "native"),
    (33, 3, 33, 56, dict(dilation=2, groups=33), "native"),
    (2, 3, 64, 64, dict(groups=2), "native"),
]


def geometry(channels, kernel, in_channels, rest):
    rest = {"padding": rest.get("dilation", 1) * (kernel // 2), **rest}
    return ConvGeometry(channels, kernel, in_channels=in_channels, **rest)


CHOICE = "channels, kernel, in_channels, size, rest, choice"


@pytest.mark.parametrize(CHOICE, CHOICES, ids=labels(CHOICE, CHOICES))
def test_choices(channels, kernel, in_channels, size, rest, choice, monkeypatch):
    g, shape = geometry(channels, kernel, in_channels, rest), (1, in_channels, size, size)
    assert avx512.predict(g, shape) == choice
    assert unsupported(choice, g) is None
    monkeypatch.setattr(rules, "RULES", ((lambda: True, avx512.predict),))
    assert rules.predict(g, shape, np.float32, mx.cpu()) == choice
    for dtype, context in (
        (np.float64, mx.cpu()),
        (BFLOAT16, mx.cpu()),
        (np.float32, mx.gpu()),
    ):
        assert rules.predict(g, shape, dtype, context) == "native"
    monkeypatch.setattr(rules, "RULES", ((lambda: False, avx512.predict),))
    assert rules.predict(g, shape, np.float32, mx.cpu()) == "native"


CONVOLUTION = r"\d+>\d+ \d+x\d+ @\d+(?: [sdg]\d+)*"
CITATION = re.compile(rf"({CONVOLUTION})(?:, \d+(?:\.\d+)?(?:e\d)?)?: (\d+\.\d\d)")


def test_the_figures_that_the_rule_cites_were_measured():
    """Times in inference with one image, of the tables that the benchmarks have written."""
    root, measured = Path(__file__).resolve().parent.parent, set()
    for page in ("benchmarks/rule.md", "docs/benchmarks.md"):
        for line in (root / page).read_text("utf-8").splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) > 6 and re.fullmatch(CONVOLUTION, cells[1]) and cells[2] == "1":
                measured.add((cells[1], cells[4].split()[0]))
    cited = CITATION.findall(Path(avx512.__file__).read_text("utf-8"))
    assert len(cited) >= 30
    assert [figure for figure in cited if figure not in measured] == []


@NEEDS_AVX512
@EVERY_MODE
def test_the_chosen_algorithm_runs_and_shows(mode):
    layer = MultiChannelConv2D(**HEAD)
    stock = nn.Conv2D(in_channels=64, **HEAD)
    for block in (layer, stock):
        block.initialize()
    hybridize(layer, mode)
    assert layer.chosen_algorithm == "native" and "algorithm" not in repr(layer)
    x = integers((1, 64, 48, 45))
    layer(x)
    assert layer.algorithm == "auto" and layer.chosen_algorithm == "kn2row"
    assert repr(layer).endswith(", algorithm=kn2row (auto))")
    assert count_cost(layer, x.shape).algorithm == "kn2row"
    fill(stock)
    for ours, theirs in zip(layer.collect_params().values(), stock.collect_params().values()):
        ours.set_data(theirs.data())
    for ours, theirs in zip(run(layer, x), run(stock, x)):
        assert np.array_equal(ours, theirs)


@NEEDS_AVX512
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


@NEEDS_AVX512
@pytest.mark.parametrize("called_before", [True, False])
def test_inside_a_hybridized_network(called_before):
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(64, 1), MultiChannelConv2D(**HEAD, padding_mode="reflect"))
    net.initialize()
    x = integers((1, 3, 48, 48))
    y = net(x) if called_before else None
    net.hybridize()
    hybridized = net(x)
    assert net[1].chosen_algorithm == ("kn2row" if called_before else "native")
    assert ("Deconvolution" in net._cached_graph[1].tojson()) == called_before
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


@NEEDS_AVX512
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


@NEEDS_AVX512
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
