"""What the tests of `mxconv.inference` share: graphs, how they run, and what is in them."""

from mxconv.inference.graph import VARIABLE, Graph
from mxconv.inference.program import Program

import numpy as np
from mxnet import nd, sym

DATA = sym.var("data")


def graph_of(symbol, dtype="float32", **values):
    """The graph of a Symbol with these parameters, whose inputs have the dtype."""
    names = [name for name in symbol.list_inputs() if name not in values]
    return Graph(symbol, values, dict.fromkeys(names, np.dtype(dtype)))


def run(graph, *arrays, symbol=None):
    """The outputs of a graph, or of a Symbol with its parameters, in NumPy."""
    symbol = graph.symbol() if symbol is None else symbol
    names = [n.name for n in graph.operators(VARIABLE) if n.name not in graph.values]
    return [output.asnumpy() for output in Program(symbol, graph.values, names)(*arrays)]


def operators(graph):
    """The operators of a graph in order, without its variables."""
    return [node.operator for node in graph.nodes() if node.operator != VARIABLE]


def in_symbol(symbol):
    """The operators of a Symbol, in alphabetical order."""
    return sorted(operators(Graph(symbol, {})))


def shapes_of(**arrays):
    return {name: array.shape for name, array in arrays.items()}


def convolution(x, name="conv", bias=True, operator=sym.Convolution, **attributes):
    """A convolution (or another operator like it) of parameters `name`_weight and `name`_bias."""
    inputs = [x, sym.var(f"{name}_weight")] + ([sym.var(f"{name}_bias")] if bias else [])
    return operator(*inputs, no_bias=not bias, name=name, **attributes)


def assert_equal(actual, expected):
    """That outputs are the same: number, dtypes, shapes, and every element."""
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def assert_close(actual, expected, tolerance=1e-5):
    """That outputs differ by no more than a fraction of the largest element."""
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def positive(*shape):
    """Random numbers from 1/2 to 2, as a variance may be."""
    return nd.random.uniform(0.5, 2, shape=shape)
