import subprocess
import sys
import textwrap
from collections import Counter

from helpers import (
    EVERY,
    EVERY_LAYER,
    EVERY_MODE,
    EVERY_PADDING,
    INNER,
    build,
    fill,
    hybridize,
    images,
    integers,
    run,
)
from mxconv import MultiChannelConv2D, _checks
from mxconv.files import onnx_model
from mxconv.files.onnx_export import export_onnx
from mxconv.networks.conversion import convert
from mxconv.networks.tracing import flatten, named_shapes

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd
from mxnet.contrib import amp
from mxnet.gluon import SymbolBlock, nn
from mxnet.gluon.model_zoo import vision

pytestmark = pytest.mark.kernels

REASON = "needs the extra mxconv[onnx] to write ONNX files, and onnxruntime to run them"
onnx = pytest.importorskip("onnx", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)


def run_onnx(path, x):
    """The outputs that onnxruntime computes from a file, on the CPU."""
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
@EVERY_PADDING
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
    """A network with a layer for each algorithm, and a batch (2, 4, 9, 8) it was run on."""
    net = nn.HybridSequential()
    for name in algorithms:
        net.add(MultiChannelConv2D(4, 3, padding="same", activation="relu", algorithm=name))
    net.add(nn.BatchNorm(), nn.MaxPool2D(), nn.Dense(5))
    net.initialize(mx.init.Xavier())
    x = nd.random.normal(shape=(2, 4, 9, 8))
    with autograd.record():  # so that the batch updates the running mean and variance
        net(x)
    return net, x


@EVERY_MODE
def test_a_network_is_left_as_it_was(mode, path):
    names = ["im2col", "definition", "native", "auto"]
    net, x = network(*names)
    hybridize(net, mode)
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
    layer = build("im2col", "hybridized", channels=3, kernel_size=3)
    x = integers((2, 4, 5, 5))
    layer(x)
    graph = layer._cached_op
    export_onnx(layer, path, x.shape)
    assert layer._cached_op is graph is not None


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_batch_of_any_size(batch, path):
    net, _ = network("im2col", "native")
    export_onnx(net, path, (None, 4, 9, 8))
    x = nd.random.normal(shape=(batch, 4, 9, 8))
    np.testing.assert_allclose(run_onnx(path, x)[0], net(x).asnumpy(), rtol=1e-4, atol=1e-5)


def test_the_file_has_the_opset_that_mxnet_translates_to_and_one_input(path):
    newest, context = onnx.defs.onnx_opset_version, onnx.checker.DEFAULT_CONTEXT
    imports = dict(context.opset_imports)
    net, x = network("im2col")
    exported(net, x, path)
    model = onnx.load(str(path))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    assert model.ir_version == 7
    assert [value.name for value in model.graph.input] == ["data"]
    assert onnx.defs.onnx_opset_version is newest
    assert context.opset_imports == imports
    assert newest() > 13  # otherwise there was nothing to pin


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
    """Since onnxruntime has no convolution of float64, onnx's own slow evaluator runs it."""
    from onnx.reference import ReferenceEvaluator

    layer = build("im2col", channels=3, kernel_size=3, padding=((1, 0), (0, 1)))
    layer.cast("float64")
    x = integers((1, 4, 5, 5)).astype("float64")
    export_onnx(layer, path, x.shape, "float64")
    (y,) = ReferenceEvaluator(str(path)).run(None, {"data": x.asnumpy()})
    assert y.dtype == np.float64
    assert np.array_equal(y, layer(x).asnumpy())


