"""BatchNorm and other constant scales and shifts move into the operators before them.

NumPy computes in float64 what the operators without the scaling give, scaled and shifted.
"""

from math import prod

import oracle
from helpers import integers
from mxconv.inference.scaling import fold_scalings
from passes import DATA, assert_close, assert_equal, convolution, graph_of, operators, positive, run

import numpy as np
import pytest
from mxnet import nd, npx, sym
from mxnet.gluon import nn

NORM = ("gamma", "beta", "mean", "variance")
CONVOLUTIONS = {  # attributes of a convolution of 4 channels, its weight's shape, its input's shape
    "1-D": (dict(kernel=(3,), num_filter=6), (6, 4, 3), (2, 4, 7)),
    "2-D": (dict(kernel=(3, 2), num_filter=6), (6, 4, 3, 2), (2, 4, 6, 5)),
    "3-D": (dict(kernel=(2, 2, 2), num_filter=6), (6, 4, 2, 2, 2), (2, 4, 3, 4, 3)),
    "strided": (
        dict(kernel=(3, 3), stride=(2, 1), pad=(1, 0), dilate=(1, 2), num_filter=6),
        (6, 4, 3, 3),
        (2, 4, 6, 7),
    ),
    "grouped": (dict(kernel=(2, 2), num_filter=6, num_group=2), (6, 2, 2, 2), (2, 4, 4, 5)),
    "depthwise": (dict(kernel=(3, 3), num_filter=4, num_group=4), (4, 1, 3, 3), (2, 4, 5, 5)),
}
TRANSPOSED = {
    "1-D": (dict(kernel=(3,), num_filter=6), (4, 6, 3), (2, 4, 5)),
    "2-D": (dict(kernel=(2, 3), stride=(2, 2), num_filter=6), (4, 6, 2, 3), (2, 4, 4, 3)),
    "grouped": (dict(kernel=(2, 2), num_filter=6, num_group=2), (4, 3, 2, 2), (2, 4, 3, 3)),
    "depthwise": (dict(kernel=(2, 2), num_filter=4, num_group=4), (4, 1, 2, 2), (2, 4, 3, 3)),
}
CASES = {
    **{f"convolution, {name}": (sym.Convolution, *case) for name, case in CONVOLUTIONS.items()},
    **{f"transposed, {name}": (sym.Deconvolution, *case) for name, case in TRANSPOSED.items()},
}
EVERY_CASE = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
EVERY_BIAS = pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])


def statistics(channels):
    gamma, beta, mean = (nd.random.normal(shape=channels) for _ in range(3))
    return dict(zip(NORM, (gamma, beta, mean, positive(channels))))


def norm_of(y, **attributes):
    return sym.BatchNorm(y, *map(sym.var, NORM), **attributes)


def linear_of(case, bias, dtype="float32"):
    """The Symbol of a case, its parameters and its input."""
    operator, attributes, shape, input_shape = case
    y = convolution(DATA, bias=bias, operator=operator, **attributes)
    values = {"conv_weight": integers(shape).astype(dtype)}
    if bias:
        values["conv_bias"] = integers((attributes["num_filter"],)).astype(dtype)
    return y, values, integers(input_shape).astype(dtype)


def normalized(y, values, eps=1e-3, fix_gamma=False):
    """BatchNorm of inference over axis 1, in float64."""
    gamma, beta, mean, variance = (
        values[name].asnumpy().astype("float64").reshape((-1,) + (1,) * (y.ndim - 2))
        for name in NORM
    )
    return (y - mean) / np.sqrt(variance + eps) * (1 if fix_gamma else gamma) + beta


def assert_folded(graph, x, expected, operator, tolerance=1e-6):
    """That all scalings are folded into the one operator, which computes what is expected."""
    scalings = len(operators(graph)) - 1
    assert fold_scalings(graph) == scalings > 0
    assert operators(graph) == [operator]
    assert_close(run(graph, x), [expected.astype(x.dtype)], tolerance)


@EVERY_CASE
@EVERY_BIAS
def test_batch_norm(case, bias):
    y, values, x = linear_of(case, bias)
    (raw,) = run(graph_of(y, **values), x)
    values.update(statistics(raw.shape[1]))
    graph = graph_of(norm_of(y, fix_gamma=False), **values)
    assert_folded(graph, x, normalized(raw.astype("float64"), values), case[0].__name__)
    assert len(graph.values) == 2  # weight and bias, and none of BatchNorm's


