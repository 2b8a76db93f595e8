"""Activations in the spelling that MXNet computes fastest compute what they did."""

from helpers import integers
from mxconv.inference.graph import Graph
from mxconv.inference.spelling import spell_activations, spell_biases, spell_clips
from passes import DATA, assert_close, assert_equal, convolution, graph_of, operators, run

import numpy as np
import pytest
from mxnet import nd, npx, sym

X = nd.array([[-7, -3, -2.5, -1, -0.0], [0, 0.5, 1, 2.75, 3], [4, 5.5, 6, 9, 1e30]])


def numpys(function):
    """A function of NumPy's operators, on Symbols."""

    def on_symbol(x):
        npx.set_np()
        try:
            return function(x.as_np_ndarray()).as_nd_ndarray()
        finally:
            npx.reset_np()

    return on_symbol


PLAIN = {
    "relu": (sym.relu, "relu"),
    "sigmoid": (sym.sigmoid, "sigmoid"),
    "tanh": (sym.tanh, "tanh"),
    "npx.relu": (numpys(lambda x: sym.npx.relu(x)), "relu"),
    "npx.sigmoid": (numpys(lambda x: sym.npx.sigmoid(x)), "sigmoid"),
    "np.tanh": (numpys(lambda x: sym.np.tanh(x)), "tanh"),
}
EVERY_PLAIN = pytest.mark.parametrize("spelling", PLAIN.values(), ids=PLAIN)


@EVERY_PLAIN
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_plain_activations(spelling, dtype):
    function, act_type = spelling
    graph, x = graph_of(function(DATA), dtype), X.astype(dtype)
    before = run(graph, x)
    assert spell_activations(graph) == 1
    (node,) = graph.operators("Activation")
    assert operators(graph) == ["Activation"] and node.attributes == {"act_type": act_type}
    assert_close(run(graph, x), before, 1e-7)


@EVERY_PLAIN
def test_integers_stay_as_they_are(spelling):
    graph = graph_of(spelling[0](DATA), "int32")
    before = operators(graph)
    assert spell_activations(graph) == 0
    assert operators(graph) == before


def test_not_where_the_dtype_is_not_known():
    graph = Graph(sym.clip(sym.relu(DATA), 0, 6), {})
    assert spell_activations(graph) == 0
    assert operators(graph) == ["relu", "clip"]


def test_other_activations_stay():
    y = sym.softsign(sym.Activation(sym.LeakyReLU(DATA), act_type="softrelu"))
    graph = graph_of(y)
    assert spell_activations(graph) == 0
    assert operators(graph) == ["LeakyReLU", "Activation", "softsign"]


# Clips


