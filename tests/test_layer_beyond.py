"""What `MultiChannelConv2D` does and `nn.Conv2D` doesn't."""

import copy
import json
import os
import pickle
import re
import subprocess
import sys
import textwrap

import oracle
from helpers import (
    EVERY,
    EVERY_MODE,
    EVERY_PADDING,
    MODES,
    NUMPY_MODE,
    build,
    hybridize,
    integers,
    run,
)
from mxconv import MultiChannelConv2D
from mxconv.cpu import has_avx512
from mxconv.dtypes import BFLOAT16, DrawnInFloat32

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

pytestmark = pytest.mark.kernels


@EVERY
@EVERY_MODE
@EVERY_PADDING
def test_every_kind_of_padding(name, mode, padding_mode, padding):
    """np.pad is the judge; an element of the input gets the gradients of all its copies."""
    arguments = dict(channels=3, kernel_size=(2, 4), dilation=(1, 2))
    layer = build(name, mode, padding=padding, padding_mode=padding_mode, **arguments)
    x = integers((2, 4, 9, 8))
    y, dx, dweight, dbias = run(layer, x)
    margins = [(0, 0), (0, 0)] + list(layer.geometry.pads)
    padded = np.pad(x.asnumpy(), margins, mode=NUMPY_MODE[padding_mode])
    weight, bias = layer.weight.data().asnumpy(), layer.bias.data().asnumpy()
    assert np.array_equal(y, oracle.convolve(padded, weight, bias, dilation=(1, 2)))
    expected = oracle.gradients(padded, weight, np.ones_like(y), dilation=(1, 2))
    assert np.array_equal(dweight, expected[1])
    assert np.array_equal(dbias, expected[2])
    mode = NUMPY_MODE[padding_mode]
    assert np.array_equal(dx, oracle.gathered(expected[0], x.shape, margins, mode))


@EVERY
@EVERY_MODE
@pytest.mark.parametrize("padding", [1, ((0, 1), (2, 0))])
def test_nhwc_is_nchw_with_its_axes_moved(name, mode, padding):
    arguments = dict(channels=6, kernel_size=(3, 2), strides=(2, 1), groups=2, padding=padding)
    last = build(name, mode, layout="NHWC", **arguments)
    first = build("native", **arguments)
    assert last.weight.shape == (6, 3, 2, 2)
    first.weight.set_data(last.weight.data().transpose((0, 3, 1, 2)))
    first.bias.set_data(last.bias.data())
    x = integers((2, 5, 6, 4))
    y, dx, dweight, dbias = run(last, x)
    expected = run(first, x.transpose((0, 3, 1, 2)))
    for ours, theirs in zip((y, dx, dweight), expected):
        assert np.array_equal(ours, theirs.transpose(0, 2, 3, 1))
    assert np.array_equal(dbias, expected[3])


def test_nhwc_has_the_weight_of_nn_conv2d_and_waits_for_its_channels():
    layer = MultiChannelConv2D(6, 3, groups=2, layout="NHWC")
    assert layer.weight.shape == nn.Conv2D(6, 3, groups=2, layout="NHWC").weight.shape
    layer.initialize()
    assert layer(nd.ones((1, 5, 5, 4))).shape == (1, 3, 3, 6)
    assert layer.weight.shape == (6, 3, 3, 2)
    assert "layout=NHWC" in repr(layer) and "Conv2D(2 -> 6, " in repr(layer)
    assert "Conv2D(None -> 6, " in repr(MultiChannelConv2D(6, 3, layout="NHWC"))


def bfloat16(array):
    return array.astype(BFLOAT16)


WITHOUT_AVX512 = r"bfloat16 on a CPU with AVX-512, .* received parameters of bfloat16 on cpu\(0\)"
NEEDS_BFLOAT16 = pytest.mark.skipif(
    not has_avx512(),
    reason="MXNet convolves bfloat16 on CPUs with AVX-512, and this one has none",
)


@NEEDS_BFLOAT16
@EVERY_MODE
@pytest.mark.parametrize("when", ["constructor", "cast before", "cast between", "cast after"])
def test_bfloat16_by_name(mode, when):
    """Small integers are exact in bfloat16, so the results of a float32 layer are expected."""
    layer = MultiChannelConv2D(
        3,
        3,
        padding=1,
        algorithm="native",
        dtype="bfloat16" if when == "constructor" else "float32",
    )
    if when == "cast before":
        layer.cast("bfloat16")
    layer.initialize(mx.init.Xavier())
    if when == "cast between":
        layer.cast("bfloat16")
    if when == "cast after":
        layer(nd.ones((1, 4, 5, 5)))
        layer.cast("bfloat16")
    hybridize(layer, mode)
    x = integers((1, 4, 5, 5))
    y = layer(bfloat16(x))
    assert y.dtype == BFLOAT16
    drawn = layer.weight.data().astype("float32").asnumpy()
    assert np.unique(drawn).size > 50 and np.abs(drawn).max() < 1
    expected = build("native", channels=3, kernel_size=3, padding=1)
    expected.weight.set_data(integers((3, 4, 3, 3)).clip(-1, 1))
    layer.weight.set_data(bfloat16(expected.weight.data()))
    layer.bias.set_data(bfloat16(expected.bias.data()))
    x = x.clip(-1, 1)
    x16 = bfloat16(x)
    x16.attach_grad()
    x.attach_grad()
    with autograd.record():
        y16, y = layer(x16), expected(x)
    autograd.backward([y16, y])
    for ours, theirs in (
        (y16, y),
        (x16.grad, x.grad),
        (layer.weight.grad(), expected.weight.grad()),
        (layer.bias.grad(), expected.bias.grad()),
    ):
        assert ours.dtype == BFLOAT16
        assert np.array_equal(ours.astype("float32").asnumpy(), theirs.asnumpy())