def test_float16_though_mxnet_has_it_on_gpus_only(path):
    layer = build("native", channels=3, kernel_size=3)
    layer.bias.set_data(nd.zeros(3))
    x = integers((1, 4, 5, 5))
    expected = layer(x).asnumpy()  # small integers, which float16 holds exactly
    layer.cast("float16")
    y = exported(layer, x.astype("float16"), path)
    assert y.dtype == np.float16
    assert np.array_equal(y, expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_network_with_the_conversions_of_amp_is_written_as_it_was(dtype, path):
    net, x = network("native", "native")
    net.hybridize()
    y = net(x).asnumpy()
    converted = amp.convert_hybrid_block(net, target_dtype=dtype, ctx=mx.cpu())
    np.testing.assert_allclose(exported(converted, x, path), y, rtol=1e-4, atol=1e-5)


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


def compared(net, path, input_shape, dtype="float32"):
    """Export a network, compare each output with onnxruntime's, and return the model."""
    shapes = _checks.input_shapes(input_shape)
    dtypes = [dtype] * 9 if isinstance(dtype, str) else dtype
    x = {
        name: nd.random.normal(shape=shape).astype(kind)
        for (name, shape), kind in zip(named_shapes(shapes).items(), dtypes)
    }
    net.initialize()
    expected = flatten(net(*packed(shapes, iter(x.values()))))
    export_onnx(net, path, input_shape, dtype)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {name: value.asnumpy() for name, value in x.items()})
    assert len(outputs) == len(expected)
    for ours, theirs in zip(outputs, expected):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(ours, theirs.asnumpy(), rtol=1e-5, atol=1e-5)
    count = len(expected)
    names = ["output"] if count == 1 else [f"output{i}" for i in range(count)]
    model = onnx.load(str(path))
    assert [value.name for value in model.graph.output] == names
    assert [value.name for value in model.graph.input] == list(x)
    return model


def packed(shapes, arrays):
    """The arrays, in nested lists as their shapes are."""
    return [packed(shape, arrays) if type(shape) is list else next(arrays) for shape in shapes]


