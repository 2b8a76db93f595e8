"""Two passes that tidy a graph: what does nothing goes, and what is constant is computed once."""

from typing import Dict, List

from .graph import VARIABLE, Entry, Graph, Node
from .program import evaluate

# Whatever draws random numbers or has effects isn't constant, although its inputs are. Those of
# `mx.np.random` are named after their distributions.
DISTRIBUTIONS = "normal uniform bernoulli multinomial exponential gamma gumbel laplace logistic"
DISTRIBUTIONS += " pareto powerd rayleigh weibull"
NEVER_CONSTANT = ["random", "sample", "shuffle", "choice", "Dropout", "Custom"]
NEVER_CONSTANT += DISTRIBUTIONS.split()


def drop_no_ops(graph: Graph) -> int:
    """Drop the operators that return their input unchanged outside of training.

    These are Dropout, copies, and the operators that stop or start gradients. One stays if the
    network would otherwise return an array of its own, an input or a parameter.

    Returns
    -------
    int
        How many were dropped.
    """
    dropped = 0
    heads = {head.node for head in graph.heads}
    for node in graph.nodes():
        if _does_nothing(node):
            (source, *_) = node.inputs
            if not (node in heads and source.node.operator == VARIABLE):
                graph.replace(Entry(node), source)
                dropped += 1
    return dropped


def _does_nothing(node: Node) -> bool:
    attributes = node.attributes
    if node.operator == "Dropout":  # MC dropout, for one, is always active
        return attributes.get("mode") != "always"
    if node.operator == "slice_axis":  # a copy, see `_layouts.plain`
        span = tuple(attributes.get(name) for name in ("axis", "begin", "end"))
        return span == ("0", "0", "None")
    return node.operator in ("_copy", "_np_copy", "BlockGrad", "make_loss")


def fold_constants(graph: Graph) -> int:
    """Compute what depends on parameters only, and make it parameters.

    Returns
    -------
    int
        How many arrays were computed.
    """
    constant: Dict[Node, bool] = {}
    for node in graph.nodes():
        constant[node] = _is_constant(graph, node, constant)
    read = [e for node in graph.nodes() if not constant[node] for e in node.inputs]
    found: List[Entry] = [
        entry
        for entry in dict.fromkeys([*read, *graph.heads])
        if constant[entry.node] and entry.node.operator != VARIABLE
    ]
    if found:
        for entry, value in zip(found, evaluate(graph, found)):
            name = entry.node.name + (f"_{entry.output}" if entry.output else "")
            graph.replace(entry, graph.constant(f"{name}_constant", value))
    graph.prune_values()
    return len(found)


def _is_constant(graph: Graph, node: Node, constant: Dict[Node, bool]) -> bool:
    if node.operator == VARIABLE:  # states have to stay variables of their operators
        return node.name in graph.values and node.name not in graph.states
    if node.subgraphs or any(word in node.operator for word in NEVER_CONSTANT):
        return False
    # A graph without any input can't be run, so operators without inputs stay what they are.
    return bool(node.inputs) and all(constant[entry.node] for entry in node.inputs)
