"""Two convolutions in a row become one where that takes fewer multiplications, exactly.

Parameters and inputs are small integers, so the sums are exact in any order.
"""

from itertools import product

import oracle
from helpers import SLOW, integers
from mxconv.inference.graph import Entry
from mxconv.inference.merging import merge_in_graph
from passes import DATA, assert_equal, convolution, graph_of, operators, run

import numpy as np
import pytest
from mxnet import nd, sym

N, C, H, W = SHAPE = 2, 3, 9, 8


def chain(*layers, between=lambda y: y, dtype="float32", c_i=C):
    """The graph of convolutions in a row, and their geometries for the oracle."""
    y, values, geometries = DATA, {}, []
    for i, layer in enumerate(layers):
        attributes = {"kernel": (1, 1), "bias": True, "num_group": 1, **layer}
        bias, c_o = attributes.pop("bias"), attributes["num_filter"]
        if i:
            y = between(y)
        y = convolution(y, f"conv{i}", bias=bias, **attributes)
        shape = (c_o, c_i // attributes["num_group"], *attributes["kernel"])
        values[f"conv{i}_weight"] = integers(shape, most=3).astype(dtype)
        if bias:
            values[f"conv{i}_bias"] = integers((c_o,)).astype(dtype)
        c_i = c_o
        geometries.append(
            dict(
                strides=attributes.get("stride", (1, 1)),
                padding=attributes.get("pad", (0, 0)),
                dilation=attributes.get("dilate", (1, 1)),
                groups=attributes["num_group"],
            )
        )
    return graph_of(y, dtype, **values), geometries


def by_numpy(graph, geometries, x):
    """What a chain of convolutions gives, in float64."""
    y = x.asnumpy()
    for i, geometry in enumerate(geometries):
        weight, bias = (graph.values.get(f"conv{i}_{name}") for name in ("weight", "bias"))
        bias = None if bias is None else bias.asnumpy()
        y = oracle.convolve(y, weight.asnumpy(), bias, **geometry)
    return y


# 1x1 to many channels and back to few: one convolution takes less.
PAIRS = {
    "1x1, 1x1": [dict(num_filter=8), dict(num_filter=2)],
    "3x2, 1x1": [dict(num_filter=8, kernel=(3, 2)), dict(num_filter=2)],
    "1x1, 2x3": [dict(num_filter=12), dict(num_filter=2, kernel=(2, 3))],
    "2x2, 2x3": [dict(num_filter=12, kernel=(2, 2)), dict(num_filter=1, kernel=(2, 3))],
    "padded first": [dict(num_filter=8, kernel=(3, 3), pad=(1, 2)), dict(num_filter=2)],
    "strided first": [
        dict(num_filter=16, kernel=(2, 2), stride=(2, 1)),
        dict(num_filter=1, kernel=(2, 1)),
    ],
    "strided second": [dict(num_filter=8, kernel=(2, 2)), dict(num_filter=2, stride=(2, 3))],
    "both strided": [
        dict(num_filter=8, stride=(2, 2)),
        dict(num_filter=1, kernel=(2, 1), stride=(1, 2)),
    ],
    "dilated first": [dict(num_filter=16, kernel=(1, 2), dilate=(1, 2)), dict(num_filter=1)],
    "dilated second": [dict(num_filter=16), dict(num_filter=1, kernel=(2, 1), dilate=(3, 1))],
    "grouped second": [dict(num_filter=16), dict(num_filter=2, num_group=2)],
    "padded second without bias": [
        dict(num_filter=12, bias=False),
        dict(num_filter=2, kernel=(3, 3), pad=(1, 2)),
    ],
    "padded second, strided first": [
        dict(num_filter=20, bias=False, stride=(2, 3)),
        dict(num_filter=1, kernel=(3, 1), pad=(1, 0)),
    ],
}
EVERY_PAIR = pytest.mark.parametrize("layers", PAIRS.values(), ids=PAIRS)


def multiplications(graph, shape):
    """How many the convolutions of a graph take, counted from their weights and outputs."""
    shapes = graph.shapes({"data": shape})
    total = 0
    for node in graph.operators("Convolution"):
        n, c_o, h, w = shapes[Entry(node)]
        c_i, k_h, k_w = graph.value(node.inputs[1]).shape[1:]
        total += n * c_o * h * w * c_i * k_h * k_w
    return total


@EVERY_PAIR
def test_one_equals_two(layers):
    graph, geometries = chain(*layers)
    x = integers(SHAPE)
    expected = by_numpy(graph, geometries, x)
    before, cost = run(graph, x), multiplications(graph, SHAPE)
    np.testing.assert_array_equal(before[0], expected)
    assert merge_in_graph(graph, {"data": SHAPE}) == 1
    assert operators(graph) == ["Convolution"]
    assert_equal(run(graph, x), before)
    assert multiplications(graph, SHAPE) < cost


@EVERY_PAIR
def test_other_sizes_than_it_was_merged_for(layers):
    graph, _ = chain(*layers)
    inputs = [integers((n, C, h, w)) for n, h, w in ((1, 13, 17), (3, 10, 9), (1, 8, 11))]
    before = [run(graph, x)[0] for x in inputs]
    merge_in_graph(graph, {"data": SHAPE})
    assert_equal([run(graph, x)[0] for x in inputs], before)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_biases(first, second):
    layers = [dict(num_filter=8, bias=first), dict(num_filter=2, bias=second)]
    graph, geometries = chain(*layers)
    x = integers(SHAPE)
    expected = by_numpy(graph, geometries, x).astype("float32")
    assert merge_in_graph(graph, {"data": SHAPE}) == 1
    (merged,) = graph.operators("Convolution")
    assert len(merged.inputs) == (3 if first or second else 2)
    assert_equal(run(graph.copy(), x), [expected])


def test_a_row_of_three():
    graph, geometries = chain(*[dict(num_filter=n) for n in (16, 16, 2)])
    x = integers(SHAPE)
    expected = by_numpy(graph, geometries, x).astype("float32")
    assert merge_in_graph(graph, {"data": SHAPE}) == 2
    assert_equal(run(graph, x), [expected])


def test_all_but_what_costs_more():
    graph, _ = chain(
        dict(num_filter=8),
        dict(num_filter=2),
        dict(num_filter=8, kernel=(3, 3)),
        dict(num_filter=8),
    )
    x = integers(SHAPE, most=2)
    before = run(graph, x)
    assert merge_in_graph(graph, {"data": SHAPE}) == 2
    assert operators(graph) == ["Convolution"] * 2
    assert_equal(run(graph, x), before)


def test_the_cost_depends_on_the_size():
    layers = [dict(num_filter=4, kernel=(3, 3))] * 2  # 300 products a pixel instead of 108 + 144
    sizes = {size: {"data": (1, C, size, size)} for size in (8, 64)}  # the first computes a border
    merged = {size: merge_in_graph(chain(*layers)[0], shape) for size, shape in sizes.items()}
    assert merged == {8: 1, 64: 0}


COSTLIER = {
    "a bottleneck": [dict(num_filter=1), dict(num_filter=8)],
    "depthwise twice": [dict(num_filter=C, kernel=(3, 3), num_group=C)] * 2,
    "depthwise, 1x1": [
        dict(num_filter=C, kernel=(3, 3), num_group=C),
        dict(num_filter=8),
    ],
}


@pytest.mark.parametrize("layers", COSTLIER.values(), ids=COSTLIER)
def test_not_where_it_costs_more(layers):
    graph, _ = chain(*layers)
    assert merge_in_graph(graph, {"data": SHAPE}) == 0
    assert operators(graph) == ["Convolution"] * 2


PADDED = {
    "a bias before the padding": [
        dict(num_filter=12),
        dict(num_filter=2, kernel=(3, 3), pad=(1, 1)),
    ],
    "a kernel before the padding": [
        dict(num_filter=12, kernel=(2, 2), bias=False),
        dict(num_filter=1, pad=(1, 1)),
    ],
    "padding twice": [
        dict(num_filter=12, pad=(1, 1), bias=False),
        dict(num_filter=1, pad=(1, 1)),
    ],
}


@pytest.mark.parametrize("layers", PADDED.values(), ids=PADDED)
def test_not_where_the_second_pads_what_the_first_computes(layers):
    graph, _ = chain(*layers)
    x = integers(SHAPE)
    before = run(graph, x)
    assert merge_in_graph(graph, {"data": SHAPE}) == 0
    assert_equal(run(graph, x), before)


LAYERS = dict(num_filter=8), dict(num_filter=2)


@pytest.mark.parametrize("between", [sym.relu, sym.tanh, sym.Flatten, lambda y: y * 2])
def test_not_with_something_between(between):
    def reshaped(y):
        return between(y).reshape((N, 8, H, W))

    graph, _ = chain(*LAYERS, between=reshaped)
    assert merge_in_graph(graph, {"data": SHAPE}) == 0


def test_not_if_something_else_reads_the_first():
    graph, _ = chain(*LAYERS)
    (second,) = (node for node in graph.operators("Convolution") if node.name == "conv1")
    graph.heads.append(second.inputs[0])
    before = run(graph, integers(SHAPE))
    assert merge_in_graph(graph, {"data": SHAPE}) == 0
    assert len(before) == 2


def test_two_that_read_the_same_input_stay_two():
    one, other = (convolution(DATA, name, kernel=(1, 1), num_filter=4) for name in ("a", "b"))
    weights = {f"{name}_weight": integers((4, C, 1, 1)) for name in "ab"}
    biases = {f"{name}_bias": integers((4,)) for name in "ab"}
    graph = graph_of(one + other, **weights, **biases)
    assert merge_in_graph(graph, {"data": SHAPE}) == 0


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_not_other_dtypes(dtype):
    graph, _ = chain(*LAYERS, dtype=dtype)
    assert merge_in_graph(graph, {"data": SHAPE}) == 0


@pytest.mark.parametrize("rank", [1, 3])
def test_not_other_ranks(rank):
    kernel = (1,) * rank
    y = convolution(DATA, "a", bias=False, kernel=kernel, num_filter=8)
    y = convolution(y, "b", bias=False, kernel=kernel, num_filter=2)
    graph = graph_of(y, a_weight=integers((8, C, *kernel)), b_weight=integers((2, 8, *kernel)))
    assert merge_in_graph(graph, {"data": (1, C, *[4] * rank)}) == 0


def test_not_parameters_that_are_computed():
    first = sym.Convolution(DATA, sym.var("w") * 2, no_bias=True, kernel=(1, 1), num_filter=8)
    y = convolution(first, bias=False, kernel=(1, 1), num_filter=2)
    graph = graph_of(y, w=integers((8, C, 1, 1)), conv_weight=integers((2, 8, 1, 1)))
    assert merge_in_graph(graph, {"data": SHAPE}) == 0


def test_not_what_overflows():
    graph, _ = chain(dict(num_filter=8, bias=False), dict(num_filter=2, bias=False))
    for name in ("conv0_weight", "conv1_weight"):
        graph.values[name] = nd.ones_like(graph.values[name]) * 1e30
    x = nd.ones(SHAPE) * 1e-30
    before = run(graph, x)
    assert np.isfinite(before[0]).all()
    assert merge_in_graph(graph, {"data": SHAPE}) == 0
    assert_equal(run(graph, x), before)


def test_a_weight_of_two_convolutions_is_merged_for_one():
    weight = sym.var("w")
    attributes = dict(no_bias=True, kernel=(1, 1), num_filter=C)
    y = sym.relu(sym.Convolution(DATA, weight, **attributes))
    y = sym.Convolution(y, weight, **attributes)
    graph = graph_of(
        convolution(y, bias=False, kernel=(1, 1), num_filter=1),
        w=integers((C, C, 1, 1)),
        conv_weight=integers((1, C, 1, 1)),
    )
    x = integers(SHAPE)
    before = run(graph, x)
    assert merge_in_graph(graph, {"data": SHAPE}) == 1
    assert_equal(run(graph, x), before)


@SLOW
def test_every_combination_of_geometries():
    pairs = [(1, 1), (2, 3)], [(1, 1), (2, 3)], [(0, 0), (1, 2)]  # kernels, strides, pads
    found = set()
    for k1, s1, p1, k2, s2, p2, bias in product(*pairs, *pairs, (True, False)):
        graph, geometries = chain(
            dict(num_filter=16, kernel=k1, stride=s1, pad=p1, bias=bias),
            dict(num_filter=1, kernel=k2, stride=s2, pad=p2),
        )
        x = integers((1, C, 15, 16))
        expected = by_numpy(graph, geometries, x).astype("float32")
        found.add(merge_in_graph(graph, {"data": x.shape}))
        assert_equal(run(graph, x), [expected])
    assert found == {0, 1}
