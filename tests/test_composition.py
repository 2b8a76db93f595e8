"""Merged kernels and layers against the pair they replace, and the definition in float64."""

import oracle
from helpers import fill, integers, labels
from mxconv import MultiChannelConv2D, corr2d_multi_in_out
from mxconv.exercises import merge_convolutions

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

KERNELS = [  # c_i, c_mid, c_o, (k1_h, k1_w), (k2_h, k2_w)
    (1, 1, 1, (1, 1), (1, 1)),
    (1, 1, 1, (3, 3), (2, 2)),
    (2, 3, 4, (3, 2), (2, 4)),
    (3, 1, 2, (1, 5), (4, 1)),
    (1, 5, 1, (2, 3), (1, 1)),
    (4, 2, 3, (1, 1), (3, 2)),
    (2, 2, 2, (2, 2), (5, 3)),
]
KERNEL = "c_i, c_mid, c_o, k1, k2"
EVERY_KERNEL = pytest.mark.parametrize(KERNEL, KERNELS, ids=labels(KERNEL, KERNELS))


def merged_by_definition(first, second, strides=(1, 1)):
    """The merged kernel by its definition, in float64: a sum over pairs of taps."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    size = [k1 + s * (k2 - 1) for k1, k2, s in zip(first.shape[2:], second.shape[2:], strides)]
    kernel = np.zeros((second.shape[0], first.shape[1], *size))
    for a in np.ndindex(first.shape[2:]):
        for b in np.ndindex(second.shape[2:]):
            u = tuple(i + s * j for i, s, j in zip(a, strides, b))
            kernel[(...,) + u] += second[(...,) + b] @ first[(...,) + a]
    return kernel


@EVERY_KERNEL
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_in_a_row_are_one_kernel(c_i, c_mid, c_o, k1, k2, dtype, ctx):
    shapes = (c_mid, c_i) + k1, (c_o, c_mid) + k2
    first, second = (integers(shape, ctx).astype(dtype) for shape in shapes)
    kernel = merge_convolutions(first, second)
    assert kernel.shape == (c_o, c_i, k1[0] + k2[0] - 1, k1[1] + k2[1] - 1)
    assert (kernel.dtype, kernel.context) == (first.dtype, ctx)
    assert np.array_equal(kernel.asnumpy(), merged_by_definition(first.asnumpy(), second.asnumpy()))
    x = integers((c_i, 8, 9), ctx).astype(dtype)
    expected = corr2d_multi_in_out(corr2d_multi_in_out(x, first), second)
    assert np.array_equal(corr2d_multi_in_out(x, kernel).asnumpy(), expected.asnumpy())


@EVERY_KERNEL
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_real_kernels_are_within_the_rounding_bound(c_i, c_mid, c_o, k1, k2, dtype):
    shapes = (c_mid, c_i) + k1, (c_o, c_mid) + k2
    first, second = (nd.random.normal(shape=shape, dtype=dtype) for shape in shapes)
    exact, magnitude = (
        merged_by_definition(f(first.asnumpy()), f(second.asnumpy())) for f in (np.array, np.abs)
    )
    terms = c_mid * min(np.prod(k1), np.prod(k2))
    oracle.assert_within(
        merge_convolutions(first, second), exact, magnitude, dtype, terms=terms + 1
    )


@EVERY_KERNEL
def test_gradients_flow_through_the_merged_kernel(c_i, c_mid, c_o, k1, k2):
    first, second = integers((c_mid, c_i) + k1), integers((c_o, c_mid) + k2)
    x = integers((2, c_i, 7, 8))
    for kernel in (first, second):
        kernel.attach_grad()
    with autograd.record():
        kernel = merge_convolutions(first, second)
        y = nd.Convolution(x, kernel, kernel=kernel.shape[2:], num_filter=c_o, no_bias=True)
    dy = integers(y.shape)
    y.backward(dy)
    x, k1, k2 = (a.asnumpy() for a in (x, first, second))
    dmid, dsecond, _ = oracle.gradients(oracle.convolve(x, k1), k2, dy.asnumpy())
    _, dfirst, _ = oracle.gradients(x, k1, dmid)
    assert np.array_equal(first.grad.asnumpy(), dfirst)
    assert np.array_equal(second.grad.asnumpy(), dsecond)


def test_the_order_of_channels_matters_and_that_of_single_ones_does_not():
    a, b = nd.array([[[[1]], [[1]]], [[[0]], [[1]]]]), nd.array([[[[1]], [[0]]], [[[1]], [[1]]]])
    assert merge_convolutions(a, b)[:, :, 0, 0].asnumpy().tolist() == [[1, 1], [1, 2]]
    assert merge_convolutions(b, a)[:, :, 0, 0].asnumpy().tolist() == [[2, 1], [1, 1]]
    a, b = integers((1, 1, 2, 3)), integers((1, 1, 4, 2))
    assert np.array_equal(merge_convolutions(a, b).asnumpy(), merge_convolutions(b, a).asnumpy())


def test_merging_is_associative():
    a, b, c = integers((3, 2, 2, 1)), integers((2, 3, 1, 3)), integers((4, 2, 2, 2))
    left, right = (
        merge_convolutions(merge_convolutions(a, b), c),
        merge_convolutions(a, merge_convolutions(b, c)),
    )
    assert np.array_equal(left.asnumpy(), right.asnumpy())


def test_cross_correlating_the_kernels_is_something_else():
    first, second = nd.array([[[[1, 2]]]]), nd.array([[[[1, 10]]]])
    assert merge_convolutions(first, second).asnumpy().ravel().tolist() == [1, 12, 20]
    padded = nd.array([[[0, 1, 10, 0]]])
    assert corr2d_multi_in_out(padded, first).asnumpy().ravel().tolist() == [2, 21, 10]


LAYERS = [  # what differs from 4 > 6 channels with 2x3, then 6 > 3 channels with 3x2
    ({}, {}),
    (dict(kernel_size=1), dict(kernel_size=1)),
    (dict(strides=2), {}),
    ({}, dict(strides=(1, 3))),
    (dict(strides=(2, 3)), dict(strides=(3, 2))),
    (dict(kernel_size=(3, 2), strides=2), dict(kernel_size=(2, 4))),
    (dict(padding=(2, 1)), {}),
    (dict(padding=1, strides=(1, 2), use_bias=False), dict(use_bias=False)),
    (dict(use_bias=False), {}),
    ({}, dict(use_bias=False)),
    (dict(dilation=(2, 3)), {}),
    ({}, dict(dilation=(3, 2))),
    (dict(dilation=2, strides=(3, 2), padding=2), dict(dilation=(1, 3), strides=2)),
    (dict(groups=2), {}),
    ({}, dict(groups=3)),
    (dict(groups=2, padding=1), dict(groups=3, dilation=(2, 1))),
    (dict(channels=4, groups=4, kernel_size=3), dict(channels=4, groups=4, kernel_size=3)),
    (dict(channels=1), dict(channels=1, activation="relu")),
    ({}, dict(activation="relu", strides=2)),
]
KINDS = {"mxconv": MultiChannelConv2D, "gluon": nn.Conv2D}


def network(first, second, kinds=("mxconv", "mxconv"), ctx=None, **shared):
    """Two layers, initialized, in the network that runs one after the other."""
    first = dict(dict(channels=6, kernel_size=(2, 3), in_channels=4), **first, **shared)
    second = dict(
        dict(channels=3, kernel_size=(3, 2), in_channels=first["channels"]), **second, **shared
    )
    net = nn.HybridSequential()
    net.add(*(KINDS[kind](**given) for kind, given in zip(kinds, (first, second))))
    net.initialize(mx.init.Normal(1), ctx=ctx or mx.cpu())
    return net


def pair(*args, **kwargs):
    """The same with integer parameters, so that equal sums are exactly equal."""
    net = network(*args, **kwargs)
    fill(net)
    return net


@pytest.mark.parametrize("mode", ["eager", "hybridized"])
@pytest.mark.parametrize("first, second", LAYERS, ids=str)
def test_layers_in_a_row_are_one_layer(first, second, mode):
    net = pair(first, second)
    layer = merge_convolutions(net[0], net[1])
    if mode == "hybridized":
        net.hybridize()
        layer.hybridize()
    for shape in ((2, 4, 13, 14), (1, 4, 14, 15), (3, 4, 15, 13)):
        x = integers(shape)
        assert np.array_equal(layer(x).asnumpy(), net(x).asnumpy())


@pytest.mark.parametrize("first, second", LAYERS, ids=str)
def test_real_layers_are_within_the_rounding_bound(first, second):
    net = network(first, second)
    for layer in net:
        if layer.bias is not None:
            layer.bias.set_data(nd.random.normal(shape=layer.bias.shape))
    x = nd.random.normal(shape=(2, 4, 13, 14))
    layer = merge_convolutions(net[0], net[1])

    def run(f):
        y = f(x.asnumpy())
        for layer in net:
            g, bias = layer.geometry, layer.bias
            given = dict(strides=g.strides, padding=g.padding, dilation=g.dilation, groups=g.groups)
            bias = None if bias is None else f(bias.data().asnumpy())
            y = oracle.convolve(y, f(layer.weight.data().asnumpy()), bias, **given)
        return y

    exact = run(np.array)
    if net[1].act is not None:
        exact = np.maximum(exact, 0)
    terms = int(np.prod(layer.weight.shape[1:]) + np.prod(net[1].weight.shape[1:])) + 3
    oracle.assert_within(layer(x), exact, run(np.abs), terms=2 * terms)


@pytest.mark.parametrize("kinds", [("gluon", "gluon"), ("gluon", "mxconv"), ("mxconv", "gluon")])
@pytest.mark.parametrize("first, second", LAYERS[-8:], ids=str)
def test_layers_of_gluon(first, second, kinds):
    net = pair(first, second, kinds)
    x = integers((2, 4, 13, 14))
    assert np.array_equal(merge_convolutions(net[0], net[1])(x).asnumpy(), net(x).asnumpy())


@pytest.mark.parametrize(
    "first",
    [
        dict(padding=((1, 0), (0, 2))),
        dict(padding="same"),
        dict(padding=(2, 1), padding_mode="reflect"),
        dict(padding=((2, 0), (1, 1)), padding_mode="circular"),
    ],
    ids=str,
)
def test_every_kind_of_padding_in_the_first(first):
    net = pair(first, dict(padding="valid"))
    x = integers((2, 4, 9, 8))
    assert np.array_equal(merge_convolutions(net[0], net[1])(x).asnumpy(), net(x).asnumpy())


def test_nhwc_stays_nhwc():
    net = pair(dict(groups=2, strides=2), dict(groups=3, dilation=2), layout="NHWC")
    layer = merge_convolutions(net[0], net[1])
    x = integers((2, 13, 14, 4))
    assert layer.geometry.layout == "NHWC"
    assert np.array_equal(layer(x).asnumpy(), net(x).asnumpy())


def test_the_size_dilates_the_second_kernel_by_the_strides_of_the_first():
    net = pair(dict(kernel_size=(3, 2), strides=2), dict(kernel_size=(2, 4), strides=3))
    layer = merge_convolutions(net[0], net[1])
    assert layer.geometry.kernel_size == (5, 8)
    assert layer.geometry.strides == (6, 6)
    expected = merged_by_definition(
        net[0].weight.data().asnumpy(), net[1].weight.data().asnumpy(), (2, 2)
    )
    assert np.array_equal(layer.weight.data().asnumpy(), expected)


def test_the_bias_of_the_first_passes_through_the_sum_of_the_second():
    net = pair({}, {})
    layer = merge_convolutions(net[0], net[1])
    b1, k2, b2 = (p.data().asnumpy() for p in (net[0].bias, net[1].weight, net[1].bias))
    assert np.array_equal(layer.bias.data().asnumpy(), b2 + k2.sum(axis=(2, 3)) @ b1)
    net = pair(dict(use_bias=False), dict(use_bias=False))
    assert merge_convolutions(net[0], net[1]).bias is None


@pytest.mark.parametrize("groups", [1, 2])
def test_float64_stays_float64(groups):
    net = pair(dict(dilation=2, groups=groups), dict(dilation=(2, 3), strides=2))
    net.cast("float64")
    layer = merge_convolutions(net[0], net[1])
    x = integers((2, 4, 13, 14)).astype("float64")
    assert layer.weight.dtype == np.float64
    assert np.array_equal(layer(x).asnumpy(), net(x).asnumpy())


def test_replicas_stay_on_their_contexts():
    contexts = [mx.cpu(0), mx.cpu(1)]
    net = pair({}, {}, ctx=contexts)
    net[1].collect_params().reset_ctx(contexts[::-1])
    layer = merge_convolutions(net[0], net[1])
    assert layer.weight.list_ctx() == contexts
    for x in gluon.utils.split_and_load(integers((2, 4, 9, 9)), contexts):
        assert np.array_equal(layer(x).asnumpy(), net(x).asnumpy())


def test_numpy_mode():
    arguments = dict(dilation=2, groups=2, strides=2), dict(groups=3, activation="relu")
    net = pair(*arguments)
    x = integers((2, 4, 9, 12))
    expected = net(x).asnumpy()
    parameters = [p.data() for p in net.collect_params().values()]
    mx.npx.set_np()
    try:
        net = network(*arguments)
        for parameter, value in zip(net.collect_params().values(), parameters):
            parameter.set_data(value.as_np_ndarray())
        y = merge_convolutions(net[0], net[1])(x.as_np_ndarray())
        assert np.array_equal(y.asnumpy(), expected)
    finally:
        mx.npx.reset_np()


def test_layers_are_left_alone_and_the_new_one_trains():
    net = pair({}, {})
    before = {name: p.data().copy() for name, p in net.collect_params().items()}
    x = integers((2, 4, 9, 9))
    with autograd.record():
        y = merge_convolutions(net[0], net[1])(x)
    layer = merge_convolutions(net[0], net[1])
    with autograd.record():
        y = layer(x)
    y.backward()
    assert layer.weight.grad().abs().sum().asscalar() > 0
    gluon.Trainer(layer.collect_params(), "sgd").step(1)
    for name, p in net.collect_params().items():
        assert np.array_equal(p.data().asnumpy(), before[name].asnumpy())


def test_merging_draws_no_random_numbers():
    net = pair({}, {})
    drawn = []
    for merging in (False, True):
        mx.random.seed(3)
        if merging:
            merge_convolutions(net[0], net[1])
        drawn.append(nd.random.normal(shape=4).asnumpy())
    assert np.array_equal(*drawn)


class Doubled(MultiChannelConv2D):
    def hybrid_forward(self, F, x, weight, bias=None):
        return super().hybrid_forward(F, x, 2 * weight, bias)


def initialized(*args, **kwargs):
    layer = nn.Conv2D(*args, **kwargs)
    layer.initialize()
    return layer


def layers(first=None, second=None, change=None, **shared):
    """A function that makes two layers and changes the second."""

    def make():
        net = network(first or {}, second or {}, **shared)
        if change is not None:
            change(net[1])
        return tuple(net)

    return make


REJECTED = {  # makes first and second, error, its words
    "padding in the second": (
        layers({}, dict(padding=(0, 1))),
        ValueError,
        r"second without padding, received second with padding=\(0, 1\)",
    ),
    "uneven padding in the second": (
        layers({}, dict(padding=((0, 1), (0, 0)))),
        ValueError,
        r"padding=\(\(0, 1\), \(0, 0\)\)",
    ),
    "a nonlinearity between": (
        layers(dict(activation="relu")),
        ValueError,
        "nonlinearity between.*without an activation, received first with activation='relu'",
    ),
    "channels of layers": (
        layers({}, dict(in_channels=5)),
        ValueError,
        "input channels in second as .* in first, received 5 for second and 6 for first",
    ),
    "channels of kernels": (
        lambda: (nd.ones((2, 1, 3, 3)), nd.ones((1, 3, 3, 3))),
        ValueError,
        "input channels in second as .* in first, received 3 for second and 2 for first",
    ),
    "layouts": (
        layers(dict(layout="NHWC")),
        ValueError,
        "same layout, received 'NHWC' for first and 'NCHW' for second",
    ),
    "uninitialized": (
        lambda: (MultiChannelConv2D(2, 1, in_channels=2), initialized(2, 1, in_channels=2)),
        ValueError,
        "first isn't initialized: .*, received MultiChannelConv2D.*; call its initialize",
    ),
    "deferred": (
        lambda: (initialized(2, 1, in_channels=2), initialized(2, 1)),
        ValueError,
        "second doesn't know its input channels yet: .*, received Conv2D.*; give in_channels",
    ),
    "dtypes of layers": (
        layers(change=lambda second: second.cast("float64")),
        TypeError,
        "same dtype, received 'float32' for first and 'float64' for second",
    ),
    "dtypes of kernels": (
        lambda: (nd.ones((1, 1, 1, 1)), nd.ones((1, 1, 1, 1), dtype="float64")),
        TypeError,
        "same dtype, received 'float32' for first and 'float64' for second",
    ),
    "contexts of layers": (
        layers(change=lambda second: second.collect_params().reset_ctx(mx.cpu(1))),
        ValueError,
        r"same contexts, received \{cpu\(0\)\} for first and \{cpu\(1\)\} for second",
    ),
    "contexts of kernels": (
        lambda: (nd.ones((1, 1, 1, 1)), nd.ones((1, 1, 1, 1), ctx=mx.cpu(1))),
        ValueError,
        r"same context, received cpu\(0\) for first and cpu\(1\) for second",
    ),
    "integers": (
        lambda: (nd.ones((1, 1, 1, 1), dtype="int32"), nd.ones((1, 1, 1, 1), dtype="int32")),
        TypeError,
        r"first has the wrong dtype.*int32 on cpu\(0\)",
    ),
    "bfloat16": (
        layers(dtype="bfloat16"),
        TypeError,
        r"first has the wrong dtype.*bfloat16 on cpu\(0\)",
    ),
    "a kernel and a layer": (
        lambda: (nd.ones((1, 1, 1, 1)), nn.Conv2D(1, 1)),
        TypeError,
        "two kernels or two layers, received first of type NDArray and second of type Conv2D",
    ),
    "other layers": (
        lambda: (initialized(1, 1, in_channels=1), nn.Dense(1)),
        TypeError,
        "second has the wrong type.*MultiChannelConv2D or a gluon.nn.Conv2D.*Dense",
    ),
    "a subclass": (
        lambda: (Doubled(1, 1), Doubled(1, 1)),
        TypeError,
        "first has the wrong type.*Doubled",
    ),
    "NumPy arrays": (
        lambda: (np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1))),
        TypeError,
        "first has the wrong type.*NDArray.*numpy.ndarray",
    ),
    "rank": (
        lambda: (nd.ones((1, 1, 1, 1)), nd.ones((1, 1, 1))),
        ValueError,
        r"second.*\(c_o, c_i, k_h, k_w\), received second.shape=\(1, 1, 1\)",
    ),
}


@pytest.mark.parametrize("make, error, says", REJECTED.values(), ids=REJECTED)
def test_what_cannot_be_merged_is_rejected(make, error, says):
    first, second = make()
    with pytest.raises(error, match=says):
        merge_convolutions(first, second)
    nd.waitall()


def test_padding_in_the_second_differs_at_the_border_only():
    """Why it is rejected: with all padding in the first, only the inside is right."""
    net = pair(dict(kernel_size=3, use_bias=False), dict(kernel_size=3, use_bias=False))
    kernel = merge_convolutions(net[0], net[1]).weight.data().asnumpy()
    x = integers((1, 4, 8, 8))
    padded_between = np.pad(net[0](x).asnumpy(), [(0, 0), (0, 0), (1, 1), (1, 1)])
    expected = oracle.convolve(padded_between, net[1].weight.data().asnumpy())
    y = oracle.convolve(x.asnumpy(), kernel, padding=(1, 1))
    equal = (y == expected).all(axis=(0, 1))
    assert equal[1:-1, 1:-1].all()
    assert not equal[0].any() and not equal[:, -1].any()
