"""Networks that are hybridized before their first call: 'auto' chooses while they are traced.

The rule is one for these tests, so the choices don't depend on the CPU:

- 'kn2row' for 2 output channels and 3x3, on at least 64 pixels
- 'im2col' for 5 output channels, but not in training
- 'pad_channels' for 6 output channels in training only
- 'train_layout' for 1x1 kernels, which inside a graph are left to MXNet's operator
"""

import copy
import gc
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import weakref

import mxconv
from helpers import MODES, fill, integers, slow_but
from mxconv import MultiChannelConv2D, choose_algorithms, convert, revert, set_algorithm, use_native
from mxconv.algorithms import unsupported
from mxconv.selection import rules, switch
from mxconv.selection.rules.questions import Question, Rule

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd, sym
from mxnet.contrib import amp, quantization
from mxnet.gluon import HybridBlock, nn

pytestmark = pytest.mark.kernels

HYBRIDIZED = {name: flags for name, flags in MODES.items() if flags is not None}
EVERY_MODE = pytest.mark.parametrize("mode", slow_but(HYBRIDIZED, "hybridized"))
STEPS = {"kn2row": "Deconvolution", "im2col": "im2col"}  # an operator that tells them apart

RULE = Rule(
    "the tests",
    lambda: True,
    (
        Question(
            "kn2row",
            lambda g: g.channels == 2 and g.kernel_size == (3, 3) and g.in_channels > 0,
            lambda g, work: work.pixels >= 64,
        ),
        Question("im2col", lambda g: g.channels == 5, lambda g, work: not work.training),
        Question("pad_channels", lambda g: g.channels == 6, lambda g, work: work.training),
        Question("train_layout", lambda g: g.pointwise, lambda g, work: True),
    ),
)


@pytest.fixture(autouse=True)
def rule(monkeypatch):
    monkeypatch.setattr(rules, "RULES", (RULE,))


