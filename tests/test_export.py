import subprocess
import sys
import textwrap

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision
from test_deployment import INNER, images
from test_layer import EVERY, EVERY_LAYER, EVERY_MODE, MODES, fill, integers, run
from test_layer_beyond import PADDINGS, build

from mxconv import MultiChannelConv2D
from mxconv.export import export_onnx
from mxconv.network import convert

REASON = "needs the extra mxconv[onnx] to write ONNX files, and onnxruntime to run them"
onnx = pytest.importorskip("onnx", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)


def run_onnx(path, x):
    """What onnxruntime computes from a file, on the CPU."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"data": x.asnumpy()})


def exported(net, x, path):
    """The one output of the network's ONNX file for x."""
    export_onnx(net, path, x.shape, np.dtype(x.dtype).name)
    (y,) = run_onnx(path, x)
    return y


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


@EVERY
@EVERY_LAYER
def test_every_layer_with_every_algorithm(name, arguments, size, path):
    layer = build(name, **{key: value for key, value in arguments.items() if key != "in_channels"})
    x = integers((2, 4) + size)
    y = exported(layer, x, path)
    if arguments.get("activation") == "tanh":
        np.testing.assert_allclose(y, layer(x).asnumpy(), rtol=1e-5, atol=1e-6)
    else:
        assert np.array_equal(y, layer(x).asnumpy())
    assert "Conv" in {node.op_type for node in onnx.load(str(path)).graph.node}


@INNER
def test_algorithms_for_some_geometries(name, arguments, path):
    layer, x = build(name, **arguments), images(arguments)
    assert np.array_equal(exported(layer, x, path), layer(x).asnumpy())
    assert layer.algorithm == name


@EVERY
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("padding_mode, padding", PADDINGS)
def test_every_kind_of_padding_and_layout(name, layout, padding_mode, padding, path):
    layer = build(
        name,
        channels=6,
        kernel_size=3,
        groups=2,
        padding=padding,
        padding_mode=padding_mode,
        layout=layout,
    )
    x = integers((2, 4, 9, 8) if layout == "NCHW" else (2, 9, 8, 4))
    assert np.array_equal(exported(layer, x, path), layer(x).asnumpy())


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "softrelu", "softsign", "tanh"])
def test_every_activation(activation, path):
    layer = build("auto", channels=3, kernel_size=3, activation=activation)
    x = nd.random.normal(shape=(2, 4, 5, 5))
    np.testing.assert_allclose(exported(layer, x, path), layer(x).asnumpy(), rtol=1e-5, atol=2e-5)


def network(*algorithms):
    """A network with a layer for each algorithm, that has seen one batch (2, 4, 9, 8)."""
    net = nn.HybridSequential()
    for name in algorithms:
        net.add(MultiChannelConv2D(4, 3, padding="same", activation="relu", algorithm=name))
    net.add(nn.BatchNorm(), nn.MaxPool2D(), nn.Dense(5))
    net.initialize(mx.init.Xavier())
    x = nd.random.normal(shape=(2, 4, 9, 8))
    with autograd.record():  # so that the batch's mean and variance are noted
        net(x)
    return net, x


@EVERY_MODE
def test_a_network_is_left_as_it_was(mode, path):
    names = ["matmul", "definition", "direct", "auto"]
    net, x = network(*names)
    if MODES[mode] is not None:
        net.hybridize(**MODES[mode])
    y = net(x).asnumpy()

    def state():
        graphs = []
        net.apply(lambda block: graphs.append((block._cached_op, block._active, block._flags)))
        return graphs, [layer.algorithm for layer in net[:4]]

    before = state()
    values = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    np.testing.assert_allclose(exported(net, x, path), y, rtol=1e-4, atol=1e-5)
    assert state() == before
    assert before[1] == names
    for name, parameter in net.collect_params().items():
        assert np.array_equal(parameter.data().asnumpy(), values[name])
    assert np.array_equal(net(x).asnumpy(), y)
    assert all(np.isfinite(a).all() for a in run(net[:4], x))


def test_a_lone_layer_keeps_its_graph(path):
    layer = build("matmul", "hybridized", channels=3, kernel_size=3)
    x = integers((2, 4, 5, 5))
    layer(x)
    graph = layer._cached_op
    export_onnx(layer, path, x.shape)
    assert layer._cached_op is graph is not None


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_batch_of_any_size(batch, path):
    net, _ = network("matmul", "direct")
    export_onnx(net, path, (None, 4, 9, 8))
    x = nd.random.normal(shape=(batch, 4, 9, 8))
    np.testing.assert_allclose(run_onnx(path, x)[0], net(x).asnumpy(), rtol=1e-4, atol=1e-5)


