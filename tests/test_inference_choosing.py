"""Which algorithm computes each convolution: by the rule, or measured by a clock that is fixed."""

import mxconv.inference.choosing as choosing
from helpers import integers
from mxconv.algorithms import ALGORITHMS
from mxconv.geometry import ConvGeometry
from mxconv.inference.choosing import (
    NATIVE,
    by_measuring,
    by_rule,
    candidates,
    may_run_as_gemm,
)
from mxconv.inference.convolutions import Task, tasks_of
from mxconv.selection import rules
from passes import DATA, convolution, graph_of

import mxnet as mx
import pytest
from mxnet import nd, sym

pytestmark = pytest.mark.kernels

SHAPE = 1, 12, 8, 8
RELU = ("Activation", ("act_type", "relu"))


def task_of(channels=12, kernel=3, shape=SHAPE, activation=(), **geometry):
    geometry = ConvGeometry(channels, kernel, in_channels=shape[1], **geometry).normalized
    return Task(geometry, shape, True, activation)


def network():
    """The same convolution twice, with relu, and another one without."""
    y, values = DATA, {}
    for name, c_i, c_o, act in (("a", 12, 12, True), ("b", 12, 12, True), ("c", 12, 5, False)):
        y = convolution(y, name, kernel=(3, 3), pad=(1, 1), num_filter=c_o)
        y = sym.Activation(y, act_type="relu") if act else y
        values[f"{name}_weight"] = integers((c_o, c_i, 3, 3))
        values[f"{name}_bias"] = integers((c_o,))
    graph = graph_of(y, **values)
    return graph, tasks_of(graph, {"data": SHAPE})


def all_of(items, unit):
    """No progress."""
    return items


@pytest.fixture
def clock(monkeypatch):
    """Seconds of each option, to be filled in; 'native' takes 1, and others 2."""
    seconds, asked = {}, []

    def measure(blocks, x, dy, how_long):
        asked.append(list(blocks))
        return {name: [(seconds.get(name, 1 if "native" in name else 2),)] for name in blocks}

    monkeypatch.setattr(choosing, "measure", measure)
    monkeypatch.setattr(choosing, "not_far_slower", lambda names, make, x: names)
    seconds[choosing.CONTROL] = 1
    return seconds, asked


# Candidates


def test_candidates_support_the_convolution_and_belong_in_a_graph():
    for task in (
        task_of(),
        task_of(5, 1),
        task_of(12, 3, groups=12),
        task_of(1, 9, (1, 1, 20, 20)),
    ):
        for name in candidates(task):
            algorithm = ALGORITHMS[name]
            assert name not in (NATIVE, *choosing.CUSTOM)
            assert not algorithm.unsupported(task.geometry)
            assert not algorithm.eager_inference_only


def test_channels_that_fill_no_register_have_candidates():
    assert "pad_channels" in candidates(task_of(12))


@pytest.mark.parametrize(
    "channels, kernel, shape, groups, expected",
    [
        (16, 3, (1, 8, 9, 9), 1, False),
        (16, 3, (1, 3, 9, 9), 1, False),
        (12, 3, (1, 8, 9, 9), 1, True),
        (16, 3, (1, 5, 9, 9), 1, True),
        (16, 9, (1, 8, 9, 9), 1, True),
        (16, 7, (1, 8, 9, 9), 1, False),
        (12, 3, (1, 12, 9, 9), 12, False),
    ],
)
def test_which_convolutions_may_run_as_a_matrix_product(channels, kernel, shape, groups, expected):
    geometry = task_of(channels, kernel, shape, groups=groups).geometry
    assert may_run_as_gemm(geometry) == expected


# By the rule


def test_by_rule_asks_the_rule_for_each_convolution(monkeypatch):
    asked = []

    def predict(geometry, shape, dtype, context, **kwargs):
        asked.append((geometry.channels, kwargs["in_graph"]))
        return "kn2row" if geometry.channels == 5 else NATIVE

    monkeypatch.setattr(rules, "predict", predict)
    few, many = task_of(5), task_of(12)
    chosen = by_rule([few, many, task_of(16, shape=(1, 8, 8, 8))], mx.cpu())
    assert asked == [(5, True), (12, True), (16, True)]
    assert chosen.algorithms == {few: "kn2row"}
    assert chosen.apart == {many}  # may run as a matrix product, and stays MXNet's operator


