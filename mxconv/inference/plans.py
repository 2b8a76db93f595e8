"""A plan says which passes a network goes through; building it runs them, one after the other."""

from dataclasses import dataclass, field
from typing import Dict, FrozenSet, List, Mapping

from .cleanup import drop_no_ops, fold_constants
from .convolutions import Task, tasks_of, use_algorithms
from .fusion import fuse, fused_wrongly, hoist_activations, keep_apart
from .graph import Graph, Shape
from .merging import merge_in_graph
from .program import Program
from .scaling import fold_scalings
from .spelling import spell_activations, spell_biases, spell_clips
from .transposing import cancel_transposes
from .widening import widen_channels


@dataclass(frozen=True)
class Plan:
    """What is done to a network.

    Attributes
    ----------
    folded : bool
        Whether it goes through what `folded` does; if not, it is only fused, or nothing is done.
    widened : bool
        Whether channels are rounded up throughout the network.
    algorithms : dict of str
        The algorithm of each kind of convolution, {Task: name}; others are 'native'.
    fused : bool
        Whether MXNet's backend fuses operators.
    apart : frozenset of Task
        The convolutions with which nothing is fused, although the backend would.
    """

    folded: bool = True
    widened: bool = False
    algorithms: Mapping[Task, str] = field(default_factory=dict)
    fused: bool = False
    apart: FrozenSet[Task] = frozenset()


def folded(graph: Graph, input_shapes: Mapping[str, Shape]) -> Dict[str, int]:
    """Do to a graph what every plan begins with: what takes less work on any machine.

    Returns
    -------
    dict of int
        How many operators each pass changed, by what it does.
    """
    counts = {"no-ops dropped": drop_no_ops(graph)}
    constants = fold_constants(graph)
    counts["transposes cancelled"] = cancel_transposes(graph)
    counts["scales and shifts folded"] = fold_scalings(graph)
    counts["convolutions merged"] = merge_in_graph(graph, input_shapes)
    counts["constants computed"] = constants
    counts["activations respelled"] = spell_activations(graph)
    return counts


def prepared(graph: Graph, plan: Plan, input_shapes: Mapping[str, Shape]) -> Graph:
    """Return what a plan makes of a graph, which is folded if the plan says so, up to fusion."""
    graph = graph.copy()
    if plan.folded:
        _use(graph, plan, input_shapes)
    if plan.fused:
        drop_no_ops(graph)  # of two behind an input, MXNet's backend would make a new input
        keep_apart(graph, fused_wrongly(graph))
    return graph


def _use(graph: Graph, plan: Plan, input_shapes: Mapping[str, Shape]) -> None:
    """Do to a folded graph what a plan says about channels, algorithms and activations."""
    if plan.widened:
        widen_channels(graph, input_shapes)
    tasks = tasks_of(graph, input_shapes)
    if plan.fused:
        keep_apart(graph, [node for node, task in tasks.items() if task in plan.apart])
    else:
        spell_clips(graph, fusing=False)
    chosen = {node: plan.algorithms[t] for node, t in tasks.items() if t in plan.algorithms}
    use_algorithms(graph, chosen, tasks)
    spell_biases(graph)
    fold_constants(graph)
    hoist_activations(graph)


def program(graph: Graph, plan: Plan, inputs: List[str]) -> Program:
    """Return a program that runs a prepared graph, fused if the plan says so."""
    symbol = fuse(graph) if plan.fused else graph.symbol()
    return Program(symbol, graph.values, inputs)
