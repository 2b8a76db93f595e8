"""Features that MXNet builds on its own convolution still work: files, INT8, fusion, bfloat16."""

import json
import sys
from collections import Counter
from pathlib import Path

from helpers import EVERY, EVERY_LAYER, INNER, PADDINGS, build, fill, images, integers, run
from mxconv import MultiChannelConv2D, convert, set_algorithm
from mxconv.cpu import has_avx512

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import SymbolBlock, nn
from mxnet.gluon.model_zoo import vision

pytestmark = pytest.mark.kernels

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import digits  # noqa: E402
import fusion_and_amp  # noqa: E402
import int8  # noqa: E402

KINDS = [dict(padding_mode=mode, padding=padding) for mode, padding in PADDINGS] + [
    dict(layout="NHWC", padding=1),
    dict(layout="NHWC", padding=((0, 1), (2, 0)), groups=2),
    dict(strides=2, dilation=(1, 2), use_bias=False),
    dict(activation="relu"),
]


EVERY_KIND = pytest.mark.parametrize("arguments", KINDS, ids=str)


def one_layer(arguments, algorithm="native"):
    """A network of one layer with integer parameters, and an integer input for it."""
    net = nn.HybridSequential()
    net.add(build(algorithm, channels=8, kernel_size=3, **arguments))
    nhwc = arguments.get("layout") == "NHWC"
    return net, integers((4, 9, 8, 4) if nhwc else (4, 4, 9, 8))


def operators(net):
    """The number of each operator in the graph that a network has traced."""
    nodes = json.loads(net._cached_graph[1].tojson(remove_amp_cast=False))["nodes"]
    return Counter(node["op"] for node in nodes)


# export, SymbolBlock.imports


def exported(net, x, path):
    """The network that is imported from the exported files of another one."""
    net.hybridize()
    net(x)
    return from_files(net, path)


def from_files(net, path):
    net.export(str(path / "net"), remove_amp_cast=False)  # otherwise bfloat16 would become float32
    return SymbolBlock.imports(
        str(path / "net-symbol.json"), ["data"], str(path / "net-0000.params")
    )


@EVERY
@EVERY_LAYER
def test_a_layer_comes_back_from_its_files(name, arguments, size, tmp_path):
    layer = build(name, **{key: value for key, value in arguments.items() if key != "in_channels"})
    x = integers((2, 4) + size)
    twin = exported(layer, x, tmp_path)
    for ours, theirs in zip(run(twin, x), run(layer, x)):
        assert np.array_equal(ours, theirs)


@INNER
def test_algorithms_for_some_geometries_come_back(name, arguments, tmp_path):
    layer, x = build(name, **arguments), images(arguments)
    twin = exported(layer, x, tmp_path)
    for ours, theirs in zip(run(twin, x), run(layer, x)):
        assert np.array_equal(ours, theirs)


@EVERY
@EVERY_KIND
def test_every_kind_of_padding_and_layout_comes_back(name, arguments, tmp_path):
    net, x = one_layer(arguments, name)
    twin = exported(net, x, tmp_path)
    for ours, theirs in zip(run(twin, x), run(net, x)):
        assert np.array_equal(ours, theirs)
    larger = nd.concat(x, x, dim=2)
    assert np.array_equal(twin(larger).asnumpy(), net(larger).asnumpy())


@EVERY
def test_a_network_of_numpy_arrays_comes_back(name, tmp_path):
    mx.npx.set_np()
    try:
        net = nn.HybridSequential()
        net.add(MultiChannelConv2D(3, 3, padding="same", algorithm=name), nn.Dense(2))
        net.initialize()
        x = mx.np.random.normal(size=(2, 4, 5, 5))
        net(x)
        assert np.array_equal(exported(net, x, tmp_path)(x).asnumpy(), net(x).asnumpy())
    finally:
        mx.npx.reset_np()


def test_the_files_are_those_of_nn_conv2d(tmp_path):
    files = []
    for conv in (nn.Conv2D, MultiChannelConv2D):
        directory = tmp_path / conv.__name__
        directory.mkdir()
        net = nn.HybridSequential(prefix="net_")
        with net.name_scope():
            net.add(conv(4, 3, strides=2, padding=1, groups=2, activation="relu"), nn.Dense(2))
        net.initialize(mx.init.One())
        exported(net, nd.ones((2, 4, 7, 7)), directory)
        files.append([path.read_bytes() for path in sorted(directory.iterdir())])
    assert len(files[0]) == 2
    assert files[0] == files[1]


# INT8


