from mxconv import ConvGeometry, MultiChannelConv2D, choose_algorithms, cost, set_algorithm
from mxconv.algorithms import unsupported
from mxconv.algorithms.rule import choose
from mxconv.cpu import has_avx512
from mxconv.dtypes import BFLOAT16
from test_layer import EVERY_MODE, MODES, fill, integers, run

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd
from mxnet.gluon import nn

pytestmark = pytest.mark.kernels

NEEDS_AVX512 = pytest.mark.skipif(
    not has_avx512(), reason="the rule is for CPUs with AVX-512; here it always chooses 'direct'"
)
HEAD = dict(channels=2, kernel_size=3, padding=1)
CHOICES = [  # channels, kernel, in_channels, size, the rest, the choice
    (1, 7, 1, 256, {}, "tile"),
    (2, 15, 1, 64, {}, "tile"),
    (6, 11, 1, 64, {}, "tile"),
    (1, 7, 1, 24, {}, "direct"),
    (1, 3, 1, 128, {}, "direct"),
    (4, 7, 1, 64, {}, "direct"),
    (8, 15, 1, 64, {}, "direct"),
    (1, 5, 3, 128, {}, "tile"),
    (1, 5, 3, 32, {}, "direct"),
    (3, 5, 3, 64, {}, "direct"),
    (3, 7, 3, 64, {}, "tile"),
    (3, 9, 64, 64, {}, "tile"),
    (3, 5, 64, 64, {}, "taps"),
    (4, 3, 64, 64, {}, "taps"),
    (4, 3, 64, 16, {}, "taps"),
    (4, 3, 64, 8, {}, "direct"),
    (4, 3, 8, 64, {}, "direct"),
    (1, 3, 8, 64, {}, "taps"),
    (4, 3, 64, 64, dict(padding=3), "direct"),
    (8, 3, 64, 64, {}, "direct"),
    (12, 3, 64, 64, {}, "align"),
    (12, 3, 64, 8, {}, "direct"),
    (12, 3, 128, 64, {}, "taps"),
    (12, 3, 100, 28, {}, "taps"),
    (12, 3, 50, 64, {}, "align"),
    (12, 3, 20, 64, {}, "align"),
    (12, 3, 20, 28, {}, "direct"),
    (12, 3, 16, 56, {}, "align"),
    (12, 3, 16, 28, {}, "direct"),
    (20, 3, 8, 112, {}, "direct"),
    (24, 3, 36, 56, {}, "align"),
    (32, 3, 36, 56, {}, "direct"),
    (60, 3, 36, 56, {}, "direct"),
    (18, 3, 18, 56, {}, "direct"),
    (9, 3, 8, 40, {}, "direct"),
    (12, 1, 512, 64, {}, "direct"),
    (6, 7, 64, 64, {}, "align"),
    (16, 3, 64, 64, {}, "direct"),
    (21, 3, 512, 38, {}, "taps"),
    (84, 3, 512, 38, {}, "align"),
    (84, 3, 512, 14, {}, "direct"),
    (72, 3, 512, 64, {}, "direct"),
    (100, 3, 512, 64, {}, "align"),
    (126, 3, 1024, 19, {}, "taps"),
    (126, 3, 512, 10, {}, "direct"),
    (64, 3, 3, 224, {}, "blocked"),
    (64, 7, 3, 224, dict(strides=2), "blocked"),
    (64, 1, 256, 56, {}, "blocked"),
    (32, 1, 192, 28, {}, "direct"),
    (192, 1, 32, 28, {}, "direct"),
    (144, 1, 24, 56, {}, "blocked"),
    (128, 1, 512, 28, {}, "direct"),
    (32, 3, 32, 112, dict(groups=32), "blocked"),
    (64, 3, 16, 56, {}, "direct"),
    (33, 3, 33, 56, dict(groups=33), "split"),
    (58, 5, 58, 28, dict(groups=58, strides=2), "direct"),
    (58, 5, 58, 56, dict(groups=58, strides=2), "split"),
    (40, 3, 40, 56, dict(groups=40), "direct"),
    (15, 3, 15, 56, dict(groups=15), "direct"),
    (16, 5, 6, 14, {}, "direct"),
    (36, 3, 36, 56, {}, "align"),
    (36, 3, 36, 28, {}, "direct"),
    (2, 3, 64, 64, dict(strides=2), "direct"),
    (1, 7, 1, 256, dict(dilation=2), "tile"),
    (2, 3, 64, 64, dict(dilation=2), "taps"),
    (2, 3, 64, 64, dict(dilation=8), "align"),
    (8, 3, 64, 64, dict(dilation=2), "direct"),
    (21, 3, 512, 41, dict(dilation=6), "align"),
    (84, 3, 64, 64, dict(dilation=2), "direct"),
    (12, 3, 24, 56, dict(dilation=2), "direct"),
    (32, 1, 32, 112, dict(dilation=2), "direct"),
    (33, 3, 33, 56, dict(dilation=2, groups=33), "direct"),
    (2, 3, 64, 64, dict(groups=2), "direct"),
]


def geometry(channels, kernel, in_channels, rest):
    rest = {"padding": rest.get("dilation", 1) * (kernel // 2), **rest}
    return ConvGeometry(channels, kernel, in_channels=in_channels, **rest)


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
    assert layer.algorithm == "auto" and layer.chosen_algorithm == "taps"
    assert repr(layer).endswith(", algorithm=taps (auto))")
    assert cost(layer, x.shape).algorithm == "taps"
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
    assert layer.chosen_algorithm == "taps"
    layer(small)
    assert layer.chosen_algorithm == "taps"
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
    assert net[1].chosen_algorithm == ("taps" if called_before else "direct")
    assert ("Deconvolution" in net._cached_graph[1].tojson()) == called_before
    if called_before:
        np.testing.assert_allclose(hybridized.asnumpy(), y.asnumpy(), rtol=1e-4, atol=1e-4)
    set_algorithm(net, "direct")
    np.testing.assert_allclose(net(x).asnumpy(), hybridized.asnumpy(), rtol=1e-4, atol=1e-4)


def heads(in_channels=0):
    """A layer, and three of it that are heads: two alike but for their padding, one by name."""
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(64, 1, in_channels=in_channels))
    for arguments in (dict(padding=1), dict(padding=((2, 0), (1, 1)), padding_mode="reflect")):
        net.add(MultiChannelConv2D(2, 3, **arguments), nn.Conv2D(64, 1))
    net.add(MultiChannelConv2D(2, 3, algorithm="matmul"), nn.Dense(3))
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
    assert choose_algorithms(net, x.shape) is net
    ours = [layer for layer in net if isinstance(layer, MultiChannelConv2D)]
    assert [layer.chosen_algorithm for layer in ours] == ["direct", "taps", "taps", "matmul"]
    if not initialized:
        net.initialize(mx.init.Normal(0.1))
    with autograd.record():
        y = net(x)
    y.backward()
    graph = net._cached_graph[1].tojson()
    assert graph.count('"op": "Deconvolution"') == 2
    gradients = [p.grad().copy() for p in net.collect_params().values()]
    set_algorithm(net, "direct")
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
    for size, choice in ((8, "direct"), (40, "taps")):
        choose_algorithms(net, (1, 4, size, size))
        assert net[1].chosen_algorithm == choice
    lone = choose_algorithms(MultiChannelConv2D(2, 3, layout="NHWC"), (1, 40, 40, 64))
    assert lone.chosen_algorithm == "taps" and lone.geometry.in_channels == 64


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
    with pytest.raises(TypeError, match="expected a tuple of integers.*received input_shape='big'"):
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