def conv(channels=2, kernel=3, **arguments):
    return MultiChannelConv2D(channels, kernel, padding=kernel // 2, **arguments)


def sequence(*blocks):
    net = nn.HybridSequential()
    net.add(*blocks)
    return net


def layers_of(net):
    layers = []
    net.apply(lambda block: layers.append(block) if type(block) is MultiChannelConv2D else None)
    return list(dict.fromkeys(layers))


def choices(net):
    return [layer.chosen_algorithm for layer in layers_of(net)]


def operators(block):
    """The operators of the graph that a block was traced to."""
    return [node["op"] for node in json.loads(block._cached_graph[1].tojson())["nodes"]]


def results(net, inputs, training=True):
    """Outputs, and the gradients of all parameters if training, of one call; all in NumPy."""
    if not training:
        return [y.asnumpy() for y in flat(net(*inputs))]
    with autograd.record():
        ys = flat(net(*inputs))
    autograd.backward(ys)
    gradients = [p.grad() for p in net.collect_params().values() if p.grad_req != "null"]
    return [array.asnumpy() for array in ys + gradients]


def flat(outputs):
    return (
        [y for part in outputs for y in flat(part)]
        if isinstance(outputs, (list, tuple))
        else [outputs]
    )


class Siamese(HybridBlock):
    """Two inputs and two outputs, one layer for both, and a weight shared with another layer."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.first = conv(4, in_channels=3)
            self.head = conv(in_channels=4)
            self.twin = conv(in_channels=4, params=self.head.params)

    def hybrid_forward(self, F, a, b):
        a, b = self.first(a), self.first(b)
        return self.head(a), self.twin(b) + self.head(b)


class Nested(HybridBlock):
    """Lists of inputs in a list, of several sizes."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.small, self.large = conv(), conv()

    def hybrid_forward(self, F, maps, x):
        (small, large), other = maps
        return [self.small(small), [self.large(large) + other, x * 2]]


class UNet(HybridBlock):
    """A skip around a smaller scale, and a concatenation; all channels deferred."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.down, self.pool, self.inner = conv(12), nn.MaxPool2D(), conv(24)
            self.up = nn.Conv2DTranspose(12, 2, strides=2)
            self.merge, self.head = conv(5), conv()

    def hybrid_forward(self, F, x):
        skip = self.down(x)
        x = self.up(self.inner(self.pool(skip)))
        return self.head(F.relu(self.merge(F.concat(skip, x, dim=1))))


class Joined(HybridBlock):
    """A layer behind a concatenation that cuts oneDNN's blocks of channels, once it is padded."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.left, self.right, self.merge = conv(12), conv(12), conv(6)

    def hybrid_forward(self, F, x):
        return self.merge(F.concat(self.left(x), self.right(x), dim=1))


class Plain(gluon.Block):
    """A block that can't be hybridized around ones that can."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.body, self.head = sequence(conv(8), conv()), conv(5)

    def forward(self, x):
        return self.head(self.body(x) * 2)


def stock():
    """Layers of MXNet that are converted."""
    net = sequence(nn.Conv2D(8, 3, padding=1), nn.BatchNorm(), nn.Conv2D(2, 3, padding=1))
    return convert(net)


def random(*shape):
    return nd.random.uniform(-1, 1, shape=shape)


NETWORKS = {  # what makes the network, its inputs, and the choices for inference
    "a head": (lambda: sequence(conv(8), conv()), [(1, 3, 9, 8)], ["native", "kn2row"]),
    "channels known": (
        lambda: sequence(conv(8, in_channels=3), conv(in_channels=8)),
        [(1, 3, 9, 8)],
        ["native", "kn2row"],
    ),
    "NHWC": (lambda: sequence(conv(layout="NHWC")), [(1, 9, 8, 3)], ["kn2row"]),
    "reflect": (lambda: sequence(conv(padding_mode="reflect")), [(1, 3, 9, 8)], ["kn2row"]),
    "too small": (lambda: sequence(conv(8), conv()), [(1, 3, 7, 8)], ["native", "native"]),
    "siamese": (Siamese, [(1, 3, 9, 8), (1, 3, 9, 8)], ["native", "kn2row", "kn2row"]),
    "nested": (
        Nested,
        [[[(1, 3, 7, 8), (1, 3, 8, 8)], (1, 2, 8, 8)], (1, 1)],
        ["native", "kn2row"],
    ),
    "U-Net": (UNet, [(1, 3, 16, 8)], ["native", "native", "im2col", "kn2row"]),
    "joined": (Joined, [(1, 3, 9, 8)], ["native", "native", "native"]),
    "plain": (Plain, [(1, 3, 9, 8)], ["native", "kn2row", "im2col"]),
    "converted": (stock, [(1, 3, 9, 8)], ["native", "kn2row"]),
    "by name": (lambda: sequence(conv(4, algorithm="im2col")), [(1, 3, 9, 8)], ["im2col"]),
    "1x1": (lambda: sequence(conv(16, 1), conv(16, 1)), [(1, 3, 9, 8)], ["native", "native"]),
}
EVERY_NETWORK = pytest.mark.parametrize("name", NETWORKS)


def arrays(shapes):
    if isinstance(shapes, list):
        return [arrays(shape) for shape in shapes]
    return random(*shapes)


def twins(name):
    """Two equal networks that were not called yet, their inputs, and the choices for these."""
    make, shapes, expected = NETWORKS[name]
    net, other = make(), make()
    inputs = arrays(shapes)
    for block in (net, other):
        block.initialize()
    other(*inputs)  # makes the parameters
    values = [p.data() for p in other.collect_params().values()]
    return net, other, inputs, expected, values


def in_training(layer, choice):
    """What the rule of these tests chooses for training, if it chose this for inference."""
    if layer.algorithm != "auto":
        return choice
    return "pad_channels" if layer.geometry.channels == 6 else choice.replace("im2col", "native")


@EVERY_MODE
@EVERY_NETWORK
@pytest.mark.parametrize("recorded", [False, True])
def test_the_choice_is_that_of_a_network_that_is_called_first(name, mode, recorded, monkeypatch):
    net, other, inputs, expected, values = twins(name)
    net.hybridize(**HYBRIDIZED[mode])
    other.hybridize(**HYBRIDIZED[mode])
    with autograd.record() if recorded else autograd.pause():
        net(*inputs)
    if recorded:
        expected = [in_training(layer, choice) for layer, choice in zip(layers_of(net), expected)]
    assert choices(net) == expected
    for parameter, value in zip(net.collect_params().values(), values):
        parameter.set_data(value)
    for training in (False, True):
        found = results(net, inputs, training)
        for ours, theirs in zip(found, results(other, inputs, training)):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    assert choices(net) == choices(other)
    set_algorithm(net, "native")
    for ours, theirs in zip(found, results(net, inputs)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@EVERY_NETWORK
def test_the_graph_holds_the_steps(name):
    net, _, inputs, expected, _ = twins(name)
    net.hybridize()
    net(*inputs)
    graphs = [net.body, net.head] if name == "plain" else [net]
    found = [operator for graph in graphs for operator in operators(graph)]
    for choice, operator in STEPS.items():
        assert (operator in found) == (
            choice in expected or (name == "by name" and choice == "im2col")
        )


@EVERY_MODE
def test_other_sizes_are_right_later(mode):
    net = sequence(conv(8), conv(), conv(5))
    net.initialize()
    net.hybridize(**HYBRIDIZED[mode])
    net(random(1, 3, 9, 8))
    assert choices(net) == ["native", "kn2row", "im2col"]
    graph = net._cached_op
    for shape in ((2, 3, 5, 4), (1, 3, 31, 17), (3, 3, 1, 1), (1, 3, 9, 8)):
        x = random(*shape)
        found = net(x)
        assert net._cached_op is graph
        with use_native():
            np.testing.assert_allclose(found.asnumpy(), net(x).asnumpy(), rtol=1e-4, atol=1e-4)
        graph = net._cached_op


@EVERY_MODE
def test_integers_are_exact(mode):
    net = sequence(conv(4, in_channels=3), conv(in_channels=4))
    net.initialize()
    fill(net)
    x = integers((2, 3, 9, 8))
    net.hybridize(**HYBRIDIZED[mode])
    found = results(net, [x])
    assert choices(net) == ["native", "kn2row"]
    set_algorithm(net, "definition")
    for ours, theirs in zip(found, results(net, [x])):
        assert np.array_equal(ours, theirs)


def test_numpy_arrays():
    mx.npx.set_np()
    try:
        net = sequence(conv(8), conv(), nn.Dense(3))
        net.initialize()
        net.hybridize()
        x = mx.np.random.normal(size=(1, 3, 9, 8))
        y = net(x)
        assert type(y) is mx.np.ndarray and choices(net) == ["native", "kn2row"]
        with use_native():
            np.testing.assert_allclose(y.asnumpy(), net(x).asnumpy(), rtol=1e-4, atol=1e-4)
    finally:
        mx.npx.reset_np()


@pytest.mark.parametrize("dtype", ["float64"])
def test_a_dtype_without_a_rule(dtype):
    net = sequence(conv(in_channels=3))
    net.initialize()
    net.hybridize()
    net(random(1, 3, 9, 8))
    assert choices(net) == ["kn2row"]
    net.cast(dtype)
    net(random(1, 3, 9, 8).astype(dtype))
    assert choices(net) == ["native"] and "Deconvolution" not in operators(net)
    assert repr(net[0]).endswith("algorithm=native (auto: no rule for float64))")
    net.cast("float32")
    net(random(1, 3, 9, 8))
    assert choices(net) == ["kn2row"] and "Deconvolution" in operators(net)


@pytest.mark.parametrize("context", [mx.cpu(0), mx.cpu(1)], ids=str)
def test_a_context(context):
    net = sequence(conv(8), conv())
    net.initialize(ctx=[mx.cpu(1), mx.cpu(0)])
    net.hybridize()
    x = random(1, 3, 9, 8)
    net(x.as_in_context(context))
    assert choices(net) == ["native", "kn2row"]
    assert np.array_equal(net(x.as_in_context(mx.cpu(1))).asnumpy(), net(x).asnumpy())


def test_without_a_rule_for_the_cpu(monkeypatch):
    monkeypatch.setattr(rules, "RULES", (RULE._replace(is_here=lambda: False),))
    net = sequence(conv())
    net.initialize()
    net.hybridize()
    net(random(1, 3, 9, 8))
    assert repr(net[0]).endswith("algorithm=native (auto: no rule for this CPU))")


# What a trace doesn't see


def test_the_state_of_a_loop_has_no_shape():
    class Loop(HybridBlock):
        def __init__(self):
            super().__init__()
            self.head, self.body = conv(in_channels=3), conv(3, in_channels=2)

        def hybrid_forward(self, F, x, steps):
            def step(item, state):
                return item, F.broadcast_add(self.body(self.head(state)), item)

            _, state = F.contrib.foreach(step, steps, x)
            return state

    net = Loop()
    net.initialize()
    net.hybridize()
    x, steps = random(1, 3, 9, 8), nd.zeros((2, 1, 1, 1, 1))
    y = net(x, steps)
    assert choices(net) == ["native", "native"]
    assert net.head.chosen_because == "input shape unknown"
    net.hybridize(False)
    np.testing.assert_allclose(net(x, steps).asnumpy(), y.asnumpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("known", [True, False])
def test_a_symbol_of_the_users(known):
    layer = conv(in_channels=3)
    graph = layer(sym.var("x", shape=(1, 3, 9, 8)) if known else sym.var("x"))
    assert ("Deconvolution" in graph.tojson()) == known
    assert layer.chosen_algorithm == ("kn2row" if known else "native")


def test_the_traces_local_names_are_those_that_are_read():
    assert {"self", "args", "flatten_args", "symbol_inputs"} <= set(
        HybridBlock._get_graph.__code__.co_varnames
    )


def counted(monkeypatch):
    shapes = []
    original = mxconv.layer._inferred_shape
    monkeypatch.setattr(
        mxconv.layer, "_inferred_shape", lambda *args: shapes.append(original(*args)) or shapes[-1]
    )
    return shapes


def test_shapes_are_inferred_only_where_something_depends_on_them(monkeypatch):
    shapes = counted(monkeypatch)
    net = sequence(*(conv(8, in_channels=8) for _ in range(9)), conv(in_channels=8))
    net.initialize()
    net.hybridize()
    for _ in range(3):
        net(random(1, 8, 9, 8))
    assert shapes == [(1, 8, 9, 8)]


# Errors


def test_a_wrong_first_input_is_reported_and_forgotten():
    net = sequence(nn.Conv2D(8, 1, in_channels=3), conv(in_channels=3))
    net.initialize()
    net.hybridize()
    with pytest.raises(ValueError, match="expected in_channels=3 channels on axis 1, received"):
        net(random(1, 3, 9, 8))
    net = sequence(conv(8), MultiChannelConv2D(2, 3))
    net.initialize()
    net.hybridize()
    with pytest.raises(ValueError, match="3"):
        net(random(1, 4, 2, 2))  # smaller than the second kernel
    net(random(1, 3, 12, 12))  # with other channels, too
    assert choices(net) == ["native", "kn2row"] and net[0].weight.shape == (8, 3, 3, 3)


# Files, INT8, fusion, AMP


@pytest.mark.filterwarnings("ignore:Cannot decide type")
@EVERY_MODE
def test_exported_files(mode, tmp_path):
    net = sequence(conv(8), conv())
    net.initialize()
    net.hybridize(**HYBRIDIZED[mode])
    x = random(1, 3, 9, 8)
    y = net(x)
    net.export(str(tmp_path / "net"))
    names = [str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params")]
    assert "Deconvolution" in (tmp_path / "net-symbol.json").read_text()
    imported = gluon.SymbolBlock.imports(*names)
    assert np.array_equal(imported(x).asnumpy(), y.asnumpy())
    outer = sequence(imported, conv(in_channels=2))
    outer[1].initialize()
    outer.hybridize()
    assert outer(x).shape == (1, 2, 9, 8) and choices(outer) == ["kn2row"]
    with use_native():
        net.export(str(tmp_path / "native"))
    text = (tmp_path / "native-symbol.json").read_text()
    assert text.count('"op": "Convolution"') == 2 and "Deconvolution" not in text


@pytest.mark.parametrize("backend", ["MKLDNN", "MKLDNN_QUANTIZE"])
def test_optimize_for(backend):
    net = sequence(conv(8), nn.Activation("relu"), conv())
    net.initialize()
    x = random(1, 3, 9, 8)
    net.optimize_for(x, backend=backend)
    y = net(x)
    assert choices(net) == ["native", "kn2row"]
    plain = copy_of(net)
    np.testing.assert_allclose(plain(x).asnumpy(), y.asnumpy(), rtol=1e-4, atol=1e-4)


def copy_of(net):
    """An equal network of MXNet's operators, not hybridized."""
    twin = sequence(conv(8), nn.Activation("relu"), conv())
    twin.initialize()
    with use_native():
        twin(random(1, 3, 9, 8))
    for ours, theirs in zip(twin.collect_params().values(), net.collect_params().values()):
        ours.set_data(theirs.data())
    set_algorithm(twin, "native")
    return twin


@pytest.mark.filterwarnings("ignore:Cannot decide type")
def test_int8():
    net = sequence(conv(8), nn.Activation("relu"), conv())
    net.initialize()
    net.hybridize()
    x = random(8, 3, 9, 8)
    y = net(x).asnumpy()
    labeled = gluon.data.ArrayDataset(x, nd.zeros(len(x)))  # labels are required but not used
    quantized = quantization.quantize_net_v2(
        net, calib_data=gluon.data.DataLoader(labeled, 4), calib_mode="naive"
    )
    assert abs(quantized(x).asnumpy() - y).max() < 0.1 * abs(y).max()


@pytest.mark.filterwarnings("ignore:Cannot decide type")
def test_amp():
    if not mxconv.cpu.has_avx512():
        pytest.skip("MXNet has bfloat16 on CPUs with AVX-512 only")
    net = sequence(conv(8), nn.Activation("relu"), conv())
    net.initialize()
    net.hybridize()
    x = random(1, 3, 9, 8)
    y = net(x).asnumpy()
    half = amp.convert_hybrid_block(net, target_dtype="bfloat16", ctx=mx.cpu())
    found = half(x).astype("float32").asnumpy()
    assert abs(found - y).max() < 0.05 * abs(y).max()


# Inference and training


@pytest.mark.parametrize("around", ["lone", "lone, hybridized", "hybridized", "plain"])
def test_the_first_recorded_call_chooses_once_more(around):
    five, six = conv(5, in_channels=3), conv(6, in_channels=5)
    net = sequence(five, six)
    net.initialize()
    fill(net)
    if around == "lone, hybridized":
        five.hybridize()
        six.hybridize()
    if around == "hybridized":
        net.hybridize()
    x = integers((1, 3, 9, 8))
    y = net(x)
    assert choices(net) == ["im2col", "native"]
    graph = net._cached_op
    assert np.array_equal(net(x).asnumpy(), y.asnumpy()) and net._cached_op is graph
    with autograd.record():
        recorded = net(x)
    recorded.backward()
    assert choices(net) == ["native", "pad_channels"]
    gradients = [p.grad().asnumpy() for p in net.collect_params().values()]
    graph = net._cached_op
    for training in (False, True, False):
        assert np.array_equal(results(net, [x], training)[0], y.asnumpy())
    assert choices(net) == ["native", "pad_channels"] and net._cached_op is graph
    assert "_call_cached_op" not in vars(net)
    assert np.array_equal(recorded.asnumpy(), y.asnumpy())
    set_algorithm(net, "definition")
    for ours, theirs in zip(gradients, results(net, [x])[1:]):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("hybridized", [True, False])
def test_a_network_that_is_recorded_first_chooses_for_training_at_once(hybridized):
    net = sequence(conv(5), conv(6))
    net.initialize()
    net.hybridize(hybridized)
    results(net, [random(1, 3, 9, 8)])
    assert choices(net) == ["native", "pad_channels"] and "_call_cached_op" not in vars(net)
    net(random(1, 3, 9, 8))
    assert choices(net) == ["native", "pad_channels"]


def test_choosing_for_a_mode_by_hand():
    net = sequence(conv(5), conv(6))
    net.initialize()
    net.hybridize()
    x = random(1, 3, 9, 8)
    net(x)
    table = choose_algorithms(net, x.shape, training=True)
    assert [row.chosen for row in table.rows] == choices(net) == ["native", "pad_channels"]
    choose_algorithms(net, x.shape)
    assert choices(net) == ["im2col", "native"]
    results(net, [x])
    assert choices(net) == ["native", "pad_channels"]


def test_a_copy_chooses_for_itself():
    net = sequence(conv(5), conv(6))
    net.initialize()
    net.hybridize()
    x = random(1, 3, 9, 8)
    y = net(x)
    net.hybridize(False)
    twin = copy.deepcopy(net)
    net.hybridize()
    twin.hybridize()
    assert np.array_equal(twin(x).asnumpy(), y.asnumpy())
    results(twin, [x])
    assert choices(twin) == ["native", "pad_channels"] and choices(net) == ["im2col", "native"]


def test_a_network_that_waits_for_training_can_be_collected():
    net = sequence(conv(5))
    net.initialize()
    net.hybridize()
    net(random(1, 3, 9, 8))
    assert "_call_cached_op" in vars(net)
    waiting = weakref.ref(net)
    del net
    gc.collect()
    assert waiting() is None


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("hybridized", [True, False])
def test_reverted_while_it_waits_for_training(part, hybridized):
    net = sequence(conv(6, in_channels=3))
    net.initialize()
    net.hybridize(hybridized)
    x = random(1, 3, 9, 8)
    net(x)
    assert net[0].waits_for_training
    if part:
        net[0].hybridize()
        net[0](x)
    revert(net)
    results(net, [x])
    assert type(net[0]) is nn.Conv2D


ORDERS = {  # what happens between an inference and the first recorded call
    "hybridized after it": lambda net, x: net.hybridize(),
    "chosen again": lambda net, x: choose_algorithms(net, x.shape),
    "in a new block": lambda net, x: None,
    "copied": lambda net, x: None,
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_first_recorded_call_chooses_in_any_order(order):
    net = sequence(conv(5), conv(6))
    net.initialize()
    x = random(1, 3, 9, 8)
    if order == "chosen again":
        net.hybridize()
    net(x)
    ORDERS[order](net, x)
    if order == "in a new block":
        net = sequence(*net)
        net.hybridize()
    if order == "copied":
        net = copy.deepcopy(net)
        net.hybridize()
    results(net, [x])
    assert choices(net) == ["native", "pad_channels"]
    graph = net._cached_op
    results(net, [x])
    assert net._cached_op is graph


def test_a_choice_for_another_size_still_waits_for_training(monkeypatch):
    """The size for which it differs in training is told after the graph was traced."""
    large = Question("pad_channels", lambda g: True, lambda g, w: w.training and w.pixels > 100)
    monkeypatch.setattr(rules, "RULES", (RULE._replace(questions=(large,)),))
    net = sequence(conv(6, in_channels=3))
    net.initialize()
    net.hybridize()
    net(random(1, 3, 5, 5))
    choose_algorithms(net, (1, 3, 64, 64))
    results(net, [random(1, 3, 64, 64)])
    assert choices(net) == ["pad_channels"] and "_call_cached_op" not in vars(net)


@pytest.mark.parametrize("before", ["native", "im2col"])
def test_auto_again_after_a_requested_algorithm(before):
    net = sequence(conv(in_channels=3))
    net.initialize()
    set_algorithm(net, before)
    net.hybridize()
    x = random(1, 3, 9, 8)
    net(x)
    set_algorithm(net, "auto")
    net(x)
    assert choices(net) == ["kn2row"] and "Deconvolution" in operators(net)


def test_a_failed_call_decides_nothing(monkeypatch):
    odd = Question(
        "split_channels", lambda g: not unsupported("split_channels", g), lambda *_: True
    )
    monkeypatch.setattr(rules, "RULES", (RULE._replace(questions=(odd,)),))
    net = sequence(conv(20, groups=20), MultiChannelConv2D(4, 100))
    net.initialize()
    net.hybridize()
    with pytest.raises(ValueError):
        net(random(1, 20, 30, 30))
    net(random(1, 40, 110, 110))
    assert choices(net) == ["native", "native"]


def test_a_pickle_from_another_kind_of_cpu_chooses_anew(monkeypatch):
    layer = conv(6, in_channels=3)
    layer.initialize()
    layer(random(1, 3, 9, 8))
    stored = pickle.dumps(layer)
    other = RULE._replace(
        cpu="another", questions=(Question("im2col", lambda g: True, lambda *_: True),)
    )
    monkeypatch.setattr(rules, "RULES", (other,))
    loaded = pickle.loads(stored)
    loaded(random(1, 3, 9, 8))
    assert loaded.chosen_algorithm == "im2col"


# The switch


@EVERY_MODE
def test_the_switch(mode):
    net, later = sequence(conv(8), conv()), sequence(conv(8), conv())
    for block in (net, later):
        block.initialize()
        block.hybridize(**HYBRIDIZED[mode])
    lone = conv(in_channels=3)
    lone.initialize()
    x = random(1, 3, 9, 8)
    y, z = net(x), lone(x)
    assert choices(net) == ["native", "kn2row"] and choices(lone) == ["kn2row"]
    with use_native():
        assert choices(net) == choices(later) == ["native", "native"]
        assert "Deconvolution" not in operators(net)
        np.testing.assert_allclose(net(x).asnumpy(), y.asnumpy(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(lone(x).asnumpy(), z.asnumpy(), rtol=1e-4, atol=1e-4)
        later(x)
        assert "Deconvolution" not in operators(later)
        assert repr(later[1]).endswith("(auto: switched off by use_native or MXCONV_NATIVE))")
        with use_native(False):
            assert choices(net) == ["native", "kn2row"]
            assert "Deconvolution" in operators(later)
        assert choices(net) == ["native", "native"]
        set_algorithm(net, "im2col")
        assert choices(net) == ["im2col", "im2col"]  # requested ones stay
        set_algorithm(net, "auto")
    assert choices(later) == ["native", "kn2row"] and "Deconvolution" in operators(later)
    assert np.array_equal(lone(x).asnumpy(), z.asnumpy())


def test_the_switch_as_a_function():
    layer = conv(in_channels=3)
    layer.initialize()
    layer(random(1, 3, 9, 8))
    try:
        use_native()
        assert switch.is_on() and layer.chosen_algorithm == "native"
    finally:
        use_native(False)
    assert layer.chosen_algorithm == "kn2row"
    with pytest.raises(TypeError, match="active"):
        use_native("yes")
    with pytest.raises(RuntimeError), use_native():
        raise RuntimeError
    assert not switch.is_on()


# Threads, and other blocks


def test_several_threads_at_once():
    nets = [sequence(conv(8), conv()) for _ in range(4)]
    x, found = random(1, 3, 9, 8), []
    for net in nets:
        net.initialize(mx.init.One())
        net.hybridize()
    threads = [
        threading.Thread(target=lambda net=net: found.append(net(x).asnumpy())) for net in nets
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [choices(net) for net in nets] == [["native", "kn2row"]] * 4
    assert all(np.array_equal(y, found[0]) for y in found) and len(found) == 4


def test_a_layer_in_two_networks():
    """The choice in the second, which knows the size, is made in the first one's graph as well."""
    head = conv(in_channels=3)
    head.initialize()
    alone, net = sequence(head), sequence(nn.Activation("relu"), head)
    small, x = random(1, 3, 4, 4), random(1, 3, 9, 8)
    alone.hybridize()
    net.hybridize()
    alone(small)
    assert choices(net) == ["native"]
    net(x)  # decided already
    assert choices(net) == ["native"] and "Deconvolution" not in operators(net)
    choose_algorithms(net, x.shape)
    assert "Deconvolution" in operators(net) and "Deconvolution" in operators(alone)


def test_reverted_and_converted_again():
    net = sequence(conv(8), conv())
    net.initialize()
    net.hybridize()
    x = random(1, 3, 9, 8)
    y = net(x)
    set_algorithm(net, "native")
    revert(net)
    with use_native():
        net(x)
    convert(net)
    np.testing.assert_allclose(net(x).asnumpy(), y.asnumpy(), rtol=1e-4, atol=1e-4)
    assert choices(net) == ["native", "kn2row"] and "Deconvolution" in operators(net)


# Processes of their own, in the usual order and with the usual settings

AT_ONCE = """
import mxconv
from mxnet import autograd, nd
from mxnet.gluon import nn

net = nn.HybridSequential()
net.add(nn.Conv2D(64, 3, padding=1), nn.Activation("relu"), nn.Conv2D(1, 3, padding=1))
mxconv.convert(net)
net.initialize()
net.hybridize()
x = nd.random.normal(shape=(1, 3, 256, 256))  # large enough, whatever the number of threads
with autograd.record():
    y = net(x)
y.backward()
print(net[2].chosen_algorithm, "/", net[2].chosen_because)
before = y.asnumpy()
mxconv.set_algorithm(net, "definition")
assert abs(net(x).asnumpy() - before).max() < 1e-4
"""


@pytest.mark.parametrize(
    "native, expected",
    [
        ("", r"(kn2row / faster by the rule for \S+)|(native / no rule for this CPU)"),
        ("0", r"(kn2row / faster by the rule for \S+)|(native / no rule for this CPU)"),
        ("1", "native / switched off by use_native or MXCONV_NATIVE"),
        ("yes", "ValueError: expected 0 or 1 in MXCONV_NATIVE, received MXCONV_NATIVE='yes'"),
    ],
)
def test_in_a_process_of_its_own(native, expected):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE],
        env={**environment, "MXCONV_NATIVE": native},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (done.returncode == 0) == (native != "yes"), done.stdout
    assert re.fullmatch(expected, done.stdout.strip().splitlines()[-1])
