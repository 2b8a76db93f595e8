import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd
from mxnet.gluon import nn
from test_layer import EVERY_MODE, MODES, fill, integers, run

from mxconv import ConvGeometry, MultiChannelConv2D, cost, set_algorithm
from mxconv.algorithms import unsupported
from mxconv.algorithms.rule import choose
from mxconv.dtypes import BFLOAT16, has_avx512

NEEDS_AVX512 = pytest.mark.skipif(
    not has_avx512(), reason="the rule is for CPUs with AVX-512; here it always chooses 'direct'"
)
HEAD = dict(channels=2, kernel_size=3, padding=1)
CHOICES = [  # channels, kernel, in_channels, size, the rest, the choice
    (1, 7, 1, 256, {}, "tile"),
    (2, 15, 1, 64, {}, "tile"),
    (1, 3, 1, 128, {}, "direct"),
    (1, 5, 3, 128, {}, "tile"),
    (1, 5, 3, 32, {}, "direct"),
    (4, 3, 64, 64, {}, "tile"),
    (4, 3, 64, 16, {}, "direct"),
    (3, 5, 3, 64, {}, "direct"),
    (4, 7, 1, 64, {}, "direct"),
    (8, 3, 64, 64, {}, "direct"),
    (12, 3, 64, 64, {}, "align"),
    (12, 1, 512, 64, {}, "direct"),
    (16, 3, 64, 64, {}, "direct"),
    (84, 3, 512, 38, {}, "direct"),
    (84, 3, 512, 64, {}, "align"),
    (72, 3, 512, 64, {}, "direct"),
    (100, 3, 512, 64, {}, "align"),
    (64, 3, 3, 224, {}, "blocked"),
    (64, 7, 3, 224, dict(strides=2), "blocked"),
    (64, 1, 256, 56, {}, "blocked"),
    (32, 1, 192, 28, {}, "direct"),
    (128, 1, 512, 28, {}, "direct"),
    (32, 3, 32, 112, dict(groups=32), "blocked"),
    (64, 3, 16, 56, {}, "direct"),
    (33, 3, 33, 56, dict(groups=33), "direct"),
    (16, 5, 6, 14, {}, "direct"),
    (36, 3, 36, 56, {}, "direct"),
    (2, 3, 64, 64, dict(strides=2), "direct"),
    (2, 3, 64, 64, dict(dilation=2), "direct"),
    (2, 3, 64, 64, dict(groups=2), "direct"),
]


def geometry(channels, kernel, in_channels, rest):
    return ConvGeometry(channels, kernel, padding=kernel // 2, in_channels=in_channels, **rest)


@pytest.mark.parametrize("channels, kernel, in_channels, size, rest, choice", CHOICES)
def test_choices(channels, kernel, in_channels, size, rest, choice):
    g, shape = geometry(channels, kernel, in_channels, rest), (1, in_channels, size, size)
    assert choose(g, shape, np.float32, True) == choice
    assert unsupported(choice, g) is None
    for dtype, avx512 in ((np.float64, True), (BFLOAT16, True), (np.float32, False)):
        assert choose(g, shape, dtype, avx512) == "direct"


@NEEDS_AVX512
@EVERY_MODE
def test_the_chosen_algorithm_runs_and_shows(mode):
    layer = MultiChannelConv2D(**HEAD)
    stock = nn.Conv2D(in_channels=64, **HEAD)
    for block in (layer, stock):
        block.initialize()
    if MODES[mode] is not None:
        layer.hybridize(**MODES[mode])
    assert layer.chosen_algorithm == "direct" and "algorithm" not in repr(layer)
    x = integers((1, 64, 48, 45))
    layer(x)
    assert layer.algorithm == "auto" and layer.chosen_algorithm == "tile"
    assert repr(layer).endswith(", algorithm=tile (auto))")
    assert cost(layer, x.shape).algorithm == "tile"
    fill(stock)
    for ours, theirs in zip(layer.collect_params().values(), stock.collect_params().values()):
        ours.set_data(theirs.data())
    for ours, theirs in zip(run(layer, x), run(stock, x)):
        assert np.array_equal(ours, theirs)


@NEEDS_AVX512
def test_it_is_decided_once_for_a_dtype():
    layer = MultiChannelConv2D(**HEAD)
    layer.initialize()
    small, large = integers((1, 64, 8, 8)), integers((1, 64, 48, 48))
    for x in (small, large):
        layer(x)
        assert layer.chosen_algorithm == "direct"
    layer.algorithm = "auto"  # asked anew
    layer(large)
    assert layer.chosen_algorithm == "tile"
    layer(small)
    assert layer.chosen_algorithm == "tile"
    layer.cast("float64")
    layer(large.astype("float64"))
    assert layer.chosen_algorithm == "direct"


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
    assert net[1].chosen_algorithm == ("tile" if called_before else "direct")
    assert ("slice_like" in net._cached_graph[1].tojson()) == called_before
    if called_before:
        np.testing.assert_allclose(hybridized.asnumpy(), y.asnumpy(), rtol=1e-4, atol=1e-4)
    set_algorithm(net, "direct")
    np.testing.assert_allclose(net(x).asnumpy(), hybridized.asnumpy(), rtol=1e-4, atol=1e-4)


def test_a_lone_decision_does_not_disturb_recording():
    """The first call may come while recording, when deferred channels are fixed as well."""
    layer = MultiChannelConv2D(**HEAD)
    layer.initialize(mx.init.One())
    x = nd.ones((1, 64, 48, 48))
    with autograd.record():
        y = layer(x)
    y.backward()
    assert (layer.bias.grad().asnumpy() == 48 * 48).all()
