"""Transposes move towards the outputs, where two that meet may cancel each other."""

from inference import assert_close as assert_close_arrays
from inference import random, ready, sequence
from mxconv import MultiChannelConv2D, for_inference
from mxconv.inference.graph import Entry, Node
from mxconv.inference.transposing import (
    ALONG_AXIS,
    BROADCASTING,
    CHANNELS_FIRST,
    ELEMENTWISE,
    cancel_transposes,
)
from passes import DATA, assert_close, assert_equal, graph_of, operators, positive, run

import pytest
from mxnet import sym
from mxnet.gluon import nn

SHAPE = 2, 3, 4, 5
TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
EVERY_PERMUTATION = pytest.mark.parametrize("axes", [TO_NHWC, (3, 1, 0, 2)], ids=str)


def back(axes):
    return tuple(axes.index(i) for i in range(len(axes)))


def nhwc(x):
    return sym.transpose(x, axes=TO_NHWC)


def nchw(x):
    return sym.transpose(x, axes=TO_NCHW)


def between(axes, operator, attributes, inputs=1):
    """The graph of an operator between two transposes; each of its inputs is the first of them."""
    graph = graph_of(sym.transpose(sym.transpose(DATA, axes=axes), axes=back(axes)))
    (last,) = graph.heads
    last.node.inputs = [Entry(Node(operator, "moved", last.node.inputs * inputs, attributes))]
    return graph


def assert_cancelled(graph, fewer=2, left=0, x=None):
    """That the pass leaves so many transposes, and every output as it was."""
    x = positive(*SHAPE) if x is None else x
    before = run(graph, x)
    assert cancel_transposes(graph) == fewer
    assert operators(graph).count("transpose") == left
    assert_close(run(graph, x), before)


def assert_stays(graph, x=None):
    """That the pass finds nothing to do, and leaves the graph as it is."""
    nodes, x = graph.nodes(), positive(*SHAPE) if x is None else x
    before = run(graph, x)
    assert cancel_transposes(graph) == 0
    assert graph.nodes() == nodes
    assert_equal(run(graph, x), before)


# Which operators let a transpose pass

NEEDED = {
    "Activation": dict(act_type="tanh"),
    "LeakyReLU": dict(slope=0.3),
    "clip": dict(a_min=0.2, a_max=1),
    "Cast": dict(dtype="float16"),
    "amp_cast": dict(dtype="float16"),
    "add_n": dict(num_args=2),
}
OF_TWO = BROADCASTING | {"elemwise_add", "elemwise_sub", "elemwise_mul", "elemwise_div", "add_n"}


@EVERY_PERMUTATION
@pytest.mark.parametrize("operator", sorted(ELEMENTWISE | BROADCASTING))
def test_elementwise(operator, axes):
    attributes = NEEDED.get(operator, {"scalar": 1.5} if "_scalar" in operator else {})
    graph = between(axes, operator, attributes, 1 + (operator in OF_TWO))
    assert_cancelled(graph)
    assert operators(graph) == [operator]


@EVERY_PERMUTATION
@pytest.mark.parametrize("axis", [0, 1, 3, -1, -3, None])
@pytest.mark.parametrize("operator", sorted(ALONG_AXIS))
def test_along_an_axis(operator, axis, axes):
    name, default = ALONG_AXIS[operator]
    attributes = {} if axis is None else {name: axis}
    axis = int(default) if axis is None and default != "None" else axis or 0
    if operator == "BatchNorm":
        channels = SHAPE[axes[axis]]
        x = sym.transpose(DATA, axes=axes)
        y = sym.BatchNorm(x, *map(sym.var, "gbmv"), fix_gamma=False, **attributes)
        values = {name: positive(channels) for name in "gbmv"}
        graph = graph_of(sym.transpose(y, axes=back(axes)), **values)
    elif operator == "slice_axis":
        graph = between(axes, operator, dict(axis=axis, begin=0, end=1))
    elif operator in ("Concat", "_npi_concatenate"):
        graph = between(axes, operator, {"num_args": 3, **attributes}, inputs=3)
    else:
        graph = between(axes, operator, attributes)
    assert_cancelled(graph)


@pytest.mark.parametrize("layout", CHANNELS_FIRST)
@pytest.mark.parametrize("kind", ["max", "avg", "global"])
def test_pooling(kind, layout):
    rank = len(layout)
    attributes = dict(kernel=(2, 3, 2)[: rank - 2], pad=(1, 0, 1)[: rank - 2], layout=layout)
    attributes.update(pool_type=kind.replace("global", "avg"), global_pool=kind == "global")
    graph = between((0, *range(2, rank), 1), "Pooling", attributes)
    assert_cancelled(graph, x=positive(*(2, 3, 4, 5, 6)[:rank]))


