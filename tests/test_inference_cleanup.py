"""What does nothing in inference is dropped, and what depends on parameters only is computed."""

from helpers import integers
from mxconv.inference.cleanup import drop_no_ops, fold_constants
from mxconv.inference.graph import VARIABLE
from passes import DATA, assert_equal, graph_of, operators, run

import numpy as np
import pytest
from mxnet import nd, npx, sym

X = nd.array([[1, -2, 3, 0], [-4, 5, -6, 7]])
NO_OPS = {
    "Dropout": lambda x: sym.Dropout(x, p=0.5),
    "identity": sym.identity,
    "BlockGrad": sym.BlockGrad,
    "make_loss": sym.make_loss,
    "slice_axis": lambda x: sym.slice_axis(x, axis=0, begin=0, end=None),
}
EVERY_NO_OP = pytest.mark.parametrize("no_op", NO_OPS.values(), ids=NO_OPS)


@EVERY_NO_OP
def test_what_does_nothing_is_dropped(no_op):
    graph = graph_of(sym.relu(no_op(no_op(sym.negative(DATA)))))
    before = run(graph, X)
    assert drop_no_ops(graph) == 2
    assert operators(graph) == ["negative", "relu"]
    assert_equal(run(graph, X), before)


@EVERY_NO_OP
def test_at_the_end_and_at_the_beginning(no_op):
    graph = graph_of(no_op(sym.relu(no_op(DATA))))
    before = run(graph, X)
    assert drop_no_ops(graph) == 2
    assert operators(graph) == ["relu"]
    assert_equal(run(graph, X), before)


@EVERY_NO_OP
def test_a_network_does_not_return_its_input_itself(no_op):
    graph = graph_of(no_op(no_op(DATA)))
    assert drop_no_ops(graph) == 1
    x = X.copy()
    (y,) = run(graph, x)
    assert len(operators(graph)) == 1 and np.array_equal(y, X.asnumpy())


def test_two_outputs_may_become_one_twice():
    relu = sym.relu(DATA)
    graph = graph_of(sym.Group([relu, sym.identity(relu)]))
    assert drop_no_ops(graph) == 1
    assert_equal(run(graph, X), [np.maximum(X.asnumpy(), 0)] * 2)


