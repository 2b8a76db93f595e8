import itertools
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from helpers import EVERY_MODE, MODES, hybridize, integers, run
from mxconv import MultiChannelConv2D, algorithms, choose_algorithms, load_choices
from mxconv.cpu import has_avx512
from mxconv.dtypes import BFLOAT16
from mxconv.exercises.cost.memory import ArrayCounts, MemoryCost
from mxconv.selection import choose, record, rules, timing
from mxconv.selection.inputs import arrays_by_running
from mxconv.selection.rules import avx512

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd
from mxnet.gluon import Block, HybridBlock, nn
from mxnet.util import is_np_array, np_array

pytestmark = pytest.mark.kernels

TABLES = Path(__file__).with_name("data") / "choices.txt"


def measured(net, x, **options):
    return choose_algorithms(net, x, measure=True, **options)


QUICK = dict(seconds=1e-3, progress=False)
TRAINING = pytest.mark.parametrize("training", [False, True])
ELIGIBLE = {  # the candidates for each layer of `build`, besides 'native'
    "0": {"pad_channels"},
    "1.0": {"pad_channels"},
    "2": {"pad_channels", "depth_to_space", "kn2row"},
    "3": {"pad_channels", "depth_to_space", "subsample"},
}


def build(mode="eager", seed=0):
    """A network with layers for all of the candidates, one of them used twice, and an input."""
    shared = MultiChannelConv2D(12, 3, padding=1)
    body = nn.HybridSequential()
    body.add(shared, nn.Activation("relu"), shared)
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(12, 1), body)
    net.add(MultiChannelConv2D(2, 3, padding_mode="reflect", padding=1))
    net.add(MultiChannelConv2D(4, 1, strides=2, use_bias=False))
    mx.random.seed(seed)
    net.initialize(mx.init.Normal(0.5))
    x = nd.random.normal(shape=(2, 3, 10, 9))
    net(x)
    hybridize(net, mode)
    if net._active:
        net(x)
    return net, x


def layers(net):
    return [net[0], net[1][0], net[2], net[3]]


def state(net):
    """What measuring has to leave alone, unless it succeeds."""
    found = []
    net.apply(found.append)
    return [
        (
            block._active,
            list(block._flags),
            block._cached_op,
            len(block._forward_pre_hooks),
            getattr(block, "algorithm", None),
            getattr(block, "chosen_algorithm", None),
        )
        for block in found
    ]


@pytest.fixture
def winner(monkeypatch):
    """Have some algorithms win, by times that are given: real ones are no matter for a test."""

    def let(*names, time=0.5):
        def seconds(layer, x, dy):
            return (time if layer.algorithm in names else 1.0,)

        monkeypatch.setattr(timing, "_seconds", seconds)

    return let


def assert_like(actual, expected):
    np.testing.assert_allclose(actual.asnumpy(), expected.asnumpy(), rtol=1e-4, atol=1e-4)


@TRAINING
@EVERY_MODE
def test_a_real_measurement(mode, training):
    net, x = build(mode)
    y, x_before = net(x), x.asnumpy()
    found = measured(net, x, training=training, **QUICK)
    assert [row.layer for row in found.rows] == list(ELIGIBLE)
    assert [row.input_shape for row in found.rows] == [
        (2, 3, 10, 9),
        (2, 12, 10, 9),
        (2, 12, 10, 9),
        (2, 2, 10, 9),
    ]
    assert found.training == training and found.machine
    for row, layer in zip(found.rows, layers(net)):
        assert row.geometry == layer.geometry and row.before == "auto"
        assert row.chosen == layer.algorithm in ELIGIBLE[row.layer] | {"native"}
        assert row.gain == 1 if row.chosen == "native" else row.gain > timing.MIN_GAIN
        assert row.rejected == ()
    assert_like(net(x), y)
    assert np.array_equal(x.asnumpy(), x_before)


