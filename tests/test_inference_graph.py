"""The graph that the passes of `for_inference` change: it reads and writes what MXNet runs."""

import json

from helpers import integers
from mxconv.inference.graph import VARIABLE, Entry, Graph, Node
from passes import DATA, assert_equal, convolution, graph_of, operators, run, shapes_of

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd, npx, sym

X = nd.array([[1, -2, 3], [-4, 5, -6]])
W = np.array([[10, 20, 30]], "float32")


def chain():
    """relu(2 data) + w, whose relu is read twice."""
    relu = sym.relu(DATA * 2, name="relu")
    both = sym.Group([sym.broadcast_add(relu, sym.var("w"), name="sum"), relu])
    return graph_of(both, w=nd.array(W))


def foreach():
    """Running sums along axis 0, in a loop with a graph of its own, which reads a parameter."""

    def step(x, state):
        total = state[0] + sym.broadcast_mul(x, sym.var("w"))
        return total, [total + 0]

    outputs, state = sym.contrib.foreach(step, DATA, [sym.var("begin")])
    return graph_of(sym.Group([outputs, state[0]]), w=nd.array([2]), begin=nd.array([0, 0, 0]))


def batch_norm():
    names = ["gamma", "beta", "mean", "variance"]
    norm = sym.BatchNorm(DATA, *map(sym.var, names), fix_gamma=False, name="norm")
    values = dict(zip(names, (nd.array([k, k + 1, k + 2]) for k in range(1, 5))))
    return graph_of(norm, **values)


def split():
    """The second and the first part of an operator with three outputs."""
    parts = sym.split(DATA, num_outputs=3, axis=1, name="parts")
    return graph_of(sym.Group([parts[1], parts[0] + parts[2]]))


def twice():
    relu = sym.relu(DATA)
    return graph_of(sym.Group([relu, relu, DATA]))


GRAPHS = {f.__name__: f for f in (chain, foreach, batch_norm, split, twice)}
EVERY_GRAPH = pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)


def content(graph):
    """All that a graph holds, without its arrays."""
    place = {node: i for i, node in enumerate(graph.nodes())}
    return [
        (
            node.operator,
            node.name,
            node.attributes,
            [(place[e.node], e.output) for e in node.inputs],
            node.subgraphs,
        )
        for node in place
    ] + [(place[head.node], head.output) for head in graph.heads]


@EVERY_GRAPH
def test_what_is_read_is_written(make):
    graph = make()
    assert json.dumps(content(Graph(graph.symbol(), graph.values))) == json.dumps(content(graph))


@EVERY_GRAPH
def test_a_copy_computes_the_same_with_the_same_arrays(make):
    graph = make()
    copy = graph.copy()
    assert not set(copy.nodes()) & set(graph.nodes())
    assert copy.states == graph.states
    assert all(copy.values[name] is graph.values[name] for name in graph.values)
    assert_equal(run(copy, X), run(graph, X))


@EVERY_GRAPH
def test_changing_a_copy_leaves_the_original(make):
    graph = make()
    before = json.dumps(content(graph))
    copy = graph.copy()
    for node in copy.nodes():
        node.attributes["__extra__"] = "1"
        node.inputs, node.operator = [], "_zeros"
    copy.values.clear()
    copy.states.clear()
    assert json.dumps(content(graph)) == before
    assert graph.values.keys() >= {n.name for n in graph.operators(VARIABLE)} - {"data"}


@EVERY_GRAPH
def test_nodes_come_after_what_they_read(make):
    nodes = make().nodes()
    for i, node in enumerate(nodes):
        assert all(nodes.index(entry.node) < i for entry in node.inputs)
    assert len(set(nodes)) == len(nodes)


def test_nodes_that_no_output_depends_on_are_left_out():
    graph = chain()
    graph.heads = graph.heads[1:]
    assert operators(graph) == ["_mul_scalar", "relu"]
    graph.prune_values()
    assert graph.values == {}


def test_a_deep_network_is_no_deep_recursion():
    x = DATA
    for i in range(3000):
        x = sym.relu(x, name=f"relu{i}")
    assert len(graph_of(x).copy().operators("relu")) == 3000


