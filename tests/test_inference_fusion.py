"""What oneDNN computes together: activations moved there, what is kept apart, and what is fused."""

import json

from helpers import integers
from mxconv.inference.convolutions import tasks_of, use_algorithms
from mxconv.inference.fusion import fuse, fused_wrongly, hoist_activations, keep_apart
from mxconv.inference.graph import VARIABLE
from mxconv.inference.plans import Plan, prepared
from mxconv.inference.program import Program
from passes import (
    DATA,
    assert_close,
    assert_equal,
    convolution,
    graph_of,
    in_symbol,
    operators,
    positive,
    run,
)

import numpy as np
import pytest
from mxnet import nd, sym

pytestmark = pytest.mark.kernels

SHAPE = 2, 4, 6, 8
RELU = dict(act_type="relu")


def with_convolution(function, name="conv", channels=8, kernel=3, **attributes):
    """The graph of a convolution and what a function does to it, and an input."""
    y = convolution(DATA, name, kernel=(kernel, kernel), num_filter=channels, **attributes)
    values = {
        f"{name}_weight": integers((channels, SHAPE[1], kernel, kernel)),
        f"{name}_bias": integers((channels,)),
    }
    return graph_of(function(y), **values), integers(SHAPE)


def inside(symbol):
    """The operators that each fused operator of a Symbol holds."""
    return [
        [
            node["op"]
            for graph in item["subgraphs"]
            for node in graph["nodes"]
            if node["op"] != VARIABLE
        ]
        for item in json.loads(symbol.tojson())["nodes"]
        if item.get("subgraphs")
    ]


# Moving activations

ACTIVATIONS = {
    "relu": lambda y: sym.Activation(y, **RELU),
    "leaky": lambda y: sym.LeakyReLU(y, act_type="leaky", slope=0.25),
    "clip": lambda y: sym.clip(y, 0, 6),
}
EVERY_ACTIVATION = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
MOVEMENTS = {
    "Reshape": [lambda y: y.reshape((0, 0, -1))],
    "transpose": [lambda y: sym.transpose(y, axes=(0, 2, 3, 1))],
    "slice_axis": [lambda y: sym.slice_axis(y, axis=1, begin=1, end=5)],
    "slice": [lambda y: sym.slice(y, begin=(0, 0, 1), end=(None, None, 3))],
    "several": [
        lambda y: y.reshape((0, -1, 2, 4, 6)),
        lambda y: sym.transpose(y, axes=(0, 2, 1, 3, 4)),
        lambda y: sym.slice_axis(y, axis=4, begin=0, end=2),
    ],
    "none": [],
}


def moved(y, movements):
    for movement in movements:
        y = movement(y)
    return y


@EVERY_ACTIVATION
@pytest.mark.parametrize("movements", MOVEMENTS.values(), ids=MOVEMENTS)
def test_an_activation_moves_right_behind_the_convolution(activation, movements):
    graph, x = with_convolution(lambda y: activation(moved(y, movements)))
    before, (_, *rest, act) = run(graph, x), operators(graph)
    assert hoist_activations(graph) == bool(movements)
    assert operators(graph) == ["Convolution", act, *rest]
    assert_equal(run(graph, x), before)


def test_a_slice_like_keeps_its_second_input():
    def function(y):
        return sym.Activation(sym.slice_like(y, sym.var("like"), axes=(2, 3)), **RELU)

    graph, x = with_convolution(function)
    graph.values["like"] = nd.zeros((1, 1, 3, 2))
    before = run(graph, x)
    assert hoist_activations(graph) == 1
    assert operators(graph) == ["Convolution", "Activation", "slice_like"]
    assert_equal(run(graph, x), before)


def test_what_reads_the_activation_reads_what_was_moved():
    def function(y):
        relu = sym.Activation(y.reshape((0, 0, -1)), **RELU)
        return sym.Group([relu, relu * 2])

    graph, x = with_convolution(function)
    before = run(graph, x)
    assert hoist_activations(graph) == 1
    assert_equal(run(graph, x), before)


STAYING = {
    "the convolution is read elsewhere": lambda y: sym.Group(
        [sym.Activation(y.reshape((0, 0, -1)), **RELU), y]
    ),
    "what moves is read elsewhere": lambda y: (lambda z: sym.Group([sym.Activation(z, **RELU), z]))(
        y.reshape((0, 0, -1))
    ),
    "something is computed between": lambda y: sym.Activation((y + 1).reshape((0, 0, -1)), **RELU),
    "no activation": lambda y: sym.softmax(y.reshape((0, 0, -1))),
    "slopes of the channels": lambda y: sym.LeakyReLU(
        sym.transpose(y, axes=(0, 2, 1, 3)), sym.var("slopes"), act_type="prelu"
    ),
}


