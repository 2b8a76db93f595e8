"""`for_inference` on every kind of network: the new one computes the same."""

import json
import tempfile
import threading
import warnings
from pathlib import Path

from helpers import MODES, hybridize, slow_but
from inference import FAST, QUICK, Siamese, X, assert_close, random, ready, sequence, small
from mxconv import MultiChannelConv2D, convert, for_inference
from mxconv.cpu import has_avx512
from mxconv.inference.search import OPERATORS

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon, nd
from mxnet.contrib import amp
from mxnet.gluon import HybridBlock, SymbolBlock, nn, rnn
from mxnet.gluon.model_zoo import vision

# Networks


class Residual(HybridBlock):
    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.first, self.second = nn.Conv2D(8, 3, padding=1), nn.Conv2D(8, 3, padding=1)
            self.norm = nn.BatchNorm()

    def hybrid_forward(self, F, x):
        y = F.relu(self.first(x))
        return F.relu(self.norm(self.second(y)) + y * 2 - 1)


class Odd(HybridBlock):
    """Outputs that are an input, a parameter, a constant, duplicates."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.conv = nn.Conv2D(4, 3)
            self.scale = self.params.get("scale", shape=(3, 2), init="uniform")

    def hybrid_forward(self, F, x, scale):
        y = self.conv(x)
        return x, scale, y, y, F.identity(x), F.Dropout(x), scale * 2


class Unused(HybridBlock):
    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(3)

    def hybrid_forward(self, F, x, y):
        return self.dense(y)


class Shared(HybridBlock):
    """A layer that is called twice, and two layers that share parameters."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.conv = nn.Conv2D(8, 3, padding=1, in_channels=3)
            self.body = nn.Conv2D(8, 3, padding=1, in_channels=8)
            self.twin = nn.Conv2D(8, 3, padding=1, in_channels=8, params=self.body.params)
            self.norm, self.other = nn.BatchNorm(), nn.BatchNorm()

    def hybrid_forward(self, F, x):
        x = self.body(self.norm(self.body(self.conv(x))))
        return self.other(self.twin(self.norm(x)))


class Loop(HybridBlock):
    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.conv, self.norm = nn.Conv2D(5, 3, padding=1), nn.BatchNorm()

    def hybrid_forward(self, F, x, state):
        state = F.relu(self.norm(self.conv(state)))

        def step(item, states):
            return self.conv(item) + states[0], [self.conv(states[0])]

        return F.contrib.foreach(step, x, [state])


class Branch(HybridBlock):
    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.conv, self.head = nn.Conv2D(3, 3, padding=1), nn.Conv2D(5, 3, padding=1)

    def hybrid_forward(self, F, x):
        y = F.contrib.cond(x.sum() > 0, lambda: self.conv(x), lambda: self.conv(x) * 2)
        return self.head(F.concat(y, self.conv(x), dim=1))


