"""Where oneDNN's layouts trip MXNet up: behind concatenations, and in weights of groups."""

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import oracle
from helpers import MODES, fill, integers, slow_but
from mxconv import (
    MultiChannelConv2D,
    _layouts,
    count_cost,
    load_parameters,
    save_parameters,
    set_algorithm,
)
from mxconv.cpu import has_avx512
from mxconv.networks.tracing import trace_symbol

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

pytestmark = pytest.mark.kernels

ROOT = Path(__file__).resolve().parents[1]
ALL_MODES = {**MODES, "at once": dict(static_alloc=True, static_shape=True)}
EVERY_MODE = pytest.mark.parametrize("mode", slow_but(ALL_MODES, "eager", "at once"))
# What passes oneDNN's layout on, and a barrier.
BETWEEN = {
    "nothing": lambda F, x: x,
    "relu": lambda F, x: F.relu(x),
    "leaky": lambda F, x: F.LeakyReLU(x, act_type="leaky", slope=2),
    "sum": lambda F, x: x + x,
    "reshape": lambda F, x: x.reshape((0, 0, 0, 0)),
    "identity": lambda F, x: F.identity(x),
    "dropout": lambda F, x: F.Dropout(x, p=0),
    "pooling": lambda F, x: F.Pooling(x, kernel=(2, 2), pool_type="max"),
    "another": lambda F, x: F.concat(x, x, dim=1),
}


class Joined(gluon.HybridBlock):
    """Two images of some channels each, concatenated, and a layer behind them."""

    def __init__(self, layer, between="nothing"):
        super().__init__()
        self.layer, self.between = layer, between

    def hybrid_forward(self, F, one, other):
        x = F.concat(F.relu(one), F.relu(other), dim=1)
        return self.layer(BETWEEN[self.between](F, x))


class Branches(gluon.HybridBlock):
    """Two convolutions of the same image, which hand their outputs over as oneDNN lays them out."""

    def __init__(self, widths, joined):
        super().__init__()
        with self.name_scope():
            self.one, self.other = (nn.Conv2D(width, 3, padding=1) for width in widths)
        self.joined = joined

    def hybrid_forward(self, F, x):
        return self.joined(self.one(x), self.other(x))


def network(widths, layer, between="nothing"):
    net = Branches(widths, Joined(layer, between))
    net.initialize()
    x = integers((2, 3, 8, 8))
    net(x)
    for parameter in learnt(net):
        parameter.set_data(nd.array(np.random.randint(-2, 3, parameter.shape)))
    return net, x


def learnt(net):
    return [p for p in net.collect_params().values() if p.grad_req != "null"]


def gradients(net, x):
    """The output and the gradients to all parameters, those behind the concatenation among them."""
    with autograd.record():
        y = net(x)
    y.backward(nd.ones_like(y))
    return [y.asnumpy()] + [p.grad().asnumpy() for p in learnt(net)]


def expected(net, x, between):
    """The same in float64, step by step; the barriers aside, all that is between is linear here."""
    data = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    w1, b1, w2, b2, w, b = data.values()
    x = x.asnumpy().astype(np.float64)
    one, other = (oracle.convolve(x, *p, padding=(1, 1)) for p in ((w1, b1), (w2, b2)))
    joined = np.maximum(np.concatenate([one, other], axis=1), 0)
    scale = 2 if between == "sum" else 1
    seen = np.concatenate([joined] * (2 if between == "another" else 1), axis=1) * scale
    y = oracle.convolve(seen, w, b, padding=(1, 1))
    dy = np.ones_like(y)
    dx, dw, db = oracle.gradients(seen, w, dy, padding=(1, 1))
    dx = dx * scale
    if between == "another":
        dx = dx[:, : joined.shape[1]] + dx[:, joined.shape[1] :]
    dx = dx * (joined > 0)
    cut = len(w1)
    found = [
        oracle.gradients(x, *p, padding=(1, 1))[1:] for p in zip((w1, w2), np.split(dx, [cut], 1))
    ]
    return [y, *found[0], *found[1], dw, db]


def hybridize(net, x, mode):
    if mode != "at once":
        net(x)
    if ALL_MODES[mode] is not None:
        net.hybridize(**ALL_MODES[mode])


LAYERS = [
    ("native", 8),
    ("native", 12),
    ("native", 16),
    ("pad_channels", 12),
    ("pad_channels", 20),
    ("depth_to_space", 4),
    ("depth_to_space", 3),
    ("kn2row", 8),
    ("train_layout", 16),
    ("im2col", 8),
    ("auto", 12),
    ("fft", 8),
]