class Net(nn.HybridBlock):
    """Applies `function` to two layers, a parameter and the inputs."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        with self.name_scope():
            self.stem = MultiChannelConv2D(4, 3, padding=1, in_channels=4)
            self.head = MultiChannelConv2D(4, 1, in_channels=4)
            self.scale = self.params.get("scale", shape=(1, 4, 1, 1), init="normal")

    def hybrid_forward(self, F, *inputs, scale):
        return self.function(F, self.stem, self.head, scale, *inputs)


def stem_twice(F, stem, head, scale, x):
    y = stem(x)
    return head(y), y, [y, (head(y), [y])]


def many_splits(F, stem, head, scale, x):
    """MXNet gives outputs of split 1 the names of outputs of splits 10 and 11."""
    return [F.split(x * i, num_outputs=12, axis=2)[i] for i in range(12)]


def arithmetic(F, stem, head, scale, x):
    return x * 2 + 1, 1 - x, 1 / (x + 9), F.broadcast_mul(x, 1 - scale), 1 / scale, scale * 2


OUTPUTS = {
    "an inner value": lambda F, stem, head, scale, x: (head(stem(x)), stem(x)),
    "the same value twice": stem_twice,
    "a layer on two values": lambda F, stem, head, scale, x: (head(x), head(x * 2)),
    "a layer on two sizes": lambda F, stem, head, scale, x: (
        stem(F.slice_axis(x, axis=2, begin=0, end=5)),
        head(stem(x)),
        stem(x),
    ),
    "a layer after itself": lambda F, stem, head, scale, x: stem(stem(x)),
    "the input": lambda F, stem, head, scale, x: x,
    "the input twice and between": lambda F, stem, head, scale, x: (x, stem(x), x),
    "a parameter": lambda F, stem, head, scale, x: (scale, stem(x), scale),
    "a split": lambda F, stem, head, scale, x: F.split(x, num_outputs=4),
    "a split in another order": lambda F, stem, head, scale, x: [
        F.split(x, num_outputs=4)[i] for i in (3, 1, 0, 2)
    ],
    "a part of a split": lambda F, stem, head, scale, x: stem(
        F.concat(*[F.split(x, num_outputs=2)[1]] * 2, dim=1)
    ),
    "parts of a split": lambda F, stem, head, scale, x: [
        F.split(stem(x), num_outputs=4, squeeze_axis=True)[i] for i in (2, 0, 2)
    ],
    "many splits": many_splits,
    "values and indices": lambda F, stem, head, scale, x: F.topk(x, k=3, ret_typ="both"),
    "integers": lambda F, stem, head, scale, x: (F.argmax(x, axis=1).astype("int32"), x),
    "a wider dtype": lambda F, stem, head, scale, x: F.cast(stem(stem(x)), "float64"),
    "nested lists": lambda F, stem, head, scale, x: [[x, [stem(x)]], (head(x), [[x * 2]])],
    "arithmetic": arithmetic,
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_output_in_the_networks_order(name, path, capsys):
    compared(Net(OUTPUTS[name]), path, (2, 4, 12, 8))
    assert capsys.readouterr().out == ""  # MXNet's translations print


def test_operators_that_are_named_like_the_outputs(path):
    class NamesThem(nn.HybridBlock):
        def hybrid_forward(self, F, x):
            first, second = F.split(x, num_outputs=2, name="output")
            return second, F.relu(x, name="output2"), F.tanh(x, name="data"), first

    compared(NamesThem(prefix=""), path, (2, 4, 5, 5))


def test_the_faults_that_were_reported(path):
    """MXNet ordered the outputs by operator, and dropped one of two with the same name."""

    class Heads(nn.HybridBlock):
        def __init__(self, swapped):
            super().__init__()
            self.swapped = swapped
            with self.name_scope():
                self.stem = MultiChannelConv2D(4, 3, padding=1, in_channels=1)
                self.head = MultiChannelConv2D(4, 1, in_channels=4)

        def hybrid_forward(self, F, x):
            a = self.stem(x)
            return (self.head(a), a) if self.swapped else (self.head(a), self.head(a * 2))

    for swapped in (True, False):
        net = Heads(swapped)
        net.initialize()
        x = nd.random.normal(shape=(1, 1, 8, 8))
        export_onnx(net, path, x.shape)
        y = run_onnx(path, x)
        assert len(y) == 2
        for ours, theirs in zip(y, net(x)):
            np.testing.assert_allclose(ours, theirs.asnumpy(), rtol=1e-5, atol=1e-6)


def test_constants_are_no_inputs(path):
    model = compared(Net(lambda F, stem, head, scale, x: stem(x) * 2 + 1), path, (2, 4, 5, 5))
    assert {"Conv", "Mul", "Add"} == {node.op_type for node in model.graph.node}
    assert len(model.graph.initializer) == 4


def test_constants_that_nothing_uses_are_left_out(path, capfd):
    """MXNet keeps the weight from before the doubling, and onnxruntime warns about it."""
    net = Net(lambda F, stem, head, scale, x: (F.broadcast_mul(x, scale * 2), F.split(x, 2)[0]))
    model = compared(net, path, (2, 4, 5, 5))
    assert len(model.graph.initializer) == 1
    assert "onnxruntime" not in capfd.readouterr().err


@pytest.mark.parametrize("layer", [nn.BatchNorm(), nn.Dropout(0.5), nn.HybridSequential()])
def test_the_output_of_a_lone_layer(layer, path):
    model = compared(layer, path, (2, 4, 5, 5))
    assert len(model.graph.node) == 1


def test_a_graph_of_its_own_used_twice(path):
    """It lists every parameter twice."""
    layer = build("native", channels=4, kernel_size=3, padding=1, in_channels=4)
    block = SymbolBlock(layer(mx.sym.var("x")), mx.sym.var("x"), params=layer.collect_params())
    net = nn.HybridSequential()
    net.add(block, block)
    x = integers((1, 4, 5, 5))
    assert np.array_equal(exported(net, x, path), net(x).asnumpy())


def test_a_network_keeps_its_operators(path):
    """The copies that name the outputs are gone where an operator can make the output itself."""
    model = compared(Net(OUTPUTS["the same value twice"]), path, (2, 4, 5, 5))
    made = [(node.op_type, node.output[0]) for node in model.graph.node]
    assert made[:2] == [("Conv", "output1"), ("Conv", "output0")]
    assert Counter(operator for operator, _ in made) == {"Conv": 3, "Identity": 2}


PAIR = (2, 4, 5, 5), (2, 4, 5, 5)
INPUTS = {
    "two": (lambda F, stem, head, scale, x, y: stem(x) - head(y), PAIR),
    "of two sizes, the second first": (
        lambda F, stem, head, scale, x, y: (head(y), stem(x)),
        ((2, 4, 5, 6), (1, 4, 9, 3)),
    ),
    "a list": (
        lambda F, stem, head, scale, x, ys: stem(x) - ys[1] + head(ys[0]),
        ((2, 4, 5, 5), [*PAIR]),
    ),
    "a list first, with a list in it": (
        lambda F, stem, head, scale, xs, y: (xs[1][1], stem(y), head(xs[0]), xs[1][0]),
        ([(2, 4, 5, 5), [(1, 4), (2, 3)]], (2, 4, 5, 5)),
    ),
    "a siamese network": (
        lambda F, stem, head, scale, x, y: F.sum(F.square(stem(x) - stem(y)), axis=(1, 2, 3)),
        PAIR,
    ),
    "one without a use": (lambda F, stem, head, scale, x, y, z: stem(x) - head(y), PAIR + ((3,),)),
    "the first without a use": (lambda F, stem, head, scale, x, y: y, ((3, 2), (2, 4, 5, 5))),
}


@pytest.mark.parametrize("name", INPUTS)
def test_several_inputs(name, path):
    function, shapes = INPUTS[name]
    compared(Net(function), path, shapes)


@pytest.mark.parametrize("sizes", [(None, None), (None, 1), (2, None)])
def test_a_batch_of_any_size_for_all_inputs_or_one(sizes, path):
    net = Net(lambda F, stem, head, scale, x, y: (stem(x), F.split(head(y), 2)[1], x * 2))
    net.initialize()
    shapes = [(4, 5, 6), (4, 3, 3)]
    export_onnx(net, path, tuple((size, *shape) for size, shape in zip(sizes, shapes)))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = [value.shape for value in session.get_inputs()]
    assert inputs == [[size or "batch", *shape] for size, shape in zip(sizes, shapes)]
    first, second = [size or "batch" for size in sizes]
    outputs = [value.shape for value in session.get_outputs()]
    assert outputs == [[first, 4, 5, 6], [second, 2, 3, 3], [first, 4, 5, 6]]
    x, y = [nd.random.normal(shape=(size or 5, *shape)) for size, shape in zip(sizes, shapes)]
    found = session.run(None, {"data0": x.asnumpy(), "data1": y.asnumpy()})
    for ours, theirs in zip(found, net(x, y)):
        np.testing.assert_allclose(ours, theirs.asnumpy(), rtol=1e-5, atol=1e-5)


def test_a_dtype_for_each_input(path):
    def function(F, stem, head, scale, x, y):
        return stem(x), y * 2, F.cast(x, "float64") + y

    model = compared(Net(function), path, PAIR, ("float32", "float64"))
    kinds = [value.type.tensor_type.elem_type for value in model.graph.input]
    assert kinds == [onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE]


# The check


@pytest.fixture
def translated(monkeypatch):
    """A function that patches MXNet's translation: it applies another function to each result."""

    def change(by):
        export = mx.onnx.export_model

        def changed(graph, values, shapes, types, path):
            export(graph, values, shapes, types, path)
            model = onnx.load(path)
            by(model.graph)
            onnx.save(model, path)

        monkeypatch.setattr(mx.onnx, "export_model", changed)

    return change