@EVERY_KIND
def test_int8_is_within_its_rounding(arguments):
    """Inputs, weights and outputs are rounded to multiples of their maximum / 127."""
    net, x = one_layer(arguments)
    layer = net[0]
    y = net(x).asnumpy()
    weight = layer.weight.data()
    step_x, step_w, step_y = (abs(a).max() / 127 for a in (x.asnumpy(), weight.asnumpy(), y))
    axes = 1, 2, 3
    sum_w = weight.abs().sum(axis=axes).asnumpy().reshape((1, 1, 1, -1))
    if layer.geometry.layout == "NCHW":
        sum_w = sum_w.transpose(0, 3, 1, 2)
    quantized = int8.quantize(net, x)
    actual = quantized(x).asnumpy()
    assert operators(quantized)["_sg_mkldnn_conv"] == 1

    layer.weight.set_data(nd.ones_like(weight))
    set_bias(layer, 0)
    sum_x = net(x.abs()).asnumpy()
    terms = weight.size // layer.geometry.channels + 1
    bound = (step_w * sum_x + step_x * sum_w + terms * step_x * step_w + step_y) / 2
    assert (np.abs(actual - y) <= 1.001 * bound).all()


def test_int8_leaves_grouped_layers_in_float32_since_mxnet_gets_them_wrong():
    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        for groups in (1, 2, 8):
            net.add(MultiChannelConv2D(8, 1, groups=groups, in_channels=8), nn.BatchNorm())
    net.add(MultiChannelConv2D(16, 3, groups=8, in_channels=8))
    net.initialize(mx.init.Normal(1))
    x = nd.random.normal(shape=(4, 8, 9, 8))
    y = net(x)
    assert int8.grouped(net) == ["net_conv1_fwd", net[-1].name + "_fwd"]
    actual = int8.quantize(net, x)(x)
    assert fusion_and_amp.difference(actual, y) < 0.03


def set_bias(layer, value):
    if layer.bias is not None:
        layer.bias.set_data(nd.full(layer.bias.shape, value))


@pytest.fixture(scope="module")
def lenet():
    """The trained network of digits.py, images to calibrate with, and the test data."""
    training, test = digits.load()
    net = digits.lenet(MultiChannelConv2D)
    digits.train(net, training, epochs=10)
    return net, training[0], test


@pytest.mark.slow
def test_int8_keeps_the_accuracy_on_the_digits(lenet):
    net, X, test = lenet
    set_algorithm(net, "im2col")  # `quantize` sets it to 'native'
    before = digits.accuracy(net, test)
    quantized = int8.quantize(net, X)
    assert operators(quantized)["_sg_mkldnn_conv"] == 2
    assert before > digits.ACCURACY - 0.02
    assert digits.accuracy(quantized, test) > before - int8.MAX_ACCURACY_LOSS
    assert digits.accuracy(net, test) == before


# operator fusion


@EVERY_KIND
def test_fused_outputs_are_the_same(arguments):
    net, x = one_layer(arguments)
    y = net(x).asnumpy()
    fusion_and_amp.fuse(net, x)
    assert np.array_equal(net(x).asnumpy(), y)
    assert operators(net)["_sg_mkldnn_conv"] == 1
    assert not operators(net)["Activation"]


def test_batch_normalization_and_a_sum_are_fused_into_the_convolution():
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(8, 3), nn.BatchNorm(), nn.Activation("relu"))
    net.initialize()
    x = nd.random.normal(shape=(2, 4, 9, 8))
    with autograd.record():  # to update the running mean and variance
        net(x)
    y = net(x).asnumpy()
    fusion_and_amp.fuse(net, x)
    np.testing.assert_allclose(net(x).asnumpy(), y, rtol=1e-4, atol=1e-5)
    assert set(operators(net)) == {"null", "_sg_mkldnn_conv"}


def test_a_fused_network_can_be_trained_again_after_hybridize():
    net, x = one_layer(dict(activation="relu"))
    expected = run(net, x)
    fusion_and_amp.fuse(net, x)
    net(x)
    net.hybridize()
    for ours, theirs in zip(run(net, x), expected):
        assert np.array_equal(ours, theirs)


# AMP


@pytest.fixture
def bfloat16():
    if not has_avx512():
        pytest.skip("MXNet convolves bfloat16 only on CPUs with AVX-512, and this one lacks it")