def test_the_file_has_the_opset_that_mxnet_translates_to_and_one_input(path):
    newest, context = onnx.defs.onnx_opset_version, onnx.checker.DEFAULT_CONTEXT
    imports = dict(context.opset_imports)
    net, x = network("matmul")
    exported(net, x, path)
    model = onnx.load(str(path))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    assert model.ir_version == 7
    assert [value.name for value in model.graph.input] == ["data"]
    assert onnx.defs.onnx_opset_version is newest
    assert context.opset_imports == imports
    assert newest() > 13  # else nothing had to be pinned


class Mean(nn.HybridBlock):
    def hybrid_forward(self, F, x):
        return F.mean(x, axis=(2, 3))


def test_an_operator_whose_form_is_another_after_opset_13(path):
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(3, 3), Mean())
    net.initialize()
    x = nd.random.normal(shape=(2, 4, 5, 5))
    net(x)
    np.testing.assert_allclose(exported(net, x, path), net(x).asnumpy(), rtol=1e-5, atol=1e-6)


def test_float64_by_the_definition_of_onnx(path):
    """onnxruntime has no convolution of float64, so onnx's own slow evaluator runs it."""
    from onnx.reference import ReferenceEvaluator

    layer = build("matmul", channels=3, kernel_size=3, padding=((1, 0), (0, 1)))
    layer.cast("float64")
    x = integers((1, 4, 5, 5)).astype("float64")
    export_onnx(layer, path, x.shape, "float64")
    (y,) = ReferenceEvaluator(str(path)).run(None, {"data": x.asnumpy()})
    assert y.dtype == np.float64
    assert np.array_equal(y, layer(x).asnumpy())


def test_float16_though_mxnet_has_it_on_gpus_only(path):
    layer = build("direct", channels=3, kernel_size=3)
    layer.bias.set_data(nd.zeros(3))
    x = integers((1, 4, 5, 5))
    expected = layer(x).asnumpy()  # small integers, which float16 holds exactly
    layer.cast("float16")
    y = exported(layer, x.astype("float16"), path)
    assert y.dtype == np.float16
    assert np.array_equal(y, expected)


def test_parameters_on_several_contexts(path):
    layer = MultiChannelConv2D(3, 3, in_channels=4)
    layer.initialize(ctx=[mx.cpu(1), mx.cpu(0)])
    fill(layer)
    x = integers((2, 4, 5, 5))
    assert np.array_equal(exported(layer, x, path), layer(x).asnumpy())
    assert layer.weight.list_ctx() == [mx.cpu(1), mx.cpu(0)]


@EVERY
def test_a_network_of_numpy_arrays(name, path):
    mx.npx.set_np()
    try:
        net = nn.HybridSequential()
        net.add(nn.Activation("relu"), MultiChannelConv2D(3, 3, padding="same", algorithm=name))
        net.add(nn.Dense(2))
        net.initialize()
        x = mx.np.random.normal(size=(2, 4, 5, 5))
        y = net(x).asnumpy()
        np.testing.assert_allclose(exported(net, x, path), y, rtol=1e-5, atol=1e-6)
    finally:
        mx.npx.reset_np()


class TwoHeads(nn.HybridBlock):
    def __init__(self):
        super().__init__()
        self.one, self.two = MultiChannelConv2D(2, 1), MultiChannelConv2D(3, 3)

    def hybrid_forward(self, F, x):
        return self.one(x), self.two(x)