def swapped(graph):
    """The first two outputs' names, exchanged."""
    other = {"output0": "output1", "output1": "output0"}
    for node in graph.node:
        node.output[:] = [other.get(name, name) for name in node.output]


def perturbed(graph):
    """A weight that is 1 % larger."""
    for tensor in graph.initializer:
        if tensor.name.endswith("conv0_weight"):
            array = onnx.numpy_helper.to_array(tensor)
            array = (array * 1.01).astype(array.dtype)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def lost(graph):
    """One operator and its output are missing."""
    (node,) = [node for node in graph.node if node.output[0] == "output1"]
    graph.node.remove(node)
    del graph.output[:]


def undefined(graph):
    """A bias that is NaN."""
    for tensor in graph.initializer:
        if tensor.name.endswith("conv0_bias"):
            array = np.full_like(onnx.numpy_helper.to_array(tensor), np.nan)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def of_one_batch(graph):
    """An output with a fixed shape, which some of MXNet's translations produce."""
    shape = onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [4], [1, 4, 5, 5])
    graph.initializer.append(shape)
    (node,) = [node for node in graph.node if node.output[0] == "output0"]
    node.output[0] = "before"
    graph.node.append(onnx.helper.make_node("Reshape", ["before", "shape"], ["output0"]))


def in_float64(graph):
    (node,) = [node for node in graph.node if node.output[0] == "output0"]
    node.output[0] = "before"
    to = onnx.TensorProto.DOUBLE
    graph.node.append(onnx.helper.make_node("Cast", ["before"], ["output0"], to=to))