def test_against_a_convolution_of_numpy():
    attributes, shape, input_shape = CONVOLUTIONS["strided"]
    y, values, _ = linear_of((sym.Convolution, attributes, shape, input_shape), True)
    x = nd.random.normal(shape=input_shape)
    values.update(statistics(6))
    raw = oracle.convolve(
        x.asnumpy(),
        values["conv_weight"].asnumpy(),
        values["conv_bias"].asnumpy(),
        strides=(2, 1),
        padding=(1, 0),
        dilation=(1, 2),
    )
    graph = graph_of(norm_of(y, fix_gamma=False), **values)
    assert_folded(graph, x, normalized(raw, values), "Convolution")


CASE_2D = CASES["convolution, 2-D"]


@pytest.mark.parametrize("fix_gamma", [True, False, None])
def test_gamma_is_1_if_it_is_fixed_which_is_the_default(fix_gamma):
    y, values, x = linear_of(CASE_2D, True)
    (raw,) = run(graph_of(y, **values), x)
    values.update(statistics(6))
    attributes = {} if fix_gamma is None else dict(fix_gamma=fix_gamma)
    expected = normalized(raw.astype("float64"), values, fix_gamma=fix_gamma is not False)
    graph = graph_of(norm_of(y, **attributes), **values)
    assert_close(run(graph, x), [expected.astype("float32")], 1e-6)
    assert_folded(graph, x, expected, "Convolution")


@pytest.mark.parametrize("eps", [1e-5, 0.1, 3.0])
def test_eps(eps):
    y, values, x = linear_of(CASE_2D, False)
    (raw,) = run(graph_of(y, **values), x)
    values.update(statistics(6))
    graph = graph_of(norm_of(y, eps=eps, fix_gamma=False), **values)
    assert_folded(graph, x, normalized(raw.astype("float64"), values, eps), "Convolution")


@pytest.mark.parametrize("axis", [2, 3, -1])
def test_not_along_another_axis(axis):
    y, values, _ = linear_of(CASE_2D, True)
    values.update(statistics(6))  # as many as channels: the numbers alone would fit
    graph = graph_of(norm_of(y, axis=axis), **values)
    assert run(graph, integers((2, 4, 8, 7)))[0].shape == (2, 6, 6, 6)
    assert fold_scalings(graph) == 0
    assert operators(graph) == ["Convolution", "BatchNorm"]


def test_float64_stays_float64():
    y, values, x = linear_of(CASE_2D, True, "float64")
    (raw,) = run(graph_of(y, "float64", **values), x)
    values.update({name: value.astype("float64") for name, value in statistics(6).items()})
    graph = graph_of(norm_of(y, fix_gamma=False), "float64", **values)
    assert_folded(graph, x, normalized(raw, values), "Convolution", tolerance=1e-14)


# Dense layers


@EVERY_BIAS
def test_batch_norm_of_a_dense_layer(bias):
    net = nn.HybridSequential()
    net.add(nn.Dense(5, use_bias=bias, in_units=12), nn.BatchNorm(in_channels=5))
    graph, values, x = dense_graph(net, bias)
    raw = x.asnumpy().reshape((2, 12)).astype("float64") @ values["w"].asnumpy().T
    if bias:
        raw += values["b"].asnumpy()
    assert_folded(graph, x, normalized(raw, values, 1e-5), "FullyConnected")


def dense_graph(net, bias):
    """The graph of Dense and BatchNorm as Gluon writes it, its parameters, and an input."""
    symbol = net(sym.var("data"))
    arguments = symbol.list_arguments() + symbol.list_auxiliary_states()
    values = dict(w=integers((5, 12)), **statistics(5))
    if bias:
        values["b"] = integers((5,))
    order = ["w", *(["b"] if bias else []), *NORM]
    named = {theirs: values[ours] for theirs, ours in zip(arguments[1:], order)}
    return graph_of(symbol, **named), values, integers((2, 3, 4))