@NEEDS_BFLOAT16
@EVERY_MODE
@pytest.mark.parametrize("channels", [3, 16])
def test_bfloat16_outputs_can_be_converted(mode, channels):
    """For 16 channels oneDNN leaves them in a layout that MXNet's `astype` fails on."""
    layer = MultiChannelConv2D(channels, 1, in_channels=16, use_bias=False, dtype="bfloat16")
    layer.initialize(mx.init.One())
    hybridize(layer, mode)
    for _ in range(2):
        y = layer(bfloat16(nd.ones((1, 16, 4, 4)))).astype("float32")
        assert (y.asnumpy() == 16).all()


@pytest.mark.slow
def test_bfloat16_is_refused_at_the_call_on_a_cpu_without_avx512():
    """Only at the start of a process can oneDNN be held to AVX2."""
    code = """
        from mxconv import MultiChannelConv2D
        from mxconv.dtypes import BFLOAT16
        from mxnet import nd
        from mxnet.gluon import nn
        layer = MultiChannelConv2D(2, 1, in_channels=2, dtype="bfloat16")
        layer.initialize()
        net = nn.HybridSequential()
        net.add(layer)
        net.hybridize()
        for called in (layer, net):  # an array, and a Symbol inside
            try:
                called(nd.ones((1, 2, 3, 3)).astype(BFLOAT16))
            except TypeError as error:
                print(error)
    """
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=dict(os.environ, DNNL_MAX_CPU_ISA="AVX2"),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert len(re.findall(WITHOUT_AVX512, child.stdout)) == 2 and child.stderr == ""


@NEEDS_BFLOAT16
def test_drawing_in_float32_rounds_what_the_initializer_draws():
    for inner in ("ones", None, mx.init.Constant(0.5)):
        layer = MultiChannelConv2D(2, 1, in_channels=2, weight_initializer=inner, dtype="bfloat16")
        layer.initialize(mx.init.Constant(2))
        expected = {"ones": 1, None: 2}.get(
            inner if isinstance(inner, (str, type(None))) else "", 0.5
        )
        assert (layer.weight.data().astype("float32").asnumpy() == expected).all()
        assert isinstance(layer.weight.init, DrawnInFloat32)
        assert layer(mx.sym.var("data")).list_arguments()  # its attributes are written down
        written = layer.weight.init.dumps()
        assert json.loads(written)[0].startswith("mxconv_")  # MXNet's registry is global
        assert mx.init.create(written).dumps() == written


@pytest.mark.parametrize(
    "arguments, says",
    [
        (dict(algorithm="im2col"), "algorithm='im2col'"),
        (dict(algorithm="definition"), "algorithm='definition'"),
        (dict(layout="NHWC"), "layout='NHWC'"),
        (dict(padding=((0, 1), (0, 0))), r"padding=\(\(0, 1\), \(0, 0\)\)"),
        (dict(padding=1, padding_mode="reflect"), r"padding=\(1, 1\), padding_mode='reflect'"),
    ],
)
def test_bfloat16_is_refused_where_mxnet_lacks_it(arguments, says):
    """At a call with an array and in a trace alike; without AVX-512 that is what is missing."""
    says = f"algorithm='native'.*received {says}" if has_avx512() else WITHOUT_AVX512
    layer = MultiChannelConv2D(4, 3, in_channels=4, dtype="bfloat16", **arguments)
    layer.initialize()
    for call in (lambda: layer(bfloat16(nd.ones((1, 4, 4, 4)))), lambda: layer(mx.sym.var("data"))):
        with pytest.raises(TypeError, match=says):
            call()


@pytest.fixture
def set_np():
    mx.npx.set_np()
    yield
    mx.npx.reset_np()


@pytest.fixture(params=["set_np off", "set_np on"])
def numpy_mode(request):
    if request.param == "set_np on":
        request.getfixturevalue("set_np")
    return request.param