class Detector(HybridBlock):
    """Anchors, boxes and non-maximum suppression."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.base = nn.Conv2D(8, 3, padding=1)
            self.boxes, self.classes = nn.Conv2D(16, 3, padding=1), nn.Conv2D(12, 3, padding=1)

    def hybrid_forward(self, F, x):
        y = F.relu(self.base(x))
        anchors = F.contrib.MultiBoxPrior(y, sizes=(0.2, 0.4), ratios=(1, 2, 0.5))
        boxes = F.flatten(F.transpose(self.boxes(y), (0, 2, 3, 1)))
        scores = F.reshape(F.transpose(self.classes(y), (0, 2, 3, 1)), (0, -1, 3))
        scores = F.transpose(F.softmax(scores, axis=-1), (0, 2, 1))
        return F.contrib.MultiBoxDetection(scores, boxes, anchors, nms_threshold=0.5)


def a_symbol_block():
    """A network of Symbols, called as it is, and as a part of another one."""
    net, inputs = ready(small(), random(*X))
    data = mx.sym.var("data")
    return SymbolBlock(net(data), data, net.collect_params()), inputs


def nested_symbol_blocks():
    block, inputs = a_symbol_block()
    block(*inputs)
    dense = nn.Dense(2, activation="relu")
    dense.initialize()
    net = sequence(block, dense)
    net(*inputs)
    return net, inputs


def optimized():
    net, inputs = ready(small(), random(*X))
    net.optimize_for(*inputs, backend="MKLDNN", **FAST)
    return net, inputs


def an_inference_network():
    net, inputs = ready(small(), random(*X))
    return for_inference(net, *inputs, **QUICK), inputs


def around_an_inference_network():
    fast, inputs = an_inference_network()
    return ready(sequence(fast, nn.Dense(2)), *inputs)


def embedding():
    inputs = nd.array([[1, 2, 9], [3, 4, 0]], dtype="int32")
    return ready(sequence(nn.Embedding(10, 4), nn.Dense(3, activation="tanh")), inputs)


def in_float64():
    net = small()
    net.cast("float64")
    return ready(net, random(*X, dtype="float64"))


def padded(**arguments):
    axis = 3 if arguments.get("layout") == "NHWC" else 1
    x = random(2, 8, 9, 4) if axis == 3 else random(2, 4, 8, 9)
    layers = MultiChannelConv2D(5, 3, **arguments), nn.BatchNorm(axis=axis), nn.Activation("relu")
    return ready(sequence(*layers), x)


NETWORKS = {
    "stock": lambda: ready(small(), random(*X)),
    "ours": lambda: ready(small(MultiChannelConv2D), random(*X)),
    "one image": lambda: ready(small(), random(1, *X[1:])),
    "subclass": lambda: ready(Residual(), random(*X)),
    "nested": lambda: ready(Siamese(), random(*X), [random(*X), random(2, 1, 1, 1)]),
    "odd outputs": lambda: ready(Odd(), random(*X)),
    "unused input": lambda: ready(Unused(), random(2, 3), random(2, 4)),
    "shared": lambda: ready(Shared(), random(*X)),
    "foreach": lambda: ready(Loop(), random(3, 2, 5, 6, 6), random(2, 5, 6, 6)),
    "cond": lambda: ready(Branch(), random(*X)),
    "detector": lambda: ready(Detector(), random(2, 3, 16, 16)),
    "SymbolBlock": a_symbol_block,
    "nested SymbolBlocks": nested_symbol_blocks,
    "optimize_for": optimized,
    "InferenceNetwork": an_inference_network,
    "around an InferenceNetwork": around_an_inference_network,
    "embedding": embedding,
    "float64": in_float64,
    "NHWC": lambda: padded(layout="NHWC", padding=1),
    "same": lambda: padded(padding="same"),
    "uneven": lambda: padded(padding=((0, 1), (2, 0))),
    "reflect": lambda: padded(padding_mode="reflect", padding=2),
    "circular": lambda: padded(padding_mode="circular", padding=2),
}


@pytest.fixture
def bfloat16():
    if not has_avx512():
        pytest.skip("MXNet convolves bfloat16 only on CPUs with AVX-512, and this one lacks it")


# What it computes


@pytest.mark.parametrize("name", NETWORKS)
def test_by_the_rules_it_computes_the_same(name):
    net, inputs = NETWORKS[name]()
    fast = for_inference(net, *inputs, **QUICK)
    assert_close(fast(*inputs), net(*inputs))
    assert max(fast.report.errors.values()) <= fast.report.tolerance


@pytest.mark.parametrize("name", slow_but(NETWORKS, "stock", "nested", "float64"))
def test_measured_it_computes_the_same(name):
    net, inputs = NETWORKS[name]()
    fast = for_inference(net, *inputs, seconds=0.002, progress=False)
    assert_close(fast(*inputs), net(*inputs))
    report = fast.report
    assert report.gain > 0 and report.steps[0].name == OPERATORS
    assert all(step.gain is None or step.gain > 0 for step in report.steps)


@pytest.mark.parametrize("mode", MODES)
def test_however_the_network_is_hybridized(mode, trained):
    net, x = trained
    hybridize(net, mode)
    net(x)
    assert_close(for_inference(net, x, **QUICK)(x), net(x))
    converted = convert(net)
    hybridize(converted, mode)
    assert_close(for_inference(converted, x, **QUICK)(x), net(x))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18_v2", "mobilenetv2_0.25", "mobilenet0.25"])
def test_networks_of_the_model_zoo(name):
    net, (x,) = ready(vision.get_model(name, classes=10), random(1, 3, 64, 64))
    assert_close(for_inference(net, x, **QUICK)(x), net(x))


def test_exported_files(trained, tmp_path):
    net, x = trained
    net.hybridize()
    y = net(x)
    net.export(str(tmp_path / "net"))
    files = str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params")
    imported = SymbolBlock.imports(*files)
    assert_close(for_inference(imported, x, **QUICK)(x), y)


@pytest.mark.parametrize("layer", [rnn.LSTM, rnn.GRU, rnn.RNN])
@pytest.mark.parametrize("given", [False, True])
def test_a_recurrent_layer_by_itself(layer, given):
    net = layer(5)
    net.initialize()
    x = random(4, 2, 3)
    inputs = (x, [random(1, 2, 5) for _ in net.state_info()]) if given else (x,)
    y = net(*inputs)
    fast = for_inference(net, *inputs, **QUICK)
    assert_close(fast(*inputs), y)
    if not given:
        assert_close(fast(x[:, :1]), net(x[:, :1]))


def test_exported_files_of_a_network_of_numpy_arrays(tmp_path):
    """MXNet itself can't trace such a block within another network."""
    mx.npx.set_np()
    try:
        x = random(*X).as_np_ndarray()
        net = sequence(nn.Conv2D(5, 3), nn.BatchNorm(), nn.Dense(3))
        net.initialize()
        net.hybridize()
        y = net(x)
        net.export(str(tmp_path / "net"))
        files = str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params")
        imported = SymbolBlock.imports(*files)
        fast = for_inference(imported, x, **QUICK)
        for outputs in (fast(x), fast.folded()(x), imported(x)):
            assert type(outputs) is mx.np.ndarray
            assert_close(outputs, y)
    finally:
        mx.npx.reset_np()