def test_readers_are_operators_and_the_networks_output():
    graph = chain()
    by_name = {node.name: node for node in graph.nodes()}
    readers = graph.readers()
    assert readers[by_name["relu"]] == [by_name["sum"], None]
    assert readers[by_name["sum"]] == [None]
    assert readers[by_name["w"]] == [by_name["sum"]]


def test_a_node_that_reads_another_twice_counts_twice():
    relu = sym.relu(DATA)
    graph = graph_of(relu * relu)
    (node,) = graph.operators("relu")
    assert len(graph.readers()[node]) == 2


def test_duplicate_heads_stay_two_outputs():
    graph = twice()
    assert_equal(run(graph, X), [np.maximum(X.asnumpy(), 0)] * 2 + [X.asnumpy()])
    (node,) = graph.operators("relu")
    assert graph.readers()[node] == [None, None]


def test_states_are_auxiliary_in_what_is_written():
    graph = batch_norm()
    assert graph.states == {"mean", "variance"}
    assert graph.copy().symbol().list_auxiliary_states() == ["mean", "variance"]


def test_loops_keep_their_graphs():
    graph = foreach()
    (loop,) = graph.operators("_foreach")
    assert len(loop.subgraphs) == 1
    expected = 2 * np.cumsum(X.asnumpy(), axis=0)
    assert_equal(run(graph.copy(), X), [expected, expected[-1]])


def test_a_parameter_of_a_loop_is_kept():
    graph = foreach()
    graph.prune_values()
    assert set(graph.values) == {"w", "begin"}


def test_value_is_that_of_a_parameter_only():
    graph = chain()
    (add,) = graph.operators("broadcast_add")
    relu, w = add.inputs
    assert graph.value(relu) is None and graph.value(w) is graph.values["w"]
    assert graph.value(Entry(graph.operators(VARIABLE)[0])) is None


# Shapes and dtypes


def test_shapes_of_all_that_is_read():
    graph = chain()
    shapes = graph.shapes(shapes_of(data=X))
    assert {(e.node.name, e.output): shape for e, shape in shapes.items()} == {
        ("data", 0): (2, 3),
        (graph.operators("_mul_scalar")[0].name, 0): (2, 3),
        ("relu", 0): (2, 3),
        ("w", 0): (1, 3),
        ("sum", 0): (2, 3),
    }


def test_shapes_of_several_outputs_of_a_node():
    shapes = split().shapes({"data": (2, 6)})
    found = {e.output: shape for e, shape in shapes.items() if e.node.name == "parts"}
    assert found == {0: (2, 2), 1: (2, 2), 2: (2, 2)}


def test_shapes_ignore_inputs_that_are_not_read():
    assert set(chain().shapes({"data": (2, 3), "other": (1,)}).values()) == {(2, 3), (1, 3)}


def test_dtypes_are_inferred_from_the_inputs():
    cast = sym.cast(sym.relu(DATA, name="relu"), "int32", name="cast")
    graph = graph_of(cast * 2, dtype="float64")
    dtypes = {e.node.name: dtype for e, dtype in graph.dtypes().items()}
    assert dtypes["data"] == dtypes["relu"] == np.float64
    assert dtypes["cast"] == np.int32


def test_dtypes_are_none_where_nothing_tells_them():
    dtypes = Graph(sym.relu(DATA), {}).dtypes()
    assert set(dtypes.values()) == {None}


def test_a_copy_knows_the_dtypes_of_the_inputs():
    copy = graph_of(sym.relu(DATA), dtype="int8").copy()
    assert set(copy.dtypes().values()) == {np.int8}


# Changing


def test_replace_changes_every_reader_and_the_heads():
    graph = chain()
    (relu,), (scaled,) = graph.operators("relu"), graph.operators("_mul_scalar")
    graph.replace(Entry(relu), Entry(scaled))
    assert operators(graph) == ["_mul_scalar", "broadcast_add"]
    doubled = 2 * X.asnumpy()
    assert_equal(run(graph, X), [doubled + W, doubled])


def test_replace_leaves_the_other_outputs_of_a_node():
    graph = split()
    (parts,) = graph.operators("SliceChannel")
    graph.replace(Entry(parts, 2), Entry(parts, 1))
    x = X.asnumpy()
    assert_equal(run(graph, X), [x[:, 1:2], x[:, :1] + x[:, 1:2]])