def test_a_network_with_two_outputs(path):
    net = TwoHeads()
    net.initialize()
    x = integers((1, 4, 5, 5))
    expected = net(x)
    export_onnx(net, path, x.shape)
    for ours, theirs in zip(run_onnx(path, x), expected):
        np.testing.assert_allclose(ours, theirs.asnumpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18_v1", "mobilenet_v2_0_25"])
def test_the_model_zoo(name, path):
    net = convert(getattr(vision, name)(classes=10), "matmul")
    net.initialize(mx.init.Xavier())
    x = nd.random.normal(shape=(1, 3, 32, 32))
    y = net(x).asnumpy()
    export_onnx(net, path, (None, 3, 32, 32))
    np.testing.assert_allclose(run_onnx(path, x)[0], y, rtol=1e-3, atol=1e-5 * abs(y).max())


def layer_4_to_3(**arguments):
    layer = MultiChannelConv2D(3, 3, in_channels=4, **arguments)
    layer.initialize()
    return layer


class Untranslated(nn.HybridBlock):
    def hybrid_forward(self, F, x):
        return F.im2col(x, kernel=(2, 2))


class NeedsArrays(nn.HybridBlock):
    def forward(self, x):
        return x[: x.shape[0]]


class TranslatedInPart(nn.HybridBlock):
    def hybrid_forward(self, F, x):
        return x.reshape((-4, 1, -1, -3, 0))


@pytest.mark.parametrize(
    "net, shape, dtype, error, says",
    [
        (nn.Sequential(), (2, 4, 5, 5), "float32", TypeError, "HybridBlock.*Sequential"),
        (MultiChannelConv2D(3, 3), (2, 4, 5, 5), "float32", ValueError, "initialize"),
        (layer_4_to_3(), 4, "float32", TypeError, "input_shape=4"),
        (layer_4_to_3(), (), "float32", ValueError, r"input_shape=\(\)"),
        (layer_4_to_3(), (None,), "float32", TypeError, r"input_shape=\(None,\)"),
        (layer_4_to_3(), (2, 4, 5, None), "float32", TypeError, r"input_shape=\(2, 4, 5, None\)"),
        (layer_4_to_3(), (2, 4, 5, 0), "float32", ValueError, r"input_shape=\(2, 4, 5, 0\)"),
        (layer_4_to_3(), (None, 4, 5, -1), "float32", ValueError, r"\(None, 4, 5, -1\)"),
        (layer_4_to_3(), (None, 4, 2**16, 2**16), "float32", ValueError, "indexes at most"),
        (NeedsArrays(), (2, 4, 5, 5), "float32", TypeError, "received a NeedsArrays that fails"),
        (layer_4_to_3(), (2, 4, 5), "float32", ValueError, r"input_shape=\(2, 4, 5\)"),
        (layer_4_to_3(), (2, 5, 5, 5), "float32", ValueError, r"input_shape=\(2, 5, 5, 5\)"),
        (layer_4_to_3(), (None, 4, 2, 5), "float32", ValueError, r"input_shape=\(None, 4, 2, 5\)"),
        (layer_4_to_3(), (2, 4, 5, 5), "float64", ValueError, "dtype='float64'"),
        (layer_4_to_3(), (2, 4, 5, 5), "int8", TypeError, "'int8'"),
        (layer_4_to_3(), (2, 4, 5, 5), "bfloat16", ValueError, "'bfloat16'"),
        (Untranslated(), (2, 4, 5, 5), "float32", ValueError, "im2col"),
        (TranslatedInPart(), (2, 4, 5, 5), "float32", ValueError, "Reshape.*-4"),
    ],
)
def test_what_cannot_be_exported_leaves_the_old_file(net, shape, dtype, error, says, path):
    path.write_bytes(b"an older file")
    newest = onnx.defs.onnx_opset_version
    with pytest.raises(error, match=says):
        export_onnx(net, path, shape, dtype)
    assert path.read_bytes() == b"an older file"
    assert list(path.parent.iterdir()) == [path]
    assert onnx.defs.onnx_opset_version is newest


def test_deferred_channels_need_one_call_first(path):
    layer = MultiChannelConv2D(3, 3)
    layer.initialize()
    with pytest.raises(ValueError, match=r"net\(x\) once"):
        export_onnx(layer, path, (2, 4, 5, 5))


def test_channels_that_were_deferred_are_checked(path):
    """MXNet's variables still say 0 channels, if a layer's graph was traced before it knew them."""
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(3, 3), nn.Dense(2))
    net.initialize()
    net(nd.ones((2, 4, 5, 5)))
    with pytest.raises(ValueError, match=r"input_shape=\(2, 4, 6, 6\)"):
        export_onnx(net, path, (2, 4, 6, 6))


@pytest.mark.parametrize(
    "name, error, says",
    [
        ("missing/net.onnx", ValueError, "there is no directory"),
        ("net.json", ValueError, "ends in .onnx"),
        (None, TypeError, "path=None"),
    ],
)
def test_a_path_that_cannot_be_written(name, error, says, tmp_path):
    with pytest.raises(error, match=says):
        export_onnx(layer_4_to_3(), name and tmp_path / name, (2, 4, 5, 5))


def test_a_missing_onnx_is_named_with_the_extra_that_has_it(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"mxconv\[onnx\]"):
        export_onnx(layer_4_to_3(), path, (2, 4, 5, 5))


def test_an_onnx_that_mxnet_cannot_use_is_named_too(path, monkeypatch):
    """onnx 1.19 has no module `mapping` any more."""
    monkeypatch.delattr(onnx, "mapping")
    monkeypatch.setitem(sys.modules, "onnx.mapping", None)
    with pytest.raises(ImportError, match=r"1\.13 to 1\.18.*mxconv\[onnx\]"):
        export_onnx(layer_4_to_3(), path, (2, 4, 5, 5))


def test_an_onnx_that_came_after_mxnet(path):
    """As in a notebook, where it is installed after `import mxnet`: MXNet has not seen it."""
    code = f"""
        import sys
        sys.modules["onnx"] = None
        import mxconv, mxconv.export
        del sys.modules["onnx"]
        layer = mxconv.MultiChannelConv2D(3, 3, in_channels=4)
        layer.initialize()
        mxconv.export.export_onnx(layer, {str(path)!r}, (2, 4, 5, 5))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], stderr=subprocess.PIPE, text=True
    )
    assert "ImportError: onnx was installed after MXNet" in done.stderr
