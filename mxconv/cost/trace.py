"""The operators that a network runs for an input of some shape.

The network is called with a Symbol, as MXNet does itself when it is hybridized. That needs neither
data nor parameters, changes nothing, shows a shared layer at each of its uses, and leaves out
nothing that the network computes.
"""

import json
from collections import defaultdict
from contextlib import redirect_stdout
from typing import NamedTuple

from mxnet import MXNetError

from ..geometry import attribute_value
from ..network import graph_of, named_shapes


class Node(NamedTuple):
    """An operator: its name, its attributes, the shapes around it, the variable of its weight."""

    operator: str
    name: str
    attributes: dict
    inputs: list
    outputs: list
    weight: str


def trace(net, input_shapes):
    """The network's operators as a list of `Node`, each after those that it takes its inputs from.

    `input_shapes` are those of the network's arguments, as `_checks.input_shapes` gives them.

    Raises
    ------
    TypeError
        A network that a Symbol can't pass through.
    ValueError
        Input shapes that it can't take.
    """
    entries, known = graph_of(net, net, input_shapes).get_internals(), named_shapes(input_shapes)
    received = input_shapes[0] if len(known) == 1 else input_shapes
    try:
        with redirect_stdout(None):  # to which MXNet prints what it was given
            _, shapes, _ = entries.infer_shape(**known)
    except MXNetError as error:
        raise ValueError(f"the network can't take input_shape={received}: {error}") from error
    if shapes is None:
        raise ValueError(f"input_shape={received} leaves shapes in the network undecided")
    graph = json.loads(entries.tojson())
    nodes = graph["nodes"]
    shape_of = {(i, output): shape for (i, output, _), shape in zip(graph["heads"], shapes)}
    outputs = defaultdict(list)
    for (i, _), shape in shape_of.items():
        outputs[i].append(shape)
    return [
        Node(
            operator=node["op"],
            name=node["name"],
            attributes={key: attribute_value(text) for key, text in node.get("attrs", {}).items()},
            inputs=[shape_of.get((source, output)) for source, output, _ in node["inputs"]],
            outputs=outputs[i],
            weight=_variable(nodes, node["inputs"][1][0]) if len(node["inputs"]) > 1 else "",
        )
        for i, node in enumerate(nodes)
        if node["op"] != "null"
    ]


def _variable(nodes, i):
    """The name of the variable that node i is, or is made of first."""
    while nodes[i]["inputs"]:
        i = nodes[i]["inputs"][0][0]
    return nodes[i]["name"]
