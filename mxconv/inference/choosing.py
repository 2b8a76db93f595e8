"""Which algorithm computes each convolution of a graph, and with which nothing should be fused."""

from typing import Any, Callable, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Tuple

import numpy as np
from mxnet import Context, nd, sym

from ..algorithms import ALGORITHMS
from ..geometry import ConvGeometry
from ..selection import rules
from ..selection.timing import (
    CONTROL,
    affordable,
    best,
    is_close,
    measure,
    not_far_slower,
    rounding_factors,
)
from .convolutions import Task
from .graph import Entry, Graph, Node
from .plans import Plan, prepared, program

NATIVE = "native"
CUSTOM = {"fft"}  # an operator in Python, which the exported files couldn't name
INPUT = "x"


class Chosen(NamedTuple):
    """What was chosen for the convolutions of a graph, by task."""

    algorithms: Dict[Task, str]
    apart: FrozenSet[Task]


def by_rule(tasks: Iterable[Task], context: Context) -> Chosen:
    """Choose by the rule for this CPU."""
    found = {
        task: rules.predict(
            task.geometry, task.input_shape, np.float32, context, in_graph=True, constant=True
        )
        for task in tasks
    }
    algorithms = {task: name for task, name in found.items() if name != NATIVE}
    apart = {task for task in tasks if task not in algorithms and may_run_as_gemm(task.geometry)}
    return Chosen(algorithms, frozenset(apart))


def may_run_as_gemm(geometry: ConvGeometry) -> bool:
    """Return whether oneDNN may compute a convolution as a matrix product.

    Whatever is fused with it runs as scalar code then.
    """
    c_o, c_i, *kernel = geometry.weight_shape
    if geometry.groups > 1:
        return False
    return c_o % 8 != 0 or (c_i % 8 != 0 and c_i != 3) or max(kernel) > 7


def candidates(task: Task) -> List[str]:
    """Return the algorithms that may be faster than 'native' for a convolution in a graph."""
    geometry, shape = task.geometry, task.input_shape
    names = [
        name
        for name, algorithm in ALGORITHMS.items()
        if name not in CUSTOM
        and not algorithm.eager_inference_only
        and not algorithm.unsupported(geometry)
        and algorithm.worth_timing(geometry, shape, np.float32)
    ]
    return affordable(names, geometry, shape, task.has_bias, np.float32, training=False)


def by_measuring(
    graph: Graph, tasks: Mapping[Node, Task], seconds: float, fused: bool, progress: Callable
) -> Chosen:
    """Choose by measuring each distinct convolution with every algorithm that may be faster.

    Each is measured together with its activation, in graphs of their own, with its own parameters
    and random numbers as its input. Where operators are fused, it is also measured with its
    activation kept apart.
    """
    distinct: Dict[Task, Node] = {}
    for node, task in tasks.items():
        distinct.setdefault(task, node)
    todo = {
        task: node
        for task, node in distinct.items()
        if candidates(task) or (fused and task.activation and may_run_as_gemm(task.geometry))
    }
    algorithms, apart = {}, set()
    for task, node in progress(todo.items(), "convolution"):
        name, is_apart = _fastest(graph, node, task, seconds, fused)
        if name != NATIVE:
            algorithms[task] = name
        if is_apart:
            apart.add(task)
    return Chosen(algorithms, frozenset(apart))


def _fastest(graph: Graph, node: Node, task: Task, seconds: float, fused: bool) -> Tuple[str, bool]:
    """Return the fastest algorithm for a convolution, and whether to keep its activation apart."""
    context = graph.values[node.inputs[1].node.name].context
    random = np.random.default_rng(0)  # MXNet's own would go on elsewhere in the user's program
    x = nd.array(random.standard_normal(task.input_shape, np.float32), context)
    keep = (False, True) if fused and task.activation else (False,)
    options = {NATIVE: (NATIVE, False), CONTROL: (NATIVE, False)}
    for name in (NATIVE, *candidates(task)):
        options.update({f"{name} {apart}": (name, apart) for apart in keep})
    del options[f"{NATIVE} {False}"]
    pieces: Dict[str, Any] = {}

    def make(option: str) -> Callable[[Any], Any]:
        if option not in pieces:
            pieces[option] = piece(graph, node, task, *options[option], fused)
        return pieces[option]

    expected, bound = make(NATIVE)(x), _magnitudes(graph, node, x)
    (factor, *_) = rounding_factors(task.geometry, task.input_shape, np.float32)
    others = [option for option in options if option not in (NATIVE, CONTROL)]

    def is_right(option: str) -> bool:
        arrays = ([a.asnumpy()] for a in (make(option)(x), expected, bound))
        actual, native, sums = arrays
        return is_close(actual, native, sums, [factor])

    others = [option for option in not_far_slower(others, make, x) if is_right(option)]
    if not others:
        return options[NATIVE]
    kept = {option: make(option) for option in (NATIVE, CONTROL, *others)}
    winner, _ = best(measure(kept, x, None, seconds))
    return options[winner]


def piece(
    graph: Graph, node: Node, task: Task, name: str, apart: bool, fused: bool
) -> Callable[[Any], Any]:
    """Return a function that runs one convolution and its activation by themselves."""
    piece = _alone(graph, node, task.activation)
    plan = Plan(
        algorithms={} if name == NATIVE else {task: name},
        fused=fused,
        apart=frozenset([task] if apart else ()),
    )
    run = program(prepared(piece, plan, {INPUT: task.input_shape}), plan, [INPUT])
    return lambda x: run(x)[0]


def _alone(graph: Graph, node: Node, activation: Any = ()) -> Graph:
    """Return a graph of one convolution and its activation."""
    piece = Graph(sym.var(INPUT), graph.values, {INPUT: np.float32})
    conv = Node(node.operator, node.name, [piece.heads[0], *node.inputs[1:]], node.attributes)
    piece.heads = [Entry(conv)]
    if activation:
        operator, *attributes = activation
        act = Node(operator, f"{node.name}_act", piece.heads, dict(attributes))
        piece.heads = [Entry(act)]
    piece.prune_values()
    return piece


def _magnitudes(graph: Graph, node: Node, x: Any) -> Any:
    """Return the sums of the magnitudes of a convolution's products."""
    piece = _alone(graph, node)
    piece.values = {name: value.abs() for name, value in piece.values.items()}
    (sums,) = program(piece, Plan(), [INPUT])(x.abs())
    return sums