def test_a_network_of_numpy_arrays():
    class Net(HybridBlock):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.dense = nn.Conv2D(5, 3), nn.BatchNorm(), nn.Dense(3)

        def hybrid_forward(self, F, x):
            return self.dense(F.npx.relu(self.norm(self.conv(x)) * 2 + 1)), F.np.exp(x)

    mx.npx.set_np()
    try:
        x = random(*X).as_np_ndarray()
        net = Net()
        net.initialize()
        net(x)
        fast = for_inference(net, x, **QUICK)
        expected = net(x)
        assert type(expected[0]) is mx.np.ndarray
        assert_close(fast(x), expected)
        assert_close(fast.folded()(x), expected)
    finally:
        mx.npx.reset_np()
    assert_close(fast(x), expected)  # in the other mode too


@pytest.mark.parametrize("folded", [False, True])
def test_a_part_of_a_network_of_numpy_arrays(folded):
    mx.npx.set_np()
    try:
        x = random(*X).as_np_ndarray()
        part = sequence(nn.Conv2D(5, 3), nn.BatchNorm())
        part.initialize()
        part(x)
        fast = for_inference(part, x, **QUICK)
        net = sequence(fast.folded() if folded else fast, nn.Dense(3))
        net[1].initialize()
        expected = net[1](part(x))
        assert_close(net(x), expected)
        net.hybridize()
        assert_close(net(x), expected)
    finally:
        mx.npx.reset_np()


def quantized(net, x):
    images = gluon.data.ArrayDataset(x, nd.zeros(len(x)))
    loader = gluon.data.DataLoader(images, batch_size=len(x))
    return mx.contrib.quantization.quantize_net_v2(
        net, calib_data=loader, calib_mode="naive", quantize_mode="smart"
    )


def quantized_operators(net):
    return json.dumps(exported_graph(net)).count('"quantized"')