@EVERY_MODE
@pytest.mark.parametrize("name", ["pad_channels", "depth_to_space", "kn2row", "subsample"])
def test_the_winner_is_set_and_traced(mode, name, winner):
    net, x = build(mode)
    y = net(x)
    before = net._cached_graph
    winner(name)
    found = measured(net, x, **QUICK)
    for row, layer in zip(found.rows, layers(net)):
        wins = name in ELIGIBLE[row.layer]
        assert (row.chosen, row.gain) == ((name, 2.0) if wins else ("native", 1.0))
        assert layer.algorithm == layer.chosen_algorithm == row.chosen
    assert net._active == net[1]._active == (MODES[mode] is not None)
    assert bool(net._cached_graph) == net._active and (
        not before or net._cached_graph is not before
    )
    for ours, theirs in zip(run(net, x), run(build()[0], x)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)
    assert_like(net(x), y)
    if MODES[mode] is not None:
        graph = net._cached_graph[1].tojson()
        operator = {
            "pad_channels": "slice_axis",
            "depth_to_space": "slice_like",
            "kn2row": "Deconvolution",
            "subsample": '"op": "slice"',
        }[name]
        assert operator in graph
        graphs = net._cached_graph
        measured(net, x, **QUICK)
        assert net._cached_graph is graphs  # nothing changed, nothing is traced


def test_a_gain_has_to_exceed_the_noise():
    def decide(native, again, **others):
        times = {"native": native, timing.CONTROL: again, **others}
        return timing.best({name: [(t,) for t in ts] for name, ts in times.items()})

    assert decide([2, 9, 2], [2, 2, 2], depth_to_space=[1, 1, 9], pad_channels=[4, 4, 4]) == (
        "depth_to_space",
        2.0,
    )
    assert decide([1.0], [1.0], depth_to_space=[0.96]) == ("native", 1.0)
    assert decide([1.0], [1.0], depth_to_space=[0.94])[0] == "depth_to_space"
    assert decide([1.0], [1.3], depth_to_space=[0.8]) == ("native", 1.0)  # noise 1.3, gain 1.25
    assert decide([1.0], [1.2], depth_to_space=[0.8]) == ("depth_to_space", 1.25)
    # until it is there, and until it is read: the smaller gain counts
    times = {
        "native": [(1, 9)],
        timing.CONTROL: [(1, 9)],
        "depth_to_space": [(1, 3)],
        "pad_channels": [(0.5, 6)],
    }
    assert timing.best(times) == ("pad_channels", 1.5)


def test_layers_are_timed_in_turn_and_alike_ones_once(monkeypatch):
    net = nn.HybridSequential()
    net.add(*(MultiChannelConv2D(2, 3, padding=1, in_channels=2) for _ in range(3)))
    net.add(MultiChannelConv2D(2, 3, in_channels=2))
    net.initialize()
    calls = []

    def seconds(layer, x, dy):
        calls.append((layer.geometry.padding, layer.algorithm))
        return (1.0,)

    monkeypatch.setattr(timing, "_seconds", seconds)  # to see the calls
    tries = ["native", "native", "pad_channels", "depth_to_space"]
    warm = [
        "pad_channels",
        "pad_channels",
        "depth_to_space",
        "depth_to_space",
        "native",
        "native",
        "native",
        "native",
    ]
    turn = ["pad_channels", "depth_to_space", "native", "native"]
    # As many rounds as there is time for, at least five, or one that takes ten times as long.
    for each, rounds in ((1 / 8, 8), (1, 5), (2, 5), (11, 1)):
        calls.clear()
        clock = itertools.count(0, QUICK["seconds"] * each)
        monkeypatch.setattr(timing.time, "perf_counter", clock.__next__)
        assert len(measured(net, nd.ones((1, 2, 8, 8)), **QUICK).rows) == 4
        order = tries + warm + turn * rounds
        assert [name for padding, name in calls if padding == (1, 1)] == order
        assert [name for padding, name in calls if padding == (0, 0)] == order


@TRAINING
def test_a_slow_candidate_is_dropped_by_its_first_calls(training, monkeypatch):
    layer = MultiChannelConv2D(12, 3, padding=1, in_channels=24)
    layer.initialize()
    right, calls = timing._seconds, []

    def seconds(block, x, dy):
        right(block, x, dy)
        calls.append(block.algorithm)
        return (1.01 * timing.MAX_SLOWDOWN if block.algorithm == "pad_channels" else 1.0,)

    monkeypatch.setattr(timing, "_seconds", seconds)
    (row,) = measured(layer, nd.ones((1, 24, 9, 9)), training=training, **QUICK).rows
    assert (row.chosen, row.rejected) == ("native", ())
    assert calls.count("pad_channels") == timing.MAX_TRIES