@EVERY_PERMUTATION
@pytest.mark.parametrize("shape", [(4,), (1, 4), (3, 1, 1), (2, 3, 5, 4)], ids=str)
def test_a_constant_may_have_fewer_axes(shape, axes):
    rank = len(shape)
    x = sym.transpose(DATA, axes=axes)
    a = positive(*[SHAPE[axes[4 - rank + i]] if n > 1 else 1 for i, n in enumerate(shape)])
    y = sym.broadcast_sub(sym.broadcast_mul(x, sym.var("a")), sym.var("a"))
    assert_cancelled(graph_of(sym.transpose(y, axes=back(axes)), a=a))


# Several in a row, and several readers


def test_two_transposes_that_do_not_cancel_become_one():
    y = sym.transpose(sym.relu(sym.transpose(DATA, axes=(1, 2, 3, 0))), axes=(1, 0, 3, 2))
    assert_cancelled(graph_of(y), fewer=1, left=1)


def test_what_is_added_was_transposed_alike():
    x = nhwc(sym.relu(DATA))
    y = nchw(sym.relu(x)) * 2
    assert_cancelled(graph_of(nchw(nhwc(y) + x) * 3 + y), fewer=4)


def test_an_output_that_is_transposed_is_so_in_the_end():
    x = nhwc(DATA)
    y = nhwc(nchw(x + 1) * 2)
    assert_cancelled(graph_of(sym.Group([y, sym.concat(y, y, dim=3)])), fewer=1, left=2)


def test_a_network_returns_arrays_of_its_own():
    assert_cancelled(graph_of(nchw(nhwc(DATA))), fewer=1, left=1)
    assert_cancelled(graph_of(nchw(nhwc(DATA)) + 1))


def test_nothing_moves_unless_transposes_become_fewer():
    x = nhwc(DATA)
    assert_stays(graph_of(sym.Group([sym.relu(x), sym.Flatten(x)])))


@pytest.mark.parametrize(
    "symbol",
    [
        DATA * 2,
        nhwc(DATA) + 1,
        nchw(sym.reshape(sym.Flatten(nhwc(DATA)), shape=(2, 4, 5, 3))),
        nchw(nhwc(DATA) + sym.reshape(DATA, shape=(2, 4, 5, 3))),
        sym.transpose(sym.relu(sym.transpose(DATA))),  # names no axes
        nchw(sym.Pooling(nhwc(DATA), kernel=(2, 2), pad=(1, 1))),  # not of height and width
        nchw(sym.LeakyReLU(nhwc(DATA), sym.var("a"), act_type="prelu")),
    ],
)
def test_what_stays(symbol):
    values = {"a": positive(4)} if "a" in symbol.list_inputs() else {}
    assert_stays(graph_of(symbol, **values))


def test_an_operator_whose_other_outputs_are_read_stays():
    norm = sym.BatchNorm(nhwc(DATA), *map(sym.var, "gbmv"), axis=3, output_mean_var=True)
    graph = graph_of(sym.Group([nchw(norm[0]), norm[1]]), **{name: positive(3) for name in "gbmv"})
    assert_stays(graph)


# Networks


class Residual(nn.HybridSequential):
    def hybrid_forward(self, F, x):
        return F.relu(x + super().hybrid_forward(F, x))


def in_layout(layout):
    """A network of our layers, with everything that usually stands between convolutions."""
    axis = layout.index("C")

    def conv(channels, *args, **kwargs):
        return MultiChannelConv2D(channels, *args, layout=layout, **kwargs), nn.BatchNorm(axis)

    body = Residual()
    body.add(*conv(8, 3, padding=1), nn.LeakyReLU(0.1), *conv(8, 3, padding="same"))
    pool = nn.MaxPool2D(layout=layout), nn.GlobalAvgPool2D(layout=layout)
    return sequence(*conv(8, 3, strides=2), nn.Activation("relu"), pool[0], body, pool[1])


@pytest.mark.parametrize("measure", [False, True])
def test_a_network_in_nhwc_is_what_it_is_in_nchw(measure):
    ours, (x,) = ready(in_layout("NHWC"), random(2, 20, 19, 3))
    theirs, _ = ready(in_layout("NCHW"), x.transpose(TO_NCHW))
    for a, b in zip(ours.collect_params().values(), theirs.collect_params().values()):
        b.set_data(a.data().transpose(TO_NCHW) if a.data().ndim == 4 else a.data())
    fast = for_inference(ours, x, measure=measure, seconds=0.001, progress=False)
    assert_close_arrays(fast(x), ours(x))
    assert_close_arrays(fast(x), theirs(x.transpose(TO_NCHW)).transpose(TO_NHWC))
    assert "transposes cancelled" in str(fast.report)