def test_a_dense_layer_with_more_axes_keeps_its_norm():
    dense = sym.FullyConnected(DATA, sym.var("w"), no_bias=True, num_hidden=4, flatten=False)
    values = dict(w=integers((4, 5)), **statistics(4))
    graph = graph_of(norm_of(dense), **values)
    before = run(graph, integers((2, 4, 5)))
    assert fold_scalings(graph) == 0
    assert len(before) == 1 and operators(graph) == ["FullyConnected", "BatchNorm"]


# Numbers and arrays

SCALARS = {
    "x * 3": (lambda y: y * 3, lambda y: y * 3),
    "3 * x": (lambda y: 3 * y, lambda y: y * 3),
    "x / 4": (lambda y: y / 4, lambda y: y / 4),
    "x + 5": (lambda y: y + 5, lambda y: y + 5),
    "x - 5": (lambda y: y - 5, lambda y: y - 5),
    "5 - x": (lambda y: 5 - y, lambda y: 5 - y),
    "-x": (lambda y: -y, lambda y: -y),
    "several": (lambda y: 7 - (-(y * 3 + 1) / 2), lambda y: 7 + (y * 3 + 1) / 2),
}
EVERY_SCALAR = pytest.mark.parametrize("scalar", SCALARS.values(), ids=SCALARS)
NUMPY = pytest.mark.parametrize("numpy", [False, True], ids=["nd", "np"])


@pytest.fixture
def numpy_mode(numpy):
    if numpy:
        npx.set_np()
    yield
    npx.reset_np()


def in_mode(symbol, numpy):
    return symbol.as_np_ndarray() if numpy else symbol


@NUMPY
@EVERY_SCALAR
@EVERY_BIAS
def test_numbers(scalar, bias, numpy, numpy_mode):
    y, values, x = linear_of(CASE_2D, bias)
    of_symbols, of_arrays = scalar
    (raw,) = run(graph_of(y, **values), x)
    scaled = of_symbols(in_mode(y, numpy)).as_nd_ndarray()
    graph = graph_of(scaled, **values)
    assert all(name.startswith("_npi") == numpy for name in operators(graph)[1:])
    expected = of_arrays(raw)
    assert_close(run(graph, x), [expected])
    assert_folded(graph, x, expected, "Convolution")


ARRAYS = {
    "x * a": (sym.broadcast_mul, lambda y, a: y * a, lambda y, a: y * a),
    "a * x": (lambda y, a: sym.broadcast_mul(a, y), lambda y, a: a * y, lambda y, a: y * a),
    "x / a": (sym.broadcast_div, lambda y, a: y / a, lambda y, a: y / a),
    "x + a": (sym.broadcast_add, lambda y, a: y + a, lambda y, a: y + a),
    "a + x": (lambda y, a: sym.broadcast_add(a, y), lambda y, a: a + y, lambda y, a: y + a),
    "x - a": (sym.broadcast_sub, lambda y, a: y - a, lambda y, a: y - a),
}
EVERY_ARRAY = pytest.mark.parametrize("operation", ARRAYS.values(), ids=ARRAYS)


def with_array(operation, array, numpy, case=CASE_2D, **attributes):
    """The graph of a convolution scaled or shifted by an array, its input and what is expected."""
    y, values, x = linear_of(case, True)
    legacy, by_numpy, expected = operation
    (raw,) = run(graph_of(y, **values), x)
    if numpy:
        scaled = by_numpy(y.as_np_ndarray(), sym.var("a").as_np_ndarray()).as_nd_ndarray()
    else:
        scaled = legacy(y, sym.var("a"))
    return graph_of(scaled, a=array, **values), x, expected(raw, array.asnumpy())


@NUMPY
@EVERY_ARRAY
@pytest.mark.parametrize("shape", [(1, 6, 1, 1), (1, 1, 1, 1)], ids=str)
def test_arrays(operation, shape, numpy, numpy_mode):
    array = nd.array(2.0 ** np.arange(prod(shape)).reshape(shape) - 3)
    assert_folded(*with_array(operation, array, numpy), "Convolution")


@pytest.mark.parametrize("numpy", [True])
@EVERY_ARRAY
@pytest.mark.parametrize("shape", [(6, 1, 1), (1,), ()], ids=str)
def test_arrays_of_fewer_axes(operation, shape, numpy, numpy_mode):
    array = nd.array(2.0 ** np.arange(prod(shape)).reshape(shape) - 3)
    assert_folded(*with_array(operation, array, numpy), "Convolution")


