"""The cases with convolutions from MXNet's own Gluon tests, with our layer in place of `nn.Conv2D`.

Each case has the name of a test in `tests/python/unittest/test_gluon.py` of MXNet 1.x. It is newly
written, with smaller arrays where those are large and with gradients that differ from output to
output. It runs with the stock layer, then with ours in its place, also in networks of the model
zoo. Both have to give the same results.
"""

from functools import partial

from helpers import SLOW
from mxconv import MultiChannelConv2D

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn
from mxnet.gluon.contrib.nn import HybridConcurrent
from mxnet.gluon.model_zoo import vision

pytestmark = pytest.mark.kernels


def chain(*blocks):
    net = nn.HybridSequential(prefix="net_")
    net.add(*blocks)
    return net


def reshape(shape):
    return nn.HybridLambda(lambda F, x: x.reshape(shape))


def cut(begin, end):
    return nn.HybridLambda(lambda F, x: F.slice(x, begin=begin, end=end))


def depthwise(kernel):
    return chain(nn.Conv2D(16, 1), nn.Conv2D(16, kernel, groups=16))


def side_by_side(axis, channels):
    net = HybridConcurrent(axis=axis, prefix="net_")
    with net.name_scope():
        net.add(*(nn.Conv2D(channels, 1) for _ in range(3)))
    return net


FORWARD = [  # (MXNet's test, a function that makes a network of nn.Conv2D, shape of its input)
    ("conv", lambda: nn.Conv2D(16, (3, 4), in_channels=4), (1, 4, 20, 20)),
    ("conv", lambda: nn.Conv2D(16, (5, 4), in_channels=4), (1, 4, 20, 20)),
    ("conv", lambda: nn.Conv2D(16, (3, 4), groups=2, in_channels=4), (1, 4, 20, 20)),
    ("conv", lambda: nn.Conv2D(16, (3, 4), strides=4, in_channels=4), (1, 4, 20, 20)),
    ("conv", lambda: nn.Conv2D(16, (3, 4), dilation=4, in_channels=4), (1, 4, 20, 20)),
    ("conv", lambda: nn.Conv2D(16, (3, 4), padding=4, in_channels=4), (1, 4, 20, 20)),
    ("conv2d_16c", lambda: nn.Conv2D(16, (1, 1)), (4, 3, 28, 28)),
    ("conv2d_16c", lambda: nn.Conv2D(256, (1, 1)), (4, 3, 28, 28)),
    ("conv2d_16c", lambda: nn.Conv2D(16, (3, 3)), (4, 3, 28, 28)),
    ("conv2d_16c", lambda: nn.Conv2D(256, (3, 3)), (4, 3, 28, 28)),
    ("conv2d_16c", lambda: nn.Conv2D(16, (28, 28)), (4, 3, 28, 28)),
    ("conv2d_16c", lambda: nn.Conv2D(256, (28, 28)), (4, 3, 28, 28)),
    ("group_conv2d_16c", lambda: depthwise(1), (4, 3, 3, 3)),
    ("group_conv2d_16c", lambda: depthwise(3), (4, 3, 3, 3)),
    ("group_conv2d_16c", lambda: depthwise(3), (4, 3, 37, 37)),
    ("batchnorm_16c", lambda: chain(nn.Conv2D(16, 1), nn.BatchNorm()), (4, 3, 29, 29)),
    ("batchnorm_16c", lambda: chain(nn.Conv2D(1024, 1), nn.BatchNorm()), (4, 3, 5, 5)),
    ("concat", lambda: side_by_side(0, 16), (4, 3, 5, 5)),
    ("concat", lambda: side_by_side(1, 64), (4, 3, 5, 5)),
    ("concat", lambda: side_by_side(2, 16), (4, 3, 5, 5)),
    ("concat", lambda: side_by_side(3, 64), (4, 3, 1, 1)),
    ("reshape_conv", lambda: chain(reshape((0, 0, 64, 16)), nn.Conv2D(64, 3)), (4, 3, 32, 32)),
    (
        "reshape_conv_reshape_conv",
        lambda: chain(
            reshape((0, 0, 64, 16)), nn.Conv2D(8, 3), reshape((0, 0, 124, 7)), nn.Conv2D(16, 3)
        ),
        (4, 3, 32, 32),
    ),
    (
        "slice_conv",
        lambda: chain(cut((0, 2, 0, 0), (4, 5, 32, 32)), nn.Conv2D(16, 3)),
        (8, 6, 32, 32),
    ),
    (
        "slice_conv_slice_conv",
        lambda: chain(
            cut((0, 0, 0, 0), (4, 16, 16, 16)),
            nn.Conv2D(32, 3),
            cut((0, 0, 0, 0), (4, 16, 3, 3)),
            nn.Conv2D(16, 1),
        ),
        (4, 32, 32, 32),
    ),
    (
        "slice_conv_reshape_conv",
        lambda: chain(
            cut((0, 0, 1, 1), (4, 16, 33, 33)),
            nn.Conv2D(16, 3),
            reshape((0, 0, 60, 15)),
            nn.Conv2D(32, 3),
        ),
        (4, 32, 40, 40),
    ),
    (
        "reshape_conv_slice_conv",
        lambda: chain(
            reshape((0, 0, 64, 16)),
            nn.Conv2D(16, 3),
            cut((0, 0, 0, 0), (2, 16, 14, 14)),
            nn.Conv2D(32, 3),
        ),
        (4, 3, 32, 32),
    ),
    (
        "reshape_batchnorm",
        lambda: chain(nn.Conv2D(96, 1), reshape((4, 64, 24, -1)), nn.BatchNorm()),
        (4, 8, 16, 16),
    ),
    (
        "slice_batchnorm_reshape_batchnorm",
        lambda: chain(
            nn.Conv2D(32, 1),
            cut((0, 0, 0, 0), (4, 16, 8, 8)),
            nn.BatchNorm(),
            reshape((1, 32, 16, -1)),
            nn.BatchNorm(),
        ),
        (8, 16, 12, 12),
    ),
]


