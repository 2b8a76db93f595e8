"""The operators that a network runs for an input of some shape.

The network is called with a Symbol, as MXNet does itself to hybridize it. That needs neither data
nor parameters and changes nothing. It shows a shared layer at each of its uses, and leaves out
nothing that the network computes.
"""

import json
from collections import defaultdict
from contextlib import redirect_stdout
from typing import Any, DefaultDict, Dict, List, NamedTuple, Sequence, Tuple

from mxnet import MXNetError
from mxnet.gluon import Block

from ..geometry import parse_op_attr
from .tracing import named_shapes, trace_symbol


class Node(NamedTuple):
    """An operator in a graph.

    Attributes
    ----------
    operator, name : str
        Which operator it is, and its name in the graph.
    attributes : dict
        Its attributes, parsed.
    inputs, outputs : list of tuple of int
        Shapes; None for an input whose shape is unknown.
    weight : str
        The variable that its second input is, or is computed from; '' without a second input.
    """

    operator: str
    name: str
    attributes: Dict[str, Any]
    inputs: List[Any]
    outputs: List[Any]
    weight: str


def operators_of(net: Block, input_shapes: Sequence[Any]) -> List[Node]:
    """Return the network's operators, each after those that compute its inputs.

    Parameters
    ----------
    net : gluon.Block
        The network.
    input_shapes : tuple
        The shapes of its arguments, from `_checks.input_shapes`.

    Raises
    ------
    TypeError
        If Symbols can't pass through the network.
    ValueError
        If the network can't take the input shapes.
    """
    entries = trace_symbol(net, net, input_shapes).get_internals()
    graph = json.loads(entries.tojson())
    nodes = graph["nodes"]
    shape_of = {
        (i, output): shape
        for (i, output, _), shape in zip(graph["heads"], _inferred(entries, input_shapes))
    }
    outputs: DefaultDict[int, List[Any]] = defaultdict(list)
    for (i, _), shape in shape_of.items():
        outputs[i].append(shape)
    return [
        Node(
            operator=node["op"],
            name=node["name"],
            attributes={key: parse_op_attr(text) for key, text in node.get("attrs", {}).items()},
            inputs=[shape_of.get((source, output)) for source, output, _ in node["inputs"]],
            outputs=outputs[i],
            weight=_variable(nodes, node["inputs"][1][0]) if len(node["inputs"]) > 1 else "",
        )
        for i, node in enumerate(nodes)
        if node["op"] != "null"
    ]


def _inferred(entries: Any, input_shapes: Sequence[Any]) -> List[Tuple[int, ...]]:
    """Return the shape of each entry of a graph, for input shapes of the network."""
    known = named_shapes(input_shapes)
    received = input_shapes[0] if len(known) == 1 else input_shapes
    try:
        with redirect_stdout(None):  # MXNet prints what it was given
            _, shapes, _ = entries.infer_shape(**known)
    except MXNetError as error:
        raise ValueError(f"the network can't take input_shape={received}: {error}") from error
    if shapes is None:
        raise ValueError(
            f"input_shape={received} leaves shapes in the network undecided: expected it to "
            "determine all of them"
        )
    inferred: List[Tuple[int, ...]] = shapes
    return inferred


def _variable(nodes: List[Dict[str, Any]], i: int) -> str:
    """Return the name of the variable that node i is, or is computed from first."""
    while nodes[i]["inputs"]:
        i = nodes[i]["inputs"][0][0]
    name: str = nodes[i]["name"]
    return name