def test_by_rule_of_no_convolutions():
    assert by_rule([], mx.cpu()) == ({}, frozenset())


# By measuring


def test_each_distinct_convolution_is_measured_once(clock):
    _, asked = clock
    graph, tasks = network()
    by_measuring(graph, tasks, 0.1, fused=False, progress=all_of)
    assert len(tasks) == 3 and len(asked) == len(set(tasks.values())) == 2


def test_the_fastest_is_chosen(clock):
    seconds, asked = clock
    graph, tasks = network()
    first, _, last = tasks.values()
    seconds["pad_channels False"] = 0.5
    chosen = by_measuring(graph, tasks, 0.1, fused=False, progress=all_of)
    assert chosen.algorithms[first] == "pad_channels"
    assert chosen.apart == frozenset()
    assert not any(option.endswith("True") for options in asked for option in options)


def test_native_stays_unless_something_is_faster(clock):
    graph, tasks = network()
    chosen = by_measuring(graph, tasks, 0.1, fused=False, progress=all_of)
    assert chosen == ({}, frozenset())


def test_native_stays_within_noise(clock):
    seconds, _ = clock
    seconds["pad_channels False"], seconds[choosing.CONTROL] = 0.5, 0.4
    graph, tasks = network()
    assert by_measuring(graph, tasks, 0.1, fused=False, progress=all_of).algorithms == {}


def test_an_activation_may_be_kept_apart_where_operators_are_fused(clock):
    seconds, asked = clock
    seconds["native True"] = 0.5
    graph, tasks = network()
    first, _, last = tasks.values()
    chosen = by_measuring(graph, tasks, 0.1, fused=True, progress=all_of)
    assert chosen.algorithms == {} and chosen.apart == {first}
    assert last.activation == () and "native True" not in asked[-1]


def test_another_algorithm_whose_activation_is_apart(clock):
    seconds, _ = clock
    seconds["pad_channels True"] = 0.5
    graph, tasks = network()
    first = next(iter(tasks.values()))
    chosen = by_measuring(graph, tasks, 0.1, fused=True, progress=all_of)
    assert chosen.algorithms[first] == "pad_channels" and first in chosen.apart


def test_a_wrong_algorithm_is_rejected(clock, monkeypatch):
    seconds, asked = clock
    seconds["pad_channels False"] = 0.001
    right = ALGORITHMS["pad_channels"]

    def wrong(F, x, weight, bias, geometry):
        return right.run(F, x, weight, bias, geometry) + 0.01

    monkeypatch.setitem(ALGORITHMS, "pad_channels", right._replace(run=wrong))
    graph, tasks = network()
    chosen = by_measuring(graph, tasks, 0.1, fused=False, progress=all_of)
    assert "pad_channels" not in chosen.algorithms.values()
    assert not any("pad_channels False" in options for options in asked)


def test_nothing_is_measured_without_candidates(clock, monkeypatch):
    monkeypatch.setattr(choosing, "candidates", lambda task: [])
    graph, tasks = network()
    assert by_measuring(graph, tasks, 0.1, fused=False, progress=all_of) == ({}, frozenset())
    assert clock[1] == []


def test_measuring_leaves_the_graph_and_its_arrays(clock):
    graph, tasks = network()
    before = {name: value.asnumpy() for name, value in graph.values.items()}
    names = [node.name for node in graph.nodes()]
    by_measuring(graph, tasks, 0.1, fused=True, progress=all_of)
    assert [node.name for node in graph.nodes()] == names
    assert all((graph.values[name].asnumpy() == before[name]).all() for name in before)


def test_progress_counts_kinds_of_convolutions(clock):
    seen = []

    def progress(items, unit):
        seen.append((len(items), unit))
        return items

    graph, tasks = network()
    by_measuring(graph, tasks, 0.1, fused=False, progress=progress)
    assert seen == [(2, "convolution")]


def test_what_is_measured_is_the_convolution_and_its_activation():
    graph, tasks = network()
    node, task = next(iter(tasks.items()))
    assert task.activation == RELU
    x = nd.random.normal(shape=SHAPE)
    native, other = (
        choosing.piece(graph, node, task, name, False, False)(x).asnumpy()
        for name in (NATIVE, "pad_channels")
    )
    assert native.shape == (1, 12, 8, 8) and native.min() == 0 < native.max()
    assert abs(native - other).max() < 1e-4