@EVERY_ARRAY
@pytest.mark.parametrize(
    "shape", [(2, 6, 1, 1), (1, 1, 4, 1), (1, 1, 1, 4), (1, 6, 4, 4), (2, 1, 1, 1)], ids=str
)
def test_not_values_that_differ_within_a_channel(operation, shape):
    graph, x, expected = with_array(operation, nd.ones(shape) * 2, numpy=False)
    assert fold_scalings(graph) == 0
    assert_equal(run(graph, x), [expected])


@pytest.mark.parametrize("numpy", [True])
@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (1, 1, 1), (1, 1, 4)], ids=str)
def test_not_an_array_of_more_axes_than_the_output(shape, numpy, numpy_mode):
    weight = sym.var("w").as_np_ndarray()
    y = sym.npx.fully_connected(DATA.as_np_ndarray(), weight, no_bias=True, num_hidden=4)
    scaled = (y * sym.var("a").as_np_ndarray()).as_nd_ndarray()
    graph = graph_of(scaled, w=integers((4, 3)), a=nd.ones(shape) * 2)
    x = integers((2, 3))
    before = run(graph, x)
    assert before[0].ndim == len(shape)
    assert fold_scalings(graph) == 0
    assert_equal(run(graph, x), before)


@pytest.mark.parametrize("numpy", [True])
def test_not_an_array_that_widens_the_dtype(numpy, numpy_mode):
    graph, x, _ = with_array(ARRAYS["x * a"], nd.ones((1,), dtype="float64"), numpy)
    assert run(graph, x)[0].dtype == np.float64
    assert fold_scalings(graph) == 0
    assert run(graph, x)[0].dtype == np.float64


@pytest.mark.parametrize("name", ["a - x", "a / x"])
def test_not_what_the_array_is_scaled_by(name):
    operation = sym.broadcast_sub if name == "a - x" else sym.broadcast_div
    y, values, x = linear_of(CASE_2D, True)
    graph = graph_of(operation(sym.var("a"), y + 1000), a=nd.ones((1, 6, 1, 1)), **values)
    before = run(graph, x)
    assert fold_scalings(graph) == 1  # the + 1000
    assert_close(run(graph, x), before)


def test_not_by_another_output():
    y, values, x = linear_of(CASE_2D, True)
    other = sym.mean(DATA, axis=(0, 2, 3), keepdims=True).slice_axis(axis=1, begin=0, end=1)
    graph = graph_of(sym.broadcast_mul(y, other), **values)
    before = run(graph, x)
    assert fold_scalings(graph) == 0
    assert_equal(run(graph, x), before)


# What is left alone


def test_a_transposed_convolution_without_attributes_has_no_bias():
    y = sym.Deconvolution(DATA, sym.var("w"), kernel=(2, 2), num_filter=3)
    graph = graph_of(y * 2 + 1, w=integers((4, 3, 2, 2)))
    x = integers((1, 4, 3, 3))
    before = run(graph, x)
    assert fold_scalings(graph) == 2
    assert operators(graph) == ["Deconvolution"]
    assert_equal(run(graph, x), before)


def test_not_if_something_else_reads_the_convolution():
    y, values, x = linear_of(CASE_2D, True)
    for outputs in (sym.Group([y * 2, y]), (y * 2) * sym.relu(y), sym.concat(y * 2, y * 3)):
        graph = graph_of(outputs, **values)
        before = run(graph, x)
        assert fold_scalings(graph) == 0
        assert_equal(run(graph, x), before)


def test_what_reads_the_scaling_may_be_many():
    y, values, x = linear_of(CASE_2D, True)
    scaled = y * 2
    graph = graph_of(sym.Group([scaled, sym.relu(scaled), scaled + 1]), **values)
    before = run(graph, x)
    assert fold_scalings(graph) == 1
    assert operators(graph) == ["Convolution", "relu", "_plus_scalar"]
    assert_equal(run(graph, x), before)


@pytest.mark.parametrize("between", [sym.relu, sym.square, lambda y: sym.clip(y, 0, 6)])
def test_not_across_what_is_not_linear(between):
    y, values, x = linear_of(CASE_2D, True)
    values.update(statistics(6))
    graph = graph_of(norm_of(between(y)), **values)
    before, operators_before = run(graph, x), operators(graph)
    assert fold_scalings(graph) == 0
    assert operators(graph) == operators_before
    assert_equal(run(graph, x), before)