@EVERY_MODE
@pytest.mark.parametrize("name, channels", LAYERS)
@pytest.mark.parametrize("widths", [(12, 12), (12, 4), (20, 20), (16, 16), (8, 8)], ids=str)
def test_every_algorithm_trains_behind_a_concatenation(widths, name, channels, mode):
    layer = MultiChannelConv2D(channels, 3, padding=1, algorithm=name)
    net, x = network(widths, layer)
    hybridize(net, x, mode)
    for ours, right in zip(gradients(net, x), expected(net, x, "nothing")):
        np.testing.assert_allclose(ours, right, rtol=0, atol=1e-3 * (name == "fft"))


@EVERY_MODE
@pytest.mark.parametrize("between", sorted(set(BETWEEN) - {"leaky", "pooling"}))
@pytest.mark.parametrize("name, channels", [("native", 16), ("pad_channels", 12)])
def test_whatever_is_between(name, channels, between, mode):
    layer = MultiChannelConv2D(channels, 3, padding=1, algorithm=name)
    net, x = network((12, 12), layer, between)
    hybridize(net, x, mode)
    for ours, right in zip(gradients(net, x), expected(net, x, between)):
        np.testing.assert_array_equal(ours, right)


@EVERY_MODE
@pytest.mark.parametrize("normalized", ["BatchNorm", "LeakyReLU", "BatchNorm and ReLU"])
def test_behind_layers_that_pass_the_layout_on(normalized, mode):
    """As in DenseNet, where they stand between; only that it trains, and alike in every mode."""
    layer = MultiChannelConv2D(16, 3, padding=1, in_channels=24)
    between = nn.HybridSequential()
    between.add(nn.LeakyReLU(0.5) if normalized == "LeakyReLU" else nn.BatchNorm(in_channels=24))
    if normalized.endswith("ReLU") and normalized != "LeakyReLU":
        between.add(nn.Activation("relu"))
    between.add(layer)
    net, x = network((12, 12), between)
    eager = gradients(net, x)
    hybridize(net, x, mode)
    for ours, right in zip(gradients(net, x), eager):
        np.testing.assert_allclose(ours, right, rtol=1e-3, atol=1e-2)


class Twice(gluon.HybridBlock):
    """A block that is used twice in a row, whose two uses have the same names in a graph."""

    def __init__(self, inner, layer, times=2):
        super().__init__()
        self.inner, self.layer, self.times = inner, layer, times

    def hybrid_forward(self, F, x):
        for _ in range(self.times):
            x = self.inner(x)
        return self.layer(x)


@EVERY_MODE
@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("inner", ["Activation", "BatchNorm"])
def test_a_block_that_is_used_twice_on_the_way(inner, times, mode):
    block = nn.Activation("relu") if inner == "Activation" else nn.BatchNorm(in_channels=24)
    layer = MultiChannelConv2D(16, 3, padding=1, in_channels=24)
    net, x = network((12, 12), Twice(block, layer, times))
    hybridize(net, x, mode)
    right = expected(net, x, "nothing") if inner == "Activation" else None
    for i, ours in enumerate(gradients(net, x)):
        assert np.isfinite(ours).all()
        if right:
            np.testing.assert_array_equal(ours, right[i])


@pytest.mark.parametrize("own", [None, {}, dict(static_alloc=True, static_shape=True)], ids=str)
@pytest.mark.parametrize("above", ["array", "graph", "static graph"])
def test_a_layer_by_itself_behind_a_concatenation_of_another_graph(above, own):
    """The layer gets an array, of which only autograd knows where it comes from."""
    layer = MultiChannelConv2D(16, 3, padding=1)
    net, x = network((12, 12), layer)
    right = expected(net, x, "nothing")
    joined = Joined(nn.HybridSequential())
    if above != "array":
        joined.hybridize(static_alloc=above == "static graph")
    if own is not None:
        layer.hybridize(**own)
    with autograd.record():
        y = layer(joined(net.one(x), net.other(x)))
    y.backward(nd.ones_like(y))
    for ours, theirs in zip([y, *(p.grad() for p in net.collect_params().values())], right):
        np.testing.assert_array_equal(ours.asnumpy(), theirs)


CRASHES = """
    import sys
    import mxconv
    from mxnet import autograd, gluon, nd
    from mxnet.gluon import nn

    class Net(gluon.HybridBlock):
        def __init__(self, widths, layer):
            super().__init__()
            with self.name_scope():
                self.one, self.other = (nn.Conv2D(width, 3, padding=1) for width in widths)
                self.layer = layer

        def hybrid_forward(self, F, x):
            return self.layer(F.concat(self.one(x), self.other(x), dim=1))

    def train(widths, layer, hybridized):
        net = Net(widths, layer)
        net.initialize()
        if hybridized:
            net.hybridize()
        with autograd.record():
            loss = (net(nd.ones((1, 3, 8, 8))) ** 2).mean()
        loss.backward()
        print(float(abs(net.one.weight.grad()).sum().asscalar()) >= 0)
"""