def test_a_candidate_that_is_slow_at_first_is_measured(monkeypatch):
    layer = MultiChannelConv2D(12, 3, padding=1, in_channels=24)
    layer.initialize()
    calls = []

    def seconds(layer, x, dy):
        calls.append(layer.algorithm)
        slow = calls.count("pad_channels") == 1 or layer.algorithm == "kn2row"
        return (
            2 * timing.MAX_SLOWDOWN if slow else 0.5 if layer.algorithm == "pad_channels" else 1,
        )

    monkeypatch.setattr(timing, "_seconds", seconds)
    (row,) = measured(layer, nd.ones((1, 24, 9, 9)), **QUICK).rows
    assert (row.chosen, row.gain) == ("pad_channels", 2)
    assert (
        calls[:7] == ["native"] * 2 + ["pad_channels"] * 2 + ["kn2row"] * 3
        and "kn2row" not in calls[7:]
    )


FOURIER = dict(channels=1, kernel_size=15, padding=7, in_channels=1)


@pytest.mark.parametrize(
    "arguments, size, tried",
    [
        (FOURIER, 20, {"pad_channels", "depth_to_space", "fft"}),
        (
            dict(FOURIER, kernel_size=3, padding=12, dilation=12),
            20,
            {"pad_channels", "depth_to_space"},
        ),
        (dict(FOURIER, channels=20, in_channels=20), 20, {"pad_channels", "fft"}),
        (dict(FOURIER, channels=204, in_channels=204), 20, {"pad_channels"}),
        (
            dict(FOURIER, channels=12, in_channels=2048, dilation=2, padding=14),
            8,
            {"pad_channels", "kn2row"},
        ),
        (
            dict(channels=2, kernel_size=3, in_channels=8, dilation=9),
            30,
            {"pad_channels", "depth_to_space", "kn2row"},
        ),
        (
            dict(channels=2, kernel_size=3, in_channels=512, dilation=40),
            90,
            {"pad_channels", "kn2row"},
        ),
    ],
    ids=str,
)
def test_candidates_whose_arrays_are_too_many_are_not_called(arguments, size, tried, monkeypatch):
    layer = MultiChannelConv2D(**arguments)
    x = nd.zeros((1, arguments["in_channels"], size, size))
    layer.initialize()
    names = []

    def quick(candidates, make, x, dy):
        names.extend(candidates)
        return []

    monkeypatch.setattr(timing, "not_far_slower", quick)
    measured(layer, x, **QUICK)
    assert set(names) == tried