@pytest.mark.parametrize("function", STAYING.values(), ids=STAYING)
def test_where_an_activation_stays(function):
    graph, x = with_convolution(function)
    if "slopes" in graph.symbol().list_inputs():
        graph.values["slopes"] = nd.array([0.5, 0.25, 0.125, 2])
    before = operators(graph)
    results = run(graph, x)
    assert hoist_activations(graph) == 0
    assert operators(graph) == before
    assert_equal(run(graph, x), results)


def test_behind_no_convolution_it_stays():
    graph = graph_of(sym.Activation(DATA.reshape((0, 0, -1)), **RELU))
    assert hoist_activations(graph) == 0


# Fusing and keeping apart


@EVERY_ACTIVATION
def test_an_activation_behind_a_convolution_is_fused(activation):
    graph, x = with_convolution(activation)
    symbol = fuse(graph)
    assert in_symbol(symbol) == ["_sg_mkldnn_conv"]
    assert inside(symbol) == [operators(graph)]
    assert_equal(run(graph, x, symbol=symbol), run(graph, x))


def test_a_sum_and_its_activation_are_fused_too():
    def function(y):
        return sym.Activation(y + sym.relu(sym.tile(DATA, (1, 2, 1, 1))), **RELU)

    graph, x = with_convolution(function, kernel=1)
    symbol = fuse(graph)
    assert inside(symbol) == [["Convolution", "elemwise_add", "Activation"]]
    assert_equal(run(graph, x, symbol=symbol), run(graph, x))


def test_a_dense_layer_and_its_activation_are_fused():
    dense = sym.FullyConnected(DATA, sym.var("w"), no_bias=True, num_hidden=3)
    graph = graph_of(sym.Activation(dense, **RELU), w=integers((3, 12)))
    symbol = fuse(graph)
    assert in_symbol(symbol) == ["_sg_mkldnn_fully_connected"]
    x = integers((2, 12))
    assert_equal(run(graph, x, symbol=symbol), run(graph, x))


@EVERY_ACTIVATION
def test_what_is_kept_apart_is_not_fused(activation):
    graph, x = with_convolution(activation)
    before, (conv,) = run(graph, x), graph.operators("Convolution")
    assert keep_apart(graph, [conv]) == 1
    assert operators(graph)[:2] == ["Convolution", "Reshape"]
    assert hoist_activations(graph) == 0  # nor moved back
    symbol = fuse(graph)
    assert all("Reshape" not in held and len(held) == 1 for held in inside(symbol))
    assert {"Reshape", operators(graph)[-1]} <= set(in_symbol(symbol))
    assert_equal(run(graph, x), before)
    assert_equal(run(graph, x, symbol=symbol), before)


def two_convolutions():
    y = sym.Activation(convolution(DATA, "a", kernel=(1, 1), num_filter=8), **RELU)
    y = sym.Activation(convolution(y, "b", kernel=(1, 1), num_filter=8), **RELU)
    values = {"a_weight": integers((8, 4, 1, 1)), "b_weight": integers((8, 8, 1, 1))}
    return graph_of(y, a_bias=integers((8,)), b_bias=integers((8,)), **values), integers(SHAPE)


def test_only_the_one_that_is_named_is_kept_apart():
    graph, x = two_convolutions()
    (first, _), before = graph.operators("Convolution"), run(graph, x)
    keep_apart(graph, [first])
    symbol = fuse(graph)
    assert ["Convolution", "Activation"] in inside(symbol)
    assert in_symbol(symbol).count("Activation") == 1
    assert_equal(run(graph, x, symbol=symbol), before)


@pytest.mark.parametrize("reader", [False, True], ids=["an output", "a sum"])
@EVERY_ACTIVATION
def test_a_convolution_that_is_read_elsewhere_too(activation, reader):
    """MXNet's backend fuses the activation, and the other reader would get its result."""
    y = convolution(DATA, "a", kernel=(1, 1), num_filter=4)
    z = convolution(activation(y), "b", kernel=(1, 1), num_filter=4)
    head = y + z if reader else sym.Group([y, z])
    values = {f"{name}_weight": integers((4, 4, 1, 1)) for name in "ab"}
    graph = graph_of(head, a_bias=integers((4,)), b_bias=integers((4,)), **values)
    (found,) = fused_wrongly(graph)
    assert found.inputs[1].node.name == "a_weight"
    x = integers(SHAPE)
    expected = [y.asnumpy() for y in Program(graph.symbol(), graph.values, ["data"])(x)]
    keep_apart(graph, [found])
    outputs = Program(fuse(graph), graph.values, ["data"])(x)
    for output, values in zip(outputs, expected):
        np.testing.assert_allclose(output.asnumpy(), values, rtol=1e-5, atol=1e-5)