def child(code):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CRASHES) + textwrap.dedent(code)],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_where_nn_conv2d_ends_the_process():
    """Cut before the first whole block, oneDNN divides by zero: in a process of its own."""
    done = child("""
        for widths in ((4, 4), (1, 15), (2, 6), (4, 28)):
            channels_of = dict(native=16, pad_channels=12, depth_to_space=4, kn2row=8)
            for name, channels in channels_of.items():
                for hybridized in (False, True):
                    layer = mxconv.MultiChannelConv2D(channels, 3, padding=1, algorithm=name)
                    train(widths, layer, hybridized)
    """)
    assert done.returncode == 0 and done.stdout.split() == ["True"] * 32, done.stderr


@pytest.mark.skipif(has_avx512(), reason="what oneDNN's kernels without AVX-512 do is known")
@pytest.mark.parametrize("widths, ends", [((12, 12), "sub-memory"), ((4, 4), "died")])
def test_nn_conv2d_does_not_train_there(widths, ends):
    """What the comparison in the README says; on the day this fails, it has to be read again."""
    done = child(f"train({widths}, nn.Conv2D(16, 3, padding=1), True)")
    assert done.stdout == ""
    if ends == "died":
        assert done.returncode == -signal.SIGFPE
    else:
        assert done.returncode == 1 and "could not construct a sub-memory" in done.stderr


def operators(symbol):
    return [node["op"] for node in json.loads(symbol.tojson())["nodes"]]


@pytest.mark.parametrize(
    "widths, copied", [((16, 16), 0), ((8, 16), 0), ((32, 12), 0), ((12, 12), 1), ((8, 8), 1)]
)
@pytest.mark.parametrize("called", [False, True])
def test_nothing_is_copied_where_the_cut_is_between_blocks(called, widths, copied):
    """Nor where the channels are only known from the array that a first call has."""
    net = Branches(widths, Joined(MultiChannelConv2D(16, 3, padding=1)))
    net.initialize()
    x = nd.ones((1, 3, 8, 8))
    if called:
        net(x)
    net.hybridize()
    net(x)
    assert operators(net._cached_graph[1]).count("slice_axis") == copied


@pytest.mark.parametrize("algorithm", ["im2col", "fft"])
def test_nothing_is_copied_for_algorithms_that_take_their_input_apart(algorithm):
    copies = []
    for widths in ((12, 12), (16, 16)):
        net, x = network(widths, MultiChannelConv2D(16, 3, padding=1, algorithm=algorithm))
        net.hybridize()
        net(x)
        copies.append(operators(net._cached_graph[1]).count("slice_axis"))
    assert copies[0] == copies[1]


def test_what_is_written_or_counted_has_no_copies():
    net, x = network((12, 12), MultiChannelConv2D(16, 3, padding=1))
    assert "slice_axis" not in operators(trace_symbol(net, net, (x.shape,)))
    assert [item.operator for item in count_cost(net, x.shape).not_counted] == ["relu", "Concat"]


def test_an_array_that_is_not_recorded_is_not_copied(monkeypatch):
    copied = []
    monkeypatch.setattr(_layouts, "plain", lambda x: copied.append(x) or x)
    layer = MultiChannelConv2D(16, 3, in_channels=24)
    layer.initialize()
    x = nd.ones((1, 24, 8, 8))
    layer(x)
    x.attach_grad()
    with autograd.record():
        layer(x)
        layer(nd.relu(x))
        layer(nd.concat(x, x, dim=2))
        assert copied == []
        layer(nd.concat(x[:, :12], x[:, 12:], dim=1))
    assert len(copied) == 1


def test_a_chain_of_operators_that_meet_again_is_followed_once():
    """Each doubles the ways back to the start: 2 ** 60 of them."""
    layer = MultiChannelConv2D(8, 1, in_channels=8)
    layer.initialize()
    x = nd.ones((1, 8, 2, 2))
    x.attach_grad()
    with autograd.record():
        y = x
        for _ in range(60):
            y = y * nd.sigmoid(y)
        layer(y)
    net = nn.HybridSequential()
    net.add(*(nn.Swish() for _ in range(60)), layer)
    net.hybridize()
    net(x).wait_to_read()