OTHERS = {
    "active dropout": lambda x: sym.Dropout(x, p=0.5, mode="always"),
    "a part of the batch": lambda x: sym.slice_axis(x, axis=0, begin=0, end=1),
    "without the first": lambda x: sym.slice_axis(x, axis=0, begin=1, end=None),
    "another axis": lambda x: sym.slice_axis(x, axis=1, begin=0, end=2),
    "relu": sym.relu,
    "cast": lambda x: sym.cast(x, "int32"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_whatever_does_something_stays(other):
    graph = graph_of(sym.negative(other(DATA)))
    before = operators(graph)
    assert drop_no_ops(graph) == 0
    assert operators(graph) == before


def test_nothing_to_drop_and_nothing_to_compute():
    graph = graph_of(sym.relu(DATA))
    assert drop_no_ops(graph) == fold_constants(graph) == 0


# Constants


def test_what_depends_on_parameters_only_is_computed():
    mask = sym.transpose(sym.relu(sym.var("a") - 1))
    graph = graph_of(sym.dot(DATA, mask), a=integers((3, 4)))
    before, old = run(graph, X), graph.values["a"].copy()
    assert fold_constants(graph) == 1
    assert operators(graph) == ["dot"]
    assert_equal(run(graph, X), before)
    (value,) = graph.values.values()  # and the old one is forgotten
    np.testing.assert_array_equal(value.asnumpy(), np.maximum(old.asnumpy() - 1, 0).T)


def test_only_the_last_of_a_chain_is_kept():
    a = sym.var("a")
    graph = graph_of(sym.broadcast_add(DATA, (a * 2 + 3) * a), a=integers((1, 4)))
    assert fold_constants(graph) == 1
    assert len(graph.values) == 1


def test_a_parameter_that_is_also_read_elsewhere_stays():
    a = sym.var("a")
    graph = graph_of(DATA * 1 + sym.broadcast_mul(DATA * 0 + 1, a * 2) + a, a=integers((2, 4)))
    before = run(graph, X)
    assert fold_constants(graph) == 1
    assert len(graph.values) == 2 and "a" in graph.values
    assert_equal(run(graph, X), before)


def test_each_output_of_an_operator_is_computed():
    parts = sym.split(sym.var("a"), num_outputs=2, axis=1)
    graph = graph_of(sym.Group([sym.dot(DATA, parts[0]), parts[1]]), a=integers((4, 6)))
    before = run(graph, X)
    assert fold_constants(graph) == 2
    assert operators(graph) == ["dot"]
    assert_equal(run(graph, X), before)


def test_an_output_that_is_constant():
    graph = graph_of(sym.Group([DATA * 2, sym.var("a") + 1, sym.var("a")]), a=integers((3,)))
    before = run(graph, X)
    assert fold_constants(graph) == 1
    assert_equal(run(graph, X), before)


def test_dtypes_and_shapes_of_constants_are_kept():
    graph = graph_of(sym.take(DATA, sym.cast(sym.var("rows"), "int32")), rows=nd.array([1, 0, 1]))
    assert fold_constants(graph) == 1
    (value,) = graph.values.values()
    assert value.dtype == np.int32
    assert_equal(run(graph.copy(), X), [X.asnumpy()[[1, 0, 1]]])


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_constants_of_other_dtypes(dtype):
    graph = graph_of(sym.broadcast_add(DATA, sym.var("a") / 3), dtype, a=nd.ones(4, dtype=dtype))
    before = run(graph, X.astype(dtype))
    assert fold_constants(graph) == 1
    assert_equal(run(graph, X.astype(dtype)), before)


def test_in_numpys_mode_without_axes_and_of_booleans():
    npx.set_np()
    try:
        a, x = (sym.var(name).as_np_ndarray() for name in ("a", "data"))
        y = sym.np.where(a > a.mean(), x, -x)
        graph = graph_of(y.as_nd_ndarray(), a=nd.array([1, 2, 3, 4]))
        before = run(graph, X)
        assert fold_constants(graph) == 1
        assert [value.dtype for value in graph.values.values()] == [np.bool_]
        assert_equal(run(graph.copy(), X), before)
    finally:
        npx.reset_np()


RANDOM = {
    "random": lambda a: sym.random.normal(a, a),
    "sample": lambda a: sym.sample_uniform(a, a),
    "multinomial": lambda a: sym.sample_multinomial(a, shape=4, dtype="float32"),
    "shuffle": sym.shuffle,
    "active dropout": lambda a: sym.Dropout(a, p=0.5, mode="always"),
}
NUMPYS = {
    "normal": lambda a: sym.np.random.normal(a, 1.0),
    "uniform": lambda a: sym.np.random.uniform(a, 2.0),
    "exponential": sym.np.random.exponential,
    "gamma": lambda a: sym.np.random.gamma(a),
    "weibull": sym.np.random.weibull,
    "choice": lambda a: sym.np.random.choice(4, size=4, p=a),
}


@pytest.mark.parametrize("draw", RANDOM.values(), ids=RANDOM)
def test_random_numbers_are_drawn_anew(draw):
    graph = graph_of(sym.broadcast_add(DATA, draw(sym.var("a"))), a=nd.ones(4))
    assert fold_constants(graph) == 0


@pytest.mark.parametrize("name", NUMPYS)
def test_random_numbers_of_numpys_kind_are_drawn_anew(name):
    npx.set_np()
    try:
        drawn = NUMPYS[name](sym.var("a").as_np_ndarray())
        graph = graph_of((DATA.as_np_ndarray() + drawn).as_nd_ndarray(), a=nd.ones(4))
        assert any(node.operator != VARIABLE for node in graph.nodes())
        fold_constants(graph)
        assert any(name in operator for operator in operators(graph))
    finally:
        npx.reset_np()


def test_states_stay_variables():
    names = ["gamma", "beta", "mean", "variance"]
    norm = sym.BatchNorm(sym.var("a") * 2, *map(sym.var, names))
    values = {name: nd.ones(3) for name in names}
    graph = graph_of(sym.broadcast_add(DATA * 0, norm.sum()), a=integers((2, 3)), **values)
    before = run(graph, X)
    assert fold_constants(graph) == 1
    assert "BatchNorm" in operators(graph) and graph.copy().states == {"mean", "variance"}
    assert_equal(run(graph, X), before)


def test_loops_are_not_constant():
    def step(x, state):
        return x + 1, [state[0] + 0]

    y, _ = sym.contrib.foreach(step, sym.var("a"), [sym.var("b")])
    graph = graph_of(sym.broadcast_add(DATA, y), a=nd.ones((1, 4)), b=nd.ones(1))
    before = run(graph, X)
    assert fold_constants(graph) == 0
    assert_equal(run(graph, X), before)


def test_operators_without_inputs_stay():
    graph = graph_of(sym.broadcast_add(DATA, sym.arange(4) + 1))
    before = run(graph, X)
    assert fold_constants(graph) == 0
    assert_equal(run(graph, X), before)


def test_the_arrays_themselves_do_not_change():
    a = integers((1, 4))
    copy = a.copy()
    fold_constants(graph_of(sym.broadcast_add(DATA, sym.relu(sym.var("a"))), a=a))
    assert np.array_equal(a.asnumpy(), copy.asnumpy())