def results(net, x, **flags):
    """Output, gradient to the input and gradients to the parameters, eager or hybridized."""
    if flags:
        net.hybridize(**flags)
    x.attach_grad()
    with autograd.record():
        y = net(x)
    y.backward(nd.arange(y.size, dtype=y.dtype).reshape(y.shape) % 7 - 3)
    parameters = net.collect_params().values()
    return [a.copy() for a in [y, x.grad] + [p.grad() for p in parameters if p.grad_req != "null"]]


def forward(make, shape):
    """Like MXNet's check_layer_forward: hybridized results equal eager ones, which it returns."""
    net = make()
    net.initialize()
    x = nd.random.uniform(-1, 1, shape)
    eager = results(net, x)
    assert_close(results(net, x, active=True), eager)
    return eager


def assert_close(actual, expected, tolerance=1e-5):
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        a, b = a.asnumpy(), b.asnumpy()
        np.testing.assert_allclose(a, b, rtol=10 * tolerance, atol=tolerance)


def resnet():
    net = vision.resnet18_v1(classes=10, prefix="net_")
    net.initialize(mx.init.Xavier())
    return net


def images(n=1):
    return nd.random.uniform(shape=(n, 3, 32, 32))


def collect_parameters(folder):
    net = nn.HybridSequential(prefix="test_")
    with net.name_scope():
        net.add(nn.Conv2D(10, 3), nn.Dense(10, activation="relu"))
    weights, biases = (["test_conv0_" + p, "test_dense0_" + p] for p in ("weight", "bias"))
    assert set(net.collect_params()) == set(weights + biases)
    assert list(net.collect_params(".*weight")) == weights
    assert list(net.collect_params("test_conv0_bias|test_dense0_bias")) == biases
    return []


def after(change):
    """Like MXNet's test_reshape, test_slice and test_at: the layer's output is changed."""
    layer = nn.Conv2D(10, 2, in_channels=4)
    layer.initialize()
    x = nd.random.uniform(shape=(5, 4, 10, 10))
    with autograd.record():
        y = change(layer(x)) + 10
    y.backward()
    return [y, layer.weight.grad(), layer.bias.grad()]


def deferred_init(folder):
    layer = nn.Conv2D(10, 2)
    layer.initialize()
    return [layer(nd.ones((5, 4, 10, 10)))]


def padded():
    net = chain(nn.Conv2D(64, kernel_size=2, padding=1), nn.BatchNorm(), nn.Dense(10))
    net.hybridize()
    return net


def assert_filled(net):
    assert net[0].weight.shape[1] == 3
    assert net[1].gamma.shape[0] == 64
    assert net[2].weight.shape[1] == 64 * 6 * 8


def fill_shape_deferred(folder):
    net = padded()
    net.initialize()
    y = net(nd.ones((2, 3, 5, 7)))
    assert_filled(net)
    return [y]


def fill_shape_load(folder):
    net, twin, x = padded(), padded(), nd.ones((2, 3, 5, 7))
    net.initialize()
    y = net(x)
    net.save_parameters(str(folder / "net_fill.params"))
    twin.initialize()
    twin.load_parameters(str(folder / "net_fill.params"))
    assert_filled(twin)
    assert_close([twin(x)], [y])
    return [y]


def export_and_import(folder):
    net, x = resnet(), images()
    net.hybridize()
    y = net(x)
    path = str(folder / "gluon")
    net.export(path, epoch=1)
    loaded = gluon.SymbolBlock.imports(f"{path}-symbol.json", ["data"], f"{path}-0001.params")
    assert_close([loaded(x)], [y])
    assert str(loaded).splitlines()[0] == "SymbolBlock("
    return [y]


def dtype(folder):
    net = resnet()
    net.hybridize()
    first = net(images(2))
    net.cast("float64")
    return [first] + results(net, images(2).astype("float64"))


def save_load(folder):
    net, x = resnet(), images()
    y = net(x)
    net.save_parameters(str(folder / "net.params"))
    twin = vision.resnet18_v1(classes=10)
    twin.load_parameters(str(folder / "net.params"))
    assert_close([twin(x)], [y])
    return [y]