def test_the_bound_on_a_candidates_arrays(monkeypatch):
    layer = MultiChannelConv2D(1, 3, in_channels=1, algorithm="native")
    layer.initialize()
    x, counted_bytes = nd.zeros((1, 1, 8, 8)), {}

    def memory_cost(geometry, input_shape, output_shape, use_bias, algorithm):
        made = ArrayCounts(input=counted_bytes[algorithm] // 4)
        assert (input_shape, output_shape, use_bias) == ((1, 1, 8, 8), (1, 1, 6, 6), True)
        return MemoryCost(made)

    monkeypatch.setattr(timing, "memory_cost", memory_cost)
    # Of a training step what is kept and the gradients are added up, here twice the same.
    for training, share in ((False, 1), (True, 2)):
        for native, most in ((2**20, 2**27), (2**24, 10 * 2**24), (2**30, 2**31)):
            counted_bytes.update(
                native=native // share, pad_channels=most // share, depth_to_space=most // share + 4
            )
            arguments = layer.geometry, x.shape, True, x.dtype, training
            found = timing.affordable(["pad_channels", "depth_to_space"], *arguments)
            assert found == ["pad_channels"]


MEASURED = """
import resource
import mxconv
from mxnet import nd

def status(key):
    with open("/proc/self/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))

c_i, c_o, training = {}
layer = mxconv.MultiChannelConv2D(c_o, 3, padding=12, dilation=12, in_channels=c_i)
layer.initialize()
x = nd.ones((1, c_i, 12, 12))
layer(x).wait_to_read()
limit = status("VmSize") + 3 * 2**30  # which is what a process that needs more dies of
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
before = status("VmRSS")
mxconv.choose_algorithms(layer, x, measure=True, training=training, seconds=1e-3, progress=False)
print(status("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc/self/status has the peak")
@pytest.mark.parametrize(
    "c_i, c_o, training", [(512, 64, False), (2048, 256, False), (2048, 8, True)]
)
def test_the_memory_that_measuring_takes(c_i, c_o, training):
    done = subprocess.run(
        [sys.executable, "-c", MEASURED.format((c_i, c_o, training))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    weight = 4 * 9 * c_i * c_o
    assert int(done.stdout) < 2**28 + 40 * weight


@TRAINING
@pytest.mark.parametrize("fault", ["a number", "the place", "not a number"])
def test_wrong_results_never_win(fault, training, winner, monkeypatch):
    net, x = build()
    record = algorithms.ALGORITHMS["pad_channels"]
    right = record.run

    def wrong(F, x, weight, bias, geometry):
        y = right(F, x, weight, bias, geometry)
        if fault == "the place":
            return F.reverse(y, axis=3)
        return y * (1.001 if fault == "a number" else float("nan"))

    monkeypatch.setitem(algorithms.ALGORITHMS, "pad_channels", record._replace(run=wrong))
    winner("pad_channels")
    found = measured(net, x, training=training, **QUICK)
    assert all(row.rejected == ("pad_channels",) and row.chosen == "native" for row in found.rows)
    assert "1.0: rejected pad_channels, wrong results" in str(found)


@pytest.mark.parametrize("gradient", ["x", "weight", "bias"])
def test_wrong_gradients_never_win_in_training(gradient, winner, monkeypatch):
    record = algorithms.ALGORITHMS["pad_channels"]
    right = record.run

    def wrong(F, x, weight, bias, geometry):
        arrays = dict(x=x, weight=weight, bias=bias)
        # the value of the array, and 0.999 times its gradient: less than terms that cancel hide
        arrays[gradient] = 0.999 * arrays[gradient] + F.BlockGrad(0.001 * arrays[gradient])
        return right(F, **arrays, geometry=geometry)

    monkeypatch.setitem(algorithms.ALGORITHMS, "pad_channels", record._replace(run=wrong))
    winner("pad_channels")
    layer = MultiChannelConv2D(12, 3, in_channels=4)
    layer.initialize()
    x = nd.random.normal(shape=(2, 4, 40, 40))
    assert measured(layer, x, training=True, **QUICK).rows[0].rejected == ("pad_channels",)
    assert measured(layer, x, **QUICK).rows[0].chosen == "pad_channels"  # whose output is right


@pytest.mark.parametrize(
    "arguments",
    [
        dict(channels=3, kernel_size=3, layout="NHWC", padding="same"),
        dict(channels=4, kernel_size=3, groups=4, strides=2, activation="relu"),
        dict(channels=2, kernel_size=(2, 3), dilation=2, padding=3, padding_mode="edge"),
        dict(channels=8, kernel_size=1, strides=2, groups=2, dtype="float64"),
    ],
    ids=str,
)
@pytest.mark.parametrize("numpy", [False, True])
def test_every_kind_of_layer_passes_its_check(arguments, numpy, ctx):
    dtype = arguments.get("dtype", "float32")
    with np_array(numpy):
        layer = MultiChannelConv2D(**{**arguments, "dtype": "float32"}, in_channels=4)
        layer.initialize(mx.init.Normal(0.5), ctx=ctx)
        layer.cast(dtype)  # after it has drawn: np.random can't fill arrays of float64
        shape = (2, 8, 9, 4) if layer.geometry.layout == "NHWC" else (2, 4, 8, 9)
        x = nd.random.normal(shape=shape, ctx=ctx).astype(dtype)
        x = x.as_np_ndarray() if numpy else x
        for training in (False, True):
            (row,) = measured(layer, x, training=training, **QUICK).rows
            assert row.layer == "." and row.rejected == ()


@TRAINING
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_inf_and_nan_leave_native(value, training, winner):
    layer = MultiChannelConv2D(2, 3, in_channels=2)
    layer.initialize()
    x = nd.ones((1, 2, 8, 8))
    x[0, 1, 2, 3] = value
    winner("pad_channels", "depth_to_space")
    (row,) = measured(layer, x, training=training, **QUICK).rows
    assert (row.chosen, row.rejected) == ("native", ("pad_channels", "depth_to_space"))


def test_what_has_no_candidates_is_native():
    layer = MultiChannelConv2D(16, 3, in_channels=2, algorithm="im2col")
    layer.initialize()
    (row,) = measured(layer, nd.ones((1, 2, 5, 5)), **QUICK).rows
    assert (row.before, row.chosen, row.gain) == ("im2col", "native", 1)


@pytest.mark.skipif(not has_avx512(), reason="MXNet has bfloat16 on a CPU with AVX-512 only")
def test_bfloat16_is_native():
    layer = MultiChannelConv2D(2, 3, in_channels=2, dtype="bfloat16")
    layer.initialize()
    (row,) = measured(layer, nd.ones((1, 2, 5, 5)).astype(BFLOAT16), **QUICK).rows
    assert row.chosen == "native"


@TRAINING
@EVERY_MODE
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interruption_leaves_everything(mode, training, error, monkeypatch, tmp_path):
    net, x = build(mode)
    before = state(net)
    count = iter(range(1000))

    def seconds(layer, x, dy):
        if next(count) > 20:  # in the second convolution
            raise error
        return (0.5 if layer.algorithm == "pad_channels" else 1.0,)

    monkeypatch.setattr(timing, "_seconds", seconds)  # to interrupt there
    with pytest.raises(error):
        measured(net, x, training=training, path=tmp_path / "choices.json", **QUICK)
    assert state(net) == before
    assert not list(tmp_path.iterdir())


@EVERY_MODE
def test_what_the_network_raises_passes_and_leaves_everything(mode):
    net, x = build(mode)
    before = state(net)
    with pytest.raises(ValueError, match="expected in_channels=3 channels on axis 1"):
        measured(net, nd.ones((1, 4, 5, 5)), **QUICK)
    assert state(net) == before


def test_gradients_parameters_names_and_hooks_stay():
    net, x = build()
    x.attach_grad()
    with autograd.record():
        y = net(x)
    y.backward()

    def arrays():
        parameters = net.collect_params().values()
        found = [x.grad, *(p.grad() for p in parameters), *(p.data() for p in parameters)]
        return [array.asnumpy() for array in found]

    before = arrays()
    assert all(array.any() for array in before[:2])
    mx.random.seed(3)
    drawn = nd.random.normal(shape=4).asnumpy()
    called = []
    net[2].register_forward_pre_hook(lambda *_: called.append("before"))
    expected = int(MultiChannelConv2D(1, 1).name.split("conv")[-1])
    mx.random.seed(3)
    measured(net, x, training=True, **QUICK)
    assert np.array_equal(nd.random.normal(shape=4).asnumpy(), drawn)
    assert int(MultiChannelConv2D(1, 1).name.split("conv")[-1]) == expected + 1
    assert all(map(np.array_equal, arrays(), before))
    assert called == ["before"]
    assert [len(layer._forward_pre_hooks) for layer in layers(net)] == [0, 0, 1, 0]


def test_within_a_recording(winner):
    """It records nothing, runs the network as for inference, and leaves what is recorded."""
    layer = MultiChannelConv2D(2, 3, in_channels=2)
    layer.initialize()
    x = nd.random.normal(shape=(1, 2, 8, 8))
    winner("depth_to_space")
    expected, modes = run(layer, x), []
    x.attach_grad()
    with autograd.record():
        y = layer(x)
        layer.register_forward_pre_hook(
            lambda *_: modes.append((autograd.is_recording(), autograd.is_training()))
        )
        measured(layer, x, training=True, **QUICK)
        assert autograd.is_recording() and autograd.is_training()
    y.backward()
    assert layer.algorithm == "depth_to_space" and modes == [(False, False)]
    found = [y, x.grad, layer.weight.grad(), layer.bias.grad()]
    assert all(np.array_equal(a.asnumpy(), b) for a, b in zip(found, expected))


def test_a_layer_is_measured_for_its_first_input_and_by_its_first_name():
    layer = MultiChannelConv2D(2, 3, in_channels=2)
    layer.initialize()
    net = nn.HybridSequential()
    net.add(layer, layer)
    (row,) = measured(net, nd.ones((1, 2, 8, 8)), **QUICK).rows
    assert (row.layer, row.input_shape) == ("0", (1, 2, 8, 8))


def test_layers_that_x_does_not_reach_stay(winner):
    class Either(Block):
        def __init__(self):
            super().__init__()
            self.narrow, self.wide = MultiChannelConv2D(2, 3), MultiChannelConv2D(2, 5)

        def forward(self, x):
            if x.shape[2] == 1:
                return x
            return self.wide(x) if x.shape[2] > 8 else self.narrow(x)

    net = Either()
    net.initialize()
    winner("depth_to_space")
    (row,) = measured(net, nd.ones((1, 1, 6, 6)), **QUICK).rows
    assert row.layer == "narrow" and row.geometry.in_channels == 1  # deferred before
    assert (net.narrow.algorithm, net.wide.algorithm) == ("depth_to_space", "auto")
    with pytest.raises(ValueError, match=r"x of shape \(1, 1, 1, 1\), which reaches none of"):
        measured(net, nd.ones((1, 1, 1, 1)), **QUICK)


def test_the_rule_still_decides_after_an_error():
    net, x = build()
    layer = MultiChannelConv2D(2, 3, padding=1)
    layer.initialize()
    x = integers((1, 64, 48, 48))
    with pytest.raises(ValueError, match="no directory"):
        measured(layer, x, path="/no/such/place/choices.json", **QUICK)
    arrays_by_running(layer, [layer], (x,))
    assert layer.chosen_algorithm == "native"
    layer(x)
    assert layer.chosen_algorithm == ("kn2row" if rules.rule_here() else "native")


class Several(HybridBlock):
    """Siamese branches and a mask, and perhaps a list of maps."""

    def __init__(self, nested=False):
        super().__init__()
        with self.name_scope():
            self.branch = MultiChannelConv2D(2, 3, padding=1)
            self.mask, self.head = MultiChannelConv2D(4, 1, strides=2), MultiChannelConv2D(3, 3)
            if nested:
                self.other = MultiChannelConv2D(12, 1)

    def hybrid_forward(self, F, x, mask, pair=()):
        maps = [self.branch(x), self.branch(x * 2), *(self.other(item) for item in pair)]
        y = F.np.concatenate(maps, axis=1) if is_np_array() else F.concat(*maps, dim=1)
        return self.head(y), self.mask(mask)


@pytest.mark.parametrize("hybridized", [False, True])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("numpy", [False, True])
def test_networks_of_several_inputs(numpy, nested, hybridized, winner):
    def array(*shape):
        x = nd.random.normal(shape=shape)
        return x.as_np_ndarray() if numpy else x

    with np_array(numpy):
        net = Several(nested)
        net.initialize(mx.init.Normal(0.5))
        inputs = (array(2, 5, 9, 9), array(2, 1, 20, 18))
        if nested:
            inputs += ([array(2, 3, 9, 9), array(2, 3, 9, 9)],)
        y = net(*inputs)
        if hybridized:
            net.hybridize()
            net(*inputs)
        winner("depth_to_space", "pad_channels", "kn2row")
        rows = measured(net, inputs, **QUICK).rows
        found = {row.layer: row.input_shape for row in rows}
        head = (2, 4 + 24 * nested, 9, 9)
        other = {"other": (2, 3, 9, 9)} if nested else {}
        assert found == {"branch": (2, 5, 9, 9), "mask": (2, 1, 20, 18), "head": head, **other}
        assert all(row.chosen != "native" for row in rows)
        for ours, theirs in zip(net(*inputs), y):
            assert_like(ours, theirs)


def test_bad_items_of_several_inputs():
    net, x = build()
    before = state(net)
    array = "an mxnet.nd.NDArray or an mxnet.np.ndarray"
    for inputs, said in (
        ((x, 3), rf"x\[1\] has the wrong type: expected {array}, received builtins.int; a shape"),
        ((x, [x, None]), r"x\[1\]\[1\] has the wrong type.*NoneType"),
        (([(x, "a")],), r"x\[0\]\[0\]\[1\] has the wrong type.*str"),
        ([x, x], rf"x has the wrong type: expected {array} or a tuple of them, received .*list"),
    ):
        with pytest.raises(TypeError, match=said):
            measured(net, inputs)
    for inputs, said in (((), r"x is empty.*\(\)"), ((x, []), r"x\[1\] is empty.*\[\]")):
        with pytest.raises(ValueError, match=said):
            measured(net, inputs)
    assert state(net) == before
    idle = Several()
    idle.initialize()
    idle.forward = lambda *_: None
    with pytest.raises(ValueError, match=r"\(2, 3\), \(1, 2\), \(4, 1\), which reaches none of"):
        measured(idle, (nd.ones((2, 3)), [nd.ones((1, 2)), nd.ones((4, 1))]))


def test_what_is_refused(tmp_path):
    net, x = build()
    before = state(net)
    with pytest.raises(TypeError, match="net has the wrong type"):
        measured(None, x)
    with pytest.raises(ValueError, match="a network with a MultiChannelConv2D.*Dense.*convert"):
        measured(nn.Dense(2), x)
    with pytest.raises(TypeError, match="x has the wrong type.*received numpy.ndarray"):
        measured(net, x.asnumpy())
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected seconds > 0"):
            measured(net, x, seconds=seconds)
    for seconds in (True, "1"):
        with pytest.raises(TypeError, match="seconds has the wrong type"):
            measured(net, x, seconds=seconds)
    for name in ("training", "progress"):
        with pytest.raises(TypeError, match=f"expected True or False, received {name}='no'"):
            measured(net, x, **{name: "no"})
    for path in (tmp_path / "choices.txt", ""):
        with pytest.raises(ValueError, match="ends in .json") as caught:
            measured(net, x, path=path)
        assert f"received path={path!r}" in str(caught.value)
    with pytest.raises(ValueError, match=r"weight' has none: call net.initialize\(\)"):
        measured(MultiChannelConv2D(2, 3), x)
    assert state(net) == before


def test_the_table(winner, monkeypatch):
    """Measured choices, some of them rejected, and predicted ones: printed as the file has them."""
    monkeypatch.setattr(choose, "machine", lambda: "a CPU with AVX-512")
    monkeypatch.setattr(rules, "RULES", (avx512.RULE._replace(is_here=lambda: True),))
    net, x = build()
    winner("depth_to_space")
    trained = measured(net, x, training=True, **QUICK)
    wrong = ("pad_channels", "kn2row")
    rows = (trained.rows[0], trained.rows[1]._replace(rejected=wrong), *trained.rows[2:])
    predicted = choose_algorithms(build()[0], (1, 3, 64, 64))
    tables = [trained, replace(trained, training=False, rows=rows), predicted]
    assert "\n\n".join(map(str, tables)) + "\n" == TABLES.read_text("utf-8")


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("installed", [True, False])
def test_progress(installed, terminal, monkeypatch, capsys):
    net, x = build()
    if not installed:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    else:
        pytest.importorskip("tqdm", reason="tqdm shows the bar; it is not installed")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    measured(net, x, seconds=1e-3)
    shown = capsys.readouterr()
    assert shown.out == ""
    if installed and terminal:
        assert "100%" in shown.err and "mxconv.choose_algorithms: convolution" not in shown.err
    else:
        lines = [f"mxconv.choose_algorithms: convolution {i} of 4\n" for i in range(1, 5)]
        assert shown.err == "".join(lines)
    measured(net, x, **QUICK)
    assert capsys.readouterr() == ("", "")


@EVERY_MODE
def test_a_file_gives_another_network_the_same(mode, winner, tmp_path):
    net, x = build()
    path = tmp_path / "choices.json"
    winner("subsample", "pad_channels")
    found = measured(net, x, path=path, **QUICK)
    content = json.loads(path.read_text())
    assert content["machine"] == found.machine and content["training"] is False
    assert content["layers"]["1.0"] == {
        "geometry": str(net[1][0].geometry),
        "input_shape": "2x12x10x9",
        "algorithm": "pad_channels",
        "gain": 2.0,
    }
    assert [p.name for p in tmp_path.iterdir()] == ["choices.json"]
    twin, _ = build(mode)
    y = twin(x)
    before = twin._cached_graph
    assert load_choices(twin, str(path)) is twin
    assert [layer.algorithm for layer in layers(twin)] == [row.chosen for row in found.rows]
    assert twin._active == (MODES[mode] is not None) == bool(twin._cached_graph)
    assert not before or twin._cached_graph is not before
    assert_like(twin(x), y)


def corrupt(text, path):
    """The file's text, spoiled in one way each, and what the error says about it."""
    content = json.loads(text)
    last = content["layers"]["3"]

    def with_last(**changes):
        layers = {**content["layers"], "3": {**last, **changes}}
        return json.dumps({**content, "layers": layers})

    file = re.escape(repr(path))
    return [
        (text[:-5], f"that choose_algorithms has saved, received path={file}"),
        ("", "that choose_algorithms has saved"),
        ("[]", "that choose_algorithms has saved"),
        ('{"layers": []}', "that choose_algorithms has saved"),
        ('{"layers": {"0": "pad_channels"}}', "that choose_algorithms has saved"),
        (
            '{"layers": {"0": {"algorithm": "native"}}}',
            "that choose_algorithms has saved.*'geometry'",
        ),
        (with_last(algorithm="fast"), f"{file}, layer '3': expected .* one of .*received 'fast'"),
        (
            with_last(algorithm=["depth_to_space"]),
            r"layer '3': expected .* one of .*received \['depth_to_space'\]",
        ),
        (
            with_last(geometry="ConvGeometry()"),
            r"layer '3': expected the network's geometry ConvGeometry\(.*received ConvGeometry\(\)",
        ),
        (
            json.dumps({"layers": {**content["layers"], "9": last}}),
            "layer '9': the network has no MultiChannelConv2D of this name",
        ),
        (
            json.dumps({"layers": {"0": {**content["layers"]["0"], "algorithm": "subsample"}}}),
            "layer '0': algorithm='subsample' doesn't support kernels other",
        ),
    ]


def test_a_corrupt_file_changes_nothing(winner, tmp_path):
    net, x = build()
    path = tmp_path / "choices.json"
    winner("pad_channels")
    measured(net, x, path=path, **QUICK)
    twin, _ = build("static_shape")
    before = state(twin)
    for text, said in corrupt(path.read_text(), str(path)):
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            load_choices(twin, path)
        assert state(twin) == before
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="that choose_algorithms has saved"):
        load_choices(twin, path)
    with pytest.raises(TypeError, match="expected a str or Path, received path=None"):
        load_choices(twin, None)
    with pytest.raises(FileNotFoundError):
        load_choices(twin, tmp_path / "none.json")
    assert state(twin) == before