def two_outputs():
    net = Net(lambda F, stem, head, scale, x: (head(stem(x)), stem(x)))
    net.initialize()
    return net


@pytest.mark.parametrize(
    "change, says",
    [
        (swapped, r"output0 is wrong in \d+ of 100 values: expected .*, received up to"),
        (perturbed, r"output0 is wrong in \d+ of 100 values: expected .*, received up to"),
        (undefined, r"output0 is wrong in 100 of 100 values: expected .*, received up to nan"),
        (lost, "lacks output0, output1"),
        (of_one_batch, r"data of shape \(3, 4, 5, 5\), onnxruntime fails.*Reshape"),
        (in_float64, "onnxruntime rejects the file.*output0.*double"),
    ],
)
def test_a_translation_that_computes_something_else(change, says, translated, path, capfd):
    path.write_bytes(b"an older file")
    net = two_outputs()
    translated(change)
    with pytest.raises(ValueError, match=f"(?s){says}"):
        export_onnx(net, path, (None, 4, 5, 5))
    assert "onnxruntime" not in capfd.readouterr().err  # only the error reports it
    assert path.read_bytes() == b"an older file"
    assert list(path.parent.iterdir()) == [path]


def test_integers_have_to_be_equal(translated, path):
    def one_more(graph):
        one = np.ones(1, "int32")
        graph.initializer.append(onnx.numpy_helper.from_array(one, "one"))
        (node,) = [node for node in graph.node if node.output[0] == "output"]
        node.output[0] = "before"
        graph.node.append(onnx.helper.make_node("Add", ["before", "one"], ["output"]))

    net = Net(lambda F, stem, head, scale, x: F.cast(x * 1e5, "int32"))
    net.initialize()
    export_onnx(net, path, (2, 3))
    translated(one_more)
    with pytest.raises(
        ValueError,
        match="output is wrong in 6 of 6 values: expected .* at most 0, .*, received up to 1;",
    ):
        export_onnx(net, path, (2, 3))