def test_an_inserted_graph_reads_entries_of_this_one():
    graph = chain()
    (relu,) = graph.operators("relu")
    steps = sym.broadcast_mul(sym.var("x") + 1, sym.var("factor"), name="times")
    inputs = {"x": relu.inputs[0], "factor": graph.constant("factor", nd.array([[0, 1, 2]]))}
    graph.replace(Entry(relu), graph.insert(steps, inputs, prefix="new_"))
    expected = (2 * X.asnumpy() + 1) * np.array([[0, 1, 2]], "float32")
    assert_equal(run(graph, X), [expected + W, expected])
    assert "new_times" in [node.name for node in graph.nodes()]


def test_an_inserted_graph_may_read_an_entry_several_times():
    graph = graph_of(sym.relu(DATA))
    (relu,) = graph.operators("relu")
    x = sym.var("x")
    graph.heads = [graph.insert(x * x + x, {"x": Entry(relu)}, prefix="")]
    expected = np.maximum(X.asnumpy(), 0)
    assert_equal(run(graph, X), [expected * expected + expected])


def test_constants_get_names_of_their_own():
    graph = chain()
    first, second = (graph.constant("w", nd.ones((2, 2), dtype="int32")) for _ in range(2))
    assert len({"w", first.node.name, second.node.name}) == 3
    assert graph.value(first) is not graph.value(second)
    assert graph.values["w"].shape == (1, 3)


def test_a_constant_tells_shape_and_dtype():
    graph = chain()
    graph.heads = [
        Entry(Node("relu", "relu", [graph.constant("c", nd.ones((2, 4), dtype="int32"))]))
    ]
    assert set(graph.dtypes().values()) == {np.int32}
    assert set(graph.shapes({}).values()) == {(2, 4)}


def test_prune_forgets_what_nothing_reads():
    graph = chain()
    graph.values["unused"] = nd.ones(1)
    assert set(graph.parameters()) == {"w"}
    graph.prune_values()
    assert set(graph.values) == {"w"}


def test_attributes_are_text():
    node = Node("Convolution", "conv", (), {"kernel": (3, 3), "no_bias": True})
    assert node.attributes == {"kernel": "(3, 3)", "no_bias": "True"}
    assert repr(node) == "<Convolution conv>"


def test_part_of_a_graph_is_a_symbol():
    graph = chain()
    (relu,) = graph.operators("relu")
    part = graph.symbol([Entry(relu)])
    assert_equal(run(graph, X, symbol=part), [np.maximum(2 * X.asnumpy(), 0)])


# Kinds of networks


def test_numpy_operators_and_shapes():
    npx.set_np()
    try:
        x = sym.var("data").as_np_ndarray()
        total = (x * sym.var("w").as_np_ndarray()).sum()  # without axes
        graph = graph_of(total.as_nd_ndarray(), w=nd.array([1, 2, 3])).copy()
        assert set(graph.shapes({"data": (2, 3)}).values()) == {(2, 3), (3,), ()}
        (y,) = run(graph, X)
        assert y.shape == () and y == (X.asnumpy() * [1, 2, 3]).sum()
    finally:
        npx.reset_np()


def test_casts_of_amp_are_kept():
    cast = sym.amp_cast(sym.relu(DATA), dtype="float16")
    assert operators(graph_of(cast).copy()) == ["relu", "amp_cast"]


def test_a_parameter_read_by_two_convolutions_is_one_variable():
    weight = sym.var("w")
    first = sym.Convolution(DATA, weight, no_bias=True, kernel=(1, 1), num_filter=2)
    graph = graph_of(
        sym.Convolution(first, weight, no_bias=True, kernel=(1, 1), num_filter=2),
        w=integers((2, 2, 1, 1)),
    )
    assert [n.name for n in graph.copy().operators(VARIABLE)] == ["data", "w"]


def test_the_scope_of_attributes_is_kept():
    with mx.AttrScope(ctx_group="first"):
        graph = graph_of(convolution(DATA, kernel=(1, 1), num_filter=2))
    assert graph.copy().operators("Convolution")[0].attributes["__ctx_group__"] == "first"
