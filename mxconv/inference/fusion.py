"""Passes around what oneDNN can compute in one operator: a convolution, a sum and an activation."""

from typing import Iterable, List, Mapping, Optional

from mxnet import sym

from ..dtypes import name_of
from .convolutions import ACTIVATIONS, SUMS
from .graph import Entry, Graph, Node
from .scaling import LINEAR

# They move elements of their first input and compute nothing.
MOVEMENTS = {"Reshape", "transpose", "slice_axis", "slice", "slice_like", "SwapAxis", "expand_dims"}
BACKEND = "MKLDNN"
COMPUTED = {"float32", "bfloat16"}  # by oneDNN
APART = {"shape": "(-2,)"}  # attributes of a reshape to the same shape
# What the backend may fuse with an operator that it reads.
FUSED_BEHIND = {
    "Convolution": {*ACTIVATIONS, *SUMS, "BatchNorm"},
    "BatchNorm": {*ACTIVATIONS, *SUMS},
    "FullyConnected": {*ACTIVATIONS, "abs", "square", "sqrt", "exp"}
    | {"_npi_absolute", "_npi_square", "_npi_sqrt", "_npi_exp"},
    **dict.fromkeys(SUMS, {*ACTIVATIONS}),
}


def hoist_activations(graph: Graph) -> int:
    """Move activations before the rearrangements that some algorithms end in.

    There they stand right behind a convolution, and can be fused with it.

    Returns
    -------
    int
        How many were moved.
    """
    moved = 0
    for node in graph.operators(*ACTIVATIONS):
        readers = graph.readers()
        first = _first_movement(readers, node)
        if first is not None:
            (below,) = node.inputs
            graph.replace(Entry(node), below)
            node.inputs = [first.inputs[0]]
            first.inputs = [Entry(node), *first.inputs[1:]]
            moved += 1
    return moved


def _first_movement(readers: Mapping[Node, List[Optional[Node]]], node: Node) -> Optional[Node]:
    """Return the first of the rearrangements between a convolution and an activation, or None."""
    if len(node.inputs) > 1:
        return None
    first, below = None, node.inputs[0].node
    while _only_moves(below) and len(readers[below]) == 1:
        first, below = below, below.inputs[0].node
    is_alone = below.operator == "Convolution" and len(readers[below]) == 1
    return first if is_alone else None


def _only_moves(node: Node) -> bool:
    return node.operator in MOVEMENTS and node.attributes != APART


def keep_apart(graph: Graph, operators: Iterable[Node]) -> int:
    """Keep what reads these operators from being fused with them; return how many there are.

    A reshape to the same shape does that. It costs nothing, and MXNet doesn't remove it.
    """
    found = list(operators)
    for node in found:
        apart = Node("Reshape", f"{node.name}_apart", (), APART)
        graph.replace(Entry(node), Entry(apart))
        apart.inputs = [Entry(node)]
    return len(found)


def fused_wrongly(graph: Graph) -> List[Node]:
    """Return the operators with which MXNet's backend fuses what reads them, but mustn't.

    - Another reader gets the result of what is fused: the network's caller, or an operator that
      could be fused as well, as in `y + conv2(relu(y))` with `y = conv(x)`, or in `y + y`. Behind a
      dense layer, any other.
    - A BatchNorm along another axis reads a convolution. The backend takes its parameters for those
      of the channels, and reads and writes beyond arrays.
    """
    return [
        node
        for node, readers in graph.readers().items()
        if any(_fuses_wrongly(node, reader, readers) for reader in readers)
    ]


def _fuses_wrongly(node: Node, reader: Optional[Node], readers: List[Optional[Node]]) -> bool:
    fused = FUSED_BEHIND.get(node.operator, ())
    if reader is None or reader.operator not in fused:
        return False
    if reader.operator == "BatchNorm" and reader.attributes.get("axis", "1") != "1":
        return True
    return 1 < sum(
        other is None or other.operator in fused or node.operator == "FullyConnected"
        for other in readers
    )


def fuse(graph: Graph) -> sym.Symbol:
    """Return the graph as a Symbol whose operators MXNet's backend for oneDNN has fused.

    With a convolution or dense layer of a dtype that oneDNN doesn't compute, or on a GPU, it is as
    it was: the backend looks at neither, and the first call would fail.
    """
    if any(value.context.device_type == "gpu" for value in graph.values.values()):
        return graph.symbol()
    dtypes = graph.dtypes()
    found = {dtypes[entry] for node in graph.operators(*LINEAR) for entry in node.inputs}
    if any(name_of(dtype) not in COMPUTED for dtype in found - {None}):
        return graph.symbol()
    return graph.symbol().optimize_for(BACKEND)