def test_a_layer_that_is_recorded_again_and_again_asks_once(monkeypatch):
    """As the cell of a recurrent network, for autograd copies all that it has to answer."""
    asked = []
    real = _layouts.recorded_after_concat

    def recorded_after_concat(x):
        asked.append(x.shape)
        return real(x)

    monkeypatch.setattr(_layouts, "recorded_after_concat", recorded_after_concat)
    layer = MultiChannelConv2D(8, 3, padding=1, in_channels=8)
    layer.initialize()
    x = nd.ones((1, 8, 4, 4))
    x.attach_grad()
    for _ in range(2):
        with autograd.record():
            y = x
            for _ in range(5):
                y = y + layer(y)
    assert asked == [x.shape]


def test_a_copy_asks_anew():
    """It may stand behind a concatenation where the layer that it was made of didn't."""
    layer = MultiChannelConv2D(16, 3, padding=1)
    net, x = network((12, 12), layer)
    seen = nd.ones((2, 24, 8, 8))
    seen.attach_grad()
    with autograd.record():
        layer(seen)
    net.joined.layer = copy.deepcopy(layer)
    for ours, right in zip(gradients(net, x), expected(net, x, "nothing")):
        np.testing.assert_array_equal(ours, right)


# A weight of groups, which oneDNN lays out in place.


def hybridized(net, x):
    net.hybridize()
    net(x).wait_to_read()
    return net


def static(net, x):
    net.hybridize(static_alloc=True, static_shape=True)
    net(x).wait_to_read()
    return net


def trained(net, x):
    hybridized(net, x)
    gradients(net, x)
    net(x).wait_to_read()
    return net


def fused(net, x):
    net.optimize_for(x, backend="MKLDNN", static_alloc=True, static_shape=True)
    net(x).wait_to_read()
    net.hybridize()
    return net


def loaded(net, x, tmp_path):
    save_parameters(hybridized(net, x), tmp_path / "net.params")
    return hybridized(load_parameters(net, tmp_path / "net.params"), x)


def cast(net, x):
    hybridized(net, x).cast("float64")
    net.cast("float32")
    return hybridized(net, x)


def copied(net, x):
    hybridized(net, x)
    net = pickle.loads(pickle.dumps(net[0]))
    twin = nn.HybridSequential()
    twin.add(copy.deepcopy(net))
    return hybridized(twin, x)


HISTORIES = [hybridized, static, trained, fused, loaded, cast, copied]


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.__name__)
@pytest.mark.parametrize("layout", slow_but(["NCHW", "NHWC"], "NCHW"))
@pytest.mark.parametrize("channels, groups", [(16, 16), (16, 2), (12, 12), (8, 4), (9, 9)])
def test_any_algorithm_follows_any_history(channels, groups, layout, history, tmp_path):
    arguments = dict(padding=1, groups=groups, in_channels=channels, layout=layout)
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(channels, 3, algorithm="native", **arguments))
    net.initialize()
    fill(net)
    sizes = dict(N=1, C=channels, H=6, W=6)
    x = integers([sizes[axis] for axis in layout])
    right = gradients(net, x)
    net = history(net, x, tmp_path) if history is loaded else history(net, x)
    names = ["im2col", "definition", "train_layout", "native", "fft", "im2col"]
    names += ["split_channels"] * (channels == 9)
    for name in names:
        if name == "definition" and channels * channels // groups * 9 > 700:
            continue
        set_algorithm(net, name)
        np.testing.assert_allclose(net(x).asnumpy(), right[0], rtol=0, atol=1e-4)
        for ours, theirs in zip(gradients(net, x), right):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
        net(x).wait_to_read()  # once more in inference, which lays the weight out


def test_mx_np_arrays_behind_a_concatenation():
    mx.npx.set_np()
    try:
        layer = MultiChannelConv2D(16, 3, padding=1, in_channels=24)
        layer.initialize()
        one, other = nn.Conv2D(12, 3, padding=1), nn.Conv2D(12, 3, padding=1)
        for conv in (one, other):
            conv.initialize()
        x = mx.np.ones((1, 3, 8, 8))
        with autograd.record():
            y = layer(mx.np.concatenate([one(x), other(x)], axis=1)).sum()
        y.backward()
        assert np.isfinite(one.weight.grad().asnumpy()).all()
    finally:
        mx.npx.reset_np()


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", ["kn2row", "im2col", "definition", "depth_to_space"])
def test_a_weight_that_inference_has_laid_out_in_blocks(name, groups):
    """MXNet's operator leaves it so in a graph, and rearranging it would crash the process."""
    if name == "depth_to_space" and groups > 1:
        pytest.skip("it doesn't support groups")
    layer = MultiChannelConv2D(16, 3, padding=1, groups=groups, in_channels=16)
    layer.initialize()
    fill(layer)
    layer.hybridize()
    x = integers((1, 16, 16, 16))
    layer.algorithm = "native"
    y = layer(x).asnumpy()
    layer.algorithm = name
    assert np.array_equal(layer(x).asnumpy(), y)