def test_a_file_that_cannot_be_written_changes_nothing(winner, tmp_path, monkeypatch):
    net, x = build("hybridized")
    before = state(net)
    winner("pad_channels")

    def fail(path, data):
        raise OSError("no space left")

    monkeypatch.setattr(record._paths, "write", fail)  # a disk that is full
    with pytest.raises(OSError, match="no space left"):
        measured(net, x, path=tmp_path / "choices.json", **QUICK)
    assert state(net) == before


def test_a_file_that_cannot_be_written_leaves_predictions_unset(tmp_path, monkeypatch):
    layer = MultiChannelConv2D(12, 3, padding=1, in_channels=64)
    monkeypatch.setattr(rules, "RULES", (avx512.RULE._replace(is_here=lambda: True),))

    def fail(path, data):
        raise OSError("no space left")

    with monkeypatch.context() as full_disk:
        full_disk.setattr(record._paths, "write", fail)
        with pytest.raises(OSError, match="no space left"):
            choose_algorithms(layer, (1, 64, 40, 40), path=tmp_path / "choices.json")
    assert layer.chosen_algorithm == "native"
    (row,) = choose_algorithms(layer, (1, 64, 40, 40), path=tmp_path / "choices.json").rows
    assert row.chosen == layer.chosen_algorithm == "pad_channels"