def test_a_convolution_that_is_added_to_itself():
    y = convolution(DATA, "a", kernel=(1, 1), num_filter=4)
    graph = graph_of(y + y, a_weight=integers((4, 4, 1, 1)), a_bias=integers((4,)))
    x = integers(SHAPE)
    before = run(graph, x)
    plan = Plan(fused=True)
    graph = prepared(graph, plan, {"data": SHAPE})
    assert_equal(run(graph, x, symbol=fuse(graph)), before)


def dense(name="dense"):
    weight, bias = sym.var(f"{name}_weight"), sym.var(f"{name}_bias")
    return sym.FullyConnected(DATA, weight, bias, num_hidden=8, flatten=False)


def normalized(x, **attributes):
    parameters = [sym.var(f"norm_{name}") for name in ("gamma", "beta", "mean", "var")]
    return sym.BatchNorm(x, *parameters, fix_gamma=False, **attributes)


def convolved(name="conv", rank=2):
    return convolution(DATA, name, kernel=(3,) * rank, pad=(1,) * rank, num_filter=8)


# What a backend could fuse an activation with, and the shape of the input.
BRANCHING = {
    "convolution": (convolved, (2, 8, 6, 6)),
    "of one dimension": (lambda: convolved(rank=1), (2, 8, 6)),
    "of three dimensions": (lambda: convolved(rank=3), (2, 8, 4, 4, 4)),
    "BatchNorm": (lambda: normalized(convolved()), (2, 8, 6, 6)),
    "sum": (lambda: convolved("a") + convolved("b"), (2, 8, 6, 6)),
    "dense layer": (dense, (2, 3, 8)),
}
READERS = {
    "an output": lambda y: y,
    "another operator": lambda y: y * 2,
    "another activation": lambda y: sym.Activation(y, act_type="tanh"),
}


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("source, shape", BRANCHING.values(), ids=BRANCHING)
def test_what_is_read_elsewhere_too_stays_what_it_is(source, shape, reader, folded):
    """MXNet's own fusion gives the other reader what the activation computes."""
    y = source()
    symbol = sym.Group([reader(y), sym.Activation(y, **RELU)])
    names, (shapes, _, states) = symbol.list_arguments(), symbol.infer_shape(data=shape)
    sizes = dict(zip([*names, *symbol.list_auxiliary_states()], [*shapes, *states]))
    values = {n: positive(*size) if "norm" in n else integers(size) for n, size in sizes.items()}
    x = values.pop("data")
    graph = graph_of(symbol, **values)
    before = run(graph, x)
    graph = prepared(graph, Plan(folded=folded, fused=True), {"data": shape})
    assert_close(run(graph, x, symbol=fuse(graph)), before)


@pytest.mark.parametrize("axis", [0, 2, 3, -1])
@pytest.mark.parametrize("folded", [True, False])
def test_batch_norm_along_another_axis_than_channels_is_kept_apart(axis, folded):
    """It isn't run fused, since that would end the process."""
    graph = graph_of(normalized(convolved(), axis=axis))
    plan = Plan(folded=folded, fused=True)
    graph.values.update(
        conv_weight=integers((8, 8, 3, 3)),
        conv_bias=integers((8,)),
        **{
            f"norm_{name}": positive((2, 8, 6, 7)[axis])
            for name in ("gamma", "beta", "mean", "var")
        },
    )
    graph = prepared(graph, plan, {"data": (2, 8, 6, 7)})
    assert operators(graph) == ["Convolution", "Reshape", "BatchNorm"]
    assert "BatchNorm" in in_symbol(fuse(graph))


FUSED_WITH_DENSE = {
    "relu": ACTIVATIONS["relu"],
    "clip": ACTIVATIONS["clip"],
    "elu": lambda y: sym.LeakyReLU(y, act_type="elu"),
    "abs": sym.abs,
    "square": sym.square,
    "sqrt": sym.sqrt,
    "exp": sym.exp,
}


@pytest.mark.parametrize("function", FUSED_WITH_DENSE.values(), ids=FUSED_WITH_DENSE)
def test_a_dense_layer_and_what_is_computed_of_it_as_two_outputs(function):
    y = dense()
    graph = graph_of(
        sym.Group([y, function(y)]), dense_weight=integers((8, 4)), dense_bias=integers((8,))
    )
    assert fused_wrongly(graph) == graph.operators("FullyConnected")