def symbol_block_save_load(folder):
    """A layer followed by an imported network, saved and loaded as one network."""
    backbone = resnet()
    backbone.hybridize()
    backbone(images())
    backbone.export(str(folder / "backbone"))

    def make():
        files = [str(folder / f"backbone{end}") for end in ("-symbol.json", "-0000.params")]
        return chain(nn.Conv2D(3, 1), gluon.SymbolBlock.imports(files[0], ["data"], files[1]))

    net, x = make(), images()
    net[0].initialize(mx.init.Normal())
    net.hybridize()
    y = net(x)
    net.save_parameters(str(folder / "both.params"))
    twin = make()
    twin.load_parameters(str(folder / "both.params"))
    assert_close([twin(x)], [y])
    return [y]


def hybrid_multi_context(folder):
    net = vision.resnet18_v1(classes=10)
    net.initialize(mx.init.Xavier(), ctx=[mx.cpu(0), mx.cpu(1)])
    net.hybridize()
    return [net(images().as_in_context(ctx)) for ctx in (mx.cpu(0), mx.cpu(1))]


def hybrid_static_memory(static_shape, folder):
    net, x = resnet(), images(8)
    net(x)
    eager = results(net, x)
    assert_close(results(net, x, static_alloc=True, static_shape=static_shape), eager)
    return eager


def hybrid_static_memory_switching(static_shape, folder):
    net = resnet()
    net.hybridize(static_alloc=True, static_shape=static_shape)
    return [y for n in (4, 2, 4) for y in [net(images(n))] + results(net, images(n))[:2]]


def hybrid_static_memory_recording(folder):
    net, x = resnet(), images()
    net.hybridize(static_alloc=True)
    with autograd.record():
        y = net(x)
    return [y, net(x)]


def summary(folder):
    net, x = resnet(), images()
    net.summary(x)
    net.hybridize()
    with pytest.raises(AssertionError, match="must not be hybridized"):
        net.summary(x)
    return [net(x)]


CASES = [
    pytest.param(lambda folder, row=row: forward(*row[1:]), id=f"test_{row[0]}-{i}")
    for i, row in enumerate(FORWARD)
] + [
    pytest.param(case, id=f"test_{name}", marks=marks)
    for name, case, *marks in [
        ("collect_parameters", collect_parameters),
        ("reshape", lambda folder: after(lambda y: y.reshape((-1,)))),
        ("slice", lambda folder: after(lambda y: y[1:3])),
        ("at", lambda folder: after(lambda y: y[1])),
        ("deferred_init", deferred_init),
        ("fill_shape_deferred", fill_shape_deferred),
        ("fill_shape_load", fill_shape_load),
        ("export, test_import", export_and_import),
        ("dtype", dtype, SLOW),
        ("save_load", save_load),
        ("symbol_block_save_load", symbol_block_save_load, SLOW),
        ("hybrid_multi_context", hybrid_multi_context, SLOW),
        ("hybrid_static_memory", partial(hybrid_static_memory, False), SLOW),
        ("hybrid_static_memory-shape", partial(hybrid_static_memory, True), SLOW),
        ("hybrid_static_memory_switching", partial(hybrid_static_memory_switching, False), SLOW),
        (
            "hybrid_static_memory_switching-shape",
            partial(hybrid_static_memory_switching, True),
            SLOW,
        ),
        ("hybrid_static_memory_recording", hybrid_static_memory_recording),
        ("summary", summary),
    ]
]


@pytest.fixture
def swap(monkeypatch):
    """Replaces `nn.Conv2D`, for the model zoo too, and seeds the random numbers."""

    def put(layer):
        monkeypatch.setattr(nn, "Conv2D", layer)
        mx.random.seed(7)

    return put


@pytest.mark.parametrize("case", CASES)
def test_our_layer_gives_the_results_of_nn_conv2d(case, swap, tmp_path):
    swap(nn.Conv2D)
    expected = case(tmp_path)
    swap(MultiChannelConv2D)
    actual = case(tmp_path)
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected):
        assert a.dtype == b.dtype
        assert np.array_equal(a.asnumpy(), b.asnumpy())


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_im2col_passes_too(case, swap, tmp_path):
    """Only outputs are compared here, since gradients are sums in which terms cancel."""
    swap(nn.Conv2D)
    expected = case(tmp_path)
    swap(partial(MultiChannelConv2D, algorithm="im2col"))
    assert_close(case(tmp_path)[:1], expected[:1], tolerance=1e-4)


@pytest.mark.parametrize("algorithm", ["auto", "im2col", "definition"])
def test_conv_nhwc(algorithm):
    """MXNet runs this test only on a GPU; `nn.Conv2D` doesn't support NHWC on the CPU."""
    layer = partial(MultiChannelConv2D, algorithm=algorithm)
    assert forward(lambda: layer(16, 3, layout="NHWC", in_channels=4), (1, 10, 10, 4))[0].shape == (
        (1, 8, 8, 16)
    )