@EVERY
@EVERY_MODE
@pytest.mark.parametrize("activation", [None, "relu"])
def test_numpy_arrays_and_legacy_arrays_through_one_block(name, mode, activation, numpy_mode):
    layer = MultiChannelConv2D(
        3, 3, padding=((1, 0), (1, 2)), activation=activation, algorithm=name
    )
    layer.initialize()
    hybridize(layer, mode)
    data = np.random.randint(-4, 5, (2, 4, 5, 5)).astype(np.float32)
    results = []
    for x in (mx.np.array(data), nd.array(data)):
        x.attach_grad()
        with autograd.record():
            y = layer(x)
        y.backward()
        if type(x) is mx.np.ndarray or numpy_mode == "set_np on":
            assert type(y) is mx.np.ndarray
        else:
            assert type(y) is nd.NDArray
        gradients = [x.grad, layer.weight.grad(), layer.bias.grad()]
        results.append([a.asnumpy() for a in [y] + gradients])
    stock = oracle.convolve(
        np.pad(data, [(0, 0), (0, 0), (1, 0), (1, 2)]),
        layer.weight.data().asnumpy(),
        layer.bias.data().asnumpy(),
    )
    expected = stock if activation is None else np.maximum(stock, 0)
    np.testing.assert_allclose(results[0][0], expected, atol=1e-5)
    for a, b in zip(*results):
        assert np.array_equal(a, b)


def test_inside_a_network_of_numpy_arrays(set_np):
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(3, 3, activation="relu"), nn.Flatten(), nn.Dense(2))
    net.initialize()
    x = mx.np.ones((2, 4, 5, 5))
    eager = net(x).asnumpy()
    net.hybridize()
    np.testing.assert_allclose(net(x).asnumpy(), eager, rtol=1e-5)


COPIES = pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))],
    ids=["copy", "pickle"],
)


@COPIES
@EVERY
@EVERY_MODE
def test_copies_are_trainable_and_independent(copied, name, mode):
    net = nn.HybridSequential()
    with net.name_scope():
        net.add(MultiChannelConv2D(3, 3, activation="relu", algorithm=name))
    layer = net[0]
    layer.initialize()
    hybridize(layer, mode)
    x = integers((2, 4, 5, 5))
    before = run(layer, x)
    twin = copied(layer)
    for ours, theirs in zip(run(twin, x), before):
        assert np.array_equal(ours, theirs)
    trainer = gluon.Trainer(twin.collect_params(), "sgd", {"learning_rate": 0.5})
    run(twin, x)
    trainer.step(1)
    assert not np.array_equal(twin.weight.data().asnumpy(), layer.weight.data().asnumpy())
    assert np.array_equal(run(layer, x)[0], before[0])
    assert repr(twin) == repr(layer)


@COPIES
def test_a_layer_is_copied_before_it_has_values(copied):
    twin = copied(MultiChannelConv2D(3, 3))
    twin.initialize()
    assert twin(nd.ones((1, 2, 4, 4))).shape == (1, 3, 2, 2)
    layer = MultiChannelConv2D(3, 3)
    layer.initialize()
    assert copied(layer)(nd.ones((1, 2, 4, 4))).shape == (1, 3, 2, 2)


def test_one_example_without_its_batch_is_refused_with_the_shape_expected():
    with pytest.raises(ValueError, match=r"\(batch, in_channels, height, width\).*\(4, 5, 5\)"):
        build("native", channels=3, kernel_size=3)(nd.ones((4, 5, 5)))


@EVERY_MODE
def test_the_algorithm_can_be_set_on_a_built_layer(mode):
    layer = build("native", mode, channels=3, kernel_size=3, padding=1)
    x = integers((2, 4, 5, 5))
    expected = run(layer, x)
    for name in ("im2col", "definition", "auto", "native"):
        layer.algorithm = name
        assert layer.algorithm == name
        for ours, theirs in zip(run(layer, x), expected):
            assert np.array_equal(ours, theirs)
        if MODES[mode] is not None:
            traced = layer._cached_graph[1].tojson()
            assert ('"op": "Convolution"' in traced) == (name in ("native", "auto"))
    with pytest.raises(ValueError, match="algorithm='fast'"):
        layer.algorithm = "fast"
    assert layer.algorithm == "native"


def test_repr_shows_what_nn_conv2d_does_not_have():
    arguments = dict(in_channels=2, padding=1, padding_mode="replicate", layout="NHWC")
    text = repr(MultiChannelConv2D(4, 3, algorithm="im2col", **arguments))
    assert text.endswith(", padding_mode=edge, layout=NHWC, algorithm=im2col)")
    assert "padding_mode" not in repr(MultiChannelConv2D(4, 3, in_channels=2))


def test_a_dtype_can_be_asked_for_again_before_there_are_values():
    layer = MultiChannelConv2D(4, 3, in_channels=2, dtype="bfloat16")
    layer.cast("bfloat16")
    layer.initialize(mx.init.One())
    assert layer.weight.data().dtype == BFLOAT16
    layer.cast("float32")
    assert (layer.weight.data().asnumpy() == 1).all()