def exported_graph(net):
    """The nodes of the graph that `export` writes."""
    with tempfile.TemporaryDirectory() as directory:
        net.export(f"{directory}/net")
        return json.loads(Path(f"{directory}/net-symbol.json").read_text())["nodes"]


@pytest.mark.filterwarnings("ignore:Cannot decide type:UserWarning")
def test_a_network_in_int8_stays_in_int8(trained):
    net, x = trained
    twin = quantized(net, x)
    fast = for_inference(twin, x, **QUICK)
    assert_close(fast(x), twin(x))
    assert quantized_operators(fast) == quantized_operators(twin) > 0


def test_a_network_in_bfloat16_stays_in_it(trained, bfloat16):
    net, x = trained
    net.hybridize()
    net(x)
    twin = amp.convert_hybrid_block(net, target_dtype="bfloat16", ctx=mx.cpu())
    fast = for_inference(twin, x, **QUICK)
    assert_close(fast(x), twin(x), tolerance=0.03)
    assert 1e-3 < fast.report.tolerance < 0.1


@pytest.mark.parametrize("measure", [True, False])
def test_other_batch_sizes_and_image_sizes_in_turn(measure):
    net, (x,) = ready(Residual(), random(*X))
    arguments = dict(QUICK, measure=measure, seconds=0.002)
    fast = for_inference(net, x, **arguments)
    inputs = [random(n, 3, h, w) for n, h, w in [(1, 8, 9), (5, 8, 9), (2, 17, 4), (1, 3, 30)]]
    for other in [*inputs, x, *inputs[::-1]]:
        assert_close(fast(other), net(other))


def test_threads_call_at_once_with_different_sizes():
    net, (x,) = ready(Residual(), random(*X))
    fast, failures = for_inference(net, x, **QUICK), []
    inputs = [random(1 + i % 3, 3, 6 + i, 9 + i) for i in range(8)]
    expected = [net(other) for other in inputs]

    def work(first):
        try:
            for k in range(first, first + 16):
                assert_close(fast(inputs[k % 8]), expected[k % 8])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_reach_the_outputs_that_depend_on_them(value):
    net, (x,) = ready(sequence(nn.Conv2D(5, 3), nn.BatchNorm(), nn.Conv2D(3, 1)), random(*X))
    fast = for_inference(net, x, **QUICK)
    x[1, 2, 3, 4] = value
    finite, expected = np.isfinite(fast(x).asnumpy()), np.isfinite(net(x).asnumpy())
    assert not finite[~expected].any() and finite[0].all()
    for_inference(net, x, **QUICK)  # compared where the original is finite


def test_nan_in_a_weight_is_kept(trained):
    net, x = trained
    net[3].weight.data()[0, 0, 0, 0] = np.nan
    fast = for_inference(net, x, **QUICK)
    assert np.array_equal(np.isnan(fast(x).asnumpy()), np.isnan(net(x).asnumpy()))


def test_writing_to_an_output_changes_no_other_call():
    net, (x,) = ready(Odd(), random(*X))
    fast = for_inference(net, x, **QUICK)
    expected = [y.asnumpy() for y in fast(x)]
    for y in fast(x)[1:4] + fast(x)[6:]:
        y[:] = 7
    assert all(np.array_equal(y.asnumpy(), before) for y, before in zip(fast(x), expected))
    assert np.array_equal(net.scale.data().asnumpy(), expected[1])


def test_a_second_context():
    x = random(*X)
    net, _ = ready(small(), x, ctx=[mx.cpu(0), mx.cpu(1)])
    other = x.copyto(mx.cpu(1))
    fast = for_inference(net, other, **QUICK)
    assert fast(other).context == mx.cpu(1)
    assert_close(fast(other), net(other))
    with pytest.raises(ValueError, match=r"expected data on cpu\(1\).*received it on cpu\(0\)"):
        fast(x)


def test_nothing_is_warned_of(trained):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fast = for_inference(*trained, **QUICK)
        fast.folded()(trained[1])