@EVERY_KIND
def test_bfloat16_is_within_its_rounding(arguments, bfloat16):
    """Inputs, parameters and outputs are rounded by at most 1/256; sums are in float32."""
    net, x = one_layer(arguments)
    for values in (p.data() for p in net.collect_params().values()):
        values[:] = nd.random.normal(shape=values.shape)
    x = nd.random.normal(shape=x.shape)
    y = net(x).asnumpy()
    converted = fusion_and_amp.in_bfloat16(net, x)
    actual = converted(x).asnumpy()
    assert actual.dtype == np.float32
    assert operators(converted)["amp_cast"] > 2

    for values in (p.data() for p in net.collect_params().values()):
        values[:] = values.abs()
    unit = 2**-8
    differences = np.abs(actual - y)
    assert (differences <= 3.1 * unit * net(x.abs()).asnumpy()).all()
    assert differences.max() > unit / 100  # otherwise nothing was rounded


@pytest.mark.slow
def test_bfloat16_keeps_the_accuracy_on_the_digits(lenet, bfloat16):
    net, _, test = lenet
    converted = fusion_and_amp.in_bfloat16(net, test[0])
    differs = fusion_and_amp.difference(converted(test[0]), net(test[0]))
    assert 0 < differs < fusion_and_amp.TOLERANCES["bfloat16"]
    assert abs(digits.accuracy(converted, test) - digits.accuracy(net, test)) < 0.01


# whole networks, and other algorithms


def quantized(net, x):
    net.hybridize()
    return int8.quantize_net_v2(
        net,
        calib_data=gluon.data.DataLoader(gluon.data.ArrayDataset(x, nd.zeros(len(x))), len(x)),
        calib_mode="naive",
        quantize_mode="smart",
    )


def fused(net, x):
    net.optimize_for(x, backend="MKLDNN", **int8.FAST)
    return net


def in_bfloat16(net, x):
    net.hybridize()
    net(x)
    return fusion_and_amp.amp.convert_hybrid_block(net, target_dtype="bfloat16", ctx=mx.cpu())


@pytest.fixture(params=[quantized, fused, in_bfloat16], ids=lambda path: path.__name__)
def path(request):
    if request.param is in_bfloat16:
        request.getfixturevalue("bfloat16")
    return request.param


def resnet(conv, algorithm="native"):
    net = vision.resnet18_v1(classes=10, prefix="net_")
    net.initialize(mx.init.Xavier())
    net(nd.zeros((1, 3, 32, 32)))
    return convert(net, algorithm) if conv is MultiChannelConv2D else net


@pytest.mark.slow
def test_a_converted_network_gets_the_operators_of_the_stock_one(path):
    x = nd.random.normal(shape=(2, 3, 32, 32))
    stock, ours = resnet(nn.Conv2D), resnet(MultiChannelConv2D)
    for parameter, other in zip(ours.collect_params().values(), stock.collect_params().values()):
        parameter.set_data(other.data())
    stock, ours = path(stock, x), path(ours, x)
    assert np.array_equal(ours(x).asnumpy(), stock(x).asnumpy())
    assert operators(ours) == operators(stock)


def test_a_changed_network_comes_back_from_its_files(path, tmp_path):
    net, x = one_layer(dict(activation="relu"))
    x = x / 3  # bfloat16 rounds it
    changed = path(net, x)
    y = changed(x).asnumpy()
    assert np.array_equal(from_files(changed, tmp_path)(x).asnumpy(), y)


@INNER
def test_algorithms_that_run_the_operator_on_another_geometry(path, name, arguments):
    net, x = nn.HybridSequential(), images(arguments, n=4)
    net.add(build(name, **arguments))
    y = net(x).asnumpy()
    changed = path(net, x)
    assert np.abs(changed(x).asnumpy() - y).max() < 0.02 * np.abs(y).max()
    found = operators(changed)
    convolutions = found["Convolution" if path is in_bfloat16 else "_sg_mkldnn_conv"]
    assert convolutions == (2 if name == "split_channels" else 1)
    assert path is not in_bfloat16 or found["amp_cast"] > 2


@pytest.mark.parametrize("algorithm", ["im2col", "definition"])
def test_other_algorithms_still_run_in_float32(path, algorithm):
    """Nothing fails, but only the dense layer becomes faster."""
    convolution, dense = nn.HybridSequential(), nn.Dense(2)
    convolution.add(MultiChannelConv2D(3, 3, in_channels=2, algorithm=algorithm))
    net = nn.HybridSequential()
    net.add(convolution, dense)
    convolution.initialize()
    dense.initialize()
    fill(convolution)
    x = integers((2, 2, 5, 5))
    net(x)
    y = convolution(x).asnumpy()
    assert np.array_equal(path(convolution, x)(x).asnumpy(), y)
    changed = path(net, x)
    changed(x)
    found = operators(changed)
    assert not found["Convolution"] and not found["_sg_mkldnn_conv"]
    if path is not in_bfloat16:
        assert found["_sg_mkldnn_fully_connected"] == 1