def test_not_a_norm_before_a_convolution():
    values = dict(statistics(4), conv_weight=integers((2, 4, 1, 1)))
    y = convolution(norm_of(DATA), bias=False, kernel=(1, 1), num_filter=2)
    graph = graph_of(y, **values)
    assert fold_scalings(graph) == 0


def test_not_parameters_that_are_computed():
    weight, x = integers((6, 4, 3, 2)), integers((2, 4, 6, 5))
    y = sym.Convolution(DATA, sym.relu(sym.var("w")), no_bias=True, kernel=(3, 2), num_filter=6)
    graph = graph_of(y * 2, w=weight)
    before = run(graph, x)
    assert fold_scalings(graph) == 0
    assert_equal(run(graph, x), before)


def test_not_parameters_that_are_inputs():
    y = sym.Convolution(DATA, sym.var("w"), no_bias=True, kernel=(3, 2), num_filter=6)
    assert fold_scalings(graph_of(y * 2)) == 0
    y = convolution(DATA, kernel=(3, 2), num_filter=6)
    assert fold_scalings(graph_of(y * 2, conv_weight=integers((6, 4, 3, 2)))) == 0


def test_not_channels_on_another_axis():
    y = sym.Convolution(
        DATA, sym.var("w"), no_bias=True, kernel=(3, 2), num_filter=6, layout="NHWC"
    )
    assert fold_scalings(graph_of(y * 2, w=integers((6, 3, 2, 4)))) == 0


def test_not_float16():
    y, values, _ = linear_of(CASE_2D, True, "float16")
    assert fold_scalings(graph_of(y * 2, "float16", **values)) == 0


def test_a_weight_of_two_convolutions_is_scaled_for_one():
    weight = sym.var("w")
    attributes = dict(no_bias=True, kernel=(1, 1), num_filter=4)
    first = sym.Convolution(DATA, weight, **attributes) * 2
    graph = graph_of(sym.Convolution(first, weight, **attributes), w=integers((4, 4, 1, 1)))
    x = integers((2, 4, 3, 3))
    before, old = run(graph, x), graph.values["w"].copy()
    assert fold_scalings(graph) == 1
    assert_equal(run(graph, x), before)
    np.testing.assert_array_equal(graph.values["w"].asnumpy(), old.asnumpy())


@pytest.mark.parametrize("number", [0.0, np.inf, 1e39, np.nan], ids=str)
def test_not_what_is_not_finite(number):
    y, values, x = linear_of(CASE_2D, True)
    graph = graph_of(y / number if number == 0 else y * number, **values)
    before = run(graph, x)
    assert fold_scalings(graph) == 0
    assert_equal(run(graph, x), before)


def test_not_what_overflows():
    y, values, x = linear_of(CASE_2D, True)
    values["conv_weight"] = values["conv_weight"] * 1e30
    graph = graph_of(y * 1e20, **values)
    assert fold_scalings(graph) == 0
    assert_equal(run(graph, x * 1e-25), run(graph_of(y * 1e20, **values), x * 1e-25))


def test_not_a_variance_of_zeros():
    y, values, x = linear_of(CASE_2D, True)
    values.update(statistics(6))
    values["variance"] = nd.zeros(6)
    graph = graph_of(norm_of(y, eps=0), **values)
    assert fold_scalings(graph) == 0


def test_the_other_outputs_of_a_norm():
    y, values, x = linear_of(CASE_2D, True)
    values.update(statistics(6))
    norm = norm_of(y, output_mean_var=True, fix_gamma=False)
    graph = graph_of(sym.Group([norm[0], norm[1], norm[2]]), **values)
    before = run(graph, x)
    fold_scalings(graph)
    assert_close(run(graph, x), before)


def test_a_chain_folds_as_a_whole():
    y, values, x = linear_of(CASE_2D, True)
    (raw,) = run(graph_of(y, **values), x)
    values.update(statistics(6))
    expected = normalized(raw.astype("float64") * 3, values) - 2
    assert_folded(
        graph_of(norm_of(y * 3, fix_gamma=False) - 2, **values), x, expected, "Convolution"
    )