@pytest.mark.parametrize("high", [6, 0.5, 0, np.inf], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_clip_from_0(high, dtype):
    graph, x = graph_of(sym.clip(DATA, 0, high), dtype), X.astype(dtype)
    assert spell_activations(graph) == 1
    assert operators(graph) == ["Activation", "_minimum_scalar"]
    assert_equal(run(graph.copy(), x), [np.clip(x.asnumpy(), 0, high)])


@pytest.mark.parametrize("bounds", [(-1, 1), (1, 6), (-np.inf, 6), (-6, 0)], ids=str)
def test_other_clips_stay(bounds):
    graph = graph_of(sym.clip(DATA, *bounds))
    assert spell_activations(graph) == 0
    assert_equal(run(graph, X), [np.clip(X.asnumpy(), *bounds)])


def test_clips_of_integers_stay():
    graph = graph_of(sym.clip(DATA, 0, 6), "int32")
    assert spell_activations(graph) == spell_clips(graph, fusing=False) == 0
    assert_equal(
        run(graph, X.clip(-9, 9).astype("int32")), [X.clip(0, 6).asnumpy().astype("int32")]
    )


def behind_a_convolution(function=lambda y: sym.clip(y, 0, 6)):
    y = convolution(DATA, bias=False, kernel=(1, 1), num_filter=2)
    weight = nd.array([[1, -1, 2], [3, 0, -2]]).reshape((2, 3, 1, 1))
    x = nd.arange(24).reshape((2, 3, 2, 2)) - 12
    return graph_of(function(y), conv_weight=weight), x


def test_a_clip_behind_a_convolution_may_stay_to_be_fused():
    graph, x = behind_a_convolution()
    before = run(graph, x)
    assert spell_activations(graph) == spell_clips(graph, fusing=True) == 0
    assert operators(graph) == ["Convolution", "clip"]
    assert spell_clips(graph, fusing=False) == 1
    assert operators(graph) == ["Convolution", "Activation", "_minimum_scalar"]
    assert_equal(run(graph, x), before)


def test_not_if_something_else_reads_the_convolution():
    graph, x = behind_a_convolution(lambda y: sym.clip(y, 0, 6) + y)
    before = run(graph, x)
    assert spell_clips(graph, fusing=True) == 1
    assert_equal(run(graph, x), before)


def test_what_reads_a_clip_reads_its_new_spelling():
    clip = sym.clip(DATA, 0, 6)
    graph = graph_of(sym.Group([clip, clip * 2, sym.negative(clip)]))
    before = run(graph, X)
    assert spell_activations(graph) == 1
    assert_equal(run(graph, X), before)


def test_clips_one_after_the_other():
    graph = graph_of(sym.clip(sym.clip(DATA, 0, 6), 0, 3))
    before = run(graph, X)
    assert spell_activations(graph) == 2
    assert_equal(run(graph, X), before)


# Hard sigmoid


SIGMOIDS = {
    "as in MobileNet-v3": lambda x: sym.clip(x + 3, 0, 6) / 6,
    "by a factor": lambda x: sym.clip(x + 3, 0, 6) * (1 / 6),
    "without a shift": lambda x: sym.clip(x, 0, 4) / 4,
    "from 0 to 1": lambda x: sym.clip(x + 0.5, 0, 1) / 1,
    "steep": lambda x: sym.clip(x + -2, 0, 0.125) * 8,
}


@pytest.mark.parametrize("function", SIGMOIDS.values(), ids=SIGMOIDS)
def test_a_shifted_clip_over_its_height(function):
    graph = graph_of(function(DATA))
    before = run(graph, X)
    assert spell_activations(graph) == 1
    assert operators(graph) == ["hard_sigmoid"]
    assert_close(run(graph.copy(), X), before, 2e-7)


def test_hard_swish():
    graph = graph_of(DATA * (sym.clip(DATA + 3, 0, 6) / 6))
    before = run(graph, X.clip(-9, 9))
    assert spell_activations(graph) == 1
    assert operators(graph) == ["hard_sigmoid", "elemwise_mul"]
    assert_close(run(graph, X.clip(-9, 9)), before, 2e-7)


def test_no_hard_sigmoid_of_whole_numbers():
    graph = graph_of(sym.clip(DATA + 3, 0, 6) / 6, "int32")
    before = operators(graph)
    assert spell_activations(graph) == 0
    assert operators(graph) == before


def test_a_shift_that_something_else_reads():
    shifted = DATA + 3
    graph = graph_of(sym.Group([sym.clip(shifted, 0, 6) / 6, shifted]))
    before = run(graph, X)
    assert spell_activations(graph) == 1
    assert sorted(operators(graph)) == ["_plus_scalar", "hard_sigmoid"]
    assert_close(run(graph, X), before, 2e-7)


NO_SIGMOIDS = {
    "another factor": lambda x: sym.clip(x, 0, 6) * 6,
    "another divisor": lambda x: sym.clip(x, 0, 6) / 5,
    "not from 0": lambda x: sym.clip(x, -6, 6) / 6,
    "to 0": lambda x: sym.clip(x, 0, 0) / 1,
    "by 0": lambda x: sym.clip(x + 1, 0, 2) * 0,
    "without an end": lambda x: sym.clip(x, 0, np.inf) * 2,
    "no clip": lambda x: sym.square(x + 3) / 6,
    "of the inverse": lambda x: 6 / sym.clip(x, 0, 6),
}


@pytest.mark.parametrize("function", NO_SIGMOIDS.values(), ids=NO_SIGMOIDS)
def test_whatever_is_no_hard_sigmoid(function):
    graph, x = graph_of(function(DATA)), X + 0.25
    before = run(graph, x)
    spell_activations(graph)
    assert "hard_sigmoid" not in operators(graph)
    assert_equal(run(graph, x), before)


def test_no_hard_sigmoid_if_something_else_reads_the_clip():
    clip = sym.clip(DATA, 0, 6)
    graph = graph_of(sym.Group([clip / 6, clip]))
    before = run(graph, X)
    assert spell_activations(graph) == 1
    assert operators(graph) == ["Activation", "_minimum_scalar", "_div_scalar"]
    assert_equal(run(graph, X), before)


# The bias of a transposed convolution


def transposed(channels=8, rank=2, bias=True, **attributes):
    """The graph of a transposed convolution and an activation, and an input."""
    y = convolution(
        DATA,
        operator=sym.Deconvolution,
        bias=bias,
        kernel=(2,) * rank,
        stride=(2,) * rank,
        num_filter=channels,
        **attributes,
    )
    groups = attributes.get("num_group", 1)
    values = {"conv_weight": integers((4, channels // groups, *[2] * rank))}
    values.update({"conv_bias": integers((channels,))} if bias else {})
    return graph_of(sym.Activation(y, act_type="relu"), **values), integers((2, 4, *[5] * rank))


@pytest.mark.parametrize("attributes", [{}, dict(channels=12), dict(num_group=2), dict(adj=(1, 1))])
def test_its_bias_becomes_a_depthwise_convolution(attributes):
    graph, x = transposed(**attributes)
    before = run(graph, x)
    assert spell_biases(graph) == 1
    assert operators(graph) == ["Deconvolution", "Convolution", "Activation"]
    assert_equal(run(graph, x), before)
    assert spell_biases(graph) == 0


@pytest.mark.parametrize("attributes", [dict(bias=False), dict(channels=4), dict(rank=1)])
def test_other_transposed_convolutions_stay(attributes):
    graph, x = transposed(**attributes)
    before = run(graph, x)
    assert spell_biases(graph) == 0
    assert_equal(run(graph, x), before)