@pytest.mark.parametrize(
    "change, says",
    [
        (
            swapped,
            r"output0 has the wrong shape: expected \(1, 2, 5, 5\), received \(None, 4, 5, 5\)",
        ),
        (in_float64, "output0 has the wrong dtype: expected float32, received float64"),
        (lost, "lacks output0, output1"),
    ],
)
def test_shapes_and_dtypes_are_compared_without_onnxruntime(
    change, says, translated, path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    net = Net(lambda F, stem, head, scale, x: (F.split(head(x), 2)[0] * 2, stem(x)))
    net.initialize()
    export_onnx(net, path, (None, 4, 5, 5))
    written = path.read_bytes()
    translated(change)
    with pytest.raises(ValueError, match=says):
        export_onnx(net, path, (None, 4, 5, 5))
    assert path.read_bytes() == written


def test_a_batch_that_is_written_out_shows_without_onnxruntime(translated, path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    net = two_outputs()
    translated(of_one_batch)
    says = (
        r"data of shape \(3, 4, 5, 5\), output0 has the wrong shape: "
        r"expected \(3, 4, 5, 5\), received \(1, 4, 5, 5\)"
    )
    with pytest.raises(ValueError, match=says):
        export_onnx(net, path, (None, 4, 5, 5))
    export_onnx(net, path, (1, 4, 5, 5))


@pytest.mark.parametrize("runtime", ["onnxruntime", None])
@pytest.mark.parametrize("change", [list.reverse, list.pop])
def test_the_list_of_outputs_is_compared(change, runtime, path, monkeypatch):
    if runtime is None:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)

    def translate(*arguments):
        model = onnx_model.translate(*arguments)
        outputs = list(model.graph.output)
        change(outputs)
        del model.graph.output[:]
        model.graph.output.extend(outputs)
        return model

    monkeypatch.setattr("mxconv.files.onnx_export.translate", translate)
    says = r"the outputs are wrong: expected \['output0', 'output1'\], received \['output"
    with pytest.raises(ValueError, match=says):
        export_onnx(two_outputs(), path, (1, 4, 5, 5))
    assert not path.exists()


def test_a_file_can_be_written_unchecked(translated, path):
    net, x = two_outputs(), nd.random.normal(shape=(1, 4, 5, 5))
    translated(swapped)
    export_onnx(net, path, x.shape, check=False)
    for ours, theirs in zip(run_onnx(path, x), reversed(net(x))):
        np.testing.assert_allclose(ours, theirs.asnumpy(), rtol=1e-5, atol=1e-6)


def test_float16_is_compared_with_float32(translated, path):
    net = Net(lambda F, stem, head, scale, x: stem(x))
    net.initialize()
    net.cast("float16")
    export_onnx(net, path, (2, 4, 5, 5), "float16")
    translated(undefined)
    with pytest.raises(ValueError, match="output is wrong in"):
        export_onnx(net, path, (2, 4, 5, 5), "float16")


def test_a_conversion_to_float16_has_its_shapes_compared(path):
    """MXNet can't run them here."""
    net = Net(lambda F, stem, head, scale, x: stem(F.cast(x, "float16")))
    net.initialize()
    net.cast("float16")
    export_onnx(net, path, (2, 4, 5, 5), ("float32",))
    x = nd.random.normal(shape=(2, 4, 5, 5))
    net.cast("float32")
    np.testing.assert_allclose(run_onnx(path, x)[0], net.stem(x).asnumpy(), atol=0.02)


def test_what_onnxruntime_computes_differently_is_rejected(path):
    """It counts the padding that `ceil_mode` adds, and MXNet doesn't."""
    compared(nn.AvgPool2D(3, 2, 1, ceil_mode=True, count_include_pad=False), path, (1, 2, 6, 6))
    net = nn.AvgPool2D(3, 2, 1, ceil_mode=True)
    with pytest.raises(ValueError, match="output is wrong in 14 of 32 values.*check=False"):
        export_onnx(net, path.with_name("other.onnx"), (1, 2, 6, 6))
    assert list(path.parent.iterdir()) == [path]
    export_onnx(net, path, (1, 2, 6, 6), check=False)
    x = nd.random.normal(shape=(1, 2, 6, 6))
    assert abs(run_onnx(path, x)[0] - net(x).asnumpy()).max() > 0.1


def test_values_that_are_not_finite_may_agree(path):
    net = Net(lambda F, stem, head, scale, x: (F.log(x), 1 / F.relu(x), x))
    net.initialize()
    export_onnx(net, path, (2, 4, 5, 5))


def test_a_difference_of_nothing_but_rounding(path):
    """MXNet and onnxruntime round differently."""
    net = Net(
        lambda F, stem, head, scale, x: (
            F.sum(stem(x), axis=(1, 2, 3)) - F.sum(F.sum(stem(x), axis=1), axis=(1, 2))
        )
    )
    net.initialize()
    export_onnx(net, path, (None, 4, 9, 9))


@pytest.mark.parametrize("recording", [False, True])
def test_the_check_leaves_the_network_and_random_numbers(recording, path):
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(4, 3, in_channels=4), nn.BatchNorm(), nn.Dropout(0.5))
    net.initialize()
    x = nd.random.normal(shape=(2, 4, 9, 8))
    net(x)
    net.hybridize()
    calls = []
    net[0].register_forward_hook(lambda *_: calls.append(autograd.is_training()))
    values = {name: p.data().asnumpy() for name, p in net.collect_params().items()}

    def drawn():
        return nd.random.normal(shape=3).asnumpy().tolist(), np.random.rand(3).tolist()

    mx.random.seed(3), np.random.seed(3)
    expected = drawn()
    mx.random.seed(3), np.random.seed(3)
    if recording:  # in training mode
        with autograd.record():
            export_onnx(net, path, (None, 4, 9, 8))
    else:
        export_onnx(net, path, (None, 4, 9, 8))
    assert drawn() == expected
    assert len(calls) == 1  # by the trace
    assert net._cached_op is None and net[0]._cached_op is None
    for name, parameter in net.collect_params().items():
        assert np.array_equal(parameter.data().asnumpy(), values[name])
    np.testing.assert_allclose(run_onnx(path, x)[0], net(x).asnumpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18_v1", "mobilenet_v2_0_25"])
def test_the_model_zoo(name, path):
    net = convert(getattr(vision, name)(classes=10), "im2col")
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
    """MXNet's variables still have 0 channels if the graph was traced before they were known."""
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(3, 3), nn.Dense(2))
    net.initialize()
    net(nd.ones((2, 4, 5, 5)))
    with pytest.raises(ValueError, match=r"input_shape=\(2, 4, 6, 6\)"):
        export_onnx(net, path, (2, 4, 6, 6))