def residual(y):
    return y + convolution(y, "b", kernel=(3, 3), pad=(1, 1), num_filter=8)


@pytest.mark.parametrize(
    "function",
    [residual, lambda y: residual(normalized(y)), lambda y: sym.relu(y) + y * 2],
    ids=["residual block", "BatchNorm", "activation"],
)
def test_what_mxnet_fuses_rightly_although_others_read_it(function):
    """As in MobileNet-v2, where keeping it apart costs 5 % (AMD EPYC with AVX-512, one thread)."""
    assert fused_wrongly(graph_of(function(convolved()))) == []


@pytest.mark.parametrize("operator", [sym.identity, sym.Dropout], ids=["copies", "Dropout"])
def test_two_operators_that_do_nothing_behind_the_input(operator):
    """MXNet's backend would leave one of them, as another input."""
    graph, x = with_convolution(lambda y: y)
    (conv,) = graph.operators("Convolution")
    twice = graph_of(operator(operator(DATA))).heads[0]
    twice.node.inputs[0].node.inputs = conv.inputs[:1]
    conv.inputs[0] = twice
    before = run(graph, x)
    graph = prepared(graph, Plan(folded=False, fused=True), {"data": SHAPE})
    assert_equal(run(graph, x, symbol=fuse(graph)), before)


def test_an_output_that_is_kept_apart():
    graph, x = with_convolution(lambda y: sym.Group([y, sym.relu(y)]))
    before = run(graph, x)
    keep_apart(graph, graph.operators("Convolution"))
    assert_equal(run(graph, x), before)
    assert_equal(run(graph, x, symbol=fuse(graph)), before)


def test_none_to_keep_apart():
    graph, _ = two_convolutions()
    before = operators(graph)
    assert keep_apart(graph, []) == 0
    assert operators(graph) == before


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_other_dtypes_are_not_fused(dtype):
    y = sym.FullyConnected(sym.relu(DATA), sym.var("w"), no_bias=True, num_hidden=3)
    graph = graph_of(sym.Activation(y, **RELU), dtype, w=integers((3, 12)).astype(dtype))
    assert in_symbol(fuse(graph)) == sorted(operators(graph))


def test_a_fused_network_of_float64_computes():
    y = convolution(DATA, bias=False, kernel=(1, 1), num_filter=8)
    weight = integers((8, 4, 1, 1)).astype("float64")
    graph = graph_of(sym.Activation(y, **RELU), "float64", conv_weight=weight)
    x = integers(SHAPE).astype("float64")
    assert_equal(run(graph, x, symbol=fuse(graph)), run(graph, x))


def test_other_layers_of_float64_do_not_keep_from_fusing():
    graph, x = with_convolution(lambda y: sym.cast(sym.Activation(y, **RELU), "float64") / 3)
    symbol = fuse(graph)
    assert "_sg_mkldnn_conv" in in_symbol(symbol)
    assert_equal(run(graph, x, symbol=symbol), run(graph, x))


# With other algorithms


def test_an_activation_is_fused_with_the_convolution_of_another_algorithm():
    graph, x = with_convolution(ACTIVATIONS["relu"], channels=12, pad=(1, 1))
    before = run(graph, x)
    (task,) = tasks_of(graph, {"data": SHAPE}).values()
    plan = Plan(algorithms={task: "pad_channels"}, fused=True)
    after = prepared(graph, plan, {"data": SHAPE})
    symbol = fuse(after)
    assert ["Convolution", "Activation"] in inside(symbol)
    assert "Activation" not in in_symbol(symbol)
    assert_equal(run(after, x, symbol=symbol), before)
    plan = Plan(algorithms={task: "pad_channels"}, fused=True, apart=frozenset([task]))
    apart = prepared(graph, plan, {"data": SHAPE})
    assert "Activation" in in_symbol(fuse(apart))
    assert_equal(run(apart, x, symbol=fuse(apart)), before)


def test_an_algorithm_replaces_a_convolution_that_is_kept_apart():
    graph, x = with_convolution(ACTIVATIONS["relu"], channels=12)
    before, tasks = run(graph, x), tasks_of(graph, {"data": SHAPE})
    keep_apart(graph, tasks)
    assert use_algorithms(graph, dict.fromkeys(tasks, "im2col"), tasks) == 1
    assert "Convolution" not in operators(graph)
    assert_equal(run(graph, x), before)