class OfNoPrefix(nn.HybridBlock):
    """With a parameter of any name."""

    def __init__(self, name):
        super().__init__(prefix="")
        self.weight = self.params.get(name, shape=(1,), init="ones")

    def hybrid_forward(self, F, x, weight):
        return F.broadcast_mul(x, weight)


@pytest.mark.parametrize("name", ["data", "output"])
def test_a_parameter_named_like_an_input_or_output(name, path):
    net = OfNoPrefix(name)
    net.initialize()
    with pytest.raises(ValueError, match=f"with other names.*received one named '{name}'"):
        export_onnx(net, path, (2, 4, 5, 5))
    assert not path.exists()


class VariableOfItsOwn(nn.HybridBlock):
    def hybrid_forward(self, F, x):
        return F.broadcast_add(x, F.var("mask"))


class OfNoShape(nn.HybridBlock):
    def hybrid_forward(self, F, x):
        return x, F.zeros(shape=(0, 5))


def summed(F, stem, head, scale, x, y):
    return x + y


@pytest.mark.filterwarnings("ignore:Cannot decide shape")
@pytest.mark.parametrize(
    "net, arguments, error, says",
    [
        (
            VariableOfItsOwn(),
            [(2, 4, 5, 5)],
            ValueError,
            "a VariableOfItsOwn that also has a variable 'mask'",
        ),
        (OfNoShape(), [(2, 4, 5, 5)], ValueError, r"\(2, 4, 5, 5\).*leaves the outputs' shapes"),
        (Net(summed), [(2, 4, 5, 5)], TypeError, "one input .* received a Net that fails"),
        (Net(summed), [PAIR + PAIR], TypeError, "4 inputs .* received a Net that fails"),
        (Net(summed), [((2, 4), (2, 5))], ValueError, r"input_shape=\(\(2, 4\), \(2, 5\)\)"),
        (Net(summed), [((2, 4), (2, -5))], ValueError, r"input_shape\[1\]=\(2, -5\)"),
        (Net(summed), [((2, 4), 4)], TypeError, r"input_shape\[1\]=4"),
        (Net(summed), [PAIR, ("float32",)], ValueError, r"2 inputs, received dtype=\('float32',\)"),
        (Net(summed), [PAIR, ("float32", "int8")], TypeError, "'int8'"),
        (Net(summed), [PAIR, ("float32", "float64")], ValueError, "'float64'"),
        (Net(summed), [((None, 4), (1, 4))], ValueError, r"\(None, 4\).*a batch of 3"),
        (Net(summed), [PAIR, "float32", "no"], TypeError, "check='no'"),
        (Net(summed), [PAIR, "float32", None], TypeError, "check=None"),
    ],
)
def test_bad_inputs_of_several_are_rejected(net, arguments, error, says, path):
    net.initialize()
    with pytest.raises(error, match=says):
        export_onnx(net, path, *arguments)
    assert list(path.parent.iterdir()) == []


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
    """Since 1.19, onnx lacks the module `mapping`."""
    monkeypatch.delattr(onnx, "mapping")
    monkeypatch.setitem(sys.modules, "onnx.mapping", None)
    with pytest.raises(ImportError, match=r"1\.13 to 1\.18.*mxconv\[onnx\]"):
        export_onnx(layer_4_to_3(), path, (2, 4, 5, 5))


@pytest.mark.slow
def test_an_onnx_that_came_after_mxnet(path):
    """In a notebook, onnx may be installed after `import mxnet`, so that MXNet doesn't know it."""
    code = f"""
        import sys
        sys.modules["onnx"] = None
        import mxconv
        del sys.modules["onnx"]
        layer = mxconv.MultiChannelConv2D(3, 3, in_channels=4)
        layer.initialize()
        mxconv.export_onnx(layer, {str(path)!r}, (2, 4, 5, 5))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], stderr=subprocess.PIPE, text=True
    )
    assert "ImportError: onnx was installed after MXNet" in done.stderr
